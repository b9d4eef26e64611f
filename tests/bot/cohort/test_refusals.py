"""Every refusal has its sentence in the guide, and brings what that sentence may say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_type_hints

import pytest

from bot.cohort.refusals import BadZone, Refused, TooLong
from content.model import Fills, Refusals

NOT_RULES = {"not_saved", "too_slow"}
"""Said when the database is the reason."""
VALUES = {str: "x", int: 1, datetime: datetime(2026, 11, 23, tzinfo=UTC)}


def an_instance(kind: type[Refused]) -> Refused:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if hint in VALUES}
    return kind(**{name: VALUES[hint] for name, hint in hints.items()})


@pytest.mark.parametrize("kind", Refused.__subclasses__(), ids=lambda kind: kind.__name__)
def test_a_refusal_brings_what_its_sentence_may_say(kind: type[Refused]) -> None:
    """A placeholder without a value would turn a rule that says no into a crash."""
    fills = [one for one in Refusals.model_fields[kind.sentence].metadata if isinstance(one, Fills)]
    assert set(an_instance(kind).values()) == {name for one in fills for name in one.names}


def test_every_sentence_has_its_refusal() -> None:
    assert {kind.sentence for kind in Refused.__subclasses__()} == set(Refusals.model_fields) - NOT_RULES


def test_a_refusal_names_the_field_of_the_form_that_it_is_about() -> None:
    assert BadZone("x", "y").field == "zone"
    assert TooLong("Notes", 3, 2, "notes").field == "notes"
