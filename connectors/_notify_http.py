"""What notifiers over HTTP share: one JSON request, an answer of bounded size, and what a failure means.

Addresses of robots are secrets: they never stand in an error, a log or a health message, and no redirect is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from connectors._http import read_bounded
from connectors._limits import decode_json
from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain

LONGEST_ANSWER: Final = 65_536
LONGEST_WAIT: Final = 86_400.0
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")


def is_address(url: str) -> bool:
    """Say whether a message may be sent there: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL))


def cut(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` bytes of UTF-8, with an ellipsis where something is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: max(0, limit - 3)].decode("utf-8", "ignore") + "…"


class Post:
    """Sends JSON to one address."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=seconds, connect=min(seconds, 5.0))

    async def send(
        self, body: bytes, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a body and return status, answer and headers.

        Raises: Unavailable (surely not arrived), Uncertain (may have arrived).
        """
        given = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.post(
                    self._url, data=body, headers=given, params=query, allow_redirects=False
                ) as response,
            ):
                return response.status, await read_bounded(response, LONGEST_ANSWER), response.headers
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
            raise Unavailable("the other side cannot be reached") from None
        except (TimeoutError, aiohttp.ClientError, OSError, Malformed, ValueError):
            raise Uncertain("the message was sent and no answer came that can be read") from None


def judged(status: int, headers: Mapping[str, str]) -> None:
    """Raise what a status of HTTP means for a message; return when it was taken.

    Raises: RateLimited, Rejected, Unavailable; Uncertain for a server that failed on its way.
    """
    if 200 <= status < 300:
        return
    if status == 429:
        raise RateLimited("the other side asks to wait", wait_until(headers.get("Retry-After", "")))
    if status == 503:
        raise Unavailable("the other side takes nothing now (503)")
    if status >= 500:
        raise Uncertain(f"the other side failed ({status}): nobody knows whether the message arrived")
    raise Rejected(f"the other side refused the message ({status}): check the address")


def wait_until(retry_after: str, usual: float = 60.0) -> datetime:
    """Return the moment that a ``Retry-After`` names (RFC 9110 10.2.3), bounded; a minute from now when it names none."""
    now = datetime.now(UTC)
    seconds = usual
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9:
        seconds = float(retry_after)
    elif retry_after:
        try:
            seconds = (parsedate_to_datetime(retry_after) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            seconds = usual
    return now + timedelta(seconds=min(max(seconds, 1.0), LONGEST_WAIT))


def code_in(answer: bytes, *names: str) -> int | None:
    """Return the code that a robot's answer holds under the first of ``names``: HTTP says 200 also to a refusal.

    Returns: None when there is none, as on the page of a proxy.
    """
    try:
        told: Any = decode_json(answer, LONGEST_ANSWER)
    except Malformed:
        return None
    if not isinstance(told, dict):
        return None
    for name in names:
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return JSON."""
    return msgspec.json.encode(body)


__all__ = ["Post", "code_in", "cut", "encoded", "is_address", "judged", "wait_until"]
