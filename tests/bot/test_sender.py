"""Who sends for a platform: one process at a time, whatever is lost, slow, paused or killed, and by nobody's wall
clock. Candidates are driven by hand over a real database, from one of their waits to the next."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import coroutine
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bot.ledger import Lane, Sender, Superseded, Transaction, Unsaved
from bot.sender import RENEW, SILENCE, WATCH, Alone, Candidate, elapsed
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger, StoredTransaction
from tests.bot.store.conftest import database_url, on_sqlite

__all__ = ["database_url"]      # a fixture: everything here is asked on SQLite and on PostgreSQL

T = TypeVar("T")
PROMISED = 30.0
"""Seconds from the last word of a holder that has died to the next holder."""


@dataclass
class World:
    """Time, as it passes everywhere, and the database."""

    database: Database
    now: float = 0.0

    def process(self, name: str, platform: str = "discord", since: float = 0.0) -> Process:
        return Process(self, name, platform, since)

    def row(self, platform: str = "discord") -> Sender | None:
        return StoredLedger(self.database).transact_here(lambda tx: tx.sender(platform))


@coroutine
def wait(seconds: float = 0.0) -> Generator[float, None, None]:
    """Until the driver goes on: not before so many seconds."""
    yield seconds


@dataclass(eq=False)
class Process:
    """A candidate that stands still before each transaction and after it."""

    world: World
    name: str
    platform: str
    since: float
    """What its clock showed in the beginning; no two machines count from the same instant."""
    told: list[float] = field(default_factory=list)
    """What was left to it each time that it changed."""
    _doing: Coroutine[object, object, None] | None = None

    def __post_init__(self) -> None:
        self._ledger = StoredLedger(self.world.database)
        self.candidate = Candidate(self, self.platform, self.name, elapsed=lambda: self.world.now + self.since,
                                   sleep=wait)
        self.candidate.when_changed(lambda: self.told.append(self.lasts))

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        await wait()
        done = self._ledger.transact_here(work)
        if meanwhile is not None:
            meanwhile(done)
        await wait()
        return done

    @property
    def lasts(self) -> float:
        return self.candidate.lasts()

    @property
    def sends(self) -> bool:
        return self.lasts > 0

    def begin(self, what: Callable[[Candidate], Coroutine[object, object, None]] = Candidate.round) -> None:
        """It stands before its first transaction then."""
        assert self._doing is None
        self._doing = what(self.candidate)
        self.go_on()

    def go_on(self, error: Exception | None = None) -> float | None:
        """To its next wait, of so many seconds; None when it has come to its end. An error is what the wait brings."""
        assert self._doing is not None
        try:
            waits = self._doing.send(None) if error is None else self._doing.throw(error)
        except StopIteration:
            self._doing = None
            return None
        assert isinstance(waits, float)
        return waits

    @property
    def busy(self) -> bool:
        return self._doing is not None

    def finish(self) -> None:
        while self.busy:
            self.go_on()

    def do(self, what: Callable[[Candidate], Coroutine[object, object, None]] = Candidate.round) -> None:
        """From start to end, and the database answers at once."""
        self.begin(what)
        self.finish()

    def round(self) -> None:
        self.do()

    def resign(self) -> None:
        self.do(Candidate.resign)

    def die(self) -> None:
        """In the middle of whatever it does."""
        if self._doing is not None:
            self._doing.close()
            self._doing = None


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def first(world: World) -> Process:
    """It sends."""
    process = world.process("first", since=1000.0)
    process.round()
    return process


@pytest.fixture
def second(world: World, first: Process) -> Process:
    """It has seen that the first one does."""
    process = world.process("second", since=-77.0)
    process.round()
    return process


# --- one sends, the others wait ---------------------------------------------------------------------------------------


def test_who_comes_first_sends_at_once(world: World, first: Process) -> None:
    assert (first.lasts, first.candidate.held, first.candidate.term) == (SILENCE, True, 1)
    assert first.told == [SILENCE]
    assert world.row() == Sender("discord", "first", 1, 0)


def test_who_comes_second_waits(world: World, first: Process, second: Process) -> None:
    assert (second.lasts, second.candidate.held, second.told) == (0.0, False, [])
    assert second.candidate.term == 0, "a term that nobody has"
    assert world.row() == Sender("discord", "first", 1, 0)


def test_each_platform_has_a_sender_of_its_own(world: World, first: Process) -> None:
    other = world.process("second", "slack")
    other.round()
    assert (first.sends, other.sends) == (True, True)
    assert [world.row(platform) for platform in ("discord", "slack")] == [
        Sender("discord", "first", 1, 0), Sender("slack", "second", 1, 0)]


def test_as_long_as_the_holder_speaks_nobody_else_takes_over(world: World, first: Process, second: Process) -> None:
    for _ in range(40):
        world.now += RENEW
        second.round()
        first.round()
        assert first.lasts == SILENCE
    assert not second.sends
    assert world.row() == Sender("discord", "first", 1, 40)


def test_silence_is_what_another_one_takes_over_after(world: World, first: Process, second: Process) -> None:
    world.now += RENEW
    first.round()
    second.round()
    world.now += SILENCE - 0.001
    second.round()
    assert not second.sends
    assert first.lasts == pytest.approx(0.001)
    world.now += 0.002
    second.round()
    assert (first.lasts, second.lasts) == (0.0, SILENCE)
    assert world.row() == Sender("discord", "second", 2, 0)
    assert second.told == [SILENCE]


def test_who_comes_late_waits_as_long_as_everybody(world: World, first: Process) -> None:
    """For all it knows the holder has spoken just before."""
    world.now += 1000
    late = world.process("late")
    late.round()
    assert not late.sends
    world.now += SILENCE
    late.round()
    assert late.sends


def test_a_year_on_the_wall_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets the clock of a machine, or it is wrong from the start."""
    now = time.time
    candidates = [Candidate(StoredLedger(database), "discord", name) for name in ("first", "second")]

    async def play() -> None:
        for years in (0, 1, -1):
            monkeypatch.setattr(time, "time", lambda years=years: now() + years * 365 * 86400)
            for candidate in candidates:
                await candidate.round()

    asyncio.run(play())
    assert [SILENCE - 20 < candidate.lasts() <= SILENCE for candidate in candidates] == [True, False]
    assert [candidate.held for candidate in candidates] == [True, False]


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts the time in which it sleeps")
def test_time_goes_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_in_a_database_of_its_own_it_may_always_send() -> None:
    assert (Alone().lasts(), Alone().term, Alone().grace) == (float("inf"), None, 0.0)


