"""Discord's interactions as calls at the desk, and the desk's answers as what Discord shows.

Everything is read from the raw interaction, and nothing that we show goes into discord.py's own stores of views and
modals: there a modal that is open during a restart is lost, and of two open ones with one custom_id the first loses.
What was typed is never lost: where the desk says no, the answer repeats it and offers the form again, filled in.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar, assert_never
from zoneinfo import ZoneInfo

import aiohttp
import discord

from bot import commands
from bot.cohort.refusals import UnknownCommand
from bot.desk import Caller
from bot.discord import render
from bot.discord.locales import ZONES
from bot.ledger import Account, CohortId, RequestId, Room
from bot.messages import (
    Answers,
    Button,
    Checks,
    Choice,
    Field,
    Form,
    Line,
    Markdown,
    Message,
    Option,
    Paragraph,
    Plain,
    Text,
    markdown,
)
from content.model import Voice
from scheduler.clock import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that the desk has for an answer; Discord waits 3 for ours (docs: receiving-and-responding)."""
ANSWER = 10.0
"""Seconds that one attempt to hand an answer to Discord may take."""
KEPT = timedelta(minutes=15)
"""How long what was typed is kept for the form to be opened again; as long as the button is at hand."""
DRAFTS = 1000
SUGGESTIONS, LONGEST = 25, 100
"""Choices that Discord takes for what somebody is typing, and characters of each."""

OPENING = frozenset({"checkin", "cohort join", "cohort settings", "cohort open"})
"""Commands that may be answered with a form. A form cannot follow a deferred answer, so these get none."""
AGAIN = {"check-in": "checkin", "join": "cohort join", "settings": "cohort settings", "open": "cohort open"}
"""The kind of a form → the command that opens it."""

_DEFERRED = "deferred"
"""In the extras of an interaction: Discord waits for what the desk says."""
_SUBCOMMANDS = (1, 2)
_TEXT_INPUT = 4
# docs: topics/opcodes-and-status-codes#json
_UNKNOWN_MESSAGE, _UNKNOWN_WEBHOOK, _UNKNOWN_INTERACTION, _ANSWERED, _BAD_TOKEN = 10008, 10015, 10062, 40060, 50027


class Door(Protocol):
    """What Discord asks of the desk."""

    @property
    def voice(self) -> Voice: ...

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form: ...

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message: ...

    async def suggestions(self, caller: Caller, argument: str, typed_: str, now: datetime) \
            -> Sequence[tuple[str, str]]: ...


