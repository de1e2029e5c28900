"""A fake Discourse that speaks the part of its API that a channel needs, with the habits of a real one.

For tests and for authors of connectors: pages of 50 by descending id, soft deletion, the memory of 120 seconds for
identical posts, silencing that refuses a second time, both shapes of 429, signed webhooks with a new delivery number
for every attempt.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

__all__ = ["FakeDiscourse", "FakePost", "Faults"]

PAGE = 50
Body = dict[str, Any]
_START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time. Keys are operations such as ``POST /posts.json``.

    ``give`` answers instead of carrying it out; ``drop_before`` and ``drop_after`` cut the connection before or after
    it is carried out. ``windows`` pages by ids and not by posts (before 2018); ``enqueue`` lets new posts wait for
    approval; ``ignores_before`` sends the newest page again and again.
    """

    answers: dict[str, deque[web.Response]] = field(default_factory=dict)
    drop_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    windows: bool = False
    enqueue: bool = False
    ignores_before: bool = False

    def give(self, operation: str, *answers: web.Response) -> None:
        """Let the next calls of ``operation`` be answered so."""
        self.answers.setdefault(operation, deque()).extend(answers)


@dataclass(slots=True)
class FakePost:
    """One post as the forum keeps it; ``row`` replaces what is sent of it."""

    id: int
    topic: int
    number: int
    username: str
    user_id: int
    raw: str
    created: datetime
    updated: datetime
    answers: int | None = None
    category: int = 5
    version: int = 1
    post_type: int = 1
    archetype: str = "regular"
    deleted: datetime | None = None
    by_author: bool = False
    hidden: bool = False
    listed: bool = True
    odd: Body = field(default_factory=dict)

    def row(self) -> Body:
        """Return what the API sends."""
        return {
            "id": self.id,
            "username": self.username,
            "name": self.username,
            "user_id": self.user_id,
            "created_at": _stamp(self.created),
            "updated_at": _stamp(self.updated),
            "cooked": f"<p>{self.raw}</p>",
            "raw": self.raw,
            "post_number": self.number,
            "post_type": self.post_type,
            "reply_to_post_number": self.answers,
            "topic_id": self.topic,
            "topic_slug": "shitang",
            "topic_title": f"主题 {self.topic}",
            "category_id": self.category,
            "version": self.version,
            "hidden": self.hidden,
            "deleted_at": _stamp(self.deleted) if self.deleted else None,
            "user_deleted": self.by_author,
            "edit_reason": None,
            "trust_level": 1,
            "staff": False,
            "post_url": f"/t/shitang/{self.topic}/{self.number}",
            "reviewable_id": None,
            **self.odd,
        }


