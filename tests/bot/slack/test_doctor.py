"""What an organiser is told before the first post, by a Slack on loopback that has been set up wrong."""
# ruff: noqa: S106  # tokens of nobody

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.oauth.installation_store import Installation

from bot.doctor import Finding, apart
from bot.ledger import Account, Cohort, CohortId, Room
from bot.settings import Settings
from bot.slack.doctor import LOOKS, examine, not_public
from bot.slack.installations import BadKey, Installations, cipher
from bot.slack.manifest import SCOPES
from bot.store.database import Database
from scheduler.clock import Clock, RealClock, VirtualClock
from tests.bot.build import edition
from tests.emulators.slack import Drop, Fail, Slack, Throttle
from tests.emulators.slack_world import Refusal, User

KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
URL = "https://ninety.example.org"
SIGNING = "0123456789abcdef" * 2
COPY_BOT = "copy the Bot User OAuth Token, which begins with xoxb-, from the page OAuth & Permissions of the app"
COPY_APP = ("copy an app-level token with the scope connections:write, which begins with xapp-, from the page Basic "
            "Information of the app")
COPY = "copy it from App Credentials on the page Basic Information of the app"


def ok(text: str) -> Finding:
    return Finding("ok", text)


def note(text: str) -> Finding:
    return Finding("note", text)


def problem(text: str) -> Finding:
    return Finding("problem", text)


BY_SOCKET = ok("the settings are for one workspace, by Socket Mode")
OURS = ok("the bot token is that of @ninety in the workspace Team T1, T1")
CLOCK = ok("this machine's clock agrees with Slack's")
SCOPED = ok("the bot has every scope that it needs")
LINE = ok("Slack would open a connection for the app token; none was made")
HOMELESS = note("no cohort lives on Slack yet: invite the bot to a channel with /invite, and type /cohort open there")
BLIND = note("whether a channel is archived can be seen only with the scopes channels:read and groups:read, which the "
             "bot does without")
WELL = (BY_SOCKET, OURS, CLOCK, SCOPED, LINE)
FOR_MANY = ok("the settings are for many workspaces, by signed requests")
CREDENTIALS = ok("Slack does not object to the client id and its secret")
ADDRESS = note(f"whether {URL} leads to 127.0.0.1:8091 cannot be seen from inside; in the app, the Request URL of "
               f"Slash Commands, Interactivity and Event Subscriptions is {URL}/slack/events and the Redirect URL on "
               f"OAuth & Permissions is {URL}/slack/oauth_redirect")
INSTALLING = note(f"workspaces install the app at {URL}/slack/install")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What this machine is set up for is no matter of the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("NINETY_")]:
        monkeypatch.delenv(name)
    yield


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack() as running:
        running.add_team("T1")
        running.add_user("T1", "UOLU", "olu")
        running.add_channel("T1", "C1", "cohort")
        running.grant("T1", SCOPES)
        yield running


def token(slack: Slack, team: str = "T1") -> str:
    found = slack.teams[team].token
    assert found is not None
    return found.value


def of_one(slack: Slack, **changes: Any) -> Settings:
    """For one workspace, by Socket Mode."""
    return Settings(**{"slack_bot_token": token(slack), "slack_app_token": slack.app_token,
                       "slack_api_url": slack.api_url, **changes})


def of_many(slack: Slack, **changes: Any) -> Settings:
    return Settings(**{"slack_client_id": slack.client_id, "slack_client_secret": slack.client_secret,
                       "slack_signing_secret": SIGNING, "public_url": URL, "secret_key": KEY,
                       "slack_api_url": slack.api_url, **changes})


async def findings(settings: Settings, database: Database, *cohorts: Cohort, clock: Clock | None = None) \
        -> list[Finding]:
    found = [one async for one in examine(settings, [(one, one.room) for one in cohorts], database,
                                          clock or RealClock())]
    secrets = [secret.get_secret_value() for secret in (
        settings.slack_bot_token, settings.slack_app_token, settings.slack_signing_secret,
        settings.slack_client_secret, settings.secret_key) if secret is not None]
    for secret in filter(None, map(str.strip, secrets)):
        assert not any(secret in one.text for one in found), "a secret is never shown"
    return found


