"""Each picture of a message as the page that is photographed, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from tests.pictures import discord, slack
from tests.pictures.season import Scene, Screen, members

ASSETS = Path(__file__).parents[2] / "docs" / "assets"

FACES = """
@font-face { font-family: Noto; src: url(/fonts/noto-sans-latin-v2.015.ttf); font-weight: 100 900 }
@font-face { font-family: Noto; src: url(/fonts/noto-sans-latin-italic-v2.015.ttf); font-weight: 100 900;
             font-style: italic }
@font-face { font-family: NotoMono; src: url(/fonts/noto-sans-mono-v2.014.ttf); font-weight: 100 900 }
@font-face { font-family: NotoEmoji; src: url(/fonts/noto-color-emoji-v2.051.ttf) }
"""


@dataclass(frozen=True)
class Layout:
    """How the app of one platform shows what it is sent."""

    screen: Screen
    picture: Callable[[Scene, Mapping[str, str]], str]
    """The inside of a page; the second argument holds names of people who may be mentioned, by their ids."""
    style: str

    @property
    def folder(self) -> Path:
        return ASSETS / self.screen.room.platform

    @property
    def remembered(self) -> Path:
        """Of each picture: a digest of its page, and its size in CSS pixels."""
        return self.folder / "pictures.json"

    def pages(self, scenes: Iterable[Scene]) -> dict[str, str]:
        """By the name of the picture."""
        names = {player.account.user: player.name for player in members(self.screen)}
        return {scene.name: f"<!doctype html><meta charset=utf-8><style>{FACES}{self.style}</style>"
                            f"{self.picture(scene, names)}" for scene in scenes}


LAYOUTS: Mapping[str, Layout] = {
    "discord": Layout(discord.Discord(), discord.picture, discord.STYLE),
    "slack": Layout(slack.Slack(), slack.picture, slack.STYLE),
}


def digest(page: str) -> str:
    return blake2b(page.encode(), digest_size=8).hexdigest()
