"""Reading a forum's feed: the second choice, where the mobile interface is off. Topics only, the newest twenty."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from connectors._discuz_api import Api
from connectors._discuz_topics import Pace
from connectors._discuz_wire import digest_of, read_feed
from connectors._limits import broken
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Unavailable
from monitor.core.model import Broken, RawPost
from monitor.core.ports import Incoming

KEPT = 400
STALE_SECONDS = 5.0
"""A feed whose cache was stale is empty once and whole a moment later."""


class _Cursor(msgspec.Struct):
    seen: dict[str, list[str]] = {}


class Feed:
    """The newest topics of some forums of one site."""

    def __init__(self, channel: str, fids: Sequence[int], api: Api, pace: Pace) -> None:
        self._channel = channel
        self._fids = tuple(fids)
        self._api = api
        self._pace = pace
        self._seen: dict[str, list[str]] = {}
        self._failures = 0
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncGenerator[Incoming, None]:
        """Yield what is new after ``cursor`` until closed; waits and tries again by itself."""
        try:
            self._seen = msgspec.json.decode(cursor or "{}", type=_Cursor).seen
        except msgspec.DecodeError:
            self._seen = {}
        while not self._closed.is_set():
            try:
                async with aclosing(self._round()) as batches:
                    async for batch in batches:
                        yield batch
                self._failures, pause = 0, self._pace.quick
            except ConnectorError as error:
                pause = self._pause_after(error)
            await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), max(seconds, 0.001))

    def _pause_after(self, error: ConnectorError) -> float:
        if isinstance(error, RateLimited):
            return max(
                (error.retry_at - datetime.now(UTC)).total_seconds(), min(1.0, self._pace.longest_wait)
            )
        self._failures += 1
        return float(min(self._pace.longest_wait, 2.0 ** min(self._failures, 16) / 2))

    async def _round(self) -> AsyncGenerator[Incoming, None]:
        for fid in self._fids:
            rows = await self.read(fid)
            if not rows:
                await self._wait(min(STALE_SECONDS, self._pace.quick))
                rows = await self.read(fid)
            if items := self._fresh(fid, rows):
                yield Incoming(tuple(items), msgspec.json.encode(_Cursor(self._seen)).decode())

    def _fresh(self, fid: int, rows: Sequence[RawPost | Malformed]) -> list[RawPost | Broken]:
        seen, items = list(self._seen.get(str(fid), [])), list[RawPost | Broken]()
        for row in reversed(rows):
            key = row.external_id if isinstance(row, RawPost) else f"!{digest_of(str(row))}"
            if key not in seen:
                seen.append(key)
                items.append(row if isinstance(row, RawPost) else broken(self._channel, row, b"", str(fid)))
        self._seen[str(fid)] = seen[-KEPT:]
        return items

    async def read(self, fid: int) -> list[RawPost | Malformed]:
        """Return the topics in a forum's feed.

        Raises: Unavailable, RateLimited.
        """
        body = await self._api.feed(fid)
        try:
            return read_feed(self._channel, body)
        except Malformed as error:
            raise Unavailable(str(error)) from None

    async def try_all(self) -> None:
        """Read every forum's feed once; raises Unavailable, RateLimited."""
        for fid in self._fids:
            await self.read(fid)

    def close(self) -> None:
        """End :meth:`posts`."""
        self._closed.set()


__all__ = ["Feed"]
