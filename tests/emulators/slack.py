"""Slack on loopback, for a bot that runs as a real process: Web API, Socket Mode, signed requests, and its people.

It refuses as Slack does, so that a bot which passes here has met the refusals. What a person does returns what they
then see, or raises `NoAnswer` as Slack's "… failed because the app did not respond". Times: `now` stamps messages and
tokens, `monotonic` is the clock of limits, triggers and retries, and `patience` is how long, in real seconds, a person
waits for the bot; Slack's is 3.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import html
import itertools
import json
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
from aiohttp import web

from tests.emulators import slack_blocks
from tests.emulators.slack_blocks import Json, complaint, elements, filled
from tests.emulators.slack_methods import (
    METHODS,
    TOKEN_LIVES,
    TRIGGER_LIVES,
    Call,
    Method,
    checked_view,
    content,
    metadata,
)
from tests.emulators.slack_world import (
    POSTS_A_MINUTE,
    TIERS,
    Channel,
    Edit,
    Limits,
    Posted,
    Refusal,
    Shown,
    Team,
    Token,
    TooMany,
    User,
    View,
)

RESPONSE_URL_LIVES, RESPONSE_URL_USES = 1800.0, 5
RETRIES = (0.0, 60.0, 300.0)
"""Seconds until an event that was not acknowledged is sent again (docs: apis/events-api)."""
MOST_SOCKETS = 10
BOT_SCOPES = frozenset({
    "channels:history", "channels:join", "channels:read", "chat:write", "commands", "groups:history", "groups:read",
    "im:history", "im:read", "im:write", "team:read", "users:read",
})
KNOWN_SCOPES = BOT_SCOPES | {"app_mentions:read", "chat:write.customize", "chat:write.public", "mpim:write"}

Values: TypeAlias = Mapping[str, str | list[str] | tuple[str, ...] | None]


# --- faults -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drop:
    """The connection is cut: before the call has an effect, or after it."""

    accepted: bool


@dataclass(frozen=True)
class Throttle:
    """429, and the method stays shut in that workspace for as long."""

    retry_after: int = 1


@dataclass(frozen=True)
class Fail:
    status: int = 500


@dataclass(frozen=True)
class Slow:
    """The call begins to have its effect after so many real seconds."""

    seconds: float


Fault: TypeAlias = Drop | Throttle | Fail | Slow


class NoAnswer(Exception):
    """What Slack tells a person whose command, press or submission came to nothing."""

    def __init__(self, what: str, reason: Literal["operation_timeout", "dispatch_failed", "http_service_error"]) \
            -> None:
        said = "because the app did not respond" if reason == "operation_timeout" else f'with the error "{reason}"'
        super().__init__(f"{what} failed {said}")
        self.reason = reason


class BadAnswer(Exception):
    """The bot answered what Slack cannot show."""


# --- what is kept -----------------------------------------------------------------------------------------------------


@dataclass
class Trigger:
    team: str
    user: str
    at: float
    cause: str
    view: str | None
    used: bool = False


@dataclass
class ResponseUrl:
    team: str
    user: str
    channel: str
    at: float
    cause: str
    original: Posted | None
    uses: int = 0


@dataclass(frozen=True)
class Code:
    team: str
    user: str
    scopes: frozenset[str]
    redirect_uri: str | None
    at: float


@dataclass(frozen=True)
class Called:
    """A call as it came; `error` is None when it was done."""

    method: str
    team: str
    args: Mapping[str, Any]
    error: str | None


@dataclass(frozen=True)
class Retry:
    """An event that waits to be sent again, from `due` on by `monotonic`."""

    due: float
    number: int
    reason: str
    payload: Json


@dataclass(frozen=True)
class Sent:
    """An envelope or a request to the bot, and whether it acknowledged in time."""

    kind: str
    payload: Json
    retry: int
    acknowledged: bool


@dataclass(frozen=True)
class Installed:
    """The page that the bot shows at the end of an installation."""

    status: int
    text: str


@dataclass(eq=False)
class _Socket:
    ws: web.WebSocketResponse
    request: web.Request
    leaving: bool = False


@dataclass(frozen=True)
class _Cause:
    """Something that a person did, by which what they see is recognised."""

    id: str
    seen: int
    started: float


class Slack:
    """One app as it is installed in several workspaces.

    With `request_url` set (the bot's …/slack/events), commands, interactions and events are sent there, signed;
    otherwise they go through Socket Mode.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC),
                 monotonic: Callable[[], float] = time.monotonic, patience: float = 3.0, rotation: bool = False,
                 port: int = 0) -> None:
        self.now, self.monotonic, self.patience, self.rotation, self.port = now, monotonic, patience, rotation, port
        self.app_id = "A0EMULATED"
        self.client_id, self.client_secret = "1111.2222", secrets.token_hex(16)
        self.signing_secret, self.verification_token = secrets.token_hex(16), secrets.token_hex(12)
        self.app_token = f"xapp-1-{self.app_id}-1-{secrets.token_hex(16)}"
        self.request_url: str | None = None
        self.redirect_uris: list[str] = []
        self.subscribed = {"app_home_opened", "app_uninstalled", "tokens_revoked"}
        """The events that the app asked for; `app_uninstalled` and `tokens_revoked` among them."""
        self.limits = True
        self.commercial = False
        """Distributed outside the Marketplace: history is read once a minute, fifteen messages at a time."""
        self.messages_tab = True
        self.disabled_error = "user_disabled"
        """What chat.postMessage says of a disabled person; Slack does not document it."""

        self.teams: dict[str, Team] = {}
        self.tokens: dict[str, Token] = {
            self.app_token: Token(self.app_token, "", frozenset({"connections:write"})),
        }
        self.views: dict[str, View] = {}
        self.codes: dict[str, Code] = {}
        self.calls: list[Called] = []
        self.limited: Counter[str] = Counter()
        self.sent: list[Sent] = []
        self.retries: list[Retry] = []
        self.strays: list[str] = []
        """Envelope ids that were acknowledged too late, twice or without having been sent."""
        self.exercised: set[str] = set()
        """`method:`, `refusal:` and `fault:` names of what has happened, for the test of COVERAGE."""

        self._limits = Limits()
        self._numbers = itertools.count(1)
        self._last_stamp = 0
        self._faults: dict[str, deque[Fault | None]] = {}
        self._triggers: dict[str, Trigger] = {}
        self._response_urls: dict[str, ResponseUrl] = {}
        self._screens: dict[tuple[str, str], list[tuple[str | None, Shown]]] = {}
        self._pressed: list[tuple[Posted, str, str]] = []
        self._sockets: list[_Socket] = []
        self._tickets: set[str] = set()
        self._turn = 0
        self._awaited: dict[str, asyncio.Future[Json | None]] = {}
        self._duplicates = 0
        self._pulse = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life ---------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link", self._socket)
        app.router.add_post("/response/{token}", self._respond)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self._sockets):
            await socket.ws.close()
        await self._http.close()
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        """For AsyncWebClient(base_url=…)."""
        return f"{self.origin}/api/"

    @property
    def authorize_url(self) -> str:
        return f"{self.origin}/oauth/v2/authorize"

    # --- the world ----------------------------------------------------------------------------------------------------

    def add_team(self, team: str = "T1", name: str = "", *, bot_user: str = "UBOT", bot_id: str = "BBOT") -> Team:
        one = self.teams[team] = Team(team, name or f"Team {team}", (name or team).lower(), bot_user, bot_id)
        one.users[bot_user] = User(bot_user, "ninety", "America/Los_Angeles", is_bot=True)
        return one

    def add_user(self, team: str, user: str, name: str = "", *, tz: str = "Europe/Berlin") -> User:
        one = self.teams[team].users[user] = User(user, name or user.lower(), tz)
        return one

    def add_channel(self, team: str, channel: str, name: str = "", *, members: Iterable[str] = (), bot: bool = True,
                    private: bool = False) -> Channel:
        who = {*members, *((self.teams[team].bot_user,) if bot else ())}
        one = self.teams[team].channels[channel] = Channel(channel, name or channel.lower(), who, private)
        return one

    def grant(self, team: str, scopes: Iterable[str] = BOT_SCOPES) -> Token:
        """Installs the app without the walk of OAuth. Scopes add up; without rotation the token stays the same."""
        one = self.teams[team]
        before = one.token if one.token and one.token.error is None else None
        granted = frozenset(scopes) | (before.scopes if before else frozenset())
        if before and not self.rotation:
            before.scopes = granted
            return before
        value = f"{'xoxe.xoxb-1' if self.rotation else 'xoxb'}-{team}-{self.number()}-{secrets.token_hex(12)}"
        expires = self.now() + TOKEN_LIVES if self.rotation else None
        one.token = self.tokens[value] = Token(value, team, granted, expires)
        one.refresh = f"xoxe-1-{secrets.token_hex(16)}" if self.rotation else None
        return one.token

    def revoke(self, team: str, error: str = "token_revoked") -> None:
        """Ends the installation's tokens and tells the bot."""
        one = self.teams[team]
        for token in self.tokens.values():
            if token.team == team and token.error is None:
                token.error = error
        one.refresh = None
        self._later(self._event(team, {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [one.bot_user]}}))

    def uninstall(self, team: str) -> None:
        """Slack sends both events, in no promised order."""
        self.revoke(team, "account_inactive")
        for channel in self.teams[team].channels.values():
            channel.members.discard(self.teams[team].bot_user)
        self._later(self._event(team, {"type": "app_uninstalled"}))

    def disable(self, team: str, user: str) -> None:
        self.teams[team].users[user].disabled = True

    def archive(self, team: str, channel: str) -> None:
        self.teams[team].channels[channel].archived = True

    def kick(self, team: str, channel: str) -> None:
        """The bot, out of the channel."""
        self.teams[team].channels[channel].members.discard(self.teams[team].bot_user)

    def history(self, team: str, channel: str) -> list[Posted]:
        """What stands in the channel, oldest first, replies in threads too. A person's id: their direct messages."""
        one = self.teams[team]
        for each in one.channels.values():
            if channel in (each.id, each.im):
                return [message for message in each.messages if not message.deleted]
        return []

    def say(self, team: str, user: str, channel: str, text: str) -> Posted:
        """A person posts a message; the bot hears of it only if `message.channels` (or groups, im) is subscribed."""
        place = self._place(team, user, channel)
        message = Posted(team, place.id, user, self.stamp(), text, [])
        place.messages.append(message)
        if f"message.{place.kind}" in self.subscribed:
            kind = {"channels": "channel", "groups": "group", "im": "im"}[place.kind]
            self._later(self._event(team, {**message.payload(), "channel": place.id, "channel_type": kind,
                                           "event_ts": message.ts}, name=f"message.{place.kind}"))
        self._changed()
        return message

    def screen(self, team: str, user: str) -> list[Shown]:
        """All that this person alone was shown, oldest first."""
        return [shown for _, shown in self._screens.get((team, user), [])]

    # --- faults -------------------------------------------------------------------------------------------------------

    def fault(self, method: str, *faults: Fault | None) -> None:
        """The next calls of the method meet these in turn; None lets one pass. `response_url` is a method here."""
        self._faults.setdefault(method, deque()).extend(faults)

    def duplicate(self, payloads: int = 1) -> None:
        """The next payloads are sent twice, as Slack may."""
        self._duplicates += payloads

    # --- used by the methods ------------------------------------------------------------------------------------------

    def number(self) -> int:
        return next(self._numbers)

    def stamp(self) -> str:
        """A ts: unique, increasing, in microseconds."""
        at = self.now()
        micros = int(at.timestamp()) * 10**6 + at.microsecond
        self._last_stamp = max(self._last_stamp + 1, micros)
        return f"{self._last_stamp // 10**6}.{self._last_stamp % 10**6:06d}"

    def ticket(self) -> str:
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        return f"ws://127.0.0.1:{self.port}/link?ticket={ticket}&app_id={self.app_id}"

    def show(self, team: str, user: str, shown: Shown, cause: str | None = None) -> None:
        self._screens.setdefault((team, user), []).append((cause, shown))
        self._changed()

    def changed(self, message: Posted) -> None:
        """To those who have just pressed something in it, the change is the answer."""
        kind: Literal["message", "deleted"] = "deleted" if message.deleted else "message"
        for pressed, user, cause in self._pressed:
            if pressed is message:
                self.show(message.team, user, Shown(kind, message.text, tuple(message.blocks), message), cause)
        self._changed()

    def spend(self, team: str, trigger_id: str) -> Trigger:
        trigger = self._triggers.get(trigger_id)
        if trigger is None or trigger.team != team:
            raise Refusal("invalid_trigger_id" if trigger_id else "invalid_arguments")
        if self.monotonic() - trigger.at > TRIGGER_LIVES:
            raise Refusal("expired_trigger_id")
        if trigger.used:
            raise Refusal("exchanged_trigger_id")
        trigger.used = True
        return trigger

    def raised(self, team: str, user: str, body: Json, below: View | None) -> View:
        """A new view on the person's screen."""
        one = self.teams[team]
        view_id = f"V{self.number():010d}"
        view = self.views[view_id] = View(view_id, team, user, body, self._hash(), self.app_id, one.bot_id,
                                          below.root if below else view_id, below.id if below else None)
        return view

    def redraw(self, view: View, body: Json) -> None:
        """What was typed into fields that remain stays."""
        view.body, view.hash = body, self._hash()
        remain = {(block["block_id"], element.get("action_id")): element["type"] for block, element
                  in elements(view.blocks)}
        view.state = {key: state for key, state in view.state.items() if remain.get(key) == state["type"]}

    def stack(self, view: View) -> list[View]:
        return [one for one in self.views.values() if one.root == view.root and one.open]

    def _hash(self) -> str:
        return f"{int(self.now().timestamp())}.{secrets.token_hex(4)}"

    # --- the Web API --------------------------------------------------------------------------------------------------

    def _next_fault(self, method: str) -> Fault | None:
        script = self._faults.get(method)
        fault = script.popleft() if script else None
        if isinstance(fault, Drop):
            self.exercised.add(f"fault:drop {'after' if fault.accepted else 'before'}")
        elif fault is not None:
            self.exercised.add(f"fault:{type(fault).__name__.lower()}")
        return fault

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        fault = self._next_fault(name)
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Drop) and not fault.accepted:
            return _cut(request)
        if isinstance(fault, Fail):
            if fault.status == 500:
                return web.json_response({"ok": False, "error": "fatal_error"}, status=500)
            return web.Response(status=fault.status, text="<html>upstream unavailable</html>", content_type="text/html")
        args: Json = {}
        token: Token | None = None
        headers: dict[str, str] = {}
        status = 200
        try:
            args, from_form, basic = await _arguments(request)
            method = METHODS.get(name)
            if method is None:
                raise Refusal("unknown_method", req_method=name)
            bearer = _bearer(request, args, from_form)
            token = self._token(method, bearer)
            if token is not None:
                headers["X-OAuth-Scopes"] = ",".join(sorted(token.scopes))
            self._admit(name, method, token, args, fault)
            if method.scopes:
                Call(self, method, token, args, from_form).need(*method.scopes)
            _check_arguments(method, args, from_form)
            answer = {"ok": True, **method.run(Call(self, method, token, args, from_form, basic))}
            error = None
            self.exercised.add(f"method:{name}")
        except Refusal as refusal:
            answer, error = refusal.answer, refusal.error
        except TooMany as busy:
            self.limited[name] += 1
            answer, error, status = {"ok": False, "error": "ratelimited"}, "ratelimited", 429
            headers["Retry-After"] = str(busy.seconds)
        if error:
            self.exercised.add(f"refusal:{error}")
        self.calls.append(Called(name, token.team if token else "", args, error))
        self._changed()
        if isinstance(fault, Drop):
            return _cut(request)
        return web.json_response(answer, status=status, headers=headers)

    def _token(self, method: Method, bearer: str) -> Token | None:
        if method.token == "client":  # noqa: S105  # the kind of token
            return None
        if not bearer:
            raise Refusal("not_authed")
        token = self.tokens.get(bearer)
        if token is None:
            raise Refusal("invalid_auth")
        if token.error:
            raise Refusal(token.error)
        if token.expires and self.now() >= token.expires:
            raise Refusal("token_expired")
        if (method.token == "app") != (token.team == ""):  # noqa: S105  # the kind of token
            raise Refusal("not_allowed_token_type")
        return token

    def _admit(self, name: str, method: Method, token: Token | None, args: Json, fault: Fault | None) -> None:
        team, at = token.team if token else "", self.monotonic()
        if isinstance(fault, Throttle):
            self._limits.close(name, team, at + fault.retry_after)
            raise TooMany(fault.retry_after)
        slow = self.commercial and name in ("conversations.history", "conversations.replies")
        a_minute = POSTS_A_MINUTE if method.posts else 1 if slow else TIERS[method.tier]
        if self.limits:
            self._limits.admit(name, team, at, a_minute, str(args.get("channel")) if method.posts else None)
        else:
            self._limits.admit(name, team, at, 10**9)

    # --- response_url -------------------------------------------------------------------------------------------------

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        fault = self._next_fault("response_url")
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Drop) and not fault.accepted:
            return _cut(request)
        if isinstance(fault, Fail):
            return web.Response(status=fault.status, text="error")
        if isinstance(fault, Throttle):
            return web.Response(status=429, text="rate_limited", headers={"Retry-After": str(fault.retry_after)})
        url = self._response_urls.get(request.match_info["token"])
        status, answer = 200, {"ok": True}
        try:
            if url is None:
                raise Refusal("invalid_url")
            if self.monotonic() - url.at > RESPONSE_URL_LIVES:
                raise Refusal("expired_url")
            if url.uses >= RESPONSE_URL_USES:
                raise Refusal("used_url")
            url.uses += 1
            try:
                args = await request.json()
            except ValueError:
                raise Refusal("invalid_payload") from None
            if not isinstance(args, dict):
                raise Refusal("invalid_payload")
            self._response(url, args)
        except Refusal as refusal:
            self.exercised.add(f"refusal:{refusal.error}")
            status, answer = 404 if refusal.error.endswith("_url") else 400, refusal.answer
        self.calls.append(Called("response_url", url.team if url else "", {}, None if status == 200 else
                                 str(answer["error"])))
        self._changed()
        return _cut(request) if isinstance(fault, Drop) else web.json_response(answer, status=status)

    def _response(self, url: ResponseUrl, args: Json) -> None:
        known = {"text", "blocks", "response_type", "replace_original", "delete_original", "thread_ts", "metadata",
                 "unfurl_links", "unfurl_media", "mrkdwn"}
        if unknown := set(args) - known:
            raise Refusal("invalid_payload", [f"invalid additional property: {name}" for name in sorted(unknown)])
        original = url.original if url.original is not None and not url.original.deleted else None
        if args.get("delete_original"):
            if original is None:
                raise Refusal("message_not_found")
            original.deleted = True
            self.show(url.team, url.user, Shown("deleted", message=original), url.cause)
            return
        text, blocks, about = self._content(args)
        if args.get("replace_original") and original is not None:
            original.edits.append(Edit(self.stamp(), original.text, tuple(original.blocks)))
            original.text, original.blocks = text, blocks
            kind: Literal["ephemeral", "message"] = "ephemeral" if original.ephemeral else "message"
            self.show(url.team, url.user, Shown(kind, text, tuple(blocks), original), url.cause)
            return
        self._answer_in(url, args.get("response_type", "ephemeral"), text, blocks, about)

    def _content(self, args: Json) -> tuple[str, list[Json], Json | None]:
        call = Call(self, METHODS["chat.postMessage"], None, args, from_form=False)
        text, blocks = content(call)
        return text, blocks, metadata(call)

    def _answer_in(self, url: ResponseUrl, kind: object, text: str, blocks: list[Json], about: Json | None) -> Shown:
        if kind not in ("ephemeral", "in_channel"):
            raise Refusal("invalid_payload", [f"unsupported response_type: {kind}"])
        team = self.teams[url.team]
        message = Posted(team.id, url.channel, team.bot_user, self.stamp(), text, blocks, team.bot_id, self.app_id,
                         metadata=about, ephemeral=url.user if kind == "ephemeral" else None)
        (team.ephemerals if kind == "ephemeral" else team.channels[url.channel].messages).append(message)
        shown = Shown("ephemeral" if kind == "ephemeral" else "message", text, tuple(blocks), message)
        self.show(url.team, url.user, shown, url.cause)
        return shown

    # --- Socket Mode --------------------------------------------------------------------------------------------------

    @property
    def sockets(self) -> int:
        """Connections that payloads may go to."""
        return len(self._usable())

    def _usable(self) -> list[_Socket]:
        return [one for one in self._sockets if not one.leaving and not one.ws.closed]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=401, text="invalid ticket")
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(heartbeat=10)
        await ws.prepare(request)
        if len(self._sockets) >= MOST_SOCKETS:
            self.exercised.add("fault:too_many_websockets")
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": _DEBUG})
            await ws.close()
            return ws
        socket = _Socket(ws, request)
        self._sockets.append(socket)
        try:
            await ws.send_json({"type": "hello", "num_connections": len(self._sockets), "debug_info": _DEBUG,
                                "connection_info": {"app_id": self.app_id}})
            self._changed()
            async for message in ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            self._sockets.remove(socket)
            self._changed()
        return ws

    def _acknowledged(self, data: str) -> None:
        try:
            answer = json.loads(data)
            envelope = answer["envelope_id"]
        except (ValueError, KeyError, TypeError):
            self.strays.append(data)
            return
        awaited = self._awaited.get(envelope)
        if awaited is None or awaited.done():
            self.strays.append(envelope)
        else:
            awaited.set_result(answer.get("payload"))
        self._changed()

    async def disconnect(self, reason: Literal["warning", "refresh_requested", "link_disabled"], *,
                         close_after: float = 0.2) -> None:
        """Announces it on all connections; but for a warning, Slack closes them itself some (real) seconds later."""
        self.exercised.add(f"fault:{reason}")
        for socket in self._usable():
            await socket.ws.send_json({"type": "disconnect", "reason": reason, "debug_info": _DEBUG})
            if reason != "warning":
                socket.leaving = True
                self._later(self._close(socket, close_after))

    async def _close(self, socket: _Socket, after: float) -> None:
        await asyncio.sleep(after)
        await socket.ws.close()

    def cut_sockets(self) -> None:
        """Without a word, as a network does."""
        self.exercised.add("fault:cut")
        for socket in list(self._sockets):
            socket.leaving = True
            if socket.request.transport is not None:
                socket.request.transport.abort()

    # --- to the bot ---------------------------------------------------------------------------------------------------

    async def _deliver(self, kind: Literal["slash_commands", "interactive", "events_api"], payload: Json, what: str,
                       retry: int = 0, reason: str = "") -> Json | None:
        """The payload of the acknowledgement; raises NoAnswer."""
        twice = self._duplicates > 0
        if twice:
            self._duplicates -= 1
            self.exercised.add("fault:duplicate")
        try:
            async with asyncio.timeout(self.patience):
                if self.request_url is None:
                    answer = await self._through_socket(kind, payload, what, retry, reason, twice)
                else:
                    answer = await self._through_http(kind, payload, what, retry, reason, twice)
        except TimeoutError:
            self.sent.append(Sent(kind, payload, retry, False))
            self.exercised.add("refusal:operation_timeout")
            raise NoAnswer(what, "operation_timeout") from None
        except NoAnswer as no_answer:
            self.sent.append(Sent(kind, payload, retry, False))
            self.exercised.add(f"refusal:{no_answer.reason}")
            raise
        self.sent.append(Sent(kind, payload, retry, True))
        return answer

    async def _through_socket(self, kind: str, payload: Json, what: str, retry: int, reason: str, twice: bool) \
            -> Json | None:
        envelope_id = secrets.token_hex(16)
        envelope: Json = {"envelope_id": envelope_id, "payload": payload, "type": kind,
                          "accepts_response_payload": kind != "events_api"}
        if kind == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": reason}
        awaited = self._awaited[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            for _ in range(2 if twice else 1):
                usable = self._usable()
                if not usable:
                    raise NoAnswer(what, "dispatch_failed")
                self._turn += 1     # to each connection in turn: any one of them gets it
                await usable[self._turn % len(usable)].ws.send_json(envelope)
            answer: Json | None = await awaited
            return answer
        except ConnectionError:
            raise NoAnswer(what, "dispatch_failed") from None
        finally:
            del self._awaited[envelope_id]

    async def _through_http(self, kind: str, payload: Json, what: str, retry: int, reason: str, twice: bool) \
            -> Json | None:
        headers = {"x-slack-retry-num": str(retry), "x-slack-retry-reason": reason} if retry else {}
        try:
            status, text = await self.knock(kind, payload, headers=headers)
            if twice:
                again = {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
                await self.knock(kind, payload, headers=again if kind == "events_api" else {})
        except aiohttp.ClientError:
            raise NoAnswer(what, "dispatch_failed") from None
        if status != 200:
            raise NoAnswer(what, "http_service_error")
        if not text:
            return None
        try:
            answer = json.loads(text)
        except ValueError:
            return {"text": text}
        return answer if isinstance(answer, dict) else {"text": text}

    async def knock(self, kind: str, payload: Json, *, headers: Mapping[str, str] | None = None,
                    timestamp: int | None = None, signature: str | None = None) -> tuple[int, str]:
        """One signed request to `request_url`; gives the status and the body. With an old `timestamp` the signature is
        right for it; with a `signature` it is what you say."""
        assert self.request_url is not None
        content_type = "application/json" if kind == "events_api" else "application/x-www-form-urlencoded"
        body = json.dumps(payload) if kind == "events_api" else urlencode(
            payload if kind == "slash_commands" else {"payload": json.dumps(payload)})
        # The bot compares with the clock of its machine, whatever the emulator's `now` is.
        at = int(time.time()) if timestamp is None else timestamp
        if timestamp is not None:
            self.exercised.add("fault:old timestamp")
        if signature is None:
            digest = hmac.new(self.signing_secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
            signature = f"v0={digest}"
        else:
            self.exercised.add("fault:bad signature")
        async with self._http.post(self.request_url, data=body.encode(), headers={
            "Content-Type": content_type, "X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signature,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)", **(headers or {}),
        }) as answer:
            return answer.status, await answer.text()

    # --- events -------------------------------------------------------------------------------------------------------

    async def event(self, team: str, event: Json) -> None:
        """Sends an event of any type, at once; see `_event` for what follows when nobody acknowledges."""
        await self._event(team, event, name=None)

    async def _event(self, team: str, event: Json, name: str | None = "") -> None:
        """Unacknowledged, it is sent again at once, and later by `retry_due`."""
        if name is not None and (name or event["type"]) not in self.subscribed:
            return
        number = self.number()
        payload: Json = {
            "token": self.verification_token, "team_id": team, "context_team_id": team, "context_enterprise_id": None,
            "api_app_id": self.app_id, "event": {"event_ts": self.stamp(), **event}, "type": "event_callback",
            "event_id": f"Ev{number:010d}", "event_time": int(self.now().timestamp()),
            "authorizations": [{"enterprise_id": None, "team_id": team, "user_id": self.teams[team].bot_user,
                                "is_bot": True, "is_enterprise_install": False}],
            "is_ext_shared_channel": False, "event_context": f"4-{secrets.token_hex(8)}",
        }
        await self._send_event(payload, 0, "")

    async def _send_event(self, payload: Json, number: int, reason: str) -> None:
        try:
            await self._deliver("events_api", payload, "an event", number, reason)
        except NoAnswer as no_answer:
            if number < len(RETRIES):
                socket = self.request_url is None
                reasons = {"operation_timeout": "timeout" if socket else "http_timeout",
                           "dispatch_failed": "timeout" if socket else "connection_failed",
                           "http_service_error": "http_error"}
                self.retries.append(Retry(self.monotonic() + RETRIES[number], number + 1, reasons[no_answer.reason],
                                          payload))
                self.exercised.add("fault:retry")
                if number == 0:
                    await self.retry_due()

    async def retry_due(self) -> int:
        """Sends again what is due by `monotonic`; how many that were."""
        at = self.monotonic()
        due = [retry for retry in self.retries if retry.due <= at]
        self.retries = [retry for retry in self.retries if retry.due > at]
        for retry in due:
            await self._send_event(retry.payload, retry.number, retry.reason)
        return len(due)

    async def settled(self) -> None:
        """Returns when the events that the world gave rise to have been sent."""
        while tasks := [task for task in self._tasks if not task.done()]:
            await asyncio.gather(*tasks)

    def _later(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        pulse, self._pulse = self._pulse, asyncio.Event()
        pulse.set()

    async def until(self, condition: Callable[[], object], within: float = 5.0) -> None:
        """Returns when the condition holds, which is looked at after each call and each acknowledgement; TimeoutError
        after so many real seconds."""
        async with asyncio.timeout(within):
            while True:
                pulse = self._pulse
                if condition():
                    return
                await pulse.wait()

    def _cause(self, team: str, user: str) -> _Cause:
        return _Cause(secrets.token_hex(6), len(self._screens.get((team, user), ())), time.monotonic())

    async def _seen(self, team: str, user: str, cause: _Cause, within: float | None) -> Shown:
        """The first thing that this person is shown because of what they did."""
        def mine() -> Shown | None:
            for of, shown in self._screens.get((team, user), [])[cause.seen:]:
                if of in (None, cause.id):
                    return shown
            return None

        spent = time.monotonic() - cause.started
        try:
            await self.until(mine, max(0.0, (self.patience if within is None else within) - spent))
        except TimeoutError:
            return Shown("nothing")
        return mine() or Shown("nothing")

    def trigger(self, team: str, user: str, view: View | None = None) -> str:
        """A trigger_id as if this person had just pressed something, in the view if there is one."""
        return self._trigger(team, user, self._cause(team, user), view.id if view else None)

    def response_url(self, team: str, user: str, channel: str, original: Posted | None = None) -> str:
        """A response_url as if this person had just typed a command there, or pressed something in `original`."""
        return self._response_url(team, user, channel, self._cause(team, user), original)[0]

    # --- what people do -----------------------------------------------------------------------------------------------

    def _installed(self, team: str) -> Team:
        """Without the app a workspace has neither its commands nor its buttons."""
        one = self.teams[team]
        if one.token is None or one.token.error == "account_inactive":
            raise LookupError(f"the app is not installed in {team}")
        return one

    def _place(self, team: str, user: str, channel: str) -> Channel:
        one = self.teams[team]
        if user not in one.users or one.users[user].disabled:
            raise LookupError(f"{user} is nobody who could do anything in {team}")
        place = one.channels.get(channel) or next((each for each in one.channels.values() if each.im == channel), None)
        if place is None or user not in place.members:
            raise LookupError(f"{user} is not in {channel}")
        return place

    def _who(self, team: str, user: str) -> Json:
        one = self.teams[team]
        return {"user": {"id": user, "username": one.users[user].name, "name": one.users[user].name, "team_id": team},
                "team": {"id": team, "domain": one.domain}, "api_app_id": self.app_id,
                "token": self.verification_token, "enterprise": None, "is_enterprise_install": False}

    def _trigger(self, team: str, user: str, cause: _Cause, view: str | None = None) -> str:
        trigger_id = f"{self.number()}.{self.number()}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(team, user, self.monotonic(), cause.id, view)
        return trigger_id

    def _response_url(self, team: str, user: str, channel: str, cause: _Cause, original: Posted | None) \
            -> tuple[str, ResponseUrl]:
        token = secrets.token_urlsafe(16)
        url = self._response_urls[token] = ResponseUrl(team, user, channel, self.monotonic(), cause.id, original)
        return f"{self.origin}/response/{token}", url

    async def type(self, team: str, user: str, channel: str, command: str, text: str = "", *,
                   within: float | None = None) -> Shown:
        """A slash command. `within` bounds, in real seconds, the wait for something to see after an acknowledgement
        that shows nothing."""
        self._installed(team)
        place, cause = self._place(team, user, channel), self._cause(team, user)
        address, url = self._response_url(team, user, place.id, cause, None)
        payload: Json = {
            "token": self.verification_token, "team_id": team, "team_domain": self.teams[team].domain,
            "channel_id": place.id, "channel_name": place.name, "user_id": user,
            "user_name": self.teams[team].users[user].name, "command": command, "text": text,
            "api_app_id": self.app_id, "is_enterprise_install": "false", "response_url": address,
            "trigger_id": self._trigger(team, user, cause),
        }
        answer = await self._deliver("slash_commands", payload, command)
        if answer and (answer.get("text") or answer.get("blocks")):
            try:
                said, blocks, about = self._content(answer)
                return self._answer_in(url, answer.get("response_type", "ephemeral"), said, blocks, about)
            except Refusal as refusal:
                raise BadAnswer(f"the acknowledgement of {command}: {refusal.answer}") from None
        return await self._seen(team, user, cause, within)

    async def press(self, team: str, user: str, on: Posted | View, action_id: str,
                    value: str | list[str] | tuple[str, ...] | None = None, *, within: float | None = None) -> Shown:
        """A button, or with `value` a choice in a select or boxes. The first element with that action_id is meant."""
        self._installed(team)
        if isinstance(on, Posted) and (on.deleted or on.ephemeral not in (None, user)):
            raise LookupError(f"{user} does not see that message")
        if isinstance(on, View) and (not on.open or on.user != user or on.team != team):
            raise LookupError(f"{user} does not see that view")
        found = [(block, element) for block, element in elements(on.blocks) if element.get("action_id") == action_id]
        if not found:
            raise LookupError(f"no {action_id!r} among {[one.get('action_id') for _, one in elements(on.blocks)]}")
        block, element = found[0]
        if block["type"] == "input" and not block.get("dispatch_action"):
            raise LookupError(f"{action_id!r} is a field, which tells the bot nothing until it is submitted")
        action: Json = {"action_id": action_id, "block_id": block["block_id"], "type": element["type"],
                        "action_ts": self.stamp()}
        if element["type"] == "button":
            action |= {name: element[name] for name in ("text", "value", "style", "url") if name in element}
        else:
            state = filled(element, value)
            action |= state
            if isinstance(on, View):
                on.state[block["block_id"], action_id] = state
        cause = self._cause(team, user)
        payload: Json = {"type": "block_actions", **self._who(team, user), "actions": [action]}
        if isinstance(on, View):
            payload |= {"container": {"type": "view", "view_id": on.id}, "view": on.payload(),
                        "trigger_id": self._trigger(team, user, cause, on.id)}
        else:
            place = self.teams[team].channels[on.channel]
            address, _ = self._response_url(team, user, place.id, cause, on)
            container = {"type": "message", "message_ts": on.ts, "channel_id": place.id,
                         "is_ephemeral": on.ephemeral is not None}
            payload |= {"container": container, "channel": {"id": place.id, "name": place.name},
                        "trigger_id": self._trigger(team, user, cause), "response_url": address,
                        "state": {"values": {}}}
            if on.ephemeral is None:        # Slack keeps no ephemeral message that it could send along
                payload["message"] = on.payload()
        pressed = (on, user, cause.id) if isinstance(on, Posted) else None
        if pressed:
            self._pressed.append(pressed)
        try:
            await self._deliver("interactive", payload, f"pressing {action_id}")
            return await self._seen(team, user, cause, within)
        finally:
            if pressed:
                self._pressed.remove(pressed)

    async def submit(self, team: str, user: str, view: View, values: Values | None = None) -> Shown:
        """Fills in the modal, by block_id or action_id, and submits it. What is left out stays as it stood; empty
        clears. Fields that Slack's client objects to never reach the bot. ValueError for what nobody can fill in."""
        self._installed(team)
        if not view.open or view.user != user or view.team != team:
            raise LookupError(f"{user} does not see that view")
        if "submit" not in view.body or view.body.get("submit_disabled"):
            raise LookupError("the modal cannot be submitted")
        fields = [(block, element) for block, element in elements(view.blocks)
                  if element["type"] in slack_blocks.STATEFUL]
        for name, value in (values or {}).items():
            meant = [(block, element) for block, element in fields if name in (block["block_id"], element["action_id"])]
            if len(meant) != 1:
                raise ValueError(f"{name!r} names {len(meant)} fields of {[one['block_id'] for one, _ in fields]}")
            block, element = meant[0]
            view.state[block["block_id"], element["action_id"]] = filled(element, value)
        kept = view.values()
        objections = {block["block_id"]: said for block, element in fields if block["type"] == "input"
                      if (said := complaint(block, kept[block["block_id"]][element["action_id"]]))}
        if objections:
            return Shown("errors", view=view, errors=objections, by_slack=True)
        cause = self._cause(team, user)
        payload: Json = {"type": "view_submission", **self._who(team, user),
                         "trigger_id": self._trigger(team, user, cause, view.id), "view": view.payload(),
                         "response_urls": []}
        answer = await self._deliver("interactive", payload, f"submitting {view.body.get('callback_id', '')}")
        try:
            return self._after_submit(view, answer or {})
        except Refusal as refusal:
            raise BadAnswer(f"the acknowledgement of a submission: {refusal.answer}") from None

    def _after_submit(self, view: View, answer: Json) -> Shown:
        action = answer.get("response_action")
        if action is None and not answer:
            view.open = False
            return Shown("closed")
        if action == "clear":
            for one in self.stack(view):
                one.open = False
            return Shown("closed")
        if action == "errors":
            errors = answer.get("errors")
            inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
            if not isinstance(errors, dict) or not errors or not set(errors) <= inputs \
                    or not all(isinstance(text, str) and text for text in errors.values()):
                raise Refusal("invalid_arguments", [f"errors must name input blocks of {sorted(inputs)}"])
            return Shown("errors", view=view, errors=errors)
        if action in ("update", "push"):
            body = checked_view(answer.get("view"), "modal")
            if action == "update":
                self.redraw(view, body)
            else:
                if len(self.stack(view)) >= 3:
                    raise Refusal("push_limit_reached")
                view = self.raised(view.team, view.user, body, view)
            shown = Shown("modal", view=view)
            self.show(view.team, view.user, shown, "submit")
            return shown
        raise Refusal("invalid_arguments", [f"unsupported response_action: {action}"])

    async def close(self, team: str, user: str, view: View) -> None:
        """Dismisses a modal; the bot hears of it if it asked to (`notify_on_close`)."""
        if not view.open or view.user != user or view.team != team:
            raise LookupError(f"{user} does not see that view")
        view.open = False
        if view.body.get("notify_on_close"):
            await self._deliver("interactive", {"type": "view_closed", **self._who(team, user),
                                                "view": view.payload(), "is_cleared": False}, "closing")

    async def open_home(self, team: str, user: str, *, within: float | None = None) -> Shown:
        """The home as the bot publishes it for this visit, else as it stands from an earlier one."""
        one, cause = self._installed(team), self._cause(team, user)
        event: Json = {"type": "app_home_opened", "user": user, "channel": one.im(user, self.number())[0].id,
                       "tab": "home"}
        if user in one.homes:
            event["view"] = one.homes[user].payload()
        await self._event(team, event)
        shown = await self._seen(team, user, cause, within)
        if shown.kind == "nothing" and user in one.homes:
            return Shown("home", view=one.homes[user])
        return shown

    async def install(self, team: str, user: str, install_url: str, *, cancel: bool = False) -> Installed:
        """A person follows the bot's link to Slack, agrees (or not) and comes back. BadAnswer is Slack's own page of
        errors."""
        async with self._http.get(install_url, allow_redirects=False) as page:
            cookies = SimpleCookie()
            for line in page.headers.getall("Set-Cookie", []):
                cookies.load(line)
            text = await page.text()
            links = [page.headers.get("Location", ""), *re.findall(r'href="([^"]+)"', text)]
        asked = next((link for link in map(html.unescape, links) if "/oauth/v2/authorize?" in link), None)
        if asked is None:
            raise BadAnswer(f"{page.status}: no link to Slack's consent page")
        if not asked.startswith(self.authorize_url + "?"):
            raise BadAnswer(f"the link leads elsewhere: {asked.partition('?')[0]}")
        query = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
        if query.get("client_id") != self.client_id:
            raise BadAnswer("Invalid client_id parameter")
        scopes = frozenset(filter(None, query.get("scope", "").split(",")))
        if not scopes or not scopes <= KNOWN_SCOPES:
            raise BadAnswer(f"Invalid permissions requested: {sorted(scopes - KNOWN_SCOPES)}")
        back = query.get("redirect_uri") or next(iter(self.redirect_uris), "")
        if not any(back == one or back.startswith(one.rstrip("/") + "/") for one in self.redirect_uris):
            raise BadAnswer("redirect_uri did not match any configured URIs")
        answer = {"state": query["state"]} if "state" in query else {}
        if cancel:
            answer["error"] = "access_denied"
        else:
            answer["code"] = f"{self.client_id}.{secrets.token_hex(16)}"
            self.codes[answer["code"]] = Code(team, user, scopes, query.get("redirect_uri"), self.monotonic())
        # The cookie is marked Secure; a browser that came over https would send it.
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
        async with self._http.get(f"{back}?{urlencode(answer)}", headers={"Cookie": cookie} if cookie else {},
                                  allow_redirects=False) as end:
            return Installed(end.status, await end.text())


_DEBUG = {"host": "applink-emulated", "build_number": 1, "approximate_connection_time": 18060}


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _arguments(request: web.Request) -> tuple[Json, bool, tuple[str, str] | None]:
    """The arguments, whether they came as a form (or query), and client credentials from the header."""
    basic = None
    kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        name, _, secret = base64.b64decode(credentials).decode().partition(":")
        basic = name, secret
    args: Json = dict(request.query)
    if request.method != "POST" or not request.can_read_body:
        return args, True, basic
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text())
        except ValueError:
            raise Refusal("invalid_json") from None
        if not isinstance(body, dict):
            raise Refusal("json_not_object")
        return {**args, **{name: value for name, value in body.items() if value is not None}}, False, basic
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {**args, **{name: str(value) for name, value in (await request.post()).items()}}, True, basic
    raise Refusal("invalid_post_type")


def _bearer(request: web.Request, args: Json, from_form: bool) -> str:
    """With a JSON body the token is taken from the header alone."""
    token = args.pop("token", "")
    kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer if kind.lower() == "bearer" else str(token) if from_form else ""


def _check_arguments(method: Method, args: Json, from_form: bool) -> None:
    if not from_form and not method.json:
        args.clear()        # this method reads forms only, and overlooks a body of JSON
    messages = [f"missing required field: {name}" for name in method.required if args.get(name) in (None, "")]
    messages += [f"invalid additional property: {name}" for name in args
                 if name not in (*method.required, *method.optional, "team_id")]
    if messages:
        raise Refusal("invalid_arguments", messages)


# --- what test_slack.py must exercise ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Coverage:
    methods: frozenset[str] = field(default_factory=lambda: frozenset(METHODS))
    refusals: frozenset[str] = frozenset({
        "account_inactive", "bad_client_secret", "bad_redirect_uri", "bot_not_found", "cannot_dm_bot",
        "cant_delete_message", "cant_update_message", "channel_not_found", "dispatch_failed", "duplicate_external_id",
        "exchanged_trigger_id", "expired_trigger_id", "expired_url", "hash_conflict", "http_service_error",
        "invalid_arguments", "invalid_auth", "invalid_blocks", "invalid_blocks_format", "invalid_client_id",
        "invalid_code", "invalid_cursor", "invalid_json", "invalid_limit", "invalid_metadata_format", "invalid_payload",
        "invalid_post_type", "invalid_refresh_token", "invalid_trigger_id", "invalid_ts_latest", "invalid_ts_oldest",
        "invalid_url", "is_archived", "json_not_object", "message_not_found", "messages_tab_disabled",
        "metadata_too_large", "method_not_supported_for_channel_type", "missing_scope", "msg_blocks_too_long",
        "msg_too_long", "no_text", "not_allowed_token_type", "not_authed", "not_found", "not_in_channel",
        "operation_timeout", "push_limit_reached", "ratelimited", "team_not_found", "thread_not_found",
        "token_expired", "token_revoked", "unknown_method", "used_url", "user_disabled", "user_not_found",
        "user_not_in_channel", "users_list_not_supplied", "view_too_large",
    })
    faults: frozenset[str] = frozenset({
        "bad signature", "cut", "drop after", "drop before", "duplicate", "fail", "link_disabled", "old timestamp",
        "refresh_requested", "retry", "slow", "throttle", "too_many_websockets", "warning",
    })

    def __iter__(self) -> Iterator[str]:
        """As `Slack.exercised` names them."""
        for name, entries in (("method", self.methods), ("refusal", self.refusals), ("fault", self.faults)):
            yield from (f"{name}:{entry}" for entry in sorted(entries))


COVERAGE = _Coverage()
