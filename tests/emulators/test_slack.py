"""The emulated Slack refuses as Slack does, and the real client libraries cannot tell it from Slack."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.oauth.installation_store import FileInstallationStore
from slack_sdk.oauth.state_store import FileOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.emulators.slack import COVERAGE, BadAnswer, Drop, Fail, NoAnswer, Slack, Slow, Throttle
from tests.emulators.slack_blocks import BLOCKS_LONGEST, Json, refusals_of_blocks, refusals_of_view
from tests.emulators.slack_world import POSTS_AT_ONCE, Limits, Shown, TooMany

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until it is told to go on."""

    at: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return 1000.0 + self.at


@dataclass
class Stage:
    """A Slack with two workspaces whose ids are alike, and a client that knows nothing of Slack."""

    slack: Slack
    clock: Clock
    http: aiohttp.ClientSession
    token: str
    wires: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)

    async def raw(self, method: str, *, token: str | None = None, **request: Any) -> aiohttp.ClientResponse:
        headers = {**request.pop("headers", {})}
        if token != "":
            headers.setdefault("Authorization", f"Bearer {token or self.token}")
        answer = await self.http.post(self.slack.api_url + method, headers=headers, **request)
        await answer.read()
        return answer

    async def call(self, method: str, /, *, as_: str | None = None, **args: Any) -> Json:
        """With a JSON body where there are structures, else as a form."""
        body = {"json": args} if any(isinstance(one, dict | list | bool) for one in args.values()) else {"data": args}
        answer: Json = await (await self.raw(method, token=as_, **body)).json()
        return answer

    async def done(self, method: str, /, **args: Any) -> Json:
        answer = await self.call(method, **args)
        assert answer["ok"], answer
        return answer

    async def say(self, text: str = "hello", **args: Any) -> str:
        return str((await self.done("chat.postMessage", channel="C1", text=text, **args))["ts"])

    async def modal(self, *blocks: Json, **more: Any) -> Json:
        answer = await self.done("views.open", trigger_id=self.slack.trigger("T1", "U1"), view=modal(*blocks, **more))
        view: Json = answer["view"]
        return view

    async def wire(self) -> aiohttp.ClientWebSocketResponse:
        """A bot that answers nothing by itself."""
        url = (await self.done("apps.connections.open", as_=self.slack.app_token))["url"]
        ws = await self.http.ws_connect(url)
        assert (await ws.receive_json(timeout=5))["type"] in ("hello", "disconnect")
        self.wires.append(ws)
        return ws


@contextlib.asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Stage]:
    clock = Clock()
    async with Slack(now=clock.now, monotonic=clock.monotonic, **{"patience": 2.0, **options}) as slack, \
            aiohttp.ClientSession() as http:
        for team in ("T1", "T2"):
            slack.add_team(team)
            slack.add_user(team, "U1", "ada", tz="Africa/Cairo")
            slack.add_user(team, "U2", "bob")
            slack.add_channel(team, "C1", "cohort", members=["U1", "U2"])
        slack.add_channel("T1", "C2", "elsewhere", members=["U1"], bot=False)
        slack.add_channel("T1", "G1", "secret", members=["U1"], bot=False, private=True)
        slack.redirect_uris.append("http://127.0.0.1:1/slack/oauth_redirect")
        stage = Stage(slack, clock, http, slack.grant("T1").value)
        yield stage
        for ws in stage.wires:
            await ws.close()


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with opened() as one:
        yield one


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str = "words", **more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(text: str = "Go", **more: Any) -> Json:
    return {"type": "button", "text": plain(text), "action_id": "go", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def asks(element: Json, **more: Any) -> Json:
    return {"type": "input", "label": plain("Question"), "element": element, **more}


def line(**more: Any) -> Json:
    return {"type": "plain_text_input", "action_id": "line", **more}


def option(value: str, text: Json | None = None) -> Json:
    return {"text": text or plain(value), "value": value}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Check in"), "submit": plain("Send"), "callback_id": "checkin",
            "blocks": list(blocks) or [asks(line(), block_id="note")], **more}


HOME = {"type": "home", "blocks": [section("at home")]}


# --- every method does its work ---------------------------------------------------------------------------------------

Case = Callable[[Stage], Awaitable[object]]


async def _published(s: Stage) -> None:
    await s.done("views.publish", user_id="U1", view=HOME)
    assert s.slack.teams["T1"].homes["U1"].words == "at home"


async def _pushed(s: Stage) -> None:
    first = await s.modal()
    trigger = s.slack.trigger("T1", "U1", s.slack.views[first["id"]])
    second = (await s.done("views.push", trigger_id=trigger, view=modal()))["view"]
    assert (second["previous_view_id"], second["root_view_id"]) == (first["id"], first["id"])


async def _updated_view(s: Stage) -> None:
    view = await s.modal()
    after = (await s.done("views.update", view_id=view["id"], hash=view["hash"], view=modal(section("done"))))["view"]
    assert after["id"] == view["id"] and after["hash"] != view["hash"]


async def _said(s: Stage) -> None:
    answer = await s.done("chat.postMessage", channel="C1", text="a", blocks=[section("b")])
    message = s.slack.history("T1", "C1")[0]
    assert answer == {"ok": True, "channel": "C1", "ts": message.ts, "message": {
        "type": "message", "user": "UBOT", "text": "a", "ts": message.ts, "team": "T1", "bot_id": "BBOT",
        "app_id": s.slack.app_id, "blocks": [{"type": "section", "block_id": message.blocks[0]["block_id"], "text": {
            "type": "mrkdwn", "text": "b", "verbatim": False}}]}}


async def _edited(s: Stage) -> None:
    ts = await s.say("before", blocks=[section("block")])
    await s.done("chat.update", channel="C1", ts=ts, text="after")
    message = s.slack.history("T1", "C1")[0]
    assert (message.text, message.blocks, message.edits[0].text) == ("after", [], "before")


async def _deleted(s: Stage) -> None:
    await s.done("chat.delete", channel="C1", ts=await s.say())
    assert s.slack.history("T1", "C1") == []


async def _whispered(s: Stage) -> None:
    await s.done("chat.postEphemeral", channel="C1", user="U1", text="psst")
    assert s.slack.history("T1", "C1") == []
    assert [shown.words for shown in s.slack.screen("T1", "U1")] == ["psst"]


async def _linked(s: Stage) -> None:
    ts = await s.say()
    link = (await s.done("chat.getPermalink", channel="C1", message_ts=ts))["permalink"]
    assert link == f"https://t1.slack.com/archives/C1/p{ts.replace('.', '')}"


async def _opened_im(s: Stage) -> None:
    first = await s.done("conversations.open", users="U1")
    again = await s.done("conversations.open", users="U1", return_im="true")
    assert again["already_open"] and again["channel"]["id"] == first["channel"]["id"]
    assert again["channel"]["user"] == "U1"


async def _zone(s: Stage) -> None:
    user = (await s.done("users.info", user="U1"))["user"]
    assert (user["tz"], user["tz_offset"], user["team_id"]) == ("Africa/Cairo", 7200, "T1")


async def _joined(s: Stage) -> None:
    await s.done("conversations.join", channel="C2")
    assert (await s.done("conversations.info", channel="C2"))["channel"]["is_member"]
    assert (await s.done("conversations.members", channel="C2"))["members"] == ["U1", "UBOT"]


async def _replied(s: Stage) -> None:
    root = await s.say("root")
    await s.say("reply", thread_ts=root)
    assert [one["text"] for one in (await s.done("conversations.replies", channel="C1", ts=root))["messages"]] == \
        ["root", "reply"]
    assert [one["text"] for one in (await s.done("conversations.history", channel="C1"))["messages"]] == ["root"]


