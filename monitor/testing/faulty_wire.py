"""A wire between a connector and its counterpart, with what goes wrong on real networks.

It works on TCP, so it serves HTTP and WebSocket alike: point the connector at ``wire.port``, and change ``wire.fault``
with :meth:`FaultyWire.become` at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What is wrong with the wire."""

    NONE = "none"
    AWAY = "away"
    RESET = "reset"
    SILENT = "silent"
    DEAF = "deaf"
    CUT = "cut"
    DRIP = "drip"
    PAGE = "page"
    BUSY = "busy"
    FAILING = "failing"
    FLOOD = "flood"


WORDS: Final = {
    Fault.AWAY: "nobody listens at the address",
    Fault.RESET: "every connection is reset with the first bytes",
    Fault.SILENT: "bytes are taken and never arrive, and no answer comes (half-open)",
    Fault.DEAF: "what is sent arrives, and its answers are lost",
    Fault.CUT: "what is sent arrives, and the connection breaks in the middle of the answer",
    Fault.DRIP: "answers come one byte at a time",
    Fault.PAGE: "a proxy answers 200 with its own HTML page",
    Fault.BUSY: "429 with Retry-After",
    Fault.FAILING: "503",
    Fault.FLOOD: "an answer that never ends",
}
_PAGE: Final = b"<!doctype html><title>Sign in</title><p>Please sign in to the campus network."
_ANSWERS: Final = {
    Fault.PAGE: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    % (len(_PAGE), _PAGE),
    Fault.BUSY: b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    Fault.FAILING: b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops",
    Fault.FLOOD: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
}


class FaultyWire:
    """Listens on 127.0.0.1 and passes on to ``target``, unless a fault says otherwise.

    Attributes:
        fault: what is wrong now.
        port: where it listens.
        delay: seconds that every piece takes longer, both ways, whatever the fault.
        cut_after: bytes of an answer after which a cut comes; called anew for every cut.
        drip_seconds: pause between two bytes of a dripping answer.
        connections: how many were opened.
    """

    def __init__(self, target: int) -> None:
        self.fault = Fault.NONE
        self.port = 0
        self.delay = 0.0
        self.cut_after: Callable[[], int] = lambda: 20
        self.drip_seconds = 0.02
        self.connections = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the near end; the port stays the same for good."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close both ends."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._break_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def become(self, fault: Fault) -> None:
        """Change what is wrong.

        A connection that is open stays open where the fault can happen in its middle; else it is broken, so that
        the fault meets the next one. Whatever the fault did, mending it begins with new connections.
        """
        is_mended = fault is Fault.NONE and self.fault is not Fault.NONE
        self.fault = fault
        if fault is Fault.AWAY and self._server is not None:
            self._server.close()
            self._server = None
        if is_mended or fault in _ANSWERS or fault in (Fault.AWAY, Fault.RESET):
            self._break_all()
        if fault is not Fault.AWAY and self._server is None:
            await self.start()

    def _break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.RESET:
            await reader.read(1)
            return
        if self.fault in _ANSWERS:
            await self._answer(reader, writer)
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(far_writer)
        pumps = [
            asyncio.ensure_future(self._send(reader, far_writer)),
            asyncio.ensure_future(self._receive(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.transport.abort()
            self._writers.discard(far_writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWERS[self.fault])
        await writer.drain()
        while self.fault is Fault.FLOOD:
            writer.write(b'{"a": [' * 10_000)
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write_eof()
        await reader.read()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.fault is not Fault.SILENT:
                writer.write(chunk)
                await writer.drain()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        while chunk := await reader.read(65_536):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.fault is Fault.CUT:
                left = self.cut_after() if left is None else left
                writer.write(chunk[:left])
                await writer.drain()
                left -= len(chunk)
                if left <= 0:
                    return
                continue
            if self.fault in (Fault.SILENT, Fault.DEAF):
                continue
            pieces = [chunk[n : n + 1] for n in range(len(chunk))] if self.fault is Fault.DRIP else [chunk]
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if self.fault is Fault.DRIP:
                    await asyncio.sleep(self.drip_seconds)


__all__ = ["WORDS", "Fault", "FaultyWire"]
