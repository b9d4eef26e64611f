"""Points, streaks and graduation are what the journal says they are, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.journal import CheckedIn, Entry, Event, Granted, Left, Rested, Seq, Voided, standing_events
from bot.cohort.scoring import Line, Record, Rule, State, StepScore, score, streaks
from content.model import Scoring
from tests.bot.cohort.build import (
    AFTER,
    RULES,
    checked_in,
    course,
    entries,
    joined,
    journal,
    moved,
    record,
    rules,
    step,
    utc,
)

DEADLINE = utc("2026-11-30T05:00")
EARLY, EARLIER = DEADLINE - timedelta(hours=1), DEADLINE - timedelta(days=2)
LATE, LATER = DEADLINE + timedelta(days=1), DEADLINE + timedelta(days=2)
LINK = ("https://example.org",)
calm = settings(max_examples=100)


def worth(*versions: CheckedIn, by: Scoring = RULES) -> StepScore:
    return score(step(), versions, DEADLINE, by)


def lines(*of: Line) -> StepScore:
    return StepScore("week-1", of)


# --- points -----------------------------------------------------------------------------------------------------------


def test_nothing_sent_is_nothing() -> None:
    assert worth() == lines()


def test_a_check_in_without_a_tick_counts_for_itself() -> None:
    """Who did nothing this week and says so is still there; a bot that pays nothing for it teaches silence."""
    assert worth(checked_in(EARLY)) == lines(Line(Rule.CHECKED_IN, 20))


def test_each_rule_is_a_line_of_its_own() -> None:
    assert worth(checked_in(EARLY, "m1", "m2", "s1", links=LINK)) == lines(
        Line(Rule.CHECKED_IN, 20), Line(Rule.MUST, 20, 2), Line(Rule.STRETCH, 5, 1), Line(Rule.EVIDENCE, 10))


def test_links_count_once_however_many() -> None:
    assert worth(checked_in(EARLY, links=("https://a", "https://b"))) == worth(checked_in(EARLY, links=LINK))


def test_late_counts_half() -> None:
    assert worth(checked_in(LATE, "m1", links=LINK)) == lines(
        Line(Rule.CHECKED_IN, 20), Line(Rule.MUST, 10), Line(Rule.EVIDENCE, 10), Line(Rule.LATE, -20))


def test_late_is_rounded_down_once_and_not_line_by_line() -> None:
    """Two halves of 5 rounded one by one lose a point that nobody can explain."""
    odd = rules(check_in=5, must=5)
    assert worth(checked_in(LATE, "m1"), by=odd).points == 5
    assert worth(checked_in(LATE, "m1", "m2"), by=odd).points == 7


def test_the_very_instant_of_the_deadline_is_late() -> None:
    assert worth(checked_in(DEADLINE - timedelta(microseconds=1))).points == 20
    assert worth(checked_in(DEADLINE)).points == 10


def test_an_amendment_in_time_takes_the_place_of_what_was_sent() -> None:
    assert worth(checked_in(EARLIER, "m1"), checked_in(EARLY, "m2", "s1")) == worth(checked_in(EARLY, "m2", "s1"))


def test_an_amendment_after_the_deadline_keeps_what_was_in_time() -> None:
    """Amending late must not cost what was earned: else nobody dares to add the task they finished on Monday."""
    assert worth(checked_in(EARLY, "m1", links=LINK), checked_in(LATE, "m1", "m2", links=LINK)) == lines(
        Line(Rule.CHECKED_IN, 20), Line(Rule.MUST, 20, 2), Line(Rule.EVIDENCE, 10), Line(Rule.LATE, -5))


def test_unticking_takes_the_points_away() -> None:
    assert worth(checked_in(EARLY, "m1", "m2"), checked_in(LATE, "m2")) == lines(
        Line(Rule.CHECKED_IN, 20), Line(Rule.MUST, 10))


def test_a_tick_that_was_taken_back_and_set_again_was_said_in_time() -> None:
    assert worth(checked_in(EARLY, "m1"), checked_in(LATE), checked_in(LATER, "m1")).points == 30


def test_another_link_after_the_deadline_costs_nothing() -> None:
    assert worth(checked_in(EARLY, links=LINK), checked_in(LATE, links=("https://better.example",))).points == 30


def test_removing_the_links_takes_their_points_away() -> None:
    assert worth(checked_in(EARLY, links=LINK), checked_in(EARLY)).points == 20


def test_a_step_gives_no_more_than_its_cap_and_says_so() -> None:
    capped = rules(step_cap=25)
    assert worth(checked_in(EARLY, "m1"), by=capped) == lines(
        Line(Rule.CHECKED_IN, 20), Line(Rule.MUST, 10), Line(Rule.CAPPED, -5))


def test_a_task_that_the_plan_no_longer_has_is_worth_nothing() -> None:
    assert worth(checked_in(EARLY, "gone")).points == 20


instants = st.sampled_from([EARLIER, EARLY, DEADLINE, LATE, LATER])
ticks = st.lists(st.sampled_from(["m1", "m2", "s1", "s2"]), unique=True)
versions = st.lists(st.builds(lambda at, done, links: checked_in(at, *done, links=links),
                              instants, ticks, st.sampled_from([(), LINK])), max_size=4).map(
    lambda found: sorted(found, key=lambda version: version.at))
weights = st.integers(0, 30)
any_rules = st.builds(
    lambda check_in, must, stretch, evidence, cap, percent: rules(
        check_in=check_in, must=must, stretch=stretch, evidence=evidence, step_cap=cap, late_percent=percent),
    weights, weights, weights, weights, st.integers(1, 120), st.integers(0, 100))


@calm
@given(versions, any_rules)
def test_points_lie_between_nothing_and_the_cap(sent: list[CheckedIn], by: Scoring) -> None:
    found = worth(*sent, by=by)
    assert 0 <= found.points <= by.step_cap
    assert sum(line.points for line in found.lines) == found.points


@calm
@given(ticks, st.sampled_from([(), LINK]), any_rules)
def test_late_is_never_worth_more_than_in_time(done: list[str], links: tuple[str, ...], by: Scoring) -> None:
    late, in_time = (worth(checked_in(at, *done, links=links), by=by).points for at in (LATE, EARLY))
    assert late <= in_time


@calm
@given(versions.filter(bool), st.sampled_from(["m1", "m2", "s1", "s2"]), any_rules)
def test_one_tick_more_never_lowers_the_points(sent: list[CheckedIn], tick: str, by: Scoring) -> None:
    *before, last = sent
    more = replace(last, done=tuple({*last.done, tick}))
    assert worth(*before, more, by=by).points >= worth(*sent, by=by).points
    assert worth(*sent, replace(more, at=LATER), by=by).points >= worth(*sent, by=by).points


@calm
@given(versions, any_rules, st.randoms(use_true_random=False))
def test_the_order_of_the_ticks_does_not_matter(sent: list[CheckedIn], by: Scoring, random: Random) -> None:
    shuffled = [replace(one, done=tuple(random.sample(one.done, len(one.done)))) for one in sent]
    assert worth(*shuffled, by=by) == worth(*sent, by=by)


@calm
@given(versions, st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))  # noqa: DTZ001  # strategies take naive ones
def test_points_are_a_function_of_the_journal_alone(sent: list[CheckedIn], asked: datetime) -> None:
    """Not of the moment at which somebody asks: a cached total and a recomputed one can never drift apart."""
    plan, events = course(), list[Event]([joined(), *sent])
    then = record(plan, *events, at=utc(asked.isoformat()))
    assert (then.points, then.points) == (record(plan, *events).points, score(
        plan.step("week-1"), sent, plan.deadline("week-1", plan.zone), RULES).points)


# --- states and streaks -----------------------------------------------------------------------------------------------


def streak(of: Record) -> tuple[int, int]:
    return of.streak, of.best_streak


def test_a_rest_week_keeps_the_streak() -> None:
    """Scrappy's users lost streaks to a day off; a rest week costs nothing."""
    assert streak(journal("✓", "✓", "rest", "✓")) == (3, 3)


