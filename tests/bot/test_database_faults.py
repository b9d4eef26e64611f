"""A database that stalls, is stopped and started, or finds no room on its disk: `ninety run` in a process of its own,
before the emulated platforms, in real time. Whoever acts has an answer within 3 s, reads the truth, and loses nothing.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import pytest_asyncio

from bot.cohort.journal import CheckedIn, Joined
from bot.ledger import Account, Cohort, Delivery, Lane, RequestId, Room, State, Transaction
from bot.messages import DeliveryKey
from content.edition import Edition
from content.model import PostKind, Voice
from scheduler.clock import VirtualClock
from tests.bot.discord.stage import TOKEN, Stage, Watched, account, guide, is_refused, title
from tests.bot.process import ROOT
from tests.bot.season import Pace, until
from tests.bot.slack.town import CHANNEL, TEAM, Town, free_port, town_of
from tests.bot.test_operator import until_ready
from tests.emulators.discord import Shown
from tests.emulators.slack_world import Shown as ShownOnSlack
from tests.postgresql import Server

T = TypeVar("T")

STALL = 10.0
ANSWERED = 3.0
"""Seconds that a chat platform waits."""
LATER = 15.0
"""Seconds from the end of a fault until all is as ever."""
EDITION = Edition.of(guide(), "ninety-days")
VOICE: Voice = EDITION.voice
NOT_SAVED, TOO_SLOW, WAITING = VOICE.refusals.not_saved, VOICE.refusals.too_slow, VOICE.words.waiting
CHECKED_IN = (VOICE.checked_in.title or "").partition("{points}")[0].format(number=1)


# --- where it happens -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_discord(folder: Path, url: str, **emulator: Any) -> AsyncIterator[Stage]:
    """In real time."""
    clock, pace = VirtualClock(datetime.now(UTC), runs=True), Pace(1.0)
    discord = Watched(token=TOKEN, now=clock.now, monotonic=pace.monotonic, **emulator)
    async with discord:
        yield Stage(
            discord=discord, channel=discord.add_channel(discord.add_guild("Ninety"), "cohort"), clock=clock,
            folder=folder, pace=pace, environment={
                "NINETY_DATABASE_URL": url, "NINETY_DISCORD_TOKEN": TOKEN, "NINETY_DISCORD_API_URL": discord.api_url,
                "NINETY_DISCORD_GATEWAY_URL": discord.gateway_url})


@asynccontextmanager
async def ninety_run(environment: Mapping[str, str], log: Path) -> AsyncIterator[int]:
    """The real command, when it is ready; its process id. It goes on writing its log when nobody reads it."""
    address = f"127.0.0.1:{free_port()}"
    with log.open("ab") as lines:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "run", cwd=ROOT, stdout=lines, stderr=lines,
            env={**os.environ, **environment, "NINETY_PORT": str(free_port()), "NINETY_OPERATOR_LISTEN": address})
    try:
        async with asyncio.timeout(60):
            await until_ready(f"http://{address}")
        yield process.pid
    finally:
        process.kill()
        await process.wait()


def opened(town: Stage, members: Sequence[Account], besides: Sequence[Room] = ()) -> Cohort:
    """A cohort in its first week, whatever the time of the day."""
    now = datetime.now(UTC)

    def work(tx: Transaction) -> Cohort:
        cohort = tx.open_cohort("Autumn", (now - timedelta(days=2)).date(), "UTC", EDITION, town.room, None, "salt",
                                now - timedelta(days=3))
        for room in besides:
            tx.add_room(cohort.id, room)
        for number, one in enumerate(members):
            member = tx.add_member(cohort.id, one, f"Member {number}", f"Alias {number}", True, "UTC", False)
            tx.append(member, Joined(cohort.opened_at, "UTC", EDITION.plan.steps[0].id), RequestId("joined"))
        return cohort

    return town.read(work)


def check_ins(town: Stage, cohort: Cohort, who: Account) -> dict[str, CheckedIn]:
    """Of the member, by their requests."""
    def work(tx: Transaction) -> dict[str, CheckedIn]:
        member = tx.enrolment(cohort.id, who)
        assert member is not None
        return {entry.request: entry.event for entry in tx.journal(member.id) if isinstance(entry.event, CheckedIn)}

    return town.read(work)


def request(shown: Shown) -> str:
    return f"discord:{shown.interaction.id}"


async def in_time(act: Awaitable[T]) -> T:
    """What somebody is shown, who is shown something in time."""
    begun = time.monotonic()
    shown = await act
    assert time.monotonic() - begun < ANSWERED
    return shown


# --- a database that stalls -------------------------------------------------------------------------------------------


@dataclass
class Faulty:
    url: str
    stalled: Callable[[], AbstractContextManager[None]]
    """It answers nobody while this is entered; SQLite only those who write."""

    @property
    def reads(self) -> bool:
        """Meanwhile."""
        return self.url.startswith("sqlite")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """By another process: this one."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """All processes of the server, as in a machine whose disk answers no more."""
    assert server._process is not None
    every = [server._process.pid]
    with psycopg.connect(server.url("postgres")) as connection:
        try:
            os.kill(every[0], signal.SIGSTOP)       # from now on there are no new ones
            every += [pid for pid, in connection.execute("SELECT pid FROM pg_stat_activity")]
            for one in every[1:]:
                os.kill(one, signal.SIGSTOP)
            yield
        finally:
            for one in every:
                os.kill(one, signal.SIGCONT)


@pytest.fixture(params=["sqlite", "postgresql"])
def faulty(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Faulty:
    if request.param == "sqlite":
        return Faulty(database_url, lambda: locked(tmp_path / "ninety.db"))
    server: Server = request.getfixturevalue("postgresql")
    return Faulty(server.database(template="migrated"), lambda: frozen(server))


@pytest_asyncio.fixture
async def slack(tmp_path: Path) -> AsyncIterator[Town]:
    async with town_of(tmp_path, datetime.now(UTC), "socket", speed=1.0) as town:
        yield town


async def test_while_the_database_stalls_everybody_is_answered_in_time_and_then_with_the_result(
        faulty: Faulty, slack: Town, tmp_path: Path) -> None:
    async with on_discord(tmp_path, faulty.url) as discord:
        ada, bob, cyd = discord.join("Ada", "Bob", "Cyd")
        dan, eve, fay, gil = slack.join("Dan", "Eve", "Fay", "Gil")
        there = {one: Account("slack", TEAM, one) for one in (dan, eve, fay, gil)}
        cohort = opened(discord, [*map(account, (ada, bob, cyd)), *there.values()], [Room("slack", TEAM, CHANNEL)])

        async with ninety_run(slack.environment | discord.environment, tmp_path / "log"):
            await discord.arrived()
            await slack.arrived()
            form = await discord.discord.type(ada, discord.channel, "checkin", {"week": "1"})
            progress = await discord.discord.type(cyd, discord.channel, "progress")
            form_there, home = await slack.type(dan, "/checkin 1"), await slack.slack.open_home(TEAM, fay)
            assert progress.message is not None and form_there.view is not None
            slack.slack.duplicate()     # the next that happens on Slack is Dan's submission
            with faulty.stalled():
                until_then = asyncio.create_task(asyncio.sleep(STALL))
                saving_there = asyncio.create_task(in_time(slack.submit(dan, form_there, hours="6")))
                await asyncio.sleep(0)
                saving, no_form, no_board, waiting, no_form_there, in_modal = await asyncio.gather(
                    in_time(discord.discord.submit(ada, form, {"hours": "6"})),
                    in_time(discord.discord.type(bob, discord.channel, "checkin")),
                    in_time(discord.discord.press(cyd, progress.message, VOICE.words.board)),
                    in_time(slack.type(eve, "/progress")),
                    in_time(slack.type(gil, "/checkin 1")),
                    in_time(slack.press(fay, home, VOICE.words.check_in)))
                await discord.discord.repeat(saving)
                assert saving.kind == "deferred"
                assert no_board.kind == "update"
                assert (await saving_there).words == WAITING
                looked = [no_form.text == TOO_SLOW, no_board.text == WAITING,
                          *(one.words == WAITING for one in (waiting, no_form_there, in_modal))]
                assert looked == [not faulty.reads] * 5
                await until_then
            saved = await saving.finished(LATER)
            await until(lambda: WAITING not in no_board.text, LATER)
            await slack.slack.until(lambda: all(words(slack, one) != WAITING for one in there), LATER)
            assert title(saved).startswith(CHECKED_IN)
            assert no_form.kind == ("modal" if faulty.reads else "message")
            assert not is_refused(no_board)
            assert words(slack, dan).startswith(CHECKED_IN) and not words(slack, eve).startswith("⚠️")
            assert (TOO_SLOW in words(slack, gil)) is not faulty.reads
            # The form has come into the modal that said to wait.
            done = await slack.submit(fay, ShownOnSlack("modal", view=in_modal.view), hours="6")
            assert done.words.startswith(CHECKED_IN)
        who = (*map(account, (ada, bob, cyd)), *there.values())
        assert [len(check_ins(discord, cohort, one)) for one in who] == [1, 0, 0, 1, 0, 1, 0]
        assert list(check_ins(discord, cohort, account(ada))) == [request(saving)]


def words(slack: Town, user: str) -> str:
    """What the person was shown last; a view as it stands now."""
    seen = [one for one in slack.slack.screen(TEAM, user) if one.kind != "home"]
    return seen[-1].words.replace("*", "")


# --- a server that is stopped and started -----------------------------------------------------------------------------


@dataclass
class Busy:
    """Members who check in again and again, and what they were told."""

    town: Stage
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the last restart."""
    saved: list[tuple[Account, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    async def member(self, user: Any, number: int) -> None:
        await asyncio.sleep(number / 30)
        while not self.calm.is_set():
            await self.once(user, number)
            await asyncio.sleep(0.7)

    async def once(self, user: Any, number: int) -> bool:
        discord = self.town.discord
        form = await discord.type(user, self.town.channel, "checkin", {"week": "1"})
        if form.kind != "modal":
            self.refused[(await form.finished(LATER)).text] += 1
            return False
        notes = f"evening {number} of {time.monotonic()}"
        shown = await (sent := await discord.submit(user, form, {"hours": "6", "notes": notes})).finished(LATER)
        if is_refused(shown):
            assert notes in shown.text
            self.refused[shown.text.split("\n")[0]] += 1
            return False
        self.saved.append((account(user), request(sent)))
        return True


async def grown(count: Callable[[], int], by: int) -> None:
    """Returns when it has."""
    enough = count() + by
    await until(lambda: count() >= enough, 60)


async def test_a_server_that_is_restarted_under_load_loses_nothing_that_was_acknowledged(
        postgresql: Server, tmp_path: Path) -> None:
    url = postgresql.database(template="migrated")
    async with on_discord(tmp_path, url, answer_within=10) as town:
        members = town.join(*(f"Member {number}" for number in range(20)))
        cohort = opened(town, [account(one) for one in members])
        begun = datetime.now(UTC)
        posts = [Delivery(DeliveryKey(f"{cohort.id}:post:{number}"), cohort.id, PostKind.WEEK_OPENS,
                          EDITION.plan.steps[0].id, None, due := begun + timedelta(seconds=2 + number),
                          due + timedelta(hours=1), Lane("discord", False)) for number in range(6)]
        town.read(lambda tx: tx.owe(posts))
        # It dies with the thread that has started it, and must not hold the emulator up.
        with ThreadPoolExecutor(1) as thread:
            async def server(act: Callable[[], None]) -> None:
                await asyncio.get_running_loop().run_in_executor(thread, act)

            try:
                async with ninety_run(town.environment, tmp_path / "log"):
                    await town.arrived()
                    busy = Busy(town)
                    load = asyncio.gather(*(busy.member(one, number) for number, one in enumerate(members)))
                    for _ in range(3):
                        await grown(lambda: len(busy.saved), 15)
                        await server(postgresql.stop)
                        await grown(busy.refused.total, 1)
                        await server(postgresql.start)
                    busy.calm.set()
                    await load
                    afterwards = await asyncio.gather(*(
                        busy.once(one, number) for number, one in enumerate(members)))
                    await until(lambda: {one.state for one in town.deliveries(cohort)} == {State.SENT}, 60)
            finally:
                await server(postgresql.stop)
                postgresql.start()

        assert afterwards == [True] * 20
        assert len(busy.saved) > 40 and busy.refused and set(busy.refused) <= {NOT_SAVED, TOO_SLOW}
        kept = {(who, one) for who in map(account, members) for one in check_ins(town, cohort, who)}
        assert set(busy.saved) <= kept
        sent = [one.receipt.message for one in town.deliveries(cohort) if one.receipt is not None]
        assert sorted(sent) == sorted(post.id for post in town.posts) and len(sent) == len(posts)


# --- a disk without room ----------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Of 4 MB. Skips the test where we may not have one made."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "ninety", folder], capture_output=True)  # noqa: S603, S607  # ours
    if made.returncode != 0:
        pytest.skip("a disk of our own takes the rights of root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S603, S607  # ours


@contextmanager
def full(database: Path, bot: int) -> Iterator[None]:
    """Not a byte is left."""
    ballast = database.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 512):
            pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def limited(database: Path, bot: int) -> Iterator[None]:
    """No file of the bot may grow beyond the end of the log of changes, to which SQLite appends."""
    end = database.with_name(f"{database.name}-wal").stat().st_size
    was = resource.prlimit(bot, resource.RLIMIT_FSIZE, (end, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(bot, resource.RLIMIT_FSIZE, was)


@pytest.mark.parametrize("without_room", [full, limited])
async def test_who_finds_the_disk_full_is_told_so_and_saves_the_same_words_when_there_is_room(
        tmp_path: Path, without_room: Callable[[Path, int], AbstractContextManager[None]]) -> None:
    """Without a restart."""
    with small_disk(tmp_path / "disk") if without_room is full else nullcontext(tmp_path) as folder:
        database = folder / "ninety.db"
        async with on_discord(tmp_path, f"sqlite:///{database}") as town:
            (ada,) = town.join("Ada")
            cohort = opened(town, [account(ada)])
            async with ninety_run(town.environment, tmp_path / "log") as process:
                await town.arrived()
                first = await town.check_in(ada)
                assert title(first).startswith(CHECKED_IN)
                form = await town.discord.type(ada, town.channel, "checkin", {"week": "1"})
                with without_room(database, process):
                    refused = await town.discord.submit(ada, form, {"hours": "7", "notes": "All that I wrote"})
                    assert is_refused(refused) and NOT_SAVED in refused.text and "All that I wrote" in refused.text
                    assert not is_refused(await town.discord.type(ada, town.channel, "progress"))
                    assert list(check_ins(town, cohort, account(ada))) == [request(first)]
                form = await town.discord.press(ada, refused, VOICE.words.again)
                second = await town.discord.submit(ada, form, {})
                assert not is_refused(second)
            kept = check_ins(town, cohort, account(ada))
            assert {one: event.notes for one, event in kept.items()} == {
                request(first): "", request(second): "All that I wrote"}
