"""Bots that take turns: ours and its floors, each in its own process before an emulator and members of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.table import record, undisturbed

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBERS, CALLERS = 96, 32
WARM, PAIRS, ROUNDS = 100, 300, 20
"""Turns of each that are not counted, that are by one caller at a time, and that are by 32 at once."""
FORM, ANSWER = "/checkin to form", "submit to answer"
SHOWN = dict.fromkeys((what, callers) for callers in (1, CALLERS) for what in (FORM, ANSWER))
"""What nobody has asked a ratio of."""

REPORT: Mapping[str, Any] = {
    "tasks": ("stream-a-chat", "explain-attention"), "hours": "6", "confidence": "On my own",
    "evidence": "https://git.example/work", "notes": "It climbs with each turn."}


@dataclass
class Bot(ABC):
    name: str
    taken: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list), kw_only=True)
    """Milliseconds, by what was waited for and by how many waited at once."""

    @abstractmethod
    async def check_in(self, numbers: Sequence[int]) -> tuple[Sequence[float], Sequence[float]]:
        """These members all at once; the seconds that each waited for the form, and for the answer."""

    async def turn(self, numbers: Sequence[int]) -> None:
        for what, seconds in zip((FORM, ANSWER), await self.check_in([number % MEMBERS for number in numbers]),
                                 strict=True):
            self.taken[what, len(numbers)] += [1000 * one for one in seconds]


async def in_turn(bots: Sequence[Bot]) -> None:
    for number in range(WARM):
        for bot in bots:
            await bot.check_in([number % MEMBERS])
    # The emulators run in this process, whose own pauses are none of the bots'.
    with undisturbed():
        for number in range(PAIRS):
            for bot in bots:
                await bot.turn([number])
        for round_ in range(ROUNDS):
            for bot in bots:
                await bot.turn(range(round_ * CALLERS, (round_ + 1) * CALLERS))


def recorded(platform: str, ours: Bot, floor: Bot, peer: str, asked: Mapping[tuple[str, int], float | None]) \
        -> dict[tuple[str, int], float]:
    """Ratios of what is waited for in the middle of all. Of the slowest there, too much is chance."""
    return {(what, callers): record(
        f"{platform}, {what}, {callers} at once", median(ours.taken[what, callers]), median(floor.taken[what, callers]),
        limit, peer=peer) for (what, callers), limit in asked.items()}


@asynccontextmanager
async def started(program: str, folder: Path, play: Mapping[str, Any], ready: Awaitable[object]) -> AsyncIterator[None]:
    """A floor at work, until the end; it reads its `play` from the file that it is handed."""
    script = folder / "play.json"
    script.write_text(json.dumps(play), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", program, str(script), cwd=Path(__file__).parents[2])
    try:
        await ready
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
