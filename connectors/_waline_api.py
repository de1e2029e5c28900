"""Calling Waline: its token, errors that hide in answers of HTTP 200, and comments by page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors import _comments_health as health
from connectors._comments_book import Page, State
from connectors._comments_channel import ALL, Place, find
from connectors._comments_site import Answer, Blocked, NeedsPerson, SignInRefused, Site
from connectors._comments_words import as_markdown, is_cut, thread_of
from connectors._waline_wire import key_of, read_row
from monitor.core.errors import ConnectorError, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind

PAGE: Final = 100
SYSTEM: Final = "Waline"
STATUS: Final[Mapping[EffectKind, str]] = {
    EffectKind.HIDE: "waiting",
    EffectKind.REMOVE: "spam",
    EffectKind.RESTORE: "approved",
}
"""What is set; DELETE is never used: it takes every reply with it, and says yes to what is not there."""


class Waline:
    """One server.

    Args:
        channel: name of the channel.
        url: address of the server.
        email: mail address of an administrator's account.
        password: its password.
        site: address of the web site that shows the comments; may be empty.
        seconds: how long to wait for an answer.
    """

    capabilities = ALL

    def __init__(self, channel: str, url: str, email: str, password: str, site: str, seconds: float) -> None:
        self._channel = channel
        self._site = Site(url.rstrip("/"), seconds)
        self._pages = site
        self._credential = {"email": email, "password": password, "code": ""}
        self._referrer = {"Referer": site or url}  # servers with SECURE_DOMAINS look at it
        self._token = ""
        self._me: Mapping[str, Any] = {}
        self._signing_in = asyncio.Lock()

    # --- signing in ----------------------------------------------------------------------------------

    async def _signed_in(self) -> dict[str, str]:
        """Return the headers of a call; the token has no end that it would tell.

        Raises: SignInRefused, Unavailable, RateLimited.
        """
        async with self._signing_in:
            if not self._token:
                answer = await self._site.ask(
                    "/api/token", body=self._credential, headers=self._referrer, method="POST"
                )
                data = _data(answer) if _errno(answer) == 0 else None
                token = data.get("token") if isinstance(data, Mapping) else None
                if not isinstance(token, str) or not token or not isinstance(data, Mapping):
                    raise _sign_in_error(answer)
                self._token, self._me = token, data
            return {"Authorization": f"Bearer {self._token}", **self._referrer}

    def _forget(self) -> None:
        self._token = ""

    async def prove(self) -> Sequence[str]:
        """Return, in words, which right the account lacks."""
        self._forget()
        await self._signed_in()
        return () if self._me.get("type") == "administrator" else (health.no_right(SYSTEM),)

    # --- reading -------------------------------------------------------------------------------------

    async def _rows(self, number: int) -> tuple[list[Any], Mapping[str, Any]]:
        query = {"type": "list", "page": str(number), "pageSize": str(PAGE)}
        answer = await self._site.ask("/api/comment", query, headers=await self._signed_in())
        if answer.status == 401:
            self._forget()  # a changed key of the server ends every token
            answer = await self._site.ask("/api/comment", query, headers=await self._signed_in())
        data = _data(answer) if _errno(answer) == 0 else None
        rows = data.get("data") if isinstance(data, Mapping) else None
        if not isinstance(rows, list) or not isinstance(data, Mapping):
            raise _error(answer)
        return rows, data

    async def page(self, number: int) -> Page:
        """Return a page of all comments: shown, waiting and spam."""
        rows, data = await self._rows(number)
        me = key_of(self._me.get("objectId"))
        pages = data.get("totalPages")
        last = not rows or (isinstance(pages, int) and not isinstance(pages, bool) and number >= pages)
        return Page(tuple(read_row(self._channel, given, me, self._pages) for given in rows), last)

    async def state(self, place: Place) -> State | None:
        """Return how a comment stands, None when it is not in the list."""
        row = await find(self, lambda row: row.key == place.key)
        return None if row is None else row.state

    # --- acting --------------------------------------------------------------------------------------

    async def say(self, place: Place, text: str) -> str:
        """Answer a comment under its page, as the administrator."""
        headers = await self._signed_in()
        if self._me.get("type") != "administrator":
            raise Rejected(
                "the account is no administrator of Waline, so its answers would be held up or refused"
            )
        body = {
            "comment": as_markdown(text),
            "url": await self._address(place),
            "pid": _id(place.key),
            "rid": _id(place.root),
            "nick": str(self._me.get("display_name") or ""),
            "mail": self._credential["email"],
            "link": str(self._me.get("url") or ""),
            "ua": "Huiyin",
        }
        data = await self._act("POST", "/api/comment", body, headers)
        key = key_of(data.get("objectId")) if isinstance(data, Mapping) else None
        if key is None:
            raise Uncertain("Waline's answer names no comment")
        return key

    async def _address(self, place: Place) -> str:
        """Return the whole address of the page that a comment stands on."""
        if place.thread and not is_cut(place.thread):
            return place.thread
        for number in range(1, 61):
            rows, _data = await self._rows(number)
            for row in rows:
                page = row.get("url") if isinstance(row, Mapping) else None
                if isinstance(page, str) and thread_of(page) == place.thread and place.thread:
                    return page
            if not rows:
                break
        raise Rejected("the page of the comment is not there any more")

    async def move(self, place: Place, kind: EffectKind) -> bool:
        """Set the status of a comment; Waline says yes for unknown ones, and then names none."""
        headers = await self._signed_in()
        data = await self._act("PUT", f"/api/comment/{place.key}", {"status": STATUS[kind]}, headers)
        return isinstance(data, Mapping) and bool(data)

    async def _act(self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        answer = await self._site.call(method, path, body=body, headers=headers)
        if answer.status == 401:
            self._forget()
            answer = await self._site.call(method, path, body=body, headers=await self._signed_in())
        if answer.status < 400 and _errno(answer) is None:
            raise Uncertain("Waline's answer does not say whether it was done")
        if _errno(answer) != 0:
            raise _error(answer)
        return _data(answer)

    async def close(self) -> None:
        """Close every connection."""
        await self._site.close()


def _id(key: str) -> int | str:
    """Return an id as Waline stores it: a number with SQL."""
    return int(key) if key.isdigit() and len(key) < 16 else key


def _errno(answer: Answer) -> int | None:
    """Return Waline's number in an answer: 0 is good; None when it is not Waline that answers."""
    number = answer.body.get("errno") if isinstance(answer.body, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _data(answer: Answer) -> Any:
    return answer.body.get("data") if isinstance(answer.body, Mapping) else None


def _sign_in_error(answer: Answer) -> ConnectorError:
    number = _errno(answer)
    if number is None:
        return Blocked("the site's answer is not Waline's")
    if answer.status == 403:
        return NeedsPerson("Waline demands a captcha, or does not know this address (SECURE_DOMAINS)")
    if number == 0:
        return Unavailable("Waline gave no token")
    return SignInRefused("Waline does not take the mail address or the password")


def _error(answer: Answer) -> ConnectorError:
    """Return the error that an answer of Waline means."""
    number = _errno(answer)
    if number is None:
        return Blocked("the site's answer is not Waline's")
    if answer.status == 401 or number == 401:
        return SignInRefused("Waline does not take the token: the account is no administrator, or was banned")
    if answer.status == 403 or number == 403:
        return Rejected("Waline does not allow it: the account needs to be an administrator")
    if number == 0:
        return Unavailable("Waline's answer holds no comments")
    return Rejected(f"Waline refused it (errno {number})")


__all__ = ["PAGE", "SYSTEM", "Waline"]