def cohort(channel: str = "C1", team: str = "T1", *, start: date | None = None, organiser: str = "UOLU") -> Cohort:
    """That begins today, if not told otherwise."""
    first = start or datetime.now(UTC).date()
    room = Room("slack", team, channel)
    return Cohort(CohortId(1), "Autumn", first, "Europe/Berlin", edition(), room,
                  room.account(organiser) if organiser else None, "salt",
                  datetime(first.year, first.month, first.day, tzinfo=UTC))


async def of_cohort(slack: Slack, database: Database, one: Cohort) -> list[Finding]:
    """The findings about it, without its name in front."""
    front = f"cohort {one.id}, {one.title}: "
    return [replace(found, text=found.text.removeprefix(front))
            for found in await findings(of_one(slack), database, one) if found.text.startswith(front)]


# --- all is well ------------------------------------------------------------------------------------------------------


async def test_before_there_is_a_cohort_the_next_step_is_told(slack: Slack, database: Database) -> None:
    assert await findings(of_one(slack), database) == [*WELL, HOMELESS]


async def test_a_cohort_whose_bot_is_in_the_channel_is_ok(slack: Slack, database: Database) -> None:
    """With the scopes of the manifest alone, and without reading a word."""
    slack.say("T1", slack.teams["T1"].bot_user, "C1", "what somebody wrote")
    found = await findings(of_one(slack), database, cohort())
    assert found == [
        *WELL, ok("cohort 1, Autumn: the bot has what it needs in the channel C1 of Team T1"), BLIND]
    assert [call.method for call in slack.calls] == [
        "auth.test", "bots.info", "apps.connections.open", "conversations.info", "conversations.history", "users.info"]
    assert slack.calls[4].args == {"channel": "C1", "oldest": "9999999999", "limit": "1"}
    assert (slack.sockets, len(slack.history("T1", "C1"))) == (0, 1)


async def test_a_cohort_elsewhere_is_not_slacks_affair(slack: Slack, database: Database) -> None:
    local = replace(cohort(), room=Room("local", "", "ninety"))
    assert await findings(of_one(slack), database, local) == [*WELL, HOMELESS]


async def test_a_second_room_on_slack_is_looked_at(slack: Slack, database: Database) -> None:
    there = replace(cohort(), room=Room("discord", "1", "2"), organiser=Account("discord", "", "3"))
    found = [one async for one in examine(of_one(slack), [(there, there.room), (there, Room("slack", "T1", "C9"))],
                                          database, RealClock())]
    assert found == [*WELL, problem("cohort 1, Autumn: the bot cannot see the channel C9: if it is private, write "
                                    "/invite @ninety there; if it is deleted, open a cohort in another one")]


async def test_a_cohort_that_is_over_asks_for_nothing(slack: Slack, database: Database) -> None:
    old = cohort("C404", start=date(2020, 1, 6))
    assert await findings(of_one(slack), database, old) == [
        *WELL, note("cohort 1, Autumn: it is over, so its room was not looked at")]


# --- the settings -----------------------------------------------------------------------------------------------------


def _key(given: str) -> str:
    try:
        cipher(given)
    except BadKey as bad:
        return str(bad)
    raise AssertionError("the key is good")


NO_WAY = (f"NINETY_SLACK_APP_TOKEN and NINETY_SLACK_SIGNING_SECRET are both missing, so Slack has no way to us: for "
          f"Socket Mode, {COPY_APP}; for signed requests, set the Signing Secret")
NO_SECRET = f"NINETY_SLACK_CLIENT_SECRET is missing, which belongs to NINETY_SLACK_CLIENT_ID: {COPY}"
NO_URL = ("NINETY_PUBLIC_URL is missing, by which workspaces install the app: set the address that leads to "
          "NINETY_SLACK_LISTEN, 127.0.0.1:8091")
NOWHERE = ("neither NINETY_SLACK_BOT_TOKEN nor NINETY_SLACK_CLIENT_ID is set, so `ninety run` is not on Slack: make an "
           f"app from what `ninety manifest slack` prints, install it, and {COPY_BOT}")
BOT, APP, CLIENT = "xoxb-1-2-abc", "xapp-1-A1-2-abc", "1111.2222"
MANY = {"slack_client_id": CLIENT, "slack_client_secret": "f" * 32, "slack_app_token": APP, "public_url": URL,
        "secret_key": KEY}


