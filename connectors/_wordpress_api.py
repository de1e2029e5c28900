"""Calling WordPress's REST interface: the password that is silently ignored, and errors by their code."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors import _comments_health as health
from connectors._comments_book import Page, State
from connectors._comments_channel import ALL, Place
from connectors._comments_site import Answer, Blocked, SignInRefused, Site
from connectors._comments_words import as_html
from connectors._wordpress_wire import FIELDS, STATES, number_of, read_row
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind
from monitor.core.ports import Capability

PAGE: Final = 100
"""Comments asked for at once; WordPress gives no more."""
SYSTEM: Final = "WordPress"
_FLOOD: Final = timedelta(seconds=20)
_GONE: Final = frozenset({"rest_comment_invalid_id", "rest_already_trashed"})
_SIGN_IN: Final = frozenset(
    {
        "incorrect_password",
        "invalid_username",
        "invalid_application_password",
        "rest_not_logged_in",
        "rest_comment_login_required",
        "application_passwords_disabled",
    }
)
_REASONS: Final[Mapping[str, str]] = {
    "rest_comment_closed": "comments are closed on this page; open them in WordPress or answer elsewhere",
    "rest_comment_invalid_post_id": "the page is not there any more",
    "rest_comment_draft_post": "the page is not published",
    "rest_comment_trash_post": "the page is in WordPress's trash",
    "rest_trash_not_supported": "WordPress's trash is switched off, and nothing is deleted for ever; hide it instead",
    "rest_comment_content_invalid": "WordPress does not accept the words; write others",
    "comment_content_column_length": "the answer is too long for WordPress; shorten it",
    "rest_no_route": "WordPress's REST interface is switched off; its administrator has to allow it",
}


class WordPress:
    """One site.

    Args:
        channel: name of the channel.
        url: address of the site.
        user: name of the account, empty to read only what is public.
        password: an application password of that account.
        seconds: how long to wait for an answer.
    """

    def __init__(self, channel: str, url: str, user: str, password: str, seconds: float) -> None:
        self._channel = channel
        self._site = Site(url.rstrip("/"), seconds)
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}"} if user else {}
        self._me: Mapping[str, Any] = {}
        self._proving = asyncio.Lock()
        self.capabilities = ALL if user else frozenset({Capability.LISTEN})

    @staticmethod
    def _query(route: str, **more: str) -> dict[str, str]:
        """Return the query that reaches a route with pretty links and without."""
        return {"rest_route": f"/wp/v2/{route}", **more}

    async def _ask(self, route: str, **more: str) -> Answer:
        answer = await self._site.ask("/", self._query(route, **more), headers=self._headers)
        _refuse_strangers(answer)
        return answer

    # --- the credential ------------------------------------------------------------------------------

    async def _sign_in(self) -> int | None:
        """Return the number of our account; a wrong password is found out here and nowhere else.

        Raises: SignInRefused, Unavailable, RateLimited.
        """
        if not self._headers:
            return None
        async with self._proving:
            if not self._me:
                answer = await self._ask("users/me", context="edit", _fields="id,capabilities")
                if answer.status != 200 or not isinstance(answer.body, Mapping):
                    raise _error(answer) if answer.status != 200 else Blocked("WordPress shows no account")
                self._me = answer.body
            return number_of(self._me.get("id"))

    async def prove(self) -> Sequence[str]:
        """Return, in words, which right the account lacks."""
        self._me = {}
        await self._sign_in()
        if not self._headers:
            return ()
        rights = self._me.get("capabilities")
        may = isinstance(rights, Mapping) and rights.get("moderate_comments") is True
        return () if may else (health.no_right(SYSTEM),)

    # --- reading -------------------------------------------------------------------------------------

    async def page(self, number: int) -> Page:
        """Return a page of comments: approved and waiting ones with an account, else those that are public."""
        me = await self._sign_in()
        more = {"status": "all"} if self._headers else {}
        query = {"orderby": "id", "order": "desc", "per_page": str(PAGE), "page": str(number), **more}
        answer = await self._ask("comments", _fields=FIELDS, **query)
        if answer.status == 401:
            self._me = {}  # the password is no longer one: prove it again before the next look
        if answer.status != 200:
            raise _error(answer)
        if not isinstance(answer.body, list):
            raise Blocked("the site's answer is no list of comments")
        rows = tuple(read_row(self._channel, given, me) for given in answer.body)
        pages, total = (_count(answer, name) for name in ("X-WP-TotalPages", "X-WP-Total"))
        return Page(rows, not rows if pages is None else number >= pages, total)

    async def state(self, place: Place) -> State | None:
        """Return how a comment stands, None when WordPress does not know it."""
        await self._sign_in()
        answer = await self._ask(f"comments/{place.key}", _fields="id,status")
        if _code(answer) == "rest_comment_invalid_id":
            return None
        if answer.status != 200 or not isinstance(answer.body, Mapping):
            raise _error(answer)
        return STATES.get(str(answer.body.get("status")), State.WAITING)

    # --- acting --------------------------------------------------------------------------------------

    async def say(self, place: Place, text: str) -> str:
        """Answer a comment on its page."""
        await self._sign_in()
        page = number_of(place.thread)
        if page is None or number_of(place.key) is None:
            raise Rejected("the effect names no page of this site")
        body = {"post": page, "parent": int(place.key), "content": as_html(text)}
        answer = await self._act("POST", "comments", body)
        if _code(answer) == "comment_duplicate":
            raise Uncertain("WordPress says that these very words stand there already")
        if answer.status >= 400:
            raise _error(answer)
        number = number_of(answer.body.get("id")) if isinstance(answer.body, Mapping) else None
        if number is None:
            raise Uncertain("WordPress's answer names no comment")
        return str(number)

    async def move(self, place: Place, kind: EffectKind) -> bool:
        """Hold a comment, put it into the trash (never delete it), or approve it again."""
        await self._sign_in()
        if number_of(place.key) is None:
            raise Rejected("the effect names no comment of this site")
        route = f"comments/{place.key}"
        if kind is EffectKind.REMOVE:
            answer = await self._act("DELETE", route, None)
        else:
            status = "hold" if kind is EffectKind.HIDE else "approved"
            answer = await self._act("POST", route, {"status": status})
        if _code(answer) in _GONE:
            return False
        if answer.status >= 400:
            raise _error(answer)
        if not isinstance(answer.body, Mapping) or "status" not in answer.body:
            raise Uncertain("WordPress's answer does not say whether it was done")
        return True

    async def _act(self, method: str, route: str, body: Mapping[str, Any] | None) -> Answer:
        answer = await self._site.call(method, "/", self._query(route), body, self._headers)
        _refuse_strangers(answer, is_act=True)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        await self._site.close()


def _refuse_strangers(answer: Answer, *, is_act: bool = False) -> None:
    """Refuse JSON that no WordPress says: some other program answers in its place."""
    is_error = isinstance(answer.body, Mapping) and isinstance(answer.body.get("code"), str)
    if answer.status >= 400 and not is_error:
        raise Blocked(f"the site answered HTTP {answer.status}, and not as WordPress does")
    if answer.status < 400 and not isinstance(answer.body, (Mapping, list)):
        words = "the site's answer is not WordPress's"
        raise Uncertain(words) if is_act else Unavailable(words)


def _code(answer: Answer) -> str:
    code = answer.body.get("code") if answer.status >= 400 and isinstance(answer.body, Mapping) else ""
    return code if isinstance(code, str) else ""


def _error(answer: Answer) -> ConnectorError:
    """Return the error that an answer of WordPress means."""
    code = _code(answer)
    if code == "comment_flood":
        return RateLimited("WordPress finds the answers too fast", datetime.now(UTC) + _FLOOD)
    if code in _SIGN_IN or (answer.status == 401 and code not in _REASONS):
        return SignInRefused("WordPress does not take the application password")
    if code in _REASONS:
        return Rejected(_REASONS[code])
    if answer.status == 403:
        return Rejected("WordPress does not allow it: the account needs the right to moderate comments")
    return Rejected(f"WordPress refused it (HTTP {answer.status})")


def _count(answer: Answer, name: str) -> int | None:
    text = answer.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


__all__ = ["PAGE", "SYSTEM", "WordPress"]
