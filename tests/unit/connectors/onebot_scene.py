"""A connector over real sockets: the small service around it, and an intake that keeps what it was given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from connectors.onebot import OneBot, connector
from monitor.core.errors import Unavailable
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import ChannelConfig, Request, Response

GROUP, OTHER = 700001, 700002
TOKEN = "a-long-token"
QUICK: Mapping[str, Any] = {
    "groups": [GROUP, OTHER],
    "token": TOKEN,
    "history_pause": 0.0,
    "call_seconds": 2.0,
    "retry_seconds": 0.05,
}


def make(**settings: Any) -> OneBot:
    """Return a connector of channel ``qq`` that does not wait long for anything."""
    return connector(ChannelConfig("qq", "onebot", {**QUICK, **settings}))


async def until(fact: Callable[[], object], seconds: float = 8.0) -> None:
    """Wait until ``fact`` holds."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


class PeerSocket:
    """An accepted WebSocket as the service hands it to a connector."""

    def __init__(self, ws: web.WebSocketResponse, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self._ws = ws

    async def receive(self) -> str | None:
        message = await self._ws.receive()
        return message.data if message.type is WSMsgType.TEXT else None

    async def send(self, text: str) -> None:
        try:
            await self._ws.send_str(text)
        except (ConnectionError, RuntimeError):
            raise Unavailable("the connection is gone") from None

    async def close(self, code: int = 1000) -> None:
        await self._ws.close(code=code)


class Service:
    """The HTTP side of the service: opens the connector's one path and stores what is pushed."""

    def __init__(self, onebot: OneBot, intake: Intake) -> None:
        self._onebot = onebot
        self._intake = intake
        self._sockets: list[PeerSocket] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/onebot/v11/qq"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/onebot/v11/qq"

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        for route in self._onebot.routes():
            app.router.add_route("*", route.path, self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        (route,) = self._onebot.routes()
        assert route.handle is not None
        assert route.accept is not None
        assert route.socket is not None
        if request.headers.get("Upgrade", "").lower() != "websocket":
            body = await request.read()
            asked = Request(request.method, request.path, request.headers, request.query, body)
            answer: Response = await route.handle(asked)
            self._intake.take(answer.items)
            return web.Response(status=answer.status, body=answer.body)
        refused = route.accept(request.headers, request.query)
        if refused is not None:
            return web.Response(status=refused)
        ws = web.WebSocketResponse(max_msg_size=64 * 1024 * 1024, timeout=0.2)
        await ws.prepare(request)
        socket = PeerSocket(ws, request.headers)
        self._sockets.append(socket)
        await route.socket(socket)
        await ws.close()
        return ws

    async def break_all(self) -> None:
        """Close every socket from our side."""
        for socket in self._sockets:
            await socket.close(1012)
        self._sockets.clear()

    async def stop(self) -> None:
        await self.break_all()
        if self._runner is not None:
            await self._runner.cleanup()


@dataclass
class Intake:
    """Keeps what came as the store would: once per id; remembers the cursor of what was committed."""

    cursor: str | None = None
    items: list[RawPost | Broken] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    doubled: int = 0

    def take(self, items: tuple[RawPost | Broken, ...]) -> None:
        for item in items:
            self.items.append(item)
            if isinstance(item, RawPost) and item.kind is PostKind.POST:
                self.doubled += item.external_id in self.texts
                self.texts.setdefault(item.external_id, item.text)

    async def listen(self, onebot: OneBot) -> None:
        async for batch in onebot.posts(self.cursor):
            self.take(batch.items)
            self.cursor = batch.cursor or self.cursor
            if batch.ack is not None:
                await batch.ack()

    @property
    def posts(self) -> list[RawPost]:
        return [i for i in self.items if isinstance(i, RawPost) and i.kind is PostKind.POST]

    @property
    def removals(self) -> list[RawPost]:
        return [i for i in self.items if isinstance(i, RawPost) and i.kind is PostKind.REMOVAL]

    @property
    def broken(self) -> list[Broken]:
        return [i for i in self.items if isinstance(i, Broken)]

    def said(self) -> list[str]:
        """Return every text once, sorted."""
        return sorted(self.texts.values())


@asynccontextmanager
async def listening(intake: Intake, onebot: OneBot) -> AsyncIterator[None]:
    """Let ``intake`` listen to ``onebot`` until the block ends; closes the connector."""
    task = asyncio.create_task(intake.listen(onebot))
    try:
        yield
    finally:
        await onebot.close()
        await onebot.close()  # a second time does no harm
        await asyncio.wait_for(task, 5)


@asynccontextmanager
async def serving(onebot: OneBot, intake: Intake | None = None) -> AsyncIterator[tuple[Service, Intake]]:
    """Serve ``onebot`` and listen to it until the block ends."""
    intake = intake or Intake()
    service = Service(onebot, intake)
    await service.start()
    try:
        async with listening(intake, onebot):
            yield service, intake
    finally:
        await service.stop()


def effect(kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    """Return an effect in the first group, leased for its first attempt."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "id": 7,
        "key": "reply:7",
        "kind": kind,
        "channel": "qq",
        "case_id": 1,
        "state": EffectState.SENDING,
        "not_before": now,
        "created_at": now,
        "thread": str(GROUP),
        "text": "已转后勤处,今天18点前答复。编号〔H-1-7〕",
        "mark": "〔H-1-7〕",
        "attempt": 1,
        "fence": 1,
    }
    return Effect(**{**given, **fields})
