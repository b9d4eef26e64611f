"""What SQLite needs that a server does not: one writer, which does all that waits, and then waits for the disk once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

GROUP = 0.05
"""Seconds after which a group takes nobody in any more: those who are in it wait for its end."""
ERRORS = (DBAPIError, sqlite3.Error)
LOOKS = "looks"
"""The option of a connection that writes nothing, and so waits for nobody."""


def engine(address: URL, durable: bool, busy: float) -> Engine:
    path = address.database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(address, hide_parameters=True, connect_args={"timeout": busy, "check_same_thread": False})

    @event.listens_for(made, "connect")
    def connect(connection: sqlite3.Connection, _: Any) -> None:
        # We say BEGIN ourselves: the driver would begin only before the first write, and a transaction that read first
        # could then fail to become a writer.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL: an acknowledged check-in survives a power cut, not only a crash of ours.
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        if not driver(connection).in_transaction:
            driver(connection).execute("BEGIN" if LOOKS in connection.get_execution_options() else "BEGIN IMMEDIATE")

    return made


def driver(connection: Connection) -> sqlite3.Connection:
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)  # noqa: S101  # by the address
    return found


class _Asked(Generic[T]):
    """One transaction, from when it is asked for to its answer."""

    def __init__(self, work: Callable[[Connection], T], meanwhile: Callable[[T], object] | None = None) -> None:
        self.work = work
        self.meanwhile = meanwhile
        self.at = time.monotonic()
        self.done: T
        self.error: BaseException | None = None
        self.future: asyncio.Future[T] | None = None

    @property
    def given_up(self) -> bool:
        return self.future is not None and self.future.cancelled()

    def word(self) -> None:
        """In the thread of its loop; `settle` follows."""
        assert self.meanwhile is not None  # noqa: S101  # else it is not called
        try:
            self.meanwhile(self.done)
        except BaseException as error:
            self.error = error

    def settle(self) -> None:
        """In the thread of its loop."""
        assert self.future is not None  # noqa: S101  # else nobody waits for it there
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.done)
        elif isinstance(self.error, StopIteration):
            self.future.set_exception(RuntimeError("a transaction raised StopIteration"))   # no future takes one
        else:
            self.future.set_exception(self.error)


class NotNow:
    """A look that cannot be had without waiting."""


class Writer:
    """Runs functions in groups: whatever has come while the last group was written is the next one.

    Each but the first is a savepoint of one transaction, so that one that fails is undone alone; nobody is answered
    before all of them are kept. `unsaved` makes what is raised of what the database said."""

    def __init__(self, engine: Engine, busy: float, unsaved: Callable[[Exception], Exception]) -> None:
        self._engine = engine
        self._busy = self._waits = busy
        self._unsaved = unsaved
        self._waiting: deque[_Asked[Any]] = deque()
        # Of its own: an executor's takes as long again for each call as the call takes to get there.
        self._thread = threading.Thread(target=self._serve_all, name="ninety-database", daemon=True)
        self._calls = SimpleQueue[bool]()
        """Whether there is more to come."""
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._path = path if (path := engine.url.database) and path != ":memory:" else None
        self._watch: sqlite3.Connection | None = None
        self._version: sqlite3.Cursor | None = None
        self._reader: Connection | None = None
        self._thread.start()

    def close(self) -> None:
        self._calls.put(False)
        self._thread.join()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        if self._watch is not None:
            self._watch.close()
        if self._reader is not None:
            self._reader.close()
            self._reader.engine.dispose()

    def glance(self, words: str, values: Mapping[str, object]) -> tuple[Any, ...] | NotNow | None:
        row: tuple[Any, ...] | None
        if self._path is None:
            row = self.run_here(lambda connection: driver(connection).execute(words, values).fetchone())
            return row
        try:
            row = self._watching(self._path).execute(words, values).fetchone()
        except sqlite3.Error:
            return NotNow()
        return row

    def read(self, work: Callable[[Connection], T]) -> T | NotNow:
        """In the caller's thread, beside whatever is being written. NotNow when it would have to wait, or to write."""
        if self._path is None:
            return NotNow()
        try:
            if self._reader is None:
                self._reader = engine(self._engine.url, True, 0).connect().execution_options(**{LOOKS: True})
                driver(self._reader).execute("PRAGMA query_only = ON")
            sql = driver(self._reader)
            sql.execute("BEGIN")
            try:
                return work(self._reader)
            finally:
                self._reader.rollback()
                sql.rollback()
        except ERRORS:
            return NotNow()

    def written(self) -> object:
        """See `Database.written`."""
        if self._path is None:
            return object()
        try:
            if self._version is None:
                self._version = self._watching(self._path).cursor()
            # Counts what other connections have committed, and this one commits nothing.
            return self._version.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return object()

    def _watching(self, path: str) -> sqlite3.Connection:
        if self._watch is None:
            self._watch = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        return self._watch

    async def run(self, work: Callable[[Connection], T], meanwhile: Callable[[T], object] | None = None) -> T:
        """See `Database.run`."""
        if not self._thread.is_alive():
            raise RuntimeError("no transaction after shutdown")
        asked = _Asked(work, meanwhile)
        asked.future = asyncio.get_running_loop().create_future()
        self._waiting.append(asked)
        self._calls.put(True)
        return await asked.future

    def run_here(self, work: Callable[[Connection], T]) -> T:
        asked = _Asked(work)
        with self._lock:
            try:
                self._write(asked.at, [asked])
            except ERRORS as error:
                raise self._unsaved(error) from error
        if asked.error is not None:
            raise asked.error
        return asked.done

    def _serve_all(self) -> None:
        while self._calls.get():
            self._serve()

    def _serve(self) -> None:
        """A group, unless an earlier one took everybody in."""
        group: list[_Asked[Any]] = []
        with self._lock:
            if not self._waiting:
                return
            try:
                self._write(self._waiting[0].at, self._next(group))
            except ERRORS as error:
                # It has not begun. Whoever came later may be luckier, for as long as they wait.
                while self._waiting and (not group or time.monotonic() - self._waiting[0].at >= self._busy):
                    group.append(self._waiting.popleft())
                    group[-1].error = self._unsaved(error)
        _in_their_loops(_Asked.settle, group)

    def _next(self, group: list[_Asked[Any]]) -> Iterator[_Asked[Any]]:
        until = time.monotonic() + GROUP
        while self._waiting and (not group or time.monotonic() < until):
            asked = self._waiting.popleft()
            if not asked.given_up:
                group.append(asked)
                yield asked

    def _write(self, since: float, group: Iterable[_Asked[Any]]) -> None:
        """Raises when it could not begin; nobody of the group was taken then."""
        if self._connection is None:
            self._connection = self._engine.connect()
        connection, sql = self._connection, driver(self._connection)
        # However long the lock of another process lasts, nobody waits for it longer than that.
        if (waits := min(self._busy, max(0, self._busy + 1 - (time.monotonic() - since)))) != self._waits:
            sql.execute(f"PRAGMA busy_timeout = {round(waits * 1000)}")
            self._waits = waits
        taken: list[_Asked[Any]] = []
        # By the driver: SQLAlchemy begins when it is first asked, if at all, and takes as long for it as SQLite.
        sql.execute("BEGIN IMMEDIATE")
        try:
            for asked in group:
                taken.append(asked)
                first = len(taken) == 1
                if not first:
                    sql.execute("SAVEPOINT one")
                try:
                    asked.done = asked.work(connection)
                    if not first:
                        sql.execute("RELEASE one")
                except BaseException as error:
                    asked.error = self._unsaved(error) if isinstance(error, ERRORS) else error
                    if not sql.in_transaction:
                        # A disk that is full, or broken: SQLite has undone all of them by itself.
                        raise
                    if first:
                        taken.clear()
                        sql.execute("ROLLBACK")
                        sql.execute("BEGIN IMMEDIATE")
                    else:
                        sql.execute("ROLLBACK TO one")
                        sql.execute("RELEASE one")
            _in_their_loops(_Asked.word, (
                asked for asked in taken if asked.meanwhile is not None and asked.error is None))
            if connection.in_transaction():
                connection.commit()
            else:
                sql.execute("COMMIT")
        except BaseException as error:
            for asked in taken:
                if asked.error is None:
                    asked.error = self._unsaved(error) if isinstance(error, ERRORS) else error
            with suppress(*ERRORS):
                connection.rollback()
                sql.rollback()
            return


def _in_their_loops(what: Callable[[_Asked[Any]], None], group: Iterable[_Asked[Any]]) -> None:
    """One call for all of a loop: each of them wakes it."""
    of: dict[asyncio.AbstractEventLoop, list[_Asked[Any]]] = {}
    for asked in group:
        if asked.future is not None:
            of.setdefault(asked.future.get_loop(), []).append(asked)
    for loop, theirs in of.items():
        with suppress(RuntimeError):        # it is closed, and so nobody waits there any more
            loop.call_soon_threadsafe(_each, what, theirs)


def _each(what: Callable[[_Asked[Any]], None], group: Iterable[_Asked[Any]]) -> None:
    for asked in group:
        what(asked)
