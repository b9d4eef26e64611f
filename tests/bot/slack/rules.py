"""What Slack would say to a payload: its SDK's models, the rules that these do not know, and how it reads mrkdwn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

LOOKALIKES = str.maketrans({"\u2217": "*", "\u223c": "~", "\u02cb": "`", "\u02cd": "_"})
UNSEEN = re.compile("[\u200b\u2068\u2069]")

_CONTROL = re.compile(r"<([^<>\n]*)>")
_CODE = re.compile(r"`([^`\n]+)`")
_LINKED = re.compile(r"\w://\S|\w@\w|@(?:here|channel|everyone|\w)|#\w|[^\W_]\.[^\W\d_]{2,}")
_EMOJI = re.compile(r":[\w+'-]+:")
_QUOTE = re.compile(r"^\s*(?:>|&gt;)")


@dataclass
class Reading:
    """What a reader that finds markup wherever it can makes of mrkdwn. It asks for one thing only, as Slack does: a
    mark is no mark within a word of ASCII letters."""

    styles: list[tuple[str, str]]
    """(mark, content)."""
    links: list[str]
    mentions: list[str]
    specials: list[str]
    automatic: list[str]
    """Addresses, names of people and of channels that Slack might link by itself."""
    words: str
    """What is read, with signs that look alike as the signs they look like."""

    @property
    def kinds(self) -> set[str]:
        return {mark for mark, _ in self.styles}


def reading(mrkdwn: str) -> Reading:
    read = Reading([], [], [], [], [], "")
    parts = re.split(r"```\n(.*?)\n```", mrkdwn, flags=re.DOTALL)
    read.styles += [("```", code) for code in parts[1::2]]
    bare = "".join(parts)
    rows = [_row(row, read) for row in bare.split("\n")]
    read.words = UNSEEN.sub("", "\n".join(rows)).translate(LOOKALIKES)
    return read


def _row(row: str, read: Reading) -> str:
    def control(found: re.Match[str]) -> str:
        inside = found[1]
        if inside.startswith("@"):
            read.mentions.append(inside)
            return inside
        if inside.startswith(("!", "#")):
            read.specials.append(inside)
            return inside.partition("|")[2]
        url, _, text = inside.partition("|")
        read.links.append(url)
        return text or url

    if _QUOTE.match(row):
        read.styles.append((">", row))
        row = re.sub(r"^(\s*)> ", r"\1", row)
    read.automatic += _LINKED.findall(_CONTROL.sub(" ", row)) + _EMOJI.findall(_CONTROL.sub(" ", row))
    row = _CONTROL.sub(control, row)
    assert not set("<>") & set(row), f"a control character stands alone: {row!r}"
    assert not re.search("&(?!amp;|lt;|gt;)", row), f"an ampersand stands alone: {row!r}"
    # Code first: within it nothing else is read.
    parts = _CODE.split(row)
    read.styles += [("`", code) for code in parts[1::2]]
    for index in range(0, len(parts), 2):
        for mark in "*_~":
            sign = re.escape(mark)
            style = re.compile(rf"(?<![A-Za-z0-9]){sign}(?=\S)([^{sign}]*?\S){sign}(?![A-Za-z0-9])")
            while found := style.search(parts[index]):
                read.styles.append((mark, found[1]))
                parts[index] = parts[index][:found.start()] + found[1] + parts[index][found.end():]
    return "".join(parts).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


# --- payloads ---------------------------------------------------------------------------------------------------------


def every(value: object, key: str) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from every(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, key)


def objects(value: object, kind: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == kind:
            yield value
        for inner in value.values():
            yield from objects(inner, kind)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, kind)


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_message(payload: dict[str, Any]) -> None:
    assert set(payload) == {"text", "blocks", "unfurl_links", "unfurl_media"}
    assert (payload["unfurl_links"], payload["unfurl_media"]) == (False, False)
    assert payload["text"].strip()
    assert units(payload["text"]) < 4000
    reading(payload["text"])
    check_blocks(payload["blocks"], 50)
    assert sum(units(json.dumps(block, ensure_ascii=False)) for block in payload["blocks"]) <= 13_200
    assert not list(objects(payload["blocks"], "input"))


def check_view(view: dict[str, Any]) -> None:
    drawn = View(**view)
    drawn.validate_json()
    assert drawn.to_dict() == view
    check_blocks(view["blocks"], 100)
    assert len(json.dumps(view)) < 250_000
    if view["type"] == "home":
        assert set(view) == {"type", "blocks"}
        return
    for name in ("title", "submit", "close"):
        if name in view:
            assert view[name]["type"] == "plain_text"
            assert units(view[name]["text"]) <= 24
    assert len(view.get("private_metadata", "")) <= 3000
    assert "submit" in view or not list(objects(view, "input"))


def check_blocks(blocks: list[dict[str, Any]], most: int) -> None:
    assert len(blocks) <= most
    drawn = Block.parse_all(blocks)
    for block in drawn:
        block.validate_json()
    assert [block.to_dict() for block in drawn] == blocks
    for ids in (list(every(blocks, "block_id")), list(every(blocks, "action_id"))):
        assert len(ids) == len(set(ids))
        assert all(0 < len(one) <= 255 for one in ids)
    assert all("block_id" in block for block in blocks)
    for one in blocks:
        _check_block(one)
    for text in objects(blocks, "plain_text"):
        assert 0 < units(text["text"]) <= 3000
        assert text["emoji"] is False
        assert not set("<>\n") & set(text["text"])
        assert not re.search("&(?!amp;|lt;|gt;)", text["text"])
    for text in objects(blocks, "mrkdwn"):
        assert 0 < units(text["text"]) <= 3000
        assert text["verbatim"] is True
        assert text["text"].strip()
        reading(text["text"])


def _check_block(block: dict[str, Any]) -> None:
    match block["type"]:
        case "header":
            assert block["text"]["type"] == "plain_text"
            assert units(block["text"]["text"]) <= 150
        case "section":
            assert block["text"]["type"] == "mrkdwn"
        case "actions":
            assert 1 <= len(block["elements"]) <= 25
            for button in block["elements"]:
                assert button["type"] == "button"
                assert button["text"]["type"] == "plain_text"
                assert units(button["text"]["text"]) <= 75
                assert ("value" in button) != ("url" in button)
                assert len(button.get("value", "")) <= 2000
        case "input":
            _check_input(block)
        case other:
            assert other == "divider"


def _check_input(block: dict[str, Any]) -> None:
    assert block["label"]["type"] == "plain_text"
    assert units(block["label"]["text"]) <= 2000
    element = block["element"]
    if element["type"] == "plain_text_input":
        assert 1 <= element["max_length"] <= 3000
        assert units(element.get("initial_value", "")) <= element["max_length"]
        assert element["multiline"] or "\n" not in element.get("initial_value", "")
        return
    options = element["options"]
    boxes = element["type"] in ("checkboxes", "radio_buttons")
    assert 1 <= len(options) <= (10 if boxes else 100)
    for option in options:
        assert option["text"]["type"] == "plain_text" or boxes
        assert units(option["text"]["text"]) <= 75
        assert 0 < len(option["value"]) <= 150
        assert not set("&<>") & set(option["value"])
        assert units(option.get("description", {"text": ""})["text"]) <= 75
    first = element.get("initial_options", [element["initial_option"]] if "initial_option" in element else [])
    assert all(option in options for option in first)


# --- what a person does with a modal ----------------------------------------------------------------------------------


def sent(view: dict[str, Any]) -> dict[str, Any]:
    """The view as Slack sends it back when the form is submitted as it was opened."""
    values: dict[str, Any] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        element = block["element"]
        state: dict[str, Any] = {"type": element["type"]}
        if element["type"] == "plain_text_input":
            state["value"] = element.get("initial_value")
        elif element["type"] in ("radio_buttons", "static_select"):
            state["selected_option"] = element.get("initial_option")
        else:
            state["selected_options"] = element.get("initial_options", [])
        values[block["block_id"]] = {element["action_id"]: state}
    return json.loads(json.dumps(view | {"state": {"values": values}}))  # type: ignore[no-any-return]
