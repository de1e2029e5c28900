"""What the scores of the deep tier count for beside the fast tier's answer, and which posts it is asked about.

A mixed answer is a logistic function of the fast tier's log odds and the deep tier's score, neither with a weight
below zero: what speaks more for an answer never makes it less likely. A band is where the fast tier's probability is
neither low nor high enough; it is as wide as it pays at a stated price of one deep answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PRICES: Final = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.09, 0.1, 0.12, 0.2, 0.3, 0.5)
"""What a deep answer may cost in false alarms: at 0.02, fifty of them have to save one false alarm."""
_EDGE: Final = 1e-4
_FIRM: Final = 1e-3  # how strongly the weights are held back

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights of the two tiers for one question.

    Attributes:
        fast: weight of the fast tier's log odds.
        deep: weight of the deep tier's score.
        bias: one number for yes/no, else one for each answer.
    """

    fast: float
    deep: float
    bias: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """The deep tier is asked when the fast tier's probability lies in [low, high); empty when low >= high."""

    low: float
    high: float

    def holds(self, chance: Floats) -> npt.NDArray[np.bool_]:
        """Tell for each probability whether it lies inside."""
        return np.logical_and(chance >= self.low, chance < self.high)


def odds(chance: Floats) -> Floats:
    """Return the log odds of probabilities; the ends are cut."""
    cut = np.clip(chance, _EDGE, 1 - _EDGE)
    found: Floats = np.log(cut) - np.log1p(-cut)
    return found


def mixed(mix: Mix, fast: Floats, deep: Floats) -> Floats:
    """Return posts x answers: the mixed probabilities.

    Args:
        mix: the weights.
        fast: posts x answers, probabilities of the fast tier ("yes" alone for yes/no).
        deep: posts x answers, scores of the deep tier, the same columns.
    """
    if len(mix.bias) == 1:
        logit = mix.fast * odds(fast) + mix.deep * deep + mix.bias[0]
        yes: Floats = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        return yes
    logit = mix.fast * np.log(np.clip(fast, _EDGE, 1)) + mix.deep * deep + np.array(mix.bias)
    share = np.exp(logit - logit.max(axis=1, keepdims=True))
    shares: Floats = share / share.sum(axis=1, keepdims=True)
    return shares


def unsure(bands: Mapping[str, Band], chances: Mapping[str, Floats]) -> npt.NDArray[np.bool_]:
    """Tell for each post whether any question's band holds the fast tier's probability."""
    size = len(next(iter(chances.values())))
    found = np.zeros(size, dtype=np.bool_)
    for label, band in bands.items():
        found |= band.holds(chances[label])
    return found


# --- fitting ---------------------------------------------------------------------------------------


def fit(fast: Floats, deep: Floats, truth: Truth, use: tuple[bool, bool] = (True, True)) -> Mix:
    """Return the weights that give ``truth`` the highest likelihood, none below zero.

    Args:
        fast, deep: see :func:`mixed`; from models that had not seen the posts.
        truth: 0/1 for yes/no, else the number of the answer.
        use: whether the fast and the deep tier have a weight at all.
    """
    from scipy.optimize import minimize  # here: answering does without it

    size = fast.shape[1]

    def lost(weights: Floats) -> float:
        chance = mixed(Mix(weights[0], weights[1], tuple(weights[2:])), fast, deep)
        right = (
            chance[np.arange(len(truth)), truth]
            if size > 1
            else np.where(truth == 1, chance[:, 0], 1 - chance[:, 0])
        )
        return float(-np.log(np.maximum(right, 1e-12)).mean() + _FIRM * (weights[:2] ** 2).sum())

    bounds: list[Any] = [(0.0, None if used else 0.0) for used in use] + [(None, None)] * size
    start = np.array([0.5 * use[0], 0.5 * use[1], *([0.0] * size)])
    found = minimize(lost, start, method="L-BFGS-B", bounds=bounds).x
    return Mix(
        round(float(found[0]), 5), round(float(found[1]), 5), tuple(round(float(b), 5) for b in found[2:])
    )


def cost(chance: Floats, truth: Truth, threshold: float, miss: float) -> Floats:
    """Return what the answer about each post costs, in false alarms."""
    said = chance >= threshold
    costs: Floats = np.where(truth == 1, np.where(said, 0.0, miss), np.where(said, 1.0, 0.0))
    return costs


def fit_band(fast: Floats, saved: Floats, threshold: float, price: float) -> Band:
    """Return the band round the operating point in which asking the deep tier saves most after its price.

    Args:
        fast: the fast tier's probabilities of yes (of the likeliest answer where there are several).
        saved: what asking saves on each post, in false alarms; from models that had not seen the posts.
        threshold: operating point; 0 where there are several answers, the least sure of which are asked.
        price: what a deep answer costs in false alarms.
    """
    net, below = saved - price, fast < threshold
    low = _edge(fast[below], net[below], threshold, -1)
    high = _edge(fast[~below], net[~below], threshold, 1)
    return Band(round(low, 4), round(high, 4))


def _edge(fast: Floats, saved: Floats, threshold: float, way: int) -> float:
    """Return how far from the operating point it pays to ask."""
    if not len(fast):
        return threshold
    order = np.argsort(way * fast, kind="stable")
    gains = np.cumsum(saved[order])
    best = int(gains.argmax())
    if gains[best] <= 0:
        return threshold
    edge = float(fast[order[best]])
    return edge if way < 0 else min(edge + _EDGE, 1.0)
