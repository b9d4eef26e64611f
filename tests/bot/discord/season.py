"""Discord as the players of a season see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.ledger import Account
from bot.messages import Checks, Choice, Field, Form, Line, Option, Paragraph
from tests.bot.discord.stage import Stage, account, board_in, is_refused, title
from tests.bot.season import Note, Seen, Unanswered, Values
from tests.emulators.discord import NoAnswer, Shown, buttons_of
from tests.emulators.discord_world import Message, User, components_in

SENDING = ("POST /channels/{}/messages", "POST /users/@me/channels", "GET /channels/{}/messages")
ANSWERING = ("POST /interactions/{}/{}/callback",)


class OnDiscord:
    platform = "discord"

    def __init__(self, town: Stage) -> None:
        self._town = town
        self._users: dict[str, User] = {town.organiser.id: town.organiser}

    @property
    def organiser(self) -> str:
        return self._town.organiser.id

    def people(self, *names: str) -> list[str]:
        """On the server from now on."""
        users = self._town.join(*names)
        self._users |= {user.id: user for user in users}
        return [user.id for user in users]

    def account(self, person: str) -> Account:
        return account(self._users[person])

    def posts(self) -> list[Note]:
        return [_note(message) for message in self._town.posts]

    def direct(self, person: str) -> list[Note]:
        return [_note(message) for message in self._town.direct(self._users[person])]

    def called(self) -> list[str]:
        return [name for channel in self._town.discord.world.channels.values() for message in channel.messages
                for name in message.told]

    def board(self, text: str) -> list[tuple[int, str, int, int]]:
        return board_in(text)

    def asked(self, person: str) -> list[str]:
        return [f"discord:{one.id}" for one in self._town.discord.interactions if one.user.id == person]

    async def type(self, person: str, line: str) -> Seen:
        words = line.split()
        names, argument = (words[:2], words[2:]) if words[0] == "cohort" else (words[:1], words[1:])
        option = {"link": "code", "bridge": "code"}.get(names[-1], "week")
        return await _seen(self._town.discord.type(
            self._users[person], self._town.channel, " ".join(names), {option: argument[0]} if argument else {}))

    async def press(self, person: str, on: Note | Seen, label: str) -> Seen:
        message = on.raw if isinstance(on, Note) else _shown(on).message
        assert isinstance(message, Message)
        return await _seen(self._town.discord.press(self._users[person], message, label))

    async def submit(self, person: str, form: Seen, values: Values) -> Seen:
        modal = _shown(form)
        lists = {one["custom_id"] for one in components_in(modal.payload["components"]) if one["type"] in (3, 22)}
        filled: dict[str, str | bool | Sequence[str] | None] = {
            name: [value] if name in lists and isinstance(value, str) else [] if name in lists and value is None
            else value for name, value in values.items()}
        return await _seen(self._town.discord.submit(self._users[person], modal, filled))

    async def home(self, person: str) -> Seen | None:
        """Discord has none."""
        return None

    def watch(self, watch: Callable[[str], bool]) -> None:
        self._town.discord.watch = lambda route: watch(
            "sending" if route in SENDING else "answering" if route in ANSWERING else "")


def _note(message: Message) -> Note:
    return Note(message.at, title(message), message.text, [one["label"] for one in buttons_of(message)], message)


def _shown(seen: Seen) -> Shown:
    assert isinstance(seen.raw, Shown)
    return seen.raw


async def _seen(asking: Awaitable[Shown]) -> Seen:
    try:
        shown = await asking
    except NoAnswer:
        raise Unanswered from None
    form = shown.kind == "modal"
    # Which step a check-in form is about: of five questions none is left to say so in words.
    about = str(shown.payload["custom_id"]).rpartition(":")[2] if form else ""
    return Seen(title(shown), shown.text, is_refused(shown), shown, _form(shown) if form else None, about)


def _form(modal: Shown) -> Form:
    """As a person reads it, for the rehearsal's players to fill in."""
    fields: list[Field] = []
    for one in components_in(modal.payload["components"]):
        name = one.get("custom_id", "")
        options = tuple(Option(option["value"], (), bool(option.get("default"))) for option in one.get("options", ()))
        if one["type"] == 22 or (one["type"] == 3 and one["max_values"] > 1):
            fields.append(Checks(name, "", "", options))
        elif one["type"] in (3, 21):
            fields.append(Choice(name, "", "", options))
        elif one["type"] == 4:
            fields.append((Line if one["style"] == 1 else Paragraph)(name, "", "", one.get("value") or ""))
    return Form("check-in", "", "", (), tuple(fields), "")
