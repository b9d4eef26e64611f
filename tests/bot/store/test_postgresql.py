"""What only a server shows: transactions side by side, a line that breaks, and a server that lets nobody in.

Where two are at work at once, the first has done all its work and has not committed when the second begins; it commits
when the second waits for it, or has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import Connection, func, insert, select, text

from bot.cohort.refusals import AlreadyEnrolled, JoinedTwice, NameTaken, NoRestLeft, Refused, RoomHasCohort
from bot.cohort.scoring import Record
from bot.desk import Caller, Desk, open_cohort
from bot.herald import Herald
from bot.ledger import Account, Agenda, Code, Cohort, Lane, Member, RequestId, Room, RoomTaken, Transaction, Unsaved
from bot.messages import Form, Message
from bot.store import database as store
from bot.store import tables
from bot.store.database import Database, NoDatabase
from bot.store.ledger import StoredLedger, StoredTransaction, _nobody
from bot.store.migrate import migrate
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, ROOM, START, WEEK_1, account, caller, edition, guide, read
from tests.bot.test_cli import ninety
from tests.postgresql import GUARDED, PASSWORD, Server, server

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


class Held:
    """A ledger whose transactions do all their work and then wait for `go` before they commit."""

    def __init__(self, ledger: StoredLedger) -> None:
        self._ledger = ledger
        self.worked, self.go = threading.Event(), threading.Event()

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        def held(tx: Transaction) -> T:
            try:
                return work(tx)
            finally:
                self.worked.set()
                assert self.go.wait(2)

        return await self._ledger.transact(held, meanwhile=meanwhile)

    async def next_due(self, lane: Lane) -> datetime | None:
        return await self._ledger.next_due(lane)


async def side_by_side(url: str, first: Callable[[Agenda], Awaitable[A]], second: Callable[[Agenda], Awaitable[B]]) \
        -> tuple[A, B]:
    """What both answer."""
    def waiting() -> bool:
        with psycopg.connect(url) as watch:
            return watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None

    async with Database(url) as one, Database(url) as other:
        held = Held(StoredLedger(one))
        early = asyncio.ensure_future(first(held))
        assert await asyncio.to_thread(held.worked.wait, 2)
        late = asyncio.ensure_future(second(StoredLedger(other)))
        while not late.done() and not await asyncio.to_thread(waiting):  # noqa: ASYNC110  # the server rings no bell
            await asyncio.sleep(0.005)
        held.go.set()
        return await early, await late


def desk(ledger: Agenda) -> Desk:
    return Desk(ledger, guide())


async def joins(ledger: Agenda, who: str | Caller, name: str, request: str = "", nudges: str = "no") -> Message:
    who = caller(who) if isinstance(who, str) else who
    return await desk(ledger).submit(
        who, "join", "", {"name": (name,), "shown": ("name",), "zone": ("Europe/Berlin",), "nudges": (nudges,)},
        RequestId(request or f"join of {who.account.user}"), WEEK_1)


async def checks_in(ledger: Agenda, who: str, request: str, week: int = 1, **answers: tuple[str, ...]) -> Message:
    return await desk(ledger).submit(caller(who), "check-in", f"week-{week}", answers, RequestId(request),
                                     WEEK_1 + timedelta(weeks=week - 1))


async def says(ledger: Agenda, who: str | Caller, line: str, request: str) -> Message | Form:
    return await desk(ledger).command(caller(who) if isinstance(who, str) else who, line, RequestId(request), WEEK_1)


async def derived(ledger: Agenda, now: datetime) -> None:
    """The nudges, by a herald that has nothing to send."""
    await Herald(ledger, {}, VirtualClock(now)).drain(Lane("nowhere", True), now)


def refusal(kind: type[Refused]) -> str:
    """The sentence of the small guide, up to its first figure."""
    return str(getattr(edition().voice.refusals, kind.sentence)).split("{")[0]


def enrolled(ledger: StoredLedger, cohort: Cohort, who: str) -> Member:
    member = ledger.transact_here(lambda tx: tx.enrolment(cohort.id, account(who)))
    assert member is not None
    return member


# --- side by side -----------------------------------------------------------------------------------------------------


async def test_two_check_ins_of_one_member_at_once_both_count(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """The points that are kept for the board are those that the journal adds up to."""
    await joins(ledger, "ada", "Ada")
    answers = await side_by_side(
        database_url, lambda held: checks_in(held, "ada", "one", 1, tasks=("read", "build-index"), hours=("6",)),
        lambda other: checks_in(other, "ada", "two", 2, tasks=("golden-set",), notes=("It works.",)))
    ada = enrolled(ledger, cohort, "ada")
    journal = ledger.transact_here(lambda tx: tx.journal(ada.id))
    assert not any(answer.refused for answer in answers)
    assert [entry.request for entry in journal] == ["join of ada", "one", "two"]
    assert ada.points == Record(cohort.course, journal, WEEK_1 + timedelta(weeks=1)).points > 0


async def test_one_submission_that_comes_twice_at_once_is_answered_twice_and_counted_once(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    await joins(ledger, "ada", "Ada")
    first, again = await side_by_side(
        database_url, lambda held: checks_in(held, "ada", "same", tasks=("read",)),
        lambda other: checks_in(other, "ada", "same", tasks=("read",)))
    assert read(first) == read(again)
    ada = enrolled(ledger, cohort, "ada")
    assert len(ledger.transact_here(lambda tx: tx.journal(ada.id))) == 2


async def test_what_the_herald_changes_in_a_member_leaves_their_new_points_alone(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """It has read the member before the check-in was committed, and writes what it learned after it."""
    await joins(ledger, "ada", "Ada", nudges="yes")
    ada = enrolled(ledger, cohort, "ada")
    await side_by_side(
        database_url, lambda held: checks_in(held, "ada", "one", tasks=("read",)),
        lambda other: other.transact(lambda tx: tx.change_member(replace(tx.member(ada.id), nudges=False))))
    after = enrolled(ledger, cohort, "ada")
    assert (after.nudges, after.points > 0) == (False, True)


async def test_of_two_rests_at_once_one_is_left_over(ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    await joins(ledger, "ada", "Ada")
    first, second = await side_by_side(database_url, lambda held: says(held, "ada", "cohort rest 1", "one"),
                                       lambda other: says(other, "ada", "cohort rest 2", "two"))
    assert isinstance(first, Message) and isinstance(second, Message)
    assert not first.refused
    assert read(second).startswith(refusal(NoRestLeft))


async def test_of_two_who_join_at_once_with_one_name_the_second_reads_that_it_is_taken(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """Not that the database failed."""
    first, second = await side_by_side(database_url, lambda held: joins(held, "ada", "Ada"),
                                       lambda other: joins(other, "other", "ADA"))
    assert not first.refused
    assert read(second).startswith(refusal(NameTaken))


async def test_a_name_that_becomes_somebodys_alias_at_that_moment_is_taken(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """No constraint knows that names and aliases must differ from each other."""
    def add(tx: Transaction) -> Member:
        assert "bo" not in tx.names(cohort.id)
        return tx.add_member(cohort.id, account("bo"), "Bo", "Bold Ant", False, "UTC", False)

    _, second = await side_by_side(database_url, lambda held: held.transact(add),
                                   lambda other: joins(other, "ada", "Bold Ant"))
    assert read(second).startswith(refusal(NameTaken))


async def test_whoever_clicks_twice_joins_once_and_is_welcomed_twice(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    first, again = await side_by_side(database_url, lambda held: joins(held, "ada", "Ada", "same"),
                                      lambda other: joins(other, "ada", "Ada", "same"))
    assert (first.refused, read(first)) == (False, read(again))
    assert len(ledger.transact_here(lambda tx: tx.members(cohort.id))) == 1


async def test_whoever_joins_twice_at_once_hears_that_they_are_in(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    _, second = await side_by_side(database_url, lambda held: joins(held, "ada", "Ada", "one"),
                                   lambda other: joins(other, "ada", "Ada", "two"))
    assert read(second).startswith(refusal(AlreadyEnrolled))


async def test_whoever_joins_while_nudges_are_derived_gets_theirs(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """Either the herald sees them, or they see how far it has come."""
    await side_by_side(
        database_url, lambda held: joins(held, "ada", "Ada", nudges="yes"),
        lambda other: derived(other, WEEK_1))
    await side_by_side(
        database_url, lambda held: derived(held, WEEK_1 + timedelta(weeks=1)),
        lambda other: desk(other).submit(
            caller("bo"), "join", "", {"name": ("Bo",), "shown": ("name",), "zone": ("Europe/Berlin",),
                                       "nudges": ("yes",)}, RequestId("late"), WEEK_1 + timedelta(weeks=1)))
    ada, bo = (enrolled(ledger, cohort, who).id for who in ("ada", "bo"))
    deliveries = [one.delivery for one in ledger.transact_here(lambda tx: tx.deliveries(cohort.id))]
    assert {(one.step, one.member) for one in deliveries if one.member is not None} == {
        ("week-1", ada), ("week-2", ada), ("week-2", bo)}


async def test_of_two_cohorts_opened_in_one_room_at_once_the_second_is_refused(
        ledger: StoredLedger, database_url: str) -> None:
    async def opens(there: Agenda) -> Cohort | None:
        try:
            return await open_cohort(there, "Autumn", START, "Europe/Berlin", edition(), ROOM, None, "salt", OPENED)
        except RoomTaken:
            return None

    first, second = await side_by_side(database_url, opens, opens)
    assert second is None
    assert ledger.transact_here(lambda tx: tx.cohorts()) == [first]


async def test_the_form_to_open_a_cohort_sent_twice_at_once_is_refused_in_words(
        ledger: StoredLedger, database_url: str) -> None:
    async def opens(there: Agenda) -> Message:
        return await desk(there).submit(caller("olu", organiser=True), "open", "", {
            "title": ("Autumn",), "start": (START.isoformat(),), "zone": ("Europe/Berlin",)}, RequestId("r"), OPENED)

    first, second = await side_by_side(database_url, opens, opens)
    assert not first.refused
    assert read(second).startswith(refusal(RoomHasCohort))


async def test_an_account_that_joins_by_itself_is_not_linked_at_that_moment(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """And one that is being linked does not join by itself."""
    there = Room("slack", "T1", "C1")
    await joins(ledger, "ada", "Ada")
    ada = enrolled(ledger, cohort, "ada")
    ledger.transact_here(lambda tx: tx.add_room(cohort.id, there))
    codes = []
    for _ in range(2):
        told = await says(ledger, "ada", "cohort link", "code")
        assert isinstance(told, Message)
        codes.append(next(word for word in read(told).replace("`", " ").split() if len(word) == 9 and word[4] == "-"))
    grace, bo = (Caller(there.account(user), there, user, "UTC") for user in ("grace", "bo"))
    _, linked = await side_by_side(database_url, lambda held: joins(held, grace, "Grace"),
                                   lambda other: says(other, grace, f"cohort link {codes[0]}", "r"))
    assert isinstance(linked, Message)
    assert read(linked).startswith(refusal(JoinedTwice))
    _, joined = await side_by_side(database_url, lambda held: says(held, bo, f"cohort link {codes[1]}", "r"),
                                   lambda other: joins(other, bo, "Bo"))
    assert read(joined).startswith(refusal(AlreadyEnrolled))
    assert ledger.transact_here(lambda tx: tx.accounts(ada)) == [ada.account, bo.account]


async def test_whoever_is_linked_while_they_wait_is_locked_as_the_member_that_they_are(
        ledger: StoredLedger, cohort: Cohort, database_url: str) -> None:
    """Else what they do there and what they do here would not wait for each other."""
    await joins(ledger, "ada", "Ada")
    ada, bo = enrolled(ledger, cohort, "ada"), Account("slack", "T1", "bo")

    def look(tx: Transaction) -> tuple[Member | None, set[int]]:
        found = tx.enrolment(cohort.id, bo)
        assert isinstance(tx, StoredTransaction)
        return found, set(tx._connection.execute(text(
            "SELECT objid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND classid = 0"))
            .scalars())

    def link(tx: Transaction) -> None:
        assert tx.enrolment(cohort.id, bo) is None
        tx.link(ada, bo)

    _, (found, locked) = await side_by_side(database_url, lambda held: held.transact(link),
                                            lambda other: other.transact(look))
    assert (found, locked) == (ada, {ada.id})


async def test_of_ten_uses_of_one_code_at_once_one_succeeds(cohort: Cohort, database_url: str) -> None:
    """While as many codes expire that all of them sweep."""
    code = Code(cohort.id, None, WEEK_1)
    async with Database(database_url) as threaded:
        ledger = StoredLedger(threaded)

        def keep(tx: Transaction) -> None:
            tx.keep_code("good", code)
            for number in range(50):
                tx.keep_code(str(number), replace(code, expires=OPENED))

        await ledger.transact(keep)
        taken = await asyncio.gather(*(ledger.transact(lambda tx: tx.take_code("good", OPENED)) for _ in range(10)))
    assert [one for one in taken if one is not None] == [code]


async def test_many_members_who_check_in_at_once_all_count(
        ledger: StoredLedger, cohort: Cohort, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Two processes with all their threads, three submissions of each member."""
    people = [f"p{number}" for number in range(8)]
    for one in people:
        await joins(ledger, one, one)
    async with Database(database_url) as first, Database(database_url) as second:
        ledgers = [StoredLedger(first), StoredLedger(second)]
        answers = await asyncio.gather(*(
            checks_in(ledgers[number % 2], one, f"{number}", 1, tasks=("read",)[number // 2:], notes=(f"{number}",))
            for number in range(3) for one in people))
    assert not any(answer.refused for answer in answers)
    assert caplog.records == []
    for one in people:
        member = enrolled(ledger, cohort, one)
        journal = ledger.transact_here(lambda tx, id=member.id: tx.journal(id))  # type: ignore[misc]
        assert len(journal) == 4
        assert member.points == Record(cohort.course, journal, WEEK_1).points


async def test_those_who_only_look_write_nothing(ledger: StoredLedger, database: Database, cohort: Cohort) -> None:
    """A lock on a row would be a write, and each look would wait for the disk."""
    await joins(ledger, "ada", "Ada")

    def work(tx: Transaction) -> None:
        ada = tx.enrolment(cohort.id, account("ada"))
        assert ada is not None
        tx.journal(ada.id), tx.board(cohort.id, 10), tx.enrolment(cohort.id, account("nobody"))
        tx.names(cohort.id), tx.nudges_owed(cohort.id), tx.next_due(Lane("local", False))

    def written(connection: Connection) -> object:
        StoredLedger(database)._worked(work, connection)
        return connection.execute(text("SELECT pg_current_xact_id_if_assigned()")).scalar()

    assert database.run_here(written) is None


async def test_what_only_reads_has_no_transaction_and_what_writes_after_all_is_kept_once(database_url: str) -> None:
    runs: list[str] = []

    def count(connection: Connection, writes: bool) -> int:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        connection.execute(select(1))
        runs.append("no" if driver.info.transaction_status is psycopg.pq.TransactionStatus.IDLE else "yes")
        before = connection.execute(select(func.count()).select_from(tables.direct_channel)).scalar_one()
        if writes:
            keep_channel(connection, "ada")
            keep_channel(connection, "bo")
        return before

    async with Database(database_url) as database:
        assert await database.run(partial(count, writes=False), reads=True) == 0
        assert await database.run(partial(count, writes=True), reads=True) == 0
        assert await database.run(partial(count, writes=False), reads=True) == 2
    assert runs == ["no", "no", "yes", "no"]


async def test_what_reads_beside_a_check_in_of_the_same_member_waits_for_it(
        database_url: str, ledger: StoredLedger, cohort: Cohort) -> None:
    await joins(ledger, "ada", "Ada")

    def progress(tx: Transaction) -> int:
        ada = tx.enrolment(cohort.id, account("ada"))
        assert ada is not None
        return len(tx.journal(ada.id))

    answer, entries = await side_by_side(
        database_url, lambda held: checks_in(held, "ada", "first"), lambda other: other.transact(progress, reads=True))
    assert not answer.refused
    assert entries == 2


# --- trying again -----------------------------------------------------------------------------------------------------


def keep_channel(connection: Connection, user: str) -> None:
    connection.execute(insert(tables.direct_channel).values(platform="p", workspace="", user=user, channel="1"))


async def test_of_two_that_wait_for_each_other_both_succeed(database_url: str) -> None:
    async with Database(database_url) as database:
        for user in "ab":
            await database.run(partial(keep_channel, user=user))
        meeting = threading.Barrier(2)
        met: list[str] = []

        def work(connection: Connection, users: str) -> None:
            for user in users:
                connection.execute(tables.direct_channel.update().where(
                    tables.direct_channel.c.user == user).values(channel=tables.direct_channel.c.channel + "x"))
                if user == users[0] and users not in met:
                    met.append(users)
                    meeting.wait(2)

        await asyncio.gather(*(database.run(lambda connection, users=users: work(connection, users))  # type: ignore[misc]
                               for users in ("ab", "ba")))
        kept = await database.run(lambda connection: connection.execute(
            select(tables.direct_channel.c.channel)).scalars().all())
    assert kept == ["1xx", "1xx"]


def test_what_can_never_be_written_is_not_tried_for_ever(
        database: Database, caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        for _ in range(2):
            keep_channel(connection, "my-secret-words")

    with pytest.raises(Unsaved):
        database.run_here(work)
    assert len(tries) == 3
    assert "UniqueViolation (23505): duplicate key" in caplog.text
    assert "my-secret-words" not in caplog.text


# --- a server that is slow, gone, or strict ---------------------------------------------------------------------------


IN_TIME = 5.0
"""Seconds: less than half of what is waited for by default, and much for a busy machine."""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE", 1.0)


def test_a_database_that_stalls_for_ten_seconds_is_waited_for() -> None:
    """And the server gives up what we wait for before we do."""
    assert 10 < store.BUSY < store.PATIENCE


async def test_a_row_that_another_holds_is_told_in_time_and_loses_nothing(
        database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the statement by itself."""
    monkeypatch.setattr(store, "BUSY", 0.2)
    async with Database(database_url) as database:
        await database.run(lambda connection: keep_channel(connection, "a"))
        with psycopg.connect(database_url) as other:
            other.execute("DELETE FROM direct_channel")
            begun = time.monotonic()
            with pytest.raises(Unsaved):
                await database.run(lambda connection: connection.execute(tables.direct_channel.delete()))
            assert 0.2 <= time.monotonic() - begun < IN_TIME
            other.rollback()
        assert await database.run(lambda connection: connection.execute(select(tables.direct_channel)).all()) == [
            ("p", "", "a", "1")]


async def test_a_server_that_says_nothing_any_more_is_left_in_time(
        database_url: str, hasty: None, caplog: pytest.LogCaptureFixture) -> None:
    """Its process is stopped, as in a machine that has frozen: nobody is there to end the statement."""
    async with Database(database_url) as database:
        server: list[int] = []

        def work(connection: Connection) -> None:
            keep_channel(connection, "a")
            server.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            os.kill(server[0], signal.SIGSTOP)
            keep_channel(connection, "b")

        begun = time.monotonic()
        try:
            with pytest.raises(Unsaved):
                await database.run(work)
            assert time.monotonic() - begun < IN_TIME
        finally:
            os.kill(server[0], signal.SIGCONT)
        assert await database.run(lambda connection: connection.execute(select(tables.direct_channel)).all()) == []
        assert len(server) == 1
    assert "it took longer than 1 s" in caplog.text


async def test_whoever_finds_no_connection_free_is_told_in_time_and_never_served_later(
        database_url: str, hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CONNECTIONS", 1)
    async with Database(database_url) as database:
        blocked, free = threading.Event(), threading.Event()

        def block(connection: Connection) -> None:
            blocked.set()
            free.wait(5)

        first = asyncio.ensure_future(database.run(block))
        await asyncio.to_thread(blocked.wait, 2)
        with pytest.raises(Unsaved):
            await database.run(lambda connection: keep_channel(connection, "late"))
        free.set()
        await first
        assert await database.run(lambda connection: connection.execute(select(tables.direct_channel)).all()) == []


async def test_a_server_that_was_restarted_is_not_noticed(postgresql: Server, database_url: str) -> None:
    async with Database(database_url) as database:
        await database.run(lambda connection: keep_channel(connection, "a"))
        postgresql.restart()
        await database.run(lambda connection: keep_channel(connection, "b"))
        tries: list[int] = []

        def interrupted(connection: Connection) -> None:
            keep_channel(connection, "c")
            tries.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            if len(tries) == 1:
                with psycopg.connect(database_url) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", tries)
            keep_channel(connection, "d")

        await database.run(interrupted)
        kept = await database.run(lambda connection: connection.execute(
            select(tables.direct_channel.c.user)).scalars().all())
    assert (sorted(kept), len(tries)) == (["a", "b", "c", "d"], 2)


async def test_while_there_is_no_server_nothing_is_saved_and_then_all_is_well(
        postgresql: Server, database_url: str) -> None:
    async with Database(database_url) as database:
        await database.run(lambda connection: keep_channel(connection, "a"))
        postgresql.stop()
        try:
            for _ in range(2):
                begun = time.monotonic()
                with pytest.raises(Unsaved):
                    await database.run(lambda connection: keep_channel(connection, "b"))
                assert time.monotonic() - begun < store.PATIENCE
        finally:
            postgresql.start()
        await database.run(lambda connection: keep_channel(connection, "b"))


async def test_a_commit_that_nobody_answered_is_not_done_again(database_url: str) -> None:
    """It may have been kept: whoever asked is told that it was not, and asks again under the same name."""
    async with Database(database_url) as database:
        tries: list[int] = []

        def work(connection: Connection) -> None:
            keep_channel(connection, "a")
            tries.append(1)
            # Half of the line: the commit goes out, and is never answered.
            connection.connection.info["line"].shutdown(socket.SHUT_RD)

        with pytest.raises(Unsaved):
            await database.run(work)
        assert len(tries) == 1


@pytest.fixture(scope="session")
def guarded(postgresql: Server) -> Server:
    """With the database that asks for a password."""
    postgresql.database(GUARDED)
    with psycopg.connect(postgresql.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE ninety PASSWORD '{PASSWORD}'")
    return postgresql


def test_a_wrong_password_is_told_without_it(guarded: Server, caplog: pytest.LogCaptureFixture) -> None:
    url = guarded.url(GUARDED, "open-sesame")
    database = Database(url)
    with pytest.raises(NoDatabase) as refused:
        migrate(database)
    database.close()
    assert 'password authentication failed for user "ninety"' in str(refused.value)
    assert "(NINETY_DATABASE_URL)" in str(refused.value)
    assert isinstance(refused.value, ValueError) and isinstance(refused.value, Unsaved)
    logging.getLogger("tests").exception("Refused", exc_info=refused.value)
    assert "open-sesame" not in f"{refused.value!r}{caplog.text}"
    database = Database(guarded.url(GUARDED, PASSWORD))
    assert migrate(database)[0] is None
    database.close()


@pytest.mark.parametrize("prefix", ["postgresql", "postgresql+psycopg", "postgres"])
def test_a_server_that_is_not_there_is_told(prefix: str, tmp_path: Path) -> None:
    database = Database(f"{prefix}://ninety:open-sesame@/ninety?host={tmp_path}")
    with pytest.raises(NoDatabase, match="PostgreSQL does not let me in") as refused:
        migrate(database)
    database.close()
    assert "open-sesame" not in str(refused.value)


def test_the_command_opens_a_cohort_and_lists_it(
        database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", database_url)
    assert "is at version" in ninety("migrate").stdout
    result = ninety("cohort", "open", "Autumn", "--start", "2099-11-30", "--zone", "Berlin")
    assert result.exit_code == 0, result.output
    again = ninety("cohort", "open", "Again", "--start", "2099-11-30", "--zone", "Berlin")
    assert (again.exit_code, "lives in local:ninety already" in again.stderr) == (2, True)
    assert "2099-11-30 to 2100-02-27      0 members  local:ninety  Autumn" in ninety("cohort", "list").stdout


def test_an_account_is_never_mistaken_for_a_member(cohort: Cohort) -> None:
    """Members are locked by their ids, which are positive."""
    keys = {_nobody(cohort.id, Account("slack", workspace, user)) for workspace in ("", "T1", "T") for user in
            ("1", "11", "\ud800")}
    assert len(keys) == 9
    assert all(-2**63 <= key < 0 for key in keys)


@pytest.mark.parametrize(("required", "ends"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_where_there_is_no_server_to_start_these_tests_are_skipped_unless_they_are_required(
        required: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.postgresql.binaries", lambda: None)
    monkeypatch.setenv("NINETY_REQUIRE_POSTGRESQL", required)
    with pytest.raises(ends, match="apt-get install postgresql"), server():
        pass
