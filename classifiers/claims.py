"""Match posts to claims of the knowledge base: how alike the words are, and what forbids to call them the same.

Likeness is lexical: TF-IDF cosine of hashed character 2- and 3-grams (weights from the claims themselves), how much
of the claim the post contains, and the longest common subsequence of characters. The score is this blend, in
[0, 1]; it is no probability. Two bands: ``suggest`` is worth a look by a person, ``same`` may carry the claim's
clarification along. Whatever the score, a match is never ``same`` when the two differ in numbers, dates, negation
or in opposite words (涨/降): a rumour's mutations differ in exactly that.

Limits: a claim told in other words is missed (no meaning is understood); the score hardly tells whether any claim
fits at all, so most true matches stay in ``suggest``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from classifiers._features import BITS, grams
from classifiers._text import normalise_all, normalise_batch

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SUGGEST_FROM: Final = 0.30
SAME_FROM: Final = 0.55

_ORDERS: Final = (2, 3)
_CHUNK: Final = 256
_CANDIDATES: Final = 12  # of each post, compared closely
_LONGEST: Final = 400  # characters of a text that are compared in order

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reference:
    """A claim of the knowledge base: only ``statement`` is matched, or ``clarification`` where there is none.

    Several may share an ``id``: other wordings, such as posts that a person has put under the claim.
    """

    id: str | int
    statement: str
    verdict: str = ""
    clarification: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A claim that fits a post.

    Attributes:
        claim_id: the claim.
        score: likeness in [0, 1].
        band: ``same`` or ``suggest``.
        differs: what kept it out of ``same``: ``number``, ``date``, ``negation``, ``opposite``.
    """

    claim_id: str | int
    score: float
    band: str
    differs: tuple[str, ...] = ()


class Matcher:
    """An index over claims; building it takes about 1 s for 10,000, after that it does not change."""

    def __init__(self, claims: Sequence[Reference]) -> None:
        """Build the index."""
        self._ids = [claim.id for claim in claims]
        self._texts = [
            _plain(text) for text in normalise_all([c.statement or c.clarification for c in claims])
        ]
        self._facts = [Facts.of(text) for text in self._texts]
        binary = _matrix(self._texts)
        self._weights = _rarity(binary, self._ids)
        self._index = _weighted(binary, self._weights)
        self._norms = _norms(self._index)

    def match(self, texts: Sequence[str], limit: int = 3, lowest: float = SUGGEST_FROM) -> list[list[Match]]:
        """Return up to ``limit`` different claims for each text, best first; none when nothing fits.

        The result of a text does not depend on its neighbours.

        Args:
            texts: posts.
            limit: how many claims at most.
            lowest: the score from which a claim fits.
        """
        out: list[list[Match]] = []
        for at in range(0, len(texts), _CHUNK):
            posts = [_plain(text) for text in normalise_all(texts[at : at + _CHUNK])]
            out += self._chunk(posts, limit, lowest)
        return out

    def judged(self, texts: Sequence[str], first: int) -> list[Match]:
        """Judge each text against one claim: the first against claim number ``first``, and so on."""
        posts = [_plain(text) for text in normalise_all(texts)]
        rows = _weighted(_matrix(posts), self._weights)
        claims = self._index[first : first + len(posts)]
        shared = np.asarray(rows.multiply(claims).sum(axis=1), dtype=np.float32).ravel()
        one, other = _norms(rows), self._norms[first : first + len(posts)]
        cosine = shared / np.maximum(one * other, 1e-6)
        contained = shared / np.maximum(np.minimum(one, other) ** 2, 1e-6)
        return [
            self._judge(
                post, first + at, self._score(post, first + at, float(cosine[at]), float(contained[at]))
            )
            for at, post in enumerate(posts)
        ]

    def _chunk(self, posts: Sequence[str], limit: int, lowest: float) -> list[list[Match]]:
        if not self._ids:
            return [[] for _ in posts]
        rows = _weighted(_matrix(posts), self._weights)
        shared = (rows @ self._index.T).toarray()
        norms = _norms(rows)
        return [
            self._best(post, shared[at], float(norms[at]), limit, lowest) for at, post in enumerate(posts)
        ]

    def _best(self, post: str, shared: Scores, norm: float, limit: int, lowest: float) -> list[Match]:
        cosine = shared / np.maximum(norm * self._norms, 1e-6)
        contained = shared / np.maximum(np.minimum(norm, self._norms) ** 2, 1e-6)
        rough = 0.6 * cosine + 0.4 * contained
        order = np.lexsort((np.arange(len(rough)), -rough))[:_CANDIDATES]
        scored = [
            (self._score(post, int(n), float(cosine[n]), float(contained[n])), int(n))
            for n in order
            if rough[n] > 0
        ]
        fits = sorted((pair for pair in scored if pair[0] >= lowest), key=lambda pair: (-pair[0], pair[1]))
        best: dict[str | int, Match] = {}
        for score, number in fits:
            best.setdefault(self._ids[number], self._judge(post, number, score))
        return list(best.values())[:limit]

    def _score(self, post: str, number: int, cosine: float, contained: float) -> float:
        ordered = in_order(post[:_LONGEST], self._texts[number][:_LONGEST])
        return round(min(1.0, 0.5 * cosine + 0.2 * contained + 0.3 * ordered), 4)

    def _judge(self, post: str, number: int, score: float) -> Match:
        differs = differences(Facts.of(focus(post, self._texts[number])), self._facts[number])
        band = "same" if score >= SAME_FROM and not differs else "suggest"
        return Match(self._ids[number], score, band, differs if score >= SAME_FROM else ())


