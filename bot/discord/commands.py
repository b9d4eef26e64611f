"""The table of commands as Discord's own list, published only when it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from bot.commands import COMMANDS, Command, help_line
from bot.discord.rest import BadToken, Broken, Limited, Refused, Rest
from content.model import Voice

Payload: TypeAlias = list[dict[str, Any]]
"""As `PUT /applications/{application}/commands` takes it."""

log = logging.getLogger(__name__)

AGAIN = 60.0
"""Seconds until the commands are published again, after Discord did not take them."""
LONGEST = 100
"""Of a description, in characters."""

_SUBCOMMAND, _STRING, _ROLE = 1, 3, 8
_GUILD, _BOT_DM = 0, 1
_INSTALLED_TO_GUILDS = 0
_OF_DISCORD = ("id", "application_id", "version", "guild_id", "name_localized", "description_localized",
               # Deprecated, and follows from the contexts.
               "dm_permission")


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
             "autocomplete": command.argument in ("week", "zone")}]


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else line[:LONGEST - 1].rstrip() + "…"


def differences(registered: Iterable[Mapping[str, Any]], ours: Payload) -> list[str]:
    """The names of commands that are not as we would publish them, whichever side they are missing on."""
    theirs, wanted = ({command["name"]: _plain(command) for command in commands} for commands in (registered, ours))
    return sorted(name for name in theirs.keys() | wanted.keys() if theirs.get(name) != wanted.get(name))


def _plain(command: Mapping[str, Any]) -> dict[str, Any]:
    """Without what Discord adds: its ids, and defaults for what was left out."""
    plain: dict[str, Any] = {}
    for name, value in command.items():
        if name in ("contexts", "integration_types"):
            value = sorted(value or ())
        elif name == "options":
            value = [_plain(option) for option in value or ()]
        empty = value is None or value is False or value in ("", [], {})
        if not empty and name not in _OF_DISCORD and (name, value) != ("integration_types", [0]):
            plain[name] = value
    # Of an option it is always said; of a command 1, a slash command, goes without saying.
    return {"type": 1} | plain


async def publish(rest: Rest, application: str, ours: Payload) -> bool:
    """Whether it was needed: Discord takes 200 new commands a day, and shows a changed list only after a while.
    Raises what the call raises."""
    at = "/applications/{application}/commands"
    if not differences(await rest.call("GET", at, application=application), ours):
        return False
    await rest.call("PUT", at, json=ours, application=application)
    return True


class Publishing:
    """Publishes the commands when Discord answers."""

    def __init__(self, rest: Rest, voice: Voice, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._rest = rest
        self._voice = voice
        self._sleep = sleep
        self._asked_to_end = asyncio.Event()

    async def keep(self) -> None:
        """Until it is closed; what is published stays so."""
        work = asyncio.create_task(self._publish())
        try:
            await self._asked_to_end.wait()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def close(self) -> None:
        self._asked_to_end.set()

    async def _publish(self) -> None:
        while True:
            try:
                application = (await self._rest.call("GET", "/applications/@me"))["id"]
                await publish(self._rest, application, payload(self._voice))
                return
            except BadToken:
                return  # the line to the gateway says so, and ends everything
            except (Broken, Limited, Refused) as error:
                log.warning("The commands could not be published yet: %s", error)
                await self._sleep(AGAIN)
