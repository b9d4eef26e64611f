"""What the environment says, read once at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict


class BadSettings(ValueError):
    """The environment says something that cannot be; the text says what, and what to set instead."""


class Settings(BaseSettings):
    """Each field is the variable of the same name with `NINETY_` in front."""

    model_config = SettingsConfigDict(env_prefix="NINETY_", frozen=True, extra="ignore")

    database_url: str = "sqlite:///.ninety/ninety.db"
    """An SQLAlchemy address: `sqlite:///path` or `postgresql://user:password@host/name`."""
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
    slack_bot_token: SecretStr | None = None
    """Of the one workspace that the app is in (xoxb-…). With it, `ninety run` is on Slack."""
    slack_app_token: SecretStr | None = None
    """For Socket Mode (xapp-…), which needs no public address."""
    slack_signing_secret: SecretStr | None = None
    """For signed requests to `slack_listen`, instead of Socket Mode."""
    slack_client_id: str = ""
    """With the secret: many workspaces, each of which installs the app; instead of the bot token."""
    slack_client_secret: SecretStr | None = None
    slack_listen: Annotated[str, StringConstraints(pattern=r"^[^\s:]+:[0-9]{1,5}$")] = "127.0.0.1:8091"
    """HOST:PORT for Slack's requests and for installing, behind a proxy or load balancer that speaks HTTPS."""
    slack_api_url: str = "https://slack.com/api/"
    """Another server than Slack's own, for tests."""
    public_url: str = ""
    """Where `slack_listen` is reached from outside, for installing the app in a workspace."""
    secret_key: SecretStr | None = None
    """Encrypts the tokens of workspaces in the database; several with commas between, the newest first."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8090
    """Of the local chat, which listens on the loopback address only."""
    operator_listen: Annotated[
        str, StringConstraints(pattern=r"^(|(\[[0-9a-fA-F:.]+\]|[^\s:]+):[0-9]{1,5})$")] = "127.0.0.1:8092"
    """HOST:PORT for health and metrics, which are for nobody outside; nothing: do without."""
    log: Literal["text", "json"] = "text"
    """How the log is written: lines to read, or one JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on. `debug` is of Ninety's own lines; libraries would log what members typed."""
