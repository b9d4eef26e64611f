"""A check-in without a library or a rule: a frame comes in, one transaction is committed, a finished answer goes out.

What `test_discord.py` measures of it is the price of the emulator, of two sockets and of the transaction.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.bare import SQLite, Who, check_in, journal
from tests.bench.kept import Kept

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""api, gateway, token, database, kept; `modal` and `answer` are the data of the two callbacks."""
MODAL_SUBMIT = 5
BODIES = {submitted: json.dumps({"type": 4 if submitted else 9, "data": PLAY["answer" if submitted else "modal"]})
          for submitted in (False, True)}


async def answer(session: aiohttp.ClientSession, store: SQLite, kept: Kept, told: dict[str, Any]) -> None:
    who = Who("discord", told["guild_id"], told["channel_id"], "", told["member"]["user"]["id"])
    submitted = told["type"] == MODAL_SUBMIT
    if submitted:
        body = json.dumps({"step": "how-models-behave", "typed": told["data"]["components"]})
        await store.transact(partial(check_in, who=who, request=f"discord:{told['id']}", body=body))
        kept.note()
    else:
        await store.transact(partial(journal, who=who))
    url = f"{PLAY['api']}/interactions/{told['id']}/{told['token']}/callback?with_response=1"
    async with session.post(url, data=BODIES[submitted], headers={"Content-Type": "application/json"}) as response:
        response.raise_for_status()
        await response.read()


async def main() -> None:
    store, kept = SQLite(PLAY["database"]), Kept(Path(PLAY["kept"]))
    answering: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession() as session, \
            session.ws_connect(f"{PLAY['gateway']}/?v=10&encoding=json", max_msg_size=0) as gateway:
        await gateway.receive_json()
        await gateway.send_json({"op": 2, "d": {"token": PLAY["token"], "intents": 1, "properties": {
            "os": "linux", "browser": "bench", "device": "bench"}}})
        async for message in gateway:
            told = json.loads(message.data)
            if told["t"] == "INTERACTION_CREATE":
                task = asyncio.create_task(answer(session, store, kept, told["d"]))
                answering.add(task)
                task.add_done_callback(answering.discard)


if __name__ == "__main__":
    asyncio.run(main())
