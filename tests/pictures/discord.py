"""Discord's payloads as HTML, laid out as its app for phones does it in the dark theme. Pure.

Only what `bot/discord/render.py` writes is known here; anything else is refused, so that no picture lies by leaving
something out. Discord's own typeface is not free: Noto Sans, its second choice, stands in.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from enum import IntEnum
from typing import Any

from bot.desk import Caller, Desk
from bot.discord import render
from bot.ledger import Account, Room
from bot.messages import DeliveryKey, Form, Message, When, local
from scheduler.clock import VirtualClock
from tests.pictures.season import ZONE, Scene

_STYLES = {1: "primary", 2: "secondary", 5: "link"}
"""Of buttons."""
_LONG = 2
"""Style of an input for several lines."""


class Kind(IntEnum):
    """Of components (docs: components/reference)."""

    ROW, BUTTON, INPUT = 1, 2, 4
    TEXT, SEPARATOR, CONTAINER, LABEL, RADIOS, CHECKBOXES = 10, 14, 17, 18, 21, 22


_INLINE = re.compile(r"""
    \\ (?P<escaped> [^0-9A-Za-z\s])
  | ` (?P<code> [^`]+) `
  | \*\* (?P<strong> (?: \\. | [^\\])+? ) \*\* (?!\*)
  | \* (?P<em> (?: \\. | [^\\*])+? ) \*
  | \[ (?P<words> (?: \\. | [^\]\\])+ ) \] \( (?P<address> [^)\s]+ ) \)
  | <t: (?P<instant> [0-9]+ ) :F>
  | <@ (?P<user> [0-9]+ ) >
""", re.VERBOSE)


class Discord:
    """What the bot really sends."""

    room, elsewhere = Room("discord", "1", "2"), Room("discord", "1", "3")
    organiser = Account("discord", "", "4")

    def account(self, number: int) -> Account:
        return Account("discord", "", str(number))

    def message(self, message: Message, key: DeliveryKey | None = None) -> render.Payload:
        return render.message(message, key)

    def form(self, form: Form) -> render.Payload:
        return render.form(form, ZONE)

    def outcome(self, name: str, message: Message, form: Form, at: datetime) -> Scene:
        return Scene(name, "private", render.message(message), at)

    async def besides(self, desk: Desk, clock: VirtualClock, you: Caller) -> list[Scene]:
        return []


def picture(scene: Scene, names: Mapping[str, str]) -> str:
    """The inside of a page; `names` are those of the people who may be mentioned, by their ids."""
    if scene.place == "form":
        return _modal(scene)
    writer = _Writer(names, scene.zone)
    (container,) = scene.payload["components"]
    body = _container(container, writer)
    note = "<p class=only>Only you can see this · <span>Dismiss message</span></p>" if scene.place == "private" else ""
    time = f"<time>{scene.at.astimezone(scene.zone):%H:%M}</time>" if scene.place != "private" else ""
    return (f'<main class="chat"><article class="post {scene.place}"><span class=face>N</span><div><p class=who>'
            f"<b>Ninety</b> <span class=app>APP</span> {time}</p>{body}{note}</div></article></main>")


# --- messages ---------------------------------------------------------------------------------------------------------


def _container(one: Mapping[str, Any], writer: _Writer) -> str:
    _known(one, Kind.CONTAINER)
    inside = "".join(_part(part, writer) for part in one["components"])
    return f'<section class=container style="--bar: #{one["accent_color"]:06x}">{inside}</section>'


def _part(one: Mapping[str, Any], writer: _Writer) -> str:
    match one["type"]:
        case Kind.TEXT:
            return f"<div class=text>{writer.block(one['content'])}</div>"
        case Kind.SEPARATOR:
            return "<hr>"
        case Kind.ROW:
            return f"<div class=row>{''.join(map(_button, one['components']))}</div>"
        case other:
            raise NotImplementedError(f"a component of type {other} inside of a container")


def _button(one: Mapping[str, Any]) -> str:
    _known(one, Kind.BUTTON)
    style = _STYLES[one["style"]]
    sign = '<svg viewBox="0 0 24 24"><path d="M14 4h6v6M20 4l-9 9M10 5H5v14h14v-5"/></svg>' if style == "link" else ""
    return f'<span class="button {style}">{_text(one["label"])}{sign}</span>'


class _Writer:
    """Discord's dialect of Markdown, for one reader."""

    def __init__(self, names: Mapping[str, str], zone: tzinfo) -> None:
        self._names, self._zone = names, zone

    def block(self, source: str) -> str:
        return "".join(self._line(line) for line in source.split("\n"))

    def _line(self, line: str) -> str:
        if not line.strip():
            return "<p class=blank></p>"
        if found := re.match(r"(#{1,3}) (.*)", line):
            return f"<h{len(found[1])}>{self.inline(found[2])}</h{len(found[1])}>"
        if line.startswith("-# "):
            return f"<p class=small>{self.inline(line[3:])}</p>"
        if re.match(r"(- |[0-9]+\. |> |```)", line):
            raise NotImplementedError(f"not laid out yet: {line!r}")
        return f"<p>{self.inline(line)}</p>"

    def inline(self, source: str) -> str:
        written, end = "", 0
        for found in _INLINE.finditer(source):
            written += _text(source[end:found.start()]) + self._mark(found)
            end = found.end()
        return written + _text(source[end:])

    def _mark(self, found: re.Match[str]) -> str:
        inside = found[found.lastgroup or 0]
        match found.lastgroup:
            case "escaped":
                return _text(inside)
            case "code":
                return f"<code>{_text(inside)}</code>"
            case "strong" | "em" as tag:
                return f"<{tag}>{self.inline(inside)}</{tag}>"
            case "address":
                return f"<a>{self.inline(found['words'])}</a>"
            case "instant":
                at = datetime.fromtimestamp(int(inside), UTC)
                return f"<span class=instant>{_text(local(When(at), self._zone).replace(', ', ' at '))}</span>"
            case "user":
                return f"<span class=mention>@{_text(self._names[inside])}</span>"
            case other:
                raise NotImplementedError(other)


