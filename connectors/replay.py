"""A channel that plays a file: for load tests, regression tests and demonstrations (it listens only).

A line is a post in the import format (``id``, ``text``, ``posted_at`` ...) or a row of the demo week (``via``,
``at``, ``event`` ...). The cursor is the place in the file, so that a pause or a crash goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from connectors._limits import MAX_ITEM, broken, decode_json, id_of, words_of
from connectors._posts import read_post
from connectors._settings import read, refuse, setting
from monitor.core.errors import Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, Health, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route
from monitor.words import _

BATCH = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``replay``."""

    file: str = setting("Path of a JSONL file: posts in the import format, or rows of the demo week.")
    speed: float = setting("Seconds of the file that pass in one second; 0 plays everything at once.", 0.0)
    times: int = setting("How often the file is played, each time as new posts.", 1)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line as it is played: its item, its moment in seconds if it has one, the cursor after it."""

    item: RawPost | Broken
    at: float | None
    cursor: str


def connector(config: ChannelConfig) -> Replay:
    """Return the connector of one played file.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.file:
        raise refuse(config, "file", "names the JSONL file to play")
    if not 0 <= settings.speed < float("inf"):
        raise refuse(config, "speed", "is 0 (at once) or a number above it, e.g. 600")
    if settings.times < 1:
        raise refuse(config, "times", "is 1 or more")
    return Replay(config.name, settings)


class Replay:
    """One played file (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self._settings = settings
        self._path = Path(settings.file)
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield what stands after ``cursor``, at the chosen speed; ends with the file."""
        turn, place = _parse(cursor)
        for number in range(turn, self._settings.times):
            file = await asyncio.to_thread(self._open)
            try:
                async for batch in self._play(file, number, place if number == turn else 0):
                    yield batch
            finally:
                file.close()

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError:
            raise Unavailable("the file of the replay channel is not there or cannot be read") from None

    async def _play(self, file: BinaryIO, turn: int, skip: int) -> AsyncIterator[Incoming]:
        lines = _lines(self.name, file, turn, skip)
        pace = _Pace(self._settings.speed)
        while not self._closed.is_set() and (rows := await asyncio.to_thread(_some, lines)):
            due: list[_Line] = []
            for row in rows:
                wait = pace.wait(row.at)
                if wait > 0 and due:
                    yield _incoming(due)
                    due = []
                if wait > 0 and await self._closed_within(wait):
                    return
                due.append(row)
            yield _incoming(due)

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closed.wait()
        except TimeoutError:
            return False

    def routes(self) -> Sequence[Route]:
        """Return no path: nothing is pushed here."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Refuse: there is nobody behind a file."""
        raise Rejected("a replay channel only listens: nobody reads answers there")

    async def read_back(self, effect: Effect) -> str | None:  # noqa: ARG002
        """Refuse, as :meth:`perform` does."""
        raise Rejected("a replay channel only listens: nothing is ever sent there")

    async def check(self) -> Health:
        """Read the whole file and say how many lines of it are good."""
        good, bad = 0, 0
        try:
            with await asyncio.to_thread(self._open) as file:
                lines = _lines(self.name, file, 0, 0)
                while rows := await asyncio.to_thread(_some, lines):
                    broken_ones = sum(isinstance(row.item, Broken) for row in rows)
                    good, bad = good + len(rows) - broken_ones, bad + broken_ones
        except Unavailable:
            return self._health(False, _("找不到或打不开文件 {file}。").format(file=self._settings.file))
        if not good:
            return self._health(False, _("文件里没有一行可以播放：每行应是一个 JSON 对象。"))
        words = (
            _("可以播放 {good} 行，另有 {bad} 行读不懂，会进入隔离区。") if bad else _("可以播放 {good} 行。")
        )
        return self._health(True, words.format(good=good, bad=bad))

    def _health(self, ok: bool, words: str) -> Health:
        return Health(ok, words, frozenset(map(str, self.capabilities)))

    async def close(self) -> None:
        """Stop playing; may be called twice."""
        self._closed.set()


class _Pace:
    """When a line is due: the moments of the file pass ``speed`` times as fast as ours."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._zero: float | None = None
        self._begun = 0.0

    def wait(self, at: float | None) -> float:
        """Return the seconds until the moment ``at``; the first moment asked for is now."""
        if at is None or self._speed == 0:
            return 0.0
        now = asyncio.get_running_loop().time()
        if self._zero is None:
            self._zero, self._begun = at, now
        return (at - self._zero) / self._speed - (now - self._begun)


def _parse(cursor: str | None) -> tuple[int, int]:
    """Return turn and line of a cursor; anything else means the beginning."""
    turn, _colon, line = (cursor or "").partition(":")
    return (int(turn), int(line)) if turn.isdecimal() and line.isdecimal() else (0, 0)


def _incoming(lines: Sequence[_Line]) -> Incoming:
    return Incoming(tuple(line.item for line in lines), lines[-1].cursor)


def _some(lines: Iterator[_Line]) -> list[_Line]:
    return list(islice(lines, BATCH))


def _lines(channel: str, file: BinaryIO, turn: int, skip: int) -> Iterator[_Line]:
    """Yield the lines after the first ``skip``; one that is too long is passed over without being held."""
    number = 0
    while raw := file.readline(MAX_ITEM + 2):
        number += 1
        while not raw.endswith(b"\n") and len(raw) > MAX_ITEM and (more := file.readline(MAX_ITEM)):
            raw = raw[:MAX_ITEM] + b"+" + more[-1:]
        if number > skip and raw.strip():
            item, at = _read(channel, raw, number)
            yield _Line(_again(item, turn), at, f"{turn}:{number}")


def _read(channel: str, raw: bytes, number: int) -> tuple[RawPost | Broken, float | None]:
    try:
        row = decode_json(raw.strip())
        if not isinstance(row, dict):
            raise Malformed("the line is no object", "shape")
        if "via" in row:
            return _demo_row(channel, row)
        post = read_post(channel, row)
        return post, None if post.posted_at is None else post.posted_at.timestamp()
    except Malformed as error:
        return broken(channel, error, raw, str(number)), None


def _needed(row: Mapping[str, Any], key: str) -> str:
    value = id_of(row.get(key))
    if value is None:
        raise Malformed(f"the line has no usable `{key}`", "no_id")
    return value


def _demo_row(channel: str, row: Mapping[str, Any]) -> tuple[RawPost, float | None]:
    """Return a row of the demo week, which knows no date: the post gets the moment of its playing."""
    at = row.get("at")
    seconds = float(at) if isinstance(at, int | float) else None
    thread = id_of(row.get("group"))
    if row.get("event") == "recall":
        target = _needed(row, "target")
        return RawPost(channel, target, "", PostKind.REMOVAL, thread=thread, by="author"), seconds
    text, user = words_of(row.get("text")), id_of(row.get("user"))
    if text is None:
        raise Malformed("there are no words in the line", "empty")
    post = RawPost(
        channel,
        _needed(row, "id"),
        text,
        author=None if user == "0" else user,
        thread=thread,
        reply_to=id_of(row.get("reply_to")),
        contact=words_of(row.get("contact")),
        unit=words_of(row.get("unit")),
    )
    return post, seconds


def _again(item: RawPost | Broken, turn: int) -> RawPost | Broken:
    """Return the item of a later turn as a post of its own."""
    if turn == 0 or isinstance(item, Broken):
        return item
    reply_to = f"{item.reply_to}#{turn + 1}" if item.reply_to else None
    return replace(item, external_id=f"{item.external_id}#{turn + 1}", reply_to=reply_to)
