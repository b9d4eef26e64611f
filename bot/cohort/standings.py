"""Who stands where: equal totals share a place, and nobody's place depends on who joined first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    place: int
    name: str
    points: int


def standings(totals: Iterable[tuple[str, int]]) -> list[Standing]:
    """(name on the board, points) → places from 1; after two firsts comes a third. Who has no points has no place."""
    ranked = sorted((total for total in totals if total[1] > 0),
                    key=lambda total: (-total[1], total[0].lower(), total[0]))
    found: list[Standing] = []
    for index, (name, points) in enumerate(ranked, 1):
        place = found[-1].place if found and found[-1].points == points else index
        found.append(Standing(place, name, points))
    return found
