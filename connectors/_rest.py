"""JSON over HTTP: one call, one connection, and what is known of a call whose answer is lost.

Every call opens its own connection, so that a lost answer is never a stale socket; no redirect is followed, because a
key must not reach another host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from connectors._http import read_bounded
from connectors._limits import MAX_FRAME, decode_json
from monitor.core.errors import Malformed, Unavailable, Uncertain

_AGENT: Final = "Huiyin (channel of the union)"
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers and body as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """Say whether it is a page for people, as a proxy or a sign-in page answers."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return kind in ("text/html", "application/xhtml+xml") and bool(self.body.strip())

    def value(self) -> Any:
        """Return the JSON value of the body, or None when it is none."""
        try:
            return decode_json(self.body, MAX_FRAME)
        except Malformed:
            return None

    def object(self) -> dict[str, Any] | None:
        """Return the JSON object of the body, or None when it is none."""
        found = self.value()
        return found if isinstance(found, dict) else None


class Rest:
    """Calls to one site.

    Args:
        url: address of the site, with the folder that it is installed in.
        headers: sent with every call; they may hold a key.
        seconds: how long to wait for an answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str], seconds: float) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": _AGENT, **headers}
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(self, path: str, query: Query = ()) -> Answer:
        """Ask for something. Raises: Unavailable when no whole answer came."""
        try:
            return await self.send("GET", path, None, query)
        except Uncertain as error:
            raise Unavailable(str(error)) from None

    async def send(self, method: str, path: str, body: Any = None, query: Query = ()) -> Answer:
        """Change something, with ``body`` as JSON when there is one.

        Raises: Unavailable (nothing was sent), Uncertain (the answer is lost).
        """
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            async with self._client().request(
                method, self._url + path, params=query, data=data, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, response.headers, await read_bounded(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("the address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed, RuntimeError):
            raise Uncertain(f"no readable answer came within {self._seconds:g} s") from None

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._seconds / 2),
                headers=self._headers,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


__all__ = ["Answer", "Query", "Rest"]
