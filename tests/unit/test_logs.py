"""Logs are JSON lines of ids and codes; no words of members, names or secrets get through."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from monitor import logs
from monitor.core.errors import Unavailable

WORDS = "我叫王某某，电话 13800000000"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; the former set-up comes back afterwards."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    found = io.StringIO()
    logs.setup("INFO", found)
    yield found
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    logs.get("x")  # back to the quiet default


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_event_is_one_json_line(stream: io.StringIO) -> None:
    logs.get("intake").info("intake.failed", channel="qq", code="store", count=3)
    (line,) = lines(stream)
    assert line == {
        "part": "intake",
        "event": "intake.failed",
        "level": "info",
        "channel": "qq",
        "code": "store",
        "count": 3,
        "timestamp": line["timestamp"],
    }


def test_keys_that_carry_words_are_dropped_at_any_depth(stream: io.StringIO) -> None:
    log = logs.get("x")
    log.info("e", **dict.fromkeys(logs.DROPPED, WORDS))
    log.info("e", detail={"post": {"text": WORDS, "id": 7}, "rows": [{"Author": WORDS}]})
    assert WORDS not in stream.getvalue()
    assert "王某某" not in stream.getvalue()
    assert lines(stream)[1]["detail"] == {"post": {"id": 7}, "rows": [{}]}


def test_an_exception_is_its_type_and_places_only(stream: io.StringIO) -> None:
    try:
        {}[WORDS]
    except KeyError as error:
        logs.get("x").error("broke", error=error)
        logs.get("x").error("broke", exc_info=True)
        logging.getLogger("monitor.x").exception("broke id=%s", 7)
        logging.getLogger("aiohttp.server").exception("Error handling request %s", WORDS)
    assert WORDS not in stream.getvalue()
    for line in lines(stream):
        assert line["error"].startswith("KeyError [test_logs.py:")
    assert [line["event"] for line in lines(stream)][2:] == ["broke id=7", "Error handling request %s"]


def test_our_own_errors_keep_their_sentence(stream: io.StringIO) -> None:
    logs.get("x").error("broke", error=Unavailable("the source does not answer"))
    assert lines(stream)[0]["error"] == "connector.unavailable: the source does not answer"


def test_a_chained_cause_is_not_told(stream: io.StringIO) -> None:
    try:
        try:
            raise ValueError(WORDS)
        except ValueError as cause:
            raise RuntimeError(WORDS) from cause
    except RuntimeError:
        logging.getLogger("connectors.onebot").exception("failed")
    assert WORDS not in stream.getvalue()


def test_others_libraries_tell_their_template_without_what_was_filled_in(stream: io.StringIO) -> None:
    logging.getLogger("urllib3").warning("retry %s of %s", WORDS, {"token": WORDS})
    logging.getLogger("aiohttp.access").info("%s /appeal/%s", "GET", "secret-token")
    assert [line["event"] for line in lines(stream)] == ["retry %s of %s"]


def test_objects_are_named_by_type_not_printed(stream: io.StringIO) -> None:
    class Post:
        def __repr__(self) -> str:
            return WORDS

    logs.get("x").info("e", post=Post(), posts=[Post()])
    assert lines(stream)[0]["posts"] == ["Post"]


def test_a_closed_stream_is_no_error() -> None:
    stream = io.StringIO()
    handler = logs.Lines(stream)
    stream.close()
    handler.emit(logging.LogRecord("monitor", logging.INFO, "", 0, "x", (), None))


@given(st.text(), st.text(max_size=20))
def test_whatever_is_logged_is_one_line_of_json(event: str, value: str) -> None:
    found = io.StringIO()
    handler = logs.Lines(found)
    handler.emit(logging.LogRecord("monitor.x", logging.INFO, "", 0, "%s %s", (event, value), None))
    handler.emit(logging.LogRecord("monitor.x", logging.INFO, "", 0, "%d", (event,), None))
    assert len(found.getvalue().split("\n")) == 3
    assert json.loads(found.getvalue().split("\n")[0])["event"] == f"{event} {value}"


def test_the_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.Lines().emit(logging.LogRecord("monitor", logging.INFO, "", 0, "x", (), None))
    assert json.loads(capsys.readouterr().err)["event"] == "x"
    assert sys.stderr is not None
