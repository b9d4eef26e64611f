"""A bot as one writes it with discord.py in an afternoon: a command tree, a modal, one transaction of bare SQLite.

It shows what ours shows and writes what ours writes, without any of the rules: the floor of `test_discord.py`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from yarl import URL

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""api, gateway, token, database; `modal` as ours opens it, `answer` as long as ours."""


# --- the database -----------------------------------------------------------------------------------------------------


class Store:
    """The statements that ours runs, through the driver, in one thread of their own."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")

    async def journal(self, guild: int, channel: int, user: int) -> list[Any]:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._alone(lambda cursor: _read(cursor, guild, channel, user)[2]))

    async def check_in(self, guild: int, channel: int, user: int, request: int, body: str) -> int:
        """The place on the board."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._alone(lambda cursor: _check_in(cursor, guild, channel, user, request, body)))

    def _alone(self, work: Any) -> Any:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            done = work(cursor)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        return done


def _read(cursor: sqlite3.Cursor, guild: int, channel: int, user: int) -> tuple[int, int, list[Any]]:
    cohort, = cursor.execute("SELECT id FROM cohort WHERE platform = 'discord' AND workspace = ? AND channel = ?",
                             (str(guild), str(channel))).fetchone()
    member = cursor.execute("SELECT * FROM member WHERE cohort = ? AND platform = 'discord' AND workspace = '' "
                            "AND user = ?", (cohort, str(user))).fetchone()[0]
    events = cursor.execute("SELECT * FROM journal WHERE member = ? ORDER BY seq", (member,)).fetchall()
    return cohort, member, [json.loads(event[5]) for event in events]


def _check_in(cursor: sqlite3.Cursor, guild: int, channel: int, user: int, request: int, body: str) -> int:
    cohort, member, _ = _read(cursor, guild, channel, user)
    cursor.execute("INSERT INTO journal (cohort, member, at, kind, body, request) VALUES (?, ?, ?, 'checked_in', ?, ?) "
                   "ON CONFLICT DO NOTHING RETURNING seq", (cohort, member, 1, body, f"discord:{request}")).fetchone()
    cursor.execute("UPDATE member SET points = ? WHERE id = ?", (60, member))
    cursor.execute("UPDATE delivery SET state = 'withdrawn', reason = 'checked in', claimable = NULL WHERE member = ? "
                   "AND state = 'owed' AND kind = 'nudge' AND step = ?", (member, "how-models-behave"))
    cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0", (cohort,)).fetchone()
    above, = cursor.execute("SELECT count(*) FROM member WHERE cohort = ? AND present AND points > 0 AND points > ?",
                            (cohort, 60)).fetchone()
    return int(above) + 1


# --- the bot ----------------------------------------------------------------------------------------------------------


class CheckIn(discord.ui.Modal):
    def __init__(self, store: Store) -> None:
        super().__init__(title=PLAY["modal"]["title"])
        self._store = store
        for label in PLAY["modal"]["components"]:
            self.add_item(discord.ui.Label(text=label["label"], description=label.get("description"),
                                           component=_control(label["component"])))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        assert interaction.guild_id is not None
        assert interaction.channel_id is not None
        body = {}
        for label in self.children:
            assert isinstance(label, discord.ui.Label)
            one: Any = label.component
            body[one.custom_id] = one.value if hasattr(one, "value") else one.values
        place = await self._store.check_in(interaction.guild_id, interaction.channel_id, interaction.user.id,
                                           interaction.id, json.dumps({"step": "how-models-behave", **body}))
        embed = discord.Embed(description=f"{PLAY['answer']} {place}")
        await interaction.response.send_message(embed=embed, ephemeral=True)


def _control(drawn: dict[str, Any]) -> discord.ui.Item[Any]:
    name, required = drawn["custom_id"], drawn.get("required", True)
    match drawn["type"]:
        case 4:
            return discord.ui.TextInput(custom_id=name, style=discord.TextStyle(drawn["style"]), required=required,
                                        default=drawn.get("value"), max_length=drawn.get("max_length"),
                                        placeholder=drawn.get("placeholder"))
        case 21:
            return discord.ui.RadioGroup(custom_id=name, required=required, options=[
                discord.RadioGroupOption(**option) for option in drawn["options"]])
        case 22:
            return discord.ui.CheckboxGroup(
                custom_id=name, required=required, min_values=drawn["min_values"], max_values=drawn["max_values"],
                options=[discord.CheckboxGroupOption(**option) for option in drawn["options"]])
        case other:
            raise ValueError(f"no control of type {other}")


class Bot(discord.Client):
    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default())
        self.tree = app_commands.CommandTree(self)
        self.store = Store(PLAY["database"])

    async def setup_hook(self) -> None:
        @self.tree.command(description="Check in")
        async def checkin(interaction: discord.Interaction[Any]) -> None:
            assert interaction.guild_id is not None
            assert interaction.channel_id is not None
            await self.store.journal(interaction.guild_id, interaction.channel_id, interaction.user.id)
            await interaction.response.send_modal(CheckIn(self.store))

        await self.tree.sync()


if __name__ == "__main__":
    discord.http.Route.BASE = PLAY["api"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(PLAY["gateway"])
    Bot().run(PLAY["token"], log_level=30)
