"""The log is for machines or for people, and holds no word of a member's."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from bot.logs import CHATTY, OURS, Format, Level, set_up

TYPED = "what Ada typed"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Where the log is written to. Afterwards the loggers are as they were."""
    root, stream = logging.getLogger(), io.StringIO()
    loggers = [root, *(logging.getLogger(name) for name in (*OURS, *CHATTY))]
    levels = [logger.level for logger in loggers]
    yield stream
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
            root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def begin(form: Format, level: Level, stream: io.StringIO) -> None:
    """As in a new process: pytest has handlers of its own, which it takes away itself."""
    logging.getLogger().handlers.clear()
    set_up(form, level, stream)


def objects(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def fail() -> None:
    try:
        raise KeyError(TYPED)
    except KeyError as error:
        raise ValueError(TYPED) from error


def test_json_is_one_object_a_line(written: io.StringIO) -> None:
    begin("json", "info", written)
    logging.getLogger("bot.herald").warning("A send was cut off: delivery %s\nattempt %d", "1:week-1:welcome", 2,
                                            extra={"delivery": "1:week-1:welcome", "at": date(2027, 1, 1)})
    (line,) = objects(written)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line.pop("time"))).total_seconds() < 60
    assert line == {"level": "warning", "logger": "bot.herald",
                    "message": "A send was cut off: delivery 1:week-1:welcome\nattempt 2",
                    "delivery": "1:week-1:welcome", "at": "2027-01-01"}


def test_text_is_a_line_to_read(written: io.StringIO) -> None:
    begin("text", "info", written)
    logging.getLogger("bot.herald").warning("A send was cut off: %s", "x")
    assert written.getvalue()[24:] == "WARNING bot.herald: A send was cut off: x\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_an_exception_says_is_not_written_but_where_it_was(written: io.StringIO, form: Format) -> None:
    begin(form, "info", written)
    try:
        fail()
    except ValueError:
        logging.getLogger("scheduler.ticker").exception("A tick failed; the pulse goes on")
    said = written.getvalue()
    assert TYPED not in said
    for told in ("A tick failed", "ValueError", "KeyError", "in fail", "test_logs.py"):
        assert told in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_the_system_says_is_written(written: io.StringIO, form: Format) -> None:
    begin(form, "info", written)
    try:
        raise OSError(28, "No space left on device", f"/srv/{TYPED}")
    except OSError:
        logging.getLogger("bot").exception("It failed")
    assert "OSError (No space left on device)" in written.getvalue()
    assert TYPED not in written.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_task_that_nobody_waited_for_tells_no_words(written: io.StringIO, form: Format) -> None:
    """asyncio writes the repr of what it raised."""
    begin(form, "info", written)
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.default_exception_handler({"message": "Task exception was never retrieved",
                                    "exception": ValueError(TYPED), "future": future})
    future.cancel()
    assert "Task exception was never retrieved" in written.getvalue()
    assert "ValueError" in written.getvalue()
    loop.default_exception_handler({"message": "Task exception was never retrieved", "exception": ValueError(TYPED),
                                    "task": f"<Task {TYPED}>"})
    assert TYPED not in written.getvalue()


@pytest.mark.parametrize(("level", "heard"), [
    ("debug", ["bot.x debug", "bot.x info", "other info", "bot.x warning", "other warning", "apscheduler warning",
               "bot.x error"]),
    ("info", ["bot.x info", "other info", "bot.x warning", "other warning", "apscheduler warning", "bot.x error"]),
    ("warning", ["bot.x warning", "other warning", "apscheduler warning", "bot.x error"]),
    ("error", ["bot.x error"])])
def test_the_level_is_the_least_that_is_written_and_libraries_never_write_bodies(
        written: io.StringIO, level: Level, heard: list[str]) -> None:
    begin("json", level, written)
    for name, at in (("bot.x", "debug"), ("other", "debug"), ("bot.x", "info"), ("other", "info"),
                     ("apscheduler", "info"), ("bot.x", "warning"), ("other", "warning"), ("apscheduler", "warning"),
                     ("bot.x", "error")):
        logging.getLogger(name).log(logging.getLevelNamesMapping()[at.upper()], "words")
    assert [f"{line['logger']} {line['level']}" for line in objects(written)] == heard
