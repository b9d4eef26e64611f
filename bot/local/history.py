"""What was said in the local chat: what a real platform keeps on its servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from sqlalchemy import BigInteger, Connection, Integer, String, column, insert, or_, select, table
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# The same columns as in bot/store/tables.py, which makes the table; `at` is whole microseconds since 1970, UTC.
_POST = table(
    "local_post",
    column("id", Integer), column("room", String), column("only_for", String), column("author", String),
    column("at", BigInteger), column("key", String), column("html", String),
)


class Database(Protocol):
    async def run(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction. Raises Unsaved when the database is the reason that it failed."""


@dataclass(frozen=True)
class Post:
    id: int
    """Later posts have greater ones."""
    room: str
    only_for: str | None
    """The one person who sees it; None: everybody in the room."""
    author: str
    at: datetime
    key: str | None
    html: str


def direct(user: str) -> str:
    """The room of somebody's direct messages."""
    return f"@{user}"


class Bell:
    """Wakes everybody who listens. Whoever listens first and looks then misses nothing."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def listen(self) -> asyncio.Event:
        return self._rung

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()


class History:
    """`bell` rings when something was added through this object."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.bell = Bell()

    async def add(self, room: str, html: str, *, author: str, at: datetime, only_for: str | None = None,
                  key: str | None = None) -> Post:
        """The same key twice is one post: the one that was there first is given back."""
        values = {"room": room, "only_for": only_for, "author": author, "at": (at - _EPOCH) // _MICROSECOND, "key": key,
                  "html": html}

        def work(connection: Connection) -> Post:
            try:
                with connection.begin_nested():
                    row = connection.execute(insert(_POST).values(values).returning(*_POST.c)).one()
            except IntegrityError:
                if key is None:
                    raise
                row = connection.execute(select(_POST).where(_POST.c.key == key)).one()
            return _post(row)

        post = await self._database.run(work)
        self.bell.ring()
        return post

    async def find(self, room: str, key: str) -> Post | None:
        def work(connection: Connection) -> Post | None:
            row = connection.execute(select(_POST).where(_POST.c.room == room, _POST.c.key == key)).one_or_none()
            return None if row is None else _post(row)

        return await self._database.run(work)

    async def since(self, user: str, rooms: Sequence[str], after: int, most: int = 200) -> list[Post]:
        """What `user` may see of the rooms that came after the post `after`, oldest first."""
        def work(connection: Connection) -> list[Post]:
            return [_post(row) for row in connection.execute(
                select(_POST).where(_POST.c.room.in_(rooms), _visible(user), _POST.c.id > after)
                .order_by(_POST.c.id).limit(most))]

        return await self._database.run(work)

    async def latest(self, user: str, room: str, before: int | None = None, most: int = 100) -> list[Post]:
        """The last that `user` may see of the room, or the last before the post `before`; oldest first."""
        earlier = [] if before is None else [_POST.c.id < before]

        def work(connection: Connection) -> list[Post]:
            return [_post(row) for row in connection.execute(
                select(_POST).where(_POST.c.room == room, _visible(user), *earlier)
                .order_by(_POST.c.id.desc()).limit(most))][::-1]

        return await self._database.run(work)


def _visible(user: str) -> ColumnElement[bool]:
    return or_(_POST.c.only_for.is_(None), _POST.c.only_for == user)


def _post(row: Row[tuple[object, ...]]) -> Post:
    return Post(row.id, row.room, row.only_for, row.author, _EPOCH + row.at * _MICROSECOND, row.key, row.html)
