"""The composition root: settings → database → desk and herald → platforms and pulses, each entered in its turn and left
in the reverse."""

from __future__ import annotations

import asyncio
import gc
import getpass
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from tzlocal import get_localzone_name

from bot.desk import Desk
from bot.direct import DirectChannels
from bot.health import Health
from bot.herald import AtOnce, Herald, Platform, Site
from bot.ledger import Ledger, Room, Transaction
from bot.local.history import History
from bot.local.people import Person
from bot.local.platform import LocalPlatform
from bot.local.server import chat
from bot.metrics import MeasuredDesk, MeasuredLedger, MeasuredPlatform, Metrics, arriving
from bot.sender import Candidate, elapsed
from bot.settings import BadSettings, Settings
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.model import Guide
from scheduler.clock import Clock, RealClock
from scheduler.ticker import Ticker

if TYPE_CHECKING:
    from bot.discord.client import Connection
    from bot.slack.clients import Clients
    from bot.slack.transports import HttpDoor

log = logging.getLogger(__name__)

PEOPLE = 200
"""Members who can be chosen at the browser."""
INTRODUCTION = 3.0
"""Seconds that everybody else waits at the start for Slack to say who we are."""
DRAIN = 6.0
"""Seconds that sends under way get to finish; with what follows it stays within the 10 of `docker stop`."""


class Line(Protocol):
    """Something that listens to a platform."""

    async def keep(self) -> None:
        """Until it is closed; what it raises is for good, and says what to do."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Pace:
    """How fast platforms may be written to, and by which clock; another than the real one is for tests."""

    dm_opens: timedelta = timedelta(seconds=1)
    """Least time between two new direct message channels on Discord."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    lease: float = 1.0
    """How much faster than real time a process that has fallen silent is taken over from."""
    patience: float = 1.0
    """How much longer than on a platform somebody waits before they are told that it takes longer."""


@dataclass
class Running:
    web: web.Application
    herald: Herald
    candidates: Sequence[Candidate]
    tickers: Sequence[Ticker]
    lines: Sequence[asyncio.Task[None]]
    """One that ends by itself has failed for good, and its exception says why."""


@dataclass
class _Presence:
    """What the settings make of us, before anything is started."""

    settings: Settings
    desk: MeasuredDesk
    database: Database
    clock: Clock
    pace: Pace
    stack: AsyncExitStack
    metrics: Metrics
    health: Health
    candidates: dict[str, Candidate]
    platforms: dict[str, Platform] = field(default_factory=dict)
    at_once: dict[str, AtOnce] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def connection(self, platform: str, connected: Callable[[], bool], ready: Callable[[], bool] | None = None) -> None:
        """Who is asked whether its line is up; and whether it is as it should be, where that is something else."""
        self.metrics.connection(platform, connected)
        self.health.connection(platform, ready or connected)


@asynccontextmanager
async def running(settings: Settings, guide: Guide, room: Room, names: Sequence[str], clock: Clock | None = None,
                  pace: Pace | None = None, metrics: Metrics | None = None,
                  health: Health | None = None) -> AsyncIterator[Running]:
    """Everything but the sockets of the local chat and of the operator. `names` are of people who may sit at the
    browser, beside the organiser and those who have joined.

    Raises DatabaseIsNewer, or BadSettings."""
    clock, pace, metrics, health = clock or RealClock(), pace or Pace(), metrics or Metrics(), health or Health()
    site_dir = settings.site_dir if settings.site_dir.is_dir() else None  # once, before anything runs
    # The local chat serves the guide itself.
    site = Site(settings.site_url or ("" if site_dir else None))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        migrate(database)
        ledger = MeasuredLedger(StoredLedger(database), metrics)
        history = History(database)
        people = await ledger.transact(lambda tx: _people(tx, room, names))
        desk = MeasuredDesk(Desk(ledger, guide, site), metrics)
        candidates = {platform: _candidate(ledger, platform, pace) for platform in _platforms(settings)}
        for candidate in candidates.values():
            metrics.sends(candidate.platform, lambda one=candidate: one.lasts() > 0)  # type: ignore[misc]
        us = _Presence(settings, desk, database, clock, pace, stack, metrics, health, candidates)
        us.platforms["local"] = LocalPlatform(history, clock, room)
        if settings.discord_token is not None:
            await _go_to_discord(us, settings.discord_token)
        if "slack" in candidates:
            await _go_to_slack(us)
        platforms = {name: MeasuredPlatform(platform, name, metrics) for name, platform in us.platforms.items()}
        herald = Herald(ledger, platforms, clock, site, health.telling(metrics.told), candidates, us.at_once,
                        health.alive)
        for platform, cohorts in (await ledger.transact(lambda tx: tx.platforms())).items():
            if platform not in us.platforms:
                log.warning("%d of the cohorts live on %s, for which no token is set: nothing is sent there from here",
                            cohorts, platform)
        tickers, lines = await stack.enter_async_context(_at_work(herald, clock, us, health))
        health.begin(database, clock)
        # For a room without a cohort; a cohort speaks with the voice it was opened with.
        page = chat(desk, history, clock, people, room, site_dir, None, voice=desk.voice)
        # What is in memory by now stays there. With the collector looking through it again and again, the slowest
        # answer in a hundred at 32 callers took 63 ms; without that 15. What little of it is garbage stays too: it
        # would take longer to find than all else that is done here.
        gc.freeze()
        stack.callback(gc.unfreeze)
        yield Running(page, herald, list(candidates.values()), tickers, lines)


