"""Members who join, check in, amend, rest, move, leave and come back by a plan of their own, and repeat what was not
answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from zoneinfo import ZoneInfo

from bot.cohort.course import Course
from bot.ledger import Account, RequestId
from bot.messages import Answers, Form, Message
from bot.simulation.knobs import Knobs
from content.model import Step

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "America/Sao_Paulo",
         "Pacific/Auckland", "Pacific/Honolulu", "Africa/Cairo", "America/Los_Angeles")
"""From all continents; six of them change their clocks, in other weeks."""

NAMES = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Fatou")

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Ask:
    """One interaction: a command, or a form that comes back."""

    what: str
    line: str = ""
    form: str = ""
    about: str = ""
    answers: Answers | None = None
    looks: bool = False
    """Nothing is to be changed by it."""


@dataclass(frozen=True)
class Player:
    account: Account
    name: str
    zone: str


@dataclass(frozen=True, order=True)
class Act:
    """At an hour of the day, in seconds since the beginning."""

    at: float
    what: str
    step: int = 0
    """By number."""
    zone: str = ""


def cast(random: Random, size: int, account: Callable[[str], Account]) -> list[Player]:
    zones = random.sample(ZONES, size)
    return [Player(account(f"U{index}"), name, zone)
            for index, (name, zone) in enumerate(zip(NAMES[:size], zones, strict=True), 1)]


def acts(player: Player, course: Course, random: Random, knobs: Knobs) -> list[Act]:
    """All that the player will do, laid out beforehand."""
    return sorted(_acts(player, course, random, knobs))


def _acts(player: Player, course: Course, random: Random, knobs: Knobs) -> Iterator[Act]:
    beginning = course.opens(course.spans[0].id)
    opens = [_seconds(course.opens(span.id) - beginning) for span in course.spans]
    zone = player.zone
    late = random.random() < 0.2
    yield Act(random.uniform(-4 * DAY, -HOUR) if not late else random.uniform(0, opens[-1] + 2 * DAY), "join",
              zone=player.zone)
    for number, span in enumerate(course.spans, 1):
        deadlines = [_seconds(course.deadline(span.id, ZoneInfo(each)) - beginning)
                     for each in (zone, player.zone)]
        dice = random.random()
        if dice < 0.15:
            continue
        if dice < 0.25:
            yield Act(opens[number - 1] + random.uniform(-2 * DAY, 7 * DAY), "rest", number)
            continue
        if random.random() < knobs.near:
            at = random.choice(deadlines) + random.choice((random.uniform(-12 * HOUR, 12 * HOUR),
                                                           random.uniform(-600, 600)))
        elif random.random() < 0.15:
            at = deadlines[0] + random.uniform(0, 3 * DAY)
        else:
            at = opens[number - 1] + random.uniform(0, 7 * DAY)
        yield Act(at, "check-in", number)
        if random.random() < 0.25:
            yield Act(at + random.uniform(60, DAY), "check-in", number)
        if random.random() < knobs.moves:
            zone = random.choice(ZONES)
            yield Act(at + random.uniform(0, 10 * HOUR), "settings", zone=zone)
    if random.random() < 0.15:
        at = random.uniform(0, opens[-1] + 6 * DAY)
        yield Act(at, "leave")
        if random.random() < 0.6:
            yield Act(at + random.uniform(60, 5 * DAY), "join", zone=zone)
    if random.random() < 0.3:
        yield Act(random.uniform(0, opens[-1] + 7 * DAY), random.choice(("progress", "leaderboard", "week")))


def ask(act: Act, player: Player, course: Course, random: Random) -> Ask:
    """What the player types for it."""
    if act.what in ("join", "settings"):
        answers = {"name": (player.name,), "zone": (act.zone,), "nudges": ("no" if random.random() < 0.05 else "yes",),
                   "shown": (random.choice(("alias", "name")),)}
        return Ask(act.what, form=act.what, answers=answers)
    if act.what == "check-in":
        step = course.edition.plan.steps[act.step - 1]
        return Ask(act.what, form="check-in", about=step.id, answers=_report(step, random))
    if act.what == "rest":
        return Ask(act.what, f"cohort rest {act.step}", about=course.edition.plan.steps[act.step - 1].id)
    if act.what == "leave":
        return Ask(act.what, "cohort leave")
    return Ask(act.what, act.what, looks=True)


def _report(step: Step, random: Random) -> Answers:
    done = tuple(task.id for task in step.tasks if random.random() < 0.6)
    return {"tasks": done, "hours": (str(random.randrange(1, 12)),),
            "evidence": ("https://git.example/w",) if random.random() < 0.5 else (), "notes": (), "confidence": ()}


Post = Callable[[Player, Ask, RequestId], Awaitable[Message | Form | None]]
"""To one of the processes; None: no answer came in time."""


async def play(player: Player, todo: list[Act], course: Course, random: Random, post: Post,
               unsaved: Callable[[Message | Form], bool], until: Callable[[float], Awaitable[None]],
               repeated: Callable[[], None]) -> None:
    """Does each act at its hour. What is not answered, or not saved, is tried again for a while."""
    for number, act in enumerate(todo):
        await until(act.at)
        asked, at = ask(act, player, course, random), act.at
        request = RequestId(f"{player.account.user}.{number}")
        for again in range(5):
            answer = await post(player, asked, request)
            if answer is not None and not unsaved(answer):
                break
            repeated()
            at += random.choice((5.0, 40.0, 600.0, 2 * HOUR))
            await until(at)
            if random.random() < 0.5:
                request = RequestId(f"{player.account.user}.{number}.{again + 1}")


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
