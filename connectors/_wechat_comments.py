"""Looking at the comments of articles: nothing is pushed, so new, removed and returned ones show by comparing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors._limits import broken
from connectors._posts import SHANGHAI
from connectors._wechat_api import NO_RIGHT, Api, Refused, TokenRefused
from connectors._wechat_ids import Article, Comment, article_of
from connectors._wechat_state import Known, Shelf
from connectors._wechat_wire import comment_number, read_comment
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import Incoming

PAGE = 49
"""Comments asked for at once; WeChat wants fewer than 50."""
MOST_PAGES = 400
FIND_SECONDS = 6 * 3600.0
FIND_DAYS = 7
_LIST = "/cgi-bin/comment/list"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look: ``quick`` seconds in an article's first ``fresh`` seconds, ``slow`` ones afterwards."""

    quick: float
    slow: float
    fresh: float
    longest_wait: float


@dataclass(slots=True)
class _Look:
    """One look at all comments of one article."""

    known: Known
    seen: set[int] = field(default_factory=set)
    strange: set[str] = field(default_factory=set)


async def page_of(api: Api, article: Article, begin: int) -> list[Any]:
    """Return one page of an article's comments; its ``total`` is not to be trusted.

    Raises: Unavailable, RateLimited, Rejected.
    """
    body = {**article.params(), "begin": begin, "count": PAGE, "type": 0}
    rows = (await api.ask(_LIST, body)).get("comment")
    return rows if isinstance(rows, list) else []


async def pages_of(api: Api, article: Article) -> AsyncGenerator[list[Any], None]:
    """Yield every page until an empty one, or one that only repeats what was there."""
    begin, seen = 0, set[str]()
    for _page in range(MOST_PAGES):
        rows = await page_of(api, article, begin)
        fresh = {_digest(row) for row in rows} - seen
        if not fresh:
            return
        yield rows
        seen |= fresh
        begin += len(rows)
    raise Rejected(f"the article has more than {MOST_PAGES * PAGE} comments; the rest is not read")


