"""A bot as one writes it with Bolt in an afternoon: two handlers, a modal, one transaction of bare SQLite.

It shows what ours shows and writes what ours writes, without any of the rules: the floor of `test_slack.py`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""api, bot_token, app_token, database; `modal` as ours opens it, `answer` as ours draws it."""


class Store:
    """The statements that ours runs, through the driver, in one thread of their own."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")

    async def journal(self, team: str, channel: str, user: str) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._alone(lambda cursor: _read(cursor, team, channel, user)[2]))

    async def check_in(self, team: str, channel: str, user: str, request: str, body: str) -> int:
        """The place on the board."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._alone(lambda cursor: _check_in(cursor, team, channel, user, request, body)))

    def _alone(self, work: Any) -> Any:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            done = work(cursor)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        return done


def _read(cursor: sqlite3.Cursor, team: str, channel: str, user: str) -> tuple[int, int, list[Any]]:
    cohort, = cursor.execute("SELECT id FROM cohort WHERE platform = 'slack' AND workspace = ? AND channel = ?",
                             (team, channel)).fetchone()
    member = cursor.execute("SELECT * FROM member WHERE cohort = ? AND platform = 'slack' AND workspace = ? "
                            "AND user = ?", (cohort, team, user)).fetchone()[0]
    events = cursor.execute("SELECT * FROM journal WHERE member = ? ORDER BY seq", (member,)).fetchall()
    return cohort, member, [json.loads(event[5]) for event in events]


def _check_in(cursor: sqlite3.Cursor, team: str, channel: str, user: str, request: str, body: str) -> int:
    cohort, member, _ = _read(cursor, team, channel, user)
    cursor.execute("INSERT INTO journal (cohort, member, at, kind, body, request) VALUES (?, ?, ?, 'checked_in', ?, ?) "
                   "ON CONFLICT DO NOTHING RETURNING seq", (cohort, member, 1, body, f"slack:{request}")).fetchone()
    cursor.execute("UPDATE member SET points = ? WHERE id = ?", (60, member))
    cursor.execute("UPDATE delivery SET state = 'withdrawn', reason = 'checked in', claimable = NULL WHERE member = ? "
                   "AND state = 'owed' AND kind = 'nudge' AND step = ?", (member, "how-models-behave"))
    cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0", (cohort,)).fetchone()
    above, = cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0 AND points > ?",
                            (cohort, 60)).fetchone()
    return int(above) + 1


async def main() -> None:
    app = AsyncApp(client=AsyncWebClient(token=PLAY["bot_token"], base_url=PLAY["api"]))
    store = Store(PLAY["database"])

    @app.command("/checkin")
    async def checkin(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        await store.journal(body["team_id"], body["channel_id"], body["user_id"])
        modal = {**PLAY["modal"], "callback_id": "check-in", "private_metadata": body["channel_id"]}
        await client.views_open(trigger_id=body["trigger_id"], view=modal)

    @app.view("check-in")
    async def submitted(ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        typed = {block: element for block, elements in view["state"]["values"].items()
                 for element in elements.values()}
        place = await store.check_in(body["team"]["id"], view["private_metadata"], body["user"]["id"],
                                     body["trigger_id"], json.dumps({"step": "how-models-behave", **typed}))
        answer = {**PLAY["answer"], "private_metadata": str(place)}
        await ack({"response_action": "update", "view": answer})

    handler = AsyncSocketModeHandler(app, PLAY["app_token"])
    handler.client.web_client.base_url = PLAY["api"]    # it would open its socket at Slack's own
    await handler.start_async()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(main())
