"""Message → Discord's components, Form → a modal: within every limit, and what people type can only ever become text.

`Reader` is a model of the Markdown that Discord's clients read, after the rules of their parser; the payloads are
checked against Discord's own specification, and against those of its rules that stand nowhere in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from discord.utils import TIMESTAMP_PATTERN
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.cohort.refusals import Refused
from bot.desk import Caller, Desk, open_cohort, refusal
from bot.discord import render
from bot.discord.render import Payload, Pressed, Submitted
from bot.herald import Site, compose
from bot.ledger import Account, RequestId, Room, Transaction
from bot.messages import (
    Answers,
    Board,
    BoardRow,
    Button,
    Checks,
    Choice,
    DeliveryKey,
    Fact,
    Facts,
    Field,
    Form,
    Line,
    Link,
    Markdown,
    Mention,
    Message,
    Option,
    Paragraph,
    Part,
    Piece,
    Plain,
    TaskLine,
    Tasks,
    Text,
    When,
    fill,
    markdown,
    tag,
)
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import load
from content.model import Guide, PostKind

ROOT = Path(__file__).parents[3]
SPECIFICATION = Path(os.environ.get("NINETY_DISCORD_OPENAPI") or ROOT.parent / "shared" / "discord-openapi.json")
BERLIN, BOSTON = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
KEY = DeliveryKey("1:week-1:week_opens")
AT = datetime(2026, 12, 6, 22, 59, tzinfo=UTC)
calm = settings(max_examples=40)

FAMILY = "👨‍👩‍👧‍👦"  # four people, three joiners
HOSTILE = (
    "**bold** _it_ __under__ ~~gone~~ `code` ||spoiler|| ```block```",
    "# head", "### head", "-# small", "- item", "* item", "1. item", "> quote", ">>> quote",
    "@everyone @here <@123456789012345678> <@!1> <@&1> <#1> </leave:1> <id:customize>",
    "<t:1> <t:1:R> <:evil:123456789012345678> <a:evil:1> :smile: 12:30:45",
    "https://evil.example http://evil.example <https://evil.example> steam://run discord.gg/evil me@evil.example",
    "[here](https://evil.example) ](https://evil.example) [x](<https://evil.example>)",
    "\\", "\\\\*a*", "`", "``", "\\`", "*", "**", "_", "[", "](", "||", "a*", "*a",
    "one\ntwo\r\n# three\u2028- four\x85> five",
    "abc\u202egnp.exe\u2066\u2067", "ليلى **x**", "\u202e[ליאור](https://evil.example)",
    "\ue0000\ue001 \ue0009\ue001", "&lt;@1&gt; &#64;everyone &#xe000;0&#xe001;", FAMILY * 8, "🇩🇪" * 16,
)
SENTENCES = ("{name}", "**{name}**, week", "*{name}*", "***{name}*** x", "# {name}", "- {name}\n- b", "1. {name}",
             "> {name}", "a{name}b", "[{name}](https://example.org)", "[**{name}**](https://example.org) c",
             "<b>{name}</b>", "{name}. x", "x *{name}***{name}**")
typed_text = st.one_of(st.text(), st.text("*_~`|<>[]()#-+@:/\\!&;. \n1at0123", max_size=40), st.sampled_from(HOSTILE),
                       st.lists(st.sampled_from(HOSTILE), max_size=3).map(" ".join))


# --- Discord's Markdown, as its clients read it -----------------------------------------------------------------------


RULES: tuple[tuple[str, str, bool], ...] = (
    # name, pattern (what is inside of it in the group `in`), only at the start of a line
    ("heading", r"#{1,3} +(?P<in>[^\n]*)", True),
    ("small", r"-# +(?P<in>[^\n]*)", True),
    ("quote", r"> (?P<in>[^\n]*)|>>> (?P<_in>[\s\S]*)", True),
    ("item", r" *(?:[-*]|\d+\.) (?P<in>[^\n]*)", True),
    ("block", r"```[\s\S]+?```", False),
    ("escape", r"\\(?P<text>[^0-9A-Za-z\s])", False),
    ("address", r"<[^: >]+:/[^ >]+>", False),
    ("address", r"(?:https?|steam|discord)://[^\s<]+[^<.,:;\"'\]\s]", False),
    ("link", r"\[(?P<in>(?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]\(\s*<?(?:\([^)]*\)|[^\s\\]|\\.)*?>?\s*\)", False),
    ("mention", r"<@[!&]?\d+>|<#\d+>|</[^:>]+:\d+>|<id:\w+>|@everyone|@here", False),
    ("instant", TIMESTAMP_PATTERN.pattern, False),
    ("emoji", r"<a?:\w+:\d+>|:[^\s:]+:", False),
    ("bold", r"\*\*(?P<in>(?:\\[\s\S]|[^\\])+?)\*\*(?!\*)", False),
    ("italic", r"\*(?=\S)(?P<in>(?:\*\*|\\[\s\S]|\s+(?:\\[\s\S]|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)", False),
    ("underlined", r"__(?P<in>(?:\\[\s\S]|[^\\])+?)__(?!_)", False),
    ("italic", r"\b_(?P<in>(?:__|\\[\s\S]|[^\\_])+?)_\b", False),
    ("struck", r"~~(?P<in>[\s\S]+?)~~(?!_)", False),
    ("code", r"(?P<tick>`+)(?:[\s\S]*?[^`])(?P=tick)(?!`)", False),
    ("spoiler", r"\|\|(?P<in>[\s\S]+?)\|\|", False),
)
COMPILED = tuple((name, re.compile(pattern), start) for name, pattern, start in RULES)


class Reader:
    """`shape`: the marks that are read, as nested names; `text`: the rest."""

    def __init__(self, source: str, lines: bool = True) -> None:
        self.shape: list[Any] = []
        self.text = ""
        position = 0
        while position < len(source):
            start = lines and (position == 0 or source[position - 1] == "\n")
            read = ((name, found) for name, pattern, only_there in COMPILED
                    if (start or not only_there) and (found := pattern.match(source, position)))
            name, found = next(read, ("", None))
            if found is None:
                self.text += source[position]
                position += 1
                continue
            groups, position = found.groupdict(), found.end()
            if name == "escape":
                self.text += groups["text"]
                continue
            inside = Reader(groups.get("in") or groups.get("_in") or "", name in ("quote", "item"))
            self.shape.append((name, *inside.shape))
            self.text += inside.text


def test_the_reader_finds_what_discord_finds() -> None:
    """A reader that sees no marks would find every drawing harmless."""
    marked = [source for source in HOSTILE[:12] if Reader(source).shape]
    assert len(marked) == 12
    assert Reader("**a *b***").shape == [("bold", ("italic",))]
    assert Reader("[a\\](https\\://evil\\) x](https://example.org)").shape[0] == ("link",)
    assert Reader("# [a](https://b.example)\n- <@1>").shape == [("heading", ("link",)), ("item", ("mention",))]
    assert (Reader("\\*a\\* \\<\\@1\\>").shape, Reader("\\*a\\*").text) == ([], "*a*")


def as_read(typed: str) -> str:
    """What somebody typed without what nobody sees: controls, direction overrides, and how its blanks are made."""
    seen = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]", "",
                  typed.replace("\r", "\n"))
    return " ".join(seen.split())


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_is_shown_as_they_typed_it(typed: str) -> None:
    read = Reader(render.block((Plain(typed),)))
    assert (read.shape, as_read(read.text)) == ([], as_read(typed))


@calm
@given(typed_text)
def test_no_typed_text_is_ever_a_mark(typed: str) -> None:
    """Inside every kind of Markdown that surrounds it; brackets are round inside of links."""
    assume(as_read(typed))
    for sentence in SENTENCES:
        for draw in (render.block, render.inline):
            drawn, neutral = (draw(fill(sentence, name=name)) for name in (typed, "Mei"))
            assert Reader(drawn).shape == Reader(neutral).shape
            assert not re.search(r"<@[!&]?\d|@everyone|@here|(?<!\()https?://(?!example\.org\))", drawn)
    read = Reader(render.block(fill("So says {name}!", name=typed)))
    assert as_read(read.text) == as_read(f"So says {typed}!")


@calm
@given(typed_text)
def test_typed_text_is_code_only_when_it_cannot_end_it(typed: str) -> None:
    for sentence in ("`{name}`", "**`{name}`**", "`` {name} ` ``", "    {name}", "~~~\n{name}\n~~~",
                     "[`{name}`](https://a.b)"):
        shape = json.dumps(Reader(render.block(fill(sentence, name=typed))).shape)
        assert set(re.findall(r"\w+", shape)) <= {"code", "block", "bold", "link"}


@calm
@given(st.text(), st.text("*_`~#->[]()\\!.1& \nab", max_size=60), typed_text)
def test_any_sentence_of_a_guide_can_be_drawn(one: str, other: str, typed: str) -> None:
    """However it is written; what is typed into it calls nobody."""
    for sentence in (one, other):
        said = (Markdown(sentence), Plain(typed), Markdown(sentence))
        for drawn in (render.block(said), render.inline(said)):
            assert "mention" not in json.dumps(Reader(drawn).shape)


@calm
@given(st.lists(typed_text, min_size=2, max_size=3))
def test_typed_texts_side_by_side_stay_text(typed: list[str]) -> None:
    read = Reader(render.block(tuple(map(Plain, typed))))
    assert read.shape == []


def test_direction_overrides_are_taken_out_and_right_to_left_names_are_kept_apart() -> None:
    """U+202E turns round everything after it; an isolate ends where its text does."""
    assert render.typed("abc\u202egnp.exe\u2066\u2069") == "abcgnp.exe"
    assert render.typed("ليلى\u202e") == "\u2068ليلى\u2069"
    assert render.typed("a\x00b\x1b[31m") == "ab\\[31m"


def test_the_guides_markdown_becomes_discords() -> None:
    """Discord knows no references, no rules and no HTML, and breaks a line where CommonMark does not."""
    assert render.block(markdown(
        "# Head\n\nOne *two*\n**three** `x_y` [r][1] <b>\n\n- a\n- b\n  1. c\n\n> d\n\n---\n\n```py\ne*\n```\n\n"
        "[l](<https://a.example/b c(d)>) [bad](javascript:x) ![p](https://a.example/p.png)\n\n"
        "[1]: https://example.org")) == (
        "### Head\n\nOne *two* **three** `x_y` [r](https://example.org) \\<b\\>\n\n- a\n- b\n  1. c\n\n> d\n\n───\n\n"
        "```\ne*\n```\n\n[l](https://a.example/b%20c%28d%29) \\[bad\\](javascript\\:x) ![p](https://a.example/p.png)")


def test_each_reader_sees_the_deadline_in_their_own_time() -> None:
    assert render.block((Markdown("By **"), When(AT, zone=BERLIN), Markdown("**"))) == \
        f"By **<t:{int(AT.timestamp())}:F>**"


def test_a_day_is_the_day_of_its_own_zone() -> None:
    """Midnight in Berlin is the evening before in Boston; the cohort begins on Monday for everybody."""
    begins = datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert render.block((When(begins, "day", BERLIN),)) == "Monday 23 November 2026"


# --- what Discord takes -----------------------------------------------------------------------------------------------


@cache
def specification() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SPECIFICATION.read_text("utf-8"))["components"]
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    """Of one object without what is nested in it, which need only be of the right types: its `oneOf` at every depth
    would make a message take a hundred times as long."""
    schemas = specification()["schemas"]
    properties = dict(schemas[name]["properties"])
    if "components" in properties:
        properties["components"] = properties["components"] | {"items": one_of(properties["components"]["items"])}
    if "component" in properties:
        properties["component"] = one_of(properties["component"])
    if "type" in properties:
        properties["type"] = {"enum": properties["type"]["enum"]}
    return Draft202012Validator(schemas[name] | {"properties": properties, "components": specification()})


def one_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    names = [one["$ref"].rsplit("/", 1)[1] for one in schema.get("oneOf", [schema])]
    types = [kind for one in names for kind in specification()["schemas"][one]["properties"]["type"]["enum"]]
    return {"required": ["type"], "properties": {"type": {"enum": types}}}


def test_discords_own_specification_is_among_the_checks() -> None:
    if not SPECIFICATION.exists():
        pytest.skip("Discord's OpenAPI is not here; set NINETY_DISCORD_OPENAPI to where it is")
    assert [error.message for error in validator("MessageCreateRequest").iter_errors(
        {"components": [{"type": 2, "style": 1}]})]
    assert [error.message for error in validator("TextDisplayComponentForMessageRequest").iter_errors(
        {"type": 10, "content": ""})]


NAMES = {1: "ActionRow", 2: "Button", 3: "StringSelect", 4: "TextInput", 10: "TextDisplay", 14: "Separator",
         17: "Container", 18: "Label", 21: "RadioGroup", 22: "CheckboxGroup"}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def components(payload: Payload) -> Iterator[Payload]:
    for component in payload.get("components", []):
        yield component
        yield from components(component)
        if "component" in component:
            yield component["component"]


def specified(payload: Payload, name: str, kind: str) -> None:
    """By Discord's specification where it is, which also tells the keys that it does not forbid."""
    if not SPECIFICATION.exists():
        return
    assert [error.message for error in validator(name).iter_errors(payload)] == []
    for component in components(payload):
        schema = f"{NAMES[component['type']]}ComponentFor{kind}Request"
        assert [error.message for error in validator(schema).iter_errors(component)] == []
        assert set(component) <= set(specification()["schemas"][schema]["properties"])


