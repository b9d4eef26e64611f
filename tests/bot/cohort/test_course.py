"""Which step is meant, and until when: the deadline is the end of the member's own day, and stays where it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.journal import Event, Left
from bot.cohort.refusals import BeforeYouJoined, CohortOver, NotOpenYet, NotStarted, TooLate, UnknownStep
from scheduler import calendar
from tests.bot.cohort.build import course, joined, local, moved, place, rules, utc

NONE: frozenset[str] = frozenset()
ZONES = ("Pacific/Kiritimati", "Pacific/Auckland", "Asia/Tokyo", "Asia/Kathmandu", "Asia/Kolkata", "Europe/Berlin",
         "Europe/London", "UTC", "America/St_Johns", "America/New_York", "America/Los_Angeles", "Pacific/Pago_Pago")


# --- the course -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_the_deadline_is_the_end_of_the_members_own_last_day_and_the_grace(zone: str) -> None:
    """"Whose midnight?" is what people ask of cohorts most; the answer is: yours."""
    assert course().deadline("week-1", ZoneInfo(zone)) == local("2026-11-30T06:00", zone)


def test_a_week_with_a_clock_change_ends_at_the_members_midnight_all_the_same() -> None:
    plan = course(7, 7, zone="Europe/Berlin", start=datetime(2026, 10, 19, tzinfo=UTC).date())
    berlin = plan.deadline("week-1", ZoneInfo("Europe/Berlin"))
    assert berlin == local("2026-10-26T06:00", "Europe/Berlin")
    assert berlin - plan.opens("week-1") == timedelta(days=7, hours=1 + 6)  # back to winter time: an hour more


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(ZONES))), st.integers(0, 30))
def test_a_deadline_that_is_asked_for_again_is_the_one_that_the_calendar_tells(asked: list[tuple[int, str]],
                                                                               grace: int) -> None:
    """A course remembers them, for each step and zone: neither may stand in for another."""
    plan = course(by=rules(grace_hours=grace))
    for _ in range(2):
        assert [plan.deadline(plan.spans[number].id, ZoneInfo(zone)) for number, zone in asked] == [
            calendar.deadline(plan.spans[number], ZoneInfo(zone), timedelta(hours=grace)) for number, zone in asked]


def test_the_last_step_may_be_shorter_and_ends_on_its_own_day() -> None:
    assert course().deadline("week-4", ZoneInfo("Europe/Berlin")) == local("2026-12-20T06:00", "Europe/Berlin")


def test_a_step_opens_for_everybody_at_the_cohorts_midnight_and_is_announced_in_the_morning() -> None:
    plan = course()
    assert (plan.opens("week-2"), plan.announced("week-2")) == (
        local("2026-11-30T00:00", "Europe/Berlin"), local("2026-11-30T09:00", "Europe/Berlin"))


def test_what_is_running_changes_at_midnight_and_the_last_one_goes_on() -> None:
    plan = course()
    second = plan.opens("week-2")
    assert [plan.running(at) for at in (utc("2026-11-01T00:00"), second - timedelta(seconds=1), second, plan.ends,
                                        plan.ends + timedelta(days=90))] == [None, "week-1", "week-2", "week-4",
                                                                             "week-4"]


@pytest.mark.parametrize("given_", ["3", " 3 ", "03", "week 3", "Week 3", "week3", "week-3", "WEEK-3"])
def test_a_step_is_found_by_its_number_or_its_id(given_: str) -> None:
    assert course().find(given_) == "week-3"


@pytest.mark.parametrize("given_", ["0", "5", "-1", "week", "weekly", "3.0", "9" * 5000, "٣", "\uff13", "²", "3 4",
                                    "weak 3"])
def test_what_names_no_step_is_refused_and_quoted_briefly(given_: str) -> None:
    with pytest.raises(UnknownStep) as refused:
        course().find(given_)
    assert refused.value.values() == {"given": given_[:40], "last": 4}


@settings(max_examples=100)
@given(st.text())
def test_whatever_is_typed_names_a_step_or_is_refused(typed: str) -> None:
    plan = course()
    try:
        assert plan.number(plan.find(typed)) in (1, 2, 3, 4)
    except UnknownStep:
        pass


# --- the zone that counts ---------------------------------------------------------------------------------------------


def test_moving_during_a_step_changes_nothing_until_the_next() -> None:
    """Who flies west on Friday wins no time, and who flies east loses none."""
    plan = course()
    member = place(plan, joined(), moved(utc("2026-11-27T12:00"), "America/Los_Angeles"))
    assert [member.deadline(one) for one in ("week-1", "week-2")] == [
        local("2026-11-30T06:00", "Europe/Berlin"), local("2026-12-07T06:00", "America/Los_Angeles")]


def test_moving_at_the_very_opening_counts() -> None:
    plan = course()
    assert place(plan, joined(), moved(plan.opens("week-2"), "Asia/Tokyo")).zone_for("week-2").key == "Asia/Tokyo"


def test_a_late_joiner_has_the_zone_they_joined_with() -> None:
    member = place(course(), joined(utc("2026-12-02T12:00"), "Asia/Tokyo", "week-2"))
    assert member.deadline("week-2") == local("2026-12-07T06:00", "Asia/Tokyo")


def test_coming_back_in_another_zone_wins_no_time_either() -> None:
    """Else /cohort leave and /cohort join from Pago Pago would be a day off the deadline."""
    away: list[Event] = [Left(utc("2026-11-29T20:00")), joined(utc("2026-11-29T20:01"), "Pacific/Pago_Pago")]
    assert place(course(), joined(), *away).deadline("week-1") == local("2026-11-30T06:00", "Europe/Berlin")


during = st.integers(1, 7 * 24 * 3600 - 1).map(lambda seconds: course().opens("week-2") + timedelta(seconds=seconds))


@settings(max_examples=100)
@given(st.lists(st.tuples(during, st.sampled_from(ZONES)), max_size=5), st.sampled_from(ZONES))
def test_no_journey_during_a_step_changes_its_deadline(moves: list[tuple[datetime, str]], home: str) -> None:
    plan = course()
    travelled = place(plan, joined(zone=home), *[moved(at, zone) for at, zone in sorted(moves)])
    assert [travelled.deadline(one) for one in ("week-1", "week-2")] == [
        plan.deadline(one, ZoneInfo(home)) for one in ("week-1", "week-2")]


# --- what may be checked in -------------------------------------------------------------------------------------------


def test_a_step_can_be_checked_in_from_its_opening_until_late_check_ins_close() -> None:
    plan = course()
    member = place(plan, joined())
    opens, closed = plan.opens("week-1"), local("2026-11-30T06:00", "Europe/Berlin") + timedelta(days=14)
    for at in (opens, closed - timedelta(seconds=1)):
        member.check("week-1", at)
    with pytest.raises(NotOpenYet) as early:
        member.check("week-1", opens - timedelta(seconds=1))
    with pytest.raises(TooLate) as late:
        member.check("week-1", closed)
    assert early.value.values() == {"step": "Step 1", "opens": plan.announced("week-1")}
    assert late.value.values() == {"step": "Step 1", "closed": closed}


def test_what_ran_before_they_joined_is_not_theirs() -> None:
    with pytest.raises(BeforeYouJoined) as refused:
        place(course(), joined(utc("2026-12-02T12:00"), first="week-2")).check("week-1", utc("2026-12-02T13:00"))
    assert refused.value.values() == {"step": "Step 1", "first": "Step 2"}


def test_who_comes_back_may_still_say_what_they_finished_before_they_left() -> None:
    back = place(course(), joined(), Left(utc("2026-12-01T12:00")), joined(utc("2026-12-02T12:00"), first="week-2"))
    back.check("week-1", utc("2026-12-02T13:00"))
    assert (back.first, [step.id for step in back.own_steps]) == ("week-2", ["week-1", "week-2", "week-3", "week-4"])


# --- what /checkin means ----------------------------------------------------------------------------------------------


def meant(at: str, *settled: str, given: str = "", zone: str = "Europe/Berlin") -> str:
    return place(course(), joined(zone=zone)).meant(given, frozenset(settled), local(at, zone))


def test_it_means_the_step_that_is_running() -> None:
    assert meant("2026-12-02T20:00") == "week-2"


def test_it_means_the_one_that_is_named() -> None:
    assert meant("2026-12-02T20:00", given="week 1") == "week-1"


def test_on_monday_morning_it_means_last_week_while_that_is_owed() -> None:
    """At two in the night nobody means the week that has just begun; six hours of grace are for them."""
    assert meant("2026-11-30T02:00") == "week-1"
    assert meant("2026-11-30T05:59") == "week-1"
    assert meant("2026-11-30T06:00") == "week-2"


def test_on_monday_morning_it_means_this_week_when_last_week_is_settled() -> None:
    assert meant("2026-11-30T02:00", "week-1") == "week-2"


def test_sent_again_it_amends_the_running_step() -> None:
    assert meant("2026-12-02T20:00", "week-1", "week-2") == "week-2"


def test_west_of_the_cohort_sunday_evening_is_still_this_week() -> None:
    """The cohort's Monday has begun in Berlin; in Los Angeles it is Sunday, three in the afternoon."""
    assert meant("2026-11-29T15:30", zone="America/Los_Angeles") == "week-1"


