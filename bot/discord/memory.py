"""What the Discord side must still know after a restart: the channels of direct messages.

A channel that is known need not be opened again, and few openings are what keeps a bot out of quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from sqlalchemy import Connection, String, TableClause, column, delete, select, table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

# The same columns as in bot/store/tables.py, which makes the tables.
_DIRECT_CHANNEL = table("direct_channel", column("platform", String), column("workspace", String),
                        column("user", String), column("channel", String))

_PLATFORM = "discord"


class Database(Protocol):
    async def run(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction. Raises Unsaved when the database is the reason that it failed."""


class Memory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def dm_channel(self, user: str) -> str | None:
        """The channel of the direct messages with the person, once it has been opened."""
        return await self._value(_DIRECT_CHANNEL, {"platform": _PLATFORM, "workspace": "", "user": user}, "channel")

    async def keep_dm_channel(self, user: str, channel: str) -> None:
        await self._keep(_DIRECT_CHANNEL, {"platform": _PLATFORM, "workspace": "", "user": user}, {"channel": channel})

    async def forget_dm_channel(self, user: str) -> None:
        def work(connection: Connection) -> None:
            of = _DIRECT_CHANNEL.c
            connection.execute(delete(_DIRECT_CHANNEL).where(
                of.platform == _PLATFORM, of.workspace == "", of.user == user))

        await self._database.run(work)

    async def _value(self, of: TableClause, key: Mapping[str, str], name: str) -> str | None:
        def work(connection: Connection) -> str | None:
            where = [of.c[part] == value for part, value in key.items()]
            return connection.execute(select(of.c[name]).where(*where)).scalar_one_or_none()

        return await self._database.run(work)

    async def _keep(self, of: TableClause, key: Mapping[str, str], values: Mapping[str, str]) -> None:
        def work(connection: Connection) -> None:
            # One statement, so that two processes that keep the same key at once both succeed.
            insert: sqlite.Insert | postgresql.Insert = \
                sqlite.insert(of) if connection.dialect.name == "sqlite" else postgresql.insert(of)
            connection.execute(insert.values({**key, **values})
                               .on_conflict_do_update(index_elements=list(key), set_=dict(values)))

        await self._database.run(work)
