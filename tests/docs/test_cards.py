"""Cards: one for each page of a site that knows its address, none for any other; every title fits."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from docs import cards
from docs.cards import Card, card, keeping
from docs.pages import Page
from tests.content.build import SMALL, edited

ROOT = Path(__file__).parents[2]
SITE = "https://example.org/ninety/"
TITLES = {
    "usual": "3 · Retrieval that you can measure", "empty": "", "blank": " \n\t", "long": "What gets hired " * 400,
    "one long word": "x" * 2000, "mathematics": "$x^2$ costs \\$5", "two lines": "One\nTwo\0",
    "Hebrew": "מדריך למהנדסים", "Arabic": "دليل المهندس إلى AI", "no face has it": "中文标题 🙂",
}


class _Head(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        name = values.get("property") or values.get("name") or ""
        if tag == "meta" and name.startswith(("og:", "twitter:")):
            assert name not in self.found
            self.found[name] = values["content"] or ""


def picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def words(title: str, section: str = "") -> tuple[int, int, int, int] | None:
    """The box (left, top, right, bottom) of what clearly differs from a card without words."""
    # Words change the few shades that the file has, and so the arc by a little.
    change = ImageChops.difference(picture(card(title, section)), picture(card("", ""))).convert("L")
    return change.point([255 * (shade > 60) for shade in range(256)]).getbbox()


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
def test_every_title_fits(title: str) -> None:
    """Beside the arc, between the section and our name; a sign that no face has is no warning, or this would fail."""
    png = card(title, "Plans")
    assert png.startswith(b"\x89PNG") and picture(png).size == (1200, 630)
    box = words(title)
    assert (box is None) == (not title.split())
    if box:
        left, top, right, bottom = box
        assert (left >= 74, top >= 140, right <= 790, bottom <= 480) == (True, True, True, True), box


def test_a_long_section_stays_on_its_line() -> None:
    box = words("", "Plans · " + "Ninety days " * 40)
    assert box and box[0] >= 74 and box[2] <= 790 and box[3] <= 146


def test_a_card_is_the_same_whatever_was_drawn_before() -> None:
    """All are drawn on one canvas."""
    first = card("Pay", "Getting the job")
    assert card("What gets hired", "") != first
    assert card("Pay", "Getting the job") == first


def test_words_that_run_to_the_left_begin_at_the_right() -> None:
    """The whole title, even where a line of it is in Latin letters."""
    latin, hebrew, mixed = words("Guide"), words("מדריך"), words("מדריך engineering")
    assert latin and hebrew and mixed
    assert latin[0] < 100
    assert hebrew[2] > 750 and hebrew[0] > 300
    assert mixed[2] > 750 and mixed[0] > 200


def test_a_card_is_drawn_once(tmp_path: Path) -> None:
    asked = []

    def draw(title: str, section: str) -> bytes:
        asked.append((title, section))
        return f"{title}/{section}".encode()

    for _ in range(2):
        kept = keeping(tmp_path / "kept", draw)
        assert [kept("a", "b"), kept("ab", "")] == [b"a/b", b"ab/"]
    assert asked == [("a", "b"), ("ab", "")]
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_no_two_pages_share_a_card() -> None:
    """Which names made of dashes alone would do."""
    pages = [Page("index.md", "Home", ""), Page("a-b/c.md", "C", "", ("A", "B")), Page("a/b-c.md", "D", "")]
    assert cards.cards(pages, "A guide") == {
        "index.md": Card("A guide", "", "assets/cards/index.png"),
        "a-b/c.md": Card("C", "A · B", "assets/cards/a-b/c.png"), "a/b-c.md": Card("D", "", "assets/cards/a/b-c.png")}


def test_matplotlib_waits_for_the_first_card() -> None:
    code = "import sys, docs.cards; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0  # noqa: S603  our own


def build(project: Path, site: str, guide: str = SMALL) -> Path:
    (project / "guide.yaml").write_text(guide)
    (project / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: {ROOT}/docs\ntheme:\n  custom_dir: {ROOT}/docs/theme\n"
        "plugins:\n  ninety:\n    guide: guide.yaml\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(project / "mkdocs.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False,  # noqa: S603  our own command
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NINETY_SITE_URL": site})
    assert (done.returncode, done.stderr) == (0, "")
    return project / "site"


def test_a_site_without_an_address_has_no_cards(tmp_path: Path) -> None:
    site = build(tmp_path, "")
    assert not (site / "assets/cards").exists() and not (tmp_path / ".cache/ninety-cards").exists()
    assert [page for page in site.rglob("*.html") if "og:" in page.read_text() or "twitter:" in page.read_text()] == []


def test_every_page_names_its_card_by_the_whole_address(tmp_path: Path) -> None:
    """With or without the slash at the end of NINETY_SITE_URL; what the guide says stays words."""
    site = build(tmp_path, SITE.rstrip("/"), edited(("title: Find things", "title: 'Find <b>\"things\"</b> & more'"),
                                                    ("goal: Search by meaning", "goal: 'Say \"yes\" </title>'")))
    found = {page: _Head(page.read_text()).found for page in site.rglob("index.html")
             if "<title>Moved" not in page.read_text()}
    for page, head in found.items():
        assert head, page
        address = page.parent.relative_to(site).as_posix()
        assert head["og:url"] == (SITE if address == "." else f"{SITE}{address}/")
        assert picture((site / head["og:image"].removeprefix(SITE)).read_bytes()).size == (1200, 630)
    assert len({head["og:image"] for head in found.values()}) == len(found)
    assert found[site / "plans/fortnight/week-1/index.html"] == {
        "og:title": 'Week 1: Find <b>"things"</b> & more', "og:description": 'Say "yes" </title>', "og:type": "article",
        "og:url": f"{SITE}plans/fortnight/week-1/", "og:image": f"{SITE}assets/cards/plans/fortnight/week-1.png",
        "twitter:card": "summary_large_image"}
    assert found[site / "join/index.html"]["og:title"] == "Join a cohort"
    assert found[site / "index.html"]["og:title"] == "A guide" and found[site / "index.html"]["og:type"] == "website"
