"""What Slack is told of the app: no more than it takes, and no more than we need."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

import bot.slack
from bot.commands import COMMANDS
from bot.slack.manifest import BOT_EVENTS, EVENTS, SCOPES, Manifest, manifest
from content.loading import default_path, load
from content.model import Guide
from tests.bot.slack.stage import VOICE
from tests.emulators.slack import BOT_SCOPES
from tests.emulators.slack_methods import METHODS

URL = {"type": "string", "pattern": "^https?://", "maxLength": 3000}


def obj(required: str, **properties: object) -> Manifest:
    return {"type": "object", "additionalProperties": False, "required": required.split(), "properties": properties}


def text(longest: int, pattern: str = "") -> Manifest:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern}


def some(items: object, most: int) -> Manifest:
    return {"type": "array", "minItems": 1, "maxItems": most, "uniqueItems": True, "items": items}


YES_NO = {"type": "boolean"}
# Slack's rules for manifests, as far as ours goes (repository slackapi/manifest-schema, version 1).
RULES = obj(
    "_metadata display_information features oauth_config settings",
    _metadata=obj("major_version", major_version={"const": 1}, minor_version={"type": "integer"}),
    display_information=obj("name", name=text(35), description=text(140)),
    features=obj(
        "", app_home=obj("", home_tab_enabled=YES_NO, messages_tab_enabled=YES_NO,
                         messages_tab_read_only_enabled=YES_NO),
        bot_user=obj("display_name", display_name=text(80), always_online=YES_NO),
        slash_commands=some(obj("command description", command=text(32, "^/[^A-Z ]+$"), url=URL, description=text(2000),
                                usage_hint=text(1000), should_escape=YES_NO), 50)),
    oauth_config=obj("scopes", redirect_urls=some(URL, 1000), scopes=obj("bot", bot=some(text(50), 255))),
    settings=obj(
        "", event_subscriptions=obj("", request_url=URL, bot_events=some(text(50), 100)),
        interactivity=obj("is_enabled", is_enabled=YES_NO, request_url=URL), org_deploy_enabled=YES_NO,
        socket_mode_enabled=YES_NO, token_rotation_enabled=YES_NO))
# docs: interactivity/implementing-slash-commands, "built-in"
BUILT_IN = {"archive", "call", "collapse", "dm", "expand", "feed", "invite", "join", "leave", "me", "msg", "mute",
            "remind", "rename", "search", "shrug", "star", "status", "topic", "who"}


@pytest.fixture(scope="module")
def guide() -> Guide:
    return load(default_path())


@pytest.mark.parametrize("url, socket", [(None, True), ("https://example.org/", True), ("https://example.org", False)])
def test_slack_takes_it(guide: Guide, url: str | None, socket: bool) -> None:
    made = manifest(guide.voice, url, socket)
    jsonschema.Draft202012Validator(RULES).validate(made)
    where = {command.get("url") for command in made["features"]["slash_commands"]}
    settings = made["settings"]
    where |= {settings["interactivity"].get("request_url"), settings["event_subscriptions"].get("request_url")}
    assert where == ({None} if socket else {f"https://example.org{EVENTS}"})
    assert made["oauth_config"].get("redirect_urls") == \
        (["https://example.org/slack/oauth_redirect"] if url else None)


def test_there_must_be_a_way_to_us() -> None:
    with pytest.raises(ValueError, match="public address"):
        manifest(VOICE, None, False)


def test_each_command_of_the_table_can_be_typed(guide: Guide) -> None:
    drawn = {command["command"]: command.get("usage_hint", "")
             for command in manifest(guide.voice, None, True)["features"]["slash_commands"]}
    parts = drawn.pop("/cohort").split(" | ")
    assert drawn == {"/checkin": "[week]", "/week": "[week]", "/progress": "", "/leaderboard": ""}
    assert ["join [zone]", "settings [zone]", "rest [week]", "leave"] == parts[:4] and "open" in parts
    assert [f"cohort {part.split()[0]}" for part in parts] == \
        [command.name for command in COMMANDS if command.name.startswith("cohort ")]
    assert not {"cohort", *(name.removeprefix("/") for name in drawn)} & BUILT_IN


def test_what_the_tests_of_the_shell_rely_on_is_what_is_asked_for() -> None:
    """They all run with a token that has these scopes and no others."""
    assert set(SCOPES) <= BOT_SCOPES and set(BOT_EVENTS) == {"app_home_opened", "app_uninstalled", "tokens_revoked"}


def test_no_permission_is_asked_for_that_no_call_of_ours_needs() -> None:
    """Histories are read by the kind of the channel, for which the emulator asks when it sees it; and to be called at
    all is no call."""
    source = "".join(path.read_text() for path in Path(next(iter(bot.slack.__path__))).glob("*.py"))
    called = set(re.findall(r'"([a-z]+(?:\.v2)?\.[A-Za-z]+)"', source)) & set(METHODS)
    assert called >= {"chat.postMessage", "conversations.history", "users.info", "views.open"}
    needed = {scope for method in called for scope in METHODS[method].scopes}
    assert set(SCOPES) == needed | {"commands", "channels:history", "groups:history", "im:history"}
