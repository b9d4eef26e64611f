"""The emulated Web API: each method with its arguments, scopes and limits, and what it does or refuses.

Source: docs.slack.dev, reference/methods. Stricter than Slack in one thing: it overlooks unknown arguments, we refuse
them, because in our own calls they are mistakes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from tests.emulators import slack_blocks
from tests.emulators.slack_blocks import Json
from tests.emulators.slack_world import Channel, Edit, Posted, Refusal, Shown, Team, Token

if TYPE_CHECKING:
    from tests.emulators.slack import Slack

TEXT_LONGEST = 40_000
TRIGGER_LIVES = 3.0
"""Seconds (docs: surfaces/modals)."""
TOKEN_LIVES = timedelta(hours=12)
CODE_LIVES = 600.0
MOST_VIEWS = 3
METADATA_LARGEST = 8000


@dataclass
class Call:
    slack: Slack
    method: Method
    token: Token | None
    args: Json
    from_form: bool
    basic: tuple[str, str] | None = None
    """Client id and secret, from a header."""

    @property
    def team(self) -> Team:
        assert self.token is not None
        return self.slack.teams[self.token.team]

    def text(self, name: str, default: str = "") -> str:
        value = self.args.get(name, default)
        if not isinstance(value, str):
            raise Refusal("invalid_arguments", [f"must provide a string [json-pointer:/{name}]"])
        return value

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.args.get(name, default))
        except (TypeError, ValueError):
            raise Refusal("invalid_arguments", [f"must provide an integer [json-pointer:/{name}]"]) from None

    def flag(self, name: str, default: bool = False) -> bool:
        return self.args.get(name, default) in (True, 1, "1", "true", "True")

    def structure(self, name: str, malformed: Refusal) -> Any:
        """An argument that may also come as JSON in a string, as it must in a form."""
        value = self.args[name]
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise malformed from None
        elif self.from_form:
            raise malformed
        return value

    def need(self, *scopes: str) -> None:
        """One of the scopes."""
        assert self.token is not None
        if not set(scopes) & self.token.scopes:
            raise Refusal("missing_scope", needed=",".join(scopes), provided=",".join(sorted(self.token.scopes)))

    def channel(self, name: str = "channel") -> Channel:
        """One that the bot can see."""
        team, wanted = self.team, self.text(name)
        for channel in team.channels.values():
            if wanted in (channel.id, f"#{channel.name}") and (not channel.private or team.bot_user in channel.members):
                return channel
        raise Refusal("channel_not_found")


@dataclass(frozen=True)
class Method:
    """`tier` is that of slack_world.TIERS; `json`: takes JSON bodies, which the reading methods do not."""

    run: Callable[[Call], Json]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tier: int = 3
    json: bool = False
    token: Literal["bot", "app", "client"] = "bot"  # noqa: S105  # the kind of token
    posts: bool = field(default=False)


# --- auth, apps, teams, users -----------------------------------------------------------------------------------------


def _auth_test(call: Call) -> Json:
    team = call.team
    return {"url": f"https://{team.domain}.slack.com/", "team": team.name, "user": team.users[team.bot_user].name,
            "team_id": team.id, "user_id": team.bot_user, "bot_id": team.bot_id, "is_enterprise_install": False}


def _auth_revoke(call: Call) -> Json:
    assert call.token is not None
    if call.flag("test"):
        return {"revoked": False}
    call.slack.revoke(call.team.id)
    return {"revoked": True}


def _connections_open(call: Call) -> Json:
    return {"url": call.slack.ticket()}


def _credentials(call: Call) -> None:
    client_id, secret = call.basic or (call.text("client_id"), call.text("client_secret"))
    if client_id != call.slack.client_id:
        raise Refusal("invalid_client_id")
    if secret != call.slack.client_secret:
        raise Refusal("bad_client_secret")


def _uninstall(call: Call) -> Json:
    _credentials(call)
    call.slack.uninstall(call.team.id)
    return {}


def _oauth_access(call: Call) -> Json:
    _credentials(call)
    slack = call.slack
    if call.text("grant_type", "authorization_code") == "refresh_token":
        found = [team for team in slack.teams.values() if team.refresh and team.refresh == call.text("refresh_token")]
        if not found or not slack.rotation:
            raise Refusal("invalid_refresh_token")
        token = found[0].token
        assert token is not None
        return _granted(call, found[0], token.scopes, None)
    code = slack.codes.pop(call.text("code"), None)
    if code is None:
        raise Refusal("invalid_code")
    if slack.monotonic() > code.at + CODE_LIVES:
        raise Refusal("invalid_code")
    if code.redirect_uri != call.args.get("redirect_uri"):
        raise Refusal("bad_redirect_uri")
    return _granted(call, slack.teams[code.team], code.scopes, code.user)


def _granted(call: Call, team: Team, scopes: frozenset[str], user: str | None) -> Json:
    token = call.slack.grant(team.id, scopes)
    answer: Json = {
        "access_token": token.value, "token_type": "bot", "scope": ",".join(sorted(token.scopes)),
        "bot_user_id": team.bot_user, "app_id": call.slack.app_id, "team": {"name": team.name, "id": team.id},
        "enterprise": None, "is_enterprise_install": False,
    }
    if user is not None:
        answer["authed_user"] = {"id": user}
    if call.slack.rotation:
        answer |= {"refresh_token": team.refresh, "expires_in": int(TOKEN_LIVES.total_seconds())}
    return answer


def _team_info(call: Call) -> Json:
    team = call.team
    if call.text("team", team.id) != team.id:
        raise Refusal("team_not_found")
    return {"team": {"id": team.id, "name": team.name, "domain": team.domain,
                     "url": f"https://{team.domain}.slack.com/", "email_domain": "",
                     "icon": {"image_default": True}}}


def _users_info(call: Call) -> Json:
    user = call.team.users.get(call.text("user"))
    if user is None:
        raise Refusal("user_not_found")
    return {"user": user.payload(call.team.id, call.slack.now())}


def _bots_info(call: Call) -> Json:
    team = call.team
    if call.text("bot", team.bot_id) != team.bot_id:
        raise Refusal("bot_not_found")
    return {"bot": {"id": team.bot_id, "deleted": False, "name": team.users[team.bot_user].name, "updated": 1,
                    "app_id": call.slack.app_id, "user_id": team.bot_user, "icons": {}}}


def _page(call: Call, items: list[Any], default: int, most: int) -> tuple[list[Any], Json, bool]:
    """The items from the cursor on, the metadata with the next cursor, and whether more follow."""
    limit = call.number("limit", default) or default
    if not 1 <= limit <= most:
        raise Refusal("invalid_limit")
    start = 0
    if cursor := call.text("cursor"):
        try:
            name, _, value = base64.b64decode(cursor, validate=True).decode().partition(":")
            start = int(value)
        except (binascii.Error, ValueError):
            raise Refusal("invalid_cursor") from None
        if name != "next":
            raise Refusal("invalid_cursor")
    more = start + limit < len(items)
    cursor = base64.b64encode(f"next:{start + limit}".encode()).decode() if more else ""
    return items[start:start + limit], {"response_metadata": {"next_cursor": cursor}}, more


def _users_list(call: Call) -> Json:
    users, metadata, _ = _page(call, list(call.team.users.values()), 1000, 1000)
    return {"members": [user.payload(call.team.id, call.slack.now()) for user in users],
            "cache_ts": int(call.slack.now().timestamp()), **metadata}


# --- messages ---------------------------------------------------------------------------------------------------------


def content(call: Call) -> tuple[str, list[Json]]:
    text, blocks = call.text("text"), []
    if "blocks" in call.args:
        blocks = call.structure("blocks", Refusal("invalid_blocks_format"))
        if not isinstance(blocks, list):
            raise Refusal("invalid_blocks_format")
        if messages := slack_blocks.refusals_of_blocks(blocks, "message"):
            raise Refusal("invalid_blocks", messages)
        if slack_blocks.too_long(blocks):
            raise Refusal("msg_blocks_too_long")
        blocks = slack_blocks.kept(blocks)
    if len(text) > TEXT_LONGEST:
        raise Refusal("msg_too_long")
    if not text.strip() and not blocks:
        raise Refusal("no_text")
    return text, blocks


def metadata(call: Call) -> Json | None:
    if "metadata" not in call.args:
        return None
    value = call.structure("metadata", Refusal("invalid_metadata_format"))
    if not (isinstance(value, dict) and set(value) == {"event_type", "event_payload"}
            and isinstance(value["event_type"], str) and value["event_type"]
            and isinstance(value["event_payload"], dict)):
        raise Refusal("invalid_metadata_format")
    if len(json.dumps(value)) > METADATA_LARGEST:
        raise Refusal("metadata_too_large")
    return value


def _recipient(call: Call, user: str) -> Channel:
    """The direct messages with a person."""
    team, slack = call.team, call.slack
    person = team.users.get(user)
    if person is None:
        raise Refusal("user_not_found")
    if person.is_bot:
        raise Refusal("cannot_dm_bot")
    if person.disabled:
        raise Refusal("user_disabled")
    return team.im(user, slack.number())[0]


def _destination(call: Call) -> Channel:
    """Where a post goes: a channel or, by the id of a person, their direct messages."""
    team, wanted = call.team, call.text("channel")
    if wanted[:1] in ("U", "W") and wanted not in team.channels:
        try:
            channel = _recipient(call, wanted)
        except Refusal as refusal:
            # For chat.postMessage the reference knows no user_not_found; for a disabled person it names no error at
            # all, so that a test can set it.
            named = {"user_not_found": "channel_not_found", "user_disabled": call.slack.disabled_error}
            raise Refusal(named.get(refusal.error, refusal.error)) from None
    else:
        channel = call.channel()
    if channel.archived:
        raise Refusal("is_archived")
    if channel.im:
        if team.users[channel.im].disabled:
            raise Refusal(call.slack.disabled_error)
        if not call.slack.messages_tab:
            raise Refusal("messages_tab_disabled")
    elif team.bot_user not in channel.members and not (call.token and "chat:write.public" in call.token.scopes):
        raise Refusal("not_in_channel")
    return channel


def _post_message(call: Call) -> Json:
    channel = _destination(call)
    text, blocks = content(call)
    about = metadata(call)
    for name in ("username", "icon_emoji", "icon_url"):
        if name in call.args:
            call.need("chat:write.customize")
    thread = call.text("thread_ts") or None
    if thread and not any(one.ts == thread and not one.deleted for one in channel.messages):
        raise Refusal("thread_not_found")
    team = call.team
    message = Posted(team.id, channel.id, team.bot_user, call.slack.stamp(), text, blocks, team.bot_id,
                     call.slack.app_id, thread, call.flag("reply_broadcast"), about)
    channel.messages.append(message)
    return {"channel": channel.id, "ts": message.ts, "message": message.payload(with_metadata=True)}


def _own(call: Call, refused: str) -> Posted:
    """A message of the bot that can still be changed."""
    channel, ts = call.channel(), call.text("ts")
    for message in channel.messages:
        if message.ts == ts and not message.deleted:
            if message.user != call.team.bot_user:
                raise Refusal(refused)
            if channel.archived:
                raise Refusal("is_archived" if refused == "cant_update_message" else "cant_delete_message")
            return message
    raise Refusal("message_not_found")


def _update(call: Call) -> Json:
    message = _own(call, "cant_update_message")
    before = Edit(call.slack.stamp(), message.text, tuple(message.blocks))
    text, blocks = content(call)
    about = message.metadata
    if "metadata" in call.args:
        about = None if call.args["metadata"] in ({}, "{}") else metadata(call)
    if "text" in call.args:         # a text without blocks takes the blocks away
        message.text, message.blocks = text, blocks
    else:
        message.blocks = blocks
    message.metadata = about
    message.edits.append(before)
    call.slack.changed(message)
    return {"channel": message.channel, "ts": message.ts, "text": message.text,
            "message": message.payload(with_metadata=True)}


def _delete(call: Call) -> Json:
    message = _own(call, "cant_delete_message")
    message.deleted = True
    call.slack.changed(message)
    return {"channel": message.channel, "ts": message.ts}


def _post_ephemeral(call: Call) -> Json:
    channel, user = call.channel(), call.text("user")
    if channel.archived:
        raise Refusal("is_archived")
    team = call.team
    if team.bot_user not in channel.members:
        raise Refusal("not_in_channel")
    if user not in channel.members or team.users[user].disabled:
        raise Refusal("user_not_in_channel")
    text, blocks = content(call)
    message = Posted(team.id, channel.id, team.bot_user, call.slack.stamp(), text, blocks, team.bot_id,
                     call.slack.app_id, call.text("thread_ts") or None, ephemeral=user)
    team.ephemerals.append(message)
    call.slack.show(team.id, user, Shown("ephemeral", text, tuple(blocks), message))
    return {"message_ts": message.ts}


def _permalink(call: Call) -> Json:
    channel, ts = call.channel(), call.text("message_ts")
    if not any(one.ts == ts and not one.deleted for one in channel.messages):
        raise Refusal("message_not_found")
    return {"channel": channel.id,
            "permalink": f"https://{call.team.domain}.slack.com/archives/{channel.id}/p{ts.replace('.', '')}"}


# --- conversations ----------------------------------------------------------------------------------------------------


def _open(call: Call) -> Json:
    team = call.team
    if "channel" in call.args:
        channel, known = call.channel(), True
    else:
        users = [user for user in call.text("users").split(",") if user]
        if not users:
            raise Refusal("users_list_not_supplied")
        if len(users) > 1:
            raise Refusal("missing_scope", needed="mpim:write", provided="")
        before = len(team.channels)
        channel = _recipient(call, users[0])
        known = len(team.channels) == before
    answer: Json = {"channel": channel.payload() if call.flag("return_im") else {"id": channel.id}}
    return answer | ({"no_op": True, "already_open": True} if known else {})


def _info(call: Call) -> Json:
    channel = call.channel()
    call.need(f"{channel.kind}:read")
    payload = channel.payload()
    if not channel.im:
        payload["is_member"] = call.team.bot_user in channel.members
        if not call.flag("include_num_members"):
            del payload["num_members"]
    return {"channel": payload}


def _readable(call: Call) -> Channel:
    channel = call.channel()
    call.need(f"{channel.kind}:history")
    if call.team.bot_user not in channel.members:
        raise Refusal("not_in_channel")
    return channel


def _within(call: Call, messages: list[Posted]) -> list[Posted]:
    """Those between `oldest` and `latest`; the ends themselves only if `inclusive`."""
    bounds = []
    for name, default in (("oldest", "0"), ("latest", "99999999999")):
        given = str(call.args.get(name, default))
        whole, _, part = given.partition(".")
        if not whole.isdigit() or (part and not part.isdigit()):
            raise Refusal(f"invalid_ts_{name}")
        bounds.append(int(whole) * 10**6 + int(part.ljust(6, "0")[:6]))
    oldest, latest = bounds

    def inside(message: Posted) -> bool:
        ts = int(message.ts.replace(".", ""))
        return oldest <= ts <= latest if call.flag("inclusive") else oldest < ts < latest
    return [message for message in messages if inside(message)]


def _history(call: Call) -> Json:
    channel = _readable(call)
    found = [one for one in channel.messages
             if not one.deleted and (one.thread_ts in (None, one.ts) or one.broadcast)]
    found = sorted(_within(call, found), key=lambda one: one.ts, reverse=True)
    most = 15 if call.slack.commercial else 999
    page, cursor, more = _page(call, found, min(100, most), most)
    return {"messages": [one.payload(with_metadata=call.flag("include_all_metadata")) for one in page],
            "has_more": more, "pin_count": 0, **(cursor if more else {})}


def _replies(call: Call) -> Json:
    channel, root = _readable(call), call.text("ts")
    parents = [one for one in channel.messages if one.ts == root and not one.deleted]
    if not parents:
        raise Refusal("thread_not_found")
    replies = [one for one in channel.messages if one.thread_ts == root and one.ts != root and not one.deleted]
    page, cursor, more = _page(call, parents + sorted(_within(call, replies), key=lambda one: one.ts), 100, 1000)
    return {"messages": [one.payload(with_metadata=call.flag("include_all_metadata")) for one in page],
            "has_more": more, **(cursor if more else {})}


def _members(call: Call) -> Json:
    channel = call.channel()
    call.need(f"{channel.kind}:read")
    members, metadata, _ = _page(call, sorted(channel.members), 100, 1000)
    return {"members": members, **metadata}


def _join(call: Call) -> Json:
    channel, team = call.channel(), call.team
    if channel.im or channel.private:
        raise Refusal("method_not_supported_for_channel_type")
    if channel.archived:
        raise Refusal("is_archived")
    there = team.bot_user in channel.members
    channel.members.add(team.bot_user)
    warning = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    return {"channel": channel.payload(), **(warning if there else {})}


# --- views ------------------------------------------------------------------------------------------------------------


def checked_view(view: object, surface: Literal["modal", "home"]) -> Json:
    if messages := slack_blocks.refusals_of_view(view, surface):
        raise Refusal("invalid_arguments", messages)
    assert isinstance(view, dict)
    if slack_blocks.too_large(view):
        raise Refusal("view_too_large")
    if slack_blocks.too_long(view["blocks"]):
        raise Refusal("msg_blocks_too_long")
    return {**view, "blocks": slack_blocks.kept(view["blocks"])}


def _view(call: Call, surface: Literal["modal", "home"]) -> Json:
    malformed = Refusal("invalid_arguments", ["must provide an object [json-pointer:/view]"])
    body = checked_view(call.structure("view", malformed), surface)
    outer = body.get("external_id")
    if outer and any(view.body.get("external_id") == outer and view.open and view.id != call.args.get("view_id")
                     for view in call.slack.views.values() if view.team == call.team.id):
        raise Refusal("duplicate_external_id")
    return body


def _views_open(call: Call) -> Json:
    body = _view(call, "modal")
    trigger = call.slack.spend(call.team.id, call.text("trigger_id"))
    view = call.slack.raised(call.team.id, trigger.user, body, None)
    call.slack.show(call.team.id, trigger.user, Shown("modal", view=view), trigger.cause)
    return {"view": view.payload()}


def _views_push(call: Call) -> Json:
    body = _view(call, "modal")
    trigger = call.slack.spend(call.team.id, call.text("trigger_id"))
    below = call.slack.views.get(trigger.view or "")
    if below is None or not below.open or below.body["type"] != "modal":
        raise Refusal("not_found")
    if len(call.slack.stack(below)) >= MOST_VIEWS:
        raise Refusal("push_limit_reached")
    view = call.slack.raised(call.team.id, trigger.user, body, below)
    call.slack.show(call.team.id, trigger.user, Shown("modal", view=view), trigger.cause)
    return {"view": view.payload()}


def _views_update(call: Call) -> Json:
    if not call.args.get("view_id") and not call.args.get("external_id"):
        raise Refusal("invalid_arguments", ["missing required field: view_id"])
    body = _view(call, "modal")
    for view in call.slack.views.values():
        if view.team == call.team.id and view.open and view.body["type"] == "modal" and (
                view.id == call.args.get("view_id")
                or (call.args.get("external_id") and view.body.get("external_id") == call.args["external_id"])):
            break
    else:
        raise Refusal("not_found")
    if call.args.get("hash", view.hash) != view.hash:
        raise Refusal("hash_conflict")
    call.slack.redraw(view, body)
    call.slack.show(view.team, view.user, Shown("modal", view=view))
    return {"view": view.payload()}


def _views_publish(call: Call) -> Json:
    body, team, user = _view(call, "home"), call.team, call.text("user_id")
    if user not in team.users or team.users[user].disabled:
        raise Refusal("user_not_found")
    view = team.homes.get(user)
    if view is None:
        view = team.homes[user] = call.slack.raised(team.id, user, body, None)
    else:
        if call.args.get("hash", view.hash) != view.hash:
            raise Refusal("hash_conflict")
        call.slack.redraw(view, body)
    call.slack.show(team.id, user, Shown("home", view=view))
    return {"view": view.payload()}


_CURSOR = ("cursor", "limit")
_SPAN = ("oldest", "latest", "inclusive", "include_all_metadata", *_CURSOR)
_SAYS = ("text", "blocks", "thread_ts", "link_names", "parse", "mrkdwn", "username", "icon_emoji", "icon_url")

METHODS: Mapping[str, Method] = {
    "apps.connections.open": Method(_connections_open, scopes=("connections:write",), tier=1, token="app"),  # noqa: S106
    "apps.uninstall": Method(_uninstall, (), ("client_id", "client_secret"), tier=1),
    "auth.revoke": Method(_auth_revoke, (), ("test",)),
    "auth.test": Method(_auth_test, tier=0, json=True),
    "bots.info": Method(_bots_info, (), ("bot",), ("users:read",)),
    "chat.delete": Method(_delete, ("channel", "ts"), ("as_user",), ("chat:write",), json=True),
    "chat.getPermalink": Method(_permalink, ("channel", "message_ts"), tier=0),
    "chat.postEphemeral": Method(_post_ephemeral, ("channel", "user"), _SAYS, ("chat:write",), 4, True),
    "chat.postMessage": Method(_post_message, ("channel",), (*_SAYS, "metadata", "reply_broadcast", "unfurl_links",
                                                             "unfurl_media"), ("chat:write",), json=True, posts=True),
    "chat.update": Method(_update, ("channel", "ts"), ("text", "blocks", "metadata", "parse", "link_names", "as_user",
                                                       "reply_broadcast"), ("chat:write",), json=True),
    "conversations.history": Method(_history, ("channel",), _SPAN),
    "conversations.info": Method(_info, ("channel",), ("include_locale", "include_num_members")),
    "conversations.join": Method(_join, ("channel",), (), ("channels:join",), json=True),
    "conversations.members": Method(_members, ("channel",), _CURSOR, tier=4),
    "conversations.open": Method(_open, (), ("users", "channel", "return_im", "prevent_creation"), ("im:write",),
                                 json=True),
    "conversations.replies": Method(_replies, ("channel", "ts"), _SPAN),
    "oauth.v2.access": Method(_oauth_access, (), ("code", "client_id", "client_secret", "redirect_uri", "grant_type",
                                                  "refresh_token"), tier=4, token="client"),  # noqa: S106
    "team.info": Method(_team_info, (), ("team",), ("team:read",)),
    "users.info": Method(_users_info, ("user",), ("include_locale",), ("users:read",), 4),
    "users.list": Method(_users_list, (), (*_CURSOR, "include_locale"), ("users:read",), 2),
    "views.open": Method(_views_open, ("trigger_id", "view"), tier=4, json=True),
    "views.publish": Method(_views_publish, ("user_id", "view"), ("hash",), tier=4, json=True),
    "views.push": Method(_views_push, ("trigger_id", "view"), tier=4, json=True),
    "views.update": Method(_views_update, ("view",), ("view_id", "external_id", "hash"), tier=4, json=True),
}
