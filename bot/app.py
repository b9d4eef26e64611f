"""The composition root: settings → database → desk and herald → platforms and pulse, each entered in its turn and left
in the reverse."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from tzlocal import get_localzone_name

from bot.desk import Desk
from bot.herald import Herald, Site
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
from content.model import Guide
from scheduler.clock import RealClock
from scheduler.ticker import Ticker


@asynccontextmanager
async def running(settings: Settings, guide: Guide, room: Room, names: Sequence[str]) -> AsyncIterator[web.Application]:
    """Everything but the socket. `names` are of people who may sit at the browser, beside the organiser and those who
    have joined. Raises DatabaseIsNewer, or ValueError for a database that is not supported."""
    site_dir = settings.site_dir if settings.site_dir.is_dir() else None  # once, before anything runs
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        migrate(database)
        clock = RealClock()
        ledger = StoredLedger(database)
        history = History(database)
        people = await ledger.transact(lambda tx: _people(tx, room, names))
        # The local chat serves the guide itself.
        site = Site(settings.site_url or ("" if site_dir else None))
        platform = LocalPlatform(history, clock, room, people)
        herald = Herald(ledger, {"local": platform}, clock, f"{socket.gethostname()}:{os.getpid()}", site)
        await stack.enter_async_context(Ticker(herald.tick, clock))
        # For a room without a cohort; a cohort speaks with the voice it was opened with.
        voice = Edition.of(guide, guide.cohort.plan).voice
        yield chat(Desk(ledger, guide, site), history, clock, people, room, site_dir, None, voice=voice)


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
