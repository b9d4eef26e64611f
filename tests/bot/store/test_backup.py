"""A copy made while people check in is whole, and put back it is a cohort that goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.cohort.scoring import Record
from bot.herald import Herald
from bot.ledger import Account, Lane, Receipt, RequestId, Room, State, Transaction
from bot.messages import DeliveryKey, Message
from bot.store import backup as copies
from bot.store.backup import Contents, NotSaved, Restored, backup, doubt, file_of, restore
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import DatabaseIsNewer
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, WEEK_1, caller, settle

NOW = datetime(2027, 1, 6, 12, 0, 7, tzinfo=UTC)
ASIDE = "ninety.db.before-restore-20270106T120007Z"
PEOPLE = [f"user{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds a lock in these tests does not give it up in time anyway."""
    monkeypatch.setattr(copies, "BUSY", 0.05)


@pytest.fixture
def path(migrated: Path, tmp_path: Path) -> Path:
    """Of a database without a row."""
    return shutil.copyfile(migrated, tmp_path / "ninety.db")


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{path}")
    try:
        yield database
    finally:
        database.close()


def requests(path: Path) -> dict[str, int]:
    """Every request in the journal, with its number there."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT request, seq FROM journal"))


def hold(path: Path) -> set[str]:
    """The files of a folder."""
    return {found.name for found in path.iterdir()}


# --- whole ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_", range(3))
async def test_what_was_acknowledged_before_a_backup_is_there_after_a_restore(path: Path, tmp_path: Path,
                                                                              round_: int) -> None:
    acknowledged: set[str] = set()
    stop = asyncio.Event()
    with opened(path) as database:
        desk = await settle(database, PEOPLE)
        enough = asyncio.Event()

        async def check_in(user: str) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                request = f"{user} {number}"
                answer = await desk.submit(caller(user), "check-in", "week-1", {
                    "tasks": (("read",), ("read", "build-index"))[number % 2], "hours": (str(number % 9),),
                    "notes": ("words " * 50,)}, RequestId(request), WEEK_1 + timedelta(seconds=number))
                assert not answer.refused
                acknowledged.add(request)
                if len(acknowledged) >= 50 * (1 + round_):
                    enough.set()

        writers = [asyncio.create_task(check_in(user)) for user in PEOPLE]
        await enough.wait()
        before, copy = set(acknowledged), tmp_path / "copy.db"
        contents = await asyncio.to_thread(backup, path, copy)
        while acknowledged == before:   # a copy can be made faster than anybody checks in
            before, copy = set(acknowledged), copy.with_suffix(".again.db")
            contents = await asyncio.to_thread(backup, path, copy)
        stop.set()
        await asyncio.gather(*writers)
    lived = requests(path)

    restored = tmp_path / "new house" / "ninety.db"
    assert restore(copy, restored, NOW) == Restored(contents, None)
    found = requests(restored)
    assert before <= set(found)
    # One instant of the journal: all up to some entry, and nothing after.
    assert found == {request: seq for request, seq in lived.items() if seq <= max(found.values())}
    assert contents == Contents(contents.revision, 1, len(PEOPLE), len(found))

    def totals(tx: Transaction) -> dict[str, tuple[int, int]]:
        (cohort,) = tx.cohorts()
        return {member.name: (member.points, Record(cohort.course, tx.journal(member.id), WEEK_1).points)
                for member in tx.members(cohort.id)}

    with opened(restored) as database:
        points = await StoredLedger(database).transact(totals)
    assert len(points) == len(PEOPLE)
    assert all(cached == worked_out > 0 for cached, worked_out in points.values())


async def test_a_copy_is_one_file_that_only_its_owner_reads(path: Path, tmp_path: Path) -> None:
    with opened(path) as database:
        await settle(database, PEOPLE)
        (tmp_path / "kept").mkdir()
        backup(path, tmp_path / "kept" / "copy.db")
    assert hold(tmp_path / "kept") == {"copy.db"}
    assert stat.S_IMODE((tmp_path / "kept" / "copy.db").stat().st_mode) == 0o600


def test_what_was_deleted_is_not_in_the_copy(path: Path, tmp_path: Path) -> None:
    """SQLite leaves what it deletes in the file until it is written over, where it was not built to do otherwise."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("INSERT INTO edition (digest, snapshot) VALUES ('d', ?)", ("a member's words " * 200,))
        connection.execute("DELETE FROM edition")
    assert b"a member's words" in path.read_bytes()
    backup(path, tmp_path / "copy.db")
    assert b"a member's words" not in (tmp_path / "copy.db").read_bytes()


