"""Words to build cohorts with: a small plan, and what a member did in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from bot.cohort.course import Course, Place
from bot.cohort.journal import CheckedIn, Entry, Event, Joined, Journal, Moved, Rested, Seq
from bot.cohort.scoring import Record
from content.edition import Edition
from content.loading import parse
from content.model import Scoring, Step
from tests.content.build import SMALL

START = date(2026, 11, 23)
"""A Monday."""
BEFORE = datetime(2026, 11, 20, 12, tzinfo=UTC)
AFTER = datetime(2027, 6, 1, tzinfo=UTC)

RULES = Scoring(check_in=20, must=10, stretch=5, evidence=10, step_cap=80, late_percent=50, grace_hours=6,
                late_days=14, late_keeps_streak=True, rest_steps=2, graduate_percent=70)


def rules(**changed: object) -> Scoring:
    return Scoring.model_validate(RULES.model_dump() | changed)


@cache
def _edition() -> Edition:
    return Edition.of(parse(SMALL), "fortnight")


def step(number: int = 1, days: int = 7) -> Step:
    """Two must tasks, `m1` and `m2`, and two stretch tasks, `s1` and `s2`."""
    first = _edition().plan.steps[0]
    tasks = tuple(first.tasks[0].model_copy(update={"id": f"{weight[0]}{index}", "weight": weight})
                  for weight in ("must", "stretch") for index in (1, 2))
    return first.model_copy(update={"id": f"week-{number}", "title": f"Step {number}", "days": days, "tasks": tasks})


def course(*days: int, zone: str = "Europe/Berlin", start: date = START, by: Scoring = RULES) -> Course:
    """Steps of so many days, else three weeks and a last one of six days, scored `by` those rules."""
    edition = _edition()
    steps = tuple(step(number, length) for number, length in enumerate(days or (7, 7, 7, 6), 1))
    cohort = edition.rules.model_copy(update={"scoring": by})
    plan = edition.plan.model_copy(update={"steps": steps, "days": sum(one.days for one in steps)})
    return Course(edition.model_copy(update={"plan": plan, "rules": cohort}), start, ZoneInfo(zone))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def joined(at: datetime = BEFORE, zone: str = "Europe/Berlin", first: str = "week-1") -> Joined:
    return Joined(at, zone, first)


def moved(at: datetime, zone: str) -> Moved:
    return Moved(at, zone)


def checked_in(at: datetime, *done: str, step: str = "week-1", links: tuple[str, ...] = ()) -> CheckedIn:
    return CheckedIn(at, step, done, None, links, "", "")


def entries(*events: Event) -> Journal:
    """In that order, with gaps in their numbers as the database leaves them: 10, 20, 30, …"""
    return tuple(Entry(Seq(number * 10), event, f"request-{number}") for number, event in enumerate(events, 1))


def place(course: Course, *events: Event) -> Place:
    return Place(course, events)


def record(course: Course, *events: Event, at: datetime = AFTER) -> Record:
    return Record(course, entries(*events), at)


def journal(*marks: str, join: Joined | None = None, at: datetime = AFTER, by: Scoring = RULES) -> Record:
    """What one member did step by step: `✓` in time, `late`, `rest`, `-` nothing; a week each, from their first on."""
    join = join or joined()
    first = int(join.first.removeprefix("week-"))
    plan = course(*[7] * (first - 1 + len(marks)), by=by)
    events: list[Event] = [join]
    for one, mark in zip(plan.edition.plan.steps[first - 1:], marks, strict=True):
        deadline = plan.deadline(one.id, ZoneInfo(join.zone))
        if mark == "✓":
            events.append(checked_in(deadline - timedelta(hours=1), step=one.id))
        elif mark == "late":
            events.append(checked_in(deadline + timedelta(days=1), step=one.id))
        elif mark == "rest":
            events.append(Rested(deadline - timedelta(hours=1), one.id))
        else:
            assert mark == "-", f"no such mark: {mark!r}"
    return record(plan, *sorted(events, key=lambda event: event.at), at=at)
