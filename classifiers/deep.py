"""The deep tier: a small transformer beside the fast tier, for the posts about which the fast tier is unsure.

Every post is read alone, so that no answer depends on a neighbour. A score of the deep tier never stands by itself:
it is weighed with the fast tier's answer (``_deep_stack``), with weights measured on posts that neither had seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from classifiers import _deep_artifact, fast
from classifiers._deep_artifact import DeepModel
from classifiers._deep_stack import mixed, unsure
from classifiers._registry import BY_LABEL, QUESTIONS
from classifiers._text import Normalised, normalise_batch
from classifiers.fast import FastTier
from monitor.core.errors import ClassifierError
from monitor.core.model import Label, Reading, Reason, Signal

WHY_MISSING: Final = "the deep model needs onnxruntime: pip install 'huiyin[deep]', or use --tier fast"
_DIGITS: Final = 4
_SPANS: Final = 2
_TRIED: Final = 3  # stretches that are taken out for a try
_LONGEST: Final = 12  # characters of a stretch
_WORTH: Final = 0.3  # a second stretch is told when it carries this share of the first

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """What a post's pieces say: where they stand in the plain text, and pieces x answers."""

    spans: list[tuple[int, int]]
    votes: Floats

    def score(self) -> Floats:
        """Return the score of each answer."""
        mean: Floats = self.votes.mean(axis=0)
        return mean