def test_a_missed_week_breaks_the_streak_and_the_best_one_stays() -> None:
    assert streak(journal("✓", "✓", "-", "✓")) == (1, 2)
    assert streak(journal("✓", "✓", "-", "-")) == (0, 2)


def test_a_late_check_in_keeps_the_streak_where_the_rules_say_so() -> None:
    assert streak(journal("✓", "late", "✓")) == (3, 3)


def test_a_late_check_in_breaks_the_streak_where_the_rules_say_so() -> None:
    assert streak(journal("✓", "late", "✓", by=rules(late_keeps_streak=False))) == (1, 1)


def test_a_late_check_in_mends_the_streak_that_was_broken() -> None:
    """A counter that an hourly job resets cannot give a streak back; a journal can."""
    assert streak(journal("✓", "-", "✓")) == (1, 1)
    assert streak(journal("✓", "late", "✓")) == (3, 3)


def test_a_step_that_is_still_open_costs_nothing() -> None:
    still_open = journal("✓", "✓", "-", "-", at=utc("2026-12-13T20:00"))
    assert still_open.states == (State.DONE, State.DONE, State.OPEN, State.AHEAD)
    assert streak(still_open) == (2, 2)


def test_the_step_in_which_somebody_joined_is_not_held_against_them() -> None:
    """On Sunday evening a newcomer has an hour for a week; nobody starts with a failure."""
    late_joiner = journal("-", "✓", join=joined(utc("2026-12-06T20:00"), first="week-2"))
    assert late_joiner.states == (State.EXCUSED, State.DONE)
    assert (streak(late_joiner), late_joiner.expected, late_joiner.graduated) == ((1, 1), 1, True)


