"""Plays a cohort in virtual time through the real desk, herald and store, with members who have a temper.

`ninety rehearse` plays all ninety days and prints what was said; the demo plays the same cast around a real person.
The same seed plays the same cohort, to the byte.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import partial
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bot import transcript
from bot.cohort.course import Course
from bot.cohort.scoring import Record, State
from bot.desk import Caller, Desk, open_cohort
from bot.herald import AT_A_TIME, Herald
from bot.ledger import Account, Cohort, Logged, MemberId, Receipt, RequestId, Room, Transaction
from bot.ledger import State as Sent
from bot.local import render
from bot.messages import Answers, Checks, Choice, DeliveryKey, Form, Line, Message, Paragraph
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.model import Guide, PostKind, Step, StepId
from scheduler import calendar
from scheduler.clock import VirtualClock

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Europe/Lisbon", "America/Los_Angeles", "Africa/Lagos",
         "America/Sao_Paulo", "Asia/Tokyo", "Australia/Sydney", "Asia/Kathmandu", "Pacific/Auckland",
         "Pacific/Honolulu")

NAMES = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Fatou", "Goro", "Hana", "Ines", "Jonas", "Kavya", "Liam", "Mina",
         "Noor", "Olga", "Pedro", "Quynh", "Ravi", "Sofia", "Tomas", "Uma", "Viktor", "Wanjiru", "Ximena", "Yusuf",
         "Zoe")

NOTES = (
    "Retrieval missed on abbreviations. Adding the heading to each chunk fixed most of it.",
    "My judge liked long answers. Pairwise comparison was steadier.",
    "Blocked for an evening by a rate limit; a queue with back-off cured it.",
    "The small model was good enough, at a tenth of the price.",
    "I had no ground truth before this week. Labelling fifty cases was the best hour of it.",
    "",
)


class Temper(StrEnum):
    EAGER = "eager"
    STEADY = "steady"
    LATE = "late"
    RESTS = "rests"
    DROPS_OUT = "drops out in week 5"
    JOINS_LATE = "joins in week 4"


MIX = (Temper.EAGER, Temper.STEADY, Temper.LATE, Temper.STEADY, Temper.RESTS, Temper.STEADY, Temper.DROPS_OUT,
       Temper.EAGER, Temper.JOINS_LATE, Temper.LATE)


@dataclass(frozen=True)
class Player:
    """A member who acts by themselves."""

    account: Account
    name: str
    zone: str
    temper: Temper


def cast(size: int, platform: str, workspace: str = "") -> list[Player]:
    """Players of every temper, in a dozen zones."""
    return [Player(Account(platform, workspace, f"player-{index + 1}"),
                   NAMES[index % len(NAMES)] + (f" {index // len(NAMES) + 1}" if index >= len(NAMES) else ""),
                   ZONES[index % len(ZONES)], MIX[index % len(MIX)]) for index in range(size)]


class Act(NamedTuple):
    """What a player does at an instant; `step` by number."""

    at: datetime
    user: str
    what: str
    step: int = 0


def acts(player: Player, course: Course, opened_at: datetime, seed: int) -> list[Act]:
    """All that a player will do, laid out beforehand."""
    random = Random(f"{seed}:{player.account.user}")  # noqa: S311  # a play, not a secret
    zone, temper, user = ZoneInfo(player.zone), player.temper, player.account.user
    steps = course.spans
    first = min(3, len(steps) - 1) if temper is Temper.JOINS_LATE else 0
    begins = course.opens(steps[first].id)
    early = begins + timedelta(hours=random.uniform(10, 30)) if first else \
        opened_at + (begins - opened_at) * random.uniform(0.1, 0.9)
    todo = [Act(early, user, "join")]
    rests_at = random.randrange(2, max(3, len(steps) - 2))
    for number, span in enumerate(steps[first:], first + 1):
        if temper is Temper.DROPS_OUT and number >= 5:
            break
        if temper is Temper.RESTS and number == rests_at:
            todo.append(Act(_evening(span.first, 1, zone, random), user, "rest", number))
            continue
        length = (span.last - span.first).days
        if temper is Temper.EAGER:
            at = _evening(span.first, max(0, length - random.randrange(1, 4)), zone, random)
        elif temper is Temper.LATE and random.random() < 0.6:
            at = _evening(span.first, length + random.randrange(2, 5), zone, random)
        else:
            at = _evening(span.first, length - random.choice((0, 0, 1)), zone, random)
        todo.append(Act(at, user, "check-in", number))
        if temper is Temper.EAGER and random.random() < 0.2:
            todo.append(Act(at + timedelta(hours=1), user, "check-in", number))
    return [act for act in todo if act.at > opened_at]


def _evening(first: date, day: int, zone: ZoneInfo, random: Random) -> datetime:
    """Between 18:00 and 23:00 of a local day of the step, counted from 0."""
    at = calendar.instant(first + timedelta(days=day), time(18), zone)
    return at + timedelta(seconds=random.randrange(5 * 3600))


def fill_in(form: Form, step: Step, temper: Temper, random: Random) -> Answers:
    """What a player of that temper writes into the check-in form; built from the form they were given."""
    share = {Temper.EAGER: 0.95, Temper.LATE: 0.6}.get(temper, 0.8)
    answers: dict[str, tuple[str, ...]] = {}
    for field in form.fields:
        if isinstance(field, Checks):
            answers[field.name] = tuple(option.value for option in field.options
                                        if option.chosen or random.random() < share)
        elif isinstance(field, Choice):
            answers[field.name] = (random.choice(field.options).value,)
        elif isinstance(field, Line):
            answers[field.name] = (f"{step.hours * random.uniform(0.5, 1.2):.1f}",)
        elif isinstance(field, Paragraph) and field.name == "notes":
            answers[field.name] = (random.choice(NOTES),)
        else:
            shown = random.random() < share
            answers[field.name] = (f"https://git.example/work/{step.id}",) if shown else ()
    return answers


Heard = Callable[[datetime, Player, Act, Message], None]


class Stage:
    """Moves virtual time: at each instant what is due is sent, and who has something to do does it.

    `heard` is told every private answer that a player gets.
    """

    def __init__(self, desk: Desk, herald: Herald, clock: VirtualClock, cohort: Cohort,
                 players: Sequence[Player], seed: int, heard: Heard = lambda at, player, act, message: None) -> None:
        self._desk, self._herald, self._clock = desk, herald, clock
        self._cohort, self._seed, self._heard = cohort, seed, heard
        self._players = {player.account.user: player for player in players}
        # The last comes first, and what is done is taken off the end.
        self._acts = sorted((act for player in players for act in acts(player, cohort.course, cohort.opened_at, seed)),
                            reverse=True)
        self._herald_due: datetime | None = cohort.opened_at
        self._lock = asyncio.Lock()

    async def tick(self, now: datetime) -> datetime | None:
        """Does what is due at this instant; returns when something is due next, for anybody."""
        async with self._lock:
            self._herald_due = now  # whoever sits at the browser may have changed what is due
            return await self._due(now)

    async def _due(self, now: datetime) -> datetime | None:
        if self._herald_due is not None and self._herald_due <= now:
            self._herald_due = await self._herald.tick(now)
        while self._acts and self._acts[-1].at <= now:
            act = self._acts.pop()
            await self._play(act, now)
            if act.what == "join":
                # Only a newcomer brings something that may be due earlier than all that was known.
                self._herald_due = await self._herald.next_due()
        if not self._acts or (self._herald_due is not None and self._herald_due < self._acts[-1].at):
            return self._herald_due
        return self._acts[-1].at

    async def play(self, until: datetime) -> None:
        """Moves the clock from one due instant to the next, up to `until`."""
        async with self._lock:
            self._herald_due = self._clock.now()
            due = await self._due(self._clock.now())
            while due is not None and due <= until:
                self._clock.reach(due)
                due = await self._due(self._clock.now())
            self._clock.reach(until)

    async def next_due(self) -> datetime | None:
        """When something happens next, whoever does it."""
        return await self.tick(self._clock.now())

    async def _play(self, act: Act, now: datetime) -> None:
        player = self._players[act.user]
        random = Random(f"{self._seed}:{act.user}:{act.what}:{act.step}:{act.at.timestamp()}")  # noqa: S311  # a play
        caller = Caller(player.account, self._cohort.room, player.name, player.zone)
        line = {"join": "cohort join", "rest": f"cohort rest {act.step}", "check-in": f"checkin {act.step}"}[act.what]
        request = RequestId(f"{act.user}:{act.at.timestamp()}")
        answer = await self._desk.command(caller, line, request, now)
        if isinstance(answer, Form):
            answers: Answers
            if act.what == "join":
                answers = {"name": (player.name,), "zone": (player.zone,), "nudges": ("yes",),
                           "shown": (random.choice(("alias", "alias", "name")),)}
            else:
                step = self._cohort.edition.plan.steps[act.step - 1]
                answers = fill_in(answer, step, player.temper, random)
            answer = await self._desk.submit(caller, answer.kind, answer.about, answers, request, now)
        self._heard(now, player, act, answer)


# --- ninety rehearse --------------------------------------------------------------------------------------------------


DRAWN = 60
"""Players whose messages are drawn when nobody reads the transcript. Tempers repeat after ten players and zones after
twelve, so they are all that there are."""


class Script:
    """A platform that writes down what it was given, after drawing it as the local chat would: what goes to the room,
    and to the people of whom it is to hear."""

    def __init__(self, clock: VirtualClock, zone: ZoneInfo, write: Callable[[str], None], of: Collection[str]) -> None:
        self._clock, self._zone, self._write, self._of = clock, zone, write, of
        self._posted: dict[DeliveryKey, Receipt] = {}

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        now = self._clock.now()
        if isinstance(to, Room) or to.user in self._of:
            render.message(message)
            self.say(now, str(to) if isinstance(to, Room) else f"@{to.user}", message)
        self._posted[key] = Receipt(str(len(self._posted) + 1), "", now)
        return self._posted[key]

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return self._posted.get(key)

    async def award(self, to: Account, room: Room, role: str) -> None:
        """A rehearsed cohort has no role to give."""
        raise NotImplementedError

    def say(self, now: datetime, where: str, message: Message) -> None:
        self._write(f"{now.astimezone(self._zone):%a %d %b %Y %H:%M} {where}")
        for line in transcript.lines(message, self._zone):
            self._write(f"    {line}")


@dataclass(frozen=True)
class Week:
    """One line of the summary."""

    number: int
    title: str
    states: Mapping[State, int]
    """How many members ended the step in which state."""
    nudged: int


@dataclass(frozen=True)
class Summary:
    members: int
    graduates: int
    weeks: tuple[Week, ...]
    deliveries: Mapping[tuple[PostKind, Sent], int]
    refused: Mapping[str, int]
    """What players were told no to, and how often."""
    most_in_a_week: int
    """Most direct messages that one member had within one week, reports left out."""
    budget: int
    wrong: tuple[Logged, ...]
    """Missed or failed."""

    @property
    def sound(self) -> bool:
        return not self.wrong and self.most_in_a_week <= self.budget and not any(
            sent in (Sent.OWED, Sent.SENDING, Sent.UNKNOWN) for _, sent in self.deliveries)

    def lines(self) -> Iterator[str]:
        yield f"{self.members} members, {self.graduates} graduate"
        yield ""
        yield "week  in time  late  rested  missed  excused  nudged  title"
        for week in self.weeks:
            count = {state: week.states.get(state, 0) for state in State}
            yield (f"{week.number:4}  {count[State.DONE]:7}  {count[State.LATE]:4}  {count[State.RESTED]:6}  "
                   f"{count[State.MISSED]:6}  {count[State.EXCUSED]:7}  {week.nudged:6}  {week.title}")
        yield ""
        for (kind, state), number in sorted(self.deliveries.items()):
            yield f"{kind.value.replace('_', ' '):12} {state.value:10} {number:6}"
        for sentence, number in sorted(self.refused.items()):
            yield f"refused      {sentence}: {number}"
        yield ""
        yield f"Direct messages to one member in one week: {self.most_in_a_week} at most, {self.budget} allowed"
        if not self.wrong:
            yield "Nothing was missed."
        for one in self.wrong:
            yield f"{one.state.value}: {one.delivery.key}: {one.reason}"


async def rehearse(guide: Guide, plan: str, start: date, zone: str, members: int, seed: int,
                   write: Callable[[str], None] | None, database: str, progress: Callable[[float], None]) -> Summary:
    """Plays the plan from a week before its start to three weeks after its end, for members who join by
    themselves. `database` is the address of an empty one; `progress` hears shares of the way from 0 to 1.

    `write` gets the transcript, line by line, and each message in it is drawn as the local chat would draw it, so that
    one that cannot be drawn is found. Where nobody reads a transcript (None), ten thousand members are told the same
    things: drawn are the room's posts, what the first `DRAWN` members read, and every refusal."""
    edition = Edition.of(guide, plan)
    opened_at = calendar.instant(start - timedelta(days=7), time(12), ZoneInfo(zone))
    clock = VirtualClock(opened_at)
    players = cast(members, "local")
    read = frozenset(player.account.user for player in (players if write else players[:DRAWN]))
    script = Script(clock, ZoneInfo(zone), write or (lambda line: None), read)
    refused: Counter[str] = Counter()

    def heard(at: datetime, player: Player, act: Act, message: Message) -> None:
        if message.refused:
            refused[f"{act.what}: {' '.join(transcript.lines(message, ZoneInfo(zone)))[:100]}"] += 1
        if message.refused or player.account.user in read:
            render.message(message)
        if write:
            write(f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M} @{player.account.user} {act.what} "
                  f"{act.step or ''} -> {next(transcript.lines(message, ZoneInfo(zone)), '')}")

    async with Database(database, durable=False) as store:
        migrate(store)
        ledger = StoredLedger(store)
        room = Room("local", "", "rehearsal")
        cohort = await open_cohort(ledger, "Rehearsal", start, zone, edition, room, Account("local", "", "organiser"),
                                   f"seed {seed}", opened_at)
        desk = Desk(ledger, guide)
        herald = Herald(ledger, {"local": script}, clock)
        stage = Stage(desk, herald, clock, cohort, players, seed, heard)
        end = cohort.course.ends + timedelta(days=21)
        # Nothing that is made from here on refers to itself, and to look for what does takes one part in thirty.
        looked = gc.isenabled()
        gc.disable()
        try:
            while clock.now() < end:
                await stage.play(min(end, clock.now() + timedelta(days=1)))
                progress((clock.now() - opened_at) / (end - opened_at))
        finally:
            if looked:
                gc.enable()
        return await ledger.transact(partial(_summary, cohort=cohort, now=end, refused=refused))


