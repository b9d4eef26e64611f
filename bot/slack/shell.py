"""Slack's commands, clicks, submissions and events as calls at the desk, and the desk's answers as what Slack shows.

Each of them is answered within the acknowledgement where the desk is quick; else the person is told in time to wait,
and the outcome later. Bolt runs the handlers before it responds (`process_before_response`), since its other way looks
for an acknowledgement only every 10 ms, and loses one that an exception follows at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeAlias, TypeVar

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse

from bot import commands
from bot.cohort.enrolment import LONGEST_NAME
from bot.cohort.refusals import UnknownCommand
from bot.desk import Caller
from bot.ledger import Account, CohortId, RequestId, Room, Unsaved
from bot.messages import Answers, Button, Fact, Facts, Form, Markdown, Message, Plain, Text, markdown
from bot.slack import render
from bot.slack.clients import Broken, Limited, NoToken, Refused
from bot.slack.render import Payload
from content.model import Voice
from scheduler.calendar import UnknownZone
from scheduler.calendar import zone as find_zone
from scheduler.clock import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")

Body: TypeAlias = dict[str, Any]
"""JSON as Slack sends it."""

PATIENCE = 2.0
"""Seconds until Slack gets a sign; it waits 3, and the way there and back is part of them."""
ANSWER = 10.0
"""Seconds that one attempt to hand something to Slack may take."""
AGAIN = (0.5, 1.5)
"""Seconds before a second and a third attempt at what may be done twice."""
ACKNOWLEDGED = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds between looks for a modal that Slack has not drawn yet: ours may overtake our acknowledgement."""
ASK = 1.0
"""Seconds that Slack has to say who somebody is, or to tell them to wait."""
KNOWN, FRESH = timedelta(days=1), timedelta(minutes=1)
"""How long we believe what Slack said of somebody, and that they run the workspace or not, where it counts."""
PEOPLE = 10_000
"""So many are remembered."""

REDRAWN_AFTER = 0.1
"""Seconds after an answer at which that person's home is drawn anew: nobody waits for it, and others for answers."""
LEAVES_A_MARK = frozenset({"cohort rest", "cohort leave"})
"""Commands after which somebody's home looks different, besides the forms."""
_EVERYTHING = re.compile("")
_ROOM = "room"
"""In the private metadata of our modals: the channel where they were opened. What is submitted does not name it."""
_ACKNOWLEDGED = 200


_NO = (Refused, Limited, NoToken, Broken, Unsaved, TimeoutError)
"""Why something could not be had of Slack, or handed to it."""


class Door(Protocol):
    """What Slack asks of the desk."""

    @property
    def voice(self) -> Voice: ...

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form: ...

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message: ...


