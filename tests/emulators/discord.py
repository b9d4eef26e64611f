"""Discord on loopback: its REST interface and its gateway, refusing as the real one refuses.

    async with Discord(token=TOKEN) as discord:
        guild = discord.add_guild("Ninety")
        channel, ada = discord.add_channel(guild, "cohort"), discord.add_member(guild, "Ada")
        ...                                     # a bot is started with discord.api_url and discord.gateway_url
        await discord.ready()
        form = await discord.type(ada, channel, "checkin", {"week": "3"})
        done = await discord.submit(ada, form, {"hours": "6"})

What a request may hold is said by Discord's OpenAPI where it is at hand, and by `discord_rules`; our own answers are
held against the same OpenAPI (`ours`). Everything runs in the event loop that entered the context.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from aiohttp import web

from tests.emulators.discord_gateway import CLOSES, GUILD_MEMBERS, GUILDS, Gateway
from tests.emulators.discord_limits import (
    Broken,
    Cut,
    Fault,
    Held,
    Limited,
    Limits,
    Scope,
    Script,
    Slow,
    Well,
)
from tests.emulators.discord_people import (
    ANSWER_WITHIN,
    Impossible,
    Interaction,
    Interactions,
    Messages,
    NoAnswer,
    Shown,
    Value,
)
from tests.emulators.discord_rules import (
    CODES,
    CREATIONS_A_DAY,
    OpenApi,
    Refusal,
    command_faults,
    default_openapi,
    openapi,
    tamed,
)
from tests.emulators.discord_world import (
    BOT_MAY,
    COMPONENTS_V2,
    HAS_THREAD,
    SUPPRESS,
    Channel,
    Guild,
    Ids,
    Json,
    Member,
    Message,
    Permission,
    Role,
    User,
    World,
    buttons_of,
    text_of,
)

__all__ = ["COVERAGE", "SEEN", "Broken", "Cut", "Discord", "Done", "Impossible", "Limited", "NoAnswer", "Permission",
           "Shown", "Slow", "Well", "buttons_of", "text_of"]

PREFIX = "/api/v10"
NONCE_LIVES = 300.0
NOTHING = Permission(0)
SEEN: set[str] = set()
"""Which entries of `COVERAGE` have come about in this process."""

Body: TypeAlias = Json | list[Json] | None


@dataclass(frozen=True)
class Done:
    """A request that was answered."""

    at: float
    """By the emulator's clock."""
    route: str
    path: str
    status: int
    """0: the connection was cut."""


@dataclass(frozen=True)
class Call:
    ids: tuple[str, ...]
    """What stands in the path in place of `{}`."""
    query: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Opened:
    """A channel of direct messages that the bot opened, where none was."""

    at: float
    user: User


Handler: TypeAlias = Callable[["Discord", Call], Awaitable[tuple[int, Body]]]
ROUTES: dict[str, Handler] = {}


