"""Slack's payloads as HTML, laid out as its app does it on the width of a phone in the light theme. Pure but for
`Slack.besides`, which asks the real shell for somebody's home.

Only what `bot/slack/render.py` writes is known here; anything else is refused, so that no picture lies by leaving
something out. Noto Sans stands in for Slack's own typeface.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.desk import Caller, Desk
from bot.ledger import Account, Room
from bot.messages import DeliveryKey, Form, Message
from bot.slack import render
from bot.slack.shell import Shell
from bot.slack.transports import answered, bolt
from scheduler.clock import VirtualClock
from tests.pictures.season import ZONE, Payload, Scene

TEAM = "T1"

_INLINE = re.compile(r"""
    ` (?P<code> [^`\n]+ ) `
  | \* (?P<strong> [^*\n]+ ) \*
  | (?<![A-Za-z0-9]) _ (?P<em> [^_\n]+ ) _ (?![A-Za-z0-9])
  | <!date\^ (?P<instant> [0-9]+ ) \^ \{date_long_pretty\}\ at\ \{time\} \| [^>]+ >
  | <@ (?P<user> [A-Z0-9]+ ) >
  | < (?P<address> https?:// [^|>]+ ) \| (?P<words> [^>]+ ) >
""", re.VERBOSE)
_MARKUP = re.compile(r"[<>~]|&(?!amp;|lt;|gt;)|(?m:^(?:&gt;|```))")
"""What would have to be laid out too."""


class Slack:
    """What the bot really sends."""

    room, elsewhere = Room("slack", TEAM, "C2"), Room("slack", TEAM, "C3")
    organiser = Account("slack", TEAM, "U4")

    def account(self, number: int) -> Account:
        return Account("slack", TEAM, f"U{number}")

    def message(self, message: Message, key: DeliveryKey | None = None) -> Payload:
        return render.message(message, key)

    def form(self, form: Form) -> Payload:
        return render.form(form, ZONE)

    def outcome(self, name: str, message: Message, form: Form, at: datetime) -> Scene:
        return Scene(name, "form", render.result(message, form.title), at)

    async def besides(self, desk: Desk, clock: VirtualClock, you: Caller) -> list[Scene]:
        """The home, as the shell publishes it when somebody opens it."""
        workspace = _Workspace(you)
        async with aiohttp.ClientSession() as session:
            shell = Shell(desk, workspace, clock, session)
            await answered(bolt(shell), AsyncBoltRequest(mode="socket_mode", body={
                "type": "event_callback", "team_id": TEAM, "event_id": "Ev1",
                "event": {"type": "app_home_opened", "user": you.account.user, "tab": "home"}}))
            await shell.drain(10)
        return [Scene("home", "home", workspace.home, clock.now())]