# --- forms ------------------------------------------------------------------------------------------------------------


def _modal(scene: Scene) -> str:
    fields = "".join(map(_field, scene.payload["components"]))
    return (f"<main class=modal><header><b>{_text(scene.payload['title'])}</b><span class=close>✕</span></header>"
            f"{fields}<footer><span class='button secondary'>Cancel</span><span class='button primary'>Submit</span>"
            "</footer></main>")


def _field(one: Mapping[str, Any]) -> str:
    if one["type"] == Kind.TEXT:
        return f"<div class='text intro'>{_Writer({}, UTC).block(one['content'])}</div>"
    _known(one, Kind.LABEL)
    control = one["component"]
    star = "<i>*</i>" if control["required"] else ""
    about = f"<p class=about>{_text(one['description'])}</p>" if "description" in one else ""
    return f"<div class=field><p class=label>{_text(one['label'])}{star}</p>{about}{_control(control)}</div>"


def _control(one: Mapping[str, Any]) -> str:
    match one["type"]:
        case Kind.INPUT:
            kind = "long" if one["style"] == _LONG else "short"
            return f'<div class="input {kind}">{_text(one.get("value", ""))}</div>'
        case Kind.RADIOS:
            return _options(one["options"], "radio")
        case Kind.CHECKBOXES:
            return _options(one["options"], "check")
        case other:
            raise NotImplementedError(f"a component of type {other} inside of a label")


def _options(options: Sequence[Mapping[str, Any]], kind: str) -> str:
    rows = []
    for option in options:
        about = f"<small>{_text(option['description'])}</small>" if "description" in option else ""
        chosen = " chosen" if option.get("default") else ""
        rows.append(f'<li class="{kind}{chosen}"><span></span><div>{_text(option["label"])}{about}</div></li>')
    return f"<ul>{''.join(rows)}</ul>"


def _known(one: Mapping[str, Any], kind: Kind) -> None:
    if one["type"] != kind:
        raise NotImplementedError(f"a component of type {one['type']} where one of type {kind} is expected")


def _text(words: str) -> str:
    return html.escape(words, quote=False)


