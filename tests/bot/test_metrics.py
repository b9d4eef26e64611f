"""What is counted is what happened, and nobody can be told from it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.desk import Caller, Desk
from bot.herald import Busy, Gone, Herald, Hindered, Platform, Rejected, Unreachable
from bot.ledger import (
    Account,
    Agenda,
    Cohort,
    Delivery,
    Lane,
    Receipt,
    RequestId,
    Room,
    State,
    Transaction,
    Unsaved,
)
from bot.messages import Answers, DeliveryKey, Form, Message
from bot.metrics import (
    Backlog,
    MeasuredDesk,
    MeasuredLedger,
    MeasuredPlatform,
    Metrics,
    arriving,
    backlog,
    named,
)
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.model import PostKind, Voice
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, ROOM, WEEK_1, account, caller, guide

T = TypeVar("T")

ROOM_LANE, PEOPLE_LANE = Lane("local", False), Lane("local", True)
JOIN: Answers = {"name": ("Ada Lovelace",), "shown": ("name",), "zone": ("Europe/Berlin",), "nudges": ("yes",)}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def told(metrics: Metrics, waiting: Sequence[Backlog] = ()) -> dict[tuple[str, ...], float]:
    """(name, values of labels in the order of their names…) → value, as Prometheus reads the page; of ours only, and
    without what depends on how fast this machine is."""
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(metrics.page(waiting).decode())
            for sample in family.samples
            if sample.name.startswith("ninety_")
            and not sample.name.endswith(("_bucket", "_sum", "_created", "_info"))}


# --- the desk ---------------------------------------------------------------------------------------------------------


async def test_each_answer_of_the_desk_is_counted_by_what_it_was(ledger: StoredLedger, cohort: Cohort,
                                                                 metrics: Metrics) -> None:
    desk = MeasuredDesk(Desk(ledger, guide()), metrics)
    await desk.command(caller("ada"), "/progress", RequestId("1"), WEEK_1)
    await desk.submit(caller("ada"), "join", "", JOIN, RequestId("2"), WEEK_1)
    await desk.command(caller("ada"), "/CheckIn 1", RequestId("3"), WEEK_1)
    await desk.command(caller("ada"), "/my name is Ada Lovelace", RequestId("4"), WEEK_1)
    await desk.command(caller("ada"), "cohort  help", RequestId("5"), WEEK_1)
    await desk.suggestions(caller("ada"), "zone", "Ber", WEEK_1)
    assert told(metrics) == {
        ("ninety_answers_total", "progress", "refused", "local"): 1,
        ("ninety_answers_total", "form join", "answered", "local"): 1,
        ("ninety_answers_total", "checkin", "form", "local"): 1,
        ("ninety_answers_total", "unknown", "refused", "local"): 1,
        ("ninety_answers_total", "cohort help", "answered", "local"): 1,
        ("ninety_answers_total", "suggestions", "answered", "local"): 1,
        ("ninety_interaction_seconds_count", "progress", "local"): 1,
        ("ninety_interaction_seconds_count", "form join", "local"): 1,
        ("ninety_interaction_seconds_count", "checkin", "local"): 1,
        ("ninety_interaction_seconds_count", "unknown", "local"): 1,
        ("ninety_interaction_seconds_count", "cohort help", "local"): 1,
        ("ninety_interaction_seconds_count", "suggestions", "local"): 1,
        ("ninety_transaction_seconds_count",): 0,
        ("ninety_transactions_unsaved_total",): 0,
    }
    assert b"Lovelace" not in metrics.page()


class Broken:
    """A desk with a bug."""

    voice: Voice

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        raise ZeroDivisionError

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        raise ZeroDivisionError

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) \
            -> Sequence[tuple[str, str]]:
        raise ZeroDivisionError


async def test_a_bug_is_counted_and_comes_through(metrics: Metrics) -> None:
    desk = MeasuredDesk(Broken(), metrics)
    with pytest.raises(ZeroDivisionError):
        await desk.command(caller("ada"), "/week", RequestId("1"), WEEK_1)
    with pytest.raises(ZeroDivisionError):
        await desk.submit(caller("ada"), "a kind that somebody made up", "", {}, RequestId("2"), WEEK_1)
    counted = told(metrics)
    assert counted["ninety_answers_total", "week", "failed", "local"] == 1
    assert counted["ninety_answers_total", "unknown", "failed", "local"] == 1


@pytest.mark.parametrize(("line", "command"), [
    ("/week 3", "week"), ("week", "week"), ("  /COHORT  Rest 4", "cohort rest"), ("/cohort", "unknown"),
    ("", "unknown"), ("/", "unknown"), ("/weekly", "unknown"), ("/cohort restless", "unknown")])
def test_only_our_own_commands_have_names(line: str, command: str) -> None:
    assert named(line) == command


async def test_an_interaction_is_timed_from_its_arrival_to_its_end(ledger: StoredLedger, cohort: Cohort,
                                                                   metrics: Metrics) -> None:
    """Also when the desk is asked in a task of its own; and what is done on the way is not one of its own."""
    desk = MeasuredDesk(Desk(ledger, guide()), metrics)
    clock = [100.0]
    seen: list[Message | Form] = []

    async def shell(line: str) -> str:
        clock[0] += 2
        seen.append(await asyncio.create_task(desk.command(caller("ada"), line, RequestId(line), WEEK_1)))
        await desk.command(caller("ada"), "/progress", RequestId("home"), WEEK_1)
        clock[0] += 5
        return "shown"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.metrics.perf_counter", lambda: clock[0])
        assert await arriving(metrics, shell)("/week 1") == "shown"
    counted = told(metrics)
    assert len(seen) == 1
    assert {name[1]: value for name, value in counted.items()
            if name[0] == "ninety_interaction_seconds_count"} == {"week": 1}
    assert metrics.registry.get_sample_value(
        "ninety_interaction_seconds_sum", {"platform": "local", "command": "week"}) == 7
    assert counted["ninety_answers_total", "progress", "refused", "local"] == 1


async def test_what_never_comes_to_the_desk_is_not_timed(metrics: Metrics) -> None:
    async def shell() -> None:
        return

    await arriving(metrics, shell)()
    assert not [name for name in told(metrics) if name[0].startswith("ninety_interaction")]


# --- deliveries -------------------------------------------------------------------------------------------------------


@dataclass
class Chat:
    """Takes everything, `late` after it was asked, but for what `faults` say."""

    clock: VirtualClock
    faults: list[Exception] = field(default_factory=list)

    async def ready(self, to: Room | Account) -> None:
        return

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        if self.faults:
            raise self.faults.pop(0)
        return Receipt("1", "#", self.clock.now())

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return None

    async def award(self, to: Account, room: Room, role: str) -> None:
        if self.faults:
            raise self.faults.pop(0)


async def test_deliveries_are_counted_by_what_became_of_them_and_how_late_they_were(
        ledger: StoredLedger, cohort: Cohort, clock: VirtualClock, metrics: Metrics) -> None:
    chat = Chat(clock, [Busy(timedelta(seconds=30)), ConnectionResetError()])
    herald = Herald(ledger, {"local": chat}, clock, told=metrics.told)
    welcome = datetime(2027, 1, 2, 8, tzinfo=UTC)
    for after in (0, 30, 60):       # asked to wait; cut off; sent
        clock.reach(welcome + timedelta(seconds=after))
        await herald.tick(clock.now())
    clock.reach(datetime(2027, 1, 20, tzinfo=UTC))      # two weeks of silence
    await herald.tick(clock.now())
    counted = told(metrics)
    outcomes = {name[1:3]: value for name, value in counted.items() if name[0] == "ninety_deliveries_total"}
    assert outcomes["welcome", "owed"] == outcomes["welcome", "unknown"] == outcomes["welcome", "sent"] == 1
    assert outcomes["week_opens", "missed"] == 3
    assert ("week_opens", "owed") not in outcomes
    assert metrics.registry.get_sample_value(
        "ninety_delivery_lag_seconds_sum", {"platform": "local", "kind": "welcome"}) == 60
    # As many as the ledger knows of.
    logged = await ledger.transact(lambda tx: tx.deliveries(cohort.id))
    settled = Counter(one.state.value for one in logged if one.state in (State.SENT, State.MISSED))
    assert settled == Counter({state: int(sum(value for (_, outcome), value in outcomes.items() if outcome == state))
                               for state in ("sent", "missed")})


async def test_what_another_process_took_over_is_not_counted(ledger: StoredLedger, cohort: Cohort,
                                                             clock: VirtualClock, metrics: Metrics) -> None:
    """It was silent for too long in the middle of a send, and the other one finished it."""
    class Slow(Chat):
        async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
            self.clock.reach(self.clock.now() + timedelta(hours=1))
            (claim,) = await ledger.transact(lambda tx: tx.claim(ROOM_LANE, self.clock.now(), 1))
            await ledger.transact(lambda tx: tx.finish(claim, State.SENT, None, ""))
            return await super().post(to, message, key)

    clock.reach(datetime(2027, 1, 2, 8, tzinfo=UTC))
    await Herald(ledger, {"local": Slow(clock)}, clock, told=metrics.told).tick(clock.now())
    assert not [name for name in told(metrics) if name[0] == "ninety_deliveries_total"]


def test_a_platform_whose_clock_is_behind_is_not_early(metrics: Metrics) -> None:
    due = datetime(2027, 1, 2, 8, tzinfo=UTC)
    metrics.told(Delivery(DeliveryKey("k"), 1, PostKind.NUDGE, None, None, due, due, PEOPLE_LANE),  # type: ignore[arg-type]
                 State.SENT, due - timedelta(seconds=3))
    assert metrics.registry.get_sample_value(
        "ninety_delivery_lag_seconds_sum", {"platform": "local", "kind": "nudge"}) == 0


def test_the_backlog_is_what_the_database_holds_now(database: Database, ledger: StoredLedger, cohort: Cohort,
                                                    metrics: Metrics) -> None:
    at = datetime(2027, 1, 5, 8, tzinfo=UTC)
    posts = ledger.transact_here(lambda tx: tx.deliveries(cohort.id))
    due = [one.delivery.due for one in posts if one.delivery.due <= at]
    found = database.run_here(lambda connection: backlog(connection, [ROOM_LANE, PEOPLE_LANE], at))
    assert found == [Backlog(ROOM_LANE, len(posts), len(due), (at - min(due)).total_seconds()),
                     Backlog(PEOPLE_LANE, 0, 0, 0.0)]
    assert len(due) == 2
    counted = told(metrics, found)
    assert [counted[name, "room", "local"] for name in (
        "ninety_deliveries_owed", "ninety_deliveries_overdue", "ninety_delivery_overdue_seconds")] == [
            len(posts), 2, (at - min(due)).total_seconds()]
    claims = ledger.transact_here(lambda tx: tx.claim(ROOM_LANE, at, 9))
    ledger.transact_here(lambda tx: tx.finish(claims[0], State.SENT, None, ""))
    waits = (at - claims[1].delivery.due).total_seconds()
    assert database.run_here(lambda connection: backlog(connection, [ROOM_LANE], at)) == [
        Backlog(ROOM_LANE, len(posts) - 1, 1, waits)], "what is being sent has not come out yet"


def test_a_long_backlog_is_counted_only_so_far(database: Database, cohort: Cohort,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.metrics.MOST", 3)
    later = OPENED + timedelta(days=365)
    (found,) = database.run_here(lambda connection: backlog(connection, [ROOM_LANE], later))
    assert (found.owed, found.overdue) == (3, 3)


def test_a_database_that_does_not_tell_leaves_no_old_figures(metrics: Metrics) -> None:
    assert ("ninety_deliveries_owed", "room", "local") in told(metrics, [Backlog(ROOM_LANE, 1, 0, 0.0)])
    assert ("ninety_deliveries_owed", "room", "local") not in told(metrics)


# --- platforms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "outcome"), [
    (Busy(timedelta(seconds=1)), "busy"), (Hindered("no"), "hindered"), (Rejected("no"), "rejected"),
    (Unreachable("no"), "unreachable"), (Gone("no"), "gone"), (ConnectionResetError(), "cut off"),
    (asyncio.CancelledError(), "cut off")])
async def test_how_a_call_of_a_platform_ended_is_counted_and_comes_through(
        clock: VirtualClock, metrics: Metrics, error: Exception, outcome: str) -> None:
    platform: Platform = MeasuredPlatform(Chat(clock, [error, error]), "slack", metrics)
    with pytest.raises(type(error)):
        await platform.post(ROOM, Message(), DeliveryKey("k"))
    with pytest.raises(type(error)):
        await platform.award(account("ada"), ROOM, "role")
    await platform.ready(ROOM)
    assert await platform.post(ROOM, Message(), DeliveryKey("k")) == Receipt("1", "#", OPENED)
    assert await platform.find(ROOM, DeliveryKey("k"), OPENED) is None
    assert {name[1:]: value for name, value in told(metrics).items()
            if name[0] == "ninety_platform_call_seconds_count"} == {
        ("post", outcome, "slack"): 1, ("award", outcome, "slack"): 1, ("ready", "ok", "slack"): 1,
        ("post", "ok", "slack"): 1, ("find", "ok", "slack"): 1}


def test_what_was_waited_for_a_limit_is_asked_at_each_scrape(metrics: Metrics) -> None:
    waited = [0.0]
    metrics.limits("slack", lambda: waited[0], lambda: {"method": 1})
    metrics.limits("discord", lambda: 2.25, lambda: {"user": 3, "global": 1})
    waited[0] = 6.5
    assert {name: value for name, value in told(metrics).items() if "limit" in name[0]} == {
        ("ninety_rate_limit_wait_seconds_total", "slack"): 6.5,
        ("ninety_rate_limit_wait_seconds_total", "discord"): 2.25,
        ("ninety_rate_limited_total", "slack", "method"): 1,
        ("ninety_rate_limited_total", "discord", "user"): 3,
        ("ninety_rate_limited_total", "discord", "global"): 1}


def test_whether_a_line_is_up_is_asked_at_each_scrape(metrics: Metrics) -> None:
    up = [False]
    metrics.connection("discord", lambda: up[0])
    assert told(metrics)["ninety_connected", "discord"] == 0
    up[0] = True
    assert told(metrics)["ninety_connected", "discord"] == 1


# --- the ledger -------------------------------------------------------------------------------------------------------


async def test_transactions_are_timed_and_those_that_were_not_taken_are_counted(
        ledger: StoredLedger, cohort: Cohort, metrics: Metrics) -> None:
    class Full:
        async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                           meanwhile: Callable[[T], object] | None = None) -> T:
            raise Unsaved

        async def next_due(self, lane: Lane) -> datetime | None:
            raise Unsaved

    measured: Agenda = MeasuredLedger(ledger, metrics)
    assert await measured.transact(lambda tx: [one.id for one in tx.cohorts()]) == [cohort.id]
    with pytest.raises(ZeroDivisionError):
        await measured.transact(lambda tx: 1 // 0)
    with pytest.raises(Unsaved):
        await MeasuredLedger(Full(), metrics).transact(lambda tx: None)
    counted = told(metrics)
    assert (counted["ninety_transaction_seconds_count",], counted["ninety_transactions_unsaved_total",]) == (3, 1)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_two_of_them_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.unsaved.inc()
    assert [told(each)["ninety_transactions_unsaved_total",] for each in (one, other)] == [1, 0]


def test_the_page_tells_of_the_process_and_the_version(metrics: Metrics) -> None:
    names = {family.name for family in text_string_to_metric_families(metrics.page().decode())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "python_info", "ninety_info"} <= names
