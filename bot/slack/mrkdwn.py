"""Text → Slack's mrkdwn. Pure.

The pieces of a text belong together (`**{name}**, week {number}`), so they are parsed as one Markdown source in which a
mark stands for each piece that is not Markdown. What comes out are runs: text that is drawn in one way. Only when runs
are written do they become mrkdwn, and nothing in the text of a run can: mrkdwn has no escape for its own marks, so they
are exchanged for signs that look alike. Zero-width spaces would not do: to Slack they are borders of words, where bold
and italics may begin (which is what they are used for here, around real bold inside a word).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from itertools import groupby
from typing import assert_never
from zoneinfo import ZoneInfo

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.messages import Markdown, Mention, Piece, Plain, Text, When, local

ELLIPSIS = "…"

_BOLD, _ITALIC, _STRIKE, _CODE = "*", "_", "~", "`"
_STYLES = {"strong": _BOLD, "em": _ITALIC, "s": _STRIKE}
_LONGEST_URL = 2000

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_MARKS = str.maketrans("", "", _OPEN + _CLOSE)

_BREAK = "\u200b"
_ISOLATE, _ISOLATED = "\u2068", "\u2069"

# Controls, and the characters that turn the direction of whatever follows them. Right-to-left names need none of them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Where mark signs may stand as they are: Slack asks for the border of a word, and a_b has none.
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ALIKE = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_ALIKE_UNDERSCORE = "\u02cd"
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTES = re.compile(r"(^|\n)(\s*)>")
"""Slack quotes a line that begins with `&gt;` too."""

_EMOJI = re.compile(r":(?=[\w+'-]+(?::|\Z))")
_LINKS = re.compile(r":(?=//)|[@#](?=\w)|\.(?=[^\W\d_])|[@#:]\Z")
"""Where to part what Slack might make a link of: addresses, domains, names of people and channels. What is typed last
may go on with the guide's next words."""

# After these Slack takes a mark for an opening one, and before those for a closing one; elsewhere it needs a border.
_BEFORE, _AFTER = " \n([{\"'.,:;!?-", " \n)]}\"'.,:;!?-…"

_USER = re.compile("[A-Z0-9]+")


@dataclass(frozen=True)
class Run:
    """Text that is drawn in one way."""

    text: str
    marks: str = ""
    url: str = ""
    typed: bool = False
    token: str = ""
    """What Slack writes out by itself, a date or a mention; `text` says it in words."""


Runs = tuple[Run, ...]


@dataclass(frozen=True)
class Line:
    """A line of a text of several blocks. `lead` is mrkdwn: a bullet or a sign of quotation."""

    lead: str
    rest: str
    """The lead of the lines below, where this one is too long."""
    runs: Runs
    code: bool = False


# --- Markdown → runs --------------------------------------------------------------------------------------------------


def inline(said: Text, marks: str = "", url: str = "") -> Runs:
    """A text without blocks: a title, a label. `marks` and `url` are for those runs that have none of their own."""
    runs: list[Run] = []
    for token in _MARKDOWN.parseInline(_marked(said)):
        runs += _runs(token.children or (), said, "\n")
    target = address(url)
    return tuple(replace(run, marks=_with(run.marks, marks), url="" if run.token else run.url or target)
                 for run in runs)


def text(said: str, marks: str = "") -> Runs:
    """A word of the guide that is no Markdown."""
    return (Run(shown(said), marks),)


def typed(said: str, marks: str = "") -> Runs:
    """Untrusted words."""
    return (Run(_isolated(shown(said)), marks, typed=True),)


