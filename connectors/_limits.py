"""Limits of size and shape for everything that comes from outside (X-05, X-06), and decoding inside them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from monitor.core.errors import Malformed
from monitor.core.model import Broken
from monitor.core.privacy import clean

MAX_ITEM = 1_048_576
"""Longest single item, in bytes."""
MAX_FRAME = 8_388_608
"""Longest WebSocket frame or HTTP answer, in bytes: an answer may hold many items."""
MAX_TEXT = 20_000
"""Longest text kept, in characters; a longer one is cut and ends with an ellipsis."""
MAX_DEPTH = 64
"""Deepest nesting of lists and objects."""
MAX_PAYLOAD = 65_536
"""What the quarantine keeps of an unreadable item, in bytes."""
MAX_ID = 200
"""Longest id, in characters."""

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)
_EARLIEST, _LATEST = 1_104_537_600, 4_102_444_800  # 2005-01-01 and 2100-01-01


def clean_text(text: str) -> str:
    """Return ``text`` as it may be kept: no NUL, no lone surrogate, line ends as LF, at most 20,000 characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return clean(text, MAX_TEXT)


def broken(channel: str, error: Malformed, payload: bytes | str, position: str | None = None) -> Broken:
    """Return the quarantined twin of an item that could not be read."""
    data = payload[:MAX_PAYLOAD].encode("utf-8", "replace") if isinstance(payload, str) else payload
    return Broken(channel, error.reason, str(error), bytes(data[:MAX_PAYLOAD]), position)


def _is_deep(data: bytes) -> bool:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for code in _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if code in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _mend_escapes(data: bytes) -> bytes:
    """Return JSON in which escapes of lone surrogates stand for U+FFFD, so that one bad character costs no post."""

    def mended(match: re.Match[bytes]) -> bytes:
        found = match[0]
        return rb"\ufffd" if len(found) == 6 else found

    return _ESCAPES.sub(mended, data)


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        raise Malformed("the item is not UTF-8", "encoding") from error
    except msgspec.ValidationError as error:
        raise Malformed("a number in the item is out of range", "number") from error
    except msgspec.DecodeError as error:
        raise Malformed("the item is not JSON", "json") from error
    except RecursionError as error:
        raise Malformed(f"the item is nested deeper than {MAX_DEPTH}", "too_deep") from error


def decode_json(data: bytes | str, limit: int = MAX_ITEM) -> Any:
    """Return what the JSON text says.

    Args:
        data: one JSON value; a ``str`` may hold lone surrogates.
        limit: longest accepted, in bytes.

    Raises: Malformed with reason ``too_large``, ``too_deep``, ``encoding``, ``number`` or ``json``.
    """
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if len(raw) > limit:
        raise Malformed(f"the item is longer than {limit} bytes", "too_large")
    if _is_deep(raw):
        raise Malformed(f"the item is nested deeper than {MAX_DEPTH}", "too_deep")
    try:
        return _decode(raw)
    except Malformed as error:
        if error.reason != "json" or b"\\u" not in raw:
            raise
        return _decode(_mend_escapes(raw))


def id_of(value: object) -> str | None:
    """Return an id as text, or None when there is none; ids are text because they exceed 2^53 somewhere."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**19 else None
    if isinstance(value, str):
        text = clean(value, MAX_ID + 1).strip()
        return text if 0 < len(text) <= MAX_ID else None
    return None


def words_of(value: object) -> str | None:
    """Return cleaned text, or None when the value is no text or holds no words."""
    if not isinstance(value, str):
        return None
    text = clean_text(value)
    return text if text.strip() else None


def from_unix(value: object) -> datetime | None:
    """Return the moment of a Unix time in seconds or milliseconds, or None when it cannot be true."""
    if isinstance(value, str) and len(value) < 20:
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not abs(value) < 10**18 or not math.isfinite(value):  # a whole number of 400 digits is no float
        return None
    seconds = value / 1000 if value > 10**11 else value
    return datetime.fromtimestamp(seconds, UTC) if _EARLIEST <= seconds <= _LATEST else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def from_text(value: object, zone: tzinfo) -> datetime | None:
    """Return the moment of a date text (RFC 3339 or common shapes), or None; without an offset it is in ``zone``."""
    if not isinstance(value, str) or not 8 <= len(value) <= 40:
        return None
    text = value.strip().replace("/", "-")
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=zone)
        return at.astimezone(UTC) if _EARLIEST <= at.timestamp() <= _LATEST else None
    except (ValueError, OverflowError):
        return None


def moment(value: object, zone: tzinfo = UTC) -> datetime | None:
    """Return the moment of a Unix time, a date text or a datetime, or None when it is none or cannot be true."""
    if isinstance(value, datetime):
        return from_text(value.isoformat(), zone)
    return from_unix(value) or from_text(value, zone)
