"""How often what goes wrong, and what that came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Knobs:
    """Shares of one, unless something else is said. The usual ones are for a seed that costs a tenth of a second."""

    # the database
    unsaved: float = 0.01
    """Transactions that it does not take."""
    unheard: float = 0.01
    """Transactions that it takes, and says that it did not."""
    stall: float = 0.01
    """Transactions that take seconds, before or after the commit."""
    # the platform, for each request
    queue: float = 0.02
    """Waits up to a minute for its turn."""
    lost: float = 0.04
    """Carried out, and no answer comes."""
    late: float = 0.03
    """Carried out as late as can be."""
    swallowed: float = 0.02
    """Never carried out, and no answer comes."""
    broken: float = 0.04
    """5xx or a broken line, carried out or not."""
    busy: float = 0.03
    hindered: float = 0.01
    unreachable: float = 0.006
    rejected: float = 0.002
    # the people
    twice: float = 0.15
    """Interactions that arrive twice."""
    unheard_answer: float = 0.06
    """Answers that do not reach the person."""
    # the processes: of each hundred steps of theirs so many mischiefs, and their weights; a step of a send counts for
    # twelve, one of an answer for three
    mischief: float = 0.2
    kill: float = 4.0
    freeze: float = 2.0
    leave: float = 0.7
    clock: float = 2.0
    outage: float = 0.6
    database_down: float = 0.5
    partition: float = 1.0
    """One process does not reach the database."""
    twins: float = 0.7
    """Seeds with two processes."""
    moves: float = 0.35
    """Check-ins that the member moves to another zone after."""
    near: float = 0.3
    """Check-ins near a deadline."""


@dataclass
class Coverage:
    """What happened, over any number of seeds."""

    seeds: int = 0
    virtual_days: float = 0.0
    steps: int = 0
    transactions: int = 0
    check_ins: int = 0
    posts: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By where the killed process was waiting: file:line, and at what."""
    restarts: int = 0
    leaves: int = 0
    pauses: int = 0
    takeovers: int = 0
    clock_changes: int = 0
    cut_replies: int = 0
    delayed: int = 0
    """Carried out after they were cut off."""
    duplicates: int = 0
    repeats: int = 0
    """Interactions that a person repeated because no answer came."""
    busy: int = 0
    server_errors: int = 0
    hindered: int = 0
    unreachable: int = 0
    outages: int = 0
    unsaved: int = 0
    unsaved_after_commit: int = 0
    stalls: int = 0
    adopted: int = 0
    sent_again: int = 0
    """Looked back for, not found, and sent."""
    missed: int = 0
    failed: int = 0
    withdrawn: int = 0

    def add(self, other: Coverage) -> None:
        for one in fields(self):
            if one.name == "kills":
                self.kills.update(other.kills)
            else:
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def lines(self) -> Iterator[str]:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "kills":
                yield f"{'kills':24}{sum(self.kills.values()):>12,}  at {len(self.kills)} awaits"
            else:
                yield f"{one.name.replace('_', ' '):24}{round(value):>12,}"
        yield ""
        yield "kills by await"
        for site, number in sorted(self.kills.items()):
            yield f"  {number:>8,}  {site}"
