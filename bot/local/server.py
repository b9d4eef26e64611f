"""The local chat as a web application: the built guide at `/`, the room at `/chat/`. For this machine alone."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import logging
import secrets
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import jinja2
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bot.commands import COMMANDS, help_line
from bot.desk import Caller
from bot.ledger import RequestId, Room, Unsaved
from bot.local import guarding, render, site
from bot.local.history import History, Post, direct
from bot.local.people import NINETY, Person
from bot.local.timebar import TimeBar
from bot.messages import Answers, Form, Message, typed
from content.model import Voice
from scheduler.calendar import UnknownZone
from scheduler.calendar import zone as find_zone
from scheduler.clock import Clock

log = logging.getLogger(__name__)
B = TypeVar("B", bound=BaseModel)

PAGE = Path(__file__).parent / "page"
BODY_MOST = 1024 * 1024
LONGEST_SAID = 4000
"""Characters in one message from a person; about what Slack and Discord take."""
HEARTBEAT = 15.0
"""Seconds of silence after which a stream shows that it is alive."""


class Door(Protocol):
    """What the chat asks of the desk."""

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form: ...

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message: ...


def chat(desk: Door, history: History, clock: Clock, people: Iterable[Person], room: Room, guide: Path | None,
         time_bar: TimeBar | None, *, voice: Voice, port: int | None = None) -> web.Application:
    """`guide` is the directory of the built site. `voice` names the commands in the composer. `port` is the one that
    browsers see, where it is not the one that is listened on (a container)."""
    app = web.Application(client_max_size=BODY_MOST, middlewares=[_plainly, guarding.guard(port)])
    parlour = _Chat(desk, history, clock, {person.user: person for person in people}, room, time_bar, voice)
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.StrictUndefined)

    async def page(request: web.Request) -> web.Response:
        fonts = guide is not None and await asyncio.to_thread((guide / "assets/fonts").is_dir)
        text = pages.get_template("chat.html.j2").render(room=room.channel, fonts=fonts, guide=guide is not None)
        return web.Response(text=text, content_type="text/html", headers=guarding.CHAT)

    app.router.add_get("/chat", _to_chat)
    app.router.add_get("/chat/", page)
    app.router.add_get("/chat/api/room", parlour.room, allow_head=False)
    app.router.add_get("/chat/api/posts", parlour.posts, allow_head=False)
    app.router.add_get("/chat/api/events", parlour.events, allow_head=False)
    app.router.add_post("/chat/api/command", parlour.command)
    app.router.add_post("/chat/api/submit", parlour.submit)
    app.router.add_post("/chat/api/say", parlour.say)
    app.router.add_post("/chat/api/time", parlour.time)
    app.router.add_get("/chat/page/{path:.*}", site.serving(PAGE, guarding.CHAT))
    app.router.add_get("/{path:.*}", site.serving(guide, guarding.GUIDE) if guide else site.unbuilt)
    app.on_shutdown.append(parlour.close)
    return app


async def _to_chat(_: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently("/chat/")


# --- what the page sends ----------------------------------------------------------------------------------------------


def _sayable(text: str) -> str:
    """Half a character, as a broken client may send it, can be neither stored nor shown."""
    return text.encode("utf-8", "replace").decode("utf-8")


Words = Annotated[str, AfterValidator(_sayable)]
Place = Literal["room", "direct"]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    person: Annotated[str, Field(alias="as")]
    request: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    """Made where somebody typed or opened a form; the same one twice is one effect."""


class _Command(_Sent):
    place: Place
    line: Words


class _Submission(_Sent):
    place: Place
    kind: str
    about: Words
    answers: dict[str, list[Words]]


class _Saying(_Sent):
    text: Words


class _Move(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    go: Literal["post", "day", "week"]


# --- the room ---------------------------------------------------------------------------------------------------------


class _Chat:
    def __init__(self, desk: Door, history: History, clock: Clock, people: Mapping[str, Person], room: Room,
                 time_bar: TimeBar | None, voice: Voice) -> None:
        self._desk = desk
        self._history = history
        self._clock = clock
        self._people = people
        self._room = room
        self._time_bar = time_bar
        self._voice = voice
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._moving = asyncio.Lock()
        self._zones: dict[str, str] = {}
        """Where somebody said that they live since this process started."""
        self._run = secrets.token_hex(8)
        """A page that sees another one has posts that may be of another history: a demo begins anew."""
        self._closing = False

    async def close(self, _: web.Application) -> None:
        self._closing = True
        self._history.bell.ring()

    # --- looking

    async def room(self, request: web.Request) -> web.Response:
        person = self._person(request.query.get("as", ""))
        places: dict[Place, str] = {"room": self._room.channel, "direct": direct(person.user)}
        posts = {place: await self._history.latest(person.user, where) for place, where in places.items()}
        words = self._voice.words
        return web.json_response({
            "run": self._run,
            "room": self._room.channel,
            "you": person.user,
            "zone": self._zone(person),
            "people": [{"user": one.user, "name": one.name, "zone": self._zone(one), "organiser": one.organiser,
                        "simulated": one.simulated} for one in self._people.values()],
            "commands": [{"name": command.name, "argument": command.argument,
                          "help": help_line(command, self._voice.commands)}
                         for command in COMMANDS if person.organiser or not command.organiser],
            "shortcuts": [{"label": label, "command": command} for label, command in (
                (words.check_in, "checkin"), (words.this_week, "week"), (words.my_progress, "progress"),
                (words.board, "leaderboard"))],
            "waiting": words.waiting,
            "posts": {place: [self._shown(post) for post in some] for place, some in posts.items()},
            "last": max((post.id for some in posts.values() for post in some), default=0),
            "now": _instant(self._clock.now()),
            "time": self._outlook(),
        })

    async def posts(self, request: web.Request) -> web.Response:
        """Earlier ones."""
        person = self._person(request.query.get("as", ""))
        where = direct(person.user) if request.query.get("place") == "direct" else self._room.channel
        posts = await self._history.latest(person.user, where, _number(request.query.get("before", "")))
        return web.json_response({"posts": [self._shown(post) for post in posts]})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Posts as they come, each with its id, from the last one that the browser has; and how the time stands."""
        person = self._person(request.query.get("as", ""))
        seen = _number(request.headers.get("Last-Event-ID") or request.query.get("after", ""))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8",
                                             "Cache-Control": "no-store"})
        await stream.prepare(request)
        try:
            await stream.write(b"retry: 1500\n\n")
            async for event in self._events(person, seen):
                await stream.write(event.encode())
        except (ConnectionResetError, Unsaved):
            pass  # the browser is gone, or comes back once the database does
        return stream

    async def _events(self, person: Person, seen: int) -> AsyncIterator[str]:
        told = ""
        while not self._closing:
            rung = self._history.bell.listen()
            time = json.dumps({"run": self._run, "now": _instant(self._clock.now()), "zone": self._zone(person),
                               "time": self._outlook()})
            if time != told:
                yield f"event: time\ndata: {time}\n\n"
                told = time
            for post in await self._history.since(person.user, (self._room.channel, direct(person.user)), seen):
                yield f"id: {post.id}\nevent: post\ndata: {json.dumps(self._shown(post))}\n\n"
                seen = post.id
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await rung.wait()
            except TimeoutError:
                yield ": still here\n\n"

    # --- doing

    async def command(self, request: web.Request) -> web.Response:
        sent = await _read(request, _Command)
        person = self._actor(sent.person)
        where, caller = self._at(person, sent.place)
        key = f"answer:{person.user}:{sent.request}"
        async with self._turns[person.user]:
            if (post := await self._history.find(where, key)) is not None:
                return web.json_response({"post": self._shown(post)})
            answer = await self._desk.command(caller, sent.line, RequestId(sent.request), self._clock.now())
            if isinstance(answer, Form):
                return web.json_response({"form": {"kind": answer.kind, "about": answer.about, "title": answer.title,
                                                   "html": render.form(answer)}})
            asked = render.asked("/" + " ".join(sent.line.split()).lstrip("/ ")[:200])
            return await self._answered(person, where, asked + render.message(answer), key)

    async def submit(self, request: web.Request) -> web.Response:
        sent = await _read(request, _Submission)
        person = self._actor(sent.person)
        where, caller = self._at(person, sent.place)
        answers = {name: tuple(values) for name, values in sent.answers.items()}
        # The same form sent again with other answers, after an answer was lost on the way, is an amendment.
        content = hashlib.sha256(json.dumps([sent.kind, sent.about, answers], sort_keys=True).encode()).hexdigest()[:16]
        key = f"answer:{person.user}:{sent.request}:{content}"
        async with self._turns[person.user]:
            if (post := await self._history.find(where, key)) is not None:
                return web.json_response({"post": self._shown(post)})
            answer = await self._desk.submit(caller, sent.kind, sent.about, answers,
                                             RequestId(f"{sent.request}:{content}"), self._clock.now())
            if answer.refused:
                return web.json_response({"refused": {"html": render.message(answer), "field": answer.field}})
            if sent.kind in ("join", "settings"):
                self._moved(person, typed(answers, "zone"))
            return await self._answered(person, where, render.message(answer), key)

    async def say(self, request: web.Request) -> web.Response:
        sent = await _read(request, _Saying)
        person = self._actor(sent.person)
        text = sent.text.strip()
        if not text:
            raise web.HTTPBadRequest(text="Write something first.")
        if len(text) > LONGEST_SAID:
            raise web.HTTPBadRequest(text=f"That is {len(text):,} characters, and {LONGEST_SAID:,} are the most for "
                                          "one message. Nothing was sent; shorten it, or send it in parts.")
        post = await self._history.add(self._room.channel, render.words(text), author=person.user,
                                       at=self._clock.now(), key=f"said:{person.user}:{sent.request}")
        return web.json_response({"post": self._shown(post)})

    async def time(self, request: web.Request) -> web.Response:
        if self._time_bar is None:
            raise web.HTTPNotFound(text="The time here is the real one. `ninety demo` has one that can be moved.")
        move = await _read(request, _Move)
        if self._moving.locked():
            raise web.HTTPConflict(text="The time is moving already.")
        async with self._moving:
            self._history.bell.ring()
            try:
                if move.go == "post":
                    await self._time_bar.next_post()
                else:
                    await self._time_bar.advance(1 if move.go == "day" else 7)
            finally:
                asyncio.get_running_loop().call_soon(self._history.bell.ring)  # when the lock is free again
        return web.json_response({"now": _instant(self._clock.now()), "time": self._outlook()})

    async def _answered(self, person: Person, where: str, answer: str, key: str) -> web.Response:
        try:
            post = await self._history.add(where, answer, author=NINETY, at=self._clock.now(), only_for=person.user,
                                           key=key)
        except Unsaved:
            raise web.HTTPServiceUnavailable(text="It is done. Only my answer could not be kept, and so not be shown: "
                                                  "send it again to read it. It counts once.") from None
        return web.json_response({"post": self._shown(post)})

    # --- who and where

    def _person(self, user: str) -> Person:
        person = self._people.get(user) if user else next(
            (one for one in self._people.values() if not one.simulated), None)
        if person is None:
            raise web.HTTPNotFound(text="Nobody here is called that. Choose somebody from the list at the top.")
        return person

    def _actor(self, user: str) -> Person:
        person = self._people.get(user)
        if person is None:
            raise web.HTTPForbidden(text="Nobody here is called that. Load the page again.")
        if person.simulated:
            raise web.HTTPForbidden(text=f"{person.name} acts by themselves. You can look over their shoulder, "
                                         "not act for them.")
        return person

    def _at(self, person: Person, place: Place) -> tuple[str, Caller]:
        here = self._room if place == "room" else None
        caller = Caller(person.account, here, person.name, self._zone(person), person.organiser)
        return (self._room.channel if place == "room" else direct(person.user)), caller

    def _zone(self, person: Person) -> str:
        return self._zones.get(person.user, person.zone)

    def _moved(self, person: Person, zone: str) -> None:
        try:
            self._zones[person.user] = find_zone(zone).key
        except UnknownZone:
            pass  # a form with a field of that name that was no time zone

    # --- what the page gets

    def _shown(self, post: Post) -> dict[str, str | int | bool]:
        return {"id": post.id, "place": "room" if post.room == self._room.channel else "direct", "author": post.author,
                "at": _instant(post.at), "private": post.only_for is not None and post.room == self._room.channel,
                "html": post.html}

    def _outlook(self) -> dict[str, str | bool | None] | None:
        if self._time_bar is None:
            return None
        outlook = self._time_bar.outlook()
        return {"now": _instant(outlook.now), "zone": outlook.zone, "next": outlook.next,
                "nextAt": None if outlook.next_at is None else _instant(outlook.next_at), "ended": outlook.ended,
                "moving": self._moving.locked()}


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


