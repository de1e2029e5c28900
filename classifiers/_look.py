"""From scores to probabilities: one look over several scores for each question.

A yes/no question looks at the sheet: every score of the questions that are always asked, and every such score once more
as far as it is evidence. A post that is surely a joke or a notice is less of an advert than its words alone suggest.
Scores are cut where training has few posts, so that the look stays sober on a post that is unlike all others. A
question with several answers looks at the scores of its own answers, each once more as far as it is evidence: that a
post is still less about health says nothing on whether it is about pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LOWEST: Final = -1.1
_HIGHEST: Final = 1.5
_EVIDENCE: Final = -0.5  # with it the topic's calibration error is 0.014 instead of 0.036 (leaving parts out)

Numbers = npt.NDArray[np.floating[Any]]
Look = tuple[tuple[float, ...], ...]
"""Coefficients: a row for each answer ("yes" alone for yes/no), a column for each column of what is looked at."""


def sheet(raw: Numbers) -> Numbers:
    """Return posts x (1, scores, evidence) for posts x scores of the questions that are always asked."""
    cut = np.clip(raw, _LOWEST, _HIGHEST)
    return np.hstack((np.ones((len(raw), 1), dtype=raw.dtype), cut, np.maximum(cut, _EVIDENCE)))


def own(raw: Numbers) -> Numbers:
    """Return posts x (1, scores, evidence) for posts x scores of the answers of one question."""
    return np.hstack((np.ones((len(raw), 1), dtype=raw.dtype), raw, np.maximum(raw, _EVIDENCE)))


def chances(look: Sequence[Sequence[float]], laid: Numbers) -> npt.NDArray[np.float64]:
    """Return posts x answers: the probability of each answer, from what is looked at (:func:`sheet` or :func:`own`)."""
    weights = np.array(look, dtype=np.float64)
    # sums in numpy, not BLAS: the answer must not depend on how many posts stand in the batch
    logit = (laid[:, None, :] * weights[None, :, :]).sum(axis=2)
    if len(look) == 1:
        yes: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logit, -30, 30)))
        return yes
    odds = np.exp(logit - logit.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def width(answers: int, always: int) -> int:
    """Return how many columns a look has.

    Args:
        answers: how many answers the question has heads for; 1 for yes/no.
        always: how many heads are asked of every post.
    """
    return 1 + 2 * (always if answers == 1 else answers)
