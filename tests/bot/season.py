"""A whole cohort, played on any chat: the real process, the real guide, every word through the platform's own doors.

What must happen is worked out here from the guide's YAML and from what the players did, with the clocks of zoneinfo and
none of the bot's arithmetic.

    play = Play(town, SPRING, roles(chat, cast(50, "slack", "T1")), seed=11)
    await play.open()
    await play.run(SPRING.end)
    await check(play, late=timedelta(0))
"""

from __future__ import annotations

import asyncio
import heapq
import re
import time as real
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import yaml

from bot.cohort.course import Course
from bot.cohort.journal import CheckedIn, Entry, Joined, Left, Moved, Rested
from bot.cohort.scoring import Record
from bot.cohort.standings import standings
from bot.ledger import Account, Cohort, Member, Transaction
from bot.messages import Form
from bot.rehearsal import Act, Player, Temper, acts, fill_in
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path
from content.model import Guide
from scheduler.clock import VirtualClock
from tests.bot.process import Died, Process, guide_at

SPEED = 50.0
"""A platform's limits are counted, and waited for, so much faster than real time, by both sides."""
UNHURRIED = 10.0
"""So many times longer than on a platform somebody waits for the bot, where that is not what is looked at: few cores
are shared by many."""
PATIENT = timedelta(minutes=3)
"""How late a message may be after kills. Who takes over looks at once for what was being sent; but what was also cut
off is tried again after 5 s, half a minute, two minutes."""
BOARD_ROWS = 10
T = TypeVar("T")

Values: TypeAlias = Mapping[str, str | bool | Sequence[str] | None]


def guide() -> Guide:
    """The one that comes with Ninety."""
    return guide_at(None)


# --- the process and its clock ----------------------------------------------------------------------------------------


class Pace:
    """The clock that a platform counts its limits by: real time, so many times as fast."""

    def __init__(self, speed: float) -> None:
        self.speed, self._at, self._since = speed, 0.0, real.monotonic()

    def monotonic(self) -> float:
        return self._at + (real.monotonic() - self._since) * self.speed

    def run(self, speed: float) -> None:
        """From now on."""
        self._at, self._since, self.speed = self.monotonic(), real.monotonic(), speed


@dataclass(eq=False, kw_only=True)
class Town(ABC):
    """Where the real bot runs in its own process, in virtual time, before an emulated platform."""

    clock: VirtualClock
    """Of the emulator and, from its last `reach` on, of the bot."""
    folder: Path
    pace: Pace
    environment: dict[str, str]
    """Of the next process."""
    dm_opens: float = 1.0
    patience: float = 1.0
    """How much longer than on the platform somebody waits for their answer."""
    processes: list[Process] = field(default_factory=list)
    """From first to last."""
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    @abstractmethod
    async def arrived(self, within: float = 30.0) -> None:
        """Returns when the process can be asked something on the platform."""

    @abstractmethod
    async def gone(self) -> None:
        """Returns when the platform has heard that the process is no more."""

    @property
    def bot(self) -> Process:
        return self.processes[-1]

    async def launch(self) -> Process:
        """One more process; what it does about the platform is its own affair. The one before has ended."""
        await self.stop()
        born = Process.started(self.environment, self.clock.now(), self.folder / "bot.log", dm_opens=self.dm_opens,
                               speed=self.pace.speed, patience=self.patience)
        self.processes.append(await self._running.enter_async_context(born))
        await self.bot.ready()
        return self.bot

    async def start(self) -> Process:
        """One more process, which has arrived."""
        await self.launch()
        await self.arrived()
        return self.bot

    async def stop(self) -> None:
        """Kills the process, if there is one, and waits until the platform has heard of it."""
        await self._running.aclose()
        if self.processes:
            await self.gone()

    def set_pace(self, speed: float) -> None:
        """Of the platform at once, and of the next process."""
        self.pace.run(speed)

    async def reach(self, instant: datetime, within: float = 60.0) -> datetime | None:
        """Moves both clocks. Returns, when all that was due has been done, the instant at which something is next;
        raises TimeoutError when that takes more than `within` real seconds."""
        self.clock.reach(instant)
        return await self.bot.reach(self.clock.now(), within)

    async def follow(self, instant: datetime) -> None:
        """Moves the clocks to the instant, by every other one at which something is due."""
        due = await self.reach(self.clock.now())
        while due is not None and due <= instant:
            assert due > self.clock.now(), f"at {due} the bot leaves something undone:\n{self.bot.last_words()}"
            due = await self.reach(due)
        await self.reach(instant)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """One transaction from outside, also while the bot runs."""
        database = Database(self.environment["NINETY_DATABASE_URL"], durable=False)
        try:
            migrate(database)
            return StoredLedger(database).transact_here(work)
        finally:
            database.close()


