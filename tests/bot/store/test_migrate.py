"""An empty database becomes today's, and a newer one is left alone; what is cached in it can be worked out again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from bot.cohort.scoring import Record
from bot.ledger import Transaction
from bot.rehearsal import rehearse
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import DatabaseIsNewer, current, migrate
from tests.bot.build import guide


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    """In a folder that is not there yet."""
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'ninety.db'}", durable=False)
    yield database
    database.close()


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
    """The comparison above knows nothing of what SQLite numbers by itself, nor of names of foreign keys."""
    def shape(connection: Connection) -> object:
        found = inspect(connection)
        return {table: (
            sorted((one["name"] or "", tuple(one["column_names"])) for one in found.get_unique_constraints(table)),
            sorted((one["name"] or "", one["referred_table"]) for one in found.get_foreign_keys(table)),
            "AUTOINCREMENT" in connection.execute(
                text("select sql from sqlite_master where name = :table"), {"table": table}).scalar_one(),
        ) for table in sorted(tables.metadata.tables)}

    migrate(empty)
    migrated = empty.run_here(shape)
    with empty.engine.begin() as connection:
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
    assert migrated == empty.run_here(shape)


def test_migrating_twice_is_migrating_once(empty: Database) -> None:
    _, head = migrate(empty)
    before = empty.run_here(lambda connection: connection.execute(text("select * from sqlite_master")).all())
    assert migrate(empty) == (head, head)
    assert empty.run_here(lambda connection: connection.execute(text("select * from sqlite_master")).all()) == before


def test_a_database_that_a_newer_program_wrote_is_left_alone(empty: Database) -> None:
    migrate(empty)
    empty.run_here(lambda connection: connection.execute(text("update alembic_version set version_num = '9999'")))
    with pytest.raises(DatabaseIsNewer) as newer:
        migrate(empty)
    assert str(newer.value) == (
        "the database is at version 9999, which this Ninety does not know: it was written by a newer one. Update "
        "Ninety, or point NINETY_DATABASE_URL at another database")
    assert empty.run_here(current) == "9999"


async def test_the_totals_are_what_the_journals_add_up_to(tmp_path: Path) -> None:
    """After a whole cohort of every temper: late, resting, amending, leaving off, joining late."""
    url = f"sqlite:///{tmp_path / 'rehearsal.db'}"
    summary = await rehearse(guide(), "fortnight", date(2027, 1, 4), "Europe/Berlin", 20, 3, lambda line: None, url,
                             lambda share: None)
    assert summary.members == 20

    def totals(tx: Transaction) -> tuple[dict[str, int], dict[str, int]]:
        (cohort,) = tx.cohorts()
        members = tx.members(cohort.id)
        return ({member.name: member.points for member in members},
                {member.name: Record(cohort.course, tx.journal(member.id), cohort.course.ends).points
                 for member in members})

    async with Database(url) as played:
        cached, worked_out = await StoredLedger(played).transact(totals)
    assert cached == worked_out
    assert len(cached) == 20
    assert len(set(cached.values())) > 5
