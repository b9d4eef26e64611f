"""The two ways by which Slack reaches us: a socket that we open, and signed requests. Behind both is the same app.

The socket is our own and not the SDK's, whose client tries for ever with a bad token, never waits longer from one
attempt to the next, closes the old connection before the new one is there, and logs what members typed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.clients import BadToken
from bot.slack.manifest import EVENTS, INSTALL, REDIRECT, SCOPES

log = logging.getLogger(__name__)
T = TypeVar("T")

API = "https://slack.com/api/"
AUTHORIZE = "https://slack.com/oauth/v2/authorize"

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before the next attempt; the longest wait doubles with each that fails."""
SETTLED = 60.0
"""Seconds that a connection must have lasted for the waits to begin anew."""
HASTY = 3
"""So often in a row we do without a wait when Slack announces that it will hang up."""
LAUNCH = 10.0
"""Seconds to get an address and a greeting."""
HEARTBEAT = 10.0
"""Seconds between pings; a connection that is silent for half as long after one is dead."""
LINGER = 30.0
"""Seconds that we listen on after another connection has taken over. Slack hangs up after ten or so."""
FINISH, DRAIN = 1.5, 1.2
"""Seconds for the acknowledgements under way, and for the answers after them. With the goodbye under 3."""
GOODBYE = 0.2
WARN_AGAIN = 60.0
"""Seconds."""

_BAD_TOKEN = frozenset({
    "account_inactive", "invalid_auth", "missing_scope", "no_permission", "not_allowed_token_type", "not_authed",
    "token_expired", "token_revoked"})
_FAILED = 500
_TIMESTAMP = "x-slack-request-timestamp"
_HEADERS = ("content-type", "x-slack-signature", _TIMESTAMP, "x-slack-retry-num", "x-slack-retry-reason")
"""What Bolt hears of a request; some others would tell it to leave handlers out."""


class Dispatching(Protocol):
    """Bolt's app, or `Heard`."""

    @property
    def async_dispatch(self) -> Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]: ...


@dataclass(frozen=True)
class Heard:
    """In place of the app, for whoever listens as well."""

    async_dispatch: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]


class Answering(Protocol):
    """The shell."""

    def register(self, app: AsyncApp) -> None: ...

    async def drain(self, within: float) -> None: ...


class BadAppToken(BadToken):
    """NINETY_SLACK_APP_TOKEN is not one that Slack takes."""

    def __init__(self, error: str) -> None:
        Exception.__init__(self, f"Slack does not take the app token ({error}): copy the app-level token, which begins "
                                 "with xapp- and has the scope connections:write, from the page Basic Information of "
                                 "the app to NINETY_SLACK_APP_TOKEN, and start me again")


# --- what both have in common -----------------------------------------------------------------------------------------


def bolt(shell: Answering, signing_secret: str = "", installations: AsyncInstallationStore | None = None) -> AsyncApp:
    """Without a signing secret no signed request is taken. The tokens are the clients' matter: Bolt would ask Slack
    about one at every request."""
    async def authorize(context: AsyncBoltContext, enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        if installations is not None and context.is_enterprise_install:
            # So that it is known to which enterprise the workspace belongs, when something is to be posted there.
            await installations.async_find_bot(enterprise_id=enterprise_id, team_id=team_id, is_enterprise_install=True)
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)

    quiet = _quiet()
    app = AsyncApp(
        logger=quiet, name="ninety", process_before_response=True,
        signing_secret=signing_secret or os.urandom(32).hex(),
        # Bolt would take another from the environment.
        client=AsyncWebClient(logger=quiet), authorize=authorize, ignoring_self_events_enabled=False,
        attaching_function_token_enabled=False, attaching_conversation_kwargs_enabled=False)
    app.error(_failed)
    shell.register(app)
    return app


async def answered(app: Dispatching, request: AsyncBoltRequest) -> BoltResponse:
    """What nobody listens to is acknowledged too: Slack could do nothing about it."""
    response = await app.async_dispatch(request)
    return BoltResponse(status=200) if response.status == 404 else response


