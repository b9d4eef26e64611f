"""What README and the pages say is true of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.commands import BY_NAME
from bot.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
GROUPS = {group.name for group in app.registered_groups}
TEXTS = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def documented(line: str) -> Iterator[tuple[str, ...]]:
    """The words of each command in `cohort open|list ID`, without its arguments."""
    first, *rest = line.replace("\\", "").split()
    if first in GROUPS:
        yield from ((first, name) for name in rest[0].split("|"))
    else:
        yield (first,)


@TEXTS
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    for line in re.findall(r"(?:^|`|\$ )(?:\.venv/bin/)?ninety ([a-z][^`\n]*)", page.read_text(encoding="utf-8"), re.M):
        for words in documented(line):
            shown = CliRunner().invoke(app, [*words, "--help"])
            assert shown.exit_code == 0, f"{page.name} names `ninety {line}`"
            for option in re.findall(r"(?<= )--[a-z-]+", line):
                assert option in shown.stdout, f"{page.name} names `ninety {line}`"


@TEXTS
def test_every_chat_command_that_a_page_names_exists(page: Path) -> None:
    for line in re.findall(r"`/([a-z]+(?: [a-z]+)?)[^`/]*`", page.read_text(encoding="utf-8")):
        if line.split()[0] != "chat":
            assert line in BY_NAME or line.split()[0] in BY_NAME, f"{page.name} names `/{line}`"


@TEXTS
def test_every_variable_that_a_page_names_is_read(page: Path) -> None:
    read = {f"NINETY_{name.upper()}" for name in Settings.model_fields}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/browser").glob("*.py"))
    for name in re.findall(r"NINETY_[A-Z_]+", page.read_text(encoding="utf-8")):
        assert name in read or name in sources, f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES[:3], ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
