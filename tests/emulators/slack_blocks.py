"""What Slack accepts as blocks and views: its reference of Block Kit as tables, and a reader that collects refusals.

Sources: docs.slack.dev, reference/block-kit (blocks, block-elements, composition-objects) and reference/views. The
wording and the JSON pointers of refusals are Slack's own where they could be found. Not known here, so refused as
unsupported: video, file, table, workflow buttons, external selects, file inputs and rich text inputs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
"""What came off the wire; nothing about it is known until it is checked."""
Surface: TypeAlias = Literal["message", "modal", "home"]

BLOCKS_LONGEST = 13_200
"""Characters in all texts of one payload, measured by others; Slack does not document it."""
VIEW_LARGEST = 250_000
"""Bytes of a view's JSON."""
MOST_BLOCKS: Mapping[Surface, int] = {"message": 50, "modal": 100, "home": 100}


@dataclass
class Refusals:
    """Why a payload is refused; each ends in a JSON pointer to where."""

    messages: list[str] = field(default_factory=list)

    def add(self, text: str, pointer: str) -> None:
        self.messages.append(f"{text} [json-pointer:{pointer}]")

    def typed(self, value: object, kind: type, pointer: str) -> bool:
        """Whether the value has the type; JSON's true is no number."""
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return True
        noun = {str: "a string", dict: "an object", list: "an array", bool: "a boolean", int: "an integer"}[kind]
        self.add(f"must provide {noun}", pointer)
        return False

    def string(self, value: object, longest: int, pointer: str, shortest: int = 1) -> bool:
        if not self.typed(value, str, pointer):
            return False
        assert isinstance(value, str)
        if len(value) > longest:
            self.add(f"must be less than {longest + 1} characters", pointer)
        elif len(value) < shortest:
            self.add(f"must be more than {shortest - 1} characters", pointer)
        else:
            return True
        return False

    def items(self, value: object, most: int, pointer: str, least: int = 1) -> list[Any]:
        """The list, empty when it is none."""
        if not self.typed(value, list, pointer):
            return []
        assert isinstance(value, list)
        if len(value) > most:
            self.add(f"no more than {most} items allowed", pointer)
        if len(value) < least:
            self.add(f"no less than {least} items allowed", pointer)
        return value

    def keys(self, value: Json, required: tuple[str, ...], optional: tuple[str, ...], pointer: str) -> None:
        for name in required:
            if name not in value:
                self.add(f"missing required field: {name}", pointer)
        for name in value:
            if name not in required and name not in optional and name != "type":
                self.add(f"invalid additional property: {name}", pointer)


# --- texts and options ------------------------------------------------------------------------------------------------


def _text(refusals: Refusals, value: object, pointer: str, longest: int = 3000, *, plain: bool = False) -> None:
    if not refusals.typed(value, dict, pointer):
        return
    assert isinstance(value, dict)
    kind = value.get("type")
    if kind not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
        refusals.add(f"unsupported type: {kind}", f"{pointer}/type")
        return
    refusals.keys(value, ("text",), ("emoji",) if kind == "plain_text" else ("verbatim",), pointer)
    if "text" in value:
        refusals.string(value["text"], longest, f"{pointer}/text")
    for name in ("emoji", "verbatim"):
        if name in value:
            refusals.typed(value[name], bool, f"{pointer}/{name}")


def _option(refusals: Refusals, value: object, pointer: str, *, plain: bool, overflow: bool = False) -> None:
    if not refusals.typed(value, dict, pointer):
        return
    assert isinstance(value, dict)
    refusals.keys(value, ("text", "value"), ("description", "url") if overflow else ("description",), pointer)
    if "text" in value:
        _text(refusals, value["text"], f"{pointer}/text", 75, plain=plain)
    if "value" in value:
        refusals.string(value["value"], 150, f"{pointer}/value")
    if "description" in value:
        _text(refusals, value["description"], f"{pointer}/description", 75, plain=plain)
    if "url" in value:
        refusals.string(value["url"], 3000, f"{pointer}/url")


