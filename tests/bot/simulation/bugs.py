"""Eight bugs that a reasonable programmer could have written, each put into the real desk, herald, sender or rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

import bot.desk
import bot.herald
from bot.cohort.course import Place
from bot.desk import _Said, _Visit
from bot.herald import Herald, _Letter, _Settled, compose
from bot.ledger import Account, Claim, Cohort, Delivery, Lane, Member, Receipt, Room, State, Transaction
from bot.messages import Answers, DeliveryKey, Message
from bot.sender import SILENCE, Candidate, Right
from bot.simulation.knobs import Knobs
from bot.simulation.world import Parts
from bot.store.ledger import StoredLedger
from content.model import StepId


@dataclass(frozen=True)
class Bug:
    """`harm`: parts of what the simulator says of it, one of which is enough."""

    name: str
    harm: tuple[str, ...]
    parts: Parts = field(default_factory=Parts)
    patch: Callable[[pytest.MonkeyPatch], None] = lambda monkeypatch: None
    knobs: Knobs = field(default_factory=Knobs)

    def __str__(self) -> str:
        return self.name


class SendsBeforeItClaims(Herald):
    """What is due is read and said; then it is written down that it was."""

    async def drain(self, lane: Lane, now: datetime) -> datetime | None:
        right = self._rights[lane.platform]
        if bot.herald._may_send(right):
            await self._owe_nudges(lane, now)
            for delivery, to, said in await self._ledger.transact(partial(self._due, lane=lane, now=now)):
                with suppress(Exception):
                    async with asyncio.timeout(bot.herald.SEND.total_seconds()):
                        receipt = await self._platforms[lane.platform].post(to, said, delivery.key)
                    await self._ledger.transact(partial(self._done, lane=lane, now=now, key=delivery.key,
                                                        receipt=receipt, term=right.term))
        return await super().drain(lane, now)

    def _due(self, tx: Transaction, lane: Lane, now: datetime) -> list[tuple[Delivery, Room | Account, Message]]:
        due = [one.delivery for cohort in tx.cohorts() for one in tx.deliveries(cohort.id)
               if one.state is State.OWED and one.delivery.lane == lane
               and one.delivery.kind not in bot.herald._OF_ALL and one.delivery.due <= now <= one.delivery.latest]
        return [(delivery, to, said) for delivery in due if (to := bot.herald._address(tx, delivery)) is not None
                if isinstance(said := compose(tx, delivery, now, self._site), Message)]

    @staticmethod
    def _done(tx: Transaction, lane: Lane, now: datetime, key: DeliveryKey, receipt: Receipt, term: int | None) -> None:
        for claim in tx.claim(lane, now, 100, term=term):
            if claim.delivery.key == key:
                tx.finish(claim, State.SENT, receipt, "")
            else:
                tx.finish(claim, State.OWED, None, "")


class KeepsTheReceiptBeforeItSends(Herald):
    """So that nothing is ever sent twice."""

    def _claim(self, tx: Transaction, lane: Lane, now: datetime, most: int, besides: Collection[DeliveryKey],
               term: int | None, full: Collection[str]) -> list[_Letter | _Settled]:
        letters = super()._claim(tx, lane, now, most, besides, term, full)
        for letter in letters:
            if isinstance(letter, _Letter):
                tx.finish(letter.claim, State.SENT, Receipt(letter.claim.delivery.key, "", now), "")
        return letters


class Unfenced(Candidate):
    """Who was given the right to send has it until they read that it is somebody else's."""

    @property
    def term(self) -> int | None:
        return None

    def lasts(self) -> float:
        return SILENCE if self.held else 0.0


def without_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right to send is good until its last second."""
    def may_send(right: Right) -> bool:
        return right.lasts() > 0

    monkeypatch.setattr(bot.herald, "_may_send", may_send)


class NeverLooksBack(StoredLedger):
    """What was not acknowledged was not sent."""

    def _worked(self, work: Callable[[Transaction], Any], connection: Connection) -> Any:
        def forgetful(tx: Transaction) -> Any:
            claim = tx.claim

            def claims(*args: Any, **options: Any) -> Sequence[Claim]:
                return [replace(one, look_back=False) for one in claim(*args, **options)]

            tx.claim = claims  # type: ignore[method-assign]
            return work(tx)

        return super()._worked(forgetful, connection)


def key_without_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """One reminder a member: of which step, and by when, the key does not say."""
    right = bot.herald.nudge

    def nudge(cohort: Cohort, member: Member, record: Any, step: Any) -> Delivery:
        return replace(right(cohort, member, record, step), key=DeliveryKey(f"{cohort.id}:nudge:{member.id}"))

    monkeypatch.setattr(bot.herald, "nudge", nudge)
    monkeypatch.setattr(bot.desk, "nudge", nudge)


def counter_for_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a check-in is worth is added to the member's points."""
    right = bot.desk._FORMS["check-in"]

    def check_in(visit: _Visit, about: str, answers: Answers) -> Message | _Said:
        member, before = visit.enrolled()
        answer = right(visit, about, answers)
        now, after = visit.enrolled()
        if len(after.journal) > len(before.journal):
            worth = after.score(visit.cohort.course.find(about)).points
            visit.tx.change_member(replace(now, points=member.points + worth))
        return answer

    monkeypatch.setitem(bot.desk._FORMS, "check-in", check_in)


def zone_at_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone that counts is the one that the member has at present."""
    def zone_for(self: Place, step_id: StepId) -> ZoneInfo:
        return self._zones[-1][1]

    monkeypatch.setattr(Place, "zone_for", zone_for)


TWINS = Knobs(twins=1.0)

BUGS = (
    Bug("send before claim", ("is posted twice",), Parts(herald=SendsBeforeItClaims)),
    Bug("receipt before send", ("it never was",), Parts(herald=KeepsTheReceiptBeforeItSends)),
    Bug("no fencing", ("is under way", "is posted twice"), Parts(candidate=Unfenced),
        knobs=replace(TWINS, queue=0.3, freeze=40.0, mischief=1.0, clock=0.0, leave=0.0)),
    Bug("no lease margin", ("is under way", "is posted twice"), patch=without_margin,
        knobs=replace(TWINS, queue=0.4, late=1.0, partition=40.0, mischief=1.0, kill=0.0, freeze=0.0, clock=0.0,
                      leave=0.0, outage=0.0, database_down=0.0, unsaved=0.0, stall=0.0, lost=0.0, broken=0.0)),
    Bug("retry without look-up", ("is posted twice",), Parts(ledger=NeverLooksBack)),
    Bug("key without the deadline", ("it was owed at",), patch=key_without_deadline),
    Bug("counter instead of journal", ("their journal adds up to",), patch=counter_for_points),
    Bug("zone read at closing", ("for having moved", "for having joined"), patch=zone_at_closing,
        knobs=replace(Knobs(), near=0.8, moves=0.8)),
)
