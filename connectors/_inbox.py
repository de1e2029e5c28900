"""The queue between a socket that pushes and the intake that pulls, with a cursor per thread.

A batch that was handed over and not acknowledged is handed over again when listening starts anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from connectors._onebot_history import Mark
from monitor.core.model import Broken, RawPost
from monitor.core.ports import Incoming

SIZE = 10_000
BATCH = 100
KEPT = 1_000

Item = RawPost | Broken


class _Cursor(msgspec.Struct):
    profile: str = ""
    groups: dict[str, tuple[int, str]] = {}


@dataclass(frozen=True, slots=True)
class _Entry:
    item: Item | None
    group: str = ""
    mark: Mark | None = None


class Inbox:
    """Items in the order of the source; ``put`` waits while the intake is behind, so memory is bounded."""

    def __init__(self) -> None:
        self.profile = ""
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(SIZE)
        self._marks: dict[str, Mark] = {}
        self._open: dict[int, Incoming] = {}
        self._count = 0
        self._closed = asyncio.Event()

    def resume(self, cursor: str | None) -> list[Incoming]:
        """Stand after ``cursor``; return the batches that were never acknowledged."""
        try:
            stored = msgspec.json.decode(cursor or "{}", type=_Cursor)
        except msgspec.DecodeError:
            stored = _Cursor()
        self.profile = self.profile or stored.profile
        for group, (second, key) in stored.groups.items():
            self._marks[group] = max(self._marks.get(group, Mark(0, "")), Mark(second, key), key=_age)
        return list(self._open.values())

    def mark(self, group: str) -> Mark | None:
        """Return the newest message of ``group`` that was handed over."""
        return self._marks.get(group)

    async def put(self, item: Item | None, group: str = "", mark: Mark | None = None) -> None:
        """Add an item; the cursor of ``group`` moves to ``mark`` when it is handed over."""
        await self._queue.put(_Entry(item, group, mark))

    async def next(self) -> Incoming | None:
        """Return the next batch, or None when closed."""
        first = await self._first()
        if first is None:
            return None
        entries = [first]
        while len(entries) < BATCH and not self._queue.empty():
            entries.append(self._queue.get_nowait())
        return self._batch(entries)

    async def _first(self) -> _Entry | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        getting = asyncio.ensure_future(self._queue.get())
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({getting, closing}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()
            closing.cancel()

    def _batch(self, entries: Iterable[_Entry]) -> Incoming:
        items, moved = [], False
        for entry in entries:
            if entry.item is not None:
                items.append(entry.item)
            if (
                entry.mark is not None
                and entry.mark.second >= self._marks.get(entry.group, entry.mark).second
            ):
                self._marks[entry.group] = entry.mark
                moved = True
        self._count += 1
        number = self._count

        async def ack() -> None:
            self._open.pop(number, None)

        batch = Incoming(tuple(items), self._cursor() if moved else None, ack)
        self._open[number] = batch
        if len(self._open) > KEPT:
            self._open.pop(next(iter(self._open)))
        return batch

    def _cursor(self) -> str:
        groups = {group: (mark.second, mark.key) for group, mark in sorted(self._marks.items())}
        return msgspec.json.encode(_Cursor(self.profile, groups)).decode()

    def close(self) -> None:
        """Let ``next`` end."""
        self._closed.set()


def _age(mark: Mark) -> int:
    return mark.second
