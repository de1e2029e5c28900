"""One round through a comment system that is really running: read, answer, hide, show, remove, and see it there.

The scripts beside this one start a system and hand its doors to :func:`run`. Exit codes: 0 all was seen, 1 something was
not, 2 the system cannot be started here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connectors._comments_channel import CommentSystem
from monitor.core.errors import ConnectorError
from monitor.core.model import Effect, EffectKind, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.desk import Desk, effect
from monitor.testing.faulty_wire import Fault, FaultyWire

MARK = "〔H-20261125-7-1〕"
TEXT = (
    "已转后勤处 *加急* <今天> 18 点前_答复_ & 公布。\n\n【工会答复】\n编号"
    + MARK
    + "\nhttps://huiyin.example.org/rate/a_b"
)


class CannotStart(Exception):
    """The system is not here, or did not come up; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Doors:
    """How a test reaches a running system beside the connector.

    Attributes:
        make: makes the connector of a channel.
        settings: the right settings; ``wrong`` replaces the password by a wrong one.
        comment: lets a guest comment and returns its id.
        public: returns what any visitor sees, as text.
        edit: changes a comment in the system's own way, None where it has none.
        destroy: deletes a comment for ever in the system's own way.
    """

    make: Callable[[ChannelConfig], CommentSystem]
    settings: Mapping[str, Any]
    wrong: Mapping[str, Any]
    comment: Callable[[str, str], Awaitable[str]]
    public: Callable[[], Awaitable[str]]
    edit: Callable[[str, str], Awaitable[None]] | None
    destroy: Callable[[str], Awaitable[None]]