def sent(said: Message, key: DeliveryKey | None = KEY) -> Payload:
    """The drawing, which Discord takes."""
    payload = render.message(said, key)
    specified(payload, "MessageCreateRequest", "Message")
    assert set(payload) == {"flags", "components", "allowed_mentions"}
    assert payload["flags"] == 1 << 15
    inside = list(components(payload))
    assert len(inside) <= 40
    assert [one["type"] for one in payload["components"]] == [17]
    contents = [one["content"] for one in inside if one["type"] == 10]
    assert sum(map(units, contents)) <= 4000
    assert all(content.strip() for content in contents)
    buttons = [one for one in inside if one["type"] == 2]
    assert [one["label"] for one in buttons] == [one["label"] for one in buttons if one["label"].strip()]
    assert len(buttons) == min(25, len(said.buttons))
    for one in buttons:
        assert ("url" in one) is (one["style"] == 5) is ("custom_id" not in one)
        assert units(one["label"]) <= 80
        assert units(one.get("custom_id", "")) <= 100
    custom_ids = [one["custom_id"] for one in buttons if "custom_id" in one]
    ids = [one["id"] for one in inside if "id" in one]
    assert (len(set(custom_ids)), len(set(ids))) == (len(custom_ids), len(ids))
    assert all(1 <= one < 1 << 31 for one in ids)
    assert payload["allowed_mentions"]["parse"] == []
    json.dumps(payload).encode()
    json.dumps(payload, ensure_ascii=False).encode()
    if key is not None:
        assert render.carries(stored(payload), key)
        assert not render.carries(stored(payload), DeliveryKey(f"{key}:other"))
    return payload


