"""What the examinations of all platforms have in common: a finding, and the clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

TOLD, TOO_FAR = timedelta(seconds=2), timedelta(seconds=60)
"""How far the clocks may be apart before it is a note, and a problem."""


@dataclass(frozen=True)
class Finding:
    kind: Literal["ok", "problem", "note"]
    text: str


def apart(began: datetime, ended: datetime, said: datetime) -> timedelta:
    """How far our clock is ahead of theirs (below zero: behind) at the least, if between `began` and `ended` they said
    that it was `said`, in whole seconds."""
    ahead, behind = began - (said + timedelta(seconds=1)), said - ended
    return max(ahead, timedelta()) or -max(behind, timedelta())


def clocks(apart: timedelta, theirs: str) -> Finding:
    """`theirs` is whose clock it is, as `Discord's`."""
    if abs(apart) <= TOLD:
        return Finding("ok", f"this machine's clock agrees with {theirs}")
    far = f"{abs(apart).total_seconds():.0f} s {'ahead of' if apart > timedelta() else 'behind'}"
    said = f"this machine's clock is {far} {theirs}"
    if abs(apart) <= TOO_FAR:
        return Finding("note", f"{said}: let it set itself by network time (NTP)")
    return Finding("problem", f"{said}, so posts and deadlines come at the wrong time: let it set itself by network "
                              "time (NTP)")
