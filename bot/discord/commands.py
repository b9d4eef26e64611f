"""The table of commands as Discord's own list, published only when it has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from bot.commands import COMMANDS, Command, help_line
from content.model import Voice

Payload: TypeAlias = list[dict[str, Any]]
"""As `PUT /applications/{application}/commands` takes it."""

LONGEST = 100
"""Of a description, in characters."""

_SUBCOMMAND, _STRING, _ROLE = 1, 3, 8
_GUILD, _BOT_DM = 0, 1
_INSTALLED_TO_GUILDS = 0


class Rest(Protocol):
    async def call(self, method: str, path: str, *, json: object = None, params: Mapping[str, str] | None = None,
                   **ids: str) -> Any: ...


class Memory(Protocol):
    async def published(self, application: str) -> str | None: ...

    async def keep_published(self, application: str, digest: str) -> None: ...


def payload(voice: Voice) -> Payload:
    """The names are the table's in every language; what the lines of help are written in is the localisation."""
    roots: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        name, _, part = command.name.partition(" ")
        own = {"description": _cut(help_line(command, voice.commands)), "options": _options(command, voice)}
        if not part:
            roots[name] = _root(name) | own
            continue
        # Nobody sees the description of a command that has parts, but Discord wants one.
        root = roots.setdefault(name, _root(name) | {"description": _cut(voice.commands.help), "options": []})
        root["options"].append({"type": _SUBCOMMAND, "name": part} | own)
    return list(roots.values())


def _root(name: str) -> dict[str, Any]:
    return {"type": 1, "name": name, "contexts": [_GUILD, _BOT_DM], "integration_types": [_INSTALLED_TO_GUILDS]}


def _options(command: Command, voice: Voice) -> list[dict[str, Any]]:
    match command.argument:
        case "":
            return []
        case "role":
            return [{"type": _ROLE, "name": "role", "description": "role", "required": False}]
        case "zone":
            described = voice.join_form.zone_label
        case described:
            pass
    return [{"type": _STRING, "name": command.argument, "description": _cut(described), "required": False,
             "autocomplete": True}]


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else line[:LONGEST - 1].rstrip() + "…"


def digest(published: Payload) -> str:
    """The same for the same list, on every machine."""
    return hashlib.sha256(json.dumps(published, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


async def publish(rest: Rest, memory: Memory, application: str, published: Payload) -> bool:
    """Whether it was needed: Discord takes 200 new commands a day, and shows a changed list only after a while.
    Raises what the call raises."""
    new = digest(published)
    if await memory.published(application) == new:
        return False
    await rest.call("PUT", "/applications/{application}/commands", json=published, application=application)
    await memory.keep_published(application, new)
    return True
