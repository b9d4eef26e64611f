"""Discord as the herald sees it: rooms and direct messages to post to, and roles to give.

Each call is sent once. What Discord refuses becomes a sentence that an organiser understands and that names the cure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from bot.direct import DirectChannels
from bot.discord import render
from bot.discord.rest import BadToken, Broken, Limited, Refused, Rest
from bot.herald import Busy, Gone, Hindered, Rejected, Unreachable
from bot.ledger import Account, Receipt, Room
from bot.messages import DeliveryKey, Message, tag

log = logging.getLogger(__name__)

SKEW = timedelta(minutes=5)
"""How far our clock may be ahead of Discord's, whose time a message is looked for by."""
PAGE = 100
"""Messages; the most that Discord gives at once."""
ARCHIVE = 10_080
"""Minutes of silence after which a thread leaves the list: a week, the longest that Discord offers."""
THREAD = 5.0
"""Seconds to open a thread. The message is out by then, and its receipt must not wait."""
AGAIN = timedelta(seconds=5)
"""To wait when a channel for direct messages could not be opened and nobody knows why."""
TOO_FAST_FOR = timedelta(minutes=10)
"""To wait when Discord says that direct messages are opened too fast; how long it does not say."""

AT_ONCE = 64
"""Sends that are worth being under way together: fifty a second at 1.2 s each."""
PATIENCE = 30.0
"""Seconds that somebody waits for a channel to be opened, less than `herald.WAIT`. Whose turn is later comes back then:
at one a second not even half of those under way wait here, and nobody whose channel is known waits for them."""

_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
"""Where the milliseconds in Discord's ids begin (docs: reference#snowflakes)."""
_MESSAGES = "/channels/{channel}/messages"
_OPEN = "/users/@me/channels"

# docs: topics/opcodes-and-status-codes#json
_UNKNOWN_CHANNEL, _UNKNOWN_GUILD, _UNKNOWN_MEMBER, _UNKNOWN_ROLE, _UNKNOWN_USER = 10003, 10004, 10007, 10011, 10013
_QUARANTINED, _TOO_FAST = 20026, 40003
_NO_ACCESS, _CLOSED, _NO_PERMISSION, _INVALID_ROLE, _INVALID_RECIPIENT = 50001, 50007, 50013, 50028, 50033
_NOTHING_IN_COMMON, _NEEDS_TWO_FACTORS = 50278, 60003
_HAS_THREAD, _LOCKED, _AUTOMOD = 160004, 160005, 200000

_OUTSIDE = "I am no longer in the server: invite me again with the link that `ninety doctor discord` prints"
_INVALID = ("the token is not valid any more: copy a new one from the page Bot of the application in Discord's "
            "developer portal to the settings, and start me again")
_FLAGGED = ("Discord has stopped me as a suspected sender of spam: whoever owns the application can appeal at "
            "https://dis.gd/app-quarantine")

_Answer: TypeAlias = Rejected | Hindered | Busy


