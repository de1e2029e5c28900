"""Looking at a forum's newest posts again and again: new, changed, removed and returned ones show by comparing.

Each look reads the newest page, and further ones until what is known begins. Now and then the whole window is read,
for edits and removals of older posts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from connectors._limits import broken
from connectors._seen import Seen, Sight
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import Incoming

ASKED_AT_ONCE: Final = 20
"""Most absent posts that are asked about, one by one, after a look."""
BATCH: Final = 200
Row = Mapping[str, Any]


class Standing(StrEnum):
    """Where a post stands that is in no list."""

    THERE = "there"
    REMOVED = "removed"
    UNKNOWN = "unknown"


class Source(Protocol):
    """One forum as it is looked at."""

    def pages(self) -> AsyncGenerator[Sequence[Any], None]:
        """Yield pages of rows, the newest first, until there are no more; raises the connector errors."""

    async def standing(self, number: int) -> tuple[Standing, Row]:
        """Say where a post stands that is in no list, with its row where there is one."""

    def number(self, row: Any) -> int | None:
        """Return the number of a row, None when it has none."""

    def outside(self, row: Row) -> str:
        """Return why a row is none of the channel's business, or an empty string."""

    def is_gone(self, row: Row) -> bool:
        """Say whether a row is there only as a removed one."""

    def read(self, row: Row, kind: PostKind) -> RawPost:
        """Return what a row says; raises Malformed."""

    def digest(self, post: RawPost) -> str:
        """Return the digest by which an edit is noticed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks, between looks at the whole window, and at most after a failure; posts at the first look."""

    poll: float
    whole: float
    longest_wait: float
    history: int


