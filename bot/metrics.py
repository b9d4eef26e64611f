"""What an operator counts and times, in the words of Prometheus: measured around the desk, the platforms and the
ledger, so that none of them knows of it.

All of it is in one registry that is handed in. What is at hand anyway (the backlog, who is connected, how long a limit
was waited for) is read when somebody asks; the rest costs some microseconds beside a transaction's hundreds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from time import perf_counter
from typing import Any, ParamSpec, Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from bot import commands
from bot.desk import Caller
from bot.herald import Busy, Gone, Hindered, Platform, Rejected, Unreachable
from bot.ledger import Account, Agenda, Delivery, Lane, Receipt, RequestId, Room, State, Transaction, Unsaved
from bot.messages import Answers, DeliveryKey, Form, Message
from bot.store import tables
from content.model import Voice

T = TypeVar("T")
P = ParamSpec("P")

INTERACTION = (.005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30)
"""Seconds. Both platforms wait for 3."""
TRANSACTION = (.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10)
CALL = (.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60)
"""Seconds. A send may take 20 (`herald.SEND`)."""
LAG = (.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
MOST = 100_000
"""Deliveries of a lane that are counted at most, so that it never takes longer than some milliseconds."""

FORMS = frozenset({"check-in", "join", "settings", "open"})


@dataclass(frozen=True)
class Backlog:
    """What waits in a lane."""

    lane: Lane
    owed: int
    """All that is not settled, up to `MOST`."""
    overdue: int
    """Of them what may be claimed now."""
    waits: float
    """Seconds for which the first of these has waited; 0 when there is none."""


class Metrics:
    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Gauge("ninety_info", "The version that runs; always 1.", ["version"], registry=registry).labels(
            version("ninety")).set(1)
        self.deliveries = Counter(
            "ninety_deliveries", "Attempts at deliveries by what became of them. Settled: sent, missed, failed, "
            "withdrawn. To be tried again: owed (nothing was posted) and unknown (looked for first).",
            ["platform", "kind", "outcome"], registry=registry)
        self.lag = Histogram("ninety_delivery_lag_seconds", "From when a delivery was due until it was sent.",
                             ["platform", "kind"], buckets=LAG, registry=registry)
        self.interactions = Histogram(
            "ninety_interaction_seconds", "From when somebody's command, button or form arrived until it was answered.",
            ["platform", "command"], buckets=INTERACTION, registry=registry)
        self.answers = Counter("ninety_answers", "What the desk said: answered, form, refused, or failed (a bug).",
                               ["platform", "command", "outcome"], registry=registry)
        self.calls = Histogram(
            "ninety_platform_call_seconds", "Calls of a platform by the herald (ready: the wait for its turn; post, "
            "find, award) and how they ended.", ["platform", "call", "outcome"], buckets=CALL, registry=registry)
        self.transactions = Histogram("ninety_transaction_seconds", "Database transactions, the wait for their turn "
                                      "included.", buckets=TRANSACTION, registry=registry)
        self.unsaved = Counter("ninety_transactions_unsaved", "Transactions that the database did not take.",
                               registry=registry)
        self._connected = Gauge("ninety_connected", "1 while the line to the platform is up.", ["platform"],
                                registry=registry)
        self._sends = Gauge("ninety_sends", "1 while this process sends for the platform.", ["platform"],
                            registry=registry)
        self._limits = _Limits()
        registry.register(self._limits)
        self._backlog = _Waiting()
        registry.register(self._backlog)

    def told(self, delivery: Delivery, state: State, at: datetime) -> None:
        """For the herald."""
        platform, kind = delivery.lane.platform, delivery.kind.value
        self.deliveries.labels(platform, kind, state.value).inc()
        if state is State.SENT:
            # The instant of a receipt is the platform's, whose clock may be behind ours.
            self.lag.labels(platform, kind).observe(max((at - delivery.due).total_seconds(), 0.0))

    def sends(self, platform: str, sends: Callable[[], bool]) -> None:
        """Who is asked whether this process is the one."""
        self._sends.labels(platform).set_function(lambda: float(sends()))

    def connection(self, platform: str, connected: Callable[[], bool]) -> None:
        """Asked at each scrape."""
        self._connected.labels(platform).set_function(lambda: float(connected()))

    def limits(self, platform: str, waited: Callable[[], float], limited: Callable[[], Mapping[str, int]]) -> None:
        """Asked at each scrape for the seconds that all callers waited, and for the answers of 429 by their scope."""
        self._limits.sources[platform] = waited, limited

    def page(self, backlog: Sequence[Backlog] = ()) -> bytes:
        """In Prometheus' text format; without a backlog when the database did not tell it."""
        self._backlog.now = backlog
        return generate_latest(self.registry)