def block(said: Text) -> list[Line]:
    """A text with its paragraphs, lists, quotes and headings; an empty line parts what is no list."""
    lines: list[Line] = []
    lists: list[int | None] = []    # the next number of each open list; None for bullets
    bullet, quotes, heading = "", 0, ""
    after_heading = False

    def add(runs: Runs, code: bool = False) -> None:
        nonlocal bullet
        quote, indent = "> " if quotes else "", "    " * max(len(lists) - 1, 0)
        # An item's later paragraphs stand under its first.
        lead = indent + (bullet or ("  " if lists else ""))
        rest = indent + ("  " if lists else "")
        for number, line in enumerate((runs,) if code else split(runs)):
            lines.append(Line(quote + (rest if number else lead), quote + rest, line, code))
        bullet = ""

    for token in _MARKDOWN.parse(_marked(said)):
        kind = token.type
        if token.level == 0 and token.nesting >= 0 and kind != "inline":
            if lines and not after_heading:
                lines.append(Line("", "", ()))
            after_heading = kind == "heading_open"
        if kind == "inline":
            # The author's line ends are not the reader's.
            add(tuple(replace(run, marks=_with(run.marks, heading))
                      for run in _runs(token.children or (), said, " ")))
        elif kind in ("fence", "code_block"):
            add(tuple(_exchanged(token.content.rstrip("\n"), said, _CODE, "")), code=True)
        elif kind == "hr":
            add((Run("———"),))
        elif kind == "bullet_list_open":
            lists.append(None)
        elif kind == "ordered_list_open":
            lists.append(int(token.attrGet("start") or 1))
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            number = lists[-1]
            bullet = "• " if number is None else f"{number}. "
            lists[-1] = None if number is None else number + 1
        elif kind in ("blockquote_open", "blockquote_close"):
            quotes += token.nesting
        elif kind in ("heading_open", "heading_close"):
            heading = _BOLD if token.nesting > 0 else ""
    return lines


def _runs(tokens: Iterable[Token], said: Text, soft: str) -> Runs:
    runs: list[Run] = []
    marks, url = "", ""
    for token in tokens:
        kind = token.type
        if kind == "text":
            runs += _exchanged(token.content, said, marks, url)
        elif kind == "code_inline":
            runs += _exchanged(token.content, said, _with(marks, _CODE), url)
        elif kind == "softbreak":
            runs.append(Run(soft, marks, url))
        elif kind == "hardbreak":
            runs.append(Run("\n"))
        elif kind == "link_open":
            url = address(str(token.attrGet("href") or ""))
        elif kind == "link_close":
            url = ""
        elif kind.endswith("_open"):
            marks = _with(marks, _STYLES[kind.removesuffix("_open")])
        elif kind.endswith("_close"):
            marks = marks.replace(_STYLES[kind.removesuffix("_close")], "")
        else:
            runs += _exchanged(token.content, said, marks, url)
    return tuple(runs)


def _exchanged(content: str, said: Text, marks: str, url: str) -> Iterable[Run]:
    # Every second part is the number of a piece.
    for index, part in enumerate(_MARK.split(content)):
        if index % 2:
            # An entity in the guide's Markdown can write a mark too; it stands for nothing then.
            yield _piece(said[int(part)], marks, url) if int(part) < len(said) else Run("")
        elif part:
            yield Run(shown(part), marks, url)


def _piece(piece: Piece, marks: str, url: str) -> Run:
    match piece:
        case Plain():
            return replace(typed(piece.text)[0], marks=marks, url=url)
        case When(style="day"):
            # Slack would show the date of each reader's own zone: the day before, to the west of the cohort.
            return Run(words_of(piece, UTC), marks, url)
        case When():
            said = words_of(piece, UTC)
            return Run(said, marks.replace(_CODE, ""), token="" if _CODE in marks else _date(piece, said))
        case Mention():
            known = _USER.fullmatch(piece.user) is not None
            return replace(typed(piece.name)[0], marks=marks.replace(_CODE, ""),
                           token=f"<@{piece.user}>" if known else "")
        case Markdown():
            return Run("")  # has no mark
        case _:
            assert_never(piece)


def words_of(when: When, zone: tzinfo) -> str:
    """With the zone whose clock it is."""
    of = when.zone or zone
    name = of.key if isinstance(of, ZoneInfo) else when.at.astimezone(of).tzname()
    return local(when, zone) + (f" ({name})" if when.style == "time" else "")


