"""kill -9 in the middle of a send, with a real process, a real database and the local platform's own history."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.herald import LEASE, Herald, posts
from bot.ledger import Cohort, Room, State
from bot.local.history import History
from bot.local.platform import LocalPlatform
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path, load
from scheduler.clock import VirtualClock

ROOM = Room("local", "", "ninety")
OPENED = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST_MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with a cohort of which welcome and week 1 are due on the first Monday."""
    address = f"sqlite:///{tmp_path}/cohort.db"
    database = Database(address)
    migrate(database)
    edition = Edition.of(load(default_path()), "ninety-days")
    StoredLedger(database).transact_here(lambda tx: tx.owe(posts(tx.open_cohort(
        "Autumn", date(2026, 11, 23), "Europe/Berlin", edition, ROOM, None, "salt", OPENED))))
    database.close()
    return address


def victim(url: str, where: str, number: int, now: datetime = FIRST_MONDAY) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.bot.victim", url, now.isoformat(), where, str(number)],  # noqa: S603  # ours
                            cwd=Path(__file__).parents[2])


async def survivor(url: str, now: datetime) -> None:
    """The process that starts afterwards."""
    clock = VirtualClock(now)
    async with Database(url) as database:
        platform = LocalPlatform(History(database), clock, ROOM, [])
        await Herald(StoredLedger(database), {"local": platform}, clock, "survivor").tick(now)


def outcome(url: str) -> tuple[Counter[str], dict[str, State]]:
    """(how often each key stands in the room, the state of every delivery that was due)"""
    database = Database(url)
    posted = database.run_here(
        lambda connection: Counter(connection.execute(select(tables.local_post.c.key)).scalars()))
    states = database.run_here(lambda connection: {
        row.key: State(row.state) for row in connection.execute(select(tables.delivery))
        if row.state != State.OWED.value})
    database.close()
    return posted, states


BOTH = {"1:how-models-behave:welcome", "1:how-models-behave:week_opens"}


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_process_killed_around_a_send_posts_once(url: str, where: str, number: int) -> None:
    """bolt-python #469 and scrappy #466: a restart that says everything again."""
    process = victim(url, where, number)
    assert process.wait(30) == -9
    await survivor(url, FIRST_MONDAY + LEASE + timedelta(seconds=1))

    posted, states = outcome(url)

    assert posted == Counter(BOTH)
    assert states == dict.fromkeys(BOTH, State.SENT)


async def test_while_the_lease_lasts_nobody_else_sends(url: str) -> None:
    assert victim(url, "before", 1).wait(30) == -9
    await survivor(url, FIRST_MONDAY + LEASE / 2)

    assert outcome(url)[0] == Counter()


async def test_kills_at_any_instant_lose_and_double_nothing(url: str) -> None:
    """Each round two processes race and one is killed after a random time; every post is in the room once."""
    rng = random.Random(7)  # noqa: S311  # a play
    now = FIRST_MONDAY
    for _ in range(6):
        racers = [victim(url, "never", 0, now), victim(url, "never", 0, now)]
        try:
            racers[0].wait(rng.uniform(0.2, 0.9))
        except subprocess.TimeoutExpired:
            racers[0].kill()
        for racer in racers:
            racer.wait(30)
        now += LEASE + timedelta(seconds=1)
    await survivor(url, now)

    posted, states = outcome(url)

    assert posted == Counter(BOTH)
    assert states == dict.fromkeys(BOTH, State.SENT)


def test_the_plan_of_the_room_belongs_to_one_cohort(url: str) -> None:
    """The keys above are those of this cohort: welcome and week 1 are what is due on the first Monday."""
    database = Database(url)
    cohort: Cohort = StoredLedger(database).transact_here(lambda tx: tx.cohorts()[0])
    database.close()
    assert {one.key for one in posts(cohort) if one.due <= FIRST_MONDAY} == BOTH
