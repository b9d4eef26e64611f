"""A season of the real guide in virtual time, through the real desk and herald, and what of it is worth a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bot.desk import Caller, Desk, open_cohort
from bot.discord import render
from bot.herald import Herald, Site, Unreachable
from bot.ledger import Account, Cohort, Receipt, RequestId, Room
from bot.messages import DeliveryKey, Form, Message
from bot.rehearsal import Act, Player, Stage, cast
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from bot.store.migrate import migrate
from content.edition import Edition
from content.model import Guide, PostKind
from scheduler import calendar
from scheduler.clock import VirtualClock

ZONE = ZoneInfo("Europe/Berlin")
"""Where the person sits whose screen the pictures show."""
ROOM, ELSEWHERE = Room("discord", "1", "2"), Room("discord", "1", "3")
ORGANISER = Account("discord", "", "4")
OPENED = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
START = date(2026, 11, 30)
SITE = Site("https://guide.example")
MEMBERS, SEED, WEEK = 12, 5, 3
YOU, CLOSED = "101", "110"
"""Who acts on the pictures; who takes no direct messages."""

Place = Literal["channel", "private", "direct", "form"]
"""Where it is seen: by all, by one person in the channel, in their direct messages, on top of everything."""


@dataclass(frozen=True)
class Scene:
    """One thing to see, drawn by the product; `at` is when it is seen, `zone` where."""

    name: str
    place: Place
    payload: render.Payload
    at: datetime
    zone: ZoneInfo = ZONE


class Album:
    """A Discord that keeps all posts, and where one person takes no direct messages."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.posts: dict[DeliveryKey, tuple[datetime, Room | Account, Message]] = {}

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        if to == Account("discord", "", CLOSED):
            raise Unreachable
        now = self._clock.now()
        self.posts[key] = now, to, message
        return Receipt(str(len(self.posts)), "", now)

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        raise NotImplementedError("nothing is cut off here, so nothing has to be looked for")

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise NotImplementedError("this cohort has no role to give")

    def scene(self, name: str, key: str) -> Scene:
        """The first post whose key begins so."""
        found = next(found for found in self.posts if found.startswith(key))
        at, to, message = self.posts[found]
        drawn = render.message(message, found)
        if isinstance(to, Room):
            return Scene(name, "channel", drawn, at)
        zone = next(player.zone for player in members() if player.account == to)
        return Scene(name, "direct", drawn, at, ZoneInfo(zone))


def members() -> list[Player]:
    """The rehearsal's cast, with ids such as Discord's."""
    return [replace(player, account=Account("discord", "", str(100 + number)))
            for number, player in enumerate(cast(MEMBERS, "discord"), 1)]


async def season(guide: Guide) -> list[Scene]:
    """From the form that opens a cohort to its graduation, in the order in which they are seen."""
    async with Database("sqlite://", durable=False) as store:
        migrate(store)
        ledger, clock = StoredLedger(store), VirtualClock(OPENED)
        desk, album, scenes = Desk(ledger, guide, SITE), Album(clock), list[Scene]()
        herald = Herald(ledger, {"discord": album}, clock, "pictures", SITE)
        organiser = Caller(ORGANISER, ELSEWHERE, "Alex", ZONE.key, organiser=True)
        form = await _asked(desk, organiser, "cohort open", OPENED)
        scenes.append(_form("open-form", form, OPENED))
        # What the form opens has a salt of its own, and with it other aliases each time; so its members live in
        # another room.
        opened = await desk.submit(organiser, form.kind, form.about,
                                   {"title": ("Autumn 2026",), "start": (START.isoformat(),), "zone": (ZONE.key,),
                                    "plan": (guide.cohort.plan,), "threads": ("no",)}, RequestId("open"), OPENED)
        scenes.append(_answer("opened", opened, OPENED))
        cohort = await open_cohort(ledger, "Autumn 2026", START, ZONE.key, Edition.of(guide, guide.cohort.plan), ROOM,
                                   ORGANISER, "salt", OPENED)
        players = members()
        answers: dict[tuple[str, str, int], tuple[datetime, Message]] = {}

        def heard(at: datetime, player: Player, act: Act, message: Message) -> None:
            answers.setdefault((player.account.user, act.what, act.step), (at, message))

        stage = Stage(desk, herald, clock, cohort, players, SEED, heard)
        you = _caller(players, YOU)
        scenes.append(_form("join-form", await _asked(desk, you, "cohort join", OPENED), OPENED))
        step = cohort.edition.plan.steps[WEEK - 1]
        seen = cohort.course.opens(step.id) + timedelta(hours=8)
        await stage.play(seen)
        scenes.append(_form("check-in-form", await _asked(desk, you, "checkin", seen), seen))
        closed = calendar.instant(cohort.course.span(step.id).last + timedelta(days=4), time(9), ZONE)
        await stage.play(closed)
        progress = await desk.command(you, "progress", RequestId("progress"), closed)
        assert isinstance(progress, Message)
        await stage.play(cohort.course.ends + timedelta(days=21))
        scenes += _posts(album, cohort)
        for name, what, number in (("joined", "join", 0), ("check-in-answer", "check-in", WEEK)):
            at, message = answers[YOU, what, number]
            scenes.append(_answer(name, message, at))
        scenes.append(_answer("progress", progress, closed))
        return scenes


def _posts(album: Album, cohort: Cohort) -> list[Scene]:
    steps = cohort.edition.plan.steps
    first, third, last = steps[0].id, steps[WEEK - 1].id, steps[-1].id
    return [
        album.scene("welcome", f"{cohort.id}:{first}:{PostKind.WELCOME.value}"),
        album.scene("week-opens", f"{cohort.id}:{first}:{PostKind.WEEK_OPENS.value}"),
        album.scene("nudge", f"{cohort.id}:{third}:{PostKind.NUDGE.value}"),
        album.scene("week-closes", f"{cohort.id}:{third}:{PostKind.WEEK_CLOSES.value}"),
        album.scene("graduation", f"{cohort.id}:{last}:{PostKind.GRADUATION.value}"),
        album.scene("unreachable", f"{cohort.id}:{PostKind.UNREACHABLE.value}"),
    ]


async def _asked(desk: Desk, caller: Caller, line: str, at: datetime) -> Form:
    answer = await desk.command(caller, line, RequestId(line), at)
    assert isinstance(answer, Form), answer
    return answer


def _caller(players: Sequence[Player], user: str) -> Caller:
    player = next(player for player in players if player.account.user == user)
    return Caller(player.account, ROOM, player.name, player.zone)


def _form(name: str, form: Form, at: datetime) -> Scene:
    return Scene(name, "form", render.form(form, ZONE), at)


def _answer(name: str, message: Message, at: datetime) -> Scene:
    assert not message.refused, message
    return Scene(name, "private", render.message(message), at)
