"""What the end-to-end tests share: the real bot in its own process, before the emulated Discord, in virtual time.

    async with stage(tmp_path, OPENED) as town:
        await town.start()
        due = await town.reach(instant)
        shown = await town.discord.type(ada, town.channel, "week")
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.cohort.journal import Joined
from bot.desk import open_cohort
from bot.discord.render import REFUSED
from bot.ledger import Account, Cohort, Logged, Member, RequestId, Room, Transaction
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from scheduler.clock import VirtualClock
from tests.bot.season import SPEED, Pace, Town
from tests.bot.season import guide as guide  # for the tests that are built on the stage
from tests.bot.season import until as until
from tests.emulators.discord import Discord, Shown, text_of
from tests.emulators.discord_people import ANSWER_WITHIN
from tests.emulators.discord_world import Channel, Json, Message, User

TOKEN = "MTA.token-of-the-tests"  # noqa: S105  # of nobody


class Watched(Discord):
    """Asks of each request, before it is carried out and after it, whether the rest of it is lost."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.watch: Callable[[str], bool] = lambda route: False
        self.arrived: list[str] = []
        """Method and path of every request, before anything becomes of it."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append(f"{request.method} {request.path}")
        return await super()._serve(request)

    def _hold_ours(self, name: str, status: int, body: object) -> None:
        """Not here: tests/emulators holds the emulator's own answers, and it takes as long as all the rest."""

    async def _carry_out(self, request: web.Request, name: str, ids: tuple[str, ...]) -> Any:
        if self.watch(name):
            raise web.HTTPServiceUnavailable
        try:
            return await super()._carry_out(request, name, ids)
        finally:
            if self.watch(name):
                raise web.HTTPServiceUnavailable


@dataclass(eq=False, kw_only=True)
class Stage(Town):
    discord: Watched
    channel: Channel

    @property
    def organiser(self) -> User:
        assert self.channel.guild is not None
        return self.channel.guild.owner

    @property
    def room(self) -> Room:
        assert self.channel.guild is not None
        return Room("discord", self.channel.guild.id, self.channel.id)

    async def arrived(self, within: float = 30.0) -> None:
        """The commands are published, too."""
        await self.discord.ready(within)
        await until(lambda: bool(self.discord.commands), within)

    on_discord = arrived

    async def gone(self) -> None:
        await self.discord.gateway.until(lambda: not self.discord.gateway.live)

    # --- the database ------------------------------------------------------------------------------------------------

    async def open(self, start: date, zone: str, members: Mapping[User, str], *, plan: str = "ninety-days",
                   nudges: bool = True, organiser: bool = True, role: str = "") -> Cohort:
        """A cohort in the channel with these members (by their zones), who have joined before its start. Written
        straight into the database: hundreds of dialogues would take minutes."""
        database = Database(self.environment["NINETY_DATABASE_URL"], durable=False)
        try:
            migrate(database)
            ledger, now = StoredLedger(database), self.clock.now()
            edition = Edition.of(guide(), plan)
            cohort = await open_cohort(ledger, "Autumn", start, zone, edition, self.room,
                                       account(self.organiser) if organiser else None, "salt", now,
                                       graduate_role=role)

            def enrol(tx: Transaction) -> None:
                for number, (user, of) in enumerate(members.items()):
                    member = tx.add_member(cohort.id, account(user), user.name, f"Alias {number}", True, of, nudges)
                    tx.append(member, Joined(now, of, edition.plan.steps[0].id), RequestId("joined"))

            ledger.transact_here(enrol)
            return cohort
        finally:
            database.close()

    def deliveries(self, cohort: Cohort) -> Sequence[Logged]:
        return self.read(lambda tx: tx.deliveries(cohort.id))

    def member(self, cohort: Cohort, user: User) -> Member:
        found = self.read(lambda tx: tx.enrolment(cohort.id, account(user)))
        assert found is not None
        return found

    # --- what is there to see ----------------------------------------------------------------------------------------

    @property
    def posts(self) -> list[Message]:
        """Of the bot, in the channel."""
        return [one for one in self.discord.history(self.channel) if one.author is self.discord.bot]

    def direct(self, user: User) -> list[Message]:
        """Of the bot, to the person."""
        channel = self.discord.world.dms.get(user.id)
        return [] if channel is None else [one for one in channel.messages if one.author is self.discord.bot]

    def join(self, *names: str) -> list[User]:
        """People who are on the server from now on."""
        assert self.channel.guild is not None
        return [self.discord.add_member(self.channel.guild, name) for name in names]

    async def check_in(self, user: User, step: int = 1) -> Shown:
        form = await self.discord.type(user, self.channel, "checkin", {"week": str(step)})
        return await self.discord.submit(user, form, {"hours": "6"})

    def refusals(self) -> list[object]:
        """Everything that Discord has said no to, or does not know, or had to slow down."""
        return [*self.discord.unknown, *self.discord.ours, *self.discord.limited,
                *(done for done in self.discord.done if done.status >= 400)]


