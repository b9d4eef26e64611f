"""A cohort played beforehand says what the bot will say, and finds what cannot be said."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from bot import herald, rehearsal
from bot.local import render
from bot.messages import Markdown, Message
from bot.rehearsal import DRAWN, Summary, cast, rehearse
from content.loading import parse
from content.model import Guide
from tests.content.build import SMALL

MANY = DRAWN + 5


@cache
def guide() -> Guide:
    return parse(SMALL)


async def played(folder: Path, members: int, write: Callable[[str], None] | None = None) -> Summary:
    return await rehearse(guide(), "fortnight", date(2027, 1, 4), "Europe/Berlin", members, 3, write,
                          f"sqlite:///{folder}/{'told' if write else 'summed up'}.db", lambda share: None)


async def test_nobody_needs_to_read_the_transcript_for_every_sentence_to_be_drawn(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, drawn = render.message, Counter[str]()

    def told(message: Message) -> str:
        drawn[sentence(message)] += 1
        return draw(message)

    monkeypatch.setattr(render, "message", told)
    transcript: list[str] = []
    read = await played(tmp_path, MANY, transcript.append)
    all_of_them = drawn.copy()
    drawn.clear()
    assert await played(tmp_path, MANY) == read
    assert drawn.keys() == all_of_them.keys() >= {"Welcome", "Week opens", "Nudge", "Rested", "Amended", "Graduation"}
    assert drawn.total() < all_of_them.total()
    assert {f"@player-{number + 1}" for number in range(MANY)} <= {word for line in transcript for word in line.split()}


def sentence(message: Message) -> str:
    """The words with which it begins: in this guide, its name."""
    first = message.body[0]
    assert isinstance(first, tuple)
    assert isinstance(first[0], Markdown)
    return first[0].text.strip()


async def test_a_reminder_that_cannot_be_drawn_is_no_sound_rehearsal(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = render.message

    def broken(message: Message) -> str:
        if sentence(message) == "Nudge":
            raise ZeroDivisionError
        return draw(message)

    monkeypatch.setattr(render, "message", broken)
    # To the herald, whatever a platform raises is a send that was cut off.
    assert not (await played(tmp_path, 10)).sound


async def test_more_members_leave_no_more_garbage(tmp_path: Path) -> None:
    """Which is why none is looked for; whoever looked for it before does so afterwards."""
    async def left(members: int) -> int:
        (tmp_path / "summed up.db").unlink(missing_ok=True)
        gc.collect()
        gc.disable()
        try:
            await played(tmp_path, members)
            assert not gc.isenabled()
        finally:
            gc.enable()
        return gc.collect()

    await played(tmp_path, 1)
    assert gc.isenabled()
    assert await left(60) - await left(10) < 50, "less than one thing a member"


def test_those_whose_messages_are_drawn_have_every_temper_and_every_zone_that_there_is() -> None:
    everybody = cast(1000, "local")
    assert {(player.temper, player.zone) for player in everybody[:DRAWN]} == {
        (player.temper, player.zone) for player in everybody}


async def test_however_few_members_are_gone_through_at_a_time_the_same_is_said(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand are counted, and owed their reminders, some hundreds at a time."""
    at_once: list[str] = []
    summary = await played(tmp_path, 13, at_once.append)
    (tmp_path / "told.db").unlink()
    for module in herald, rehearsal:
        monkeypatch.setattr(module, "AT_A_TIME", 3)
    by_and_by: list[str] = []
    assert await played(tmp_path, 13, by_and_by.append) == summary
    assert by_and_by == at_once
    assert summary.members == 13
