"""What Discord takes and what it refuses: its published OpenAPI, and the rules that the OpenAPI does not know.

A rule answers with `Faults`; `Refusal` is what goes to the client. The sources are Discord's documentation (resources:
message, application commands; components: reference) unless a line says otherwise.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema import validators as keywords
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.emulators.discord_world import COMPONENTS_V2, Json, components_in

CODES: dict[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10011: (404, "Unknown Role"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    20012: (403, "You are not authorized to perform this action on this application"),
    30034: (429, "Max number of daily application command creates has been reached (200)"),
    40060: (400, "Interaction has already been acknowledged."),
    40333: (403, "internal network error"),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "Missing Permissions"),
    50024: (403, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50033: (400, "Invalid Recipient(s)"),
    50035: (400, "Invalid Form Body"),
    50109: (400, "The request body contains invalid JSON."),
    50278: (403, "Cannot send messages to this user due to having no mutual guilds"),
    160004: (400, "A thread has already been created for this message"),
}


class Refusal(Exception):
    """An answer other than success. `code` 0 stands for what is told by the status alone."""

    def __init__(self, code: int, *, status: int | None = None, message: str | None = None,
                 errors: Json | None = None, **more: Any) -> None:
        self.code = code
        self.status = status if status is not None else CODES[code][0]
        self.body: Json = {"message": message or CODES[code][1], "code": code, **more}
        if errors is not None:
            self.body["errors"] = errors
        super().__init__(f"{self.status} {code}")


class Faults:
    """What is wrong with a body, and where."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[str | int, ...], str, str]] = []

    def add(self, at: Iterable[str | int], code: str, message: str) -> None:
        self.found.append((tuple(at), code, message))

    def longest(self, at: Iterable[str | int], text: object, most: int, least: int = 0) -> None:
        if isinstance(text, str) and not least <= len(text) <= most:
            if least and text == "":
                self.add(at, "BASE_TYPE_REQUIRED", "This field is required")
            else:
                self.add(at, "BASE_TYPE_BAD_LENGTH" if least else "BASE_TYPE_MAX_LENGTH",
                         f"Must be between {least} and {most} in length." if least else
                         f"Must be {most} or fewer in length.")

    def count(self, at: Iterable[str | int], things: object, least: int, most: int) -> None:
        if isinstance(things, list) and not least <= len(things) <= most:
            self.add(at, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")

    def tree(self) -> Json:
        root: Json = {}
        for at, code, message in self.found:
            node = root
            for step in at:
                node = node.setdefault(str(step), {})
            node.setdefault("_errors", []).append({"code": code, "message": message})
        return root

    def refuse(self) -> None:
        if self.found:
            raise Refusal(50035, errors=self.tree())


# --- the published specification --------------------------------------------------------------------------------------


def default_openapi() -> Path | None:
    """`NINETY_DISCORD_OPENAPI`, or the file beside the repository; None when there is none."""
    named = os.environ.get("NINETY_DISCORD_OPENAPI")
    path = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "discord-openapi.json"
    return path if path.is_file() else None


class OpenApi:
    """The specification, with its validators compiled once."""

    def __init__(self, spec: Json) -> None:
        self._spec = spec
        registry: Registry[Any] = Registry()
        self._registry = registry.with_resource(
            "urn:discord", Resource.from_contents(spec, default_specification=DRAFT202012))
        extend: Any = keywords.extend       # The stubs leave it untyped.
        self._tagged: Any = extend(Draft202012Validator, {"oneOf": self._union, "anyOf": self._union})
        self._validators: dict[str, Any] = {}
        shape = re.compile(r"\{[^}]*\}")
        self._paths: Mapping[str, Json] = {shape.sub("{}", path): item for path, item in spec["paths"].items()}

    def knows(self, route: str) -> bool:
        method, template = route.split(" ")
        return method.lower() in self._paths.get(template, {})

    def request(self, route: str) -> Json | None:
        """Schema of the body; None when the route takes none. `route` is like `GET /channels/{}/messages`."""
        method, template = route.split(" ")
        body = self._paths[template][method.lower()].get("requestBody")
        return None if body is None or "content" not in body else body["content"]["application/json"]["schema"]

    def answer(self, route: str, status: int) -> Json | None:
        method, template = route.split(" ")
        answers = self._paths.get(template, {}).get(method.lower(), {}).get("responses", {})
        content = answers.get(str(status), {}).get("content")
        return None if content is None else content["application/json"]["schema"]

    def error(self, *, limited: bool) -> Json:
        return {"$ref": f"#/components/schemas/{'RatelimitedResponse' if limited else 'ErrorResponse'}"}

    def faults(self, schema: Json, body: object) -> Faults:
        found = Faults()
        for error in self._validator(schema).iter_errors(body):
            leaf = _leaf(error)
            key, code, message = _said(leaf)
            found.add((*leaf.absolute_path, *key), code, message)
        return found

    def _validator(self, schema: Json) -> Any:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            rooted = json.loads(key.replace('"#/', '"urn:discord#/'))
            self._validators[key] = self._tagged(rooted, registry=self._registry)
        return self._validators[key]

    def _union(self, validator: Any, branches: list[Json], instance: object, schema: Json) \
            -> Iterator[ValidationError]:
        """Of a union, only the branches that the value's `type` admits: ten times faster than to try them all, and
        the errors are those of the branch that was meant."""
        open_to = [branch for branch in branches if self._admits(branch, instance)]
        if len(open_to) == 1:
            yield from validator.descend(instance, open_to[0])
        elif not open_to:
            yield ValidationError("no such type", validator="enum", validator_value=[], instance=instance,
                                  path=("type",))
        elif not any(validator.evolve(schema=branch).is_valid(instance) for branch in open_to):
            context = [error for place, branch in enumerate(open_to)
                       for error in validator.descend(instance, branch, schema_path=place)]
            yield ValidationError("no branch fits", context=context)

    def _admits(self, branch: Json, instance: object) -> bool:
        if branch.get("type") == "null":
            return instance is None
        if not isinstance(instance, dict):
            return True
        if "$ref" in branch:
            branch = self._spec["components"]["schemas"][branch["$ref"].rsplit("/", 1)[1]]
        tag = branch.get("properties", {}).get("type", {}).get("enum")
        return tag is None or instance.get("type") in tag

    # Discord's own server drops keys that it does not know, and so would hide a misspelt one from us.
    def unknown_keys(self, schema: Json, body: object) -> Faults:
        found = Faults()
        self._look(self._shapes([schema], body), body, (), found)
        return found

    def _look(self, shapes: list[Json], value: object, at: tuple[str | int, ...], found: Faults) -> None:
        if isinstance(value, list):
            for place, item in enumerate(value):
                inner = [shape["items"] for shape in shapes if "items" in shape]
                self._look(self._shapes(inner, item), item, (*at, place), found)
        elif isinstance(value, dict) and shapes:
            open_ended = any("additionalProperties" in shape for shape in shapes)
            for key, item in value.items():
                inner = [shape["properties"][key] for shape in shapes if key in shape.get("properties", {})]
                if inner:
                    self._look(self._shapes(inner, item), item, (*at, key), found)
                elif not open_ended:
                    found.add((*at, key), "UNKNOWN_KEY", "Discord knows no such key here and would drop it.")

    def _shapes(self, schemas: Iterable[Json], value: object) -> list[Json]:
        """Every schema that may be meant; a `type` in the value tells among those of a union."""
        out: list[Json] = []
        for schema in schemas:
            if "$ref" in schema:
                out += self._shapes([self._spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]], value)
                continue
            tag = schema.get("properties", {}).get("type", {}).get("enum")
            if tag is not None and isinstance(value, dict) and value.get("type") not in tag:
                continue
            out.append(schema)
            for union in ("allOf", "anyOf", "oneOf"):
                out += self._shapes(schema.get(union, ()), value)
        return out


