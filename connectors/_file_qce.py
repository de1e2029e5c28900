"""Exports of qq-chat-exporter version 5 (JSON): one file, or a ``manifest.json`` with its chunks.

A file is walked through message by message and never held: the pictures that it may carry are passed over unread,
and a message that is damaged costs only itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from connectors._file_text import opened, raw_lines
from connectors._limits import MAX_ITEM, broken, clean_text, decode_json, from_unix, id_of, moment, words_of
from connectors._posts import SHANGHAI
from monitor.core.errors import Malformed
from monitor.core.model import Broken, PostKind, RawPost

_CHUNK: Final = 1 << 18
_MARK: Final = re.compile(rb'["\[\]{},:]')
_STRING_END: Final = re.compile(rb'"|\\.', re.DOTALL)
_BOM: Final = b"\xef\xbb\xbf"
_HOLDERS: Final[Mapping[str, str]] = {
    "image": "[图片]",
    "face": "[表情]",
    "market_face": "[表情]",
    "file": "[文件]",
    "video": "[视频]",
    "audio": "[语音]",
    "json": "[卡片消息]",
    "forward": "[聊天记录]",
    "location": "[位置]",
    "wallet": "[QQ红包]",
}


def items(path: Path, channel: str) -> Iterator[RawPost | Broken]:
    """Yield the messages of an export.

    Raises: Unavailable, Malformed when it is none.
    """
    head = _head(path)
    chat = _Chat.of(channel, head.get("chatInfo"))
    if isinstance(head.get("chunked"), dict):
        yield from _chunks(path, head["chunked"], chat)
        return
    if "messages" not in head:
        raise Malformed("this is no export of qq-chat-exporter: it has no `messages`", "shape")
    place = 0
    with opened(path) as file:
        for key, raw in _parts(file):
            if key is None:
                error = Malformed("the file ends in the middle: it was cut off", "json")
                yield broken(channel, error, raw, str(place + 1))
            elif key == "messages" and raw:
                place += 1
                yield from _message(raw, chat, str(place))


@dataclass(frozen=True, slots=True)
class _Chat:
    """Whose messages they are; ``group`` is None for what is no group: its number would be a member's."""

    channel: str
    group: str | None

    @classmethod
    def of(cls, channel: str, told: object) -> _Chat:
        info = told if isinstance(told, dict) else {}
        number = id_of(info.get("peerUin")) or id_of(info.get("peerUid"))
        return cls(channel, number if info.get("type", "group") == "group" else None)


def _head(path: Path) -> dict[str, Any]:
    """Return what stands around the messages: ``chatInfo``, ``chunked``, and whether there are ``messages``."""
    found: dict[str, Any] = {}
    with opened(path) as file:
        for key, raw in _parts(file):
            if key in ("chatInfo", "chunked"):
                found[key] = _decoded(raw)
            elif key == "messages":
                found[key] = True
                if "chatInfo" in found:
                    break
    return found


def _decoded(raw: bytes) -> Any:
    try:
        return decode_json(raw)
    except Malformed:
        return None


def _chunks(path: Path, chunked: Mapping[str, Any], chat: _Chat) -> Iterator[RawPost | Broken]:
    """Yield the messages of every chunk; one that lies outside of the folder is never opened."""
    folder = path.parent.resolve()
    listed = chunked.get("chunks")
    for place, chunk in enumerate(listed if isinstance(listed, list) else (), 1):
        relative = chunk.get("relativePath") if isinstance(chunk, dict) else None
        target = _inside(folder, relative) if isinstance(relative, str) else None
        if target is None:
            error = Malformed("a chunk is missing or lies outside of the folder of its manifest", "chunk")
            yield broken(chat.channel, error, b"", f"chunk {place}")
            continue
        for number, raw in raw_lines(target):
            if raw.strip():
                yield from _message(raw.strip(), chat, f"{target.name}:{number}")


def _inside(folder: Path, relative: str) -> Path | None:
    try:
        target = (folder / relative).resolve()
        return target if target.is_relative_to(folder) and target.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


# --- walking through -------------------------------------------------------------------------------


def _parts(file: BinaryIO) -> Iterator[tuple[str | None, bytes]]:
    """Yield (key, raw value) of an object; for ``messages`` an empty value first, then one element after the other.

    A value longer than an item keeps one byte more than that. What ends too early is yielded under no key.

    Raises: Malformed when it is no object.
    """
    walk = _Walk()
    while chunk := file.read(_CHUNK):
        while chunk.endswith(b"\\") and (more := file.read(1)):
            chunk += more
        yield from walk.feed(chunk)
    if not walk.is_over:
        yield None, bytes(walk.piece)


