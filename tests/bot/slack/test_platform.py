"""Slack as the herald uses it: what is sent, how fast, what is found again, and what an organiser reads when it goes
wrong."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.oauth.installation_store import Installation

from bot.cohort.journal import Joined
from bot.cohort.scoring import Record
from bot.direct import DirectChannels
from bot.herald import AtOnce, Busy, Gone, Herald, Hindered, Rejected, Unreachable, nudge, posts
from bot.ledger import Account, CohortId, Lane, Receipt, RequestId, Room, State, Transaction, Unsaved
from bot.messages import Button, DeliveryKey, Message, markdown
from bot.slack import platform as module
from bot.slack import render
from bot.slack.clients import AGAIN, Broken, Clients
from bot.slack.installations import Installations, cipher
from bot.slack.platform import AT_ONCE, CHANNEL, PATIENCE, WORKSPACE, Pace, SlackPlatform
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, START, edition
from tests.emulators.slack import BOT_SCOPES, Drop, Fail, Slack, Throttle
from tests.emulators.slack_world import POSTS_A_MINUTE, Limits

MONDAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
ROOM = Room("slack", "T1", "C1")
MEI, OLU = Account("slack", "T1", "U1"), Account("slack", "T1", "U2")
KEY, OTHER = DeliveryKey("1:week-1:week_opens"), DeliveryKey("1:week-1:half_time")
HELLO = Message(markdown("Hello"), (markdown("private words"),), (Button("Check in", "checkin"),))
SECRET = cipher(Fernet.generate_key().decode())


class Timeline:
    """A clock that moves only by `pass_by` and `run`, and wakes who has slept enough."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self._number += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at + seconds, self._number, woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        end = self.at + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self.at = max(self.at, due)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.at = end

    async def run(self) -> None:
        """Until nobody sleeps."""
        await settle()
        while self._sleepers:
            await self.pass_by(max(self._sleepers[0][0] - self.at, 0.0))


async def settle() -> None:
    """Until everybody who can go on without a socket has."""
    for _ in range(10):
        await asyncio.sleep(0)


class World:
    """An emulated Slack, and the platform over its workspaces T1 and T2 with the same ids of channels and people."""

    def __init__(self, slack: Slack, store: Installations, platform: SlackPlatform, memory: DirectChannels,
                 clock: VirtualClock, time: Timeline) -> None:
        self.slack, self.store, self.platform, self.memory = slack, store, platform, memory
        self.clock, self.time = clock, time

    async def furnish(self, team: str) -> None:
        one = self.slack.add_team(team, f"Team {team}", bot_user=f"UBOT{team}")
        one.domain = f"team-{team.lower()}"
        for user in ("U1", "U2"):
            self.slack.add_user(team, user)
        self.slack.add_channel(team, "C1", members=("U1", "U2"))
        await self.store.async_save(Installation(
            team_id=team, bot_token=self.slack.grant(team).value, user_id="U1", installed_at=MONDAY.timestamp()))

    def texts(self, team: str, channel: str = "C1") -> list[str]:
        return [message.text for message in self.slack.history(team, channel)]

    def calls(self, *but: str) -> list[str]:
        """Methods in the order of their calls, without asking who we are."""
        return [call.method for call in self.slack.calls if call.method not in ("auth.test", *but)]

    def im(self, team: str, user: str) -> str:
        (channel,) = (one.id for one in self.slack.teams[team].channels.values() if one.im == user)
        return channel


@asynccontextmanager
async def world(database: Database, memory: DirectChannels | None = None) -> AsyncIterator[World]:
    clock, time = VirtualClock(MONDAY), Timeline()
    async with Slack(now=clock.now, monotonic=time.monotonic) as slack:
        slack.subscribed.clear()
        store, memory = Installations(database, SECRET), memory or DirectChannels(database)
        async with Clients(store, clock, slack.api_url) as clients:
            platform = SlackPlatform(clients, memory, monotonic=time.monotonic, sleep=time.sleep)
            here = World(slack, store, platform, memory, clock, time)
            for team in ("T1", "T2"):
                await here.furnish(team)
            yield here


