"""Calling a comment system over HTTP: JSON both ways, and what is surely known when it fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from connectors._http import read_bounded, retry_at
from connectors._limits import MAX_FRAME, decode_json
from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain

_JUDGED_5XX: Final = frozenset({501})
"""Statuses above 499 that a program chooses itself, and that say that nothing was done."""


class SignInRefused(Unavailable):
    """The site does not take our credential: nothing was done, and a person has to mend the settings."""


class Blocked(Unavailable):
    """Something before the program answered in its place: a firewall, a sign-in page, a wrong address."""


class NeedsPerson(Rejected):
    """The site wants what only a person can give: a captcha, a second factor."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in JSON; its status and what stands in it are for the caller to judge."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Site:
    """Calls to one address; every call opens its own connection, so that a lost answer is never a stale socket.

    Redirects are not followed: they would carry the credential to somebody else.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Carry out what may change something.

        Raises: Unavailable (surely not done), RateLimited, Uncertain.
        """
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        kind = {} if data is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            async with self._client().request(
                method,
                self._url + path,
                params=query,
                data=data,
                headers={"Accept": "application/json", **kind, **(headers or {})},
                allow_redirects=False,
            ) as response:
                return _read(response.status, response.headers, await read_bounded(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
            raise Unavailable("the site's address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed, RuntimeError):
            raise Uncertain(f"the site did not answer readably within {self._seconds:g} s") from None

    async def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Answer:
        """Call what changes nothing: no readable answer means Unavailable, never Uncertain."""
        try:
            return await self.call(method, path, query, body, headers)
        except Uncertain as error:
            raise Unavailable(str(error)) from None

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._seconds / 2),
            )
            self._session._retry_connection = False  # else a PUT or DELETE whose answer is lost leaves twice
        return self._session

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _read(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    if status == 429:
        raise RateLimited("the site asks to wait", retry_at(headers.get("Retry-After"), datetime.now(UTC)))
    if 300 <= status < 400:
        raise Blocked(f"the site leads elsewhere (HTTP {status}); enter the address that it leads to")
    if status >= 500 and status not in _JUDGED_5XX:
        raise Uncertain(f"the site failed (HTTP {status})")
    try:
        return Answer(status, headers, decode_json(body, MAX_FRAME))
    except Malformed:
        if status >= 400:
            raise Blocked(f"the site answered HTTP {status} without JSON") from None
        raise Uncertain(f"the site's answer is no JSON (HTTP {status})") from None


__all__ = ["Answer", "Blocked", "NeedsPerson", "SignInRefused", "Site"]
