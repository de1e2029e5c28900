"""Make a deep version the honest way, and let it count only where it helps on posts that nothing had seen.

Every post gets a score from a network that had not learnt from its part: in a few folds over the parts that are
learnt from, and from a network without the test parts for these. From those scores follow how much the deep tier
counts beside the fast one, for which questions it counts at all, and where the cascade asks it. What ships is then
taught on all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from classifiers import _deep_artifact, _deep_export, _deep_fit, _train
from classifiers._deep_artifact import DeepModel
from classifiers._deep_base import Base
from classifiers._deep_card import card
from classifiers._deep_fit import Lesson, Truths
from classifiers._deep_net import Net, OwnHead, answers
from classifiers._deep_stack import PRICES, Band, Mix, cost, fit, fit_band, mixed, unsure
from classifiers._deep_words import numbered
from classifiers._evaluate import evaluate_answers
from classifiers._question import Question
from classifiers._registry import QUESTIONS
from classifiers._text import normalise_all
from classifiers._train import Example
from classifiers._version import Corpus
from classifiers.fast import FastTier
from monitor.core.errors import ClassifierError

FOLDS: Final = 3
_MOST: Final = (
    0.1  # share of posts that the cascade may ask about: what keeps the whole path at 3,000 posts a second
)
_RESAMPLES: Final = 2000
_SEED: Final = 20261127

Floats = npt.NDArray[np.float64]
Say = Callable[[str], None]
Tiers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Posts with what both tiers say of them, each by a model that had not seen the post's part.

    Attributes:
        examples: the posts.
        fast: question -> posts x answers, probabilities ("yes" alone for yes/no).
        deep: posts x answers of all questions of the network.
    """

    examples: Sequence[Example]
    fast: Mapping[str, Floats]
    deep: Floats

    def joined(self, other: Scored) -> Scored:
        """Return both sets of posts as one."""
        fast = {label: np.vstack((found, other.fast[label])) for label, found in self.fast.items()}
        return Scored([*self.examples, *other.examples], fast, np.vstack((self.deep, other.deep)))


