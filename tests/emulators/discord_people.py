"""What people do on the emulated Discord, and how the application may answer them.

Every act is an interaction: it goes out through the gateway, waits for its one callback as Discord's client would, and
gives what the person then sees. `Impossible` is raised for what Discord's own client would not let a person do.
Sources: interactions/receiving-and-responding, components/reference.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tests.emulators.discord_gateway import (
    DIRECT_MESSAGES,
    GUILD_MESSAGES,
    Gateway,
)
from tests.emulators.discord_rules import Refusal, choice_faults, message_faults, modal_faults
from tests.emulators.discord_world import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    SUPPRESS,
    Channel,
    Edit,
    Json,
    Message,
    Permission,
    User,
    World,
    answered,
    components_in,
    text_of,
    told_by,
)

ANSWER_WITHIN = 3.0
TOKEN_LIVES = 15 * 60.0

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
ANSWERS = {COMMAND: {4, 5, 9}, COMPONENT: {4, 5, 6, 7, 9}, AUTOCOMPLETE: {8}, MODAL: {4, 5}}

Value: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["message", "modal", "autocomplete", "deferred", "update"]


class Impossible(Exception):
    """Discord's own client would not let a person do this."""


class NoAnswer(Exception):
    """The application did not respond"""


# --- messages ---------------------------------------------------------------------------------------------------------


class Messages:
    """Keeps them, and tells the gateway."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self._world, self._gateway = world, gateway

    @staticmethod
    def check(body: Json, flags: int, at: tuple[str, ...] = ()) -> None:
        """Raises Refusal."""
        message_faults(body, flags, at).refuse()
        if not (body.get("content") or "").strip() and not any(
                body.get(key) for key in ("embeds", "components", "attachments", "poll", "sticker_ids")):
            raise Refusal(50006)

    async def post(self, channel: Channel, author: User, body: Json, flags: int = 0, *,
                   nonce: str | int | None = None, metadata: Json | None = None, seen_by: User | None = None) \
            -> Message:
        may = Permission.MENTION_EVERYONE in channel.bot_may(self._world.bot) and channel.guild is not None
        message = Message(self._world.ids.new(), channel, author, self._world.ids.now(), body, flags, nonce=nonce,
                          metadata=metadata, seen_by=seen_by, told=told_by(body, may))
        if seen_by is None:
            channel.messages.append(message)
            await self._tell("MESSAGE_CREATE", message, message.json(self._world, nonce=True))
        return message

    async def edit(self, message: Message, patch: Json, at: tuple[str, ...] = ()) -> None:
        flags = message.flags & ~LOADING | int(patch.get("flags") or 0) & COMPONENTS_V2
        body = {**message.payload, **patch}
        self.check(body, flags, at)
        loading = message.flags & LOADING
        message.payload, message.flags = body, flags
        if not loading:
            message.edits.append(Edit(self._world.ids.now(), body))
        if message.seen_by is None:
            await self._tell("MESSAGE_UPDATE", message, message.json(self._world))

    async def delete(self, message: Message) -> None:
        message.deleted = True
        if message.seen_by is None:
            message.channel.messages.remove(message)
            guild = message.channel.guild
            await self._gateway.dispatch(
                "MESSAGE_DELETE", {"id": message.id, "channel_id": message.channel.id,
                                   **({"guild_id": guild.id} if guild else {})},
                intent=GUILD_MESSAGES if guild else DIRECT_MESSAGES, guild=guild.id if guild else None)

    async def _tell(self, event: str, message: Message, payload: Json) -> None:
        guild = message.channel.guild
        if guild is not None:
            payload["guild_id"] = guild.id
            if message.author.id in guild.members:
                payload["member"] = {k: v for k, v in guild.members[message.author.id].json().items() if k != "user"}
        await self._gateway.dispatch(event, payload, intent=GUILD_MESSAGES if guild else DIRECT_MESSAGES,
                                     guild=guild.id if guild else None)


# --- interactions -----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Interaction:
    id: str
    token: str
    type: int
    user: User
    channel: Channel
    payload: Json
    """As the gateway told it."""
    sent: float
    """Of the real clock: a person's patience."""
    opened: float
    """Of the emulator's clock: the life of the token."""
    shown: asyncio.Future[Shown]
    metadata: Json
    source: Message | None = None
    """The message whose component it comes from, also by way of a modal."""
    answer: int | None = None
    """Type of the callback."""
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    settled: asyncio.Future[Message] | None = None
    """What came after a deferral."""


