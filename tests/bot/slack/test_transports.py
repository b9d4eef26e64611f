"""The socket that is kept, the requests that are believed, and the walk through an installation."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.fernet import Fernet
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.installation_store import Installation

from bot.slack import transports
from bot.slack.clients import BadToken, Clients
from bot.slack.installations import Installations, States, cipher
from bot.slack.manifest import EVENTS, INSTALL, REDIRECT, SCOPES
from bot.slack.transports import BadAppToken, HttpDoor, SocketLine, bolt, oauth
from bot.store.database import Database
from scheduler.clock import VirtualClock
from tests.bot.build import WEEK_1
from tests.bot.slack.stage import staged, until
from tests.emulators.slack import BadAnswer, Fail, NoAnswer, Slack, Throttle


@dataclass
class Echo:
    """A shell that answers a command with its text, when it is allowed to."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[str] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.opened.set()

    def register(self, app: AsyncApp) -> None:
        app.command("/echo")(self.echo)
        app.command("/broken")(self.broken)

    async def echo(self, body: dict[str, Any], context: AsyncBoltContext) -> BoltResponse:
        self.heard.append(body["text"])
        await self.opened.wait()
        return BoltResponse(status=200, body={"response_type": "ephemeral", "text": body["text"]})

    async def broken(self, body: dict[str, Any]) -> BoltResponse:
        raise ZeroDivisionError(body["text"])

    async def drain(self, within: float) -> None:
        self.drained.append(within)


