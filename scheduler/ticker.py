"""The pulse: wakes whoever posts when something is due, and at least once a minute. It remembers nothing.

APScheduler only rings the bell. Were the tick its job, a wake-up during a long tick would be lost, and shutdown would
cancel the tick half-way even with wait=True (3.11.3, executors/asyncio.py: "there is no way to honor wait=True").
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from scheduler.calendar import in_utc
from scheduler.clock import Clock

log = logging.getLogger(__name__)

Tick = Callable[[datetime], Awaitable[datetime | None]]
"""Given now, does what is due, and answers when something is due next."""

BREATH = timedelta(seconds=1)
"""Before the next tick, when a tick leaves undone what was due already: else the pulse would race."""


class Ticker:
    """Ticks as long as it is entered, at once for the first time. Ticks never overlap, and however often it is woken
    during a tick, one more follows. A tick that fails is logged, and the next comes `at_least` later.

    On exit a running tick gets `drain` seconds to finish and is then cancelled; 8 is within the 10 of `docker stop`."""

    def __init__(
        self, tick: Tick, clock: Clock, *, at_least: timedelta = timedelta(minutes=1), drain: float = 8
    ) -> None:
        self._tick = tick
        self._clock = clock
        self._at_least = at_least
        self._drain = drain
        self._bell = asyncio.Event()
        self._resting = asyncio.Event()
        self._leaving = False

    def wake(self) -> None:
        """Tick as soon as possible. From the event loop's own thread only."""
        self._resting.clear()
        self._bell.set()

    async def settled(self) -> None:
        """Returns when no tick is running or asked for."""
        await self._resting.wait()

    async def __aenter__(self) -> Self:
        self._leaving = False
        self._alarms = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True}  # late by any time still rings
        )
        self._alarms.start()
        self.wake()
        self._pulse = asyncio.create_task(self._beat(), name="ticker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        self._bell.set()
        self._alarms.shutdown()
        try:
            await asyncio.wait({self._pulse}, timeout=self._drain)
        finally:
            if self._pulse.cancel():
                log.warning("The last tick was cut off: it did not finish in %g s", self._drain)
                await asyncio.wait({self._pulse})
        if not self._pulse.cancelled():
            self._pulse.result()

    async def _beat(self) -> None:
        while not self._leaving:
            if not self._bell.is_set():
                self._resting.set()
            await self._bell.wait()
            self._resting.clear()
            self._bell.clear()
            if self._leaving:
                break
            pause = await self._one_tick()
            if not self._leaving:
                self._alarms.add_job(
                    self._ring, "date", run_date=datetime.now(UTC) + pause, id="next", replace_existing=True
                )

    async def _one_tick(self) -> timedelta:
        """How long to wait for the next."""
        now = self._clock.now()
        try:
            due = await self._tick(now)
            if due is None:
                return self._at_least
            pause = BREATH if in_utc(due) <= now else in_utc(due) - self._clock.now()
            return min(pause, self._at_least)
        except asyncio.CancelledError:
            if self._pulse.cancelling():
                raise
            log.exception("A tick was cancelled from within; the pulse goes on")
        except Exception:
            log.exception("A tick failed; the pulse goes on")
        return self._at_least

    async def _ring(self) -> None:  # a coroutine, since APScheduler runs plain functions in a thread
        self._bell.set()
