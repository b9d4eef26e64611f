"""The one door from chat into the cohort: load, decide, save, answer. One method, one transaction.

A shell hands in who is asking and what they typed; it gets back a `Message` to show them alone, or a `Form` to open.
A rule that says no becomes a message here and nowhere else; anything else that is raised is a bug and goes up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from secrets import choice, token_hex
from typing import TypeAlias
from zoneinfo import ZoneInfo

from propcache.api import cached_property

from bot import commands
from bot.cohort import checkin, enrolment
from bot.cohort.journal import CheckedIn, Event, Granted, Joined, Left, Moved, Rested, Voided
from bot.cohort.refusals import (
    AlreadyEnrolled,
    AlreadyResting,
    BadCode,
    BadDate,
    BadZone,
    CohortOver,
    JoinedTwice,
    NoCohort,
    NoRestLeft,
    NoRoom,
    NotEnrolled,
    NothingToRest,
    NotOrganiser,
    NotStarted,
    Refused,
    RoomHasCohort,
    SamePlatform,
    StartsTooEarly,
    TitleLength,
)
from bot.cohort.scoring import Line as ScoreLine
from bot.cohort.scoring import Record, State
from bot.herald import NOWHERE, Site, board, nudge, posts, tasks
from bot.ledger import (
    Account,
    Code,
    Cohort,
    CohortId,
    Ledger,
    Member,
    RequestId,
    Room,
    RoomTaken,
    Transaction,
    Unsaved,
)
from bot.ledger import State as Sent
from bot.messages import (
    Answers,
    Button,
    Checks,
    Choice,
    Fact,
    Facts,
    Field,
    Form,
    Line,
    Markdown,
    Message,
    Option,
    Paragraph,
    Part,
    Plain,
    Text,
    Value,
    When,
    fill,
    markdown,
    say,
    typed,
    wall_clock,
)
from content.citations import strip
from content.edition import Edition
from content.model import Guide, PostKind, Step, StepId, Voice, Words
from scheduler import calendar
from scheduler.calendar import UnknownZone, nearest_zones, zone_names
from scheduler.calendar import zone as find_zone


@dataclass(frozen=True)
class Caller:
    """Who is asking, as their platform tells it at this moment."""

    account: Account
    room: Room | None
    """Where they asked; None in a direct message."""
    name: str = ""
    zone: str = ""
    """What the platform knows or guesses; the member decides."""
    organiser: bool = False
    """The platform says that they run the room."""
    cohort: CohortId | None = None
    """Which one a button or form was about, when it said so. It counts only for who has to do with that cohort."""


LONGEST_TITLE = 60

CODE = timedelta(minutes=10)
"""How long a code to link with is good for."""
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Of codes: none that looks like another."""


_Blank: TypeAlias = dict[tuple[CohortId, StepId], tuple[Field, ...]]
"""Of check-in forms, the fields as they are shown to everybody who has not checked in yet."""
BLANK = 64
"""As many are kept."""

_Said: TypeAlias = Callable[[], Message]
"""An answer that is put into words while what it is about is being kept: nobody waits for that."""