class Round:
    """Says what was seen, and remembers whether all of it was."""

    def __init__(self, doors: Doors, name: str) -> None:
        self.doors, self.name = doors, name
        self.faults = 0
        self.desk = Desk()

    def saw(self, what: str, fact: object, shown: str = "") -> None:
        """Print one observation."""
        self.faults += not fact
        print(f"{'ok  ' if fact else 'NOT '} {what}{': ' + shown if shown else ''}", flush=True)

    def connector(self, settings: Mapping[str, Any]) -> CommentSystem:
        return self.doors.make(ChannelConfig("real", self.name, settings))

    async def until(self, fact: Callable[[], object]) -> bool:
        try:
            await self.desk.until(fact, 60.0)
        except TimeoutError:
            return False
        return True

    def notices(self, kind: PostKind, key: str) -> list[RawPost]:
        items = [item for item in self.desk.items if isinstance(item, RawPost)]
        return [item for item in items if item.kind is kind and item.external_id == key]

    def post(self, key: str) -> RawPost:
        return next(post for post in self.desk.posts if post.external_id == key)

    async def do(self, connector: CommentSystem, kind: EffectKind, key: str) -> Effect:
        post, text = self.post(key), TEXT if kind is EffectKind.REPLY else ""
        told = effect(kind, "real", 1, thread=post.thread, handle=post.handle, text=text, mark=MARK)
        try:
            print(f"     {kind.value}: {await connector.perform(told, None)}")
        except ConnectorError as error:
            self.saw(f"{kind.value} is carried out", False, f"{type(error).__name__}: {error}")
        return told

    async def go(self) -> int:
        """Go round once and return how much was not seen."""
        doors, desk = self.doors, self.desk
        stranger = self.connector(doors.wrong)
        health = await stranger.check()
        self.saw("a wrong password is told", not health.ok, health.message)
        await stranger.close()
        connector = self.connector(doors.settings)
        health = await connector.check()
        self.saw("the check is good", health.ok, health.message)
        words = "三食堂二楼又停水了，第 1 次"
        key = await doors.comment(words, "")
        async with desk.at_work(connector):
            self.saw(
                "a guest's comment arrives",
                await self.until(lambda: key in desk.texts),
                repr(desk.texts.get(key)),
            )
            self.saw("its words are the guest's", desk.texts.get(key) == words)
            await self._answer(connector, key)
            await self._hide_and_show(connector, key)
            await self._follow(key)
            await self._lose_an_answer()
        again = self.connector(doors.settings)
        before = len(desk.items)
        async with desk.at_work(again):
            looks = again._watch.looks
            await self.until(lambda: again._watch.looks > looks + 2)
        self.saw("after a restart nothing comes twice", len(desk.items) == before)
        self.saw("no item could not be read", not desk.broken and not desk.errors)
        return self.faults

    async def _answer(self, connector: CommentSystem, key: str) -> None:
        told = effect(EffectKind.REPLY, "real", 1, handle="x", mark=MARK)
        self.saw("before: read-back finds no answer", await connector.read_back(told) is None)
        told = await self.do(connector, EffectKind.REPLY, key)
        found = await connector.read_back(told)
        self.saw("after: read-back finds it", found, str(found))
        page = await self.doors.public()
        self.saw("every visitor sees the answer", MARK in page)
        for part in ("*加急*", "<今天>", "点前_答复_ & 公布", "https://huiyin.example.org/rate/a_b"):
            self.saw(f"  word for word: {part}", part in page)
        self.saw("our answer is not taken for a member's", MARK not in "".join(self.desk.texts.values()))

    async def _lose_an_answer(self) -> None:
        """Say something over a wire that loses the answer: whether it was said has to be found out, not guessed."""
        address = urlsplit(str(self.doors.settings["url"]))
        wire = FaultyWire(address.port or 80)
        await wire.start()
        key = await self.doors.comment("答复会在半路丢掉的一条", "")
        await self.until(lambda: key in self.desk.texts)
        there = address._replace(netloc=f"127.0.0.1:{wire.port}").geturl()
        connector = self.connector({**self.doors.settings, "url": there, "call_seconds": 5.0})
        told = effect(EffectKind.REPLY, "real", 2, thread=self.desk.posts[0].thread, handle=key)
        try:
            await connector.check()
            await wire.become(Fault.DEAF)
            try:
                await connector.perform(told, None)
                lost = "nothing was lost"
            except ConnectorError as error:
                lost = type(error).__name__
            await wire.become(Fault.NONE)
            found = await connector.read_back(told)
            times = (await self.doors.public()).count(told.mark)
            shown = f"{lost}, read back {found}, seen {times} times"
            self.saw("an answer whose outcome was lost is told truly", bool(found) == (times == 1), shown)
            self.saw("  and was not said twice", times <= 1)
        finally:
            await connector.close()
            await wire.stop()

    async def _hide_and_show(self, connector: CommentSystem, key: str) -> None:
        words = self.desk.texts[key]
        kinds = [EffectKind.HIDE]
        kinds += [EffectKind.REMOVE] if Capability.REMOVE in connector.capabilities else []
        for kind in kinds:
            wanted = len(self.notices(PostKind.REMOVAL, key)) + 1
            told = await self.do(connector, kind, key)
            self.saw(f"{kind.value}: no visitor sees it", words not in await self.doors.public())
            self.saw(f"{kind.value}: read-back says so", await connector.read_back(told))
            gone = await self.until(lambda n=wanted: len(self.notices(PostKind.REMOVAL, key)) >= n)
            by = self.notices(PostKind.REMOVAL, key)[-1].by if gone else None
            self.saw(f"{kind.value}: the channel notices it", gone, f"by {by}")
            wanted = len(self.notices(PostKind.RESTORE, key)) + 1
            told = await self.do(connector, EffectKind.RESTORE, key)
            self.saw("restore: every visitor sees it again", words in await self.doors.public())
            self.saw("restore: read-back says so", await connector.read_back(told))
            back = await self.until(lambda n=wanted: len(self.notices(PostKind.RESTORE, key)) >= n)
            self.saw("restore: the channel notices it", back)

    async def _follow(self, key: str) -> None:
        if self.doors.edit is not None:
            await self.doors.edit(key, "三食堂二楼来水了")
            edited = await self.until(lambda: self.notices(PostKind.EDIT, key))
            self.saw(
                "an edit there is followed",
                edited,
                self.notices(PostKind.EDIT, key)[-1].text if edited else "",
            )
        other = await self.doors.comment("马上会被删掉的一条", "")
        await self.until(lambda: other in self.desk.texts)
        await self.doors.destroy(other)
        gone = await self.until(lambda: self.notices(PostKind.REMOVAL, other))
        self.saw("a deletion there is followed", gone)


# --- starting what is not ours ---------------------------------------------------------------------


def folder(name: str) -> Path:
    """Return where a system is installed: HUIYIN_REAL, or ``real-NAME`` in the folder for temporary files."""
    return Path(os.environ.get("HUIYIN_REAL") or Path(tempfile.gettempdir()) / f"real-{name}")


def free_port() -> int:
    """Return a port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(program: str, mend: str) -> str:
    """Return the path of a program. Raises: CannotStart."""
    found = shutil.which(program)
    if found is None:
        raise CannotStart(f"{program} is not installed; {mend}")
    return found


class Program:
    """A program that was started, with its output in a file; ended by its own process group."""

    def __init__(self, command: Sequence[str], cwd: Path, log: Path, **environment: str) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def wait_for(self, port: int, seconds: float = 90.0) -> None:
        """Wait until something listens at ``port``. Raises: CannotStart."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.3)
        raise CannotStart(f"it did not come up; see {self._log.name}")

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(10)
        self._log.close()


def run(name: str, work: Callable[[], Awaitable[int]]) -> int:
    """Run one round and return the exit code."""
    print(f"== {name} ==", flush=True)
    try:
        faults = asyncio.run(_timed(work))
    except CannotStart as error:
        print(f"cannot be started here: {error}", file=sys.stderr)
        return 2
    print(f"{name}: {'everything was seen' if not faults else f'{faults} things were not seen'}", flush=True)
    return 1 if faults else 0


async def _timed(work: Callable[[], Awaitable[int]]) -> int:
    async with asyncio.timeout(480):
        return await work()
