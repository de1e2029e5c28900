"""Rows of Artalk's comment list as posts; its times are texts without a zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from connectors._comments_book import Row, State
from connectors._comments_channel import handle_of
from connectors._comments_words import kept_of, name_of, thread_of
from connectors._html import words_in
from connectors._limits import broken, from_text, id_of
from monitor.core.errors import Malformed
from monitor.core.model import RawPost


def number_of(value: object) -> int | None:
    """Return a positive number of Artalk, or None."""
    text = id_of(value)
    return int(text) if text and text.isascii() and text.isdigit() and 0 < int(text) < 2**62 else None


def read_row(channel: str, given: Any, me: int | None, zone: tzinfo) -> Row | None:
    """Return one row of the list, None for one that is only shown beside its answer.

    Args:
        channel: name of the channel.
        given: the row.
        me: number of the account that Huiyin uses.
        zone: zone of the server's clock.
    """
    if isinstance(given, Mapping) and given.get("visible") is False:
        return None
    number = number_of(given.get("id")) if isinstance(given, Mapping) else None
    at = from_text(given.get("date"), zone) if isinstance(given, Mapping) else None
    try:
        if number is None:
            raise Malformed("the comment has no usable `id`", "no_id")
        if at is None:
            raise Malformed("the comment has no usable `date`", "no_time")
        return _row(channel, number, int(at.timestamp()), given, me, zone)
    except Malformed as error:
        key = "" if number is None or at is None else str(number)
        fault = broken(channel, error, kept_of(given), key or None)
        return Row(key, 0 if at is None else int(at.timestamp()), fault=fault)


def _row(
    channel: str, number: int, order: int, given: Mapping[str, Any], me: int | None, zone: tzinfo
) -> Row:
    state = State.WAITING if given.get("is_pending") is True else State.SHOWN
    html = given.get("content_marked")
    if not isinstance(html, str):
        raise Malformed("the comment has no `content_marked`", "no_text")
    own, quoted = words_in(html)
    writer = number_of(given.get("user_id"))
    if me is not None and writer == me:
        return Row(str(number), order, state, mine=True, text=own)
    if not own.strip() and not quoted:
        raise Malformed("there are no words in it", "empty")
    parent = number_of(given.get("rid"))
    post = RawPost(
        channel,
        str(number),
        own if own.strip() else quoted or "",
        author=f"user:{writer}" if writer else name_of(given.get("nick")),
        posted_at=from_text(given.get("date"), zone),
        thread=thread_of(given.get("page_key")),
        reply_to=None if parent is None else str(parent),
        handle=handle_of(str(number), None),
        url=_link(given.get("page_url"), number),
        quoted=quoted if own.strip() else None,
    )
    return Row(str(number), order, state, post, text=own)


def _link(page: object, number: int) -> str | None:
    if not isinstance(page, str) or len(page) > 1_500 or not page.startswith(("http://", "https://")):
        return None
    return f"{page.partition('#')[0]}#atk-comment-{number}"


__all__ = ["number_of", "read_row"]
