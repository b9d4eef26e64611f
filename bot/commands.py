"""The one table of commands. Each platform makes its own native list from it; the help comes from the guide's voice."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import dataclass

from bot.cohort.refusals import UnknownCommand
from content.model import Commands


@dataclass(frozen=True)
class Command:
    name: str
    """As typed, without the slash. Two words where the second is a part of the first."""
    help: str
    """Which line of the guide's `voice.commands`."""
    argument: str = ""
    """What may follow, in one word; empty when nothing may. A role is one of Discord's, and nothing elsewhere."""
    organiser: bool = False
    in_turn: bool = False
    """It waits for its turn with those who check in, since it writes or reads at length."""


COMMANDS = (
    Command("checkin", "checkin", "week"),
    Command("week", "week", "week"),
    Command("progress", "progress"),
    Command("leaderboard", "leaderboard"),
    # Slack keeps /join and /leave for itself, so they are parts of /cohort everywhere.
    Command("cohort join", "join", "zone"),
    Command("cohort settings", "settings", "zone"),
    Command("cohort rest", "rest", "week", in_turn=True),
    Command("cohort leave", "leave", in_turn=True),
    Command("cohort link", "link", "code", in_turn=True),
    Command("cohort help", "help"),
    Command("cohort open", "open", "role", organiser=True),
    Command("cohort bridge", "bridge", "code", organiser=True, in_turn=True),
    Command("cohort log", "log", organiser=True, in_turn=True),
)
BY_NAME = {command.name: command for command in COMMANDS}


def help_line(command: Command, words: Commands) -> str:
    return str(getattr(words, command.help))


def parse(typed: str) -> tuple[Command, str]:
    """What somebody typed after the slash → (command, argument); raises UnknownCommand with the nearest one."""
    words = typed.strip().lstrip("/").split()
    for length in (2, 1):
        command = BY_NAME.get(" ".join(words[:length]).lower())
        if command is not None:
            return command, " ".join(words[length:])
    given, among = words[0] if words else "", list(BY_NAME)
    if given.lower() == "cohort":
        given = " ".join(words[:2])
        # For the bare word the help: the likeliest by its letters would be the organiser's log.
        among = [name for name in BY_NAME if name.startswith("cohort ")] if len(words) > 1 else []
    nearest = difflib.get_close_matches(given.lower(), among, 1, 0.4) or ["cohort help"]
    raise UnknownCommand(f"/{given[:40]}", f"/{nearest[0]}")


def takes_turn(typed: str) -> bool:
    """What is no command does not."""
    with suppress(UnknownCommand):
        return parse(typed)[0].in_turn
    return False
