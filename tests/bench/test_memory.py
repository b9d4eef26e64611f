"""How much memory `ninety run` takes with a hundred thousand members in one cohort, on SQLite.

    pytest -m bench tests/bench/test_memory.py -s

They have checked in for four weeks. The process derives the reminders of the fifth, closes the fourth, and answers
check-ins and questions meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from urllib.request import Request, urlopen

import pytest

from bot.desk import open_cohort
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from tests.bench.cohort import EDITION, ROOM, CheckIn
from tests.bench.table import record
from tests.bench.test_startup import PYTHON, port, started

pytestmark = pytest.mark.bench

MEMBERS, WEEKS, ASKED = 100_000, 4, 120.0
"""MB of resident memory, of 1,048,576 bytes."""
CALLERS = 200


async def filled(file: Path) -> None:
    """It is about noon in its zone, three hours after the fourth week was to be closed in the room."""
    now = datetime.now(UTC)
    zone = f"Etc/GMT{(now.hour - 12):+d}"       # whose signs are the other way round
    database = Database(f"sqlite:///{file}", durable=False)
    migrate(database)
    start = now + timedelta(hours=12 - now.hour) - timedelta(weeks=WEEKS, days=1)
    cohort = await open_cohort(StoredLedger(database), "Bench", start.date(), zone, EDITION, ROOM,
                               ROOM.account("organiser"), "salt", start - timedelta(days=3))
    database.close()
    with closing(sqlite3.connect(file)) as rows, rows:
        rows.executemany(
            'INSERT INTO member (id, cohort, platform, workspace, "user", name, name_folded, alias, alias_folded, '
            "shows_name, zone, nudges, present, points) VALUES (?, ?, 'local', '', ?, ?, ?, ?, ?, 1, ?, 1, 1, ?)",
            ((number, cohort.id, f"member-{number}", f"Member {number}", f"member {number}", f"Quiet Otter {number}",
              f"quiet otter {number}", zone, 150 + number % 130) for number in range(1, MEMBERS + 1)))
        joined = json.dumps({"zone": zone, "first": EDITION.plan.steps[0].id})
        for week in range(-1, WEEKS):
            at = int((start + timedelta(weeks=max(week, 0), hours=6)).timestamp() * 1e6)
            kind, body = ("joined", joined) if week < 0 else ("checked_in", CheckIn(0, week).body)
            rows.execute(
                "INSERT INTO journal (cohort, member, at, kind, body, request) "
                "SELECT cohort, id, ?, ?, ?, ? FROM member", (at, kind, body, f"week {week}"))
        # What came before is not what is measured.
        rows.execute("UPDATE cohort SET nudges_owed = ?", (WEEKS,))
        rows.execute("UPDATE delivery SET state = 'sent', claimable = NULL WHERE due < ?",
                     (int((now - timedelta(hours=20)).timestamp() * 1e6),))


def memory(process: subprocess.Popen[str]) -> tuple[float, float]:
    """(now, most so far), in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    now, most = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return now, most


def said(address: str, number: int, path: str, **more: object) -> dict[str, object]:
    body = {"as": f"member-{number}", "request": f"bench-{path}-{number:06}", "place": "room"} | more
    with urlopen(Request(f"{address}/chat/api/{path}", json.dumps(body).encode(), {  # noqa: S310  # our own server
            "Content-Type": "application/json", "Origin": address}), timeout=120) as answer:
        told: dict[str, object] = json.load(answer)
        return told


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_hundred_thousand_members_fit_in_120_mb(tmp_path: Path) -> None:
    await filled(tmp_path / "ninety.db")
    at = port()
    process = started(tmp_path, at)
    try:
        beginning = memory(process)
        check_in = CheckIn(0, WEEKS)
        for number in range(1, CALLERS + 1):
            answer = said(f"http://127.0.0.1:{at}", number, "submit", kind="check-in", about=check_in.step,
                          answers=check_in.answers)
            assert "refused" not in answer, answer
            said(f"http://127.0.0.1:{at}", number, "command", line="leaderboard")
        with closing(sqlite3.connect(tmp_path / "ninety.db")) as rows:
            until = monotonic() + 300
            while rows.execute("SELECT state FROM delivery WHERE kind = 'week_closes' AND step = ?",
                               (EDITION.plan.steps[WEEKS - 1].id,)).fetchone() != ("sent",):
                assert monotonic() < until, "the week was never closed in the room"
                await asyncio.sleep(0.2)
            nudges, = rows.execute("SELECT count(*) FROM delivery WHERE kind = 'nudge'").fetchone()
            assert nudges == MEMBERS
        now, most = memory(process)
    finally:
        process.kill()
        process.communicate()
    print("\nMB at the start {:.0f} (most {:.0f}), after all of it {:.0f} (most {:.0f})".format(*beginning, now, most))
    record("memory with 100,000 members", now, ASKED, 1, "MB", "what was asked")
    assert record("the same, at its highest", most, ASKED, 1, "MB", "what was asked") <= 1


@pytest.mark.parametrize(("platform", "libraries"), [
    ("Discord", "bot.discord.client, bot.discord.platform, bot.discord.rest, bot.discord.shell"),
    ("Slack", "bot.slack.clients, bot.slack.installations, bot.slack.platform, bot.slack.shell, bot.slack.transports"),
])
def test_what_a_platforms_own_libraries_add(platform: str, libraries: str) -> None:
    """To a process that runs the local chat, which has most of what they need."""
    program = f"""
import re
from pathlib import Path
def resident(): return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
import bot.app, bot.health, bot.metrics
before = resident()
import {libraries}
print(before, resident())
"""
    done = subprocess.run((*PYTHON, "-W", "ignore", "-c", program), capture_output=True, check=True, text=True)  # noqa: S603  # ours
    before, after = map(float, done.stdout.split())
    print(f"\n{platform}: {after - before:.0f} MB more")
    record(f"memory of {platform}'s libraries", after, before, None, "MB", "without them")
