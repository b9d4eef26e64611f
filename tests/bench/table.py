"""What the benches measured, collected into one table and one plot: ours beside its peer, and what was asked of us."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"
HEADINGS = ("bench", "peer", "its figure", "ours", "ratio", "asked", "met")


@dataclass(frozen=True)
class Row:
    bench: str
    peer: str
    unit: str
    floor: float
    ours: float
    limit: float | None
    """Of `ratio`; None where nothing was asked."""
    at_least: bool

    @property
    def ratio(self) -> float:
        return self.ours / self.floor

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


rows: list[Row] = []


def record(bench: str, ours: float, floor: float, limit: float | None, unit: str = "ms", peer: str = "bare driver", *,
           at_least: bool = False) -> float:
    """The ratio. `at_least`: more is better, as of a throughput. It asserts nothing: a test does, with some room for
    machines that others use as well."""
    row = Row(bench, peer, unit, floor, ours, limit, at_least)
    rows.append(row)
    CACHE.mkdir(exist_ok=True)
    (CACHE / "bench.json").write_text(
        json.dumps([{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows], indent=1), encoding="utf-8")
    return row.ratio


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[ceil(share * len(values)) - 1]


@contextmanager
def undisturbed() -> Iterator[None]:
    """No pause of this process for garbage: it would be counted against whoever is being measured."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def table() -> str:
    shown = [HEADINGS] + [
        (row.bench, row.peer, _figure(row.floor, row.unit), _figure(row.ours, row.unit), f"{row.ratio:.3g}",
         "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {row.limit:g}",
         {None: "", True: "yes", False: "NO"}[row.met]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    left = {0, 1, len(widths) - 1}
    lines = ["  ".join(f"{word:{'<' if number in left else '>'}{width}}"
                       for number, (word, width) in enumerate(zip(line, widths, strict=True))).rstrip()
             for line in shown]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def _figure(value: float, unit: str) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 4}f} {unit}"


def plot() -> Path:
    """What each costs us, in multiples of what it costs the peer; the mark is what was asked."""
    # Half a second to import, and only here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.2 + 0.36 * len(rows)), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        cost, most = (share if share is None or not row.at_least else 1 / share for share in (row.ratio, row.limit))
        assert cost is not None
        colour = {None: "#9aa5b1", True: "#3f8f5f", False: "#c8553d"}[row.met]
        axes.barh(place, cost - 1, left=1, height=0.62, color=colour)
        if most is not None:
            axes.plot([most, most], [place - 0.42, place + 0.42], color="#1f2933", linewidth=2.2)
        axes.annotate(f"{row.ratio:.3g}×{' more' if row.at_least else ''}",  # noqa: RUF001
                      (max(cost, 1, most or 1), place), xytext=(5, 0), textcoords="offset points", va="center",
                      fontsize=8.5)
    axes.axvline(1, color="#52606d", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(rows)), [f"{row.bench} · {row.peer}" for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.01)
    axes.grid(axis="x", color="#e4e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.supxlabel("what it costs us, in multiples of what it costs the peer (1); black: the most that was asked",
                     fontsize=9)
    to = CACHE / "bench.png"
    figure.savefig(to)
    return to
