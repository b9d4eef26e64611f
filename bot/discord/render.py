"""Message → Discord's components, Form → a modal, and what their ids and answers say when they come back. Pure.

The pieces of a text belong together (`**{name}**, week {number}`), so they are parsed as one CommonMark source in which
a mark stands for each piece that is not Markdown, and written out again in Discord's own dialect. Whatever was text
there is escaped here, and the marks are exchanged nowhere else: what somebody typed can only ever become text.

Lengths are counted in UTF-16 units, as Discord's clients do; code points, which its API counts, are never more.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import lru_cache, partial
from itertools import combinations
from typing import Any, TypeAlias, assert_never
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

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
    local,
    plain,
    tag,
)

Payload: TypeAlias = dict[str, Any]
"""A JSON object of Discord's; whether it is one is checked against their own specification, in the tests."""

COMPONENTS_V2 = 1 << 15
ORDINARY, REFUSED = 0x2E9E89, 0xC77D1E
"""The guide's green and an amber, both seen on a light and on a dark ground. Red would scold."""

MOST_TEXT = 4000
MOST_COMPONENTS = 40
MOST_BUTTONS, ROW = 25, 5
MOST_URL = 512

# Eleven groups of `LEAST`, a title and the dots below them come to less than `MOST_TEXT`.
MOST_GROUPS, LEAST, TITLE = 11, 300, 300
LINE = 600
"""Longest that a line of a list may be drawn, so that one of them does not push out all the others."""
NAME = 100
"""Longest drawing of a name: 32 characters of which each must be escaped, and more."""

MOST_FIELDS = 5
GROUP, SELECT = 10, 25
"""Most options of a checkbox or radio group, and of a select."""
LABEL, DESCRIPTION, OPTION, INPUT = 45, 100, 100, 4000

_ACTION_ROW, _BUTTON, _SELECT, _INPUT = 1, 2, 3, 4
_TEXT, _SEPARATOR, _CONTAINER, _LABEL, _RADIOS, _CHECKBOXES = 10, 14, 17, 18, 21, 22
_PRIMARY, _SECONDARY, _LINK = 1, 2, 5
_SHORT, _LONG = 1, 2

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_MARKS = str.maketrans("", "", _OPEN + _CLOSE)

# Controls, and the characters that turn the direction of whatever follows them. Right-to-left names need none of them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_BLANKS = re.compile(r"\s+")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
"""All that is taken from what somebody reads in a field, because it is sent back as if they had typed it."""

# Discord shows any punctuation after a backslash as itself. A colon begins `:smile:` and the rest of `https://`.
_SPECIAL = re.compile(r"[\\*_~`|<>\[\]@]|:(?!\s)")
# Its server looks for these two without regard to backslashes.
_EVERYONE = re.compile(r"@(?=everyone|here|$)")
_LINE_START = re.compile(r"^[ \t]*(?:\d+(?=\.)|(?=[-#]))", re.MULTILINE)
_NOTHING = "\u200b"
"""Takes no room: keeps two marks apart."""
_IN_ADDRESSES = str.maketrans({"(": "%28", ")": "%29", "*": "%2A"})

_USER = re.compile("[1-9][0-9]{0,19}")


# --- messages ---------------------------------------------------------------------------------------------------------


