"""What is known of the files of a watched folder: how far each was read, and whether it is still the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors._file_text import opened
from monitor.core.errors import Unavailable

Stat = tuple[int, int, int]
_CHUNK: Final = 1 << 20
DONE: Final = "done"
"""Folder inside of the watched one to which stored files are moved."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was handed over: its size and digest then, the items taken, and whether these were all."""

    size: int
    digest: str
    items: int = 0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A file as it is now; grown means that what was there at its mark still is, with more behind it."""

    size: int
    digest: str
    is_same: bool
    is_grown: bool


class Book:
    """The marks of all files of the folder, as the cursor keeps them."""

    def __init__(self, cursor: str | None) -> None:
        self._marks = _read(cursor)

    def __getitem__(self, name: str) -> Mark:
        return self._marks.get(name, Mark(-1, ""))

    def __setitem__(self, name: str, mark: Mark) -> None:
        self._marks[name] = mark

    def whole(self) -> dict[str, Mark]:
        """Return the marks of the files of which everything was handed over."""
        return {name: mark for name, mark in self._marks.items() if mark.whole}

    def keep(self, names: Collection[str]) -> None:
        """Forget the files that are not there any more."""
        self._marks = {name: mark for name, mark in self._marks.items() if name in names}

    def cursor(self) -> str:
        """Return everything as a cursor."""
        rows = {name: [m.size, m.digest, m.items, m.whole] for name, m in sorted(self._marks.items())}
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _read(cursor: str | None) -> dict[str, Mark]:
    try:
        rows = json.loads(cursor or "{}")
        return {
            str(name): Mark(int(size), str(digest), int(items), whole is True)
            for name, (size, digest, items, whole) in rows.items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def stat_of(path: Path) -> Stat:
    """Return what changes when a file is written to; raises Unavailable when it is gone."""
    try:
        found = path.stat()
    except OSError:
        raise Unavailable("the file is gone") from None
    return found.st_size, found.st_mtime_ns, found.st_ino


def is_settled(path: Path, seconds: float) -> bool:
    """Say whether nobody has written to a file for some time; False when it is gone."""
    try:
        changed = path.stat().st_mtime
    except OSError:
        return False
    return abs(time.time() - changed) >= seconds


def look_at(path: Path, mark: Mark, is_stopped: Callable[[], bool]) -> Look | None:
    """Read a file's size and digest, and whether it only grew since ``mark``; None when stopped.

    Raises: Unavailable.
    """
    digest, size, is_known = hashlib.sha256(), 0, False
    with opened(path) as file:
        while not is_stopped():
            is_before = size < mark.size
            chunk = file.read(min(_CHUNK, mark.size - size) if is_before else _CHUNK)
            if not chunk:
                told = digest.hexdigest()[:32]
                return Look(size, told, (size, told) == (mark.size, mark.digest), is_known)
            digest.update(chunk)
            size += len(chunk)
            if size == mark.size:
                is_known = digest.hexdigest()[:32] == mark.digest
    return None


def put_away(path: Path, after: str) -> bool:
    """Move a stored file to the folder ``done``, or delete it; say whether that went well."""
    try:
        if after == "delete":
            path.unlink()
        elif after == "move":
            folder = path.parent / DONE
            folder.mkdir(exist_ok=True)
            os.replace(path, _free(folder / path.name))
    except OSError:
        return False
    return True


def _free(target: Path) -> Path:
    """Return a name in the same folder that nothing has yet."""
    number = 1
    found = target
    while found.exists():
        number += 1
        found = target.with_name(f"{target.stem}-{number}{target.suffix}")
    return found
