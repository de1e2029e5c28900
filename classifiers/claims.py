"""Match posts to claims of the knowledge base: how alike the words are, and what forbids to call them the same.

Likeness is lexical: TF-IDF cosine of hashed character 2- and 3-grams (weights from the claims themselves), how much
of the claim the post contains, the longest common subsequence of characters, and how many of the claim's concepts
(:mod:`classifiers._concepts`) the post speaks of in whatever words. The score is a calibrated blend, in [0, 1]. Two
bands: ``suggest`` is worth a look by a person, ``same`` may carry the claim's clarification along. Whatever the score,
a match is never ``same`` when the two differ in what a retelling may not change (:mod:`classifiers._facts`): a
rumour's mutations differ in exactly that.

Limits: a claim told in words that no table knows stays in ``suggest`` or is missed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from classifiers._concepts import concepts, count
from classifiers._facts import Facts, differences, focus, marks
from classifiers._features import BITS, cut, grams
from classifiers._text import normalise_all, normalise_batch
from monitor.core.ports import Likeness

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SUGGEST_FROM: Final = 0.15
SAME_FROM: Final = 0.90

# Fitted by corpora/claims/fit_bands.py on half of the claims there: cosine, contained, concepts, order, missing -> log odds.
_OFFSET: Final = 0.1
_SLOPES: Final = np.array([1.0, 0.5, 5.93, 0.15, -6.27, -2.2], dtype=np.float32)
# For what of a claim no concept is known: cosine, contained and order alone.
_WORDS: Final = np.array([0.5, 0.2, 0.0, 0.3, -0.1, 0.0], dtype=np.float32)
_WORDS_OFFSET: Final = -6.4
_WORDS_SLOPE: Final = 15.6
_KNOWN: Final = (0.33, 0.5)
_FEWEST: Final = 2  # words of a claim that concepts may judge
_BRIEF: Final = 60  # characters: in a longer post the words of a claim stand apart
_ROUGH: Final = np.array([0.6, 0.4], dtype=np.float32)
_SPOKEN: Final = 0.5

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
        self._words = [_content(text) for text in self._texts]
        self._known = np.array(
            [_known(words, facts) for words, facts in zip(self._words, self._facts, strict=True)],
            dtype=np.float32,
        )
        binary = _matrix(self._texts)
        self._weights = _rarity(binary, self._ids)
        self._index = _weighted(binary, self._weights)
        self._norms = _norms(self._index)
        said = _spoken_of(self._texts)
        self._concept_weights = _rarity(said, self._ids)
        self._concepts = _weighted(said, self._concept_weights, spare=False)
        self._about = np.asarray(self._concepts.sum(axis=1), dtype=np.float32).ravel()

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
        chosen = slice(first, first + len(posts))
        shared = np.asarray(rows.multiply(self._index[chosen]).sum(axis=1), dtype=np.float32).ravel()
        spoken = np.asarray(
            _spoken_of(posts).multiply(self._concepts[chosen]).sum(axis=1), dtype=np.float32
        ).ravel()
        like = self._like(shared, spoken, _norms(rows), chosen)
        return [
            self._judge(post, first + at, self._score(post, first + at, like[at]))
            for at, post in enumerate(posts)
        ]

    def _chunk(self, posts: Sequence[str], limit: int, lowest: float) -> list[list[Match]]:
        if not self._ids:
            return [[] for _ in posts]
        rows = _weighted(_matrix(posts), self._weights)
        shared = (rows @ self._index.T).toarray()
        spoken = (_spoken_of(posts) @ self._concepts.T).toarray()
        norms = _norms(rows)
        return [
            self._best(post, self._like(shared[at], spoken[at], norms[at], slice(None)), limit, lowest)
            for at, post in enumerate(posts)
        ]

    def _like(self, shared: Scores, spoken: Scores, norms: Scores | np.float32, claims: slice) -> Scores:
        """Return pairs x (cosine, share of the lighter that both hold, share of the claim's concepts)."""
        theirs = self._norms[claims]
        cosine = shared / np.maximum(norms * theirs, 1e-6)
        contained = shared / np.maximum(np.minimum(norms, theirs) ** 2, 1e-6)
        about = self._about[claims]
        covered = np.where(about > 0, spoken / np.maximum(about, 1e-6), contained)
        return np.column_stack((cosine, contained, covered)).astype(np.float32)

    def _best(self, post: str, like: Scores, limit: int, lowest: float) -> list[Match]:
        rough = like[:, :2] @ _ROUGH
        in_any_words = rough + _SPOKEN * self._known * like[:, 2]
        order = _first(rough, _CANDIDATES) | _first(in_any_words, _CANDIDATES)
        scored = [(self._score(post, int(n), like[n]), int(n)) for n in sorted(order) if in_any_words[n] > 0]
        fits = sorted((pair for pair in scored if pair[0] >= lowest), key=lambda pair: (-pair[0], pair[1]))
        best: dict[str | int, Match] = {}
        for score, number in fits:
            best.setdefault(self._ids[number], self._judge(post, number, score))
        return list(best.values())[:limit]

    def _score(self, post: str, number: int, like: Scores) -> float:
        near = self._closely(post, number, like)
        known = float(self._known[number]) * min(1.0, _BRIEF / max(1, len(post)))
        in_words = _WORDS_OFFSET + _WORDS_SLOPE * float(near @ _WORDS)
        logit = known * (_OFFSET + float(near @ _SLOPES)) + (1 - known) * in_words
        return round(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit)))), 4)

    def _closely(self, post: str, number: int, like: Scores) -> Scores:
        """Return what the blend looks at: likeness, order, and how much of the claim the post says in no way at all."""
        ordered = in_order(post[:_LONGEST], self._texts[number][:_LONGEST])
        missing, most = _missing(post, self._words[number])
        return np.array([*like, ordered, missing, most], dtype=np.float32)

    def _judge(self, post: str, number: int, score: float) -> Match:
        about = focus(post, self._texts[number])
        differs = differences(Facts.of(about), self._facts[number], Facts.of(post))
        band = "same" if score >= SAME_FROM and not differs else "suggest"
        return Match(self._ids[number], score, band, differs if score >= SAME_FROM else ())


