"""Calling Weibo's open platform: the access token of a person, and errors that are numbers or texts (section 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from connectors._http import read_bounded, retry_at
from connectors._limits import MAX_FRAME, decode_json, id_of
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable, Uncertain

TOKEN_CODES = frozenset({21314, 21315, 21316, 21317, 21318, 21319, 21327, 21332})
"""The access token is none, or no longer one: a person has to authorise again."""
NO_RIGHT = frozenset({10004, 10006, 10014, 21321})
NO_COMMENT = 20201
NO_POST = 20101
NOT_OURS = frozenset({20102, 20203})
REPEATED = frozenset({20017, 20019})
DELAYED = 20032

_QUOTA = frozenset({10022, 10023, 10024})
_BUSY = frozenset({10009})
_SYSTEM = frozenset({10001, 10002, 10003, 10010})

_REASONS: Mapping[int, str] = {
    10004: "Weibo does not let this machine's address call; enter it in the app's console",
    10006: "Weibo asks for the app's key; check the access token",
    10014: "the app has no right to this; apply for it in the app's console",
    20008: "Weibo found the answer empty",
    20012: "Weibo found the answer too long: it takes 140 Chinese characters; write a shorter one",
    20017: "Weibo says the same words were sent already",
    20018: "Weibo refuses a link or words of the answer; change it",
    20019: "Weibo says the same words were sent already",
    20020: "Weibo refuses the answer as an advertisement; change it",
    20021: "Weibo refuses words of the answer; change it",
    20022: "Weibo refuses words of the answer; change it",
    20031: "Weibo asks for an image code; answer in the app of Weibo this time",
    NO_POST: "the post is not there any more",
    20102: "Weibo lets only the author delete this; delete it in the app of Weibo",
    NO_COMMENT: "the comment is not there any more",
    20203: "Weibo lets only the author delete this; delete it in the app of Weibo",
    20206: "the author lets nobody comment; publish a clarification instead",
    20207: "the author lets only some people comment; publish a clarification instead",
    21321: "the app is not audited yet; only its testers may use it",
}


class Refused(Rejected):
    """Weibo refused with the code ``number``."""

    def __init__(self, number: int, what: str = "it") -> None:
        super().__init__(_REASONS.get(number, f"Weibo refused {what} with the code {number}"))
        self.number = number


class TokenRefused(Unavailable):
    """The access token is no longer good; ``number`` is Weibo's code."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the access token is no longer good (code {number}); a person has to authorise again"
        )
        self.number = number


def error_of(number: int, what: str, now: datetime) -> ConnectorError:
    """Return the error that a code of Weibo means."""
    if number in TOKEN_CODES:
        return TokenRefused(number)
    if number in _QUOTA:
        return RateLimited("Weibo's quota is used up", _next_hour(now))
    if number == 20016:
        return RateLimited("Weibo was called too often", now + timedelta(seconds=60))
    if number in _BUSY:
        return Unavailable("Weibo is busy")
    if number in _SYSTEM:
        return Uncertain(f"Weibo failed inside (code {number})")
    return Refused(number, what)


def _next_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=5, microsecond=0) + timedelta(hours=1)


def number_of(answer: object) -> int:
    """Return the code in an answer, which comes as a number or as a text; 0 when there is none."""
    value = answer.get("error_code") if isinstance(answer, dict) else None
    text = id_of(value)
    return (
        int(text)
        if text is not None and text.isascii() and text.isdigit() and len(text) < 9
        else int(bool(text))
    )


