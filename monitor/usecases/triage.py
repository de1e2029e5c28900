"""Opening cases: what the triage table asks for, near-duplicates gathered in one case, recalls followed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.core.model import (
    SYSTEM,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Claim,
    Effect,
    EffectState,
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

RECALLED = "recalled"
"""Code of an effect that was stopped because the author took back what it answers."""

_WITH_TOPIC = frozenset({CaseKind.GRIEVANCE, CaseKind.CLARIFICATION})


@dataclass(frozen=True, slots=True)
class Judged:
    """What the table says about one post, before the store is asked: the cases it wants, and the silent rows it hits.

    ``post.group_id`` is set already.
    """

    post: Post
    reading: Reading
    openings: tuple[Opening, ...]
    silent: tuple[str, ...]


def judge(post: Post, reading: Reading) -> Judged:
    """Ask the triage table; done before the transaction, so that nobody waits for it."""
    return Judged(post, reading, decide_cases(post, reading, box=False), silent_hits(reading))


@dataclass(frozen=True, slots=True)
class Told:
    """The known claim that a post seems to tell; ``same`` when it may join the claim's case."""

    claim: Claim
    score: float
    same: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A case that one post asks for.

    ``gathered_under`` is under what near-duplicates share it; a receipt and a person at risk stand alone.
    """

    post: Post
    reading: Reading
    opening: Opening
    receipt: str | None
    gathered_under: tuple[CaseKind, int] | None


def _gathered_under(post: Post, opening: Opening, receipt: str | None) -> tuple[CaseKind, int] | None:
    if receipt is not None or opening.kind is CaseKind.CARE or post.group_id is None:
        return None
    return opening.kind, post.group_id


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A case to open, and the later posts of the batch that join it."""

    want: _Wanted
    joining: list[int]


def _event(deps: Deps, case_id: int, kind: str, **detail: object) -> CaseEvent:
    return CaseEvent(case_id, kind, SYSTEM.login, Role.SYSTEM, deps.clock.now(), detail=detail)


def note(store: Store, deps: Deps, case_id: int, kind: str, **detail: object) -> None:
    """Append an event of the system to the history of a case."""
    store.events.add(_event(deps, case_id, kind, **detail))


def open_cases(
    store: Store, deps: Deps, judged: Sequence[Judged], told: Mapping[int, Told] | None = None
) -> list[Case]:
    """Open the cases that posts ask for, inside the caller's transaction.

    A near-duplicate of what an open case of the same kind gathers joins that case; so does an edit of a post
    that stands in one. Posts from the suggestion box get a case of their own, bound to their receipt.

    Args:
        store: the transaction.
        deps: what every use case is given.
        judged: the posts.
        told: post id -> the known claim that it seems to tell. Where that is certain and the claim's case still gathers
            posts, the post joins it; else a new case notes the claim, for a person to see.

    Returns: the cases that were opened, not those that were joined.
    """
    _count_silent(store, judged)
    receipts = store.cases.receipts([one.post.id for one in judged])
    wanted = [
        _Wanted(one.post, one.reading, opening, receipt, _gathered_under(one.post, opening, receipt))
        for one in judged
        for openings in [_openings(one, one.post.id in receipts)]
        for opening in openings
        for receipt in [_own_receipt(opening, openings, receipts.get(one.post.id))]
    ]
    joined = _join_edits(store, deps, [one.post for one in judged if one.post.revision > 1])
    known = _open_by_group(store, wanted)
    spreads = _spreads(store, told or {})
    opened = _open_or_join(store, deps, wanted, known, joined, spreads)
    _suggest(store, deps, opened, told or {})
    return opened


def _spreads(store: Store, told: Mapping[int, Told]) -> dict[int, int]:
    """Return post id -> open case of the claim that the post surely tells."""
    sure = {post_id: one.claim.case_id for post_id, one in told.items() if one.same}
    open_ids = {case_id for case_id in set(sure.values()) if is_open(store.cases.get(case_id).state)}
    return {post_id: case_id for post_id, case_id in sure.items() if case_id in open_ids}


