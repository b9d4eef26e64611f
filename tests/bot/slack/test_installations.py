"""What is kept of an installation: one row a workspace, no token that can be read, and each OAuth state used once."""
# ruff: noqa: S105, S106  # tokens of nobody

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql

from bot.slack import installations as module
from bot.slack.installations import STATE_LIVES, BadKey, Installations, States, Unreadable, cipher
from bot.store.database import Database
from bot.store.tables import slack_installation, slack_state
from scheduler.clock import VirtualClock

MONDAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def installation(team: str | None = "T1", enterprise: str | None = None, **values: Any) -> Installation:
    return Installation(**{
        "app_id": "A1", "team_id": team, "enterprise_id": enterprise, "team_name": "One", "bot_token": "xoxb-one",
        "bot_id": "B1", "bot_user_id": "UBOT", "bot_scopes": "chat:write,commands", "user_id": "U1",
        "installed_at": MONDAY.timestamp(), **values})


def of_the_enterprise(**values: Any) -> Installation:
    return installation(None, "E1", is_enterprise_install=True, bot_token="xoxb-all", **values)


@pytest.fixture
def store(database: Database) -> Installations:
    return Installations(database, cipher(OLD))


@pytest.fixture
def threaded(database_url: str) -> Iterator[Database]:
    """With the thread that a real run writes in."""
    opened = Database(database_url)
    yield opened
    opened.close()


async def rows(database: Database) -> int:
    return await database.run(lambda connection: connection.execute(
        select(func.count()).select_from(slack_installation)).scalar_one())


# --- one row ----------------------------------------------------------------------------------------------------------


async def test_what_is_saved_is_found_whole(store: Installations) -> None:
    saved = installation(bot_refresh_token="xoxe-1", bot_token_expires_at=1_800_000_000, user_token="xoxp-1",
                         user_scopes="chat:write", custom_values={"note": 1})
    await store.async_save(saved)
    found = await store.async_find_installation(enterprise_id=None, team_id="T1")
    bot = await store.async_find_bot(enterprise_id=None, team_id="T1")
    assert found is not None and bot is not None
    assert vars(found) == vars(saved)
    assert vars(bot) == vars(saved.to_bot())
    assert vars((await store.of("T1")) or installation("T0")) == vars(saved)
    assert await store.async_find_bot(enterprise_id=None, team_id="T2") is None
    assert await store.of("T2") is None


async def test_a_workspace_has_one_row_however_often_it_is_saved(store: Installations, database: Database) -> None:
    for number in range(5):
        await store.async_save(installation(bot_token=f"xoxb-{number}"))
    await store.async_save(installation("T2"))
    found = await store.of("T1")
    assert found is not None and found.bot_token == "xoxb-4"
    assert await rows(database) == 2


async def test_a_later_partial_save_keeps_what_it_lacks(store: Installations) -> None:
    before = installation(bot_refresh_token="xoxe-1", bot_token_expires_at=1_800_000_000, user_token="xoxp-1",
                          user_scopes="search:read")
    await store.async_save(before)
    await store.async_save(Installation(team_id="T1", user_id="U1", installed_at=MONDAY.timestamp() + 60))
    found = await store.of("T1")
    assert found is not None
    assert vars(found) == {**vars(before), "installed_at": MONDAY.timestamp() + 60}


async def test_a_bot_token_comes_with_its_own_refresh_token_or_with_none(store: Installations) -> None:
    await store.async_save(installation(bot_refresh_token="xoxe-1", bot_token_expires_at=1_800_000_000))
    await store.async_save(installation(bot_token="xoxb-for-ever"))
    found = await store.of("T1")
    assert found is not None
    assert (found.bot_token, found.bot_refresh_token, found.bot_token_expires_at) == ("xoxb-for-ever", None, None)


async def test_nobody_inherits_the_token_of_another_person(store: Installations) -> None:
    await store.async_save(installation(user_token="xoxp-of-u1"))
    await store.async_save(installation(user_id="U2"))
    found = await store.async_find_installation(enterprise_id=None, team_id="T1")
    assert found is not None
    assert (found.user_id, found.user_token) == ("U2", None)
    assert await store.async_find_installation(enterprise_id=None, team_id="T1", user_id="U1") is None


async def test_a_saved_bot_changes_the_tokens_and_leaves_the_rest(store: Installations, database: Database) -> None:
    await store.async_save(installation())
    bot = installation(bot_token="xoxb-two").to_bot()
    await store.async_save_bot(bot)
    found = await store.of("T1")
    assert found is not None
    assert (found.bot_token, found.user_id) == ("xoxb-two", "U1")
    assert await rows(database) == 1


async def test_a_workspace_that_joins_an_enterprise_stays_one_installation(
        store: Installations, database: Database) -> None:
    await store.async_save(installation())
    found = await store.async_find_bot(enterprise_id="E1", team_id="T1")
    assert found is not None and found.bot_token == "xoxb-one"
    await store.async_save(installation(enterprise="E1", bot_token="xoxb-two", bot_id=None))
    found = await store.async_find_bot(enterprise_id="E1", team_id="T1")
    assert found is not None and (found.bot_token, found.bot_id) == ("xoxb-two", "B1")
    assert await rows(database) == 1