def stored(payload: Payload) -> Payload:
    """As the history tells it: every component has an id, counted from 1 where it was sent without."""
    read: Payload = json.loads(json.dumps(payload))
    for number, component in enumerate(components(read), 1):
        component.setdefault("id", number)
    return {"id": "1", "author": {"id": "2"}} | read


def opened(one: Form, zone: ZoneInfo = BERLIN) -> Payload:
    """The drawing, which Discord takes."""
    payload = render.form(one, zone)
    specified(payload, "ModalInteractionCallbackRequestData", "Modal")
    assert set(payload) == {"custom_id", "title", "components"}
    assert 1 <= len(payload["components"]) <= 5
    assert units(payload["custom_id"]) <= 100
    assert payload["title"].strip()
    assert units(payload["title"]) <= 45
    names = [one["custom_id"] for one in components(payload) if "custom_id" in one]
    assert len(set(names)) == len(names)
    for component in components(payload):
        match component["type"]:
            case 18:
                assert component["label"].strip()
                assert units(component["label"]) <= 45
                assert 1 <= units(component.get("description", "…")) <= 100
            case 4:
                assert 1 <= component["max_length"] <= 4000
                assert units(component.get("value", "")) <= component["max_length"]
            case 3 | 21 | 22:
                options = component["options"]
                low, high = {3: (1, 25), 21: (2, 10), 22: (1, 10)}[component["type"]]
                assert low <= len(options) <= high
                assert len({one["value"] for one in options}) == len(options)
                assert all(one["label"].strip() and units(one["label"]) <= 100 for one in options)
                assert all(units(one.get("description", "")) <= 100 for one in options)
                most = 1 if component["type"] == 21 else component["max_values"]
                assert sum(one.get("default", False) for one in options) <= most <= len(options)
            case _:
                assert component["type"] == 10
    json.dumps(payload, ensure_ascii=False).encode()
    return payload


