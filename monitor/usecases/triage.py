"""Opening cases: what the triage table asks for, near-duplicates gathered in one case, recalls followed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.core.model import (
    SYSTEM,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Label,
    NewCase,
    Post,
    Reading,
    ReplyState,
    Role,
    SourceState,
)
from monitor.core.policy import Opening, decide_cases, rank, silent_hits
from monitor.core.ports import Store
from monitor.core.states import INITIAL, is_open, step
from monitor.core.workdays import first_due, shipped
from monitor.usecases.deps import Deps

_WITH_TOPIC = frozenset({CaseKind.GRIEVANCE, CaseKind.CLARIFICATION})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A case that one post asks for."""

    post: Post
    reading: Reading
    opening: Opening
    receipt: str | None

    @property
    def gathers(self) -> bool:
        """Whether the case may be shared with near-duplicates: a receipt and a person at risk stand alone."""
        return (
            self.receipt is None and self.opening.kind is not CaseKind.CARE and self.post.group_id is not None
        )


def note(store: Store, deps: Deps, case_id: int, kind: str, **detail: object) -> None:
    """Append an event of the system to the history of a case."""
    event = CaseEvent(case_id, kind, SYSTEM.login, Role.SYSTEM, deps.clock.now(), detail=detail)
    store.events.add(event)


def open_cases(store: Store, deps: Deps, pairs: Sequence[tuple[Post, Reading]]) -> list[Case]:
    """Open the cases that ``pairs`` ask for, inside the caller's transaction.

    A near-duplicate of what an open case of the same kind gathers joins that case; so does an edit of a post
    that stands in one. Posts from the suggestion box get a case of their own, bound to their receipt.

    Args:
        store: the transaction.
        deps: what every use case is given.
        pairs: posts with their readings; ``group_id`` already set.

    Returns: the cases that were opened, not those that were joined.
    """
    _count_silent(store, (reading for _post, reading in pairs))
    receipts = store.cases.receipts([post.id for post, _reading in pairs]) if pairs else {}
    wanted = [
        _Wanted(post, reading, opening, _own_receipt(opening, openings, receipts.get(post.id)))
        for post, reading in pairs
        for openings in [decide_cases(post, reading, box=post.id in receipts)]
        for opening in openings
    ]
    joined = _join_edits(store, deps, [post for post, _reading in pairs if post.revision > 1])
    known = _open_by_group(store, wanted)
    return _open_or_join(store, deps, wanted, known, joined)


def _own_receipt(opening: Opening, openings: Sequence[Opening], receipt: str | None) -> str | None:
    """Return the receipt for the one case it is bound to: the grievance, or else the first."""
    bound = next((o for o in openings if o.kind is CaseKind.GRIEVANCE), openings[0])
    return receipt if opening is bound else None


def _count_silent(store: Store, readings: Iterable[Reading]) -> None:
    for name, hits in Counter(name for reading in readings for name in silent_hits(reading)).items():
        key = f"policy.silent.{name}"
        store.operations.set_setting(key, str(int(store.operations.setting(key) or 0) + hits))


def _open_by_group(store: Store, wanted: Sequence[_Wanted]) -> dict[tuple[CaseKind, int], int]:
    groups: dict[CaseKind, set[int]] = defaultdict(set)
    for want in wanted:
        if want.gathers and want.post.group_id is not None:
            groups[want.opening.kind].add(want.post.group_id)
    return {
        (kind, group): case_id
        for kind, ids in groups.items()
        for group, case_id in store.cases.open_of_groups(kind, sorted(ids)).items()
    }


def _join_edits(store: Store, deps: Deps, posts: Sequence[Post]) -> set[tuple[CaseKind, int]]:
    """Put new revisions into the open cases of their older ones; return (kind, post id) that are served so."""
    served = set()
    for post in posts:
        for case in _cases_of(store, post):
            if is_open(case.state):
                store.cases.attach(case.id, [post.id])
                note(store, deps, case.id, "source_edited", post=post.id)
                served.add((case.kind, post.id))
    return served


