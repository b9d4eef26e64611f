"""Discord as the herald uses it: what is sent, what is found again, and what an organiser reads when it goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.cohort.journal import Joined
from bot.cohort.scoring import Record
from bot.direct import DirectChannels
from bot.discord import platform as module
from bot.discord import render
from bot.discord.platform import AGAIN, PATIENCE, TOO_FAST_FOR, DiscordPlatform
from bot.discord.rest import KEPT, Broken, Rest
from bot.herald import AtOnce, Busy, Gone, Herald, Hindered, Rejected, Unreachable, nudge
from bot.ledger import Account, CohortId, Lane, Receipt, RequestId, Room, State, Transaction
from bot.messages import Button, DeliveryKey, Message, markdown, tag
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, START, edition
from tests.bot.discord.wire import (
    TOKEN,
    FastClock,
    Handler,
    Said,
    Server,
    StillClock,
    cut,
    hang,
    refusal,
    resting,
    settle,
    too_many,
)
from tests.emulators.discord import Cut, Discord
from tests.emulators.discord_world import BOT_MAY, Permission

ROOM = Room("discord", "500", "600")
MEI = Account("discord", "", "11")
OLU = Account("discord", "", "12")
KEY = DeliveryKey("1:week-1:week_opens")
HELLO = Message(markdown("Hello"), (markdown("private words"),))
MONDAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
ME = "77"

POST, OPEN, GUILD = "POST /channels/600/messages", "POST /users/@me/channels", "GET /guilds/500"


def snowflake(at: datetime, number: int = 0) -> str:
    return str((int(at.timestamp() * 1000) - 1_420_070_400_000 << 22) + number)


POSTED = Said(json={"id": snowflake(MONDAY), "channel_id": "600"})


@asynccontextmanager
async def discord(database: Database, clock: StillClock | FastClock | None = None) \
        -> AsyncIterator[tuple[DiscordPlatform, Server]]:
    clock = clock or StillClock()
    async with resting(clock) as (rest, server):
        yield DiscordPlatform(rest, DirectChannels(database), monotonic=clock.monotonic, sleep=clock.sleep), server


def receipt(number: str, channel: str = "600", server: str = "500", at: datetime = MONDAY) -> Receipt:
    return Receipt(number, f"https://discord.com/channels/{server}/{channel}/{number}", at)


# --- posts ------------------------------------------------------------------------------------------------------------


async def test_a_post_to_the_room_is_one_call_that_discord_can_recognise(database: Database) -> None:
    async with discord(database) as (platform, server):
        server.put(POST, POSTED)
        await platform.ready(ROOM)
        assert await platform.post(ROOM, HELLO, KEY) == receipt(snowflake(MONDAY))
        assert server.seen == [POST]
        assert server.bodies == [{**render.message(HELLO, KEY), "nonce": tag(KEY), "enforce_nonce": True}]


async def test_a_direct_message_goes_to_a_channel_that_is_opened_once_and_for_all(database: Database) -> None:
    async with discord(database) as (platform, server):
        server.put(OPEN, Said(json={"id": "901"}))
        server.put("POST /channels/901/messages", POSTED, POSTED, POSTED)
        await platform.ready(MEI)
        assert server.seen == [OPEN]
        assert server.bodies == [{"recipient_id": "11"}]
        # A thread below a direct message there cannot be.
        assert await platform.post(MEI, replace(HELLO, thread="Week 1"), KEY) == \
            receipt(snowflake(MONDAY), "901", "@me")
        await platform.ready(MEI)
        await platform.post(MEI, HELLO, KEY)
        assert server.seen[1:] == ["POST /channels/901/messages"] * 2
    async with discord(database) as (restarted, server):
        server.put("POST /channels/901/messages", POSTED)
        await restarted.ready(MEI)
        await restarted.post(MEI, HELLO, KEY)
        assert server.seen == ["POST /channels/901/messages"]


@pytest.mark.parametrize("answer", [Said(500, {}), Said(503, {}), cut, Said(json=["?"]), Said(json={"id": 1})])
async def test_a_post_of_which_nobody_knows_is_sent_once_and_raised(database: Database, answer: Said | Handler) -> None:
    async with discord(database) as (platform, server):
        server.put(POST, answer)
        with pytest.raises(Broken):
            await platform.post(ROOM, HELLO, KEY)
        assert server.seen == [POST]


# --- threads ----------------------------------------------------------------------------------------------------------


THREADED = replace(HELLO, thread="Week 1: Search")
THREAD = f"POST /channels/600/messages/{snowflake(MONDAY)}/threads"


async def test_a_message_with_a_thread_gets_one_below_it(database: Database) -> None:
    async with discord(database) as (platform, server):
        server.put(POST, POSTED)
        assert await platform.post(ROOM, THREADED, KEY) == receipt(snowflake(MONDAY))
        assert server.seen == [POST, THREAD]
        assert server.bodies[1] == {"name": "Week 1: Search", "auto_archive_duration": 10080}


@pytest.mark.parametrize(("answer", "told"), [
    (refusal(403, 50013), "give me the permission Create Public Threads there"),
    (refusal(400, 160006, "Maximum number of active threads reached"), "160006"),
    (refusal(401, 0), "401"),
    (too_many(2, "user"), "limited"),
    (Said(500, {}), "500"),
    (cut, "no answer"),
    (hang, "no answer"),
    (refusal(400, 160004), None),
])
async def test_a_thread_that_cannot_be_opened_does_not_undo_the_post(
        database: Database, answer: Said | Handler, told: str | None, caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THREAD", 0.05)
    async with discord(database) as (platform, server):
        server.put(POST, POSTED)
        server.put(THREAD, answer)
        assert await platform.post(ROOM, THREADED, KEY) == receipt(snowflake(MONDAY))
        assert server.seen == [POST, THREAD]
    warnings = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert len(warnings) == (told is not None)
    assert (told or "") in "".join(warnings)
    assert "private words" not in caplog.text


# --- channels of direct messages --------------------------------------------------------------------------------------


async def opened(request: web.Request) -> web.StreamResponse:
    return Said(json={"id": str(9000 + int((await request.json())["recipient_id"]))}).response()


async def test_a_hundred_reminders_open_one_channel_a_second(database: Database) -> None:
    """Bots that opened 20 to 50 quickly were quarantined."""
    clock = FastClock(100)
    async with discord(database, clock) as (platform, server):
        async def remind(user: int) -> None:
            server.put(f"POST /channels/{9000 + user}/messages", POSTED)
            to = Account("discord", "", str(user))
            while True:
                await platform.ready(to)
                try:
                    await platform.post(to, HELLO, KEY)
                    break
                except Busy as busy:
                    await clock.sleep(busy.after.total_seconds())

        server.put(OPEN, *[opened] * 100)
        await asyncio.gather(*(remind(user) for user in range(100)))
        openings = [at for at, seen in zip(server.at, server.seen, strict=True) if seen == OPEN]
        posts = sorted(seen for seen in server.seen if seen != OPEN)
    assert len(openings) == 100
    assert min(later - sooner for sooner, later in pairwise(openings)) >= 1
    assert posts == sorted(f"POST /channels/{9000 + user}/messages" for user in range(100))


async def test_nobody_waits_for_those_whose_channel_is_not_known(ledger: StoredLedger, database: Database) -> None:
    """Fifty are new, and due before twenty others; and Discord does not open the first of their channels before all of
    the twenty have been written to."""
    def owed(tx: Transaction) -> datetime:
        cohort = tx.open_cohort("Autumn", START, "Europe/Berlin", edition(), ROOM, None, "salt", OPENED)
        step, due = cohort.edition.plan.steps[0], OPENED
        for user in range(70):
            member = tx.add_member(cohort.id, Account("discord", "", str(user)), f"M {user}", f"A {user}", True,
                                   "Europe/Berlin", True)
            tx.append(member, Joined(OPENED, "Europe/Berlin", step.id), RequestId("joined"))
            one = nudge(cohort, member, Record(cohort.course, tx.journal(member.id), OPENED), step)
            tx.owe([one])
            due = max(due, one.due)
        return due

    async def taken(request: web.Request) -> web.StreamResponse:
        if len(server.seen) - server.seen.count(OPEN) == 20:
            all_others.set()
        return POSTED.response()

    async def opened_late(request: web.Request) -> web.StreamResponse:
        await all_others.wait()
        return await opened(request)

    at, clock, all_others = await ledger.transact(owed), FastClock(30), asyncio.Event()
    herald_clock, week = VirtualClock(at), timedelta(days=7)
    async with discord(database, clock) as (platform, server):
        for user in range(70):
            server.put(f"POST /channels/{9000 + user}/messages", taken)
        for user in range(50, 70):
            await DirectChannels(database).keep(Account("discord", "", str(user)), str(9000 + user))
        server.put(OPEN, opened_late, *[opened] * 49)
        herald = Herald(ledger, {"discord": platform}, herald_clock, at_once={"discord": AtOnce(40, 40)})
        async with asyncio.timeout(30):
            due = await herald.drain(Lane("discord", True), at)
            put_off = [one.reason for one in await ledger.transact(lambda tx: tx.deliveries(CohortId(1)))
                       if one.state is State.OWED]
            while due is not None and due < at + week:
                herald_clock.reach(due)
                due = await herald.drain(Lane("discord", True), due)
    assert Counter(server.seen) == Counter(
        [*[OPEN] * 50, *(f"POST /channels/{9000 + user}/messages" for user in range(70))])
    # Each with an instant of their own to come back at.
    assert len(put_off) == len(set(put_off)) == 50 - (PATIENCE + 1)


async def test_openings_are_first_come_first_served_and_who_leaves_the_queue_costs_no_turn(database: Database) -> None:
    clock = StillClock()
    async with discord(database, clock) as (platform, server):
        opened = 0

        async def open_next() -> None:
            nonlocal opened
            opened += 1
            await server.requests(opened)
            while not await DirectChannels(database).find(Account("discord", "", people[opened - 1])):
                await settle()
            await settle()

        server.put(OPEN, *(Said(json={"id": number}) for number in ("901", "902", "903", "904")))
        people = ["1", "2", "4"]
        turns = {user: asyncio.create_task(platform.ready(Account("discord", "", user))) for user in ("1", "2", "3")}
        await open_next()
        twice = [asyncio.create_task(platform.ready(Account("discord", "", "4"))) for _ in range(2)]
        await database.run(lambda _: None)
        await settle()
        turns["3"].cancel()
        await clock.pass_by(0.9)
        assert len(server.seen) == 1
        await clock.pass_by(0.2)
        await open_next()
        await clock.pass_by(1.1)
        await open_next()
        await clock.pass_by(KEPT + 1)  # the second of the two waits for the turn that the first leaves unused
        await asyncio.gather(turns["1"], turns["2"], *twice)
        assert server.bodies == [{"recipient_id": user} for user in people]


@pytest.mark.parametrize(("answer", "kind", "after"), [
    (refusal(403, 50007), Unreachable, None),
    (refusal(400, 50033), Unreachable, None),
    (refusal(403, 50001), Unreachable, None),
    (refusal(403, 50278), Gone, None),
    (refusal(404, 10013), Gone, None),
    (refusal(403, 20026), Hindered, None),
    (refusal(401, 0), Hindered, None),
    (refusal(400, 50035), Rejected, None),
    (refusal(400, 40003), Busy, TOO_FAST_FOR),
    (too_many(7, "user"), Busy, timedelta(seconds=7)),
    (Said(500, {}), Busy, AGAIN),
    (cut, Busy, AGAIN),
])
async def test_why_a_channel_was_not_opened_is_what_the_post_says(
        database: Database, answer: Said | Handler, kind: type[Exception], after: timedelta | None) -> None:
    """Nothing was posted, so even a line that was cut leaves nothing unknown."""
    async with discord(database) as (platform, server):
        server.put(OPEN, answer)
        await platform.ready(MEI)
        with pytest.raises((Rejected, Hindered, Busy)) as error:
            await platform.post(MEI, HELLO, KEY)
        assert (type(error.value), getattr(error.value, "after", None)) == (kind, after)
        assert server.seen == [OPEN]
        assert await DirectChannels(database).find(Account("discord", "", "11")) is None


async def test_what_was_refused_once_is_asked_again_in_the_next_turn(database: Database) -> None:
    clock = StillClock()
    async with discord(database, clock) as (platform, server):
        server.put(OPEN, refusal(403, 50007), Said(json={"id": "901"}))
        server.put("POST /channels/901/messages", POSTED)
        await platform.ready(MEI)
        await clock.pass_by(1)
        await platform.ready(MEI)
        assert await platform.post(MEI, HELLO, KEY) == receipt(snowflake(MONDAY), "901", "@me")


async def test_when_discord_says_too_fast_nobody_opens_another_for_a_while(database: Database) -> None:
    clock = StillClock()
    async with discord(database, clock) as (platform, server):
        server.put(OPEN, refusal(400, 40003))
        await platform.ready(MEI)
        next_one = asyncio.create_task(platform.ready(OLU))
        await database.run(lambda _: None)
        await clock.pass_by(30)
        assert server.seen == [OPEN]
        next_one.cancel()


async def test_a_channel_of_another_application_is_opened_anew_but_not_for_ever(database: Database) -> None:
    """The organiser has given us the token of a new application: its predecessor's channels are not ours."""
    clock = StillClock()
    await DirectChannels(database).keep(Account("discord", "", "11"), "800")
    async with discord(database, clock) as (platform, server):
        server.put("POST /channels/800/messages", refusal(403, 50001))
        with pytest.raises(Busy):
            await platform.post(MEI, HELLO, KEY)
        server.put(OPEN, Said(json={"id": "901"}))
        server.put("POST /channels/901/messages", refusal(403, 50001))
        await platform.ready(MEI)
        with pytest.raises(Unreachable):
            await platform.post(MEI, HELLO, KEY)
        assert server.seen == ["POST /channels/800/messages", OPEN, "POST /channels/901/messages"]


