"""The loop: whose turn it is, how time goes on, and what a crash leaves undone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from random import Random
from typing import Any

from bot.simulation.loop import Loop, Process, wake


def loop(seed: int = 1) -> Loop:
    made = Loop(Random(seed))  # type: ignore[abstract]  # noqa: S311  # a play
    made.failed = _unexpected
    return made


def run(made: Loop) -> None:
    """To its end, with nothing left for Python to collect."""
    made.run()
    made.bury()


def _unexpected(context: dict[str, Any]) -> None:
    raise AssertionError(context)


def order(seed: int) -> list[int]:
    """In which five tasks come to their turns."""
    told: list[int] = []

    async def speak(number: int) -> None:
        told.append(number)
        await asyncio.sleep(0)
        told.append(number)

    made = loop(seed)
    for number in range(5):
        made.create_task(speak(number))
    run(made)
    return told


def test_the_seed_says_whose_turn_it_is() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) == 20
    assert all(sorted(order(seed)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] for seed in range(20))


def test_time_goes_on_to_whatever_comes_next() -> None:
    made, told = loop(), list[tuple[str, float]]()

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        told.append((name, made.time()))

    async def give_up() -> None:
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(9)
        except TimeoutError:
            told.append(("gave up", made.time()))

    made.create_task(sleep("long", 86_400))
    made.create_task(sleep("short", 0.5))
    made.create_task(give_up())
    run(made)

    assert told == [("short", 0.5), ("gave up", 2.0), ("long", 86_400.0)]


def test_between_events_the_hours_leap_and_leases_do_not_age() -> None:
    made, told = loop(), list[tuple[str, float, float]]()

    async def renew() -> None:
        for _ in range(3):
            await made.nap(5)
            told.append(("renewed", made.time(), made.now()))

    async def visit() -> None:
        await made.until(3600)
        await asyncio.sleep(7)
        told.append(("visited", made.time(), made.now()))

    made.create_task(renew())
    made.create_task(visit())
    run(made)

    assert told == [("renewed", 5.0, 3605.0), ("visited", 7.0, 3607.0)]


def test_who_makes_rounds_is_not_leapt_over_once_there_is_something_to_find() -> None:
    made, told = loop(), list[float]()
    made.next_thing = lambda: 1000.0 if not told else float("inf")
    made.round(30, lambda: told.append(made.now()))
    made.alarm(9999, lambda: None)
    run(made)

    assert told == [1020.0 - 1020.0 % 60 + 30]     # the first of each half minute past 1000


def in_process(made: Loop, work: Callable[[Process], Awaitable[None]]) -> Process:
    process = Process("p")

    async def main() -> None:
        await work(process)

    made.create_task(main(), context=process.context.copy())
    return process


def test_of_a_killed_process_nothing_runs_again_not_even_a_finally() -> None:
    made, told = loop(), list[str]()

    async def child() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            told.append("child's finally")

    async def work(process: Process) -> None:
        tasks = [asyncio.create_task(child())]
        try:
            told.append("began")
            await asyncio.sleep(1)
            await asyncio.gather(*tasks)
            told.append("ended")
        finally:
            told.append("finally")

    process = in_process(made, work)
    made.call_later(2, made.kill, process, context=copy_context())
    made.call_later(60, lambda: told.append("the world goes on"))
    made.run()
    heard = [*told]
    made.bury()

    assert heard == ["began", "the world goes on"]


def test_a_frozen_process_stands_still_while_the_others_go_on() -> None:
    made, told = loop(), list[tuple[str, float]]()

    async def work(process: Process) -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            told.append(("tick", made.time()))

    process = in_process(made, work)
    made.call_later(1.5, made.freeze, process, 60.0, context=copy_context())
    made.call_later(30, lambda: told.append(("other", made.time())), context=copy_context())
    run(made)

    assert told == [("tick", 1.0), ("other", 30.0), ("tick", 61.5), ("tick", 62.5)]


def test_what_is_awake_again_after_its_timeout_may_still_get_its_answer_first() -> None:
    """Both are ready when a process wakes up: which comes first is not for us to say."""
    def ended(seed: int) -> str:
        made, told = loop(seed), list[str]()

        async def work(process: Process) -> None:
            answer = made.create_future()
            made.call_later(1, wake, answer, context=Context())
            try:
                async with asyncio.timeout(2):
                    await answer
                told.append("answered")
            except TimeoutError:
                told.append("timed out")

        process = in_process(made, work)
        made.call_later(0.5, made.freeze, process, 60.0, context=copy_context())
        run(made)
        return told[0]

    assert {ended(seed) for seed in range(20)} == {"answered", "timed out"}


def test_at_the_end_what_waits_is_buried_without_a_word() -> None:
    made, told = loop(), list[str]()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            told.append("finally")
            await asyncio.sleep(99)

    made.create_task(stubborn())
    made.call_later(1, made.stop)
    run(made)

    assert told == ["finally"]


def test_what_is_buried_finds_the_loop_that_it_ran_in() -> None:
    """asyncio made another one for `gather()`, and at the end of the tests Python found it unclosed."""
    made, told = loop(), list[asyncio.AbstractEventLoop]()

    async def work() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            told.append(asyncio.gather().get_loop())

    made.create_task(work())
    made.call_later(1, made.stop)
    run(made)

    assert told == [made]
