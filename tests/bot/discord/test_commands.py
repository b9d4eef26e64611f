"""Our table of commands as Discord's list, and when it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.commands import COMMANDS, help_line
from bot.discord.commands import LONGEST, digest, payload, publish
from bot.discord.memory import Memory
from bot.store.database import Database
from content.model import Voice
from tests.bot.build import edition
from tests.emulators.discord_rules import command_faults

VOICE: Voice = edition().voice


class Rest:
    """Takes a list of commands as Discord does, or is down."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.commands: dict[str, object] = {}
        self.calls = 0

    async def call(self, method: str, path: str, *, json: object = None, params: Mapping[str, str] | None = None,
                   **ids: str) -> Any:
        assert (method, path) == ("PUT", "/applications/{application}/commands")
        self.calls += 1
        if self.down:
            raise ConnectionError
        assert isinstance(json, list)
        command_faults(json).refuse()
        self.commands[ids["application"]] = json
        return json


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


def test_the_digest_is_the_same_for_the_same_list_in_any_order_of_its_keys() -> None:
    turned = [dict(reversed(root.items())) for root in payload(VOICE)]
    assert digest(turned) == digest(payload(VOICE))
    assert digest(payload(VOICE)[1:]) != digest(payload(VOICE))


async def test_a_list_is_published_once_and_again_when_it_has_changed(database: Database) -> None:
    rest, memory, first = Rest(), Memory(database), payload(VOICE)
    assert [await publish(rest, memory, "7", first) for _ in range(3)] == [True, False, False]
    assert await publish(rest, memory, "7", first[1:])
    assert await publish(rest, memory, "8", first)
    assert (rest.calls, rest.commands) == (3, {"7": first[1:], "8": first})


async def test_a_list_that_discord_did_not_take_is_sent_again(database: Database) -> None:
    rest, memory = Rest(down=True), Memory(database)
    with pytest.raises(ConnectionError):
        await publish(rest, memory, "7", payload(VOICE))
    rest.down = False
    assert await publish(rest, memory, "7", payload(VOICE))
