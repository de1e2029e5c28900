"""The fast tier: every question at once from hashed n-grams and words, thousands of posts a second on one core.

A score is a weighted sum over the distinct features of the normalised post, divided by the post's length in the same
weights. Because it is a sum, a reason is simply the part of the text that carried it. Probabilities come from a look
over several scores (``_look``), which tell what else the post is.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from classifiers import _artifact
from classifiers._artifact import Head, Model
from classifiers._features import Buckets, Grams, grams, ones
from classifiers._look import chances, own, sheet, width
from classifiers._reasons import Asked, stretches
from classifiers._registry import BY_LABEL, YES_NO
from classifiers._text import Batch, normalise_batch, plain
from monitor.core.errors import ClassifierError
from monitor.core.model import Label, Reading, Reason, Signal

BATCH: Final = 1024
_DIGITS: Final = 4
_SPARE: Final = 2  # rows of a table before the known features: nothing (bucket 0), and unseen

Floats = npt.NDArray[np.float32]
Flags = Mapping[Label, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Columns:
    """One table of weights with the heads that its columns stand for; the last column is the squared length."""

    table: Floats
    heads: tuple[Head, ...]
    bias: Floats

    def labels(self) -> list[str]:
        """Return the questions, each once."""
        return list(dict.fromkeys(head.label for head in self.heads))

    def where(self, label: str) -> list[int]:
        """Return the columns of a question."""
        return [column for column, head in enumerate(self.heads) if head.label == label]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch of texts is for the models: normalised, as one plain text, its features, these as a matrix."""

    batch: Batch
    plain: str
    found: Grams
    matrix: Any


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
        thresholds: operating point of each yes/no question.
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
        self.thresholds = dict(model.thresholds)
        always = [not BY_LABEL[Label(head.label)].given for head in model.heads]
        self._slots = _slots(model)
        self._first = _columns(model, np.flatnonzero(always))
        self._then = _columns(model, np.flatnonzero(np.logical_not(always)))
        self._looks = dict(model.looks)
        self._check_looks()
        self._models = {label: f"{label}@{model.version}" for label in self.labels}

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""
        return self._all(texts, explain=False)

    def explain(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text with reasons for every yes/no answer, flagged or not."""
        return self._all(texts, explain=True)

    def scores(
        self, texts: Sequence[str], normaliser: Callable[[Sequence[str]], Batch] = normalise_batch
    ) -> dict[str, Floats]:
        """Return the probabilities alone: ``label`` or ``label=value`` -> one number per text (for measuring)."""
        found: dict[str, list[Floats]] = {}
        for low in range(0, len(texts), BATCH):
            seen = self._see(texts[low : low + BATCH], normaliser)
            for columns in (self._first, self._then):
                chances = self._chances(columns, _raw(columns, seen.matrix))
                for column, head in enumerate(columns.heads):
                    name = head.label if head.value == "1" else f"{head.label}={head.value}"
                    found.setdefault(name, []).append(chances[:, column])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _all(self, texts: Sequence[str], explain: bool) -> list[Reading]:
        readings: list[Reading] = []
        with _uncollected():
            for low in range(0, len(texts), BATCH):
                readings += self._batch(texts[low : low + BATCH], explain)
        return readings

    def _see(
        self, texts: Sequence[str], normaliser: Callable[[Sequence[str]], Batch] = normalise_batch
    ) -> Seen:
        batch = normaliser(texts)
        found = grams(batch, self._bits, self._orders, extras=True)
        buckets, pointer = found.distinct()
        return Seen(batch, plain(batch), found, ones(self._slots[buckets], pointer, len(self._first.table)))

    def _chances(self, columns: Columns, raw: Floats) -> Floats:
        """Return the probabilities behind scores, column for column."""
        laid, found = sheet(raw), np.empty_like(raw)
        for label in columns.labels():
            where = columns.where(label)
            looked_at = laid if len(where) == 1 else own(raw[:, where])
            found[:, where] = chances(self._looks[label], looked_at)
        return found

    def _check_looks(self) -> None:
        """Refuse looks of another shape than the heads."""
        always = len(self._first.heads)
        for columns in (self._first, self._then):
            for label in columns.labels():
                answers = len(columns.where(label))
                sizes = {len(row) for row in self._looks.get(label, ())}
                if len(self._looks.get(label, ())) != answers or sizes != {width(answers, always)}:
                    raise ClassifierError(
                        f"model {self.version} does not fit together; run 'huiyin train all'"
                    )

    def _batch(self, texts: Sequence[str], explain: bool) -> list[Reading]:
        seen = self._see(texts)
        found = self._chances(self._first, _raw(self._first, seen.matrix))
        flags = {label: found[:, self._first.where(label)[0]] >= self.thresholds[label] for label in YES_NO}
        told = {label: np.ones(len(texts), dtype=np.bool_) for label in YES_NO} if explain else flags
        reasons = self._reasons(told, seen, texts)
        columns = [
            _answers(label, found[:, self._first.where(label)[0]], flags[label], reasons[label])
            for label in YES_NO
        ]
        columns.append(_chosen(self._first, Label.SENTIMENT, found))
        signals = [list(row) for row in zip(*columns, strict=True)]
        self._ask_then(seen, flags, signals)
        return [Reading(tuple(row), "fast", self._models) for row in signals]

    def _ask_then(self, seen: Seen, flags: Flags, signals: list[list[Signal]]) -> None:
        """Answer the questions that are only asked of flagged posts."""
        labels = [label for label in (Label.TOPIC, Label.URGENCY) if label in self.labels]
        wanted = {
            label: np.any([flags[given] for given in BY_LABEL[label].given], axis=0) for label in labels
        }
        rows = (
            np.flatnonzero(np.any(list(wanted.values()), axis=0)) if labels else np.zeros(0, dtype=np.int64)
        )
        if not len(rows):
            return
        found = self._chances(self._then, _raw(self._then, seen.matrix[rows]))
        for label in labels:
            for row, signal in zip(rows.tolist(), _chosen(self._then, label, found), strict=True):
                if wanted[label][row]:
                    signals[row].append(signal)

    def _reasons(
        self, told: Flags, seen: Seen, texts: Sequence[str]
    ) -> dict[Label, list[tuple[Reason, ...]]]:
        """Return for every question and row the reasons in the order of the text; none for what is not told."""
        reasons: dict[Label, list[tuple[Reason, ...]]] = {label: [()] * len(texts) for label in told}
        labels = list(told)
        which, rows = np.nonzero(np.array([told[label] for label in labels]))
        where = np.array([self._first.where(label)[0] for label in labels])
        asked = Asked(where[which], rows)
        answers, of, whole = which.tolist(), rows.tolist(), seen.plain
        for number, first, last, start, end in stretches(
            self._first.table, self._slots, seen.found, seen.batch, asked
        ):
            label, row = labels[answers[number]], of[number]
            why = BY_LABEL[label].explain(whole[first:last])
            reason = Reason(start, end, texts[row][start:end], why)
            before = reasons[label][row]
            early = before and start < before[0].start
            reasons[label][row] = (reason, *before) if early else (*before, reason)
        return reasons


# --- scores ----------------------------------------------------------------------------------------


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector of cycles still while answers are made: they hold none, and looking for some takes a tenth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _slots(model: Model) -> Buckets:
    """Return for every bucket its row in the tables."""
    slots = np.ones(1 << model.bits, dtype=np.int32)
    slots[0] = 0
    slots[model.buckets] = np.arange(_SPARE, _SPARE + len(model.buckets), dtype=np.int32)
    return slots


def _columns(model: Model, chosen: npt.NDArray[np.intp]) -> Columns:
    heads = tuple(model.heads[column] for column in chosen)
    table = np.zeros((_SPARE + len(model.buckets), len(chosen) + 1), dtype=np.float32)
    table[_SPARE:, :-1] = model.weights[:, chosen]
    table[_SPARE:, -1] = model.norms
    table[1, -1] = model.unseen
    return Columns(table, heads, np.array([head.bias for head in heads], dtype=np.float32))


def _raw(columns: Columns, matrix: Any) -> Floats:
    """Return the scores: sums over the length, with bias."""
    sums: Floats = matrix @ columns.table
    length = np.sqrt(np.maximum(sums[:, -1:], np.float32(1e-6)))
    raw: Floats = (sums[:, :-1] / length + columns.bias).astype(np.float32)
    return raw


def _rounded(chances: npt.NDArray[Any]) -> list[float]:
    return cast(list[float], chances.astype(np.float64).round(_DIGITS).tolist())


class _Plain(dict[float, Signal]):
    """Score -> the answer "no" with that score: most answers are one of few, and an answer never changes."""

    def __init__(self, label: Label) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, score: float) -> Signal:
        made = self[score] = Signal(self._label, score)
        return made


_PLAIN: Final = {label: _Plain(label) for label in YES_NO}


def _answers(
    label: Label, chances: Floats, flags: npt.NDArray[np.bool_], reasons: Sequence[tuple[Reason, ...]]
) -> list[Signal]:
    scores = _rounded(chances)
    answers = list(map(_PLAIN[label].__getitem__, scores))
    for row, told in enumerate(reasons):
        if told:
            answers[row] = Signal(label, scores[row], bool(flags[row]), None, told)
    for row in np.flatnonzero(flags).tolist():
        if not answers[row].flag:  # nothing could be told of it
            answers[row] = Signal(label, scores[row], True)
    return answers


def _chosen(columns: Columns, label: Label, found: Floats) -> list[Signal]:
    """Answer a question with values: the likeliest value and its share."""
    where = columns.where(label)
    shares = found[:, where]
    best = shares.argmax(axis=1)
    values = [columns.heads[column].value for column in where]
    top = np.take_along_axis(shares, best[:, None], axis=1)[:, 0]
    chosen = [values[index] for index in best.tolist()]
    return list(map(Signal, repeat(label), _rounded(top), repeat(False), chosen))
