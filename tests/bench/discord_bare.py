"""A bot as one writes it with discord.py in an afternoon: a command tree, a modal, one transaction of bare SQLite.

It shows what ours shows and writes what ours writes, without any of the rules: the floor of `test_discord.py`.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from yarl import URL

from tests.bench.bare import SQLite, Who, check_in, journal

PLAY = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""api, gateway, token, database; `modal` as ours opens it, `answer` as long as ours."""


class CheckIn(discord.ui.Modal):
    def __init__(self, store: SQLite) -> None:
        super().__init__(title=PLAY["modal"]["title"])
        self._store = store
        for label in PLAY["modal"]["components"]:
            self.add_item(discord.ui.Label(text=label["label"], description=label.get("description"),
                                           component=_control(label["component"])))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        body = {}
        for label in self.children:
            assert isinstance(label, discord.ui.Label)
            one: Any = label.component
            body[one.custom_id] = one.value if hasattr(one, "value") else one.values
        place = await self._store.transact(partial(
            check_in, who=who(interaction), request=f"discord:{interaction.id}",
            body=json.dumps({"step": "how-models-behave", **body})))
        embed = discord.Embed(description=f"{PLAY['answer']} {place}")
        await interaction.response.send_message(embed=embed, ephemeral=True)


def who(interaction: discord.Interaction[Any]) -> Who:
    return Who("discord", str(interaction.guild_id), str(interaction.channel_id), "", str(interaction.user.id))


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
        self.store = SQLite(PLAY["database"])

    async def setup_hook(self) -> None:
        @self.tree.command(description="Check in")
        async def checkin(interaction: discord.Interaction[Any]) -> None:
            await self.store.transact(partial(journal, who=who(interaction)))
            await interaction.response.send_modal(CheckIn(self.store))

        await self.tree.sync()


if __name__ == "__main__":
    discord.http.Route.BASE = PLAY["api"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(PLAY["gateway"])
    Bot().run(PLAY["token"], log_level=30)
