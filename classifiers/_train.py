"""Fit the linear heads of the fast tier with scikit-learn; only this module imports it.

Everything is learnt from rows of labelled posts that come in groups (a part of the corpus, written in one go by one
hand). Calibration uses scores of posts whose whole group the fitted model had not seen: near neighbours inside a
group would flatter it. Nothing here is random but the solver's start, which is seeded.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, vstack

from classifiers._artifact import Head, Model
from classifiers._features import BITS, ORDERS, grams
from classifiers._question import Question
from classifiers._registry import QUESTIONS
from classifiers._text import normalise_batch
from monitor.core.errors import ClassifierError

SEED: Final = 20261124
FOLDS: Final = 8
_STRENGTH: Final = 4.0  # inverse regularisation of the linear heads
_RARITY: Final = 1.5  # measured by leaving out whole parts: 1.0 and 0.5 are worse
_BATCH: Final = 2048

Floats = npt.NDArray[np.float64]
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled post: its text, its row, and the group it was written in."""

    text: str
    row: Row
    group: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """One column: weights over scaled features, and the score of every example by a model that had not seen its group."""

    weights: Floats
    bias: float
    unseen: Floats


# --- reading ---------------------------------------------------------------------------------------


def read_rows(path: Path) -> Iterator[tuple[int, Row | None]]:
    """Yield (line number, row) of a JSONL file, gzip or plain; None for a line that is no object with a text."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with opened as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _row(line)


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("text"), str) else None


def read_examples(paths: Iterable[Path]) -> list[Example]:
    """Read labelled posts; a file of our own corpus is one group, another file is cut into folds.

    Raises:
        ClassifierError: a file cannot be read.
    """
    examples: list[Example] = []
    for path in paths:
        try:
            rows = [row for _, row in read_rows(path) if row is not None]
        except (OSError, EOFError, zlib.error) as error:
            raise ClassifierError(f"{path.name} cannot be read; name a JSONL file, plain or .gz") from error
        own = path.stem.startswith("part")
        for row in rows:
            text = cast(str, row["text"])
            fold = zlib.crc32(text.encode("utf-8", "surrogatepass")) % FOLDS
            examples.append(Example(text, row, path.stem if own else f"{path.stem}/{fold}"))
    return examples


# --- fitting ---------------------------------------------------------------------------------------


def features(texts: Sequence[str], bits: int = BITS, orders: tuple[int, ...] = ORDERS) -> csr_matrix:
    """Return texts x buckets with a one for each distinct n-gram."""
    parts = [
        grams(normalise_batch(texts[low : low + _BATCH]), bits, orders).matrix()
        for low in range(0, len(texts), _BATCH)
    ]
    return cast(csr_matrix, vstack(parts, format="csr"))


def rarity(matrix: csr_matrix) -> Floats:
    """Return the weight of each bucket: the rarer, the heavier; bucket 0 weighs nothing."""
    seen = np.bincount(matrix.indices, minlength=matrix.shape[1])
    weight = (np.log((1 + matrix.shape[0]) / (1 + seen)) + 1) ** _RARITY
    weight[0] = 0
    return cast(Floats, weight)


def scaled(matrix: csr_matrix, weight: Floats) -> csr_matrix:
    """Weigh the buckets and bring every row to length one."""
    out = matrix.astype(np.float64)
    out.data = weight[out.indices]
    length = np.sqrt(np.add.reduceat(np.append(out.data**2, 0.0), out.indptr[:-1]))
    length[np.diff(out.indptr) == 0] = 1.0
    out.data /= np.repeat(np.maximum(length, 1e-3), np.diff(out.indptr))
    return out


def train(
    examples: Sequence[Example],
    version: str,
    questions: Sequence[Question] = QUESTIONS,
    base: Model | None = None,
) -> Model:
    """Fit and calibrate the heads of ``questions``; the other heads are taken from ``base``.

    Raises:
        ClassifierError: too few rows answer a question.
    """
    matrix = features([example.text for example in examples])
    weight = rarity(matrix) if base is None else np.sqrt(base.norms.astype(np.float64))
    ready = scaled(matrix, weight)
    groups = np.array([example.group for example in examples])
    heads: list[Head] = []
    columns: list[Floats] = []
    for question in questions:
        for head, column in _heads(question, examples, groups, ready):
            heads.append(head)
            columns.append(column * weight)
    if base is not None:
        _keep_others(base, questions, heads, columns)
    order = sorted(
        range(len(heads)), key=lambda index: [str(q.label) for q in QUESTIONS].index(heads[index].label)
    )
    thresholds = {str(q.label): round(q.threshold, 4) for q in QUESTIONS if not q.values}
    table = np.column_stack([columns[index] for index in order]).astype(np.float32)
    norms = (weight**2).astype(np.float32)
    return Model(version, BITS, ORDERS, table, norms, tuple(heads[index] for index in order), thresholds)


def _keep_others(
    base: Model, questions: Sequence[Question], heads: list[Head], columns: list[Floats]
) -> None:
    new = {question.label for question in questions}
    for index, head in enumerate(base.heads):
        if head.label not in new:
            heads.append(head)
            columns.append(base.weights[:, index].astype(np.float64))


def _heads(
    question: Question, examples: Sequence[Example], groups: npt.NDArray[np.str_], ready: csr_matrix
) -> Iterator[tuple[Head, Floats]]:
    """Fit one column for yes/no, one for each value otherwise."""
    truths = [question.truth(example.row) for example in examples]
    rows = np.flatnonzero([truth is not None for truth in truths])
    answers = np.array([truths[row] for row in rows])
    for value in question.values or ("1",):
        yes = (answers == value).astype(np.int64)
        if yes.sum() < 5 or len(yes) - yes.sum() < 5:
            raise ClassifierError(
                f"too few rows to learn {question.label}={value}; add labelled posts with --data"
            )
        fitted = _fit(ready[rows], yes, groups[rows])
        slope, offset = _calibrate(fitted.unseen, yes)
        yield (
            Head(str(question.label), value, round(fitted.bias, 6), round(slope, 6), round(offset, 6)),
            fitted.weights,
        )


def _fit(matrix: csr_matrix, yes: npt.NDArray[np.int64], groups: npt.NDArray[np.str_]) -> Fitted:
    unseen = np.zeros(len(yes), dtype=np.float64)
    for held in _folds(groups):
        inside = np.isin(groups, held)
        weights, bias = _solve(matrix[~inside], yes[~inside])
        unseen[inside] = matrix[inside] @ weights + bias
    weights, bias = _solve(matrix, yes)
    return Fitted(weights, bias, unseen)


def _folds(groups: npt.NDArray[np.str_]) -> list[list[str]]:
    """Deal the groups to at most ``FOLDS`` folds."""
    names = sorted(set(groups.tolist()))
    folds: list[list[str]] = [names[start::FOLDS] for start in range(min(FOLDS, len(names)))]
    if len(folds) < 2:
        raise ClassifierError("training needs at least two files of labelled posts; add one with --data")
    return folds


def _solve(matrix: csr_matrix, yes: npt.NDArray[np.int64]) -> tuple[Floats, float]:
    from sklearn.svm import LinearSVC

    if yes.min() == yes.max():
        return np.zeros(matrix.shape[1]), -1.0
    solver = LinearSVC(C=_STRENGTH, random_state=SEED).fit(matrix, yes)
    return solver.coef_[0].astype(np.float64), float(solver.intercept_[0])


def _calibrate(scores: Floats, yes: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return slope and offset that turn scores into probabilities (Platt)."""
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(C=1e4).fit(scores[:, None], yes)
    return float(solver.coef_[0, 0]), float(solver.intercept_[0])


def facts(examples: Sequence[Example], files: Sequence[Path], licences: Mapping[str, str]) -> dict[str, Any]:
    """Return what the manifest tells about the training."""
    return {
        "trained_on": [
            {"file": path.name, "licence": licences.get(path.name, "as given by the user")} for path in files
        ],
        "rows": len(examples),
        "seed": SEED,
    }
