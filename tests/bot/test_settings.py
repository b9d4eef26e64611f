"""What the environment may say, and what is said back when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.settings import Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without what the machine that runs the tests has set."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"NINETY_{field.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_need_be_set() -> None:
    assert Settings() == Settings.model_construct(
        database_url="sqlite:///.ninety/ninety.db", guide=None, site_dir=Path("site"), site_url=None, port=8090)


def test_each_setting_is_a_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", "sqlite:////srv/ninety.db")
    monkeypatch.setenv("NINETY_GUIDE", "my/guide.yaml")
    monkeypatch.setenv("NINETY_SITE_DIR", "/srv/site")
    monkeypatch.setenv("NINETY_SITE_URL", "https://guide.example")
    monkeypatch.setenv("NINETY_PORT", "9000")
    monkeypatch.setenv("NINETY_SOMETHING_ELSE", "is not ours to refuse")
    assert Settings() == Settings.model_construct(
        database_url="sqlite:////srv/ninety.db", guide=Path("my/guide.yaml"), site_dir=Path("/srv/site"),
        site_url="https://guide.example", port=9000)


@pytest.mark.parametrize(("port", "why"), [
    ("0", "greater than or equal to 1"), ("65536", "less than or equal to 65535"), ("http", "valid integer"),
    ("", "valid integer"), ("80.5", "valid integer")])
def test_a_port_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, port: str, why: str) -> None:
    monkeypatch.setenv("NINETY_PORT", port)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (error,) = refused.value.errors()
    assert error["loc"] == ("port",)
    assert why in error["msg"]


def test_settings_do_not_change_once_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("NINETY_PORT", "9000")
    assert settings.port == 8090
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 9000  # type: ignore[misc]
