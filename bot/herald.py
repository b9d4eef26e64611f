"""The one door from the cohort out to chat: owe, claim, send, keep the receipt.

Whatever the bot says unasked is a delivery with a key of its own. It is owed when it can be derived, claimed by the one
process that sends for its platform (`bot/sender.py`), composed from the cohort as it stands at that instant, sent, and
its receipt kept. A send that was cut off leaves the delivery `unknown`: the next attempt first looks for the key in the
room, and never sends blindly.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeAlias

from bot.cohort.journal import Left
from bot.cohort.scoring import Record
from bot.cohort.standings import standings
from bot.cohort.together import NOBODY, Together, together, together_in
from bot.ledger import (
    Account,
    Agenda,
    Claim,
    Cohort,
    Delivery,
    Lane,
    Logged,
    Member,
    MemberId,
    Receipt,
    RequestId,
    Room,
    State,
    Superseded,
    Transaction,
    Unsaved,
)
from bot.messages import (
    Board,
    BoardRow,
    Button,
    DeliveryKey,
    Fact,
    Facts,
    Link,
    Markdown,
    Mention,
    Message,
    TaskLine,
    Tasks,
    When,
    fill,
    markdown,
    plain,
    say,
    wall_clock,
)
from bot.sender import Alone, Right
from content.citations import strip
from content.edition import Edition
from content.model import PostKind, Step, Task
from scheduler import calendar
from scheduler.clock import Clock

log = logging.getLogger(__name__)

_ALONE = Alone()

SEND = timedelta(seconds=10)
"""Longest that one send may take; then it is cut off. It is not begun unless that, and the time in which the platform
may still carry it out, are over before another process can take over."""
WAIT = timedelta(seconds=40)
"""Longest that a claimed delivery waits for its turn at the platform; then it goes back to what is owed."""
AT_A_TIME = 200
"""Members that are gone through in one transaction: between two of them, whoever checks in has their turn."""
AT_ONCE = 20
"""Sends of one lane that may be under way together, where nothing else is said."""
CLAIMED = 10
"""Deliveries that are claimed, and composed, in one transaction at most: those who check in wait behind it."""
RETRY = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""Waits after the first, second, … failed attempt; the last goes on until the delivery is too late."""

EARLY = timedelta(hours=2)
"""How much before it was due a message is looked for: the clock of whoever sent it may have been ahead, and somebody
have set it since (found by `ninety simulate`)."""
DATABASE_AGAIN = timedelta(seconds=5)
"""After a database that took nothing."""
HINDERED = timedelta(minutes=10)
"""Before it is tried again whether somebody has cured what hindered a send."""

REPORT_LATEST = timedelta(days=30)
REPORT_AGAIN = timedelta(hours=6)
"""Before an organiser whom a report could not reach is tried again."""
UNREACHABLE_LATEST = timedelta(days=1)
ROLE_LATEST = timedelta(days=7)


class Rejected(Exception):
    """The platform said no for good (the room is gone), and nothing was posted. The organiser reads the text."""


class Unreachable(Rejected):
    """The person takes no direct messages from us."""


class Gone(Rejected):
    """The person has left the workspace (Discord: the server) of the cohort."""


class Hindered(Exception):
    """The platform said no, nothing was posted, and somebody can cure it, e.g. by a permission; the organiser reads
    how. It is tried again until it is too late."""


class Busy(Exception):
    """The platform said not now, and nothing was posted."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"asked to wait {after}")
        self.after = after


class Platform(Protocol):
    """A chat that messages can be posted to. Anything raised by `post` other than Rejected, Hindered and Busy means
    that nobody knows whether the message arrived."""

    async def ready(self, to: Room | Account) -> None:
        """Returns when it is the caller's turn: a post now exceeds no limit of the platform. May take long."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        """Sends once: nothing here tries again by itself."""

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        """The message with that key, posted at `since` or later, in the room or the direct messages."""

    async def award(self, to: Account, room: Room, role: str) -> None:
        """Gives the person a role of the room's server; giving it again changes nothing."""


# --- what is owed -----------------------------------------------------------------------------------------------------


