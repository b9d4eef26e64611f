"""The database, and the threads in which it is spoken to: one for SQLite, a few for PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from typing import cast as seen_as

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from bot.ledger import Unsaved
from bot.settings import BadSettings
from bot.store import postgresql, sqlite

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY = 12.0
"""Seconds to wait for another process's lock. A database may stall for ten; meanwhile the shells tell whoever asked."""
PATIENCE = 15.0
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
            else sqlite.engine(address, durable, BUSY)
        self._reading = postgresql.engine(address, durable, BUSY, CONNECTIONS, reads=True) if self._served \
            else self.engine
        # SQLite lets one writer in at a time; a queue of our own is fairer and faster than its lock.
        self._errors = NoneFree, DBAPIError, self.engine.dialect.loaded_dbapi.Error
        self._writer = None if self._served else sqlite.Writer(self.engine, BUSY, self._unsaved)
        self._threads = ThreadPoolExecutor(CONNECTIONS, "ninety-database")
        self._looks = ThreadPoolExecutor(1, "ninety-looks")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._threads.shutdown()
        self._looks.shutdown()
        self.engine.dispose()
        self._reading.dispose()

    async def run(self, work: Callable[[Connection], T], *, reads: bool = False,
                  meanwhile: Callable[[T], object] | None = None) -> T:
        """Raises Unsaved when the database could not do it; what `work` itself raises comes through.

        What most likely only `reads`, and not much, has its answer at SQLite at once, in the caller's thread: to change
        to another one takes longer. PostgreSQL is spared a transaction. If it writes after all, it is run again where
        it may.

        `meanwhile` is handed what `work` returned, in the caller's thread; at SQLite while the disk keeps it, which
        may fail: what it makes of that nobody may hear of before `run` returns.

        When the line breaks while PostgreSQL commits, nobody knows whether it did; what is asked for again has a name
        (a request, a key) by which it is known to have been done."""
        if not self._durable:
            done = self.run_here(work)
        elif self._writer is None:
            done = await self._run_there(work, reads)
        elif not reads or isinstance(read := self._writer.read(work), sqlite.NotNow):
            return await self._writer.run(work, meanwhile)
        else:
            done = read
        if meanwhile is not None:
            meanwhile(done)
        return done

    async def _run_there(self, work: Callable[[Connection], T], reads: bool) -> T:
        """At PostgreSQL."""
        turn, loop = _Turn(), asyncio.get_running_loop()
        future = loop.run_in_executor(
            self._threads, self._run, work, turn, self._reading if reads else self.engine)
        given_up = False

        def give_up() -> None:
            nonlocal given_up
            if turn.cut() and not future.done():
                given_up = True
                future.cancel()

        bell = loop.call_later(PATIENCE, give_up)
        try:
            return await future
        except asyncio.CancelledError:
            if not given_up:
                raise
            log.error("The database did not take a transaction: none of %d connections was free, or none could be made",
                      CONNECTIONS)
            raise Unsaved from None
        finally:
            bell.cancel()

    def run_here(self, work: Callable[[Connection], T]) -> T:
        """In this thread; for start-up and tests."""
        return self._writer.run_here(work) if self._writer is not None else \
            self._run(work, _Turn(), self.engine)

    async def look(self, work: Callable[[Connection], T]) -> T:
        """The same for what only reads, and must not queue behind those who write; one at a time."""
        def looked() -> T:
            try:
                with self.engine.connect().execution_options(**{sqlite.LOOKS: True}) as connection, connection.begin():
                    return work(connection)
            except self._errors as error:
                raise self._unsaved(error) from None

        return await asyncio.get_running_loop().run_in_executor(self._looks, looked)

    async def glance(self, words: str, values: Mapping[str, object]) -> tuple[Any, ...] | None:
        """The first row of a quick look, in the words of the driver. At SQLite in the caller's thread: to change to
        another one takes longer, and who reads there waits for nobody."""
        if self._writer is not None and not isinstance(row := self._writer.glance(words, values), sqlite.NotNow):
            return row
        return await self.look(lambda connection: seen_as(Any, connection.connection.driver_connection).execute(
            words, values).fetchone())

    def written(self) -> object:
        """Equals what it was only while nobody has written since, in any process; where the database does not tell at
        a glance, it never does. What is read after it is good for as long."""
        return object() if self._writer is None else self._writer.written()

    def _run(self, work: Callable[[Connection], T], turn: _Turn, engine: Engine) -> T:
        tries = 0
        while True:
            tries += 1
            connected = worked = False
            try:
                with engine.connect() as connection, turn.at(connection), connection.begin():
                    connected = True
                    done = work(connection)
                    worked = True
                return done
            except self._errors as error:
                if engine is not self.engine and postgresql.would_write(error):
                    engine = self.engine
                    continue
                if not turn.over and self._worth_another(error, tries, worked):
                    continue
                raise self._unsaved(error, turn, connected) from None

    @staticmethod
    def _worth_another(error: Exception, tries: int, worked: bool) -> bool:
        """After a pause, where that helps."""
        if postgresql.collided(error) and tries < TRIES:
            time.sleep(random.uniform(0, 0.01 * 2 ** tries))  # noqa: S311  # so that the two do not meet again
            return True
        # What the other one has written is seen now, and a rule may say no to it. Where it is not seen, it was ours.
        if postgresql.taken(error):
            return tries < 3
        # The server was restarted, perhaps. Before a commit was asked for, nothing can have been kept.
        return postgresql.broken(error) and not worked and tries < 3

    def _unsaved(self, error: BaseException, turn: _Turn | None = None, connected: bool = True) -> Unsaved:
        """Never the error itself: PostgreSQL quotes members' words in it. At SQLite the engine hides them."""
        if turn is not None and turn.over:
            log.error("The database did not take a transaction: it took longer than %g s", PATIENCE)
            return Unsaved()
        told = postgresql.cause(error)
        log.error("The database did not take a transaction: %s", told)
        if self._served and not connected and not isinstance(error, NoneFree):
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

