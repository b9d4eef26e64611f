"""Discord's REST as the herald needs it: one attempt a call, every limit kept, each failure a type.

Not discord.py's HTTPClient: it sends again by itself after 500, 502, 504 and reset connections, sleeps through a 429
inside the call, keeps no limit of 50 a second, and a call that is cancelled while it sleeps in a global 429 never opens
its gate again (`_global_over` in discord/http.py). Our sends are cut off in time, so we can have none of that.
"""

from __future__ import annotations

import asyncio
import json as _json
import logging
import math
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

log = logging.getLogger(__name__)

GLOBAL = 50
"""Calls that Discord takes in a second (docs: topics/rate-limits). What discord.py calls by itself is left out by
`Rest.room`."""
SPREAD = 0.02
"""Seconds by which a call may be longer on its way to Discord than one that takes as long as usual."""
APART, BEHIND = 0.0203, 0.1
"""Seconds between two calls that have waited for their turn, a little more than what Discord takes comes to; and
seconds by which we may be late with them and still make up for it. Of fifty begun at once each would wait for the
others, and so would whoever is to be answered meanwhile."""
GIVE_WAY = 0.01
"""Seconds that such a call waits at most for those who are being answered: of what Discord takes it costs two in a
hundred when there is always somebody."""
USUAL, LEAST, LATEST = 0.9, 30, 100
"""What this share of the latest calls took at most is usual, as soon as there are so many of them."""
KEPT = 5.0
"""Seconds that a turn is kept for a call that does not come."""
PATIENCE = 5.0
"""Seconds that a call without a turn waits for one, before it says Limited."""
TIMEOUT = 15.0
"""Seconds for a whole call; less than the herald gives a send, so that the log says what was cut off."""
BANNED = timedelta(minutes=15)
"""To wait when the address is banned and the answer does not say how long. Bans last up to an hour."""

_BLINK = 0.001
"""The shortest sleep: a remainder of 1e-17 s would never pass."""
_BUCKETS = 1000
"""So many are remembered before those without news are dropped. Each direct message channel has its own."""
_AGENT = "DiscordBot (https://discord.com/developers/docs, 1)"
"""The form is Discord's (docs: reference#user-agent); other ones may be blocked (40333)."""

Scope = Literal["user", "shared", "global"]


class Refused(Exception):
    """Discord said no (4xx), and nothing was done."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}, code {code}: {message}")
        self.status = status
        self.code = code
        """Discord's own, 0 when there was none (docs: topics/opcodes-and-status-codes#json)."""
        self.message = message


class BadToken(Refused):
    """The token is not valid (401)."""


class Limited(Exception):
    """Not now (429), and nothing was done."""

    def __init__(self, after: timedelta, scope: Scope) -> None:
        super().__init__(f"limited ({scope}) for {after}")
        self.after = after
        self.scope = scope


class Broken(Exception):
    """Nobody knows whether it was done: 5xx, a connection that was cut, or an answer that cannot be read."""


class Window:
    """At most `most` calls in any `span` seconds, as the server counts them."""

    def __init__(self, most: int, span: float) -> None:
        self._most = most
        self._span = span
        self._held = 0
        self._free: list[float] = []
        """When the places of calls that have ended are free again, the next one first."""
        self._closed = 0.0

    def pause(self, now: float) -> float | None:
        """Seconds until there is a place, as far as is known; None when first a call must end."""
        if now < self._closed:
            return self._closed - now
        while self._free and self._free[0] <= now:
            del self._free[0]
        if self._held + len(self._free) < self._most:
            return 0.0
        return self._free[0] - now if self._free else None

    def take(self) -> None:
        self._held += 1

    def give_back(self) -> None:
        """A place that was taken and not used."""
        self._held -= 1

    def end(self, counted: float) -> None:
        """`counted` is the last instant at which the server can have counted the call."""
        self._held -= 1
        insort(self._free, counted + self._span)

    def close(self, until: float) -> None:
        self._closed = max(self._closed, until)

    def closing(self, now: float) -> float:
        """Seconds that it stays closed."""
        return max(self._closed - now, 0.0)