def posts(cohort: Cohort, room: Room | None = None) -> tuple[Delivery, ...]:
    """Every post from welcome to graduation: to the room where it was opened, or to another one of its rooms."""
    course, at = cohort.course, f":{room.platform}" if room is not None and room != cohort.room else ""
    lane = Lane((room or cohort.room).platform, False)
    beats = [beat for beat in course.beats() if beat.kind != PostKind.NUDGE.value]
    owed = []
    for moment in calendar.moments(course.spans, beats, course.zone):
        due, latest = moment.due, moment.latest
        if moment.kind == PostKind.WELCOME.value and due < cohort.opened_at:
            # A cohort opened on the eve of its start is welcomed at once.
            due, latest = cohort.opened_at, cohort.opened_at + (latest - due)
        owed.append(Delivery(DeliveryKey(f"{cohort.id}:{moment.span.id}:{moment.kind}{at}"), cohort.id,
                             PostKind(moment.kind), moment.span.id, None, due, latest, lane))
    return tuple(owed)


def nudge(cohort: Cohort, member: Member, record: Record, step: Step) -> Delivery:
    """At the member's own local time. The day is part of the key, so that another deadline is another nudge."""
    moment = cohort.course.nudge(step.id, record.place.zone_for(step.id))
    key = DeliveryKey(f"{cohort.id}:{step.id}:nudge:{member.id}:{moment.span.last:%Y%m%d}")
    return Delivery(key, cohort.id, PostKind.NUDGE, step.id, member.id, moment.due, moment.latest,
                    Lane(member.account.platform, True))


def _opened(tx: Transaction, cohort: Cohort, now: datetime) -> Sequence[Step]:
    """The steps that have opened since nudges were last owed."""
    steps, owed = cohort.edition.plan.steps, tx.nudges_owed(cohort.id)
    return steps[owed:sum(cohort.course.opens(step.id) <= now for step in steps)]


def _owe_nudges(tx: Transaction, cohort: Cohort, after: MemberId | None, now: datetime) -> MemberId | None:
    """To the next of the members, for every step that has opened; returns the last of them, None when all have theirs.

    Members get their ids in the order in which their joining is written down (it holds the names of the cohort), so
    none comes in behind; and who comes back, or asks for reminders again, is owed theirs at that moment."""
    opened = _opened(tx, cohort, now)
    if not opened:
        tx.set_nudges_owed(cohort.id, tx.nudges_owed(cohort.id))    # and when the next one opens
        return None
    journals = tx.journals(cohort.id, after, AT_A_TIME, now)    # whatever was checked in makes no difference
    last = max(journals, default=None)
    records = {member: Record(cohort.course, journal, now) for member, journal in journals.items()}
    tx.owe(nudge(cohort, member, records[member.id], step)
           for member in tx.members(cohort.id, after, last) if member.nudges and member.id in records
           for step in opened if records[member.id].place.concerns(step.id))
    if len(journals) == AT_A_TIME:
        return last
    tx.set_nudges_owed(cohort.id, cohort.course.number(opened[-1].id))
    return None


def owe_nudges(tx: Transaction, now: datetime) -> None:
    """All at once, in a database that nobody else uses."""
    for cohort in tx.opening(now):
        after = _owe_nudges(tx, cohort, None, now)
        while after is not None:
            after = _owe_nudges(tx, cohort, after, now)


# --- what is said -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """Where the guide is published; `url` is None when it is not, and then nothing links to it."""

    url: str | None = None

    def week(self, edition: Edition, step: Step) -> Link | None:
        """A button to the step's page."""
        return None if self.url is None else Link(edition.voice.words.read, self._page(edition, step))

    def task(self, edition: Edition, step: Step, task: Task) -> str | None:
        return None if self.url is None else f"{self._page(edition, step)}#{task.id}"

    def _page(self, edition: Edition, step: Step) -> str:
        return f"{(self.url or '').rstrip('/')}/plans/{edition.plan_id}/{step.id}/"


NOWHERE = Site()


