"""From `guide.yaml` to a `Guide`; or every problem at once, each with its line and the cure.

Three readings, and a problem in one does not hide those of the next: the YAML itself, with the traps of YAML 1.1;
the grammar of `model.py`; and what only the whole file can tell, such as an id that points at nothing. The last works
on plain values and passes over what is not there, so it has its say about a guide that the grammar refuses, too.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from content.citations import CITATION, citations
from content.model import Fills, Guide, Say, Voice

Loc: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | int | float | bool | None"

DEEPEST = 30            # levels; a guide has 8
MOST_VALUES = 300_000   # a guide of 3,500 lines has 6,000; aliases of aliases can make billions of a few lines
_YAML = "tag:yaml.org,2002:"
_NOT_YAML = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")
_CLOCK = re.compile(r"[-+]?\d{1,3}(:[0-5]?\d)+(\.\d*)?")
_loader: type[yaml.CSafeLoader] | type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_scalars = yaml.constructor.SafeConstructor()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where it stands (line and column count from 1), and the cure."""

    file: str
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.text}"


class GuideError(Exception):
    """The guide cannot be used. `problems` are all that were found, in the order of the file; never none."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def default_path() -> Path:
    """The guide that comes with this package."""
    return Path(__file__).with_name("guide.yaml")


def load(path: Path) -> Guide:
    """Raises GuideError, also for a file that cannot be read."""

    def unreadable(text: str, line: int = 1, column: int = 1) -> GuideError:
        return GuideError((Problem(path.name, line, column, "guide", text),))

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise unreadable(f"there is no file {str(path)!r}; check the name, or begin with a copy of our guide") from None
    except IsADirectoryError:
        raise unreadable(f"{str(path)!r} is a folder; name the file in it") from None
    except OSError as error:
        raise unreadable(f"{str(path)!r} cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8-sig", errors="replace")
        raise unreadable(
            "is not UTF-8 from here on; save the file as UTF-8",
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
        ) from None
    return parse(text, path.name)


def parse(text: str, name: str = "guide.yaml") -> Guide:
    """`name` is what problems call the file. Raises GuideError."""
    page = _Page(text.removeprefix("\ufeff"), name)
    plain = page.read()
    guide = _modelled(page, plain)
    for check in _CHECKS:
        check(page, plain)
    if page.problems or guide is None:
        raise page.error()
    return guide


# --- reading 1: the YAML ----------------------------------------------------------------------------------------------


class _Page:
    """The text with its nodes, so that whatever is wrong can be told with its place."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.root: yaml.Node = yaml.ScalarNode(_YAML + "null", "")
        self.problems: list[Problem] = []
        self.told: set[Loc] = set()     # what the YAML got wrong, or the grammar refused: one problem there is enough
        self._values = 0

    def error(self) -> GuideError:
        return GuideError(tuple(sorted(set(self.problems), key=lambda p: (p.line, p.column, p.path, p.text))))

    def add(self, line: int, column: int, loc: Loc, text: str) -> None:
        """`line` and `column` count from 0, as YAML's marks do."""
        self.problems.append(Problem(self.name, line + 1, column + 1, _path(loc), text))

    def at(self, loc: Loc, text: str, *, key: bool = False, part: tuple[re.Pattern[str], str] | None = None) -> None:
        """Report the value at `loc`, or its key, or what stands there of the mapping it is missing from.

        `part` points into a text: at the first match of the pattern that reads so.
        """
        key_node, node = self.spot(loc)
        if key_node is not None and (key or _is_empty(node)):
            node = key_node
        start, end = node.start_mark, node.end_mark
        line, column = start.line, start.column
        if part:
            pattern, words = part
            for match in pattern.finditer(self.text, start.index, end.index):
                if match[0] == words:
                    line += self.text.count("\n", start.index, match.start())
                    column = match.start() - self.text.rfind("\n", 0, match.start()) - 1
                    break
        self.add(line, column, loc, text)

    def line(self, loc: Loc) -> int:
        key_node, node = self.spot(loc)
        return int((key_node or node).start_mark.line) + 1

    def spot(self, loc: Loc) -> tuple[yaml.Node | None, yaml.Node]:
        """(key, value) at a place, or at the last part of the way to it that exists."""
        key: yaml.Node | None = None
        node = self.root
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                pairs = [(k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == part]
                if not pairs:
                    break
                key, node = pairs[0]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                key, node = None, node.value[part]
            else:
                break
        return key, node

    def read(self) -> Plain:
        """The plain values of the text, traps told and mended. Raises GuideError when it is no YAML at all."""
        if found := _NOT_YAML.search(self.text):
            line = self.text.count("\n", 0, found.start())
            column = found.start() - self.text.rfind("\n", 0, found.start()) - 1
            self.add(line, column, (), f"the character U+{ord(found[0]):04X} cannot stand in YAML; take it out")
            raise self.error()
        try:
            self._refuse_depths()
            root = self._composed()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            # A missing end of quotes is found at the end of the file; the reader looks for its beginning.
            if error.context_mark and "end of stream" in (error.problem or ""):
                line, column = error.context_mark.line, error.context_mark.column
            self.problems.append(Problem(self.name, line + 1, column + 1, "yaml", self._explained(error)))
            raise self.error() from None
        except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
            self.add(0, 0, (), f"cannot be read as YAML ({_one_line(str(error))}); look for what is unusual in it")
            raise self.error() from None
        if root is None or _is_empty(root):
            self.add(0, 0, (), "is empty; write the guide here, its first key is 'about'")
            raise self.error()
        self.root = root
        if not isinstance(root, yaml.MappingNode):
            self.at((), "must be a mapping; begin with 'about:' and indent what belongs to it")
            raise self.error()
        return self._plain(root, ())

    def _refuse_depths(self) -> None:
        # libyaml's composer calls itself for each level and takes the process with it some 10,000 levels down.
        # A bracket opens two levels at most, as in `[a: [b: …`; any other level has a column of its own, or shares it
        # with one other. To read it all for its depth alone takes as long as half of the rest.
        brackets, columns = map(self.text.count, "[{"), max(map(len, self.text.splitlines()), default=0)
        if 2 * (sum(brackets) + columns) < 4_000:
            return
        depth = 0
        for event in yaml.parse(self.text, Loader=_loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST and (mark := event.start_mark):
                    raise self._too_deep(mark.line, mark.column)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _too_deep(self, line: int, column: int) -> GuideError:
        self.add(line, column, (), f"goes more than {DEEPEST} levels deep here; close what was opened before")
        return self.error()

    def _composed(self) -> yaml.Node | None:
        loader = _loader(self.text)
        try:
            node: yaml.Node | None = loader.get_single_node()
            return node
        finally:
            loader.dispose()

    def _plain(self, node: yaml.Node, loc: Loc) -> Plain:
        self._values += 1
        if self._values > MOST_VALUES:
            self.at(loc, f"makes more than {MOST_VALUES:,} values of this file; use fewer aliases")
            raise self.error()
        if len(loc) > DEEPEST:      # an alias inside its own anchor has no bottom
            raise self._too_deep(node.start_mark.line, node.start_mark.column)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, loc)
        if node.tag not in (_YAML + "map", _YAML + "seq"):
            self._trap(node, loc, f"the tag {_tag(node)} means nothing to a guide; take it out")
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*loc, index)) for index, item in enumerate(node.value)]
        plain: dict[str, Plain] = {}
        first: dict[str, int] = {}
        for key_node, value in node.value:
            key = self._key(key_node, loc)
            if key is None:
                continue
            if key in plain:
                self.add(key_node.start_mark.line, key_node.start_mark.column, (*loc, key),
                         f"{_shown(key)} stands here twice, first in line {first[key]}; keep one of them")
                continue
            first[key] = key_node.start_mark.line + 1
            plain[key] = self._plain(value, (*loc, key))
        return plain

    def _key(self, node: yaml.Node, loc: Loc) -> str | None:
        """The key as it is written; None when it can be no key at all."""
        if not isinstance(node, yaml.ScalarNode):
            self._trap(node, loc, "a key must be plain text; a text that begins with '{' or '[' must be put in quotes",
                       told=False)
            return None
        key = str(node.value)
        if node.tag == _YAML + "merge":
            self._trap(node, (*loc, key), "'<<' merges mappings, and a guide does not; write the keys out")
            return None
        if node.tag not in (_YAML + "str", _YAML + "value"):
            self._trap(node, (*loc, key), f"YAML reads the key {_shown(key)} as {_read_as(node)}; "
                                          f"put it in quotes: {_quoted(key)}")
        return key

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> Plain:
        raw = str(node.value)
        if not node.style and _CLOCK.fullmatch(raw):
            cure = raw.zfill(5) if loc[-1:] == ("at",) else raw
            why = f"YAML reads {_shown(raw)} as {_read_as(node)}" if node.tag != _YAML + "str" else (
                "a time must be put in quotes, for YAML would read '10:00' as the number 600")
            self._trap(node, loc, f"{why}; put it in quotes: {_quoted(cure)}")
            return cure
        if node.style == '"' and (found := _NOT_YAML.search(raw)):     # PostgreSQL stores no "\0", nor any chat
            self._trap(node, loc, f"the character U+{ord(found[0]):04X} cannot stand in a guide; take it out")
            return raw.replace(found[0], "?")
        match node.tag.removeprefix(_YAML):
            case "str" | "value" | "merge":
                return raw
            case "null":
                return None
            case "timestamp":
                self._trap(node, loc, f"YAML reads {_shown(raw)} as a date; put it in quotes: {_quoted(raw)}")
                return raw
            case "bool" | "int" | "float":
                value = _number(node)
                if value is None or not abs(value) < 1e15:      # nor is .nan less than anything
                    self._trap(node, loc, f"{_shown(raw)} is no number or truth that a guide can use; "
                                          f"correct it, or put it in quotes: {_quoted(raw)}")
                    return raw
                if isinstance(value, int) and re.match(r"[-+]?0[0-9_xb]", raw) and not isinstance(value, bool):
                    self._trap(node, loc, f"YAML reads {_shown(raw)} as the number {value}; "
                                          f"write {value}, or put it in quotes: {_quoted(raw)}")
                return value
        self._trap(node, loc, f"the tag {_tag(node)} means nothing to a guide; take it out")
        return raw

    def _trap(self, node: yaml.Node, loc: Loc, text: str, *, told: bool = True) -> None:
        self.add(node.start_mark.line, node.start_mark.column, loc, text)
        if told:
            self.told.add(loc)

    def _explained(self, error: yaml.MarkedYAMLError) -> str:
        problem, context = error.problem or "", error.context or ""
        mark = error.problem_mark
        here = self.text[mark.index : mark.index + 1] if mark and mark.index is not None else ""
        if "tab character" in problem or here == "\t":
            return "a tab stands here, and YAML is indented with spaces; replace it"
        if "cannot start any token" in problem:
            return f"a text cannot begin with {_shown(here)}; put the whole text in quotes"
        if "mapping values are not allowed" in problem:
            return ("a ': ' stands where none can; put a text with ': ' in it in quotes, "
                    "or bring the line into line with its neighbours")
        if "end of stream" in problem and "quoted" in context:
            return "these quotes are never closed; close them, and double a ' inside of '…'"
        if "escape" in problem:
            return "a '\\' in double quotes must be doubled; or use single quotes"
        if "undefined alias" in problem:
            return "this alias has no anchor above it; write the value out, or quote a text that begins with '*'"
        if "duplicate anchor" in context:
            first = error.context_mark.line + 1 if error.context_mark else "?"
            return f"this anchor is there already, in line {first}; give it another name"
        if "another document" in problem:
            return "a second document begins here; take the '---' out"
        if "could not find expected ':'" in problem:
            return "the line before has no ': ' and belongs to nothing; give it a key, or indent it under its text"
        if "sequence entries are not allowed" in problem:
            return "a '- ' stands where no list can begin; put it on its own line, or the text in quotes"
        if "block scalar" in context:
            return "nothing but a comment may follow '|' or '>'; begin the text on the next line, or put it in quotes"
        if "flow" in context:
            opened = f" in line {error.context_mark.line + 1}" if error.context_mark else ""
            return f"the bracket opened{opened} is not closed as it should be; close it, or put the text in quotes"
        if "block" in context:
            return ("this line does not go on with what surrounds it; mend its indentation, "
                    "or put a text that begins with a quote or a bracket wholly in quotes")
        return f"YAML does not understand this ({_one_line(problem or context)}); put the text in quotes"


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "" and not node.style


