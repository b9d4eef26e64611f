"""The calendar files that the build leaves for readers without JavaScript, read by an iCalendar library."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Event

from content.model import Plan
from docs.calendar_files import calendar, nominal_start
from docs.pages import plain
from tests.content.build import SMALL

FORTNIGHT = yaml.safe_load(SMALL)["plans"]["fortnight"]
START = date(2027, 3, 22)


def plan(**changed: str) -> Plan:
    """The small guide's fortnight, with other words in its first step."""
    first, *others = FORTNIGHT["steps"]
    return Plan.model_validate(FORTNIGHT | {"steps": [first | changed, *others]}, strict=False)


def parsed(text: str) -> list[Event]:
    return Calendar.from_ical(text).events


def events(text: str) -> list[dict[str, object]]:
    return [{"uid": str(event["UID"]), "summary": str(event["SUMMARY"]), "first": event.start,
             "until": event.end} for event in parsed(text)]


def test_each_step_is_an_event_over_its_days() -> None:
    """The end of a whole day is the day after it (RFC 5545, 3.6.1)."""
    assert events(calendar("fortnight", plan(), START)) == [
        {"uid": "fortnight.week-1.20270322@ninety", "summary": "Week 1: Find things",
         "first": date(2027, 3, 22), "until": date(2027, 3, 29)},
        {"uid": "fortnight.week-2.20270322@ninety", "summary": "Week 2: Measure things",
         "first": date(2027, 3, 29), "until": date(2027, 4, 5)},
    ]


def test_other_words_are_the_same_event_and_another_start_is_another() -> None:
    uids = [event["uid"] for event in events(calendar("fortnight", plan(), START))]
    reworded = [event["uid"] for event in events(calendar("fortnight", plan(title="Seek"), START))]
    later = [event["uid"] for event in events(calendar("fortnight", plan(), START + timedelta(days=7)))]
    assert uids == reworded and len({*uids, *later}) == 4


def test_the_tasks_stand_in_the_description_without_marks_or_citations() -> None:
    described = parsed(calendar("fortnight", plan(goal="Search **by meaning** [@wrok]"), START))
    assert str(described[0]["DESCRIPTION"]) == (
        "Search by meaning\n\n- Read about vectors (2 h)\n- Build an index (4 h, stretch)")


@settings(max_examples=60)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=200))
def test_any_words_come_out_as_they_went_in(words: str) -> None:
    """Through escaping and folding; no line is longer than 75 octets, and each ends with CRLF."""
    step = plan().steps[0].model_copy(update={"title": f"x{words}x"})
    text = calendar("fortnight", plan().model_copy(update={"steps": (step, plan().steps[1])}), START)
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert text.endswith("END:VCALENDAR\r\n") and "\n" not in text.replace("\r\n", "")
    assert events(text)[0]["summary"] == f"Week 1: {plain(step.title)}"


@pytest.mark.parametrize(("reviewed", "start"), [("2026-11", date(2026, 12, 7)), ("2026-12", date(2027, 1, 4)),
                                                 ("2027-01", date(2027, 2, 1))])
def test_the_nominal_start_is_the_first_monday_after_the_review(reviewed: str, start: date) -> None:
    assert nominal_start(reviewed) == start and start.weekday() == 0
