"""Who asks whether it is alive or ready gets the truth, with reasons, and soon."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection

from bot import cli
from bot.app import running
from bot.health import Health, operator
from bot.ledger import Delivery, Lane, State
from bot.messages import DeliveryKey
from bot.metrics import Metrics
from bot.settings import BadSettings, Settings
from bot.store.database import Database
from content.model import PostKind
from scheduler.clock import RealClock, VirtualClock
from tests.bot.build import OPENED, ROOM, guide
from tests.bot.slack.town import free_port

T = TypeVar("T")
LANE = Lane("discord", True)


@pytest.fixture
def durable(database_url: str) -> Iterator[Database]:
    """One that works in a thread of its own, as `ninety run` has it."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def seconds() -> list[float]:
    return [0.0]


@pytest.fixture
def health(seconds: list[float]) -> Health:
    return Health(lambda: seconds[0])


async def asked(address: str, path: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}{path}") as answer:
        return answer.status, await answer.json()


# --- alive ------------------------------------------------------------------------------------------------------------


async def test_it_is_alive_while_each_pulse_ticks(health: Health, seconds: list[float]) -> None:
    async def tick(now: datetime) -> datetime | None:
        return now

    ticked = health.pulse(LANE, tick)
    health.pulse(Lane("local", False), tick)
    seconds[0] = 119
    assert health.sick() == []
    assert await ticked(OPENED) == OPENED
    seconds[0] = 121
    assert health.sick() == ["the pulse of local (room) has been silent for 121 s"]
    seconds[0] = 240
    assert health.sick() == ["the pulse of discord (people) has been silent for 121 s",
                             "the pulse of local (room) has been silent for 240 s"]


async def test_a_tick_that_fails_is_a_sign_of_life(health: Health, seconds: list[float]) -> None:
    """The database may be down for long, and to start us again would not mend it."""
    async def tick(now: datetime) -> datetime | None:
        seconds[0] += 100
        raise OSError

    ticked = health.pulse(LANE, tick)
    for _ in range(3):
        with pytest.raises(OSError):
            await ticked(OPENED)
    assert health.sick() == []


async def test_a_long_tick_lives_by_what_it_delivers(health: Health, seconds: list[float]) -> None:
    """Three thousand reminders take an hour."""
    heard: list[State] = []
    tell = health.telling(lambda delivery, state, at: heard.append(state))

    async def tick(now: datetime) -> datetime | None:
        for _ in range(10):
            seconds[0] += 100
            tell(Delivery(DeliveryKey("k"), 1, PostKind.NUDGE, None, None, now, now, LANE),  # type: ignore[arg-type]
                 State.SENT, now)
            assert health.sick() == []
        seconds[0] += 121
        assert len(health.sick()) == 1
        return None

    await health.pulse(LANE, tick)(OPENED)
    assert heard == [State.SENT] * 10
    assert health.sick() == []


# --- ready ------------------------------------------------------------------------------------------------------------


async def test_it_is_ready_when_the_database_answers_and_every_platform_is_connected(health: Health,
                                                                                     durable: Database) -> None:
    up = {"discord": False, "slack": True}
    assert await health.unready() == ["it is starting"]
    for platform in up:
        health.connection(platform, lambda platform=platform: up[platform])  # type: ignore[misc]
    health.begin(durable, RealClock())
    assert await health.unready() == ["discord is not connected"]
    up |= {"discord": True, "slack": False}
    assert await health.unready() == ["slack is not connected"]
    up["slack"] = True
    assert await health.unready() == []
    health.leave()
    assert await health.unready() == ["it is stopping"]


class Counting(Database):
    """How often it was asked."""

    asked = 0

    async def run(self, work: Callable[[Connection], T], *, reads: bool = False,
                  meanwhile: Callable[[T], object] | None = None) -> T:
        self.asked += 1
        return await super().run(work, reads=reads, meanwhile=meanwhile)