def _leaf(error: ValidationError) -> ValidationError:
    """The error that matters: of a union, the one in the branch whose `type` is the value's."""
    while error.context:
        branches: dict[object, list[ValidationError]] = {}
        for inner in error.context:
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        right = [errors for errors in branches.values()
                 if not any(list(one.relative_path)[-1:] == ["type"] and one.validator == "enum" for one in errors)
                 and not any(one.validator == "type" and not one.relative_path for one in errors)]
        error = max((right or list(branches.values()))[0], key=lambda one: len(one.absolute_path))
    return error


def _said(error: ValidationError) -> tuple[tuple[str, ...], str, str]:
    """In Discord's words, and without what was sent; first the key that is missing, if one is."""
    wanted: Any = error.validator_value
    match error.validator:
        case "required":
            instance: Any = error.instance
            missing = next(key for key in wanted if key not in instance)
            return (missing,), "BASE_TYPE_REQUIRED", "This field is required"
        case "maxLength":
            return (), "BASE_TYPE_MAX_LENGTH", f"Must be {wanted} or fewer in length."
        case "minLength" | "minItems" | "maxItems":
            return (), "BASE_TYPE_BAD_LENGTH", f"{error.validator}: {wanted}"
        case "minimum":
            return (), "NUMBER_TYPE_MIN", f"int value should be greater than or equal to {wanted}."
        case "maximum":
            return (), "NUMBER_TYPE_MAX", f"int value should be less than or equal to {wanted}."
        case "enum" | "const" | "oneOf" | "anyOf":
            return (), "BASE_TYPE_CHOICES", "Value must be one of those that are allowed."
        case "type":
            return (), "BASE_TYPE_BAD_TYPE", f"Only {wanted} are allowed."
        case _:
            return (), "BASE_TYPE_BAD", f"{error.validator}: {wanted}"