@pytest.mark.parametrize(("given_", "told"), [
    ({}, [NOWHERE]),
    ({"slack_app_token": APP}, [NOWHERE]),
    ({"slack_bot_token": BOT}, [NO_WAY]),
    ({"slack_client_id": CLIENT}, [NO_WAY, NO_SECRET, NO_URL, _key("")]),
    (MANY | {"secret_key": "short"}, [_key("short")]),
    (MANY | {"secret_key": f"{KEY},short"}, [_key(f"{KEY},short")]),
    (MANY | {"slack_client_id": "A0123456789"},
     [f"NINETY_SLACK_CLIENT_ID is the id of an app or a workspace, and not the Client ID: {COPY}"]),
    (MANY | {"slack_client_secret": BOT},
     [f"NINETY_SLACK_CLIENT_SECRET is a bot token, which does not belong there: {COPY}"]),
    (MANY | {"slack_signing_secret": "f" * 32},
     ["NINETY_SLACK_SIGNING_SECRET and NINETY_SLACK_CLIENT_SECRET are the same, and are two different ones of the app: "
      f"{COPY}"]),
    (MANY | {"public_url": "http://ninety.example.org"},
     ["NINETY_PUBLIC_URL does not begin with https:// and a host, and Slack sends to no other"]),
    ({"slack_bot_token": APP, "slack_app_token": BOT},
     [f"NINETY_SLACK_BOT_TOKEN is an app-level token, which does not belong there: {COPY_BOT}",
      f"NINETY_SLACK_APP_TOKEN is a bot token, which does not belong there: {COPY_APP}"]),
    ({"slack_bot_token": "xoxp-1-2", "slack_app_token": APP},
     [f"NINETY_SLACK_BOT_TOKEN is a token of a person, which does not belong there: {COPY_BOT}"]),
    ({"slack_bot_token": "xoxe.xoxb-1", "slack_app_token": APP},
     ["NINETY_SLACK_BOT_TOKEN is a bot token that expires after twelve hours, and nobody renews one that was copied by "
      "hand: token rotation cannot be switched off, so make the app anew from what `ninety manifest slack` prints"]),
    ({"slack_bot_token": "", "slack_app_token": APP}, [f"NINETY_SLACK_BOT_TOKEN is empty: {COPY_BOT}"]),
    ({"slack_bot_token": f"Bearer {BOT}", "slack_app_token": APP},
     ["NINETY_SLACK_BOT_TOKEN has the word Bearer in front of it: leave only what follows it"]),
    ({"slack_bot_token": "hello", "slack_app_token": APP},
     [f"NINETY_SLACK_BOT_TOKEN is not a token, which would begin with xoxb-: {COPY_BOT}"]),
    *(({"slack_bot_token": wrong, "slack_app_token": APP},
       ["NINETY_SLACK_BOT_TOKEN has something in it that none has, such as a space, the end of a line or a quotation "
        f"mark: {COPY_BOT}"]) for wrong in (f"'{BOT}'", "xoxb-1 2", "xoxb-1…")),
])
async def test_settings_that_do_not_fit_are_told_all_at_once_and_sent_nowhere(
        slack: Slack, database: Database, given_: dict[str, str], told: list[str]) -> None:
    found = await findings(Settings(**{"slack_api_url": slack.api_url, **given_}), database)  # type: ignore[arg-type]
    assert found == [problem(text) for text in told]
    assert slack.calls == []


@pytest.mark.parametrize(("url", "sound"), [
    (URL, True), (f"{URL}/", True), (f"{URL}:8443/below", True), ("ninety.example.org", False), ("https://", False),
    ("https://localhost", False), ("https://127.0.0.1:8091", False), ("https://[::1", False), (f"{URL}?a=b", False),
    (f"{URL}/slack/events", False), (f"{URL}/slack/oauth_redirect/", False),
])
def test_an_address_must_be_one_that_slack_can_send_to(url: str, sound: bool) -> None:
    assert (not_public(url) == "") is sound


async def test_what_is_set_and_not_used_is_told(slack: Slack, database: Database) -> None:
    both = of_one(slack, slack_client_id=CLIENT, slack_signing_secret="gIkuvaNzQIHg97ATvDxqgjtO")
    assert (await findings(both, database))[:4] == [
        ok("the settings are for one workspace, by Socket Mode or signed requests"),
        note("NINETY_SLACK_CLIENT_ID is not used, because NINETY_SLACK_BOT_TOKEN says that there is one workspace: for "
             "many, take that away"),
        note("NINETY_SLACK_SIGNING_SECRET does not look like one, which has 32 of 0 to 9 and a to f; it is not the "
             "Verification Token"),
        note("both NINETY_SLACK_APP_TOKEN and NINETY_SLACK_SIGNING_SECRET are set: the page Socket Mode of the app "
             "decides which way Slack takes")]