def _number(node: yaml.ScalarNode) -> int | float | None:
    """What YAML makes of a truth or a number; None when it cannot, as with `!!int many`."""
    construct: dict[str, Callable[[Any], Any]] = {
        "bool": _scalars.construct_yaml_bool,
        "int": _scalars.construct_yaml_int,
        "float": _scalars.construct_yaml_float,
    }
    try:
        value = construct[node.tag.removeprefix(_YAML)](node)
    except (ValueError, KeyError, IndexError, OverflowError, yaml.YAMLError):
        return None
    return value if isinstance(value, (int, float)) else None


def _read_as(node: yaml.ScalarNode) -> str:
    kind = node.tag.removeprefix(_YAML)
    if kind == "null":
        return "nothing"
    value = _number(node) if kind in ("bool", "int", "float") else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is not None:
        return f"the number {value}" if abs(value) < 1e15 else "a number"
    return "a date" if kind == "timestamp" else "something else"


def _tag(node: yaml.Node) -> str:
    return _shown(node.tag.replace(_YAML, "!!"))


# --- reading 2: the grammar -------------------------------------------------------------------------------------------


def _modelled(page: _Page, plain: Plain) -> Guide | None:
    try:
        # Strict, so that "14" is no number; by way of JSON, where a list may become a tuple and "09:00" a time.
        return Guide.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as errors:
        found = errors.errors(include_url=False)
    instead = {(*e["loc"][:-1], near[0]) for e in found if e["type"] == "extra_forbidden"
               if (near := _near(str(e["loc"][-1]), _keys(e["loc"][:-1])))}
    for error in found:
        loc = error["loc"]
        key = loc[-1:] == ("[key]",)
        if key:
            loc = loc[:-1]
        if loc in page.told:
            continue
        # A misspelt key is missing under its right name, too: one slip, one problem.
        if error["type"] == "missing" and loc in instead:
            continue
        page.told.add(loc)
        page.at(loc, _in_our_words(error, page.spot(loc)[1]), key=key or error["type"] == "extra_forbidden")
    return None


