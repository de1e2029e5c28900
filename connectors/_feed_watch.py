"""Fetching feeds: conditional requests, what is known of each, and when to look again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from connectors._feed_read import Feed, read_feed
from connectors._http import read_bounded, retry_at
from connectors._seen import digest_of
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable
from monitor.core.model import Broken, PostKind, RawPost

MOST_BYTES: Final = 2 * 1024 * 1024
KNOWN: Final = 1_000
"""Entries of one feed that are remembered: feeds show the last ten to hundred."""
HOPS: Final = 3
_FAULTS: Final = 50
_FOR_GOOD = (301, 308)
_MOVED = (*_FOR_GOOD, 302, 303, 307)
_ACCEPT = "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1"


class Gone(Rejected):
    """The feed was closed for good (410)."""


class Elsewhere(Rejected):
    """The feed moved to another host; a person has to agree."""


class Refused(Rejected):
    """The feed is not given out; ``status`` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the feed is not given out (HTTP {status})")
        self.status = status


class Row(msgspec.Struct, omit_defaults=True):
    """What is known of one feed, as it stands in the cursor."""

    etag: str = ""
    modified: str = ""
    known: dict[str, str] = {}
    faults: list[str] = []
    gap_at: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a request brought: a feed, or None when nothing changed since."""

    feed: Feed | None
    etag: str = ""
    modified: str = ""
    moved_to: str = ""


@dataclass(slots=True)
class Source:
    """One feed.

    ``next_look`` is by the monotonic clock, ``failures`` are those in a row; ``trouble`` is why the last look failed,
    ``moved_to`` the address that the feed asks for.
    """

    address: str
    row: Row = field(default_factory=Row)
    next_look: float = 0.0
    failures: int = 0
    trouble: ConnectorError | None = None
    moved_to: str = ""
    is_partial: bool = False

    @property
    def key(self) -> str:
        """The name of the feed in the cursor: an address may hold a secret."""
        return hashlib.sha256(self.address.encode()).hexdigest()[:16]


def load(cursor: str | None, sources: Sequence[Source]) -> None:
    """Let every source stand exactly after ``cursor``; one that cannot be read is like none."""
    try:
        rows = msgspec.json.decode(cursor or "{}", type=dict[str, Row])
    except msgspec.DecodeError:
        rows = {}
    for source in sources:
        source.row, source.next_look = rows.get(source.key, Row()), 0.0


def cursor_of(sources: Sequence[Source]) -> str:
    """Return what is known of every feed as a cursor."""
    return msgspec.json.encode({source.key: source.row for source in sources}).decode()


# --- fetching --------------------------------------------------------------------------------------


class Fetcher:
    """Fetches feeds of one channel; every request opens its own connection."""

    def __init__(self, channel: str, seconds: float, titles: bool) -> None:
        self._channel = channel
        self._seconds = seconds
        self._titles = titles
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def fetch(self, address: str, etag: str = "", modified: str = "") -> Fetched:
        """Return the feed at ``address``; within its own host it may have moved.

        Raises: Unavailable, RateLimited, Gone, Elsewhere, Refused, Malformed.
        """
        asked = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in asked.items() if value}
        here, moved_to = address, ""
        for _hop in range(HOPS + 1):
            status, told, body = await self._get(here, headers)
            if status not in _MOVED:
                fetched = await self._judge(address, status, told, body)
                return replace(fetched, moved_to=moved_to)
            here = _next(here, told.get("Location", ""))
            moved_to = here if status in _FOR_GOOD else moved_to
        raise Unavailable("the feed's address leads in a circle")

    async def _get(self, address: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        try:
            async with self._client().get(address, headers=headers, allow_redirects=False) as response:
                body = await read_bounded(response, MOST_BYTES) if response.status == 200 else b""
                return response.status, response.headers, body
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable("the feed's address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, RuntimeError, ValueError):
            raise Unavailable(f"the feed did not come within {self._seconds:g} s") from None

    async def _judge(self, address: str, status: int, headers: Any, body: bytes) -> Fetched:
        now = datetime.now(UTC)
        if status == 304:
            return Fetched(None)
        if status == 429 or (status == 503 and headers.get("Retry-After")):
            raise RateLimited("the feed asks to wait", retry_at(headers.get("Retry-After"), now))
        if status == 410:
            raise Gone("the feed was closed for good")
        if status in (401, 403, 404, 451):
            raise Refused(status)
        if status != 200:
            raise Unavailable(f"the feed's server answered HTTP {status}")
        kind = headers.get("Content-Type", "")
        feed = await asyncio.to_thread(read_feed, self._channel, address, body, kind, self._titles)
        if feed.is_partial:
            return Fetched(feed)  # to be fetched again, whatever its tags say
        return Fetched(feed, headers.get("ETag", "")[:500], headers.get("Last-Modified", "")[:100])

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the channel is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._seconds / 2),
                headers={"Accept": _ACCEPT, "User-Agent": "Huiyin (channel of the union)"},
            )
        return self._session

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _next(here: str, location: str) -> str:
    """Return where a redirect leads. Raises: Elsewhere when that is another host, or not encrypted any more."""
    there = urljoin(here, location)
    old, new = urlsplit(here), urlsplit(there)
    if new.hostname != old.hostname or new.scheme not in ("https", old.scheme):
        raise Elsewhere("the feed moved to another host; look at its new address and write it into `urls`")
    return there


# --- comparing -------------------------------------------------------------------------------------


def compare(source: Source, feed: Feed) -> tuple[RawPost | Broken, ...]:
    """Return what a feed says that was not said before, and remember it."""
    row, fresh = source.row, 0
    items: list[RawPost | Broken] = []
    known, faults = dict(row.known), list(row.faults)
    here: dict[str, str] = {}
    for item in feed.items:
        if isinstance(item, Broken):
            digest = digest_of(item.payload.decode("utf-8", "replace"))
            if digest not in faults:
                faults.append(digest)
                items.append(item)
            continue
        key = digest_of(item.external_id)
        words = digest_of(f"{item.text}\0{item.quoted or ''}")
        if key in here:
            continue  # two entries under one id: the first counts, else each look would find an edit
        here[key] = words
        if key not in known:
            fresh += 1
            items.append(item)
        elif known[key] != words:
            items.append(replace(item, kind=PostKind.EDIT, posted_at=datetime.now(UTC)))
    is_gap = bool(row.known) and bool(here) and fresh == len(here)
    kept = {**{key: words for key, words in known.items() if key not in here}, **here}
    kept = dict(list(kept.items())[-KNOWN:])
    gap_at = datetime.now(UTC).isoformat(timespec="seconds") if is_gap else row.gap_at
    source.row = msgspec.structs.replace(row, known=kept, faults=faults[-_FAULTS:], gap_at=gap_at)
    return tuple(items)


__all__ = [
    "Elsewhere",
    "Fetched",
    "Fetcher",
    "Gone",
    "MOST_BYTES",
    "Refused",
    "Source",
    "compare",
    "cursor_of",
    "load",
]
