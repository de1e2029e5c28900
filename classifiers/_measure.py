"""Figures of merit with their uncertainty, in numpy alone.

Intervals are 95 % bootstrap intervals over posts. For everything that follows from a table of truth by answer, a
resample of posts is a multinomial draw of that table, so a thousand resamples cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 1000
_CURVES: Final = 200  # resamples of what needs the scores again
_CELLS: Final = 500_000  # as many weights at a time
_BINS: Final = 15
_SEED: Final = 20261125

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was true and what was said about a set of posts.

    Attributes:
        names: the possible answers.
        truth, said: for each post the index of the answer in ``names``.
        chance: for each post the probability of each answer.
    """

    names: tuple[str, ...]
    truth: Ints
    said: Ints
    chance: Floats


def measure(answers: Answers) -> dict[str, Any]:
    """Return accuracy, macro-F1, figures of each answer, PR-AUC, ECE and the confusion table.

    ``f1`` is the figure to compare models by: of "yes" for yes/no questions, else macro-F1.
    """
    table = confusion(answers)
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(int(table.sum()), (table / table.sum()).ravel(), size=RESAMPLES)
    sampled = draws.reshape(-1, *table.shape)
    classes = {
        name: _class_figures(table, sampled, answers, at, rng) for at, name in enumerate(answers.names)
    }
    macro = _with_interval(_macro(table[None])[0], _macro(sampled))
    yes_no = answers.names == ("0", "1")
    return {
        "n": int(table.sum()),
        "f1": classes["1"]["f1"] if yes_no else macro["value"],
        "accuracy": _with_interval(_accuracy(table[None])[0], _accuracy(sampled)),
        "macro_f1": macro,
        "classes": classes,
        "pr_auc": classes["1"]["pr_auc"] if yes_no else _mean_pr_auc(classes),
        "ece": round(calibration_error(answers), 4),
        "confusion": {"answers": list(answers.names), "rows_truth_columns_said": table.tolist()},
    }


def confusion(answers: Answers) -> Ints:
    """Return how often each answer (row) was said to be each answer (column)."""
    size = len(answers.names)
    cells = np.bincount(answers.truth * size + answers.said, minlength=size * size)
    return cells.reshape(size, size).astype(np.int64)


def _class_figures(
    table: Ints, sampled: Ints, answers: Answers, at: int, rng: np.random.Generator
) -> dict[str, Any]:
    exact = [figure[0] for figure in _precision_recall_f1(table[None], at)]
    drawn = _precision_recall_f1(sampled, at)
    intervals = [_interval(figure) for figure in drawn]
    names = ("precision", "recall", "f1")
    return {
        "n": int(table[at].sum()),
        **{name: round(float(value), 4) for name, value in zip(names, exact, strict=True)},
        **{f"{name}_95": interval for name, interval in zip(names, intervals, strict=True)},
        "pr_auc": _pr_auc_with_interval((answers.truth == at).astype(np.int64), answers.chance[:, at], rng),
    }


def _precision_recall_f1(tables: Ints, at: int) -> tuple[Floats, Floats, Floats]:
    hits = tables[:, at, at].astype(np.float64)
    said, true = tables[:, :, at].sum(axis=1), tables[:, at, :].sum(axis=1)
    precision, recall = hits / np.maximum(said, 1), hits / np.maximum(true, 1)
    return precision, recall, 2 * hits / np.maximum(said + true, 1)


def _macro(tables: Ints) -> Floats:
    """Return the mean F1 of the answers that occur in truth."""
    scores = np.array([_precision_recall_f1(tables, at)[2] for at in range(tables.shape[1])])
    there = tables.sum(axis=2).T > 0
    mean: Floats = (scores * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return mean


def _accuracy(tables: Ints) -> Floats:
    right: Floats = np.trace(tables, axis1=1, axis2=2) / np.maximum(tables.sum(axis=(1, 2)), 1)
    return right


def _with_interval(value: float, drawn: Floats) -> dict[str, Any]:
    return {"value": round(float(value), 4), "interval_95": _interval(drawn)}


def _interval(drawn: Floats) -> list[float]:
    return [round(float(number), 4) for number in np.quantile(drawn, (0.025, 0.975))]


# --- what needs the scores -------------------------------------------------------------------------


def average_precision(truth: Ints, chance: Floats) -> float:
    """Return the area under the precision-recall curve (average precision); 0 without a positive."""
    return float(_areas(truth, chance, np.ones((1, len(truth))))[0])


def _areas(truth: Ints, chance: Floats, weights: Floats) -> Floats:
    """Return the area under the curve for each row of weights."""
    order = np.argsort(-chance, kind="stable")
    last = np.append(np.diff(chance[order]) != 0, True)  # equal scores are one step of the curve
    weights = weights[:, order]
    seen = np.cumsum(weights, axis=1)[:, last]
    hits = np.cumsum(weights * (truth[order] == 1), axis=1)[:, last]
    gain = np.diff(hits, prepend=0.0, axis=1)
    area: Floats = (gain * hits / np.maximum(seen, 1e-12)).sum(axis=1) / np.maximum(hits[:, -1], 1e-12)
    return area


def _pr_auc_with_interval(truth: Ints, chance: Floats, rng: np.random.Generator) -> dict[str, Any]:
    rows = max(1, _CELLS // max(1, len(truth)))
    drawn: list[Floats] = []
    for first in range(0, _CURVES, rows):
        size = (min(rows, _CURVES - first), len(truth))
        drawn.append(_areas(truth, chance, rng.poisson(1.0, size).astype(np.float64)))
    return _with_interval(average_precision(truth, chance), np.concatenate(drawn))


def _mean_pr_auc(classes: dict[str, Any]) -> dict[str, Any]:
    there = [found["pr_auc"] for found in classes.values() if found["n"]]
    return {"value": round(float(np.mean([found["value"] for found in there])), 4)}


def roc_auc(truth: Ints, score: Floats) -> float:
    """Return the chance that a positive scores above a negative; 0.5 when one kind is missing."""
    order = np.argsort(score, kind="stable")
    _, first, counts = np.unique(score[order], return_index=True, return_counts=True)
    ranks = np.repeat(first + (counts + 1) / 2, counts)
    hits = truth[order] == 1
    yes, no = int(hits.sum()), int((~hits).sum())
    if not yes or not no:
        return 0.5
    return float((ranks[hits].sum() - yes * (yes + 1) / 2) / (yes * no))


def calibration_error(answers: Answers) -> float:
    """Return the expected calibration error: of "yes" for yes/no questions, else of the answer that was said."""
    if answers.names == ("0", "1"):
        return _gap(answers.chance[:, 1], answers.truth == 1)
    top = answers.chance[np.arange(len(answers.said)), answers.said]
    return _gap(top, answers.truth == answers.said)


def _gap(chance: Floats, came_true: npt.NDArray[np.bool_]) -> float:
    """Return the mean distance between probability and frequency in bins of equal width."""
    bins = np.minimum((chance * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    said = np.bincount(bins, chance, minlength=_BINS)
    true = np.bincount(bins, came_true.astype(np.float64), minlength=_BINS)
    return float(np.abs(said - true).sum() / max(1, counts.sum()))


def compared(value: float, interval: Sequence[float]) -> str:
    """Return a figure with its interval for a table, e.g. ``0.912 (0.897–0.925)``."""
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"
