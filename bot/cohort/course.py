"""A cohort's plan laid over the days: which step is running, and until when a member may check in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from propcache.api import cached_property

from bot.cohort.journal import Event, Joined, Moved
from bot.cohort.refusals import BeforeYouJoined, CohortOver, NotOpenYet, NotStarted, TooLate, UnknownStep
from content.edition import Edition
from content.model import Post, PostKind, Step, StepId
from scheduler import calendar
from scheduler.calendar import Beat, Moment, Span


@dataclass(frozen=True)
class Course:
    """`zone` is the cohort's: its posts follow it, and a step opens for everybody at its midnight."""

    edition: Edition
    start: date
    zone: ZoneInfo

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        return calendar.lay_out(((step.id, step.days) for step in self.edition.plan.steps), self.start)

    @cached_property
    def _by_id(self) -> dict[StepId, tuple[int, Step, Span]]:
        steps = zip(self.edition.plan.steps, self.spans, strict=True)
        return {step.id: (number, step, span) for number, (step, span) in enumerate(steps, 1)}

    @cached_property
    def _opens(self) -> dict[StepId, datetime]:
        return {span.id: calendar.opens(span, self.zone) for span in self.spans}

    def step(self, step_id: StepId) -> Step:
        return self._by_id[step_id][1]

    def number(self, step_id: StepId) -> int:
        """1 for the first step."""
        return self._by_id[step_id][0]

    def span(self, step_id: StepId) -> Span:
        return self._by_id[step_id][2]

    def opens(self, step_id: StepId) -> datetime:
        return self._opens[step_id]

    @cached_property
    def _announced(self) -> dict[StepId, datetime]:
        beat = next(beat for beat in self.beats() if beat.kind == PostKind.WEEK_OPENS.value)
        return {span.id: calendar.moment(beat, span, self.zone).due for span in self.spans}

    def announced(self, step_id: StepId) -> datetime:
        """When the room reads of it, some hours after it opened: what a member calls its beginning."""
        return self._announced[step_id]

    def deadline(self, step_id: StepId, zone: ZoneInfo) -> datetime:
        """For a member in that zone: the end of their last local day, and the grace."""
        return self.deadlines(zone)[step_id]

    def deadlines(self, zone: ZoneInfo) -> Mapping[StepId, datetime]:
        # A cohort has few zones, and every answer asks for many deadlines.
        found = self._deadlines.get(zone.key)
        if found is None:
            grace = timedelta(hours=self.edition.rules.scoring.grace_hours)
            found = self._deadlines[zone.key] = {
                span.id: calendar.deadline(span, zone, grace) for span in self.spans}
        return found

    @cached_property
    def _deadlines(self) -> dict[str, Mapping[StepId, datetime]]:
        return {}

    def nudge(self, step_id: StepId, zone: ZoneInfo) -> Moment:
        """When a member in that zone is reminded of the step."""
        # Whoever is in the cohort is owed it at the moment that a step opens.
        found = self._nudges.get((step_id, zone.key))
        if found is None:
            beat = next(beat for beat in self.beats() if beat.kind == PostKind.NUDGE.value)
            found = self._nudges[step_id, zone.key] = calendar.moment(beat, self.span(step_id), zone)
        return found

    @cached_property
    def _nudges(self) -> dict[tuple[StepId, str], Moment]:
        return {}

    def running(self, at: datetime) -> StepId | None:
        """The last step that has opened; None before the first. After the end it is still the last one."""
        opened = [step.id for step in self.edition.plan.steps if self._opens[step.id] <= at]
        return opened[-1] if opened else None

    @cached_property
    def ends(self) -> datetime:
        """End of the last day, in the cohort's zone."""
        return calendar.end_of_day(self.spans[-1].last, self.zone)

    def find(self, given: str) -> StepId:
        """The step somebody means by its number or its id; raises UnknownStep."""
        steps = self.edition.plan.steps
        wanted = given.strip().lower()
        if wanted in self._by_id:
            return wanted
        number = wanted.removeprefix(self.edition.plan.unit).strip()
        if number.isascii() and number.isdecimal() and len(number) < 4 and 1 <= int(number) <= len(steps):
            return steps[int(number) - 1].id
        raise UnknownStep(given.strip()[:40], len(steps))

    def beats(self) -> tuple[Beat, ...]:
        """The cohort's rhythm in the calendar's words."""
        return self._beats

    @cached_property
    def _beats(self) -> tuple[Beat, ...]:
        rhythm = self.edition.rules.rhythm

        def beat(kind: PostKind, post: Post, anchor: str, on: str) -> Beat:
            return Beat(kind.value, anchor, post.day, post.at, timedelta(hours=post.latest_by_hours), on)  # type: ignore[arg-type]

        return (
            beat(PostKind.WELCOME, rhythm.welcome, "first", "start"),
            beat(PostKind.WEEK_OPENS, rhythm.week_opens, "first", "each"),
            beat(PostKind.HALF_TIME, rhythm.half_time, "first", "middle"),
            beat(PostKind.NUDGE, rhythm.nudge, "last", "each"),
            beat(PostKind.WEEK_CLOSES, rhythm.week_closes, "last", "each"),
            beat(PostKind.GRADUATION, rhythm.graduation, "last", "end"),
        )