def receipt(channel: str = "C1", micros: int = 0, team: str = "t1") -> Receipt:
    at = MONDAY + timedelta(microseconds=micros)
    ts = f"{int(MONDAY.timestamp())}.{micros:06d}"
    return Receipt(ts, f"https://team-{team}.slack.com/archives/{channel}/p{ts.replace('.', '')}", at)


# --- posts ------------------------------------------------------------------------------------------------------------


async def test_a_post_to_the_room_is_one_call_that_can_be_recognised(database: Database) -> None:
    async with world(database) as here:
        await here.platform.ready(ROOM)
        assert await here.platform.post(ROOM, HELLO, KEY) == receipt()
        assert here.calls() == ["chat.postMessage"]
        assert here.slack.calls[-1].args == {"channel": "C1", **render.message(HELLO, KEY)}
        (posted,) = here.slack.history("T1", "C1")
        assert render.carries(posted.payload(), KEY) and not render.carries(posted.payload(), OTHER)
        assert posted.metadata is None


async def test_who_we_are_is_asked_once_in_each_workspace(database: Database) -> None:
    async with world(database) as here:
        for _ in range(3):
            await here.platform.ready(ROOM)
            await here.platform.post(ROOM, HELLO, KEY)
            await here.time.pass_by(1)
        assert Counter(call.method for call in here.slack.calls) == {"auth.test": 1, "chat.postMessage": 3}


async def test_a_direct_message_needs_no_opening_and_its_channel_is_kept(database: Database) -> None:
    async with world(database) as here:
        await here.platform.ready(MEI)
        im = await here.platform.post(MEI, HELLO, KEY)
        channel = here.im("T1", "U1")
        assert im == receipt(channel)
        assert here.calls() == ["chat.postMessage"]
        assert await here.memory.find(Account("slack", "T1", "U1")) == channel
        assert await here.memory.find(Account("slack", "T2", "U1")) is None


async def test_two_workspaces_with_the_same_ids_never_cross(database: Database) -> None:
    async with world(database) as here:
        for team in ("T1", "T2"):
            for to in (Room("slack", team, "C1"), Account("slack", team, "U1")):
                await here.platform.ready(to)
                posted = await here.platform.post(to, Message(markdown(f"for {team}")), KEY)
                assert posted.link.startswith(f"https://team-{team.lower()}.slack.com/archives/")
        assert {(team, place): here.texts(team, place) for team in ("T1", "T2") for place in ("C1", "U1")} == {
            (team, place): [f"for {team}"] for team in ("T1", "T2") for place in ("C1", "U1")}
        assert await here.memory.find(Account("slack", "T1", "U1")) == here.im("T1", "U1")
        assert await here.memory.find(Account("slack", "T2", "U1")) == here.im("T2", "U1")
        # And no workspace finds what was posted in the other.
        here.slack.teams["T2"].channels["C1"].messages.clear()
        assert await here.platform.find(Room("slack", "T2", "C1"), KEY, MONDAY) is None
        assert await here.platform.find(ROOM, KEY, MONDAY) is not None


class Forgetful(DirectChannels):
    """Whose database is busy."""

    async def keep(self, account: Account, channel: str) -> None:
        raise Unsaved


async def test_a_post_that_is_out_has_its_receipt_whatever_the_database_does(database: Database) -> None:
    async with world(database, Forgetful(database)) as here:
        assert (await here.platform.post(MEI, HELLO, KEY)).at == MONDAY


async def test_there_are_no_roles_to_give(database: Database) -> None:
    async with world(database) as here:
        with pytest.raises(Rejected, match="no roles"):
            await here.platform.award(MEI, ROOM, "Graduate")
        assert here.calls() == []


# --- nobody knows -----------------------------------------------------------------------------------------------------


async def test_what_was_cut_off_after_slack_took_it_is_posted_once_and_found(database: Database) -> None:
    async with world(database) as here:
        for to, place in ((ROOM, "C1"), (MEI, "U1")):
            here.slack.fault("chat.postMessage", Drop(accepted=True))
            await here.platform.ready(to)
            with pytest.raises(Broken):
                await here.platform.post(to, HELLO, KEY)
            assert len(here.texts("T1", place)) == 1
            found = await here.platform.find(to, KEY, MONDAY)
            (posted,) = here.slack.history("T1", place)
            assert found == receipt(posted.channel, int(posted.ts.partition(".")[2]))
            assert await here.platform.find(to, OTHER, MONDAY) is None


