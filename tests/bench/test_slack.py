"""How long Slack waits for us, beside a bare Bolt bot with the same transaction: all in one run and in turn.

    pytest -m bench tests/bench/test_slack.py -s

Ours is the whole bot in its own process; the bare one (`slack_bare.py`) opens the same modal, writes the same rows and
shows the same answer. Both are reached through Socket Mode: from the envelope with `/checkin` to the modal, and from
the envelope with the submitted modal to the acknowledgement with the answer.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
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
from tests.bot.slack.town import Town, is_refused, town_of
from tests.emulators.slack_world import Shown

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBERS, CALLERS = 96, 32
WARM, PAIRS, ROUNDS = 100, 300, 20
"""Turns of each that are not counted, that are by one caller at a time, and that are by 32 at once."""
MOST = {("/checkin to modal", 1): 2.0, ("submit to answer", 1): 2.0,
        ("/checkin to modal", CALLERS): 3.0, ("submit to answer", CALLERS): 5.0}
"""How many times as long as for the bare bot Slack may wait for us, in the middle of all, on a machine that others use
as well. Of the slowest there, too much is chance."""

REPORT: Mapping[str, Any] = {
    "tasks": ("stream-a-chat", "explain-attention"), "hours": "6", "confidence": "On my own",
    "evidence": "https://git.example/work", "notes": "It climbs with each turn."}

pytestmark = pytest.mark.bench


@dataclass
class Bot:
    """A bot, its own Slack and its own people."""

    name: str
    town: Town
    members: Sequence[str]
    draws_homes: bool
    """Ours does, after each check-in; that work is within what others wait for meanwhile."""
    taken: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds, by what was waited for and by how many waited at once."""

    async def check_in(self, numbers: Sequence[int], *, counts: bool = True) -> None:
        """These members all at once."""
        users = [self.members[number % MEMBERS] for number in numbers]
        modals = await asyncio.gather(*(timed(self.town.type(user, "/checkin")) for user in users))
        answers = await asyncio.gather(*(timed(self.town.submit(user, modal, **REPORT))
                                         for user, (_, modal) in zip(users, modals, strict=True)))
        assert {shown.kind for _, shown in (*modals, *answers)} == {"modal"}
        assert not any(is_refused(shown) for _, shown in answers), answers[0][1].words
        if counts:
            self.taken["/checkin to modal", len(users)] += [seconds for seconds, _ in modals]
            self.taken["submit to answer", len(users)] += [seconds for seconds, _ in answers]
        if self.draws_homes:
            # Else they would be drawn while the other bot is measured.
            await self.town.slack.until(lambda: self.town.slack.done("views.publish") >= len(users), 20)
        self.forget()

    def forget(self) -> None:
        """What the emulator would carry along: it looks through all views and screens again and again."""
        slack = self.town.slack
        for kept in (slack._screens, slack._triggers, slack._response_urls, slack.views, slack._pressed_at):
            kept.clear()
        for listed in (slack.sent, slack.calls, slack.arrived):
            listed.clear()


async def timed(asked: Any) -> tuple[float, Shown]:
    began = time.perf_counter()
    shown: Shown = await asked
    return time.perf_counter() - began, shown


@asynccontextmanager
async def in_town(name: str, folder: Path) -> AsyncIterator[Bot]:
    """Its Slack and its database, with nobody at work yet."""
    async with town_of(folder, MONDAY, "socket", speed=1) as town:
        town.slack.limits = False
        members = town.join(*(f"member {number}" for number in range(MEMBERS)))
        await town.open(date(2026, 11, 23), "Europe/Berlin", members)
        yield Bot(name, town, members, name == "ours")


@asynccontextmanager
async def started(bot: Bot, program: str, play: Mapping[str, Any]) -> AsyncIterator[None]:
    town = bot.town
    script = town.folder / "play.json"
    script.write_text(json.dumps({
        "api": town.slack.api_url, "bot_token": town.environment["NINETY_SLACK_BOT_TOKEN"],
        "app_token": town.slack.app_token, "database": str(town.database), **play}), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", "-m", program, str(script), cwd=ROOT)
    try:
        await town.on_slack()
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_slack_waits_for_us_little_longer_than_for_a_bare_bot(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with AsyncExitStack() as running:
        ours, bare = bots = [await running.enter_async_context(in_town(name, tmp_path_factory.mktemp(name)))
                             for name in ("ours", "bare")]
        await ours.town.start()
        # What is shown from the second time on, because so is nearly all that is counted.
        await ours.check_in([0], counts=False)
        form = await ours.town.type(ours.members[0], "/checkin")
        assert form.view is not None
        modal = form.view.body
        await ours.town.submit(ours.members[0], form, **REPORT)
        answer = form.view.body
        await running.enter_async_context(started(bare, "tests.bench.slack_bare", {"modal": modal, "answer": answer}))
        await measured(bots)

    print(f"\nModal of {len(json.dumps(modal))} bytes, answer of {len(json.dumps(answer))}; milliseconds, p50 and p99")
    print(f"{'':34}" + "".join(f"{bot.name:>16}" for bot in bots) + "      ours/bare")
    ratios = {}
    for what, callers in ours.taken:
        at = [[1000 * median(bot.taken[what, callers]), 1000 * percentile(bot.taken[what, callers], 0.99)]
              for bot in bots]
        ratios[what, callers] = whole = [mine / theirs for mine, theirs in zip(*at, strict=True)]
        print(f"{what:18}{callers:3} at once    " + "".join(f"{low:8.2f}{high:8.2f}" for low, high in at)
              + f"{whole[0]:9.2f}{whole[1]:6.2f}")
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
