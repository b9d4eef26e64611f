"""SQLite's one writer: what waits together is kept together, with one wait for the disk, and each stands for itself."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select, text
from sqlalchemy.engine import make_url

from bot.ledger import Unsaved
from bot.store import database as store
from bot.store import sqlite, tables
from bot.store.database import Database

CHANNEL = tables.direct_channel


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copyfile(migrated, tmp_path / 'ninety.db')}"


def path_of(url: str) -> str:
    path = make_url(url).database
    assert path is not None
    return path


def keep(connection: Connection, user: str) -> str:
    connection.execute(insert(CHANNEL).values(platform="p", workspace="", user=user, channel="1"))
    return user


def kept(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(CHANNEL.c.user)).scalars())


class Watched(Database):
    """Counts what is committed."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits = 0
        event.listen(self.engine, "connect", lambda connection, _: connection.set_trace_callback(self._trace))

    def _trace(self, words: str) -> None:
        self.commits += words == "COMMIT"


async def together(database: Database, *works: Callable[[Connection], object],
                   meanwhile: Callable[[object], object] | None = None) -> list[object]:
    """What each gives or raises. All of them wait while another transaction is at work, and so are one group."""
    begun, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        begun.set()
        assert go.wait(5)

    first = asyncio.ensure_future(database.run(hold))
    assert await asyncio.to_thread(begun.wait, 5)
    await asyncio.sleep(sqlite.GROUP)       # after which that group takes nobody in
    others = [asyncio.ensure_future(database.run(work, meanwhile=meanwhile)) for work in works]
    await asyncio.sleep(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "GROUP", 60.0)    # of the others, also where the machine takes its time
        go.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)


async def test_what_waits_together_is_one_commit(database_url: str) -> None:
    async with Watched(database_url) as database:
        assert await together(database, *(partial(keep, user=user) for user in "abc")) == ["a", "b", "c"]
        assert database.commits == 2, "and the one that was waited for"
        assert await database.run(kept) == ["a", "b", "c"]


async def test_one_that_fails_is_undone_alone(database_url: str) -> None:
    """By a bug of its own as by what the database says."""
    def buggy(connection: Connection) -> None:
        keep(connection, "buggy")
        raise LookupError("a bug")

    def stops(connection: Connection) -> None:
        keep(connection, "stops")
        next(iter(()))

    def doubled(connection: Connection) -> None:
        keep(connection, "doubled")
        keep(connection, "a")

    async with Watched(database_url) as database:
        answers = await together(database, partial(keep, user="a"), buggy, stops, doubled, partial(keep, user="b"))
        assert [answer if isinstance(answer, str) else type(answer) for answer in answers] == [
            "a", LookupError, RuntimeError, Unsaved, "b"]
        assert database.commits == 2
        assert await database.run(kept) == ["a", "b"]


async def test_nobody_is_answered_before_all_of_it_is_kept(database_url: str) -> None:
    """At each answer another process sees what was answered for."""
    async with Database(database_url) as database:
        seen: list[list[str]] = []

        async def ask(user: str) -> None:
            await database.run(partial(keep, user=user))
            other = sqlite3.connect(path_of(database_url))
            seen.append(sorted(row[0] for row in other.execute('SELECT "user" FROM direct_channel')))
            other.close()

        await asyncio.gather(*(ask(user) for user in "abcdefgh"))
        assert len(seen) == 8
        assert all(user in found for user, found in zip("abcdefgh", seen, strict=True))


async def test_a_group_whose_commit_fails_is_unsaved_as_a_whole(database_url: str) -> None:
    """A constraint that is looked at only in the end fails the commit itself, as a disk would."""
    async with Database(database_url) as database:
        await database.run(lambda connection: connection.execute(text(
            "CREATE TABLE late (of INTEGER REFERENCES edition (digest) DEFERRABLE INITIALLY DEFERRED)")))

        def late(connection: Connection) -> None:
            connection.execute(text("INSERT INTO late VALUES (1)"))

        answers = await together(database, partial(keep, user="a"), late, partial(keep, user="b"))
        assert [type(answer) for answer in answers] == [Unsaved, Unsaved, Unsaved]
        assert await database.run(kept) == []
        assert await database.run(partial(keep, user="c")) == "c"