@lru_cache(maxsize=2)
def openapi(path: Path) -> OpenApi:
    return OpenApi(json.loads(path.read_text("utf-8")))


def tamed(body: Any) -> Any:
    """A copy without what Discord takes though its OpenAPI says no."""
    if isinstance(body, list):
        return [_tamed_command(one) if isinstance(one, dict) else one for one in body]
    if not isinstance(body, dict):
        return body
    body = deepcopy(body)
    if isinstance(body.get("recipient_id"), int):
        body["recipient_id"] = str(body["recipient_id"])
    for message in (body, body.get("data")):
        if not isinstance(message, dict):
            continue
        if message.get("tts") is False:
            del message["tts"]      # discord.py sends it with every edit.
        for mentions in ("users", "roles"):
            allowed = message.get("allowed_mentions")
            if isinstance(allowed, dict) and isinstance(allowed.get(mentions), list):
                allowed[mentions] = [str(id) if isinstance(id, int) else id for id in allowed[mentions]]
        for embed in message.get("embeds") or ():
            if isinstance(embed, dict):
                embed.pop("flags", None)
    return body


def _tamed_command(command: Json) -> Json:
    out = {key: value for key, value in command.items() if key != "nsfw"}
    permissions = out.get("default_member_permissions")
    if isinstance(permissions, str) and permissions.isdecimal():
        # A string, says the documentation; an integer, says the OpenAPI. Libraries send either.
        out["default_member_permissions"] = int(permissions)
    return out


# --- messages ---------------------------------------------------------------------------------------------------------

SELECTS = {3, 5, 6, 7, 8}
PLAIN_TOP = {1}
V2_TOP = {1, 9, 10, 12, 13, 14, 17}
V2_ONLY = V2_TOP - PLAIN_TOP | {11}