async def test_an_installation_of_nobody_is_refused(store: Installations) -> None:
    with pytest.raises(ValueError, match="must name its workspace"):
        await store.async_save(installation(None))


# --- enterprises ------------------------------------------------------------------------------------------------------


async def test_an_app_of_a_whole_enterprise_serves_the_workspaces_that_have_used_it(store: Installations) -> None:
    await store.async_save(of_the_enterprise())
    assert await store.of("T7") is None
    found = await store.async_find_installation(enterprise_id="E1", team_id="T7", is_enterprise_install=True)
    assert found is not None and found.bot_token == "xoxb-all"
    served = await store.of("T7")
    assert served is not None and vars(served) == vars(found)
    # Installed once more, it still knows its workspaces; another enterprise's it never knew.
    await store.async_save(of_the_enterprise(installed_at=MONDAY.timestamp() + 1))
    assert await store.of("T7") is not None
    assert await store.async_find_bot(enterprise_id="E2", team_id="T7", is_enterprise_install=True) is None


async def test_a_workspaces_own_installation_goes_before_its_enterprises(store: Installations) -> None:
    await store.async_save(of_the_enterprise())
    await store.async_find_bot(enterprise_id="E1", team_id="T1", is_enterprise_install=True)
    await store.async_save(installation(enterprise="E1"))
    found = await store.of("T1")
    assert found is not None and found.bot_token == "xoxb-one"


async def test_a_workspace_that_leaves_takes_nothing_from_its_enterprise(store: Installations) -> None:
    await store.async_save(of_the_enterprise())
    for team in ("T1", "T2"):
        await store.async_find_bot(enterprise_id="E1", team_id=team, is_enterprise_install=True)
    await store.async_delete_all(enterprise_id="E1", team_id="T1")
    assert await store.of("T1") is None
    assert await store.of("T2") is not None
    await store.async_delete_all(enterprise_id="E1", team_id=None)
    assert await store.of("T2") is None
    # Installed anew, it learns of its workspaces anew.
    await store.async_save(of_the_enterprise())
    await store.async_find_bot(enterprise_id="E1", team_id="T2", is_enterprise_install=True)
    assert await store.of("T2") is not None


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_uninstalled_leaves_no_row_and_touches_no_other(store: Installations, database: Database) -> None:
    await store.async_save(installation("T1", user_token="xoxp-1"))
    await store.async_save(installation("T2"))
    await store.async_delete_all(enterprise_id=None, team_id="T1")
    assert await store.of("T1") is None
    assert await store.of("T2") is not None
    assert await rows(database) == 1


async def test_what_was_installed_after_the_event_stays(store: Installations) -> None:
    await store.async_save(installation())
    await store.async_delete_all(enterprise_id=None, team_id="T1", before=MONDAY - timedelta(seconds=1))
    assert await store.of("T1") is not None
    await store.async_delete_all(enterprise_id=None, team_id="T1", before=MONDAY)
    assert await store.of("T1") is None


async def test_a_persons_revoked_token_leaves_the_bot_alone(store: Installations) -> None:
    await store.async_save(installation(user_token="xoxp-1"))
    await store.async_delete_installation(enterprise_id=None, team_id="T1", user_id="U9")
    found = await store.of("T1")
    assert found is not None and found.user_token == "xoxp-1"
    await store.async_delete_installation(enterprise_id=None, team_id="T1", user_id="U1")
    found = await store.of("T1")
    assert found is not None and (found.bot_token, found.user_token) == ("xoxb-one", None)


async def test_the_bots_revoked_token_leaves_a_persons_alone(store: Installations, database: Database) -> None:
    await store.async_save(installation(user_token="xoxp-1"))
    await store.async_delete_bot(enterprise_id=None, team_id="T1")
    found = await store.async_find_installation(enterprise_id=None, team_id="T1")
    assert found is not None and (found.bot_token, found.user_token) == (None, "xoxp-1")
    assert await store.async_find_bot(enterprise_id=None, team_id="T1") is None
    assert await store.of("T1") is None
    await store.async_delete_installation(enterprise_id=None, team_id="T1", user_id="U1")
    assert await rows(database) == 0


async def test_only_the_token_that_was_refused_is_forgotten(store: Installations, database: Database) -> None:
    await store.async_save(installation(bot_token="xoxb-new"))
    assert not await store.forget("T1", "xoxb-old")
    assert not await store.forget("T2", "xoxb-new")
    assert await rows(database) == 1
    assert await store.forget("T1", "xoxb-new")
    assert await rows(database) == 0


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_no_token_can_be_read_in_the_database(threaded: Database, database_url: str) -> None:
    store = Installations(threaded, cipher(OLD))
    await store.async_save(installation(bot_token="xoxb-GREPME-1", bot_refresh_token="xoxe-GREPME-2",
                                        user_token="xoxp-GREPME-3"))
    state = await States(threaded, VirtualClock(MONDAY)).async_issue()
    path = Path(database_url.removeprefix("sqlite:///"))
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    # The row is there, and so would the tokens be.
    assert any(b"T1" in data for data in files)
    assert not any(secret in data for data in files for secret in (b"GREPME", state.encode(), OLD.encode()))


