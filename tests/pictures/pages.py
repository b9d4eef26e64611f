"""Each picture of a message as the page that is photographed, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from tests.pictures import layout
from tests.pictures.season import Scene, members

FOLDER = Path(__file__).parents[2] / "docs" / "assets" / "discord"
REMEMBERED = FOLDER / "pictures.json"
"""Of each picture: a digest of its page, and its size in CSS pixels."""


def pages(scenes: Iterable[Scene]) -> dict[str, str]:
    """By the name of the picture."""
    names = {player.account.user: player.name for player in members()}
    return {scene.name: f"<!doctype html><meta charset=utf-8><style>{layout.STYLE}</style>"
                        f"{layout.picture(scene, names)}" for scene in scenes}


def digest(page: str) -> str:
    return blake2b(page.encode(), digest_size=8).hexdigest()
