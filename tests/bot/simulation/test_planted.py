"""The simulator is worth what it finds: each of eight planted bugs within a minute of one core."""

from __future__ import annotations

from itertools import count
from time import process_time

import pytest

from bot.simulation.world import play
from tests.bot.simulation.bugs import BUGS, Bug

MINUTE = 60.0


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.patch(monkeypatch)
    began = process_time()
    for seed in count(1):
        outcome = play(seed, bug.knobs, bug.parts)
        spent = process_time() - began
        if any(harm in broken for harm in bug.harm for broken in outcome.broken):
            assert spent < MINUTE
            print(f"{bug}: seed {seed}, {spent:.1f} CPU s: {outcome.broken[0]}")
            return
        assert spent < MINUTE, f"{seed} seeds did not find it; other findings: {outcome.broken}"
