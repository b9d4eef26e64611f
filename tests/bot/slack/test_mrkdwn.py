"""Text → mrkdwn: what people type can only ever become text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Markdown, Mention, Plain, Text, When, fill, markdown
from bot.slack import mrkdwn
from tests.bot.slack.rules import reading, units

HOSTILE = (
    "<!channel> <!here|x> <!everyone> <!subteam^S1> <!date^1^{date}|x>",
    "<@U1> <#C1> <https://evil.example|bank> <mailto:me@evil.example>",
    "@here @channel @everyone #general",
    "https://evil.example www.evil.example me@evil.example evil.example HTTP://1.2.3.4/",
    "*b* _i_ ~s~ `c` ```p```",
    "*_~`b`~_*",
    "(*b*) [_i_] \"~s~\" ,*b*, \u200b*b*\u200b é*b*é 中*b*中",
    "a*b*c a_b_c 2*3*4 total_ms __x__ _ _",
    "> quote",
    ">>> quote",
    "&lt;!channel&gt; &amp;lt; &#60;",
    ":fire: :+1::skin-tone-2: 12:30:45",
    "\ue0000\ue001 \ue0001\ue001 &#xe000;7&#xe001;",
    "[here](https://evil.example) **b** ![x](y) # h",
    "- one",
    "{name} %s \\*b\\* |",
    "\u202egnp.exe ليلى *b* שלום",
    "👩‍👩‍👧‍👦" * 8,
)
SENTENCES = (
    "{name}", "a{name}b", "**{name}**, {unit} 3", "*{name}*", "~~{name}~~", "***{name}***", "*a **{name}** b*",
    "`{name}`", "# {name}", "- {name}\n- b", "> {name}", "1. {name}\n   - {name}", "    {name}", "```\n{name}\n```",
    "[{name}](https://example.org)", "**[{name}](https://example.org)**", "({name}) \"{name}\"", "{name}\n===",
    "*{name} and {name}*", "`/x {name}` then `{name}`", "**a**{name}**b**", "x_{name}_ y*{name}* `", "a  \n{name}",
)


def _filled(sentence: str, name: str) -> Text:
    return fill(sentence, name=name, unit="week")


def _check_nothing_but_words(sentence: str, typed: str) -> None:
    """The text has the markup that it has around any other name."""
    said = "\n".join(mrkdwn.lines(_filled(sentence, typed)))
    one, known = reading(said), reading("\n".join(mrkdwn.lines(_filled(sentence, "Mei"))))
    assert one.kinds <= known.kinds
    assert (one.mentions, one.specials, one.automatic) == ([], [], [])
    assert set(one.links) <= set(known.links)
    rows = said.count("\n") + 1
    assert len(one.styles) <= len(known.styles) * rows


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_is_never_markup(sentence: str, typed: str) -> None:
    _check_nothing_but_words(sentence, typed)
    _check_nothing_but_words(sentence, f"{typed}\n{typed}")


@given(st.sampled_from(SENTENCES), st.text(
    st.one_of(st.sampled_from("*_~`<>&|:@#./!^ \n\u200bab1é\u2068\ue000\ue001ل"), st.characters())))
def test_no_text_at_all_is_ever_markup(sentence: str, typed: str) -> None:
    _check_nothing_but_words(sentence, typed)


@given(st.lists(st.one_of(
    st.text("*_~`<>&:/.@ab ", max_size=4).map(Plain), st.sampled_from("*_~`<>&a ").map(Markdown)), max_size=8))
def test_pieces_side_by_side_make_no_link_or_mention_of_what_was_typed(pieces: list[Plain | Markdown]) -> None:
    one = reading("\n".join(mrkdwn.lines(tuple(pieces))))
    assert (one.links, one.mentions, one.specials) == ([], [], [])
    assert not [found for found in one.automatic if "://" in found]


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_is_read_as_they_typed_it(typed: str) -> None:
    """Marks are exchanged for signs that look alike, and nothing else changes that can be seen."""
    seen = typed.replace("\u202e", "").replace("\u200b", "")
    assert reading("\n".join(mrkdwn.lines((Plain(typed),)))).words == seen
    assert reading("\n".join(mrkdwn.lines(fill("So **{name}** says.", name=typed)))).words == f"So {seen} says."


@given(st.text())
def test_no_sentence_of_the_guide_calls_anybody(sentence: str) -> None:
    one = reading("\n".join(mrkdwn.lines(markdown(sentence))))
    assert (one.mentions, one.specials) == ([], [])


@pytest.mark.parametrize(("sentence", "drawn"), [
    ("**bold** *italic* ~~struck~~ `code`", "*bold* _italic_ ~struck~ `code`"),
    ("***both*** *a **b** c*", "*_both_* _a_ *_b_* _c_"),
    ("**{name}**, week *{number}*", "*a\u2217b\u2217*, week _3_"),
    ("in**side**word", "in\u200b*side*\u200bword"),
    ("(**a**) **b**.", "(*a*) *b*."),
    ("`a*b` and `` a`b ``", "`a*b` and `a\u02cbb`"),
    ("[text](https://example.org/?a=1&b=2)", "<https://example.org/?a=1&amp;b=2|text>"),
    ("**[text](https://example.org)** <https://example.org/x>",
     "*<https://example.org|text>* <https://example.org/x|https://example.org/x>"),
    ("[run](javascript:alert(1)) [path](/here)", "[run](javascript:alert(1)) path"),
    ("[a|b](https://example.org/a|b)", "<https://example.org/a%7Cb|a|b>"),
    ("# Head\n\nText\nflows.\n\nMore.", "*Head*\nText flows.\n\nMore."),
    ("- one\n- two\n  1. in\n  2. in\n- three", "• one\n• two\n    1. in\n    2. in\n• three"),
    ("3. three\n4. four", "3. three\n4. four"),
    ("> quoted\n> **too**\n\nnot", "> quoted *too*\n\nnot"),
    ("```\na * < b\n\n  `c`\n```", "```\na * &lt; b\n\n  \u02cbc\u02cb\n```"),
    ("a\n\n---\n\nb", "a\n\n———\n\nb"),
    ("5 < 6 & 7 > 2, 2 * 3, ~5, a_b, _ _", "5 &lt; 6 &amp; 7 &gt; 2, 2 \u2217 3, \u223c5, a_b, \u02cd \u02cd"),
    ("hard  \nbreak", "hard\nbreak"),
    ("![picture](https://elsewhere.example/x.png)", "!<https://elsewhere.example/x.png|picture>"),
    ("<b>no</b>", "&lt;b&gt;no&lt;/b&gt;"),
    ("", ""),
])
def test_markdown_becomes_mrkdwn(sentence: str, drawn: str) -> None:
    assert "\n".join(mrkdwn.lines(fill(sentence, name="a*b*", number=3))) == drawn


def test_bold_that_is_blank_or_has_several_lines_leaves_no_stars() -> None:
    """Slack's bold ends with its line, and does not begin before a blank."""
    assert mrkdwn.lines(fill("a **{name}** b", name=" ")) == ["a   b"]
    assert mrkdwn.lines(fill("**{name}**", name="one\ntwo ")) == ["*one*", "*two*"]
    assert mrkdwn.lines(fill("a**{name}**b", name=" x ")) == ["a *x* b"]