class Workspaces(Protocol):
    """Those that have installed the app."""

    async def call(self, team: str, method: str, *, json: Mapping[str, object] | None = None,
                   params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Sent once. Raises Refused, Limited, NoToken or Broken."""

    async def revoked(self, team: str | None, enterprise: str | None = None, at: datetime | None = None) -> None: ...


@dataclass(frozen=True)
class _Place:
    """Who did something, and where."""

    team: str
    user: str
    channel: str = ""
    """Empty where Slack names none: in the home."""
    trigger: str = ""
    """Good for one modal, and the same when Slack sends the same thing twice; a new one whenever somebody presses or
    submits again."""

    @property
    def room(self) -> Room | None:
        return Room("slack", self.team, self.channel) if self.channel and not self.channel.startswith("D") else None

    @property
    def account(self) -> Account:
        return Account("slack", self.team, self.user)

    @property
    def request(self) -> RequestId:
        return RequestId(f"slack:{self.trigger}")


class Shell:
    """`session` carries answers to Slack's response URLs; `patience` is for tests."""

    def __init__(self, desk: Door, clients: Workspaces, clock: Clock, session: aiohttp.ClientSession, *,
                 patience: float = PATIENCE) -> None:
        self._desk = desk
        self._clients = clients
        self._clock = clock
        self._session = session
        self._patience = patience
        self._people = _People(clients, clock)
        self._under_way: set[asyncio.Task[Any]] = set()

    def register(self, app: AsyncApp) -> None:
        """What nobody handles is acknowledged too; else Slack tells the person that the app is broken, or sends an
        event again for hours."""
        assert app.process_before_response  # noqa: S101  # see the top of the file
        app.command(_EVERYTHING)(self._commanded)
        app.action(_EVERYTHING)(self._pressed)
        app.view(_EVERYTHING)(self._submitted)
        app.event("app_home_opened")(self._home_opened)
        app.event("app_uninstalled")(self._uninstalled)
        app.event("tokens_revoked")(self._tokens_revoked)
        app.event(_EVERYTHING)(_acknowledged)
        app.options(_EVERYTHING)(_acknowledged)
        app.shortcut(_EVERYTHING)(_acknowledged)
        app.view_closed(_EVERYTHING)(_acknowledged)

    async def drain(self, within: float) -> None:
        """Returns when nothing is under way any more, or after so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self._under_way and (left := until - loop.time()) > 0:
            await asyncio.wait(self._under_way, timeout=left)
        if self._under_way:
            log.warning("%d answers to Slack were still under way", len(self._under_way))

    # --- what somebody did --------------------------------------------------------------------------------------------

    async def _commanded(self, body: Body, context: AsyncBoltContext) -> BoltResponse:
        place = _Place(str(context.team_id), str(body["user_id"]), str(body["channel_id"]), str(body["trigger_id"]))
        line = f"{body['command']} {_unescaped(str(body.get('text') or ''))}"
        answer = self._begin(self._said(place, self._command(place, line)))
        if not await self._in_time(answer):
            self._begin(self._told(place, self._told_later(answer, str(body["response_url"]))))
            return _acknowledgement(_ephemeral(self._waiting()))
        return _acknowledgement(_ephemeral(said) if (said := answer.result()) is not None else None)

    async def _pressed(self, body: Body, context: AsyncBoltContext) -> BoltResponse:
        # Bolt also counts dialogs of old among the actions, in which there is none.
        pressed = render.pressed(next(iter(body.get("actions") or ()), {}))
        if pressed is not None:
            view = body.get("view")
            channel = _room_of(view) if view else str((body.get("channel") or {}).get("id", ""))
            place = _Place(str(context.team_id), str(body["user"]["id"]), channel, str(body["trigger_id"]))
            await self._in_time(self._begin(self._told(place, self._press(place, body, pressed))))
        return _acknowledgement()

    async def _submitted(self, body: Body, context: AsyncBoltContext) -> BoltResponse:
        view = body["view"]
        form = render.submitted(view)
        if form is None:
            return _acknowledgement()
        place = _Place(str(context.team_id), str(body["user"]["id"]), _room_of(view), str(body["trigger_id"]))
        answer = self._begin(self._decided(place, self._submit(place, form, render.answers(view))))
        if await self._in_time(answer):
            said = answer.result()
            if said.refused:
                return _acknowledgement({"response_action": "errors", "errors": _errors(said, view)})
            return _acknowledgement({"response_action": "update", "view": _outcome(said, view)})
        saving = self._saving(place, _title(view))
        self._begin(self._told(place, self._shown_later(place, answer, view, saving["external_id"])))
        return _acknowledgement({"response_action": "update", "view": saving})

    async def _home_opened(self, body: Body, context: AsyncBoltContext) -> BoltResponse:
        event = body["event"]
        if event.get("tab", "home") == "home":
            place = _Place(str(context.team_id), str(event["user"]), trigger=str(body["event_id"]))
            await self._in_time(self._begin(self._home(place)))
        return _acknowledgement()

    async def _uninstalled(self, body: Body, context: AsyncBoltContext) -> None:
        """Acknowledged only when it has been written down: what is not, Slack sends again."""
        at = datetime.fromtimestamp(int(body["event_time"]), UTC)
        await self._clients.revoked(context.team_id, context.enterprise_id, at)

    async def _tokens_revoked(self, body: Body, context: AsyncBoltContext) -> None:
        if (body["event"].get("tokens") or {}).get("bot"):
            await self._uninstalled(body, context)

    # --- at the desk --------------------------------------------------------------------------------------------------

    async def _command(self, place: _Place, line: str, cohort: int | None = None) -> Message | Form:
        caller = await self._caller(place, cohort, organises=_wants_organiser(line))
        answer = await self._desk.command(caller, line, place.request, self._clock.now())
        if isinstance(answer, Message) and not answer.refused and _name(line) in LEAVES_A_MARK:
            self._begin(self._home(place, REDRAWN_AFTER))
        return answer

    async def _submit(self, place: _Place, form: render.Submitted, answers: Answers) -> Message:
        caller = await self._caller(place, form.cohort, organises=form.kind == "open")
        answer = await self._desk.submit(caller, form.kind, form.about, answers, place.request, self._clock.now())
        if not answer.refused:
            self._begin(self._home(place, REDRAWN_AFTER))
        return answer

    async def _decided(self, place: _Place, asked: Awaitable[T]) -> T | Message:
        """Whatever goes wrong is the answer that nothing was saved."""
        try:
            return await asked
        except Exception as error:
            _tell_of_bug(place, error)
            return self._not_saved()

    async def _said(self, place: _Place, asked: Awaitable[Message | Form]) -> Message | None:
        """What the desk says; None when a form was opened."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        answer = await self._decided(place, asked)
        if isinstance(answer, Message):
            return answer
        if loop.time() >= until:
            # The trigger may live for a moment yet, but nobody expects a form any more.
            return self._sorry(self._desk.voice.refusals.too_slow)
        return await self._decided(place, self._open(place, self._form(place, answer)))

    def _form(self, place: _Place, form: Form) -> Payload:
        zone = self._people.known(place.team, place.user).zone
        return _placed(render.form(form, find_zone(zone or "UTC")), place.channel)

    async def _caller(self, place: _Place, cohort: int | None, *, organises: bool) -> Caller:
        since = self._clock.now() - (FRESH if organises else KNOWN)
        person = await self._people.person(place.team, place.user, since)
        return Caller(place.account, place.room, person.name, person.zone, person.organiser,
                      None if cohort is None else CohortId(cohort))

    def _not_saved(self) -> Message:
        return self._sorry(self._desk.voice.refusals.not_saved)

    def _waiting(self) -> Message:
        return Message(body=(markdown(self._desk.voice.words.waiting),))

    def _saving(self, place: _Place, title: str) -> Payload:
        """A modal, while the desk is slow. Its name is how it is found again, of whose id nobody has told us yet."""
        return render.result(self._waiting(), title) | {"external_id": f"saving:{place.trigger}"}

    @staticmethod
    def _sorry(sentence: str) -> Message:
        return Message(body=(markdown(sentence),), refused=True)

    # --- what they get ------------------------------------------------------------------------------------------------

    async def _told_later(self, answer: asyncio.Task[Message | None], url: str) -> None:
        if (said := await answer) is not None:
            await self._respond(url, _ephemeral(said))

    async def _told(self, place: _Place, telling: Awaitable[None]) -> None:
        """Nobody waits for the answer any more when it is told; if it cannot be, this is."""
        try:
            await telling
        except Exception as error:
            _tell_of_bug(place, error)
            await self._whispered(place, self._not_saved())

    async def _press(self, place: _Place, body: Body, pressed: render.Pressed) -> None:
        """The answer takes the place of what only this person sees. Posts to everybody stay, and so do the herald's
        direct messages, which must be found again by what is in them."""
        view, container, action = body.get("view"), body.get("container") or {}, body["actions"][0]
        asked = self._command(place, pressed.line, pressed.cohort)
        if view is not None and view["type"] == "modal":
            deciding = self._begin(self._decided(place, asked))
            await self._in_time(deciding, lambda: self._hint(
                place, "views.update", view_id=view["id"], view=_outcome(self._waiting(), view)))
            answer = await deciding
            drawn = self._form(place, answer) if isinstance(answer, Form) else \
                _outcome(answer, view)
            if not await self._replaced(place, drawn, view_id=view["id"]) and isinstance(answer, Message):
                await self._whispered(place, answer)
            return
        if view is not None:
            await self._press_at_home(place, asked, str((action.get("text") or {}).get("text") or "…"))
            return
        url, alone = str(body["response_url"]), bool(container.get("is_ephemeral"))
        thread = {"thread_ts": container["thread_ts"]} if container.get("thread_ts") and not alone else {}
        saying = self._begin(self._said(place, asked))
        await self._in_time(saying, lambda: self._respond(
            url, _ephemeral(self._waiting()) | thread | {"replace_original": False}))
        if (said := await saying) is not None:
            await self._respond(url, _ephemeral(said) | thread | {"replace_original": alone})

    async def _press_at_home(self, place: _Place, asked: Awaitable[Message | Form], title: str) -> None:
        """Answered in a modal. One that says to wait takes the trigger, which will not live until the answer, and then
        the answer."""
        deciding, waiting = self._begin(self._decided(place, asked)), self._saving(place, title)
        in_time = await self._in_time(deciding, lambda: self._hint(
            place, "views.open", trigger_id=place.trigger, view=waiting))
        answer = await deciding
        drawn = self._form(place, answer) if isinstance(answer, Form) else render.result(answer, title)
        if in_time:
            told = await self._decided(place, self._open(place, drawn)) is None
        else:
            told = await self._replaced(place, drawn, external_id=waiting["external_id"])
        if not told:
            await self._whispered(place, answer if isinstance(answer, Message) else
                                  self._sorry(self._desk.voice.refusals.too_slow))

    async def _shown_later(self, place: _Place, answer: asyncio.Task[Message], view: Body, external_id: str) -> None:
        said = await answer
        drawn = _asked_again(said, view) if said.refused else _outcome(said, view)
        if not await self._replaced(place, drawn, external_id=external_id):
            await self._whispered(place, _repeated(said, view, self._desk.voice) if said.refused else said)

    async def _home(self, place: _Place, after: float = 0.0) -> None:
        """Their own week, figures and place, as the desk tells them."""
        home = replace(place, channel="")
        await asyncio.sleep(after)
        try:
            parts = await self._dashboard(home)
            await self._call(place, "views.publish", user_id=place.user, view=render.home(parts))
        except _NO as error:
            # It is drawn anew whenever they open it.
            log.info("A home in workspace %s was not published (%s)", place.team, _kind(error))
        except Exception as error:
            _tell_of_bug(place, error)

    async def _dashboard(self, place: _Place) -> list[Message]:
        caller, now, voice = await self._caller(place, None, organises=False), self._clock.now(), self._desk.voice
        said: dict[str, Message] = {}
        for line in ("week", "progress", "leaderboard"):
            answer = await self._desk.command(caller, line, RequestId(f"{place.request}:{line}"), now)
            assert isinstance(answer, Message)  # noqa: S101  # none of the three asks anything
            said[line] = answer
        if all(answer.refused and answer.cohort is None for answer in said.values()):
            joining = commands.BY_NAME["cohort join"]
            how = Fact((Markdown(f"`/{joining.name}`"),), markdown(commands.help_line(joining, voice.commands)))
            # That nothing could be read is another matter than that they are in no cohort.
            failed = said["week"].body == self._not_saved().body
            return [said["week"]] if failed else [Message(body=(Facts((how,)),))]
        if not said["progress"].refused:
            said["progress"] = replace(said["progress"], buttons=(Button(voice.words.settings, "cohort settings"),))
        # Before the first week, and for who has left, a refusal is no warning but how things are.
        return [replace(answer, refused=False) for answer in said.values()]

    # --- to Slack -----------------------------------------------------------------------------------------------------

    async def _call(self, place: _Place, method: str, **arguments: object) -> None:
        """Raises one of `_NO`."""
        async with asyncio.timeout(ANSWER):
            await self._clients.call(place.team, method, json=arguments)

    async def _open(self, place: _Place, view: Payload) -> Message | None:
        """None, or what to say when it did not open. Twice, since a trigger opens no more than one modal."""
        for last in (False, True):
            try:
                await self._call(place, "views.open", trigger_id=place.trigger, view=view)
                return None
            except _NO as error:
                if _kind(error) == "exchanged_trigger_id":
                    return None     # it is open: from the same click, sent twice, or the first attempt
                if last or not isinstance(error, Broken | TimeoutError):
                    log.warning("A form in workspace %s did not open (%s)", place.team, _kind(error))
                    break
        return self._sorry(self._desk.voice.refusals.too_slow)

    async def _replaced(self, place: _Place, view: Payload, *, view_id: str = "", external_id: str = "") -> bool:
        """False when the modal is not there any more, or Slack does not take it."""
        which = {"view_id": view_id} if view_id else {"external_id": external_id}
        for wait in (*(ACKNOWLEDGED if external_id else AGAIN), None):
            try:
                await self._call(place, "views.update", view=view, **which)
                return True
            except _NO as error:
                # A first attempt whose answer was lost leaves nothing by our name: the new view has none.
                gone = bool(view_id) and _kind(error) == "not_found"
                if gone or wait is None:
                    log.info("A modal in workspace %s was not there to be replaced (%s)", place.team, _kind(error))
                    return False
            except Exception as error:
                _tell_of_bug(place, error)
                return False
            await asyncio.sleep(wait)
        return False

    async def _hint(self, place: _Place, method: str, **arguments: object) -> None:
        """Once: that somebody must wait is true for a moment only."""
        try:
            await self._call(place, method, **arguments)
        except _NO as error:
            log.info("In workspace %s nobody could be told to wait (%s)", place.team, _kind(error))

    async def _whispered(self, place: _Place, said: Message) -> None:
        """By direct message, where nothing is left that an answer could appear in."""
        try:
            await self._call(place, "chat.postMessage", channel=place.user, **render.message(said))
        except _NO as error:
            log.warning("An answer in workspace %s found no way to its reader (%s)", place.team, _kind(error))

    async def _respond(self, url: str, payload: Payload) -> None:
        why = ""
        for wait in (*AGAIN, None):
            try:
                async with asyncio.timeout(ANSWER), \
                        self._session.post(url, json=payload, allow_redirects=False) as answer:
                    if answer.status < 300:
                        return
                    why = str(answer.status)
                    if answer.status != 429 and answer.status < 500:
                        break
            except (aiohttp.ClientError, OSError) as error:
                why = type(error).__name__
            if wait is not None:
                await asyncio.sleep(wait)
        # Nobody must read the address: whoever has it can speak for us.
        log.warning("Slack did not take an answer (%s)", why)

    # --- what is under way --------------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _in_time(self, task: asyncio.Task[Any], wait: Callable[[], Awaitable[None]] | None = None) -> bool:
        """When it is not, `wait` tells the person so, and is over before what they wait for can be told."""
        await asyncio.wait({task}, timeout=self._patience)
        in_time = task.done()
        if not in_time and wait is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK):
                    await wait()
        return in_time


