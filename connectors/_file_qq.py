"""QQ chat logs: the text export of the PC client, and the JSON of qq-chat-exporter version 5.

There is no official specification; the grammar follows files that people exported. A text log has no message ids:
the id is a digest of conversation, time, account and words, so that overlapping exports merge.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from connectors._file_text import encoding_of, lines, opened
from connectors._limits import MAX_ITEM, MAX_TEXT, broken, clean_text, decode_json, from_unix, id_of
from connectors._posts import SHANGHAI
from monitor.core.errors import Malformed
from monitor.core.model import Broken, PostKind, RawPost

BANNER: Final = "消息记录"
_HEAD: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2}) (?P<time>\d{1,2}:\d{2}:\d{2})(?: (?P<half>AM|PM))? "
    r"(?P<name>.*?)(?:\((?P<uin>\d{5,11})\)|<(?P<account>[^<>\s]{1,200})>)\s*\Z"
)
_OBJECT: Final = re.compile(r"消息对象:\s*(.*)\Z")
_SYSTEM: Final = frozenset({"10000", "1000000"})
_RECALL: Final = re.compile(r"(?:你|\S{0,40})撤回了一条消息")
_RULE: Final = re.compile(r"={8,}\Z")


@dataclass(slots=True)
class _Message:
    at: datetime
    account: str
    body: list[str] = field(default_factory=list)
    line: int = 0


def _moment(match: re.Match[str]) -> datetime | None:
    shape = "%Y-%m-%d %I:%M:%S %p" if match["half"] else "%Y-%m-%d %H:%M:%S"
    text = f"{match['day']} {match['time']}" + (f" {match['half']}" if match["half"] else "")
    try:
        return datetime.strptime(text, shape).replace(tzinfo=SHANGHAI)
    except ValueError:
        return None


# --- text ------------------------------------------------------------------------------------------


def text_items(path: Path, channel: str) -> Iterator[RawPost | Broken]:
    """Yield the messages of a text export; system lines and recalls without their message are left out.

    Raises: Unavailable, Malformed when it is no such export.
    """
    import hashlib

    seen: Counter[str] = Counter()
    for conversation, message in _messages(path):
        text = clean_text("\n".join(message.body).removesuffix("\n")).strip("\n")
        if message.account in _SYSTEM or not text.strip() or _RECALL.fullmatch(text.strip()):
            continue
        at = message.at.strftime("%Y-%m-%d %H:%M:%S")
        key = "\x1f".join((conversation, at, message.account, text))
        digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]
        seen[digest] += 1
        yield RawPost(
            channel,
            f"qqtxt-{digest}-{seen[digest]}",
            text,
            author=message.account,
            posted_at=message.at.astimezone(UTC),
            thread=conversation[:200] or None,
        )


def _messages(path: Path) -> Iterator[tuple[str, _Message]]:
    conversation, current, started = "", None, False
    for number, line in enumerate(lines(path), 1):
        if not started:
            if line.strip():
                _check_banner(line)
                started = True
            continue
        found = _OBJECT.match(line)
        if found is not None:
            if current is not None:
                yield conversation, current
            conversation, current = found[1].strip(), None
            continue
        head = _HEAD.match(line) if len(line) < 500 else None
        at = None if head is None else _moment(head)
        if head is not None and at is not None:
            if current is not None:
                yield conversation, current
            current = _Message(at, head["uin"] or head["account"], line=number)
        elif current is not None and not _is_frame(line):
            _grow(current, line)
    if not started:
        raise Malformed("the file is empty", "empty")
    if current is not None:
        yield conversation, current


def _check_banner(line: str) -> None:
    if not line.lstrip("\ufeff").startswith(BANNER) and _HEAD.match(line) is None:
        raise Malformed("this is no QQ text export: its first line does not begin with 消息记录", "banner")


def _is_frame(line: str) -> bool:
    return bool(_RULE.match(line)) or line.startswith("消息分组:")


def _grow(message: _Message, line: str) -> None:
    if sum(map(len, message.body)) <= MAX_TEXT:
        message.body.append(line)


# --- JSON ------------------------------------------------------------------------------------------


def json_items(path: Path, channel: str) -> Iterator[RawPost | Broken]:
    """Yield the messages of a qq-chat-exporter file, or of a folder's ``manifest.json`` with its chunks.

    Raises: Unavailable, Malformed when it is none.
    """
    whole = _load(path)
    if not isinstance(whole, dict):
        raise Malformed("this is no export of qq-chat-exporter: an object is expected", "shape")
    chat = whole.get("chatInfo")
    thread = _thread(chat if isinstance(chat, dict) else {})
    if isinstance(whole.get("chunked"), dict):
        yield from _chunks(path, whole["chunked"], channel, thread)
        return
    messages = whole.get("messages")
    if not isinstance(messages, list):
        raise Malformed("this is no export of qq-chat-exporter: it has no `messages`", "shape")
    for place, row in enumerate(messages, 1):
        yield from _item(row, channel, thread, str(place))


def _load(path: Path) -> Any:
    with opened(path) as file:
        raw = file.read()
    try:
        return json.loads(raw.decode(encoding_of(path)))
    except RecursionError:
        raise Malformed("the file is nested too deep", "too_deep") from None
    except ValueError:
        raise Malformed("the file is not complete JSON", "json") from None


def _thread(chat: Mapping[str, Any]) -> str | None:
    return id_of(chat.get("peerUin")) or id_of(chat.get("peerUid")) or id_of(chat.get("name"))


def _chunks(
    path: Path, chunked: Mapping[str, Any], channel: str, thread: str | None
) -> Iterator[RawPost | Broken]:
    folder = path.parent.resolve()
    for chunk in chunked.get("chunks") or ():
        relative = chunk.get("relativePath") if isinstance(chunk, dict) else None
        target = (folder / relative).resolve() if isinstance(relative, str) and relative else None
        if target is None or not target.is_relative_to(folder) or not target.is_file():
            error = Malformed("a chunk is missing or lies outside of the folder of its manifest", "chunk")
            yield broken(channel, error, b"", str(chunk.get("index")) if isinstance(chunk, dict) else None)
            continue
        for number, line in enumerate(lines(target), 1):
            if line.strip():
                yield from _line(line, channel, thread, f"{target.name}:{number}")


def _line(line: str, channel: str, thread: str | None, position: str) -> Iterator[RawPost | Broken]:
    raw = line.encode("utf-8", "replace")
    try:
        row = decode_json(raw, MAX_ITEM)
    except Malformed as error:
        yield broken(channel, error, raw, position)
        return
    yield from _item(row, channel, thread, position)


def _item(row: Any, channel: str, thread: str | None, position: str) -> Iterator[RawPost | Broken]:
    """Yield the post of one message, its recall, or nothing for system rows and empty ones."""
    if not isinstance(row, dict) or id_of(row.get("id")) is None:
        error = Malformed("the message has no id", "no_id")
        yield broken(channel, error, json.dumps(row, ensure_ascii=False, default=str)[:4096], position)
        return
    external_id = f"qq-{id_of(row['id'])}"
    if row.get("recalled") is True:
        yield RawPost(channel, external_id, "", PostKind.REMOVAL, thread=thread, by="author")
        return
    content = row.get("content")
    text = clean_text(_words(content if isinstance(content, dict) else {}))
    if row.get("system") is True or row.get("type") == "system" or not text.strip():
        return
    sender = row.get("sender")
    yield RawPost(
        channel,
        external_id,
        text,
        author=_sender(sender if isinstance(sender, dict) else {}),
        posted_at=_time(row),
        thread=thread,
        handle=id_of(row.get("seq")),
        quoted=_quoted(content if isinstance(content, dict) else {}),
    )


def _words(content: Mapping[str, Any]) -> str:
    """Return the writer's own words: text and mentions; quoted words are kept apart."""
    elements = content.get("elements")
    if not isinstance(elements, list):
        return content["text"] if isinstance(content.get("text"), str) else ""
    holders = {"image": "[图片]", "face": "[表情]", "file": "[文件]", "video": "[视频]", "audio": "[语音]"}
    parts = []
    for element in elements:
        kind = element.get("type") if isinstance(element, dict) else None
        data = element.get("data") if isinstance(element, dict) else None
        text = data.get("text") if isinstance(data, dict) else None
        if kind in ("text", "at") and isinstance(text, str):
            parts.append(text)
        elif isinstance(kind, str):
            parts.append(holders.get(kind, ""))
    return "".join(parts)


def _quoted(content: Mapping[str, Any]) -> str | None:
    for element in content.get("elements") or ():
        if (
            isinstance(element, dict)
            and element.get("type") == "reply"
            and isinstance(element.get("data"), dict)
        ):
            words = element["data"].get("content")
            return clean_text(words) if isinstance(words, str) and words else None
    return None


def _sender(sender: Mapping[str, Any]) -> str | None:
    return id_of(sender.get("uin")) or id_of(sender.get("uid"))


def _time(row: Mapping[str, Any]) -> datetime | None:
    at = from_unix(row.get("timestamp"))
    return None if at is None or at > datetime.now(UTC) + timedelta(days=1) else at
