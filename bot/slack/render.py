"""Message and Form → Slack's blocks and modals, and what comes back from them → the desk's words. Pure.

Slack refuses a message of which one part is too long, so nothing here can be: what does not fit ends with an ellipsis
at the end of a line. Sources of the limits: docs.slack.dev/reference/block-kit and /reference/views.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, TypeAlias, assert_never

from bot.messages import (
    Answers,
    Board,
    Button,
    Checks,
    Choice,
    DeliveryKey,
    Facts,
    Field,
    Form,
    Line,
    Link,
    Message,
    Option,
    Paragraph,
    Part,
    Tasks,
    Text,
    When,
    tag,
)
from bot.slack import mrkdwn
from bot.slack.mrkdwn import ELLIPSIS, Run, Runs, clipped, escaped, units, words

Payload: TypeAlias = dict[str, Any]
"""JSON as Slack takes it."""

PRESS, LINK, FORM = "press:", "link:", "form:"
"""What the action ids of our buttons, of our links and the callback ids of our forms begin with. Slack reports a click
on a link too, and wants it acknowledged."""

SECTION = 3000
HEADER = 150
MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_SIZE = 13_000
"""Of the blocks as JSON. Measured: Slack says `msg_blocks_too_long` from about 13,200 characters on."""
VIEW_SIZE = 40_000
"""Slack takes 250,000 bytes, and JSON may spell one of these as six."""
FALLBACK = 3900
"""chat.update takes no `text` of more than 4,000."""
CHECKBOXES = 10
SELECTS = 100
LABEL = 75
NAME = 24
"""Title, submit and close of a modal."""
INPUT = 3000
ERROR = 300
"""Slack gives no limit; a few lines below the field are what can be read there."""

_BUTTONS = 25
_BUTTONS_SIZE = 6000
_PACKED = 2900
_NOTHING = [{"type": "divider", "block_id": "nothing"}]
"""Slack takes no view without blocks."""
_FIELD, _ANSWER = "field:", "answer:"
_DONE = {None: "• ", True: "✅ ", False: "⬜ "}
_REFUSED = "⚠️ "
# Whether Slack escapes these in what it sends back depends on the place, so they never go there.
_CODED = str.maketrans({"%": "%25", "&": "%26", "<": "%3C", ">": "%3E"})


# --- messages ---------------------------------------------------------------------------------------------------------


def message(said: Message, key: DeliveryKey | None = None, place: str = "") -> Payload:
    """With a key it can be found again, see `carries`. `place` sets the ids of its blocks apart from those of others in
    one view."""
    return {"text": fallback(said), "blocks": _blocks(said, key, place, MESSAGE_BLOCKS, MESSAGE_SIZE),
            "unfurl_links": False, "unfurl_media": False}


def carries(said: Mapping[str, Any], key: DeliveryKey) -> bool:
    """Whether a message of the room's history was posted under this key."""
    return any(tag(key) in str(block.get("block_id", "")).split(":") for block in said.get("blocks") or ())


