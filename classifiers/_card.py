"""The model card: what a version is for, what it learnt from, what it is worth and where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from classifiers._measure import compared
from classifiers._registry import QUESTIONS

_USE: Final = """Linear models over hashed character n-grams and words of the normalised post, with a small second look
over all scores. Written for Chinese posts in the own channels of a university trade union. An answer puts a post
before a person; it never decides. Criticism of school, union or leaders is no ground for spam or abuse, and the
sentiment of a post never enters a removal."""

_LIMITS: Final = """- The posts are invented by few hands and heavier in flagged posts than a real channel (about three
  in five carry a label): expect lower precision in a quiet group.
- Very short posts, irony without a telling word, dialect and languages other than Chinese are the weakest.
- A rumour score says "this passes on an unverified claim", never "this is false".
- Urgency is the least certain label: two careful readers agree at kappa 0.76 to 0.90.
- Probabilities are calibrated on posts like those of the corpus."""


def card(version: str, evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the card in Markdown."""
    held = ", ".join(evaluation["held_out_parts"])
    parts = [
        f"# fast {version}",
        _USE,
        "## Questions",
        "\n".join(f"- **{question.label}**: {question.about}" for question in QUESTIONS),
        "## Learnt from",
        _sources(facts["trained_on"]),
        f"{facts['rows']} posts. No public corpus gave a label or a row.",
        "## Measured",
        f"On whole parts ({held}) by a model that had not seen them; what ships is fitted on all parts, so these "
        "figures cannot be measured on it again. 95 % bootstrap intervals over posts. F1 is that of yes at the "
        "operating point, macro-F1 where there are several answers.",
        _table(evaluation["held_out"]),
        "Part by part, F1:",
        _by_part(evaluation["held_out_by_part"]),
        "Cross-validated: every post of every part scored by a model that had not seen its part.",
        _table(evaluation["cross_validated"]),
    ]
    if evaluation.get("data_held_out"):
        parts += [
            "On the tenth of the user's own posts that was not learnt from:",
            _table(evaluation["data_held_out"]),
        ]
    parts += ["## Known limits", _LIMITS]
    return "\n\n".join(parts) + "\n"


def _sources(sources: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"- {source['file']} ({source['licence']})" for source in sources)


def _table(figures: Mapping[str, Any]) -> str:
    rows = ["| question | posts | F1 (95 %) | PR-AUC (95 %) | accuracy | ECE |", "|---|---|---|---|---|---|"]
    for label, found in figures.items():
        yes = found["classes"].get("1")
        f1 = compared(yes["f1"], yes["f1_95"]) if yes else _value(found["macro_f1"])
        area = _value(found["pr_auc"])
        accuracy = found["accuracy"]["value"]
        rows.append(f"| {label} | {found['n']} | {f1} | {area} | {accuracy:.3f} | {found['ece']:.3f} |")
    return "\n".join(rows)


def _by_part(figures: Mapping[str, Mapping[str, float]]) -> str:
    labels = [str(question.label) for question in QUESTIONS]
    rows = [f"| part | posts | {' | '.join(labels)} |", "|---|---|" + "---|" * len(labels)]
    for part, found in figures.items():
        cells = (f"{found[label]:.3f}" if label in found else "–" for label in labels)
        rows.append(f"| {part} | {found['posts']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _value(figure: Mapping[str, Any]) -> str:
    if "interval_95" in figure:
        return compared(figure["value"], figure["interval_95"])
    return f"{figure['value']:.3f}"
