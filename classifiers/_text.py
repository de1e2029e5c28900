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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers._sounds import sounds

NORMALISER_VERSION: Final = 2

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
_SOUND: Final = 32  # may begin a word that is written by its sound

_MAX_GAP: Final = 3
_MAX_ROUNDS: Final = 16

# --- tables ----------------------------------------------------------------------------------------

_FILLERS: Final = " .·•・。*_-—–|/\\~^+=`'\"#%$@&:;,<>♥❤★☆●○■□◆◇▲△▼▽→←↑↓✦✧✨※〃°丶灬丨⭐‧∙⋅"
# Chinese commas, full stops and list signs separate words on purpose: they are no fillers.
_NO_FILLERS: Final = "。,:;/%"

_LOOKALIKES: Final = {
    **dict(zip("аеорсухкмтвнізѕԁԛ", "aeopcyxkmtbhi3sdq", strict=True)),
    **dict(zip("αβερτυνοκχγ", "abeptuvokxy", strict=True)),
    **dict(zip("❶❷❸❹❺❻❼❽❾", "123456789", strict=True)),
    **dict(zip("⓵⓶⓷⓸⓹⓺⓻⓼⓽", "123456789", strict=True)),
    **dict(zip("➀➁➂➃➄➅➆➇➈", "123456789", strict=True)),
    **dict(zip("➊➋➌➍➎➏➐➑➒", "123456789", strict=True)),
    **dict(zip("⒈⒉⒊⒋⒌⒍⒎⒏⒐", "123456789", strict=True)),
    **dict(zip("⑴⑵⑶⑷⑸⑹⑺⑻⑼", "123456789", strict=True)),
    **dict(zip("㈠㈡㈢㈣㈤㈥㈦㈧㈨", "一二三四五六七八九", strict=True)),
    **dict(zip(map(chr, range(0x1F150, 0x1F16A)), "abcdefghijklmnopqrstuvwxyz", strict=True)),
    **dict(zip(map(chr, range(0x1F170, 0x1F18A)), "abcdefghijklmnopqrstuvwxyz", strict=True)),
    "⓿": "0",
    "〇": "0",
    "➕": "+",
    "✚": "+",
    "✛": "+",
    "🞢": "+",
    "﹢": "+",
    "Ⅴ": "v",
    "ⅴ": "v",
    "✓": "v",
    "✔": "v",
    "嶶": "微",
    "徴": "微",
    "溦": "微",
    "\u3000": " ",
    "…": ".",
}

# Parts that are written for one character. The first part is a radical that does not stand alone in ordinary
# text, or the pair as a whole is no word.
_SPLIT: Final = {
    "力卩": "加", "力口": "加", "亻言": "信", "亻弋": "代", "亻乍": "作", "亻也": "他", "亻尔": "你", "亻故": "做",
    "亻介": "价", "亻吏": "使", "亻牛": "件", "亻寸": "付", "亻叚": "假", "亻昔": "借", "亻專": "传", "亻专": "传",
    "亻夋": "俊", "亻本": "体", "亻氐": "低", "讠正": "证", "讠己": "记", "讠人": "认", "讠只": "识", "讠仑": "论",
    "讠寸": "讨", "讠兑": "说", "讠舌": "话", "讠青": "请", "讠果": "课", "讠平": "评", "讠吾": "语", "讠义": "议",
    "讠乍": "诈", "讠扁": "骗", "言兑": "说", "言仑": "论", "言舌": "话",
    "扌丁": "打", "扌戈": "找", "扌非": "排", "扌召": "招", "扌矣": "挨", "扌巴": "把", "扌安": "按", "扌旦": "担",
    "氵去": "法", "氵每": "海", "氵主": "注", "氵舌": "活", "氵肖": "消", "氵先": "洗", "氵兄": "况", "忄青": "情",
    "忄每": "悔", "忄夬": "快", "犭句": "狗", "犭者": "猪", "犭苗": "猫", "钅戋": "钱", "钅艮": "银", "钅肖": "销",
    "金戋": "钱", "金艮": "银", "钅昔": "错", "饣反": "饭", "饣官": "馆", "纟吉": "结", "纟合": "给", "纟及": "级",
    "纟责": "绩", "纟勺": "约", "纟且": "组", "阝车": "阵", "贝兼": "赚", "贝者": "赌", "贝戋": "贱",
    "贝戈": "贼",
    "弓长": "张", "禾火": "秋", "禾只": "积", "禾兑": "税", "米青": "精", "月殳": "股",
    "犭艮": "狠", "疒丙": "病", "尸巴": "屁", "尸比": "屁", "艹早": "草", "艹化": "花", "廴聿": "建",
    "辶文": "这", "辶力": "边", "辶关": "送", "辶云": "运", "辶不": "还", "辶井": "进",
}  # fmt: skip