class DiscordPlatform:
    """`opens` is the least time between two openings of channels for direct messages: Discord quarantines bots that
    opened 20 to 50 quickly."""

    def __init__(self, rest: Rest, direct: DirectChannels, opens: timedelta = timedelta(seconds=1), *,
                 monotonic: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._rest = rest
        self._channels = direct
        self._opens = opens.total_seconds()
        self._monotonic = monotonic
        self._sleep = sleep
        self._door = asyncio.Lock()
        """Channels for direct messages are opened one by one, first come, first served."""
        self._next_opening = -float("inf")
        self._queue = 0
        """People who wait for theirs."""
        self._booked = -float("inf")
        """When the last of those who were sent away comes back."""
        self._found: dict[str, str | _Answer] = {}
        """The channel of a person, or why it was not opened, as of their turn; their post goes there, or says it."""
        self._forgotten: set[str] = set()
        """People whose channel turned out not to be ours; once each, so that nobody goes round in a circle."""
        self._myself: str | None = None

    async def ready(self, to: Room | Account) -> None:
        """For a person that we never wrote to it also opens the channel, so that the post is one call."""
        if isinstance(to, Room):
            channel = to.channel
        else:
            self._found.pop(to.user, None)
            try:
                channel = self._found[to.user] = await self._direct(to)
            except (Rejected, Hindered, Busy) as answer:
                self._found[to.user] = answer
                return
        await self._rest.turn("POST", _MESSAGES, channel=channel)

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        payload = {**render.message(message, key), "nonce": tag(key), "enforce_nonce": True}
        channel = await self._channel(to)
        try:
            posted = await self._rest.call("POST", _MESSAGES, channel=channel, json=payload)
        except (Refused, Limited) as refused:
            raise await self._why(to, channel, refused) from None
        receipt = _receipt(to, channel, posted)
        if message.thread is not None and isinstance(to, Room):
            await self._open_thread(channel, receipt.message, message.thread)
        return receipt

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        # For a person whose channel we do not know another process may have opened it, posted, and died before it kept
        # the id: opening it again gives the same channel.
        channel = await self._channel(to)
        try:
            me = await self._me()
            newest = max((since - SKEW - _EPOCH) // timedelta(milliseconds=1), 0) << 22
            while True:
                # Discord gives the page next to `after`, and within it the newest first.
                page = _objects(await self._rest.call("GET", _MESSAGES, channel=channel,
                                                      params={"after": str(newest), "limit": str(PAGE)}))
                for found in page:
                    if _text(_object(found.get("author")), "id") == me and render.carries(found, key):
                        return _receipt(to, channel, found)
                after, newest = newest, max([newest, *(int(_text(found, "id")) for found in page)])
                if len(page) < PAGE or newest == after:
                    break
            if isinstance(to, Room) and not page:
                await self._see_that_history_is_shown(channel, newest)
        except (Refused, Limited) as refused:
            raise await self._why(to, channel, refused, looking=True) from None
        return None

    async def award(self, to: Account, room: Room, role: str) -> None:
        try:
            await self._rest.call("PUT", "/guilds/{guild}/members/{user}/roles/{role}", guild=room.workspace,
                                  user=to.user, role=role)
        except (Refused, Limited) as refused:
            raise await self._why_no_role(room, role, refused) from None

    # --- channels -----------------------------------------------------------------------------------------------------

    async def _channel(self, to: Room | Account) -> str:
        if isinstance(to, Room):
            return to.channel
        found = self._found.pop(to.user, None)
        if isinstance(found, Exception):
            raise found
        return found or await self._direct(to)

    async def _direct(self, to: Account) -> str:
        """The channel of the person's direct messages, opened in its turn when it is not known. Raises Busy when that
        is far."""
        if (known := await self._channels.find(to)) is not None:
            return known
        now = self._monotonic()
        wait = max(self._next_opening - now, 0.0) + self._queue * self._opens
        if wait > PATIENCE:
            # Each at an instant of their own, one after the other.
            self._booked = max(self._booked, now + wait) + self._opens
            raise Busy(timedelta(seconds=self._booked - now))
        self._queue += 1
        try:
            return await self._opened(to)
        finally:
            self._queue -= 1

    async def _opened(self, to: Account) -> str:
        async with self._door:
            if (known := await self._channels.find(to)) is not None:
                # Whoever stood before us in the queue was after the same person.
                return known
            while (wait := self._next_opening - self._monotonic()) > 0:
                await self._sleep(max(wait, 0.001))
            await self._rest.turn("POST", _OPEN)
            try:
                answer = await self._rest.call("POST", _OPEN, json={"recipient_id": to.user})
                channel = _text(_object(answer), "id")
            except Broken:
                # Nothing is posted yet, so nothing is unknown.
                raise Busy(AGAIN) from None
            except (Refused, Limited) as refused:
                if isinstance(refused, Refused) and refused.code == _TOO_FAST:
                    self._next_opening = self._monotonic() + TOO_FAST_FOR.total_seconds()
                raise await self._why_not_direct(to, refused) from None
            finally:
                self._next_opening = max(self._next_opening, self._monotonic() + self._opens)
            await self._channels.keep(to, channel)
        return channel

    async def _me(self) -> str:
        if self._myself is None:
            self._myself = _text(_object(await self._rest.call("GET", "/users/@me")), "id")
        return self._myself

    async def _open_thread(self, channel: str, message: str, name: str) -> None:
        """Whatever becomes of it, the message is out: a failure is a line in the log."""
        try:
            async with asyncio.timeout(THREAD):
                await self._rest.call("POST", "/channels/{channel}/messages/{message}/threads", channel=channel,
                                      message=message,
                                      json={"name": render.thread_name(name), "auto_archive_duration": ARCHIVE})
        except Refused as refused:
            if refused.code == _HAS_THREAD:
                return
            cure = ": give me the permission Create Public Threads there" \
                if refused.code in (_NO_PERMISSION, _NO_ACCESS) else ""
            log.warning("No thread below message %s in channel %s (%s)%s", message, channel, refused, cure)
        except (Limited, Broken, TimeoutError) as error:
            log.warning("No thread below message %s in channel %s (%s)", message, channel,
                        str(error) or "no answer in time")

    async def _see_that_history_is_shown(self, channel: str, message: int) -> None:
        """Without Read Message History Discord lists no messages and does not say why (docs: get-channel-messages), and
        what is not seen would be sent again. To ask for one message, be there one or not, is then refused (403)."""
        try:
            await self._rest.call("GET", "/channels/{channel}/messages/{message}", channel=channel,
                                  message=str(message))
        except Refused as refused:
            if refused.status == 403:
                raise

    # --- refusals -----------------------------------------------------------------------------------------------------

    async def _why(self, to: Room | Account, channel: str, refused: Refused | Limited, *, looking: bool = False) \
            -> Exception:
        """What the herald is told of a call to the channel, which was to post there or to look through it."""
        if isinstance(to, Account):
            return await self._why_not_direct(to, refused, channel)
        if isinstance(refused, Limited):
            return Busy(refused.after)
        here = f"<#{channel}>"
        if refused.code == _NO_PERMISSION:
            return Hindered(
                f"Discord does not let me read in {here}: give me the permission Read Message History there" if looking
                else f"Discord does not let me post in {here}: give me the permission Send Messages there (if it is a "
                "thread, Send Messages in Threads)")
        if refused.code == _NO_ACCESS:
            permissions = "View Channel and Read Message History" if looking else "View Channel"
            return await self._why_no_access(to, f"I cannot see {here}: give me the permission {permissions} there")
        if refused.code == _UNKNOWN_CHANNEL:
            return Rejected(f"the channel {here} is deleted: nothing can be posted to its cohort any more")
        if refused.code == _UNKNOWN_GUILD:
            return Hindered(_OUTSIDE)
        if refused.code == _LOCKED:
            return Hindered(f"the thread {here} is locked: unlock it, or give me the permission Manage Threads")
        if refused.code == _AUTOMOD:
            return Hindered(f"AutoMod blocks my messages in {here}: let one of my roles pass its rules, in its "
                            "settings")
        return _other(refused)

    async def _why_no_access(self, room: Room, inside: str) -> Exception:
        """A server that shut us out and a channel that hides from us answer with the same code."""
        try:
            await self._rest.call("GET", "/guilds/{guild}", guild=room.workspace)
        except BadToken as bad:
            return _other(bad)
        except Refused:
            return Hindered(_OUTSIDE)
        except (Limited, Broken):
            return Hindered(f"{inside}; or, if I am not in the server, invite me again")
        return Hindered(inside)

    async def _why_not_direct(self, to: Account, refused: Refused | Limited, channel: str | None = None) -> Exception:
        """`channel` is None when there was none yet, and it was refused to open one."""
        if isinstance(refused, Limited):
            return Busy(refused.after)
        if refused.code in (_UNKNOWN_CHANNEL, _NO_ACCESS) and channel is not None and to.user not in self._forgotten:
            # The channel is another application's, whose token we had before: the next turn opens our own.
            self._forgotten.add(to.user)
            self._found.pop(to.user, None)
            await self._channels.forget(to)
            return Busy(AGAIN)
        if refused.code in (_NOTHING_IN_COMMON, _UNKNOWN_USER):
            return Gone("the person is in no server with me any more")
        if refused.code in (_CLOSED, _INVALID_RECIPIENT, _UNKNOWN_CHANNEL, _NO_ACCESS):
            return Unreachable("the person takes no direct messages from me")
        if refused.code == _TOO_FAST:
            return Busy(TOO_FAST_FOR)
        return _other(refused)

    async def _why_no_role(self, room: Room, role: str, refused: Refused | Limited) -> Exception:
        if isinstance(refused, Limited):
            return Busy(refused.after)
        permission = (f"I may not give the role <@&{role}>: give me the permission Manage Roles, and drag my own role "
                      "above it in the server's settings")
        if refused.code == _NO_PERMISSION:
            return Hindered(permission)
        if refused.code == _NO_ACCESS:
            return await self._why_no_access(room, permission)
        if refused.code == _UNKNOWN_GUILD:
            return Hindered(_OUTSIDE)
        if refused.code in (_UNKNOWN_MEMBER, _UNKNOWN_USER):
            return Gone("the person has left the server")
        if refused.code == _UNKNOWN_ROLE:
            return Rejected(f"the role {role} is deleted: choose another one")
        if refused.code == _INVALID_ROLE:
            return Rejected(f"the role <@&{role}> cannot be given by anybody: choose another one")
        if refused.code == _NEEDS_TWO_FACTORS:
            return Hindered("the server asks whoever gives roles for two-factor authentication: the owner of my "
                            "application must turn it on")
        return _other(refused)


def _other(refused: Refused) -> Exception:
    if isinstance(refused, BadToken):
        return Hindered(_INVALID)
    if refused.code == _QUARANTINED:
        return Hindered(_FLAGGED)
    log.error("Discord refused what should be right: %s", refused)
    return Rejected(f"Discord refused what I sent ({refused}): this is a mistake in Ninety, please report it")


def _receipt(to: Room | Account, channel: str, message: object) -> Receipt:
    id = _text(_object(message), "id")
    server = to.workspace if isinstance(to, Room) else "@me"
    return Receipt(id, f"https://discord.com/channels/{server}/{channel}/{id}",
                   _EPOCH + timedelta(milliseconds=int(id) >> 22))


# An answer that is not what Discord promises says nothing about what was done.


def _object(answer: object) -> Mapping[str, object]:
    if not isinstance(answer, dict):
        raise Broken("answered with no object")
    return answer


def _objects(answer: object) -> list[Mapping[str, object]]:
    if not isinstance(answer, list):
        raise Broken("answered with no list")
    return [_object(each) for each in answer]


def _text(answer: Mapping[str, object], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise Broken(f"answered without {name}")
    return value
