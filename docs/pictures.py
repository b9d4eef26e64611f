"""What the pages draw: pay as it is claimed, what builds on what, plans side by side. A picture is one line of SVG.

A sketch is what is to be shown, in plain words; `drawn` shows it, `keeping` remembers it on disk. Text stays text, and
every colour is a custom property of the page, so that a picture follows its scheme. Matplotlib takes half a second to
load, so it is loaded when something has to be drawn for the first time.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 760
"""Of most pictures, in pixels; their text is 13 of them high, the page's own size when the picture fills its column."""

MOST = 5
"""Nodes in a row of the map, if they can be spread."""

COLOURS = ("ink", "ink-2", "line", "paper", "panel", "accent", "warm", "phase-1", "phase-2", "phase-3", "phase-4")
_STAND_INS = {name: f"#0000{number:02x}" for number, name in enumerate(COLOURS, start=1)}
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Band:
    """A bar from `low` to `high`."""

    label: str
    low: int
    high: int
    open_ended: bool
    basis: str


@dataclass(frozen=True)
class PayRanges:
    """Bars in groups, thousands of one currency a year."""

    title: str
    description: str
    groups: tuple[tuple[str, tuple[Band, ...]], ...]

    def draw(self) -> tuple[float, float, Callable[[Axes], None]]:
        row, head, left, right = 25, 40, 236, WIDTH - 112
        bands = [band for _, bands in self.groups for band in bands]
        most = 50 * math.ceil(max(band.high for band in bands) / 50)
        least = 50 * math.floor(min(band.low for band in bands) / 50)
        if least == most:
            most += 50
        height = head + sum(row * (len(bands) + 1.4) for _, bands in self.groups) + 34
        shades = {"base": "phase-3", "total": "warm", "not said": "phase-1"}

        def x(amount: float) -> float:
            return left + (right - left) * (amount - least) / (most - least)

        def paint(ax: Axes) -> None:
            y: float = head
            for amount in range(least, most + 1, 50 if most - least <= 500 else 100):
                _line(ax, [(x(amount), head - 8), (x(amount), height - 38)], "line", 1)
                _text(ax, x(amount), 20, f"{amount}k", "ink-2", align="center")
            for group, bars in self.groups:
                y += row * .95
                _text(ax, 0, y - 6, group, "ink", weight=600)
                for bar in bars:
                    _box(ax, x(bar.low), y + 7, x(bar.high) - x(bar.low), 13, shades[bar.basis])
                    if bar.open_ended:
                        _shape(ax, [(x(bar.high) + 2, y + 7), (x(bar.high) + 9, y + 13.5), (x(bar.high) + 2, y + 20)],
                               shades[bar.basis])
                    _text(ax, 12, y + 14, _short(bar.label, 34), "ink-2")
                    beside = x(bar.high) + (16 if bar.open_ended else 8)
                    _text(ax, beside, y + 14, f"{bar.low}\N{EN DASH}{bar.high}k{'+' if bar.open_ended else ''}", "ink")
                    y += row
                y += row * .45
            at = float(left)
            meaning = {"base": "base pay", "total": "with shares and bonus", "not said": "not said which"}
            for basis, words in meaning.items():
                if any(band.basis == basis for band in bands):
                    _box(ax, at, height - 20, 13, 13, shades[basis])
                    _text(ax, at + 20, height - 13, words, "ink-2")
                    at += 42 + 7 * len(words)

        return WIDTH, height, paint


@dataclass(frozen=True)
class Node:
    """A skill; `style` is its grade."""

    id: str
    label: str
    style: str
    builds_on: tuple[str, ...]


@dataclass(frozen=True)
class SkillMap:
    """What builds on what, foundations on top."""

    title: str
    description: str
    nodes: tuple[Node, ...]
    legend: tuple[tuple[str, str], ...]
    """(style, words)"""

    def draw(self) -> tuple[float, float, Callable[[Axes], None]]:
        rows = layers(self.nodes)
        wide, high, gap = 138, 44, 46
        width = max(WIDTH, max(map(len, rows)) * (wide + 14))
        place: dict[str, tuple[float, float]] = {}
        for depth, nodes in enumerate(rows):
            share = width / len(nodes)
            for index, node in enumerate(nodes):
                place[node.id] = share * (index + .5), 8 + high / 2 + depth * (high + gap)
        height = 8 + len(rows) * (high + gap) - gap + 44
        edges = {"must": "accent", "differentiator": "warm", "skip": "ink-2"}

        def paint(ax: Axes) -> None:
            for node in self.nodes:
                x, y = place[node.id]
                for below in node.builds_on:
                    from_x, from_y = place[below]
                    start, end, bend = from_y + high / 2, y - high / 2, gap * .6
                    _curve(ax, [(from_x, start), (from_x, start + bend), (x, end - bend), (x, end)], "ink-2", .55)
            for node in self.nodes:
                x, y = place[node.id]
                _box(ax, x - wide / 2, y - high / 2, wide, high, "panel", edge=edges[node.style],
                     dashed=node.style == "skip", rounded=4)
                lines = textwrap.wrap(_short(node.label, 42), 21)[:2] or [""]
                for index, line in enumerate(lines):
                    _text(ax, x, y + 16 * (index - (len(lines) - 1) / 2), line, "ink", align="center", size=12.5)
            at = 2.0
            for style, words in self.legend:
                _box(ax, at, height - 20, 20, 13, "panel", edge=edges[style], dashed=style == "skip", rounded=3)
                _text(ax, at + 28, height - 13, words, "ink-2")
                at += 56 + 7.4 * len(words)

        return width, height, paint


