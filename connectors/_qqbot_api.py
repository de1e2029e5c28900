"""Calling the QQ bot API: the access token and its renewal, answers of bounded size, errors of ours only."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from connectors import _qqbot_errors as errors
from connectors._http import read_bounded
from connectors._limits import MAX_ITEM, decode_json
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable, Uncertain

_log = logging.getLogger("connectors.qqbot")
_TRACE: Final = re.compile(r"[A-Za-z0-9_\-]{1,80}", re.ASCII)
_SPARE: Final = 90.0
"""Seconds before its end at which a token is renewed; the platform gives a new one in the last 60."""
_SHORTEST: Final = 5.0


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach the platform: addresses, who we are, and patience in seconds."""

    channel: str
    api_url: str
    token_url: str
    app_id: str
    secret: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, the object of the body (None when there is none), and the wait it asks for."""

    status: int
    body: Mapping[str, Any] | None
    is_empty: bool
    retry_after: str | None
    trace: str


def path(*parts: str) -> str:
    """Return a path of parts that may hold any character; ids of messages are base64."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself, which it does when a connection breaks."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise Uncertain("the connection to QQ broke before the answer") from None


class Api:
    """The calls of one bot; sessions are opened at the first call and closed by :meth:`close`."""

    def __init__(self, door: Door, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._door = door
        self._now = now
        self._http: aiohttp.ClientSession | None = None
        self._token = ""
        self._good_until = 0.0
        self._renewing = asyncio.Lock()
        self._closed = False
        self.renewals = 0

    def session(self) -> aiohttp.ClientSession:
        """Return the HTTP session; raises Unavailable after :meth:`close`."""
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._http is None:
            # A connection of its own for every call: one that QQ closed meanwhile would make a send uncertain.
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once,),
            )
        return self._http

    async def close(self) -> None:
        """Close the session; may be called twice."""
        self._closed = True
        if self._http is not None:
            await self._http.close()
            self._http = None

    # --- the token -----------------------------------------------------------------------------------

    async def token(self) -> str:
        """Return a token that is good for a while yet; many who ask at once renew it once.

        Raises: Unavailable, RateLimited, CredentialsRefused.
        """
        async with self._renewing:
            if not self._token or asyncio.get_running_loop().time() >= self._good_until:
                await self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """Renew before the next call, unless somebody else has done so already."""
        if token == self._token:
            self._token = ""

    async def _renew(self) -> None:
        body = {"appId": self._door.app_id, "clientSecret": self._door.secret}
        asked = asyncio.get_running_loop().time()
        try:
            answer = await self._send("POST", self._door.token_url, body, {})
        except Uncertain as error:
            raise Unavailable(str(error)) from None
        given = answer.body or {}
        token, seconds = given.get("access_token"), _seconds(given.get("expires_in"))
        if (
            isinstance(token, str)
            and token
            and token.isascii()
            and token.isprintable()
            and seconds is not None
        ):
            self._token, self.renewals = token, self.renewals + 1
            self._good_until = asked + max(seconds - _SPARE, _SHORTEST)
            return
        found = self._error("get a token", answer, errors.code_of(given))
        raise found if isinstance(found, RateLimited | Rejected) else Unavailable("QQ gave no access token")

    # --- calls ---------------------------------------------------------------------------------------

    async def call(self, what: str, method: str, where: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Make one call that changes something; an old token is renewed once, for nothing was done with it.

        Args:
            what: the call in words, for errors.
            method: HTTP method.
            where: path with its parts quoted (see :func:`path`).
            body: JSON body.

        Raises: Unavailable (surely not done), RateLimited, Rejected, Uncertain.
        """
        try:
            return await self._once(what, method, where, body)
        except errors.TokenStale:
            pass
        try:
            return await self._once(what, method, where, body)
        except errors.TokenStale:
            raise Rejected("QQ takes no access token of this bot; check app id and secret") from None

    async def ask(self, what: str, where: str) -> Mapping[str, Any]:
        """Return the object of an answer to a call that changes nothing; no answer means Unavailable."""
        try:
            answer = await self.call(what, "GET", where)
        except Uncertain as error:
            raise Unavailable(str(error)) from None
        if answer.body is None:
            raise Unavailable(f"QQ answered something that cannot be read when asked to {what}")
        return answer.body

    async def _once(self, what: str, method: str, where: str, body: Mapping[str, Any] | None) -> Answer:
        token = await self.token()
        headers = {"Authorization": f"QQBot {token}"}
        answer = await self._send(method, self._door.api_url + where, body, headers)
        code = errors.code_of(answer.body or {})
        is_good = 200 <= answer.status < 300 and code is None and (answer.body is not None or answer.is_empty)
        if is_good:
            return answer
        error = self._error(what, answer, code)
        if isinstance(error, errors.TokenStale):
            self.forget(token)
        raise error

    def _error(self, what: str, answer: Answer, code: int | None) -> ConnectorError:
        error = errors.error_of(what, answer.status, code, answer.retry_after, self._now())
        told = (self._door.channel, answer.status, code or "none", answer.trace or "none")
        _log.info("qqbot.refused channel=%s status=%s code=%s trace=%s", *told)
        return error

    async def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request; raises Unavailable when it surely did not leave, Uncertain when no answer came."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        kind = {} if data is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            async with self.session().request(
                method,
                URL(url, encoded=True),
                data=data,
                headers={**headers, **kind},
                timeout=aiohttp.ClientTimeout(total=self._door.seconds, connect=self._door.seconds / 2),
                allow_redirects=False,
            ) as response:
                return _read(response, await read_bounded(response, MAX_ITEM))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("the address of QQ's bot service does not answer") from None
        except (aiohttp.ClientError, OSError, TimeoutError, Malformed):
            raise Uncertain(f"QQ did not answer readably within {self._door.seconds:g} s") from None


def _read(response: aiohttp.ClientResponse, raw: bytes) -> Answer:
    body: Any = None
    try:
        body = decode_json(raw) if raw.strip() else None
    except Malformed:
        body = None
    found = body if isinstance(body, dict) else None
    trace = response.headers.get("X-Tps-trace-ID") or (found or {}).get("trace_id")
    known = trace if isinstance(trace, str) and _TRACE.fullmatch(trace) else ""
    return Answer(response.status, found, not raw.strip(), response.headers.get("Retry-After"), known)


def _seconds(value: object) -> float | None:
    """Return the life of a token, which the platform gives as number or text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9
    return float(value) if is_number else None  # type: ignore[arg-type]


__all__ = ["Answer", "Api", "Door", "path"]