async def test_where_sqlite_undoes_everything_by_itself_nobody_is_told_that_theirs_was_kept(database_url: str) -> None:
    """And whoever comes after it in the group does not write outside a transaction."""
    def undoes(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT OR ROLLBACK INTO direct_channel VALUES ('p', '', 'a', '2')")

    async with Database(database_url) as database:
        before, undone, after = await together(database, partial(keep, user="a"), undoes, partial(keep, user="b"))
        assert (type(before), type(undone), after) == (Unsaved, Unsaved, "b")
        assert await database.run(kept) == ["b"]


async def test_what_is_said_of_it_is_made_while_the_disk_keeps_it(database_url: str) -> None:
    said = threading.Event()
    in_time: list[bool] = []
    heard: list[tuple[str, threading.Thread]] = []

    def say(user: str) -> None:
        heard.append((user, threading.current_thread()))
        said.set()

    async with Database(database_url) as database:
        # A disk that takes until then; what it is told by is called when the statement begins.
        event.listen(database.engine, "connect", lambda connection, _: connection.set_trace_callback(
            lambda words: in_time.append(said.wait(5)) if words == "COMMIT" else None))
        assert await database.run(partial(keep, user="a"), meanwhile=say) == "a"
        assert (in_time, heard) == ([True], [("a", threading.current_thread())])


async def test_of_a_group_each_hears_of_their_own(database_url: str) -> None:
    heard: list[object] = []

    def refuse(connection: Connection) -> None:
        keep(connection, "b")
        raise LookupError("no")

    async with Database(database_url) as database:
        answers = await together(database, partial(keep, user="a"), refuse, partial(keep, user="c"),
                                 meanwhile=heard.append)
        assert [type(answer) for answer in answers] == [str, LookupError, str]
        assert heard == ["a", "c"]


async def test_what_is_said_of_a_commit_that_fails_is_no_answer(database_url: str) -> None:
    heard: list[None] = []
    async with Database(database_url) as database:
        await database.run(lambda connection: connection.execute(text(
            "CREATE TABLE late (of INTEGER REFERENCES edition (digest) DEFERRABLE INITIALLY DEFERRED)")))

        def late(connection: Connection) -> None:
            connection.execute(text("INSERT INTO late VALUES (1)"))

        with pytest.raises(Unsaved):
            await database.run(late, meanwhile=heard.append)
        assert heard == [None]
        assert await database.run(kept) == []


@pytest.mark.parametrize("kind", ["writes", "reads", "for a rehearsal"])
async def test_what_cannot_be_said_comes_through_and_it_is_kept(database_url: str, kind: str) -> None:
    def fail(user: str) -> None:
        raise LookupError(f"no word for {user}")

    async with Database(database_url, durable=kind != "for a rehearsal") as database:
        with pytest.raises(LookupError, match="no word for a"):
            await database.run(partial(keep, user="a"), reads=kind == "reads", meanwhile=fail)
        assert await database.run(kept) == ["a"]


async def test_whoever_gave_up_waiting_is_left_out(database_url: str) -> None:
    async with Database(database_url) as database:
        begun, go = threading.Event(), threading.Event()

        def hold(_: Connection) -> None:
            begun.set()
            go.wait(5)

        first = asyncio.ensure_future(database.run(hold))
        assert await asyncio.to_thread(begun.wait, 5)
        given_up = asyncio.ensure_future(database.run(partial(keep, user="a")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        go.set()
        await first
        assert await database.run(kept) == []


async def test_nobody_waits_much_longer_than_the_lock_lasts_that_was_waited_for(
        database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who queued behind one that waited in vain do not wait as long again."""
    monkeypatch.setattr(store, "BUSY", 0.3)
    async with Database(database_url) as database:
        other = sqlite3.connect(path_of(database_url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        answers = await asyncio.gather(*(database.run(partial(keep, user=user)) for user in "abcdefghijklmnopqrst"),
                                       return_exceptions=True)
        assert 0.3 <= time.monotonic() - begun < 3        # and not twenty times as long
        assert {type(answer) for answer in answers} == {Unsaved}
        other.close()
        assert await database.run(partial(keep, user="u")) == "u"


async def test_those_in_other_threads_and_the_writer_take_turns(database_url: str) -> None:
    async with Database(database_url) as database:
        async def here(number: int) -> str:
            return await asyncio.to_thread(database.run_here, partial(keep, user=f"here {number}"))

        await asyncio.gather(*(here(number) for number in range(20)),
                             *(database.run(partial(keep, user=f"loop {number}")) for number in range(20)))
        assert len(await database.run(kept)) == 40


async def test_a_look_waits_for_nobody(database_url: str) -> None:
    """Even while another process writes, and ours waits for it."""
    async with Database(database_url) as database:
        await database.run(partial(keep, user="a"))
        other = sqlite3.connect(path_of(database_url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waits = asyncio.ensure_future(database.run(partial(keep, user="b")))
        async with asyncio.timeout(store.BUSY / 2):
            assert await database.look(kept) == ["a"]
        assert not waits.done()
        other.execute("ROLLBACK")
        other.close()
        await waits


async def test_what_only_reads_waits_for_nobody_who_writes(database_url: str) -> None:
    """And sees what has been kept, by anybody, but nothing that is being written."""
    async with Database(database_url) as database, Database(database_url) as other:
        assert await database.run(kept, reads=True) == []
        await other.run(partial(keep, user="a"))
        writer = sqlite3.connect(path_of(database_url), isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM direct_channel")
        waits = asyncio.ensure_future(database.run(partial(keep, user="b")))
        async with asyncio.timeout(store.BUSY / 2):
            assert await database.run(kept, reads=True) == ["a"]
        assert not waits.done()
        writer.execute("ROLLBACK")
        writer.close()
        await waits
        assert await database.run(kept, reads=True) == ["a", "b"]


@pytest.mark.parametrize("kind", ["durable", "for a rehearsal"])
async def test_what_was_to_read_and_writes_is_kept_once(database_url: str, kind: str) -> None:
    runs: list[str] = []

    def both(connection: Connection) -> list[str]:
        runs.append(threading.current_thread().name)
        before = kept(connection)
        keep(connection, "a")
        return before

    async with Database(database_url, durable=kind == "durable") as database:
        assert await database.run(both, reads=True) == []
        assert await database.run(kept, reads=True) == ["a"]
    assert len(runs) == (2 if kind == "durable" else 1)


async def test_what_reads_and_refuses_is_heard_once(database_url: str) -> None:
    runs: list[int] = []

    def refuse(connection: Connection) -> None:
        runs.append(len(kept(connection)))
        raise LookupError("no")

    async with Database(database_url) as database:
        for _ in range(2):
            with pytest.raises(LookupError, match="no"):
                await database.run(refuse, reads=True)
        assert runs == [0, 0]
        assert await database.run(kept, reads=True) == []


GLANCE = "SELECT count(*) FROM direct_channel"


@pytest.mark.parametrize("here", [True, False])
async def test_a_glance_sees_what_anybody_has_written(database_url: str, here: bool) -> None:
    async with Database(database_url) as database, Database(database_url) as other:
        assert await database.glance(GLANCE, {}) == (0,)
        await (database if here else other).run(partial(keep, user="a"))
        assert await database.glance(GLANCE, {}) == (1,)


@pytest.mark.parametrize("here", [True, False])
async def test_whoever_has_written_is_noticed_and_nobody_who_has_not(database_url: str, here: bool) -> None:
    async with Database(database_url) as database, Database(database_url) as other:
        before = database.written()
        await other.look(kept)
        assert await database.glance(GLANCE, {}) == (0,)
        assert database.written() == before
        await (database if here else other).run(partial(keep, user="a"))
        assert database.written() != before


async def test_where_the_database_does_not_tell_somebody_may_have_written(database_url: str) -> None:
    async with Database("sqlite://", durable=False) as database:
        assert database.written() != database.written()
    closed = Database(database_url)
    assert closed.written() == closed.written()
    closed.close()
    assert closed.written() != closed.written()


async def test_a_glance_waits_for_nobody_who_writes(database_url: str) -> None:
    async with Database(database_url) as database:
        other = sqlite3.connect(path_of(database_url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await database.glance(GLANCE, {}) == (0,)
        other.execute("ROLLBACK")
        other.close()


async def test_a_glance_at_what_is_in_memory_is_at_the_same_rows() -> None:
    async with Database("sqlite://", durable=False) as database:
        await database.run(lambda connection: connection.execute(text("CREATE TABLE t (a)")))
        await database.run(lambda connection: connection.execute(text("INSERT INTO t VALUES (1)")))
        assert await database.glance("SELECT a FROM t WHERE a = :one", {"one": 1}) == (1,)


async def test_a_glance_that_fails_is_unsaved(database_url: str) -> None:
    async with Database(database_url) as database:
        with pytest.raises(Unsaved):
            await database.glance("SELECT * FROM nowhere", {})


def test_a_database_that_is_closed_takes_nothing(database_url: str) -> None:
    database = Database(database_url)
    database.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        asyncio.run(database.run(kept))
