"""Public figures: golden numbers for the three rates, and nothing about fewer than ten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core.model import (
    Action,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Decision,
    NewCase,
    RuleCode,
)
from monitor.core.ports import Store
from monitor.testing.builders import FixedClock, raw
from monitor.usecases.deps import Deps, Rules
from monitor.usecases.ingest import ingest
from monitor.usecases.public import Rate, open_figures


def _case(store: Store, now: datetime, n: int, kind: CaseKind = CaseKind.GRIEVANCE) -> Case:
    new = NewCase(kind, CaseState.REGISTERED, n, "qq", (1,), "grievance")
    return store.cases.open(new, now)


def _event(store: Store, case: Case, kind: str, at: datetime, **detail: object) -> None:
    store.events.add(CaseEvent(case.id, kind, "x", "officer", at, detail=detail))


def _world(deps: Deps, clock: FixedClock) -> None:
    """30 grievances opened on a Monday: 20 answered to in time, 5 late, 5 never; 15 rated."""
    start = clock.now()
    ingest(deps, "qq", [raw(str(n), f"第{n}条") for n in range(12)])
    with deps.uow.begin() as store:
        for n in range(30):
            case = _case(store, start, n)
            if n < 25:
                _event(store, case, "accept", start + timedelta(days=1 if n < 20 else 5))
                _event(store, case, "answer", start + timedelta(days=6))
            if n < 15:
                solved, stars = ("yes", 5) if n < 12 else ("no", 1)
                _event(store, case, "rate", start + timedelta(days=7), solved="no", stars=1)
                _event(store, case, "rate", start + timedelta(days=8), solved=solved, stars=stars)
        case = _case(store, start, 99, CaseKind.MODERATION)
        for rule, times in ((RuleCode.SPAM_AD, 11), (RuleCode.FRAUD, 9)):
            for _time in range(times):
                _decide(store, case, start, Action.REMOVE, rule)
        for _time in range(10):
            _event(store, case, "appealed", start)
            _decide(store, case, start, Action.UPHOLD)
        _decide(store, case, start, Action.RESTORE)


def _decide(store: Store, case: Case, at: datetime, action: Action, rule: RuleCode | None = None) -> None:
    store.decisions.add(Decision(0, case.id, action, "mo", "moderator", at, (1,), rule))


def test_golden_numbers(deps: Deps, clock: FixedClock) -> None:
    _world(deps, clock)
    clock.advance(days=20)
    exact = open_figures(replace(deps, rules=Rules(public_floor=1)))
    assert exact.posts == 12
    assert exact.cases == {"grievance": {"registered": 30}, "moderation": {"registered": 1}}
    assert exact.responded == Rate(20, 30)
    assert exact.solved == Rate(12, 15)
    assert exact.satisfied == Rate(12, 15)
    assert exact.unrated == 10
    assert exact.removals == {"SPAM_AD": 11, "FRAUD": 9}
    assert exact.appeals == {"received": 10, "upheld": 10, "overturned": 1}


def test_small_figures_are_withheld(deps: Deps, clock: FixedClock) -> None:
    _world(deps, clock)
    clock.advance(days=20)
    shown = open_figures(deps)
    assert shown.cases["moderation"] == {"registered": None}
    assert shown.removals == {"SPAM_AD": 11, "FRAUD": None}
    assert shown.appeals == {"received": 10, "upheld": 10, "overturned": None}
    assert shown.responded == Rate(20, 30)
    assert shown.solved == Rate(None, 15), "three people who are not content would stand alone"


def test_what_is_not_yet_due_is_not_counted(deps: Deps, clock: FixedClock) -> None:
    _world(deps, clock)
    clock.advance(hours=1)
    assert open_figures(replace(deps, rules=Rules(public_floor=1))).responded == Rate(20, 25)


def test_no_data_is_an_answer(deps: Deps) -> None:
    empty = open_figures(deps)
    assert (empty.posts, empty.unrated, empty.cases, empty.removals) == (None, None, {}, {})
    assert empty.responded == empty.solved == empty.satisfied == Rate(None, None)