async def _failed(error: Exception) -> BoltResponse:
    # The message of an exception may hold what a member typed; the kind and the place do not.
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return BoltResponse(status=_FAILED)


def _quiet() -> logging.Logger:
    """For Bolt and the SDK, whose lines quote whole bodies and codes: what they have to say is said by ours, so what is
    left is where they said something. Bolt makes its other loggers in the image of this one."""
    quiet = logging.getLogger("bot.slack.bolt")
    quiet.setLevel(logging.WARNING)
    for logger in (quiet, logging.getLogger("slack_bolt"), logging.getLogger("slack_sdk")):
        # A level of their own, whatever somebody asks of the log; those below them inherit it.
        logger.setLevel(logging.WARNING)
    if _without_words not in quiet.filters:
        quiet.addFilter(_without_words)
    return quiet


def _without_words(record: logging.LogRecord) -> bool:
    if record.levelno < logging.WARNING:
        return False
    error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    record.msg = f"{record.module}.{record.funcName}, line {record.lineno} {error}".rstrip()
    record.args, record.exc_info, record.exc_text, record.stack_info = None, None, None, None
    return True


# --- Socket Mode ------------------------------------------------------------------------------------------------------


class _Busy(Exception):
    """Slack gives no address now."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


@dataclass(eq=False)
class _Wire:
    """One connection."""

    ws: aiohttp.ClientWebSocketResponse
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Slack will hang up soon, or has."""
    announced: bool = False