@pytest.mark.parametrize("fault", [Drop(accepted=False), Fail(500), Fail(502)])
async def test_what_never_arrived_is_not_found(database: Database, fault: Drop | Fail) -> None:
    async with world(database) as here:
        here.slack.fault("chat.postMessage", fault)
        with pytest.raises(Broken):
            await here.platform.post(ROOM, HELLO, KEY)
        assert here.calls() in (["chat.postMessage"], [])
        assert await here.platform.find(ROOM, KEY, MONDAY) is None


async def test_when_who_we_are_is_not_known_nothing_was_posted(database: Database) -> None:
    async with world(database) as here:
        here.slack.fault("auth.test", Fail(502), Drop(accepted=True), Throttle(9))
        with pytest.raises(Busy):
            await here.platform.ready(ROOM)
        with pytest.raises(Busy):
            await here.platform.post(ROOM, HELLO, KEY)
        with pytest.raises(Busy) as busy:
            await here.platform.ready(ROOM)
        assert busy.value.after == timedelta(seconds=9)
        assert here.texts("T1") == []


# --- looking back -----------------------------------------------------------------------------------------------------


async def test_a_person_whose_channel_nobody_knows_is_opened_once(database: Database) -> None:
    async with world(database) as here:
        here.slack.fault("chat.postMessage", Drop(accepted=True))
        with pytest.raises(Broken):
            await here.platform.post(MEI, HELLO, KEY)
        assert await here.memory.find(Account("slack", "T1", "U1")) is None
        assert await here.platform.find(MEI, KEY, MONDAY) is not None
        await here.platform.find(MEI, KEY, MONDAY)
        assert Counter(here.calls()) == {"chat.postMessage": 1, "conversations.open": 1, "conversations.history": 2}


async def test_only_our_own_messages_count_and_only_those_since(database: Database) -> None:
    async with world(database) as here:
        await here.platform.post(ROOM, HELLO, OTHER)
        copied = here.slack.say("T1", "U1", "C1", "Hello")
        copied.blocks = render.message(HELLO, KEY)["blocks"]
        assert await here.platform.find(ROOM, KEY, MONDAY) is None
        await here.platform.post(ROOM, HELLO, KEY)
        assert await here.platform.find(ROOM, KEY, MONDAY) is not None
        # Our clock may be ahead of Slack's by a few minutes.
        assert await here.platform.find(ROOM, KEY, MONDAY + timedelta(minutes=4)) is not None
        assert await here.platform.find(ROOM, KEY, MONDAY + timedelta(minutes=6)) is None


async def test_a_busy_room_is_looked_through_to_the_end(database: Database) -> None:
    async with world(database) as here:
        posted = await here.platform.post(ROOM, HELLO, KEY)
        for number in range(450):
            here.slack.say("T1", "U1", "C1", f"chatter {number}")
        assert await here.platform.find(ROOM, KEY, MONDAY) == posted
        assert here.calls() == ["chat.postMessage"] + ["conversations.history"] * 5
        assert await here.platform.find(ROOM, OTHER, MONDAY) is None


async def test_an_app_that_may_read_a_page_a_minute_comes_to_the_end(database: Database) -> None:
    async with world(database) as here:
        here.slack.commercial = True
        posted = await here.platform.post(ROOM, HELLO, KEY)
        for number in range(40):
            here.slack.say("T1", "U1", "C1", f"chatter {number}")
        pages = 0
        while True:
            try:
                found = await here.platform.find(ROOM, KEY, MONDAY)
                break
            except Busy as busy:
                pages += 1
                assert timedelta(0) < busy.after <= timedelta(minutes=1)
                await here.time.pass_by(busy.after.total_seconds())
        assert (found, pages) == (posted, 2)


