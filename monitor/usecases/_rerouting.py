"""Sending a case to the people who answer it: the case that takes its posts over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from monitor.core.model import Actor, Case, CaseKind, Label, NewCase, Post, Role
from monitor.core.policy import rank
from monitor.core.ports import Store
from monitor.core.states import INITIAL, is_open
from monitor.core.workdays import first_due, shipped
from monitor.usecases._record import record
from monitor.usecases.deps import Deps

REROUTES: Mapping[CaseKind, tuple[CaseKind, ...]] = {
    CaseKind.MODERATION: (CaseKind.GRIEVANCE, CaseKind.CLARIFICATION),
    CaseKind.CARE: (CaseKind.GRIEVANCE, CaseKind.CLARIFICATION),
    CaseKind.CLARIFICATION: (CaseKind.GRIEVANCE,),
}
"""Where a case can be sent that came to the wrong people."""

_BUCKETS = {CaseKind.CLARIFICATION: 3, CaseKind.GRIEVANCE: 4}


def _receipts(store: Store, case: Case) -> list[str]:
    """Return the digests of the receipts that lead to this case, or to none."""
    digests = store.cases.receipts(store.cases.post_ids(case.id)).values()
    return [one for one in digests if (bound := store.cases.by_receipt(one)) is None or bound.id == case.id]


def _joined(store: Store, kind: CaseKind, posts: Sequence[Post], alone: bool) -> Case | None:
    """Return the open case of this kind in which one of the posts stands, or that gathers its near-duplicates.

    Args:
        store: the transaction.
        kind: the kind of case.
        posts: the posts.
        alone: whoever wrote them holds a receipt, so they join nobody else's case.
    """
    near = store.cases.of_posts([post.id for post in posts])
    own = [one for cases in near.values() for one in cases if one.kind is kind and is_open(one.state)]
    if own or alone:
        return own[0] if own else None
    gathered = store.cases.open_of_groups(kind, [p.group_id for p in posts if p.group_id is not None])
    return store.cases.get(min(gathered.values())) if gathered else None


def _moved(store: Store, deps: Deps, case: Case, kind: CaseKind, posts: Sequence[Post]) -> NewCase:
    reading = store.readings.get(posts[0].id)
    now = deps.clock.now()
    due = first_due(kind, now, shipped())
    return NewCase(
        kind=kind,
        state=INITIAL[kind],
        rank=rank(_BUCKETS[kind], posts[0].received_at),
        channel=case.channel,
        post_ids=tuple(post.id for post in posts),
        policy="rerouted",
        score=case.score,
        thread=case.thread,
        unit=case.unit,
        due_at=None if due is None else due.at,
        topic=reading.value(Label.TOPIC) if reading else None,
        urgency=(reading.value(Label.URGENCY) if reading else None) or case.urgency,
    )


def take_over(store: Store, deps: Deps, case: Case, kind: CaseKind, who: tuple[Actor, Role]) -> Case:
    """Open the case that takes the posts over, or join the one that gathers them; receipts lead there from now on."""
    posts, receipts = store.posts.many(store.cases.post_ids(case.id)), _receipts(store, case)
    found = _joined(store, kind, posts, bool(receipts))
    if found is None:
        group = None if receipts else posts[0].group_id
        new = replace(_moved(store, deps, case, kind, posts), opened_by=who[0].login, group_id=group)
        target, told = store.cases.open(new, deps.clock.now()), "opened"
    else:
        target, told = found, "attached"
        store.cases.attach(target.id, [post.id for post in posts])
    for digest in receipts:
        store.cases.bind_receipt(digest, target.id)
    record(store, deps, target, told, who, detail={"from": case.reference})
    return store.cases.get(target.id)


__all__ = ["REROUTES", "take_over"]
