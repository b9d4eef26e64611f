"""Two processes on one database before one Discord: one sends, the other stands by, and kill -9 takes now this one, now
that one, in the middle of a send, of an answer, of anything, and starts it again. Nothing is lost and nothing doubled,
and the next one sends as soon as is promised.

    NINETY_KILLS=50 pytest -q -s tests/bot/test_replicas.py -k kills       # so many of each, and the figures
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest

from bot.ledger import State
from bot.rehearsal import Act, cast
from bot.sender import RENEW, SILENCE
from tests.bot.discord.season import OnDiscord
from tests.bot.discord.stage import Stage, local, staged
from tests.bot.process import Died, Process
from tests.bot.season import (
    OPENED,
    PATIENT,
    SPRING,
    UNHURRIED,
    Play,
    Role,
    Seen,
    Term,
    Unanswered,
    check,
    more_acts,
    roles,
    until,
)
from tests.bot.store.conftest import database_url, on_postgresql

__all__ = ["database_url"]      # a fixture: on SQLite, two processes on one file, and on PostgreSQL

KILLS = int(os.environ.get("NINETY_KILLS", "0"))
"""Of each process, and thirteen weeks of thirty people; 0: a few, and eight weeks of twenty."""
PROMISED = 30.0
"""Seconds from the death of the one that sends to the next one."""
LATE = 2.0
"""Real seconds by which a busy machine may be behind, and our own look at the database."""
FUSE = 0.03
"""Real seconds after which at most somebody is killed."""
CHANCE = {"sending": 0.2, "answering": 0.02, "asking": 0.05, "reaching": 0.03}
"""Of a kill, where there are a hundred in all."""


class Forgetful(dict[Any, Any]):
    """Discord would take a message with the nonce of one that it has seen in the last minutes for the same, and hide
    from us that it was sent twice."""

    def __setitem__(self, key: object, value: object) -> None:
        """Nothing is kept."""


@dataclass
class Kill:
    at: float
    slot: int
    term: int | None
    """Of the one that sent for Discord; None for one that stood by."""


@dataclass(eq=False, kw_only=True)
class Replicas(Stage):
    """Two processes, each of which is started again when it was killed."""

    up: list[Process | None] = field(default_factory=lambda: [None, None])
    """Those that are ready."""
    kills: list[Kill] = field(default_factory=list)
    terms: list[tuple[float, str, int]] = field(default_factory=list)
    """When which process was first seen to send for Discord, and in which term."""
    fallen: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the one that sends is killed; then there is a new one."""
    lease: float = 8.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ends: dict[int, asyncio.Event] = field(default_factory=dict)
    _fading: list[object] = field(default_factory=list)

    # --- processes

    async def start(self) -> Process:
        self.discord._nonces = Forgetful()
        self._tasks = [asyncio.create_task(self._keep(slot)) for slot in range(2)]
        self._tasks.append(asyncio.create_task(self._follow_terms()))
        await self.arrived()
        await until(lambda: all(self.up), 30)
        return self.processes[0]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.gone()

    async def _keep(self, slot: int) -> None:
        while True:
            born = Process.started(self.environment, self.clock.now(), self.folder / f"bot-{slot}.log",
                                   dm_opens=self.dm_opens, speed=self.pace.speed, lease=self.lease, alone=False,
                                   patience=self.patience)
            async with born as process:
                end = self._ends[slot] = asyncio.Event()
                self.processes.append(process)
                await process.ready()
                self.up[slot] = process
                await end.wait()

    async def arrived(self, within: float = 30.0) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        await self.discord.gateway.until(lambda: not self._of_the_dead(), within)
        await super().arrived(within)

    def _of_the_dead(self) -> list[object]:
        return [socket for socket in self._fading if socket in self.discord.gateway.live]

    async def buried(self) -> None:
        """What the one that was killed had said before its end has arrived."""
        await self.discord.gateway.until(lambda: not self._of_the_dead(), 30)
        await asyncio.sleep(0.02)

    def sending(self) -> tuple[str, int]:
        """Who sends for Discord now, or has until it died; and in which term."""
        asked = "SELECT holder, term FROM sender WHERE platform = 'discord'"
        url = self.environment["NINETY_DATABASE_URL"]
        with psycopg.connect(url) if url.startswith("postgresql") else \
                sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            row = connection.execute(asked).fetchone()
        connection.close()
        return ("", 0) if row is None else (str(row[0]), int(row[1]))

    def slot_of(self, holder: str) -> int | None:
        """Of one that is up."""
        return next((slot for slot, process in enumerate(self.up)
                     if process is not None and f":{process.pid}:" in holder), None)

    async def _follow_terms(self) -> None:
        while True:
            with suppress(psycopg.Error, sqlite3.Error):    # nothing is there yet
                holder, term = self.sending()
                if holder and (not self.terms or self.terms[-1][2] != term):
                    self.terms.append((time.monotonic(), holder, term))
            await asyncio.sleep(0.01)

    def kill(self, slot: int) -> bool:
        """False, and nobody is killed, unless both are up."""
        holder, term = self.sending()
        sends, process = self.slot_of(holder), self.up[slot]
        if process is None or not all(self.up):
            return False
        process.kill()
        self.up[slot] = None
        self.kills.append(Kill(time.monotonic(), slot, term if slot == sends else None))
        self._ends[slot].set()
        if slot == sends:
            self._fading = list(self.discord.gateway.live)
            fallen, self.fallen = self.fallen, asyncio.Event()
            fallen.set()
        return True

    def takeovers(self) -> list[float]:
        """Seconds of the lease from each death of the one that sent to the next one."""
        return [(next(at for at, _, term in self.terms if term > kill.term) - kill.at) * self.lease
                for kill in self.kills if kill.term is not None]

    # --- time

    async def reach(self, instant: datetime, within: float = 60.0) -> datetime | None:
        """Of both clocks; returns when all that was due has been done by whoever sends."""
        self.clock.reach(instant)
        async with asyncio.timeout(within):
            while True:
                now = self.clock.now()
                dues = [due for due in await asyncio.gather(
                    *(self._reached(process, now) for process in self.up if process is not None))
                    if not isinstance(due, Died)]
                if dues and all(due is None or due > now for due in dues):
                    return min((due for due in dues if due is not None), default=None)
                await asyncio.sleep(0.01)

    async def _reached(self, process: Process, now: datetime) -> datetime | Died | None:
        try:
            return await process.reach(now)
        except Died as died:
            assert process not in self.up, process.last_words()
            return died


