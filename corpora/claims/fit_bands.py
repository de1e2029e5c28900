"""Fit the blend of :mod:`classifiers.claims` and print where its bands lie: ``python corpora/claims/fit_bands.py``.

Learns from the posts of ``posts.jsonl`` whose claim is in the set ``tune``, each against every claim of that set, and
ordinary in-domain posts that tell none of the claims.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from classifiers import claims
from classifiers._facts import Facts, differences, focus
from classifiers._text import normalise_all

HERE = Path(__file__).parent
ORDINARY = 600


def rows(path: Path) -> list[dict[str, object]]:
    """Read a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fitted(features: np.ndarray, told: np.ndarray) -> tuple[float, np.ndarray]:
    """Return offset and slopes of a logistic regression in which likeness never speaks against a match."""

    def loss(weights: np.ndarray) -> float:
        logit = weights[0] + features @ weights[1:]
        return float(np.logaddexp(0, logit).sum() - logit @ told + 0.05 * (weights[1:] ** 2).sum())

    bounds = [(None, None), (1.0, None), (0.5, None), (0.0, None), (0.0, None), (None, 0.0), (None, 0.0)]
    weights = minimize(loss, np.array([-1, 1, 0.5, 1, 1, -1, -1.0]), bounds=bounds).x
    return float(weights[0]), weights[1:]


def main() -> None:
    """Fit and print."""
    known = [row for row in rows(HERE / "claims.jsonl") if row["set"] == "tune"]
    posts = [row for row in rows(HERE / "posts.jsonl") if row["set"] == "tune"]
    other = rows(HERE.parent / "domain/part2.jsonl") + rows(HERE.parent / "domain/part3.jsonl")
    texts = [str(row["query"]) for row in posts] + [str(row["text"]) for row in other[:ORDINARY]]
    truth = [{*row["relevant"]} for row in posts] + [set() for _row in other[:ORDINARY]]
    matcher = claims.Matcher([claims.Reference(str(row["id"]), str(row["claim"])) for row in known])
    plain = [claims._plain(text) for text in normalise_all(texts)]
    grams = claims._weighted(claims._matrix(plain), matcher._weights)
    shared, spoken = (
        (grams @ matcher._index.T).toarray(),
        (claims._spoken_of(plain) @ matcher._concepts.T).toarray(),
    )
    norms = claims._norms(grams)
    found, answers = [], []
    for at, post in enumerate(plain):
        like = matcher._like(shared[at], spoken[at], norms[at], slice(None))
        order = np.argsort(-(like[:, :2] @ claims._ROUGH + like[:, 2] / 2))[:5]
        for number in order.tolist():
            claim = matcher._texts[number]
            differs = differences(Facts.of(focus(post, claim)), matcher._facts[number], Facts.of(post))
            if not differs:
                found.append(matcher._closely(post, number, like[number]))
                answers.append(matcher._ids[number] in truth[at])
    features, told = np.array(found), np.array(answers, dtype=int)
    offset, slopes = fitted(features, told)
    sys.stdout.write(f"offset {offset:.3f} slopes {slopes.round(3)} pairs {len(told)} right {told.sum()}\n")
    score = 1 / (1 + np.exp(-offset - features @ slopes))
    for level in np.arange(0.05, 0.96, 0.05):
        said = score >= level
        share = told[said].sum() / told.sum()
        sys.stdout.write(f"{level:.2f} said {said.sum()} right {told[said].mean():.3f} of all {share:.3f}\n")


if __name__ == "__main__":
    main()