# --- looking back -----------------------------------------------------------------------------------------------------


@dataclass
class History:
    """A channel that gives its messages as Discord does: those next to `after`, the newest of them first."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)
    shown: bool = True

    def add(self, at: datetime, number: int = 0, payload: Mapping[str, Any] | None = None, author: str = ME) -> str:
        found = {"id": snowflake(at, number), "author": {"id": author}, "components": [], **(payload or {})}
        self.messages.append(found)
        return str(found["id"])

    async def list(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        if not 1 <= limit <= 100 or set(request.query) != {"after", "limit"}:
            return refusal(400, 50035).response()
        page = sorted((one for one in self.messages if int(one["id"]) > after), key=lambda one: int(one["id"]))[:limit]
        return Said(json=page[::-1] if self.shown else []).response()


def looking(server: Server, history: History, channel: str = "600") -> None:
    server.put("GET /users/@me", Said(json={"id": ME}))
    server.put(f"GET /channels/{channel}/messages", *[history.list] * 9)


@pytest.mark.parametrize("place", [0, 99, 100, 199, 200, 249])
async def test_a_message_is_found_wherever_it_stands_among_many(database: Database, place: int) -> None:
    history = History()
    ids = [history.add(MONDAY + timedelta(seconds=number), number, render.message(
        HELLO, KEY if number == place else DeliveryKey(f"other {number}"))) for number in range(250)]
    async with discord(database) as (platform, server):
        looking(server, history)
        found = await platform.find(ROOM, KEY, MONDAY)
        assert found == receipt(ids[place], at=MONDAY + timedelta(seconds=place))
        assert len(server.seen) == 2 + place // 100


@pytest.mark.parametrize("number", [1, 100, 250, 300])
async def test_what_is_not_there_is_not_found_and_every_page_is_read(database: Database, number: int) -> None:
    history = History()
    for one in range(number):
        history.add(MONDAY + timedelta(seconds=one), one, render.message(HELLO, DeliveryKey(f"other {one}")))
    async with discord(database) as (platform, server):
        looking(server, history)
        server.put(f"GET /channels/600/messages/{history.messages[-1]['id']}", refusal(404, 10008))
        assert await platform.find(ROOM, KEY, MONDAY) is None
        listed = [seen for seen in server.seen if "?" in seen]
        assert len(listed) == number // 100 + 1


async def test_only_our_own_messages_since_then_are_looked_at(database: Database) -> None:
    """Our clock may be five minutes ahead of Discord's."""
    pressed = replace(HELLO, buttons=(Button("Check in", "checkin"),))
    for drawn in (HELLO, pressed):
        history, payload = History(), render.message(drawn, KEY)
        history.add(MONDAY + timedelta(minutes=1), payload=payload, author="99")
        history.add(MONDAY - timedelta(minutes=5, seconds=1), payload=payload)
        async with discord(database) as (platform, server):
            looking(server, history)
            assert await platform.find(ROOM, KEY, MONDAY) is None
            at = MONDAY - timedelta(minutes=4, seconds=59)
            here = history.add(at, payload=payload)
            assert await platform.find(ROOM, KEY, MONDAY) == receipt(here, at=at)
            assert server.seen.count("GET /users/@me") == 1


