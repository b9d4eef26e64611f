"""One process at a time sends for a platform: the right to it is a lease in the database.

So the limits of a bot token are counted in one place, and no two send the same. Whoever holds the lease says every few
seconds that it lives; when it has been silent for a while, another candidate takes over. Nobody compares clocks: the
holder counts from before it spoke, the others from after they heard it, each by a clock of its own that is never set.
What the holder cannot finish before anybody else may take over, it does not begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from bot.ledger import Ledger, Sender, Unsaved

log = logging.getLogger(__name__)

SILENCE = 24.0
"""Seconds without a word of the holder, after which another process takes over; with two rounds of watching 29."""
RENEW = 5.0
"""Seconds between two words of the holder."""
GRACE = 4.0
"""Seconds in which a platform may still carry out a request that was cut off."""
WATCH = 2.5
"""Seconds between two looks of those who wait."""


def elapsed() -> float:
    """Seconds since some instant, those included in which the machine slept. Nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Right(Protocol):
    """To send for one platform."""

    @property
    def term(self) -> int | None:
        """What is claimed under; None where nobody else can be there."""

    @property
    def grace(self) -> float:
        """Seconds in which the platform may still carry out a request that was cut off."""

    def lasts(self) -> float:
        """Seconds for which certainly nobody else sends; 0 when it is not ours."""

    def elapsed(self) -> float:
        """The clock in which that is counted."""


class Alone:
    """Nobody else can be there, and what was cut off is over: a rehearsal, in a database of its own."""

    term = None
    grace = 0.0

    def lasts(self) -> float:
        return float("inf")

    def elapsed(self) -> float:
        return elapsed()


class Candidate:
    """This process, among those that could send for the platform. No other one has, or had, the name `holder`."""

    def __init__(self, ledger: Ledger, platform: str, holder: str, *, elapsed: Callable[[], float] = elapsed,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 grace: float = GRACE) -> None:
        self._ledger = ledger
        self.platform = platform
        self._holder = holder
        self.elapsed = elapsed
        self.grace = grace
        self._sleep = sleep
        self._ours: Sender | None = None
        self._until = 0.0
        self._seen: Sender | None = None
        self._seen_at = 0.0
        self._looked = False
        self._leaving = False
        self._changed: list[Callable[[], None]] = []

    def when_changed(self, call: Callable[[], None]) -> None:
        """Whenever it may send from now on, or may not any more."""
        self._changed.append(call)

    @property
    def term(self) -> int | None:
        # A term that nobody has: what is claimed without the right is refused by the database, too.
        return self._ours.term if self._ours is not None else 0

    def lasts(self) -> float:
        return max(0.0, self._until - self.elapsed()) if self._ours is not None else 0.0

    @property
    def held(self) -> bool:
        """Also when it has just run out and nobody has taken over."""
        return self._ours is not None

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.round()
            await self._sleep(RENEW if self.held else WATCH)

    async def round(self) -> None:
        """Says that we live, or looks whether the one who sends still does."""
        # When the database says nothing, the holder goes on for as long as it may, and who waits looks again.
        with suppress(Unsaved):
            await (self._renew(self._ours) if self._ours is not None else self._watch())

    async def resign(self) -> None:
        """Sends nothing more; another process need not wait for our silence."""
        self._leaving = True
        if self._ours is None:
            return
        ours, self._ours = self._ours, None
        try:
            await self._ledger.transact(lambda tx: tx.resign(ours))
        except Unsaved:
            log.warning("Whoever sends for %s next waits for our silence: the database did not take our goodbye",
                        self.platform)

    async def _renew(self, ours: Sender) -> None:
        began = self.elapsed()
        renewed = await self._ledger.transact(lambda tx: tx.renew(ours))
        if self._ours is not ours:
            return      # we have resigned meanwhile
        if renewed is not None:
            lapsed = not self.lasts()
            self._ours, self._until = renewed, began + SILENCE
            if lapsed:
                self._tell()
            return
        found = await self._ledger.transact(lambda tx: tx.sender(self.platform))
        if found is not None and found.holder == ours.holder and found.term == ours.term:
            # An earlier word of ours was heard, though we were told that it was not.
            self._ours = found
            return
        log.warning("Another process sends for %s now: this one was silent for too long", self.platform)
        self._ours, self._seen = None, None
        self._tell()

    async def _watch(self) -> None:
        began = self.elapsed()
        found = await self._ledger.transact(lambda tx: tx.sender(self.platform))
        heard = self.elapsed()
        if not self._looked or found != self._seen:
            self._looked, self._seen, self._seen_at = True, found, heard
        # One in our own name, too: we have taken over, and were told that we had not.
        free = found is None or found.holder in ("", self._holder)
        if self._leaving or not (free or began - self._seen_at >= SILENCE):
            return
        if not free:
            log.warning("%s has been silent for %.0f s: this process sends for %s now", found and found.holder,
                        began - self._seen_at, self.platform)
        taking = self.elapsed()
        taken = await self._ledger.transact(lambda tx: tx.take_over(self.platform, found, self._holder))
        if taken is None:
            return
        if self._leaving:
            await self._ledger.transact(lambda tx: tx.resign(taken))
            return
        self._ours, self._until = taken, taking + SILENCE
        self._tell()

    def _tell(self) -> None:
        for call in self._changed:
            call()
