"""Concepts of campus talk: words that say the same (``campus.concepts.txt``), found in a text by longest match."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).with_name("campus.concepts.txt")


@lru_cache(maxsize=1)
def _table() -> tuple[Any, tuple[frozenset[int], ...]]:
    """Return the search machine and, for each of its words, the concepts that it may stand for."""
    from ahocorasick_rs import AhoCorasick, MatchKind

    found: dict[str, set[int]] = {}
    lines = [
        line for line in _FILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    for number, line in enumerate(lines):
        for word in line.split():
            found.setdefault(word, set()).add(number)
    machine = AhoCorasick(list(found), matchkind=MatchKind.LeftmostLongest)
    return machine, tuple(frozenset(numbers) for numbers in found.values())


def concepts(text: str) -> frozenset[int]:
    """Return the numbers of the concepts that a normalised text speaks of."""
    machine, meanings = _table()
    return frozenset().union(
        *(meanings[which] for which, _start, _end in machine.find_matches_as_indexes(text))
    )


def count() -> int:
    """Return how many concepts there are."""
    return 1 + max(number for meaning in _table()[1] for number in meaning)
