"""Discord's REST: one attempt a call, no limit exceeded, and no gate that stays shut."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import selectors
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bot.discord import rest as module
from bot.discord.rest import GLOBAL, KEPT, SPREAD, BadToken, Broken, Limited, Refused, Rest, Window
from tests.bot.discord.wire import (
    TOKEN,
    VIA,
    Handler,
    Said,
    StillClock,
    cut,
    hang,
    limit,
    refusal,
    resting,
    settle,
    too_many,
)
from tests.emulators.discord_limits import Limits

POST = "/channels/{channel}/messages"
AT_ONCE = 64


async def test_a_call_says_who_we_are_and_gives_back_the_answer() -> None:
    async with resting(StillClock()) as (rest, server):
        server.put("POST /channels/1/messages", Said(json={"id": "9"}))
        server.put("PUT /guilds/2/members/3/roles/4", Said(204))
        assert await rest.call("POST", POST, channel="1", json={"flags": 1}) == {"id": "9"}
        assert await rest.call("PUT", "/guilds/{guild}/members/{user}/roles/{role}", guild="2", user="3", role="4") \
            is None
        await rest.call("GET", POST, channel="1/../2", params={"after": "5", "limit": "100"})
        assert server.seen == ["POST /channels/1/messages", "PUT /guilds/2/members/3/roles/4",
                               "GET /channels/1%2F..%2F2/messages?after=5&limit=100"]
        assert server.bodies == [{"flags": 1}, None, None]
        assert {headers["Authorization"] for headers in server.headers} == {f"Bot {TOKEN}"}
        assert {headers["User-Agent"].split(" ")[0] for headers in server.headers} == {"DiscordBot"}


@pytest.mark.parametrize("answer", [
    Said(500, {}), Said(502, text="Bad Gateway"), Said(503, {}), Said(504, {}), Said(302, {}), Said(200, text="<html>"),
    cut])
async def test_what_nobody_knows_the_end_of_is_sent_once(answer: Said | Handler) -> None:
    """Discord may have taken it before the line was cut; a second post would be there twice."""
    async with resting(StillClock()) as (rest, server):
        server.put("POST /channels/1/messages", Said(), answer)
        await rest.call("POST", POST, channel="1")  # from here on the connection is a kept one
        with pytest.raises(Broken):
            await rest.call("POST", POST, channel="1")
        assert len(server.seen) == 2


async def test_a_call_that_gets_no_answer_in_time_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    async with resting(StillClock()) as (rest, server):
        server.put("POST /channels/1/messages", hang)
        with pytest.raises(Broken, match="TimeoutError"):
            await rest.call("POST", POST, channel="1")
        assert len(server.seen) == 1


@pytest.mark.parametrize(("answer", "kind", "status", "code", "message"), [
    (refusal(403, 50013, "Missing Permissions"), Refused, 403, 50013, "Missing Permissions"),
    (refusal(404, 10003, "Unknown\nChannel"), Refused, 404, 10003, "Unknown Channel"),
    (refusal(401, 0, "401: Unauthorized"), BadToken, 401, 0, "401: Unauthorized"),
    (Said(400, text="<html>"), Refused, 400, 0, ""),
    (Said(405, ["?"]), Refused, 405, 0, ""),
])
async def test_a_refusal_says_discords_code_and_words(answer: Said, kind: type[Refused], status: int, code: int,
                                                      message: str) -> None:
    async with resting(StillClock()) as (rest, server):
        server.put("POST /channels/1/messages", answer)
        with pytest.raises(Refused) as refused:
            await rest.call("POST", POST, channel="1")
        error = refused.value
        assert (type(error), error.status, error.code, error.message) == (kind, status, code, message)
        assert "what was sent" not in str(error)


# --- 429 --------------------------------------------------------------------------------------------------------------


async def _go_on(rest: Rest, clock: StillClock, after: float) -> dict[str, bool]:
    """Which turns come at once, when `after` has almost passed, and which only then."""
    turns = {name: asyncio.create_task(turn) for name, turn in {
        "the same": rest.turn("POST", POST, channel="1"),
        "another channel": rest.turn("POST", POST, channel="2"),
        "another route": rest.turn("GET", POST, channel="1")}.items()}
    await clock.pass_by(after - 0.1)
    at_once = {name: turn.done() for name, turn in turns.items()}
    await clock.pass_by(0.2)
    assert all(turn.done() for turn in turns.values())
    return at_once


@pytest.mark.parametrize(("scope", "at_once"), [
    ("user", {"the same": False, "another channel": True, "another route": True}),
    ("shared", {"the same": False, "another channel": True, "another route": True}),
    ("global", {"the same": False, "another channel": False, "another route": False}),
])
async def test_after_too_many_only_those_concerned_wait(scope: str, at_once: dict[str, bool]) -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", too_many(3.5, scope))
        with pytest.raises(Limited) as limited:
            await rest.call("POST", POST, channel="1")
        assert (limited.value.after, limited.value.scope) == (timedelta(seconds=3.5), scope)
        assert await _go_on(rest, clock, 3.5) == at_once
        assert len(server.seen) == 1
        assert rest.limited == {scope: 1}
        assert rest.waited == pytest.approx(3.5 * list(at_once.values()).count(False), abs=0.3)


async def test_a_banned_address_makes_everybody_wait_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        banned = Said(429, text="error code: 1015", headers={"Retry-After": "20"})
        server.put("POST /channels/1/messages", banned, banned)
        for _ in range(2):
            with pytest.raises(Limited) as limited:
                await rest.call("POST", POST, channel="1")
            assert (limited.value.after, limited.value.scope) == (timedelta(seconds=20), "global")
            assert not any((await _go_on(rest, clock, 20)).values())
            await clock.pass_by(KEPT)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        server.put("POST /channels/1/messages", Said(429, {"retry_after": 1}))  # without Via
        with pytest.raises(Limited) as limited:
            await rest.call("POST", POST, channel="1")
        assert limited.value.after == module.BANNED


async def test_a_call_without_a_turn_does_not_wait_long_and_is_not_sent() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", too_many(60, "global"))
        for _ in range(2):
            with pytest.raises(Limited) as limited:
                await rest.call("POST", POST, channel="1")
            assert (limited.value.after, limited.value.scope) == (timedelta(seconds=60), "global")
        assert len(server.seen) == 1


async def test_a_turn_is_worth_nothing_after_a_429_that_came_since() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        await rest.turn("POST", POST, channel="2")
        server.put("POST /channels/1/messages", too_many(60, "global"))
        for channel in ("1", "2"):
            with pytest.raises(Limited):
                await rest.call("POST", POST, channel=channel)
        assert len(server.seen) == 1


# --- buckets ----------------------------------------------------------------------------------------------------------


async def test_an_empty_bucket_is_waited_for_by_its_own_routes_only() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", Said(headers=limit("abc", 5, 0, 2.0)))
        server.put("DELETE /channels/2/messages", Said(headers=limit("abc", 5, 4, 2.0)))
        await rest.call("POST", POST, channel="1")
        await rest.call("DELETE", POST, channel="2")
        turns = [asyncio.create_task(rest.turn(method, POST, channel=channel))
                 for method, channel in (("POST", "1"), ("DELETE", "1"), ("POST", "2"), ("DELETE", "2"), ("GET", "1"))]
        await clock.pass_by(1.9)
        assert [turn.done() for turn in turns] == [False, False, True, True, True]
        await clock.pass_by(0.2)
        assert all(turn.done() for turn in turns)


async def test_turns_that_are_kept_count_against_the_bucket() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", Said(headers=limit("abc", 3, 2, 2.0)))
        await rest.call("POST", POST, channel="1")
        turns = [asyncio.create_task(rest.turn("POST", POST, channel="1")) for _ in range(6)]
        await clock.pass_by(1.9)
        assert [turn.done() for turn in turns] == [True, True, False, False, False, False]
        await clock.pass_by(0.2)  # the limit is 3 again, and two of them are still promised
        assert [turn.done() for turn in turns] == [True, True, True, False, False, False]
        await clock.pass_by(KEPT)
        assert all(turn.done() for turn in turns)


async def test_of_a_limit_that_is_not_known_yet_one_call_finds_out() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", Said(headers=limit("abc", 2, 1, 9.0)))
        turns = [asyncio.create_task(rest.turn("POST", POST, channel="1")) for _ in range(3)]
        await settle()
        assert [turn.done() for turn in turns] == [True, False, False]
        await rest.call("POST", POST, channel="1")
        await settle()
        assert [turn.done() for turn in turns] == [True, True, False]


async def test_routes_that_turn_out_to_be_of_one_bucket_share_it() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", Said(headers=limit("abc", 5, 1, 2.0)))
        server.put("DELETE /channels/1/messages", Said(headers=limit("abc", 5, 1, 2.0)))
        await rest.call("POST", POST, channel="1")
        await rest.turn("POST", POST, channel="1")  # the last one, which the answer below does not know of
        await rest.call("DELETE", POST, channel="1")
        turn = asyncio.create_task(rest.turn("POST", POST, channel="1"))
        await clock.pass_by(1.9)
        assert not turn.done()
        await clock.pass_by(0.2)
        assert turn.done()


async def test_whoever_waits_for_an_answer_goes_on_in_the_bucket_that_it_names() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, server):
        for method in ("GET", "POST"):
            server.put(f"{method} /channels/1/messages", Said(headers=limit("abc", 5, 0, 9.0)))
        await rest.call("GET", POST, channel="1")
        await rest.turn("POST", POST, channel="1")
        turn = asyncio.create_task(rest.turn("POST", POST, channel="1"))
        await settle()
        await rest.call("POST", POST, channel="1")
        await clock.pass_by(8.9)
        assert not turn.done()
        await clock.pass_by(0.2)
        assert turn.done()


async def test_an_answer_that_was_overtaken_does_not_raise_what_remains() -> None:
    clock, first = StillClock(), asyncio.Event()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/1/messages", Said(headers=limit("abc", 4, 3, 9.0)))
        await rest.call("POST", POST, channel="1")

        async def late(_: web.Request) -> web.StreamResponse:
            await first.wait()
            return Said(headers=limit("abc", 4, 2, 9.0)).response()

        server.put("POST /channels/1/messages", late, Said(headers=limit("abc", 4, 1, 9.0)))
        overtaken = asyncio.create_task(rest.call("POST", POST, channel="1"))
        await server.requests(2)
        await rest.call("POST", POST, channel="1")
        first.set()
        await overtaken
        turns = [asyncio.create_task(rest.turn("POST", POST, channel="1")) for _ in range(2)]
        await settle()
        assert [turn.done() for turn in turns] == [True, False]
        turns[1].cancel()


async def test_channels_that_are_done_with_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUCKETS", 10)
    clock = StillClock()
    async with resting(clock) as (rest, server):
        server.put("POST /channels/busy/messages", Said(headers=limit("abc", 5, 0, 900.0)))
        await rest.call("POST", POST, channel="busy")
        for channel in range(100):
            server.put(f"POST /channels/{channel}/messages", Said(headers=limit("abc", 5, 4, 1.0)))
            await rest.call("POST", POST, channel=str(channel))
            await clock.pass_by(1.0)
        assert len(rest._buckets) <= 10
        turn = asyncio.create_task(rest.turn("POST", POST, channel="busy"))
        await clock.pass_by(1.0)
        assert not turn.done()
        turn.cancel()


# --- cut off ----------------------------------------------------------------------------------------------------------


async def test_calls_that_were_cut_off_give_their_places_back() -> None:
    """discord.py never opens its gate again when the call that sleeps before it is cancelled."""
    clock = StillClock()
    async with resting(clock) as (rest, server):
        for channel in range(GLOBAL):
            server.put(f"POST /channels/{channel}/messages", hang)
        calls = [asyncio.create_task(rest.call("POST", POST, channel=str(channel))) for channel in range(GLOBAL)]
        await clock.pass_by(1)      # they begin a few at a time
        await server.requests(GLOBAL)
        turns = [asyncio.create_task(rest.turn("POST", POST, channel="99")) for _ in range(3)]
        await settle()
        assert not any(turn.done() for turn in turns)
        for task in (*calls, turns[0], turns[1]):
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await clock.pass_by(0.9)  # Discord may have counted them this very moment
        assert not turns[2].done()
        await clock.pass_by(0.2)
        assert turns[2].done()
        server.put("POST /channels/98/messages", too_many(3, "global"))
        with pytest.raises(Limited):
            await rest.call("POST", POST, channel="98")
        waiting = [asyncio.create_task(rest.turn("POST", POST, channel=str(channel))) for channel in range(60)]
        await clock.pass_by(1)
        for task in waiting[:-1]:
            task.cancel()
        await clock.pass_by(2.1)
        assert waiting[-1].done()


async def test_a_turn_that_nobody_uses_lapses() -> None:
    clock = StillClock()
    async with resting(clock) as (rest, _):
        turns = [asyncio.create_task(rest.turn("POST", POST, channel=str(channel))) for channel in range(GLOBAL + 1)]
        await clock.pass_by(KEPT - 0.1)
        assert [turn.done() for turn in turns] == [True] * GLOBAL + [False]
        await clock.pass_by(0.2)
        assert turns[-1].done()


# --- fifty a second ---------------------------------------------------------------------------------------------------


class Loop(asyncio.SelectorEventLoop):
    """Whose clock goes on to the next instant that somebody waits for, when nobody has anything to do any more."""

    class Skipping(selectors.SelectSelector):
        at = 1000.0

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            assert timeout is not None, "everybody waits for somebody else"
            self.at += max(timeout, 0.0)
            return super().select(0)

    def __init__(self) -> None:
        self._skipping = Loop.Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.at


@dataclass
class Line:
    """To a Discord that counts calls when they arrive, and does nothing else."""

    there: Callable[[], float]
    back: Callable[[], float]
    """Seconds that a call is on its way to Discord, and that its answer takes from then on."""
    limits: Limits = field(default_factory=lambda: Limits(asyncio.get_running_loop().time))
    begun: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)

    @asynccontextmanager
    async def request(self, method: str, url: URL, **_: object) -> AsyncIterator[Line.Answer]:
        self.begun.append(self.limits.monotonic())
        await asyncio.sleep(self.there())
        route, channel = "POST /channels/{}/messages", url.parts[-2]
        held = self.limits.take(route, channel, counts_globally=True)
        headers = {**VIA, **self.limits.headers(route, channel, 0.0)}
        if held is None:
            self.counted.append(self.limits.monotonic())
        await asyncio.sleep(self.back())
        yield Line.Answer(200, headers) if held is None else Line.Answer(
            429, {**headers, "X-RateLimit-Scope": held.scope}, json.dumps({"retry_after": held.retry_after}))

    @dataclass(frozen=True)
    class Answer:
        status: int
        headers: Mapping[str, str]
        body: str = "{}"

        async def text(self, errors: str) -> str:
            return self.body

    def rest(self, answering: Callable[[], bool] = lambda: False) -> Rest:
        return Rest(cast("aiohttp.ClientSession", self), TOKEN, "http://discord", monotonic=self.limits.monotonic,
                    answering=answering)

    async def drain(self, rest: Rest, calls: int) -> float:
        """Calls a second, each to a channel of its own; who is told to wait comes again."""
        waiting = iter(range(calls))

        async def sender() -> None:
            for channel in waiting:
                while True:
                    await rest.turn("POST", POST, channel=str(channel))
                    try:
                        await rest.call("POST", POST, channel=str(channel))
                        break
                    except Limited as limited:
                        await asyncio.sleep(limited.after.total_seconds())

        began = self.limits.monotonic()
        await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
        assert len(self.counted) == calls
        return calls / (self.counted[-1] - began)


@pytest.mark.parametrize(("typical", "spread", "share"), [
    (0.005, 0.5, 0.97), (0.05, 0.2, 0.97), (0.2, 0.5, 0.95), (0.6, 0.3, 0.95)])
def test_a_backlog_drains_as_fast_as_discord_takes_it(typical: float, spread: float, share: float) -> None:
    """Ninety-five in a hundred of the fifty a second and more, evenly, and without a 429: also where an answer takes
    600 ms, and though the first calls must open their connections."""
    async def drained() -> None:
        chance, first = Random(6), iter([0.2] * 20)  # noqa: S311  # the same each time
        line = Line(lambda: 0.02 + chance.uniform(0, SPREAD) + next(first, 0.0),
                    lambda: chance.lognormvariate(math.log(typical), spread))
        assert await line.drain(line.rest(), 1500) >= share * GLOBAL
        assert line.limits.limited == []
        assert min(later - sooner for sooner, later in zip(line.begun, line.begun[12:], strict=False)) > 0.1

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(drained())


def test_who_is_being_answered_goes_first_but_holds_nobody_up() -> None:
    """Ten milliseconds of each fifty somebody waits for an answer, or somebody always does."""
    async def drained() -> None:
        line = Line(lambda: 0.02, lambda: 0.1)

        def answering() -> bool:
            return line.limits.monotonic() % 0.05 < 0.01

        assert await line.drain(line.rest(answering), 500) >= 0.95 * GLOBAL
        assert not any(at % 0.05 < 0.01 for at in line.begun)

    async def drained_beside_a_crowd() -> None:
        line = Line(lambda: 0.02, lambda: 0.1)
        assert await line.drain(line.rest(lambda: True), 1500) >= 0.95 * GLOBAL

    for drain in (drained, drained_beside_a_crowd):
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(drain())


def test_where_the_way_there_is_never_the_same_a_429_makes_us_careful() -> None:
    """All that one call takes longer than another passes before Discord counts it."""
    async def drained() -> None:
        chance = Random(6)  # noqa: S311  # the same each time
        line = Line(lambda: chance.uniform(0.0, 0.4), lambda: 0.05)
        assert await line.drain(line.rest(), 1000) >= 0.8 * GLOBAL
        assert 1 <= len(line.limits.limited) <= 50

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(drained())


def test_what_somebody_else_calls_with_our_token_is_left_out() -> None:
    """discord.py, when it logs in, and that may be in the middle of a wave."""
    async def logged_in() -> None:
        line = Line(lambda: 0.02, lambda: 0.1)
        rest = line.rest()
        wave = asyncio.create_task(line.drain(rest, 300))
        await asyncio.sleep(1.5)
        async with rest.room(4):
            for _ in range(4):
                await asyncio.sleep(0.2)
                assert line.limits.take("GET /users/@me", "", counts_globally=True) is None
        assert await wave >= 0.85 * GLOBAL
        assert line.limits.limited == []

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(logged_in())


MOST, SPAN = 3, 1000.0


@given(st.lists(st.tuples(st.integers(0, 1500), st.sampled_from(["begin", "begin", "end", "give back"])), max_size=60))
def test_no_server_can_count_more_than_the_window_lets_through(moves: list[tuple[int, str]]) -> None:
    """It may count a call at any instant between our start and our end."""
    window, now = Window(MOST, SPAN), 0.0
    running: list[float] = []
    calls: list[tuple[float, float]] = []
    for wait, move in moves:
        now += wait
        pause = window.pause(now)
        if move == "begin":
            if pause is None:
                assert len(running) == MOST
                continue
            now += pause
            assert window.pause(now) == 0
            window.take()
            running.append(now)
        elif running and move == "end":
            window.end(now)
            calls.append((running.pop(0), now))
        elif running:
            running.pop()
            window.give_back()
    calls += [(start, now) for start in running]
    for _, first in calls:
        assert sum(start < first + SPAN and end >= first for start, end in calls) <= MOST


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
def test_the_window_lets_through_all_that_it_may(waits: list[int]) -> None:
    """Calls that take no time: each begins as early as the one three before it allows."""
    window, now, begun = Window(MOST, SPAN), 0.0, list[float]()
    for wait in waits:
        now += wait
        pause = window.pause(now)
        assert pause is not None
        assert now + pause == max(now, begun[-MOST] + SPAN if len(begun) >= MOST else 0.0)
        now += pause
        window.take()
        window.end(now)
        begun.append(now)


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_neither_the_token_nor_what_was_said_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path, token = "/webhooks/{webhook}/{token}/messages/@original", "aW50ZXJhY3Rpb24"
    async with resting(StillClock()) as (rest, server):
        server.put("PATCH /webhooks/7/aW50ZXJhY3Rpb24/messages/@original", refusal(400, 50035), too_many(0.5, "user"),
                   cut)
        said = []
        for kind in (Refused, Limited, Broken):
            with pytest.raises(kind) as error:
                await rest.call("PATCH", path, json={"content": "private words"}, webhook="7", token=token)
            said.append(str(error.value))
            rest._buckets.clear()
    # aiohttp's server, which is the test's own, writes an access log.
    told = "\n".join([*(record.getMessage() for record in caplog.records if record.name.startswith("bot.")), *said])
    assert "PATCH /webhooks/{webhook}/{token}" in told
    assert [secret for secret in (TOKEN, token, "private words", "127.0.0.1") if secret in told] == []
