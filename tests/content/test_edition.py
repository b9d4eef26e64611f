"""A cohort keeps what it started with, and can be told what a newer edition would change."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from content.edition import Change, Edition, changes
from content.loading import parse
from tests.content.build import SMALL, edited


def edition(*edits: tuple[str, str]) -> Edition:
    return Edition.of(parse(edited(*edits)), "fortnight")


def rearranged(steps: list[tuple[str, list[str]]]) -> Edition:
    """The small plan with these steps and tasks; what it does not have is made up. Hours are not minded here."""
    plain = json.loads(edition().dump())
    old_steps = {step["id"]: step for step in plain["plan"]["steps"]}
    old_tasks = {task["id"]: task for step in plain["plan"]["steps"] for task in step["tasks"]}
    some_step, some_task = old_steps["week-1"], old_tasks["read"]
    plain["plan"]["steps"] = [
        {**old_steps.get(step, {**some_step, "id": step, "title": f"Title of {step}"}),
         "tasks": [old_tasks.get(task, {**some_task, "id": task, "do": f"Do {task}"}) for task in tasks]}
        for step, tasks in steps]
    return Edition.parse(json.dumps(plain))


BOTH = [("week-1", ["read", "build-index"]), ("week-2", ["golden-set"])]


def told(steps: list[tuple[str, list[str]]]) -> list[str]:
    return [str(change) for change in changes(edition(), rearranged(steps))]


def test_an_edition_holds_the_plan_the_rules_and_the_voice() -> None:
    guide = parse(SMALL)
    assert Edition.of(guide, "fortnight") == Edition(
        plan_id="fortnight", plan=guide.plans["fortnight"], rules=guide.cohort, voice=guide.voice)


def test_a_plan_that_the_guide_does_not_have_cannot_be_pinned() -> None:
    with pytest.raises(KeyError):
        Edition.of(parse(SMALL), "century")


def test_a_snapshot_comes_back_whole_with_its_citations() -> None:
    again = Edition.parse(edition().dump())
    assert (again, again.digest) == (edition(), edition().digest)
    assert again.plan.steps[0].tasks[1].how == "By hand first [@wrok]."


def test_a_snapshot_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError):
        Edition.parse('{"plan_id": "fortnight"}')


def test_a_digest_is_64_hexadecimal_digits_and_ascii_or_not_does_not_matter() -> None:
    digest = edition(("goal: Search by meaning", "goal: Söka efter mening")).digest
    assert (len(digest), int(digest, 16) >= 0, digest == edition().digest) == (64, True, False)


def test_a_digest_forgets_what_a_cohort_does_not_run() -> None:
    """Editing another page of the guide is no new edition of the plan."""
    assert edition(("title: A guide", "title: Another guide"), ("publisher: Wrok", "publisher: Us")).digest \
        == edition().digest


def test_a_default_written_out_is_no_change() -> None:
    line = "            weight: must\n"
    assert edition((line, f"{line}            project: null\n")).digest == edition().digest


def shuffled(plain: Any, data: st.DataObject) -> Any:
    if isinstance(plain, dict):
        return {key: shuffled(plain[key], data) for key in data.draw(st.permutations(list(plain)))}
    return [shuffled(item, data) for item in plain] if isinstance(plain, list) else plain


@settings(max_examples=25)
@given(st.data())
def test_the_order_of_keys_is_no_part_of_a_digest(data: st.DataObject) -> None:
    text = json.dumps(shuffled(yaml.safe_load(SMALL), data))
    assert Edition.of(parse(text), "fortnight").digest == edition().digest


def test_nothing_changes_between_equal_editions() -> None:
    assert changes(edition(), edition()) == ()


def test_changed_fields_are_told_by_step_and_task() -> None:
    new = edition(("title: Find things", "title: Find all things"), ("goal: Search by meaning", "goal: Search"),
                  ("how: By hand first [@wrok].", "how: With a library."))
    assert changes(edition(), new) == (
        Change("changed", "step", "week-1", title="Find all things", fields=("title", "goal")),
        Change("changed", "task", "week-1", "build-index", "Build an index", ("how",)),
    )
    assert [str(change) for change in changes(edition(), new)] == [
        "step week-1 (Find all things) changed: title, goal",
        "task week-1/build-index (Build an index) changed: how",
    ]


def test_plan_rules_and_voice_are_told_by_field() -> None:
    new = edition(("summary: Two weeks.", "summary: 14 days."), ("must: 5\n", "must: 6\n"), ('"18:00"', '"19:00"'),
                  ("Report {count}", "Missed {count}"))
    assert [str(change) for change in changes(edition(), new)] == [
        "plan changed: summary", "rules changed: rhythm.nudge.at, scoring.must", "voice changed: report.body"]


@pytest.mark.parametrize(("steps", "says"), [
    ([*BOTH, ("week-3", ["ship"])], ["step week-3 (Title of week-3) added"]),
    (BOTH[:1], ["step week-2 (Measure things) removed"]),
    ([BOTH[1], BOTH[0]], ["step week-2 (Measure things) moved"]),
    ([("week-1", ["read", "ship", "build-index"]), BOTH[1]], ["task week-1/ship (Do ship) added"]),
    ([("week-1", ["read"]), BOTH[1]], ["task week-1/build-index (Build an index) removed"]),
    ([("week-1", ["build-index", "read"]), BOTH[1]], ["task week-1/build-index (Build an index) moved"]),
    ([("week-1", ["read"]), ("week-2", ["golden-set", "build-index"])],
     ["task week-2/build-index (Build an index) moved from week-1"]),
    ([("week-1", ["read", "build-index"]), ("week-3", ["golden-set", "ship"])],
     ["step week-3 (Title of week-3) added", "task week-3/golden-set (Write fifty questions) moved from week-2",
      "step week-2 (Measure things) removed"]),
])
def test_steps_and_tasks_come_go_and_move(steps: list[tuple[str, list[str]]], says: list[str]) -> None:
    assert told(steps) == says


STEPS = st.permutations(["week-1", "week-2", "week-3"]).flatmap(lambda steps: st.permutations(
    ["read", "build-index", "golden-set", "ship"]).flatmap(lambda tasks: st.integers(1, 2).map(
        lambda cut: [(steps[0], list(tasks[:cut])), (steps[1], list(tasks[cut:3]))])))


@given(STEPS, STEPS)
def test_editions_with_equal_digests_are_those_without_changes(
    one: list[tuple[str, list[str]]], other: list[tuple[str, list[str]]]
) -> None:
    old, new = rearranged(one), rearranged(other)
    assert (changes(old, new) == ()) == (old.digest == new.digest)