async def test_a_database_that_stalls_is_asked_once_and_not_ready(health: Health, database_url: str,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question would wait in the queue before the members'."""
    monkeypatch.setattr("bot.health.ANSWERS", 0.05)
    database = Counting(database_url)
    try:
        health.begin(database, RealClock())
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(4):
                assert await health.unready() == ["the database does not answer"]
                assert await health.backlog() == []
            assert database.asked == 1
            other.execute("ROLLBACK")
        async with asyncio.timeout(10):
            while await health.unready():  # noqa: ASYNC110  # it asks the database anew each time
                await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(database.close)


async def test_a_database_that_says_no_is_not_ready(health: Health, database_url: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.database.BUSY", 0.01)
    database = Database(database_url)
    try:
        health.begin(database, RealClock())
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await health.unready() == ["the database does not answer"]
        assert await health.unready() == []
    finally:
        await asyncio.to_thread(database.close)


# --- the address ------------------------------------------------------------------------------------------------------


async def test_the_answers_are_json_with_reasons(health: Health, seconds: list[float], durable: Database) -> None:
    async def tick(now: datetime) -> datetime | None:
        return None

    health.pulse(LANE, tick)
    async with operator("127.0.0.1:0", health, Metrics()) as address:
        assert await asked(address, "/healthz") == (200, {"ok": True, "reasons": []})
        assert await asked(address, "/readyz") == (503, {"ok": False, "reasons": ["it is starting"]})
        health.begin(durable, RealClock())
        assert await asked(address, "/readyz") == (200, {"ok": True, "reasons": []})
        seconds[0] = 500
        assert await asked(address, "/healthz") == (503, {
            "ok": False, "reasons": ["the pulse of discord (people) has been silent for 500 s"]})


async def test_a_taken_address_is_told_with_the_cure(health: Health) -> None:
    async with operator("127.0.0.1:0", health, Metrics()) as address:
        taken = address.removeprefix("http://")
        with pytest.raises(BadSettings) as refused:
            async with operator(taken, health, Metrics()):
                raise AssertionError("unreachable")
    assert str(refused.value).startswith(f"NINETY_OPERATOR_LISTEN: cannot listen at {taken} (")
    assert str(refused.value).endswith("set another HOST:PORT, or nothing to do without health and metrics")


async def test_a_port_that_is_none_is_refused(health: Health) -> None:
    with pytest.raises(BadSettings, match=r"cannot listen at 127\.0\.0\.1:70000"):
        async with operator("127.0.0.1:70000", health, Metrics()):
            raise AssertionError("unreachable")


async def test_without_an_address_nothing_is_served(health: Health) -> None:
    async with operator("", health, Metrics()) as address:
        assert address == ""


@pytest.mark.parametrize(("listen", "taken"), [
    ("", True), ("0.0.0.0:80", True), ("[::1]:8092", True), ("box:1", True), ("8092", False), (":8092", False),
    ("a b:1", False)])
def test_an_address_is_host_and_port_or_nothing(monkeypatch: pytest.MonkeyPatch, listen: str, taken: bool) -> None:
    monkeypatch.setenv("NINETY_OPERATOR_LISTEN", listen)
    if taken:
        assert Settings().operator_listen == listen
    else:
        with pytest.raises(ValueError, match="operator_listen"):
            Settings()


# --- the whole --------------------------------------------------------------------------------------------------------


async def test_the_whole_bot_is_ready_while_it_runs_and_measured(database_url: str, monkeypatch: pytest.MonkeyPatch,
                                                                 tmp_path: Path) -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    health, metrics = Health(), Metrics()
    async with operator("127.0.0.1:0", health, metrics) as address:
        async with running(Settings(), guide(), ROOM, ["ada"], VirtualClock(OPENED), metrics=metrics,
                           health=health) as ninety:
            for ticker in ninety.tickers:
                await ticker.settled()
            assert await asked(address, "/readyz") == (200, {"ok": True, "reasons": []})
            async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
                page = await answer.text()
                assert (answer.status, answer.content_type) == (200, "text/plain")
        assert await asked(address, "/readyz") == (503, {"ok": False, "reasons": ["it is stopping"]})
        assert await asked(address, "/healthz") == (200, {"ok": True, "reasons": []})
    found = {(sample.name, sample.labels.get("lane")): sample.value
             for family in text_string_to_metric_families(page) for sample in family.samples}
    assert found["ninety_deliveries_owed", "room"] == found["ninety_deliveries_owed", "people"] == 0
    assert found["ninety_transaction_seconds_count", None] >= 4


async def test_who_stops_is_unready_before_anything_is_closed() -> None:
    """So that nobody sends here any more what could not be finished."""
    health, reasons = Health(), list[list[str]]()

    async def closing_down(_: web.Application) -> None:
        reasons.append(await health.unready())

    application = web.Application()
    application.on_shutdown.append(closing_down)
    ended = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    loop = asyncio.get_running_loop()
    try:
        await cli._serve(application, free_port(), "", [ended], health.leave)
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)
    assert reasons == [["it is stopping"]]
