"""Our table of commands as Discord's list, and when it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.commands import COMMANDS, help_line
from bot.discord.commands import LONGEST, payload, publish
from bot.discord.rest import Rest
from content.model import Voice
from tests.bot.build import edition
from tests.emulators.discord import Discord
from tests.emulators.discord_rules import command_faults

VOICE: Voice = edition().voice
TOKEN, APPLICATION = "not.a.secret", "1100000000000000001"


@pytest.fixture
async def discord() -> AsyncIterator[Discord]:
    async with Discord(token=TOKEN, application_id=APPLICATION) as emulated:
        yield emulated


def named(list_: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in list_ if one["name"] == name)


def test_each_command_of_the_table_is_there_with_its_line_of_help_and_nothing_else() -> None:
    found: dict[str, str] = {}
    for root in payload(VOICE):
        parts = [one for one in root["options"] if one["type"] == 1]
        found |= {f"{root['name']} {part['name']}": part["description"] for part in parts} or \
            {root["name"]: root["description"]}
    assert found == {command.name: help_line(command, VOICE.commands) for command in COMMANDS}


def test_a_week_and_a_zone_are_completed_while_they_are_typed_and_a_role_is_picked() -> None:
    roots = payload(VOICE)
    cohort = named(roots, "cohort")["options"]
    assert [(one["type"], one["name"], one.get("autocomplete"), one["required"]) for one in (
        *named(roots, "checkin")["options"], *named(cohort, "join")["options"], *named(cohort, "open")["options"],
    )] == [(3, "week", True, False), (3, "zone", True, False), (8, "role", None, False)]
    assert named(roots, "progress")["options"] == []


def test_commands_work_in_servers_and_in_direct_messages_of_a_bot_that_a_server_has_installed() -> None:
    assert [(root["contexts"], root["integration_types"]) for root in payload(VOICE)] == [([0, 1], [0])] * 5


def test_discord_would_take_the_list() -> None:
    command_faults(payload(VOICE)).refuse()


def test_a_long_line_of_help_is_cut_to_what_discord_takes() -> None:
    commands = VOICE.commands.model_copy(update={"progress": "Where you stand, " * 9})
    described = named(payload(VOICE.model_copy(update={"commands": commands})), "progress")["description"]
    assert len(described) <= LONGEST
    assert described == ("Where you stand, " * 9)[:99].rstrip() + "…"


async def test_a_list_is_published_once_and_again_when_it_has_changed(discord: Discord) -> None:
    async with aiohttp.ClientSession() as session:
        rest, first = Rest(session, TOKEN, discord.api_url), payload(VOICE)
        assert [await publish(rest, APPLICATION, first) for _ in range(3)] == [True, False, False]
        assert await publish(rest, APPLICATION, first[1:])
        assert len(await rest.call("GET", "/applications/{it}/commands", it=APPLICATION)) == len(first) - 1


async def test_a_list_that_somebody_else_has_changed_is_put_right(discord: Discord) -> None:
    """A digest of what we sent last would not tell."""
    async with aiohttp.ClientSession() as session:
        rest, ours = Rest(session, TOKEN, discord.api_url), payload(VOICE)
        await publish(rest, APPLICATION, ours)
        await rest.call("PUT", "/applications/{it}/commands", it=APPLICATION, json=[])
        assert await publish(rest, APPLICATION, ours)
