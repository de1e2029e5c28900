"""The queue: who holds which case, what a person sees of it, and what they may do there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from monitor.core.errors import BadMove
from monitor.core.model import BINARY_LABELS, SYSTEM, Actor, Case, CaseKind, Post, Role
from monitor.core.ports import CaseFilter, PostFilter, Store
from monitor.core.roles import may, own_unit_only, require, visible_kinds
from monitor.core.states import WAITING_FOR_STAFF, allowed
from monitor.usecases._record import record
from monitor.usecases.decide import may_undo, possible
from monitor.usecases.deps import Deps
from monitor.usecases.replies import answerable
from monitor.usecases.views import (
    CaseRow,
    CaseView,
    DecisionRow,
    PostView,
    for_eyes,
    post_view,
    without_links,
)

MOST = 200
SHOWN_POSTS = 200
NEIGHBOURS = 3
_HANDED_ON = frozenset({"escalate", "proposed"})
_TAKEN_BACK = frozenset({"undo", "noted"})
_ELSEWHERE = frozenset({"decide", "escalate", "reroute", "undo", "answer", "rate"})
"""Moves that are made by deciding, answering or rating, not as a step of their own."""


def _within(actor: Actor, where: CaseFilter) -> CaseFilter | None:
    """Narrow a filter to what the actor may see; None when nothing is left."""
    seen = visible_kinds(actor)
    kinds = tuple(kind for kind in (where.kinds or seen) if kind in seen)
    if not kinds:
        return None
    if not own_unit_only(actor):
        return replace(where, kinds=kinds)
    if actor.unit is None or where.unit not in (None, actor.unit):
        return None
    return replace(where, kinds=kinds, unit=actor.unit)


def _limit(limit: int) -> int:
    return max(1, min(limit, MOST))


def _holder(case: Case, now: datetime) -> str | None:
    live = case.lease_until is not None and case.lease_until > now
    return case.lease_by if live else None


# --- one case --------------------------------------------------------------------------------------


def _allowed(store: Store, deps: Deps, actor: Actor, case: Case, posts: Sequence[Post]) -> tuple[str, ...]:
    names = list(possible(store, deps, actor, case, posts))
    if answerable(case) and may(actor, "replies.draft", case=case):
        names.append("reply")
    if case.kind is CaseKind.CLARIFICATION and may(actor, "claims.save", case=case):
        names.append("claim_verdict")
    if may(actor, "cases.move", case=case):
        moves = allowed(case, actor, store.events.of(case.id))
        names += [f"move:{name}" for name in moves if name not in _ELSEWHERE]
    return tuple(names)


def _view(store: Store, deps: Deps, actor: Actor, case: Case) -> CaseView:
    posts = store.posts.many(store.cases.post_ids(case.id)[:SHOWN_POSTS])
    readings = store.readings.many([post.id for post in posts])
    thread = store.posts.thread(posts[0], NEIGHBOURS, NEIGHBOURS) if posts else []
    return CaseView(
        case=case,
        posts=tuple(post_view(actor, post, readings.get(post.id), deps.rules) for post in posts),
        events=tuple(store.events.of(case.id)),
        decisions=tuple(store.decisions.of(case.id)),
        replies=tuple(store.replies.of(case.id)),
        effects=tuple(without_links(effect) for effect in store.outbox.of_case(case.id)),
        claim=store.claims.of(case.id),
        allowed=_allowed(store, deps, actor, case, posts),
        holder=_holder(case, deps.clock.now()),
        thread=tuple(for_eyes(actor, post, deps.rules) for post in thread),
    )


def view(deps: Deps, actor: Actor, case_id: int) -> CaseView:
    """Return everything that one screen shows of a case, and what this actor may do there now.

    Raises: NotFound, NotAllowed.
    """
    with deps.uow.read() as store:
        case = store.cases.get(case_id)
        require(actor, "queue.view", case=case)
        return _view(store, deps, actor, case)


# --- holding ---------------------------------------------------------------------------------------


def _waiting_for_others(store: Store, actor: Actor) -> list[int]:
    """Return cases that the actor has handed to a colleague: they are not offered to the same person again."""
    latest: dict[int, str] = {}
    for event in store.events.by_actor(actor.login, MOST):
        if event.kind in _HANDED_ON | _TAKEN_BACK:
            latest.setdefault(event.case_id, event.kind)
    return [case_id for case_id, kind in latest.items() if kind in _HANDED_ON]


def take_next(deps: Deps, actor: Actor, where: CaseFilter, skip: Sequence[int] = ()) -> CaseView | None:
    """Lease the first free case in the order of the queue; the actor's own leased one comes first.

    Args:
        deps: what every use case is given.
        actor: who asks for work.
        where: which cases; kinds that the actor may not see are left out.
        skip: ids that the person has passed over.

    Returns: the case as its screen shows it, or None when nothing waits. Raises NotAllowed.
    """
    require(actor, "queue.take_next")
    narrowed = _within(actor, where)
    if narrowed is None:
        return None
    with deps.uow.begin(actor) as store:
        passed = [*skip, *_waiting_for_others(store, actor)]
        now = deps.clock.now()
        while case := store.cases.take(narrowed, actor.login, now, deps.rules.lease_seconds, passed):
            found = _view(store, deps, actor, case)
            if case.kind is not CaseKind.APPEAL or found.allowed:
                return found
            store.cases.release(case.id, actor.login)  # about a decision that they had a hand in (M-06)
            passed.append(case.id)
    return None


def claim(deps: Deps, actor: Actor, case_id: int) -> CaseView:
    """Lease one case by its id.

    Raises: NotFound, NotAllowed, Conflict (somebody else holds it), BadMove (nothing is left to do there).
    """
    with deps.uow.begin(actor) as store:
        case = store.cases.get(case_id)
        require(actor, "queue.claim", case=case)
        if case.state not in WAITING_FOR_STAFF:
            raise BadMove(f"this case is {case.state}; nobody has to work on it now")
        held = store.cases.lease(case_id, actor.login, deps.clock.now(), deps.rules.lease_seconds)
        if case.lease_by != actor.login:
            role = next(role for role in Role if role in actor.roles)
            record(store, deps, held, "claimed", (actor, role))
        return _view(store, deps, actor, held)


def renew(deps: Deps, actor: Actor, case_id: int) -> None:
    """Keep a lease alive while its screen is open. Raises NotFound, NotAllowed, Conflict."""
    with deps.uow.begin(actor) as store:
        require(actor, "queue.renew", case=store.cases.get(case_id))
        store.cases.lease(case_id, actor.login, deps.clock.now(), deps.rules.lease_seconds)


def release(deps: Deps, actor: Actor, case_id: int) -> None:
    """Give a case back; nothing happens when somebody else holds it. Raises NotFound, NotAllowed."""
    with deps.uow.begin(actor) as store:
        require(actor, "queue.release", case=store.cases.get(case_id))
        store.cases.release(case_id, actor.login)


# --- lists -----------------------------------------------------------------------------------------


def _rows(store: Store, deps: Deps, cases: Sequence[Case]) -> list[CaseRow]:
    firsts = {case.id: store.cases.post_ids(case.id)[0] for case in cases}
    posts = {post.id: post for post in store.posts.many(list(firsts.values()))}
    readings = store.readings.many(list(firsts.values()))
    now = deps.clock.now()
    return [
        CaseRow(
            case,
            for_eyes(SYSTEM, posts[firsts[case.id]], deps.rules).text,
            {
                str(label): readings[firsts[case.id]].score(label)
                for label in BINARY_LABELS
                if firsts[case.id] in readings
            },
            _holder(case, now),
        )
        for case in cases
    ]


def page(
    deps: Deps, actor: Actor, where: CaseFilter, after: tuple[int, int] | None, limit: int
) -> list[CaseRow]:
    """Return cases in the order of the queue; ``after`` is the (rank, id) of the last one of the page before.

    Raises: NotAllowed.
    """
    require(actor, "queue.page")
    narrowed = _within(actor, where)
    if narrowed is None:
        return []
    with deps.uow.read() as store:
        return _rows(store, deps, store.cases.page(narrowed, after, _limit(limit)))


def counts(deps: Deps, actor: Actor) -> dict[str, int]:
    """Return kind -> cases that wait for staff, of the kinds this actor sees, and ``mine``: those they hold.

    Raises: NotAllowed.
    """
    require(actor, "queue.counts")
    seen = {str(kind) for kind in visible_kinds(actor)}
    found = dict.fromkeys(sorted(seen), 0)
    with deps.uow.read() as store:
        for (kind, state), n in store.cases.counts().items():
            if kind in seen and state in WAITING_FOR_STAFF:
                found[kind] += n
        found["mine"] = store.cases.held(actor.login, deps.clock.now())
    return found


def mine(deps: Deps, actor: Actor, limit: int) -> list[DecisionRow]:
    """Return the actor's own latest decisions, newest first, and which of them they may still undo.

    Raises: NotAllowed.
    """
    require(actor, "queue.mine")
    now = deps.clock.now()
    with deps.uow.read() as store:
        made = store.decisions.by_actor(actor.login, _limit(limit))
        return [DecisionRow(one, store.cases.get(one.case_id), may_undo(one, actor, now)) for one in made]


def search(deps: Deps, actor: Actor, query: str, after: int | None, limit: int) -> list[PostView]:
    """Return posts that contain ``query``, newest first; ``after`` is the last id of the page before.

    Raises: NotAllowed.
    """
    require(actor, "queue.search")
    words = query.strip()
    if not words:
        return []
    with deps.uow.read() as store:
        posts = store.posts.page(PostFilter(query=words), after, _limit(limit))
        readings = store.readings.many([post.id for post in posts])
    return [post_view(actor, post, readings.get(post.id), deps.rules) for post in posts]


__all__ = [
    "claim",
    "counts",
    "mine",
    "page",
    "release",
    "renew",
    "search",
    "take_next",
    "view",
]
