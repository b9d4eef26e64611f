"""The grammar of `guide.yaml`: what a guide, a plan, a cohort and the bot's voice may say.

Everything is frozen and nothing unknown is accepted, so a misspelt key is an error and not a silence.
Text is Markdown unless a field says otherwise; `[@id]` in a text cites the source `id`.
What needs the whole file to judge (ids that point at nothing, hours that do not add up) is in `loading.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
"""Lower-case words joined by hyphens. Ids are for ever: ticks, check-ins and links refer to them."""

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=r"^[^\n]*$")]
"""One line of Markdown."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Any number of paragraphs of Markdown."""

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=45)]
"""Plain words on a button or above a field. Discord takes 45 characters for the label of a field."""

SourceId = Id
RoleId = Id
TrackId = Id
SkillId = Id
ProjectId = Id
PlanId = Id
StepId = Id
TaskId = Id

Hours = Annotated[float, Field(gt=0, le=200, multiple_of=0.25)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class HoursRange(Model):
    """From `low` to `high` hours, both included."""

    low: Hours
    high: Hours


# --- the guide --------------------------------------------------------------------------------------------------------


class About(Model):
    """What the guide is, for its home page and for search engines."""

    title: Line
    tagline: Line
    """What this is, in one sentence that a newcomer understands in five seconds."""
    for_whom: Text
    not_for: Text
    promise: Text
    """What a reader has in hand at the end."""
    repository: str | None = None
    """Web address of the repository, where "edit this page" leads; none while the guide is not published."""
    reviewed: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$")]
    """Year and month in which somebody last read the whole guide against its sources."""


class Source(Model):
    """An article that the guide draws facts from."""

    title: Line
    publisher: Line
    """Who published it, or in so many words that our copy does not say."""
    year: int | None = None
    kind: Line
    good_for: Text
    caution: Text
    """What to keep in mind when believing it: who sells what, which figures it does not prove."""


class Role(Model):
    """A job as employers mean it, whatever they title it."""

    title: Line
    summary: Line
    day_to_day: Text
    asks_for: Text
    reach: Literal["realistic", "longer", "research"]
    """How far it is from a software engineer: months, a longer course of study, or a research career."""
    tracks: tuple[TrackId, ...] = ()
    sources: tuple[SourceId, ...]


class PayBand(Model):
    """What a source claims a job pays, in thousands a year; never a promise."""

    level: Line
    low: Annotated[int, Field(gt=0)]
    high: Annotated[int, Field(gt=0)]
    open_ended: bool = False
    """The source writes a plus behind the upper figure."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    basis: Literal["base", "total", "not said"]
    country: Line
    year: int
    source: SourceId


class Route(Model):
    """From where somebody stands today to a track."""

    start: Line
    time: Line
    note: Text
    source: SourceId


class Track(Model):
    """A direction to specialise in."""

    title: Line
    summary: Line
    builds: Text
    stack: Annotated[tuple[Line, ...], Field(min_length=1)]
    pay: tuple[PayBand, ...]
    pay_note: Text
    best_fit: Text
    gap: Text
    """What somebody with that fit still has to learn."""
    routes: tuple[Route, ...]
    first_steps: Text
    """Where in our plan to put more weight for this track."""
    sources: tuple[SourceId, ...]


class Skill(Model):
    """Something to be able to do; what tasks practise and rubrics judge."""

    title: Line
    domain: Literal["programming", "systems", "data", "deployment", "debugging", "theory", "career"]
    grade: Literal["must", "differentiator", "skip"]
    have: Text
    """What a software engineer brings already."""
    add: Text
    """What is new."""
    why: Text
    builds_on: tuple[SkillId, ...] = ()
    sources: tuple[SourceId, ...]


class Criterion(Model):
    """One line of a rubric: the same question answered at each level, weakest first."""

    title: Line
    levels: Annotated[tuple[Text, ...], Field(min_length=1)]


class Rubric(Model):
    levels: Annotated[tuple[Line, ...], Field(min_length=2)]
    """Names of the levels, weakest first; each criterion describes every one of them."""
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=2)]


class ProjectStep(Model):
    title: Line
    text: Text


class Project(Model):
    """Something to build and show."""

    title: Line
    summary: Line
    rank: Annotated[int, Field(ge=1)]
    """Place in the source's order of effect on hiring, 1 first."""
    why: Text
    hours: HoursRange
    """Our estimate."""
    skills: Annotated[tuple[SkillId, ...], Field(min_length=1)]
    steps: Annotated[tuple[ProjectStep, ...], Field(min_length=3)]
    evidence: Annotated[tuple[Line, ...], Field(min_length=1)]
    rubric: Rubric
    sources: tuple[SourceId, ...]


# --- what the sources say beside the plan -----------------------------------------------------------------------------


class Point(Model):
    """Something a source says, under a title."""

    title: Line
    text: Text
    source: SourceId


class Claim(Model):
    """A figure or a statement that a source makes without proof."""

    text: Line
    source: SourceId


class GapRow(Model):
    domain: Line
    have: Annotated[tuple[Line, ...], Field(min_length=1)]
    """What a software engineer brings."""
    add: Annotated[tuple[Line, ...], Field(min_length=1)]
    skills: tuple[SkillId, ...] = ()
    """Where this guide treats what is to add."""


class GapTable(Model):
    """One source's account of what is missing, area by area."""

    title: Line
    text: Text
    source: SourceId
    rows: Annotated[tuple[GapRow, ...], Field(min_length=1)]


class Layer(Model):
    """One layer of the stack to learn, from the foundation up."""

    title: Line
    time: Line
    """As the source gives it, or in so many words that it gives none."""
    text: Text
    skills: tuple[SkillId, ...]
    source: SourceId


class Signal(Model):
    """What makes a portfolio believed."""

    title: Line
    text: Text
    project: ProjectId | None = None
    source: SourceId


class Reframe(Model):
    """Experience that an engineer has, in the words of the new job."""

    before: Line
    after: Line
    text: Text
    source: SourceId


class Stage(Model):
    """What the move does to pay, by where somebody stands in their career."""

    stage: Line
    effect: Line
    source: SourceId


class Pay(Model):
    """What the sources claim about pay beside the bands of the tracks."""

    warning: Text
    market: tuple[Claim, ...]
    stages: tuple[Stage, ...]


class Search(Model):
    """Looking for the job."""

    titles: Annotated[tuple[Line, ...], Field(min_length=1)]
    titles_source: SourceId
    employers: tuple[Point, ...]
    """Kinds of employers, and what each wants."""
    routine: tuple[Point, ...]
    """The week of somebody who searches."""


class Company(Model):
    title: Line
    why: Text
    approach: Text
    """How to come near them."""
    caution: Text
    source: SourceId


class Question(Model):
    id: Id
    ask: Line
    good_answer: Text
    skill: SkillId
    source: SourceId | None = None
    """None: the question is ours, and the site says so."""


class InterviewFormat(Model):
    title: Line
    what: Text
    prepare: Text
    source: SourceId
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]


