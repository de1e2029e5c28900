"""Keeping the cursor of each group honest: it stands still from a break until the history was read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from connectors._inbox import Inbox
from connectors._onebot_history import Mark
from monitor.core.errors import Unavailable


class CatchUp:
    """Which groups may have missed something, and the one loop that reads it up.

    Live messages go on while a group is behind, but do not move its cursor: a crash in between starts again
    from before the break.
    """

    def __init__(self, groups: frozenset[str], inbox: Inbox, longest: float) -> None:
        self._groups = groups
        self._inbox = inbox
        self._longest = longest
        self._behind = dict.fromkeys(groups, 0)
        self._breaks = 0
        self._latest: dict[str, Mark] = {}
        self._wanted = asyncio.Event()

    def broken(self) -> None:
        """Note that every group may have missed something from now on; the loop waits for :meth:`possible`."""
        self._breaks += 1
        self._behind = dict.fromkeys(self._groups, self._breaks)
        self._latest.clear()

    def possible(self) -> None:
        """Tell the loop that somebody is there who can be asked."""
        self._wanted.set()

    def move(self, group: str, mark: Mark | None) -> Mark | None:
        """Return the mark to which a live message moves the cursor now, or None while the group is behind."""
        if mark is None or group not in self._behind:
            return mark
        self._latest[group] = mark
        return None

    async def run(self, read: Callable[[str], Awaitable[None]]) -> None:
        """Read up group by group whenever it is wanted and possible; tries again where nobody answers.

        Args:
            read: reads the history of one group into the inbox; raises Unavailable.
        """
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._read_all(read)
                failures = 0
            except Unavailable:
                failures += 1
                await self._pause(min(self._longest, 2.0**failures))
                self._wanted.set()

    async def _pause(self, most: float) -> None:
        """Wait up to ``most`` seconds, or until somebody new is there."""
        try:
            async with asyncio.timeout(most * (0.5 + random.random() / 2)):  # noqa: S311
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _read_all(self, read: Callable[[str], Awaitable[None]]) -> None:
        for group in sorted(self._behind):
            breaks = self._behind[group]
            await read(group)
            if self._behind.get(group) != breaks:
                continue  # broken again meanwhile: what was read may end before the new break
            del self._behind[group]
            latest = self._latest.pop(group, None)
            if latest is not None:
                await self._inbox.put(None, group, latest)
