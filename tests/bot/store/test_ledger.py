"""What `bot.ledger` promises, asked of every database that keeps it (see conftest.py)."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url

from bot.cohort.enrolment import folded
from bot.cohort.journal import CheckedIn, Entry, Event, Granted, Joined, Left, Moved, Rested, Seq, Voided
from bot.ledger import (
    Account,
    Claim,
    Code,
    Cohort,
    CohortId,
    Delivery,
    Lane,
    Logged,
    Member,
    MemberId,
    Receipt,
    RequestId,
    Room,
    RoomTaken,
    Sender,
    State,
    Superseded,
    Transaction,
    Unsaved,
)
from bot.messages import DeliveryKey
from bot.store import database as store
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.model import PostKind
from tests.bot.build import OPENED, ORGANISER, ROOM, START, account, edition
from tests.bot.store.conftest import on_sqlite

T = TypeVar("T")

NOW = datetime(2027, 1, 10, 17, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LANE = Lane("local", False)
HOSTILE = (
    "'; drop table member; --", '"', "\\", "<script>alert(1)</script>", "@everyone <!channel> <@U1>", "{name} %s %(a)s",
    "a\r\nb\tc", "\x00 nothing ends here", "\u202etxet desrever", "e\u0301 is not \u00e9", "👩\u200d💻🏳️\u200d🌈", "ﷺ",
    "\U0001d54f" * 3000, "null", "", "  ",
)


def opened(tx: Transaction, room: Room = ROOM) -> Cohort:
    return tx.open_cohort("Ninety & co", START, "Europe/Berlin", edition(), room, ORGANISER, "salt", OPENED)


def joined(tx: Transaction, cohort: Cohort, name: str, points: int = 0, *, present: bool = True,
           shows_name: bool = True) -> Member:
    member = tx.add_member(cohort.id, account(name), name, f"{name} alias", shows_name, "Asia/Tokyo", True)
    member = replace(member, points=points, present=present)
    tx.change_member(member)
    return member


def nudge(cohort: Cohort, member: Member | None = None, key: str = "a", due: datetime = NOW) -> Delivery:
    return Delivery(DeliveryKey(key), cohort.id, PostKind.NUDGE if member else PostKind.WEEK_OPENS, "week-1",
                    member.id if member else None, due, due + 60 * MINUTE, LANE)


def claim(tx: Transaction, now: datetime = NOW, most: int = 20, besides: Collection[DeliveryKey] = ()) -> list[Claim]:
    return list(tx.claim(LANE, now, most, besides))


def states(tx: Transaction, cohort: Cohort) -> dict[str, State]:
    return {logged.delivery.key: logged.state for logged in tx.deliveries(cohort.id)}


# --- cohorts and members ----------------------------------------------------------------------------------------------


async def test_a_cohort_comes_back_as_it_was_opened(ledger: StoredLedger, database: Database) -> None:
    """Also in another process, which has read nothing yet."""
    cohort = await ledger.transact(opened)
    other = StoredLedger(database)
    assert cohort == Cohort(
        cohort.id, "Ninety & co", START, "Europe/Berlin", edition(), ROOM, ORGANISER, "salt", OPENED)
    assert await other.transact(lambda tx: tx.cohort(cohort.id)) == cohort
    assert await other.transact(lambda tx: tx.cohort_in(ROOM)) == cohort
    assert await other.transact(lambda tx: tx.cohorts()) == [cohort]
    assert await other.transact(lambda tx: tx.cohort_in(replace(ROOM, workspace="another"))) is None


def test_one_cohort_lives_in_a_room(ledger: StoredLedger) -> None:
    first = ledger.transact_here(opened)
    with pytest.raises(RoomTaken, match="local:ninety"):
        ledger.transact_here(opened)
    second = ledger.transact_here(lambda tx: opened(tx, replace(ROOM, channel="another")))
    assert ledger.transact_here(lambda tx: tx.cohorts()) == [first, second]


def test_an_edition_is_kept_once_for_all_that_run_it(ledger: StoredLedger, database: Database) -> None:
    for channel in "ab":
        ledger.transact_here(lambda tx, channel=channel: opened(tx, Room("local", "", channel)))  # type: ignore[misc]
    assert len(database.run_here(lambda connection: connection.execute(select(tables.edition)).all())) == 1


@pytest.mark.parametrize("words", [words for words in HOSTILE if "\x00" not in words])
def test_a_member_comes_back_as_written_whatever_they_are_called(ledger: StoredLedger, words: str) -> None:
    def work(tx: Transaction) -> tuple[Member, Member | None, Member]:
        cohort = opened(tx)
        who = Account("local", "<w>", f"U{words}")
        member = tx.add_member(cohort.id, who, words, f"{words} alias", False, "Asia/Tokyo", True)
        assert tx.enrolment(cohort.id, who) == member
        changed = replace(member, name=f"{words}!", alias=f"{words}?", shows_name=True, zone="UTC", nudges=False,
                          present=False, points=-5)
        tx.change_member(changed)
        return changed, tx.enrolment(cohort.id, who), tx.member(member.id)

    changed, *found = ledger.transact_here(work)
    assert found == [changed, changed]


def test_a_person_is_who_they_are_in_one_workspace_of_one_platform(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        old, young = opened(tx), opened(tx, Room("local", "", "another"))
        ada = joined(tx, old, "Ada", present=False)
        again = joined(tx, young, "Ada")
        assert tx.enrolments(ada.account) == [again, ada]
        assert tx.enrolment(old.id, ada.account) == ada
        for other in (replace(ada.account, platform="slack"), replace(ada.account, workspace="T2"),
                      replace(ada.account, user="ada")):
            assert tx.enrolments(other) == []
            assert tx.enrolment(old.id, other) is None
        assert tx.members(old.id) == []
        assert tx.members(young.id) == [again]

    ledger.transact_here(work)


def test_a_name_is_taken_by_names_and_aliases_of_everybody_else(ledger: StoredLedger) -> None:
    """Of those who left as well: their check-ins keep their name."""
    def work(tx: Transaction) -> None:
        cohort, other = opened(tx), opened(tx, Room("local", "", "another"))
        ada, bo = joined(tx, cohort, "ADA ß"), joined(tx, cohort, "Bo", present=False)
        names = tx.names(cohort.id)
        assert all(folded(name) in names for name in (ada.name, ada.alias, bo.name, bo.alias, "ada SS", "\uff22\uff2f"))
        assert folded("Chidi") not in names
        assert "%" not in names
        assert folded(ada.name) not in tx.names(cohort.id, besides=ada.id)
        assert folded(bo.name) in tx.names(cohort.id, besides=ada.id)
        assert folded(ada.name) not in tx.names(other.id)

    ledger.transact_here(work)


def test_two_members_of_one_name_never_get_in(ledger: StoredLedger) -> None:
    """Even where two processes looked before either leapt."""
    cohort = ledger.transact_here(opened)
    ledger.transact_here(lambda tx: joined(tx, cohort, "Ada"))
    with pytest.raises(Unsaved):
        ledger.transact_here(lambda tx: tx.add_member(cohort.id, account("x"), "ADA", "free", True, "UTC", True))
    with pytest.raises(Unsaved):
        ledger.transact_here(lambda tx: tx.add_member(cohort.id, account("Ada"), "free", "free", True, "UTC", True))


# --- the journal ------------------------------------------------------------------------------------------------------

AT = datetime(2027, 3, 28, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("event", [
    Joined(AT, "Europe/Berlin", "week-1"),
    Moved(AT, "Asia/Kathmandu"),
    CheckedIn(AT, "week-1", ("read", "build-index"), 6.25, ("https://a.example/?q=1", "http://b.example"), "Much.",
              "Sure"),
    CheckedIn(AT, "week-1", (), None, (), "", ""),
    CheckedIn(AT, "week-1", (), 0.0, (), "0", ""),
    Rested(AT, "week-2"),
    Granted(AT, -3, "Sent twice", "olu"),
    Voided(AT, Seq(1), "A mistake", "olu"),
    Left(AT),
    *(CheckedIn(AT, "week-1", (), None, (words,), words, "Sure") for words in (*HOSTILE, "half a \ud800 character")),
], ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was_written(ledger: StoredLedger, event: Event) -> None:
    def write(tx: Transaction) -> tuple[Member, Entry | None]:
        member = joined(tx, opened(tx), "Ada")
        return member, tx.append(member, event, RequestId("r"))

    member, entry = ledger.transact_here(write)
    assert entry is not None
    assert entry == Entry(entry.seq, event, "r")
    assert ledger.transact_here(lambda tx: tx.journal(member.id)) == (entry,)
    assert ledger.transact_here(lambda tx: tx.journals(member.cohort)) == {member.id: (entry,)}


def test_of_the_check_ins_only_the_later_ones_may_be_asked_for(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        members = joined(tx, cohort, "Ada"), joined(tx, cohort, "Bo")
        later = AT + timedelta(days=1)
        for member in members:
            events: tuple[Event, ...] = (
                CheckedIn(AT, "week-1", (), None, (), "", ""), Rested(AT, "week-2"),
                CheckedIn(later - datetime.resolution, "week-1", (), None, (), "", ""),
                CheckedIn(later, "week-3", (), None, (), "", ""))
            _, rested, _, second = (tx.append(member, event, RequestId(f"{number}"))
                                    for number, event in enumerate(events))
            assert tx.journal(member.id, later) == (rested, second)
            assert tx.journal(member.id, AT) == tx.journal(member.id)
        everybody = {member.id: tx.journal(member.id, later) for member in members}
        assert tx.journals(cohort.id, since=later) == everybody
        assert tx.journals(cohort.id, members[0].id, 1, later) == {members[1].id: everybody[members[1].id]}

    ledger.transact_here(work)


def test_an_instant_is_the_same_whatever_zone_it_was_said_in(ledger: StoredLedger) -> None:
    local = datetime.fromisoformat("2027-01-05T13:00:00.000001+05:45")

    def work(tx: Transaction) -> datetime:
        member = joined(tx, opened(tx), "Ada")
        tx.append(member, Left(local), RequestId("r"))
        return tx.journal(member.id)[0].event.at

    assert ledger.transact_here(work) == local
    with pytest.raises(TypeError, match="offset-naive"):
        ledger.transact_here(lambda tx: tx.append(
            tx.member(MemberId(1)), Left(local.replace(tzinfo=None)), RequestId("naive")))


def test_the_same_request_twice_is_one_entry(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        ada, bo = joined(tx, cohort, "Ada"), joined(tx, cohort, "Bo")
        first = tx.append(ada, Rested(AT, "week-1"), RequestId("r"))
        assert tx.append(ada, Rested(AT, "week-2"), RequestId("r")) is None
        assert tx.append(bo, Rested(AT, "week-1"), RequestId("r")) is not None, "another member's request is another"
        second = tx.append(ada, Left(AT), RequestId("s"))
        assert tx.journal(ada.id) == (first, second)

    ledger.transact_here(work)


# --- the board --------------------------------------------------------------------------------------------------------


def test_the_board_ranks_those_present_with_points(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort, other = opened(tx), opened(tx, Room("local", "", "another"))
        chidi, bo = joined(tx, cohort, "chidi", 30), joined(tx, cohort, "Bo", 30)
        dana = joined(tx, cohort, "Dana", 50, shows_name=False)
        joined(tx, cohort, "Left", 99, present=False)
        joined(tx, cohort, "None", 0)
        joined(tx, cohort, "Less", -5)
        joined(tx, other, "Elsewhere", 99)
        assert tx.board(cohort.id, 10)[0] == [dana, bo, chidi]
        assert tx.board(cohort.id, 2)[0] == [dana, bo]
        assert [tx.standing(cohort.id, points) for points in (99, 50, 30, 0)] == [(0, 3), (0, 3), (1, 3), (3, 3)]

    ledger.transact_here(work)


# --- deliveries -------------------------------------------------------------------------------------------------------


def test_what_is_owed_twice_is_owed_once(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        first, second = nudge(cohort), nudge(cohort, key="b")
        assert tx.owe([]) == 0
        assert tx.owe([first]) == 1
        assert tx.owe([replace(first, due=NOW + MINUTE), second]) == 1
        assert tx.deliveries(cohort.id) == [Logged(one, State.OWED, 0, None, "") for one in (first, second)]

    ledger.transact_here(work)


def test_what_was_withdrawn_can_be_owed_again_and_nothing_else(ledger: StoredLedger) -> None:
    """Somebody wants no reminders, and then wants them after all."""
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        ada = joined(tx, cohort, "Ada")
        tx.owe([nudge(cohort, ada)])
        tx.withdraw(ada.id, PostKind.NUDGE, None, "asked for none")
        later = replace(nudge(cohort, ada), due=NOW + MINUTE)
        assert tx.owe([later]) == 1
        assert tx.deliveries(cohort.id) == [Logged(later, State.OWED, 0, None, "")]
        settled = (State.SENT, State.MISSED, State.FAILED)
        others = [nudge(cohort, ada, state.value) for state in settled]
        tx.owe(others)
        for mine, state in zip(claim(tx), settled, strict=True):
            tx.finish(mine, state, None, "")
        before = states(tx, cohort)
        assert tx.owe([later, *others]) == 0
        assert states(tx, cohort) == before == {"a": State.OWED} | {state.value: state for state in settled}

    ledger.transact_here(work)


def test_a_claim_takes_what_is_due_the_oldest_first(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        late, older, due = (nudge(cohort, key=key, due=NOW - wait) for key, wait in (
            ("c", -timedelta(microseconds=1)), ("b", MINUTE), ("a", 0 * MINUTE)))
        tx.owe([late, due, older])
        assert tx.next_due(LANE) == older.due
        assert claim(tx, most=1) == [Claim(older, 1, look_back=False)]
        assert claim(tx, besides=[older.key]) == [Claim(due, 1, look_back=False)]
        assert claim(tx, besides=[older.key, due.key]) == []
        assert states(tx, cohort) == {"b": State.SENDING, "a": State.SENDING, "c": State.OWED}

    ledger.transact_here(work)


def test_nothing_is_due_in_an_empty_database(ledger: StoredLedger) -> None:
    assert ledger.transact_here(lambda tx: (tx.next_due(LANE), claim(tx), tx.cohorts())) == (None, [], [])


def test_what_was_left_while_it_was_sent_is_claimed_again_with_a_look_back(ledger: StoredLedger) -> None:
    """And whoever left it can write nothing any more: the attempt numbers fence them off."""
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        tx.owe([nudge(cohort)])
        (first,) = claim(tx)
        assert tx.next_due(LANE) == NOW
        assert claim(tx, besides=[first.delivery.key]) == []
        (second,) = claim(tx)
        assert (second.attempt, second.look_back) == (2, True)
        before = tx.deliveries(cohort.id)
        for state in State:
            assert not tx.finish(first, state, Receipt("9", "#9", NOW), "I am late", NOW)
        assert tx.deliveries(cohort.id) == before
        receipt = Receipt("1", "#1", NOW)
        assert tx.finish(second, State.SENT, receipt, "found")
        assert not tx.finish(second, State.UNKNOWN, None, "twice", NOW)
        assert tx.deliveries(cohort.id) == [Logged(nudge(cohort), State.SENT, 2, receipt, "found")]
        assert tx.next_due(LANE) is None
        assert claim(tx, NOW + 600 * MINUTE) == []

    ledger.transact_here(work)


@pytest.mark.parametrize(("state", "look_back"), [(State.OWED, False), (State.UNKNOWN, True)])
def test_what_is_not_settled_is_tried_again_when_it_was_said(ledger: StoredLedger, state: State, look_back: bool) \
        -> None:
    """The room is looked through only where an earlier attempt may have reached it."""
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        tx.owe([nudge(cohort)])
        (mine,) = claim(tx)
        assert tx.finish(mine, state, None, "busy", NOW + 5 * MINUTE)
        assert tx.next_due(LANE) == NOW + 5 * MINUTE
        assert claim(tx, NOW + 4 * MINUTE) == []
        (again,) = claim(tx, NOW + 5 * MINUTE)
        assert (again.attempt, again.look_back) == (2, look_back)

    ledger.transact_here(work)


@pytest.mark.parametrize("state", [State.OWED, State.UNKNOWN])
def test_what_is_not_settled_is_never_forgotten(ledger: StoredLedger, state: State) -> None:
    """Left without an instant for the next attempt, it comes at once."""
    def work(tx: Transaction) -> None:
        tx.owe([nudge(opened(tx))])
        (mine,) = claim(tx)
        tx.finish(mine, state, None, "")
        assert tx.next_due(LANE) == mine.delivery.due
        assert [one.attempt for one in claim(tx)] == [2]

    ledger.transact_here(work)


def test_what_is_withdrawn_is_what_is_owed_still(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        ada, bo = joined(tx, cohort, "Ada"), joined(tx, cohort, "Bo")
        week_2 = replace(nudge(cohort, ada, "ada 2"), step="week-2")
        week_3 = replace(nudge(cohort, ada, "ada 3"), step="week-3")
        tx.owe([nudge(cohort, ada, "ada 1", NOW - MINUTE / 2), week_2, week_3, nudge(cohort, bo, "bo"), nudge(cohort)])
        claim(tx, NOW - MINUTE / 2)
        assert tx.withdraw(ada.id, PostKind.NUDGE, "week-2", "checked in") == 1
        assert tx.withdraw(ada.id, PostKind.REPORT, None, "of another kind") == 0
        assert tx.withdraw(ada.id, PostKind.NUDGE, None, "left") == 1
        assert tx.withdraw(ada.id, PostKind.NUDGE, None, "left") == 0
        assert {logged.delivery.key: (logged.state, logged.reason) for logged in tx.deliveries(cohort.id)} == {
            "ada 1": (State.SENDING, ""), "ada 2": (State.WITHDRAWN, "checked in"),
            "ada 3": (State.WITHDRAWN, "left"), "bo": (State.OWED, ""), "a": (State.OWED, "")}
        assert [one.delivery.key for one in claim(tx, besides=[DeliveryKey("ada 1")])] == ["bo", "a"]

    ledger.transact_here(work)


def test_a_report_names_what_it_is_about(ledger: StoredLedger) -> None:
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        tx.owe([nudge(cohort, key="b", due=NOW + MINUTE), nudge(cohort, key="a"), nudge(cohort, key="c")])
        tx.report([DeliveryKey("b"), DeliveryKey("a")], DeliveryKey("report"))
        tx.report([], DeliveryKey("another"))
        assert [logged.delivery.key for logged in tx.reported_in(DeliveryKey("report"))] == ["a", "b"]
        assert tx.reported_in(DeliveryKey("another")) == []

    ledger.transact_here(work)


def test_how_far_nudges_are_owed_is_kept(ledger: StoredLedger, database: Database) -> None:
    cohort = ledger.transact_here(opened)
    assert ledger.transact_here(lambda tx: tx.nudges_owed(cohort.id)) == 0
    ledger.transact_here(lambda tx: tx.set_nudges_owed(cohort.id, 3))
    assert StoredLedger(database).transact_here(lambda tx: tx.nudges_owed(cohort.id)) == 3


async def test_what_opens_next_in_any_cohort_is_seen_at_a_glance(ledger: StoredLedger) -> None:
    cohort = await ledger.transact(opened)
    steps = cohort.edition.plan.steps
    first, second = (cohort.course.opens(step.id) for step in steps[:2])
    assert await ledger.next_due(LANE) == await ledger.transact(lambda tx: tx.next_opening()) == first
    assert await ledger.transact(lambda tx: (tx.opening(first - MINUTE), tx.opening(first))) == ([], [cohort])
    await ledger.transact(lambda tx: tx.set_nudges_owed(cohort.id, 1))
    assert await ledger.next_due(LANE) == second
    await ledger.transact(lambda tx: tx.owe([nudge(cohort, due=second - MINUTE)]))
    assert await ledger.next_due(LANE) == second - MINUTE
    assert await ledger.next_due(Lane("elsewhere", True)) == second
    await ledger.transact(lambda tx: tx.set_nudges_owed(cohort.id, len(steps)))
    assert await ledger.transact(lambda tx: (tx.next_opening(), tx.opening(second + 900 * MINUTE))) == (None, [])
    assert await ledger.next_due(Lane("elsewhere", True)) is None


async def test_what_is_due_next_is_known_at_once_whoever_wrote_it(ledger: StoredLedger, database_url: str) -> None:
    cohort = await ledger.transact(opened)
    due = cohort.course.opens(cohort.edition.plan.steps[0].id)
    async with Database(database_url, durable=False) as elsewhere:
        assert [await ledger.next_due(LANE) for _ in range(2)] == [due] * 2
        for number, writer in enumerate((ledger, StoredLedger(elsewhere)) * 2):
            due -= MINUTE
            earlier = nudge(cohort, key=str(number), due=due)
            writer.transact_here(lambda tx, earlier=earlier: tx.owe([earlier]))  # type: ignore[misc]
            assert [await ledger.next_due(LANE) for _ in range(2)] == [due] * 2


async def test_what_is_written_while_it_is_asked_is_known_the_next_time(database_url: str) -> None:
    class Overtaken(Database):
        async def glance(self, words: str, values: Mapping[str, object]) -> tuple[Any, ...] | None:
            row = await super().glance(words, values)
            await ledger.transact(lambda tx: tx.owe([nudge(cohort, due=OPENED)]))
            return row

    async with Overtaken(database_url, durable=False) as database:
        ledger = StoredLedger(database)
        cohort = await ledger.transact(opened)
        opening = await ledger.transact(lambda tx: tx.next_opening())
        assert [await ledger.next_due(LANE) for _ in range(3)] == [opening, OPENED, OPENED]


def test_who_has_opened_cohorts_finds_them_the_youngest_first(ledger: StoredLedger) -> None:
    mine = [ledger.transact_here(lambda tx, channel=channel: opened(tx, Room("local", "", channel)))  # type: ignore[misc]
            for channel in "ab"]
    assert ledger.transact_here(lambda tx: tx.organised(ORGANISER)) == mine[::-1]
    assert ledger.transact_here(lambda tx: tx.organised(account("Somebody else"))) == []


def test_on_which_platforms_cohorts_live_is_counted(ledger: StoredLedger) -> None:
    cohort = ledger.transact_here(opened)
    ledger.transact_here(lambda tx: opened(tx, replace(ROOM, channel="another")))
    ledger.transact_here(lambda tx: tx.add_room(cohort.id, Room("slack", "T1", "C1")))
    assert ledger.transact_here(lambda tx: tx.platforms()) == {"local": 2, "slack": 1}


# --- all or nothing ---------------------------------------------------------------------------------------------------


async def test_a_transaction_that_raises_leaves_no_trace(ledger: StoredLedger) -> None:
    cohort = await ledger.transact(opened)

    def work(tx: Transaction) -> None:
        ada = joined(tx, cohort, "Ada", 30)
        tx.append(ada, Left(AT), RequestId("r"))
        tx.owe([nudge(cohort, ada)])
        tx.set_nudges_owed(cohort.id, 2)
        raise LookupError("a bug of ours")

    with pytest.raises(LookupError, match="a bug of ours"):
        await ledger.transact(work)
    assert await ledger.transact(lambda tx: (
        list(tx.members(cohort.id)), tx.journals(cohort.id), list(tx.deliveries(cohort.id)), tx.nudges_owed(cohort.id),
    )) == ([], {}, [], 0)


@pytest.mark.parametrize("reads", [True, False])
async def test_what_is_said_of_it_is_made_in_the_loop_and_once(ledger: StoredLedger, reads: bool) -> None:
    heard: list[tuple[object, threading.Thread]] = []
    assert await ledger.transact(lambda tx: list(tx.cohorts()), reads=reads, meanwhile=lambda found: heard.append(
        (found, threading.current_thread()))) == []
    assert heard == [([], threading.current_thread())]
    never: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await ledger.transact(lambda tx: 1 // 0, reads=reads, meanwhile=never.append)
    assert never == []


@pytest.mark.parametrize("here", [True, False])
async def test_a_cohort_whose_opening_was_undone_never_was(ledger: StoredLedger, here: bool) -> None:
    """Its number goes to the next one, which must not be taken for it."""
    def work(tx: Transaction) -> None:
        tx.cohort(opened(tx).id)
        raise LookupError

    with pytest.raises(LookupError):
        if here:
            ledger.transact_here(work)
        else:
            await ledger.transact(work)
    other = Room("local", "", "another")
    cohort = await ledger.transact(lambda tx: opened(tx, other))
    assert cohort.room == other
    assert await ledger.transact(lambda tx: tx.cohort_in(ROOM)) is None


def sender(tx: Transaction) -> Sender:
    found = tx.sender(LANE.platform)
    assert found is not None
    return found


def test_a_platform_is_taken_over_by_one(ledger: StoredLedger) -> None:
    """Whoever has seen less than what is there takes nothing."""
    def work(tx: Transaction) -> None:
        assert tx.sender("local") is None
        ada = tx.take_over("local", None, "ada")
        assert ada == sender(tx) == Sender("local", "ada", 1, 0)
        assert tx.take_over("local", None, "bo") is None
        beat = tx.renew(ada)
        assert beat == sender(tx) == Sender("local", "ada", 1, 1)
        assert tx.take_over("local", ada, "bo") is None, "ada has been heard since"
        bo = tx.take_over("local", beat, "bo")
        assert bo == sender(tx) == Sender("local", "bo", 2, 0)
        assert tx.renew(beat) is None
        tx.resign(beat)
        assert sender(tx) == bo
        tx.resign(bo)
        assert sender(tx) == Sender("local", "", 3, 0)
        assert tx.take_over("local", sender(tx), "ada") == Sender("local", "ada", 4, 0)
        assert tx.sender("slack") is None

    ledger.transact_here(work)


def test_of_two_processes_the_one_whose_term_it_is_claims_all(ledger: StoredLedger, database: Database) -> None:
    """They race, and take over from each other in the midst of it: whoever is superseded claims nothing more, and no
    attempt is made in two terms."""
    owed, together = 400, 3 if database.engine.name == "sqlite" else 8
    others = [Database(str(database.engine.url), durable=False) for _ in range(together)]
    cohort = ledger.transact_here(opened)
    ledger.transact_here(lambda tx: tx.owe(nudge(cohort, key=str(index)) for index in range(owed)))
    claimed: list[tuple[str, int, int]] = []
    superseded: list[int] = []
    start = threading.Barrier(together)

    def work(index: int) -> None:
        mine = StoredLedger(others[index])
        start.wait()
        while True:
            ours = mine.transact_here(lambda tx: tx.take_over(LANE.platform, tx.sender(LANE.platform), str(index)))
            if ours is None:
                continue
            for _ in range(5):
                try:
                    some = mine.transact_here(partial(kept, term=ours.term))
                except Superseded:
                    superseded.append(ours.term)
                    break
                if not some:
                    return
                claimed.extend((one.delivery.key, one.attempt, ours.term) for one in some)

    def kept(tx: Transaction, term: int) -> list[Claim]:
        some = list(tx.claim(LANE, NOW, 5, (), term))
        assert all(tx.finish(one, State.SENT, None, "") for one in some)
        return some

    threads = [threading.Thread(target=work, args=(index,)) for index in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(key for key, _, _ in claimed) == sorted(str(index) for index in range(owed))
    assert {attempt for _, attempt, _ in claimed} == {1}
    terms = [term for _, _, term in claimed]
    assert len(set(terms)) > 1
    with pytest.raises(Superseded):
        ledger.transact_here(lambda tx: tx.claim(LANE, NOW, 1, (), min(terms)))


def test_two_processes_with_one_request_write_one_entry(ledger: StoredLedger, database: Database) -> None:
    other = Database(str(database.engine.url), durable=False)
    member = ledger.transact_here(lambda tx: joined(tx, opened(tx), "Ada"))
    start = threading.Barrier(2)
    written: list[bool] = []

    def work(mine: StoredLedger) -> None:
        for number in range(30):
            start.wait()
            written.append(mine.transact_here(
                lambda tx, number=number: tx.append(member, Left(AT), RequestId(str(number))) is not None))  # type: ignore[misc]

    threads = [threading.Thread(target=work, args=(one,)) for one in (ledger, StoredLedger(other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(written) == [False] * 30 + [True] * 30
    assert len(ledger.transact_here(lambda tx: tx.journal(member.id))) == 30


# --- when the database is the reason ----------------------------------------------------------------------------------


def path_of(database: Database) -> Path:
    path = make_url(str(database.engine.url)).database
    assert path is not None
    return Path(path)


@on_sqlite
async def test_a_locked_database_is_told_in_time_and_loses_nothing(
        database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY", 0.2)
    async with Database(database_url, durable=False) as database:
        ledger = StoredLedger(database)
        cohort = await ledger.transact(opened)
        await ledger.transact(lambda tx: joined(tx, cohort, "Ada"))
        other = sqlite3.connect(path_of(database), isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            with pytest.raises(Unsaved):
                await ledger.transact(lambda tx: joined(tx, cohort, "Bo"))
            assert 0.2 <= time.monotonic() - begun < 2
        finally:
            other.close()
        await ledger.transact(lambda tx: joined(tx, cohort, "Chidi"))
        assert [member.name for member in await ledger.transact(lambda tx: tx.members(cohort.id))] == ["Ada", "Chidi"]


@on_sqlite
def test_a_full_disk_undoes_the_whole_transaction(ledger: StoredLedger, database: Database) -> None:
    member = ledger.transact_here(lambda tx: joined(tx, opened(tx), "Ada"))

    def write(tx: Transaction) -> None:
        for number in range(100):
            tx.append(member, CheckedIn(AT, "week-1", (), None, (), "long " * 400, ""), RequestId(str(number)))

    # SQLite raises this to the size that the file has already.
    database.run_here(lambda connection: connection.execute(text("PRAGMA max_page_count = 1")))
    with pytest.raises(Unsaved):
        ledger.transact_here(write)
    database.run_here(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")))
    assert ledger.transact_here(lambda tx: tx.journal(member.id)) == ()
    ledger.transact_here(write)
    assert len(ledger.transact_here(lambda tx: tx.journal(member.id))) == 100


@pytest.mark.parametrize("kind", ["no database", "a directory"])
async def test_a_file_that_is_no_database_is_unsaved_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ninety.db"
    if kind == "no database":
        path.write_bytes(b"Dear diary, " * 1000)
    else:
        path.mkdir()
    async with Database(f"sqlite:///{path}") as database:
        with pytest.raises(Unsaved):
            migrate(database)
        with pytest.raises(Unsaved):
            await StoredLedger(database).transact(lambda tx: tx.cohorts())


@pytest.mark.parametrize(("url", "says"), [
    ("mysql://localhost/ninety", "mysql is not supported"),
    ("postgresql+asyncpg://localhost/ninety", r"postgresql\+asyncpg is not supported"),
    ("localhost secret", "the address of the database is none"),
    ("postgresql://me:secret@localhost:port/ninety", "the address of the database is none"),
])
def test_a_database_that_is_not_supported_is_named_with_the_cure(url: str, says: str) -> None:
    """And never with the password that may be in the address."""
    with pytest.raises(ValueError, match=f"{says}.*sqlite:///path/to/file.db or postgresql://user@host") as refused:
        Database(url)
    assert "secret" not in f"{refused.value}{refused.value.__cause__}"


def test_the_log_never_holds_what_a_member_wrote(ledger: StoredLedger, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in good times, nor when a statement fails, nor when the failure is logged with its causes."""
    secret = "my-secret-words"  # noqa: S105  # of a member
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        cohort = ledger.transact_here(opened)
        ada = ledger.transact_here(lambda tx: joined(tx, cohort, secret))
        ledger.transact_here(
            lambda tx: tx.append(ada, CheckedIn(AT, "week-1", (), 1, (secret,), secret, secret), RequestId("r")))
        with pytest.raises(Unsaved) as unsaved:
            ledger.transact_here(lambda tx: joined(tx, cohort, secret))
        with pytest.raises(Unsaved) as no_cohort:
            ledger.transact_here(lambda tx: joined(tx, replace(cohort, id=CohortId(99)), f"{secret} too"))
        logging.getLogger("tests").exception("Both", exc_info=unsaved.value)
        logging.getLogger("tests").exception("Both", exc_info=no_cohort.value)
    assert "The database did not take a transaction" in caplog.text
    assert "INSERT INTO cohort" in caplog.text, "else the engine logged nothing, and this test shows nothing"
    assert secret not in caplog.text