class Walkthrough(Model):
    """A case worked through, step by step."""

    title: Line
    situation: Text
    steps: Annotated[tuple[ProjectStep, ...], Field(min_length=3)]
    lesson: Text
    source: SourceId | None = None


class Interviews(Model):
    intro: Text
    formats: dict[Id, InterviewFormat]
    walkthroughs: dict[Id, Walkthrough]


class Ladder(Model):
    """A career that shares the name of the job."""

    title: Line
    where: Text
    asks_for: Text
    measured_by: Line
    source: SourceId


class ProjectLevel(Model):
    level: Line
    title: Line
    shows: Text
    project: ProjectId | None = None
    source: SourceId


class Opinion(Model):
    """A source's verdict on a skill."""

    title: Line
    verdict: Literal["overrated", "underrated"]
    text: Text
    skill: SkillId | None = None
    source: SourceId


class WayToStudy(Model):
    title: Line
    pros: Annotated[tuple[Point, ...], Field(min_length=1)]
    cons: Annotated[tuple[Point, ...], Field(min_length=1)]
    reading: Text
    """Ours."""


class Faq(Model):
    ask: Line
    answer: Text
    source: SourceId | None = None


class Position(Model):
    says: Text
    source: SourceId


class Contradiction(Model):
    """A question on which the sources disagree."""

    title: Line
    question: Line
    positions: Annotated[tuple[Position, ...], Field(min_length=2)]
    reading: Text
    """How we read it, and what this guide does about it."""


