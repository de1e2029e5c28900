"""What a Discuz! forum sends, read without any I/O: rows of the mobile interface, and its feed (section 7).

Everything the mobile interface says is a text, numbers too, and the words of a post are escaped twice.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from connectors._html import words_in
from connectors._limits import MAX_FRAME, clean_text, decode_json, from_unix, id_of
from monitor.core.errors import Malformed
from monitor.core.model import PostKind, RawPost

BANNED = 1
"""Bit of ``status`` by which a moderator hides a post."""
NO_WORDS = "[无文字]"

_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_HOLES = re.compile(r"([:,]|\[(?=\s*,))(?=\s*[,\]}])")
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_POST = re.compile(r"([0-9]{1,18}):([0-9]{1,18})(:1)?", re.ASCII)
_QUOTE = re.compile(r'<div class="reply_wrap">(.*?)</div>', re.DOTALL)
_FOUND = re.compile(r"goto=findpost&(?:amp;)*pid=([0-9]{1,18})", re.ASCII)
_JUMP = re.compile(r"<a\b[^>]*goto=findpost[^>]*>(.*?)</a>", re.DOTALL)
_LINE = re.compile(r"<br\s*/?>\s*\n", re.IGNORECASE)
_SMILEY = re.compile(r"<img\b[^>]*(?:smilieid|/smiley/)[^>]*>", re.IGNORECASE)
_EDITED = re.compile(r'<i class="pstatus">.*?</i>', re.DOTALL)
_TOPIC = re.compile(r"(?:[?&]tid=|/thread-)([0-9]{1,18})", re.ASCII)
_DECLARED = re.compile(rb"""^(\s*<\?xml[^>]*?)\s+encoding=["']([A-Za-z0-9_-]{1,20})["']""")


# --- ids -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """One post of the forum: topic, post, and whether it is the one that opens the topic."""

    tid: str
    pid: str
    first: bool = False

    def __str__(self) -> str:
        return f"{self.tid}:{self.pid}{':1' if self.first else ''}"


def place_of(handle: str | None) -> Place | None:
    """Return the post that a handle means, or None when it is none of a forum."""
    found = _POST.fullmatch(handle or "")
    return Place(found[1], found[2], bool(found[3])) if found else None


def number_of(value: object) -> int | None:
    """Return a number that was sent as a text, or None."""
    text = id_of(value)
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


# --- the envelope ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the mobile interface: its variables, and its message up to ``//``."""

    variables: Mapping[str, Any]
    message: str = ""
    error: str = ""

    @property
    def uid(self) -> str:
        """Return whom the forum takes us for; ``0`` is a visitor."""
        return id_of(self.variables.get("member_uid")) or "0"


def is_page(body: bytes) -> bool:
    """Say whether a body is a page for people."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _mended(text: str) -> str:
    """Return JSON in which ``null`` stands where the forum left a hole: it does so for words that it cannot convert."""
    parts, last = list[str](), 0
    for found in _STRINGS.finditer(text):
        parts += [_filled(text[last : found.start()]), found[0]]
        last = found.end()
    return "".join([*parts, _filled(text[last:])])


def _filled(between: str) -> str:
    return _HOLES.sub(r"\1null", between)


def read_answer(body: bytes) -> Answer:
    """Return what the mobile interface answered.

    Raises: Malformed with the reason ``page`` for a page for people, else with those of ``decode_json``.
    """
    if is_page(body):
        raise Malformed("the forum answered with a page instead of data", "page")
    try:
        value = decode_json(body, MAX_FRAME)
    except Malformed as error:
        if error.reason not in ("json", "encoding"):
            raise
        value = decode_json(_mended(text_of(body)), MAX_FRAME)
    if not isinstance(value, dict):
        raise Malformed("the answer of the forum is no object", "shape")
    if isinstance(error_name := value.get("error"), str):
        return Answer({}, error=error_name[:60])
    found, told = value.get("Variables", value), value.get("Message")
    name = told.get("messageval") if isinstance(told, dict) else ""
    message = name.partition("//")[0] if isinstance(name, str) else ""
    return Answer(found if isinstance(found, dict) else {}, message[:60])


def text_of(body: bytes) -> str:
    """Return text of a forum: UTF-8, or else GB18030 as the forums of the years before have it."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("gb18030", "replace")


# --- topics ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Topic:
    """A line of a forum's list: when it was last answered, how often, and whether it is pinned to the top."""

    tid: str
    last: int
    replies: int
    pinned: bool


def topics_of(variables: Mapping[str, Any]) -> list[Topic]:
    """Return the readable lines of a forum's list; a moved topic leaves only a sign and is none."""
    rows = variables.get("forum_threadlist")
    return [topic for row in rows if (topic := _topic(row))] if isinstance(rows, list) else []


def _topic(row: Any) -> Topic | None:
    if not isinstance(row, dict):
        return None
    tid, last = number_of(row.get("tid")), number_of(row.get("dblastpost"))
    if not tid or last is None or (number_of(row.get("closed")) or 0) > 1:
        return None
    pinned = id_of(row.get("displayorder")) not in (None, "0")
    return Topic(str(tid), last, number_of(row.get("replies")) or 0, pinned)


# --- posts -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One post as a topic's page shows it.

    ``digest`` stands for the words, so that an edit shows; ``at`` is its time in Unix seconds.
    """

    post: RawPost
    pid: str
    position: int
    at: int
    hidden: bool
    digest: str


def rows_of(variables: Mapping[str, Any]) -> list[Any]:
    """Return the undecoded posts of a topic's page."""
    rows = variables.get("postlist")
    if isinstance(rows, dict):
        rows = list(rows.values())
    return rows if isinstance(rows, list) else []


def is_hole(row: Any) -> bool:
    """Say whether a row only keeps the place of a removed post: some topics are shown with such rows."""
    return isinstance(row, dict) and "dbdateline" not in row and not row.get("message")


def count_of(variables: Mapping[str, Any]) -> int:
    """Return how many places a topic's page says that the topic has."""
    topic = variables.get("thread")
    if not isinstance(topic, dict):
        return 0
    return max(number_of(topic.get("maxposition")) or 0, (number_of(topic.get("replies")) or 0) + 1)


def digest_of(text: str) -> str:
    """Return a short stand-in for words (32 bits: enough to see that they changed)."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def pid_of(row: Any) -> str | None:
    """Return the number of a post, whatever else cannot be read of it."""
    pid = number_of(row.get("pid")) if isinstance(row, dict) else None
    return str(pid) if pid else None


def read_row(channel: str, site: str, tid: str, subject: str, row: Any) -> Row:
    """Return one post of a topic's page.

    Args:
        channel: name of the channel.
        site: address of the forum.
        tid: the topic that was asked for.
        subject: its subject, which belongs to the words of the first post.
        row: the post as the interface gave it.

    Raises: Malformed with a stable reason.
    """
    pid = pid_of(row)
    if pid is None:
        raise Malformed("the post has no number", "no_id")
    message, at = row.get("message"), from_unix(row.get("dbdateline"))
    if not isinstance(message, str):
        raise Malformed("the post has no words that can be read", "no_text")
    first = id_of(row.get("first")) == "1"
    own, quoted = _words(message)
    text = _with_subject(subject, own) if first else own
    text = text or _attached(row) or NO_WORDS
    answered = _FOUND.search(message)
    author = id_of(row.get("authorid"))
    post = RawPost(
        channel,
        pid,
        text,
        author=None if author == "0" or id_of(row.get("anonymous")) == "1" else author,
        posted_at=at,
        thread=tid,
        reply_to=answered[1] if answered else None,
        handle=str(Place(tid, pid, first)),
        url=f"{site}/forum.php?mod=redirect&goto=findpost&ptid={tid}&pid={pid}",
        quoted=quoted,
    )
    seconds = int(at.timestamp()) if at else 0
    hidden = bool((number_of(row.get("status")) or 0) & BANNED)
    return Row(post, pid, number_of(row.get("position")) or 0, seconds, hidden, digest_of(text))


def _words(message: str) -> tuple[str, str | None]:
    """Return own and quoted words; what people typed is escaped once more than the page around it."""
    marked = _EDITED.sub("", _JUMP.sub(r"\1", _SMILEY.sub("[表情]", _LINE.sub("<br>", message))))
    own, quoted = words_in(_QUOTE.sub(r"<blockquote>\1</blockquote>", marked))
    return _plain(own), _plain(quoted) if quoted else None


def _plain(text: str) -> str:
    return clean_text(html.unescape(text)).strip()


def _with_subject(subject: str, text: str) -> str:
    """Return the words of a first post with the subject above, unless they begin with it anyway."""
    if not subject or text.startswith(subject):
        return text
    return clean_text(f"{subject}\n{text}").strip()


def _attached(row: Mapping[str, Any]) -> str:
    kind = id_of(row.get("attachment"))
    return {"1": "[附件]", "2": "[图片]"}.get(kind or "", "")


def subject_of(variables: Mapping[str, Any]) -> str:
    """Return the subject of a topic's page."""
    topic = variables.get("thread")
    subject = topic.get("subject") if isinstance(topic, dict) else None
    return _plain(html.unescape(subject)) if isinstance(subject, str) else ""


def is_said(mark: str, words: str, row: Row) -> bool:
    """Say whether a post is the answer that carries ``mark``, or, without one, these very words."""
    said = "".join(row.post.text.split())
    return "".join(mark.split()) in said if mark else "".join(clean_text(words).split()) == said


def notice(row_of: RawPost, kind: PostKind, by: str | None = None) -> RawPost:
    """Return the word of a removal or return about a post."""
    return replace(row_of, text="", kind=kind, author=None, quoted=None, reply_to=None, by=by)


# --- the feed --------------------------------------------------------------------------------------


def read_feed(channel: str, body: bytes) -> list[RawPost | Malformed]:
    """Return the topics of a forum's feed, newest first; what cannot be read of one is its Malformed.

    Raises: Malformed with the reason ``page``, ``off``, ``xml`` or ``forbidden``.
    """
    if body.lstrip()[:12] == b"RSS Disabled":
        raise Malformed("the forum's feed is switched off", "off")
    if (
        not is_page(body)
        or body.lstrip()[:9].lower() in (b"<!doctype", b"<html>")
        or b"<rss" not in body[:2000]
    ):
        raise Malformed("the forum answered with something else than its feed", "page")
    try:
        tree = fromstring(_as_utf8(body), forbid_dtd=True)
    except DefusedXmlException:
        raise Malformed("the feed declares a document type or entities", "forbidden") from None
    except (ParseError, ValueError):
        raise Malformed("the feed is not XML", "xml") from None
    return [_topic_post(channel, item) for item in _items(tree)]


def _as_utf8(body: bytes) -> bytes:
    """Return the feed in UTF-8, without a word of its former coding: the parser knows no GBK."""
    found = _DECLARED.match(body.lstrip(b"\xef\xbb\xbf"))
    if found is None or found[2].lower() in (b"utf-8", b"utf8"):
        return text_of(body).encode()
    coding = {b"gbk": "gb18030", b"gb2312": "gb18030"}.get(found[2].lower(), found[2].decode())
    try:
        text = body.decode(coding, "replace")
    except LookupError:
        text = text_of(body)
    return _DECLARED.sub(rb"\1", text.encode())


def _items(tree: Element) -> Iterator[Element]:
    return (item for channel in tree.iter("channel") for item in channel.iter("item"))


def _topic_post(channel: str, item: Element) -> RawPost | Malformed:
    link = (item.findtext("link") or "").strip()
    found = _TOPIC.search(link)
    if found is None:
        return Malformed("a topic of the feed has no number", "no_id")
    subject, words = (_slashless(item.findtext(name) or "") for name in ("title", "description"))
    text = _with_subject(_plain(html.unescape(subject)), _words(words)[0])
    return RawPost(
        channel,
        f"t{found[1]}",
        text or NO_WORDS,
        author=id_of(item.findtext("author")),
        posted_at=_feed_time(item.findtext("pubDate")),
        thread=found[1],
        url=clean_text(link)[:500],
    )


def _slashless(text: str) -> str:
    return text.replace('\\"', '"').replace("\\&quot;", "&quot;").replace("\\'", "'")


def _feed_time(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime((text or "").strip())
        return from_unix((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


__all__ = [
    "BANNED",
    "Answer",
    "Place",
    "Row",
    "Topic",
    "count_of",
    "digest_of",
    "is_hole",
    "is_page",
    "is_said",
    "notice",
    "number_of",
    "pid_of",
    "place_of",
    "read_answer",
    "read_feed",
    "read_row",
    "rows_of",
    "subject_of",
    "text_of",
    "topics_of",
]