class Desk:
    """Cohorts opened here keep `guide` as it is; its voice speaks where no cohort is known yet."""

    def __init__(self, ledger: Ledger, guide: Guide, site: Site = NOWHERE) -> None:
        self._ledger = ledger
        self._guide = guide
        self._site = site
        self._blank: _Blank = {}

    @cached_property
    def voice(self) -> Voice:
        return Edition.of(self._guide, self._guide.cohort.plan).voice

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        """What somebody typed after the slash, or the command of a button they pressed. The same request twice is one
        effect."""
        words = line.strip().lstrip("/").lower().split()
        if words[:2] == ["cohort", "open"]:
            return await self._answer(lambda: self.voice, lambda tx: self._open_form(caller, tx, line, now))
        if words[:2] in (["cohort", "link"], ["cohort", "bridge"]) and len(words) > 2:
            # There is no cohort of theirs here yet: which one it is, the code says.
            redeem = self._redeem_link if words[1] == "link" else self._redeem_bridge
            return await self._answer(lambda: self.voice, lambda tx: redeem(caller, tx, words[2], now))

        def work(visit: _Visit) -> Message | Form:
            command, argument = commands.parse(line)
            if command.organiser and not visit.organiser:
                raise NotOrganiser
            return _ANSWERS[command.name](visit, argument)

        return await self._visit(caller, request, now, work, reads=not commands.takes_turn(line))

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        """A form came back: `kind` and `about` are the form's own. The same request twice is one effect."""
        if kind == "open":
            answer = await self._answer(lambda: self.voice, lambda tx: self._open(caller, tx, about, answers, now))
        else:
            answer = await self._visit(caller, request, now, lambda visit: _FORMS[kind](visit, about, answers))
        assert isinstance(answer, Message)  # noqa: S101  # the four of them answer with messages
        return answer

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) \
            -> Sequence[tuple[str, str]]:
        """(value, what to show) for what somebody is typing behind a command whose argument is `week` or `zone`; the
        likeliest first, 25 at most."""
        if argument == "zone":
            found = nearest_zones(typed_) if typed_.strip() else (caller.zone,) if caller.zone else ()
            return [(name, name.replace("_", " ")) for name in found[:25]]

        def work(tx: Transaction) -> list[tuple[str, str]]:
            cohort = _cohort_of(tx, caller)
            steps = cohort.edition.plan.steps if cohort else ()
            return [(str(number), f"{number}: {step.title}") for number, step in enumerate(steps, 1)
                    if typed_.casefold().strip() in f"{number}: {step.title}".casefold()]

        try:
            return (await self._ledger.transact(work))[:25]
        except Unsaved:
            return []

    async def _visit(self, caller: Caller, request: RequestId, now: datetime,
                     work: Callable[[_Visit], Message | Form | _Said], *, reads: bool = False) -> Message | Form:
        found: list[Cohort] = []

        def visit(tx: Transaction) -> Message | Form | _Said:
            cohort = _cohort_of(tx, caller)
            if cohort is None:
                raise NoCohort
            found.append(cohort)
            return work(_Visit(tx, caller, request, now, cohort, self._site, self._blank))

        answer = await self._answer(lambda: found[0].edition.voice if found else self.voice, visit, reads=reads)
        return replace(answer, cohort=found[0].id) if found else answer

    async def _answer(self, voice: Callable[[], Voice], work: Callable[[Transaction], Message | Form | _Said], *,
                      reads: bool = False) -> Message | Form:
        """`voice` tells who speaks when the answer is no."""
        worded: list[Message | Form] = []

        def word(answer: Message | Form | _Said) -> None:
            worded.append(answer if isinstance(answer, Message | Form) else answer())

        try:
            await self._ledger.transact(work, reads=reads, meanwhile=word)
            return worded[0]
        except Refused as refused:
            return refusal(voice(), refused)
        except Unsaved:
            return Message(body=(markdown(voice().refusals.not_saved),), refused=True)

    def _open_form(self, caller: Caller, tx: Transaction, line: str, now: datetime) -> Form:
        role = commands.parse(line)[1]
        room, words = self._check_may_open(caller, tx), self.voice.open_form
        zone = find_zone(caller.zone or "UTC")
        today = calendar.local_day(now, zone)
        monday = today + timedelta(days=7 - today.weekday())
        return Form("open", role, words.title, markdown(words.intro), (
            Line("title", words.name_label, words.name_hint, "", True, LONGEST_TITLE),
            Line("start", words.start_label, words.start_hint, monday.isoformat(), True, 10),
            Line("zone", words.zone_label, words.zone_hint, zone.key, True, 60, zone_names()),
            Choice("plan", words.plan_label, "", tuple(
                Option(name, markdown(plan.title), name == self._guide.cohort.plan)
                for name, plan in self._guide.plans.items()), True),
            *((Choice("threads", words.threads_label, "", (
                Option("no", markdown(words.threads_no), True), Option("yes", markdown(words.threads_yes))), True),)
              if room.platform == "discord" else ()),
        ), words.submit)

    def _open(self, caller: Caller, tx: Transaction, role: str, answers: Answers, now: datetime) -> Message:
        room = self._check_may_open(caller, tx)
        title = " ".join(typed(answers, "title").split())
        if not 1 <= len(title) <= LONGEST_TITLE:
            raise TitleLength(LONGEST_TITLE)
        try:
            start = date.fromisoformat(typed(answers, "start"))
        except ValueError:
            raise BadDate(typed(answers, "start")[:40]) from None
        zone = _zone_of(answers, "UTC")
        plan = typed(answers, "plan")
        edition = Edition.of(self._guide, plan if plan in self._guide.plans else self._guide.cohort.plan)
        cohort = _opened(tx, title, start, zone, edition, room, caller.account, token_hex(16), now,
                         threads=typed(answers, "threads") == "yes", graduate_role=role)
        course, words = cohort.course, edition.voice.words
        welcome = min(one.due for one in posts(cohort))
        return replace(say(
            edition.voice.opened, cohort=cohort.title, plan=edition.plan.title, zone=cohort.zone,
            start=When(course.announced(edition.plan.steps[0].id), "day", course.zone),
            ends=When(calendar.instant(course.spans[-1].last, time(12), course.zone), "day", course.zone),
            welcome=When(welcome, zone=course.zone)).offering(
                Button(words.join, "cohort join", style="primary"), Button(words.log, "cohort log")), cohort=cohort.id)

    def _redeem_link(self, caller: Caller, tx: Transaction, typed_: str, now: datetime) -> Message:
        """The account becomes one of the member who asked for the code."""
        code = tx.take_code(_digest(typed_), now)
        if code is None or code.member is None:
            raise BadCode
        cohort, member = tx.cohort(code.cohort), tx.member(code.member)
        if caller.account.platform not in {room.platform for room in tx.rooms(cohort.id)}:
            raise BadCode
        if caller.account.platform == member.account.platform:
            raise SamePlatform
        other = tx.enrolment(cohort.id, caller.account)
        if other is not None and other.id != member.id and other.present:
            raise JoinedTwice
        tx.link(member, caller.account)
        words = cohort.edition.voice.words
        return replace(say(cohort.edition.voice.linked, name=member.name, cohort=cohort.title).offering(
            Button(words.check_in, "checkin", style="primary"), Button(words.my_progress, "progress")),
            cohort=cohort.id)

    def _redeem_bridge(self, caller: Caller, tx: Transaction, typed_: str, now: datetime) -> Message:
        """The cohort gets a second room, and owes it what is still ahead."""
        if caller.room is None:
            raise NoRoom
        if not caller.organiser:
            raise NotOrganiser
        code = tx.take_code(_digest(typed_), now)
        if code is None or code.member is not None:
            raise BadCode
        cohort = tx.cohort(code.cohort)
        if caller.room.platform in {room.platform for room in tx.rooms(cohort.id)}:
            raise SamePlatform
        try:
            tx.add_room(cohort.id, caller.room)
        except RoomTaken:
            raise RoomHasCohort from None
        tx.owe(one for one in posts(cohort, caller.room) if one.due > now)
        words = cohort.edition.voice.words
        return replace(say(cohort.edition.voice.bridged, cohort=cohort.title).offering(
            Button(words.join, "cohort join", style="primary"), Button(words.log, "cohort log")), cohort=cohort.id)

    @staticmethod
    def _check_may_open(caller: Caller, tx: Transaction) -> Room:
        """Where. Raises NoRoom, NotOrganiser or RoomHasCohort."""
        if caller.room is None:
            raise NoRoom
        if not caller.organiser:
            raise NotOrganiser
        if tx.cohort_in(caller.room) is not None:
            raise RoomHasCohort
        return caller.room


