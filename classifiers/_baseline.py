"""What people would use without Huiyin, for ``huiyin bench``: a usual scikit-learn pipeline, and SnowNLP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Act = Callable[[Sequence[str]], object]
LABELS = ("spam", "rumour", "grievance", "abuse", "risk")


def pipeline(rows: Sequence[Mapping[str, object]]) -> Act:
    """Fit TF-IDF over character n-grams (1 to 3) with one logistic regression per yes/no label.

    Args:
        rows: labelled posts of the in-domain corpus.

    Returns: a function that gives the probabilities of all five labels for a list of texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectoriser = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=200_000)
    matrix = vectoriser.fit_transform([str(row["text"]) for row in rows])
    models = [
        LogisticRegression(solver="liblinear", C=4.0).fit(matrix, [int(bool(row[label])) for row in rows])
        for label in LABELS
    ]

    def answer(texts: Sequence[str]) -> object:
        found = vectoriser.transform(texts)
        return [model.predict_proba(found) for model in models]

    return answer


def snownlp() -> Act | None:
    """Return SnowNLP's sentiment as a function over texts, or None where it is not installed (dev dependency)."""
    try:
        from snownlp import SnowNLP
    except ImportError:
        return None

    def answer(texts: Sequence[str]) -> object:
        return [SnowNLP(text).sentiments for text in texts]

    return answer
