"""Whose token a call goes out with, that it goes out once, and what becomes of tokens that end."""
# ruff: noqa: S106  # tokens of nobody

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation
from sqlalchemy import Connection

from bot.ledger import Unsaved
from bot.slack import clients as module
from bot.slack.clients import (
    AGAIN,
    LIMITED,
    RENEW,
    RENEW_AGAIN,
    BadToken,
    Broken,
    Clients,
    Identity,
    Limited,
    NotInstalled,
    NoToken,
    Refused,
)
from bot.slack.installations import Installations, cipher
from bot.store.database import Database
from scheduler.clock import VirtualClock
from tests.emulators.slack import Drop, Fail, Slack, Throttle
from tests.emulators.slack_methods import TOKEN_LIVES

T = TypeVar("T")
MONDAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
KEY = Fernet.generate_key().decode()


class World:
    """An emulated Slack, and the clients of many workspaces of it."""

    def __init__(self, slack: Slack, store: Installations, clients: Clients, clock: VirtualClock) -> None:
        self.slack, self.store, self.clients, self.clock = slack, store, clients, clock

    async def install(self, team: str, bot_user: str = "UBOT") -> str:
        """The token."""
        self.slack.add_team(team, bot_user=bot_user)
        self.slack.add_channel(team, "C1")
        return await self.install_again(team)

    async def install_again(self, team: str) -> str:
        one = self.slack.teams[team]
        token = self.slack.grant(team)
        await self.store.async_save(Installation(
            app_id=self.slack.app_id, team_id=team, bot_token=token.value, bot_id=one.bot_id, bot_user_id=one.bot_user,
            bot_refresh_token=one.refresh, user_id="U1", installed_at=self.clock.now().timestamp(),
            bot_token_expires_at=None if token.expires is None else int(token.expires.timestamp())))
        return token.value

    async def say(self, team: str, text: str = "Hello") -> None:
        await self.clients.call(team, "chat.postMessage", json={"channel": "C1", "text": text})

    def said(self, team: str) -> list[str]:
        return [message.text for message in self.slack.history(team, "C1")]

    def calls(self) -> Counter[str]:
        return Counter(call.method for call in self.slack.calls)


@asynccontextmanager
async def world(database: Database, *, rotation: bool = False, secret: str | None = None,
                source: Installations | None = None) -> AsyncIterator[World]:
    clock = VirtualClock(MONDAY)
    async with Slack(now=clock.now, rotation=rotation) as slack:
        store = source or Installations(database, cipher(KEY))
        async with Clients(store, clock, slack.api_url, client_id=slack.client_id,
                           client_secret=secret or slack.client_secret) as clients:
            yield World(slack, store, clients, clock)


@asynccontextmanager
async def alone(token: str | None = None) -> AsyncIterator[tuple[Slack, Clients]]:
    """One workspace, T1, by its token."""
    async with Slack() as slack:
        slack.add_team("T1", "Acme", bot_user="UNINETY")
        slack.add_channel("T1", "C1")
        async with Clients(token or slack.grant("T1").value, VirtualClock(MONDAY), slack.api_url) as clients:
            yield slack, clients


# --- one workspace ----------------------------------------------------------------------------------------------------


async def test_the_token_tells_its_workspace_and_is_asked_once() -> None:
    async with alone() as (slack, clients):
        assert await asyncio.gather(*(clients.bot_user("T1") for _ in range(5))) == ["UNINETY"] * 5
        assert await clients.identity("T1") == Identity("T1", "UNINETY", "https://acme.slack.com/")
        client = await clients.of("T1")
        assert client.token == slack.teams["T1"].token.value  # type: ignore[union-attr]
        assert [call.method for call in slack.calls] == ["auth.test"]


async def test_one_token_serves_no_other_workspace() -> None:
    async with alone() as (_, clients):
        for asking in (clients.of, clients.identity, clients.bot_user):
            with pytest.raises(NotInstalled, match="install the app again"):
                await asking("T2")


