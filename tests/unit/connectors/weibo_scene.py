"""A Weibo channel over real sockets: the fake platform, and an intake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.weibo import Weibo, connector
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_weibo import FakeWeibo

MEMBER = 1_987_000_002
QUICK: Mapping[str, Any] = {
    "poll_seconds": 0.02,
    "mention_seconds": 0.02,
    "rescan_seconds": 0.03,
    "retry_seconds": 0.02,
    "call_seconds": 2.0,
}


def make(fake: FakeWeibo, name: str = "wb", **settings: Any) -> Weibo:
    """Return a connector for the fake account that does not wait long for anything."""
    where = {"access_token": fake.token, "api_url": fake.url, "commercial_url": fake.url}
    return connector(ChannelConfig(name, "weibo", {**QUICK, **where, **settings}))


async def until(fact: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until ``fact`` holds."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


@dataclass
class Intake:
    """Keeps what came as the store would, and the cursor of what was committed."""

    cursor: str | None = None
    items: list[RawPost | Broken] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def listen(self, weibo: Weibo) -> None:
        async for batch in weibo.posts(self.cursor):
            self.items.extend(batch.items)
            self.sizes.append(len(batch.items))
            self.cursor = batch.cursor or self.cursor

    def of(self, kind: PostKind) -> list[RawPost]:
        return [item for item in self.items if isinstance(item, RawPost) and item.kind is kind]

    @property
    def posts(self) -> list[RawPost]:
        return self.of(PostKind.POST)

    @property
    def broken(self) -> list[Broken]:
        return [item for item in self.items if isinstance(item, Broken)]

    def said(self) -> list[str]:
        return [post.text for post in self.posts]


@asynccontextmanager
async def listening(weibo: Weibo, intake: Intake | None = None) -> AsyncIterator[Intake]:
    """Let an intake listen until the block ends; closes the connector."""
    intake = intake or Intake()
    task = asyncio.create_task(intake.listen(weibo))
    try:
        yield intake
    finally:
        await weibo.close()
        await asyncio.wait_for(task, 10)


async def looked(fake: FakeWeibo, times: int = 4) -> None:
    """Wait until the comments received were asked for some more times."""
    asked = fake.calls["comments/to_me"]
    await until(lambda: fake.calls["comments/to_me"] >= asked + times)


def effect(handle: str | None, kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    """Return an effect about a post of the channel, leased for its first attempt."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": 7,
        "key": "reply:7",
        "kind": kind,
        "channel": "wb",
        "case_id": 1,
        "state": EffectState.SENDING,
        "not_before": now,
        "created_at": now,
        "handle": handle,
        "text": "已转后勤处，今天18点前答复。\n编号〔H-1-7〕",
        "mark": "〔H-1-7〕",
        "attempt": 1,
        "fence": 1,
    }
    return Effect(**{**given, **fields})