# --- backup refuses ---------------------------------------------------------------------------------------------------


def test_a_backup_writes_over_nothing_unless_it_is_told_to(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("dear to somebody")
    with pytest.raises(NotSaved, match=r"copy\.db is there already; --force writes over it$"):
        backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "dear to somebody"
    backup(path, tmp_path / "copy.db", force=True)
    assert requests(tmp_path / "copy.db") == {}
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_a_backup_that_somebody_else_overtakes_leaves_theirs(path: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    whole = copies._copied

    def overtaken(database: Path, to: Path) -> Contents:
        (tmp_path / "copy.db").write_text("theirs")
        return whole(database, to)

    monkeypatch.setattr(copies, "_copied", overtaken)
    with pytest.raises(NotSaved, match="is there already"):
        backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "theirs"
    assert hold(tmp_path) == {"ninety.db", "copy.db"}


@pytest.mark.parametrize("force", [False, True])
def test_a_backup_never_writes_over_the_database_itself(path: Path, force: bool) -> None:
    before = path.read_bytes()
    with pytest.raises(NotSaved):
        backup(path, path, force=force)
    assert path.read_bytes() == before


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match=r"there is no database at .*missing\.db$"):
        backup(tmp_path / "missing.db", tmp_path / "copy.db")
    assert hold(tmp_path) == set()


def test_a_folder_that_is_not_there_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match="No such file or directory"):
        backup(path, tmp_path / "nowhere" / "copy.db")


def test_a_damaged_database_gives_no_copy(path: Path, tmp_path: Path) -> None:
    damage(path)
    with pytest.raises(NotSaved, match=r"damaged|not sound"):
        backup(path, tmp_path / "copy.db")
    assert hold(tmp_path) == {"ninety.db"}


def damage(path: Path) -> None:
    """Every page but the first is noise."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))


# --- restore ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def copy(path: Path, tmp_path: Path) -> Path:
    """Of a cohort with everybody in it; what is at `path` has gone on since."""
    with opened(path) as database:
        desk = await settle(database, PEOPLE)
        backup(path, tmp_path / "copy.db")
        answer = await desk.submit(caller(PEOPLE[0]), "check-in", "week-1", {"tasks": ("read",)},
                                   RequestId("later"), WEEK_1)
        assert not answer.refused
    return tmp_path / "copy.db"


def test_a_restore_writes_over_nothing_unless_it_is_told_to(path: Path, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match=r"there is a database at .* already; --force puts the copy in its place"):
        restore(copy, path, NOW)
    assert "later" in requests(path)
    assert hold(tmp_path) == {"ninety.db", "copy.db"}


def test_what_was_there_is_kept_aside(path: Path, copy: Path, tmp_path: Path) -> None:
    restored = restore(copy, path, NOW, force=True)
    assert restored == Restored(Contents(restored.contents.revision, 1, 8, 8), tmp_path / ASIDE)
    assert (len(requests(path)), "later" in requests(path)) == (8, False)
    assert (len(requests(tmp_path / ASIDE)), "later" in requests(tmp_path / ASIDE)) == (9, True)
    assert hold(tmp_path) == {"ninety.db", "copy.db", ASIDE}
    restore(tmp_path / ASIDE, path, NOW + timedelta(seconds=1), force=True)
    assert "later" in requests(path), "and can itself be put back"


IDLE = """
import sys
from sqlalchemy import text
from bot.store.database import Database
database = Database(sys.argv[1])
database.run_here(lambda connection: connection.execute(text("select 1")))
print("up", flush=True)
sys.stdin.read()
database.close()
"""


@contextmanager
def idle(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open, and does nothing."""
    with subprocess.Popen([sys.executable, "-c", IDLE, f"sqlite:///{path}"], stdin=subprocess.PIPE,  # noqa: S603  # ours
                          stdout=subprocess.PIPE, text=True) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == "up\n"
        yield bot


def test_a_restore_waits_for_no_bot_but_refuses(path: Path, copy: Path, tmp_path: Path) -> None:
    """Also for one that does nothing at the moment."""
    with idle(path):
        with pytest.raises(NotSaved, match=r"somebody has .*ninety\.db open, probably `ninety run`: stop it first$"):
            restore(copy, path, NOW, force=True)
        assert "later" in requests(path)
    restore(copy, path, NOW, force=True)
    assert "later" not in requests(path)