class QuizOption(Model):
    id: Id
    label: Line
    because: Line
    """Completes "This speaks for …, because …"; shown with the result."""
    weights: dict[TrackId, Annotated[int, Field(ge=0, le=5)]]


class QuizQuestion(Model):
    id: Id
    ask: Line
    options: Annotated[tuple[QuizOption, ...], Field(min_length=2, max_length=6)]


class Quiz(Model):
    """Which track fits me?"""

    intro: Text
    questions: Annotated[tuple[QuizQuestion, ...], Field(min_length=3, max_length=12)]


class Assessment(Model):
    """Where am I? One rating per skill."""

    intro: Text
    levels: Annotated[tuple[Line, ...], Field(min_length=3, max_length=6)]
    """Weakest first; the last but one is what the plans bring a reader to."""


class Covered(Model):
    """Where the site shows a system of a source; a test follows every address."""

    source: SourceId
    system: Line
    page: Annotated[str, StringConstraints(pattern=r"^[a-z0-9/-]*(#[a-z0-9-]+)?$")]
    """Address within the site, such as `skills/#rag`."""


# --- plans ------------------------------------------------------------------------------------------------------------


class Task(Model):
    id: TaskId
    do: Line
    """One imperative sentence, without a full stop; it is what a member ticks."""
    how: Text
    why: Text
    hours: Hours
    """Our estimate."""
    weight: Literal["must", "stretch"]
    skill: SkillId
    project: ProjectId | None = None
    evidence: Line
    """What to show that it is done."""


class Step(Model):
    """A stretch of a plan with one goal: a week in most plans."""

    id: StepId
    title: Line
    phase: Line
    days: Annotated[int, Field(ge=1, le=92)]
    hours: Hours
    """Must and stretch together; checked against the tasks."""
    goal: Line
    outcomes: Annotated[tuple[Line, ...], Field(min_length=1)]
    """What you will be able to do, each after "You can …"."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=10)]
    """At most 10: a group of checkboxes holds no more on Slack or Discord."""
    pitfalls: Annotated[tuple[Text, ...], Field(min_length=1)]
    done_when: Annotated[tuple[Line, ...], Field(min_length=1)]
    sources: tuple[SourceId, ...] = ()
    note: Text | None = None
    """Whose idea the step is, where it is not the source's."""

    @property
    def must(self) -> tuple[Task, ...]:
        return tuple(task for task in self.tasks if task.weight == "must")


class Plan(Model):
    title: Line
    summary: Line
    for_whom: Text
    days: Annotated[int, Field(ge=1, le=800)]
    hours_per_week: HoursRange
    """What every step must fit into, in proportion to its days."""
    hours_note: Text
    unit: Annotated[str, StringConstraints(pattern=r"^[a-z]+$", max_length=12)] = "week"
    """What its steps are called: a week, a month, a step. The voice says it with `{unit}` and `{Unit}`."""
    self_paced: bool = False
    """Its dates are a suggestion: the next step begins when the last one is done."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    sources: tuple[SourceId, ...]

    def offsets(self) -> Iterator[tuple[int, Step]]:
        """(days from the start of the plan to the first day of the step, step), in order."""
        day = 0
        for step in self.steps:
            yield day, step
            day += step.days

    def step(self, step_id: StepId) -> Step:
        """Raises KeyError when the plan has no such step."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


# --- the cohort -------------------------------------------------------------------------------------------------------


class PostKind(StrEnum):
    """Everything the bot may say unasked."""

    WELCOME = "welcome"
    WEEK_OPENS = "week_opens"
    NUDGE = "nudge"
    WEEK_CLOSES = "week_closes"
    HALF_TIME = "half_time"
    GRADUATION = "graduation"
    REPORT = "report"
    """To the organiser, when something was missed or failed."""
    UNREACHABLE = "unreachable"
    """To the room, once for a member who asked for reminders and takes no direct messages."""
    ROLE = "role"
    """No words: the role of those who graduate."""


