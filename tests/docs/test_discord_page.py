"""docs/discord.md shows and quotes what the bot says today."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from bot.discord import platform
from content.loading import default_path, load
from tests.pictures.pages import FOLDER, REMEMBERED, digest, pages
from tests.pictures.season import season
from tests.pictures.sketches import HEIGHTS, SKETCHES, WIDTH

PAGE = (Path(__file__).parents[2] / "docs" / "discord.md").read_text(encoding="utf-8")
KEPT: dict[str, dict[str, str | int]] = json.loads(REMEMBERED.read_text(encoding="utf-8"))
HEAVIEST = 80_000
"""Bytes of a picture: somebody may read the page on a phone, on a train."""


async def test_every_picture_shows_what_the_bot_says_today() -> None:
    today = {name: digest(page) for name, page in pages(await season(load(default_path()))).items()}
    drawn = {name: kept["page"] for name, kept in KEPT.items()}
    stale = sorted(name for name in today.keys() | drawn.keys() if today.get(name) != drawn.get(name))
    assert stale == [], "run `make pictures`: these show other words than today's"


def test_every_sketch_is_the_one_that_is_drawn_today() -> None:
    assert {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.svg")} == SKETCHES, \
        "run `make pictures`"


def test_the_page_shows_every_picture_once_in_words_too() -> None:
    """And keeps its room, so that the text does not jump when it comes."""
    shown = re.findall(r"!\[(.*?)\]\(assets/discord/(.+?)\)\{ loading=lazy width=(\d+) height=(\d+) \}", PAGE)
    sketches = {f"{name}.svg": (WIDTH, height) for name, height in HEIGHTS.items()}
    assert {name: (int(width), int(height)) for _, name, width, height in shown} == sketches | {
        f"{name}.png": (kept["width"], kept["height"]) for name, kept in KEPT.items()}
    assert len(shown) == len(sketches) + len(KEPT) == PAGE.count("![")
    assert [name for words, name, _, _ in shown if len(words.split()) < 12] == []


@pytest.mark.parametrize("name", KEPT)
def test_a_picture_is_light_and_sharp(name: str) -> None:
    file = FOLDER / f"{name}.png"
    with Image.open(file) as picture:
        assert picture.size == (2 * int(KEPT[name]["width"]), 2 * int(KEPT[name]["height"]))
    assert file.stat().st_size <= HEAVIEST


def sentences() -> list[re.Pattern[str]]:
    """Every text in the code that speaks to Discord, with anything where it is filled in."""
    found = []
    for node in ast.walk(ast.parse(inspect.getsource(platform))):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = [node.value]
        else:
            continue
        found.append(re.compile(re.escape("".join(parts).replace("<@&\0>", "\0")).replace("\0", ".+")))
    return found


def test_the_page_quotes_the_bot_to_the_letter() -> None:
    known, quoted = sentences(), re.findall("“(.+?)”", PAGE)
    assert len(quoted) >= 6
    assert [words for words in quoted if not any(one.fullmatch(words) for one in known)] == []
