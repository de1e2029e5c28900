"""A Discuz! channel over real sockets: the fake forum, and an intake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.discuz import Discuz, connector
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_discuz import FakeDiscuz

MEMBER = 77_003_456
QUICK: Mapping[str, Any] = {
    "forums": [2],
    "poll_seconds": 0.02,
    "rescan_seconds": 0.02,
    "retry_seconds": 0.02,
    "call_seconds": 2.0,
}


def make(fake: FakeDiscuz, name: str = "bbs", **settings: Any) -> Discuz:
    """Return a connector for the fake forum that does not wait long for anything."""
    account = {"username": fake.username, "password": fake.password}
    return connector(ChannelConfig(name, "discuz", {**QUICK, **account, "url": fake.url, **settings}))


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

    async def listen(self, discuz: Discuz) -> None:
        async for batch in discuz.posts(self.cursor):
            self.items.extend(batch.items)
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
async def listening(discuz: Discuz, intake: Intake | None = None) -> AsyncIterator[Intake]:
    """Let an intake listen until the block ends; closes the connector."""
    intake = intake or Intake()
    task = asyncio.create_task(intake.listen(discuz))
    try:
        yield intake
    finally:
        await discuz.close()
        await asyncio.wait_for(task, 10)


async def looked(fake: FakeDiscuz, times: int = 3) -> None:
    """Wait until the forum's list was asked for some more times."""
    asked = fake.calls["forumdisplay"]
    await until(lambda: fake.calls["forumdisplay"] >= asked + times)


def effect(handle: str | None, kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    """Return an effect about a post of the channel, leased for its first attempt."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": 7,
        "key": "reply:7",
        "kind": kind,
        "channel": "bbs",
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
