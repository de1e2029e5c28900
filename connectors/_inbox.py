"""The queue between a socket that pushes and the intake that pulls, with a cursor per thread.

A batch that was handed over and not acknowledged is handed over again when listening starts anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from connectors._onebot_history import Mark
from monitor.core.model import Broken, RawPost
from monitor.core.ports import Incoming

SIZE = 10_000
BATCH = 200
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
    """Items in the order of arrival; ``put`` waits while the intake is behind, so memory is bounded."""

    def __init__(self) -> None:
        self.profile = ""
        self.is_read = False
        self._entries: deque[_Entry] = deque()
        self._marks: dict[str, Mark] = {}
        self._open: dict[int, Incoming] = {}
        self._count = 0
        self._closed = False
        self._changed = asyncio.Condition()

    @property
    def is_full(self) -> bool:
        """Say whether ``put`` would wait."""
        return len(self._entries) >= SIZE

    @property
    def is_stuck(self) -> bool:
        """Say whether it is full and nobody reads: the channel is paused."""
        return self.is_full and not self.is_read

    def resume(self, cursor: str | None) -> list[Incoming]:
        """Stand exactly after ``cursor``; return the batches that were never acknowledged."""
        try:
            stored = msgspec.json.decode(cursor or "{}", type=_Cursor)
        except msgspec.DecodeError:
            stored = _Cursor()
        self._marks = {group: Mark(second, key) for group, (second, key) in stored.groups.items()}
        if self.profile and stored.profile != self.profile:
            self.forget_keys()
        self.profile = self.profile or stored.profile
        return list(self._open.values())

    def forget_keys(self) -> None:
        """Keep of every mark only its second: the ids of messages are made in another way from now on."""
        self._marks = {group: Mark(mark.second, "") for group, mark in self._marks.items()}

    def mark(self, group: str) -> Mark | None:
        """Return how far ``group`` was handed over."""
        return self._marks.get(group)

    async def put(self, item: Item | None, group: str = "", mark: Mark | None = None) -> None:
        """Add an item; the cursor of ``group`` moves to ``mark`` when it is handed over."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_full or self._closed)
            self._entries.append(_Entry(item, group, mark))
            self._changed.notify_all()

    async def next(self) -> Incoming | None:
        """Return the next batch, or None when closed and empty-handed."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._entries) or self._closed)
            if not self._entries:
                return None
            entries = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            self._changed.notify_all()
        return self._batch(entries)

    def _batch(self, entries: Iterable[_Entry]) -> Incoming:
        items, moved = [], False
        for entry in entries:
            if entry.item is not None:
                items.append(entry.item)
            if entry.mark is not None:
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

    async def close(self) -> None:
        """Let ``next`` end once it is empty, and let nobody wait in ``put``."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
