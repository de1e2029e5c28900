"""A fake Waline server that speaks its interface as version 1.39 does.

For tests and for authors of connectors: a wrong password is HTTP 200 with a number inside, a wrong token looks signed out
with status 200 in one place and is 401 in others, changing what is not there succeeds, deleting takes all replies along.
"""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from monitor.testing._fake_site import FakeSite, answered

__all__ = ["FakeWaline", "WalineComment"]

_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")


@dataclass(slots=True)
class WalineComment:
    """One comment; ``content`` is Markdown as its author typed it."""

    number: int
    content: Any
    url: str = "/p/1"
    pid: Any = None
    rid: Any = None
    nick: str = "小周"
    status: str = "approved"
    user: int | None = None
    time: int = 0


class FakeWaline(FakeSite):
    """One server with the administrator ``gh@example.org`` (number 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.email = "gh@example.org"
        self.password = "a-password-of-waline"  # noqa: S105 - invented
        self.token = "eyJhbGciOiJIUzI1NiJ9.MQ.fake-0"  # noqa: S105 - invented
        self.kind = "administrator"
        self.comments: dict[int, WalineComment] = {}
        self.whole_seconds = False
        self._last = 16

    def comment(self, content: Any, **fields: Any) -> WalineComment:
        """Let a guest comment."""
        self._last += 1
        now = time.time_ns() // 1_000_000
        now = now // 1000 * 1000 if self.whole_seconds else now
        made = WalineComment(self._last, content, **{"time": now, **fields})
        self.comments[made.number] = made
        return made

    def expire(self) -> None:
        """End every token, as a new key of the server does."""
        self.token = f"{self.token[:-1]}{int(self.token[-1]) + 1}"

    # --- the interface -------------------------------------------------------------------------------

    def operation(self, request: web.Request, body: Any) -> str:
        """Return e.g. ``token``, ``list``, ``say``, ``delete`` or the status that is set."""
        path = request.path.removeprefix("/api/")
        if path == "token":
            return "token" if request.method == "POST" else "whoami"
        if path == "comment":
            return "say" if request.method == "POST" else request.query.get("type", "page")
        if path.startswith("comment/"):
            changed = body.get("status", "edit") if isinstance(body, dict) else "edit"
            return "delete" if request.method == "DELETE" else str(changed)
        return "other"

    def judge(self, operation: str, request: web.Request, body: Any) -> web.Response:
        """Carry out one call."""
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        if operation == "token":
            return self._sign_in(body)
        if operation == "whoami":
            return _good({"objectId": 1, "type": self.kind} if known else {})
        if operation == "other":
            return web.Response(status=404, text="Not Found")
        if operation == "page":
            rows = [e for e in self.comments.values() if e.url == request.query.get("path")]
            return _good({"page": 1, "data": [self._row(e) for e in rows if e.status == "approved"]})
        if operation == "say" and isinstance(body, dict):
            return self._say(body, known)
        if not known:
            return answered({"errno": 401, "errmsg": "Unauthorized"}, 401)
        if self.kind != "administrator":
            if operation == "list":
                return answered({"errno": 1000})
            return answered({"errno": 403, "errmsg": "Forbidden"}, 403)
        if operation == "list":
            return self._list(request)
        return self._change(operation, request, body)

    def _sign_in(self, body: Any) -> web.Response:
        if body.get("email") != self.email or body.get("password") != self.password:
            return answered({"errno": 1000})
        user = {"objectId": 1, "type": self.kind, "display_name": "工会", "email": self.email, "url": ""}
        return _good({**user, "password": None, "token": self.token})

    def _list(self, request: web.Request) -> web.Response:
        number, per = int(request.query.get("page", 1)), int(request.query.get("pageSize", 10))
        if per > 100:
            return answered({"errno": 1001, "errmsg": {"pageSize": "pageSize need an integer"}})
        rows = sorted(self.comments.values(), key=lambda e: (e.time, e.number), reverse=True)
        begin = (number - 1) * per
        return _good(
            {
                "page": number,
                "totalPages": -(-len(rows) // per),
                "pageSize": per,
                "spamCount": sum(e.status == "spam" for e in rows),
                "waitingCount": sum(e.status == "waiting" for e in rows),
                "data": [self._row(e) for e in rows[begin : begin + per]],
            }
        )

    def _row(self, each: WalineComment) -> dict[str, Any]:
        shown: Any = each.content
        if isinstance(shown, str):
            words = html.escape(_ESCAPED.sub(r"\1", shown), quote=False).replace("\n", "<br>\n")
            shown = f"<p>{words}</p>\n"
        return {
            "objectId": each.number,
            "url": each.url,
            "nick": each.nick,
            "mail": "xz@example.org",
            "ip": "203.0.113.9",
            "link": "",
            "comment": shown,
            "orig": each.content,
            "pid": each.pid,
            "rid": each.rid,
            "status": each.status,
            "like": 0,
            "sticky": None,
            "user_id": each.user,
            "time": each.time,
        }

    def _say(self, body: dict[str, Any], known: bool) -> web.Response:
        if not body.get("comment") or not body.get("url"):
            return answered({"errno": 1001, "errmsg": {"comment": "comment can not be blank"}})
        made = self.comment(
            body["comment"],
            url=body["url"],
            pid=body.get("pid"),
            rid=body.get("rid"),
            nick=body.get("nick", ""),
            user=1 if known else None,
        )
        self.done[f"say {made.pid}"] += 1
        return _good(self._row(made))

    def _change(self, operation: str, request: web.Request, body: Any) -> web.Response:
        number = request.path.rpartition("/")[2]
        found = self.comments.get(int(number)) if number.isdigit() else None
        if operation == "delete":
            gone = [
                e.number for e in self.comments.values() if number in (str(e.number), str(e.pid), str(e.rid))
            ]
            for each in gone:
                del self.comments[each]
            return _good("")
        if found is None:
            return _good("")
        found.status = body.get("status", found.status)
        found.content = body.get("comment", found.content)
        self.done[f"{operation} {number}"] += 1
        return _good(self._row(found))


def _good(data: Any) -> web.Response:
    return answered({"errno": 0, "errmsg": "", "data": data})