@pytest.mark.parametrize(("url", "base"), [("", "https://YOUR-ADDRESS"), (f"{URL}/", URL)])
async def test_signed_requests_need_an_address_that_is_put_into_the_app(
        slack: Slack, database: Database, url: str, base: str) -> None:
    signed = of_one(slack, slack_app_token=None, slack_signing_secret=SIGNING, public_url=url)
    assert await findings(signed, database) == [
        ok("the settings are for one workspace, by signed requests"), OURS, CLOCK, SCOPED,
        note(f"whether {base} leads to 127.0.0.1:8091 cannot be seen from inside; in the app, the Request URL of Slash "
             f"Commands, Interactivity and Event Subscriptions is {base}/slack/events"), HOMELESS]


# --- the tokens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "why"), [
    ("", "it was replaced by a newer one or not copied whole, or the app allows other addresses than this machine's"),
    ("account_inactive", "the app was taken out of the workspace, so install it again"),
    ("token_revoked", "the app was taken out of the workspace, so install it again"),
    ("ekm_access_denied", "ekm_access_denied"),
])
async def test_a_bot_token_that_slack_refuses_is_told_and_the_rest_is_looked_at(
        slack: Slack, database: Database, error: str, why: str) -> None:
    given_ = of_one(slack, **({} if error else {"slack_bot_token": BOT}))
    if error:
        slack.tokens[token(slack)].error = error
    assert await findings(given_, database, cohort()) == [
        BY_SOCKET, problem(f"Slack does not take NINETY_SLACK_BOT_TOKEN: {why}. For the token, {COPY_BOT}"), CLOCK,
        LINE, note("cohort 1, Autumn: without a token its room was not looked at")]


@pytest.mark.parametrize(("scopes", "why"), [(None, "invalid_auth"), ((), "it lacks the scope connections:write")])
async def test_an_app_token_that_opens_nothing_is_told(
        slack: Slack, database: Database, scopes: tuple[str, ...] | None, why: str) -> None:
    if scopes is not None:
        slack.tokens[slack.app_token].scopes = frozenset(scopes)
    given_ = of_one(slack, **({"slack_app_token": "xapp-1-A0EMULATED-1-gone"} if scopes is None else {}))
    assert await findings(given_, database) == [
        BY_SOCKET, OURS, CLOCK, SCOPED,
        problem(f"Slack opens no connection for NINETY_SLACK_APP_TOKEN ({why}): see whether Socket Mode is on in the "
                f"app, and {COPY_APP}"), HOMELESS]


async def test_tokens_of_two_apps_are_told(slack: Slack, database: Database) -> None:
    slack.tokens["xapp-1-A2-1-other"] = replace(slack.tokens[slack.app_token], value="xapp-1-A2-1-other")
    found = await findings(of_one(slack, slack_app_token="xapp-1-A2-1-other"), database)
    assert found[4] == problem("NINETY_SLACK_APP_TOKEN is of the app A2 and NINETY_SLACK_BOT_TOKEN of A0EMULATED, so "
                               "commands would not come here: take both from one app")


@pytest.mark.parametrize(("scopes", "told"), [
    ({*SCOPES} | LOOKS, [SCOPED]),
    ({*SCOPES, "team:read", "channels:join"},
     [SCOPED, note("the bot has channels:join and team:read and does not need them: take away on the page OAuth & "
                   "Permissions what nobody else uses")]),
    ({*SCOPES} - {"im:write"},
     [problem("the bot lacks the scope im:write: add what is missing on the page OAuth & Permissions of the app, and "
              "install it again")]),
    ({"team:read"},
     [problem("the bot lacks the scopes commands, chat:write, im:write, users:read, channels:history, groups:history "
              "and im:history: add what is missing on the page OAuth & Permissions of the app, and install it again"),
      note("the bot has team:read and does not need it: take away on the page OAuth & Permissions what nobody else "
           "uses")]),
])
async def test_each_scope_that_is_missing_is_named_and_each_that_is_too_much(
        slack: Slack, database: Database, scopes: set[str], told: list[Finding]) -> None:
    slack.tokens[token(slack)].scopes = frozenset(scopes)
    assert await findings(of_one(slack), database) == [BY_SOCKET, OURS, CLOCK, *told, LINE, HOMELESS]