def message(said: Message, key: DeliveryKey | None = None) -> Payload:
    """With a `key`, `carries` finds it in the message for ever: in its buttons, or in the ids of its components where
    it has no button that presses."""
    buttons = [_button(one, position, said.cohort, key) for position, one in enumerate(said.buttons[:MOST_BUTTONS])]
    rows = [{"type": _ACTION_ROW, "components": buttons[start:start + ROW]} for start in range(0, len(buttons), ROW)]
    title = heading(said.title) if said.title else ""
    room = MOST_COMPONENTS - 1 - len(rows) - len(buttons)
    texts = _texts(said.body, MOST_TEXT - _size(title), room // 2)
    inside: list[Payload] = [{"type": _TEXT, "content": title}] if title else []
    for position, text in enumerate(texts):
        if position:
            inside.append({"type": _SEPARATOR, "divider": True, "spacing": 1})
        inside.append({"type": _TEXT, "content": text})
    inside += rows
    if not inside:
        inside.append({"type": _TEXT, "content": "…"})
    container: Payload = {"type": _CONTAINER, "accent_color": REFUSED if said.refused else ORDINARY,
                          "components": inside}
    if key is not None and not any("custom_id" in button for button in buttons):
        container["id"], inside[0]["id"] = _numbers(key)
    users = list(dict.fromkeys(user for piece in _pieces(said) if (user := _called(piece)) is not None))
    return {"flags": COMPONENTS_V2, "components": [container],
            "allowed_mentions": {"parse": [], "users": users[:100]} if users else {"parse": []}}


def _texts(body: Sequence[Part], most: int, displays: int) -> list[str]:
    """The body in at most so many text displays and characters."""
    groups = list(_groups(body))
    if len(groups) > MOST_GROUPS:
        groups = [*groups[:MOST_GROUPS], _Paragraphs(((Plain("…"),),))]
    drawn = _fitted(groups, most)
    if len(drawn) > displays:
        drawn = [*drawn[:displays - 1], "\n\n".join(drawn[displays - 1:])]
    return drawn


def _fitted(groups: Sequence[_Group], most: int) -> list[str]:
    """Lists give way before texts, and later ones before earlier ones. Two characters more are counted for each,
    because they may yet be joined."""
    drawn = [group.drawn(most) for group in groups]
    over = sum(_size(text) + 2 for text in drawn) - most
    for kind in (_Lines, _Paragraphs):
        for index in reversed(range(len(groups))):
            if over > 0 and isinstance(groups[index], kind):
                size = _size(drawn[index])
                drawn[index] = groups[index].drawn(max(size - over, LEAST))
                over -= size - _size(drawn[index])
    return [text for text in drawn if text.strip()]


def _groups(body: Sequence[Part]) -> Iterator[_Group]:
    """The parts, texts that follow each other in one."""
    texts: list[Text] = []
    for part in body:
        if isinstance(part, tuple):
            texts.append(part)
            continue
        if texts:
            yield _Paragraphs(tuple(texts))
            texts = []
        yield _list(part)
    if texts:
        yield _Paragraphs(tuple(texts))


@dataclass(frozen=True)
class _Paragraphs:
    texts: tuple[Text, ...]

    def drawn(self, most: int) -> str:
        kept, left = [], most
        for number, text in enumerate(self.texts, 1):
            whole = block(text)
            # Room for a blank line and dots, while there is more to come.
            if _size(whole) > left - (3 if number < len(self.texts) else 0):
                kept.append(_cut(text, left - 3, block) if left > 40 else "…")
                break
            if whole:
                kept.append(whole)
                left -= _size(whole) + 2
        return "\n\n".join(kept)


@dataclass(frozen=True)
class _Lines:
    lines: tuple[str, ...]
    own: int | None = None
    """The line that stays whatever is left out."""

    def drawn(self, most: int) -> str:
        whole = "\n".join(self.lines)
        if _size(whole) <= most:
            return whole
        own = [] if self.own is None else [self.lines[self.own]]
        left = most - 1 - sum(_size(line) + 1 for line in own)
        if left < 0:
            return _Lines(self.lines).drawn(most) if own else "…"
        kept: list[str] = []
        for index, line in enumerate(self.lines):
            if index == self.own:
                left += _size(line) + 1
                own = []
            if _size(line) + 1 > left:
                break
            kept.append(line)
            left -= _size(line) + 1
        return "\n".join([*kept, "…", *own])


_Group: TypeAlias = _Paragraphs | _Lines


def _list(one: Tasks | Board | Facts) -> _Lines:
    match one:
        case Tasks():
            return _Lines(tuple(_task(line, one) for line in one.lines))
        case Board():
            own = next((index for index, row in enumerate(one.rows) if row.you), None)
            headings = "-# " + " · ".join(map(_word, one.headings))
            return _Lines((headings, *(_row(row, one.you) for row in one.rows)), None if own is None else own + 1)
        case Facts():
            return _Lines(tuple(filter(None, map(_fact, one.lines))))
        case _:
            assert_never(one)


def _task(line: TaskLine, among: Tasks) -> str:
    """What to do in full size, and below it in small how much it matters and takes."""
    address = None if line.link is None else _address(line.link)
    do = _cut(line.do, LINE, partial(_one_line, label=address is not None))
    if address is not None and do:
        do = f"[{do}]({address})"
    weight = f"**{_word(among.must)}**" if line.must else _word(among.stretch)
    return f"{ {None: '•', True: '✅', False: '⬜'}[line.done] } {do}\n-# {weight} · {_word(line.hours)}"


def _row(row: BoardRow, you: str) -> str:
    name = _cut((Plain(row.name),), NAME, _one_line)
    line = f"{row.place} · {name}{f' ({_word(you)})' if row.you else ''} · {row.points} · {row.streak}"
    return f"**{line}**" if row.you else line


def _fact(fact: Fact) -> str:
    label, *details = _cut(fact.label, LINE, inline).split("\n")
    value = _cut(fact.value, LINE, _one_line)
    return "\n".join([" · ".join(filter(None, (label, value))), *(f"-# {detail}" for detail in details if detail)])


def _button(one: Button | Link, position: int, cohort: int | None, key: DeliveryKey | None) -> Payload:
    label = _fitting(_shown(one.label), 80) or "…"
    if isinstance(one, Link):
        address = _address(one.url)
        if address is not None and len(address) <= MOST_URL:
            return {"type": _BUTTON, "style": _LINK, "label": label, "url": address}
        line = ""
    else:
        line = f"{one.command} {one.argument}" if one.argument else one.command
    start = f"ninety:b:{position}:{'' if cohort is None else cohort}:{'' if key is None else tag(key)}:"
    drawn: Payload = {"type": _BUTTON, "style": _SECONDARY, "label": label, "custom_id": start + line}
    if isinstance(one, Button) and one.style == "primary":
        drawn["style"] = _PRIMARY
    if not line or _size(start + line) > 100:
        # Part of a command is another command, and a link that Discord refuses takes the whole message with it.
        drawn |= {"custom_id": start, "disabled": True}
    return drawn


def _pieces(said: Message) -> Iterator[Piece]:
    yield from said.title
    for part in said.body:
        if isinstance(part, tuple):
            yield from part
        elif isinstance(part, Tasks):
            for task in part.lines:
                yield from task.do
        elif isinstance(part, Facts):
            for fact in part.lines:
                yield from (*fact.label, *fact.value)


def thread_name(name: str) -> str:
    """Discord draws it as it stands."""
    return _fitting(_shown(name), 100) or "…"


# --- what comes back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pressed:
    line: str
    """The command of the button, as somebody would type it."""
    cohort: int | None


@dataclass(frozen=True)
class Submitted:
    kind: str
    about: str
    cohort: int | None


# The part that may hold anything comes last.
_PRESSED = re.compile(r"ninety:b:[0-9]+:(-?[0-9]+)?:([A-Za-z0-9_-]*):(.*)", re.DOTALL)
_SUBMITTED = re.compile(r"ninety:f:(-?[0-9]+)?:([^:]*):(.*)", re.DOTALL)


def pressed(custom_id: str) -> Pressed | None:
    """None: no button of ours."""
    found = _PRESSED.fullmatch(custom_id)
    return Pressed(found[3], _number(found[1])) if found and found[3] else None


def submitted(custom_id: str) -> Submitted | None:
    """None: no form of ours."""
    found = _SUBMITTED.fullmatch(custom_id)
    return Submitted(unquote(found[2]), found[3], _number(found[1])) if found else None


def _number(found: str | None) -> int | None:
    return None if found is None else int(found)


def carries(read: Mapping[str, Any], key: DeliveryKey) -> bool:
    """Whether the message, as Discord's history tells it, was drawn with that key."""
    tags, ids = set(), set()
    for component in _components(read.get("components")):
        ids.add(component.get("id"))
        if found := _PRESSED.fullmatch(component.get("custom_id") or ""):
            tags.add(found[2])
    return tag(key) in tags or ids.issuperset(_numbers(key))


def _numbers(key: DeliveryKey) -> tuple[int, int]:
    """58 bits of the tag as two ids of components. A component's id is any positive number of 31 bits, unique within
    its message; those that Discord gives of itself count up from 1."""
    bits = int.from_bytes(urlsafe_b64decode(tag(key))[:8])
    low = (1 << 29) - 1
    return 1 << 30 | (bits & low) << 1, 1 << 30 | (bits >> 29 & low) << 1 | 1


def _components(found: object) -> Iterator[Mapping[str, Any]]:
    """At any depth."""
    for component in found if isinstance(found, list | tuple) else ():
        if isinstance(component, Mapping):
            yield component
            if inside := component.get("components"):
                yield from _components(inside)
            if inside := component.get("component"):
                yield from _components([inside])


def answers(submitted: Sequence[Mapping[str, Any]]) -> Answers:
    """The `components` of a submitted modal."""
    given: dict[str, tuple[str, ...]] = {}
    for component in _components(submitted):
        name, values = component.get("custom_id"), component.get("values")
        if isinstance(name, str):
            several = values if isinstance(values, list | tuple) else [component.get("value")]
            given[name] = tuple(value for value in several if isinstance(value, str))
    return given


# --- forms ------------------------------------------------------------------------------------------------------------


def form(one: Form, zone: tzinfo) -> Payload:
    """`zone` is the reader's, for where Discord draws no instants. Raises ValueError for what a modal cannot ask or
    could not bring back whole, before anybody has typed a word into it."""
    custom_id = f"ninety:f:{'' if one.cohort is None else one.cohort}:{quote(one.kind, safe='')}:{one.about}"
    if _size(custom_id) > 100:
        raise ValueError(f"the form {one.kind!r} is about {one.about!r}, which is too long for a modal of Discord")
    # A question without answers cannot be asked, nor need it be.
    fields = [field for field in one.fields if not isinstance(field, Checks | Choice) or field.options]
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"the form {one.kind!r} has {len(fields)} fields; a modal of Discord has {MOST_FIELDS}")
    intro = _cut(one.intro, MOST_TEXT, block)
    labels = [_label(field, zone) for field in fields]
    if len(fields) == MOST_FIELDS:
        # A text display would be a sixth component.
        if short := _sentences(one.intro, zone):
            labels[0]["description"] = short
    elif intro or not labels:
        labels.insert(0, {"type": _TEXT, "content": intro or "…"})
    return {"custom_id": custom_id, "title": _fitting(_shown(one.title), LABEL) or "…", "components": labels}


