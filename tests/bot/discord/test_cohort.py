"""Thirteen weeks of fifty people on Discord: the real process, the real guide, every word through Discord's own doors.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bot.rehearsal import cast
from tests.bot.discord.season import OnDiscord
from tests.bot.discord.stage import Stage, stage
from tests.bot.season import OPENED, PATIENT, SPRING, UNHURRIED, Killed, Play, Role, check, more_acts, roles
from tests.emulators.discord import Done


def fifty(town: Stage) -> list[Role]:
    players, chat = cast(50, "discord"), OnDiscord(town)
    return roles(chat, players, chat.people(*(player.name for player in players)))


async def test_fifty_people_go_through_thirteen_weeks(tmp_path: Path) -> None:
    async with stage(tmp_path, OPENED, patience=UNHURRIED) as town:
        play = Play(town, SPRING, fifty(town), 11, more_acts(SPRING))
        await town.start()
        await play.open()
        await play.run(SPRING.end)

        await check(play, late=timedelta(0))
        assert town.refusals() == []
        assert min(play.pressed[what] for what in ("welcome", "nudge", "post")) >= 5
        town.bot.signal(15)
        assert await town.bot.ended() == 0


async def test_kills_at_any_instant_lose_and_double_nothing(tmp_path: Path) -> None:
    """Twenty-five of them: in the middle of sends and of answers, and somewhere between."""
    async with stage(tmp_path, OPENED, patience=UNHURRIED) as town:
        play = Killed(town, SPRING, fifty(town), 12, more_acts(SPRING))
        await town.start()
        await play.open()
        await play.run(SPRING.end)

        await check(play, late=PATIENT)
        assert play.kills == {"sending": 11, "answering": 8, "asking": 6}
        assert len(town.processes) == 26
        # Whether a room shows us its history at all is asked by a message that need not be there.
        assert [one for one in town.refusals() if not (
            isinstance(one, Done) and (one.route, one.status) == ("GET /channels/{}/messages/{}", 404))] == []
        assert play.unanswered > 0