class KnownClaims:
    """Matches posts to the claims of the store (:class:`monitor.core.ports.ClaimMatching`); keeps the last index."""

    def __init__(self) -> None:
        self._claims: tuple[tuple[int, str], ...] = ()
        self._matcher = Matcher([])

    def match(self, texts: Sequence[str], claims: Sequence[tuple[int, str]]) -> list[Likeness | None]:
        """Return the likeliest claim for each text, or None."""
        if tuple(claims) != self._claims:
            self._claims = tuple(claims)
            self._matcher = Matcher([Reference(number, statement) for number, statement in claims])
        found = self._matcher.match(texts, 1)
        return [
            Likeness(int(row[0].claim_id), row[0].score, row[0].band == "same") if row else None
            for row in found
        ]


def _first(values: Scores, most: int) -> set[int]:
    """Return the places of the highest values, the earlier of equals."""
    return set(np.lexsort((np.arange(len(values)), -values))[:most].tolist())


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


# Words that a retelling leaves out or changes freely; numbers and dates are compared by their values.
_EMPTY: Final = frozenset(
    [
        "学校",
        "今年",
        "明年",
        "下月",
        "下周",
        "下个",
        "下学期",
        "学期",
        "年底",
        "年终",
        "每月",
        "每年",
        "要求",
        "必须",
        "可能",
        "已经",
        "全部",
        "一律",
        "集体",
        "进行",
        "开始",
        "以后",
        "之后",
        "有人",
        "我们",
        "他们",
        "大家",
        "不再",
        "没有",
        "发生",
        "这个",
        "那个",
        "因为",
        "所以",
        "如果",
        "其",
        "会",
        "要",
        "将",
        "被",
        "把",
        "从",
        "起",
        "的",
        "了",
        "在",
        "是",
        "按",
        "到",
        "给",
        "和",
        "与",
        "及",
        "用",
        "才",
        "只",
        "都",
        "也",
        "还",
        "就",
        "又",
        "不",
        "没",
        "致",
        "后",
        "有",
        "再",
        "让",
        "对",
        "由",
        "为",
        "所",
        "月",
        "年",
        "日",
        "三人",
        "三名",
        "两名",
    ]
)