@dataclass(eq=False)
class Shown:
    """What a person sees after an act. `kind` None: nothing yet, the message stays as it is (a deferred update)."""

    kind: Kind | None
    payload: Json
    """The callback's data."""
    ephemeral: bool
    seconds: float
    """From the dispatch to the callback."""
    interaction: Interaction
    message: Message | None = None
    """The message that was posted or changed."""

    @property
    def text(self) -> str:
        """What there is to read, as it stands now."""
        if self.kind == "modal":
            lines = [self.payload["title"]]
            for one in components_in(self.payload["components"]):
                lines += [one.get("label") or "", one.get("description") or "",
                          one["content"] if one["type"] == 10 else ""]
            return "\n".join(line for line in lines if line)
        return text_of(self.message if self.message is not None else self.payload)

    @property
    def choices(self) -> list[Json]:
        """Of an autocomplete."""
        return list(self.payload.get("choices") or ())

    @property
    def followups(self) -> list[Message]:
        return self.interaction.followups

    async def finished(self, within: float = 10.0) -> Shown:
        """What a deferred answer became; raises NoAnswer when nothing came in `within` real seconds."""
        settled = self.interaction.settled
        if settled is None:
            return self
        try:
            message = await asyncio.wait_for(asyncio.shield(settled), within)
        except TimeoutError:
            raise NoAnswer(f"nothing followed the deferral in {within} s") from None
        kind: Kind = "update" if self.kind is None and message is self.interaction.original else "message"
        return replace(self, kind=kind, payload=message.payload, message=message,
                       ephemeral=message.seen_by is not None, seconds=time.monotonic() - self.interaction.sent)


