"""Local days on the line of instants: right in every zone, across every change of the clocks."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import calendar
from scheduler.calendar import (
    Beat,
    Moment,
    Span,
    UnknownZone,
    deadline,
    end_of_day,
    instant,
    lay_out,
    local_day,
    moment,
    moments,
    opens,
    span_at,
    start_of_day,
    zone,
    zone_names,
)

BERLIN = ZoneInfo("Europe/Berlin")
ONE_DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

every_zone = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
every_day = st.dates(date(1990, 1, 1), date(2037, 12, 31))
every_time = st.times()
every_instant = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 the bounds must be naive


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(at: datetime, where: ZoneInfo) -> datetime:
    return at.astimezone(where).replace(tzinfo=None, fold=0)


# --- instants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "local", "expected"),
    [
        pytest.param("Europe/Berlin", "2026-03-28T09:00", "2026-03-28T08:00", id="nine before the spring change"),
        pytest.param("Europe/Berlin", "2026-03-29T09:00", "2026-03-29T07:00", id="nine after the spring change"),
        pytest.param("Europe/Berlin", "2026-10-24T09:00", "2026-10-24T07:00", id="nine before the autumn change"),
        pytest.param("Europe/Berlin", "2026-10-25T09:00", "2026-10-25T08:00", id="nine after the autumn change"),
        pytest.param("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00", id="the first minute of a gap"),
        pytest.param("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00", id="the middle of a gap"),
        pytest.param("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00", id="the minute after a gap"),
        pytest.param("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30", id="twice means the first"),
        pytest.param("Africa/Cairo", "2026-04-24T00:00", "2026-04-23T22:00", id="Cairo has no midnight"),
        pytest.param("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", id="Lord Howe skips half an hour"),
        pytest.param("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45", id="and repeats half an hour"),
        pytest.param("Pacific/Apia", "2011-12-29T23:59", "2011-12-30T09:59", id="Apia, before the day it skipped"),
        pytest.param("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T10:00", id="Apia, on the day it skipped"),
        pytest.param("Pacific/Apia", "2011-12-31T09:00", "2011-12-30T19:00", id="Apia, after the day it skipped"),
        pytest.param("Africa/Monrovia", "1972-01-06T09:00", "1972-01-06T09:44:30", id="Monrovia, with its seconds"),
        pytest.param("Africa/Monrovia", "1972-01-07T00:10:11.5", "1972-01-07T00:44:30", id="Monrovia gives them up"),
    ],
)
def test_a_local_time_has_one_instant(where: str, local: str, expected: str) -> None:
    wanted = datetime.fromisoformat(local)
    assert instant(wanted.date(), wanted.time(), ZoneInfo(where)) == utc(expected)


@given(every_day, every_zone)
def test_nine_stays_nine(day: date, where: ZoneInfo) -> None:
    """No zone has changed its clocks at nine since 1990; only days that were skipped have no nine o'clock."""
    if start_of_day(day, where) < end_of_day(day, where):
        assert wall(instant(day, time(9), where), where) == datetime.combine(day, time(9))


@given(every_day, every_time, every_zone)
def test_an_instant_is_the_first_at_which_the_wall_has_got_there(day: date, at: time, where: ZoneInfo) -> None:
    """This is gap (the wall jumps past), overlap (it gets there twice) and plain day in one sentence."""
    wanted = datetime.combine(day, at)
    found = instant(day, at, where)
    assert wall(found, where) >= wanted
    for earlier in (MICROSECOND, timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=3)):
        assert wall(found - earlier, where) < wanted


@given(every_day, every_time, every_zone, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_a_later_local_time_is_never_an_earlier_instant(day: date, at: time, where: ZoneInfo, on: timedelta) -> None:
    later = datetime.combine(day, at) + on
    assert instant(day, at, where) <= instant(later.date(), later.time(), where)


def test_an_instant_is_in_utc() -> None:
    assert instant(date(2026, 5, 4), time(9), BERLIN).tzinfo is UTC


def test_a_local_time_with_a_zone_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="a local time is naive"):
        instant(date(2026, 5, 4), time(9, tzinfo=UTC), BERLIN)


