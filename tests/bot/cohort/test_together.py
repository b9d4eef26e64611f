"""What a cohort has done together."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.journal import CheckedIn, Left, Rested
from bot.cohort.scoring import Record
from bot.cohort.together import NOBODY, Together, together, together_in
from content.model import Step
from tests.bot.cohort.build import checked_in, course, joined, record, utc

PLAN = course()
FIRST, SECOND = PLAN.edition.plan.steps[:2]
IN_TIME, LATE = utc("2026-11-28T12:00"), utc("2026-12-02T12:00")
EVERYBODY = (
    record(PLAN, joined(), replace(checked_in(IN_TIME, "m1", "m2"), hours=2.5), checked_in(LATE, "m1", step="week-2")),
    record(PLAN, joined(), checked_in(IN_TIME, "m1", "s1"), replace(checked_in(LATE, "m1"), hours=4.0)),
    record(PLAN, joined(), Rested(IN_TIME, "week-1"), checked_in(LATE, step="week-2")),
    record(PLAN, joined()),
    record(PLAN, joined(utc("2026-12-01T12:00"), first="week-2")),
    record(PLAN, joined(), checked_in(IN_TIME, "m1", "m2", "s1"), Left(LATE)),
)


def test_the_last_version_of_each_check_in_counts_and_who_has_left_does_not() -> None:
    assert together(EVERYBODY) == Together(members=5, check_ins=4, tasks=4, hours=6.5)
    assert together_in(EVERYBODY, FIRST) == Together(owed=3, checked_in=2, ticked=3)
    assert together_in(EVERYBODY, SECOND) == Together(owed=4, checked_in=2, ticked=1)


def test_of_one_step_the_check_ins_since_it_opened_tell_everything() -> None:
    opened = PLAN.opens(SECOND.id)
    lately = [replace(one, journal=tuple(
        entry for entry in one.journal if not isinstance(entry.event, CheckedIn) or entry.event.at >= opened))
        for one in EVERYBODY]
    assert lately != list(EVERYBODY)
    assert together_in(lately, SECOND) == together_in(EVERYBODY, SECOND)


def test_who_checked_in_everywhere_graduates() -> None:
    events = [checked_in(PLAN.opens(step.id), step=step.id) for step in PLAN.edition.plan.steps]
    assert together([record(PLAN, joined(), *events)]) == Together(members=1, check_ins=4, graduates=1)


def test_nobody_has_done_nothing() -> None:
    for members in [], [record(PLAN, joined(), Left(IN_TIME))]:
        assert together(members) == NOBODY == together_in(members, FIRST)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(EVERYBODY)), st.integers(0, 10), st.sampled_from((FIRST, SECOND)))
def test_however_they_are_parted_the_counts_add_up(members: list[Record], cut: int, step: Step) -> None:
    assert together(members[:cut]) + together(members[cut:]) == together(members)
    assert together_in(members[:cut], step) + together_in(members[cut:], step) == together_in(members, step)
