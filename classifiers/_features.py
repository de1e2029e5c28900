"""Hashed character n-grams of a whole batch at once, in numpy.

A batch of normalised rows is one array of code points (see ``_text``). Rolling 32-bit hashes of orders 1 to 3
are built with array multiplications. The breaks around a row are letters too, so that "begins with" and "ends
with" are n-grams like any other; what would reach beyond them is masked to bucket 0, whose weights are zero. There is no vocabulary to load. An n-gram counts once however often a post repeats it.

The hash is frozen: a model only fits the ``HASH_VERSION`` it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from classifiers._text import BREAK, Batch, Codes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HASH_VERSION: Final = 1
ORDERS: Final = (1, 2, 3)
BITS: Final = 19

_SPREAD: Final = np.uint32(0x9E3779B1)
_CHAIN: Final = np.uint32(0x85EBCA6B)
_MIX: Final = np.uint32(0xC2B2AE35)


@dataclass(frozen=True, slots=True)
class Grams:
    """N-grams of a batch.

    Attributes:
        buckets: shape (positions, orders): bucket of the n-gram that starts at a position; 0 where none fits.
        bounds: row i holds positions ``bounds[i]:bounds[i + 1]``; the first of them is the break before the row.
        orders: n-gram length of each column.
        bits: the table has 2 ** bits buckets.
    """

    buckets: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.int64]
    orders: tuple[int, ...]
    bits: int

    def matrix(self) -> csr_matrix:
        """Return rows x buckets with a one for each distinct n-gram of a row, buckets in ascending order."""
        from scipy.sparse import csr_matrix

        rows = len(self.bounds) - 1
        lengths = np.diff(self.bounds) * len(self.orders)
        keys = np.repeat(np.arange(rows, dtype=np.int64) << self.bits, lengths) + self.buckets.ravel()
        keys.sort()
        first = np.ones(len(keys), dtype=np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        keys = keys[first]
        pointer = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) << self.bits)
        found = (keys & ((1 << self.bits) - 1)).astype(np.int32)
        ones = np.ones(len(found), dtype=np.float32)
        return csr_matrix((ones, found, pointer.astype(np.int32)), shape=(rows, 1 << self.bits), copy=False)


def grams(batch: Batch, bits: int = BITS, orders: tuple[int, ...] = ORDERS) -> Grams:
    """Hash the n-grams of every row of a batch."""
    codes = np.concatenate((np.array([BREAK], dtype=np.uint32), _shapes(batch.codes)))
    size = len(batch.codes)
    room = _room(batch.bounds)
    buckets = np.zeros((size, len(orders)), dtype=np.int32)
    rolling = codes * _SPREAD
    for order in range(1, max(orders) + 1):
        if order > 1:
            rolling = (rolling[:-1] ^ (rolling[:-1] >> np.uint32(15))) * _CHAIN + codes[order - 1 :]
        if order in orders:
            mixed = (rolling ^ (rolling >> np.uint32(16)) ^ np.uint32(order)) * _MIX
            found = (mixed >> np.uint32(32 - bits)).astype(np.int32)
            found = found[:size]
            found[room[: len(found)] < order] = 0
            buckets[: len(found), orders.index(order)] = found
    return Grams(buckets, batch.bounds, orders, bits)


def _shapes(codes: Codes) -> Codes:
    """Let all digits be one: a price or a number carries its shape, not its value."""
    digits = (codes >= 48) & (codes <= 57)
    return np.where(digits, np.uint32(48), codes)


def _room(bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for every position how many codes are left up to the break after its row, both included."""
    return np.repeat(bounds[1:] + 1, np.diff(bounds)) - np.arange(bounds[-1])
