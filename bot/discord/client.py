"""The line to Discord's gateway: one client of discord.py after the other, each with as little kept as possible."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

import aiohttp
import discord
from yarl import URL

from bot.settings import BadSettings

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before the next attempt; the longest wait doubles with each that fails."""
SETTLED = 60.0
"""Seconds that a client must have lasted for the waits to begin anew."""
LOGIN, LAUNCH = 60.0, 30.0
"""Seconds to log in (discord.py tries five times there), and to get through to the gateway."""
IDENTIFIES_LEFT = 20
"""Of a thousand a day; whoever uses them up loses the token (docs: events/gateway#session-start-limit-object)."""
LEAVE, DRAIN = 0.8, 1.2
"""Seconds for the gateway to answer our close, and for answers under way. With the HTTP session's end under 3."""

_BAD_TOKEN = 4004


class BadToken(BadSettings):
    """Discord does not know this token: copy a new one from the page Bot of the application in Discord's developer
    portal to the settings, and start again."""

    def __init__(self) -> None:
        super().__init__(" ".join((BadToken.__doc__ or "").split()))


class Answering(Protocol):
    """The shell."""

    async def interaction(self, interaction: discord.Interaction[Any]) -> None: ...

    async def drain(self, within: float) -> None: ...


LOGIN_CALLS = 4
"""Two of `login`, and who asks for the gateway: we, and `connect` right after."""


class _NotFullyOpen(Exception):
    """The gateway could not be reached."""