# --- the clocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "kind", "says"), [
    (-90, "problem", "behind Slack's, so posts and deadlines come at the wrong time: let it set itself by network time "
                     "(NTP)"),
    (-30, "note", "behind Slack's: let it set itself by network time (NTP)"),
    (30, "note", "ahead of Slack's: let it set itself by network time (NTP)"),
    (90, "problem", "ahead of Slack's, so posts and deadlines come at the wrong time: let it set itself by network "
                    "time (NTP)"),
])
async def test_a_clock_that_is_wrong_is_told_by_how_much(
        slack: Slack, database: Database, ahead: int, kind: str, says: str) -> None:
    wrong = VirtualClock(datetime.now(UTC) + timedelta(seconds=ahead), runs=True)
    found = (await findings(of_one(slack), database, clock=wrong))[2]
    seconds = int(found.text.split(" is ")[1].split(" s ")[0])
    assert (found.kind, found.text.split(" s ", 1)[1]) == (kind, says)
    assert abs(ahead) - 10 < seconds <= abs(ahead)


INSTANT = datetime(2027, 1, 4, tzinfo=UTC)
SPANS = st.timedeltas(timedelta(), timedelta(seconds=30))


@given(lead=st.timedeltas(timedelta(minutes=-5), timedelta(minutes=5)), since=SPANS, wait=SPANS, then=SPANS)
def test_the_clocks_are_never_said_to_be_further_apart_than_they_are(
        lead: timedelta, since: timedelta, wait: timedelta, then: timedelta) -> None:
    theirs = INSTANT + since + wait
    said = apart(INSTANT + since + lead, theirs + then + lead, theirs.replace(microsecond=0))
    assert said == timedelta() or (said > timedelta()) == (lead > timedelta())
    assert abs(said) <= abs(lead) <= abs(said) + wait + then + timedelta(seconds=1)


# --- the rooms --------------------------------------------------------------------------------------------------------

FITS = ok("the bot has what it needs in the channel C1 of Team T1")


@pytest.mark.parametrize("sees", [False, True])
@pytest.mark.parametrize("private", [False, True])
async def test_a_channel_that_the_bot_is_not_in_is_told(
        slack: Slack, database: Database, private: bool, sees: bool) -> None:
    """Slack says no more of a private one than that it is not there."""
    slack.teams["T1"].channels["C1"].private = private
    slack.kick("T1", "C1")
    if sees:
        slack.grant("T1", LOOKS)
    name = "#cohort" if sees else "the channel C1"
    assert await of_cohort(slack, database, cohort()) == [problem(
        "the bot cannot see the channel C1: if it is private, write /invite @ninety there; if it is deleted, open a "
        "cohort in another one" if private else f"the bot is not in {name}: write /invite @ninety there")]


@pytest.mark.parametrize("private", [False, True])
async def test_an_archived_channel_is_told_where_it_can_be_seen(
        slack: Slack, database: Database, private: bool) -> None:
    slack.teams["T1"].channels["C1"].private = private
    slack.archive("T1", "C1")
    assert await of_cohort(slack, database, cohort()) == [FITS]
    slack.grant("T1", LOOKS)
    found = await findings(of_one(slack), database, cohort())
    assert found[-1] == problem("cohort 1, Autumn: #cohort is archived: unarchive it, and write /invite @ninety there")


async def test_with_the_scopes_to_look_nothing_remains_to_be_noted(slack: Slack, database: Database) -> None:
    slack.grant("T1", LOOKS)
    assert await findings(of_one(slack), database, cohort()) == [*WELL, replace(FITS, text=f"cohort 1, Autumn: "
                                                                                          f"{FITS.text}")]


async def test_in_direct_messages_no_cohort_can_live(slack: Slack, database: Database) -> None:
    slack.grant("T1", {"im:read"})
    im, _ = slack.teams["T1"].im("UOLU", 7)
    assert await of_cohort(slack, database, cohort(im.id)) == [
        problem(f"{im.id} is a direct message and no channel where a cohort can live: open one in a channel")]


async def test_without_the_scope_to_look_it_is_told_what_cannot_be_seen(slack: Slack, database: Database) -> None:
    slack.tokens[token(slack)].scopes = frozenset(SCOPES) - {"channels:history", "users:read"}
    assert await of_cohort(slack, database, cohort()) == [
        problem("whether the bot is in the channel C1 cannot be seen, because it lacks the scope channels:history")]