def test_an_instant_is_the_readers_own_and_readable_without_slack() -> None:
    at = datetime(2026, 12, 6, 22, 59, tzinfo=UTC)
    assert mrkdwn.lines((Markdown("Until **"), When(at, zone=ZoneInfo("Europe/Berlin")), Markdown("**."))) == [
        "Until *<!date^1796597940^{date_long_pretty} at {time}|Sunday 6 December 2026, 23:59 (Europe/Berlin)>*."]
    assert mrkdwn.lines((When(at),), bare=True) == ["Sunday 6 December 2026, 22:59 (UTC)"]
    assert mrkdwn.lines((When(at, zone=timezone(timedelta(hours=2), "<&>")),)) == [
        "<!date^1796597940^{date_long_pretty} at {time}|Monday 7 December 2026, 00:59 (&lt;&amp;&gt;)>"]


def test_a_day_is_the_day_of_its_own_zone() -> None:
    """Midnight in Berlin is the evening before in New York; the cohort begins on Monday for everybody."""
    begins = datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert mrkdwn.lines((When(begins, "day", ZoneInfo("Europe/Berlin")),)) == ["Monday 23 November 2026"]


def test_a_date_in_code_is_told_in_words_and_one_in_a_link_leaves_it() -> None:
    at = When(datetime(2026, 1, 1, tzinfo=UTC))
    assert mrkdwn.lines((Markdown("`"), at, Markdown("`"))) == ["Thursday 1 January 2026, 00:00 (UTC)"]
    assert mrkdwn.lines((Markdown("[see "), at, Markdown(" here](https://a.example)"))) == [
        "<https://a.example|see> <!date^1767225600^{date_long_pretty} at {time}|Thursday 1 January 2026, 00:00 (UTC)> "
        "<https://a.example|here>"]