def _confirm(refusals: Refusals, value: object, pointer: str) -> None:
    if not refusals.typed(value, dict, pointer):
        return
    assert isinstance(value, dict)
    refusals.keys(value, ("title", "text", "confirm", "deny"), ("style",), pointer)
    for name, longest in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
        if name in value:
            _text(refusals, value[name], f"{pointer}/{name}", longest, plain=name != "text")
    if value.get("style", "primary") not in ("primary", "danger"):
        refusals.add(f"unsupported style: {value['style']}", f"{pointer}/style")


def bare(option: Json) -> Json:
    """The option as it is compared: without what Slack itself adds to texts."""
    return {name: {key: inner for key, inner in part.items() if key not in ("emoji", "verbatim")}
            if isinstance(part, dict) else part for name, part in option.items()}


def _options(refusals: Refusals, element: Json, pointer: str, most: int, *, plain: bool, overflow: bool = False) \
        -> list[Json]:
    """All options, those of groups too."""
    found: list[Json] = []
    if "options" in element:
        for index, option in enumerate(refusals.items(element["options"], most, f"{pointer}/options")):
            _option(refusals, option, f"{pointer}/options/{index}", plain=plain, overflow=overflow)
            found.append(option)
    if "option_groups" in element:
        for at, group in enumerate(refusals.items(element["option_groups"], 100, f"{pointer}/option_groups")):
            where = f"{pointer}/option_groups/{at}"
            if not refusals.typed(group, dict, where):
                continue
            refusals.keys(group, ("label", "options"), (), where)
            if "label" in group:
                _text(refusals, group["label"], f"{where}/label", 75, plain=True)
            found += _options(refusals, {"options": group.get("options", [])}, where, most, plain=plain)
    values = [option["value"] for option in found if isinstance(option, dict) and "value" in option]
    if len(set(map(str, values))) < len(values):
        refusals.add("option values must be unique", f"{pointer}/options")
    return found


def _chosen_among(refusals: Refusals, element: Json, options: list[Json], pointer: str) -> None:
    """What is chosen beforehand must be one of the options to the letter."""
    among = [bare(option) for option in options if isinstance(option, dict)]
    if "initial_option" in element:
        chosen = element["initial_option"]
        if not isinstance(chosen, dict) or bare(chosen) not in among:
            refusals.add("initial_option must be one of the options", f"{pointer}/initial_option")
    if "initial_options" in element:
        for index, chosen in enumerate(refusals.items(element["initial_options"], 100, f"{pointer}/initial_options")):
            if not isinstance(chosen, dict) or bare(chosen) not in among:
                refusals.add("initial_options must be among the options", f"{pointer}/initial_options/{index}")


# --- elements ---------------------------------------------------------------------------------------------------------


def _button(refusals: Refusals, element: Json, pointer: str) -> None:
    if "text" in element:
        _text(refusals, element["text"], f"{pointer}/text", 75, plain=True)
    for name, longest in (("value", 2000), ("url", 3000), ("accessibility_label", 75)):
        if name in element:
            refusals.string(element[name], longest, f"{pointer}/{name}")
    if element.get("style", "primary") not in ("primary", "danger"):
        refusals.add(f"unsupported style: {element['style']}", f"{pointer}/style")


def _choices(most: int, *, plain: bool, groups: bool = False, overflow: bool = False) \
        -> Callable[[Refusals, Json, str], None]:
    def check(refusals: Refusals, element: Json, pointer: str) -> None:
        if ("options" in element) == (groups and "option_groups" in element):
            refusals.add("missing required field: options", pointer)
        options = _options(refusals, element, pointer, most, plain=plain, overflow=overflow)
        _chosen_among(refusals, element, options, pointer)
    return check


def _image(refusals: Refusals, element: Json, pointer: str) -> None:
    if ("image_url" in element) == ("slack_file" in element):
        refusals.add("missing required field: image_url", pointer)
    if "image_url" in element:
        refusals.string(element["image_url"], 3000, f"{pointer}/image_url")
    if "alt_text" in element:
        refusals.string(element["alt_text"], 2000, f"{pointer}/alt_text")


