"""QQ chat logs as text: the export of the old PC client, and the one of qq-chat-exporter version 5.

There is no official specification; the grammar follows files that people exported. A text log has no message ids, so
ids are made from what stands there (see ``_file_ids``), and overlapping exports merge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

from connectors._file_ids import Occurrences
from connectors._file_text import lines
from connectors._limits import MAX_TEXT, broken, clean_text, moment
from connectors._posts import SHANGHAI
from monitor.core.errors import Malformed
from monitor.core.model import Broken, RawPost

BANNER: Final = "消息记录"
QCE_BANNER: Final = "[QQChatExporter"
_HEAD: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2}) (?P<time>\d{1,2}:\d{2}:\d{2})(?: (?P<half>AM|PM))? "
    r"(?P<name>.*?)(?:\((?P<uin>\d{5,11})\)|<(?P<account>[^<>\s]{1,200})>)\s*\Z"
)
_LONGEST_HEAD: Final = 500
_OBJECT: Final = re.compile(r"消息对象[:：]\s*(.*)\Z")
_FRAME: Final = re.compile(r"消息(?:分组|对象)[:：]")
_RULE: Final = re.compile(r"={16,}\s*\Z")
_SYSTEM: Final = frozenset({"10000", "1000000"})
_RECALL: Final = re.compile(r'(?:你|[“"].{0,60}[”"])\s?撤回了一条消息')

_QCE_CHAT: Final = re.compile(r"聊天名称[:：]\s*(.*)\Z")
_QCE_TIME: Final = re.compile(r"时间[:：]\s*(\d{4}-\d{2}-\d{2} \d{1,2}:\d{2}:\d{2})\s*\Z")
_QCE_TEXT: Final = re.compile(r"内容[:：] ?(.*)\Z", re.DOTALL)
_QCE_TAIL: Final = re.compile(r"(?:资源[:：] \d+ 个文件|提及[:：] |回复[:：] )")
_QCE_TITLE: Final = re.compile(r"\[[^\[\]]{0,40}\] (?=.)")
_QCE_SYSTEM: Final = {"系统消息": "10000", "系统": "10000"}


@dataclass(slots=True)
class Message:
    """One message as it stands in a log; ``written`` is its time as the log has it."""

    thread: str
    written: datetime
    author: str
    body: list[str] = field(default_factory=list)
    size: int = 0

    def grow(self, line: str) -> None:
        """Add a line of the body while there is room for it."""
        if self.size <= MAX_TEXT:
            self.body.append(line)
            self.size += len(line) + 1


def is_head(line: str) -> bool:
    """Say whether a line begins a message of the PC client."""
    return _head(line) is not None


def items(path: Path, channel: str) -> Iterator[RawPost | Broken]:
    """Yield the messages of a text export; lines of the system and recalls without their message are left out.

    Raises: Unavailable, Malformed when it is no such export.
    """
    stream = lines(path)
    first = next((pair for pair in stream if pair[1].strip()), None)
    if first is None:
        raise Malformed("the file is empty", "empty")
    if first[1].startswith(QCE_BANNER):
        messages = _exporter(stream)
    elif first[1].startswith(BANNER) or is_head(first[1]):
        messages = _client(chain([first], stream))
    else:
        raise Malformed("this is no QQ text export: its first line does not begin with 消息记录", "banner")
    seen = Occurrences("qqtxt")
    for message in messages:
        if isinstance(message, Message):
            yield from _post(message, channel, seen)
        else:
            error = Malformed("no message of this conversation names its account: groups only", "no_account")
            yield broken(channel, error, b"", str(message))


def _post(message: Message, channel: str, seen: Occurrences) -> Iterator[RawPost]:
    text = clean_text("\n".join(message.body)).strip("\n")
    if message.author in _SYSTEM or not text.strip() or _RECALL.fullmatch(text.strip()):
        return
    thread = message.thread[:200] or None
    external_id = seen.next_id(thread, message.written.isoformat(" "), text)
    at = moment(message.written, SHANGHAI)
    yield RawPost(channel, external_id, text, author=message.author, posted_at=at, thread=thread)


# --- the PC client ---------------------------------------------------------------------------------


def _head(line: str) -> tuple[datetime, str] | None:
    """Return time and account of a head, or None for any other line."""
    found = _HEAD.match(line) if len(line) <= _LONGEST_HEAD and line[:1].isdigit() else None
    if found is None:
        return None
    half = found["half"]
    shape = "%Y-%m-%d %I:%M:%S %p" if half else "%Y-%m-%d %H:%M:%S"
    try:
        at = datetime.strptime(" ".join(filter(None, (found["day"], found["time"], half))), shape)  # noqa: DTZ007
    except ValueError:
        return None
    return at, found["uin"] or found["account"]


def _client(stream: Iterator[tuple[int, str]]) -> Iterator[Message | int]:
    """Yield messages, and the line number of every conversation in which no message could be told.

    A conversation opens with a frame: a ruler, its group, a ruler, its name, a ruler. Until its first head nothing
    belongs to a message; after it every line does, whatever it looks like, up to the next head or frame.
    """
    thread, message, unread = "", None, 0
    for number, line, following in _with_next(stream):
        if _RULE.match(line) and _FRAME.match(following):
            yield from filter(None, (message, unread))
            message, unread = None, 0
        head = _head(line)
        if head is not None:
            yield from filter(None, (message,))
            message, unread = Message(thread, *head), 0
        elif message is not None:
            message.grow(line)
        elif found := _OBJECT.match(line):
            thread = found[1].strip()
        elif line.strip() and not (_RULE.match(line) or _FRAME.match(line) or line.startswith(BANNER)):
            unread = unread or number
    yield from filter(None, (message, unread))


def _with_next(stream: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    """Yield number, line and the line after it."""
    held = next(stream, None)
    for pair in stream:
        if held is not None:
            yield *held, pair[1]
        held = pair
    if held is not None:
        yield *held, ""


# --- qq-chat-exporter ------------------------------------------------------------------------------


def _exporter(stream: Iterator[tuple[int, str]]) -> Iterator[Message | int]:
    """Yield the messages of the exporter's text form: a line with the name, one with the time, then the words.

    It names no accounts: the nickname stands for the member, without the title in front of it.
    """
    thread, message, is_body, before = "", None, False, ""
    for _number, line in stream:
        at = _exported_at(line) if before.endswith((":", "：")) else None
        if at is not None:
            yield from filter(None, (message,))
            name = _QCE_TITLE.sub("", before[:-1].strip(), count=1)
            message, is_body, before = Message(thread, at, _QCE_SYSTEM.get(name, name)), False, ""
            continue
        if message is not None and is_body:
            message.grow(before)
        found = _QCE_TEXT.match(line)
        if message is None:
            chat = _QCE_CHAT.match(line)
            thread = chat[1].strip() if chat else thread
        elif found and not is_body:
            is_body, line = True, found[1]
        elif _QCE_TAIL.match(line):
            is_body = False
        before = line
    if message is not None and is_body:
        message.grow(before)
    yield from filter(None, (message,))


def _exported_at(line: str) -> datetime | None:
    found = _QCE_TIME.match(line)
    try:
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S") if found else None  # noqa: DTZ007
    except ValueError:
        return None