# --- what takes its time ----------------------------------------------------------------------------------------------


def test_the_holder_counts_from_before_it_spoke(world: World, first: Process) -> None:
    """When its word was heard in between, nobody tells it."""
    world.now += RENEW
    first.begin()
    world.now += 3
    first.go_on()
    world.now += 4
    first.finish()
    assert first.lasts == SILENCE - 7


def test_who_waits_counts_from_after_it_heard(world: World, first: Process) -> None:
    second = world.process("second")
    second.begin()
    world.now += 5
    first.round()
    world.now += 6
    second.go_on()
    world.now += 7
    second.finish()
    world.now += SILENCE - 0.001
    second.round()
    assert not second.sends
    world.now += 0.002
    second.round()
    assert second.sends


def test_what_was_looked_up_before_the_silence_was_over_says_nothing_of_its_end(world: World, first: Process,
                                                                                second: Process) -> None:
    world.now += SILENCE - 1
    second.begin()
    second.go_on()
    world.now += 2
    second.finish()
    assert not second.sends
    second.round()
    assert second.sends


def test_a_holder_that_takes_over_slowly_has_less_left(world: World, first: Process, second: Process) -> None:
    world.now += SILENCE
    second.begin()
    second.go_on()
    second.go_on()      # before it takes over
    world.now += 3
    second.go_on()
    world.now += 4
    second.finish()
    assert second.lasts == SILENCE - 7


# --- a database that does not answer ----------------------------------------------------------------------------------


def test_while_nobody_takes_its_word_the_holder_goes_on_to_its_margin(world: World, first: Process) -> None:
    left = []
    for _ in range(6):
        world.now += RENEW
        first.begin()
        first.go_on(Unsaved())
        left.append(first.lasts)
    assert left == [19.0, 14.0, 9.0, 4.0, 0.0, 0.0]
    assert first.candidate.held, "nobody has taken over"
    assert first.told == [SILENCE]
    first.round()
    assert first.lasts == SILENCE
    assert first.told == [SILENCE, SILENCE], "whoever had stopped is woken"