@pytest.mark.parametrize("ask", [
    lambda: instant(date.max, time(23), ZoneInfo("America/New_York")),
    lambda: instant(date.min, time(0), ZoneInfo("Asia/Tokyo")),
    lambda: end_of_day(date.max, BERLIN),
])
def test_the_end_of_the_calendar_is_a_clear_error(ask: Callable[[], datetime]) -> None:
    with pytest.raises(ValueError, match="outside the calendar"):
        ask()


def test_a_naive_datetime_is_refused() -> None:
    naive = datetime(2026, 5, 4, 9)  # noqa: DTZ001 the point of the test
    with pytest.raises(ValueError, match="is naive: an instant carries its time zone"):
        local_day(naive, BERLIN)
    with pytest.raises(ValueError, match="is naive"):
        span_at((), naive, BERLIN)


# --- days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 28), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        pytest.param("Africa/Cairo", date(2026, 4, 24), 23, id="Cairo skips the first hour"),
        pytest.param("Africa/Cairo", date(2026, 10, 29), 25, id="Cairo repeats the last hour"),
        pytest.param("America/Havana", date(2026, 11, 1), 25, id="Havana repeats the first hour: one day all the same"),
        pytest.param("America/St_Johns", date(2005, 10, 29), 25, id="St John's falls back over midnight: the old day"),
        pytest.param("America/St_Johns", date(2005, 10, 30), 24, id="is longer, and the new one begins once"),
        pytest.param("Australia/Lord_Howe", date(2026, 10, 4), 23.5, id="Lord Howe, short"),
        pytest.param("Australia/Lord_Howe", date(2026, 4, 5), 24.5, id="Lord Howe, long"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), 0, id="Apia skipped a day"),
        pytest.param("Pacific/Apia", date(2011, 12, 31), 24, id="and lived the next"),
    ],
)
def test_a_local_day_lasts_as_long_as_its_clocks_say(where: str, day: date, hours: float) -> None:
    zone = ZoneInfo(where)
    assert end_of_day(day, zone) - start_of_day(day, zone) == timedelta(hours=hours)


@given(every_day, every_zone)
def test_a_day_ends_where_the_next_begins(day: date, where: ZoneInfo) -> None:
    the_next = Span("next", day + ONE_DAY, day + ONE_DAY)
    assert end_of_day(day, where) == opens(the_next, where) == start_of_day(day + ONE_DAY, where)


@given(every_instant, every_zone)
def test_every_instant_belongs_to_its_local_day(at: datetime, where: ZoneInfo) -> None:
    day = local_day(at, where)
    assert start_of_day(day, where) <= at < end_of_day(day, where)


@given(every_instant, every_zone)
def test_a_local_day_is_the_date_on_the_wall(at: datetime, where: ZoneInfo) -> None:
    """But for the minutes before a clock goes back over midnight, which still belong to the old day."""
    day = local_day(at, where)
    shown = wall(at, where).date()
    if day != shown:
        assert day == shown - ONE_DAY
        assert wall(end_of_day(day, where) - MICROSECOND, where).date() == day


@given(every_instant, st.timedeltas(timedelta(0), timedelta(hours=3)), every_zone)
def test_days_never_go_back(at: datetime, on: timedelta, where: ZoneInfo) -> None:
    assert local_day(at, where) <= local_day(at + on, where)


def test_a_minute_past_midnight_that_comes_twice_is_still_the_old_day() -> None:
    """St John's, 2005: 00:00, 00:01 = 23:01 of the day before, and midnight once more 59 minutes later."""
    newfoundland = ZoneInfo("America/St_Johns")
    first_midnight = instant(date(2005, 10, 30), time(0), newfoundland)
    assert local_day(first_midnight, newfoundland) == date(2005, 10, 29)
    assert end_of_day(date(2005, 10, 29), newfoundland) == first_midnight + timedelta(hours=1)


# --- every zone, a whole year -----------------------------------------------------------------------------------------

