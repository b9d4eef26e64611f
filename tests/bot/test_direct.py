"""What is remembered between runs, and the statements that both databases must understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar, cast

from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ClauseElement

from bot.direct import DirectChannels
from bot.ledger import Account
from bot.store.database import Database

T = TypeVar("T")


def person(user: str, workspace: str = "") -> Account:
    return Account("discord", workspace, user)


async def test_the_channel_of_direct_messages_is_kept_and_may_change(database: Database) -> None:
    channels = DirectChannels(database)
    assert await channels.find(person("11")) is None
    await channels.keep(person("11"), "901")
    await channels.keep(person("12"), "902")
    await channels.keep(person("11"), "903")
    found = [await DirectChannels(database).find(person(user)) for user in ("11", "12", "13")]
    assert found == ["903", "902", None]
    await channels.forget(person("11"))
    assert [await channels.find(person(user)) for user in ("11", "12")] == [None, "902"]


async def test_workspaces_know_nothing_of_each_other(database: Database) -> None:
    channels = DirectChannels(database)
    await channels.keep(person("11", "T1"), "901")
    assert await channels.find(person("11", "T2")) is None


class _PostgreSQL:
    """A connection without a database behind it: it only says what it was told."""

    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    def __init__(self) -> None:
        self.said: list[str] = []

    def execute(self, statement: ClauseElement) -> None:
        self.said.append(re.sub(r"%\((\w+)\)s(::VARCHAR)?", r":\1", str(statement.compile(dialect=self.dialect))))

    async def run(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        return work(cast(Connection, self))


async def test_on_postgresql_too_keeping_is_one_statement() -> None:
    """Two would let two processes collide; and `user` is a reserved word there."""
    database = _PostgreSQL()
    await DirectChannels(database).keep(person("11"), "901")
    assert database.said == [
        'INSERT INTO direct_channel (platform, workspace, "user", channel) '
        "VALUES (:platform, :workspace, :user, :channel) "
        'ON CONFLICT (platform, workspace, "user") DO UPDATE SET channel = :param_1']
