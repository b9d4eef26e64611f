"""Which workspaces have installed the app, with their tokens encrypted; and the installations that have begun.

Not the SDK's SQLAlchemy stores: they keep tokens as plain text, add rows at every save, and let one OAuth state be used
by two requests that come at once.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from logging import Logger
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    Text,
    and_,
    column,
    delete,
    select,
    table,
    update,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningDelete

from bot.direct import Database
from bot.settings import BadSettings
from scheduler.clock import Clock

log = logging.getLogger(__name__)

STATE_LIVES = timedelta(minutes=10)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# The same columns as in bot/store/tables.py, which makes the tables; instants are whole microseconds since 1970, UTC.
_INSTALLATION = table("slack_installation", column("team", String), column("enterprise", String), column("body", Text),
                      column("installed_at", BigInteger))
_STATE = table("slack_state", column("digest", String), column("expires", BigInteger))

_BOT = ("bot_token", "bot_refresh_token", "bot_token_expires_at")
"""Go together: a refresh token is of no use to another token."""
_USER = ("user_token", "user_refresh_token", "user_token_expires_at", "user_scopes")
_KEEP = ("app_id", "enterprise_name", "enterprise_url", "team_name", "bot_id", "bot_user_id", "bot_scopes",
         "incoming_webhook_url", "incoming_webhook_channel", "incoming_webhook_channel_id",
         "incoming_webhook_configuration_url", "token_type", "custom_values")

_MAKE_ONE = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class BadKey(BadSettings):
    """NINETY_SECRET_KEY, which Slack's tokens are encrypted with, is missing or malformed."""


class Unreadable(Exception):
    """The token of this workspace was encrypted with a key that I do not have: put that key back at the end of
    NINETY_SECRET_KEY, or install the app again"""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


def cipher(keys: str | None) -> MultiFernet:
    """From NINETY_SECRET_KEY: keys with commas between them, the newest first; what the others encrypted can be read
    still. Raises BadKey."""
    given = [key.strip() for key in (keys or "").split(",") if key.strip()]
    if not given:
        raise BadKey("NINETY_SECRET_KEY is not set, and Slack's tokens are kept encrypted only. Make a key, and keep "
                     f"it as you keep a password: {_MAKE_ONE}")
    fernets = []
    for number, key in enumerate(given, start=1):
        try:
            fernets.append(Fernet(key))
        except ValueError:
            which = "" if len(given) == 1 else f" number {number}"
            raise BadKey(f"The key{which} in NINETY_SECRET_KEY is not 32 bytes in url-safe base64. Make one with: "
                         f"{_MAKE_ONE}") from None
    return MultiFernet(fernets)


@dataclass(frozen=True)
class _Kept:
    team: str
    """Empty for an app that is installed to all of an enterprise."""
    enterprise: str
    installation: Installation
    teams: tuple[str, ...] = ()
    """Workspaces of the enterprise that the app was used from: a delivery knows its workspace alone."""