async def open_cohort(ledger: Ledger, title: str, start: date, zone: str, edition: Edition, room: Room,
                      organiser: Account | None, salt: str, now: datetime, *, threads: bool = False,
                      graduate_role: str = "") -> Cohort:
    """Opens it, and owes every post to its room. Raises RoomTaken, StartsTooEarly or UnknownZone."""
    return await ledger.transact(lambda tx: _opened(tx, title, start, find_zone(zone), edition, room, organiser, salt,
                                                    now, threads=threads, graduate_role=graduate_role))


def _opened(tx: Transaction, title: str, start: date, zone: ZoneInfo, edition: Edition, room: Room,
            organiser: Account | None, salt: str, now: datetime, *, threads: bool, graduate_role: str) -> Cohort:
    if start < calendar.local_day(now, zone):
        raise StartsTooEarly(start.isoformat())
    cohort = tx.open_cohort(title, start, zone.key, edition, room, organiser, salt, now, threads=threads,
                            graduate_role=graduate_role)
    tx.owe(posts(cohort))
    return cohort


async def correct(ledger: Ledger, cohort: CohortId, user: str, event: Granted | Voided, now: datetime) -> Record:
    """An organiser's correction: a new event in the member's journal, whose reason the member reads in /progress.
    Returns the member's record with it. Raises LookupError when there is no such member, or no such event to void."""
    def work(tx: Transaction) -> Record:
        member = _member(tx, cohort, user)
        record = Record(tx.cohort(cohort).course, tx.journal(member.id), now)
        if isinstance(event, Voided) and event.of not in {entry.seq for entry in record.journal}:
            raise LookupError(f"the journal of {user} has no entry {event.of}")
        entry = tx.append(member, event, _once(record, "corrected"))
        assert entry is not None  # noqa: S101  # nobody else writes within this transaction
        record = record.then(entry)
        tx.change_member(member.standing(record))
        return record

    return await ledger.transact(work)


async def record_of(ledger: Ledger, cohort: CohortId, user: str, now: datetime) -> Record:
    """Raises LookupError when nobody of that name ever joined."""
    return await ledger.transact(lambda tx: Record(tx.cohort(cohort).course, tx.journal(_member(tx, cohort, user).id),
                                                   now))


def _member(tx: Transaction, cohort: CohortId, user: str) -> Member:
    found = (tx.enrolment(cohort, room.account(user)) for room in tx.rooms(cohort))
    member = next((one for one in found if one is not None), None)
    if member is None:
        raise LookupError(f"nobody with the id {user} ever joined {tx.cohort(cohort).title}")
    return member


def refusal(voice: Voice, refused: Refused) -> Message:
    """What the member reads when a rule said no."""
    values = {name: When(value) if isinstance(value, datetime) else value for name, value in refused.values().items()}
    return Message(body=(fill(getattr(voice.refusals, refused.sentence), **values),), refused=True,
                   field=refused.field)


