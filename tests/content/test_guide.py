"""The guide that we publish."""

from __future__ import annotations

import json

import yaml
from jsonschema import Draft202012Validator

from content.edition import Edition
from content.loading import default_path, load
from content.schema import schema_text


def test_it_loads() -> None:
    """No id points at nothing, hours add up, every sentence can be filled."""
    assert load(default_path()).cohort.plan in load(default_path()).plans


def test_its_schema_is_fresh() -> None:
    """`ninety schema` writes it anew."""
    assert default_path().with_name("guide.schema.json").read_text(encoding="utf-8") == schema_text()


def test_it_follows_its_schema_and_names_it_for_the_editor() -> None:
    text = default_path().read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# yaml-language-server: $schema=guide.schema.json"
    plain = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  a safe loader, the fast one
    errors = Draft202012Validator(json.loads(schema_text())).iter_errors(plain)
    assert [error.json_path for error in errors] == []


def test_ninety_days_are_ninety_days_in_thirteen_steps() -> None:
    plan = load(default_path()).plans["ninety-days"]
    assert (plan.days, sum(step.days for step in plan.steps), len(plan.steps)) == (90, 90, 13)


def test_each_of_its_plans_can_be_pinned() -> None:
    guide = load(default_path())
    editions = [Edition.of(guide, plan_id) for plan_id in guide.plans]
    assert [Edition.parse(edition.dump()) for edition in editions] == editions
