"""Fit the heads of the fast tier with scikit-learn; only this module imports it.

Everything is learnt from rows of labelled posts that come in groups (a part of the corpus, written in one go by one
hand). What turns scores into probabilities is fitted on scores of posts whose whole group the fitted model had not
seen: near neighbours inside a group would flatter it. Nothing here is random but the solver's start, which is seeded.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, vstack

from classifiers._artifact import Head, Model
from classifiers._features import BITS, ORDERS, grams
from classifiers._look import Look, chances, own, sheet
from classifiers._question import Question
from classifiers._registry import QUESTIONS
from classifiers._text import normalise_batch
from monitor.core.errors import ClassifierError
from monitor.core.model import Label

SEED: Final = 20261124
FOLDS: Final = 6
_TENTHS: Final = 10  # of a user's posts one is held out
_TOLERANCE: Final = (
    1e-2  # of the solver: a hundredth of it moves no figure and takes more than twice the time
)
_STRENGTH: Final = 8.0  # inverse regularisation of the linear heads
_RARITY: Final = 1.5  # measured by leaving out whole parts: 1.0 and 0.5 are worse
_TILT_STRENGTH: Final = 3.0
_TILT_SHARE: Final = (
    0.5  # measured: 0 is worse by half a point of F1, by two on new writers; 1 is worse again
)
_UNSEEN: Final = 0.6  # weight of a feature that training did not see, as a share of the rarest seen one
_LOOK_STRENGTH: Final = 1.0
_BATCH: Final = 2048
_FEWEST: Final = 5

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled post: its text, its row, and the group it was written in."""

    text: str
    row: Row
    group: str


@dataclass(frozen=True, slots=True)
class Task:
    """One column to fit: the answer ``value`` of a question, over the rows that answer the question.

    Attributes:
        rows: which examples answer the question.
        yes: for each of these rows, 1 when the answer is ``value``.
    """

    question: Question
    value: str
    rows: Ints
    yes: Ints


@dataclass(frozen=True, slots=True)
class Column:
    """Weights of one head over scaled features."""

    weights: Floats
    bias: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What a feature weighs in a post, learnt from the training posts.

    Attributes:
        known: the buckets seen in training, ascending.
        weight: shape (known + 1,); the last one is for everything unseen.
    """

    known: Ints
    weight: Floats


# --- reading ---------------------------------------------------------------------------------------


def read_rows(path: Path, key: str = "text") -> Iterator[tuple[int, Row | None]]:
    """Yield (line number, row) of a JSONL file, gzip or plain; None for a line that is no object with ``key``.

    Args:
        path: the file.
        key: the field that must hold words; empty takes every object.

    Raises:
        ClassifierError: the file cannot be read.
    """
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _row(line, key)
    except (OSError, EOFError, zlib.error) as error:
        raise ClassifierError(f"{path.name} cannot be read; name a JSONL file, plain or .gz") from error


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _row(line: bytes, key: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and (not key or isinstance(row.get(key), str)) else None


def read_part(path: Path) -> list[Example]:
    """Read one part of our own corpus: one group."""
    return [Example(cast(str, row["text"]), row, path.stem) for _, row in read_rows(path) if row is not None]


def read_data(path: Path, question: Question | None = None) -> list[Example]:
    """Read labelled posts of a user, cut into groups by their texts.

    Args:
        path: JSONL, plain or .gz.
        question: take the answers to this question alone; None takes all.

    Raises:
        ClassifierError: a row was handed out for labelling and never reviewed.
    """
    found = []
    for _, row in read_rows(path):
        if row is not None:
            if "proposed" in row and "reviewed_by" not in row:
                raise ClassifierError(
                    f"{path.name} holds rows that nobody has reviewed; 'huiyin learn accept' takes them in"
                )
            text = cast(str, row["text"])
            kept = row if question is None else _only(row, question)
            found.append(Example(text, kept, f"data/{fold(text)}"))
    return found


def _only(row: Row, question: Question) -> Row:
    truth = question.truth(row)
    answer = {} if truth is None else {str(question.label): truth if question.values else int(truth)}
    return {"text": row["text"], **answer}


def fold(text: str) -> int:
    """Return the fold of a text that was not written in a part: equal texts fall together."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % _TENTHS


# --- features --------------------------------------------------------------------------------------


def features(texts: Sequence[str], bits: int = BITS, orders: tuple[int, ...] = ORDERS) -> csr_matrix:
    """Return texts x buckets with a one for each distinct feature."""
    parts = [
        grams(normalise_batch(texts[low : low + _BATCH]), bits, orders, extras=True).matrix()
        for low in range(0, len(texts), _BATCH)
    ]
    return cast(csr_matrix, vstack(parts, format="csr"))


