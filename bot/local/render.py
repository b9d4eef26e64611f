"""Message → HTML and Form → an HTML form. Pure.

The pieces of a text belong together (`**{name}**, week {number}`), so they are parsed as one Markdown source in which a
mark stands for each piece that is not Markdown. The marks are exchanged when text is written out, and nowhere else:
what somebody typed can only ever become text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from functools import lru_cache
from html import escape
from typing import assert_never
from zoneinfo import ZoneInfo

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from bot.messages import (
    Board,
    Button,
    Checks,
    Choice,
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
    Tasks,
    Text,
    When,
    local,
    plain,
)

RADIO_MOST = 6
"""A choice among more than these becomes a list to unfold."""

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_MARKS = str.maketrans("", "", _OPEN + _CLOSE)

# Controls, and the characters that turn the direction of whatever follows them. Right-to-left names need none of them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# --- messages ---------------------------------------------------------------------------------------------------------


def message(said: Message) -> str:
    """What stands inside a post."""
    title = f"<h3>{inline(said.title)}</h3>" if said.title else ""
    body = "".join(part(one, plain(said.title, UTC)) for one in said.body)
    buttons = f'<p class="buttons">{"".join(map(button, said.buttons))}</p>' if said.buttons else ""
    return f'<div class="refused">{title}{body}{buttons}</div>' if said.refused else title + body + buttons


def part(one: Part, title: str = "") -> str:
    """`title` names a board to those who cannot see what stands above it."""
    match one:
        case tuple():
            return block(one)
        case Tasks():
            return tasks(one)
        case Board():
            return board(one, title)
        case Facts():
            return facts(one)
        case _:
            assert_never(one)


def tasks(one: Tasks) -> str:
    items = []
    for line in one.lines:
        do = inline(line.do)
        if line.link is not None:
            do = f"<a{_to(line.link)}>{do}</a>"
        state, said = {None: ("none", ""), True: ("yes", "Done: "), False: ("no", "Open: ")}[line.done]
        kind, word = ("must", one.must) if line.must else ("stretch", one.stretch)
        weight = f'<span class="weight {kind}">{text(word)}</span>'
        items.append(f'<li class="done-{state}"><span class="do">{_unseen(said)}{do}</span> '
                     f'<span class="figures">{weight} <span class="hours">{text(line.hours)}</span></span></li>')
    return f'<ul class="tasks">{"".join(items)}</ul>'


def board(one: Board, title: str = "") -> str:
    caption = text(title) if title else text(", ".join(one.headings))
    place, name, points, streak = map(text, one.headings)
    rows = "".join(
        f'<tr{" class=you" if row.you else ""}><td>{row.place}</td><th scope="row">{typed(row.name)}'
        f'{f" <span class=mark-you>{text(one.you)}</span>" if row.you else ""}</th>'
        f"<td>{row.points}</td><td>{row.streak}</td></tr>"
        for row in one.rows)
    return (f'<table class="board"><caption>{caption}</caption><thead><tr><th scope="col">{place}</th>'
            f'<th scope="col">{name}</th><th scope="col">{points}</th><th scope="col">{streak}</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>")


def facts(one: Facts) -> str:
    return '<dl class="facts">' + "".join(
        f"<div><dt>{inline(fact.label)}</dt><dd>{inline(fact.value)}</dd></div>" for fact in one.lines) + "</dl>"


def button(one: Button | Link) -> str:
    match one:
        case Button():
            argument = f' data-argument="{escape(one.argument)}"' if one.argument else ""
            style = ' class="primary"' if one.style == "primary" else ""
            return (f'<button type="button"{style} data-command="{escape(one.command)}"{argument}>'
                    f"{text(one.label)}</button>")
        case Link():
            return f'<a class="button"{_to(one.url)}>{text(one.label)}</a>'
        case _:
            assert_never(one)


def words(said: str) -> str:
    """What a person wrote into the room."""
    return "".join(f"<p>{typed(lines)}</p>" for lines in re.split(r"\n\s*\n", said.strip()))


def asked(command: str) -> str:
    """The command above its answer."""
    return f'<p class="asked"><code>{text(command)}</code></p>'


# --- forms ------------------------------------------------------------------------------------------------------------


def form(one: Form) -> str:
    """For the page's dialog, which shows title, errors and what became of it. No field has a `maxlength`: it would cut
    off what somebody pastes, without a word."""
    intro = f'<div class="intro">{block(one.intro)}</div>' if one.intro else ""
    return (f'<form novalidate autocomplete="off" data-kind="{escape(one.kind)}" data-about="{escape(one.about)}">'
            f'{intro}{"".join(map(field, one.fields))}<p class="buttons"><button type="submit" class="primary">'
            f"{text(one.submit)}</button></p></form>")


def field(one: Field) -> str:
    name, error = escape(one.name), f'<p class="error" id="error-{escape(one.name)}" hidden></p>'
    hint = f'<p class="hint" id="hint-{name}">{text(one.hint)}</p>' if one.hint else ""
    described = f'aria-describedby="{f"hint-{name} " if one.hint else ""}error-{name}"'
    match one:
        case Checks():
            return _group(one.name, one.label, hint + error, described, "",
                          _options("checkbox", one.name, one.options))
        case Choice() if len(one.options) <= RADIO_MOST:
            none = () if one.required else (
                Option("", (Plain("No answer"),), not any(option.chosen for option in one.options)),)
            return _group(one.name, one.label, hint + error, described, ' class="choice" role="radiogroup"',
                          _options("radio", one.name, (*one.options, *none)))
        case Choice():
            options = "".join(f'<option value="{escape(option.value)}"{" selected" if option.chosen else ""}>'
                              f"{text(plain(option.label, UTC))}</option>" for option in one.options)
            none_ = "" if one.required else '<option value="">No answer</option>'
            control = f'<select id="field-{name}" name="{name}" {described}>{none_}{options}</select>'
        case Line():
            required = ' aria-required="true"' if one.required else ""
            numeric = ' inputmode="decimal"' if one.numeric else ""
            listed = f' list="list-{name}"' if one.suggestions else ""
            control = (f'<input id="field-{name}" name="{name}" type="text" dir="auto" data-longest="{one.longest}" '
                       f'value="{escape(_shown(one.value))}" {described}{required}{numeric}{listed}>')
            if one.suggestions:
                options = "".join(f'<option value="{escape(one)}">' for one in one.suggestions)
                control += f'<datalist id="list-{name}">{options}</datalist>'
        case Paragraph():
            required = ' aria-required="true"' if one.required else ""
            # A textarea drops the first line break, so that one is always there.
            control = (f'<textarea id="field-{name}" name="{name}" rows="4" dir="auto" data-longest="{one.longest}" '
                       f"{described}{required}>\n{escape(_shown(one.value))}</textarea>")
        case _:
            assert_never(one)
    label = f'<label for="field-{name}">{text(one.label)}</label>'
    return f'<div class="field" data-field="{name}">{label}{hint}{control}{error}</div>'


def _group(name: str, label: str, notes: str, described: str, attributes: str, options: str) -> str:
    return (f'<fieldset class="field" data-field="{escape(name)}" {described}><legend>{text(label)}</legend>{notes}'
            f'<div{attributes or " class=checks"}>{options}</div></fieldset>')


def _options(kind: str, name: str, options: Sequence[Option]) -> str:
    return "".join(
        f'<label class="option"><input type="{kind}" name="{escape(name)}" value="{escape(option.value)}"'
        f'{" checked" if option.chosen else ""}><span>{inline(option.label)}'
        f'{f" <small>{text(option.hint)}</small>" if option.hint else ""}</span></label>'
        for option in options)


# --- texts ------------------------------------------------------------------------------------------------------------


def block(said: Text) -> str:
    return _written(said, False)


def inline(said: Text) -> str:
    return _written(said, True)


def text(said: str) -> str:
    return escape(_shown(said))


def typed(said: str) -> str:
    """Untrusted words: text, kept apart from the direction of the text around them."""
    return f"<bdi>{escape(_shown(said)).replace(chr(10), '<br>')}</bdi>"


def when(one: When) -> str:
    """In UTC for machines; readable as it stands, and shown by the page in the reader's zone. The date of a day is
    that of its own zone: the cohort's first Monday is no Sunday in Boston."""
    zone = one.zone.key if isinstance(one.zone, ZoneInfo) else ""
    at = one.at.astimezone(UTC)
    known = f' data-zone="{escape(zone)}"' if zone else ""
    said = local(one, UTC) + (f" ({zone or 'UTC'})" if one.style == "time" else "")
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" data-style="{one.style}"{known}>{text(said)}</time>'


