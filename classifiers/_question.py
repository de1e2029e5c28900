"""What a question is: the one shape that every file of this package named after a label fills in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.core.model import Label

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a post, as data: what counts as yes, what a mistake costs, how a reason is worded.

    Attributes:
        label: the question's name in readings.
        about: one English sentence for the model card.
        values: the possible answers; empty for yes/no.
        names: label names of public corpora and what they mean here ("1"/"0" for yes/no).
        tasks: names of the task in public corpora that ask the same question.
        miss_cost: how many false alarms one miss is worth; the operating point is 1 / (1 + miss_cost).
        given: labels of which one must be flagged for this question to be asked; empty means always.
        sources: public corpora with an open licence whose rows may shape the shipped weights.
        removal: a yes may lead to a removal; its score never looks at the sentiment.
        why: (words, sentence) pairs; the first pair with a word inside the span words the reason (Chinese msgids).
        why_else: the sentence when no word fits.
    """

    label: Label
    about: str
    values: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    miss_cost: float = 1.0
    given: tuple[Label, ...] = ()
    sources: tuple[str, ...] = ()
    removal: bool = False
    why: tuple[tuple[tuple[str, ...], str], ...] = ()
    why_else: str = ""

    @property
    def threshold(self) -> float:
        """Return the probability from which a yes is worth its false alarms."""
        return 1.0 / (1.0 + self.miss_cost)

    def truth(self, row: Row) -> str | None:
        """Return a row's answer ("1"/"0" or a value), or None when the row says nothing about this question."""
        own = row.get(str(self.label))
        if own is not None:
            return self._own(own)
        named = row.get("label")
        if named is None or ("task" in row and row["task"] not in self.tasks):
            return None
        return self.names.get(str(named))

    def _own(self, value: object) -> str | None:
        if self.values:
            return value if isinstance(value, str) and value in self.values else None
        if value in (0, 1):
            return str(int(bool(value)))
        return None

    def explain(self, text: str) -> str:
        """Return the sentence that words a reason, from the plain text of its span."""
        for words, told in self.why:
            for word in words:
                if word in text:
                    return told
        return self.why_else
