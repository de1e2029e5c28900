"""RSS and Atom as bytes: one coding, no entities, and entries as posts."""

from __future__ import annotations

import calendar
import codecs
import hashlib
import io
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

import defusedxml.sax
import feedparser
from defusedxml import DefusedXmlException

from connectors._html import words_in
from connectors._limits import MAX_ID, broken, clean_text, from_unix, id_of
from monitor.core.errors import Malformed
from monitor.core.model import Broken, RawPost

MOST_ENTRIES: Final = 1_000
_CODINGS: Final[Mapping[str, str]] = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-8": "utf-8",
    "iso8859-1": "cp1252",
    "cp1252": "cp1252",
    "ascii": "ascii",
}
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,300}\?>")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_ENDS: Final = (
    (b"<rss", b"</item>", b"</channel></rss>"),
    (b"<feed", b"</entry>", b"</feed>"),
    (b"<rdf:RDF", b"</item>", b"</rdf:RDF>"),
)
_BAD = (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError)
"""What the parser is known to fail with; it is meant to fail with nothing."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One fetch, read.

    Attributes:
        items: what its entries say, the oldest first.
        is_partial: the feed broke off, or could be read only loosely.
        ttl: seconds for which the feed asks not to be fetched again, 0 when it does not ask.
    """

    items: tuple[RawPost | Broken, ...]
    is_partial: bool = False
    ttl: float = 0.0


def _coding(name: str | None) -> str | None:
    try:
        return _CODINGS.get(codecs.lookup(name).name) if name else None
    except LookupError:
        return None


def decode(body: bytes, content_type: str = "") -> str:
    """Return the text of a feed.

    UTF-8 comes first whatever is said of it, because words in another coding are hardly ever valid UTF-8, and servers
    often say something wrong; then what the document declares, what the header says, GB18030, and at last Windows-1252.
    """
    for mark, coding in _MARKS:
        if body.startswith(mark):
            return body.decode(coding, "replace").removeprefix("\ufeff")
    declared, header = _DECLARED.match(body), _CHARSET.search(content_type)
    named = [
        _coding(declared[1].decode("ascii") if declared else None),
        _coding(header[1] if header else None),
    ]
    first = ["utf-16-le" if body[1:2] == b"\0" else "utf-16-be"] if b"\0" in body[:4] else ["utf-8"]
    for number, coding in enumerate([*first, *[name for name in named if name], "gb18030"]):
        try:
            return codecs.getincrementaldecoder(coding)().decode(
                body
            )  # which may break off within a character
        except UnicodeDecodeError:
            if number == 0 and (text := _mostly_utf8(body)) is not None:
                return text
    return body.decode("cp1252", "replace")


def _mostly_utf8(body: bytes) -> str | None:
    """Return the text of UTF-8 with a few bad characters, as sites make them that cut summaries by bytes."""
    text = body.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(not letter.isascii() for letter in text) - bad
    return text if bad * 10 <= good else None


def _harmless(text: str) -> tuple[bytes, bool]:
    """Return the text as the bytes that are parsed, and whether the feed broke off: then it ends with a whole entry.

    Raises: Malformed when it declares entities.
    """
    data = _DECLARATION.sub("", text.lstrip(), count=1).encode("utf-8", "replace")
    try:
        defusedxml.sax.parseString(
            data, ContentHandler(), forbid_dtd=False, forbid_entities=True, forbid_external=False
        )
    except DefusedXmlException:
        raise Malformed("the feed declares entities, which feeds have no need of", "xml_entity") from None
    except (SAXException, ValueError, LookupError):
        return _ended(data)
    return data, False


def _ended(data: bytes) -> tuple[bytes, bool]:
    """Return a feed that broke off with its last whole entry for an end; another one as it is."""
    for root, entry, end in _ENDS:
        if root in data and b"</" + root[1:] not in data:
            last = data.rfind(entry)
            return (data[: last + len(entry)] + end, True) if last >= 0 else (data, True)
    return data, False


