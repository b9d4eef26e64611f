"""The site as MkDocs builds and serves it, through its real command line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from content.loading import default_path
from tests.content.build import SMALL, edited, place

ROOT = Path(__file__).parents[2]
QUIET = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
PUBLISHED = edited(("  reviewed:", "  repository: https://github.com/us/guide\n  reviewed:"))
BROKEN = edited(("skill: python", "skill: pyhton"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the small guide and our site around it."""
    (tmp_path / "guide.yaml").write_text(SMALL)
    (tmp_path / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: {ROOT}/docs\ntheme:\n  custom_dir: {ROOT}/docs/theme\n"
        "plugins:\n  ninety:\n    guide: guide.yaml\n")
    return tmp_path


def mkdocs(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", *arguments, "-f", str(project / "mkdocs.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=QUIET)  # noqa: S603  our own command


def built(project: Path, page: str) -> str:
    return (project / "site" / page / "index.html").read_text()


def edit_link(text: str) -> str | None:
    found = re.search(r'<a href="([^"]*)"[^>]*rel="edit"', text)
    return found[1] if found else None


def test_the_site_builds_without_a_warning(project: Path) -> None:
    """Strictly: a dead link or anchor would fail it."""
    done = mkdocs(project, "build", "--strict", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Find things" in built(project, "plans/fortnight/week-1")
    assert not list((project / "site").rglob("*.py")) + list((project / "site").rglob("*.j2"))


def test_our_own_guide_builds_too(tmp_path: Path) -> None:
    if not default_path().exists():
        pytest.skip("there is no content/guide.yaml yet")
    done = mkdocs(ROOT, "build", "--strict", "-q", "-d", str(tmp_path / "site"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_guide_builds_nothing_and_names_every_line(project: Path) -> None:
    broken = BROKEN.replace("hours: 5.5\n        goal", "hours: 5\n        goal")
    (project / "guide.yaml").write_text(broken)
    done = mkdocs(project, "build", "-q")
    assert done.returncode != 0
    assert f"guide.yaml:{place(broken, 'pyhton')}:" in done.stderr
    assert f"guide.yaml:{place(broken, '5' + chr(10) + '        goal')}:" in done.stderr
    assert not (project / "site/index.html").exists()


def test_words_stay_words_in_titles_and_menus(project: Path) -> None:
    """Where Material writes them into its HTML as they are."""
    (project / "guide.yaml").write_text(edited(("title: Find things", "title: 'Find <b>\"things\"</b> & more'"),
                                               ("goal: Search by meaning", "goal: 'Say \"yes\" </title>'")))
    assert mkdocs(project, "build", "--strict", "-q").returncode == 0
    page = built(project, "plans/fortnight/week-1")
    assert "<title>Week 1: Find &lt;b&gt;&quot;things&quot;&lt;/b&gt; &amp; more - Ninety</title>" in page
    assert '<meta name="description" content="Say &quot;yes&quot; &lt;/title&gt;">' in page
    assert "<b>" not in page


def test_edit_leads_to_the_line_of_the_guide_and_to_hand_written_files(project: Path) -> None:
    (project / "guide.yaml").write_text(PUBLISHED)
    assert mkdocs(project, "build", "--strict", "-q").returncode == 0
    edit = "https://github.com/us/guide/edit/main/"
    line = place(PUBLISHED, "- id: week-2").split(":")[0]
    assert edit_link(built(project, "plans/fortnight/week-2")) == f"{edit}guide.yaml#L{line}"
    assert edit_link(built(project, "join")) == f"{edit}docs/join.md"


def test_no_repository_no_edit_link(project: Path) -> None:
    """Rather none than a dead one."""
    assert mkdocs(project, "build", "--strict", "-q").returncode == 0
    assert edit_link(built(project, "plans/fortnight/week-2")) is None
    assert edit_link(built(project, "join")) is None


def test_no_edit_link_to_a_host_that_we_do_not_know(project: Path) -> None:
    """Until mkdocs.yml says where that host lets people edit."""
    (project / "guide.yaml").write_text(PUBLISHED.replace("github.com", "git.example.org"))
    assert mkdocs(project, "build", "--strict", "-q").returncode == 0
    assert edit_link(built(project, "join")) is None
    with (project / "mkdocs.yml").open("a") as settings:
        settings.write("    edit: src/edit/\n")
    assert mkdocs(project, "build", "--strict", "-q").returncode == 0
    assert edit_link(built(project, "join")) == "https://git.example.org/us/guide/src/edit/docs/join.md"


@contextmanager
def served(project: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mkdocs", "serve", "-q", "-a", f"127.0.0.1:{port}", "-f",
               str(project / "mkdocs.yml")]
    with (project / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=QUIET)  # noqa: S603  our own command
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(10)


def wait_for(address: str, words: str, *, gone: bool = False) -> str:
    """The page, as soon as it has the words or has lost them; fails after 30 s."""
    deadline = time.monotonic() + 30
    text = ""
    while time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=10) as answer:  # noqa: S310  our own server
                text = str(answer.read(), "utf-8")
        except (URLError, ConnectionError):
            pass
        else:
            if (words in text) != gone:
                return text
        time.sleep(0.1)
    raise AssertionError(f"{words!r} {'never went' if gone else 'never came'}: {text[-2000:]}")


def test_serving_follows_the_guide_and_survives_a_broken_one(project: Path) -> None:
    """A save shows; a slip keeps the last good site under a banner with the line; mending it takes the banner away."""
    guide = project / "guide.yaml"
    with served(project) as site:
        page = f"{site}plans/fortnight/week-1/"
        wait_for(page, "Find things")
        guide.write_text(edited(("title: Find things", "title: Find anything")))
        wait_for(page, "Find anything")

        guide.write_text(BROKEN)
        banner = wait_for(page, f"guide.yaml:{place(BROKEN, 'pyhton')}:")
        assert "Find anything" in banner
        guide.write_text("plans: [\n")
        wait_for(f"{site}join/", "guide.yaml:2:1: yaml: ")

        # As many editors save: a new file takes the name of the old one.
        (project / "guide.yaml~").write_text(SMALL)
        (project / "guide.yaml~").replace(guide)
        assert "Find things" in wait_for(page, "The guide is broken", gone=True)


def test_serving_a_guide_that_was_broken_from_the_start(project: Path) -> None:
    """There is no good site to keep, so there is a page with what to mend."""
    (project / "guide.yaml").write_text(BROKEN)
    with served(project) as site:
        assert f"guide.yaml:{place(BROKEN, 'pyhton')}:" in wait_for(site, "cannot be shown yet")
        (project / "guide.yaml").write_text(SMALL)
        wait_for(f"{site}plans/fortnight/week-1/", "Find things")
