"""A real Chromium for the tests of this folder; skipped where there is none, required where `CI` says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path(os.environ.get("NINETY_CHROMIUM", "/usr/bin/chromium"))
# As root in a container there is no sandbox to be had, and without the rest Chromium calls its maker when it starts.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


def do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") or os.environ.get("NINETY_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        do_without("playwright is not installed: pip install -e .[dev]")
    if not CHROMIUM.exists():
        do_without(f"there is no Chromium at {CHROMIUM}: apt-get install chromium, or set NINETY_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()