def content(payload: Payload) -> str:
    return "\n".join(one["content"] for one in components(payload) if one["type"] == 10)


def back(payload: Payload) -> list[Payload]:
    """What comes back of a modal that is sent as it was opened."""
    submitted: list[Payload] = []
    for number, one in enumerate(payload["components"], 1):
        if one["type"] == 10:
            submitted.append({"type": 10, "id": number})
            continue
        asked = one["component"]
        came: Payload = {"type": asked["type"], "id": number + 10, "custom_id": asked["custom_id"]}
        chosen = [option["value"] for option in asked.get("options", []) if option.get("default")]
        match asked["type"]:
            case 4:
                came["value"] = asked.get("value", "")
            case 21:
                came["value"] = chosen[0] if chosen else None
            case _:
                came["values"] = chosen
        submitted.append({"type": 18, "id": number, "component": came})
    return submitted


def filled_in(one: Form) -> Answers:
    """What the form is filled in with."""
    given: dict[str, tuple[str, ...]] = {}
    for field in one.fields:
        if isinstance(field, Line | Paragraph):
            given[field.name] = (field.value,)
        elif field.options:
            chosen = tuple(option.value for option in field.options if option.chosen)
            given[field.name] = chosen if isinstance(field, Checks) else chosen[:1]
    return given


# --- the real guide ---------------------------------------------------------------------------------------------------


@cache
def guide() -> Guide:
    return load(ROOT / "content" / "guide.yaml")


PLANS = tuple(sorted(guide().plans))
ROOM = Room("discord", "1", "2")
START = date(2027, 9, 6)
"""In the month whose name is the longest."""
SITE = Site("https://guide.example/ninety")


class Season:
    """A cohort of the real guide with a few members of difficult names; `said` and `asked` is all that the desk and
    the herald say and ask from its opening to its end."""

    def __init__(self, ledger: StoredLedger, plan: str) -> None:
        self.ledger, self.plan = ledger, plan
        self.said: list[Message] = []
        self.asked: list[Form] = []
        self.requests = 0

    async def run(self) -> None:
        edition = Edition.of(guide(), self.plan)
        self.desk = Desk(self.ledger, guide(), SITE)
        opened_at = datetime(2027, 9, 1, 12, tzinfo=UTC)
        organiser = Account("discord", "1", "3")
        self.cohort = await open_cohort(self.ledger, "A *cohort* @here", START, "Europe/Berlin", edition, ROOM,
                                        organiser, "salt", opened_at)
        course, steps = self.cohort.course, edition.plan.steps
        names = ("👩🏽‍🚀" * 8, "\\`*_~|[x](https://a.b)@here", "ليلى # 1. <@1>", "Mei")
        await self.posts(opened_at, steps[0].id)
        for user, name in enumerate(names):
            await self.sends(user, opened_at, "cohort join", name=name, shown="name", zone="America/Argentina/Cordoba",
                             nudges="yes")
        for step in steps:
            at = course.opens(step.id) + timedelta(days=1)
            await self.posts(at, step.id)
            number = course.number(step.id)
            await self.says(0, at, f"week {number}")
            tasks = [task.id for task in step.tasks]
            # Three have points, so that there is a board; one sends every step.
            for user in range(len(names) - 1 if number == 1 else 1):
                await self.sends(user, at, f"checkin {number}", tasks=tuple(tasks), hours="6.5", notes="n" * 2000,
                                 evidence="https://a.example/x")
            await self.says(0, at, f"week {number}")
            await self.says(0, at, f"checkin {number}")     # filled in, to be changed
            late = course.deadline(step.id, BERLIN) + timedelta(days=2)
            if late < course.ends:
                await self.says(3, late, f"checkin {number}")
            for line in ("progress", "leaderboard"):
                await self.says(0, at, line)
        await self.posts(course.ends, steps[-1].id)
        for line in ("cohort settings", "cohort help", "cohort rest 99", "what?", "progress", "cohort leave"):
            await self.says(3, course.ends - timedelta(days=1), line)
        await self.says(0, course.ends, "cohort log", organiser=True)

    async def says(self, user: int, at: datetime, line: str, organiser: bool = False) -> Message | Form:
        self.requests += 1
        answer = await self.desk.command(self.caller(user, organiser), line, RequestId(str(self.requests)), at)
        if isinstance(answer, Message):
            self.said.append(answer)
        else:
            self.asked.append(answer)
        return answer

    async def sends(self, user: int, at: datetime, line: str, **answers: str | tuple[str, ...]) -> None:
        form = await self.says(user, at, line)
        assert isinstance(form, Form)
        self.requests += 1
        self.said.append(await self.desk.submit(
            self.caller(user), form.kind, form.about,
            {name: (value,) if isinstance(value, str) else value for name, value in answers.items()},
            RequestId(str(self.requests)), at))

    def caller(self, user: int, organiser: bool = False) -> Caller:
        return Caller(Account("discord", "1", str(user + 10)), ROOM, "Somebody", "", organiser)

    async def posts(self, at: datetime, step: str) -> None:
        """All that is owed for the step, and a report, as the herald would say them now."""
        def work(tx: Transaction) -> list[Message]:
            owed = [one.delivery for one in tx.deliveries(self.cohort.id) if one.delivery.step == step]
            owed += [replace(owed[0], key=DeliveryKey("nudge"), kind=PostKind.NUDGE, member=member.id)
                     for member in tx.members(self.cohort.id)]
            owed.append(replace(owed[0], key=DeliveryKey("report"), kind=PostKind.REPORT, step=None))
            composed = [compose(tx, delivery, at, SITE) for delivery in owed]
            return [said for said in composed if isinstance(said, Message)]

        self.said += await self.ledger.transact(work)


