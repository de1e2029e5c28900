"""The triage table: what opens what, in which order, and that criticism never opens a moderation case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.model import (
    BINARY_LABELS,
    SENTIMENTS,
    URGENCIES,
    CaseKind,
    Label,
    Post,
    Reading,
    Signal,
    SourceState,
)
from monitor.core.policy import (
    BOX_RULE,
    RULES,
    SECOND_PERSON,
    Opening,
    RuleState,
    decide_cases,
    holds,
    rank,
    silent_hits,
    why,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
POST = Post(1, "qq", "1", 1, "words", "a", NOW, NOW)
K = CaseKind


def reading(*flags: Label, scores: dict[Label, float] | None = None, **values: str) -> Reading:
    """Flags at 0.8 unless ``scores`` says otherwise; values by label name."""
    scores = scores or {}
    binary = [
        Signal(label, scores.get(label, 0.8 if label in flags else 0.1), label in flags)
        for label in BINARY_LABELS
    ]
    valued = [Signal(Label(name), 0.7, value=value) for name, value in values.items()]
    return Reading((*binary, *valued), "fast", {})


def opened(read: Reading, *, box: bool = False, post: Post = POST) -> list[tuple[CaseKind, int, str]]:
    return [(o.kind, o.bucket, o.policy) for o in decide_cases(post, read, box=box)]


TABLE = [
    (reading(), []),
    (reading(Label.RISK), [(K.CARE, 0, "risk")]),
    (reading(Label.ABUSE), [(K.MODERATION, 2, "abuse")]),
    (reading(Label.RUMOUR), [(K.CLARIFICATION, 3, "rumour")]),
    (reading(Label.GRIEVANCE), [(K.GRIEVANCE, 4, "grievance")]),
    (reading(Label.GRIEVANCE, urgency="high"), [(K.GRIEVANCE, 1, "grievance_urgent,grievance")]),
    (reading(Label.GRIEVANCE, urgency="low"), [(K.GRIEVANCE, 4, "grievance")]),
    (reading(Label.SPAM), [(K.MODERATION, 5, "spam")]),
    (reading(Label.SPAM, Label.ABUSE), [(K.MODERATION, 2, "abuse,spam")]),
    (reading(scores={Label.SPAM: 0.5, Label.RISK: 0.5}), []),
    # a grievance is something to answer: a mild suspicion of spam or abuse does not put it before a moderator
    (reading(Label.GRIEVANCE, Label.SPAM), [(K.GRIEVANCE, 4, "grievance")]),
    (
        reading(Label.GRIEVANCE, Label.SPAM, scores={Label.SPAM: 0.95}),
        [(K.GRIEVANCE, 4, "grievance"), (K.MODERATION, 5, "spam,second_person")],
    ),
    (
        reading(Label.GRIEVANCE, Label.ABUSE, scores={Label.ABUSE: 0.9}),
        [(K.MODERATION, 2, "abuse,second_person"), (K.GRIEVANCE, 4, "grievance")],
    ),
    (
        reading(Label.SPAM, Label.RUMOUR, Label.RISK),
        [(K.CARE, 0, "risk"), (K.CLARIFICATION, 3, "rumour"), (K.MODERATION, 5, "spam")],
    ),
]


@pytest.mark.parametrize(("read", "expected"), TABLE)
def test_examples(read: Reading, expected: list[tuple[CaseKind, int, str]]) -> None:
    assert opened(read) == expected


BOX = [
    (Reading((), "none", {}), [(K.GRIEVANCE, 4, "box")]),
    (reading(Label.GRIEVANCE), [(K.GRIEVANCE, 4, "grievance")]),
    (reading(Label.RISK), [(K.CARE, 0, "risk"), (K.GRIEVANCE, 4, "box")]),
    (reading(Label.RUMOUR), [(K.CLARIFICATION, 3, "rumour"), (K.GRIEVANCE, 4, "box")]),
    (reading(Label.SPAM), [(K.MODERATION, 5, "spam")]),
    (reading(Label.ABUSE), [(K.MODERATION, 2, "abuse"), (K.GRIEVANCE, 4, "box")]),
]


@pytest.mark.parametrize(("read", "expected"), BOX)
def test_what_comes_through_the_box_is_never_left_lying(
    read: Reading, expected: list[tuple[CaseKind, int, str]]
) -> None:
    assert opened(read, box=True) == expected


def test_what_is_gone_needs_no_moderator_but_still_an_ear() -> None:
    gone = replace(POST, source_state=SourceState.REMOVED)
    assert opened(reading(Label.SPAM, Label.RISK), post=gone) == [(K.CARE, 0, "risk")]


def test_silent_rows_are_counted_and_do_nothing() -> None:
    watched = reading(scores={Label.SPAM: 0.4, Label.RISK: 0.3})
    assert opened(watched) == []
    assert silent_hits(watched) == ("risk_possible", "spam_possible")
    assert silent_hits(reading()) == ()


_scores = st.floats(0, 1, allow_nan=False)
_signals = st.tuples(*(st.tuples(_scores, st.booleans()) for _label in BINARY_LABELS))


@settings(max_examples=500, deadline=None)
@given(
    _signals,
    st.sampled_from(SENTIMENTS),
    st.sampled_from(SENTIMENTS),
    st.sampled_from(URGENCIES),
    st.text(max_size=5),
    _scores,
)
def test_tone_and_topic_never_change_what_a_moderator_sees(
    binary: tuple[tuple[float, bool], ...], one: str, other: str, urgency: str, topic: str, score: float
) -> None:
    base = tuple(Signal(label, s, flag) for label, (s, flag) in zip(BINARY_LABELS, binary, strict=True))
    plain = Reading((*base, Signal(Label.SENTIMENT, 0.5, value=one)), "fast", {})
    extra = (Signal(Label.SENTIMENT, score, value=other), Signal(Label.TOPIC, score, value=topic))
    coloured = Reading((*base, *extra, Signal(Label.URGENCY, score, value=urgency)), "deep", {"x": "y"})
    assert _moderation(plain) == _moderation(coloured)


def _moderation(read: Reading) -> list[Opening]:
    return [o for o in decide_cases(POST, read, box=False) if o.kind is K.MODERATION]


@settings(max_examples=300, deadline=None)
@given(_signals, st.booleans())
def test_a_grievance_is_always_answered_and_never_removed_by_one_person(
    binary: tuple[tuple[float, bool], ...], box: bool
) -> None:
    base = tuple(Signal(label, s, flag) for label, (s, flag) in zip(BINARY_LABELS, binary, strict=True))
    read = Reading(base, "fast", {})
    openings = decide_cases(POST, read, box=box)
    kinds = [o.kind for o in openings]
    assert len(kinds) == len(set(kinds))
    assert [o.bucket for o in openings] == sorted(o.bucket for o in openings)
    assert (K.GRIEVANCE in kinds) >= read.flagged(Label.GRIEVANCE)
    for opening in openings:
        if opening.kind is K.MODERATION and read.flagged(Label.GRIEVANCE):
            assert opening.second_person
            assert SECOND_PERSON in opening.policy.split(",")
            assert opening.score >= 0.9


def test_the_table_looks_at_no_tone() -> None:
    for rule in (*RULES, BOX_RULE):
        assert rule.label in BINARY_LABELS, rule.name
        if rule.opens is K.MODERATION:
            assert rule.label in {Label.SPAM, Label.ABUSE}
            assert rule.urgency is None
    assert len({rule.name for rule in (*RULES, BOX_RULE)}) == len(RULES) + 1


def test_a_bar_of_its_own_needs_no_flag() -> None:
    rule = next(r for r in RULES if r.state is RuleState.SILENT)
    assert holds(rule, reading(scores={rule.label: 0.3}))
    assert not holds(rule, reading(scores={rule.label: 0.29}))


def test_rank_is_urgency_first_then_age() -> None:
    later = NOW + timedelta(days=3650)
    assert rank(0, later) < rank(1, NOW) < rank(1, later) < rank(2, NOW)
    assert rank(6, later) < 2**63


def test_why_explains_the_rows_of_a_case() -> None:
    assert set(why("spam,second_person,box,unknown")) == {"spam", "box"}
    assert all(why("spam").values())