def _suggest(store: Store, deps: Deps, opened: Sequence[Case], told: Mapping[int, Told]) -> None:
    """Note on new clarification cases which known claim their posts seem to tell."""
    for case in opened if told else ():
        if case.kind is not CaseKind.CLARIFICATION:
            continue
        for post_id in store.cases.post_ids(case.id):
            if post_id in told:
                one = told[post_id]
                detail = {
                    "claim": one.claim.id,
                    "score": one.score,
                    "same": one.same,
                    "note": one.claim.statement,
                }
                note(store, deps, case.id, "claim_suggested", **detail)
                break


def _openings(one: Judged, box: bool) -> tuple[Opening, ...]:
    return decide_cases(one.post, one.reading, box=True) if box else one.openings


def _own_receipt(opening: Opening, openings: Sequence[Opening], receipt: str | None) -> str | None:
    """Return the receipt for the one case it is bound to: the grievance, or else the first."""
    bound = next((o for o in openings if o.kind is CaseKind.GRIEVANCE), openings[0])
    return receipt if opening is bound else None


def _count_silent(store: Store, judged: Sequence[Judged]) -> None:
    for name, hits in Counter(name for one in judged for name in one.silent).items():
        key = f"policy.silent.{name}"
        store.operations.set_setting(key, str(int(store.operations.setting(key) or 0) + hits))


def _open_by_group(store: Store, wanted: Sequence[_Wanted]) -> dict[tuple[CaseKind, int], int]:
    groups: dict[CaseKind, set[int]] = defaultdict(set)
    for kind, group in filter(None, (want.gathered_under for want in wanted)):
        groups[kind].add(group)
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
    known: Mapping[tuple[CaseKind, int], int],
    served: set[tuple[CaseKind, int]],
    spreads: Mapping[int, int],
) -> list[Case]:
    over = served | _standing(store, wanted)
    fresh: list[_Fresh] = []
    gathering: dict[tuple[CaseKind, int], _Fresh] = {}
    joining: dict[int, list[int]] = defaultdict(list)
    for want in wanted:
        key = want.gathered_under
        if (want.opening.kind, want.post.id) in over:
            continue
        if want.opening.kind is CaseKind.CLARIFICATION and want.receipt is None and want.post.id in spreads:
            joining[spreads[want.post.id]].append(want.post.id)
        elif key is not None and key in known:
            joining[known[key]].append(want.post.id)
        elif key is not None and key in gathering:
            gathering[key].joining.append(want.post.id)
        else:
            fresh.append(_Fresh(want, []))
            if key is not None:
                gathering[key] = fresh[-1]
    for case_id, post_ids in joining.items():
        store.cases.attach(case_id, post_ids)
    opened = _open(store, deps, fresh)
    late = {case.id: one.joining for case, one in zip(opened, fresh, strict=True) if one.joining}
    store.events.add_many(
        [_event(deps, case_id, "attached", posts=ids) for case_id, ids in [*joining.items(), *late.items()]]
    )
    return opened


def _standing(store: Store, wanted: Sequence[_Wanted]) -> set[tuple[CaseKind, int]]:
    """Return (kind, post id) that have their case: a worker whose lease ran out may have been here before."""
    found = store.cases.of_posts(sorted({want.post.id for want in wanted}))
    return {(case.kind, post_id) for post_id, cases in found.items() for case in cases}


def _new_case(one: _Fresh, now: datetime) -> NewCase:
    want = one.want
    kind, post = want.opening.kind, want.post
    due = first_due(kind, now, shipped())
    topical = want.reading if kind in _WITH_TOPIC else None
    urgency = topical.value(Label.URGENCY) if topical else None
    return NewCase(
        kind=kind,
        state=INITIAL[kind],
        rank=rank(want.opening.bucket, post.received_at),
        channel=post.channel,
        post_ids=(post.id, *one.joining),
        policy=want.opening.policy,
        score=want.opening.score,
        thread=post.thread,
        unit=post.unit,
        due_at=None if due is None else due.at,
        topic=topical.value(Label.TOPIC) if topical else None,
        urgency="high" if kind is CaseKind.CARE else urgency,
        receipt=want.receipt,
        group_id=None if want.gathered_under is None else post.group_id,
    )


