"""One post in the import format (``id``, ``text``, ``author`` ...), as files, pushes and exports write it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors._limits import clean_text, id_of, moment
from monitor.core.errors import Malformed
from monitor.core.model import PostKind, RawPost

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
KINDS: Final[Mapping[str, PostKind]] = {
    "post": PostKind.POST,
    "post.created": PostKind.POST,
    "edit": PostKind.EDIT,
    "post.edited": PostKind.EDIT,
    "removal": PostKind.REMOVAL,
    "post.removed": PostKind.REMOVAL,
    "restore": PostKind.RESTORE,
    "post.restored": PostKind.RESTORE,
}
_TEXTS = ("url", "lang", "quoted", "unit", "contact")


def _words(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Malformed(f"`{key}` is not a text", "shape")
    return clean_text(value) or None


def _kind(row: Mapping[str, Any]) -> PostKind:
    name = row.get("kind", row.get("type", "post"))
    found = KINDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise Malformed(f"`kind` is none of {', '.join(sorted(KINDS))}", "kind")
    return found


def _author(row: Mapping[str, Any]) -> str | None:
    value = row.get("author")
    return id_of(value.get("id")) if isinstance(value, Mapping) else id_of(value)


def read_post(channel: str, row: Any, zone: tzinfo = SHANGHAI) -> RawPost:
    """Return the post of one decoded object; a ``{"type", "data"}`` envelope is opened.

    Args:
        channel: name of the channel as configured (what the row says of its channel does not count).
        row: the object.
        zone: zone of times without an offset.

    Raises: Malformed with a stable reason.
    """
    if isinstance(row, Mapping) and isinstance(row.get("data"), Mapping):
        row = {**row["data"], "type": row.get("type", "post.created")}
    if not isinstance(row, Mapping):
        raise Malformed("a post is an object with `id` and `text`", "shape")
    external_id, kind = id_of(row.get("id")), _kind(row)
    if external_id is None:
        raise Malformed("the post has no usable `id`", "no_id")
    text = row.get("text")
    if kind in (PostKind.REMOVAL, PostKind.RESTORE):
        text = ""
    if not isinstance(text, str):
        raise Malformed("the post has no `text`", "no_text")
    return RawPost(
        channel,
        external_id,
        clean_text(text),
        kind,
        author=_author(row),
        posted_at=moment(row.get("posted_at", row.get("created_at")), zone),
        thread=id_of(row.get("thread")),
        reply_to=id_of(row.get("reply_to", row.get("parent"))),
        handle=id_of(row.get("handle")),
        **{name: _words(row, name) for name in _TEXTS},
    )
