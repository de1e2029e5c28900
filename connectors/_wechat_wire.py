"""What WeChat sends, as posts: pushed XML messages and rows of the comment list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from connectors._limits import MAX_ITEM, clean_text, from_unix, id_of
from connectors._parts import Part, parts
from connectors._wechat_ids import MAX_OPENID, Article, Comment, Members
from monitor.core.errors import Malformed
from monitor.core.model import Effect, RawPost

LONGEST, LONGEST_BYTES = 600, 2048
LIMIT = LONGEST * LONGEST_BYTES
"""Longest customer-service message, in characters and in bytes of UTF-8."""

_MOST_TAGS = 20_000
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A push that is no post: ``kind`` is what is counted."""

    kind: str


# --- pushed messages -------------------------------------------------------------------------------


def fields_of(body: bytes) -> dict[str, str]:
    """Return tag -> text of a flat WeChat XML document; DTDs, entities and references outside are refused.

    Raises: Malformed with reason ``too_large``, ``encoding``, ``dtd``, ``xml`` or ``shape``.
    """
    if len(body) > MAX_ITEM:
        raise Malformed(f"the message is longer than {MAX_ITEM} bytes", "too_large")
    if body.count(b"<") > _MOST_TAGS:
        raise Malformed(f"the message has more than {_MOST_TAGS} tags", "shape")
    try:
        root = defusedxml.ElementTree.fromstring(body.decode("utf-8-sig"), forbid_dtd=True)
    except UnicodeDecodeError:
        raise Malformed("the message is not UTF-8", "encoding") from None
    except DefusedXmlException:
        raise Malformed("the message declares a document type or entities", "dtd") from None
    except (defusedxml.ElementTree.ParseError, ValueError):
        raise Malformed("the message is not XML", "xml") from None
    if root.tag != "xml":
        raise Malformed("the message is no WeChat document", "shape")
    found: dict[str, str] = {}
    for child in root:
        found.setdefault(child.tag, child.text or "")
    return found


def _words(name: str) -> Callable[[Mapping[str, str]], str]:
    return lambda _fields: name


def _voice(fields: Mapping[str, str]) -> str:
    return " ".join(part for part in ("[语音]", fields.get("Recognition", "").strip()) if part)


def _location(fields: Mapping[str, str]) -> str:
    return " ".join(part for part in ("[位置]", fields.get("Label", "").strip()) if part)


def _link(fields: Mapping[str, str]) -> str:
    parts = (fields.get(name, "").strip() for name in ("Title", "Description", "Url"))
    return " ".join(part for part in ("[链接]", *parts) if part)


_TEXTS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "text": lambda fields: fields.get("Content", ""),
    "image": _words("[图片]"),
    "voice": _voice,
    "video": _words("[视频]"),
    "shortvideo": _words("[视频]"),
    "location": _location,
    "link": _link,
    "file": _words("[文件]"),
}


def read_message(channel: str, body: bytes, members: Members) -> RawPost | Ignored:
    """Return the post of one decrypted push, or what kind of push it was.

    Raises: Malformed with a stable reason.
    """
    fields = fields_of(body)
    kind = fields.get("MsgType", "")
    if not kind:
        raise Malformed("the message says no MsgType", "shape")
    if kind == "event":
        return Ignored(f"event.{_name(fields.get('Event', ''))}")
    openid = id_of(fields.get("FromUserName"))
    if openid is None or len(openid) > MAX_OPENID:
        raise Malformed("the message has no usable sender", "author")
    text = clean_text(_TEXTS.get(kind, _words("[其他消息]"))(fields))
    if not text.strip():
        raise Malformed("there are no words in it", "empty")
    return RawPost(
        channel,
        _message_id(fields, openid, kind, members),
        text,
        author=openid,
        posted_at=from_unix(fields.get("CreateTime")),
        thread=members.thread(openid),
        handle=members.handle(openid),
    )


def _name(event: str) -> str:
    return re.sub(r"[^a-z_]", "", event.lower())[:40] or "unknown"


def _message_id(fields: Mapping[str, str], openid: str, kind: str, members: Members) -> str:
    """Return the id by which a second push of the same message is known."""
    number = (fields.get("MsgId") or "").strip()
    if number and number.isascii() and number.isdigit() and len(number) <= 40:
        return f"m:{number}"
    time = fields.get("CreateTime", "").strip()
    if not time:
        raise Malformed("the message has neither MsgId nor CreateTime", "no_id")
    said = fields.get("Content") or fields.get("MediaId") or ""
    return f"t:{members.digest('message', openid, time, kind, said)}"


# --- comments --------------------------------------------------------------------------------------


def comment_number(row: Any) -> int | None:
    """Return the comment's number in its article, or None when the row has none."""
    number = id_of(row.get("user_comment_id")) if isinstance(row, Mapping) else None
    return int(number) if number and _DIGITS.fullmatch(number) else None


def read_comment(channel: str, article: Article, row: Any) -> RawPost:
    """Return the post of one row of the comment list.

    Raises: Malformed with a stable reason.
    """
    number = comment_number(row)
    if number is None:
        raise Malformed("the comment has no usable `user_comment_id`", "no_id")
    content = row.get("content")
    if not isinstance(content, str):
        raise Malformed("the comment has no `content`", "no_text")
    text = clean_text(content)
    if not text.strip():
        raise Malformed("there are no words in it", "empty")
    name = str(Comment(article, number))
    author = id_of(row.get("openid"))
    at = from_unix(row.get("create_time"))
    return RawPost(channel, name, text, author=author, posted_at=at, thread=article.thread, handle=name)


def is_elected(row: Mapping[str, Any]) -> bool:
    """Say whether a comment stands under the article as a chosen one."""
    return id_of(row.get("comment_type")) == "1"


def reply_in(row: Mapping[str, Any]) -> str:
    """Return the words of the account's reply to a comment, or an empty text."""
    reply = row.get("reply")
    content = reply.get("content") if isinstance(reply, Mapping) else reply
    return content if isinstance(content, str) else ""


# --- what we send ----------------------------------------------------------------------------------


def weight(text: str) -> int:
    """Return the size of ``text`` of which LIMIT is the most: neither too many characters nor too many bytes."""
    return sum(max(len(char.encode()) * LONGEST, LONGEST_BYTES) for char in text)


def messages(effect: Effect) -> list[Part]:
    """Return an answer in messages that WeChat takes, each with mark and reference."""
    return parts(effect, LIMIT, weight)