async def _go_to_discord(us: _Presence, secret: SecretStr) -> None:
    # Each platform's library takes half a second to import, so only where it is called for.
    from bot.discord.client import Client, Connection
    from bot.discord.commands import Publishing
    from bot.discord.platform import AT_ONCE, DiscordPlatform
    from bot.discord.rest import Rest
    from bot.discord.shell import PATIENCE, Shell

    settings, pace, token = us.settings, us.pace, secret.get_secret_value().strip()
    session = await us.stack.enter_async_context(aiohttp.ClientSession())
    rest = Rest(session, token, settings.discord_api_url, monotonic=pace.monotonic, sleep=pace.sleep,
                answering=lambda: shell.answering)
    us.metrics.limits("discord", lambda: rest.waited, lambda: {scope: count for scope, count in rest.limited.items()})
    shell = Shell(us.desk, us.clock, organiser_role=settings.discord_organiser_role,
                  patience=PATIENCE * pace.patience)
    heard = arriving(us.metrics, shell.interaction)
    us.at_once["discord"] = AtOnce(AT_ONCE, AT_ONCE)
    us.platforms["discord"] = DiscordPlatform(
        rest, DirectChannels(us.database), pace.dm_opens, monotonic=pace.monotonic, sleep=pace.sleep)

    def connection() -> Connection:
        return Connection(
            lambda: Client(shell, gateway_url=settings.discord_gateway_url, api_url=settings.discord_api_url,
                           heard=heard), token, room=rest.room)

    # Everybody who is connected hears of every interaction, and only one may answer.
    us.lines.append(duty := _OnDuty(us.candidates["discord"], connection,
                                    lambda: Publishing(rest, us.desk.voice, pace.sleep)))
    us.connection("discord", lambda: duty.connected, lambda: duty.connected or not us.candidates["discord"].held)