class Post(Model):
    """When a kind of post is due, and when it is too late for it."""

    day: int
    """Counted from the first day of the step (welcome, week_opens, half_time: 0 is that day, -2 two days before)
    or from its last day (nudge, week_closes, graduation: 0 is the last day, 1 the day after)."""
    at: time
    """Local time: the cohort's, for a nudge the member's own."""
    latest_by_hours: Annotated[int, Field(ge=1, le=168)]
    """This many hours after it was due it is no longer sent, but recorded as missed."""


class Rhythm(Model):
    welcome: Post
    """Before the first step."""
    week_opens: Post
    nudge: Post
    """Only to members who owe a check-in and did not opt out."""
    week_closes: Post
    half_time: Post
    """In the middle step of the plan."""
    graduation: Post
    """After the last step."""
    messages_per_member_per_week: Annotated[int, Field(ge=1, le=7)]
    """The budget of direct messages that the bot keeps to."""


class Scoring(Model):
    """How a check-in becomes points. Points are whole numbers."""

    check_in: Annotated[int, Field(ge=0, le=1000)]
    """For checking in at all."""
    must: Annotated[int, Field(ge=0, le=1000)]
    """For each must task done."""
    stretch: Annotated[int, Field(ge=0, le=1000)]
    evidence: Annotated[int, Field(ge=0, le=1000)]
    """Once a step, for at least one link to look at."""
    step_cap: Annotated[int, Field(ge=1, le=10000)]
    """Most points that one step can give."""
    late_percent: Annotated[int, Field(ge=0, le=100)]
    """What is first reported after the deadline counts this much, rounded down."""
    grace_hours: Annotated[int, Field(ge=0, le=72)]
    """Added to the end of the member's last local day of the step."""
    late_days: Annotated[int, Field(ge=0, le=90)]
    """How long after the deadline a late check-in is still taken."""
    late_keeps_streak: bool
    rest_steps: Annotated[int, Field(ge=0, le=20)]
    """How many steps a member may rest without losing the streak."""
    graduate_percent: Annotated[int, Field(ge=1, le=100)]
    """Share of a member's own steps, rest left out, that must be checked in to graduate."""


class TasksQuestion(Model):
    kind: Literal["tasks"]
    label: Label
    hint: Line


class ChoiceQuestion(Model):
    """One of a few answers."""

    kind: Literal["choice"]
    label: Label
    hint: Line
    options: Annotated[tuple[Label, ...], Field(min_length=2, max_length=25)]


class NumberQuestion(Model):
    kind: Literal["hours"]
    label: Label
    hint: Line
    most: Annotated[int, Field(ge=1, le=1000)]


class LinksQuestion(Model):
    kind: Literal["links"]
    label: Label
    hint: Line
    most: Annotated[int, Field(ge=1, le=10)]


class ProseQuestion(Model):
    kind: Literal["prose"]
    label: Label
    hint: Line
    longest: Annotated[int, Field(ge=50, le=3000)]
    """In characters; Slack's text fields take 3,000, Discord's 4,000."""


