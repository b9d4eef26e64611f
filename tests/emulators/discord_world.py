"""Who and what is on the emulated Discord: people, servers, roles, channels, messages, and how its API writes each.

Nothing here refuses anything: the rules are in `discord_rules`, the doors in `discord`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntFlag
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""An object of Discord's API; its OpenAPI types it, in the requests and in our answers."""

EPOCH = 1_420_070_400_000
"""Milliseconds; the first of January 2015, when Discord's ids begin."""
COMPONENTS_V2 = 1 << 15
EPHEMERAL = 1 << 6
LOADING = 1 << 7
HAS_THREAD = 1 << 5
SUPPRESS = 1 << 12


class Permission(IntFlag):
    """Those that the emulator asks for, by Discord's own bits."""

    ADMINISTRATOR = 1 << 3
    MANAGE_GUILD = 1 << 5
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    EMBED_LINKS = 1 << 14
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    MANAGE_ROLES = 1 << 28
    USE_APPLICATION_COMMANDS = 1 << 31
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38


P = Permission
MEMBERS_MAY = (P.VIEW_CHANNEL | P.SEND_MESSAGES | P.EMBED_LINKS | P.READ_MESSAGE_HISTORY
               | P.USE_APPLICATION_COMMANDS | P.CREATE_PUBLIC_THREADS | P.SEND_MESSAGES_IN_THREADS)
BOT_MAY = MEMBERS_MAY | P.MANAGE_ROLES
ALL = Permission(sum(Permission))


@dataclass
class Ids:
    """Snowflakes from a clock; each greater than the one before, also when the clock stands still or steps back."""

    now: Callable[[], datetime]
    last: int = 0

    def new(self) -> str:
        at = int(self.now().timestamp() * 1000) - EPOCH
        self.last = max(self.last + 1, at << 22)
        return str(self.last)


@dataclass(eq=False)
class User:
    id: str
    name: str
    bot: bool = False
    locale: str = "en-GB"
    takes_dms: bool = True

    def json(self) -> Json:
        return {"id": self.id, "username": self.name.lower().replace(" ", "."), "global_name": None if self.bot else
                self.name, "discriminator": "0", "avatar": None, "public_flags": 0, "flags": 0, "primary_guild": None,
                **({"bot": True} if self.bot else {})}


@dataclass(eq=False)
class Role:
    id: str
    name: str
    permissions: Permission
    position: int
    managed_by: str | None = None

    def json(self) -> Json:
        return {"id": self.id, "name": self.name, "permissions": str(int(self.permissions)), "position": self.position,
                "color": 0, "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
                "hoist": False, "managed": self.managed_by is not None, "mentionable": False, "icon": None,
                "unicode_emoji": None, "flags": 0, **({"tags": {"bot_id": self.managed_by}} if self.managed_by else {})}


@dataclass(eq=False)
class Member:
    user: User
    joined: datetime
    roles: list[str] = field(default_factory=list)
    nick: str | None = None

    def json(self) -> Json:
        return {"user": self.user.json(), "nick": self.nick, "avatar": None, "banner": None, "roles": [*self.roles],
                "joined_at": self.joined.isoformat(), "premium_since": None, "deaf": False, "mute": False,
                "pending": False, "flags": 0, "communication_disabled_until": None}


@dataclass(eq=False)
class Guild:
    id: str
    name: str
    owner: User
    roles: dict[str, Role]
    """`@everyone` has the guild's own id."""
    members: dict[str, Member]
    channels: dict[str, Channel] = field(default_factory=dict)
    bot_role: str = ""
    locale: str = "en-GB"

    def permissions(self, user: str) -> Permission:
        """In the guild as a whole, before any channel says otherwise."""
        if user == self.owner.id:
            return ALL
        bits = self.roles[self.id].permissions
        for role in self.members[user].roles:
            bits |= self.roles[role].permissions
        return ALL if bits & P.ADMINISTRATOR else bits

    def highest(self, user: str) -> int:
        """Position of their highest role."""
        return max((self.roles[role].position for role in self.members[user].roles), default=0)

    def json(self) -> Json:
        return {"id": self.id, "name": self.name, "icon": None, "description": None, "home_header": None,
                "splash": None, "discovery_splash": None, "features": [], "banner": None, "owner_id": self.owner.id,
                "application_id": None, "region": "deprecated", "afk_channel_id": None, "afk_timeout": 300,
                "system_channel_id": None, "system_channel_flags": 0, "widget_enabled": False,
                "widget_channel_id": None, "verification_level": 0, "default_message_notifications": 1, "mfa_level": 0,
                "roles": [role.json() for role in self.roles.values()], "explicit_content_filter": 0,
                "max_presences": None, "max_members": 500_000, "max_stage_video_channel_users": 50,
                "max_video_channel_users": 25, "vanity_url_code": None, "premium_tier": 0,
                "premium_subscription_count": 0, "preferred_locale": self.locale, "rules_channel_id": None,
                "safety_alerts_channel_id": None, "public_updates_channel_id": None,
                "premium_progress_bar_enabled": False, "nsfw": False, "nsfw_level": 0, "emojis": [], "stickers": [],
                "incidents_data": None}


