"""One cohort in two rooms: one process on Discord and on Slack at once, eight weeks, twenty people, three of whom are
on both sides."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.ledger import Transaction
from bot.rehearsal import Act, cast
from tests.bot.discord.season import OnDiscord
from tests.bot.discord.stage import stage
from tests.bot.season import (
    OPENED,
    SPRING,
    UNHURRIED,
    Chat,
    Note,
    Play,
    Role,
    Seat,
    Term,
    check,
    code_in,
    journals_of,
    more_acts,
    roles,
)
from tests.bot.slack.season import OnSlack, workspace

EIGHT_WEEKS = Term("Spring", SPRING.start, SPRING.zone, "skill-sequence")
LINKED = ("player-4", "player-6", "player-16")
"""Steady all of them. The first two are on Discord and link Slack, the last the other way round."""


def members(discord: OnDiscord, slack: OnSlack) -> list[Role]:
    """Ten on each side."""
    players = cast(20, "discord")
    here, there = players[:10], players[10:]
    all_of_them = roles(discord, here, discord.people(*(player.name for player in here))) \
        + roles(slack, there, slack.people([(player.name, player.zone) for player in there]))
    for role in all_of_them:
        player = role.player
        if player.account.user in LINKED:
            role.nudges = True
            role.links = Seat(slack, *slack.people([(player.name, player.zone)])) if role.home.chat is discord \
                else Seat(discord, *discord.people(player.name))
    return all_of_them


def links() -> list[Act]:
    """On the Tuesdays of the first weeks."""
    return [Act(datetime.combine(EIGHT_WEEKS.weeks[number].first + timedelta(days=1), time(12),
                                 ZoneInfo(EIGHT_WEEKS.zone)), user, "link") for number, user in enumerate(LINKED)]


class TwoRooms(Play):
    async def bridge(self) -> None:
        """The organiser of the one room asks for a code, and the organiser of the other types it."""
        here, there = self.chats
        shown = await here.type(here.organiser, "cohort bridge")
        done = await there.type(there.organiser, f"cohort bridge {code_in(shown)}")
        assert done.title == self.term.heading("bridged")

    async def play(self, act: Act) -> None:
        """Who is on both sides checks in on both."""
        await super().play(act)
        role = self.roles[act.user]
        if act.what == "check-in" and len(role.seats) == 2:
            before, told = self.points(role), role.told[-1]
            other = next(seat for seat in role.seats if not told.request.startswith(f"{seat.chat.platform}:"))
            form = await other.chat.type(other.person, f"checkin {act.step}")
            await self._submit(role, other, "check-in", act.step, form, told.values)
            assert self.points(role) == before > 0

    def points(self, role: Role) -> int:
        def work(tx: Transaction) -> int:
            cohort, = tx.cohorts()
            member = tx.enrolment(cohort.id, role.account)
            assert member is not None
            return member.points

        return self.town.read(work)


def boards(chat: Chat, notes: list[Note]) -> list[list[tuple[int, str, int, int]]]:
    """Of the posts that have one."""
    return [rows for note in notes if (rows := chat.board(note.text))]


async def test_one_cohort_lives_in_two_rooms(tmp_path: Path) -> None:
    async with stage(tmp_path, OPENED, patience=UNHURRIED) as town, \
            workspace(town.clock, town.pace, "socket") as slack:
        discord = OnDiscord(town)
        play = TwoRooms(town, EIGHT_WEEKS, members(discord, slack), 13, [*more_acts(EIGHT_WEEKS), *links()])
        town.environment |= slack.environment()
        await town.start()
        await slack.arrived()
        await play.open()
        await play.bridge()
        await play.run(EIGHT_WEEKS.end)

        # Each room has every post in its hour, each member their nudges once and where they joined.
        await check(play, late=timedelta(0))
        assert [(note.at, note.title) for note in discord.posts()] == [(note.at, note.title) for note in slack.posts()]

        # One board.
        shown = boards(discord, discord.posts())
        assert len(shown) == len(EIGHT_WEEKS.weeks) + 1
        assert boards(slack, slack.posts()) == shown

        # Here and there are one member.
        both = [role for role in play.roles.values() if role.links is not None]
        assert [len(role.seats) for role in both] == [2, 2, 2]
        platforms = [{entry.request.partition(":")[0] for entry in town.read(journals_of)[1][role.account]}
                     for role in both]
        assert platforms == [{"discord", "slack"}] * 3
        assert min(len(role.home.chat.direct(role.home.person)) for role in both) > 0

        assert town.refusals() == []
        town.bot.signal(15)
        assert await town.bot.ended() == 0
        assert slack.refusals() == []
