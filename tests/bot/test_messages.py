"""Sentences of the guide filled with what members typed, which never becomes markup."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.messages import (
    Button,
    Fact,
    Facts,
    Markdown,
    Message,
    Plain,
    Text,
    When,
    fill,
    local,
    markdown,
    plain,
    say,
    typed,
    wall_clock,
)
from content.model import Say

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
AT = datetime(2026, 12, 6, 22, 59, tzinfo=UTC)
calm = settings(max_examples=100)
any_text = st.one_of(st.text(), st.text("{}!:[]()@*_`<>&\\ ab\n", max_size=20))


# --- filling ----------------------------------------------------------------------------------------------------------


def test_the_guides_words_are_markdown_and_the_members_are_plain() -> None:
    assert fill("**{name}** has {points} points.", name="*Ana*", points=3) == (
        Markdown("**"), Plain("*Ana*"), Markdown("** has "), Plain("3"), Markdown(" points."))


def test_instants_and_markdown_of_the_guide_stay_what_they_are() -> None:
    assert fill("{goal} by {closes}", goal=Markdown("*It*"), closes=When(AT)) == (
        Markdown("*It*"), Markdown(" by "), When(AT))


def test_citations_are_for_the_site_and_not_for_the_chat() -> None:
    assert fill("Costs rise [@wrok]. {name} [@wrok]", name="[@wrok]") == (
        Markdown("Costs rise. "), Plain("[@wrok]"))
    assert markdown("Costs rise [@wrok].") == (Markdown("Costs rise."),)


def test_a_placeholder_without_a_value_is_a_bug_and_not_a_gap() -> None:
    with pytest.raises(KeyError, match="name"):
        fill("Hello {name}")


def test_doubled_braces_are_braces() -> None:
    assert plain(fill("{{x}} {n}", n=1), UTC) == "{x} 1"


@calm
@given(any_text, any_text)
def test_what_was_typed_stays_plain_and_whole_whatever_it_holds(name: str, link: str) -> None:
    """A name such as `{points}` or `[x](https://…)` must neither be filled nor drawn."""
    assert fill("*{name}*: {link}", name=name, link=link) == (
        Markdown("*"), Plain(name), Markdown("*: "), Plain(link))


def test_a_message_leaves_out_the_parts_that_are_empty() -> None:
    facts = Facts((Fact(markdown("one")),))
    assert say(Say(title="Hello {name}", body="You are {name}."), (), facts, (), name="Ana") == Message(
        (Markdown("Hello "), Plain("Ana")), ((Markdown("You are "), Plain("Ana"), Markdown(".")), facts))
    assert say(Say(body="Hello")) == Message((), (markdown("Hello"),))


def test_a_message_offers_the_buttons_that_there_are() -> None:
    button = Button("Join", "cohort join")
    assert Message().offering(None, button, None) == Message(buttons=(button,))


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answers", "text"), [
    ({}, ""), ({"notes": ()}, ""), ({"notes": ("",)}, ""), ({"notes": ("  two\nlines \n",)}, "two\nlines"),
    ({"notes": ("nul\x00 and half a \ud83d pair",)}, "nul and half a  pair"),
])
def test_a_field_is_its_text_without_the_blanks_around_it(answers: dict[str, tuple[str, ...]], text: str) -> None:
    assert typed(answers, "notes") == text


@calm
@given(st.text(st.characters(exclude_categories=())))
def test_whatever_was_typed_can_be_saved(given_: str) -> None:
    """Half an emoji, cut by a form at its longest, is valid JSON and no UTF-8: the note would be lost in saving it."""
    kept = typed({"notes": (given_,)}, "notes")
    assert "\x00" not in kept.encode().decode()


# --- showing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "shown"), [
    (markdown("**Bold**, *slanted*, _slanted_ and `code`"), "Bold, slanted, slanted and code"),
    (markdown("[the guide](https://example.org/a_b) says"), "the guide says"),
    (markdown("write `total_ms` and MAX_TOKENS"), "write total_ms and MAX_TOKENS"),
    (fill("_{name}_ and **{name}**", name="*_`[a](b)"), "*_`[a](b) and *_`[a](b)"),
    (fill("until {at}", at=When(AT)), "until Sunday 6 December 2026, 23:59"),
    ((), ""),
])
def test_plain_text_has_no_markup_but_the_members_own(text: Text, shown: str) -> None:
    assert plain(text, BERLIN) == shown


@calm
@given(any_text)
def test_what_was_typed_is_shown_to_the_letter(name: str) -> None:
    assert plain(fill("*{name}*", name=name), UTC) == name


def test_an_instant_is_told_in_the_zone_that_is_meant_and_else_in_the_readers() -> None:
    assert local(When(AT), BERLIN) == "Sunday 6 December 2026, 23:59"
    assert local(When(AT, zone=TOKYO), BERLIN) == "Monday 7 December 2026, 07:59"
    assert local(When(AT, "day", TOKYO), BERLIN) == "Monday 7 December 2026"
    assert local(When(AT, "day"), BERLIN) == "Sunday 6 December 2026"


def test_a_clock_on_the_wall_shows_the_hour_of_its_zone() -> None:
    assert wall_clock(AT, TOKYO) == "Monday 7 December 2026, 07:59"
