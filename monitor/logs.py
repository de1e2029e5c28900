"""Logs: JSON lines on stderr that hold ids, codes and counts, never words of members, names or secrets.

Three fences: keys that could carry words are dropped; of an exception only its type and its places are kept; of a
record of somebody else's library only the template is kept, without what was filled in.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from monitor.core.errors import HuiyinError

OURS: Final = ("monitor", "connectors", "classifiers", "review_ui")
DROPPED: Final = frozenset(
    {
        "text", "texts", "quoted", "quote", "author", "authors", "name", "nickname", "title", "contact", "body",
        "payload", "note", "reason_text", "explanation", "draft", "answer", "query", "cookie", "cookies", "headers",
        "password", "secret", "token", "receipt", "sid", "key", "address", "remote", "ip", "email", "phone",
    }
)  # fmt: skip
"""Keys whose values never reach the log."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def dropped(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out every key that could hold words, names or secrets, at any depth."""
    return {key: _clean(value) for key, value in event.items() if key.lower() not in DROPPED}


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in value.items() if str(k).lower() not in DROPPED}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(each) for each in value]
    if isinstance(value, BaseException):
        return described(value)
    return value if isinstance(value, str | int | float | bool) or value is None else type(value).__name__


def described(error: BaseException) -> str:
    """Return an error as it may be logged: our own ones with code and sentence, others by type and places."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}:{f.name}" for f in reversed(frames))
    told = f"{error.code}: {error}" if isinstance(error, HuiyinError) else type(error).__name__
    return f"{told} [{places}]" if places else told


def exceptions(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace ``exc_info`` by the error's type and places."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["error"] = described(error)
    return event


class Lines(logging.Handler):
    """Writes records of the standard library as the same JSON lines."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._lines = _Stream(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        ours = record.name.split(".")[0] in OURS
        event: dict[str, Any] = {"event": _told(record) if ours else str(record.msg)[:200]}
        event |= {"level": record.levelname.lower(), "logger": record.name}
        if ours:
            event |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        event = dict(dropped(None, "", exceptions(None, "", event | {"exc_info": record.exc_info})))
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        line = json.dumps(stamp(None, "", event), ensure_ascii=False, default=str)
        self._lines.msg(line)


def _told(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


class _Stream:
    """Writes rendered lines to ``stream``, or to what stderr is at that moment."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line; a stream that is gone is no error."""
        stream = self._stream or sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = msg


def _configure(level: str, stream: TextIO | None) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            exceptions,
            dropped,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_args: _Stream(stream),
        cache_logger_on_first_use=False,
    )


def setup(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library to stderr (or ``stream``) as JSON lines."""
    root = logging.getLogger()
    root.handlers[:] = [Lines(stream)]
    root.setLevel(level)
    for name in ("aiohttp.access", "asyncio", "alembic", "sqlalchemy", "streamlit", "watchdog"):
        logging.getLogger(name).setLevel("WARNING")
    _configure(level, stream)


def keep_words_of_crashes() -> None:
    """Let an error that nobody caught be told by type and places only, in this process and its threads."""

    def told(_kind: Any, error: BaseException, _trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            return
        get("crash").critical("crashed", error=error)

    sys.excepthook = told
    threading.excepthook = lambda given: told(None, given.exc_value or RuntimeError(), None)


def get(part: str) -> Any:
    """Return the logger of one part of the service; before :func:`setup` only warnings are written."""
    if not structlog.is_configured():
        _configure("WARNING", None)
    return structlog.get_logger(part=part)