async def test_a_room_in_another_workspace_than_the_tokens_is_told(slack: Slack, database: Database) -> None:
    assert await of_cohort(slack, database, cohort(team="T2")) == [
        problem("it lives in the workspace T2, and NINETY_SLACK_BOT_TOKEN is of Team T1, T1: set the token of the app "
                "in T2")]


async def test_an_organiser_who_can_be_told_nothing_is_told(slack: Slack, database: Database) -> None:
    untold = "nobody will be told when something is missed, so look at `ninety cohort log 1`"
    assert await of_cohort(slack, database, cohort(organiser="organiser")) == [
        problem(f"the organiser organiser is not in the workspace Team T1 (user_not_found): {untold}")]
    slack.teams["T1"].users["URSA"] = User("URSA", "ursa", is_bot=True)
    assert await of_cohort(slack, database, cohort(organiser="URSA")) == [
        problem(f"the organiser URSA is a bot: {untold}")]
    slack.disable("T1", "UOLU")
    assert await of_cohort(slack, database, cohort()) == [
        problem(f"the account of the organiser UOLU is deactivated: {untold}")]
    assert await of_cohort(slack, database, cohort(organiser="")) == [
        note("it has no organiser who is told when something is missed; `ninety cohort log 1` shows it"), FITS]


async def test_everything_that_is_wrong_with_a_cohort_is_told(slack: Slack, database: Database) -> None:
    slack.kick("T1", "C1")
    slack.disable("T1", "UOLU")
    assert [one.text.split(":")[0] for one in await of_cohort(slack, database, cohort())] == [
        "the bot is not in the channel C1", "the account of the organiser UOLU is deactivated"]


# --- many workspaces --------------------------------------------------------------------------------------------------


async def install(database: Database, team: str, bot_token: str, key: str = KEY, **values: Any) -> None:
    await Installations(database, cipher(key)).async_save(Installation(**{
        "user_id": "UOLU", "team_id": team, "team_name": f"Club {team}", "bot_token": bot_token, "installed_at": 1.0,
        **values}))


async def test_before_anybody_has_installed_the_app_the_address_to_do_it_is_told(
        slack: Slack, database: Database) -> None:
    assert await findings(of_many(slack), database, cohort()) == [
        FOR_MANY, CREDENTIALS, CLOCK, note(f"no workspace has installed the app yet: open {URL}/slack/install"),
        ADDRESS, INSTALLING,
        problem(f"cohort 1, Autumn: the app is not installed in the workspace T1: open {URL}/slack/install")]


async def test_each_workspace_with_a_cohort_is_asked_with_its_own_token(slack: Slack, database: Database) -> None:
    slack.add_team("T2", bot_user="UBOT2")
    slack.add_user("T2", "UMEI")
    slack.add_channel("T2", "C2")
    slack.grant("T2", {*SCOPES} - {"im:write"})
    for team in ("T1", "T2"):
        await install(database, team, token(slack, team))
    second = replace(cohort("C2", "T2", organiser="UMEI"), id=CohortId(2))
    assert await findings(of_many(slack), database, cohort(), second) == [
        FOR_MANY, CREDENTIALS, CLOCK, ok("2 workspaces have installed the app"), ADDRESS, INSTALLING,
        ok("the workspace Club T1: the bot has every scope that it needs"),
        ok("cohort 1, Autumn: the bot has what it needs in the channel C1 of Club T1"),
        problem(f"the workspace Club T2: the bot lacks the scope im:write: install the app there again at {URL}/slack/"
                "install"),
        ok("cohort 2, Autumn: the bot has what it needs in the channel C2 of Club T2"), BLIND]


async def test_tokens_that_no_key_decrypts_are_named_by_their_workspace(slack: Slack, database: Database) -> None:
    await install(database, "T1", token(slack))
    await install(database, "T2", BOT, OTHER_KEY)
    await install(database, "", BOT, OTHER_KEY, enterprise_id="E1", is_enterprise_install=True)
    found = await findings(of_many(slack), database, cohort(), cohort("C2", "T2"))
    assert found[3:5] == [
        ok("3 workspaces have installed the app"),
        problem("no key in NINETY_SECRET_KEY decrypts the tokens of E1 and T2: put the one back at its end that did, "
                f"or install the app there again at {URL}/slack/install")]
    assert found[-2] == problem(
        "cohort 1, Autumn: The token of this workspace was encrypted with a key that I do not have: put that key back "
        f"at the end of NINETY_SECRET_KEY, or install the app again, at {URL}/slack/install")
    assert (await findings(of_many(slack, secret_key=f"{KEY},{OTHER_KEY}"), database))[3:5] == [
        ok("3 workspaces have installed the app"), ADDRESS]


