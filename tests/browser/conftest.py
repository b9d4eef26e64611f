"""A real Chromium for the tests of this folder; skipped where there is none, required where `CI` says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("NINETY_CHROMIUM", "/usr/bin/chromium"))
# As root in a container there is no sandbox to be had, and without the rest Chromium calls its maker when it starts.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


def do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") or os.environ.get("NINETY_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")     # Playwright runs an event loop of its own, beside which no other test could run one
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


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of our own guide, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(ROOT / "mkdocs.yml"),
               "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,  # noqa: S603  our own command
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    return folder
