"""A process that sends what is due in a local room, when it is its turn, and is killed in the middle of it; run by
`test_kill.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from bot.herald import Herald
from bot.ledger import Account, Ledger, Receipt, Room
from bot.local.history import History
from bot.local.platform import LocalPlatform
from bot.messages import DeliveryKey, Message
from bot.sender import Candidate, elapsed
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from scheduler.clock import VirtualClock

FASTER = 24.0
"""How much faster than real time a process that has fallen silent is taken over from."""


class Noted:
    """Notes what is posted again, which nobody would see: our own room takes a key only once. Kills the process just
    before or just after the platform took the post with the given number."""

    def __init__(self, platform: LocalPlatform, notes: Path, where: str = "never", number: int = 0) -> None:
        self._platform, self._notes, self._where, self._number = platform, notes, where, number

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        self._number -= 1
        last = self._number == 0
        if last and self._where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if await self._platform.find(to, key, datetime.min.replace(tzinfo=UTC)) is not None:
            with self._notes.open("a") as notes:
                notes.write(f"{key}\n")
        receipt = await self._platform.post(to, message, key)
        if last and self._where == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return receipt

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return await self._platform.find(to, key, since)

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise NotImplementedError


def candidate(ledger: Ledger, name: str) -> Candidate:
    return Candidate(ledger, "local", name, elapsed=lambda: elapsed() * FASTER,
                     sleep=lambda seconds: asyncio.sleep(seconds / FASTER))


async def send(url: str, now: datetime, notes: Path, where: str = "never", number: int = 0) -> None:
    """Waits for its turn, sends all that is due, and leaves."""
    clock = VirtualClock(now)
    async with Database(url) as database:
        platform = LocalPlatform(History(database), clock, Room("local", "", "ninety"))
        right, changed = candidate(StoredLedger(database), f"pid {os.getpid()}"), asyncio.Event()
        right.when_changed(changed.set)
        keeping = asyncio.create_task(right.keep())
        await changed.wait()
        herald = Herald(StoredLedger(database), {"local": Noted(platform, notes, where, number)}, clock,
                        rights={"local": right})
        await herald.tick(clock.now())
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await right.resign()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], datetime.fromisoformat(sys.argv[2]), Path(sys.argv[3]), sys.argv[4],
                     int(sys.argv[5])))
