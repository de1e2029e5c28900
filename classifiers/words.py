"""Words: segmentation behind one small protocol, key words for the trends screen, terms for the search.

jieba is the reference and supplies dictionary and inverse document frequencies; rjieba is the engine, ten times as
fast and, with unknown-word guessing (HMM) off, equal to jieba (a test holds them so). Every campus word has an
explicit frequency in ``campus.dict.txt``: with guessed ones the two engines differ.

Nothing is loaded before the first use. jieba writes a cache into the system's temporary folder and trusts what it
finds there; here it only ever sees a private folder that is gone when it has loaded.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from monitor.core.search import bigrams

LEXICON: Final = Path(__file__).with_name("campus.dict.txt")

# Hot words are things and doings. Names of persons (nr) are never among them: trends show no persons.
_SHOWN_TAGS: Final = ("n", "nz", "nt", "nl", "ng", "v", "vn", "l", "i", "j", "b", "an", "eng")
_EMPTY_WORDS: Final = (
    "可以 没有 不是 就是 还是 知道 觉得 大家 我们 你们 他们 什么 怎么 这个 那个 现在 今天 明天 昨天 时候 有人 出来 起来 "
    "不能 不要 不用 应该 可能 需要 请问 谢谢 老师 学校 哈哈 哈哈哈 收到 图片 表情 有没有 是不是 能不能 为什么 一下 这样 那样 "
    "已经 开始 继续 看到 听到 听说 想问 说是 事情 东西 地方 问题 感谢 辛苦 麻烦 希望 建议 不会 http https com www"
)


class Segmenter(Protocol):
    """Cuts texts into words.

    Promises: the words joined are the text again (a lone surrogate becomes U+FFFD); same text, same words.
    """

    @property
    def name(self) -> str:
        """Return the engine's name, for a model's manifest."""

    def cut(self, text: str) -> list[str]:
        """Return the words of ``text`` in order, signs and blanks included."""

    def tags(self, text: str) -> list[tuple[str, str]]:
        """Return (word, part of speech) in order."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word that says what a set of posts is about: its weight, and how many of the posts hold it."""

    word: str
    weight: float
    posts: int


@dataclass(frozen=True, slots=True)
class _Jieba:
    tokenizer: Any
    tagger: Any
    name: str = "jieba"

    def cut(self, text: str) -> list[str]:
        return [str(word) for word in self.tokenizer.cut(_clean(text), HMM=False)]

    def tags(self, text: str) -> list[tuple[str, str]]:
        return [(pair.word, pair.flag) for pair in self.tagger.cut(_clean(text), HMM=False)]


@dataclass(frozen=True, slots=True)
class _Rjieba:
    engine: Any
    own: Mapping[str, str]
    name: str = "rjieba"

    def cut(self, text: str) -> list[str]:
        return [str(word) for word in self.engine.cut(_clean(text), hmm=False)]

    def tags(self, text: str) -> list[tuple[str, str]]:
        # The engine keeps its own tag for a word it knew before; ours goes first (its 幼儿园 is a person's name).
        return [
            (str(word), self.own.get(word, str(tag)))
            for word, tag in self.engine.tag(_clean(text), hmm=False)
        ]


@lru_cache(maxsize=1)
def reference() -> Segmenter:
    """Return the reference engine (jieba), loaded once in a process: about 1 s and 100 MB."""
    import jieba
    from jieba import posseg

    logging.getLogger("jieba").setLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory(prefix="huiyin-") as private:
        tokenizer.tmp_dir = private
        tokenizer.initialize()
    for word, frequency, tag in lexicon():
        tokenizer.add_word(word, frequency, tag)
    return _Jieba(tokenizer, posseg.POSTokenizer(tokenizer))


@lru_cache(maxsize=1)
def segmenter() -> Segmenter:
    """Return the engine of every day (rjieba), loaded once in a process: about 0.1 s and 50 MB."""
    import rjieba

    engine = rjieba.Jieba()
    for word, frequency, tag in lexicon():
        engine.add_word(word, frequency, tag)
    return _Rjieba(engine, {word: tag for word, _, tag in lexicon()})


def lexicon(path: Path = LEXICON) -> list[tuple[str, int, str]]:
    """Read the campus words: one ``word frequency tag`` a line."""
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [(word, int(frequency), tag) for word, frequency, tag in rows]


def lexicon_hash() -> str:
    """Return what a model that depends on words notes down: the first 12 digits of the lexicon's SHA-256."""
    return sha256(LEXICON.read_bytes()).hexdigest()[:12]


def search_terms(text: str) -> list[str]:
    """Return the terms a text is found by (see :func:`monitor.core.search.bigrams`)."""
    return bigrams(text)


def keywords(texts: Sequence[str], k: int = 20, method: str = "tfidf") -> list[Keyword]:
    """Return up to ``k`` words that say most about ``texts``, weightiest first.

    A word counts once for each post, so that one long or repetitive post does not fill the list.

    Args:
        texts: texts of posts; a few thousand take about a second.
        k: how many words at most.
        method: ``tfidf``, or ``textrank``, which prefers words that stand with many others.
    """
    tagged = [_content(text) for text in texts]
    extract = _extractor(method)
    extract.tokenizer = extract.postokenizer = _Prepared(tagged)
    extract.stop_words = extract.stop_words | set(_EMPTY_WORDS.split())
    found = extract.extract_tags("", topK=k, withWeight=True, allowPOS=_SHOWN_TAGS)
    held = {word: sum(any(pair.word == word for pair in pairs) for pairs in tagged) for word, _ in found}
    return [Keyword(word, round(float(weight), 6), held[word]) for word, weight in found]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A tagged word as jieba's extractors expect it; equal to another by its word."""

    word: str
    flag: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Stands where jieba's extractors call their tokenizer: hands out words that are cut already."""

    texts: Sequence[Sequence[_Pair]]

    def cut(self, _sentence: str) -> Iterator[_Pair]:
        for pairs in self.texts:
            yield from pairs


def _content(text: str) -> list[_Pair]:
    """Return each word of a post once, in order."""
    seen = dict.fromkeys(segmenter().tags(text))
    return [_Pair(word, tag) for word, tag in seen if len(word) > 1 and not word.isdigit()]


def _extractor(method: str) -> Any:
    """Return a copy of jieba's extractor of that name, free to be changed; loads the frequencies once (0.3 s)."""
    from jieba import analyse

    if method not in ("tfidf", "textrank"):
        raise ValueError("method must be tfidf or textrank")
    return copy(analyse.default_tfidf if method == "tfidf" else analyse.default_textrank)


def _clean(text: str) -> str:
    """Replace lone surrogates: the engine refuses them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