STYLE = """* { box-sizing: border-box; margin: 0; padding: 0 }
body { width: 390px; font: 15px/1.35 Noto, NotoEmoji, sans-serif; color: #dfe0e2; background: #1c1d22 }
main { background: #1c1d22 }
b, strong { font-weight: 650; color: #f2f3f5 }
code { font: 13px/1.3 NotoMono; background: #2e3038; border: 1px solid #3c3e46; border-radius: 4px; padding: 0 4px }
a { color: #74a9f5 }
.chat { padding: 16px 12px }
.post { display: grid; grid-template-columns: 38px 1fr; gap: 10px }
.face { width: 38px; height: 38px; border-radius: 50%; background: #0b6457; color: #fff; display: grid;
        place-items: center; font-weight: 650; font-size: 18px }
.who { display: flex; align-items: center; gap: 6px; margin-bottom: 5px; line-height: 20px }
.app { background: #5865f2; color: #fff; font-size: 10.5px; font-weight: 600; border-radius: 4px; padding: 0 5px;
       line-height: 16px }
time, .only, .small, .about, small { color: #a5a7af }
time { font-size: 12px }
.container { position: relative; background: #26272d; border: 1px solid #383a42; border-radius: 8px; overflow: hidden;
             padding: 14px 14px 14px 17px }
.container::before { content: ""; position: absolute; inset: 0 auto 0 0; width: 4px; background: var(--bar) }
.container > * + * { margin-top: 9px }
.container > hr { border: 0; border-top: 1px solid #43454e; margin: 12px 0 }
.container > hr + * { margin-top: 0 }
.text p { overflow-wrap: anywhere }
.text .blank { height: 1.35em }
.text .small { font-size: 12.5px; line-height: 1.5 }
.text h2 { font-size: 18.5px; line-height: 1.3; color: #f2f3f5; font-weight: 680 }
.text h3 { font-size: 16px; color: #f2f3f5 }
.small strong { color: #c6c8ce }
.instant { background: #32343c; border-radius: 3px; padding: 0 2px }
.mention { background: #3a3f78; color: #ccd0ff; border-radius: 3px; padding: 0 3px; font-weight: 550 }
.row { display: flex; flex-wrap: wrap; gap: 8px; padding-top: 4px }
.button { display: inline-flex; align-items: center; gap: 6px; min-height: 34px; padding: 0 14px; border-radius: 8px;
          font-weight: 560; font-size: 14px; color: #fff; background: #3b3d46 }
.button.primary { background: #5865f2 }
.button svg { width: 15px; height: 15px; fill: none; stroke: currentColor; stroke-width: 2 }
.only { font-size: 12px; margin-top: 6px }
.only span { color: #74a9f5 }
.modal { background: #26272d; padding: 18px 18px 20px; display: grid; gap: 22px }
.modal header { display: flex; justify-content: space-between; align-items: center; font-size: 19px }
.close { color: #a5a7af; font-size: 17px }
.label { font-weight: 600; color: #f2f3f5 }
.label i { color: #f57976; font-style: normal; margin-left: 3px }
.about { font-size: 13.5px; margin-top: 2px }
.input { margin-top: 8px; background: #1c1d22; border: 1px solid #43454e; border-radius: 8px; padding: 9px 12px;
         min-height: 40px }
.input.long { min-height: 74px }
.field ul { list-style: none; display: grid; gap: 13px; margin-top: 11px }
.field li { display: grid; grid-template-columns: 22px 1fr; gap: 11px; line-height: 1.35 }
.field li > div { padding-top: 1px }
.field small { display: block; font-size: 12.5px; margin-top: 1px }
.field li > span { width: 22px; height: 22px; border: 2px solid #80838d }
.radio > span { border-radius: 50% }
.check > span { border-radius: 6px }
.radio.chosen > span { border: 6px solid #5865f2; background: #fff }
.check.chosen > span { border-color: #5865f2; background: #5865f2 }
.modal footer { display: grid; grid-template-columns: 1fr 1fr; gap: 10px }
.modal footer .button { justify-content: center; min-height: 40px }
"""
