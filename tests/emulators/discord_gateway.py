"""The emulated gateway, version 10: sockets, sessions, and what is told through them.

Sources: topics/gateway, topics/opcodes-and-status-codes. A session outlives its socket, keeps all that it was told, and
replays what a RESUME has missed; a socket closed by the client with 1000 or 1001 ends it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.emulators.discord_world import Json, World

GUILDS, GUILD_MEMBERS, GUILD_PRESENCES = 1 << 0, 1 << 1, 1 << 8
GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 9, 1 << 12, 1 << 15
PRIVILEGED = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT
KNOWN_INTENTS = sum(1 << bit for bit in (*range(17), 20, 21, 24, 25))
RESUMABLE_FOR = 180.0
"""Seconds that a session without a socket is kept; Discord gives no number."""
COMMANDS_A_MINUTE = 120
LARGEST = 4096
"""Bytes of a payload that a client may send."""

CLOSES = {4001: "Unknown opcode.", 4002: "Error while decoding payload.", 4003: "Not authenticated.",
          4004: "Authentication failed.", 4005: "Already authenticated.", 4007: "Invalid seq.", 4008: "Rate limited.",
          4009: "Session timed out.", 4010: "Invalid shard.", 4012: "Invalid API version.",
          4013: "Invalid intent(s).", 4014: "Disallowed intent(s)."}


@dataclass
class Session:
    id: str
    intents: int
    shard: tuple[int, int]
    told: list[Json] = field(default_factory=list)
    """Every dispatch, first to last; `s` is its place, counted from 1."""
    socket: Socket | None = None
    lost_at: float | None = None

    def wants(self, intent: int, guild: str | None) -> bool:
        shard, count = self.shard
        mine = (int(guild) >> 22) % count if guild is not None else 0
        return mine == shard and (not intent or bool(self.intents & intent))


class Socket:
    """One connection of a client."""

    def __init__(self, request: web.Request, ws: web.WebSocketResponse, compress: str | None) -> None:
        self.path = request.path
        self.ws = ws
        self.session: Session | None = None
        self.closed_by_us: int | None = None
        self._transport = request.transport
        self._stream = zlib.compressobj() if compress == "zlib-stream" else None
        self.whole = False
        """IDENTIFY asked for each payload to be compressed by itself."""

    async def send(self, payload: Json) -> None:
        text = json.dumps(payload, separators=(",", ":"))
        try:
            if self._stream is not None:
                await self.ws.send_bytes(self._stream.compress(text.encode()) + self._stream.flush(zlib.Z_SYNC_FLUSH))
            elif self.whole:
                await self.ws.send_bytes(zlib.compress(text.encode()))
            else:
                await self.ws.send_str(text)
        except ConnectionError:
            pass        # It is gone; the session keeps what it was told.

    async def close(self, code: int) -> None:
        self.closed_by_us = code
        await self.ws.close(code=code, message=CLOSES.get(code, "").encode())

    def cut(self) -> None:
        """As when a cable is pulled: no close frame."""
        self.closed_by_us = 1006
        if self._transport is not None:
            self._transport.abort()


class Gateway:
    """`seen` is told of every opcode and close code; `note` of what the client did that no document allows."""

    def __init__(self, world: World, token: str, monotonic: Callable[[], float], seen: Callable[[str], None], *,
                 heartbeat: float, identify_every: float, privileged: int) -> None:
        self.heartbeat = heartbeat
        """Seconds between two beats, of the real clock."""
        self.identify_every = identify_every
        self.privileged = privileged
        self.sockets: list[Socket] = []
        """All, from first to last; those that are open are in `live`."""
        self.live: list[Socket] = []
        self.sessions: dict[str, Session] = {}
        self.identifies: list[Json] = []
        """What each IDENTIFY asked for, without the token."""
        self.resumes = 0
        self.beats = 0
        self.presences: list[Json] = []
        self.closes: list[int] = []
        """Codes that clients closed with; 1006 where one went without a word."""
        self.refusing = 0
        """So many connections are still to be refused."""
        self.changed = asyncio.Condition()
        self._world, self._token, self._monotonic, self._seen = world, token, monotonic, seen
        self._identified_at: dict[int, float] = {}
        self._url = ""

    def at(self, url: str) -> None:
        self._url = url

    # --- what is told --------------------------------------------------------------------------------------------

    async def dispatch(self, event: str, data: Json, *, intent: int = 0, guild: str | None = None,
                       only: Session | None = None) -> None:
        """To every session of the right shard that asked for it; one without a socket reads it when it resumes."""
        for session in [only] if only is not None else list(self.sessions.values()):
            if self._is_lost(session):
                self.sessions.pop(session.id, None)
                continue
            if not session.wants(intent, guild) and only is None:
                continue
            payload = {"op": 0, "t": event, "s": len(session.told) + 1, "d": data}
            session.told.append(payload)
            if session.socket is not None:
                await session.socket.send(payload)

    async def reconnect(self) -> None:
        """Asks every client to come back and resume."""
        self._seen("op 7")
        for socket in list(self.live):
            await socket.send({"op": 7, "d": None, "s": None, "t": None})

    async def invalidate(self, *, resumable: bool) -> None:
        self._seen("op 9")
        for socket in list(self.live):
            if not resumable and socket.session is not None:
                self.sessions.pop(socket.session.id, None)
            await socket.send({"op": 9, "d": resumable, "s": None, "t": None})

    async def cut(self, code: int | None = None) -> None:
        """Every open socket: closed with a code, or torn off without a word."""
        for socket in list(self.live):
            if code is None:
                socket.cut()
            else:
                await socket.close(code)
        await self.until(lambda: not self.live)

    async def until(self, true: Callable[[], bool], within: float = 5.0) -> None:
        """Waits until something has come true of sockets and sessions; raises TimeoutError."""
        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(true)

    @property
    def ready(self) -> bool:
        """A client is connected and has identified itself or resumed."""
        return any(socket.session is not None for socket in self.live)

    # --- a connection --------------------------------------------------------------------------------------------

    async def connection(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            self.refusing -= 1
            return web.Response(status=503, text="upstream connect error")
        if request.query.get("compress") not in (None, "zlib-stream"):
            # zstd-stream needs a package that Python 3.11 does not bring.
            return web.Response(status=400, text="the emulator knows no such compression")
        ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        socket = Socket(request, ws, request.query.get("compress"))
        self.sockets.append(socket)
        self.live.append(socket)
        try:
            if request.query.get("v") != "10" or request.query.get("encoding", "json") != "json":
                await self._close(socket, 4012)
            else:
                self._seen("op 10")
                await socket.send({"op": 10, "s": None, "t": None,
                                   "d": {"heartbeat_interval": int(self.heartbeat * 1000), "_trace": []}})
                await self._listen(socket)
        finally:
            self._gone(socket)
            async with self.changed:
                self.changed.notify_all()
        return ws

    async def _listen(self, socket: Socket) -> None:
        loop = asyncio.get_running_loop()
        alive, sent = loop.time(), deque[float]()
        while not socket.ws.closed:
            try:
                message = await socket.ws.receive(timeout=max(0.001, alive + self.heartbeat * 1.5 - loop.time()))
            except TimeoutError:
                await self._close(socket, 4009)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            sent.append(loop.time())
            while sent[0] < loop.time() - 60:
                sent.popleft()
            if len(sent) > COMMANDS_A_MINUTE:
                await self._close(socket, 4008)
                return
            payload = _payload(message.data)
            if payload is None:
                await self._close(socket, 4002)
                return
            if payload["op"] == 1:
                alive = loop.time()
            code = await self._take(socket, payload["op"], payload.get("d"))
            if code is not None:
                await self._close(socket, code)
                return
            async with self.changed:
                self.changed.notify_all()

    async def _take(self, socket: Socket, op: int, data: Any) -> int | None:
        """The code to close with, or None."""
        if op in (1, 2, 3, 6, 8):
            self._seen(f"op {op}")
        if op == 1:
            self.beats += 1
            self._seen("op 11")
            await socket.send({"op": 11, "d": None, "s": None, "t": None})
            return None
        if op in (2, 6) and socket.session is not None:
            return 4005
        if op == 2:
            return await self._identify(socket, data)
        if op == 6:
            return await self._resume(socket, data)
        if socket.session is None:
            return 4003 if op in (3, 4, 8) else 4001
        if op == 3:
            self.presences.append(data)
            return None
        if op == 8:
            await self._members(socket.session, data)
            return None
        return 4001

    async def _identify(self, socket: Socket, data: Any) -> int | None:
        if not isinstance(data, dict) or not {"token", "properties", "intents"} <= data.keys():
            return 4002
        if data["token"] != self._token:
            return 4004
        intents, shard = data["intents"], data.get("shard") or [0, 1]
        if not isinstance(intents, int) or intents < 0 or intents & ~KNOWN_INTENTS:
            return 4013
        if intents & PRIVILEGED & ~self.privileged:
            return 4014
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            return 4010
        now = self._monotonic()
        if now - self._identified_at.get(shard[0], float("-inf")) < self.identify_every:
            self._seen("op 9")
            await socket.send({"op": 9, "d": False, "s": None, "t": None})
            return None
        self._identified_at[shard[0]] = now
        self.identifies.append({key: value for key, value in data.items() if key != "token"})
        socket.whole = bool(data.get("compress")) and socket._stream is None
        session = Session(secrets.token_hex(16), intents, (shard[0], shard[1]), socket=socket)
        self.sessions[session.id] = socket.session = session
        guilds = [guild for guild in self._world.guilds.values() if session.wants(0, guild.id)]
        await self.dispatch("READY", {
            "v": 10, "user": {**self._world.bot.json(), "mfa_enabled": True, "verified": True, "email": None},
            "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds], "private_channels": [],
            "session_id": session.id, "resume_gateway_url": f"{self._url}/resume", "shard": [*session.shard],
            "application": {"id": self._world.application, "flags": 0}, "session_type": "normal", "_trace": [],
            "geo_ordered_rtc_regions": [], "relationships": [], "presences": [], "user_settings": {}}, only=session)
        if intents & GUILDS:
            for guild in guilds:
                await self.dispatch("GUILD_CREATE", self._world.guild_create(guild), only=session)
        return None

    async def _resume(self, socket: Socket, data: Any) -> int | None:
        if not isinstance(data, dict) or not {"token", "session_id", "seq"} <= data.keys():
            return 4002
        if data["token"] != self._token:
            return 4004
        session = self.sessions.get(data["session_id"])
        if session is not None and self._is_lost(session):
            session = None
        if session is None:
            self._seen("op 9")
            await socket.send({"op": 9, "d": False, "s": None, "t": None})
            return None
        if not isinstance(data["seq"], int) or not 0 <= data["seq"] <= len(session.told):
            return 4007
        if session.socket is not None:
            session.socket.cut()
        self.resumes += 1
        socket.session, at = session, data["seq"]
        # The session has no socket yet: what is told meanwhile waits in its place at the end.
        while at < len(session.told):
            await socket.send(session.told[at])
            at += 1
        session.socket, session.lost_at = socket, None
        await self.dispatch("RESUMED", {"_trace": []}, only=session)
        return None

    def _is_lost(self, session: Session) -> bool:
        return session.lost_at is not None and self._monotonic() - session.lost_at > RESUMABLE_FOR

    async def _members(self, session: Session, data: Any) -> None:
        guild = self._world.guilds[str(data["guild_id"])]
        ids = data.get("user_ids") or []
        ids = [str(id) for id in (ids if isinstance(ids, list) else [ids])]
        await self.dispatch("GUILD_MEMBERS_CHUNK", {
            "guild_id": guild.id, "members": [guild.members[id].json() for id in ids if id in guild.members],
            "not_found": [id for id in ids if id not in guild.members], "chunk_index": 0, "chunk_count": 1,
            **({"nonce": data["nonce"]} if data.get("nonce") else {})}, only=session)

    async def _close(self, socket: Socket, code: int) -> None:
        self._seen(f"close {code}")
        if code in (4004, 4007, 4009, 4010, 4012, 4013, 4014) and socket.session is not None:
            self.sessions.pop(socket.session.id, None)
        await socket.close(code)

    def _gone(self, socket: Socket) -> None:
        self.live.remove(socket)
        code = socket.ws.close_code
        if socket.closed_by_us is None:
            self.closes.append(code if code is not None else 1006)
        session = socket.session
        if session is None or session.socket is not socket:
            return
        session.socket, session.lost_at = None, self._monotonic()
        if socket.closed_by_us is None and code in (1000, 1001):
            self.sessions.pop(session.id, None)


def _payload(data: str | bytes) -> Json | None:
    """None for what no client may send."""
    if len(data) > LARGEST:
        return None
    try:
        payload = json.loads(data)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) and isinstance(payload.get("op"), int) else None