async def until(true: Callable[[], object], within: float = 10.0) -> None:
    """Waits for what nobody tells of; raises TimeoutError."""
    end = real.monotonic() + within
    while not true():
        if real.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.005)


# --- a chat, as people see it -----------------------------------------------------------------------------------------


class Unanswered(Exception):
    """A person did something and was shown nothing."""


@dataclass(frozen=True)
class Note:
    """A message of the bot's that stays."""

    at: datetime
    title: str
    text: str
    labels: Sequence[str]
    """Of its buttons."""
    raw: object = field(repr=False)


@dataclass(frozen=True)
class Seen:
    """What a person is shown."""

    title: str
    text: str
    refused: bool
    raw: object = field(repr=False)
    form: Form | None = None
    """With as much of it as a player needs to fill it in."""
    about: str = ""
    """Of a form about a step: its id."""


class Chat(Protocol):
    """People are told apart by the platform's ids. What one of them does returns what they are shown, or raises
    Unanswered."""

    @property
    def platform(self) -> str: ...

    @property
    def organiser(self) -> str: ...

    def account(self, person: str) -> Account: ...

    def posts(self) -> list[Note]:
        """In the room, oldest first."""

    def direct(self, person: str) -> list[Note]: ...

    def called(self) -> list[str]:
        """Whom or what the posts to the room have called by name."""

    def board(self, text: str) -> list[tuple[int, str, int, int]]:
        """(place, name, points, streak) of each row."""

    def asked(self, person: str) -> list[str]:
        """The request ids of everything they did."""

    async def type(self, person: str, line: str) -> Seen: ...

    async def press(self, person: str, on: Note | Seen, label: str) -> Seen: ...

    async def submit(self, person: str, form: Seen, values: Values) -> Seen: ...

    async def home(self, person: str) -> Seen | None:
        """The page of the bot that is theirs alone; None where there is none."""

    def watch(self, watch: Callable[[str], bool]) -> None:
        """Asks, before it carries a request of the bot's out and after it, whether the rest of it is lost: for a
        `sending` and for an `answering`."""


# --- the guide, read without our own model ----------------------------------------------------------------------------


@cache
def written() -> Any:
    return yaml.load(default_path().read_text(), yaml.CSafeLoader)


@dataclass(frozen=True)
class Week:
    number: int
    title: str
    first: date
    last: date


def on_the_clock(day: date, post: Mapping[str, Any], zone: str) -> datetime:
    """When a clock in the zone shows the hour of the post, on its day counted from `day`."""
    at = time.fromisoformat(post["at"])
    return datetime.combine(day + timedelta(days=post["day"]), at, ZoneInfo(zone)).astimezone(UTC)


