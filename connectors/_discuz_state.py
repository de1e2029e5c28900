"""How far a forum's topics were read, and its form inside the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

MOST_TOPICS = 2_000
FAULTS = 50


class _Topic(msgspec.Struct, array_like=True):
    last: int = 0
    replies: int = -1
    position: int = 0
    posts: dict[str, tuple[int, str]] = {}
    missing: list[str] = []
    hidden: list[str] = []


class _Cursor(msgspec.Struct):
    since: int = 0
    topics: dict[str, _Topic] = {}
    marks: dict[str, list[int]] = {}
    faults: list[str] = []


def _posts(row: _Topic) -> dict[str, tuple[int, str]]:
    return {pid: each for pid, each in row.posts.items() if pid.isdecimal()}


@dataclass(slots=True)
class Known:
    """What is known of one topic.

    Attributes:
        last: when it was last answered, as its forum's list said when it was read to the end.
        replies: how many answers that list counted; -1 before the first reading.
        position: the highest place that was handed over.
        posts: number of each post of the last days -> (Unix seconds, digest of its words).
        missing: posts that were absent from the last complete look.
        hidden: posts that a moderator has hidden, or that are gone, and of which that was said.
        next_look: when all of its last days are looked at again, by the monotonic clock.
    """

    last: int = 0
    replies: int = -1
    position: int = 0
    posts: dict[str, tuple[int, str]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    next_look: float = 0.0

    def forget(self, before: int) -> None:
        """Let go of posts older than ``before``: they are not compared any more."""
        self.posts = {pid: row for pid, row in self.posts.items() if row[0] >= before}
        self.missing &= self.posts.keys()
        self.hidden &= self.posts.keys()


class Shelf:
    """The topics that were read, the faults that were told, and the marks of each forum's list."""

    def __init__(self) -> None:
        self.since = 0
        self._topics: dict[str, Known] = {}
        self._marks: dict[str, list[int]] = {}
        self._faults: list[str] = []

    def load(self, cursor: str | None, since: int) -> None:
        """Stand exactly after ``cursor``; without one, or with one that cannot be read, begin at ``since``."""
        try:
            stored = msgspec.json.decode(cursor or "{}", type=_Cursor)
        except msgspec.DecodeError:
            stored = _Cursor()
        self.since = stored.since or since
        self._topics = {
            tid: Known(row.last, row.replies, row.position, _posts(row), set(row.missing), set(row.hidden))
            for tid, row in stored.topics.items()
        }
        self._marks = {fid: marks[-2:] for fid, marks in stored.marks.items()}
        self._faults = stored.faults[-FAULTS:]

    def known(self, tid: str) -> Known:
        """Return what is known of a topic, which may be nothing."""
        return self._topics.get(tid) or Known()

    def keep(self, tid: str, known: Known) -> None:
        """Remember a topic; the longest silent ones make room."""
        self._topics[tid] = known
        if len(self._topics) > MOST_TOPICS:
            del self._topics[min(self._topics, key=lambda one: self._topics[one].last)]

    def __iter__(self) -> Iterator[tuple[str, Known]]:
        return iter(tuple(self._topics.items()))

    def drop(self, tid: str) -> None:
        """Forget a topic."""
        self._topics.pop(tid, None)

    def bound(self, fid: int) -> int:
        """Return down to which last answer a forum's list has to be read: the newest of the round before last.

        One round would do, were it not for a topic that slips up a page while the list is read.
        """
        return (self._marks.get(str(fid)) or [self.since])[0]

    def mark(self, fid: int, newest: int) -> None:
        """Note the newest answer of a list that was read down to its bound."""
        marks = self._marks.setdefault(str(fid), [self.since])
        self._marks[str(fid)] = [marks[-1], max(newest, marks[-1])]

    def note_fault(self, digest: str) -> bool:
        """Remember something that cannot be read; False when that was told already."""
        if digest in self._faults:
            return False
        self._faults = [*self._faults, digest][-FAULTS:]
        return True

    def cursor(self) -> str:
        """Return everything that is known as a cursor."""
        topics = {
            tid: _Topic(
                one.last, one.replies, one.position, one.posts, sorted(one.missing), sorted(one.hidden)
            )
            for tid, one in self._topics.items()
        }
        return msgspec.json.encode(_Cursor(self.since, topics, self._marks, self._faults)).decode()


__all__ = ["Known", "Shelf"]
