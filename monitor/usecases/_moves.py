"""One move of a case inside a transaction: the table, what the move needs, the date that follows from it.

A due date is a promise to the member. Only a move sets it, every change leaves a ``due_changed`` event, and
nothing moves it later in silence (C-13). The figures keep the legal ceilings by themselves: fifteen working days,
two pauses of five and one extension of ten stay under 60 days, and under 90 with the extension; a test walks the
calendar to show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, Conflict, NotFound
from monitor.core.model import Account, Actor, Case, CaseEvent, CaseState, Role
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.states import WAITING_FOR_STAFF, Move, find_move, step
from monitor.core.workdays import SHANGHAI, add_working_days, answer_due, shipped, working_days_between
from monitor.usecases.deps import Deps

PAUSE_DAYS = 5
"""Working days for which one question to the member stops the promised clock, and after which work goes on."""

EXTEND_DAYS = 10
"""Working days that an extension adds; never more than 30 days of the calendar (C-02)."""

LONGEST_REASON = 500
LONGEST_UNIT = 100

_S = CaseState
_MISSING = {
    "reason": "say why, in a sentence that can be read later",
    "unit": "name the unit that is to answer",
    "assignee": "name the account of the person who handles it",
    "reply": "a case is answered by approving a reply; draft one and let another person approve it",
    "rating": "only the person who asked rates an answer, by the receipt or by the link in it",
}
_NO_HANDLER = "there is no active handler or officer of this name; take one from the list of accounts"


@dataclass(frozen=True, slots=True)
class Step:
    """A move with what is given for it.

    ``detail`` holds ids and codes for the history (``reply``, ``solved``, ``cause``), never a member's words;
    ``cause`` stands for the reason where the member's own words are kept as a post.
    """

    action: str
    reason: str = ""
    unit: str | None = None
    assignee: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


def _text(name: str, value: str | None, most: int) -> str:
    text = clean(value or "").strip()
    if len(text) > most:
        raise BadInput(f"the {name} is longer than {most} characters; shorten it")
    return text


def _tidy(given: Step) -> Step:
    return replace(
        given,
        reason=_text("reason", given.reason, LONGEST_REASON),
        unit=_text("unit", given.unit, LONGEST_UNIT) or None,
        assignee=_text("assignee", given.assignee, LONGEST_UNIT) or None,
    )


def _has(given: Step, need: str) -> bool:
    if need == "reply":
        return "reply" in given.detail
    if need == "rating":
        return "solved" in given.detail
    return bool(getattr(given, need)) or (need == "reason" and "cause" in given.detail)


def _check_needs(move: Move, given: Step) -> None:
    for need in move.needs:
        if not _has(given, need):
            raise BadInput(f"to {move.action} this case, {_MISSING[need]}")


def _account(store: Store, login: str) -> Account:
    try:
        found = store.accounts.get(login)
    except NotFound:
        raise BadInput(_NO_HANDLER) from None
    if not found.active or not found.roles & {Role.HANDLER, Role.OFFICER}:
        raise BadInput(_NO_HANDLER)
    return found


def _started(store: Store, case: Case, given: Step, actor: Actor) -> Case:
    """Return ``case`` with its handler; raises BadInput for somebody who must not or could not work on it."""
    if given.assignee is None or given.assignee == actor.login:
        login, unit, everywhere = actor.login, actor.unit, actor.has(Role.OFFICER)
    else:
        account = _account(store, given.assignee)
        login, unit, everywhere = account.login, account.unit, Role.OFFICER in account.roles
    if case.state is _S.REDO and login == case.assignee:
        raise BadInput("the last handler must not judge their own work again; name another person")
    if not everywhere and case.unit not in (None, unit):
        raise BadInput("this handler is of another unit than the case; transfer the case first")
    return replace(case, assignee=login, unit=case.unit if everywhere else unit)


def _owned(store: Store, case: Case, given: Step, actor: Actor) -> Case:
    """Return ``case`` with unit, handler and count of repeats as they are after the move."""
    if given.action == "transfer":
        return replace(case, unit=given.unit, assignee=None)
    if given.action == "start":
        return _started(store, case, given, actor)
    if given.action in ("redo", "reopen"):
        return replace(case, redo_count=case.redo_count + 1)
    return case


def later(due_at: datetime, days: int) -> datetime:
    """Return the end of the working day that lies ``days`` working days after the last day of a limit."""
    return add_working_days(due_at - timedelta(microseconds=1), days, shipped()) if days else due_at


def last_event(events: Sequence[CaseEvent], kind: str) -> CaseEvent | None:
    """Return the newest event of this kind."""
    return next((event for event in reversed(events) if event.kind == kind), None)


def paused(events: Sequence[CaseEvent], now: datetime) -> int:
    """Return for how many working days the member has been asked, as far as they stop the clock."""
    asked = last_event(events, "ask")
    return 0 if asked is None else min(PAUSE_DAYS, working_days_between(asked.at, now, shipped()))


def _due_after(
    case: Case, given: Step, target: CaseState, events: Sequence[CaseEvent], now: datetime
) -> datetime | None:
    """Return until when the union owes the next answer after the move, or None when it owes none."""
    if target not in WAITING_FOR_STAFF | {_S.WAITING}:
        return None
    if given.action in ("accept", "transfer"):
        return answer_due(case.opened_at, shipped()).at
    if given.action in ("redo", "reopen"):
        return answer_due(now, shipped()).at
    if given.action == "extend":
        return later(case.due_at or now, EXTEND_DAYS)
    if case.state is _S.WAITING and case.due_at is not None:
        return later(case.due_at, paused(events, now))
    return case.due_at


def last_day(due_at: datetime) -> str:
    """Return the last day of a limit as people here write it, e.g. ``2026-03-23``."""
    return (due_at - timedelta(microseconds=1)).astimezone(SHANGHAI).date().isoformat()


def iso(at: datetime | None) -> str | None:
    """Return a moment as the history writes it."""
    return None if at is None else at.isoformat()


def _record(store: Store, before: Case, after: Case, given: Step, who: tuple[Actor, Role]) -> None:
    """Append the move, and the new date if there is one, to the history and the ledger."""
    (actor, role), now = who, after.updated_at
    owner = {"transfer": {"unit": after.unit}, "start": {"assignee": after.assignee}}
    detail: dict[str, object] = {**given.detail, **owner.get(given.action, {})}
    store.events.add(CaseEvent(after.id, given.action, actor.login, role, now, given.reason, detail))
    if after.due_at is not None and after.due_at != before.due_at:
        days = f"{last_day(before.due_at)} → " if before.due_at else ""
        changed = {"due": iso(after.due_at), "before": iso(before.due_at)}
        changed["note"] = f"{days}{last_day(after.due_at)}"
        store.events.add(CaseEvent(after.id, "due_changed", actor.login, role, now, detail=changed))
    content = {"from": before.state, "to": after.state, "due": iso(after.due_at), "reason": given.reason}
    store.ledger.append(f"case.{given.action}", after.reference, actor.login, content | detail, now)


def advance(store: Store, deps: Deps, actor: Actor, case: Case, given: Step) -> Case:
    """Make one move of a case inside the caller's transaction, who has asked for permission.

    Args:
        store: the transaction.
        deps: what every use case is given.
        actor: who moves it.
        case: as stored now.
        given: the move and what it needs.

    Raises: BadMove, NotAllowed (table, limits, own unit), BadInput (something is missing), Conflict.
    """
    events = store.events.of(case.id)
    target = step(case, given.action, actor, events)
    move, given = find_move(case.kind, case.state, given.action), _tidy(given)
    _check_needs(move, given)
    now = deps.clock.now()
    owned = _owned(store, case, given, actor)
    if target not in WAITING_FOR_STAFF:
        owned = replace(owned, lease_by=None, lease_until=None)
    due_at = _due_after(case, given, target, events, now)
    saved = store.cases.save(replace(owned, state=target, due_at=due_at, updated_at=now), case.version)
    role = next(role for role in Role if role in move.roles & actor.roles)
    _record(store, case, saved, given, (actor, role))
    return saved


def seen(case: Case, version: int) -> None:
    """Raise Conflict unless ``version`` is the present one of ``case``."""
    if case.version != version:
        raise Conflict("somebody changed this case since you opened it; look at it again and repeat")


__all__ = [
    "EXTEND_DAYS",
    "PAUSE_DAYS",
    "Step",
    "advance",
    "iso",
    "last_day",
    "last_event",
    "later",
    "paused",
    "seen",
]