# --- rooms, codes and linked accounts ---------------------------------------------------------------------------------

ELSEWHERE = Room("slack", "T1", "C1")


def test_a_room_belongs_to_one_cohort_and_a_cohort_has_one_on_each_platform(ledger: StoredLedger) -> None:
    first = ledger.transact_here(opened)
    second = ledger.transact_here(lambda tx: opened(tx, Room("slack", "T1", "C2")))
    with pytest.raises(RoomTaken):
        ledger.transact_here(lambda tx: tx.add_room(first.id, Room("slack", "T1", "C2")))
    with pytest.raises(RoomTaken):
        ledger.transact_here(lambda tx: tx.add_room(first.id, Room("local", "", "another")))
    ledger.transact_here(lambda tx: tx.add_room(first.id, ELSEWHERE))
    assert ledger.transact_here(lambda tx: tx.rooms(first.id)) == [ROOM, ELSEWHERE]
    assert ledger.transact_here(lambda tx: tx.rooms(second.id)) == [Room("slack", "T1", "C2")]
    found = ledger.transact_here(lambda tx: tx.cohort_in(ELSEWHERE))
    assert found is not None
    assert found.id == first.id


def test_a_code_is_taken_once_and_in_time(ledger: StoredLedger) -> None:
    cohort = ledger.transact_here(opened)
    code = Code(cohort.id, None, NOW + MINUTE)

    def taken(digest: str, now: datetime) -> Code | None:
        return ledger.transact_here(lambda tx: tx.take_code(digest, now))

    ledger.transact_here(lambda tx: tx.keep_code("a", code))
    ledger.transact_here(lambda tx: tx.keep_code("b", code))
    assert [taken("a", NOW), taken("a", NOW)] == [code, None]
    assert taken("b", NOW + MINUTE) is None


def test_a_linked_account_is_the_members(ledger: StoredLedger) -> None:
    """Also where it had joined, and left, by itself."""
    there = Account("slack", "T1", "u7")

    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        ada = joined(tx, cohort, "ada")
        before = tx.add_member(cohort.id, there, "Other", "Other alias", False, "Asia/Tokyo", True)
        tx.change_member(replace(before, present=False))
        assert tx.enrolment(cohort.id, there) == replace(before, present=False)
        tx.link(ada, there)
        tx.link(ada, there)
        assert tx.enrolment(cohort.id, there) == ada == tx.enrolment(cohort.id, ada.account)
        assert tx.enrolments(there) == [ada]
        assert tx.accounts(ada) == [ada.account, there]
        assert tx.enrolment(cohort.id, Account("slack", "T2", "u7")) is None

    ledger.transact_here(work)
