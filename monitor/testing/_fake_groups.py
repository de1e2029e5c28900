"""What the fake QQ knows: groups, members and messages, with ids made the way real programs make them."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STORED = 5_000
APP_NAMES = {
    "napcat": ("NapCat.Onebot", "4.8.90"),
    "llonebot": ("LLOneBot", "5.4.2"),
    "lagrange": ("Lagrange.OneBot", "0.0.3"),
    "go-cqhttp": ("go-cqhttp", "v1.2.0"),
    "strict": ("OneBot.Strict", "1.0.0"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a group; ``key`` is the script's own name for it."""

    group: int
    user: int
    name: str
    role: str
    seq: int
    message_id: int
    time: int
    segments: list[dict[str, Any]]
    key: str = ""
    recalled: bool = False

    @property
    def text(self) -> str:
        """The text segments joined."""
        return "".join(part["data"].get("text", "") for part in self.segments if part["type"] == "text")


@dataclass(frozen=True, slots=True)
class Done:
    """One effect that the fake carried out: what a member of the group would have seen."""

    action: str
    group: int
    message_id: int = 0
    user: int = 0
    text: str = ""
    seconds: int = 0


@dataclass(slots=True)
class Group:
    """A group: its members by number with their role, and its messages by id, oldest first."""

    number: int
    name: str
    members: dict[int, tuple[str, str]] = field(default_factory=dict)
    messages: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    last_seq: int = 0

    def newest_first(self) -> Iterator[Message]:
        """Yield messages from the newest."""
        return reversed(self.messages.values())


def make_id(profile: str, group: int, seq: int, negative: bool) -> int:
    """Return a message_id as the program of ``profile`` would: hashes, shifted sequences, signed numbers."""
    digest = hashlib.md5(f"{7_588_888_888_000_000_000 + group * 1000 + seq}|2|{group}".encode()).digest()  # noqa: S324
    number = int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
    if profile == "lagrange":
        number = ((seq << 16) | (number & 0xFFFF)) & 0x7FFFFFFF
        return number - 0x80000000 if negative else number
    elif profile in ("strict", "go-cqhttp"):
        number = seq + group % 1000 * 100_000
    return -number if negative or profile == "llonebot" else number


class Memory:
    """Groups and effects; with a file it survives a restart of the fake."""

    def __init__(self, path: Path | None) -> None:
        self.groups: dict[int, Group] = {}
        self.done: list[Done] = []
        self.played: set[str] = set()
        self._path = path
        if path is not None and path.exists():
            self._load(path)

    def group(self, number: int) -> Group:
        """Return the group, made on first use."""
        return self.groups.setdefault(number, Group(number, f"群{number}"))

    def add(self, message: Message) -> None:
        """Keep a message, dropping the oldest over the limit."""
        self._keep(message)
        self._write("message", asdict(message))

    def _keep(self, message: Message) -> None:
        group = self.group(message.group)
        group.messages[message.message_id] = message
        group.last_seq = max(group.last_seq, message.seq)
        group.members[message.user] = (message.name, message.role)
        while len(group.messages) > STORED:
            group.messages.popitem(last=False)

    def did(self, done: Done) -> None:
        """Keep an effect."""
        self.done.append(done)
        self._write("effect", asdict(done))

    def mark_played(self, key: str) -> None:
        """Remember that a line of the script was played."""
        self.played.add(key)
        self._write("played", {"key": key})

    def find(self, message_id: int) -> Message | None:
        """Return the message with this id in any group."""
        return next((g.messages[message_id] for g in self.groups.values() if message_id in g.messages), None)

    def keys(self) -> set[str]:
        """Return the script's names of all messages that are kept."""
        return {message.key for group in self.groups.values() for message in group.messages.values()}

    def by_key(self, key: str) -> Message | None:
        """Return the message that the script calls ``key``."""
        return next((m for g in self.groups.values() for m in g.newest_first() if m.key == key), None)

    def remove(self, message_id: int) -> None:
        """Forget a recalled message."""
        for group in self.groups.values():
            group.messages.pop(message_id, None)
        self._write("removed", {"message_id": message_id})

    def _write(self, kind: str, row: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **row}, ensure_ascii=False) + "\n")

    def _load(self, path: Path) -> None:
        takers: dict[str, Callable[[dict[str, Any]], object]] = {
            "message": lambda row: self._keep(Message(**row)),
            "effect": lambda row: self.done.append(Done(**row)),
            "played": lambda row: self.played.add(row["key"]),
            "removed": lambda row: [g.messages.pop(row["message_id"], None) for g in self.groups.values()],
        }
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the last line of a fake that was killed while writing
            takers[row.pop("kind")](row)


def read_effects(path: Path) -> list[Done]:
    """Return the effects that a fake with this state file has carried out, for tests of exactly once."""
    return Memory(path).done