async def test_after_a_change_of_keys_the_old_rows_can_be_read_and_the_old_key_be_dropped(database: Database) -> None:
    await Installations(database, cipher(OLD)).async_save(installation("T1"))
    both = Installations(database, cipher(f"{NEW}, {OLD}"))
    await both.async_save(installation("T2"))
    assert await both.of("T1") is not None
    only_new = Installations(database, cipher(NEW))
    assert await only_new.of("T2") is not None
    with pytest.raises(Unreadable, match="NINETY_SECRET_KEY"):
        await only_new.of("T1")
    assert await only_new.renew() == 1
    assert await both.renew() == 0
    found = await only_new.of("T1")
    assert found is not None and vars(found) == vars(installation("T1"))


async def test_an_installation_whose_key_is_lost_can_be_made_anew_or_deleted(database: Database) -> None:
    await Installations(database, cipher(OLD)).async_save(installation())
    store = Installations(database, cipher(NEW))
    await store.async_save(installation(bot_token="xoxb-anew"))
    found = await store.of("T1")
    assert found is not None and found.bot_token == "xoxb-anew"
    await Installations(database, cipher(OLD)).async_save(installation("T2"))
    await store.async_delete_bot(enterprise_id=None, team_id="T2")
    assert await store.of("T2") is None


@pytest.mark.parametrize("keys", [None, "", " , "])
def test_a_missing_key_is_refused_with_the_command_that_makes_one(keys: str | None) -> None:
    with pytest.raises(BadKey) as refused:
        cipher(keys)
    assert "NINETY_SECRET_KEY is not set" in str(refused.value)
    assert 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"' \
        in str(refused.value)


@pytest.mark.parametrize(("keys", "which"), [
    ("hunter2", "The key in"), (f"{OLD},hunter2", "The key number 2 in"), ("schlüssel", "The key in"),
    (OLD[:-4], "The key in")], ids=["no key", "one of two", "not ASCII", "too short"])
def test_a_malformed_key_is_refused_and_not_repeated(keys: str, which: str) -> None:
    with pytest.raises(BadKey) as refused:
        cipher(keys)
    said = str(refused.value)
    assert said.startswith(which) and "Fernet.generate_key()" in said
    assert not any(key in said for key in keys.split(","))
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


# --- states -----------------------------------------------------------------------------------------------------------


async def test_of_ten_uses_of_one_state_at_once_one_succeeds(threaded: Database) -> None:
    states = States(threaded, VirtualClock(MONDAY))
    state = await states.async_issue()
    used = await asyncio.gather(*(states.async_consume(state) for _ in range(10)))
    assert sorted(used) == [False] * 9 + [True]


async def test_of_two_processes_one_gets_the_state(threaded: Database, database_url: str) -> None:
    clock, other = VirtualClock(MONDAY), Database(database_url)
    try:
        for _ in range(5):
            state = await States(threaded, clock).async_issue()
            used = await asyncio.gather(*(States(database, clock).async_consume(state)
                                          for database in (threaded, other) * 3))
            assert sorted(used) == [False] * 5 + [True]
    finally:
        other.close()


async def test_a_state_is_good_for_ten_minutes(database: Database) -> None:
    clock = VirtualClock(MONDAY)
    states = States(database, clock)
    early, late = await states.async_issue(), await states.async_issue()
    clock.reach(MONDAY + STATE_LIVES - timedelta(microseconds=1))
    assert await states.async_consume(early)
    clock.reach(MONDAY + STATE_LIVES)
    assert not await states.async_consume(late)


async def test_states_that_nobody_used_are_swept(database: Database) -> None:
    clock = VirtualClock(MONDAY)
    states = States(database, clock)
    for _ in range(3):
        await states.async_issue()
    clock.reach(MONDAY + STATE_LIVES)
    last = await states.async_issue()
    kept = await database.run(lambda connection: connection.execute(select(slack_state.c.digest)).scalars().all())
    assert kept == [module._digest(last)]


@pytest.mark.parametrize("state", [None, "", "guessed", "\ud800"])
async def test_what_was_never_issued_is_no_state(database: Database, state: str | None) -> None:
    states = States(database, VirtualClock(MONDAY))
    await states.async_issue()
    assert not await states.async_consume(state)


def test_a_state_is_taken_by_one_statement_on_postgresql_too() -> None:
    said = str(module._taking("s", MONDAY).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]  # SQLAlchemy's
    assert " ".join(re.sub(r"::\w+", "", said).split()) == (
        "DELETE FROM slack_state WHERE slack_state.digest = %(digest_1)s AND slack_state.expires > %(expires_1)s "
        "RETURNING slack_state.digest")


async def test_the_body_says_nothing_but_through_the_key(database: Database, store: Installations) -> None:
    await store.async_save(installation())
    body = await database.run(lambda connection: connection.execute(select(slack_installation.c.body)).scalar_one())
    assert json.loads(Fernet(OLD).decrypt(body.encode()))["installation"]["bot_token"] == "xoxb-one"
