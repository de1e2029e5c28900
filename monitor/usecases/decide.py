"""Deciding: what a moderator does about a case, why, and how it is taken back.

A restriction needs a ground of the closed list and quoted words (M-01), a second person where the post is also a
grievance (M-02), and leaves a notice with the way to appeal (M-04). Nobody decides an appeal against themselves (M-06).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed
from monitor.core.model import (
    RESTRICTING,
    Action,
    Actor,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    ClaimState,
    Decision,
    Label,
    NewCase,
    Post,
    Role,
    RuleCode,
    Span,
)
from monitor.core.policy import SECOND_PERSON, rank
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.roles import acting_role, may
from monitor.core.states import INITIAL, is_open, step
from monitor.core.workdays import first_due, shipped
from monitor.usecases._record import record
from monitor.usecases._restraint import NEEDS, notify, restrain, standing, take_back
from monitor.usecases.deps import Deps

LONGEST_NOTE = 500
LONGEST_EXPLANATION = 2_000
LONGEST_MUTE = 30 * 86_400
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

REROUTES: Mapping[CaseKind, tuple[CaseKind, ...]] = {
    CaseKind.MODERATION: (CaseKind.GRIEVANCE, CaseKind.CLARIFICATION),
    CaseKind.CARE: (CaseKind.GRIEVANCE, CaseKind.CLARIFICATION),
    CaseKind.CLARIFICATION: (CaseKind.GRIEVANCE,),
}
"""Where a case can be sent that came to the wrong people."""

_BUCKETS = {CaseKind.CLARIFICATION: 3, CaseKind.GRIEVANCE: 4}
_NAMED_PAPER = frozenset({RuleCode.ILLEGAL, RuleCode.AUTHORITY_ORDER})
_FALSE = frozenset({ClaimState.FALSE, ClaimState.PARTLY})


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """What somebody decides about the version of a case that they saw.

    ``quote`` is (post id, start, end) in code points of the post's text; ``explanation`` is for the author, ``note``
    for colleagues; ``mute_seconds`` is the length of a muting.
    """

    case_id: int
    version: int
    action: Action
    rule: RuleCode | None = None
    quote: tuple[int, int, int] | None = None
    note: str = ""
    explanation: str = ""
    mute_seconds: int = 0


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
        raise Conflict("somebody changed this case since you opened it; look at it again and repeat")
    if case.lease_by not in (None, actor.login) and case.lease_until is not None and case.lease_until > now:
        raise Conflict(f"{case.lease_by} is working on this case; take another one or wait")


def _tidy(request: DecisionRequest) -> DecisionRequest:
    note, explanation = clean(request.note).strip(), clean(request.explanation).strip()
    if len(note) > LONGEST_NOTE:
        raise BadInput(f"a note has at most {LONGEST_NOTE} characters; shorten it")
    if len(explanation) > LONGEST_EXPLANATION:
        raise BadInput(f"an explanation has at most {LONGEST_EXPLANATION} characters; shorten it")
    return replace(request, note=note, explanation=explanation)


def _quoted(request: DecisionRequest, posts: Sequence[Post]) -> Span:
    if request.quote is None:
        raise BadInput("quote the words that a restriction rests on")
    post_id, start, end = request.quote
    post = next((one for one in posts if one.id == post_id), None)
    if post is None or not 0 <= start < end <= len(post.text) or not post.text[start:end].strip():
        raise BadInput("the quote is not in a post of this case; mark words of the text itself")
    return Span(post_id, start, end, post.text[start:end])


def _check_ground(store: Store, case: Case, request: DecisionRequest) -> None:
    """Check what single grounds ask for beyond the quote."""
    if request.rule is None:
        raise BadInput("a restriction needs a ground of the published list; criticism is none")
    if request.rule in _NAMED_PAPER and not request.explanation:
        raise BadInput("name the law and article, or the number of the order, in the explanation")
    if request.rule is RuleCode.CONFIRMED_FALSEHOOD and not _disproved(store, case):
        raise BadInput(
            "a falsehood is a ground only when the verdict with its sources is recorded; clarify first"
        )


def _disproved(store: Store, case: Case) -> bool:
    """Say whether a verdict of a case over the same posts says that the statement is false (M-12)."""
    near = store.cases.of_posts(store.cases.post_ids(case.id))
    ids = {one.id for cases in near.values() for one in cases}
    claims = [store.claims.of(one) for one in sorted(ids)]
    return any(c is not None and c.state in _FALSE and bool(c.sources.strip()) for c in claims)


def _check_restriction(
    store: Store, deps: Deps, case: Case, request: DecisionRequest, posts: Sequence[Post]
) -> Span:
    _check_ground(store, case, request)
    quote = _quoted(request, posts)
    if not standing(posts):
        raise BadInput("every post of this case is gone at its source; there is nothing to restrict")
    if not any(NEEDS[request.action] in deps.capabilities(post.channel) for post in posts):
        raise BadInput(f"this channel cannot {request.action}; the channel table says what each one can")
    if request.action is Action.MUTE and not 0 < request.mute_seconds <= LONGEST_MUTE:
        raise BadInput("a muting lasts from one second to thirty days")
    return quote


def needs_second(store: Store, case: Case) -> bool:
    """Say whether a restriction here needs two people: the post is, or may be, a grievance as well (M-02)."""
    if SECOND_PERSON in case.policy.split(","):
        return True
    readings = store.readings.many(store.cases.post_ids(case.id))
    return any(reading.flagged(Label.GRIEVANCE) for reading in readings.values())


def _proposer(events: Sequence[CaseEvent], request: DecisionRequest) -> str | None:
    """Return who proposed the very same restriction last, if the newest proposal is that one."""
    asked = [event for event in events if event.kind == "proposed"]
    if not asked or any(event.kind == "undo" and event.seq > asked[-1].seq for event in events):
        return None
    same = (str(request.action), str(request.rule))
    told = (str(asked[-1].detail.get("action")), str(asked[-1].detail.get("rule")))
    return asked[-1].actor if same == told else None


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
        undo_until=now + timedelta(seconds=deps.rules.undo_seconds),
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
    if made.note:
        detail["note"] = made.note
    record(store, deps, case, "decide", who, detail=detail)


def _escalate(store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role]) -> None:
    """Put the case ahead of the queue for a colleague; it stays pending."""
    sooner = min(case.rank, rank(ESCALATED_BUCKET, case.opened_at))
    moved = replace(case, rank=sooner, updated_at=made.at, lease_by=None, lease_until=None)
    store.cases.save(moved, case.version)
    detail: dict[str, object] = {"decision": made.id, "rank": case.rank}
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
    posts = [store.posts.current(post) for post in store.posts.many(list(made.post_ids))]
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
    first = _proposer(store.events.of(case.id), request)
    if first == who[0].login:
        raise BadMove(
            "you have proposed this already; another person has to agree, for it is also a grievance"
        )
    if first is None:
        _propose(store, deps, case, made, who)
        return made
    return _restrict(store, deps, case, replace(made, second=first), request, who)


def _review(store: Store, deps: Deps, case: Case, made: Decision, who: tuple[Actor, Role]) -> Decision:
    """Decide an appeal: the restriction stands, or it is taken back as far as the channel can."""
    about = store.decisions.get(case.about_decision or 0)
    original = store.cases.get(about.case_id)
    if who[0].login in involved(store, original.id):
        raise NotAllowed("you had a hand in this decision; another person reviews the appeal")
    if not made.explanation:
        raise BadInput("tell the author why; an appeal is answered with a reason")
    stored = store.decisions.add(made)
    told: dict[str, object] = {"about": about.id}
    if made.action is Action.RESTORE:
        text = f"申诉成立，原处置改正。{made.explanation}"
        told |= take_back(store, deps, case, about, "A", text)
    kind = "overturned" if made.action is Action.RESTORE else "upheld"
    record(store, deps, original, kind, who, detail={"decision": stored.id, "about": about.id})
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
        case = store.cases.get(request.case_id)
        who = (actor, _role(actor, case, request.action))
        _unsettled(store, case, request.version, actor, deps.clock.now())
        if request.action not in POSSIBLE[case.kind]:
            raise BadMove(f"a {case.kind} case cannot be settled by {request.action}")
        request = _tidy(request)
        posts = store.posts.many(store.cases.post_ids(case.id))
        made = _decision(deps, case, request, who, posts)
        if request.action in RESTRICTING:
            quote = _check_restriction(store, deps, case, request, posts)
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


def _check_undo(store: Store, decision: Decision, actor: Actor, now: datetime) -> None:
    if decision.undone_at is not None:
        raise Conflict("this decision was undone already")
    if actor.login not in (decision.actor, decision.second):
        raise NotAllowed("a decision is undone by the person who made it; others hear an appeal")
    if not may_undo(decision, actor, now):
        raise BadMove("the time to undo is over; an appeal can still correct it")
    latest = [one.id for one in store.decisions.of(decision.case_id) if one.undone_at is None]
    if latest and latest[-1] != decision.id:
        raise Conflict("something was decided after it; look at the case again")


def _reopen(store: Store, deps: Deps, case: Case, decision: Decision, who: tuple[Actor, Role]) -> Case:
    """Put the case back as it was before the decision."""
    now = deps.clock.now()
    detail: dict[str, object] = {"decision": decision.id, "action": decision.action}
    if decision.action is Action.ESCALATE:
        before = [
            e.detail.get("rank") for e in store.events.of(case.id) if e.detail.get("decision") == decision.id
        ]
        old = before[0] if before and isinstance(before[0], int) else case.rank
        saved = store.cases.save(replace(case, rank=old, updated_at=now), case.version)
        record(store, deps, case, "corrected", who, detail=detail)
        return saved
    state = step(case, "undo", who[0])
    saved = store.cases.save(replace(case, state=state, updated_at=now), case.version)
    if decision.action in RESTRICTING:
        detail |= take_back(store, deps, case, decision, "U", "上一条处置已撤销，请以本条为准。")
    record(store, deps, case, "undo", who, detail=detail)
    return saved


def undo(deps: Deps, actor: Actor, decision_id: int) -> Case:
    """Take one's own decision back in time: what has not left is cancelled, what has is restored where possible.

    Raises: NotFound, NotAllowed (another person's), Conflict (undone already), BadMove (too late).
    """
    with deps.uow.begin(actor) as store:
        decision = store.decisions.get(decision_id)
        case = store.cases.get(decision.case_id)
        role = acting_role(actor, "decide.undo", case=case)
        now = deps.clock.now()
        _check_undo(store, decision, actor, now)
        if case.kind is CaseKind.APPEAL:
            raise BadMove("the answer to an appeal has been given; it stands")
        store.decisions.mark_undone(decision.id, now)
        return _reopen(store, deps, case, decision, (actor, role))


# --- sending to the right people -------------------------------------------------------------------


def _joined(store: Store, kind: CaseKind, post_ids: Sequence[int]) -> Case | None:
    """Return the open case of this kind in which one of the posts stands."""
    near = store.cases.of_posts(list(post_ids))
    return next(
        (one for cases in near.values() for one in cases if one.kind is kind and is_open(one.state)), None
    )


def _moved(store: Store, deps: Deps, case: Case, kind: CaseKind, actor: Actor) -> NewCase:
    post_ids = store.cases.post_ids(case.id)
    first = store.posts.get(post_ids[0])
    reading = store.readings.get(first.id)
    now = deps.clock.now()
    due = first_due(kind, now, shipped())
    return NewCase(
        kind=kind,
        state=INITIAL[kind],
        rank=rank(_BUCKETS[kind], first.received_at),
        channel=case.channel,
        post_ids=tuple(post_ids),
        policy="rerouted",
        score=case.score,
        thread=case.thread,
        unit=case.unit,
        due_at=None if due is None else due.at,
        topic=reading.value(Label.TOPIC) if reading else None,
        urgency=(reading.value(Label.URGENCY) if reading else None) or case.urgency,
        opened_by=actor.login,
        receipt=store.cases.bind_post_receipt(first.id),
        group_id=first.group_id,
    )


def reroute(deps: Deps, actor: Actor, case_id: int, version: int, kind: CaseKind, note: str = "") -> Case:
    """Close a case here and put its posts before the people who answer them; returns their case.

    Posts that stand in an open case of that kind already join it.

    Raises: NotFound, NotAllowed, Conflict, BadMove (this kind cannot become that one), BadInput.
    """
    with deps.uow.begin(actor) as store:
        case = store.cases.get(case_id)
        who = (actor, acting_role(actor, "decide.reroute", case=case))
        now = deps.clock.now()
        _unsettled(store, case, version, actor, now)
        if kind not in REROUTES.get(case.kind, ()):
            raise BadMove(f"a {case.kind} case cannot be sent on as a {kind} case")
        words = _tidy(DecisionRequest(case_id, version, Action.DISMISS, note=note)).note
        state = step(case, "reroute", actor)
        closed = replace(case, state=state, updated_at=now, lease_by=None, lease_until=None)
        store.cases.save(closed, version)
        target = _joined(store, kind, store.cases.post_ids(case.id))
        if target is None:
            target = store.cases.open(_moved(store, deps, case, kind, actor), now)
            opened: dict[str, object] = {"policy": target.policy, "from": case.reference}
            record(store, deps, target, "opened", who, detail=opened)
        else:
            store.cases.attach(target.id, store.cases.post_ids(case.id))
            record(store, deps, target, "attached", who, detail={"from": case.reference})
        record(store, deps, case, "reroute", who, words, {"kind": kind, "to": target.reference})
        return store.cases.get(target.id)


def possible(store: Store, deps: Deps, actor: Actor, case: Case, posts: Sequence[Post]) -> tuple[str, ...]:
    """Return the names of what ``actor`` may decide about ``case`` now: actions, then ``grievance`` and ``clarify``."""
    if case.state is not CaseState.PENDING:
        return ()
    names = [str(a) for a in POSSIBLE[case.kind] if _may(deps, actor, case, a, posts)]
    if case.kind is CaseKind.APPEAL and case.about_decision is not None:
        about = store.decisions.get(case.about_decision)
        if actor.login in involved(store, about.case_id):
            names = []
    if may(actor, "decide.reroute", case=case):
        short = {CaseKind.GRIEVANCE: "grievance", CaseKind.CLARIFICATION: "clarify"}
        names += [short[kind] for kind in REROUTES.get(case.kind, ())]
    return tuple(names)


def _may(deps: Deps, actor: Actor, case: Case, action: Action, posts: Sequence[Post]) -> bool:
    verb = "decide.appeal" if case.kind is CaseKind.APPEAL else "decide.decide"
    if action in RESTRICTING:
        able = any(NEEDS[action] in deps.capabilities(post.channel) for post in posts)
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
