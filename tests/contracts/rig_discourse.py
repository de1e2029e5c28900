"""A Discourse forum: a fake one behind a wire, and its signed webhooks."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from connectors._comments_words import as_markdown
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector, Request
from monitor.testing import connector_suite as suite
from monitor.testing.fake_discourse import FakeDiscourse
from monitor.testing.faulty_wire import FaultyWire

MEMBER = "xiaozhou_20002000"
PAGE = "GET /posts.json"
ELSEWHERE = 99


class Rig(suite.Rig):
    type = "discourse"
    listens = pushes = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeDiscourse()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "api_key": self.fake.key,
            "api_username": self.fake.username,
            "secrets": [self.fake.secret],
            "categories": [5],
            "poll_seconds": 0.02,
            "whole_seconds": 0.1,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls[PAGE]
        await self.desk.until(lambda: self.fake.calls[PAGE] > asked)

    async def say(self, text: str) -> None:
        self.fake.post(text, MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls[PAGE]  # every look shows everything again
        await self.desk.until(lambda: self.fake.calls[PAGE] > asked + 4)

    async def garble(self) -> bool:
        self.fake.post("天机", MEMBER, odd={"raw": {"半截": "天机"}, "cooked": None})
        return True

    def natives(self) -> Collection[str]:
        return [MEMBER, self.fake.key, self.fake.secret]

    def pushed(self, body: bytes | None = None) -> Request:
        if body is None:
            row = {"id": 7, "raw": "停水", "user_id": 12, "topic_id": 77, "post_number": 2, "category_id": 5}
            body = json.dumps({"post": {**row, "created_at": "2026-01-01T00:00:00.123Z"}}).encode()
        headers = self.fake.wrap("post_created", body)
        return Request("POST", f"/hooks/discourse/{self.channel}", headers, {}, body)

    def proofs(self) -> Collection[str]:
        return ["X-Discourse-Event-Signature"]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        post = self.fake.post(f"要处理的 {number}", f"u{number}", ELSEWHERE, category=8)
        if kind is EffectKind.RESTORE:
            self.fake.delete(post)
        told = suite.effect(kind, self.channel, number, handle=str(post.id), thread=str(ELSEWHERE))
        return told, str(post.user_id) if kind is EffectKind.MUTE else None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return sum(post.raw == as_markdown(done.text) for post in self.fake.posts.values())
        post = self.fake.posts[int(done.handle or 0)]
        verb = {EffectKind.RESTORE: f"recover {post.id}", EffectKind.MUTE: f"silence {post.user_id}"}
        return self.fake.done[verb.get(done.kind, f"delete {post.id}")]

    def tells(self, kind: EffectKind) -> bool:
        return True
