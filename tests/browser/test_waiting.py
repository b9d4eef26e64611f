"""The local chat on a database that stalls, in a real browser: who waits is told so, and then reads the result."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from bot.cohort.journal import Joined
from bot.ledger import Account, RequestId, Room, Transaction
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path, load

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
WITHIN = 20_000
"""Milliseconds for what comes when the database answers again."""
EDITION = Edition.of(load(default_path()), "ninety-days")
WAITING = EDITION.voice.words.waiting


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """With a cohort in its first week, and Ada in it."""
    path, now = tmp_path / "ninety.db", datetime.now(UTC)
    made = Database(f"sqlite:///{path}", durable=False)
    migrate(made)

    def work(tx: Transaction) -> None:
        cohort = tx.open_cohort("Autumn", (now - timedelta(days=2)).date(), "UTC", EDITION,
                                Room("local", "", "ninety"), None, "salt", now - timedelta(days=3))
        ada = tx.add_member(cohort.id, Account("local", "", "ada"), "Ada", "Alias", True, "UTC", False)
        tx.append(ada, Joined(cohort.opened_at, "UTC", EDITION.plan.steps[0].id), RequestId("joined"))

    StoredLedger(made).transact_here(work)
    made.close()
    return path


@pytest.fixture
def chat(database: Path) -> Iterator[str]:
    """The address of a real `ninety run`."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bot", "run", "--person", "Ada"], cwd=ROOT,
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={
        **os.environ, "NINETY_DATABASE_URL": f"sqlite:///{database}", "NINETY_PORT": str(port),
        "NINETY_OPERATOR_LISTEN": ""})
    address = f"http://127.0.0.1:{port}/chat/?as=ada"
    deadline = monotonic() + 60
    while monotonic() < deadline and process.poll() is None:
        try:
            urlopen(address).close()
            break
        except OSError:
            sleep(0.1)
    yield address
    process.kill()
    process.wait()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """By another process: this one."""
    other = sqlite3.connect(database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


def test_who_waits_for_the_database_is_told_so_and_then_reads_the_result(
        browser: Browser, chat: str, database: Path) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(chat)
    page.locator("#as option:checked").wait_for(state="attached")
    page.locator("#line").fill("/progress")
    with locked(database):
        page.locator("#line").press("Enter")
        page.get_by_text(WAITING).wait_for(timeout=3000)
    page.locator("#log-room article").wait_for(timeout=WITHIN)
    assert page.get_by_text(WAITING).count() == 0

    page.locator("#shortcuts button").first.click()
    form = page.locator("dialog[open]")
    form.locator("[name=hours]").fill("6")
    with locked(database):
        form.locator("button[type=submit]").click()
        form.get_by_text(WAITING).wait_for(timeout=3000)
        assert form.get_by_text("Start over").count() == 0
    form.wait_for(state="hidden", timeout=WITHIN)
    assert "is in" in page.locator("#log-room article").last.inner_text()
    assert errors == []