async def test_a_look_back_that_is_told_to_wait_asks_nothing_meanwhile(database: Database) -> None:
    async with world(database) as here:
        here.slack.fault("conversations.history", Throttle(30))
        for left in (30, 20, 10):
            with pytest.raises(Busy) as busy:
                await here.platform.find(ROOM, KEY, MONDAY)
            assert busy.value.after == timedelta(seconds=left)
            await here.time.pass_by(10)
        assert here.calls() == ["conversations.history"]
        assert await here.platform.find(ROOM, KEY, MONDAY) is None


@pytest.mark.parametrize(("scope", "to", "named"), [
    ("channels:history", ROOM, "channels:history"), ("im:history", MEI, "im:history"), ("im:write", MEI, "im:write")])
async def test_a_look_back_without_its_scope_names_it(database: Database, scope: str, to: Room | Account, named: str) \
        -> None:
    async with world(database) as here:
        token = here.slack.teams["T1"].token
        assert token is not None
        token.scopes = BOT_SCOPES - {scope}
        with pytest.raises(Hindered, match=f"I lack the scope {named}: add it on the page OAuth & Permissions"):
            await here.platform.find(to, KEY, MONDAY)


async def test_a_look_back_in_a_room_without_us_says_how_to_let_us_in(database: Database) -> None:
    async with world(database) as here:
        here.slack.kick("T1", "C1")
        with pytest.raises(Hindered, match="I am not in the channel: type /invite there and choose me"):
            await here.platform.find(ROOM, KEY, MONDAY)


async def test_a_channel_of_another_app_is_forgotten_and_our_own_opened(database: Database) -> None:
    async with world(database) as here:
        await here.memory.keep(Account("slack", "T1", "U1"), "D0OTHER")
        with pytest.raises(Busy) as busy:
            await here.platform.find(MEI, KEY, MONDAY)
        assert busy.value.after == AGAIN
        assert await here.platform.find(MEI, KEY, MONDAY) is None
        assert await here.memory.find(Account("slack", "T1", "U1")) == here.im("T1", "U1")
        # Once: if our own is not there either, nobody goes round in a circle.
        await here.memory.keep(Account("slack", "T1", "U1"), "D0OTHER")
        with pytest.raises(Unreachable):
            await here.platform.find(MEI, KEY, MONDAY)


async def test_a_look_back_whose_place_slack_has_forgotten_begins_anew(database: Database) -> None:
    async with world(database) as here:
        posted = await here.platform.post(ROOM, HELLO, KEY)
        here.slack.fault("conversations.history", Throttle(1))
        with pytest.raises(Busy):
            await here.platform.find(ROOM, KEY, MONDAY)
        ((place, (oldest, _)),) = here.platform._looked.items()
        here.platform._looked[place] = oldest, "of yesterday"
        await here.time.pass_by(1)
        with pytest.raises(Busy):
            await here.platform.find(ROOM, KEY, MONDAY)
        assert await here.platform.find(ROOM, KEY, MONDAY) == posted


def test_a_page_that_names_no_next_one_is_not_taken_for_the_last() -> None:
    with pytest.raises(Broken):
        module._next({"has_more": True})
    assert module._next({"has_more": False, "response_metadata": {"next_cursor": ""}}) == ""


# --- refusals ---------------------------------------------------------------------------------------------------------


def archived(here: World) -> None:
    here.slack.archive("T1", "C1")


def kicked(here: World) -> None:
    here.slack.kick("T1", "C1")


def put_out_of_a_private_channel(here: World) -> None:
    here.slack.teams["T1"].channels["C1"].private = True
    here.slack.kick("T1", "C1")


def deleted(here: World) -> None:
    del here.slack.teams["T1"].channels["C1"]


def without_the_scope(here: World) -> None:
    assert here.slack.teams["T1"].token is not None
    here.slack.teams["T1"].token.scopes = frozenset({"commands"})


def revoked(here: World) -> None:
    here.slack.revoke("T1")


