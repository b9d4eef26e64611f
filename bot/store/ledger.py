"""`bot.ledger` over SQLAlchemy Core.

SQLite runs one transaction after the other. PostgreSQL runs them side by side, so what is read there in order to be
written is locked until the transaction ends, in this order, in which two never wait for each other: a person's affairs
in a cohort (`enrolment`), then the names in it (`names`), then how far its nudges are owed (`nudges_owed`). All else
that is promised rests on unique rows and on updates that say what they expect to find.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, datetime
from functools import cache, lru_cache, partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from typing import cast as seen_as

from sqlalchemy import (
    JSON,
    BigInteger,
    ClauseElement,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Row,
    ScalarSelect,
    Select,
    String,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.types import TypeEngine

from bot.cohort.enrolment import folded
from bot.cohort.journal import CheckedIn, Entry, Event, Granted, Joined, Journal, Left, Moved, Rested, Seq, Voided
from bot.cohort.scoring import Record
from bot.ledger import (
    LONG_AGO,
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
)
from bot.messages import DeliveryKey
from bot.store import tables
from bot.store.database import Database
from bot.store.tables import instant, kept
from content.edition import Edition
from content.model import PostKind, StepId

T = TypeVar("T")

_CHANGEABLE = ("name", "alias", "shows_name", "zone", "nudges", "present", "points", "streak", "streak_until")

_KINDS: dict[str, type[Event]] = {
    "joined": Joined, "moved": Moved, "checked_in": CheckedIn, "rested": Rested, "granted": Granted,
    "voided": Voided, "left": Left,
}
_KIND_OF = {kind: name for name, kind in _KINDS.items()}
_OPEN = (State.OWED.value, State.SENDING.value, State.UNKNOWN.value)



# --- statements -------------------------------------------------------------------------------------------------------


class _Cursor(Protocol):
    rowcount: int

    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def executemany(self, words: str, values: Iterable[Mapping[str, object]]) -> object: ...


class _Driver(Protocol):
    """What sqlite3 and psycopg have in common."""

    def execute(self, words: str, values: Mapping[str, object]) -> _Cursor: ...
    def cursor(self) -> _Cursor: ...
    def pipeline(self) -> AbstractContextManager[object]:
        """Psycopg alone: what is begun within goes out at once, and is answered in the end."""


class _Statement:
    """What a check-in or a tick runs, made into each database's words once, and given to the driver itself: to have
    SQLAlchemy run it takes several times as long as SQLite does. Rows are tuples, and instants and JSON as they are
    kept."""

    def __init__(self, built: ClauseElement | Callable[[str], ClauseElement], *columns: str) -> None:
        """`columns` are those that are written, when the statement does not say. What differs is built by dialect."""
        self._built = built
        self._columns = list(columns) or None
        self._words: dict[str, tuple[str, dict[str, object]]] = {}

    def words(self, dialect: str) -> tuple[str, dict[str, object]]:
        """And the values that never change."""
        if dialect not in self._words:
            built = self._built(dialect) if callable(self._built) else self._built
            compiled = built.compile(dialect=_DIALECTS[dialect], column_keys=self._columns)
            self._words[dialect] = str(compiled), {
                name: value for name, value in compiled.params.items() if value is not None}
        return self._words[dialect]


_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": psycopg.dialect(),  # type: ignore[no-untyped-call]
}


def _insert_if_new(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """What is there already stays as it is."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _owe(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """What is there already stays as it is, but what was withdrawn is owed again."""
    new: sqlite.Insert | postgresql.Insert = \
        postgresql.insert(tables.delivery) if dialect == "postgresql" else sqlite.insert(tables.delivery)
    return new.on_conflict_do_update(
        index_elements=[_d.key], where=_d.state == State.WITHDRAWN.value,
        set_={name: new.excluded[name] for name in ("due", "latest", "state", "claimable", "reason")}).inline()


def _listed(dialect: str, name: str, kind: type[TypeEngine[Any]] = String) -> Select[Any]:
    """The elements of a JSON array: a list of any length in a statement that stays the same."""
    if dialect == "postgresql":
        return select(cast(func.json_array_elements_text(cast(bindparam(name), JSON)).column_valued("one"), kind))
    return select(func.json_each(bindparam(name)).table_valued("value").c.value)


def _claimable(dialect: str) -> Select[Any]:
    return (select(tables.delivery).where(*_IN_LANE, _d.claimable <= bindparam("now"),
                                          or_(*(_d.state == one for one in _OPEN)),
                                          _d.key.not_in(_listed(dialect, "besides")),
                                          _d.cohort.not_in(select(_r.cohort).where(
                                              _r.platform == bindparam("platform"),
                                              _r.workspace.in_(_listed(dialect, "full")))))
            .order_by(_d.claimable, _d.id).limit(bindparam("most")).with_for_update(skip_locked=True))


def _place(points: ColumnElement[int]) -> ScalarSelect[int]:
    return select(func.coalesce(func.sum(_t.members), 0) + 1).where(
        _t.cohort == bindparam("cohort"), _t.points > points).scalar_subquery()


_c, _m, _j, _d = tables.cohort.c, tables.member.c, tables.journal.c, tables.delivery.c
_r, _l, _k, _s, _t = tables.room.c, tables.linked_account.c, tables.code.c, tables.sender.c, tables.total.c
_COHORT_IN = _Statement(select(_r.cohort).where(
    _r.platform == bindparam("platform"), _r.workspace == bindparam("workspace"), _r.channel == bindparam("channel")))
_ROOMS = _Statement(select(_r.platform, _r.workspace, _r.channel).where(_r.cohort == bindparam("cohort"))
                    .order_by(_r.id))
_PLATFORMS = _Statement(select(_r.platform, func.count()).group_by(_r.platform))
_COHORTS = _Statement(select(_c.id).order_by(_c.id))
_NUDGES_OWED = _Statement(select(_c.nudges_owed).where(_c.id == bindparam("cohort")))
_MEMBER = _Statement(select(tables.member).where(_m.id == bindparam("member")))
_LINKED = select(_l.member).where(_l.platform == bindparam("platform"), _l.workspace == bindparam("workspace"),
                                  _l.user == bindparam("user"))
_JOINED = select(_m.id).where(_m.platform == bindparam("platform"), _m.workspace == bindparam("workspace"),
                              _m.user == bindparam("user"))
_ACCOUNTS = _Statement(select(_l.platform, _l.workspace, _l.user).where(_l.member == bindparam("member"))
                       .order_by(_l.id))
# Who linked an account says where it belongs, though it may have joined by itself before. Each of the two is a look
# into an index; asked with OR, both databases would go through the whole cohort.
_WHO = func.coalesce(_LINKED.where(_l.cohort == bindparam("cohort")).scalar_subquery(),
                     _JOINED.where(_m.cohort == bindparam("cohort")).scalar_subquery())
_ENROLMENT = _Statement(select(tables.member).where(_m.id == _WHO))
# Advisory locks, which cost no write, so that somebody who only looks causes none. Members are locked by their ids, and
# whoever is none yet by a negative number; the names of a cohort by two numbers, which are never the same as one.
_WHOSE = select(func.coalesce(_WHO, bindparam("nobody", type_=BigInteger)).label("key")).subquery()
_LOCK_ENROLMENT = _Statement(select(_WHOSE.c.key, func.pg_advisory_xact_lock(_WHOSE.c.key)))
_LOCK_MEMBER = _Statement(select(func.pg_advisory_xact_lock(bindparam("member", type_=BigInteger))))
_LOCK_OF_COHORT = _Statement(select(func.pg_advisory_xact_lock(
    cast(bindparam("what", type_=Integer), Integer), cast(bindparam("cohort", type_=BigInteger), Integer))))
_NAMES, _NUDGES = 1, 2
_ENROLMENTS = _Statement(select(tables.member).where(_m.id.in_(union_all(_LINKED, _JOINED))).order_by(
    _m.cohort.desc(), case((_m.id.in_(_LINKED), 0), else_=1)))
_AFTER = (_m.cohort == bindparam("cohort"), _m.id > bindparam("after"))
_MEMBERS = _Statement(select(tables.member).where(*_AFTER, _m.id <= bindparam("upto"), _m.present).order_by(_m.id))
_NAMED = _Statement(select(_m.id).where(
    _m.cohort == bindparam("cohort"), or_(_m.name_folded == bindparam("name_"), _m.alias_folded == bindparam("name_")),
    _m.id != bindparam("besides")).limit(1))
_ADD_MEMBER = _Statement(insert(tables.member).returning(_m.id), *(one.name for one in _m if one.name not in {
    "id", "streak", "streak_until"}))
_ENTRY = _j.seq, _j.at, _j.kind, cast(_j.body, Text), _j.request
_SINCE = or_(_j.at >= bindparam("since"), _j.kind != _KIND_OF[CheckedIn])
_OWN = select(*_ENTRY).where(_j.member == bindparam("member")).order_by(_j.seq)
_JOURNAL, _JOURNAL_SINCE = _Statement(_OWN), _Statement(_OWN.where(_SINCE))
_JOURNALS = _Statement(select(*_ENTRY, _j.member)
                       # By the members' own index: one by cohort would read all of it for each page.
                       .where(_j.member.in_(
                           select(_m.id).where(*_AFTER).order_by(_m.id).limit(bindparam("most"))), _SINCE)
                       .order_by(_j.member, _j.seq))
_ALL = 2**31 - 1
_APPEND = _Statement(lambda dialect: _insert_if_new(dialect, tables.journal).returning(_j.seq),
                     "cohort", "member", "at", "kind", "body", "request")
_HERE = (_m.cohort == bindparam("cohort"), _m.present)
_ON_BOARD = (*_HERE, _m.points > 0)
# Each of them is a look into the index; with one bound more for the points, SQLite would go through half of it. Limits
# are written out: of one that it is given PostgreSQL fears a tenth of all rows when it plans for any value, and so it
# would plan each board of a million members anew, which takes 0.7 ms.
_TIED, _NEXT = _m.points == bindparam("points_"), select(_m.id).where(*_HERE).limit(literal_column("1"))
_ABOVE, _BELOW = (func.coalesce(tied.scalar_subquery(), other.scalar_subquery()) for tied, other in (
    (_NEXT.where(_TIED, _m.shown < bindparam("shown_")).order_by(_m.shown.desc()),
     _NEXT.where(_m.points > bindparam("points_")).order_by(_m.points, _m.shown.desc())),
    (_NEXT.where(_TIED, _m.shown > bindparam("shown_")).order_by(_m.shown),
     _NEXT.where(_m.points < bindparam("points_"), _m.points > 0).order_by(_m.points.desc(), _m.shown))))
_around = tables.member.alias()
# Mostly all three have as many points as the one in the middle, whose place is worked out once.
_AROUND = select(
    case((_around.c.points == bindparam("points_"), _place(bindparam("points_"))), else_=_place(_around.c.points)),
    _around).where(_around.c.id.in_([_ABOVE, bindparam("member"), _BELOW]))
_STANDING = _Statement(select(
    func.coalesce(func.sum(_t.members).filter(_t.points > bindparam("points_")), 0),
    func.coalesce(func.sum(_t.members), 0)).where(_t.cohort == bindparam("cohort")))
_WITHDRAWN = update(tables.delivery).where(
    _d.member == bindparam("member_"), _d.state == State.OWED.value, _d.kind == bindparam("kind_")).values(
    state=State.WITHDRAWN.value, reason=bindparam("why"), claimable=null())
_WITHDRAW = _Statement(_WITHDRAWN)
_WITHDRAW_STEP = _Statement(_WITHDRAWN.where(_d.step == bindparam("step_")))
_OWE = _Statement(_owe, *(one.name for one in _d if one.name not in {
    "id", "message", "link", "sent_at", "report"}))
_IN_LANE = (_d.platform == bindparam("platform"), _d.private == bindparam("private"))
_CLAIMABLE = _Statement(_claimable)
_SENDING = _Statement(lambda dialect: update(tables.delivery).where(
    _d.id.in_(_listed(dialect, "ids", BigInteger))).values(state=State.SENDING.value, attempt=_d.attempt + 1))
_FINISH = _Statement(update(tables.delivery).where(
    _d.key == bindparam("key_"), _d.attempt == bindparam("attempt_"), _d.state == State.SENDING.value),
    "state", "reason", "claimable", "message", "link", "sent_at")
_SENDER = _Statement(select(tables.sender).where(_s.platform == bindparam("platform")))
_TERM = _Statement(select(_s.term).where(_s.platform == bindparam("platform")).with_for_update(read=True))
_SENDER_BECOMES = _Statement(update(tables.sender).where(
    _s.platform == bindparam("platform_"), _s.holder == bindparam("holder_"), _s.term == bindparam("term_"),
    _s.beat == bindparam("beat_")), "platform", "holder", "term", "beat")
_REPORTED = _Statement(select(tables.delivery).where(_d.report == bindparam("report_")).order_by(_d.due, _d.id))
_DELIVERIES = _Statement(select(tables.delivery).where(_d.cohort == bindparam("cohort")).order_by(_d.due, _d.id))
_DUE = select(_d.claimable).where(*_IN_LANE, _d.claimable.is_not(None)).order_by(_d.claimable).limit(1)
_OPENS = select(_c.opening).where(_c.opening.is_not(None)).order_by(_c.opening).limit(1)
_NEXT_DUE, _NEXT_OPENING = _Statement(_DUE), _Statement(_OPENS)
_NEXT_DUE_OR_OPENING = _Statement(select(func.min(union_all(
    select(_DUE.scalar_subquery().label("at")), select(_OPENS.scalar_subquery())).subquery().c.at)))
_OPENING = _Statement(select(_c.id).where(_c.opening <= bindparam("now")).order_by(_c.id))
_ORGANISED = _Statement(select(_c.id).where(
    _c.organiser_platform == bindparam("platform"), _c.organiser_workspace == bindparam("workspace"),
    _c.organiser_user == bindparam("user")).order_by(_c.id.desc()))


@cache
def _change_member(names: tuple[str, ...]) -> _Statement:
    return _Statement(update(tables.member).where(_m.id == bindparam("id_")), *names)


@cache
def _board(rows: int, around: bool, server: bool) -> tuple[_Statement, ...]:
    """Of the top rows, which have no place yet; and of those around a member. A server is asked once for both; SQLite
    takes longer for one that has to be put in order than for two."""
    top = select(cast(null(), BigInteger).label("place"), tables.member).where(*_ON_BOARD).order_by(
        _m.points.desc(), _m.shown).limit(literal_column(str(rows)))
    if not around:
        return _Statement(top),
    if not server:
        return _Statement(top), _Statement(_AROUND.order_by(_around.c.points.desc(), _around.c.shown))
    both = union_all(select(top.subquery()), _AROUND)
    one = both.selected_columns
    return _Statement(both.order_by(one.place.nulls_first(), one.points.desc(), one.shown)),


# --- the ledger -------------------------------------------------------------------------------------------------------


class StoredLedger:
    """Cohorts are read once, and where they live: all that changes in them is how far their nudges are owed, which is
    asked for apart."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cohorts: dict[CohortId, Cohort] = {}
        self._homes: dict[Room, CohortId] = {}
        self._due: dict[Lane, tuple[object, datetime | None]] = {}

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        return self._learned(await self._database.run(
            partial(self._worked, work), reads=reads,
            meanwhile=None if meanwhile is None else lambda done: meanwhile(done[0])))

    def transact_here(self, work: Callable[[Transaction], T]) -> T:
        return self._learned(self._database.run_here(partial(self._worked, work)))

    async def next_due(self, lane: Lane) -> datetime | None:
        written = self._database.written()
        known = self._due.get(lane)
        if known is not None and known[0] == written:
            return known[1]
        words, constants = _NEXT_DUE_OR_OPENING.words(self._database.engine.dialect.name)
        row = await self._database.glance(words, constants | lane._asdict())
        due = None if row is None or row[0] is None else instant(row[0])
        self._due[lane] = written, due
        return due

    def _worked(self, work: Callable[[Transaction], T], connection: Connection) -> tuple[T, StoredTransaction]:
        # Read within a transaction that is then undone, a cohort may never have been: only a commit makes it known.
        tx = StoredTransaction(connection, self._cohorts, self._homes)
        done = work(tx)
        tx.flush()
        return done, tx

    def _learned(self, done: tuple[T, StoredTransaction]) -> T:
        answer, tx = done
        self._cohorts |= tx.cohorts_read
        self._homes |= tx.homes_read
        return answer


