"""What the desk, the herald and the board cost beside the bare driver, the straightforward way and Redis.

    make bench, or: pytest -m bench tests/bench/test_store.py -s

All sides of a comparison take turns in one run, over the same rows, with the same durability.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import aiohttp
import psycopg
import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from sqlalchemy import case, event, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from bot.cohort.journal import CheckedIn, Joined
from bot.cohort.scoring import Record
from bot.herald import Herald, board
from bot.ledger import Cohort, CohortId, Delivery, Lane, Member, MemberId, Receipt, RequestId, Transaction
from bot.messages import Board, DeliveryKey, Message
from bot.store import tables
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.model import PostKind
from scheduler.clock import RealClock
from tests.bench import bare
from tests.bench.cohort import EDITION, MONDAY, WEEKS, CheckIn, copied, desk_of, fill
from tests.bench.table import percentile, record, undisturbed
from tests.postgresql import Server, server

pytestmark = pytest.mark.bench

CALLERS = 32
CLAIMED = 1_000
JOBS = 10_000
FUTURE = datetime(2030, 1, 1, tzinfo=UTC)
LANE = Lane("local", True)

Addresses = Callable[[int, Sequence[str]], Awaitable[list[str]]]
"""Of databases with the same rows: so many members, and a name for each side."""


@pytest.fixture(scope="module")
def durable_postgresql() -> Iterator[Server]:
    with server(durable=True) as started:
        yield started


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def addresses(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Addresses:
    async def filled(members: int, names: Sequence[str]) -> list[str]:
        if kind == "SQLite":
            await fill(f"sqlite:///{tmp_path}/filled.db", members)
            return [copied(tmp_path / "filled.db", name) for name in names]
        started: Server = request.getfixturevalue("durable_postgresql")
        name = f"filled_{members}_{tmp_path.name}"
        await fill(started.database(name), members)
        return [started.database(f"{one}_{tmp_path.name}", name) for one in names]

    return filled


# --- check-ins --------------------------------------------------------------------------------------------------------


async def test_a_check_in_takes_at_most_twice_the_bare_transaction(kind: str, addresses: Addresses) -> None:
    members, weeks = 64, 6
    for_ours, for_bare = await addresses(members, ("ours", "bare"))
    database, floor = Database(for_ours), bare.opened(for_bare)
    desk = desk_of(database)
    ours, theirs = [], []
    with undisturbed():
        for one in (CheckIn(number, week) for week in range(weeks) for number in range(members)):
            begun = perf_counter()
            floor.alone(partial(bare.check_in, who=one.who, request=one.request, body=one.body, points=one.points))
            middle = perf_counter()
            await one.at_desk(desk)
            ended = perf_counter()
            if one.week:    # the first warms both up
                theirs.append(1000 * (middle - begun))
                ours.append(1000 * (ended - middle))
    floor.close()
    database.close()
    ratio = record(f"check-in, 1 caller, p50, {kind}", median(ours), median(theirs), 2.0)
    assert ratio <= 3


async def test_32_callers_wait_little_longer_than_for_a_bare_starlette_handler(kind: str, addresses: Addresses) -> None:
    members, weeks = 256, 6
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    urls = await addresses(members, list(taken))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLERS)) as session, \
            handler("ours", urls[0]) as ours, handler("bare", urls[1]) as floor:
        with undisturbed():
            for week in range(weeks):
                for name, address in (("bare", floor), ("ours", ours)):
                    times = await by_callers(partial(posted, session, address),
                                             [CheckIn(number, week) for number in range(members)])
                    taken[name] += times if week else []
    mine, theirs = (percentile(taken[name], 0.99) for name in ("ours", "bare"))
    ratio = record(f"check-in, {CALLERS} callers, p99, {kind}", mine, theirs, 1.75, peer="bare Starlette")
    spread = record(f"check-in, {CALLERS} callers, p99, {kind}", mine, median(taken["ours"]), 2.2, peer="its own p50")
    assert ratio <= 3
    assert spread <= 4


async def test_sqlite_takes_five_times_as_many_check_ins_as_the_straightforward_way(tmp_path: Path) -> None:
    members, weeks = 256, 5
    await fill(f"sqlite:///{tmp_path}/filled.db", members)
    database = Database(copied(tmp_path / "filled.db", "ours"))
    desk = desk_of(database)
    engine = create_async_engine(copied(tmp_path / "filled.db", "plain").replace("sqlite", "sqlite+aiosqlite", 1),
                                 connect_args={"timeout": 60})

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    seconds = {"ours": [0.0], "plain": [0.0]}
    with undisturbed():
        for week in range(weeks):
            for name, work in (("plain", partial(straightforward, engine)), ("ours", lambda one: one.at_desk(desk))):
                begun = perf_counter()
                await by_callers(work, [CheckIn(number, week) for number in range(members)])
                if week:
                    seconds[name].append(perf_counter() - begun)
    await engine.dispose()
    database.close()
    ours, plain = (members * (weeks - 1) / sum(seconds[name]) for name in ("ours", "plain"))
    ratio = record(f"check-ins, {CALLERS} callers, SQLite", ours, plain, 5, "/s", "SQLAlchemy async over aiosqlite",
                   at_least=True)
    assert ratio >= 3


async def straightforward(engine: AsyncEngine, one: CheckIn) -> None:
    """A session and a commit for each request, as in the tutorials; without the rules."""
    room, member, journal, delivery = tables.room, tables.member, tables.journal, tables.delivery
    who = one.who
    async with AsyncSession(engine) as session:
        cohort = (await session.execute(select(room.c.cohort).where(
            room.c.platform == who.platform, room.c.workspace == who.workspace,
            room.c.channel == who.channel))).scalar_one()
        found = (await session.execute(select(member).where(
            member.c.cohort == cohort, member.c.platform == who.platform, member.c.workspace == who.home,
            member.c.user == who.user))).one()
        (await session.execute(select(journal).where(journal.c.member == found.id).order_by(journal.c.seq))).all()
        await session.execute(insert(journal).values(
            cohort=cohort, member=found.id, at=one.at, kind="checked_in", body=json.loads(one.body),
            request=one.request).on_conflict_do_nothing())
        await session.execute(update(member).where(member.c.id == found.id).values(points=one.points))
        await session.execute(update(delivery).where(
            delivery.c.member == found.id, delivery.c.state == "owed", delivery.c.kind == "nudge",
            delivery.c.step == one.step).values(state="withdrawn", reason="checked in", claimable=None))
        total = tables.total.c
        await session.execute(select(func.sum(case((total.points > one.points, total.members), else_=0)),
                                     func.sum(total.members)).where(total.cohort == cohort))
        await session.commit()


async def by_callers(work: Callable[[CheckIn], Awaitable[object]], all_of_them: Sequence[CheckIn]) -> list[float]:
    """Milliseconds each; so many at once that there are always `CALLERS`."""
    waiting, taken = iter(all_of_them), []

    async def caller() -> None:
        for one in waiting:
            begun = perf_counter()
            await work(one)
            taken.append(1000 * (perf_counter() - begun))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return taken


async def posted(session: aiohttp.ClientSession, address: str, one: CheckIn) -> None:
    async with session.post(address, json={"number": one.number, "week": one.week}) as response:
        await response.read()
        assert response.status == 200, await response.text()


@asynccontextmanager
async def handler(kind: str, url: str) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "tests.bench.starlette_app", kind, url, str(port),
        cwd=Path(__file__).parents[2])
    try:
        async with asyncio.timeout(30):
            while not await accepts(port):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# --- the herald -------------------------------------------------------------------------------------------------------


class Silent:
    """A platform to which nothing is due."""

    async def ready(self, to: object) -> None:
        raise AssertionError(f"something was due to {to}")

    async def post(self, to: object, message: Message, key: DeliveryKey) -> Receipt:
        raise AssertionError(key)

    async def find(self, to: object, key: DeliveryKey, since: datetime) -> Receipt | None:
        raise AssertionError(key)

    async def award(self, to: object, room: object, role: str) -> None:
        raise AssertionError(role)


def owed(number: int, due: datetime) -> Delivery:
    return Delivery(DeliveryKey(f"bench:{number}"), CohortId(1), PostKind.NUDGE, EDITION.plan.steps[0].id,
                    MemberId(1), due, due + timedelta(days=365), LANE)


class Ticked(BaseScheduler):  # type: ignore[misc]
    """APScheduler without a thread: it is woken by hand."""

    def wakeup(self) -> None: ...

    def shutdown(self, wait: bool = True) -> None:
        super().shutdown(wait)


async def test_an_idle_tick_is_eighty_times_cheaper_than_that_of_apscheduler(tmp_path: Path) -> None:
    ticks, in_a_row = 1_000, 50
    await fill(f"sqlite:///{tmp_path}/ours.db", 1)
    database = Database(f"sqlite:///{tmp_path}/ours.db")
    ledger = StoredLedger(database)
    await ledger.transact(lambda tx: tx.owe(owed(number, FUTURE + timedelta(seconds=number)) for number in range(JOBS)))
    herald = Herald(ledger, {"local": Silent()}, RealClock())
    now = MONDAY - timedelta(days=2)

    store = SQLAlchemyJobStore(f"sqlite:///{tmp_path}/jobs.db")
    scheduler = Ticked(jobstores={"default": store}, timezone=UTC)
    scheduler.start()
    scheduler.add_job(print, "date", run_date=FUTURE, id="0")
    with store.engine.begin() as connection:
        row, = connection.execute(select(store.jobs_t)).mappings()
        connection.execute(store.jobs_t.insert(), [
            {**row, "id": str(number), "next_run_time": row["next_run_time"] + number} for number in range(1, JOBS)])
    bare = sqlite3.connect(tmp_path / "ours.db", isolation_level=None)
    taken: dict[str, list[float]] = {name: [] for name in ("theirs", "ours", "cold", "bare, cold")}
    # Of the processor's time: neither waits for anything, but who takes longer is interrupted more often.
    with undisturbed():
        for _ in range(ticks // in_a_row):
            begun = thread_time()
            for _ in range(in_a_row):
                scheduler._process_jobs()
            middle = thread_time()
            for _ in range(in_a_row):
                await herald.drain(LANE, now)
            taken["theirs"].append((middle - begun) / in_a_row)
            taken["ours"].append((thread_time() - middle) / in_a_row)
        # One right after theirs pays for the processor's caches, which that has filled with its own: there the barest
        # question to SQLite is hardly eighty times cheaper itself.
        for _ in range(ticks // 4):
            scheduler._process_jobs()
            begun = thread_time()
            await herald.drain(LANE, now)
            taken["cold"].append(thread_time() - begun)
            scheduler._process_jobs()
            begun = thread_time()
            bare.execute("SELECT 1").fetchone()
            taken["bare, cold"].append(thread_time() - begun)
    bare.close()
    scheduler.shutdown()
    store.shutdown()
    database.close()
    theirs, ours, *cold = (1 / median(times) for times in taken.values())
    job, peer = f"idle tick, {JOBS:,} jobs, SQLite", "APScheduler, SQL store"
    ratio = record(job, ours, theirs, 80, "/s", peer, at_least=True)
    for name, one in zip(("right after theirs", "a bare SELECT 1 there"), cold, strict=True):
        record(f"{job}, {name}", one, theirs, None, "/s", peer, at_least=True)
    assert ratio >= 60


async def test_claiming_a_thousand_takes_at_most_twice_the_bare_statements(kind: str, addresses: Addresses) -> None:
    rounds, later = 12, MONDAY + timedelta(days=1)
    for_ours, for_bare = await addresses(1, ("ours", "bare"))
    for url in (for_ours, for_bare):
        database = Database(url)
        await StoredLedger(database).transact(
            lambda tx: tx.owe(owed(number, MONDAY + timedelta(milliseconds=number)) for number in range(3 * CLAIMED)))
        database.close()
    database, floor, sides = Database(for_ours), bare.opened(for_bare), [bare.opened(for_ours), bare.opened(for_bare)]
    ledger = StoredLedger(database)
    ours, theirs = [], []

    def claim(tx: Transaction) -> int:
        return len(tx.claim(LANE, later, CLAIMED))

    with undisturbed():
        for turn in range(rounds):
            for side in sides:
                side.alone(lambda run: run("UPDATE delivery SET state = 'owed', attempt = 0 WHERE platform = ? "
                                           "AND kind = 'nudge'", ("local",)))
            begun = perf_counter()
            claimed = floor.alone(partial(bare_claim, kind=kind, now=later))
            middle = perf_counter()
            assert await ledger.transact(claim) == claimed == CLAIMED
            ended = perf_counter()
            if turn > 1:
                theirs.append(1000 * (middle - begun))
                ours.append(1000 * (ended - middle))
    for store in (floor, *sides):
        store.close()
    database.close()
    ratio = record(f"claim {CLAIMED:,} due, {kind}", median(ours), median(theirs), 2.0)
    assert ratio <= 3


def bare_claim(run: bare.Run, kind: str, now: datetime) -> int:
    lock = " FOR UPDATE SKIP LOCKED" if kind == "PostgreSQL" else ""
    rows = run(f"SELECT * FROM delivery WHERE platform = ? AND private AND claimable <= ? AND state IN "  # noqa: S608
               f"('owed', 'sending', 'unknown') ORDER BY claimable, id LIMIT {CLAIMED}{lock}",
               ("local", int(now.timestamp() * 1_000_000))).fetchall()
    ids = [row[0] for row in rows]
    if kind == "PostgreSQL":
        run("UPDATE delivery SET state = 'sending', attempt = attempt + 1 WHERE id = ANY(?)", (ids,))
    else:
        run(f"UPDATE delivery SET state = 'sending', attempt = attempt + 1 WHERE id IN ({','.join('?' * len(ids))})",  # noqa: S608
            tuple(ids))
    return len(rows)


# --- the board --------------------------------------------------------------------------------------------------------

SMALL, LARGE = 1_000, 1_000_000
TOTALS = 200
"""Different numbers of points, in steps of 5: so many share a place."""
AROUND = 2
Card = Callable[[], Awaitable[object]]
YOU = SMALL // 2


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With both boards in it, as sorted sets, and everybody's name."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    port = free_port()
    process = subprocess.Popen(  # noqa: S603  # ours
        [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning",
         "--dir", str(tmp_path_factory.mktemp("redis"))], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port, retry=Retry(ConstantBackoff(0.05), 200)) as client:
            client.ping()
            for members in (SMALL, LARGE):
                # In portions: Redis serves nobody else meanwhile, and its client does not wait for ever.
                for first in range(1, members, 20_000):
                    client.eval("for i = ARGV[1], ARGV[2] do redis.call('ZADD', KEYS[1], 5 * (i % ARGV[3]), i) "
                                "redis.call('HSET', KEYS[2], i, 'Member ' .. i) end", 2, f"board {members}",
                                f"names {members}", first, min(first + 19_999, members), TOTALS)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def test_a_board_card_takes_less_than_redis_and_as_long_for_a_million(
        kind: str, redis_url: str, addresses: Addresses) -> None:
    rounds, sizes = 400, (SMALL, LARGE)
    now = MONDAY + timedelta(weeks=WEEKS - 1)
    databases = []
    for url, members in zip(await addresses(0, [str(size) for size in sizes]), sizes, strict=True):
        store = bare.opened(url)
        store.alone(partial(populate, kind=kind, members=members))
        store.close()
        if kind == "PostgreSQL":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")    # as the server would by itself, beside the measured rounds
        databases.append(Database(url))
    cards = [await card_of(StoredLedger(database), now) for database in databases]
    taken: dict[str, list[float]] = {"ours": [], "ours, large": [], "Redis": [], "Redis, large": []}
    async with AsyncRedis.from_url(redis_url) as client:
        work: dict[str, Card] = dict(zip(
            taken, (*cards, *(partial(redis_card, client, size) for size in sizes)), strict=True))
        with undisturbed():
            for turn in range(rounds):
                for name, one in work.items():
                    begun = perf_counter()
                    await one()
                    if turn >= rounds // 10:
                        taken[name].append(1000 * (perf_counter() - begun))
    for database in databases:
        database.close()
    ours, large, redis, redis_large = (median(times) for times in taken.values())
    most = 0.4 if kind == "SQLite" else 1.0
    ratio = record(f"board card, {SMALL:,} members, {kind}", ours, redis, most, peer="Redis")
    record(f"board card, {LARGE:,} members, {kind}", large, redis_large, most, peer="Redis")
    growth = record(f"board card, {LARGE:,} members, {kind}", large, ours, 1.2, peer=f"its own of {SMALL:,}")
    assert ratio <= 2 * most
    assert growth <= 2


def populate(run: bare.Run, kind: str, members: int) -> None:
    """At once: to have them join one by one would take an hour."""
    if kind == "PostgreSQL":
        run("ALTER TABLE member DISABLE TRIGGER ALL", ())
    run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO member (cohort, platform, workspace, \"user\", name, name_folded, alias, alias_folded, "
        "shows_name, shown, zone, nudges, present, points) SELECT 1, 'local', '', 'member-' || i, 'Member ' || i, "
        "'member ' || i, 'Alias ' || i, 'alias ' || i, true, 'member ' || i, 'Europe/Berlin', false, true, 5 * (i % ?) "
        "FROM n", (members, TOTALS))
    if kind == "PostgreSQL":
        run("INSERT INTO total SELECT cohort, points, id % 8, count(*) FROM member WHERE points > 0 GROUP BY 1, 2, 3",
            ())
        run("ALTER TABLE member ENABLE TRIGGER ALL", ())


async def card_of(ledger: StoredLedger, now: datetime) -> Card:
    """Whoever is on it has a journal, as it is after a season."""
    def prepared(tx: Transaction) -> tuple[Cohort, Member]:
        cohort = tx.cohort(CohortId(1))
        you = tx.enrolment(cohort.id, CheckIn(YOU, 0).caller.account)
        assert you is not None
        best, around = tx.board(cohort.id, cohort.edition.rules.privacy.board_rows, you)
        for member in (*best, *(member for _, member in around)):
            tx.append(member, Joined(MONDAY, member.zone, EDITION.plan.steps[0].id), RequestId("join"))
            for week in range(WEEKS - 1):
                one = CheckIn(0, week)
                tx.append(member, CheckedIn(one.at, EDITION.plan.steps[week].id, (), 6, (), "", ""),
                          RequestId(one.request))
            # As the desk writes it down with each of them; the points are those that were filled in.
            tx.change_member(replace(member.standing(Record(cohort.course, tx.journal(member.id), one.at)),
                                     points=member.points))
        return cohort, you

    cohort, you = await ledger.transact(prepared)

    def card(tx: Transaction) -> Board:
        drawn = board(tx, cohort, now, you)
        assert drawn is not None
        assert len(drawn.rows) > cohort.edition.rules.privacy.board_rows
        return drawn

    return partial(ledger.transact, card, reads=True)


async def redis_card(client: AsyncRedis, size: int) -> object:
    """In as few turns as it can be had."""
    key, you = f"board {size}", str(YOU)
    ask = client.pipeline(transaction=False)
    ask.zrevrange(key, 0, 9, withscores=True)
    ask.zscore(key, you)
    ask.zrevrank(key, you)
    top, points, rank = await ask.execute()
    ask.zcount(key, f"({points}", "+inf")
    ask.zrevrange(key, max(0, rank - AROUND), rank + AROUND, withscores=True)
    above, around = await ask.execute()
    names = await client.hmget(f"names {size}", [member for member, _ in (*top, *around)])
    return top, above + 1, around, names