@pytest.mark.parametrize(("what", "cure"), [
    (archived, "the channel is archived: unarchive it, and type /invite there and choose me"),
    (kicked, "I am not in the channel: type /invite there and choose me"),
    (put_out_of_a_private_channel, "I cannot see the channel: if it is private, type /invite there and choose me; if "
                                   "it is deleted, nothing can be posted to its cohort any more"),
    (deleted, "I cannot see the channel: if it is private, type /invite there and choose me; if it is deleted, "
              "nothing can be posted to its cohort any more"),
    (without_the_scope, "I lack the scope chat:write: add it on the page OAuth & Permissions of the app, then install "
                        "the app again"),
    (revoked, "I am not installed in this workspace any more: install the app again"),
])
async def test_what_somebody_can_cure_says_how(database: Database, what: Callable[[World], None], cure: str) -> None:
    async with world(database) as here:
        await here.platform.ready(ROOM)
        what(here)
        with pytest.raises(Hindered) as hindered:
            await here.platform.post(ROOM, HELLO, KEY)
        assert str(hindered.value) == cure
        assert [message for team in ("T1", "T2") for message in here.slack.teams[team].messages()] == []


async def test_a_revoked_token_is_deleted_and_the_other_workspace_goes_on(database: Database) -> None:
    async with world(database) as here:
        here.slack.revoke("T1", "account_inactive")
        for _ in range(2):
            with pytest.raises(Hindered, match="install the app again"):
                await here.platform.ready(ROOM)
        assert await here.store.of("T1") is None
        # The second time there was no token to ask with.
        assert len(here.slack.calls) == 1
        await here.platform.post(Room("slack", "T2", "C1"), HELLO, KEY)


@pytest.mark.parametrize("error", ["user_disabled", "channel_not_found"])
async def test_a_person_whose_account_is_closed_is_gone(database: Database, error: str) -> None:
    async with world(database) as here:
        here.slack.disabled_error = error
        here.slack.disable("T1", "U1")
        with pytest.raises(Gone):
            await here.platform.post(MEI, HELLO, KEY)
        with pytest.raises(Gone):
            await here.platform.find(MEI, KEY, MONDAY)
        await here.platform.post(OLU, HELLO, KEY)
        await here.platform.post(Account("slack", "T2", "U1"), HELLO, KEY)


async def test_a_person_whom_the_workspace_does_not_know_is_gone(database: Database) -> None:
    async with world(database) as here:
        nobody = Account("slack", "T1", "U9")
        with pytest.raises(Gone):
            await here.platform.post(nobody, HELLO, KEY)
        with pytest.raises(Gone):
            await here.platform.find(nobody, KEY, MONDAY)


async def test_a_person_who_is_there_and_cannot_be_written_to_is_unreachable(database: Database) -> None:
    async with world(database) as here:
        bot = Account("slack", "T1", "UBOTT1")
        with pytest.raises(Unreachable):
            await here.platform.post(bot, HELLO, KEY)
        here.slack.disabled_error = "channel_not_found"
        here.slack.disable("T1", "U1")
        here.slack.fault("users.info", Fail(502))
        with pytest.raises(Busy):
            await here.platform.post(MEI, HELLO, KEY)


async def test_an_app_without_a_tab_for_messages_blames_nobody(database: Database) -> None:
    """Else every member who is nudged would have their reminders switched off."""
    async with world(database) as here:
        here.slack.messages_tab = False
        with pytest.raises(Hindered, match="App Home"):
            await here.platform.post(OLU, HELLO, KEY)


@pytest.mark.parametrize(("error", "kind"), [
    ("restricted_action", Hindered), ("restricted_action_read_only_channel", Hindered),
    ("team_access_not_granted", Hindered), ("ekm_access_denied", Hindered), ("no_permission", Hindered),
    ("message_limit_exceeded", Busy), ("rate_limited", Busy), ("team_added_to_org", Busy),
    ("fatal_error", Broken), ("internal_error", Broken),
    ("something_new", Rejected)])
async def test_what_the_emulator_does_not_say_by_itself(
        database: Database, error: str, kind: type[Exception]) -> None:
    async with world(database) as here:
        # What it says of a closed account can be set, so it can be made to say anything.
        here.slack.disabled_error = error
        here.slack.disable("T1", "U1")
        with pytest.raises(kind) as refused:
            await here.platform.post(MEI, HELLO, KEY)
        assert type(refused.value) is kind