class Pacer:
    """One call every `apart` seconds; those that come late make up for at most `behind`."""

    def __init__(self, apart: float, behind: float) -> None:
        self._apart = apart
        self._behind = behind
        self._next = -math.inf

    def pause(self, now: float) -> float:
        """As of a Window."""
        return max(self._next - now, 0.0)

    def take(self, now: float) -> None:
        self._next = max(self._next, now - self._behind) + self._apart


@dataclass(eq=False)
class _Bucket:
    """One limit of Discord's, as far as its answers have told of it."""

    queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    """First come, first served."""
    held: int = 0
    """Calls under way and turns kept; those that are answered are in `remaining`."""
    limit: int | None = None
    remaining: int | None = None
    resets: float | None = None
    closed: float = 0.0
    heard: bool = False
    """An answer has come, so if no limit is known there is none."""

    def pause(self, now: float) -> float | None:
        """As of a Window."""
        if now < self.closed:
            return self.closed - now
        if self.resets is not None and now >= self.resets:
            self.remaining, self.resets = self.limit, None
        if self.remaining is None:
            # Of a limit that nobody has told us yet one call finds out.
            return 0.0 if self.heard or not self.held else None
        if self.held < self.remaining:
            return 0.0
        return None if self.resets is None else self.resets - now

    def learn(self, headers: Mapping[str, str], now: float) -> bool:
        """False when the answer tells nothing of the limit."""
        try:
            limit, remaining = max(int(headers["X-RateLimit-Limit"]), 1), int(headers["X-RateLimit-Remaining"])
            resets = now + float(headers["X-RateLimit-Reset-After"])
        except (KeyError, ValueError):
            return False
        # Answers may overtake each other: within a window the lowest is the latest.
        if self.resets is not None and now < self.resets and self.remaining is not None:
            remaining, resets = min(remaining, self.remaining), max(resets, self.resets)
        self.limit, self.remaining, self.resets, self.heard = limit, remaining, resets, True
        return True

    def forgo(self) -> None:
        """A call without news of the limit has used it all the same."""
        if self.remaining is not None and self.resets is not None:
            self.remaining -= 1

    def idle(self, now: float) -> bool:
        return not self.held and not self.queue.locked() and now >= max(self.closed, self.resets or 0.0)


class _Route(NamedTuple):
    name: str
    """Method and path with its placeholders: what may be logged."""
    major: str
    """The ids that limits are counted by (docs: topics/rate-limits)."""


@dataclass(eq=False)
class _Turn:
    route: _Route
    bucket: _Bucket
    lapses: float = 0.0
    counted: float | None = None
    """The last instant at which Discord can have counted the call, once it is answered."""


