"""How long Slack waits for us, beside a bare Bolt bot with the same transaction: all in one run and in turn.

    pytest -m bench tests/bench/test_slack.py

Ours is the whole bot in its own process; the bare one (`slack_bare.py`) opens the same modal, writes the same rows and
shows the same answer. Both are reached through Socket Mode: from the envelope with `/checkin` to the modal, and from
the envelope with the submitted modal to the acknowledgement with the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from tests.bench.turns import ANSWER, CALLERS, FORM, MEMBERS, MONDAY, REPORT, SHOWN, Bot, in_turn, recorded, started
from tests.bot.slack.town import Town, is_refused, town_of
from tests.emulators.slack_world import Shown

MOST = {(FORM, 1): 2.0, (ANSWER, 1): 2.0, (FORM, CALLERS): 3.0, (ANSWER, CALLERS): 5.0}
"""How many times as long as for the bare bot Slack may wait for us, on a machine that others use as well."""

pytestmark = pytest.mark.bench


@dataclass
class InTown(Bot):
    town: Town
    members: Sequence[str]

    async def check_in(self, numbers: Sequence[int]) -> tuple[Sequence[float], Sequence[float]]:
        users = [self.members[number] for number in numbers]
        modals = await asyncio.gather(*(timed(self.town.type(user, "/checkin")) for user in users))
        answers = await asyncio.gather(*(timed(self.town.submit(user, modal, **REPORT))
                                         for user, (_, modal) in zip(users, modals, strict=True)))
        assert {shown.kind for _, shown in (*modals, *answers)} == {"modal"}
        assert not any(is_refused(shown) for _, shown in answers), answers[0][1].words
        if self.name == "ours":
            # It draws their homes after each check-in; else they would be drawn while the other bot is measured.
            await self.town.slack.until(lambda: self.town.slack.done("views.publish") >= len(users), 20)
        self.forget()
        return [seconds for seconds, _ in modals], [seconds for seconds, _ in answers]

    def forget(self) -> None:
        """What the emulator would carry along: it looks through all views and screens again and again."""
        slack = self.town.slack
        for kept in (slack._screens, slack._triggers, slack._response_urls, slack.views, slack._pressed_at):
            kept.clear()
        for listed in (slack.sent, slack.calls, slack.arrived):
            listed.clear()


async def timed(asked: Awaitable[Shown]) -> tuple[float, Shown]:
    began = time.perf_counter()
    shown = await asked
    return time.perf_counter() - began, shown


@asynccontextmanager
async def in_town(name: str, folder: Path) -> AsyncIterator[InTown]:
    """Its Slack and its database, with nobody at work yet."""
    async with town_of(folder, MONDAY, "socket", speed=1) as town:
        town.slack.limits = False
        members = town.join(*(f"member {number}" for number in range(MEMBERS)))
        await town.open(date(2026, 11, 23), "Europe/Berlin", members)
        yield InTown(name, town, members)


async def test_slack_waits_for_us_little_longer_than_for_a_bare_bot(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with AsyncExitStack() as running:
        ours, bare = bots = [await running.enter_async_context(in_town(name, tmp_path_factory.mktemp(name)))
                             for name in ("ours", "bare")]
        await ours.town.start()
        # What is shown from the second time on, because so is nearly all that is counted.
        await ours.check_in([0])
        form = await ours.town.type(ours.members[0], "/checkin")
        assert form.view is not None
        modal = form.view.body
        await ours.town.submit(ours.members[0], form, **REPORT)
        town = bare.town
        await running.enter_async_context(started("tests.bench.slack_bare", town.folder, {
            "api": town.slack.api_url, "bot_token": town.environment["NINETY_SLACK_BOT_TOKEN"],
            "app_token": town.slack.app_token, "database": str(town.database), "modal": modal,
            "answer": form.view.body}, town.arrived()))
        await in_turn(bots)
    for wait, ratio in recorded("Slack", ours, bare, "bare Bolt", SHOWN).items():
        assert ratio <= MOST[wait], wait