def test_a_word_that_was_heard_though_its_answer_was_lost_lengthens_nothing(
        world: World, first: Process, second: Process) -> None:
    world.now += RENEW
    first.begin()
    first.go_on()
    first.go_on(Unsaved())
    assert world.row() == Sender("discord", "first", 1, 1)
    world.now += RENEW
    first.round()
    assert (first.lasts, first.candidate.held) == (SILENCE - 2 * RENEW, True)
    world.now += RENEW
    first.round()
    assert first.lasts == SILENCE
    assert world.row() == Sender("discord", "first", 1, 2)
    world.now += SILENCE - RENEW
    second.round()
    assert not second.sends


def test_a_take_over_whose_answer_was_lost_is_made_good_at_the_next_look(
        world: World, first: Process, second: Process) -> None:
    """Else the platform would be without a sender for twice as long as was promised."""
    first.die()
    world.now += SILENCE
    second.begin()
    second.go_on()
    second.go_on()
    second.go_on()
    second.go_on(Unsaved())
    assert (second.sends, world.row()) == (False, Sender("discord", "second", 2, 0))
    third = world.process("third")
    third.round()
    world.now += WATCH
    second.round()
    assert (second.lasts, second.candidate.term) == (SILENCE, 3)
    world.now += SILENCE - 0.001
    third.round()
    assert not third.sends


def test_a_take_over_that_was_not_heard_is_tried_again(world: World, first: Process, second: Process) -> None:
    first.die()
    world.now += SILENCE
    second.begin()
    second.go_on()
    second.go_on()
    second.go_on(Unsaved())
    assert (second.sends, world.row()) == (False, Sender("discord", "first", 1, 0))
    world.now += WATCH
    second.round()
    assert second.lasts == SILENCE


# --- one that was asleep ----------------------------------------------------------------------------------------------


def test_a_holder_that_wakes_too_late_sends_nothing(world: World, first: Process, second: Process) -> None:
    term = first.candidate.term
    world.now += SILENCE
    assert first.lasts == 0.0, "before it has asked anybody"
    second.round()
    first.round()
    assert (first.lasts, first.candidate.held, first.candidate.term) == (0.0, False, 0)
    assert first.told == [SILENCE, 0.0]
    lane, now = Lane("discord", False), datetime(2026, 11, 23, 8, tzinfo=UTC)
    ledger = StoredLedger(world.database)
    for refused in (term, first.candidate.term):
        with pytest.raises(Superseded):
            ledger.transact_here(lambda tx, refused=refused: tx.claim(lane, now, 1, (), refused))  # type: ignore[misc]
    assert ledger.transact_here(lambda tx: tx.claim(lane, now, 1, (), second.candidate.term)) == []
    first.round()
    world.now += SILENCE
    first.round()
    assert (first.sends, second.sends) == (True, False), "it stands by like everybody"


def test_a_holder_that_sleeps_before_its_word_comes_too_late(world: World, first: Process, second: Process) -> None:
    world.now += RENEW
    first.begin()
    world.now += SILENCE
    second.round()
    first.finish()
    assert (first.sends, first.candidate.held, second.sends) == (False, False, True)


def test_a_holder_that_sleeps_after_its_word_counts_none_of_it(world: World, first: Process, second: Process) -> None:
    world.now += RENEW
    first.begin()
    first.go_on()
    second.round()
    world.now += SILENCE
    second.round()
    first.finish()
    assert (first.lasts, second.sends) == (0.0, True)
    first.round()
    assert not first.candidate.held


def test_a_candidate_that_sleeps_before_it_takes_over_comes_too_late(world: World, first: Process,
                                                                     second: Process) -> None:
    third = world.process("third")
    third.round()
    world.now += SILENCE
    third.begin()
    third.go_on()
    third.go_on()       # it is about to
    first.round()
    third.finish()
    assert (first.sends, third.sends, third.candidate.held) == (True, False, False)


# --- several at once --------------------------------------------------------------------------------------------------


