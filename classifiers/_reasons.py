"""Why a linear answer was given: the stretches of text that carried the sum, for many answers at once.

The weight of a feature is dealt to the characters that it covers. A stretch is the run of characters with the
largest sum above half the mean gain; what is not helpful costs that half, so a stretch neither swallows the post
nor falls apart into letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from classifiers._features import Buckets, Grams, Rows
from classifiers._text import Batch

SPANS: Final = 2  # stretches of one answer
LONGEST: Final = 24  # code points of one stretch
_WALL: Final = 1e6  # stands between answers: no stretch is worth crossing it
_LEVEL: Final = 0.5
_WORTH: Final = 0.25  # a further stretch is told when it carries this share of the first

Floats = npt.NDArray[np.float64]
# Number of the answer, span [first, last) in ``Batch.codes``, and the span [start, end) of the original text behind it.
Stretch = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers to explain: the column of weights and the row of the batch of each."""

    columns: Rows
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Flat:
    """The rows of the answers end to end: each begins with the break before it, a place that no stretch may hold.

    Attributes:
        asked: the answers; their rows hold some text.
        lengths: how many places each has.
        bases: where each begins.
        shift: what to add to a place to find the code in ``Batch.codes``.
    """

    asked: Asked
    lengths: Rows
    bases: Rows
    shift: Rows

    def places(self) -> Rows:
        """Return for every place the position in ``Batch.codes``."""
        return np.arange(int(self.lengths.sum())) + np.repeat(self.shift, self.lengths)

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Repeat one value for each answer over its places."""
        return np.repeat(values, self.lengths)


def stretches(
    table: npt.NDArray[np.float32], slots: Buckets, found: Grams, batch: Batch, asked: Asked
) -> list[Stretch]:
    """Return up to ``SPANS`` stretches of each answer, strongest first; about a row without a text there are none.

    Args:
        table: weights, a row for each slot.
        slots: for each bucket its row in ``table``.
        found: the features of the batch, words included.
        batch: the normalised texts.
        asked: what to explain.
    """
    lengths = np.diff(batch.bounds)[asked.rows]
    numbers = np.flatnonzero(lengths > 1)
    if not len(numbers):
        return []
    flat = _flat(batch, Asked(asked.columns[numbers], asked.rows[numbers]), lengths[numbers])
    values = _above_level(_shares(table, slots, found, flat), flat)
    told: list[Stretch] = []
    least: Floats = np.full(len(numbers), -np.inf)
    for turn in range(SPANS):
        starts, ends, sums = _largest(values, flat)
        good = np.flatnonzero(sums > least)
        first, last = starts[good] + flat.shift[good] - 1, ends[good] + flat.shift[good] - 1
        columns = (numbers[good], first, last, batch.starts[first], batch.ends[last - 1])
        told += zip(*(column.tolist() for column in columns), strict=True)
        if turn + 1 < SPANS:
            least = np.maximum(_WORTH * sums, 0.0)
            _wall_off(values, starts, ends)
    return told


def _flat(batch: Batch, asked: Asked, lengths: Rows) -> _Flat:
    bases = np.cumsum(lengths) - lengths
    return _Flat(asked, lengths, bases, batch.bounds[asked.rows] - bases)


def _wall_off(values: Floats, starts: Rows, ends: Rows) -> None:
    """Let the next turn leave out what has been told."""
    edges = np.zeros(len(values) + 1, dtype=np.int8)
    edges[starts] += 1
    edges[ends] -= 1
    values[np.cumsum(edges[:-1], dtype=np.int8) > 0] = -_WALL


def _shares(table: npt.NDArray[np.float32], slots: Buckets, found: Grams, flat: _Flat) -> Floats:
    """Return each place's share of the sum."""
    places = flat.places()
    size = len(places)
    columns = flat.spread(flat.asked.columns)
    dealt = table[slots[found.buckets[places]], columns[:, None]]
    shares = np.zeros(size + max(found.orders), dtype=np.float64)
    for column, order in enumerate(found.orders):
        part = dealt[:, column] / np.float32(order)
        for step in range(order):
            shares[step : step + size] += part
    if found.extras is not None:
        _add_words(shares, table, slots, found, flat)
    return shares[:size]


def _add_words(
    shares: Floats, table: npt.NDArray[np.float32], slots: Buckets, found: Grams, flat: _Flat
) -> None:
    assert found.extras is not None
    words = found.extras.words
    edges = np.searchsorted(words.rows, np.arange(len(found.bounds)))
    many = np.diff(edges)[flat.asked.rows]
    mine = np.arange(int(many.sum())) + np.repeat(edges[flat.asked.rows] - (np.cumsum(many) - many), many)
    starts = words.starts[mine] - np.repeat(flat.shift, many) + 1
    lengths = words.lengths[mine]
    dealt = table[slots[words.buckets[mine]], np.repeat(flat.asked.columns, many)] / lengths
    places = np.arange(int(lengths.sum())) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    shares += np.bincount(places, np.repeat(dealt, lengths), len(shares))


def _above_level(shares: Floats, flat: _Flat) -> Floats:
    """Take half the mean gain of its row from every share; wall off the rows."""
    gains = np.maximum(shares, 0.0)
    gains[flat.bases] = 0.0
    many = np.add.reduceat(gains > 0, flat.bases, dtype=np.int64)
    level = _LEVEL * np.add.reduceat(gains, flat.bases) / np.maximum(many, 1)
    values: Floats = shares - flat.spread(level)
    values[flat.bases] = -_WALL
    return values


def _largest(values: Floats, flat: _Flat) -> tuple[Rows, Rows, Floats]:
    """Return for each row start, end and sum of the stretch with the largest sum, at most ``LONGEST`` long."""
    sums = np.concatenate((np.zeros(1), np.cumsum(values)))
    lowest = _lowest(sums)
    gain = sums[1:] - sums[lowest[:-1]]
    best = np.maximum.reduceat(gain, flat.bases)
    hits = np.flatnonzero(gain == flat.spread(best))
    at = hits[np.searchsorted(hits, flat.bases)]
    return lowest[at], at + 1, best


def _lowest(sums: Floats) -> Rows:
    """Return for each place where the lowest of the last ``LONGEST`` sums stands, itself included."""
    place = np.arange(len(sums))
    by_width = {1: place}
    width = 1
    while width * 2 <= LONGEST:
        by_width[width * 2] = _lower(sums, by_width[width], by_width[width], width)
        width *= 2
    found, done = by_width[width], width
    while done < LONGEST:
        width = max(w for w in by_width if w <= LONGEST - done)
        found = _lower(sums, found, by_width[width], done)
        done += width
    return found


def _lower(sums: Floats, one: Rows, other: Rows, shift: int) -> Rows:
    """Return the lower of ``one`` and of ``other`` that much earlier; of equals the later place."""
    out = one.copy()
    earlier = other[:-shift] if shift < len(other) else other[:0]
    now = out[shift:]
    np.copyto(now, earlier, where=sums[earlier] < sums[now])
    return out
