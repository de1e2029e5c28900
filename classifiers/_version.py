"""Make a model version the honest way: measure one that has not seen the test parts, then fit what ships on everything.

The figures in ``evaluation.json`` and on the card belong to the first; the card says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifiers import _artifact, _gold, _train
from classifiers._artifact import Model
from classifiers._card import card
from classifiers._evaluate import evaluate, evaluate_answers
from classifiers._gold import Compared, Gold
from classifiers._question import Question
from classifiers._registry import QUESTIONS
from classifiers._train import Example, Trained
from classifiers.fast import FastTier
from monitor.core.errors import ClassifierError

OWN_LICENCE: Final = "CC BY 4.0"
DATA_LICENCE: Final = "as given by the user"
SPLIT: Final = "split.json"
_TOLERANCE: Final = 0.005
_ENOUGH: Final = 20


@dataclass(frozen=True, slots=True)
class Corpus:
    """Our own labelled parts, and which of them are for measuring.

    Attributes:
        parts: part name -> its posts.
        test: names of the parts that a measured model must not have seen.
    """

    parts: Mapping[str, Sequence[Example]]
    test: tuple[str, ...]

    def learn(self) -> list[Example]:
        """Return the posts of all parts but the test parts."""
        return [e for name, part in self.parts.items() if name not in self.test for e in part]

    def held(self) -> list[Example]:
        """Return the posts of the test parts."""
        return [e for name in self.test for e in self.parts[name]]

    def all(self) -> list[Example]:
        """Return the posts of all parts."""
        return [e for part in self.parts.values() for e in part]


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled posts of a user: one tenth of them, chosen by their texts, is never learnt from."""

    files: tuple[str, ...]
    learn: tuple[Example, ...]
    held: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A model version before it is written.

    Attributes:
        model: what ships, fitted on everything.
        evaluation: what was measured of the model that was fitted without ``held``.
        facts: where it comes from.
        gold: what that model said of each post of ``held``.
        held: the posts of the test parts, and those of the user's that were not learnt from.
        own: the user's among them.
    """

    model: Model
    evaluation: dict[str, Any]
    facts: dict[str, Any]
    gold: Gold
    held: tuple[Example, ...] = ()
    own: tuple[Example, ...] = ()

    def save(self, folder: Path) -> None:
        """Write the version."""
        _artifact.save(self.model, folder, self.evaluation, self.facts)
        _gold.save(self.gold, folder)


def read_corpus(folder: Path) -> Corpus:
    """Read ``part*.jsonl`` and ``split.json`` of a folder.

    Raises:
        ClassifierError: there is no part, a file is damaged, or the split names a part that is not there.
    """
    paths = sorted(folder.glob("part*.jsonl"), key=lambda path: (len(path.stem), path.stem))
    parts = {path.stem: _train.read_part(path) for path in paths}
    try:
        test = tuple(json.loads((folder / SPLIT).read_text(encoding="utf-8"))["test"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClassifierError(
            f"{SPLIT} of the corpus is missing or damaged; it names the test parts"
        ) from error
    if not parts or set(test) - set(parts):
        raise ClassifierError(f"the corpus lacks parts that {SPLIT} names; see corpora/domain/README.md")
    return Corpus(parts, test)


def read_data(paths: Iterable[Path], question: Question | None) -> Data:
    """Read a user's labelled posts.

    Args:
        paths: JSONL files, plain or .gz.
        question: take the answers to this question alone; None takes all.
    """
    files = list(paths)
    found = [example for path in files for example in _train.read_data(path, question)]
    held = [example for example in found if _train.fold(example.text) == 0]
    learn = [example for example in found if _train.fold(example.text) != 0]
    return Data(tuple(path.name for path in files), tuple(learn), tuple(held))


NO_DATA: Final = Data((), (), ())


def make(
    corpus: Corpus, version: str, data: Data = NO_DATA, say: Callable[[str], None] = lambda _words: None
) -> Made:
    """Measure on the test parts, cross-validate over parts, fit on everything.

    Args:
        corpus: our own parts.
        version: the new version's name.
        data: a user's posts.
        say: told what is being done, in English, for a progress line.

    Raises:
        ClassifierError: too little to learn from.
    """
    say("measuring: fitting without the test parts")
    tried = FastTier(_train.train([*corpus.learn(), *data.learn], version).model)
    held_out = _figures(tried, corpus.held())
    evaluation: dict[str, Any] = {
        "held_out": held_out,
        "held_out_parts": list(corpus.test),
        "held_out_by_part": {name: _f1(_figures(tried, corpus.parts[name])) for name in corpus.test},
    }
    if data.held:
        evaluation["data_held_out"] = _figures(tried, data.held, fewest=_ENOUGH)
    say("fitting on all parts")
    everything = [*corpus.all(), *data.learn]
    final = _train.train(everything, version)
    evaluation["cross_validated"] = _cross_validated(final, everything)
    facts = _facts(corpus, data, final)
    held = (*corpus.held(), *data.held)
    gold = _gold.asked(tried, QUESTIONS, held)
    return Made(
        replace(final.model, card=card(version, evaluation, facts)), evaluation, facts, gold, held, data.held
    )


def _facts(corpus: Corpus, data: Data, final: Trained) -> dict[str, Any]:
    sources = [
        {"file": f"{name}.jsonl", "licence": OWN_LICENCE, "posts": len(part)}
        for name, part in corpus.parts.items()
    ]
    sources += [{"file": name, "licence": DATA_LICENCE} for name in data.files]
    return {
        "trained_on": sources,
        "rows": len(final.examples),
        "measured_without": [f"{name}.jsonl" for name in corpus.test],
        "seed": _train.SEED,
        "settings": _train.settings(),
    }


def _figures(model: FastTier, examples: Sequence[Example], fewest: int = 1) -> dict[str, Any]:
    found = {}
    for question in QUESTIONS:
        outcome = evaluate(model, question, [example.row for example in examples])
        if outcome is not None and outcome.figures["n"] >= fewest:
            outcome.figures.pop("posts_per_s")  # a version is the same wherever it was made
            found[str(question.label)] = outcome.figures
    return found


def _f1(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {"posts": max(found["n"] for found in figures.values())} | {
        label: found["f1"] for label, found in figures.items()
    }


def _cross_validated(final: Trained, examples: Sequence[Example]) -> dict[str, Any]:
    """Return figures over all posts, each scored by a model that had not seen its part."""
    found = {}
    for question in QUESTIONS:
        chance = final.unseen_chances(question)
        truths = [question.truth(example.row) for example in examples]
        rows = np.flatnonzero([truth is not None for truth in truths])
        threshold = final.model.thresholds.get(str(question.label))
        told = [truths[row] or "" for row in rows.tolist()]
        found[str(question.label)] = evaluate_answers(question, told, chance[rows], threshold)
    return found


# --- is it better? ---------------------------------------------------------------------------------


def compared(made: Made, serving: Path) -> list[Compared]:
    """Compare a version with the one in ``serving``, post by post, on the frozen gold: the posts that neither learnt from.

    Where the serving version kept no answers of its own there is nothing to compare, save the user's held-out posts,
    which no version learns from: these it is asked about now.
    """
    old = _gold.read(serving) or Gold(np.zeros(0, dtype=np.uint64), {})
    if made.own:
        old = _with(old, _gold.asked(FastTier(_artifact.read(serving)), QUESTIONS, made.own))
    return _gold.compare(old, made.gold, QUESTIONS, made.held)


def _with(old: Gold, more: Gold) -> Gold:
    """Add answers about other posts; a post that is there already stays as it was."""
    fresh = ~np.isin(more.posts, old.posts)
    none = np.zeros(0, dtype=np.int64)
    said = {
        label: np.concatenate((old.said.get(label, none), told[fresh])) for label, told in more.said.items()
    }
    return Gold(np.concatenate((old.posts, more.posts[fresh])), said)


def objections(
    made: Made, serving: Path, found: Sequence[Compared], questions: Sequence[Question] = QUESTIONS
) -> list[str]:
    """Return why a version should not serve instead of the one in ``serving``; empty when it may.

    It has to be measured on the same parts, be worse at no question there (beyond chance, or by more than half a point
    of F1), and be better at one of ``questions``.
    """
    old = _artifact.evaluation(serving)
    if old.get("held_out_parts") != made.evaluation["held_out_parts"]:
        return ["the serving version was measured on other parts; choose by 'huiyin models use' yourself"]
    if not found:
        return ["the serving version kept no answers to compare with; choose by 'huiyin models use' yourself"]
    faults = [
        f"{one.question}: F1 {one.gain:+.3f} on {one.n} held-out posts"
        for one in found
        if one.worse or one.gain < -_TOLERANCE
    ]
    wanted = {str(question.label) for question in questions}
    if faults or any(one.gain > 0 for one in found if one.question in wanted):
        return faults
    return ["no question is answered better"]
