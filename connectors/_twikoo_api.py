"""Calling Twikoo: one address for everything, always HTTP 200, and a number inside."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors._comments_book import Page, State
from connectors._comments_channel import ALL, MOST_PAGES, Place, find
from connectors._comments_site import Answer, Blocked, SignInRefused, Site
from connectors._comments_words import as_html, is_cut, thread_of
from connectors._twikoo_wire import key_of, read_row
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind
from monitor.core.ports import Capability

PAGE: Final = 100
SYSTEM: Final = "Twikoo"
_WAIT: Final = timedelta(minutes=10)
_TOO_FAST: Final = ("Too Many Requests", "发言频率过高", "评论太火爆")
_FAIL: Final = 1000
_NO_PASSWORD: Final = frozenset({1020, 1022})
_STRANGER: Final = frozenset({1023, 1024, 1403})
_LINK: Final = re.compile(r"https?://[^\s<>\"'，。；！？）】〕]+")


class Twikoo:
    """One server.

    Args:
        channel: name of the channel.
        url: its one address.
        password: the password of its administration.
        nick: name under which is answered.
        mail: mail address under which is answered; the one that Twikoo knows as the owner's shows its badge.
        seconds: how long to wait for an answer.
    """

    capabilities = ALL - {Capability.REMOVE}
    """DELETE is never used: it cannot be undone, and says yes to what is not there."""

    def __init__(self, channel: str, url: str, password: str, nick: str, mail: str, seconds: float) -> None:
        self._channel = channel
        self._site = Site(url, seconds)
        self._token = hashlib.md5(
            password.encode(), usedforsecurity=False
        ).hexdigest()  # as Twikoo's own pages do
        self._who = {"nick": nick, "mail": mail, "link": "", "ua": "Huiyin"}

    async def prove(self) -> Sequence[str]:
        """Sign in with the password; whoever can has every right."""
        await self._ask({"event": "LOGIN", "password": self._token})
        return ()

    # --- reading -------------------------------------------------------------------------------------

    async def _ask(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _good(await self._site.ask("", body=body, method="POST"))

    async def _rows(self, number: int) -> tuple[list[Any], Mapping[str, Any]]:
        asked = {"event": "COMMENT_GET_FOR_ADMIN", "accessToken": self._token, "type": "", "keyword": ""}
        answer = await self._ask({**asked, "per": PAGE, "page": number})
        rows = answer.get("data")
        if not isinstance(rows, list):
            raise Blocked("the site's answer is no list of comments")
        return rows, answer

    async def page(self, number: int) -> Page:
        """Return a page of all comments, hidden ones too."""
        rows, answer = await self._rows(number)
        count = answer.get("count")
        total = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
        last = not rows or (total is not None and number * PAGE >= total)
        return Page(tuple(read_row(self._channel, given, self._token) for given in rows), last, total)

    async def state(self, place: Place) -> State | None:
        """Return how a comment stands, None when it is not in the list."""
        row = await find(self, lambda row: row.key == place.key)
        return None if row is None else row.state

    # --- acting --------------------------------------------------------------------------------------

    async def say(self, place: Place, text: str) -> str:
        """Answer a comment under its page."""
        page, href = await self._address(place)
        answer = await self._act(
            {
                "event": "COMMENT_SUBMIT",
                "url": page,
                "href": href,
                "comment": _html(text),
                "pid": place.key,
                "rid": place.root,
                **self._who,
            }
        )
        key = key_of(answer.get("id"))
        if key is None:
            raise Uncertain("Twikoo's answer names no comment")
        return key

    async def _address(self, place: Place) -> tuple[str, str]:
        """Return the page that a comment stands on, by Twikoo's name and by its whole address."""
        for number in range(1, MOST_PAGES + 1):
            rows, _answer = await self._rows(number)
            for row in rows:
                page = row.get("url") if isinstance(row, Mapping) else None
                if isinstance(page, str) and place.thread and thread_of(page) == place.thread:
                    href = row.get("href")
                    return page, href if isinstance(href, str) else ""
            if not rows:
                break
        if place.thread and not is_cut(place.thread):
            return place.thread, ""
        raise Rejected("the page of the comment is not there any more")

    async def move(self, place: Place, kind: EffectKind) -> bool:
        """Hide or show a comment; Twikoo says yes for unknown ones, so it is looked for first."""
        if await self.state(place) is None:
            return False
        hidden = kind is not EffectKind.RESTORE
        await self._act({"event": "COMMENT_SET_FOR_ADMIN", "id": place.key, "set": {"isSpam": hidden}})
        return True

    async def _act(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._site.call("POST", "", body={"accessToken": self._token, **body})
        return _good(answer, is_act=True)

    async def close(self) -> None:
        """Close every connection."""
        await self._site.close()


def _html(text: str) -> str:
    """Return an answer as HTML: its lines, and its links as links."""
    parts, end = [], 0
    for link in _LINK.finditer(text):
        address = html.escape(link[0])
        parts += [as_html(text[end : link.start()]), f'<a href="{address}" rel="nofollow">{address}</a>']
        end = link.end()
    return f"<p>{''.join([*parts, as_html(text[end:])])}</p>".replace("\n", "<br>")


def _good(answer: Answer, *, is_act: bool = False) -> Mapping[str, Any]:
    """Return an answer that says yes: ``code`` 0, or none and an id.

    Raises: what the number means.
    """
    body = answer.body
    if answer.status >= 400 or not isinstance(body, Mapping):
        if is_act and answer.status < 400:
            raise Uncertain("the site's answer is not Twikoo's")
        raise Blocked("the site's answer is not Twikoo's")
    code = body.get("code", 0 if "id" in body else None)
    if isinstance(code, bool) or not isinstance(code, int):
        raise (
            Uncertain("the answer does not say whether it was done")
            if is_act
            else Blocked("this is no Twikoo")
        )
    if code:
        raise _error(code, body)
    return body


def _error(code: int, body: Mapping[str, Any]) -> ConnectorError:
    """Return the error that a number of Twikoo means; nothing was done."""
    words = str(body.get("message", ""))
    if code in _STRANGER:
        return SignInRefused("Twikoo does not take the password of its administration")
    if code in _NO_PASSWORD:
        return SignInRefused("Twikoo has no password yet: open its administration once and set one")
    if code == _FAIL and words.startswith(_TOO_FAST):
        return RateLimited("Twikoo finds the calls too many", datetime.now(UTC) + _WAIT)
    if code == 1001:
        return Rejected("this Twikoo is too old: it does not know what was asked")
    if code == 503:
        return Unavailable("Twikoo is shutting down")
    return Rejected(f"Twikoo refused it (code {code})")


__all__ = ["PAGE", "SYSTEM", "Twikoo"]
