"""A SQLite database copied while the bot runs, and put back. PostgreSQL has tools of its own for that.

A copy is one file without a journal beside it, and holds nothing that was deleted: VACUUM INTO writes only what is
there, as it was at one instant, and holds up no writer.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.engine import make_url

from bot.herald import owe_nudges
from bot.ledger import State
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate

BUSY = 2.0
"""Seconds to wait for a lock."""

_d = tables.delivery.c


class NotSaved(Exception):
    """Nothing was changed; the text says why, and what to do."""


@dataclass(frozen=True)
class Contents:
    revision: str
    cohorts: int
    members: int
    journal: int

    def __str__(self) -> str:
        return (f"version {self.revision}, {_count(self.cohorts, 'cohort')}, {_count(self.members, 'member')}, "
                f"{_count(self.journal, 'journal entry', 'journal entries')}")


@dataclass(frozen=True)
class Restored:
    contents: Contents
    aside: Path | None
    """Where what was there before is kept."""


def file_of(url: str) -> Path:
    """The file of an SQLite database. Raises NotSaved for another one."""
    parsed = make_url(url)
    if parsed.get_backend_name().startswith("postgres"):
        raise NotSaved("NINETY_DATABASE_URL is a PostgreSQL database, which is saved with pg_dump and restored with "
                       "pg_restore; the page Run it (docs/run.md) has the commands")
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise NotSaved("NINETY_DATABASE_URL is no file of SQLite")
    return Path(str(parsed.database))


def backup(database: Path, to: Path, *, force: bool = False) -> Contents:
    """Raises NotSaved. What it has written is a sound copy, or nothing."""
    if not database.is_file():
        raise NotSaved(f"there is no database at {database}")
    if to.exists() and not force:
        raise NotSaved(f"{to} is there already; --force writes over it")
    if to.exists() and to.samefile(database):
        raise NotSaved(f"{to} is the database itself")
    with _beside(to) as fresh:
        contents = _copied(database, fresh)
        _place(fresh, to, force)
    return contents


def restore(copy: Path, database: Path, now: datetime, *, force: bool = False) -> Restored:
    """Brings it to the version of this program on the way. Raises NotSaved or DatabaseIsNewer."""
    if not copy.is_file():
        raise NotSaved(f"there is no file at {copy}")
    there = database.exists()
    if there and database.samefile(copy):
        raise NotSaved(f"{copy} is the database itself")
    if there and not force:
        raise NotSaved(f"there is a database at {database} already; --force puts the copy in its place, and keeps what "
                       "is there aside")
    database.parent.mkdir(parents=True, exist_ok=True)
    with _beside(database) as fresh:
        before = _copied(copy, fresh)
        contents = _migrated(fresh, now)
        if (contents.cohorts, contents.members, contents.journal) != (before.cohorts, before.members, before.journal):
            raise NotSaved(f"the migration would change what is in it, from {before} to {contents}")
        if not there:
            _place(fresh, database, force=False)
            return Restored(contents, None)
        aside = _aside(database, now)
        try:
            with closing(_alone(database)) as old:
                _vacuumed(old, aside)
                # Into the file that is there, and not in its place: a bot that starts at this moment waits for our
                # lock, and must not go on with a file that has another name by then.
                with closing(_opened(fresh)) as new:
                    new.backup(old)
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                raise NotSaved(f"it could not be written to {database} ({error})") from None
            _set_aside(database, aside)
            _place(fresh, database, force=False)
    return Restored(contents, aside)


# --- copies -----------------------------------------------------------------------------------------------------------


def _copied(database: Path, to: Path) -> Contents:
    """Raises NotSaved when it is no database of ours, or not a sound one."""
    try:
        with closing(_opened(database)) as source:
            _contents(source, database)
            _vacuumed(source, to)
    except sqlite3.DatabaseError as error:
        if _is_broken(error):
            raise NotSaved(f"{database} is no database, or a damaged one ({error})") from None
        raise NotSaved(f"{database} could not be copied ({error})") from None
    with closing(_opened(to)) as copy:
        return _contents(copy, to)


def _vacuumed(source: sqlite3.Connection, to: Path) -> None:
    # Made by us, and empty, so that nobody else may read it at any moment.
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    source.execute("VACUUM INTO ?", (str(to),))
    with closing(_opened(to)) as copy:
        found = [row[0] for row in copy.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        raise NotSaved(f"the copy is not sound: {found[0]}")
    _synced(to)     # VACUUM INTO does not wait for the disk


def _contents(connection: sqlite3.Connection, path: Path) -> Contents:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"alembic_version", "cohort", "member", "journal"} <= tables:
        raise NotSaved(f"{path} is no database of Ninety's")
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    cohorts, members, journal = connection.execute(
        "SELECT (SELECT count(*) FROM cohort), (SELECT count(*) FROM member), (SELECT count(*) FROM journal)"
    ).fetchone()
    return Contents(str(revision), cohorts, members, journal)


def doubt(database: Database, now: datetime) -> int:
    """To be called once after a database was put back: what was due since may have been sent by whoever wrote the
    database that is no more, so the herald shall look for it before it sends it. Returns how many that are."""
    ledger = StoredLedger(database)
    # Those too that were derived only after the copy was made.
    ledger.transact_here(lambda tx: owe_nudges(tx, now))
    return database.run_here(lambda connection: connection.execute(
        update(tables.delivery).where(_d.state == State.OWED.value, _d.due <= now)
        .values(state=State.UNKNOWN.value)).rowcount)


def _migrated(path: Path, now: datetime) -> Contents:
    """Raises DatabaseIsNewer."""
    database = Database(f"sqlite:///{path}")
    try:
        migrate(database)
        doubt(database, now)
    finally:
        database.close()
    with closing(_opened(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")      # one file again
        contents = _contents(connection, path)
    _synced(path)
    return contents


def _opened(path: Path) -> sqlite3.Connection:
    # Never made: a name that was mistyped is no empty database.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY, isolation_level=None)


def _alone(database: Path) -> sqlite3.Connection:
    """Nobody else has it open, and nobody can use it until this is closed. Raises NotSaved."""
    connection = _opened(database)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # SQLite leaves its write-ahead log only when no other connection is open, at work or not.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise NotSaved(f"somebody has {database} open, probably `ninety run`: stop it first") from None
        raise
    return connection


def _is_broken(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the same folder, so that what gets it can be renamed; gone at the end."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
    except OSError as error:
        raise NotSaved(f"{error.filename or path}: {error.strerror}") from None
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)


def _place(fresh: Path, to: Path, force: bool) -> None:
    """All of it or nothing, even in a power cut. Raises NotSaved when somebody else was there meanwhile."""
    if force:
        fresh.replace(to)
    else:
        try:
            os.link(fresh, to)
        except FileExistsError:
            raise NotSaved(f"{to} is there already; --force writes over it") from None
        except OSError:
            fresh.rename(to)    # not every file system has links
    _synced(to.parent)


def _aside(database: Path, now: datetime) -> Path:
    path = database.with_name(f"{database.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
    if path.exists():
        raise NotSaved(f"{path} is there already; try again in a second")
    return path


def _set_aside(database: Path, aside: Path) -> None:
    """As it is: nothing can be read from it."""
    for suffix in ("-wal", "-shm", "-journal"):
        if (old := database.with_name(database.name + suffix)).exists():
            shutil.move(old, aside.with_name(aside.name + suffix))
    database.replace(aside)


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"
