"""A bot as one writes it with Bolt in an afternoon: two handlers, a modal, one transaction of bare SQLite.

It shows what ours shows and writes what ours writes, without any of the rules: the floor of `test_slack.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.bench.bare import SQLite, Who, check_in, journal

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""api, bot_token, app_token, database; `modal` as ours opens it, `answer` as ours draws it."""


async def main() -> None:
    app = AsyncApp(client=AsyncWebClient(token=PLAY["bot_token"], base_url=PLAY["api"]))
    store = SQLite(PLAY["database"])

    @app.command("/checkin")
    async def checkin(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        team = body["team_id"]
        await store.transact(partial(journal, who=Who("slack", team, body["channel_id"], team, body["user_id"])))
        modal = {**PLAY["modal"], "callback_id": "check-in", "private_metadata": body["channel_id"]}
        await client.views_open(trigger_id=body["trigger_id"], view=modal)

    @app.view("check-in")
    async def submitted(ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        typed = {block: element for block, elements in view["state"]["values"].items()
                 for element in elements.values()}
        team = body["team"]["id"]
        place = await store.transact(partial(
            check_in, who=Who("slack", team, view["private_metadata"], team, body["user"]["id"]),
            request=f"slack:{body['trigger_id']}", body=json.dumps({"step": "how-models-behave", **typed})))
        answer = {**PLAY["answer"], "private_metadata": str(place)}
        await ack({"response_action": "update", "view": answer})

    handler = AsyncSocketModeHandler(app, PLAY["app_token"])
    handler.client.web_client.base_url = PLAY["api"]    # it would open its socket at Slack's own
    await handler.start_async()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(main())
