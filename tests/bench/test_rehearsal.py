"""What ninety days of a cohort cost beside the statements that they run, in one process on one core.

    pytest -m bench tests/bench/test_rehearsal.py -s
    NINETY_BENCH_MEMBERS=10000 pytest -m bench tests/bench/test_rehearsal.py -s

The floor is every statement of the same rehearsal once more, with the same values in the same transactions, through
sqlite3 alone: it decides nothing, composes nothing and reads no row that it fetched. Both are counted in CPU time, the
floor before and after ours, on a machine that may be busier at one moment than at the next.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from sqlite3 import dbapi2
from statistics import mean
from time import process_time
from typing import Any, TypeAlias

import pytest

from bot.rehearsal import Summary, rehearse
from content.loading import default_path, load
from tests.bench.table import record, undisturbed

ASKED_FOR = 10_000
MEMBERS = int(os.environ.get("NINETY_BENCH_MEMBERS", "2000"))
"""Played here, so that a bench takes minutes. What a member costs is the same in both."""

pytestmark = pytest.mark.bench

Statement: TypeAlias = tuple[str, Any, bool]
"""SQL, its values, and whether it is run for many rows of them at once."""
AT_A_TIME = 10_000
"""Statements in memory; there are millions."""


async def play(database: Path) -> Summary:
    return await rehearse(GUIDE, "ninety-days", date(2026, 10, 5), "Europe/Berlin", MEMBERS, 1, None,
                          f"sqlite:///{database}", lambda share: None)


GUIDE = load(default_path())


class Told:
    """Statements, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._last: list[Statement] = []
        self.count = 0

    def tell(self, sql: str, values: Any, many: bool) -> None:
        self.count += 1
        self._last.append((sql, values, many))
        if len(self._last) == AT_A_TIME:
            self._write()

    def _write(self) -> None:
        pickle.dump(self._last, self._file)
        self._last.clear()

    def close(self) -> None:
        self._write()
        self._file.close()

    def groups(self) -> Iterator[list[Statement]]:
        with self._path.open("rb") as file:
            while file.peek(1):
                yield pickle.load(file)  # noqa: S301  # we wrote it


async def told_of(database: Path, patch: pytest.MonkeyPatch) -> Told:
    told = Told(database.with_suffix(".told"))

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, values: Any = (), /) -> Cursor:
            told.tell(sql, values, False)
            return super().execute(sql, values)

        def executemany(self, sql: str, rows: Iterable[Any], /) -> Cursor:
            told.tell(sql, kept := list(rows), True)
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
                told.tell("COMMIT", (), False)
            super().commit()

        def rollback(self) -> None:
            if self.in_transaction:
                told.tell("ROLLBACK", (), False)
            super().rollback()

    connect = dbapi2.connect
    with patch.context() as patched:
        patched.setattr(dbapi2, "connect", lambda *given, **named: connect(*given, **named, factory=Connection))
        await play(database)
    told.close()
    return told


def replay(told: Told, database: Path) -> float:
    """CPU seconds."""
    seconds = 0.0
    connection = sqlite3.connect(database, isolation_level=None)
    with undisturbed():
        for statements in told.groups():
            begun = process_time()
            run(connection, statements)
            seconds += process_time() - begun
    connection.close()
    return seconds


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
    told = await told_of(tmp_path / "told.db", monkeypatch)
    before = replay(told, tmp_path / "before.db")
    begun = process_time()
    summary = await play(tmp_path / "ours.db")
    ours = process_time() - begun
    floor = mean((before, replay(told, tmp_path / "after.db")))
    assert summary.sound
    assert rows(tmp_path / "before.db") == rows(tmp_path / "ours.db"), "the floor did something else"

    ratio = record(f"rehearsal, {MEMBERS:,} members", ours, floor, 3, unit="s", peer="the same statements")
    each = ASKED_FOR / MEMBERS
    print(f"\n{told.count:,} statements, {told.count / MEMBERS:.0f} a member; for {ASKED_FOR:,} members that would be "
          f"{floor * each:.0f} s for the statements alone and {ours * each:.0f} s for a rehearsal")
    assert ratio <= 4