class Waits:
    """Sleeps that last nothing, in a list."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack() as one:
        one.limits = False
        one.add_team("T1")
        one.add_user("T1", "UADA")
        one.add_channel("T1", "C1", members=["UADA"])
        one.grant("T1", SCOPES)
        yield one


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


@asynccontextmanager
async def connected(slack: Slack, session: aiohttp.ClientSession, shell: Echo, **options: Any) \
        -> AsyncIterator[SocketLine]:
    line = SocketLine(bolt(shell), shell, slack.app_token, session, slack.api_url,
                      **{"between": lambda low, high: high, **options})
    keeping = asyncio.create_task(line.keep())
    await until(lambda: line.connected)
    try:
        yield line
    finally:
        shell.opened.set()
        await line.close()
        await keeping


async def echoed(slack: Slack, text: str) -> str:
    return (await slack.type("T1", "UADA", "C1", "/echo", text)).text


def addresses(slack: Slack) -> int:
    """How many were given out."""
    return sum(call.method == "apps.connections.open" for call in slack.calls)


def more(slack: Slack, than: int) -> bool:
    return addresses(slack) > than


# --- the socket -------------------------------------------------------------------------------------------------------


async def test_a_bad_app_token_ends_it_at_once_with_what_to_do(slack: Slack, session: aiohttp.ClientSession) -> None:
    shell = Echo()
    for token in ("xapp-wrong", slack.teams["T1"].token.value):  # type: ignore[union-attr]
        line = SocketLine(bolt(shell), shell, token, session, slack.api_url)
        with pytest.raises(BadToken, match="NINETY_SLACK_APP_TOKEN") as raised:
            async with asyncio.timeout(5):
                await line.keep()
        assert isinstance(raised.value, BadAppToken) and token not in str(raised.value) and not line.connected


async def test_the_waits_grow_while_slack_cannot_be_reached(slack: Slack, session: aiohttp.ClientSession) -> None:
    slack.fault("apps.connections.open", *[Fail(503)] * 8)
    waits = Waits()
    async with connected(slack, session, Echo(), sleep=waits) as line:
        assert waits.slept == [1, 2, 4, 8, 16, 32, 60, 60] and line.connected


async def test_no_two_processes_wait_the_same(slack: Slack, session: aiohttp.ClientSession) -> None:
    """After an outage they do not come back all at once."""
    slack.fault("apps.connections.open", Fail(503), Fail(503))
    waits, asked = Waits(), []

    def between(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    async with connected(slack, session, Echo(), sleep=waits, between=between):
        assert asked == [(0.5, 1), (1, 2)] and waits.slept == [0.5, 1]


async def test_who_is_told_to_wait_waits_as_long(slack: Slack, session: aiohttp.ClientSession) -> None:
    ticks = 1000.0
    slack.monotonic = lambda: ticks
    slack.fault("apps.connections.open", Throttle(7))
    slept = []

    async def sleep(seconds: float) -> None:
        nonlocal ticks
        slept.append(seconds)
        ticks += seconds

    async with connected(slack, session, Echo(), sleep=sleep):
        assert slept == [7]


async def test_a_connection_too_many_is_a_failed_attempt(slack: Slack, session: aiohttp.ClientSession) -> None:
    others = [await session.ws_connect(slack.ticket()) for _ in range(10)]
    waits = Waits()
    line = SocketLine(bolt(Echo()), Echo(), slack.app_token, session, slack.api_url, sleep=waits)
    keeping = asyncio.create_task(line.keep())
    await until(lambda: waits.slept)
    for other in others:
        await other.close()
    await until(lambda: line.connected)
    await line.close()
    await keeping


async def test_a_line_that_broke_is_opened_again(slack: Slack, session: aiohttp.ClientSession) -> None:
    waits = Waits()
    async with connected(slack, session, Echo(), sleep=waits) as line:
        slack.cut_sockets()
        await slack.until(lambda: slack.sockets)
        assert await echoed(slack, "back") == "back" and line.connected and waits.slept == [1]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_nothing_is_lost_while_slack_changes_the_connection(
        slack: Slack, session: aiohttp.ClientSession, reason: Any) -> None:
    """What was on its way on the old connection is acknowledged; the new one is there before the old one goes."""
    shell, waits = Echo(), Waits()
    async with connected(slack, session, shell, sleep=waits):
        for number in range(3):
            shell.opened.clear()
            before = asyncio.create_task(echoed(slack, f"before {number}"))
            await until(partial(shell.heard.__contains__, f"before {number}"))
            opened = addresses(slack)
            await slack.disconnect(reason, close_after=0.05)
            await slack.until(partial(more, slack, opened))
            await slack.until(lambda: slack.sockets)
            await slack.settled()       # and the old one has gone, if Slack hangs up by itself
            shell.opened.set()
            assert await before == f"before {number}"
            assert await echoed(slack, f"after {number}") == f"after {number}"
        assert waits.slept == [] and slack.strays == []
        await slack.settled()


async def test_a_slack_that_changes_connections_all_the_time_is_not_followed_at_once_for_ever(
        slack: Slack, session: aiohttp.ClientSession) -> None:
    waits = Waits()
    async with connected(slack, session, Echo(), sleep=waits):
        for _ in range(transports.HASTY + 1):
            opened = addresses(slack)
            await slack.disconnect("link_disabled", close_after=0)
            await slack.until(partial(more, slack, opened))
            await slack.until(lambda: slack.sockets)
        assert waits.slept == [8]
        await slack.settled()


async def test_the_old_connection_is_left_in_a_while_when_slack_does_not_hang_up(
        slack: Slack, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "LINGER", 0.05)
    async with connected(slack, session, Echo()):
        await slack.disconnect("warning")
        await slack.until(lambda: slack.sockets == 2)
        await slack.until(lambda: slack.sockets == 1)
        assert await echoed(slack, "still here") == "still here"


async def test_what_is_no_envelope_is_overlooked(session: aiohttp.ClientSession) -> None:
    """Slack may say what we do not know yet."""
    answers: list[Any] = []

    async def gateway(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_json({"type": "hello"})
        for line in ("[]", "{", '"x"', '{"type": "news"}', '{"envelope_id": "E0", "type": "events_api"}',
                     json.dumps({"envelope_id": "E1", "type": "something_new", "payload": ["x"]})):
            await ws.send_str(line)
        await ws.send_bytes(b"x")
        async for message in ws:
            answers.append(json.loads(message.data))
        return ws

    async def ticket(request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "url": str(server.make_url("/link"))})

    app = web.Application()
    app.add_routes([web.get("/link", gateway), web.post("/api/apps.connections.open", ticket)])
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    shell = Echo()
    line = SocketLine(bolt(shell), shell, "xapp-1", session, str(server.make_url("/api/")))
    keeping = asyncio.create_task(line.keep())
    await until(lambda: len(answers) == 2)
    await line.close()
    await keeping
    await server.close()
    assert sorted(answers, key=str) == [{"envelope_id": "E0"}, {"envelope_id": "E1"}]


@pytest.mark.parametrize("wrong", [{"ok": True}, ["x"], {"ok": False, "error": "internal_error"}])
async def test_answers_that_make_no_sense_are_failed_attempts(
        session: aiohttp.ClientSession, wrong: object) -> None:
    waits, slept = Waits(), asyncio.Event()

    async def ticket(request: web.Request) -> web.Response:
        if waits.slept:
            slept.set()
        return web.json_response(wrong)

    app = web.Application()
    app.add_routes([web.post("/apps.connections.open", ticket)])
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    line = SocketLine(bolt(Echo()), Echo(), "xapp-1", session, str(server.make_url("/")), sleep=waits)
    keeping = asyncio.create_task(line.keep())
    await asyncio.wait_for(slept.wait(), 5)
    await line.close()
    await keeping
    await server.close()
    assert not line.connected


async def test_what_is_under_way_is_acknowledged_before_the_socket_closes(
        slack: Slack, session: aiohttp.ClientSession) -> None:
    shell = Echo()
    async with connected(slack, session, shell) as line:
        shell.opened.clear()
        typing = asyncio.create_task(echoed(slack, "last words"))
        await until(lambda: shell.heard)
        closing = asyncio.create_task(line.close())
        await until(lambda: not line.connected)     # nothing more is read
        shell.opened.set()
        assert await typing == "last words"
        await closing
        assert not line.connected and shell.drained == [transports.DRAIN]


async def test_a_handler_that_does_not_end_holds_nobody_up_for_three_seconds(
        slack: Slack, session: aiohttp.ClientSession) -> None:
    shell = Echo()
    async with connected(slack, session, shell) as line:
        shell.opened.clear()
        typing = asyncio.create_task(slack.type("T1", "UADA", "C1", "/echo", "x"))
        await until(lambda: shell.heard)
        began = time.monotonic()
        await line.close()
        assert time.monotonic() - began < 3
        with pytest.raises(NoAnswer):
            await typing


async def test_it_can_be_ended_while_it_waits(slack: Slack, session: aiohttp.ClientSession) -> None:
    slack.fault("apps.connections.open", *[Fail(503)] * 3)
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.sleep(3600)

    line = SocketLine(bolt(Echo()), Echo(), slack.app_token, session, slack.api_url, sleep=sleep)
    keeping = asyncio.create_task(line.keep())
    await asleep.wait()
    async with asyncio.timeout(3):
        await line.close()
        await keeping


async def test_what_a_handler_could_not_do_is_not_acknowledged_and_not_quoted(
        slack: Slack, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    slack.patience = 0.1
    async with connected(slack, session, Echo()):
        with pytest.raises(NoAnswer):
            await slack.type("T1", "UADA", "C1", "/broken", "secret-word")
    assert "ZeroDivisionError" in caplog.text
    assert not any("secret-word" in record.getMessage() for record in caplog.records)


# --- signed requests --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(slack: Slack, shell: Echo, **options: Any) -> AsyncIterator[TestServer]:
    door = HttpDoor(bolt(shell, slack.signing_secret), shell, **options)
    app = web.Application()
    app.add_routes(door.routes())
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    slack.request_url = str(server.make_url(EVENTS))
    try:
        yield server
    finally:
        await server.close()
        await door.close()


COMMAND = {"command": "/echo", "text": "hello", "team_id": "T1", "user_id": "UADA", "channel_id": "C1",
           "trigger_id": "1.2", "response_url": "https://example.org/"}


async def test_what_slack_signed_is_answered(slack: Slack) -> None:
    async with served(slack, Echo()):
        status, text = await slack.knock("slash_commands", COMMAND)
        assert (status, json.loads(text)) == (200, {"response_type": "ephemeral", "text": "hello"})


@pytest.mark.parametrize("forged", [
    {"signature": "v0=" + "0" * 64}, {"signature": ""}, {"signature": "v0=é"},
    {"timestamp": int(time.time()) - 301}, {"timestamp": int(time.time()) + 600}])
async def test_what_it_did_not_sign_or_long_ago_is_not(
        slack: Slack, caplog: pytest.LogCaptureFixture, forged: dict[str, Any]) -> None:
    shell = Echo()
    async with served(slack, shell):
        status, _ = await slack.knock("slash_commands", COMMAND, **forged)
    assert status == 401 and shell.heard == []
    assert "clock of this machine" in caplog.text and "hello" not in caplog.text


@pytest.mark.parametrize("headers", [
    {}, {"X-Slack-Request-Timestamp": "x"}, {"X-Slack-Request-Timestamp": "9" * 400},
    {"X-Slack-Request-Timestamp": "1", "X-Slack-Signature": "v0=x"},
    {"X-Slack-Bolt-Lazy-Only": "1"}])
@pytest.mark.parametrize("body", [
    b"command=/echo&text=x&ssl_check=1", b"ssl_check=1&command=/echo&text=x&team_id=T1&token=x", b"\xff\xfe",
    b"payload=%7B", b"payload=[]", b"{", b""])
async def test_nothing_that_is_forged_reaches_a_handler_or_the_log(
        slack: Slack, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture,
        headers: dict[str, str], body: bytes) -> None:
    """A request that asks for a check of the certificate is answered, unsigned and without any effect."""
    shell = Echo()
    async with served(slack, shell):
        assert slack.request_url is not None
        async with session.post(slack.request_url, data=body, headers={
                "Content-Type": "application/x-www-form-urlencoded", **headers}) as answer:
            assert answer.status in ((200,) if b"ssl_check" in body else (400, 401))
        async with session.post(slack.request_url, data=b'["x"]', headers={
                "Content-Type": "application/json", **headers}) as answer:
            assert answer.status in (400, 401)
    assert shell.heard == [] and "text=x" not in caplog.text


async def test_slack_finds_out_that_the_address_is_ours(slack: Slack) -> None:
    async with served(slack, Echo()):
        status, text = await slack.knock("events_api", {"type": "url_verification", "challenge": "riddle"})
        assert (status, json.loads(text)) == (200, {"challenge": "riddle"})


async def test_what_a_handler_could_not_do_is_an_error_that_quotes_nothing(
        slack: Slack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(slack, Echo()):
        status, text = await slack.knock("slash_commands", {**COMMAND, "command": "/broken", "text": "secret-word"})
    assert (status, text) == (500, "")
    assert "ZeroDivisionError" in caplog.text
    assert not any("secret-word" in record.getMessage() for record in caplog.records)


async def test_of_forged_requests_we_are_warned_once_a_minute(slack: Slack, caplog: pytest.LogCaptureFixture) -> None:
    async with served(slack, Echo()):
        for _ in range(3):
            await slack.knock("slash_commands", COMMAND, signature="v0=x")
    assert caplog.text.count("A request was turned away") == 1


async def test_it_is_learnt_which_enterprise_a_workspace_belongs_to(slack: Slack, database: Database) -> None:
    """An app that is installed to all of it is posted from too, where only the workspace is known."""
    installations = Installations(database, cipher(Fernet.generate_key().decode()))
    await installations.async_save(Installation(user_id="U", enterprise_id="E1", bot_token="xoxb-e",  # noqa: S106
                                                is_enterprise_install=True))
    shell = Echo()
    door = HttpDoor(bolt(shell, slack.signing_secret, installations), shell)
    app = web.Application()
    app.add_routes(door.routes())
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    slack.request_url = str(server.make_url(EVENTS))
    assert await installations.of("T1") is None
    await slack.knock("slash_commands", {**COMMAND, "enterprise_id": "E1", "is_enterprise_install": "true"})
    await server.close()
    assert await installations.of("T1") is not None and shell.heard == ["hello"]


async def test_without_a_signing_secret_no_request_is_believed(slack: Slack) -> None:
    shell = Echo()
    door = HttpDoor(bolt(shell), shell)
    app = web.Application()
    app.add_routes(door.routes())
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None)
    slack.request_url, slack.signing_secret = str(server.make_url(EVENTS)), ""
    assert (await slack.knock("slash_commands", COMMAND))[0] == 401
    await server.close()
    await door.close()
    assert shell.heard == [] and shell.drained == [transports.DRAIN]


@pytest.mark.parametrize("kind", ["socket", "http"])
async def test_the_sdk_and_bolt_say_where_and_not_what(
        kind: Any, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with staged(kind, database, WEEK_1):
        for name in ("bot.slack.bolt", "slack_bolt.AsyncRequestVerification", "slack_sdk.web.async_base_client"):
            logging.getLogger(name).info("xoxb-secret")
            logging.getLogger(name).debug("xoxb-secret")
        quiet = logging.getLogger("bot.slack.bolt")
        try:
            raise ValueError("xoxb-secret")
        except ValueError:
            quiet.exception("it said %s", "xoxb-secret")
    assert "xoxb-secret" not in caplog.text and "ValueError" in caplog.text


# --- installing -------------------------------------------------------------------------------------------------------


@dataclass
class Office:
    """Two processes behind one address, as a balancer would have them: each request goes to the other one."""

    slack: Slack
    address: str
    installations: Installations
    requests: list[str]


@pytest_asyncio.fixture
async def office(slack: Slack, database: Database) -> AsyncIterator[Office]:
    clock = VirtualClock(WEEK_1)
    requests: list[str] = []
    key = Fernet.generate_key().decode()
    installations = Installations(database, cipher(key))
    async with Clients(installations, clock, slack.api_url) as clients:
        server: TestServer | None = None
        doors: list[dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = []

        async def balanced(request: web.Request) -> web.StreamResponse:
            if not doors:
                for _ in range(2):
                    shell = Echo()
                    flow = oauth(slack.client_id, slack.client_secret, str(server.make_url("/")) if server else "",
                                 Installations(database, cipher(key)), States(database, clock), clients.client(),
                                 slack.authorize_url)
                    door = HttpDoor(bolt(shell, slack.signing_secret), shell, flow)
                    doors.append({route.path: route.handler for route in door.routes()})
            requests.append(request.path)
            return await doors[len(requests) % 2][request.path](request)

        app = web.Application()
        app.add_routes([web.get(INSTALL, balanced), web.get(REDIRECT, balanced)])
        server = TestServer(app, host="127.0.0.1")
        await server.start_server(access_log=None)
        slack.redirect_uris.append(str(server.make_url(REDIRECT)))
        yield Office(slack, str(server.make_url("/")).rstrip("/"), installations, requests)
        await server.close()


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")     # slack_sdk, with a new aiohttp
async def test_a_workspace_installs_the_app_with_the_permissions_it_needs_and_no_others(office: Office) -> None:
    office.slack.add_team("T9")
    office.slack.add_user("T9", "UBOSS")
    page = await office.slack.install("T9", "UBOSS", office.address + INSTALL)
    assert page.status == 200 and office.requests == [INSTALL, REDIRECT]
    installation, team = await office.installations.of("T9"), office.slack.teams["T9"]
    assert installation is not None and team.token is not None
    assert (installation.bot_token, team.token.scopes) == (team.token.value, frozenset(SCOPES))


async def test_who_changes_their_mind_has_installed_nothing(office: Office) -> None:
    office.slack.add_team("T9")
    office.slack.add_user("T9", "UBOSS")
    page = await office.slack.install("T9", "UBOSS", office.address + INSTALL, cancel=True)
    assert "access_denied" in page.text and await office.installations.of("T9") is None


async def test_an_answer_that_nobody_asked_for_installs_nothing(
        office: Office, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    """Else somebody could make another's browser install their workspace's app."""
    caplog.set_level(logging.DEBUG)
    for query in ("code=secret-code", "code=secret-code&state=made-up", "", "error=<script>alert(1)</script>"):
        async with session.get(f"{office.address}{REDIRECT}?{query}") as page:
            text = await page.text()
            assert (page.status, "<script>" in text) == (200 if "error" in query else 400, False)
            assert page.headers["Referrer-Policy"] == "no-referrer"
    assert not any(call.method == "oauth.v2.access" for call in office.slack.calls)
    own = [record.getMessage() for record in caplog.records if record.name.startswith(("bot", "slack"))]
    assert not any("secret-code" in line for line in own)


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")     # slack_sdk, with a new aiohttp
async def test_the_same_answer_is_taken_once(office: Office, session: aiohttp.ClientSession) -> None:
    async with session.get(office.address + INSTALL) as page:
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        text = await page.text()
    link = text.split('href="')[2].partition('"')[0].replace("&amp;", "&")
    state = parse_qs(urlsplit(link).query)["state"][0]
    statuses = []
    for _ in range(2):
        async with session.get(f"{office.address}{REDIRECT}?code=wrong&state={state}",
                               headers={"Cookie": cookie}) as page:
            statuses.append((page.status, "invalid_code" in await page.text()))
    assert statuses == [(401, True), (401, False)]


async def test_a_link_that_leads_elsewhere_is_not_ours(office: Office) -> None:
    office.slack.redirect_uris.clear()
    with pytest.raises(BadAnswer):
        await office.slack.install("T1", "UADA", office.address + INSTALL)
