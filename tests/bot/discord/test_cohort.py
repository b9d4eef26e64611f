"""Thirteen weeks of fifty people on Discord: the real process, the real guide, every word through Discord's own doors.

What must happen is worked out here from the guide's YAML and from what the players did, with the clocks of zoneinfo and
none of the bot's arithmetic.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import yaml

from bot.cohort.course import Course
from bot.cohort.journal import CheckedIn, Entry, Joined, Left, Moved, Rested
from bot.cohort.scoring import Record
from bot.cohort.standings import standings
from bot.ledger import Cohort, Member, Transaction
from bot.messages import Answers, Checks, Choice, Field, Form, Line, Option, Paragraph
from bot.rehearsal import Act, Player, Temper, acts, cast, fill_in
from content.edition import Edition
from content.loading import default_path
from tests.bot.discord.stage import Stage, board_in, guide, is_refused, stage, title, told
from tests.bot.process import Died
from tests.emulators.discord import NoAnswer, Shown, buttons_of
from tests.emulators.discord_world import Json, Message, User, components_in

START, ZONE, PLAN = date(2027, 2, 1), "Europe/Berlin", "ninety-days"
"""A Monday. Within the thirteen weeks the clocks change in America, in Europe and in Sydney."""
OPENED = datetime(2027, 1, 25, 12, tzinfo=UTC)
PATIENT = timedelta(minutes=10)
"""How late a message may be after kills: a lease of a minute each."""
BOARD_ROWS = 10

Values: TypeAlias = Mapping[str, str | bool | Sequence[str] | None]


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


def heading(kind: str, **values: object) -> str:
    """The title of what is said, in the guide's words."""
    return str(written()["voice"][kind]["title"]).format(
        unit="week", Unit="Week", steps=len(weeks()), cohort="Spring", **values)


def weeks() -> list[Week]:
    first, found = START, []
    for number, step in enumerate(written()["plans"][PLAN]["steps"], 1):
        last = first + timedelta(days=step["days"] - 1)
        found.append(Week(number, step["title"], first, last))
        first = last + timedelta(days=1)
    return found


def on_the_clock(day: date, post: Json, zone: str) -> datetime:
    """When a clock in the zone shows the hour of the post, on its day counted from `day`."""
    at = time.fromisoformat(post["at"])
    return datetime.combine(day + timedelta(days=post["day"]), at, ZoneInfo(zone)).astimezone(UTC)


