"""Calling Discourse with an API key, and what its answers mean (Discourse API documentation, 2026-08)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors._http import LONGEST_WAIT, retry_at
from connectors._rest import Answer, Query, Rest
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain

_REASONS: Final[Mapping[int, str]] = {
    400: "Discourse did not understand the call; look whether its version is supported",
    401: "Discourse does not know the API key",
    403: "Discourse refused: the API key or its user has no right to this",
    404: "the post, topic or member is not there any more",
    409: "somebody else was faster, or it is so already",
    410: "the post or topic was removed for good",
    422: "Discourse did not take the words: too short, too long, or said just before",
}


class Refused(Rejected):
    """Discourse refused with HTTP ``status``; ``kind`` is its ``error_type`` (empty when it names none)."""

    def __init__(self, status: int, kind: str = "") -> None:
        super().__init__(_REASONS.get(status, f"Discourse refused the call (HTTP {status})"))
        self.status = status
        self.kind = kind


def _wait_of(answer: Answer, now: datetime) -> datetime:
    """Return when to try again after a 429 of either shape: a header, or ``extras.wait_seconds`` in JSON."""
    if answer.headers.get("Retry-After"):
        return retry_at(answer.headers["Retry-After"], now)
    extras = (answer.object() or {}).get("extras")
    seconds = extras.get("wait_seconds") if isinstance(extras, dict) else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 10**7:
        return now + min(max(timedelta(seconds=seconds), timedelta(seconds=1)), LONGEST_WAIT)
    return retry_at(None, now)


def error_of(answer: Answer, now: datetime) -> ConnectorError | None:
    """Return what a bad answer means; Uncertain where nobody can know whether it was done."""
    status = answer.status
    if status == 429:
        return RateLimited("Discourse asks to wait", _wait_of(answer, now))
    if 300 <= status < 400:
        return Unavailable("the address leads elsewhere; write the forum's final address into `url`")
    if answer.is_page or status >= 500 or status in (100, 408):
        is_refused = 400 <= status < 500 and status != 408
        words = f"something before Discourse answered, or Discourse failed (HTTP {status})"
        return Unavailable(words) if is_refused else Uncertain(words)
    if status >= 400:
        kind = (answer.object() or {}).get("error_type")
        return Refused(status, kind if isinstance(kind, str) else "")
    return None


class Api:
    """Calls of one API key."""

    def __init__(self, url: str, key: str, username: str, seconds: float) -> None:
        self._rest = Rest(url, {"Api-Key": key, "Api-Username": username}, seconds)
        self.username = username

    async def ask(self, path: str, query: Query = ()) -> dict[str, Any]:
        """Return the object at ``path``. Raises: Unavailable, RateLimited, Refused."""
        answer = await self._rest.get(path, query)
        error = error_of(answer, datetime.now(UTC))
        if isinstance(error, Uncertain):
            raise Unavailable(str(error))
        if error is not None:
            raise error
        found = answer.object()
        if found is None:
            raise Unavailable("what answers is not Discourse: it sent no JSON object")
        return found

    async def act(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Change something and return what came back (an empty object for an empty answer).

        Raises: Unavailable (surely not done), RateLimited, Refused, Uncertain.
        """
        answer = await self._rest.send(method, path, body)
        error = error_of(answer, datetime.now(UTC))
        if error is not None:
            raise error
        if not answer.body.strip():
            return {}
        found = answer.object()
        if found is None:
            raise Uncertain("Discourse's answer cannot be read")
        return found

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        await self._rest.close()


__all__ = ["Api", "Refused", "error_of"]
