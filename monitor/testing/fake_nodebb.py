"""A fake NodeBB that speaks the part of its interface that a channel needs, with the habits of a real one.

For tests and for authors of connectors: pages of 20 posts, a wrong token that passes for a guest, removed posts shown
to moderators only, a removal of what is removed refused with 400, a queue of posts that wait for approval.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

__all__ = ["FakeNodeBB", "FakePost", "Faults"]

PAGE = 20
_START = 1_772_413_200_000
Body = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time. Keys are operations such as ``POST /api/v3/topics/77``."""

    answers: dict[str, deque[web.Response]] = field(default_factory=dict)
    drop_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    queues: bool = False

    def give(self, operation: str, *answers: web.Response) -> None:
        """Let the next calls of ``operation`` be answered so."""
        self.answers.setdefault(operation, deque()).extend(answers)


@dataclass(slots=True)
class FakePost:
    """One post; ``odd`` replaces what is sent of it."""

    pid: int
    tid: int
    uid: int
    content: str
    at: int
    answers: int | None = None
    cid: int = 2
    is_main: bool = False
    deleted: bool = False
    odd: Body = field(default_factory=dict)


class FakeNodeBB:
    """One forum with one token, of the moderator ``gonghui`` (number 9)."""

    def __init__(self) -> None:
        self.token = "fake-token-0123456789abcdef"  # noqa: S105 - invented
        self.uid = 9
        self.is_moderator = True
        self.faults = Faults()
        self.posts: dict[int, FakePost] = {}
        self.purged: set[int] = set()
        self.gone_topics: set[int] = set()
        self.muted: dict[int, int] = {}
        self.queue: list[Body] = []
        self.foreign: list[Body] = []
        self.done: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the forum."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeNodeBB:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the forum on a free port, or on the former one."""
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

    def post(self, content: str, uid: int = 20002000, tid: int = 77, **fields: Any) -> FakePost:
        """Let somebody write a post."""
        pid = max(self.posts, default=0) + 1
        made = FakePost(pid, tid, uid, content, _START + pid * 60_000, **fields)
        self.posts[pid] = made
        return made

    # --- the interface -------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        operation = f"{request.method} {request.path}"
        self.calls[operation] += 1
        raw = await request.read()
        if self._take(self.faults.drop_before, operation):
            return self._cut(request)
        if answers := self.faults.answers.get(operation):
            return answers.popleft()
        answer = self._judge(request, json.loads(raw) if raw else {})
        if self._take(self.faults.drop_after, operation):
            return self._cut(request)
        return answer

    def _take(self, counter: Counter[str], operation: str) -> bool:
        counter[operation] -= 1
        return counter[operation] >= 0

    def _cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _judge(self, request: web.Request, body: Body) -> web.Response:
        is_known = request.headers.get("Authorization") == f"Bearer {self.token}"
        parts = request.path.strip("/").split("/")[1:]
        if parts[0] == "v3":
            return self._write(request.method, parts[1:], body, is_known)
        if parts[:2] == ["recent", "posts"]:
            return _json(self._recent(int(request.query.get("page", 1)), is_known))
        if parts[0] == "topic":
            return self._topic(int(parts[1]), int(request.query.get("page", 1)))
        if not is_known:
            return _json("not-authorized", 401)
        if parts == ["self"]:
            return _json({"uid": self.uid, "username": "gonghui"})
        if parts == ["flags"]:
            return _json({"flags": []}, 200 if self.is_moderator else 403)
        if parts == ["post-queue"]:
            return _json({"posts": self.queue})
        if parts[:2] == ["user", "uid"]:
            until = self.muted.get(int(parts[2]), 0)
            return _json({"uid": int(parts[2]), "muted": bool(until), "mutedUntil": until})
        return _json({"path": request.path}, 404)

    def _row(self, post: FakePost) -> Body:
        return {
            "pid": post.pid,
            "tid": post.tid,
            "toPid": post.answers,
            "url": f"{self.url}/post/{post.pid}",
            "content": post.content,
            "sourceContent": None,
            "uid": post.uid,
            "timestamp": post.at,
            "deleted": post.deleted,
            "user": {"uid": post.uid, "username": f"u{post.uid}", "isLocal": True},
            "topic": {"tid": post.tid, "title": "三食堂 &amp; 停水", "cid": post.cid, "deleted": 0},
            "category": {"cid": post.cid, "name": "公开"},
            "isMainPost": post.is_main,
            **post.odd,
        }

    def _recent(self, page: int, is_known: bool) -> list[Body]:
        rows = []
        for _pid, post in sorted(self.posts.items(), reverse=True):
            row = self._row(post)
            row["topic"]["deleted"] = int(post.tid in self.gone_topics)
            is_hidden = post.deleted or post.tid in self.gone_topics
            if not is_hidden or (is_known and self.is_moderator):
                rows.append(row)
        rows = [*self.foreign, *rows]
        return rows[(page - 1) * PAGE : page * PAGE]

    def _topic(self, tid: int, page: int) -> web.Response:
        posts = [post for post in self.posts.values() if post.tid == tid]
        if not posts:
            return _json({"path": f"/topic/{tid}"}, 404)
        count = (len(posts) + PAGE - 1) // PAGE
        page = min(page, count)
        rows = [self._row(post) for post in posts[(page - 1) * PAGE : page * PAGE]]
        return _json({"tid": tid, "posts": rows, "pagination": {"pageCount": count}})

    # --- v3 ------------------------------------------------------------------------------------------

    def _write(self, method: str, parts: list[str], body: Body, is_known: bool) -> web.Response:
        if method != "GET" and not is_known:
            return _v3(401, "not-authorised")
        number = int(parts[1]) if parts[1].isdigit() else 0
        if parts[0] == "topics":
            return self._topics(method, number, body)
        if parts[0] == "posts":
            return self._one(method, number, parts[2:])
        if parts[0] == "users" and parts[2:] == ["mute"] and method == "PUT":
            if not self.is_moderator:
                return _v3(403, "forbidden")
            self.muted[number] = body["until"]
            self.done[f"mute {number}"] += 1
            return _v3(200, "ok", {})
        return _v3(404, "not-found")

    def _topics(self, method: str, tid: int, body: Body) -> web.Response:
        if not any(post.tid == tid for post in self.posts.values()):
            return _v3(404, "not-found")
        if method == "GET":
            return _v3(200, "ok", {"tid": tid, "deleted": int(tid in self.gone_topics)})
        if len(body.get("content", "")) < 5:
            return _v3(400, "bad-request")
        if self.faults.queues:
            name = f"reply-{len(self.queue) + 1}"
            self.queue.append({"id": name, "type": "reply", "data": {"rawContent": body["content"]}})
            return _v3(202, "accepted", {"id": name, "type": "reply", "queued": True})
        made = self.post(f'<p dir="auto">{body["content"]}</p>\n', self.uid, tid, answers=body.get("toPid"))
        self.done[f"post {body['content']}"] += 1
        return _v3(200, "ok", self._row(made))

    def _one(self, method: str, pid: int, rest: list[str]) -> web.Response:
        post = self.posts.get(pid)
        if post is None:
            return _v3(404, "not-found")
        if method == "GET":
            row = {"pid": pid, "tid": post.tid, "uid": post.uid, "deleted": int(post.deleted)}
            return _v3(200, "ok", {**row, "content": post.content, "timestamp": post.at, "edited": 0})
        if not self.is_moderator:
            return _v3(403, "forbidden")
        wanted = method == "DELETE"
        if rest != ["state"]:
            return _v3(404, "not-found")
        if post.deleted is wanted:
            return _v3(400, "bad-request")
        post.deleted = wanted
        self.done[f"{'delete' if wanted else 'restore'} {pid}"] += 1
        return _v3(200, "ok", {})


def _json(value: Any, status: int = 200) -> web.Response:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return web.Response(status=status, body=data, content_type="application/json")


def _v3(status: int, code: str, response: Body | None = None) -> web.Response:
    return _json({"status": {"code": code, "message": code}, "response": response or {}}, status)
