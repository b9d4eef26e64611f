"""A PostgreSQL server of the tests' own, on a Unix socket in a folder of its own; it ends with them, however they end.

It is found by pg_config, in Debian's folders, or on the PATH. Where there is none, tests that ask for it are skipped,
and fail where NINETY_REQUIRE_POSTGRESQL=1 says that they must run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.store import tables
from bot.store.database import Database
from bot.store.migrate import migrate

GUARDED, PASSWORD = "guarded", "correct-horse"
"""A database that asks for the password of the person `ninety`."""
_PATIENCE = 30.0
"""Seconds for a server to start or stop."""


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`; the newest where there are several."""
    places = []
    with suppress(OSError, subprocess.CalledProcessError):
        places.append(Path(subprocess.run(["pg_config", "--bindir"], capture_output=True, check=True, text=True)  # noqa: S607
                           .stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    if (found := shutil.which("initdb")) is not None:
        places.append(Path(found).resolve().parent)
    return next((place for place in places if all((place / one).exists() for one in ("initdb", "postgres"))), None)


class Server:
    """Its databases are named; `url` gives the address of one."""

    def __init__(self, binaries: Path, folder: Path, *, durable: bool = False) -> None:
        self._binaries, self._folder = binaries, folder
        self._safe, self._buffers = ("on", "256MB") if durable else ("off", "32MB")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        owner = _account()
        # The server refuses to be root.
        self._as = [] if owner is None else ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}",
                                             "--clear-groups"]
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "--pgdata", self._data, "--auth=trust", "--username=ninety", "--encoding=UTF8",
                  "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local {GUARDED} all scram-sha-256\n{rules.read_text()}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str, password: str = "") -> str:
        who = f"ninety:{password}" if password else "ninety"
        return f"postgresql://{who}@/{database}?host={self._folder}"

    def start(self) -> None:
        """From the main thread: where we can have it so, the server dies with the thread that has started it."""
        assert self._process is None
        dies_with_us = ["setpriv", *self._as[1:], "--pdeathsig=QUIT"] if shutil.which("setpriv") else self._as
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([  # noqa: S603  # ours
                *dies_with_us, self._binaries / "postgres", "-D", self._data, "-k", self._folder, "-h", "",
                "-c", f"fsync={self._safe}", "-c", f"full_page_writes={self._safe}",
                "-c", f"shared_buffers={self._buffers}", "-c", "max_connections=150", "-c", "deadlock_timeout=100ms",
                "-c", "jit=off", "-c", "log_min_messages=fatal", "-c", "timezone=Asia/Kathmandu",
            ], stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """As in an emergency: whoever is connected is thrown out."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def database(self, name: str = "", template: str = "template0") -> str:
        """The address of a new one."""
        name = name or f"ninety_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def _run(self, program: str, *words: str | Path) -> None:
        subprocess.run([*self._as, self._binaries / program, *words], capture_output=True, check=True, cwd="/")  # noqa: S603


def _account() -> pwd.struct_passwd | None:
    """Who the server runs as, where we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise LookupError("there is no account to run PostgreSQL as")


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Running; only where it is `durable` does what is committed survive a power cut. Skips the test where there is
    none to run, unless it is required."""
    found = binaries()
    if found is None:
        if os.environ.get("NINETY_REQUIRE_POSTGRESQL") == "1":
            pytest.fail("PostgreSQL is required here, and not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not pytest's own folder, which the account of the server may not enter; and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="ninety-pg-", ignore_cleanup_errors=True) as folder:
        started = Server(found, Path(folder), durable=durable)
        try:
            started.start()
            yield started
        finally:
            started.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """With a database `migrated` to copy, and one `contract` to be emptied for each test."""
    with server() as started:
        for name in ("contract", "migrated"):
            made = Database(started.database(name), durable=False)
            migrate(made)
            made.close()
        yield started


@pytest.fixture
def postgresql_url(postgresql: Server) -> str:
    """Of a migrated database without a row."""
    url = postgresql.url("contract")
    with psycopg.connect(url) as connection:
        # TRUNCATE takes 85 ms, this 4.
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        connection.execute("SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'")
    return url
