"""Starting the parts of Huiyin as processes, starting a crashed one anew, and ending all of them together.

One of two places that catch everything: whatever goes wrong with one part, the others are kept running, and at the
end nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from monitor import logs
from monitor.core.errors import HuiyinError
from monitor.core.ports import PartStatus
from monitor.runtime.parts import BEAT_SECONDS, die_with_parent, ready_to_fork

LOOK_SECONDS: Final = 0.2
STEADY_SECONDS: Final = 60.0
"""A part that ran so long is forgiven its earlier crashes."""

LONGEST_PAUSE: Final = 30.0
GRACE_SECONDS: Final = 7.0
LOG_LIMIT: Final = 5 * 1024 * 1024
WRONG_USE: Final = 2
_log = logs.get("supervise")


@dataclass(frozen=True, slots=True)
class Part:
    """One process.

    Attributes:
        name: as the health screen shows it.
        command: what is run.
        environment: added to our own.
        beats: the part writes its own heartbeats; we write only what it cannot.
        finishes: it may end by itself when its work is done.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    beats: bool = True
    finishes: bool = False


@dataclass(slots=True)
class _Running:
    """A part with its process, how often it was started anew, and when it may be again."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    restarts: int = 0
    failures: int = 0
    again_at: float = 0.0
    beat: float = float("-inf")
    over: bool = False


class Supervisor:
    """Keeps parts running until told to stop.

    Args:
        parts: what to run, in order; they are ended in the reverse order.
        logs_folder: where the parts' output goes, one file each; None leaves it on our own stderr.
        beat: writes the state of a part where the health screen finds it.
        grace: how long parts may take to end before force is used.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        logs_folder: Path | None,
        beat: Callable[[PartStatus], None] | None = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._running = [_Running(part) for part in parts]
        self._logs = logs_folder
        self._beat = beat
        self._grace = grace
        self.stopping = False
        self.failed: str | None = None
        ready_to_fork()

    def stop(self, *_signal: object) -> None:
        """Let :meth:`run` end; may be called from a signal handler."""
        self.stopping = True

    def pids(self) -> dict[str, int]:
        """Return name -> process id of what runs."""
        return {one.part.name: one.process.pid for one in self._running if one.process is not None}

    def start(self) -> None:
        """Start every part."""
        for one in self._running:
            self._start(one)

    def run(self) -> int:
        """Watch the parts until :meth:`stop`; end them all and return the exit code."""
        try:
            while not self.stopping and self.failed is None:
                self.look()
                time.sleep(LOOK_SECONDS)
        finally:
            self.end()
        return 0 if self.failed is None else WRONG_USE

    def look(self) -> None:
        """See once what every part does; start anew what crashed and whose pause is over."""
        for one in self._running:
            try:
                self._look_at(one)
            except Exception as error:
                _log.error("supervise.broke", part_name=one.part.name, error=error)

    def _look_at(self, one: _Running) -> None:
        now = time.monotonic()
        if one.process is None:
            if not one.over and now >= one.again_at:
                one.restarts += 1
                self._start(one)
            return
        code = one.process.poll()
        if code is not None:
            self._ended(one, code)
        elif not one.part.beats and now - one.beat >= BEAT_SECONDS:
            one.beat = now
            self._tell(one, "running")

    def _start(self, one: _Running) -> None:
        log = self._open_log(one.part.name)
        environment = {**os.environ, **one.part.environment, "HUIYIN_RESTARTS": str(one.restarts)}
        try:
            one.process = subprocess.Popen(  # noqa: S603
                list(one.part.command),
                stdin=subprocess.DEVNULL,
                stdout=log or sys.stderr,
                stderr=log or sys.stderr,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        finally:
            if log is not None:
                log.close()
        one.started, one.started_at = time.monotonic(), datetime.now(UTC)
        one.beat = float("-inf")

    def _open_log(self, name: str) -> IO[bytes] | None:
        if self._logs is None:
            return None
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _ended(self, one: _Running, code: int) -> None:
        """Decide what to do about a part that ended by itself."""
        lived = time.monotonic() - one.started
        if one.process is not None:
            _kill_group(one.process.pid)
        one.process = None
        if one.part.finishes and code == 0:
            one.over = True
            self._tell(one, "stopped")
            return
        if code == WRONG_USE and one.restarts == 0:
            self.failed = one.part.name
            return
        one.failures = 1 if lived >= STEADY_SECONDS else one.failures + 1
        pause = min(LONGEST_PAUSE, 2.0 ** min(one.failures, 10) / 2)
        one.again_at = time.monotonic() + pause
        _log.error(
            "supervise.crashed", part_name=one.part.name, code=code, restarts=one.restarts, pause=pause
        )
        self._tell(one, "crashed", f"exit code {code}, started anew in {pause:g} s")

    def _tell(self, one: _Running, state: str, note: str = "") -> None:
        if self._beat is None:
            return
        pid = 0 if one.process is None else one.process.pid
        now = datetime.now(UTC)
        try:
            self._beat(PartStatus(one.part.name, state, pid, one.started_at, now, one.restarts, note))
        except Exception as error:
            told = error.code if isinstance(error, HuiyinError) else type(error).__name__
            _log.warning("supervise.beat_failed", part_name=one.part.name, code=told)

    # --- the end -------------------------------------------------------------------------------------

    def end(self) -> None:
        """End every part within seconds: ask, wait, then use force; its own children go with it."""
        waiting = [one for one in reversed(self._running) if one.process is not None]
        for one in waiting:
            _signal(one, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        for one in waiting:
            assert one.process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0.05, deadline - time.monotonic()))
            _kill_group(one.process.pid)
            one.process.wait()
            one.process, one.over = None, True
            if not one.part.beats:
                self._tell(one, "stopped")

    def last_words(self, name: str) -> str:
        """Return the last plain line that a part left in its log: why it would not start."""
        path = None if self._logs is None else self._logs / f"{name}.log"
        if path is None or not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return next((line for line in reversed(lines) if line.strip() and not line.startswith("{")), "")


def _signal(one: _Running, number: signal.Signals) -> None:
    if one.process is not None and one.process.poll() is None:
        one.process.send_signal(number)


def _kill_group(pid: int) -> None:
    """End what is left of the session that a part led: itself when it did not listen, or children of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


__all__ = ["Part", "Supervisor"]
