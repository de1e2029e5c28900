"""Calling NodeBB with a user token, and what its answers mean (NodeBB 4, public/openapi; tried on a real one)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from connectors._http import retry_at
from connectors._rest import Answer, Query, Rest
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain

_REASONS: Final[Mapping[int, str]] = {
    400: "NodeBB did not take it: too short, too fast, or not for this account",
    401: "NodeBB does not know the token",
    403: "NodeBB refused: the token's user has no right to this",
    404: "the post, topic or member is not there any more",
}


class Refused(Rejected):
    """NodeBB refused with HTTP ``status``."""

    def __init__(self, status: int) -> None:
        super().__init__(_REASONS.get(status, f"NodeBB refused the call (HTTP {status})"))
        self.status = status


def error_of(answer: Answer) -> ConnectorError | None:
    """Return what a bad answer means; Uncertain where nobody can know whether it was done."""
    status = answer.status
    if status == 429:
        return RateLimited(
            "NodeBB asks to wait", retry_at(answer.headers.get("Retry-After"), datetime.now(UTC))
        )
    if 300 <= status < 400:
        return Unavailable("the address leads elsewhere; write the forum's final address into `url`")
    if answer.is_page or status >= 500 or status in (100, 408):
        is_refused = 400 <= status < 500 and status != 408
        words = f"something before NodeBB answered, or NodeBB failed (HTTP {status})"
        return Unavailable(words) if is_refused else Uncertain(words)
    return Refused(status) if status >= 400 else None


class Api:
    """Calls of one token."""

    def __init__(self, url: str, token: str, seconds: float) -> None:
        self._rest = Rest(url, {"Authorization": f"Bearer {token}"}, seconds)

    async def ask(self, path: str, query: Query = ()) -> Any:
        """Return the JSON value at ``path``; what v3 wraps is unwrapped.

        Raises: Unavailable, RateLimited, Refused.
        """
        answer = await self._rest.get(path, query)
        error = error_of(answer)
        if isinstance(error, Uncertain):
            raise Unavailable(str(error))
        if error is not None:
            raise error
        found = answer.value()
        if path.startswith("/api/v3/"):
            found = found.get("response") if isinstance(found, dict) else None
        if not isinstance(found, dict | list):
            raise Unavailable("what answers is not NodeBB: it sent no JSON")
        return found

    async def object(self, path: str, query: Query = ()) -> dict[str, Any]:
        """Return the object at ``path``, as :meth:`ask` does."""
        found = await self.ask(path, query)
        if not isinstance(found, dict):
            raise Unavailable("NodeBB answers in an unknown shape")
        return found

    async def act(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Change something and return the ``response`` of the answer.

        Raises: Unavailable (surely not done), RateLimited, Refused, Uncertain.
        """
        answer = await self._rest.send(method, path, {} if body is None else body)
        error = error_of(answer)
        if error is not None:
            raise error
        told = answer.object() or {}
        status, response = told.get("status"), told.get("response")
        if not isinstance(status, dict) or status.get("code") not in ("ok", "accepted"):
            raise Uncertain("NodeBB's answer does not say whether it was done")
        return response if isinstance(response, dict) else {}

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        await self._rest.close()


__all__ = ["Api", "Refused", "error_of"]
