"""The real store in memory, and a line to it that stalls, refuses and breaks around the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from random import Random
from sqlite3 import Connection as SQLite
from typing import TypeVar, cast

from bot.ledger import Claim, Lane, Transaction, Unsaved
from bot.simulation.knobs import Coverage, Knobs
from bot.simulation.loop import Dead, Loop, Process
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate

T = TypeVar("T")


@dataclass(frozen=True)
class Memory:
    """The real thing, which then lives in our thread alone."""

    database: Database
    raw: SQLite
    empty: bytes
    """What there is after the migrations."""

    def become(self, image: bytes) -> None:
        """All that is in it is replaced."""
        self.raw.deserialize(image)


@cache
def memory() -> Memory:
    """Migrated once in each process of ours."""
    database = Database("sqlite://", durable=False)
    migrate(database)
    with database.engine.connect() as connection:   # of which there is one for each thread
        raw = cast(SQLite, connection.connection.driver_connection)
    return Memory(database, raw, raw.serialize())


class Store:
    """What all processes share. It may be away for a while."""

    def __init__(self, loop: Loop, random: Random, knobs: Knobs, coverage: Coverage) -> None:
        self.loop, self.random, self.knobs, self.coverage = loop, random, knobs, coverage
        self.memory = memory()
        self.away_until = 0.0
        self.over = False


@dataclass
class Line:
    """One process's line to the store, which may be cut for a while. `claimed` hears what was claimed, within the
    transaction."""

    store: Store
    process: Process
    ledger: StoredLedger
    claimed: Callable[[Transaction, Claim], None]
    cut_until: float = 0.0

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        store, knobs = self.store, self.store.knobs
        fate = store.random.random()
        try:
            await self._before_commit(fate)
        except asyncio.CancelledError:
            # The thread that does it does not hear of it: it may be done yet.
            if store.random.random() < 0.5:
                self._commit(work)
            raise
        done = self._commit(work)
        if meanwhile is not None:
            meanwhile(done)
        fate -= knobs.unsaved + knobs.stall
        await self._after_commit(fate)
        if 0 <= fate < knobs.unheard:
            store.coverage.unsaved_after_commit += 1
            raise Unsaved
        return done

    async def next_due(self, lane: Lane) -> datetime | None:
        if not self.process.alive or self.store.over:
            raise Dead
        if self._cut:
            raise Unsaved
        return await self.ledger.next_due(lane)

    @property
    def _cut(self) -> bool:
        return self.store.loop.time() < max(self.store.away_until, self.cut_until)

    async def _before_commit(self, fate: float) -> None:
        store, knobs = self.store, self.store.knobs
        if self._cut:
            await asyncio.sleep(store.random.uniform(0, 2.5))
            store.coverage.unsaved += 1
            raise Unsaved
        if fate < knobs.unsaved:
            await asyncio.sleep(store.random.choice((0, 2.5)))
            store.coverage.unsaved += 1
            raise Unsaved
        if fate < knobs.unsaved + knobs.stall / 2:
            store.coverage.stalls += 1
            await asyncio.sleep(store.random.uniform(0.1, 12))
        else:
            await asyncio.sleep(0)

    async def _after_commit(self, fate: float) -> None:
        store, knobs = self.store, self.store.knobs
        if -knobs.stall / 2 <= fate < 0:
            store.coverage.stalls += 1
            await asyncio.sleep(store.random.uniform(0.1, 12))
        else:
            await asyncio.sleep(0)

    def _commit(self, work: Callable[[Transaction], T]) -> T:
        if not self.process.alive or self.store.over:
            raise Dead
        self.store.coverage.transactions += 1

        def watched(tx: Transaction) -> T:
            claim = tx.claim

            def watched_claim(*args: object, **options: object) -> Sequence[Claim]:
                claims: Sequence[Claim] = claim(*args, **options)  # type: ignore[arg-type]
                for one in claims:
                    self.claimed(tx, one)
                return claims

            tx.claim = watched_claim  # type: ignore[method-assign]
            return work(tx)

        return self.ledger.transact_here(watched)
