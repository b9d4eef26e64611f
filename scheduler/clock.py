"""The two clocks: the real one, which only the edge reads, and one that a rehearsal moves by hand."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from scheduler.calendar import in_utc


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, in UTC."""
        ...


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """Stands still between moves; one that `runs` goes on from each move at the pace of real time."""

    def __init__(self, start: datetime, *, runs: bool = False) -> None:
        self._set_to = in_utc(start)
        self._set_at = monotonic()
        self._runs = runs

    def now(self) -> datetime:
        return self._set_to + timedelta(seconds=monotonic() - self._set_at) if self._runs else self._set_to

    def reach(self, instant: datetime) -> None:
        """Moves to the instant, unless this clock has come to it by itself meanwhile."""
        instant = in_utc(instant)
        if instant > self.now():
            self._set_to, self._set_at = instant, monotonic()
