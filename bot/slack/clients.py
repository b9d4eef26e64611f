"""Slack's Web API for everything that nobody has just asked for: which token, renewed in time, and one attempt a call.

The SDK's clients with its retries taken out: by default it sends chat.postMessage again when the connection drops after
Slack took it, which makes two posts.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.web.async_client import AsyncWebClient

from bot.ledger import Unsaved
from bot.settings import BadSettings
from bot.slack.installations import Installations, Unreadable
from scheduler.clock import Clock

log = logging.getLogger(__name__)

SLACK = "https://slack.com/api/"
TIMEOUT = 15.0
"""Seconds for a whole call; less than the herald gives a send, so that the log says what was cut off."""
RENEW = timedelta(hours=2)
"""A token that expires within that time is renewed before it is used. They live for twelve hours."""
AGAIN = timedelta(seconds=5)
"""To wait when nobody knows why a token could not be had."""
RENEW_AGAIN = timedelta(minutes=1)
"""After a token could not be renewed that is good for a while."""
SAVE_AGAIN = (0.1, 1.0, 2.0)
"""Seconds between attempts to save a renewed token."""
LIMITED = timedelta(seconds=30)
"""To wait when a 429 does not say how long."""

REVOKED = frozenset({"account_inactive", "token_revoked"})
"""The installation is over, and what we know of it must go."""
DEAD = REVOKED | {"invalid_auth", "not_authed", "not_allowed_token_type", "token_expired"}

_LIMITS = frozenset({"message_limit_exceeded", "rate_limited", "ratelimited"})
_PASSING = frozenset({"request_timeout", "team_added_to_org"})
"""Nothing was done, and the next time it will be (docs: the errors of each method)."""
_UNKNOWN = frozenset({"fatal_error", "internal_error", "service_unavailable"})
""""It's possible some aspect of the operation succeeded before the error was raised" (docs: the same)."""

# At DEBUG the SDK logs what is sent and answered. It asks this logger for its own level, which nobody else sets.
_silent = logging.getLogger("bot.slack.sdk")
_silent.setLevel(logging.INFO)


class Refused(Exception):
    """Slack said no, and nothing was done."""

    def __init__(self, method: str, error: str, needed: str = "") -> None:
        super().__init__(f"{method}: {error}{f', needs {needed}' if needed else ''}")
        self.error = error
        self.needed = needed
        """Of missing_scope: which."""


class Limited(Exception):
    """Not now, and nothing was done."""

    def __init__(self, method: str, after: timedelta) -> None:
        super().__init__(f"{method}: asked to wait {after}")
        self.method = method
        """The one that is limited, which may be another than the one that was called."""
        self.after = after


class Broken(Exception):
    """Nobody knows whether it was done: 5xx, a connection that was cut, or an answer that cannot be read."""


class NoToken(Exception):
    """Nothing can be done in the workspace until somebody does what the text says."""


class NotInstalled(NoToken):
    """I am not installed in this workspace any more: install the app again"""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class BadToken(NoToken, BadSettings):
    """A token in the settings is not one that Slack takes."""


@dataclass(frozen=True)
class Identity:
    """Who we are in a workspace."""

    team: str
    bot_user: str
    url: str
    """Of the workspace, with a slash at its end."""


class Clients:
    """Of one workspace, by its bot token, or of many, by what they have installed. To be entered and left: the session
    for all calls lives that long.

    `client_id` and `client_secret` are for the renewal of tokens that expire. Raises BadToken for a token of another
    kind."""

    def __init__(self, source: str | Installations, clock: Clock, api_url: str = SLACK, *, client_id: str = "",
                 client_secret: str = "") -> None:
        if isinstance(source, str) and not source.strip().startswith(("xoxb-", "xoxe.xoxb-")):
            raise _bad_bot_token("it does not begin with xoxb-")
        self._token = source.strip() if isinstance(source, str) else None
        self._installations = None if isinstance(source, str) else source
        self._clock = clock
        self._api_url = api_url
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self.session: aiohttp.ClientSession | None = None
        self._identities: dict[str, Identity] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # By refresh token, because the workspaces of an enterprise may have one in common.
        self._renewals: dict[str, asyncio.Task[Installation]] = {}
        self._renew_not_before: dict[str, datetime] = {}
        self._expired: set[str] = set()
        """Tokens that Slack takes for expired before we do."""
        self.limited: Counter[str] = Counter()
        """Answers that ask to wait, by method."""

    async def __aenter__(self) -> Self:
        # Workspaces must not get one another's cookies; and with a session of ours the SDK sets no timeout.
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(),
                                              timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        # A renewed token that is not saved is lost, and with it the installation.
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)
        if self.session is not None:
            await self.session.close()

    def client(self, token: str | None = None, team: str | None = None) -> AsyncWebClient:
        """That sends once. `team` is for tokens of a whole enterprise."""
        return AsyncWebClient(token, self._api_url, session=self.session, team_id=team, logger=_silent,
                              retry_handlers=[])

    async def of(self, team: str) -> AsyncWebClient:
        """Raises NoToken, or Limited when the token could not be had now."""
        if self._installations is None:
            if (await self.myself()).team != team:
                raise NotInstalled
            return self.client(self._token)
        installation = await self._installation(team)
        return self.client(installation.bot_token, team if installation.is_enterprise_install else None)

    async def call(self, team: str, method: str, *, json: Mapping[str, object] | None = None,
                   params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """What Slack answered. Sent once, never again.

        Raises Refused, Limited, NoToken or Broken."""
        client = await self.of(team)
        try:
            return await _answer(client, method, json=json, params=params)
        except Limited:
            self.limited[method] += 1
            raise
        except Refused as refused:
            if refused.error not in DEAD:
                raise
            raise await self._why_dead(team, client.token or "", refused.error) from None

    async def identity(self, team: str) -> Identity:
        """As `call`."""
        if self._installations is None:
            identity = await self.myself()
            if identity.team != team:
                raise NotInstalled
            return identity
        async with self._asking[team]:
            if team not in self._identities:
                answer = await self.call(team, "auth.test")
                # For an app of a whole enterprise Slack names that, not the workspace.
                self._identities[team] = _identity({**answer, "team_id": team})
            return self._identities[team]

    async def bot_user(self, team: str) -> str:
        """As `call`."""
        return (await self.identity(team)).bot_user

    async def myself(self) -> Identity:
        """Of the one workspace. Raises BadToken, or Limited when Slack cannot be asked now."""
        assert self._token is not None  # noqa: S101  # with many workspaces there is no such one
        async with self._asking[""]:
            if self._token not in self._identities:
                try:
                    self._identities[self._token] = _identity(await _answer(self.client(self._token), "auth.test"))
                except Refused as refused:
                    raise _bad_bot_token(refused.error) from None
                except Broken:
                    raise Limited("auth.test", AGAIN) from None
            return self._identities[self._token]

    async def revoked(self, team: str | None, enterprise: str | None = None, at: datetime | None = None) -> None:
        """Slack says that the app was uninstalled, or the bot's token revoked, at that time: deletes the tokens.

        Events come late and more than once, so what was installed after `at` stays."""
        if self._installations is not None:
            await self._installations.async_delete_all(enterprise_id=enterprise, team_id=team, before=at)
            log.info("Workspace %s has taken the app away; its tokens are deleted", team or enterprise)
        self._identities.pop(team or "", None)

    # --- tokens -------------------------------------------------------------------------------------------------------

    async def _why_dead(self, team: str, token: str, error: str) -> Exception:
        if self._installations is None:
            return _bad_bot_token(error)
        installation = await self._stored(team)
        if installation is None:
            return NotInstalled()
        if installation.bot_token != token:
            # Installed anew, or renewed, while we called.
            return Limited("auth.test", AGAIN)
        if error == "token_expired" and installation.bot_refresh_token:
            self._expired.add(token)
            self._renew_not_before.pop(installation.bot_refresh_token, None)
            return Limited("auth.test", AGAIN)
        # invalid_auth is also said to an address that is not allowed, and says nothing of the installation.
        if error in REVOKED and await self._installations.forget(team, token):
            self._identities.pop(team, None)
            log.warning("Workspace %s does not take its token any more (%s); it is deleted", team, error)
        return NotInstalled()

    async def _stored(self, team: str) -> Installation | None:
        assert self._installations is not None  # noqa: S101  # the caller has looked
        try:
            return await self._installations.of(team)
        except Unreadable as unreadable:
            raise NoToken(str(unreadable)) from None

    async def _installation(self, team: str) -> Installation:
        installation = await self._stored(team)
        if installation is None:
            raise NotInstalled
        if not self._is_ending(installation):
            return installation
        key = installation.bot_refresh_token or ""
        renewal = self._renewals.get(key)
        if renewal is None:
            renewal = self._renewals[key] = asyncio.create_task(self._renewed(team))
            renewal.add_done_callback(self._end_renewal(key))
        # The caller may be cut off; the renewal may not.
        return await asyncio.shield(renewal)

    def _end_renewal(self, key: str) -> Callable[[asyncio.Task[Installation]], None]:
        def end(renewal: asyncio.Task[Installation]) -> None:
            del self._renewals[key]
            if not renewal.cancelled():
                renewal.exception()     # whoever waited has it, if anybody still did

        return end

    def _is_ending(self, installation: Installation) -> bool:
        if not installation.bot_refresh_token or installation.bot_token_expires_at is None:
            return False
        now = self._clock.now()
        if installation.bot_token in self._expired:
            return True
        return now + RENEW >= _instant(installation.bot_token_expires_at) and \
            now >= self._renew_not_before.get(installation.bot_refresh_token, now)

    async def _renewed(self, team: str) -> Installation:
        """What is good to be used, saved before it is."""
        assert self._installations is not None  # noqa: S101  # the caller has looked
        installation = await self._stored(team)
        if installation is None:
            raise NotInstalled
        if not self._is_ending(installation):
            return installation
        try:
            answer = await _answer(self.client(), "oauth.v2.access", data={
                **self._credentials, "grant_type": "refresh_token",
                "refresh_token": installation.bot_refresh_token or ""})
            token, expires_in = answer["access_token"], int(answer["expires_in"])
        except Refused as refused:
            return await self._unrenewed(team, installation, NoToken(
                f"the token of this workspace cannot be renewed ({refused.error}): check NINETY_SLACK_CLIENT_ID and "
                "NINETY_SLACK_CLIENT_SECRET, or install the app again"))
        except Limited as limited:
            return await self._unrenewed(team, installation, limited)
        except (Broken, KeyError, ValueError, TypeError):
            return await self._unrenewed(team, installation, Limited("oauth.v2.access", AGAIN))
        values = {**vars(installation), "bot_token": token,
                  "bot_refresh_token": answer.get("refresh_token") or installation.bot_refresh_token,
                  "bot_token_expires_at": math.floor(self._clock.now().timestamp()) + expires_in}
        renewed = Installation(**values)
        for pause in SAVE_AGAIN:
            try:
                await self._installations.async_save(renewed)
                break
            except Unsaved:
                # Slack takes the old refresh token no more, so the new one must not be lost to a busy database.
                await asyncio.sleep(pause)
        else:
            await self._installations.async_save(renewed)
        self._expired.discard(installation.bot_token or "")
        self._renew_not_before.pop(installation.bot_refresh_token or "", None)
        return renewed

    async def _unrenewed(self, team: str, installation: Installation, error: Exception) -> Installation:
        """Another process may have been faster; else the old token, as long as it is good."""
        stored = await self._stored(team)
        if stored is not None and stored.bot_token != installation.bot_token:
            return stored
        if installation.bot_token in self._expired or \
                _instant(installation.bot_token_expires_at or 0) <= self._clock.now():
            raise error
        log.warning("The token of workspace %s could not be renewed yet: %s", team, error)
        self._renew_not_before[installation.bot_refresh_token or ""] = self._clock.now() + RENEW_AGAIN
        return installation


def _bad_bot_token(why: str) -> BadToken:
    return BadToken(f"Slack does not take NINETY_SLACK_BOT_TOKEN ({why}): copy the Bot User OAuth Token, which begins "
                    "with xoxb-, from the page OAuth & Permissions of the app, and start me again")


async def _answer(client: AsyncWebClient, method: str, *, json: Mapping[str, object] | None = None,
                  params: Mapping[str, str] | None = None, data: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    verb = "GET" if params is not None else "POST"
    try:
        response = await client.api_call(
            method, http_verb=verb, json=None if json is None else dict(json),
            params=None if params is None else dict(params), data=None if data is None else dict(data))
        if not isinstance(response.data, dict):
            raise Broken(f"{method} answered with no object")
        return response.data
    except SlackApiError as error:
        # Its own words quote the whole answer, so they go nowhere.
        raise _why(method, error.response) from None
    except Broken:
        raise
    except Exception as error:  # aiohttp's, and the SDK's own on an answer that is no object
        raise Broken(f"no answer to {method} ({type(error).__name__})") from None


def _why(method: str, response: Any) -> Exception:
    status = getattr(response, "status_code", None) or getattr(response, "status", 0)
    data = getattr(response, "data", None)
    error = data.get("error") if isinstance(data, dict) else None
    if status == 429 or error in _LIMITS:
        return Limited(method, _after(getattr(response, "headers", {})))
    if status != 200 or not isinstance(error, str) or error in _UNKNOWN:
        return Broken(f"{method} answered {status}")
    if error in _PASSING:
        return Limited(method, AGAIN)
    needed = data.get("needed") if isinstance(data, dict) else None
    return Refused(method, error, needed if isinstance(needed, str) else "")


def _after(headers: Mapping[str, str]) -> timedelta:
    try:
        seconds = float(headers["Retry-After"])
    except (KeyError, ValueError):
        return LIMITED
    # Less than a second would be tried again before Slack has counted it.
    return timedelta(seconds=min(max(seconds, 1.0), 3600.0)) if math.isfinite(seconds) else LIMITED


def _identity(answer: Mapping[str, Any]) -> Identity:
    team, bot_user, url = answer.get("team_id"), answer.get("user_id"), answer.get("url")
    if not isinstance(team, str) or not isinstance(bot_user, str) or not isinstance(url, str):
        raise Broken("auth.test answered without who we are")
    return Identity(team, bot_user, f"{url.rstrip('/')}/")


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
