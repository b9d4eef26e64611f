"""Slack as the herald sees it: channels and direct messages to post to.

Each call is sent once. What Slack refuses becomes a sentence that an organiser understands and that names the cure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.direct import DirectChannels
from bot.herald import Busy, Gone, Hindered, Rejected, Unreachable
from bot.ledger import Account, Receipt, Room, Unsaved
from bot.messages import DeliveryKey, Message
from bot.slack import render
from bot.slack.clients import AGAIN, Broken, Clients, Limited, NoToken, Refused

log = logging.getLogger(__name__)

SKEW = timedelta(minutes=5)
"""How far our clock may be ahead of Slack's, whose time a message is looked for by."""
PATIENCE = 5.0
"""Seconds to wait where Slack asked to; for longer, whoever waits gives way to other workspaces."""

AT_ONCE = 10
"""Sends to one workspace that are worth being under way together: two seconds' worth. More would only wait here, with
words that grow old, and in the way of other workspaces."""

_BLINK = 0.001
"""The shortest sleep: a remainder of 1e-17 s would never pass."""
_MOST = 1000
"""So many gates are remembered before those that nobody waits for are dropped; each person is a channel. And so many
look-backs that were stopped."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POST, _OPEN, _HISTORY = "chat.postMessage", "conversations.open", "conversations.history"

_INVITE = "type /invite there and choose me"
_GONE = frozenset({"user_disabled", "user_not_found"})
_CLOSED = frozenset({"cannot_dm_bot", "cannot_message_user", "user_is_bot", "user_is_restricted",
                     "user_not_visible"})
_ADMIN = frozenset({"access_denied", "accesslimited", "ekm_access_denied", "enterprise_is_restricted", "no_permission",
                    "org_login_required", "team_access_not_granted", "two_factor_setup_required"})


# --- pace -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """So many a second in the long run, and `burst` at once after a rest."""

    a_second: float
    burst: int = 1


# docs: apis/web-api/rate-limits. "One message per second per channel", where short bursts are allowed that we do not
# need; and "several hundred messages per minute" for a workspace, of which we take that it is 300: in no minute do we
# send more than 296.
CHANNEL = Rate(1.0)
WORKSPACE: Mapping[str, Rate] = {
    _POST: Rate(4.8, 8),
    _OPEN: Rate(0.75, 5),       # tier 3: 50 a minute
    _HISTORY: Rate(0.75, 5),    # tier 3; for some apps 1 a minute, of which the 429 tells
}


@dataclass(eq=False)
class _Gate:
    rate: Rate
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    """First come, first served."""
    users: int = 0
    closed: float = 0.0
    """Until then, because of a 429."""
    full: float = -float("inf")
    """When all that was taken is made up for."""

    def pause(self, now: float) -> float:
        """Seconds until one may pass."""
        return max(self.full - (self.rate.burst - 1) / self.rate.a_second, self.closed) - now

    def take(self, now: float) -> None:
        self.full = max(self.full, now) + 1 / self.rate.a_second

    def idle(self, now: float) -> bool:
        return not self.users and max(self.full, self.closed) <= now


class Pace:
    """Turns to call a method: each workspace has its own, as Slack counts them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._gates: dict[tuple[str, str, str], _Gate] = {}
        self.waited = 0.0
        """Seconds, of all callers together."""

    async def turn(self, workspace: str, method: str, channel: str | None = None) -> None:
        """Returns when a call may be sent. Who gives up has taken nothing. Raises Busy when Slack has asked to wait
        longer than `PATIENCE`."""
        gates = [self._gate(workspace, method)]
        if channel is not None:
            gates.insert(0, self._gate(workspace, method, channel))
        for gate in gates:
            gate.users += 1
        began = self._monotonic()
        try:
            await self._pass(gates, gates[-1])
        finally:
            self.waited += self._monotonic() - began
            for gate in gates:
                gate.users -= 1

    async def _pass(self, gates: list[_Gate], whole: _Gate, number: int = 0) -> None:
        if number == len(gates):
            now = self._monotonic()
            for gate in gates:
                gate.take(now)
            return
        gate = gates[number]
        async with gate.queue:
            while True:
                now = self._monotonic()
                if (closed := whole.closed - now) > PATIENCE:
                    raise Busy(timedelta(seconds=closed))
                if (pause := gate.pause(now)) <= 0:
                    break
                await self._sleep(max(pause, _BLINK))
            await self._pass(gates, whole, number + 1)

    def close(self, workspace: str, method: str, after: timedelta) -> None:
        """Slack has asked to wait."""
        gate = self._gate(workspace, method)
        gate.closed = max(gate.closed, self._monotonic() + after.total_seconds())

    def closing(self, workspace: str, method: str) -> timedelta:
        """How long it stays closed; zero when it is open."""
        gate = self._gates.get((workspace, method, ""))
        return timedelta(seconds=max(gate.closed - self._monotonic(), 0.0) if gate is not None else 0.0)

    def _gate(self, workspace: str, method: str, channel: str = "") -> _Gate:
        key = workspace, method, channel
        if key not in self._gates:
            if len(self._gates) >= _MOST:
                now = self._monotonic()
                self._gates = {key: gate for key, gate in self._gates.items() if not gate.idle(now)}
            self._gates[key] = _Gate(CHANNEL if channel else WORKSPACE[method])
        return self._gates[key]