def _cohort_of(tx: Transaction, caller: Caller) -> Cohort | None:
    """The one that the button was about, if it is theirs; else the one in the room; else the youngest that the person
    is in, or has left, or has opened. From within a workspace, only those that live there."""
    if caller.cohort is None and caller.room is not None and (cohort := tx.cohort_in(caller.room)) is not None:
        return cohort
    members = sorted(tx.enrolments(caller.account), key=lambda member: not member.present)
    theirs = [tx.cohort(member.cohort) for member in members]
    theirs += tx.organised(caller.account)
    if caller.room is not None:
        here_too = (caller.room.platform, caller.room.workspace)
        theirs = [cohort for cohort in theirs
                  if here_too in {(room.platform, room.workspace) for room in tx.rooms(cohort.id)}]
        if (here := tx.cohort_in(caller.room)) is not None:
            theirs.insert(0, here)
    return next((cohort for cohort in theirs if cohort.id == caller.cohort), theirs[0] if theirs else None)


@dataclass(frozen=True)
class _Visit:
    """One person at the desk, within one transaction."""

    tx: Transaction
    caller: Caller
    request: RequestId
    now: datetime
    cohort: Cohort
    site: Site
    blank: _Blank

    @property
    def edition(self) -> Edition:
        return self.cohort.edition

    @property
    def voice(self) -> Voice:
        return self.cohort.edition.voice

    @property
    def organiser(self) -> bool:
        # Who runs one room need not run the room where the cohort lives.
        runs_the_room = self.caller.organiser and self.caller.room in self.tx.rooms(self.cohort.id)
        return runs_the_room or self.caller.account == self.cohort.organiser

    def enrolled(self) -> tuple[Member, Record]:
        """Raises NotEnrolled."""
        member = self.tx.enrolment(self.cohort.id, self.caller.account)
        if member is None or not member.present:
            raise NotEnrolled
        return member, self.record(member)

    def record(self, member: Member) -> Record:
        return Record(self.cohort.course, self.tx.journal(member.id), self.now)

    def answered(self, record: Record, kind: type[Event]) -> Record | None:
        """The record as this very request left it, when it has had its effect and only the answer is asked for again.
        """
        for index, entry in enumerate(record.journal, 1):
            if entry.request == self.request and isinstance(entry.event, kind):
                return replace(record, journal=record.journal[:index])
        return None

    def write(self, member: Member, record: Record, event: Event) -> tuple[Member, Record]:
        """Appends to the member's journal; both with it, and the member's row changed to be like that."""
        entry = self.tx.append(member, event, self.request)
        if entry is not None:
            record = record.then(entry)
        member = member.standing(record)
        self.tx.change_member(member)
        return member, record

    def when(self, at: datetime, record: Record | None = None) -> When:
        """The instant as the member reads it: in the zone they live by at present."""
        if record is None:
            return When(at)
        return When(at, zone=record.place.zone)

    def button(self, label: str, command: str, argument: str = "", *, primary: bool = False) -> Button:
        return Button(label, command, argument, "primary" if primary else "plain")


# --- coming and going -------------------------------------------------------------------------------------------------


def _join_form(visit: _Visit, zone: str) -> Form:
    member = visit.tx.enrolment(visit.cohort.id, visit.caller.account)
    if member is not None and member.present:
        raise AlreadyEnrolled
    if visit.now >= visit.cohort.course.ends:
        raise CohortOver
    return _about_you(visit, "join", visit.voice.join_form.title, member, zone)


def _settings_form(visit: _Visit, zone: str) -> Form:
    member, _record = visit.enrolled()
    return _about_you(visit, "settings", visit.voice.join_form.settings_title, member, zone)


def _about_you(visit: _Visit, kind: str, title: str, member: Member | None, zone: str) -> Form:
    """Filled in with what is known already, and the zone that was typed behind the command."""
    words, privacy = visit.voice.join_form, visit.edition.rules.privacy
    shows_name = member.shows_name if member else privacy.name_on_board == "name"
    nudges = member.nudges if member else True
    return Form(kind, "", title, markdown(privacy.text), (
        Line("name", words.name_label, words.name_hint, member.name if member else visit.caller.name, True,
             enrolment.LONGEST_NAME),
        Choice("shown", words.shown_label, "", (
            Option("alias", markdown(words.shown_alias), not shows_name),
            Option("name", markdown(words.shown_name), shows_name)), True),
        Line("zone", words.zone_label, words.zone_hint,
             zone or (member.zone if member else visit.caller.zone or visit.cohort.zone), True, 60, zone_names()),
        Choice("nudges", words.nudges_label, "", (
            Option("yes", markdown(words.nudges_yes), nudges),
            Option("no", markdown(words.nudges_no), not nudges)), True),
    ), words.submit)


