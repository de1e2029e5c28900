"""A NodeBB forum: a fake one behind a wire."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from connectors._comments_words import as_markdown
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_nodebb import FakeNodeBB
from monitor.testing.faulty_wire import FaultyWire

MEMBER = 20002000
PAGE = "GET /api/recent/posts/alltime"
ELSEWHERE = 99


class Rig(suite.Rig):
    type = "nodebb"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeNodeBB()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "token": self.fake.token,
            "categories": [2],
            "poll_seconds": 0.02,
            "whole_seconds": 0.1,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls[PAGE]
        await self.desk.until(lambda: self.fake.calls[PAGE] > asked)

    async def say(self, text: str) -> None:
        self.fake.post(f'<p dir="auto">{text}</p>\n', MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls[PAGE]  # every look shows everything again
        await self.desk.until(lambda: self.fake.calls[PAGE] > asked + 4)

    async def garble(self) -> bool:
        self.fake.post("天机", MEMBER, odd={"content": {"半截": "天机"}})
        return True

    def natives(self) -> Collection[str]:
        return [str(MEMBER), self.fake.token]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        post = self.fake.post(f"<p>要处理的 {number}</p>", 500 + number, ELSEWHERE, cid=8)
        post.deleted = kind is EffectKind.RESTORE
        told = suite.effect(kind, self.channel, number, handle=str(post.pid), thread=str(ELSEWHERE))
        return told, str(post.uid) if kind is EffectKind.MUTE else None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return self.fake.done[f"post {as_markdown(done.text)}"]
        post = self.fake.posts[int(done.handle or 0)]
        verb = {EffectKind.RESTORE: f"restore {post.pid}", EffectKind.MUTE: f"mute {post.uid}"}
        return self.fake.done[verb.get(done.kind, f"delete {post.pid}")]

    def tells(self, kind: EffectKind) -> bool:
        return True