class StoredTransaction:
    def __init__(self, connection: Connection, cohorts: Mapping[CohortId, Cohort] = MappingProxyType({}),
                 homes: Mapping[Room, CohortId] = MappingProxyType({})) -> None:
        self._connection = connection
        self._driver: _Driver = seen_as(_Driver, connection.connection.driver_connection)
        self._dialect = connection.dialect.name
        self._locks = self._dialect == "postgresql"
        self._cohorts, self._homes = cohorts, homes
        self.cohorts_read: dict[CohortId, Cohort] = {}
        self.homes_read: dict[Room, CohortId] = {}
        self._read: dict[MemberId, Member] = {}
        self._later: list[tuple[_Statement, dict[str, object]]] = []

    def _run(self, statement: _Statement, **values: object) -> _Cursor:
        if self._later:
            return self._run_together((statement, values))[-1]
        words, constants = statement.words(self._dialect)
        return self._driver.execute(words, constants | values if constants else values)

    def _run_together(self, *statements: tuple[_Statement, dict[str, object]]) -> list[_Cursor]:
        """On a server, after what was left for later: one way there and back for all of them."""
        self._later, later = [], self._later
        with self._driver.pipeline():
            return [self._run(statement, **values) for statement, values in (*later, *statements)]

    def flush(self) -> None:
        if self._later:
            self._run_together()

    @property
    def _core(self) -> Connection:
        self.flush()
        return self._connection

    def _run_all(self, statement: _Statement, values: Iterable[dict[str, object]]) -> int:
        """How many rows it was about."""
        self.flush()
        words, constants = statement.words(self._dialect)
        cursor = self._driver.cursor()
        cursor.executemany(words, [constants | one for one in values])
        return cursor.rowcount

    def _lock(self, what: int, cohort: CohortId) -> None:
        if self._locks:
            self._run(_LOCK_OF_COHORT, what=what, cohort=cohort)

    # --- cohorts

    def open_cohort(self, title: str, start: date, zone: str, edition: Edition, room: Room,
                    organiser: Account | None, salt: str, at: datetime, *, threads: bool = False,
                    graduate_role: str = "") -> Cohort:
        if self.cohort_in(room) is not None:
            raise RoomTaken(str(room))
        self._core.execute(_insert_if_new(self._dialect, tables.edition),
                                 {"digest": edition.digest, "snapshot": edition.dump()})
        result = self._core.execute(insert(tables.cohort).values(
            title=title, start=start, zone=zone, digest=edition.digest, platform=room.platform,
            workspace=room.workspace, channel=room.channel, salt=salt, opened_at=at,
            organiser_platform=organiser and organiser.platform, organiser_workspace=organiser and organiser.workspace,
            organiser_user=organiser and organiser.user, threads=threads, graduate_role=graduate_role))
        assert result.inserted_primary_key is not None  # noqa: S101  # an insert of one row has one
        cohort = CohortId(result.inserted_primary_key[0])
        self.add_room(cohort, room)
        self.set_nudges_owed(cohort, 0)
        return self.cohort(cohort)

    def cohort(self, cohort: CohortId) -> Cohort:
        found = self._cohorts.get(cohort) or self.cohorts_read.get(cohort)
        if found is None:
            found = self.cohorts_read[cohort] = _cohort(self._core.execute(
                select(tables.cohort, tables.edition.c.snapshot).join(tables.edition)
                .where(tables.cohort.c.id == cohort)).one())
        return found

    def organised(self, account: Account) -> Sequence[Cohort]:
        return [self.cohort(CohortId(cohort)) for cohort, in self._run(_ORGANISED, **vars(account)).fetchall()]

    def cohorts(self) -> Sequence[Cohort]:
        return [self.cohort(CohortId(cohort)) for cohort, in self._run(_COHORTS).fetchall()]

    def cohort_in(self, room: Room) -> Cohort | None:
        home = self._homes.get(room)
        if home is None:
            found = self._run(_COHORT_IN, **vars(room)).fetchone()
            if found is None:
                return None
            home = self.homes_read[room] = CohortId(found[0])
        return self.cohort(home)

    def platforms(self) -> Mapping[str, int]:
        return dict(self._run(_PLATFORMS).fetchall())

    def rooms(self, cohort: CohortId) -> Sequence[Room]:
        return [Room(*row) for row in self._run(_ROOMS, cohort=cohort).fetchall()]

    def add_room(self, cohort: CohortId, room: Room) -> None:
        taken = self._core.execute(_insert_if_new(self._dialect, tables.room).values(
            cohort=cohort, **vars(room)).returning(_r.id)).first() is None
        if taken:
            raise RoomTaken(str(room))

    # --- codes

    def keep_code(self, digest: str, code: Code) -> None:
        self._core.execute(insert(tables.code).values(digest=digest, **vars(code)))

    def take_code(self, digest: str, now: datetime) -> Code | None:
        # Two that sweep at once would wait for each other's rows.
        self._core.execute(delete(tables.code).where(_k.digest.in_(
            select(_k.digest).where(_k.expires <= now).with_for_update(skip_locked=True))))
        row = self._core.execute(
            delete(tables.code).where(_k.digest == digest).returning(_k.cohort, _k.member, _k.expires)).one_or_none()
        return None if row is None else Code(*row)

    # --- members

    def member(self, member: MemberId) -> Member:
        row = self._run(_MEMBER, member=member).fetchone()
        if row is None:
            raise LookupError(f"there is no member {member}")
        return self._known(row)

    def enrolment(self, cohort: CohortId, account: Account) -> Member | None:
        whose: dict[str, object] = {"cohort": cohort} | vars(account)
        locked = None
        if self._locks:
            lock, found = self._run_together(
                (_LOCK_ENROLMENT, {"nobody": _nobody(cohort, account)} | whose), (_ENROLMENT, whose))[-2:]
            locked, row = lock.fetchone(), found.fetchone()
        else:
            row = self._run(_ENROLMENT, **whose).fetchone()
        if locked is not None and row is not None and row[0] != locked[0]:
            # While we waited, whoever was none became a member, or the account was linked to another one.
            self._run(_LOCK_MEMBER, member=row[0])
            return self.member(MemberId(row[0]))
        return None if row is None else self._known(row)

    def _known(self, row: tuple[Any, ...]) -> Member:
        member = _member(row)
        self._read[member.id] = member
        return member

    def enrolments(self, account: Account) -> Sequence[Member]:
        found = [_member(row) for row in self._run(_ENROLMENTS, **vars(account)).fetchall()]
        return list({member.cohort: member for member in reversed(found)}.values())[::-1]

    def accounts(self, member: Member) -> Sequence[Account]:
        return [member.account, *(Account(*row) for row in self._run(_ACCOUNTS, member=member.id).fetchall())]

    def link(self, member: Member, account: Account) -> None:
        self._core.execute(delete(tables.linked_account).where(
            _l.cohort == member.cohort, _l.platform == account.platform, _l.workspace == account.workspace,
            _l.user == account.user))
        self._core.execute(insert(tables.linked_account).values(
            cohort=member.cohort, member=member.id, **vars(account)))

    def members(self, cohort: CohortId, after: MemberId | None = None, upto: MemberId | None = None) \
            -> Sequence[Member]:
        return [_member(row) for row in
                self._run(_MEMBERS, cohort=cohort, after=after or 0, upto=_ALL if upto is None else upto).fetchall()]

    def names(self, cohort: CohortId, besides: MemberId | None = None) -> Container[str]:
        self._lock(_NAMES, cohort)
        return _Names(self, cohort, besides)

    def add_member(self, cohort: CohortId, account: Account, name: str, alias: str, shows_name: bool, zone: str,
                   nudges: bool) -> Member:
        row = self._run(
            _ADD_MEMBER, cohort=cohort, platform=account.platform, workspace=account.workspace, user=account.user,
            name=name, name_folded=folded(name), alias=alias, alias_folded=folded(alias), shows_name=shows_name,
            shown=folded(name if shows_name else alias), zone=zone, nudges=nudges, present=True, points=0).fetchone()
        assert row is not None  # noqa: S101  # an insert of one row has one
        member = self._read[row[0]] = Member(
            MemberId(row[0]), cohort, account, name, alias, shows_name, zone, nudges, True, 0)
        return member

    def change_member(self, member: Member) -> None:
        # Only what has changed since it was read: the herald, which locks nobody, must not write old points back.
        before = self._read.get(member.id)
        changed: dict[str, object] = {name: value for name in _CHANGEABLE
                   if (value := getattr(member, name)) != getattr(before, name, None)}
        changed |= {f"{name}_folded": folded(getattr(member, name)) for name in ("name", "alias") if name in changed}
        if changed.keys() & {"name", "alias", "shows_name"}:
            changed["shown"] = folded(member.board_name)
        if isinstance(until := changed.get("streak_until"), datetime):
            changed["streak_until"] = kept(until)
        change = _change_member(tuple(changed)), {"id_": member.id} | changed
        if changed and self._locks:
            # Nobody asks what came of it; and those who have as many points wait for it.
            self._later.append(change)
        elif changed:
            self._run(change[0], **change[1])
        self._read[member.id] = member

    # --- the journal

    def journal(self, member: MemberId, since: datetime | None = None) -> Journal:
        if since is not None:
            return tuple(_entries(self._run(_JOURNAL_SINCE, member=member, since=kept(since)).fetchall()))
        known, rows = _last_read(member), self._run(_JOURNAL, member=member).fetchall()
        known.read = read = _grown(*known.read, rows)
        return read[1]

    def journals(self, cohort: CohortId, after: MemberId | None = None, most: int | None = None,
                 since: datetime | None = None) -> dict[MemberId, Journal]:
        found: dict[MemberId, list[Entry]] = defaultdict(list)
        rows = self._run(_JOURNALS, cohort=cohort, after=after or 0, most=most or _ALL,
                         since=kept(since or LONG_AGO)).fetchall()
        for row, entry in zip(rows, _entries(rows), strict=True):
            found[MemberId(row[-1])].append(entry)
        return {member: tuple(entries) for member, entries in found.items()}

    def append(self, member: Member, event: Event, request: RequestId) -> Entry | None:
        body = {name: value for name, value in vars(event).items() if name != "at"}
        row = self._run(
            _APPEND, cohort=member.cohort, member=member.id, at=kept(event.at), kind=_KIND_OF[type(event)],
            body=json.dumps(body), request=request).fetchone()
        return None if row is None else Entry(Seq(row[0]), event, request)

    # --- the board

    def board(self, cohort: CohortId, rows: int, you: Member | None = None) \
            -> tuple[Sequence[Member], Sequence[tuple[int, Member]]]:
        whose: dict[str, object] = {"cohort": cohort}
        if you is not None:
            whose |= {"member": you.id, "points_": you.points, "shown_": folded(you.board_name)}
        top, near = [], []
        for statement in _board(rows, you is not None, self._locks):
            for place, *row in self._run(statement, **whose).fetchall():
                if place is None:
                    top.append(_member(row))
                else:
                    near.append((int(place), _member(row)))
        return top, near

    def standing(self, cohort: CohortId, points: int) -> tuple[int, int]:
        row = self._run(_STANDING, cohort=cohort, points_=points).fetchone()
        assert row is not None  # noqa: S101  # a sum is always one row
        return int(row[0]), int(row[1])

    def rebuild(self, cohort: CohortId) -> int:
        course, wrong = self.cohort(cohort).course, 0
        for id_, journal in self.journals(cohort).items():
            member = self.member(id_)
            # At the last of the events, as it was written when it happened.
            right = member.standing(Record(course, journal, journal[-1].event.at))
            wrong += right.points != member.points
            self.change_member(right)
        self._core.execute(delete(tables.total).where(_t.cohort == cohort))
        self._core.execute(insert(tables.total).from_select(["cohort", "points", "part", "members"], select(
            _m.cohort, _m.points, literal(0), func.count()).where(_m.cohort == cohort, _m.present, _m.points > 0)
            .group_by(_m.cohort, _m.points)))
        return wrong

    # --- who sends

    def sender(self, platform: str) -> Sender | None:
        row = self._run(_SENDER, platform=platform).fetchone()
        return None if row is None else Sender(*row)

    def take_over(self, platform: str, seen: Sender | None, holder: str) -> Sender | None:
        if seen is None:
            new = Sender(platform, holder, 1, 0)
            made = self._core.execute(
                _insert_if_new(self._dialect, tables.sender).values(**vars(new)).returning(_s.term))
            return new if made.first() is not None else None
        new = Sender(platform, holder, seen.term + 1, 0)
        return new if self._sender_becomes(new, seen) else None

    def renew(self, sender: Sender) -> Sender | None:
        new = replace(sender, beat=sender.beat + 1)
        return new if self._sender_becomes(new, sender) else None

    def resign(self, sender: Sender) -> None:
        self._core.execute(update(tables.sender).where(
            _s.platform == sender.platform, _s.term == sender.term).values(holder="", term=sender.term + 1, beat=0))

    def _sender_becomes(self, new: Sender, seen: Sender) -> bool:
        return self._run(_SENDER_BECOMES, **vars(new), **{
            f"{name}_": value for name, value in vars(seen).items()}).rowcount == 1

    # --- deliveries

    def owe(self, deliveries: Iterable[Delivery]) -> int:
        rows: list[dict[str, object]] = [{
            "key": one.key, "cohort": one.cohort, "kind": one.kind.value, "step": one.step, "member": one.member,
            "platform": one.lane.platform, "private": one.lane.private, "due": kept(one.due),
            "latest": kept(one.latest), "claimable": kept(one.due), "state": State.OWED.value, "attempt": 0,
            "reason": ""} for one in deliveries]
        return self._run_all(_OWE, rows) if rows else 0

    def withdraw(self, member: MemberId, kind: PostKind, step: StepId | None, reason: str) -> int:
        if step is None:
            return self._run(_WITHDRAW, member_=member, kind_=kind.value, why=reason).rowcount
        return self._run(_WITHDRAW_STEP, member_=member, kind_=kind.value, why=reason, step_=step).rowcount

    def claim(self, lane: Lane, now: datetime, most: int, besides: Collection[DeliveryKey] = (),
              term: int | None = None, full: Collection[str] = ()) -> Sequence[Claim]:
        # Locked, so that nobody takes over before this is committed.
        if term is not None and self._run(_TERM, platform=lane.platform).fetchone() != (term,):
            raise Superseded
        rows = self._run(_CLAIMABLE, platform=lane.platform, private=lane.private, now=kept(now), most=most,
                         besides=json.dumps(list(besides)), full=json.dumps(list(full))).fetchall()
        if rows:
            self._run(_SENDING, ids=json.dumps([row[0] for row in rows]))
        return [Claim(_delivery(row, lane), row[_ATTEMPT] + 1, row[_STATE] != State.OWED.value) for row in rows]

    def finish(self, claim: Claim, state: State, receipt: Receipt | None, reason: str, due: datetime | None = None) \
            -> bool:
        claimable = kept(due or claim.delivery.due) if state.value in _OPEN else None
        message, link, sent_at = (None, None, None) if receipt is None else (
            receipt.message, receipt.link, kept(receipt.at))
        return self._run(
            _FINISH, key_=claim.delivery.key, attempt_=claim.attempt, state=state.value, reason=reason,
            claimable=claimable, message=message, link=link, sent_at=sent_at).rowcount == 1

    def next_due(self, lane: Lane) -> datetime | None:
        row = self._run(_NEXT_DUE, platform=lane.platform, private=lane.private).fetchone()
        return None if row is None else instant(row[0])

    def nudges_owed(self, cohort: CohortId) -> int:
        # Whoever joins while the herald derives nudges is among those that it sees, or sees that it has derived them.
        self._lock(_NUDGES, cohort)
        row = self._run(_NUDGES_OWED, cohort=cohort).fetchone()
        assert row is not None  # noqa: S101  # the cohort was read from its row
        return int(row[0])

    def set_nudges_owed(self, cohort: CohortId, steps: int) -> None:
        self._core.execute(update(tables.cohort).where(tables.cohort.c.id == cohort).values(
            nudges_owed=steps, opening=_opening(self.cohort(cohort), steps)))

    def opening(self, now: datetime) -> Sequence[Cohort]:
        return [self.cohort(CohortId(cohort)) for cohort, in self._run(_OPENING, now=kept(now)).fetchall()]

    def next_opening(self) -> datetime | None:
        row = self._run(_NEXT_OPENING).fetchone()
        return None if row is None else instant(row[0])

    def report(self, keys: Iterable[DeliveryKey], report: DeliveryKey) -> None:
        self._core.execute(update(tables.delivery).where(tables.delivery.c.key.in_(list(keys)))
                                 .values(report=report))

    def reported_in(self, report: DeliveryKey) -> Sequence[Logged]:
        return [_logged(row) for row in self._run(_REPORTED, report_=report).fetchall()]

    def deliveries(self, cohort: CohortId) -> Sequence[Logged]:
        return [_logged(row) for row in self._run(_DELIVERIES, cohort=cohort).fetchall()]