async def test_what_is_our_own_mistake_is_logged_without_what_was_said(
        database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(database) as here:
        for payload, error in (({"text": "private words " * 4000}, "msg_too_long"),
                               ({"text": "x", "blocks": [{"type": "private words"}]}, "invalid_blocks"),
                               ({"text": " "}, "no_text")):
            monkeypatch.setattr(render, "message", lambda *_, payload=payload: payload)
            with caplog.at_level(logging.DEBUG), pytest.raises(Rejected, match=f"{error}.* please report it"):
                await here.platform.post(ROOM, HELLO, KEY)
            assert f"Slack refused what should be right: chat.postMessage: {error}" in caplog.messages
        assert not any("private words" in record.getMessage() for record in caplog.records)


# --- pace -------------------------------------------------------------------------------------------------------------


async def test_a_429_stops_that_method_in_that_workspace_and_nothing_else(database: Database) -> None:
    async with world(database) as here:
        await here.platform.post(ROOM, HELLO, KEY)
        here.slack.fault("chat.postMessage", Throttle(30))
        with pytest.raises(Busy) as busy:
            await here.platform.post(ROOM, HELLO, OTHER)
        assert busy.value.after == timedelta(seconds=30)
        before = len(here.slack.calls)
        for waiting in (here.platform.ready(ROOM), here.platform.ready(MEI), here.platform.post(MEI, HELLO, OTHER)):
            with pytest.raises(Busy) as busy:
                await waiting
            assert busy.value.after == timedelta(seconds=30)
        assert len(here.slack.calls) == before
        # Another method, and another workspace.
        assert await here.platform.find(ROOM, KEY, MONDAY) is not None
        elsewhere = Room("slack", "T2", "C1")
        await here.platform.ready(elsewhere)
        await here.platform.post(elsewhere, HELLO, KEY)
        assert here.time.at == 1000.0
        await here.time.pass_by(30)
        await here.platform.ready(ROOM)
        await here.platform.post(ROOM, HELLO, OTHER)


async def test_a_short_wait_is_waited_for(database: Database) -> None:
    async with world(database) as here:
        here.slack.fault("chat.postMessage", Throttle(3))
        with pytest.raises(Busy):
            await here.platform.post(ROOM, HELLO, KEY)
        waiting = asyncio.create_task(here.platform.ready(MEI))
        await here.time.pass_by(2.9)
        assert not waiting.done()
        await here.time.pass_by(0.1)
        await settle()
        assert waiting.done()
        await here.platform.post(MEI, HELLO, KEY)


async def test_reminders_that_are_due_together_meet_no_limit(database: Database) -> None:
    async with world(database) as here:
        people = [Account("slack", "T1", f"U1{number:03d}") for number in range(40)]
        for one in people:
            here.slack.add_user("T1", one.user)

        async def remind(to: Account) -> None:
            await here.platform.ready(to)
            await here.platform.post(to, HELLO, KEY)

        sending = asyncio.gather(*map(remind, people))
        while not sending.done():
            await asyncio.sleep(0.001)
            await here.time.pass_by(0.05)
        await sending
        assert here.slack.limited == Counter()
        assert [len(here.texts("T1", one.user)) for one in people] == [1] * 40


async def test_nine_hundred_reminders_at_once_are_within_what_the_emulator_takes() -> None:
    time, limits = Timeline(), Limits()
    people = [f"U{number}" for number in range(300)]
    passed = await drive([(1000.0, "T1", one) for one in people * 3], time, Pace(time.monotonic, time.sleep))
    for at, team, channel in passed:
        limits.admit("chat.postMessage", team, at, POSTS_A_MINUTE, channel)
    assert 900 / (passed[-1][0] - 1000) >= 0.95 * POSTS_A_MINUTE / 60
    assert len(passed) == 900 and passed[-1][0] - 1000 == pytest.approx((900 - 8) / 4.8, abs=0.01)


async def drive(arrivals: list[tuple[float, str, str]], time: Timeline, pace: Pace) -> list[tuple[float, str, str]]:
    """Who passed when; each comes at their time."""
    passed: list[tuple[float, str, str]] = []

    async def come(at: float, team: str, channel: str) -> None:
        if at > time.at:
            await time.sleep(at - time.at)
        await pace.turn(team, "chat.postMessage", channel)
        passed.append((time.at, team, channel))

    coming = asyncio.gather(*(come(*arrival) for arrival in arrivals))
    await time.run()
    await coming
    return passed


ARRIVALS = st.lists(st.tuples(st.floats(1000, 1010), st.sampled_from(["T1", "T2"]), st.sampled_from(
    [f"C{number}" for number in range(12)])), max_size=60)


def most(times: list[float], window: float) -> int:
    """The most within any window of so many seconds, its end left out."""
    return max((sum(at <= other < at + window - 1e-6 for other in times) for at in times), default=0)


@settings(max_examples=60)
@given(ARRIVALS)
def test_no_channel_and_no_workspace_is_sent_more_than_it_takes(arrivals: list[tuple[float, str, str]]) -> None:
    time = Timeline()
    passed = asyncio.run(drive(arrivals, time, Pace(time.monotonic, time.sleep)))
    assert sorted((team, channel) for _, team, channel in passed) == \
        sorted((team, channel) for _, team, channel in arrivals)
    teams, channels = defaultdict(list), defaultdict(list)
    for at, team, channel in passed:
        teams[team].append(at)
        channels[team, channel].append(at)
    assert all(later - earlier >= 1 / CHANNEL.a_second - 1e-6
               for times in channels.values() for earlier, later in pairwise(times))
    whole = WORKSPACE["chat.postMessage"]
    assert all(most(times, seconds) <= whole.burst + whole.a_second * seconds
               for times in teams.values() for seconds in (1.0, 5.0, 60.0))


@settings(max_examples=30)
@given(ARRIVALS)
def test_no_workspace_waits_for_another(arrivals: list[tuple[float, str, str]]) -> None:
    def alone(team: str) -> list[tuple[float, str, str]]:
        time = Timeline()
        return asyncio.run(drive([one for one in arrivals if one[1] == team], time, Pace(time.monotonic, time.sleep)))

    time = Timeline()
    together = asyncio.run(drive(arrivals, time, Pace(time.monotonic, time.sleep)))
    for team in ("T1", "T2"):
        ours = [at for at, of, _ in together if of == team]
        assert ours == pytest.approx([at for at, *_ in alone(team)], abs=0.01)


async def test_who_comes_first_passes_first() -> None:
    time = Timeline()
    passed = await drive([(1000.0, "T1", f"C{number}") for number in range(60)], time, Pace(time.monotonic, time.sleep))
    assert [channel for *_, channel in passed] == [f"C{number}" for number in range(60)]
    assert passed[-1][0] - 1000 == pytest.approx((60 - WORKSPACE["chat.postMessage"].burst) / 4.8, abs=0.01)


async def test_who_gives_up_has_taken_nothing() -> None:
    time = Timeline()
    pace = Pace(time.monotonic, time.sleep)
    waiting = [asyncio.create_task(pace.turn("T1", "chat.postMessage", "C1")) for _ in range(10)]
    await time.pass_by(0.5)
    for one in waiting[1:9]:
        one.cancel()
    await asyncio.gather(*waiting[1:9], return_exceptions=True)
    assert not waiting[9].done()
    await time.pass_by(0.5)
    assert waiting[9].done() and not waiting[9].cancelled()
    whole = pace._gate("T1", "chat.postMessage")
    assert (whole.users, whole.full) == (0, 1000.0 + 1 + 1 / 4.8)


async def test_who_waits_when_the_429_comes_gives_way_at_once() -> None:
    time = Timeline()
    pace = Pace(time.monotonic, time.sleep)
    await pace.turn("T1", "chat.postMessage", "C1")
    waiting = [asyncio.create_task(pace.turn("T1", "chat.postMessage", "C1")) for _ in range(3)]
    await settle()
    pace.close("T1", "chat.postMessage", timedelta(seconds=PATIENCE + 20))
    await time.pass_by(1)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Busy] * 3