# --- who somebody is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Person:
    """What Slack says of somebody; without its word, nothing."""

    name: str = ""
    zone: str = ""
    organiser: bool = False
    """Runs the workspace."""
    at: datetime | None = None
    """When it said so."""


class _People:
    """What Slack said of the last `PEOPLE` who called."""

    def __init__(self, clients: Workspaces, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Person] = OrderedDict()

    def known(self, team: str, user: str) -> _Person:
        return self._known.get((team, user), _Person())

    async def person(self, team: str, user: str, since: datetime) -> _Person:
        """As Slack said it at `since` or later; what it said before when it is silent, and nobody when it never spoke.
        """
        known = self.known(team, user)
        if known.at is not None and known.at >= since:
            return known
        try:
            async with asyncio.timeout(ASK):
                told = (await self._clients.call(team, "users.info", params={"user": user}))["user"]
        except _NO as error:
            # It costs the guess of a name and a zone, and an organiser a second attempt.
            log.info("Slack did not say who somebody in workspace %s is (%s)", team, _kind(error))
            return replace(known, organiser=False)
        found = self._known[team, user] = _person(told, self._clock.now())
        self._known.move_to_end((team, user))
        if len(self._known) > PEOPLE:
            self._known.popitem(last=False)
        return found


def _person(told: Mapping[str, Any], now: datetime) -> _Person:
    profile = told.get("profile") or {}
    name = str(profile.get("display_name") or profile.get("real_name") or told.get("name") or "")
    try:
        zone = find_zone(str(told.get("tz") or "")).key
    except UnknownZone:
        zone = ""
    return _Person(name.strip()[:LONGEST_NAME].strip(), zone, bool(told.get("is_admin") or told.get("is_owner")), now)