# --- the platform -----------------------------------------------------------------------------------------------------


class _Stale(Busy):
    """Slack does not know its cursor any more: to begin anew."""


class SlackPlatform:
    def __init__(self, clients: Clients, direct: DirectChannels, *, monotonic: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clients = clients
        self._channels = direct
        self.pace = Pace(monotonic, sleep)
        self._looked: dict[tuple[str, str, DeliveryKey], tuple[str, str]] = {}
        """How far a look-back came that Slack stopped: from when on it looked, and the next page."""
        self._forgotten: set[tuple[str, str]] = set()
        """People whose channel turned out not to be ours; once each, so that nobody goes round in a circle."""

    async def ready(self, to: Room | Account) -> None:
        """Of a workspace that we have not posted to yet it also asks who we are there, so that the post is one call."""
        try:
            await self._clients.identity(to.workspace)
        except Broken:
            raise Busy(AGAIN) from None
        except (Refused, Limited, NoToken) as refused:
            raise await self._why(to, refused) from None
        await self.pace.turn(to.workspace, _POST, to.channel if isinstance(to, Room) else to.user)

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        try:
            url = (await self._clients.identity(to.workspace)).url
        except Broken:
            # Nothing is posted yet, so nothing is unknown.
            raise Busy(AGAIN) from None
        except (Refused, Limited, NoToken) as refused:
            raise await self._why(to, refused) from None
        # To a person's id Slack posts in their direct messages, which need not be opened for it.
        place = to.channel if isinstance(to, Room) else to.user
        posted = await self._call(to, _POST, json={"channel": place, **render.message(message, key)})
        channel, ts = _text(posted, "channel"), _text(posted, "ts")
        if isinstance(to, Account):
            await self._keep(to, channel)
        return _receipt(url, channel, ts)

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        try:
            me = await self._clients.identity(to.workspace)
        except (Refused, Limited, NoToken) as refused:
            raise await self._why(to, refused, _HISTORY) from None
        # For a person whose channel we do not know another process may have opened it, posted, and died before it kept
        # the id: opening it again gives the same channel.
        channel = to.channel if isinstance(to, Room) else await self._direct(to)
        place, oldest = (to.workspace, channel, key), f"{max((since - SKEW - _EPOCH).total_seconds(), 0):.6f}"
        began, cursor = self._looked.pop(place, (oldest, ""))
        if began != oldest:
            cursor = ""
        while True:
            try:
                # Without a limit, because Slack gives some apps a hundred and others fifteen, and refuses more.
                page = await self._call(to, _HISTORY, params={
                    "channel": channel, "oldest": oldest, **({"cursor": cursor} if cursor else {})})
            except _Stale:
                raise
            except Busy:
                # An app that may read one page a minute would come no further if it began anew each time.
                if len(self._looked) >= _MOST:
                    self._looked.clear()
                self._looked[place] = oldest, cursor
                raise
            for found in _objects(page, "messages"):
                if found.get("user") == me.bot_user and render.carries(found, key):
                    return _receipt(me.url, channel, _text(found, "ts"))
            cursor = _next(page)
            if not cursor:
                return None

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise Rejected("Slack has no roles to give")

    # --- direct messages ----------------------------------------------------------------------------------------------

    async def _direct(self, to: Account) -> str:
        """The channel of the person's direct messages, opened in its turn when it is not known."""
        known = await self._channels.find(to)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(PATIENCE):
                await self.pace.turn(to.workspace, _OPEN)
        except TimeoutError:
            raise Busy(AGAIN) from None
        channel = _text(_object((await self._call(to, _OPEN, json={"users": to.user})).get("channel")), "id")
        await self._keep(to, channel)
        return channel

    async def _keep(self, to: Account, channel: str) -> None:
        """Whatever becomes of it, a post that is out has its receipt."""
        try:
            if await self._channels.find(to) != channel:
                await self._channels.keep(to, channel)
        except Unsaved:
            log.warning("The direct messages of a person in workspace %s could not be kept", to.workspace)

    # --- refusals -----------------------------------------------------------------------------------------------------

    async def _call(self, to: Room | Account, method: str, *, json: Mapping[str, object] | None = None,
                    params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        if closing := self.pace.closing(to.workspace, method):
            raise Busy(closing)
        try:
            return await self._clients.call(to.workspace, method, json=json, params=params)
        except (Refused, Limited, NoToken) as refused:
            raise await self._why(to, refused, method) from None

    async def _why(self, to: Room | Account, refused: Refused | Limited | NoToken, method: str = "") -> Exception:
        """What the herald is told."""
        if isinstance(refused, Limited):
            if refused.method in WORKSPACE:
                log.warning("Slack asks to wait %.0f s in workspace %s: %s", refused.after.total_seconds(),
                            to.workspace, refused.method)
                self.pace.close(to.workspace, refused.method, refused.after)
            return Busy(refused.after)
        if isinstance(refused, NoToken):
            return Hindered(str(refused))
        error = refused.error
        if error == "invalid_cursor":
            return _Stale(AGAIN)
        if error == "missing_scope":
            return Hindered(f"I lack the scope {refused.needed or 'that this needs'}: add it on the page OAuth & "
                            "Permissions of the app, then install the app again")
        if error in _ADMIN:
            return Hindered(f"the settings of the workspace keep me out ({error}): an admin of the workspace must "
                            "allow the app")
        known = await self._why_not_direct(to, error, method) if isinstance(to, Account) else _why_not_room(error)
        if known is not None:
            return known
        log.error("Slack refused what should be right: %s", refused)
        return Rejected(f"Slack refused what I sent ({error}): this is a mistake in Ninety, please report it")

    async def _why_not_direct(self, to: Account, error: str, method: str) -> Exception | None:
        if error in _GONE:
            return Gone("the person's account is not active in the workspace any more")
        if error in _CLOSED:
            return Unreachable("the person takes no direct messages from me")
        if error == "messages_tab_disabled":
            # It is the whole app that takes no messages then, not this person.
            return Hindered("the app has no tab for messages: switch it on at App Home in its settings on Slack, or "
                            "make the app anew from the manifest")
        if error.startswith("restricted_action"):
            return Hindered("the settings of the workspace do not let me write direct messages: an admin must allow it")
        person = to.workspace, to.user
        if error == "channel_not_found" and method == _HISTORY and person not in self._forgotten:
            # It is the channel of another app, whose token we had before: the next time our own is opened.
            self._forgotten.add(person)
            await self._channels.forget(to)
            return Busy(AGAIN)
        if error == "channel_not_found":
            # So chat.postMessage says of a person that we cannot see, and does not say why.
            return Gone("the person is not in the workspace any more") if await self._has_left(to) else \
                Unreachable("the person takes no direct messages from me")
        return None

    async def _has_left(self, to: Account) -> bool:
        try:
            answer = await self._clients.call(to.workspace, "users.info", params={"user": to.user})
        except Refused as refused:
            return refused.error == "user_not_found"
        except (Limited, NoToken, Broken):
            raise Busy(AGAIN) from None
        return _object(answer.get("user")).get("deleted") is True


def _why_not_room(error: str) -> Exception | None:
    if error == "not_in_channel":
        return Hindered(f"I am not in the channel: {_INVITE}")
    if error == "channel_not_found":
        # Slack does not tell a private channel that we were put out of from one that is deleted.
        return Hindered(f"I cannot see the channel: if it is private, {_INVITE}; if it is deleted, nothing can be "
                        "posted to its cohort any more")
    if error == "is_archived":
        return Hindered(f"the channel is archived: unarchive it, and {_INVITE}")
    if error.startswith("restricted_action"):
        return Hindered("the settings of the channel do not let me post there: an admin of the workspace can allow me "
                        "to, under Posting permissions")
    return None


def _receipt(url: str, channel: str, ts: str) -> Receipt:
    seconds, _, micros = ts.partition(".")
    try:
        at = _EPOCH + timedelta(seconds=int(seconds), microseconds=int(micros.ljust(6, "0")[:6]))
    except (ValueError, OverflowError):
        raise Broken("answered with a ts that is no time") from None
    return Receipt(ts, f"{url}archives/{channel}/p{ts.replace('.', '')}", at)


# An answer that is not what Slack promises says nothing about what was done.


def _object(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise Broken("answered with no object")
    return answer


def _objects(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    values = answer.get(name)
    if not isinstance(values, list):
        raise Broken(f"answered without {name}")
    return [_object(each) for each in values]


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise Broken(f"answered without {name}")
    return value


def _next(page: Mapping[str, Any]) -> str:
    metadata = page.get("response_metadata")
    cursor = metadata.get("next_cursor") if isinstance(metadata, dict) else None
    if not cursor and page.get("has_more"):
        raise Broken("said there is more, and not where")
    return cursor if isinstance(cursor, str) else ""
