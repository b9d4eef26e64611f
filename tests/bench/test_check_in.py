"""What a check-in costs beside the bare transaction that it does, both measured in one run and in turn.

    pytest -m bench tests/bench/test_check_in.py -s

The floor is the same reads and writes through the bare driver, prepared, in one thread, on the same kind of file, with
the same durability. Ours is the desk: rules, refusals, the answer with points, place and what comes next.
"""

from __future__ import annotations

import gc
import json
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from bot.desk import Caller, Desk, open_cohort
from bot.ledger import Account, RequestId, Room
from bot.messages import Message
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.loading import default_path, load

MEMBERS, ROUNDS = 100, 10
ROOM = Room("local", "", "ninety")
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)

pytestmark = pytest.mark.bench


async def filled(url: str) -> tuple[Database, Desk]:
    guide = load(default_path())
    database = Database(url)
    migrate(database)
    ledger = StoredLedger(database)
    desk = Desk(ledger, guide)
    edition = Edition.of(guide, "ninety-days")
    await open_cohort(ledger, "Bench", date(2026, 11, 23), "Europe/Berlin", edition, ROOM, None, "salt",
                      MONDAY - timedelta(days=3))
    for number in range(MEMBERS):
        answer = await desk.submit(caller(number), "join", "", {"name": (f"Member {number}",), "zone": ("Berlin",)},
                                   RequestId(f"join {number}"), MONDAY - timedelta(days=1))
        assert not answer.refused, answer
    return database, desk


def caller(number: int) -> Caller:
    return Caller(Account("local", "", f"member-{number}"), ROOM)


def bare(connection: sqlite3.Connection, number: int, request: str, body: str) -> None:
    """The statements of one check-in and no more."""
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.execute("SELECT id FROM cohort WHERE platform = 'local' AND workspace = '' AND channel = 'ninety'")
    cohort, = cursor.fetchone()
    cursor.execute("SELECT * FROM member WHERE cohort = ? AND platform = 'local' AND workspace = '' AND user = ?",
                   (cohort, f"member-{number}"))
    member = cursor.fetchone()[0]
    events = cursor.execute("SELECT * FROM journal WHERE member = ? ORDER BY seq", (member,)).fetchall()
    for event in events:
        json.loads(event[5])
    cursor.execute("INSERT INTO journal (cohort, member, at, kind, body, request) VALUES (?, ?, ?, 'checked_in', ?, ?) "
                   "ON CONFLICT DO NOTHING RETURNING seq", (cohort, member, 1, body, request)).fetchone()
    cursor.execute("UPDATE member SET points = ? WHERE id = ?", (60, member))
    cursor.execute("UPDATE delivery SET state = 'withdrawn', reason = 'checked in', claimable = NULL WHERE member = ? "
                   "AND state = 'owed' AND kind = 'nudge' AND step = ?", (member, "how-models-behave"))
    cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0", (cohort,)).fetchone()
    cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0 AND points > ?",
                   (cohort, 60)).fetchone()
    cursor.execute("COMMIT")


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


async def test_a_check_in_costs_at_most_three_bare_transactions(tmp_path: Path) -> None:
    database, desk = await filled(f"sqlite:///{tmp_path}/ours.db")
    floor_database, _ = await filled(f"sqlite:///{tmp_path}/floor.db")
    floor_database.close()
    connection = sqlite3.connect(tmp_path / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    answers = {"tasks": ("stream-a-chat", "explain-attention"), "hours": ("6",), "confidence": ("On my own",),
               "evidence": ("https://git.example/work",), "notes": ("It climbs with each turn.",)}
    body = json.dumps({"step": "how-models-behave", "done": answers["tasks"], "hours": 6, "confidence": "On my own",
                       "links": answers["evidence"], "notes": "It climbs with each turn."})
    ours: list[float] = []
    floor: list[float] = []
    gc.collect()
    gc.freeze()
    for turn in range(ROUNDS):
        for number in range(MEMBERS):
            begun = perf_counter()
            bare(connection, number, f"{turn}", body)
            middle = perf_counter()
            answer = await desk.submit(caller(number), "check-in", "how-models-behave", answers, RequestId(f"{turn}"),
                                       MONDAY + timedelta(minutes=turn))
            ended = perf_counter()
            assert isinstance(answer, Message)
            assert not answer.refused
            if turn:    # the first round warms both up
                floor.append(middle - begun)
                ours.append(ended - middle)
    connection.close()
    database.close()

    print(f"\nsubmit to answer, {len(ours)} each, milliseconds    p50     p99")
    for name, times in (("bare transaction", floor), ("ours", ours)):
        print(f"  {name:40} {median(times) * 1000:8.2f} {percentile(times, 0.99) * 1000:8.2f}")
    ratio = percentile(ours, 0.99) / percentile(floor, 0.99)
    print(f"  ratio                                    {median(ours) / median(floor):8.2f} {ratio:8.2f}")
    assert ratio <= 3