YEAR = [date(2026, 1, 1) + timedelta(days=n) for n in range(366)]
ZONES = [ZoneInfo(name) for name in sorted(available_timezones())]


@pytest.mark.parametrize("at", [time(0), time(2, 30), time(9)], ids=str)
def test_a_whole_year_is_right_in_every_zone(at: time) -> None:
    """Each local time is reached on its own day, or is in a gap; then the wall was before it a microsecond ago."""
    for where in ZONES:
        last = utc("2025-12-30")
        for day in YEAR:
            found = instant(day, at, where)
            assert last < found, (where, day)
            if (shown := wall(found, where)) != (wanted := datetime.combine(day, at)):
                assert wall(found - MICROSECOND, where) < wanted < shown, (where, day)
                assert shown - wanted <= timedelta(hours=1), (where, day)
            last = found


def test_a_whole_year_of_days_is_without_gap_or_overlap_in_every_zone() -> None:
    for where in ZONES:
        for day in YEAR:
            ends = end_of_day(day, where)
            assert wall(ends - MICROSECOND, where).date() == day, where
            assert wall(ends, where).date() == day + ONE_DAY, where


# --- a plan on the calendar -------------------------------------------------------------------------------------------

lengths = st.lists(st.integers(1, 10), min_size=1, max_size=15).map(
    lambda days: [(f"step-{number}", length) for number, length in enumerate(days, 1)]
)
beats = st.lists(
    st.builds(
        Beat,
        kind=st.just(""),
        anchor=st.sampled_from(["first", "last"]),
        day=st.integers(-3, 3),
        at=every_time,
        latest_by=st.timedeltas(timedelta(0), timedelta(days=1)),
        on=st.sampled_from(["each", "start", "middle", "end"]),
    ),
    max_size=6,
).map(lambda found: [Beat(f"kind-{n}", b.anchor, b.day, b.at, b.latest_by, b.on) for n, b in enumerate(found)])


def beat(
    kind: str,
    anchor: Literal["first", "last"] = "first",
    day: int = 0,
    at: time = time(9),
    on: Literal["each", "start", "middle", "end"] = "each",
) -> Beat:
    return Beat(kind, anchor, day, at, timedelta(hours=3), on)


def test_spans_follow_each_other() -> None:
    assert lay_out([("one", 7), ("two", 1), ("three", 5)], date(2026, 2, 23)) == (
        Span("one", date(2026, 2, 23), date(2026, 3, 1)),
        Span("two", date(2026, 3, 2), date(2026, 3, 2)),
        Span("three", date(2026, 3, 3), date(2026, 3, 7)),
    )
    assert lay_out([], date(2026, 2, 23)) == ()


def test_a_plan_may_end_on_the_last_day_there_is_but_not_after_it() -> None:
    assert lay_out([("one", 7)], date(9999, 12, 25))[-1].last == date.max
    with pytest.raises(ValueError, match="outside the calendar, which ends on 9999-12-31"):
        lay_out([("one", 7), ("two", 1)], date(9999, 12, 25))
    with pytest.raises(ValueError, match="outside the calendar"):
        lay_out([("one", 10**12)], date(2026, 1, 1))


@pytest.mark.parametrize("days", [0, -7])
def test_a_span_lasts_a_day_at_least(days: int) -> None:
    with pytest.raises(ValueError, match=f"'two' lasts {days} days: a span lasts at least one"):
        lay_out([("one", 7), ("two", days)], date(2026, 1, 1))


def test_two_spans_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two spans are called 'one'"):
        lay_out([("one", 7), ("one", 7)], date(2026, 1, 1))


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Span("one", date(2026, 1, 2), date(2026, 1, 1))


@given(lengths, every_day, every_zone, every_instant)
def test_every_instant_of_a_plan_belongs_to_exactly_one_span(
    given_lengths: list[tuple[str, int]], start: date, where: ZoneInfo, anywhen: datetime
) -> None:
    spans = lay_out(given_lengths, start)
    begins, ends = opens(spans[0], where), end_of_day(spans[-1].last, where)
    within = begins + (anywhen - utc("1990-01-01")) % max(ends - begins, MICROSECOND)
    edges = [edge for span in spans for edge in (opens(span, where), end_of_day(span.last, where))]
    for at in (anywhen, within, *edges, *(edge - MICROSECOND for edge in edges)):
        holding = [span for span in spans if opens(span, where) <= at < end_of_day(span.last, where)]
        assert len(holding) == (begins <= at < ends)
        assert span_at(spans, at, where) == (holding[0] if holding else None)