def _written(said: Text, inline: bool) -> str:
    marked = "".join(piece.text.translate(_MARKS) if isinstance(piece, Markdown) else f"{_OPEN}{number}{_CLOSE}"
                     for number, piece in enumerate(said))
    parser = _LINES if inline else _MARKDOWN
    return str(parser.renderer.render(_tokens(marked, inline), parser.options, {"pieces": said})).strip()


# Without what people typed, the texts are the guide's, and few; to parse one takes longer than to write it ten times.
@lru_cache(maxsize=1024)
def _tokens(marked: str, inline: bool) -> Sequence[Token]:
    return _LINES.parseInline(marked) if inline else _MARKDOWN.parse(marked)


def _piece(piece: Piece) -> str:
    match piece:
        case Plain():
            return typed(piece.text)
        case When():
            return when(piece)
        case Mention():
            return f"<strong>{typed(piece.name)}</strong>"
        case Markdown():
            return ""  # has no mark
        case _:
            assert_never(piece)


class _Renderer(RendererHTML):
    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _exchanged(tokens[idx].content, env)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<code>{_exchanged(tokens[idx].content, env)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<pre><code>{_exchanged(tokens[idx].content, env)}</code></pre>\n"

    fence = code_block

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<h4>"  # below the post's own title

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</h4>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        tokens[idx].attrSet("target", "_blank")
        tokens[idx].attrSet("rel", "noopener")
        return self.renderToken(tokens, idx, options, env)


def _exchanged(content: str, env: EnvType) -> str:
    pieces: Text = env["pieces"]
    return _MARK.sub(lambda mark: _piece(pieces[int(mark[1])]), escape(content))


def _parser(breaks: bool) -> MarkdownIt:
    # Pictures would be fetched from elsewhere.
    return MarkdownIt("commonmark", {"html": False, "breaks": breaks}, renderer_cls=_Renderer).disable("image")


_MARKDOWN = _parser(breaks=False)
_LINES = _parser(breaks=True)


def _shown(said: str) -> str:
    return _UNSEEN.sub("", said.replace("\r\n", "\n").replace("\r", "\n"))


def _to(url: str) -> str:
    """Attributes of a link that leaves the chat open; none for an address that a browser would run."""
    return f' href="{escape(url)}" target="_blank" rel="noopener"' if _MARKDOWN.validateLink(url) else ""


def _unseen(said: str) -> str:
    return f'<span class="unseen">{text(said)}</span>' if said else ""
