"""The pulse on a real event loop, with short waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.clock import RealClock, VirtualClock
from scheduler.ticker import Ticker

MONDAY = datetime(2026, 5, 4, 9, tzinfo=UTC)
SOON = timedelta(milliseconds=30)
AN_HOUR = timedelta(hours=1)


class Ticks:
    """Keeps the instants it was given; `each` is awaited in every tick and answers for it."""

    def __init__(self, each: Callable[[datetime], Awaitable[datetime | None]] | None = None) -> None:
        self.seen: list[datetime] = []
        self.running = 0
        self.most_at_once = 0
        self.cancelled = 0
        self.finished = 0
        self._each = each
        self._changed = asyncio.Condition()

    async def __call__(self, now: datetime) -> datetime | None:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.seen.append(now)
        await self._tell()
        try:
            return await self._each(now) if self._each else None
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
            self.finished += 1

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def count(self, at_least: int) -> None:
        """Returns when so many ticks have begun; fails after 5 s."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.seen) >= at_least)


async def turns(count: int = 10) -> None:
    """Lets everything run that is ready to."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_ticks_at_once_and_tells_the_time_of_its_clock() -> None:
    ticks = Ticks()
    async with Ticker(ticks, VirtualClock(MONDAY), at_least=AN_HOUR):
        await ticks.count(1)
    assert ticks.seen == [MONDAY]


async def test_it_wakes_at_the_instant_that_a_tick_has_named_and_not_before() -> None:
    due: list[datetime] = []

    async def name_the_next(now: datetime) -> datetime | None:
        due.append(now + SOON)
        return due[-1]

    ticks = Ticks(name_the_next)
    async with Ticker(ticks, RealClock(), at_least=AN_HOUR):
        await ticks.count(4)
    assert all(seen >= named for seen, named in zip(ticks.seen[1:], due, strict=False))


async def test_it_wakes_at_least_every_so_often() -> None:
    async def far_off(now: datetime) -> datetime | None:
        return now + timedelta(days=90) if len(ticks.seen) % 2 else None

    ticks = Ticks(far_off)
    async with Ticker(ticks, RealClock(), at_least=SOON):
        await ticks.count(4)
    assert all(later - earlier >= SOON for earlier, later in zip(ticks.seen, ticks.seen[1:], strict=False))


async def test_an_instant_beyond_the_calendar_is_only_far_off() -> None:
    async def never(now: datetime) -> datetime | None:
        return datetime.max.replace(tzinfo=UTC)

    ticks = Ticks(never)
    async with Ticker(ticks, RealClock(), at_least=SOON):
        await ticks.count(2)


async def test_waking_it_ticks_at_once() -> None:
    ticks = Ticks()
    clock = VirtualClock(MONDAY)
    async with Ticker(ticks, clock, at_least=AN_HOUR) as ticker:
        await ticks.count(1)
        clock.reach(MONDAY + AN_HOUR)
        ticker.wake()
        await ticks.count(2)
    assert ticks.seen == [MONDAY, MONDAY + AN_HOUR]


async def test_what_stays_due_is_tried_again_after_a_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold what is due: a pulse without a pause would turn in circles."""
    monkeypatch.setattr("scheduler.ticker.BREATH", SOON)

    async def still_due(now: datetime) -> datetime | None:
        return now - AN_HOUR

    ticks = Ticks(still_due)
    async with Ticker(ticks, RealClock(), at_least=AN_HOUR):
        await ticks.count(3)
    assert all(later - earlier >= SOON for earlier, later in zip(ticks.seen, ticks.seen[1:], strict=False))


async def test_what_falls_due_during_a_tick_is_not_kept_waiting() -> None:
    async def due_before_it_is_over(now: datetime) -> datetime | None:
        await asyncio.sleep(0.02)
        return now + timedelta(milliseconds=1)

    ticks = Ticks(due_before_it_is_over)
    async with Ticker(ticks, RealClock(), at_least=AN_HOUR):
        await ticks.count(3)


async def test_ticks_never_overlap_and_do_not_queue() -> None:
    """However often it is woken during a slow tick, one more follows."""
    go_on = asyncio.Event()

    async def slow(now: datetime) -> datetime | None:
        await go_on.wait()
        return None

    ticks = Ticks(slow)
    async with Ticker(ticks, VirtualClock(MONDAY), at_least=AN_HOUR) as ticker:
        await ticks.count(1)
        for _ in range(100):
            ticker.wake()
            await asyncio.sleep(0)
        go_on.set()
        await ticks.count(2)
        await turns(50)
        assert (len(ticks.seen), ticks.most_at_once) == (2, 1)


