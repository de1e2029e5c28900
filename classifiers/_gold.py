"""Frozen answers: what a measured model said of the held-out posts, so that a later version can be compared post by post.

A version that is fitted on everything cannot be asked about its test parts. What is kept is what the model said that
was fitted without them: ``gold.npz`` in the version's folder, by the digest of each text; no text is kept.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from classifiers._question import Question
from classifiers._train import Example

FILE: Final = "gold.npz"
RESAMPLES: Final = 2000
_SEED: Final = 20261125

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gold:
    """What was said of posts: their digests, and per question the index of the answer said."""

    posts: npt.NDArray[np.uint64]
    said: Mapping[str, Ints]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions on the posts that both were asked about.

    Attributes:
        question: the question.
        n: how many posts.
        old, new: F1 of yes, macro-F1 where there are several answers.
        gain: new less old.
        interval: 95 % interval of the gain by bootstrap over posts, the same posts for both.
    """

    question: str
    n: int
    old: float
    new: float
    gain: float
    interval: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Say whether the gain is below zero beyond chance."""
        return self.interval[1] < 0

    @property
    def better(self) -> bool:
        """Say whether the gain is above zero beyond chance."""
        return self.interval[0] > 0


def digest(text: str) -> int:
    """Return 64 bits of the SHA-256 of a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def asked(model: Any, questions: Sequence[Question], examples: Sequence[Example]) -> Gold:
    """Ask a model about every post."""
    texts = [example.text for example in examples]
    scores = model.scores(texts)
    said = {}
    for question in questions:
        label = str(question.label)
        if question.values:
            said[label] = np.stack([scores[f"{label}={value}"] for value in question.values]).argmax(axis=0)
        else:
            said[label] = (scores[label] >= model.thresholds[label]).astype(np.int64)
    return Gold(np.array([digest(text) for text in texts], dtype=np.uint64), said)


def save(gold: Gold, folder: Path) -> None:
    """Write what was said into a version's folder."""
    np.savez_compressed(
        folder / FILE,
        **cast(Any, {"posts": gold.posts, **{f"said_{k}": v.astype(np.int8) for k, v in gold.said.items()}}),
    )


def read(folder: Path) -> Gold | None:
    """Return what the version was measured by, or None when nothing (readable) was kept."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            said = {
                name[5:]: arrays[name].astype(np.int64) for name in arrays.files if name.startswith("said_")
            }
            return Gold(arrays["posts"], said)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def compare(
    old: Gold, new: Gold, questions: Sequence[Question], examples: Sequence[Example]
) -> list[Compared]:
    """Compare what two versions said, on the posts that both know and that answer the question."""
    truth = {digest(example.text): example.row for example in examples}
    mine = {int(post): at for at, post in enumerate(old.posts.tolist())}
    found = []
    for question in questions:
        names = question.values or ("0", "1")
        rows = [
            (names.index(answer), mine[post], at)
            for at, post in enumerate(new.posts.tolist())
            if post in mine and post in truth and (answer := question.truth(truth[post])) is not None
        ]
        label = str(question.label)
        if rows and label in old.said and label in new.said:
            told, here, there = np.array(rows, dtype=np.int64).T
            found.append(_compared(label, len(names), told, old.said[label][here], new.said[label][there]))
    return found


def _compared(label: str, answers: int, truth: Ints, old: Ints, new: Ints) -> Compared:
    """Resample posts; a resample is a draw of the table of truth by old by new answer."""
    size = answers
    cells = np.bincount((truth * size + old) * size + new, minlength=size**3)
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(len(truth), cells / len(truth), size=RESAMPLES)
    tables = np.concatenate((cells[None], draws)).reshape(-1, size, size, size)
    gains = _f1(tables.sum(axis=2)) - _f1(tables.sum(axis=3))
    low, high = (round(float(number), 4) for number in np.quantile(gains[1:], (0.025, 0.975)))
    was, now = float(_f1(tables[:1].sum(axis=3))[0]), float(_f1(tables[:1].sum(axis=2))[0])
    return Compared(label, len(truth), round(was, 4), round(now, 4), round(now - was, 4), (low, high))


def _f1(tables: Ints) -> Floats:
    """Return F1 of yes, or the mean over the answers that occur, for tables of truth by answer."""
    hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    true, said = tables.sum(axis=2), tables.sum(axis=1)
    scores = 2 * hits / np.maximum(true + said, 1)
    if tables.shape[1] == 2:
        return cast(Floats, scores[:, 1])
    there = true > 0
    return cast(Floats, (scores * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
