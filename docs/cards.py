"""What a link to a page looks like where people share it: a card with the page's title, a PNG of 1200 by 630 pixels.

Only a site that knows its own address has cards, for an image is named by its whole address in a page's head.
Matplotlib is loaded when a card has to be drawn; the drawn ones are kept on disk.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import unicodedata
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from docs.pages import Page

WIDTH, HEIGHT = 1200, 630
SIZES = (76, 66, 56, 48, 41, 35)
"""Of a title, in pixels."""

STYLES = Path(__file__).parent / "assets/ninety.css"
_LEFT, _RIGHT, _TOP, _FOOT = 80, 770, 484, 110
"""The column of words, the line below the section and the one that everything stands on; in pixels from below."""

Artist: TypeAlias = Callable[[str, str], bytes]
"""(title, section) → PNG."""
Canvas: TypeAlias = Any
"""Matplotlib's FigureCanvasAgg, most of whose methods have no types."""


class Card(NamedTuple):
    """Plain words, and the image's path below the root of the site."""

    title: str
    section: str
    path: str


def cards(pages: Iterable[Page], home: str) -> dict[str, Card]:
    """A card for each page, by the page's path; the home page's says `home`."""
    return {page.path: Card(home if page.path == "index.md" else page.title, " · ".join(page.place),
                            f"assets/cards/{page.path.removesuffix('.md')}.png") for page in pages}


def card(title: str, section: str) -> bytes:
    """The title as large as it fits, cut off where even the smallest does not; signs that our face lacks are boxes."""
    canvas, background = _sheet()
    with warnings.catch_warnings():
        # A strict build would fail for a title in Chinese.
        warnings.filterwarnings("ignore", message="(?s)Glyph .* missing from")
        canvas.restore_region(background)
        if section := _clean(section):
            line = _fitted(section, (26,), 30, "normal")[1][0]
            _write(canvas, line, _TOP + 30, 26, "accent", "normal", _leftwards(section))
        if title := _clean(title):
            size, lines = _fitted(title, SIZES, _TOP - _FOOT - 60, "bold")
            for number, line in enumerate(lines):
                _write(canvas, line, _TOP - 14 - size - number * size * 1.2, size, "ink", "bold", _leftwards(title))
        return _png(canvas)


def keeping(folder: Path, draw: Artist = card) -> Artist:
    """Draws what is not in the folder yet; a card's name is made of all that it shows and of how we draw."""
    how = Path(__file__).read_bytes() + repr(_colours()).encode()

    def kept(title: str, section: str) -> bytes:
        file = folder / f"{hashlib.sha256(how + repr((title, section)).encode()).hexdigest()[:24]}.png"
        if file.exists():
            return file.read_bytes()
        png = draw(title, section)
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a build beside this one never reads half a card.
        half = file.with_suffix(f".{os.getpid()}")
        half.write_bytes(png)
        half.replace(file)
        return png

    return kept


@lru_cache(1)
def _colours() -> dict[str, str]:
    """The light ones, for a card has no reader to ask."""
    root = STYLES.read_text(encoding="utf-8").partition(":root {")[2].partition("}")[0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", root))


@lru_cache(1)
def _sheet() -> tuple[Canvas, Any]:
    """The one canvas, and what all cards show: ninety degrees for ninety days as on the home page, and our name."""
    # As in pictures.py.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Arc

    colours = _colours()
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, facecolor=colours["paper"])
    canvas: Canvas = FigureCanvasAgg(figure)
    x, y, radius = 806, _FOOT, 306
    figure.add_artist(Line2D([x, x, x + 313], [y + 313, y, y], transform=None, color=colours["line"], linewidth=2))
    step = 90 / 13
    for week in range(13):
        arc = Arc((x, y), 2 * radius, 2 * radius, theta1=week * step + .55, theta2=(week + 1) * step - .55,
                  color=colours[f"phase-{min(week // 3, 3) + 1}"], linewidth=23, capstyle="butt")
        figure.add_artist(arc)
        arc.set_transform(_identity())
    canvas.draw()
    _write(canvas, "Ninety", _FOOT, 34, "accent", "bold")
    return canvas, canvas.copy_from_bbox(figure.bbox)


def _identity() -> Any:
    from matplotlib.transforms import IdentityTransform

    return IdentityTransform()


def _write(canvas: Canvas, words: str, y: float, size: float, colour: str, weight: str,
           leftwards: bool = False) -> None:
    from matplotlib.text import Text

    text = Text(_RIGHT if leftwards else _LEFT, y, words, color=_colours()[colour], family="DejaVu Sans",
                size=size, weight=weight, ha="right" if leftwards else "left", va="baseline", parse_math=False)
    text.set_figure(canvas.figure)
    text.draw(canvas.get_renderer())


def _leftwards(words: str) -> bool:
    """Whether the first letter that has a direction runs to the left, as Unicode's rule P2 says."""
    kinds = map(unicodedata.bidirectional, words)
    return next((kind != "L" for kind in kinds if kind in {"L", "R", "AL"}), False)


def _fitted(words: str, sizes: tuple[int, ...], height: float, weight: str) -> tuple[int, list[str]]:
    """(size, lines) of the largest size that fits; words are broken only if that is the only way."""
    for breaking in (False, True):
        for size in sizes:
            lines, most = _wrapped(words, size, weight, breaking), max(int(height / size / 1.2), 1)
            if lines and len(lines) <= most:
                return size, lines
    last = lines[most - 1]
    while last and _width(f"{last}…", weight) * size > _RIGHT - _LEFT:
        last = last[:-1].rstrip()
    return size, [*lines[: most - 1], f"{last}…"]


def _wrapped(words: str, size: int, weight: str, breaking: bool) -> list[str]:
    """Empty when a word is wider than the column and must not be broken."""
    room = (_RIGHT - _LEFT) / size
    lines: list[str] = []
    free = 0.0
    for word in words.split():
        wide = _width(word, weight) + .35
        if lines and wide <= free:
            lines[-1] += f" {word}"
            free -= wide
            continue
        while _width(word, weight) > room:
            if not breaking:
                return []
            widths = partial(_width_of_first, word, weight)
            end = max(bisect_right(range(1, len(word)), room, key=widths), 1)
            lines.append(word[:end])
            word = word[end:]
        lines.append(word)
        free = room - _width(word, weight)
    return lines


def _width_of_first(word: str, weight: str, signs: int) -> float:
    return _width(word[:signs], weight)


@lru_cache(4096)
def _width(words: str, weight: str) -> float:
    """In units of the size."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=100, weight=weight)
    # A hundredth more, because small letters are set to whole pixels.
    return float(_measure().get_text_width_height_descent(words, font, False)[0]) / 99


@lru_cache(1)
def _measure() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(8, 8, 72)  # type: ignore[no-untyped-call]  # as above


def _clean(words: str) -> str:
    """On one line, without what no face can draw, and no longer than a card could ever hold."""
    drawable = "".join(" " if unicodedata.category(sign) in {"Cc", "Cs"} else sign for sign in words)
    return " ".join(drawable.split())[:600]


def _png(canvas: Canvas) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.frombuffer("RGBA", (WIDTH, HEIGHT), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    # A quarter of the size that all colours take, and sooner written.
    picture = picture.convert("RGB").quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(buffer, "PNG")
    return buffer.getvalue()
