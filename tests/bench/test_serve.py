"""How long an author waits: from a saved edit until the address of a page says it, beside plain `mkdocs serve`.

    pytest -m bench tests/bench/test_serve.py
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.bench.table import record
from tests.bench.test_site_build import configured

ROUNDS = 5
PLANS = 8       # 215 pages

Edit = Callable[[str], None]


@contextmanager
def serving(config: Path, *more: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mkdocs", "serve", "-q", "--livereload", "-a", f"127.0.0.1:{port}", "-f",
               str(config), *more]
    server = subprocess.Popen(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})  # noqa: S603  our own command
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def shows(address: str, words: str, within: float = 120) -> None:
    """Come back when the page says it."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            with urlopen(address, timeout=60) as answer:  # noqa: S310  our own server
                if words.encode() in answer.read():
                    return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.01)
    raise AssertionError(f"{address} never said {words!r}")


def waits(page: str, edit: Edit, config: Path, *more: str) -> list[float]:
    """Seconds from each save to the page that says what was saved."""
    taken = []
    with serving(config, *more) as address:
        shows(address + page, "<h1")
        for number in range(ROUNDS):
            # A moment of its own within the server's rhythm of looking, so that the wait for that counts too.
            time.sleep(1 + 0.13 * number)
            begun = time.monotonic()
            edit(f"saved-{number}-times")
            shows(address + page, f"saved-{number}-times")
            taken.append(time.monotonic() - begun)
    return taken


def replaces(file: Path, first: str, before: str) -> Edit:
    """An edit that puts its words behind `before`, where that stands after `first`."""
    text = file.read_text(encoding="utf-8")
    at = text.index(before, text.index(first)) + len(before)

    def edit(words: str) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{text[:at]}{words} {text[at:]}", encoding="utf-8")
        fresh.replace(file)

    return edit


@pytest.mark.bench
def test_a_saved_edit_is_shown_within_a_second(tmp_path: Path) -> None:
    """Ours from a save of the guide, plain Material from a save of the page's own Markdown, which it need not make."""
    configs = configured(tmp_path, PLANS)
    page = next((tmp_path / "plain/docs/plans/ninety-days").glob("how-models-behave.md"))
    place = "plans/ninety-days/how-models-behave/"
    ours = waits(place, replaces(tmp_path / "guide.yaml", '"how-models-behave"', '"goal": "'),
                 configs["our theme and plugin"], "--dirty")
    plain = waits(place, replaces(page, "\n# ", "\n\n"), configs["plain"])
    count = len(list((tmp_path / "plain/docs").rglob("*.md")))
    assert record(f"edit to page, {count} pages", statistics.median(ours), statistics.median(plain), 0.35, "s",
                  "plain mkdocs serve") <= 0.35
