"""Many seeds on all cores, or one of them again: `ninety simulate`."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from bot.simulation.knobs import Coverage
from bot.simulation.world import Outcome, play

CHUNK = 25
"""Seeds that a worker takes at once."""
SHOWN = 5
"""Failures that are told with their trace."""


def many(first: int, seeds: int, jobs: int | None, write: Callable[[str], None], progress: Callable[[float], None]) \
        -> bool:
    """Whether all is well. Writes each failure as it is found and at the end what happened; `progress` hears shares of
    the way from 0 to 1."""
    total, failures = Coverage(), 0
    chunks = [range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)]
    workers = max(1, min(jobs or os.cpu_count() or 1, len(chunks)))
    with ExitStack() as stack:
        # Not forked: a fork would take the threads' locks along.
        played: Iterable[tuple[Coverage, list[Outcome]]] = map(_chunk, chunks) if workers == 1 else stack.enter_context(
            multiprocessing.get_context("spawn").Pool(workers)).imap_unordered(_chunk, chunks)
        for coverage, broken in played:
            total.add(coverage)
            for outcome in broken:
                failures += 1
                if failures <= SHOWN:
                    _tell(outcome, write)
            progress(total.seeds / seeds)
    for line in total.lines():
        write(line)
    write("")
    write(f"{failures} of {seeds} seeds broke a promise" if failures else f"{seeds} seeds, no promise broken")
    return failures == 0


def one(seed: int, write: Callable[[str], None], *, trace: bool) -> bool:
    """Whether all is well with it; `trace` writes everything that happens."""
    outcome = play(seed, whole_trace=trace)
    if outcome.broken or trace:
        _tell(outcome, write)
    for line in outcome.coverage.lines():
        write(line)
    return not outcome.broken


def _tell(outcome: Outcome, write: Callable[[str], None]) -> None:
    for line in outcome.trace:
        write(line)
    for broken in outcome.broken:
        write(f"seed {outcome.seed}: {broken}")
    write(f"again: ninety simulate --seed {outcome.seed} --trace")
    write("")


def _chunk(seeds: Sequence[int]) -> tuple[Coverage, list[Outcome]]:
    total, broken = Coverage(), []
    gc.disable()    # a seed leaves its rubbish in one heap
    try:
        for seed in seeds:
            outcome = play(seed)
            total.add(outcome.coverage)
            if outcome.broken:
                broken.append(outcome)
            gc.collect(1)
    finally:
        gc.enable()
    gc.collect()
    return total, broken
