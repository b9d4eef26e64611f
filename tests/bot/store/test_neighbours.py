"""Who else keeps rows in the database, asked the same on PostgreSQL as in the tests of their own: direct channels, the
local chat's history, the workspaces that have installed the app on Slack, and processes that are killed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from bot.herald import posts
from bot.local.history import History
from bot.slack.installations import Installations, cipher
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.loading import default_path, load
from tests.bot.local.test_history import (  # noqa: F401  # collected here once more
    test_a_private_answer_is_seen_by_one_person,
    test_an_instant_comes_back_to_the_microsecond,
    test_it_is_read_backwards_page_by_page,
    test_posts_without_a_key_are_all_kept,
    test_the_same_key_twice_is_one_post,
    test_the_table_that_the_store_makes_is_the_one_that_is_written,
    test_two_at_once_with_one_key_are_one_post,
)
from tests.bot.slack.test_installations import (  # noqa: F401  # collected here once more
    OLD,
    test_a_state_is_good_for_ten_minutes,
    test_of_ten_uses_of_one_state_at_once_one_succeeds,
    test_of_two_processes_one_gets_the_state,
    test_states_that_nobody_used_are_swept,
    test_the_body_says_nothing_but_through_the_key,
    test_what_is_saved_is_found_whole,
)
from tests.bot.test_direct import (  # noqa: F401  # collected here once more
    test_the_channel_of_direct_messages_is_kept_and_may_change,
    test_workspaces_know_nothing_of_each_other,
)
from tests.bot.test_kill import (  # noqa: F401  # collected here once more
    OPENED,
    ROOM,
    notes,
    test_a_process_killed_around_a_send_posts_once,
    test_while_the_lease_lasts_nobody_else_sends,
)

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def url(database_url: str) -> str:
    """With a cohort of which welcome and week 1 are due on the first Monday."""
    opened = Database(database_url)
    edition = Edition.of(load(default_path()), "ninety-days")
    StoredLedger(opened).transact_here(lambda tx: tx.owe(posts(tx.open_cohort(
        "Autumn", date(2026, 11, 23), "Europe/Berlin", edition, ROOM, None, "salt", OPENED))))
    opened.close()
    return database_url


@pytest.fixture
def threaded(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def history(threaded: Database) -> History:
    return History(threaded)


@pytest.fixture
def store(request: pytest.FixtureRequest, database: Database) -> Installations | Database:
    """By this name the history's tests know the database, and those of Slack the installations."""
    return database if "history" in request.fixturenames else Installations(database, cipher(OLD))