def test_after_the_last_deadline_it_means_the_last_step_until_that_closes() -> None:
    assert meant("2026-12-21T20:00") == "week-4"
    with pytest.raises(CohortOver):
        meant("2027-01-03T06:00")


def test_before_the_start_it_is_refused_with_the_morning_on_which_the_room_reads_of_it() -> None:
    with pytest.raises(NotStarted) as refused:
        meant("2026-11-22T20:00")
    assert refused.value.values() == {"start": course().announced("week-1")}


def test_where_late_check_ins_are_not_taken_the_next_step_is_named_and_not_the_end() -> None:
    """In Auckland the week is over before Los Angeles opens the next; "this cohort is over" would be a fright."""
    plan = course(zone="America/Los_Angeles", by=rules(late_days=0))
    member = place(plan, joined(zone="Pacific/Auckland"))
    with pytest.raises(NotOpenYet) as refused:
        member.meant("", NONE, local("2026-11-30T08:00", "Pacific/Auckland"))
    assert refused.value.values() == {"step": "Step 2", "opens": plan.announced("week-2")}


def test_who_joins_for_the_next_step_hears_when_it_opens() -> None:
    member = place(course(), joined(utc("2026-11-29T12:00"), first="week-2"))
    with pytest.raises(NotOpenYet) as refused:
        member.meant("", NONE, utc("2026-11-29T13:00"))
    assert refused.value.step == "Step 2"


@settings(max_examples=100)
@given(st.integers(-5 * 24, 60 * 24).map(lambda hours: utc("2026-11-23T00:30") + timedelta(hours=hours)),
       st.frozensets(st.sampled_from(["week-1", "week-2", "week-3", "week-4"])), st.sampled_from(ZONES))
def test_what_it_means_can_always_be_checked_in(at: datetime, settled: frozenset[str], zone: str) -> None:
    """A form that opens and is refused when it is sent is the worst of both."""
    member = place(course(), joined(zone=zone))
    try:
        step_id = member.meant("", settled, at)
    except (NotStarted, NotOpenYet, CohortOver):
        return
    member.check(step_id, at)
