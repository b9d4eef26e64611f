"""What the tests of Discord's REST build with: a server that answers as it is told, and clocks that are not the real
one."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.discord.rest import Rest

TOKEN = "MTA.token-of-the-tests"  # noqa: S105  # of nobody
VIA = {"Via": "1.1 google"}
"""What tells Discord's own 429 from the one of the firewall in front of it."""


class StillClock:
    """Moves only by `pass_by`, and wakes who has slept enough."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.at + seconds, woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        """In small steps, so that whoever wakes can lie down again."""
        end = self.at + seconds
        while self.at < end:
            self.at = min(self.at + 0.05, end)
            for until, woken in self._sleepers:
                if until <= self.at and not woken.done():
                    woken.set_result(None)
            self._sleepers = [(until, woken) for until, woken in self._sleepers if not woken.done()]
            await settle()


class FastClock:
    """Real time, `speed` times as fast."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


async def settle() -> None:
    """Until everybody who can go on without a socket has."""
    for _ in range(10):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Said:
    status: int = 200
    json: object = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        if self.text is not None:
            return web.Response(status=self.status, text=self.text, content_type="text/html", headers=self.headers)
        if self.status == 204:
            return web.Response(status=204, headers=self.headers)
        return web.json_response(self.json if self.json is not None else {"id": "1"}, status=self.status,
                                 headers=self.headers)


def refusal(status: int, code: int, message: str = "No.") -> Said:
    return Said(status, {"code": code, "message": message, "errors": {"components": "what was sent"}})


def limit(bucket: str, limit: int, remaining: int, reset_after: float) -> dict[str, str]:
    return {"X-RateLimit-Bucket": bucket, "X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset-After": f"{reset_after:.3f}"}


def too_many(after: float, scope: str, **headers: str) -> Said:
    return Said(429, {"message": "You are being rate limited.", "retry_after": after, "global": scope == "global"},
                headers={**VIA, "X-RateLimit-Scope": scope, **headers})


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers each request with what was put there for it, else with 200."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seen: list[str] = []
        self.bodies: list[object] = []
        self.headers: list[Mapping[str, str]] = []
        self.at: list[float] = []
        self.url = ""
        self._more = asyncio.Condition()
        self._monotonic = monotonic
        self._put: defaultdict[str, deque[Said | Handler]] = defaultdict(deque)

    def put(self, request: str, *answers: Said | Handler) -> None:
        """`request` is like `GET /users/@me`."""
        self._put[request].extend(answers)

    async def requests(self, number: int) -> None:
        """Returns when so many have come."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.seen) >= number)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method} {request.path}"
        self.at.append(self._monotonic())
        self.seen.append(f"{request.method} {request.path_qs}")
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json() if request.can_read_body else None)
        async with self._more:
            self._more.notify_all()
        answer = self._put[name].popleft() if self._put[name] else Said()
        return answer.response() if isinstance(answer, Said) else await answer(request)


async def cut(request: web.Request) -> web.StreamResponse:
    """Takes the request, and then the line is dead."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


@asynccontextmanager
async def serving(monotonic: Callable[[], float] = time.monotonic) -> AsyncIterator[Server]:
    server = Server(monotonic)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(application, host="127.0.0.1", shutdown_timeout=0) as listening:
        server.url = str(listening.make_url("/"))
        yield server


@asynccontextmanager
async def resting(clock: StillClock | FastClock) -> AsyncIterator[tuple[Rest, Server]]:
    async with serving(clock.monotonic) as server, aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Rest(session, TOKEN, server.url, monotonic=clock.monotonic, sleep=clock.sleep), server
