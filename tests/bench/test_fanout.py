"""How fast a backlog of direct messages drains, beside what the platform takes, and what people who do something
meanwhile notice of it.

    pytest -m bench tests/bench/test_fanout.py -s

The whole bot in its own process, and a platform that counts requests and refuses those that are too many. Its limits
run faster than real time where draining would take too long; answers are timed by the real clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TypeVar

import pytest
from sqlalchemy import insert

from bot.store import tables
from bot.store.database import Database
from tests.bench.table import percentile, record
from tests.bot.discord.stage import account, is_refused, local, stage
from tests.bot.season import Town
from tests.bot.slack.town import TEAM, town_of
from tests.bot.slack.town import is_refused as is_refused_on_slack
from tests.emulators.discord_limits import GLOBAL
from tests.emulators.slack_world import POSTS_A_MINUTE

OPENED, START, ZONE = datetime(2027, 1, 25, 12, tzinfo=UTC), date(2027, 2, 1), "Europe/Berlin"
NUDGES = local(date(2027, 2, 7), "17:00", ZONE)
BEFORE = timedelta(minutes=30)
VISITORS = 40
"""Of whom each has a turn after the other: who checks in a thousand times has a journal like nobody's."""
TURNS = 80
"""Of somebody while nothing else is going on, three answers each."""
PAUSE, PAUSE_ON_SLACK = 0.05, 0.35
"""Seconds between them; Slack limits how often a form is opened. Of fewer answers the slowest in a hundred would be the
slowest of all."""
SHARE = 0.95
SLOWER = {"p50": 1.5, "p99": 2.0}
"""How many times as long somebody may wait for an answer meanwhile."""
ROOM = 2.0
"""For what else the machine does."""
T = TypeVar("T")

pytestmark = pytest.mark.bench


async def timed(waited: list[float], asked: Awaitable[T], is_refusal: Callable[[T], bool]) -> T:
    began = time.perf_counter()
    shown = await asked
    waited.append(time.perf_counter() - began)
    assert not is_refusal(shown)
    return shown


async def visited(turn: Callable[[list[float]], Awaitable[None]], wave: Awaitable[object], pause: float) \
        -> tuple[list[float], ...]:
    """Seconds that somebody waited for each answer before the wave, and while it lasted."""
    idle, meanwhile = list[float](), list[float]()
    for _ in range(TURNS // 4):
        await turn([])
    for _ in range(TURNS):
        await turn(idle)
        await asyncio.sleep(pause)
    under_way = asyncio.ensure_future(wave)
    while not under_way.done():
        await turn(meanwhile)
        await asyncio.wait({under_way}, timeout=pause)
    await under_way
    return idle, meanwhile


async def sent(town: Town, within: float) -> None:
    """Also to whom the platform said not now."""
    due = await town.reach(NUDGES, within)
    while due is not None and due < NUDGES + BEFORE:
        due = await town.reach(due, within)


def rate(instants: Sequence[float]) -> float:
    return (len(instants) - 1) / (instants[-1] - instants[0])


def told(platform: str, backlog: int, drained: float, allowed: float, idle: Sequence[float],
         meanwhile: Sequence[float], *, in_time: bool = True) -> None:
    """`in_time`: the answers count, too."""
    ratio = record(f"{backlog:,} direct messages on {platform}", drained, allowed, SHARE, "/s",
                   f"what {platform} takes", at_least=True)
    slower = {name: record(f"an answer meanwhile, {name}", 1000 * of(meanwhile), 1000 * of(idle),
                           SLOWER[name] if in_time else None,
                           peer="with nothing to send")
              for name, of in (("p50", median), ("p99", partial(percentile, share=0.99)))}
    assert ratio >= SHARE
    assert not in_time or all(slower[name] <= ROOM * most for name, most in SLOWER.items()), slower


@pytest.mark.parametrize(("backlog", "speed"), [(300, 1.0), (1000, 1.0), (5000, 1.0)])
async def test_discord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backlog: int, speed: float) -> None:
    # The tests hold what goes over the wire against Discord's own specification; here that would only cost time.
    monkeypatch.setenv("NINETY_DISCORD_OPENAPI", "/dev/null")
    async with stage(tmp_path, OPENED, speed=speed, heartbeat=600.0) as town:
        users = town.join(*(f"Member {number}" for number in range(VISITORS + backlog)))
        visitors, others = cycle(users[:VISITORS]), users[VISITORS:]
        await town.open(START, ZONE, dict.fromkeys(users, ZONE))
        database = Database(town.environment["NINETY_DATABASE_URL"], durable=False)
        try:
            known = [vars(account(user)) | {"channel": town.discord.dm(user).id} for user in users]
            database.run_here(lambda connection: connection.execute(insert(tables.direct_channel), known))
        finally:
            database.close()
        town.clock.reach(NUDGES - 2 * BEFORE)
        await town.start()
        await town.follow(NUDGES - BEFORE)

        async def turn(waited: list[float]) -> None:
            visitor = next(visitors)
            form = await timed(waited, town.discord.type(visitor, town.channel, "checkin", {"week": "1"}), is_refused)
            await timed(waited, town.discord.submit(visitor, form, {"hours": "6"}), is_refused)
            await timed(waited, town.discord.type(visitor, town.channel, "week"), is_refused)

        since = town.discord.monotonic()
        idle, meanwhile = await visited(turn, sent(town, 60 + 2 * backlog / GLOBAL), PAUSE)
        posted = [done.at for done in town.discord.done if done.at >= since and done.status == 200
                  and done.route == "POST /channels/{}/messages"]
        assert [len(town.direct(user)) for user in others] == [1] * backlog
        assert {one.user for one in town.discord.opened} <= {town.organiser}    # of whom nobody knew where
        told("Discord", backlog, rate(posted), GLOBAL, idle, meanwhile)


@pytest.mark.parametrize(("backlog", "speed"), [(300, 2.0), (1000, 2.0), (5000, 10.0)])
async def test_slack(tmp_path: Path, backlog: int, speed: float) -> None:
    async with town_of(tmp_path, OPENED, "socket", speed=speed) as town:
        users = town.join(*(f"Member {number}" for number in range(VISITORS + backlog)))
        visitors, others = cycle(users[:VISITORS]), users[VISITORS:]
        await town.open(START, ZONE, users)
        town.clock.reach(NUDGES - 2 * BEFORE)
        await town.start()
        await town.follow(NUDGES - BEFORE)

        async def turn(waited: list[float]) -> None:
            visitor = next(visitors)
            form = await timed(waited, town.type(visitor, "/checkin 1"), is_refused_on_slack)
            await timed(waited, town.submit(visitor, form, hours="6"), is_refused_on_slack)
            await timed(waited, town.type(visitor, "/week"), is_refused_on_slack)

        since = town.slack.monotonic()
        idle, meanwhile = await visited(turn, sent(town, 60 + backlog), PAUSE_ON_SLACK)
        posted = [at for at, method in town.slack.arrived if at >= since and method == "chat.postMessage"]
        direct = {channel.im: len(channel.messages) for channel in town.slack.teams[TEAM].channels.values()}
        assert [direct.get(user) for user in others] == [1] * backlog
        # Ten times as fast, a call that is late by a blink of ours is late by ten of Slack's, and one or two of five
        # thousand come too early after it.
        assert speed >= 10 or town.slack.limited.total() == 0
        # Ten times as fast, the bot sends as it never may: what people notice of that nobody has asked.
        told("Slack", backlog, rate(posted), POSTS_A_MINUTE / 60, idle, meanwhile, in_time=speed < 10)
