"""What the tests of Slack's shell and transports build with: the emulated Slack, a real desk, and a process of ours
that hears of it through a socket or by signed requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation

from bot.desk import Caller, Desk
from bot.herald import posts
from bot.ledger import Account, Cohort, RequestId, Room, Transaction
from bot.messages import Answers, Form, Message
from bot.slack.clients import Clients
from bot.slack.installations import Installations, cipher
from bot.slack.manifest import SCOPES
from bot.slack.shell import Shell
from bot.slack.transports import HttpDoor, SocketLine, bolt
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.model import Voice
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, START, edition, guide
from tests.emulators.slack import Slack
from tests.emulators.slack_world import Posted, Shown, User, View

Kind = Literal["socket", "http"]
KINDS: tuple[Kind, ...] = ("socket", "http")
VOICE: Voice = edition().voice
NOT_SAVED = VOICE.refusals.not_saved
TOO_SLOW = VOICE.refusals.too_slow
TYPED = {"name": "Ada", "shown": "name", "zone": "Europe/Berlin", "nudges": "yes"}


async def until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds; TimeoutError after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # nobody sets an event there
            await asyncio.sleep(0.002)


class Slow:
    """The real desk, behind a door that is shut while a test says so."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.opened = asyncio.Event()
        self.opened.set()
        self.waiting = asyncio.Event()
        """Somebody stands before the door."""

    @property
    def voice(self) -> Voice:
        return self._desk.voice

    async def _through(self) -> None:
        if not self.opened.is_set():
            self.waiting.set()
        await self.opened.wait()

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        await self._through()
        return await self._desk.command(caller, line, request, now)

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        await self._through()
        return await self._desk.submit(caller, kind, about, answers, request, now)


class Broken(Slow):
    """A desk with a bug, whose exceptions quote what was typed."""

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        raise ZeroDivisionError(f"{answers}")

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        if "progress" in line:
            raise ZeroDivisionError(line)
        return await super().command(caller, line, request, now)


@dataclass
class Admin(User):
    """Runs the workspace."""

    def payload(self, team: str, now: datetime) -> dict[str, Any]:
        return super().payload(team, now) | {"is_admin": True}


@dataclass
class Ticks:
    """The clock of triggers and limits."""

    at: float = 1000.0

    def monotonic(self) -> float:
        return self.at


