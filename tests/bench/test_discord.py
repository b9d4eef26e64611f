"""How long Discord waits for us, beside a bare discord.py bot with the same transaction: all in one run and in turn.

    pytest -m bench tests/bench/test_discord.py -s

Ours is the whole bot in its own process; the bare one (`discord_bare.py`) opens the same modal, writes the same rows
and says as much. From the frame that tells of `/checkin` to the modal, and from the frame with the submitted modal to
the answer. A third process (`discord_raw.py`) answers without looking: what that takes is the emulator's, in all three.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.bench.test_check_in import percentile
from tests.bot.discord.stage import TOKEN, Stage, is_refused, stage
from tests.emulators.discord import Shown
from tests.emulators.discord_world import User

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBERS, CALLERS = 96, 32
WARM, PAIRS, ROUNDS = 100, 400, 20
"""Turns of each that are not counted, that are by one caller at a time, and that are by 32 at once."""
MOST = {("/checkin to modal", 1): 2.8, ("submit to answer", 1): 3.8,
        ("/checkin to modal", CALLERS): 4.5, ("submit to answer", CALLERS): 6.5}
"""How many times as long as for the bare bot Discord may wait for us, in the middle of all: half as much again as was
measured on two cores that others used as well. Of the slowest there, too much is chance."""
BLINK = 0.02
"""Seconds between a modal and its submission."""

REPORT: Mapping[str, str | bool | Sequence[str] | None] = {
    "tasks": ("stream-a-chat", "explain-attention"), "hours": "6", "confidence": "On my own",
    "evidence": "https://git.example/work", "notes": "It climbs with each turn."}

pytestmark = pytest.mark.bench


@dataclass
class Bot:
    """A bot, its own Discord and its own people."""

    name: str
    town: Stage
    members: Sequence[User]
    taken: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds, by what was waited for and by how many waited at once."""

    async def check_in(self, numbers: Sequence[int], *, counts: bool = True) -> tuple[Shown, Shown]:
        """These members all at once. One of the modals and one of the answers."""
        users = [self.members[number % MEMBERS] for number in numbers]
        discord, channel = self.town.discord, self.town.channel
        modals = await asyncio.gather(*(discord.type(user, channel, "checkin") for user in users))
        # discord.py knows a modal only when it has heard that it was opened, and nobody fills one in within a blink.
        await asyncio.sleep(BLINK)
        answers = await asyncio.gather(*(discord.submit(user, modal, REPORT)
                                         for user, modal in zip(users, modals, strict=True)))
        assert {modal.kind for modal in modals} == {"modal"}
        assert not any(is_refused(answer) for answer in answers), answers[0].text
        if counts:
            self.taken["/checkin to modal", len(users)] += [modal.seconds for modal in modals]
            self.taken["submit to answer", len(users)] += [answer.seconds for answer in answers]
        return modals[0], answers[0]


@asynccontextmanager
async def started(bot: Bot, program: str, play: Mapping[str, Any]) -> AsyncIterator[None]:
    script = bot.town.folder / "play.json"
    script.write_text(json.dumps({
        "api": bot.town.discord.api_url, "gateway": bot.town.discord.gateway_url, "token": TOKEN,
        "database": str(bot.town.folder / "ninety.db"), **play}), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", "-m", program, str(script), cwd=ROOT)
    try:
        await bot.town.discord.ready(30)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def in_town(name: str, folder: Path) -> AsyncIterator[Bot]:
    """Its Discord and its database, with nobody at work yet."""
    async with stage(folder, MONDAY, speed=1.0, identify_every=0.0, heartbeat=600.0) as town:
        members = town.join(*(f"Member {number}" for number in range(MEMBERS)))
        await town.open(date(2026, 11, 23), "Europe/Berlin", dict.fromkeys(members, "Europe/Berlin"))
        yield Bot(name, town, members)


async def test_discord_waits_for_us_little_longer_than_for_a_bare_bot(
        tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests hold what goes over the wire against Discord's own specification; here that would only cost time.
    monkeypatch.setenv("NINETY_DISCORD_OPENAPI", "/dev/null")
    async with AsyncExitStack() as running:
        ours, bare, raw = bots = [await running.enter_async_context(in_town(name, tmp_path_factory.mktemp(name)))
                                  for name in ("ours", "bare", "raw")]
        await ours.town.start()
        # What is said from the second time on, because so is nearly all that is counted.
        await ours.check_in([0], counts=False)
        modal, answer = await ours.check_in([0], counts=False)
        size = len(json.dumps(answer.payload))
        await running.enter_async_context(started(bare, "tests.bench.discord_bare", {
            "modal": modal.payload, "answer": answer.text.ljust(size, ".")}))
        await running.enter_async_context(started(raw, "tests.bench.discord_raw", {
            "modal": modal.payload, "answer": answer.payload}))
        raw.town.discord.commands[:] = bare.town.discord.commands
        await measured(bots)

    print(f"\nModal of {len(json.dumps(modal.payload))} bytes, answer of {size}; milliseconds, p50 and p99")
    print(f"{'':34}" + "".join(f"{bot.name:>16}" for bot in bots) + "      ours/bare   without raw")
    ratios = {}
    for what, callers in ours.taken:
        at = [[1000 * median(bot.taken[what, callers]), 1000 * percentile(bot.taken[what, callers], 0.99)]
              for bot in bots]
        whole = [mine / theirs for mine, theirs, _ in zip(*at, strict=True)]
        own = [(mine - floor) / (theirs - floor) for mine, theirs, floor in zip(*at, strict=True)]
        ratios[what, callers] = whole
        print(f"{what:18}{callers:3} at once    " + "".join(f"{low:8.2f}{high:8.2f}" for low, high in at)
              + f"{whole[0]:9.2f}{whole[1]:6.2f}{own[0]:8.2f}{own[1]:6.2f}")
    for key, most in MOST.items():
        assert ratios[key][0] <= most, (key, ratios[key])


async def measured(bots: Sequence[Bot]) -> None:
    for number in range(WARM):
        for bot in bots:
            await bot.check_in([number], counts=False)
    # The emulators run in this process, whose own pauses are none of the bots'.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number in range(PAIRS):
            for bot in bots:
                await bot.check_in([number])
        for turn in range(ROUNDS):
            for bot in bots:
                await bot.check_in(range(turn * CALLERS, (turn + 1) * CALLERS))
    finally:
        gc.enable()
        gc.unfreeze()
