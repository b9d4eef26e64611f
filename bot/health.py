"""Is it alive, may it be sent to, what does it measure: /healthz, /readyz and /metrics, at an address for operators.

Alive: the event loop answers and every pulse shows signs of life; who is not should be started again. Ready: the
database answers and every platform is connected; who is not may only wait for others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Connection, text

from bot.herald import Told
from bot.ledger import Delivery, Lane, State, Unsaved
from bot.metrics import Backlog, Metrics, backlog
from bot.settings import BadSettings
from bot.store.database import Database
from scheduler.clock import Clock
from scheduler.ticker import Tick

log = logging.getLogger(__name__)

SILENT = 120.0
"""Seconds without a sign of life of a pulse. It ticks at least once a minute, and in a long tick each delivery is one,
and so are each few hundred members of a large cohort."""
ANSWERS = 1.0
"""Seconds that the database has."""


class Health:
    """Knows nothing until `begin`; to be made before anything else, so that it can be asked from the start."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pulses: dict[Lane, float] = {}
        self._connected: dict[str, Callable[[], bool]] = {}
        self._database: Database | None = None
        self._clock: Clock | None = None
        self._asked: asyncio.Future[None] | None = None
        self._leaving = False

    def begin(self, database: Database, clock: Clock) -> None:
        """From now on it may be ready."""
        self._database, self._clock = database, clock

    def leave(self) -> None:
        """From now on it is not, so that nobody sends here what we could not finish."""
        self._leaving = True

    def connection(self, platform: str, connected: Callable[[], bool]) -> None:
        self._connected[platform] = connected

    def pulse(self, lane: Lane, tick: Tick) -> Tick:
        """The same tick, whose beginning and end are signs of life."""
        async def ticked(now: datetime) -> datetime | None:
            self.alive(lane)
            try:
                return await tick(now)
            finally:
                self.alive(lane)

        self.alive(lane)
        return ticked

    def alive(self, lane: Lane) -> None:
        self._pulses[lane] = self._monotonic()

    def telling(self, told: Told) -> Told:
        """The same, where each delivery is a sign of life of its lane."""
        def tell(delivery: Delivery, state: State, at: datetime) -> None:
            self.alive(delivery.lane)
            told(delivery, state, at)

        return tell

    def sick(self) -> list[str]:
        """Why it should be started again; nothing when it is alive."""
        now = self._monotonic()
        return [f"the pulse of {lane.platform} ({'people' if lane.private else 'room'}) has been silent for "
                f"{now - seen:.0f} s" for lane, seen in self._pulses.items() if now - seen > SILENT]

    async def unready(self) -> list[str]:
        """What is waited for; nothing when it is ready."""
        if self._leaving:
            return ["it is stopping"]
        if self._database is None:
            return ["it is starting"]
        reasons = [f"{platform} is not connected" for platform, connected in self._connected.items() if not connected()]
        if not await self._answers(self._database):
            reasons.append("the database does not answer")
        return reasons

    async def backlog(self) -> list[Backlog]:
        """Nothing when the database does not tell in time."""
        if self._database is None or self._clock is None or not await self._answers(self._database):
            return []
        lanes, now = list(self._pulses), self._clock.now()
        try:
            async with asyncio.timeout(ANSWERS):
                return await self._database.look(lambda connection: backlog(connection, lanes, now))
        except (Unsaved, TimeoutError):
            return []

    async def _answers(self, database: Database) -> bool:
        """One that does not answer is not asked again and again: the questions would queue before the members."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.ensure_future(database.run(_nothing))
            # Whoever asked may not wait for it any more.
            self._asked.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        try:
            async with asyncio.timeout(ANSWERS):
                await asyncio.shield(self._asked)
        except (Unsaved, TimeoutError):
            return False
        return True


def _nothing(connection: Connection) -> None:
    connection.execute(text("select 1"))


@asynccontextmanager
async def operator(listen: str, health: Health, metrics: Metrics) -> AsyncIterator[str]:
    """Gives the address, `http://127.0.0.1:8092`; empty, and nothing is served, where `listen` is. Raises BadSettings
    when it cannot be listened at."""
    if not listen:
        yield ""
        return
    application = web.Application()
    application.add_routes([
        web.get("/healthz", _asked(_told(health.sick))), web.get("/readyz", _asked(health.unready)),
        web.get("/metrics", _measured(health, metrics))])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    try:
        try:
            site = web.TCPSite(runner, host.strip("[]"), int(port))
            await site.start()
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise BadSettings(f"NINETY_OPERATOR_LISTEN: cannot listen at {listen} ({why}). Perhaps another Ninety "
                              "does; set another HOST:PORT, or nothing to do without health and metrics") from None
        bound = runner.addresses[0][1]
        address = f"http://{host}:{bound}"
        log.info("Health and metrics are at %s/healthz, /readyz and /metrics", address)
        yield address
    finally:
        await runner.cleanup()


def _told(reasons: Callable[[], list[str]]) -> Callable[[], Awaitable[list[str]]]:
    async def told() -> list[str]:
        return reasons()

    return told


def _asked(reasons: Callable[[], Awaitable[list[str]]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        found = await reasons()
        return web.json_response({"ok": not found, "reasons": found}, status=503 if found else 200,
                                 headers={"Cache-Control": "no-store"})

    return answer


def _measured(health: Health, metrics: Metrics) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        page = metrics.page(await health.backlog())
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer
