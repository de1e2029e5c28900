"""What the fake comment systems share: an address on this machine, what was asked of it, and what goes wrong there."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiohttp import web

PAGE: Final = "<!doctype html><html><body>登录校园网</body></html>"


@dataclass(slots=True)
class SiteFaults:
    """What goes wrong; change it at any time. Operations are named as in ``FakeSite.calls``.

    ``drop_before`` and ``drop_after`` cut the connection before or after an operation is carried out; ``pages`` answers
    with a page of a proxy, ``statuses`` with an HTTP status, ``raw`` with these very bytes and status 200.
    """

    drop_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, deque[int]] = field(default_factory=dict)
    raw: dict[str, deque[bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class FakeSite(ABC):
    """A program behind one HTTP address.

    Attributes:
        calls: operation -> how often it was asked for.
        done: what was carried out, ``operation id`` -> how often.
    """

    def __init__(self) -> None:
        self.faults = SiteFaults()
        self.calls: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the site."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the site on a free port, or on the former one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close it; may be called twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @abstractmethod
    def operation(self, request: web.Request, body: Any) -> str:
        """Return the name of what is asked for."""

    @abstractmethod
    def judge(self, operation: str, request: web.Request, body: Any) -> web.Response:
        """Carry it out and return the answer."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        operation = self.operation(request, body)
        self.calls[operation] += 1
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        if _take(self.faults.drop_before, operation):
            return _cut(request)
        if (spoilt := self._spoilt(operation)) is not None:
            return spoilt
        answer = self.judge(operation, request, body)
        return _cut(request) if _take(self.faults.drop_after, operation) else answer

    def _spoilt(self, operation: str) -> web.Response | None:
        if _take(self.faults.pages, operation):
            return web.Response(text=PAGE, content_type="text/html")
        if statuses := self.faults.statuses.get(operation):
            return web.Response(status=statuses.popleft(), headers=self.faults.headers, text=PAGE)
        if raw := self.faults.raw.get(operation):
            return web.Response(body=raw.popleft(), content_type="application/json")
        return None


def _take(counter: Counter[str], operation: str) -> bool:
    counter[operation] -= 1
    return counter[operation] >= 0


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer in JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return web.Response(
        body=text.encode("utf-8", "replace"), status=status, headers=headers, content_type="application/json"
    )


__all__ = ["FakeSite", "SiteFaults", "answered"]