def _label(field: Field, zone: tzinfo) -> Payload:
    drawn: Payload = {"type": _LABEL, "label": _fitting(_shown(field.label), LABEL) or "…",
                      "component": {"custom_id": field.name} | _control(field, zone)}
    if hint := _fitting(_shown(field.hint), DESCRIPTION):
        drawn["description"] = hint
    return drawn


def _control(field: Field, zone: tzinfo) -> Payload:
    match field:
        case Line():
            return _input(_SHORT, " ".join(field.value.split()), field)
        case Paragraph():
            return _input(_LONG, field.value, field)
        case Checks() if len(field.options) <= GROUP:
            return {"type": _CHECKBOXES, "options": _options(field, zone), "required": False, "min_values": 0,
                    "max_values": len(field.options)}
        case Checks():
            options = _options(field, zone)
            return {"type": _SELECT, "options": options, "required": False, "min_values": 0, "max_values": len(options)}
        case Choice() if 2 <= len(field.options) <= GROUP:
            return {"type": _RADIOS, "options": _options(field, zone), "required": field.required}
        case Choice():
            return {"type": _SELECT, "options": _options(field, zone), "required": field.required,
                    "min_values": int(field.required), "max_values": 1}
        case _:
            assert_never(field)


def _input(style: int, value: str, field: Line | Paragraph) -> Payload:
    value = _fitting(_UNSENDABLE.sub("", value), INPUT)
    drawn: Payload = {"type": _INPUT, "style": style, "required": field.required,
                      "max_length": max(1, min(INPUT, max(field.longest, _size(value))))}
    # Discord offers no text that is not there.
    return drawn | {"value": value} if value else drawn