def _date(when: When, said: str) -> str:
    fallback = said.translate(_ENTITIES)
    return f"<!date^{int(when.at.timestamp())}^{{date_long_pretty}} at {{time}}|{fallback}>"


def _marked(said: Text) -> str:
    return "".join(piece.text.translate(_MARKS) if isinstance(piece, Markdown) else f"{_OPEN}{number}{_CLOSE}"
                   for number, piece in enumerate(said))


def _with(marks: str, more: str) -> str:
    return "".join(mark for mark in "*_~`" if mark in marks or mark in more)


def address(url: str) -> str:
    """As it may stand in a link of Slack's; empty for what is no address of the web."""
    sound = url.startswith(("https://", "http://", "mailto:")) and len(url) <= _LONGEST_URL
    # The mark of a piece is percent-encoded by the parser; nothing that is typed belongs into an address.
    if not sound or _OPEN in url or "%EE%80%80" in url:
        return ""
    return re.sub(r"[<>|\s]", lambda sign: f"%{ord(sign[0]):02X}", shown(url)).replace("&", "&amp;")


# --- runs → mrkdwn ----------------------------------------------------------------------------------------------------


def written(runs: Runs, longest: int = 2900) -> list[str]:
    """Lines of mrkdwn, each no longer than `longest` UTF-16 units; a longer one is broken between words, and what is
    bold stays bold on both."""
    return [_written(part).rstrip(" ") for line in split(runs) for part in _broken(line, longest)]


def lines(said: Text, longest: int = 2900, bare: bool = False) -> list[str]:
    """`bare`: without style or links, as for notifications and screen readers."""
    out: list[str] = []
    for line in block(said):
        if line.code and not bare:
            out += _fenced(line, longest)
        else:
            parts = written(plainly(line.runs) if bare else line.runs, longest - len(line.lead)) or [""]
            out += [(line.rest if number else line.lead) + part for number, part in enumerate(parts)]
    return out


def plainly(runs: Runs) -> Runs:
    """The same words without style and links. Dates in words; a mention stays one, for it may be what calls."""
    return tuple(replace(run, marks="", url="", token=run.token if run.token.startswith("<@") else "") for run in runs)


def words(runs: Runs) -> str:
    """Without markup, for Slack's plain text (where `:fire:` may still become a picture); on one line."""
    return " ".join("".join(_EMOJI.sub(f":{_BREAK}", run.text) if run.typed else run.text for run in runs).split())


def escaped(said: str) -> str:
    return said.translate(_ENTITIES)


def units(said: str) -> int:
    """Slack does not say what its characters are; no count of them is greater than this one of UTF-16."""
    return len(said) if said.isascii() else len(said.encode("utf-16-le", "surrogatepass")) // 2


def clipped(said: str, longest: int) -> str:
    """Escaped and then no longer than that."""
    return escaped(said) if units(escaped(said)) <= longest else escaped(_cut(said, longest, escaped)) + ELLIPSIS


def cut(said: str, longest: int) -> str:
    return said if units(said) <= longest else _cut(said, longest, str) + ELLIPSIS


def _cut(said: str, longest: int, drawn: Callable[[str], str]) -> str:
    """So much of it that an ellipsis has room; never within an emoji of several characters."""
    left, end = longest - len(ELLIPSIS), 0
    while end < len(said) and (left := left - units(drawn(said[end]))) >= 0:
        end += 1
    while 0 < end < len(said) and (_joins(said[end]) or said[end - 1] == "\u200d"):
        end -= 1
    return said[:end].rstrip()


def _joins(character: str) -> bool:
    return character == "\u200d" or "\U0001f3fb" <= character <= "\U0001f3ff" or \
        unicodedata.category(character).startswith("M")


def shown(said: str) -> str:
    return _UNSEEN.sub("", said.replace("\r\n", "\n").replace("\r", "\n"))


def _isolated(said: str) -> str:
    """Right-to-left words, kept from turning what stands beside them."""
    return "\n".join(
        f"{_ISOLATE}{line}{_ISOLATED}" if any(unicodedata.bidirectional(sign) in ("R", "AL", "AN") for sign in line)
        else line for line in said.split("\n"))