class Token:
    """Whose access token it is, and until when."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        seconds = answer.get("expire_in", answer.get("expires_in"))
        text = id_of(seconds) or ""
        self.uid = id_of(answer.get("uid")) or ""
        self.until = time.time() + int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None

    @property
    def days(self) -> int | None:
        """Return for how many whole days it is good, None when Weibo does not say."""
        return None if self.until is None else max(0, int((self.until - time.time()) // 86_400))


class Api:
    """Calls of one account; every call opens its own connection, so that a lost answer is never a stale socket.

    Args:
        url: address of the open interface.
        commercial: address of the commercial one, empty without a contract.
        token: the account's access token.
        seconds: how long to wait for an answer.
    """

    def __init__(self, url: str, commercial: str, token: str, seconds: float) -> None:
        self._url = url.rstrip("/")
        self._commercial = commercial.rstrip("/")
        self._token = token
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._asking = asyncio.Lock()
        self._owner: Token | None = None

    @property
    def is_commercial(self) -> bool:
        """Say whether there is a contract for the commercial interface."""
        return bool(self._commercial)

    async def owner(self) -> Token:
        """Return whose token it is; asked once.

        Raises: Unavailable, TokenRefused, RateLimited, Refused.
        """
        async with self._asking:
            if self._owner is None:
                answer = await self._read("POST", f"{self._url}/oauth2/get_token_info", {})
                found = Token(answer if isinstance(answer, dict) else {})
                if not found.uid:
                    raise Unavailable("Weibo does not say whose access token it is")
                self._owner = found
            return self._owner

    def forget_owner(self) -> None:
        """Ask anew whose token it is the next time."""
        self._owner = None

    async def ask(self, name: str, params: Mapping[str, str], *, commercial: bool = True) -> Any:
        """Call what changes nothing, by the commercial interface where there is a contract and it is wanted.

        Raises: Unavailable, TokenRefused, RateLimited, Refused.
        """
        return await self._read("GET", self._where(name, commercial), params)

    async def call(self, name: str, form: Mapping[str, str], *, commercial: bool = False) -> dict[str, Any]:
        """Carry out what changes something and return the answer.

        Raises: Unavailable (surely not done), RateLimited, Refused, Uncertain.
        """
        answer = await self._judged("POST", self._where(name, commercial), form)
        if not isinstance(answer, dict):
            raise Uncertain("Weibo's answer does not say whether it was done")
        return answer

    def _where(self, name: str, commercial: bool) -> str:
        if commercial and self._commercial:
            return f"{self._commercial}/2/{name}/biz.json"
        return f"{self._url}/2/{name}.json"

    async def _read(self, method: str, url: str, params: Mapping[str, str]) -> Any:
        try:
            return await self._judged(method, url, params)
        except Uncertain as error:
            raise Unavailable(str(error)) from None

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

    async def _judged(self, method: str, url: str, params: Mapping[str, str]) -> Any:
        """Make one request, judge it by the code inside, and return what came."""
        given = {**params, "access_token": self._token}
        query, form = (given, None) if method == "GET" else (None, given)
        try:
            async with self._client().request(
                method, url, params=query, data=form, allow_redirects=False
            ) as response:
                body = await read_bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("Weibo's address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed, RuntimeError):
            raise Uncertain(f"Weibo did not answer readably within {self._seconds:g} s") from None
        now = datetime.now(UTC)
        if response.status == 429:
            raise RateLimited("Weibo asks to wait", retry_at(response.headers.get("Retry-After"), now))
        answer = _value(body)
        if number := number_of(answer):
            raise error_of(number, "it", now)
        if 300 <= response.status < 500 and response.status != 408:
            raise Unavailable(f"Weibo answered HTTP {response.status}")
        if answer is None or response.status != 200:
            raise Uncertain(f"Weibo's answer cannot be read (HTTP {response.status})")
        return answer

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _value(body: bytes) -> Any:
    try:
        found = decode_json(body, MAX_FRAME)
    except Malformed:
        return None
    return found if isinstance(found, (dict, list)) else None


__all__ = [
    "Api",
    "DELAYED",
    "NOT_OURS",
    "NO_COMMENT",
    "NO_POST",
    "NO_RIGHT",
    "REPEATED",
    "Refused",
    "TOKEN_CODES",
    "Token",
    "TokenRefused",
    "error_of",
    "number_of",
]
