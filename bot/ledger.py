"""What the desk and the herald ask of a database, in the cohort's words; `bot/store` answers it.

Everything happens in a `Transaction`: a function that runs from start to end or leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol, TypeVar
from zoneinfo import ZoneInfo

from propcache.api import cached_property

from bot.cohort.course import Course
from bot.cohort.journal import Entry, Event, Journal
from bot.cohort.scoring import Record
from bot.messages import DeliveryKey
from content.edition import Edition
from content.model import PostKind, StepId

CohortId = NewType("CohortId", int)
MemberId = NewType("MemberId", int)
RequestId = NewType("RequestId", str)
"""Names one submission; the same one twice is one effect."""


@dataclass(frozen=True)
class Room:
    """Where a cohort lives: a channel, in a workspace (Discord: server), on a platform."""

    platform: str
    workspace: str
    channel: str

    def __str__(self) -> str:
        return f"{self.platform}:{self.channel}" if not self.workspace else \
            f"{self.platform}:{self.workspace}:{self.channel}"

    def account(self, user: str) -> Account:
        """Of somebody in the room. Discord's users are the same on every server; elsewhere they belong to one."""
        return Account(self.platform, "" if self.platform == "discord" else self.workspace, user)


@dataclass(frozen=True)
class Account:
    """A person as a platform knows them. One workspace never sees another's."""

    platform: str
    workspace: str
    user: str


@dataclass(frozen=True)
class Cohort:
    id: CohortId
    title: str
    start: date
    zone: str
    edition: Edition
    room: Room
    """Where it was opened; there may be one on another platform too (`Transaction.rooms`)."""
    organiser: Account | None
    """Who is told in private when something was missed; none for a cohort opened at the command line without one."""
    salt: str
    """Random; keeps aliases from being worked out from account ids."""
    opened_at: datetime
    threads: bool = False
    """On platforms that have them, a thread below each week's post."""
    graduate_role: str = ""
    """Discord: the id of the role that graduates get."""

    @cached_property
    def course(self) -> Course:
        return Course(self.edition, self.start, ZoneInfo(self.zone))


LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Member:
    id: MemberId
    cohort: CohortId
    account: Account
    """With which they joined, and where they are reminded; there may be linked ones."""
    name: str
    alias: str
    shows_name: bool
    """On the board: the name, else the alias."""
    zone: str
    nudges: bool
    """Agreed to reminders by direct message."""
    present: bool
    points: int
    """Cached from the journal; `Record.points` is the truth and a test holds both equal."""
    streak: int = 0
    """Cached as well, but good only before `streak_until`; None: until something happens."""
    streak_until: datetime | None = LONG_AGO

    def standing(self, record: Record) -> Member:
        """With what the journal adds up to."""
        return replace(self, points=record.points, streak=record.streak, streak_until=record.streak_until)

    @property
    def board_name(self) -> str:
        return self.name if self.shows_name else self.alias


class State(StrEnum):
    OWED = "owed"
    SENDING = "sending"
    UNKNOWN = "unknown"
    """A send was cut off; the room must be looked through before it is tried again."""
    SENT = "sent"
    MISSED = "missed"
    """Too late to be of use; the organiser is told."""
    FAILED = "failed"
    """The platform refused for good; the organiser is told."""
    WITHDRAWN = "withdrawn"
    """No longer called for, e.g. a nudge to somebody who has checked in."""


class Lane(NamedTuple):
    """Deliveries of one lane wait for one another; those to a room never wait behind those to people."""

    platform: str
    private: bool


@dataclass(frozen=True)
class Delivery:
    """One thing the bot says unasked, to a room or to a person."""

    key: DeliveryKey
    cohort: CohortId
    kind: PostKind
    step: StepId | None
    member: MemberId | None
    due: datetime
    latest: datetime
    lane: Lane


@dataclass(frozen=True)
class Receipt:
    """What the platform gave for a message: its id there, a link to it, and when it was posted."""

    message: str
    link: str
    at: datetime