def read_feed(channel: str, address: str, body: bytes, content_type: str = "", titles: bool = False) -> Feed:
    """Return what a feed says.

    Args:
        channel: name of the channel.
        address: of the feed; entries that name no other thread stand in it.
        body: the feed as it came.
        content_type: its header.
        titles: whether an entry's title belongs to its words.

    Raises: Malformed when it is no feed (``no_feed``) or declares entities (``xml_entity``).
    """
    data, is_cut = _harmless(decode(body, content_type))
    try:
        # a stream, never the bytes themselves: those would be tried as a file name first
        found = feedparser.parse(
            io.BytesIO(data),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
        version, entries, is_partial = found.version, found.entries, is_cut or bool(found.bozo)
        ttl = _seconds(found.feed.get("ttl"))
    except _BAD:
        raise Malformed("the feed cannot be read", "no_feed") from None
    if not version and not entries:
        raise Malformed("what came is no feed", "no_feed")
    items = [_item(channel, address, entry, titles) for entry in entries[:MOST_ENTRIES]]
    return Feed(tuple(_in_order(items)), is_partial, ttl)


def _seconds(ttl: Any) -> float:
    is_number = isinstance(ttl, str) and ttl.strip().isascii() and ttl.strip().isdigit()
    return min(float(ttl.strip()[:6]) * 60, 86_400.0) if is_number else 0.0


def _in_order(items: list[RawPost | Broken]) -> list[RawPost | Broken]:
    """Return items with the oldest first; feeds put the newest first, and some give no times."""
    items = items[::-1]
    times = [item.posted_at if isinstance(item, RawPost) else None for item in items]
    if any(at is None for at in times):
        return items
    known = [at for at in times if at is not None]
    return [items[n] for n in sorted(range(len(items)), key=lambda n: (known[n], n))]


# --- entries ---------------------------------------------------------------------------------------


def _item(channel: str, address: str, entry: Any, titles: bool) -> RawPost | Broken:
    try:
        return _post(channel, address, entry, titles)
    except Malformed as error:
        return broken(channel, error, _as_text(entry))
    except _BAD:
        return broken(channel, Malformed("the entry cannot be read", "shape"), _as_text(entry))


def _as_text(entry: Any) -> str:
    return json.dumps(entry, ensure_ascii=False, default=str)


def _text_of(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _content(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return own and quoted words: of the whole content, else of the summary."""
    parts = entry.get("content")
    details = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    details = [*details, entry.get("summary_detail") or {"value": _text_of(entry, "summary")}]
    for detail in details:
        value = _text_of(detail, "value")
        if value.strip():
            is_plain = detail.get("type") == "text/plain"
            own, quoted = (clean_text(value).strip(), None) if is_plain else words_in(value)
            return (own, quoted) if own else (quoted or "", None)
    return "", None


def _post(channel: str, address: str, entry: Mapping[str, Any], titles: bool) -> RawPost:
    text, quoted = _content(entry)
    title = words_in(_text_of(entry, "title"))[0]
    if title and (titles or not text):
        text = clean_text(f"{title}\n{text}".strip())
    if not text:
        raise Malformed("there are no words in the entry", "no_text")
    link = _text_of(entry, "link")
    link = link if link.startswith(("http://", "https://")) else ""
    answers = entry.get("thr_in-reply-to")
    return RawPost(
        channel,
        external_id_of(entry, link, text),
        text,
        author=id_of(_text_of(entry, "author")[:MAX_ID]),
        posted_at=_time(entry, "published_parsed", "updated_parsed"),
        thread=_short((link if "#" in link else address.partition("?")[0]).partition("#")[0]),
        reply_to=_short(_text_of(answers, "ref")) if isinstance(answers, Mapping) else None,
        url=clean_text(link)[:2_000] or None,
        quoted=quoted,
    )


def external_id_of(entry: Mapping[str, Any], link: str, text: str) -> str:
    """Return the id of an entry: its own, else its link, else a digest of title, time and words."""
    for value in (_text_of(entry, "id").strip(), link):
        if value:
            return _short(value) or ""
    said = "\0".join((_text_of(entry, "title"), _text_of(entry, "published"), text))
    return "x:" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


def _short(value: str) -> str | None:
    """Return an id that is short enough; a longer one becomes its digest."""
    if not value.strip():
        return None
    kept = id_of(value)
    return kept or "h:" + hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:32]


def _time(entry: Mapping[str, Any], *keys: str) -> datetime | None:
    for key in keys:
        value = entry.get(key)
        if isinstance(value, time.struct_time):
            return from_unix(calendar.timegm(value))
    return None


__all__ = ["Feed", "decode", "external_id_of", "read_feed"]
