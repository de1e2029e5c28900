"""OneBot v11 messages: segments and CQ codes to the author's own words, quoted words and the parent's id.

Source: OneBot v11, "message" chapter (string and array form), and the segments that NapCat and LLOneBot add.
Nothing here raises: an unknown or damaged segment becomes a placeholder or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from connectors._limits import clean_text, decode_json, id_of
from monitor.core.errors import Malformed

_CODE = re.compile(r"\[CQ:([A-Za-z0-9_.\-]+)((?:,[A-Za-z0-9_.\-]+=[^,\[\]]*+)*+),?\]")
_PLAIN = {
    "face": "[表情]",
    "mface": "[表情]",
    "image": "[图片]",
    "record": "[语音]",
    "video": "[视频]",
    "forward": "[聊天记录]",
    "node": "[聊天记录]",
    "contact": "[名片]",
    "location": "[位置]",
    "music": "[音乐]",
    "poke": "[戳一戳]",
    "dice": "[骰子]",
    "rps": "[猜拳]",
    "shake": "[抖动]",
    "miniapp": "[小程序]",
    "flashtransfer": "[文件]",
    "onlinefile": "[文件]",
}
_SILENT = frozenset({"reply", "anonymous"})
_PROMPT = 500
_NAME = 60


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a message: ``kind`` (text, at, reply ...) and its data."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What a message says: own ``text``, the id it answers, words it quotes, and whether words are its own."""

    text: str
    reply_to: str | None = None
    quoted: str | None = None


def unescape(text: str) -> str:
    """Undo the CQ escapes; ``&amp;`` last, so that ``&amp;#91;`` stays ``&#91;``."""
    return text.replace("&#91;", "[").replace("&#93;", "]").replace("&#44;", ",").replace("&amp;", "&")


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: unescape(value) for key, _, value in pairs}


def parse_codes(text: str) -> Iterator[Segment]:
    """Yield the segments of the string form; what is no well-formed code stays text."""
    last = 0
    for code in _CODE.finditer(text):
        if code.start() > last:
            yield Segment("text", {"text": unescape(text[last : code.start()])})
        yield Segment(code[1], _parameters(code[2]))
        last = code.end()
    if last < len(text):
        yield Segment("text", {"text": unescape(text[last:])})


def segments(message: object) -> Iterator[Segment]:
    """Yield the segments of a message in string form, array form, or as a single segment object."""
    if isinstance(message, str):
        yield from parse_codes(message)
        return
    for part in [message] if isinstance(message, dict) else message if isinstance(message, list) else []:
        if isinstance(part, dict) and isinstance(part.get("type"), str):
            data = part.get("data")
            yield Segment(part["type"], data if isinstance(data, dict) else {})


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _at(data: Mapping[str, Any]) -> str:
    if data.get("qq") == "all":
        return "@全体成员 "
    name = " ".join(_string(data, "name").lstrip("@").split())[:_NAME]
    return f"@{name} " if name else "@成员 "


def _share(data: Mapping[str, Any]) -> str:
    return " ".join(part for part in (_string(data, "title"), _string(data, "url")) if part) or "[分享]"


def _card(data: Mapping[str, Any]) -> str:
    """Return the prompt or the first title of a JSON card (mini-programs, announcements)."""
    card = data.get("data")
    try:
        card = decode_json(card) if isinstance(card, str) else card
    except Malformed:
        return "[卡片消息]"
    if not isinstance(card, dict):
        return "[卡片消息]"
    details = card.get("meta")
    inner = details.values() if isinstance(details, dict) else ()
    titles = [part.get("title") for part in inner if isinstance(part, dict)]
    found = (text for text in (card.get("prompt"), *titles, card.get("title")) if isinstance(text, str))
    return next((text[:_PROMPT] for text in found if text.strip()), "[卡片消息]")


def _xml(data: Mapping[str, Any]) -> str:
    try:
        root = defusedxml.ElementTree.fromstring(_string(data, "data")[:65_536], forbid_dtd=True)
    except (DefusedXmlException, defusedxml.ElementTree.ParseError, ValueError):
        return "[卡片消息]"
    return (root.get("brief") or root.findtext(".//title") or "[卡片消息]")[:_PROMPT]


def _file(data: Mapping[str, Any]) -> str:
    name = _string(data, "name") or _string(data, "file")
    return f"[文件 {name[:200]}]" if name else "[文件]"


def _image(data: Mapping[str, Any]) -> str:
    return _string(data, "summary")[:50] or "[图片]"


def _markdown(data: Mapping[str, Any]) -> str:
    return _string(data, "content") or "[消息]"


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda data: _string(data, "text"),
    "at": _at,
    "share": _share,
    "json": _card,
    "xml": _xml,
    "file": _file,
    "image": _image,
    "markdown": _markdown,
}


def _render(segment: Segment) -> str:
    if segment.kind in _SILENT:
        return ""
    made = _WORDS.get(segment.kind)
    return made(segment.data) if made is not None else _PLAIN.get(segment.kind, "")


def read_message(message: object) -> Words:
    """Return the words of a message; a message of unknown segments alone becomes ``[其他消息]``."""
    parts = list(segments(message))
    text = clean_text("".join(map(_render, parts))).strip()
    replies = [part.data for part in parts if part.kind == "reply"]
    unknown = [part for part in parts if part.kind not in _SILENT and part.kind not in _WORDS]
    quoted = _string(replies[0], "text") if replies else ""
    return Words(
        text=text or ("[其他消息]" if unknown else ""),
        reply_to=id_of(replies[0].get("id")) if replies else None,
        quoted=clean_text(quoted) if quoted.strip() else None,
    )