class _Names:
    def __init__(self, tx: StoredTransaction, cohort: CohortId, besides: MemberId | None) -> None:
        self._tx, self._cohort, self._besides = tx, cohort, besides

    def __contains__(self, name: object) -> bool:
        return self._tx._run(
            _NAMED, cohort=self._cohort, name_=name, besides=self._besides or 0).fetchone() is not None


def _nobody(cohort: CohortId, account: Account) -> int:
    """A negative number of 64 bits, the same for the same."""
    told = "\0".join((str(cohort), account.platform, account.workspace, account.user))
    return -1 - (int.from_bytes(blake2b(told.encode(errors="replace"), digest_size=8).digest()) >> 1)


def _opening(cohort: Cohort, steps: int) -> datetime | None:
    """When the first step opens after so many."""
    ahead = cohort.edition.plan.steps[steps:]
    return cohort.course.opens(ahead[0].id) if ahead else None


# A thousand cohorts mostly share a few: each is megabytes in memory.
_edition = lru_cache(maxsize=32)(Edition.parse)


def _cohort(row: Row[Any]) -> Cohort:
    organiser = None
    if row.organiser_user is not None:
        organiser = Account(row.organiser_platform, row.organiser_workspace, row.organiser_user)
    return Cohort(CohortId(row.id), row.title, row.start, row.zone, _edition(row.snapshot),
                  Room(row.platform, row.workspace, row.channel), organiser, row.salt, row.opened_at,
                  row.threads, row.graduate_role)


