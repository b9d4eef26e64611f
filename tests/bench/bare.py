"""The transaction of a check-in and no more: the statements that ours runs, through the bare driver.

It is the floor of every bench that has somebody check in; none of the rules are here.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any, NamedTuple

import psycopg

Run = Callable[[str, tuple[object, ...]], Any]
"""A statement and what is put in for its question marks; a cursor."""


class Who(NamedTuple):
    platform: str
    workspace: str
    channel: str
    home: str
    """Workspace of the account; none on Discord, whose users are the same on every server."""
    user: str


def journal(run: Run, who: Who) -> tuple[int, int, list[Any]]:
    """Cohort, member, and what they have sent."""
    cohort, = run("SELECT cohort FROM room WHERE platform = ? AND workspace = ? AND channel = ?",
                  (who.platform, who.workspace, who.channel)).fetchone()
    member = run('SELECT * FROM member WHERE cohort = ? AND platform = ? AND workspace = ? AND "user" = ?',
                 (cohort, who.platform, who.home, who.user)).fetchone()[0]
    bodies = [row[5] for row in run("SELECT * FROM journal WHERE member = ? ORDER BY seq", (member,)).fetchall()]
    return cohort, member, [json.loads(body) if isinstance(body, str) else body for body in bodies]


def check_in(run: Run, who: Who, request: str, body: str, points: int = 60) -> int:
    """The place on the board."""
    cohort, member, _ = journal(run, who)
    run("INSERT INTO journal (cohort, member, at, kind, body, request) VALUES (?, ?, ?, 'checked_in', ?, ?) "
        "ON CONFLICT DO NOTHING RETURNING seq", (cohort, member, 1, body, request)).fetchone()
    run("UPDATE member SET points = ? WHERE id = ?", (points, member))
    run("UPDATE delivery SET state = 'withdrawn', reason = 'checked in', claimable = NULL WHERE member = ? "
        "AND state = 'owed' AND kind = 'nudge' AND step = ?", (member, json.loads(body)["step"]))
    above, _ = run("SELECT coalesce(sum(CASE WHEN points > ? THEN members ELSE 0 END), 0), coalesce(sum(members), 0) "
                   "FROM total WHERE cohort = ?", (points, cohort)).fetchone()
    return int(above) + 1


class SQLite:
    """As durable as ours, in one thread of its own."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def alone(self, work: Callable[[Run], Any]) -> Any:
        """In the caller's thread."""
        run = self._connection.cursor().execute
        run("BEGIN IMMEDIATE")
        try:
            done = work(run)
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")
        return done

    async def transact(self, work: Callable[[Run], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.alone, work)


class PostgreSQL:
    """A connection for each of so many threads."""

    def __init__(self, url: str, threads: int = 8) -> None:
        self._url, self._threads, self._own = url, ThreadPoolExecutor(threads), local()
        self._all: list[psycopg.Connection] = []

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._all:
            connection.close()

    def alone(self, work: Callable[[Run], Any]) -> Any:
        """In the caller's thread."""
        if not hasattr(self._own, "connection"):
            self._own.connection = psycopg.connect(self._url)
            self._all.append(self._own.connection)
        connection = self._own.connection
        with connection.transaction():
            return work(lambda statement, values: connection.execute(
                statement.replace("%", "%%").replace("?", "%s").encode(), values))

    async def transact(self, work: Callable[[Run], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.alone, work)


def opened(url: str) -> SQLite | PostgreSQL:
    return SQLite(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else PostgreSQL(url)