# --- what Slack sends -------------------------------------------------------------------------------------------------


def _unescaped(text: str) -> str:
    """As it was typed; Slack escapes three characters in what stands behind a command."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _name(line: str) -> str:
    """Of the command; empty for none of ours."""
    try:
        return commands.parse(line)[0].name
    except UnknownCommand:
        return ""


def _wants_organiser(line: str) -> bool:
    return bool(name := _name(line)) and commands.BY_NAME[name].organiser


def _room_of(view: Mapping[str, Any]) -> str:
    try:
        metadata = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return ""
    return str(metadata.get(_ROOM, "")) if isinstance(metadata, dict) else ""


def _typed(view: Mapping[str, Any]) -> Iterator[str]:
    """What was typed, not chosen, into the form."""
    for elements in view["state"]["values"].values():
        for element in elements.values():
            if element.get("type") == "plain_text_input" and str(element.get("value") or "").strip():
                yield str(element["value"])


# --- what it shows ----------------------------------------------------------------------------------------------------


async def _acknowledged() -> BoltResponse:
    return _acknowledgement()


def _acknowledgement(payload: Payload | None = None) -> BoltResponse:
    return BoltResponse(status=_ACKNOWLEDGED, body=payload or "")


def _ephemeral(said: Message) -> Payload:
    return {"response_type": "ephemeral", **render.message(said)}


def _placed(view: Payload, channel: str) -> Payload:
    """The modal, which will say where it was opened."""
    if not channel:
        return view
    metadata = str(view.get("private_metadata") or "{}").removesuffix("}")
    comma = "" if metadata == "{" else ","
    return view | {"private_metadata": f'{metadata}{comma}"{_ROOM}":{json.dumps(channel)}}}'}


def _title(view: Mapping[str, Any]) -> str:
    return str(view["title"]["text"])


def _outcome(said: Message, view: Mapping[str, Any]) -> Payload:
    return _placed(render.result(said, _title(view)), _room_of(view))


def _errors(refusal: Message, view: Mapping[str, Any]) -> dict[str, str]:
    """At the field that it is about, else at the first: an error is what keeps a modal open, with all that was typed.
    """
    fields = (str(block["block_id"]).partition(":")[2] for block in view["blocks"] if block["type"] == "input")
    tried = (render.errors(said, view) for said in (refusal, *(replace(refusal, field=field) for field in fields)))
    return next(errors for errors in tried if errors is not None)


def _asked_again(refusal: Message, view: Mapping[str, Any]) -> Payload:
    """The form as it was sent, below the refusal."""
    state = view["state"]["values"]
    blocks: list[Payload] = render.message(replace(refusal, buttons=()), place="refusal")["blocks"]
    for block in view["blocks"]:
        element = block.get("element") or {}
        if block["type"] == "input":
            answer = state.get(block["block_id"], {}).get(element["action_id"], {})
            block = {**block, "element": _filled(element, answer)}
        blocks.append(block)
    kept = ("callback_id", "private_metadata", "title", "submit", "close")
    return {"type": "modal", **{name: view[name] for name in kept if view.get(name)},
            "blocks": blocks[:render.VIEW_BLOCKS]}


_INITIAL = {"value": "initial_value", "selected_option": "initial_option", "selected_options": "initial_options"}


def _filled(element: Mapping[str, Any], answer: Mapping[str, Any]) -> Payload:
    bare = {name: value for name, value in element.items() if name not in _INITIAL.values()}
    return bare | {initial: answer[given] for given, initial in _INITIAL.items() if answer.get(given)}


def _repeated(refusal: Message, view: Mapping[str, Any], voice: Voice) -> Message:
    """The refusal with what was typed below it."""
    said: Iterable[Text] = [(Plain(text),) for text in _typed(view)]
    return replace(refusal, body=(*refusal.body, (Markdown(f"**{voice.words.typed}**"),), *said)) if said else refusal


# --- when something goes wrong ----------------------------------------------------------------------------------------


def _kind(error: Exception) -> str:
    """What Slack calls it; its answers and our exceptions may quote what was sent."""
    return error.error if isinstance(error, Refused) else type(error).__name__


def _tell_of_bug(place: _Place, error: Exception) -> None:
    # The message of an exception may hold what a member typed; the kind and the place do not.
    log.error("Workspace %s: %s\n%s", place.team, type(error).__name__,
              "".join(traceback.format_tb(error.__traceback__)))
