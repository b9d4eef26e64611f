"""A migrated database for each test, copied in a millisecond from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.herald import posts
from bot.ledger import Cohort, Transaction
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, ORGANISER, ROOM, START, edition
from tests.postgresql import postgresql, postgresql_url

__all__ = ["postgresql", "postgresql_url"]      # fixtures, for whoever would rather have them than a file


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never opened again once it is made, so it may be copied."""
    path = tmp_path_factory.mktemp("migrated") / "ninety.db"
    made = Database(f"sqlite:///{path}", durable=False)
    migrate(made)
    made.close()
    return path


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """Of a migrated database without a row."""
    return f"sqlite:///{shutil.copyfile(migrated, tmp_path / 'ninety.db')}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url, durable=False)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> StoredLedger:
    return StoredLedger(database)


@pytest.fixture
def cohort(ledger: StoredLedger) -> Cohort:
    """Opened on the Friday before its first week, with all its posts owed."""
    def work(tx: Transaction) -> Cohort:
        opened = tx.open_cohort("Ninety & co", START, "Europe/Berlin", edition(), ROOM, ORGANISER, "salt", OPENED)
        tx.owe(posts(opened))
        return opened

    return ledger.transact_here(work)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(OPENED)


@pytest.fixture(autouse=True)
def no_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run beside each other, and there is one such address."""
    monkeypatch.setenv("NINETY_OPERATOR_LISTEN", "")
