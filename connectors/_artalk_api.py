"""Calling Artalk: a token that runs out without a word, and changes that need the whole comment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from connectors import _comments_health as health
from connectors._artalk_wire import number_of, read_row
from connectors._comments_book import Page, State
from connectors._comments_channel import ALL, Place
from connectors._comments_site import Answer, Blocked, NeedsPerson, SignInRefused, Site
from connectors._comments_words import as_markdown
from monitor.core.errors import ConnectorError, Rejected, Uncertain
from monitor.core.model import EffectKind
from monitor.core.ports import Capability

PAGE: Final = 100
SYSTEM: Final = "Artalk"
_KEPT: Final = ("content", "page_key", "site_name", "rid", "is_collapsed", "is_pinned")
"""What a change has to send back as it was; who wrote it stays when it is left out."""


class Artalk:
    """One server and one of its sites.

    Args:
        channel: name of the channel.
        url: address of the server.
        site_name: the site, by its name in Artalk.
        email: mail address of an administrator's account.
        name: its name, needed where several accounts have the address.
        password: its password.
        zone: zone of the server's clock.
        seconds: how long to wait for an answer.
    """

    capabilities = ALL - {Capability.REMOVE}
    """DELETE is never used: it takes every reply with it, and cannot be undone."""

    def __init__(
        self,
        channel: str,
        url: str,
        site_name: str,
        email: str,
        name: str,
        password: str,
        zone: tzinfo,
        seconds: float,
    ) -> None:
        self._channel = channel
        self._site = Site(f"{url.rstrip('/')}/api/v2", seconds)
        self._site_name = site_name
        self._zone = zone
        self._credential = {"email": email, "password": password} | ({"name": name} if name else {})
        self._token = ""
        self._me: Mapping[str, Any] = {}
        self._signing_in = asyncio.Lock()

    # --- signing in ----------------------------------------------------------------------------------

    async def _signed_in(self) -> dict[str, str]:
        """Return the headers of a call.

        Raises: SignInRefused, Unavailable, RateLimited, Rejected.
        """
        async with self._signing_in:
            if not self._token:
                answer = await self._site.ask("/user/access_token", body=self._credential, method="POST")
                body = _object(answer)
                token, user = body.get("token"), body.get("user")
                if answer.status != 200 or not isinstance(token, str) or not isinstance(user, Mapping):
                    raise _sign_in_error(answer, body)
                self._token, self._me = token, user
            return {"Authorization": f"Bearer {self._token}"}

    async def _is_signed_in(self) -> bool:
        """Ask whether the token still holds: where it does not, Artalk shows an empty list and says nothing."""
        answer = await self._site.ask("/user", headers=await self._signed_in())
        body = _object(answer)
        if answer.status != 200 or not isinstance(body.get("is_login"), bool):
            raise _error(answer, body)
        user = body.get("user")
        if body["is_login"] and isinstance(user, Mapping):
            self._me = user  # the account may have lost its right since it signed in
        return body["is_login"] is True

    async def prove(self) -> Sequence[str]:
        """Return, in words, which right the account lacks."""
        self._token = ""
        await self._signed_in()
        return () if self._me.get("is_admin") is True else (health.no_right(SYSTEM),)

    # --- reading -------------------------------------------------------------------------------------

    async def _list(self, number: int) -> tuple[list[Any], int]:
        query = {
            "scope": "site",
            "type": "all",
            "site_name": self._site_name,
            "page_key": "/",
            "flat_mode": "true",
            "sort_by": "date_desc",
            "limit": str(PAGE),
            "offset": str((number - 1) * PAGE),
        }
        answer = await self._site.ask("/comments", query, headers=await self._signed_in())
        body = _object(answer)
        rows, count = body.get("comments"), body.get("count")
        if answer.status == 200 and rows is None and count == 0:
            rows = []  # an empty list of the Go program is no list
        if answer.status != 200 or not isinstance(rows, list) or not isinstance(count, int):
            raise _error(answer, body)
        return rows, count

    async def page(self, number: int) -> Page:
        """Return a page of all comments of the site, waiting ones too."""
        rows, count = await self._list(number)
        if count == 0:
            if not await self._is_signed_in():
                self._token = ""
                rows, count = await self._list(number)
            if self._me.get("is_admin") is not True:
                raise Rejected("the account is no administrator of Artalk, so it is shown no comments")
        me = number_of(self._me.get("id"))
        read = [row for given in rows if (row := read_row(self._channel, given, me, self._zone)) is not None]
        return Page(tuple(read), not rows or number * PAGE >= count, count)

    async def _comment(self, place: Place) -> Mapping[str, Any] | None:
        """Return a comment whole, None when it is not there any more."""
        if number_of(place.key) is None:
            raise Rejected("the effect names no comment of this site")
        answer = await self._site.ask(f"/comments/{place.key}", headers=await self._signed_in())
        body = _object(answer)
        if answer.status == 404 and "msg" in body:
            return None
        comment = body.get("comment")
        if answer.status != 200 or not isinstance(comment, Mapping):
            raise _error(answer, body)
        return comment

    async def state(self, place: Place) -> State | None:
        """Return how a comment stands, None when it is not there any more."""
        comment = await self._comment(place)
        if comment is None:
            return None
        return State.WAITING if comment.get("is_pending") is True else State.SHOWN

    # --- acting --------------------------------------------------------------------------------------

    async def say(self, place: Place, text: str) -> str:
        """Answer a comment under its page, as the administrator."""
        comment = await self._comment(place)
        if comment is None:
            raise Rejected("the comment is not there any more")
        if comment.get("is_allow_reply") is False:
            raise Rejected("Artalk allows no answer to a comment that waits or is folded; restore it first")
        body = {
            "name": str(self._me.get("name") or ""),
            "email": str(self._me.get("email") or self._credential["email"]),
            "content": as_markdown(text),
            "page_key": comment.get("page_key"),
            "site_name": comment.get("site_name"),
            "rid": int(place.key),
            "ua": "Huiyin",
        }
        said = await self._act("POST", "/comments", body)
        number = number_of(said.get("id"))
        if number is None:
            raise Uncertain("Artalk's answer names no comment")
        return str(number)

    async def move(self, place: Place, kind: EffectKind) -> bool:
        """Let a comment wait, or show it again: read it, change one mark, write it whole."""
        comment = await self._comment(place)
        if comment is None:
            return False
        body = {name: comment.get(name) for name in _KEPT}
        body["is_pending"] = kind is not EffectKind.RESTORE
        written = await self._act("PUT", f"/comments/{place.key}", body)
        if written.get("is_pending") is not body["is_pending"]:
            raise Uncertain("Artalk's answer does not say whether it was done")
        return True

    async def _act(self, method: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._site.call(method, path, body=body, headers=await self._signed_in())
        if answer.status in (401, 403) and not _object(answer).get("need_captcha"):
            self._token = ""  # the token may have run out: sign in anew, once
            answer = await self._site.call(method, path, body=body, headers=await self._signed_in())
        said = _object(answer)
        if answer.status != 200:
            raise _error(answer, said)
        if not said:
            raise Uncertain("the site's answer is not Artalk's")
        return said

    async def close(self) -> None:
        """Close every connection."""
        await self._site.close()


def _object(answer: Answer) -> Mapping[str, Any]:
    return answer.body if isinstance(answer.body, Mapping) else {}


def _sign_in_error(answer: Answer, body: Mapping[str, Any]) -> ConnectorError:
    if body.get("need_name_select") is not None:
        return SignInRefused("several accounts of Artalk have this mail address; give the name too")
    if answer.status in (400, 401) and "msg" in body:
        return SignInRefused("Artalk does not take the mail address or the password")
    return _error(answer, body)


def _error(answer: Answer, body: Mapping[str, Any]) -> ConnectorError:
    """Return the error that an answer of Artalk means."""
    if body.get("need_captcha"):
        return NeedsPerson("Artalk demands a captcha from this machine")
    if "msg" not in body:
        return Blocked("the site's answer is not Artalk's")
    if body.get("err_no_site"):
        return Rejected("Artalk has no site of this name; `site` is its name in the control center")
    if answer.status == 401:
        return SignInRefused("Artalk does not take the token")
    if answer.status == 403:
        return Rejected("Artalk does not allow it: the account needs to be an administrator")
    return Rejected(f"Artalk refused it (HTTP {answer.status})")


__all__ = ["PAGE", "SYSTEM", "Artalk"]