@asynccontextmanager
async def replicas(folder: Path, url: str, **more: Any) -> AsyncIterator[Replicas]:
    async with staged(Replicas, folder, OPENED, patience=UNHURRIED, **more) as town:
        town.environment["NINETY_DATABASE_URL"] = url
        yield town


# --- kill -9 ----------------------------------------------------------------------------------------------------------


class Killing(Play):
    """At requests to Discord it is the one that sends that is killed: before they are carried out, or after. While
    somebody waits, or a wave goes out, it is either."""

    town: Replicas

    def __init__(self, town: Replicas, term: Term, roles: Sequence[Role], seed: int, more: Iterable[Act], each: int) \
            -> None:
        super().__init__(town, term, roles, seed, more)
        self._each = each
        # So that all have come about when two thirds of the time are over.
        self._often = 12 * each / (len(term.weeks) * len(roles))
        self.causes = Counter[str]()
        for chat in self.chats:
            chat.watch(self._watch)

    def killed(self) -> list[int]:
        """How often each."""
        return [sum(kill.slot == slot for kill in self.town.kills) for slot in range(2)]

    def _watch(self, kind: str) -> bool:
        return bool(kind) and self._is_time(kind) and self._kill(kind, self.town.slot_of(self.town.sending()[0]))

    def _light(self, kind: str) -> None:
        """Perhaps. The fuse burns for a while."""
        if self._is_time(kind):
            asyncio.get_running_loop().call_later(
                self._random.uniform(0, FUSE), self._kill, kind, self._random.randrange(2))

    def _is_time(self, kind: str) -> bool:
        return min(self.killed()) < self._each and self._random.random() < CHANCE[kind] * self._often

    def _kill(self, kind: str, slot: int | None) -> bool:
        done = slot is not None and self.killed()[slot] < self._each and self.town.kill(slot)
        self.causes[kind] += done
        return done

    async def reach(self, at: datetime) -> datetime | None:
        self._light("reaching")
        return await super().reach(at)

    async def answered(self, ask: Callable[[], Awaitable[Seen]]) -> Seen:
        """A person to whom nothing is shown does it again."""
        while True:
            await self.town.arrived()
            self._light("asking")
            asking, fallen = asyncio.ensure_future(ask()), asyncio.ensure_future(self.town.fallen.wait())
            await asyncio.wait({asking, fallen}, return_when=asyncio.FIRST_COMPLETED)
            fallen.cancel()
            if not asking.done():
                await self.town.buried()
                asking.cancel()
            try:
                return await asking
            except (asyncio.CancelledError, Unanswered):
                assert self.town.kills
                self.unanswered += 1