@pytest.mark.parametrize("plan", PLANS)
async def test_everything_that_the_real_guide_says_and_asks_is_taken(ledger: StoredLedger, plan: str) -> None:
    season = Season(ledger, plan)
    await season.run()
    steps = season.cohort.course.edition.plan.steps
    assert {form.about for form in season.asked if form.kind == "check-in"} == {step.id for step in steps}
    assert len(season.said) > 6 * len(steps)
    for said in season.said:
        drawn = content(sent(said))
        assert len(drawn) > 3000 or "…" not in drawn    # all of it is there
    for form in season.asked:
        for cohort in (None, 10**18):
            payload = opened(replace(form, cohort=cohort))
            assert render.submitted(payload["custom_id"]) == Submitted(form.kind, form.about, cohort)
            assert render.answers(back(payload)) == filled_in(form)
        if form.kind == "check-in":
            tasks = payload["components"][0]["component"]["options"]
            assert not [one for one in tasks if one["description"] not in ("must", "stretch")]
            # Five questions leave no room for a text above them; the deadline is told all the same.
            description = payload["components"][0]["description"]
            assert re.search(r"20\d\d, \d\d:\d\d|It is late", description)
            assert not description.endswith("…")


def test_every_refusal_of_the_real_guide_is_taken() -> None:
    voice = Edition.of(guide(), "ninety-days").voice
    found = 0
    for kind in Refused.__subclasses__():
        asked = kind.__init__.__code__.co_varnames[1:kind.__init__.__code__.co_argcount] \
            if "__init__" in vars(kind) else ()
        given: list[Any] = [AT if name in ("start", "opens", "closed", "until") else "@here *" * 6 for name in asked]
        sent(refusal(voice, kind(*given)))
        found += 1
    assert found > 15


# --- how it looks -----------------------------------------------------------------------------------------------------


def test_a_weeks_post_reads_well_on_a_phone() -> None:
    said = Message(fill("Week {number}: *{step}*", number=1, step="Read"), (
        fill("By {when}.", when=When(AT)),
        Tasks((TaskLine(markdown("Build *it* [now]"), "2 h", True, True, "https://guide.example/#build"),
               TaskLine(markdown("Read"), "1 h", False, False, "javascript:alert(1)"),
               TaskLine(markdown("Rest"), "0 h", False)), "must", "stretch"),
        markdown("That is all."),
    ), (Button("Check in", "checkin", "3", "primary"), Link("How", "https://guide.example/?a&b"),
        Button("Me", "progress")), cohort=7)
    mark = tag(KEY)
    assert render.message(said, KEY) == {
        "flags": 32768, "allowed_mentions": {"parse": []}, "components": [
            {"type": 17, "accent_color": render.ORDINARY, "components": [
                {"type": 10, "content": "## Week 1: *Read*"},
                {"type": 10, "content": f"By <t:{int(AT.timestamp())}:F>."},
                {"type": 14, "divider": True, "spacing": 1},
                {"type": 10, "content": "✅ [Build *it* (now)](https://guide.example/#build)\n-# **must** · 2 h\n"
                                        "⬜ Read\n-# stretch · 1 h\n• Rest\n-# stretch · 0 h"},
                {"type": 14, "divider": True, "spacing": 1},
                {"type": 10, "content": "That is all."},
                {"type": 1, "components": [
                    {"type": 2, "style": 1, "label": "Check in", "custom_id": f"ninety:b:0:7:{mark}:checkin 3"},
                    {"type": 2, "style": 5, "label": "How", "url": "https://guide.example/?a&b"},
                    {"type": 2, "style": 2, "label": "Me", "custom_id": f"ninety:b:2:7:{mark}:progress"}]}]}]}


def test_a_board_names_its_figures_once_and_shows_you() -> None:
    board = Board((BoardRow(1, "Calm *Otter*", 30, 3), BoardRow(2, "Mei", 20, 1, True)),
                  ("Place", "Name", "Points", "Streak"), "you")
    assert content(sent(Message(body=(board,)))) == (
        "-# Place · Name · Points · Streak\n1 · Calm \\*Otter\\* · 30 · 3\n**2 · Mei (you) · 20 · 1**")


def test_facts_have_their_figure_beside_them_and_their_reasons_below() -> None:
    facts = Facts((Fact((Markdown("**3** Ship\n"), Plain("In time"), Markdown(" · x")), (Plain("+70"),)),
                   Fact(markdown("Alone")), Fact((), markdown("5"))))
    assert content(sent(Message(body=(facts,)))) == "**3** Ship · +70\n-# In time · x\nAlone\n5"


def test_a_refusal_has_a_colour_of_its_own() -> None:
    for refused, colour in ((False, render.ORDINARY), (True, render.REFUSED)):
        payload = sent(Message(body=(markdown("No."),), refused=refused))
        assert payload["components"][0]["accent_color"] == colour