async def _read(request: web.Request, model: type[B]) -> B:
    try:
        return model.model_validate_json(await request.text())
    except (ValidationError, UnicodeDecodeError, LookupError) as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else ""
        raise web.HTTPBadRequest(text=f"This is not what the page sends{f' (see {where[:60]!r})' if where else ''}. "
                                      "Load the page again; your drafts are kept.") from None


# --- when something goes wrong ----------------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is told in words: as JSON to the page's own requests, as a page to a person."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _problem(request, 413, f"That is more than {BODY_MOST // 1024 // 1024} MB, which is too much at once. "
                                      "Nothing was sent, and your text is still here: shorten it and send it again.")
    except web.HTTPException as error:
        if error.status < 400:
            error.headers.update(guarding.ALWAYS)
            raise
        return _problem(request, error.status, error.text or error.reason)
    except Unsaved:
        return _problem(request, 503, "This could not be saved just now, and nothing was changed. Your text is still "
                                      "here; send it again in a minute.")
    except Exception as error:
        # The message of an exception may hold what a member typed; the kind and the place do not.
        log.error("%s %s: %s\n%s", request.method, request.path, type(error).__name__,
                  "".join(traceback.format_tb(error.__traceback__)))
        return _problem(request, 500, "Something broke on this side. Your text is still here; send it again, and tell "
                                      "whoever runs this if it happens twice.")


def _problem(request: web.Request, status: int, said: str) -> web.Response:
    if request.path.startswith("/chat/api/"):
        return web.json_response({"problem": said}, status=status,
                                 headers=guarding.ALWAYS | guarding.API)
    return web.Response(text=site.PLAIN.format(title=status, body=f"<p>{html.escape(said)}</p>"), status=status,
                        content_type="text/html", headers=guarding.ALWAYS | guarding.CHAT)