def rarity(matrix: csr_matrix) -> Scale:
    """Weigh the features of the training posts: the rarer, the heavier."""
    known, seen = np.unique(matrix.indices, return_counts=True)
    known, seen = known[known > 0], seen[known > 0]
    weight = (np.log((1 + matrix.shape[0]) / (1 + seen)) + 1) ** _RARITY
    unseen = _UNSEEN * (np.log(1 + matrix.shape[0]) + 1) ** _RARITY
    return Scale(known.astype(np.int64), np.append(weight, unseen))


def scaled(matrix: csr_matrix, scale: Scale) -> csr_matrix:
    """Return posts x known features, weighed, every post of length one; what is unseen counts in the length."""
    places = np.full(matrix.shape[1], len(scale.known), dtype=np.int64)
    places[scale.known] = np.arange(len(scale.known))
    columns = places[matrix.indices]
    values = scale.weight[columns]
    values[matrix.indices == 0] = 0.0
    pointer = matrix.indptr.astype(np.int64)
    length = np.sqrt(np.maximum(np.add.reduceat(np.append(values**2, 0.0), pointer[:-1]), 1e-6))
    length[np.diff(pointer) == 0] = 1.0
    values = values / np.repeat(length, np.diff(pointer))
    width = len(scale.known)
    out = csr_matrix((values, columns, pointer), shape=(matrix.shape[0], width + 1))
    return out[:, :width].tocsr()


# --- fitting ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model with the scores that its calibration was fitted on.

    Attributes:
        model: the model.
        examples: what it learnt from.
        tasks: its columns.
        unseen: examples x tasks, see :func:`unseen_scores`.
    """

    model: Model
    examples: Sequence[Example]
    tasks: Sequence[Task]
    unseen: Floats

    def unseen_chances(self, question: Question) -> Floats:
        """Return examples x possible answers: probabilities from models that had not seen the example's group."""
        where = [at for at, task in enumerate(self.tasks) if task.question is question]
        found = chances(self.model.looks[str(question.label)], _looked_at(question, self.tasks, self.unseen))
        return found if len(where) > 1 else np.hstack((1 - found, found))