class CheckInForm(Model):
    """The form behind `/checkin`: five questions, because that is what a Discord modal holds."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=24), fills("number")]
    """Slack takes 24 characters for the title of a modal. Five questions leave a form no room to name the step
    elsewhere."""
    submit: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    tasks: TasksQuestion
    hours: NumberQuestion
    evidence: LinksQuestion
    notes: ProseQuestion
    confidence: ChoiceQuestion


class Privacy(Model):
    name_on_board: Literal["alias", "name"]
    """What the board shows of a member who did not choose."""
    board_from: Annotated[int, Field(ge=2, le=20)]
    """No board while fewer members have points."""
    board_rows: Annotated[int, Field(ge=3, le=25)]
    aliases_adjectives: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z][a-z]+$")], ...],
                                  Field(min_length=20)]
    aliases_nouns: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z][a-z]+$")], ...],
                             Field(min_length=20)]
    text: Text
    """What we keep and who sees it, told to a member before joining."""


class CohortRules(Model):
    plan: PlanId
    """The plan a cohort runs when the organiser names none."""
    rhythm: Rhythm
    scoring: Scoring
    check_in: CheckInForm
    privacy: Privacy


# --- the voice --------------------------------------------------------------------------------------------------------


class Say(Model):
    """One thing the bot says: a title where it has one, and a body with `{placeholders}`."""

    title: Line | None = None
    body: Text


@dataclass(frozen=True)
class Fills:
    """The placeholders that a sentence may use; which values they stand for is told by their names."""

    names: tuple[str, ...]


def fills(*names: str) -> Any:
    return Fills(names)


class Words(Model):
    """Labels of buttons, commands and the small fixed words between the sentences."""

    check_in: Label
    my_progress: Label
    this_week: Label
    board: Label
    join: Label
    read: Label
    must: Label
    stretch: Label
    hours: Annotated[Line, fills("hours")]
    must_tasks: Annotated[Line, fills("count", "points")]
    stretch_tasks: Annotated[Line, fills("count", "points")]
    checked_in: Annotated[Line, fills("points")]
    evidence: Annotated[Line, fills("points")]
    late: Annotated[Line, fills("percent")]
    capped: Annotated[Line, fills("cap")]
    granted: Annotated[Line, fills("points", "reason")]
    rested: Line
    missed: Line
    excused: Line
    open: Line
    you: Label
    place: Label
    name: Label
    points: Label
    streak: Label
    settings: Label
    log: Label
    again: Label
    """On the button that opens a refused form again, with what was typed."""
    typed: Label
    """Above what was typed, where a form closes when it is sent."""
    waiting: Line
    """When the answer takes longer than the two or three seconds that a chat allows; the answer comes after it."""


class JoinForm(Model):
    """The form behind `/cohort join` and `/cohort settings`."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    settings_title: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    submit: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    name_label: Label
    name_hint: Line
    shown_label: Label
    shown_alias: Label
    shown_name: Label
    zone_label: Label
    zone_hint: Line
    nudges_label: Label
    nudges_yes: Label
    nudges_no: Label


class OpenForm(Model):
    """The form behind `/cohort open`."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    submit: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    intro: Line
    name_label: Label
    name_hint: Line
    start_label: Label
    start_hint: Line
    zone_label: Label
    zone_hint: Line
    plan_label: Label
    threads_label: Label
    threads_yes: Label
    threads_no: Label


class Commands(Model):
    """One line of help for each command; the same words in every chat's own list of commands."""

    checkin: Line
    week: Line
    progress: Line
    leaderboard: Line
    join: Line
    settings: Line
    rest: Line
    leave: Line
    help: Line
    log: Line
    open: Line
    link: Line
    bridge: Line


class Refusals(Model):
    """What a member reads when something cannot be done: what is wrong, and what to do about it."""

    no_cohort: Line
    not_enrolled: Line
    already_enrolled: Line
    not_started: Annotated[Line, fills("start")]
    cohort_over: Line
    unknown_step: Annotated[Line, fills("given", "last")]
    not_open_yet: Annotated[Line, fills("step", "opens")]
    before_you_joined: Annotated[Line, fills("step", "first")]
    too_late: Annotated[Line, fills("step", "closed")]
    unknown_task: Line
    bad_hours: Annotated[Line, fills("given", "most")]
    bad_link: Annotated[Line, fills("given")]
    too_many_links: Annotated[Line, fills("given", "most")]
    too_long: Annotated[Line, fills("label", "given", "most")]
    unknown_choice: Annotated[Line, fills("given")]
    no_name: Line
    name_too_long: Annotated[Line, fills("given", "most")]
    name_taken: Annotated[Line, fills("given")]
    unknown_zone: Annotated[Line, fills("given", "nearest")]
    no_rest_left: Annotated[Line, fills("allowed")]
    nothing_to_rest: Annotated[Line, fills("step")]
    already_resting: Annotated[Line, fills("step")]
    unknown_command: Annotated[Line, fills("given", "nearest")]
    not_organiser: Line
    no_room: Line
    room_has_cohort: Line
    bad_date: Annotated[Line, fills("given")]
    starts_too_early: Annotated[Line, fills("given")]
    title_length: Annotated[Line, fills("most")]
    bad_code: Line
    same_platform: Line
    joined_twice: Line
    not_saved: Line
    too_slow: Line
    """When a form could not be opened in the three seconds that a chat allows."""