@dataclass(frozen=True)
class Stretch:
    """A plan as steps one after the other: (days, number of the phase)."""

    label: str
    note: str
    days: int
    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class TimeLine:
    """Plans side by side, all from day one."""

    title: str
    description: str
    plans: tuple[Stretch, ...]

    def draw(self) -> tuple[float, float, Callable[[Axes], None]]:
        row, top, left, right = 60, 40, 4, WIDTH - 8
        longest = max(plan.days for plan in self.plans)
        every = next((days for days in (7, 14, 30, 60, 90, 180) if longest / days <= 9), 360)
        height = top + row * len(self.plans)

        def x(day: float) -> float:
            return left + (right - left) * day / longest

        def paint(ax: Axes) -> None:
            for day in range(0, longest + 1, every):
                _line(ax, [(x(day), top - 10), (x(day), height)], "line", 1)
                if day and x(day) < right - 16:
                    _text(ax, x(day), 18, f"{day}", "ink-2", align="center")
            _text(ax, left, 18, "day 1", "ink-2")
            for number, plan in enumerate(self.plans):
                y = top + row * number
                _text(ax, left + 4, y + 12, plan.label, "ink", weight=600)
                # Measured in letters, for a browser sets them in another face than Matplotlib knows.
                _text(ax, max(left + 16 + 7.2 * len(plan.label), 0), y + 12, plan.note, "ink-2")
                begun = 0
                for days, phase in plan.steps:
                    inset = .8 if x(days) - x(0) > 4 else 0
                    _box(ax, x(begun) + inset, y + 26, max(x(begun + days) - x(begun) - 2 * inset, .5), 18,
                         f"phase-{(phase - 1) % 4 + 1}")
                    begun += days

        return WIDTH, height, paint


Sketch: TypeAlias = PayRanges | SkillMap | TimeLine
Artist: TypeAlias = Callable[[Sketch], str]


def layers(nodes: Sequence[Node]) -> list[list[Node]]:
    """Rows in which each node stands below all that it builds on, ordered so that few lines cross.

    What builds on nothing and carries nothing would crowd the first row, and comes last.
    """
    known = {node.id: node for node in nodes}
    carried = {below for node in nodes for below in node.builds_on}

    @lru_cache(None)
    def depth(node_id: str) -> int:
        return max((depth(below) + 1 for below in known[node_id].builds_on), default=0)

    rows: dict[int, list[Node]] = defaultdict(list)
    alone = [node for node in nodes if not node.builds_on and node.id not in carried]
    for node in nodes:
        if node not in alone:
            rows[depth(node.id)].append(node)
    # A crowded row hands on what nothing in the next one waits for.
    number = 0
    while rows[number]:
        below = {needed for node in rows[number + 1] for needed in node.builds_on}
        free = [node for node in rows[number] if node.id not in below]
        free.sort(key=lambda node: node.id in carried)
        while len(rows[number]) > MOST and free:
            rows[number].remove(moved := free.pop(0))
            rows[number + 1].append(moved)
        number += 1
    ordered = [rows[number] for number in sorted(rows) if rows[number]]
    for downwards in (True, False) * 4:
        place = {node.id: (index + .5) / len(row) for row in ordered for index, node in enumerate(row)}
        for row in ordered if downwards else reversed(ordered):
            def middle(node: Node, place: dict[str, float] = place, downwards: bool = downwards) -> float:
                beside: Iterable[str] = node.builds_on if downwards else (
                    other.id for other in nodes if node.id in other.builds_on)
                found = [place[other] for other in beside]
                return sum(found) / len(found) if found else place[node.id]

            row.sort(key=middle)
            place.update({node.id: (index + .5) / len(row) for index, node in enumerate(row)})
    return [*ordered, alone] if alone else ordered


