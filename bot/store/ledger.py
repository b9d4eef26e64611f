"""`bot.ledger` over SQLAlchemy Core.

SQLite runs one transaction after the other. PostgreSQL runs them side by side, so what is read there in order to be
written is locked until the transaction ends, in this order, in which two never wait for each other: a person's affairs
in a cohort (`enrolment`), then the names in it (`names`), then how far its nudges are owed (`nudges_owed`). All else
that is promised rests on unique rows and on updates that say what they expect to find.
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, MutableMapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache, partial
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Row,
    Table,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from bot.cohort.enrolment import folded
from bot.cohort.journal import CheckedIn, Entry, Event, Granted, Joined, Journal, Left, Moved, Rested, Seq, Voided
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
)
from bot.messages import DeliveryKey
from bot.store import tables
from bot.store.database import Database
from content.edition import Edition
from content.model import PostKind, StepId

T = TypeVar("T")
INSERT = TypeVar("INSERT", sqlite.Insert, postgresql.Insert, sqlite.Insert | postgresql.Insert)

_CHANGEABLE = ("name", "alias", "shows_name", "zone", "nudges", "present", "points")

_KINDS: dict[str, type[Event]] = {
    "joined": Joined, "moved": Moved, "checked_in": CheckedIn, "rested": Rested, "granted": Granted,
    "voided": Voided, "left": Left,
}
_KIND_OF = {kind: name for name, kind in _KINDS.items()}
_OPEN = (State.OWED.value, State.SENDING.value, State.UNKNOWN.value)

# Statements that a check-in or a tick runs are built once: SQLAlchemy takes longer to build one than SQLite to run it.
_c, _m, _j, _d = tables.cohort.c, tables.member.c, tables.journal.c, tables.delivery.c
_HERS = (_m.platform == bindparam("platform"), _m.workspace == bindparam("workspace"), _m.user == bindparam("user"))
_ON_BOARD = (_m.cohort == bindparam("cohort"), _m.present, _m.points > 0)
_r, _l, _k = tables.room.c, tables.linked_account.c, tables.code.c
_COHORT_IN = select(_r.cohort).where(_r.platform == bindparam("platform"), _r.workspace == bindparam("workspace"),
                                     _r.channel == bindparam("channel"))
_ROOMS = select(_r.platform, _r.workspace, _r.channel).where(_r.cohort == bindparam("cohort")).order_by(_r.id)
_COHORTS = select(_c.id).order_by(_c.id)
_NUDGES_OWED = select(_c.nudges_owed).where(_c.id == bindparam("cohort"))
_MEMBER = select(tables.member).where(_m.id == bindparam("member"))
_LINKED = select(_l.member).where(_l.platform == bindparam("platform"), _l.workspace == bindparam("workspace"),
                                  _l.user == bindparam("user"))
_ACCOUNTS = select(_l.platform, _l.workspace, _l.user).where(_l.member == bindparam("member")).order_by(_l.id)
# Who linked an account says where it belongs, though it may have joined by itself before.
_LINKED_FIRST = case((_m.id.in_(_LINKED), 0), else_=1)
_ENROLMENT = select(tables.member).where(
    _m.cohort == bindparam("cohort"), or_(and_(*_HERS), _m.id.in_(_LINKED))).order_by(_LINKED_FIRST).limit(1)
# Advisory locks, which cost no write, so that somebody who only looks causes none. Members are locked by their ids, and
# whoever is none yet by a negative number; the names of a cohort by two numbers, which are never the same as one.
_WHOSE = select(func.coalesce(_ENROLMENT.with_only_columns(_m.id).scalar_subquery(),
                              bindparam("nobody", type_=BigInteger)).label("key")).subquery()
_LOCK_ENROLMENT = select(_WHOSE.c.key, func.pg_advisory_xact_lock(_WHOSE.c.key))
_LOCK_MEMBER = select(func.pg_advisory_xact_lock(bindparam("member", type_=BigInteger)))
_LOCK_OF_COHORT = select(func.pg_advisory_xact_lock(
    cast(bindparam("what", type_=Integer), Integer), cast(bindparam("cohort", type_=BigInteger), Integer)))
_NAMES, _NUDGES = 1, 2
_ENROLMENTS = select(tables.member).where(or_(and_(*_HERS), _m.id.in_(_LINKED))).order_by(
    _m.cohort.desc(), _LINKED_FIRST)
_JOURNAL = select(tables.journal).where(_j.member == bindparam("member")).order_by(_j.seq)
_CHANGE_MEMBER = update(tables.member).where(_m.id == bindparam("id_"))
_WITH_POINTS = select(func.count()).select_from(tables.member).where(*_ON_BOARD)
_ABOVE = _WITH_POINTS.where(_m.points > bindparam("points_"))
_WITHDRAW = update(tables.delivery).where(
    _d.member == bindparam("member_"), _d.state == State.OWED.value, _d.kind == bindparam("kind_"))
_WITHDRAW_STEP = _WITHDRAW.where(_d.step == bindparam("step_"))
_IN_LANE = (_d.platform == bindparam("platform"), _d.private == bindparam("private"))
_CLAIMABLE = (select(tables.delivery).where(*_IN_LANE, _d.claimable <= bindparam("now"), _d.state.in_(_OPEN),
                                              _d.key.not_in(bindparam("besides", expanding=True)))
              .order_by(_d.claimable, _d.id).limit(bindparam("most")).with_for_update(skip_locked=True))
_SENDING = update(tables.delivery).where(_d.id.in_(bindparam("ids", expanding=True))).values(
    state=State.SENDING.value, attempt=_d.attempt + 1)
_s = tables.sender.c
_SENDER = select(tables.sender).where(_s.platform == bindparam("platform"))
_TERM = select(_s.term).where(_s.platform == bindparam("platform")).with_for_update(read=True)
_SENDER_BECOMES = update(tables.sender).where(
    _s.platform == bindparam("platform_"), _s.holder == bindparam("holder_"), _s.term == bindparam("term_"),
    _s.beat == bindparam("beat_"))
_NEXT_DUE = select(_d.claimable).where(*_IN_LANE, _d.claimable.is_not(None)).order_by(_d.claimable).limit(1)


class StoredLedger:
    """Cohorts are read once: all that changes in them is how far their nudges are owed, which is asked for apart."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cohorts: dict[CohortId, Cohort] = {}

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        done, read = await self._database.run(partial(self._worked, work))
        self._cohorts |= read
        return done

    def transact_here(self, work: Callable[[Transaction], T]) -> T:
        done, read = self._database.run_here(partial(self._worked, work))
        self._cohorts |= read
        return done

    def _worked(self, work: Callable[[Transaction], T], connection: Connection) -> tuple[T, dict[CohortId, Cohort]]:
        # Read within a transaction that is then undone, a cohort may never have been: only a commit makes it known.
        read: dict[CohortId, Cohort] = {}
        return work(StoredTransaction(connection, ChainMap(read, self._cohorts))), read