_MEANT = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping",
    "model_type": "a mapping", "time_type": "a time of day", "time_parsing": "a time of day",
}
_CURE = {
    "a whole number": "write digits without quotes",
    "a number": "write digits without quotes",
    "true or false": "write true or false without quotes",
    "a list": "write each entry on a line of its own, after '- '",
    "a mapping": "write 'key: value' lines, indented, below it",
    "a time of day": 'write hours and minutes in quotes, as in "09:00"',
}
_PATTERN = {
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "is no id; write lower-case words joined by hyphens, as in 'vector-search'",
    r"^[^\n]*$": "must be one line; take the line breaks out",
    r"^\d{4}-\d{2}$": 'is no month; write year and month in quotes, as in "2026-11"',
    r"^[A-Z]{3}$": "is no currency; write its three capitals, as in 'USD'",
    r"^[A-Z][a-z]+$": "must be one word with one capital, its first; write it as in 'Quiet'",
}


def _in_our_words(error: ErrorDetails, node: yaml.Node) -> str:
    kind, loc, value, limits = error["type"], error["loc"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is missing; add it to what begins here"
    if kind == "extra_forbidden":
        return f"{_shown(loc[-1])} is no key here; {_suggested(str(loc[-1]), _keys(loc[:-1]))}"
    if meant := _MEANT.get(kind):
        return _mistaken(meant, value, node)
    match kind:
        case "literal_error":
            choices = re.findall(r"'([^']*)'", limits["expected"])
            return f"{_shown(value)} is none of the choices; {_suggested(str(value), choices, always=True)}"
        case "string_too_long":
            length, most = len(str(value).strip()), limits["max_length"]
            return f"is {length} characters long and may be {most}; shorten it by {length - most}"
        case "string_too_short" if limits["min_length"] == 1:
            return "is empty; write something"
        case "string_too_short":
            return f"is {len(str(value))} characters long; write at least {limits['min_length']}"
        case "too_long":
            return f"has {limits['actual_length']} entries; {limits['max_length']} at most, so take some out"
        case "too_short":
            return f"has {limits['actual_length'] or 'no'} entries; write at least {limits['min_length']}"
        case "string_pattern_mismatch":
            cure = _PATTERN.get(limits["pattern"], f"does not look like {limits['pattern']}; correct it")
            return f"{_shown(value)} {cure}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            (name, limit), *_ = limits.items()
            return f"{_shown(value, quotes='')} is out of range; write {words[name]} {limit:g}"
        case "multiple_of":
            unit = limits["multiple_of"]
            near = max(round(float(value) / unit), 1) * unit
            return f"{_shown(value, quotes='')} is no multiple of {unit:g}; did you mean {near:g}?"
    return f"{_shown(value)} cannot stand here ({_one_line(error['msg'])}); correct it"


def _mistaken(meant: str, value: object, node: yaml.Node) -> str:
    cure = _CURE.get(meant, "")
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    raw = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if value is None and not raw:
        return f"is empty; {cure or 'write text, and put it in quotes when it begins with #'}"
    if isinstance(value, str):
        if meant == "a time of day":
            return f"{_shown(value)} is no time of day; {cure}"
        return f"{_shown(value)} is text, and {meant} is meant; {cure}"
    if isinstance(value, dict):
        return f"is a mapping, and {meant} is meant; {cure or _QUOTE_ALL}"
    if isinstance(value, list):
        return f"is a list, and {meant} is meant; {cure or _QUOTE_ALL}"
    if isinstance(node, yaml.ScalarNode) and plain and meant == "text":
        return f"YAML reads {_shown(raw)} as {_read_as(node)}, and text is meant; put it in quotes: {_quoted(raw)}"
    return f"{_shown(raw)} is no {meant.removeprefix('a ')}; {cure or 'put it in quotes'}"


_QUOTE_ALL = "put the whole text in quotes, for a ': ', '- ', '{' or '[' in it means something else to YAML"


def _keys(loc: Loc) -> list[str]:
    """The keys that the grammar knows at a place."""
    kind: object = Guide
    for part in loc:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        elif args := get_args(kind):
            kind = args[1] if get_origin(kind) is dict else args[0]
    kind = _bare(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _bare(kind: object) -> object:
    while get_origin(kind) in (Annotated, Union, types.UnionType):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    return kind


# --- reading 3: the whole file ----------------------------------------------------------------------------------------


_REFERENCES = {
    "roles.*.tracks.*": "tracks",
    "roles.*.sources.*": "sources",
    "tracks.*.pay.*.source": "sources",
    "tracks.*.routes.*.source": "sources",
    "tracks.*.sources.*": "sources",
    "skills.*.builds_on.*": "skills",
    "skills.*.sources.*": "sources",
    "projects.*.skills.*": "skills",
    "projects.*.sources.*": "sources",
    "plans.*.steps.*.tasks.*.skill": "skills",
    "plans.*.steps.*.tasks.*.project": "projects",
    "plans.*.steps.*.sources.*": "sources",
    "plans.*.sources.*": "sources",
    "cohort.plan": "plans",
    "gaps.*.source": "sources",
    "gaps.*.rows.*.skills.*": "skills",
    "stack.*.skills.*": "skills",
    "stack.*.source": "sources",
    "signals.*.project": "projects",
    "signals.*.source": "sources",
    "reframing.*.source": "sources",
    "pay.market.*.source": "sources",
    "pay.stages.*.source": "sources",
    "search.titles_source": "sources",
    "search.employers.*.source": "sources",
    "search.routine.*.source": "sources",
    "companies.*.source": "sources",
    "ladders.*.source": "sources",
    "hired.*.source": "sources",
    "levels.*.project": "projects",
    "levels.*.source": "sources",
    "opinions.*.skill": "skills",
    "opinions.*.source": "sources",
    "study.*.pros.*.source": "sources",
    "study.*.cons.*.source": "sources",
    "interviews.formats.*.source": "sources",
    "interviews.formats.*.questions.*.skill": "skills",
    "interviews.formats.*.questions.*.source": "sources",
    "interviews.walkthroughs.*.source": "sources",
    "contradictions.*.positions.*.source": "sources",
    "faq.*.source": "sources",
    "coverage.*.source": "sources",
}


def _references_are_known(page: _Page, plain: Plain) -> None:
    for places, section in _REFERENCES.items():
        known = _member(plain, section)
        if not isinstance(known, dict):
            continue
        for loc, value in _found(plain, places):
            if isinstance(value, str) and value not in known and loc not in page.told:
                page.at(loc, f"{_shown(value)} is no {section[:-1]} of this guide; {_suggested(value, known)}")


def _citations_are_known(page: _Page, plain: Plain) -> None:
    known = _member(plain, "sources")
    if not isinstance(known, dict):
        return
    for loc, text in _texts(plain):
        for cited in dict.fromkeys(citations(text)):
            if cited not in known:
                page.at(loc, f"{_shown(cited)} is no source of this guide; {_suggested(cited, known)}",
                        part=(CITATION, f"[@{cited}]"))


def _skills_build_upwards(page: _Page, plain: Plain) -> None:
    skills = _member(plain, "skills")
    graph = {skill: [b for _, b in _found(skill_plain, "builds_on.*") if isinstance(b, str)]
             for skill, skill_plain in _entries(skills)}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            ring: list[str] = error.args[1][::-1]       # each builds on the next; the last is the first
            index = graph[ring[0]].index(ring[1])
            page.at(("skills", ring[0], "builds_on", index),
                    f"{_shown(ring[0])} builds on itself, {' → '.join(map(_one_line, ring))}; take one of these out")
            graph[ring[0]] = [b for b in graph[ring[0]] if b != ring[1]]
        else:
            return


def _ids_are_unique(page: _Page, plain: Plain) -> None:
    for plan, _ in _found(plain, "plans.*"):
        for places, noun in (("steps.*.id", "step"), ("steps.*.tasks.*.id", "task")):
            _refuse_twins(page, [((*plan, *loc), value) for loc, value in _found(_reached(plain, plan), places)],
                          f"is the id of another {noun} already", "give this one its own")


def _questions_have_ids_of_their_own(page: _Page, plain: Plain) -> None:
    wrong, cure = "is the id of another question already", "give this one its own"
    _refuse_twins(page, _found(plain, "interviews.formats.*.questions.*.id"), wrong, cure)
    _refuse_twins(page, _found(plain, "quiz.questions.*.id"), wrong, cure)
    for loc, _ in _found(plain, "quiz.questions.*"):
        options = [((*loc, *below), value) for below, value in _found(_reached(plain, loc), "options.*.id")]
        _refuse_twins(page, options, "is the id of another option already", cure)


def _answers_speak_for_tracks(page: _Page, plain: Plain) -> None:
    tracks = _member(plain, "tracks")
    if not isinstance(tracks, dict):
        return
    for loc, weights in _found(plain, "quiz.questions.*.options.*.weights"):
        for track, _ in _entries(weights):
            if track not in tracks:
                page.at((*loc, track), f"{_shown(track)} is no track of this guide; {_suggested(track, tracks)}")


def _ranks_are_unique(page: _Page, plain: Plain) -> None:
    _refuse_twins(page, _found(plain, "projects.*.rank"), "is the rank of another project already", "rank them anew")


def _options_are_unique(page: _Page, plain: Plain) -> None:
    _refuse_twins(page, _found(plain, "cohort.check_in.confidence.options.*"), "is an option already", "take one out")


def _refuse_twins(page: _Page, found: Iterable[tuple[Loc, Plain]], wrong: str, cure: str) -> None:
    first: dict[str | int, Loc] = {}
    for loc, value in found:
        if not isinstance(value, (str, int)):
            continue
        if value in first:
            shown = _shown(value, quotes="'" if isinstance(value, str) else "")
            page.at(loc, f"{shown} {wrong}, in line {page.line(first[value])}; {cure}")
        first.setdefault(value, loc)


def _hours_add_up(page: _Page, plain: Plain) -> None:
    for loc, step in _found(plain, "plans.*.steps.*"):
        said = _amount(_member(step, "hours"))
        tasks = [_amount(hours) for _, hours in _found(step, "tasks.*.hours")]
        if said is None or None in tasks or len(tasks) != len(list(_found(step, "tasks.*"))) or not tasks:
            continue
        taken = sum(hours for hours in tasks if hours is not None)
        if said != taken:
            page.at((*loc, "hours"), f"{said:g} hours are planned and the tasks take {taken:g}; "
                                     f"write {taken:g} or change the tasks")


def _hours_fit_the_week(page: _Page, plain: Plain) -> None:
    for loc, plan in _found(plain, "plans.*"):
        week = _member(plan, "hours_per_week")
        low, high = _amount(_member(week, "low")), _amount(_member(week, "high"))
        if low is None or high is None or low > high:
            continue
        for where, step in _found(plan, "steps.*"):
            days, hours = _amount(_member(step, "days")), _amount(_member(step, "hours"))
            if days is None or hours is None or days <= 0:
                continue
            # Hours are told in quarters, so the range is widened to them: 8 a week are 6.75 in six days, not 6.857.
            least, most = math.floor(low * days / 7 * 4) / 4, math.ceil(high * days / 7 * 4) / 4
            if not least <= hours <= most:
                page.at((*loc, *where, "hours"),
                        f"{hours:g} hours do not fit into {days:g} days at {low:g} to {high:g} hours a week; "
                        f"plan {least:g} to {most:g}, or change 'hours_per_week'")


def _days_are_covered(page: _Page, plain: Plain) -> None:
    for loc, plan in _found(plain, "plans.*"):
        said = _amount(_member(plan, "days"))
        steps = [_amount(_member(step, "days")) for _, step in _found(plan, "steps.*")]
        if said is None or None in steps or not steps:
            continue
        covered = sum(days for days in steps if days is not None)
        if said != covered:
            page.at((*loc, "days"), f"the plan has {said:g} days and its steps cover {covered:g}; "
                                    f"write {covered:g} or change the days of a step")


def _steps_have_a_must(page: _Page, plain: Plain) -> None:
    for loc, tasks in _found(plain, "plans.*.steps.*.tasks"):
        if isinstance(tasks, list) and tasks and all(_member(task, "weight") == "stretch" for task in tasks):
            page.at(loc, "all tasks of this step are stretch; give one of them 'weight: must'", key=True)


def _rubrics_are_complete(page: _Page, plain: Plain) -> None:
    for loc, rubric in _found(plain, "projects.*.rubric"):
        names = _member(rubric, "levels")
        for where, levels in _found(rubric, "criteria.*.levels"):
            if isinstance(names, list) and isinstance(levels, list) and levels and len(levels) != len(names):
                page.at((*loc, *where), f"describes {len(levels)} of the rubric's {len(names)} levels; "
                                        f"write one text for each of {_listed(map(str, names))}", key=True)


def _ranges_rise(page: _Page, plain: Plain) -> None:
    for places in ("tracks.*.pay.*", "projects.*.hours", "plans.*.hours_per_week"):
        for loc, span in _found(plain, places):
            low, high = _amount(_member(span, "low")), _amount(_member(span, "high"))
            if low is not None and high is not None and low > high:
                page.at((*loc, "low"), f"low is {low:g} and high is {high:g}; exchange them or correct one")


def _times_are_plain(page: _Page, plain: Plain) -> None:
    for loc, at in _found(plain, "cohort.rhythm.*.at"):
        if isinstance(at, str) and loc not in page.told and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
            page.at(loc, f"{_shown(at)} is no time of day; {_CURE['a time of day']}")


def _voice_can_be_filled(page: _Page, plain: Plain) -> None:
    for loc, names in _sentences(Voice, ("voice",)):
        text = _reached(plain, loc)
        if isinstance(text, str):
            for part, wrong in _misfilled(text, names):
                page.at(loc, wrong, part=(_BRACES, part))


def _sentences(model: type[BaseModel], loc: Loc) -> Iterator[tuple[Loc, tuple[str, ...]]]:
    """Each place of a text in the voice, with the placeholders that it may use."""
    for name, field in model.model_fields.items():
        names = tuple(name for fills in field.metadata if isinstance(fills, Fills) for name in fills.names)
        kind = _bare(field.annotation)
        if kind is Say:
            yield from (((*loc, name, part), names) for part in Say.model_fields)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _sentences(kind, (*loc, name))
        else:
            yield (*loc, name), names


UNITS = ("unit", "Unit")
"""What the plan calls its steps: filled in every text when a cohort pins it, see `edition.py`."""


def _misfilled(text: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(what is wrong in the text, why and what to do) for each brace that is no placeholder of these."""
    for part in dict.fromkeys(_BRACES.findall(text)):
        name = part[1:-1]
        if name in (*names, *UNITS):
            continue
        if part in ("{", "}"):
            yield part, f"a '{part}' stands here alone; close the placeholder as in '{{name}}', or take the brace out"
        elif not names:
            yield part, f"{_shown(part)} cannot be filled, for this text has no placeholders; take it out"
        elif not name.strip():
            yield part, f"{_shown(part)} names no placeholder; {_suggested('', names)}"
        elif (bare := re.split(r"[!:.\[]", name.strip())[0].strip()) in names:
            yield part, f"{_shown(part)} says more than a name; write '{{{bare}}}'"
        else:
            yield part, f"{_shown(part)} is no placeholder of this text; {_suggested(bare, names)}"


_CHECKS: tuple[Callable[[_Page, Plain], None], ...] = (
    _references_are_known,
    _citations_are_known,
    _questions_have_ids_of_their_own,
    _answers_speak_for_tracks,
    _skills_build_upwards,
    _ids_are_unique,
    _ranks_are_unique,
    _options_are_unique,
    _hours_add_up,
    _hours_fit_the_week,
    _days_are_covered,
    _steps_have_a_must,
    _rubrics_are_complete,
    _ranges_rise,
    _times_are_plain,
    _voice_can_be_filled,
)


# --- finding one's way in plain values --------------------------------------------------------------------------------


def _found(plain: Plain, places: str) -> Iterator[tuple[Loc, Plain]]:
    """Each place that fits "plans.*.steps.*.id" with its value; what is missing or of another shape is passed over."""
    first, _, rest = places.partition(".")
    entries: Iterable[tuple[str | int, Plain]] = ()
    if first != "*":
        entries = [(first, plain[first])] if isinstance(plain, dict) and first in plain else ()
    elif isinstance(plain, dict):
        entries = plain.items()
    elif isinstance(plain, list):
        entries = enumerate(plain)
    for part, value in entries:
        if rest:
            yield from (((part, *loc), found) for loc, found in _found(value, rest))
        else:
            yield (part,), value


def _entries(plain: Plain) -> Iterable[tuple[str, Plain]]:
    return plain.items() if isinstance(plain, dict) else ()


def _member(plain: Plain, key: str) -> Plain:
    return plain.get(key) if isinstance(plain, dict) else None


def _reached(plain: Plain, loc: Loc) -> Plain:
    for part in loc:
        if isinstance(plain, dict) and isinstance(part, str):
            plain = plain.get(part)
        elif isinstance(plain, list) and isinstance(part, int):
            plain = plain[part]
        else:
            return None
    return plain


def _amount(plain: Plain) -> float | None:
    """A number of sane size; None for anything else, which the grammar has refused."""
    if isinstance(plain, (int, float)) and not isinstance(plain, bool) and abs(plain) < 1e6:
        return float(plain)
    return None


def _texts(plain: Plain, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    if isinstance(plain, str):
        yield loc, plain
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield from _texts(value, (*loc, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from _texts(value, (*loc, index))


# --- words ------------------------------------------------------------------------------------------------------------


def _path(loc: Loc) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_one_line(part)}" for part in loc)
    return path.removeprefix(".") or "guide"


def _near(word: str, known: Iterable[str]) -> list[str]:
    return get_close_matches(word, list(known), n=1)


def _suggested(word: str, known: Iterable[str], *, always: bool = False) -> str:
    """What to write instead: the nearest, or all that are known while they can be read at a glance."""
    known = list(known)
    if near := _near(word, known):
        return f"did you mean '{near[0]}'?"
    if known and (always or len(known) <= 12):
        return f"write {'one of ' if len(known) > 1 else ''}{_listed(known)}"
    return "correct it, or take it out"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(map(_shown, words))


def _one_line(text: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text if len(text) <= 60 else text[:59] + "…"


def _shown(value: object, *, quotes: str = "'") -> str:
    return f"{quotes}{_one_line(str(value))}{quotes}"


def _quoted(raw: str) -> str:
    return '"' + _one_line(raw).replace("\\", "\\\\").replace('"', '\\"') + '"'