def test_the_step_in_which_somebody_joined_counts_when_they_check_in() -> None:
    assert journal("✓", "✓", join=joined(utc("2026-12-01T20:00"), first="week-2")).states == (State.DONE, State.DONE)


def test_who_joined_before_the_step_opened_is_not_excused() -> None:
    assert journal("-", "✓").states == (State.MISSED, State.DONE)


def test_a_streak_holds_until_the_deadline_of_the_next_step_that_is_owed() -> None:
    running = journal("✓", "-", "rest", "-", at=utc("2026-12-01T12:00"))
    deadline = running.place.deadline("week-2")
    assert (running.streak, running.streak_until) == (1, deadline)
    over = replace(running, at=deadline)
    assert (over.streak, over.streak_until) == (0, over.place.deadline("week-4")), "week 3 is rested"
    assert replace(over, at=AFTER).streak_until is None


zones = st.sampled_from(["Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"])
moments = st.datetimes(datetime(2026, 11, 20), datetime(2027, 1, 10)).map(lambda at: utc(at.isoformat()))  # noqa: DTZ001
some_steps = st.integers(1, 4).map(lambda number: f"week-{number}")
happenings = st.lists(st.one_of(
    st.builds(lambda at, step: checked_in(at, step=step), moments, some_steps),
    st.builds(Rested, moments, some_steps), st.builds(Left, moments), st.builds(joined, moments, zones, some_steps),
    st.builds(moved, moments, zones),
    st.builds(Voided, moments, st.integers(2, 9).map(lambda number: Seq(10 * number)), st.just("?"), st.just("o"))),
    max_size=8).map(lambda found: sorted(found, key=lambda event: event.at))


@calm
@given(happenings, moments, st.floats(0, 1), st.booleans())
def test_a_streak_that_was_kept_is_right_for_as_long_as_it_says(
        happened: list[Event], at: datetime, share: float, keeps: bool) -> None:
    """A board that reads it reads what the journal says, at any instant before anything else happens."""
    then = record(course(by=rules(late_keeps_streak=keeps)), joined(), *happened, at=at)
    last = (then.streak_until or AFTER) - timedelta(microseconds=1)
    for later in (at + (last - at) * share, last):
        assert (replace(then, at=later).streak, replace(then, at=later).streak_until) == (
            then.streak, then.streak_until)