class StoredTransaction:
    def __init__(self, connection: Connection, cohorts: MutableMapping[CohortId, Cohort]) -> None:
        self._connection = connection
        self._cohorts = cohorts
        self._locks = connection.dialect.name == "postgresql"
        self._read: dict[MemberId, Member] = {}

    def _lock(self, what: int, cohort: CohortId) -> None:
        if self._locks:
            self._connection.execute(_LOCK_OF_COHORT, {"what": what, "cohort": cohort})

    # --- cohorts

    def open_cohort(self, title: str, start: date, zone: str, edition: Edition, room: Room,
                    organiser: Account | None, salt: str, at: datetime, *, threads: bool = False,
                    graduate_role: str = "") -> Cohort:
        if self.cohort_in(room) is not None:
            raise RoomTaken(str(room))
        self._connection.execute(_insert_if_new(self._connection.dialect.name, tables.edition),
                                 {"digest": edition.digest, "snapshot": edition.dump()})
        result = self._connection.execute(insert(tables.cohort).values(
            title=title, start=start, zone=zone, digest=edition.digest, platform=room.platform,
            workspace=room.workspace, channel=room.channel, salt=salt, opened_at=at,
            organiser_platform=organiser and organiser.platform, organiser_workspace=organiser and organiser.workspace,
            organiser_user=organiser and organiser.user, threads=threads, graduate_role=graduate_role))
        assert result.inserted_primary_key is not None  # noqa: S101  # an insert of one row has one
        cohort = CohortId(result.inserted_primary_key[0])
        self.add_room(cohort, room)
        return self.cohort(cohort)

    def cohort(self, cohort: CohortId) -> Cohort:
        if cohort not in self._cohorts:
            row = self._connection.execute(
                select(tables.cohort, tables.edition.c.snapshot).join(tables.edition)
                .where(tables.cohort.c.id == cohort)).one()
            self._cohorts[cohort] = _cohort(row)
        return self._cohorts[cohort]

    def cohorts(self) -> Sequence[Cohort]:
        return [self.cohort(CohortId(row.id)) for row in
                self._connection.execute(_COHORTS)]

    def cohort_in(self, room: Room) -> Cohort | None:
        found = self._connection.execute(_COHORT_IN, {
            "platform": room.platform, "workspace": room.workspace, "channel": room.channel}).scalar()
        return None if found is None else self.cohort(CohortId(found))

    def rooms(self, cohort: CohortId) -> Sequence[Room]:
        return [Room(*row) for row in self._connection.execute(_ROOMS, {"cohort": cohort})]

    def add_room(self, cohort: CohortId, room: Room) -> None:
        taken = self._connection.execute(_counted(_insert_if_new(self._connection.dialect.name, tables.room).values(
            cohort=cohort, **vars(room)))).rowcount == 0
        if taken:
            raise RoomTaken(str(room))

    # --- codes

    def keep_code(self, digest: str, code: Code) -> None:
        self._connection.execute(insert(tables.code).values(digest=digest, **vars(code)))

    def take_code(self, digest: str, now: datetime) -> Code | None:
        # Two that sweep at once would wait for each other's rows.
        self._connection.execute(delete(tables.code).where(_k.digest.in_(
            select(_k.digest).where(_k.expires <= now).with_for_update(skip_locked=True))))
        row = self._connection.execute(
            delete(tables.code).where(_k.digest == digest).returning(_k.cohort, _k.member, _k.expires)).one_or_none()
        return None if row is None else Code(*row)

    # --- members

    def member(self, member: MemberId) -> Member:
        return self._known(self._connection.execute(_MEMBER, {"member": member}).one())

    def enrolment(self, cohort: CohortId, account: Account) -> Member | None:
        whose = {"cohort": cohort} | vars(account)
        locked = self._connection.execute(_LOCK_ENROLMENT, whose | {"nobody": _nobody(cohort, account)}).scalar() \
            if self._locks else None
        row = self._connection.execute(_ENROLMENT, whose).one_or_none()
        if self._locks and row is not None and row.id != locked:
            # While we waited, whoever was none became a member, or the account was linked to another one.
            self._connection.execute(_LOCK_MEMBER, {"member": row.id})
            row = self._connection.execute(_MEMBER, {"member": row.id}).one()
        return None if row is None else self._known(row)

    def _known(self, row: Row[Any]) -> Member:
        member = self._read[MemberId(row.id)] = _member(row)
        return member

    def enrolments(self, account: Account) -> Sequence[Member]:
        found = [_member(row) for row in self._connection.execute(_ENROLMENTS, vars(account))]
        return list({member.cohort: member for member in reversed(found)}.values())[::-1]

    def accounts(self, member: Member) -> Sequence[Account]:
        return [member.account, *(Account(*row) for row in self._connection.execute(_ACCOUNTS, {"member": member.id}))]

    def link(self, member: Member, account: Account) -> None:
        self._connection.execute(delete(tables.linked_account).where(
            _l.cohort == member.cohort, _l.platform == account.platform, _l.workspace == account.workspace,
            _l.user == account.user))
        self._connection.execute(insert(tables.linked_account).values(
            cohort=member.cohort, member=member.id, **vars(account)))

    def members(self, cohort: CohortId) -> Sequence[Member]:
        return [_member(row) for row in self._connection.execute(
            select(tables.member).where(tables.member.c.cohort == cohort, tables.member.c.present)
            .order_by(tables.member.c.id))]

    def names(self, cohort: CohortId, besides: MemberId | None = None) -> Container[str]:
        self._lock(_NAMES, cohort)
        return _Names(self._connection, cohort, besides)

    def add_member(self, cohort: CohortId, account: Account, name: str, alias: str, shows_name: bool, zone: str,
                   nudges: bool) -> Member:
        result = self._connection.execute(insert(tables.member).values(
            cohort=cohort, platform=account.platform, workspace=account.workspace, user=account.user, name=name,
            name_folded=folded(name), alias=alias, alias_folded=folded(alias), shows_name=shows_name, zone=zone,
            nudges=nudges, present=True, points=0))
        assert result.inserted_primary_key is not None  # noqa: S101  # an insert of one row has one
        member = self._read[MemberId(result.inserted_primary_key[0])] = Member(
            MemberId(result.inserted_primary_key[0]), cohort, account, name, alias, shows_name, zone, nudges, True, 0)
        return member

    def change_member(self, member: Member) -> None:
        # Only what has changed since it was read: the herald, which locks nobody, must not write old points back.
        before = self._read.get(member.id)
        changed = {name: value for name in _CHANGEABLE
                   if (value := getattr(member, name)) != getattr(before, name, None)}
        changed |= {f"{name}_folded": folded(changed[name]) for name in ("name", "alias") if name in changed}
        if changed:
            self._connection.execute(_CHANGE_MEMBER, {"id_": member.id} | changed)
        self._read[member.id] = member

    # --- the journal

    def journal(self, member: MemberId) -> Journal:
        return tuple(_entry(row) for row in self._connection.execute(_JOURNAL, {"member": member}))

    def journals(self, cohort: CohortId) -> dict[MemberId, Journal]:
        found: dict[MemberId, list[Entry]] = defaultdict(list)
        for row in self._connection.execute(
                select(tables.journal).where(tables.journal.c.cohort == cohort).order_by(tables.journal.c.seq)):
            found[MemberId(row.member)].append(_entry(row))
        return {member: tuple(entries) for member, entries in found.items()}

    def append(self, member: Member, event: Event, request: RequestId) -> Entry | None:
        body = {name: value for name, value in vars(event).items() if name != "at"}
        seq = self._connection.execute(_append(self._connection.dialect.name), {
            "cohort": member.cohort, "member": member.id, "at": event.at, "kind": _KIND_OF[type(event)], "body": body,
            "request": request}).scalar()
        return None if seq is None else Entry(Seq(seq), event, request)

    # --- the board

    def top(self, cohort: CohortId, rows: int) -> Sequence[Member]:
        shown = case((tables.member.c.shows_name, tables.member.c.name_folded), else_=tables.member.c.alias_folded)
        return [_member(row) for row in self._connection.execute(
            select(tables.member).where(*_ON_BOARD).order_by(
                # By code points, as SQLite does, whatever language the server sorts by.
                _m.points.desc(), shown.collate("C") if self._locks else shown).limit(rows),
            {"cohort": cohort})]

    def with_points(self, cohort: CohortId) -> int:
        return self._connection.execute(_WITH_POINTS, {"cohort": cohort}).scalar_one()

    def above(self, cohort: CohortId, points: int) -> int:
        return self._connection.execute(_ABOVE, {"cohort": cohort, "points_": points}).scalar_one()

    # --- who sends

    def sender(self, platform: str) -> Sender | None:
        row = self._connection.execute(_SENDER, {"platform": platform}).one_or_none()
        return None if row is None else Sender(*row)

    def take_over(self, platform: str, seen: Sender | None, holder: str) -> Sender | None:
        if seen is None:
            new = Sender(platform, holder, 1, 0)
            return new if self._connection.execute(
                _counted(_insert_if_new(self._connection.dialect.name, tables.sender)), vars(new)).rowcount else None
        new = Sender(platform, holder, seen.term + 1, 0)
        return new if self._sender_becomes(new, seen) else None

    def renew(self, sender: Sender) -> Sender | None:
        new = replace(sender, beat=sender.beat + 1)
        return new if self._sender_becomes(new, sender) else None

    def resign(self, sender: Sender) -> None:
        self._connection.execute(update(tables.sender).where(
            _s.platform == sender.platform, _s.term == sender.term).values(holder="", term=sender.term + 1, beat=0))

    def _sender_becomes(self, new: Sender, seen: Sender) -> bool:
        return self._connection.execute(_SENDER_BECOMES, vars(new) | {
            f"{name}_": value for name, value in vars(seen).items()}).rowcount == 1

    # --- deliveries

    def owe(self, deliveries: Iterable[Delivery]) -> int:
        rows = [{
            "key": one.key, "cohort": one.cohort, "kind": one.kind.value, "step": one.step, "member": one.member,
            "platform": one.lane.platform, "private": one.lane.private, "due": one.due, "latest": one.latest,
            "state": State.OWED.value, "attempt": 0, "claimable": one.due, "reason": ""} for one in deliveries]
        if not rows:
            return 0
        return int(self._connection.execute(_owe(self._connection.dialect.name), rows).rowcount)

    def withdraw(self, member: MemberId, kind: PostKind, step: StepId | None, reason: str) -> int:
        known = {"member_": member, "kind_": kind.value, "state": State.WITHDRAWN.value, "reason": reason,
                 "claimable": None}
        result = self._connection.execute(_WITHDRAW, known) if step is None else \
            self._connection.execute(_WITHDRAW_STEP, known | {"step_": step})
        return int(result.rowcount)

    def claim(self, lane: Lane, now: datetime, most: int, besides: Collection[DeliveryKey] = (),
              term: int | None = None) -> Sequence[Claim]:
        # Locked, so that nobody takes over before this is committed.
        if term is not None and self._connection.execute(
                _TERM, {"platform": lane.platform}).scalar() != term:
            raise Superseded
        rows = self._connection.execute(
            _CLAIMABLE, lane._asdict() | {"now": now, "most": most, "besides": list(besides)}).all()
        if rows:
            self._connection.execute(_SENDING, {"ids": [row.id for row in rows]})
        return [Claim(_delivery(row), row.attempt + 1, row.state != State.OWED.value) for row in rows]

    def finish(self, claim: Claim, state: State, receipt: Receipt | None, reason: str, due: datetime | None = None) \
            -> bool:
        values: dict[str, Any] = {"state": state.value, "reason": reason,
                                  "claimable": (due or claim.delivery.due) if state.value in _OPEN else None}
        if receipt is not None:
            values |= {"message": receipt.message, "link": receipt.link, "sent_at": receipt.at}
        return self._connection.execute(update(tables.delivery).where(
            tables.delivery.c.key == claim.delivery.key, tables.delivery.c.attempt == claim.attempt,
            tables.delivery.c.state == State.SENDING.value).values(values)).rowcount == 1

    def next_due(self, lane: Lane) -> datetime | None:
        return self._connection.execute(_NEXT_DUE, lane._asdict()).scalar()

    def nudges_owed(self, cohort: CohortId) -> int:
        # Whoever joins while the herald derives nudges is among those that it sees, or sees that it has derived them.
        self._lock(_NUDGES, cohort)
        return int(self._connection.execute(_NUDGES_OWED, {"cohort": cohort}).scalar_one())

    def set_nudges_owed(self, cohort: CohortId, steps: int) -> None:
        self._connection.execute(update(tables.cohort).where(tables.cohort.c.id == cohort).values(nudges_owed=steps))

    def report(self, keys: Iterable[DeliveryKey], report: DeliveryKey) -> None:
        self._connection.execute(update(tables.delivery).where(tables.delivery.c.key.in_(list(keys)))
                                 .values(report=report))

    def reported_in(self, report: DeliveryKey) -> Sequence[Logged]:
        return [_logged(row) for row in self._connection.execute(
            select(tables.delivery).where(tables.delivery.c.report == report)
            .order_by(tables.delivery.c.due, tables.delivery.c.id))]

    def deliveries(self, cohort: CohortId) -> Sequence[Logged]:
        return [_logged(row) for row in self._connection.execute(
            select(tables.delivery).where(tables.delivery.c.cohort == cohort)
            .order_by(tables.delivery.c.due, tables.delivery.c.id))]


