"""What the end-to-end tests share: the real bot in its own process, before the emulated Slack, in virtual time.

    async with town_of(tmp_path, OPENED, "socket") as town:
        await town.start()
        due = await town.reach(instant)
        shown = await town.type(ada, "/week")
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.cohort.journal import CheckedIn, Entry, Joined
from bot.desk import open_cohort
from bot.ledger import Account, Cohort, Logged, Member, RequestId, Room, State, Transaction
from bot.slack.manifest import EVENTS, SCOPES
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from scheduler.clock import VirtualClock
from tests.bot import season
from tests.bot.season import Pace, guide, until
from tests.emulators.slack import Slack
from tests.emulators.slack_world import Posted, Shown

Kind = Literal["socket", "http"]
KINDS: tuple[Kind, ...] = ("socket", "http")
TEAM, CHANNEL, ORGANISER = "T1", "C1", "UORGANISER"
SPEED = 20.0
"""Slack's limits are counted, and waited for, so much faster than real time, by both sides."""
MINUTES, WEEK = timedelta(minutes=1), timedelta(days=7)
REFUSED = "⚠️"
T = TypeVar("T")


class Watched(Slack):
    """Keeps when each call came, and lets triggers live by real time, whatever the pace of the limits."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.arrived: list[tuple[float, str]] = []
        """(`monotonic`, method) of each call, before anything becomes of it."""
        self._pressed_at: dict[str, float] = {}
        self._at_home: set[tuple[str, str]] = set()

    async def _api(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append((self.monotonic(), request.match_info["method"]))
        return await super()._api(request)

    def _trigger(self, *about: Any) -> str:
        trigger = super()._trigger(*about)
        self._pressed_at[trigger] = time.monotonic()
        return trigger

    def spend(self, team: str, trigger_id: str) -> Any:
        if (trigger := self._triggers.get(trigger_id)) is not None:
            trigger.at = self.monotonic() - (time.monotonic() - self._pressed_at[trigger_id])
        return super().spend(team, trigger_id)

    def show(self, team: str, user: str, shown: Shown, cause: str | None = None) -> None:
        """A home that is drawn anew after a check-in is not what somebody sees who does something else."""
        if shown.kind == "home" and (team, user) not in self._at_home:
            cause = cause or "drawn anew"
        super().show(team, user, shown, cause)

    async def open_home(self, team: str, user: str, *, within: float | None = None) -> Shown:
        self._at_home.add((team, user))
        try:
            return await super().open_home(team, user, within=within)
        finally:
            self._at_home.discard((team, user))

    def asked(self, method: str) -> int:
        """How often, whatever became of it."""
        return sum(name == method for _, name in self.arrived)

    def done(self, method: str) -> int:
        return sum(call.method == method and call.error is None for call in self.calls)

    @property
    def connections(self) -> int:
        """Also those that Slack is about to close."""
        return len(self._sockets)

    async def again(self, number: int = -1, retry: int = 0) -> None:
        """Sends what it has sent before once more."""
        sent = self.sent[number]
        await self._deliver(sent.kind, sent.payload, "the same", retry,  # type: ignore[arg-type]
                            "http_timeout" if retry else "")

    async def send(self, kind: str, payload: Mapping[str, object]) -> None:
        """Raises NoAnswer when nobody acknowledges."""
        await self._deliver(kind, dict(payload), "something")  # type: ignore[arg-type]


@dataclass(eq=False, kw_only=True)
class Town(season.Town):
    slack: Watched
    kind: Kind

    @property
    def log(self) -> str:
        """Of all processes."""
        return (self.folder / "bot.log").read_text(encoding="utf-8")

    async def arrived(self, within: float = 30.0) -> None:
        if self.kind == "socket":
            await self.slack.until(lambda: self.slack.sockets, within)
        if "NINETY_SLACK_LISTEN" in self.environment:
            await listening(self.environment["NINETY_SLACK_LISTEN"], within)

    async def gone(self) -> None:
        await until(lambda: not self.slack.connections)

    # --- the database -------------------------------------------------------------------------------------------------

    @property
    def database(self) -> Path:
        return self.folder / "ninety.db"

    async def open(self, start: date, zone: str, members: Iterable[str] = (), *, team: str = TEAM,
                   channel: str = CHANNEL, title: str = "Autumn", named: str = "{}") -> Cohort:
        """A cohort in the channel with these members, all of its zone, who have joined before its start. Written
        straight into the database: hundreds of dialogues would take minutes."""
        database = Database(self.environment["NINETY_DATABASE_URL"], durable=False)
        try:
            migrate(database)
            ledger, now = StoredLedger(database), self.clock.now()
            edition = Edition.of(guide(), "ninety-days")
            cohort = await open_cohort(ledger, title, start, zone, edition, Room("slack", team, channel),
                                       Account("slack", team, ORGANISER), "salt", now)

            def enrol(tx: Transaction) -> None:
                for number, user in enumerate(members):
                    member = tx.add_member(cohort.id, Account("slack", team, user), named.format(name_of(user)),
                                           f"Alias {number}", True, zone, True)
                    tx.append(member, Joined(now, zone, edition.plan.steps[0].id), RequestId("joined"))

            ledger.transact_here(enrol)
            return cohort
        finally:
            database.close()

    def deliveries(self, cohort: Cohort) -> Sequence[Logged]:
        return self.read(lambda tx: tx.deliveries(cohort.id))

    def states(self, cohort: Cohort) -> list[State]:
        """Of what is due by now, but for what is reported to the organiser."""
        return [one.state for one in self.deliveries(cohort)
                if one.delivery.due <= self.clock.now() and one.delivery.kind != "report"]

    def member(self, cohort: Cohort, user: str, team: str = TEAM) -> Member:
        found = self.read(lambda tx: tx.enrolment(cohort.id, Account("slack", team, user)))
        assert found is not None
        return found

    def journal(self, cohort: Cohort, user: str, team: str = TEAM) -> list[Entry]:
        member = self.member(cohort, user, team)
        return list(self.read(lambda tx: tx.journal(member.id)))

    def checked_in(self, cohort: Cohort, user: str, team: str = TEAM) -> list[CheckedIn]:
        return [entry.event for entry in self.journal(cohort, user, team) if isinstance(entry.event, CheckedIn)]

    # --- what people do and see ---------------------------------------------------------------------------------------

    def posts(self, channel: str = CHANNEL, team: str = TEAM) -> list[Posted]:
        """Of the bot, in the channel."""
        return [one for one in self.slack.history(team, channel) if one.bot_id]

    def direct(self, user: str, team: str = TEAM) -> list[Posted]:
        """Of the bot, to the person."""
        return self.posts(user, team)

    def join(self, *names: str, team: str = TEAM) -> list[str]:
        """People who are in the workspace and all its channels from now on."""
        users = [f"U{name.upper().replace(' ', '')}" for name in names]
        for user, name in zip(users, names, strict=True):
            self.slack.add_user(team, user, name)
            for channel in self.slack.teams[team].channels.values():
                if channel.im is None:
                    channel.members.add(user)
        return users

    async def type(self, user: str, line: str, channel: str = CHANNEL, team: str = TEAM, **more: Any) -> Shown:
        command, _, text = line.partition(" ")
        return await self.slack.type(team, user, channel, command, text, **more)

    async def submit(self, user: str, form: Shown, team: str = TEAM, **values: Any) -> Shown:
        assert form.view is not None, form
        return await self.slack.submit(team, user, form.view,
                                       {f"field:{name}": value for name, value in values.items()})

    async def press(self, user: str, on: Shown | Posted, label: str, team: str = TEAM, **more: Any) -> Shown:
        """The button with that label."""
        where = on if isinstance(on, Posted) else on.view or on.message
        assert where is not None
        found = [element["action_id"] for block in where.blocks if block["type"] == "actions"
                 for element in block["elements"] if element["text"]["text"] == label]
        assert found, (label, where.blocks)
        return await self.slack.press(team, user, where, found[0], **more)

    async def check_in(self, user: str, week: int = 1, channel: str = CHANNEL, team: str = TEAM, **values: Any) \
            -> Shown:
        form = await self.type(user, f"/checkin {week}", channel, team)
        return await self.submit(user, form, team, **{"hours": "6", **values})

    async def board(self, user: str, channel: str = CHANNEL, team: str = TEAM) -> set[tuple[str, str]]:
        """(name, points) of each row that this person sees."""
        return rows_in((await self.type(user, "/leaderboard", channel, team)).words)


@asynccontextmanager
async def town_of(folder: Path, now: datetime, kind: Kind, *, speed: float = SPEED, install: bool = True,
                  **emulator: Any) -> AsyncIterator[Town]:
    """A workspace with two channels and nobody but an organiser. No process runs yet; at the end none does any more.

    Without `install` no workspace has the app, and any may install it."""
    clock, pace = VirtualClock(now), Pace(speed)
    async with Watched(now=clock.now, monotonic=pace.monotonic, **emulator) as slack:
        environment = {"NINETY_DATABASE_URL": f"sqlite:///{folder}/ninety.db", "NINETY_SLACK_API_URL": slack.api_url}
        if kind == "socket":
            environment["NINETY_SLACK_APP_TOKEN"] = slack.app_token
        else:
            environment["NINETY_SLACK_SIGNING_SECRET"] = slack.signing_secret
        if kind == "http" or not install:
            environment["NINETY_SLACK_LISTEN"] = listen = f"127.0.0.1:{free_port()}"
            if kind == "http":
                slack.request_url = f"http://{listen}{EVENTS}"
            slack.redirect_uris = [f"http://{listen}"]
        town = Town(slack=slack, kind=kind, clock=clock, folder=folder, pace=pace, environment=environment)
        for team in (TEAM,) if install else (TEAM, "T2"):
            slack.add_team(team)
            slack.add_channel(team, CHANNEL)
            slack.add_channel(team, "C2")
            town.join("organiser", team=team)
        if install:
            environment["NINETY_SLACK_BOT_TOKEN"] = slack.grant(TEAM, SCOPES).value
        try:
            yield town
        finally:
            await town.stop()


# --- small things -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def listening(address: str, within: float = 30.0) -> None:
    """Returns when somebody listens there. Raises TimeoutError."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(within):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return
            await asyncio.sleep(0.01)


def local(day: date, clock: str, zone: str) -> datetime:
    """The instant at which a clock in that zone shows that time."""
    return datetime.combine(day, datetime.strptime(clock, "%H:%M").time(), ZoneInfo(zone))  # noqa: DTZ007  # a time


def name_of(user: str) -> str:
    return user[1:].title()


def title(message: Posted | Shown) -> str:
    """The first line, without its markup."""
    return message.words.split("\n")[0].strip("* ")


def is_refused(shown: Shown) -> bool:
    return shown.kind in ("nothing", "errors") or shown.words.startswith(REFUSED)


_ROW = re.compile(r"\*?\d+\. \*?(.*?)\*?(?: \*?\(you\))?\*? · Points: (-?\d+)", re.IGNORECASE)


def rows_in(text: str) -> set[tuple[str, str]]:
    """(name, points) of each row of a board."""
    return {(found[1].strip("*"), found[2]) for line in text.split("\n") if (found := _ROW.match(line.strip()))}