def test_of_two_who_take_over_at_once_one_wins(world: World, first: Process, second: Process) -> None:
    third = world.process("third")
    third.round()
    world.now += SILENCE
    for one in (second, third):
        one.begin()
        one.go_on()
        one.go_on()
    third.finish()
    second.finish()
    assert (second.candidate.held, third.candidate.held) == (False, True)
    assert world.row() == Sender("discord", "third", 2, 0)


async def test_of_eight_who_come_at_once_one_wins(database_url: str) -> None:
    """Over connections of their own."""
    with ExitStack() as opened:
        candidates = []
        for number in range(8):
            database = Database(database_url)
            opened.callback(database.close)
            candidates.append(Candidate(StoredLedger(database), "discord", str(number)))
        await asyncio.gather(*(candidate.round() for candidate in candidates))
        assert sorted(candidate.held for candidate in candidates) == [False] * 7 + [True]
        holder = next(candidate for candidate in candidates if candidate.held)
        await holder.resign()
        await asyncio.gather(*(candidate.round() for candidate in candidates))
        assert sorted(candidate.held for candidate in candidates) == [False] * 7 + [True]
        assert not holder.held


# --- goodbye ----------------------------------------------------------------------------------------------------------


def test_who_resigns_need_not_be_waited_for(world: World, first: Process, second: Process) -> None:
    first.resign()
    assert (first.lasts, first.candidate.held) == (0.0, False)
    assert world.row() == Sender("discord", "", 2, 0)
    second.round()
    assert (second.lasts, second.candidate.term) == (SILENCE, 3)


def test_who_has_resigned_does_not_come_back(world: World, first: Process) -> None:
    first.resign()
    first.round()
    world.now += SILENCE
    first.round()
    assert (first.candidate.held, world.row()) == (False, Sender("discord", "", 2, 0))


def test_from_the_moment_it_resigns_it_sends_nothing(world: World, first: Process, second: Process) -> None:
    first.begin(Candidate.resign)
    assert not first.sends
    second.round()
    assert not second.sends, "it has not said so yet"
    first.finish()
    second.round()
    assert second.sends


def test_when_the_goodbye_is_lost_its_silence_is_waited_for(world: World, first: Process, second: Process) -> None:
    first.begin(Candidate.resign)
    first.go_on(Unsaved())
    assert not first.candidate.held
    world.now += SILENCE
    second.round()
    assert second.sends


def test_who_has_nothing_resigns_nothing(world: World, first: Process, second: Process) -> None:
    second.resign()
    assert world.row() == Sender("discord", "first", 1, 0)
    world.now += SILENCE
    second.round()
    assert not second.candidate.held


def test_who_has_been_taken_over_from_ends_nobody_elses_term(world: World, first: Process, second: Process) -> None:
    world.now += SILENCE
    second.round()
    first.resign()
    assert world.row() == Sender("discord", "second", 2, 0)


def test_what_it_gets_while_it_leaves_it_gives_back(world: World, first: Process, second: Process) -> None:
    world.now += SILENCE
    second.begin()
    second.go_on()
    second.go_on()
    leaving = second.candidate.resign()
    with pytest.raises(StopIteration):
        leaving.send(None)
    second.finish()
    assert (second.candidate.held, world.row()) == (False, Sender("discord", "", 3, 0))


def test_a_word_of_somebody_who_has_resigned_meanwhile_counts_no_more(world: World, first: Process) -> None:
    first.begin()
    first.go_on()
    leaving = first.candidate.resign()
    for _ in range(2):
        leaving.send(None)
    first.finish()
    with pytest.raises(StopIteration):
        leaving.send(None)
    assert (first.candidate.held, world.row()) == (False, Sender("discord", "", 2, 0))


# --- kept by itself ---------------------------------------------------------------------------------------------------


def passes(world: World, until: float, *processes: Process) -> None:
    """Time, in which each of these keeps its candidacy."""
    turns = [(world.now, number) for number in range(len(processes))]
    for process in processes:
        if not process.busy:
            process.begin(Candidate.keep)
    while turns and turns[0][0] <= until:
        world.now, number = heapq.heappop(turns)
        waits = processes[number].go_on()
        assert waits is not None
        heapq.heappush(turns, (world.now + waits, number))
    world.now = until