def test_a_bot_that_was_killed_holds_nothing(path: Path, copy: Path) -> None:
    """What it wrote last is still in the log beside the file."""
    with idle(path) as bot:
        bot.kill()
    restored = restore(copy, path, NOW, force=True)
    assert restored.aside is not None
    assert "later" in requests(restored.aside)


def test_a_damaged_database_is_kept_aside_as_it_is(path: Path, copy: Path, tmp_path: Path) -> None:
    damage(path)
    damaged = path.read_bytes()
    restore(copy, path, NOW, force=True)
    assert (tmp_path / ASIDE).read_bytes() == damaged
    assert len(requests(path)) == 8


@pytest.mark.parametrize(("words", "says"), [
    (b"", "is no database of Ninety's"), (b"dear diary, " * 500, "is no database, or a damaged one")])
def test_a_file_that_is_no_database_of_ours_is_refused(path: Path, tmp_path: Path, words: bytes, says: str) -> None:
    before = path.read_bytes()
    (tmp_path / "copy.db").write_bytes(words)
    with pytest.raises(NotSaved, match=says):
        restore(tmp_path / "copy.db", path, NOW, force=True)
    assert path.read_bytes() == before
    assert hold(tmp_path) == {"ninety.db", "copy.db"}


def test_the_database_of_another_program_is_refused(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "copy.db")) as other:
        other.execute("CREATE TABLE cohort (id)")
    with pytest.raises(NotSaved, match="is no database of Ninety's"):
        restore(tmp_path / "copy.db", path, NOW, force=True)