def _member(row: Sequence[Any]) -> Member:
    """Of all columns, in the order of the table; so are the rows below."""
    (member, cohort, platform, workspace, user, name, _, alias, _, shows_name, zone, nudges, present, points, _, streak,
     until) = row
    return Member(member, cohort, Account(platform, workspace, user), name, alias,
                  bool(shows_name), zone, bool(nudges), bool(present), points, streak,
                  None if until is None else instant(until))


def _entries(rows: Sequence[Sequence[Any]]) -> Iterator[Entry]:
    # All bodies are decoded at once, which takes half as long.
    bodies: list[dict[str, Any]] = json.loads(f"[{','.join([row[3] for row in rows])}]")
    for row, body in zip(rows, bodies, strict=True):
        at = instant(row[1])
        if row[2] == "checked_in":      # nearly all are, and JSON has no tuples
            event: Event = CheckedIn(at, body["step"], tuple(body["done"]), body["hours"], tuple(body["links"]),
                                     body["notes"], body["confidence"])
        else:
            event = _KINDS[row[2]](at=at, **body)
        yield Entry(row[0], event, row[4])


class _LastRead:
    """Rows of a member's journal, and what they say."""

    read: tuple[list[tuple[Any, ...]], Journal] = [], ()


@lru_cache(maxsize=128)
def _last_read(member: MemberId) -> _LastRead:
    """Whoever is shown the form sends it back a little later, and a journal only grows: to compare rows is cheap, to
    decode them is not. Members of two databases that share a number are told apart by it, too."""
    return _LastRead()


def _grown(before: list[tuple[Any, ...]], journal: Journal, rows: list[tuple[Any, ...]]) \
        -> tuple[list[tuple[Any, ...]], Journal]:
    if rows == before:
        return before, journal
    if rows[:len(before)] != before:
        before, journal = [], ()
    return rows, (*journal, *_entries(rows[len(before):]))


def _delivery(row: Sequence[Any], lane: Lane | None = None) -> Delivery:
    """`lane` where it is known."""
    _, key, cohort, kind, step, member, platform, private, due, latest, *_ = row
    return Delivery(key, cohort, PostKind(kind), step, member, instant(due), instant(latest),
                    lane or Lane(platform, bool(private)))


def _logged(row: Sequence[Any]) -> Logged:
    state, attempt, _, reason, message, link, sent_at, _ = row[_STATE:]
    receipt = None if message is None else Receipt(message, link, instant(sent_at))
    return Logged(_delivery(row), State(state), attempt, receipt, reason)


_STATE, _ATTEMPT = (tables.delivery.c.keys().index(name) for name in ("state", "attempt"))
