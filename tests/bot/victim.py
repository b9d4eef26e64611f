"""A process that sends what is due in a local room and is killed in the middle of it; run by `test_kill.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime

from bot.herald import Herald
from bot.ledger import Account, Receipt, Room
from bot.local.history import History
from bot.local.platform import LocalPlatform
from bot.messages import DeliveryKey, Message
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from scheduler.clock import VirtualClock


class Deadly:
    """Kills the process just before or just after the platform took the post with the given number."""

    def __init__(self, platform: LocalPlatform, where: str, number: int) -> None:
        self._platform, self._where, self._number = platform, where, number

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        self._number -= 1
        last = self._number == 0
        if last and self._where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        receipt = await self._platform.post(to, message, key)
        if last and self._where == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return receipt

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return await self._platform.find(to, key, since)

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise NotImplementedError


async def main(url: str, now: str, where: str, number: int) -> None:
    clock = VirtualClock(datetime.fromisoformat(now))
    async with Database(url) as database:
        platform = LocalPlatform(History(database), clock, Room("local", "", "ninety"), [])
        herald = Herald(StoredLedger(database), {"local": Deadly(platform, where, number)}, clock, f"pid {os.getpid()}")
        await herald.tick(clock.now())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