class Voice(Model):
    """Every sentence of the bot. What a sentence may be filled with stands beside it in `model.py`."""

    welcome: Annotated[Say, fills("cohort", "plan", "start", "steps", "hours_low", "hours_high")]
    week_opens: Annotated[Say, fills("number", "steps", "step", "goal", "hours", "closes")]
    nudge: Annotated[Say, fills("name", "number", "step", "deadline")]
    week_closes: Annotated[Say, fills("number", "step", "checked_in", "owed", "tasks")]
    board_hidden: Annotated[Say, fills("least")]
    half_time: Annotated[Say, fills("number", "steps", "members", "tasks", "check_ins")]
    graduation: Annotated[Say, fills("cohort", "graduates", "members", "tasks", "check_ins", "hours")]
    report: Annotated[Say, fills("count")]
    report_line: Annotated[Line, fills("kind", "step", "to", "due", "reason")]
    unreachable: Annotated[Say, fills("member")]

    joined: Annotated[Say, fills("name", "board_name", "cohort", "number", "step", "deadline")]
    joined_early: Annotated[Say, fills("name", "board_name", "cohort", "start")]
    settings_saved: Annotated[Say, fills("name", "board_name", "zone")]
    zone_later: Annotated[Line, fills("zone", "step")]
    form_in_time: Annotated[Line, fills("number", "step", "deadline")]
    form_late: Annotated[Line, fills("number", "step", "percent")]
    checked_in: Annotated[Say, fills("number", "step", "points", "total", "streak")]
    checked_in_late: Annotated[Say, fills("number", "step", "points", "total", "streak", "percent")]
    amended: Annotated[Say, fills("number", "step", "points", "total", "streak", "replaced")]
    place: Annotated[Line, fills("place", "members")]
    next_step: Annotated[Line, fills("number", "step", "opens")]
    owing: Annotated[Line, fills("number", "step", "deadline")]
    last_step_done: Line
    week: Annotated[Say, fills("number", "steps", "step", "goal", "hours", "deadline")]
    progress: Annotated[Say, fills("name", "total", "streak", "best_streak", "done", "of", "rests_left")]
    leaderboard: Annotated[Say, fills("number", "steps")]
    rested: Annotated[Say, fills("number", "step", "rests_left")]
    left: Annotated[Say, fills("cohort")]
    help: Annotated[Say, fills("cohort")]
    log: Annotated[Say, fills("cohort")]
    opened: Annotated[Say, fills("cohort", "plan", "start", "ends", "welcome", "zone")]
    link_code: Annotated[Say, fills("code", "minutes", "cohort")]
    linked: Annotated[Say, fills("name", "cohort")]
    bridge_code: Annotated[Say, fills("code", "minutes", "cohort")]
    bridged: Annotated[Say, fills("cohort")]

    words: Words
    commands: Commands
    join_form: JoinForm
    open_form: OpenForm
    refusals: Refusals


class Guide(Model):
    """The whole of `guide.yaml`."""

    about: About
    sources: dict[SourceId, Source]
    roles: dict[RoleId, Role]
    tracks: dict[TrackId, Track]
    skills: dict[SkillId, Skill]
    projects: dict[ProjectId, Project]
    gaps: dict[Id, GapTable]
    stack: dict[Id, Layer]
    signals: dict[Id, Signal]
    reframing: dict[Id, Reframe]
    pay: Pay
    search: Search
    companies: dict[Id, Company]
    ladders: dict[Id, Ladder]
    hired: tuple[Point, ...]
    """What gets hired."""
    levels: tuple[ProjectLevel, ...]
    """Projects by level of experience."""
    opinions: tuple[Opinion, ...]
    study: dict[Id, WayToStudy]
    interviews: Interviews
    contradictions: dict[Id, Contradiction]
    faq: dict[Id, Faq]
    quiz: Quiz
    assessment: Assessment
    plans: dict[PlanId, Plan]
    coverage: tuple[Covered, ...]
    redirects: dict[str, str]
    """Old address → new one, within the site, for ids that had to change after all."""
    cohort: CohortRules
    voice: Voice
