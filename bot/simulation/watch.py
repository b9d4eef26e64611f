"""What must be so, whatever goes wrong: looked at with each request that leaves, each post, each answer, and at the
end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from sqlite3 import Connection as SQLite
from zoneinfo import ZoneInfo

from bot.cohort.journal import CheckedIn, Joined, Journal, Left, Moved
from bot.cohort.scoring import Record
from bot.herald import SEND, WAIT, board, posts
from bot.ledger import Account, Claim, Cohort, Logged, Member, MemberId, State, Transaction
from bot.messages import DeliveryKey, Message
from bot.sender import GRACE, SILENCE
from bot.simulation.knobs import Coverage
from bot.simulation.loop import Loop, Process
from bot.simulation.members import Ask, Player
from bot.simulation.platform import Chat, Request
from content.model import PostKind, StepId

LATE = WAIT + SEND + timedelta(seconds=SILENCE + GRACE)
"""After the claim it may have waited for its turn and been sent; its process may have been frozen for as long as it had
the right to send."""
NEAR = timedelta(hours=2)
"""Events closer than this to an instant may be before or after it, by the clocks of the processes."""


@dataclass(frozen=True)
class _Claimed:
    """Noted in the transaction in which the message was composed."""

    claim: Claim
    needless: str
    """Why the member need not be reminded, as they have been told; empty when they need it."""


class Watch:
    """`term` is the one that a process holds as it believes, `clock` what its clock shows, without its latest jumps."""

    def __init__(self, loop: Loop, raw: SQLite, coverage: Coverage, broke: Callable[[str], None],
                 term: Callable[[Process], int | None], clock: Callable[[Process], datetime]) -> None:
        self._loop, self._raw, self._coverage, self._broke = loop, raw, coverage, broke
        self._term, self._clock = term, clock
        self.chat: Chat
        self.cohort: Cohort
        self._claimed: dict[tuple[Process, DeliveryKey], _Claimed] = {}
        self._out: dict[DeliveryKey, str] = {}
        self._last_term = 0
        self._settled: set[tuple[str, StepId]] = set()
        """(user, step) that they have been told is checked in, or rested."""
        self._away: set[str] = set()
        """Users who have been told that they left, and have not asked to come back since."""
        self._unwilling: set[str] = set()
        """Users who asked for no reminders, for a while at least."""
        self._kept: list[tuple[str, str, str]] = []
        """(user, request, kind) that a person was told is done."""

    # --- out to chat

    def claimed(self, process: Process, tx: Transaction, claim: Claim) -> None:
        needless = ""
        delivery = claim.delivery
        if delivery.kind is PostKind.NUDGE and delivery.member is not None and delivery.step is not None:
            user, = self._raw.execute('SELECT "user" FROM member WHERE id = ?', (delivery.member,)).fetchone()
            if (user, delivery.step) in self._settled:
                needless = f"{user} had been told that {delivery.step} is settled"
            elif user in self._away:
                needless = f"{user} had been told that they left"
        self._claimed[process, delivery.key] = _Claimed(claim, needless)

    def leaves(self, request: Request) -> None:
        """A request to post, from its process."""
        process, key = request.process, request.key
        for other in self.chat.under_way:
            if other.process is not process:
                self._broke(f"{process.name} sends {key} while what {other.process.name} has begun is under way "
                            f"({other.key})")
        term = self._term(process)
        if term is not None:
            if term < self._last_term:
                self._broke(f"{process.name} sends {key} in term {term}, after somebody sent in term {self._last_term}")
            self._last_term = max(self._last_term, term)
        claimed = self._claimed.get((process, key))
        if claimed is None:
            return
        if claimed.needless:
            self._broke(f"{process.name} sends {key}, though {claimed.needless} before it was composed")
        if claimed.claim.look_back:
            self._coverage.sent_again += 1
        if self._clock(process) > claimed.claim.delivery.latest + LATE:
            self._broke(f"{process.name} sends {key} at {self._clock(process)} by its clock, and "
                        f"{claimed.claim.delivery.latest} was the latest")

    def carried(self, request: Request) -> None:
        key, where = request.key, str(request.to)
        if key in self._out:
            self._broke(f"{key} is posted twice: to {self._out[key]} and to {where}")
        self._out[key] = where

    # --- in from people

    def asks(self, player: Player, ask: Ask) -> None:
        if ask.what == "join":
            self._away.discard(player.account.user)
        if ask.answers is not None and ask.answers.get("nudges") == ("no",):
            self._unwilling.add(player.account.user)

    def answered(self, player: Player, ask: Ask, request: str, answer: Message) -> None:
        """The person reads it."""
        if answer.refused or ask.looks:
            return
        user = player.account.user
        if ask.what in ("check-in", "rest"):
            self._settled.add((user, ask.about))
        if ask.what == "leave":
            self._away.add(user)
        if ask.what != "settings":
            kind = {"join": "joined", "check-in": "checked_in", "rest": "rested", "leave": "left"}[ask.what]
            self._kept.append((user, request, kind))
            self._see_kept(user, request, kind)

    def _see_kept(self, user: str, request: str, kind: str) -> None:
        found = self._raw.execute(
            'SELECT 1 FROM journal JOIN member ON member.id = journal.member WHERE member."user" = ? '
            "AND journal.request = ? AND journal.kind = ?", (user, request, kind)).fetchone()
        if found is None:
            self._broke(f"{user} was told that {kind} (request {request}) is done, and it is not in the journal")

    # --- at the end

    def end(self, tx: Transaction, now: datetime) -> None:
        """When all has healed and whatever was due is too late."""
        for kept in self._kept:
            self._see_kept(*kept)
        logged = {one.delivery.key: one for one in tx.deliveries(self.cohort.id)}
        for one in logged.values():
            self._see_settled(one)
        for key in self._out:
            if key not in logged:
                self._broke(f"{key} was posted, and the store knows nothing of it")
        for delivery in posts(self.cohort):
            if delivery.key not in logged:
                self._broke(f"{delivery.key} was never owed")
        journals = tx.journals(self.cohort.id)
        members = {member_id: tx.member(member_id) for member_id in journals}
        for member_id, journal in journals.items():
            self._see_member(members[member_id], journal, logged, now)
        self._see_budget(logged, members)
        self._see_board(tx, members, journals, now)

    def _see_settled(self, one: Logged) -> None:
        key, state = one.delivery.key, one.state
        match state:
            case State.MISSED:
                self._coverage.missed += 1
            case State.FAILED:
                self._coverage.failed += 1
            case State.WITHDRAWN:
                self._coverage.withdrawn += 1
            case State.SENT:
                self._coverage.adopted += one.reason.startswith("found")
            case _:
                self._broke(f"{key} is still {state.value} ({one.reason}), and was due by {one.delivery.latest}")
        if one.delivery.kind is PostKind.ROLE:
            if state is State.SENT and one.delivery.member is None:
                self._broke(f"{key} is a role for nobody")
        elif state is State.SENT and key not in self._out:
            self._broke(f"{key} is said to be sent, and it never was")
        elif state is not State.SENT and key in self._out and key not in self.chat.refused:
            self._broke(f"{key} was posted, and is said to be {state.value} ({one.reason})")

    def _see_member(self, member: Member, journal: Journal, logged: dict[DeliveryKey, Logged], now: datetime) -> None:
        course, user = self.cohort.course, member.account.user
        record = Record(course, journal, now)
        # Who once took no direct messages is asked no more.
        unwilling = user in self._unwilling or any(
            key in self.chat.refused for key, one in logged.items() if one.delivery.member == member.id)
        if record.points != member.points:
            self._broke(f"{user} has {member.points} points, and their journal adds up to {record.points}")
        for end, entry in enumerate(journal):
            if end and not isinstance(entry.event, CheckedIn):
                had, has = (Record(course, journal[:upto], now).points for upto in (end, end + 1))
                if had != has:
                    self._broke(f"{user} had {had} points, and {has} for having {type(entry.event).__name__.lower()}")
        if record.present != member.present:
            self._broke(f"{user} is {'' if member.present else 'not '}present, and their journal says otherwise")
        self._coverage.check_ins += sum(isinstance(entry.event, CheckedIn) for entry in journal)
        for step, span in zip(self.cohort.edition.plan.steps, course.spans, strict=True):
            opens = course.opens(step.id)
            zones = [entry.event for entry in journal if isinstance(entry.event, Joined | Moved)]
            doubtful = [entry.event for entry in journal if isinstance(entry.event, Joined | Moved | Left)
                        and abs(entry.event.at - opens) < NEAR]
            before = [event for event in zones if event.at < opens]
            away = any(isinstance(entry.event, Left) for entry in journal)
            if doubtful or not before or away or unwilling:
                continue
            # 17:00 is skipped by no clock in these zones.
            due = datetime.combine(span.last, time(17), ZoneInfo(before[-1].zone)).astimezone(UTC)
            found = [one for one in logged.values() if one.delivery.kind is PostKind.NUDGE
                     and one.delivery.member == member.id and one.delivery.step == step.id]
            if [one.delivery.due for one in found] != [due]:
                self._broke(f"{user} was to be reminded of {step.id} at {due}, and it was owed at "
                            f"{[str(one.delivery.due) for one in found]}")

    def _see_budget(self, logged: dict[DeliveryKey, Logged], members: dict[MemberId, Member]) -> None:
        """Weekly reminders are seven days apart, or a day less for who moves around the world."""
        had: dict[Account, list[datetime]] = {}
        for one in self.chat.posted:
            if isinstance(one.to, Account) and one.to != self.cohort.organiser:
                had.setdefault(one.to, []).append(logged[one.key].delivery.due)
        budget = self.cohort.edition.rules.rhythm.messages_per_member_per_week
        for account, instants in had.items():
            instants.sort()
            for first, after in pairwise([instants[index] for index in range(0, len(instants), budget)]):
                if after - first < timedelta(days=6):
                    self._broke(f"{account.user} had more than {budget} messages within a week: due at {first} and "
                                f"{after}")

    def _see_board(self, tx: Transaction, members: dict[MemberId, Member], journals: dict[MemberId, Journal],
                   now: datetime) -> None:
        course = self.cohort.course
        points = Counter({members[id].board_name: Record(course, journal, now).points
                          for id, journal in journals.items() if members[id].present})
        ranked = sorted(((-score, name) for name, score in points.items() if score > 0),
                        key=lambda one: (one[0], one[1].casefold()))
        shown = board(tx, self.cohort, now)
        if shown is not None and [(row.name, row.points) for row in shown.rows] != [
                (name, -score) for score, name in ranked]:
            self._broke(f"the board shows {[(row.name, row.points) for row in shown.rows]}, and the journals say "
                        f"{ranked}")

    def lines(self) -> Iterator[str]:
        """What is in the store, for who reads a trace."""
        for row in self._raw.execute("SELECT key, state, attempt, reason FROM delivery ORDER BY due, id"):
            yield "  ".join(map(str, row))