@dataclass(eq=False)
class Channel:
    """A text channel (0), a person's direct messages with the bot (1) or a public thread (11)."""

    id: str
    type: int
    name: str = ""
    guild: Guild | None = None
    recipient: User | None = None
    parent: Channel | None = None
    bits: Permission | None = None
    """What the bot may do here; None: what it may in the guild, or in the channel above."""
    messages: list[Message] = field(default_factory=list)
    created: datetime | None = None

    def bot_may(self, bot: User) -> Permission:
        if self.guild is None:
            return MEMBERS_MAY
        if self.parent is not None:
            return self.parent.bot_may(bot)
        return self.guild.permissions(bot.id) if self.bits is None else self.bits

    def json(self, bot: User) -> Json:
        if self.guild is None:
            assert self.recipient is not None
            return {"id": self.id, "type": 1, "flags": 0, "last_message_id": self._last(),
                    "recipients": [self.recipient.json()]}
        common = {"id": self.id, "type": self.type, "flags": 0, "guild_id": self.guild.id, "name": self.name,
                  "last_message_id": self._last(), "rate_limit_per_user": 0}
        if self.parent is not None:
            assert self.created is not None
            return {**common, "parent_id": self.parent.id, "owner_id": bot.id, "message_count": len(self.messages),
                    "member_count": 1, "total_message_sent": len(self.messages),
                    "thread_metadata": {"archived": False, "archive_timestamp": self.created.isoformat(),
                                        "auto_archive_duration": 1440, "locked": False}}
        overwrites = [] if self.bits is None else [
            {"id": bot.id, "type": 1, "allow": str(int(self.bits)), "deny": str(int(ALL & ~self.bits))}]
        return {**common, "position": 0, "parent_id": None, "topic": None, "nsfw": False,
                "permission_overwrites": overwrites}

    def _last(self) -> str | None:
        return self.messages[-1].id if self.messages else None


@dataclass(frozen=True)
class Edit:
    at: datetime
    payload: Json
    """The message's body as it was after the edit."""


@dataclass(eq=False)
class Message:
    id: str
    channel: Channel
    author: User
    at: datetime
    payload: Json
    """The body as it stands, in the words of the request that made it."""
    flags: int = 0
    edits: list[Edit] = field(default_factory=list)
    nonce: str | int | None = None
    seen_by: User | None = None
    """The one person who sees an ephemeral message."""
    told: frozenset[str] = frozenset()
    """Who was told of it by a mention; `everyone` among them when all were."""
    thread: Channel | None = None
    metadata: Json | None = None
    """Of the interaction that it answers."""
    deleted: bool = False

    @property
    def text(self) -> str:
        return text_of(self.payload)

    def json(self, world: World, *, nonce: bool = False) -> Json:
        """`nonce` only in the answer to the post and its MESSAGE_CREATE: history does not show it."""
        told = [world.users[user] for user in sorted(self.told) if user in world.users]
        out: Json = {
            "id": self.id, "type": 20 if self.metadata and self.metadata["type"] == 2 else 0,
            "channel_id": self.channel.id, "author": self.author.json(), "content": self.payload.get("content") or "",
            "timestamp": self.at.isoformat(), "edited_timestamp": self.edits[-1].at.isoformat() if self.edits else None,
            "tts": False, "mention_everyone": "everyone" in self.told, "mentions": [user.json() for user in told],
            "mention_roles": [], "attachments": self.payload.get("attachments") or [],
            "embeds": [{"type": "rich", **embed} for embed in self.payload.get("embeds") or ()],
            "pinned": False, "flags": self.flags, "components": answered(self.payload.get("components") or [])}
        if self.metadata is not None:
            out |= {"interaction_metadata": self.metadata, "webhook_id": world.application, "application_id":
                    world.application}
        if self.thread is not None:
            out["thread"] = self.thread.json(world.bot)
        if nonce and self.nonce is not None:
            out["nonce"] = self.nonce
        return out


