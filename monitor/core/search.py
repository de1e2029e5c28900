"""Search terms: character bigrams, the same for what is stored and for what is asked.

Chinese is written without blanks, and most words have two characters. Each character is folded by itself, so the
bigrams of any part of a text are among the bigrams of the text: a search by all bigrams of a query misses nothing.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise


def fold(text: str) -> str:
    """Return ``text`` with every character folded by itself: full-width forms and upper case are gone."""
    return text.casefold() if text.isascii() else "".join(map(_fold, text))


def bigrams(text: str) -> list[str]:
    """Return the distinct pairs of neighbouring letters or digits, in order of first appearance.

    Full-width forms and upper case are folded. A query of one letter has none: look for it in the text itself.
    """
    folded = fold(text)
    pairs = (one + other for one, other in pairwise(folded) if one.isalnum() and other.isalnum())
    return list(dict.fromkeys(pairs))


@lru_cache(maxsize=65_536)
def _fold(char: str) -> str:
    return unicodedata.normalize("NFKC", char).casefold()
