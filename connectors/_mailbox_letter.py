"""Reading one letter (RFC 5322, MIME): who wrote what, in answer to what, and whether a machine did.

The names of senders and the ids of letters may tell who a person is; what leaves this module beside the post are
digests of ids, and the address only as the post's author, which becomes a pseudonym on entry.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Final

from connectors._limits import clean_text, moment
from connectors._mailbox_cut import cut
from connectors._mailbox_html import words_in
from monitor.core.errors import Malformed
from monitor.core.model import RawPost
from monitor.core.privacy import clean

OWN_ID: Final = ".huiyin@"
"""Stands in the Message-ID of every letter that this channel sent."""
PICTURE, FILE = "[图片]", "[附件]"
MOST_PARTS: Final = 200
MOST_HEADERS: Final = 65_536
MOST_REFERENCES: Final = 50

_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?"
)
_ID: Final = re.compile(r"<[^<>\s]{1,900}>")
_AGAIN: Final = re.compile(
    r"\s*(?:re|fw|fwd|aw|sv|答复|回复|回覆|转发|轉寄|自动回复)\s*(?:\[\d+\]|\(\d+\))?\s*[:：]\s*",
    re.IGNORECASE,
)
_CHINESE: Final = ("gb2312", "gbk", "gb_2312-80", "cp936", "ms936", "x-gbk", "euc-cn", "gb18030", "chinese")
_KNOWN: Final = frozenset(
    [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "big5",
        "big5-hkscs",
        "cp950",
        "iso-2022-jp",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "hz-gb-2312",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "utf-7",
        "koi8-r",
        "iso-8859-1",
        "iso-8859-2",
        "iso-8859-15",
        "windows-1250",
        "windows-1251",
        "windows-1252",
    ]
)
_BOUNCERS: Final = ("mailer-daemon", "postmaster")
_BULK: Final = frozenset({"bulk", "list", "junk"})


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a letter say.

    Attributes:
        key: digest of its Message-ID, or of who, when and what where it has none; twice is once by it.
        message_id: as written, for the answer; empty when there is none.
        references: earlier letters of the thread, oldest first, as written.
        sender: address it claims to come from, in small letters; empty when it names none.
        answer_to: address that wants the answer.
        subject: in words.
        kind: ``letter``, ``own`` (sent by this channel), ``auto_reply``, ``bounce`` or ``bulk``.
        sent_at: what its Date says, if that can be true.
    """

    key: str
    message_id: str
    references: tuple[str, ...]
    sender: str
    answer_to: str
    subject: str
    kind: str
    sent_at: datetime | None


def key_of(message_id: str) -> str:
    """Return the digest by which a letter is known: its id may hold a name, a digest does not."""
    return hashlib.sha256(message_id.strip().encode("utf-8", "replace")).hexdigest()[:32]


def decoded(data: bytes, charset: str | None) -> str:
    """Return bytes as text: text labelled gb2312 is read as gb18030, a label that is wrong or strange is not believed."""
    name = (charset or "").strip().strip("\"'").lower()
    named = ["gb18030"] if name in _CHINESE else [name] if name in _KNOWN else []
    for each in (*named, "utf-8", "gb18030"):
        try:
            return data.decode("hz" if each == "hz-gb-2312" else each)
        except (UnicodeError, LookupError):
            continue
    return data.decode("gb18030" if name in _CHINESE else "utf-8", "replace")


def header_words(value: str) -> str:
    """Return a header as words on one line (RFC 2047), whatever its make."""
    raw = value.encode("utf-8", "surrogateescape")
    if not raw.isascii():
        return " ".join(clean_text(decoded(raw, None)).split())
    try:
        parts = decode_header(value)
    except (HeaderParseError, binascii.Error, ValueError):
        return " ".join(clean_text(value).split())
    said = [decoded(part, charset) if isinstance(part, bytes) else part for part, charset in parts]
    return " ".join(clean_text("".join(said)).split())


