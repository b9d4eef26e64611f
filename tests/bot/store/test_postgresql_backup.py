"""PostgreSQL saved and put back with its own tools, as docs/run.md says, while people check in: nothing that is in the
dump is lost, and nothing appears twice."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from typer.testing import CliRunner

from bot.cli import app
from bot.cohort.journal import Entry
from bot.cohort.scoring import Record
from bot.desk import Desk
from bot.herald import Herald, board
from bot.ledger import Member, RequestId, State, Transaction
from bot.messages import DeliveryKey
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from scheduler.clock import VirtualClock
from tests.bot.build import caller, guide, settle
from tests.bot.store.test_backup import Chat
from tests.postgresql import Server, binaries

# Long ago, because `ninety restored` reads the clock.
MONDAY = date(2025, 1, 6)
OPENED, WEEK_1 = datetime(2025, 1, 3, 12, tzinfo=UTC), datetime(2025, 1, 7, 12, tzinfo=UTC)
PEOPLE = [f"user{number}" for number in range(6)]
PAGE = (Path(__file__).parents[3] / "docs" / "run.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def tools(postgresql: Server) -> Path:
    found = binaries()
    assert found is not None, "there is a server"
    for tool in ("pg_dump", "pg_restore"):
        if not (found / tool).exists():
            pytest.skip(f"{tool} is not installed beside the server: apt-get install postgresql-client")
    return found


def documented(tools: Path, program: str, instead: dict[str, str]) -> None:
    """Runs the line of docs/run.md that begins with the program, with other names of the file and the database."""
    line, = re.findall(rf"^\$ ({program} .*)$", PAGE, re.M)
    words = shlex.split(line)
    for old, new in instead.items():
        assert sum(old in word for word in words) == 1, f"{old} in {line}"
        words = [word.replace(old, new) for word in words]
    done = subprocess.run([tools / program, *words[1:]], capture_output=True, text=True)  # noqa: S603  # the page's own
    assert (done.returncode, done.stderr) == (0, "")


def dump(tools: Path, url: str, file: Path) -> None:
    documented(tools, "pg_dump", {"$NINETY_DATABASE_URL": url, "ninety.dump": str(file)})


def restored(tools: Path, server: Server, file: Path) -> str:
    url = server.database()
    documented(tools, "pg_restore", {"ninety_restored": url, "ninety.dump": str(file)})
    return url


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


async def check_in(desk: Desk, user: str, request: str, tasks: tuple[str, ...]) -> None:
    answer = await desk.submit(caller(user), "check-in", "week-1", {"tasks": tasks, "notes": ("words " * 50,)},
                               RequestId(request), WEEK_1)
    assert not answer.refused


def found(tx: Transaction) -> dict[str, tuple[Member, tuple[Entry, ...], int]]:
    """Of each member the row, the journal, and the points that the journal adds up to."""
    (cohort,) = tx.cohorts()
    journals = {member.name: (member, tx.journal(member.id)) for member in tx.members(cohort.id)}
    return {name: (member, journal, Record(cohort.course, journal, WEEK_1).points)
            for name, (member, journal) in journals.items()}


def totals(connection: Connection) -> Counter[int]:
    """How many members have how many points, as the board is told."""
    counted: Counter[int] = Counter()
    for points, members in connection.execute(select(tables.total.c.points, tables.total.c.members)):
        counted[points] += members
    return +counted


async def test_a_dump_made_while_people_check_in_is_one_instant_of_the_cohort(
        tools: Path, postgresql: Server, postgresql_url: str, tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    stop, enough = asyncio.Event(), asyncio.Event()
    with opened(postgresql_url) as database:
        desk = await settle(database, PEOPLE, MONDAY, OPENED)

        async def writes(user: str) -> None:
            for number in range(10_000):
                if stop.is_set():
                    return
                await check_in(desk, user, f"{user} {number}", (("read",), ("read", "build-index"))[number % 2])
                acknowledged.add(f"{user} {number}")
                if len(acknowledged) >= 30:
                    enough.set()

        writers = [asyncio.create_task(writes(user)) for user in PEOPLE]
        await enough.wait()
        before = set(acknowledged)
        await asyncio.to_thread(dump, tools, postgresql_url, tmp_path / "ninety.dump")
        after = set(acknowledged)
        stop.set()
        await asyncio.gather(*writers)
        lived = await StoredLedger(database).transact(found)
    assert after > before, "people checked in meanwhile"

    with opened(restored(tools, postgresql, tmp_path / "ninety.dump")) as database:
        was, now = migrate(database)
        assert was == now, "it is at this version already"
        ledger = StoredLedger(database)
        kept = await ledger.transact(found)
        assert before <= {entry.request for _, journal, _ in kept.values() for entry in journal}
        for name, (member, journal, points) in kept.items():
            assert journal == lived[name][1][:len(journal)], "all up to some entry, as it was written"
            assert member.points == points, "and the points of that instant"
        assert database.run_here(totals) == Counter(points for _, _, points in kept.values() if points > 0)

        # It goes on: numbers are not given out again, and the board counts everybody once.
        for user in PEOPLE:
            await check_in(Desk(ledger, guide()), user, f"{user} later", ("read", "build-index"))
        later = await ledger.transact(found)
        assert min(journal[-1].seq for _, journal, _ in later.values()) > max(
            journal[-1].seq for _, journal, _ in kept.values())
        shown = await ledger.transact(lambda tx: board(tx, tx.cohorts()[0], WEEK_1))
        assert shown is not None
        assert [row.points for row in shown.rows] == sorted((one[2] for one in later.values()), reverse=True)


async def test_what_was_posted_after_the_dump_is_not_posted_again(
        tools: Path, postgresql: Server, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The posts that were owed when it was made, and the reminders that were derived only later."""
    clock = VirtualClock(OPENED)
    chat = Chat(clock)

    async def play(url: str, until: datetime) -> dict[DeliveryKey, State]:
        with opened(url) as database:
            ledger = StoredLedger(database)
            herald = Herald(ledger, {"local": chat}, clock)
            due: datetime | None = clock.now()
            while due is not None and due <= until:
                clock.reach(due)
                due = await herald.tick(clock.now())
            clock.reach(until)
            (cohort,) = await ledger.transact(lambda tx: tx.cohorts())
            return {one.delivery.key: one.state for one in await ledger.transact(lambda tx: tx.deliveries(cohort.id))}

    with opened(postgresql_url) as database:
        await settle(database, PEOPLE, MONDAY, OPENED)
    dump(tools, postgresql_url, tmp_path / "ninety.dump")
    await play(postgresql_url, datetime(2025, 1, 19, 17, 30, tzinfo=UTC))
    posted = dict(chat.posted)
    assert sorted({key.split(":")[2] for key in posted}) == ["nudge", "week_closes", "week_opens", "welcome"]
    assert sum("nudge" in key for key in posted) == 2 * len(PEOPLE)

    url = restored(tools, postgresql, tmp_path / "ninety.dump")
    monkeypatch.setenv("NINETY_DATABASE_URL", url)
    command = partial(CliRunner().invoke, app, ["restored"])
    result = await asyncio.to_thread(command)
    assert (result.exit_code, re.sub(r"\d+", "N", result.output)) == (
        0, "N deliveries will be looked for before being posted.\n")
    states = await play(url, clock.now() + timedelta(minutes=5))
    assert chat.posted == posted
    assert {states[key] for key in posted} == {State.SENT}
    await play(url, datetime(2025, 1, 21, tzinfo=UTC))
    assert len(chat.posted) > len(posted), "and it goes on"
