"""The simulated platform: each fault by itself, and how late a request may still be carried out."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bot.herald import SEND, Busy, Hindered, Rejected
from bot.ledger import Account, Receipt, Room
from bot.messages import DeliveryKey, Message
from bot.sender import GRACE
from bot.simulation.knobs import Coverage, Knobs
from bot.simulation.loop import Loop, Process
from bot.simulation.platform import Chat, Door, Request, ServerError

BEGINNING = datetime(2026, 10, 19, tzinfo=UTC)
ROOM = Room("slack", "T1", "C1")
KEY = DeliveryKey("1:how:week_opens")
FINE = Knobs(**{one.name: 0 for one in fields(Knobs)})


class Scene:
    """A platform with one process before its door."""

    def __init__(self, knobs: Knobs, seed: int = 1) -> None:
        self.loop = Loop(Random(seed))  # type: ignore[abstract]  # noqa: S311  # a play
        self.loop.failed = lambda context: pytest.fail(str(context))
        self.left: list[float] = []
        self.carried: list[float] = []
        self.process = Process("p")
        self.chat = Chat(self.loop, Random(seed), knobs, Coverage(), lambda hour: BEGINNING + timedelta(seconds=hour),  # noqa: S311
                         self._leaves, self._carried)
        self.door = Door(self.chat, self.process)
        self.ended: tuple[object, float] | None = None

    def _leaves(self, request: Request) -> None:
        self.left.append(self.loop.time())

    def _carried(self, request: Request) -> None:
        self.carried.append(self.loop.time())

    async def _send(self, to: Room | Account) -> None:
        try:
            async with asyncio.timeout(SEND.total_seconds()):
                ended: object = await self.door.post(to, Message(), KEY)
        except Exception as error:
            ended = type(error)
        self.ended = ended, self.loop.time()

    def send(self, to: Room | Account = ROOM) -> Scene:
        self.loop.create_task(self._send(to), context=self.process.context.copy())
        return self.run()

    def run(self) -> Scene:
        """Until nothing is left to do; what is of a dead process then is buried."""
        self.loop.run()
        if not self.process.alive:
            self.loop.bury()
        assert self.chat.under_way == []
        return self


def test_what_goes_well_is_carried_out_once_and_answered() -> None:
    scene = Scene(FINE).send()
    posted, = scene.chat.posted
    assert scene.ended is not None
    assert (posted.key, posted.to, scene.ended[0]) == (KEY, ROOM, posted.receipt)
    assert scene.left == [0.0]
    assert 0 < scene.carried[0] < scene.ended[1] < SEND.total_seconds()


def test_a_lost_answer_says_nothing_of_a_message_that_is_out() -> None:
    scene = Scene(replace(FINE, lost=1.0)).send()
    assert (len(scene.carried), scene.ended) == (1, (TimeoutError, SEND.total_seconds()))


def test_a_swallowed_request_is_never_carried_out() -> None:
    scene = Scene(replace(FINE, swallowed=1.0)).send()
    assert (scene.carried, scene.ended) == ([], (TimeoutError, SEND.total_seconds()))


def test_what_was_cut_off_may_be_carried_out_until_the_grace_is_over_and_not_later() -> None:
    late = [one for seed in range(200) for one in Scene(replace(FINE, late=1.0), seed).send().carried]
    cut = [one for one in late if one > SEND.total_seconds()]
    assert max(late) < SEND.total_seconds() + GRACE
    assert len(cut) > 20


def test_the_request_of_a_process_that_dies_may_be_carried_out_within_the_grace() -> None:
    carried = []
    for seed in range(100):
        scene = Scene(replace(FINE, late=1.0), seed)

        def die(scene: Scene = scene) -> None:
            scene.loop.kill(scene.process)
            scene.chat.cut_all(scene.process)

        scene.loop.call_later(1.0, die)
        scene.send()
        assert scene.ended is None or scene.ended[1] < 1.0      # it heard nothing any more
        carried += [one for one in scene.carried if one > 1.0]
    assert carried
    assert max(carried) < 1.0 + GRACE


@pytest.mark.parametrize(("knobs", "error"), [
    (replace(FINE, busy=1.0), Busy), (replace(FINE, hindered=1.0), Hindered), (replace(FINE, rejected=1.0), Rejected)])
def test_a_no_means_that_nothing_was_posted(knobs: Knobs, error: type[Exception]) -> None:
    scene = Scene(knobs).send()
    assert scene.ended is not None
    assert (scene.carried, scene.ended[0]) == ([], error)


def test_an_error_of_the_server_says_nothing() -> None:
    scenes = [Scene(replace(FINE, broken=1.0), seed).send() for seed in range(50)]
    assert {len(scene.carried) for scene in scenes} == {0, 1}
    assert {scene.ended and scene.ended[0] for scene in scenes} == {ServerError, ConnectionResetError}


def test_during_an_outage_nothing_is_answered_well_and_some_of_it_is_carried_out() -> None:
    def scene(seed: int) -> Scene:
        made = Scene(FINE, seed)
        made.chat.away_until = 3600.0
        return made.send()

    scenes = [scene(seed) for seed in range(50)]
    assert not [one for one in scenes if one.ended is not None and isinstance(one.ended[0], Receipt)]
    assert {len(one.carried) for one in scenes} == {0, 1}


def test_a_message_is_found_where_it_was_posted_and_from_its_time_on() -> None:
    scene = Scene(FINE).send()
    posted, = scene.chat.posted
    found: list[Receipt | None] = []

    async def look() -> None:
        for to, key, since in ((ROOM, KEY, BEGINNING), (ROOM, DeliveryKey("other"), BEGINNING),
                               (Account("slack", "T1", "U1"), KEY, BEGINNING),
                               (ROOM, KEY, BEGINNING + timedelta(hours=1))):
            while True:
                try:
                    found.append(await scene.door.find(to, key, since))
                    break
                except (ServerError, Busy, Hindered):
                    continue    # looking may fail, too

    scene.loop.create_task(look())
    scene.run()
    assert found == [posted.receipt, None, None, None]
