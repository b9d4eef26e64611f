"""The time bar of the demo: a cohort lives ninety days, and nobody wants to wait that long to see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Outlook:
    """What the bar shows."""

    now: datetime
    zone: str
    """The cohort's, an IANA name."""
    next: str
    """What is due next, in a few words such as "Week 3 opens"; empty when nothing is."""
    next_at: datetime | None = None
    ended: bool = False


class TimeBar(Protocol):
    """Moves the virtual clock and lets everything happen that falls due on the way. Only one move runs at a time."""

    async def next_post(self) -> None:
        """To the next thing that the bot says."""

    async def advance(self, days: int) -> None:
        """1 or 7."""

    def outlook(self) -> Outlook: ...