def _digest(row: Any) -> str:
    number = comment_number(row)
    if number is not None:
        return str(number)
    text = json.dumps(row, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


class Comments:
    """The comments of one account's articles.

    Args:
        channel: name of the channel.
        api: calls of the account.
        declared: articles named in the settings.
        finds: whether to ask WeChat which articles were read lately.
        pace: how often to look.
        weigh: called when it turns out that the account has, or lost, the right to comments.
    """

    def __init__(
        self,
        channel: str,
        api: Api,
        declared: Sequence[Article],
        finds: bool,
        pace: Pace,
        weigh: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._api = api
        self._finds = finds
        self._pace = pace
        self._weigh = weigh
        self._next_find = 0.0
        self._deleted: set[Comment] = set()
        self._closed = asyncio.Event()
        self.shelf = Shelf(declared)
        self.refused: set[Article] = set()
        self.cannot_find = False
        self.has_right = True

    def note_deleted(self, comment: Comment) -> None:
        """Remember that we deleted a comment ourselves."""
        self._deleted.add(comment)

    async def posts(self, cursor: str | None) -> AsyncGenerator[Incoming, None]:
        """Yield what is new after ``cursor`` until closed; waits and tries again by itself."""
        self.shelf.load(cursor)
        self._next_find = 0.0
        while not self._closed.is_set():
            try:
                async with aclosing(self._round()) as batches:
                    async for batch in batches:
                        yield batch
                pause = self._rest()
            except ConnectorError as error:
                pause = self._pause_after(error)
            await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), max(seconds, 0.001))

    def _rest(self) -> float:
        now = asyncio.get_running_loop().time()
        times = [one.next_look for one in self.shelf] + ([self._next_find] if self._finds else [])
        return min((at - now for at in times), default=self._pace.slow)

    def _pause_after(self, error: ConnectorError) -> float:
        """Return how long to leave the whole account alone."""
        longest = self._pace.longest_wait
        if isinstance(error, RateLimited):
            return max((error.retry_at - datetime.now(UTC)).total_seconds(), min(1.0, longest))
        if isinstance(error, Rejected):
            return max(self._pace.quick, longest)
        return longest if isinstance(error, TokenRefused) else min(1.0, longest)

    def _backoff(self, failures: int) -> float:
        return float(min(self._pace.longest_wait, 2.0 ** min(failures, 16) / 2))

    # --- one round -----------------------------------------------------------------------------------

    async def _round(self) -> AsyncGenerator[Incoming, None]:
        """Look at every article whose turn it is.

        Raises: what concerns the whole account; what concerns one article only delays that one.
        """
        loop = asyncio.get_running_loop()
        if self._finds and loop.time() >= self._next_find:
            self._next_find = loop.time() + self._pace.longest_wait
            await self._find()
            self._next_find = loop.time() + FIND_SECONDS
        for one in sorted(self.shelf, key=lambda one: one.next_look):
            if self._closed.is_set() or loop.time() < one.next_look:
                continue
            try:
                async with aclosing(self._look_at(one)) as batches:
                    async for batch in batches:
                        yield batch
            except Unavailable:
                one.failures += 1
                one.next_look = loop.time() + self._backoff(one.failures)
                raise
            except Rejected as error:
                self._note_refusal(one.article, error)
                one.next_look = loop.time() + self._pace.slow
                continue
            self._note_right(True)
            self.refused.discard(one.article)
            one.failures, one.next_look = 0, loop.time() + self._pace_of(one)

    def _note_refusal(self, article: Article, error: Rejected) -> None:
        if isinstance(error, Refused) and error.number == NO_RIGHT:
            self._note_right(False)
            raise error
        self.refused.add(article)

    def _note_right(self, has_right: bool) -> None:
        if has_right is not self.has_right:
            self.has_right = has_right
            self._weigh()

    def _pace_of(self, one: Known) -> float:
        age = datetime.now(UTC).timestamp() - one.since
        return self._pace.quick if age < self._pace.fresh else self._pace.slow

    async def _find(self) -> None:
        """Ask which articles were read on each of the last days; where WeChat does not tell, only say so."""
        today = datetime.now(SHANGHAI).date()
        try:
            for days in range(FIND_DAYS, 0, -1):
                day = (today - timedelta(days=days)).isoformat()
                body = {"begin_date": day, "end_date": day}
                rows = (await self._api.ask("/datacube/getarticlesummary", body)).get("list")
                self._add(rows if isinstance(rows, list) else [])
            self.cannot_find = False
        except Rejected:
            self.cannot_find = True

    def _add(self, rows: Sequence[Any]) -> None:
        found = (article_of(row.get("msgid")) for row in rows if isinstance(row, dict))
        self.shelf.add([article for article in found if article is not None])

    # --- one article ---------------------------------------------------------------------------------

    async def _look_at(self, one: Known) -> AsyncGenerator[Incoming, None]:
        look = _Look(one)
        async with aclosing(pages_of(self._api, one.article)) as pages:
            async for rows in pages:
                items = [item for row in rows if (item := self._item(look, row)) is not None]
                if items:
                    yield Incoming(tuple(items), self.shelf.cursor())
        before = set(one.missing)
        ours = {each.number for each in self._deleted if each.article == one.article}
        gone = one.settle(look.seen, ours)
        if gone or one.missing != before:
            items = [self._notice(one, number, PostKind.REMOVAL) for number in sorted(gone)]
            yield Incoming(tuple(items), self.shelf.cursor())

    def _item(self, look: _Look, row: Any) -> RawPost | Broken | None:
        """Return what a row says that was not said before."""
        one, number = look.known, comment_number(row)
        if number is not None:
            look.seen.add(number)
            if number in one.known:
                return None
        try:
            post = read_comment(self._channel, one.article, row)
        except Malformed as error:
            return self._fault(one, row, error)
        assert number is not None
        one.known.add(number)
        if number in one.gone:
            one.gone.discard(number)
            return self._notice(one, number, PostKind.RESTORE)
        return post

    def _fault(self, one: Known, row: Any, error: Malformed) -> Broken | None:
        if not one.note_fault(_digest(row)):
            return None
        return broken(
            self._channel, error, json.dumps(row, ensure_ascii=False, default=str), one.article.thread
        )

    def _notice(self, one: Known, number: int, kind: PostKind) -> RawPost:
        comment = Comment(one.article, number)
        is_ours = kind is PostKind.REMOVAL and comment in self._deleted
        self._deleted.discard(comment)
        return RawPost(
            self._channel,
            str(comment),
            "",
            kind,
            posted_at=datetime.now(UTC),
            thread=one.article.thread,
            handle=str(comment),
            by="self" if is_ours else None,
        )

    # --- one comment ---------------------------------------------------------------------------------

    async def row_of(self, comment: Comment) -> dict[str, Any] | None:
        """Return a comment as it stands now, or None when it is not there any more.

        Raises: Unavailable, RateLimited, Rejected.
        """
        async with aclosing(pages_of(self._api, comment.article)) as pages:
            async for rows in pages:
                for row in rows:
                    if comment_number(row) == comment.number:
                        return dict(row)
        return None

    async def try_one(self) -> None:
        """Ask for the comments of one article, to learn whether we may.

        Raises: Unavailable, RateLimited, Refused when the account has no right to comments.
        """
        if self._finds and not len(self.shelf):
            await self._find()
        for one in self.shelf:
            try:
                await page_of(self._api, one.article, 0)
            except Refused as error:
                self._note_refusal(one.article, error)
            else:
                self._note_right(True)
            return

    def close(self) -> None:
        """End :meth:`posts`."""
        self._closed.set()


__all__ = ["Comments", "Pace", "page_of", "pages_of"]
