"""Names that a board can show, and aliases that say nothing of the person."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cohort.enrolment import LONGEST_NAME, PLAIN, alias, check_free, folded, name
from bot.cohort.refusals import NameTaken, NameTooLong, NoName, Refused
from content.model import Privacy
from tests.bot.cohort.build import course

PRIVACY: Privacy = course().edition.rules.privacy
PAIRS = [f"{adjective} {noun}" for adjective in PRIVACY.aliases_adjectives for noun in PRIVACY.aliases_nouns]
calm = settings(max_examples=100)


@pytest.mark.parametrize(("typed", "shown"), [
    ("Ana", "Ana"),
    ("  Ana   Maria ", "Ana Maria"),
    ("Ana\nMaria\t2", "Ana Maria 2"),                              # one line, and its words stay apart
    ("Ana\u2028Maria", "Ana Maria"),
    ("A\u200bn\u2060a\ufeff", "Ana"),                              # zero width
    ("\u202eanA", "anA"),                                          # right-to-left override
    ("A\u3164n\u2800a", "Ana"),                                    # blanks that count as letter and symbol
    ("\u200dAna\u200d", "Ana"),
    ("👩\u200d👩\u200d👧 Ana", "👩\u200d👩\u200d👧 Ana"),
    ("❤\ufe0f", "❤\ufe0f"),
    ("\U0001fa77", "\U0001fa77"),                                  # the pink heart of 2022, unknown to Python 3.11
    ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),  # Persian needs its non-joiner
    ("e\u0301", "é"),                                              # NFC
    ("e\u200b\u0301", "é"),                                        # also where something invisible was between them
    ("*Ana* <@123>", "*Ana* <@123>"),                              # markup is text; renderers escape it
    ("...", "..."),
])
def test_a_name_is_one_line_that_can_be_seen(typed: str, shown: str) -> None:
    assert name(typed) == shown


@pytest.mark.parametrize("typed", ["", "   ", "\n", "\u200b", "\u200d\u200d", "\u3164", "\u2800", "\u0301", "\ufe0f",
                                   "\ud800", "\ue000", "\u202e \u202c"])
def test_a_name_that_cannot_be_seen_is_refused(typed: str) -> None:
    """A board with a nameless first place looks broken to everybody."""
    with pytest.raises(NoName):
        name(typed)


def test_a_name_is_as_long_as_discords_at_most() -> None:
    assert name("a" * 32) == "a" * 32
    with pytest.raises(NameTooLong) as refused:
        name("a" * 33)
    assert refused.value.values() == {"given": 33, "most": 32}


def test_what_is_not_shown_does_not_count_against_the_length() -> None:
    assert name(" \u200b".join("a" * 16)) == " ".join("a" * 16)


@calm
@given(st.text())
def test_a_name_is_refused_or_clean_and_stays_itself(typed: str) -> None:
    try:
        shown = name(typed)
    except Refused:
        return
    assert name(shown) == shown == " ".join(shown.split()) == unicodedata.normalize("NFC", shown)
    assert 1 <= len(shown) <= LONGEST_NAME
    shown.encode()
    assert folded(folded(shown)) == folded(shown) != ""


@pytest.mark.parametrize("same", ["ANA", "ana", "\uff21\uff4e\uff41", "A\u200dna", "A\u200cna", "Ana\ufe0f"])
def test_a_name_that_looks_the_same_is_taken(same: str) -> None:
    with pytest.raises(NameTaken) as refused:
        check_free(same, {folded("Ana")})
    assert refused.value.values() == {"given": same}


def test_a_name_that_looks_different_is_free() -> None:
    for other in ("Anna", "Aña", "Ana M"):
        check_free(other, {folded("Ana")})


# --- aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_is_two_words_of_the_lists_and_the_same_for_the_same_seed() -> None:
    assert alias(PRIVACY, "salt:account", ()) == alias(PRIVACY, "salt:account", ()) in PAIRS


def test_an_alias_that_is_taken_is_passed_over() -> None:
    first = alias(PRIVACY, "seed", ())
    second = alias(PRIVACY, "seed", {folded(first)})
    assert second in PAIRS
    assert set(first.split()).isdisjoint(second.split())


def test_a_cohort_larger_than_the_lists_has_aliases_still_and_all_differ() -> None:
    taken: set[str] = set()
    for _ in range(len(PAIRS) + 3):
        found = alias(PRIVACY, "the same seed for all", taken)
        assert found.rstrip(" 0123456789") in PAIRS
        assert folded(found) not in taken
        taken.add(folded(found))


def test_a_newcomer_to_ten_thousand_gets_an_alias_after_a_few_looks_into_the_database() -> None:
    class Crowd(set[str]):
        looks = 0

        def __contains__(self, name: object) -> bool:
            self.looks += 1
            return super().__contains__(name)

    crowd = Crowd(map(folded, PAIRS))
    for number in range(10_000):
        crowd.looks = 0
        found = alias(PRIVACY, f"salt:{number}", crowd)
        assert crowd.looks <= 8 * PLAIN, found
        crowd.add(folded(found))
    assert len(crowd) == len(PAIRS) + 10_000


def test_an_alias_cannot_be_worked_out_without_the_salt() -> None:
    """Account ids are public: hashed alone, anybody could hash them too and read the board by name."""
    accounts = [f"local:{number}" for number in range(20)]
    one, other = ([alias(PRIVACY, f"{salt}:{account}", ()) for account in accounts] for salt in ("one", "other"))
    assert sum(here == there for here, there in zip(one, other, strict=True)) <= 2


@calm
@given(st.text())
def test_a_seed_of_any_characters_will_do(seed: str) -> None:
    assert alias(PRIVACY, seed, ()) in PAIRS
