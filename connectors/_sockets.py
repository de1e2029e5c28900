"""A forward WebSocket behind the small ``Socket`` contract that reverse ones already have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from connectors._onebot_wire import TokenRefused
from monitor.core.errors import Unavailable

_LARGEST = 64 * 1024 * 1024  # NapCat sends frames up to 50 MB; what is too long for us is parked, not fatal
_TEXT = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


class ClientSocket:
    """An open client WebSocket (see :class:`monitor.core.ports.Socket`)."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.headers: Mapping[str, str] = {}
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
        except (aiohttp.ClientError, ConnectionError, RuntimeError):
            raise Unavailable("the connection is gone") from None

    async def close(self, code: int = 1000) -> None:
        """Close the socket."""
        await self._ws.close(code=code)


@asynccontextmanager
async def dial(
    session: aiohttp.ClientSession, url: str, token: str, seconds: float
) -> AsyncIterator[ClientSocket]:
    """Open a WebSocket with a bearer token, waiting at most ``seconds`` for the answer to the handshake.

    Raises: Unavailable when it cannot be opened, with the reason when the token was refused.
    """
    try:
        async with asyncio.timeout(seconds):
            ws = await session.ws_connect(
                url,
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=_LARGEST,
                timeout=aiohttp.ClientWSTimeout(ws_close=3.0),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise TokenRefused("the QQ program refused the token; set the same token on both sides") from None
        raise Unavailable(f"the QQ program answered HTTP {error.status}") from None
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise Unavailable("the QQ program's WebSocket address does not answer") from None
    try:
        yield ClientSocket(ws)
    finally:
        await ws.close()