def _open_or_join(
    store: Store,
    deps: Deps,
    wanted: Sequence[_Wanted],
    known: dict[tuple[CaseKind, int], int],
    served: set[tuple[CaseKind, int]],
) -> list[Case]:
    opened: list[Case] = []
    joining: dict[int, list[int]] = defaultdict(list)
    for want in wanted:
        kind, group = want.opening.kind, want.post.group_id
        if (kind, want.post.id) in served or _stands_already(store, want):
            continue
        if want.gathers and group is not None and (kind, group) in known:
            joining[known[kind, group]].append(want.post.id)
            continue
        case = _open(store, deps, want)
        opened.append(case)
        if want.gathers and group is not None:
            known[kind, group] = case.id
    for case_id, post_ids in joining.items():
        store.cases.attach(case_id, post_ids)
        note(store, deps, case_id, "attached", posts=post_ids)
    return opened


def _stands_already(store: Store, want: _Wanted) -> bool:
    """Say whether the post has a case of this kind: a worker whose lease ran out may have been here before."""
    return any(case.kind is want.opening.kind for case in store.cases.of_post(want.post.id))


def _new_case(deps: Deps, want: _Wanted) -> NewCase:
    kind, post, now = want.opening.kind, want.post, deps.clock.now()
    due = first_due(kind, now, shipped())
    topical = want.reading if kind in _WITH_TOPIC else None
    urgency = topical.value(Label.URGENCY) if topical else None
    return NewCase(
        kind=kind,
        state=INITIAL[kind],
        rank=rank(want.opening.bucket, post.received_at),
        channel=post.channel,
        post_ids=(post.id,),
        policy=want.opening.policy,
        score=want.opening.score,
        thread=post.thread,
        unit=post.unit,
        due_at=None if due is None else due.at,
        topic=topical.value(Label.TOPIC) if topical else None,
        urgency="high" if kind is CaseKind.CARE else urgency,
        receipt=want.receipt,
        group_id=post.group_id if want.gathers else None,
    )


def _open(store: Store, deps: Deps, want: _Wanted) -> Case:
    now = deps.clock.now()
    case = store.cases.open(_new_case(deps, want), now)
    note(store, deps, case.id, "opened", policy=case.policy, posts=[want.post.id])
    content: Mapping[str, object] = {"kind": case.kind, "policy": case.policy, "posts": [want.post.id]}
    store.ledger.append("case.opened", case.reference, SYSTEM.login, content, now)
    return case


# --- recalls ---------------------------------------------------------------------------------------


def _cases_of(store: Store, post: Post) -> list[Case]:
    found = {
        case.id: case for post_id in store.posts.revisions(post) for case in store.cases.of_post(post_id)
    }
    return list(found.values())


def _all_gone(store: Store, case: Case) -> bool:
    posts = store.posts.many(store.cases.post_ids(case.id))
    return all(
        post.source_state is SourceState.REMOVED
        or store.posts.current(post).source_state is SourceState.REMOVED
        for post in posts
    )


def withdraw_recalled(store: Store, deps: Deps, post: Post) -> None:
    """Follow the recall of ``post`` at its source into its open cases, inside the caller's transaction.

    A pending moderation case of which every post is gone closes; answers that have not left yet are stopped.
    """
    for case in _cases_of(store, post):
        if not is_open(case.state) and case.state is not CaseState.DECIDED:
            continue
        note(store, deps, case.id, "source_removed", post=post.id)
        if not _all_gone(store, case):
            continue
        _stop_replies(store, deps, case)
        if case.kind is CaseKind.MODERATION and case.state is CaseState.PENDING:
            _close_withdrawn(store, deps, case)


def _stop_replies(store: Store, deps: Deps, case: Case) -> None:
    for reply in store.replies.of(case.id):
        if reply.state is not ReplyState.APPROVED:
            continue
        stopped = store.outbox.cancel(None, reply.id, deps.clock.now())
        if stopped:
            store.replies.save(replace(reply, state=ReplyState.WITHDRAWN), reply.version)
            note(store, deps, case.id, "reply_withdrawn", reply=reply.id, stopped=stopped)


def _close_withdrawn(store: Store, deps: Deps, case: Case) -> None:
    now = deps.clock.now()
    state = step(case, "withdrawn_at_source", SYSTEM)
    closed = replace(case, state=state, updated_at=now, lease_by=None, lease_until=None)
    store.cases.save(closed, case.version)
    note(store, deps, case.id, "withdrawn_at_source")
    store.ledger.append("case.withdrawn_at_source", case.reference, SYSTEM.login, {"state": state}, now)
