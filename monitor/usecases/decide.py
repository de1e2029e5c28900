"""Deciding: what a moderator does about a case, why, and how it is taken back.

A restriction needs a ground of the closed list and quoted words (M-01), a second person where the post is also a
grievance (M-02), and leaves a notice with the way to appeal (M-04). Nobody decides an appeal against themselves (M-06).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed
from monitor.core.model import (
    RESTRICTING,
    Action,
    Actor,
    Case,
    CaseKind,
    CaseState,
    Decision,
    Post,
    Role,
)
from monitor.core.policy import rank
from monitor.core.ports import Store
from monitor.core.roles import acting_role, may
from monitor.core.states import allowed, step
from monitor.usecases._grounds import DecisionRequest, check_restriction, needs_second, proposer, tidy
from monitor.usecases._record import record
from monitor.usecases._rerouting import REROUTES, take_over
from monitor.usecases._restraint import (
    NEEDS,
    Back,
    notify,
    notify_upheld,
    restrain,
    standing,
    stands,
    take_back,
)
from monitor.usecases.deps import Deps

ESCALATED_BUCKET = 1

_REVIEW = (Action.KEEP, Action.DISMISS, Action.ESCALATE)
POSSIBLE: Mapping[CaseKind, tuple[Action, ...]] = {
    CaseKind.MODERATION: (*_REVIEW, Action.REMOVE, Action.HIDE, Action.MUTE),
    CaseKind.CARE: _REVIEW,
    CaseKind.CLARIFICATION: _REVIEW,
    CaseKind.APPEAL: (Action.RESTORE, Action.UPHOLD),
    CaseKind.GRIEVANCE: (),
}
"""What can be decided about each kind; a grievance is answered, never decided."""

_MOVES = {Action.ESCALATE: "escalate"}
"""The move of the table of states behind an action; ``decide`` behind the others."""

_OUTCOMES = {Action.RESTORE: "overturned", Action.UPHOLD: "upheld"}

_SHORT = {CaseKind.GRIEVANCE: "grievance", CaseKind.CLARIFICATION: "clarify"}


# --- checks ----------------------------------------------------------------------------------------


def _role(actor: Actor, case: Case, action: Action) -> Role:
    if case.kind is CaseKind.APPEAL:
        return acting_role(actor, "decide.appeal", case=case)
    role = acting_role(actor, "decide.decide", case=case)
    return acting_role(actor, "decide.restrict", case=case) if action in RESTRICTING else role


def _unsettled(store: Store, case: Case, version: int, actor: Actor, now: datetime) -> None:
    """Raise Conflict when somebody was faster or has the case in hand, and say who."""
    if case.state is not CaseState.PENDING:
        made = [one for one in store.decisions.of(case.id) if one.undone_at is None]
        who = f" by {made[-1].actor} at {made[-1].at:%Y-%m-%d %H:%M} UTC" if made else ""
        raise Conflict(f"this case is {case.state} already{who}; take the next one")
    if case.version != version:
        people = [event.actor for event in store.events.of(case.id) if event.role != Role.SYSTEM]
        who = people[-1] if people else "somebody"
        raise Conflict(f"{who} changed this case since you opened it; look at it again and repeat")
    if case.lease_by not in (None, actor.login) and case.lease_until is not None and case.lease_until > now:
        raise Conflict(f"{case.lease_by} is working on this case; take another one or wait")


def _locked(store: Store, case_id: int) -> Case:
    """Return a case and hold it, so that of two people at once the second one sees what the first one did."""
    about = store.cases.get(case_id).about_decision
    if about is not None:
        store.cases.hold(store.decisions.get(about).case_id)  # in the order in which an appeal is submitted
    return store.cases.hold(case_id)


def involved(store: Store, case_id: int) -> frozenset[str]:
    """Return the logins that had a hand in deciding a case: none of them reviews it (M-06)."""
    kinds = {"decide", "proposed", "escalate", "undo", "reroute"}
    events = {event.actor for event in store.events.of(case_id) if event.kind in kinds}
    made = store.decisions.of(case_id)
    return frozenset(events | {d.actor for d in made} | {d.second for d in made if d.second})


# --- deciding --------------------------------------------------------------------------------------


def _decision(
    deps: Deps, case: Case, request: DecisionRequest, who: tuple[Actor, Role], posts: Sequence[Post]
) -> Decision:
    now = deps.clock.now()
    actor, role = who
    restricting = request.action in RESTRICTING
    return Decision(
        id=0,
        case_id=case.id,
        action=request.action,
        actor=actor.login,
        role=role,
        at=now,
        post_ids=tuple(post.id for post in posts),
        rule=request.rule if restricting else None,
        note=request.note,
        explanation=request.explanation,
        appeal_until=now + timedelta(days=deps.rules.appeal_days) if restricting else None,
        undo_until=None if case.kind is CaseKind.APPEAL else now + timedelta(seconds=deps.rules.undo_seconds),
    )


def _settle(
    store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role], **told: object
) -> None:
    """Move the case to ``decided`` and record it."""
    state = step(case, "decide", who[0])
    settled = replace(case, state=state, updated_at=made.at, lease_by=None, lease_until=None)
    store.cases.save(settled, case.version)
    detail: dict[str, object] = {"action": made.action, "decision": made.id, **told}
    if made.rule is not None:
        detail["rule"] = made.rule
    if made.quote is not None:
        detail["quote"] = [made.quote.post_id, made.quote.start, made.quote.end]
    if made.note:
        detail["note"] = made.note
    record(store, deps, case, "decide", who, made.explanation, detail)


def _escalate(store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role]) -> None:
    """Put the case ahead of the queue for a colleague; it stays pending."""
    moved = replace(
        case,
        state=step(case, "escalate", who[0]),
        rank=min(case.rank, rank(ESCALATED_BUCKET, case.opened_at)),
        urgency="high",
        updated_at=made.at,
        lease_by=None,
        lease_until=None,
    )
    store.cases.save(moved, case.version)
    detail: dict[str, object] = {"decision": made.id, "rank": case.rank, "urgency": case.urgency}
    record(store, deps, case, "escalate", who, made.note, detail)


def _propose(store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role]) -> None:
    """Record that one person would restrict; the case waits for a second one (M-02)."""
    waiting = replace(case, updated_at=made.at, lease_by=None, lease_until=None)
    store.cases.save(waiting, case.version)
    quote = made.quote
    span = None if quote is None else [quote.post_id, quote.start, quote.end]
    detail = {"action": made.action, "rule": made.rule, "quote": span}
    record(store, deps, case, "proposed", who, made.note, detail)


def _restrict(
    store: Store, deps: Deps, case: Case, made: Decision, request: DecisionRequest, who: tuple[Actor, Role]
) -> Decision:
    newest = [store.posts.current(post) for post in store.posts.many(list(made.post_ids))]
    posts = list({post.id: post for post in newest}.values())
    stored = store.decisions.add(made)
    effects = restrain(store, deps, case, stored, posts, request.mute_seconds)
    told = notify(store, deps, case, stored, posts)
    _settle(store, deps, case, stored, who, effects=effects, notices=told, second=made.second)
    return stored


def _guarded(
    store: Store, deps: Deps, case: Case, made: Decision, request: DecisionRequest, who: tuple[Actor, Role]
) -> Decision:
    """Carry out a restriction, or only propose it where a second person has to agree."""
    if not needs_second(store, case):
        return _restrict(store, deps, case, made, request, who)
    first = proposer(store.events.of(case.id), request)
    if first == who[0].login:
        raise BadMove(
            "you have proposed this already; another person has to agree, for it is also a grievance"
        )
    if first is None:
        _propose(store, deps, case, made, who)
        return made
    return _restrict(store, deps, case, replace(made, second=first), request, who)


def _taken_back(store: Store, deps: Deps, case: Case, back: Back, who: tuple[Actor, Role]) -> dict[str, int]:
    """Take a restriction of ``case`` back outside, and record the correction where one is told."""
    told = take_back(store, deps, back)
    if told["notices"]:
        ids: dict[str, object] = {"about": back.decision.id, "notices": told["notices"]}
        record(store, deps, case, "corrected", who, detail=ids)
    return told


def _review(store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role]) -> Decision:
    """Decide an appeal: the restriction stands, or it is taken back as far as the channel can; both are told."""
    about = store.decisions.get(case.about_decision or 0)
    original = store.cases.get(about.case_id)
    if who[0].login in involved(store, original.id):
        raise NotAllowed("you had a hand in this decision; another person reviews the appeal")
    if not made.explanation:
        raise BadInput("tell the author why; an appeal is answered with a reason")
    stored = store.decisions.add(made)
    told: dict[str, object] = {"about": about.id}
    if made.action is Action.UPHOLD:
        told["notices"] = notify_upheld(store, deps, case, about, stored.id)
    elif stands(store, about):
        text = f"申诉成立，原处置改正。{made.explanation}"
        told |= _taken_back(store, deps, original, Back(case, about, "A", text, stored.id), who)
    ids = {"decision": stored.id, "about": about.id}
    record(store, deps, original, _OUTCOMES[made.action], who, detail=ids)
    _settle(store, deps, case, stored, who, **told)
    return stored


def decide(deps: Deps, actor: Actor, request: DecisionRequest) -> Decision:
    """Decide about a case in the version that the actor saw; decision, effects, notices and record are one transaction.

    Where the post is also a grievance, a restriction by one person is only proposed: the case stays pending until
    another person decides the same, and the returned decision has no id.

    Args:
        deps: what every use case is given.
        actor: who decides.
        request: what, why, and about which version.

    Raises: NotFound, NotAllowed, Conflict (somebody was faster), BadMove, BadInput.
    """
    with deps.uow.begin(actor) as store:
        case = _locked(store, request.case_id)
        who = (actor, _role(actor, case, request.action))
        if request.action not in POSSIBLE[case.kind]:
            raise BadMove(f"a {case.kind} case cannot be settled by {request.action}")
        _unsettled(store, case, request.version, actor, deps.clock.now())
        request = tidy(request)
        posts = store.posts.many(store.cases.post_ids(case.id))
        made = _decision(deps, case, request, who, posts)
        if request.action in RESTRICTING:
            quote = check_restriction(store, deps, case, request, posts)
            return _guarded(store, deps, case, replace(made, quote=quote), request, who)
        if case.kind is CaseKind.APPEAL:
            return _review(store, deps, case, made, who)
        stored = store.decisions.add(made)
        if request.action is Action.ESCALATE:
            _escalate(store, deps, case, stored, who)
        else:
            _settle(store, deps, case, stored, who)
    return stored


# --- undoing ---------------------------------------------------------------------------------------


def may_undo(decision: Decision, actor: Actor, now: datetime) -> bool:
    """Say whether ``actor`` may still take ``decision`` back."""
    own = actor.login in (decision.actor, decision.second)
    return (
        own and decision.undone_at is None and decision.undo_until is not None and now <= decision.undo_until
    )


def _check_undo(store: Store, case: Case, decision: Decision, actor: Actor, now: datetime) -> None:
    if case.kind is CaseKind.APPEAL:
        raise BadMove("the answer to an appeal has been given; it stands")
    if not stands(store, decision):
        raise Conflict("this decision was taken back already")
    if actor.login not in (decision.actor, decision.second):
        raise NotAllowed("a decision is undone by the person who made it; others hear an appeal")
    if not may_undo(decision, actor, now):
        raise BadMove("the time to undo is over; an appeal can still correct it")
    latest = [one.id for one in store.decisions.of(decision.case_id) if one.undone_at is None]
    if latest[-1] != decision.id:
        raise Conflict("something was decided after it; look at the case again")


def _lower(store: Store, deps: Deps, case: Case, decision: Decision, who: tuple[Actor, Role]) -> Case:
    """Put a case back to the place in the queue that it had before its escalation."""
    (before,) = [
        event.detail
        for event in store.events.of(case.id)
        if event.kind == "escalate" and event.detail.get("decision") == decision.id
    ]
    rank_before, urgency = int(str(before["rank"])), before["urgency"]
    lowered = replace(
        case,
        state=step(case, "escalate", who[0]),
        rank=rank_before,
        urgency=None if urgency is None else str(urgency),
        updated_at=deps.clock.now(),
    )
    saved = store.cases.save(lowered, case.version)
    detail: dict[str, object] = {"decision": decision.id, "undone": decision.action}
    record(store, deps, case, "noted", who, detail=detail)
    return saved


def _reopen(store: Store, deps: Deps, case: Case, decision: Decision, who: tuple[Actor, Role]) -> Case:
    """Put the case back before somebody, and take its effects back."""
    state = step(case, "undo", who[0])
    saved = store.cases.save(replace(case, state=state, updated_at=deps.clock.now()), case.version)
    detail: dict[str, object] = {"decision": decision.id, "action": decision.action}
    if decision.action in RESTRICTING:
        back = Back(case, decision, "U", "上一条处置已撤销，请以本条为准。")
        detail |= _taken_back(store, deps, case, back, who)
    record(store, deps, case, "undo", who, detail=detail)
    return saved


def undo(deps: Deps, actor: Actor, decision_id: int) -> Case:
    """Take one's own decision back in time: what has not left is cancelled, what has is restored where possible.

    Raises: NotFound, NotAllowed (another person's), Conflict (taken back already, or something followed), BadMove (too
        late, or the answer to an appeal).
    """
    with deps.uow.begin(actor) as store:
        case = _locked(store, store.decisions.get(decision_id).case_id)
        decision = store.decisions.get(decision_id)
        who = (actor, acting_role(actor, "decide.undo", case=case))
        now = deps.clock.now()
        _check_undo(store, case, decision, actor, now)
        store.decisions.mark_undone(decision.id, now)
        put_back = _lower if decision.action is Action.ESCALATE else _reopen
        return put_back(store, deps, case, decision, who)


# --- sending to the right people -------------------------------------------------------------------


def reroute(deps: Deps, actor: Actor, case_id: int, version: int, kind: CaseKind, note: str = "") -> Case:
    """Close a case here and put its posts before the people who answer them; returns their case.

    Posts that stand in an open case of that kind already, or whose near-duplicates do, join it.

    Raises: NotFound, NotAllowed, Conflict, BadMove (this kind cannot become that one), BadInput.
    """
    with deps.uow.begin(actor) as store:
        case = _locked(store, case_id)
        who = (actor, acting_role(actor, "decide.reroute", case=case))
        if kind not in REROUTES.get(case.kind, ()):
            raise BadMove(f"a {case.kind} case cannot be sent on as a {kind} case")
        now = deps.clock.now()
        _unsettled(store, case, version, actor, now)
        words = tidy(DecisionRequest(case_id, version, Action.DISMISS, note=note)).note
        state = step(case, "reroute", actor)
        closed = replace(case, state=state, updated_at=now, lease_by=None, lease_until=None)
        store.cases.save(closed, version)
        target = take_over(store, deps, case, kind, who)
        record(store, deps, case, "reroute", who, words, {"kind": kind, "to": target.reference})
        return target


def possible(store: Store, deps: Deps, actor: Actor, case: Case, posts: Sequence[Post]) -> tuple[str, ...]:
    """Return the names of what ``actor`` may decide about ``case`` now: actions, then ``grievance`` and ``clarify``.

    Args:
        store: the transaction or view.
        deps: what every use case is given.
        actor: who looks.
        case: the case as stored.
        posts: its posts.
    """
    if case.state is not CaseState.PENDING:
        return ()
    moves = allowed(case, actor)
    names = [str(a) for a in POSSIBLE[case.kind] if _MOVES.get(a, "decide") in moves]
    names = [name for name in names if _may(deps, actor, case, Action(name), posts)]
    if case.kind is CaseKind.APPEAL and case.about_decision is not None:
        about = store.decisions.get(case.about_decision)
        names = [] if actor.login in involved(store, about.case_id) else names
    if "reroute" in moves and may(actor, "decide.reroute", case=case):
        names += [_SHORT[kind] for kind in REROUTES.get(case.kind, ())]
    return tuple(names)


def _may(deps: Deps, actor: Actor, case: Case, action: Action, posts: Sequence[Post]) -> bool:
    verb = "decide.appeal" if case.kind is CaseKind.APPEAL else "decide.decide"
    if action in RESTRICTING:
        able = any(NEEDS[action] in deps.can(post.channel, post.thread) for post in standing(posts))
        return able and may(actor, "decide.restrict", case=case)
    return may(actor, verb, case=case)


__all__ = [
    "DecisionRequest",
    "decide",
    "involved",
    "may_undo",
    "needs_second",
    "possible",
    "reroute",
    "undo",
]
