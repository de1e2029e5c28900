"""Calling a Discuz! forum: signing in, the form hash, and the failures that look like pages (section 7.4)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from connectors._discuz_wire import Answer, is_page, read_answer
from connectors._http import read_bounded, retry_at
from connectors._limits import id_of
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable, Uncertain

_PATH = "/api/mobile/index.php"
_COOKIES = re.compile(r"([A-Za-z0-9_]{1,60}_(?:auth|saltkey))=([^;\s]{1,1000})")
_CLOSED = frozenset({"mobile_is_closed", "module_not_exists"})
_FLOOD = "post_flood_ctrl"

_REASONS: Mapping[str, str] = {
    "admin_nopermission": "the account may not do this; make it a moderator of this forum",
    "admin_moderate_invalid": "the topic is not there any more",
    "thread_nonexistence": "the topic is not there any more",
    "forum_nonexistence": "the forum is not there any more",
    "post_not_found": "the post is not there any more",
    "post_message_tooshort": "the forum found the answer too short; write a longer one",
    "post_message_toolong": "the forum found the answer too long; write a shorter one",
    "post_thread_closed": "the topic is closed to answers; open it, or answer in a new topic",
    "post_thread_closed_by_dateline": "the topic is closed to answers because of its age; answer in a new topic",
    "post_sm_isnull": "there are no words to say",
    "word_banned": "the forum refuses a word of the answer; change it, or the forum's list of words",
    "no_privilege_newbiespan": "the account is too new to write here; wait, or shorten the forum's time for newcomers",
    "submit_seccode_invalid": "the forum asks for an image code; exempt the account from it",
    "submit_secqaa_invalid": "the forum asks a question before writing; exempt the account from it",
    "replyperm_none_nopermission": "the account may not answer in this forum; give its group the right to",
    "replyperm_login_nopermission": "the forum takes us for a visitor; check the account",
}


class Closed(Unavailable):
    """The forum's interface for mobile programs is switched off, or a firewall stands before it."""


class Moved(Unavailable):
    """The forum sends us to another address; nothing is followed there with a password."""


class Unreadable(Unavailable):
    """The forum answered with data that cannot be read; ``reason`` is that of the Malformed."""

    def __init__(self, reason: str) -> None:
        super().__init__("the forum's answer cannot be read")
        self.reason = reason


class SignInRefused(Unavailable):
    """The forum does not let the account in; ``name`` is its message."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the forum does not let the account in ({name})")
        self.name = name


class Refused(Rejected):
    """The forum refused with the message ``name``."""

    def __init__(self, name: str, what: str = "it") -> None:
        super().__init__(_REASONS.get(name, f"the forum refused {what} ({name or 'without a word'})"))
        self.name = name


class _HashRefused(Exception):
    """The form hash was none of this session's: nothing was done."""


def error_of(name: str, what: str, now: datetime) -> ConnectorError:
    """Return the error that a message of the forum means."""
    if name.startswith(_FLOOD):
        seconds = 3600 if "hour" in name else 20
        return RateLimited("the forum asks to wait between two posts", now + timedelta(seconds=seconds))
    return Refused(name, what)


def cookies_in(password: str) -> dict[str, str]:
    """Return the cookies of a signed-in browser, when that is what stands in the place of a password."""
    found = dict(_COOKIES.findall(password))
    return found if any(name.endswith("_auth") for name in found) else {}