def test_the_holder_speaks_every_few_seconds_and_who_waits_looks_more_often(world: World, first: Process) -> None:
    first.begin(Candidate.keep)
    second = world.process("second")
    second.begin(Candidate.keep)
    assert [first.go_on() for _ in range(3)] == [0.0, RENEW, 0.0]
    assert [second.go_on() for _ in range(3)] == [0.0, WATCH, 0.0]


@on_sqlite
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(born=st.floats(0, 30), dies=st.floats(31, 40))
def test_a_dead_holder_is_taken_over_from_within_thirty_seconds(world: World, born: float, dies: float) -> None:
    anew(world)
    first, second = world.process("first"), world.process("second")
    passes(world, born, first)
    passes(world, dies, first, second)
    assert (first.sends, second.sends) == (True, False)
    first.die()
    while not second.sends and world.now <= dies + PROMISED:
        assert not first.sends or first.candidate.held
        passes(world, world.now + 0.25, second)
    assert second.sends
    assert world.now - dies <= PROMISED
    assert first.lasts == 0.0


# --- whatever happens -------------------------------------------------------------------------------------------------


def anew(world: World) -> None:
    """As if nobody had ever been there."""
    world.now = 0.0
    world.database.run_here(lambda connection: connection.execute(delete(tables.sender)))


def lasting(processes: list[Process]) -> list[str]:
    return [process.name for process in processes if process.sends]


happenings = st.lists(st.one_of(
    st.tuples(st.sampled_from([*["step"] * 5, *["round"] * 4, "lose", "resign", "die"]),
              st.sampled_from([0, 0, 1, 1, 2])),
    st.tuples(st.just("pass"), st.sampled_from([0.1, WATCH, RENEW, SILENCE / 2, SILENCE - 0.1, SILENCE, 40.0]))),
    min_size=10, max_size=50)


def whatever_happens(world: World, examples: int, *phases: Phase) -> None:
    """Rounds and goodbyes of three, each of which may stand still before and after any transaction, lose its answer,
    sleep and die there: never do two send, and in the end somebody does within the time that is promised."""
    @settings(max_examples=examples, phases=phases or tuple(Phase), derandomize=bool(phases))
    @given(happenings)
    def play(happened: list[tuple[str, float]]) -> None:
        anew(world)
        processes = [world.process(str(number), since=100.0 * number) for number in range(3)]
        born = 3
        for what, which in happened:
            if what == "pass":
                world.now += which
            else:
                process = processes[int(which)]
                if what == "resign" and not process.busy:
                    process.resign()
                if what in ("resign", "die"):
                    process.die()
                    processes[int(which)] = world.process(str(born), since=7.0 * born)
                    born += 1
                elif not process.busy:
                    process.begin()
                elif what == "lose":
                    process.go_on(Unsaved())
                else:
                    process.go_on()
                if what == "round":
                    process.finish()
            assert len(lasting(processes)) <= 1
        for process in processes:
            process.finish()
            assert len(lasting(processes)) <= 1
        passes(world, world.now + PROMISED, *processes)
        assert len(lasting(processes)) == 1

    play()


def test_whatever_happens_never_do_two_send_at_once(world: World) -> None:
    # The rules are the same on both, and one that is only asked over a socket takes five times as long.
    whatever_happens(world, 150 if world.database.engine.dialect.name == "sqlite" else 20)


@on_sqlite
@pytest.mark.parametrize("mistake", ["does not count", "takes what it did not see"])
def test_the_test_above_can_fail(world: World, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    take_over = StoredTransaction.take_over

    def takes_what_it_did_not_see(self: StoredTransaction, platform: str, seen: Sender | None, holder: str) \
            -> Sender | None:
        return take_over(self, platform, self.sender(platform), holder)

    if mistake == "does not count":
        monkeypatch.setattr(Candidate, "lasts", lambda self: SILENCE if self.held else 0.0)
    else:
        monkeypatch.setattr(StoredTransaction, "take_over", takes_what_it_did_not_see)
    with pytest.raises(AssertionError):
        whatever_happens(world, 1000, Phase.generate)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url, durable=False)
    yield opened
    opened.close()