@cache
def _insert_if_new(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """What is there already stays as it is."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _append(dialect: str) -> ReturningInsert[Any]:
    return _insert_if_new(dialect, tables.journal).returning(_j.seq)


@cache
def _owe(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """What is there already stays as it is, but what was withdrawn is owed again."""
    new: sqlite.Insert | postgresql.Insert = \
        postgresql.insert(tables.delivery) if dialect == "postgresql" else sqlite.insert(tables.delivery)
    return _counted(new.on_conflict_do_update(
        index_elements=[_d.key], where=_d.state == State.WITHDRAWN.value,
        set_={name: new.excluded[name] for name in ("due", "latest", "state", "claimable", "reason")}))


def _counted(new: INSERT) -> INSERT:
    """Which says how many rows it made, and is not asked for their ids instead."""
    return new.inline().execution_options(preserve_rowcount=True)


class _Names:
    def __init__(self, connection: Connection, cohort: CohortId, besides: MemberId | None) -> None:
        self._connection, self._cohort, self._besides = connection, cohort, besides

    def __contains__(self, name: object) -> bool:
        member = tables.member.c
        others = [] if self._besides is None else [member.id != self._besides]
        return self._connection.execute(select(member.id).where(
            member.cohort == self._cohort, or_(member.name_folded == name, member.alias_folded == name),
            *others).limit(1)).first() is not None


def _nobody(cohort: CohortId, account: Account) -> int:
    """A negative number of 64 bits, the same for the same."""
    told = "\0".join((str(cohort), account.platform, account.workspace, account.user))
    return -1 - (int.from_bytes(blake2b(told.encode(errors="replace"), digest_size=8).digest()) >> 1)


def _cohort(row: Row[Any]) -> Cohort:
    organiser = None
    if row.organiser_user is not None:
        organiser = Account(row.organiser_platform, row.organiser_workspace, row.organiser_user)
    return Cohort(CohortId(row.id), row.title, row.start, row.zone, Edition.parse(row.snapshot),
                  Room(row.platform, row.workspace, row.channel), organiser, row.salt, row.opened_at,
                  row.threads, row.graduate_role)


def _member(row: Row[Any]) -> Member:
    return Member(MemberId(row.id), CohortId(row.cohort), Account(row.platform, row.workspace, row.user), row.name,
                  row.alias, row.shows_name, row.zone, row.nudges, row.present, row.points)


def _entry(row: Row[Any]) -> Entry:
    # JSON has no tuples.
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                              for name, value in row.body.items()}
    return Entry(Seq(row.seq), _KINDS[row.kind](at=row.at, **values), row.request)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(DeliveryKey(row.key), CohortId(row.cohort), PostKind(row.kind), row.step,
                    None if row.member is None else MemberId(row.member), row.due, row.latest,
                    Lane(row.platform, row.private))


def _logged(row: Row[Any]) -> Logged:
    receipt = None if row.message is None else Receipt(row.message, row.link, row.sent_at)
    return Logged(_delivery(row), State(row.state), row.attempt, receipt, row.reason)
