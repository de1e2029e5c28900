"""A fake site with a feed: RSS 2.0 as WordPress writes it or Atom, with tags for conditional requests and its faults.

For tests and for authors of connectors. A feed shows its last ten entries, the newest first.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from xml.sax.saxutils import escape

from aiohttp import web

__all__ = ["Entry", "FakeFeed", "bomb"]

SHOWN = 10
_START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
_KINDS = {"rss": "application/rss+xml; charset={0}", "atom": "application/atom+xml; charset={0}"}


@dataclass(slots=True)
class Entry:
    """One comment; ``raw`` is sent instead of it."""

    number: int
    html: str
    author: str
    at: datetime
    answers: int | None = None
    guid: str | None = None
    raw: str = ""


def bomb(levels: int = 9, coding: str = "utf-8") -> bytes:
    """Return a small feed that would unfold to ``10 ** levels`` letters."""
    names = "abcdefghijklm"
    lines = ['<!ENTITY a "aaaaaaaaaa">']
    for n in range(1, levels):
        inside = f"&{names[n - 1]};" * 10
        lines.append(f'<!ENTITY {names[n]} "{inside}">')
    last = f"&{names[levels - 1]};"
    text = (
        f'<?xml version="1.0" encoding="{coding}"?><!DOCTYPE rss [{"".join(lines)}]><rss version="2.0"><channel>'
        f"<title>{last}</title><item><guid>1</guid><description>{last}</description></item></channel></rss>"
    )
    return text.encode(coding)


class FakeFeed:
    """One site with the comments of one article.

    Attributes:
        kind: ``rss`` or ``atom``.
        coding: in which the feed is written and which it declares.
        conditional: whether it answers 304 where nothing changed.
        ttl: minutes that the feed asks to wait, 0 asks for nothing.
        answers: given, one after the other, instead of the feed.
        body: sent instead of what the entries make.
        statuses: every status that was sent.
    """

    def __init__(self, kind: str = "rss", coding: str = "utf-8") -> None:
        self.kind = kind
        self.coding = coding
        self.conditional = True
        self.ttl = 0
        self.entries: list[Entry] = []
        self.answers: deque[web.Response] = deque()
        self.body: bytes | None = None
        self.content_type = ""
        self.statuses: list[int] = []
        self.asked: list[dict[str, str]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the feed."""
        return f"http://127.0.0.1:{self.port}/comments/feed/"

    async def __aenter__(self) -> FakeFeed:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the site on a free port, or on the former one."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close it."""
        if self._runner is not None:
            await self._runner.cleanup()

    def say(self, html: str, author: str = "小周", **fields: object) -> Entry:
        """Let somebody comment."""
        number = len(self.entries) + 1
        entry = Entry(number, html, author, _START + timedelta(minutes=number))
        for name, value in fields.items():
            setattr(entry, name, value)
        self.entries.append(entry)
        return entry

    # --- the feed ------------------------------------------------------------------------------------

    def written(self) -> bytes:
        """Return the feed as it stands."""
        if self.body is not None:
            return self.body
        shown = self.entries[-SHOWN:][::-1]
        text = self._rss(shown) if self.kind == "rss" else self._atom(shown)
        return text.encode(self.coding, "xmlcharrefreplace")

    def _guid(self, number: int) -> str:
        return f"https://gonghui.example.org/?p=7#comment-{number}"

    def _rss(self, shown: list[Entry]) -> str:
        ttl = f"<ttl>{self.ttl}</ttl>" if self.ttl else ""
        items = "".join(entry.raw or self._item(entry) for entry in shown)
        return (
            f'<?xml version="1.0" encoding="{self.coding}"?>\n<rss version="2.0" '
            'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom">'
            f"<channel><title>评论：工会</title><link>https://gonghui.example.org/</link>{ttl}{items}"
            "</channel></rss>"
        )

    def _item(self, entry: Entry) -> str:
        guid = self._guid(entry.number) if entry.guid is None else entry.guid
        said = f'<guid isPermaLink="false">{escape(guid)}</guid>' if guid else ""
        return (
            f"<item><title>评论者：{escape(entry.author)}</title><link>{self._guid(entry.number)}</link>"
            f"<dc:creator><![CDATA[{entry.author}]]></dc:creator>"
            f"<pubDate>{format_datetime(entry.at)}</pubDate>{said}"
            f"<content:encoded><![CDATA[{entry.html}]]></content:encoded></item>"
        )

    def _atom(self, shown: list[Entry]) -> str:
        entries = "".join(entry.raw or self._entry(entry) for entry in shown)
        return (
            f'<?xml version="1.0" encoding="{self.coding}"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
            'xmlns:thr="http://purl.org/syndication/thread/1.0"><id>https://gonghui.example.org/</id>'
            f"<title>评论：工会</title><updated>{_START.isoformat()}</updated>{entries}</feed>"
        )

    def _entry(self, entry: Entry) -> str:
        answers = f'<thr:in-reply-to ref="{self._guid(entry.answers)}"/>' if entry.answers else ""
        return (
            f"<entry><id>{self._guid(entry.number)}</id><title>评论者</title>"
            f'<link rel="alternate" href="{self._guid(entry.number)}"/>'
            f"<author><name>{escape(entry.author)}</name></author>"
            f"<published>{entry.at.isoformat()}</published><updated>{entry.at.isoformat()}</updated>"
            f'{answers}<content type="html">{escape(entry.html)}</content></entry>'
        )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.headers))
        answer = self.answers.popleft() if self.answers else self._feed(request)
        self.statuses.append(answer.status)
        return answer

    def _feed(self, request: web.Request) -> web.Response:
        body = self.written()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        modified = format_datetime(self.entries[-1].at if self.entries else _START, usegmt=True)
        headers = {"ETag": tag, "Last-Modified": modified} if self.conditional else {}
        if self.conditional and request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.content_type or _KINDS[self.kind].format(self.coding)
        return web.Response(body=body, headers=headers)