_WEI: Final = "微薇徽威葳维唯v"
_XIN: Final = "信芯伈心新欣❤♥"
_SEP: Final = r"[\s.·*_\-|/~^]{0,2}"
_ADD: Final = r"(?:加|\+|佳|伽|茄|咖|嘉|家|枷|jia)"

# Lead-in words: pattern (on folded text) -> what was meant. Order matters.
_LEADS: Final = (
    (rf"(?<![a-z])w{_SEP}e{_SEP}i{_SEP}x{_SEP}i{_SEP}n(?![a-z])", "微信"),
    (rf"(?<![a-z])wei{_SEP}[信芯❤♥]", "微信"),
    (rf"[薇徽葳]{_SEP}(?:[{_XIN}]|xin)", "微信"),
    (r"微(?:[芯伈❤♥]|xin)", "微信"),
    (rf"(?<![a-z0-9]){_ADD}{_SEP}(?:我|下|个|老师|客服|助理|导师)?{_SEP}[{_WEI}]{_SEP}(?:[{_XIN}]|xin|x(?![a-z]))", "加微信"),
    (rf"(?<![a-z0-9]){_ADD}{_SEP}(?:我|下|个|老师|客服|助理|导师)?{_SEP}(?:wx|vx|wei|v|薇|徽|葳)(?![a-z0-9])", "加微信"),
    (rf"(?<![a-z])[wv](?:{_SEP}|[❤♥])x(?![a-z])|(?<![a-z])v[❤♥](?![a-z])", "微信"),
    (rf"(?:(?<![增参更附施外添追叠])加|(?<=\s)[佳嘉]|\+|^[佳嘉]){_SEP}(?:薇|葳|徽(?!章)|微(?![信博观波小风妙弱调软型积薄])|威(?![信胁力严慑望海武]))", "加微信"),
    (r"(?<![a-z])v[信芯]", "微信"),
    (rf"(?<![a-z0-9])(?:佳|伽|茄|枷|jia)(?={_SEP}(?:微信|qq|扣|群|我))", "加"),
    (r"[扣叩蔻][扣叩蔻]|(?<![a-z])kou ?kou(?![a-z])|企鹅(?=号|群)", "qq"),
    (rf"(?<![a-z])q{_SEP}q(?![a-z])", "qq"),
    (r"(?<![a-z])q(?:裙|君羊)", "qq群"),
    (r"(?<=[加进入])(?:裙|君羊)", "群"),
    (r"女表(?=子|[^\w]|$)", "婊"),
    (r"(?<![a-z])dai ?xie(?![a-z])|[代带戴黛]冩", "代写"),
    (r"(?<![a-z])dai ?kuan(?![a-z])", "贷款"),
    (r"(?<![a-z])jian ?zhi(?![a-z])", "兼职"),
    (r"(?<![a-z])shua ?dan(?![a-z])", "刷单"),
    (r"(?<![a-z])lun ?wen(?![a-z])", "论文"),
    (r"(?<![a-z])si ?(?:liao|xin)(?![a-z])", "私聊"),
    (r"(?<![a-z])fan ?li(?![a-z])", "返利"),
    (r"(?<![a-z])fa ?piao(?![a-z])", "发票"),
    (r"(?<![a-z])ri ?jie(?![a-z])", "日结"),
    (r"(?<![a-z])sao ?ma(?![a-z])", "扫码"),
    (r"(?<![a-z])hong ?bao(?![a-z])", "红包"),
    (r"(?<![a-z])bao ?guo(?![a-z])", "包过"),
    (r"(?<![a-z])jia ?qun(?![a-z])", "加群"),
    (r"(?<![a-z])sha ?bi(?![a-z])|傻[bx×](?![a-z])|(?<![a-z])煞b(?![a-z])", "傻逼"),
    (r"(?<![a-z])nao ?can(?![a-z])", "脑残"),
    (r"(?<![a-z])la ?ji(?![a-z])", "垃圾"),
    (r"(?<![a-z])fei ?wu(?![a-z])", "废物"),
    (r"(?<![a-z])gun ?dan(?![a-z])", "滚蛋"),
    (r"(?<![a-z])qu ?si(?![a-z])", "去死"),
)  # fmt: skip