class _Spent(Exception):
    """Too few identifies are left for today."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Client(discord.AutoShardedClient):
    """Hears of interactions and of nothing else. `gateway_url` and `api_url` stand for Discord's own where given;
    `shard_count` is asked of Discord where not. `heard` is in place of the shell's own, for whoever listens as well."""

    def __init__(self, shell: Answering, *, gateway_url: str | None = None, api_url: str | None = None,
                 shard_count: int | None = None,
                 heard: Callable[[discord.Interaction[Any]], Awaitable[None]] | None = None) -> None:
        keep_words_out_of_the_log()
        if api_url is not None:
            # discord.py takes the address from nowhere else, and for the whole process. One process of ours speaks to
            # one Discord, so there is nobody whom it could disturb.
            discord.http.Route.BASE = api_url.rstrip("/")
        # Else it warns whoever starts us that there will be no voice.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=discord.Intents(guilds=True), member_cache_flags=discord.MemberCacheFlags.none(), max_messages=None,
            chunk_guilds_at_startup=False, allowed_mentions=discord.AllowedMentions.none(), shard_count=shard_count,
            shard_connect_timeout=LAUNCH)
        self._shell = shell
        self._heard = heard or shell.interaction
        self._launched: set[int] = set()
        self._up: set[int] = set()
        self._leaving: asyncio.Task[None] | None = None
        if gateway_url is not None:
            self._redirect(URL(gateway_url))

    @property
    def connected(self) -> bool:
        """Every shard hears."""
        return self.shard_count is not None and len(self._up) == len(self.shard_ids or range(self.shard_count))

    def _redirect(self, gateway: URL) -> None:
        """discord.py falls back to Discord's own gateway in three places; they all open their sockets here."""
        connect = self.http.ws_connect

        async def ws_connect(url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
            wanted = URL(url)
            if (wanted.host or "").endswith("discord.gg"):
                url = str(gateway.with_query(wanted.query))
            return await connect(url, compress=compress)

        self.http.ws_connect = ws_connect  # type: ignore[method-assign]

    async def launch_shard(self, gateway: URL, shard_id: int, *, initial: bool = False) -> None:
        # discord.py's own second attempt is a call of this method by itself, every five seconds and for ever.
        if shard_id in self._launched:
            raise _NotFullyOpen
        self._launched.add(shard_id)
        await super().launch_shard(gateway, shard_id, initial=initial)

    async def close(self) -> None:
        """Leaves the gateway, answers what is under way, and closes the line. Takes less than 3 s whatever the other
        side does."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE):
                await asyncio.gather(*(shard.disconnect() for shard in self.shards.values()))
        except TimeoutError:
            log.info("The gateway did not answer our goodbye")
        await self._shell.drain(DRAIN)
        await super().close()
        self._up.clear()

    # --- events -------------------------------------------------------------------------------------------------------

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        await self._heard(interaction)

    async def on_shard_connect(self, shard_id: int) -> None:
        self._up.add(shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        self._up.add(shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        self._up.discard(shard_id)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        # The message of an exception may hold what a member typed; the kind and the place do not.
        log.error("%s: %s\n%s", event_method, type(error).__name__,
                  "".join(traceback.format_tb(error.__traceback__ if error else None)))


class Connection:
    """Keeps a client connected: a new one whenever the one before has given up. discord.py resumes its sessions by
    itself; all other attempts are ours, since its own waits grow to seventeen minutes and some of them never end.

    `room` keeps so many calls free of what Discord takes: discord.py's own count towards the same limit."""

    def __init__(self, make_client: Callable[[], Client], token: str, *,
                 room: Callable[[int], AbstractAsyncContextManager[None]] = lambda calls: nullcontext(),
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 between: Callable[[float, float], float] = random.uniform,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._make_client = make_client
        self._token = token
        self._room = room
        self._sleep = sleep
        self._between = between
        self._monotonic = monotonic
        self._client: Client | None = None
        self._asked_to_end = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def keep(self) -> None:
        """Returns when `close` was called. Raises BadToken, and nothing else."""
        self._ended.clear()
        failed = 0
        try:
            while not self._asked_to_end.is_set():
                began = self._monotonic()
                wait, why = 0.0, ""
                try:
                    await self._one_client()
                except BadToken:
                    raise
                except _Spent as spent:
                    wait, why = spent.seconds, "too few identifies are left for today"
                except Exception as error:
                    why = f"{type(error).__name__} {error.code}" if isinstance(error, discord.ConnectionClosed) \
                        else type(error).__name__
                if self._asked_to_end.is_set():
                    break
                if self._monotonic() - began >= SETTLED:
                    failed = 0
                longest = min(FIRST_WAIT * 2 ** min(failed, 10), LONGEST_WAIT)
                wait = max(wait, self._between(max(FIRST_WAIT, longest / 2), longest))
                failed += 1
                log.warning("No line to Discord (%s); next attempt in %.1f s", why or "the gateway hung up", wait)
                await self._either(self._sleep(wait))
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Ends `keep`, and returns when the line is closed."""
        self._asked_to_end.set()
        await self._ended.wait()

    async def _one_client(self) -> None:
        """Returns when it was asked to end, or when the gateway hung up."""
        client = self._client = self._make_client()
        # Its own `__aexit__` would not close what was never opened.
        async with client:
            try:
                await self._either(self._session(client))
            finally:
                await client.close()

    async def _session(self, client: Client) -> None:
        try:
            async with self._room(LOGIN_CALLS), asyncio.timeout(LOGIN):
                await client.login(self._token)
                limits = await client.fetch_session_start_limits()
            if limits.remaining < IDENTIFIES_LEFT:
                raise _Spent(limits.reset_after / 1000)
            await client.connect(reconnect=False)
        except discord.LoginFailure:
            raise BadToken from None
        except discord.ConnectionClosed as closed:
            if closed.code == _BAD_TOKEN:
                raise BadToken from None
            raise

    async def _either(self, work: Awaitable[None]) -> None:
        """The work, unless first it is asked to end."""
        task, end = asyncio.ensure_future(work), asyncio.ensure_future(self._asked_to_end.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            elif self._client is not None:
                # While the session still hears of it, so that it can say goodbye.
                await self._client.close()
        finally:
            for one in (task, end):
                one.cancel()
            await asyncio.gather(task, end, return_exceptions=True)


def keep_words_out_of_the_log() -> None:
    """discord.py's lines for debugging hold whole bodies: tokens, and what members typed. Whatever level somebody
    asks of the log, these come at INFO or not at all."""
    for name in ("http", "gateway", "webhook.async_", "webhook.sync", "state", "client", "ui.view", "ui.modal"):
        logger = logging.getLogger(f"discord.{name}")
        if _no_words not in logger.filters:
            logger.addFilter(_no_words)


def _no_words(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO
