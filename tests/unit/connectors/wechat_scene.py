"""A WeChat channel over real sockets: the fake account, the small service around the connector, and an intake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from connectors.wechat import WeChat, connector
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import ChannelConfig, Request
from monitor.testing.fake_wechat import FakeWeChat

AES = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OTHER_AES = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
ARTICLE = (12003, 2)
MEMBER = "oABC-test_openid"
QUICK: Mapping[str, Any] = {
    "articles": ["12003_3"],
    "find_articles": False,
    "poll_seconds": 0.02,
    "slow_seconds": 0.02,
    "retry_seconds": 0.02,
    "call_seconds": 2.0,
}


def make(fake: FakeWeChat, name: str = "gzh", **settings: Any) -> WeChat:
    """Return a connector for the fake account that does not wait long for anything."""
    given = {
        **QUICK,
        "appid": fake.appid,
        "app_secret": fake.secret,
        "token": fake.token,
        "aes_secret": fake.aes_key,
        "api_url": fake.url,
        **settings,
    }
    return connector(ChannelConfig(name, "wechat", given))


async def until(fact: Callable[[], object], seconds: float = 8.0) -> None:
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

    def take(self, items: tuple[RawPost | Broken, ...]) -> None:
        self.items.extend(items)

    async def listen(self, wechat: WeChat) -> None:
        async for batch in wechat.posts(self.cursor):
            self.take(batch.items)
            self.cursor = batch.cursor or self.cursor
            if batch.ack is not None:
                await batch.ack()

    def of(self, kind: PostKind) -> list[RawPost]:
        return [item for item in self.items if isinstance(item, RawPost) and item.kind is kind]

    @property
    def posts(self) -> list[RawPost]:
        return self.of(PostKind.POST)

    @property
    def removals(self) -> list[RawPost]:
        return self.of(PostKind.REMOVAL)

    @property
    def broken(self) -> list[Broken]:
        return [item for item in self.items if isinstance(item, Broken)]

    def said(self) -> list[str]:
        return [post.text for post in self.posts]


class Service:
    """The HTTP side: stores what a push brought before the answer leaves, or fails to."""

    def __init__(self, wechat: WeChat, intake: Intake) -> None:
        self._wechat = wechat
        self.intake = intake
        self.refusals = 0
        self.slowness = 0.0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        (route,) = self._wechat.routes()
        app.router.add_route("*", route.path, self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{route.path}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        (route,) = self._wechat.routes()
        assert route.handle is not None
        body = await request.read()
        asked = Request(request.method, request.path, request.headers, request.query, body)
        answer = await route.handle(asked)
        if answer.items and self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        self.intake.take(answer.items)
        await asyncio.sleep(self.slowness)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


@asynccontextmanager
async def serving(wechat: WeChat) -> AsyncIterator[Service]:
    """Open the connector's path until the block ends; closes the connector, twice."""
    service = Service(wechat, Intake())
    await service.start()
    try:
        yield service
    finally:
        await wechat.close()
        await wechat.close()
        await service.stop()


@asynccontextmanager
async def listening(wechat: WeChat, intake: Intake | None = None) -> AsyncIterator[Intake]:
    """Let an intake listen until the block ends; closes the connector."""
    intake = intake or Intake()
    task = asyncio.create_task(intake.listen(wechat))
    try:
        yield intake
    finally:
        await wechat.close()
        await asyncio.wait_for(task, 5)


def effect(handle: str | None, kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    """Return an effect about a post of the channel, leased for its first attempt."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": 7,
        "key": "reply:7",
        "kind": kind,
        "channel": "gzh",
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