@dataclass(frozen=True)
class Place:
    """One member's way through a course: from which step on, and in which zone at each."""

    course: Course
    events: Sequence[Event]
    """Those that stand, oldest first, the first of them a Joined. Check-ins may be left out."""

    @cached_property
    def first(self) -> StepId:
        """Where they came in, the last time they joined."""
        return next(event.first for event in reversed(self.events) if isinstance(event, Joined))

    @cached_property
    def own_steps(self) -> tuple[Step, ...]:
        """The steps that concern this member: from the one where they first came in. Who left and comes back has
        their earlier steps again; what they missed meanwhile is excused (`scoring.State`)."""
        return self.course.edition.plan.steps[self._came_in - 1:]

    def concerns(self, step_id: StepId) -> bool:
        """Whether it is one of their own steps."""
        return self.course.number(step_id) >= self._came_in

    @cached_property
    def _came_in(self) -> int:
        """The number of the step where they did so first."""
        return min(self.course.number(event.first) for event in self.events if isinstance(event, Joined))

    def zone_for(self, step_id: StepId) -> ZoneInfo:
        """The zone they had when the step opened, so that travel wins or loses no time."""
        opened = self.course.opens(step_id)
        return next((zone for since, zone in reversed(self._zones) if since <= opened), self._zones[0][1])

    @property
    def zone(self) -> ZoneInfo:
        """The one they live by at present."""
        return self._zones[-1][1]

    @cached_property
    def _zones(self) -> list[tuple[datetime, ZoneInfo]]:
        """Each with the instant since when it is theirs."""
        return [(event.at, calendar.zone(event.zone)) for event in self.events if isinstance(event, Joined | Moved)]

    @cached_property
    def deadlines(self) -> Mapping[StepId, datetime]:
        """Each in the zone that they had when its step opened; in the cohort's, if their joining was voided."""
        if len(self._zones) < 2:
            return self.course.deadlines(self.zone if self._zones else self.course.zone)
        return {span.id: self.course.deadline(span.id, self.zone_for(span.id)) for span in self.course.spans}

    def deadline(self, step_id: StepId) -> datetime:
        return self.deadlines[step_id]

    def closed(self, step_id: StepId) -> datetime:
        """From here on not even a late check-in is taken."""
        return self.deadline(step_id) + timedelta(days=self.course.edition.rules.scoring.late_days)

    def check(self, step_id: StepId, at: datetime) -> None:
        """Raises the refusal that applies when a check-in for the step cannot be taken at that instant."""
        course = self.course
        title, first = course.step(step_id).title, self.own_steps[0]
        if course.number(step_id) < course.number(first.id):
            raise BeforeYouJoined(title, first.title)
        if at < course.opens(step_id):
            raise NotOpenYet(title, course.announced(step_id))
        if at >= self.closed(step_id):
            raise TooLate(title, self.closed(step_id))

    def meant(self, given: str, settled: frozenset[StepId], at: datetime) -> StepId:
        """The step that `/checkin` is about: the one named, else the oldest that is still on time and not settled
        (checked in or rested), else the one that is running.

        Raises the refusal that applies when nothing can be checked in.
        """
        if given.strip():
            step_id = self.course.find(given)
            self.check(step_id, at)
            return step_id
        if self.course.running(at) is None:
            raise NotStarted(self.course.announced(self.own_steps[0].id))
        opened = [step.id for step in self.own_steps if self.course.opens(step.id) <= at]
        for step_id in opened:
            if step_id not in settled and at < self.deadline(step_id):
                return step_id
        if opened and at < self.closed(opened[-1]):
            return opened[-1]
        # Without late check-ins, a member east of the cohort is through with a step before the next one opens.
        ahead = self.own_steps[len(opened):]
        if ahead:
            raise NotOpenYet(ahead[0].title, self.course.announced(ahead[0].id))
        raise CohortOver
