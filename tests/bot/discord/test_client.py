"""The line to the gateway over real sockets: lost, resumed, refused, and given up only for a token that is none."""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
import pytest

from bot.discord.client import BadToken, Client, Connection, keep_words_out_of_the_log
from tests.emulators.discord import Discord

TOKEN = "MTA.token-of-the-tests"  # noqa: S105  # of nobody
PING = [{"name": "ping", "description": "Are you there?", "type": 1}]


class Hurried(types.ModuleType):
    """asyncio whose sleeps are short: discord.py waits 5 s before it tries again, and before a second IDENTIFY."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discord.shard.asyncio", Hurried("asyncio"))
    monkeypatch.setattr("discord.client.asyncio", Hurried("asyncio"))
    monkeypatch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)


@dataclass
class Shell:
    """Says pong; while it is shut, when somebody opens."""

    heard: list[int] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    async def interaction(self, interaction: discord.Interaction[Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.under_way.add(task)
        self.heard.append(interaction.id)
        await self.opened.wait()
        await interaction.response.send_message("pong")
        self.under_way.discard(task)

    async def drain(self, within: float) -> None:
        self.drained.append(within)
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=within)


@dataclass
class Line:
    connection: Connection
    shell: Shell
    clients: list[Client]
    waits: list[float]
    keeping: asyncio.Task[None]


@asynccontextmanager
async def kept(world: Discord, sleep: Callable[[float], Awaitable[None]] | None = None) -> AsyncIterator[Line]:
    """A connection that is kept. Its waits are written down instead of waited for; of each range it takes the end."""
    shell, clients, waits = Shell(), list[Client](), list[float]()
    shell.opened.set()

    def made() -> Client:
        clients.append(Client(shell, gateway_url=world.gateway_url, api_url=world.api_url))
        return clients[-1]

    async def written_down(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0.01)

    connection = Connection(made, TOKEN, sleep=sleep or written_down, between=lambda low, high: high)
    keeping = asyncio.create_task(connection.keep())
    try:
        yield Line(connection, shell, clients, waits, keeping)
    finally:
        await connection.close()
        await asyncio.wait({keeping})


@asynccontextmanager
async def discord_there() -> AsyncIterator[Discord]:
    async with Discord(token=TOKEN, identify_every=0) as world:
        world.commands = [{**PING[0], "id": "1", "application_id": world.bot.id, "version": "1", "contexts": None,
                           "integration_types": [0], "default_member_permissions": None, "dm_permission": True,
                           "nsfw": False}]
        yield world


async def come_true(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110  # there is no event for what discord.py does inside
            await asyncio.sleep(0.005)


async def pings(world: Discord) -> None:
    """Somebody asks, and is answered."""
    guild = world.add_guild("Ninety")
    channel, ada = world.add_channel(guild, "cohort"), world.add_member(guild, "Ada")
    assert (await world.type(ada, channel, "ping")).text == "pong"


# --- connected --------------------------------------------------------------------------------------------------------


async def test_it_asks_for_no_privileged_intent_and_hears_interactions() -> None:
    async with discord_there() as world, kept(world) as line:
        assert not line.connection.connected
        await come_true(lambda: line.connection.connected)
        await pings(world)
        assert [one["intents"] for one in world.gateway.identifies] == [1 << 0]
        assert len(line.shell.heard) == 1 and not line.clients[0].cached_messages
        assert line.clients[0].users == [line.clients[0].user]
        assert line.clients[0].intents == discord.Intents(guilds=True)


async def test_a_line_that_was_cut_is_resumed_and_nothing_is_missed() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await world.cut_gateway(None)
        await pings(world)
        await come_true(lambda: line.connection.connected)
        assert (world.gateway.resumes, len(world.gateway.identifies), len(line.clients)) == (1, 1, 1)
        assert world.gateway.sockets[-1].path == "/resume"


async def test_a_gateway_that_asks_for_it_gets_a_new_line() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await world.gateway.reconnect()
        await come_true(lambda: world.gateway.resumes == 1)
        await pings(world)
        assert len(line.clients) == 1


async def test_a_session_that_is_invalid_is_begun_anew() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await world.gateway.invalidate(resumable=False)
        await come_true(lambda: len(world.gateway.identifies) == 2)
        await come_true(lambda: line.connection.connected)
        await pings(world)
        assert len(line.clients) == 1


async def test_it_is_connected_while_every_shard_is() -> None:
    client, seen = Client(Shell(), shard_count=2), list[bool]()
    for happened in (client.on_shard_connect(0), client.on_shard_connect(1), client.on_shard_disconnect(0),
                     client.on_shard_resumed(0)):
        await happened
        seen.append(client.connected)
    assert seen == [False, True, False, True]


# --- not connected ----------------------------------------------------------------------------------------------------


async def test_a_discord_that_is_not_there_yet_is_waited_for() -> None:
    """discord.py dies of it, or tries for ever without saying so (#10520)."""
    async with discord_there() as world:
        pass
    async with kept(world) as line:
        await come_true(lambda: len(line.waits) == 3)
        assert not line.connection.connected and line.waits == [1, 2, 4]
        async with world:
            await come_true(lambda: line.connection.connected)
            await pings(world)
            await line.connection.close()


async def test_a_gateway_that_turns_us_away_is_tried_by_a_new_client_each_time_and_later_each_time() -> None:
    async with discord_there() as world:
        world.refuse_gateway(8)
        async with kept(world) as line:
            await come_true(lambda: line.connection.connected)
            await pings(world)
            assert line.waits == [1, 2, 4, 8, 16, 32, 60, 60]
            assert len(line.clients) == 9 and all(client.is_closed() for client in line.clients[:-1])


@pytest.mark.parametrize("code", [4010, 4013, 4014])
async def test_a_code_that_forbids_to_come_back_is_no_reason_to_give_up(code: int) -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await world.cut_gateway(code)
        await come_true(lambda: len(line.clients) == 2 and line.connection.connected)
        await pings(world)


async def test_a_line_that_cannot_be_resumed_at_once_is_begun_anew() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        world.refuse_gateway(1)
        await world.cut_gateway(None)
        await come_true(lambda: len(line.clients) == 2 and line.connection.connected)
        await pings(world)


async def test_the_last_identifies_of_the_day_are_not_spent() -> None:
    """Whoever uses up the thousand loses the token."""
    async with discord_there() as world:
        world.gateway.identifies = [{}] * 990
        async with kept(world) as line:
            await come_true(lambda: bool(line.waits))
            assert line.waits[0] == 14_400 and not world.gateway.sockets


async def test_a_token_that_discord_does_not_know_ends_it_with_the_cure() -> None:
    async with Discord(token="another") as world, kept(world) as line:  # noqa: S106  # of nobody
        with pytest.raises(BadToken, match="copy a new one from the page Bot"):
            await line.keeping
        assert line.waits == []


async def test_a_token_that_is_taken_back_while_it_is_in_use_ends_it_too() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        world.gateway._token = "another"  # noqa: S105  # of nobody
        await world.cut_gateway(4000)
        with pytest.raises(BadToken):
            await line.keeping
        assert world.gateway.identifies != [] and not line.connection.connected


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_it_leaves_with_a_goodbye() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await line.connection.close()
        assert world.gateway.closes == [1000] and not world.gateway.sessions
        assert not line.connection.connected
        await line.keeping


async def test_what_is_under_way_is_answered_after_the_goodbye() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        line.shell.opened.clear()
        asking = asyncio.create_task(pings(world))
        await come_true(lambda: bool(line.shell.heard))
        leaving = asyncio.create_task(line.connection.close())
        await come_true(lambda: world.gateway.closes == [1000])
        line.shell.opened.set()
        await asking
        await leaving


async def test_it_leaves_in_three_seconds_when_nobody_says_goodbye_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        deaf, taken = asyncio.Event(), asyncio.Event()

        async def stuck(*_: object) -> None:
            taken.set()
            await deaf.wait()

        monkeypatch.setattr(world.gateway, "_take", stuck)
        await line.clients[0].change_presence()
        await taken.wait()
        async with asyncio.timeout(3):
            await line.connection.close()
            await line.keeping
        assert line.clients[0].is_closed() and not world.gateway.closes
        deaf.set()


async def test_it_can_be_left_while_it_waits_for_the_next_attempt() -> None:
    waiting = asyncio.Event()

    async def for_ever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with discord_there() as world:
        pass
    async with kept(world, for_ever) as line:
        await waiting.wait()
        async with asyncio.timeout(3):
            await line.connection.close()
        await line.keeping


async def test_it_can_be_left_while_it_is_being_let_in() -> None:
    async with discord_there() as world:
        world.gateway._take = lambda *_: asyncio.Event().wait()  # type: ignore[method-assign]
        async with kept(world) as line:
            await come_true(lambda: bool(world.gateway.live))
            async with asyncio.timeout(3):
                await line.connection.close()
            await line.keeping


async def test_whoever_cancels_it_leaves_with_a_goodbye_too() -> None:
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        line.keeping.cancel()
        await asyncio.wait({line.keeping})
        assert line.keeping.cancelled() and world.gateway.closes == [1000]


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_no_token_and_no_word_is_in_the_log_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("discord.http", "discord.gateway", "discord.webhook.async_"):
        caplog.set_level(logging.DEBUG, name)
    async with discord_there() as world, kept(world) as line:
        await come_true(lambda: line.connection.connected)
        await pings(world)
        assert TOKEN not in caplog.text and "pong" not in caplog.text
        assert all(one.token not in caplog.text for one in world.interactions)


def test_the_log_is_kept_clean_once_however_many_clients_there_were() -> None:
    for _ in range(3):
        keep_words_out_of_the_log()
    assert len(logging.getLogger("discord.http").filters) == 1


async def test_a_bug_in_an_event_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(Shell(), shard_count=1)
    words = "my secret note"
    try:
        raise ZeroDivisionError(words)
    except ZeroDivisionError:
        await client.on_error("on_interaction")
    assert "on_interaction: ZeroDivisionError" in caplog.text and "test_client.py" in caplog.text
    assert "secret" not in caplog.text