def _summary(tx: Transaction, cohort: Cohort, now: datetime, refused: Mapping[str, int]) -> Summary:
    members = graduates = 0
    states: dict[StepId, Counter[State]] = {step.id: Counter() for step in cohort.edition.plan.steps}
    for record in _records(tx, cohort, now):
        members += 1
        graduates += record.graduated
        for step, state in zip(record.place.own_steps, record.states, strict=True):
            states[step.id][state] += 1
    logged = tx.deliveries(cohort.id)
    sent = [one for one in logged if one.state is Sent.SENT]
    nudged = Counter(one.delivery.step for one in sent if one.delivery.kind is PostKind.NUDGE)
    return Summary(
        members, graduates,
        tuple(Week(number, step.title, states[step.id], nudged[step.id])
              for number, step in enumerate(cohort.edition.plan.steps, 1)),
        Counter((one.delivery.kind, one.state) for one in logged), refused,
        _most_in_a_week(sent), cohort.edition.rules.rhythm.messages_per_member_per_week,
        tuple(one for one in logged if one.state in (Sent.MISSED, Sent.FAILED)))


def _records(tx: Transaction, cohort: Cohort, now: datetime) -> Iterator[Record]:
    """Some hundreds in memory at a time."""
    journals = tx.journals(cohort.id, None, AT_A_TIME)
    while journals:
        yield from (Record(cohort.course, journal, now) for journal in journals.values())
        journals = tx.journals(cohort.id, max(journals), AT_A_TIME)


def _most_in_a_week(sent: Iterable[Logged]) -> int:
    """Over every member and every stretch of six days: weekly messages are seven apart, or an hour less."""
    per_member: dict[MemberId, list[datetime]] = {}
    for one in sent:
        if one.delivery.member is not None:
            per_member.setdefault(one.delivery.member, []).append(one.delivery.due)
    most = 0
    for instants in per_member.values():
        instants.sort()
        most = max(most, *(sum(first <= at < first + timedelta(days=6) for at in instants) for first in instants))
    return most
