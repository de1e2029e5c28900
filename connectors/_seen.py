"""What is known of the newest posts of a forum, and its form inside the cursor.

A forum is looked at again and again: what was handed over, with which words, and what is gone, is known by comparing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

import msgspec

FAULTS = 50


class _Cursor(msgspec.Struct, omit_defaults=True):
    begun: bool = False
    top: int = 0
    floor: int = 0
    known: dict[str, str] = {}
    gone: list[int] = []
    missing: list[int] = []
    quiet: list[int] = []
    faults: list[str] = []


class Sight(StrEnum):
    """What a post that stands there is to us."""

    NEW = "new"
    SAME = "same"
    EDITED = "edited"
    BACK = "back"


def digest_of(words: str) -> str:
    """Return a short digest by which other words are noticed."""
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:10]


class Seen:
    """The newest posts by number, at most ``size`` of them.

    Attributes:
        begun: whether the first look is over.
        top: the highest number that was handed over or passed over.
        floor: numbers up to this one are none of our business: older than the first look, or fallen out of the window.
        known: number -> digest of its words, for what stands.
        gone: numbers whose removal was told.
        missing: numbers that were not there the last time, and nobody could say why.
        quiet: numbers that are in no list and not removed either.
        faults: digests of rows that could not be read and were told.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.load(None)

    def load(self, cursor: str | None) -> None:
        """Stand exactly after ``cursor``; one that cannot be read is like none."""
        try:
            stored = msgspec.json.decode(cursor or "{}", type=_Cursor)
            known = {int(number): digest for number, digest in stored.known.items()}
        except (msgspec.DecodeError, ValueError):
            stored, known = _Cursor(), {}
        self.begun, self.top, self.floor, self.known = stored.begun, stored.top, stored.floor, known
        self.gone, self.missing = set(stored.gone), set(stored.missing)
        self.quiet, self.faults = set(stored.quiet), stored.faults[-FAULTS:]

    def cursor(self) -> str:
        """Return everything as a cursor."""
        row = _Cursor(
            self.begun,
            self.top,
            self.floor,
            {str(number): digest for number, digest in sorted(self.known.items())},
            sorted(self.gone),
            sorted(self.missing),
            sorted(self.quiet),
            self.faults,
        )
        return msgspec.json.encode(row).decode()

    def sight(self, number: int, digest: str) -> Sight:
        """Note a post that stands there and say what it is to us."""
        self.top = max(self.top, number)
        self.missing.discard(number)
        self.quiet.discard(number)
        before = self.known.get(number)
        self.known[number] = digest
        if number in self.gone:
            self.gone.discard(number)
            return Sight.BACK
        if before is None:
            return Sight.NEW
        return Sight.SAME if before == digest else Sight.EDITED

    def note_gone(self, number: int) -> bool:
        """Note that a post is gone; False when that is known already, or the post never was."""
        self.missing.discard(number)
        self.quiet.discard(number)
        if self.known.pop(number, None) is None:
            return False
        self.gone.add(number)
        return True

    def absent(self, standing: Iterable[int], lowest: int) -> list[int]:
        """Return the known numbers from ``lowest`` on that are not among ``standing``, the newest first."""
        there = set(standing)
        return [n for n in sorted(self.known, reverse=True) if n >= lowest and n not in there]

    def note_fault(self, row: str) -> bool:
        """Remember a row that cannot be read; False when it is known already."""
        digest = digest_of(row)
        if digest in self.faults:
            return False
        self.faults = [*self.faults, digest][-FAULTS:]
        return True

    def trim(self) -> None:
        """Forget what falls out of the window; what was handed over stays below ``floor``."""
        if len(self.known) > self._size:
            for number in sorted(self.known)[: len(self.known) - self._size]:
                del self.known[number]
                self.floor = max(self.floor, number)
        for numbers in (self.gone, self.missing, self.quiet):
            numbers.difference_update([n for n in numbers if n <= self.floor])


__all__ = ["Seen", "Sight", "digest_of"]
