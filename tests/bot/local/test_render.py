"""Message → HTML, Form → form: what people type can only ever become text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.local import render
from bot.messages import (
    Board,
    BoardRow,
    Button,
    Checks,
    Choice,
    Fact,
    Facts,
    Form,
    Line,
    Link,
    Markdown,
    Message,
    Option,
    Paragraph,
    Plain,
    TaskLine,
    Tasks,
    When,
    fill,
    markdown,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b onmouseover=x>',
    "**bold** _it_ `code` # head",
    "[here](javascript:alert(1))",
    "[here](https://evil.example)",
    "https://evil.example www.evil.example me@evil.example",
    "@everyone <@123> <!channel> @here",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "- one\n- two\n\n    code",
    "&lt;b&gt; &#60;b&#62; &amp;",
    "\ue0000\ue001 \ue0001\ue001",
    "{name} {0} %s",
    "</bdi></p></article><h1>",
)


class Page(HTMLParser):
    """The tags of a piece of HTML, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_is_shown_as_they_typed_it(typed: str) -> None:
    page = Page(render.message(Message((Plain(typed),), ((Markdown("So says "), Plain(typed), Markdown(".")),))))
    assert set(page.tags) <= {"h3", "p", "bdi", "br"}
    assert page.attributes == []
    # The marks that stand for pieces are private characters of Unicode; in the words of people they stay what they are.
    assert page.text.count(typed.replace("\n", "")) == 2


@pytest.mark.parametrize("typed", HOSTILE)
def test_a_name_on_the_board_and_in_a_form_is_text(typed: str) -> None:
    board, plain = (Page(render.board(Board((BoardRow(1, name, 10, 1, True),), ("#", "Who", "P", "S"), "you")))
                    for name in (typed, "Mei"))
    assert [tag for tag in board.tags if tag != "br"] == plain.tags
    form = Page(render.form(Form("join", "", "Join", (Plain(typed),), (Line("name", "Name", "", typed),
                                                                     Paragraph("notes", "Notes", "", typed)), "Save")))
    assert {"script", "img", "b", "a", "h1"}.isdisjoint(form.tags)
    assert ("value", typed) in form.attributes
    assert typed in form.text


@given(st.text())
def test_no_text_ever_yields_a_tag(typed: str) -> None:
    """Inside every kind of Markdown that surrounds it."""
    for sentence in ("{name}", "**{name}**, week", "*{name}*", "`{name}`", "# {name}", "- {name}\n- b", "> {name}",
                     "a{name}b", "    {name}", "[{name}](https://example.org)", "{name}\n===", "<b>{name}</b>"):
        said = Message(body=(fill(sentence, name=typed),))
        neutral = Message(body=(fill(sentence, name="Mei"),))
        page, known = Page(render.message(said)), Page(render.message(neutral))
        assert [tag for tag in page.tags if tag != "br"] == known.tags
        assert page.attributes == known.attributes


@given(st.text())
def test_no_sentence_of_the_guide_yields_a_script(sentence: str) -> None:
    page = Page(render.block(markdown(sentence)))
    assert {"script", "img", "style", "iframe", "svg", "form"}.isdisjoint(page.tags)
    assert not [value for name, value in page.attributes
                if name.startswith("on") or (name == "href" and value and value.lower().startswith("javascript:"))]


def test_direction_overrides_are_taken_out_and_right_to_left_names_stay() -> None:
    """U+202E turns round everything after it; Arabic needs none of these characters."""
    assert render.typed("abc\u202egnp.exe\u2066\u2069") == "<bdi>abcgnp.exe</bdi>"
    assert render.typed("ليلى") == "<bdi>ليلى</bdi>"
    assert render.typed("a\x00b\x1b[31m") == "<bdi>ab[31m</bdi>"


def test_markup_around_a_placeholder_holds() -> None:
    assert render.block(fill("**{name}**, week *{number}*", name="a*b*", number=3)) == \
        "<p><strong><bdi>a*b*</bdi></strong>, week <em><bdi>3</bdi></em></p>"


def test_a_sentence_that_comes_again_is_drawn_with_the_words_of_its_own() -> None:
    """What the guide says is parsed once; what stands in it is another's each time."""
    for _ in range(2):
        for name in ("Ana", "<Bo>"):
            said = fill("**[{name}](https://a.example)**", name=name)
            assert render.block(said) == f"<p>{render.inline(said)}</p>" == (
                '<p><strong><a href="https://a.example" target="_blank" rel="noopener">'
                f"{render.typed(name)}</a></strong></p>")


def test_an_instant_is_readable_before_the_page_turns_it_into_the_readers_own() -> None:
    at = datetime(2026, 12, 6, 22, 59, tzinfo=UTC)
    assert render.when(When(at)) == ('<time datetime="2026-12-06T22:59:00Z" data-style="time">'
                                     "Sunday 6 December 2026, 22:59 (UTC)</time>")
    assert render.when(When(at, zone=ZoneInfo("Europe/Berlin"))) == (
        '<time datetime="2026-12-06T22:59:00Z" data-style="time" data-zone="Europe/Berlin">'
        "Sunday 6 December 2026, 23:59 (Europe/Berlin)</time>")