things = st.one_of(
    st.builds(lambda at, step, done: checked_in(at, *done, step=step), moments, some_steps,
              st.lists(st.sampled_from(["m1", "s1"]), unique=True)),
    st.builds(Rested, moments, some_steps), st.builds(Left, moments), st.builds(moved, moments, zones),
    st.builds(joined, moments, zones, some_steps),
    st.builds(Voided, moments, st.just(Seq(20)), st.just("?"), st.just("o")))


@calm
@given(happenings, things, moments)
def test_with_one_thing_more_a_record_is_that_of_the_longer_journal(
        happened: list[Event], thing: Event, at: datetime) -> None:
    before = record(course(), joined(), *happened, at=at)
    assert before.states is not None, "what it has worked out already is of no consequence"
    entry = Entry(Seq(1000), thing, "r")
    then, whole = before.then(entry), Record(before.course, (*before.journal, entry), at)
    for name in ("journal", "points", "states", "settled", "rested", "streak", "streak_until", "present", "place"):
        assert getattr(then, name) == getattr(whole, name), name
    for one in before.course.edition.plan.steps:
        assert then.versions(one.id) == whole.versions(one.id)
        assert then.score(one.id) == whole.score(one.id)


def test_who_never_joined_after_all_has_no_streak_to_lose() -> None:
    voided = record(course(), joined(), Voided(LATER, Seq(10), "?", "o"), at=utc("2026-12-01T12:00"))
    assert (streak(voided), voided.streak_until) == ((0, 0), None)


def test_no_steps_are_no_streak() -> None:
    assert streaks((), RULES) == (0, 0)


@calm
@given(st.lists(st.sampled_from(State)), st.booleans())
def test_what_costs_nothing_can_be_left_out_of_a_streak(states: list[State], keeps: bool) -> None:
    by = rules(late_keeps_streak=keeps)
    counted = [state for state in states if state in (State.DONE, State.LATE, State.MISSED)]
    running, best = streaks(states, by)
    assert (running, best) == streaks(counted, by)
    assert 0 <= running <= best <= len(counted)


@calm
@given(st.lists(st.sampled_from(["✓", "late", "rest", "-"]), min_size=1, max_size=6))
def test_checking_in_after_all_never_shortens_a_streak(marks: list[str]) -> None:
    for before, after in pairwise(("-", "late", "✓")):
        for index, mark in enumerate(marks):
            if mark == before:
                better = [*marks[:index], after, *marks[index + 1:]]
                assert journal(*better).streak >= journal(*marks).streak


# --- the whole record -------------------------------------------------------------------------------------------------


def test_a_check_in_takes_the_place_of_the_rest_and_gives_the_rest_back() -> None:
    plan = course()
    rested = Rested(utc("2026-11-25T10:00"), "week-1")
    resting = record(plan, joined(), rested)
    after_all = record(plan, joined(), rested, checked_in(utc("2026-11-29T10:00"), "m1"))
    assert (resting.state(plan.step("week-1")), resting.rests_left, resting.points) == (State.RESTED, 1, 0)
    assert (after_all.state(plan.step("week-1")), after_all.rests_left, after_all.points) == (State.DONE, 2, 30)
    assert after_all.settled == {"week-1"}


def test_rests_never_fall_below_none() -> None:
    """A cohort whose rules give fewer rests than before owes nobody a negative number."""
    assert journal("rest", "rest", "rest").rests_left == 0


def test_granted_points_count_up_and_down() -> None:
    plan = course()
    up, down = Granted(EARLY, 15, "helped others", "organiser"), Granted(LATE, -5, "twice", "organiser")
    one = record(plan, joined(), checked_in(EARLY), up, down)
    assert (one.points, one.granted) == (30, (up, down))


