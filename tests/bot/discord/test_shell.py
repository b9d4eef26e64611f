"""Interactions at the desk and back, on discord.py's own machinery over a simulated Discord (SimCord)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import discord
import pytest
import simcord

from bot.desk import Caller, Desk
from bot.discord import render
from bot.discord.client import Client, Connection
from bot.discord.commands import payload
from bot.discord.locales import ZONES
from bot.discord.shell import AGAIN, DRAFTS, KEPT, OPENING, Drafts, Shell, _Draft, refilled, repeated
from bot.herald import posts
from bot.ledger import Account, Cohort, RequestId, Room, Transaction
from bot.messages import (
    Answers,
    Button,
    Checks,
    Choice,
    DeliveryKey,
    Form,
    Line,
    Markdown,
    Message,
    Option,
    Paragraph,
    markdown,
)
from bot.store.ledger import StoredLedger
from content.model import Voice
from scheduler.calendar import zone as find_zone
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, START, WEEK_1, edition, guide
from tests.emulators.discord import Cut, Discord, NoAnswer
from tests.emulators.discord import Slow as Late
from tests.emulators.discord_world import text_of

TOKEN = "MTA.token-of-the-tests"  # noqa: S105  # of nobody
VOICE: Voice = edition().voice
NOT_SAVED, TOO_SLOW = VOICE.refusals.not_saved, VOICE.refusals.too_slow
AGAIN_LABEL, TYPED = VOICE.words.again, VOICE.words.typed


class Slow:
    """The real desk, behind a door that is shut while a test says so."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.opened = asyncio.Event()
        self.opened.set()
        self.env: simcord.Env | None = None

    @property
    def voice(self) -> Voice:
        return self._desk.voice

    async def _through(self) -> None:
        if self.env is None:
            await self.opened.wait()
        elif not self.opened.is_set():
            await self.env.external_wait(self.opened.wait(), reason="the desk is slow")

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        await self._through()
        return await self._desk.command(caller, line, request, now)

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        await self._through()
        return await self._desk.submit(caller, kind, about, answers, request, now)

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) -> Sequence[tuple[str, str]]:
        await self._through()
        return await self._desk.suggestions(caller, argument, typed_, now)


class Broken(Slow):
    """A desk with a bug, whose exceptions quote what was typed."""

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        raise ZeroDivisionError(f"{answers}")

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        if line.startswith("progress"):
            raise ZeroDivisionError(line)
        return await super().command(caller, line, request, now)


@dataclass
class Town:
    env: simcord.Env
    guild: Any
    channel: Any
    ada: Any
    cohort: Cohort
    desk: Slow
    clock: VirtualClock

    def client(self) -> Client:
        """A process that has just been started."""
        return Client(Shell(self.desk, self.clock, organiser_role="Crew"), shard_count=1)

    def shut(self) -> None:
        """The desk's door; and whoever stands before it is soon out of patience."""
        self.desk.opened.clear()
        self.env.bot._shell._patience = 0.01  # type: ignore[attr-defined]

    async def join(self, member: Any) -> None:
        form = await member.slash(self.channel, "cohort join", zone="Europe/Berlin")
        done = await member.submit_modal(form, {"name": member.name, "shown": "name", "zone": "Europe/Berlin",
                                                "nudges": "yes"})
        assert member.name in text_of_(done)

    async def check_in(self, member: Any, form: simcord.InteractionResult, **values: Any) -> simcord.InteractionResult:
        done: simcord.InteractionResult = await member.submit_modal(form, {"hours": "6", **values})
        return done

    def versions(self, ledger: StoredLedger, member: Any) -> list[str]:
        """The kinds of the member's entries in the journal."""
        def work(tx: Transaction) -> list[str]:
            enrolled = tx.enrolment(self.cohort.id, Account("discord", "", str(member.id)))
            return [] if enrolled is None else [type(entry.event).__name__ for entry in tx.journal(enrolled.id)]

        return ledger.transact_here(work)


