"""Citations are found for the site and leave no trace in chat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.citations import citations, strip


@pytest.mark.parametrize(("text", "stripped"), [
    ("Costs rise [@wrok].", "Costs rise."),
    ("Costs rise [@wrok] [@three-ladders], and pay too [@scaler].", "Costs rise, and pay too."),
    ("Costs rise [@wrok][@scaler].", "Costs rise."),
    ("Costs rise [@wrok], [@scaler].", "Costs rise."),
    ("Costs rise ([@wrok]; [@scaler]).", "Costs rise."),
    ("Costs rise\n[@wrok].", "Costs rise."),
    ("Costs rise\n  [@wrok] and fall.", "Costs rise\n  and fall."),
    ("Costs rise.\n[@wrok]\nThey fall.", "Costs rise.\nThey fall."),
    ("One.\n\n[@wrok] says two.", "One.\n\nsays two."),
    ("- [@wrok] says one\n- two [@scaler]\n", "- says one\n- two\n"),
    ("| pay [@wrok] | high |", "| pay | high |"),
    ("Ask [@somebody](https://example.org) first [@wrok].", "Ask [@somebody](https://example.org) first."),
    ("Mail me@example.org, see [1] and [x].", "Mail me@example.org, see [1] and [x]."),
])
def test_a_citation_goes_with_the_space_that_stood_for_it(text: str, stripped: str) -> None:
    assert strip(text) == stripped


def test_citations_are_told_in_order_and_as_often_as_they_stand() -> None:
    text = "One [@wrok]. Two [@scaler][@wrok], not [@me](https://example.org)."
    assert citations(text) == ("wrok", "scaler", "wrok")


SCRAPS = st.lists(st.sampled_from(["[@a]", "[@", *"][() \n\t.,;a-"])).map("".join)


@given(SCRAPS | st.text())
def test_stripping_twice_is_stripping_once_and_leaves_no_citation(text: str) -> None:
    assert strip(strip(text)) == strip(text)
    assert citations(strip(text)) == ()


@given(SCRAPS | st.text())
def test_stripping_takes_citations_and_what_binds_them_and_no_word(text: str) -> None:
    """A text without citations is left as it is."""
    if not citations(text):
        assert strip(text) == text