def message_faults(body: Json, flags: int, at: tuple[str, ...] = ()) -> Faults:
    """`body` is the message as it would stand, `flags` its flags."""
    found = Faults()
    content, embeds, components = body.get("content"), body.get("embeds") or [], body.get("components") or []
    found.longest((*at, "content"), content, 2000)
    found.count((*at, "embeds"), embeds, 0, 10)
    _embeds(found, embeds, at)
    allowed = body.get("allowed_mentions")
    if isinstance(allowed, dict):
        for kind in ("users", "roles"):
            if kind in (allowed.get("parse") or ()) and allowed.get(kind):
                found.add((*at, "allowed_mentions", kind), "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                          f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.')
    if not _well_formed(found, components, (*at, "components")):
        return found
    where = (*at, "components")
    if flags & COMPONENTS_V2:
        for key in ("content", "embeds", "poll", "sticker_ids"):
            if body.get(key):
                found.add((*at, key), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                          f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2")
        every = list(components_in(components))
        if len(every) > 40:
            found.add(where, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "Total components may not exceed 40.")
        if sum(len(one["content"]) for one in every if one["type"] == 10 and isinstance(one.get("content"), str)) \
                > 4000:
            found.add(where, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
                      "The total displayable text size may not exceed 4000.")
        _kinds(found, components, V2_TOP, where)
    else:
        found.count(where, components, 0, 5)
        _kinds(found, components, PLAIN_TOP, where)
    _unique(found, components, where)
    for component, path in _walk(components, where):
        _component(found, component, path)
    return found


def _embeds(found: Faults, embeds: list[Json], at: tuple[str, ...]) -> None:
    total = 0
    for place, embed in enumerate(embeds):
        if not isinstance(embed, dict):
            continue
        found.longest((*at, "embeds", place, "title"), embed.get("title"), 256)
        found.longest((*at, "embeds", place, "description"), embed.get("description"), 4096)
        fields = embed.get("fields") or []
        total += sum(len(text or "") for text in (
            embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text"),
            (embed.get("author") or {}).get("name"), *(f.get("name") for f in fields),
            *(f.get("value") for f in fields)))
    if total > 6000:
        found.add((*at, "embeds"), "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _well_formed(found: Faults, components: object, at: tuple[str | int, ...]) -> bool:
    """Whether the walk below can read them at all."""
    if not isinstance(components, list):
        found.add(at, "BASE_TYPE_BAD_TYPE", "Only lists are allowed.")
        return False
    good = True
    for place, one in enumerate(components):
        if not isinstance(one, dict) or not isinstance(one.get("type"), int):
            found.add((*at, place, "type"), "BASE_TYPE_REQUIRED", "This field is required")
            good = False
            continue
        for key in ("component", "accessory"):
            if key in one:
                good &= _well_formed(found, [one[key]], (*at, place, key))
        if one.get("components") is not None:
            good &= _well_formed(found, one["components"], (*at, place, "components"))
    return good


def _walk(components: list[Json], at: tuple[str | int, ...]) -> Iterator[tuple[Json, tuple[str | int, ...]]]:
    for place, one in enumerate(components):
        yield one, (*at, place)
        yield from _walk(one.get("components") or [], (*at, place, "components"))
        for key in ("component", "accessory"):
            if key in one:
                yield one[key], (*at, place, key)


def _kinds(found: Faults, components: list[Json], allowed: set[int], at: tuple[str | int, ...]) -> None:
    for place, one in enumerate(components):
        if one["type"] not in allowed:
            found.add((*at, place, "type"), "BASE_TYPE_CHOICES", f"Value must be one of {sorted(allowed)}.")


def _unique(found: Faults, components: list[Json], at: tuple[str | int, ...]) -> None:
    ids = Counter(one["custom_id"] for one in components_in(components) if one.get("custom_id") is not None)
    numbers = Counter(one["id"] for one in components_in(components) if one.get("id"))
    for component, path in _walk(components, at):
        if ids[component.get("custom_id")] > 1:
            found.add((*path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED",
                      "Component custom id cannot be duplicated")
        if numbers[component.get("id")] > 1:
            found.add((*path, "id"), "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated")


def _component(found: Faults, one: Json, at: tuple[str | int, ...]) -> None:
    kind, children = one["type"], one.get("components") or []
    if kind in {2, *SELECTS} and one.get("custom_id") is not None:
        found.longest((*at, "custom_id"), one["custom_id"], 100, 1)
    if kind == 1:
        found.count((*at, "components"), children, 1, 5)
        _kinds(found, children, {2, *SELECTS}, (*at, "components"))
        if any(child["type"] in SELECTS for child in children) and len(children) > 1:
            found.add((*at, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
                      "The specified component exceeds the maximum width")
    elif kind == 2:
        _button(found, one, at)
    elif kind in SELECTS:
        _select(found, one, at, modal=False)
    elif kind == 9:
        found.count((*at, "components"), children, 1, 3)
        _kinds(found, children, {10}, (*at, "components"))
        if not isinstance(one.get("accessory"), dict):
            found.add((*at, "accessory"), "BASE_TYPE_REQUIRED", "This field is required")
        else:
            _kinds(found, [one["accessory"]], {2, 11}, (*at, "accessory"))
    elif kind == 10:
        found.longest((*at, "content"), one.get("content", ""), 4000, 1)
    elif kind == 17:
        found.count((*at, "components"), children, 1, 40)
        _kinds(found, children, V2_TOP - {17}, (*at, "components"))


def _button(found: Faults, one: Json, at: tuple[str | int, ...]) -> None:
    found.longest((*at, "label"), one.get("label"), 80)
    link, style = one.get("url"), one.get("style")
    if style not in {1, 2, 3, 4, 5}:
        found.add((*at, "style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5}.")
    elif style == 5:
        found.longest((*at, "url"), link or "", 512, 1)
        if link and not re.match(r"(https?|discord)://[^\s]+$", link):
            found.add((*at, "url"), "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('http', 'https', 'discord').")
        if one.get("custom_id") is not None:
            found.add((*at, "custom_id"), "COMPONENT_CUSTOM_ID_WITH_URL",
                      "A custom id and url cannot both be specified")
    else:
        if not one.get("custom_id"):
            found.add((*at, "custom_id"), "COMPONENT_CUSTOM_ID_REQUIRED", "A custom id is required")
        if link is not None:
            found.add((*at, "url"), "COMPONENT_CUSTOM_ID_WITH_URL", "A custom id and url cannot both be specified")
    if not one.get("label") and not one.get("emoji"):
        found.add((*at, "label"), "BUTTON_COMPONENT_INVALID", "A label or an emoji is required")


def _range(found: Faults, one: Json, at: tuple[str | int, ...], least: str, most: str, low: int, high: int) -> None:
    for name, lowest in ((least, 0), (most, 1)):
        value = one.get(name)
        if value is not None and (not isinstance(value, int) or not lowest <= value <= high):
            found.add((*at, name), "NUMBER_TYPE_MAX", f"int value should be between {lowest} and {high}.")
            return
    if (one[least] if one.get(least) is not None else low) > (one[most] if one.get(most) is not None else high):
        found.add((*at, least), "COMPONENT_MIN_VALUES_GREATER_THAN_MAX", f"{least} may not be greater than {most}")


def _options(found: Faults, one: Json, at: tuple[str | int, ...], least: int, most: int) -> None:
    options = one.get("options")
    if not isinstance(options, list):
        found.add((*at, "options"), "BASE_TYPE_REQUIRED", "This field is required")
        return
    found.count((*at, "options"), options, least, most)
    seen: set[object] = set()
    for place, option in enumerate(options):
        here = (*at, "options", place)
        if not isinstance(option, dict):
            found.add(here, "BASE_TYPE_BAD_TYPE", "Only objects are allowed.")
            continue
        for key in ("label", "value"):
            found.longest((*here, key), option.get(key, ""), 100, 1)
        found.longest((*here, "description"), option.get("description"), 100)
        if option.get("value") in seen:
            found.add((*here, "value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                      "The specified option value is already used")
        seen.add(option.get("value"))


def _defaults(found: Faults, one: Json, at: tuple[str | int, ...], most: int) -> None:
    chosen = [option for option in one.get("options") or () if isinstance(option, dict) and option.get("default")]
    if len(chosen) > most:
        found.add((*at, "options"), "SELECT_COMPONENT_TOO_MANY_DEFAULTS", f"At most {most} options may be default.")


def _select(found: Faults, one: Json, at: tuple[str | int, ...], *, modal: bool) -> None:
    if not one.get("custom_id"):
        found.add((*at, "custom_id"), "COMPONENT_CUSTOM_ID_REQUIRED", "A custom id is required")
    found.longest((*at, "placeholder"), one.get("placeholder"), 150)
    _range(found, one, at, "min_values", "max_values", 0, 25)
    if one["type"] == 3:
        _options(found, one, at, 1, 25)
        # Of an absent max_values the default is one.
        most = one.get("max_values") or 1
        _defaults(found, one, at, most)
        if isinstance(one.get("options"), list) and max(most, one.get("min_values") or 0) > len(one["options"]):
            found.add((*at, "options"), "COMPONENT_MAX_VALUES_TOO_LARGE", "There are fewer options than max_values.")
    if modal and one.get("required", True) and one.get("min_values") == 0:
        found.add((*at, "min_values"), "COMPONENT_REQUIRED_MIN_VALUES", "A required select needs min_values of 1.")


# --- modals -----------------------------------------------------------------------------------------------------------


def modal_faults(body: Json, at: tuple[str, ...] = ("data",)) -> Faults:
    found = Faults()
    found.longest((*at, "title"), body.get("title", ""), 45, 1)
    found.longest((*at, "custom_id"), body.get("custom_id", ""), 100, 1)
    components = body.get("components")
    where: tuple[str | int, ...] = (*at, "components")
    if not _well_formed(found, components, where):
        return found
    assert isinstance(components, list)
    found.count(where, components, 1, 5)
    _kinds(found, components, {1, 10, 18}, where)
    _unique(found, components, where)
    for place, one in enumerate(components):
        here: tuple[str | int, ...] = (*where, place)
        if one["type"] == 18:
            found.longest((*here, "label"), one.get("label", ""), 45, 1)
            if one.get("description") is not None:
                found.longest((*here, "description"), one["description"], 100, 1)
            if not isinstance(one.get("component"), dict):
                found.add((*here, "component"), "BASE_TYPE_REQUIRED", "This field is required")
                continue
            if one["component"]["type"] == 4 and one["component"].get("label") is not None:
                found.add((*here, "component", "label"), "COMPONENT_LABEL_TWICE",
                          "A text input inside a label has no label of its own.")
            _field(found, one["component"], (*here, "component"))
        elif one["type"] == 1:
            found.count((*here, "components"), one.get("components") or [], 1, 1)
            _kinds(found, one.get("components") or [], {4}, (*here, "components"))
            for inner in one.get("components") or []:
                found.longest((*here, "components", 0, "label"), inner.get("label") or "", 45, 1)
                _field(found, inner, (*here, "components", 0))
        elif one["type"] == 10:
            found.longest((*here, "content"), one.get("content", ""), 4000, 1)
    return found


def _field(found: Faults, one: Json, at: tuple[str | int, ...]) -> None:
    kind = one["type"]
    found.longest((*at, "custom_id"), one.get("custom_id", ""), 100, 1)
    if kind == 4:
        _text_input(found, one, at)
    elif kind in SELECTS:
        _select(found, one, at, modal=True)
    elif kind == 21:
        _options(found, one, at, 2, 10)
        _defaults(found, one, at, 1)
    elif kind == 22:
        _options(found, one, at, 1, 10)
        _range(found, one, at, "min_values", "max_values", 1, 10)
        options = one.get("options")
        if isinstance(options, list):
            most = one.get("max_values") or len(options)
            _defaults(found, one, at, most)
            if max(most, one.get("min_values") or 0) > len(options):
                found.add((*at, "options"), "COMPONENT_MAX_VALUES_TOO_LARGE",
                          "There are fewer options than max_values.")
        if one.get("required", True) and one.get("min_values") == 0:
            found.add((*at, "min_values"), "COMPONENT_REQUIRED_MIN_VALUES", "A required group needs min_values of 1.")
    elif kind not in {19, 23}:
        found.add((*at, "type"), "BASE_TYPE_CHOICES", "Value must be one of those that a label holds.")


def _text_input(found: Faults, one: Json, at: tuple[str | int, ...]) -> None:
    if one.get("style") not in {1, 2}:
        found.add((*at, "style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2}.")
    _range(found, one, at, "min_length", "max_length", 0, 4000)
    found.longest((*at, "placeholder"), one.get("placeholder"), 100)
    value = one.get("value")
    if value:
        # A prefilled value must be one that could have been typed.
        found.longest((*at, "value"), value, one.get("max_length") or 4000)
        if len(value) < (one.get("min_length") or 0):
            found.add((*at, "value"), "BASE_TYPE_MIN_LENGTH", f"Must be {one['min_length']} or more in length.")


# --- commands ---------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[-_'\w]{1,32}")
CREATIONS_A_DAY = 200
_CHILDREN = {1, 2}


def command_faults(commands: list[Json]) -> Faults:
    found = Faults()
    kinds = Counter(command.get("type") or 1 for command in commands)
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        if kinds[kind] > most:
            found.add((), "APPLICATION_COMMAND_TOO_MANY", f"At most {most} commands of type {kind}.")
    names = Counter((command.get("type") or 1, command.get("name")) for command in commands)
    at: tuple[str | int, ...]
    for place, command in enumerate(commands):
        at = (place,)
        if names[command.get("type") or 1, command.get("name")] > 1:
            found.add(at, "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
        if (command.get("type") or 1) == 1:
            _named(found, command, at)
            _command_options(found, command.get("options") or [], (*at, "options"), depth=0)
            if _size(command) > 8000:
                found.add(at, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")
        elif command.get("description"):
            found.add((*at, "description"), "APPLICATION_COMMAND_INVALID_DESCRIPTION",
                      "Context menu commands cannot have description")
    return found


def _named(found: Faults, one: Json, at: tuple[str | int, ...]) -> None:
    name = one.get("name", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.lower():
        found.add((*at, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    found.longest((*at, "description"), one.get("description") or "", 100, 1)


def _command_options(found: Faults, options: list[Json], at: tuple[str | int, ...], depth: int) -> None:
    found.count(at, options, 0, 25)
    nested = [option.get("type") in _CHILDREN for option in options]
    if any(nested) and not all(nested):
        found.add(at, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                  "Sub-command and sub-command group option types are mutually exclusive to all other types")
    names = Counter(option.get("name") for option in options)
    optional = False
    here: tuple[str | int, ...]
    for place, option in enumerate(options):
        here = (*at, place)
        _named(found, option, here)
        if names[option.get("name")] > 1:
            found.add((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_INVALID", "Option name is already used")
        if option.get("type") in _CHILDREN:
            if depth == 2 or (depth == 1 and option["type"] == 2):
                found.add((*here, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Nested too deep")
            else:
                _command_options(found, option.get("options") or [], (*here, "options"),
                                 1 if option["type"] == 2 else 2)
            continue
        if option.get("required") and optional:
            found.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                      "Required options must be placed before non-required options")
        optional |= not option.get("required")
        choices = option.get("choices") or []
        found.count((*here, "choices"), choices, 0, 25)
        if choices and option.get("autocomplete"):
            found.add((*here, "autocomplete"), "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID",
                      "An option has either choices or autocomplete")
        for number, choice in enumerate(choices):
            found.longest((*here, "choices", number, "name"), choice.get("name", ""), 100, 1)
            found.longest((*here, "choices", number, "value"), choice.get("value"), 100)


def _size(command: Json) -> int:
    """Names, descriptions and values together."""
    own = len(command.get("name") or "") + len(command.get("description") or "")
    return (own + sum(_size(option) for option in command.get("options") or ())
            + sum(len(str(choice.get("name"))) + len(str(choice.get("value")))
                  for choice in command.get("choices") or ()))


def choice_faults(choices: object) -> Faults:
    """Of an answer to autocomplete."""
    found = Faults()
    found.count(("data", "choices"), choices, 0, 25)
    for place, choice in enumerate(choices if isinstance(choices, list) else ()):
        for key in ("name", "value"):
            found.longest(("data", "choices", place, key), choice.get(key, ""), 100, 1)
    return found