def _read_about_you(visit: _Visit, answers: Answers, member: Member | None) -> tuple[str, bool, str, bool]:
    """(name, name on the board, zone, nudges); raises the refusal that applies."""
    name = enrolment.name(typed(answers, "name"))
    # What is no option of these two (a forged form) counts as the answer that shows and sends less.
    shows_name, nudges = typed(answers, "shown") == "name", typed(answers, "nudges") == "yes"
    enrolment.check_free(name, visit.tx.names(visit.cohort.id, member.id if member else None))
    return name, shows_name, _zone_of(answers, visit.cohort.zone).key, nudges


def _zone_of(answers: Answers, instead: str) -> ZoneInfo:
    """Raises BadZone, which suggests `instead` where nothing is near."""
    try:
        return find_zone(typed(answers, "zone"))
    except UnknownZone as unknown:
        raise BadZone(unknown.name[:40], ", ".join(unknown.nearest[:3]) or instead) from None


def _join(visit: _Visit, _: str, answers: Answers) -> Message:
    tx, cohort = visit.tx, visit.cohort
    member = tx.enrolment(cohort.id, visit.caller.account)
    if member is not None:
        # Also of somebody who has left since: a repeated request does not bring them back.
        if (record := visit.answered(visit.record(member), Joined)) is not None:
            return _welcome(visit, member, record)
        if member.present:
            raise AlreadyEnrolled
    name, shows_name, zone, nudges = _read_about_you(visit, answers, member)
    if member is None:
        seed = f"{cohort.salt}:{visit.caller.account}"
        alias = enrolment.alias(visit.edition.rules.privacy, seed, tx.names(cohort.id))
        member = tx.add_member(cohort.id, visit.caller.account, name, alias, shows_name, zone, nudges)
    else:
        member = replace(member, name=name, shows_name=shows_name, zone=zone, nudges=nudges, present=True)
    first = _first_step(visit, find_zone(zone))
    member, record = visit.write(member, visit.record(member), Joined(visit.now, zone, first))
    _owe_nudges(visit, member, record)
    return _welcome(visit, member, record)


def _first_step(visit: _Visit, zone: ZoneInfo) -> StepId:
    """The step that is running, unless it is over already where the newcomer lives. Raises CohortOver."""
    course = visit.cohort.course
    running = course.running(visit.now)
    for step in course.edition.plan.steps[course.number(running) - 1 if running else 0:]:
        if visit.now < min(course.ends, course.deadline(step.id, zone)):
            return step.id
    raise CohortOver


def _welcome(visit: _Visit, member: Member, record: Record) -> Message:
    course, words = visit.cohort.course, visit.voice.words
    step = course.step(record.place.first)
    names: dict[str, Value] = {"name": member.name, "board_name": member.board_name,
                               "cohort": visit.cohort.title}
    if visit.now < course.opens(step.id):
        return say(visit.voice.joined_early, start=visit.when(course.announced(step.id), record), **names)
    return say(visit.voice.joined, tasks(visit.edition, step, visit.site), number=course.number(step.id),
               step=step.title, deadline=visit.when(record.place.deadline(step.id), record), **names).offering(
        visit.button(words.check_in, "checkin", primary=True), visit.site.week(visit.edition, step))


def _settings(visit: _Visit, _: str, answers: Answers) -> Message:
    member, record = visit.enrolled()
    if visit.answered(record, Moved) is None:
        name, shows_name, zone, nudges = _read_about_you(visit, answers, member)
        moved = zone != member.zone
        member = replace(member, name=name, shows_name=shows_name, zone=zone, nudges=nudges)
        if moved:
            member, record = visit.write(member, record, Moved(visit.now, zone))
        else:
            visit.tx.change_member(member)
        if nudges:
            _owe_nudges(visit, member, record)
        else:
            visit.tx.withdraw(member.id, PostKind.NUDGE, None, "asked for no reminders")
    later: Text = ()
    running = visit.cohort.course.running(visit.now)
    if running is not None and visit.now < record.place.deadline(running):
        old = record.place.zone_for(running).key
        if old != member.zone:
            later = fill(visit.voice.zone_later, zone=old, step=visit.cohort.course.step(running).title)
    return say(visit.voice.settings_saved, later, name=member.name, board_name=member.board_name, zone=member.zone)


def _owe_nudges(visit: _Visit, member: Member, record: Record) -> None:
    """For the steps that have opened already; the herald owes the others when they open."""
    if not member.nudges:
        return
    course, derived = visit.cohort.course, visit.tx.nudges_owed(visit.cohort.id)
    owed = (nudge(visit.cohort, member, record, step) for number, step in enumerate(visit.edition.plan.steps, 1)
            # The herald owes them to some members at a time, and may have come past this one already.
            if (number <= derived or course.opens(step.id) <= visit.now)
            and record.place.concerns(step.id) and step.id not in record.settled)
    visit.tx.owe(delivery for delivery in owed if delivery.due > visit.now)


