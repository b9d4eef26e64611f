"""What the emulated Slack knows: workspaces, people, channels, messages, views, tokens; and how it says no."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from tests.emulators.slack_blocks import STATEFUL, Json, elements, texts, untouched


class Refusal(Exception):
    """The Web API's `{"ok": false, "error": …}`."""

    def __init__(self, error: str, messages: list[str] | None = None, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.answer: Json = {"ok": False, "error": error, **more}
        if messages:
            if error == "invalid_blocks":
                self.answer["errors"] = messages
            self.answer["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}


class TooMany(Exception):
    """429: come back after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(1, math.ceil(seconds))


# --- people and places ------------------------------------------------------------------------------------------------


@dataclass
class User:
    id: str
    name: str
    tz: str = "Europe/Berlin"
    is_bot: bool = False
    disabled: bool = False

    def payload(self, team: str, now: datetime) -> Json:
        offset = now.astimezone(ZoneInfo(self.tz)).utcoffset()
        assert offset is not None
        payload: Json = {
            "id": self.id, "team_id": team, "name": self.name, "deleted": self.disabled, "real_name": self.name.title(),
            "profile": {"real_name": self.name.title(), "display_name": self.name, "team": team},
            "is_bot": self.is_bot, "is_app_user": False, "updated": 1_700_000_000,
        }
        if not self.disabled:       # Slack leaves the zone of a deactivated account out
            payload |= {"tz": self.tz, "tz_label": self.tz, "tz_offset": int(offset.total_seconds()),
                        "is_admin": False, "is_owner": False, "is_restricted": False, "is_ultra_restricted": False}
        return payload


@dataclass(frozen=True)
class Edit:
    """What a message said before it was changed at `ts`."""

    ts: str
    text: str
    blocks: tuple[Json, ...]


@dataclass
class Posted:
    """A message as Slack keeps it. `ephemeral` names the only person who sees it; `deleted` ones leave the history."""

    team: str
    channel: str
    user: str
    ts: str
    text: str
    blocks: list[Json]
    bot_id: str | None = None
    app_id: str | None = None
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    ephemeral: str | None = None
    edits: list[Edit] = field(default_factory=list)
    deleted: bool = False

    @property
    def words(self) -> str:
        """What a reader sees: the texts of the blocks, else the text."""
        return "\n".join(texts(self.blocks)) if self.blocks else self.text

    def payload(self, *, with_metadata: bool = False) -> Json:
        payload: Json = {"type": "message", "user": self.user, "text": self.text, "ts": self.ts, "team": self.team}
        if self.bot_id:
            payload |= {"bot_id": self.bot_id, "app_id": self.app_id}
        if self.blocks:
            payload["blocks"] = self.blocks
        if self.thread_ts:
            payload["thread_ts"] = self.thread_ts
        if self.edits:
            payload["edited"] = {"user": self.bot_id or self.user, "ts": self.edits[-1].ts}
        if self.metadata and with_metadata:
            payload["metadata"] = self.metadata
        return payload


@dataclass
class Channel:
    id: str
    name: str
    members: set[str]
    private: bool = False
    archived: bool = False
    im: str | None = None
    """For direct messages with the bot: the person."""
    messages: list[Posted] = field(default_factory=list)

    @property
    def kind(self) -> Literal["im", "groups", "channels"]:
        """As scopes call it."""
        return "im" if self.im else "groups" if self.private else "channels"

    def payload(self) -> Json:
        payload: Json = {"id": self.id, "created": 1_700_000_000, "is_archived": self.archived, "is_im": bool(self.im),
                         "is_org_shared": False}
        if self.im:
            return payload | {"user": self.im, "is_user_deleted": False}
        return payload | {"name": self.name, "name_normalized": self.name, "is_channel": not self.private,
                          "is_group": self.private, "is_mpim": False, "is_private": self.private,
                          "is_general": False, "is_shared": False, "num_members": len(self.members),
                          "topic": {"value": "", "creator": "", "last_set": 0},
                          "purpose": {"value": "", "creator": "", "last_set": 0}}


@dataclass
class View:
    """A modal or a home as it stands on somebody's screen. `state` holds what they touched."""

    id: str
    team: str
    user: str
    body: Json
    hash: str
    app_id: str
    bot_id: str
    root: str
    previous: str | None = None
    open: bool = True
    state: dict[tuple[str, str], Json] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Json]:
        blocks: list[Json] = self.body["blocks"]
        return blocks

    @property
    def title(self) -> str:
        return str(self.body["title"]["text"]) if "title" in self.body else ""

    @property
    def words(self) -> str:
        return "\n".join(texts(self.blocks))

    def values(self) -> Json:
        values: dict[str, Json] = {}
        for block, element in elements(self.blocks):
            if element["type"] in STATEFUL:
                key = (block["block_id"], element["action_id"])
                values.setdefault(key[0], {})[key[1]] = self.state.get(key) or untouched(element)
        return values

    def payload(self) -> Json:
        modal = {"title": self.body.get("title"), "submit": self.body.get("submit"), "close": self.body.get("close"),
                 "clear_on_close": self.body.get("clear_on_close", False),
                 "notify_on_close": self.body.get("notify_on_close", False)}
        return {
            "id": self.id, "team_id": self.team, "type": self.body["type"], "blocks": self.blocks,
            "private_metadata": self.body.get("private_metadata", ""), "callback_id": self.body.get("callback_id", ""),
            "state": {"values": self.values()}, "hash": self.hash,
            **(modal if self.body["type"] == "modal" else
               {"title": None, "submit": None, "close": None, "clear_on_close": False, "notify_on_close": False}),
            "previous_view_id": self.previous, "root_view_id": self.root, "app_id": self.app_id,
            "external_id": self.body.get("external_id", ""), "app_installed_team_id": self.team, "bot_id": self.bot_id,
        }


@dataclass(frozen=True)
class Shown:
    """What a person sees after they did something. `errors` are by block_id; `by_slack` when Slack's own client
    objected, so that the bot was never asked."""

    kind: Literal["nothing", "ephemeral", "message", "deleted", "modal", "home", "closed", "errors"]
    text: str = ""
    blocks: tuple[Json, ...] = ()
    message: Posted | None = None
    view: View | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    by_slack: bool = False

    @property
    def words(self) -> str:
        return self.view.words if self.view else "\n".join(texts(list(self.blocks))) if self.blocks else self.text


@dataclass
class Token:
    value: str
    team: str
    """Empty for the app-level token."""
    scopes: frozenset[str]
    expires: datetime | None = None
    error: str | None = None
    """What Slack answers to it once it is no longer good."""


@dataclass
class Team:
    id: str
    name: str
    domain: str
    bot_user: str
    bot_id: str
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    ephemerals: list[Posted] = field(default_factory=list)
    homes: dict[str, View] = field(default_factory=dict)
    token: Token | None = None
    """The installation's newest."""
    refresh: str | None = None

    def im(self, user: str, number: int) -> tuple[Channel, bool]:
        """The direct messages of the bot with the person, and whether they were there before."""
        for channel in self.channels.values():
            if channel.im == user:
                return channel, True
        channel = Channel(f"D{number:010d}", "directmessage", {user, self.bot_user}, im=user)
        self.channels[channel.id] = channel
        return channel, False

    def messages(self) -> Iterator[Posted]:
        for channel in self.channels.values():
            yield from channel.messages


# --- limits -----------------------------------------------------------------------------------------------------------

POSTS_A_SECOND, POSTS_AT_ONCE = 1.0, 4
"""A channel: "one message per second, short bursts allowed" (docs: rate limits). The burst's size is our guess."""
POSTS_A_MINUTE = 300
"""A workspace: "several hundred messages per minute"."""
TIERS: Mapping[int, int] = {0: 600, 1: 12, 2: 20, 3: 50, 4: 100}
"""Calls a minute of a method in a workspace; 0 is the tier of its own. Tier 1 is "1+ with a small burst": twelve let an
app open its ten connections."""


class Limits:
    """Counts by the clock that the caller reads; refused calls do not count."""

    def __init__(self) -> None:
        self._windows: defaultdict[tuple[str, ...], deque[float]] = defaultdict(deque)
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}
        self._closed: dict[tuple[str, str], float] = {}

    def close(self, method: str, team: str, until: float) -> None:
        """Nothing passes before that instant: who was told to wait must wait."""
        self._closed[method, team] = until

    def admit(self, method: str, team: str, at: float, a_minute: int, channel: str | None = None) -> None:
        """Raises TooMany. With `channel`, it is a post."""
        waits = [self._closed.get((method, team), at) - at]
        window = self._windows[method, team]
        while window and window[0] <= at - 60:
            window.popleft()
        if len(window) >= a_minute:
            waits.append(window[0] + 60 - at)
        tokens = 0.0
        if channel is not None:
            tokens, since = self._buckets.get((team, channel), (float(POSTS_AT_ONCE), at))
            tokens = min(POSTS_AT_ONCE, tokens + (at - since) * POSTS_A_SECOND)
            if tokens < 1 - 1e-9:
                waits.append((1 - tokens) / POSTS_A_SECOND)
        if max(waits) > 0:
            raise TooMany(max(waits))
        window.append(at)
        if channel is not None:
            self._buckets[team, channel] = (tokens - 1, at)