class _Limits(Collector):
    def __init__(self) -> None:
        self.sources: dict[str, tuple[Callable[[], float], Callable[[], Mapping[str, int]]]] = {}

    def collect(self) -> Iterator[Metric]:
        waits = CounterMetricFamily("ninety_rate_limit_wait_seconds", "Seconds that calls waited for a platform's "
                                    "limits, all together.", labels=["platform"])
        answers = CounterMetricFamily("ninety_rate_limited", "Answers of 429, by what they limited.",
                                      labels=["platform", "scope"])
        for platform, (waited, limited) in self.sources.items():
            waits.add_metric([platform], waited())
            for scope, count in limited().items():
                answers.add_metric([platform, scope], count)
        yield waits
        yield answers


class _Waiting(Collector):
    def __init__(self) -> None:
        self.now: Sequence[Backlog] = ()

    def collect(self) -> Iterator[Metric]:
        labels = ["platform", "lane"]
        owed = GaugeMetricFamily("ninety_deliveries_owed", f"Deliveries that are not settled, up to {MOST} a lane.",
                                 labels=labels)
        overdue = GaugeMetricFamily("ninety_deliveries_overdue", f"Of them those that are due now, up to {MOST} a "
                                    "lane.", labels=labels)
        waits = GaugeMetricFamily("ninety_delivery_overdue_seconds", "How long the first of those has been due.",
                                  labels=labels)
        for one in self.now:
            names = [one.lane.platform, "people" if one.lane.private else "room"]
            owed.add_metric(names, one.owed)
            overdue.add_metric(names, one.overdue)
            waits.add_metric(names, one.waits)
        yield from (owed, overdue, waits)


_d = tables.delivery.c


def backlog(connection: Connection, lanes: Sequence[Lane], now: datetime) -> list[Backlog]:
    """Each figure is a range of the index `delivery_by_lane`."""
    found = []
    for lane in lanes:
        in_lane = _d.platform == lane.platform, _d.private == lane.private
        unsettled = select(_d.claimable).where(*in_lane, _d.claimable.is_not(None)).limit(MOST)
        due = select(_d.claimable).where(*in_lane, _d.claimable <= now).limit(MOST)
        first = connection.execute(due.order_by(_d.claimable).limit(1)).scalar()
        found.append(Backlog(
            lane, connection.execute(select(func.count()).select_from(unsettled.subquery())).scalar_one(),
            connection.execute(select(func.count()).select_from(due.subquery())).scalar_one(),
            0.0 if first is None else (now - first).total_seconds()))
    return found


# --- around the desk --------------------------------------------------------------------------------------------------


@dataclass
class _Arrival:
    """Something somebody did, while it is answered. The desk knows what it was."""

    began: float
    platform: str = ""
    command: str = ""


_arrival: ContextVar[_Arrival | None] = ContextVar("arrival", default=None)


class Door(Protocol):
    """The desk."""

    @property
    def voice(self) -> Voice: ...

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form: ...

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message: ...

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) \
            -> Sequence[tuple[str, str]]: ...