async def test_a_slow_tick_is_not_overtaken_by_the_pulse() -> None:
    async def slow(now: datetime) -> datetime | None:
        await asyncio.sleep(0.03)
        return None

    ticks = Ticks(slow)
    async with Ticker(ticks, RealClock(), at_least=timedelta(milliseconds=5)):
        await ticks.count(4)
    assert ticks.most_at_once == 1


async def test_an_earlier_instant_replaces_the_one_it_waited_for() -> None:
    async def first_far_then_soon(now: datetime) -> datetime | None:
        return now + (AN_HOUR if len(ticks.seen) == 1 else SOON)

    ticks = Ticks(first_far_then_soon)
    async with Ticker(ticks, RealClock(), at_least=2 * AN_HOUR) as ticker:
        await ticks.count(1)
        ticker.wake()
        await ticks.count(4)


@pytest.mark.parametrize("trouble", [OSError("no database"), asyncio.CancelledError()], ids=["fails", "is cancelled"])
async def test_a_tick_that_breaks_is_reported_and_the_pulse_goes_on(
    trouble: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks_once(now: datetime) -> datetime | None:
        if len(ticks.seen) == 1:
            raise trouble
        return None

    ticks = Ticks(breaks_once)
    async with Ticker(ticks, RealClock(), at_least=SOON):
        await ticks.count(3)
    reported = [record for record in caplog.records if record.name == "scheduler.ticker"]
    assert [(record.levelno, record.exc_info and record.exc_info[1]) for record in reported] == [
        (logging.ERROR, trouble)
    ]


async def test_a_tick_that_names_a_naive_time_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def naive(now: datetime) -> datetime | None:
        return now.replace(tzinfo=None)

    ticks = Ticks(naive)
    async with Ticker(ticks, RealClock(), at_least=SOON):
        await ticks.count(2)
    assert "is naive: an instant carries its time zone" in caplog.text


async def test_leaving_lets_a_running_tick_finish() -> None:
    async def takes_a_moment(now: datetime) -> datetime | None:
        await asyncio.sleep(0.05)
        return now

    ticks = Ticks(takes_a_moment)
    async with Ticker(ticks, RealClock(), drain=5) as ticker:
        await ticks.count(1)
        ticker.wake()
    assert (ticks.finished, ticks.cancelled, len(ticks.seen)) == (1, 0, 1)


async def test_leaving_cuts_off_a_tick_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def hangs(now: datetime) -> datetime | None:
        await asyncio.Event().wait()
        return None

    ticks = Ticks(hangs)
    async with Ticker(ticks, RealClock(), drain=0.02):
        await ticks.count(1)
    assert (ticks.finished, ticks.cancelled) == (1, 1)
    assert "was cut off: it did not finish in 0.02 s" in caplog.text


async def test_nothing_ticks_after_leaving_and_nothing_is_left_behind() -> None:
    ticks = Ticks()
    ticker = Ticker(ticks, RealClock(), at_least=timedelta(milliseconds=5))
    async with ticker:
        await ticks.count(3)
    seen = len(ticks.seen)
    ticker.wake()
    await asyncio.sleep(0.03)
    assert len(ticks.seen) == seen
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not ticker._alarms.running


async def test_it_can_be_entered_again() -> None:
    ticks = Ticks()
    ticker = Ticker(ticks, RealClock(), at_least=AN_HOUR)
    for expected in (1, 2):
        async with ticker:
            await ticks.count(expected)


async def test_leaving_on_an_error_lets_it_through() -> None:
    ticks = Ticks()
    with pytest.raises(LookupError, match="the shell broke"):
        async with Ticker(ticks, RealClock()):
            await ticks.count(1)
            raise LookupError("the shell broke")


async def test_it_stops_with_the_program_that_is_cancelled_in_it() -> None:
    async def hangs(now: datetime) -> datetime | None:
        await asyncio.Event().wait()
        return None

    ticks = Ticks(hangs)

    async def program() -> None:
        async with Ticker(ticks, RealClock(), drain=30):
            await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await ticks.count(1)
    running.cancel()
    await turns()
    assert ticks.cancelled == 0, "the first Ctrl-C waits for the tick"
    running.cancel()
    await asyncio.wait({running})
    assert (running.cancelled(), ticks.cancelled) == (True, 1)
