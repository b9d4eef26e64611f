"""What the environment says, read once at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the variable of the same name with `NINETY_` in front."""

    model_config = SettingsConfigDict(env_prefix="NINETY_", frozen=True, extra="ignore")

    database_url: str = "sqlite:///.ninety/ninety.db"
    """An SQLAlchemy address. SQLite for now."""
    guide: Path | None = None
    """Another guide.yaml than the one that comes with Ninety."""
    site_dir: Path = Path("site")
    """Where `ninety site build` writes the guide, and the local chat serves it from."""
    site_url: str | None = None
    """Where the guide is published, for links in posts; the local chat links to its own copy."""
    discord_token: SecretStr | None = None
    """Of the bot, from Discord's developer portal. With it, `ninety run` is on Discord."""
    discord_api_url: str = "https://discord.com/api/v10"
    """Another server than Discord's own, for tests."""
    discord_gateway_url: str | None = None
    """Where the gateway is, if the API is not to be believed; for tests."""
    discord_organiser_role: str = ""
    """Who has a role of this name runs the room, beside those who may Manage Server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8090
    """Of the local chat, which listens on the loopback address only."""
