"""Reading lists that are newest first: comments received, and mentions; and seeing what has gone from them.

A list is read from its newest row down to what was read before. Where that takes many pages, or breaks off in the
middle, the cursor keeps the gap that is left, so that nothing is read twice and nothing is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors import _weibo_wire as wire
from connectors._limits import broken
from connectors._weibo_api import NO_COMMENT, Api, Refused, TokenRefused
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import Incoming

PAGE = 200
"""Rows asked for at once; Weibo gives no more."""
GATHERED = 5
"""Pages that are gathered before they are handed over, so that posts come in their order."""
EMPTY = 5
"""Empty pages in a row after which a list has come to its end: Weibo leaves out rows, up to all of a page."""
BATCH = 50
"""Comments that can be asked for by number at once."""
MOST_KNOWN = 1_000
FAULTS = 50


@dataclass(frozen=True, slots=True)
class Source:
    """A list: what the interface calls it, the key of its rows, how one is read, whether it is of comments."""

    name: str
    rows: str
    read: Callable[[str, Any], RawPost]
    commercial: bool = True


RECEIVED = Source("comments/to_me", "comments", wire.read_comment)
MENTIONS = (
    Source("statuses/mentions", "statuses", wire.read_mention, commercial=False),
    Source("comments/mentions", "comments", wire.read_comment),
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look: at comments, at mentions, and again at the comments of the last ``days``."""

    comments: float
    mentions: float
    again: float
    days: float
    history: float
    longest_wait: float


class _Mark(msgspec.Struct, array_like=True):
    """Everything up to ``since`` was read; while a gap is open, also from ``top`` down to ``high``."""

    since: int = 0
    top: int = 0
    high: int = 0


class _Cursor(msgspec.Struct):
    floor: int = 0
    lists: dict[str, _Mark] = {}
    known: dict[str, tuple[str, int]] = {}
    missing: list[str] = []
    gone: list[str] = []
    faults: list[str] = []