@asynccontextmanager
async def town(ledger: StoredLedger, clock: VirtualClock, desk: type[Slow] = Slow) -> AsyncIterator[Town]:
    slow = desk(Desk(ledger, guide()))
    client = Client(Shell(slow, clock, organiser_role="Crew"), shard_count=1)
    async with simcord.run(client) as env:
        slow.env = env
        await client.http.bulk_upsert_global_commands(client.application_id or 0, payload(VOICE))
        guild = env.create_guild()
        channel = guild.create_text_channel("cohort")
        ada = guild.add_member(env.create_user("ada", global_name="Ada"))

        def work(tx: Transaction) -> Cohort:
            opened = tx.open_cohort("Ninety & co", START, "Europe/Berlin", edition(),
                                    Room("discord", str(guild.id), str(channel.id)), None, "salt", OPENED)
            tx.owe(posts(opened))
            return opened

        cohort = ledger.transact_here(work)
        clock.reach(WEEK_1)
        yield Town(env, guild, channel, ada, cohort, slow, clock)


def text_of_(shown: simcord.InteractionResult) -> str:
    assert shown.response is not None
    return text_of({"components": shown.response.components})


def labels(form: simcord.InteractionResult) -> dict[str, Any]:
    """Field → what it is filled with."""
    assert form.modal is not None
    fields = [one["component"] for one in form.modal["components"] if one["type"] == 18]
    return {one["custom_id"]: one.get("value", "") if "options" not in one else
            [option["value"] for option in one["options"] if option.get("default")] for one in fields}


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discord's own again after each test."""
    monkeypatch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)


# --- a member's way --------------------------------------------------------------------------------------------------


async def test_a_member_joins_checks_in_amends_and_reads_the_board(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        first = await here.check_in(here.ada, form, hours="6")
        again = await here.ada.slash(here.channel, "checkin", week="1")
        assert labels(again)["hours"] == "6"
        second = await here.check_in(here.ada, again, hours="7")
        assert first.ephemeral and second.ephemeral
        assert text_of_(first) != text_of_(second)
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn", "CheckedIn"]
        board = await here.ada.slash(here.channel, "leaderboard")
        caller = Caller(Account("discord", "", str(here.ada.id)), here.cohort.room, "Ada")
        said = await Desk(ledger, guide()).command(caller, "leaderboard", RequestId("board"), WEEK_1)
        assert isinstance(said, Message)
        assert text_of_(board) == text_of(render.message(said))
        assert board.ephemeral and here.channel.history() == []


async def test_a_form_that_is_open_while_the_bot_starts_anew_is_taken(ledger: StoredLedger,
                                                                      clock: VirtualClock) -> None:
    """In discord.py's own store it would be lost."""
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        await here.env.restart_bot(here.client())
        done = await here.check_in(here.ada, form)
        assert done.response is not None
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]


async def test_of_two_forms_that_are_open_at_once_both_are_taken(ledger: StoredLedger, clock: VirtualClock) -> None:
    """In discord.py's own store the first would be forgotten, since both have one custom_id."""
    async with town(ledger, clock) as here:
        bob = here.guild.add_member(here.env.create_user("bob"))
        for member in (here.ada, bob):
            await here.join(member)
        forms = [await member.slash(here.channel, "checkin") for member in (here.ada, bob, here.ada)]
        assert forms[0].modal["custom_id"] == forms[1].modal["custom_id"]
        for member, form in zip((here.ada, bob, here.ada), forms, strict=True):
            assert (await here.check_in(member, form)).response is not None
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn", "CheckedIn"]
        assert here.versions(ledger, bob) == ["Joined", "CheckedIn"]


async def test_the_same_interaction_twice_is_one_effect(ledger: StoredLedger, clock: VirtualClock,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        await here.check_in(here.ada, await here.ada.slash(here.channel, "checkin"))
        told = [entry[2] for entry in here.env.backend.transcript if entry[1] == "INTERACTION_CREATE"]
        with caplog.at_level(logging.INFO, "bot.discord.shell"):
            here.env.backend.emit("INTERACTION_CREATE", told[-1])
            await here.env.settle()
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]
        assert [record.levelname for record in caplog.records if record.name == "bot.discord.shell"] == ["INFO"]
        assert here.env.errors == []


