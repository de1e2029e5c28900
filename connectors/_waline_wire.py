"""Rows of Waline's comment list as posts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from connectors._comments_book import Row, State
from connectors._comments_channel import handle_of
from connectors._comments_words import kept_of, name_of, thread_of
from connectors._html import words_in
from connectors._limits import broken, from_unix, id_of
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

STATES: Final[Mapping[str, State]] = {
    "approved": State.SHOWN,
    "waiting": State.WAITING,
    "spam": State.SPAM,
}
_KEY = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


def key_of(value: object) -> str | None:
    """Return an ``objectId``: a number with SQL, letters and digits elsewhere."""
    text = id_of(value)
    return text if text and _KEY.fullmatch(text) else None


def order_of(value: object) -> int | None:
    """Return a time in milliseconds as a place in the list, or None when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**52 else None


def read_row(channel: str, given: Any, me: str | None, site: str) -> Row:
    """Return one row of the list.

    Args:
        channel: name of the channel.
        given: the row.
        me: id of the account that Huiyin uses.
        site: address of the pages, for links to comments; may be empty.
    """
    key = key_of(given.get("objectId")) if isinstance(given, Mapping) else None
    order = order_of(given.get("time")) if isinstance(given, Mapping) else None
    try:
        if key is None:
            raise Malformed("the comment has no usable `objectId`", "no_id")
        if order is None:
            raise Malformed("the comment has no usable `time`", "no_time")
        return _row(channel, key, order, given, me, site)
    except Malformed as error:
        fault = broken(channel, error, kept_of(given), key)
        return Row("" if key is None or order is None else key, order or 0, fault=fault)


def _row(channel: str, key: str, order: int, given: Mapping[str, Any], me: str | None, site: str) -> Row:
    state = STATES.get(
        str(given.get("status")), State.SHOWN
    )  # Valine's old comments have none, and are shown
    html = given.get("comment")
    if not isinstance(html, str):
        raise Malformed("the comment has no `comment`", "no_text")
    own, quoted = words_in(html)
    writer = key_of(given.get("user_id"))
    if me is not None and writer == me:
        return Row(key, order, state, mine=True, text=own)
    if not own.strip() and not quoted:
        raise Malformed("there are no words in it", "empty")
    page = given.get("url")
    parent, root = key_of(given.get("pid")), key_of(given.get("rid"))
    post = RawPost(
        channel,
        key,
        own if own.strip() else quoted or "",
        author=f"user:{writer}" if writer else name_of(given.get("nick")),
        posted_at=from_unix(order),
        thread=thread_of(page),
        reply_to=parent,
        handle=handle_of(key, root),
        url=_link(site, page, key),
        quoted=quoted if own.strip() else None,
    )
    return Row(key, order, state, post, text=own)


def _link(site: str, page: object, key: str) -> str | None:
    """Return where a person sees the comment: Waline's pages mark each comment with its id."""
    if not site or not isinstance(page, str) or len(page) > 1_500:
        return None
    try:
        link = urljoin(site, page.partition("#")[0])
        is_there = urlsplit(link).netloc == urlsplit(site).netloc
    except ValueError:
        return None
    return f"{link}#{key}" if is_there else None


__all__ = ["STATES", "key_of", "order_of", "read_row"]
