"""What the bot says and asks, as plain data that each platform draws in its own best way.

A `Text` is a run of pieces: Markdown that the guide's authors wrote, words that a member typed (`Plain`, which a
renderer must escape), and instants (a renderer draws them so that each reader sees their own time).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import lru_cache
from hashlib import blake2b
from string import Formatter
from typing import Literal, NewType, TypeAlias

from content.citations import strip
from content.model import Say

DeliveryKey = NewType("DeliveryKey", str)
"""Names one delivery for ever; put inside the message, so that it can be found again in the room."""


def tag(key: DeliveryKey) -> str:
    """The key as twenty characters of `A-Za-z0-9_-`, for where there is little room. It tells its reader nothing."""
    return base64.urlsafe_b64encode(blake2b(key.encode(), digest_size=15).digest()).decode()


@dataclass(frozen=True)
class Markdown:
    """Trusted: it comes from the guide."""

    text: str


@dataclass(frozen=True)
class Plain:
    """Untrusted: somebody typed it. Never markup, never a mention."""

    text: str


@dataclass(frozen=True)
class When:
    """An instant. `zone` is the zone whose reader is meant, for platforms that cannot tell the reader's own."""

    at: datetime
    style: Literal["day", "time"] = "time"
    """`day`: the date alone; `time`: weekday, date and time."""
    zone: tzinfo | None = None


@dataclass(frozen=True)
class Mention:
    """Calls the person by name, so that their platform tells them. Nothing else that we post does."""

    user: str
    """Their id on the platform of the room."""
    name: str
    """Untrusted; for platforms that cannot call anybody."""


Piece: TypeAlias = Markdown | Plain | When | Mention
Text: TypeAlias = tuple[Piece, ...]
Value: TypeAlias = str | int | When | Markdown | Mention


def fill(sentence: str, /, **values: Value) -> Text:
    """The guide's sentence with its `{placeholders}` filled; strings become `Plain`. Citations are left out.

    Raises KeyError for a placeholder without a value: the guide's loader has checked them all, so it is a bug of ours.
    """
    pieces: list[Piece] = []
    for part in _parts(sentence):
        if isinstance(part, Markdown):
            pieces.append(part)
        else:
            value = values[part]
            pieces.append(Plain(str(value)) if isinstance(value, (str, int)) else value)
    return tuple(pieces)


# A guide has some hundreds of sentences, and every answer is made of the same ones again.
@lru_cache(maxsize=4096)
def _parts(sentence: str) -> tuple[Markdown | str, ...]:
    """What stands between the placeholders, and their names."""
    parts: list[Markdown | str] = []
    for literal, name, _, _ in Formatter().parse(strip(sentence)):
        if literal:
            parts.append(Markdown(literal))
        if name is not None:
            parts.append(name)
    return tuple(parts)


@lru_cache(maxsize=4096)
def markdown(text: str) -> Text:
    """A text of the guide as it stands, without its citations."""
    return (Markdown(strip(text)),)


# --- parts of a message -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskLine:
    do: Text
    hours: str
    must: bool
    done: bool | None = None
    """None where nobody's progress is meant, as in a post to everybody."""
    link: str | None = None


@dataclass(frozen=True)
class Tasks:
    lines: tuple[TaskLine, ...]
    must: str
    stretch: str
    """The guide's words for the two weights."""


@dataclass(frozen=True)
class BoardRow:
    place: int
    name: str
    """Alias or chosen name: untrusted."""
    points: int
    streak: int
    you: bool = False


@dataclass(frozen=True)
class Board:
    rows: tuple[BoardRow, ...]
    headings: tuple[str, str, str, str]
    """Place, name, points, streak."""
    you: str


@dataclass(frozen=True)
class Fact:
    """A line with a figure beside it: what counted, and what for."""

    label: Text
    value: Text = ()


@dataclass(frozen=True)
class Facts:
    lines: tuple[Fact, ...]


Part: TypeAlias = Text | Tasks | Board | Facts