def pair_scores(ones: Sequence[str], others: Sequence[str]) -> list[Match]:
    """Judge pairs of texts as post and claim; rare n-grams are those that few of ``others`` hold (for measuring)."""
    matcher = Matcher([Reference(number, other) for number, other in enumerate(others)])
    return [
        match for at in range(0, len(ones), _CHUNK) for match in matcher.judged(ones[at : at + _CHUNK], at)
    ]


# --- likeness --------------------------------------------------------------------------------------

# Words around a claim that are no part of it.
_FRAME: Final = re.compile(
    r"听说|据说|听讲|听人说|网传|群里传|内部消息|小道消息|速转|快转|转发|扩散|紧急通知|求证|求辟谣|请问|有没有人知道|有人知道吗|有谁知道|"
    r"是不是真的|是真的吗|真的假的|真的吗|真假|这是真的|属实吗|可信吗|吗(?=[\s?!.,。]|$)|呢(?=[\s?!.,。]|$)|\[[^\]]{1,6}\]|【|】|#"
)


def _plain(normalised: str) -> str:
    return _FRAME.sub(" ", normalised).strip()


def _matrix(texts: Sequence[str]) -> csr_matrix:
    return grams(normalise_batch(texts), BITS, _ORDERS).matrix()


def _rarity(binary: csr_matrix, ids: Sequence[str | int]) -> Scores:
    """Weigh each n-gram by how few claims hold it; other wordings of one claim count once."""
    from scipy.sparse import csr_matrix

    distinct, owner = np.unique(np.array(ids, dtype=object).astype(str), return_inverse=True)
    ones = np.ones(len(ids), dtype=np.float32)
    owners = csr_matrix((ones, (owner, np.arange(len(ids)))), shape=(len(distinct), len(ids)))
    seen = np.asarray(((owners @ binary) > 0).sum(axis=0), dtype=np.float32).ravel()
    rarity: Scores = np.log((len(distinct) + 1.0) / (seen + 0.5)).clip(0.05).astype(np.float32)
    return rarity


def _weighted(binary: csr_matrix, weights: Scores) -> Any:
    binary.data = weights[binary.indices]
    # Bucket 0 collects what reaches beyond a row.
    binary.data[binary.indices == 0] = 0.0
    return binary


def _norms(matrix: Any) -> Scores:
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float32)).ravel()


def in_order(one: str, other: str) -> float:
    """Return the longest common subsequence over the shorter length, in [0, 1] (bit-parallel, Hyyrö 2004).

    Signs and blanks do not count.
    """
    one, other = ("".join(filter(str.isalnum, text)) for text in (one, other))
    if not one or not other:
        return 0.0
    places: dict[str, int] = {}
    for at, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full
    for char in other:
        hits = row & places.get(char, 0)
        row = ((row + hits) | (row - hits)) & full
    return (len(one) - row.bit_count()) / min(len(one), len(other))


# --- what forbids "same" ---------------------------------------------------------------------------

