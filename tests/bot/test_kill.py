"""kill -9 in the middle of a send, with a real process, a real database and the local platform's own history."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.herald import Herald, posts
from bot.ledger import Cohort, Room, State
from bot.local.history import History
from bot.local.platform import LocalPlatform
from bot.sender import SILENCE, Candidate, elapsed
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path, load
from scheduler.clock import VirtualClock
from tests.bot.victim import FASTER, Noted, send

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


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where processes note what they post again."""
    (tmp_path / "notes").touch()
    return tmp_path / "notes"


def victim(url: str, notes: Path, where: str, number: int, now: datetime = FIRST_MONDAY) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.bot.victim", url, now.isoformat(), notes, where,  # noqa: S603  # ours
                             str(number)], cwd=Path(__file__).parents[2])


def outcome(url: str, notes: Path) -> tuple[str, set[str], dict[str, State]]:
    """(what was posted again, what is in the room, the state of every delivery that was due)"""
    database = Database(url)
    shown = database.run_here(
        lambda connection: set(connection.execute(select(tables.local_post.c.key)).scalars()))
    states = database.run_here(lambda connection: {
        row.key: State(row.state) for row in connection.execute(select(tables.delivery))
        if row.state != State.OWED.value})
    database.close()
    return notes.read_text(), shown, states


BOTH = {"1:how-models-behave:welcome", "1:how-models-behave:week_opens"}


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_process_killed_around_a_send_posts_once(url: str, notes: Path, where: str, number: int) -> None:
    """bolt-python #469 and scrappy #466: a restart that says everything again."""
    process = victim(url, notes, where, number)
    assert process.wait(30) == -9
    died = elapsed()
    await send(url, FIRST_MONDAY, notes)
    assert (elapsed() - died) * FASTER > SILENCE

    assert outcome(url, notes) == ("", BOTH, dict.fromkeys(BOTH, State.SENT))


async def test_while_the_lease_lasts_nobody_else_sends(url: str, notes: Path) -> None:
    """And the next one does as soon as it is over."""
    assert victim(url, notes, "before", 1).wait(30) == -9
    passed = [0.0]
    async with Database(url) as database:
        ledger, clock = StoredLedger(database), VirtualClock(FIRST_MONDAY)
        right = Candidate(ledger, "local", "survivor", elapsed=lambda: passed[-1])
        herald = Herald(ledger, {"local": Noted(LocalPlatform(History(database), clock, ROOM), notes)}, clock,
                        rights={"local": right})
        for seconds, sent in ((0.0, set()), (SILENCE - 0.1, set()), (SILENCE + 0.1, BOTH)):
            passed.append(seconds)
            await right.round()
            await herald.tick(FIRST_MONDAY)
            assert outcome(url, notes)[:2] == ("", sent)


async def test_kills_at_any_instant_lose_and_double_nothing(url: str, notes: Path) -> None:
    """Each time two processes race and one is killed after a random time; every post is in the room once."""
    rng = random.Random(7)  # noqa: S311  # a play
    dues = posts(cohort_in(url))
    instants = sorted({one.due for one in dues if one.due >= FIRST_MONDAY})[:5]
    for now in instants:
        racers = [victim(url, notes, "never", 0, now), victim(url, notes, "never", 0, now)]
        try:
            racers[0].wait(rng.uniform(0.2, 1.5))
        except subprocess.TimeoutExpired:
            racers[0].kill()
        assert racers[1].wait(30) == 0
        racers[0].wait(30)

    due = {str(one.key) for one in dues if one.due <= instants[-1]}
    assert outcome(url, notes) == ("", due, dict.fromkeys(due, State.SENT))


def cohort_in(url: str) -> Cohort:
    database = Database(url)
    cohort: Cohort = StoredLedger(database).transact_here(lambda tx: tx.cohorts()[0])
    database.close()
    return cohort


def test_the_plan_of_the_room_belongs_to_one_cohort(url: str) -> None:
    """The keys above are those of this cohort: welcome and week 1 are what is due on the first Monday."""
    assert {one.key for one in posts(cohort_in(url)) if one.due <= FIRST_MONDAY} == BOTH
