"""Words to build a room with: the small guide's cohort, a few people, and requests as the page sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import func, select

from bot.desk import Desk, open_cohort
from bot.ledger import Account, Room
from bot.local.history import History
from bot.local.people import Person
from bot.local.platform import LocalPlatform
from bot.local.server import Door, chat
from bot.local.timebar import Outlook, TimeBar
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import parse
from scheduler.clock import VirtualClock
from tests.content.build import SMALL

MONDAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
ROOM = Room("local", "", "ninety")
MEI = Person("mei", "Mei", "Europe/Berlin")
SAM = Person("sam", "Sam", "America/New_York")
OLU = Person("olu", "Olu", "Europe/Berlin", organiser=True)
ADA = Person("ada", "Ada", "Asia/Tokyo", simulated=True)
PEOPLE = (MEI, SAM, OLU, ADA)
GUIDE = parse(SMALL)


@asynccontextmanager
async def database(directory: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{directory / 'ninety.db'}", durable=False) as opened:
        tables.metadata.create_all(opened.engine)
        yield opened


class Bar:
    """A time bar that can be held up, and says who moved it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.moves: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.moving = asyncio.Event()

    async def next_post(self) -> None:
        self.moving.set()
        await self.free.wait()
        self.moves.append("post")

    async def advance(self, days: int) -> None:
        self.moves.append(str(days))
        self._clock.reach(self._clock.now() + timedelta(days=days))

    def outlook(self) -> Outlook:
        return Outlook(self._clock.now(), "Europe/Berlin", "Week 2 opens", None, False)


@dataclass
class House:
    """A running chat. `json` of what is sent may leave out the request id, which is then a new one."""

    client: TestClient[Any, Any]
    history: History
    platform: LocalPlatform
    database: Database
    clock: VirtualClock
    bar: Bar
    requests: int = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.client.port}"

    async def send(self, path: str, headers: dict[str, str] | None = None, **json: Any) -> ClientResponse:
        return await self.client.post(f"/chat/api/{path}", json=json, headers={"Origin": self.origin} | (headers or {}))

    def _request(self) -> str:
        self.requests += 1
        return f"request-{self.requests}"

    async def command(self, person: Person, line: str, **more: Any) -> Any:
        asked = {"as": person.user, "place": "room", "request": self._request(), "line": line}
        return await (await self.send("command", **asked | more)).json()

    async def submit(self, person: Person, kind: str, answers: dict[str, list[str]], about: str = "",
                     **more: Any) -> Any:
        sent = {"as": person.user, "place": "room", "request": self._request(), "kind": kind, "about": about,
                "answers": answers}
        return await (await self.send("submit", **sent | more)).json()

    async def say(self, person: Person, text: str, request: str | None = None) -> ClientResponse:
        return await self.send("say", None, **{"as": person.user, "request": request or self._request(), "text": text})

    async def join(self, person: Person) -> Any:
        return await self.submit(person, "join", {"name": [person.name], "shown": ["alias"], "zone": [person.zone],
                                                  "nudges": ["no"]})

    def events(self) -> int:
        """How many there are in the journal."""
        return self.database.run_here(
            lambda connection: connection.execute(select(func.count()).select_from(tables.journal)).scalar_one())


@asynccontextmanager
async def house(directory: Path, *, door: Door | None = None, guide: Path | None = None,
                time_bar: bool = True) -> AsyncIterator[House]:
    async with database(directory) as opened:
        clock = VirtualClock(MONDAY)
        ledger = StoredLedger(opened)
        await open_cohort(ledger, "A cohort", date(2027, 1, 4), "Europe/Berlin", Edition.of(GUIDE, "fortnight"), ROOM,
                          Account("local", "", "olu"), "salt", MONDAY)
        history = History(opened)
        bar = Bar(clock)
        shown: TimeBar | None = bar if time_bar else None
        app = chat(door or Desk(ledger, GUIDE), history, clock, PEOPLE, ROOM, guide, shown, voice=GUIDE.voice)
        async with TestClient(TestServer(app)) as client:
            yield House(client, history, LocalPlatform(history, clock, ROOM), opened, clock, bar)
