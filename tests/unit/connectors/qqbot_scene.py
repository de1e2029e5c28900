"""A connector of the QQ official bot over real sockets, and what its tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from onebot_scene import Intake, until

from connectors._qqbot_wire import handle_of
from connectors.qqbot import QQBot, connector
from monitor.core.model import Effect, EffectKind, EffectState
from monitor.core.ports import ChannelConfig, Request
from monitor.testing.fake_qqbot import FakeQQBot

__all__ = [
    "GROUP",
    "MEMBER",
    "OTHER",
    "Intake",
    "effect",
    "handle",
    "listening",
    "make",
    "on",
    "served",
    "until",
]

GROUP, OTHER = "0F3C" + "0" * 26 + "A9", "0F3C" + "1" * 26 + "B8"
MEMBER = "7D21" + "0" * 26 + "4C"


def make(fake: FakeQQBot, **settings: Any) -> QQBot:
    """Return a connector of channel ``bot`` that does not wait long for anything."""
    quick: dict[str, Any] = {
        "app_id": fake.app_id,
        "secret": fake.secret,
        "groups": [GROUP, OTHER],
        "api_url": fake.url,
        "call_seconds": 1.0,
        "retry_seconds": 0.05,
    }
    return connector(ChannelConfig("bot", "qqbot", quick | settings))


@asynccontextmanager
async def listening(bot: QQBot, intake: Intake | None = None) -> AsyncIterator[Intake]:
    """Let an intake listen to ``bot`` until the block ends; closes the connector."""
    intake = intake or Intake()
    task = asyncio.create_task(intake.listen(bot))  # type: ignore[arg-type]
    try:
        yield intake
    finally:
        await bot.close()
        await bot.close()  # a second time does no harm
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5)


@asynccontextmanager
async def on(fake: FakeQQBot, **settings: Any) -> AsyncIterator[tuple[QQBot, Intake]]:
    """Connect a bot with the gateway of ``fake`` and listen until the block ends."""
    bot = make(fake, **settings)
    async with listening(bot) as intake:
        await asyncio.wait_for(fake.connected.wait(), 5)
        await until(lambda: bot._gateway.is_ready)
        yield bot, intake


@asynccontextmanager
async def served(bot: QQBot, intake: Intake) -> AsyncIterator[str]:
    """Serve the path for pushes and yield its address; what is pushed is stored before it is acknowledged."""
    (route,) = bot.routes()

    async def answer(request: web.Request) -> web.Response:
        asked = Request(request.method, request.path, request.headers, request.query, await request.read())
        assert route.handle is not None
        given = await route.handle(asked)
        intake.take(given.items)
        return web.Response(status=given.status, body=given.body, headers=dict(given.headers))

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", route.path, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{route.path}"
    finally:
        await runner.cleanup()


def handle(data: dict[str, Any]) -> str:
    """Return the handle of a message as the connector makes it."""
    made = handle_of(data["id"], datetime.fromisoformat(data["timestamp"]))
    assert made is not None
    return made


def effect(kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    """Return an effect in the first group, leased for its first attempt."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": 7,
        "key": "reply:7",
        "kind": kind,
        "channel": "bot",
        "case_id": 1,
        "state": EffectState.SENDING,
        "not_before": now,
        "created_at": now,
        "thread": GROUP,
        "text": "已转后勤处,今天18点前答复。编号〔H-1-7〕",
        "mark": "〔H-1-7〕",
        "attempt": 1,
        "fence": 1,
    }
    return Effect(**{**given, **fields})
