"""Ordinary seeds keep every promise; the same seed is the same to the byte; a failing one says how to see it again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.simulation.knobs import Coverage, Knobs
from bot.simulation.runs import many, one
from bot.simulation.world import play
from tests.bot.simulation import bugs

CHUNKS, SEEDS = 8, 25


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_ordinary_seeds_break_no_promise(chunk: int) -> None:
    total, broken = Coverage(), {}
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        outcome = play(seed)
        total.add(outcome.coverage)
        if outcome.broken:
            broken[seed] = outcome.broken
    assert broken == {}
    # Something went wrong, and something was done: else nothing was shown.
    assert min(total.posts, total.check_ins, total.takeovers, total.duplicates) > SEEDS
    assert min(sum(total.kills.values()), total.pauses, total.clock_changes, total.cut_replies, total.unsaved,
               total.unsaved_after_commit, total.adopted, total.sent_again, total.busy, total.server_errors) > 0


ROUGH = replace(Knobs(), mischief=1.0, twins=1.0)
WEATHERS = {
    "processes that are frozen": replace(ROUGH, freeze=20, lost=0.2, broken=0.2, kill=2, queue=0.1),
    "processes that are killed": replace(ROUGH, kill=30, unheard=0.05, lost=0.1),
    "processes that leave": replace(ROUGH, leave=20, late=0.2, lost=0.1, stall=0.05),
    "clocks that are set": replace(ROUGH, clock=20, lost=0.15, broken=0.1),
    "a database that is away": replace(ROUGH, partition=10, database_down=5, unsaved=0.05, unheard=0.05, stall=0.05),
    "a chat that is away": replace(ROUGH, outage=6, late=0.2, broken=0.2, lost=0.2, swallowed=0.1, busy=0.1),
}


@pytest.mark.parametrize("weather", WEATHERS)
def test_no_promise_breaks_in_rough_weather(weather: str) -> None:
    """With seed 19 of the first, a process slept while it looked back, and then sent in a term that was over."""
    assert {seed: outcome.broken for seed in range(10, 22) if (outcome := play(seed, WEATHERS[weather])).broken} == {}


def test_a_seed_is_the_same_to_the_byte_whatever_hashes_come_to() -> None:
    def trace(hash_seed: str) -> bytes:
        # Seeds in which processes leave, die and are frozen in the middle of things.
        script = ("from bot.simulation.world import play\n"
                  "for seed in range(6): print(*play(seed, whole_trace=True).trace, sep='\\n')")
        return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120,  # noqa: S603  # ours
                              cwd=Path(__file__).parents[3], env=os.environ | {"PYTHONHASHSEED": hash_seed}).stdout

    first = trace("1")
    assert first == trace("2")
    assert len(first.splitlines()) > 300


def test_other_seeds_are_other_plays() -> None:
    assert len({play(seed).trace for seed in range(10)}) == 10


def test_with_nothing_going_wrong_everything_goes_out_at_once() -> None:
    calm = Knobs(unsaved=0, unheard=0, stall=0, queue=0, lost=0, late=0, swallowed=0, broken=0, busy=0, hindered=0,
                 unreachable=0, rejected=0, twice=0, unheard_answer=0, mischief=0)
    outcome = play(1, calm)
    assert outcome.broken == ()
    coverage = outcome.coverage
    assert (coverage.missed, coverage.failed, coverage.sent_again, coverage.adopted, coverage.repeats) == (0,) * 5
    assert (sum(coverage.kills.values()), coverage.pauses, coverage.outages) == (0, 0, 0)
    assert coverage.posts > 5


def test_a_failing_seed_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bugs.counter_for_points(monkeypatch)
    written: list[str] = []
    shares: list[float] = []

    sound = many(1, 10, 1, written.append, shares.append)

    assert not sound
    assert shares == [1.0]
    broken = next(line for line in written if "their journal adds up to" in line and line.startswith("seed "))
    seed = int(broken.removeprefix("seed ").partition(":")[0])
    assert f"again: ninety simulate --seed {seed} --trace" in written
    again: list[str] = []
    assert not one(seed, again.append, trace=True)
    assert broken in again


def test_seeds_add_up() -> None:
    total = Coverage()
    for seed in (1, 2):
        total.add(play(seed).coverage)
    assert total.seeds == 2
    assert total == replace(total)
    assert total.virtual_days > 40
