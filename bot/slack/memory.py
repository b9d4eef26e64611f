"""Where each person of a workspace is written to in private, known after a restart too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, String, and_, column, delete, select, table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

# The same columns as in bot/store/tables.py, which makes the table.
_DIRECT_CHANNEL = table("direct_channel", column("platform", String), column("workspace", String),
                        column("user", String), column("channel", String))

_PLATFORM = "slack"


class Database(Protocol):
    async def run(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction. Raises Unsaved when the database is the reason that it failed."""


class Memory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def dm_channel(self, workspace: str, user: str) -> str | None:
        """The channel of the direct messages with the person, once there has been one."""
        def work(connection: Connection) -> str | None:
            return connection.execute(
                select(_DIRECT_CHANNEL.c.channel).where(_of(workspace, user))).scalar_one_or_none()

        return await self._database.run(work)

    async def keep_dm_channel(self, workspace: str, user: str, channel: str) -> None:
        def work(connection: Connection) -> None:
            # One statement, so that two processes that keep the same person at once both succeed.
            insert: sqlite.Insert | postgresql.Insert = sqlite.insert(_DIRECT_CHANNEL) \
                if connection.dialect.name == "sqlite" else postgresql.insert(_DIRECT_CHANNEL)
            connection.execute(
                insert.values(platform=_PLATFORM, workspace=workspace, user=user, channel=channel)
                .on_conflict_do_update(index_elements=["platform", "workspace", "user"], set_={"channel": channel}))

        await self._database.run(work)

    async def forget_dm_channel(self, workspace: str, user: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(delete(_DIRECT_CHANNEL).where(_of(workspace, user)))

        await self._database.run(work)


def _of(workspace: str, user: str) -> ColumnElement[bool]:
    of = _DIRECT_CHANNEL.c
    return and_(of.platform == _PLATFORM, of.workspace == workspace, of.user == user)
