"""The emulated Discord refuses as the real one does, and two real client libraries take it for the real one."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import hikari
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.emulators.discord import (
    COVERAGE,
    SEEN,
    Broken,
    Cut,
    Discord,
    Impossible,
    Limited,
    NoAnswer,
    Permission,
    Shown,
    Slow,
    Well,
    buttons_of,
    text_of,
)
from tests.emulators.discord_limits import Limits
from tests.emulators.discord_rules import command_faults, default_openapi, message_faults, modal_faults
from tests.emulators.discord_world import ALL, COMPONENTS_V2, EPHEMERAL, Channel, Guild, Ids, Json, User

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)     # discord.py imports audioop
    import discord as discord_py
    from discord import app_commands, gateway, http, ui

# Of the form that hikari asks for; it opens nothing.
TOKEN = b64encode(b"1100000000000000001").decode().strip("=") + ".x.y"
AGENT = "DiscordBot (https://example.org, 1)"
NEEDS_OPENAPI = pytest.mark.skipif(default_openapi() is None, reason="Discord's OpenAPI is not at hand")
RAN: set[str] = set()


@pytest.fixture(autouse=True)
def _ran(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    RAN.add(request.node.originalname)


@dataclass
class Clock:
    at: datetime = datetime(2026, 9, 7, 9, tzinfo=UTC)
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Rest:
    """A bot that knows no library."""

    discord: Discord
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bot {TOKEN}", "User-Agent": AGENT})
    last: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        more = {"Content-Type": "application/json"} if body is not None else {}
        async with self.session.request(method, self.discord.api_url + path, data=data,
                                        headers={**self.headers, **more, **headers}) as answer:
            self.last = answer.headers
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" and text else text

    async def code(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, int]:
        status, answer = await self(method, path, body, **headers)
        return status, answer.get("code", -1) if isinstance(answer, dict) else -1

    async def post(self, channel: Channel, body: Json | str) -> Json:
        status, answer = await self("POST", f"/channels/{channel.id}/messages",
                                    {"content": body} if isinstance(body, str) else body)
        assert status == 200, answer
        return dict(answer)


@dataclass
class Wire:
    """A bare connection to the gateway."""

    ws: aiohttp.ClientWebSocketResponse
    stream: Any = None

    async def read(self) -> Json:
        message = await self.ws.receive(timeout=3)
        if message.type is aiohttp.WSMsgType.BINARY:
            data = self.stream.decompress(message.data) if self.stream is not None else zlib.decompress(message.data)
            return dict(json.loads(data))
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return dict(json.loads(message.data))

    async def until(self, event: str) -> Json:
        while True:
            payload = await self.read()
            if payload["t"] == event:
                return payload

    async def send(self, op: int, data: object) -> None:
        await self.ws.send_str(json.dumps({"op": op, "d": data}))

    async def identify(self, intents: int = 1, **more: Any) -> Json:
        await self.send(2, {"token": TOKEN, "intents": intents, "properties": {"os": "linux"}, **more})
        return await self.until("READY")

    async def closed(self) -> int | None:
        while True:
            message = await self.ws.receive(timeout=3)
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return self.ws.close_code


@dataclass
class Place:
    """A Discord with a server, a channel and a person."""

    discord: Discord
    clock: Clock
    rest: Rest
    guild: Guild
    channel: Channel
    ada: User

    @asynccontextmanager
    async def wire(self, query: str = "?v=10&encoding=json", path: str = "") -> AsyncIterator[Wire]:
        async with self.rest.session.ws_connect(self.discord.gateway_url + path + "/" * (not path) + query) as ws:
            stream = zlib.decompressobj() if "zlib-stream" in query else None
            wire = Wire(ws, stream)
            hello = await wire.read()
            assert hello["op"] == 10
            yield wire

    @asynccontextmanager
    async def answering(self, *answers: Json) -> AsyncIterator[list[tuple[int, Any]]]:
        """A bot that answers each interaction, in turn, with the next callback; gives what it was told for it."""
        told: list[tuple[int, Any]] = []
        async with self.wire() as wire:
            await wire.identify(1)

            async def answer() -> None:
                for one in answers:
                    interaction = (await wire.until("INTERACTION_CREATE"))["d"]
                    told.append(await self.rest(
                        "POST", f"/interactions/{interaction['id']}/{interaction['token']}/callback?with_response=1",
                        one))
            task = asyncio.create_task(answer())
            yield told
            await task


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def place(clock: Clock) -> AsyncIterator[Place]:
    async with Discord(token=TOKEN, now=clock.now, monotonic=clock.monotonic, identify_every=0) \
            as discord, aiohttp.ClientSession() as session:
        guild = discord.add_guild("Ninety")
        channel, ada = discord.add_channel(guild, "cohort"), discord.add_member(guild, "Ada")
        place = Place(discord, clock, Rest(discord, session), guild, channel, ada)
        # Limits are tried where they are meant; elsewhere they would be met by the way.
        discord.limits.a_second = 1000
        discord.limits.buckets |= {"POST /channels/{}/messages": (1000, 5.0), "GET /channels/{}/messages": (1000, 5.0)}
        yield place
        assert discord.ours == []


def text(content: str) -> Json:
    return {"type": 10, "content": content}


def button(label: str = "Go", custom_id: str | None = "go", **more: Any) -> Json:
    return {"type": 2, "style": 1, "label": label, **({"custom_id": custom_id} if custom_id else {}), **more}


def row(*components: Json) -> Json:
    return {"type": 1, "components": [*components]}


def v2(*components: Json) -> Json:
    return {"flags": COMPONENTS_V2, "components": [*components]}


def label(component: Json, name: str = "Hours") -> Json:
    return {"type": 18, "label": name, "component": component}


def line(custom_id: str = "hours", **more: Any) -> Json:
    return {"type": 4, "custom_id": custom_id, "style": 1, **more}


def options(*values: str, **more: Any) -> list[Json]:
    return [{"label": value.title(), "value": value, **more} for value in values]


def modal(*components: Json, **more: Any) -> Json:
    return {"title": "Check in", "custom_id": "checkin:3", "components": [*components], **more}


def words(faults: Any) -> list[str]:
    return [".".join(map(str, at)) + ": " + code for at, code, _ in faults.found]


CHECKIN: Json = {"name": "checkin", "description": "Say how your week went", "options": [
    {"type": 3, "name": "week", "description": "Which week", "autocomplete": True}]}
COHORT: Json = {"name": "cohort", "description": "The cohort", "contexts": [0], "options": [
    {"type": 1, "name": "rest", "description": "Take a week off", "options": [
        {"type": 4, "name": "week", "description": "Which week", "required": True, "min_value": 1, "max_value": 13},
        {"type": 3, "name": "why", "description": "Why", "choices": [{"name": "Ill", "value": "ill"}]},
        {"type": 6, "name": "for", "description": "For whom"}]}]}


async def registered(place: Place, *commands: Json) -> None:
    status, body = await place.rest("PUT", f"/applications/{place.discord.world.application}/commands",
                                    [*commands] or [CHECKIN, COHORT])
    assert status == 200, body


# --- identity ---------------------------------------------------------------------------------------------------------


def test_ids_are_made_from_the_clock_and_grow_even_when_it_stands() -> None:
    ids = Ids(lambda: datetime(2026, 9, 7, 9, tzinfo=UTC))
    first, second = ids.new(), ids.new()
    assert int(second) == int(first) + 1
    assert discord_py.utils.snowflake_time(int(first)) == datetime(2026, 9, 7, 9, tzinfo=UTC)


async def test_a_bot_learns_who_it_is_and_where_the_gateway_is(place: Place) -> None:
    rest, url = place.rest, place.discord.gateway_url
    assert (await rest("GET", "/gateway", Authorization=""))[1] == {"url": url}
    assert (await rest("GET", "/gateway/bot"))[1]["url"] == url
    assert (await rest("GET", "/users/@me"))[1]["id"] == place.discord.bot.id
    for path in ("/applications/@me", "/oauth2/applications/@me"):
        assert (await rest("GET", path))[1]["id"] == place.discord.world.application
    assert (await rest("GET", f"/users/{place.ada.id}"))[1]["global_name"] == "Ada"
    assert await rest.code("GET", "/users/1") == (404, 10013)
    assert rest.last["Content-Type"] == "application/json"
    assert rest.last["Via"]


async def test_a_wrong_token_or_no_user_agent_opens_nothing(place: Place) -> None:
    assert await place.rest.code("GET", "/users/@me", Authorization="Bot wrong") == (401, 0)
    assert await place.rest.code("GET", "/users/@me", **{"User-Agent": "curl"}) == (403, 40333)
    assert place.discord.invalids == 2


async def test_what_the_emulator_does_not_know_it_says(place: Place) -> None:
    assert await place.rest.code("POST", f"/channels/{place.channel.id}/typing") == (404, 0)
    assert place.discord.unknown == [f"POST /api/v10/channels/{place.channel.id}/typing"]


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_history_gives_pages_newest_first_and_after_gives_the_oldest_ones(place: Place) -> None:
    ids = [(await place.rest.post(place.channel, str(number)))["id"] for number in range(6)]

    async def page(query: str) -> list[int]:
        _, found = await place.rest("GET", f"/channels/{place.channel.id}/messages?{query}")
        return [ids.index(one["id"]) for one in found]
    assert await page("") == [5, 4, 3, 2, 1, 0]
    assert await page("limit=2") == [5, 4]
    assert await page(f"after={ids[1]}&limit=2") == [3, 2]
    assert await page("after=0&limit=2") == [1, 0]
    assert await page(f"before={ids[4]}&limit=2") == [3, 2]
    assert await page(f"around={ids[3]}&limit=3") == [4, 3, 2]
    for query in ("limit=0", "limit=101", "limit=x", "after=x", "after=1&before=2"):
        assert await place.rest.code("GET", f"/channels/{place.channel.id}/messages?{query}") == (400, 50035)


async def test_a_nonce_gives_the_same_message_for_five_minutes_and_is_not_in_history(place: Place) -> None:
    body = {"content": "Week 3", "nonce": "week-3", "enforce_nonce": True}
    first = await place.rest.post(place.channel, body)
    assert await place.rest.post(place.channel, body) == first
    assert first["nonce"] == "week-3"
    other = place.discord.add_channel(place.guild, "other")
    assert (await place.rest.post(other, body))["id"] != first["id"]
    loose = await place.rest.post(place.channel, {**body, "enforce_nonce": False})
    assert loose["id"] != first["id"]
    place.clock.go(301)
    assert (await place.rest.post(place.channel, body))["id"] not in (first["id"], loose["id"])
    _, history = await place.rest("GET", f"/channels/{place.channel.id}/messages")
    assert len(history) == 3
    assert not any("nonce" in one for one in history)
    assert await place.rest.code("POST", f"/channels/{place.channel.id}/messages", {
        "content": "x", "nonce": "n" * 26}) == (400, 50035)


async def test_a_message_is_edited_by_its_author_alone(place: Place) -> None:
    mine = await place.rest.post(place.channel, "first")
    path = f"/channels/{place.channel.id}/messages"
    place.clock.go(5)
    status, edited = await place.rest("PATCH", f"{path}/{mine['id']}", {"content": "second"})
    assert (status, edited["content"], edited["edited_timestamp"]) == (200, "second", "2026-09-07T09:00:05+00:00")
    assert (await place.rest("GET", f"{path}/{mine['id']}"))[1] == edited
    kept = place.discord.history(place.channel)[0]
    assert [edit.payload["content"] for edit in kept.edits] == ["second"]
    theirs = await place.discord.say(place.ada, place.channel, "hello")
    assert await place.rest.code("PATCH", f"{path}/{theirs.id}", {"content": "x"}) == (403, 50005)
    assert await place.rest.code("PATCH", f"{path}/1", {"content": "x"}) == (404, 10008)


async def test_an_empty_message_a_strange_body_and_a_torn_one_are_refused(place: Place) -> None:
    path = f"/channels/{place.channel.id}/messages"
    assert await place.rest.code("POST", path, {"content": " "}) == (400, 50006)
    assert await place.rest.code("POST", path, []) == (400, 50035)
    assert await place.rest.code("POST", path) == (400, 50035)
    assert await place.rest.code("POST", path, {"content": "x"}, **{"Content-Type": "text/plain"}) == (400, 50035)
    async with place.rest.session.post(place.discord.api_url + path, data=b"{", headers={
            **place.rest.headers, "Content-Type": "application/json"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, 50109)
    status, body = await place.rest("POST", path, {"content": "x" * 2001})
    assert (status, body) == (400, {"code": 50035, "message": "Invalid Form Body", "errors": {"content": {"_errors": [
        {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}]}}})
    assert place.discord.history(place.channel) == []


async def test_files_come_as_multipart(place: Place) -> None:
    form = aiohttp.FormData()
    form.add_field("payload_json", json.dumps({"content": "see"}), content_type="application/json")
    form.add_field("files[0]", b"x", filename="a.txt")
    async with place.rest.session.post(f"{place.discord.api_url}/channels/{place.channel.id}/messages", data=form,
                                       headers=place.rest.headers) as answer:
        assert answer.status == 200
    assert place.discord.history(place.channel)[0].payload["attachments"][0]["filename"] == "a.txt"
    place.discord.ours.clear()      # An attachment as it was sent has no size and no address.


@NEEDS_OPENAPI
async def test_a_misspelt_key_and_a_wrong_type_are_refused_and_known_false_alarms_are_not(place: Place) -> None:
    assert place.discord.validates
    path = f"/channels/{place.channel.id}/messages"
    status, body = await place.rest("POST", path, v2({"type": 17, "components": [row(button(colour=3))]}))
    assert (status, body["errors"]) == (400, {"components": {"0": {"components": {"0": {"components": {"0": {
        "colour": {"_errors": [{"code": "UNKNOWN_KEY", "message":
                                "Discord knows no such key here and would drop it."}]}}}}}}}})
    status, body = await place.rest("POST", path, {"content": 3})
    assert (status, list(body["errors"])) == (400, ["content"])
    status, body = await place.rest("POST", path, v2({"type": 17, "accent_color": 1 << 24, "components": [text("a")]}))
    assert body["errors"]["components"]["0"]["accent_color"]["_errors"][0]["code"] == "NUMBER_TYPE_MAX"
    status, body = await place.rest("POST", path, v2({"type": 9, "components": [text("a")]}))
    assert "accessory" in body["errors"]["components"]["0"]
    await place.rest.post(place.channel, {"content": f"<@{place.ada.id}>", "embeds": [{"title": "t", "flags": 0}],
                                          "allowed_mentions": {"users": [int(place.ada.id)]}})
    assert (await place.rest("POST", "/users/@me/channels", {"recipient_id": int(place.ada.id)}))[0] == 200
    await registered(place, {**CHECKIN, "nsfw": False})


async def test_without_the_openapi_our_own_rules_still_hold(tmp_path: Any) -> None:
    async with Discord(token=TOKEN, openapi=tmp_path / "none.json") as discord, aiohttp.ClientSession() as session:
        channel = discord.add_channel(discord.add_guild("Ninety"), "cohort")
        rest = Rest(discord, session)
        assert not discord.validates
        path = f"/channels/{channel.id}/messages"
        assert await rest.code("POST", path, {"content": "x" * 2001}) == (400, 50035)
        assert await rest.code("POST", path, {"content": "x"}) == (200, -1)


def test_mentions_tell_only_those_that_are_allowed() -> None:
    def told(allowed: Json | None, may: bool = True) -> set[str]:
        from tests.emulators.discord_world import told_by
        body = {"content": "<@1> <@!2> @everyone"} | ({} if allowed is None else {"allowed_mentions": allowed})
        return set(told_by(body, may))
    assert told(None) == {"1", "2", "everyone"}
    assert told(None, may=False) == {"1", "2"}
    assert told({"parse": []}) == set()
    assert told({"parse": [], "users": ["2", "3"]}) == {"2"}
    assert told({"parse": ["users"]}) == {"1", "2"}
    assert told({"parse": ["everyone"]}) == {"everyone"}


# --- what a message may hold ------------------------------------------------------------------------------------------

FORTY = [text("x")] * 38


@pytest.mark.parametrize(("body", "wrong"), [
    (v2(text("x" * 4000)), []),
    (v2({"type": 17, "components": [*FORTY, text("x")]}), []),
    (v2({"type": 17, "components": [*FORTY, row(button())]}), ["components: COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED"]),
    (v2(text("x" * 3000), {"type": 17, "components": [text("x" * 1001)]}),
     ["components: COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED"]),
    ({**v2(text("x")), "content": "y"}, ["content: MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"]),
    ({**v2(text("x")), "embeds": [{"title": "y"}]},
     ["embeds: MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"]),
    ({"components": [text("x")]}, ["components.0.type: BASE_TYPE_CHOICES"]),
    ({"content": "x", "components": [row(button())]}, []),
    ({"content": "x", "components": [row(button(custom_id=str(n))) for n in range(6)]},
     ["components: BASE_TYPE_BAD_LENGTH"]),
    (v2(row(button(), button("Stop"))), ["components.0.components.0.custom_id: COMPONENT_CUSTOM_ID_DUPLICATED",
                                         "components.0.components.1.custom_id: COMPONENT_CUSTOM_ID_DUPLICATED"]),
    (v2(row(*(button(custom_id=str(n)) for n in range(6)))), ["components.0.components: BASE_TYPE_BAD_LENGTH"]),
    (v2(row()), ["components.0.components: BASE_TYPE_BAD_LENGTH"]),
    (v2(row(button("x" * 81))), ["components.0.components.0.label: BASE_TYPE_MAX_LENGTH"]),
    (v2(row(button(custom_id="x" * 101))), ["components.0.components.0.custom_id: BASE_TYPE_BAD_LENGTH"]),
    (v2(row(button(custom_id=None))), ["components.0.components.0.custom_id: COMPONENT_CUSTOM_ID_REQUIRED"]),
    (v2(row(button(style=5, url="https://example.org"))),
     ["components.0.components.0.custom_id: COMPONENT_CUSTOM_ID_WITH_URL"]),
    (v2(row(button(custom_id=None, style=5, url="https://example.org"))), []),
    (v2(row(button(custom_id=None, style=5, url="ftp://x"))),
     ["components.0.components.0.url: URL_TYPE_INVALID_SCHEME"]),
    (v2(row(button(""))), ["components.0.components.0.label: BUTTON_COMPONENT_INVALID"]),
    (v2(row(button(style=9))), ["components.0.components.0.style: BASE_TYPE_CHOICES"]),
    (v2(text("")), ["components.0.content: BASE_TYPE_REQUIRED"]),
    (v2({"type": 9, "components": [text("x")], "accessory": button()}), []),
    (v2({"type": 9, "components": [text("x")], "accessory": row(button())}),
     ["components.0.accessory.0.type: BASE_TYPE_CHOICES"]),
    (v2({"type": 17, "components": [{"type": 17, "components": [text("x")]}]}),
     ["components.0.components.0.type: BASE_TYPE_CHOICES"]),
    (v2(row({"type": 3, "custom_id": "s", "options": options(*map(str, range(26)))})),
     ["components.0.components.0.options: BASE_TYPE_BAD_LENGTH"]),
    (v2(row({"type": 3, "custom_id": "s", "options": options("a", "a")})),
     ["components.0.components.0.options.1.value: SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"]),
    (v2(row({"type": 3, "custom_id": "s", "options": options("a"), "min_values": 2, "max_values": 1})),
     ["components.0.components.0.min_values: COMPONENT_MIN_VALUES_GREATER_THAN_MAX",
      "components.0.components.0.options: COMPONENT_MAX_VALUES_TOO_LARGE"]),
    ({"content": "x", "embeds": [{"description": "x" * 4096}, {"description": "x" * 1905}]},
     ["embeds: MAX_EMBED_SIZE_EXCEEDED"]),
    ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
     ["allowed_mentions.users: MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"]),
    (v2({"type": "row"}), ["components.0.type: BASE_TYPE_REQUIRED"]),
])
def test_a_message_is_held_to_the_rules_that_the_openapi_does_not_know(body: Json, wrong: list[str]) -> None:
    assert words(message_faults(body, body.get("flags", 0))) == wrong


GROUP: Json = {"type": 22, "custom_id": "tasks", "options": options("a", "b")}
RADIO: Json = {"type": 21, "custom_id": "sure", "options": options("low", "high")}


@pytest.mark.parametrize(("form", "wrong"), [
    (modal(label(line()), label(GROUP), label(RADIO), label({"type": 23, "custom_id": "ok"}), text("hi")), []),
    (modal(*(label(line(str(n))) for n in range(6))), ["components: BASE_TYPE_BAD_LENGTH"]),
    (modal(), ["components: BASE_TYPE_BAD_LENGTH"]),
    (modal(label(line()), title="x" * 46), ["title: BASE_TYPE_BAD_LENGTH"]),
    (modal(label(line(), "x" * 46)), ["components.0.label: BASE_TYPE_BAD_LENGTH"]),
    (modal({**label(line()), "description": "x" * 101}), ["components.0.description: BASE_TYPE_BAD_LENGTH"]),
    (modal(label(line(value="abc", max_length=2))), ["components.0.component.value: BASE_TYPE_MAX_LENGTH"]),
    (modal(label(line(value="a", min_length=2))), ["components.0.component.value: BASE_TYPE_MIN_LENGTH"]),
    (modal(label(line(min_length=3, max_length=2))),
     ["components.0.component.min_length: COMPONENT_MIN_VALUES_GREATER_THAN_MAX"]),
    (modal(label(line(max_length=4001))), ["components.0.component.max_length: NUMBER_TYPE_MAX"]),
    (modal(label(line(placeholder="x" * 101))), ["components.0.component.placeholder: BASE_TYPE_MAX_LENGTH"]),
    (modal(label(line(style=3))), ["components.0.component.style: BASE_TYPE_CHOICES"]),
    (modal(label(line(label="twice"))), ["components.0.component.label: COMPONENT_LABEL_TWICE"]),
    (modal(label({**GROUP, "options": options(*map(str, range(11)))})),
     ["components.0.component.options: BASE_TYPE_BAD_LENGTH"]),
    (modal(label({**GROUP, "options": [{"label": "x" * 101, "value": "y" * 101}]})),
     ["components.0.component.options.0.label: BASE_TYPE_BAD_LENGTH",
      "components.0.component.options.0.value: BASE_TYPE_BAD_LENGTH"]),
    (modal(label({**GROUP, "max_values": 3})), ["components.0.component.options: COMPONENT_MAX_VALUES_TOO_LARGE"]),
    (modal(label({**GROUP, "min_values": 0})),
     ["components.0.component.min_values: COMPONENT_REQUIRED_MIN_VALUES"]),
    (modal(label({**GROUP, "min_values": 0, "required": False})), []),
    (modal(label({**RADIO, "options": options("one")})), ["components.0.component.options: BASE_TYPE_BAD_LENGTH"]),
    (modal(label({**RADIO, "options": options("a", "b", default=True)})),
     ["components.0.component.options: SELECT_COMPONENT_TOO_MANY_DEFAULTS"]),
    (modal(label(line()), label(line())), ["components.0.component.custom_id: COMPONENT_CUSTOM_ID_DUPLICATED",
                                           "components.1.component.custom_id: COMPONENT_CUSTOM_ID_DUPLICATED"]),
    (modal(label(button())), ["components.0.component.type: BASE_TYPE_CHOICES"]),
    (modal(button()), ["components.0.type: BASE_TYPE_CHOICES"]),
    (modal(row(line(label="Hours"))), []),
])
def test_a_form_is_held_to_its_rules(form: Json, wrong: list[str]) -> None:
    assert words(modal_faults(form, ())) == wrong


@pytest.mark.parametrize(("commands", "wrong"), [
    ([CHECKIN, COHORT], []),
    ([CHECKIN, CHECKIN], ["0: APPLICATION_COMMANDS_DUPLICATE_NAME", "1: APPLICATION_COMMANDS_DUPLICATE_NAME"]),
    ([{**CHECKIN, "name": "Check"}], ["0.name: APPLICATION_COMMAND_INVALID_NAME"]),
    ([{**CHECKIN, "description": ""}], ["0.description: BASE_TYPE_REQUIRED"]),
    ([{**CHECKIN, "name": f"c{n}"} for n in range(101)], [": APPLICATION_COMMAND_TOO_MANY"]),
    ([{**CHECKIN, "options": [*CHECKIN["options"], {"type": 1, "name": "x", "description": "y"}]}],
     ["0.options: APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"]),
    ([{**CHECKIN, "options": [{**CHECKIN["options"][0], "choices": [{"name": "a", "value": "b"}]}]}],
     ["0.options.0.autocomplete: APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID"]),
    ([{**CHECKIN, "options": [*CHECKIN["options"], {"type": 3, "name": "x", "description": "y", "required": True}]}],
     ["0.options.1: APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID"]),
    ([{"name": "big", "description": "x" * 100, "options": [
        {"type": 3, "name": f"o{n}", "description": "x" * 100, "choices": [
            {"name": f"{m}" * 50, "value": f"{m}" * 50} for m in range(5)]} for n in range(15)]}],
     ["0: APPLICATION_COMMAND_TOO_LARGE"]),
    ([{"type": 3, "name": "Look", "description": "no"}], ["0.description: APPLICATION_COMMAND_INVALID_DESCRIPTION"]),
])
def test_commands_are_held_to_their_rules(commands: list[Json], wrong: list[str]) -> None:
    assert words(command_faults(commands)) == wrong


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_an_overwrite_keeps_the_ids_of_what_it_keeps_and_two_hundred_are_made_a_day(place: Place) -> None:
    path = f"/applications/{place.discord.world.application}/commands"
    await registered(place)
    before = {one["name"]: one for one in place.discord.commands}
    await registered(place, CHECKIN, {**COHORT, "description": "Anew"})
    after = {one["name"]: one for one in (await place.rest("GET", path))[1]}
    assert after["checkin"] == before["checkin"]
    assert after["cohort"]["id"] == before["cohort"]["id"]
    assert after["cohort"]["version"] != before["cohort"]["version"]
    for batch in range(2):
        await registered(place, *({"name": f"n{batch}x{n}", "description": "One of many"} for n in range(99)))
    assert await place.rest.code("PUT", path, [CHECKIN]) == (429, 30034)
    place.clock.go(86_401)
    await registered(place, CHECKIN)
    assert await place.rest.code("PUT", path, [{**CHECKIN, "name": "No"}]) == (400, 50035)
    assert await place.rest.code("GET", "/applications/7/commands") == (403, 20012)


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_permissions_are_asked_channel_by_channel(place: Place) -> None:
    rest, discord, channel = place.rest, place.discord, place.channel
    path = f"/channels/{channel.id}"
    posted = await rest.post(channel, "one")
    await discord.set_permissions(channel, ALL & ~Permission.SEND_MESSAGES)
    assert await rest.code("POST", f"{path}/messages", {"content": "x"}) == (403, 50013)
    await discord.set_permissions(channel, ALL & ~Permission.READ_MESSAGE_HISTORY)
    assert await rest("GET", f"{path}/messages") == (200, [])
    assert await rest.code("GET", f"{path}/messages/{posted['id']}") == (403, 50013)
    await discord.set_permissions(channel, ALL & ~Permission.CREATE_PUBLIC_THREADS)
    assert await rest.code("POST", f"{path}/messages/{posted['id']}/threads", {"name": "x"}) == (403, 50013)
    await discord.set_permissions(channel, ALL & ~Permission.EMBED_LINKS)
    assert await rest.code("POST", f"{path}/messages", {"embeds": [{"title": "x"}]}) == (403, 50013)
    await discord.set_permissions(channel, ALL & ~Permission.VIEW_CHANNEL)
    assert await rest.code("POST", f"{path}/messages", {"content": "x"}) == (403, 50001)
    assert await rest.code("GET", path) == (403, 50001)
    assert [message.text for message in discord.history(channel)] == ["one"]


async def test_a_thread_opens_once_below_a_message(place: Place) -> None:
    rest, channel = place.rest, place.channel
    posted = await rest.post(channel, "Week 3")
    path = f"/channels/{channel.id}/messages/{posted['id']}/threads"
    assert await rest.code("POST", path, {"name": ""}) == (400, 50035)
    status, thread = await rest("POST", path, {"name": "Week 3"})
    assert (status, thread["id"], thread["parent_id"]) == (201, posted["id"], channel.id)
    assert await rest.code("POST", path, {"name": "Week 3"}) == (400, 160004)
    assert (await rest("GET", f"/channels/{thread['id']}"))[1]["type"] == 11
    inside = place.discord.world.channels[thread["id"]]
    await rest.post(inside, "talk here")
    await place.discord.set_permissions(channel, ALL & ~Permission.SEND_MESSAGES_IN_THREADS)
    assert await rest.code("POST", f"/channels/{thread['id']}/messages", {"content": "x"}) == (403, 50013)
    dm = place.discord.dm(place.ada)
    note = await rest.post(dm, "psst")
    assert await rest.code("POST", f"/channels/{dm.id}/messages/{note['id']}/threads", {"name": "x"}) == (403, 50024)


async def test_direct_messages_reach_those_who_take_them(place: Place) -> None:
    rest, discord = place.rest, place.discord
    body = {"recipient_id": place.ada.id}
    _, first = await rest("POST", "/users/@me/channels", body)
    _, again = await rest("POST", "/users/@me/channels", body)
    assert first["id"] == again["id"]
    assert [(one.at, one.user) for one in discord.opened] == [(1000.0, place.ada)]
    path = f"/channels/{first['id']}/messages"
    assert await rest.code("POST", path, {"content": "hi"}) == (200, -1)
    discord.close_dms(place.ada)
    assert await rest.code("POST", path, {"content": "hi"}) == (403, 50007)
    await discord.leave(place.ada)
    assert await rest.code("POST", path, {"content": "hi"}) == (403, 50278)
    assert await rest.code("GET", f"/guilds/{place.guild.id}/members/{place.ada.id}") == (404, 10007)
    assert await rest.code("GET", f"/guilds/{place.guild.id}/members/1") == (404, 10013)
    assert await rest.code("POST", "/users/@me/channels", {"recipient_id": "1"}) == (400, 50033)
    assert discord.invalids == 2


async def test_roles_are_given_by_who_may_and_below_their_own(place: Place) -> None:
    rest, discord, guild = place.rest, place.discord, place.guild
    role, high = discord.add_role(guild, "Finisher"), discord.add_role(guild, "Boss", above_bot=True)
    path = f"/guilds/{guild.id}/members/{place.ada.id}/roles"
    for _ in range(2):
        assert await rest("PUT", f"{path}/{role.id}") == (204, "")
    assert discord.roles_of(guild, place.ada) == {"Finisher"}
    _, member = await rest("GET", f"/guilds/{guild.id}/members/{place.ada.id}")
    assert member["roles"] == [role.id]
    assert await rest.code("PUT", f"{path}/{high.id}") == (403, 50013)
    assert await rest.code("PUT", f"{path}/1") == (404, 10011)
    assert await rest.code("PUT", f"/guilds/{guild.id}/members/1/roles/{role.id}") == (404, 10007)
    await discord.set_permissions(guild, ALL & ~Permission.MANAGE_ROLES & ~Permission.ADMINISTRATOR)
    assert await rest.code("PUT", f"{path}/{role.id}") == (403, 50013)
    assert [one["name"] for one in (await rest("GET", f"/guilds/{guild.id}/roles"))[1]] == [
        "@everyone", "Ninety", "Finisher", "Boss"]
    assert (await rest("GET", f"/guilds/{guild.id}?with_counts=true"))[1]["approximate_member_count"] == 3


async def test_what_is_gone_is_unknown(place: Place) -> None:
    rest, discord = place.rest, place.discord
    other = discord.add_channel(place.guild, "other")
    async with place.wire() as wire:
        await wire.identify(1)
        await discord.delete_channel(place.channel)
        assert (await wire.until("CHANNEL_DELETE"))["d"]["id"] == place.channel.id
        await discord.remove_bot(place.guild)
        assert (await wire.until("GUILD_DELETE"))["d"] == {"id": place.guild.id}
    assert await rest.code("POST", f"/channels/{place.channel.id}/messages", {"content": "x"}) == (404, 10003)
    assert await rest.code("POST", f"/channels/{other.id}/messages", {"content": "x"}) == (403, 50001)
    assert await rest.code("GET", f"/guilds/{place.guild.id}") == (404, 10004)


# --- limits and faults ------------------------------------------------------------------------------------------------


async def test_a_channel_takes_five_messages_in_five_seconds(place: Place) -> None:
    rest, discord = place.rest, place.discord
    discord.limits.buckets["POST /channels/{}/messages"] = (5, 5.0)
    path = f"/channels/{place.channel.id}/messages"
    for left in (4, 3, 2, 1, 0):
        await rest.post(place.channel, "x")
        assert rest.last["X-RateLimit-Remaining"] == str(left)
    place.clock.go(2)
    status, body = await rest("POST", path, {"content": "x"})
    assert (status, body) == (429, {"message": "You are being rate limited.", "retry_after": 3.0, "global": False,
                                    "code": 0})
    assert {key: rest.last[key] for key in ("Retry-After", "X-RateLimit-Scope", "X-RateLimit-Limit",
                                            "X-RateLimit-Remaining", "X-RateLimit-Reset-After", "Via")} == {
        "Retry-After": "3", "X-RateLimit-Scope": "user", "X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": "3.000", "Via": "1.1 google"}
    await rest.post(discord.add_channel(place.guild, "other"), "another channel has its own")
    place.clock.go(3)
    await rest.post(place.channel, "x")
    assert discord.limited == [(1002.0, "POST /channels/{}/messages", "user")]
    assert len(discord.history(place.channel)) == 6


async def test_a_bot_makes_fifty_requests_a_second(place: Place) -> None:
    discord, rest = place.discord, place.rest
    discord.limits.a_second = 50
    for number in range(50):
        assert (await rest("GET", f"/guilds/{place.guild.id}" if number % 2 else "/users/@me"))[0] == 200
    status, body = await rest("GET", "/users/@me")
    assert (status, body["global"], rest.last["X-RateLimit-Global"]) == (429, True, "true")
    # Interactions have their own keys, and are outside of it.
    assert await rest.code("POST", "/interactions/1/t/callback", {"type": 6}) == (404, 10062)
    place.clock.go(1)
    assert (await rest("GET", "/users/@me"))[0] == 200


@given(waits=st.lists(st.integers(0, 12), max_size=60))
def test_no_second_holds_more_than_the_limit_and_the_wait_that_is_told_is_enough(waits: list[int]) -> None:
    """Eighths of a second, so that floats are exact."""
    clock, passed = Clock(), list[float]()
    limits = Limits(clock.monotonic, a_second=5, buckets={"GET /users/@me": (1000, 1.0)})
    for wait in waits:
        clock.go(wait / 8)
        held = limits.take("GET /users/@me", "", counts_globally=True)
        if held is not None:
            assert held.scope == "global"
            assert 0 < held.retry_after <= 1
            clock.go(held.retry_after)
            assert limits.take("GET /users/@me", "", counts_globally=True) is None
        passed.append(clock.seconds)
    assert all(late - early >= 1 for early, late in zip(passed, passed[5:], strict=False))


async def test_too_many_invalid_answers_ban_the_address(place: Place) -> None:
    place.discord.limits.invalid_most = 2
    for _ in range(2):
        await place.rest("GET", "/users/@me", Authorization="")
    status, body = await place.rest("GET", "/users/@me")
    assert (status, body) == (429, "error code: 1015")
    assert "Via" not in place.rest.last
    place.clock.go(601)
    assert (await place.rest("GET", "/users/@me"))[0] == 200


async def test_faults_come_one_each_and_in_order(place: Place) -> None:
    rest, discord, path = place.rest, place.discord, f"/channels/{place.channel.id}/messages"
    discord.fail("POST /channels/*/messages", Broken(502), Well(), Limited(0.5, "shared"), Broken(500, after=True))
    assert [(await rest("POST", path, {"content": str(n)}))[0] for n in range(5)] == [502, 200, 429, 500, 200]
    assert [message.text for message in discord.history(place.channel)] == ["1", "3", "4"]
    assert discord.invalids == 0        # A shared limit is nobody's fault.
    discord.fail("GET *", Limited(0.25, "global"), Slow(0.05))
    assert (await rest("GET", "/users/@me"))[1]["retry_after"] == 0.25
    before = time.monotonic()
    assert (await rest("GET", "/users/@me"))[0] == 200
    assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_connection_leaves_the_message_there_or_not(place: Place, after: bool) -> None:
    place.discord.fail("POST *", Cut(after))
    with pytest.raises(aiohttp.ClientConnectionError):
        await place.rest("POST", f"/channels/{place.channel.id}/messages", {"content": "x"})
    assert [message.text for message in place.discord.history(place.channel)] == ["x"] * after
    assert [done.status for done in place.discord.done] == [0]


# --- the gateway ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?v=10&encoding=json", "?v=10&encoding=json&compress=zlib-stream"])
@pytest.mark.parametrize("whole", [False, True])
async def test_a_session_begins_with_ready_and_its_servers(place: Place, query: str, whole: bool) -> None:
    async with place.wire(query) as wire:
        ready = await wire.identify(1, compress=whole)
        assert ready["d"]["guilds"] == [{"id": place.guild.id, "unavailable": True}]
        created = await wire.until("GUILD_CREATE")
        assert [one["name"] for one in created["d"]["channels"]] == ["cohort"]
        await wire.send(1, created["s"])
        assert (await wire.read())["op"] == 11
        await wire.send(3, {"status": "online"})
        await wire.send(8, {"guild_id": place.guild.id, "user_ids": [place.ada.id, "1"], "limit": 0})
        chunk = (await wire.until("GUILD_MEMBERS_CHUNK"))["d"]
        assert ([one["user"]["id"] for one in chunk["members"]], chunk["not_found"]) == ([place.ada.id], ["1"])
        await wire.ws.close(code=1000)
    await place.discord.gateway.until(lambda: not place.discord.gateway.live)
    assert place.discord.gateway.closes == [1000]
    assert place.discord.gateway.sessions == {}
    assert place.discord.gateway.presences == [{"status": "online"}]


async def test_a_session_that_is_torn_off_is_resumed_with_what_it_missed(place: Place) -> None:
    async with place.wire() as wire:
        ready = (await wire.identify(1 | 1 << 9))["d"]
        seen = (await wire.until("GUILD_CREATE"))["s"]
        await place.discord.cut_gateway()
        assert await wire.closed() == 1006
    await place.rest.post(place.channel, "while you were away")
    async with place.wire(path="/resume") as wire:
        await wire.send(6, {"token": TOKEN, "session_id": ready["session_id"], "seq": seen})
        missed = await wire.until("MESSAGE_CREATE")
        assert (missed["s"], missed["d"]["content"]) == (seen + 1, "while you were away")
        assert (await wire.until("RESUMED"))["s"] == seen + 2
        await wire.send(6, {"token": TOKEN, "session_id": ready["session_id"], "seq": seen})
        assert await wire.closed() == 4005
    await place.discord.gateway.until(lambda: not place.discord.gateway.live)
    place.clock.go(181)
    async with place.wire() as wire:
        await wire.send(6, {"token": TOKEN, "session_id": ready["session_id"], "seq": seen})
        assert await wire.read() == {"op": 9, "d": False, "s": None, "t": None}
    assert place.discord.gateway.resumes == 1


async def test_the_gateway_asks_to_reconnect_and_turns_away(place: Place) -> None:
    async with place.wire() as wire:
        await wire.identify(0)
        await place.discord.gateway.reconnect()
        assert (await wire.read())["op"] == 7
        await place.discord.gateway.invalidate(resumable=True)
        assert (await wire.read())["d"] is True
        await place.discord.cut_gateway(4000)
        assert await wire.closed() == 4000
    place.discord.refuse_gateway(1)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with place.wire():
            pass
    place.discord.gateway.identify_every = 5.0
    async with place.wire() as wire:
        await wire.send(2, {"token": TOKEN, "intents": 0, "properties": {}})
        assert (await wire.read())["op"] == 9
        place.clock.go(5)
        await wire.identify(0)


IDENTIFY: Json = {"token": TOKEN, "intents": 1, "properties": {}}


@pytest.mark.parametrize(("sent", "code"), [
    ([(2, {**IDENTIFY, "token": "wrong"})], 4004),
    ([(2, {"token": TOKEN})], 4002),
    ([(2, {**IDENTIFY, "intents": 1 << 30})], 4013),
    ([(2, {**IDENTIFY, "intents": 1 << 15})], 4014),
    ([(2, {**IDENTIFY, "shard": [1, 1]})], 4010),
    ([(2, IDENTIFY), (2, IDENTIFY)], 4005),
    ([(3, {})], 4003),
    ([(2, IDENTIFY), (99, None)], 4001),
    ([(6, {"token": TOKEN})], 4002),
    ([(6, {"token": "wrong", "session_id": "", "seq": 0})], 4004),
    ([(3, "x" * 5000)], 4002),
    ([(1, None)] * 121, 4008),
])
async def test_the_gateway_closes_on_what_it_does_not_allow(place: Place, sent: list[tuple[int, Any]],
                                                           code: int) -> None:
    async with place.wire() as wire:
        for op, data in sent:
            await wire.send(op, data)
        assert await wire.closed() == code
    assert place.discord.gateway.closes == []


async def test_the_gateway_closes_on_another_version_a_wrong_seq_and_silence(place: Place) -> None:
    async with place.rest.session.ws_connect(place.discord.gateway_url + "/?v=9") as ws:
        assert await Wire(ws).closed() == 4012
    async with place.wire() as wire:
        ready = (await wire.identify())["d"]
        await place.discord.cut_gateway()
    async with place.wire() as wire:
        await wire.send(6, {"token": TOKEN, "session_id": ready["session_id"], "seq": 99})
        assert await wire.closed() == 4007
    place.discord.gateway.heartbeat = 0.02
    async with place.wire() as wire:
        assert await wire.closed() == 4009


# --- interactions -----------------------------------------------------------------------------------------------------


def message(content: str, **more: Any) -> Json:
    return {"type": 4, "data": {"content": content, **more}}


FORM: Json = {"type": 9, "data": modal(
    label(line(required=False, value="6", max_length=3)), label({**GROUP, "required": False, "min_values": 0}),
    label(RADIO, "Sure?"), label({"type": 23, "custom_id": "ok"}, "OK?"), text("See you."))}


async def test_a_command_opens_a_form_and_the_form_is_answered(place: Place) -> None:
    await registered(place)
    async with place.answering(FORM, message("Done", flags=EPHEMERAL)) as told:
        form = await place.discord.type(place.ada, place.channel, "checkin", {"week": "3"})
        assert (form.kind, form.text) == ("modal", "Check in\nHours\nHours\nSure?\nOK?\nSee you.")
        done = await place.discord.submit(place.ada, form, {"tasks": ["a"], "sure": "low", "ok": True})
    assert (done.kind, done.text, done.ephemeral) == ("message", "Done", True)
    assert [status for status, _ in told] == [200, 200]
    command, submit = (one.payload for one in place.discord.interactions)
    assert command["data"]["options"] == [{"name": "week", "type": 3, "value": "3"}]
    assert submit["data"]["components"] == [
        {"type": 18, "id": 1, "component": {"type": 4, "id": 2, "custom_id": "hours", "value": "6"}},
        {"type": 18, "id": 3, "component": {"type": 22, "id": 4, "custom_id": "tasks", "values": ["a"]}},
        {"type": 18, "id": 5, "component": {"type": 21, "id": 6, "custom_id": "sure", "value": "low"}},
        {"type": 18, "id": 7, "component": {"type": 23, "id": 8, "custom_id": "ok", "value": True}},
        {"type": 10, "id": 9}]
    assert place.discord.history(place.channel) == []       # An ephemeral message is in no channel.


async def test_a_person_can_only_do_what_discords_client_lets_them(place: Place) -> None:
    await registered(place)
    discord, ada, channel = place.discord, place.ada, place.channel
    tries: list[tuple[str, dict[str, str | int]]] = [
        ("checking", {}), ("cohort", {}), ("cohort pause", {}), ("checkin", {"step": "3"}), ("cohort rest", {}),
        ("cohort rest", {"week": "3"}), ("cohort rest", {"week": 14}), ("cohort rest", {"week": 3, "why": "tired"}),
        ("cohort rest", {"week": 3, "for": "1"})]
    for command, options_given in tries:
        with pytest.raises(Impossible):
            await discord.type(ada, channel, command, options_given)
    with pytest.raises(Impossible):
        await discord.type(ada, discord.dm(ada), "cohort rest", {"week": 3})
    with pytest.raises(Impossible):
        await discord.autocomplete(ada, channel, "cohort rest", {"why": "i"})
    with pytest.raises(Impossible):
        await discord.type(discord.world.add_user("Stranger"), channel, "checkin")
    async with place.answering(FORM):
        form = await discord.type(ada, channel, "checkin")
    for values in ({"hours": "1000"}, {"sure": None}, {"sure": "maybe"}, {"sure": "low", "tasks": ["c"]},
                   {"sure": "low", "ok": "yes"}, {"sure": "low", "minutes": "1"}, {"sure": "low", "hours": "1\n2"}):
        with pytest.raises(Impossible):
            await discord.submit(ada, form, values)
    with pytest.raises(Impossible):
        await discord.submit(discord.add_member(place.guild, "Bob"), form, {"sure": "low"})
    assert len(discord.interactions) == 1
    await discord.remove_bot(place.guild)
    with pytest.raises(Impossible):
        await discord.type(ada, channel, "checkin")


async def test_a_command_for_organisers_is_hidden_from_others(place: Place) -> None:
    await registered(place, {**CHECKIN, "default_member_permissions": str(int(Permission.MANAGE_GUILD))})
    with pytest.raises(Impossible):
        await place.discord.type(place.ada, place.channel, "checkin")
    async with place.answering(message("hello")):
        assert (await place.discord.type(place.guild.owner, place.channel, "checkin")).text == "hello"


async def test_choices_are_offered_while_typing(place: Place) -> None:
    await registered(place)
    async with place.answering({"type": 8, "data": {"choices": [{"name": "Week 3", "value": "3"}]}}):
        assert await place.discord.autocomplete(place.ada, place.channel, "checkin", {"week": "3"}) == [
            {"name": "Week 3", "value": "3"}]
    assert place.discord.interactions[0].payload["data"]["options"][0]["focused"] is True


async def test_buttons_and_menus_of_a_message_are_answered_or_change_it(place: Place) -> None:
    menu = {"type": 3, "custom_id": "pick", "options": options("a", "b")}
    await place.rest.post(place.channel, v2(
        {"type": 17, "components": [text("Week 3"), row(button()), row(menu), row({"type": 5, "custom_id": "who"})]},
        row(button("Site", None, style=5, url="https://example.org"), button("Off", "off", disabled=True))))
    posted, discord, ada = place.discord.history(place.channel)[0], place.discord, place.ada
    assert [one["label"] for one in buttons_of(posted)] == ["Go", "Site", "Off"]
    for impossible in ("Site", "Off", "Stop"):
        with pytest.raises(Impossible):
            await discord.press(ada, posted, impossible)
    with pytest.raises(Impossible):
        await discord.choose(ada, posted, "pick", ["c"])
    async with place.answering({"type": 7, "data": v2(text("Changed"), row(button()))}, FORM,
                               {"type": 7, "data": v2(text("Closed"), row(button()))}):
        update = await discord.press(ada, posted, "Go")
        assert (update.kind, update.text, text_of(posted)) == ("update", "Changed", "Changed")
        form = await discord.press(ada, posted, "go")
        closed = await discord.submit(ada, form, {"sure": "low"})
    assert (closed.kind, posted.text, len(posted.edits)) == ("update", "Closed", 2)
    posted.payload["components"] = [row(menu), row({"type": 5, "custom_id": "who"})]
    async with place.answering(message("a it is"), message("hello Ada")):
        assert (await discord.choose(ada, posted, "pick", ["a"])).text == "a it is"
        await discord.choose(ada, posted, "who", [ada.id])
    assert discord.interactions[-1].payload["data"]["resolved"]["users"][ada.id]["global_name"] == "Ada"


async def asked(place: Place, wire: Wire, act: Any) -> tuple[asyncio.Task[Shown], Json, str]:
    """Somebody acts; gives what they wait for, the interaction, and the address of its callback."""
    task = asyncio.ensure_future(act)
    interaction = (await wire.until("INTERACTION_CREATE"))["d"]
    return task, interaction, f"/interactions/{interaction['id']}/{interaction['token']}/callback"


async def test_an_interaction_is_answered_once_in_time_and_in_a_fitting_way(place: Place) -> None:
    rest, discord, ada = place.rest, place.discord, place.ada
    await registered(place)
    async with place.wire() as wire:
        await wire.identify(1)
        task, interaction, path = await asked(place, wire, discord.type(ada, place.channel, "checkin"))
        hook = f"/webhooks/{discord.world.application}/{interaction['token']}"
        assert await rest.code("GET", f"{hook}/messages/@original") == (404, 10015)
        assert await rest.code("POST", path, {"type": 6}) == (400, 50035)
        assert await rest.code("POST", path, {"type": 8, "data": {"choices": []}}) == (400, 50035)
        assert await rest.code("POST", path, message("")) == (400, 50006)
        assert await rest.code("POST", path, {"type": 9, "data": modal(label(line()), title="x" * 46)}) == (400, 50035)
        assert await rest("POST", path, message("hello")) == (204, "")
        assert await rest.code("POST", path, FORM) == (400, 40060)
        assert (await task).text == "hello"
        # The same one arrives twice; its second answer is refused.
        await discord.repeat(await task)
        assert (await wire.until("INTERACTION_CREATE"))["d"] == interaction
        assert await rest.code("POST", path, message("hello")) == (400, 40060)
        # A form cannot answer a form.
        task, _, path = await asked(place, wire, discord.type(ada, place.channel, "checkin"))
        await rest("POST", path, FORM)
        task, _, path = await asked(place, wire, discord.submit(ada, await task, {"sure": "low"}))
        assert await rest.code("POST", path, FORM) == (400, 50035)
        await rest("POST", path, message("thanks"))
        assert (await task).text == "thanks"


async def test_an_answer_that_is_late_is_unknown_and_the_person_is_told_so() -> None:
    async with Discord(token=TOKEN, answer_within=0.05) as discord, aiohttp.ClientSession() as session:
        guild = discord.add_guild("Ninety")
        channel, ada = discord.add_channel(guild, "cohort"), discord.add_member(guild, "Ada")
        place = Place(discord, Clock(), Rest(discord, session), guild, channel, ada)
        await registered(place)
        async with place.wire() as wire:
            await wire.identify(1)
            task, _, path = await asked(place, wire, discord.type(ada, channel, "checkin"))
            with pytest.raises(NoAnswer, match="The application did not respond"):
                await task
            assert await place.rest.code("POST", path, message("hello")) == (404, 10062)


async def test_a_deferred_answer_follows_while_the_token_lives(place: Place) -> None:
    rest, discord = place.rest, place.discord
    await registered(place)
    async with place.answering({"type": 5}) as told:
        shown = await discord.type(place.ada, place.channel, "checkin")
    assert (shown.kind, told[0][1]["interaction"]["response_message_loading"]) == ("deferred", True)
    hook = f"/webhooks/{discord.world.application}/{shown.interaction.token}"
    with pytest.raises(NoAnswer):
        await shown.finished(within=0.01)
    _, first = await rest("PATCH", f"{hook}/messages/@original", {"content": "at last"})
    finished = await shown.finished()
    assert (finished.kind, finished.text, first["flags"], discord.history(place.channel)) == (
        "message", "at last", 0, [finished.message])
    assert (await rest("GET", f"{hook}/messages/@original"))[1]["content"] == "at last"
    _, more = await rest("POST", hook, {"content": "and", "flags": EPHEMERAL})
    assert [one.text for one in shown.followups] == ["and"]
    assert (await rest("PATCH", f"{hook}/messages/{more['id']}", {"content": "and more"}))[0] == 200
    assert (await rest("DELETE", f"{hook}/messages/@original"))[0] == 204
    assert await rest.code("GET", f"{hook}/messages/@original") == (404, 10008)
    assert await rest.code("POST", f"/webhooks/7/{shown.interaction.token}", {"content": "x"}) == (404, 10015)
    place.clock.go(15 * 60 + 1)
    assert await rest.code("POST", hook, {"content": "late"}) == (401, 50027)


async def test_the_first_followup_takes_the_place_of_a_deferral(place: Place) -> None:
    await registered(place)
    async with place.answering({"type": 5, "data": {"flags": EPHEMERAL}}):
        shown = await place.discord.type(place.ada, place.channel, "checkin")
    await place.rest("POST", f"/webhooks/{place.discord.world.application}/{shown.interaction.token}",
                     {"content": "done"})
    finished = await shown.finished()
    assert (finished.text, finished.ephemeral, finished.message, shown.followups) == ("done", True, shown.message, [])


async def test_a_component_may_be_deferred_and_its_message_changed_later(place: Place) -> None:
    await place.rest.post(place.channel, v2(text("one"), row(button())))
    posted = place.discord.history(place.channel)[0]
    async with place.answering({"type": 6}):
        shown = await place.discord.press(place.ada, posted, "Go")
    assert shown.kind is None
    await place.rest("PATCH", f"/webhooks/{place.discord.world.application}/{shown.interaction.token}"
                     "/messages/@original", {"components": [text("two")]})
    assert ((await shown.finished()).kind, posted.text) == ("update", "two")


async def test_an_ephemeral_message_is_its_readers_alone(place: Place) -> None:
    await registered(place)
    bob = place.discord.add_member(place.guild, "Bob")
    async with place.answering(message("psst", flags=EPHEMERAL, components=[row(button())]), message("yes")):
        shown = await place.discord.type(place.ada, place.channel, "checkin")
        with pytest.raises(Impossible):
            await place.discord.press(bob, shown, "Go")
        assert (await place.discord.press(place.ada, shown, "Go")).text == "yes"


async def test_commands_work_in_direct_messages(place: Place) -> None:
    await registered(place)
    dm = place.discord.dm(place.ada)
    async with place.answering(message("hello")):
        assert (await place.discord.type(place.ada, dm, "checkin")).text == "hello"
    payload = place.discord.interactions[0].payload
    assert ("guild_id" in payload, payload["context"], payload["user"]["id"]) == (False, 1, place.ada.id)
    assert [one.text for one in place.discord.history(dm)] == ["hello"]
    assert place.discord.opened == []


# --- real clients -----------------------------------------------------------------------------------------------------


class Field(ui.Modal, title="Check in"):
    hours: ui.Label[Any] = ui.Label(text="Hours", component=ui.TextInput(custom_id="hours", max_length=3))
    tasks: ui.Label[Any] = ui.Label(text="Tasks", component=ui.CheckboxGroup(custom_id="tasks", options=[
        discord_py.CheckboxGroupOption(label="A", value="a"), discord_py.CheckboxGroupOption(label="B", value="b")]))

    async def on_submit(self, interaction: discord_py.Interaction[Any], /) -> None:
        hours, tasks = self.hours.component, self.tasks.component
        assert isinstance(hours, ui.TextInput) and isinstance(tasks, ui.CheckboxGroup)
        await interaction.response.defer(thinking=True, ephemeral=True)
        await interaction.followup.send(f"{hours.value} hours, {tasks.values}")


@asynccontextmanager
async def rapptz(discord: Discord, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[discord_py.Client]:
    """discord.py, as our bot runs it."""
    import yarl
    monkeypatch.setattr(http.Route, "BASE", discord.api_url)
    monkeypatch.setattr(gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(discord.gateway_url))
    client = discord_py.Client(intents=discord_py.Intents(guilds=True), guild_ready_timeout=0.5)
    tree: app_commands.CommandTree[Any] = app_commands.CommandTree(client)

    @tree.command(name="checkin", description="Say how your week went")
    async def checkin(interaction: discord_py.Interaction[Any], week: str) -> None:
        await interaction.response.send_modal(Field())

    @checkin.autocomplete("week")
    async def weeks(_: discord_py.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"Week {typed}", value=typed)]

    await client.login(TOKEN)
    await tree.sync()
    task = asyncio.create_task(client.connect())
    try:
        await discord.ready()
        await client.wait_until_ready()
        yield client
    finally:
        await client.close()
        await asyncio.gather(task, return_exceptions=True)


async def test_discord_py_serves_a_check_in_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Discord(token=TOKEN, identify_every=0) as discord:
        guild = discord.add_guild("Ninety")
        channel, ada = discord.add_channel(guild, "cohort"), discord.add_member(guild, "Ada")
        async with rapptz(discord, monkeypatch) as client:
            assert [one.name for one in client.guilds[0].channels] == ["cohort"]
            assert await discord.autocomplete(ada, channel, "checkin", {"week": "3"}) == [
                {"name": "Week 3", "value": "3"}]
            form = await discord.type(ada, channel, "checkin", {"week": "3"})
            thinking = await discord.submit(ada, form, {"hours": "6", "tasks": ["a", "b"]})
            assert (thinking.kind, thinking.ephemeral) == ("deferred", True)
            assert (await thinking.finished()).text == "6 hours, ['a', 'b']"
            await discord.cut_gateway()
            missed = asyncio.create_task(discord.type(ada, channel, "checkin", {"week": "4"}))
            assert (await missed).kind == "modal"
            assert (discord.gateway.resumes, len(discord.gateway.identifies)) == (1, 1)
            assert discord.gateway.sockets[-1].path == "/resume"
            posted = await client.get_partial_messageable(int(channel.id)).send("hello", nonce="n")
            assert [one.id async for one in client.get_partial_messageable(int(channel.id)).history()] == [posted.id]
            button_view = ui.View()
            button_view.add_item(ui.Button(label="Go", custom_id="go"))
            await posted.edit(content="pressed?", view=button_view)
            client.event(on_interaction)
            assert (await discord.press(ada, discord.history(channel)[0], "Go")).text == "you did"
        # It means to close with 1000, but its reader wakes first and closes with 4000 (gateway.py: poll_event).
        await discord.gateway.until(lambda: not discord.gateway.live)
        assert discord.gateway.closes == [4000]
        assert (discord.ours, discord.unknown, discord.limited) == ([], [], [])


async def on_interaction(interaction: discord_py.Interaction[Any]) -> None:
    if interaction.type is discord_py.InteractionType.component:
        await interaction.response.edit_message(content="you did", view=None)


async def test_hikari_takes_it_for_discord_too() -> None:
    async with Discord(token=TOKEN, identify_every=0) as discord:
        guild = discord.add_guild("Ninety")
        channel, ada = discord.add_channel(guild, "cohort"), discord.add_member(guild, "Ada")
        # Its bot wants a loop of its own choosing; its listeners run in ours.
        bot = hikari.GatewayBot(TOKEN, rest_url=discord.api_url, banner=None, logs=None, intents=hikari.Intents.GUILDS)
        joined: asyncio.Future[hikari.GuildAvailableEvent] = asyncio.get_running_loop().create_future()

        @bot.listen()
        async def on_guild(event: hikari.GuildAvailableEvent) -> None:
            joined.set_result(event)

        @bot.listen()
        async def on_command(event: hikari.InteractionCreateEvent) -> None:
            assert isinstance(event.interaction, hikari.CommandInteraction)
            options = {option.name: option.value for option in event.interaction.options or ()}
            await event.interaction.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, f"week {options}",
                                                            flags=hikari.MessageFlag.EPHEMERAL)
        await bot.start(check_for_updates=False)
        try:
            event = await asyncio.wait_for(joined, 5)
            assert [one.name for one in event.channels.values()] == ["cohort"]
            builder = bot.rest.slash_command_builder("checkin", "Say how your week went").add_option(
                hikari.CommandOption(type=hikari.OptionType.STRING, name="week", description="Which week"))
            await bot.rest.set_application_commands(int(discord.world.application), [builder])
            shown = await discord.type(ada, channel, "checkin", {"week": "3"})
            assert (shown.text, shown.ephemeral) == ("week {'week': '3'}", True)
            posted = await bot.rest.create_message(int(channel.id), "hello")
            await bot.rest.create_message(int(channel.id), component=bot.rest.build_message_action_row()
                                          .add_interactive_button(hikari.ButtonStyle.PRIMARY, "go", label="Go"))
            assert next(one.id for one in await bot.rest.fetch_messages(int(channel.id), after=0)) == posted.id
            assert (await bot.rest.fetch_guild(int(guild.id))).name == "Ninety"
            assert (await bot.rest.fetch_member(int(guild.id), int(ada.id))).display_name == "Ada"
            assert (await bot.rest.create_dm_channel(int(ada.id))).recipient.id == int(ada.id)
            thread = await bot.rest.create_message_thread(int(channel.id), posted.id, "Week 3")
            assert thread.parent_id == int(channel.id)
            with pytest.raises(hikari.NotFoundError):
                await bot.rest.fetch_channel(1)
        finally:
            await bot.close()
        await discord.gateway.until(lambda: not discord.gateway.live)
        assert discord.gateway.closes == [1001]
        assert (discord.ours, discord.unknown, discord.limited) == ([], [], [])


def test_all_that_the_emulator_knows_is_exercised_above(request: pytest.FixtureRequest) -> None:
    """Each entry was noted by the emulator itself, when it came about."""
    here = {name for name in vars(request.module) if name.startswith("test_")} - {request.node.originalname}
    if here - RAN:
        pytest.skip(f"{len(here - RAN)} tests of this file did not run in this process")
    assert set(COVERAGE) - SEEN == set()
    assert {entry for entry in SEEN if not entry.startswith("status")} - set(COVERAGE) == set()
