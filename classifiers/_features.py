"""Features of a whole batch at once, in numpy: hashed character n-grams, hashed words, and the shape of the post.

A batch of normalised rows is one array of code points (see ``_text``). Rolling 32-bit hashes of orders 1 to 3
are built with array multiplications. The breaks around a row are letters too, so that "begins with" and "ends
with" are n-grams like any other; what would reach beyond them is masked to bucket 0, which weighs nothing. Words
come from the segmenter, one call for the whole batch, and are hashed by their place in the array. The shape is how
long the post is and how many questions, digits, signs and the like it holds. There is no vocabulary to load. A
feature counts once however often a post repeats it.

The hash is frozen: a model only fits the ``HASH_VERSION`` and the word list (:func:`word_list`) it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from classifiers._text import BREAK, Batch, Codes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HASH_VERSION: Final = 2
ORDERS: Final = (1, 2, 3)
BITS: Final = 22

_SPREAD: Final = np.uint32(0x9E3779B1)
_CHAIN: Final = np.uint32(0x85EBCA6B)
_MIX: Final = np.uint32(0xC2B2AE35)
_WORD: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: the powers never vanish
_WORD_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)
_SHAPE_MIX: Final = np.uint64(0x94D049BB133111EB)

# What is counted for the shape: signs of a kind, then runs (at least this long) of digits and of Latin letters.
_SIGNS: Final = ("?", "!", "0", ",.。", "@", "[【", '"“”「')
_MOST: Final = 3
_RUNS: Final = (("0", 5), ("a", 2))

# Cut the same by two word lists: most likely they are the same list.
_CANARY: Final = (
    "听说下学期起绩效工资要按新办法算各学院自行制定细则食堂二楼窗口太慢班车又停了谁来管管兼职刷单日结加微信代写论文职称评审材料不要"
    "只看帽子青年教师非升即走工会职工之家报销流程校医院体检报告周转房子女入学名额宿舍漏水门卫大爷不让外卖进来"
)

Buckets = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a batch: row, where each begins in ``Batch.codes``, how long it is, and its bucket."""

    rows: Rows
    starts: Rows
    lengths: Rows
    buckets: Buckets


