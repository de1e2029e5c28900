"""Why a linear answer was given: the stretches of text that carried the sum, for many posts at once.

The weight of a feature is dealt to the characters that it covers. A stretch is the run of characters with the
largest sum above half the mean gain; what is not helpful costs that half, so a stretch neither swallows the post
nor falls apart into letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers._features import Buckets, Grams, Rows
from classifiers._text import Batch

SPANS: Final = 2  # stretches of one answer
LONGEST: Final = 24  # code points of one stretch
_WALL: Final = 1e6  # stands between rows: no stretch is worth crossing it
_LEVEL: Final = 0.5

Floats = npt.NDArray[np.float64]


# Row, span [first, last) in ``Batch.codes``, and the span [start, end) of the original text behind it.
Stretch = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Flat:
    """The chosen rows end to end: each begins with the break before it, a place that no stretch may hold.

    Attributes:
        rows: the chosen rows.
        bases: where each begins; length rows + 1.
        shift: what to add to a place to find the code in ``Batch.codes``.
    """

    rows: Rows
    bases: Rows
    shift: Rows

    def owner(self, places: Rows) -> Rows:
        """Return for each place the index of its row."""
        return np.searchsorted(self.bases, places, side="right") - 1


def stretches(
    weights: npt.NDArray[np.float32], slots: Buckets, found: Grams, batch: Batch, rows: Rows
) -> list[Stretch]:
    """Return up to ``SPANS`` stretches of each row, strongest first; rows without a text have none.

    Args:
        weights: one column of weights.
        slots: for each bucket its place in ``weights``.
        found: the features of the batch, words included.
        batch: the normalised texts.
        rows: the rows to explain, ascending.
    """
    rows = rows[np.diff(batch.bounds)[rows] > 1]
    if not len(rows):
        return []
    lengths = np.diff(batch.bounds)[rows]
    bases = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))
    flat = _Flat(rows, bases, batch.bounds[rows] - bases[:-1])
    shares = _shares(weights, slots, found, flat)
    values = _above_level(shares, flat)
    told: list[Stretch] = []
    for turn in range(SPANS):
        starts, ends, sums = _largest(values, flat)
        good = np.flatnonzero((sums > 0) | (turn == 0))
        first, last = starts[good] + flat.shift[good] - 1, ends[good] + flat.shift[good] - 1
        columns = (rows[good], first, last, batch.starts[first], batch.ends[last - 1])
        told += zip(*(column.tolist() for column in columns), strict=True)
        if turn + 1 < SPANS:
            _wall_off(values, starts[good], ends[good])
    return told


def _wall_off(values: Floats, starts: Rows, ends: Rows) -> None:
    """Let the next turn leave out what has been told."""
    edges = np.zeros(len(values) + 1, dtype=np.int8)
    edges[starts] += 1
    edges[ends] -= 1
    values[np.cumsum(edges[:-1], dtype=np.int8) > 0] = -_WALL


def _shares(weights: npt.NDArray[np.float32], slots: Buckets, found: Grams, flat: _Flat) -> Floats:
    """Return each place's share of the sum."""
    size = int(flat.bases[-1])
    places = np.arange(size) + np.repeat(flat.shift, np.diff(flat.bases))
    dealt = weights[slots[found.buckets[places]]].astype(np.float64)
    shares = np.zeros(size + max(found.orders), dtype=np.float64)
    for column, order in enumerate(found.orders):
        part = dealt[:, column] / order
        for step in range(order):
            shares[step : step + size] += part
    _add_words(shares, weights, slots, found, flat)
    return shares[:size]


def _add_words(
    shares: Floats, weights: npt.NDArray[np.float32], slots: Buckets, found: Grams, flat: _Flat
) -> None:
    if found.extras is None:
        return
    words = found.extras.words
    base = np.full(len(found.bounds) - 1, -1, dtype=np.int64)
    base[flat.rows] = flat.shift
    mine = np.flatnonzero(base[words.rows] >= 0)
    starts = words.starts[mine] - base[words.rows[mine]] + 1
    lengths = words.lengths[mine]
    dealt = weights[slots[words.buckets[mine]]].astype(np.float64) / lengths
    first = np.cumsum(lengths) - lengths
    places = np.repeat(starts - first, lengths) + np.arange(int(lengths.sum()))
    shares += np.bincount(places, np.repeat(dealt, lengths), len(shares))


def _above_level(shares: Floats, flat: _Flat) -> Floats:
    """Take half the mean gain of its row from every share; wall off the rows."""
    firsts = flat.bases[:-1]
    gains = np.where(shares > 0, shares, 0.0)
    gains[firsts] = 0.0
    many = np.maximum(np.add.reduceat((gains > 0).astype(np.int64), firsts), 1)
    level = _LEVEL * np.add.reduceat(gains, firsts) / many
    values = shares - np.repeat(level, np.diff(flat.bases))
    values[firsts] = -_WALL
    return values


def _largest(values: Floats, flat: _Flat) -> tuple[Rows, Rows, Floats]:
    """Return for each row start, end and sum of the stretch with the largest sum, at most ``LONGEST`` long."""
    sums = np.concatenate((np.zeros(1), np.cumsum(values)))
    lowest = _lowest(sums)
    gain = sums[1:] - sums[lowest[:-1]]
    firsts = flat.bases[:-1]
    best = np.maximum.reduceat(gain, firsts)
    hits = np.flatnonzero(gain == np.repeat(best, np.diff(flat.bases)))
    at = hits[np.unique(flat.owner(hits), return_index=True)[1]]
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
