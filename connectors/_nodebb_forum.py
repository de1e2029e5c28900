"""A NodeBB forum as it is looked at: its newest posts page by page, and what became of a single one.

Rows come from ``/api/recent/posts``: content as HTML, no time of an edit, removed posts among them for moderators.
"""

from __future__ import annotations

import html
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from connectors._forum_watch import Row, Standing
from connectors._html import words_in
from connectors._limits import clean_text, from_unix, id_of
from connectors._nodebb_api import Api, Refused
from connectors._seen import digest_of
from monitor.core.errors import Malformed, Unavailable
from monitor.core.model import PostKind, RawPost

MOST_NUMBER: Final = 2**63


def number_of(row: Any) -> int | None:
    """Return the number of a post of this forum; posts of other servers (ActivityPub) have addresses for ids."""
    found = row.get("pid") if isinstance(row, Mapping) else None
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 19:
        found = int(found)
    is_number = isinstance(found, int) and not isinstance(found, bool) and 0 < found < MOST_NUMBER
    return found if is_number else None


def is_federated(row: Any) -> bool:
    """Say whether a post came from another server: that is no channel of the union."""
    found = row.get("pid") if isinstance(row, Mapping) else None
    return isinstance(found, str) and found.startswith(("http://", "https://"))


def _part(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = row.get(key)
    return found if isinstance(found, Mapping) else {}


def is_gone(row: Mapping[str, Any]) -> bool:
    """Say whether a post was removed, alone or with its topic."""
    return row.get("deleted") in (True, 1) or _part(row, "topic").get("deleted") in (True, 1)


def _said(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return own and quoted words; who only quotes says what he quotes, so that nothing hides in a quote."""
    content = row.get("content")
    if not isinstance(content, str):
        raise Malformed("the post has no `content`", "no_text")
    own, quoted = words_in(content)
    title = _part(row, "topic").get("title")
    if row.get("isMainPost") is True and isinstance(title, str) and title.strip():
        own = clean_text(f"{html.unescape(title).strip()}\n{own}".strip())
    if own:
        return own, quoted
    if quoted is None:
        raise Malformed("there are no words in the post", "empty")
    return quoted, None


def read_post(channel: str, site: str, row: Any, kind: PostKind = PostKind.POST) -> RawPost:
    """Return what a row says; raises Malformed with a stable reason."""
    number = number_of(row)
    if number is None:
        raise Malformed("the post has no usable `pid`", "no_id")
    thread, url = id_of(row.get("tid")), f"{site}/post/{number}"
    if kind in (PostKind.REMOVAL, PostKind.RESTORE):
        return RawPost(channel, str(number), "", kind, posted_at=datetime.now(UTC), thread=thread, url=url)
    text, quoted = _said(row)
    at = datetime.now(UTC) if kind is PostKind.EDIT else from_unix(row.get("timestamp"))
    author = id_of(row.get("uid"))
    return RawPost(
        channel,
        str(number),
        text,
        kind,
        author=None if author in (None, "0") else author,  # 0 is a guest, or a member who was removed
        posted_at=at,
        thread=thread,
        reply_to=id_of(row.get("toPid")),
        url=url,
        quoted=quoted,
    )


class Forum:
    """See :class:`connectors._forum_watch.Source`.

    Attributes:
        uid: number of our own account, empty before the first look.
    """

    def __init__(
        self, channel: str, site: str, api: Api, categories: tuple[int, ...], ours: Collection[int]
    ) -> None:
        self._channel = channel
        self._site = site
        self._api = api
        self._categories = categories
        self._ours = ours
        self.uid = ""

    async def who(self) -> dict[str, Any]:
        """Return our own account: the one call that a wrong token cannot pass as a guest."""
        me = await self._api.object("/api/self")
        self.uid = id_of(me.get("uid")) or ""
        if self.uid in ("", "0"):
            raise Refused(401)
        return me

    async def pages(self) -> AsyncGenerator[Sequence[Any], None]:
        """Yield the newest posts, then older ones, until the first one of the forum."""
        await self.who()
        page = 0
        while True:
            page += 1
            rows = await self._api.ask("/api/recent/posts/alltime", [("page", str(page))])
            if not isinstance(rows, list):
                raise Unavailable("what answers is not NodeBB: it sent no list of posts")
            if not rows:
                return
            yield [row for row in rows if not is_federated(row)]

    async def standing(self, number: int) -> tuple[Standing, Row]:
        """Ask about one post: removed, gone with its topic, or only out of the list."""
        try:
            row = await self._api.object(f"/api/v3/posts/{number}")
            topic = await self._api.object(f"/api/v3/topics/{id_of(row.get('tid'))}")
        except Refused:
            return Standing.UNKNOWN, {}
        gone = is_gone({**row, "topic": topic})
        return (Standing.REMOVED if gone else Standing.THERE), row

    def number(self, row: Any) -> int | None:
        """Return the number of a row."""
        return number_of(row)

    def outside(self, row: Row) -> str:
        """Return why a row is none of the channel's business."""
        category = _part(row, "category").get("cid", _part(row, "topic").get("cid"))
        if self._categories and category not in self._categories:
            return "category"
        return "own" if id_of(row.get("uid")) == self.uid else ""

    def is_gone(self, row: Row) -> bool:
        """Say whether a row is a removed post."""
        return is_gone(row)

    def read(self, row: Row, kind: PostKind) -> RawPost:
        """Return what a row says; of a removal also whether it was ours."""
        post = read_post(self._channel, self._site, row, kind)
        is_ours = kind is PostKind.REMOVAL and number_of(row) in self._ours
        return replace(post, by="self") if is_ours else post

    def digest(self, post: RawPost) -> str:
        """Return the digest by which an edit is noticed."""
        return digest_of(f"{post.text}\0{post.quoted or ''}")


__all__ = ["Forum", "is_gone", "number_of", "read_post"]
