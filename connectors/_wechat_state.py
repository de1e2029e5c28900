"""What is known of every article's comments, and its form inside the cursor: numbers as ranges (``1-4,7``)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from connectors._wechat_ids import Article, article_at

MOST_ARTICLES = 200
MOST_NUMBERS = 100_000
FAULTS = 50
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", re.ASCII)


class _Article(msgspec.Struct, omit_defaults=True):
    since: int = 0
    known: str = ""
    missing: str = ""
    gone: str = ""
    faults: list[str] = []


class _Cursor(msgspec.Struct):
    articles: dict[str, _Article] = {}


def ranges_of(numbers: Iterable[int]) -> str:
    """Return numbers as ranges, in order."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def numbers_of(text: str) -> set[int]:
    """Return the numbers of ranges; what cannot be read, or is too much to be true, is left out."""
    numbers: set[int] = set()
    for part in text.split(","):
        if found := _RANGE.fullmatch(part):
            first, last = int(found[1]), int(found[2] or found[1])
            if last - first < MOST_NUMBERS - len(numbers):
                numbers.update(range(first, last + 1))
    return numbers


@dataclass(slots=True)
class Known:
    """What is known of one article.

    ``missing`` were absent from the last complete look, ``gone`` from two in a row; ``faults`` are digests of rows
    that could not be read and were told; ``next_look`` is by the monotonic clock, ``failures`` those in a row.
    """

    article: Article
    since: int
    known: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    next_look: float = 0.0
    failures: int = 0

    def note_fault(self, digest: str) -> bool:
        """Remember a row that cannot be read; False when it is known already."""
        if digest in self.faults:
            return False
        self.faults.append(digest)
        del self.faults[:-FAULTS]
        return True

    def settle(self, seen: set[int], ours: set[int]) -> set[int]:
        """Compare with a complete look and return the numbers that are gone: absent twice, or deleted by us."""
        absent = self.known - seen
        gone = absent & (self.missing | ours)
        self.known -= gone
        self.gone |= gone
        self.missing = absent - gone
        return gone


class Shelf:
    """The articles whose comments are looked at, oldest first; at most 200 besides the declared ones."""

    def __init__(self, declared: Iterable[Article]) -> None:
        self._declared = tuple(declared)
        self._known: dict[Article, Known] = {}
        self.add(self._declared)

    def load(self, cursor: str | None) -> None:
        """Stand exactly after ``cursor``; one that cannot be read is like none."""
        try:
            stored = msgspec.json.decode(cursor or "{}", type=_Cursor)
        except msgspec.DecodeError:
            stored = _Cursor()
        self._known = {}
        for key, row in stored.articles.items():
            if (article := article_at(key)) is not None:
                known, missing, gone = map(numbers_of, (row.known, row.missing, row.gone))
                faults = row.faults[:FAULTS]
                self._known[article] = Known(article, row.since, known, missing, gone, faults)
        self.add(self._declared)

    def add(self, articles: Iterable[Article]) -> None:
        """Take articles in; the oldest that nobody declared make room."""
        now = int(time.time())
        for article in articles:
            self._known.setdefault(article, Known(article, now))
        spare = [one for one in self if one.article not in self._declared]
        for one in sorted(spare, key=lambda one: one.since)[: max(0, len(spare) - MOST_ARTICLES)]:
            del self._known[one.article]

    def __iter__(self) -> Iterator[Known]:
        return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def cursor(self) -> str:
        """Return everything that is known as a cursor."""
        rows = {
            one.article.key: _Article(
                one.since, ranges_of(one.known), ranges_of(one.missing), ranges_of(one.gone), one.faults
            )
            for one in self._known.values()
        }
        return msgspec.json.encode(_Cursor(rows)).decode()