def test_a_newer_copy_is_refused_and_nothing_is_changed(path: Path, copy: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(DatabaseIsNewer, match="9999"):
        restore(copy, path, NOW, force=True)
    assert "later" in requests(path)
    assert hold(tmp_path) == {"ninety.db", "copy.db"}


def test_a_copy_with_its_log_beside_it_is_restored_with_all_that_is_in_the_log(path: Path, tmp_path: Path) -> None:
    """Somebody may have copied the files of a bot that was killed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO edition (digest, snapshot) VALUES ('in the log', '{}')")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", tmp_path / f"copy.db{suffix}")
    restore(tmp_path / "copy.db", tmp_path / "new.db", NOW)
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        assert connection.execute("SELECT digest FROM edition").fetchall() == [("in the log",)]


def test_the_oldest_version_is_brought_to_this_one(tmp_path: Path) -> None:
    from alembic import command

    from bot.store import migrate as migrations

    with opened(tmp_path / "old.db") as database:
        script = migrations._config
        first = database.run_here(lambda connection: _first(script(connection)))
        database.run_here(lambda connection: command.upgrade(script(connection), first))
    old = backup(tmp_path / "old.db", tmp_path / "copy.db")
    restored = restore(tmp_path / "copy.db", tmp_path / "new.db", NOW).contents
    assert (old.revision, restored.revision != first) == (first, True)


def _first(config: object) -> str:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    assert isinstance(config, Config)
    (base,) = ScriptDirectory.from_config(config).get_bases()
    return base


# --- nothing twice ----------------------------------------------------------------------------------------------------


@dataclass
class Chat:
    """A room that remembers, whatever becomes of our database."""

    clock: VirtualClock
    posted: dict[DeliveryKey, Receipt] = field(default_factory=dict)

    async def ready(self, to: Room | Account) -> None:
        return

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        assert key not in self.posted, f"{key} was posted twice"
        self.posted[key] = Receipt(str(len(self.posted)), "#", self.clock.now())
        return self.posted[key]

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return self.posted.get(key)

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise AssertionError("nobody has graduated")


async def test_what_was_posted_after_the_copy_was_made_is_not_posted_again(path: Path, tmp_path: Path) -> None:
    """The posts that were owed when it was made, and the reminders that were derived only later."""
    clock = VirtualClock(OPENED)
    chat = Chat(clock)

    async def play(file: Path, until: datetime) -> dict[DeliveryKey, State]:
        with opened(file) as database:
            ledger = StoredLedger(database)
            herald = Herald(ledger, {"local": chat}, clock)
            due: datetime | None = clock.now()
            while due is not None and due <= until:
                clock.reach(due)
                due = await herald.tick(clock.now())
            clock.reach(until)
            (cohort,) = await ledger.transact(lambda tx: tx.cohorts())
            return {one.delivery.key: one.state for one in await ledger.transact(lambda tx: tx.deliveries(cohort.id))}

    with opened(path) as database:
        await settle(database, PEOPLE)
    backup(path, tmp_path / "copy.db")
    await play(path, datetime(2027, 1, 17, 17, 30, tzinfo=UTC))
    posted = dict(chat.posted)
    assert sorted({key.split(":")[2] for key in posted}) == ["nudge", "week_closes", "week_opens", "welcome"]
    assert sum("nudge" in key for key in posted) == 2 * len(PEOPLE)

    restore(tmp_path / "copy.db", path, clock.now(), force=True)
    states = await play(path, clock.now() + timedelta(minutes=5))
    assert chat.posted == posted
    assert {states[key] for key in posted} == {State.SENT}
    await play(path, datetime(2027, 1, 19, tzinfo=UTC))
    assert len(chat.posted) > len(posted), "and it goes on"


async def test_what_is_due_only_later_is_not_looked_for(path: Path) -> None:
    with opened(path) as database:
        await settle(database, PEOPLE)
        assert doubt(database, OPENED - timedelta(seconds=1)) == 0
        first = doubt(database, datetime(2027, 1, 4, 23, tzinfo=UTC))
        assert first == 2, "the welcome and the first week"
        claimed = StoredLedger(database).transact_here(lambda tx: tx.claim(
            Lane("local", False), datetime(2027, 1, 11, 23, tzinfo=UTC), 99))
    assert [claim.look_back for claim in claimed] == [True, True, *[False] * (len(claimed) - 2)]
    assert len(claimed) > 2


# --- which file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "file"), [
    ("sqlite:///.ninety/ninety.db", Path(".ninety/ninety.db")), ("sqlite:////srv/ninety.db", Path("/srv/ninety.db"))])
def test_the_file_is_the_one_of_the_address(url: str, file: Path) -> None:
    assert file_of(url) == file


@pytest.mark.parametrize(("url", "says"), [
    ("sqlite://", "no file of SQLite"), ("sqlite:///:memory:", "no file of SQLite"),
    ("postgresql://ninety@db/ninety", "saved with pg_dump and restored with pg_restore"),
    ("postgresql+psycopg://ninety@db/ninety", "saved with pg_dump"), ("postgres://db/ninety", "saved with pg_dump")])
def test_another_database_is_told_what_to_use(url: str, says: str) -> None:
    with pytest.raises(NotSaved, match=says):
        file_of(url)


# --- the commands -----------------------------------------------------------------------------------------------------


def ninety(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


async def test_the_commands_say_what_they_did(path: Path, copy: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    kept = tmp_path / "kept.db"
    assert ninety("backup", kept) == (
        0, f"{kept} is a sound copy: version {version}, 1 cohort, 8 members, 9 journal entries.\n")
    assert ninety("backup", kept) == (1, f"ninety: {kept} is there already; --force writes over it\n")
    assert ninety("backup", kept, "--force")[0] == 0
    code, said = ninety("restore", copy)
    assert (code, "--force puts the copy in its place" in said) == (1, True)
    code, said = ninety("restore", copy, "--force")
    assert code == 0
    first, second = said.splitlines()
    assert first == f"{path} is restored: version {version}, 1 cohort, 8 members, 8 journal entries."
    assert second.startswith(f"What was there before is kept as {path}.before-restore-20")
    assert len(requests(Path(second.removeprefix("What was there before is kept as ").removesuffix(".")))) == 9
    # The cohort's instants are still ahead, so nothing can have been posted.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE delivery SET state = 'owed', due = 0 WHERE kind = 'welcome'")
        connection.commit()
    assert ninety("restored") == (0, "1 delivery will be looked for before being posted.\n")
    assert ninety("restored") == (0, "0 deliveries will be looked for before being posted.\n")


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_at_postgresql_the_commands_say_what_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) \
        -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", "postgresql://ninety@localhost/ninety")
    code, said = ninety(command, tmp_path / "copy.db")
    assert (code, "saved with pg_dump and restored with pg_restore" in said) == (1, True)
    assert hold(tmp_path) == set()
