"""The life of a grievance: its moves by people, and what the working-day clock does by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadInput
from monitor.core.model import SYSTEM, Actor, Case, CaseEvent, CaseKind, CaseState, Role
from monitor.core.ports import CaseFilter
from monitor.core.roles import require
from monitor.core.states import WAITING_FOR_STAFF
from monitor.core.workdays import shipped, working_days_between
from monitor.usecases._moves import PAUSE_DAYS, Step, advance, iso, last_event, paused, seen
from monitor.usecases.deps import Deps, Rules

REMINDERS = 2
"""Reminders to rate before an answered case closes without a rating."""

REOPEN_DAYS = 30
"""Days after closing within which the member may ask for the case to be taken up again."""

BATCH = 200
_S = CaseState
_DECISIONS = frozenset({"decide", "escalate", "reroute", "undo"})


def move(
    deps: Deps,
    actor: Actor,
    case_id: int,
    version: int,
    action: str,
    reason: str = "",
    unit: str | None = None,
    assignee: str | None = None,
) -> Case:
    """Make one move of a case; answering, rating and deciding have their own ways.

    Args:
        deps: what every use case is given.
        actor: who moves it.
        case_id: which case.
        version: the version that the actor saw.
        action: a move of the table (``monitor.core.states``).
        reason: why; for ``decline``, ``ask`` and ``extend`` the member reads it.
        unit: who is to answer, for ``transfer``.
        assignee: login of the handler, for ``start``; missing, a transferred case is taken by the actor.

    Returns: the case after the move.

    Raises: NotFound, NotAllowed, Conflict, BadMove, BadInput.
    """
    with deps.uow.begin(actor) as store:
        case = store.cases.get(case_id)
        require(actor, "cases.move", case=case)
        if action in _DECISIONS:
            raise BadInput(f"{action} is a decision; make it in the queue, with its reason")
        seen(case, version)
        return advance(store, deps, actor, case, Step(action, reason, unit, assignee))


# --- what the clock does ---------------------------------------------------------------------------

Duty = Step | CaseEvent | None
Check = Callable[[Case, Sequence[CaseEvent], datetime, Rules], Duty]


def _by_system(case: Case, kind: str, now: datetime, **detail: object) -> CaseEvent:
    return CaseEvent(case.id, kind, SYSTEM.login, Role.SYSTEM, now, detail=detail)


def overdue_level(due_at: datetime, now: datetime) -> int:
    """Return 0 before the limit has ended, 1 from then on, and one more for each further working day (C-03)."""
    return 0 if now < due_at else 1 + working_days_between(due_at, now, shipped())


def _overdue(case: Case, events: Sequence[CaseEvent], now: datetime, _rules: Rules) -> Duty:
    """Note a missed date once per level; after a pause of the service only the present level is noted."""
    if case.due_at is None:
        return None
    level, due = overdue_level(case.due_at, now), iso(case.due_at)
    known = [e.detail.get("level") for e in events if e.kind == "overdue" and e.detail.get("due") == due]
    reached = max((n for n in known if isinstance(n, int)), default=0)
    return _by_system(case, "overdue", now, level=level, due=due) if level > reached else None


def _waited(_case: Case, events: Sequence[CaseEvent], now: datetime, _rules: Rules) -> Duty:
    """Go on without the member's answer when the pause is over."""
    over = paused(events, now) >= PAUSE_DAYS
    return Step("resume", detail={"cause": "no_answer"}) if over else None


def _extended(_case: Case, events: Sequence[CaseEvent], now: datetime, _rules: Rules) -> Duty:
    """Count a case as in work again when the first date has passed and the extension runs."""
    moved = last_event(events, "due_changed")
    before = None if moved is None else moved.detail.get("before")
    over = before is None or now >= datetime.fromisoformat(str(before))
    return Step("resume", detail={"cause": "extension"}) if over else None