class _Walk:
    """Where in the text we are; only brackets, commas, colons and the ends of strings are looked at."""

    def __init__(self) -> None:
        self.piece = bytearray()
        self.is_over = False
        self._depth = 0
        self._is_string = False
        self._is_begun = False
        self._key = ""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield what is complete with ``chunk``."""
        if not self._is_begun:
            chunk = chunk.removeprefix(_BOM).lstrip()
            if chunk and not chunk.startswith(b"{"):
                raise Malformed("this is no export of qq-chat-exporter: it is no JSON object", "shape")
            self._is_begun = bool(chunk)
        begin = at = 0
        while not self.is_over:
            found = (_STRING_END if self._is_string else _MARK).search(chunk, at)
            if found is None:
                self._keep(chunk[begin:])
                return
            at = found.end()
            mark = found[0]
            if self._is_string:
                self._is_string = mark != b'"'
            elif mark == b'"':
                self._is_string = True
            elif self._ends_piece(mark):
                self._keep(chunk[begin : found.start()])
                yield from self._take(mark)
                begin = at

    def _is_listed(self) -> bool:
        return self._depth == 2 and self._key == "messages"

    def _ends_piece(self, mark: bytes) -> bool:
        """Follow the depth, and say whether ``mark`` stands between two values that are told apart."""
        if mark in b"{[":
            self._depth += 1
            return self._depth == 1 or (mark == b"[" and self._is_listed())
        if mark in b"}]":
            was_listed = self._is_listed() and mark == b"]"
            self._depth -= 1
            self.is_over = self._depth <= 0
            return was_listed or self.is_over
        return self._depth == 1 or (mark == b"," and self._is_listed())

    def _keep(self, data: bytes) -> None:
        if len(self.piece) <= MAX_ITEM:
            self.piece += data[: MAX_ITEM + 1 - len(self.piece)]

    def _take(self, mark: bytes) -> Iterator[tuple[str, bytes]]:
        raw = bytes(self.piece).strip()
        self.piece.clear()
        if mark == b":" and self._depth == 1:
            self._key = raw.strip(b'"').decode("utf-8", "replace")
        elif raw or mark == b"[":
            yield self._key, raw


# --- a message -------------------------------------------------------------------------------------


def _message(raw: bytes, chat: _Chat, position: str) -> Iterator[RawPost | Broken]:
    """Yield the post of one message or its recall; nothing for lines of the system and for empty ones."""
    try:
        row = decode_json(raw)
        if not isinstance(row, dict):
            raise Malformed("the message is no object", "shape")
        post = _post(row, chat)
    except Malformed as error:
        yield broken(chat.channel, error, raw, position)
        return
    if post.kind is PostKind.REMOVAL or post.text.strip():
        yield post


def _post(row: Mapping[str, Any], chat: _Chat) -> RawPost:
    external_id = _external_id(row, chat)
    if external_id is None:
        raise Malformed("the message has no id", "no_id")
    if row.get("recalled") is True:
        return RawPost(chat.channel, external_id, "", PostKind.REMOVAL, thread=chat.group, by="author")
    content, sender = _object(row, "content"), _object(row, "sender")
    is_system = row.get("system") is True or row.get("type") == "system"
    return RawPost(
        chat.channel,
        external_id,
        "" if is_system else clean_text(_words(content)),
        author=id_of(sender.get("uin")) or id_of(sender.get("uid")),
        posted_at=from_unix(row.get("timestamp")) or moment(row.get("time"), SHANGHAI),
        thread=chat.group,
        quoted=_quoted(content),
    )


def _external_id(row: Mapping[str, Any], chat: _Chat) -> str | None:
    """Return the id under which a live OneBot channel of the group would know the message, so that both merge."""
    seq, message_id = id_of(row.get("seq")), id_of(row.get("id"))
    if chat.group is not None and seq not in (None, "0"):
        return f"{chat.group}:{seq}"
    return None if message_id is None else f"qq-{message_id}"


def _object(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = row.get(key)
    return found if isinstance(found, dict) else {}


def _elements(content: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = content.get("elements")
    rows = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [(each["type"], _object(each, "data")) for each in rows if isinstance(each.get("type"), str)]


def _words(content: Mapping[str, Any]) -> str:
    """Return the writer's own words: text and mentions, a word for everything else; quoted words are kept apart."""
    parts = []
    for kind, data in _elements(content):
        said = data.get("text") if kind in ("text", "at") else _HOLDERS.get(kind)
        parts.append(said if isinstance(said, str) else "")
    return "".join(parts) or words_of(content.get("text")) or ""


def _quoted(content: Mapping[str, Any]) -> str | None:
    found = (words_of(data.get("content")) for kind, data in _elements(content) if kind == "reply")
    return next(found, None)
