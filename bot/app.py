"""The composition root: settings → database → desk and herald → platforms and pulses, each entered in its turn and left
in the reverse."""

from __future__ import annotations

import asyncio
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

import aiohttp
from aiohttp import web
from tzlocal import get_localzone_name

from bot.desk import Desk
from bot.discord.client import Client, Connection
from bot.discord.commands import payload, publish
from bot.discord.memory import Memory
from bot.discord.platform import DiscordPlatform
from bot.discord.rest import BadToken, Broken, Limited, Refused, Rest
from bot.discord.shell import Shell
from bot.herald import Herald, Platform, Site
from bot.ledger import Room, Transaction
from bot.local.history import History
from bot.local.people import Person
from bot.local.platform import LocalPlatform
from bot.local.server import chat
from bot.settings import Settings
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.model import Guide, Voice
from scheduler.clock import Clock, RealClock
from scheduler.ticker import Ticker

log = logging.getLogger(__name__)

DRAIN = 6.0
"""Seconds that sends under way get to finish; with what follows it stays within the 10 of `docker stop`."""
PUBLISH_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Pace:
    """How fast a platform may be gone about, and by which clock that is measured and waited for."""

    dm_opens: timedelta = timedelta(seconds=1)
    """The least time between two new direct message channels on Discord."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass
class Running:
    web: web.Application
    herald: Herald
    tickers: Sequence[Ticker]
    lines: Sequence[asyncio.Task[None]]
    """To the platforms' gateways; one that ends by itself has failed for good, and its exception says why."""


@dataclass
class _Platforms:
    """What is collected from the settings before anything is started."""

    posts: dict[str, Platform]
    lines: list[Connection] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)


@asynccontextmanager
async def running(settings: Settings, guide: Guide, room: Room, names: Sequence[str], clock: Clock | None = None,
                  pace: Pace | None = None) -> AsyncIterator[Running]:
    """Everything but the socket. `names` are of people who may sit at the browser, beside the organiser and those who
    have joined.

    Raises DatabaseIsNewer, or ValueError for a database that is not supported."""
    clock, pace = clock or RealClock(), pace or Pace()
    site_dir = settings.site_dir if settings.site_dir.is_dir() else None  # once, before anything runs
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        migrate(database)
        ledger = StoredLedger(database)
        history = History(database)
        people = await ledger.transact(lambda tx: _people(tx, room, names))
        # The local chat serves the guide itself.
        desk = Desk(ledger, guide, Site(settings.site_url or ("" if site_dir else None)))
        platforms = _Platforms({"local": LocalPlatform(history, clock, room, people)})
        if settings.discord_token is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            _add_discord(platforms, settings, desk, database, clock, session, pace)
        herald = Herald(ledger, platforms.posts, clock, f"{socket.gethostname()}:{os.getpid()}",
                        Site(settings.site_url or ("" if site_dir else None)))
        for cohort in await ledger.transact(lambda tx: tx.cohorts()):
            if cohort.room.platform not in platforms.posts:
                log.warning("Cohort %d lives on %s, for which no token is set: nothing of it is sent from here",
                            cohort.id, cohort.room.platform)
        tickers, lines = await stack.enter_async_context(_at_work(herald, clock, platforms, desk.voice, pace))
        # For a room without a cohort; a cohort speaks with the voice it was opened with.
        voice = Edition.of(guide, guide.cohort.plan).voice
        yield Running(chat(desk, history, clock, people, room, site_dir, None, voice=voice), herald, tickers, lines)


def _add_discord(platforms: _Platforms, settings: Settings, desk: Desk, database: Database, clock: Clock,
                 session: aiohttp.ClientSession, pace: Pace) -> None:
    assert settings.discord_token is not None  # noqa: S101  # the caller has looked
    token = settings.discord_token.get_secret_value().strip()
    rest = Rest(session, token, settings.discord_api_url, monotonic=pace.monotonic, sleep=pace.sleep)
    memory = Memory(database)
    shell = Shell(desk, clock, organiser_role=settings.discord_organiser_role)
    platforms.posts["discord"] = DiscordPlatform(rest, memory, pace.dm_opens, monotonic=pace.monotonic,
                                                 sleep=pace.sleep)
    platforms.lines.append(Connection(lambda: Client(
        shell, gateway_url=settings.discord_gateway_url, api_url=settings.discord_api_url), token))
    platforms.rests.append(rest)


@asynccontextmanager
async def _at_work(herald: Herald, clock: Clock, platforms: _Platforms, voice: Voice, pace: Pace) \
        -> AsyncIterator[tuple[list[Ticker], list[asyncio.Task[None]]]]:
    """Pulses and lines. All are left at once, because the whole has ten seconds to stop."""
    tickers = [Ticker(partial(herald.drain, lane), clock, drain=DRAIN) for lane in herald.lanes]
    lines = [asyncio.create_task(line.keep()) for line in platforms.lines]
    publishing = [asyncio.create_task(_published(rest, voice, pace)) for rest in platforms.rests]
    try:
        for ticker in tickers:
            await ticker.__aenter__()
        yield tickers, lines
    finally:
        herald.leave()
        for task in publishing:
            task.cancel()
        await asyncio.gather(*(line.close() for line in platforms.lines),
                             *(ticker.__aexit__(None, None, None) for ticker in tickers))
        await asyncio.gather(*lines, *publishing, return_exceptions=True)


async def _published(rest: Rest, voice: Voice, pace: Pace) -> None:
    """Tells Discord of our commands, when it answers."""
    while True:
        try:
            application = (await rest.call("GET", "/applications/@me"))["id"]
            await publish(rest, application, payload(voice))
            return
        except BadToken:
            return  # the line to the gateway says so, and ends everything
        except (Broken, Limited, Refused) as error:
            log.warning("The commands could not be published yet: %s", error)
            await pace.sleep(PUBLISH_AGAIN.total_seconds())


def _people(tx: Transaction, room: Room, names: Sequence[str]) -> list[Person]:
    zone = get_localzone_name()
    cohort = tx.cohort_in(room)
    found = {"organiser": Person("organiser", "Organiser", cohort.zone if cohort else zone, organiser=True)}
    for member in tx.members(cohort.id) if cohort else ():
        found.setdefault(member.account.user, Person(member.account.user, member.name, member.zone))
    for name in names or [getpass.getuser()]:
        user = "-".join(name.lower().split())
        found.setdefault(user, Person(user, name, zone))
    return list(found.values())
