"""What an organiser needs before the first post: do the settings fit, do the tokens work, and may the bot do there what
the cohorts ask?

Each answer of Slack's becomes a sentence with its cure. Nothing is changed, no token is renewed, and none is shown.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr
from slack_sdk.oauth.installation_store import Installation
from sqlalchemy import Connection, String, column, select, table

from bot.direct import Database
from bot.doctor import Finding, apart, clocks
from bot.herald import posts
from bot.ledger import Account, Cohort, Room
from bot.settings import Settings
from bot.slack.clients import TIMEOUT
from bot.slack.installations import BadKey, Installations, Unreadable, cipher
from bot.slack.manifest import EVENTS, INSTALL, REDIRECT, SCOPES
from scheduler.clock import Clock

LOOKS = frozenset({"channels:read", "groups:read"})
"""Scopes that nothing but this asks for: with them it sees more."""

_BOT = "copy the Bot User OAuth Token, which begins with xoxb-, from the page OAuth & Permissions of the app"
_APP = ("copy an app-level token with the scope connections:write, which begins with xapp-, from the page Basic "
        "Information of the app")
_BASIC = "copy it from App Credentials on the page Basic Information of the app"
_KINDS = {
    "xoxe.xoxb-": "a bot token that expires after twelve hours",
    "xoxe.xoxp-": "a token of a person, or for configuring apps",
    "xoxb-": "a bot token",
    "xoxp-": "a token of a person",
    "xapp-": "an app-level token",
    "xoxe-": "a refresh token",
    "xoxa-": "a token of an old kind",
    "xoxr-": "a refresh token of an old kind",
    "xoxc-": "a token of somebody's browser",
    "xoxd-": "a cookie of somebody's browser",
}
_GONE = frozenset({"account_inactive", "token_revoked"})
_SILENT = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_BUSY = frozenset({"rate_limited", "ratelimited"})


async def examine(settings: Settings, rooms: Sequence[tuple[Cohort, Room]], database: Database, clock: Clock) \
        -> AsyncIterator[Finding]:
    """`rooms` are those of all cohorts, on whatever platform. Ends after the first problem that makes the rest
    unknowable."""
    found = _settings(settings)
    for finding in found:
        yield finding
    if any(finding.kind == "problem" for finding in found):
        return
    url = settings.slack_api_url
    async with _Slack(url, clock) as slack:
        try:
            async for finding in _findings(slack, settings, rooms, database, clock.now()):
                yield finding
        except _Limited as limited:
            yield Finding("problem", f"Slack wants us to wait {limited.seconds} s: try again after that")
        except _Trouble as trouble:
            yield Finding("problem", f"Slack has trouble of its own ({trouble}): see https://slack-status.com, and "
                                     "try again later")
        except _NotSlack as other:
            yield Finding("problem", f"what answers at {url} is not Slack ({other}): does a proxy stand in between, or "
                                     "is NINETY_SLACK_API_URL wrong?")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            yield Finding("problem", f"Slack cannot be reached at {url} ({type(error).__name__}): is there a network, "
                                     "or does a firewall stand in between?")


async def _findings(slack: _Slack, settings: Settings, rooms: Sequence[tuple[Cohort, Room]], database: Database,
                    now: datetime) -> AsyncIterator[Finding]:
    one = settings.slack_bot_token is not None
    places: _One | _Many = _One(slack, settings) if one else _Many(slack, settings, database, now)
    told = await places.arrive()
    if slack.apart is not None:
        told.insert(1, clocks(slack.apart, "Slack's"))
    for finding in told:
        yield finding
    if app_token := _plain(settings.slack_app_token):
        yield await _socket(slack, app_token, places.app_id)
    for finding in _address(settings):
        yield finding
    here = [(cohort, room) for cohort, room in rooms if room.platform == "slack"]
    if not here:
        yield Finding("note", "no cohort lives on Slack yet: invite the bot to a channel with /invite, and type "
                              "/cohort open there")
    for cohort, room in here:
        if not any(post.latest >= now for post in posts(cohort)):
            yield Finding("note", f"{_called(cohort)}: it is over, so its room was not looked at")
            continue
        for finding in await _room(slack, places, cohort, room):
            yield finding
    if slack.is_blind:
        yield Finding("note", "whether a channel is archived can be seen only with the scopes channels:read and "
                              "groups:read, which the bot does without")


# --- the settings -----------------------------------------------------------------------------------------------------


def _settings(settings: Settings) -> list[Finding]:
    """All that is wrong, before anybody is asked; what they come to when nothing is."""
    bot, app = _plain(settings.slack_bot_token), _plain(settings.slack_app_token)
    signing, secret = _plain(settings.slack_signing_secret), _plain(settings.slack_client_secret)
    client = settings.slack_client_id.strip()
    one = settings.slack_bot_token is not None
    many = not one and bool(settings.slack_client_id)
    wrong: list[str] = []
    notes: list[str] = []
    if one:
        wrong += _of_another_kind("NINETY_SLACK_BOT_TOKEN", bot, ("xoxb-",), _BOT)
        if client:
            notes.append("NINETY_SLACK_CLIENT_ID is not used, because NINETY_SLACK_BOT_TOKEN says that there is one "
                         "workspace: for many, take that away")
    elif not many:
        wrong.append("neither NINETY_SLACK_BOT_TOKEN nor NINETY_SLACK_CLIENT_ID is set, so `ninety run` is not on "
                     f"Slack: make an app from what `ninety manifest slack` prints, install it, and {_BOT}")
    if app:
        wrong += _of_another_kind("NINETY_SLACK_APP_TOKEN", app, ("xapp-",), _APP)
    if not app and not signing and (one or many):
        wrong.append("NINETY_SLACK_APP_TOKEN and NINETY_SLACK_SIGNING_SECRET are both missing, so Slack has no way to "
                     f"us: for Socket Mode, {_APP}; for signed requests, set the Signing Secret")
    if many:
        wrong += _wrong_with_many(settings, client, secret)
    for name, given in (("NINETY_SLACK_SIGNING_SECRET", signing), ("NINETY_SLACK_CLIENT_SECRET", secret)):
        if given:
            wrong += _of_another_kind(name, given, (), _BASIC)
    if signing and signing == secret:
        wrong.append("NINETY_SLACK_SIGNING_SECRET and NINETY_SLACK_CLIENT_SECRET are the same, and are two different "
                     f"ones of the app: {_BASIC}")
    elif signing and not re.fullmatch("[0-9a-f]{32}", signing) and not wrong:
        notes.append("NINETY_SLACK_SIGNING_SECRET does not look like one, which has 32 of 0 to 9 and a to f; it is "
                     "not the Verification Token")
    if (many or (one and signing and not app)) and settings.public_url and (why := not_public(settings.public_url)):
        wrong.append(f"NINETY_PUBLIC_URL {why}")
    if wrong:
        return [Finding("problem", text) for text in wrong] + [Finding("note", text) for text in notes]
    ways = [way for way, given in (("Socket Mode", app), ("signed requests", signing)) if given]
    if len(ways) == 2:
        notes.append("both NINETY_SLACK_APP_TOKEN and NINETY_SLACK_SIGNING_SECRET are set: the page Socket Mode of the "
                     "app decides which way Slack takes")
    whose = "one workspace" if one else "many workspaces"
    return [Finding("ok", f"the settings are for {whose}, by {' or '.join(ways)}"),
            *(Finding("note", text) for text in notes)]


def _wrong_with_many(settings: Settings, client: str, secret: str) -> Iterable[str]:
    if re.fullmatch("[AT][A-Z0-9]{6,}", client):
        yield f"NINETY_SLACK_CLIENT_ID is the id of an app or a workspace, and not the Client ID: {_BASIC}"
    else:
        yield from _of_another_kind("NINETY_SLACK_CLIENT_ID", settings.slack_client_id, (), _BASIC)
    if not secret:
        yield f"NINETY_SLACK_CLIENT_SECRET is missing, which belongs to NINETY_SLACK_CLIENT_ID: {_BASIC}"
    if not settings.public_url:
        yield ("NINETY_PUBLIC_URL is missing, by which workspaces install the app: set the address that leads to "
               f"NINETY_SLACK_LISTEN, {settings.slack_listen}")
    try:
        cipher(_plain(settings.secret_key))
    except BadKey as bad:
        yield str(bad)


def _of_another_kind(name: str, given: str, wanted: tuple[str, ...], cure: str) -> Iterable[str]:
    """What is wrong with it at first sight, if anything; without `wanted` it is no token but a secret or an id."""
    if not given.strip():
        yield f"{name} is empty: {cure}"
    elif given.strip("\"' ").lower().startswith("bearer "):
        yield f"{name} has the word Bearer in front of it: leave only what follows it"
    elif not all("!" <= sign <= "~" for sign in given) or given.strip("\"'") != given:
        yield (f"{name} has something in it that none has, such as a space, the end of a line or a quotation mark: "
               f"{cure}")
    elif wanted and given.startswith("xoxe.xoxb-"):
        yield (f"{name} is a bot token that expires after twelve hours, and nobody renews one that was copied by hand: "
               "token rotation cannot be switched off, so make the app anew from what `ninety manifest slack` prints")
    elif kind := next((kind for start, kind in _KINDS.items() if given.startswith(start)), ""):
        if not given.startswith(wanted):
            yield f"{name} is {kind}, which does not belong there: {cure}"
    elif wanted:
        yield f"{name} is not a token, which would begin with {wanted[0]}: {cure}"


def not_public(url: str) -> str:
    """Why Slack could not send to it; empty when it could."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no address: write https:// and the name of the host"
    if parts.scheme != "https" or not host:
        return "does not begin with https:// and a host, and Slack sends to no other"
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return "is the address of this machine itself, where Slack cannot come: set the one that it has from outside"
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith((EVENTS, INSTALL, REDIRECT)):
        return f"says too much: leave what comes before {EVENTS}"
    return ""


