"""The demo: a cohort in the browser with virtual time, players who act by themselves, and people for you to be."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.desk import Desk, open_cohort
from bot.herald import Herald, Site
from bot.ledger import Account, Cohort, Receipt, Room
from bot.local.history import History
from bot.local.people import Person
from bot.local.platform import LocalPlatform
from bot.local.server import chat
from bot.local.timebar import Outlook
from bot.messages import DeliveryKey, Message
from bot.rehearsal import Player, Stage, Temper
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.model import Guide, PostKind
from scheduler import calendar
from scheduler.clock import RealClock, VirtualClock
from scheduler.ticker import Ticker

ROOM = Room("local", "", "ninety")
YOU = (
    Person("robin", "Robin", "Europe/Berlin"),
    Person("sam", "Sam", "America/New_York"),
    Person("kim", "Kim", "Asia/Tokyo"),
    Person("organiser", "Alex", "Europe/Berlin", organiser=True),
)
PLAYERS = (
    Player(Account("local", "", "ines"), "Ines", "Europe/Lisbon", Temper.EAGER),
    Player(Account("local", "", "kavya"), "Kavya", "Asia/Kolkata", Temper.STEADY),
    Player(Account("local", "", "jonas"), "Jonas", "Europe/Berlin", Temper.LATE),
    Player(Account("local", "", "wanjiru"), "Wanjiru", "Africa/Nairobi", Temper.RESTS),
    Player(Account("local", "", "pedro"), "Pedro", "America/Sao_Paulo", Temper.DROPS_OUT),
    Player(Account("local", "", "hana"), "Hana", "Asia/Tokyo", Temper.JOINS_LATE),
    Player(Account("local", "", "tomas"), "Tomas", "America/Los_Angeles", Temper.STEADY),
)


class Heard(LocalPlatform):
    """With an ear for what somebody at the browser can see."""

    posts = 0

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        receipt = await super().post(to, message, key)
        self.posts += isinstance(to, Room) or to in {person.account for person in YOU}
        return receipt


class DemoTime:
    """The time bar: moves the stage, and says what comes next."""

    def __init__(self, stage: Stage, heard: Heard, clock: VirtualClock, cohort: Cohort) -> None:
        self._stage, self._heard, self._clock, self._cohort = stage, heard, clock, cohort
        self._end = cohort.course.ends + timedelta(days=21)
        beats = cohort.course.beats()
        self._moments = [moment for moment in calendar.moments(cohort.course.spans, beats, cohort.course.zone)
                         if moment.kind != PostKind.NUDGE.value]

    async def next_post(self) -> None:
        """To the next post in the room or direct message to one of the people you can be."""
        before = self._heard.posts
        # What the players do, and nudges that turn out not to be called for, are no reason to stop.
        while self._heard.posts == before and self._clock.now() < self._end:
            due = await self._stage.next_due()
            if due is None:
                break
            await self._stage.play(max(due, self._clock.now()))

    async def advance(self, days: int) -> None:
        await self._stage.play(min(self._clock.now() + timedelta(days=days), max(self._end, self._clock.now())))

    def outlook(self) -> Outlook:
        now = self._clock.now()
        ahead = next((moment for moment in self._moments if moment.due > now), None)
        if ahead is None:
            return Outlook(now, self._cohort.zone, "", ended=True)
        number = self._cohort.course.number(ahead.span.id)
        step = f"{self._cohort.edition.plan.unit.capitalize()} {number}"
        label = {PostKind.WELCOME: "Welcome", PostKind.WEEK_OPENS: f"{step} opens",
                 PostKind.HALF_TIME: "Half-time", PostKind.WEEK_CLOSES: f"{step} closes",
                 PostKind.GRADUATION: "Graduation"}[PostKind(ahead.kind)]
        return Outlook(now, self._cohort.zone, label, ahead.due)


@asynccontextmanager
async def demo(guide: Guide, database_url: str, site: Path | None, seed: int) -> AsyncIterator[web.Application]:
    """Everything running but the socket. Begins some days before the cohort; `site` is the built guide."""
    real = RealClock().now()
    zone = "Europe/Berlin"
    today = calendar.local_day(real, ZoneInfo(zone))
    monday = today + timedelta(days=7 - today.weekday() + (7 if today.weekday() > 2 else 0))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(database_url, durable=False))
        migrate(database)
        clock = VirtualClock(real, runs=True)
        ledger = StoredLedger(database)
        edition = Edition.of(guide, guide.cohort.plan)
        desk = Desk(ledger, guide, Site(""))
        cohort = await open_cohort(ledger, "The demo cohort", monday, zone, edition, ROOM, YOU[-1].account,
                                   secrets.token_hex(8), real)
        history = History(database)
        people = [*YOU, *(Person(player.account.user, player.name, player.zone, simulated=True) for player in PLAYERS)]
        heard = Heard(history, clock, ROOM)
        herald = Herald(ledger, {"local": heard}, clock, Site(""))
        stage = Stage(desk, herald, clock, cohort, PLAYERS, seed)
        await stack.enter_async_context(Ticker(stage.tick, clock))
        yield chat(desk, history, clock, people, ROOM, site, DemoTime(stage, heard, clock, cohort), voice=edition.voice)
