"""Bring posts into one plain form for the models, with a map back to every original character.

What evasion does to a text (full-width and circled letters, traditional characters, zero-width characters,
``加.徽.亻言``, ``互聯(lián)網(wǎng)``) is undone by tables, so that a model sees the word that was meant. People always
see the original; spans found in the plain form are mapped back to it.

Almost everything is one look-up per code point over a whole batch. Only rows in which one of the rules applies
(a contact word in disguise, a radical standing alone, a bracketed syllable) take the slower way through ``_mend``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers._disguises import (
    BRACKETED,
    FILLERS,
    INITIAL,
    LEAD_CHARS,
    LEAD_HEADS,
    LEADS,
    LOOKALIKES,
    NO_FILLERS,
    PICTURES,
    RADICALS,
    SPLIT,
)
from classifiers._sounds import hidden, sounds

NORMALISER_VERSION: Final = 3

Codes = npt.NDArray[np.uint32]
Index = npt.NDArray[np.int32]

BREAK: Final = 10  # stands between the rows of a batch; never inside a row
_TABLE_SIZE: Final = 0x20000  # code points above are private use or rare ideographs: kept as they are
_DROP: Final = 0xFFFFFFFF

# Character classes.
_CJK: Final = 1
_FILL: Final = 2  # what people put between characters to hide a word
_EXPAND: Final = 4  # one code point that stands for several
_PAIR: Final = 8  # first part of a character that is written as two
_LEAD: Final = 16  # without one of these no lead-in word is there
_RADICAL: Final = 32  # stands before its other half, which is no word of its own there
_PICTURE: Final = 64  # a picture that may stand for a character

_MAX_GAP: Final = 3
_MAX_ROUNDS: Final = 16


@dataclass(frozen=True, slots=True)
class Tables:
    """Look-up tables over code points: what a character becomes, and what kind it is."""

    fold: Codes
    kind: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised rows, one behind the other, each ended by ``BREAK``.

    Attributes:
        codes: code points of all rows.
        starts, ends: for every code, the original code points [start, end) of its own row that it stands for.
        bounds: row i is ``codes[bounds[i]:bounds[i + 1] - 1]``; length rows + 1.
    """

    codes: Codes
    starts: Index
    ends: Index
    bounds: npt.NDArray[np.int64]

    def row(self, number: int) -> Normalised:
        """Return one row as text with its map."""
        low, high = int(self.bounds[number]), int(self.bounds[number + 1]) - 1
        return Normalised(_decode(self.codes[low:high]), self.starts[low:high], self.ends[low:high])


