"""A fake Twikoo server that speaks its interface as version 1.7 does: one address, HTTP 200, a number inside.

For tests and for authors of connectors: changing and deleting what is not there succeeds, a new comment is answered with
an id and no number, 250 calls in ten minutes are enough, and guests' keys stand in the list of the administration.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from monitor.testing._fake_site import FakeSite, answered

__all__ = ["FakeTwikoo", "TwikooComment"]


@dataclass(slots=True)
class TwikooComment:
    """One comment; ``comment`` is HTML, ``uid`` the key that its author's browser keeps."""

    key: str
    comment: Any
    url: str = "/p/1"
    pid: str = ""
    rid: str = ""
    nick: str = "小周"
    uid: str = "guest-key-0123456789"
    spam: bool = False
    created: int = 0
    updated: int = 0


class FakeTwikoo(FakeSite):
    """One server with a password for its administration."""

    def __init__(self) -> None:
        super().__init__()
        self.password = "a-password-of-twikoo"  # noqa: S105 - invented
        self.has_password = True
        self.most = 10**9
        self.comments: dict[str, TwikooComment] = {}
        self._asked = 0

    @property
    def token(self) -> str:
        """What proves the administrator."""
        return hashlib.md5(self.password.encode(), usedforsecurity=False).hexdigest()

    def comment(self, comment: Any, **fields: Any) -> TwikooComment:
        """Let a guest comment."""
        now = time.time_ns() // 1_000_000
        made = TwikooComment(secrets.token_hex(16), comment, **{"created": now, "updated": now, **fields})
        self.comments[made.key] = made
        return made

    def public(self, url: str) -> list[str]:
        """Return what a visitor of a page sees."""
        return [each.comment for each in self.comments.values() if each.url == url and not each.spam]

    # --- the interface -------------------------------------------------------------------------------

    def operation(self, _request: web.Request, body: Any) -> str:
        """Return the event."""
        return str(body.get("event", "")) if isinstance(body, dict) else ""

    def judge(self, operation: str, _request: web.Request, body: Any) -> web.Response:
        """Carry out one event."""
        self._asked += 1
        if self._asked > self.most:
            return answered({"code": 1000, "message": "Too Many Requests"})
        if not operation:
            return answered({"code": 100, "message": "Twikoo 云函数运行正常", "version": "1.7.9"})
        events: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "LOGIN": self._sign_in,
            "COMMENT_SUBMIT": self._say,
            "COMMENT_GET_FOR_ADMIN": self._list,
            "COMMENT_SET_FOR_ADMIN": self._change,
            "COMMENT_DELETE_FOR_ADMIN": self._delete,
        }
        if operation not in events:
            return answered({"code": 1001, "message": "请更新 Twikoo 云函数至最新版本"})
        if operation.endswith("_ADMIN") and body.get("accessToken") != self.token:
            return answered({"code": 1024, "message": "请先登录"})
        return answered(events[operation](body))

    def _sign_in(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.has_password:
            return {"code": 1022, "message": "未配置管理密码"}
        good = body.get("password") == self.token
        return {"code": 0, "accessToken": "x"} if good else {"code": 1023, "message": "密码错误"}

    def _list(self, body: dict[str, Any]) -> dict[str, Any]:
        rows = list(self.comments.values())[::-1]
        rows.sort(key=lambda each: each.created, reverse=True)
        begin = body["per"] * (body["page"] - 1)
        return {"code": 0, "count": len(rows), "data": [_row(e) for e in rows[begin : begin + body["per"]]]}

    def _say(self, body: dict[str, Any]) -> dict[str, Any]:
        if not all(body.get(name) for name in ("url", "ua", "comment")):
            return {"code": 1000, "message": "参数不合法"}
        fields = {name: body.get(name) or "" for name in ("url", "pid", "rid", "nick")}
        made = self.comment(body["comment"], uid=body.get("accessToken", ""), **fields)
        self.done[f"say {made.pid}"] += 1
        return {"id": made.key}

    def _change(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self.comments.get(body["id"])
        if found is not None:
            found.spam = body["set"].get("isSpam", found.spam)
            found.comment = body["set"].get("comment", found.comment)
            found.updated = time.time_ns() // 1_000_000
            self.done[f"{'hide' if found.spam else 'show'} {found.key}"] += 1
        return {"code": 0, "updated": 1}

    def _delete(self, body: dict[str, Any]) -> dict[str, Any]:
        self.comments.pop(body["id"], None)
        return {"code": 0, "deleted": 1}


def _row(each: TwikooComment) -> dict[str, Any]:
    row = {
        "_id": each.key,
        "id": each.key,
        "uid": each.uid,
        "nick": each.nick,
        "mail": "xz@example.org",
        "mailMd5": "0" * 32,
        "link": "",
        "ua": "x",
        "ip": "203.0.113.9",
        "master": False,
        "url": each.url,
        "href": f"https://union.example.org{each.url}",
        "comment": each.comment,
        "isSpam": each.spam,
        "created": each.created,
        "updated": each.updated,
    }
    return {**row, **({"pid": each.pid, "rid": each.rid} if each.rid else {})}