class FakeDiscourse:
    """One forum with one API key for the account ``gonghui``."""

    def __init__(self) -> None:
        self.key = "fake-api-key-0123456789abcdef"
        self.username = "gonghui"
        self.secret = "huiyin-secret"  # noqa: S105 - invented
        self.is_moderator = True
        self.faults = Faults()
        self.posts: dict[int, FakePost] = {}
        self.gone_topics: set[int] = set()
        self.queue: list[Body] = []
        self.silenced: dict[int, str] = {}
        self.done: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.port = 0
        self._users: dict[str, int] = {self.username: 2}
        self._memory: dict[str, Body] = {}
        self._deliveries = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the forum."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeDiscourse:
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

    # --- what people do there ------------------------------------------------------------------------

    def post(self, raw: str, username: str = "xiaozhou", topic: int = 77, **fields: Any) -> FakePost:
        """Let somebody write a post; ``number`` defaults to the next one of the topic, from 2 on."""
        number = max((p.number for p in self.posts.values() if p.topic == topic), default=1) + 1
        at = _START + timedelta(minutes=len(self.posts))
        user = self._users.setdefault(username, 10 + len(self._users))
        given: dict[str, Any] = {"number": number, "created": at, "updated": at, **fields}
        made = FakePost(
            max(self.posts, default=9_000) + 1, topic, username=username, user_id=user, raw=raw, **given
        )
        self.posts[made.id] = made
        return made

    def edit(self, post: FakePost, raw: str, *, in_grace: bool = False) -> None:
        """Change the words; within the time of grace the version stays."""
        post.raw, post.updated = raw, post.updated + timedelta(minutes=1)
        post.version += not in_grace

    def delete(self, post: FakePost, *, by_author: bool = False) -> None:
        """Let a moderator remove a post, or its author: then it stays in the lists for a day with other words."""
        post.updated += timedelta(minutes=1)
        if by_author:
            post.by_author, post.raw = True, "(post deleted by author)"
        else:
            post.deleted = post.updated

    def recover(self, post: FakePost) -> None:
        """Bring a post back."""
        post.deleted, post.by_author, post.updated = None, False, post.updated + timedelta(minutes=1)

    # --- webhooks ------------------------------------------------------------------------------------

    def wrap(self, event: str, body: bytes) -> dict[str, str]:
        """Return the headers with which ``body`` is pushed: a new delivery number every time."""
        self._deliveries += 1
        headers = {
            "Content-Type": "application/json",
            "X-Discourse-Instance": self.url,
            "X-Discourse-Event-Id": str(self._deliveries),
            "X-Discourse-Event-Type": event.partition("_")[0],
            "X-Discourse-Event": event,
        }
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Discourse-Event-Signature"] = f"sha256={digest}"
        return headers

    def push_of(self, event: str, post: FakePost, **fields: Any) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a push about ``post``."""
        row = {**post.row(), "topic_archetype": post.archetype, "topic_posts_count": 4, **fields}
        body = json.dumps({"post": row}, ensure_ascii=False).encode()
        return self.wrap(event, body), body

    async def push(self, url: str, event: str, post: FakePost) -> int:
        """Push to ``url`` and return the status."""
        headers, body = self.push_of(event, post)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            return answer.status

    # --- the API -------------------------------------------------------------------------------------

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
        await asyncio.sleep(0)
        return answer

    def _take(self, counter: Counter[str], operation: str) -> bool:
        counter[operation] -= 1
        return counter[operation] >= 0

    def _cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _judge(self, request: web.Request, body: Body) -> web.Response:
        given = (request.headers.get("Api-Key"), request.headers.get("Api-Username"))
        if given != (self.key, self.username):
            return _refusal(403, "invalid_access")
        parts = request.path.removesuffix(".json").strip("/").split("/")
        if request.path == "/posts.json":
            return self._create(body) if request.method == "POST" else self._latest(request.query)
        if request.path == "/review.json":
            return _json({"reviewables": self.queue, "meta": {}}) if self.is_moderator else _refusal(404)
        if parts[0] == "admin":
            return self._user(request.method, parts, body)
        if parts[0] == "t":
            return self._topic(int(parts[1]), request)
        if parts[0] == "posts" and parts[1].isdigit():
            return self._one(request.method, int(parts[1]), parts[2:])
        return _refusal(404)

    def _latest(self, query: Mapping[str, str]) -> web.Response:
        before = int(query.get("before", 0)) if not self.faults.ignores_before else 0
        before = before or max(self.posts, default=0) + 1
        every = [post for number, post in sorted(self.posts.items(), reverse=True) if number < before]
        if self.faults.windows:
            every = [post for post in every if post.id >= before - PAGE]
        shown = [
            post.row()
            for post in every
            if post.listed
            and not post.deleted
            and post.topic not in self.gone_topics
            and post.archetype == "regular"
        ]
        return _json({"latest_posts": shown[:PAGE]})

    def _one(self, method: str, number: int, rest: list[str]) -> web.Response:
        post = self.posts.get(number)
        if post is None:
            return _refusal(404, "not_found")
        if method == "GET":
            is_hidden = post.deleted is not None and not self.is_moderator
            return _refusal(404, "not_found") if is_hidden else _json(post.row())
        if not self.is_moderator:
            return _refusal(403, "invalid_access")
        if method == "DELETE" and not rest:
            if post.deleted is not None:
                return _refusal(403, "invalid_access")
            self.delete(post)
            self.done[f"delete {number}"] += 1
            return web.Response(body=b"")
        if method == "PUT" and rest == ["recover"]:
            if post.deleted is None and not post.by_author:
                return _refusal(403, "invalid_access")
            self.recover(post)
            self.done[f"recover {number}"] += 1
            return _json(post.row())
        return _refusal(404)

    def _topic(self, topic: int, request: web.Request) -> web.Response:
        posts = [p for p in self.posts.values() if p.topic == topic and not p.deleted]
        if not posts:
            return _refusal(404, "not_found")
        if request.path.endswith("/posts.json"):
            wanted = set(request.query.getall("post_ids[]", []))
            rows = [p.row() for p in posts if str(p.id) in wanted]
            if request.query.get("include_raw") != "true":
                rows = [{key: value for key, value in row.items() if key != "raw"} for row in rows]
            return _json({"post_stream": {"posts": rows}, "id": topic})
        gone = _stamp(_START) if topic in self.gone_topics else None
        stream = {"posts": [p.row() for p in posts[:20]], "stream": [p.id for p in posts]}
        return _json({"id": topic, "deleted_at": gone, "post_stream": stream})

    def _create(self, body: Body) -> web.Response:
        same = json.dumps(body, sort_keys=True)
        if same in self._memory:
            return _json(self._memory[same])
        if len(body.get("raw", "")) < 5:
            return _refusal(422)
        if any(p.raw == body["raw"] and p.username == self.username for p in self.posts.values()):
            return _refusal(422)
        if self.faults.enqueue:
            payload = {"raw": body["raw"], "topic_id": body["topic_id"]}
            self.queue.append({"id": len(self.queue) + 1, "type": "ReviewableQueuedPost", "payload": payload})
            told: Body = {"success": True, "action": "enqueued", "pending_post": {"id": len(self.queue)}}
        else:
            made = self.post(
                body["raw"], self.username, int(body["topic_id"]), answers=body.get("reply_to_post_number")
            )
            told = made.row()
        self._memory[same] = told
        return _json(told)

    def _user(self, method: str, parts: list[str], body: Body) -> web.Response:
        number = int(parts[2])
        if not self.is_moderator:
            return _refusal(404, "not_found")
        if number not in self._users.values():
            return _refusal(404, "not_found")
        if method == "GET":
            return _json({"id": number, "silenced_till": self.silenced.get(number)})
        if number in self.silenced:
            return _json({"failed": "FAILED", "message": "already silenced"}, 409)
        self.silenced[number] = body["silenced_till"]
        self.done[f"silence {number}"] += 1
        return _json({"silence": {"silenced": True, "silenced_till": body["silenced_till"]}})


def _json(value: Body, status: int = 200) -> web.Response:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return web.Response(status=status, body=data, content_type="application/json")


def _refusal(status: int, kind: str = "") -> web.Response:
    return _json({"errors": ["You are not permitted."], "error_type": kind or "invalid_parameters"}, status)