def _typed_text(refusals: Refusals, element: Json, pointer: str) -> None:
    longest = element.get("max_length", 3000)
    for name, least in (("min_length", 0), ("max_length", 1)):
        if name in element and refusals.typed(element[name], int, f"{pointer}/{name}") \
                and not least <= element[name] <= 3000:
            refusals.add(f"must be between {least} and 3000", f"{pointer}/{name}")
    if "initial_value" in element:
        at_most = longest if isinstance(longest, int) and longest <= 3000 else 3000
        refusals.string(element["initial_value"], at_most, f"{pointer}/initial_value", shortest=0)


def _number(refusals: Refusals, element: Json, pointer: str) -> None:
    if "is_decimal_allowed" in element:
        refusals.typed(element["is_decimal_allowed"], bool, f"{pointer}/is_decimal_allowed")
    for name in ("initial_value", "min_value", "max_value"):
        if name in element and refusals.typed(element[name], str, f"{pointer}/{name}"):
            try:
                float(element[name])
            except ValueError:
                refusals.add("must be a number", f"{pointer}/{name}")


def _anything(refusals: Refusals, element: Json, pointer: str) -> None:
    """Nothing beyond its keys is checked."""


@dataclass(frozen=True)
class Element:
    """`inside`: the blocks that may hold it (`section` as accessory)."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    inside: frozenset[str]
    check: Callable[[Refusals, Json, str], None] = _anything


_ACTS = frozenset({"section", "actions"})
_ASKS = frozenset({"section", "actions", "input"})
_SELECT = ("action_id", "placeholder", "confirm", "focus_on_load")
_INPUT = ("action_id", "placeholder", "dispatch_action_config", "focus_on_load", "initial_value")

ELEMENTS: Mapping[str, Element] = {
    "button": Element(("text",), ("action_id", "value", "url", "style", "confirm", "accessibility_label"), _ACTS,
                      _button),
    "overflow": Element(("options",), ("action_id", "confirm"), _ACTS, _choices(5, plain=True, overflow=True)),
    "static_select": Element((), (*_SELECT, "options", "option_groups", "initial_option"), _ASKS,
                             _choices(100, plain=True, groups=True)),
    "multi_static_select": Element((), (*_SELECT, "options", "option_groups", "initial_options",
                                        "max_selected_items"), frozenset({"section", "input"}),
                                   _choices(100, plain=True, groups=True)),
    "checkboxes": Element(("options",), ("action_id", "confirm", "focus_on_load", "initial_options"), _ASKS,
                          _choices(10, plain=False)),
    "radio_buttons": Element(("options",), ("action_id", "confirm", "focus_on_load", "initial_option"), _ASKS,
                             _choices(10, plain=False)),
    "users_select": Element((), (*_SELECT, "initial_user"), _ASKS),
    "channels_select": Element((), (*_SELECT, "initial_channel", "response_url_enabled"), _ASKS),
    "conversations_select": Element((), (*_SELECT, "initial_conversation", "default_to_current_conversation",
                                         "response_url_enabled", "filter"), _ASKS),
    "datepicker": Element((), (*_SELECT, "initial_date"), _ASKS),
    "timepicker": Element((), (*_SELECT, "initial_time", "timezone"), _ASKS),
    "datetimepicker": Element((), ("action_id", "confirm", "focus_on_load", "initial_date_time"),
                              frozenset({"actions", "input"})),
    "plain_text_input": Element((), (*_INPUT, "multiline", "min_length", "max_length"), frozenset({"input"}),
                                _typed_text),
    "number_input": Element(("is_decimal_allowed",), (*_INPUT, "min_value", "max_value"), frozenset({"input"}),
                            _number),
    "email_text_input": Element((), _INPUT, frozenset({"input"}), _typed_text),
    "url_text_input": Element((), _INPUT, frozenset({"input"}), _typed_text),
    "image": Element(("alt_text",), ("image_url", "slack_file"), frozenset({"section", "context"}), _image),
}


def _element(refusals: Refusals, value: object, inside: str, pointer: str) -> None:
    if not refusals.typed(value, dict, pointer):
        return
    assert isinstance(value, dict)
    kind = value.get("type")
    known = ELEMENTS.get(str(kind))
    if known is None or inside not in known.inside:
        refusals.add(f"unsupported type: {kind}", f"{pointer}/type")
        return
    refusals.keys(value, known.required, known.optional, pointer)
    if "action_id" in value:
        refusals.string(value["action_id"], 255, f"{pointer}/action_id")
    if "placeholder" in value:
        _text(refusals, value["placeholder"], f"{pointer}/placeholder", 150, plain=True)
    if "confirm" in value:
        _confirm(refusals, value["confirm"], f"{pointer}/confirm")
    known.check(refusals, value, pointer)


# --- blocks -----------------------------------------------------------------------------------------------------------


def _section(refusals: Refusals, block: Json, pointer: str) -> None:
    if "text" not in block and "fields" not in block:
        refusals.add("missing required field: text", pointer)
    if "text" in block:
        _text(refusals, block["text"], f"{pointer}/text")
    if "fields" in block:
        for index, one in enumerate(refusals.items(block["fields"], 10, f"{pointer}/fields")):
            _text(refusals, one, f"{pointer}/fields/{index}", 2000)
    if "accessory" in block:
        _element(refusals, block["accessory"], "section", f"{pointer}/accessory")


def _header(refusals: Refusals, block: Json, pointer: str) -> None:
    if "text" in block:
        _text(refusals, block["text"], f"{pointer}/text", 150, plain=True)


def _actions(refusals: Refusals, block: Json, pointer: str) -> None:
    elements = refusals.items(block.get("elements", []), 25, f"{pointer}/elements")
    for index, element in enumerate(elements):
        _element(refusals, element, "actions", f"{pointer}/elements/{index}")
    names = [one["action_id"] for one in elements if isinstance(one, dict) and "action_id" in one]
    if len(set(map(str, names))) < len(names):
        refusals.add("action_id must be unique within a block", f"{pointer}/elements")


def _context(refusals: Refusals, block: Json, pointer: str) -> None:
    for index, element in enumerate(refusals.items(block.get("elements", []), 10, f"{pointer}/elements")):
        where = f"{pointer}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            _element(refusals, element, "context", where)
        else:
            _text(refusals, element, where)


def _input(refusals: Refusals, block: Json, pointer: str) -> None:
    for name in ("label", "hint"):
        if name in block:
            _text(refusals, block[name], f"{pointer}/{name}", 2000, plain=True)
    for name in ("optional", "dispatch_action"):
        if name in block:
            refusals.typed(block[name], bool, f"{pointer}/{name}")
    if "element" in block:
        _element(refusals, block["element"], "input", f"{pointer}/element")


def _image_block(refusals: Refusals, block: Json, pointer: str) -> None:
    _image(refusals, block, pointer)
    if "title" in block:
        _text(refusals, block["title"], f"{pointer}/title", 2000, plain=True)


def _markdown(refusals: Refusals, block: Json, pointer: str) -> None:
    if "text" in block:
        refusals.string(block["text"], 12_000, f"{pointer}/text")


def _rich(refusals: Refusals, block: Json, pointer: str) -> None:
    for index, part in enumerate(refusals.items(block.get("elements", []), 100, f"{pointer}/elements")):
        where = f"{pointer}/elements/{index}"
        if refusals.typed(part, dict, where) and part.get("type") not in (
                "rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"):
            refusals.add(f"unsupported type: {part.get('type')}", f"{where}/type")


@dataclass(frozen=True)
class Block:
    required: tuple[str, ...]
    optional: tuple[str, ...]
    check: Callable[[Refusals, Json, str], None] = _anything
    surfaces: tuple[Surface, ...] = ("message", "modal", "home")


BLOCKS: Mapping[str, Block] = {
    "section": Block((), ("text", "fields", "accessory", "expand"), _section),
    "header": Block(("text",), (), _header),
    "divider": Block((), ()),
    "actions": Block(("elements",), (), _actions),
    "context": Block(("elements",), (), _context),
    "input": Block(("label", "element"), ("hint", "optional", "dispatch_action"), _input),
    "image": Block(("alt_text",), ("image_url", "slack_file", "title"), _image_block),
    "markdown": Block(("text",), (), _markdown, ("message",)),
    "rich_text": Block(("elements",), (), _rich),
}


def texts(blocks: object) -> Iterator[str]:
    """Every text that a person can read in it, in reading order."""
    if isinstance(blocks, list):
        for one in blocks:
            yield from texts(one)
    elif isinstance(blocks, dict):
        for name, value in blocks.items():
            if name == "text" and isinstance(value, str):
                yield value
            elif name in ("alt_text", "initial_value") and isinstance(value, str):
                yield value
            elif name not in ("initial_option", "initial_options"):
                yield from texts(value)


def refusals_of_blocks(blocks: object, surface: Surface, pointer: str = "/blocks") -> list[str]:
    """Why Slack refuses these blocks; empty when it takes them."""
    refusals = Refusals()
    names: list[str] = []
    for index, block in enumerate(refusals.items(blocks, MOST_BLOCKS[surface], pointer, least=0)):
        where = f"{pointer}/{index}"
        if not refusals.typed(block, dict, where):
            continue
        known = BLOCKS.get(str(block.get("type")))
        if known is None or surface not in known.surfaces:
            refusals.add(f"unsupported type: {block.get('type')}", f"{where}/type")
            continue
        refusals.keys(block, known.required, ("block_id", *known.optional), where)
        if "block_id" in block and refusals.string(block["block_id"], 255, f"{where}/block_id"):
            if block["block_id"] in names:
                refusals.add("block_id must be unique", f"{where}/block_id")
            names.append(block["block_id"])
        known.check(refusals, block, where)
    return refusals.messages


def too_long(blocks: object) -> bool:
    """Whether the texts of the blocks are too long together, though each of them fits."""
    return sum(map(len, texts(blocks))) > BLOCKS_LONGEST


def refusals_of_view(view: object, surface: Literal["modal", "home"], pointer: str = "/view") -> list[str]:
    refusals = Refusals()
    if not refusals.typed(view, dict, pointer):
        return refusals.messages
    assert isinstance(view, dict)
    if view.get("type") != surface:
        refusals.add(f"unsupported type: {view.get('type')}", f"{pointer}/type")
        return refusals.messages
    common = ("private_metadata", "callback_id", "external_id")
    if surface == "modal":
        refusals.keys(view, ("title", "blocks"), ("submit", "close", "clear_on_close", "notify_on_close",
                                                  "submit_disabled", *common), pointer)
    else:
        refusals.keys(view, ("blocks",), common, pointer)
    for name in ("title", "submit", "close"):
        if surface == "modal" and name in view:
            _text(refusals, view[name], f"{pointer}/{name}", 24, plain=True)
    for name, longest in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if name in view:
            refusals.string(view[name], longest, f"{pointer}/{name}", shortest=0)
    for name in ("clear_on_close", "notify_on_close", "submit_disabled"):
        if name in view:
            refusals.typed(view[name], bool, f"{pointer}/{name}")
    if "blocks" in view:
        refusals.messages += refusals_of_blocks(view["blocks"], surface, f"{pointer}/blocks")
        asks = isinstance(view["blocks"], list) and any(
            isinstance(block, dict) and block.get("type") == "input" for block in view["blocks"])
        if surface == "modal" and asks and "submit" not in view:
            refusals.add("missing required field: submit", pointer)
    return refusals.messages


def too_large(view: Json) -> bool:
    return len(json.dumps(view)) > VIEW_LARGEST


# --- as Slack keeps them ----------------------------------------------------------------------------------------------


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every element with its block."""
    for block in blocks:
        for name in ("accessory", "element"):
            if name in block:
                yield block, block[name]
        if block["type"] == "actions":
            for element in block["elements"]:
                yield block, element


