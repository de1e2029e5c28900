"""What Weibo sends, read without any I/O: comments, and posts that mention the account (section 5).

Ids are larger than what some programs keep in a number; ``idstr`` is the one to trust.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from connectors._limits import clean_text, from_unix, id_of
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

LONGEST = 140
"""Chinese characters in a comment; two Latin ones count as one."""

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_HANDLE = re.compile(r"(?:c:([1-9][0-9]{0,18}):([1-9][0-9]{0,18})|m:([1-9][0-9]{0,18}))", re.ASCII)
_TIME = re.compile(
    r"[A-Za-z]{3} ([A-Za-z]{3}) ([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2}) ([0-9]{4})",
    re.ASCII,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Target:
    """What an effect is about: a post that mentions us, or a comment under a post."""

    post: str
    comment: str = ""

    def __str__(self) -> str:
        return f"c:{self.post}:{self.comment}" if self.comment else f"m:{self.post}"


def target_of(handle: str | None) -> Target | None:
    """Return what a handle means, or None when it is none of Weibo."""
    found = _HANDLE.fullmatch(handle or "")
    if found is None:
        return None
    return Target(found[3]) if found[3] else Target(found[1], found[2])


def key_of(row: object) -> str | None:
    """Return the id of a comment or post as text, or None."""
    if not isinstance(row, Mapping):
        return None
    for name in ("idstr", "id", "mid"):
        text = id_of(row.get(name))
        if text is not None and _ID.fullmatch(text):
            return text
    return None


def time_of(value: object) -> datetime | None:
    """Return the moment of ``Thu Jan 01 08:00:00 +0800 2026``, or None when it is none or cannot be true."""
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[1].lower() not in _MONTHS:
        return None
    offset = timedelta(hours=int(found[7]), minutes=int(found[8]))
    try:
        zone = timezone(offset if found[6] == "+" else -offset)
        month = _MONTHS.index(found[1].lower()) + 1
        day, hour, minute, second = (int(found[n]) for n in (2, 3, 4, 5))
        at = datetime(int(found[9]), month, day, hour, minute, second, tzinfo=zone)
        return from_unix(at.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def user_of(row: object) -> str | None:
    """Return the id of whoever wrote a comment or post, or None when Weibo does not say."""
    return key_of(row.get("user")) if isinstance(row, Mapping) else None


def is_for(row: Mapping[str, Any], uid: str) -> bool:
    """Say whether a received comment concerns us: it stands under a post of ours, or answers a comment of ours."""
    owner = user_of(row.get("status"))
    return owner is None or owner == uid or user_of(row.get("reply_comment")) == uid


def read_comment(channel: str, row: Any) -> RawPost:
    """Return the post of one comment.

    Raises: Malformed with a stable reason.
    """
    key, text = _needed(row)
    post = key_of(row.get("status"))
    if post is None:
        raise Malformed("the comment does not say under which post it stands", "no_thread")
    answered = row.get("reply_comment")
    parent = key_of(answered)
    quoted = answered.get("text") if isinstance(answered, Mapping) else None
    return RawPost(
        channel,
        f"c{key}",
        text,
        author=user_of(row),
        posted_at=time_of(row.get("created_at")),
        thread=post,
        reply_to=f"c{parent}" if parent else None,
        handle=str(Target(post, key)),
        url=_address(post),
        quoted=clean_text(quoted) or None if isinstance(quoted, str) else None,
    )


def read_mention(channel: str, row: Any) -> RawPost:
    """Return the post of one post of somebody else that mentions us.

    Raises: Malformed with a stable reason.
    """
    key, text = _needed(row)
    return RawPost(
        channel,
        f"m{key}",
        text,
        author=user_of(row),
        posted_at=time_of(row.get("created_at")),
        thread=key,
        handle=str(Target(key)),
        url=_address(key),
        quoted=_reposted(row),
    )


def _needed(row: Any) -> tuple[str, str]:
    key = key_of(row)
    if key is None:
        raise Malformed("the row has no number", "no_id")
    text = row.get("text")
    if not isinstance(text, str):
        raise Malformed("the row has no words", "no_text")
    return key, clean_text(text).strip() or "[无文字]"


def _reposted(row: Mapping[str, Any]) -> str | None:
    other = row.get("retweeted_status")
    text = other.get("text") if isinstance(other, Mapping) else None
    return clean_text(text) or None if isinstance(text, str) else None


def _address(post: str) -> str:
    return f"https://m.weibo.cn/status/{post}"


def length_of(text: str) -> int:
    """Return how long Weibo finds a text: a Latin character counts half."""
    return (sum(1 if character.isascii() else 2 for character in text) + 1) // 2


__all__ = [
    "LONGEST",
    "Target",
    "is_for",
    "key_of",
    "length_of",
    "read_comment",
    "read_mention",
    "target_of",
    "time_of",
    "user_of",
]
