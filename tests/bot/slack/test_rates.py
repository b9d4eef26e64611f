"""Three hundred reminders at one instant, by Slack's own count of calls.

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

from bot.cohort.journal import Left
from bot.herald import AT_ONCE
from bot.ledger import Cohort, State
from content.model import PostKind
from tests.bot.slack.town import KINDS, MINUTES, TEAM, WEEK, Kind, Town, is_refused, local, town_of
from tests.emulators.slack import Throttle
from tests.emulators.slack_world import POSTS_A_MINUTE, Shown

OPENED, START, ZONE = datetime(2027, 1, 25, 12, tzinfo=UTC), date(2027, 2, 1), "Europe/Berlin"
NUDGE_1 = local(date(2027, 2, 7), "17:00", ZONE)
MEMBERS, ON_THE_BOARD, DISABLED = 300, 5, 2
WAIT = 30
"""Seconds of the Retry-After."""
ANSWERED = 1.0
"""Seconds; Slack gives three."""
POST = "chat.postMessage"


@asynccontextmanager
async def town_of_three_hundred(folder: Path, kind: Kind, speed: float) \
        -> AsyncIterator[tuple[Town, Cohort, list[str], list[str]]]:
    """Half an hour before three hundred are reminded of week 1, and five are not, who have checked in."""
    async with town_of(folder, OPENED, kind, speed=speed) as town:
        waiting = town.join(*(f"Member {number}" for number in range(MEMBERS)))
        ahead = town.join(*(f"Ahead {number}" for number in range(ON_THE_BOARD)))
        cohort = await town.open(START, ZONE, [*waiting, *ahead])
        town.clock.reach(NUDGE_1 - WEEK / 7)
        await town.start()
        for number, user in enumerate(ahead):
            assert not is_refused(await town.check_in(user, tasks=["stream-a-chat", "explain-attention"][:number % 3]))
        await town.follow(NUDGE_1 - 30 * MINUTES)
        yield town, cohort, waiting, ahead


async def wave(town: Town, visitor: str) -> tuple[float, list[float]]:
    """Seconds that the wave took, and that the visitor waited for each of their answers meanwhile."""
    began, waited = time.monotonic(), list[float]()

    async def timed(ask: Callable[[], Awaitable[Shown]]) -> Shown:
        asked = time.monotonic()
        shown = await ask()
        waited.append(time.monotonic() - asked)
        assert not is_refused(shown)
        return shown

    async def followed() -> None:
        due = await town.reach(NUDGE_1, within=MEMBERS)
        while due is not None and due < NUDGE_1 + 30 * MINUTES:
            # Slack's clock of limits is another than the bot's calendar: both go on alike.
            due = max(due, town.clock.now() + timedelta(seconds=5))
            await asyncio.sleep((due - town.clock.now()).total_seconds() / town.pace.speed)
            due = await town.reach(due, within=MEMBERS)

    under_way = asyncio.create_task(followed())
    while not under_way.done():
        form = await timed(partial(town.type, visitor, "/checkin 1"))
        await timed(partial(town.submit, visitor, form, hours="6"))
        await timed(partial(town.type, visitor, "/week"))
        await asyncio.wait({under_way}, timeout=0.3)
    await under_way
    return time.monotonic() - began, waited


def most_in_a_minute(calls: list[float]) -> int:
    most = first = 0
    for place, at in enumerate(calls):
        while calls[first] <= at - 60:
            first += 1
        most = max(most, place - first + 1)
    return most


async def reminded(town: Town, cohort: Cohort, waiting: list[str], ahead: list[str]) -> tuple[float, list[float]]:
    """A 429 in the middle, and two whose accounts are closed. What `wave` gives."""
    before = await town.board(ahead[0])
    gone, there = waiting[:DISABLED], waiting[DISABLED:]
    for user in gone:
        town.slack.disable(TEAM, user)
    town.slack.fault(POST, *[None] * (MEMBERS // 2), Throttle(WAIT))
    since = town.slack.monotonic()
    # One of those who are ahead, so that nothing is withdrawn.
    seconds, waited = await wave(town, ahead[-1])

    assert [len(town.direct(user)) for user in waiting] == [0] * DISABLED + [1] * (MEMBERS - DISABLED)
    assert [len(town.direct(user)) for user in ahead] == [0] * ON_THE_BOARD
    for user in gone:
        assert isinstance(town.journal(cohort, user)[-1].event, Left) and not town.member(cohort, user).present
    assert all(town.member(cohort, user).present for user in there)
    nudges = [one.state for one in town.deliveries(cohort) if one.delivery.kind is PostKind.NUDGE]
    assert (nudges.count(State.SENT), nudges.count(State.FAILED)) == (MEMBERS - DISABLED, DISABLED)
    after = await town.board(ahead[0])
    assert (len(after), after) == (ON_THE_BOARD, before)

    # Of those under way as the 429 came some met it as well, and after it nobody until it was over.
    calls = [at for at, method in town.slack.arrived if method == POST and at >= since]
    refused = town.slack.limited[POST]
    assert 1 <= refused <= AT_ONCE and town.slack.limited.keys() == {POST}
    # Fifteen of these seconds are a real one, by which the last of them may have been late.
    assert max(later - earlier for earlier, later in pairwise(calls)) >= WAIT / 2
    assert len(calls) == MEMBERS + refused
    assert most_in_a_minute(calls) <= POSTS_A_MINUTE
    assert (max(waited) < ANSWERED, len(waited) >= 9) == (True, True), waited
    assert "Traceback" not in town.log
    return seconds, waited


@pytest.mark.parametrize("kind", KINDS)
async def test_three_hundred_are_reminded_within_every_limit_and_nobody_waits_for_it(tmp_path: Path, kind: Kind) \
        -> None:
    async with town_of_three_hundred(tmp_path, kind, speed=15) as (town, cohort, waiting, ahead):
        await reminded(town, cohort, waiting, ahead)


@pytest.mark.bench
async def test_three_hundred_at_the_real_pace(tmp_path: Path) -> None:
    """A good minute, and the half of one that Slack asks for."""
    async with town_of_three_hundred(tmp_path, "socket", speed=1) as (town, cohort, waiting, ahead):
        seconds, waited = await reminded(town, cohort, waiting, ahead)

        assert MEMBERS / 4 <= seconds < MEMBERS / 4 + 2 * WAIT
        waited.sort()
        print(f"\n{MEMBERS - DISABLED} members reminded in {seconds:.0f} s; meanwhile {len(waited)} answers, "
              f"p50 {waited[len(waited) // 2] * 1000:.0f} ms, longest {waited[-1] * 1000:.0f} ms")
