"""The fast tier: every question at once from hashed character n-grams, thousands of posts a second on one core.

A score is a weighted sum over the distinct n-grams of the normalised post, divided by the post's length in the
same weights, and calibrated. Because it is a sum, a reason is simply the part of the text that carried it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from classifiers import _artifact
from classifiers._artifact import Head, Model
from classifiers._features import Grams, grams
from classifiers._question import Question
from classifiers._registry import BY_LABEL, YES_NO
from classifiers._text import Batch, Normalised, normalise_batch
from monitor.core.errors import ClassifierError
from monitor.core.model import Label, Reading, Reason, Signal

BATCH: Final = 512
_SPANS: Final = 2  # reasons of one answer
_LONGEST: Final = 24  # code points of one reason
_DIGITS: Final = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Columns:
    """One table of weights with the heads that its columns stand for; the last column is the squared length."""

    table: Floats
    heads: tuple[Head, ...]
    bias: Floats
    slope: Floats
    offset: Floats

    def where(self, label: Label) -> list[int]:
        """Return the columns of a question."""
        return [column for column, head in enumerate(self.heads) if head.label == label]


def load(folder: Path | None = None) -> FastTier:
    """Load a model version; without ``folder`` the one that came with Huiyin.

    Raises:
        ClassifierError: the folder is missing, damaged or made for another normaliser; the message says the mend.
    """
    return FastTier(_artifact.read(_artifact.SHIPPED if folder is None else folder))


class FastTier:
    """Linear models over shared features (see :class:`monitor.core.ports.Classifier` for the promises).

    Attributes:
        name, version: stand in every reading, e.g. ``spam@2026.11.1``.
        labels: the questions that are answered.
        card: the model card in Markdown.
    """

    def __init__(self, model: Model) -> None:
        self.name = "fast"
        self.version = model.version
        self.card = model.card
        known = {head.label for head in model.heads}
        self.labels = tuple(str(label) for label in BY_LABEL if label in known)
        missing = [label for label in YES_NO if label not in known or label not in model.thresholds]
        if missing or Label.SENTIMENT not in known:
            raise ClassifierError(
                f"model {model.version} does not answer every question; run 'huiyin train all'"
            )
        self._bits, self._orders = model.bits, model.orders
        self._thresholds = dict(model.thresholds)
        always = [not BY_LABEL[Label(head.label)].given for head in model.heads]
        self._first = _columns(model, np.flatnonzero(always))
        self._then = _columns(model, np.flatnonzero(np.logical_not(always)))
        self._models = {label: f"{label}@{model.version}" for label in self.labels}

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""
        return self._all(texts, explain=False)

    def explain(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text with reasons for every yes/no answer, flagged or not."""
        return self._all(texts, explain=True)

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Return the probabilities alone: ``label`` or ``label=value`` -> one number per text (for measuring)."""
        found: dict[str, list[Floats]] = {}
        for low in range(0, len(texts), BATCH):
            matrix = grams(normalise_batch(texts[low : low + BATCH]), self._bits, self._orders).matrix()
            for columns in (self._first, self._then):
                chances = _chances(columns, matrix @ columns.table)
                for column, head in enumerate(columns.heads):
                    name = head.label if head.value == "1" else f"{head.label}={head.value}"
                    found.setdefault(name, []).append(chances[:, column])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _all(self, texts: Sequence[str], explain: bool) -> list[Reading]:
        readings: list[Reading] = []
        for low in range(0, len(texts), BATCH):
            readings += self._batch(texts[low : low + BATCH], explain)
        return readings

    def _batch(self, texts: Sequence[str], explain: bool) -> list[Reading]:
        batch = normalise_batch(texts)
        found = grams(batch, self._bits, self._orders)
        matrix = found.matrix()
        chances = _chances(self._first, matrix @ self._first.table)
        binary: dict[Label, list[Signal]] = {}
        flags: dict[Label, npt.NDArray[np.bool_]] = {}
        for label in YES_NO:
            (column,) = self._first.where(label)
            flags[label] = chances[:, column] >= self._thresholds[label]
            asked = np.ones(len(texts), dtype=np.bool_) if explain else flags[label]
            reasons = self._reasons(BY_LABEL[label], column, np.flatnonzero(asked), batch, found, texts)
            binary[label] = [
                Signal(label, score, flag, None, reasons.get(row, ()))
                for row, (score, flag) in enumerate(
                    zip(_rounded(chances[:, column]), flags[label].tolist(), strict=True)
                )
            ]
        signals = [list(row) for row in zip(*binary.values(), strict=True)]
        for row, signal in enumerate(_chosen(self._first, Label.SENTIMENT, chances)):
            signals[row].append(signal)
        self._ask_then(matrix, flags, signals)
        return [Reading(tuple(row), "fast", self._models) for row in signals]

    def _ask_then(
        self, matrix: object, flags: dict[Label, npt.NDArray[np.bool_]], signals: list[list[Signal]]
    ) -> None:
        """Answer the questions that are only asked of flagged posts."""
        labels = [label for label in (Label.TOPIC, Label.URGENCY) if label in self.labels]
        if not labels:
            return
        wanted = {
            label: np.any([flags[given] for given in BY_LABEL[label].given], axis=0) for label in labels
        }
        rows = np.flatnonzero(np.any(list(wanted.values()), axis=0))
        if not len(rows):
            return
        chances = _chances(self._then, matrix[rows] @ self._then.table)  # type: ignore[index]
        for label in labels:
            for row, signal in zip(rows.tolist(), _chosen(self._then, label, chances), strict=True):
                if wanted[label][row]:
                    signals[row].append(signal)

    def _reasons(
        self,
        question: Question,
        column: int,
        rows: npt.NDArray[np.intp],
        batch: Batch,
        found: Grams,
        texts: Sequence[str],
    ) -> dict[int, tuple[Reason, ...]]:
        """Return reasons for the named rows: the stretches of text with the largest share of the sum."""
        weights = self._first.table[:, column]
        reasons: dict[int, tuple[Reason, ...]] = {}
        for row in rows.tolist():
            low, high = int(batch.bounds[row]), int(batch.bounds[row + 1])
            if high - low > 1:
                shares = _shares(weights[found.buckets[low:high]], found.orders)
                reasons[row] = _told(question, _stretches(shares), batch.row(row), texts[row])
        return reasons


# --- scores ----------------------------------------------------------------------------------------


def _columns(model: Model, chosen: npt.NDArray[np.intp]) -> Columns:
    heads = tuple(model.heads[column] for column in chosen)
    table = np.ascontiguousarray(np.column_stack((model.weights[:, chosen], model.norms)), dtype=np.float32)
    return Columns(
        table,
        heads,
        np.array([head.bias for head in heads], dtype=np.float32),
        np.array([head.slope for head in heads], dtype=np.float32),
        np.array([head.offset for head in heads], dtype=np.float32),
    )


def _chances(columns: Columns, sums: Floats) -> Floats:
    """Turn sums (last column: squared length) into probabilities."""
    length = np.sqrt(np.maximum(sums[:, -1:], np.float32(1e-6)))
    score = columns.slope * (sums[:, :-1] / length + columns.bias) + columns.offset
    return (1.0 / (1.0 + np.exp(-np.clip(score, -30, 30), dtype=np.float64))).astype(np.float32)


def _rounded(chances: npt.NDArray[np.floating[npt.NBitBase]] | Floats) -> list[float]:
    return [round(chance, _DIGITS) for chance in chances.tolist()]


def _chosen(columns: Columns, label: Label, chances: Floats) -> list[Signal]:
    """Answer a question with values: the likeliest value and its share."""
    where = columns.where(label)
    shares = chances[:, where].astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    best = shares.argmax(axis=1)
    values = [columns.heads[column].value for column in where]
    top = np.take_along_axis(shares, best[:, None], axis=1)[:, 0]
    return [
        Signal(label, score, False, values[index])
        for score, index in zip(_rounded(top), best.tolist(), strict=True)
    ]


# --- reasons ---------------------------------------------------------------------------------------


def _shares(weights: Floats, orders: tuple[int, ...]) -> list[float]:
    """Return each character's share of the sum: an n-gram's weight is dealt to its characters."""
    size = len(weights)
    shares = np.zeros(size + max(orders), dtype=np.float64)
    for column, order in enumerate(orders):
        dealt = weights[:, column] / order
        for step in range(order):
            shares[step : step + size] += dealt
    return cast(list[float], shares[1:size].tolist())


def _stretches(shares: list[float]) -> list[tuple[int, int]]:
    """Return up to ``_SPANS`` separate stretches [start, end) with the largest sums above the level."""
    gains = [share for share in shares if share > 0]
    level = 0.5 * sum(gains) / len(gains) if gains else 0.0
    left = [share - level for share in shares]
    found: list[tuple[int, int]] = []
    while len(found) < _SPANS:
        start, end, total = _largest(left)
        if end == 0 or (total <= 0 and found):
            break
        found.append((start, end))
        left[start:end] = [-1e9] * (end - start)
    return sorted(found)


def _largest(values: list[float]) -> tuple[int, int, float]:
    """Return the stretch with the largest sum, at most ``_LONGEST`` long (Kadane's scan)."""
    best = (0, 0, float("-inf"))
    start, total = 0, 0.0
    for index, value in enumerate(values):
        if total <= 0 or index - start >= _LONGEST:
            start, total = index, 0.0
        total += value
        if total > best[2]:
            best = (start, index + 1, total)
    return best if best[2] > -1e8 else (0, 0, 0.0)


def _told(
    question: Question, stretches: list[tuple[int, int]], plain: Normalised, text: str
) -> tuple[Reason, ...]:
    """Word the stretches and map them to the original text."""
    reasons = []
    for start, end in stretches:
        low, high = plain.span(start, end)
        reasons.append(Reason(low, high, text[low:high], question.explain(plain.text[start:end])))
    return tuple(reasons)