def test_only_a_mention_calls_and_only_the_one_it_names() -> None:
    called = Message((Mention("123", "Ana"), Plain(" <@456> @everyone")), (Facts((Fact((), (Mention("9", "B"),)),)),))
    payload = sent(called)
    assert payload["allowed_mentions"] == {"parse": [], "users": ["123", "9"]}
    assert "<@123>" in content(payload)
    assert "<@456>" not in content(payload)
    unknown = sent(Message((Mention("U0SLACK", "*Ana*"),)))
    assert (content(unknown), unknown["allowed_mentions"]) == ("## \\*Ana\\*", {"parse": []})


def test_a_message_without_words_is_still_a_message() -> None:
    assert content(sent(Message())) == "…"
    assert content(sent(Message((Plain(" "),), ((Plain("\u202e"),),)))) == "…"


def test_a_thread_has_a_plain_name_of_a_hundred_characters() -> None:
    assert render.thread_name("Week 3:\n*Ship*\u202e it") == "Week 3: *Ship* it"
    assert render.thread_name(" ") == "…"
    assert render.thread_name("word " * 40) == "word " * 19 + "word…"
    assert units(render.thread_name(FAMILY * 40)) <= 100


# --- more than fits ---------------------------------------------------------------------------------------------------


def rows(count: int, you: int | None = None) -> Board:
    return Board(tuple(BoardRow(place, FAMILY * 8, 10**6, 90, place == you) for place in range(1, count + 1)),
                 ("Place", "Name", "Points", "Streak"), "you")


def test_a_board_of_five_hundred_ends_with_dots_and_you() -> None:
    lines = content(sent(Message(markdown("Board"), (markdown("After week 3."), rows(500, 500))))).split("\n")
    assert lines[:2] == ["## Board", "After week 3."]
    assert lines[-2:] == ["…", f"**500 · {FAMILY * 8} (you) · 1000000 · 90**"]
    assert lines[3:-2] == [f"{place} · {FAMILY * 8} · 1000000 · 90" for place in range(1, len(lines) - 4)]
    assert len(lines) > 30


def test_what_does_not_fit_is_left_out_of_lists_first_and_the_buttons_stay() -> None:
    tasks = Tasks(tuple(TaskLine(markdown(f"Task {number} " + "word " * 200), "1 h", True) for number in range(40)),
                  "must", "stretch")
    said = Message(markdown("Title"), (markdown("First. " * 200), tasks, rows(500), markdown("Last. " * 50)),
                   tuple(Button(str(number), "week", str(number)) for number in range(30)))
    drawn = content(sent(said))
    assert ("First. " * 200).strip() in drawn
    assert drawn.endswith(("Last. " * 50).strip())
    assert drawn.count("\n…") == 2
    assert drawn.count("• Task") >= 1


def test_endless_texts_end_with_dots() -> None:
    for said in ("word " * 1200, "x" * 5000, "**" + "[a](https://a.example/with-a-long-path) " * 110, "😀" * 2500,
                 ("word " * 9 + "\n\n") * 120):
        for piece in (Markdown(said), Plain(said)):
            drawn = content(sent(Message((piece,), ((piece,), rows(3)))))
            assert drawn.count("…") >= 2
            assert units(drawn) > 1000


def test_hundreds_of_parts_are_drawn_as_far_as_they_fit() -> None:
    part: Part = Facts((Fact(markdown("Fact")),))
    drawn = content(sent(Message(body=(markdown("Text"), part) * 100,
                                 buttons=tuple(Button("x", "week") for _ in range(25)))))
    assert drawn.endswith("…")
    assert drawn.count("Fact") >= 5
    many = content(sent(Message(body=tuple(markdown(f"Text {number}") for number in range(999)))))
    assert many.startswith("Text 0\n\nText 1")
    assert many.endswith("\n\n…")


@pytest.mark.parametrize("button", (
    Button("Rest", "cohort rest", "x" * 100),
    Link("Read", "javascript:alert(1)"),
    Link("Read", "https://example.org/" + "x" * 600),
    Link("Read", ""),
))
def test_a_button_that_discord_could_not_keep_whole_is_shown_and_cannot_be_pressed(button: Button | Link) -> None:
    """Half a command is another command."""
    (drawn,) = [one for one in components(sent(Message(buttons=(button,)))) if one["type"] == 2]
    assert (drawn["label"], drawn["disabled"], render.pressed(drawn["custom_id"])) == (button.label, True, None)


# --- ids and keys -----------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=40), st.one_of(st.none(), st.integers(1, 10**12)), st.booleans())
def test_a_button_types_its_command_whatever_it_is(line: str, cohort: int | None, keyed: bool) -> None:
    payload = render.message(Message(buttons=(Button("Go", line), Button("Go", line)), cohort=cohort),
                             KEY if keyed else None)
    ids = [one["custom_id"] for one in components(payload) if one["type"] == 2 and not one.get("disabled")]
    if units(line) <= 40:
        assert len(set(ids)) == 2
    assert [render.pressed(one) for one in ids] == [Pressed(line, cohort)] * len(ids)


@given(st.sampled_from(("check-in", "join", "a:b%c", "")), st.text(max_size=30),
       st.one_of(st.none(), st.integers(1, 10**12)))
def test_a_form_comes_back_as_what_it_was(kind: str, about: str, cohort: int | None) -> None:
    one = Form(kind, about, "Title", (), (Line("name", "Name", ""),), "Save", cohort)
    assert render.submitted(render.form(one, BERLIN)["custom_id"]) == Submitted(kind, about, cohort)


