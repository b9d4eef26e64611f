"""The commands about Slack, as somebody types them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from typer.testing import CliRunner, Result

from bot.cli import app
from bot.desk import open_cohort
from bot.ledger import Room
from bot.slack.manifest import SCOPES, manifest
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import default_path, load
from content.model import Voice
from tests.bot.build import edition
from tests.emulators.slack import Slack

URL = "https://ninety.example.org"


@pytest.fixture(autouse=True)
def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database of its own for each test, and nothing of what this machine is set up for."""
    for name in [name for name in os.environ if name.startswith("NINETY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NINETY_DATABASE_URL", database_url)
    yield


def ninety(*words: str) -> Result:
    return CliRunner().invoke(app, words)


# --- ninety doctor slack ----------------------------------------------------------------------------------------------


def set_up(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    slack.add_team("T1")
    slack.add_user("T1", "UOLU")
    slack.add_channel("T1", "C1", "cohort")
    monkeypatch.setenv("NINETY_SLACK_API_URL", slack.api_url)
    monkeypatch.setenv("NINETY_SLACK_BOT_TOKEN", slack.grant("T1", SCOPES).value)
    monkeypatch.setenv("NINETY_SLACK_APP_TOKEN", slack.app_token)


async def open_in(database_url: str, room: Room) -> None:
    async with Database(database_url) as database:
        now = datetime.now(UTC)
        await open_cohort(StoredLedger(database), "Autumn", now.date(), "UTC", edition(), room, room.account("UOLU"),
                          secrets.token_hex(16), now)


async def test_a_cohort_of_the_database_is_looked_at(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Slack() as slack:
        set_up(slack, monkeypatch)
        await open_in(database_url, Room("slack", "T1", "C1"))
        well = await asyncio.to_thread(ninety, "doctor", "slack")
        slack.kick("T1", "C1")
        ill = await asyncio.to_thread(ninety, "doctor", "slack")
    before = [
        "ok       the settings are for one workspace, by Socket Mode",
        "ok       the bot token is that of @ninety in the workspace Team T1, T1",
        "ok       this machine's clock agrees with Slack's",
        "ok       the bot has every scope that it needs",
        "ok       Slack would open a connection for the app token; none was made",
    ]
    assert (well.exit_code, well.stdout.splitlines(), well.stderr) == (0, [
        *before, "ok       cohort 1, Autumn: the bot has what it needs in the channel C1 of Team T1",
        "note     whether a channel is archived can be seen only with the scopes channels:read and groups:read, which "
        "the bot does without"], "")
    assert (ill.exit_code, ill.stdout.splitlines(), ill.stderr) == (1, [
        *before, "problem  cohort 1, Autumn: the bot is not in the channel C1: write /invite @ninety there"], "")


def test_without_settings_it_is_told_what_to_begin_with() -> None:
    result = ninety("doctor", "slack")
    assert (result.exit_code, result.stdout.split(":")[0], len(result.stdout.splitlines()), result.stderr) == (
        1, "problem  neither NINETY_SLACK_BOT_TOKEN nor NINETY_SLACK_CLIENT_ID is set, so `ninety run` is not on Slack",
        1, "")


# --- ninety manifest slack --------------------------------------------------------------------------------------------


def usual_voice() -> Voice:
    guide = load(default_path())
    return Edition.of(guide, guide.cohort.plan).voice


@pytest.mark.parametrize(("words", "url", "socket"), [
    ((), None, True), (("--socket",), None, True), (("--http", "--public-url", URL), URL, False),
    (("--public-url", URL), URL, True),
])
def test_the_manifest_is_what_slack_is_to_be_told(words: tuple[str, ...], url: str | None, socket: bool) -> None:
    result = ninety("manifest", "slack", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout) == manifest(usual_voice(), url, socket)
    assert result.stdout.startswith("_metadata:\n  major_version: 1\n"), "in the order of Slack's own pages"


def test_the_public_address_may_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINETY_PUBLIC_URL", "https://elsewhere.example.org")
    for words, url in (((), "https://elsewhere.example.org"), (("--public-url", URL), URL)):
        result = ninety("manifest", "slack", "--http", *words)
        assert yaml.safe_load(result.stdout) == manifest(usual_voice(), url, False)


@pytest.mark.parametrize(("words", "set_to", "says"), [
    (("--http",), "", "ninety: signed requests need an address that Slack can send to: give it with --public-url "
                      "https://…, or set NINETY_PUBLIC_URL"),
    (("--public-url", "http://example.org"), URL, "ninety: --public-url does not begin with https:// and a host, and "
                                                  "Slack sends to no other"),
    (("--http",), "example.org", "ninety: NINETY_PUBLIC_URL does not begin with https:// and a host, and Slack sends "
                                 "to no other"),
])
def test_an_address_that_slack_cannot_send_to_is_no_manifest(
        monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], set_to: str, says: str) -> None:
    monkeypatch.setenv("NINETY_PUBLIC_URL", set_to)
    result = ninety("manifest", "slack", *words)
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (2, "", says)
