"""What goes wrong on Slack, and what the real process makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from bot.cohort.journal import Rested
from bot.ledger import Cohort, State
from bot.slack.manifest import SCOPES
from content.model import PostKind
from tests.bot.process import ROOT
from tests.bot.season import guide, until
from tests.bot.slack.town import (
    CHANNEL,
    KINDS,
    MINUTES,
    ORGANISER,
    REFUSED,
    TEAM,
    WEEK,
    Kind,
    Town,
    free_port,
    is_refused,
    local,
    title,
    town_of,
)
from tests.emulators.slack import Drop, Fail, Fault, NoAnswer, Slow, Throttle

OPENED, START, ZONE = datetime(2027, 1, 25, 12, tzinfo=UTC), date(2027, 2, 1), "Europe/Berlin"
WELCOME = local(date(2027, 1, 29), "09:00", ZONE)
WEEK_1 = local(START, "09:00", ZONE)
NUDGE_1 = local(date(2027, 2, 7), "17:00", ZONE)
STEPS = guide().plans["ninety-days"].steps
BEGINS = "Autumn begins soon"
both = pytest.mark.parametrize("kind", KINDS)


@asynccontextmanager
async def cohort_of(folder: Path, kind: Kind, *names: str, now: datetime = OPENED, **more: Any) \
        -> AsyncIterator[tuple[Town, Cohort, list[str]]]:
    """Of these people, all of Berlin. No process runs yet."""
    async with town_of(folder, OPENED, kind, **more) as town:
        users = town.join(*names)
        cohort = await town.open(START, ZONE, users)
        town.clock.reach(now)
        yield town, cohort, users


# --- coming and going -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def ninety_run(town: Town, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, **town.environment, "NINETY_PORT": str(free_port()), "NINETY_OPERATOR_LISTEN": "", **more})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@both
async def test_sigterm_lets_who_has_just_asked_have_their_answer_and_hangs_up(tmp_path: Path, kind: Kind) -> None:
    async with town_of(tmp_path, datetime.now(UTC), kind) as town, ninety_run(town) as ninety:
        await town.arrived()
        town.slack.fault("users.info", Slow(0.5))
        asking = asyncio.create_task(town.type(ORGANISER, "/cohort help"))
        await until(lambda: town.slack.asked("users.info"))
        began = time.monotonic()
        ninety.terminate()
        _, said = await asyncio.wait_for(ninety.communicate(), 10)

        assert (ninety.returncode, town.slack.connections) == (0, 0), said.decode()
        assert time.monotonic() - began < 10
        assert (await asking).kind == "ephemeral"
        if kind == "http":
            with pytest.raises(NoAnswer) as refused:
                await town.type(ORGANISER, "/cohort help")
            assert refused.value.reason == "dispatch_failed"


@pytest.mark.parametrize(("kind", "variable", "token", "told"), [
    ("socket", "APP_TOKEN", "xapp-of-somebody-else", "the app token (invalid_auth): copy the app-level token"),
    *((kind, "BOT_TOKEN", "xoxb-of-somebody-else",
       "NINETY_SLACK_BOT_TOKEN (invalid_auth): copy the Bot User OAuth Token") for kind in KINDS),
    ("socket", "BOT_TOKEN", "not-a-token", "NINETY_SLACK_BOT_TOKEN (it does not begin with xoxb-): copy the Bot")])
async def test_a_bad_token_ends_the_process_and_says_where_to_get_a_good_one(
        tmp_path: Path, kind: Kind, variable: str, token: str, told: str) -> None:
    async with town_of(tmp_path, datetime.now(UTC), kind) as town, \
            ninety_run(town, **{f"NINETY_SLACK_{variable}": token}) as ninety:
        _, said = await asyncio.wait_for(ninety.communicate(), 30)

        assert ninety.returncode == 1
        assert said.decode().splitlines()[-1].startswith(f"ninety: Slack does not take {told}")
        assert token not in said.decode() and "Traceback" not in said.decode()


@both
async def test_the_bot_comes_up_when_slack_does(tmp_path: Path, kind: Kind) -> None:
    """What was due meanwhile is posted, once."""
    async with cohort_of(tmp_path, kind) as (town, cohort, _):
        await town.slack.__aexit__(None, None, None)
        await town.launch()
        await town.reach(WELCOME)
        assert town.posts() == []

        await town.slack.__aenter__()
        await town.arrived()
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts()] == [BEGINS]
        assert not is_refused(await town.type(ORGANISER, "/cohort log"))
        assert town.states(cohort) == [State.SENT]


async def test_a_bad_bot_token_is_told_also_when_slack_was_away_at_the_start(tmp_path: Path) -> None:
    async with town_of(tmp_path, datetime.now(UTC), "http") as town:
        await town.slack.__aexit__(None, None, None)
        async with ninety_run(town, NINETY_SLACK_BOT_TOKEN="xoxb-of-somebody-else") as ninety:  # noqa: S106  # of nobody
            await town.arrived()
            await town.slack.__aenter__()
            _, said = await asyncio.wait_for(ninety.communicate(), 30)

            assert ninety.returncode == 1
            assert said.decode().splitlines()[-1].startswith("ninety: Slack does not take NINETY_SLACK_BOT_TOKEN")


@both
async def test_sigterm_in_a_long_wave_leaves_nothing_half_done(tmp_path: Path, kind: Kind) -> None:
    """Four messages a second and workspace: forty nudges take five seconds after the first burst."""
    names = [f"Member {number}" for number in range(40)]
    async with cohort_of(tmp_path, kind, *names, now=NUDGE_1 - WEEK / 7, speed=1) as (town, cohort, users):
        def nudges() -> list[State]:
            return [one.state for one in town.deliveries(cohort) if one.delivery.kind is PostKind.NUDGE]

        await town.start()
        wave = asyncio.create_task(town.reach(NUDGE_1))
        await until(lambda: sum(map(len, map(town.direct, users))) >= 21)

        began = time.monotonic()
        town.bot.signal(signal.SIGTERM)
        code = await town.bot.ended()

        assert (code, town.slack.connections) == (0, 0), town.bot.last_words()
        assert time.monotonic() - began < 10
        await asyncio.gather(wave, return_exceptions=True)
        assert set(nudges()) == {State.OWED, State.SENT}

        town.pace.speed = 20
        await town.start()
        await town.follow(NUDGE_1 + 5 * MINUTES)

        assert ([len(town.direct(user)) for user in users], nudges()) == ([1] * 40, [State.SENT] * 40)
        assert town.slack.limited == {}


# --- the socket -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_a_connection_that_slack_changes_loses_nothing(
        tmp_path: Path, reason: Literal["warning", "refresh_requested", "link_disabled"]) -> None:
    async with cohort_of(tmp_path, "socket", "ada", "bo", now=WEEK_1) as (town, cohort, (ada, bo)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        town.slack.fault("users.info", Slow(0.3))
        known = town.slack.asked("users.info")
        reading = asyncio.create_task(town.type(bo, "/week"))
        await until(lambda: town.slack.asked("users.info") > known)
        before = town.slack.done("apps.connections.open")
        await town.slack.disconnect(reason, close_after=1.0)
        await town.slack.until(lambda: town.slack.done("apps.connections.open") > before and town.slack.sockets)

        assert not is_refused(await town.submit(ada, form, hours="6", notes="Typed meanwhile"))
        assert not is_refused(await reading)
        assert [entry.notes for entry in town.checked_in(cohort, ada)] == ["Typed meanwhile"]
        assert town.slack.strays == []
        assert "Traceback" not in town.log


async def test_a_socket_that_is_cut_loses_no_event_and_doubles_nothing(tmp_path: Path) -> None:
    async with cohort_of(tmp_path, "socket", "ada", "bo", now=WEEK_1) as (town, cohort, (ada, _)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        town.slack.cut_sockets()
        with pytest.raises(NoAnswer):
            await town.submit(ada, form, hours="6")
        assert (await town.slack.open_home(TEAM, ada, within=0)).kind == "nothing"
        await town.arrived()

        # The form is there still; and Slack sends the event again when it is time.
        assert not is_refused(await town.submit(ada, form, hours="6"))
        for retry in town.slack.retries:
            await town.slack._send_event(retry.payload, retry.number, retry.reason)
        await town.slack.until(lambda: ada in town.slack.teams[TEAM].homes)
        assert len(town.checked_in(cohort, ada)) == 1
        assert "Week 1" in town.slack.teams[TEAM].homes[ada].words


async def test_what_is_acknowledged_on_a_socket_that_is_cut_counts_once(tmp_path: Path) -> None:
    """Slack tells the member that it failed, and they submit the same form again."""
    async with cohort_of(tmp_path, "socket", "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        with closing(sqlite3.connect(town.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sending = asyncio.create_task(town.submit(ada, form, hours="6"))
            await asyncio.sleep(0.2)
            town.slack.cut_sockets()
            other.execute("ROLLBACK")
        await town.arrived()
        await asyncio.gather(sending, return_exceptions=True)
        await town.slack.again()

        assert len(town.checked_in(cohort, ada)) == 1


# --- twice ------------------------------------------------------------------------------------------------------------


@both
async def test_what_slack_sends_twice_is_one_effect_also_after_a_restart(tmp_path: Path, kind: Kind) -> None:
    async with cohort_of(tmp_path, kind, "ada", "bo", now=WEEK_1) as (town, cohort, (ada, bo)):
        await town.start()
        slack = town.slack

        # A command: the second would take another week off, of which there are few.
        slack.duplicate()
        assert not is_refused(await town.type(bo, "/cohort rest"))
        rest = len(slack.sent) - 1
        # A submission.
        form = await town.type(ada, "/checkin 1")
        slack.duplicate()
        assert not is_refused(await town.submit(ada, form, hours="6"))
        submitted = len(slack.sent) - 1
        # A click that opens a form.
        await town.follow(WEEK_1 + MINUTES)
        slack.duplicate()
        opened = await town.press(ada, town.posts()[-1], "Check in")
        clicked = len(slack.sent) - 1
        # An event.
        slack.duplicate()
        await slack.open_home(TEAM, ada)
        event = len(slack.sent) - 1

        def effects() -> tuple[int, int, int]:
            rested = [entry for entry in town.journal(cohort, bo) if isinstance(entry.event, Rested)]
            return len(rested), len(town.checked_in(cohort, ada)), slack.done("views.open")

        assert opened.kind == "modal"
        await town.slack.until(lambda: slack.done("views.publish"))
        assert effects() == (1, 1, 2)

        for number in (rest, submitted, clicked, event):
            await slack.again(number)
        assert effects() == (1, 1, 2)
        town.bot.signal(signal.SIGTERM)
        assert await town.bot.ended() == 0
        await town.start()
        for number in (rest, submitted, clicked, event):
            await slack.again(number)
        assert effects() == (1, 1, 2)
        assert town.posts(ada) == []
        assert "Traceback" not in town.log


@both
async def test_everything_is_acknowledged_that_slack_may_send(tmp_path: Path, kind: Kind) -> None:
    """What is not, Slack tells the person to be broken, or sends again for hours."""
    async with cohort_of(tmp_path, kind, "ada", now=WEEK_1) as (town, _, (ada,)):
        await town.start()
        who = town.slack._who(TEAM, ada)
        view = {"id": "V1", "type": "modal", "callback_id": "of another app", "private_metadata": "{", "blocks": [],
                "title": {"type": "plain_text", "text": "T"}, "state": {"values": {}}, "hash": "1"}
        action = {"action_id": "unknown", "block_id": "b", "type": "overflow", "action_ts": "1.2"}
        message = {"type": "block_actions", "container": {"type": "message"}, "channel": {"id": CHANNEL},
                   "response_url": town.slack.response_url(TEAM, ada, CHANNEL)}
        for payload in (
                {"type": "view_submission", "view": view}, {"type": "view_closed", "view": view, "is_cleared": True},
                {"type": "block_actions", "container": {"type": "view"}, "view": view, "actions": [action]},
                message | {"actions": [action]}, message | {"actions": [action | {"action_id": "link:0"}]},
                message | {"actions": [action | {"action_id": "press:0", "value": "no JSON"}]},
                {"type": "shortcut", "callback_id": "any"},
                {"type": "message_action", "callback_id": "any", "message": {"ts": "1.2"}, "channel": {"id": CHANNEL}},
                {"type": "block_suggestion", "action_id": "a", "block_id": "b", "value": "x"},
                {"type": "interactive_message", "callback_id": "old", "actions": [{"name": "a", "value": "b"}]},
                {"type": "dialog_submission", "callback_id": "old", "submission": {}, "state": ""},
                {"type": "of tomorrow"}):
            await town.slack.send("interactive", {**who, "trigger_id": town.slack.trigger(TEAM, ada), **payload})
        for name in ("message", "app_mention", "member_joined_channel", "team_rename", "of_tomorrow"):
            await town.slack.event(TEAM, {"type": name, "user": ada, "channel": CHANNEL, "text": "Hello"})
        if kind == "socket":
            await town.slack.send("of tomorrow", {"anything": 1})
        assert (await town.type(ada, "/of-tomorrow")).words.startswith(REFUSED)

        assert all(sent.acknowledged for sent in town.slack.sent)
        assert len(town.slack.sent) >= 18
        assert "Traceback" not in town.log


# --- posting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Drop(accepted=True), Drop(accepted=False), Fail(500), Fail(503), Slow(0.5)], ids=str)
async def test_a_post_whose_answer_is_lost_is_in_the_room_once(tmp_path: Path, fault: Fault) -> None:
    """Slack knows no key that would make it once; the room is looked through before it is tried again."""
    async with cohort_of(tmp_path, "socket", "ada", now=WELCOME - MINUTES) as (town, cohort, (ada,)):
        await town.start()
        town.slack.fault("chat.postMessage", fault)
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts()] == [BEGINS]
        adopted = fault == Drop(accepted=True)
        assert town.slack.done("conversations.history") == (0 if isinstance(fault, Slow) else 1)
        assert town.slack.asked("chat.postMessage") == (
            1 if adopted or isinstance(fault, Slow) else 2)
        receipt, = (one.receipt for one in town.deliveries(cohort) if one.state is State.SENT)
        assert receipt is not None and receipt.message == town.posts()[0].ts

        # And so it is with what is for one person, whose channel nobody knows yet.
        await town.follow(NUDGE_1 - MINUTES)
        town.slack.fault("chat.postMessage", fault)
        await town.follow(NUDGE_1 + 5 * MINUTES)
        assert len(town.direct(ada)) == 1
        assert set(town.states(cohort)) == {State.SENT}


async def test_a_post_that_is_limited_goes_out_later_and_once(tmp_path: Path) -> None:
    async with cohort_of(tmp_path, "socket", now=WELCOME - MINUTES, speed=1000) as (town, cohort, _):
        await town.start()
        town.slack.fault("chat.postMessage", Throttle(30))

        due = await town.reach(WELCOME)
        assert (town.posts(), due) == ([], WELCOME + timedelta(seconds=30))
        await town.follow(WELCOME + 5 * MINUTES)

        assert [title(post) for post in town.posts()] == [BEGINS]
        assert town.slack.limited == {"chat.postMessage": 1}
        assert town.states(cohort) == [State.SENT]


# --- who and what is gone ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("what", ["not_in_channel", "is_archived", "channel_not_found"])
async def test_a_room_that_is_shut_is_told_once_with_the_cure_and_the_post_follows(
        tmp_path: Path, kind: Kind, what: str) -> None:
    """Nothing else waits for it: neither another cohort's room nor anybody's direct messages."""
    async with cohort_of(tmp_path, kind, "ada", now=WELCOME - MINUTES) as (town, cohort, (ada,)):
        other = await town.open(START, ZONE, channel="C2", title="Other")
        room = town.slack.teams[TEAM].channels[CHANNEL]
        if what == "is_archived":
            town.slack.archive(TEAM, CHANNEL)
        else:
            room.private = what == "channel_not_found"
            town.slack.kick(TEAM, CHANNEL)
        await town.start()
        await town.follow(WELCOME + 45 * MINUTES)

        told, = town.direct(ORGANISER)
        cure = {"not_in_channel": "I am not in the channel: type /invite there and choose me",
                "is_archived": "the channel is archived: unarchive it, and type /invite there and choose me",
                "channel_not_found": "I cannot see the channel: if it is private, type /invite there"}[what]
        assert cure in told.words.replace("\u200b", "")      # which keeps names that members typed from calling anybody
        assert (town.posts(), [title(post) for post in town.posts("C2")]) == ([], ["Other begins soon"])
        assert not is_refused(await town.type(ada, "/cohort help", "C2"))

        room.archived = False
        room.members.add(town.slack.teams[TEAM].bot_user)
        await town.follow(WELCOME + 60 * MINUTES)

        assert [title(post) for post in town.posts()] == [BEGINS]
        assert town.direct(ORGANISER) == [told]
        assert set(town.states(cohort)) == set(town.states(other)) == {State.SENT}
        assert "Traceback" not in town.log


async def test_a_token_that_is_revoked_ends_nothing_and_a_new_one_sends_what_is_owed(tmp_path: Path) -> None:
    async with cohort_of(tmp_path, "socket", "ada", now=WELCOME - MINUTES) as (town, cohort, (ada,)):
        await town.start()
        town.slack.revoke(TEAM)
        await town.follow(WELCOME + 30 * MINUTES)

        reasons = {one.delivery.kind: one.reason for one in town.deliveries(cohort)
                   if one.delivery.due <= town.clock.now()}
        assert "NINETY_SLACK_BOT_TOKEN (token_revoked)" in reasons[PostKind.WELCOME]
        assert not is_refused(await town.type(ada, "/cohort help"))      # needs no token
        town.environment["NINETY_SLACK_BOT_TOKEN"] = town.slack.grant(TEAM, SCOPES).value
        await town.start()
        await town.follow(WELCOME + 12 * 60 * MINUTES)

        assert [title(post) for post in town.posts()] == [BEGINS]
        assert ["NINETY_SLACK_BOT_TOKEN (token_revoked)" in told.words for told in town.direct(ORGANISER)] == [True]
        assert town.states(cohort) == [State.SENT]


@pytest.mark.parametrize("said", ["user_disabled", "channel_not_found"])
async def test_somebody_whose_account_is_closed_is_off_the_board(tmp_path: Path, said: str) -> None:
    """Slack's reference does not say what chat.postMessage answers then."""
    async with cohort_of(tmp_path, "socket", "ada", "bo", "chi", "dana", now=WEEK_1) as (town, cohort, users):
        await town.start()
        ada, *others = users
        for user in users:
            await town.check_in(user)
        assert {name for name, _ in await town.board(others[0])} == {"Ada", "Bo", "Chi", "Dana"}
        town.slack.disabled_error = said
        town.slack.disable(TEAM, ada)

        await town.follow(NUDGE_1 + WEEK + 5 * MINUTES)

        assert {name for name, _ in await town.board(others[0])} == {"Bo", "Chi", "Dana"}
        assert not town.member(cohort, ada).present
        assert [len(town.direct(user)) for user in others] == [1, 1, 1]
        tried = [call for call in town.slack.calls
                 if call.method == "chat.postMessage" and call.args.get("channel") == ada]
        assert len(tried) == 1