class Lists:
    """The lists of one account.

    Args:
        channel: name of the channel.
        api: calls of the account.
        mentions: whether to read mentions too.
        pace: how often to look.
    """

    def __init__(self, channel: str, api: Api, mentions: bool, pace: Pace) -> None:
        self._channel = channel
        self._api = api
        self._pace = pace
        self._sources = (RECEIVED, *(MENTIONS if mentions else ()))
        self._next = dict.fromkeys((each.name for each in self._sources), 0.0)
        self._next_again = 0.0
        self._state = _Cursor()
        self._deleted: set[str] = set()
        self._exhausted: dict[tuple[str, int], int] = {}
        self._failures = 0
        self._told = ""
        self._closed = asyncio.Event()
        self.passed_over = 0

    def note_deleted(self, comment: str) -> None:
        """Remember that we deleted a comment ourselves."""
        self._deleted.add(comment)

    # --- the loop ------------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncGenerator[Incoming, None]:
        """Yield what is new after ``cursor`` until closed; waits and tries again by itself."""
        try:
            self._state = msgspec.json.decode(cursor or "{}", type=_Cursor)
            self._state.known = {key: row for key, row in self._state.known.items() if key.isdecimal()}
        except msgspec.DecodeError:
            self._state = _Cursor()
        self._state.floor = self._state.floor or int(_now() - self._pace.history * 86_400)
        self._told = cursor or ""
        self._next = dict.fromkeys(self._next, 0.0)
        self._next_again = asyncio.get_running_loop().time() + self._pace.again
        while not self._closed.is_set():
            try:
                async with aclosing(self._round()) as batches:
                    async for batch in batches:
                        yield batch
                self._failures, pause = 0, self._rest()
            except ConnectorError as error:
                pause = self._pause_after(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), max(pause, 0.001))

    def _rest(self) -> float:
        now = asyncio.get_running_loop().time()
        return min(*self._next.values(), self._next_again) - now

    def _pause_after(self, error: ConnectorError) -> float:
        longest = self._pace.longest_wait
        if isinstance(error, RateLimited):
            return max((error.retry_at - datetime.now(UTC)).total_seconds(), min(1.0, longest))
        if isinstance(error, (Rejected, TokenRefused)):
            return longest
        self._failures += 1
        return float(min(longest, 2.0 ** min(self._failures, 16) / 2))

    async def _round(self) -> AsyncGenerator[Incoming, None]:
        loop = asyncio.get_running_loop()
        uid = (await self._api.owner()).uid
        for source in self._sources:
            if loop.time() < self._next[source.name]:
                continue
            async with aclosing(self._walk(source, uid)) as batches:
                async for batch in batches:
                    yield batch
            pace = self._pace.comments if source is RECEIVED else self._pace.mentions
            self._next[source.name] = loop.time() + pace
        if loop.time() >= self._next_again:
            items = await self._look_again(uid)
            self._next_again = loop.time() + self._pace.again
            if batch_or_none := self._batch(items):
                yield batch_or_none

    def _batch(self, items: Sequence[RawPost | Broken]) -> Incoming | None:
        """Return items with the cursor after them, or None when nothing at all has changed."""
        self._forget()
        cursor = msgspec.json.encode(self._state).decode()
        if not items and cursor == self._told:
            return None
        self._told = cursor
        return Incoming(tuple(items), cursor)

    # --- one list ------------------------------------------------------------------------------------

    async def _walk(self, source: Source, uid: str) -> AsyncGenerator[Incoming, None]:
        """Read a list down to what is known; what was gathered before a failure is handed over before it."""
        while True:
            mark = self._state.lists.setdefault(source.name, _Mark())
            rows, failure = list[Any](), None
            gathered, is_done = 0, False
            try:
                async with aclosing(self._pages(source, mark)) as pages:
                    async for page in pages:
                        rows += page
                        gathered += 1
                        if gathered >= GATHERED:
                            break
                    else:
                        is_done = True
            except ConnectorError as error:
                failure = error
            items = self._items(source, rows, uid)
            if is_done:
                self._state.lists[source.name] = _Mark(max(mark.since, mark.top))
            if (batch := self._batch(items)) is not None:
                yield batch
            if failure is not None:
                raise failure
            if is_done:
                return

    async def _pages(self, source: Source, mark: _Mark) -> AsyncGenerator[list[Any], None]:
        """Yield the pages of a list, and move ``mark`` along with them.

        What Weibo counts has rows in it that it does not show: a count that led to nothing leads to nothing again.
        """
        number, empty = 1, 0
        while True:
            params = {"count": str(PAGE), "page": str(number)}
            params |= {"since_id": str(mark.since)} if mark.since else {}
            params |= {"max_id": str(mark.high)} if mark.high else {}
            rows, total = await self._page(source, params)
            fresh = [key for row in rows if (key := int(wire.key_of(row) or 0))]
            if not rows:
                empty, number = empty + 1, number + 1
                is_known = self._exhausted.get((source.name, mark.high)) == total
                if empty >= EMPTY or not total or is_known:
                    self._exhausted[source.name, mark.high] = total
                    return
                continue
            if not fresh:
                yield rows
                return
            if mark.high and min(fresh) > mark.high:
                raise Unavailable("Weibo does not go on with its list")
            mark.top = max(mark.top, *fresh)
            mark.high = min(fresh) - 1  # what max_id names is given again
            is_last = number == 1 and total == len(rows)
            number, empty = 1, 0
            yield rows
            if is_last or mark.high <= mark.since or all(_second(row) < self._state.floor for row in rows):
                return

    async def _page(self, source: Source, params: dict[str, str]) -> tuple[list[Any], int]:
        """Return the rows of a page, and how many there are; the count has the invisible ones in it too."""
        answer = await self._api.ask(source.name, params, commercial=source.commercial)
        rows = answer.get(source.rows) if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise Unavailable("Weibo's list cannot be read")
        total = answer.get("total_number")
        return rows, total if isinstance(total, int) else 0

    def _items(self, source: Source, rows: Sequence[Any], uid: str) -> list[RawPost | Broken]:
        """Return what rows say that was not said before, oldest first."""
        items = list[RawPost | Broken]()
        for row in sorted(rows, key=lambda row: int(wire.key_of(row) or 0)):
            if (item := self._item(source, row, uid)) is not None:
                items.append(item)
        return items

    def _item(self, source: Source, row: Any, uid: str) -> RawPost | Broken | None:
        key = wire.key_of(row)
        if key in self._state.known or wire.user_of(row) == uid or _second(row) < self._state.floor:
            return None
        if source is RECEIVED and isinstance(row, dict) and not wire.is_for(row, uid):
            self.passed_over += 1
            return None
        try:
            post = source.read(self._channel, row)
        except Malformed as error:
            return self._fault(row, error)
        if source.rows == "comments" and key is not None:
            self._state.known[key] = (post.thread or "", _second(row))
        return post

    def _fault(self, row: Any, error: Malformed) -> Broken | None:
        text = json.dumps(row, ensure_ascii=False, sort_keys=True, default=str)
        key = wire.key_of(row) or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
        if key in self._state.faults:
            return None
        self._state.faults = [*self._state.faults, key][-FAULTS:]
        return broken(self._channel, error, text, key)

    # --- looking again -------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Let go of comments that are not looked at again: the old ones, and the oldest of too many."""
        floor = _now() - self._pace.days * 86_400
        kept = {key: row for key, row in self._state.known.items() if row[1] >= floor}
        for key in sorted(kept, key=int)[: max(0, len(kept) - MOST_KNOWN)]:
            del kept[key]
        self._state.known = kept
        self._state.missing = [key for key in self._state.missing if key in kept]
        self._state.gone = [key for key in self._state.gone if key in kept]

    async def _look_again(self, uid: str) -> list[RawPost | Broken]:
        """Read the newest page anew, for comments that were let through late, and see which are not there."""
        self._forget()
        rows, _total = await self._page(RECEIVED, {"count": str(PAGE), "page": "1"})
        there = {key for row in rows if (key := wire.key_of(row))}
        open_ones = [key for key in self._state.known if key not in there]
        there |= await self._standing(open_ones)
        window = _now() - self._pace.days * 86_400
        late = [row for row in rows if _second(row) >= window]
        return [*self._items(RECEIVED, late, uid), *self._compare(there)]

    async def _standing(self, keys: Sequence[str]) -> set[str]:
        """Return which of some comments still stand."""
        found = set[str]()
        for begin in range(0, len(keys), BATCH):
            found |= await self.ask_for(keys[begin : begin + BATCH])
        return found

    async def ask_for(self, keys: Sequence[str]) -> set[str]:
        """Return which of at most 50 comments Weibo still shows.

        Raises: Unavailable, RateLimited, Rejected.
        """
        try:
            answer = await self._api.ask("comments/show_batch", {"cids": ",".join(keys)})
        except Refused as error:
            if error.number != NO_COMMENT:
                raise
            return set()
        rows = answer.get("comments") if isinstance(answer, dict) else answer
        if not isinstance(rows, list):
            raise Unavailable("Weibo's list cannot be read")
        return {key for row in rows if (key := wire.key_of(row))}

    def _compare(self, there: set[str]) -> list[RawPost]:
        known, said = self._state.known, list[RawPost]()
        for key in [key for key in self._state.gone if key in there]:
            self._state.gone.remove(key)
            said.append(self._notice(key, PostKind.RESTORE))
        absent = [key for key in known if key not in there and key not in self._state.gone]
        gone = [key for key in absent if key in self._state.missing or key in self._deleted]
        self._state.gone += gone
        self._state.missing = [key for key in absent if key not in gone]
        return [*said, *(self._notice(key, PostKind.REMOVAL) for key in gone)]

    def _notice(self, key: str, kind: PostKind) -> RawPost:
        post = self._state.known[key][0]
        by = "self" if kind is PostKind.REMOVAL and key in self._deleted else None
        self._deleted.discard(key)
        handle = str(wire.Target(post, key))
        at = datetime.now(UTC)
        return RawPost(self._channel, f"c{key}", "", kind, posted_at=at, thread=post, handle=handle, by=by)

    # --- for others ----------------------------------------------------------------------------------

    async def try_one(self) -> None:
        """Ask for one comment, to learn whether we may.

        Raises: Unavailable, TokenRefused, RateLimited, Refused.
        """
        await self._page(RECEIVED, {"count": "1", "page": "1"})

    def close(self) -> None:
        """End :meth:`posts`."""
        self._closed.set()


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _second(row: Any) -> int:
    """Return when a row was written, in Unix seconds; now, when it does not say."""
    at = wire.time_of(row.get("created_at")) if isinstance(row, dict) else None
    return int(at.timestamp() if at else _now())


__all__ = ["Lists", "MENTIONS", "Pace", "RECEIVED"]