@dataclass
class Stage:
    slack: Slack
    kind: Kind
    ledger: StoredLedger
    database: Database
    cohort: Cohort
    desk: Slow
    clock: VirtualClock
    ticks: Ticks
    clients: Clients
    installations: Installations
    session: aiohttp.ClientSession
    shell: Shell = field(init=False)
    closing: Callable[[], Any] = field(init=False)

    async def start(self, patience: float = 2.2) -> None:
        """A new process of ours; one that runs already is ended."""
        if hasattr(self, "closing"):
            await self.closing()
        self.shell = Shell(self.desk, self.clients, self.clock, self.session, patience=patience)
        app = bolt(self.shell, self.slack.signing_secret, self.installations)
        if self.kind == "socket":
            line = SocketLine(app, self.shell, self.slack.app_token, self.session, self.slack.api_url)
            keeping = asyncio.create_task(line.keep())
            await self.slack.until(lambda: self.slack.sockets)

            async def closing() -> None:
                await line.close()
                await keeping
        else:
            door = HttpDoor(app, self.shell)
            inside = web.Application()
            inside.add_routes(door.routes())
            server = TestServer(inside, host="127.0.0.1")
            await server.start_server(access_log=None)
            self.slack.request_url = str(server.make_url("/slack/events"))

            async def closing() -> None:
                await server.close()
                await door.close()
        self.closing = closing

    # --- what people do -----------------------------------------------------------------------------------------------

    async def type(self, line: str, user: str = "UADA", channel: str = "C1", team: str = "T1", **more: Any) -> Shown:
        command, _, text = line.partition(" ")
        return await self.slack.type(team, user, channel, command, text, **more)

    async def press(self, shown: Shown | Posted, label: str, user: str = "UADA", team: str = "T1", **more: Any) \
            -> Shown:
        """The button with that label."""
        on = shown if isinstance(shown, Posted) else shown.view or shown.message
        assert on is not None
        found = [element["action_id"] for block in on.blocks if block["type"] == "actions"
                 for element in block["elements"] if element["text"]["text"] == label]
        assert len(found) >= 1, (label, on.blocks)
        return await self.slack.press(team, user, on, found[0], **more)

    async def submit(self, form: Shown, user: str = "UADA", team: str = "T1", **values: Any) -> Shown:
        assert form.view is not None
        answer = await self.slack.submit(team, user, form.view,
                                         {f"field:{name}": value for name, value in values.items()})
        await self.settle()
        return answer

    async def settle(self) -> None:
        """Nothing is under way any more."""
        await self.shell.drain(5)

    async def join(self, user: str = "UADA", **values: Any) -> Shown:
        form = await self.type("/cohort join", user)
        answer = await self.submit(form, user, **{**TYPED, "name": user.title(), **values})
        assert answer.kind == "modal", answer
        return answer

    async def acknowledged(self, command: str) -> None:
        """Slack has its sign for the last command, and shows nothing yet."""
        await until(lambda: self.slack.sent and self.slack.sent[-1].payload.get("command") == command)
        assert self.slack.sent[-1].acknowledged

    async def again(self, number: int = -1) -> None:
        """Slack sends what it has sent before once more."""
        sent = self.slack.sent[number]
        await self.slack._deliver(sent.kind, sent.payload, "the same")  # type: ignore[arg-type]

    def said(self, method: str) -> int:
        """How many calls of the method Slack took."""
        return sum(call.method == method and call.error is None for call in self.slack.calls)

    def journal(self, user: str = "UADA", team: str = "T1") -> list[str]:
        """The kinds of the member's entries."""
        def work(tx: Transaction) -> list[str]:
            enrolled = tx.enrolment(self.cohort.id, Account("slack", team, user))
            return [] if enrolled is None else [type(entry.event).__name__ for entry in tx.journal(enrolled.id)]

        return self.ledger.transact_here(work)


def titles(view: View | None) -> tuple[str, list[str]]:
    """Of a modal: its title, and the names of its fields."""
    assert view is not None
    return view.title, [block["block_id"] for block in view.blocks if block["type"] == "input"]


@asynccontextmanager
async def staged(kind: Kind, database: Database, now: datetime, *, desk: type[Slow] = Slow,
                 teams: Iterable[str] = ("T1", "T2"), patience: float = 2.2) -> AsyncIterator[Stage]:
    """Two workspaces whose ids are alike, in the first of which a cohort lives in C1."""
    ledger, clock, ticks = StoredLedger(database), VirtualClock(now), Ticks()

    def opened(tx: Transaction) -> Cohort:
        cohort = tx.open_cohort("Ninety & co", START, "Europe/Berlin", edition(), Room("slack", "T1", "C1"),
                                Account("slack", "T1", "UOLU"), "salt", OPENED)
        tx.owe(posts(cohort))
        return cohort

    cohort = ledger.transact_here(opened)
    installations = Installations(database, cipher(Fernet.generate_key().decode()))
    async with Slack(now=clock.now, monotonic=ticks.monotonic) as slack, aiohttp.ClientSession() as session, \
            Clients(installations, clock, slack.api_url) as clients:
        slack.limits = False
        for team in teams:
            slack.add_team(team)
            for user, name in (("UADA", "ada"), ("UBOB", "bob"), ("UOLU", "olu")):
                slack.add_user(team, user, name, tz="Europe/Berlin")
            slack.teams[team].users["UROOT"] = Admin("UROOT", "root")
            for channel in ("C1", "C2"):
                slack.add_channel(team, channel, members=["UADA", "UBOB", "UOLU", "UROOT"])
            token = slack.grant(team, SCOPES)
            await installations.async_save(Installation(user_id="UROOT", team_id=team, bot_token=token.value,
                                                        installed_at=clock.now().timestamp()))
        stage = Stage(slack, kind, ledger, database, cohort, desk(Desk(ledger, guide())), clock, ticks, clients,
                      installations, session)
        await stage.start(patience)
        try:
            yield stage
        finally:
            stage.desk.opened.set()
            await stage.closing()