@dataclass(frozen=True, slots=True)
class Counted:
    """What the deep tier counts for, and what was measured.

    Attributes:
        mixes, bands: see :class:`classifiers._deep_artifact.DeepModel`.
        price: what a deep answer costs in false alarms, for the bands.
        weighed: the weights for every question, those included for which the deep tier does not count.
        evaluation: tier -> question -> figures, on the test parts and over all parts.
    """

    mixes: Mapping[str, Mix]
    bands: Mapping[str, Band]
    evaluation: dict[str, Any]
    price: float = 0.0
    weighed: Mapping[str, Mix] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeepMade:
    """A deep version before it is written."""

    model: DeepModel
    evaluation: dict[str, Any]
    facts: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the version."""
        _deep_artifact.save(self.model, folder, self.evaluation, self.facts)


def make(
    corpus: Corpus, version: str, base: Base, lesson: Lesson, say: Say = lambda _words: None
) -> DeepMade:
    """Measure, decide where the deep tier counts, teach on everything.

    Args:
        corpus: our own parts.
        version: begins with ``deep-``.
        base: the encoder to start from.
        lesson: how it is taught.
        say: told what is being done, in English, for a progress line.

    Raises:
        ClassifierError: the version's name, or too little to learn from.
    """
    if not version.startswith(_deep_artifact.PREFIX):
        raise ClassifierError(f"a deep version is named {_deep_artifact.PREFIX}…")
    learnt, held = measure(corpus, base, lesson, say)
    return finish(corpus, version, base, lesson, count(learnt, held, about(base)), say)


def about(base: Base) -> tuple[Question, ...]:
    """Return the questions that the network answers."""
    return tuple(q for q in QUESTIONS if not base.head or str(q.label) in base.head)


def measure(
    corpus: Corpus, base: Base, lesson: Lesson, say: Say = lambda _words: None
) -> tuple[Scored, Scored]:
    """Return the posts that are learnt from and those of the test parts, scored by models that had not seen them."""
    learn, held = corpus.learn(), corpus.held()
    say("fast tier without the test parts")
    trained = _train.train(learn, "0")
    quick = {str(q.label): _yes(q, trained.unseen_chances(q)) for q in QUESTIONS}
    told = FastTier(trained.model).scores([example.text for example in held])
    quick_held = {
        str(q.label): np.column_stack([told[name] for name in _names(q)]).astype(np.float64)
        for q in QUESTIONS
    }
    posts, posts_held = _numbered(base, learn), _numbered(base, held)
    say("deep tier without the test parts")
    without = _deep_fit.scores_of(_taught(base, posts, learn, lesson, say), posts_held)
    return (
        Scored(learn, quick, _folded(base, posts, learn, lesson, say)),
        Scored(held, quick_held, without),
    )


def _folded(
    base: Base, posts: Sequence[list[int]], examples: Sequence[Example], lesson: Lesson, say: Say
) -> Floats:
    """Return the scores of each post by a network that had not seen its part."""
    names = np.array([example.group for example in examples])
    groups = sorted(set(names.tolist()), key=lambda name: (len(name), name))
    found: Floats = np.zeros((len(posts), len(answers(about(base)))))
    folds = min(FOLDS, len(groups))
    for number in range(folds):
        inside = np.isin(names, groups[number::folds])
        say(f"deep tier, fold {number + 1} of {folds}")
        rows, rest = np.flatnonzero(inside).tolist(), np.flatnonzero(~inside).tolist()
        net = _taught(base, [posts[row] for row in rest], [examples[row] for row in rest], lesson, say)
        found[rows] = _deep_fit.scores_of(net, [posts[row] for row in rows])
    return found


def _taught(
    base: Base, posts: Sequence[list[int]], examples: Sequence[Example], lesson: Lesson, say: Say
) -> Net | OwnHead:
    if base.head:
        ((label, columns),) = base.head.items()
        return OwnHead(base.encoder, columns, not next(q for q in QUESTIONS if q.label == label).values)
    vocabulary = base.pieces.get_vocab(with_added_tokens=True)
    apart = _deep_fit.pieces_apart(vocabulary)
    return _deep_fit.teach(
        base.encoder, base.width, posts, Truths(examples), lesson, apart, hidden=base.hidden, say=say
    )


def _numbered(base: Base, examples: Sequence[Example]) -> list[list[int]]:
    return numbered(base.pieces, normalise_all([example.text for example in examples]), base.longest)


def _names(question: Question) -> list[str]:
    return [f"{question.label}={value}" for value in question.values] or [str(question.label)]


def _yes(question: Question, chance: Floats) -> Floats:
    return chance if question.values else chance[:, 1:]


# --- what it counts for ----------------------------------------------------------------------------


def count(learnt: Scored, held: Scored, questions: Sequence[Question]) -> Counted:
    """Decide on the posts that are learnt from, measure on the test parts; then decide again on all for what ships."""
    tried = _decided(learnt, questions)
    everything = learnt.joined(held)
    final = _decided(everything, questions)
    evaluation = {
        "held_out": _figures(held, tried, questions),
        "held_out_parts": sorted({example.group for example in held.examples}),
        "cross_validated": _figures(everything, final, questions),
        "unsure": {
            "held_out": _share(held, tried.bands),
            "cross_validated": _share(everything, final.bands),
            "price": final.price,
        },
        "counts": {
            str(q.label): {"held_out": str(q.label) in tried.mixes, "shipped": str(q.label) in final.mixes}
            for q in questions
        },
    }
    return replace(final, evaluation=evaluation)


def _columns(questions: Sequence[Question], question: Question) -> list[int]:
    return [at for at, (label, _) in enumerate(answers(questions)) if label == question.label]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question over the posts that answer it."""

    question: Question
    fast: Floats
    deep: Floats
    truth: npt.NDArray[np.int64]
    groups: npt.NDArray[np.str_]


def _asked(scored: Scored, questions: Sequence[Question], question: Question) -> _Asked:
    truths = [question.truth(example.row) for example in scored.examples]
    rows = np.flatnonzero([truth is not None for truth in truths])
    names = question.values or ("0", "1")
    truth = np.array([names.index(truths[row] or "") for row in rows.tolist()], dtype=np.int64)
    return _Asked(
        question,
        scored.fast[str(question.label)][rows],
        scored.deep[rows][:, _columns(questions, question)],
        truth,
        np.array([scored.examples[row].group for row in rows.tolist()]),
    )


def _decided(scored: Scored, questions: Sequence[Question]) -> Counted:
    """Give the deep tier a say where it makes answers better, and bands where asking it pays.

    The price of an answer is the lowest at which the cascade stays within its share of posts.
    """
    mixes: dict[str, Mix] = {}
    weighed: dict[str, Mix] = {}
    asks: list[tuple[_Asked, Floats]] = []
    for question in questions:
        asked = _asked(scored, questions, question)
        mix = weighed[str(question.label)] = fit(asked.fast, asked.deep, asked.truth)
        both = mixed(mix, asked.fast, asked.deep)
        alone = mixed(fit(asked.fast, asked.deep, asked.truth, (True, False)), asked.fast, asked.deep)
        if mix.deep > 0 and _surely(_mistakes(asked, alone) - _mistakes(asked, both), asked.groups):
            mixes[str(question.label)] = mix
            if not question.given:
                asks.append((asked, both))
    bands: dict[str, Band] = {}
    for price in PRICES:
        bands = {str(asked.question.label): _band(asked, both, price) for asked, both in asks}
        if _share(scored, bands) <= _MOST:
            break
    return Counted(mixes, bands, {}, price, weighed)


