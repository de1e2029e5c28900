"""Ask a model the questions of labelled rows and hold its answers against the labels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from classifiers._measure import Answers, average_precision, measure, roc_auc
from classifiers._question import Question, Row
from classifiers._registry import QUESTIONS
from classifiers.claims import Match, Matcher, Reference, pair_scores
from monitor.core.model import Reading

CLAIM_MATCH: Final = "claim_match"
PAIR: Final = "pair"
_AT: Final = 3


class Measurable(Protocol):
    """A model that also tells the probabilities behind its answers."""

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""

    def scores(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return ``label`` or ``label=value`` -> probability for each text."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A post that was answered wrongly, with what was true, what was said and how sure the model was."""

    text: str
    truth: str
    said: str
    chance: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one question over some rows, and the worst failures, most certain first."""

    figures: dict[str, Any]
    failures: list[Failure]


def question_of(task: str) -> Question | None:
    """Return the question that a task of a public corpus asks, or None."""
    return next((q for q in QUESTIONS if task == q.label or task in q.tasks), None)


def labels() -> list[str]:
    """Return the names of the questions."""
    return [str(question.label) for question in QUESTIONS]


def tasks() -> list[str]:
    """Return the names of everything that can be measured."""
    names = [name for q in QUESTIONS for name in (str(q.label), *q.tasks)]
    return [*dict.fromkeys(names), CLAIM_MATCH, PAIR]


def evaluate(model: Measurable, question: Question, rows: Iterable[Row], failures: int = 0) -> Outcome | None:
    """Measure one question on the rows that answer it; None when there is none.

    Questions that are only asked of flagged posts are asked of every row here.
    """
    asked = [(cast(str, row["text"]), truth) for row in rows if (truth := question.truth(row)) is not None]
    if not asked:
        return None
    texts = [text for text, _ in asked]
    model.classify(texts[:8])  # what is loaded at the first call is no part of the speed
    begun = time.process_time()
    readings = model.classify(texts)
    spent = max(time.process_time() - begun, 1e-9)
    answers = _answers(model, question, texts, [truth for _, truth in asked], readings)
    figures = {"question": str(question.label), **measure(answers), "posts_per_s": round(len(texts) / spent)}
    return Outcome(figures, _failures(texts, answers, failures))


def evaluate_answers(
    question: Question, truths: Sequence[str], chance: npt.NDArray[np.float64], threshold: float | None
) -> dict[str, Any]:
    """Measure probabilities that are there already.

    Args:
        question: what was asked.
        truths: for each post what is true.
        chance: posts x possible answers.
        threshold: operating point of a yes/no question.
    """
    names = question.values or ("0", "1")
    truth = np.array([names.index(name) for name in truths], dtype=np.int64)
    said = chance.argmax(axis=1) if threshold is None else (chance[:, 1] >= threshold).astype(np.int64)
    return {"question": str(question.label), **measure(Answers(names, truth, said, chance))}


def _answers(
    model: Measurable,
    question: Question,
    texts: Sequence[str],
    truths: Sequence[str],
    readings: Sequence[Reading],
) -> Answers:
    names = question.values or ("0", "1")
    truth = np.array([names.index(name) for name in truths], dtype=np.int64)
    if not question.values:
        yes = np.array([reading.score(question.label) for reading in readings])
        said = np.array([reading.flagged(question.label) for reading in readings], dtype=np.int64)
        return Answers(names, truth, said, np.column_stack((1 - yes, yes)))
    scores = model.scores(texts)
    chance = np.column_stack([scores[f"{question.label}={value}"] for value in names]).astype(np.float64)
    return Answers(names, truth, chance.argmax(axis=1), chance)


def _failures(texts: Sequence[str], answers: Answers, most: int) -> list[Failure]:
    wrong = np.flatnonzero(answers.truth != answers.said)
    sure = answers.chance[wrong, answers.said[wrong]]
    worst = wrong[np.argsort(-sure, kind="stable")][:most].tolist()
    return [
        Failure(
            texts[row],
            answers.names[answers.truth[row]],
            answers.names[answers.said[row]],
            round(float(answers.chance[row, answers.said[row]]), 4),
        )
        for row in worst
    ]


# --- claims ----------------------------------------------------------------------------------------


def references(rows: Iterable[Row]) -> list[Reference]:
    """Return the claims of rows with ``id`` and ``claim`` (or ``clarification``/``explanation``)."""
    found = []
    for row in rows:
        told = row.get("clarification") or row.get("explanation") or ""
        claim = Reference(cast("str | int", row.get("id")), str(row.get("claim") or ""), "", str(told))
        if claim.statement or claim.clarification:
            found.append(claim)
    return found


def evaluate_matching(claims: Sequence[Reference], rows: Sequence[Row]) -> dict[str, Any]:
    """Measure claim matching on rows with ``query`` (or ``text``) and ``relevant`` claim ids, which may be empty.

    ``hit`` counts what is suggested; ``ranked_hit`` the order alone, however low the score.
    """
    queries = [str(row.get("query") or row.get("text") or "") for row in rows]
    relevant = [set(cast("list[object]", row.get("relevant") or [])) for row in rows]
    matcher = Matcher(claims)
    begun = time.process_time()
    found = matcher.match(queries, _AT)
    spent = max(time.process_time() - begun, 1e-9)
    ranked = matcher.match(queries, _AT, lowest=0.0)
    has = np.array([bool(wanted) for wanted in relevant], dtype=np.int64)
    score = np.array([matches[0].score if matches else 0.0 for matches in ranked])
    return {
        "question": CLAIM_MATCH,
        "n": len(queries),
        "with_a_match": int(has.sum()),
        "claims": len(claims),
        **{f"hit_at_{at}": _hits(found, relevant, at) for at in (1, _AT)},
        **{f"ranked_hit_at_{at}": _hits(ranked, relevant, at) for at in (1, _AT)},
        "any_match_auc": round(roc_auc(has, score), 4) if 0 < has.sum() < len(has) else None,
        "same": _same_band(found, relevant),
        "suggested_without_a_match": _share(sum(map(bool, _where(found, has == 0))), int((has == 0).sum())),
        "posts_per_s": round(len(queries) / spent),
    }


def _where(found: Sequence[list[Match]], chosen: npt.NDArray[np.bool_]) -> list[list[Match]]:
    return [matches for matches, kept in zip(found, chosen.tolist(), strict=True) if kept]


def _hits(found: Sequence[list[Match]], relevant: Sequence[set[object]], at: int) -> float | None:
    pairs = [(matches[:at], wanted) for matches, wanted in zip(found, relevant, strict=True) if wanted]
    return _share(sum(any(m.claim_id in wanted for m in matches) for matches, wanted in pairs), len(pairs))


def _same_band(found: Sequence[list[Match]], relevant: Sequence[set[object]]) -> dict[str, Any]:
    """Return precision (of all that is called the same) and coverage (of posts with a match, found and right)."""
    said = [
        (matches[0].claim_id in wanted)
        for matches, wanted in zip(found, relevant, strict=True)
        if matches and matches[0].band == "same"
    ]
    return {
        "said": len(said),
        "precision": _share(sum(said), len(said)),
        "coverage": _share(sum(said), sum(map(bool, relevant))),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def evaluate_pairs(rows: Sequence[Row]) -> dict[str, Any]:
    """Measure likeness on rows with two texts ``a`` and ``b`` and a label: do they say the same?"""
    pairs = [
        (str(row["a"]), str(row["b"]), float(str(row["label"]))) for row in rows if "a" in row and "b" in row
    ]
    highest = max((label for *_texts, label in pairs), default=1.0)
    truth = np.array([label > highest / 2 for *_texts, label in pairs], dtype=np.int64)
    begun = time.process_time()
    found = pair_scores([one for one, _, _ in pairs], [other for _, other, _ in pairs])
    spent = max(time.process_time() - begun, 1e-9)
    score = np.array([match.score for match in found])
    same = np.array([match.band == "same" for match in found], dtype=np.int64)
    said, hits = int(same.sum()), int((same & truth).sum())
    return {
        "question": PAIR,
        "n": len(pairs),
        "same_in_truth": int(truth.sum()),
        "roc_auc": round(roc_auc(truth, score), 4),
        "pr_auc": round(average_precision(truth, score), 4),
        "same": {"said": said, "precision": _share(hits, said), "coverage": _share(hits, int(truth.sum()))},
        "posts_per_s": round(len(pairs) / spent),
    }
