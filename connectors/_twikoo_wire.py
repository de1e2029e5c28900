"""Rows of Twikoo's comment list, as its administration gets them, as posts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors._comments_book import Row, State
from connectors._comments_channel import handle_of
from connectors._comments_words import kept_of, name_of, thread_of
from connectors._html import words_in
from connectors._limits import broken, from_unix, id_of
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def key_of(value: object) -> str | None:
    """Return a comment's id, or None when it is none."""
    text = id_of(value)
    return text if text and _KEY.fullmatch(text) else None


def read_row(channel: str, given: Any, token: str) -> Row:
    """Return one row of the list.

    Args:
        channel: name of the channel.
        given: the row; its ``uid`` lets a guest delete their own comment, so it is looked at and never kept.
        token: what our own comments carry as ``uid``.
    """
    key = key_of(given.get("_id", given.get("id"))) if isinstance(given, Mapping) else None
    at = given.get("created") if isinstance(given, Mapping) else None
    order = at if isinstance(at, int) and not isinstance(at, bool) and 0 <= at < 2**52 else None
    try:
        if key is None:
            raise Malformed("the comment has no usable `_id`", "no_id")
        if order is None:
            raise Malformed("the comment has no usable `created`", "no_time")
        return _row(channel, key, order, given, token)
    except Malformed as error:
        fault = broken(channel, error, kept_of(given), key)
        return Row("" if key is None or order is None else key, order or 0, fault=fault)


def _row(channel: str, key: str, order: int, given: Mapping[str, Any], token: str) -> Row:
    state = (
        State.WAITING if given.get("isSpam") is True else State.SHOWN
    )  # held for review and spam look alike
    html = given.get("comment")
    if not isinstance(html, str):
        raise Malformed("the comment has no `comment`", "no_text")
    own, quoted = words_in(html)
    if given.get("uid") == token:
        return Row(key, order, state, mine=True, text=own)
    if not own.strip() and not quoted:
        raise Malformed("there are no words in it", "empty")
    page, root = given.get("url"), key_of(given.get("rid"))
    post = RawPost(
        channel,
        key,
        own if own.strip() else quoted or "",
        author=name_of(given.get("nick")),
        posted_at=from_unix(order),
        thread=thread_of(page),
        reply_to=key_of(given.get("pid")) or root,
        handle=handle_of(key, root),
        url=_link(given.get("href"), key),
        quoted=quoted if own.strip() else None,
    )
    return Row(key, order, state, post, text=own)


def _link(page: object, key: str) -> str | None:
    if not isinstance(page, str) or len(page) > 1_500 or not page.startswith(("http://", "https://")):
        return None
    return f"{page.partition('#')[0]}#{key}"


__all__ = ["key_of", "read_row"]
