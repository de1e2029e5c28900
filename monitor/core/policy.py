"""The triage table: which reading opens which case, in which order of urgency, and why.

Read :data:`RULES` from top to bottom. A ``live`` rule opens a case; a ``silent`` one is counted and does nothing
else; a ``draft`` one is only written down. Criticism is never a violation: no row that opens a moderation case
looks at sentiment, topic or urgency, and a test keeps it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.core.model import CaseKind, Label, Post, Reading, SourceState


class RuleState(StrEnum):
    """How far a rule has come."""

    LIVE = "live"
    SILENT = "silent"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        name: stable name, stored with the case it opened.
        label: the question it looks at; one of the five yes-or-no labels.
        opens: the kind of case.
        bucket: order in the queue, 0 first.
        why: one sentence for the person who asks.
        state: live, silent or draft.
        at_least: score from which it holds; None means the flag of the shipped operating point.
        urgency: holds only with this urgency (grievances).
        over_grievance: score needed when the same post is a grievance; such a case needs a second person (M-02).
    """

    name: str
    label: Label
    opens: CaseKind
    bucket: int
    why: str
    state: RuleState = RuleState.LIVE
    at_least: float | None = None
    urgency: str | None = None
    over_grievance: float | None = None


RULES: tuple[Rule, ...] = (
    Rule("risk", Label.RISK, CaseKind.CARE, 0, "someone may be in danger; people come first"),
    Rule(
        "risk_possible",
        Label.RISK,
        CaseKind.CARE,
        0,
        "watched to see what a lower bar would bring",
        RuleState.SILENT,
        at_least=0.3,
    ),
    Rule(
        "grievance_urgent",
        Label.GRIEVANCE,
        CaseKind.GRIEVANCE,
        1,
        "asks for something that cannot wait",
        urgency="high",
    ),
    Rule(
        "abuse",
        Label.ABUSE,
        CaseKind.MODERATION,
        2,
        "may attack a person; a moderator reads the words",
        over_grievance=0.9,
    ),
    Rule("rumour", Label.RUMOUR, CaseKind.CLARIFICATION, 3, "an unverified claim of consequence wants facts"),
    Rule("grievance", Label.GRIEVANCE, CaseKind.GRIEVANCE, 4, "asks the union or the school for something"),
    Rule(
        "spam",
        Label.SPAM,
        CaseKind.MODERATION,
        5,
        "may be advertising or fraud; a moderator reads it",
        over_grievance=0.9,
    ),
    Rule(
        "spam_possible",
        Label.SPAM,
        CaseKind.MODERATION,
        6,
        "watched to see what a lower bar would bring",
        RuleState.SILENT,
        at_least=0.3,
    ),
)

BOX_RULE = Rule(
    "box",
    Label.GRIEVANCE,
    CaseKind.GRIEVANCE,
    4,
    "came through the suggestion box: somebody waits for an answer",
)
"""Holds for every post from the suggestion box that is not taken for spam."""

SECOND_PERSON = "second_person"
"""Stands among the rule names of a case in which one person alone must not remove anything."""

_BUCKET = 10**11


@dataclass(frozen=True, slots=True)
class Opening:
    """A case to open over one post: the rows that ask for it, the most urgent first.

    ``second_person`` says that the post is also a grievance, so a removal needs two people.
    """

    kind: CaseKind
    rules: tuple[Rule, ...]
    score: float
    second_person: bool = False

    @property
    def bucket(self) -> int:
        """Order in the queue, 0 first."""
        return min(rule.bucket for rule in self.rules)

    @property
    def policy(self) -> str:
        """What is stored with the case: the names of the rows, and the mark for the second person."""
        names = [rule.name for rule in self.rules]
        return ",".join([*names, SECOND_PERSON] if self.second_person else names)


def holds(rule: Rule, reading: Reading) -> bool:
    """Say whether ``rule`` holds for ``reading``, whatever its state."""
    score = reading.score(rule.label)
    if rule.at_least is None and not reading.flagged(rule.label):
        return False
    if rule.at_least is not None and score < rule.at_least:
        return False
    if rule.urgency is not None and reading.value(Label.URGENCY) != rule.urgency:
        return False
    guarded = rule.over_grievance is not None and reading.flagged(Label.GRIEVANCE)
    return not guarded or score >= (rule.over_grievance or 0.0)


def matching(reading: Reading, state: RuleState = RuleState.LIVE) -> tuple[Rule, ...]:
    """Return the rows of this state that hold for ``reading``, in the order of the table."""
    return tuple(rule for rule in RULES if rule.state is state and holds(rule, reading))


def decide_cases(post: Post, reading: Reading, *, box: bool) -> tuple[Opening, ...]:
    """Return the cases that ``post`` should open, the most urgent first, at most one of each kind.

    Args:
        post: the post; its text is not looked at (the reading speaks), and one that is gone at its source
            opens no moderation case.
        reading: what was understood; an empty one opens nothing but a box case.
        box: the post came through the suggestion box, so somebody holds a receipt and waits.
    """
    found = matching(reading)
    if post.source_state is SourceState.REMOVED:
        found = tuple(rule for rule in found if rule.opens is not CaseKind.MODERATION)
    if box and not any(rule.opens is CaseKind.GRIEVANCE or rule.label is Label.SPAM for rule in found):
        found = (*found, BOX_RULE)
    kinds = dict.fromkeys(rule.opens for rule in found)
    openings = [_opening(kind, tuple(r for r in found if r.opens is kind), reading) for kind in kinds]
    return tuple(sorted(openings, key=lambda opening: opening.bucket))


def _opening(kind: CaseKind, rules: tuple[Rule, ...], reading: Reading) -> Opening:
    return Opening(
        kind,
        rules,
        max(reading.score(rule.label) for rule in rules),
        second_person=kind is CaseKind.MODERATION and reading.flagged(Label.GRIEVANCE),
    )


def silent_hits(reading: Reading) -> tuple[str, ...]:
    """Return the names of the silent rows that hold: counted, never acted on."""
    return tuple(rule.name for rule in matching(reading, RuleState.SILENT))


def rank(bucket: int, at: datetime) -> int:
    """Return the place in the queue: smaller is sooner, urgency first, then age (whole seconds)."""
    return bucket * _BUCKET + int(at.timestamp())


def why(policy: str) -> Mapping[str, str]:
    """Return rule name -> sentence for the rule names stored with a case."""
    sentences = {rule.name: rule.why for rule in (*RULES, BOX_RULE)}
    return {name: sentences[name] for name in policy.split(",") if name in sentences}
