"""What was said is kept, once, and shown to those whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.ledger import Unsaved
from bot.local.history import History, direct
from bot.store import tables
from bot.store.database import Database
from tests.bot.local.build import database

AT = datetime(2027, 1, 4, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with database(tmp_path) as opened:
        yield opened


@pytest.fixture
def history(store: Database) -> History:
    return History(store)


async def test_the_same_key_twice_is_one_post(history: History) -> None:
    first = await history.add("ninety", "<p>a</p>", author="ninety", at=AT, key="1:week-1:week_opens")
    again = await history.add("ninety", "<p>b</p>", author="ninety", at=AT + timedelta(1), key="1:week-1:week_opens")
    assert again == first
    assert await history.latest("mei", "ninety") == [first]
    assert await history.find("ninety", "1:week-1:week_opens") == first


async def test_two_at_once_with_one_key_are_one_post(history: History) -> None:
    posts = await asyncio.gather(*(history.add("ninety", str(n), author="mei", at=AT, key="k") for n in range(10)))
    assert len({post.id for post in posts}) == 1


async def test_posts_without_a_key_are_all_kept(history: History) -> None:
    for _ in range(2):
        await history.add("ninety", "<p>hello</p>", author="mei", at=AT)
    assert len(await history.latest("mei", "ninety")) == 2


async def test_an_instant_comes_back_to_the_microsecond(history: History) -> None:
    assert (await history.add("ninety", "", author="mei", at=AT)).at == AT


async def test_the_table_that_the_store_makes_is_the_one_that_is_written(history: History, store: Database) -> None:
    await history.add("ninety", "<p>a</p>", author="mei", at=AT, only_for="mei", key="k")
    row = store.run_here(lambda connection: connection.execute(tables.local_post.select()).one())
    assert row._asdict() == {"id": 1, "room": "ninety", "only_for": "mei", "author": "mei", "at": AT, "key": "k",
                             "html": "<p>a</p>"}


async def test_a_private_answer_is_seen_by_one_person(history: History) -> None:
    everybody = await history.add("ninety", "a", author="ninety", at=AT)
    only_mei = await history.add("ninety", "b", author="ninety", at=AT, only_for="mei")
    assert await history.latest("mei", "ninety") == [everybody, only_mei]
    assert await history.latest("sam", "ninety") == [everybody]


async def test_direct_messages_are_a_room_of_their_own(history: History) -> None:
    nudge = await history.add(direct("mei"), "a", author="ninety", at=AT, only_for="mei")
    assert await history.latest("mei", "ninety") == []
    assert await history.since("mei", ("ninety", direct("mei")), 0) == [nudge]
    assert await history.since("sam", ("ninety", direct("mei")), 0) == []


async def test_it_is_read_backwards_page_by_page(history: History) -> None:
    ids = [(await history.add("ninety", str(n), author="mei", at=AT)).id for n in range(5)]
    assert [post.id for post in await history.latest("mei", "ninety", most=2)] == ids[3:]
    assert [post.id for post in await history.latest("mei", "ninety", ids[3], 2)] == ids[1:3]
    assert [post.id for post in await history.since("mei", ("ninety",), ids[2])] == ids[3:]


async def test_whoever_listens_first_and_looks_then_misses_nothing(history: History) -> None:
    rung = history.bell.listen()
    assert not rung.is_set()
    await history.add("ninety", "a", author="mei", at=AT)
    assert rung.is_set()
    assert not history.bell.listen().is_set()


async def test_what_the_database_does_not_take_is_not_announced(history: History, store: Database) -> None:
    store.run_here(lambda connection: tables.local_post.drop(connection))
    rung = history.bell.listen()
    with pytest.raises(Unsaved):
        await history.add("ninety", "a", author="mei", at=AT)
    assert not rung.is_set()