@dataclass
class World:
    """Everything that is there, by id."""

    ids: Ids
    application: str
    bot: User
    users: dict[str, User] = field(default_factory=dict)
    guilds: dict[str, Guild] = field(default_factory=dict)
    """Those that the bot is in."""
    left: dict[str, Guild] = field(default_factory=dict)
    """Those that it was removed from."""
    channels: dict[str, Channel] = field(default_factory=dict)
    dms: dict[str, Channel] = field(default_factory=dict)
    """By person."""

    def add_user(self, name: str, **more: Any) -> User:
        user = User(self.ids.new(), name, **more)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, permissions: Permission) -> Guild:
        id, at = self.ids.new(), self.ids.now()
        owner = self.add_user(f"owner of {name}")
        bot_role = Role(self.ids.new(), self.bot.name, permissions, 1, managed_by=self.bot.id)
        # What everybody may, the bot may too: so everybody may what it shall not be denied, and no more.
        everyone = Role(id, "@everyone", MEMBERS_MAY & permissions, 0)
        guild = Guild(id, name, owner, {id: everyone, bot_role.id: bot_role},
                      {owner.id: Member(owner, at), self.bot.id: Member(self.bot, at, [bot_role.id])},
                      bot_role=bot_role.id)
        self.guilds[id] = guild
        return guild

    def add_channel(self, guild: Guild, name: str, bits: Permission | None = None) -> Channel:
        channel = Channel(self.ids.new(), 0, name, guild, bits=bits)
        guild.channels[channel.id] = self.channels[channel.id] = channel
        return channel

    def dm(self, user: User) -> Channel:
        if user.id not in self.dms:
            channel = Channel(self.ids.new(), 1, recipient=user)
            self.dms[user.id] = self.channels[channel.id] = channel
        return self.dms[user.id]

    def guild_create(self, guild: Guild) -> Json:
        """What the gateway tells of a guild: of its members, those that a bot without the members' intent is told."""
        return {**guild.json(), "joined_at": guild.members[self.bot.id].joined.isoformat(), "large": False,
                "unavailable": False, "member_count": len(guild.members), "voice_states": [], "presences": [],
                "members": [guild.members[self.bot.id].json()], "stage_instances": [], "guild_scheduled_events": [],
                "soundboard_sounds": [],
                "channels": [c.json(self.bot) for c in guild.channels.values() if c.parent is None],
                "threads": [c.json(self.bot) for c in guild.channels.values() if c.parent is not None]}


# --- what a message holds ---------------------------------------------------------------------------------------------


def components_in(components: list[Json]) -> Iterator[Json]:
    """All of them, in reading order, however deep."""
    for component in components:
        yield component
        yield from components_in(component.get("components") or [])
        for one in ("component", "accessory"):
            if isinstance(component.get(one), dict):
                yield from components_in([component[one]])


def text_of(message: Message | Json) -> str:
    """What there is to read: the content, embeds' titles and descriptions, and every text of Components V2, by lines.
    Buttons are not among it."""
    payload = message.payload if isinstance(message, Message) else message
    lines = [payload.get("content") or ""]
    for embed in payload.get("embeds") or ():
        lines += [embed.get("title") or "", embed.get("description") or ""]
        lines += [line for field in embed.get("fields") or () for line in (field["name"], field["value"])]
    lines += [one["content"] for one in components_in(payload.get("components") or []) if one["type"] == 10]
    return "\n".join(line for line in lines if line)


def buttons_of(message: Message | Json) -> list[Json]:
    payload = message.payload if isinstance(message, Message) else message
    return [one for one in components_in(payload.get("components") or []) if one["type"] == 2]


_MENTION = re.compile(r"<@!?(\d+)>")


def told_by(payload: Json, may_everyone: bool) -> frozenset[str]:
    """Whom a message's mentions tell. Without `allowed_mentions` all that it mentions."""
    text, allowed = text_of(payload), payload.get("allowed_mentions")
    named = set(_MENTION.findall(text))
    everyone = may_everyone and bool(re.search("@(everyone|here)", text))
    if allowed is None:
        return frozenset(named | ({"everyone"} if everyone else set()))
    parse, users = allowed.get("parse") or (), {str(user) for user in allowed.get("users") or ()}
    told = named if "users" in parse else named & users
    return frozenset(told | ({"everyone"} if everyone and "everyone" in parse else set()))


_DEFAULTS: dict[int, Json] = {
    3: {"min_values": 1, "max_values": 1}, 5: {"min_values": 1, "max_values": 1}, 6: {"min_values": 1, "max_values": 1},
    14: {"spacing": 1, "divider": True}, 17: {"accent_color": None, "spoiler": False}}


def answered(components: list[Json]) -> list[Json]:
    """The components as Discord gives them back: every one with an id, defaults filled in, nothing that is null."""
    taken = {one["id"] for one in components_in(components) if one.get("id")}
    free = (number for number in range(1, 1 << 20) if number not in taken)

    def one(component: Json) -> Json:
        out = {**_DEFAULTS.get(component["type"], {}), **{k: v for k, v in component.items() if v is not None}}
        out["id"] = component.get("id") or next(free)
        for key in ("component", "accessory"):
            if key in out:
                out[key] = one(out[key])
        if "components" in out:
            out["components"] = [one(inner) for inner in out["components"]]
        return out

    return [one(component) for component in components]