@dataclass(frozen=True, slots=True)
class Extras:
    """What a batch holds besides n-grams: its words, and for each row the buckets of its shape."""

    words: Words
    shapes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Grams:
    """Features of a batch.

    Attributes:
        buckets: shape (positions, orders): bucket of the n-gram that starts at a position; 0 where none fits.
        bounds: row i holds positions ``bounds[i]:bounds[i + 1]``; the first of them is the break before the row.
        orders: n-gram length of each column.
        bits: there are 2 ** bits buckets.
        extras: words and shapes, or None when only n-grams were asked for.
    """

    buckets: Buckets
    bounds: Rows
    orders: tuple[int, ...]
    bits: int
    extras: Extras | None = None

    def distinct(self) -> tuple[Buckets, Buckets]:
        """Return each row's distinct features: their buckets, ascending in a row, and where each row begins."""
        rows = len(self.bounds) - 1
        kind = np.uint32 if rows << self.bits <= 1 << 32 else np.int64  # the shorter sort twice as fast
        owner = (np.arange(rows, dtype=np.int64) << self.bits).astype(kind)
        lengths = np.diff(self.bounds) * len(self.orders)
        keys = np.repeat(owner, lengths) + self.buckets.ravel().view(np.uint32)
        if self.extras is not None:
            words = owner[self.extras.words.rows] + self.extras.words.buckets.view(np.uint32)
            shapes = owner[:, None] + self.extras.shapes.view(np.uint32)
            keys = np.concatenate((keys, words, shapes.ravel()))
        keys.sort()
        first = np.ones(len(keys), dtype=np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        keys = keys[first]
        pointer = np.append(np.searchsorted(keys, owner), len(keys))
        return (keys & keys.dtype.type((1 << self.bits) - 1)).astype(np.int32), pointer.astype(np.int32)

    def matrix(self) -> csr_matrix:
        """Return rows x buckets with a one for each distinct feature of a row, buckets in ascending order."""
        found, pointer = self.distinct()
        return ones(found, pointer, 1 << self.bits)


def ones(columns: Buckets, pointer: Buckets, width: int) -> csr_matrix:
    """Return a sparse matrix of ones; row i holds ``columns[pointer[i]:pointer[i + 1]]``."""
    from scipy.sparse import csr_matrix

    values = np.ones(len(columns), dtype=np.float32)
    return csr_matrix((values, columns, pointer), shape=(len(pointer) - 1, width), copy=False)


def grams(batch: Batch, bits: int = BITS, orders: tuple[int, ...] = ORDERS, extras: bool = False) -> Grams:
    """Hash the n-grams, with words and shapes if asked, of every row of a batch."""
    alike = _alike(batch.codes)
    codes = np.concatenate((np.array([BREAK], dtype=np.uint32), alike))
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
    more = Extras(_words(alike, batch.bounds, bits), _shapes(alike, batch.bounds, bits)) if extras else None
    return Grams(buckets, batch.bounds, orders, bits, more)


def _alike(codes: Codes) -> Codes:
    """Let all digits be one: a price or a number carries its shape, not its value."""
    digits = (codes >= 48) & (codes <= 57)
    return np.where(digits, np.uint32(48), codes)


def _room(bounds: Rows) -> Rows:
    """Return for every position how many codes are left up to the break after its row, both included."""
    return np.repeat(bounds[1:] + 1, np.diff(bounds)) - np.arange(bounds[-1])


# --- shape -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _signs() -> npt.NDArray[np.uint8]:
    """Return for every code below 2 ** 16 the number of its sign, or the number after the last."""
    kinds = np.full(1 << 16, len(_SIGNS), dtype=np.uint8)
    for kind, signs in enumerate(_SIGNS):
        for sign in signs:
            kinds[ord(sign)] = kind
    return kinds


def _shapes(codes: Codes, bounds: Rows, bits: int) -> Buckets:
    """Return rows x shape features: length in steps of half a doubling, and capped counts."""
    rows, lengths = len(bounds) - 1, np.diff(bounds)
    owner = np.repeat(np.arange(rows), lengths)
    kinds = _signs()[np.minimum(codes, (1 << 16) - 1)]
    width = len(_SIGNS) + 1
    counts = np.bincount(owner * width + kinds, minlength=rows * width).reshape(rows, width)[:, :-1]
    runs = [np.bincount(owner[_runs(codes, sign, least)], minlength=rows) for sign, least in _RUNS]
    size = (np.log2(lengths) * 2).astype(np.int64)
    table = np.column_stack((size, np.minimum(np.column_stack((counts, *runs)), _MOST)))
    marks = (table + (np.arange(table.shape[1]) << 8) + 1).astype(np.uint64) * _SHAPE_MIX
    found: Buckets = ((marks ^ (marks >> np.uint64(31))) * _WORD_MIX >> np.uint64(64 - bits)).astype(np.int32)
    return found


def _runs(codes: Codes, sign: str, least: int) -> npt.NDArray[np.bool_]:
    """Mark where runs of digits or of Latin letters begin that are at least so long."""
    inside = codes == 48 if sign == "0" else (codes >= 97) & (codes <= 122)
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    for step in range(1, least):
        begins[:-step] &= inside[step:]
    return begins


# --- words -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _engine() -> Any:
    """Return a segmenter of our own: campus words that are added for the trends do not move a model."""
    import rjieba

    return rjieba.Jieba()


def cut(text: str) -> list[str]:
    """Cut a normalised text into the words that are features."""
    return [str(word) for word in _engine().cut(text, hmm=False)]


@lru_cache(maxsize=1)
def word_list() -> str:
    """Return a short name of the segmenter's word list, for a model's manifest."""
    words = "/".join(_engine().cut(_CANARY, hmm=False))
    return sha256(words.encode()).hexdigest()[:12]


def _words(codes: Codes, bounds: Rows, bits: int) -> Words:
    """Cut the batch into words and hash each by the codes that it covers; blanks and breaks are none."""
    if not len(codes):
        nothing = np.zeros(0, dtype=np.int64)
        return Words(nothing, nothing, nothing, nothing.astype(np.int32))
    cut = _engine().cut(codes.tobytes().decode("utf-32-le"), hmm=False)
    lengths = np.fromiter(map(len, cut), dtype=np.int64, count=len(cut))
    starts = np.cumsum(lengths) - lengths
    solid = codes[starts] > 32
    starts, lengths = starts[solid], lengths[solid]
    rows = np.searchsorted(bounds, starts, side="right") - 1
    return Words(rows, starts, lengths, _hashes(codes, starts, lengths, bits))


def _hashes(codes: Codes, starts: Rows, lengths: Rows, bits: int) -> Buckets:
    """Hash spans: the difference of two prefix sums of code * power, brought to the same power."""
    powers, inverses = _powers(len(codes))
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes.astype(np.uint64) + _WORD) * powers, out=sums[1:])
    spans = (sums[starts + lengths] - sums[starts]) * inverses[starts]
    mixed = (spans ^ (spans >> np.uint64(29))) * _WORD_MIX
    found: Buckets = (mixed >> np.uint64(64 - bits)).astype(np.int32)
    return found


_POWERS: Final = 1 << 16


@lru_cache(maxsize=4)
def _powers_to(size: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the first powers of an odd number modulo 2 ** 64, and of its inverse."""
    base = np.full(size, _WORD, dtype=np.uint64)
    base[0] = 1
    inverse = np.full(size, np.uint64(pow(int(_WORD), -1, 1 << 64)), dtype=np.uint64)
    inverse[0] = 1
    return np.multiply.accumulate(base), np.multiply.accumulate(inverse)


def _powers(size: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    powers, inverses = _powers_to(max(_POWERS, 1 << size.bit_length()))
    return powers[:size], inverses[:size]