@dataclass(frozen=True)
class Term:
    """A plan of the guide that begins on a day."""

    title: str
    start: date
    zone: str
    plan: str

    @property
    def steps(self) -> list[Any]:
        found: list[Any] = written()["plans"][self.plan]["steps"]
        return found

    @cached_property
    def course(self) -> Course:
        """For the players alone, who must know when they act."""
        return Course(Edition.of(guide(), self.plan), self.start, ZoneInfo(self.zone))

    @cached_property
    def weeks(self) -> list[Week]:
        first, found = self.start, []
        for number, step in enumerate(self.steps, 1):
            last = first + timedelta(days=step["days"] - 1)
            found.append(Week(number, step["title"], first, last))
            first = last + timedelta(days=1)
        return found

    @property
    def end(self) -> datetime:
        """Three weeks after the last day."""
        return datetime.combine(self.weeks[-1].last + timedelta(days=22), time(12), UTC)

    def heading(self, kind: str, **values: object) -> str:
        """The title of what is said, in the guide's words."""
        unit = written()["plans"][self.plan].get("unit", "week")
        return str(written()["voice"][kind]["title"]).format(
            unit=unit, Unit=unit.capitalize(), steps=len(self.weeks), cohort=self.title, **values)

    def calendar(self) -> list[tuple[datetime, str]]:
        """(when, title) of every post that the room must see."""
        rhythm = written()["cohort"]["rhythm"]
        middle, last = self.weeks[len(self.weeks) // 2], self.weeks[-1]
        posts = [(on_the_clock(self.start, rhythm["welcome"], self.zone), self.heading("welcome")),
                 (on_the_clock(middle.first, rhythm["half_time"], self.zone),
                  self.heading("half_time", number=middle.number)),
                 (on_the_clock(last.last, rhythm["graduation"], self.zone), self.heading("graduation"))]
        for week in self.weeks:
            posts.append((on_the_clock(week.first, rhythm["week_opens"], self.zone),
                          self.heading("week_opens", number=week.number, step=week.title)))
            posts.append((on_the_clock(week.last, rhythm["week_closes"], self.zone),
                          self.heading("week_closes", number=week.number)))
        return sorted(posts)


OPENED = datetime(2027, 1, 25, 12, tzinfo=UTC)
SPRING = Term("Spring", date(2027, 2, 1), "Europe/Berlin", "ninety-days")
"""From a Monday on. Within the thirteen weeks the clocks change in America, in Europe and in Sydney."""


# --- the players ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a player was told that it is done."""

    request: str
    """Empty: it had been done before, by a request that was never answered."""
    at: datetime
    what: str
    """`join`, `check-in`, `rest`, `settings` or `leave`."""
    step: int
    values: Values


@dataclass(frozen=True)
class Seat:
    """An account of a player's."""

    chat: Chat
    person: str


@dataclass
class Role:
    """A player, and who plays them where."""

    player: Player
    seats: list[Seat]
    """The one that they join with, and those that they have linked."""
    nudges: bool
    links: Seat | None = None
    """The one that they will link."""
    told: list[Told] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    """Requests that may have had an effect."""

    @property
    def home(self) -> Seat:
        return self.seats[0]

    @property
    def account(self) -> Account:
        return self.home.chat.account(self.home.person)


def roles(chat: Chat, players: Sequence[Player], people: Sequence[str]) -> list[Role]:
    """One in seven wants no reminders."""
    return [Role(player, [Seat(chat, person)], index % 7 != 3)
            for index, (player, person) in enumerate(zip(players, people, strict=True))]


MOVES, QUIET, LEAVES = "player-2", "player-12", "player-14"
"""All three steady: one travels, one has had enough of reminders and wants them again, one leaves."""
AWAY = "Asia/Tokyo"


def more_acts(term: Term) -> list[Act]:
    """What the rehearsal's players do not do."""
    def noon(week: int, day: int) -> datetime:
        return datetime.combine(term.weeks[week - 1].first + timedelta(days=day), time(12), ZoneInfo(term.zone))

    return [Act(noon(4, 2), MOVES, "move"), Act(noon(5, 2), QUIET, "no nudges"), Act(noon(8, 2), QUIET, "nudges"),
            Act(noon(6, 2), LEAVES, "leave")]


class Play:
    """Moves time from one instant at which somebody does something to the next, and plays the players."""

    def __init__(self, town: Town, term: Term, roles: Sequence[Role], seed: int, more: Iterable[Act] = ()) -> None:
        self.town, self.term, self._random = town, term, Random(seed)  # noqa: S311  # a play
        self.roles = {role.player.account.user: role for role in roles}
        self.chats = list(dict.fromkeys(seat.chat for role in roles for seat in role.seats))
        opened = town.clock.now()
        todo = [act for role in roles for act in acts(role.player, term.course, opened, seed)]
        for act in more:
            if act.what == "leave":
                todo = [one for one in todo if one.user != act.user or one.at < act.at]
            todo.append(act)
        heapq.heapify(todo)
        self._todo = todo
        self.pressed = Counter[str]()
        self.unanswered = 0

    async def open(self) -> None:
        """The organiser of the first room types it."""
        chat, term = self.chats[0], self.term
        form = await self.answered(lambda: chat.type(chat.organiser, "cohort open"))
        assert form.form is not None, form.text
        answers = {"title": term.title, "start": term.start.isoformat(), "zone": term.zone, "plan": term.plan}
        done = await self.answered(lambda: chat.submit(chat.organiser, form, answers))
        assert done.title == term.heading("opened")

    async def run(self, end: datetime) -> None:
        due = await self.reach(self.town.clock.now())
        while True:
            at = min(one for one in (due, self._todo[0].at if self._todo else None, end) if one is not None)
            if at >= end:
                break
            assert due is None or due > self.town.clock.now(), f"at {due} the bot leaves something undone"
            due = await self.reach(at)
            while self._todo and self._todo[0].at <= at:
                act = heapq.heappop(self._todo)
                await self.play(act)
                if act.what not in ("check-in", "rest"):
                    # Only who comes, or asks for reminders, brings something that may be due before all that was known.
                    due = await self.reach(at)
        await self.reach(end)

    async def reach(self, at: datetime) -> datetime | None:
        return await self.town.reach(at)

    async def answered(self, ask: Callable[[], Awaitable[Seen]]) -> Seen:
        """What a person is shown."""
        return await ask()

    # --- what they do ------------------------------------------------------------------------------------------------

    async def play(self, act: Act) -> None:
        role = self.roles[act.user]
        match act.what:
            case "join":
                form = await self._door(role)
                await self._submit(role, role.home, "join", 0, form, {
                    "name": role.player.name, "zone": role.player.zone, "nudges": "yes" if role.nudges else "no",
                    "shown": self._random.choice(("alias", "alias", "name"))})
            case "check-in":
                await self._check_in(role, act.step)
            case "rest":
                await self._say(role, "rest", act.step, f"cohort rest {act.step}")
            case "leave":
                await self._say(role, "leave", 0, "cohort leave")
            case "move":
                await self._settle(role, {"zone": AWAY})
            case "link":
                await self._link(role)
            case _:
                await self._settle(role, {"nudges": "yes" if act.what == "nudges" else "no"})

    async def _door(self, role: Role) -> Seen:
        chat, person = role.home.chat, role.home.person
        welcome = next((post for post in chat.posts() if "Join" in post.labels), None)
        if welcome is None:
            return await self.answered(lambda: chat.type(person, "cohort join"))
        self.pressed["welcome"] += 1
        return await self.answered(lambda: chat.press(person, welcome, "Join"))

    async def _check_in(self, role: Role, step: int) -> None:
        seat = role.seats[0] if len(role.seats) == 1 else self._random.choice(role.seats)
        form = await self._check_in_form(role, seat, step)
        assert form.form is not None, form.text
        assert form.about == self.term.steps[step - 1]["id"]
        answers = fill_in(form.form, self.term.course.edition.plan.steps[step - 1], role.player.temper, self._random)
        several = {name for name in answers if name == "tasks"}
        await self._submit(role, seat, "check-in", step, form, {
            name: list(values) if name in several else (values[0] if values else None)
            for name, values in answers.items()})

    async def _check_in_form(self, role: Role, seat: Seat, step: int) -> Seen:
        """By the nudge's button where there is a nudge, by the newest post's or the home's now and then, else typed."""
        chat, person, wanted = seat.chat, seat.person, self.term.steps[step - 1]["id"]
        direct = chat.direct(person)
        if direct and direct[-1].title == self.term.heading("nudge", number=step) and self._random.random() < 0.7:
            self.pressed["nudge"] += 1
            return await self.answered(lambda: chat.press(person, direct[-1], "Check in"))
        post = next((post for post in reversed(chat.posts()) if "Check in" in post.labels), None)
        if role.player.temper is Temper.EAGER and post is not None and self._random.random() < 0.3:
            # It is about the oldest week that is still owed, and those in a hurry owe no other.
            form = await self.answered(lambda: chat.press(person, post, "Check in"))
            if form.about == wanted:
                self.pressed["post"] += 1
                return form
        if role.player.temper is Temper.STEADY and self._random.random() < 0.3:
            form_at_home = await self._check_in_at_home(seat)
            if form_at_home is not None and form_at_home.about == wanted:
                self.pressed["home"] += 1
                return form_at_home
        return await self.answered(lambda: chat.type(person, f"checkin {step}"))

    async def _check_in_at_home(self, seat: Seat) -> Seen | None:
        """About the week that runs."""
        async def ask() -> Seen:
            home = await seat.chat.home(seat.person)
            if home is None or "Check in" not in home.text.split("\n"):
                return Seen("", "", False, None)
            return await seat.chat.press(seat.person, home, "Check in")

        form = await self.answered(ask)
        return form if form.form is not None else None

    async def _link(self, role: Role) -> None:
        """A code from where they joined, typed on the other side."""
        assert role.links is not None
        home, other = role.home, role.links
        shown = await self.answered(lambda: home.chat.type(home.person, "cohort link"))
        code = code_in(shown)
        linked = await self.answered(lambda: other.chat.type(other.person, f"cohort link {code}"))
        assert not linked.refused, linked.text
        role.seats.append(other)

    async def _settle(self, role: Role, values: Values) -> None:
        chat, person = role.home.chat, role.home.person
        form = await self.answered(lambda: chat.type(person, "cohort settings"))
        await self._submit(role, role.home, "settings", 0, form, values)

    async def _submit(self, role: Role, seat: Seat, what: str, step: int, form: Seen, values: Values) -> None:
        async def ask() -> Seen:
            return await seat.chat.submit(seat.person, form, values)

        await self._keep(role, seat, what, step, values, ask)

    async def _say(self, role: Role, what: str, step: int, line: str) -> None:
        async def ask() -> Seen:
            return await role.home.chat.type(role.home.person, line)

        await self._keep(role, role.home, what, step, {}, ask)

    async def _keep(self, role: Role, seat: Seat, what: str, step: int, values: Values,
                    ask: Callable[[], Awaitable[Seen]]) -> None:
        before, at = len(seat.chat.asked(seat.person)), self.town.clock.now()
        shown = await self.answered(ask)
        mine = seat.chat.asked(seat.person)[before:]
        role.tried += mine
        if shown.refused:
            # They were not told of the first time, and so did it twice.
            assert len(mine) > 1, shown.text
        role.told.append(Told("" if shown.refused else mine[-1], at, what, step, values))


def code_in(shown: Seen) -> str:
    """A code to link with."""
    found = re.search(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b", shown.text)
    assert found is not None, shown.text
    return found[0]


# --- what must have happened ------------------------------------------------------------------------------------------


def nudges_due(term: Term, role: Role) -> dict[int, datetime]:
    """Week → when the player had to be reminded, from what they did."""
    post = written()["cohort"]["rhythm"]["nudge"]
    joined = next(one.at for one in role.told if one.what == "join")
    gone = next((one.at for one in role.told if one.what == "leave"), datetime.max.replace(tzinfo=UTC))
    due: dict[int, datetime] = {}
    for week in term.weeks:
        opens = datetime.combine(week.first, time(), ZoneInfo(term.zone))
        moved = next((one.at for one in role.told if "zone" in one.values and one.what == "settings"), None)
        at = on_the_clock(week.last, post, AWAY if moved is not None and moved <= opens else role.player.zone)
        agreed = [one.values["nudges"] == "yes" for one in role.told if "nudges" in one.values and one.at <= at]
        settled = any(one.step == week.number and one.at <= at for one in role.told)
        if joined <= at < gone and agreed and agreed[-1] and not settled:
            due[week.number] = at
    return due


def nudged(term: Term, notes: Iterable[Note]) -> dict[int, datetime]:
    """Week → when somebody was reminded, of what they were sent in private. Fails when they were reminded of a week
    twice, or of anything else."""
    numbers, found = {term.heading("nudge", number=week.number): week.number for week in term.weeks}, \
        dict[int, datetime]()
    for note in notes:
        number = numbers[note.title]
        assert number not in found, f"{note} is there twice"
        found[number] = note.at
    return found


def most_in_a_week(instants: Sequence[datetime]) -> int:
    """Weeks are seven days apart, or less by as much as somebody has travelled."""
    return max((sum(first <= at < first + timedelta(days=6) for at in instants) for first in instants), default=0)


def effect(entry: Entry) -> tuple[str, object]:
    """What the journal says was done."""
    match entry.event:
        case Joined():
            return "join", entry.event.zone
        case Moved():
            return "settings", entry.event.zone
        case CheckedIn() as one:
            return "check-in", (one.step, frozenset(one.done), one.hours, "\n".join(one.links), one.notes)
        case Rested():
            return "rest", entry.event.step
        case Left():
            return "leave", None
        case other:
            raise AssertionError(other)


def wanted(one: Told, term: Term) -> tuple[str, object]:
    """What a player was told was done."""
    step = term.steps[one.step - 1]["id"] if one.step else ""
    values = one.values
    match one.what:
        case "join" | "settings":
            return one.what, values.get("zone")
        case "check-in":
            done = values["tasks"]
            assert isinstance(done, list)
            return one.what, (step, frozenset(done), float(str(values["hours"])), values["evidence"] or "",
                              str(values["notes"] or ""))
        case "rest":
            return one.what, step
        case _:
            return one.what, None


def board_then(tx: Transaction, cohort: Cohort, at: datetime) -> list[tuple[int, str, int, int]]:
    """The best ten from the journal as it was at that instant."""
    records: list[tuple[Member, Record]] = []
    for id, journal in tx.journals(cohort.id).items():
        record = Record(cohort.course, tuple(entry for entry in journal if entry.event.at <= at), at)
        if record.journal and record.present:
            records.append((tx.member(id), record))
    streaks = {member.board_name: record.streak for member, record in records}
    placed = standings((member.board_name, record.points) for member, record in records)
    return [(one.place, one.name, one.points, streaks[one.name]) for one in placed[:BOARD_ROWS]]


async def check(play: Play, late: timedelta) -> None:
    """Everything that must be so at the end; no message may have come later than `late`."""
    town, term = play.town, play.term

    # The rooms: each post once and in its hour.
    expected = term.calendar()
    due = {text: at for at, text in expected}
    for chat in play.chats:
        posts = [(post.at, post.title) for post in chat.posts()]
        had, called_for = (Counter(text for _, text in some) for some in (posts, expected))
        assert had == called_for, (had - called_for, called_for - had)
        assert not (amiss := [(at, text) for at, text in posts if not timedelta(0) <= at - due[text] <= late]), amiss
        assert chat.direct(chat.organiser) == []
        assert chat.called() == []

    # The members: reminded if and when they had to be, where they joined.
    for role in play.roles.values():
        wanted_nudges, notes = nudges_due(term, role), role.home.chat.direct(role.home.person)
        reminded = nudged(term, notes)
        assert reminded.keys() == wanted_nudges.keys(), (role.player, reminded.keys() ^ wanted_nudges.keys())
        assert all(timedelta(0) <= at - wanted_nudges[number] <= late for number, at in reminded.items()), \
            (role.player, reminded, wanted_nudges)
        assert most_in_a_week([note.at for note in notes]) <= 1
        assert [seat.chat.direct(seat.person) for seat in role.seats[1:] if seat.chat.direct(seat.person)] == []

    # The journal: what players were told is there, once; beside it only what they were not told of.
    cohort, journals = town.read(journals_of)
    assert len(journals) == len(play.roles)
    for role in play.roles.values():
        entries = journals[role.account]
        requests = [entry.request for entry in entries]
        assert len(set(requests)) == len(requests)
        assert set(requests) <= set(role.tried)
        have = {entry.request: effect(entry) for entry in entries}
        known = [one for one in role.told if one.what != "settings" or "zone" in one.values]
        effects = {one.request: wanted(one, term) for one in known if one.request}
        assert not (lost := {request: (told, have.get(request)) for request, told in effects.items()
                             if have.get(request) != told}), lost
        untold = [done for request, done in have.items() if request not in effects]
        assert not (nowhere := [one for one in known if not one.request and wanted(one, term) not in untold]), nowhere

    # The board: the last post's and the command's are the journal's.
    for chat in play.chats:
        graduation = next(post for post in chat.posts() if post.title == term.heading("graduation"))
        then = town.read(lambda tx, at=graduation.at: board_then(tx, cohort, at))  # type: ignore[misc]
        assert len(then) == BOARD_ROWS
        assert chat.board(graduation.text) == then
        reader = next(role for role in play.roles.values() if role.home.chat is chat)
        shown = await chat.type(reader.home.person, "leaderboard")
        assert chat.board(shown.text)[:BOARD_ROWS] == town.read(lambda tx: board_then(tx, cohort, town.clock.now()))


def journals_of(tx: Transaction) -> tuple[Cohort, dict[Account, tuple[Entry, ...]]]:
    """The only cohort, and the journals by the account that somebody joined with."""
    cohort, = tx.cohorts()
    return cohort, {tx.member(id).account: tuple(journal) for id, journal in tx.journals(cohort.id).items()}


# --- and with kill -9 -------------------------------------------------------------------------------------------------


class Killed(Play):
    """The same, by a process that is killed at so many requests of a kind: before they reach the platform, or after it
    has carried them out; and somewhere between, while a person waits."""

    def __init__(self, town: Town, term: Term, roles: Sequence[Role], seed: int, more: Iterable[Act] = (), *,
                 sending: range = range(20, 500), answering: range = range(20, 1000),
                 asking: range = range(20, 700)) -> None:
        super().__init__(town, term, roles, seed, more)
        self._dead = asyncio.Event()
        self._fuse: asyncio.TimerHandle | None = None
        self.kills = Counter[str]()
        self._counted = Counter[str]()
        self._at = {"sending": set(self._random.sample(sending, 11)),
                    "answering": set(self._random.sample(answering, 8)),
                    "asking": set(self._random.sample(asking, 6))}
        for chat in self.chats:
            chat.watch(self._watch)

    def _watch(self, kind: str) -> bool:
        # What a dead process has sent before its end counts no more.
        if kind and not self._dead.is_set() and self._is_time(kind):
            self._kill(kind)
            return True
        return False

    def _is_time(self, kind: str) -> bool:
        self._counted[kind] += 1
        return self._counted[kind] in self._at[kind]

    def _kill(self, kind: str) -> None:
        self.kills[kind] += 1
        self.town.bot.kill()
        self._dead.set()
        if self._fuse is not None:
            if kind != "asking":
                # Somebody else was first: the next time, then.
                self._fuse.cancel()
                self._at["asking"].add(self._counted["asking"] + 1)
            self._fuse = None

    async def reach(self, at: datetime) -> datetime | None:
        while True:
            try:
                return await super().reach(at)
            except Died:
                assert self._dead.is_set(), self.town.bot.last_words()
                await self._revive()

    async def answered(self, ask: Callable[[], Awaitable[Seen]]) -> Seen:
        """A person to whom nothing is shown does it again."""
        while True:
            if self._dead.is_set():
                await self._revive()
            if self._is_time("asking"):
                # Somewhere between the platform, the desk, its database and the answer.
                self._fuse = asyncio.get_running_loop().call_later(
                    self._random.uniform(0, 0.012), self._kill, "asking")
            asking = asyncio.ensure_future(ask())
            dead = asyncio.ensure_future(self._dead.wait())
            await asyncio.wait({asking, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            if not asking.done():
                # What had left the process before its end is still on its way.
                await self.town.gone()
                await asyncio.wait({asking}, timeout=0.02)
                asking.cancel()
            try:
                return await asking
            except (asyncio.CancelledError, Unanswered):
                assert self._dead.is_set()
                self.unanswered += 1

    async def _revive(self) -> None:
        """A new process, and another when that one is killed at its very first sends."""
        while self._dead.is_set():
            await self.town.stop()
            self._dead.clear()
            starting = asyncio.ensure_future(self.town.start())
            dead = asyncio.ensure_future(self._dead.wait())
            await asyncio.wait({starting, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            if self._dead.is_set():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            else:
                await starting
