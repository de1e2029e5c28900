"""Figures for everybody: what was said, what was answered, what was removed and why, how appeals ended.

A figure under the floor is withheld (None), never rounded; a rate always carries its denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.core.model import RESTRICTING, Action, Case, CaseEvent, CaseKind
from monitor.core.ports import CaseFilter, Store
from monitor.core.workdays import first_due, shipped
from monitor.usecases.deps import Deps

_PAGE = 1_000
_RESPONSES = ("accept", "decline", "transfer", "answer")


@dataclass(frozen=True, slots=True)
class Rate:
    """``part`` of ``whole``; both None when ``whole`` is under the floor."""

    part: int | None
    whole: int | None


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """What the public page shows; None means withheld because too few people stand behind it.

    Attributes:
        posts: posts handled.
        cases: kind -> state -> number.
        responded: 响应率, grievances somebody has answered to in time, of all grievances due.
        solved: 解决率, members who say it is solved, of all who rated.
        satisfied: 满意率, members who gave 4 or 5, of all who rated.
        unrated: answered grievances that nobody rated; never counted as satisfied.
        removals: rule code -> number of posts' removals, hidings and mutings that stand.
        appeals: ``received``, ``upheld``, ``overturned``.
    """

    posts: int | None
    cases: Mapping[str, Mapping[str, int | None]]
    responded: Rate
    solved: Rate
    satisfied: Rate
    unrated: int | None
    removals: Mapping[str, int | None]
    appeals: Mapping[str, int | None]


def _shown(n: int, floor: int) -> int | None:
    return n if n >= floor else None


def _rate(part: int, whole: int, floor: int) -> Rate:
    """Withhold the rate when the whole, the part or what is missing from it is a handful of people."""
    if whole < floor:
        return Rate(None, None)
    return Rate(part if part >= floor and (whole - part >= floor or whole == part) else None, whole)


def _events(store: Store, kinds: tuple[str, ...]) -> Iterator[CaseEvent]:
    after: int | None = None
    while page := store.events.page(kinds, after, _PAGE):
        yield from page
        after = page[-1].id


def _grievances(store: Store) -> Iterator[Case]:
    after: tuple[int, int] | None = None
    while page := store.cases.page(CaseFilter(kinds=(CaseKind.GRIEVANCE,)), after, _PAGE):
        yield from page
        after = (page[-1].rank, page[-1].id)


def _firsts(store: Store) -> dict[int, datetime]:
    """Return case id -> when somebody first answered to it."""
    firsts: dict[int, datetime] = {}
    for event in _events(store, _RESPONSES):
        firsts.setdefault(event.case_id, event.at)
    return firsts


def _responded(store: Store, now: datetime, floor: int) -> Rate:
    """Count grievances whose first limit has passed or that were answered to; withdrawn ones stay in (C-04)."""
    firsts, whole, part = _firsts(store), 0, 0
    for case in _grievances(store):
        limit = first_due(CaseKind.GRIEVANCE, case.opened_at, shipped())
        first = firsts.get(case.id)
        if limit is None or (first is None and now <= limit.at):
            continue
        whole += 1
        part += first is not None and first <= limit.at
    return _rate(part, whole, floor)


def _ratings(store: Store) -> dict[int, Mapping[str, object]]:
    """Return case id -> its last rating (``solved``: yes, partly or no; ``stars``: 1 to 5)."""
    return {event.case_id: event.detail for event in _events(store, ("rate",))}


def _appeals(store: Store, counts: Mapping[tuple[str, str], int], floor: int) -> dict[str, int | None]:
    received = sum(1 for _event in _events(store, ("appealed",)))
    upheld = sum(n for (action, _rule), n in counts.items() if action == Action.UPHOLD)
    overturned = sum(n for (action, _rule), n in counts.items() if action == Action.RESTORE)
    shown = {"received": received, "upheld": upheld, "overturned": overturned}
    return {name: _shown(n, floor) for name, n in shown.items()}


def _removals(counts: Mapping[tuple[str, str], int], floor: int) -> dict[str, int | None]:
    by_rule: Counter[str] = Counter()
    for (action, rule), n in counts.items():
        if action in RESTRICTING:
            by_rule[rule] += n
    return {rule: _shown(n, floor) for rule, n in sorted(by_rule.items())}


def _cases(store: Store, floor: int) -> dict[str, dict[str, int | None]]:
    shown: dict[str, dict[str, int | None]] = {}
    for (kind, state), n in sorted(store.cases.counts().items()):
        shown.setdefault(kind, {})[state] = _shown(n, floor)
    return shown


def open_figures(deps: Deps) -> OpenFigures:
    """Return the public figures of the present moment; every cell under ``public_floor`` is None.

    Walks the grievances and the decisions once: callers keep the answer for some minutes.
    """
    floor = deps.rules.public_floor
    with deps.uow.read() as store:
        decisions, ratings = store.decisions.counts(), _ratings(store)
        answered = {event.case_id for event in _events(store, ("answer",))}
        return OpenFigures(
            posts=_shown(store.posts.count(), floor),
            cases=_cases(store, floor),
            responded=_responded(store, deps.clock.now(), floor),
            solved=_rate(sum(r.get("solved") == "yes" for r in ratings.values()), len(ratings), floor),
            satisfied=_rate(sum(r.get("stars") in (4, 5) for r in ratings.values()), len(ratings), floor),
            unrated=_shown(len(answered - ratings.keys()), floor),
            removals=_removals(decisions, floor),
            appeals=_appeals(store, decisions, floor),
        )
