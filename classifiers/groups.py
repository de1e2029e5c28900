"""Near-duplicate grouping of a stream of posts: MinHash of character 3-grams, with a window of recent posts.

The way of a batch: texts in their plain form (``_text``), reduced to letters and digits, so that signs, emoji and
gaps between characters count for nothing; 64 minima of hashed 3-grams (Broder 1997); 16 bands of 4 as keys. Posts
that share a key are candidates (at most 20 a bucket, the newest); the likeliest few are compared exactly: Jaccard
of 3-grams, or containment where both are of about the same length (a disguise adds characters). Texts of up to
five characters must be equal. Everyday acknowledgements (收到, +1, 谢谢) always stand alone: they mean what they
answer, so equal ones do not belong together and never look like a campaign.

Signatures, keys and look-up are numpy over the batch; Python touches only posts that have a candidate. Results
depend on the order of posts, not on how they were cut into batches. A window of 65,536 posts takes about 50 MB.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers._text import BREAK, Codes, normalise_batch
from monitor.core.ports import Grouped

SIGNATURE_VERSION: Final = 1
PERMUTATIONS: Final = 64
BANDS: Final = 16
WINDOW: Final = 65_536

_GRAM: Final = 3
_CHUNK: Final = 512  # rows handled at once; their hashes stay in the second-level cache
_BUCKET: Final = 20  # candidates looked at in a bucket, newest first
_VERIFIED: Final = 4  # candidates compared exactly, likeliest first
_EQUAL_UP_TO: Final = 5  # letters: shorter texts must be equal
_JACCARD: Final = 0.5
_SHORT: Final = 10  # letters: among these a common turn of phrase is half the text
_JACCARD_SHORT: Final = 0.65
_DRIFT: Final = 0.3  # Jaccard to the group's first post: below, a chain of likenesses has led elsewhere
_CONTAINED: Final = 0.72
_CONTAINED_FROM: Final = 12  # 3-grams in the shorter text
_LENGTHS: Final = 0.6  # a warning that quotes an advertisement is longer, and must not join it
_TABLE: Final = 0x20000

_MULTIPLIERS: Final = (
    np.random.default_rng(20261101).integers(1, 1 << 31, PERMUTATIONS, dtype=np.uint32) * 2 + 1
)
_OFFSETS: Final = np.random.default_rng(20261102).integers(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)

_CHATTER_WORDS: Final = (
    "收到 好 好的 好嘞 好滴 好呀 好吧 行 可以 嗯 嗯嗯 哦 噢 啊 是 是的 对 对的 ok okay yes no 没有 有 在 来 来了 谢谢 多谢 感谢 谢 谢啦 唔该 唔该晒 "
    "辛苦 辛苦了 赞 点赞 顶 同意 支持 早 早安 早上好 晚安 午安 你好 您好 大家好 哈 呵 嘿 嘻 呜 哇 666 888 1 2 3 加1 +1 同问 同感 同 "
    "什么 真的 真的吗 真的假的 老师 各位 了 啦 呀 哈哈 明白 了解 知道 知道了 不用 不客气 加油 恭喜 太好了 牛 厉害 已阅 已读 已填 "
    "图片 表情 动画表情 语音 视频 报名 签到 在线等 求 蹲"
)
_CHATTER: Final = frozenset(_CHATTER_WORDS.split())
_LONGEST: Final = max(map(len, _CHATTER))

Signatures = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


# --- pure functions --------------------------------------------------------------------------------


def skeletons(texts: Sequence[str]) -> list[str]:
    """Return the letters and digits of each text in its plain form: what is compared."""
    codes, _ = _skeleton(texts)
    return codes.tobytes().decode("utf-32-le").split("\n")[:-1]


def signature(texts: Sequence[str]) -> Signatures:
    """Return the MinHash signatures of texts, shape (n, 64); no text depends on its neighbours.

    A text of one or two letters has a signature of its own, so that only equal ones agree; one of none has zeros.
    """
    if not texts:
        return np.zeros((0, PERMUTATIONS), dtype=np.uint32)
    parts = [_signature(*_skeleton(texts[at : at + _CHUNK])) for at in range(0, len(texts), _CHUNK)]
    return np.concatenate(parts)


def bands(signatures: Signatures) -> Keys:
    """Return 16 keys for each signature, shape (n, 16); two posts that share any key are candidates."""
    rows = signatures.reshape(len(signatures), BANDS, PERMUTATIONS // BANDS).astype(np.uint64)
    key = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), rows.shape[:2]) + np.uint64(0x9E3779B97F4A7C15)
    for column in range(rows.shape[2]):
        key = (key ^ rows[:, :, column]) * np.uint64(0xD6E8FEB86659FD93)
        key = key ^ (key >> np.uint64(32))
    return key


def similarity(one: str, other: str) -> float:
    """Return how alike two skeletons are, in [0, 1]: 0.0 below what makes a near duplicate.

    Jaccard of 3-grams from 0.5 up (0.65 where the shorter has fewer than ten letters); else 0.95 of the containment of the shorter in the longer, from 0.72 up, for
    texts of about the same length.
    """
    if one == other:
        return 1.0
    if min(len(one), len(other)) <= _EQUAL_UP_TO:
        return 0.0
    first, second = _grams(one), _grams(other)
    both = len(first & second)
    jaccard = both / (len(first) + len(second) - both)
    if jaccard >= (_JACCARD_SHORT if min(len(one), len(other)) < _SHORT else _JACCARD):
        return jaccard
    small, large = sorted((len(first), len(second)))
    fits = small >= _CONTAINED_FROM and small >= _LENGTHS * large and both >= _CONTAINED * small
    return max(jaccard, 0.95 * both / small) if fits else 0.0


def is_chatter(skeleton: str) -> bool:
    """Say whether a skeleton is nothing but everyday acknowledgements (收到, 好的谢谢, 哈哈哈, 1), or empty."""
    at = 0
    while at < len(skeleton):
        step = next((n for n in range(_LONGEST, 0, -1) if skeleton[at : at + n] in _CHATTER), 0)
        if not step:
            return False
        at += step
    return True


def _grams(text: str) -> set[str]:
    return {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}


@lru_cache(maxsize=1)
def _letters() -> Codes:
    """Return what each code point becomes: letters and digits stay, 二 is written 2, all else is nothing (0)."""
    kept = [code if unicodedata.category(chr(code))[0] in "LN" else 0 for code in range(_TABLE)]
    table = np.array(kept, dtype=np.uint32)
    table[BREAK] = BREAK
    for digit, numeral in enumerate("零一二三四五六七八九"):
        table[ord(numeral)] = ord(str(digit))
    return table


def _skeleton(texts: Sequence[str]) -> tuple[Codes, Rows]:
    """Return the letters of all rows, each row ended by ``BREAK``, and the bounds of rows."""
    codes = normalise_batch(texts).codes
    codes = _letters()[np.minimum(codes, _TABLE - 1)]
    codes = codes[codes != 0]
    bounds = np.concatenate((np.zeros(1, dtype=np.int64), np.flatnonzero(codes == BREAK) + 1))
    return codes, bounds


def _signature(codes: Codes, bounds: Rows) -> Signatures:
    lengths = np.diff(bounds) - 1
    grams = np.where(lengths >= _GRAM, lengths - _GRAM + 1, np.minimum(lengths, 1))
    total = int(grams.sum())
    out = np.zeros((PERMUTATIONS, len(lengths)), dtype=np.uint32)
    if not total:
        return out.T
    starts = np.cumsum(grams) - grams
    places = np.arange(total) + np.repeat(bounds[:-1] - starts, grams)
    filled = np.flatnonzero(grams)
    out[:, filled] = _minima(_hashes(codes, places), starts[filled])
    return np.ascontiguousarray(out.T)


def _hashes(codes: Codes, places: Rows) -> Codes:
    """Hash three codes from each place on; in a row of one or two letters the break stands for what is missing."""
    second = codes[places + 1]
    third = np.where(second == BREAK, np.uint32(BREAK), codes[np.minimum(places + 2, len(codes) - 1)])
    hashed = codes[places] * np.uint32(0x9E3779B1)
    for code in (second, third):
        hashed = (hashed ^ (hashed >> np.uint32(15))) * np.uint32(0x85EBCA6B) + code
    hashed = (hashed ^ (hashed >> np.uint32(16))) * np.uint32(0xC2B2AE35)
    return hashed ^ (hashed >> np.uint32(13))


def _minima(hashes: Codes, starts: Rows) -> Codes:
    out = np.empty((PERMUTATIONS, len(starts)), dtype=np.uint32)
    work = np.empty_like(hashes)
    for number in range(PERMUTATIONS):
        np.multiply(hashes, _MULTIPLIERS[number], out=work)
        np.add(work, _OFFSETS[number], out=work)
        np.minimum.reduceat(work, starts, out=out[number])
    return out


# --- the window ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """Candidates of a batch: for row ``rows[k]`` the earlier post number ``posts[k]``, likeliest first."""

    rows: list[int]
    posts: list[int]


class Grouper:
    """Groups posts as they come (:class:`monitor.core.ports.Grouping`); one caller at a time.

    Every band has a table of slots; a slot holds the newest post with such a key, and each post remembers the one
    before it, so that a bucket is a chain through a ring of recent posts. Old posts fall out by being overwritten.
    """

    def __init__(self, window: int = WINDOW) -> None:
        """Make an empty window.

        Args:
            window: how many earlier posts a post is compared with (those that may have duplicates at all).
        """
        if window < 1:
            raise ValueError("window must be at least 1")
        self._window = window
        self._ring = window + _CHUNK
        self._slots = 1 << (2 * self._ring - 1).bit_length()
        self._next = 1
        # Zero is "none": untouched pages of zeros cost no memory.
        self._head = np.zeros((BANDS, self._slots), dtype=np.int64)
        self._older = np.zeros((self._ring, BANDS), dtype=np.int64)
        self._keys = np.zeros((self._ring, BANDS), dtype=np.uint64)
        self._signatures = np.zeros((self._ring, PERMUTATIONS), dtype=np.uint32)
        self._texts = [""] * self._ring
        self._groups = [0] * self._ring
        self._firsts = [0] * self._ring  # post number of the group's first post

    def add(self, ids: Sequence[int], texts: Sequence[str]) -> list[Grouped]:
        """Group each text with what came before it: the group's id is the id of its first post.

        Returns:
            One result per text, in order. ``similarity`` is that to the group's first post while the window still
            holds it, else to the nearest post; 1.0 for a post that stands alone or opens a group.
        """
        return self._run(ids, texts, known=False)

    def restore(self, rows: Iterable[tuple[int, str]]) -> None:
        """Fill the window at start with (group id, text) of recent posts, oldest first; the groups stay as stored."""
        taken = list(rows)[-self._window :]
        self._run([group for group, _ in taken], [text for _, text in taken], known=True)

    def _run(self, ids: Sequence[int], texts: Sequence[str], *, known: bool) -> list[Grouped]:
        if len(ids) != len(texts):
            raise ValueError("ids and texts differ in length")
        out: list[Grouped] = []
        for at in range(0, len(texts), _CHUNK):
            out += self._chunk(ids[at : at + _CHUNK], texts[at : at + _CHUNK], known)
        return out

    def _chunk(self, ids: Sequence[int], texts: Sequence[str], known: bool) -> list[Grouped]:
        codes, bounds = _skeleton(texts)
        plain = codes.tobytes().decode("utf-32-le").split("\n")[:-1]
        out = [Grouped(number, 1.0) for number in ids]
        rows = [row for row, text in enumerate(plain) if len(text) > 12 or not is_chatter(text)]
        if not rows:
            return out
        signatures = _signature(codes, bounds)[rows]
        found = self._enter(signatures, bands(signatures))
        candidates: list[list[int]] = [[] for _ in rows]
        for row, post in zip(found.rows, found.posts, strict=True):
            candidates[row].append(post)
        first = self._next - len(rows)
        for place, row in enumerate(rows):
            out[row] = self._settle(first + place, ids[row], plain[row], candidates[place], known)
        return out

    def _settle(self, number: int, given: int, text: str, candidates: Sequence[int], known: bool) -> Grouped:
        """Choose the group of one post and remember it."""
        near, best = self._nearest(text, candidates)
        at = number % self._ring
        self._texts[at] = text
        self._groups[at], self._firsts[at] = given, number
        if not near or (known and self._groups[near % self._ring] != given):
            return Grouped(given, 1.0)
        group, first = self._groups[near % self._ring], self._firsts[near % self._ring]
        if first != near and first > number - self._window:
            opening = self._texts[first % self._ring]
            best = similarity(text, opening) or _jaccard(text, opening)
            if best < _DRIFT and not known:
                return Grouped(given, 1.0)
        self._groups[at], self._firsts[at] = group, first
        return Grouped(group, round(best, 4))

    def _nearest(self, text: str, candidates: Sequence[int]) -> tuple[int, float]:
        """Return the candidate most alike (the likeliest of equals) and its similarity, or 0."""
        near, best = 0, 0.0
        for post in candidates:
            alike = similarity(text, self._texts[post % self._ring])
            if alike > best:
                near, best = post, alike
            if best == 1.0:
                break
        return near, best

    def _enter(self, signatures: Signatures, keys: Keys) -> _Found:
        """Put a batch into the tables and return its candidates among earlier posts, those of the batch included."""
        numbers = np.arange(self._next, self._next + len(keys))
        older = self._link(keys, numbers)
        at = numbers % self._ring
        self._older[at], self._keys[at], self._signatures[at] = older, keys, signatures
        self._next += len(keys)
        return self._rank(signatures, *self._walk(keys, older, numbers))

    def _link(self, keys: Keys, numbers: Rows) -> Rows:
        """Return for each post and band the newest earlier post in the same slot; make the last ones the heads."""
        slots = (keys & np.uint64(self._slots - 1)).astype(np.int64)
        older = np.empty(keys.shape, dtype=np.int64)
        for band in range(BANDS):
            order = np.argsort(slots[:, band], kind="stable")
            slot = slots[order, band]
            same = slot[1:] == slot[:-1]
            before = self._head[band, slot]
            before[1:][same] = numbers[order[:-1]][same]
            older[order, band] = before
            last = np.append(~same, True)
            self._head[band, slot[last]] = numbers[order[last]]
        return older

    def _walk(self, keys: Keys, older: Rows, numbers: Rows) -> tuple[Rows, Rows]:
        """Follow the chains of all rows and bands at once; return (row, earlier post) with equal keys, distinct."""
        row, band = np.nonzero(older > (numbers - self._window - 1).clip(0)[:, None])
        post = older[row, band]
        found = [np.zeros(0, dtype=np.int64)]
        for _ in range(_BUCKET):
            if not len(post):
                break
            place = post % self._ring
            same = self._keys[place, band] == keys[row, band]
            found.append((row[same] << 40) | post[same])
            post = self._older[place, band]
            alive = post > (numbers[row] - self._window - 1).clip(0)
            row, band, post = row[alive], band[alive], post[alive]
        pairs = np.unique(np.concatenate(found))
        return pairs >> 40, pairs & ((1 << 40) - 1)

    def _rank(self, signatures: Signatures, rows: Rows, posts: Rows) -> _Found:
        """Keep the likeliest candidates of each row: most equal minima, then the oldest."""
        agree = (signatures[rows] == self._signatures[posts % self._ring]).sum(axis=1)
        order = np.lexsort((posts, -agree, rows))
        rows, posts = rows[order], posts[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        return _Found(rows[rank < _VERIFIED].tolist(), posts[rank < _VERIFIED].tolist())


def _jaccard(one: str, other: str) -> float:
    first, second = _grams(one), _grams(other)
    both = len(first & second)
    return both / max(1, len(first) + len(second) - both)
