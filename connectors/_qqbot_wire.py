"""The QQ official bot on the wire, as pure functions: events to posts, stable ids, what an event says of the bot.

Source: QQ bot API v2 as of autumn 2026 (payload, group events, webhook). Ids are the platform's openids: a member
has another one in every group, and none is a QQ number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors._limits import clean_text, from_text, from_unix, id_of, words_of
from connectors._posts import SHANGHAI
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT = 0, 1, 2, 6, 7
INVALID_SESSION, HELLO, HEARTBEAT_ACK, CALLBACK_ACK, VALIDATION = 9, 10, 11, 12, 13
GROUP_AND_C2C: Final = 1 << 25
MESSAGES: Final = frozenset({"GROUP_MESSAGE_CREATE", "GROUP_AT_MESSAGE_CREATE"})

_TEXT, _CARD, _RECORD, _QUOTE = 0, 3, 102, 103
_NEWS: Final = {
    "GROUP_ADD_ROBOT": "added",
    "GROUP_DEL_ROBOT": "gone",
    "GROUP_MSG_RECEIVE": "may_speak",
    "GROUP_MSG_REJECT": "may_not_speak",
}
_MENTION: Final = re.compile(r"<@!?([A-Za-z0-9_\-]{1,64})>|<qqbot-at-user id=\"([^\"<>]{1,64})\" ?/>")
_SECRET: Final = re.compile(rb"auth_token=[^\"\\,]*")
_NAME: Final = 60
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Context:
    """What is needed to read an event: the channel, its declared groups, which message an index stands for."""

    channel: str
    groups: frozenset[str]
    quoted: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is no post: ``kind`` is a stable word for the counters."""

    kind: str


@dataclass(frozen=True, slots=True)
class News:
    """What happened to the bot in a group: ``added``, ``gone``, ``may_speak`` or ``may_not_speak``."""

    group: str
    what: str


@dataclass(frozen=True, slots=True)
class Indices:
    """The platform's own number of a message and of the one it quotes, if it tells them."""

    own: str | None
    quoted: str | None


def without_secrets(raw: bytes) -> bytes:
    """Return a frame without the ``auth_token`` that the platform puts into a message."""
    return _SECRET.sub(b"auth_token=", raw)


# --- ids -------------------------------------------------------------------------------------------


def handle_of(message_id: str, at: datetime | None) -> str | None:
    """Return what acting on a message needs: its id and its second, for answering and recalling end soon."""
    handle = message_id if at is None else f"{message_id}@{int(at.timestamp())}"
    return handle if len(handle) <= _LONGEST else None


def of_handle(handle: str) -> tuple[str, datetime | None]:
    """Return the message's id and time of a handle; the time is None when it is not known."""
    message_id, _at, second = handle.rpartition("@")
    at = from_unix(second) if second.isascii() and second.isdigit() else None
    return (message_id, at) if message_id and at is not None else (handle, None)


def indices(data: Mapping[str, Any]) -> Indices:
    """Return ``msg_idx`` and ``ref_msg_idx`` of a message."""
    scene = data.get("message_scene")
    rows = scene.get("ext") if isinstance(scene, dict) else None
    found: dict[str, str] = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, str):
            key, _equals, value = row.partition("=")
            found.setdefault(key, value)
    return Indices(id_of(found.get("msg_idx")), id_of(found.get("ref_msg_idx")))


# --- words -----------------------------------------------------------------------------------------


