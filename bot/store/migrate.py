"""Brings a database to the version of this program, and refuses one that is newer."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from bot.store.database import Database


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
        config = _config(connection)
        script = ScriptDirectory.from_config(config)
        before, head = current(connection), script.get_current_head()
        assert head is not None  # noqa: S101  # there is at least one migration
        if before is not None and before not in {revision.revision for revision in script.walk_revisions()}:
            raise DatabaseIsNewer(before)
        if before != head:
            command.upgrade(config, "head")
        return before, head

    return database.run_here(work)


def current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    if not connection.in_transaction():
        # The writer of SQLite has begun one of which SQLAlchemy does not know, and Alembic would commit it.
        connection.begin()
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
