"""The second look: what the scores of all questions together tell about one of them.

A post that is surely a joke or a notice is less of an advert than its words alone suggest. The sheet holds every score,
and every score once more as far as it is evidence for its question. Scores are cut where training has few posts, so
that the look stays sober on a post that is unlike all others.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

_LOWEST: Final = -1.1
_HIGHEST: Final = 1.5
_EVIDENCE: Final = -0.5

Number = TypeVar("Number", bound=np.floating[Any])


def sheet(raw: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return posts x (1, scores, evidence) for posts x scores of the heads that are always asked."""
    cut = np.clip(raw, _LOWEST, _HIGHEST)
    ones = np.ones((len(raw), 1), dtype=raw.dtype)
    return np.hstack((ones, cut, np.maximum(cut, _EVIDENCE)))


def width(heads: int) -> int:
    """Return how many columns the sheet of so many heads has."""
    return 1 + 2 * heads
