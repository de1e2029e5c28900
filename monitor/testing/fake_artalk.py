"""A fake Artalk server that speaks its interface of version 2.

For tests and for authors of connectors: a token that ran out is a visitor, who gets an empty list with status 200; times
are texts of the server's clock; a list in flat mode ends with comments that stand there only beside their answers; a
change needs the whole comment; deleting takes all replies along.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from monitor.testing._fake_site import FakeSite, answered

__all__ = ["ArtalkComment", "FakeArtalk"]

ZONE: Final = timedelta(hours=8)
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_REQUIRED: Final = ("site_name", "content", "page_key", "rid", "is_collapsed", "is_pending", "is_pinned")


@dataclass(slots=True)
class ArtalkComment:
    """One comment; ``content`` is Markdown as its author typed it."""

    number: int
    content: Any
    page: str = "/p/1.html"
    rid: int = 0
    user: int = 7
    nick: str = "小周"
    pending: bool = False
    collapsed: bool = False
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class FakeArtalk(FakeSite):
    """One server with the site ``Union`` and the administrator ``gh@example.org`` (number 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.email = "gh@example.org"
        self.password = "a-password-of-artalk"  # noqa: S105 - invented
        self.token = "fake.token.0"  # noqa: S105 - invented
        self.site = "Union"
        self.is_admin = True
        self.names = ["工会"]
        self.wants_captcha = False
        self.comments: dict[int, ArtalkComment] = {}
        self._last = 40

    def comment(self, content: Any, **fields: Any) -> ArtalkComment:
        """Let a guest comment."""
        self._last += 1
        made = ArtalkComment(self._last, content, **{"at": datetime.now(UTC), **fields})
        self.comments[made.number] = made
        return made

    def expire(self) -> None:
        """End every token."""
        self.token = f"{self.token[:-1]}{int(self.token[-1]) + 1}"

    # --- the interface -------------------------------------------------------------------------------

    def operation(self, request: web.Request, body: Any) -> str:
        """Return e.g. ``token``, ``user``, ``list``, ``one``, ``say``, ``hide``, ``show`` or ``delete``."""
        path = request.path.removeprefix("/api/v2/")
        if path in ("user/access_token", "user"):
            return "token" if path != "user" else "user"
        if path == "comments":
            return "say" if request.method == "POST" else "list"
        if path.startswith("comments/"):
            hides = isinstance(body, dict) and bool(body.get("is_pending"))
            return {"GET": "one", "DELETE": "delete"}.get(request.method, "hide" if hides else "show")
        return "other"

    def judge(self, operation: str, request: web.Request, body: Any) -> web.Response:
        """Carry out one call."""
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        if operation == "token":
            return self._sign_in(body)
        if operation == "user":
            user = self._user() if known else None
            return answered({"user": user, "is_login": known, "notifies": [], "notifies_count": 0})
        if operation == "list":
            return self._list(request, known and self.is_admin)
        if operation == "say":
            return self._say(body, known)
        if operation == "other":
            return _error(404, "Not Found")
        if operation != "one" and not (known and self.is_admin):
            return _error(403, "Admin access required", need_login=True)
        number = request.path.rpartition("/")[2]
        found = self.comments.get(int(number)) if number.isdigit() else None
        if found is None:
            return _error(404, "Comment not found")
        if operation == "one":
            return answered({"comment": self._row(found), "reply_comment": None})
        return self._delete(found) if operation == "delete" else self._change(found, body, operation)

    def _user(self) -> dict[str, Any]:
        return {"id": 1, "name": "工会", "email": self.email, "link": "", "is_admin": self.is_admin}

    def _sign_in(self, body: Any) -> web.Response:
        if self.wants_captcha:
            return _error(403, "Captcha required", need_captcha=True, img_data="data:image/png;base64,")
        if body.get("email") != self.email:
            return _error(401, "User not found")
        if len(self.names) > 1 and not body.get("name"):
            return _error(400, "Need to select username", need_name_select=self.names)
        if body.get("password") != self.password:
            return _error(401, "Password is incorrect")
        return answered({"token": self.token, "user": self._user()})

    def _list(self, request: web.Request, may: bool) -> web.Response:
        query = request.query
        if "page_key" not in query:
            return _error(400, "Param `page_key` is required")
        rows = list(self.comments.values())[::-1] if may and query.get("site_name") in ("", self.site) else []
        rows.sort(key=lambda each: each.at.replace(microsecond=0), reverse=True)
        begin, limit = int(query.get("offset", 0)), int(query.get("limit", 0))
        shown = rows[begin : begin + limit]
        there = {each.number for each in shown}
        linked = [
            self.comments[each.rid] for each in shown if each.rid in self.comments and each.rid not in there
        ]
        page = [self._row(each) for each in shown] + [self._row(each, visible=False) for each in linked]
        return answered({"comments": page, "count": len(rows), "roots_count": len(rows)})

    def _row(self, each: ArtalkComment, visible: bool = True) -> dict[str, Any]:
        shown: Any = each.content
        if isinstance(shown, str):
            words = html.escape(_ESCAPED.sub(r"\1", shown), quote=False).replace("\n", "<br>\n")
            shown = f"<p>{words}</p>\n"
        return {
            "id": each.number,
            "content": each.content,
            "content_marked": shown,
            "user_id": each.user,
            "nick": each.nick,
            "email_encrypted": "0" * 64,
            "link": "",
            "ua": "x",
            "date": (each.at.astimezone(UTC) + ZONE).strftime("%Y-%m-%d %H:%M:%S"),
            "is_collapsed": each.collapsed,
            "is_pending": each.pending,
            "is_pinned": False,
            "is_allow_reply": not (each.collapsed or each.pending),
            "rid": each.rid,
            "visible": visible,
            "page_key": each.page,
            "page_url": f"https://union.example.org{each.page}",
            "site_name": self.site,
        }

    def _say(self, body: Any, known: bool) -> web.Response:
        if not known:
            return _error(403, "Admin access required", need_login=True)
        if body.get("site_name") != self.site:
            return _error(404, "Site not found", err_no_site=True)
        parent = self.comments.get(body.get("rid", 0))
        if body.get("rid") and parent is None:
            return _error(404, "Parent comment not found")
        if parent is not None and parent.page != body.get("page_key"):
            return _error(400, "Inconsistent with the page_key of the parent comment")
        if parent is not None and (parent.pending or parent.collapsed):
            return _error(400, "Cannot reply to this comment")
        made = self.comment(
            body["content"], page=body["page_key"], rid=body.get("rid", 0), user=1, nick="工会"
        )
        self.done[f"say {made.rid}"] += 1
        return answered(self._row(made))

    def _change(self, found: ArtalkComment, body: Any, operation: str) -> web.Response:
        if missing := [name for name in _REQUIRED if body.get(name) is None]:
            return _error(400, f"Param `{missing[0]}` is required")
        if body["site_name"] != self.site:
            return _error(404, "Site not found", err_no_site=True)
        found.content, found.pending = body["content"], body["is_pending"]
        found.collapsed = body["is_collapsed"]
        self.done[f"{operation} {found.number}"] += 1
        return answered(self._row(found))

    def _delete(self, found: ArtalkComment) -> web.Response:
        for each in [e for e in self.comments.values() if found.number in (e.number, e.rid)]:
            del self.comments[each.number]
        return answered({"msg": "Success"})


def _error(status: int, msg: str, **more: Any) -> web.Response:
    return answered({"msg": msg, **more}, status)
