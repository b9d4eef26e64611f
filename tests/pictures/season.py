"""A season of the real guide in virtual time, through the real desk and herald, and what of it is worth a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from bot.desk import Caller, Desk, open_cohort
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
OPENED = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
START = date(2026, 11, 30)
SITE = Site("https://guide.example")
MEMBERS, SEED, WEEK = 12, 5, 3
YOU, CLOSED = 101, 110
"""Who acts on the pictures; who takes no direct messages."""

Payload: TypeAlias = Mapping[str, Any]
"""JSON as the platform takes it."""
Place = Literal["channel", "private", "direct", "form", "home"]
"""Where it is seen: by all, by one person in the channel, in their direct messages, on top of everything, on a page of
the bot's own."""


@dataclass(frozen=True)
class Scene:
    """One thing to see, drawn by the product; `at` is when it is seen, `zone` where."""

    name: str
    place: Place
    payload: Payload
    at: datetime
    zone: ZoneInfo = ZONE


class Screen(Protocol):
    """A platform, and how the product draws for it."""

    @property
    def room(self) -> Room: ...

    @property
    def elsewhere(self) -> Room: ...

    @property
    def organiser(self) -> Account: ...

    def account(self, number: int) -> Account: ...

    def message(self, message: Message, key: DeliveryKey | None = None) -> Payload: ...

    def form(self, form: Form) -> Payload: ...

    def outcome(self, name: str, message: Message, form: Form, at: datetime) -> Scene:
        """The answer to a form, where the platform shows it."""

    async def besides(self, desk: Desk, clock: VirtualClock, you: Caller) -> list[Scene]:
        """What this platform alone has."""


class Album:
    """A platform that keeps all posts, and where one person takes no direct messages."""

    def __init__(self, screen: Screen, clock: VirtualClock) -> None:
        self._screen, self._clock = screen, clock
        self.posts: dict[DeliveryKey, tuple[datetime, Room | Account, Message]] = {}

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        if to == self._screen.account(CLOSED):
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
        drawn = self._screen.message(message, found)
        if isinstance(to, Room):
            return Scene(name, "channel", drawn, at)
        zone = next(player.zone for player in members(self._screen) if player.account == to)
        return Scene(name, "direct", drawn, at, ZoneInfo(zone))


def members(screen: Screen) -> list[Player]:
    """The rehearsal's cast, with ids such as the platform's."""
    return [replace(player, account=screen.account(100 + number))
            for number, player in enumerate(cast(MEMBERS, screen.room.platform), 1)]


async def season(guide: Guide, screen: Screen) -> list[Scene]:
    """From the form that opens a cohort to its graduation, in the order in which they are seen."""
    async with Database("sqlite://", durable=False) as store:
        migrate(store)
        ledger, clock = StoredLedger(store), VirtualClock(OPENED)
        desk, album, scenes = Desk(ledger, guide, SITE), Album(screen, clock), list[Scene]()
        herald = Herald(ledger, {screen.room.platform: album}, clock, SITE)
        organiser = Caller(screen.organiser, screen.elsewhere, "Alex", ZONE.key, organiser=True)
        form = await _asked(desk, organiser, "cohort open", OPENED)
        scenes.append(Scene("open-form", "form", screen.form(form), OPENED))
        # What the form opens has a salt of its own, and with it other aliases each time; so its members live in
        # another room.
        opened = await desk.submit(organiser, form.kind, form.about,
                                   {"title": ("Autumn 2026",), "start": (START.isoformat(),), "zone": (ZONE.key,),
                                    "plan": (guide.cohort.plan,), "threads": ("no",)}, RequestId("open"), OPENED)
        assert not opened.refused, opened
        scenes.append(screen.outcome("opened", opened, form, OPENED))
        cohort = await open_cohort(ledger, "Autumn 2026", START, ZONE.key, Edition.of(guide, guide.cohort.plan),
                                   screen.room, screen.organiser, "salt", OPENED)
        players = members(screen)
        answers: dict[tuple[str, str, int], tuple[datetime, Message]] = {}

        def heard(at: datetime, player: Player, act: Act, message: Message) -> None:
            answers.setdefault((player.account.user, act.what, act.step), (at, message))

        stage = Stage(desk, herald, clock, cohort, players, SEED, heard)
        you = _caller(screen, players)
        joining = await _asked(desk, you, "cohort join", OPENED)
        scenes.append(Scene("join-form", "form", screen.form(joining), OPENED))
        step = cohort.edition.plan.steps[WEEK - 1]
        seen = cohort.course.opens(step.id) + timedelta(hours=8)
        await stage.play(seen)
        checking_in = await _asked(desk, you, "checkin", seen)
        scenes.append(Scene("check-in-form", "form", screen.form(checking_in), seen))
        scenes += await screen.besides(desk, clock, you)
        closed = calendar.instant(cohort.course.span(step.id).last + timedelta(days=4), time(9), ZONE)
        await stage.play(closed)
        progress = await desk.command(you, "progress", RequestId("progress"), closed)
        assert isinstance(progress, Message)
        await stage.play(cohort.course.ends + timedelta(days=21))
        scenes += _posts(album, cohort)
        for name, form, what, number in (("joined", joining, "join", 0), ("check-in-answer", checking_in, "check-in",
                                                                            WEEK)):
            at, message = answers[you.account.user, what, number]
            assert not message.refused, message
            scenes.append(screen.outcome(name, message, form, at))
        scenes.append(Scene("progress", "private", screen.message(progress), closed))
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


def _caller(screen: Screen, players: Sequence[Player]) -> Caller:
    player = next(player for player in players if player.account == screen.account(YOU))
    return Caller(player.account, screen.room, player.name, player.zone)
