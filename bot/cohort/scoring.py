"""Points and streaks as a pure function of a member's journal and the cohort's own rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import TypeAlias

from propcache.api import cached_property

from bot.cohort.course import Course, Place
from bot.cohort.journal import CheckedIn, Entry, Event, Granted, Joined, Journal, Left, Rested, standing_events
from content.model import Scoring, Step, StepId, TaskId


class Rule(StrEnum):
    """Why there are points; the names of the guide's words for it."""

    CHECKED_IN = "checked_in"
    MUST = "must_tasks"
    STRETCH = "stretch_tasks"
    EVIDENCE = "evidence"
    LATE = "late"
    CAPPED = "capped"


@dataclass(frozen=True)
class Line:
    rule: Rule
    points: int
    """Negative for what lateness or the cap takes away."""
    count: int = 1


@dataclass(frozen=True)
class StepScore:
    step: StepId
    lines: tuple[Line, ...]

    @property
    def points(self) -> int:
        return sum(line.points for line in self.lines)


def score(step: Step, versions: Sequence[CheckedIn], deadline: datetime, rules: Scoring) -> StepScore:
    """What a step is worth after all its check-ins, oldest first (none: nothing).

    The last version counts. What it says that no version before the deadline said is late and counts
    `late_percent`, rounded down once for the step; what was said in time keeps its full worth through later amendments.
    """
    if not versions:
        return StepScore(step.id, ())
    counts, in_time = _counted(step, versions, deadline)
    lines: list[Line] = []
    full = late = 0
    for rule, each, count, count_in_time in zip(
            (Rule.CHECKED_IN, Rule.MUST, Rule.STRETCH, Rule.EVIDENCE),
            (rules.check_in, rules.must, rules.stretch, rules.evidence), counts, in_time, strict=True):
        if count:
            lines.append(Line(rule, each * count, count))
            full += each * count
            late += each * (count - count_in_time)
    lost = late - late * rules.late_percent // 100
    if lost:
        lines.append(Line(Rule.LATE, -lost))
    if full - lost > rules.step_cap:
        lines.append(Line(Rule.CAPPED, rules.step_cap - (full - lost)))
    return StepScore(step.id, tuple(lines))


