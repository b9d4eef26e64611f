"""Pictures: text that stays text, colours of the page, words for those who do not see them, drawn once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from content.loading import parse
from docs import pictures
from docs.pages import pages
from docs.pictures import Band, Node, PayRanges, Sketch, SkillMap, Stretch, TimeLine, drawn, keeping, layers
from tests.content.build import SMALL

SVG = "{http://www.w3.org/2000/svg}"
PAY = PayRanges("Pay <b>", "From & to", (("Products $x^2$", (
    Band("Senior", 150, 200, True, "base"), Band("Junior", 90, 90, False, "total"))),))
MAP = SkillMap("Map", "Lines", (Node("a", "First", "must", ()), Node("b", "Second", "skip", ("a",))),
               (("must", "Must have"),))
LINE = TimeLine("Plans", "Side by side", (Stretch("Short", "14 days", 14, ((7, 1), (7, 2))),
                                          Stretch("Long", "2 years", 730, ((365, 1), (365, 5)))))


@pytest.mark.parametrize("sketch", [PAY, MAP, LINE])
def test_a_picture_can_be_read_without_seeing_it(sketch: Sketch) -> None:
    """Its role, title and description are told, and its text is text."""
    root = ElementTree.fromstring(drawn(sketch))  # noqa: S314  our own
    assert root.attrib["role"] == "img"
    title, description = root.findall(f"{SVG}title") + root.findall(f"{SVG}desc")
    assert (title.text, description.text) == (sketch.title, sketch.description)
    assert root.attrib["aria-labelledby"] == title.attrib["id"]
    assert root.attrib["aria-describedby"] == description.attrib["id"]
    assert len(list(root.iter(f"{SVG}text"))) > 2


@pytest.mark.parametrize("sketch", [PAY, MAP, LINE])
def test_a_picture_has_no_colours_and_ids_of_its_own(sketch: Sketch) -> None:
    """So that it follows light and dark, and stands on a page beside others."""
    svg = drawn(sketch)
    assert "#0" not in svg and "rgb" not in svg and "font-family" not in svg
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", svg)) <= set(pictures.COLOURS)
    assert len(re.findall(r' id="', svg)) == 2
    assert "\n" not in svg


def test_words_are_drawn_as_they_are() -> None:
    """No mathematics, no markup."""
    assert "Products $x^2$" in drawn(PAY)
    assert "<b>" not in drawn(PAY)


def test_rows_stand_on_what_they_build_on() -> None:
    """And none is wider than it has to be."""
    nodes = [Node("base", "Base", "must", ()), *(Node(f"n{n}", "N", "must", ("base",)) for n in range(7)),
             Node("top", "Top", "must", ("n0",)), Node("alone", "Alone", "skip", ())]
    rows = layers(nodes)
    depth = {node.id: number for number, row in enumerate(rows) for node in row}
    assert all(depth[below] < depth[node.id] for node in nodes for below in node.builds_on)
    assert max(map(len, rows)) <= pictures.MOST
    assert [node.id for node in rows[-1]] == ["alone"]


def test_a_picture_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next build reads it, and does not load Matplotlib at all."""
    first = keeping(tmp_path)(MAP)
    monkeypatch.setattr(pictures, "drawn", lambda sketch: pytest.fail("drawn again"))
    assert keeping(tmp_path)(MAP) == first
    with pytest.raises(pytest.fail.Exception):
        keeping(tmp_path)(LINE)


def test_the_library_is_not_loaded_with_the_pages() -> None:
    """It costs half a second, which nobody pays who draws nothing."""
    code = "import docs.pages, sys; sys.exit('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False,  # noqa: S603  our own command
                          cwd=Path(pictures.__file__).parents[1])
    assert done.returncode == 0


def test_what_a_picture_shows_stands_beside_it_in_words() -> None:
    made = {page.path: page.markdown for page in pages(parse(SMALL))}
    for path, words in {"pay.md": "| Senior | **USD 150k", "skills/index.md": "Builds on [Python]",
                        "plans/index.md": "| 14 | 2 | 11.5 |"}.items():
        assert 'role="img"' in made[path] and words in made[path]
