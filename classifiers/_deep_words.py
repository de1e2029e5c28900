"""The vocabulary of the deep tier: word-like pieces of normalised posts, learnt from text without labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from classifiers.words import segmenter

PAD: Final = 0
UNKNOWN: Final = 1
FIRST: Final = 2  # stands before every post; what the heads read gathers there
END: Final = 3
MASK: Final = 4
SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_LONGEST: Final = 4  # characters of a piece
_SELDOM: Final = 5  # characters seen less often are unknown
_NUMBER: Final = "№"  # stands for a long run of digits: which digits they are says nothing
_PIECE: Final = r"[a-z]+|[㐀-鿿]+|[^\sa-z㐀-鿿]"


def learn(texts: Sequence[str], size: int) -> Tokenizer:
    """Make a vocabulary of about ``size`` pieces: every character that is not rare, then the commonest words.

    Args:
        texts: normalised texts.
        size: pieces in all; all characters that are not rare are in it, even if they are more.
    """
    words = Counter(word for text in texts for word in segmenter().cut(text) if len(word) <= _LONGEST)
    letters = Counter(char for text in texts for char in text if not char.isspace())
    kept = {char: count for char, count in letters.items() if count >= _SELDOM}
    several = [(word, count) for word, count in words.most_common() if len(word) > 1 and _whole(word, kept)]
    kept |= dict(several[: max(0, size - len(kept) - len(SPECIALS) - 1)])
    kept.setdefault(_NUMBER, _SELDOM)
    total = sum(kept.values())
    scores = {piece: math.log(count / total) for piece, count in kept.items()}
    pieces = [(special, 0.0) for special in SPECIALS]
    pieces += sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return _tokenizer(models.Unigram(pieces, unk_id=UNKNOWN, byte_fallback=False))


def _whole(word: str, kept: Mapping[str, int]) -> bool:
    """Tell whether a word can be found again: one run of letters or of Chinese characters, none of them rare."""
    return all(char in kept for char in word) and re.fullmatch(r"[a-z]+|[㐀-鿿]+", word) is not None


def _tokenizer(model: models.Unigram) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(Regex("[0-9]{5,}"), _NUMBER)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(_PIECE), "isolated"),
        ]
    )
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", FIRST)]
    )
    return tokenizer


def numbered(tokenizer: Tokenizer, texts: Iterable[str], longest: int) -> list[list[int]]:
    """Return the numbers of the pieces of each text, at most ``longest`` of them."""
    return [found.ids[:longest] for found in tokenizer.encode_batch_fast(list(texts))]