async def test_a_token_of_a_workspace_that_is_over_is_not_renewed_but_told(slack: Slack, database: Database) -> None:
    await install(database, "T1", token(slack), bot_refresh_token="xoxe-1", bot_token_expires_at=1)
    assert (await findings(of_many(slack), database, cohort()))[-1] == problem(
        "cohort 1, Autumn: the token of the workspace Club T1 has expired: start `ninety run`, which renews it")
    await install(database, "T1", token(slack), bot_refresh_token="xoxe-1", bot_token_expires_at=2**40)
    slack.tokens[token(slack)].error = "token_revoked"
    assert (await findings(of_many(slack), database, cohort()))[-1] == problem(
        "cohort 1, Autumn: Slack does not take the token of the workspace Club T1 (token_revoked): install the app "
        f"there again at {URL}/slack/install")
    assert {call.method for call in slack.calls if call.error is None} == set()


@pytest.mark.parametrize(("changes", "says"), [
    ({"slack_client_id": "9.9"}, f"Slack does not know NINETY_SLACK_CLIENT_ID: {COPY}"),
    ({"slack_client_secret": "0" * 32},
     f"NINETY_SLACK_CLIENT_SECRET does not belong to NINETY_SLACK_CLIENT_ID: {COPY}"),
])
async def test_a_client_that_slack_does_not_know_is_told_before_the_first_installation(
        slack: Slack, database: Database, changes: dict[str, str], says: str) -> None:
    assert (await findings(of_many(slack, **changes), database))[:3] == [FOR_MANY, problem(says), CLOCK]


# --- Slack is not there -----------------------------------------------------------------------------------------------


async def test_without_a_network_there_is_one_problem(database: Database) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api/"
        given_ = Settings(slack_bot_token=BOT, slack_app_token=APP, slack_api_url=url)
        assert await findings(given_, database, cohort()) == [
            BY_SOCKET, problem(f"Slack cannot be reached at {url} (ClientConnectorError): is there a network, or does "
                               "a firewall stand in between?")]


@pytest.mark.parametrize(("fault", "says"), [
    (Throttle(60), "Slack wants us to wait 60 s: try again after that"),
    (Fail(500), "Slack has trouble of its own (500): see https://slack-status.com, and try again later"),
    (Fail(503), "Slack has trouble of its own (503): see https://slack-status.com, and try again later"),
    (Drop(accepted=True), "Slack cannot be reached at {} (ServerDisconnectedError): is there a network, or does a "
                          "firewall stand in between?"),
])
async def test_when_slack_fails_half_way_what_was_found_stays_found(
        slack: Slack, database: Database, fault: Throttle | Fail | Drop, says: str) -> None:
    slack.fault("conversations.info", fault)
    assert await findings(of_one(slack), database, cohort()) == [*WELL, problem(says.format(slack.api_url))]


@pytest.mark.parametrize(("status", "text", "why"), [
    (200, "<html>Please log in to the hotel's network</html>", "it answered 200"),
    (302, "", "it answered 302"),
    (404, "<html>Nothing here</html>", "it answered 404"),
    (200, "[]", "it answered 200"),
    (200, '{"ok": true}', "an answer without user"),
])
async def test_what_is_not_slack_is_told(database: Database, status: int, text: str, why: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, text=text, content_type="text/html",
                            headers={"Location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        given_ = Settings(slack_bot_token=BOT, slack_app_token=APP, slack_api_url=url)
        assert await findings(given_, database) == [BY_SOCKET, problem(
            f"what answers at {url} is not Slack ({why}): does a proxy stand in between, or is NINETY_SLACK_API_URL "
            "wrong?")]
        assert asked == ["/auth.test"]
    finally:
        await runner.cleanup()


async def test_an_answer_that_quotes_the_token_is_not_repeated(
        slack: Slack, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Refusal(token(slack))

    monkeypatch.setattr(slack, "_token", refuse)
    assert (await findings(of_one(slack), database))[1] == problem(
        f"Slack does not take NINETY_SLACK_BOT_TOKEN: for no reason. For the token, {COPY_BOT}")
