"""How fast Discord lets a bot go, and the faults that a test may plan for it.

Source: topics/rate-limits. Discord publishes no number of a route's bucket; those here are what its headers have shown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Literal, TypeAlias

GLOBAL = 50
"""Requests a second of a bot, interactions' own routes left out."""
INVALID_WINDOW = 600.0
INVALID_MOST = 10_000

Scope: TypeAlias = Literal["user", "global", "shared"]

BUCKETS: dict[str, tuple[int, float]] = {
    "POST /channels/{}/messages": (5, 5.0),
    "PATCH /channels/{}/messages/{}": (5, 5.0),
    "GET /channels/{}/messages": (5, 1.0),
    "PUT /guilds/{}/members/{}/roles/{}": (10, 10.0),
    "POST /webhooks/{}/{}": (5, 2.0),
    "PATCH /webhooks/{}/{}/messages/{}": (5, 2.0),
}
OTHERWISE = (50, 1.0)
WITHOUT_BUCKET = {"GET /gateway", "GET /gateway/bot", "POST /interactions/{}/{}/callback"}


@dataclass(frozen=True)
class Held:
    """This request came too early."""

    retry_after: float
    scope: Scope


@dataclass
class _Bucket:
    limit: int
    window: float
    ends: float = -math.inf
    used: int = 0


@dataclass
class Limits:
    """Counts requests by `monotonic`; nothing here waits."""

    monotonic: Callable[[], float]
    buckets: dict[str, tuple[int, float]] = field(default_factory=lambda: dict(BUCKETS))
    """(requests, seconds) a route: for each channel, guild or webhook of its own."""
    a_second: int = GLOBAL
    invalid_most: int = INVALID_MOST
    limited: list[tuple[float, str, Scope]] = field(default_factory=list)
    """Instant, route and scope of every 429 that we gave."""
    _open: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)
    _invalid: deque[float] = field(default_factory=deque)

    def take(self, route: str, major: str, *, counts_globally: bool) -> Held | None:
        now = self.monotonic()
        if counts_globally:
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= self.a_second:
                return self._held(route, self._recent[0] + 1 - now, "global")
        if route not in WITHOUT_BUCKET:
            bucket = self._bucket(route, major, now)
            if bucket.used >= bucket.limit:
                return self._held(route, bucket.ends - now, "user")
            bucket.used += 1
        if counts_globally:
            self._recent.append(now)
        return None

    def headers(self, route: str, major: str, wall: float) -> dict[str, str]:
        """`wall`: now, in seconds since 1970."""
        if route in WITHOUT_BUCKET:
            return {}
        now = self.monotonic()
        bucket = self._bucket(route, major, now)
        left = max(0.0, bucket.ends - now)
        return {"X-RateLimit-Limit": str(bucket.limit), "X-RateLimit-Remaining": str(bucket.limit - bucket.used),
                "X-RateLimit-Reset": f"{wall + left:.3f}", "X-RateLimit-Reset-After": f"{left:.3f}",
                "X-RateLimit-Bucket": blake2b(route.encode(), digest_size=16).hexdigest()}

    def hold(self, route: str, held: Held) -> Held:
        """A 429 that was planned."""
        return self._held(route, held.retry_after, held.scope)

    def invalid(self) -> None:
        """An answer 401, 403 or 429 (other than of scope `shared`) was given."""
        self._invalid.append(self.monotonic())

    @property
    def invalids(self) -> int:
        """In the last ten minutes."""
        now = self.monotonic()
        while self._invalid and self._invalid[0] <= now - INVALID_WINDOW:
            self._invalid.popleft()
        return len(self._invalid)

    @property
    def banned(self) -> bool:
        return self.invalids >= self.invalid_most

    def _bucket(self, route: str, major: str, now: float) -> _Bucket:
        limit, window = self.buckets.get(route, OTHERWISE)
        bucket = self._open.setdefault((route, major), _Bucket(limit, window))
        bucket.limit, bucket.window = limit, window
        if bucket.ends <= now:
            bucket.ends, bucket.used = now + bucket.window, 0
        return bucket

    def _held(self, route: str, seconds: float, scope: Scope) -> Held:
        self.limited.append((self.monotonic(), route, scope))
        return Held(max(seconds, 0.001), scope)


# --- faults -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """The connection breaks: before Discord took the request, or after it was carried out."""

    after: bool


@dataclass(frozen=True)
class Broken:
    """500, 502 or 503; nothing was carried out, unless `after`."""

    status: int
    after: bool = False


@dataclass(frozen=True)
class Slow:
    """The answer takes this long; the request is carried out at its end."""

    seconds: float


@dataclass(frozen=True)
class Limited:
    retry_after: float
    scope: Scope = "user"


@dataclass(frozen=True)
class Well:
    """Nothing is wrong with this one: a step of a script."""


Fault: TypeAlias = Cut | Broken | Slow | Limited | Well


@dataclass
class Script:
    """Faults for the requests that match, one each, in this order."""

    pattern: str
    """`METHOD /path`, with `*` for any text."""
    faults: deque[Fault]

    def next(self, request: str) -> Fault | None:
        return self.faults.popleft() if self.faults and fnmatchcase(request, self.pattern) else None
