"""The journal: everything that counts, in the order in which it happened, never changed afterwards.

Points, streaks and places are computed from it (`scoring.py`, `standings.py`); a correction is a new event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, NewType, TypeAlias

from content.model import StepId, TaskId

Seq = NewType("Seq", int)
"""Place in the journal; grows, with gaps."""


@dataclass(frozen=True)
class Joined:
    at: datetime
    zone: str
    first: StepId
    """The step that was running; earlier ones do not concern this member."""


@dataclass(frozen=True)
class Moved:
    """From now on in another time zone; counts from the next step that opens."""

    at: datetime
    zone: str


@dataclass(frozen=True)
class CheckedIn:
    """What a member says of a step. A later one for the same step amends it."""

    at: datetime
    step: StepId
    done: tuple[TaskId, ...]
    hours: float | None
    links: tuple[str, ...]
    notes: str
    confidence: str


@dataclass(frozen=True)
class Rested:
    at: datetime
    step: StepId


@dataclass(frozen=True)
class Granted:
    """Points by hand, up or down; the reason is shown to the member."""

    at: datetime
    points: int
    reason: str
    by: str


@dataclass(frozen=True)
class Voided:
    """As if the event `of` had not happened; the reason is shown to the member."""

    at: datetime
    of: Seq
    reason: str
    by: str


@dataclass(frozen=True)
class Left:
    at: datetime


Event: TypeAlias = Joined | Moved | CheckedIn | Rested | Granted | Voided | Left


class Entry(NamedTuple):
    seq: Seq
    event: Event
    request: str
    """What the event answered to; the same request has no second effect."""


Journal: TypeAlias = tuple[Entry, ...]
"""One member's events, oldest first."""


def standing_events(journal: Iterable[Entry]) -> list[Event]:
    """The events that count: without what was voided, and without the voidings."""
    entries = list(journal)
    events = [entry.event for entry in entries]
    if Voided not in map(type, events):
        return events
    void: set[Seq] = set()
    for entry in reversed(entries):  # the latest first, because a voiding may itself be voided
        if isinstance(entry.event, Voided) and entry.seq not in void:
            void.add(entry.event.of)
    return [entry.event for entry in entries if entry.seq not in void and not isinstance(entry.event, Voided)]
