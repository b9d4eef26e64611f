"""Slack as the players of a season see it, and the real bot in its own process before it.

    async with workspace(clock, pace, "socket") as slack:       # an emulated Slack with one workspace and one channel
        town = SlackTown.of(slack, tmp_path)
        await town.start()
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.ledger import Account
from bot.messages import Checks, Choice, Field, Form, Line, Option, Paragraph
from bot.slack.manifest import BOT_EVENTS, SCOPES
from scheduler.clock import VirtualClock
from tests.bot.season import SPEED, UNHURRIED, Note, Pace, Seen, Town, Unanswered, Values
from tests.bot.slack.stage import Admin, Kind
from tests.emulators.slack import Called, Fault, NoAnswer, Sent, Slack
from tests.emulators.slack_blocks import ONE_OF, SOME_OF, Json, elements, options_of
from tests.emulators.slack_methods import Method
from tests.emulators.slack_world import Posted, Shown, Team, Token, User, View

TEAM, CHANNEL, OWNER = "T1", "C1", "UROOT"
SENDING = ("chat.postMessage", "conversations.open", "conversations.history")
ANSWERING = ("views.open", "views.update", "views.publish", "users.info", "acknowledgement")


class Watched(Slack):
    """Asks of each call, before it is carried out and after it, and of each acknowledgement, whether the rest of it is
    lost. People are unhurried, and so long lives a trigger; limits are counted by virtual time and, within an instant,
    by the pace of the bot."""

    def __init__(self, clock: VirtualClock, pace: Pace) -> None:
        super().__init__(now=clock.now, monotonic=lambda: time.monotonic() / UNHURRIED, patience=3 * UNHURRIED)
        self.watch: Callable[[str], bool] = lambda call: False
        self.asked: defaultdict[str, list[str]] = defaultdict(list)
        """Of each person: the triggers of everything they did."""
        self._paced = lambda: pace.monotonic() + clock.now().timestamp()
        self._at_home: set[str] = set()

    def _trigger(self, team: str, user: str, cause: Any, view: str | None = None) -> str:
        trigger = super()._trigger(team, user, cause, view)
        self.asked[user].append(trigger)
        return trigger

    def _admit(self, name: str, method: Method, token: Token | None, args: Json, fault: Fault | None) -> None:
        real, self.monotonic = self.monotonic, self._paced
        try:
            super()._admit(name, method, token, args, fault)
        finally:
            self.monotonic = real

    def show(self, team: str, user: str, shown: Shown, cause: str | None = None) -> None:
        """Who does not look at their home does not see that it has changed."""
        if shown.kind != "home" or user in self._at_home:
            super().show(team, user, shown, cause)

    async def open_home(self, team: str, user: str, *, within: float | None = None) -> Shown:
        self._at_home.add(user)
        try:
            return await super().open_home(team, user, within=within)
        finally:
            self._at_home.discard(user)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        if self.watch(name):
            raise web.HTTPServiceUnavailable
        answer = await super()._api(request)
        if self.watch(name):
            raise web.HTTPServiceUnavailable
        return answer

    def _acknowledged(self, data: str) -> None:
        if not self.watch("acknowledgement"):
            super()._acknowledged(data)

    async def knock(self, *args: Any, **more: Any) -> tuple[int, str]:
        answer = await super().knock(*args, **more)
        if self.watch("acknowledgement"):
            raise aiohttp.ServerDisconnectedError
        return answer


class OnSlack:
    """One workspace with one channel."""

    platform = "slack"

    def __init__(self, slack: Watched, kind: Kind, port: int) -> None:
        self.slack, self.kind, self._port = slack, kind, port
        self.organiser = OWNER
        self._team.users[OWNER] = Admin(OWNER, "root")
        slack.add_channel(TEAM, CHANNEL, "cohort", members=[OWNER])

    @property
    def _team(self) -> Team:
        return self.slack.teams[TEAM]

    def environment(self) -> dict[str, str]:
        """What the bot is told."""
        token = self._team.token
        assert token is not None
        told = {"NINETY_SLACK_BOT_TOKEN": token.value, "NINETY_SLACK_API_URL": self.slack.api_url}
        if self.kind == "socket":
            return told | {"NINETY_SLACK_APP_TOKEN": self.slack.app_token}
        return told | {"NINETY_SLACK_SIGNING_SECRET": self.slack.signing_secret,
                       "NINETY_SLACK_LISTEN": f"127.0.0.1:{self._port}"}

    async def arrived(self, within: float = 30.0) -> None:
        if self.kind == "socket":
            await self.slack.until(lambda: self.slack.sockets, within)
            return
        async with asyncio.timeout(within):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.005)
                    continue
                writer.close()
                return

    async def gone(self) -> None:
        """Requests are cut off with the process itself."""
        if self.kind == "socket":
            await self.slack.until(lambda: not self.slack.sockets, 30)

    # --- what there is to see ----------------------------------------------------------------------------------------

    def people(self, people: Sequence[tuple[str, str]]) -> list[str]:
        """(name, zone) of each who is in the channel from now on."""
        ids = [f"U{number:03}" for number in range(len(self._team.users), len(self._team.users) + len(people))]
        for id, (name, zone) in zip(ids, people, strict=True):
            self._team.users[id] = User(id, name, zone)
            self._team.channels[CHANNEL].members.add(id)
        return ids

    def account(self, person: str) -> Account:
        return Account("slack", TEAM, person)

    def posts(self) -> list[Note]:
        return self._notes(CHANNEL)

    def direct(self, person: str) -> list[Note]:
        return self._notes(person)

    def _notes(self, channel: str) -> list[Note]:
        return [_note(one) for one in self.slack.history(TEAM, channel) if one.user == self._team.bot_user]

    def called(self) -> list[str]:
        return [found for one in self.slack.history(TEAM, CHANNEL)
                for found in re.findall(r"<[@!#](?!date)[^>]*>", one.words)]

    def board(self, text: str) -> list[tuple[int, str, int, int]]:
        rows = (_ROW.fullmatch(line.replace("*", "")) for line in text.split("\n"))
        return [(int(row[1]), row[2], int(row[4]), int(row[5])) for row in rows if row]

    def asked(self, person: str) -> list[str]:
        return [f"slack:{trigger}" for trigger in self.slack.asked[person]]

    def refusals(self) -> list[Called | Sent | str]:
        """Everything that Slack has said no to, had to slow down, or was not told that it had arrived."""
        return [*(call for call in self.slack.calls if call.error is not None), *self.slack.limited,
                *(one for one in self.slack.sent if not one.acknowledged or one.retry), *self.slack.strays]

    # --- what people do ----------------------------------------------------------------------------------------------

    async def type(self, person: str, line: str) -> Seen:
        command, _, text = line.partition(" ")
        return await _seen(self.slack.type(TEAM, person, CHANNEL, f"/{command}", text))

    async def press(self, person: str, on: Note | Seen, label: str) -> Seen:
        surface = on.raw if isinstance(on, Note) else _shown(on).view or _shown(on).message
        assert isinstance(surface, Posted | View)
        found = next(element for block, element in _buttons(surface.blocks) if element["text"]["text"] == label)
        return await _seen(self.slack.press(TEAM, person, surface, found["action_id"]))

    async def submit(self, person: str, form: Seen, values: Values) -> Seen:
        view = _view(form)
        filled: dict[str, str | list[str] | tuple[str, ...] | None] = {}
        for name, value in values.items():
            assert not isinstance(value, bool)
            filled[f"field:{name}"] = value if value is None or isinstance(value, str) else list(value)
        shown = await _seen(self.slack.submit(TEAM, person, view, filled))
        # Where the desk was slow the sign that it is at work goes first.
        await self.slack.until(lambda: "external_id" not in view.body, 3 * UNHURRIED)
        if shown.raw is not None and _shown(shown).kind == "modal":
            shown = _of(Shown("modal", view=view))
            await self.slack.close(TEAM, person, view)
        return shown

    async def home(self, person: str) -> Seen | None:
        return await _seen(self.slack.open_home(TEAM, person))

    def watch(self, watch: Callable[[str], bool]) -> None:
        self.slack.watch = lambda call: watch(
            "sending" if call in SENDING else "answering" if call in ANSWERING else "")


@asynccontextmanager
async def workspace(clock: VirtualClock, pace: Pace, kind: Kind) -> AsyncIterator[OnSlack]:
    """Nobody is in it but its owner, and the app."""
    async with Watched(clock, pace) as slack:
        slack.subscribed = set(BOT_EVENTS)
        slack.add_team(TEAM)
        slack.grant(TEAM, SCOPES)
        port = _free_port()
        if kind == "http":
            slack.request_url = f"http://127.0.0.1:{port}/slack/events"
        yield OnSlack(slack, kind, port)


@dataclass(eq=False, kw_only=True)
class SlackTown(Town):
    chat: OnSlack

    async def arrived(self, within: float = 30.0) -> None:
        await self.chat.arrived(within)

    async def gone(self) -> None:
        await self.chat.gone()


@asynccontextmanager
async def town(folder: Path, now: datetime, kind: Kind) -> AsyncIterator[SlackTown]:
    """No process runs yet; at the end none does any more."""
    clock, pace = VirtualClock(now), Pace(SPEED)
    async with workspace(clock, pace, kind) as chat:
        one = SlackTown(chat=chat, clock=clock, pace=pace, folder=folder, patience=UNHURRIED, environment={
            "NINETY_DATABASE_URL": f"sqlite:///{folder}/ninety.db", **chat.environment()})
        try:
            yield one
        finally:
            await one.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# --- what a person reads ----------------------------------------------------------------------------------------------

_ROW = re.compile(r"(\d+)\. (.*?)( \(you\))? · [^:]+: (-?\d+) · [^:]+: (\d+)")


def _buttons(blocks: Sequence[Json]) -> list[tuple[Json, Json]]:
    return [(block, element) for block, element in elements(list(blocks)) if element["type"] == "button"]


def _note(message: Posted) -> Note:
    # Within one instant Slack tells messages apart by microseconds.
    at = datetime.fromtimestamp(int(message.ts.partition(".")[0]), UTC)
    words = html.unescape(message.words)
    return Note(at, _title(words), words,
                [element["text"]["text"] for _, element in _buttons(message.blocks)], message)


def _title(words: str) -> str:
    return words.partition("\n")[0].replace("*", "")


def _shown(seen: Seen) -> Shown:
    assert isinstance(seen.raw, Shown)
    return seen.raw


def _view(seen: Seen) -> View:
    view = _shown(seen).view
    assert view is not None
    return view


async def _seen(asking: Awaitable[Shown]) -> Seen:
    try:
        shown = await asking
    except NoAnswer:
        raise Unanswered from None
    if shown.kind == "nothing":
        raise Unanswered
    return _of(shown)


def _of(shown: Shown) -> Seen:
    view = shown.view if shown.kind == "modal" else None
    form = view is not None and "submit" in view.body
    about = str(json.loads(view.body["private_metadata"])["about"]) if view is not None and form else ""
    words = html.unescape("\n".join(shown.errors.values()) if shown.kind == "errors" else shown.words)
    return Seen(_title(words), words, shown.kind == "errors" or words.startswith("⚠️"), shown,
                _form(view.blocks) if view is not None and form else None, about)


def _form(blocks: list[Json]) -> Form:
    """As a person reads it, for the rehearsal's players to fill in."""
    fields: list[Field] = []
    for block, element in elements(blocks):
        if block["type"] != "input":
            continue
        name = block["block_id"].partition(":")[2]
        if element["type"] in (*SOME_OF, *ONE_OF):
            initial = element.get("initial_options", [])
            options = tuple(Option(one["value"], (), one in initial) for one in options_of(element))
            fields.append((Checks if element["type"] in SOME_OF else Choice)(name, "", "", options))
        else:
            fields.append((Paragraph if element.get("multiline") else Line)(
                name, "", "", element.get("initial_value") or ""))
    return Form("check-in", "", "", (), tuple(fields), "")
