"""What ninety days of a cohort cost beside the statements that they run, in one process on one core.

    pytest -m bench tests/bench/test_rehearsal.py -s

The floor is every statement of the same rehearsal once more, with the same values in the same transactions, through
sqlite3 alone: it decides nothing, composes nothing and reads no row that it fetched. Both are counted in CPU time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from sqlite3 import dbapi2
from time import process_time
from typing import Any, TypeAlias

import pytest

from bot.rehearsal import Summary, rehearse
from content.loading import default_path, load
from tests.bench.table import record, undisturbed

MEMBERS, ASKED_FOR = 1_000, 10_000

pytestmark = pytest.mark.bench

Statement: TypeAlias = tuple[str, Any, bool]
"""SQL, its values, and whether it is run for many rows of them at once."""


async def play(database: Path) -> Summary:
    return await rehearse(GUIDE, "ninety-days", date(2026, 10, 5), "Europe/Berlin", MEMBERS, 1, None,
                          f"sqlite:///{database}", lambda share: None)


GUIDE = load(default_path())


async def statements_of(database: Path, patch: pytest.MonkeyPatch) -> list[Statement]:
    told: list[Statement] = []

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, values: Any = (), /) -> Cursor:
            told.append((sql, values, False))
            return super().execute(sql, values)

        def executemany(self, sql: str, rows: Iterable[Any], /) -> Cursor:
            told.append((sql, kept := list(rows), True))
            return super().executemany(sql, kept)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(Cursor)

        def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
            cursor: Cursor = self.cursor()
            return cursor.execute(sql, values)

        def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
            cursor: Cursor = self.cursor()
            return cursor.executemany(sql, rows)

        def commit(self) -> None:
            if self.in_transaction:
                told.append(("COMMIT", (), False))
            super().commit()

        def rollback(self) -> None:
            if self.in_transaction:
                told.append(("ROLLBACK", (), False))
            super().rollback()

    connect = dbapi2.connect
    with patch.context() as patched:
        patched.setattr(dbapi2, "connect", lambda *given, **named: connect(*given, **named, factory=Connection))
        await play(database)
    return told


def run(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    cursor = connection.cursor()
    for sql, values, many in statements:
        if many:
            cursor.executemany(sql, values)
        else:
            cursor.execute(sql, values).fetchall()


def rows(database: Path) -> dict[str, int]:
    with sqlite3.connect(database) as connection:
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # ours
                  for table in ("member", "journal", "delivery")}
    connection.close()
    return counts


async def test_a_rehearsal_costs_at_most_three_times_its_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) \
        -> None:
    statements = await statements_of(tmp_path / "told.db", monkeypatch)

    bare = sqlite3.connect(tmp_path / "bare.db", isolation_level=None)
    with undisturbed():
        begun = process_time()
        run(bare, statements)
        floor = process_time() - begun
    bare.close()
    count = len(statements)
    del statements

    begun = process_time()
    summary = await play(tmp_path / "ours.db")
    ours = process_time() - begun
    assert summary.sound
    assert rows(tmp_path / "bare.db") == rows(tmp_path / "ours.db"), "the floor did something else"

    ratio = record(f"rehearsal, {MEMBERS:,} members", ours, floor, 3, unit="s", peer="the same statements")
    each = ASKED_FOR / MEMBERS
    print(f"\n{count:,} statements, {count / MEMBERS:.0f} a member; for {ASKED_FOR:,} members that would be "
          f"{floor * each:.0f} s for the statements alone and {ours * each:.0f} s for a rehearsal")
    assert ratio <= 3
