"""`ninety run` in a process of its own, as an operator sees it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bot.discord.stage import stage
from tests.bot.process import ROOT
from tests.bot.slack.town import KINDS, Kind, free_port, town_of


async def asked(address: str, path: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}{path}") as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def ninety_run(environment: Mapping[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The real command, when it is ready; and the operator's address."""
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, **environment, "NINETY_PORT": str(free_port()), "NINETY_LOG": "json",
             "NINETY_LOG_LEVEL": "debug", "NINETY_OPERATOR_LISTEN": address})
    try:
        async with asyncio.timeout(60):
            await until_ready(f"http://{address}")
            yield process, f"http://{address}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until_ready(address: str) -> None:
    while True:
        with suppress(aiohttp.ClientConnectionError):
            if (await asked(address, "/readyz"))[0] == 200:
                return
        await asyncio.sleep(0.05)


async def measured(address: str, name: str, at_least: int = 0) -> dict[str, float]:
    """The values of a metric by their labels, with blanks between, when there are so many: who has been answered may
    be faster than the count of it."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{address}/metrics") as answer:
                page = await answer.text()
            found = {" ".join(sample.labels.values()): sample.value for family in text_string_to_metric_families(page)
                     for sample in family.samples if sample.name == name}
            if len(found) >= at_least:
                return found
            await asyncio.sleep(0.02)


async def test_ninety_run_tells_an_operator_all_of_it(database_url: str) -> None:
    async with ninety_run({"NINETY_DATABASE_URL": database_url}) as (process, address):
        assert await asked(address, "/healthz") == (200, {"ok": True, "reasons": []})
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in said.decode().splitlines()]
    assert f"Health and metrics are at {address}/healthz, /readyz and /metrics" in [line["message"] for line in lines]
    assert {key for line in lines for key in line} == {"time", "level", "logger", "message"}
    assert {datetime.fromisoformat(line["time"]).tzinfo for line in lines} == {UTC}


async def test_on_discord_it_is_ready_when_the_gateway_is_and_measures_what_people_do(tmp_path: Path) -> None:
    async with stage(tmp_path, datetime.now(UTC)) as town, ninety_run(town.environment) as (_, address):
        assert await measured(address, "ninety_connected") == {"discord": 1}
        (user,) = town.join("Ada")
        await town.discord.type(user, town.channel, "week")
        assert await measured(address, "ninety_interaction_seconds_count", 1) == {"week discord": 1}
        assert await measured(address, "ninety_answers_total") == {"week refused discord": 1}
        assert set(await measured(address, "ninety_rate_limit_wait_seconds_total")) == {"discord"}
        await town.discord.__aexit__(None, None, None)
        async with asyncio.timeout(10):
            while (await asked(address, "/readyz"))[0] == 200:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        assert await asked(address, "/readyz") == (503, {"ok": False, "reasons": ["discord is not connected"]})
        assert (await asked(address, "/healthz"))[0] == 200
        await town.discord.__aenter__()


@pytest.mark.parametrize("kind", KINDS)
async def test_on_slack_it_is_ready_when_it_listens_and_measures_what_people_do(tmp_path: Path, kind: Kind) -> None:
    async with town_of(tmp_path, datetime.now(UTC), kind) as town, ninety_run(town.environment) as (_, address):
        assert await measured(address, "ninety_connected") == {"slack": 1}
        await town.arrived()
        (user,) = town.join("Ada")
        await town.type(user, "/week")
        assert await measured(address, "ninety_interaction_seconds_count", 1) == {"week slack": 1}
        assert await measured(address, "ninety_answers_total") == {"week refused slack": 1}
        assert await measured(address, "ninety_rate_limited_total") == {"slack method": 0}


async def test_of_two_one_sends_and_both_are_ready(tmp_path: Path) -> None:
    """The other is not connected to Discord, which would hear of everything twice, and is ready all the same."""
    async with stage(tmp_path, datetime.now(UTC)) as town, ninety_run(town.environment) as (first, one), \
            ninety_run(town.environment) as (_, other):
        assert [await measured(address, "ninety_sends") for address in (one, other)] == [
            {"local": 1, "discord": 1}, {"local": 0, "discord": 0}]
        assert [await measured(address, "ninety_connected") for address in (one, other)] == [
            {"discord": 1}, {"discord": 0}]
        first.terminate()
        async with asyncio.timeout(30):
            while await measured(other, "ninety_connected") == {"discord": 0}:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        assert await measured(other, "ninety_sends") == {"local": 1, "discord": 1}
        assert await first.wait() == 0
