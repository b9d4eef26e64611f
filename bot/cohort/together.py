"""What a cohort has done together, counted over some of its members at a time: the counts of two groups add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from bot.cohort.scoring import Record, State
from content.model import Step


@dataclass(frozen=True)
class Together:
    """Of those who are present."""

    members: int = 0
    check_ins: int = 0
    tasks: int = 0
    hours: float = 0
    graduates: int = 0
    owed: int = 0
    """From how many the one step asked for a check-in."""
    checked_in: int = 0
    """How many of these gave it, in time or late."""
    ticked: int = 0
    """Tasks of the one step."""

    def __add__(self, other: Together) -> Together:
        return Together(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))


NOBODY = Together()


def together(records: Iterable[Record]) -> Together:
    """All that they have done; of the one step, nothing."""
    members = check_ins = tasks = graduates = 0
    hours = 0.0
    for record in records:
        if not record.present:
            continue
        members += 1
        check_ins += record.checked_in
        graduates += record.graduated
        for one in record.place.own_steps:
            if versions := record.versions(one.id):
                tasks += len(versions[-1].done)
                hours += versions[-1].hours or 0
    return Together(members, check_ins, tasks, hours, graduates)


def together_in(records: Iterable[Record], step: Step) -> Together:
    """What they have done of the one step, alone. Check-ins from before it opened may be left out of the records."""
    owed = checked_in = ticked = 0
    for record in records:
        if record.present and record.place.concerns(step.id) and step.id not in record.rested:
            state = record.state(step)
            owed += state is not State.EXCUSED
            checked_in += state in (State.DONE, State.LATE)
            ticked += len(versions[-1].done) if (versions := record.versions(step.id)) else 0
    return Together(owed=owed, checked_in=checked_in, ticked=ticked)