async def _oauth(s: Stage, redirect: str = "", **more: str) -> Json:
    """The exchange for a code that a person has just brought back; `more` may spoil it."""
    page = web.Application()

    async def go(request: web.Request) -> web.Response:
        asked = f"client_id={s.slack.client_id}&scope=commands,chat:write&state=s"
        return web.Response(status=302, headers={"Location": f"{s.slack.authorize_url}?{asked}&redirect_uri={back}"})

    async def end(request: web.Request) -> web.Response:
        return web.Response(text=request.query.get("code", request.query.get("error", "")))

    page.router.add_get("/install", go)
    page.router.add_get("/back", end)
    runner = web.AppRunner(page)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        back = f"{origin}/back"
        s.slack.redirect_uris.append(back)
        code = (await s.slack.install("T2", "U1", f"{origin}/install")).text
    finally:
        await runner.cleanup()
    args = {"code": code, "client_id": s.slack.client_id, "client_secret": s.slack.client_secret,
            "redirect_uri": back, **more}
    answer: Json = await (await s.raw("oauth.v2.access", token="", data=args)).json()
    if answer["ok"]:
        assert answer == {
            "ok": True, "access_token": s.slack.teams["T2"].token and s.slack.teams["T2"].token.value,
            "token_type": "bot", "scope": "chat:write,commands", "bot_user_id": "UBOT", "app_id": s.slack.app_id,
            "team": {"name": "Team T2", "id": "T2"}, "enterprise": None, "is_enterprise_install": False,
            "authed_user": {"id": "U1"}}
        again: Json = await (await s.raw("oauth.v2.access", token="", data=args)).json()
        assert again["error"] == "invalid_code"     # a code is good once
    return answer


async def _uninstalled(s: Stage) -> None:
    await s.done("apps.uninstall", client_id=s.slack.client_id, client_secret=s.slack.client_secret)
    assert (await s.call("auth.test"))["error"] == "account_inactive"
    await s.slack.settled()


async def _revoked(s: Stage) -> None:
    assert (await s.done("auth.revoke", test="true"))["revoked"] is False
    assert (await s.done("auth.revoke"))["revoked"] is True
    await s.slack.settled()


async def _who_am_i(s: Stage) -> None:
    assert await s.done("auth.test") == {
        "ok": True, "url": "https://t1.slack.com/", "team": "Team T1", "user": "ninety", "team_id": "T1",
        "user_id": "UBOT", "bot_id": "BBOT", "is_enterprise_install": False}


METHODS_DONE: Mapping[str, Case] = {
    "apps.connections.open": lambda s: s.wire(),
    "apps.uninstall": _uninstalled,
    "auth.revoke": _revoked,
    "auth.test": _who_am_i,
    "bots.info": lambda s: s.done("bots.info", bot="BBOT"),
    "chat.delete": _deleted,
    "chat.getPermalink": _linked,
    "chat.postEphemeral": _whispered,
    "chat.postMessage": _said,
    "chat.update": _edited,
    "conversations.history": _replied,
    "conversations.info": _joined,
    "conversations.join": _joined,
    "conversations.members": _joined,
    "conversations.open": _opened_im,
    "conversations.replies": _replied,
    "oauth.v2.access": _oauth,
    "team.info": lambda s: s.done("team.info"),
    "users.info": _zone,
    "users.list": lambda s: s.done("users.list", limit="2"),
    "views.open": lambda s: s.modal(),
    "views.publish": _published,
    "views.push": _pushed,
    "views.update": _updated_view,
}


@pytest.mark.parametrize("method", sorted(COVERAGE.methods))
async def test_every_method_does_its_work(stage: Stage, method: str) -> None:
    await METHODS_DONE[method](stage)
    assert f"method:{method}" in stage.slack.exercised


# --- every refusal ----------------------------------------------------------------------------------------------------


async def _after(s: Stage, act: Callable[[], object], method: str, /, **args: Any) -> Json:
    act()
    await s.slack.settled()
    return await s.call(method, **args)


async def _push_too_many(s: Stage) -> Json:
    view = await s.modal()
    answer: Json = {}
    for _ in range(3):
        trigger = s.slack.trigger("T1", "U1", s.slack.views[view["id"]])
        answer = await s.call("views.push", trigger_id=trigger, view=modal())
        view = answer.get("view", view)
    return answer


async def _trigger_after(s: Stage, seconds: float, uses: int = 0) -> Json:
    trigger = s.slack.trigger("T1", "U1")
    for _ in range(uses):
        await s.done("views.open", trigger_id=trigger, view=modal())
    s.clock.at += seconds
    return await s.call("views.open", trigger_id=trigger, view=modal())


async def _same_outer_id(s: Stage) -> Json:
    await s.modal(external_id="once")
    return await s.call("views.open", trigger_id=s.slack.trigger("T1", "U1"), view=modal(external_id="once"))


async def _old_hash(s: Stage) -> Json:
    view = await s.modal()
    return await s.call("views.update", view_id=view["id"], hash="1.2", view=modal())


async def _not_mine(s: Stage, method: str) -> Json:
    return await s.call(method, channel="C1", ts=s.slack.say("T1", "U1", "C1", "mine").ts, text="yours") \
        if method == "chat.update" else await s.call(method, channel="C1", ts=s.slack.say("T1", "U1", "C1", "mine").ts)


async def _through_response_url(s: Stage, uses: int = 0, after: float = 0, **body: Any) -> Json:
    url = s.slack.response_url("T1", "U1", "C1")
    for _ in range(uses):
        assert (await s.http.post(url, json={"text": "again"})).status == 200
    s.clock.at += after
    answer: Json = await (await s.http.post(url, json=body)).json()
    return answer


async def _flood(s: Stage) -> Json:
    for _ in range(POSTS_AT_ONCE):
        await s.say()
    return await s.call("chat.postMessage", channel="C1", text="one more")


async def _fails(s: Stage, answer: Awaitable[object]) -> Json:
    with pytest.raises(NoAnswer) as caught:
        await answer
    return {"ok": False, "error": caught.value.reason}


async def _silent(s: Stage) -> Json:
    await s.wire()
    s.slack.patience = 0.02
    failed = await _fails(s, s.slack.type("T1", "U1", "C1", "/checkin"))
    assert [(sent.kind, sent.acknowledged) for sent in s.slack.sent] == [("slash_commands", False)]
    return failed


async def _unwilling(s: Stage) -> Json:
    s.slack.request_url = s.slack.api_url + "nothing?token="
    s.slack.fault("nothing", Fail(503))
    return await _fails(s, s.slack.type("T1", "U1", "C1", "/checkin"))


async def _json(s: Stage, method: str, **request: Any) -> Json:
    answer: Json = await (await s.raw(method, **request)).json()
    return answer


def _post(s: Stage, **args: Any) -> Awaitable[Json]:
    return s.call("chat.postMessage", **{"channel": "C1", **args})


