"""What PostgreSQL needs that SQLite does not: time limits, a line that can be cut, and which failures are worth another
try."""

from __future__ import annotations

import os
import socket
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

IDLE = 5.0
"""Seconds after which the server ends a transaction whose process has fallen silent, and holds locks."""
LINE = "line"
"""Where a pooled connection keeps a second handle of its socket."""

_COLLIDED = {"40001", "40P01"}
"""Serialization failure and deadlock: the server has undone the transaction, and asks to be tried again."""
_TAKEN = "23505"
"""Unique violation."""
_READ_ONLY = "25006"


def engine(address: URL, durable: bool, busy: float, connections: int, *, reads: bool = False) -> Engine:
    """At most twice `connections`, and no statement longer than `busy` seconds. What the address says itself counts.

    One that only `reads` needs no transaction for it, and so a way there and back less at either end; what would write
    is refused by the server (`would_write`)."""
    limits = {"statement_timeout": busy, "idle_in_transaction_session_timeout": IDLE}
    options = [f"-c {name}={round(seconds * 1000)}" for name, seconds in limits.items()]
    if not durable:
        options.append("-c synchronous_commit=off")
    if reads:
        options.append("-c default_transaction_read_only=on")
    if "options" in address.query:
        options.append(str(address.query["options"]))
        address = address.difference_update_query(["options"])
    ours: dict[str, str | int] = {
        "application_name": "ninety", "connect_timeout": max(2, round(busy)),      # libpq knows no shorter one
        # A host that has vanished does not even refuse.
        "tcp_user_timeout": round(busy * 1000), "keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
    # And locks where something is read in order to be written (see ledger.py). SERIALIZABLE needs none, but undid half
    # of the check-ins at 32 callers (86 in a second got through, not 202): each reads how many members have points.
    made = create_engine(
        address.set(drivername="postgresql+psycopg"), hide_parameters=True,
        isolation_level="AUTOCOMMIT" if reads else "READ COMMITTED",
        pool_size=connections, max_overflow=connections, pool_timeout=busy,
        connect_args={name: value for name, value in ours.items() if name not in address.query}
        | {"options": " ".join(options)})

    @event.listens_for(made, "connect")
    def connect(connection: Any, entry: ConnectionPoolEntry) -> None:
        # A handle of our own: by the time that it is cut, the driver may have closed its one, and another connection
        # have got the same number.
        entry.info[LINE] = socket.socket(fileno=os.dup(connection.pgconn.socket))

    @event.listens_for(made, "close")
    def close(_: Any, entry: ConnectionPoolEntry) -> None:
        if (line := entry.info.pop(LINE, None)) is not None:
            line.close()

    return made


def collided(error: BaseException) -> bool:
    """Another transaction was in the way, and this one was undone."""
    return _state(error) in _COLLIDED


def taken(error: BaseException) -> bool:
    """Somebody else has written a row that may be there once: whoever looks again will see it."""
    return _state(error) == _TAKEN


def would_write(error: BaseException) -> bool:
    """Something that was only to read."""
    return _state(error) == _READ_ONLY


def broken(error: BaseException) -> bool:
    """The line to the server is dead."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def cause(error: BaseException) -> str:
    """For the log, of SQLite's failures too. PostgreSQL's own words but for those that quote what was written: details,
    and bad values."""
    original = _original(error)
    state = _state(error)
    if state is None:
        return " ".join(str(original).split())      # of the connection, not of a statement
    said = "" if state.startswith("22") else f": {original.diag.message_primary}"  # type: ignore[attr-defined]
    return f"{type(original).__name__} ({state}){said}"


def _state(error: BaseException) -> str | None:
    state = getattr(_original(error), "sqlstate", None)
    return state if isinstance(state, str) else None


def _original(error: BaseException) -> BaseException:
    """The driver's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
