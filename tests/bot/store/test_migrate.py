"""An empty database becomes today's, and a newer one is left alone; what is cached in it can be worked out again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from bot.cohort.scoring import Record
from bot.ledger import Account, CohortId, Lane, Member, MemberId, Room, Transaction
from bot.rehearsal import rehearse
from bot.store import migrate as module
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import DatabaseIsNewer, current, migrate, revisions
from tests.bot.build import guide


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a file in a folder that is not there yet, or of a database that was just made."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql").database())
    return f"sqlite:///{tmp_path / 'new' / 'folder' / 'ninety.db'}"


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url, durable=False)
    yield database
    database.close()


def shape(connection: Connection) -> object:
    """The constraints with their names, and on SQLite the very words of the tables."""
    found = inspect(connection)
    return {table: (
        sorted((one["name"] or "", tuple(one["column_names"])) for one in found.get_unique_constraints(table)),
        sorted((one["name"] or "", one["referred_table"]) for one in found.get_foreign_keys(table)),
        found.get_pk_constraint(table)["name"],
        "AUTOINCREMENT" in connection.execute(
            text("select sql from sqlite_master where name = :table"), {"table": table}).scalar_one()
        if connection.dialect.name == "sqlite" else
        sorted((one["name"], bool(one.get("autoincrement"))) for one in found.get_columns(table)),
    ) for table in sorted(tables.metadata.tables)}


def test_an_empty_database_comes_to_the_version_of_the_program(empty: Database) -> None:
    before, now = migrate(empty)
    assert before is None
    assert empty.run_here(current) == now


def test_the_migrations_make_what_the_tables_say(empty: Database) -> None:
    """Constraints and indexes with their names, too: a later migration will call them by these."""
    migrate(empty)

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_server_default": True}),
                                tables.metadata)

    assert empty.run_here(differences) == []


def test_the_migrations_make_every_constraint_that_a_promise_rests_on(empty: Database) -> None:
    """The comparison above knows nothing of what is numbered by itself, nor of names of foreign keys."""
    migrate(empty)
    migrated = empty.run_here(shape)
    with empty.engine.begin() as connection:
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
    assert migrated == empty.run_here(shape)


def test_migrating_twice_is_migrating_once(empty: Database) -> None:
    _, head = migrate(empty)
    before = empty.run_here(shape)
    assert migrate(empty) == (head, head)
    assert empty.run_here(shape) == before


def test_of_two_processes_that_start_at_once_one_migrates(empty_url: str) -> None:
    both = [Database(empty_url, durable=False) for _ in range(2)]
    start = threading.Barrier(2)

    def work(one: Database) -> tuple[str | None, str]:
        start.wait()
        return migrate(one)

    with ThreadPoolExecutor(2) as threads:
        (before, now), again = sorted(threads.map(work, both), key=lambda done: done[0] or "")
    for one in both:
        one.close()
    assert (before, again) == (None, (now, now))


# A cohort with a member and a post owed to each of them, in the words of the very first version.
ROWS = (
    "INSERT INTO edition (digest, snapshot) VALUES ('e', '{}')",
    "INSERT INTO cohort (id, title, start, zone, digest, platform, workspace, channel, salt, opened_at, nudges_owed) "
    "VALUES (7, 'Autumn', '2026-11-30', 'Europe/Berlin', 'e', 'local', '', 'ninety', 'salt', 1, 2)",
    'INSERT INTO member (id, cohort, platform, workspace, "user", name, name_folded, alias, alias_folded, shows_name, '
    "zone, nudges, present, points) "
    "VALUES (8, 7, 'local', '', 'mei', 'Mei', 'mei', 'Bold Ant', 'bold ant', true, 'UTC', true, true, 30)",
    "INSERT INTO journal (seq, cohort, member, at, kind, body, request) "
    "VALUES (9, 7, 8, 1, 'left', '{}', 'r')",
    "INSERT INTO delivery (id, key, cohort, kind, step, member, due, latest, state, attempt, claimable, reason) "
    "VALUES (1, 'a', 7, 'nudge', 'week-1', 8, 1, 2, 'owed', 0, 1, '')",
    "INSERT INTO delivery (id, key, cohort, kind, step, member, due, latest, state, attempt, claimable, reason) "
    "VALUES (2, 'b', 7, 'welcome', NULL, NULL, 1, 2, 'owed', 0, 1, '')",
)


def test_the_versions_are_known_as_alembic_knows_them(empty: Database) -> None:
    """By the names of the files alone, because Alembic is not asked when there is nothing to do."""
    script = ScriptDirectory.from_config(empty.run_here(module._config))
    assert revisions() == [one.revision for one in script.walk_revisions()][::-1]
    assert revisions()[-1] == script.get_current_head()


START = """
import sys
from bot.app import Database, migrate
database = Database(sys.argv[1])
print(*migrate(database), {name.partition(".")[0] for name in sys.modules} & {"alembic", "mako"} or "without Alembic")
database.close()
"""


def test_a_start_with_nothing_to_do_leaves_alembic_alone(empty: Database, empty_url: str) -> None:
    """It is a good part of what a start takes, and of its memory."""
    _, head = migrate(empty)
    started = subprocess.run((sys.executable, "-c", START, empty_url), capture_output=True, check=True, text=True)  # noqa: S603  # ours
    assert started.stdout == f"{head} {head} without Alembic\n"


@pytest.mark.parametrize("since", revisions())
def test_every_version_comes_forward_with_what_is_in_it(empty: Database, since: str) -> None:
    def make(connection: Connection) -> None:
        command.upgrade(module._config(connection), since)
        for row in ROWS:
            connection.execute(text(row))
        if since >= "0002":
            connection.execute(text("UPDATE delivery SET private = true WHERE kind = 'nudge'"))
        if since >= "0004":
            connection.execute(text("INSERT INTO room (cohort, platform, workspace, channel) "
                                    "VALUES (7, 'local', '', 'ninety')"))

    empty.run_here(make)
    assert migrate(empty) == (since, revisions()[-1])

    def work(tx: Transaction) -> object:
        mei = tx.member(MemberId(8))
        return (mei, tx.rooms(CohortId(7)), [entry.seq for entry in tx.journal(mei.id)], tx.nudges_owed(CohortId(7)),
                {one.delivery.key: one.delivery.lane for one in tx.deliveries(CohortId(7))})

    mei = Account("local", "", "mei")
    assert StoredLedger(empty).transact_here(work) == (
        Member(MemberId(8), CohortId(7), mei, "Mei", "Bold Ant", True, "UTC", True, True, 30),
        [Room("local", "", "ninety")], [9], 2, {"a": Lane("local", True), "b": Lane("local", False)})


def test_a_database_that_a_newer_program_wrote_is_left_alone(empty: Database) -> None:
    migrate(empty)
    empty.run_here(lambda connection: connection.execute(text("update alembic_version set version_num = '9999'")))
    with pytest.raises(DatabaseIsNewer) as newer:
        migrate(empty)
    assert str(newer.value) == (
        "the database is at version 9999, which this Ninety does not know: it was written by a newer one. Update "
        "Ninety, or point NINETY_DATABASE_URL at another database")
    assert empty.run_here(current) == "9999"


async def test_the_totals_are_what_the_journals_add_up_to(empty_url: str) -> None:
    """After a whole cohort of every temper: late, resting, amending, leaving off, joining late."""
    summary = await rehearse(guide(), "fortnight", date(2027, 1, 4), "Europe/Berlin", 20, 3, lambda line: None,
                             empty_url, lambda share: None)
    assert summary.members == 20

    def totals(tx: Transaction) -> tuple[dict[str, int], dict[str, int]]:
        (cohort,) = tx.cohorts()
        members = tx.members(cohort.id)
        return ({member.name: member.points for member in members},
                {member.name: Record(cohort.course, tx.journal(member.id), cohort.course.ends).points
                 for member in members})

    async with Database(empty_url) as played:
        cached, worked_out = await StoredLedger(played).transact(totals)
    assert cached == worked_out
    assert len(cached) == 20
    assert len(set(cached.values())) > 5
