"""docs/discord.md and docs/slack.md show and quote what the bot says today."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import bot.discord.platform
import bot.slack.clients
import bot.slack.platform
import bot.slack.transports
from content.loading import default_path, load
from content.model import Guide
from tests.pictures.pages import LAYOUTS, digest
from tests.pictures.season import season
from tests.pictures.sketches import SKETCHES, WIDTH

PAGES = {name: (Path(__file__).parents[2] / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in LAYOUTS}
KEPT: dict[str, dict[str, dict[str, str | int]]] = {
    name: json.loads(layout.remembered.read_text(encoding="utf-8")) for name, layout in LAYOUTS.items()}
SPEAKS: Mapping[str, tuple[ModuleType, ...]] = {
    "discord": (bot.discord.platform,),
    "slack": (bot.slack.platform, bot.slack.clients, bot.slack.transports),
}
"""The code whose refusals an organiser reads."""
HEAVIEST = 80_000
"""Bytes of a picture: somebody may read the page on a phone, on a train."""
PLATFORMS = pytest.mark.parametrize("platform", LAYOUTS)


@cache
def guide() -> Guide:
    return load(default_path())


@PLATFORMS
async def test_every_picture_shows_what_the_bot_says_today(platform: str) -> None:
    layout = LAYOUTS[platform]
    today = {name: digest(page) for name, page in layout.pages(await season(guide(), layout.screen)).items()}
    drawn = {name: kept["page"] for name, kept in KEPT[platform].items()}
    stale = sorted(name for name in today.keys() | drawn.keys() if today.get(name) != drawn.get(name))
    assert stale == [], "run `make pictures`: these show other words than today's"


@PLATFORMS
def test_every_sketch_is_the_one_that_is_drawn_today(platform: str) -> None:
    drawn = {file.stem: file.read_text(encoding="utf-8") for file in LAYOUTS[platform].folder.glob("*.svg")}
    assert drawn == {name: sketch.svg for name, sketch in SKETCHES[platform].items()}, "run `make pictures`"


@PLATFORMS
def test_the_page_shows_every_picture_once_in_words_too(platform: str) -> None:
    """And keeps its room, so that the text does not jump when it comes."""
    page, kept = PAGES[platform], KEPT[platform]
    shown = re.findall(
        rf"!\[(.*?)\]\(assets/{platform}/(.+?)\)\{{ loading=lazy width=(\d+) height=(\d+) \}}", page)
    sketches = {f"{name}.svg": (WIDTH, sketch.height) for name, sketch in SKETCHES[platform].items()}
    assert {name: (int(width), int(height)) for _, name, width, height in shown} == sketches | {
        f"{name}.png": (one["width"], one["height"]) for name, one in kept.items()}
    assert len(shown) == len(sketches) + len(kept) == page.count("![")
    assert [name for words, name, _, _ in shown if len(words.split()) < 12] == []


@pytest.mark.parametrize(("platform", "name"), [(platform, name) for platform in LAYOUTS for name in KEPT[platform]])
def test_a_picture_is_light_and_sharp(platform: str, name: str) -> None:
    file, kept = LAYOUTS[platform].folder / f"{name}.png", KEPT[platform][name]
    with Image.open(file) as picture:
        assert picture.size == (2 * int(kept["width"]), 2 * int(kept["height"]))
    assert file.stat().st_size <= HEAVIEST


def sentences(module: ModuleType) -> Iterator[str]:
    """Every text in the code, with a NUL where it is filled in by more than a constant."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(filled(part, module) for part in node.values).replace("<@&\0>", "\0")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def filled(part: ast.expr, module: ModuleType) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    known = getattr(module, part.value.id, None) if isinstance(part.value, ast.Name) else None
    return known if isinstance(known, str) else "\0"


def said(voice: object) -> Iterator[str]:
    """What the guide has the bot say, without its marks of code, and with a NUL where it is filled in."""
    if isinstance(voice, str):
        yield re.sub(r"\{\w+\}", "\0", voice.replace("`", ""))
    elif isinstance(voice, dict):
        for one in voice.values():
            yield from said(one)


@PLATFORMS
def test_the_page_quotes_the_bot_to_the_letter(platform: str) -> None:
    texts = [*said(guide().voice.model_dump()), *(text for module in SPEAKS[platform] for text in sentences(module))]
    # What is little more than what is filled in would allow any words.
    known = [re.compile(re.escape(text).replace("\0", ".+")) for text in texts if len(text.replace("\0", "")) >= 20]
    quoted = re.findall("“(.+?)”", PAGES[platform])
    assert len(quoted) >= 6
    assert [words for words in quoted if not any(one.fullmatch(words) for one in known)] == []