def _raw(message: Message, name: str) -> str:
    """Return the first header of this name as it stands in the letter; other bytes than ASCII as surrogates."""
    wanted = name.lower()
    found = next((value for key, value in message.raw_items() if key.lower() == wanted), "")
    return str(found)[:MOST_HEADERS]


def address_in(value: str) -> str:
    """Return the first address of a header in small letters, or an empty string."""
    for _name, address in getaddresses([value.encode("utf-8", "replace").decode("ascii", "replace")]):
        if _ADDRESS.fullmatch(address):
            return address.lower()
    return ""


def _kind(message: Message, own: str, sender: str, message_id: str) -> str:
    """Return what kind of letter it is (RFC 3834 for machines, RFC 3464 for reports of delivery)."""
    automatic = _raw(message, "Auto-Submitted").split(";")[0].strip().lower()
    report = message.get_content_type() == "multipart/report"
    if sender == own and OWN_ID in message_id:
        return "own"
    if report and "delivery-status" in _raw(message, "Content-Type").lower():
        return "bounce"
    if sender.partition("@")[0] in _BOUNCERS or _raw(message, "Return-Path").strip() == "<>":
        return "auto_reply" if automatic == "auto-replied" and not report else "bounce"
    if automatic == "auto-replied" or message.get("X-Autoreply") or message.get("X-Autorespond"):
        return "auto_reply"
    listed = _raw(message, "Precedence").strip().lower() in _BULK or message.get("List-Id")
    return "bulk" if listed or automatic not in ("", "no") else "letter"


def head_of(message: Message, own: str, body: bytes = b"") -> Head:
    """Return what the headers say; ``own`` is the address of the box, ``body`` tells letters without an id apart."""
    ids = _ID.findall(_raw(message, "Message-ID"))
    message_id = ids[0] if ids and ids[0].isascii() else ""
    named = _ID.findall(_raw(message, "References")) or _ID.findall(_raw(message, "In-Reply-To"))
    references = tuple(each for each in named if each.isascii() and each != message_id)
    if len(references) > MOST_REFERENCES:
        references = (references[0], *references[1 - MOST_REFERENCES :])
    sender = address_in(_raw(message, "From"))
    subject = header_words(_raw(message, "Subject"))
    return Head(
        key=key_of(ids[0]) if ids else _key_without_id(message, sender, subject, body),
        message_id=message_id,
        references=references,
        sender=sender,
        answer_to=address_in(_raw(message, "Reply-To")) or sender,
        subject=subject[:300],
        kind=_kind(message, own, sender, message_id),
        sent_at=_date(_raw(message, "Date")),
    )


def _key_without_id(message: Message, sender: str, subject: str, body: bytes) -> str:
    told = "\0".join((sender, _raw(message, "Date"), subject)).encode("utf-8", "surrogatepass")
    return "h" + hashlib.sha256(told + b"\0" + body).hexdigest()[:31]


def _date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


def parsed(data: bytes) -> Message:
    """Return the letter in ``data``; raises Malformed when it is none."""
    try:
        message = message_from_bytes(data, policy=policy.compat32)
    except (MessageError, ValueError, LookupError, RecursionError) as error:
        raise Malformed("the letter cannot be taken apart", "letter") from error
    if not message.keys():
        raise Malformed("the letter has no headers", "letter")
    return message