def test_what_was_voided_has_not_happened() -> None:
    plan = course()
    events: list[Event] = [joined(), checked_in(EARLIER, "m1"), checked_in(EARLY, "m1", "m2")]
    assert record(plan, *events).points == 40
    assert record(plan, *events, Voided(LATE, Seq(30), "by mistake", "organiser")).points == 30
    nothing = record(plan, *events, Voided(LATE, Seq(20), "?", "o"), Voided(LATE, Seq(30), "?", "o"))
    assert (nothing.points, nothing.state(plan.step("week-1"))) == (0, State.MISSED)


def test_a_voided_rest_is_given_back() -> None:
    plan = course()
    assert record(plan, joined(), Rested(EARLY, "week-1"), Voided(LATE, Seq(20), "?", "o")).rests_left == 2


def test_a_voiding_can_be_voided() -> None:
    """A correction is a new event, and so is the correction of a correction."""
    sent = checked_in(EARLY)
    again = entries(joined(), sent, Voided(LATE, Seq(20), "?", "o"), Voided(LATER, Seq(30), "no, it was right", "o"))
    assert standing_events(again) == [joined(), sent]


def test_nobody_is_present_before_joining_or_after_leaving() -> None:
    plan, left = course(), Left(utc("2026-12-01T10:00"))
    assert not record(plan).present
    assert record(plan, joined()).present
    assert not record(plan, joined(), left).present
    assert record(plan, joined(), left, joined(utc("2026-12-02T10:00"), first="week-2")).present


def in_time(number: int) -> CheckedIn:
    return checked_in(utc("2026-11-29T10:00") + timedelta(weeks=number - 1), step=f"week-{number}")


def test_who_leaves_and_comes_straight_back_has_lost_nothing() -> None:
    """"What you did is kept in case you come back": a slip of the finger costs no streak, and no graduation."""
    plan = course(7, 7, 7, 7)
    slip: list[Event] = [Left(utc("2026-12-16T10:00")), joined(utc("2026-12-16T10:01"), first="week-4")]
    stayed = record(plan, joined(), in_time(1), in_time(2), in_time(3), in_time(4))
    came_back = record(plan, joined(), in_time(1), in_time(2), in_time(3), *slip, in_time(4))
    assert (came_back.states, streak(came_back), came_back.points) == (stayed.states, (4, 4), stayed.points)


def test_a_slip_of_the_finger_excuses_nothing() -> None:
    plan = course(7, 7)
    slip: list[Event] = [Left(utc("2026-11-25T10:00")), joined(utc("2026-11-25T10:01"))]
    assert record(plan, joined(), *slip).states == (State.MISSED, State.MISSED)


def test_what_ran_while_they_were_away_is_excused() -> None:
    plan = course(7, 7, 7, 7)
    back = record(plan, joined(), in_time(1), Left(utc("2026-12-02T10:00")),
                  joined(utc("2026-12-16T10:00"), first="week-4"), in_time(4))
    assert back.states == (State.DONE, State.EXCUSED, State.EXCUSED, State.DONE)
    assert (streak(back), back.checked_in, back.expected, back.graduated) == ((2, 2), 2, 2, True)


def test_who_has_left_does_not_graduate() -> None:
    assert journal("✓", "✓").graduated
    assert not record(course(7), joined(), in_time(1), Left(AFTER)).graduated


def test_graduation_asks_for_the_share_of_the_steps_that_were_not_rested() -> None:
    assert journal("✓", "✓", "late", "-").graduated                             # 3 of 4: 75 %
    assert not journal("✓", "✓", "-").graduated                                 # 2 of 3: 67 %
    assert journal("✓", "✓", "rest").graduated                                  # 2 of 2
    assert not journal("✓", "-", "rest").graduated
    assert not journal("rest", "rest").graduated                                # nothing at all was checked in


@pytest.mark.parametrize(("percent", "graduates"), [(75, True), (76, False)])
def test_the_share_itself_is_enough(percent: int, graduates: bool) -> None:
    assert journal("✓", "✓", "✓", "-", by=rules(graduate_percent=percent)).graduated is graduates


def test_a_late_joiner_is_judged_by_their_own_steps() -> None:
    assert journal("✓", "✓", join=joined(utc("2026-12-08T12:00"), first="week-3")).graduated