def _options(field: Checks | Choice, zone: tzinfo) -> list[Payload]:
    """Raises ValueError when there are too many, or one could not come back as it is: left out, it would be taken for
    not chosen."""
    if len(field.options) > SELECT:
        raise ValueError(f"the field {field.name!r} has {len(field.options)} options; Discord takes {SELECT}")
    drawn: list[Payload] = []
    chosen = False
    for option in field.options:
        if not 1 <= _size(option.value) <= OPTION:
            raise ValueError(f"the field {field.name!r} has an option {option.value!r}; Discord takes 1 to {OPTION} "
                             "characters")
        label, description = _option(option, zone)
        shown: Payload = {"label": label, "value": option.value}
        if description:
            shown["description"] = description
        if option.chosen and (isinstance(field, Checks) or not chosen):
            shown["default"] = chosen = True
        drawn.append(shown)
    return drawn


@lru_cache(maxsize=512)
def _option(option: Option, zone: tzinfo) -> tuple[str, str]:
    """A long one goes on in its description, behind the hint."""
    text = _words(option.label, zone)
    label = _fitting(text, OPTION)
    rest = "" if label == text else "…" + text[len(label) - 1:].lstrip()
    return label or "…", _fitting(" · ".join(filter(None, (_shown(option.hint), rest))), DESCRIPTION)


