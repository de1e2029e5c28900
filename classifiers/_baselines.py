"""What a user would reach for instead, for the bench: a scikit-learn pipeline, and SnowNLP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Final

import numpy as np

from classifiers._question import Row
from classifiers._registry import QUESTIONS

Read = Callable[[Sequence[str]], object]
_FITTED: Final = 2_000
"""Posts that the logistic regression is fitted on: what it costs to answer depends on the vocabulary of all alone."""


def sklearn_pipelines(rows: Sequence[Row], words: bool) -> Read:
    """Fit TF-IDF and logistic regression, one per question that is always asked; return what reads texts.

    Args:
        rows: labelled posts.
        words: words cut by jieba, as most tutorials do; else character n-grams of one to three.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [str(row["text"]) for row in rows]
    few = np.arange(0, len(rows), max(1, len(rows) // _FITTED))
    vectoriser = (
        TfidfVectorizer(tokenizer=_cut, token_pattern=None)
        if words
        else TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    )
    matrix = vectoriser.fit_transform(texts)
    models = []
    for question in QUESTIONS:
        if not question.given:
            truth = [question.truth(rows[row]) or "0" for row in few.tolist()]
            models.append(LogisticRegression(max_iter=200).fit(matrix[few], truth))

    def read(texts: Sequence[str]) -> object:
        seen = vectoriser.transform(texts)
        return [model.predict_proba(seen) for model in models]

    return read


def _cut(text: str) -> list[str]:
    from classifiers.words import reference

    return reference().cut(text)


def snownlp() -> Read | None:
    """Return what reads the sentiment of texts with SnowNLP, or None when it is not installed."""
    if find_spec("snownlp") is None:
        return None
    from snownlp import SnowNLP

    def read(texts: Sequence[str]) -> object:
        return [SnowNLP(text).sentiments for text in texts]

    return read