class Shell:
    """`organiser_role` is the name of a role whose holders run the rooms of their server, besides those who may manage
    it; `patience` is for tests."""

    def __init__(self, desk: Door, clock: Clock, *, organiser_role: str = "", patience: float = PATIENCE) -> None:
        self._desk = desk
        self._clock = clock
        self._organiser_role = organiser_role
        self._patience = patience
        self._drafts = Drafts()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Whatever somebody did. Raises nothing."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in one
        self._under_way.add(task)
        try:
            await self._handle(interaction)
        except discord.HTTPException as error:
            _tell_of_refusal(interaction, error)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("interaction %s: no line to Discord for the answer (%s)", interaction.id, type(error).__name__)
        except Exception as error:
            _tell_of_bug(interaction, error)
            with suppress(discord.HTTPException, aiohttp.ClientError, OSError):
                if interaction.type is not discord.InteractionType.autocomplete:
                    await self._show(interaction, self._not_saved())
        finally:
            self._under_way.discard(task)

    @property
    def answering(self) -> bool:
        """Somebody waits for an answer."""
        return bool(self._under_way)

    async def drain(self, within: float) -> None:
        """Returns when nothing is under way any more, or after so many seconds. New interactions are still taken: to
        have no more of them, leave the gateway first."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self._under_way and (left := until - loop.time()) > 0:
            await asyncio.wait(self._under_way, timeout=left)
        if self._under_way:
            log.warning("%d interactions were still under way", len(self._under_way))

    async def _handle(self, interaction: discord.Interaction[Any]) -> None:
        data: Mapping[str, Any] = interaction.data or {}
        match interaction.type:
            case discord.InteractionType.application_command:
                await self._command(interaction, _line(data))
            case discord.InteractionType.autocomplete:
                await self._suggest(interaction, data)
            case discord.InteractionType.component:
                if (pressed := render.pressed(data["custom_id"])) is not None:
                    await self._command(interaction, pressed.line, pressed.cohort)
            case discord.InteractionType.modal_submit:
                if (submitted := render.submitted(data["custom_id"])) is not None:
                    await self._submit(interaction, submitted, data["components"])

    # --- what somebody did --------------------------------------------------------------------------------------------

    async def _command(self, interaction: discord.Interaction[Any], line: str, cohort: int | None = None) -> None:
        caller, now = self._caller(interaction, cohort), self._clock.now()
        asked = self._desk.command(caller, line, _request(interaction), now)
        answer = await self._answer(interaction, asked, may_open=_parsed(line)[0] in OPENING)
        if isinstance(answer, Form):
            draft = self._drafts.find(_Draft.of(caller, answer.kind, answer.about, answer.cohort), now)
            if draft is not None:
                argument, value = _parsed(line)[1:]
                # What was typed behind the command is newer than what was typed into the form.
                answer = refilled(answer, {**draft, argument: (value,)} if value else draft)
        if answer is not None:
            await self._show(interaction, answer)

    async def _submit(self, interaction: discord.Interaction[Any], form: render.Submitted,
                      components: Sequence[Mapping[str, Any]]) -> None:
        caller, now = self._caller(interaction, form.cohort), self._clock.now()
        answers = render.answers(components)
        asked = self._desk.submit(caller, form.kind, form.about, answers, _request(interaction), now)
        answer = await self._answer(interaction, asked, may_open=False)
        assert isinstance(answer, Message)  # noqa: S101  # a form is never answered with another one
        key = _Draft.of(caller, form.kind, form.about, form.cohort)
        if answer.refused:
            self._drafts.keep(key, answers, now)
            answer = repeated(answer, form, _texts(components), self._desk.voice)
        else:
            self._drafts.drop(key)
        await self._show(interaction, answer)

    async def _suggest(self, interaction: discord.Interaction[Any], data: Mapping[str, Any]) -> None:
        focused = next((one for one in _options(data) if one.get("focused")), None)
        found: Sequence[tuple[str, str]] = ()
        if focused is not None:
            try:
                async with asyncio.timeout(self._patience):
                    found = await self._desk.suggestions(self._caller(interaction), focused["name"],
                                                         str(focused["value"]), self._clock.now())
            except TimeoutError:
                pass  # without suggestions one can still type
        choices = [discord.app_commands.Choice(name=label[:LONGEST], value=value)
                   for value, label in found[:SUGGESTIONS] if len(value) <= LONGEST]
        await interaction.response.autocomplete(choices)

    # --- what they get ------------------------------------------------------------------------------------------------

    async def _answer(self, interaction: discord.Interaction[Any], asked: Awaitable[Message | Form], *,
                      may_open: bool) -> Message | Form | None:
        """What the desk says, however long it takes: Discord gets a sign in time. None when it was so late that the
        person has been told to try again."""
        signs: list[asyncio.Task[None]] = []
        # Nearly always the desk is in time: a bell costs a tenth of a task that would be waited for.
        bell = asyncio.get_running_loop().call_later(self._patience, lambda: signs.append(
            asyncio.create_task(self._give_sign(interaction, may_open))))
        try:
            answer = await self._heard(interaction, asked)
        finally:
            bell.cancel()
        if not signs:
            return answer
        await signs[0]
        return None if may_open else answer

    async def _give_sign(self, interaction: discord.Interaction[Any], may_open: bool) -> None:
        if may_open:
            await self._show(interaction, self._sorry(self._desk.voice.refusals.too_slow))
        else:
            await self._defer(interaction)

    async def _defer(self, interaction: discord.Interaction[Any]) -> None:
        try:
            if _for_one(interaction):
                # A deferred update shows nothing. And a button that is gone is not pressed again.
                await self._show(interaction, Message(body=(markdown(self._desk.voice.words.waiting),)))
            else:
                await _delivered(lambda: interaction.response.defer(ephemeral=True, thinking=True))
        except discord.HTTPException as error:
            # Discord took it before the line broke. discord.py does not know, so we note it.
            if error.code != _ANSWERED:
                raise
        interaction.extras[_DEFERRED] = True

    async def _heard(self, interaction: discord.Interaction[Any], asked: Awaitable[Message | Form]) -> Message | Form:
        try:
            return await asked
        except Exception as error:
            _tell_of_bug(interaction, error)
            return self._not_saved()

    def _not_saved(self) -> Message:
        return self._sorry(self._desk.voice.refusals.not_saved)

    @staticmethod
    def _sorry(sentence: str) -> Message:
        return Message(body=(markdown(sentence),), refused=True)

    async def _show(self, interaction: discord.Interaction[Any], answer: Message | Form) -> None:
        """To that person alone. What they pressed in a message that only they see takes its place; posts to everybody
        stay, and so do the herald's direct messages, which must be found again by what is in them."""
        response = interaction.response
        if isinstance(answer, Form):
            modal = _Opened(render.form(answer, ZoneInfo(_zone(interaction) or "UTC")))
            await _delivered(lambda: response.send_modal(modal))
            return
        payload = render.message(answer)
        view, mentions = _Drawn(payload), _mentions(payload)
        if response.is_done() or _DEFERRED in interaction.extras:
            await _delivered(lambda: interaction.edit_original_response(view=view, allowed_mentions=mentions))
        elif _for_one(interaction):
            await _delivered(lambda: response.edit_message(view=view, allowed_mentions=mentions))
        else:
            await _delivered(lambda: response.send_message(view=view, ephemeral=True, allowed_mentions=mentions))

    # --- who and where ------------------------------------------------------------------------------------------------

    def _caller(self, interaction: discord.Interaction[Any], cohort: int | None = None) -> Caller:
        user = interaction.user
        return Caller(Account("discord", "", str(user.id)), _room(interaction), user.display_name, _zone(interaction),
                      self._organises(interaction), None if cohort is None else CohortId(cohort))

    def _organises(self, interaction: discord.Interaction[Any]) -> bool:
        may = interaction.permissions
        if may.manage_guild or may.administrator:
            return True
        # Who has which role is looked up in the server each time.
        roles = interaction.user.roles if self._organiser_role and isinstance(interaction.user, discord.Member) else []
        return any(role.name == self._organiser_role for role in roles)


