"""Who stands where."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.standings import Standing, standings


def test_equal_totals_share_a_place_and_the_next_is_skipped() -> None:
    assert standings([("Cedar", 30), ("Alder", 50), ("birch", 50)]) == [
        Standing(1, "Alder", 50), Standing(1, "birch", 50), Standing(3, "Cedar", 30)]


def test_names_that_differ_by_case_alone_have_one_order_too() -> None:
    """They came in the order in which they were stored, so by who joined first."""
    assert standings([("ana", 5), ("Ana", 5)]) == standings([("Ana", 5), ("ana", 5)])


def test_who_has_no_points_has_no_place() -> None:
    """A board that lists zeros shames whom it should invite."""
    assert standings([("Alder", 0), ("Birch", -5), ("Cedar", 1)]) == [Standing(1, "Cedar", 1)]
    assert standings([("Alder", 0)]) == []


totals = st.lists(st.tuples(st.text("abAB ä", min_size=1, max_size=3), st.integers(-3, 5)), max_size=12)


@settings(max_examples=100)
@given(totals, st.randoms(use_true_random=False))
def test_the_order_of_joining_breaks_no_tie(given_totals: list[tuple[str, int]], random: Random) -> None:
    assert standings(random.sample(given_totals, len(given_totals))) == standings(given_totals)


@settings(max_examples=100)
@given(totals)
def test_a_place_is_one_more_than_those_who_have_more(given_totals: list[tuple[str, int]]) -> None:
    found = standings(given_totals)
    assert [one.place for one in found] == [1 + sum(points > one.points for _, points in given_totals)
                                            for one in found]