async def test_gates_that_nobody_uses_are_forgotten_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    time = Timeline()
    pace = Pace(time.monotonic, time.sleep)
    pace.close("T2", "chat.postMessage", timedelta(hours=1))
    for number in range(100):
        await pace.turn("T1", "chat.postMessage", f"C{number}")
        await time.pass_by(2)
    assert len(pace._gates) <= 10
    assert pace.closing("T2", "chat.postMessage") == timedelta(hours=1) - timedelta(seconds=200)


async def test_turns_to_open_keep_within_fifty_a_minute() -> None:
    time = Timeline()
    pace = Pace(time.monotonic, time.sleep)
    passed: list[float] = []

    async def come() -> None:
        await pace.turn("T1", "conversations.open")
        passed.append(time.at)

    coming = asyncio.gather(*(come() for _ in range(150)))
    await time.run()
    await coming
    assert most(passed, 60.0) <= 50


# --- with the herald --------------------------------------------------------------------------------------------------


async def test_a_welcome_that_was_cut_off_is_in_the_room_once(ledger: StoredLedger, database: Database) -> None:
    def opened(tx: Transaction) -> tuple[CohortId, datetime]:
        cohort = tx.open_cohort("Ninety & co", START, "Europe/Berlin", edition(), ROOM, None, "salt", OPENED)
        (welcome, *_) = posts(cohort)
        tx.owe([welcome])
        return cohort.id, welcome.due

    id, due = await ledger.transact(opened)
    async with world(database) as here:
        clock = VirtualClock(due)
        here.slack.now = clock.now
        herald = Herald(ledger, {"slack": here.platform}, clock)
        here.slack.fault("chat.postMessage", Drop(accepted=True))
        await herald.drain(Lane("slack", False), clock.now())
        (cut,) = await ledger.transact(lambda tx: tx.deliveries(id))
        assert cut.state is State.UNKNOWN
        clock.reach(due + timedelta(minutes=2))
        await here.time.pass_by(120)
        await herald.drain(Lane("slack", False), clock.now())
        (found,) = await ledger.transact(lambda tx: tx.deliveries(id))
        (posted,) = here.slack.history("T1", "C1")
        assert (found.state, found.reason) == (State.SENT, "found in the room after a send that was cut off")
        assert found.receipt is not None and found.receipt.message == posted.ts


