"""Looking at a site's comments again and again: the newest page often, the last few hundred comments seldom."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from connectors._comments_book import Book, Page, items_in_order
from monitor.core.errors import ConnectorError
from monitor.core.ports import Incoming

MOST_PAGES: Final = 10_000
_EVERYTHING: Final = -(2**62)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks at the newest page (``quick``) and at the whole book (``whole``); days of history."""

    quick: float
    whole: float
    history_days: float


class Watch:
    """Reads a list of comments that is sorted newest first.

    Args:
        book: what is known.
        page: returns a page of the list, counted from 1.
        prove: raises when the credential no longer shows everything; asked before anything is told to be gone.
        pace: how often to look.
    """

    def __init__(
        self,
        book: Book,
        page: Callable[[int], Awaitable[Page]],
        prove: Callable[[], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self.book = book
        self._page = page
        self._prove = prove
        self._pace = pace
        self._closed = asyncio.Event()
        self.looks = 0

    async def posts(self, cursor: str | None) -> AsyncGenerator[Incoming, None]:
        """Yield what is new after ``cursor`` until closed.

        Raises: Unavailable, RateLimited, Rejected; start again with the stored cursor.
        """
        book, loop = self.book, asyncio.get_running_loop()
        book.load(cursor)
        if book.fresh:
            book.since = max(1, int(time.time() - self._pace.history_days * 86_400))
        next_whole, is_first = loop.time(), True
        while not self._closed.is_set():
            is_whole = loop.time() >= next_whole
            resumed = book.walk > 0
            try:
                async with aclosing(self._look(is_whole)) as batches:
                    async for batch in batches:
                        is_first = False
                        yield batch
            except ConnectorError:
                if self._closed.is_set():
                    return  # closing cut the call short
                raise
            self.looks += 1
            if is_first:
                is_first = False
                yield Incoming((), book.cursor())  # an empty site answers, too
            if resumed:
                continue
            if is_whole:
                next_whole = loop.time() + self._pace.whole
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._pace.quick)

    async def _look(self, is_whole: bool) -> AsyncGenerator[Incoming, None]:
        """Read from the newest comment, or from where a reading broke off, down to what is known."""
        book = self.book
        resumed, floor = book.walk > 0, book.floor
        number = max(1, book.walk - 1)
        until = min(floor, book.lowest) if is_whole else floor
        if not resumed:
            book.top = floor
        seen: set[str] = set()
        reached, total = 2**62, None
        for _turn in range(MOST_PAGES):
            page = await self._page(number)
            if self._closed.is_set():
                return
            if total is not None and page.total is not None and page.total < total and number > 1:
                total, number = page.total, number - 1  # one vanished, and what followed moved up
                continue
            total = page.total
            before = book.cursor()
            items = items_in_order(book, page.rows)
            seen.update(row.key for row in page.rows)
            orders = [row.order for row in page.rows if row.key]
            if not resumed:
                book.top = max([book.top, *orders])
            reached = min([reached, *orders])
            is_end = page.last or self._is_before_history(page)
            is_done = is_end or reached < until
            self._note(number, is_done or reached < floor)
            if is_done and not resumed:
                above = _EVERYTHING if page.last else reached
                if book.is_missing_again(seen, above):
                    await self._prove()
                items += book.settle(seen, above)
            book.trim()
            if items or book.cursor() != before:
                yield Incoming(tuple(items), book.cursor())
            if is_done:
                return
            number += 1

    def _note(self, number: int, is_through: bool) -> None:
        """Remember how far a reading came; one that reached what is known needs not go on after a restart."""
        book = self.book
        if is_through:
            book.floor, book.walk = max(book.floor, book.top), 0
        else:
            book.walk = number + 1

    def _is_before_history(self, page: Page) -> bool:
        """Say whether the rest of the list is older than what is to be read."""
        times = [row.post.posted_at for row in page.rows if row.post is not None and row.post.posted_at]
        return bool(times) and max(times).timestamp() < self.book.since

    def close(self) -> None:
        """End :meth:`posts`."""
        self._closed.set()


__all__ = ["Pace", "Watch"]