class Installations(AsyncInstallationStore):
    """One row for each workspace, or for an enterprise that installed the app to all of it.

    Ids of workspaces are unique in all of Slack, so one is found without its enterprise too, which it may join later.
    """

    def __init__(self, database: Database, cipher: MultiFernet) -> None:
        self._database = database
        self._cipher = cipher

    @property
    def logger(self) -> Logger:
        return log

    # --- what Bolt asks -----------------------------------------------------------------------------------------------

    async def async_save(self, installation: Installation) -> None:
        """What is there already and lacking here is kept."""
        team, enterprise = _key(installation.team_id, installation.enterprise_id, installation.is_enterprise_install)
        if not team and not enterprise:
            raise ValueError("an installation must name its workspace or its enterprise")

        def work(connection: Connection) -> None:
            before = self._readable(connection, team, enterprise)
            merged = installation if before is None else _merged(before.installation, installation)
            if team:
                # Before the workspace joined its enterprise it had a row without one.
                connection.execute(delete(_INSTALLATION).where(
                    _INSTALLATION.c.team == team, _INSTALLATION.c.enterprise != enterprise))
            self._write(connection, _Kept(team, enterprise, merged, before.teams if before else ()))

        await self._database.run(work)

    async def async_save_bot(self, bot: Bot) -> None:
        await self.async_save(Installation(user_id="", **vars(bot)))

    async def async_find_bot(self, *, enterprise_id: str | None, team_id: str | None,
                             is_enterprise_install: bool | None = False) -> Bot | None:
        found = await self._found(enterprise_id, team_id, is_enterprise_install)
        return found.to_bot() if found is not None and found.bot_token else None

    async def async_find_installation(self, *, enterprise_id: str | None, team_id: str | None,
                                      user_id: str | None = None,
                                      is_enterprise_install: bool | None = False) -> Installation | None:
        """With `user_id`: only if this person has installed it."""
        found = await self._found(enterprise_id, team_id, is_enterprise_install)
        return found if found is not None and user_id in (None, found.user_id) else None

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        await self._strip(team_id, enterprise_id, _BOT)

    async def async_delete_installation(self, *, enterprise_id: str | None, team_id: str | None,
                                        user_id: str | None = None) -> None:
        """With `user_id`: only the token of this person; the bot goes on."""
        if user_id is None:
            await self.async_delete_all(enterprise_id=enterprise_id, team_id=team_id)
        else:
            await self._strip(team_id, enterprise_id, _USER, user_id)

    async def async_delete_all(self, *, enterprise_id: str | None, team_id: str | None,
                               before: datetime | None = None) -> None:
        """`before`: only what was installed until then, for events that arrive after a new installation. An enterprise
        that installed the app to all of it keeps it when one workspace leaves."""
        team, enterprise = _key(team_id, enterprise_id)
        until = [] if before is None else [_INSTALLATION.c.installed_at <= _micros(before)]

        def work(connection: Connection) -> None:
            connection.execute(delete(_INSTALLATION).where(_is(team, enterprise), *until))
            org = self._readable(connection, "", enterprise) if team and enterprise else None
            if org is not None and team in org.teams:
                self._write(connection, _Kept("", enterprise, org.installation,
                                              tuple(one for one in org.teams if one != team)))

        await self._database.run(work)

    # --- what deliveries ask ------------------------------------------------------------------------------------------

    async def of(self, team: str) -> Installation | None:
        """The workspace's own, or of its enterprise if the app was used from the workspace. Raises Unreadable."""
        def work(connection: Connection) -> Installation | None:
            kept = self._serving(connection, team)
            return kept.installation if kept is not None and kept.installation.bot_token else None

        return await self._database.run(work, reads=True)

    async def forget(self, team: str, token: str) -> bool:
        """Deletes what `of` gives for the workspace if its token is this one still; else nothing, and False."""
        def work(connection: Connection) -> bool:
            kept = self._serving(connection, team, lock=True)
            if kept is None or kept.installation.bot_token != token:
                return False
            connection.execute(delete(_INSTALLATION).where(_is(kept.team, kept.enterprise)))
            return True

        return await self._database.run(work)

    async def renew(self) -> int:
        """Encrypts everything with the newest key, after which the older ones can be taken out of NINETY_SECRET_KEY.
        Returns how many rows could not be read."""
        def work(connection: Connection) -> int:
            unreadable = 0
            for row in connection.execute(select(_INSTALLATION).with_for_update()).all():
                try:
                    body = self._cipher.rotate(row.body.encode()).decode()
                except InvalidToken:
                    unreadable += 1
                    continue
                connection.execute(update(_INSTALLATION).values(body=body).where(_is(row.team, row.enterprise)))
            return unreadable

        return await self._database.run(work)

    # --- rows ---------------------------------------------------------------------------------------------------------

    async def _found(self, enterprise_id: str | None, team_id: str | None, everywhere: bool | None) \
            -> Installation | None:
        team, enterprise = _key(team_id, enterprise_id, everywhere)

        def work(connection: Connection) -> Installation | None:
            kept = self._row(connection, team, enterprise)
            if kept is None:
                return None
            if not team and team_id and team_id not in kept.teams:
                # Read anew under a lock: meanwhile its token may have been renewed.
                kept = self._row(connection, team, enterprise, lock=True)
                if kept is None:
                    return None
                self._write(connection, _Kept("", enterprise, kept.installation, (*kept.teams, team_id)))
            return kept.installation

        return await self._database.run(work)

    async def _strip(self, team_id: str | None, enterprise_id: str | None, names: Sequence[str],
                     user: str | None = None) -> None:
        """Takes these tokens away, and the row with them when no token is left."""
        team, enterprise = _key(team_id, enterprise_id)

        def work(connection: Connection) -> None:
            kept = self._readable(connection, team, enterprise)
            if kept is None and user is None:
                connection.execute(delete(_INSTALLATION).where(_is(team, enterprise)))
            if kept is None or user not in (None, kept.installation.user_id):
                return
            left = Installation(**{**vars(kept.installation), **dict.fromkeys(names)})
            if left.bot_token or left.user_token:
                self._write(connection, _Kept(kept.team, kept.enterprise, left, kept.teams))
            else:
                connection.execute(delete(_INSTALLATION).where(_is(kept.team, kept.enterprise)))

        await self._database.run(work)

    def _serving(self, connection: Connection, team: str, *, lock: bool = False) -> _Kept | None:
        if not team:
            return None
        own = self._row(connection, team, "", lock=lock)
        return own or next((kept for kept in self._rows(connection, _INSTALLATION.c.team == "", lock=lock)
                            if team in kept.teams), None)

    def _row(self, connection: Connection, team: str, enterprise: str, *, lock: bool = False) -> _Kept | None:
        return next(iter(self._rows(connection, _is(team, enterprise), lock=lock)), None)

    def _readable(self, connection: Connection, team: str, enterprise: str) -> _Kept | None:
        """To be written anew: what no key can read is as good as nothing, and must not keep anybody from installing."""
        try:
            return self._row(connection, team, enterprise, lock=True)
        except Unreadable:
            return None

    def _rows(self, connection: Connection, which: ColumnElement[bool], *, lock: bool) -> list[_Kept]:
        """The latest first."""
        asked = select(_INSTALLATION).where(which).order_by(_INSTALLATION.c.installed_at.desc())
        kept = []
        for row in connection.execute(asked.with_for_update() if lock else asked):
            try:
                body = json.loads(self._cipher.decrypt(row.body.encode()))
            except InvalidToken:
                raise Unreadable from None
            kept.append(_Kept(row.team, row.enterprise, Installation(**body["installation"]), tuple(body["teams"])))
        return kept

    def _write(self, connection: Connection, kept: _Kept) -> None:
        body = json.dumps({"installation": vars(kept.installation), "teams": kept.teams})
        values = {"body": self._cipher.encrypt(body.encode()).decode(),
                  "installed_at": round(kept.installation.installed_at * 1_000_000)}
        insert: sqlite.Insert | postgresql.Insert = sqlite.insert(_INSTALLATION) \
            if connection.dialect.name == "sqlite" else postgresql.insert(_INSTALLATION)
        connection.execute(insert.values(team=kept.team, enterprise=kept.enterprise, **values)
                           .on_conflict_do_update(index_elements=["team", "enterprise"], set_=values))