def _since_answer(events: Sequence[CaseEvent]) -> list[datetime]:
    """Return when the case was last answered and when the member was reminded to rate since, in order."""
    moments: list[datetime] = []
    for event in events:
        if event.kind == "answer":
            moments = [event.at]
        elif event.kind == "reminded" and event.detail.get("of") == "rating":
            moments.append(event.at)
    return moments


def _share(rules: Rules) -> timedelta:
    return timedelta(days=rules.rating_days) / (REMINDERS + 1)


def rating_until(events: Sequence[CaseEvent], rules: Rules) -> datetime | None:
    """Return until when the last answer can be rated, None without one; a late reminder leaves time after it."""
    moments = _since_answer(events)
    if not moments:
        return None
    return max(moments[0] + timedelta(days=rules.rating_days), moments[-1] + _share(rules))


def _unrated(case: Case, events: Sequence[CaseEvent], now: datetime, rules: Rules) -> Duty:
    """Remind twice, then close as not rated; each step waits its share of the window after the one before.

    A clock that leaps ahead, or a service that stood still, so never closes a case without the reminders.
    """
    moments = _since_answer(events) or [case.updated_at]
    if now - moments[-1] < _share(rules):
        return None
    if len(moments) <= REMINDERS:
        return _by_system(case, "reminded", now, of="rating", n=len(moments))
    return Step("close", detail={"unrated": True})


def _done(_case: Case, _events: Sequence[CaseEvent], _now: datetime, _rules: Rules) -> Duty:
    return Step("close")


@dataclass(frozen=True, slots=True)
class _Watch:
    """Cases in these states, and what may be due in them; ``late`` narrows to those whose date has passed."""

    check: Check
    states: tuple[CaseState, ...]
    kinds: tuple[CaseKind, ...] = (CaseKind.GRIEVANCE,)
    late: bool = False


_WATCHES = (
    _Watch(_overdue, tuple(sorted(WAITING_FOR_STAFF)), kinds=(), late=True),
    _Watch(_waited, (_S.WAITING,)),
    _Watch(_extended, (_S.EXTENDED,)),
    _Watch(_unrated, (_S.ANSWERED,)),
    _Watch(_done, (_S.RATED, _S.DECLINED)),
)


def _perform(deps: Deps, case_id: int, watch: _Watch) -> bool:
    """Do what is due in a transaction of its own, after looking again; says whether there was something."""
    with deps.uow.begin() as store:
        case = store.cases.hold(case_id)
        if case.state not in watch.states:
            return False
        duty = watch.check(case, store.events.of(case_id), deps.clock.now(), deps.rules)
        if isinstance(duty, Step):
            advance(store, deps, SYSTEM, case, duty)
        elif duty is not None:
            store.events.add(duty)
    return duty is not None


def _batch(
    deps: Deps, watch: _Watch, after: tuple[int, int] | None
) -> tuple[list[int], tuple[int, int] | None]:
    """Return the cases of one page for which something is due, and where the next page begins."""
    now = deps.clock.now()
    where = CaseFilter(watch.kinds, watch.states, overdue_at=now if watch.late else None)
    with deps.uow.read() as store:
        page = store.cases.page(where, after, BATCH)
        due = [case.id for case in page if watch.check(case, store.events.of(case.id), now, deps.rules)]
    return due, (page[-1].rank, page[-1].id) if len(page) == BATCH else None


def _fulfil(deps: Deps, watch: _Watch) -> int:
    due, after = _batch(deps, watch, None)
    done = sum(_perform(deps, case_id, watch) for case_id in due)
    while after is not None:
        due, after = _batch(deps, watch, after)
        done += sum(_perform(deps, case_id, watch) for case_id in due)
    return done


def sweep(deps: Deps) -> int:
    """Do what only time does: note missed dates, end pauses, remind, close; returns how many things were done.

    Reads in pages, writes one case per transaction, and does nothing twice; call it every minute or so.
    """
    require(SYSTEM, "cases.sweep")
    return sum(_fulfil(deps, watch) for watch in _WATCHES)


__all__ = ["REMINDERS", "REOPEN_DAYS", "move", "overdue_level", "rating_until", "sweep"]