class _Workspace:
    """Knows one person, and keeps what is published for them."""

    def __init__(self, you: Caller) -> None:
        self._you = you
        self.home: Payload = {}

    async def call(self, team: str, method: str, *, json: Mapping[str, object] | None = None,
                   params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        match method:
            case "users.info":
                return {"user": {"profile": {"display_name": self._you.name}, "tz": self._you.zone}}
            case "views.publish" if json is not None and json["user_id"] == self._you.account.user:
                assert isinstance(json["view"], dict)
                self.home = json["view"]
                return {}
            case other:
                raise NotImplementedError(other)

    async def revoked(self, team: str | None, enterprise: str | None = None, at: datetime | None = None) -> None:
        raise NotImplementedError


def picture(scene: Scene, names: Mapping[str, str]) -> str:
    """The inside of a page; `names` are those of the people who may be mentioned, by their ids."""
    writer = _Writer(names, scene)
    body = "".join(_block(block, writer) for block in scene.payload["blocks"])
    if scene.place == "home":
        return ("<main class=home><header><span class=face>N</span><b>Ninety</b></header>"
                f"<nav><b>Home</b><span>Messages</span><span>About</span></nav>{body}</main>")
    if scene.place == "form":
        return _modal(scene.payload, body)
    only = "<p class=only><svg viewBox='0 0 24 24'><path d='M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z'/>" \
           "<circle cx=12 cy=12 r=3 /></svg>Only visible to you</p>" if scene.place == "private" else ""
    return (f'<main class=chat>{only}<article class=post><span class=face>N</span><div><p class=who><b>Ninety</b> '
            f"<span class=app>APP</span> <time>{_clock(scene.at.astimezone(scene.zone))}</time></p>{body}</div>"
            "</article></main>")


def _modal(view: Payload, body: str) -> str:
    submit = f"<span class='button primary'>{_plain(view['submit'])}</span>" if "submit" in view else ""
    # Slack's own words where the view has none.
    close = _plain(view["close"]) if "close" in view else "Cancel" if submit else "Close"
    return (f"<main class=modal><header><span class=face>N</span><b>{_plain(view['title'])}</b>"
            f"<span class=close>✕</span></header><div class=view>{body}</div>"
            f"<footer><span class=button>{close}</span>{submit}</footer></main>")


# --- blocks -----------------------------------------------------------------------------------------------------------


def _block(one: Mapping[str, Any], writer: _Writer) -> str:
    match one["type"]:
        case "header":
            return f"<h2>{_plain(one['text'])}</h2>"
        case "section":
            assert one["text"]["type"] == "mrkdwn" and one["text"]["verbatim"]
            return f"<div class=text>{writer.block(one['text']['text'])}</div>"
        case "divider":
            return "<hr>"
        case "actions":
            return f"<div class=row>{''.join(map(_button, one['elements']))}</div>"
        case "input":
            return _input(one, writer)
        case other:
            raise NotImplementedError(f"a block of type {other}")


def _button(one: Mapping[str, Any]) -> str:
    if one["type"] != "button":
        raise NotImplementedError(f"an element of type {one['type']} among buttons")
    return f'<span class="button {one.get("style", "")}">{_plain(one["text"])}</span>'


def _input(one: Mapping[str, Any], writer: _Writer) -> str:
    optional = " <small>(optional)</small>" if one["optional"] else ""
    hint = f"<p class=hint>{_plain(one['hint'])}</p>" if "hint" in one else ""
    return (f"<div class=field><p class=label>{_plain(one['label'])}{optional}</p>{_element(one['element'], writer)}"
            f"{hint}</div>")


def _element(one: Mapping[str, Any], writer: _Writer) -> str:
    match one["type"]:
        case "plain_text_input":
            value = re.sub(r"[&<>]", lambda sign: f"&#{ord(sign[0])};", one.get("initial_value", ""))
            return f'<div class="input {"long" if one["multiline"] else "short"}">{value}</div>'
        case "radio_buttons":
            return _options(one["options"], [one["initial_option"]] if "initial_option" in one else [], "radio", writer)
        case "checkboxes":
            return _options(one["options"], one.get("initial_options", []), "check", writer)
        case other:
            raise NotImplementedError(f"an element of type {other} in an input")


def _options(options: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]], kind: str,
             writer: _Writer) -> str:
    rows = []
    for option in options:
        label = writer.inline(option["text"]["text"]) if option["text"]["type"] == "mrkdwn" else _plain(option["text"])
        about = f"<small>{_plain(option['description'])}</small>" if "description" in option else ""
        rows.append(f'<li class="{kind}{" chosen" if option in chosen else ""}"><span></span><div>{label}{about}</div>'
                    "</li>")
    return f"<ul>{''.join(rows)}</ul>"


# --- texts ------------------------------------------------------------------------------------------------------------


class _Writer:
    """Slack's mrkdwn, for one reader."""

    def __init__(self, names: Mapping[str, str], scene: Scene) -> None:
        self._names, self._scene = names, scene

    def block(self, source: str) -> str:
        return "".join(f"<p>{self.inline(line)}</p>" if line.strip() else "<p class=blank></p>"
                       for line in source.split("\n"))

    def inline(self, source: str) -> str:
        written, end = "", 0
        for found in _INLINE.finditer(source):
            written += _laid_out(source[end:found.start()]) + self._mark(found)
            end = found.end()
        return written + _laid_out(source[end:])

    def _mark(self, found: re.Match[str]) -> str:
        # lastgroup is the last that closed: with an address it is its words.
        inside = found[found.lastgroup or 0]
        match found.lastgroup:
            case "code":
                return f"<code>{_laid_out(inside)}</code>"
            case "strong" | "em" as tag:
                return f"<{tag}>{self.inline(inside)}</{tag}>"
            case "words":
                return f"<a>{self.inline(inside)}</a>"
            case "instant":
                return self._date(datetime.fromtimestamp(int(inside), UTC))
            case "user":
                return f"<span class=mention>@{_laid_out(self._names[inside])}</span>"
            case other:
                raise NotImplementedError(other)

    def _date(self, at: datetime) -> str:
        """As {date_long_pretty} and {time} are shown in English (docs: messaging/formatting-message-text)."""
        here, today = at.astimezone(self._scene.zone), self._scene.at.astimezone(self._scene.zone).date()
        return f"{_day(here.date(), today)} at {_clock(here)}"


def _day(day: date, today: date) -> str:
    near = {timedelta(-1): "yesterday", timedelta(0): "today", timedelta(1): "tomorrow"}
    if day - today in near:
        return near[day - today]
    ending = "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return f"{day:%A}, {day:%B} {day.day}{ending}, {day.year}"


def _clock(at: datetime) -> str:
    return f"{at.hour % 12 or 12}:{at:%M} {'AM' if at.hour < 12 else 'PM'}"


