"""The local chat as the herald sees it: a room and direct messages to post to."""

from __future__ import annotations

from datetime import datetime

from bot.herald import Rejected
from bot.ledger import Account, Receipt, Room
from bot.local import render
from bot.local.history import History, Post, direct
from bot.local.people import NINETY
from bot.messages import DeliveryKey, Message
from scheduler.clock import Clock


class LocalPlatform:
    """Posting the same key again gives the receipt of the post that is there. Threads there are none."""

    def __init__(self, history: History, clock: Clock, room: Room) -> None:
        self._history = history
        self._clock = clock
        self._room = room

    async def ready(self, to: Room | Account) -> None:
        """At once: nobody rations this chat."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        post = await self._history.add(
            self._place(to), render.message(message), author=NINETY, at=self._clock.now(),
            only_for=to.user if isinstance(to, Account) else None, key=key)
        return _receipt(to, post)

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        post = await self._history.find(self._place(to), key)
        return None if post is None else _receipt(to, post)

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise Rejected("there are no roles in the local chat")

    def _place(self, to: Room | Account) -> str:
        if isinstance(to, Account):
            if to.platform != "local":
                raise Rejected(f"nobody here is called {to.user}")
            return direct(to.user)
        if to != self._room:
            raise Rejected(f"there is no room {to} here, only {self._room}")
        return to.channel


def _receipt(to: Room | Account, post: Post) -> Receipt:
    # A direct message is only there for the person it is for, so the link says who is to look.
    reader = f"?as={to.user}" if isinstance(to, Account) else ""
    return Receipt(str(post.id), f"/chat/{reader}#post-{post.id}", post.at)
