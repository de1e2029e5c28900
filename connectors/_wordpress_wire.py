"""Rows of WordPress's comment list (REST namespace ``wp/v2``) as posts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from connectors._comments_book import Row, State
from connectors._comments_channel import handle_of
from connectors._comments_words import kept_of, name_of
from connectors._html import words_in
from connectors._limits import broken, from_text, id_of
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

FIELDS: Final = "id,post,parent,author,author_name,date_gmt,content,link,status,type"
"""What is asked for: neither e-mail addresses nor the addresses of machines."""
STATES: Final[Mapping[str, State]] = {
    "approved": State.SHOWN,
    "approve": State.SHOWN,
    "1": State.SHOWN,
    "hold": State.WAITING,
    "0": State.WAITING,
    "spam": State.SPAM,
    "trash": State.TRASH,
    "post-trashed": State.TRASH,
}
_OTHERS: Final = frozenset({"pingback", "trackback"})


def number_of(value: object) -> int | None:
    """Return a positive number of WordPress, or None."""
    text = id_of(value)
    return int(text) if text and text.isascii() and text.isdigit() and 0 < int(text) < 2**62 else None


def read_row(channel: str, given: Any, me: int | None) -> Row:
    """Return one row of the list; ``me`` is the number of the account that Huiyin uses."""
    number = number_of(given.get("id")) if isinstance(given, Mapping) else None
    try:
        if number is None:
            raise Malformed("the comment has no usable `id`", "no_id")
        return _row(channel, number, given, me)
    except Malformed as error:
        key = "" if number is None else str(number)
        return Row(key, number or 0, fault=broken(channel, error, kept_of(given), key or None))


def _row(channel: str, number: int, given: Mapping[str, Any], me: int | None) -> Row:
    state = STATES.get(str(given.get("status")), State.WAITING)
    own, quoted = words_in(_html_of(given))
    writer = number_of(given.get("author"))
    mine = me is not None and writer == me
    if mine or given.get("type") in _OTHERS:
        return Row(str(number), number, state, mine=mine, text=own)
    if not own.strip() and not quoted:
        raise Malformed("there are no words in it", "empty")
    page, parent = number_of(given.get("post")), number_of(given.get("parent"))
    link = given.get("link")
    post = RawPost(
        channel,
        str(number),
        own if own.strip() else quoted or "",
        author=f"user:{writer}" if writer else name_of(given.get("author_name")),
        posted_at=from_text(given.get("date_gmt"), UTC),
        thread=None if page is None else str(page),
        reply_to=None if parent is None else str(parent),
        handle=handle_of(str(number), None),
        url=link if isinstance(link, str) and link.startswith(("http://", "https://")) else None,
        quoted=quoted if own.strip() else None,
    )
    return Row(str(number), number, state, post, text=own)


def _html_of(given: Mapping[str, Any]) -> str:
    content = given.get("content")
    rendered = content.get("rendered") if isinstance(content, Mapping) else content
    if not isinstance(rendered, str):
        raise Malformed("the comment has no `content.rendered`", "no_text")
    return rendered


__all__ = ["FIELDS", "STATES", "number_of", "read_row"]