def available() -> bool:
    """Tell whether what the deep tier runs on is installed."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None and find_spec("tokenizers") is not None


class DeepTier:
    """The network of a version, one post at a time on one thread."""

    def __init__(self, model: DeepModel) -> None:
        try:
            import onnxruntime as runtime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ClassifierError(WHY_MISSING) from error
        self.model = model
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
            self._pieces = Tokenizer.from_str(model.pieces)
        except Exception as error:  # both libraries raise what they like
            raise ClassifierError(
                f"model {model.version} cannot be opened; run 'huiyin models use deep-shipped' or add it again"
            ) from error
        self._pieces.no_padding()
        self._pieces.enable_truncation(model.longest)
        self._where = {
            label: [at for at, (asked, _) in enumerate(model.answers) if asked == label]
            for label in dict.fromkeys(label for label, _ in model.answers)
        }

    def read(self, texts: Sequence[str]) -> list[Votes]:
        """Return the votes about each text; texts are in plain form."""
        found = self._pieces.encode_batch(list(texts))
        return [Votes(piece.offsets, self._votes(piece.ids)) for piece in found]

    def _votes(self, ids: Sequence[int]) -> Floats:
        numbers = np.array([ids], dtype=np.int64)
        if numbers.shape[1] < 2:  # nothing but the mark before every post
            numbers = np.repeat(numbers, 2, axis=1)
        return cast(Floats, self._session.run(None, {"ids": numbers})[0].astype(np.float64))

    def scores(self, votes: Sequence[Votes], label: str) -> Floats:
        """Return posts x answers of a question."""
        return np.array([one.score()[self._where[label]] for one in votes]).reshape(len(votes), -1)

    def columns(self, label: str) -> list[int]:
        """Return the columns of a question."""
        return self._where[label]


class Cascade:
    """Fast tier for every post, deep tier for the unsure ones (see :class:`monitor.core.ports.Classifier`).

    Args:
        quick: the fast tier.
        deep: the deep tier.
        everything: ask the deep tier about every post.
    """

    def __init__(self, quick: FastTier, deep: DeepTier, everything: bool = False) -> None:
        self.name = "deep" if everything else "auto"
        self.version = f"{quick.version}+{deep.model.version}"
        self.labels = quick.labels
        self.thresholds = quick.thresholds
        self.card = quick.card + "\n" + deep.model.card
        self._quick, self._deep, self._everything = quick, deep, everything
        self._mixes = {label: mix for label, mix in deep.model.mixes.items() if label in quick.labels}
        self._bands = {label: band for label, band in deep.model.bands.items() if label in self._mixes}
        self._models = {
            label: f"{label}@{self.version if label in self._mixes else quick.version}"
            for label in self.labels
        }

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""
        return self._read(texts, self._quick.classify(texts), explain=False)

    def explain(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text with reasons for every yes/no answer, flagged or not."""
        return self._read(texts, self._quick.explain(texts), explain=True)

    def scores(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the probabilities alone: ``label`` or ``label=value`` -> one number per text (for measuring)."""
        found = self._quick.scores(texts)
        rows = self._rows(self._quick.classify(texts))
        if len(rows):
            votes = self._deep.read(_plain([texts[row] for row in rows]))
            for label in self._mixes:
                for name, column in zip(_names(label), self._mixed(label, found, rows, votes).T, strict=True):
                    found[name] = found[name].copy()
                    found[name][rows] = column
        return found

    def unsure(self, texts: Sequence[str]) -> float:
        """Return the share of texts that the deep tier is asked about."""
        return len(self._rows(self._quick.classify(texts))) / max(1, len(texts))

    def _rows(self, readings: Sequence[Reading]) -> list[int]:
        if not readings or not self._mixes:
            return []
        if self._everything:
            return list(range(len(readings)))
        if not self._bands:
            return []
        chances = {
            label: np.array([reading.score(Label(label)) for reading in readings]) for label in self._bands
        }
        return np.flatnonzero(unsure(self._bands, chances)).tolist()

    def _mixed(
        self,
        label: str,
        chances: Mapping[str, npt.NDArray[np.float32]],
        rows: Sequence[int],
        votes: Sequence[Votes],
    ) -> Floats:
        quick = np.column_stack([chances[name][rows] for name in _names(label)]).astype(np.float64)
        return mixed(self._mixes[label], quick, self._deep.scores(votes, label))

    def _read(self, texts: Sequence[str], readings: list[Reading], explain: bool) -> list[Reading]:
        rows = self._rows(readings)
        if not rows:
            return readings
        mine = [texts[row] for row in rows]
        batch = normalise_batch(mine)
        plain = [batch.row(number) for number in range(len(mine))]
        votes = self._deep.read([one.text for one in plain])
        chances = self._quick.scores(mine)
        every = list(range(len(mine)))
        told = {label: self._mixed(label, chances, every, votes).round(_DIGITS) for label in self._mixes}
        for number, row in enumerate(rows):
            asked = {label: found[number] for label, found in told.items()}
            signals = [
                self._again(signal, asked, mine[number], plain[number], votes[number], explain)
                for signal in readings[row].signals
            ]
            signals += self._then(signals, asked, chances, number)
            readings[row] = Reading(tuple(signals), "deep", self._models)
        return readings

    def _again(
        self,
        signal: Signal,
        asked: Mapping[str, Floats],
        text: str,
        plain: Normalised,
        votes: Votes,
        explain: bool,
    ) -> Signal:
        """Return the mixed answer to a question that the fast tier answered."""
        label = signal.label
        chance = asked.get(str(label))
        if chance is None:
            return signal
        if BY_LABEL[label].values:
            best = int(chance.argmax())
            return replace(signal, score=float(chance[best]), value=BY_LABEL[label].values[best])
        score = float(chance[0])
        flag = score >= self.thresholds[label]
        reasons = signal.reasons
        if (flag or explain) and not reasons:
            reasons = self._reasons(label, text, plain, votes)
        return Signal(label, score, flag, None, reasons if flag or explain else ())

    def _then(
        self,
        signals: Sequence[Signal],
        asked: Mapping[str, Floats],
        chances: Mapping[str, npt.NDArray[np.float32]],
        number: int,
    ) -> list[Signal]:
        """Answer what is only asked of flagged posts, where the deep tier has flagged one."""
        flagged = {signal.label for signal in signals if signal.flag}
        there = {signal.label for signal in signals}
        found = []
        for question in QUESTIONS:
            label = question.label
            if not question.given or label in there or label not in self.labels:
                continue
            if flagged.isdisjoint(question.given):
                continue
            chance = asked.get(str(label))
            if chance is None:
                chance = np.array([chances[name][number] for name in _names(str(label))], dtype=np.float64)
            best = int(chance.argmax())
            found.append(Signal(label, round(float(chance[best]), _DIGITS), False, question.values[best]))
        return found

    # --- reasons -----------------------------------------------------------------------------------

    def _reasons(self, label: Label, text: str, plain: Normalised, votes: Votes) -> tuple[Reason, ...]:
        """Return the stretches without which the answer would be less likely, in the order of the text.

        The votes propose a few stretches; each is taken out and both tiers are asked again. Told is what lowers the
        answer most; a post of which every part says the same is its own reason.
        """
        tried = _stretches(plain.text, votes, self._deep.columns(str(label))[0])
        if not tried:
            return ()
        without = [plain.text[:start] + plain.text[end:] for start, end in tried]
        chances = self._quick.scores([plain.text, *without])
        again = [votes, *self._deep.read(without)]
        logit = self._logit(label, chances, again)
        falls = (logit[0] - logit[1:]).tolist()
        best = max(falls)
        kept = [
            (start, end)
            for (start, end), fall in sorted(zip(tried, falls, strict=True), key=lambda pair: -pair[1])
            if fall > 0 and fall >= _WORTH * best
        ][:_SPANS] or [tried[falls.index(best)]]
        found = []
        for start, end in sorted(kept):
            first, last = plain.span(start, end)
            why = BY_LABEL[label].explain(plain.text[start:end])
            found.append(Reason(first, last, text[first:last], why))
        return tuple(found)

    def _logit(
        self, label: Label, chances: Mapping[str, npt.NDArray[np.float32]], votes: Sequence[Votes]
    ) -> Floats:
        chance = self._mixed(str(label), chances, list(range(len(votes))), votes)[:, 0]
        cut = np.clip(chance, 1e-9, 1 - 1e-9)
        logit: Floats = np.log(cut) - np.log1p(-cut)
        return logit


def _stretches(text: str, votes: Votes, column: int) -> list[tuple[int, int]]:
    """Return up to ``_TRIED`` stretches of whole pieces whose votes stand out most, none over another."""
    level = float(votes.votes[:, column].mean())
    pieces = [
        (start, end, float(vote) - level)
        for (start, end), vote in zip(votes.spans, votes.votes[:, column].tolist(), strict=False)
        if end > start
    ]
    runs = [
        (sum(gain for _, _, gain in pieces[first:last]), pieces[first][0], pieces[last - 1][1])
        for first in range(len(pieces))
        for last in range(first + 1, len(pieces) + 1)
        if pieces[last - 1][1] - pieces[first][0] <= _LONGEST
    ]
    found: list[tuple[int, int]] = []
    for _gain, start, end in sorted(runs, key=lambda run: (-run[0], run[1])):
        if all(end <= there[0] or start >= there[1] for there in found):
            found.append((start, end))
        if len(found) == _TRIED:
            break
    if not found and text.strip():
        found.append((0, min(len(text), _LONGEST)))
    return found


def _plain(texts: Sequence[str]) -> list[str]:
    batch = normalise_batch(texts)
    return [batch.row(number).text for number in range(len(texts))]


def _names(label: str) -> list[str]:
    return [f"{label}={value}" for value in BY_LABEL[Label(label)].values] or [label]


# --- loading ---------------------------------------------------------------------------------------


def load(folder: Path | None = None) -> Cascade:
    """Load both tiers so that every post is read by both; without ``folder`` the versions that came with Huiyin.

    Args:
        folder: the models folder of an installation.

    Raises:
        ClassifierError: a version is damaged, or onnxruntime is not installed.
    """
    quick = fast.load(_quick_folder(folder))
    if not available():
        raise ClassifierError(WHY_MISSING)
    model = _deep_artifact.read(_deep_artifact.active_folder(folder))
    return Cascade(quick, DeepTier(model), everything=True)


def load_auto(
    folder: Path | None = None, say: Callable[[str], None] = lambda _words: None
) -> Cascade | FastTier:
    """Load the cascade, or the fast tier alone where there is no onnxruntime or no sound deep version.

    Args:
        folder: the models folder of an installation.
        say: told why the deep version cannot be used, if so (``huiyin doctor`` tells it too).

    Raises:
        ClassifierError: the fast version is damaged.
    """
    if not available() or not _deep_artifact.active_folder(folder).exists():
        return fast.load(_quick_folder(folder))
    try:
        model = _deep_artifact.read(_deep_artifact.active_folder(folder))
        return Cascade(fast.load(_quick_folder(folder)), DeepTier(model))
    except ClassifierError as error:
        quick = fast.load(_quick_folder(folder))
        say(str(error))
        return quick


def _quick_folder(folder: Path | None) -> Path:
    from classifiers import _artifact

    return _artifact.active_folder(folder)


def facts(folder: Path) -> str:
    """Say in a line whether the deep tier is in use and in which version.

    Args:
        folder: the models folder of an installation.

    Raises:
        ClassifierError: the version that serves is damaged.
    """
    if not available():
        return f"not in use: {WHY_MISSING}"
    serving = _deep_artifact.active_folder(folder)
    if not (serving / "manifest.json").exists():
        return "not in use: there is none"
    model = _deep_artifact.read(serving)
    return f"{model.version}, sha256 {str(model.facts.get('graph_sha256', ''))[:16]}…, for {', '.join(model.mixes)}"
