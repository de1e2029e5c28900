"""What every part of the service does: show that it is alive, run once per data directory, end with its parent."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from monitor import logs
from monitor.bootstrap import App
from monitor.core.errors import StoreError
from monitor.core.ports import PartStatus

BEAT_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_log = logs.get("parts")


@dataclass(slots=True)
class Pulse:
    """The heartbeat of one part; ``restarts`` comes from the supervisor through the environment."""

    app: App
    name: str
    started: datetime = field(init=False)
    restarts: int = field(init=False)
    last: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.started = self.app.deps.clock.now()
        self.restarts = int(os.environ.get("HUIYIN_RESTARTS", "0"))

    def beat(self, state: str = "running", note: str = "", *, now: bool = False) -> None:
        """Write a heartbeat when the last one is old enough, or at once with ``now``."""
        ticks = self.app.deps.clock.monotonic()
        if not now and ticks - self.last < BEAT_SECONDS:
            return
        self.last = ticks
        told = note or " ".join(self.app.notes)
        at = self.app.deps.clock.now()
        part = PartStatus(self.name, state, os.getpid(), self.started, at, self.restarts, told[:500])
        try:
            with self.app.deps.uow.begin() as store:
                store.operations.beat(part)
        except StoreError as error:
            _log.warning("part.beat_failed", part_name=self.name, code=error.code)


class Lock:
    """A lock file that names its owner and is let go by the system when the owner ends, however it ends.

    Args:
        data: the data directory.
        part: name of what runs only once there: ``up``, ``service``, ``worker``.
    """

    def __init__(self, data: Path, part: str) -> None:
        self.part = part
        self._path = data / f"{part}.lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises: StoreError naming the owner when somebody else has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise StoreError(
                f"`huiyin {self.part}` runs already in {self._path.parent} (process {self.owner()}); end that one"
                " first, or choose another data directory with --data"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def owner(self) -> str:
        """Return the process that has or had the lock, as written in the file."""
        try:
            return self._path.read_text(encoding="utf-8").strip() or "?"
        except OSError:
            return "?"

    def is_free(self) -> bool:
        """Say whether nobody holds the lock."""
        if not self._path.exists():
            return True
        with self._path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    def release(self) -> None:
        """Let the lock go; twice is once."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None) if sys.platform == "linux" else None


def ready_to_fork() -> None:
    """Load now what :func:`die_with_parent` needs between fork and exec."""
    _libc()


def die_with_parent() -> None:
    """Let the system end this process when its parent ends, even by force (Linux; elsewhere nothing happens)."""
    if (libc := _libc()) is not None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


__all__ = ["BEAT_SECONDS", "Lock", "Pulse", "die_with_parent", "ready_to_fork"]
