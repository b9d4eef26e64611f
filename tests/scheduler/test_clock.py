"""Clocks tell aware instants in UTC, and none of them goes back."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from scheduler import clock
from scheduler.clock import Clock, RealClock, VirtualClock

MONDAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the monotonic clock shows; the test sets it."""
    shown = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: shown[0])
    return shown


def test_the_real_clock_tells_the_time_in_utc() -> None:
    real: Clock = RealClock()
    before = datetime.now(UTC)
    assert before <= real.now() <= datetime.now(UTC)
    assert real.now().tzinfo is UTC


def test_a_virtual_clock_stands_still_until_it_is_moved(seconds: list[float]) -> None:
    virtual: Clock = VirtualClock(MONDAY)
    seconds[0] += 3600
    assert virtual.now() == MONDAY


def test_a_virtual_clock_moves_to_an_instant() -> None:
    virtual = VirtualClock(MONDAY)
    virtual.reach(MONDAY + timedelta(days=90))
    assert virtual.now() == MONDAY + timedelta(days=90)


def test_a_virtual_clock_does_not_go_back() -> None:
    virtual = VirtualClock(MONDAY)
    virtual.reach(MONDAY - timedelta(microseconds=1))
    assert virtual.now() == MONDAY


def test_a_virtual_clock_that_runs_goes_on_from_each_move(seconds: list[float]) -> None:
    virtual = VirtualClock(MONDAY, runs=True)
    seconds[0] += 1.5
    assert virtual.now() == MONDAY + timedelta(seconds=1.5)
    virtual.reach(MONDAY + timedelta(days=1))
    assert virtual.now() == MONDAY + timedelta(days=1)
    seconds[0] += 2
    assert virtual.now() == MONDAY + timedelta(days=1, seconds=2)
    virtual.reach(MONDAY + timedelta(days=1, seconds=1))
    assert virtual.now() == MONDAY + timedelta(days=1, seconds=2)


def test_a_virtual_clock_answers_in_utc() -> None:
    virtual = VirtualClock(datetime(2026, 5, 4, 11, tzinfo=ZoneInfo("Europe/Berlin")))
    assert (virtual.now(), virtual.now().tzinfo) == (MONDAY, UTC)
    virtual.reach(datetime(2026, 5, 4, 12, tzinfo=timezone(timedelta(hours=2))))
    assert virtual.now().tzinfo is UTC


def test_a_clock_is_not_set_to_a_naive_time() -> None:
    naive = MONDAY.replace(tzinfo=None)
    with pytest.raises(ValueError, match="is naive"):
        VirtualClock(naive)
    with pytest.raises(ValueError, match="is naive"):
        VirtualClock(MONDAY).reach(naive)
