"""What goes wrong on Discord, and what the real process makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bot.cohort.journal import CheckedIn, Entry
from bot.ledger import Cohort, State
from content.loading import default_path
from content.model import PostKind
from tests.bot.discord.stage import Stage, account, board_in, guide, is_refused, local, stage, title, told, until
from tests.bot.process import ROOT
from tests.emulators.discord import Broken, Cut, Limited, Permission, Slow
from tests.emulators.discord_world import BOT_MAY, User

OPENED, START, ZONE = datetime(2027, 1, 25, 12, tzinfo=UTC), date(2027, 2, 1), "Europe/Berlin"
WELCOME = local(date(2027, 1, 29), "09:00", ZONE)
WEEK_1 = local(START, "09:00", ZONE)
NUDGE_1 = local(date(2027, 2, 7), "17:00", ZONE)
WEEK = timedelta(days=7)
MINUTES = timedelta(minutes=1)
OTHER = "MTA.of-somebody-else"
STEPS = guide().plans["ninety-days"].steps


@asynccontextmanager
async def town_of(folder: Path, *names: str, now: datetime = OPENED) -> AsyncIterator[tuple[Stage, Cohort, list[User]]]:
    """With a cohort of these people, all of Berlin. No process runs yet."""
    async with stage(folder, OPENED) as town:
        users = town.join(*names)
        cohort = await town.open(START, ZONE, dict.fromkeys(users, ZONE))
        town.clock.reach(now)
        yield town, cohort, users


def journal(town: Stage, cohort: Cohort, user: User) -> tuple[Entry, ...]:
    member = town.member(cohort, user)
    return town.read(lambda tx: tx.journal(member.id))


def checked_in(town: Stage, cohort: Cohort, user: User) -> list[str]:
    """Of which steps, in this order."""
    return [entry.event.step for entry in journal(town, cohort, user) if isinstance(entry.event, CheckedIn)]


def states(town: Stage, cohort: Cohort, now: datetime) -> Counter[State]:
    """Of what was due by now."""
    return Counter(one.state for one in town.deliveries(cohort) if one.delivery.due <= now)


# --- coming and going -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def ninety_run(town: Stage, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, **town.environment, "NINETY_PORT": str(port), **more})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_sigterm_says_goodbye_to_the_gateway(tmp_path: Path) -> None:
    """A session that is left without a word shows the bot as online for minutes."""
    async with stage(tmp_path, datetime.now(UTC)) as town, ninety_run(town) as ninety:
        await town.on_discord()
        began = time.monotonic()
        ninety.terminate()
        _, said = await asyncio.wait_for(ninety.communicate(), 10)

        assert (ninety.returncode, town.discord.gateway.closes) == (0, [1000]), said.decode()
        assert time.monotonic() - began < 10


async def test_a_bad_token_ends_the_process_and_says_where_to_get_a_good_one(tmp_path: Path) -> None:
    async with stage(tmp_path, datetime.now(UTC)) as town, \
            ninety_run(town, NINETY_DISCORD_TOKEN=OTHER) as ninety:
        _, said = await asyncio.wait_for(ninety.communicate(), 30)

        assert ninety.returncode == 1
        last = said.decode().splitlines()[-1]
        assert last.startswith("ninety: Discord does not know this token: copy a new one from the page Bot")
        assert OTHER not in said.decode()


async def test_sigterm_in_a_long_wave_leaves_nothing_half_done(tmp_path: Path) -> None:
    """A new direct message channel a second: thirty nudges take half a minute, `docker stop` gives ten seconds."""
    async with stage(tmp_path, OPENED, speed=1, identify_every=0.0) as town:
        users = town.join(*(f"Member {number}" for number in range(30)))
        cohort = await town.open(START, ZONE, dict.fromkeys(users, ZONE))
        town.clock.reach(NUDGE_1 - WEEK / 7)
        await town.start()
        wave = asyncio.create_task(town.reach(NUDGE_1))
        await until(lambda: sum(map(len, map(town.direct, users))) >= 2)
        town.discord.fail("POST /interactions/*", Slow(0.7))
        asking = asyncio.create_task(town.discord.type(users[0], town.channel, "week"))
        await until(lambda: any("/interactions/" in one for one in town.discord.arrived))

        began = time.monotonic()
        town.bot.signal(signal.SIGTERM)
        code = await town.bot.ended()

        assert (code, town.discord.gateway.closes) == (0, [1000]), town.bot.last_words()
        assert time.monotonic() - began < 10
        assert not is_refused(await asking)
        await asyncio.gather(wave, return_exceptions=True)
        assert states(town, cohort, NUDGE_1).keys() >= {State.OWED, State.SENT}
        assert states(town, cohort, NUDGE_1)[State.SENDING] == 0

        town.dm_opens = 0.0
        await town.start()
        await town.follow(NUDGE_1 + 5 * MINUTES)

        assert [len(town.direct(user)) for user in users] == [1] * 30
        assert town.refusals() == []


async def test_the_bot_comes_up_when_discord_does(tmp_path: Path) -> None:
    """discord.py #10520: a first connection that fails ends the process. And what was due is posted, once."""
    async with town_of(tmp_path) as (town, cohort, _):
        await town.discord.__aexit__(None, None, None)
        bot = await town.launch()
        await town.reach(WELCOME)
        await until(lambda: "No line to Discord" in bot.last_words())
        assert town.posts == []

        await town.discord.__aenter__()
        await town.on_discord()
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts] == ["Autumn begins soon"]
        assert not is_refused(await town.discord.type(town.organiser, town.channel, "cohort log"))
        assert states(town, cohort, town.clock.now()) == {State.SENT: 1}