def tasks(edition: Edition, step: Step, site: Site, done: Iterable[str] | None = None) -> Tasks:
    """The step's tasks; ticked where `done` is given."""
    words, ticked = edition.voice.words, None if done is None else frozenset(done)
    return Tasks(tuple(
        TaskLine(markdown(task.do), words.hours.format(hours=f"{task.hours:g}"), task.weight == "must",
                 None if ticked is None else task.id in ticked, site.task(edition, step, task))
        for task in step.tasks), words.must, words.stretch)


def board(tx: Transaction, cohort: Cohort, now: datetime, you: Member | None = None) -> Board | None:
    """The best, and `you` wherever you are, between who is just above and just below; None while too few have points,
    because a board of two shames one."""
    privacy, words = cohort.edition.rules.privacy, cohort.edition.voice.words
    best, around = tx.board(cohort.id, max(privacy.board_rows, privacy.board_from),
                            you if you is not None and you.points > 0 else None)
    if len(best) < privacy.board_from:
        return None
    top = {member.board_name: member for member in best[:privacy.board_rows]}
    placed = [(one.place, top[one.name]) for one in standings((name, member.points) for name, member in top.items())]
    on_top = {member.id for member in top.values()}
    if you is not None and you.id not in on_top:
        placed += [(place, member) for place, member in around if member.id not in on_top]
    return Board(tuple(
        BoardRow(place, member.board_name, member.points, _streak(tx, cohort, member, now),
                 you is not None and member.id == you.id)
        for place, member in placed), (words.place, words.name, words.points, words.streak), words.you)


def _streak(tx: Transaction, cohort: Cohort, member: Member, now: datetime) -> int:
    """From the journal only when a deadline has passed since it grew."""
    if member.streak_until is None or now < member.streak_until:
        return member.streak
    return Record(cohort.course, tx.journal(member.id), now).streak


@dataclass(frozen=True)
class _Withdrawn:
    reason: str


@dataclass(frozen=True)
class _Award:
    """Not said but done: a role on the server of the room."""

    room: Room
    role: str


_OF_ALL = frozenset((PostKind.HALF_TIME, PostKind.WEEK_CLOSES, PostKind.GRADUATION))
"""What tells of everybody, and so must be counted before."""


def compose(tx: Transaction, delivery: Delivery, now: datetime, site: Site, counted: Together = NOBODY) \
        -> Message | _Award | _Withdrawn:
    """What the delivery says, from the cohort as it stands now. Each message has a button, which carries the key."""
    said = _compose(tx, delivery, now, site, counted)
    return replace(said, cohort=delivery.cohort) if isinstance(said, Message) else said


def count(tx: Transaction, delivery: Delivery, after: MemberId | None, now: datetime) \
        -> tuple[Together, MemberId | None]:
    """What the next of the members have done, and the last of them; None when there are no more."""
    assert delivery.step is not None  # noqa: S101  # what tells of everybody is about a step
    cohort = tx.cohort(delivery.cohort)
    step = cohort.course.step(delivery.step)
    of_one = delivery.kind is PostKind.WEEK_CLOSES
    journals = tx.journals(cohort.id, after, AT_A_TIME, cohort.course.opens(step.id) if of_one else None)
    records = {member: Record(cohort.course, journal, now) for member, journal in journals.items()}
    if delivery.kind is PostKind.GRADUATION:
        _owe_roles(tx, cohort, after, records, now)
    counted = together_in(records.values(), step) if of_one else together(records.values())
    return counted, max(journals) if len(journals) == AT_A_TIME else None


