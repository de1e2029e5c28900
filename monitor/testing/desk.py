"""What the service and the intake do for one connector, in small: real sockets, and a memory for a store.

For tests of connectors, ours and other people's: the paths of the connector are open on 127.0.0.1, what it yields is
kept once per id, and it is acknowledged after that and never before.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from monitor.core.errors import ConnectorError, Unavailable
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import Connector, Request, Response, Route

RETRY_SECONDS = 0.05
_LARGEST = 64 * 1024 * 1024


class DeskSocket:
    """An accepted WebSocket as the service hands it to a connector (see :class:`monitor.core.ports.Socket`)."""

    def __init__(self, ws: web.WebSocketResponse, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self._ws = ws

    async def receive(self) -> str | None:
        """Return the next frame as text, or None when the peer closed."""
        message = await self._ws.receive()
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        return bytes(message.data).decode("utf-8", "replace") if message.type is WSMsgType.BINARY else None

    async def send(self, text: str) -> None:
        """Send one text frame; raises Unavailable when the socket is gone."""
        try:
            await self._ws.send_str(text)
        except (ConnectionError, RuntimeError):
            raise Unavailable("the connection is gone") from None

    async def close(self, code: int = 1000) -> None:
        """Close the socket."""
        await self._ws.close(code=code)


class Desk:
    """Keeps what one channel brought.

    Attributes:
        cursor: where the source stands after what was kept.
        items: everything that was handed over, in its order.
        texts: external id -> newest words.
        handed: external id -> how often it was handed over as a post.
        errors: what the connector failed with while listening; it was listened to again after each.
        acks: acknowledge what was kept; set to False to play a store that breaks before the commit.
        again: listen again when the source has come to its end; else an end before the close is a fault.
    """

    CLOSE_SECONDS = 5.0

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.items: list[RawPost | Broken] = []
        self.texts: dict[str, str] = {}
        self.handed: Counter[str] = Counter()
        self.errors: list[ConnectorError] = []
        self.acks = True
        self.again = False
        self.port = 0
        self._connector: Connector | None = None
        self._listening: asyncio.Task[None] | None = None
        self._sockets: set[DeskSocket] = set()
        self._runner: web.AppRunner | None = None

    # --- what a test asks ----------------------------------------------------------------------------

    @property
    def broken(self) -> list[Broken]:
        """What could not be read."""
        return [item for item in self.items if isinstance(item, Broken)]

    @property
    def posts(self) -> list[RawPost]:
        """Every post that was handed over, edits and removals left out."""
        return [item for item in self.items if isinstance(item, RawPost) and item.kind is PostKind.POST]

    def said(self) -> list[str]:
        """Return the words of every post once, in the order in which they came first."""
        return list(self.texts.values())

    def take(self, items: tuple[RawPost | Broken, ...]) -> None:
        """Keep items as the store would."""
        self.items += items
        for item in items:
            if isinstance(item, RawPost) and item.kind is PostKind.POST:
                self.handed[item.external_id] += 1
                self.texts[item.external_id] = item.text

    async def until(self, fact: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until ``fact`` holds; a listener that broke is told at once."""
        async with asyncio.timeout(seconds):
            while not fact():
                if self._listening is not None and self._listening.done():
                    self._listening.result()
                await asyncio.sleep(0.005)

    # --- serving and listening -----------------------------------------------------------------------

    async def start(self) -> None:
        """Open the HTTP side; its port stays the same whichever connector is at work."""
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the HTTP side."""
        if self._runner is not None:
            await self._runner.cleanup()

    @asynccontextmanager
    async def at_work(self, connector: Connector) -> AsyncIterator[Connector]:
        """Serve ``connector`` and listen to it from the cursor on; close it at the end of the block."""
        self._connector = connector
        self._listening = asyncio.create_task(self._listen(connector))
        try:
            yield connector
        finally:
            self._connector = None
            await connector.close()
            for socket in list(self._sockets):
                await socket.close(1012)
            try:
                await asyncio.wait_for(self._listening, self.CLOSE_SECONDS)
            finally:
                self._listening = None

    async def _listen(self, connector: Connector) -> None:
        while True:
            try:
                async with aclosing(connector.posts(self.cursor)) as stream:  # type: ignore[type-var]
                    async for batch in stream:
                        self.take(batch.items)
                        self.cursor = self.cursor if batch.cursor is None else batch.cursor
                        if batch.ack is not None and self.acks:
                            await batch.ack()
                assert self.again or self._connector is not connector, "it stopped listening by itself"
            except ConnectorError as error:
                self.errors.append(error)
            if self._connector is not connector:
                return
            await asyncio.sleep(RETRY_SECONDS)

    def _route(self, path: str) -> Route | None:
        routes = () if self._connector is None else self._connector.routes()
        return next((route for route in routes if route.path == path), None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        route = self._route(request.path)
        if route is None:
            return web.Response(status=503 if self._connector is None else 404)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._connected(route, request)
        if route.handle is None:
            return web.Response(status=404)
        body = await request.read()
        asked = Request(request.method, request.path, request.headers, request.query, body, "127.0.0.1")
        answer: Response = await route.handle(asked)
        self.take(answer.items)
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    async def _connected(self, route: Route, request: web.Request) -> web.StreamResponse:
        if route.accept is None or route.socket is None:
            return web.Response(status=404)
        refused = route.accept(request.headers, request.query)
        if refused is not None:
            return web.Response(status=refused)
        ws = web.WebSocketResponse(max_msg_size=_LARGEST, timeout=0.2)
        await ws.prepare(request)
        socket = DeskSocket(ws, request.headers)
        self._sockets.add(socket)
        try:
            await route.socket(socket)
        finally:
            self._sockets.discard(socket)
            await ws.close()
        return ws


def effect(kind: EffectKind, channel: str, number: int = 7, **fields: Any) -> Effect:
    """Return an effect that was leased for its first attempt."""
    now = datetime.now(UTC)
    reference = f"〔H-{number}〕"
    given: dict[str, Any] = {
        "id": number,
        "key": f"{kind}:{number}",
        "kind": kind,
        "channel": channel,
        "case_id": 1,
        "state": EffectState.SENDING,
        "not_before": now,
        "created_at": now,
        "text": f"已转后勤处，今天 18 点前答复。{reference}",
        "mark": reference,
        "seconds": 600 if kind is EffectKind.MUTE else 0,
        "attempt": 1,
        "fence": 1,
    }
    return Effect(**{**given, **fields})


__all__ = ["Desk", "DeskSocket", "effect"]
