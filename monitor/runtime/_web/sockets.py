"""WebSockets that platforms open to us, behind the small contract that connectors know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from monitor.core.errors import Unavailable

LARGEST: Final = 64 * 1024 * 1024
HEARTBEAT: Final = 30.0
_TEXT: Final = (WSMsgType.TEXT, WSMsgType.BINARY)


class ServerSocket:
    """An accepted WebSocket (see :class:`monitor.core.ports.Socket`)."""

    def __init__(self, ws: web.WebSocketResponse, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self._ws = ws

    async def receive(self) -> str | None:
        """Return the next frame as text, or None when the peer closed."""
        message = await self._ws.receive()
        if message.type not in _TEXT:
            return None
        return (
            message.data if isinstance(message.data, str) else bytes(message.data).decode("utf-8", "replace")
        )

    async def send(self, text: str) -> None:
        """Send one text frame; raises Unavailable when the socket is gone."""
        try:
            await self._ws.send_str(text)
        except (ConnectionError, RuntimeError):
            raise Unavailable("the connection is gone") from None

    async def close(self, code: int = 1000) -> None:
        """Close the socket."""
        await self._ws.close(code=code)


class OpenSockets:
    """Every open socket, so that a stop can say goodbye to all of them."""

    def __init__(self) -> None:
        self._open: set[ServerSocket] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: ServerSocket) -> None:
        """Remember a socket."""
        self._open.add(socket)

    def discard(self, socket: ServerSocket) -> None:
        """Forget a socket."""
        self._open.discard(socket)

    async def close(self) -> None:
        """Tell every peer that we go away."""
        await asyncio.gather(*(socket.close(WSCloseCode.GOING_AWAY) for socket in list(self._open)))


SOCKETS: Final = web.AppKey("sockets", OpenSockets)


def new() -> web.WebSocketResponse:
    """Return a WebSocket as we accept them: heartbeat, bounded messages."""
    return web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=LARGEST, timeout=3.0)


__all__ = ["HEARTBEAT", "LARGEST", "SOCKETS", "OpenSockets", "ServerSocket", "new"]
