"""What somebody types after the slash, and what they are told when it is nothing we know."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.refusals import UnknownCommand
from bot.commands import BY_NAME, COMMANDS, Command, help_line, parse, takes_turn
from content.model import Commands


@pytest.mark.parametrize(("typed", "name", "argument"), [
    ("checkin", "checkin", ""),
    ("/checkin", "checkin", ""),
    ("  /CheckIn   3 ", "checkin", "3"),
    ("checkin Week  3", "checkin", "Week 3"),
    ("cohort join", "cohort join", ""),
    ("/Cohort   REST  4", "cohort rest", "4"),
    ("cohort\tlog", "cohort log", ""),
    ("progress please", "progress", "please"),
])
def test_a_command_is_found_in_any_case_and_with_any_blanks(typed: str, name: str, argument: str) -> None:
    assert parse(typed) == (BY_NAME[name], argument)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_found_by_its_own_name_and_has_its_line_of_help(command: Command) -> None:
    words = Commands.model_validate({name: f"help for {name}" for name in Commands.model_fields})
    assert parse(f"/{command.name} 1") == (command, "1")
    assert takes_turn(f"/{command.name.upper()} 1") is command.in_turn
    assert help_line(command, words) == f"help for {command.help}"


def test_every_line_of_help_has_its_command() -> None:
    assert {command.help for command in COMMANDS} == set(Commands.model_fields)


@pytest.mark.parametrize(("typed", "given_", "nearest"), [
    ("chekin", "/chekin", "/checkin"),
    ("check-in", "/check-in", "/checkin"),
    ("Check in", "/Check", "/checkin"),
    ("progess", "/progess", "/progress"),
    ("board", "/board", "/leaderboard"),
    ("join", "/join", "/cohort join"),                  # Slack keeps /join and /leave for itself
    ("leave", "/leave", "/cohort leave"),
    ("rest 3", "/rest", "/cohort rest"),
    ("help", "/help", "/cohort help"),
    ("cohort", "/cohort", "/cohort help"),
    ("cohort jion", "/cohort jion", "/cohort join"),
    ("COHORT Setings now", "/COHORT Setings", "/cohort settings"),
    ("xyzzy", "/xyzzy", "/cohort help"),
    ("", "/", "/cohort help"),
    ("/ /", "//", "/cohort help"),
    ("x" * 99, "/" + "x" * 40, "/cohort help"),
])
def test_what_is_no_command_is_answered_with_the_nearest(typed: str, given_: str, nearest: str) -> None:
    """`/cohort` alone was answered with the organiser's log, which members may not read."""
    with pytest.raises(UnknownCommand) as refused:
        parse(typed)
    assert refused.value.values() == {"given": given_, "nearest": nearest}
    assert not takes_turn(typed)


@settings(max_examples=100)
@given(st.text())
def test_whatever_is_typed_is_a_command_or_is_told_of_one(typed: str) -> None:
    try:
        command, argument = parse(typed)
    except UnknownCommand as refused:
        command, argument = parse(refused.nearest)
        assert argument == ""
    assert command in COMMANDS