async def test_a_channel_that_shows_no_history_is_not_taken_for_an_empty_one(database: Database) -> None:
    """Discord then lists nothing and says nothing: what is there already would be posted again."""
    asked = f"GET /channels/600/messages/{snowflake(MONDAY - timedelta(minutes=5))}"
    for answer, permission in ((refusal(403, 50013), "Read Message History"),
                               (refusal(403, 50001), "View Channel and Read Message History")):
        history = History(shown=False)
        history.add(MONDAY, payload=render.message(HELLO, KEY))
        async with discord(database) as (platform, server):
            looking(server, history)
            server.put(asked, answer)
            with pytest.raises(Hindered, match=f"<#600>.*{permission}"):
                await platform.find(ROOM, KEY, MONDAY)
    async with discord(database) as (platform, server):
        looking(server, History())
        server.put(asked, refusal(404, 10008))
        assert await platform.find(ROOM, KEY, MONDAY) is None
        assert server.seen[-1] == asked


async def test_a_direct_message_of_a_process_that_died_is_found(database: Database) -> None:
    """It opened the channel, posted, and died before it kept the channel's id; opening again gives the same one."""
    history = History()
    here = history.add(MONDAY, payload=render.message(HELLO, KEY))
    async with discord(database) as (platform, server):
        server.put(OPEN, Said(json={"id": "901"}))
        looking(server, history, "901")
        assert await platform.find(MEI, KEY, MONDAY) == receipt(here, "901", "@me")
        assert await DirectChannels(database).find(Account("discord", "", "11")) == "901"