class SocketLine:
    """Keeps a socket open, and a second one beside it while Slack changes the first. `sleep`, `between` and `monotonic`
    are for tests."""

    def __init__(self, app: Dispatching, shell: Answering, app_token: str, session: aiohttp.ClientSession,
                 api_url: str = API, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 between: Callable[[float, float], float] = random.uniform,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._shell = shell
        self._app_token = app_token
        self._session = session
        self._api_url = api_url.rstrip("/") + "/"
        self._sleep = sleep
        self._between = between
        self._monotonic = monotonic
        self._wires: dict[_Wire, asyncio.Task[None]] = {}
        self._envelopes: set[asyncio.Task[None]] = set()
        self._asked_to_end = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def connected(self) -> bool:
        return any(not wire.ws.closed and not wire.leaving.is_set() for wire in self._wires)

    async def keep(self) -> None:
        """Returns when `close` was called. Raises BadAppToken, and nothing else."""
        self._ended.clear()
        failed, wire = 0, None  # type: int, _Wire | None
        try:
            while not self._asked_to_end.is_set():
                began, wait, why = self._monotonic(), 0.0, ""
                try:
                    wire = await self._unless_ending(self._joined())
                    if wire is None:
                        break
                    await self._unless_ending(wire.leaving.wait())
                    why = "Slack hangs up" if wire.announced else "the line broke"
                except BadAppToken:
                    raise
                except _Busy as busy:
                    wait, why = busy.seconds, str(busy)
                except Exception as error:
                    # Its message may hold the address, and with it the ticket.
                    why = type(error).__name__
                if self._asked_to_end.is_set():
                    break
                if self._monotonic() - began >= SETTLED:
                    failed = 0
                if wire is not None and wire.announced and failed < HASTY:
                    # Until it hangs up Slack sends to the old one, so the new one should be there by then.
                    failed, wire = failed + 1, None
                    continue
                longest = min(FIRST_WAIT * 2 ** min(failed, 10), LONGEST_WAIT)
                wait = max(wait, self._between(longest / 2, longest))
                failed += 1
                log.warning("No line to Slack (%s); next attempt in %.1f s", why, wait)
                await self._unless_ending(self._sleep(wait))
        finally:
            await self._leave()
            self._ended.set()

    async def close(self) -> None:
        """Ends `keep`, and returns when all is acknowledged and answered that can be within 3 s."""
        self._asked_to_end.set()
        await self._ended.wait()

    async def _leave(self) -> None:
        # Nothing more is read: what Slack sends now goes to another connection of ours, or comes again.
        readers = list(self._wires.items())
        for _, reader in readers:
            reader.cancel()
        await asyncio.gather(*(reader for _, reader in readers), return_exceptions=True)
        if self._envelopes:
            await asyncio.wait(self._envelopes, timeout=FINISH)
        for envelope in self._envelopes:
            envelope.cancel()
        await asyncio.gather(*(_hung_up(wire.ws) for wire, _ in readers))
        self._wires.clear()
        await self._shell.drain(DRAIN)

    # --- one connection -----------------------------------------------------------------------------------------------

    async def _joined(self) -> _Wire:
        """A new connection, greeted and listened to; the others are left in a while."""
        async with asyncio.timeout(LAUNCH):
            ws = await self._session.ws_connect(await self._address(), heartbeat=HEARTBEAT, autoping=True)
            try:
                greeting = _object(await ws.receive())
                if greeting.get("type") != "hello":
                    raise _Busy(str(greeting.get("reason") or "no greeting"))
            except BaseException:
                await _hung_up(ws)
                raise
        before = list(self._wires)
        wire = _Wire(ws)
        self._wires[wire] = asyncio.create_task(self._listen(wire))
        for old in before:
            asyncio.get_running_loop().call_later(LINGER, self._wires[old].cancel)
        return wire

    async def _address(self) -> str:
        """Raises BadAppToken or _Busy."""
        async with self._session.post(f"{self._api_url}apps.connections.open",
                                      headers={"Authorization": f"Bearer {self._app_token}"}) as answer:
            if answer.status == 429:
                raise _Busy("Slack asks to wait", _seconds(answer.headers.get("Retry-After", "")))
            try:
                told = await answer.json(content_type=None)
            except ValueError:
                told = None
        if not isinstance(told, dict):
            raise _Busy(f"Slack answered {answer.status}")
        if not told.get("ok"):
            error = str(told.get("error"))
            if error in _BAD_TOKEN:
                raise BadAppToken(error)
            raise _Busy(error)
        return str(told["url"])

    async def _listen(self, wire: _Wire) -> None:
        try:
            async for message in wire.ws:
                envelope = _object(message)
                if envelope.get("type") == "disconnect":
                    wire.announced = True
                    wire.leaving.set()
                elif "envelope_id" in envelope:
                    task = asyncio.create_task(self._answer(wire, envelope))
                    self._envelopes.add(task)
                    task.add_done_callback(self._envelopes.discard)
        except (aiohttp.ClientError, OSError) as error:
            log.info("A line to Slack broke (%s)", type(error).__name__)
        finally:
            wire.leaving.set()
            if not self._asked_to_end.is_set():
                self._wires.pop(wire, None)
                await _hung_up(wire.ws)

    async def _answer(self, wire: _Wire, envelope: Mapping[str, Any]) -> None:
        payload = envelope.get("payload")
        response = await answered(self._app, AsyncBoltRequest(
            mode="socket_mode", body=payload if isinstance(payload, dict) else {}))
        if response.status >= _FAILED:
            return      # not acknowledged, so that Slack sends it again
        acknowledgement: dict[str, object] = {"envelope_id": envelope["envelope_id"]}
        if response.body and envelope.get("accepts_response_payload"):
            acknowledgement["payload"] = json.loads(response.body)
        # Its own connection may have been closed meanwhile.
        for one in (wire, *self._wires):
            if not one.ws.closed:
                try:
                    await one.ws.send_json(acknowledgement)
                    return
                except (aiohttp.ClientError, OSError):
                    continue
        log.warning("An acknowledgement found no way to Slack")

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _unless_ending(self, work: Awaitable[T]) -> T | None:
        """What it gives, unless first it is asked to end: then None."""
        task, end = asyncio.ensure_future(work), asyncio.ensure_future(self._asked_to_end.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for one in (task, end):
                one.cancel()
            await asyncio.gather(task, end, return_exceptions=True)


def _object(message: aiohttp.WSMessage) -> Mapping[str, Any]:
    """What Slack sent; nothing, for what is no object."""
    if message.type is not aiohttp.WSMsgType.TEXT:
        return {}
    try:
        read = json.loads(message.data)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _seconds(said: str) -> float:
    """Of a Retry-After; half a minute where there is none that one can read."""
    return float(said) if said.isdigit() else 30.0


async def _hung_up(ws: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(GOODBYE):
            await ws.close()


# --- signed requests --------------------------------------------------------------------------------------------------


def oauth(client_id: str, client_secret: str, public_url: str, installations: AsyncInstallationStore,
          states: AsyncOAuthStateStore, client: AsyncWebClient, authorize_url: str = AUTHORIZE) -> AsyncOAuthFlow:
    """How a workspace installs the app. The state is in the database and in the browser, so that it may be another
    process of ours that the browser comes back to. `client` has no token, and sends once."""
    return AsyncOAuthFlow(client=client, logger=_quiet(), settings=AsyncOAuthSettings(
        client_id=client_id, client_secret=client_secret, scopes=SCOPES, user_scopes=(),
        redirect_uri=public_url.rstrip("/") + REDIRECT, install_path=INSTALL, redirect_uri_path=REDIRECT,
        authorization_url=authorize_url, installation_store=installations, state_store=states, logger=_quiet()))


class HttpDoor:
    """The part of a server that Slack sends to. Any number of processes may stand behind one address: none of them
    knows anything that the others need."""

    def __init__(self, app: Dispatching, shell: Answering, flow: AsyncOAuthFlow | None = None) -> None:
        self._app = app
        self._shell = shell
        self._flow = flow
        self._warn_from = 0.0

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        door = [web.post(EVENTS, self._events)]
        if self._flow is not None:
            door += [web.get(INSTALL, self._install), web.get(REDIRECT, self._redirect)]
        return door

    async def close(self) -> None:
        """Returns when what is under way is answered, or after `DRAIN`. To be called when no more requests are taken.
        """
        await self._shell.drain(DRAIN)

    async def _events(self, request: web.Request) -> web.Response:
        try:
            asked = AsyncBoltRequest(body=(await request.read()).decode(), query=request.query_string,
                                     headers=_headers(request))
        except (ValueError, TypeError, AttributeError):
            return web.Response(status=400)     # neither JSON nor a form
        response = await answered(self._app, asked)
        if response.status == 401 and time.monotonic() >= self._warn_from:
            # Anybody can send us as many as they like.
            self._warn_from = time.monotonic() + WARN_AGAIN
            log.warning("A request was turned away: its signature or its time is not right. If it was Slack's, check "
                        "NINETY_SLACK_SIGNING_SECRET and the clock of this machine")
        return await to_aiohttp_response(response)

    async def _install(self, request: web.Request) -> web.Response:
        assert self._flow is not None  # noqa: S101  # else there is no such route
        return await self._page(self._flow.handle_installation, request)

    async def _redirect(self, request: web.Request) -> web.Response:
        assert self._flow is not None  # noqa: S101  # else there is no such route
        return await self._page(self._flow.handle_callback, request)

    @staticmethod
    async def _page(handle: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]], request: web.Request) \
            -> web.Response:
        asked = AsyncBoltRequest(body="", query=request.query_string,
                                 headers={"cookie": request.headers.get("Cookie", "")})
        try:
            response = await handle(asked)
        except Exception as error:
            response = await _failed(error)
        page = await to_aiohttp_response(response)
        # The address of the page holds the code that a token is given for.
        page.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        return page


def _headers(request: web.Request) -> dict[str, str | Sequence[str]]:
    """What Bolt's verifier would break at is left out, which makes the request one without a signature."""
    found: dict[str, str | Sequence[str]] = {
        name: value for name in _HEADERS if (value := request.headers.get(name, "")) and value.isascii()}
    if not re.fullmatch("[0-9]{1,12}", request.headers.get(_TIMESTAMP, "")):
        found.pop(_TIMESTAMP, None)
    return found