def _mistakes(asked: _Asked, chance: Floats) -> Floats:
    """Return what the answer about each post costs, in false alarms (or in wrong answers)."""
    question = asked.question
    if question.values:
        wrong: Floats = (chance.argmax(axis=1) != asked.truth).astype(np.float64)
        return wrong
    return cost(chance[:, 0], asked.truth, question.threshold, question.miss_cost)


def _band(asked: _Asked, both: Floats, price: float) -> Band:
    question = asked.question
    saved = _mistakes(asked, asked.fast) - _mistakes(asked, both)
    if question.values:
        return fit_band(asked.fast.max(axis=1), saved, 0.0, price)
    return fit_band(asked.fast[:, 0], saved, question.threshold, price)


def _surely(gain: Floats, groups: npt.NDArray[np.str_]) -> bool:
    """Tell whether a gain holds over parts: 97.5 % of bootstrap samples of the parts show one.

    Posts of one part are alike, so the part is what is drawn.
    """
    _, number = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(number, gain), np.bincount(number)
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, len(sums), (_RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return float(np.quantile(means, 0.025)) > 0


def _share(scored: Scored, bands: Mapping[str, Band]) -> float:
    """Return the share of posts that the cascade asks the deep tier about."""
    return round(float(_sent(scored, bands).mean()), 4)


def _sent(scored: Scored, bands: Mapping[str, Band]) -> npt.NDArray[np.bool_]:
    """Tell for each post whether the cascade asks the deep tier about it."""
    if not bands:
        return np.zeros(len(scored.examples), dtype=np.bool_)
    return unsure(bands, {label: scored.fast[label].max(axis=1) for label in bands})


def _figures(scored: Scored, counted: Counted, questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Return tier -> question -> figures: fast, deep alone, both on every post, and the cascade.

    ``both`` weighs the tiers for every question; the cascade only where the deep tier counts.
    """
    found: dict[str, dict[str, Any]] = {"fast": {}, "deep": {}, "both": {}, "cascade": {}}
    sent = _sent(scored, counted.bands)
    for question in questions:
        label = str(question.label)
        asked = _asked(scored, questions, question)
        alone = mixed(fit(asked.fast, asked.deep, asked.truth, (False, True)), asked.fast, asked.deep)
        both = mixed(counted.weighed[label], asked.fast, asked.deep)
        rows = np.array([question.truth(example.row) is not None for example in scored.examples])
        asks = sent[rows][:, None] & (label in counted.mixes)
        cascade = np.where(asks, both, asked.fast)
        for tier, chance in (("fast", asked.fast), ("deep", alone), ("both", both), ("cascade", cascade)):
            found[tier][label] = _measured(asked, chance)
    return found


def _measured(asked: _Asked, chance: Floats) -> dict[str, Any]:
    question = asked.question
    names = question.values or ("0", "1")
    full = chance if question.values else np.hstack((1 - chance, chance))
    threshold = None if question.values else question.threshold
    return evaluate_answers(question, [names[number] for number in asked.truth.tolist()], full, threshold)


# --- what ships ------------------------------------------------------------------------------------


def finish(
    corpus: Corpus,
    version: str,
    base: Base,
    lesson: Lesson,
    counted: Counted,
    say: Say = lambda _words: None,
) -> DeepMade:
    """Teach on all parts and write down what was measured."""
    everything = corpus.all()
    say("deep tier on all parts")
    net = _taught(base, _numbered(base, everything), everything, lesson, say)
    say("writing the graph")
    facts = {
        "trained_on": [f"{name}.jsonl" for name in corpus.parts],
        "rows": len(everything),
        "measured_without": [f"{name}.jsonl" for name in corpus.test],
        "base": base.name,
        "lesson": {name: getattr(lesson, name) for name in Lesson.__slots__},
        "folds": FOLDS,
    }
    model = DeepModel(
        version=version,
        graph=_deep_export.export(net),
        pieces=base.pieces.to_str(),
        answers=tuple(answers(about(base))),
        longest=base.longest,
        mixes=counted.mixes,
        bands=counted.bands,
        thresholds={str(q.label): round(q.threshold, 4) for q in QUESTIONS if not q.values},
    )
    evaluation = counted.evaluation
    return DeepMade(replace(model, card=card(version, evaluation, facts)), evaluation, facts)
