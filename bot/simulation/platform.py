"""A chat platform that answers as badly as real ones do, and remembers everything that was carried out.

A request leaves at once. It may be carried out at any time until `SEND` and the grace have passed, or the grace after
it was cut off, be that by a timeout or by the death of who sent it; so much the herald relies on (bot/sender.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from bot.herald import SEND, Busy, Gone, Hindered, Rejected, Unreachable
from bot.ledger import Account, Receipt, Room
from bot.messages import DeliveryKey, Message
from bot.sender import GRACE
from bot.simulation.knobs import Coverage, Knobs
from bot.simulation.loop import Dead, Loop, Process, Step

SKEW = timedelta(minutes=5)
"""How far back of `since` the adapters look (bot/slack/platform.py, bot/discord/platform.py)."""
LONGEST = SEND.total_seconds() + GRACE - 0.001


class ServerError(Exception):
    """5xx, or the line broke."""


@dataclass(eq=False)
class Request:
    """To post something, from when it leaves until it is carried out or never will be."""

    process: Process
    to: Room | Account
    key: DeliveryKey
    left: float
    answer: asyncio.Future[Receipt]
    carrying: Step | None = None
    """None: it was carried out, or never will be."""


@dataclass(frozen=True)
class Posted:
    key: DeliveryKey
    to: Room | Account
    receipt: Receipt


@dataclass
class Chat:
    """`leaves` and `carried` hear of each request to post."""

    loop: Loop
    random: Random
    knobs: Knobs
    coverage: Coverage
    at: Callable[[float], datetime]
    """The platform's own clock is right."""
    leaves: Callable[[Request], None]
    carried: Callable[[Request], None]
    posted: list[Posted] = field(default_factory=list)
    under_way: list[Request] = field(default_factory=list)
    awards: list[tuple[Account, str]] = field(default_factory=list)
    refused: set[DeliveryKey] = field(default_factory=set)
    """Of which a request was refused for good."""
    away_until: float = float("-inf")
    """An hour of the day."""
    over: bool = False

    def post(self, process: Process, to: Room | Account, key: DeliveryKey) -> Request:
        """It leaves."""
        if not process.alive or self.over:
            raise Dead
        loop, random, knobs = self.loop, self.random, self.knobs
        request = Request(process, to, key, loop.time(), loop.create_future())
        self.under_way.append(request)
        self.leaves(request)
        quick = random.uniform(0.02, 0.6)
        fate = random.random()
        if loop.now() < self.away_until:
            how = int(fate * 4)
            if how == 0:
                self._carry_out(request, quick, None)
                self.coverage.cut_replies += 1
            elif how == 1:
                self._answer(request, quick, ServerError("503"))
                self.coverage.server_errors += 1
            elif how == 2:
                self._answer(request, quick, ConnectionResetError())
                self.coverage.server_errors += 1
            else:
                self._swallow(request)
            return request

        def happens(share: float) -> bool:
            nonlocal fate
            fate -= share
            return fate < 0

        if happens(knobs.lost):
            self.coverage.cut_replies += 1
            self._carry_out(request, quick, None)
        elif happens(knobs.late):
            at = random.uniform(0, LONGEST)
            self._carry_out(request, at, at + quick)
        elif happens(knobs.swallowed):
            self.coverage.cut_replies += 1
            self._swallow(request)
        elif happens(knobs.broken):
            self.coverage.server_errors += 1
            error = random.choice((ServerError("500"), ServerError("502"), ConnectionResetError()))
            if random.random() < 0.5:
                self._carry_out(request, random.uniform(0, quick), None)
            self._answer(request, quick, error)
        elif happens(knobs.busy):
            self.coverage.busy += 1
            self._answer(request, quick, Busy(timedelta(seconds=random.choice((1, 5, 30, 120)))))
        elif happens(knobs.hindered):
            self.coverage.hindered += 1
            self._answer(request, quick, Hindered("I may not write there: give me the permission"))
        elif happens(knobs.rejected):
            self._refuse(request, quick, Rejected("the channel is gone"))
        elif isinstance(to, Account) and happens(knobs.unreachable):
            self.coverage.unreachable += 1
            self._refuse(request, quick, Unreachable("takes no direct messages") if random.random() < 0.7
                         else Gone("has left the workspace"))
        else:
            self._carry_out(request, quick, quick * random.uniform(1, 3))
        return request

    def _swallow(self, request: Request) -> None:
        """It will never be carried out, but nobody can know before it is too late for that."""
        def give_up() -> None:
            if request in self.under_way:
                self.under_way.remove(request)

        self._later(LONGEST, give_up)

    def _refuse(self, request: Request, after: float, error: Exception) -> None:
        self.refused.add(request.key)
        self._answer(request, after, error)

    def _carry_out(self, request: Request, after: float, answered_after: float | None) -> None:
        def carry_out() -> None:
            request.carrying = None
            self.under_way.remove(request)
            receipt = Receipt(f"m{len(self.posted) + 1}", "", self.at(self.loop.now()))
            self.posted.append(Posted(request.key, request.to, receipt))
            self.coverage.posts += 1
            self.carried(request)
            if answered_after is not None:
                self._later(answered_after - after, _settle, request.answer, receipt)

        request.carrying = self._later(after, carry_out)

    def _answer(self, request: Request, after: float, error: Exception) -> None:
        """A no, or one that means nothing."""
        def say() -> None:
            if request.carrying is None and request in self.under_way:
                self.under_way.remove(request)
            _settle(request.answer, error)

        self._later(after, say)

    def _later(self, after: float, call: Callable[..., object], *args: object) -> Step:
        # Not in the context of who asks: it may be dead by then.
        return self.loop.call_later(after, call, *args, context=_OUTSIDE)

    def cut(self, request: Request) -> None:
        """Nobody waits for the answer any more."""
        if request not in self.under_way:
            return
        step, limit = request.carrying, self.loop.time() + GRACE - 0.001
        if step is None:
            self.under_way.remove(request)
            return
        if step.when() > limit:
            step.cancel()
            if self.random.random() < 0.4:
                request.carrying = None
                self.under_way.remove(request)
                return
            callback = step._callback
            request.carrying = self._later(self.random.uniform(0, limit - self.loop.time()), callback)
        self.coverage.delayed += 1

    def cut_all(self, process: Process) -> None:
        """It has died."""
        for request in [request for request in self.under_way if request.process is process]:
            self.cut(request)