# --- answering --------------------------------------------------------------------------------------------------------


@both
async def test_who_waited_too_long_for_a_form_is_told_to_try_again(tmp_path: Path, kind: Kind) -> None:
    """Slack forgets a trigger after three seconds."""
    async with cohort_of(tmp_path, kind, "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        town.slack.fault("views.open", Slow(3.1))
        shown = await town.type(ada, "/checkin 1")
        assert (shown.kind, shown.words[0]) == ("ephemeral", "⏳")
        await town.slack.until(lambda: is_refused(town.slack.screen(TEAM, ada)[-1]))

        assert [call.error for call in town.slack.calls if call.method == "views.open"] == ["expired_trigger_id"]
        assert not is_refused(await town.check_in(ada))
        assert len(town.checked_in(cohort, ada)) == 1


@both
@pytest.mark.parametrize("for_good", [False, True])
async def test_a_handler_that_fails_after_the_acknowledgement_still_answers(
        tmp_path: Path, kind: Kind, for_good: bool) -> None:
    """Somebody else holds the database: for longer than Slack waits, or than we do."""
    async with cohort_of(tmp_path, kind, "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        await town.type(ada, "/week")
        form = await town.type(ada, "/checkin 1")
        with closing(sqlite3.connect(town.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # The first waits for the lock in vain; the second waits for the first, and so outlasts the acknowledgement.
            asking = asyncio.create_task(town.type(ada, "/progress", within=8))
            await asyncio.sleep(0.3)    # nobody sees from outside that it waits
            waiting = await town.submit(ada, form, hours="6", notes="Typed for ten minutes")
            assert waiting.kind == "modal" and waiting.words.startswith("⏳")
            if not for_good:
                other.execute("ROLLBACK")
            assert waiting.view is not None
            view = waiting.view
            await town.slack.until(lambda: not view.words.startswith("⏳"), 25)
        assert (await asking).kind == "ephemeral"

        if for_good:
            # The form again, with all that was typed.
            assert view.words.startswith(REFUSED) and town.checked_in(cohort, ada) == []
            shown = await town.slack.submit(TEAM, ada, view)
            assert title(shown).startswith("Week 1 is in")
        else:
            assert "Week 1 is in" in view.words
        assert [entry.notes for entry in town.checked_in(cohort, ada)] == ["Typed for ten minutes"]


@both
async def test_a_form_that_is_open_during_a_restart_is_taken_after_it(tmp_path: Path, kind: Kind) -> None:
    async with cohort_of(tmp_path, kind, "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        town.bot.signal(signal.SIGTERM)
        assert await town.bot.ended() == 0
        await town.start()

        assert not is_refused(await town.submit(ada, form, hours="6", notes="Typed for ten minutes"))
        assert [entry.notes for entry in town.checked_in(cohort, ada)] == ["Typed for ten minutes"]


@both
async def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(tmp_path: Path, kind: Kind) -> None:
    async with cohort_of(tmp_path, kind, "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        shown = await town.submit(ada, form, hours="six", notes="Typed for ten minutes")

        assert (shown.kind, list(shown.errors), shown.by_slack) == ("errors", ["field:hours"], False)
        assert town.checked_in(cohort, ada) == []
        # Only the one field is changed.
        assert not is_refused(await town.submit(ada, form, hours="6"))
        assert [(entry.hours, entry.notes) for entry in town.checked_in(cohort, ada)] == [(6, "Typed for ten minutes")]


# --- signed requests --------------------------------------------------------------------------------------------------


async def test_who_is_not_slack_or_comes_too_late_is_turned_away(tmp_path: Path) -> None:
    async with cohort_of(tmp_path, "http", "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        await town.submit(ada, form, hours="6")
        sent, slack, now = town.slack.sent[-1], town.slack, int(time.time())
        other = {**sent.payload, "trigger_id": "1.2.another"}
        before = town.journal(cohort, ada)

        for refused in (
                slack.knock(sent.kind, other, signature="v0=" + "0" * 64), slack.knock(sent.kind, other, signature=""),
                # Slack's own signature, heard on the way and sent again later; or from a clock that runs ahead.
                slack.knock(sent.kind, other, timestamp=now - 301), slack.knock(sent.kind, other, timestamp=now + 400)):
            assert (await refused)[0] == 401
        slack.signing_secret, right = "0" * 32, slack.signing_secret
        assert (await slack.knock(sent.kind, other))[0] == 401
        slack.signing_secret = right
        assert town.journal(cohort, ada) == before
        # Heard and sent again at once it is Slack's word, and counts as what it is: the same.
        assert (await slack.knock(sent.kind, sent.payload, timestamp=now))[0] == 200
        assert town.journal(cohort, ada) == before


async def test_what_slack_tries_again_is_one_effect(tmp_path: Path) -> None:
    async with cohort_of(tmp_path, "http", "ada", now=WEEK_1) as (town, cohort, (ada,)):
        await town.start()
        form = await town.type(ada, "/checkin 1")
        await town.submit(ada, form, hours="6")
        submitted = town.slack.sent[-1]
        await town.slack.open_home(TEAM, ada)
        for retry in (1, 2, 3):
            await town.slack.again(retry=retry)
            again = {"x-slack-retry-num": str(retry), "x-slack-retry-reason": "http_timeout"}
            assert (await town.slack.knock(submitted.kind, submitted.payload, headers=again))[0] == 200

        assert len(town.checked_in(cohort, ada)) == 1
        assert "Week 1" in town.slack.teams[TEAM].homes[ada].words
