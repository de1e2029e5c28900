"""One line in the history of a case and one in the ledger, written together."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.model import Actor, Case, CaseEvent, Role
from monitor.core.ports import Store
from monitor.usecases.deps import Deps


def record(
    store: Store,
    deps: Deps,
    case: Case,
    kind: str,
    who: tuple[Actor, Role],
    reason: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Append an event to the history of ``case`` and its digest to the ledger, inside the caller's transaction.

    Args:
        store: the transaction.
        deps: what every use case is given.
        case: what it is about.
        kind: kind of the event (a move or a note of ``monitor.core.states``).
        who: who acts, and in which role.
        reason: the staff's own words; never a member's.
        detail: ids and codes.
    """
    (actor, role), now, given = who, deps.clock.now(), dict(detail or {})
    store.events.add(CaseEvent(case.id, kind, actor.login, role, now, reason, given))
    store.ledger.append(f"case.{kind}", case.reference, actor.login, {"reason": reason, **given}, now)
