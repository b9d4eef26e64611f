"""The bot in a process of its own with a clock that its driver moves: the program of `ninety run`, its clock apart.

It prints `{"ready": true}` when it runs. Each line that it reads moves the clock, `{"reach": "2027-01-04T09:00:00Z"}`,
and is answered, when all that was due has been done, with the instant at which something is due next: `{"due": …}`.
SIGTERM ends it as it ends `ninety run`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from bot.app import Running, running
from bot.ledger import Room
from bot.settings import Settings
from content.loading import default_path, load
from scheduler.clock import VirtualClock


async def orders() -> AsyncIterator[dict[str, Any]]:
    """From standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def obey(ninety: Running, clock: VirtualClock) -> None:
    async for order in orders():
        clock.reach(datetime.fromisoformat(order["reach"]))
        for ticker in ninety.tickers:
            ticker.wake()
        for ticker in ninety.tickers:
            await ticker.settled()
        due = await ninety.herald.next_due()
        print(json.dumps({"due": due and due.isoformat()}), flush=True)


async def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--start", type=datetime.fromisoformat, required=True)
    wanted.add_argument("--dm-opens", type=float, default=1.0, help="seconds between two new direct message channels")
    given = wanted.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    settings, clock = Settings(), VirtualClock(given.start)
    guide = load(settings.guide or default_path())
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with running(settings, guide, Room("local", "", "ninety"), ["nobody"], clock,
                       timedelta(seconds=given.dm_opens)) as ninety:
        print(json.dumps({"ready": True}), flush=True)
        tasks = [asyncio.create_task(asked.wait()), asyncio.create_task(obey(ninety, clock)), *ninety.lines]
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        tasks[1].cancel()


if __name__ == "__main__":
    asyncio.run(main())