@dataclass(frozen=True)
class Button:
    """Pressing it is typing the command."""

    label: str
    command: str
    argument: str = ""
    style: Literal["primary", "plain"] = "plain"


@dataclass(frozen=True)
class Link:
    """A button that leads to a page of the guide."""

    label: str
    url: str


@dataclass(frozen=True)
class Message:
    title: Text = ()
    body: tuple[Part, ...] = ()
    buttons: tuple[Button | Link, ...] = ()
    refused: bool = False
    """The answer to something that was not done."""
    field: str | None = None
    """The field of the form that a refusal is about."""
    cohort: int | None = None
    """Whose buttons these are; None where the room tells."""
    thread: str | None = None
    """A platform that has threads opens one below, by this name."""

    def offering(self, *buttons: Button | Link | None) -> Message:
        """With those buttons that there are."""
        return replace(self, buttons=tuple(button for button in buttons if button is not None))


def say(sentence: Say, /, *parts: Part, **values: Value) -> Message:
    """The guide's sentence, then those of the parts that are not empty."""
    title = fill(sentence.title, **values) if sentence.title else ()
    return Message(title, (fill(sentence.body, **values), *(part for part in parts if part)))


# --- forms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    value: str
    label: Text
    chosen: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Checks:
    """Any number of the options."""

    name: str
    label: str
    hint: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Choice:
    """One of the options."""

    name: str
    label: str
    hint: str
    options: tuple[Option, ...]
    required: bool = False


@dataclass(frozen=True)
class Line:
    """One line of text. `suggestions` may be offered while typing."""

    name: str
    label: str
    hint: str
    value: str = ""
    required: bool = False
    longest: int = 200
    suggestions: tuple[str, ...] = ()
    numeric: bool = False


@dataclass(frozen=True)
class Paragraph:
    """Several lines of text."""

    name: str
    label: str
    hint: str
    value: str = ""
    required: bool = False
    longest: int = 2000


Field: TypeAlias = Checks | Choice | Line | Paragraph


@dataclass(frozen=True)
class Form:
    """What a command asks. `kind` and `about` come back with the answers: kind says which form it was, about of what
    (the step)."""

    kind: str
    about: str
    title: str
    intro: Text
    fields: tuple[Field, ...]
    submit: str
    cohort: int | None = None
    """Comes back with the answers too; None where the room tells."""


Answers: TypeAlias = Mapping[str, tuple[str, ...]]
"""Field name → what was chosen or typed; a field of text has one value, an empty one none or an empty string."""


# PostgreSQL keeps no NUL, and half a surrogate pair has no UTF-8; JSON brings us both.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def typed(answers: Answers, name: str) -> str:
    """The text of a field, without the blanks around it; empty when it was left out."""
    values = answers.get(name, ())
    return _NO_TEXT.sub("", values[0]).strip() if values else ""


_MARKS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
"""But not the line inside `total_ms`."""
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def plain(text: Text, zone: tzinfo) -> str:
    """The text without markup, with instants in `zone`."""
    return "".join(
        _MARKS.sub("", _LINK.sub(r"\1", piece.text)) if isinstance(piece, Markdown)
        else piece.text if isinstance(piece, Plain)
        else piece.name if isinstance(piece, Mention)
        else local(piece, zone)
        for piece in text
    )


def local(when: When, zone: tzinfo) -> str:
    """As a person in `zone` would write it, e.g. `Sunday 6 December 2026, 23:59`."""
    if when.style == "time":
        return wall_clock(when.at, when.zone or zone)
    at = when.at.astimezone(when.zone or zone)
    return f"{at:%A} {at.day} {at:%B %Y}"


def wall_clock(at: datetime, zone: tzinfo) -> str:
    """What a clock on the wall in `zone` shows. As a text it is the same for every reader, where a `When` is turned
    into each reader's own time: for deadlines, which fall at the same hour of everybody's own clock."""
    shown = at.astimezone(zone)
    return f"{shown:%A} {shown.day} {shown:%B %Y}, {shown:%H:%M}"