class Interactions:
    """The acts of people, and the routes that answer them."""

    def __init__(self, world: World, gateway: Gateway, messages: Messages, monotonic: Callable[[], float],
                 commands: Callable[[], Sequence[Json]], answer_within: float) -> None:
        self._world, self._gateway, self._messages = world, gateway, messages
        self._monotonic, self._commands, self._within = monotonic, commands, answer_within
        self.all: list[Interaction] = []
        self._by_token: dict[str, Interaction] = {}

    # --- what people do ------------------------------------------------------------------------------------------

    async def type(self, user: User, channel: Channel, line: str, options: Mapping[str, Value]) -> Shown:
        data, _ = self._command(user, channel, line, options, focused=None)
        return await self._ask(user, channel, COMMAND, data)

    async def autocomplete(self, user: User, channel: Channel, line: str, options: Mapping[str, Value],
                           focused: str | None) -> list[Json]:
        if not options:
            raise Impossible("nothing is being typed")
        focused = focused if focused is not None else list(options)[-1]
        data, known = self._command(user, channel, line, options, focused=focused)
        if not known[focused].get("autocomplete"):
            raise Impossible(f"{line}: {focused} completes nothing")
        return (await self._ask(user, channel, AUTOCOMPLETE, data)).choices

    async def press(self, user: User, message: Message, button: str) -> Shown:
        found = [one for one in self._components(user, message) if one["type"] == 2
                 and button in (one.get("custom_id"), one.get("label"))]
        if len(found) != 1:
            raise Impossible(f"{len(found)} buttons are {button!r}")
        if found[0].get("disabled") or found[0]["style"] == 5:
            raise Impossible(f"{button!r} sends nothing")
        data = {"custom_id": found[0]["custom_id"], "component_type": 2, "id": found[0]["id"]}
        return await self._ask(user, message.channel, COMPONENT, data, message)

    async def choose(self, user: User, message: Message, select: str, values: Sequence[str]) -> Shown:
        found = [one for one in self._components(user, message) if one["type"] in (3, 5, 6, 7, 8)
                 and one["custom_id"] == select]
        if len(found) != 1 or found[0].get("disabled"):
            raise Impossible(f"{len(found)} menus are {select!r}")
        one = found[0]
        _chosen(one, values, least=one["min_values"], most=one["max_values"], required=True)
        data = {"custom_id": select, "component_type": one["type"], "id": one["id"], "values": [*values],
                **self._resolved(channel=message.channel, kinds=[(one["type"], v) for v in values])}
        return await self._ask(user, message.channel, COMPONENT, data, message)

    async def submit(self, user: User, modal: Shown, values: Mapping[str, str | bool | Sequence[str] | None]) -> Shown:
        """By custom_id; a field left out keeps what it was prefilled with, None empties it."""
        if modal.kind != "modal":
            raise Impossible("there is no form")
        if modal.interaction.user is not user:
            raise Impossible("it is somebody else's form")
        components = answered(modal.payload["components"])
        fields = {one["custom_id"] for one in components_in(components) if "custom_id" in one}
        if strange := values.keys() - fields:
            raise Impossible(f"the form has no {sorted(strange)}")
        kinds: list[tuple[int, str]] = []

        def filled(one: Json) -> Json:
            if one["type"] == 18:
                return {"type": 18, "id": one["id"], "component": filled(one["component"])}
            if one["type"] == 1:
                return {"type": 1, "id": one["id"], "components": [filled(inner) for inner in one["components"]]}
            if one["type"] == 10:
                return {"type": 10, "id": one["id"]}
            answer = _answer(one, values)
            kinds.extend((one["type"], value) for value in answer.get("values", ()))
            return {"type": one["type"], "id": one["id"], "custom_id": one["custom_id"], **answer}

        data: Json = {"custom_id": modal.payload["custom_id"], "components": [filled(one) for one in components]}
        data |= self._resolved(modal.interaction.channel, kinds)
        before = modal.interaction
        return await self._ask(user, before.channel, MODAL, data, before.source, before.metadata)

    async def repeat(self, interaction: Interaction) -> None:
        """The gateway tells of it a second time, word for word."""
        await self._dispatch(interaction)

    def _command(self, user: User, channel: Channel, line: str, options: Mapping[str, Value],
                 focused: str | None) -> tuple[Json, Mapping[str, Json]]:
        name, *path = line.split()
        command = next((one for one in self._commands() if one["name"] == name and one["type"] == 1), None)
        if command is None:
            raise Impossible(f"there is no command /{name}")
        self._may_use(user, channel, command)
        node, nodes = command, []
        for step in path:
            node = next((one for one in node.get("options") or () if one["name"] == step and one["type"] in (1, 2)),
                        {})
            if not node:
                raise Impossible(f"there is no command /{line}")
            nodes.append(node)
        known = {one["name"]: one for one in node.get("options") or ()}
        if any(one["type"] in (1, 2) for one in known.values()):
            raise Impossible(f"/{line} is not a whole command")
        if strange := options.keys() - known.keys():
            raise Impossible(f"/{line} has no option {sorted(strange)}")
        if focused is None and (missing := [one["name"] for one in known.values()
                                            if one.get("required") and one["name"] not in options]):
            raise Impossible(f"/{line} needs {missing}")
        given: list[Json] = []
        kinds: list[tuple[int, str]] = []
        for option, value in options.items():
            if option != focused:
                _option(known[option], value)
            given.append({"name": option, "type": known[option]["type"], "value": value,
                          **({"focused": True} if option == focused else {})})
            select = {6: 5, 7: 8, 8: 6}.get(known[option]["type"])
            if select is not None and option != focused:
                kinds.append((select, str(value)))
        for above in reversed(nodes):
            given = [{"name": above["name"], "type": above["type"], "options": given}]
        return {"id": command["id"], "name": name, "type": 1, "options": given,
                **self._resolved(channel, kinds)}, known

    def _may_use(self, user: User, channel: Channel, command: Json) -> None:
        context = 0 if channel.guild is not None else 1
        contexts = command.get("contexts")
        allowed = context in contexts if contexts is not None else command.get("dm_permission", True) or context == 0
        if not allowed:
            raise Impossible(f"/{command['name']} is not offered here")
        needed = command.get("default_member_permissions")
        if channel.guild is not None and needed is not None:
            has = self._member_may(user, channel)
            if int(needed) & ~has or (int(needed) == 0 and Permission.ADMINISTRATOR not in has):
                raise Impossible(f"/{command['name']} is not offered to {user.name}")

    @staticmethod
    def _member_may(user: User, channel: Channel) -> Permission:
        assert channel.guild is not None
        return channel.guild.permissions(user.id)

    def _components(self, user: User, message: Message) -> list[Json]:
        if message.deleted or (message.seen_by is not None and message.seen_by is not user):
            raise Impossible(f"{user.name} does not see the message")
        if message.channel.recipient is not None and message.channel.recipient is not user:
            raise Impossible(f"{user.name} does not see the message")
        return list(components_in(answered(message.payload.get("components") or [])))

    def _resolved(self, channel: Channel, kinds: Sequence[tuple[int, str]]) -> Json:
        """The people, roles and channels that were chosen, as select menus of kind 5, 6, 7 and 8 send them."""
        out: dict[str, dict[str, Json]] = {}
        guild = channel.guild
        for kind, id in kinds:
            if kind in (5, 7) and id in self._world.users:
                out.setdefault("users", {})[id] = self._world.users[id].json()
                if guild is not None and id in guild.members:
                    member = {k: v for k, v in guild.members[id].json().items() if k not in ("user", "deaf", "mute")}
                    out.setdefault("members", {})[id] = {**member, "permissions": str(int(guild.permissions(id)))}
            elif kind in (6, 7) and guild is not None and id in guild.roles:
                out.setdefault("roles", {})[id] = guild.roles[id].json()
            elif kind == 8 and guild is not None and id in guild.channels:
                out.setdefault("channels", {})[id] = {
                    **guild.channels[id].json(self._world.bot), "permissions": str(int(guild.permissions(
                        guild.owner.id)))}
            elif kind in (5, 6, 7, 8):
                raise Impossible(f"there is nobody and nothing with the id {id}")
        return {"resolved": out} if out else {}

    async def _ask(self, user: User, channel: Channel, type: int, data: Json, source: Message | None = None,
                   before: Json | None = None) -> Shown:
        world, guild = self._world, channel.guild
        if channel.id not in world.channels or (guild is not None and guild.id not in world.guilds):
            raise Impossible("the application is not here")
        if guild is not None and user.id not in guild.members:
            raise Impossible(f"{user.name} is not in {guild.name}")
        if guild is None and channel.recipient is not user:
            raise Impossible(f"these are not {user.name}'s direct messages")
        id, token = world.ids.new(), secrets.token_urlsafe(90)
        owners = {"0": guild.id if guild is not None else "0"}
        about: Json = {"id": id, "type": type, "user": user.json(), "authorizing_integration_owners": owners}
        if type == COMPONENT and source is not None:
            about["interacted_message_id"] = source.id
        if type == MODAL:
            about["triggering_interaction_metadata"] = before
        may = channel.bot_may(world.bot)
        place: Json = {**channel.json(world.bot)}
        payload: Json = {
            "id": id, "application_id": world.application, "type": type, "data": data, "token": token, "version": 1,
            "channel": place, "channel_id": channel.id, "locale": user.locale, "app_permissions": str(int(may)),
            "entitlements": [], "entitlement_sku_ids": [], "authorizing_integration_owners": owners,
            "context": 0 if guild is not None else 1, "attachment_size_limit": 10_485_760}
        if guild is None:
            payload["user"] = user.json()
        else:
            permissions = str(int(self._member_may(user, channel)))
            place["permissions"] = permissions
            payload |= {"guild_id": guild.id, "guild_locale": guild.locale,
                        "guild": {"id": guild.id, "locale": guild.locale, "features": []},
                        "member": {**guild.members[user.id].json(), "permissions": permissions}}
        if source is not None:
            payload["message"] = source.json(world)
        interaction = Interaction(id, token, type, user, channel, payload, time.monotonic(), self._monotonic(),
                                  asyncio.get_running_loop().create_future(), about, source)
        self.all.append(interaction)
        self._by_token[token] = interaction
        await self._dispatch(interaction)
        try:
            return await asyncio.wait_for(asyncio.shield(interaction.shown), self._within)
        except TimeoutError:
            raise NoAnswer("The application did not respond") from None

    async def _dispatch(self, interaction: Interaction) -> None:
        guild = interaction.channel.guild
        await self._gateway.dispatch("INTERACTION_CREATE", interaction.payload, guild=guild.id if guild else None)

    # --- how the application answers -----------------------------------------------------------------------------

    async def callback(self, id: str, token: str, body: Json, *, with_response: bool) -> Json | None:
        """The answer's body, None for 204."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != id:
            raise Refusal(10062)
        if interaction.answer is not None:
            raise Refusal(40060)
        seconds = time.monotonic() - interaction.sent
        if seconds > self._within:
            raise Refusal(10062)
        type, data = body.get("type"), body.get("data") or {}
        allowed = ANSWERS[interaction.type] | ({6, 7} if interaction.type == MODAL and interaction.source else set())
        if type not in allowed:
            raise Refusal(50035, errors={"type": {"_errors": [{
                "code": "BASE_TYPE_CHOICES", "message": f"Value must be one of {sorted(allowed)}."}]}})
        flags = int(data.get("flags") or 0)
        kept = flags & (EPHEMERAL | COMPONENTS_V2 | SUPPRESS)
        kind: Kind | None
        # The checks come first: what is refused leaves the interaction unanswered.
        if type == 4:
            self._messages.check(data, flags, ("data",))
        elif type == 7:
            assert interaction.source is not None
            merged = interaction.source.flags | flags & COMPONENTS_V2
            self._messages.check({**interaction.source.payload, **data}, merged, ("data",))
        elif type == 8:
            choice_faults(data.get("choices") or []).refuse()
        elif type == 9:
            modal_faults(data).refuse()
        interaction.answer = type
        if type in (4, 5):
            kind = "message" if type == 4 else "deferred"
            interaction.original = await self._post(interaction, data if type == 4 else {},
                                                    kept | (LOADING if type == 5 else 0))
        elif type in (6, 7):
            kind, interaction.original = "update" if type == 7 else None, interaction.source
            if type == 7 and interaction.source is not None:
                await self._messages.edit(interaction.source, data, ("data",))
        else:
            kind = "autocomplete" if type == 8 else "modal"
        if type in (5, 6):
            interaction.settled = asyncio.get_running_loop().create_future()
        original = interaction.original
        ephemeral = original is not None and original.seen_by is not None
        if not interaction.shown.done():
            interaction.shown.set_result(Shown(kind, data, ephemeral, seconds, interaction, original))
        if not with_response:
            return None
        told: Json = {"id": interaction.id, "type": interaction.type}
        out: Json = {"interaction": told}
        if original is not None:
            told |= {"response_message_id": original.id, "response_message_loading": type == 5,
                     "response_message_ephemeral": ephemeral}
            if type in (4, 7):
                out["resource"] = {"type": type, "message": original.json(self._world)}
        return out

    async def follow(self, app: str, token: str, body: Json) -> Message:
        interaction = self._open(app, token)
        flags = int(body.get("flags") or 0)
        self._messages.check(body, flags)
        original = interaction.original
        if original is not None and original.flags & LOADING:
            # The first thing that follows a deferral takes its place.
            await self._fill(interaction, original, body)
            return original
        message = await self._post(interaction, body, flags & (EPHEMERAL | COMPONENTS_V2 | SUPPRESS))
        interaction.followups.append(message)
        self._settle(interaction, message)
        return message

    def message(self, app: str, token: str, id: str) -> Message:
        interaction = self._open(app, token)
        every = [*interaction.followups, *([interaction.original] if interaction.original else [])]
        wanted = interaction.original if id == "@original" else next((m for m in every if m.id == id), None)
        if wanted is None or wanted.deleted:
            raise Refusal(10008)
        return wanted

    async def edit(self, app: str, token: str, id: str, patch: Json) -> Message:
        message = self.message(app, token, id)
        await self._fill(self._open(app, token), message, patch)
        return message

    async def delete(self, app: str, token: str, id: str) -> None:
        await self._messages.delete(self.message(app, token, id))

    def _open(self, app: str, token: str) -> Interaction:
        if app != self._world.application:
            raise Refusal(10015)
        interaction = self._by_token.get(token)
        if interaction is None or self._monotonic() - interaction.opened > TOKEN_LIVES:
            raise Refusal(50027)
        if interaction.answer is None:
            raise Refusal(10015)
        return interaction

    async def _fill(self, interaction: Interaction, message: Message, patch: Json) -> None:
        await self._messages.edit(message, patch)
        if message is interaction.original:
            self._settle(interaction, message)

    @staticmethod
    def _settle(interaction: Interaction, message: Message) -> None:
        if interaction.settled is not None and not interaction.settled.done():
            interaction.settled.set_result(message)

    async def _post(self, interaction: Interaction, body: Json, flags: int) -> Message:
        seen_by = interaction.user if flags & EPHEMERAL else None
        return await self._messages.post(interaction.channel, self._world.bot, body, flags, seen_by=seen_by,
                                         metadata=interaction.metadata)


# --- what a person's client checks before it sends --------------------------------------------------------------------


def _option(option: Json, value: Value) -> None:
    name, kind = option["name"], option["type"]
    wanted: dict[int, tuple[type[Any], ...]] = {3: (str,), 4: (int,), 5: (bool,), 6: (str,), 7: (str,), 8: (str,),
                                                9: (str,), 10: (int, float)}
    if not isinstance(value, wanted[kind]) or (isinstance(value, bool) and kind != 5):
        raise Impossible(f"{name}: no value of type {kind}")
    if option.get("choices") and value not in [choice["value"] for choice in option["choices"]]:
        raise Impossible(f"{name}: not one of the choices")
    size = len(value) if isinstance(value, str) else value
    low, high = ("min_length", "max_length") if kind == 3 else ("min_value", "max_value")
    least, most = option.get(low), option.get(high)
    if (least is not None and size < least) or (most is not None and size > most):
        raise Impossible(f"{name}: outside of {least} to {most}")


def _answer(one: Json, values: Mapping[str, str | bool | Sequence[str] | None]) -> Json:
    """What the field sends."""
    name, type, required = one["custom_id"], one["type"], one.get("required", True)
    preset = [option["value"] for option in one.get("options") or () if option.get("default")]
    if type == 4:
        text = values.get(name, one.get("value") or "")
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise Impossible(f"{name}: a text")
        if required and not text:
            raise Impossible(f"{name}: required")
        if text and not (one.get("min_length") or 0) <= len(text) <= (one.get("max_length") or 4000):
            raise Impossible(f"{name}: too short or too long")
        if one["style"] == 1 and "\n" in text:
            raise Impossible(f"{name}: one line")
        return {"value": text}
    if type == 23:
        ticked = values.get(name, bool(one.get("default")))
        if not isinstance(ticked, bool):
            raise Impossible(f"{name}: ticked or not")
        return {"value": ticked}
    if type == 21:
        value = values.get(name, preset[0] if preset else None)
        if value is None and required:
            raise Impossible(f"{name}: required")
        if value is not None and value not in [option["value"] for option in one["options"]]:
            raise Impossible(f"{name}: not one of the options")
        return {"value": value}
    if type == 19:
        raise Impossible("the emulator uploads no files")
    chosen = values.get(name, preset)
    chosen = [] if chosen is None else chosen
    if isinstance(chosen, str | bool):
        raise Impossible(f"{name}: a list of values")
    most = one.get("max_values") or (len(one["options"]) if type == 22 else 1)
    least = one["min_values"] if type != 22 else one.get("min_values", 1)
    _chosen(one, chosen, least=least, most=most, required=required)
    return {"values": [*chosen]}


def _chosen(one: Json, values: Sequence[str], *, least: int, most: int, required: bool) -> None:
    name = one["custom_id"]
    if len(set(values)) != len(values):
        raise Impossible(f"{name}: chosen twice")
    if "options" in one and set(values) - {option["value"] for option in one["options"]}:
        raise Impossible(f"{name}: not one of the options")
    if (values or required) and not least <= len(values) <= most:
        raise Impossible(f"{name}: {least} to {most} are to be chosen")


