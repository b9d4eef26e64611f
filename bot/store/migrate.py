"""Brings a database to the version of this program, and refuses one that is newer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from bot.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseIsNewer(Exception):
    """A later version of Ninety has written this database."""

    def __init__(self, revision: str) -> None:
        super().__init__(f"the database is at version {revision}, which this Ninety does not know: it was written by "
                         "a newer one. Update Ninety, or point NINETY_DATABASE_URL at another database")


def migrate(database: Database) -> tuple[str | None, str]:
    """Returns (version before, None for an empty database; version now). Of two processes that start at once, one does
    it and the other waits. Raises DatabaseIsNewer; NoDatabase, which is a ValueError, when none can be reached."""
    def work(connection: Connection) -> tuple[str | None, str]:
        if connection.dialect.name == "postgresql":
            # Copying a large table may take minutes, and so may waiting for another process that does it.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(0, 0)"))
        before, known = current(connection), revisions()
        if before is not None and before not in known:
            raise DatabaseIsNewer(before)
        if before != known[-1]:
            # Alembic is slow to import, and slow to say that there is nothing to do, as at nearly every start.
            from alembic import command

            command.upgrade(_config(connection), "head")
        return before, known[-1]

    return database.run_here(work)


def revisions() -> Sequence[str]:
    """Every version that a database can be at, oldest first. Each is what the file that leads to it begins with."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """None for a database without a migration."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    if not connection.in_transaction():
        # The writer of SQLite has begun one of which SQLAlchemy does not know, and Alembic would commit it.
        connection.begin()
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
