"""One seed: hosts whose clocks are wrong, processes that come and go on them, a cohort, its members, and the mischief.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from bot.desk import Caller, Desk, open_cohort
from bot.herald import Herald
from bot.ledger import Account, Cohort, Lane, RequestId, Room
from bot.messages import Form, Message, markdown
from bot.sender import Candidate
from bot.simulation import members
from bot.simulation.knobs import Coverage, Knobs
from bot.simulation.loop import INFINITE, MINUTE, Dead, Loop, Process, Step
from bot.simulation.members import DAY, HOUR, Ask, Player
from bot.simulation.platform import Chat, Door
from bot.simulation.store import Line, Store, memory
from bot.simulation.watch import Watch
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import default_path, load
from content.model import Guide

log = logging.getLogger(__name__)

PLATFORM = "slack"
ROOM = Room(PLATFORM, "T1", "C1")
ORGANISER = Account(PLATFORM, "T1", "U0")
STARTS = (date(2026, 3, 2), date(2026, 3, 16), date(2026, 3, 30), date(2026, 9, 21), date(2026, 10, 12),
          date(2026, 10, 19))
"""Mondays; within three weeks clocks change in America, in Europe and Africa, or at the antipodes."""
COHORT_ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney")
DRAIN = 6.0
"""Seconds that sends get to finish when a process leaves (bot/app.py)."""
PATIENCE = 3.0
"""Seconds in which a person gets an answer, or none."""
HEALED = 2 * DAY
"""How long before whatever is still owed is too late nothing goes wrong any more."""
TRACE = 40
"""Lines of the trace that are kept when not all of them are wanted."""


@dataclass(frozen=True)
class Parts:
    """What is simulated; other ones are planted by tests."""

    desk: type[Desk] = Desk
    herald: type[Herald] = Herald
    candidate: type[Candidate] = Candidate
    ledger: type[StoredLedger] = StoredLedger


@dataclass
class Host:
    """A machine: its clock is wrong by so many seconds."""

    name: str
    wrong: float
    jumps: list[tuple[float, float]]
    """(elapsed, how wrong it was until then)"""
    running: Running | None = None

    def least_wrong(self, since: float) -> float:
        return min([self.wrong, *(wrong for at, wrong in self.jumps if at >= since)])


class Running:
    """One process of ours: put together as bot/app.py does it."""

    def __init__(self, world: World, host: Host, number: int) -> None:
        self.world, self.host = world, host
        self.process = Process(f"{host.name}{number}")
        self.leaving = False
        store = world.parts.ledger(world.store.memory.database)
        # What every process would read at its start.
        store._cohorts[world.cohort.id] = world.cohort
        store._homes[ROOM] = world.cohort.id
        self.line = ledger = Line(world.store, self.process, store, partial(world.watch.claimed, self.process))
        self.desk = world.parts.desk(ledger, world.guide)
        self.candidate = world.parts.candidate(
            ledger, PLATFORM, self.process.name, elapsed=world.loop.time, sleep=world.loop.nap)
        self.candidate.when_changed(self._news)
        self.herald = world.parts.herald(ledger, {PLATFORM: Door(world.chat, self.process)}, self,
                                         rights={PLATFORM: self.candidate})
        self.pulses = [Pulse(self, lane) for lane in self.herald.lanes]
        self.keeping: asyncio.Task[None] | None = None
        self.beating: list[asyncio.Task[None]] = []
        self.main = self.start(self._work())

    def start(self, coro: Any) -> asyncio.Task[Any]:
        return self.world.loop.create_task(coro, context=self.process.context.copy())

    def now(self) -> datetime:
        return self.world.at(self.world.loop.now() + self.host.wrong)

    def _news(self) -> None:
        if self.candidate.held:
            self.world.coverage.takeovers += 1
            self.world.tell(self.process.name, "may send from now on, in term", self.candidate.term)
        else:
            self.world.tell(self.process.name, "may not send any more")
        for pulse in self.pulses:
            pulse.wake()

    async def _work(self) -> None:
        await self.candidate.round()
        self.keeping = asyncio.create_task(self.candidate.keep())
        self.beating = [asyncio.create_task(pulse.beat()) for pulse in self.pulses]

    async def leave(self) -> None:
        """As in `bot.app._at_work`."""
        self.leaving = True
        self.herald.leave()
        for pulse in self.pulses:
            pulse.leave()
        assert self.keeping is not None  # noqa: S101  # who leaves has started
        await asyncio.wait(self.beating, timeout=DRAIN)
        for task in (*self.beating, self.keeping):
            task.cancel()
        await asyncio.gather(*self.beating, self.keeping, return_exceptions=True)
        if not self.herald.landing:
            await self.candidate.resign()
        self.world.gone(self)

    async def serve(self, player: Player, ask: Ask, request: RequestId) -> Message | Form:
        caller = Caller(player.account, ROOM, player.name, player.zone)
        if ask.answers is not None:
            return await self.desk.submit(caller, ask.form, ask.about, ask.answers, request, self.now())
        return await self.desk.command(caller, ask.line, request, self.now())


class Pulse:
    """Of one lane: `scheduler.ticker.Ticker` without APScheduler."""

    def __init__(self, running: Running, lane: Lane) -> None:
        self._running, self._lane = running, lane
        self._bell = asyncio.Event()
        self._bell.set()
        self._leaving = False

    def wake(self) -> None:
        self._bell.set()

    def leave(self) -> None:
        self._leaving = True
        self._bell.set()

    async def beat(self) -> None:
        loop, running = self._running.world.loop, self._running
        while not self._leaving:
            self._bell.clear()
            now, due = running.now(), None
            try:
                due = await running.herald.drain(self._lane, now)
            except Exception as error:
                self._running.world.tick_failed(running, error)
            alarms: list[Step] = [loop.round(loop.now() + MINUTE, self._bell.set)]
            if due is not None:
                pause = 1.0 if due <= now else (due - running.now()).total_seconds()
                alarms.append(loop.alarm(loop.now() + max(0.0, pause), self._bell.set))
            if self._leaving:
                break
            await self._bell.wait()
            for alarm in alarms:
                alarm.cancel()


@cache
def guide() -> Guide:
    """The real one, whose plan ends after two weeks, or three."""
    real = load(default_path())
    plan = real.plans[real.cohort.plan]
    return real.model_copy(update={
        "cohort": real.cohort.model_copy(update={"plan": "weeks-2"}),
        "plans": {f"weeks-{number}": plan.model_copy(update={"steps": plan.steps[:number], "days": 7 * number})
                  for number in (2, 3)}})


@cache
def edition(weeks: int) -> Edition:
    return Edition.of(guide(), f"weeks-{weeks}")


@cache
def opened(weeks: int, start: date, zone: str, role: str) -> tuple[bytes, Cohort]:
    """A database with a cohort, and the cohort."""
    store = memory()
    store.become(store.empty)
    ledger = StoredLedger(store.database)
    at = datetime.combine(start, datetime.min.time(), ZoneInfo(zone)).astimezone(UTC) - timedelta(days=5)
    opening = open_cohort(ledger, "Autumn", start, zone, edition(weeks), ROOM, ORGANISER, "salt", at,
                          graduate_role=role)
    try:
        opening.send(None)
    except StopIteration as done:
        return store.raw.serialize(), done.value
    raise AssertionError("a store in memory waits for nothing")


@dataclass(frozen=True)
class Outcome:
    seed: int
    broken: tuple[str, ...]
    """What must not be; empty when all is well."""
    trace: tuple[str, ...]
    coverage: Coverage


class World:
    def __init__(self, seed: int, knobs: Knobs, parts: Parts, whole_trace: bool) -> None:
        self.seed, self.knobs, self.parts = seed, knobs, parts
        self.coverage = Coverage(seeds=1)
        self.broken: list[str] = []
        self._told: deque[tuple[float, float, tuple[object, ...]]] = deque(maxlen=None if whole_trace else TRACE)
        self.random = self._dice("mischief")
        dice = self._dice("scene")
        self.guide = guide()
        image, self.cohort = opened(dice.choice((2, 2, 3)), dice.choice(STARTS), dice.choice(COHORT_ZONES),
                                    dice.choice(("", "", "R1")))
        self.beginning = self.cohort.course.opens(self.cohort.course.spans[0].id)
        self.loop = Loop(self._dice("order"), -5 * DAY)  # type: ignore[abstract]  # it has no sockets and no threads
        self.store = Store(self.loop, self._dice("store"), knobs, self.coverage)
        self.store.memory.become(image)
        self.watch = Watch(self.loop, self.store.memory.raw, self.coverage, self.broke, self._term, self._steady)
        self.chat = Chat(self.loop, self._dice("chat"), knobs, self.coverage, self.at, self._leaves, self._carried)
        self.watch.chat, self.watch.cohort = self.chat, self.cohort
        self.loop.next_thing, self.loop.restless = self._next_thing, self._restless
        self.loop.stepped, self.loop.failed = self._stepped, self._failed
        self._people = self._dice("people")
        self.players = members.cast(dice, dice.randint(3, 5), ROOM.account)
        twins = dice.random() < knobs.twins
        self.hosts = [Host(name, dice.choice((0.0, dice.uniform(-5, 5), dice.uniform(-90, 90))), [])
                      for name in ("a", "b")[:1 + twins]]
        self._numbers = count(1)
        self._by_process: dict[Process, Running] = {}
        self._healed = False
        self._last = self._end_of_all()
        self._countdown = self._next_mischief()

    def _dice(self, what: str) -> Random:
        return Random(f"{self.seed}:{what}")  # noqa: S311  # a play

    # --- time

    def at(self, hour: float) -> datetime:
        return self.beginning + timedelta(seconds=hour)

    def hour(self, at: datetime) -> float:
        return (at - self.beginning).total_seconds()

    def _end_of_all(self) -> float:
        """Whatever the cohort owes is too late then, its reports left out."""
        latest, = self.store.memory.raw.execute("SELECT max(latest) FROM delivery").fetchone()
        return self.hour(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=latest)) + 8 * DAY

    def _next_thing(self) -> float:
        """The earliest hour at which the process that sends would find something to do."""
        raw = self.store.memory.raw
        due, = raw.execute("SELECT min(claimable) FROM delivery WHERE claimable IS NOT NULL").fetchone()
        owed, = raw.execute("SELECT nudges_owed FROM cohort").fetchone()
        course = self.cohort.course
        found = [] if due is None else [
            self.hour(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due))]
        if owed < len(course.spans):
            found.append(self.hour(course.opens(course.spans[owed].id)))
        sending = [host.wrong for host in self.hosts if host.running is not None and host.running.candidate.held]
        return min(found) - max(sending) if found and sending else INFINITE

    def _restless(self) -> bool:
        """Somebody could send, and nobody may, or does not reach the database."""
        running = [host.running for host in self.hosts if host.running is not None]
        return bool(running) and (
            not any(one.candidate.held for one in running)
            or self.loop.time() < max(self.store.away_until, *(one.line.cut_until for one in running)))

    # --- what is told

    def tell(self, *what: object) -> None:
        self._told.append((self.loop.time(), self.loop.now(), what))

    def broke(self, what: str) -> None:
        if self.store.over:
            return
        self.tell("BROKEN:", what)
        self.broken.append(what)
        self.loop.stop()

    def trace(self) -> tuple[str, ...]:
        return tuple(f"{elapsed:10.3f} {self.at(hour):%d %b %H:%M:%S} {' '.join(map(str, what))}"
                     for elapsed, hour, what in self._told)

    def _failed(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Dead):
            self.broke(f"{context.get('message')}: {error!r}")

    def tick_failed(self, running: Running, error: Exception) -> None:
        self.tell(running.process.name, "tick failed:", type(error).__name__)
        if type(error).__name__ != "Unsaved":
            self.broke(f"a tick failed: {error!r}")

    def _leaves(self, request: Any) -> None:
        self.tell(request.process.name, "sends", request.key)
        self.watch.leaves(request)

    def _carried(self, request: Any) -> None:
        self.tell("chat shows", request.key)
        self.watch.carried(request)

    def _term(self, process: Process) -> int | None:
        return self._by_process[process].candidate.term

    def _steady(self, process: Process) -> datetime:
        """What its clock shows, or the least that it would show had it not been set these five minutes."""
        host = self._by_process[process].host
        return self.at(self.loop.now() + host.least_wrong(self.loop.time() - 5 * MINUTE))

    # --- processes

    def start(self, host: Host) -> None:
        if host.running is None:
            self.coverage.restarts += 1
            host.running = Running(self, host, next(self._numbers))
            self._by_process[host.running.process] = host.running
            self.tell(host.running.process.name, "starts")

    def gone(self, running: Running) -> None:
        """Left, or died."""
        running.host.running = None
        self.loop.kill(running.process)
        self.chat.cut_all(running.process)
        after = 0.5 if self._healed else self.random.choice((0.5, 5.0, 60.0, 20 * MINUTE, 3 * HOUR))
        self.loop.alarm(self.loop.now() + after, self.start, running.host, context=_OUTSIDE)

    # --- mischief

    def _next_mischief(self) -> int:
        return 1 + int(self.random.expovariate(self.knobs.mischief / 100)) if self.knobs.mischief else 10 ** 9

    def _stepped(self, step: Step) -> None:
        self.coverage.steps += 1
        process, task = step.process, step.task
        assert process is not None  # noqa: S101  # a step of a process
        running = self._by_process[process]
        if self._healed or task is None or (task is running.keeping and self.random.random() < 0.9):
            return
        # Where it matters most.
        self._countdown -= _WEIGHTS.get(getattr(task.get_coro(), "__name__", ""), 1)
        if self._countdown > 0 or task.done():
            return
        self._countdown = self._next_mischief()
        self._do_mischief(running, task)

    def _do_mischief(self, running: Running, task: asyncio.Task[Any]) -> None:
        knobs, random, name = self.knobs, self.random, running.process.name
        what, = random.choices(("kill", "freeze", "leave", "clock", "outage", "database_down", "partition"), (
            knobs.kill, knobs.freeze, knobs.leave, knobs.clock, knobs.outage, knobs.database_down, knobs.partition))
        if what == "kill":
            site = _site(task)
            self.tell(name, "is killed at", site)
            self.coverage.kills[site] += 1
            self.gone(running)
        elif what == "freeze":
            seconds = random.choice((random.uniform(10, 40), random.uniform(20, 60), random.uniform(10, 300)))
            self.coverage.pauses += 1
            self.tell(name, "is frozen for", round(seconds), "s at", _site(task))
            self.loop.freeze(running.process, seconds)
        elif what == "leave" and not running.leaving and running.beating:
            self.coverage.leaves += 1
            self.tell(name, "leaves")
            running.start(running.leave())
        elif what == "clock":
            host = running.host
            to = random.choice((random.uniform(-5, 5), random.uniform(-600, 600), random.uniform(-HOUR, HOUR)))
            self.coverage.clock_changes += 1
            self.tell("the clock of host", host.name, "is now wrong by", round(to), "s")
            host.jumps.append((self.loop.time(), host.wrong))
            host.wrong = to
        elif what == "outage":
            hours, = random.choices((0.05, 0.3, 1, 4, 26), (30, 30, 20, 20, 2))
            self.coverage.outages += 1
            self.tell("the platform goes away for", hours, "h")
            self.chat.away_until = self.loop.now() + hours * HOUR
        elif what == "database_down":
            self.store.away_until = self.loop.time() + random.uniform(2, 60)
            self.tell("the database goes away")
        elif what == "partition":
            running.line.cut_until = self.loop.time() + random.uniform(2, 60)
            self.tell(name, "does not reach the database any more")

    def _heal(self) -> None:
        """From here on all is well."""
        self._healed = True
        self.tell("all is well from now on")
        self.chat.away_until = self.store.away_until = -INFINITE
        self.chat.knobs = self.store.knobs = replace(
            self.knobs, unsaved=0, unheard=0, stall=0, lost=0, late=0, swallowed=0, broken=0, busy=0, hindered=0,
            unreachable=0, rejected=0)
        for host in self.hosts:
            host.wrong = 0
            self.start(host)
            if host.running is not None:
                host.running.line.cut_until = 0.0

    # --- people

    async def _post(self, player: Player, ask: Ask, request: RequestId) -> Message | Form | None:
        """One interaction, which may reach two processes, or one twice."""
        random = self._people
        answer: asyncio.Future[Message | Form] = self.loop.create_future()
        self.tell(player.account.user, ask.what, ask.about, "as", request)
        self.watch.asks(player, ask)

        def arrive() -> None:
            there = [host.running for host in self.hosts if host.running is not None and not host.running.leaving]
            if there:
                running = random.choice(there)
                task = running.start(running.serve(player, ask, request))
                task.add_done_callback(partial(answered, running), context=running.process.context)

        def answered(running: Running, task: asyncio.Task[Message | Form]) -> None:
            if task.cancelled():
                return
            if (error := task.exception()) is not None:
                if not isinstance(error, Dead):
                    self.broke(f"the desk failed: {error!r}")
            elif not answer.done() and (self._healed or random.random() >= self.knobs.unheard_answer):
                self.loop.call_later(random.uniform(0.01, 0.3), arrived, task.result(), context=_OUTSIDE)

        def arrived(said: Message | Form) -> None:
            if not answer.done():
                answer.set_result(said)

        self.loop.call_later(random.uniform(0.01, 0.3), arrive, context=_OUTSIDE)
        if random.random() < self.knobs.twice:
            self.coverage.duplicates += 1
            self.loop.call_later(random.choice((0.01, random.uniform(0, 5))), arrive, context=_OUTSIDE)
        late = self.loop.call_later(PATIENCE, answer.cancel, context=_OUTSIDE)
        try:
            said = await answer
        except asyncio.CancelledError:
            self.tell(player.account.user, "got no answer to", request)
            return None
        finally:
            late.cancel()
        if isinstance(said, Message):
            self.tell(player.account.user, "was refused" if said.refused else "was told that it is done:", request)
            self.watch.answered(player, ask, request, said)
        return said

    def _repeated(self) -> None:
        self.coverage.repeats += 1

    # --- from the beginning to the end

    def run(self) -> Outcome:
        course = self.cohort.course
        for player in self.players:
            todo = members.acts(player, course, self._people, self.knobs)
            self.loop.create_task(
                members.play(player, todo, course, self._people, self._post, _unsaved, self.loop.until, self._repeated),
                context=_OUTSIDE.copy())
        for host in self.hosts:
            self.loop.alarm(self.loop.now(), self.start, host, context=_OUTSIDE)
        self.loop.alarm(self._last - HEALED, self._heal, context=_OUTSIDE)
        self.loop.alarm(self._last, self.loop.stop, context=_OUTSIDE)
        self.loop.run()
        if not self.broken:
            ledger = StoredLedger(self.store.memory.database)
            ledger.transact_here(partial(self.watch.end, now=self.at(self.loop.now())))
        self.coverage.virtual_days = (self.loop.now() + 5 * DAY) / DAY
        self.store.over = self.chat.over = True
        trace = self.trace()
        self.loop.bury()
        return Outcome(self.seed, tuple(self.broken), trace, self.coverage)


_WEIGHTS = {"_deliver": 12, "serve": 3}


def _unsaved(answer: Message | Form) -> bool:
    """It says that nothing was done, and may be sent again."""
    return isinstance(answer, Message) and answer.refused and answer.body == (
        markdown(edition(2).voice.refusals.not_saved),)


_OUTSIDE = copy_context()
_OURS = Path(__file__).parents[2]
_HERE = Path(__file__).parent


def _site(task: asyncio.Task[Any]) -> str:
    """Where it waits: the innermost line of ours, and at which side of the commit if it waits for the database."""
    found, at = "", ""
    coro: Any = task.get_coro()
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.parent == _HERE:
                at = f" ({frame.f_code.co_name.strip('_').replace('_', ' ')})" if found else ""
            elif path.is_relative_to(_OURS / "bot"):
                found, at = f"{path.relative_to(_OURS).as_posix()}:{frame.f_lineno}", ""
        coro = getattr(coro, "cr_await", None)
    return f"{found}{at}" if found else "between two ticks"


def play(seed: int, knobs: Knobs | None = None, parts: Parts | None = None, *, whole_trace: bool = False) -> Outcome:
    """Plays the seed; the same one is the same to the byte."""
    quiet = logging.getLogger("bot")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        return World(seed, knobs or Knobs(), parts or Parts(), whole_trace).run()
    finally:
        quiet.setLevel(level)