@dataclass(frozen=True, slots=True)
class Normalised:
    """One text in its plain form with the way back."""

    text: str
    starts: Index
    ends: Index

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original code points [start, end) behind a non-empty span of the plain text."""
        return int(self.starts[start]), int(self.ends[end - 1])


# --- building the tables ---------------------------------------------------------------------------


@lru_cache(maxsize=1)
def tables() -> Tables:
    """Build the tables once in a process (about 0.1 s); they follow from this file, Unicode and OpenCC."""
    fold = np.arange(_TABLE_SIZE, dtype=np.uint32)
    kind = np.zeros(_TABLE_SIZE, dtype=np.uint8)
    for code in range(_TABLE_SIZE):
        fold[code] = _plain(code)
    _simplify(fold)
    for char, plain in LOOKALIKES.items():
        fold[ord(char)] = ord(plain)
    expand = np.flatnonzero(fold == _DROP - 1)
    fold[expand] = expand
    far = (fold >= _TABLE_SIZE) & (fold != _DROP)
    fold[far] = np.flatnonzero(far)
    live = fold != _DROP
    fold[live] = fold[fold[live]]
    fold[BREAK] = BREAK
    _classify(kind)
    kind[expand] |= _EXPAND
    fold.setflags(write=False)
    kind.setflags(write=False)
    return Tables(fold, kind)


def _plain(code: int) -> int:
    """Return the plain code point for one code point, ``_DROP``, or ``_DROP - 1`` for 'becomes several'."""
    if code < 0x80:
        return _plain_ascii(code)
    if 0x4E00 <= code < 0xA000 or 0xAC00 <= code < 0xD7A4:
        return code
    if 0xD800 <= code < 0xE000:
        return 0xFFFD
    char = chr(code)
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me", "Cc") or code == 0xFE0F:
        return 32 if category == "Cc" else _DROP
    if category in ("Zs", "Zl", "Zp"):
        return 32
    plain = unicodedata.normalize("NFKC", char).casefold()
    if len(plain) > 1 or category[0] == "L":
        base = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
        plain = base or plain
    return ord(plain) if len(plain) == 1 else _DROP - 1


def _plain_ascii(code: int) -> int:
    if 65 <= code <= 90:
        return code + 32
    return 32 if code < 32 or code == 127 else code


def _simplify(fold: Codes) -> None:
    """Turn traditional characters to simplified ones, character by character (OpenCC's t2s table)."""
    from opencc import OpenCC  # here, because only this needs it

    codes = [*range(0x3400, 0xA000), *range(0xF900, 0xFB00)]
    plain = [int(fold[code]) if int(fold[code]) < _TABLE_SIZE else code for code in codes]
    simple = OpenCC("t2s").convert("\n".join(map(chr, plain))).split("\n")
    for code, char in zip(codes, simple, strict=True):
        if len(char) == 1:
            fold[code] = ord(char)


def _classify(kind: npt.NDArray[np.uint8]) -> None:
    kind[0x3400:0xA000] |= _CJK
    for char in FILLERS:
        if char not in NO_FILLERS:
            kind[ord(char)] |= _FILL
    kind[0x2190:0x2C00] |= _FILL  # arrows, shapes, dingbats
    kind[0x1F000:0x1FB00] |= _FILL  # emoji
    kind[0xFFFD] |= _FILL
    for char in LEAD_CHARS:
        kind[ord(char)] |= _LEAD
    for parts in SPLIT:
        kind[ord(parts[0])] |= _PAIR
    for radical in RADICALS:
        kind[ord(radical)] |= _RADICAL
    for pictures, *_rest in PICTURES:
        for picture in pictures:
            kind[ord(picture)] |= _PICTURE


# --- the fast way ----------------------------------------------------------------------------------


def normalise_batch(texts: Sequence[str]) -> Batch:
    """Normalise many texts at once; a row does not depend on its neighbours.

    Args:
        texts: any strings, lone surrogates and NUL included.
    """
    codes, starts, bounds = _join(texts)
    codes, starts, ends = _clean(codes, starts, starts + 1)
    codes, touched = _by_sound(codes)
    bounds = _bounds(codes)
    slow = dict.fromkeys(_triggered(codes, bounds).tolist(), False)
    if len(touched):  # what is written anew may begin another word
        slow |= dict.fromkeys((np.searchsorted(bounds, touched, side="right") - 1).tolist(), True)
    if slow:
        codes, starts, ends = _splice(codes, starts, ends, bounds, slow)
        bounds = _bounds(codes)
    return Batch(codes, starts, ends, bounds)


def as_written(texts: Sequence[str]) -> Batch:
    """Lay texts out as they are, for measuring what normalising is worth."""
    codes, starts, bounds = _join(texts)
    return Batch(codes, starts, starts + 1, bounds)


def normalise(text: str) -> Normalised:
    """Normalise one text."""
    return normalise_batch([text]).row(0)


def normalise_all(texts: Sequence[str]) -> list[str]:
    """Return the plain forms alone."""
    batch = normalise_batch(texts)
    return _decode(batch.codes).split("\n")[:-1]


def plain(batch: Batch) -> str:
    """Return the plain texts of a batch as one string, index for index like ``codes``."""
    return _decode(batch.codes)


def _join(texts: Sequence[str]) -> tuple[Codes, Index, npt.NDArray[np.int64]]:
    """Lay the texts end to end, each followed by ``BREAK``; line breaks inside a text become blanks."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    joined = "\n".join(texts) + "\n" if texts else ""
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy()
    codes[codes == BREAK] = 32
    codes[bounds[1:] - 1] = BREAK
    starts = np.arange(len(codes), dtype=np.int32) - np.repeat(bounds[:-1], lengths).astype(np.int32)
    return codes, starts, bounds


def _bounds(codes: Codes) -> npt.NDArray[np.int64]:
    breaks = np.flatnonzero(codes == BREAK)
    return np.concatenate((np.zeros(1, dtype=np.int64), breaks + 1))


def _clean(codes: Codes, starts: Index, ends: Index) -> tuple[Codes, Index, Index]:
    """Fold every code, drop the invisible, close gaps inside hidden words."""
    table = tables()
    rare = codes >= _TABLE_SIZE
    if rare.any():
        codes = np.where(rare, np.uint32(0xFFFD), codes)
    folded = table.fold[codes]
    keep = folded != _DROP
    if not keep.all():
        folded, starts, ends = folded[keep], starts[keep], ends[keep]
    folded = _read_pictures(folded)
    gaps = _gaps(folded)
    if gaps is not None:
        folded, starts, ends = folded[gaps], starts[gaps], ends[gaps]
    return folded, starts, ends


def _read_pictures(codes: Codes) -> Codes:
    """Write a character for a picture that stands for it; the length stays."""
    places = np.flatnonzero(tables().kind[codes] & _PICTURE)
    if not len(places):
        return codes
    table, out = _picture_pairs(), codes.copy()
    for place in places.tolist():
        picture = chr(codes[place])
        before = chr(out[place - 1]) if place else ""
        after = chr(codes[place + 1])
        meant = table.get((before, picture)) or table.get((picture, after))
        if meant and (meant, after) != ("妈", "上"):
            out[place] = ord(meant)
    return out


@lru_cache(maxsize=1)
def _picture_pairs() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for pictures, before, after, meant in PICTURES:
        for picture in pictures:
            found |= {(char, picture): meant for char in before} | {(picture, char): meant for char in after}
    return found


def _by_sound(codes: Codes) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Write the word that is meant where a pair of characters only sounds like it, and say where; the length stays."""
    places = np.flatnonzero(_perhaps()[_spread(codes[:-1], codes[1:])])
    keys = _keys(codes, places)
    written = hidden().keys
    at = np.minimum(np.searchsorted(written, keys), len(written) - 1)
    hits = np.flatnonzero(written[at] == keys)
    chosen: list[int] = []
    free = -1
    for hit, place in zip(hits.tolist(), places[hits].tolist(), strict=True):
        if place > free and _sounds_only(codes, place):  # of two that overlap the first
            chosen.append(hit)
            free = place + 1
    places, at = places[chosen], at[chosen]
    if not chosen:
        return codes, places
    out = codes.copy()
    out[places], out[places + 1] = hidden().meant[at].T
    return out, places


def _sounds_only(codes: Codes, place: int) -> bool:
    """Say whether nothing around a pair makes another word of it: a radical before it, 沙|比较."""
    if place and tables().kind[codes[place - 1]] & _RADICAL:
        return False
    return not (chr(codes[place + 1]) == "比" and chr(codes[place + 2]) in "较例如赛重分喻")


_PERHAPS_BITS: Final = 21


def _spread(first: Codes, second: Codes) -> npt.NDArray[np.uint32]:
    """Return a small number for each pair of codes."""
    mixed = first * np.uint32(0x9E3779B1) ^ second * np.uint32(0x85EBCA6B)
    return mixed >> np.uint32(32 - _PERHAPS_BITS)


@lru_cache(maxsize=1)
def _perhaps() -> npt.NDArray[np.bool_]:
    """Mark the numbers of pairs that may be a word in disguise: most pairs are none, which one look-up tells."""
    keys = hidden().keys
    table = np.zeros(1 << _PERHAPS_BITS, dtype=np.bool_)
    table[_spread((keys >> 32).astype(np.uint32), (keys & 0xFFFFFFFF).astype(np.uint32))] = True
    return table


def _gaps(codes: Codes) -> npt.NDArray[np.bool_] | None:
    """Return which codes stay when fillers inside a hidden word go, or None for all.

    Hidden are single characters in a row (``代.写.论.文``, ``收 到 !``), and a known word in two pieces (``兼❤职``).
    """
    kinds = tables().kind[codes]
    solid = np.flatnonzero((kinds & _FILL) == 0)
    if len(solid) == len(kinds) or len(solid) < 2:
        return None
    gap = np.diff(solid) - 1
    cjk = (kinds[solid] & _CJK) != 0
    inside = (gap > 0) & (gap <= _MAX_GAP) & cjk[:-1] & cjk[1:]
    if not inside.any():
        return None
    alone = np.zeros(len(solid), dtype=np.bool_)
    alone[1:-1] = inside[:-1] & inside[1:]
    closing = inside & (alone[:-1] | alone[1:])
    joined = (gap == 0) & cjk[:-1] & cjk[1:]
    single = ~(np.append(joined, False) | np.append(False, joined))
    closing |= inside & single[:-1] & single[1:]
    gaps = np.flatnonzero(inside)
    closing[gaps] |= _known(codes[solid[gaps]], codes[solid[gaps + 1]])
    if not closing.any():
        return None
    mark = np.zeros(len(kinds) + 1, dtype=np.int8)
    np.add.at(mark, solid[:-1][closing] + 1, 1)
    np.add.at(mark, solid[1:][closing], -1)
    return np.asarray(np.cumsum(mark[:-1]) == 0)


def _known(first: Codes, second: Codes) -> npt.NDArray[np.bool_]:
    """Mark which pairs of codes are a word that people hide, as meant or by its sound."""
    return _among((first.astype(np.int64) << 32) | second, _hidden_words())


def _among(keys: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark which keys are in the ascending ``known``."""
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.asarray(known[at] == keys)


@lru_cache(maxsize=1)
def _hidden_words() -> npt.NDArray[np.int64]:
    words = {word for word in (*sounds().values(), *hidden().words) if len(word) == 2}
    meant = np.array([(ord(word[0]) << 32) | ord(word[1]) for word in words], dtype=np.int64)
    return np.unique(np.concatenate((hidden().keys, meant)))


def _triggered(codes: Codes, bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows that need the slow way."""
    kinds = tables().kind[codes]
    hits = np.flatnonzero(kinds & (_EXPAND | _PAIR | _LEAD))
    found = kinds[hits]
    sure = (found & _EXPAND) != 0
    pairs = np.flatnonzero(found & _PAIR)
    sure[pairs] |= _among(_keys(codes, hits[pairs]), _split_keys())
    rows = np.searchsorted(bounds, hits, side="right") - 1
    asked = np.unique(rows[(found & _LEAD) != 0])
    leads = [row for row in asked.tolist() if _led(_slice(codes, bounds, row))]
    return np.unique(np.concatenate((rows[sure], np.array(leads, dtype=np.int64))))


def _keys(codes: Codes, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return one number for each code at ``places`` and the next one (a row always ends in ``BREAK``)."""
    return (codes[places].astype(np.int64) << 32) | codes[places + 1]


@lru_cache(maxsize=1)
def _split_keys() -> npt.NDArray[np.int64]:
    return np.array(sorted((ord(pair[0]) << 32) | ord(pair[1]) for pair in SPLIT), dtype=np.int64)


def _slice(codes: Codes, bounds: npt.NDArray[np.int64], row: int) -> str:
    return _decode(codes[bounds[row] : bounds[row + 1] - 1])


# --- the slow way ----------------------------------------------------------------------------------


def _splice(
    codes: Codes, starts: Index, ends: Index, bounds: npt.NDArray[np.int64], rows: Mapping[int, bool]
) -> tuple[Codes, Index, Index]:
    """Mend the named rows (each with whether it has changed already) and put them back between the others."""
    pieces: list[tuple[Codes, Index, Index]] = []
    done = 0
    for row, dirty in sorted(rows.items()):
        low, high = int(bounds[row]), int(bounds[row + 1]) - 1
        pieces.append((codes[done:low], starts[done:low], ends[done:low]))
        pieces.append(_mend(_decode(codes[low:high]), starts[low:high], ends[low:high], dirty))
        done = high
    pieces.append((codes[done:], starts[done:], ends[done:]))
    return (
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate([piece[1] for piece in pieces]),
        np.concatenate([piece[2] for piece in pieces]),
    )


Meaning = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Meaning]


@lru_cache(maxsize=1)
def _rules() -> tuple[Rule, ...]:
    """Return the rules in order: what was written, and what was meant by it."""
    leads: tuple[Rule, ...] = tuple((re.compile(pattern), meant) for pattern, meant in LEADS)
    return (*leads, (BRACKETED, ""), (INITIAL, _without_initial), (_LETTERS, _read_letters))


@lru_cache(maxsize=1)
def _any_split() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(SPLIT, key=len, reverse=True))))


@lru_cache(maxsize=1)
def _any_lead() -> re.Pattern[str]:
    leads = "|".join(f"(?:{pattern})" for pattern, _ in LEADS)
    return re.compile(f"{LEAD_HEADS}(?:{leads}|{BRACKETED.pattern})|{INITIAL.pattern}")


def _led(text: str) -> bool:
    """Say whether one of the rules for words in disguise applies."""
    return _any_lead().search(text) is not None or any(_spelt(match) for match in _LETTERS.finditer(text))


def _mend(text: str, starts: Index, ends: Index, dirty: bool) -> tuple[Codes, Index, Index]:
    """Apply every rule until nothing changes any more.

    Args:
        text, starts, ends: the row with its map.
        dirty: it has changed since gaps were closed last.
    """
    for _ in range(_MAX_ROUNDS):
        before = text
        text, starts, ends = _expand(text, starts, ends)
        text, starts, ends = _replace(_any_split(), lambda match: SPLIT[match[0]], text, starts, ends)
        if _led(text):
            for pattern, meant in _rules():
                if pattern.search(text):
                    text, starts, ends = _replace(pattern, meant, text, starts, ends)
        if text == before and not dirty:
            break
        codes, starts, ends = _clean(_encode(text + "\n"), np.append(starts, 0), np.append(ends, 0))
        starts, ends = starts[:-1], ends[:-1]
        mended = _decode(_by_sound(codes)[0][:-1])
        text, dirty = mended, mended != text
    return _encode(text), starts, ends


# A run of Latin letters, its syllables perhaps apart: jianzhi, jian zhi, j.i.a.n
_LETTERS: Final = re.compile(
    r"(?<![a-z0-9@/\\_#$])(?<![a-z0-9][.-])[a-z]{1,6}(?:[ .*'·_-]{1,2}[a-z]{1,6}){0,3}(?![a-z0-9@/\\_=(\[]|[.-][a-z0-9])"
    r"|(?<![a-z0-9@/\\_#$.-])[a-z]{7,12}(?![a-z0-9@/\\_=(\[]|[.-][a-z0-9])"
)
_INITIALS: Final = frozenset(("sb", "nmsl", "cnm", "wcnm", "nmd", "tmd", "mlgb", "rnm"))


def _spelt(match: re.Match[str]) -> str:
    """Return the characters that a run of letters stands for, or nothing.

    The letters of a whole hidden word stand for it (``jianzhi``); one syllable stands for a character where the
    character beside it makes a hidden word (``dai款``).
    """
    written = match[0]
    letters = "".join(filter(str.isalpha, written))
    if len(letters) < len(written) and letters in _INITIALS and " " not in written:
        return letters
    known = hidden()
    whole = known.full.get(letters)
    if whole is not None:
        return whole
    if len(letters) > 6 or (len(letters) < len(written) and " " in written):
        return ""
    text, (start, end) = match.string, match.span()
    if len(letters) < len(written):
        start -= text[start - 1 : start] in (".", "*", "_", "-")
    before, after = text[start - 1 : start], text[end : end + 1]
    return known.after.get((before, letters)) or known.before.get((letters, after)) or ""


def _read_letters(match: re.Match[str]) -> str:
    return _spelt(match) or match[0]


def _without_initial(match: re.Match[str]) -> str:
    """Drop a bracketed letter that begins the sound of the character before it (``代(d)写(x)``)."""
    return match[1] if hidden().syllable.get(match[1], " ")[0] == match[2] else match[0]


def _replace(
    pattern: re.Pattern[str], meant: Meaning, text: str, starts: Index, ends: Index
) -> tuple[str, Index, Index]:
    """Write what is meant for each match; every new character stands for the whole match."""
    words: list[str] = []
    firsts: list[Index] = []
    lasts: list[Index] = []
    done = 0
    for match in pattern.finditer(text):
        low, high = match.span()
        word = meant if isinstance(meant, str) else meant(match)
        if match[0] == word:
            continue
        words += [text[done:low], word]
        firsts += [starts[done:low], np.full(len(word), starts[low], dtype=np.int32)]
        lasts += [ends[done:low], np.full(len(word), ends[high - 1], dtype=np.int32)]
        done = high
    if not words:
        return text, starts, ends
    words.append(text[done:])
    firsts.append(starts[done:])
    lasts.append(ends[done:])
    return "".join(words), np.concatenate(firsts), np.concatenate(lasts)


def _expand(text: str, starts: Index, ends: Index) -> tuple[str, Index, Index]:
    """Write out code points that stand for several (``㎏``, ``½``)."""
    kind = tables().kind
    wide = kind[np.minimum(_encode(text), _TABLE_SIZE - 1)] & _EXPAND
    if not wide.any():
        return text, starts, ends
    words = [unicodedata.normalize("NFKC", c) if w else c for c, w in zip(text, wide.tolist(), strict=True)]
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    return "".join(words).replace("\n", " "), np.repeat(starts, lengths), np.repeat(ends, lengths)


def _encode(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _decode(codes: Codes) -> str:
    return codes.tobytes().decode("utf-32-le")