@pytest.mark.parametrize(("answer", "kind"), [
    (too_many(3, "user"), Busy), (refusal(404, 10003), Rejected), (refusal(401, 0), Hindered), (cut, Broken)])
async def test_a_look_back_that_fails_is_no_answer(database: Database, answer: Said | Handler, kind: type[Exception]) \
        -> None:
    async with discord(database) as (platform, server):
        server.put("GET /users/@me", Said(json={"id": ME}))
        server.put("GET /channels/600/messages", answer, answer)
        with pytest.raises(kind):
            await platform.find(ROOM, KEY, MONDAY)


# --- what an organiser reads ------------------------------------------------------------------------------------------


REMOVED = "I am no longer in the server: invite me again with the link that `ninety doctor discord` prints"
INVALID = ("the token is not valid any more: copy a new one from the page Bot of the application in Discord's "
           "developer portal to the settings, and start me again")
BUG = "Discord refused what I sent (400, code 50035: Invalid Form Body): this is a mistake in Ninety, please report it"
HERE = Said(json={"id": "500"})


@pytest.mark.parametrize(("answer", "guild", "kind", "text"), [
    (refusal(403, 50013), None, Hindered,
     "Discord does not let me post in <#600>: give me the permission Send Messages there (if it is a thread, Send "
     "Messages in Threads)"),
    (refusal(403, 50001), HERE, Hindered, "I cannot see <#600>: give me the permission View Channel there"),
    (refusal(403, 50001), refusal(404, 10004), Hindered, REMOVED),
    (refusal(403, 50001), refusal(403, 50001), Hindered, REMOVED),
    (refusal(403, 50001), refusal(401, 0), Hindered, INVALID),
    (refusal(403, 50001), Said(500, {}), Hindered,
     "I cannot see <#600>: give me the permission View Channel there; or, if I am not in the server, invite me again"),
    (refusal(404, 10004), None, Hindered, REMOVED),
    (refusal(404, 10003), None, Rejected,
     "the channel <#600> is deleted: nothing can be posted to its cohort any more"),
    (refusal(400, 160005), None, Hindered,
     "the thread <#600> is locked: unlock it, or give me the permission Manage Threads"),
    (refusal(400, 200000), None, Hindered,
     "AutoMod blocks my messages in <#600>: let one of my roles pass its rules, in its settings"),
    (refusal(401, 0), None, Hindered, INVALID),
    (refusal(403, 20026), None, Hindered,
     "Discord has stopped me as a suspected sender of spam: whoever owns the application can appeal at "
     "https://dis.gd/app-quarantine"),
    (refusal(400, 50035, "Invalid Form Body"), None, Rejected, BUG),
])
async def test_a_post_that_is_refused_says_what_is_to_be_done(
        database: Database, answer: Said, guild: Said | None, kind: type[Exception], text: str,
        caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with discord(database) as (platform, server):
        server.put(POST, answer)
        if guild is not None:
            server.put(GUILD, guild)
        with pytest.raises((Rejected, Hindered)) as error:
            await platform.post(ROOM, HELLO, KEY)
        assert (type(error.value), str(error.value)) == (kind, text)
        assert server.seen == ([POST] if guild is None else [POST, GUILD])
    # Only what we did wrong ourselves is an error in the log, and without what was sent.
    assert [record.getMessage() for record in caplog.records if record.name == module.__name__] == \
        (["Discord refused what should be right: 400, code 50035: Invalid Form Body"] if text == BUG else [])


async def test_a_room_that_is_limited_is_busy_for_as_long_as_discord_says(database: Database) -> None:
    clock = StillClock()
    async with discord(database, clock) as (platform, server):
        server.put(POST, too_many(12.5, "shared"))
        with pytest.raises(Busy) as busy:
            await platform.post(ROOM, HELLO, KEY)
        assert busy.value.after == timedelta(seconds=12.5)
        assert server.seen == [POST]
        turn = asyncio.create_task(platform.ready(ROOM))
        await clock.pass_by(12.4)
        assert not turn.done()
        await clock.pass_by(0.2)
        assert turn.done()


# --- roles ------------------------------------------------------------------------------------------------------------


ROLE = "PUT /guilds/500/members/11/roles/42"
MAY_NOT = ("I may not give the role <@&42>: give me the permission Manage Roles, and drag my own role above it in the "
           "server's settings")


async def test_a_role_is_given_and_may_be_given_again(database: Database) -> None:
    async with discord(database) as (platform, server):
        server.put(ROLE, Said(204), Said(204))
        await platform.award(MEI, ROOM, "42")
        await platform.award(MEI, ROOM, "42")
        assert server.seen == [ROLE, ROLE]


@pytest.mark.parametrize(("answer", "guild", "kind", "text"), [
    (refusal(403, 50013), None, Hindered, MAY_NOT),
    (refusal(403, 50001), HERE, Hindered, MAY_NOT),
    (refusal(403, 50001), refusal(404, 10004), Hindered, REMOVED),
    (refusal(404, 10004), None, Hindered, REMOVED),
    (refusal(404, 10007), None, Gone, "the person has left the server"),
    (refusal(404, 10013), None, Gone, "the person has left the server"),
    (refusal(404, 10011), None, Rejected, "the role 42 is deleted: choose another one"),
    (refusal(400, 50028), None, Rejected, "the role <@&42> cannot be given by anybody: choose another one"),
    (refusal(403, 60003), None, Hindered,
     "the server asks whoever gives roles for two-factor authentication: the owner of my application must turn it on"),
    (refusal(401, 0), None, Hindered, INVALID),
    (refusal(400, 50035, "Invalid Form Body"), None, Rejected, BUG),
    (too_many(4, "user"), None, Busy, "asked to wait 0:00:04"),
    (Said(500, {}), None, Broken, "answered 500"),
])
async def test_a_role_that_is_refused_says_what_is_to_be_done(
        database: Database, answer: Said, guild: Said | None, kind: type[Exception], text: str) -> None:
    async with discord(database) as (platform, server):
        server.put(ROLE, answer)
        if guild is not None:
            server.put(GUILD, guild)
        with pytest.raises((Rejected, Hindered, Busy, Broken)) as error:
            await platform.award(MEI, ROOM, "42")
        assert (type(error.value), str(error.value)) == (kind, text)


# --- against the whole of Discord -------------------------------------------------------------------------------------


async def test_the_herald_gets_by_on_discord(database: Database) -> None:
    """Posts with a thread, reminders, roles and looks back, as the emulated Discord takes and refuses them."""
    async with Discord(token=TOKEN) as emulated, aiohttp.ClientSession() as session:
        guild = emulated.add_guild("Ninety")
        channel, ada = emulated.add_channel(guild, "cohort"), emulated.add_member(guild, "Ada")
        bea, role = emulated.add_member(guild, "Bea"), emulated.add_role(guild, "Graduate")
        room, to = Room("discord", guild.id, channel.id), Account("discord", "", ada.id)
        platform = DiscordPlatform(Rest(session, TOKEN, emulated.api_url), DirectChannels(database),
                                   timedelta(milliseconds=1))
        since = datetime.now(UTC) - timedelta(seconds=1)
        assert await platform.find(room, KEY, since) is None
        await platform.ready(room)
        posted = await platform.post(room, THREADED, KEY)
        assert await platform.post(room, THREADED, KEY) == posted
        assert await platform.find(room, KEY, since) == posted
        assert [message.id for message in emulated.history(channel)] == [posted.message]

        await platform.ready(to)
        emulated.fail("POST /channels/*/messages", Cut(after=True))
        with pytest.raises(Broken):
            await platform.post(to, HELLO, KEY)
        found = await platform.find(to, KEY, since)
        assert found is not None
        assert [message.id for message in emulated.history(emulated.dm(ada))] == [found.message]
        emulated.close_dms(bea)
        closed = Account("discord", "", bea.id)
        await platform.ready(closed)
        with pytest.raises(Unreachable):
            await platform.post(closed, HELLO, KEY)

        await platform.award(to, room, role.id)
        assert emulated.roles_of(guild, ada) == {"Graduate"}
        await emulated.set_permissions(channel, BOT_MAY & ~Permission.READ_MESSAGE_HISTORY)
        with pytest.raises(Hindered, match="Read Message History"):
            await platform.find(room, KEY, since)
        await emulated.set_permissions(channel, BOT_MAY & ~Permission.SEND_MESSAGES)
        with pytest.raises(Hindered, match="Send Messages"):
            await platform.post(room, HELLO, DeliveryKey("another"))
        await emulated.remove_bot(guild)
        with pytest.raises(Hindered, match="invite me again"):
            await platform.post(room, HELLO, DeliveryKey("another"))
