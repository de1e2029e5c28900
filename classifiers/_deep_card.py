"""The card of a deep version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from classifiers._measure import compared

_USE: Final = """A small transformer beside the fast tier, asked about posts of which the fast tier is unsure. Its scores
never stand alone: they are weighed with the fast tier's answer. An answer puts a post before a person; it never
decides. Criticism of school, union or leaders is no ground for spam or abuse."""

_LIMITS: Final = """- Taught on the same invented posts as the fast tier, with the same limits.
- A small encoder that has read a few million words: it has no knowledge of the world.
- A question for which it did not help on unseen posts is left to the fast tier ("counts" below)."""

_TIERS: Final = ("fast", "deep", "both", "cascade")


def card(version: str, evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the card in Markdown."""
    counts = ", ".join(label for label, told in evaluation["counts"].items() if told["shipped"]) or "none"
    parts = [
        f"# {version}",
        _USE,
        "## Learnt from",
        f"Labels: {facts['rows']} posts of corpora/domain ({len(facts['trained_on'])} parts, CC BY 4.0). Encoder: {facts['base']}.",
        f"Counts for: {counts}.",
        "## Measured",
        f"On whole parts ({', '.join(evaluation['held_out_parts'])}) by models that had not seen them. F1 of yes at the "
        "operating point, macro-F1 where there are several answers; 95 % bootstrap intervals over posts. The cascade "
        f"asked the deep tier about {evaluation['unsure']['held_out']:.1%} of these posts. `both` weighs the tiers on "
        "every post, also for questions for which the deep tier does not count.",
        table(evaluation["held_out"]),
        "Cross-validated: every post of every part scored by models that had not seen its part; the weights between "
        "the tiers and the bands were fitted on these same scores. Asked about "
        f"{evaluation['unsure']['cross_validated']:.1%}.",
        table(evaluation["cross_validated"]),
        "## Known limits",
        _LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return question x tier: F1 with its interval."""
    rows = ["| question | posts | " + " | ".join(_TIERS) + " |", "|---|---|" + "---|" * len(_TIERS)]
    for label, found in figures["fast"].items():
        told = " | ".join(_f1(figures[tier][label]) for tier in _TIERS)
        rows.append(f"| {label} | {found['n']} | {told} |")
    return "\n".join(rows)


def _f1(found: Mapping[str, Any]) -> str:
    yes = found["classes"].get("1")
    if yes:
        return compared(yes["f1"], yes["f1_95"])
    return compared(found["macro_f1"]["value"], found["macro_f1"]["interval_95"])
