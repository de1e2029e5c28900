"""The life of a case: one table of moves per kind, limits, and the fold of events into a state.

The name of a move is the kind of the event that records it, so the state of a case is what its events add up
to (:func:`fold`); events that record something without moving the case are listed in :data:`NOTES`.

    grievance    登记 registered ─ 受理 accepted ─ 办理 in_work ─ 答复 answered ─ 评价 rated ─ 办结 closed
                 不予受理 declined · 转办 transferred · 退回 returned · 待补充 waiting · 延期 extended · 重办 redo · 撤回 withdrawn
    the others   pending ─ decided ─ closed, and back to pending by undo
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core.errors import BadMove, NotAllowed
from monitor.core.model import Actor, Case, CaseEvent, CaseKind, CaseState, Role
from monitor.core.roles import sees


@dataclass(frozen=True, slots=True)
class Move:
    """One allowed step: in a case of ``kind``, ``action`` leads from ``source`` to ``target``.

    ``needs`` names what must be given with it: ``reason``, ``unit``, ``assignee``, ``reply``, ``rating``.
    """

    kind: CaseKind
    action: str
    source: CaseState
    target: CaseState
    roles: frozenset[Role]
    needs: tuple[str, ...] = ()


def _only(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


_S = CaseState
_M, _L, _O, _H = Role.MODERATOR, Role.LEADER, Role.OFFICER, Role.HANDLER
_MEMBER, _SYSTEM = Role.MEMBER, Role.SYSTEM

_GRIEVANCE_OPEN = (
    _S.REGISTERED,
    _S.ACCEPTED,
    _S.TRANSFERRED,
    _S.RETURNED,
    _S.IN_WORK,
    _S.WAITING,
    _S.EXTENDED,
    _S.ANSWERED,
    _S.REDO,
)


def _grievance() -> tuple[Move, ...]:
    """Section C of the reference; what is not listed is refused."""

    def row(action: str, source: CaseState, target: CaseState, roles: frozenset[Role], *needs: str) -> Move:
        return Move(CaseKind.GRIEVANCE, action, source, target, roles, needs)

    return (
        row("accept", _S.REGISTERED, _S.ACCEPTED, _only(_O)),
        row("decline", _S.REGISTERED, _S.DECLINED, _only(_O), "reason"),
        row("transfer", _S.REGISTERED, _S.TRANSFERRED, _only(_O), "unit"),
        row("start", _S.TRANSFERRED, _S.IN_WORK, _only(_H, _O)),
        row("return", _S.TRANSFERRED, _S.RETURNED, _only(_H), "reason"),
        row("accept", _S.RETURNED, _S.ACCEPTED, _only(_O)),
        row("transfer", _S.RETURNED, _S.TRANSFERRED, _only(_O), "unit"),
        row("start", _S.ACCEPTED, _S.IN_WORK, _only(_O), "assignee"),
        row("ask", _S.IN_WORK, _S.WAITING, _only(_O, _H), "reason"),
        row("resume", _S.WAITING, _S.IN_WORK, _only(_O, _H, _MEMBER, _SYSTEM)),
        row("extend", _S.IN_WORK, _S.EXTENDED, _only(_O), "reason"),
        row("resume", _S.EXTENDED, _S.IN_WORK, _only(_O, _H, _SYSTEM)),
        row("answer", _S.IN_WORK, _S.ANSWERED, _only(_O, _L), "reply"),
        row("rate", _S.ANSWERED, _S.RATED, _only(_MEMBER), "rating"),
        row("redo", _S.RATED, _S.REDO, _only(_MEMBER, _SYSTEM), "reason"),
        row("start", _S.REDO, _S.IN_WORK, _only(_O), "assignee"),
        row("close", _S.ANSWERED, _S.CLOSED, _only(_SYSTEM)),
        row("close", _S.RATED, _S.CLOSED, _only(_SYSTEM)),
        row("close", _S.DECLINED, _S.CLOSED, _only(_SYSTEM)),
        row("reopen", _S.CLOSED, _S.REDO, _only(_MEMBER), "reason"),
        *(row("withdraw", source, _S.WITHDRAWN, _only(_MEMBER)) for source in _GRIEVANCE_OPEN),
    )


def _review(kind: CaseKind, deciders: frozenset[Role]) -> tuple[Move, ...]:
    """The shorter life of what a reviewer decides."""
    return (
        Move(kind, "decide", _S.PENDING, _S.DECIDED, deciders),
        Move(kind, "escalate", _S.PENDING, _S.PENDING, deciders),
        Move(kind, "reroute", _S.PENDING, _S.CLOSED, deciders),
        Move(kind, "withdrawn_at_source", _S.PENDING, _S.CLOSED, _only(_SYSTEM)),
        Move(kind, "undo", _S.DECIDED, _S.PENDING, deciders),
        Move(kind, "close", _S.DECIDED, _S.CLOSED, _only(_SYSTEM)),
    )


MOVES: tuple[Move, ...] = (
    *_grievance(),
    *_review(CaseKind.MODERATION, _only(_M, _O)),
    *_review(CaseKind.CARE, _only(_M, _O)),
    *_review(CaseKind.CLARIFICATION, _only(_M, _O)),
    Move(CaseKind.CLARIFICATION, "answer", _S.PENDING, _S.DECIDED, _only(_L, _O), ("reply",)),
    *_review(CaseKind.APPEAL, _only(_M, _O)),
)

INITIAL: Mapping[CaseKind, CaseState] = {
    kind: _S.REGISTERED if kind is CaseKind.GRIEVANCE else _S.PENDING for kind in CaseKind
}

ENDED = frozenset({_S.CLOSED, _S.WITHDRAWN})
"""States in which nobody owes anybody anything."""

WAITING_FOR_STAFF = frozenset(
    {_S.PENDING, _S.REGISTERED, _S.ACCEPTED, _S.TRANSFERRED, _S.RETURNED, _S.IN_WORK, _S.EXTENDED, _S.REDO}
)
"""States in which the union owes the next step: what a queue shows."""

OPEN = frozenset({*_GRIEVANCE_OPEN, _S.PENDING})
"""States in which further posts of the same matter join the case."""

NOTES = frozenset(
    {
        "opened",
        "attached",
        "claimed",
        "released",
        "noted",
        "proposed",
        "assigned",
        "reply_drafted",
        "reply_approved",
        "reply_withdrawn",
        "reply_sent",
        "reply_failed",
        "effect_sent",
        "effect_failed",
        "effect_unknown",
        "effect_cancelled",
        "needs_human",
        "claim_saved",
        "claim_suggested",
        "appealed",
        "upheld",
        "overturned",
        "corrected",
        "added",
        "reminded",
        "overdue",
        "due_changed",
        "source_removed",
        "source_restored",
        "source_edited",
    }
)
"""Kinds of event that record something and leave the state alone."""

EVENT_KINDS = NOTES | {move.action for move in MOVES}
"""The closed set of what a :class:`CaseEvent` may be called."""

LIMITS: Mapping[frozenset[str], int] = {
    frozenset({"transfer"}): 3,
    frozenset({"ask"}): 2,
    frozenset({"extend"}): 1,
    frozenset({"redo", "reopen"}): 2,
}
"""How often the actions of one set may happen in the life of a case."""

_TABLE: Mapping[tuple[CaseKind, CaseState, str], Move] = {(m.kind, m.source, m.action): m for m in MOVES}


def is_open(state: CaseState) -> bool:
    """Say whether a case in this state still gathers posts."""
    return state in OPEN


def find_move(kind: CaseKind, state: CaseState, action: str) -> Move:
    """Return the row of the table; raises BadMove when there is none."""
    found = _TABLE.get((kind, state, action))
    if found is None:
        raise BadMove(
            f"a {kind} case that is {state} cannot {action}; open it again to see what is possible now"
        )
    return found


def next_state(kind: CaseKind, state: CaseState, action: str, actor: Actor) -> CaseState:
    """Return where ``action`` by ``actor`` leads; raises BadMove or NotAllowed."""
    move = find_move(kind, state, action)
    if not move.roles & actor.roles:
        who = ", ".join(sorted(move.roles))
        raise NotAllowed(f"{action} on a {kind} case is for {who}")
    return move.target


def used_up(action: str, events: Iterable[CaseEvent]) -> bool:
    """Say whether ``action`` has happened as often as :data:`LIMITS` allows."""
    for names, most in LIMITS.items():
        if action in names:
            return sum(event.kind in names for event in events) >= most
    return False


def _forbidden(move: Move, case: Case, actor: Actor) -> str | None:
    """Return why this person must not make this move although their role could."""
    if not sees(actor, case):
        return "this case belongs to another unit or role"
    if move.action == "extend" and actor.login == case.assignee:
        return "somebody else than the handler has to approve more time"
    return None


def step(case: Case, action: str, actor: Actor, events: Sequence[CaseEvent] = ()) -> CaseState:
    """Return where ``action`` leads, with every rule checked: table, role, own unit, limits.

    Args:
        case: the case as stored.
        action: name of a move.
        actor: who makes it.
        events: the case's history, for the limits.

    Raises: BadMove, NotAllowed.
    """
    target = next_state(case.kind, case.state, action, actor)
    refused = _forbidden(find_move(case.kind, case.state, action), case, actor)
    if refused is not None:
        raise NotAllowed(refused)
    if used_up(action, events):
        raise BadMove(
            f"{action} has been used as often as allowed in this case; the union office decides itself"
        )
    return target


def allowed(case: Case, actor: Actor, events: Sequence[CaseEvent] = ()) -> tuple[str, ...]:
    """Return the names of the moves that ``actor`` may make now, in the order of the table."""
    return tuple(
        move.action
        for move in MOVES
        if (move.kind, move.source) == (case.kind, case.state)
        and move.roles & actor.roles
        and _forbidden(move, case, actor) is None
        and not used_up(move.action, events)
    )


def fold(kind: CaseKind, events: Iterable[CaseEvent]) -> CaseState:
    """Return the state that the events, in order, add up to; raises BadMove for a history that cannot be."""
    state = INITIAL[kind]
    for event in events:
        if event.kind in NOTES:
            continue
        state = find_move(kind, state, event.kind).target
    return state