def _rows(data: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = data.get(key)
    for row in value if isinstance(value, list) else ():
        if isinstance(row, dict):
            yield row


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _named(text: str, data: Mapping[str, Any]) -> str:
    """Return ``text`` with names where it mentions members; the bot's own mention goes, no id stays."""
    people = {_string(row, "member_openid") or _string(row, "id"): row for row in _rows(data, "mentions")}

    def name(match: re.Match[str]) -> str:
        row = people.get(match[1] or match[2], {})
        if row.get("bot") is True:
            return ""
        words = " ".join(_string(row, "username").lstrip("@").split())[:_NAME]
        return f"@{words or '成员'} "

    return _MENTION.sub(name, text)


def _attached(row: Mapping[str, Any]) -> str:
    kind, name = _string(row, "content_type").lower(), _string(row, "filename")[:_LONGEST]
    if kind.startswith("image"):
        return "[图片]"
    if kind.startswith(("voice", "audio")):
        heard = words_of(row.get("asr_refer_text"))
        return f"[语音] {heard.strip()}" if heard else "[语音]"
    if kind.startswith("video"):
        return "[视频]"
    return f"[文件 {name}]" if name else "[文件]"


def _card(data: Mapping[str, Any]) -> str:
    card = data.get("ark_data")
    if not isinstance(card, dict):
        return "[卡片消息]"
    fields = card.get("fields")
    titles = [_string(fields, "title"), _string(fields, "desc")] if isinstance(fields, dict) else []
    return next((text[:500] for text in (_string(card, "prompt"), *titles) if text.strip()), "[卡片消息]")


def _own_words(data: Mapping[str, Any]) -> str:
    said = _named(_string(data, "content"), data).strip()
    kind = data.get("message_type")
    if kind == _CARD:
        said = said or _card(data)
    elif kind == _RECORD:
        said = said or "[聊天记录]"
    parts = [said, *map(_attached, _rows(data, "attachments"))]
    text = " ".join(part for part in parts if part)
    return text or ("[其他消息]" if kind not in (None, _TEXT) else "")


def _quoted_words(data: Mapping[str, Any]) -> str | None:
    """Return the words that a message quotes; some clients render them as a block with a headline."""
    elements = data.get("msg_elements")
    if data.get("message_type") != _QUOTE or not isinstance(elements, list):
        return None
    found = [row if isinstance(row, str) else _element(row) for row in elements]
    lines = "\n".join(found).split("\n")
    kept = [line.removeprefix("[消息内容]").strip() for line in lines if not line.startswith("=== 消息")]
    return words_of("\n".join(line for line in kept if line))


def _element(row: object) -> str:
    if not isinstance(row, dict):
        return ""
    return _named(_string(row, "content") or _string(row, "text"), row)


# --- events ----------------------------------------------------------------------------------------


def data_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``d`` of an event; raises Malformed when it is no object."""
    data = event.get("d")
    if not isinstance(data, dict):
        raise Malformed("the event holds no object", "shape")
    return data


def kind_of(event: Mapping[str, Any]) -> str:
    """Return the type of an event as a word that may stand in a counter."""
    kind = event.get("t")
    is_word = isinstance(kind, str) and kind.isascii() and kind.isprintable() and kind
    return str(kind)[:40] if is_word else "unknown"


def read_event(event: Mapping[str, Any], context: Context) -> RawPost | Ignored:
    """Return what an event means to us: a post, or something to count and leave.

    Raises: Malformed when a message lacks its ids.
    """
    if kind_of(event) not in MESSAGES:
        return Ignored(kind_of(event))
    data = data_of(event)
    group = id_of(data.get("group_openid"))
    if group is None:
        raise Malformed("the message names no group", "shape")
    return _read_message(data, context, group) if group in context.groups else Ignored("other_group")


def _read_message(data: Mapping[str, Any], context: Context, group: str) -> RawPost | Ignored:
    given = data.get("author")
    author: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if author.get("bot") is True:
        return Ignored("bot")
    message_id = id_of(data.get("id"))
    if message_id is None:
        raise Malformed("the message has no id", "no_id")
    text = clean_text(_own_words(data)).strip()
    if not text:
        return Ignored("empty")
    at = from_text(data.get("timestamp"), SHANGHAI)
    return RawPost(
        channel=context.channel,
        external_id=message_id,
        text=text,
        author=id_of(author.get("member_openid")) or id_of(author.get("id")),
        posted_at=at,
        thread=group,
        reply_to=context.quoted.get(indices(data).quoted or ""),
        handle=handle_of(message_id, at),
        quoted=_quoted_words(data),
    )


def news_of(event: Mapping[str, Any]) -> News | None:
    """Return what an event says of the bot itself, or None."""
    what, data = _NEWS.get(kind_of(event)), event.get("d")
    group = id_of(data.get("group_openid")) if isinstance(data, dict) else None
    return News(group, what) if what is not None and group is not None else None


def group_of(event: Mapping[str, Any]) -> str | None:
    """Return the group of an event, whatever the event is."""
    data = event.get("d")
    return id_of(data.get("group_openid")) if isinstance(data, dict) else None


# --- the end of a socket ---------------------------------------------------------------------------

RESUMABLE, ANEW, FATAL = "resume", "anew", "fatal"


def after_close(code: int | None) -> str:
    """Say how to go on after a close code: resume the session, identify anew, or stop and show."""
    if code in (4001, 4002, 4914, 4915) or (code is not None and 4010 <= code <= 4014):
        return FATAL
    if code in (4006, 4007) or (code is not None and 4900 <= code <= 4913):
        return ANEW
    return RESUMABLE


__all__: Sequence[str] = [
    "ANEW",
    "CALLBACK_ACK",
    "DISPATCH",
    "FATAL",
    "GROUP_AND_C2C",
    "HEARTBEAT",
    "HEARTBEAT_ACK",
    "HELLO",
    "IDENTIFY",
    "INVALID_SESSION",
    "MESSAGES",
    "RECONNECT",
    "RESUMABLE",
    "RESUME",
    "VALIDATION",
    "Context",
    "Ignored",
    "Indices",
    "News",
    "after_close",
    "data_of",
    "group_of",
    "handle_of",
    "indices",
    "kind_of",
    "news_of",
    "of_handle",
    "read_event",
    "without_secrets",
]