def home(parts: Sequence[Message]) -> Payload:
    """An App Home view of several messages, one below the other."""
    parts = parts[:VIEW_BLOCKS // 4]
    blocks: list[Payload] = []
    for number, part in enumerate(parts):
        if blocks:
            blocks.append({"type": "divider", "block_id": f"home:{number}"})
        blocks += _blocks(part, None, f"home:{number}", VIEW_BLOCKS // len(parts) - 1, VIEW_SIZE // len(parts))
    return {"type": "home", "blocks": blocks or _NOTHING}


def result(said: Message, title: str, close: str = "") -> Payload:
    """A message as a modal without questions, to take the place of the form that it answers. Without `close` Slack uses
    a word of its own, in the reader's language."""
    return {"type": "modal", "title": _plain(title, NAME), **_close(close),
            "blocks": _blocks(said, None, "result", VIEW_BLOCKS, VIEW_SIZE) or _NOTHING}


def fallback(said: Message) -> str:
    """The whole message without blocks: for notifications and for screen readers, which read this alone."""
    sign = _REFUSED if said.refused else ""
    rows = [" ".join(mrkdwn.written(mrkdwn.plainly(mrkdwn.on_one_line(mrkdwn.inline(said.title)))))]
    for part in said.body:
        rows += mrkdwn.lines(part, bare=True) if isinstance(part, tuple) else \
            [row for runs in _rows(part) for row in mrkdwn.written(mrkdwn.plainly(runs))]
    rows += [" · ".join(f"[{escaped(mrkdwn.shown(button.label))}]" for button in said.buttons)]
    rows = [row for row in rows if row.strip()]
    return _within([sign + rows[0], *rows[1:]], FALLBACK) if rows else ELLIPSIS


def _within(rows: list[str], longest: int) -> str:
    """Whole lines, and an ellipsis for the others."""
    kept: list[str] = []
    left = longest - units(ELLIPSIS) - 1
    for row in rows:
        left -= units(row) + 1
        if left < 0:
            return "\n".join([*kept, ELLIPSIS])
        kept.append(row)
    return "\n".join(kept)


def _blocks(said: Message, key: DeliveryKey | None, place: str, most: int, size: int) -> list[Payload]:
    sign = _REFUSED if said.refused else ""
    head, buttons = _head(said.title, sign), _buttons(said, place)
    body = [rows for part in said.body for rows in _packed(_lines(part))]
    if body and not head:
        body[0] = [sign + body[0][0], *body[0][1:]]
    room = size - sum(map(_size, head + buttons))
    blocks = head + _fitted(body, most - len(head) - len(buttons), room) + buttons
    if key is not None and not blocks:
        blocks = [{"type": "divider"}]
    for number, block in enumerate(blocks):
        ids = [place, str(number), tag(key) if key is not None and number == 0 else ""]
        block["block_id"] = ":".join(part for part in ids if part)
    return blocks


def _head(title: Text, sign: str) -> list[Payload]:
    runs = mrkdwn.inline(title)
    said = words(runs)
    if not _seen(said):
        return []
    # In a header a date would be the same for every reader, and nobody would be called.
    if not any(run.token for run in runs) and units(escaped(sign + said)) <= HEADER:
        return [{"type": "header", "text": _plain(sign + said, HEADER)}]
    rows = mrkdwn.written((Run(sign), *mrkdwn.on_one_line(mrkdwn.inline(title, "*"))), _PACKED)
    return [_section([rows[0], ELLIPSIS] if len(rows) > 1 else rows)]


def _lines(part: Part) -> list[str]:
    match part:
        case tuple():
            return mrkdwn.lines(part, _PACKED)
        case Tasks() | Board() | Facts():
            return [row for runs in _rows(part) for row in mrkdwn.written(runs, _PACKED)]
        case _:
            assert_never(part)


def _rows(part: Tasks | Board | Facts) -> Iterable[Runs]:
    text = mrkdwn.text
    match part:
        case Tasks():
            for task in part.lines:
                weight = text(part.must, "*") if task.must else text(part.stretch)
                yield (Run(_DONE[task.done]), *mrkdwn.inline(task.do, url=task.link or ""), Run(" · "), *weight,
                       Run(" · "), *text(task.hours))
        case Board():
            for row in part.rows:
                mark = "*" if row.you else ""
                you = text(f" ({part.you})", mark) if row.you else ()
                _, _, points, streak = part.headings
                # Each figure with its word: on a phone a line wraps, and a table would come apart.
                yield (Run(f"{row.place}. ", mark), *mrkdwn.typed(" ".join(row.name.split()), mark), *you,
                       *text(f" · {points}: {row.points} · {streak}: {row.streak}", mark))
        case Facts():
            for fact in part.lines:
                first, *more = mrkdwn.split(mrkdwn.inline(fact.label))
                value = mrkdwn.inline(fact.value)
                yield (Run("• "), *first, *((Run(" · "), *value) if value else ()))
                yield from ((Run("   "), *line) for line in more)
        case _:
            assert_never(part)


def _packed(rows: list[str]) -> list[list[str]]:
    """As few sections as will hold the lines."""
    out: list[list[str]] = []
    left = 0
    for row in rows:
        if not out or units(row) + 1 > left:
            out.append([])
            left = _PACKED + 1
        out[-1].append(row)
        left -= units(row) + 1
    return [section for section in out if any(map(_seen, section))]


def _fitted(sections: list[list[str]], most: int, room: int) -> list[Payload]:
    """At most so many sections, whose JSON is no longer than `room`."""
    out: list[Payload] = []
    for number, rows in enumerate(sections):
        last = number == len(sections) - 1
        left = room if last else room - _size(_section([ELLIPSIS]))
        if (len(out) < most - 1 or last) and _size(_section(rows)) <= left:
            out.append(_section(rows))
            room -= _size(out[-1])
            continue
        while rows and _size(_section([*rows, ELLIPSIS])) > room:
            rows = rows[:-1]
        return [*out, _section([*rows, ELLIPSIS])]
    return out


def _section(rows: list[str]) -> Payload:
    # Verbatim: addresses, and names with an @ or a #, stay the text that they are.
    return {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(rows).strip("\n"), "verbatim": True}}


def _buttons(said: Message, place: str) -> list[Payload]:
    elements: list[Payload] = []
    room = _BUTTONS_SIZE
    for number, button in enumerate(said.buttons):
        drawn = _button(button, f"{place}:{number}" if place else str(number), said.cohort)
        room -= 0 if drawn is None else _size(drawn)
        if drawn is not None and room >= 0:
            elements.append(drawn)
    return [{"type": "actions", "elements": elements[:_BUTTONS]}] if elements else []


def _button(one: Button | Link, number: str, cohort: int | None) -> Payload | None:
    """None for an address that Slack would not take; it would refuse the whole message."""
    drawn: Payload = {"type": "button", "text": _plain(one.label, LABEL)}
    match one:
        case Button():
            line = f"{one.command} {one.argument}".strip()
            style = {"style": "primary"} if one.style == "primary" else {}
            return drawn | {"action_id": PRESS + number, "value": _json({"line": line, "cohort": cohort})} | style
        case Link():
            sound = one.url.startswith(("https://", "http://")) and len(one.url) <= INPUT
            return drawn | {"action_id": LINK + number, "url": one.url} if sound else None
        case _:
            assert_never(one)


# --- forms ------------------------------------------------------------------------------------------------------------


def form(one: Form, zone: tzinfo, close: str = "") -> Payload:
    """A modal. Without `close` Slack uses a word of its own, in the reader's language."""
    blocks = [block | {"block_id": f"intro:{number}"} for number, block in enumerate(
        _fitted(_packed(mrkdwn.lines(_in(zone, one.intro), _PACKED)), 10, MESSAGE_SIZE))]
    for field in one.fields:
        blocks += _field(field, zone)
    return {"type": "modal", "callback_id": FORM + one.kind,
            "private_metadata": _json({"kind": one.kind, "about": one.about, "cohort": one.cohort}),
            "title": _plain(one.title, NAME), "submit": _plain(one.submit, NAME), **_close(close),
            "blocks": blocks[:VIEW_BLOCKS] or _NOTHING}


def _field(one: Field, zone: tzinfo) -> list[Payload]:
    match one:
        case Checks():
            return _checks(one, zone)
        case Choice():
            texts, options = _options(one.name, one.options[:SELECTS], zone, markup=len(one.options) <= CHECKBOXES)
            if not options:
                return []
            chosen = [drawn for option, drawn in zip(one.options, options, strict=False) if option.chosen]
            kind = "radio_buttons" if len(options) <= CHECKBOXES else "static_select"
            element: Payload = {"type": kind, "options": options} | ({"initial_option": chosen[0]} if chosen else {})
            return [*texts, _input(one.name, one.label, one.hint, element, not one.required)]
        case Line() | Paragraph():
            value = mrkdwn.shown(one.value) if isinstance(one, Paragraph) else " ".join(mrkdwn.shown(one.value).split())
            while units(value) > INPUT:
                value = value[:-1]
            # Twice, because an emoji may count for two; what is too long the desk says in better words.
            longest = min(INPUT, max(2 * one.longest, units(value)))
            element = {"type": "plain_text_input", "multiline": isinstance(one, Paragraph), "max_length": longest,
                       **({"initial_value": value} if value else {})}
            return [_input(one.name, one.label, one.hint, element, not one.required)]
        case _:
            assert_never(one)


def _checks(one: Checks, zone: tzinfo) -> list[Payload]:
    """Boxes, which are all in sight; lists to unfold where there are too many, and as many of them as it takes."""
    few = len(one.options) <= CHECKBOXES
    texts, options = _options(one.name, one.options, zone, markup=few)
    blocks = texts
    for start in range(0, len(options), SELECTS):
        some = options[start:start + SELECTS]
        chosen = [drawn for option, drawn in zip(one.options[start:], some, strict=False) if option.chosen]
        element: Payload = {"type": "checkboxes" if few else "multi_static_select", "options": some}
        blocks.append(_input(f"{one.name}:{start}" if start else one.name, one.label, one.hint,
                             element | ({"initial_options": chosen} if chosen else {}), True))
    return blocks


def _options(name: str, options: Sequence[Option], zone: tzinfo, *, markup: bool) \
        -> tuple[list[Payload], list[Payload]]:
    """Options are short in Slack. Where one is not, all are numbered, and can be read in full in sections above."""
    labels = [mrkdwn.inline(_in(zone, option.label)) for option in options]
    texts = [" ".join(mrkdwn.written(runs)) for runs in labels]
    said = [words(runs) or option.value or ELLIPSIS for runs, option in zip(labels, options, strict=True)]
    numbered = any(units(escaped(one)) > LABEL for one in said)
    above = _fitted(_packed([
        row for number, runs in enumerate(labels, 1)
        for row in mrkdwn.written((Run(f"{number}. ", "*"), *runs), _PACKED)]), 20, MESSAGE_SIZE) if numbered else []
    drawn = []
    for number, (option, text, plain) in enumerate(zip(options, texts, said, strict=True), 1):
        rich = markup and not numbered and _seen(text) and units(text) <= LABEL
        drawn.append({
            "text": {"type": "mrkdwn", "text": text, "verbatim": True} if rich
            else _plain(f"{number}. {plain}" if numbered else plain, LABEL),
            "value": option.value.translate(_CODED)[:150]}
            | ({"description": _plain(option.hint, LABEL)} if _seen(option.hint) else {}))
    return [block | {"block_id": f"text:{name}:{number}"} for number, block in enumerate(above)], drawn


def _input(name: str, label: str, hint: str, element: Payload, optional: bool) -> Payload:
    return {"type": "input", "block_id": _FIELD + name, "label": _plain(label, 2000), "optional": optional,
            "element": {"action_id": _ANSWER + name, **element}} \
        | ({"hint": _plain(hint, 2000)} if _seen(hint) else {})


def _in(zone: tzinfo, said: Text) -> Text:
    """For where an instant must be told in words: the zone of the reader."""
    return tuple(replace(piece, zone=piece.zone or zone) if isinstance(piece, When) else piece for piece in said)


def _close(word: str) -> Payload:
    return {"close": _plain(word, NAME)} if word else {}


# --- what comes back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pressed:
    """A button of ours."""

    line: str
    cohort: int | None


@dataclass(frozen=True)
class Submitted:
    """A form of ours."""

    kind: str
    about: str
    cohort: int | None


def pressed(action: Mapping[str, Any]) -> Pressed | None:
    """An action of a `block_actions` payload; None for what is no button of ours, such as a link."""
    if not str(action.get("action_id", "")).startswith(PRESS):
        return None
    value = _read(action.get("value"))
    line = value.get("line")
    return Pressed(line, _cohort(value)) if isinstance(line, str) else None


def submitted(view: Mapping[str, Any]) -> Submitted | None:
    """None for what is no form of ours."""
    if not str(view.get("callback_id", "")).startswith(FORM):
        return None
    value = _read(view.get("private_metadata"))
    kind, about = value.get("kind"), value.get("about")
    return Submitted(kind, about, _cohort(value)) if isinstance(kind, str) and isinstance(about, str) else None


def answers(view: Mapping[str, Any]) -> Answers:
    """What was filled in; several lists of one field are one answer."""
    out: dict[str, tuple[str, ...]] = {}
    for block, elements in sorted(view["state"]["values"].items()):
        if block.startswith(_FIELD):
            name = block.removeprefix(_FIELD).split(":")[0]
            out[name] = out.get(name, ()) + tuple(
                answer for element in elements.values() for answer in _answer(element))
    return out


def _answer(element: Mapping[str, Any]) -> Iterable[str]:
    chosen = element.get("selected_options") or [element.get("selected_option")]
    for option in chosen:
        if option is not None:
            value = str(option["value"])
            for sign, code in _CODED.items():
                if sign != ord("%"):
                    value = value.replace(code, chr(sign))
            yield value.replace("%25", "%")
    if element.get("value") is not None:
        yield str(element["value"])


def errors(refusal: Message, one_or_view: Form | Mapping[str, Any]) -> dict[str, str] | None:
    """For `response_action: errors`; None when the refusal is about no field of this form."""
    view = form(one_or_view, UTC) if isinstance(one_or_view, Form) else one_or_view
    block = f"{_FIELD}{refusal.field}"
    if refusal.field is None or not any(
            one.get("type") == "input" and one.get("block_id") == block for one in view["blocks"]):
        return None
    said = " ".join(words(mrkdwn.inline(part)) for part in (refusal.title, *refusal.body) if isinstance(part, tuple))
    # No text object: Slack shows it as it is.
    return {block: mrkdwn.cut(said.strip() or ELLIPSIS, ERROR)}


def _read(value: object) -> Mapping[str, object]:
    try:
        read = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _cohort(value: Mapping[str, object]) -> int | None:
    cohort = value.get("cohort")
    return cohort if isinstance(cohort, int) else None


# --- texts ------------------------------------------------------------------------------------------------------------


def _plain(said: str, longest: int) -> Payload:
    """A text that Slack does not read as markup. Emoji of Unicode stay; `:fire:` does not become one."""
    kept = clipped(" ".join(mrkdwn.shown(said).split()), longest)
    return {"type": "plain_text", "text": kept if _seen(kept) else ELLIPSIS, "emoji": False}


def _seen(said: str) -> bool:
    """Whether there is anything to see; Slack takes no empty text."""
    return any(sign.isprintable() and not sign.isspace() for sign in said)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":")).replace("&", "\\u0026").replace("<", "\\u003c").replace(
        ">", "\\u003e")


def _size(block: Payload) -> int:
    return units(json.dumps(block, ensure_ascii=False)) + 60    # and its id