def _compose(tx: Transaction, delivery: Delivery, now: datetime, site: Site, counted: Together) \
        -> Message | _Award | _Withdrawn:
    cohort = tx.cohort(delivery.cohort)
    voice, course, plan = cohort.edition.voice, cohort.course, cohort.edition.plan
    words = voice.words
    check_in = Button(words.check_in, "checkin", style="primary")
    progress = Button(words.my_progress, "progress")
    if delivery.kind is PostKind.REPORT:
        wrong = [one for one in tx.reported_in(delivery.key) if one.state is not State.SENT]
        if not wrong:
            return _Withdrawn("all of it went out after all")
        return say(voice.report, Facts(tuple(_wrong(tx, cohort, one) for one in wrong)), count=len(wrong)).offering(
            Button(words.log, "cohort log"))
    if delivery.kind is PostKind.UNREACHABLE:
        assert delivery.member is not None  # noqa: S101  # it is about one
        member = tx.member(delivery.member)
        if member.nudges or not member.present:
            return _Withdrawn("has seen to it already" if member.present else "left the cohort")
        return say(voice.unreachable, member=Mention(member.account.user, member.name)).offering(
            Button(words.settings, "cohort settings"))
    if delivery.kind is PostKind.ROLE:
        return _Award(_room_on(tx, delivery), cohort.graduate_role)
    assert delivery.step is not None  # noqa: S101  # only a report is about no step
    step = course.step(delivery.step)
    number, steps = course.number(step.id), len(plan.steps)
    if delivery.kind is PostKind.WELCOME:
        return say(voice.welcome, cohort=cohort.title, plan=plan.title, steps=steps,
                   start=When(course.announced(step.id), "day", course.zone),
                   hours_low=f"{plan.hours_per_week.low:g}",
                   hours_high=f"{plan.hours_per_week.high:g}").offering(
            Button(words.join, "cohort join", style="primary"))
    if delivery.kind is PostKind.WEEK_OPENS:
        opens = say(voice.week_opens, tasks(cohort.edition, step, site), number=number, steps=steps, step=step.title,
                    goal=Markdown(strip(step.goal)), hours=f"{step.hours:g}",
                    closes=wall_clock(course.deadline(step.id, course.zone), course.zone)).offering(
            check_in, site.week(cohort.edition, step), progress)
        return replace(opens, thread=plain(opens.title, course.zone)) if cohort.threads else opens
    if delivery.kind is PostKind.NUDGE:
        return _compose_nudge(tx, cohort, delivery, step, now, check_in)
    if delivery.kind is PostKind.HALF_TIME:
        return say(voice.half_time, number=number, steps=steps, members=counted.members, tasks=counted.tasks,
                   check_ins=counted.check_ins).offering(Button(words.this_week, "week", str(number)), progress)
    shown = board(tx, cohort, now)
    hidden = fill(voice.board_hidden.body, least=cohort.edition.rules.privacy.board_from)
    if delivery.kind is PostKind.WEEK_CLOSES:
        return say(voice.week_closes, shown or hidden, number=number, step=step.title, tasks=counted.ticked,
                   checked_in=counted.checked_in, owed=counted.owed).offering(
            progress, Button(words.board, "leaderboard"))
    return say(voice.graduation, shown or hidden, cohort=cohort.title, members=counted.members, tasks=counted.tasks,
               graduates=counted.graduates, check_ins=counted.check_ins, hours=f"{counted.hours:g}").offering(progress)


def _wrong(tx: Transaction, cohort: Cohort, one: Logged) -> Fact:
    """A line of a report."""
    delivery, course = one.delivery, cohort.course
    to = tx.member(delivery.member).name if delivery.member is not None else str(_room_on(tx, delivery))
    return Fact(fill(cohort.edition.voice.report_line, kind=delivery.kind.value.replace("_", " "),
                     step=str(course.number(delivery.step)) if delivery.step else "–",  # noqa: RUF001
                     to=to, due=When(delivery.due, zone=course.zone), reason=one.reason))


def _compose_nudge(tx: Transaction, cohort: Cohort, delivery: Delivery, step: Step, now: datetime, check_in: Button) \
        -> Message | _Withdrawn:
    assert delivery.member is not None  # noqa: S101  # a nudge is always for somebody
    member = tx.member(delivery.member)
    # Nobody checks in before a step has opened.
    record = Record(cohort.course, tx.journal(member.id, cohort.course.opens(step.id)), now)
    if not member.present:
        return _Withdrawn("left the cohort")
    if not member.nudges:
        return _Withdrawn("asked for no reminders")
    if step.id in record.settled:
        return _Withdrawn("checked in" if record.versions(step.id) else "rests this week")
    number = cohort.course.number(step.id)
    button = replace(check_in, argument=str(number))
    return say(cohort.edition.voice.nudge, name=member.name, number=number, step=step.title,
               deadline=When(record.place.deadline(step.id), zone=record.place.zone_for(step.id))).offering(button)


