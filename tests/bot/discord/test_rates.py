"""Three hundred reminders at one instant, by Discord's own count of requests.

Limits are counted and waited for on a clock that both sides run faster where waiting would take minutes; what people
wait for is measured by the real one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from bot.ledger import Cohort
from tests.bot.discord.stage import Stage, is_refused, local, stage
from tests.emulators.discord import Shown
from tests.emulators.discord_world import User

OPENED, START, ZONE = datetime(2027, 1, 25, 12, tzinfo=UTC), date(2027, 2, 1), "Europe/Berlin"
NUDGE_1 = local(date(2027, 2, 7), "17:00", ZONE)
NUDGE_2 = local(date(2027, 2, 14), "17:00", ZONE)
HOUR = timedelta(hours=1)
MEMBERS, GLOBAL = 300, 50
ANSWERED = 1.0
"""Seconds; Discord gives three."""


@asynccontextmanager
async def town_of_three_hundred(folder: Path, speed: float) -> AsyncIterator[tuple[Stage, Cohort, list[User]]]:
    """An hour before all of them are reminded of week 1; the bot is there."""
    async with stage(folder, OPENED, speed=speed) as town:
        users = town.join(*(f"Member {number}" for number in range(MEMBERS)))
        cohort = await town.open(START, ZONE, dict.fromkeys(users, ZONE))
        town.clock.reach(NUDGE_1 - HOUR)
        await town.start()
        await town.follow(NUDGE_1 - HOUR / 2)
        yield town, cohort, users


async def all_sent(town: Stage, at: datetime) -> None:
    """Whoever's channel is not opened soon is put off; so that theirs comes, the bot's clock goes with Discord's."""
    began, due = town.discord.monotonic(), await town.reach(at, within=MEMBERS * 1.5)
    while due is not None and due < at + HOUR:
        await asyncio.sleep(((due - at).total_seconds() - (town.discord.monotonic() - began)) / town.pace.speed)
        due = await town.reach(due, within=MEMBERS * 1.5)


async def wave(town: Stage, at: datetime, visitor: User) -> tuple[float, list[float]]:
    """Seconds that the wave took, and that the visitor waited for each of their answers meanwhile."""
    began, waited = time.monotonic(), list[float]()

    async def timed(ask: Callable[[], Awaitable[Shown]]) -> Shown:
        asked = time.monotonic()
        shown = await ask()
        waited.append(time.monotonic() - asked)
        assert not is_refused(shown)
        return shown

    under_way = asyncio.create_task(all_sent(town, at))
    while not under_way.done():
        form = await timed(partial(town.discord.type, visitor, town.channel, "checkin", {"week": "1"}))
        await timed(partial(town.discord.submit, visitor, form, {"hours": "6"}))
        await timed(partial(town.discord.type, visitor, town.channel, "week"))
        await asyncio.wait({under_way}, timeout=0.3)
    await under_way
    return time.monotonic() - began, waited


def most_in(seconds: int, town: Stage, since: float) -> int:
    """Requests that count towards the global limit, by Discord's clock, in any so many seconds."""
    counted = sorted(done.at for done in town.discord.done
                     if done.at >= since and "/interactions/" not in done.route and "/webhooks/" not in done.route)
    most = first = 0
    for place, at in enumerate(counted):
        while counted[first] <= at - seconds:
            first += 1
        most = max(most, place - first + 1)
    return most


def openings(town: Stage) -> list[float]:
    """Seconds between each two new direct message channels."""
    return [later.at - earlier.at for earlier, later in pairwise(town.discord.opened)]


async def test_three_hundred_are_reminded_within_every_limit_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with town_of_three_hundred(tmp_path, speed=40) as (town, _, users):
        visitor, = town.join("Visitor")
        visiting, *others = users
        _, waited = await wave(town, NUDGE_1, visiting)

        # The first week: one who checked in meanwhile may or may not have been reminded before.
        assert [len(town.direct(user)) for user in others] == [1] * (MEMBERS - 1)
        assert len(town.discord.opened) >= MEMBERS - 1
        assert min(openings(town)) >= 1
        assert (max(waited) < ANSWERED, len(waited) >= 9) == (True, True), waited
        assert town.refusals() == []
        assert not is_refused(await town.discord.type(visitor, town.channel, "week"))

        # The next week, at half of Discord's real pace, so that a busy machine's delays are as short beside it as those
        # of a network: nothing is opened, and nothing limits but the fifty a second.
        opened = len(town.discord.opened)
        town.set_pace(0.5)
        await town.start()
        await town.follow(NUDGE_2 - HOUR)
        since = town.discord.monotonic()
        seconds, waited = await wave(town, NUDGE_2, visiting)

        assert [len(town.direct(user)) for user in others] == [2] * (MEMBERS - 1)
        assert len(town.discord.opened) - opened <= 1     # the one who had checked in before their turn
        # Not in any one: this machine may hold a call up and let the next ones through. That they are never more than
        # fifty a second, test_rest.py holds in a time that knows no such chances.
        assert most_in(5, town, since) <= 5 * GLOBAL
        assert seconds * town.pace.speed >= MEMBERS / GLOBAL - 1
        assert max(waited) < ANSWERED, waited
        assert town.refusals() == []


@pytest.mark.bench
async def test_three_hundred_at_the_real_pace(tmp_path: Path) -> None:
    """Five minutes: a new channel a second."""
    async with town_of_three_hundred(tmp_path, speed=1) as (town, _, users):
        visiting, *others = users
        seconds, waited = await wave(town, NUDGE_1, visiting)

        assert [len(town.direct(user)) for user in others] == [1] * (MEMBERS - 1)
        assert min(openings(town)) >= 1
        assert MEMBERS - 2 <= seconds < MEMBERS * 1.2
        assert max(waited) < ANSWERED
        assert town.refusals() == []
        waited.sort()
        print(f"\n{MEMBERS} members reminded in {seconds:.0f} s; meanwhile {len(waited)} answers, "
              f"p50 {waited[len(waited) // 2] * 1000:.0f} ms, longest {waited[-1] * 1000:.0f} ms")
