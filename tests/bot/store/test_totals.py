"""The board counts from totals that triggers keep: they are what a recount finds, whatever happens, and the points are
what the journals add up to, and so are the streaks that are kept beside them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text, update

from bot.cohort.journal import CheckedIn, Granted, Joined, Left, Voided
from bot.cohort.scoring import Record
from bot.desk import Desk, correct, record_of
from bot.herald import board
from bot.ledger import Cohort, CohortId, Member, RequestId, Room, Transaction
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger, StoredTransaction
from tests.bot.build import OPENED, ORGANISER, START, WEEK_1, account, caller, edition, guide
from tests.bot.store.conftest import on_postgresql

ROOMS = count(1)


def opened(tx: Transaction) -> Cohort:
    return tx.open_cohort("Autumn", START, "Europe/Berlin", edition(), Room("local", "", f"room {next(ROOMS)}"),
                          ORGANISER, "salt", OPENED)


def added(tx: Transaction, cohort: Cohort, name: str, points: int, *, shows_name: bool = True) -> Member:
    member = tx.add_member(cohort.id, account(name), name, f"{name} alias", shows_name, "UTC", False)
    tx.append(member, Joined(OPENED, "UTC", "week-1"), RequestId("join"))
    tx.change_member(replace(member, points=points))
    return replace(member, points=points)


def counted(connection: Connection, cohort: CohortId) -> tuple[dict[int, int], dict[int, int]]:
    """(what is kept, what a recount finds): members by points."""
    kept = connection.execute(text("SELECT points, sum(members) FROM total WHERE cohort = :cohort GROUP BY points "
                                   "HAVING sum(members) <> 0"), {"cohort": cohort}).all()
    found = connection.execute(text("SELECT points, count(*) FROM member WHERE cohort = :cohort AND present "
                                    "AND points > 0 GROUP BY points"), {"cohort": cohort}).all()
    return {points: int(members) for points, members in kept}, {points: members for points, members in found}


ACTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(("check in", "grant", "void", "leave", "return"))),
                max_size=9)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_the_totals_are_what_a_recount_finds_whatever_happens(database: Database, acts: list[tuple[int, str]]) -> None:
    """Each in a transaction of its own; some are undone."""
    ledger = StoredLedger(database)
    cohort = ledger.transact_here(opened)
    people = ledger.transact_here(lambda tx: [added(tx, cohort, f"p{number}", 0) for number in range(4)])

    def act(tx: Transaction, who: Member, what: str, number: int) -> None:
        member, at = tx.member(who.id), WEEK_1 + timedelta(hours=number)
        journal, request = tx.journal(who.id), RequestId(f"{number}")
        match what:
            case "check in":
                tx.append(member, CheckedIn(at, f"week-{number % 2 + 1}", ("read",), 1, (), "", ""), request)
            case "grant":
                tx.append(member, Granted(at, 7 - number, "why", "olu"), request)
            case "void" if not isinstance(journal[-1].event, Joined):
                tx.append(member, Voided(at, journal[-1].seq, "why", "olu"), request)
            case "leave":
                tx.append(member, Left(at), request)
            case "return":
                tx.append(member, Joined(at, "UTC", "week-1"), request)
        points = Record(cohort.course, tx.journal(who.id), at).points
        here = what == "return" or (member.present and what != "leave")
        tx.change_member(replace(member, points=points, present=here))
        if number % 5 == 4:
            raise InterruptedError

    for number, (who, what) in enumerate(acts):
        try:
            ledger.transact_here(lambda tx, who=who, what=what, number=number: act(  # type: ignore[misc]
                tx, people[who], what, number))
        except InterruptedError:
            continue
        kept, found = database.run_here(lambda connection: counted(connection, cohort.id))
        assert kept == found
    before = database.run_here(lambda connection: counted(connection, cohort.id))
    assert ledger.transact_here(lambda tx: tx.rebuild(cohort.id)) == 0
    assert database.run_here(lambda connection: counted(connection, cohort.id)) == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1, 4), st.booleans()), max_size=9))
def test_places_and_neighbours_are_those_of_the_whole_board(
        database: Database, people: list[tuple[int, bool]]) -> None:
    """Of a board that is read in full, and of one that is looked into."""
    def work(tx: Transaction) -> None:
        cohort = opened(tx)
        for number, (points, shows_name) in enumerate(people):
            added(tx, cohort, f"{'BcaD'[number % 4]}{number}", points, shows_name=shows_name)
        board = list(tx.board(cohort.id, 99)[0])
        assert [(-one.points, one.board_name.lower()) for one in board] == sorted(
            (-one.points, one.board_name.lower()) for one in tx.members(cohort.id) if one.points > 0)
        for index, one in enumerate(board):
            assert list(tx.board(cohort.id, 1, one)[1]) == [
                (1 + sum(other.points > near.points for other in board), near)
                for near in board[max(0, index - 1):index + 2]]
            assert tx.standing(cohort.id, one.points) == (sum(other.points > one.points for other in board), len(board))

    StoredLedger(database).transact_here(work)


CALLS = st.lists(st.tuples(
    st.integers(0, 3), st.sampled_from(("check in", "check in", "check in late", "rest", "leave", "join", "move",
                                        "grant", "void", "look")), st.integers(0, 90)), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS)
def test_the_streaks_on_the_board_are_those_of_the_journals_whatever_happens(
        database: Database, calls: list[tuple[int, str, int]]) -> None:
    """At the desk, some hours apart; what a rule refuses has no effect."""
    ledger = StoredLedger(database)
    desk, cohort, people = Desk(ledger, guide()), ledger.transact_here(opened), [f"p{number}" for number in range(4)]
    now, requests = WEEK_1, count()

    async def send(who: str, kind: str, about: str = "", **answers: str) -> None:
        await desk.submit(caller(who, room=cohort.room), kind, about,
                          {name: (value,) for name, value in answers.items()}, RequestId(f"{next(requests)}"), now)

    async def act(who: str, what: str, hours: int) -> None:
        zone = ("Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles")[hours % 3]
        running = cohort.course.number(cohort.course.running(now) or "week-1")
        match what:
            case "check in":
                await send(who, "check-in", f"week-{running}", hours="1")
            case "check in late":
                await send(who, "check-in", f"week-{running - 1}", hours="1")
            case "join":
                await send(who, "join", name=who, shown="name", zone=zone)
            case "move":
                await send(who, "settings", name=who, shown="name", zone=zone)
            case "rest" | "leave":
                await desk.command(caller(who, room=cohort.room), f"cohort {what}", RequestId(f"{next(requests)}"), now)
            case "grant":
                await correct(ledger, cohort.id, who, Granted(now, hours, "why", "olu"), now)
            case "void":
                last = (await record_of(ledger, cohort.id, who, now)).journal[-1]
                if not isinstance(last.event, Joined):
                    await correct(ledger, cohort.id, who, Voided(now, last.seq, "why", "olu"), now)

    def streaks(tx: Transaction) -> tuple[dict[str, int], dict[str, int]]:
        shown = board(tx, cohort, now)
        there = [one for one in tx.members(cohort.id) if one.points > 0]
        return {row.name: row.streak for row in shown.rows} if shown is not None else {}, {
            one.name: Record(cohort.course, tx.journal(one.id), now).streak for one in there} if shown else {}

    async def played() -> None:
        nonlocal now
        for who in people:
            await act(who, "join", 0)
            await correct(ledger, cohort.id, who, Granted(now, 1000, "why", "olu"), now)
        for number, what, hours in calls:
            now += timedelta(hours=hours)
            before, right = await ledger.transact(streaks)
            assert before == right
            await act(people[number], what, hours)
            after, right = await ledger.transact(streaks)
            assert after == right

    asyncio.run(played())

    def everybody(tx: Transaction) -> list[Member]:
        return [tx.enrolment(cohort.id, account(who)) or pytest.fail(who) for who in people]

    before = ledger.transact_here(everybody)
    database.run_here(lambda connection: connection.execute(
        update(tables.member).where(tables.member.c.cohort == cohort.id).values(streak=77, streak_until=None)))
    assert ledger.transact_here(lambda tx: tx.rebuild(cohort.id)) == 0
    assert ledger.transact_here(everybody) == before


def test_points_and_totals_can_be_worked_out_again(ledger: StoredLedger, database: Database) -> None:
    """Whatever somebody wrote into the database by hand."""
    def work(tx: Transaction) -> Cohort:
        cohort = opened(tx)
        ada, bo = added(tx, cohort, "Ada", 0), added(tx, cohort, "Bo", 0)
        added(tx, cohort, "Chidi", 0)
        tx.append(ada, Granted(WEEK_1, 30, "why", "olu"), RequestId("a"))
        tx.append(bo, Granted(WEEK_1, 10, "why", "olu"), RequestId("b"))
        return cohort

    cohort = ledger.transact_here(work)

    def spoil(connection: Connection) -> None:
        connection.execute(update(tables.member).values(points=99))
        connection.execute(tables.total.delete())

    database.run_here(spoil)
    assert ledger.transact_here(lambda tx: tx.rebuild(cohort.id)) == 3
    assert ledger.transact_here(lambda tx: {one.name: one.points for one in tx.members(cohort.id)}) == {
        "Ada": 30, "Bo": 10, "Chidi": 0}
    assert database.run_here(lambda connection: counted(connection, cohort.id)) == ({30: 1, 10: 1}, {30: 1, 10: 1})


@pytest.mark.parametrize("shows_name", [True, False])
def test_the_board_is_in_the_order_of_what_it_shows(ledger: StoredLedger, shows_name: bool) -> None:
    """Also after somebody has changed their name, or what is shown."""
    def work(tx: Transaction) -> list[str]:
        cohort = opened(tx)
        bo = added(tx, cohort, "Bo", 5, shows_name=not shows_name)
        added(tx, cohort, "Chidi", 5)
        tx.change_member(replace(bo, name="Zoe", alias="Able Ant", shows_name=shows_name))
        return [one.board_name for one in tx.board(cohort.id, 9)[0]]

    assert ledger.transact_here(work) == (["Chidi", "Zoe"] if shows_name else ["Able Ant", "Chidi"])


@on_postgresql
def test_the_board_of_a_large_cohort_is_planned_a_few_times_and_then_no_more(database: Database) -> None:
    """Of a million members, that takes longer than to read the rows."""
    def plans(connection: Connection) -> list[tuple[int, int]]:
        tx = StoredTransaction(connection)
        cohort = opened(tx)
        you = added(tx, cohort, "Ada", 500)
        connection.execute(text("SET LOCAL session_replication_role = replica"))     # the totals need not be right
        connection.execute(text(
            "INSERT INTO member (cohort, platform, workspace, \"user\", name, name_folded, alias, alias_folded, "
            "shows_name, shown, zone, nudges, present, points) SELECT cohort, platform, workspace, i, i, i, -i, -i, "
            "true, i, zone, false, true, 5 * (i % 200) FROM member, generate_series(1, 5000) AS i WHERE id = :you"),
            {"you": you.id})
        connection.execute(text("ANALYZE member"))
        for _ in range(20):
            tx.board(cohort.id, 10, you)
        told = connection.execute(text("SELECT custom_plans, generic_plans FROM pg_prepared_statements "
                                       "WHERE statement LIKE '%FROM member%'")).all()
        connection.rollback()
        return [(custom, generic) for custom, generic in told]

    # The driver prepares a statement that it has run five times, and the server settles for one plan after as many.
    assert database.run_here(plans) == [(5, 10)]