def _laid_out(words: str) -> str:
    """Slack escapes the three signs that HTML does."""
    if _MARKUP.search(words):
        raise NotImplementedError(f"not laid out yet: {words!r}")
    return words


def _plain(one: Mapping[str, Any]) -> str:
    assert one["type"] == "plain_text"
    return str(one["text"])


STYLE = """* { box-sizing: border-box; margin: 0; padding: 0 }
body { width: 390px; font: 15px/1.4 Noto, NotoEmoji, sans-serif; color: #1d1c1d; background: #fff }
main { background: #fff; border: 1px solid #d8d8d8 }
b, strong { font-weight: 700 }
code { font: 13px/1.3 NotoMono; color: #c01343; background: #f6f6f6; border: 1px solid #dedede; border-radius: 4px;
       padding: 0 4px }
a { color: #1264a3 }
.chat { padding: 16px 14px }
.post { display: grid; grid-template-columns: 38px 1fr; gap: 10px }
.face { width: 38px; height: 38px; border-radius: 8px; background: #0b6457; color: #fff; display: grid;
        place-items: center; font-weight: 650; font-size: 18px }
.who { display: flex; align-items: center; gap: 6px; margin-bottom: 4px; line-height: 20px }
.app { background: #e8e8e8; color: #454447; font-size: 10.5px; font-weight: 600; border-radius: 3px; padding: 0 4px;
       line-height: 15px }
time, .only, .hint, small { color: #616061; font-weight: 400 }
time { font-size: 12.5px }
.only { display: flex; align-items: center; gap: 10px; font-size: 12.5px; margin: 0 0 6px 23px }
.only svg { width: 15px; height: 15px; fill: none; stroke: currentColor; stroke-width: 2 }
h2 { font-size: 18px; line-height: 1.33; font-weight: 800 }
h2 + *, .text + *, .row + * { margin-top: 10px }
.text p { overflow-wrap: anywhere; white-space: pre-wrap }
.text .blank { height: 0.8em }
.mention { background: #e3f0f9; color: #1264a3; border-radius: 3px; padding: 0 3px }
.row { display: flex; flex-wrap: wrap; gap: 8px }
.button { display: inline-flex; align-items: center; min-height: 34px; padding: 0 13px; border-radius: 8px;
          font-weight: 650; font-size: 14px; background: #fff; border: 1px solid #bbbabb }
.button.primary { background: #007a5a; border-color: #007a5a; color: #fff }
.modal header, .home header { display: flex; align-items: center; gap: 10px; padding: 14px 16px; font-size: 18px }
.modal header { border-bottom: 1px solid #dddddd }
.modal .face, .home .face { width: 26px; height: 26px; border-radius: 6px; font-size: 13px }
.close { color: #616061; margin-left: auto; font-size: 16px }
.view { padding: 18px 16px 20px; display: grid; gap: 20px }
.view > h2 + *, .view > .text + *, .view > .row + * { margin-top: 0 }
.view:not(:has(.field)) { gap: 10px }
.label { font-weight: 700 }
.input { margin-top: 7px; border: 1px solid #868686; border-radius: 8px; padding: 8px 12px; min-height: 40px }
.input.long { min-height: 80px }
.hint { font-size: 13px; margin-top: 6px }
.field ul { list-style: none; display: grid; gap: 11px; margin-top: 9px }
.field li { display: grid; grid-template-columns: 20px 1fr; gap: 10px }
.field li small { display: block; font-size: 13px }
.field li > span { width: 18px; height: 18px; margin-top: 2px; border: 1px solid #868686 }
.label small { font-size: 15px }
.radio > span { border-radius: 50% }
.check > span { border-radius: 4px }
.radio.chosen > span { border: 5.5px solid #1264a3 }
.check.chosen > span { border-color: #1264a3; background: #1264a3 }
.modal footer { display: flex; justify-content: flex-end; gap: 10px; padding: 12px 16px;
                border-top: 1px solid #dddddd }
.home { position: relative; max-height: 930px; overflow: hidden; padding-bottom: 18px }
.home::after { content: ""; position: absolute; top: 870px; height: 60px; left: -16px; right: -16px;
               background: linear-gradient(transparent, #fff) }
.home > * { margin-left: 16px; margin-right: 16px }
.home > header { margin: 0; padding-bottom: 6px }
.home > nav { display: flex; gap: 20px; margin: 0 0 16px; padding: 0 16px; border-bottom: 1px solid #dddddd;
              color: #616061; font-size: 14px }
.home > nav > * { padding: 8px 0 }
.home > nav > b { color: #1d1c1d; box-shadow: inset 0 -2px #007a5a }
.home > hr { border: 0; border-top: 1px solid #dddddd; margin-top: 18px; margin-bottom: 18px }
"""