async def test_nothing_stays_in_the_stores_of_discord_py(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        await here.ada.slash(here.channel, "checkin")
        week = await here.ada.slash(here.channel, "week")
        await here.ada.click(week.response, label=VOICE.words.check_in)
        store = here.env.bot._connection._view_store
        assert (store._views, store._modals, store._synced_message_views) == ({}, {}, {})
        waiting = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
        assert not [name for name in waiting if name.startswith("BaseView")]


# --- where an answer goes --------------------------------------------------------------------------------------------


async def test_a_press_in_a_message_that_one_person_sees_takes_its_place(ledger: StoredLedger,
                                                                          clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        progress = await here.ada.slash(here.channel, "progress")
        before = text_of_(progress)
        pressed = await here.ada.click(progress.response, label=VOICE.words.board)
        assert pressed.response.id == progress.response.id and pressed.response.ephemeral
        board = await here.ada.slash(here.channel, "leaderboard")
        assert text_of_(progress) == text_of_(pressed) == text_of_(board) != before


async def test_a_form_that_was_opened_there_is_answered_there(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        week = await here.ada.slash(here.channel, "week")
        before = text_of_(week)
        done = await here.check_in(here.ada, await here.ada.click(week.response, label=VOICE.words.check_in))
        assert done.response is not None
        assert done.response.id == week.response.id
        assert text_of_(week) != before


async def test_a_press_in_a_post_to_everybody_is_answered_to_who_pressed(ledger: StoredLedger,
                                                                          clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        post = await posted(here, here.channel.id, None)
        pressed = await here.ada.click(post, label="Week")
        assert pressed.ephemeral and pressed.response.id != post.id
        assert [one.id for one in here.channel.history()] == [post.id]


async def test_a_direct_message_of_the_herald_stays_as_it_is(ledger: StoredLedger, clock: VirtualClock) -> None:
    """It carries the key by which the herald finds it after a send that was cut off."""
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        key = DeliveryKey("1:week-1:nudge:1")
        nudge = await posted(here, here.ada.user.dm_channel.id, key, cohort=here.cohort.id)
        form = await here.ada.user.click(nudge, label="Check in")
        done = await here.ada.user.submit_modal(form, {"hours": "5"})
        assert done.ephemeral and done.response.id != nudge.id
        kept = here.env.backend.get_message(here.ada.user.dm_channel.id, nudge.id)
        assert render.carries({"components": kept.components}, key)
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]


async def posted(here: Town, channel: int, key: DeliveryKey | None, cohort: int | None = None) -> Any:
    said = Message(markdown("Hello"), (markdown("It is Monday."),), (Button("Week", "week", "1"),
                                                                   Button("Check in", "checkin", "1")), cohort=cohort)
    route = discord.http.Route("POST", "/channels/{channel_id}/messages", channel_id=channel)
    sent = await here.env.bot.http.request(route, json=render.message(said, key))
    return simcord.results.ResponseMessage(here.env, here.env.backend.get_message(channel, int(sent["id"])))


# --- who and where ---------------------------------------------------------------------------------------------------


async def test_a_thread_below_the_channel_is_the_cohorts_room_too(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        channel = here.env.bot.get_channel(here.channel.id)
        assert isinstance(channel, discord.TextChannel)
        below = await channel.create_thread(name="Week 1", type=discord.ChannelType.public_thread)
        thread = next(one for one in here.channel.threads if one.id == below.id)
        bob = here.guild.add_member(here.env.create_user("bob"))
        assert text_of_(await bob.slash(thread, "week")) == text_of_(await bob.slash(here.channel, "week"))
        assert (await here.ada.slash(thread, "checkin")).modal is not None


async def test_a_cohort_is_opened_in_a_channel_with_a_role_for_those_who_graduate(ledger: StoredLedger,
                                                                                  clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        olu = here.guild.add_member(here.env.create_user("olu"), roles=[
            here.guild.create_role("Hosts", permissions=discord.Permissions(manage_guild=True))])
        role, channel = here.guild.create_role("Graduates"), here.guild.create_text_channel("second")
        form = await olu.slash(channel, "cohort open", role=role)
        given = {"title": "Second", "start": "2027-02-01", "zone": "Europe/Berlin", "plan": ["fortnight"],
                 "threads": "yes"}
        refused = await olu.submit_modal(form, given | {"start": "tomorrow"})
        again = await olu.click(refused.response, label=AGAIN_LABEL)
        assert labels(again)["start"] == "tomorrow"
        await olu.submit_modal(again, given)
        room = Room("discord", str(here.guild.id), str(channel.id))
        opened = ledger.transact_here(lambda tx: tx.cohort_in(room))
        assert opened is not None
        assert (opened.title, opened.graduate_role, opened.threads) == ("Second", str(role.id), True)
        assert opened.organiser == Account("discord", "", str(olu.id))


@pytest.mark.parametrize(("permissions", "role", "may"), [
    (discord.Permissions.none(), "Friends", False),
    (discord.Permissions(manage_guild=True), "Friends", True),
    (discord.Permissions.none(), "Crew", True),
])
async def test_whoever_manages_the_server_or_has_the_role_of_organisers_runs_the_room(
        ledger: StoredLedger, clock: VirtualClock, permissions: discord.Permissions, role: str, may: bool) -> None:
    async with town(ledger, clock) as here:
        olu = here.guild.add_member(here.env.create_user("olu"),
                                    roles=[here.guild.create_role(role, permissions=permissions)])
        shown = await olu.slash(here.channel, "cohort log")
        assert (VOICE.refusals.not_organiser not in text_of_(shown)) == may


async def test_the_language_gives_a_first_guess_of_the_zone(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        form = await here.ada.slash(here.channel, "cohort join")
        assert labels(form) == {"name": "Ada", "shown": ["alias"], "zone": "America/New_York", "nudges": ["yes"]}


def test_every_language_of_discord_has_a_zone_that_there_is() -> None:
    assert set(ZONES) == {locale.value for locale in discord.Locale}
    for name in ZONES.values():
        assert find_zone(name).key == name


async def test_weeks_and_zones_are_offered_while_somebody_types(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        weeks = await here.ada.autocomplete(here.channel, "checkin", "week", "ship")
        assert weeks == [{"name": "3: Ship things", "value": "3"}]
        zones = await here.ada.autocomplete(here.channel, "cohort join", "zone", "berlin")
        assert zones[0] == {"name": "Europe/Berlin", "value": "Europe/Berlin"}


async def test_a_slow_desk_offers_nothing_while_somebody_types(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        here.shut()
        assert await here.ada.autocomplete(here.channel, "checkin", "week", "") == []


# --- a desk that is slow ---------------------------------------------------------------------------------------------


async def test_a_form_that_takes_long_to_save_is_answered_when_it_is_saved(ledger: StoredLedger,
                                                                            clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        here.shut()
        shown = await here.check_in(here.ada, form)
        assert shown.acknowledged and shown.deferred and shown.ephemeral
        here.desk.opened.set()
        await here.env.settle()
        assert text_of_(shown) != ""
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]


async def test_a_slow_answer_to_a_press_takes_the_place_of_the_message(ledger: StoredLedger,
                                                                       clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        progress = await here.ada.slash(here.channel, "progress")
        here.shut()
        pressed = await here.ada.click(progress.response, label=VOICE.words.board)
        assert pressed.acknowledged and text_of_(progress) == VOICE.words.waiting
        here.desk.opened.set()
        await here.env.settle()
        assert VOICE.words.waiting not in text_of_(progress) != ""


async def test_a_form_that_takes_long_to_open_is_answered_with_a_refusal(ledger: StoredLedger,
                                                                         clock: VirtualClock) -> None:
    """No form can follow a deferred answer."""
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        here.shut()
        shown = await here.ada.slash(here.channel, "checkin")
        assert text_of_(shown) == TOO_SLOW
        here.desk.opened.set()
        await here.env.settle()
        assert (shown.modal, text_of_(shown)) == (None, TOO_SLOW)


async def test_an_answer_after_a_quarter_of_an_hour_is_a_line_in_the_log(ledger: StoredLedger, clock: VirtualClock,
                                                                         caplog: pytest.LogCaptureFixture) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        here.shut()
        await here.check_in(here.ada, form, notes="my secret note")
        await here.env.advance_time(15 * 60)
        here.desk.opened.set()
        await here.env.settle()
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]
        assert [record.levelname for record in caplog.records if record.name == "bot.discord.shell"] == ["WARNING"]
        assert "secret" not in caplog.text


# --- what was typed --------------------------------------------------------------------------------------------------


async def test_a_refused_form_shows_what_was_typed_and_opens_again_with_it(ledger: StoredLedger,
                                                                           clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        given = {"hours": "many", "notes": "It *was* long.\nAnd hard.", "tasks": ["read-it"][:0]}
        refused = await here.check_in(here.ada, form, **given)
        assert f"**{TYPED}**\n\nmany\n\nIt \\*was\\* long.\nAnd hard." in text_of_(refused)
        again = await here.ada.click(refused.response, label=AGAIN_LABEL)
        assert again.modal["custom_id"] == form.modal["custom_id"]
        assert labels(again) | {"tasks": []} == labels(form) | {
            "hours": "many", "notes": "It *was* long.\nAnd hard.", "tasks": []}
        await here.check_in(here.ada, again, hours="3", notes="It was long.")
        assert labels(await here.ada.slash(here.channel, "checkin", week="1"))["hours"] == "3"


async def test_after_a_restart_the_button_still_opens_the_form(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        refused = await here.check_in(here.ada, await here.ada.slash(here.channel, "checkin"), hours="many")
        await here.env.restart_bot(here.client())
        again = await here.ada.click(refused.response, label=AGAIN_LABEL)
        assert labels(again)["hours"] == ""


async def test_after_a_quarter_of_an_hour_the_form_is_as_it_was(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        await here.join(here.ada)
        await here.check_in(here.ada, await here.ada.slash(here.channel, "checkin"), hours="many")
        clock.reach(WEEK_1 + KEPT)
        assert labels(await here.ada.slash(here.channel, "checkin"))["hours"] == ""


async def test_what_is_typed_behind_the_command_counts_more_than_what_was_refused(ledger: StoredLedger,
                                                                                  clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        form = await here.ada.slash(here.channel, "cohort join")
        refused = await here.ada.submit_modal(form, {"name": "Ada L", "shown": "name", "zone": "Berlun",
                                                     "nudges": "no"})
        assert "Berlun" in text_of_(refused)
        again = await here.ada.slash(here.channel, "cohort join", zone="Europe/Berlin")
        assert labels(again) == {"name": "Ada L", "shown": ["name"], "zone": "Europe/Berlin", "nudges": ["no"]}


async def test_what_was_typed_into_ones_form_is_in_nobody_elses(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        bob = here.guild.add_member(here.env.create_user("bob"))
        for member in (here.ada, bob):
            await here.join(member)
        await here.check_in(here.ada, await here.ada.slash(here.channel, "checkin"), hours="many")
        assert labels(await bob.slash(here.channel, "checkin"))["hours"] == ""


async def test_a_bug_at_the_desk_loses_nothing_that_was_typed_and_tells_the_log_no_word_of_it(
        ledger: StoredLedger, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    async with town(ledger, clock, Broken) as here:
        form = await here.ada.slash(here.channel, "cohort join")
        shown = await here.ada.submit_modal(form, {"name": "Ada Secret", "shown": "name", "zone": "Europe/Berlin",
                                                   "nudges": "no"})
        assert text_of_(shown).startswith(NOT_SAVED) and "Ada Secret" in text_of_(shown)
        assert labels(await here.ada.click(shown.response, label=AGAIN_LABEL))["name"] == "Ada Secret"
        assert text_of_(await here.ada.slash(here.channel, "progress")) == NOT_SAVED
        told = [record.getMessage() for record in caplog.records if record.name == "bot.discord.shell"]
        assert len(told) == 2 and all("ZeroDivisionError" in one and "test_shell.py" in one for one in told)
        assert "Secret" not in caplog.text


async def test_a_press_of_somebody_elses_button_is_left_alone(ledger: StoredLedger, clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        route = discord.http.Route("POST", "/channels/{channel_id}/messages", channel_id=here.channel.id)
        sent = await here.env.bot.http.request(route, json={"content": "old", "components": [
            {"type": 1, "components": [{"type": 2, "style": 1, "label": "Old", "custom_id": "another-bot"}]}]})
        post = simcord.results.ResponseMessage(
            here.env, here.env.backend.get_message(here.channel.id, int(sent["id"])))
        assert not (await here.ada.click(post, label="Old")).acknowledged


async def test_draining_waits_for_what_is_under_way_and_no_longer_than_it_may(ledger: StoredLedger,
                                                                              clock: VirtualClock) -> None:
    async with town(ledger, clock) as here:
        shell: Shell = here.env.bot._shell  # type: ignore[attr-defined]
        await shell.drain(1)
        await here.join(here.ada)
        form = await here.ada.slash(here.channel, "checkin")
        here.shut()
        await here.check_in(here.ada, form)
        await shell.drain(0.01)
        assert here.versions(ledger, here.ada) == ["Joined"]
        draining = asyncio.create_task(shell.drain(2))
        here.desk.opened.set()
        await draining
        assert here.versions(ledger, here.ada) == ["Joined", "CheckedIn"]


# --- a line that breaks ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def wired(ledger: StoredLedger, clock: VirtualClock, patience: float = 2.0, within: float = 3.0) \
        -> AsyncIterator[tuple[Discord, Any, Any, Slow]]:
    """Over real sockets: (Discord, a channel, somebody there, the desk)."""
    slow, clients = Slow(Desk(ledger, guide())), list[Client]()

    def made() -> Client:
        clients.append(Client(Shell(slow, clock, patience=patience), gateway_url=world.gateway_url,
                              api_url=world.api_url))
        return clients[-1]

    async with Discord(token=TOKEN, identify_every=0, answer_within=within) as world:
        server = world.add_guild("Ninety")
        channel, ada = world.add_channel(server, "cohort"), world.add_member(server, "Ada")
        connection = Connection(made, TOKEN)
        keeping = asyncio.create_task(connection.keep())
        try:
            await world.ready()
            await clients[0].http.bulk_upsert_global_commands(int(world.bot.id), payload(VOICE))
            yield world, channel, ada, slow
        finally:
            await connection.close()
            await keeping


@pytest.mark.parametrize("after", [False, True])
async def test_an_answer_whose_line_breaks_is_handed_over_again(ledger: StoredLedger, clock: VirtualClock,
                                                                after: bool) -> None:
    async with wired(ledger, clock) as (world, channel, ada, _):
        world.fail("POST /interactions/*", Cut(after))
        shown = await world.type(ada, channel, "cohort help")
        assert (shown.text, shown.ephemeral) == (VOICE.refusals.no_cohort, True)


@pytest.mark.parametrize("after", [False, True])
async def test_a_deferral_whose_line_breaks_is_followed_by_the_answer(ledger: StoredLedger, clock: VirtualClock,
                                                                      after: bool) -> None:
    async with wired(ledger, clock, patience=0.01) as (world, channel, ada, desk):
        desk.opened.clear()
        world.fail("POST /interactions/*", Cut(after))
        shown = await world.type(ada, channel, "cohort help")
        assert shown.kind == "deferred"
        desk.opened.set()
        assert (await shown.finished()).text == VOICE.refusals.no_cohort


async def test_what_the_desk_says_while_a_deferral_is_on_its_way_follows_it(ledger: StoredLedger,
                                                                           clock: VirtualClock) -> None:
    async with wired(ledger, clock, patience=0.01) as (world, channel, ada, desk):
        desk.opened.clear()
        world.fail("POST /interactions/*", Late(0.1))
        typing = asyncio.create_task(world.type(ada, channel, "cohort help"))
        async with asyncio.timeout(5):
            while world._scripts[-1].faults:  # noqa: ASYNC110  # nobody is told when it arrives
                await asyncio.sleep(0.005)
        desk.opened.set()
        shown = await typing
        assert shown.kind == "deferred"
        assert (await shown.finished()).text == VOICE.refusals.no_cohort


async def test_an_answer_that_discord_waits_for_no_more_ends_quietly(ledger: StoredLedger, clock: VirtualClock,
                                                                     caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot.discord.shell")
    async with wired(ledger, clock, within=0.05) as (world, channel, ada, desk):
        desk.opened.clear()
        with pytest.raises(NoAnswer):
            await world.type(ada, channel, "cohort help")
        desk.opened.set()
        async with asyncio.timeout(5):
            while not caplog.records:  # noqa: ASYNC110  # nobody is told of it but the log
                await asyncio.sleep(0.005)
        told = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert told == [("INFO", f"interaction {world.interactions[0].id}: answered already, or too late (10062)")]


async def test_an_answer_that_discord_refuses_is_told_without_its_words(ledger: StoredLedger, clock: VirtualClock,
                                                                        caplog: pytest.LogCaptureFixture) -> None:
    async with town(ledger, clock) as here:
        here.env.inject_error("POST", "/interactions/*", status=400, code=50035, message="a secret word")
        assert not (await here.ada.slash(here.channel, "cohort help")).acknowledged
        told = [(record.levelname, record.getMessage().partition(": ")[2]) for record in caplog.records
                if record.name == "bot.discord.shell"]
        assert told == [("ERROR", "Discord refused the answer (400, code 50035)")]


# --- rules without a chat --------------------------------------------------------------------------------------------

FORM = Form("check-in", "week-1", "Week 1", markdown("Hello"), (
    Checks("tasks", "Tasks", "", (Option("a", markdown("A"), True), Option("b", markdown("B")))),
    Choice("plan", "Plan", "", (Option("x", markdown("X"), True), Option("y", markdown("Y"))), True),
    Choice("mood", "Mood", "", (Option("up", markdown("Up"), True), Option("down", markdown("Down")))),
    Line("hours", "Hours", "", "3", longest=2), Paragraph("notes", "Notes", "", "old")), "Send")


def filled(**answers: tuple[str, ...]) -> list[Any]:
    return [tuple(one.value for one in field.options if one.chosen) if isinstance(field, Checks | Choice)
            else field.value for field in refilled(FORM, answers).fields]


def test_a_form_is_filled_again_with_what_was_chosen_and_typed() -> None:
    assert filled(tasks=("b",), plan=("y",), mood=("down",), hours=("many",), notes=("new",)) == [
        ("b",), ("y",), ("down",), "many", "new"]


def test_what_was_left_empty_is_empty_but_for_what_must_be_chosen() -> None:
    assert filled(hours=("",)) == [(), ("x",), (), "", ""]


def test_what_is_no_option_any_more_is_not_chosen() -> None:
    assert filled(tasks=("gone", "b"), plan=("gone",)) == [("b",), ("x",), (), "", ""]


def test_nothing_but_the_fields_changes() -> None:
    assert replace(refilled(FORM, {}), fields=()) == replace(FORM, fields=())


def test_drafts_are_few_and_young() -> None:
    drafts = Drafts(2)
    keys = [_Draft(user, "join", "", 1) for user in ("1", "2", "3")]
    for number, key in enumerate(keys):
        drafts.keep(key, {"name": (key.user,)}, WEEK_1 + timedelta(minutes=number))
    assert [drafts.find(key, WEEK_1 + timedelta(minutes=2)) for key in keys] == [
        None, {"name": ("2",)}, {"name": ("3",)}]
    assert [drafts.find(key, WEEK_1 + timedelta(minutes=16)) for key in keys] == [None, None, {"name": ("3",)}]
    drafts.drop(keys[2])
    assert drafts.find(keys[2], WEEK_1) is None
    assert DRAFTS == 1000


async def test_the_commands_that_open_forms_are_those_of_the_desk(ledger: StoredLedger, clock: VirtualClock,
                                                                  cohort: Cohort) -> None:
    """A command that is missing here would be deferred, and its form could never be shown."""
    desk, found = Desk(ledger, guide()), {}
    ada = Caller(Account("local", "", "ada"), cohort.room, "Ada", "Europe/Berlin")
    for line in ("cohort join", "cohort settings", "checkin", "week", "progress", "leaderboard", "cohort rest",
                 "cohort help", "cohort log", "cohort leave"):
        answer = await desk.command(ada, line, RequestId(line), WEEK_1)
        if isinstance(answer, Form):
            found[line] = answer.kind
        if line == "cohort join":
            await desk.submit(ada, "join", "", {"name": ("Ada",), "shown": ("name",), "zone": ("Europe/Berlin",),
                                                "nudges": ("no",)}, RequestId("join"), WEEK_1)
    elsewhere = replace(ada, room=Room("local", "", "elsewhere"), organiser=True)
    opened = await desk.command(elsewhere, "cohort open", RequestId("open"), WEEK_1)
    assert isinstance(opened, Form)
    found["cohort open"] = opened.kind
    assert set(found) == OPENING
    assert {kind: line for line, kind in found.items()} == AGAIN


def test_a_long_text_is_cut_in_the_message_only() -> None:
    said = Message(body=(markdown("No."),), refused=True)
    shown = repeated(said, render.Submitted("check-in", "week-1", 4), ["x_" * 1500, "y" * 2000], VOICE)
    assert (shown.cohort, shown.refused) == (4, True)
    assert shown.buttons == (Button(AGAIN_LABEL, "checkin", "week-1", "primary"),)
    assert shown.body[1] == (Markdown(f"**{TYPED}**"),)
    drawn = render.message(shown)
    assert len(text_of(drawn)) <= 4000
    assert text_of(drawn).startswith("No.")