# --- sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Letter:
    """A claimed delivery, composed and addressed."""

    claim: Claim
    term: int | None
    """In which it was claimed."""
    to: Room | Account
    said: Message | _Award | None
    """None: no longer called for, if it is not out already; or to be counted before."""


@dataclass(frozen=True)
class _Outcome:
    state: State
    receipt: Receipt | None = None
    reason: str = ""
    again: datetime | None = None
    why: type[Exception] | None = None
    """What the platform said no with."""


@dataclass(frozen=True)
class _Settled:
    """A claimed delivery that came to its end without a word."""

    delivery: Delivery
    state: State


Told: TypeAlias = Callable[[Delivery, State, datetime], None]
"""Hears what became of an attempt, and when, once it is written down; `owed` is one that is put off."""


class AtOnce(NamedTuple):
    """Sends that may be under way together: of a lane, and of them to one workspace. Where each workspace has a limit
    of its own, the backlog of one must not fill the lane of all."""

    lane: int
    workspace: int


class Herald:
    """Each lane can have a pulse of its own, so that a post to a room does not wait for three hundred reminders; but a
    lane has only one, here and anywhere. `rights` are by platform; without one nobody else may be there. `alive` hears
    of each step of what takes long."""

    def __init__(self, ledger: Agenda, platforms: Mapping[str, Platform], clock: Clock, site: Site = NOWHERE,
                 told: Told = lambda delivery, state, at: None, rights: Mapping[str, Right] | None = None,
                 at_once: Mapping[str, AtOnce] | None = None,
                 alive: Callable[[Lane], None] = lambda lane: None) -> None:
        self._told = told
        self._alive = alive
        self._ledger = ledger
        self._platforms = platforms
        self._clock = clock
        self._rights = rights or {}
        self._at_once = at_once or {}
        self._site = site
        self._leaving = False
        self._landing: dict[DeliveryKey, tuple[Right, float]] = {}
        """What was cut off, and until when (by the clock of the right) it may still be carried out."""
        self._turns: dict[asyncio.Timeout, None] = {}     # in their order
        self._deriving = asyncio.Lock()
        self._waiting: set[Lane] = set()
        """For nudges to be owed."""

    def leave(self) -> None:
        """Begins nothing more: sends under way go on, those that wait for their turn go back to what is owed."""
        self._leaving = True
        for turn in self._turns:
            turn.reschedule(asyncio.get_running_loop().time())

    @property
    def landing(self) -> bool:
        """Something that was cut off may still be carried out."""
        return any(right.elapsed() < until for right, until in self._landing.values())

    @property
    def lanes(self) -> Sequence[Lane]:
        return [Lane(platform, private) for platform in self._platforms for private in (False, True)]

    async def tick(self, now: datetime) -> datetime | None:
        """Sends all that is due, in every lane, and returns the instant at which something is due next."""
        for lane in self.lanes:
            await self.drain(lane, now)
        return await self.next_due()

    async def next_due(self) -> datetime | None:
        """When the next tick has something to do."""
        due = [await self._ledger.next_due(lane) for lane in self.lanes]
        return min((at for at in due if at is not None), default=None)

    async def drain(self, lane: Lane, now: datetime) -> datetime | None:
        """Sends all that is due in the lane, and returns when something is due in it next; None where another process
        sends."""
        right = self._rights.get(lane.platform, _ALONE)
        if not right.lasts():
            return None
        try:
            due = await self._ledger.next_due(lane)
            return due if due is None or due > now else await self._drain(lane, now, right)
        except Unsaved:
            return self._later(now) + DATABASE_AGAIN

    async def _drain(self, lane: Lane, now: datetime, right: Right) -> datetime | None:
        await self._owe_nudges(lane, now)
        under_way: dict[asyncio.Task[None], _Letter] = {}
        try:
            while True:
                later = self._later(now)
                letters: list[_Letter | _Settled] = []
                most, full = self._room(lane, under_way.values())
                if not self._leaving and most and _may_send(right):
                    letters = await self._ledger.transact(partial(
                        self._claim, lane=lane, now=later, most=most, full=full,
                        besides={letter.claim.delivery.key for letter in under_way.values()}, term=right.term))
                for letter in letters:
                    if isinstance(letter, _Letter):
                        under_way[asyncio.create_task(self._deliver(letter, right, now))] = letter
                for letter in letters:
                    if isinstance(letter, _Settled):
                        self._told(letter.delivery, letter.state, later)
                if len(letters) == most > 0 or self._room(lane, under_way.values())[1] - full:
                    continue    # there may be more, also behind those of a workspace that is full now
                if under_way:
                    ended, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in ended:
                        del under_way[task]
                        task.result()
                elif not letters:
                    break
        except Superseded:
            return None     # what is under way is left to whoever sends now, who looks back for it
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        return await self._ledger.next_due(lane)

    def _room(self, lane: Lane, under_way: Collection[_Letter]) -> tuple[int, set[str]]:
        """How many more may be under way, be they all to one workspace, and to which ones none."""
        most = self._at_once.get(lane.platform, AtOnce(AT_ONCE, AT_ONCE))
        crowd = Counter(letter.to.workspace for letter in under_way)
        full = {workspace for workspace, count in crowd.items() if count >= most.workspace}
        fullest = max((count for workspace, count in crowd.items() if workspace not in full), default=0)
        return min(most.lane - len(under_way), most.workspace - fullest, CLAIMED), full

    async def _owe_nudges(self, lane: Lane, now: datetime) -> None:
        """A step opens for all lanes at once: one of them goes through its cohort, for those that wait, too."""
        self._waiting.add(lane)
        try:
            async with self._deriving:
                for cohort in await self._ledger.transact(lambda tx: tx.opening(now)):
                    after = await self._ledger.transact(partial(_owe_nudges, cohort=cohort, after=None, now=now))
                    while after is not None:
                        for one in self._waiting:
                            self._alive(one)
                        after = await self._ledger.transact(partial(_owe_nudges, cohort=cohort, after=after, now=now))
        finally:
            self._waiting.discard(lane)

    async def _counted(self, letter: _Letter, now: datetime) -> _Letter:
        """The same with what it says, where that tells of everybody."""
        delivery = letter.claim.delivery
        if delivery.kind not in _OF_ALL:
            return letter
        counted, after = await self._ledger.transact(partial(count, delivery=delivery, after=None, now=now))
        while after is not None:
            self._alive(delivery.lane)
            more, after = await self._ledger.transact(partial(count, delivery=delivery, after=after, now=now))
            counted += more
        said = await self._ledger.transact(partial(compose, delivery=delivery, now=now, site=self._site,
                                                   counted=counted))
        assert isinstance(said, Message)  # noqa: S101  # these are
        return replace(letter, said=said)

    async def _deliver(self, letter: _Letter, right: Right, now: datetime) -> None:
        letter = await self._counted(letter, self._later(now))
        now = self._later(now)
        outcome = await self._send(letter, right, now)
        if letter.claim.delivery.kind is PostKind.REPORT and outcome.why in (Unreachable, Gone):
            # The organiser may let us in again, and nobody else is told of what went wrong.
            outcome = replace(outcome, state=State.OWED, again=now + REPORT_AGAIN)
        if await self._ledger.transact(partial(self._keep, claim=letter.claim, outcome=outcome, now=now)):
            at = outcome.receipt.at if outcome.receipt is not None else self._later(now)
            self._told(letter.claim.delivery, outcome.state, at)

    def _claim(self, tx: Transaction, lane: Lane, now: datetime, most: int, besides: Collection[DeliveryKey],
               term: int | None, full: Collection[str]) -> list[_Letter | _Settled]:
        """What is due, with what to say, or what became of it without a word. Empty: nothing is due."""
        letters: list[_Letter | _Settled] = []

        def settle(claim: Claim, outcome: _Outcome) -> None:
            self._keep(tx, claim, outcome, now)
            letters.append(_Settled(claim.delivery, outcome.state))

        for claim in tx.claim(lane, now, most, besides, term, full):
            if now > claim.delivery.latest and not claim.look_back:
                settle(claim, _Outcome(State.MISSED, reason=_too_late(now - claim.delivery.due)))
                continue
            said = None if claim.delivery.kind in _OF_ALL else compose(tx, claim.delivery, now, self._site)
            if isinstance(said, _Withdrawn) and not claim.look_back:
                settle(claim, _Outcome(State.WITHDRAWN, reason=said.reason))
                continue
            to = _address(tx, claim.delivery)
            if to is None:
                settle(claim, _Outcome(State.FAILED, reason="there is no organiser to tell"))
                continue
            letters.append(_Letter(claim, term, to, None if isinstance(said, _Withdrawn) else said))
        return letters

    async def _send(self, letter: _Letter, right: Right, now: datetime) -> _Outcome:
        claim, key = letter.claim, letter.claim.delivery.key
        wait = RETRY[min(claim.attempt, len(RETRY)) - 1]
        platform = self._platforms[letter.to.platform]
        not_begun = _Outcome(State.UNKNOWN if claim.look_back else State.OWED, again=now)
        if self._leaving:
            return not_begun
        try:
            async with asyncio.timeout(WAIT.total_seconds()) as turn:
                self._turns[turn] = None
                try:
                    if not isinstance(letter.said, _Award):
                        await platform.ready(letter.to)
                finally:
                    del self._turns[turn]
        except TimeoutError:
            return not_begun
        except Exception as error:  # nothing was sent yet
            return _refused(error, not_begun.state, self._later(now), wait)
        if (landing := self._landing.get(key)) is not None:
            # What is still on its way would not be found. Who leaves meanwhile must know of it, too.
            await asyncio.sleep(max(0, landing[1] - right.elapsed()))
            del self._landing[key]
        if right.term != letter.term or not _may_send(right):
            return not_begun
        posting, over = False, False
        try:
            async with asyncio.timeout(SEND.total_seconds()):
                if isinstance(letter.said, _Award):
                    # To give it again changes nothing, so there is nothing to look for.
                    assert isinstance(letter.to, Account)  # noqa: S101  # a room takes no role
                    await platform.award(letter.to, letter.said.room, letter.said.role)
                    return _Outcome(State.SENT)
                if claim.look_back:
                    found = await platform.find(letter.to, key, claim.delivery.due - EARLY)
                    if found is not None:
                        return _Outcome(State.SENT, found, "found in the room after a send that was cut off")
                    if now > claim.delivery.latest:
                        return _Outcome(State.MISSED, reason=_too_late(now - claim.delivery.due))
                    if right.term != letter.term or not _may_send(right):
                        return not_begun    # it took too long, or we were frozen meanwhile
                if letter.said is None:
                    return _Outcome(State.WITHDRAWN, reason="no longer called for")
                posting = True
                receipt = await platform.post(letter.to, letter.said, key)
                over = True
                return _Outcome(State.SENT, receipt)
        except (Rejected, Hindered, Busy) as error:
            # While looking back, a no says nothing about the send that was cut off.
            over = True
            return _refused(error, State.OWED if posting else State.UNKNOWN, self._later(now), wait)
        except Exception as error:  # whatever broke, nobody knows whether the message is out
            log.warning("A send was cut off: delivery %s, attempt %d (%s)", key, claim.attempt, type(error).__name__)
            return _Outcome(State.UNKNOWN, reason=f"cut off ({type(error).__name__})", again=self._later(now) + wait)
        finally:
            if posting and not over:
                self._landing[key] = right, right.elapsed() + right.grace

    def _later(self, now: datetime) -> datetime:
        """Now, after something that took its time."""
        return max(now, self._clock.now())

    @staticmethod
    def _keep(tx: Transaction, claim: Claim, outcome: _Outcome, now: datetime) -> bool:
        """Writes down what became of it, and tells whoever must know, once. False when another attempt took over."""
        delivery = claim.delivery
        if not tx.finish(claim, outcome.state, outcome.receipt, outcome.reason, outcome.again):
            return False
        if delivery.member is not None and outcome.why in (Unreachable, Gone):
            _lose(tx, tx.member(delivery.member), outcome.why, now)
        elif outcome.why is Hindered:
            # At once: somebody can cure it while it is still of use. Once for each step, however many wait for it.
            _report(tx, delivery, f"{delivery.step}:{blake2b(outcome.reason.encode(), digest_size=6).hexdigest()}", now)
        elif outcome.state in (State.MISSED, State.FAILED):
            # One report an hour for whatever went wrong in it, not one for each member whose nudge failed.
            due = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            _report(tx, delivery, f"{due:%Y%m%d%H}", due)
        return True