async def test_a_token_that_slack_does_not_know_says_where_the_right_one_is() -> None:
    async with alone("xoxb-wrong") as (_, clients):
        with pytest.raises(BadToken) as refused:
            await clients.myself()
        assert str(refused.value) == (
            "Slack does not take NINETY_SLACK_BOT_TOKEN (invalid_auth): copy the Bot User OAuth Token, which begins "
            "with xoxb-, from the page OAuth & Permissions of the app, and start me again")


@pytest.mark.parametrize("token", ["xapp-1-A1-1-abc", "xoxp-1", "", "Bearer xoxb-1"])
def test_a_token_of_another_kind_is_refused_before_anybody_is_asked(token: str) -> None:
    with pytest.raises(BadToken, match="begins with xoxb-") as refused:
        Clients(token, VirtualClock(MONDAY))
    assert not token or token not in str(refused.value)


async def test_the_one_workspace_that_revokes_is_told_how_to_come_back() -> None:
    async with alone() as (slack, clients):
        await clients.bot_user("T1")
        slack.subscribed.clear()
        slack.revoke("T1")
        with pytest.raises(BadToken, match="token_revoked"):
            await clients.call("T1", "auth.test")
        await clients.revoked("T1", "")


async def test_when_slack_is_silent_the_token_is_not_called_bad() -> None:
    async with alone() as (slack, clients):
        slack.fault("auth.test", Fail(502), Drop(accepted=False), Throttle(1))
        for _ in range(2):
            with pytest.raises(Limited) as limited:
                await clients.of("T1")
            assert limited.value.after == AGAIN
        with pytest.raises(Limited) as limited:
            await clients.of("T1")
        assert limited.value.after == timedelta(seconds=1)


# --- many -------------------------------------------------------------------------------------------------------------


async def test_each_workspace_is_spoken_to_with_its_own_token(database: Database) -> None:
    async with world(database) as here:
        tokens = {team: await here.install(team, f"UBOT{team}") for team in ("T1", "T2", "T3")}
        await asyncio.gather(*(here.say(team, f"Hello {team}") for team in tokens for _ in range(3)))
        assert {team: here.said(team) for team in tokens} == {team: [f"Hello {team}"] * 3 for team in tokens}
        assert {team: (await here.clients.of(team)).token for team in tokens} == tokens
        assert await asyncio.gather(*(here.clients.bot_user(team) for team in tokens for _ in range(2))) == \
            [f"UBOT{team}" for team in tokens for _ in range(2)]
        assert here.calls()["auth.test"] == 3
        with pytest.raises(NotInstalled):
            await here.clients.of("T4")


async def test_a_token_saved_by_somebody_else_is_used_from_then_on(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        before = await here.clients.of("T1")
        here.slack.subscribed.clear()
        here.slack.revoke("T1")
        token = await here.install_again("T1")
        assert (before.token, (await here.clients.of("T1")).token) != (token, token)
        await here.say("T1")
        assert here.said("T1") == ["Hello"]


async def test_an_app_of_a_whole_enterprise_names_the_workspace_in_its_calls(database: Database) -> None:
    async with world(database) as here:
        token = await here.install("T1")
        await here.store.async_delete_all(enterprise_id=None, team_id="T1")
        await here.store.async_save(Installation(enterprise_id="E1", user_id="U1", bot_token=token,
                                                 is_enterprise_install=True))
        with pytest.raises(NotInstalled):
            await here.say("T1")
        await here.store.async_find_bot(enterprise_id="E1", team_id="T1", is_enterprise_install=True)
        await here.say("T1")
        assert here.slack.calls[-1].args["team_id"] == "T1"


async def test_an_installation_that_no_key_opens_says_which_setting_is_wrong(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
    store = Installations(database, cipher(Fernet.generate_key().decode()))
    async with world(database, source=store) as here:
        with pytest.raises(NoToken, match="NINETY_SECRET_KEY, or install the app again"):
            await here.clients.of("T1")


# --- one attempt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "said"), [
    (Drop(accepted=True), 1), (Drop(accepted=False), 0), (Fail(500), 0), (Fail(503), 0)])