_OUTSIDE = copy_context()


def _settle(answer: asyncio.Future[Receipt], what: Receipt | Exception) -> None:
    with suppress(asyncio.InvalidStateError):
        if isinstance(what, Exception):
            answer.set_exception(what)
            answer.exception()      # nobody may be there to take it
        else:
            answer.set_result(what)


@dataclass(frozen=True)
class Door:
    """The platform as one process has it: `bot.herald.Platform`."""

    chat: Chat
    process: Process

    async def ready(self, to: Room | Account) -> None:
        random = self.chat.random
        fate = random.random() - self.chat.knobs.queue
        if fate < 0:
            await asyncio.sleep(random.uniform(1, 45))
        elif fate < 0.01:
            raise ServerError("the channel could not be opened")
        elif fate < 0.3:
            await asyncio.sleep(random.uniform(0, 0.3))

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        request = self.chat.post(self.process, to, key)
        try:
            return await request.answer
        except asyncio.CancelledError:
            self.chat.cut(request)
            raise

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        chat, random = self.chat, self.chat.random
        fate = random.random()
        if chat.loop.now() < chat.away_until:
            await asyncio.sleep(random.choice((0.2, 60)))
            raise ServerError("503")
        if fate < 0.04:
            raise random.choice((ServerError("500"), Busy(timedelta(seconds=3)), Hindered("no history")))
        await asyncio.sleep(random.uniform(0.05, 12) if fate < 0.2 else random.uniform(0.05, 0.5))
        return next((one.receipt for one in chat.posted
                     if one.key == key and one.to == to and one.receipt.at >= since - SKEW), None)

    async def award(self, to: Account, room: Room, role: str) -> None:
        chat, random = self.chat, self.chat.random
        if not self.process.alive or chat.over:
            raise Dead
        await asyncio.sleep(random.uniform(0.05, 0.5))
        if chat.loop.now() < chat.away_until or random.random() < 0.05:
            raise ServerError("500")
        chat.awards.append((to, role))
        await asyncio.sleep(random.uniform(0.05, 0.5))
