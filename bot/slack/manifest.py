"""What Slack is told of the app when it is made: commands, permissions, events, and where to send them."""

from __future__ import annotations

from typing import Any, TypeAlias

from bot.commands import COMMANDS, help_line
from bot.messages import markdown, plain
from content.model import Voice
from scheduler.calendar import zone

Manifest: TypeAlias = dict[str, Any]
"""As `apps.manifest.create` and the page "From a manifest" take it (docs: reference/app-manifest)."""

NAME = "Ninety"
SUMMARY = "A cohort in a channel: the week's tasks, check-ins, reminders and a board."

EVENTS, INSTALL, REDIRECT = "/slack/events", "/slack/install", "/slack/oauth_redirect"
"""Below the public address."""

SCOPES = (
    "commands",             # to be called at all
    "chat:write",           # posts to channels it was invited to, and direct messages
    "im:write",             # conversations.open: where the direct messages of somebody are, to look through them
    "users:read",           # users.info: a name and a zone to propose, who runs the workspace, who has left it
    # conversations.history, after a send that was cut off and at no other time: is it there?
    "channels:history",     # in a public channel that it was invited to
    "groups:history",       # in a private one
    "im:history",           # in direct messages with it
)
"""Of the bot; no token of any person is asked for."""

BOT_EVENTS = (
    "app_home_opened",      # draws the home
    "app_uninstalled",      # deletes the token
    "tokens_revoked",
)

DESCRIPTION, USAGE = 2000, 1000
"""Characters."""


def manifest(voice: Voice, public_url: str | None, socket: bool) -> Manifest:
    """`public_url` is where Slack, and whoever installs the app, find us from outside; with `socket` Slack sends
    nothing there. Raises ValueError when it is neither."""
    if public_url is None and not socket:
        raise ValueError("without Socket Mode Slack needs a public address to send to")
    base = (public_url or "").rstrip("/")
    requests = {} if socket else {"request_url": base + EVENTS}
    oauth: Manifest = {"redirect_urls": [base + REDIRECT]} if base else {}
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {"name": NAME, "description": SUMMARY},
        "features": {
            # Nobody reads what is written to it, but in a tab that is read-only no command can be typed either.
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True,
                         "messages_tab_read_only_enabled": False},
            "bot_user": {"display_name": NAME, "always_online": True},
            "slash_commands": _commands(voice, {} if socket else {"url": base + EVENTS}),
        },
        "oauth_config": oauth | {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": requests | {"bot_events": list(BOT_EVENTS)},
            "interactivity": {"is_enabled": True} | requests,
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket,
            # Cannot be switched off again, and a token that was copied by hand would be dead after twelve hours. Who
            # installs by link alone may switch it on in Slack: those tokens we renew.
            "token_rotation_enabled": False,
        },
    }


def _commands(voice: Voice, where: dict[str, str]) -> list[Manifest]:
    """One for each first word; those with parts name them behind it."""
    drawn: dict[str, Manifest] = {}
    for command in COMMANDS:
        name, _, part = command.name.partition(" ")
        # A role is Discord's.
        argument = f"[{command.argument}]" if command.argument not in ("", "role") else ""
        hint = f"{part} {argument}".strip()
        if name in drawn:
            drawn[name]["usage_hint"] = f"{drawn[name].get('usage_hint', '')} | {hint}"[:USAGE]
            continue
        said = voice.commands.help if part else help_line(command, voice.commands)
        # Escaped: names and channels come as ids then, and never as what somebody else is called.
        drawn[name] = {"command": f"/{name}", "description": plain(markdown(said), zone("UTC"))[:DESCRIPTION],
                       "should_escape": True} | where | ({"usage_hint": hint} if hint else {})
    return list(drawn.values())