@given(every_day, st.integers(0, 9), every_zone, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_a_deadline_never_comes_before_the_last_local_day_is_over(
    first: date, days: int, where: ZoneInfo, grace: timedelta
) -> None:
    last = first + timedelta(days=days)
    closes = deadline(Span("one", first, last), where, grace)
    for later in (timedelta(0), timedelta(minutes=1), timedelta(minutes=59), timedelta(hours=2)):
        assert wall(closes + later, where).date() > last
    assert closes - grace == end_of_day(last, where)


def test_a_deadline_is_the_members_own() -> None:
    week = Span("one", date(2026, 5, 4), date(2026, 5, 10))
    grace = timedelta(hours=12)
    assert deadline(week, ZoneInfo("Asia/Tokyo"), grace) == utc("2026-05-11T03:00")
    assert deadline(week, ZoneInfo("America/New_York"), grace) == utc("2026-05-11T16:00")


def test_a_grace_cannot_take_time_away() -> None:
    with pytest.raises(ValueError, match="would take time away"):
        deadline(Span("one", date(2026, 5, 4), date(2026, 5, 10)), BERLIN, timedelta(hours=-1))


# --- what falls due ---------------------------------------------------------------------------------------------------


def test_a_rhythm_over_a_plan() -> None:
    """Two weeks across Berlin's spring change: nine stays nine, and what is at one instant keeps the order of beats."""
    one, two = spans = lay_out([("one", 7), ("two", 7)], date(2026, 3, 23))
    rhythm = [
        beat("welcome", day=-2, on="start"),
        beat("week_closes", "last", day=1),
        beat("week_opens"),
        beat("half_time", day=2, at=time(12), on="middle"),
        beat("nudge", "last", at=time(2, 30)),
        beat("graduation", "last", at=time(18), on="end"),
    ]

    def due(at: str, kind: str, span: Span) -> Moment:
        return Moment(utc(at), kind, span, utc(at) + timedelta(hours=3))

    assert moments(spans, rhythm, BERLIN) == (
        due("2026-03-21T08:00", "welcome", one),
        due("2026-03-23T08:00", "week_opens", one),
        due("2026-03-29T01:00", "nudge", one),          # 02:30 does not exist that night
        due("2026-03-30T07:00", "week_closes", one),
        due("2026-03-30T07:00", "week_opens", two),
        due("2026-04-01T10:00", "half_time", two),
        due("2026-04-05T00:30", "nudge", two),
        due("2026-04-05T16:00", "graduation", two),
        due("2026-04-06T07:00", "week_closes", two),
    )


@pytest.mark.parametrize(("steps", "middle"), [(1, "1"), (2, "2"), (3, "2"), (12, "7"), (13, "7")])
def test_the_middle_of_an_even_number_opens_the_second_half(steps: int, middle: str) -> None:
    spans = lay_out([(str(number), 7) for number in range(1, steps + 1)], date(2026, 5, 4))
    assert [found.span.id for found in moments(spans, [beat("half_time", on="middle")], BERLIN)] == [middle]


def test_a_plan_without_steps_has_no_moments() -> None:
    assert moments((), [beat("welcome", on="start"), beat("week_opens")], BERLIN) == ()


@given(lengths, every_day, beats, every_zone)
def test_moments_are_sorted_and_each_is_one_of_its_kind(
    given_lengths: list[tuple[str, int]], start: date, rhythm: list[Beat], where: ZoneInfo
) -> None:
    spans = lay_out(given_lengths, start)
    found = moments(spans, rhythm, where)
    kinds = [beat.kind for beat in rhythm]
    order = [(each.due, kinds.index(each.kind), spans.index(each.span)) for each in found]
    assert order == sorted(order)
    assert len({(each.kind, each.span.id) for each in found}) == len(found)
    assert len(found) == sum(len(spans) if beat.on == "each" else 1 for beat in rhythm)
    assert set(found) <= {moment(beat, span, where) for beat in rhythm for span in spans}


def test_two_posts_of_one_kind_for_one_span_are_refused() -> None:
    """Kind and span are the key of a delivery: the second would silently never go out."""
    spans = lay_out([("one", 7), ("two", 7)], date(2026, 5, 4))
    with pytest.raises(ValueError, match="span 'one' would get 'nudge' 2 times"):
        moments(spans, [beat("nudge"), beat("nudge", day=3, on="start")], BERLIN)
    assert len(moments(spans, [beat("nudge", on="end"), beat("nudge", on="start")], BERLIN)) == 2


def test_a_beat_that_is_too_late_before_it_is_due_is_refused() -> None:
    with pytest.raises(ValueError, match="beat 'nudge': it would be too late before it is due"):
        Beat("nudge", "last", 0, time(9), timedelta(hours=-1), "each")


def test_a_beat_is_at_a_local_time() -> None:
    with pytest.raises(ValueError, match=r"beat 'nudge': .* a local time is naive"):
        beat("nudge", at=time(9, tzinfo=UTC))


# --- the names of zones -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        (" AMERICA/new york ", "America/New_York"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("new_york", "America/New_York"),
        ("utc", "UTC"),
        ("etc/gmt+5", "Etc/GMT+5"),
        pytest.param("Istanbul", "Europe/Istanbul", id="one city under two names"),
        pytest.param("buenos aires", "America/Argentina/Buenos_Aires", id="today's name of a city that has two"),
    ],
)
def test_a_zone_is_found_as_people_type_it(typed: str, meant: str) -> None:
    assert zone(typed).key == meant


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("Berln", "Europe/Berlin"),
        ("newyork", "America/New_York"),
        ("Europe/Berlinn", "Europe/Berlin"),
        ("los angeles, california", "America/Los_Angeles"),
        pytest.param("eastern", "US/Eastern", id="a name for more than one time"),
    ],
)
def test_a_zone_that_is_not_known_is_refused_with_the_nearest(typed: str, offered: str) -> None:
    with pytest.raises(UnknownZone, match=f"'{typed}' is no time zone; did you mean .*{offered}") as refused:
        zone(typed)
    assert refused.value.name == typed
    assert offered in refused.value.nearest
    assert set(refused.value.nearest) <= set(zone_names())