def points(step: Step, versions: Sequence[CheckedIn], deadline: datetime, rules: Scoring) -> int:
    """Those of the `score`, without its lines: all that is asked of most steps, at every check-in."""
    counts, counts_in_time = _counted(step, versions, deadline)
    full = _worth(counts, rules)
    in_time = full if counts_in_time is counts else _worth(counts_in_time, rules)
    return min(in_time + (full - in_time) * rules.late_percent // 100, rules.step_cap)


def _worth(counts: _Counts, rules: Scoring) -> int:
    check_ins, musts, stretches, shown = counts
    return rules.check_in * check_ins + rules.must * musts + rules.stretch * stretches + rules.evidence * shown


_Counts: TypeAlias = tuple[int, int, int, int]
"""Check-ins, must tasks, stretch tasks and evidence."""


def _counted(step: Step, versions: Sequence[CheckedIn], deadline: datetime) -> tuple[_Counts, _Counts]:
    """What counts of the last version, and how much of it was said in time."""
    last = versions[-1]
    counts = 1, *_ticked(step, last.done), int(bool(last.links))
    if len(versions) == 1:
        return counts, (counts if last.at < deadline else (0, 0, 0, 0))
    in_time = [version for version in versions if version.at < deadline]
    said = set(last.done).intersection(chain.from_iterable(version.done for version in in_time))
    shown = bool(last.links) and any(version.links for version in in_time)
    return counts, (int(bool(in_time)), *_ticked(step, said), int(shown))


def _ticked(step: Step, done: Collection[TaskId]) -> tuple[int, int]:
    """How many must tasks, and how many stretch tasks."""
    musts = stretches = 0
    for task in step.tasks:
        if task.id in done:
            if task.weight == "must":
                musts += 1
            else:
                stretches += 1
    return musts, stretches


class State(StrEnum):
    """Where a member stands with one of their steps."""

    DONE = "done"
    LATE = "late"
    RESTED = "rested"
    MISSED = "missed"
    OPEN = "open"
    AHEAD = "ahead"
    """Not open yet."""
    EXCUSED = "excused"
    """Not checked in, and they were away when it opened or when it closed: not held against them."""


@dataclass(frozen=True)
class Record:
    """A member's whole cohort at one instant, computed from the journal."""

    course: Course
    journal: Journal
    at: datetime

    def then(self, entry: Entry) -> Record:
        """With one thing more that has happened."""
        record = Record(self.course, (*self.journal, entry), self.at)
        if isinstance(entry.event, CheckedIn):
            # It moves nobody, and is what happens most.
            versions, others = self._parted
            versions = versions | {entry.event.step: [*self.versions(entry.event.step), entry.event]}
            vars(record).update(place=self.place, _parted=(versions, others))
        return record

    @cached_property
    def events(self) -> list[Event]:
        return standing_events(self.journal)

    @cached_property
    def place(self) -> Place:
        return Place(self.course, self._parted[1])

    @cached_property
    def present(self) -> bool:
        """Joined, and not left since."""
        return self._here(None)

    def _here(self, at: datetime | None) -> bool:
        """Whether they were in the cohort at that instant; None: after everything that happened."""
        came_and_went = [event for event in self._came_and_went if at is None or event.at <= at]
        return bool(came_and_went) and isinstance(came_and_went[-1], Joined)

    @cached_property
    def _came_and_went(self) -> list[Joined | Left]:
        return [event for event in self._parted[1] if isinstance(event, Joined | Left)]

    @cached_property
    def _parted(self) -> tuple[dict[StepId, list[CheckedIn]], list[Event]]:
        """The check-ins by step, and whatever else happened: of which there is little, however long the journal."""
        versions: dict[StepId, list[CheckedIn]] = {}
        others: list[Event] = []
        for event in self.events:
            if isinstance(event, CheckedIn):
                versions.setdefault(event.step, []).append(event)
            else:
                others.append(event)
        return versions, others

    def versions(self, step_id: StepId) -> Sequence[CheckedIn]:
        """Every check-in for the step, oldest first."""
        return self._parted[0].get(step_id, ())

    @cached_property
    def rested(self) -> frozenset[StepId]:
        """A check-in after all takes the place of the rest."""
        versions, others = self._parted
        return frozenset(event.step for event in others if isinstance(event, Rested) and event.step not in versions)

    @cached_property
    def settled(self) -> frozenset[StepId]:
        return self.rested.union(self._parted[0])

    @cached_property
    def rests_left(self) -> int:
        return max(0, self.course.edition.rules.scoring.rest_steps - len(self.rested))

    def score(self, step_id: StepId) -> StepScore:
        versions = self.versions(step_id)
        deadline = self.place.deadline(step_id) if versions else self.at
        return score(self.course.step(step_id), versions, deadline, self.course.edition.rules.scoring)

    @cached_property
    def granted(self) -> tuple[Granted, ...]:
        return tuple(event for event in self._parted[1] if isinstance(event, Granted))

    @cached_property
    def points(self) -> int:
        course, deadlines, total = self.course, self.place.deadlines, 0
        rules = course.edition.rules.scoring
        for step_id, versions in self._parted[0].items():
            total += points(course.step(step_id), versions, deadlines[step_id], rules)
        return total + sum(one.points for one in self.granted)

    def state(self, step: Step) -> State:
        deadline = self.place.deadlines[step.id]
        if versions := self._parted[0].get(step.id):
            return State.DONE if versions[0].at < deadline else State.LATE
        if step.id in self.rested:
            return State.RESTED
        if self.at < (opens := self.course.opens(step.id)):
            return State.AHEAD
        if self.at < deadline:
            return State.OPEN
        whole = self._here(opens) and self._here(deadline)
        return State.MISSED if whole else State.EXCUSED

    @cached_property
    def _own_steps(self) -> Sequence[Step]:
        """None of somebody whose joining was voided."""
        return self.place.own_steps if any(isinstance(event, Joined) for event in self._came_and_went) else ()

    @cached_property
    def states(self) -> tuple[State, ...]:
        """One for each of the member's own steps, in order."""
        return tuple(map(self.state, self._own_steps))

    @property
    def streak(self) -> int:
        return self._streaks[0]

    @property
    def best_streak(self) -> int:
        return self._streaks[1]

    @cached_property
    def _streaks(self) -> tuple[int, int]:
        return streaks(self.states, self.course.edition.rules.scoring)

    @cached_property
    def streak_until(self) -> datetime | None:
        """As long as nothing happens, the streak stays as it is until then: the next deadline by which a step must be
        settled that is not. None: for ever."""
        deadlines, settled = self.place.deadlines, self.settled
        return min((deadline for step in self._own_steps
                    if step.id not in settled and self.at < (deadline := deadlines[step.id])), default=None)

    @cached_property
    def checked_in(self) -> int:
        """How many of the member's own steps are checked in."""
        return sum(state in (State.DONE, State.LATE) for state in self.states)

    @cached_property
    def expected(self) -> int:
        """How many of the member's own steps ask for a check-in: all but the rested and the excused."""
        return sum(state not in (State.RESTED, State.EXCUSED) for state in self.states)

    @property
    def graduated(self) -> bool:
        if not self.present:
            return False
        return self.checked_in * 100 >= self.course.edition.rules.scoring.graduate_percent * max(1, self.expected)


def streaks(states: Sequence[State], rules: Scoring) -> tuple[int, int]:
    """(the streak that is running, the best one), in steps. A rest, an excuse or a step still open costs nothing."""
    done, late, missed = State.DONE, State.LATE, State.MISSED     # each look into an enum takes as long as all the rest
    running = best = 0
    for state in states:
        if state is done or (state is late and rules.late_keeps_streak):
            running += 1
            best = max(best, running)
        elif state is missed or state is late:
            running = 0
    return running, best