def train(examples: Sequence[Example], version: str, questions: Sequence[Question] = QUESTIONS) -> Trained:
    """Fit and calibrate the heads of ``questions``.

    Raises:
        ClassifierError: too few rows answer a question, or there are fewer than two groups.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):  # the problems are small: more threads only wait for each other
        return _train(examples, version, questions)


def _train(examples: Sequence[Example], version: str, questions: Sequence[Question]) -> Trained:
    matrix = features([example.text for example in examples])
    tasks = [task for question in questions for task in _tasks(question, examples)]
    unseen = unseen_scores(matrix, tasks, [example.group for example in examples])
    scale = rarity(matrix)
    ready = scaled(matrix, scale)
    columns = [_solve(ready[task.rows], task.yes) for task in tasks]
    heads = tuple(
        Head(str(task.question.label), task.value, round(column.bias, 6))
        for task, column in zip(tasks, columns, strict=True)
    )
    weights = np.column_stack([column.weights for column in columns]) * scale.weight[:-1, None]
    model = Model(
        version=version,
        bits=BITS,
        orders=ORDERS,
        buckets=scale.known.astype(np.int32),
        weights=weights.astype(np.float32),
        norms=(scale.weight[:-1] ** 2).astype(np.float32),
        unseen=float(scale.weight[-1] ** 2),
        heads=heads,
        looks={str(question.label): _look(question, tasks, unseen) for question in questions},
        thresholds={str(q.label): round(q.threshold, 4) for q in questions if not q.values},
    )
    return Trained(model, examples, tasks, unseen)


def _tasks(question: Question, examples: Sequence[Example]) -> Iterator[Task]:
    """Return one column for yes/no, one for each value otherwise."""
    truths = [question.truth(example.row) for example in examples]
    rows = np.flatnonzero([truth is not None for truth in truths])
    answers = np.array([truths[row] for row in rows])
    for value in question.values or ("1",):
        yes = (answers == value).astype(np.int64)
        if yes.sum() < _FEWEST or len(yes) - yes.sum() < _FEWEST:
            raise ClassifierError(
                f"too few rows to learn {question.label}={value}; add labelled posts with --data"
            )
        yield Task(question, value, rows, yes)


def unseen_scores(matrix: csr_matrix, tasks: Sequence[Task], groups: Sequence[str]) -> Floats:
    """Return examples x tasks: the score that each example gets from a model which had not seen its group."""
    names = np.array(groups)
    scores = np.zeros((matrix.shape[0], len(tasks)))
    for held in folds(groups):
        inside = np.isin(names, held)
        scale = rarity(matrix[~inside])
        ready = scaled(matrix, scale)
        for at, task in enumerate(tasks):
            learn = ~inside[task.rows]
            column = _solve(ready[task.rows[learn]], task.yes[learn])
            scores[inside, at] = ready[inside] @ column.weights + column.bias
    return scores


def folds(groups: Iterable[str]) -> list[list[str]]:
    """Deal the groups to at most ``FOLDS`` folds.

    Raises:
        ClassifierError: there is one group only.
    """
    names = sorted(set(groups), key=lambda name: (len(name), name))
    if len(names) < 2:
        raise ClassifierError("training needs at least two files of labelled posts; add one with --data")
    return [names[start::FOLDS] for start in range(min(FOLDS, len(names)))]


def _solve(matrix: csr_matrix, yes: Ints) -> Column:
    """Fit one column: a margin over the features as they are, and a share of one over features tilted by the answers."""
    if yes.min() == yes.max():
        return Column(np.zeros(matrix.shape[1]), -1.0)
    plain = _margin(matrix, yes, _STRENGTH)
    tilt = _tilt(matrix, yes)
    tilted = matrix.copy()
    tilted.data = matrix.data * tilt[matrix.indices]
    size = float(np.sqrt(np.add.reduceat(np.append(tilted.data**2, 0.0), tilted.indptr[:-1])).mean())
    tilted.data /= size
    other = _margin(tilted, yes, _TILT_STRENGTH)
    other = Column(other.weights * tilt / size, other.bias)
    share = _TILT_SHARE * (matrix @ plain.weights).std() / max((matrix @ other.weights).std(), 1e-9)
    weights = (plain.weights + share * other.weights) / (1 + _TILT_SHARE)
    return Column(weights, float(plain.bias + share * other.bias) / (1 + _TILT_SHARE))


def _margin(matrix: csr_matrix, yes: Ints, strength: float) -> Column:
    from sklearn.svm import LinearSVC

    solver = LinearSVC(C=strength, tol=_TOLERANCE, random_state=SEED).fit(matrix, yes)
    return Column(solver.coef_[0].astype(np.float64), float(solver.intercept_[0]))


def _tilt(matrix: csr_matrix, yes: Ints) -> Floats:
    """Return for each feature how much more often it stands in posts of the answer: the log of the ratio."""
    answers = np.repeat(yes, np.diff(matrix.indptr))
    counts = [np.bincount(matrix.indices[answers == a], minlength=matrix.shape[1]) + 1.0 for a in (1, 0)]
    tilt: Floats = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    return tilt


# --- from scores to probabilities ------------------------------------------------------------------


def _looked_at(question: Question, tasks: Sequence[Task], unseen: Floats) -> Floats:
    """Return what a question looks at, for every example."""
    if question.values:
        mine = [at for at, task in enumerate(tasks) if task.question is question]
        return own(unseen[:, mine]).astype(np.float64)
    always = [at for at, task in enumerate(tasks) if not task.question.given]
    return sheet(unseen[:, always]).astype(np.float64)


def _look(question: Question, tasks: Sequence[Task], unseen: Floats) -> Look:
    """Fit what turns scores into probabilities, on scores from models that had not seen the example."""
    mine = [task for task in tasks if task.question is question]
    rows = mine[0].rows
    laid = _looked_at(question, tasks, unseen)[rows][:, 1:]
    if question.removal:
        laid[:, _mood_columns(tasks)] = 0.0
    answers = np.column_stack([task.yes for task in mine])
    truth = answers[:, 0] if len(mine) == 1 else answers.argmax(axis=1)
    return tuple(tuple(round(number, 6) for number in row) for row in _logistic_fit(laid, truth))


def _mood_columns(tasks: Sequence[Task]) -> list[int]:
    """Return where the sheet holds the sentiment: what may lead to a removal does not look at it."""
    always = [task for task in tasks if not task.question.given]
    mood = [at for at, task in enumerate(always) if task.question.label is Label.SENTIMENT]
    return [*mood, *(at + len(always) for at in mood)]


def _logistic_fit(laid: Floats, truth: Ints) -> list[list[float]]:
    """Return offset and coefficients for each answer of a logistic regression over standardised columns."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = laid.mean(axis=0), np.maximum(laid.std(axis=0), 1e-9)
    solver = LogisticRegression(C=_LOOK_STRENGTH, max_iter=2000).fit((laid - mean) / spread, truth)
    slopes = solver.coef_ / spread
    offsets = solver.intercept_ - slopes @ mean
    return [[float(offset), *map(float, row)] for offset, row in zip(offsets, slopes, strict=True)]


def settings() -> dict[str, Any]:
    """Return the settings of the training, for the manifest."""
    return {
        "strength": _STRENGTH,
        "rarity": _RARITY,
        "tilt_strength": _TILT_STRENGTH,
        "tilt_share": _TILT_SHARE,
        "unseen": _UNSEEN,
        "look_strength": _LOOK_STRENGTH,
        "folds": FOLDS,
    }
