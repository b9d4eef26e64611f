"""What was typed into the check-in form, read with good will and refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.checkin import LONGEST_LINK, Report, read
from bot.cohort.refusals import BadHours, BadLink, Refused, TooLong, TooManyLinks, UnknownChoice, UnknownTask
from tests.bot.cohort.build import course, step

FORM = course().edition.rules.check_in


def report(*done: str, hours: str = "", links: str = "", notes: str = "", confidence: str = "") -> Report:
    return read(FORM, step(), done=done, hours=hours, links=links, notes=notes, confidence=confidence)


def test_everything_may_be_left_empty() -> None:
    """"Nothing done this week" is a check-in too."""
    assert report() == Report((), None, (), "", "")


def test_all_of_it_is_read() -> None:
    assert report("s1", "m1", hours="6.5", links="https://a.org http://b.org/x?y#z", notes="N", confidence="Sure") == \
        Report(("m1", "s1"), 6.5, ("https://a.org", "http://b.org/x?y#z"), "N", "Sure")


def test_tasks_come_in_the_order_of_the_plan_and_once() -> None:
    assert report("s2", "m2", "m1", "m2").done == ("m1", "m2", "s2")


def test_a_task_that_the_step_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownTask):
        report("m1", "of-last-year")


@pytest.mark.parametrize(("typed", "hours"), [
    ("6", 6), ("6.5", 6.5), ("6,5", 6.5), ("6.5h", 6.5), ("6 h", 6), ("6 Hours", 6), ("1 hour", 1), ("3 hrs", 3),
    (".5", 0.5), ("0", 0), ("007", 7), ("100", 100), ("", None),
])
def test_hours_are_read_as_people_write_them(typed: str, hours: float | None) -> None:
    assert report(hours=typed).hours == hours


@pytest.mark.parametrize("typed", ["-1", "1e9", "٣", "\uff13", "nan", "inf", "6.555", "100.01", "1000", "9" * 400,
                                   "6 7", "six", "6:30", "1_0", "0x1", "h", ".", "6ours"])
def test_what_is_no_number_of_hours_is_refused_and_quoted_briefly(typed: str) -> None:
    with pytest.raises(BadHours) as refused:
        report(hours=typed)
    assert refused.value.values() == {"given": typed[:40], "most": 100}


def test_links_may_be_parted_by_lines_blanks_or_commas_and_count_once() -> None:
    assert report(links="https://a.org,\nhttps://b.org; https://a.org , ").links == ("https://a.org", "https://b.org")


@pytest.mark.parametrize("typed", ["a.org", "ftp://a.org", "javascript:alert(1)", "https://", "https://[", "//a.org",
                                   "https:a.org", "mailto:a@b.org", "file:///etc/passwd", "<https://a.org>",
                                   "https://a.org/" + "x" * LONGEST_LINK])
def test_what_is_no_web_address_is_refused_and_quoted_briefly(typed: str) -> None:
    with pytest.raises(BadLink) as refused:
        report(links=f"https://good.org {typed}")
    assert refused.value.values() == {"given": typed[:60]}


def test_no_more_links_than_the_form_takes() -> None:
    links = [f"https://a.org/{number}" for number in range(6)]
    assert report(links=" ".join(links[:5])).links == tuple(links[:5])
    with pytest.raises(TooManyLinks) as refused:
        report(links=" ".join(links))
    assert refused.value.values() == {"given": 6, "most": 5}


def test_notes_that_are_too_long_are_refused_at_their_field() -> None:
    assert report(notes="x" * 1000).notes == "x" * 1000
    with pytest.raises(TooLong) as refused:
        report(notes="x" * 1001)
    assert (refused.value.values(), refused.value.field) == (
        {"label": FORM.notes.label, "given": 1001, "most": 1000}, "notes")


def test_an_answer_that_is_none_of_the_list_is_refused() -> None:
    with pytest.raises(UnknownChoice) as refused:
        report(confidence="S" * 99)
    assert refused.value.values() == {"given": "S" * 40}


typed = st.text(max_size=40)
near = st.one_of(typed, st.from_regex(r"[\d.,]{0,5} ?h?", fullmatch=True))
near_links = st.one_of(typed, st.lists(st.one_of(typed, typed.map("https://{}".format))).map(" ".join))


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["m1", "m2", "s1", "s2", "x"])), near, near_links, typed,
       st.one_of(typed, st.sampled_from(FORM.confidence.options)))
def test_whatever_is_typed_is_read_or_refused(done: list[str], hours: str, links: str, notes: str,
                                              confidence: str) -> None:
    """A form that dies of a strange character loses what somebody wrote for an hour."""
    try:
        found = report(*done, hours=hours, links=links, notes=notes, confidence=confidence)
    except Refused:
        return
    assert found.notes == notes
    assert found.hours is None or 0 <= found.hours <= FORM.hours.most
    assert len(found.links) <= FORM.evidence.most
    assert all(link.startswith(("https://", "http://")) or "://" in link.lower() for link in found.links)