STAGE = TypeVar("STAGE", bound=Stage)


@asynccontextmanager
async def stage(folder: Path, now: datetime, **more: Any) -> AsyncIterator[Stage]:
    async with staged(Stage, folder, now, **more) as town:
        yield town


@asynccontextmanager
async def staged(kind: type[STAGE], folder: Path, now: datetime, *, speed: float = SPEED, dm_opens: float = 1.0,
                 patience: float = 1.0, **emulator: Any) -> AsyncIterator[STAGE]:
    """A server with a channel and nobody but its owner. No process runs yet; at the end none does any more."""
    clock, pace = VirtualClock(now), Pace(speed)
    discord = Watched(token=TOKEN, now=clock.now, monotonic=pace.monotonic, answer_within=ANSWER_WITHIN * patience,
                      **emulator)
    async with discord:
        town = kind(
            discord=discord, channel=discord.add_channel(discord.add_guild("Ninety"), "cohort"), clock=clock,
            folder=folder, pace=pace, dm_opens=dm_opens, patience=patience, environment={
                "NINETY_DATABASE_URL": f"sqlite:///{folder}/ninety.db", "NINETY_DISCORD_TOKEN": TOKEN,
                "NINETY_DISCORD_API_URL": discord.api_url, "NINETY_DISCORD_GATEWAY_URL": discord.gateway_url})
        try:
            yield town
        finally:
            await town.stop()


def account(user: User) -> Account:
    return Account("discord", "", user.id)


def local(day: date, clock: str, zone: str) -> datetime:
    """The instant at which a clock in that zone shows that time."""
    return datetime.combine(day, datetime.strptime(clock, "%H:%M").time(), ZoneInfo(zone))  # noqa: DTZ007  # a time


# --- what a person reads ----------------------------------------------------------------------------------------------


def title(message: Message | Shown) -> str:
    """The first line, without its markup."""
    text = message.text if isinstance(message, Shown) else text_of(message)
    return re.sub(r"[\\*]", "", text.split("\n")[0]).lstrip("# ")


def is_refused(shown: Shown) -> bool:
    return shown.kind != "modal" and any(
        one.get("accent_color") == REFUSED for one in _payload(shown).get("components") or ())


def _payload(shown: Shown) -> Json:
    return shown.message.payload if shown.message is not None else shown.payload


_ROW = re.compile(r"(\d+) · (.*?)( \(you\))? · (-?\d+) · (\d+)")


def board_in(text: str) -> list[tuple[int, str, int, int]]:
    """(place, name, points, streak) of each row."""
    rows = (_ROW.fullmatch(re.sub(r"[\\*]", "", line)) for line in text.split("\n"))
    return [(int(row[1]), row[2], int(row[4]), int(row[5])) for row in rows if row]


def told(messages: Iterable[Message]) -> list[set[str]]:
    """Whom each of them has pinged."""
    return [set(message.told) for message in messages]