def _may_send(right: Right) -> bool:
    return right.lasts() >= SEND.total_seconds() + right.grace


def _refused(error: Exception, state: State, now: datetime, wait: timedelta) -> _Outcome:
    """`state` is what it goes back to when it may be tried again."""
    match error:
        case Busy():
            return _Outcome(state, reason=str(error), again=now + error.after, why=Busy)
        case Hindered():
            return _Outcome(state, reason=str(error), again=now + max(wait, HINDERED), why=Hindered)
        case Rejected():
            return _Outcome(State.FAILED, reason=str(error), why=type(error))
        case _:
            return _Outcome(state, reason=f"not begun ({type(error).__name__})", again=now + wait)


def _report(tx: Transaction, wrong: Delivery, about: str, due: datetime) -> None:
    organiser = tx.cohort(wrong.cohort).organiser
    if organiser is None or wrong.kind is PostKind.REPORT:
        return
    report = DeliveryKey(f"{wrong.cohort}:report:{about}")
    tx.owe([Delivery(report, wrong.cohort, PostKind.REPORT, None, None, due, due + REPORT_LATEST,
                     Lane(organiser.platform, True))])
    tx.report([wrong.key], report)


def _lose(tx: Transaction, member: Member, why: type[Exception], now: datetime) -> None:
    """The member cannot be reached: they have gone, or they take no direct messages."""
    cohort = tx.cohort(member.cohort)
    if why is Gone:
        tx.append(member, Left(now), RequestId(f"gone:{now:%Y%m%d%H%M%S%f}"))
        tx.change_member(replace(member, present=False))
        tx.withdraw(member.id, PostKind.NUDGE, None, "left")
        return
    # Trying again each week would count against the bot, and the member would never learn of it.
    tx.change_member(replace(member, nudges=False))
    tx.withdraw(member.id, PostKind.NUDGE, None, "takes no direct messages")
    tx.owe([Delivery(DeliveryKey(f"{cohort.id}:unreachable:{member.id}"), cohort.id, PostKind.UNREACHABLE, None,
                     member.id, now, now + UNREACHABLE_LATEST, Lane(member.account.platform, False))])


