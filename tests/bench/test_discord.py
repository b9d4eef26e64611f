"""How long Discord waits for us, beside a bare discord.py bot with the same transaction: all in one run and in turn.

    pytest -m bench tests/bench/test_discord.py

Ours is the whole bot in its own process (`discord_ours.py`); the bare one (`discord_bare.py`) opens the same modal,
writes the same rows and says as much. From the frame that tells of `/checkin` to the modal, and from the frame with the
submitted modal to the answer, which comes after the commit. A third process (`discord_raw.py`) has no library, only the
transaction; beside it, also from that frame to when the process learns that its transaction is committed.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median

import pytest

from tests.bench.kept import kept
from tests.bench.table import record
from tests.bench.turns import (
    ANSWER,
    CALLERS,
    FORM,
    MEMBERS,
    MONDAY,
    PAIRS,
    REPORT,
    SHOWN,
    Bot,
    in_turn,
    recorded,
    started,
)
from tests.bot.discord.stage import TOKEN, Stage, is_refused, stage
from tests.emulators.discord import Shown
from tests.emulators.discord_world import User

MOST = {(FORM, 1): 1.8, (ANSWER, 1): 2.6, (FORM, CALLERS): 2.6, (ANSWER, CALLERS): 3.2}
"""How many times as long as for the bare bot Discord may wait for us: half as much again as was measured on two cores
that others used as well."""
COMMITTED = 1.8
"""How many times as long as without a library or a rule it may take from the frame to the commit."""
MOST_COMMITTED = 2.6
"""The same on a machine that others use as well."""
BLINK = 0.02
"""Seconds between a modal and its submission."""

pytestmark = pytest.mark.bench


@dataclass
class OnStage(Bot):
    town: Stage
    members: Sequence[User]
    alone: list[Shown] = field(default_factory=list, kw_only=True)
    """What was answered to one caller at a time."""

    async def shown(self, numbers: Sequence[int]) -> tuple[list[Shown], list[Shown]]:
        users = [self.members[number] for number in numbers]
        discord, channel = self.town.discord, self.town.channel
        modals = await asyncio.gather(*(discord.type(user, channel, "checkin") for user in users))
        # discord.py knows a modal only when it has heard that it was opened, and nobody fills one in within a blink.
        await asyncio.sleep(BLINK)
        answers = await asyncio.gather(*(discord.submit(user, modal, REPORT)
                                         for user, modal in zip(users, modals, strict=True)))
        assert {modal.kind for modal in modals} == {"modal"}
        assert not any(is_refused(answer) for answer in answers), answers[0].text
        if len(numbers) == 1:
            self.alone += answers
        return modals, answers

    async def check_in(self, numbers: Sequence[int]) -> tuple[Sequence[float], Sequence[float]]:
        modals, answers = await self.shown(numbers)
        return [modal.seconds for modal in modals], [answer.seconds for answer in answers]

    def committed(self) -> list[float]:
        """Milliseconds from the frame to the last transaction that was committed before the answer."""
        instants, found = kept(self.town.folder / "kept"), []
        for answer in self.alone[-PAIRS:]:
            sent = answer.interaction.sent
            found.append(1000 * (instants[bisect(instants, sent + answer.seconds) - 1] - sent))
        assert min(found) > 0
        return found

    def started(self, ready: Awaitable[object], **play: object) -> AbstractAsyncContextManager[None]:
        return started(f"tests.bench.discord_{self.name}", self.town.folder, {
            "api": self.town.discord.api_url, "gateway": self.town.discord.gateway_url, "token": TOKEN,
            "database": str(self.town.folder / "ninety.db"), "kept": str(self.town.folder / "kept"), **play}, ready)


@asynccontextmanager
async def on_stage(name: str, folder: Path) -> AsyncIterator[OnStage]:
    """Its Discord and its database, with nobody at work yet."""
    async with stage(folder, MONDAY, speed=1.0, identify_every=0.0, heartbeat=600.0) as town:
        members = town.join(*(f"Member {number}" for number in range(MEMBERS)))
        await town.open(date(2026, 11, 23), "Europe/Berlin", dict.fromkeys(members, "Europe/Berlin"))
        yield OnStage(name, town, members)


async def test_discord_waits_for_us_little_longer_than_for_a_bare_bot(
        tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests hold what goes over the wire against Discord's own specification; here that would only cost time.
    monkeypatch.setenv("NINETY_DISCORD_OPENAPI", "/dev/null")
    async with AsyncExitStack() as running:
        ours, bare, raw = bots = [await running.enter_async_context(on_stage(name, tmp_path_factory.mktemp(name)))
                                  for name in ("ours", "bare", "raw")]
        await running.enter_async_context(ours.started(
            ours.town.arrived(), environment=ours.town.environment, now=MONDAY.isoformat()))
        # What is said from the second time on, because so is nearly all that is counted.
        await ours.check_in([0])
        (modal,), (answer,) = await ours.shown([0])
        size = len(json.dumps(answer.payload))
        for bot, said in ((bare, answer.text.ljust(size, ".")), (raw, answer.payload)):
            await running.enter_async_context(bot.started(bot.town.discord.ready(30), modal=modal.payload, answer=said))
        raw.town.discord.commands[:] = bare.town.discord.commands
        await in_turn(bots)
    committed = record("Discord, frame to committed, 1 at once", median(ours.committed()), median(raw.committed()),
                       COMMITTED, peer="raw socket")
    recorded("Discord", ours, raw, "raw socket", {(ANSWER, 1): None})
    assert committed <= MOST_COMMITTED
    for wait, ratio in recorded("Discord", ours, bare, "bare discord.py", SHOWN).items():
        assert ratio <= MOST[wait], wait