async def test_a_call_of_which_nobody_knows_is_sent_once(database: Database, fault: Drop | Fail, said: int) -> None:
    async with world(database) as here:
        await here.install("T1")
        here.slack.fault("chat.postMessage", fault)
        with pytest.raises(Broken):
            await here.say("T1")
        # A second one would have gone through, for the fault is used up.
        assert len(here.said("T1")) == said


async def test_so_does_a_client_that_is_handed_out(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        here.slack.fault("chat.postMessage", Drop(accepted=True))
        client = await here.clients.of("T1")
        with pytest.raises(Exception, match="disconnected"):
            await client.chat_postMessage(channel="C1", text="Hello")
        assert here.said("T1") == ["Hello"]


async def test_a_429_is_not_waited_for_here(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        here.slack.fault("chat.postMessage", Throttle(7))
        with pytest.raises(Limited) as limited:
            await here.say("T1")
        assert (limited.value.method, limited.value.after) == ("chat.postMessage", timedelta(seconds=7))
        assert here.calls()["chat.postMessage"] == 1


@pytest.mark.parametrize(("said", "after"), [
    ("30", 30.0), ("0", 1.0), ("-5", 1.0), ("99999999", 3600.0), ("nan", LIMITED.total_seconds()),
    ("inf", LIMITED.total_seconds()), ("soon", LIMITED.total_seconds()), (None, LIMITED.total_seconds())])
def test_how_long_slack_asks_to_wait(said: str | None, after: float) -> None:
    assert module._after({} if said is None else {"Retry-After": said}) == timedelta(seconds=after)


async def test_a_missing_scope_is_named(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        assert here.slack.teams["T1"].token is not None
        here.slack.teams["T1"].token.scopes = frozenset({"commands"})
        with pytest.raises(Refused) as refused:
            await here.say("T1")
        assert (refused.value.error, refused.value.needed) == ("missing_scope", "chat:write")


async def test_no_log_and_no_error_quotes_a_token_or_what_is_said(
        database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with world(database, rotation=True) as here:
            token = await here.install("T1")
            here.slack.fault("chat.postMessage", None, Drop(accepted=True), Fail(500), Throttle(1))
            told = []
            for text in ("private words",) * 4 + (" ",):
                try:
                    await here.say("T1", text)
                except (Broken, Limited, Refused) as error:
                    told += [str(error), repr(error)]
                    assert error.__suppress_context__
            here.clock.reach(MONDAY + TOKEN_LIVES - RENEW)
            here.slack.fault("oauth.v2.access", Fail(500))
            await here.clients.of("T1")
            refresh = here.slack.teams["T1"].refresh or "none"
    assert len(told) >= 6
    for line in [*told, *(record.getMessage() + str(record.exc_text) for record in caplog.records)]:
        assert not any(secret in line for secret in (token, refresh, "private words", here.slack.client_secret))


# --- renewal ----------------------------------------------------------------------------------------------------------


async def test_a_token_that_ends_soon_is_renewed_once_for_twenty_callers_and_saved(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        other = await here.install("T2")
        here.clock.reach(MONDAY + TOKEN_LIVES - RENEW - timedelta(seconds=1))
        before = (await here.clients.of("T1")).token
        assert here.calls()["oauth.v2.access"] == 0
        here.clock.reach(MONDAY + TOKEN_LIVES - RENEW)
        tokens = {client.token for client in await asyncio.gather(*(here.clients.of("T1") for _ in range(20)))}
        assert here.calls()["oauth.v2.access"] == 1
        one = here.slack.teams["T1"]
        assert one.token is not None and tokens == {one.token.value} != {before}
        saved = await here.store.of("T1")
        assert saved is not None and (saved.bot_token, saved.bot_refresh_token, saved.bot_token_expires_at) == (
            one.token.value, one.refresh, int((here.clock.now() + TOKEN_LIVES).timestamp()))
        assert (saved.user_id, saved.bot_user_id, saved.installed_at) == ("U1", "UBOT", MONDAY.timestamp())
        untouched = await here.store.of("T2")
        assert untouched is not None and untouched.bot_token == other
        await here.clients.of("T1")
        assert here.calls()["oauth.v2.access"] == 1


async def test_workspaces_that_have_one_token_in_common_renew_it_once(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        own = await here.store.of("T1")
        assert own is not None
        await here.store.async_delete_all(enterprise_id=None, team_id="T1")
        await here.store.async_save(Installation(**{
            **vars(own), "team_id": None, "enterprise_id": "E1", "is_enterprise_install": True}))
        for team in ("T1", "T2"):
            await here.store.async_find_bot(enterprise_id="E1", team_id=team, is_enterprise_install=True)
        here.clock.reach(MONDAY + TOKEN_LIVES)
        clients = await asyncio.gather(*(here.clients.of(team) for team in ("T1", "T2") * 5))
        assert len({client.token for client in clients}) == 1
        assert here.calls() == {"oauth.v2.access": 1}


async def test_day_after_day_the_tokens_go_on(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        here.slack.limits = False
        for number in range(1, 9):
            here.clock.reach(MONDAY + number * timedelta(hours=11))
            await here.say("T1")
        assert here.calls()["oauth.v2.access"] == 8


async def test_who_is_cut_off_does_not_cut_off_the_renewal(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES)
        caller = asyncio.create_task(here.clients.of("T1"))
        while not here.clients._renewals:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        # Leaving waits for it; a new refresh token that is not saved would be the end of the installation.
        await here.clients.__aexit__(None, None, None)
        saved, one = await here.store.of("T1"), here.slack.teams["T1"]
        assert here.calls()["oauth.v2.access"] == 1
        assert saved is not None and one.token is not None and saved.bot_token == one.token.value


async def test_a_token_that_is_good_for_a_while_is_used_when_it_cannot_be_renewed(database: Database) -> None:
    async with world(database, rotation=True) as here:
        token = await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES - RENEW)
        here.slack.fault("oauth.v2.access", Fail(502), Throttle(1))
        assert (await here.clients.of("T1")).token == token
        # Not at each call anew.
        assert (await here.clients.of("T1")).token == token
        assert here.slack._faults["oauth.v2.access"]
        here.clock.reach(here.clock.now() + RENEW_AGAIN)
        assert (await here.clients.of("T1")).token == token
        assert not here.slack._faults["oauth.v2.access"]


async def test_a_token_that_has_ended_is_waited_for(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES)
        here.slack.fault("oauth.v2.access", Drop(accepted=False), Throttle(1))
        with pytest.raises(Limited) as limited:
            await here.say("T1")
        assert limited.value.after == AGAIN
        with pytest.raises(Limited) as limited:
            await here.say("T1")
        assert (limited.value.method, limited.value.after) == ("oauth.v2.access", timedelta(seconds=1))
        assert here.calls()["chat.postMessage"] == 0


async def test_what_cannot_be_renewed_says_what_to_look_at(database: Database) -> None:
    async with world(database, rotation=True, secret="wrong") as here:
        await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES)
        with pytest.raises(NoToken, match=r"\(bad_client_secret\): check NINETY_SLACK_CLIENT_ID and NINETY_SLACK_CL"):
            await here.clients.of("T1")


async def test_another_process_that_was_faster_has_renewed_for_us_too(database: Database) -> None:
    async with world(database, rotation=True) as here:
        await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES)
        stale = await here.store.of("T1")
        assert stale is not None
        async with Clients(here.store, here.clock, here.slack.api_url, client_id=here.slack.client_id,
                           client_secret=here.slack.client_secret) as other:
            token = (await other.of("T1")).token
        # We had read the row before the other wrote it.
        assert (await here.clients._unrenewed("T1", stale, NotInstalled())).bot_token == token
        assert here.calls() == {"oauth.v2.access": 1}


async def test_a_token_that_slack_ends_before_our_clock_does_is_renewed(database: Database) -> None:
    async with world(database, rotation=True) as here:
        token = await here.install("T1")
        here.slack.tokens[token].error = "token_expired"
        with pytest.raises(Limited) as limited:
            await here.say("T1")
        assert limited.value.after == AGAIN
        await here.say("T1")
        assert here.said("T1") == ["Hello"]


async def test_a_renewed_token_is_not_lost_to_a_busy_database(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_AGAIN", (0.0, 0.0))
    busy = Busy(database)
    async with world(database, rotation=True, source=Installations(busy, cipher(KEY))) as here:
        await here.install("T1")
        here.clock.reach(MONDAY + TOKEN_LIVES)
        # It reads before it renews: twice; then the first two attempts to save fail.
        busy.fails = [False, False, True, True]
        await here.say("T1")
        assert busy.fails == []
        assert here.calls()["oauth.v2.access"] == 1


class Busy:
    """A database that does not take each transaction."""

    def __init__(self, database: Database) -> None:
        self._database, self.fails = database, list[bool]()

    async def run(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        if self.fails and self.fails.pop(0):
            raise Unsaved
        return await self._database.run(work, reads=reads)


# --- revocation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["token_revoked", "account_inactive"])
async def test_a_revoked_token_is_deleted_when_slack_refuses_it(
        database: Database, error: str, caplog: pytest.LogCaptureFixture) -> None:
    async with world(database) as here:
        await here.install("T1")
        await here.install("T2")
        here.slack.subscribed.clear()
        here.slack.revoke("T1", error)
        with pytest.raises(NotInstalled, match="install the app again"):
            await here.say("T1")
        assert await here.store.of("T1") is None
        assert f"Workspace T1 does not take its token any more ({error}); it is deleted" in caplog.messages
        await here.say("T2")


async def test_a_token_that_may_be_good_elsewhere_is_kept(database: Database) -> None:
    async with world(database) as here:
        token = await here.install("T1")
        here.slack.tokens[token].error = "invalid_auth"
        with pytest.raises(NotInstalled):
            await here.say("T1")
        assert await here.store.of("T1") is not None


async def test_the_token_of_a_new_installation_survives_the_end_of_the_old_one(database: Database) -> None:
    async with world(database) as here:
        old = await here.install("T1")
        here.slack.subscribed.clear()
        here.slack.revoke("T1")
        new = await here.install_again("T1")
        refusal = await here.clients._why_dead("T1", old, "token_revoked")
        assert isinstance(refusal, Limited)
        saved = await here.store.of("T1")
        assert saved is not None and saved.bot_token == new


async def test_who_takes_the_app_away_is_forgotten(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        await here.install("T2")
        await here.clients.bot_user("T1")
        await here.clients.revoked("T1", "")
        with pytest.raises(NotInstalled):
            await here.clients.bot_user("T1")
        assert await here.clients.bot_user("T2") == "UBOT"


async def test_an_event_that_comes_late_does_not_end_a_new_installation(database: Database) -> None:
    async with world(database) as here:
        await here.install("T1")
        here.clock.reach(MONDAY + timedelta(minutes=5))
        await here.install_again("T1")
        await here.clients.revoked("T1", None, MONDAY + timedelta(minutes=1))
        await here.say("T1")
        await here.clients.revoked("T1", None, MONDAY + timedelta(minutes=5))
        with pytest.raises(NotInstalled):
            await here.say("T1")
