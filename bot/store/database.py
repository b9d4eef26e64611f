"""The engine, and the threads in which a database is spoken to: one for SQLite, a few for PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection as SQLite
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from bot.ledger import Unsaved
from bot.settings import BadSettings
from bot.store import postgresql

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY = 2.0
"""Seconds to wait for another process's lock; a chat platform wants its answer within three."""
PATIENCE = 2.5
"""Seconds from the call of `run` to Unsaved at PostgreSQL, all statements and further tries together."""
CONNECTIONS = 8
"""To PostgreSQL, and threads that use them."""
TRIES = 6
"""Of one transaction that others were in the way of."""

_ADDRESSES = "sqlite:///path/to/file.db or postgresql://user@host/database"
_DRIVERS = {"sqlite": "sqlite", "sqlite+pysqlite": "sqlite", "postgresql": "postgresql",
            "postgresql+psycopg": "postgresql", "postgres": "postgresql"}


class NoDatabase(Unsaved, BadSettings):
    """There is no server where NINETY_DATABASE_URL says, or it does not let us in."""


class Database:
    """Runs functions over a connection, each as one transaction, off the event loop.

    At PostgreSQL a function may be run again when others were in its way, so it must do nothing but read and write
    there. One that is not `durable` may lose what it holds in a power cut, and so is never waited for: it runs in the
    caller's own thread. For rehearsals, which are then the same to the byte, and for demos."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        address = _address(url)
        self._durable = durable
        self._served = address.get_backend_name() == "postgresql"
        self.engine = postgresql.engine(address, durable, BUSY, CONNECTIONS) if self._served \
            else _sqlite(address, durable)
        # SQLite lets one writer in at a time; a queue of our own is fairer and faster than its lock.
        self._threads = ThreadPoolExecutor(CONNECTIONS if self._served else 1, "ninety-database")

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        self._threads.shutdown()
        self.engine.dispose()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Raises Unsaved when the database could not do it; what `work` itself raises comes through.

        When the line breaks while PostgreSQL commits, nobody knows whether it did; what is asked for again has a name
        (a request, a key) by which it is known to have been done."""
        if not self._durable:
            return self.run_here(work)
        loop = asyncio.get_running_loop()
        if not self._served:
            return await loop.run_in_executor(self._threads, self.run_here, work)
        turn = _Turn()
        future = loop.run_in_executor(self._threads, self._run, work, turn)
        try:
            await asyncio.wait({future}, timeout=PATIENCE)
        except asyncio.CancelledError:
            future.cancel()
            raise
        if not future.done() and turn.cut():
            future.cancel()
            log.error("The database did not take a transaction: none of %d connections was free, or none could be made",
                      CONNECTIONS)
            raise Unsaved
        return await future

    def run_here(self, work: Callable[[Connection], T]) -> T:
        """In this thread; for start-up and tests."""
        return self._run(work, _Turn())

    def _run(self, work: Callable[[Connection], T], turn: _Turn) -> T:
        tries = 0
        while True:
            tries += 1
            connected = worked = False
            try:
                with self.engine.connect() as connection, turn.at(connection), connection.begin():
                    connected = True
                    done = work(connection)
                    worked = True
                return done
            except NoneFree:
                log.error("The database did not take a transaction: all connections are taken")
                raise Unsaved from None
            except DBAPIError as error:
                if not turn.over and self._worth_another(error, tries, worked):
                    continue
                raise self._unsaved(error, turn, connected) from (None if self._served else error)

    def _worth_another(self, error: DBAPIError, tries: int, worked: bool) -> bool:
        """After a pause, where that helps."""
        if not self._served:
            return False
        if postgresql.collided(error) and tries < TRIES:
            time.sleep(random.uniform(0, 0.01 * 2 ** tries))  # noqa: S311  # so that the two do not meet again
            return True
        # What the other one has written is seen now, and a rule may say no to it. Where it is not seen, it was ours.
        if postgresql.taken(error):
            return tries < 3
        # The server was restarted, perhaps. Before a commit was asked for, nothing can have been kept.
        return error.connection_invalidated and not worked and tries < 3

    def _unsaved(self, error: DBAPIError, turn: _Turn, connected: bool) -> Unsaved:
        """Never the error itself: PostgreSQL quotes members' words in it. At SQLite the engine hides them."""
        if turn.over:
            log.error("The database did not take a transaction: it took longer than %g s", PATIENCE)
            return Unsaved()
        told = postgresql.cause(error) if self._served else str(error.orig)
        log.error("The database did not take a transaction: %s", told)
        if self._served and not connected:
            return NoDatabase(f"PostgreSQL does not let me in at {self.engine.url.render_as_string()} "
                              f"(NINETY_DATABASE_URL): {told}")
        return Unsaved()


class _Turn:
    """One transaction, from the call to its end; the line to the server can be cut under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self.over = False

    def at(self, connection: Connection) -> _Turn:
        """Raises Unsaved when it is over already."""
        with self._lock:
            if self.over:
                raise Unsaved
            self._line = connection.connection.info.get(postgresql.LINE)
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._line = None

    def cut(self) -> bool:
        """Ends it. True when it has not begun, and never will; else its thread finds the line dead, at once."""
        with self._lock:
            self.over = True
            if self._line is None:
                return True
            with suppress(OSError):     # it was dead already
                self._line.shutdown(socket.SHUT_RDWR)
            return False


def _address(url: str) -> URL:
    """Raises ValueError, which never quotes the address: there may be a password in it."""
    try:
        address = make_url(url)
        kind = _DRIVERS.get(address.drivername)
    except (ArgumentError, ValueError):
        raise ValueError(f"the address of the database is none; it looks like {_ADDRESSES}") from None
    if kind is None:
        raise ValueError(f"{address.drivername} is not supported: use {_ADDRESSES}")
    return address.set(drivername=kind)


def _sqlite(address: URL, durable: bool) -> Engine:
    path = address.database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(address, hide_parameters=True, connect_args={"timeout": BUSY, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def connect(connection: SQLite, _: Any) -> None:
        # We say BEGIN ourselves: the driver would begin only before the first write, and a transaction that read first
        # could then fail to become a writer.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL: an acknowledged check-in survives a power cut, not only a crash of ours.
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
