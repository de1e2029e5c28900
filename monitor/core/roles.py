"""Who may do what: one table of verbs, one table of what each role sees, deny by default (S-01, S-02).

A verb is ``file.function`` of the use case it guards. A use case that asks for a verb without a row is refused
for everybody, and a test fails. Screens ask :func:`may`; use cases ask :func:`require` again before acting.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.errors import NotAllowed
from monitor.core.model import Actor, Case, CaseKind, Role

_M, _L, _O, _H = Role.MODERATOR, Role.LEADER, Role.OFFICER, Role.HANDLER
_C, _A, _MEMBER, _SYSTEM = Role.CUSTODIAN, Role.ADMIN, Role.MEMBER, Role.SYSTEM

STAFF = frozenset({_M, _L, _O, _H, _C, _A})
_CASE_STAFF = frozenset({_M, _L, _O, _H, _C})

PERMISSIONS: Mapping[str, frozenset[Role]] = {
    # --- reading side
    "ingest.ingest": frozenset({_SYSTEM}),
    "understand.process": frozenset({_SYSTEM}),
    "trends.series": frozenset({_O, _L, _M}),
    "trends.totals": frozenset({_O, _L, _M}),
    "trends.drill": frozenset({_O}),
    "health.health": frozenset({_A, _O}),
    "health.replay_parked": frozenset({_A}),
    "health.quarantine_page": frozenset({_A}),
    "ledger.read": STAFF | {_MEMBER},
    # --- teaching the models: whoever labels sees posts, so no administrator
    "learning.sample": frozenset({_M, _O}),
    "learning.accept": frozenset({_M, _O}),
    "learning.report": frozenset({_A, _O, _M}),
    # --- queue
    "queue.take_next": frozenset({_M, _O, _L}),
    "queue.view": _CASE_STAFF,
    "queue.page": _CASE_STAFF,
    "queue.counts": _CASE_STAFF,
    "queue.claim": _CASE_STAFF,
    "queue.renew": _CASE_STAFF,
    "queue.release": _CASE_STAFF,
    "queue.mine": frozenset({_M, _O, _L}),
    "queue.search": frozenset({_M, _O}),
    # --- deciding: a leader and a handler never remove anything
    "decide.decide": frozenset({_M, _O}),
    "decide.restrict": frozenset({_M}),
    "decide.appeal": frozenset({_M, _O}),
    "decide.undo": frozenset({_M, _O}),
    "decide.reroute": frozenset({_M, _O}),
    # --- cases
    "cases.move": frozenset({_O, _H, _MEMBER, _SYSTEM}),
    "cases.sweep": frozenset({_SYSTEM}),
    # --- answering: the member reads what a named person wrote and another named person approved
    "replies.draft": frozenset({_L, _O, _H}),
    "replies.approve": frozenset({_L, _O}),
    "replies.withdraw": frozenset({_L, _O, _H}),
    "replies.inbox": frozenset({_L, _O}),
    "replies.suggest": frozenset({_L, _O, _H}),
    "claims.save": frozenset({_L, _O}),
    "claims.page": frozenset({_M, _L, _O}),
    # --- members, by receipt or by a one-purpose link; staff cannot rate (C-05)
    "appeals.view": frozenset({_MEMBER}),
    "appeals.submit": frozenset({_MEMBER}),
    "ratings.view": frozenset({_MEMBER}),
    "ratings.rate": frozenset({_MEMBER}),
    "box.submit": frozenset({_MEMBER}),
    "box.follow": frozenset({_MEMBER}),
    "box.add": frozenset({_MEMBER}),
    "box.reopen": frozenset({_MEMBER}),
    "box.withdraw": frozenset({_MEMBER}),
    # --- people and parts
    "accounts.add_account": frozenset({_A, _SYSTEM}),
    "accounts.set_roles": frozenset({_A, _SYSTEM}),
    "accounts.set_password": frozenset({_A, _SYSTEM}),
    "accounts.disable": frozenset({_A, _SYSTEM}),
    "accounts.list_accounts": frozenset({_A, _SYSTEM}),
    "accounts.issue_token": frozenset({_A, _SYSTEM}),
    "accounts.sign_out_everywhere": STAFF,
    "channels.manage": frozenset({_A, _SYSTEM}),
    "retention.run": frozenset({_A, _SYSTEM}),
    "effects.dispatch": frozenset({_SYSTEM}),
    "effects.resolve": frozenset({_M, _O, _A}),
    # --- what may be seen of a writer
    "posts.pseudonym": frozenset({_M}),
    "identity.reveal": frozenset({_C}),
}

SEES: Mapping[Role, frozenset[CaseKind]] = {
    _M: frozenset({CaseKind.MODERATION, CaseKind.CLARIFICATION, CaseKind.CARE, CaseKind.APPEAL}),
    _L: frozenset({CaseKind.CLARIFICATION, CaseKind.GRIEVANCE}),
    _O: frozenset(CaseKind),
    _H: frozenset({CaseKind.GRIEVANCE}),
    _C: frozenset({CaseKind.CARE}),
    _A: frozenset(),
    _MEMBER: frozenset(CaseKind),
    _SYSTEM: frozenset(CaseKind),
}
"""Kinds of case that a role may touch; a member reaches only the case of their own receipt or link."""


def _granting(actor: Actor, verb: str) -> frozenset[Role]:
    return actor.roles & PERMISSIONS.get(verb, frozenset())


def _touches(role: Role, actor: Actor, case: Case) -> bool:
    if case.kind not in SEES[role]:
        return False
    return role is not Role.HANDLER or (actor.unit is not None and actor.unit == case.unit)


def sees(actor: Actor, case: Case) -> bool:
    """Say whether any role of ``actor`` may touch ``case`` at all (kind, and the own unit for a handler)."""
    return any(_touches(role, actor, case) for role in actor.roles)


def visible_kinds(actor: Actor) -> tuple[CaseKind, ...]:
    """Return the kinds of case that ``actor`` may touch, in the order of the enumeration."""
    return tuple(kind for kind in CaseKind if any(kind in SEES[role] for role in actor.roles))


def own_unit_only(actor: Actor) -> bool:
    """Say whether lists shown to ``actor`` must be narrowed to their own unit."""
    return actor.has(Role.HANDLER) and not actor.roles & {
        Role.OFFICER,
        Role.LEADER,
        Role.MODERATOR,
        Role.SYSTEM,
    }


def may(actor: Actor, verb: str, *, case: Case | None = None) -> bool:
    """Say whether ``actor`` may do ``verb`` (on ``case``): one and the same role must grant both."""
    granting = _granting(actor, verb)
    if case is None:
        return bool(granting)
    return any(_touches(role, actor, case) for role in granting)


def require(actor: Actor, verb: str, *, case: Case | None = None) -> None:
    """Raise NotAllowed unless :func:`may` says yes.

    Args:
        actor: who acts.
        verb: ``file.function`` as listed in :data:`PERMISSIONS`.
        case: the case it is about; adds the object rules.
    """
    if verb not in PERMISSIONS:
        raise NotAllowed(f"the action {verb!r} has no row in the table of permissions; nobody may do it")
    if not may(actor, verb, case=case):
        about = "" if case is None else " on this case"
        raise NotAllowed(f"this account may not do {verb}{about}; ask an administrator for the role it needs")


def acting_role(actor: Actor, verb: str, *, case: Case | None = None) -> Role:
    """Return the role under which ``actor`` does ``verb``, for the record; raises NotAllowed without one."""
    require(actor, verb, case=case)
    granting = _granting(actor, verb)
    return next(r for r in Role if r in granting and (case is None or _touches(r, actor, case)))