_SYLLABLE: Final = (
    r"(?:[bpmf]?(?:ai|ang|an|ao|a|eng|ei|en|ian|iao|ing|in|ie|iu|i|ou|o|u)|"
    r"[dtnlgkhrzcs]h?(?:ai|ang|an|ao|a|eng|ei|en|e|ong|ou|uang|uai|uan|ui|un|uo|ua|u|iang|ian|iao|ing|in|ie|iu|i|ve|v)|"
    r"[jqx](?:iang|iong|ian|iao|ing|in|ia|ie|iu|i|uan|ue|un|u)|"
    r"[yw](?:ang|an|ao|ai|a|eng|en|ei|e|ing|in|i|ong|ou|o|uan|ue|un|u))"
)
_BRACKETED: Final = re.compile(rf"(?<=[㐀-鿿])[(\[{{]\s?(?=[a-z]{{2,6}}\s?[)\]}}]){_SYLLABLE}\s?[)\]}}]")

_LEAD_CHARS: Final = "abcdefghijklmnopqrstuvwxyz薇徽葳芯伈扣叩蔻裙❤♥佳伽茄枷冩鹅女君威微×"
# With what a lead-in word begins: the search looks at these places alone.
_LEAD_HEADS: Final = r"(?=[wvqkjdslfhbrgn傻煞加+佳伽茄咖嘉家枷薇徽葳微扣叩蔻企裙君女代带戴黛(\[{])"


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
    for char, plain in _LOOKALIKES.items():
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
    for char in _FILLERS:
        if char not in _NO_FILLERS:
            kind[ord(char)] |= _FILL
    kind[0x2190:0x2C00] |= _FILL  # arrows, shapes, dingbats
    kind[0x1F000:0x1FB00] |= _FILL  # emoji
    kind[0xFFFD] |= _FILL
    for char in _LEAD_CHARS:
        kind[ord(char)] |= _LEAD
    for pair in _SPLIT:
        kind[ord(pair[0])] |= _PAIR
    for written in sounds():
        kind[ord(written[0])] |= _SOUND


# --- the fast way ----------------------------------------------------------------------------------


def normalise_batch(texts: Sequence[str]) -> Batch:
    """Normalise many texts at once; a row does not depend on its neighbours.

    Args:
        texts: any strings, lone surrogates and NUL included.
    """
    codes, starts, bounds = _join(texts)
    codes, starts, ends = _clean(codes, starts, starts + 1)
    bounds = _bounds(codes)
    slow = _triggered(codes, bounds)
    if len(slow):
        codes, starts, ends = _splice(codes, starts, ends, bounds, slow)
        bounds = _bounds(codes)
    return Batch(codes, starts, ends, bounds)


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
    gaps = _gaps(folded)
    if gaps is not None:
        folded, starts, ends = folded[gaps], starts[gaps], ends[gaps]
    return _by_sound(folded), starts, ends


def _by_sound(codes: Codes) -> Codes:
    """Write the word that is meant where a pair of characters only sounds like it; the length stays."""
    written, meant = _sound_pairs()
    places = np.flatnonzero((tables().kind[codes] & _SOUND) != 0)
    places = places[places + 1 < len(codes)]
    keys = _keys(codes, places)
    at = np.minimum(np.searchsorted(written, keys), len(written) - 1)
    hits = np.flatnonzero(written[at] == keys)
    if not len(hits):
        return codes
    out = codes.copy()
    out[places[hits]], out[places[hits] + 1] = meant[at[hits]].T
    return out


