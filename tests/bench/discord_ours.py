"""Ours for `test_discord.py`: the whole bot, which also notes when it learns that a transaction is kept."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path

from prometheus_client import Histogram

from bot.app import running
from bot.ledger import Room
from bot.metrics import Metrics
from bot.settings import Settings
from content.loading import default_path, load
from scheduler.clock import VirtualClock
from tests.bench.kept import Kept

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""environment, now, kept."""


class Noted(Histogram):
    """Is told of each transaction as soon as the ledger has its answer."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        KEPT.note()
        super().observe(amount, exemplar)


async def main() -> None:
    metrics, clock = Metrics(), VirtualClock(datetime.fromisoformat(PLAY["now"]), runs=True)
    metrics.transactions = Noted("bench_transaction_seconds", "Noted.", registry=metrics.registry)
    async with running(Settings(), load(default_path()), Room("local", "", "ninety"), ["nobody"], clock,
                       metrics=metrics) as ninety:
        await asyncio.gather(*ninety.lines)


if __name__ == "__main__":
    os.environ |= PLAY["environment"]
    KEPT = Kept(Path(PLAY["kept"]))
    asyncio.run(main())
