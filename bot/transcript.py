"""A message as lines of plain text: for transcripts, and for anything that has no better way to show it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import assert_never

from bot.messages import Board, Button, Facts, Link, Message, Part, Tasks, plain


def lines(message: Message, zone: tzinfo) -> Iterator[str]:
    """Instants are told in `zone` where the message means nobody's in particular."""
    if message.title:
        yield f"# {plain(message.title, zone)}"
    for part in message.body:
        yield from _part(part, zone)
    if message.buttons:
        yield " ".join(_button(button) for button in message.buttons)


def _button(button: Button | Link) -> str:
    return f"[{button.label}]" if isinstance(button, Button) else f"[{button.label}: {button.url}]"


def _part(part: Part, zone: tzinfo) -> Iterator[str]:
    if isinstance(part, Tasks):
        for task in part.lines:
            tick = {None: "-", True: "[x]", False: "[ ]"}[task.done]
            yield f"{tick} {plain(task.do, zone)} ({part.must if task.must else part.stretch}, {task.hours})"
    elif isinstance(part, Board):
        yield " | ".join(part.headings)
        for row in part.rows:
            yield f"{row.place} | {row.name}{f' ({part.you})' if row.you else ''} | {row.points} | {row.streak}"
    elif isinstance(part, Facts):
        for fact in part.lines:
            value = plain(fact.value, zone)
            label = plain(fact.label, zone).split("\n")
            yield f"- {label[0]}{f': {value}' if value else ''}"
            yield from (f"  {line}" for line in label[1:])
    elif isinstance(part, tuple):
        yield from plain(part, zone).split("\n")
    else:
        assert_never(part)