async def test_kills_of_either_lose_and_double_nothing(tmp_path: Path, database_url: str,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    each = KILLS or (4 if database_url.startswith("postgresql") else 2)
    term, people = (SPRING, 30) if KILLS else (Term("Spring", SPRING.start, SPRING.zone, "skill-sequence"), 20)
    async with replicas(tmp_path, database_url) as town:
        chat, players = OnDiscord(town), cast(people, "discord")
        play = Killing(town, term, roles(chat, players, chat.people(*(player.name for player in players))), 14,
                       more_acts(term), each)
        await town.start()
        await play.open()
        await play.run(term.end)
        await town.arrived()

        await check(play, late=PATIENT)
        assert play.killed() == [each, each]
        takeovers = town.takeovers()
        if KILLS:
            with capsys.disabled():
                print(f"\n{play.killed()} kills ({dict(play.causes)}), of the one that sent {len(takeovers)}; terms "
                      f"{len(town.terms)}; unanswered {play.unanswered}; takeover after {min(takeovers):.1f} to "
                      f"{max(takeovers):.1f} s, half of them {median(takeovers):.1f}")
        assert SILENCE - RENEW <= min(takeovers)
        assert max(takeovers) <= PROMISED + LATE * town.lease


# --- stopped, and woken too late --------------------------------------------------------------------------------------


@on_postgresql
@pytest.mark.parametrize("route", ["POST /users/@me/channels", "POST /channels/{}/messages"])
async def test_one_that_is_stopped_at_a_send_and_wakes_when_another_sends_stands_by(tmp_path: Path, database_url: str,
                                                                                   route: str) -> None:
    """Its machine stands still just before a send, or in the middle of one. Not on SQLite: who is stopped there may
    hold the lock of the file, and then all wait."""
    start, zone = date(2027, 2, 1), "Europe/Berlin"
    async with replicas(tmp_path, database_url) as town:
        people = town.join("Ada", "Bo", "Cy")
        cohort = await town.open(start, zone, dict.fromkeys(people, zone))
        await town.start()
        sunday = local(start + timedelta(days=6), "17:00", zone)
        await town.follow(sunday - timedelta(minutes=1))
        before, term = town.sending()
        stopped: list[Process] = []
        stopped_at: list[float] = []

        def stop(arrived: str) -> bool:
            if arrived == route and not stopped:
                slot = town.slot_of(before)
                assert slot is not None
                process = town.up[slot]
                assert process is not None
                process.signal(signal.SIGSTOP)
                stopped.append(process)
                stopped_at.append(time.monotonic())
            return False

        town.discord.watch = stop
        reaching = asyncio.create_task(town.reach(sunday, 120))
        await until(lambda: town.terms[-1][2] == term + 1 and all(town.direct(person) for person in people), 60)
        assert SILENCE - RENEW <= (town.terms[-1][0] - stopped_at[0]) * town.lease <= PROMISED + LATE * town.lease
        stopped[0].signal(signal.SIGCONT)
        await reaching

        await until(lambda: "Another process sends for discord now" in stopped[0].log.read_text())
        await until(lambda: len(town.discord.gateway.live) == 1)
        after = town.sending()
        assert (after[1], town.slot_of(after[0])) == (term + 1, 1 - (town.slot_of(before) or 0))
        await town.follow(local(start + timedelta(days=9), "12:00", zone))
        assert town.sending() == after
        assert [len(town.direct(person)) for person in people] == [1, 1, 1]
        due = [one for one in town.deliveries(cohort) if one.delivery.due <= town.clock.now()]
        assert {one.state for one in due} == {State.SENT}
        assert len(town.posts) == len({message.text for message in town.posts}) == len(due) - len(people)