class MeasuredDesk:
    """An interaction that arrived through `arriving` is timed there, from the very start; another one is
    timed here."""

    def __init__(self, desk: Door, metrics: Metrics) -> None:
        self._desk = desk
        self._metrics = metrics
        self._counters: dict[tuple[str, str, str], Counter] = {}

    @property
    def voice(self) -> Voice:
        return self._desk.voice

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        return await self._measured(caller, named(line), self._desk.command(caller, line, request, now))

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        return await self._measured(caller, f"form {kind}" if kind in FORMS else "unknown",
                                    self._desk.submit(caller, kind, about, answers, request, now))

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) \
            -> Sequence[tuple[str, str]]:
        return await self._measured(caller, "suggestions", self._desk.suggestions(caller, argument, typed_, now))

    async def _measured(self, caller: Caller, command: str, asked: Awaitable[T]) -> T:
        platform, arrival, began = caller.account.platform, _arrival.get(), perf_counter()
        # What is done on the way, as drawing somebody's home again, is no interaction of its own.
        if arrival is not None and not arrival.command:
            arrival.platform, arrival.command = platform, command
        outcome = "failed"
        try:
            answer = await asked
            outcome = "form" if isinstance(answer, Form) else \
                "refused" if isinstance(answer, Message) and answer.refused else "answered"
            return answer
        finally:
            key = platform, command, outcome
            # To find a metric by its labels takes longer than to count.
            if (counter := self._counters.get(key)) is None:
                counter = self._counters[key] = self._metrics.answers.labels(*key)
            counter.inc()
            if arrival is None:
                self._metrics.interactions.labels(platform, command).observe(perf_counter() - began)


def named(line: str) -> str:
    """One of our commands; whatever else was typed is `unknown`."""
    words = line.lstrip().lstrip("/").split(maxsplit=2)
    for length in (2, 1):
        if (name := " ".join(words[:length]).lower()) in commands.BY_NAME:
            return name
    return "unknown"


def arriving(metrics: Metrics, handle: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """`handle` answers whatever arrives; what comes to the desk is timed from here to its end."""
    async def handled(*args: P.args, **kwargs: P.kwargs) -> T:
        arrival = _Arrival(perf_counter())
        token = _arrival.set(arrival)
        try:
            return await handle(*args, **kwargs)
        finally:
            _arrival.reset(token)
            if arrival.command:
                metrics.interactions.labels(arrival.platform, arrival.command).observe(perf_counter() - arrival.began)

    return handled


# --- around a platform ------------------------------------------------------------------------------------------------


class MeasuredPlatform:
    def __init__(self, platform: Platform, name: str, metrics: Metrics) -> None:
        self._platform = platform
        self._name = name
        self._metrics = metrics

    async def ready(self, to: Room | Account) -> None:
        with self._measured("ready"):
            await self._platform.ready(to)

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        with self._measured("post"):
            return await self._platform.post(to, message, key)

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        with self._measured("find"):
            return await self._platform.find(to, key, since)

    async def award(self, to: Account, room: Room, role: str) -> None:
        with self._measured("award"):
            await self._platform.award(to, room, role)

    @contextmanager
    def _measured(self, call: str) -> Iterator[None]:
        began, outcome = perf_counter(), "cut off"
        try:
            yield
            outcome = "ok"
        except (Rejected, Hindered, Busy) as error:
            outcome = next(name for kind, name in _OUTCOMES.items() if isinstance(error, kind))
            raise
        finally:
            self._metrics.calls.labels(self._name, call, outcome).observe(perf_counter() - began)


_OUTCOMES: Mapping[type[Exception], str] = {
    Unreachable: "unreachable", Gone: "gone", Rejected: "rejected", Hindered: "hindered", Busy: "busy"}
"""The kinds of a kind come before it. All else is `cut off`: nobody knows whether it was done."""


# --- around the ledger ------------------------------------------------------------------------------------------------


class MeasuredLedger:
    def __init__(self, ledger: Agenda, metrics: Metrics) -> None:
        self._ledger = ledger
        self._seconds = metrics.transactions
        self._unsaved = metrics.unsaved

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        began = perf_counter()
        try:
            return await self._ledger.transact(work, reads=reads, meanwhile=meanwhile)
        except Unsaved:
            self._unsaved.inc()
            raise
        finally:
            self._seconds.observe(perf_counter() - began)

    async def next_due(self, lane: Lane) -> datetime | None:
        return await self._ledger.next_due(lane)
