"""Thirteen weeks of fifty people on Slack, by socket and by signed requests: the real process, the real guide, every
word through Slack's own doors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.rehearsal import cast
from tests.bot.season import OPENED, PATIENT, SPRING, Killed, Play, Role, check, more_acts, roles
from tests.bot.slack.season import TEAM, OnSlack, town
from tests.bot.slack.stage import KINDS, Kind


def fifty(chat: OnSlack) -> list[Role]:
    players = cast(50, "slack", TEAM)
    return roles(chat, players, chat.people([(player.name, player.zone) for player in players]))


@pytest.mark.parametrize("kind", KINDS)
async def test_fifty_people_go_through_thirteen_weeks(tmp_path: Path, kind: Kind) -> None:
    async with town(tmp_path, OPENED, kind) as ninety:
        play = Play(ninety, SPRING, fifty(ninety.chat), 11, more_acts(SPRING))
        await ninety.start()
        await play.open()
        await play.run(SPRING.end)

        await check(play, late=timedelta(0))
        assert min(play.pressed[what] for what in ("welcome", "nudge", "post", "home")) >= 5
        ninety.bot.signal(15)
        assert await ninety.bot.ended() == 0
        assert ninety.chat.refusals() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_kills_at_any_instant_lose_and_double_nothing(tmp_path: Path, kind: Kind) -> None:
    """Twenty-five of them: in the middle of sends and of answers, and somewhere between."""
    async with town(tmp_path, OPENED, kind) as ninety:
        play = Killed(ninety, SPRING, fifty(ninety.chat), 12, more_acts(SPRING), answering=range(20, 5000))
        await ninety.start()
        await play.open()
        await play.run(SPRING.end)

        await check(play, late=PATIENT)
        assert play.kills == {"sending": 11, "answering": 8, "asking": 6}
        assert len(ninety.processes) == 26
        assert [call for call in ninety.chat.slack.calls if call.error is not None] == []
        assert play.unanswered > 0