@pytest.mark.parametrize("custom_id", ("", "ninety", "ninety:b", "ninety:b:x:::week", "ninety:c:0:::week",
                                       "else:b:0:::week", "a1b2c3", "ninety:b:0:1:week"))
def test_what_others_made_is_not_ours(custom_id: str) -> None:
    assert (render.pressed(custom_id), render.submitted(custom_id)) == (None, None)


def test_a_form_whose_step_does_not_fit_is_not_opened() -> None:
    """A step cut short could be another one, and what was typed would be counted for it."""
    with pytest.raises(ValueError, match="too long"):
        render.form(Form("check-in", "x" * 90, "T", (), (Line("a", "A", ""),), "Save"), BERLIN)


@pytest.mark.parametrize("buttons", ((), (Link("Read", "https://example.org"),), (Button("Go", "week"),),
                                     (Button("Go", "week" * 30),)))
def test_a_message_is_known_again_by_its_key_alone(buttons: tuple[Button | Link, ...]) -> None:
    """Also where it has no button whose id could hold it: the half-time's post, a report."""
    said = Message(markdown("Half-time"), (markdown("Together."),), buttons)
    payload = sent(said, KEY)
    assert render.carries(stored(payload), KEY)
    assert not render.carries(stored(sent(said, None)), KEY)
    assert not render.carries({"content": tag(KEY), "components": None}, KEY)
    assert not render.carries({}, KEY)


# --- forms ------------------------------------------------------------------------------------------------------------


def options(count: int, chosen: int | None = None) -> tuple[Option, ...]:
    return tuple(Option(f"o{number}", markdown(f"Option {number}"), number == chosen) for number in range(count))


def control(field: Field) -> Payload:
    (label,) = opened(Form("k", "", "T", (), (field,), "Save"))["components"]
    found: Payload = label["component"]
    return found


@pytest.mark.parametrize(("field", "kind", "most"), (
    (Checks("x", "X", "", options(1)), 22, 1),
    (Checks("x", "X", "", options(10)), 22, 10),
    (Checks("x", "X", "", options(11)), 3, 11),
    (Checks("x", "X", "", options(25)), 3, 25),
    (Choice("x", "X", "", options(1)), 3, 1),
    (Choice("x", "X", "", options(2)), 21, None),
    (Choice("x", "X", "", options(10), True), 21, None),
    (Choice("x", "X", "", options(11), True), 3, 1),
))
def test_each_question_is_asked_by_the_control_that_discord_has_for_it(field: Checks | Choice, kind: int,
                                                                      most: int | None) -> None:
    drawn = control(field)
    assert (drawn["type"], drawn.get("max_values"), len(drawn["options"])) == (kind, most, len(field.options))
    assert drawn["required"] is (isinstance(field, Choice) and field.required)
    assert drawn.get("min_values", 0) == (1 if drawn["required"] and kind == 3 else 0)


def test_text_is_never_shorter_than_what_stands_in_it() -> None:
    assert control(Line("x", "X", "", "a\nb", True, 200)) == {
        "type": 4, "style": 1, "custom_id": "x", "required": True, "max_length": 200, "value": "a b"}
    assert control(Paragraph("x", "X", "", "", longest=2000)) == {
        "type": 4, "style": 2, "custom_id": "x", "required": False, "max_length": 2000}
    assert control(Paragraph("x", "X", "", "😀" * 300, longest=100))["max_length"] == 600
    drawn = control(Paragraph("x", "X", "", "word " * 2000, longest=9000))
    assert (drawn["max_length"], drawn["value"][-5:]) == (4000, "word…")


def test_a_long_task_goes_on_below_behind_its_weight() -> None:
    words = " ".join(f"word{number}" for number in range(40))
    (first, second) = control(Checks("x", "X", "", (Option("a", markdown("Read **it**"), hint="must"),
                                                    Option("b", markdown(words), True, "stretch"))))["options"]
    assert first == {"label": "Read it", "value": "a", "description": "must"}
    assert second == {"label": " ".join(f"word{number}" for number in range(15)) + "…", "value": "b", "default": True,
                      "description": "stretch · …" + " ".join(f"word{number}" for number in range(15, 27)) + "…"}


FOUR: tuple[Field, ...] = tuple(Line(name, name, "Hint") for name in "abcd")


def test_the_introduction_stands_above_four_fields_and_in_the_first_of_five() -> None:
    intro = fill("Week {number}: {step}. Open until {deadline}. You can send it again to change it.", number=3,
                 step="Ship", deadline=When(AT, zone=BERLIN))
    above = opened(Form("k", "", "T", intro, FOUR, "Save"))["components"]
    assert [one["type"] for one in above] == [10, 18, 18, 18, 18]
    assert above[0]["content"] == (f"Week 3: Ship. Open until <t:{int(AT.timestamp())}:F>. "
                                   "You can send it again to change it.")
    inside = opened(Form("k", "", "T", intro, (*FOUR, Line("e", "e", "")), "Save"))["components"]
    assert [one.get("description") for one in inside] == [
        "Week 3: Ship. Open until Sunday 6 December 2026, 23:59. You can send it again to change it.",
        "Hint", "Hint", "Hint", None]


def test_of_a_long_introduction_the_deadline_is_kept() -> None:
    intro = fill("Week {number}: {step}. Open until {deadline}. You can send it again to change it.", number=3,
                 step="S" * 60, deadline=When(AT))
    (first, *_) = opened(Form("k", "", "T", intro, (*FOUR, Line("e", "e", "")), "Save"), BOSTON)["components"]
    assert first["description"] == "Open until Sunday 6 December 2026, 17:59. You can send it again to change it."
    (first, *_) = opened(Form("k", "", "T", markdown("word " * 50), (*FOUR, Line("e", "e", "")), "Save"))["components"]
    assert first["description"] == ("word " * 20).strip() + "…"