class _OnDuty:
    """Lines that only the process has that sends for the platform; new ones each time that it becomes the one."""

    def __init__(self, candidate: Candidate, connection: Callable[[], Connection],
                 *others: Callable[[], Line]) -> None:
        self._candidate = candidate
        self._connection = connection
        self._others = others
        self._connected: Callable[[], bool] = lambda: False
        self._now: list[Line] = []
        self._asked_to_end = False
        self._news = asyncio.Event()
        candidate.when_changed(self._news.set)

    @property
    def connected(self) -> bool:
        return bool(self._now) and self._connected()

    async def keep(self) -> None:
        """Raises what one of the lines raises."""
        while not self._asked_to_end:
            self._news.clear()
            if self._candidate.held:
                await self._stand_in()
            else:
                await self._news.wait()

    async def _stand_in(self) -> None:
        connection = self._connection()
        self._connected = lambda: connection.connected
        self._now = [connection, *(other() for other in self._others)]
        kept = [asyncio.create_task(line.keep()) for line in self._now]
        news = asyncio.create_task(self._over())
        try:
            await asyncio.wait([news, *kept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            await asyncio.gather(*(line.close() for line in self._now))
            ended = await asyncio.gather(*kept, return_exceptions=True)
            self._now = []
        for one in ended:
            if isinstance(one, BaseException):
                raise one

    async def _over(self) -> None:
        while self._candidate.held and not self._asked_to_end:
            await self._news.wait()
            self._news.clear()

    async def close(self) -> None:
        self._asked_to_end = True
        self._news.set()
        await asyncio.gather(*(line.close() for line in self._now))


async def _go_to_slack(us: _Presence) -> None:
    """One workspace or many, by Socket Mode or by signed requests. Raises BadSettings when the settings say neither."""
    from bot.slack.clients import Clients
    from bot.slack.installations import Installations, States, cipher
    from bot.slack.platform import AT_ONCE, SlackPlatform
    from bot.slack.shell import PATIENCE, Shell
    from bot.slack.transports import Heard, HttpDoor, SocketLine, bolt, oauth

    settings, pace = us.settings, us.pace
    app_token, signing = _plain(settings.slack_app_token), _plain(settings.slack_signing_secret)
    if not app_token and not signing:
        raise BadSettings("Slack needs NINETY_SLACK_APP_TOKEN (xapp-…, Socket Mode), or NINETY_SLACK_SIGNING_SECRET "
                          "for signed requests to NINETY_SLACK_LISTEN")
    many = settings.slack_bot_token is None
    client_secret = _plain(settings.slack_client_secret)
    if many and not (client_secret and settings.public_url):
        raise BadSettings("Many workspaces install the app by NINETY_SLACK_CLIENT_ID, NINETY_SLACK_CLIENT_SECRET and "
                         "NINETY_PUBLIC_URL, the address that leads to NINETY_SLACK_LISTEN; for one workspace set "
                         "NINETY_SLACK_BOT_TOKEN")
    installations = Installations(us.database, cipher(_plain(settings.secret_key))) if many else None
    clients = await us.stack.enter_async_context(Clients(
        installations or _plain(settings.slack_bot_token), us.clock, settings.slack_api_url,
        client_id=settings.slack_client_id, client_secret=client_secret))
    if installations is None:
        us.lines.append(known := _Known(clients, pace.sleep))
        await known.ask()
    elif unreadable := await installations.renew():
        log.warning("The tokens of %d workspaces cannot be read with NINETY_SECRET_KEY: install the app there again",
                    unreadable)
    session = await us.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
    shell = Shell(us.desk, clients, us.clock, session, patience=PATIENCE * pace.patience)
    app = Heard(arriving(us.metrics, bolt(shell, signing, installations).async_dispatch))
    us.platforms["slack"] = platform = SlackPlatform(
        clients, DirectChannels(us.database), monotonic=pace.monotonic, sleep=pace.sleep)
    us.at_once["slack"] = AtOnce(20 * AT_ONCE, AT_ONCE)
    us.metrics.limits("slack", lambda: platform.pace.waited, lambda: {"method": clients.limited.total()})
    doors: list[SocketLine | _Served] = []
    if app_token:
        doors.append(SocketLine(app, shell, app_token, session, settings.slack_api_url))
    if signing or installations:
        authorize = settings.slack_api_url.rstrip("/").removesuffix("/api") + "/oauth/v2/authorize"
        flow = None if installations is None else oauth(
            settings.slack_client_id, client_secret, settings.public_url, installations,
            States(us.database, us.clock), clients.client(), authorize)
        doors.append(_Served(HttpDoor(app, shell, flow), settings.slack_listen))
    us.lines += doors
    us.connection("slack", lambda: all(door.connected for door in doors))


class _Known:
    """Asks Slack who we are until it answers. Slack may be away when we start, and a bad token is told also later."""

    def __init__(self, clients: Clients, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clients = clients
        self._sleep = sleep
        self._asked_to_end = asyncio.Event()

    async def ask(self) -> float:
        """Seconds until it should be asked again; zero when it has answered. Raises BadToken."""
        from bot.slack.clients import Limited

        try:
            async with asyncio.timeout(INTRODUCTION):
                await self._clients.myself()
        except (Limited, TimeoutError) as error:
            log.warning("Slack does not say who we are now (%s)", type(error).__name__)
            return error.after.total_seconds() if isinstance(error, Limited) else INTRODUCTION
        return 0.0

    async def keep(self) -> None:
        """Raises BadToken."""
        asking, end = asyncio.create_task(self._until_known()), asyncio.create_task(self._asked_to_end.wait())
        try:
            await asyncio.wait({asking, end}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
            await end
        finally:
            for task in (asking, end):
                task.cancel()
            await asyncio.gather(asking, end, return_exceptions=True)

    async def _until_known(self) -> None:
        while wait := await self.ask():
            await self._sleep(wait)

    async def close(self) -> None:
        self._asked_to_end.set()


class _Served:
    """A door with a socket."""

    def __init__(self, door: HttpDoor, listen: str) -> None:
        self._door = door
        self._listen = listen
        self._asked_to_end = asyncio.Event()
        self.connected = False
        """It listens; whether Slack finds the way here only Slack knows."""

    async def keep(self) -> None:
        """Raises BadSettings when the address cannot be listened at."""
        application = web.Application()
        application.add_routes(self._door.routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=DRAIN / 2)
        await runner.setup()
        host, _, port = self._listen.rpartition(":")
        try:
            await web.TCPSite(runner, host, int(port)).start()
            self.connected = True
            await self._asked_to_end.wait()
        except OSError as error:
            raise BadSettings(f"NINETY_SLACK_LISTEN: cannot listen at {self._listen} ({error.strerror})") from None
        finally:
            self.connected = False
            await runner.cleanup()
            await self._door.close()

    async def close(self) -> None:
        self._asked_to_end.set()


@asynccontextmanager
async def _at_work(herald: Herald, clock: Clock, us: _Presence, health: Health) \
        -> AsyncIterator[tuple[list[Ticker], list[asyncio.Task[None]]]]:
    """Pulses and lines. All are left at once, because the whole has ten seconds to stop."""
    candidates = us.candidates.values()
    await asyncio.gather(*(candidate.round() for candidate in candidates))
    tickers = {lane: Ticker(health.pulse(lane, partial(herald.drain, lane)), clock, drain=DRAIN)
               for lane in herald.lanes}
    for lane, ticker in tickers.items():
        us.candidates[lane.platform].when_changed(ticker.wake)
    keeping = [asyncio.create_task(candidate.keep()) for candidate in candidates]
    kept = [asyncio.create_task(line.keep()) for line in us.lines]
    try:
        for ticker in tickers.values():
            await ticker.__aenter__()
        yield list(tickers.values()), kept
    finally:
        health.leave()
        herald.leave()
        await asyncio.gather(*(line.close() for line in us.lines),
                             *(ticker.__aexit__(None, None, None) for ticker in tickers.values()))
        for task in keeping:
            task.cancel()
        await asyncio.gather(*kept, *keeping, return_exceptions=True)
        # What was cut off may still be carried out: who comes next then waits, as if we had died.
        if not herald.landing:
            await asyncio.gather(*(candidate.resign() for candidate in candidates))


def _platforms(settings: Settings) -> list[str]:
    """Those on which we are."""
    there = {"local": True, "discord": settings.discord_token is not None,
             "slack": settings.slack_bot_token is not None or bool(settings.slack_client_id)}
    return [platform for platform, is_there in there.items() if is_there]


def _candidate(ledger: Ledger, platform: str, pace: Pace) -> Candidate:
    # In containers the number is always 1, and somebody may have given two of them one name.
    return Candidate(ledger, platform, f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}",
                     elapsed=lambda: elapsed() * pace.lease, sleep=lambda seconds: asyncio.sleep(seconds / pace.lease))


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret is not None else ""


def _people(tx: Transaction, room: Room, names: Sequence[str]) -> list[Person]:
    zone = get_localzone_name()
    cohort = tx.cohort_in(room)
    found = {"organiser": Person("organiser", "Organiser", cohort.zone if cohort else zone, organiser=True)}
    # Nobody finds themselves in a longer list.
    for member in tx.members(cohort.id, upto=max(tx.journals(cohort.id, most=PEOPLE), default=None)) if cohort else ():
        found.setdefault(member.account.user, Person(member.account.user, member.name, member.zone))
    for name in names or [getpass.getuser()]:
        user = "-".join(name.lower().split())
        found.setdefault(user, Person(user, name, zone))
    return list(found.values())