REFUSED: Mapping[str, Callable[[Stage], Awaitable[Json]]] = {
    "account_inactive": lambda s: _after(s, lambda: s.slack.uninstall("T1"), "auth.test"),
    "bad_client_secret": lambda s: _oauth(s, client_secret="guess"),  # noqa: S106
    "bad_redirect_uri": lambda s: _oauth(s, redirect_uri="http://127.0.0.1/other"),
    "bot_not_found": lambda s: s.call("bots.info", bot="B?"),
    "cannot_dm_bot": lambda s: s.call("conversations.open", users="UBOT"),
    "cant_delete_message": lambda s: _not_mine(s, "chat.delete"),
    "cant_update_message": lambda s: _not_mine(s, "chat.update"),
    "channel_not_found": lambda s: _post(s, channel="G1", text="the bot does not see it"),
    "dispatch_failed": lambda s: _fails(s, s.slack.type("T1", "U1", "C1", "/checkin")),
    "duplicate_external_id": _same_outer_id,
    "exchanged_trigger_id": lambda s: _trigger_after(s, 1, uses=1),
    "expired_trigger_id": lambda s: _trigger_after(s, 3.1),
    "expired_url": lambda s: _through_response_url(s, after=1801, text="late"),
    "hash_conflict": _old_hash,
    "http_service_error": _unwilling,
    "invalid_arguments": lambda s: s.call("users.info", user="U1", surprise="1"),
    "invalid_auth": lambda s: s.call("auth.test", as_="xoxb-unknown"),
    "invalid_blocks": lambda s: _post(s, blocks=[{"type": "poem"}]),
    "invalid_blocks_format": lambda s: _post(s, blocks="[{"),
    "invalid_client_id": lambda s: _oauth(s, client_id="9.9"),
    "invalid_code": lambda s: _oauth(s, code="guess"),
    "invalid_cursor": lambda s: s.call("users.list", cursor="???"),
    "invalid_json": lambda s: _json(s, "chat.postMessage", data="{", headers={"Content-Type": "application/json"}),
    "invalid_limit": lambda s: s.call("conversations.history", channel="C1", limit="1000"),
    "invalid_metadata_format": lambda s: _post(s, text="a", metadata={"event_type": "x"}),
    "invalid_payload": lambda s: _through_response_url(s, text="a", channel="C2"),
    "invalid_post_type": lambda s: _json(s, "auth.test", data="x", headers={"Content-Type": "text/csv"}),
    "invalid_refresh_token": lambda s: _oauth(s, grant_type="refresh_token", refresh_token="guess"),  # noqa: S106
    "invalid_trigger_id": lambda s: s.call("views.open", trigger_id="1.2.3", view=modal()),
    "invalid_ts_latest": lambda s: s.call("conversations.history", channel="C1", latest="soon"),
    "invalid_ts_oldest": lambda s: s.call("conversations.history", channel="C1", oldest="1.x"),
    "invalid_url": lambda s: _answer_of(s.http.post(f"{s.slack.origin}/response/guess", json={"text": "a"})),
    "is_archived": lambda s: _after(s, lambda: s.slack.archive("T1", "C1"), "chat.postMessage", channel="C1", text="a"),
    "json_not_object": lambda s: _json(s, "chat.postMessage", json=[1]),
    "message_not_found": lambda s: s.call("chat.update", channel="C1", ts="1.000001", text="a"),
    "messages_tab_disabled": lambda s: _after(s, lambda: setattr(s.slack, "messages_tab", False), "chat.postMessage",
                                              channel="U1", text="a"),
    "metadata_too_large": lambda s: _post(s, text="a", metadata={"event_type": "x",
                                                                 "event_payload": {"a": "b" * 8000}}),
    "method_not_supported_for_channel_type": lambda s: _join_im(s),
    "missing_scope": lambda s: _unscoped(s),
    "msg_blocks_too_long": lambda s: _post(s, blocks=[section("x" * 3000)] * 5),
    "msg_too_long": lambda s: _post(s, text="x" * 40_001),
    "no_text": lambda s: _post(s),
    "not_allowed_token_type": lambda s: s.call("auth.test", as_=s.slack.app_token),
    "not_authed": lambda s: _json(s, "chat.postMessage", token="", json={"token": s.token, "channel": "C1"}),
    "not_found": lambda s: s.call("views.update", view_id="V?", view=modal()),
    "not_in_channel": lambda s: _after(s, lambda: s.slack.kick("T1", "C1"), "chat.postMessage", channel="C1", text="a"),
    "operation_timeout": _silent,
    "push_limit_reached": _push_too_many,
    "ratelimited": _flood,
    "team_not_found": lambda s: s.call("team.info", team="T2"),
    "thread_not_found": lambda s: _post(s, text="a", thread_ts="1.000001"),
    "token_expired": lambda s: _expired(s),
    "token_revoked": lambda s: _after(s, lambda: s.slack.revoke("T1"), "auth.test"),
    "unknown_method": lambda s: s.call("chat.shout"),
    "used_url": lambda s: _through_response_url(s, uses=5, text="six"),
    "user_disabled": lambda s: _after(s, lambda: s.slack.disable("T1", "U2"), "conversations.open", users="U2"),
    "user_not_found": lambda s: s.call("users.info", user="U9"),
    "user_not_in_channel": lambda s: s.call("chat.postEphemeral", channel="C1", user="U9", text="a"),
    "users_list_not_supplied": lambda s: s.call("conversations.open", users=","),
    "view_too_large": lambda s: s.call("views.open", trigger_id="1", view=modal(*large())),
}


async def _answer_of(request: Any) -> Json:
    answer: Json = await (await request).json()
    return answer


async def _join_im(s: Stage) -> Json:
    return await s.call("conversations.join", channel=(await s.done("conversations.open", users="U1"))["channel"]["id"])


async def _unscoped(s: Stage) -> Json:
    refused = await s.call("chat.postMessage", as_=s.slack.grant("T2", ["commands"]).value, channel="C1", text="a")
    assert (refused["needed"], refused["provided"]) == ("chat:write", "commands")
    return refused


async def _expired(s: Stage) -> Json:
    """With rotation a token lives twelve hours; its refresh token, good once, brings the next."""
    s.slack.rotation = True
    token = s.slack.grant("T2", ["commands"])
    s.clock.at += 12 * 3600 - 1
    assert (await s.call("auth.test", as_=token.value))["ok"]
    s.clock.at += 1
    asked = {"grant_type": "refresh_token", "refresh_token": s.slack.teams["T2"].refresh,
             "client_id": s.slack.client_id, "client_secret": s.slack.client_secret}
    fresh = await _json(s, "oauth.v2.access", token="", data=asked)
    assert (fresh["ok"], fresh["scope"], fresh["expires_in"]) == (True, "commands", 43200)
    assert (await s.call("auth.test", as_=fresh["access_token"]))["ok"]
    assert (await _json(s, "oauth.v2.access", token="", data=asked))["error"] == "invalid_refresh_token"
    return await s.call("auth.test", as_=token.value)


def large() -> list[Json]:
    """Blocks within every limit of their own that are too many bytes together."""
    choice = {"type": "static_select", "options": [option(f"{n:03}" + "v" * 147, plain("t")) for n in range(100)]}
    return [actions({**choice, "action_id": f"a{n}"}, {**choice, "action_id": f"b{n}"}) for n in range(9)]


@pytest.mark.parametrize("error", sorted(COVERAGE.refusals))
async def test_every_refusal_is_met(stage: Stage, error: str) -> None:
    answer = await REFUSED[error](stage)
    assert (answer["ok"], answer["error"]) == (False, error), answer


def test_the_tables_hold_what_coverage_promises_and_nothing_else() -> None:
    assert (set(METHODS_DONE), set(REFUSED), set(FAULTS)) == \
        (set(COVERAGE.methods), set(COVERAGE.refusals), set(COVERAGE.faults))
    assert len(list(COVERAGE)) == len(METHODS_DONE) + len(REFUSED) + len(FAULTS)


# --- every fault ------------------------------------------------------------------------------------------------------


async def _dropped(s: Stage, accepted: bool) -> None:
    s.slack.fault("chat.postMessage", Drop(accepted))
    with pytest.raises(aiohttp.ClientConnectionError):
        await s.call("chat.postMessage", channel="C1", text="a")
    assert len(s.slack.history("T1", "C1")) == accepted


async def _failed(s: Stage) -> None:
    s.slack.fault("auth.test", None, Fail(500), Fail(503))
    assert [(await s.raw("auth.test")).status for _ in range(4)] == [200, 500, 503, 200]


async def _slowed(s: Stage) -> None:
    s.slack.fault("auth.test", Slow(0.03))
    start = time.monotonic()
    await s.done("auth.test")
    assert time.monotonic() - start >= 0.03