def test_a_question_without_answers_is_not_asked() -> None:
    payload = opened(Form("k", "", "T", (), (Checks("a", "A", "", ()), Line("b", "B", "")), "Save"))
    assert [one["component"]["custom_id"] for one in payload["components"]] == ["b"]
    assert content(opened(Form("k", "", "T", (), (), "Save"))) == "…"


@pytest.mark.parametrize(("fields", "what"), (
    (tuple(Line(name, name, "") for name in "abcdef"), "6 fields"),
    ((Checks("a", "A", "", options(26)),), "26 options"),
    ((Choice("a", "A", "", (Option("x" * 101, ()), Option("y", ()))),), "option"),
    ((Choice("a", "A", "", (Option("", ()), Option("y", ()))),), "option"),
))
def test_a_form_that_would_lose_an_answer_is_not_opened(fields: tuple[Field, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        render.form(Form("k", "", "T", (), fields, "Save"), BERLIN)


def test_answers_are_read_at_any_depth_and_by_name() -> None:
    read: list[dict[str, Any]] = [
        {"type": 10, "id": 1}, {"type": 18, "component": {"type": 22, "custom_id": "tasks", "values": ["a", "b"]}},
        {"type": 18, "component": {"type": 21, "custom_id": "sure", "value": None}},
        {"type": 1, "components": [{"type": 4, "custom_id": "notes", "value": "x\ny"}]},
        {"type": 18, "component": {"type": 3, "custom_id": "zone", "values": []}}]
    assert render.answers(read) == {"tasks": ("a", "b"), "sure": (), "notes": ("x\ny",), "zone": ()}


# --- whatever is said -------------------------------------------------------------------------------------------------


pieces: st.SearchStrategy[Piece] = st.one_of(
    st.builds(Markdown, st.one_of(typed_text, st.just("word " * 150))),
    st.builds(Plain, st.one_of(typed_text, st.just("\U0001f469\u200d\U0001f680" * 40))),
    st.builds(When, st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
              st.sampled_from(("day", "time")), st.sampled_from((None, BERLIN, BOSTON))),
    st.builds(Mention, st.sampled_from(("1", "123456789012345678", "U0", "")), typed_text))
texts: st.SearchStrategy[Text] = st.lists(pieces, max_size=4).map(tuple)
addresses = st.one_of(st.none(), typed_text, st.sampled_from(("https://a.example/b", "https://a.example/" + "x" * 900)))
parts: st.SearchStrategy[Part] = st.one_of(
    texts,
    st.builds(Tasks, st.lists(st.builds(TaskLine, texts, typed_text, st.booleans(),
                                        st.sampled_from((None, True, False)), addresses), max_size=12).map(tuple),
              typed_text, typed_text),
    st.builds(Board, st.lists(st.builds(BoardRow, st.integers(1, 10**6), typed_text, st.integers(-10**6, 10**6),
                                        st.integers(0, 99), st.booleans()), max_size=40).map(tuple),
              st.tuples(*[typed_text] * 4), typed_text),
    st.builds(Facts, st.lists(st.builds(Fact, texts, texts), max_size=12).map(tuple)))
buttons = st.one_of(st.builds(Button, typed_text, st.text(max_size=60), st.text(max_size=20),
                              st.sampled_from(("primary", "plain"))),
                    st.builds(Link, typed_text, addresses.map(str)))
messages = st.builds(Message, texts, st.lists(parts, max_size=6).map(tuple), st.lists(buttons, max_size=30).map(tuple),
                     st.booleans(), st.none(), st.one_of(st.none(), st.integers(1, 10**18)), st.none())
choices = st.lists(st.builds(Option, st.text(min_size=1, max_size=50), texts, st.booleans(), typed_text),
                   max_size=25, unique_by=lambda one: one.value).map(tuple)
values = st.one_of(st.just(""), st.text(st.characters(exclude_categories=("C", "Z")), max_size=50), st.just("n" * 2500))


def named(fields: list[Any]) -> tuple[Field, ...]:
    return tuple(replace(field, name=f"field {number}") for number, field in enumerate(fields))


fields = st.one_of(
    st.builds(Checks, st.just(""), typed_text, typed_text, choices),
    st.builds(Choice, st.just(""), typed_text, typed_text, choices, st.booleans()),
    st.builds(Line, st.just(""), typed_text, typed_text, values, st.booleans(), st.integers(1, 5000)),
    st.builds(Paragraph, st.just(""), typed_text, typed_text, values, st.booleans(), st.integers(1, 5000)))
forms = st.builds(Form, st.sampled_from(("check-in", "join")), st.text(max_size=20), typed_text, texts,
                  st.lists(fields, max_size=5).map(named), typed_text, st.one_of(st.none(), st.integers(1, 10**18)))


@settings(calm, max_examples=25)
@given(messages, st.booleans())
def test_discord_takes_whatever_is_said(said: Message, keyed: bool) -> None:
    sent(said, KEY if keyed else None)


@calm
@given(forms)
def test_discord_takes_whatever_is_asked_and_brings_it_back(one: Form) -> None:
    payload = opened(one)
    assert render.submitted(payload["custom_id"]) == Submitted(one.kind, one.about, one.cohort)
    assert render.answers(back(payload)) == filled_in(one)