@lru_cache(maxsize=512)
def _sentences(said: Text, zone: tzinfo) -> str:
    """As many whole sentences as fit into a description; those with an instant, such as a deadline, before others."""
    sentences = re.split(r"(?<=[.!?]) ", _words(said, zone))[:8]
    instants = [_words((piece,), zone) for piece in said if isinstance(piece, When)]
    ranked = [(sum(instant in text for instant in instants), count, _size(text), text)
              for count in range(1, len(sentences) + 1) for text in map(" ".join, combinations(sentences, count))
              if _size(text) <= DESCRIPTION]
    return max(ranked)[-1] if ranked else _fitting(sentences[0], DESCRIPTION)


# --- texts ------------------------------------------------------------------------------------------------------------


# What one member reads most others do too: the guide's words, with few different numbers and instants in them.
@lru_cache(maxsize=512)
def block(said: Text) -> str:
    """Paragraphs, lists and whatever else the guide's Markdown has, in Discord's."""
    writer = _Writer(said, " ")
    blocks = map(writer.block, _blocks(_marked(said)).children)
    return "\n\n".join(text for text in blocks if text.strip())


@lru_cache(maxsize=512)
def inline(said: Text, label: bool = False) -> str:
    """Without blocks; lines stay lines. `label`: it is going to be inside of a link."""
    root = _inline(_marked(said))
    return _guarded(_Writer(said, "\n").inline(root.children[0].children, label).strip())


