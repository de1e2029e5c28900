"""Calling WeChat: the access token from the stable endpoint, and the errors that hide in answers of HTTP 200."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from connectors._http import read_bounded, retry_at
from connectors._limits import MAX_FRAME, decode_json
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable, Uncertain

TOKEN_CODES = frozenset({40001, 40014, 42001})
"""The access token is none, or no longer one."""
NO_RIGHT = 48001
NO_COMMENT = frozenset({88004, 88008})
ANSWERED = 88005

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_EARLY = 300
_ADDRESS = re.compile(r"(?<![0-9a-fA-F:.])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-fA-F:]*::[0-9a-fA-F:]+)")

_REASONS: Mapping[int, str] = {
    40003: "WeChat does not know the member any more",
    43004: "the member must follow the account first",
    45002: "WeChat found the message too long; write a shorter one",
    45015: "the member wrote more than 48 hours ago or does not follow the account; publish a clarification instead",
    45047: "five messages were sent since the member last wrote; wait until they write again",
    NO_RIGHT: "the account has no right to this; WeChat grants it to verified accounts only",
    48004: "WeChat blocked this function for the account; look into its console",
    50005: "the member does not follow the account any more",
    88000: "comments are not open for this article",
    88001: "WeChat does not know the article any more",
    88002: "WeChat's safety limit refused it; do it in the console of the account",
    88003: "no more comments of this article can be chosen; take one back first",
    88004: "the member deleted the comment",
    ANSWERED: "the comment has an answer of the account already; WeChat allows one",
    88007: "WeChat found the answer empty or too long; write a shorter one",
    88008: "the comment is not there any more",
    88009: "the answer is not there any more",
}


class Refused(Rejected):
    """WeChat refused with the code ``number``."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class TokenRefused(Unavailable):
    """WeChat gives no access token; ``number`` is its code, ``address`` ours when it is not on the white list."""

    def __init__(self, message: str, number: int, address: str = "") -> None:
        super().__init__(message)
        self.number = number
        self.address = address


def error_of(step: str, number: int, now: datetime) -> ConnectorError:
    """Return the error that a code of WeChat means."""
    if number == -1:
        return Unavailable("WeChat is busy")
    if number in TOKEN_CODES:
        return TokenRefused("WeChat refused the access token twice", number)
    if number == 45009:
        return RateLimited("WeChat's quota of today is used up", _midnight(now))
    if number == 45011:
        return RateLimited("WeChat was called too often", now + timedelta(seconds=60))
    return Refused(_REASONS.get(number, f"WeChat refused {step} with the code {number}"), number)


def _midnight(now: datetime) -> datetime:
    tomorrow = now.astimezone(_SHANGHAI) + timedelta(days=1)
    return tomorrow.replace(hour=0, minute=1, second=0, microsecond=0).astimezone(UTC)


def _token_error(answer: Mapping[str, Any], now: datetime) -> ConnectorError:
    number = number_of(answer)
    if number in (-1, 45009, 45011):
        return error_of("the access token", number, now)
    found = _ADDRESS.search(str(answer.get("errmsg", ""))) if number == 40164 else None
    return TokenRefused(f"WeChat gives no access token (code {number})", number, found[0] if found else "")


def number_of(answer: Mapping[str, Any], missing: int = 0) -> int:
    """Return WeChat's code in an answer, ``missing`` when there is none."""
    value = answer.get("errcode", missing)
    try:
        return int(value)
    except (TypeError, ValueError):
        return missing


class Api:
    """Calls of one account; every call opens its own connection, so that a lost answer is never a stale socket."""

    def __init__(self, url: str, appid: str, secret: str, seconds: float) -> None:
        self._url = url.rstrip("/")
        self._credential = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._getting = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out what changes something and return the answer.

        Raises: Unavailable (surely not done), RateLimited, Rejected, Uncertain.
        """
        return await self._judged(path, body, missing=1)

    async def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call what changes nothing: no readable answer means Unavailable, never Uncertain."""
        try:
            return await self._judged(path, body, missing=0)
        except Uncertain as error:
            raise Unavailable(str(error)) from None

    async def _judged(self, path: str, body: Mapping[str, Any], missing: int) -> dict[str, Any]:
        """Return a good answer; a token that is no longer one is changed once."""
        token = await self.token()
        answer = await self._post(path, body, token)
        if number_of(answer, missing) in TOKEN_CODES:
            self._forget(token)
            answer = await self._post(path, body, await self.token())
        if "errcode" not in answer and missing:
            raise Uncertain("WeChat's answer does not say whether it was done")
        if number := number_of(answer, missing):
            raise error_of(path.rsplit("/", 1)[-1], number, datetime.now(UTC))
        return answer

    # --- the access token ----------------------------------------------------------------------------

    async def token(self) -> str:
        """Return an access token that is good for some minutes.

        Raises: Unavailable, TokenRefused with WeChat's code, RateLimited.
        """
        async with self._getting:
            if not self._token or time.monotonic() >= self._until:
                await self._get_token()
            return self._token

    def _forget(self, token: str) -> None:
        if token == self._token:
            self._token = ""

    async def _get_token(self) -> None:
        try:
            answer = await self._post("/cgi-bin/stable_token", {**self._credential, "force_refresh": False})
        except Uncertain as error:
            raise Unavailable(str(error)) from None
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise _token_error(answer, datetime.now(UTC))
        life = seconds if isinstance(seconds, int) and 0 < seconds <= 86_400 else 600
        self._token, self._until = token, time.monotonic() + max(life - _EARLY, life / 2)

    # --- one call ------------------------------------------------------------------------------------

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._seconds / 2),
            )
        return self._session

    async def _post(self, path: str, body: Mapping[str, Any], token: str = "") -> dict[str, Any]:
        """Post JSON without escapes (WeChat shows them literally) and return the object that came back."""
        data = json.dumps(body, ensure_ascii=False).encode()
        query = {"access_token": token} if token else {}
        try:
            async with self._client().post(
                self._url + path,
                params=query,
                data=data,
                headers={"Content-Type": "application/json; charset=utf-8"},
                allow_redirects=False,
            ) as response:
                return _read(response.status, response.headers, await read_bounded(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("WeChat's address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed, RuntimeError):
            raise Uncertain(f"WeChat did not answer readably within {self._seconds:g} s") from None

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _read(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the object of an answer; a page of a proxy, whatever its status, is none."""
    if status == 429:
        raise RateLimited("WeChat asks to wait", retry_at(headers.get("Retry-After"), datetime.now(UTC)))
    if 300 <= status < 500 and status != 408:
        raise Unavailable(f"WeChat answered HTTP {status}")
    try:
        answer = decode_json(body, MAX_FRAME)
    except Malformed:
        answer = None
    if not isinstance(answer, dict) or status >= 500:
        raise Uncertain(f"WeChat's answer cannot be read (HTTP {status})")
    return answer


__all__ = [
    "ANSWERED",
    "Api",
    "NO_COMMENT",
    "NO_RIGHT",
    "Refused",
    "TOKEN_CODES",
    "TokenRefused",
    "error_of",
    "retry_at",
]