@pytest.mark.parametrize(
    "typed", ["", " ", "../../etc/passwd", "/etc/localtime", "Europe/../Europe/Berlin", "\0", "Factory", "x" * 10**6]
)
def test_what_is_no_name_is_refused_like_any_other(typed: str) -> None:
    with pytest.raises(UnknownZone) as refused:
        zone(typed)
    assert len(str(refused.value)) < 300


def test_nobody_is_offered_a_zone_whose_sign_is_reversed() -> None:
    """Etc/GMT+5 is five hours behind Greenwich; who types GMT+5 means five hours ahead."""
    with pytest.raises(UnknownZone) as refused:
        zone("GMT+5")
    assert not [name for name in (*refused.value.nearest, *zone_names()) if name.startswith("Etc/")]


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=50))
def test_any_text_is_a_zone_or_a_refusal(typed: str) -> None:
    try:
        assert isinstance(zone(typed), ZoneInfo)
    except UnknownZone:
        pass


def test_every_name_offered_is_taken() -> None:
    assert list(zone_names()) == sorted(set(zone_names()))
    assert [zone(name).key for name in zone_names()] == list(zone_names())
    assert {"UTC", "Europe/Berlin", "Asia/Kolkata", "America/Argentina/Ushuaia"} <= set(zone_names())


@given(every_zone)
def test_every_zone_finds_itself(where: ZoneInfo) -> None:
    if where.key not in calendar._NO_PLACES:
        assert zone(where.key.lower().replace("_", " ")) is where
