"""How `ninety run` writes its log: lines to read, or one JSON object a line.

What members typed may stand in the message of an exception, so of one that nobody expected only the kind and the place
are written, whoever logs it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO, TypeAlias

Format: TypeAlias = Literal["text", "json"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

OURS = ("bot", "content", "scheduler")
CHATTY = ("apscheduler", "alembic")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came as `extra`."""

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def set_up(form: Format, level: Level, stream: TextIO | None = None) -> None:
    """For the whole process; to standard error where no stream is given. `debug` is for our own lines: those of the
    libraries hold what is sent and answered."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(wanted, logging.INFO), handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(wanted, logging.WARNING))


class Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _message(record)
        return super().formatMessage(record)

    def formatException(self, ei: _Raised) -> str:
        return _raised(ei[1])


class Json(logging.Formatter):
    """Time (UTC), level, logger, message; then what was given as `extra`; last, where something was raised."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": _message(record)}
        told |= {name: value for name, value in vars(record).items() if name not in _USUAL and name not in told}
        if record.exc_info and record.exc_info[1] is not None:
            told["raised"] = _raised(record.exc_info[1])
        return json.dumps(told, ensure_ascii=False, default=str)


def _message(record: logging.LogRecord) -> str:
    # asyncio goes on with the repr of the task and of what it raised.
    return record.message.partition("\n")[0] if record.name == "asyncio" else record.message


def _raised(error: BaseException | None) -> str:
    """The place and the kind, also of what it came from. Of the system's errors also the number's own words."""
    if error is None:
        return ""
    said = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join([f"{_raised(cause)}\nThen:\n" if cause is not None else "",
                    *traceback.format_tb(error.__traceback__), f"{type(error).__name__}{said}"])
