"""The command, as somebody types it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from content.loading import default_path
from content.schema import schema_text

GUIDE = default_path().read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of its own for each test."""
    monkeypatch.setenv("NINETY_DATABASE_URL", f"sqlite:///{tmp_path}/ninety.db")
    monkeypatch.delenv("NINETY_GUIDE", raising=False)


def ninety(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def broken(tmp_path: Path, old: str, new: str) -> tuple[Path, int]:
    """The real guide with its first `old` made into `new`, and the line where that is."""
    assert old in GUIDE
    path = tmp_path / "guide.yaml"
    path.write_text(GUIDE.replace(old, new, 1), encoding="utf-8")
    return path, GUIDE[:GUIDE.index(old)].count("\n") + 1


def test_the_guide_of_this_checkout_is_sound() -> None:
    result = ninety("check")
    assert (result.exit_code, result.stdout.split(":")[0]) == (0, "guide.yaml is sound")


@pytest.mark.parametrize(("old", "new", "below", "says"), [
    ("            skill: llm-apis", "            skill: llm-api",
     0, "plans.ninety-days.steps[0].tasks[0].skill: 'llm-api' is no skill of this guide; did you mean 'llm-apis'?"),
    ("        hours: 8\n", "        hours: 9\n", 0, "plans.ninety-days.steps[0].hours: "),
    ("    days: 90\n", "    days: 91\n", 0, "plans.ninety-days.days: "),
    ('at: "09:00"', "at: 9:00", 0, "cohort.rhythm.welcome.at: "),
    ("{number} is in: {points} points", "{number} is in: {point} points", 0, "did you mean 'points'?"),
    ("\ncohort:\n", "\ncohort:\n  plan: ninety-days\n", 3, "'plan' stands here twice, first in line"),
])
def test_a_broken_guide_is_told_with_its_line_and_the_cure(tmp_path: Path, old: str, new: str, below: int, says: str) \
        -> None:
    path, line = broken(tmp_path, old, new)
    result = ninety("check", str(path))
    found = [problem for problem in result.stdout.splitlines() if problem.startswith(f"guide.yaml:{line + below}:")]
    assert (result.exit_code, len(found) == 1 and says in found[0]) == (1, True), result.stdout


def test_a_guide_that_is_not_there_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    result = ninety("check", str(tmp_path / "nothing.yaml"))
    assert (result.exit_code, "nothing.yaml" in result.stdout) == (1, True)


def test_the_schema_is_what_editors_read() -> None:
    assert ninety("schema").stdout == schema_text()


HELP = """
import sys
from bot.cli import app
app(["--help"], standalone_mode=False)
print("imported", {name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:]) or "nothing of these")
"""


def test_the_help_imports_nothing_that_only_commands_need() -> None:
    """Each of these takes longer than all of the help."""
    heavy = "aiohttp", "alembic", "asyncio", "content", "discord", "pydantic", "slack_bolt", "sqlalchemy", "yaml"
    done = subprocess.run([sys.executable, "-c", HELP, *heavy], capture_output=True, check=True, text=True)  # noqa: S603  # ours
    assert done.stdout.splitlines()[-1] == "imported nothing of these"


def test_a_cohort_is_opened_listed_shown_and_logged() -> None:
    opened = ninety("cohort", "open", "Autumn", "--start", "2099-11-30", "--zone", "berlin")
    assert (opened.exit_code, opened.stdout.splitlines()[0]) == (0, (
        "Cohort 1, Autumn, is open in local:ninety. Week 1 begins on 2099-11-30 (Europe/Berlin), and it ends on "
        "2100-02-27."))
    assert "2099-11-30 to 2100-02-27      0 members  local:ninety  Autumn" in ninety("cohort", "list").stdout
    assert "1  2099-11-30 to 2099-12-06" in ninety("cohort", "show", "1").stdout
    logged = ninety("cohort", "log", "1").stdout.splitlines()
    assert (len(logged), logged[0]) == (29, "2099-11-27 09:00  owed       1:how-models-behave:welcome")


@pytest.mark.parametrize(("words", "says"), [
    (("--start", "2020-01-06", "--zone", "Berlin"), "2020-01-06 is over; a cohort begins today or later"),
    (("--start", "9999-12-01", "--zone", "Berlin"), "9999"),
    (("--start", "2099-11-30", "--zone", "Berln"), "Europe/Berlin"),
    (("--start", "2099-11-30", "--zone", "Berlin", "--plan", "sixty-days"), "the guide has no plan 'sixty-days'"),
    (("--start", "2099-11-30", "--zone", "Berlin", "--room", "nowhere"), "'nowhere' is no room"),
    (("--start", "2099-02-30", "--zone", "Berlin"), "2099-02-30"),
])
def test_what_cannot_be_opened_is_told_in_clear_words(words: tuple[str, ...], says: str) -> None:
    result = ninety("cohort", "open", "Autumn", *words)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr
    assert "There is no cohort yet" in ninety("cohort", "list").stdout


def test_a_room_holds_one_cohort() -> None:
    words = ("cohort", "open", "Autumn", "--start", "2099-11-30", "--zone", "Berlin")
    ninety(*words)
    assert (ninety(*words).exit_code, "lives in local:ninety already" in ninety(*words).stderr) == (2, True)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    ninety("migrate")
    database = sqlite3.connect(tmp_path / "ninety.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    for words in (("migrate",), ("cohort", "list"), ("run",)):
        result = ninety(*words)
        assert (result.exit_code, "written by a newer one" in result.stderr) == (1, True), result.output


def test_a_database_that_we_do_not_speak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NINETY_DATABASE_URL", "mysql://localhost/ninety")
    result = ninety("cohort", "list")
    assert (result.exit_code, "mysql is not supported" in result.stderr) == (1, True)


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = ninety("demo", "--port", str(port), "--site", str(tmp_path))
    assert (result.exit_code, f"port {port} is taken" in result.stderr) == (1, True), result.output


def rehearsal(*words: str) -> bytes:
    done = subprocess.run([sys.executable, "-m", "bot", "rehearse", *words], capture_output=True, check=True)  # noqa: S603  # ours
    assert done.stderr == b""
    return done.stdout


def test_the_same_seed_plays_the_same_cohort_to_the_byte() -> None:
    first = rehearsal("--members", "30", "--seed", "7")
    assert first == rehearsal("--members", "30", "--seed", "7")
    assert first != rehearsal("--members", "30", "--seed", "8")
    assert b"Nothing was missed." in first


def test_a_rehearsal_posts_everything_and_keeps_to_the_budget() -> None:
    result = ninety("rehearse", "--members", "12", "--seed", "3", "--summary", "--zone", "Pacific/Auckland")
    assert (result.exit_code, result.stdout.splitlines()[0][:11]) == (0, "12 members,")
    for line in ("week opens   sent           13", "week closes  sent           13", "welcome      sent            1",
                 "half time    sent            1", "graduation   sent            1",
                 "Direct messages to one member in one week: 1 at most, 1 allowed"):
        assert line in result.stdout


def test_what_an_edit_would_have_changed_for_a_running_cohort_is_told(tmp_path: Path) -> None:
    ninety("cohort", "open", "Autumn", "--start", "2099-11-30", "--zone", "Berlin")
    assert "has not changed" in ninety("cohort", "diff", "1").stdout
    path, _ = broken(tmp_path, "do: Write a terminal chat client", "do: Build a terminal chat client")
    result = ninety("cohort", "diff", "1", "--guide", str(path))
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "stream-a-chat" in result.stdout


def test_points_are_corrected_with_a_reason() -> None:
    ninety("cohort", "open", "Autumn", "--start", "2099-11-30", "--zone", "Berlin")
    result = ninety("cohort", "grant", "1", "nobody", "5", "--reason", "a talk")
    assert (result.exit_code, "nobody with the id nobody" in result.stderr) == (2, True)
    assert ninety("cohort", "member", "1", "nobody").exit_code == 2
    assert ninety("cohort", "void", "2", "nobody", "1", "--reason", "x").exit_code == 2