async def _throttled(s: Stage) -> None:
    """Who comes back too early is sent away again; the other methods stay open."""
    s.slack.fault("users.info", Throttle(30))
    waits = []
    for wait in (0, 12, 18):
        s.clock.at += wait
        answer = await s.raw("users.info", data={"user": "U1"})
        waits.append((answer.status, answer.headers.get("Retry-After")))
    await s.done("auth.test")
    assert waits == [(429, "30"), (429, "18"), (200, None)]
    assert s.slack.limited == {"users.info": 2}


async def _cut(s: Stage) -> None:
    ws = await s.wire()
    s.slack.cut_sockets()
    end = await ws.receive(timeout=5)
    assert end.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
    await s.slack.until(lambda: s.slack.sockets == 0)


async def _told(s: Stage, reason: Any) -> None:
    ws = await s.wire()
    await s.slack.disconnect(reason, close_after=0.01)
    assert (await ws.receive_json(timeout=5))["reason"] == reason
    if reason == "warning":
        assert s.slack.sockets == 1
    else:
        assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def _eleventh(s: Stage) -> None:
    for _ in range(10):
        await s.wire()
    eleventh = await s.wire()
    assert (await eleventh.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
    assert s.slack.sockets == 10


async def _doubled(s: Stage) -> None:
    """Both connections get the same envelope; the second acknowledgement is a stray."""
    first, second = await s.wire(), await s.wire()
    s.slack.duplicate()
    typing = asyncio.ensure_future(s.slack.type("T1", "U1", "C1", "/checkin", within=0))
    envelopes = [await first.receive_json(timeout=5), await second.receive_json(timeout=5)]
    assert envelopes[0] == envelopes[1]
    for ws in (first, second):
        await ws.send_json({"envelope_id": envelopes[0]["envelope_id"]})
    assert await typing == Shown("nothing")
    await s.slack.until(lambda: s.slack.strays == [envelopes[0]["envelope_id"]])


async def _retried(s: Stage) -> None:
    """Once at once, once after a minute, once after five; then Slack gives up."""
    ws = await s.wire()
    s.slack.patience = 0.02
    await s.slack.event("T1", {"type": "app_home_opened", "user": "U1"})
    s.clock.at += 59
    assert await s.slack.retry_due() == 0
    s.clock.at += 1
    assert await s.slack.retry_due() == 1
    s.clock.at += 300
    assert (await s.slack.retry_due(), s.slack.retries) == (1, [])
    seen = [await ws.receive_json(timeout=5) for _ in range(4)]
    assert [(one["retry_attempt"], one["retry_reason"]) for one in seen] == \
        [(0, ""), (1, "timeout"), (2, "timeout"), (3, "timeout")]
    assert len({one["payload"]["event_id"] for one in seen}) == 1
    assert len({one["envelope_id"] for one in seen}) == 4


async def _knocks(s: Stage, **knock: Any) -> None:
    async with http_bot(s) as app:
        heard: list[str] = []

        @app.command("/checkin")
        async def checkin(ack: Any, command: Json) -> None:
            heard.append(command["text"])
            await ack()

        body = {"command": "/checkin", "text": "3", "team_id": "T1", "user_id": "U1", "channel_id": "C1"}
        assert [(await s.slack.knock("slash_commands", body))[0],
                (await s.slack.knock("slash_commands", body, **knock))[0]] == [200, 401]
        assert heard == ["3"]


FAULTS: Mapping[str, Case] = {
    "bad signature": lambda s: _knocks(s, signature="v0=" + "0" * 64),
    "cut": _cut,
    "drop after": lambda s: _dropped(s, True),
    "drop before": lambda s: _dropped(s, False),
    "duplicate": _doubled,
    "fail": _failed,
    "link_disabled": lambda s: _told(s, "link_disabled"),
    "old timestamp": lambda s: _knocks(s, timestamp=int(time.time()) - 301),
    "refresh_requested": lambda s: _told(s, "refresh_requested"),
    "retry": _retried,
    "slow": _slowed,
    "throttle": _throttled,
    "too_many_websockets": _eleventh,
    "warning": lambda s: _told(s, "warning"),
}


@pytest.mark.parametrize("fault", sorted(COVERAGE.faults))
async def test_every_fault_happens(stage: Stage, fault: str) -> None:
    await FAULTS[fault](stage)
    assert f"fault:{fault}" in stage.slack.exercised


# --- blocks and views -------------------------------------------------------------------------------------------------

BOXES = {"type": "checkboxes", "action_id": "boxes", "options": [option("a", mrkdwn("*a*"))]}
PICK = {"type": "static_select", "action_id": "pick", "options": [option("a")]}

AT_THE_LIMIT: Mapping[str, tuple[list[Json], list[Json], str]] = {
    "blocks": ([section()] * 50, [section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    "section": ([section("x" * 3000)], [section("x" * 3001)],
                "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    "empty": ([section("x")], [section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    "fields": ([{"type": "section", "fields": [plain("x" * 2000)] * 10}],
               [{"type": "section", "fields": [plain("x")] * 11}],
               "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
    "field": ([{"type": "section", "fields": [plain("x" * 2000)]}],
              [{"type": "section", "fields": [plain("x" * 2001)]}],
              "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"),
    "header": ([{"type": "header", "text": plain("x" * 150)}], [{"type": "header", "text": plain("x" * 151)}],
               "must be less than 151 characters [json-pointer:/blocks/0/text/text]"),
    "header's type": ([{"type": "header", "text": plain("x")}], [{"type": "header", "text": mrkdwn("x")}],
                      "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"),
    "button": ([actions(button("x" * 75))], [actions(button("x" * 76))],
               "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"),
    "button's type": ([actions(button())], [actions({**button(), "text": mrkdwn("x")})],
                      "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/text/type]"),
    "button's value": ([actions(button(value="x" * 2000))], [actions(button(value="x" * 2001))],
                       "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]"),
    "button's url": ([actions(button(url="x" * 3000))], [actions(button(url="x" * 3001))],
                     "must be less than 3001 characters [json-pointer:/blocks/0/elements/0/url]"),
    "style": ([actions(button(style="danger"))], [actions(button(style="loud"))],
              "unsupported style: loud [json-pointer:/blocks/0/elements/0/style]"),
    "action_id": ([actions(button(action_id="x" * 255))], [actions(button(action_id="x" * 256))],
                  "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]"),
    "same action_id": ([actions(button(), button(action_id="b"))], [actions(button(), button())],
                       "action_id must be unique within a block [json-pointer:/blocks/0/elements]"),
    "block_id": ([section(block_id="x" * 255)], [section(block_id="x" * 256)],
                 "must be less than 256 characters [json-pointer:/blocks/0/block_id]"),
    "same block_id": ([section(block_id="a"), section(block_id="b")], [section(block_id="a"), section(block_id="a")],
                      "block_id must be unique [json-pointer:/blocks/1/block_id]"),
    "actions": ([actions(*(button(action_id=str(n)) for n in range(25)))],
                [actions(*(button(action_id=str(n)) for n in range(26)))],
                "no more than 25 items allowed [json-pointer:/blocks/0/elements]"),
    "context": ([{"type": "context", "elements": [mrkdwn("x")] * 10}],
                [{"type": "context", "elements": [mrkdwn("x")] * 11}],
                "no more than 10 items allowed [json-pointer:/blocks/0/elements]"),
    "text input in actions": ([asks(line())], [actions(line())],
                              "unsupported type: plain_text_input [json-pointer:/blocks/0/elements/0/type]"),
    "input block in actions": ([actions(button())], [actions(asks(line()))],
                               "unsupported type: input [json-pointer:/blocks/0/elements/0/type]"),
    "checkboxes": ([asks({**BOXES, "options": [option(str(n)) for n in range(10)]})],
                   [asks({**BOXES, "options": [option(str(n)) for n in range(11)]})],
                   "no more than 10 items allowed [json-pointer:/blocks/0/element/options]"),
    "radios": ([asks({**BOXES, "type": "radio_buttons"})],
               [asks({**BOXES, "type": "radio_buttons", "options": [option(str(n)) for n in range(11)]})],
               "no more than 10 items allowed [json-pointer:/blocks/0/element/options]"),
    "select": ([asks({**PICK, "options": [option(str(n)) for n in range(100)]})],
               [asks({**PICK, "options": [option(str(n)) for n in range(101)]})],
               "no more than 100 items allowed [json-pointer:/blocks/0/element/options]"),
    "option": ([asks({**BOXES, "options": [option("a", mrkdwn("x" * 75))]})],
               [asks({**BOXES, "options": [option("a", mrkdwn("x" * 76))]})],
               "must be less than 76 characters [json-pointer:/blocks/0/element/options/0/text/text]"),
    "option's value": ([asks({**PICK, "options": [option("x" * 150, plain("a"))]})],
                       [asks({**PICK, "options": [option("x" * 151, plain("a"))]})],
                       "must be less than 151 characters [json-pointer:/blocks/0/element/options/0/value]"),
    "option's type": ([asks(BOXES)], [asks({**PICK, "options": [option("a", mrkdwn("a"))]})],
                      "unsupported type: mrkdwn [json-pointer:/blocks/0/element/options/0/text/type]"),
    "initial option": ([asks({**PICK, "initial_option": option("a")})],
                       [asks({**PICK, "initial_option": option("a", plain("A"))})],
                       "initial_option must be one of the options [json-pointer:/blocks/0/element/initial_option]"),
    "initial options": ([asks({**BOXES, "initial_options": [option("a", mrkdwn("*a*"))]})],
                        [asks({**BOXES, "initial_options": [option("a")]})],
                        "initial_options must be among the options "
                        "[json-pointer:/blocks/0/element/initial_options/0]"),
    "no initial options": ([asks(BOXES)], [asks({**BOXES, "initial_options": []})],
                           "no less than 1 items allowed [json-pointer:/blocks/0/element/initial_options]"),
    "max_length": ([asks(line(max_length=3000))], [asks(line(max_length=3001))],
                   "must be between 1 and 3000 [json-pointer:/blocks/0/element/max_length]"),
    "initial_value": ([asks(line(max_length=5, initial_value="12345"))],
                      [asks(line(max_length=5, initial_value="123456"))],
                      "must be less than 6 characters [json-pointer:/blocks/0/element/initial_value]"),
    "label": ([asks(line())], [{**asks(line()), "label": mrkdwn("x")}],
              "unsupported type: mrkdwn [json-pointer:/blocks/0/label/type]"),
    "placeholder": ([asks(line(placeholder=plain("x" * 150)))], [asks(line(placeholder=plain("x" * 151)))],
                    "must be less than 151 characters [json-pointer:/blocks/0/element/placeholder/text]"),
    "unknown block": ([{"type": "divider"}], [{"type": "divide"}], "unsupported type: divide "
                      "[json-pointer:/blocks/0/type]"),
    "unknown key": ([{"type": "divider"}], [{"type": "divider", "color": "red"}],
                    "invalid additional property: color [json-pointer:/blocks/0]"),
    "missing key": ([asks(line())], [{"type": "input", "element": line()}],
                    "missing required field: label [json-pointer:/blocks/0]"),
    "no object": ([{"type": "divider"}], ["divider"], "must provide an object [json-pointer:/blocks/0]"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("rule", AT_THE_LIMIT)
def test_blocks_are_taken_at_each_limit_and_refused_beyond_it(rule: str) -> None:
    taken, refused, message = AT_THE_LIMIT[rule]
    assert refusals_of_blocks(taken, "message") == []
    assert refusals_of_blocks(refused, "message") == [message]


VIEWS: Mapping[str, tuple[Json, Json, str]] = {
    "title": (modal(title=plain("x" * 24)), modal(title=plain("x" * 25)),
              "must be less than 25 characters [json-pointer:/view/title/text]"),
    "submit": (modal(submit=plain("x" * 24)), modal(submit=plain("x" * 25)),
               "must be less than 25 characters [json-pointer:/view/submit/text]"),
    "close": (modal(close=plain("x" * 24)), modal(close=plain("x" * 25)),
              "must be less than 25 characters [json-pointer:/view/close/text]"),
    "private_metadata": (modal(private_metadata="x" * 3000), modal(private_metadata="x" * 3001),
                         "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
    "callback_id": (modal(callback_id="x" * 255), modal(callback_id="x" * 256),
                    "must be less than 256 characters [json-pointer:/view/callback_id]"),
    "blocks": (modal(*[section()] * 100), modal(*[section()] * 101),
               "no more than 100 items allowed [json-pointer:/view/blocks]"),
    "submit of inputs": (modal(), {name: value for name, value in modal().items() if name != "submit"},
                         "missing required field: submit [json-pointer:/view]"),
    "type": (modal(), {**modal(), "type": "home"}, "unsupported type: home [json-pointer:/view/type]"),
    "markdown": (modal(section()), modal({"type": "markdown", "text": "# a"}),
                 "unsupported type: markdown [json-pointer:/view/blocks/0/type]"),
}


@pytest.mark.parametrize("rule", VIEWS)
def test_views_are_taken_at_each_limit_and_refused_beyond_it(rule: str) -> None:
    taken, refused, message = VIEWS[rule]
    assert refusals_of_view(taken, "modal") == []
    assert refusals_of_view(refused, "modal") == [message]


def test_a_home_has_no_title() -> None:
    assert refusals_of_view({**HOME, "title": plain("x")}, "home") == \
        ["invalid additional property: title [json-pointer:/view]"]


async def test_a_refusal_of_blocks_reads_as_slack_writes_it(stage: Stage) -> None:
    message = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert await stage.call("chat.postMessage", channel="C1", blocks=[section("x" * 3001)]) == {
        "ok": False, "error": "invalid_blocks", "errors": [message],
        "response_metadata": {"messages": [f"[ERROR] {message}"]}}
    assert await stage.call("views.open", trigger_id="1", view=modal(title=plain("x" * 25))) == {
        "ok": False, "error": "invalid_arguments",
        "response_metadata": {"messages": ["[ERROR] must be less than 25 characters "
                                           "[json-pointer:/view/title/text]"]}}
    assert (await stage.call("chat.postMessage", text="a"))["response_metadata"] == \
        {"messages": ["[ERROR] missing required field: channel"]}


async def test_blocks_may_be_long_together_up_to_a_point(stage: Stage) -> None:
    fits = [section("x" * 3000)] * 4 + [section("x" * (BLOCKS_LONGEST - 12_000))]
    await stage.done("chat.postMessage", channel="C1", blocks=fits)
    refused = await stage.call("chat.postMessage", channel="C1", blocks=[*fits, section("x")])
    assert refused["error"] == "msg_blocks_too_long"


async def test_in_a_form_blocks_are_json_in_a_string(stage: Stage) -> None:
    await stage.done("chat.postMessage", channel="C1", blocks=json.dumps([section("from a form")]))
    assert stage.slack.history("T1", "C1")[0].words == "from a form"


async def test_a_reading_method_overlooks_a_body_of_json(stage: Stage) -> None:
    answer = await _json(stage, "users.info", json={"user": "U1"})
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: user"]


# --- messages and limits ----------------------------------------------------------------------------------------------


async def test_stamps_are_unique_and_rise_while_the_clock_stands_still(stage: Stage) -> None:
    stage.slack.limits = False
    stamps = [await stage.say() for _ in range(20)]
    assert stamps == sorted(set(stamps)) and stamps[0] == f"{int(NOON.timestamp())}.000000"


async def test_history_is_newest_first_between_its_ends(stage: Stage) -> None:
    stage.slack.limits = False
    stamps = [await stage.say(str(number)) for number in range(5)]

    async def texts(**args: str) -> str:
        answer = await stage.done("conversations.history", channel="C1", **args)
        return "".join(one["text"] for one in answer["messages"]) + ("+" if answer["has_more"] else "")

    assert await texts() == "43210"
    assert await texts(oldest=stamps[1], latest=stamps[3]) == "2"
    assert await texts(oldest=stamps[1], latest=stamps[3], inclusive="true") == "321"
    assert await texts(limit="2") == "43+"
    first = await stage.done("conversations.history", channel="C1", limit="3")
    assert await texts(limit="3", cursor=first["response_metadata"]["next_cursor"]) == "10"


async def test_metadata_comes_back_to_who_asks_for_it(stage: Stage) -> None:
    about = {"event_type": "delivery", "event_payload": {"tag": "abc"}}
    await stage.done("chat.postMessage", channel="C1", text="a", metadata=about)
    kept = [(await stage.done("conversations.history", channel="C1", **asked))["messages"][0].get("metadata")
            for asked in ({"include_all_metadata": "1"}, {})]
    assert kept == [about, None]


async def test_workspaces_with_the_same_ids_do_not_meet(stage: Stage) -> None:
    other = stage.slack.grant("T2").value
    await stage.say("for the first")
    await stage.done("chat.postMessage", as_=other, channel="C1", text="for the second")
    await stage.done("chat.postMessage", as_=other, channel="U1", text="in private")
    assert [[one.words for one in stage.slack.history(team, "C1")] for team in ("T1", "T2")] == \
        [["for the first"], ["for the second"]]
    assert [[one.words for one in stage.slack.history(team, "U1")] for team in ("T1", "T2")] == [[], ["in private"]]
    assert (await stage.call("views.open", as_=other, trigger_id=stage.slack.trigger("T1", "U1"),
                             view=modal()))["error"] == "invalid_trigger_id"


async def test_a_full_channel_leaves_the_others_open_and_opens_by_the_clock(stage: Stage) -> None:
    stage.slack.add_channel("T1", "C3", members=["U1"])
    assert (await _flood(stage))["error"] == "ratelimited"
    await stage.done("chat.postMessage", channel="C3", text="a")
    stage.clock.at += 1
    await stage.say()
    assert stage.slack.limited == {"chat.postMessage": 1}


async def test_conversations_open_closes_after_fifty_a_minute(stage: Stage) -> None:
    answers = []
    for _ in range(51):
        answers.append(await stage.raw("conversations.open", data={"users": "U1"}))
        stage.clock.at += 0.5
    assert [one.status for one in answers] == [200] * 50 + [429]
    assert answers[-1].headers["Retry-After"] == "35"       # the first of them was 25 s ago
    stage.clock.at += 34.5
    await stage.done("conversations.open", users="U1")


async def test_a_commercial_app_reads_history_once_a_minute(stage: Stage) -> None:
    stage.slack.commercial = True
    assert (await stage.call("conversations.history", channel="C1", limit="16"))["error"] == "invalid_limit"
    assert (await stage.raw("conversations.history", data={"channel": "C1"})).status == 429


@given(st.lists(st.floats(0, 3), max_size=60))
def test_a_channel_never_takes_more_than_its_burst_and_one_a_second(pauses: list[float]) -> None:
    limits, at, taken = Limits(), 0.0, 0
    for pause in pauses:
        at += pause
        with contextlib.suppress(TooMany):
            limits.admit("chat.postMessage", "T1", at, 300, "C1")
            taken += 1
    assert min(len(pauses), POSTS_AT_ONCE) <= taken <= POSTS_AT_ONCE + at + 1e-6


# --- Slack without Slack's libraries ----------------------------------------------------------------------------------


async def test_a_ticket_is_good_for_one_connection(stage: Stage) -> None:
    url = (await stage.done("apps.connections.open", as_=stage.slack.app_token))["url"]
    stage.wires.append(await stage.http.ws_connect(url))
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await stage.http.ws_connect(url)


async def test_a_command_arrives_as_documented(stage: Stage) -> None:
    ws = await stage.wire()
    typing = asyncio.ensure_future(stage.slack.type("T1", "U1", "C1", "/checkin", "3"))
    envelope = await ws.receive_json(timeout=5)
    await ws.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "noted"}})
    shown = await typing
    assert (shown.kind, shown.words, stage.slack.history("T1", "C1")) == ("ephemeral", "noted", [])
    payload = envelope.pop("payload")
    assert envelope == {"envelope_id": envelope["envelope_id"], "type": "slash_commands",
                        "accepts_response_payload": True}
    assert {name: value for name, value in payload.items() if name not in ("trigger_id", "response_url")} == {
        "token": stage.slack.verification_token, "team_id": "T1", "team_domain": "t1", "channel_id": "C1",
        "channel_name": "cohort", "user_id": "U1", "user_name": "ada", "command": "/checkin", "text": "3",
        "api_app_id": stage.slack.app_id, "is_enterprise_install": "false"}


async def test_only_members_can_type_and_only_who_sees_it_can_press(stage: Stage) -> None:
    with pytest.raises(LookupError, match="U2 is not in C2"):
        await stage.slack.type("T1", "U2", "C2", "/checkin")
    with pytest.raises(LookupError, match="the app is not installed in T2"):
        await stage.slack.type("T2", "U2", "C1", "/checkin")
    await stage.done("chat.postEphemeral", channel="C1", user="U1", blocks=[actions(button())])
    with pytest.raises(LookupError):
        await stage.slack.press("T1", "U2", stage.slack.teams["T1"].ephemerals[0], "go")


async def test_what_slack_cannot_show_is_a_bad_answer(stage: Stage) -> None:
    ws = await stage.wire()
    typing = asyncio.ensure_future(stage.slack.type("T1", "U1", "C1", "/checkin"))
    envelope = await ws.receive_json(timeout=5)
    await ws.send_json({"envelope_id": envelope["envelope_id"], "payload": {"blocks": [section("")]}})
    with pytest.raises(BadAnswer):
        await typing


async def _serve(ws: aiohttp.ClientWebSocketResponse, *answers: Json | None) -> list[Json]:
    """Acknowledges the next payloads with these; gives the payloads."""
    payloads = []
    for answer in answers:
        envelope = await ws.receive_json(timeout=5)
        payloads.append(envelope["payload"])
        reply = {"envelope_id": envelope["envelope_id"]}
        await ws.send_json(reply if answer is None else {**reply, "payload": answer})
    return payloads


async def test_views_are_stacked_cleared_and_closed(stage: Stage) -> None:
    ws, slack = await stage.wire(), stage.slack
    first = slack.views[(await stage.modal(section(), asks(line(), block_id="note"),
                                           notify_on_close=True))["id"]]
    pushed = {"response_action": "push", "view": modal(asks(line(initial_value="kept"), block_id="deep"))}
    serving = asyncio.ensure_future(_serve(ws, pushed, {"response_action": "clear"}, None))
    shown = await slack.submit("T1", "U1", first, {"note": "a"})
    second = shown.view
    assert second is not None and (second.previous, second.root, first.open) == (first.id, first.id, True)
    assert await slack.submit("T1", "U1", second) == Shown("closed")
    assert (first.open, second.open) == (False, False)
    third = slack.views[(await stage.modal(notify_on_close=True))["id"]]
    await slack.close("T1", "U1", third)
    with pytest.raises(LookupError):
        await slack.submit("T1", "U1", third, {"note": "too late"})
    submitted, cleared, closed = await serving
    assert submitted["view"]["state"] == {"values": {"note": {"line": {"type": "plain_text_input", "value": "a"}}}}
    assert cleared["view"]["state"]["values"]["deep"]["line"]["value"] == "kept"
    assert (closed["type"], closed["is_cleared"]) == ("view_closed", False)


async def test_what_was_typed_stays_while_its_field_stays(stage: Stage) -> None:
    ws, slack = await stage.wire(), stage.slack
    view = slack.views[(await stage.modal())["id"]]
    serving = asyncio.ensure_future(_serve(ws, {"response_action": "errors", "errors": {"note": "no"}}))
    await slack.submit("T1", "U1", view, {"note": "mine"})
    await serving
    number = {"type": "number_input", "is_decimal_allowed": False, "action_id": "line"}
    kept = []
    for element in (line(multiline=True), number):
        await stage.done("views.update", view_id=view.id, view=modal(asks(element, block_id="note")))
        kept.append(view.values()["note"]["line"]["value"])
    assert kept == ["mine", None]


async def test_interactions_arrive_as_documented(stage: Stage) -> None:
    ws, slack = await stage.wire(), stage.slack
    await stage.say(blocks=[actions(button(value="7"), {**PICK, "options": [option("a"), option("b")]})])
    message = slack.history("T1", "C1")[0]
    view = slack.views[(await stage.modal(section(accessory=button(), block_id="here")))["id"]]
    serving = asyncio.ensure_future(_serve(ws, None, None, None, {"response_action": "errors",
                                                                  "errors": {"here": "no input"}}))
    assert await slack.press("T1", "U1", message, "go", within=0) == Shown("nothing")
    await slack.press("T1", "U1", message, "pick", "b", within=0)
    await slack.press("T1", "U1", view, "go", within=0)
    with pytest.raises(BadAnswer):
        await slack.submit("T1", "U1", view)
    pressed, picked, inside, submitted = await serving
    who = {"user": {"id": "U1", "username": "ada", "name": "ada", "team_id": "T1"},
           "team": {"id": "T1", "domain": "t1"}, "api_app_id": slack.app_id, "token": slack.verification_token,
           "enterprise": None, "is_enterprise_install": False}
    block_id = message.blocks[0]["block_id"]
    assert pressed == {
        "type": "block_actions", **who, "trigger_id": pressed["trigger_id"], "response_url": pressed["response_url"],
        "container": {"type": "message", "message_ts": message.ts, "channel_id": "C1", "is_ephemeral": False},
        "channel": {"id": "C1", "name": "cohort"}, "message": message.payload(), "state": {"values": {}},
        "actions": [{"action_id": "go", "block_id": block_id, "type": "button", "value": "7",
                     "text": {"type": "plain_text", "text": "Go", "emoji": True},
                     "action_ts": pressed["actions"][0]["action_ts"]}]}
    assert picked["actions"][0]["selected_option"]["value"] == "b"
    assert inside == {
        "type": "block_actions", **who, "trigger_id": inside["trigger_id"], "view": view.payload(),
        "container": {"type": "view", "view_id": view.id}, "actions": inside["actions"]}
    assert submitted == {"type": "view_submission", **who, "trigger_id": submitted["trigger_id"],
                         "view": view.payload(), "response_urls": []}


async def test_what_people_say_is_heard_only_by_who_asked_for_it(stage: Stage) -> None:
    ws, slack = await stage.wire(), stage.slack
    slack.say("T1", "U1", "C1", "unheard")
    slack.subscribed.add("message.channels")
    said = slack.say("T1", "U1", "C1", "heard")
    payload, = await _serve(ws, None)
    await slack.settled()
    assert (payload["type"], payload["team_id"], payload["event"]["text"], payload["event"]["ts"]) == \
        ("event_callback", "T1", "heard", said.ts)
    assert payload["authorizations"] == [{"enterprise_id": None, "team_id": "T1", "user_id": "UBOT", "is_bot": True,
                                          "is_enterprise_install": False}]


async def test_over_http_a_failed_event_comes_again_with_its_number(stage: Stage) -> None:
    heard: list[tuple[str, str | None, str | None]] = []

    async def events(request: web.Request) -> web.Response:
        heard.append(((await request.json())["event_id"], request.headers.get("x-slack-retry-num"),
                      request.headers.get("x-slack-retry-reason")))
        return web.Response(status=500 if len(heard) == 1 else 200)

    server = web.Application()
    server.router.add_post("/", events)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        stage.slack.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        await stage.slack.event("T1", {"type": "app_home_opened", "user": "U1"})
        stage.slack.duplicate()
        await stage.slack.event("T1", {"type": "app_home_opened", "user": "U1"})
    finally:
        await runner.cleanup()
    first, second = heard[0][0], heard[2][0]
    assert first != second
    assert heard == [(first, None, None), (first, "1", "http_error"), (second, None, None),
                     (second, "1", "http_timeout")]


# --- the real libraries -----------------------------------------------------------------------------------------------


def _bot(s: Stage) -> AsyncApp:
    """A small bot of Bolt with a form, as ours is one."""
    app = AsyncApp(client=AsyncWebClient(token=s.token, base_url=s.slack.api_url),
                   signing_secret=s.slack.signing_secret, logger=logging.getLogger("bolt under test"))

    @app.command("/form")
    async def form(ack: Any, client: AsyncWebClient, body: Json) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=modal(
            asks(line(max_length=20), block_id="note"),
            asks({**BOXES, "options": [option("b"), option("a")], "initial_options": [option("a")]},
                 block_id="tasks", optional=True), private_metadata=body["channel_id"]))
        await ack()

    @app.view("checkin")
    async def checkin(ack: Any, client: AsyncWebClient, view: Json) -> None:
        values = view["state"]["values"]
        note = values["note"]["line"]["value"]
        if note == "bad":
            await ack(response_action="errors", errors={"note": "Say more."})
        elif note == "next":
            await ack(response_action="update", view=modal(asks(line(), block_id="note")))
        else:
            await ack()
            ticked = [one["value"] for one in values["tasks"]["boxes"]["selected_options"]] if "tasks" in values else []
            await client.chat_postMessage(channel=view["private_metadata"] or "C1", text=f"{note} {ticked}",
                                          blocks=[section(f"{note} {ticked}"), actions(button(value="7"))])

    @app.action("go")
    async def go(ack: Any, respond: Any, client: AsyncWebClient, body: Json, action: Json) -> None:
        await ack()
        if body["user"]["id"] == "U1":
            await respond(text=f"pressed {action['value']}", replace_original=False)
        else:
            await client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text="changed")

    @app.event("app_home_opened")
    async def home(client: AsyncWebClient, event: Json) -> None:
        await client.views_publish(user_id=event["user"], view=HOME)

    @app.command("/silent")
    async def silent() -> None:
        """Never acknowledges."""

    return app


@contextlib.asynccontextmanager
async def socket_bot(s: Stage) -> AsyncIterator[AsyncApp]:
    app = _bot(s)
    handler = AsyncSocketModeHandler(app, s.slack.app_token, ping_interval=0.05)
    await handler.connect_async()  # type: ignore[no-untyped-call]  # Bolt leaves it without types
    await s.slack.until(lambda: s.slack.sockets == 1)
    try:
        yield app
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def http_bot(s: Stage) -> AsyncIterator[AsyncApp]:
    app = _bot(s)

    async def events(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    server = web.Application()
    server.router.add_post("/slack/events", events)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.1)   # a silent listener would hold it for 3 s
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    s.slack.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    try:
        yield app
    finally:
        s.slack.request_url = None
        await runner.cleanup()


@pytest.mark.parametrize("bot", [socket_bot, http_bot])
async def test_bolt_asks_by_a_form_and_posts_what_was_answered(
        stage: Stage, bot: Callable[[Stage], contextlib.AbstractAsyncContextManager[AsyncApp]]) -> None:
    slack = stage.slack
    async with bot(stage):
        shown = await slack.type("T1", "U1", "C1", "/form")
        assert shown.kind == "modal" and shown.view is not None and shown.view.title == "Check in"
        view = shown.view

        missing = await slack.submit("T1", "U1", view)
        assert (missing.by_slack, missing.errors) == (True, {"note": "Please complete this required field."})
        long = await slack.submit("T1", "U1", view, {"note": "x" * 21})
        assert (long.by_slack, long.errors) == (True, {"note": "Enter no more than 20 characters."})
        with pytest.raises(ValueError, match="offers no option 'c'"):
            await slack.submit("T1", "U1", view, {"tasks": ["c"]})

        refused = await slack.submit("T1", "U1", view, {"note": "bad"})
        assert (refused.kind, refused.by_slack, refused.errors) == ("errors", False, {"note": "Say more."})
        old = view.hash
        updated = await slack.submit("T1", "U1", view, {"line": "next"})
        assert updated.kind == "modal" and updated.view is view and view.hash != old and view.open
        assert (await slack.submit("T1", "U1", view, {"note": "last"})).kind == "closed"
        assert not view.open

        again = (await slack.type("T1", "U1", "C1", "/form")).view
        assert again is not None
        assert await slack.submit("T1", "U1", again, {"note": "done", "tasks": ["a", "b"]}) == Shown("closed")
        await slack.until(lambda: len(slack.history("T1", "C1")) == 2)
        message = slack.history("T1", "C1")[1]
        assert message.words == "done ['b', 'a']\nGo"

        pressed = await slack.press("T1", "U1", message, "go")
        assert (pressed.kind, pressed.words) == ("ephemeral", "pressed 7")
        changed = await slack.press("T1", "U2", message, "go")
        assert (changed.kind, changed.words, message.edits[0].text) == ("message", "changed", "done ['b', 'a']")

        home = await slack.open_home("T1", "U2")
        assert (home.kind, home.words) == ("home", "at home")

        slack.patience = 0.05
        with pytest.raises(NoAnswer, match="failed because the app did not respond"):
            await slack.type("T1", "U1", "C1", "/silent")


async def test_bolt_moves_to_a_new_connection_when_it_is_told_to(stage: Stage) -> None:
    async with socket_bot(stage):
        await stage.slack.disconnect("refresh_requested", close_after=0)
        await stage.slack.until(lambda: stage.slack.sockets == 1)
        assert (await stage.slack.type("T1", "U1", "C1", "/form")).kind == "modal"
        stage.slack.cut_sockets()
        await stage.slack.until(lambda: stage.slack.sockets == 1)
        assert (await stage.slack.type("T1", "U1", "C1", "/form")).kind == "modal"


async def test_the_async_client_sends_a_message_twice_when_its_connection_is_cut_after_slack_took_it(
        stage: Stage) -> None:
    """Measured in the library; a bot that wants one message switches its retries off."""
    stage.slack.fault("chat.postMessage", Drop(accepted=True))
    assert [type(one) for one in AsyncWebClient().retry_handlers] == [AsyncConnectionErrorRetryHandler]
    at_once = AsyncConnectionErrorRetryHandler(interval_calculator=FixedValueRetryIntervalCalculator(0.01))
    await AsyncWebClient(token=stage.token, base_url=stage.slack.api_url,
                         retry_handlers=[at_once]).chat_postMessage(channel="C1", text="a")
    careful = AsyncWebClient(token=stage.token, base_url=stage.slack.api_url, retry_handlers=[])
    stage.slack.fault("chat.postMessage", Drop(accepted=True))
    with pytest.raises(aiohttp.ClientConnectionError):
        await careful.chat_postMessage(channel="C1", text="b")
    assert [one.text for one in stage.slack.history("T1", "C1")] == ["a", "a", "b"]


async def test_a_response_url_changes_and_takes_back_its_message(stage: Stage) -> None:
    ts = await stage.say("before")
    message = stage.slack.history("T1", "C1")[0]
    client = AsyncWebhookClient(stage.slack.response_url("T1", "U1", "C1", message))
    assert (await client.send(text="after", replace_original=True)).status_code == 200
    assert (message.text, message.ts) == ("after", ts)
    assert (await client.send(text="to all", response_type="in_channel")).status_code == 200
    assert (await client.send(delete_original=True)).status_code == 200
    assert [one.text for one in stage.slack.history("T1", "C1")] == ["to all"]


async def test_the_sync_client_reads_and_writes_as_the_async_one(stage: Stage) -> None:
    """Its urllib sends other forms of the same calls."""
    client = WebClient(token=stage.token, base_url=stage.slack.api_url)

    def talk() -> tuple[object, ...]:
        assert client.auth_test()["user_id"] == "UBOT"
        direct = client.conversations_open(users=["U1"])["channel"]["id"]
        posted = client.chat_postMessage(channel=direct, text="a", blocks=[section("a")],
                                         metadata={"event_type": "e", "event_payload": {"k": "v"}})
        client.chat_update(channel=direct, ts=posted["ts"], text="b", blocks=[section("b")])
        history = client.conversations_history(channel=direct, limit=5, include_all_metadata=True)
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="C2", text="a")
        return (direct, [one["text"] for one in history["messages"]], history["messages"][0]["metadata"],
                caught.value.response["error"], client.users_info(user="U1")["user"]["tz"])

    direct, *rest = await asyncio.to_thread(talk)
    assert rest == [["b"], {"event_type": "e", "event_payload": {"k": "v"}}, "not_in_channel", "Africa/Cairo"]
    assert [one.words for one in stage.slack.history("T1", str(direct))] == ["b"]


async def test_uninstalling_tells_the_bot_twice_and_ends_its_token(stage: Stage) -> None:
    heard: list[str] = []
    async with http_bot(stage) as app:
        for kind in ("tokens_revoked", "app_uninstalled"):
            @app.event(kind)
            async def ended(event: Json) -> None:
                heard.append(event["type"])

        stage.slack.uninstall("T1")
        await stage.slack.settled()
        assert sorted(heard) == ["app_uninstalled", "tokens_revoked"]
    assert (await stage.call("auth.test"))["error"] == "account_inactive"


# slack_sdk 3.47 gives aiohttp the client's secret by a class that aiohttp 3.14 deprecates.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_bolts_installation_walk_ends_with_a_token_that_works(stage: Stage, tmp_path: Path) -> None:
    slack = stage.slack
    store = FileInstallationStore(base_dir=str(tmp_path / "installations"), client_id=slack.client_id)
    settings = AsyncOAuthSettings(
        client_id=slack.client_id, client_secret=slack.client_secret, scopes=["commands", "chat:write"],
        installation_store=store, authorization_url=slack.authorize_url,
        state_store=FileOAuthStateStore(expiration_seconds=60, base_dir=str(tmp_path / "states")))
    app = AsyncApp(client=AsyncWebClient(base_url=slack.api_url), signing_secret=slack.signing_secret,
                   oauth_settings=settings)
    flow = app.oauth_flow
    assert flow is not None

    async def install(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await flow.handle_installation(await to_bolt_request(request)))

    async def callback(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await flow.handle_callback(await to_bolt_request(request)))

    server = web.Application()
    server.router.add_get("/slack/install", install)
    server.router.add_get("/slack/oauth_redirect", callback)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        with pytest.raises(BadAnswer, match="redirect_uri did not match"):
            slack.redirect_uris.clear()
            await slack.install("T2", "U1", f"{origin}/slack/install")
        slack.redirect_uris.append(f"{origin}/slack/oauth_redirect")
        refused = await slack.install("T2", "U1", f"{origin}/slack/install", cancel=True)
        assert "access_denied" in refused.text
        assert (await slack.install("T2", "U1", f"{origin}/slack/install")).status == 200
    finally:
        await runner.cleanup()
    bot = store.find_bot(enterprise_id=None, team_id="T2")
    assert bot is not None
    assert (await stage.call("auth.test", as_=bot.bot_token))["team_id"] == "T2"
