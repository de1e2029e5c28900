"""RSS and Atom feeds, mostly of comments: fetched from time to time, listened to only.

A feed shows its last entries only, and never that something was removed; what is missed between two looks cannot be
fetched any more. Where a forum or site has an interface of its own, use its connector instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from connectors import _feed_health as health
from connectors._feed_watch import Fetched, Fetcher, Gone, Source, compare, cursor_of, load
from connectors._settings import read, refuse, setting
from monitor.core.errors import ConnectorError, RateLimited, Rejected
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route

MOST_FEEDS: Final = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``feed``."""

    urls: tuple[str, ...] = setting("Addresses of the RSS or Atom feeds of the union's own sites.")
    titles: bool = setting(
        "Whether the title of an entry belongs to its words: yes for articles and topics, no for comments.",
        False,
    )
    poll_seconds: float = setting(
        "Seconds between two looks; a feed that asks for longer gets longer.", 600.0
    )
    call_seconds: float = setting("Seconds to wait for a feed.", 20.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 3_600.0)


def connector(config: ChannelConfig) -> FeedChannel:
    """Return the connector of some feeds.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not 0 < len(settings.urls) <= MOST_FEEDS:
        raise refuse(config, "urls", f"holds 1 to {MOST_FEEDS} addresses of feeds")
    if not all(address.startswith(("https://", "http://")) for address in settings.urls):
        raise refuse(config, "urls", "holds something else than an address that begins with https://")
    if len(set(settings.urls)) < len(settings.urls):
        raise refuse(config, "urls", "names one feed twice")
    for key in ("poll_seconds", "call_seconds", "retry_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    return FeedChannel(config.name, settings)


class FeedChannel:
    """Some feeds (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._sources = [Source(address) for address in settings.urls]
        self._fetcher = Fetcher(name, settings.call_seconds, settings.titles)
        self._closed = asyncio.Event()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield new and changed entries after ``cursor`` until closed."""
        load(cursor, self._sources)
        loop = asyncio.get_running_loop()
        told = cursor_of(self._sources)
        while not self._closed.is_set():
            for source in self._sources:
                if self._closed.is_set() or loop.time() < source.next_look:
                    continue
                items = await self._look(source)
                if items or cursor_of(self._sources) != told:
                    told = cursor_of(self._sources)
                    yield Incoming(items, told)
            await self._rest(min(source.next_look for source in self._sources) - loop.time())

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._closed.wait()

    async def _look(self, source: Source) -> tuple[RawPost | Broken, ...]:
        """Fetch one feed and return what is new; a failure delays this feed and no other."""
        loop = asyncio.get_running_loop()
        try:
            fetched = await self._fetcher.fetch(source.address, source.row.etag, source.row.modified)
        except ConnectorError as error:
            source.failures += 1
            source.trouble = error
            source.next_look = loop.time() + self._pause_after(source, error)
            self.counts["failed"] += 1
            return ()
        source.trouble, source.failures = None, 0
        return self._taken(source, fetched)

    def _taken(self, source: Source, fetched: Fetched) -> tuple[RawPost | Broken, ...]:
        now, pause = asyncio.get_running_loop().time(), self._settings.poll_seconds
        source.moved_to = fetched.moved_to
        if fetched.feed is None:
            self.counts["unchanged"] += 1
            source.next_look = now + pause
            return ()
        self.counts["fetched"] += 1
        source.is_partial = fetched.feed.is_partial
        source.next_look = now + max(pause, fetched.feed.ttl)
        items = compare(source, fetched.feed)
        source.row = msgspec.structs.replace(source.row, etag=fetched.etag, modified=fetched.modified)
        self.counts["broken"] += sum(isinstance(item, Broken) for item in items)
        return items

    def _pause_after(self, source: Source, error: ConnectorError) -> float:
        longest = self._settings.retry_seconds
        if isinstance(error, RateLimited):
            return max((error.retry_at - datetime.now(UTC)).total_seconds(), min(1.0, longest))
        if isinstance(error, Gone):
            return max(longest, 86_400.0)
        if isinstance(error, Rejected):
            return longest
        return float(min(longest, 2.0 ** min(source.failures, 16) / 2))

    def routes(self) -> Sequence[Route]:
        """Return nothing: feeds do not push."""
        return ()

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Refuse: a feed has no way back."""
        raise Rejected("a feed is only listened to: answer and moderate on the site itself")

    async def read_back(self, effect: Effect) -> str | None:  # noqa: ARG002
        """Refuse, as :meth:`perform` does."""
        raise Rejected("a feed is only listened to: nothing is ever sent there")

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Fetch every feed for real and say which can be read."""
        faults = await asyncio.gather(*(self._try(place, one) for place, one in enumerate(self._sources, 1)))
        told = [fault for fault in faults if fault]
        good = not told
        said = told or [health.reading(self._sources)]
        said += health.remarks(self._sources)
        detail = {key: str(count) for key, count in sorted(self.counts.items()) if count}
        return Health(good, " ".join(said), frozenset(map(str, self.capabilities)), detail)

    async def _try(self, place: int, source: Source) -> str:
        try:
            await self._fetcher.fetch(source.address)
        except ConnectorError as error:
            return health.trouble(place, source, error)
        return ""

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._closed.set()
        await self._fetcher.close()


__all__ = ["FeedChannel", "Settings", "connector"]