def _open(store: Store, deps: Deps, fresh: Sequence[_Fresh]) -> list[Case]:
    now = deps.clock.now()
    opened = store.cases.open_many([_new_case(one, now) for one in fresh], now)
    told = [(case, [one.want.post.id]) for case, one in zip(opened, fresh, strict=True)]
    store.events.add_many(
        [_event(deps, case.id, "opened", policy=case.policy, posts=posts) for case, posts in told]
    )
    store.ledger.append_many(
        [
            (
                "case.opened",
                case.reference,
                SYSTEM.login,
                {"kind": case.kind, "policy": case.policy, "posts": posts},
            )
            for case, posts in told
        ],
        now,
    )
    return opened


# --- recalls ---------------------------------------------------------------------------------------


def _cases_of(store: Store, post: Post) -> list[Case]:
    found = store.cases.of_posts(store.posts.revisions(post))
    return list({case.id: case for cases in found.values() for case in cases}.values())


def _all_gone(store: Store, case: Case) -> bool:
    posts = store.posts.many(store.cases.post_ids(case.id))
    return all(
        post.source_state is SourceState.REMOVED
        or store.posts.current(post).source_state is SourceState.REMOVED
        for post in posts
    )


def withdraw_recalled(store: Store, deps: Deps, post: Post) -> None:
    """Follow the recall of ``post`` at its source into its open cases, inside the caller's transaction.

    A pending moderation case of which every post is gone closes. An answer to the post that has not left yet is
    stopped, unless other posts of the case stand in the same thread: then it answers the first of those.
    """
    for case in _cases_of(store, post):
        if not is_open(case.state) and case.state is not CaseState.DECIDED:
            continue
        note(store, deps, case.id, "source_removed", post=post.id)
        _stop_replies(store, deps, case, set(store.posts.revisions(post)))
        if not _all_gone(store, case):
            continue
        if case.kind is CaseKind.MODERATION and case.state is CaseState.PENDING:
            _close_withdrawn(store, deps, case)


def _stop_replies(store: Store, deps: Deps, case: Case, gone: set[int]) -> None:
    """Stop what waits to be said to the post ``gone`` (its revisions); it is told in the history and the outbox."""
    waiting = [
        effect
        for effect in store.outbox.of_case(case.id)
        if effect.state is EffectState.NEW and effect.reply_id is not None and effect.post_id in gone
    ]
    for effect in waiting:
        other = _still_standing(store, case, effect)
        if other is not None:
            store.outbox.redirect(effect.id, other.id, other.handle)
        elif store.outbox.cancel_one(effect.id, deps.clock.now(), RECALLED):
            note(
                store, deps, case.id, "effect_cancelled", effect=effect.id, action=effect.kind, cause=RECALLED
            )
            _withdraw_reply(store, deps, effect)


def _still_standing(store: Store, case: Case, effect: Effect) -> Post | None:
    """Return another post of the case that still stands where ``effect`` goes."""
    posts = [store.posts.current(post) for post in store.posts.many(store.cases.post_ids(case.id))]
    place = (effect.channel, effect.thread)
    standing = (post for post in posts if post.source_state is not SourceState.REMOVED)
    return next((post for post in standing if (post.channel, post.thread) == place), None)


def _withdraw_reply(store: Store, deps: Deps, effect: Effect) -> None:
    """Call an answer withdrawn of which nothing is left to be sent."""
    assert effect.reply_id is not None
    reply = store.replies.get(effect.reply_id)
    own = [one for one in store.outbox.of_case(effect.case_id) if one.reply_id == reply.id]
    if reply.state is ReplyState.APPROVED and all(one.state is EffectState.CANCELLED for one in own):
        store.replies.save(replace(reply, state=ReplyState.WITHDRAWN), reply.version)
        note(store, deps, effect.case_id, "reply_withdrawn", reply=reply.id, cause=RECALLED)


def _close_withdrawn(store: Store, deps: Deps, case: Case) -> None:
    now = deps.clock.now()
    state = step(case, "withdrawn_at_source", SYSTEM)
    closed = replace(case, state=state, updated_at=now, lease_by=None, lease_until=None)
    store.cases.save(closed, case.version)
    note(store, deps, case.id, "withdrawn_at_source")
    store.ledger.append("case.withdrawn_at_source", case.reference, SYSTEM.login, {"state": state}, now)
