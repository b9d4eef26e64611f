"""The schema that editors use says what the loader says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from content.schema import schema, schema_text
from tests.content.build import SMALL, edited


def refused(text: str) -> list[str]:
    return [error.json_path for error in Draft202012Validator(schema()).iter_errors(yaml.safe_load(text))]


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_its_text_is_the_same_each_time_and_ends_its_last_line() -> None:
    assert schema_text() == schema_text()
    assert json.loads(schema_text()) == schema()
    assert schema_text().endswith("}\n")


def test_the_small_guide_follows_it() -> None:
    assert refused(SMALL) == []


@pytest.mark.parametrize(("old", "new", "path"), [
    ("  title: A guide\n", "  titel: A guide\n", "$.about"),
    ("reach: realistic", "reach: realstic", "$.roles['ai-engineer'].reach"),
    ('"18:00"', '"6 pm"', "$.cohort.rhythm.nudge.at"),
    ("  python:\n", "  Python:\n", "$.skills"),
    ("title: A guide", "title: NO", "$.about.title"),
])
def test_editors_underline_what_the_loader_refuses(old: str, new: str, path: str) -> None:
    assert set(refused(edited((old, new)))) == {path}


def test_editors_show_what_a_key_is_for_and_what_a_sentence_may_use() -> None:
    parts: dict[str, Any] = schema()["$defs"]
    assert parts["Task"]["properties"]["evidence"]["description"] == "What to show that it is done."
    assert parts["Refusals"]["properties"]["no_rest_left"]["description"] == "Placeholders: {allowed}"