def _owe_roles(tx: Transaction, cohort: Cohort, after: MemberId | None, records: Mapping[MemberId, Record],
               now: datetime) -> None:
    """To those of the members after that one who graduate, where the cohort has a role for them."""
    if not cohort.graduate_role:
        return
    tx.owe(Delivery(DeliveryKey(f"{cohort.id}:role:{member.id}"), cohort.id, PostKind.ROLE, None, member.id, now,
                    now + ROLE_LATEST, Lane(cohort.room.platform, True))
           for member in tx.members(cohort.id, after, max(records, default=None))
           if member.id in records and records[member.id].graduated
           and cohort.room.platform in {account.platform for account in tx.accounts(member)})


def _too_late(by: timedelta) -> str:
    hours = by.total_seconds() / 3600
    return f"{hours:.1f} h after it was due" if hours >= 1 else f"{by.total_seconds() / 60:.0f} min after it was due"


def _address(tx: Transaction, delivery: Delivery) -> Room | Account | None:
    if delivery.member is not None and delivery.lane.private:
        member = tx.member(delivery.member)
        if member.account.platform == delivery.lane.platform:
            return member.account
        return next(account for account in tx.accounts(member) if account.platform == delivery.lane.platform)
    return tx.cohort(delivery.cohort).organiser if delivery.kind is PostKind.REPORT else _room_on(tx, delivery)


def _room_on(tx: Transaction, delivery: Delivery) -> Room:
    """The room of the cohort on the platform of the delivery."""
    return next(room for room in tx.rooms(delivery.cohort) if room.platform == delivery.lane.platform)