async def test_the_bot_comes_up_when_the_gateway_does(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada") as (town, _, (ada,)):
        town.discord.refuse_gateway(1)
        await town.start()

        assert not is_refused(await town.discord.type(ada, town.channel, "progress"))
        assert len(town.discord.gateway.identifies) == 1


# --- the gateway ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, 1001, 4000])
async def test_a_gateway_that_is_cut_loses_no_interaction_and_doubles_none(tmp_path: Path, code: int | None) -> None:
    async with town_of(tmp_path, "Ada", "Bo", now=WEEK_1) as (town, cohort, (ada, bo)):
        await town.start()
        form = await town.discord.type(ada, town.channel, "checkin", {"week": "1"})
        await town.discord.cut_gateway(code)

        sent, read = await asyncio.gather(town.discord.submit(ada, form, {"hours": "6"}),
                                          town.discord.type(bo, town.channel, "week"))

        assert (is_refused(sent), is_refused(read)) == (False, False)
        assert checked_in(town, cohort, ada) == [STEPS[0].id]
        assert (town.discord.gateway.resumes, len(town.discord.gateway.identifies)) == (1, 1)
        assert town.refusals() == []


async def test_a_gateway_that_asks_for_it_is_reconnected_and_resumed(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        await town.discord.gateway.reconnect()
        await town.discord.gateway.until(lambda: town.discord.gateway.resumes == 1 and town.discord.gateway.ready)

        assert not is_refused(await town.check_in(ada))
        assert checked_in(town, cohort, ada) == [STEPS[0].id]
        assert len(town.discord.gateway.identifies) == 1


@pytest.mark.parametrize("resumable", [True, False])
async def test_a_session_that_is_declared_invalid_is_begun_anew(tmp_path: Path, resumable: bool) -> None:
    async with town_of(tmp_path, "Ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        gateway = town.discord.gateway
        await gateway.invalidate(resumable=resumable)
        await gateway.until(lambda: gateway.ready and gateway.resumes + len(gateway.identifies) == 2, 15)

        assert not is_refused(await town.check_in(ada))
        assert checked_in(town, cohort, ada) == [STEPS[0].id]
        assert gateway.resumes == int(resumable)


# --- posting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_a_post_that_is_limited_goes_out_later_and_once(tmp_path: Path, scope: str) -> None:
    async with town_of(tmp_path) as (town, cohort, _):
        await town.start()
        town.discord.fail("POST /channels/*/messages", Limited(7.5, scope))  # type: ignore[arg-type]

        due = await town.reach(WELCOME)
        assert (town.posts, due) == ([], WELCOME + timedelta(seconds=7.5))
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts] == ["Autumn begins soon"]
        assert len(town.discord.limited) == 1
        assert states(town, cohort, town.clock.now()) == {State.SENT: 1}


@pytest.mark.parametrize("fault", [Cut(after=True), Cut(after=False), Broken(500, after=True), Broken(500),
                                   Broken(502, after=True), Broken(503, after=True), Broken(503)], ids=str)
async def test_a_post_whose_answer_is_lost_is_in_the_room_once(tmp_path: Path, fault: Cut | Broken) -> None:
    """discord.py sends again after 500, 502 and 504, and does not after 503. Here the room is looked through first."""
    async with town_of(tmp_path) as (town, cohort, _):
        await town.start()
        town.discord.fail("POST /channels/*/messages", fault)
        await town.reach(WELCOME)
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts] == ["Autumn begins soon"]
        tried = town.discord.arrived.count(f"POST /api/v10/channels/{town.channel.id}/messages")
        assert tried == (1 if fault.after else 2)
        assert states(town, cohort, town.clock.now()) == {State.SENT: 1}


# --- answering --------------------------------------------------------------------------------------------------------


async def test_a_form_that_is_open_during_a_restart_is_taken_after_it(tmp_path: Path) -> None:
    """discord.py's store of modals is empty then; who has just typed for ten minutes is told that it failed."""
    async with town_of(tmp_path, "Ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.discord.type(ada, town.channel, "checkin", {"week": "1"})
        town.bot.signal(signal.SIGTERM)
        assert await town.bot.ended() == 0
        await town.start()

        assert not is_refused(await town.discord.submit(ada, form, {"hours": "6", "notes": "Typed for ten minutes"}))
        entry = journal(town, cohort, ada)[-1].event
        assert isinstance(entry, CheckedIn)
        assert entry.notes == "Typed for ten minutes"


async def test_two_forms_that_are_open_at_once_are_both_taken(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada", now=WEEK_1 + WEEK) as (town, cohort, (ada,)):
        await town.start()
        first = await town.discord.type(ada, town.channel, "checkin", {"week": "1"})
        second = await town.discord.type(ada, town.channel, "checkin", {"week": "2"})

        await town.discord.submit(ada, second, {"hours": "2"})
        await town.discord.submit(ada, first, {"hours": "1"})

        assert checked_in(town, cohort, ada) == [STEPS[1].id, STEPS[0].id]


async def test_an_interaction_that_comes_twice_counts_once(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        done = await town.check_in(ada)
        await town.discord.repeat(done)
        await until(lambda: len(town.refusals()) == 1)

        # The second answer to it is refused (40060), and that is the end of it.
        assert checked_in(town, cohort, ada) == [STEPS[0].id]
        assert not is_refused(await town.discord.type(ada, town.channel, "progress"))
        assert "Traceback" not in town.bot.last_words(1000)


# --- who and what is gone ---------------------------------------------------------------------------------------------


async def test_closed_direct_messages_are_told_once_in_the_room_and_never_tried_again(tmp_path: Path) -> None:
    """Each 403 counts towards a ban of the address."""
    async with town_of(tmp_path, "Ada", "Bo", now=NUDGE_1 - WEEK / 7) as (town, cohort, (ada, bo)):
        town.discord.close_dms(ada)
        await town.start()
        await town.follow(NUDGE_1 + 5 * MINUTES)

        notice = town.posts[-1]
        assert (title(notice), told([notice])) == ("Your reminders are off", [{ada.id}])
        hers = f"POST /api/v10/channels/{town.discord.dm(ada).id}/messages"
        assert (town.discord.arrived.count(hers), len(town.direct(bo))) == (1, 1)
        assert not town.member(cohort, ada).nudges

        await town.follow(NUDGE_1 + 2 * WEEK + 5 * MINUTES)

        assert (town.discord.arrived.count(hers), len(town.direct(bo))) == (1, 3)
        assert [title(post) for post in town.posts].count("Your reminders are off") == 1
        assert town.discord.invalids <= 1


async def test_a_missing_permission_is_told_once_by_its_name_and_the_post_follows_when_it_is_given(tmp_path: Path) \
        -> None:
    async with town_of(tmp_path) as (town, _, _):
        await town.discord.set_permissions(town.channel, BOT_MAY & ~Permission.SEND_MESSAGES)
        await town.start()
        await town.follow(WELCOME + 45 * MINUTES)

        report, = town.direct(town.organiser)
        assert "give me the permission Send Messages there" in report.text
        assert (town.posts, report.at - WELCOME < MINUTES) == ([], True)

        await town.discord.set_permissions(town.channel, BOT_MAY)
        await town.follow(WELCOME + 60 * MINUTES)

        assert [title(post) for post in town.posts] == ["Autumn begins soon"]
        assert town.direct(town.organiser) == [report]


async def test_a_channel_that_is_deleted_is_told_to_the_organiser(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada", now=WELCOME - MINUTES) as (town, cohort, (ada,)):
        await town.start()
        await town.discord.delete_channel(town.channel)
        await town.follow(WELCOME + 120 * MINUTES)

        report, = town.direct(town.organiser)
        assert "is deleted: nothing can be posted to its cohort any more" in report.text
        assert states(town, cohort, WELCOME) == {State.FAILED: 1}
        # The others go on in private.
        await town.follow(NUDGE_1 + MINUTES)
        assert len(town.direct(ada)) == 1


async def test_a_bot_that_was_removed_posts_when_it_is_invited_again(tmp_path: Path) -> None:
    async with town_of(tmp_path, now=WELCOME - MINUTES) as (town, cohort, _):
        await town.start()
        guild, world = town.channel.guild, town.discord.world
        assert guild is not None
        await town.discord.remove_bot(guild)
        await town.follow(WELCOME + 30 * MINUTES)
        # Nobody is left to tell, either: Discord lets strangers exchange no direct messages.
        assert {one.delivery.kind: one.state for one in town.deliveries(cohort) if one.delivery.due <= WELCOME} == {
            PostKind.WELCOME: State.OWED, PostKind.REPORT: State.OWED}
        assert town.posts == []

        world.guilds[guild.id] = world.left.pop(guild.id)
        await town.follow(WELCOME + 60 * MINUTES)

        assert [title(post) for post in town.posts] == ["Autumn begins soon"]
        assert not is_refused(await town.discord.type(town.organiser, town.channel, "cohort log"))


async def test_a_member_who_has_left_the_server_is_off_the_board(tmp_path: Path) -> None:
    async with town_of(tmp_path, "Ada", "Bo", "Chidi", "Dana", now=WEEK_1) as (town, cohort, users):
        await town.start()
        for user in users:
            await town.check_in(user)
        ada, *others = users
        await town.discord.leave(ada)
        shown = await town.discord.type(others[0], town.channel, "leaderboard")
        assert {row[1] for row in board_in(shown.text)} == {"Ada", "Bo", "Chidi", "Dana"}   # nobody has told us yet

        await town.follow(NUDGE_1 + WEEK + 5 * MINUTES)

        shown = await town.discord.type(others[0], town.channel, "leaderboard")
        assert {row[1] for row in board_in(shown.text)} == {"Bo", "Chidi", "Dana"}
        assert not town.member(cohort, ada).present
        assert [len(town.direct(user)) for user in others] == [1, 1, 1]


# --- what Discord is told ---------------------------------------------------------------------------------------------


async def test_the_commands_are_published_when_they_have_changed_and_only_then(tmp_path: Path) -> None:
    """Discord takes 200 new commands a day."""
    async with stage(tmp_path, OPENED) as town:
        def published() -> int:
            return sum(done.route == "PUT /applications/{}/commands" for done in town.discord.done)

        def helped() -> set[str]:
            return {command["description"] for command in town.discord.commands}

        for _ in range(3):
            await town.start()
        # Whoever asks for the application's id is about to publish.
        await until(lambda: sum(done.route == "GET /applications/@me" for done in town.discord.done) >= 3)
        line = guide().voice.commands.checkin.replace("{unit}", "week")
        assert (published(), line in helped()) == (1, True)

        other = tmp_path / "guide.yaml"
        text = default_path().read_text()
        assert text.count(guide().voice.commands.checkin) == 1
        other.write_text(text.replace(guide().voice.commands.checkin, "Tell us how far you came"))
        town.environment["NINETY_GUIDE"] = str(other)
        await town.start()
        await until(lambda: published() == 2)

        assert ("Tell us how far you came" in helped(), line in helped()) == (True, False)


async def test_nobody_is_pinged_but_who_cannot_be_reached(tmp_path: Path) -> None:
    """Not by a name on the board, and not where the bot might ping everybody."""
    async with stage(tmp_path, OPENED) as town:
        assert town.channel.guild is not None
        await town.discord.set_permissions(town.channel.guild, BOT_MAY | Permission.MENTION_EVERYONE)
        ada, = town.join("Ada")
        users = [ada, *town.join("@everyone", "@here", f"<@{ada.id}>")]
        cohort = await town.open(START, ZONE, dict.fromkeys(users, ZONE))
        town.discord.close_dms(ada)
        town.clock.reach(WEEK_1 - MINUTES)
        await town.start()
        await town.follow(WEEK_1)
        for user in users:
            await town.check_in(user)
            await town.discord.type(user, town.channel, "leaderboard")
        await town.follow(NUDGE_1 + 3 * WEEK)

        assert len(board_in(town.posts[-1].text) or board_in(town.posts[-2].text)) == 4
        said = [message for channel in town.discord.world.channels.values() for message in channel.messages]
        shown = [one.original for one in town.discord.interactions if one.original is not None]
        assert [users for users in told([*said, *shown]) if users] == [{ada.id}]
        assert len(said) > 10
        assert account(ada) == town.member(cohort, ada).account