def calendar() -> list[tuple[datetime, str]]:
    """(when, title) of every post that the room must see."""
    rhythm, all_of_them = written()["cohort"]["rhythm"], weeks()
    middle, last = all_of_them[len(all_of_them) // 2], all_of_them[-1]
    posts = [(on_the_clock(START, rhythm["welcome"], ZONE), heading("welcome")),
             (on_the_clock(middle.first, rhythm["half_time"], ZONE),
              heading("half_time", number=middle.number)),
             (on_the_clock(last.last, rhythm["graduation"], ZONE), heading("graduation"))]
    for week in all_of_them:
        posts.append((on_the_clock(week.first, rhythm["week_opens"], ZONE),
                      heading("week_opens", number=week.number, step=week.title)))
        posts.append((on_the_clock(week.last, rhythm["week_closes"], ZONE),
                      heading("week_closes", number=week.number)))
    return sorted(posts)


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


@dataclass
class Role:
    """A player and the person on the server who plays them."""

    player: Player
    user: User
    nudges: bool
    told: list[Told] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    """Requests that may have had an effect."""


MOVES, QUIET, LEAVES = "player-2", "player-12", "player-14"
"""All three steady: one travels, one has had enough of reminders and wants them again, one leaves."""
AWAY = "Asia/Tokyo"


def more_acts(course: Course) -> list[Act]:
    """What the rehearsal's players do not do."""
    def noon(week: int, day: int) -> datetime:
        return datetime.combine(course.spans[week - 1].first + timedelta(days=day), time(12), ZoneInfo(ZONE))

    return [Act(noon(4, 2), MOVES, "move"), Act(noon(5, 2), QUIET, "no nudges"), Act(noon(8, 2), QUIET, "nudges"),
            Act(noon(6, 2), LEAVES, "leave")]


class Play:
    """Moves time from one instant at which somebody does something to the next, and plays the players."""

    def __init__(self, town: Stage, players: Sequence[Player], seed: int) -> None:
        self.town, self._random = town, Random(seed)  # noqa: S311  # a play
        self.course = Course(Edition.of(guide(), PLAN), START, ZoneInfo(ZONE))
        users = town.join(*(player.name for player in players))
        self.roles = {player.account.user: Role(player, user, index % 7 != 3)
                      for index, (player, user) in enumerate(zip(players, users, strict=True))}
        todo = [act for player in players for act in acts(player, self.course, OPENED, seed)]
        for act in more_acts(self.course):
            if act.what == "leave":
                todo = [one for one in todo if one.user != act.user or one.at < act.at]
            todo.append(act)
        heapq.heapify(todo)
        self._todo = todo
        self.pressed = Counter[str]()
        self.unanswered = 0

    async def open(self) -> None:
        """The organiser types it."""
        form = await self.answered(lambda: self.town.discord.type(
            self.town.organiser, self.town.channel, "cohort open"))
        done = await self.answered(lambda: self.town.discord.submit(self.town.organiser, form, {
            "title": "Spring", "start": START.isoformat(), "zone": ZONE, "plan": PLAN, "threads": "no"}))
        assert title(done) == heading("opened")

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

    async def answered(self, ask: Callable[[], Awaitable[Shown]]) -> Shown:
        """What a person is shown."""
        return await ask()

    # --- what they do ------------------------------------------------------------------------------------------------

    async def play(self, act: Act) -> None:
        role = self.roles[act.user]
        match act.what:
            case "join":
                form = await self._door(role)
                await self._submit(role, "join", 0, form, {
                    "name": role.player.name, "zone": role.player.zone, "nudges": "yes" if role.nudges else "no",
                    "shown": self._random.choice(("alias", "alias", "name"))})
            case "check-in":
                form = await self._check_in_form(role, act.step)
                assert step_of(form) == written()["plans"][PLAN]["steps"][act.step - 1]["id"]
                answers = fill_in(asked(form), self.course.edition.plan.steps[act.step - 1], role.player.temper,
                                  self._random)
                await self._submit(role, "check-in", act.step, form, given(form, answers))
            case "rest":
                await self._say(role, "rest", act.step, "cohort rest", {"week": str(act.step)})
            case "leave":
                await self._say(role, "leave", 0, "cohort leave", {})
            case "move":
                await self._settle(role, {"zone": AWAY})
            case _:
                await self._settle(role, {"nudges": "yes" if act.what == "nudges" else "no"})

    async def _door(self, role: Role) -> Shown:
        welcome = next((post for post in self.town.posts if "Join" in labels(post)), None)
        if welcome is None:
            return await self.answered(lambda: self.town.discord.type(role.user, self.town.channel, "cohort join"))
        self.pressed["welcome"] += 1
        return await self.answered(lambda: self.town.discord.press(role.user, welcome, "Join"))

    async def _check_in_form(self, role: Role, step: int) -> Shown:
        """By the nudge's button where there is a nudge, by the newest post's now and then, else typed."""
        discord, direct = self.town.discord, self.town.direct(role.user)
        if direct and title(direct[-1]) == heading("nudge", number=step) and self._random.random() < 0.7:
            self.pressed["nudge"] += 1
            return await self.answered(lambda: discord.press(role.user, direct[-1], "Check in"))
        post = next((post for post in reversed(self.town.posts) if "Check in" in labels(post)), None)
        if role.player.temper is Temper.EAGER and post is not None and self._random.random() < 0.3:
            # It is about the oldest week that is still owed, and those in a hurry owe no other.
            form = await self.answered(lambda: discord.press(role.user, post, "Check in"))
            if f"Week {step}: " in form.text:
                self.pressed["post"] += 1
                return form
        return await self.answered(lambda: discord.type(role.user, self.town.channel, "checkin", {"week": str(step)}))

    async def _settle(self, role: Role, values: Values) -> None:
        form = await self.answered(lambda: self.town.discord.type(role.user, self.town.channel, "cohort settings"))
        await self._submit(role, "settings", 0, form, values)

    async def _submit(self, role: Role, what: str, step: int, form: Shown, values: Values) -> None:
        async def ask() -> Shown:
            return await self.town.discord.submit(role.user, form, values)

        await self._keep(role, what, step, values, ask)

    async def _say(self, role: Role, what: str, step: int, line: str, options: Mapping[str, str]) -> None:
        async def ask() -> Shown:
            return await self.town.discord.type(role.user, self.town.channel, line, options)

        await self._keep(role, what, step, {}, ask)

    async def _keep(self, role: Role, what: str, step: int, values: Values, ask: Callable[[], Awaitable[Shown]]) \
            -> None:
        before, at = len(self.town.discord.interactions), self.town.clock.now()
        shown = await self.answered(ask)
        mine = [one for one in self.town.discord.interactions[before:] if one.user is role.user]
        role.tried += [f"discord:{one.id}" for one in mine]
        if is_refused(shown):
            # They were not told of the first time, and so did it twice.
            assert len(mine) > 1, shown.text
        role.told.append(Told("" if is_refused(shown) else f"discord:{shown.interaction.id}", at, what, step, values))


def step_of(form: Shown) -> str:
    """Which step a check-in form is about; of five questions none is left to say so in words."""
    return str(form.payload["custom_id"]).rsplit(":", 1)[1]


def labels(message: Message) -> list[str]:
    return [one["label"] for one in buttons_of(message)]


def asked(modal: Shown) -> Form:
    """The form as a person reads it, for the rehearsal's players to fill in."""
    fields: list[Field] = []
    for one in components_in(modal.payload["components"]):
        name = one.get("custom_id", "")
        options = tuple(Option(option["value"], (), bool(option.get("default"))) for option in one.get("options", ()))
        if one["type"] == 22 or (one["type"] == 3 and one["max_values"] > 1):
            fields.append(Checks(name, "", "", options))
        elif one["type"] in (3, 21):
            fields.append(Choice(name, "", "", options))
        elif one["type"] == 4:
            fields.append((Line if one["style"] == 1 else Paragraph)(name, "", "", one.get("value") or ""))
    return Form("check-in", "", "", (), tuple(fields), "")


def given(modal: Shown, answers: Answers) -> Values:
    """The answers as Discord's client takes them."""
    several = {one["custom_id"] for one in components_in(modal.payload["components"]) if one["type"] in (3, 22)}
    return {name: list(values) if name in several else (values[0] if values else None)
            for name, values in answers.items()}


# --- what must have happened ------------------------------------------------------------------------------------------


def nudges_due(role: Role) -> dict[int, datetime]:
    """Week → when the player had to be reminded, from what they did."""
    post = written()["cohort"]["rhythm"]["nudge"]
    joined = next(one.at for one in role.told if one.what == "join")
    gone = next((one.at for one in role.told if one.what == "leave"), datetime.max.replace(tzinfo=UTC))
    due: dict[int, datetime] = {}
    for week in weeks():
        opens = datetime.combine(week.first, time(), ZoneInfo(ZONE))
        moved = next((one.at for one in role.told if "zone" in one.values and one.what == "settings"), None)
        at = on_the_clock(week.last, post, AWAY if moved is not None and moved <= opens else role.player.zone)
        agreed = [one.values["nudges"] == "yes" for one in role.told if "nudges" in one.values and one.at <= at]
        settled = any(one.step == week.number and one.at <= at for one in role.told)
        if joined <= at < gone and agreed and agreed[-1] and not settled:
            due[week.number] = at
    return due


def nudged(town: Stage, role: Role) -> dict[int, datetime]:
    """Week → when the player was reminded. Fails when one was reminded of a week twice, or of anything else."""
    numbers, found = {heading("nudge", number=week.number): week.number for week in weeks()}, dict[int, datetime]()
    for message in town.direct(role.user):
        number = numbers[title(message)]
        assert number not in found
        found[number] = message.at
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


def wanted(one: Told, course: Course) -> tuple[str, object]:
    """What a player was told was done."""
    step = course.edition.plan.steps[one.step - 1].id if one.step else ""
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
    town = play.town

    # The room: each post once and in its hour.
    posts = [(post.at, title(post)) for post in town.posts]
    expected = calendar()
    assert sorted(text for _, text in posts) == sorted(text for _, text in expected)
    due = {text: at for at, text in expected}
    assert {text: at for at, text in posts if not timedelta(0) <= at - due[text] <= late} == {}

    # The members: reminded if and when they had to be.
    for role in play.roles.values():
        wanted_nudges, had = nudges_due(role), nudged(town, role)
        assert set(had) == set(wanted_nudges), role.player
        assert {number: at for number, at in had.items()
                if not timedelta(0) <= at - wanted_nudges[number] <= late} == {}
        assert most_in_a_week([message.at for message in town.direct(role.user)]) <= 1
    assert town.direct(town.organiser) == []
    assert [one for one in told(message for channel in town.discord.world.channels.values()
                                for message in channel.messages) if one] == []

    # The journal: what players were told is there, once; beside it only what they were not told of.
    cohort, journals = town.read(_journals)
    for role in play.roles.values():
        entries = journals[role.user.id]
        requests = [entry.request for entry in entries]
        assert len(set(requests)) == len(requests)
        assert set(requests) <= set(role.tried)
        have = {entry.request: effect(entry) for entry in entries}
        known = [one for one in role.told if one.what != "settings" or "zone" in one.values]
        effects = {one.request: wanted(one, play.course) for one in known if one.request}
        assert {request: have.get(request) for request in effects} == effects
        untold = [done for request, done in have.items() if request not in effects]
        assert [one for one in known if not one.request and wanted(one, play.course) not in untold] == []

    # The board: the last post's and the command's are the journal's.
    graduation = next(post for post in town.posts if title(post) == heading("graduation"))
    then = town.read(lambda tx: board_then(tx, cohort, graduation.at))
    assert len(then) == BOARD_ROWS
    assert board_in(graduation.text) == then
    shown = await town.discord.type(play.roles["player-1"].user, town.channel, "leaderboard")
    assert board_in(shown.text)[:BOARD_ROWS] == town.read(lambda tx: board_then(tx, cohort, town.clock.now()))


def _journals(tx: Transaction) -> tuple[Cohort, dict[str, tuple[Entry, ...]]]:
    cohort, = tx.cohorts()
    return cohort, {tx.member(id).account.user: journal for id, journal in tx.journals(cohort.id).items()}


END = datetime.combine(START + timedelta(days=90 + 21), time(12), UTC)


async def test_fifty_people_go_through_thirteen_weeks(tmp_path: Path) -> None:
    async with stage(tmp_path, OPENED) as town:
        play = Play(town, cast(50, "discord"), seed=11)
        await town.start()
        await play.open()
        await play.run(END)

        await check(play, late=timedelta(0))
        assert town.refusals() == []
        assert min(play.pressed[what] for what in ("welcome", "nudge", "post")) >= 5
        town.bot.signal(15)
        assert await town.bot.ended() == 0


# --- and with kill -9 -------------------------------------------------------------------------------------------------


class Killed(Play):
    """The same, by a process that is killed at so many requests of a kind: before they reach Discord, or after Discord
    has carried them out."""

    SENDING = ("POST /channels/{}/messages", "POST /users/@me/channels", "GET /channels/{}/messages")
    ANSWERING = ("POST /interactions/{}/{}/callback",)

    def __init__(self, town: Stage, players: Sequence[Player], seed: int) -> None:
        super().__init__(town, players, seed)
        self._dead = asyncio.Event()
        self._fuse: asyncio.TimerHandle | None = None
        self.kills = Counter[str]()
        self._counted = Counter[str]()
        self._at = {"sending": set(self._random.sample(range(20, 500), 11)),
                    "answering": set(self._random.sample(range(20, 1000), 8)),
                    "asking": set(self._random.sample(range(20, 700), 6))}
        town.discord.watch = self._watch

    def _watch(self, route: str) -> bool:
        kind = "sending" if route in self.SENDING else "answering" if route in self.ANSWERING else ""
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

    async def answered(self, ask: Callable[[], Awaitable[Shown]]) -> Shown:
        """A person to whom nothing is shown does it again."""
        while True:
            if self._dead.is_set():
                await self._revive()
            if self._is_time("asking"):
                # Somewhere between the gateway, the desk, its database and the answer.
                self._fuse = asyncio.get_running_loop().call_later(
                    self._random.uniform(0, 0.012), self._kill, "asking")
            asking = asyncio.ensure_future(ask())
            dead = asyncio.ensure_future(self._dead.wait())
            await asyncio.wait({asking, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            if not asking.done():
                # What had left the process before its end is still on its way.
                await self.town.discord.gateway.until(lambda: not self.town.discord.gateway.live)
                await asyncio.wait({asking}, timeout=0.02)
                asking.cancel()
            try:
                return await asking
            except (asyncio.CancelledError, NoAnswer):
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


async def test_kills_at_any_instant_lose_and_double_nothing(tmp_path: Path) -> None:
    """Twenty-five of them: in the middle of sends and of answers, and somewhere between."""
    async with stage(tmp_path, OPENED) as town:
        play = Killed(town, cast(50, "discord"), seed=12)
        await town.start()
        await play.open()
        await play.run(END)

        await check(play, late=PATIENT)
        assert play.kills == {"sending": 11, "answering": 8, "asking": 6}
        assert len(town.processes) == 26
        assert town.refusals() == []
        assert play.unanswered > 0
