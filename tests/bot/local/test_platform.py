"""The local chat as the herald uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.herald import Rejected
from bot.ledger import Account, Receipt, Room
from bot.local.history import History
from bot.local.people import NINETY, Person
from bot.local.platform import LocalPlatform
from bot.messages import DeliveryKey, Message, markdown
from scheduler.clock import VirtualClock
from tests.bot.local.build import MEI, MONDAY, ROOM, database

KEY = DeliveryKey("1:week-1:week_opens")
HELLO = Message(markdown("Hello"))


async def test_a_post_to_the_room_can_be_found_by_its_key(tmp_path: Path) -> None:
    async with database(tmp_path) as store:
        platform = LocalPlatform(History(store), VirtualClock(MONDAY), ROOM)
        assert await platform.find(ROOM, KEY, MONDAY) is None
        receipt = await platform.post(ROOM, HELLO, KEY)
        assert receipt == Receipt("1", "/chat/#post-1", MONDAY)
        assert await platform.find(ROOM, KEY, MONDAY) == receipt
        assert await platform.find(MEI.account, KEY, MONDAY) is None


async def test_the_same_key_twice_is_one_post_with_one_receipt(tmp_path: Path) -> None:
    async with database(tmp_path) as store:
        history = History(store)
        platform = LocalPlatform(history, VirtualClock(MONDAY), ROOM)
        assert await platform.post(ROOM, HELLO, KEY) == await platform.post(ROOM, HELLO, KEY)
        assert len(await history.latest("mei", "ninety")) == 1


async def test_a_direct_message_is_for_one_person_and_its_link_says_whom(tmp_path: Path) -> None:
    async with database(tmp_path) as store:
        history = History(store)
        platform = LocalPlatform(history, VirtualClock(MONDAY), ROOM)
        receipt = await platform.post(MEI.account, HELLO, KEY)
        assert receipt.link == "/chat/?as=mei#post-1"
        assert await platform.find(MEI.account, KEY, MONDAY) == receipt
        assert [post.only_for for post in await history.latest("mei", "@mei")] == ["mei"]
        assert await history.latest("sam", "@mei") == []


@pytest.mark.parametrize("to", [Room("local", "", "elsewhere"), Account("slack", "T1", "mei")])
async def test_a_room_or_person_that_is_not_here_is_refused_for_good(tmp_path: Path, to: Room | Account) -> None:
    async with database(tmp_path) as store:
        with pytest.raises(Rejected):
            await LocalPlatform(History(store), VirtualClock(MONDAY), ROOM).post(to, HELLO, KEY)


def test_nobody_can_be_called_like_the_bot() -> None:
    with pytest.raises(ValueError, match="another id"):
        Person(NINETY, "Mei", "Europe/Berlin")