def _room(interaction: discord.Interaction[Any]) -> Room | None:
    """A thread counts as the channel that it is below."""
    if interaction.guild_id is None:
        return None
    channel = interaction.channel
    place = channel.parent_id if isinstance(channel, discord.Thread) else channel.id if channel is not None else ""
    return Room("discord", str(interaction.guild_id), str(place))


def _zone(interaction: discord.Interaction[Any]) -> str:
    """A guess by the language; empty for one that is new to us."""
    return ZONES.get(interaction.locale.value, "")


def _request(interaction: discord.Interaction[Any]) -> RequestId:
    return RequestId(f"discord:{interaction.id}")


def _for_one(interaction: discord.Interaction[Any]) -> bool:
    """It happened at a message that only this person sees, and that is no post of the herald's."""
    return interaction.message is not None and interaction.message.flags.ephemeral


# --- what Discord sends ----------------------------------------------------------------------------------------------


def _line(data: Mapping[str, Any]) -> str:
    """A slash command as somebody would type it."""
    words, options = [str(data["name"])], data.get("options") or []
    while options and options[0]["type"] in _SUBCOMMANDS:
        words.append(str(options[0]["name"]))
        options = options[0].get("options") or []
    return " ".join([*words, *(str(option["value"]) for option in options)])


def _options(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """At any depth."""
    for option in data.get("options") or []:
        yield option
        yield from _options(option)


def _texts(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was typed, not chosen, in a submitted modal."""
    for component in components:
        inside = component.get("component")
        yield from _texts([*(component.get("components") or []), *([inside] if inside else [])])
        if component.get("type") == _TEXT_INPUT and str(component.get("value") or "").strip():
            yield component["value"]


def _parsed(line: str) -> tuple[str, str, str]:
    """(command, what its argument is called, the argument); the first is empty for no command of ours."""
    try:
        command, argument = commands.parse(line)
    except UnknownCommand:
        return "", "", ""
    return command.name, command.argument, argument


# --- what was typed ---------------------------------------------------------------------------------------------------


class _Draft(NamedTuple):
    """Whose, and of which form."""

    user: str
    kind: str
    about: str
    cohort: int | None

    @classmethod
    def of(cls, caller: Caller, kind: str, about: str, cohort: int | None) -> _Draft:
        return cls(caller.account.user, kind, about, cohort)


@dataclass(frozen=True)
class _Typed:
    answers: Answers
    at: datetime


class Drafts:
    """What was typed into forms that were refused, in memory: the youngest `most`, for `KEPT` each."""

    def __init__(self, most: int = DRAFTS) -> None:
        self._most = most
        self._typed: OrderedDict[_Draft, _Typed] = OrderedDict()

    def keep(self, draft: _Draft, answers: Answers, now: datetime) -> None:
        self.drop(draft)
        self._typed[draft] = _Typed(answers, now)
        if len(self._typed) > self._most:
            self._typed.popitem(last=False)
        self._forget(now)

    def find(self, draft: _Draft, now: datetime) -> Answers | None:
        self._forget(now)
        typed = self._typed.get(draft)
        return None if typed is None else typed.answers

    def drop(self, draft: _Draft) -> None:
        self._typed.pop(draft, None)

    def _forget(self, now: datetime) -> None:
        while self._typed and next(iter(self._typed.values())).at + KEPT <= now:
            self._typed.popitem(last=False)


def refilled(form: Form, answers: Answers) -> Form:
    """The form with what was typed and chosen in it. What was left empty is empty."""
    return replace(form, fields=tuple(_refilled(field, answers.get(field.name, ())) for field in form.fields))


def _refilled(field: Field, given: Sequence[str]) -> Field:
    match field:
        case Line() | Paragraph():
            # A text that was refused for its length is shown whole, to be shortened.
            return replace(field, value=given[0] if given else "")
        case Checks():
            return replace(field, options=_chosen(field.options, given))
        case Choice():
            options = _chosen(field.options, given)
            # One that must be answered keeps its own proposal when the answer is no option any more.
            unanswered = field.required and not any(option.chosen for option in options)
            return field if unanswered else replace(field, options=options)
        case _:
            assert_never(field)


def _chosen(options: Iterable[Option], given: Sequence[str]) -> tuple[Option, ...]:
    return tuple(replace(option, chosen=option.value in given) for option in options)


def repeated(refusal: Message, form: render.Submitted, texts: Iterable[str], voice: Voice) -> Message:
    """The refusal with what was typed below it, and the button that opens the form again."""
    said: list[Text] = [tuple(piece for line in text.splitlines() if line.strip()
                              for piece in (Plain(line.strip()), Markdown("\\\n")))[:-1] for text in texts]
    body = (*refusal.body, (Markdown(f"**{voice.words.typed}**"),), *said) if said else refusal.body
    command = AGAIN.get(form.kind)
    again = Button(voice.words.again, command, form.about, "primary") if command is not None else None
    return replace(refusal, body=body, cohort=refusal.cohort if refusal.cohort is not None else form.cohort) \
        .offering(*refusal.buttons, again)


# --- discord.py's doors -----------------------------------------------------------------------------------------------


class _Drawn(discord.ui.LayoutView):
    """A message that is drawn already. Stopped from the start: discord.py stores no view that is."""

    def __init__(self, payload: render.Payload) -> None:
        super().__init__(timeout=None)
        self._payload = payload
        self.stop()

    def has_components_v2(self) -> bool:
        return True

    def to_components(self) -> list[dict[str, Any]]:
        return list(self._payload["components"])


class _Opened(discord.ui.Modal):
    """A form that is drawn already, stopped like `_Drawn`."""

    def __init__(self, payload: render.Payload) -> None:
        super().__init__(title=payload["title"], custom_id=payload["custom_id"])
        self._payload = payload
        self.stop()

    def to_dict(self) -> dict[str, Any]:
        return self._payload


def _mentions(payload: render.Payload) -> discord.AllowedMentions:
    users = [discord.Object(int(user)) for user in payload["allowed_mentions"].get("users", ())]
    return discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=users)


async def _delivered(send: Callable[[], Awaitable[T]]) -> T:
    """Tried twice when the line breaks: Discord takes one answer only, so the second can do no harm."""
    try:
        async with asyncio.timeout(ANSWER):
            return await send()
    except (aiohttp.ClientError, OSError):
        async with asyncio.timeout(ANSWER):
            return await send()


# --- when something goes wrong ----------------------------------------------------------------------------------------


def _tell_of_refusal(interaction: discord.Interaction[Any], error: discord.HTTPException) -> None:
    if error.code in (_ANSWERED, _UNKNOWN_INTERACTION):
        log.info("interaction %s: answered already, or too late (%d)", interaction.id, error.code)
    elif error.code in (_UNKNOWN_WEBHOOK, _BAD_TOKEN, _UNKNOWN_MESSAGE):
        log.warning("interaction %s: the answer came too late, nobody will read it (%d)", interaction.id, error.code)
    else:
        # Discord's own words may quote what was sent.
        log.error("interaction %s: Discord refused the answer (%d, code %d)", interaction.id, error.status, error.code)


def _tell_of_bug(interaction: discord.Interaction[Any], error: Exception) -> None:
    # The message of an exception may hold what a member typed; the kind and the place do not.
    log.error("interaction %s: %s\n%s", interaction.id, type(error).__name__,
              "".join(traceback.format_tb(error.__traceback__)))