@lru_cache(64)
def drawn(sketch: Sketch) -> str:
    """The sketch as `<svg>` on one line, with its title and description for those who do not see it."""
    # The first drawing on a machine is otherwise announced with "building the font cache", which a strict build fails.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    width, height, paint = sketch.draw()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ninety", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(figure)
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        paint(ax)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return _dressed(buffer.getvalue(), sketch)


def keeping(folder: Path) -> Artist:
    """Draws what is not in the folder yet; a picture's name is made of all that it shows and of how we draw."""
    how = Path(__file__).read_bytes()

    def kept(sketch: Sketch) -> str:
        file = folder / f"{hashlib.sha256(how + repr(sketch).encode()).hexdigest()[:24]}.svg"
        if file.exists():
            return file.read_text(encoding="utf-8")
        svg = drawn(sketch)
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a build beside this one never reads half a picture.
        half = file.with_suffix(f".{os.getpid()}")
        half.write_text(svg, encoding="utf-8")
        half.replace(file)
        return svg

    return kept


# --- the brush --------------------------------------------------------------------------------------------------------


def _text(ax: Axes, x: float, y: float, words: str, colour: str, *, align: str = "left", weight: int = 400,
          size: float = 13) -> None:
    ax.text(x, y + size * .36, words, fontsize=size, color=_STAND_INS[colour], ha=align, va="baseline",
            fontweight=weight, parse_math=False)


def _line(ax: Axes, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
    ax.plot(*zip(*points, strict=True), color=_STAND_INS[colour], linewidth=width, clip_on=False, zorder=0)


def _curve(ax: Axes, points: Sequence[tuple[float, float]], colour: str, opacity: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Way

    way = Way(points, [Way.MOVETO, Way.CURVE4, Way.CURVE4, Way.CURVE4])
    ax.add_patch(PathPatch(way, facecolor="none", edgecolor=_STAND_INS[colour], linewidth=1.3, alpha=opacity,
                           clip_on=False))


def _shape(ax: Axes, points: Sequence[tuple[float, float]], colour: str) -> None:
    from matplotlib.patches import Polygon

    ax.add_patch(Polygon(points, facecolor=_STAND_INS[colour], edgecolor="none", clip_on=False))


def _box(ax: Axes, x: float, y: float, width: float, height: float, colour: str, *, edge: str | None = None,
         dashed: bool = False, rounded: float = 0) -> None:
    from matplotlib.patches import FancyBboxPatch

    style: Any = f"round,pad=0,rounding_size={rounded}" if rounded else "square,pad=0"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=_STAND_INS[colour],
                                edgecolor=_STAND_INS[edge] if edge else "none", linewidth=1.8,
                                linestyle=(0, (3, 2)) if dashed else "solid", clip_on=False))


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip(" ,;") + "…"


def _dressed(svg: bytes, sketch: Sketch) -> str:
    """Matplotlib's file as an element for a page: our colours, our face, no ids but our own."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)  # noqa: S314  Matplotlib wrote it a moment ago
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(sketch).__name__).lower()
    name += f"-{hashlib.sha256(sketch.title.encode()).hexdigest()[:6]}"
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img", "aria-labelledby": f"{name}-title", "aria-describedby":
                        f"{name}-desc", "style": f"--width: {float(view.split()[2]):g}px"})
    for tag in ("metadata", "defs"):
        for child in root.findall(f"{{{_SVG}}}{tag}"):
            root.remove(child)
    for element in root.iter():
        element.attrib.pop("id", None)
        style = re.sub(r" ?font-family:[^;]*;?", "", element.attrib.get("style", ""))
        style = style.replace("stroke-linejoin: miter", "").replace("; ;", ";").strip("; ")
        for colour, stand_in in _STAND_INS.items():
            style = style.replace(stand_in, f"var(--{colour})")
        element.attrib.pop("style", None)
        if element.tag != root.tag and style:
            element.attrib["style"] = style
        if re.fullmatch(r"rotate\(-?0 .*\)", element.attrib.get("transform", "")):
            del element.attrib["transform"]
        for key in ("x", "y"):
            if key in element.attrib:
                element.attrib[key] = f"{float(element.attrib[key]):.1f}"
        if "d" in element.attrib:
            way = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}", element.attrib["d"])
            element.attrib["d"] = " ".join(way.split())
        element.tail = None
        if element.text and not element.text.strip():
            element.text = None
    root.attrib["style"] = f"--width: {float(view.split()[2]):g}px"
    for position, (tag, words) in enumerate((("title", sketch.title), ("desc", sketch.description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = words
        root.insert(position, element)
    return " ".join(ElementTree.tostring(root, encoding="unicode").split("\n"))
