"""A fake WordPress that speaks the comment part of its REST interface, as 6.1 does.

For tests and for authors of connectors: a wrong password is a guest and gets the public list with status 200, dates
have no zone, a page beyond the end is empty, the same words twice are refused, the trash keeps what is removed.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from monitor.testing._fake_site import FakeSite, answered

__all__ = ["FakeWordPress", "WordPressComment"]

ZONE: Final = timedelta(hours=8)
STATUSES: Final = ("approved", "hold", "spam", "trash")


@dataclass(slots=True)
class WordPressComment:
    """One comment; ``content`` is what its author typed."""

    number: int
    content: Any
    page: int
    parent: int = 0
    author: int = 0
    name: str = "小周"
    status: str = "approved"
    kind: str = "comment"
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class FakeWordPress(FakeSite):
    """One site with the account ``huiyin`` (number 2) and its application password."""

    def __init__(self) -> None:
        super().__init__()
        self.user = "huiyin"
        self.password = "Wd31 49PQ 9XvF uhX7 ZqP5 lehp"  # noqa: S105 - invented
        self.account = 2
        self.moderates = True
        self.has_trash = True
        self.closed: set[int] = set()
        self.pages = {7, 8}
        self.comments: dict[int, WordPressComment] = {}
        self.hides_counts = False
        self._last = 30

    def comment(self, content: Any, page: int = 7, **fields: Any) -> WordPressComment:
        """Let a guest comment on a page."""
        self._last += 1
        made = WordPressComment(self._last, content, page, **{"at": datetime.now(UTC), **fields})
        self.comments[made.number] = made
        return made

    def answers(self, mark: str) -> list[WordPressComment]:
        """Return what our account wrote that holds ``mark``."""
        return [
            each for each in self.comments.values() if each.author == self.account and mark in each.content
        ]

    # --- the interface -------------------------------------------------------------------------------

    def operation(self, request: web.Request, body: Any) -> str:
        """Return e.g. ``list``, ``me``, ``say``, ``delete`` or the status that is set."""
        route = request.query.get("rest_route", "").removeprefix("/wp/v2/")
        if route == "comments":
            return "say" if request.method == "POST" else "list"
        if route.startswith("comments/"):
            changed = body.get("status", "edit") if isinstance(body, dict) else "edit"
            return {"GET": "one", "DELETE": "delete"}.get(request.method, str(changed))
        return "me" if route == "users/me" else "other"

    def judge(self, operation: str, request: web.Request, body: Any) -> web.Response:
        """Carry out one call."""
        known = self._is_known(request)
        if operation == "me":
            return self._account() if known else _error("rest_not_logged_in", 401)
        if operation == "list":
            return self._list(request, known)
        if operation == "say":
            return self._say(body, known)
        if operation == "other":
            return _error("rest_no_route", 404)
        number = request.query["rest_route"].rpartition("/")[2]
        found = self.comments.get(int(number)) if number.isdigit() else None
        if found is None:
            return _error("rest_comment_invalid_id", 404)
        if operation == "one":
            is_public = found.status == "approved"
            return answered(self._row(found)) if known or is_public else _error("rest_cannot_read", 401)
        if not (known and self.moderates):
            return _error("rest_cannot_edit", 401 if not known else 403)
        return self._delete(found, request) if operation == "delete" else self._change(found, body)

    def _is_known(self, request: web.Request) -> bool:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return False
        given = base64.b64decode(text).decode("utf-8", "replace")
        return given.replace(" ", "") == f"{self.user}:{self.password}".replace(" ", "")

    def _account(self) -> web.Response:
        rights = {"read": True, "edit_posts": True} | ({"moderate_comments": True} if self.moderates else {})
        return answered({"id": self.account, "username": self.user, "capabilities": rights})

    def _list(self, request: web.Request, known: bool) -> web.Response:
        query = request.query
        status, per, number = (
            query.get("status", "approve"),
            int(query.get("per_page", 10)),
            query.get("page"),
        )
        if not known and "status" in query:
            return _error("rest_forbidden_param", 401)
        if not 1 <= per <= 100:
            return _error("rest_invalid_param", 400)
        wanted = {"all": ("approved", "hold"), "approve": ("approved",)}.get(status, (status,))
        if not (known and self.moderates):
            wanted = ("approved",)  # row by row, and without a word
        rows = [each for each in self.comments.values() if each.status in wanted]
        rows.sort(key=lambda each: each.number, reverse=query.get("order", "desc") == "desc")
        begin = (int(number or 1) - 1) * per
        pages = -(-len(rows) // per)
        head = {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(pages)}
        return answered(
            [self._row(each) for each in rows[begin : begin + per]],
            headers={} if self.hides_counts else head,
        )

    def _row(self, each: WordPressComment) -> dict[str, Any]:
        content: Any = each.content
        if isinstance(content, str):
            paragraphs = (html.escape(part, quote=False) for part in content.split("\n\n"))
            content = "".join(f"<p>{part}</p>\n" for part in paragraphs).replace("\n<", "<")
            content = content.replace("\n", "<br />\n")
        at = each.at.astimezone(UTC).replace(tzinfo=None, microsecond=0)
        return {
            "id": each.number,
            "post": each.page,
            "parent": each.parent,
            "author": each.author,
            "author_name": each.name,
            "date": (at + ZONE).isoformat(),
            "date_gmt": at.isoformat(),
            "content": {"rendered": content},
            "link": f"{self.url}/?p={each.page}#comment-{each.number}",
            "status": each.status,
            "type": each.kind,
        }

    def _say(self, body: Any, known: bool) -> web.Response:
        if not known:
            return _error("rest_comment_login_required", 401)
        page, parent, content = body.get("post"), body.get("parent", 0), body.get("content", "")
        if page not in self.pages:
            return _error("rest_comment_invalid_post_id", 403)
        if page in self.closed:
            return _error("rest_comment_closed", 403)
        if not content.strip():
            return _error("rest_comment_content_invalid", 400)
        text = html.unescape(content)
        if any(e.content == text and (e.page, e.parent) == (page, parent) for e in self.comments.values()):
            return _error("comment_duplicate", 409)
        made = self.comment(text, page, parent=parent, author=self.account, name="工会答复")
        self.done[f"say {parent}"] += 1
        return answered(
            self._row(made), 201, {"Location": f"{self.url}/?rest_route=/wp/v2/comments/{made.number}"}
        )

    def _change(self, found: WordPressComment, body: Any) -> web.Response:
        status = {"approve": "approved"}.get(body.get("status"), body.get("status"))
        if status not in STATUSES:
            return _error("rest_invalid_param", 400)
        found.status = status
        self.done[f"{status} {found.number}"] += 1
        return answered(self._row(found))

    def _delete(self, found: WordPressComment, request: web.Request) -> web.Response:
        if request.query.get("force") == "true":
            del self.comments[found.number]
            return answered({"deleted": True})
        if not self.has_trash:
            return _error("rest_trash_not_supported", 501)
        if found.status == "trash":
            return _error("rest_already_trashed", 410)
        found.status = "trash"
        self.done[f"delete {found.number}"] += 1
        return answered(self._row(found))


def _error(code: str, status: int) -> web.Response:
    return answered({"code": code, "message": "Sorry.", "data": {"status": status}}, status)
