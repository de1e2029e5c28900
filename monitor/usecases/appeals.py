"""Appeals: whoever holds the link of a notice sees the statement of reasons and may ask for another look (M-03, M-05)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, BadMove, NotFound
from monitor.core.model import Action, Case, CaseKind, Decision, NewCase, Role, RuleCode
from monitor.core.policy import rank
from monitor.core.ports import Store
from monitor.core.roles import require
from monitor.core.states import INITIAL, is_open
from monitor.core.workdays import first_due, shipped
from monitor.usecases._member import MEMBER, add_words, checked_words
from monitor.usecases._record import record
from monitor.usecases.deps import Deps

_BUCKET = 2
_UNKNOWN = "this link is unknown or its time is over; the notice says until when an appeal is open"


@dataclass(frozen=True, slots=True)
class AppealView:
    """The statement of reasons as the author reads it, and how an appeal stands.

    Attributes:
        reference: of the case that was decided.
        action, rule, quote, explanation, decided_at, role: what was decided, on which ground and words, by which role.
        machine: whether a machine pointed the moderators to the post (it decides nothing).
        appeal_until: last moment to appeal.
        undone: the decision was taken back.
        appeal: reference of the appeal, if there is one.
        outcome: ``restore`` or ``uphold`` once the appeal is decided; ``reason`` is what the reviewer answers.
    """

    reference: str
    action: Action
    rule: RuleCode | None
    quote: str
    explanation: str
    decided_at: datetime
    role: str
    machine: bool
    appeal_until: datetime | None
    undone: bool
    appeal: str | None = None
    outcome: Action | None = None
    reason: str = ""


def _decision(store: Store, deps: Deps, token: str) -> Decision:
    found = store.cases.token(deps.keys.digest("token", token), "appeal", deps.clock.now())
    if found is None:
        raise NotFound(_UNKNOWN)
    return store.decisions.get(found)


def _appeal(store: Store, case: Case, decision: Decision) -> Case | None:
    """Return the newest appeal against a decision."""
    told = [
        e for e in store.events.of(case.id) if e.kind == "appealed" and e.detail.get("about") == decision.id
    ]
    return store.cases.get(int(str(told[-1].detail["appeal"]))) if told else None


def _answer(store: Store, appeal: Case | None) -> Decision | None:
    made = [] if appeal is None else [d for d in store.decisions.of(appeal.id) if d.undone_at is None]
    return made[-1] if made else None


def view(deps: Deps, token: str) -> AppealView:
    """Return the statement of reasons behind a link. Raises NotFound."""
    require(MEMBER, "appeals.view")
    with deps.uow.read() as store:
        decision = _decision(store, deps, token)
        case = store.cases.get(decision.case_id)
        appeal = _appeal(store, case, decision)
        answer = _answer(store, appeal)
    return AppealView(
        reference=case.reference,
        action=decision.action,
        rule=decision.rule,
        quote=decision.quote.text if decision.quote else "",
        explanation=decision.explanation,
        decided_at=decision.at,
        role=decision.role,
        machine=case.opened_by == "system",
        appeal_until=decision.appeal_until,
        undone=decision.undone_at is not None,
        appeal=None if appeal is None else appeal.reference,
        outcome=None if answer is None else answer.action,
        reason="" if answer is None else answer.explanation,
    )


def submit(deps: Deps, token: str, text: str) -> Case:
    """Open an appeal against the decision behind a link; the author's words are kept as a post of the appeal.

    A second submission while the appeal is open adds its words to it.

    Returns: the appeal's case.

    Raises: NotFound, BadInput (blank or too long), BadMove (undone already, or answered already).
    """
    require(MEMBER, "appeals.submit")
    words = checked_words(text)
    with deps.uow.begin(MEMBER) as store:
        case = store.cases.hold(_decision(store, deps, token).case_id)
        decision = _decision(store, deps, token)
        if decision.undone_at is not None:
            raise BadMove("this decision was taken back already; there is nothing to appeal")
        standing = _appeal(store, case, decision)
        if standing is not None and not is_open(standing.state):
            raise BadMove("this appeal has been answered; the answer stands on this page")
        appeal = standing or _opened(store, deps, case, decision)
        _keep_open(store, deps, token, decision)
        add_words(store, deps, appeal, words)
        return store.cases.get(appeal.id)


def _keep_open(store: Store, deps: Deps, token: str, decision: Decision) -> None:
    """Let the link of an appeal live on, so that its author can read the answer there."""
    until = deps.clock.now() + timedelta(days=deps.rules.appeal_days)
    store.cases.add_token(deps.keys.digest("token", token), "appeal", decision.id, until)


def _opened(store: Store, deps: Deps, case: Case, decision: Decision) -> Case:
    if not decision.post_ids:
        raise BadInput("this decision is about no post; ask the union office")
    now = deps.clock.now()
    due = first_due(CaseKind.APPEAL, now, shipped())
    new = NewCase(
        kind=CaseKind.APPEAL,
        state=INITIAL[CaseKind.APPEAL],
        rank=rank(_BUCKET, now),
        channel=case.channel,
        post_ids=decision.post_ids,
        policy="appeal",
        thread=case.thread,
        unit=case.unit,
        due_at=None if due is None else due.at,
        about_decision=decision.id,
        opened_by=MEMBER.login,
    )
    appeal = store.cases.open(new, now)
    who = (MEMBER, Role.MEMBER)
    record(store, deps, appeal, "opened", who, detail={"about": decision.id, "case": case.reference})
    record(store, deps, case, "appealed", who, detail={"about": decision.id, "appeal": appeal.id})
    return appeal


__all__ = ["AppealView", "submit", "view"]