# A source is the guide's own words, with marks for all the others, so the same ones come again and again.
@lru_cache(maxsize=1024)
def _blocks(source: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(_PARSER.parse(source))


@lru_cache(maxsize=1024)
def _inline(source: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(_PARSER.parseInline(source))


def heading(said: Text) -> str:
    text = _cut(said, TITLE - 3, _one_line)
    return f"## {text}" if text else ""


def _one_line(said: Text, label: bool = False) -> str:
    return _BLANKS.sub(" ", inline(said, label))


def _word(text: str) -> str:
    """A word of the guide's that is no Markdown."""
    return _escaped(_shown(text))


def typed(said: str) -> str:
    """Untrusted words: text, on one line, kept apart from the direction of the text around them."""
    return _isolated(_escaped(_flat(said)))


def _piece(piece: Piece) -> str:
    match piece:
        case Plain():
            return typed(piece.text)
        case When(style="day"):
            # `<t:…:D>` is the reader's own day: the cohort's first Monday would be a Sunday in Boston.
            return _escaped(local(piece, UTC))
        case When():
            return f"<t:{int(piece.at.timestamp())}:F>"
        case Mention():
            user = _called(piece)
            return typed(piece.name) if user is None else f"<@{user}>"
        case Markdown():
            return ""  # has no mark
        case _:
            assert_never(piece)


def _called(piece: Piece) -> str | None:
    """The id of the person whom it mentions."""
    return piece.user if isinstance(piece, Mention) and _USER.fullmatch(piece.user) else None


def _marked(said: Text) -> str:
    return "".join(piece.text.translate(_MARKS) if isinstance(piece, Markdown) else f"{_OPEN}{number}{_CLOSE}"
                   for number, piece in enumerate(said))


@dataclass(frozen=True)
class _Writer:
    pieces: Text
    soft: str
    """What a line break inside of a paragraph becomes."""

    def block(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "paragraph":
                return _guarded(self.inline(node.children[0].children).strip())
            case "heading":
                # Smaller than the message's own title.
                text = _BLANKS.sub(" ", self.inline(node.children[0].children)).strip()
                return f"### {text}" if text else ""
            case "bullet_list":
                return "\n".join(self._item("- ", item) for item in node.children)
            case "ordered_list":
                first = int(node.attrs.get("start", 1))
                return "\n".join(self._item(f"{number}. ", item) for number, item in enumerate(node.children, first))
            case "blockquote":
                return "> " + self._blocks(node).replace("\n", "\n> ")
            case "code_block" | "fence":
                code = self._code(node.content.rstrip("\n"))
                return self._lines(node.content) if code is None else f"```\n{code}\n```"
            case "hr":
                return "───"
            case other:
                raise NotImplementedError(other)

    def _item(self, mark: str, item: SyntaxTreeNode) -> str:
        return mark + self._blocks(item).replace("\n", "\n  ")

    def _blocks(self, node: SyntaxTreeNode) -> str:
        return "\n".join(text for text in map(self.block, node.children) if text)

    def _lines(self, content: str) -> str:
        return _guarded("\n".join(self._text(line.strip()) for line in content.split("\n")).strip())

    def inline(self, nodes: Sequence[SyntaxTreeNode], label: bool = False) -> str:
        written, before = "", ""
        for node in nodes:
            text = self._inline(node, label)
            if not text:
                continue
            if before in _SIGNED and node.type in _SIGNED:
                written += _NOTHING
            written, before = written + text, node.type
        return written

    def _inline(self, node: SyntaxTreeNode, label: bool) -> str:
        match node.type:
            case "text":
                text = self._text(node.content)
                return _unbracketed(text) if label else text
            case "softbreak":
                return self.soft
            case "hardbreak":
                return "\n"
            case "code_inline":
                code = self._code(node.content)
                text = self._text(node.content) if code is None else f"`{code}`"
                return _unbracketed(text) if label else text
            case "em" | "strong":
                inside = self.inline(node.children, label)
                text, sign = inside.strip(), "*" if node.type == "em" else "**"
                if not text:
                    return inside
                # Discord sees no emphasis where a blank stands inside of its marks.
                start, end = inside[:len(inside) - len(inside.lstrip())], inside[len(inside.rstrip()):]
                return f"{start}{sign}{text}{sign}{end}"
            case "link":
                address = None if label else _address(str(node.attrs["href"]))
                text = _BLANKS.sub(" ", self.inline(node.children, label or address is not None)).strip()
                return text if address is None or not text else f"[{text}]({address})"
            case other:
                raise NotImplementedError(other)

    def _text(self, content: str) -> str:
        text, end = "", 0
        for mark in _MARK.finditer(content):
            text += _escaped(content[end:mark.start()]) + self._exchanged(mark)
            end = mark.end()
        return text + _escaped(content[end:])

    def _exchanged(self, mark: re.Match[str]) -> str:
        number = int(mark[1])
        return _piece(self.pieces[number]) if number < len(self.pieces) else ""

    def _code(self, content: str) -> str | None:
        """None: it holds what code cannot, such as typed words that could end it, and is written as text."""
        for mark in _MARK.finditer(content):
            number = int(mark[1])
            piece = self.pieces[number] if number < len(self.pieces) else None
            if not isinstance(piece, Plain) or typed(piece.text) != piece.text:
                return None
        return None if "`" in content or not content.strip() else _MARK.sub(self._exchanged, content)


_SIGNED = ("em", "strong", "code_inline")

# Pictures would be fetched from elsewhere.
_PARSER = MarkdownIt("commonmark", {"html": False}).disable(["image", "html_block", "html_inline"])


def _escaped(text: str) -> str:
    return _EVERYONE.sub(f"@{_NOTHING}", _SPECIAL.sub(r"\\\g<0>", text))


def _guarded(text: str) -> str:
    """With nothing at the start of a line that makes it a heading, a list or small print."""
    return _LINE_START.sub(r"\g<0>\\", text)


def _unbracketed(text: str) -> str:
    """Discord looks for the end of a link's text without regard to backslashes."""
    for bracket, instead in (("[", "("), ("]", ")")):
        text = text.replace(f"\\{bracket}", instead).replace(bracket, instead)
    return text


def _isolated(text: str) -> str:
    if not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL") for character in text):
        return f"\u2068{text}\u2069"
    return text


def _flat(text: str) -> str:
    return _BLANKS.sub(" ", _UNSEEN.sub("", text.replace("\r", "\n")))


def _shown(text: str) -> str:
    return _flat(text).strip()


def _words(said: Text, zone: tzinfo) -> str:
    """Where no markup is read."""
    return _BLANKS.sub(" ", plain(tuple(
        replace(piece, text=_flat(piece.text)) if isinstance(piece, Markdown)
        else Plain(_isolated(_flat(piece.text))) if isinstance(piece, Plain)
        else Plain(_isolated(_flat(piece.name))) if isinstance(piece, Mention)
        else piece for piece in said), zone)).strip()


def _address(url: str) -> str | None:
    """None for an address that Discord does not open."""
    address = _PARSER.normalizeLink(url.strip()).translate(_IN_ADDRESSES)
    return address if re.match(r"https?://[^\s/]", address, re.IGNORECASE) else None


# --- lengths ----------------------------------------------------------------------------------------------------------


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _within(text: str, most: int) -> str:
    """The first so many units of it."""
    start = text[:most]
    while (over := _size(start) - most) > 0:
        start = start[:-(over + 1) // 2]
    return start


def _fitting(text: str, most: int) -> str:
    """Plain text; cut after a word where there is one, and never between an emoji and what joins the next to it."""
    if _size(text) <= most:
        return text
    start = _within(text, most - 1)
    words = "".join(start.rsplit(None, 1)[:1])
    if not text[len(start)].isspace() and len(words) >= len(start) // 2:
        start = words
    return start.rstrip("\u200d ") + "…"


def _cut(said: Text, most: int, draw: Callable[[Text], str]) -> str:
    """What is drawn of as much of the text as fits. The text is cut, not the drawing, so that no mark stays open."""
    whole = draw(said)
    if _size(whole) <= most:
        return whole
    low, high = 0, most     # a drawing is hardly ever shorter than its source
    while low < high:
        middle = (low + high + 1) // 2
        if _size(draw(_start(said, middle))) <= most:
            low = middle
        else:
            high = middle - 1
    return draw(_start(said, low))


def _start(said: Text, length: int) -> Text:
    """So many characters of the text, and dots."""
    kept: list[Piece] = []
    for piece in said:
        if length <= 0:
            break
        if isinstance(piece, Markdown | Plain):
            if len(piece.text) > length:
                piece = replace(piece, text=_fitting(piece.text, length).removesuffix("…"))
            length -= len(piece.text)
            kept.append(piece)
            if piece.text == "":
                break
        else:
            length -= 1
            kept.append(piece)
    return (*kept, Plain("…"))
