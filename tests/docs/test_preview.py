"""`ninety site serve` does only what an edit changed, and shows what a whole build would show."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig

from docs.plugin import NinetyPlugin
from docs.preview import Preview as Seen
from tests.content.build import SMALL

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000/"
Preview = Callable[[], set[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the small guide, hand-written pages and our site around it."""
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    (tmp_path / "guide.yaml").write_text(SMALL)
    (tmp_path / "docs").mkdir()
    for name in ("assets", "join.md", "organise.md", "edit.md"):
        (tmp_path / "docs" / name).symlink_to(ROOT / "docs" / name)
    (tmp_path / "docs/edit.md").unlink()
    (tmp_path / "docs/edit.md").write_text("# Edit the guide\n\nOne file.\n")
    (tmp_path / "theme").mkdir()
    for file in (ROOT / "docs/theme").iterdir():
        (tmp_path / "theme" / file.name).symlink_to(file)
    settings(tmp_path)
    return tmp_path


def settings(project: Path, more: str = "") -> None:
    (project / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: docs\ntheme:\n  custom_dir: theme\n"
        f"plugins:\n  ninety:\n    guide: guide.yaml\n{more}")


def loaded(project: Path, site: Path, *, dirty: bool) -> MkDocsConfig:
    config = load_config(config_file=str(project / "mkdocs.yml"), site_dir=str(site), site_url=ADDRESS)
    config.plugins.on_startup(command="serve", dirty=dirty)
    return config


@pytest.fixture
def preview(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Preview:
    """Builds again as `ninety site serve` does; returns the pages it wrote, and they are those of a whole build."""
    site = tmp_path_factory.mktemp("preview")

    def again() -> set[str]:
        before = written(site)
        build(loaded(project, site, dirty=True), serve_url=ADDRESS, dirty=True)
        whole = tmp_path_factory.mktemp("whole")
        fresh = loaded(project, whole, dirty=False)
        # MkDocs keeps one plugin for all builds of a process; a whole build has to begin with nothing.
        ninety = fresh.plugins["ninety"]
        assert isinstance(ninety, NinetyPlugin)
        kept, ninety.preview = ninety.preview, Seen()
        build(fresh, serve_url=ADDRESS)
        ninety.preview = kept
        assert shown(site) == shown(whole)
        return {place for place, at in written(site).items() if before.get(place) != at}

    return again


def shown(site: Path) -> dict[str, str]:
    """All that a browser may ask for, but for the packed copy of the sitemap, which carries the time."""
    return {file.relative_to(site).as_posix(): file.read_bytes().hex() for file in sorted(site.rglob("*"))
            if file.is_file() and file.suffix != ".gz"}


def written(site: Path) -> dict[str, int]:
    """When each page was; not the bare ones that only send on to another."""
    return {file.parent.relative_to(site).as_posix(): file.stat().st_mtime_ns for file in site.rglob("index.html")
            if "md-header" in file.read_text()}


def edit(project: Path, old: str, new: str, name: str = "guide.yaml") -> None:
    path = project / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path)


def test_an_edit_writes_the_pages_that_show_it(project: Path, preview: Preview) -> None:
    assert "plans/fortnight/week-1" in preview()
    assert preview() == set()
    edit(project, "day_to_day: Code.", "day_to_day: Code, and meetings.")
    assert preview() == {"roles"}


def test_a_title_is_new_in_every_menu(project: Path, preview: Preview) -> None:
    everything = preview()
    edit(project, "title: Find things", "title: Find more things")
    assert preview() == everything


def test_a_section_named_by_its_page_follows_it(project: Path, preview: Preview) -> None:
    everything = preview()
    edit(project, "title: A fortnight", "title: Two weeks")
    assert preview() == everything


def test_a_page_that_is_no_more_goes(project: Path, preview: Preview) -> None:
    """Also out of the search, and every menu."""
    preview()
    edit(project, "week-2", "the-second-week")
    preview()
    edit(project, "the-second-week", "week-2")
    preview()


def test_hand_written_pages_and_the_theme_follow_too(project: Path, preview: Preview) -> None:
    everything = preview()
    edit(project, "One file.", "One file, two outputs.", "docs/edit.md")
    assert preview() == {"edit"}
    (project / "theme/404.html").unlink()
    assert preview() == everything
    settings(project, "site_name: Another\n")
    assert preview() == everything


def test_a_broken_guide_shows_on_every_page_until_it_is_mended(project: Path, preview: Preview) -> None:
    everything = preview()
    edit(project, "skill: python", "skill: pyhton")
    assert preview() == everything
    edit(project, "skill: pyhton", "skill: python")
    assert preview() == everything


def test_the_home_page_alone_takes_nothing_out_of_the_search(project: Path, preview: Preview) -> None:
    """Its address begins every other, which Material's own way of keeping entries takes for one page."""
    preview()
    edit(project, "tagline: What one needs, and no more.", "tagline: What one needs.")
    assert "." in preview()
