"""The queue between the gateway and the intake; the cursor is the session and the number of its last event.

What was handed over and not acknowledged is handed over again when listening starts anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from monitor.core.errors import ConnectorError
from monitor.core.model import Broken, RawPost
from monitor.core.ports import Incoming

SIZE = 10_000
BATCH = 200

Item = RawPost | Broken


class _Cursor(msgspec.Struct):
    session: str = ""
    seq: int = 0
    heard: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the source stands: a session of the gateway and the number of its last event; empty before the first."""

    session: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    item: Item | None
    place: Place


class Inbox:
    """Items in the order of arrival; ``put`` waits while the intake is behind, so memory is bounded."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.place = Place()
        self.heard = 0
        self._now = now
        self._begun = False
        self._entries: deque[_Entry] = deque()
        self._open: dict[int, Sequence[_Entry]] = {}
        self._settled = Place()
        self._count = 0
        self._error: ConnectorError | None = None
        self._closed = False
        self._changed = asyncio.Condition()

    def resume(self, cursor: str | None) -> bool:
        """Stand after ``cursor``; what is held and not acknowledged comes first.

        Returns: True when the cursor lies behind what was acknowledged: everything held is forgotten then.
        """
        stored = _decode(cursor)
        kept = [*(entry for batch in self._open.values() for entry in batch), *self._entries]
        self._open.clear()
        self._entries = deque(kept)
        self._error = None
        is_behind = stored.session == self._settled.session and stored.seq < self._settled.seq
        if self._begun and not is_behind:
            return False
        is_first, self._begun = not self._begun, True
        self._entries.clear()
        self.place = Place(stored.session, stored.seq)
        self.heard = self.heard or stored.heard
        return not is_first

    async def put(self, item: Item | None, place: Place) -> None:
        """Add an item; the cursor moves to ``place`` when it is handed over."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._entries) < SIZE or self._closed)
            self._entries.append(_Entry(item, place))
            self.place, self.heard = place, int(self._now())
            self._changed.notify_all()

    async def fail(self, error: ConnectorError) -> None:
        """Let ``next`` raise ``error`` after what it still holds."""
        async with self._changed:
            self._error = error
            self._changed.notify_all()

    async def next(self) -> Incoming | None:
        """Return the next batch, or None when closed and empty-handed; raises what :meth:`fail` was told."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._entries) or self._closed or self._error)
            if not self._entries:
                if self._error is not None and not self._closed:
                    raise self._error
                return None
            entries = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            self._changed.notify_all()
        return self._batch(entries)

    def _batch(self, entries: Sequence[_Entry]) -> Incoming:
        self._count += 1
        number, place = self._count, entries[-1].place
        self._open[number] = entries

        async def ack() -> None:
            if self._open.pop(number, None) is not None:
                self._settled = place

        cursor = msgspec.json.encode(_Cursor(place.session, place.seq, int(self._now()))).decode()
        return Incoming(tuple(entry.item for entry in entries if entry.item is not None), cursor, ack)

    async def close(self) -> None:
        """Let ``next`` end once it is empty, and let nobody wait in ``put``."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


def _decode(cursor: str | None) -> _Cursor:
    try:
        return msgspec.json.decode(cursor or "{}", type=_Cursor)
    except msgspec.DecodeError:
        return _Cursor()
