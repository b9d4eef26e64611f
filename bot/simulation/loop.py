"""An asyncio loop on virtual time for several processes at once. Which callback runs next, a seeded Random says; a
process can be killed or frozen at any await.

Two times go on here. `time()` is what nobody can set: timeouts, leases, what is under way. `now()` is the hour of the
day. While nothing is under way, `now()` leaps to the next alarm and `time()` stands still, as if the hours between had
been lived through without an event: three weeks then take milliseconds.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MINUTE = 60.0
TICK = 1e-6
"""Seconds. What is due within it is due: sums of hours and seconds are not exact."""


class Dead(BaseException):
    """Raised to whatever would have an effect after its process, or the whole world, has ended."""


class Process:
    """One process of an operating system; what it starts belongs to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.parked: list[Step] = []
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""None: the world outside, that no crash reaches."""


class Step(asyncio.TimerHandle):
    """A callback that waits for its turn or for its time."""

    __slots__ = ("process",)

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) \
            -> None:
        # Not the parent's: this runs a hundred thousand times a second.
        self._when = when
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._context = copy_context() if context is None else context
        self.process = self._context.get(_PROCESS)

    def cancel(self) -> None:
        self._cancelled = True

    @property
    def idle(self) -> bool:
        return self._cancelled or (self.process is not None and not self.process.alive)

    def run(self) -> None:
        self._context.run(self._callback, *self._args)

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """Of which this is a step."""
        found = getattr(self._callback, "__self__", None)
        return found if isinstance(found, asyncio.Task) else None


class _Task(asyncio.Task[T]):
    """Its place in a set is the same in every run."""

    def __init__(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, loop: Loop, name: str,
                 context: Context | None, number: int) -> None:
        self._number = number
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.AbstractEventLoop):
    """Ends when nothing is left to do, or when it is told to `stop`."""

    def __init__(self, random: Random, start: float = 0.0) -> None:
        self._random = random.random
        self._time = 0.0
        self._ahead = start
        self._ready: list[Step] = []
        self._order = count()
        self._timers: list[tuple[float, int, Step]] = []
        self._naps: list[tuple[float, int, Step]] = []
        self._alarms: list[tuple[float, int, Step]] = []
        self._rounds: list[tuple[float, int, Step]] = []
        self._tasks: list[_Task[Any]] = []
        self._stopping = False
        self._over = False
        self.next_thing: Callable[[], float] = lambda: float("inf")
        """When, by `now()`, something is to be done that whoever makes rounds would find."""
        self.restless: Callable[[], bool] = lambda: False
        """Something is being waited for that only naps bring about."""
        self.stepped: Callable[[Step], None] = lambda step: None
        """Hears of each step of a process that has been done."""
        self.failed: Callable[[dict[str, Any]], None] = lambda context: None

    # --- time

    def time(self) -> float:
        return self._time

    def now(self) -> float:
        return self._ahead + self._time

    async def nap(self, seconds: float) -> None:
        """A sleep that nothing of interest depends on: the hour of the day may leap over it."""
        future = self.create_future()
        step = Step(self._time + seconds, wake, (future,), None)
        heapq.heappush(self._naps, (step._when, next(self._order), step))
        try:
            await future
        finally:
            step.cancel()

    def alarm(self, at: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Step:
        """At an hour of the day."""
        step = Step(at, callback, args, context)
        heapq.heappush(self._alarms, (at, next(self._order), step))
        return step

    async def until(self, at: float) -> None:
        """An hour of the day."""
        future = self.create_future()
        step = self.alarm(at, wake, future)
        try:
            await future
        finally:
            step.cancel()

    def round(self, at: float, callback: Callable[..., object], *args: Any) -> Step:
        """An alarm once a minute that finds nothing before `next_thing`: leaps keep only its phase."""
        step = Step(at, callback, args, None)
        heapq.heappush(self._rounds, (at, next(self._order), step))
        return step

    # --- processes

    def kill(self, process: Process) -> None:
        """None of its steps is ever run again, not even a `finally`."""
        process.alive = False

    def freeze(self, process: Process, seconds: float) -> None:
        process.frozen = True
        self.call_later(seconds, self._thaw, process, context=copy_context())

    def _thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready += process.parked
        process.parked = []

    # --- running

    def run(self) -> None:
        """Until nothing is left to do, or `stop` is called."""
        with self._set():
            while not self._stopping:
                if self._ready:
                    self._run_one()
                elif not self._go_on():
                    break

    @contextmanager
    def _set(self) -> Iterator[None]:
        """As the one that runs: where there is none asyncio makes one, which nobody closes."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    def stop(self) -> None:
        self._stopping = True

    def _run_one(self) -> None:
        ready = self._ready
        at = int(self._random() * len(ready))
        step, ready[at] = ready[at], ready[-1]
        ready.pop()
        process = step.process
        if step._cancelled:
            return
        if process is not None:
            if not process.alive:
                return
            if process.frozen:
                process.parked.append(step)
                return
        try:
            step.run()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": "a callback failed", "exception": error})
        if process is not None:
            self.stepped(step)

    def _go_on(self) -> bool:
        """Time, to whatever comes next. False: nothing does."""
        timer, nap, alarm, round = map(_first, (self._timers, self._naps, self._alarms, self._rounds))
        alarm, round = alarm - self._ahead, round - self._ahead
        if timer == INFINITE and not self.restless():
            # Only naps and the hours of the day are left.
            thing = self.next_thing() - self._ahead
            ahead = min(alarm, round if thing <= self._time + TICK else thing)
            if ahead == INFINITE:
                return False
            if ahead > self._time + TICK:
                self._leap(ahead - self._time)
                self._ring(self._alarms, self.now())
                self._ring(self._rounds, self.now())
                return True
        at = min(timer, nap, alarm, round)
        if at == INFINITE:
            return False
        self._time = max(self._time, at)
        self._ring(self._timers, self._time)
        self._ring(self._naps, self._time)
        self._ring(self._alarms, self.now())
        self._ring(self._rounds, self.now())
        return True

    def _leap(self, by: float) -> None:
        self._ahead += by
        now = self.now()
        while _first(self._rounds) < now:
            at, order, step = heapq.heappop(self._rounds)
            heapq.heappush(self._rounds, (now + (at - now) % MINUTE, order, step))

    def _ring(self, heap: list[tuple[float, int, Step]], at: float) -> None:
        while heap and heap[0][0] <= at + TICK:
            self._ready.append(heapq.heappop(heap)[2])

    def bury(self) -> None:
        """Ends every task that is left. What would have an effect while it ends must raise Dead from now on."""
        self._over = True
        with self._set():
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    coro = task.get_coro()
                    for _ in range(20):     # a `finally` that awaits is not over at once
                        with suppress(Exception, Dead):
                            coro.close()
                            break
        self._tasks.clear()

    # --- what asyncio asks of a loop

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Step:
        step = Step(self._time, callback, args, context)
        if not self._over:
            self._ready.append(step)
        return step

    def call_later(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) \
            -> Step:
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) \
            -> Step:
        step = Step(when, callback, args, context)
        if not self._over:
            heapq.heappush(self._timers, (when, next(self._order), step))
        return step

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: str | None = None,
                    context: Context | None = None) -> asyncio.Task[T]:
        task = _Task(coro, loop=self, name=name or "", context=context, number=next(self._order))
        # Nothing of a killed process may be collected, which would run what it has in `finally`.
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._over:
            self.failed(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._over


INFINITE = float("inf")


def _first(heap: list[tuple[float, int, Step]]) -> float:
    while heap and heap[0][2].idle:
        heapq.heappop(heap)
    return heap[0][0] if heap else INFINITE


def wake(future: asyncio.Future[None]) -> None:
    """If it still sleeps."""
    with suppress(asyncio.InvalidStateError):
        future.set_result(None)