@dataclass(frozen=True)
class Claim:
    """One attempt to send a delivery. What an earlier attempt has to say of it counts no more."""

    delivery: Delivery
    attempt: int
    """From 1."""
    look_back: bool
    """An earlier attempt may have reached the room."""


@dataclass(frozen=True)
class Sender:
    """Which process sends for a platform; every other one may claim nothing there. See `bot/sender.py`."""

    platform: str
    holder: str
    """Empty when it was given back."""
    term: int
    """Grows with each process that takes it: what was begun in an earlier term is fenced off."""
    beat: int
    """Grows as long as the holder lives."""


@dataclass(frozen=True)
class Code:
    """Shown to somebody in one chat, to be typed once in another: to link a member, or the room of the cohort."""

    cohort: CohortId
    member: MemberId | None
    expires: datetime


@dataclass(frozen=True)
class Logged:
    """A delivery with what became of it."""

    delivery: Delivery
    state: State
    attempt: int
    receipt: Receipt | None
    reason: str


class Transaction(Protocol):
    """Rows as values. Nothing here decides anything."""

    # cohorts
    def open_cohort(self, title: str, start: date, zone: str, edition: Edition, room: Room,
                    organiser: Account | None, salt: str, at: datetime, *, threads: bool = False,
                    graduate_role: str = "") -> Cohort:
        """Raises `RoomTaken` when a cohort lives in the room already."""
    def cohort(self, cohort: CohortId) -> Cohort: ...
    def cohorts(self) -> Sequence[Cohort]: ...
    def organised(self, account: Account) -> Sequence[Cohort]:
        """Those that the account has opened, the youngest first."""
    def cohort_in(self, room: Room) -> Cohort | None: ...
    def platforms(self) -> Mapping[str, int]:
        """On how many of them cohorts live."""
    def rooms(self, cohort: CohortId) -> Sequence[Room]:
        """At most one a platform; the one where it was opened first."""
    def add_room(self, cohort: CohortId, room: Room) -> None:
        """Raises `RoomTaken` when a cohort lives there, or this one on that platform, already."""

    # codes
    def keep_code(self, digest: str, code: Code) -> None: ...
    def take_code(self, digest: str, now: datetime) -> Code | None:
        """Only once, and only before it expires."""

    # members
    def member(self, member: MemberId) -> Member: ...
    def enrolment(self, cohort: CohortId, account: Account) -> Member | None:
        """Also of somebody who has left; by a linked account, too."""
    def enrolments(self, account: Account) -> Sequence[Member]:
        """In every cohort, the youngest cohort first; one in each."""
    def accounts(self, member: Member) -> Sequence[Account]:
        """The one they joined with first, then those linked."""
    def link(self, member: Member, account: Account) -> None:
        """From now on it is the member's, and of nobody else's in the cohort."""
    def members(self, cohort: CohortId, after: MemberId | None = None, upto: MemberId | None = None) \
            -> Sequence[Member]:
        """Those present, in the order of their ids; all, or those after the one, up to the other."""
    def names(self, cohort: CohortId, besides: MemberId | None = None) -> Container[str]:
        """The folded names and aliases that are taken, by others than `besides`. Good within the transaction."""
    def add_member(self, cohort: CohortId, account: Account, name: str, alias: str, shows_name: bool, zone: str,
                   nudges: bool) -> Member: ...
    def change_member(self, member: Member) -> None:
        """Writes everything but the ids."""

    # the journal
    def journal(self, member: MemberId, since: datetime | None = None) -> Journal:
        """`since` leaves out the check-ins before it, which are most of a journal, and nothing else."""
    def journals(self, cohort: CohortId, after: MemberId | None = None, most: int | None = None,
                 since: datetime | None = None) -> dict[MemberId, Journal]:
        """Of everybody who ever joined, in the order of their ids; or of the next `most` after that one."""
    def append(self, member: Member, event: Event, request: RequestId) -> Entry | None:
        """None when this request of the member is in the journal already."""

    # the board
    def board(self, cohort: CohortId, rows: int, you: Member | None = None) \
            -> tuple[Sequence[Member], Sequence[tuple[int, Member]]]:
        """(so many present members with points, most points first, then by name on the board; (place, member) of `you`,
        who have points too, between who is just above and just below)."""
    def standing(self, cohort: CohortId, points: int) -> tuple[int, int]:
        """(how many present members have more points, how many have any)."""
    def rebuild(self, cohort: CohortId) -> int:
        """Works out everybody's points and streaks from the journals again, and what the board counts. Returns how
        many points were wrong."""

    # who sends
    def sender(self, platform: str) -> Sender | None: ...
    def take_over(self, platform: str, seen: Sender | None, holder: str) -> Sender | None:
        """A new term, unless somebody has been there since `seen`: then None."""
    def renew(self, sender: Sender) -> Sender | None:
        """The next beat; None when the term is over."""
    def resign(self, sender: Sender) -> None:
        """Ends the term, if it is not over, and anybody may take the next one at once."""

    # deliveries
    def owe(self, deliveries: Iterable[Delivery]) -> int:
        """Inserts by key; what is there already stays as it is, but what was withdrawn is owed again. Returns how
        many are owed that were not."""
    def withdraw(self, member: MemberId, kind: PostKind, step: StepId | None, reason: str) -> int:
        """What is still owed to the member (for one step, or all). Returns how many."""
    def claim(self, lane: Lane, now: datetime, most: int, besides: Collection[DeliveryKey] = (),
              term: int | None = None, full: Collection[str] = ()) -> Sequence[Claim]:
        """What is due in the lane, from now on being sent. What was being sent already, `besides` what the caller is
        sending, was left by a process that has died, or its receipt could not be kept.

        Raises Superseded when `term` is not the platform's (any more); without a term nobody else may be there.
        What is due in cohorts with a room in one of the workspaces that are `full` stays where it is."""
    def finish(self, claim: Claim, state: State, receipt: Receipt | None, reason: str, due: datetime | None = None) \
            -> bool:
        """False, and no change, when there was another attempt since. `due` says when one that is not settled is tried
        again; left out, as soon as it can be."""
    def next_due(self, lane: Lane) -> datetime | None:
        """The earliest instant at which anything of the lane may be claimed."""
    def nudges_owed(self, cohort: CohortId) -> int:
        """For how many steps of the plan, from its start, the nudges have been derived."""
    def set_nudges_owed(self, cohort: CohortId, steps: int) -> None: ...
    def opening(self, now: datetime) -> Sequence[Cohort]:
        """Those in which a step has opened whose nudges have not been derived."""
    def next_opening(self) -> datetime | None:
        """When that happens next, in any cohort."""
    def report(self, keys: Iterable[DeliveryKey], report: DeliveryKey) -> None:
        """Marks what went wrong as told in that report."""
    def reported_in(self, report: DeliveryKey) -> Sequence[Logged]: ...
    def deliveries(self, cohort: CohortId) -> Sequence[Logged]:
        """By due instant."""


class RoomTaken(Exception):
    """A cohort lives in this room already."""


class Superseded(Exception):
    """Another process sends for the platform by now."""


class Unsaved(Exception):
    """The database did not take it, and nothing was changed; it can be tried again."""


T = TypeVar("T")


class Ledger(Protocol):
    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        """Runs `work` in one transaction, off the event loop; what it raises undoes everything. What most likely only
        `reads`, and no more than a person can, need not wait for those who write, and may run in the loop itself.
        `meanwhile` is handed in the loop what `work` returned, perhaps before it is kept: nobody may hear what it makes
        of that before this returns. Raises Unsaved when the database is the reason."""


class Agenda(Ledger, Protocol):
    """What the herald asks besides."""

    async def next_due(self, lane: Lane) -> datetime | None:
        """The earlier of the transaction's `next_due` and `next_opening`, at a glance: microseconds on SQLite.
        Raises Unsaved."""