def _address(settings: Settings) -> Iterable[Finding]:
    signed = bool(_plain(settings.slack_signing_secret))
    many = settings.slack_bot_token is None
    if not signed and not many:
        return
    base = settings.public_url.rstrip("/") or "https://YOUR-ADDRESS"
    fields = []
    if signed and not _plain(settings.slack_app_token):
        fields.append(f"the Request URL of Slash Commands, Interactivity and Event Subscriptions is {base}{EVENTS}")
    if many:
        fields.append(f"the Redirect URL on OAuth & Permissions is {base}{REDIRECT}")
    if fields:
        yield Finding("note", f"whether {base} leads to {settings.slack_listen} cannot be seen from inside; in the "
                              f"app, {_and(fields)}")
    if many:
        yield Finding("note", f"workspaces install the app at {base}{INSTALL}")


# --- asking Slack -----------------------------------------------------------------------------------------------------


class _Refused(Exception):
    def __init__(self, error: str, needed: str) -> None:
        super().__init__(error)
        self.error = error
        self.needed = needed


class _Limited(Exception):
    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Trouble(Exception):
    """Slack's own; the text says which."""


class _NotSlack(Exception):
    """The answer is none of Slack's; the text says why not."""


@dataclass(frozen=True)
class _Answer:
    body: Mapping[str, Any]
    scopes: frozenset[str] | None
    """Granted to the token; None where Slack does not say."""

    def text(self, name: str) -> str:
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise _NotSlack(f"an answer without {name}")
        return value

    def object(self, name: str) -> Mapping[str, Any]:
        value = self.body.get(name)
        if not isinstance(value, dict):
            raise _NotSlack(f"an answer without {name}")
        return value