class Watch:
    """The posts of one forum.

    Attributes:
        counts: what happened, for the health screen.
        trouble: why the last look failed, None when it did not.
        looks: how many looks were finished.
    """

    def __init__(self, channel: str, source: Source, seen: Seen, pace: Pace) -> None:
        self._channel = channel
        self._source = source
        self._seen = seen
        self._pace = pace
        self._is_closed = False
        self._is_hurried = False
        self._wake = asyncio.Event()
        self._next_whole = 0.0
        self._failures = 0
        self._told = ""
        self._odd: list[Any] = []
        self.counts: Counter[str] = Counter()
        self.trouble: ConnectorError | None = None
        self.looks = 0

    def hurry(self) -> None:
        """Look at the whole window soon: something happened that may concern many posts."""
        self._is_hurried = True
        if self.trouble is None:
            self._wake.set()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield what is new after ``cursor`` until closed; waits and tries again by itself."""
        self._seen.load(cursor)
        self._told, self._next_whole = self._seen.cursor(), 0.0
        while not self._is_closed:
            try:
                async with aclosing(self._look()) as batches:
                    async for batch in batches:
                        yield batch
                self.trouble, self._failures, pause = None, 0, self._pace.poll
                self.looks += 1
            except ConnectorError as error:
                self._failures += 1
                self.trouble, pause = error, self._pause_after(error)
            await self._rest(pause)

    def _pause_after(self, error: ConnectorError) -> float:
        longest = self._pace.longest_wait
        if isinstance(error, RateLimited):
            wait = (error.retry_at - datetime.now(UTC)).total_seconds()
            return max(wait, min(1.0, longest))
        if isinstance(error, Rejected):
            return longest
        return float(min(longest, 2.0 ** min(self._failures, 16) / 2))

    async def _rest(self, seconds: float) -> None:
        # no second task here: one that is awaited on the way out may swallow a cancellation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()

    # --- one look ------------------------------------------------------------------------------------

    async def _look(self) -> AsyncGenerator[Incoming, None]:
        now = asyncio.get_running_loop().time()
        is_whole = now >= self._next_whole or self._is_hurried
        self._is_hurried = False
        if not self._is_closed:
            self._wake.clear()
        rows, lowest = await self._rows(is_whole)
        for batch in self._compare(rows):
            yield batch
        gone = await self._absent(rows, lowest)
        self._seen.trim()
        if is_whole:
            self._next_whole = now + self._pace.whole
        cursor = self._seen.cursor()
        if gone or cursor != self._told:
            self._told = cursor
            yield Incoming(tuple(gone), cursor)

    async def _rows(self, is_whole: bool) -> tuple[dict[int, Row], int]:
        """Return the rows by number, and from which number on they are all there is."""
        seen = self._seen
        rows: dict[int, Row] = {}
        odd: list[Any] = []
        wanted = (min(seen.known, default=seen.top) if is_whole else seen.top) if seen.begun else 0
        lowest = 0
        async with aclosing(self._source.pages()) as pages:
            async for page in pages:
                for row in page:
                    number = self._source.number(row)
                    if number is None:
                        odd.append(row)
                    elif number not in rows:
                        rows[number] = row
                lowest = min(rows, default=0)
                if rows and (lowest <= max(wanted, seen.floor) or self._has_enough(rows)):
                    break
            else:
                lowest = 0
        if not seen.begun:
            self._begin(rows)
        self._odd = odd
        return {number: row for number, row in rows.items() if number > seen.floor}, lowest

    def _has_enough(self, rows: Mapping[int, Row]) -> bool:
        return not self._seen.begun and len(rows) >= max(self._pace.history, 1)

    def _begin(self, rows: dict[int, Row]) -> None:
        """Leave what is older than the first look alone for good."""
        numbers = sorted(rows)
        older = numbers[: max(0, len(numbers) - self._pace.history)]
        self._seen.floor = max(older, default=0)
        self._seen.top = max(self._seen.top, self._seen.floor)
        self._seen.begun = True

    def _compare(self, rows: Mapping[int, Row]) -> list[Incoming]:
        """Return batches in the order of the source, each with the cursor after it."""
        batches: list[Incoming] = []
        items: list[RawPost | Broken] = [f for row in self._odd if (f := self._fault(row, "no_id"))]
        numbers = sorted(rows)
        for place, number in enumerate(numbers, 1):
            items += self._items(number, rows[number])
            if items and (len(items) >= BATCH or place == len(numbers)):
                self._told = self._seen.cursor()
                batches.append(Incoming(tuple(items), self._told))
                items = []
        if items:
            self._told = self._seen.cursor()
            batches.append(Incoming(tuple(items), self._told))
        return batches

    def _items(self, number: int, row: Row) -> list[RawPost | Broken]:
        source, seen = self._source, self._seen
        if why := source.outside(row):
            self.counts[f"ignored.{why}"] += number > seen.top
            seen.top = max(seen.top, number)
            return []
        if source.is_gone(row):
            seen.top = max(seen.top, number)
            return [source.read(row, PostKind.REMOVAL)] if seen.note_gone(number) else []
        try:
            post = source.read(row, PostKind.POST)
        except Malformed as error:
            seen.top = max(seen.top, number)
            fault = self._fault(row, error)
            return [] if fault is None else [fault]
        sight = seen.sight(number, source.digest(post))
        if sight is Sight.NEW:
            return [post]
        if sight is Sight.BACK:
            return [source.read(row, PostKind.RESTORE), post]
        return [source.read(row, PostKind.EDIT)] if sight is Sight.EDITED else []

    def _fault(self, row: Any, error: Malformed | str) -> Broken | None:
        said = json.dumps(row, ensure_ascii=False, default=str)
        if not self._seen.note_fault(said):
            return None
        if isinstance(error, str):
            error = Malformed("the post has no usable `id`", error)
        self.counts[f"broken.{error.reason}"] += 1
        return broken(self._channel, error, said)

    # --- what is in no list any more -----------------------------------------------------------------

    async def _absent(self, rows: Mapping[int, Row], lowest: int) -> list[RawPost]:
        """Ask about known posts that are not in the list, and return what is gone."""
        absent = [n for n in self._seen.absent(rows, lowest) if n not in self._seen.quiet]
        gone = []
        for number in absent[:ASKED_AT_ONCE]:
            standing, row = await self._source.standing(number)
            if standing is Standing.THERE:
                self._seen.quiet.add(number)
            elif standing is Standing.UNKNOWN and number not in self._seen.missing:
                self._seen.missing.add(number)
            elif self._seen.note_gone(number):
                gone.append(self._source.read({**row, "id": number, "pid": number}, PostKind.REMOVAL))
        if len(absent) > ASKED_AT_ONCE:
            self.hurry()
        return gone

    def close(self) -> None:
        """End :meth:`posts`."""
        self._is_closed = True
        self._wake.set()


__all__ = ["Pace", "Row", "Source", "Standing", "Watch"]
