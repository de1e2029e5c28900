"""A fake Weibo that speaks the part of the open platform which a union's account uses, with its habits.

For tests and for authors of connectors: lists newest first, ``since_id`` exclusive and ``max_id`` inclusive, rows left
out that are counted all the same, codes of errors as numbers or texts with HTTP 400 or 403, access tokens that end in
the middle of a page, and the commercial interface beside the open one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web

__all__ = ["FakeRow", "FakeWeibo", "Faults"]

CHINA = timezone(timedelta(hours=8))
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST = 200
Body = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    ``codes`` are given, per operation, instead of carrying it out; ``drop_after`` cuts the connection after an operation
    was carried out; ``statuses`` answers with an HTTP status, ``raw`` with these very bytes. ``expire_after`` ends the
    access token after so many calls; ``as_text`` gives codes as texts.
    """

    codes: dict[str, deque[int]] = field(default_factory=dict)
    drop_after: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, deque[int]] = field(default_factory=dict)
    raw: dict[str, deque[bytes]] = field(default_factory=dict)
    expire_after: int = 0
    as_text: bool = True

    def give(self, operation: str, *codes: int) -> None:
        """Let the next calls of ``operation`` fail with ``codes``."""
        self.codes.setdefault(operation, deque()).extend(codes)


@dataclass(slots=True)
class FakeRow:
    """A comment, or a post: ``post`` is 0 for a post; ``shown`` says whether the open interface gives it out."""

    key: int
    uid: int
    text: Any
    at: float
    post: int = 0
    owner: int = 0
    parent: int = 0
    mentions: bool = False
    shown: bool = True
    more: Body = field(default_factory=dict)


