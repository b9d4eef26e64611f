"""The engine, and the one thread in which a SQLite database is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection as SQLite
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bot.ledger import Unsaved

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY = 2.0
"""Seconds to wait for another process's lock; a chat platform wants its answer within three."""


class Database:
    """Runs functions over a connection, each as one transaction, off the event loop.

    One that is not `durable` may lose what it holds in a power cut, and so is never waited for: it runs in the caller's
    own thread. For rehearsals, which are then the same to the byte, and for demos."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        if make_url(url).get_backend_name() != "sqlite":
            raise ValueError(f"{make_url(url).get_backend_name()} is not supported yet: use sqlite:///path/to/file.db")
        self.engine = _sqlite(url, durable)
        self._durable = durable
        # SQLite lets one writer in at a time; a queue of our own is fairer and faster than its lock.
        self._thread = ThreadPoolExecutor(1, "ninety-database")

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        self._thread.shutdown()
        self.engine.dispose()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Raises Unsaved when the database could not do it; what `work` itself raises comes through."""
        if not self._durable:
            return self.run_here(work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_here, work)

    def run_here(self, work: Callable[[Connection], T]) -> T:
        """In this thread; for start-up and tests."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            # The statement's parameters are members' words: the engine hides them, and only the cause is logged.
            log.error("The database did not take a transaction: %s", error.orig)
            raise Unsaved from error


def _sqlite(url: str, durable: bool) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY, "check_same_thread": False})

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