class _Slack:
    """Asks once, and looks at the Date of the first answer that has one."""

    def __init__(self, api_url: str, clock: Clock) -> None:
        self._api_url = api_url.rstrip("/") + "/"
        self._clock = clock
        self.apart: timedelta | None = None
        self.is_blind = False
        """There was a channel that it could not see for itself."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(),
                                              timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._session.close()

    async def ask(self, method: str, token: str = "", **arguments: str) -> _Answer:
        """Raises _Refused, _Limited, _Trouble or _NotSlack, and what aiohttp raises."""
        began = self._clock.now()
        # Wherever a redirection leads to, the token does not.
        async with self._session.post(
                self._api_url + method, data=arguments, allow_redirects=False,
                headers={"Authorization": f"Bearer {token}"} if token else {}) as answer:
            if self.apart is None:
                self.apart = _apart(began, self._clock.now(), answer.headers.get("Date", ""))
            try:
                body = await answer.json(content_type=None)
            except ValueError:
                body = None
        if answer.status == 429 or (isinstance(body, dict) and body.get("error") in _BUSY):
            after = answer.headers.get("Retry-After", "")
            raise _Limited(int(after) if after.isdecimal() else 30)
        if answer.status >= 500:
            raise _Trouble(str(answer.status))
        if answer.status != 200 or not isinstance(body, dict) or not isinstance(body.get("ok"), bool):
            raise _NotSlack(f"it answered {answer.status}")
        if not body["ok"]:
            error = str(body.get("error"))
            if error in _SILENT:
                raise _Trouble(error)
            # Whoever answers shall not have us print what we sent.
            raise _Refused(error if re.fullmatch("[a-z0-9_]{1,60}", error) else "for no reason",
                           _scopes_named(body.get("needed")))
        granted = answer.headers.get("X-OAuth-Scopes")
        return _Answer(body, None if granted is None else
                       frozenset(scope.strip() for scope in granted.split(",") if scope.strip()))


def _scopes_named(needed: object) -> str:
    return needed if isinstance(needed, str) and re.fullmatch("[a-z:._,]{1,200}", needed) else ""


# --- the clocks -------------------------------------------------------------------------------------------------------


def _apart(began: datetime, ended: datetime, date: str) -> timedelta | None:
    try:
        return apart(began, ended, parsedate_to_datetime(date))
    except (ValueError, TypeError):
        # Not a date with its zone: then there is nothing to say.
        return None


# --- the workspaces ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Workspace:
    """Where the bot is."""

    team: str
    name: str
    bot: str
    """What the bot is called there."""
    token: str
    everywhere: bool = False
    """The token is of a whole enterprise."""

    async def ask(self, slack: _Slack, method: str, **arguments: str) -> _Answer:
        return await slack.ask(method, self.token, **arguments, **({"team_id": self.team} if self.everywhere else {}))


class _One:
    """The workspace of the bot token."""

    def __init__(self, slack: _Slack, settings: Settings) -> None:
        self._slack = slack
        self._token = _plain(settings.slack_bot_token)
        self._workspace: _Workspace | None = None
        self.app_id = ""

    async def arrive(self) -> list[Finding]:
        try:
            answer = await self._slack.ask("auth.test", self._token)
        except _Refused as refused:
            why = {
                "invalid_auth": "it was replaced by a newer one or not copied whole, or the app allows other addresses "
                                "than this machine's",
                "token_expired": "it has expired",
            }.get(refused.error, "the app was taken out of the workspace, so install it again"
                  if refused.error in _GONE else refused.error)
            return [Finding("problem", f"Slack does not take NINETY_SLACK_BOT_TOKEN: {why}. For the token, {_BOT}")]
        bot, team = answer.text("user"), answer.text("team_id")
        self._workspace = _Workspace(team, answer.text("team"), bot, self._token)
        try:
            who = await self._slack.ask("bots.info", self._token, bot=answer.text("bot_id"))
            self.app_id = str(who.object("bot").get("app_id", ""))
        except _Refused:
            # It lacks a scope, and is told so.
            pass
        return [Finding("ok", f"the bot token is that of @{bot} in the workspace {self._workspace.name}, {team}"),
                *_granted(answer.scopes, "", "add what is missing on the page OAuth & Permissions of the app, and "
                                             "install it again")]

    async def at(self, team: str) -> _Workspace | str | None:
        """Why the bot cannot be there, if it cannot; None when that is told already."""
        if self._workspace is not None and team != self._workspace.team:
            return (f"it lives in the workspace {team}, and NINETY_SLACK_BOT_TOKEN is of {self._workspace.name}, "
                    f"{self._workspace.team}: set the token of the app in {team}")
        return self._workspace

    def lately(self) -> list[Finding]:
        return []


class _Many:
    """Those that have installed the app."""

    def __init__(self, slack: _Slack, settings: Settings, database: Database, now: datetime) -> None:
        self._slack = slack
        self._database = database
        self._now = now
        self._client = {"client_id": settings.slack_client_id, "client_secret": _plain(settings.slack_client_secret)}
        self._install = settings.public_url.rstrip("/") + INSTALL
        self._installations = Installations(database, cipher(_plain(settings.secret_key)))
        self._known: dict[str, _Workspace | str] = {}
        self._lately: list[Finding] = []
        self.app_id = ""

    async def arrive(self) -> list[Finding]:
        return [await self._credentials(), *await self._installed()]

    async def _credentials(self) -> Finding:
        """Whether Slack objects to them before it objects to a code that nobody was given."""
        try:
            await self._slack.ask("oauth.v2.access", **self._client, code="0")
        except _Refused as refused:
            if refused.error == "bad_client_secret":
                return Finding("problem", "NINETY_SLACK_CLIENT_SECRET does not belong to NINETY_SLACK_CLIENT_ID: "
                                          f"{_BASIC}")
            if refused.error == "invalid_client_id":
                return Finding("problem", f"Slack does not know NINETY_SLACK_CLIENT_ID: {_BASIC}")
        return Finding("ok", "Slack does not object to the client id and its secret")

    async def _installed(self) -> list[Finding]:
        def work(connection: Connection) -> list[tuple[str, str]]:
            kept = table("slack_installation", column("team", String), column("enterprise", String))
            return sorted((row.team, row.enterprise) for row in connection.execute(select(kept)))

        rows = await self._database.run(work)
        unreadable = []
        for team, enterprise in rows:
            try:
                await self._installations.async_find_installation(
                    enterprise_id=enterprise, team_id=team or None, is_enterprise_install=not team)
            except Unreadable:
                unreadable.append(team or enterprise)
        if not rows:
            return [Finding("note", f"no workspace has installed the app yet: open {self._install}")]
        many = "1 workspace has" if len(rows) == 1 else f"{len(rows)} workspaces have"
        found = [Finding("ok", f"{many} installed the app")]
        if unreadable:
            whose = f"the token{'s'[:len(unreadable) != 1]} of {_and(unreadable)}"
            found.append(Finding("problem", f"no key in NINETY_SECRET_KEY decrypts {whose}: put the one back at its "
                                            f"end that did, or install the app there again at {self._install}"))
        return found

    async def at(self, team: str) -> _Workspace | str | None:
        if team not in self._known:
            self._known[team] = await self._seen(team)
        return self._known[team]

    def lately(self) -> list[Finding]:
        """What was found on the way to a workspace, once."""
        told, self._lately = self._lately, []
        return told

    async def _seen(self, team: str) -> _Workspace | str:
        try:
            installation = await self._installations.of(team)
        except Unreadable as unreadable:
            return f"{unreadable}, at {self._install}"
        if installation is None or not installation.bot_token:
            return f"the app is not installed in the workspace {team}: open {self._install}"
        name = installation.team_name or team
        if _is_over(installation, self._now):
            return f"the token of the workspace {name} has expired: start `ninety run`, which renews it"
        try:
            answer = await self._slack.ask("auth.test", installation.bot_token)
        except _Refused as refused:
            return (f"Slack does not take the token of the workspace {name} ({refused.error}): install the app there "
                    f"again at {self._install}")
        self._lately += _granted(answer.scopes, f"the workspace {name}: ", f"install the app there again at "
                                                                          f"{self._install}")
        return _Workspace(team, name, answer.text("user"), installation.bot_token,
                          bool(installation.is_enterprise_install))


def _is_over(installation: Installation, now: datetime) -> bool:
    ends = installation.bot_token_expires_at
    return ends is not None and ends <= now.timestamp()


def _granted(scopes: frozenset[str] | None, where: str, cure: str) -> list[Finding]:
    if scopes is None:
        return []
    missing = [scope for scope in SCOPES if scope not in scopes]
    more = sorted(scopes - set(SCOPES) - LOOKS)
    found = []
    if missing:
        found.append(Finding("problem", f"{where}the bot lacks the scope{'s'[:len(missing) != 1]} {_and(missing)}: "
                                        f"{cure}"))
    else:
        found.append(Finding("ok", f"{where}the bot has every scope that it needs"))
    if more:
        found.append(Finding("note", f"{where}the bot has {_and(more)} and does not need "
                                     f"{'it' if len(more) == 1 else 'them'}: take away on the page OAuth & Permissions "
                                     "what nobody else uses"))
    return found


async def _socket(slack: _Slack, token: str, app_id: str) -> Finding:
    try:
        await slack.ask("apps.connections.open", token)
    except _Refused as refused:
        why = "it lacks the scope connections:write" if refused.error == "missing_scope" else refused.error
        return Finding("problem", f"Slack opens no connection for NINETY_SLACK_APP_TOKEN ({why}): see whether Socket "
                                  f"Mode is on in the app, and {_APP}")
    own = re.match(r"xapp-\d+-(A[A-Z0-9]+)-", token)
    if own and app_id and own[1] != app_id:
        return Finding("problem", f"NINETY_SLACK_APP_TOKEN is of the app {own[1]} and NINETY_SLACK_BOT_TOKEN of "
                                  f"{app_id}, so commands would not come here: take both from one app")
    return Finding("ok", "Slack would open a connection for the app token; none was made")


# --- the rooms --------------------------------------------------------------------------------------------------------


async def _room(slack: _Slack, places: _One | _Many, cohort: Cohort, room: Room) -> list[Finding]:
    there = await places.at(room.workspace)
    lately = places.lately()
    if there is None:
        return [Finding("note", f"{_called(cohort)}: without a token its room was not looked at")]
    if isinstance(there, str):
        return [Finding("problem", f"{_called(cohort)}: {there}")]
    wrong = [await _wrong_in_channel(slack, there, room.channel)]
    organiser = cohort.organiser
    if organiser is None:
        lately.append(Finding("note", f"{_called(cohort)}: it has no organiser who is told when something is missed; "
                                      f"`ninety cohort log {cohort.id}` shows it"))
    elif organiser.platform == "slack":
        wrong.append(await _wrong_with_organiser(slack, places, organiser, cohort))
        lately += places.lately()
    return [*lately, *([Finding("problem", f"{_called(cohort)}: {one}") for one in wrong if one] or
                       [Finding("ok", f"{_called(cohort)}: the bot has what it needs in the channel {room.channel} of "
                                      f"{there.name}")])]


async def _wrong_in_channel(slack: _Slack, there: _Workspace, id: str) -> str:
    """Empty when nothing is."""
    invite = f"write /invite @{there.bot} there"
    try:
        channel = (await there.ask(slack, "conversations.info", channel=id)).object("channel")
    except _Refused as refused:
        if refused.error not in ("missing_scope", "channel_not_found"):
            return f"Slack does not show the channel {id} ({refused.error})"
        return await _wrong_behind_the_door(slack, there, id, invite)
    if channel.get("is_im") or channel.get("is_mpim"):
        return f"{id} is a direct message and no channel where a cohort can live: open one in a channel"
    name = f"#{channel.get('name', id)}"
    if channel.get("is_archived"):
        return f"{name} is archived: unarchive it, and {invite}"
    return "" if channel.get("is_member") else f"the bot is not in {name}: {invite}"


async def _wrong_behind_the_door(slack: _Slack, there: _Workspace, id: str, invite: str) -> str:
    """By the one right that the bot has in a channel beside posting: to read in it, here what is not said yet."""
    try:
        await there.ask(slack, "conversations.history", channel=id, oldest="9999999999", limit="1")
    except _Refused as refused:
        match refused.error:
            case "not_in_channel":
                return f"the bot is not in the channel {id}: {invite}"
            case "channel_not_found":
                return (f"the bot cannot see the channel {id}: if it is private, {invite}; if it is deleted, open a "
                        "cohort in another one")
            case "missing_scope":
                return (f"whether the bot is in the channel {id} cannot be seen, because it lacks the scope "
                        f"{refused.needed or 'channels:history or groups:history'}")
            case error:
                return f"Slack does not show the channel {id} ({error})"
    slack.is_blind = True
    return ""


async def _wrong_with_organiser(slack: _Slack, places: _One | _Many, organiser: Account, cohort: Cohort) -> str:
    """Empty when nothing is, or when it cannot be seen."""
    there = await places.at(organiser.workspace)
    if not isinstance(there, _Workspace):
        return f"the bot is not in the workspace {organiser.workspace} of the organiser" if there else ""
    untold = f"nobody will be told when something is missed, so look at `ninety cohort log {cohort.id}`"
    try:
        user = (await there.ask(slack, "users.info", user=organiser.user)).object("user")
    except _Refused as refused:
        if refused.error == "missing_scope":
            return ""
        return f"the organiser {organiser.user} is not in the workspace {there.name} ({refused.error}): {untold}"
    if user.get("deleted"):
        return f"the account of the organiser {organiser.user} is deactivated: {untold}"
    return f"the organiser {organiser.user} is a bot: {untold}" if user.get("is_bot") else ""


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret is not None else ""


def _called(cohort: Cohort) -> str:
    return f"cohort {cohort.id}, {cohort.title}"


def _and(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