def _dressed(value: Any) -> Any:
    if isinstance(value, list):
        return [_dressed(one) for one in value]
    if isinstance(value, dict):
        dressed = {name: _dressed(inner) for name, inner in value.items()}
        if value.get("type") == "plain_text":
            dressed.setdefault("emoji", True)
        elif value.get("type") == "mrkdwn":
            dressed.setdefault("verbatim", False)
        return dressed
    return value


def kept(blocks: list[Json]) -> list[Json]:
    """The blocks as Slack gives them back: with the ids and the defaults that were left out."""
    blocks = _dressed(blocks)
    for block in blocks:
        block.setdefault("block_id", secrets.token_urlsafe(4)[:5])
    for _, element in elements(blocks):
        if element["type"] != "image":
            element.setdefault("action_id", secrets.token_urlsafe(4)[:5])
    return blocks


# --- what people fill in ----------------------------------------------------------------------------------------------

TYPED = ("plain_text_input", "number_input", "email_text_input", "url_text_input")
_PICKED: Mapping[str, tuple[str, str]] = {
    "users_select": ("selected_user", "initial_user"),
    "channels_select": ("selected_channel", "initial_channel"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
ONE_OF = ("static_select", "radio_buttons", "overflow")
SOME_OF = ("checkboxes", "multi_static_select")
STATEFUL = (*TYPED, *_PICKED, *ONE_OF[:2], *SOME_OF)


def options_of(element: Json) -> list[Json]:
    return [*element.get("options", []),
            *(option for group in element.get("option_groups", []) for option in group["options"])]


def _option_named(element: Json, value: str) -> Json:
    for option in options_of(element):
        if option["value"] == value:
            return dict(option)
    raise ValueError(f"{element['action_id']} offers no option {value!r}, so nobody can choose it")


def untouched(element: Json) -> Json:
    """The state of an element that nobody has touched."""
    kind = element["type"]
    if kind in TYPED:
        return {"type": kind, "value": element.get("initial_value") or None}
    if kind in ONE_OF:
        return {"type": kind, "selected_option": element.get("initial_option")}
    if kind in SOME_OF:
        return {"type": kind, "selected_options": list(element.get("initial_options", []))}
    selected, initial = _PICKED[kind]
    return {"type": kind, selected: element.get(initial)}


def filled(element: Json, value: str | list[str] | tuple[str, ...] | None) -> Json:
    """The state of an element after a person typed or chose `value` (the values of options). Empty: cleared."""
    kind = element["type"]
    if kind in SOME_OF:
        chosen = [value] if isinstance(value, str) else list(value or ())
        # Slack lists what was ticked in the order of the options.
        return {"type": kind, "selected_options": sorted((_option_named(element, one) for one in chosen),
                                                         key=options_of(element).index)}
    if not isinstance(value, str | None):
        if len(value) > 1:
            raise ValueError(f"{element['action_id']} takes one value")
        value = value[0] if value else None
    if kind in TYPED:
        return {"type": kind, "value": value or None}
    if kind in ONE_OF:
        return {"type": kind, "selected_option": _option_named(element, value) if value else None}
    return {"type": kind, _PICKED[kind][0]: value or None}


def is_empty(state: Json) -> bool:
    return not any(value for name, value in state.items() if name != "type")


def complaint(block: Json, state: Json) -> str | None:
    """What Slack's own client says below a field, so that it never reaches the bot; None when it has no objection."""
    element = block["element"]
    if is_empty(state):
        return None if block.get("optional") else "Please complete this required field."
    value = state.get("value")
    if value is None:
        most = element.get("max_selected_items")
        return f"Select at most {most}." if most and len(state.get("selected_options", ())) > most else None
    longest, shortest = element.get("max_length", 3000), element.get("min_length", 0)
    if len(value) > longest:
        return f"Enter no more than {longest} characters."
    if len(value) < shortest:
        return f"Enter at least {shortest} characters."
    if element["type"] == "number_input":
        try:
            number = float(value)
        except ValueError:
            return "Enter a number."
        if not element["is_decimal_allowed"] and not number.is_integer():
            return "Enter a whole number."
        if number < float(element.get("min_value", number)) or number > float(element.get("max_value", number)):
            return "This number is out of range."
    if element["type"] == "email_text_input" and "@" not in value:
        return "Enter a valid email address."
    if element["type"] == "url_text_input" and "://" not in value:
        return "Enter a valid URL."
    return None