class FakeWeibo:
    """One account of Weibo and the people around it."""

    def __init__(self) -> None:
        self.uid = 1_870_000_001
        self.token = "2.00fake-access-token-0001"  # noqa: S105 - invented
        self.rows: dict[int, FakeRow] = {}
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.done: Counter[str] = Counter()
        self.contract = False
        self.most = MOST
        self.port = 0
        self._numbers = 5_112_345_678_901_234
        self._uses = 0
        self._runner: web.AppRunner | None = None
        self.post = self.write(self.uid, "三食堂装修公告")

    @property
    def url(self) -> str:
        """Address of the interface, open and commercial."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeWeibo:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the interface on a free port, or on the former one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what a test prepares ------------------------------------------------------------------------

    def write(self, uid: int, text: Any, *, at: float = 0.0, **how: Any) -> FakeRow:
        """Write a post."""
        self._numbers += 7
        made = FakeRow(self._numbers, uid, text, at or time.time(), **how)
        self.rows[made.key] = made
        return made

    def comment(self, text: Any, uid: int, *, under: FakeRow | None = None, **how: Any) -> FakeRow:
        """Write a comment, under the account's own post unless ``under`` says otherwise."""
        post = under or self.post
        return self.write(uid, text, post=post.key, owner=post.uid, **how)

    def remove(self, row: FakeRow) -> None:
        """Take a comment or a post away."""
        del self.rows[row.key]

    def said(self, mark: str) -> int:
        """Return how often the account has said something with ``mark`` in it."""
        return sum(row.uid == self.uid and mark in str(row.text) for row in self.rows.values())

    # --- the wire ------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        given = {**request.query, **dict(await request.post())}
        params = {key: str(value) for key, value in given.items()}
        path = request.path.removesuffix(".json")
        commercial = path.endswith("/biz")
        name = path.removeprefix("/2/").removesuffix("/biz").lstrip("/")
        self.calls[name] += 1
        self.requests.append((request.method, request.path, params))
        if statuses := self.faults.statuses.get(name):
            return web.Response(status=statuses.popleft(), text="<html>busy</html>", content_type="text/html")
        if raw := self.faults.raw.get(name):
            return web.Response(body=raw.popleft(), content_type="application/json")
        answer = self._judge(name, request.method, commercial, params)
        if self.faults.drop_after[name] > 0:
            self.faults.drop_after[name] -= 1
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
        return answer

    def _error(self, number: int, name: str) -> web.Response:
        code: int | str = str(number) if self.faults.as_text else number
        body = {"request": f"/2/{name}.json", "error_code": code, "error": "it did not work"}
        return _json(body, 403 if number in (10022, 10023, 10024) else 400)

    def _judge(self, name: str, method: str, commercial: bool, params: Mapping[str, str]) -> web.Response:
        self._uses += 1
        if self.faults.expire_after and self._uses > self.faults.expire_after:
            return self._error(21327, name)
        if params.get("access_token") != self.token:
            return self._error(21332, name)
        if codes := self.faults.codes.get(name):
            return self._error(codes.popleft(), name)
        if commercial and not self.contract:
            return self._error(10014, name)
        steps = {
            ("POST", "oauth2/get_token_info"): self._owner,
            ("GET", "comments/to_me"): self._received,
            ("GET", "comments/mentions"): self._mentioned,
            ("GET", "statuses/mentions"): self._mentioning,
            ("GET", "comments/by_me"): self._own,
            ("GET", "comments/show_batch"): self._batch,
            ("POST", "comments/reply"): self._reply,
            ("POST", "comments/create"): self._create,
            ("POST", "comments/destroy"): self._destroy,
        }
        step = steps.get((method, name))
        if step is None:
            return self._error(10020, name)
        found = step(params, commercial)
        return self._error(found, name) if isinstance(found, int) else _json(found)

    def _owner(self, _params: Mapping[str, str], _commercial: bool) -> Body:
        return {
            "uid": self.uid,
            "appkey": "1352222456",
            "scope": None,
            "create_at": 1352267591,
            "expire_in": "2592000",
        }

    # --- lists ---------------------------------------------------------------------------------------

    def _received(self, params: Mapping[str, str], commercial: bool) -> Body:
        mine = [
            row for row in self.rows.values() if row.post and row.uid != self.uid and self._is_for_us(row)
        ]
        return self._list("comments", mine, params, commercial)

    def _is_for_us(self, row: FakeRow) -> bool:
        parent = self.rows.get(row.parent)
        return row.owner == self.uid or (parent is not None and parent.uid == self.uid)

    def _mentioned(self, params: Mapping[str, str], commercial: bool) -> Body:
        mine = [row for row in self.rows.values() if row.post and row.mentions]
        return self._list("comments", mine, params, commercial)

    def _mentioning(self, params: Mapping[str, str], commercial: bool) -> Body:
        mine = [row for row in self.rows.values() if not row.post and row.mentions]
        return self._list("statuses", mine, params, commercial)

    def _own(self, params: Mapping[str, str], _commercial: bool) -> Body:
        mine = [row for row in self.rows.values() if row.post and row.uid == self.uid]
        return self._list("comments", mine, params, True)

    def _list(self, key: str, rows: list[FakeRow], params: Mapping[str, str], every: bool) -> Body:
        """Cut the page out of all rows first, and leave rows out of it afterwards."""
        since, last = int(params.get("since_id", "0")), int(params.get("max_id", "0"))
        count, page = min(int(params.get("count", "50")), self.most), int(params.get("page", "1"))
        rows = sorted(
            (row for row in rows if row.key > since and (not last or row.key <= last)), key=lambda r: -r.key
        )
        shown = [row for row in rows[(page - 1) * count : page * count] if row.shown or every]
        cursor = shown[-1].key if shown else 0
        body = {key: [self._row(row) for row in shown], "total_number": len(rows)}
        return {**body, "previous_cursor": 0, "next_cursor": cursor, "hasvisible": False}

    def _batch(self, params: Mapping[str, str], _commercial: bool) -> list[Body] | int:
        keys = [int(key) for key in params.get("cids", "").split(",") if key.isdigit()]
        if len(keys) > 50:
            return 10017
        found = [self._row(self.rows[key]) for key in keys if key in self.rows]
        return found or 20201

    def _row(self, row: FakeRow) -> Body:
        made: Body = {
            "created_at": _time(row.at),
            "id": row.key,
            "idstr": str(row.key),
            "mid": str(row.key),
            "text": row.text,
            "source": '<a href="http://app.weibo.com/t/feed/1tqBja" rel="nofollow">微博网页版</a>',
            "user": {"id": row.uid, "idstr": str(row.uid), "screen_name": f"用户{row.uid % 1000}"},
        }
        post = self.rows.get(row.post)
        if row.post:
            made["status"] = {"idstr": str(row.post), "text": post.text if post else ""}
            made["status"]["user"] = {"id": row.owner, "idstr": str(row.owner)}
        if (parent := self.rows.get(row.parent)) is not None:
            made["reply_comment"] = {"idstr": str(parent.key), "text": parent.text}
            made["reply_comment"]["user"] = {"id": parent.uid, "idstr": str(parent.uid)}
        return {**made, **row.more}

    # --- writing -------------------------------------------------------------------------------------

    def _reply(self, params: Mapping[str, str], _commercial: bool) -> Body | int:
        parent = self.rows.get(int(params["cid"]))
        if parent is None:
            return 20201
        mention = "" if params.get("without_mention") == "1" else f"回复@用户{parent.uid % 1000}:"
        return self._say(params, mention, parent.key)

    def _create(self, params: Mapping[str, str], _commercial: bool) -> Body | int:
        return self._say(params, "", 0)

    def _say(self, params: Mapping[str, str], mention: str, parent: int) -> Body | int:
        post, text = self.rows.get(int(params["id"])), params["comment"]
        if post is None:
            return 20101
        if not text:
            return 20008
        if sum(1 if character.isascii() else 2 for character in text) > 2 * 140:
            return 20012
        if any(
            row.uid == self.uid and row.post == post.key and row.text == mention + text
            for row in self.rows.values()
        ):
            return 20019
        made = self.write(self.uid, mention + text, post=post.key, owner=post.uid, parent=parent)
        return self._row(made)

    def _destroy(self, params: Mapping[str, str], commercial: bool) -> Body | int:
        row = self.rows.get(int(params["cid"]))
        if row is None:
            return 20201
        if row.uid != self.uid and not (commercial and row.owner == self.uid):
            return 20203
        del self.rows[row.key]
        self.done[f"destroy {row.key}"] += 1
        return self._row(row)


def _time(at: float) -> str:
    """Write a moment as Weibo does, whatever the language of this machine."""
    day = datetime.fromtimestamp(int(at), CHINA)
    return f"{DAYS[day.weekday()]} {MONTHS[day.month - 1]} {day:%d %H:%M:%S} +0800 {day.year}"


def _json(value: Any, status: int = 200) -> web.Response:
    text = json.dumps(value, ensure_ascii=False)
    return web.Response(
        body=text.encode("utf-8", "backslashreplace"), status=status, content_type="application/json"
    )