_CLAUSE: Final = re.compile(r"[。!?;！？；，\n]|\.(?!\d)|,(?!\d)|\s{2,}")
_DIGITS: Final = {char: at for at, char in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_TENS: Final = {"十": 10, "百": 100, "千": 1000}
_UNITS: Final = "成|折|%|倍|元|块|年|月|日|号|周|天|小时|点|人|例|岁|次|楼|级|篇|个|名|期"
_NUMBER: Final = re.compile(
    rf"(?P<arabic>\d+(?:\.\d+)?)\s*(?P<scale>[万亿千])?\s*(?P<unit>{_UNITS})?|"
    rf"(?P<chinese>[零〇一二两三四五六七八九十百千]+)(?P<chinese_scale>[万亿])?(?P<chinese_unit>{_UNITS})|(?P<half>一半|对半|减半|半数)"
)
_SCALES: Final = {"万": 1e4, "亿": 1e8, "千": 1e3, None: 1.0}
_DATE_UNITS: Final = frozenset("年月日号")
_SHARES: Final = {"成": 0.1, "折": 0.1, "%": 0.01}
_DAYS: Final = re.compile(
    r"今天|明天|后天|昨天|今晚|明晚|下周|本周|这周|上周|下月|本月|上月|明年|今年|去年|春节|国庆|寒假|暑假|下学期|本学期"
)
_WEEKDAYS: Final = re.compile(r"(?:周|星期|礼拜)[一二三四五六日天]")

_NO_NEGATION: Final = re.compile(
    r"是不是|有没有|能不能|会不会|要不要|可不可以|不知道|不会吧|不能吧|不少|不仅|不但|不过|差不多|不得不|不要外传|勿外传|不管|不论|"
    r"(?:绩效|钱|工资)?没了|非升即走|不满|没完|不了解|对不起|不好意思|不是吧"
)
_NEGATION: Final = re.compile(
    r"不|没|未|无(?!锡|线|人机)|并非|勿|别(?!人|的|墅|处)|谣言|辟谣|造谣|假的|假消息|否认|否定"
)

_OPPOSITES: Final = (
    (
        "涨|上涨|上调|提高|提升|增加|增长|增至|加薪|扩大|变多",
        "降|下降|下调|降低|减少|缩减|削减|砍|扣|减薪|缩小|变少",
    ),
    ("取消|停止|停办|停发|叫停|撤销", "恢复|继续|保留|重启|重开|照常|照发"),
    ("提前", "推迟|延后|延期|推后|延迟"),
    ("开放|开通|启用|开门", "关闭|停用|封闭|关门"),
    ("允许|可以", "禁止|不准|不许|严禁"),
    ("安全|无害|有益", "有毒|有害|致癌|危险"),
    ("新增|招聘|扩招", "裁员|裁撤|辞退|缩招"),
    ("免费", "收费"),
    ("强制|必须", "自愿|可选"),
    ("在编|编内", "编外|非在编"),
    ("退休", "在职"),
    ("男", "女"),
)
_OPPOSED: Final = tuple((re.compile(one), re.compile(other)) for one, other in _OPPOSITES)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement commits to and a paraphrase may not change.

    Attributes:
        numbers: (kind, value): shares as fractions, amounts with their scale, dates apart.
        dates: days, months and years as written.
        negated: whether it denies.
        sides: for each pair of opposites that occurs, which side (0 or 1).
    """

    numbers: frozenset[tuple[str, float]]
    dates: frozenset[str]
    negated: bool
    sides: frozenset[tuple[int, int]]

    @staticmethod
    def of(text: str) -> Facts:
        """Read the facts of a normalised text."""
        numbers, dates = _numbers(text)
        days = {found.group() for found in (*_DAYS.finditer(text), *_WEEKDAYS.finditer(text))}
        negations = len(_NEGATION.findall(_NO_NEGATION.sub(" ", text)))
        return Facts(frozenset(numbers), frozenset(dates | days), negations % 2 == 1, frozenset(_sides(text)))


def differences(one: Facts, other: Facts) -> tuple[str, ...]:
    """Return the names of what two statements differ in.

    Numbers and dates that only one of them gives differ too: the vaguer statement is another one.
    """
    found = {
        "number": one.numbers != other.numbers,
        "date": one.dates != other.dates,
        "negation": one.negated != other.negated,
        "opposite": any(
            (pair, 1 - side) in other.sides and (pair, 1 - side) not in one.sides for pair, side in one.sides
        )
        or any(
            (pair, 1 - side) in one.sides and (pair, 1 - side) not in other.sides
            for pair, side in other.sides
        ),
    }
    return tuple(name for name, differs in found.items() if differs)


def focus(post: str, claim: str) -> str:
    """Return the clauses of a post that speak of the claim, so that what stands around does not count."""
    clauses = [clause for clause in _CLAUSE.split(post) if clause.strip()]
    wanted = _pairs(claim)
    about = [clause for clause in clauses if len(_pairs(clause) & wanted) >= 2]
    return " ".join(about or clauses)


def _pairs(text: str) -> set[str]:
    return {one + other for one, other in pairwise(text) if one.isalnum() and other.isalnum()}


def _sides(text: str) -> set[tuple[int, int]]:
    return {
        (number, side)
        for number, pair in enumerate(_OPPOSED)
        for side, words in enumerate(pair)
        if words.search(text)
    }


def _numbers(text: str) -> tuple[set[tuple[str, float]], set[str]]:
    numbers: set[tuple[str, float]] = set()
    dates: set[str] = set()
    for found in _NUMBER.finditer(text):
        if found["half"]:
            numbers.add(("share", 0.5))
            continue
        unit = found["unit"] or found["chinese_unit"] or ""
        value = float(found["arabic"]) if found["arabic"] else _chinese(found["chinese"])
        value *= _SCALES[found["scale"] or found["chinese_scale"]]
        if unit in _DATE_UNITS and unit:
            dates.add(f"{value:g}{'日' if unit == '号' else unit}")
        elif not (found["chinese"] and unit in "个次" and value == 1):
            numbers.add(("share", round(value * _SHARES[unit], 6)) if unit in _SHARES else ("amount", value))
    return numbers, dates


def _chinese(numeral: str) -> float:
    """Read a numeral below ten thousand (三百五 as 305 is read digit by digit: it only has to be itself again)."""
    total, digit = 0, 0
    if not set(numeral) & set(_TENS):
        return float("".join(str(_DIGITS[char]) for char in numeral))
    for char in numeral:
        if char in _TENS:
            total += (digit or 1) * _TENS[char]
            digit = 0
        else:
            digit = _DIGITS[char]
    return float(total + digit)