def _content(text: str) -> tuple[tuple[str, frozenset[int]], ...]:
    """Return the words of a claim that a retelling has to say somehow, each with its concepts."""
    words = dict.fromkeys(word for word in cut(text) if word.isalpha() and not _NUMERAL.search(word))
    return tuple((word, _meant(word)) for word in words if word not in _EMPTY)


def _meant(text: str) -> frozenset[int]:
    """Return what a text speaks of: its concepts, the ways things go and what they happen to."""
    return concepts(text) | frozenset(-1 - mark for mark in marks(text))


def _known(words: Sequence[tuple[str, frozenset[int]]], facts: Facts) -> float:
    """Return how far the concepts may judge a claim: not below a third of its words (by length), fully from a half.

    A claim of a word or two is in nearly every long post.
    """
    if len(words) + len(facts.numbers) + len(facts.dates) < _FEWEST:
        return 0.0
    whole = sum(len(word) for word, _meant in words)
    share = sum(len(word) for word, meant in words if meant) / whole if whole else 0.0
    return min(1.0, max(0.0, (share - _KNOWN[0]) / (_KNOWN[1] - _KNOWN[0])))


_NUMERAL: Final = re.compile(r"[0-9零一二两三四五六七八九十百千万]|^[a-z]$")


def _missing(post: str, words: Sequence[tuple[str, frozenset[int]]]) -> tuple[float, float]:
    """Return which share of the words (by length) a post says in no way, and whether the longest of them is a long one."""
    if not words:
        return 0.0, 0.0
    said = _meant(post)
    lost = [
        len(word)
        for word, meant in words
        if word not in post and not meant & said and not set(word) <= set(post)
    ]
    return sum(lost) / sum(len(word) for word, _meant in words), min(max(lost, default=0), 3) / 3


def _spoken_of(texts: Sequence[str]) -> csr_matrix:
    """Return texts x concepts with a one where a text speaks of a concept."""
    from scipy.sparse import csr_matrix

    found = [sorted(concepts(text)) for text in texts]
    pointer = np.concatenate(([0], np.cumsum([len(one) for one in found]))).astype(np.int64)
    places = np.fromiter((number for one in found for number in one), dtype=np.int64, count=int(pointer[-1]))
    ones = np.ones(len(places), dtype=np.float32)
    return csr_matrix((ones, places, pointer), shape=(len(texts), count()))


def _rarity(binary: csr_matrix, ids: Sequence[str | int]) -> Scores:
    """Weigh each n-gram by how few claims hold it; other wordings of one claim count once."""
    from scipy.sparse import csr_matrix

    distinct, owner = np.unique(np.array(ids, dtype=object).astype(str), return_inverse=True)
    ones = np.ones(len(ids), dtype=np.float32)
    owners = csr_matrix((ones, (owner, np.arange(len(ids)))), shape=(len(distinct), len(ids)))
    seen = np.asarray(((owners @ binary) > 0).sum(axis=0), dtype=np.float32).ravel()
    rarity: Scores = np.log((len(distinct) + 1.0) / (seen + 0.5)).clip(0.05).astype(np.float32)
    return rarity


def _weighted(binary: csr_matrix, weights: Scores, spare: bool = True) -> Any:
    binary.data = weights[binary.indices]
    if spare:  # bucket 0 collects what reaches beyond a row
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