def test_a_mention_calls_that_person_and_nobody_else() -> None:
    called = Mention("U012AB3CD", "Ada <!channel>")
    assert mrkdwn.lines((Markdown("**"), called, Markdown("**, come"))) == ["*<@U012AB3CD>*, come"]
    assert mrkdwn.lines((Markdown("`"), called, Markdown("`"))) == ["<@U012AB3CD>"]
    assert mrkdwn.lines((called,), bare=True) == ["<@U012AB3CD>"]
    assert mrkdwn.lines((Mention("!channel", "Ada <@U1>"),)) == ["Ada &lt;@\u200bU1&gt;"]
    assert mrkdwn.words(mrkdwn.inline((called,))) == "Ada <!channel>"


def test_direction_overrides_are_taken_out_and_right_to_left_names_kept_apart() -> None:
    """U+202E turns round everything after it; Arabic needs none of these characters."""
    assert mrkdwn.lines((Plain("abc\u202egnp.exe\u2066\u2069\x00"),)) == ["abcgnp.\u200bexe"]
    assert mrkdwn.lines(fill("*{name}*: 3", name="ليلى")) == ["_\u2068ليلى\u2069_: 3"]


@given(st.sampled_from(SENTENCES), st.text(max_size=12),
       st.integers(1, 600), st.integers(40, 3000))
def test_lines_are_no_longer_than_allowed_and_lose_nothing(sentence: str, name: str, times: int, longest: int) -> None:
    said = _filled(sentence, f"{name} " * times)
    drawn = mrkdwn.lines(said, longest)
    assert all(units(line) <= longest for line in drawn)
    whole = mrkdwn.lines(said, 10**9)
    assert _letters(drawn) == _letters(whole)


def _letters(drawn: list[str]) -> str:
    words = "".join(reading("\n".join(drawn)).words.split())
    return words.replace("```", "").translate({ord(sign): None for sign in "*_~`"})


def test_a_broken_line_stays_bold() -> None:
    drawn = mrkdwn.lines(fill("**{name}**", name="word " * 50), 100)
    assert len(drawn) > 2
    assert all(line.startswith("*word") and line.endswith("word*") for line in drawn)


def test_what_is_cut_is_cut_between_what_belongs_together() -> None:
    assert mrkdwn.clipped("a & b", 9) == "a &amp; b"
    assert mrkdwn.clipped("a & b", 8) == "a &amp;…"
    assert mrkdwn.clipped("a & b", 6) == "a…"
    family = "👩‍👩‍👧"
    assert mrkdwn.cut(f"ab{family}{family}", 2 * units(family)) == f"ab{family}…"
    assert mrkdwn.cut("e\u0301e\u0301e\u0301", 4) == "e\u0301…"