def _body(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip()


# --- the body --------------------------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Message]:
    """Yield the leaves of a letter in their order; letters that are attached stay closed."""
    waiting, seen = [message], 0
    while waiting and seen < MOST_PARTS:
        part, seen = waiting.pop(0), seen + 1
        payload = part.get_payload() if part.is_multipart() else None
        attached = part is not message and (
            part.get_content_maintype() == "message" or part.get_content_disposition() == "attachment"
        )
        if isinstance(payload, list) and not attached:
            waiting[:0] = [each for each in payload if isinstance(each, Message)]
        else:
            yield part


def _text_of(part: Message) -> str:
    try:
        data = part.get_payload(decode=True)
        charset = part.get_content_charset()
    except (ValueError, LookupError, TypeError):  # what the email package fails with on hostile labels
        return ""
    return clean(decoded(data, charset)) if isinstance(data, bytes) else ""


def words_of(message: Message) -> tuple[str, str | None]:
    """Return the sender's own words and the quoted ones; what only holds pictures or files says so."""
    plain: list[str] = []
    html: list[str] = []
    pictures = files = 0
    for part in _parts(message):
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
            pictures += part.get_content_maintype() == "image"
            files += part.get_content_maintype() not in ("image", "multipart")
        elif kind == "text/plain":
            plain.append(_text_of(part))
        else:
            html.append(_text_of(part))
    text = "\n".join(each for each in plain if each.strip())
    quoted: str | None = None
    if not text.strip() and html:
        text, quoted, shown = words_in("\n".join(html))
        pictures += shown
        if not text.strip() and quoted:
            text, quoted = quoted, None
    own, cut_off = cut(text)
    told = "\n".join(filter(None, (cut_off, quoted))) or None
    return own or (PICTURE if pictures else FILE if files else ""), told


def read_letter(channel: str, data: bytes, own: str, arrived: datetime | None) -> tuple[Head, RawPost | None]:
    """Return the headers of a letter, and its post where a person wrote one.

    Args:
        channel: name of the channel.
        data: the letter as the server keeps it.
        own: address of the box.
        arrived: when the server took it.

    Raises: Malformed with reason ``letter``, ``bounce`` (a report that something could not be delivered) or ``empty``.
    """
    message = parsed(data)
    head = head_of(message, own, _body(data))
    if head.kind == "bounce":
        raise Malformed(
            "a report that a letter could not be delivered: look into the box whose it was", "bounce"
        )
    if head.kind in ("own", "auto_reply"):
        return head, None
    own_words, quoted = words_of(message)
    text = _with_subject(head, own_words)
    if not text.strip():
        raise Malformed("the letter holds no words", "empty")
    return head, RawPost(
        channel,
        head.key,
        clean_text(text),
        author=head.sender or None,
        posted_at=head.sent_at or arrived,
        thread=key_of(head.references[0]) if head.references else head.key,
        reply_to=_answers(head),
        quoted=clean_text(quoted) if quoted else None,
    )


def _answers(head: Head) -> str | None:
    """Return the key of the letter that this one answers; our own answers stand for what they answered."""
    for each in reversed(head.references):
        if OWN_ID not in each:
            return key_of(each)
    return None


def _with_subject(head: Head, words: str) -> str:
    """Put the subject above the words where the sender wrote one of their own."""
    subject = bare_subject(head.subject)
    is_answer = bool(head.references) or subject != head.subject
    if not subject or is_answer or words.startswith(subject):
        return words
    return f"{subject}\n{words}".strip() if words not in (PICTURE, FILE) else f"{subject} {words}"


def bare_subject(subject: str) -> str:
    """Return a subject without the marks of answering and passing on before it."""
    rest = subject
    for _round in range(10):
        found = _AGAIN.match(rest)
        if not found:
            break
        rest = rest[found.end() :]
    return rest.strip()


AUTOMATIC: Final[Mapping[str, str]] = {
    "bulk": "the letter was sent by a list or a machine: nothing is answered to those",
    "auto_reply": "the letter is an automatic answer: nothing is answered to those",
    "bounce": "the letter is a report of delivery: nothing is answered to those",
    "own": "the letter is one of this box: it does not write to itself",
}

__all__ = [
    "AUTOMATIC",
    "OWN_ID",
    "Head",
    "address_in",
    "bare_subject",
    "decoded",
    "head_of",
    "header_words",
    "key_of",
    "parsed",
    "read_letter",
    "words_of",
]