def route(name: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES[name] = handler
        return handler
    return keep


class Discord:
    """`now` dates messages and ids; `monotonic` measures rate limits, nonces and the life of tokens, and may run
    faster than the real clock. `answer_within` and `heartbeat` are seconds of the real one. `identify_every` is
    Discord's 5 s between two IDENTIFY of a shard, by `monotonic`. `openapi`: None for the default place."""

    def __init__(self, *, token: str, application_id: str = "1100000000000000001",
                 now: Callable[[], datetime] = lambda: datetime.now(UTC),
                 monotonic: Callable[[], float] = time.monotonic, openapi: Path | None = None,
                 answer_within: float = ANSWER_WITHIN, heartbeat: float = 41.25, identify_every: float = 5.0,
                 privileged_intents: int = 0) -> None:
        self.token = token
        self.now, self.monotonic = now, monotonic
        spec = openapi if openapi is not None else default_openapi()
        self._openapi: OpenApi | None = _openapi(spec)
        self.world = World(Ids(now), application_id, User(application_id, "Ninety", bot=True))
        self.world.users[application_id] = self.world.bot
        self.gateway = Gateway(self.world, token, monotonic, SEEN.add, heartbeat=heartbeat,
                               identify_every=identify_every, privileged=privileged_intents)
        self.limits = Limits(monotonic)
        self.messages = Messages(self.world, self.gateway)
        self.people = Interactions(self.world, self.gateway, self.messages, monotonic, lambda: self.commands,
                                   answer_within)
        self.commands: list[Json] = []
        """As Discord gives them back."""
        self.opened: list[Opened] = []
        self.done: list[Done] = []
        self.unknown: list[str] = []
        """Requests to routes that the emulator does not know."""
        self.ours: list[str] = []
        """Answers of the emulator that Discord's OpenAPI does not allow: faults of ours."""
        self._created: deque[float] = deque()
        self._nonces: dict[tuple[str, str], tuple[float, Message]] = {}
        self._scripts: list[Script] = []
        self._routes = [(name.split(" ")[0], re.compile(name.split(" ")[1].replace("{}", "([^/@][^/]*)")), name)
                        for name in ROUTES]
        self._runner: web.AppRunner | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def validates(self) -> bool:
        return self._openapi is not None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    @property
    def bot(self) -> User:
        return self.world.bot

    @property
    def limited(self) -> list[tuple[float, str, Scope]]:
        """Instant, route and scope of each 429."""
        return self.limits.limited

    @property
    def invalids(self) -> int:
        """Answers 401, 403 and 429 of the last ten minutes; at 10,000 Discord bans the address."""
        return self.limits.invalids

    @property
    def interactions(self) -> list[Interaction]:
        return self.people.all

    async def __aenter__(self) -> Discord:
        app = web.Application()
        app.router.add_get("/", self.gateway.connection)
        app.router.add_get("/resume", self.gateway.connection)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        # The port is free again at once, so that a test can take Discord down and bring it back.
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.gateway.at(self.gateway_url)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        for socket in list(self.gateway.live):
            socket.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- who and what is there -----------------------------------------------------------------------------------

    def add_guild(self, name: str, permissions: Permission = BOT_MAY) -> Guild:
        """A server with the bot in it; `permissions` are its managed role's. Told when the bot is connected already."""
        guild = self.world.add_guild(name, permissions)
        if self.gateway.sessions:
            self._tell_later("GUILD_CREATE", lambda: self.world.guild_create(guild), guild, GUILDS)
        return guild

    def add_channel(self, guild: Guild, name: str, permissions: Permission | None = None) -> Channel:
        """`permissions`: the bot's in this channel; None for those it has in the guild."""
        channel = self.world.add_channel(guild, name, permissions)
        if self.gateway.sessions:
            self._tell_later("CHANNEL_CREATE", lambda: channel.json(self.bot), guild, GUILDS)
        return channel

    def add_role(self, guild: Guild, name: str, permissions: Permission = NOTHING, *, above_bot: bool = False) \
            -> Role:
        position = 2 if above_bot else 0
        role = Role(self.world.ids.new(), name, permissions, position)
        guild.roles[role.id] = role
        return role

    def add_member(self, guild: Guild, name: str | User, roles: Sequence[Role] = (), *, locale: str = "en-GB") -> User:
        user = name if isinstance(name, User) else self.world.add_user(name, locale=locale)
        guild.members[user.id] = Member(user, self.now(), [role.id for role in roles])
        return user

    def dm(self, user: User) -> Channel:
        """As the person opens it; one that the bot opens is in `opened`."""
        return self.world.dm(user)

    def history(self, channel: Channel) -> list[Message]:
        """Oldest first; ephemeral messages are in no channel."""
        return list(channel.messages)

    def roles_of(self, guild: Guild, user: User) -> set[str]:
        """By name."""
        return {guild.roles[role].name for role in guild.members[user.id].roles}

    async def say(self, user: User, channel: Channel, text: str) -> Message:
        """A person writes."""
        return await self.messages.post(channel, user, {"content": text})

    def close_dms(self, user: User) -> None:
        user.takes_dms = False

    async def leave(self, user: User, guild: Guild | None = None) -> None:
        """One server, or all that they share with the bot."""
        for one in [guild] if guild is not None else list(self.world.guilds.values()):
            if one.members.pop(user.id, None) is not None:
                await self.gateway.dispatch("GUILD_MEMBER_REMOVE", {"guild_id": one.id, "user": user.json()},
                                            intent=GUILD_MEMBERS, guild=one.id)

    async def delete_channel(self, channel: Channel) -> None:
        assert channel.guild is not None
        for one in [*channel.guild.channels.values()]:
            if one is channel or one.parent is channel:
                del channel.guild.channels[one.id], self.world.channels[one.id]
        await self.gateway.dispatch("CHANNEL_DELETE", channel.json(self.bot), intent=GUILDS, guild=channel.guild.id)

    async def remove_bot(self, guild: Guild) -> None:
        self.world.left[guild.id] = self.world.guilds.pop(guild.id)
        await self.gateway.dispatch("GUILD_DELETE", {"id": guild.id}, intent=GUILDS, guild=guild.id)

    async def set_permissions(self, where: Channel | Guild, bits: Permission) -> None:
        """The bot's, in a channel or (by its role) in the server."""
        if isinstance(where, Guild):
            where.roles[where.bot_role].permissions = bits
            where.roles[where.id].permissions &= bits
            await self.gateway.dispatch("GUILD_ROLE_UPDATE", {"guild_id": where.id, "role":
                                        where.roles[where.bot_role].json()}, intent=GUILDS, guild=where.id)
        else:
            assert where.guild is not None
            where.bits = bits
            await self.gateway.dispatch("CHANNEL_UPDATE", where.json(self.bot), intent=GUILDS, guild=where.guild.id)

    # --- what people do ------------------------------------------------------------------------------------------

    async def ready(self, within: float = 10.0) -> None:
        """Waits for a bot that is connected and identified; raises TimeoutError."""
        await self.gateway.until(lambda: self.gateway.ready, within)

    async def type(self, user: User, channel: Channel, line: str, options: Mapping[str, Value] | None = None) -> Shown:
        """A slash command, e.g. `cohort rest`. Raises Impossible, NoAnswer."""
        return await self.people.type(user, channel, line, options or {})

    async def autocomplete(self, user: User, channel: Channel, line: str, options: Mapping[str, Value],
                           focused: str | None = None) -> list[Json]:
        """The choices offered while the last option (or `focused`) is typed."""
        return await self.people.autocomplete(user, channel, line, options, focused)

    async def press(self, user: User, message: Message | Shown, button: str) -> Shown:
        """By custom_id or label."""
        return await self.people.press(user, _message(message), button)

    async def choose(self, user: User, message: Message | Shown, select: str, values: Sequence[str]) -> Shown:
        return await self.people.choose(user, _message(message), select, values)

    async def submit(self, user: User, modal: Shown,
                     values: Mapping[str, str | bool | Sequence[str] | None] | None = None) -> Shown:
        """By custom_id; a field left out keeps what it was prefilled with, None empties it."""
        return await self.people.submit(user, modal, values or {})

    async def repeat(self, shown: Shown | Interaction) -> None:
        """The gateway delivers the interaction a second time."""
        await self.people.repeat(shown.interaction if isinstance(shown, Shown) else shown)

    # --- faults --------------------------------------------------------------------------------------------------

    def fail(self, pattern: str, *faults: Fault) -> None:
        """The next requests that match `METHOD /path` (`*` for any text) meet these faults, one each, in order."""
        self._scripts.append(Script(pattern, deque(faults)))

    def refuse_gateway(self, connections: int) -> None:
        """The next so many are turned away with 503."""
        self.gateway.refusing = connections

    async def cut_gateway(self, code: int | None = None) -> None:
        """Closes every socket with `code`, or tears it off without a word."""
        await self.gateway.cut(code)

    # --- a request -----------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        name, ids = self._match(request.method, path) if request.path.startswith(PREFIX) else (None, ())
        if name is None:
            self.unknown.append(f"{request.method} {request.path}")
            return self._answer(request, "", ("",), 404, {"message": "404: Not Found", "code": 0}, {})
        SEEN.add(name)
        if self.limits.banned:
            SEEN.add("banned")
            return web.Response(status=429, text="error code: 1015", headers={"Retry-After": "3600"})
        fault = next((fault for script in self._scripts if (fault := script.next(f"{request.method} {path}"))), None)
        if fault is not None:
            SEEN.add(f"fault {fault.__class__.__name__}")
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        elif isinstance(fault, Cut) and not fault.after:
            return self._cut(request, name)
        elif isinstance(fault, Broken) and not fault.after:
            return self._answer(request, name, ids, fault.status, {"message": "internal error", "code": 0}, {})
        try:
            headers = await self._admit(request, name, ids, fault)
            status, body = await self._carry_out(request, name, ids)
        except Refusal as refusal:
            SEEN.add(f"code {refusal.code}" if refusal.code else f"status {refusal.status}")
            status, body, headers = refusal.status, refusal.body, self._headers(name, ids)
            if status == 429 and "retry_after" not in refusal.body:
                self.limits.hold(name, Held(86_400.0, "user"))
        except _TooFast as early:
            return self._too_fast(request, name, ids, early.held)
        if isinstance(fault, Cut):
            return self._cut(request, name)
        if isinstance(fault, Broken):
            status, body = fault.status, {"message": "internal error", "code": 0}
        return self._answer(request, name, ids, status, body, headers)

    def _match(self, method: str, path: str) -> tuple[str | None, tuple[str, ...]]:
        for verb, pattern, name in self._routes:
            if verb == method and (found := pattern.fullmatch(path)):
                return name, found.groups()
        return None, ()

    async def _admit(self, request: web.Request, name: str, ids: tuple[str, ...], fault: Fault | None) \
            -> dict[str, str]:
        """Raises Refusal or _TooFast."""
        # The token of an interaction is its own key.
        own_key = "interactions" in name or "webhooks" in name
        if not own_key and name != "GET /gateway" and request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refusal(0, status=401, message="401: Unauthorized")
        if not own_key and not request.headers.get("User-Agent", "").startswith("DiscordBot ("):
            # reference: "may be blocked" without it. discord.py answers interactions with aiohttp's own, and is not.
            raise Refusal(40333)
        if isinstance(fault, Limited):
            raise _TooFast(self.limits.hold(name, Held(fault.retry_after, fault.scope)))
        held = self.limits.take(name, _major(name, ids), counts_globally=not own_key)
        if held is not None:
            raise _TooFast(held)
        return self._headers(name, ids)

    async def _carry_out(self, request: web.Request, name: str, ids: tuple[str, ...]) -> tuple[int, Body]:
        body = await _body(request)
        if self._openapi is not None:
            schema = self._openapi.request(name)
            if schema is not None:
                gentle = tamed(body)
                self._openapi.faults(schema, gentle).refuse()
                self._openapi.unknown_keys(schema, gentle).refuse()
        wanted = list if name in _LISTS else dict
        if request.method in ("POST", "PATCH", "PUT") and name not in _BODILESS and not isinstance(body, wanted):
            raise Refusal(50035, errors={"_errors": [{"code": "BASE_TYPE_REQUIRED",
                                                      "message": "This field is required"}]})
        return await ROUTES[name](self, Call(ids, request.query, body))

    def _headers(self, name: str, ids: tuple[str, ...]) -> dict[str, str]:
        return self.limits.headers(name, _major(name, ids), self.now().timestamp())

    def _too_fast(self, request: web.Request, name: str, ids: tuple[str, ...], held: Held) -> web.Response:
        SEEN.add(f"limit {held.scope}")
        headers = {**self._headers(name, ids), "Retry-After": str(math.ceil(held.retry_after)),
                   "X-RateLimit-Scope": held.scope}
        if held.scope == "global":
            headers["X-RateLimit-Global"] = "true"
        body: Json = {"message": "You are being rate limited.", "retry_after": round(held.retry_after, 3),
                      "global": held.scope == "global", "code": 0}
        return self._answer(request, name, ids, 429, body, headers, shared=held.scope == "shared")

    def _answer(self, request: web.Request, name: str, ids: tuple[str, ...], status: int, body: Body,
                headers: dict[str, str], *, shared: bool = False) -> web.Response:
        if status in (401, 403, 429) and not shared:
            self.limits.invalid()
        self.done.append(Done(self.monotonic(), name, request.path.removeprefix(PREFIX), status))
        self._hold_ours(name, status, body)
        headers = {**headers, "Via": "1.1 google"}
        if body is None:
            return web.Response(status=status, headers=headers)
        return web.Response(status=status, headers=headers, body=json.dumps(body).encode(),
                            content_type="application/json")

    def _hold_ours(self, name: str, status: int, body: Body) -> None:
        if self._openapi is None or not name or status >= 500:
            return
        # Of 404 to the unknown, and of Cloudflare's, the OpenAPI says nothing.
        schema = self._openapi.answer(name, status) if status < 400 else self._openapi.error(
            limited=status == 429 and isinstance(body, dict) and "retry_after" in body)
        if status >= 400 and isinstance(body, dict):
            # Of the errors below, the OpenAPI says that their codes are integers; the documentation shows words.
            body = {key: value for key, value in body.items() if key != "errors"}
        if schema is not None:
            self.ours += [f"{name} {status}: {fault}" for fault in self._openapi.faults(schema, body).found]
        elif body is not None:
            self.ours.append(f"{name} {status}: no such answer")

    def _cut(self, request: web.Request, name: str) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        self.done.append(Done(self.monotonic(), name, request.path.removeprefix(PREFIX), 0))
        return web.Response()

    def _tell_later(self, event: str, data: Callable[[], Json], guild: Guild, intent: int) -> None:
        task = asyncio.ensure_future(self.gateway.dispatch(event, data(), intent=intent, guild=guild.id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    # --- what the bot may ----------------------------------------------------------------------------------------

    def _channel(self, id: str, needs: Permission = NOTHING) -> Channel:
        channel = self.world.channels.get(id)
        if channel is None:
            raise Refusal(10003)
        if channel.guild is not None:
            if channel.guild.id not in self.world.guilds:
                raise Refusal(50001)
            may = channel.bot_may(self.bot)
            if Permission.VIEW_CHANNEL not in may:
                raise Refusal(50001)
            if needs & ~may:
                raise Refusal(50013)
        return channel

    def _guild(self, id: str) -> Guild:
        guild = self.world.guilds.get(id)
        if guild is None:
            raise Refusal(10004)
        return guild

    def _found(self, channel: Channel, id: str) -> Message:
        for message in channel.messages:
            if message.id == id:
                return message
        raise Refusal(10008)

    def _reachable(self, user: User) -> None:
        if not any(user.id in guild.members for guild in self.world.guilds.values()):
            raise Refusal(50278)
        if not user.takes_dms or user.bot:
            raise Refusal(50007)


class _TooFast(Exception):
    def __init__(self, held: Held) -> None:
        super().__init__(held)
        self.held = held


_LISTS = {"PUT /applications/{}/commands"}
_BODILESS = {"PUT /guilds/{}/members/{}/roles/{}"}


def _openapi(path: Path | None) -> OpenApi | None:
    return openapi(path) if path is not None and path.is_file() else None


def _message(of: Message | Shown) -> Message:
    message = of.message if isinstance(of, Shown) else of
    if message is None:
        raise Impossible("there is no message")
    return message


def _major(name: str, ids: tuple[str, ...]) -> str:
    """Limits are counted for each channel, guild and webhook by itself."""
    if "/webhooks/{}/{}" in name:
        return "/".join(ids[:2])
    return ids[0] if ids and re.search("/(channels|guilds)/{}", name) else ""


async def _body(request: web.Request) -> Any:
    kind = request.content_type
    if kind == "multipart/form-data":
        return await _multipart(request)
    raw = await request.read()
    if not raw:
        return None
    if kind != "application/json":
        raise Refusal(50035, errors={"_errors": [{"code": "CONTENT_TYPE_INVALID", "message":
                                                  'Expected "Content-Type" header to be one of {application/json}.'}]})
    try:
        return json.loads(raw)
    except ValueError:
        raise Refusal(50109) from None


async def _multipart(request: web.Request) -> Any:
    """The `payload_json`, with the files as attachments in a few words."""
    form = await request.post()
    try:
        told = form.get("payload_json", "{}")
        body = json.loads(told if isinstance(told, str | bytes | bytearray) else told.file.read())
    except ValueError:
        raise Refusal(50109) from None
    files = [value for value in form.values() if isinstance(value, web.FileField)]
    if files and isinstance(body, dict):
        body["attachments"] = [{"id": str(place), "filename": file.filename} for place, file in enumerate(files)]
    return body


# --- routes: the bot itself -------------------------------------------------------------------------------------------


@route("GET /gateway")
async def _gateway(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, {"url": discord.gateway_url}


@route("GET /gateway/bot")
async def _gateway_bot(discord: Discord, call: Call) -> tuple[int, Body]:
    left = 1000 - len(discord.gateway.identifies)
    return 200, {"url": discord.gateway_url, "shards": 1, "session_start_limit": {
        "total": 1000, "remaining": max(left, 0), "reset_after": 14_400_000, "max_concurrency": 1}}


@route("GET /users/@me")
async def _me(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, {**discord.bot.json(), "mfa_enabled": True, "locale": "en-GB", "verified": True}


@route("GET /users/{}")
async def _user(discord: Discord, call: Call) -> tuple[int, Body]:
    user = discord.world.users.get(call.ids[0])
    if user is None:
        raise Refusal(10013)
    return 200, user.json()


@route("GET /applications/@me")
@route("GET /oauth2/applications/@me")
async def _application(discord: Discord, call: Call) -> tuple[int, Body]:
    # Discord's own name for the team or person that it belongs to is not the emulator's: the bot stands in.
    return 200, {"id": discord.world.application, "name": discord.bot.name, "icon": None, "description": "",
                 "type": None, "verify_key": "0" * 64, "flags": 0, "flags_new": "0", "redirect_uris": [],
                 "interactions_endpoint_url": None, "role_connections_verification_url": None,
                 "owner": discord.bot.json(), "approximate_guild_count": len(discord.world.guilds),
                 "approximate_user_install_count": 0, "approximate_user_authorization_count": 0,
                 "explicit_content_filter": 0, "team": None, "eligible_oauth2_scopes": [], "bot_public": True,
                 "bot_require_code_grant": False}


@route("GET /applications/{}/commands")
async def _commands(discord: Discord, call: Call) -> tuple[int, Body]:
    _own(discord, call.ids[0])
    return 200, discord.commands


@route("PUT /applications/{}/commands")
async def _overwrite(discord: Discord, call: Call) -> tuple[int, Body]:
    _own(discord, call.ids[0])
    command_faults(call.body).refuse()
    old = {(one["type"], one["name"]): one for one in discord.commands}
    new = [one for one in call.body if ((one.get("type") or 1), one["name"]) not in old]
    now, created = discord.monotonic(), discord._created
    while created and created[0] <= now - 86_400:
        created.popleft()
    if len(created) + len(new) > CREATIONS_A_DAY:
        raise Refusal(30034)
    created.extend([now] * len(new))
    out: list[Json] = []
    for one in call.body:
        before = old.get((one.get("type") or 1, one["name"]), {})
        whole = {"default_member_permissions": None, "dm_permission": True, "contexts": None, "nsfw": False,
                 "integration_types": [0], "description": "", **{k: v for k, v in one.items() if v is not None},
                 "type": one.get("type") or 1, "application_id": discord.world.application,
                 "id": before.get("id") or discord.world.ids.new(), "version": before.get("version")}
        if whole["default_member_permissions"] is not None:
            whole["default_member_permissions"] = str(whole["default_member_permissions"])
        if whole != before:
            whole["version"] = discord.world.ids.new()
        out.append(whole)
    discord.commands = out
    return 200, out


def _own(discord: Discord, application: str) -> None:
    if application != discord.world.application:
        raise Refusal(20012)


# --- routes: channels and messages ------------------------------------------------------------------------------------


@route("POST /users/@me/channels")
async def _open_dm(discord: Discord, call: Call) -> tuple[int, Body]:
    user = discord.world.users.get(str(call.body.get("recipient_id")))
    if user is None or user.bot:
        raise Refusal(50033)
    if user.id not in discord.world.dms:
        discord.opened.append(Opened(discord.monotonic(), user))
    return 200, discord.world.dm(user).json(discord.bot)


@route("GET /channels/{}")
async def _get_channel(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, discord._channel(call.ids[0]).json(discord.bot)


@route("GET /channels/{}/messages")
async def _history(discord: Discord, call: Call) -> tuple[int, Body]:
    channel = discord._channel(call.ids[0])
    asked = [key for key in ("around", "before", "after") if key in call.query]
    limit, pivot = call.query.get("limit", "50"), call.query.get(asked[0], "") if asked else "0"
    if not limit.isdecimal() or not 1 <= int(limit) <= 100:
        raise Refusal(50035, errors={"limit": {"_errors": [{
            "code": "NUMBER_TYPE_MAX", "message": "int value should be between 1 and 100."}]}})
    if not pivot.isdecimal() or len(asked) > 1:
        raise Refusal(50035, errors={asked[-1]: {"_errors": [{
            "code": "NUMBER_TYPE_COERCE", "message": "Value is not snowflake."}]}})
    if Permission.READ_MESSAGE_HISTORY not in channel.bot_may(discord.bot):
        # resources/message: without the permission "no messages will be returned".
        return 200, []
    every, most, at = channel.messages, int(limit), int(pivot)
    if asked == ["after"]:
        page = [one for one in every if int(one.id) > at][:most]
    elif asked == ["around"]:
        older = [one for one in every if int(one.id) < at][-(most // 2):] if most > 1 else []
        page = older + [one for one in every if int(one.id) >= at][:most - len(older)]
    else:
        page = [one for one in every if not asked or int(one.id) < at][-most:]
    return 200, [one.json(discord.world) for one in reversed(page)]


@route("GET /channels/{}/messages/{}")
async def _get_message(discord: Discord, call: Call) -> tuple[int, Body]:
    channel = discord._channel(call.ids[0], Permission.READ_MESSAGE_HISTORY)
    return 200, discord._found(channel, call.ids[1]).json(discord.world)


@route("POST /channels/{}/messages")
async def _post(discord: Discord, call: Call) -> tuple[int, Body]:
    channel = discord._channel(call.ids[0])
    may = channel.bot_may(discord.bot)
    send = Permission.SEND_MESSAGES if channel.parent is None else Permission.SEND_MESSAGES_IN_THREADS
    if send not in may:
        raise Refusal(50013)
    if channel.recipient is not None:
        discord._reachable(channel.recipient)
    body = {key: value for key, value in call.body.items() if key not in ("nonce", "enforce_nonce", "flags", "tts")}
    flags = int(call.body.get("flags") or 0)
    discord.messages.check(body, flags)
    if body.get("embeds") and Permission.EMBED_LINKS not in may:
        raise Refusal(50013)
    nonce = call.body.get("nonce")
    if isinstance(nonce, str) and len(nonce) > 25:
        raise Refusal(50035, errors={"nonce": {"_errors": [{
            "code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 25 or fewer in length."}]}})
    known = (channel.id, str(nonce))
    if call.body.get("enforce_nonce") and nonce is not None and known in discord._nonces:
        at, message = discord._nonces[known]
        if discord.monotonic() - at < NONCE_LIVES and not message.deleted:
            SEEN.add("nonce")
            return 200, message.json(discord.world, nonce=True)
    message = await discord.messages.post(channel, discord.bot, body, flags & (COMPONENTS_V2 | SUPPRESS | 1 << 2),
                                          nonce=nonce)
    if nonce is not None:
        discord._nonces[known] = discord.monotonic(), message
    return 200, message.json(discord.world, nonce=True)


@route("PATCH /channels/{}/messages/{}")
async def _edit(discord: Discord, call: Call) -> tuple[int, Body]:
    channel = discord._channel(call.ids[0])
    message = discord._found(channel, call.ids[1])
    if message.author is not discord.bot:
        raise Refusal(50005)
    await discord.messages.edit(message, {key: value for key, value in call.body.items()})
    return 200, message.json(discord.world)


@route("POST /channels/{}/messages/{}/threads")
async def _thread(discord: Discord, call: Call) -> tuple[int, Body]:
    channel = discord._channel(call.ids[0])
    if channel.type != 0:
        raise Refusal(50024)
    if Permission.CREATE_PUBLIC_THREADS not in channel.bot_may(discord.bot):
        raise Refusal(50013)
    message = discord._found(channel, call.ids[1])
    if message.thread is not None:
        raise Refusal(160004)
    name = call.body.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise Refusal(50035, errors={"name": {"_errors": [{
            "code": "BASE_TYPE_BAD_LENGTH", "message": "Must be between 1 and 100 in length."}]}})
    assert channel.guild is not None
    thread = Channel(message.id, 11, name, channel.guild, parent=channel, created=discord.now())
    channel.guild.channels[thread.id] = discord.world.channels[thread.id] = message.thread = thread
    message.flags |= HAS_THREAD
    await discord.gateway.dispatch("THREAD_CREATE", {**thread.json(discord.bot), "newly_created": True}, intent=GUILDS,
                                   guild=channel.guild.id)
    return 201, thread.json(discord.bot)


# --- routes: servers --------------------------------------------------------------------------------------------------


@route("GET /guilds/{}")
async def _get_guild(discord: Discord, call: Call) -> tuple[int, Body]:
    guild = discord._guild(call.ids[0])
    counts = {"approximate_member_count": len(guild.members), "approximate_presence_count": 1}
    return 200, {**guild.json(), **(counts if call.query.get("with_counts") in ("1", "true", "True") else {})}


@route("GET /guilds/{}/roles")
async def _get_roles(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, [role.json() for role in discord._guild(call.ids[0]).roles.values()]


@route("GET /guilds/{}/members/{}")
async def _get_member(discord: Discord, call: Call) -> tuple[int, Body]:
    guild, user = discord._guild(call.ids[0]), call.ids[1]
    if user not in discord.world.users:
        raise Refusal(10013)
    if user not in guild.members:
        raise Refusal(10007)
    return 200, guild.members[user].json()


@route("PUT /guilds/{}/members/{}/roles/{}")
async def _award(discord: Discord, call: Call) -> tuple[int, Body]:
    guild, user, role = discord._guild(call.ids[0]), call.ids[1], call.ids[2]
    if user not in guild.members:
        raise Refusal(10007)
    if role not in guild.roles:
        raise Refusal(10011)
    may, given = guild.permissions(discord.bot.id), guild.roles[role]
    if Permission.MANAGE_ROLES not in may or given.position >= max(guild.highest(discord.bot.id), 1) \
            or given.managed_by is not None or role == guild.id:
        raise Refusal(50013)
    member = guild.members[user]
    if role not in member.roles:
        member.roles.append(role)
        await discord.gateway.dispatch("GUILD_MEMBER_UPDATE", {**member.json(), "guild_id": guild.id},
                                       intent=GUILD_MEMBERS, guild=guild.id)
    return 204, None


# --- routes: interactions ---------------------------------------------------------------------------------------------


@route("POST /interactions/{}/{}/callback")
async def _callback(discord: Discord, call: Call) -> tuple[int, Body]:
    answer = await discord.people.callback(call.ids[0], call.ids[1], call.body, with_response=call.query.get(
        "with_response") in ("1", "true", "True"))
    return (204, None) if answer is None else (200, answer)


@route("POST /webhooks/{}/{}")
async def _follow(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, (await discord.people.follow(call.ids[0], call.ids[1], call.body)).json(discord.world)


@route("GET /webhooks/{}/{}/messages/@original")
async def _get_original(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, discord.people.message(call.ids[0], call.ids[1], "@original").json(discord.world)


@route("PATCH /webhooks/{}/{}/messages/@original")
async def _edit_original(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, (await discord.people.edit(call.ids[0], call.ids[1], "@original", call.body)).json(discord.world)


@route("DELETE /webhooks/{}/{}/messages/@original")
async def _delete_original(discord: Discord, call: Call) -> tuple[int, Body]:
    await discord.people.delete(call.ids[0], call.ids[1], "@original")
    return 204, None


@route("PATCH /webhooks/{}/{}/messages/{}")
async def _edit_followup(discord: Discord, call: Call) -> tuple[int, Body]:
    return 200, (await discord.people.edit(call.ids[0], call.ids[1], call.ids[2], call.body)).json(discord.world)


COVERAGE: tuple[str, ...] = (
    *ROUTES,
    *(f"op {op}" for op in (1, 2, 3, 6, 7, 8, 9, 10, 11)),
    *(f"close {code}" for code in CLOSES),
    *(f"code {code}" for code in CODES),
    "status 401", "banned", "nonce",
    *(f"limit {scope}" for scope in ("user", "global", "shared")),
    *(f"fault {kind.__name__}" for kind in (Cut, Broken, Slow, Limited, Well)),
)
"""Every route, gateway opcode and close code, refusal, limit and fault that the emulator knows; it notes in `SEEN` what
has come about."""