# --- many workspaces --------------------------------------------------------------------------------------------------


async def test_the_backlog_of_one_workspace_holds_no_other_back(ledger: StoredLedger, database: Database) -> None:
    """Three hundred wait in the first, which takes five a second; the second's twelve are due after them."""
    sent: list[str] = []
    crowd: Counter[str] = Counter()
    go = asyncio.Event()

    class Slow:
        async def ready(self, to: Room | Account) -> None:
            crowd[to.workspace] += 1
            assert crowd[to.workspace] <= AT_ONCE
            if to.workspace == "T1":
                await go.wait()

        async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
            crowd[to.workspace] -= 1
            sent.append(to.workspace)
            if sent.count("T2") == 12:
                go.set()
            return Receipt("1", "#", MONDAY)

        async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
            raise AssertionError

        async def award(self, to: Account, room: Room, role: str) -> None:
            raise AssertionError

    def owed(tx: Transaction) -> datetime:
        due = OPENED
        for team, members in (("T1", 300), ("T2", 12)):
            cohort = tx.open_cohort(team, START, "Europe/Berlin", edition(), Room("slack", team, "C1"), None, "salt",
                                    OPENED)
            for number in range(members):
                member = tx.add_member(cohort.id, Account("slack", team, f"U{number}"), f"M {number}", f"A {number}",
                                       True, "Europe/Berlin", True)
                tx.append(member, Joined(OPENED, "Europe/Berlin", cohort.edition.plan.steps[0].id), RequestId("joined"))
                one = nudge(cohort, member, Record(cohort.course, tx.journal(member.id), OPENED),
                            cohort.edition.plan.steps[0])
                tx.owe([one])
                due = max(due, one.due)
        return due

    clock = VirtualClock(await ledger.transact(owed))
    herald = Herald(ledger, {"slack": Slow()}, clock, at_once={"slack": AtOnce(20 * AT_ONCE, AT_ONCE)})
    async with asyncio.timeout(30):
        await herald.drain(Lane("slack", True), clock.now())
    assert Counter(sent) == {"T1": 300, "T2": 12}
    assert sent[:12] == ["T2"] * 12