def _literal(run: Run) -> str:
    """The text of a run, of which nothing is markup to Slack."""
    said = run.text
    if run.typed:
        said = _LINKS.sub(rf"\g<0>{_BREAK}", _EMOJI.sub(f":{_BREAK}", said))
    elif _CODE in run.marks:
        return said.replace("`", _ALIKE[ord("`")]).translate(_ENTITIES)
    said = _QUOTES.sub(rf"\1\2{_BREAK}>", said)
    return _UNDERSCORE.sub(_ALIKE_UNDERSCORE, said).translate(_ALIKE).translate(_ENTITIES)


def on_one_line(runs: Runs) -> Runs:
    return tuple(replace(run, text=run.text.replace("\n", " ")) for run in runs)


def split(runs: Runs) -> list[Runs]:
    """Line by line."""
    out: list[list[Run]] = [[]]
    for run in runs:
        if run.token or "\n" not in run.text:
            out[-1].append(run)
            continue
        first, *more = run.text.split("\n")
        out[-1].append(replace(run, text=first))
        out += [[replace(run, text=line)] for line in more]
    return [tuple(line) for line in out]


def _broken(line: Runs, longest: int) -> list[Runs]:
    if units(_written(line)) <= longest:
        return [line]
    out: list[list[Run]] = [[]]
    left = longest
    for run in line:
        around = 2 * len(run.marks) + 4 + (len(run.url) + 3 if run.url else 0)
        if around > longest // 2:
            run, around = replace(run, url=""), 2 * len(run.marks) + 4
        for bit in [run] if run.token else _bits(run, max(1, (longest - around) // 8)):
            cost = around + (len(run.token) or units(_literal(bit)))
            if cost > left and out[-1]:
                out.append([])
                left = longest
            out[-1].append(bit)
            left -= cost
    return [tuple(part) for part in out]


def _bits(run: Run, longest: int) -> list[Run]:
    """Word by word, and a word of more than `longest` characters in several."""
    return [replace(run, text=bit) for bit in re.findall(rf"\S{{1,{longest}}}\s?|\s", run.text)]


def _written(line: Runs) -> str:
    out, border = "", False
    for (marks, url), group in groupby(_merged(line), key=lambda run: (run.marks, run.url)):
        content = "".join(run.token or _literal(run) for run in group)
        core = content.strip()
        if not core:
            marks = url = ""
            core = content
            lead = trail = ""
        else:
            lead = content[:len(content) - len(content.lstrip())]
            trail = content[len(content.rstrip()):]
        if url:
            marks = marks.replace(_CODE, "")    # Slack shows a link inside code as it is written
            core = f"<{url}|{core}>"
        out += lead
        starts = out[-1:] if marks else ""
        if (border and not lead and core[:1] not in _AFTER) or (starts and starts not in _BEFORE):
            out += _BREAK
        out += marks + core + marks[::-1] + trail
        border = bool(marks) and not trail
    return out


def _merged(line: Sequence[Run]) -> list[Run]:
    """What stands side by side and is drawn alike, as one: an address may be spread over several pieces."""
    out: list[Run] = []
    for run in line:
        if not run.text and not run.token:
            continue
        if out and not (run.token or out[-1].token) and (run.marks, run.url, run.typed) == (
                out[-1].marks, out[-1].url, out[-1].typed):
            out[-1] = replace(run, text=out[-1].text + run.text)
        else:
            out.append(run)
    return out


def _fenced(line: Line, longest: int) -> list[str]:
    """Each is whole: opened and closed."""
    out: list[str] = []
    for part in [part for code in split(line.runs) for part in _broken(code, longest - 10)]:
        row = "".join(_literal(run) for run in _merged(part))
        if out and units(out[-1]) + units(row) < longest - 10:
            out[-1] += f"\n{row}"
        else:
            out.append(row)
    return [f"```\n{rows}\n```" for rows in out]


# Pictures would be fetched from elsewhere.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").disable("image")