def _leave(visit: _Visit, _: str) -> Message:
    member = visit.tx.enrolment(visit.cohort.id, visit.caller.account)
    if member is None or visit.answered(visit.record(member), Left) is None:
        member, record = visit.enrolled()
        visit.write(replace(member, present=False), record, Left(visit.now))
        visit.tx.withdraw(member.id, PostKind.NUDGE, None, "left the cohort")
    return say(visit.voice.left, cohort=visit.cohort.title).offering(
        visit.button(visit.voice.words.join, "cohort join"))


def _once(record: Record, what: str) -> RequestId:
    """A request id for a correction at the command line; of two that saw the same journal, one has an effect."""
    return RequestId(f"{what}:{len(record.journal)}")


# --- two chats --------------------------------------------------------------------------------------------------------


def _link(visit: _Visit, _: str) -> Message:
    member, _record = visit.enrolled()
    return say(visit.voice.link_code, code=_code(visit, member), cohort=visit.cohort.title,
               minutes=int(CODE.total_seconds() // 60))


def _bridge(visit: _Visit, _: str) -> Message:
    return say(visit.voice.bridge_code, code=_code(visit, None), cohort=visit.cohort.title,
               minutes=int(CODE.total_seconds() // 60))


def _code(visit: _Visit, member: Member | None) -> str:
    """A new one; the database keeps only its digest."""
    code = "".join(choice(_LETTERS) for _ in range(8))
    visit.tx.keep_code(_digest(code), Code(visit.cohort.id, member.id if member else None, visit.now + CODE))
    return f"{code[:4]}-{code[4:]}"


def _digest(typed_: str) -> str:
    return sha256("".join(letter for letter in typed_.upper() if letter.isalnum()).encode()).hexdigest()


# --- checking in ------------------------------------------------------------------------------------------------------


def _check_in_form(visit: _Visit, argument: str) -> Form:
    _, record = visit.enrolled()
    step_id = record.place.meant(argument, record.settled, visit.now)
    course, form = visit.cohort.course, visit.edition.rules.check_in
    step, versions = course.step(step_id), record.versions(step_id)
    number, deadline = course.number(step_id), record.place.deadline(step_id)
    if visit.now < deadline:
        intro = fill(visit.voice.form_in_time, number=number, step=step.title, deadline=visit.when(deadline, record))
    else:
        percent = visit.edition.rules.scoring.late_percent
        intro = fill(visit.voice.form_late, number=number, step=step.title, percent=percent)
    fields = _check_in_fields(visit.edition, step, versions[-1]) if versions else _blank(visit, step)
    return Form("check-in", step_id, form.title.format(number=number), intro, fields, form.submit)


def _blank(visit: _Visit, step: Step) -> tuple[Field, ...]:
    found = visit.blank.get((visit.cohort.id, step.id))
    if found is None:
        if len(visit.blank) >= BLANK:
            visit.blank.clear()
        found = visit.blank[visit.cohort.id, step.id] = _check_in_fields(visit.edition, step, None)
    return found


def _check_in_fields(edition: Edition, step: Step, last: CheckedIn | None) -> tuple[Field, ...]:
    """Filled in with what was sent last."""
    form, words = edition.rules.check_in, edition.voice.words
    return (
        Checks("tasks", form.tasks.label, form.tasks.hint, tuple(
            Option(task.id, markdown(task.do), last is not None and task.id in last.done,
                   words.must if task.weight == "must" else words.stretch) for task in step.tasks)),
        Line("hours", form.hours.label, form.hours.hint,
             f"{last.hours:g}" if last and last.hours is not None else "", longest=10, numeric=True),
        Paragraph("evidence", form.evidence.label, form.evidence.hint, "\n".join(last.links) if last else "",
                  longest=min(3000, form.evidence.most * checkin.LONGEST_LINK)),
        Paragraph("notes", form.notes.label, form.notes.hint, last.notes if last else "", longest=form.notes.longest),
        Choice("confidence", form.confidence.label, form.confidence.hint, tuple(
            Option(option, markdown(option), last is not None and option == last.confidence)
            for option in form.confidence.options)),
    )


def _check_in(visit: _Visit, about: str, answers: Answers) -> _Said:
    member, record = visit.enrolled()
    step_id = visit.cohort.course.find(about)
    course = visit.cohort.course
    step = course.step(step_id)
    answered = visit.answered(record, CheckedIn)
    if answered is None:
        record.place.check(step_id, visit.now)
        report = checkin.read(
            visit.edition.rules.check_in, step, done=answers.get("tasks", ()), hours=typed(answers, "hours"),
            links=typed(answers, "evidence"), notes=typed(answers, "notes"), confidence=typed(answers, "confidence"))
        member, record = visit.write(member, record, CheckedIn(
            visit.now, step_id, report.done, report.hours, report.links, report.notes, report.confidence))
        visit.tx.withdraw(member.id, PostKind.NUDGE, step_id, "checked in")
    return partial(_checked_in, visit, answered or record, step, _place(visit, member))


def _checked_in(visit: _Visit, record: Record, step: Step, place: Text) -> Message:
    """Points and why, the streak, the place in private, and what comes next."""
    before = record.versions(step.id)[:-1]
    voice, course = visit.voice, visit.cohort.course
    earned = record.score(step.id)
    values: dict[str, Value] = {"number": course.number(step.id), "step": step.title, "points": earned.points,
                                "total": record.points, "streak": record.streak}
    why = Facts(tuple(Fact(_why(visit, line), _signed(line.points)) for line in earned.lines))
    parts: list[Part] = [why, place, *_whats_next(visit, record)]
    if before:
        answer = say(voice.amended, *parts, replaced=visit.when(before[-1].at, record), **values)
    elif record.state(step) is State.LATE:
        answer = say(voice.checked_in_late, *parts, percent=visit.edition.rules.scoring.late_percent, **values)
    else:
        answer = say(voice.checked_in, *parts, **values)
    return answer.offering(visit.button(voice.words.my_progress, "progress"),
                           visit.button(voice.words.board, "leaderboard"))


def _why(visit: _Visit, line: ScoreLine) -> Text:
    scoring = visit.edition.rules.scoring
    return _because(getattr(visit.voice.words, line.rule), line.count, abs(line.points), scoring.late_percent,
                    scoring.step_cap)


# There are few of them, and every answer is made of them.
@lru_cache(maxsize=1024)
def _because(sentence: str, count: int, points: int, percent: int, cap: int) -> Text:
    return fill(sentence, count=count, points=points, percent=percent, cap=cap)


@lru_cache(maxsize=1024)
def _signed(points: int) -> Text:
    return (Plain(f"{points:+d}".replace("-", "−")),)  # noqa: RUF001  # a true minus lines up with the plus


def _place(visit: _Visit, member: Member) -> Text:
    """Empty while there is no board."""
    above, members = visit.tx.standing(visit.cohort.id, member.points)
    if member.points <= 0 or members < visit.edition.rules.privacy.board_from:
        return ()
    return fill(visit.voice.place, place=above + 1, members=members)


def _whats_next(visit: _Visit, record: Record) -> list[Text]:
    """Steps that are still owed, else when the next one opens."""
    course = visit.cohort.course
    owed = [step for step, state in zip(record.place.own_steps, record.states, strict=True) if state is State.OPEN]
    if owed:
        return [fill(visit.voice.owing, number=course.number(step.id), step=step.title,
                     deadline=visit.when(record.place.deadline(step.id), record)) for step in owed]
    ahead = [step for step in record.place.own_steps
             if course.opens(step.id) > visit.now and step.id not in record.rested]
    if not ahead:
        return [markdown(visit.voice.last_step_done)]
    return [fill(visit.voice.next_step, number=course.number(ahead[0].id), step=ahead[0].title,
                 opens=visit.when(course.announced(ahead[0].id), record))]


def _rest(visit: _Visit, argument: str) -> Message:
    member, record = visit.enrolled()
    course = visit.cohort.course
    if (answered := visit.answered(record, Rested)) is not None:
        return _rested(visit, answered)
    step_id = course.find(argument) if argument else record.place.meant("", record.settled, visit.now)
    step = course.step(step_id)
    if visit.now >= course.opens(step_id):      # a holiday is known weeks ahead
        record.place.check(step_id, visit.now)
    if step_id in record.rested:
        raise AlreadyResting(step.title)
    if record.state(step) not in (State.OPEN, State.AHEAD):
        raise NothingToRest(step.title)
    if record.rests_left == 0:
        raise NoRestLeft(visit.edition.rules.scoring.rest_steps)
    _, record = visit.write(member, record, Rested(visit.now, step_id))
    visit.tx.withdraw(member.id, PostKind.NUDGE, step_id, "rests this week")
    return _rested(visit, record)


def _rested(visit: _Visit, record: Record) -> Message:
    """`record` ends with the rest."""
    course, rest = visit.cohort.course, record.journal[-1].event
    assert isinstance(rest, Rested)  # noqa: S101  # both callers see to it
    return say(visit.voice.rested, *_whats_next(visit, record), number=course.number(rest.step),
               step=course.step(rest.step).title, rests_left=record.rests_left)


# --- looking ----------------------------------------------------------------------------------------------------------


def _week(visit: _Visit, argument: str) -> Message:
    """Anybody in the room may read it; a member sees their own deadline and ticks."""
    course = visit.cohort.course
    member = visit.tx.enrolment(visit.cohort.id, visit.caller.account)
    record = visit.record(member) if member is not None and member.present else None
    step_id = course.find(argument) if argument else course.running(visit.now)
    if step_id is None:
        raise NotStarted(course.announced(course.edition.plan.steps[0].id))
    step = course.step(step_id)
    # Whoever is no member has no deadline; the hour is the same on every member's own clock.
    deadline: Value = visit.when(record.place.deadline(step_id), record) if record \
        else wall_clock(course.deadline(step_id, course.zone), course.zone)
    button = visit.button(visit.voice.words.check_in, "checkin", str(course.number(step_id)), primary=True) \
        if record else visit.button(visit.voice.words.join, "cohort join", primary=True)
    done = record.versions(step_id)[-1].done if record and record.versions(step_id) else None
    return say(visit.voice.week, tasks(visit.edition, step, visit.site, done), number=course.number(step_id),
               steps=len(course.edition.plan.steps), step=step.title, goal=Markdown(strip(step.goal)),
               hours=f"{step.hours:g}", deadline=deadline).offering(
        button, visit.site.week(visit.edition, step))


def _progress(visit: _Visit, _: str) -> Message:
    member, record = visit.enrolled()
    voice, course = visit.voice, visit.cohort.course
    lines = []
    for step in course.edition.plan.steps:
        # What somebody did before they left and came back counts, though the step concerns them no longer.
        if not record.place.concerns(step.id) and not record.versions(step.id):
            continue
        state = record.state(step)
        if state is State.AHEAD:
            continue
        label: Text = (Markdown(f"**{course.number(step.id)}** {strip(step.title)}"),)
        earned = record.score(step.id)
        for index, line in enumerate(earned.lines):
            label += (Markdown(" · " if index else "\n"), *_why(visit, line), Plain(", "), *_signed(line.points))
        lines.append(Fact(label, _signed(earned.points) if earned.lines else markdown(_STANDS[state](voice.words))))
    lines += [Fact(fill(voice.words.granted, points=one.points, reason=one.reason), _signed(one.points))
              for one in record.granted]
    asked = [state for state in record.states if state not in (State.AHEAD, State.EXCUSED, State.RESTED)]
    return say(voice.progress, Facts(tuple(lines)), _place(visit, member), *_whats_next(visit, record),
               name=member.name, total=record.points, streak=record.streak, best_streak=record.best_streak,
               done=record.checked_in, of=len(asked), rests_left=record.rests_left).offering(
        visit.button(voice.words.check_in, "checkin"), visit.button(voice.words.board, "leaderboard"))


_STANDS: dict[State, Callable[[Words], str]] = {
    State.RESTED: lambda words: words.rested,
    State.OPEN: lambda words: words.open,
    State.MISSED: lambda words: words.missed,
    State.EXCUSED: lambda words: words.excused,
}


def _leaderboard(visit: _Visit, _: str) -> Message:
    voice, course = visit.voice, visit.cohort.course
    member = visit.tx.enrolment(visit.cohort.id, visit.caller.account)
    shown = board(visit.tx, visit.cohort, visit.now, member if member and member.present else None)
    if shown is None:
        return say(voice.board_hidden, least=visit.edition.rules.privacy.board_from)
    running = course.running(visit.now)
    return say(voice.leaderboard, shown, number=course.number(running) if running else 0,
               steps=len(course.edition.plan.steps))


def _help(visit: _Visit, _: str) -> Message:
    lines = tuple(
        Fact((Markdown(f"`/{command.name}{f' [{command.argument}]' if command.argument else ''}`"),),
             markdown(commands.help_line(command, visit.voice.commands)))
        for command in commands.COMMANDS if visit.organiser or not command.organiser)
    return say(visit.voice.help, Facts(lines), cohort=visit.cohort.title)


def _log(visit: _Visit, _: str) -> Message:
    """Every post to the room and what became of it; of the nudges only how many."""
    course = visit.cohort.course
    lines = []
    nudges: dict[StepId, dict[Sent, int]] = {}
    for logged in visit.tx.deliveries(visit.cohort.id):
        delivery = logged.delivery
        if delivery.kind is PostKind.NUDGE and delivery.step is not None:
            counts = nudges.setdefault(delivery.step, {})
            counts[logged.state] = counts.get(logged.state, 0) + 1
            continue
        number = f" {course.number(delivery.step)}" if delivery.step else ""
        lines.append(Fact((Markdown(f"**{delivery.kind.value.replace('_', ' ')}{number}** "), When(delivery.due)),
                          (Plain(logged.state.value + (f": {logged.reason}" if logged.reason else "")),)))
    lines += [Fact((Markdown(f"**nudges {course.number(step)}**"),),
                   (Plain(", ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))),))
              for step, counts in nudges.items()]
    return say(visit.voice.log, Facts(tuple(lines)), cohort=visit.cohort.title)


_FORMS: dict[str, Callable[[_Visit, str, Answers], Message | _Said]] = {
    "check-in": _check_in,
    "join": _join,
    "settings": _settings,
}

_ANSWERS: dict[str, Callable[[_Visit, str], Message | Form]] = {
    "checkin": _check_in_form,
    "week": _week,
    "progress": _progress,
    "leaderboard": _leaderboard,
    "cohort join": _join_form,
    "cohort settings": _settings_form,
    "cohort rest": _rest,
    "cohort leave": _leave,
    "cohort link": _link,
    "cohort bridge": _bridge,
    "cohort help": _help,
    "cohort log": _log,
}
