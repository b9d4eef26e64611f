"""Words to build with: a small guide of four weeks, people who call at the desk, and what they read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo

from bot import transcript
from bot.desk import Caller, Desk, open_cohort
from bot.ledger import Account, RequestId, Room
from bot.messages import Message
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import parse
from content.model import Guide
from tests.content.build import SMALL

BERLIN = ZoneInfo("Europe/Berlin")
ROOM = Room("local", "", "ninety")
ORGANISER = Account("local", "", "olu")
START = date(2027, 1, 4)
"""A Monday."""
OPENED = datetime(2027, 1, 1, 12, tzinfo=UTC)
WEEK_1 = datetime(2027, 1, 5, 12, tzinfo=UTC)
"""Noon of its Tuesday."""


@cache
def guide() -> Guide:
    """`content/build.py`'s, whose sentences name each of their placeholders, with four weeks. In weeks 2 to 4 there is
    one must task, `golden-set` and then `ship` and `tell`."""
    small = parse(SMALL)
    plan = small.plans["fortnight"]
    first, second = plan.steps
    more = tuple(second.model_copy(update={
        "id": f"week-{number}", "title": title,
        "tasks": (second.tasks[0].model_copy(update={"id": task, "do": f"{task.capitalize()} it"}),)})
        for number, title, task in ((3, "Ship things", "ship"), (4, "Tell of things", "tell")))
    return small.model_copy(update={"plans": {"fortnight": plan.model_copy(update={
        "days": 28, "steps": (first, second, *more)})}})


def edition() -> Edition:
    return Edition.of(guide(), "fortnight")


def account(user: str) -> Account:
    return Account("local", "", user)


def caller(user: str, *, room: Room | None = ROOM, zone: str = "Europe/Berlin", organiser: bool = False) -> Caller:
    return Caller(account(user), room, user.capitalize(), zone, organiser)


def read(message: Message) -> str:
    """What a person in Berlin reads."""
    return "\n".join(transcript.lines(message, BERLIN))


async def settle(database: Database, people: Iterable[str], start: date = START, opened: datetime = OPENED) -> Desk:
    """A cohort that all of them have joined, as soon as it was opened."""
    ledger = StoredLedger(database)
    await open_cohort(ledger, "Autumn", start, "Europe/Berlin", edition(), ROOM, ORGANISER, "salt", opened)
    desk = Desk(ledger, guide())
    for user in people:
        joined = await desk.submit(caller(user), "join", "", {
            "name": (user,), "shown": ("name",), "zone": ("Europe/Berlin",), "nudges": ("yes",)},
            RequestId(f"join {user}"), opened)
        assert not joined.refused
    return desk