class Api:
    """Calls of one account, or of a visitor where ``username`` and cookies are missing.

    Every call opens its own connection, so that a lost answer is never a stale socket. After the forum refused to
    let the account in, it is left alone for ``rest`` seconds: every try counts towards locking the account.
    """

    def __init__(self, url: str, username: str, password: str, seconds: float, rest: float) -> None:
        self._url = url
        self._username = username
        self._password = password
        self._cookies = cookies_in(password)
        self._seconds = seconds
        self._rest = rest
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._entering = asyncio.Lock()
        self._refused: tuple[float, str] = (0.0, "")
        self._hash = ""
        self._charset = ""
        self.uid = ""

    @property
    def is_visitor(self) -> bool:
        """Say whether there is no account."""
        return not (self._username or self._cookies)

    # --- what changes nothing ------------------------------------------------------------------------

    async def ask(self, module: str, **params: str | int) -> Answer:
        """Call what changes nothing; a session that has lapsed is opened again once.

        Raises: Unavailable, SignInRefused, Closed, RateLimited.
        """
        await self._enter()
        answer = await self._get(module, params)
        if not self.is_visitor and answer.uid != self.uid:
            self.uid = ""
            await self._enter()
            answer = await self._get(module, params)
            if answer.uid != self.uid:
                raise SignInRefused("the session does not hold")
        return answer

    async def site(self) -> Mapping[str, Any]:
        """Return what the forum says of itself to anybody: its version, its coding, its name."""
        answer = await self._get("check", {})
        self._charset = (id_of(answer.variables.get("charset")) or "utf-8").lower()
        return answer.variables

    async def feed(self, fid: int) -> bytes:
        """Return the feed of one forum as it came."""
        params = {"mod": "rss", "fid": str(fid), "auth": "0"}
        try:
            status, body = await self._send("GET", "/forum.php", params, None)
        except Uncertain as error:
            raise Unavailable(str(error)) from None
        if status != 200:
            raise Unavailable(f"the forum answered HTTP {status}")
        return body

    async def _get(self, module: str, params: Mapping[str, str | int]) -> Answer:
        query = {"version": "4", "module": module, **{key: str(value) for key, value in params.items()}}
        try:
            return self._read(*await self._send("GET", _PATH, query, None))
        except _HashRefused:
            raise Unavailable("the forum answered with an error of its system") from None
        except Malformed as error:
            raise Unreadable(error.reason) from None
        except Uncertain as error:
            raise Unavailable(str(error)) from None

    def _read(self, status: int, body: bytes) -> Answer:
        """Return the answer inside a body.

        Raises: Closed, Unavailable (surely not done), Uncertain, _HashRefused.
        """
        if status == 503 and is_page(body) and b"System Error" in body[:4000]:
            raise _HashRefused
        if status >= 500 or status == 408:
            raise Uncertain(f"the forum answered HTTP {status}")
        if status in (301, 302, 303, 307, 308):
            raise Moved(f"the forum sends us to another address (HTTP {status})")
        if status in (403, 404, 410):
            raise Closed(f"the forum's mobile interface answered HTTP {status}")
        if status != 200:
            raise Unavailable(f"the forum answered HTTP {status}")
        answer = read_answer(body) if not is_page(body) else None
        if answer is None:
            raise Uncertain("the forum answered with a page instead of data")
        if answer.error in _CLOSED:
            raise Closed(f"the forum's mobile interface says {answer.error}")
        return answer

    # --- what changes something ----------------------------------------------------------------------

    async def act(self, query: Mapping[str, str], form: Mapping[str, str]) -> Answer:
        """Carry out what changes something; a form hash that has grown old is fetched anew once.

        Raises: Unavailable (surely not done), SignInRefused, Closed, RateLimited, Uncertain.
        """
        if self.is_visitor:
            raise Refused("replyperm_login_nopermission")
        await self.ready()
        try:
            answer = await self._post(query, form)
            if answer.uid in ("0", "") and "login" in answer.message:
                raise _HashRefused  # the session has lapsed: a visitor was refused, and nothing was done
            return answer
        except _HashRefused:
            await self._fetch_hash()
        try:
            return await self._post(query, form)
        except _HashRefused:
            raise Unavailable("the forum refuses the form hash that it gave") from None

    async def ready(self) -> None:
        """Make sure that the account is in and the forum's coding is known.

        Raises: Unavailable, SignInRefused, Closed, RateLimited.
        """
        if not self._hash or not self.uid:
            await self._fetch_hash()

    async def _fetch_hash(self) -> None:
        found = id_of((await self.ask("forumindex")).variables.get("formhash"))
        if not found:
            raise Unavailable("the forum gives no form hash")
        if not self._charset:
            await self.site()
        self._hash = found

    async def _post(self, query: Mapping[str, str], form: Mapping[str, str]) -> Answer:
        asked = {"version": "4", **query}
        if self.is_gbk:
            asked["charset"] = "utf-8"  # older ones convert what comes only when they are told its coding
        try:
            return self._read(*await self._send("POST", _PATH, asked, {**form, "formhash": self._hash}))
        except Malformed:
            raise Uncertain("the forum's answer cannot be read") from None

    @property
    def is_gbk(self) -> bool:
        """Say whether the forum keeps its words in GBK, and so cannot keep every character."""
        return self._charset.startswith("gb")

    # --- signing in ----------------------------------------------------------------------------------

    async def _enter(self) -> None:
        async with self._entering:
            if self.is_visitor or self.uid:
                return
            until, name = self._refused
            if name and time.monotonic() < until:
                raise SignInRefused(name)
            self._hash = ""
            answer = await (self._show_cookies() if self._cookies else self._sign_in())
            if answer.uid in ("0", ""):
                name = answer.message or "without a word"
                self._refused = (time.monotonic() + self._rest, name)
                raise SignInRefused(name)
            self.uid, self._refused = answer.uid, (0.0, "")

    async def _show_cookies(self) -> Answer:
        answer = await self._get("forumindex", {})
        return answer if answer.uid != "0" else Answer(answer.variables, "cookies")

    async def _sign_in(self) -> Answer:
        """Sign in with version 1: version 4 answers 503 where a plug-in is missing."""
        query = {"version": "1", "module": "login", "loginsubmit": "yes", "loginfield": "auto"}
        form = {"username": self._username, "password": self._password, "cookietime": "2592000"}
        self._client().cookie_jar.clear()
        try:
            return self._read(*await self._send("POST", _PATH, query, form))
        except (Uncertain, Malformed) as error:
            raise Unavailable(str(error)) from None
        except _HashRefused:
            raise Unavailable("the forum answered with an error of its system") from None

    # --- one call ------------------------------------------------------------------------------------

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._session is None:
            jar = aiohttp.CookieJar(unsafe=True)  # campus forums often have a number for an address
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=jar,
                timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._seconds / 2),
            )
        return self._session

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        """Make one request and return status and body; redirects are not followed.

        Raises: Unavailable (it never left), RateLimited, Uncertain.
        """
        try:
            async with self._client().request(
                method,
                self._url + path,
                params=query,
                data=form,
                cookies=self._cookies or None,
                allow_redirects=False,
            ) as response:
                body = await read_bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("the forum's address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed, RuntimeError):
            raise Uncertain(f"the forum did not answer readably within {self._seconds:g} s") from None
        if response.status == 429:
            now = datetime.now(UTC)
            raise RateLimited("the forum asks to wait", retry_at(response.headers.get("Retry-After"), now))
        return response.status, body

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


__all__ = ["Api", "Closed", "Moved", "Refused", "SignInRefused", "Unreadable", "cookies_in", "error_of"]