def _key(team: str | None, enterprise: str | None, everywhere: bool | None = False) -> tuple[str, str]:
    """What names the row; an app that is installed to all of an enterprise belongs to no workspace."""
    return "" if everywhere else team or "", enterprise or ""


def _is(team: str, enterprise: str) -> ColumnElement[bool]:
    return _INSTALLATION.c.team == team if team else and_(
        _INSTALLATION.c.team == "", _INSTALLATION.c.enterprise == enterprise)


def _merged(before: Installation, now: Installation) -> Installation:
    values: dict[str, Any] = dict(vars(now))
    values |= {name: getattr(before, name) for name in _KEEP if not values[name]}
    if not now.bot_token:
        values |= {name: getattr(before, name) for name in _BOT}
    if not now.user_id:
        values["user_id"] = before.user_id
    # To give a person's token another person's id would let the one act as the other.
    if not now.user_token and values["user_id"] == before.user_id:
        values |= {name: getattr(before, name) for name in _USER}
    return Installation(**values)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


# --- installations under way ------------------------------------------------------------------------------------------


class States(AsyncOAuthStateStore):
    """Each state is known by its digest only, lives for `STATE_LIVES` and is good for one use."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @property
    def logger(self) -> Logger:
        return log

    async def async_issue(self, *args: object, **kwargs: object) -> str:
        state, now = secrets.token_urlsafe(32), self._clock.now()

        def work(connection: Connection) -> None:
            connection.execute(delete(_STATE).where(_STATE.c.expires <= _micros(now)))
            connection.execute(plain_insert(_STATE).values(
                digest=_digest(state), expires=_micros(now + STATE_LIVES)))

        await self._database.run(work)
        return state

    async def async_consume(self, state: str | None) -> bool:
        if not state:
            return False
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            return connection.execute(_taking(state, now)).scalar_one_or_none() is not None

        return await self._database.run(work)


def _taking(state: str, now: datetime) -> ReturningDelete[tuple[str]]:
    """One statement, so that of two that come at once the database lets one have it."""
    return delete(_STATE).where(_STATE.c.digest == _digest(state), _STATE.c.expires > _micros(now)) \
        .returning(_STATE.c.digest)


def _digest(state: str) -> str:
    return sha256(state.encode(errors="replace")).hexdigest()