def test_a_day_is_the_day_of_its_own_zone() -> None:
    """Midnight in Berlin is the evening before in New York; the cohort begins on Monday for everybody."""
    begins = datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert render.when(When(begins, "day", ZoneInfo("Europe/Berlin"))) == (
        '<time datetime="2026-11-22T23:00:00Z" data-style="day" data-zone="Europe/Berlin">'
        "Monday 23 November 2026</time>")


def test_tasks_say_in_words_what_is_done() -> None:
    drawn = render.message(Message(body=(Tasks((
        TaskLine(markdown("Build *it*"), "2 h", True, True, "https://example.org/a?b&c"),
        TaskLine(markdown("Read"), "1 h", False, False, "javascript:alert(1)"),
        TaskLine(markdown("Rest"), "0 h", False),
    ), "must", "stretch"),)))
    assert drawn.count("<li") == 3
    assert '<li class="done-yes"><span class="do"><span class="unseen">Done: </span><a href="https://' in drawn
    assert '<span class="unseen">Open: </span><a>Read</a>' in drawn
    assert '<li class="done-none"><span class="do">Rest</span>' in drawn
    assert '<span class="weight must">must</span> <span class="hours">2 h</span>' in drawn


def test_a_board_is_a_table_with_a_caption_and_headings() -> None:
    drawn = render.message(Message(markdown("The **board**"), (Board((
        BoardRow(1, "Calm Otter", 30, 3), BoardRow(2, "Mei", 20, 1, True)),
        ("Place", "Name", "Points", "Streak"), "you"),)))
    assert "<caption>The board</caption>" in drawn
    assert re.findall(r'<th scope="col">(\w+)</th>', drawn) == ["Place", "Name", "Points", "Streak"]
    assert '<tr class=you><td>2</td><th scope="row"><bdi>Mei</bdi> <span class=mark-you>you</span></th>' in drawn


def test_facts_are_pairs() -> None:
    assert render.facts(Facts((Fact(markdown("Must tasks: 2"), (Plain("+10"),)), Fact(markdown("a\nb"))))) == (
        '<dl class="facts"><div><dt>Must tasks: 2</dt><dd><bdi>+10</bdi></dd></div>'
        "<div><dt>a<br />\nb</dt><dd></dd></div></dl>")


def test_buttons_type_commands_and_links_lead_away() -> None:
    drawn = render.message(Message(buttons=(
        Button("Check in", "checkin", "3", "primary"), Button("Join", "cohort join"),
        Link("Read", "https://example.org/?a&b"), Link("No", "javascript:x"))))
    assert drawn == (
        '<p class="buttons"><button type="button" class="primary" data-command="checkin" data-argument="3">Check in'
        '</button><button type="button" data-command="cohort join">Join</button>'
        '<a class="button" href="https://example.org/?a&amp;b" target="_blank" rel="noopener">Read</a>'
        '<a class="button">No</a></p>')


def test_a_refusal_can_be_told_apart() -> None:
    assert render.message(Message(body=(markdown("No."),), refused=True)) == '<div class="refused"><p>No.</p></div>'


def test_a_form_labels_and_describes_every_field() -> None:
    drawn = render.form(Form("check-in", "week-1", "Weekly", markdown("Week 1"), (
        Checks("tasks", "Done?", "Tick.",
               (Option("a", markdown("Read"), True, "must"), Option("b", markdown("Build")))),
        Line("hours", "Hours", "About.", "6.5", True, 10, numeric=True),
        Line("zone", "Zone", "", suggestions=("Europe/Berlin",)),
        Paragraph("notes", "Notes", "Short.", "\nfirst line empty", longest=50),
        Choice("sure", "Sure?", "", (Option("x", markdown("Lost")), Option("y", markdown("Sure"), True))),
        Choice("long", "Which?", "", tuple(Option(str(n), (Plain(str(n)),)) for n in range(9)), True),
    ), "Send"))
    page = Page(drawn)
    values = dict(page.attributes)
    assert (values["data-kind"], values["data-about"]) == ("check-in", "week-1")
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    described = {target for name, value in page.attributes if name == "aria-describedby"
                 for target in (value or "").split()}
    labelled = {value for name, value in page.attributes if name == "for"}
    assert described | labelled <= set(ids)
    assert "maxlength" not in drawn  # it would cut off what somebody pastes
    assert '<textarea id="field-notes" name="notes" rows="4" dir="auto" data-longest="50" ' in drawn
    assert ">\n\nfirst line empty</textarea>" in drawn
    assert 'value="a" checked' in drawn
    assert "No answer" in drawn
    assert drawn.count("<option ") == 1 + 9
    assert page.tags.count("legend") == 2


def test_pictures_are_not_fetched() -> None:
    assert "img" not in Page(render.block(markdown("![x](https://elsewhere.example/x.png)"))).tags


def test_what_people_write_keeps_its_lines() -> None:
    assert render.words("one\ntwo\n\n\nthree") == "<p><bdi>one<br>two</bdi></p><p><bdi>three</bdi></p>"
