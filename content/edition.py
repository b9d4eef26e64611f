"""What a cohort keeps of the guide from its first day on: plan, rules and voice, until it asks for newer ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, Self

from pydantic import BaseModel

from content.model import CohortRules, Guide, Model, Plan, PlanId, StepId, Task, TaskId, Voice


class Edition(Model):
    """A plan as one cohort runs it. Texts keep their citations; only the renderers for chat take them out."""

    plan_id: PlanId
    plan: Plan
    rules: CohortRules
    voice: Voice

    @classmethod
    def of(cls, guide: Guide, plan_id: PlanId) -> Self:
        """Raises KeyError when the guide has no such plan."""
        plan = guide.plans[plan_id]
        return cls(plan_id=plan_id, plan=plan, rules=guide.cohort, voice=_speaking_of(plan, guide.voice))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `dump`. Raises ValueError when the text is none, or the grammar has since moved away from it."""
        return cls.model_validate_json(text)

    def dump(self) -> str:
        """All of it as JSON, defaults included, so that a later default changes no running cohort."""
        return _canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 in hex. Values at their default are left out: a new optional key in the grammar changes no digest."""
        return hashlib.sha256(_canonical(self.model_dump(mode="json", exclude_defaults=True)).encode()).hexdigest()


def _speaking_of(plan: Plan, voice: Voice) -> Voice:
    """The voice with `{unit}` and `{Unit}` filled once and for all by what the plan calls its steps."""
    text = voice.model_dump_json().replace("{unit}", plan.unit).replace("{Unit}", plan.unit.capitalize())
    return Voice.model_validate_json(text)


@dataclass(frozen=True)
class Change:
    """One difference between two editions.

    A step or task is `moved` when its neighbours kept their order and it did not; a task also when it went to another
    step. The tasks of an added or removed step are not told one by one.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    part: Literal["plan", "step", "task", "rules", "voice"]
    step: StepId | None = None
    """The step, or the task's step; in the new edition where it is in both."""
    task: TaskId | None = None
    title: str = ""
    """The step's title or what the task says to do; the newer where it is in both."""
    fields: tuple[str, ...] = ()
    """What changed, dotted for rules and voice: `scoring.must`."""
    came_from: StepId | None = None
    """The step that a moved task was in before, when it is another."""

    def __str__(self) -> str:
        match self.part:
            case "step":
                what = f"step {self.step} ({self.title})"
            case "task":
                what = f"task {self.step}/{self.task} ({self.title})"
            case _:
                what = self.part
        tail = f": {', '.join(self.fields)}" if self.fields else ""
        tail += f" from {self.came_from}" if self.came_from else ""
        return f"{what} {self.kind}{tail}"


def changes(old: Edition, new: Edition) -> tuple[Change, ...]:
    """In the order of the new plan, removals after it, then rules and voice. None at all means equal digests."""
    return tuple(_changes(old, new))


def _changes(old: Edition, new: Edition) -> Iterator[Change]:
    plan = _changed_fields(old.plan, new.plan, without=("steps",))
    if old.plan_id != new.plan_id:
        plan = ("id", *plan)
    if plan:
        yield Change("changed", "plan", fields=plan)

    old_steps = {step.id: step for step in old.plan.steps}
    new_steps = {step.id: step for step in new.plan.steps}
    old_tasks = {task.id: (step.id, task) for step in old.plan.steps for task in step.tasks}
    new_tasks = {task.id for step in new.plan.steps for task in step.tasks}
    moved_steps = _moved(list(old_steps), list(new_steps))
    for step in new.plan.steps:
        before = old_steps.get(step.id)
        if before is None:
            yield Change("added", "step", step.id, title=step.title)
        else:
            if step.id in moved_steps:
                yield Change("moved", "step", step.id, title=step.title)
            if fields := _changed_fields(before, step, without=("tasks",)):
                yield Change("changed", "step", step.id, title=step.title, fields=fields)
        moved_tasks = _moved([task.id for task in before.tasks] if before else [], [task.id for task in step.tasks])
        for task in step.tasks:
            yield from _task_changes(old_tasks.get(task.id), step.id, task, task.id in moved_tasks, before is None)
        if before:
            yield from (Change("removed", "task", step.id, task.id, task.do)
                        for task in before.tasks if task.id not in new_tasks)
    for step in old.plan.steps:
        if step.id not in new_steps:
            yield Change("removed", "step", step.id, title=step.title)

    if fields := _changed_fields(old.rules, new.rules):
        yield Change("changed", "rules", fields=fields)
    if fields := _changed_fields(old.voice, new.voice):
        yield Change("changed", "voice", fields=fields)


def _task_changes(
    before: tuple[StepId, Task] | None, step: StepId, task: Task, moved: bool, in_added_step: bool
) -> Iterator[Change]:
    if before is None:
        if not in_added_step:
            yield Change("added", "task", step, task.id, task.do)
        return
    was_in, was = before
    if was_in != step:
        yield Change("moved", "task", step, task.id, task.do, came_from=was_in)
    elif moved:
        yield Change("moved", "task", step, task.id, task.do)
    if fields := _changed_fields(was, task):
        yield Change("changed", "task", step, task.id, task.do, fields=fields)


def _moved(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """Of the ids in both, those that others overtook: as few as explain the new order, or nearly."""
    old, new = [x for x in old if x in set(new)], [x for x in new if x in set(old)]
    kept = SequenceMatcher(a=old, b=new, autojunk=False).get_matching_blocks()
    return set(new) - {x for block in kept for x in new[block.b : block.b + block.size]}


def _changed_fields(old: BaseModel, new: BaseModel, *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Dotted names in the order of the grammar; a list counts as one."""
    names: list[str] = []
    for name in type(new).model_fields:
        was, now = getattr(old, name), getattr(new, name)
        if name in without or was == now:
            continue
        if isinstance(was, BaseModel) and isinstance(now, BaseModel):
            names.extend(f"{name}.{inner}" for inner in _changed_fields(was, now))
        else:
            names.append(name)
    return tuple(names)


def _canonical(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
