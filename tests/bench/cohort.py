"""A cohort in a database of its own, and its members' check-ins, week after week: what the benches do at a desk."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bot.desk import Caller, Desk, open_cohort
from bot.ledger import Account, RequestId, Room
from bot.messages import Answers, Message
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path, load
from tests.bench.bare import Who

ROOM = Room("local", "", "ninety")
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
GUIDE = load(default_path())
EDITION = Edition.of(GUIDE, "ninety-days")
WEEKS = len(EDITION.plan.steps)


@dataclass(frozen=True)
class CheckIn:
    """One a member and week, so that each finds the journal as long as it would be."""

    number: int
    week: int

    @property
    def caller(self) -> Caller:
        return caller(self.number)

    @property
    def who(self) -> Who:
        return Who("local", "", ROOM.channel, "", f"member-{self.number}")

    @property
    def request(self) -> str:
        return f"week {self.week}"

    @property
    def step(self) -> str:
        return EDITION.plan.steps[self.week].id

    @property
    def at(self) -> datetime:
        return MONDAY + timedelta(weeks=self.week)

    @property
    def answers(self) -> Answers:
        return {"tasks": tuple(task.id for task in EDITION.plan.steps[self.week].tasks[:2]), "hours": ("6",),
                "confidence": ("On my own",), "evidence": ("https://git.example/work",),
                "notes": ("It climbs with each turn.",)}

    @property
    def body(self) -> str:
        said = self.answers
        return json.dumps({"step": self.step, "done": said["tasks"], "hours": 6, "confidence": "On my own",
                           "links": said["evidence"], "notes": "It climbs with each turn."})

    @property
    def points(self) -> int:
        return 50 * (self.week + 1)

    async def at_desk(self, desk: Desk) -> Message:
        answer = await desk.submit(self.caller, "check-in", self.step, self.answers, RequestId(self.request), self.at)
        assert not answer.refused, answer
        return answer


def caller(number: int) -> Caller:
    return Caller(Account("local", "", f"member-{number}"), ROOM)


def desk_of(database: Database) -> Desk:
    return Desk(StoredLedger(database), GUIDE)


async def fill(url: str, members: int) -> None:
    """Migrated, with a cohort that all of them have joined."""
    database = Database(url)
    migrate(database)
    desk = desk_of(database)
    await open_cohort(StoredLedger(database), "Bench", date(2026, 11, 23), "Europe/Berlin", EDITION, ROOM, None, "salt",
                      MONDAY - timedelta(days=3))
    for number in range(members):
        answer = await desk.submit(caller(number), "join", "", {"name": (f"Member {number}",), "zone": ("Berlin",)},
                                   RequestId(f"join {number}"), MONDAY - timedelta(days=1))
        assert not answer.refused, answer
    database.close()


def copied(file: Path, name: str) -> str:
    """The address of a copy of a SQLite file that nobody has open."""
    return f"sqlite:///{shutil.copy(file, file.with_name(f'{name}.db'))}"
