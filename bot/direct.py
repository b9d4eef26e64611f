"""Where each person is written to in private, known after a restart too.

A channel that is known need not be opened again: opening them is what platforms ration most, and few openings keep a
bot out of Discord's quarantine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, String, and_, column, delete, select, table
from sqlalchemy.dialects import postgresql, sqlite

from bot.ledger import Account

T = TypeVar("T")

# The same columns as in bot/store/tables.py, which makes the table.
_CHANNEL = table("direct_channel", column("platform", String), column("workspace", String), column("user", String),
                 column("channel", String))


class Database(Protocol):
    async def run(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """Runs `work` as one transaction. What only `reads` need not wait for those who write. Raises Unsaved when the
        database is the reason that it failed."""


class DirectChannels:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, account: Account) -> str | None:
        """The channel of the direct messages with the person, once there has been one."""
        return await self._database.run(lambda connection: connection.execute(
            select(_CHANNEL.c.channel).where(_of(account))).scalar_one_or_none(), reads=True)

    async def keep(self, account: Account, channel: str) -> None:
        def work(connection: Connection) -> None:
            # One statement, so that two processes that keep the same person at once both succeed.
            insert: sqlite.Insert | postgresql.Insert = sqlite.insert(_CHANNEL) \
                if connection.dialect.name == "sqlite" else postgresql.insert(_CHANNEL)
            connection.execute(insert.values(**vars(account), channel=channel).on_conflict_do_update(
                index_elements=["platform", "workspace", "user"], set_={"channel": channel}))

        await self._database.run(work)

    async def forget(self, account: Account) -> None:
        await self._database.run(lambda connection: connection.execute(delete(_CHANNEL).where(_of(account))))


def _of(account: Account) -> ColumnElement[bool]:
    return and_(*(_CHANNEL.c[part] == value for part, value in vars(account).items()))