class Rest:
    """Calls of one bot, all in one process."""

    def __init__(self, session: aiohttp.ClientSession, token: str, api_url: str, *,
                 monotonic: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 answering: Callable[[], bool] = lambda: False) -> None:
        """`answering`: somebody who did something waits for their answer now."""
        self._session = session
        self._answering = answering
        self._headers = {"Authorization": f"Bot {token}", "User-Agent": _AGENT}
        self._api_url = api_url.rstrip("/")
        self._monotonic = monotonic
        self._sleep = sleep
        self._window = Window(GLOBAL, 1.0 + SPREAD)
        self._pacer = Pacer(APART, BEHIND)
        self._took: deque[float] = deque(maxlen=LATEST)
        """Seconds of the latest calls."""
        self._queue = asyncio.Lock()
        self._names: dict[str, str] = {}
        """Which bucket a route belongs to, as X-RateLimit-Bucket says."""
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._kept: deque[_Turn] = deque()
        self._moved = asyncio.Event()
        """Set and replaced when a place is given back."""
        self._banned = False
        self.waited = 0.0
        """Seconds, of all callers together."""
        self.limited: Counter[Scope] = Counter()
        """Answers of 429 by their scope."""

    async def turn(self, method: str, path: str, **ids: str) -> None:
        """Returns when a call may be sent, and keeps its place for `KEPT`. May take long."""
        turn = await self._take(_route(method, path, ids), self._pacer)
        turn.lapses = self._monotonic() + KEPT
        self._kept.append(turn)

    async def call(self, method: str, path: str, *, json: object = None, params: Mapping[str, str] | None = None,
                   **ids: str) -> Any:
        """What Discord answered, as JSON; None when it said nothing. Sent once, never again.

        Raises Refused, BadToken, Limited or Broken."""
        route = _route(method, path, ids)
        turn = self._kept_turn(route) or await self._hasty_turn(route)
        try:
            return await self._send(turn, method, URL(self._api_url + _filled(path, ids), encoded=True), json, params)
        finally:
            turn.bucket.held -= 1
            self._window.end(self._monotonic() if turn.counted is None else turn.counted)
            self._stir()

    @asynccontextmanager
    async def room(self, calls: int) -> AsyncIterator[None]:
        """Of what Discord takes leaves room for so many calls that somebody else makes meanwhile with our token."""
        taken = 0
        try:
            while taken < calls:
                async with self._queue:
                    await self._opening(self._window.pause)
                    self._window.take()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._window.end(self._monotonic())
            self._stir()

    def _counted(self, began: float, now: float) -> float:
        """Only what a call took longer than is usual can have passed on its way there: the rest is spent on the work
        and on the way back."""
        usual = sorted(self._took)[int(len(self._took) * USUAL)] if len(self._took) >= LEAST else 0.0
        self._took.append(now - began)
        return max(began, now - usual)

    async def _send(self, turn: _Turn, method: str, url: URL, json: object, params: Mapping[str, str] | None) -> Any:
        began = self._monotonic()
        try:
            # On a kept connection that the server had closed aiohttp itself sends GET and PUT again; POST never.
            async with self._session.request(
                    method, url, json=json, params=params, headers=self._headers, allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as response:
                status, headers, text = response.status, response.headers, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            turn.bucket.forgo()
            # The error's own words name the address.
            raise Broken(f"no answer ({type(error).__name__})") from None
        now, answer = self._monotonic(), _read(text)
        turn.counted = self._counted(began, now)
        bucket = self._named(turn, headers.get("X-RateLimit-Bucket"))
        if not bucket.learn(headers, now) and status != 429:
            bucket.forgo()
            # A gateway that answers in Discord's place (5xx) knows nothing of limits.
            bucket.heard = bucket.heard or status < 500
        if status == 429:
            raise self._limited(turn.route, bucket, headers, answer, now)
        self._banned = False
        if 200 <= status < 300:
            if text and answer is None:
                raise Broken(f"answered {status} with what is no JSON")
            return answer
        code, message = _reason(answer)
        if status == 401:
            raise BadToken(status, code, message)
        if 400 <= status < 500:
            raise Refused(status, code, message)
        raise Broken(f"answered {status}")

    def _limited(self, route: _Route, bucket: _Bucket, headers: Mapping[str, str], answer: object,
                 now: float) -> Limited:
        after = _seconds(_of(answer, "retry_after"))
        if after is None or "Via" not in headers:
            # Cloudflare's own answer: more than 10,000 of 401, 403 and 429 in ten minutes.
            after = _seconds(headers.get("Retry-After")) or BANNED.total_seconds()
            if not self._banned:
                log.error("Discord has banned this address for too many refused calls; waiting %.0f s", after)
            self._banned = True
            scope: Scope = "global"
        else:
            said = headers.get("X-RateLimit-Scope")
            scope = "global" if said == "global" or _of(answer, "global") is True else \
                "shared" if said == "shared" else "user"
            log.warning("Discord asks to wait %.3f s (%s): %s", after, scope, route.name)
        if scope == "global":
            self._window.close(now + after)
            # What we took for usual was not: until we know better, each call is counted when it ends.
            self._took.clear()
        else:
            bucket.closed = max(bucket.closed, now + after)
        self.limited[scope] += 1
        return Limited(timedelta(seconds=after), scope)

    # --- turns --------------------------------------------------------------------------------------------------------

    def _kept_turn(self, route: _Route) -> _Turn | None:
        self._lapse()
        turn = next((turn for turn in self._kept if turn.route == route), None)
        if turn is None:
            return None
        self._kept.remove(turn)
        if not self._closing(turn.bucket):
            return turn
        # A 429 has come since.
        self._give_back(turn)
        return None

    async def _hasty_turn(self, route: _Route) -> _Turn:
        if self._closing(self._bucket(route)) > PATIENCE:
            raise self._no_turn(route)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._take(route)
        except TimeoutError:
            raise self._no_turn(route) from None

    def _no_turn(self, route: _Route) -> Limited:
        after = max(self._closing(self._bucket(route)), 1.0)
        return Limited(timedelta(seconds=after), "global" if self._window.closing(self._monotonic()) else "user")

    def _closing(self, bucket: _Bucket) -> float:
        """Seconds until the gates are open that a 429 has closed."""
        now = self._monotonic()
        return max(self._window.closing(now), bucket.closed - now, 0.0)

    async def _take(self, route: _Route, pacer: Pacer | None = None) -> _Turn:
        began = self._monotonic()
        try:
            while True:
                bucket = self._bucket(route)
                async with bucket.queue:
                    await self._opening(bucket.pause)
                    async with self._queue:
                        if pacer is not None:
                            await self._opening(pacer.pause)
                        await self._opening(self._window.pause)
                        if pacer is not None:
                            await self._give_way()
                        # While we waited a 429 may have closed either, or an answer told that it is another's bucket.
                        now = self._monotonic()
                        if bucket is self._bucket(route) and bucket.pause(now) == self._window.pause(now) == 0:
                            self._window.take()
                            if pacer is not None:
                                pacer.take(now)
                            bucket.held += 1
                            return _Turn(route, bucket)
        finally:
            self.waited += self._monotonic() - began

    async def _give_way(self) -> None:
        until = self._monotonic() + GIVE_WAY
        while self._answering() and self._monotonic() < until:
            await self._sleep(_BLINK)

    async def _opening(self, pause: Callable[[float], float | None]) -> None:
        while True:
            self._lapse()
            now = self._monotonic()
            seconds = pause(now)
            if seconds == 0:
                return
            lapse = self._kept[0].lapses - now if self._kept else math.inf
            if seconds is not None:
                await self._sleep(max(min(seconds, lapse), _BLINK))
                continue
            if not self._kept:
                await self._moved.wait()
                continue
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._sleep(max(lapse, _BLINK))),
                                                asyncio.ensure_future(self._moved.wait())]
            try:
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in done:
                    wait.result()
            finally:
                for wait in waits:
                    wait.cancel()

    def _lapse(self) -> None:
        now = self._monotonic()
        while self._kept and self._kept[0].lapses <= now:
            self._give_back(self._kept.popleft())

    def _give_back(self, turn: _Turn) -> None:
        turn.bucket.held -= 1
        self._window.give_back()
        self._stir()

    def _stir(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    # --- buckets ------------------------------------------------------------------------------------------------------

    def _bucket(self, route: _Route) -> _Bucket:
        key = self._names.get(route.name, route.name), route.major
        if key not in self._buckets:
            if len(self._buckets) >= _BUCKETS:
                now = self._monotonic()
                self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.idle(now)}
            self._buckets[key] = _Bucket()
        return self._buckets[key]

    def _named(self, turn: _Turn, name: str | None) -> _Bucket:
        """The bucket that the answer is about; from now on the route's."""
        route = turn.route
        if name is not None and name != self._names.get(route.name):
            before = self._names.get(route.name, route.name), route.major
            self._names[route.name] = name
            if self._buckets.get(before) is turn.bucket:
                del self._buckets[before]
            # Two routes that turn out to be of one bucket go on with the bucket of the first.
            return self._buckets.setdefault((name, route.major), turn.bucket)
        return self._bucket(route)


def _route(method: str, path: str, ids: Mapping[str, str]) -> _Route:
    return _Route(f"{method} {path}", "/".join(ids.get(name, "") for name in ("channel", "guild", "webhook", "token")))


def _filled(path: str, ids: Mapping[str, str]) -> str:
    return path.format(**{name: quote(id, safe="") for name, id in ids.items()})


def _read(text: str) -> object:
    try:
        return _json.loads(text) if text else None
    except ValueError:
        return None


def _of(answer: object, name: str) -> object:
    return answer.get(name) if isinstance(answer, dict) else None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _reason(answer: object) -> tuple[int, str]:
    """Of the fields that Discord explains an error with (`errors`) none is read: they may quote what was sent."""
    code, message = _of(answer, "code"), _of(answer, "message")
    return code if isinstance(code, int) else 0, " ".join(message.split())[:200] if isinstance(message, str) else ""