@lru_cache(maxsize=1)
def _sound_pairs() -> tuple[npt.NDArray[np.int64], Codes]:
    """Return the pairs as ascending numbers (see ``_keys``), and for each the two codes that are meant."""
    rows = sorted(((ord(w[0]) << 32) | ord(w[1]), ord(m[0]), ord(m[1])) for w, m in sounds().items())
    return (
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1:] for row in rows], dtype=np.uint32),
    )


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
    words = {*sounds(), *sounds().values()}
    return np.array(sorted((ord(word[0]) << 32) | ord(word[1]) for word in words), dtype=np.int64)


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
    leads = [row for row in asked.tolist() if _any_lead().search(_slice(codes, bounds, row))]
    return np.unique(np.concatenate((rows[sure], np.array(leads, dtype=np.int64))))


def _keys(codes: Codes, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return one number for each code at ``places`` and the next one (a row always ends in ``BREAK``)."""
    return (codes[places].astype(np.int64) << 32) | codes[places + 1]


@lru_cache(maxsize=1)
def _split_keys() -> npt.NDArray[np.int64]:
    return np.array(sorted((ord(pair[0]) << 32) | ord(pair[1]) for pair in _SPLIT), dtype=np.int64)


def _slice(codes: Codes, bounds: npt.NDArray[np.int64], row: int) -> str:
    return _decode(codes[bounds[row] : bounds[row + 1] - 1])


# --- the slow way ----------------------------------------------------------------------------------


def _splice(
    codes: Codes, starts: Index, ends: Index, bounds: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[Codes, Index, Index]:
    """Mend the named rows and put them back between the others."""
    pieces: list[tuple[Codes, Index, Index]] = []
    done = 0
    for row in rows.tolist():
        low, high = int(bounds[row]), int(bounds[row + 1]) - 1
        pieces.append((codes[done:low], starts[done:low], ends[done:low]))
        pieces.append(_mend(_decode(codes[low:high]), starts[low:high], ends[low:high]))
        done = high
    pieces.append((codes[done:], starts[done:], ends[done:]))
    return (
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate([piece[1] for piece in pieces]),
        np.concatenate([piece[2] for piece in pieces]),
    )


Rule = tuple[re.Pattern[str], str]


@lru_cache(maxsize=1)
def _rules() -> tuple[Rule, ...]:
    """Return the rules in order; an empty meaning for the split characters, which have one each."""
    leads = tuple((re.compile(pattern), meant) for pattern, meant in _LEADS)
    return (*leads, (_BRACKETED, ""))


@lru_cache(maxsize=1)
def _any_split() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _SPLIT)))


@lru_cache(maxsize=1)
def _any_lead() -> re.Pattern[str]:
    leads = "|".join(f"(?:{pattern})" for pattern, _ in _LEADS)
    return re.compile(f"{_LEAD_HEADS}(?:{leads}|{_BRACKETED.pattern})")


def _mend(text: str, starts: Index, ends: Index) -> tuple[Codes, Index, Index]:
    """Apply every rule until nothing changes any more."""
    for _ in range(_MAX_ROUNDS):
        before = text
        text, starts, ends = _expand(text, starts, ends)
        text, starts, ends = _replace(_any_split(), _SPLIT, text, starts, ends)
        if _any_lead().search(text):
            for pattern, meant in _rules():
                text, starts, ends = _replace(pattern, meant, text, starts, ends)
        if text == before:
            break
        codes, starts, ends = _clean(_encode(text), starts, ends)
        text = _decode(codes)
    return _encode(text), starts, ends


def _replace(
    pattern: re.Pattern[str], meant: str | Mapping[str, str], text: str, starts: Index, ends: Index
) -> tuple[str, Index, Index]:
    """Write what is meant for each match; every new character stands for the whole match."""
    words: list[str] = []
    firsts: list[Index] = []
    lasts: list[Index] = []
    done = 0
    for match in pattern.finditer(text):
        low, high = match.span()
        word = meant if isinstance(meant, str) else meant[match[0]]
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
