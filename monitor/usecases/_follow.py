"""How a case looks to the member whose case it is: words without office, never a name beyond the public signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.model import (
    RESTRICTING,
    Case,
    CaseEvent,
    CaseState,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Post,
)
from monitor.core.ports import Store
from monitor.core.states import allowed, is_open
from monitor.core.workdays import SHANGHAI, shipped
from monitor.usecases._member import MEMBER, Answer, answers_of
from monitor.usecases._moves import last_day
from monitor.usecases.cases import REOPEN_DAYS
from monitor.usecases.deps import Deps
from monitor.usecases.ratings import open_until
from monitor.words import _

RECEIVED = "received"
"""The state of a matter that the worker has not registered yet."""

_TOLD = frozenset({"decline", "ask", "extend"})
"""Moves whose reason is written to the member."""


@dataclass(frozen=True, slots=True)
class Told:
    """One step of a matter: when, what, and the reason where it is written to the member."""

    at: datetime
    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FollowView:
    """What the holder of a receipt sees.

    Attributes:
        state: ``received`` or the state of the case.
        state_name: the same in words.
        since: when the words came in.
        reference: the case reference that answers carry, once there is one.
        unit: who is to answer.
        due_at: until when the union owes the next answer; ``due_to_confirm`` when holidays may move it.
        steps: what happened, oldest first.
        answers: the answers that are out.
        notices: decisions about the member's own words with their reasons and the way to appeal.
        can: what the member can do now: ``add``, ``rate``, ``reopen``, ``withdraw``, ``appeal``.
        rate_until: until when the answer can be rated.
    """

    state: str
    state_name: str
    since: datetime
    reference: str | None = None
    unit: str | None = None
    due_at: datetime | None = None
    due_to_confirm: bool = False
    steps: tuple[Told, ...] = ()
    answers: tuple[Answer, ...] = ()
    notices: tuple[str, ...] = ()
    can: tuple[str, ...] = ()
    rate_until: datetime | None = None


def state_words(state: str) -> str:
    """Return a state in words for the member."""
    names: Mapping[str, str] = {
        RECEIVED: _("已收到，正在登记"),
        CaseState.PENDING: _("正在查看"),
        CaseState.DECIDED: _("已处理"),
        CaseState.REGISTERED: _("已登记，等待受理"),
        CaseState.ACCEPTED: _("已受理"),
        CaseState.DECLINED: _("不予受理"),
        CaseState.TRANSFERRED: _("已转交承办单位"),
        CaseState.RETURNED: _("正在重新确定承办单位"),
        CaseState.IN_WORK: _("正在办理"),
        CaseState.WAITING: _("等您补充"),
        CaseState.EXTENDED: _("正在办理（已延期）"),
        CaseState.ANSWERED: _("已答复，请您评价"),
        CaseState.RATED: _("您已评价"),
        CaseState.REDO: _("重新办理"),
        CaseState.WITHDRAWN: _("您已撤回"),
        CaseState.CLOSED: _("已办结"),
    }
    return names[state]


def _step_words(kind: str) -> str | None:
    """Return what happened in words for the member; None for what concerns only the office."""
    names: Mapping[str, str] = {
        "opened": _("已登记"),
        "accept": _("已受理"),
        "decline": _("不予受理"),
        "transfer": _("已转交承办单位"),
        "start": _("开始办理"),
        "ask": _("请您补充"),
        "resume": _("继续办理"),
        "extend": _("延期办理"),
        "due_changed": _("答复期限"),
        "overdue": _("已超过期限，已向上一级报告"),
        "answer": _("已答复"),
        "reminded": _("请您评价"),
        "rate": _("您已评价"),
        "redo": _("重新办理"),
        "reopen": _("您要求重新办理"),
        "added": _("您补充了内容"),
        "withdraw": _("您已撤回"),
        "close": _("已办结"),
    }
    return names.get(kind)


def _reason(event: CaseEvent) -> str:
    if event.kind in _TOLD:
        return event.reason
    if event.kind == "transfer":
        return str(event.detail.get("unit") or "")
    due = event.detail.get("due")
    if event.kind == "due_changed" and isinstance(due, str):
        return last_day(datetime.fromisoformat(due))
    return ""


def _steps(events: Sequence[CaseEvent]) -> tuple[Told, ...]:
    told = [(event, _step_words(event.kind)) for event in events]
    return tuple(Told(event.at, name, _reason(event)) for event, name in told if name is not None)


def _due_to_confirm(due_at: datetime | None) -> bool:
    """Say whether a limit reaches a year whose holidays are not published yet (C-12)."""
    return due_at is not None and due_at.astimezone(SHANGHAI).year not in shipped().years


def may_reopen(store: Store, deps: Deps, case: Case) -> bool:
    """Say whether the member may have ``case`` done again now."""
    events = store.events.of(case.id)
    if not {"redo", "reopen"} & set(allowed(case, MEMBER, events)):
        return False
    return deps.clock.now() <= case.updated_at + timedelta(days=REOPEN_DAYS)


# --- notices about the member's own words ----------------------------------------------------------


def _decided(store: Store, post: Post) -> list[Decision]:
    """Return the decisions about the member's own first post, whatever case they stand in."""
    made = [one for case in store.cases.of_post(post.id) for one in store.decisions.of(case.id)]
    return [one for one in made if post.id in one.post_ids]


def _is_out(effect: Effect, channel: str, now: datetime) -> bool:
    return (
        (effect.kind, effect.channel) == (EffectKind.NOTICE, channel)
        and effect.state is not EffectState.CANCELLED
        and effect.not_before <= now
    )


def _notices(store: Store, post: Post, decided: Sequence[Decision], now: datetime) -> tuple[str, ...]:
    """Return what the box was told of these decisions: a receipt is a way to get the notice (M-04)."""
    effects = [effect for made in decided for effect in store.outbox.of_decision(made.id)]
    return tuple(effect.text for effect in effects if _is_out(effect, post.channel, now))


def _may_appeal(decided: Sequence[Decision], now: datetime) -> bool:
    return any(
        made.action in RESTRICTING
        and made.undone_at is None
        and made.appeal_until is not None
        and now <= made.appeal_until
        for made in decided
    )


# --- views -----------------------------------------------------------------------------------------


def received_view(posts: Sequence[Post]) -> FollowView:
    """Return how a matter looks that waits to be registered."""
    return FollowView(RECEIVED, state_words(RECEIVED), posts[0].received_at)


def case_view(store: Store, deps: Deps, case: Case) -> FollowView:
    """Return how ``case`` looks to its member."""
    now, events = deps.clock.now(), store.events.of(case.id)
    first = store.posts.get(store.cases.post_ids(case.id)[0])
    decided, rate_until = _decided(store, first), open_until(store, deps, case)
    notices = _notices(store, first, decided, now)
    can = {
        "add": is_open(case.state),
        "rate": rate_until is not None,
        "reopen": may_reopen(store, deps, case),
        "withdraw": "withdraw" in allowed(case, MEMBER, events),
        "appeal": bool(notices) and _may_appeal(decided, now),
    }
    return FollowView(
        state=case.state.value,
        state_name=state_words(case.state),
        since=first.received_at,
        reference=case.reference,
        unit=case.unit,
        due_at=case.due_at,
        due_to_confirm=_due_to_confirm(case.due_at),
        steps=_steps(events),
        answers=answers_of(store, deps, case),
        notices=notices,
        can=tuple(name for name, possible in can.items() if possible),
        rate_until=rate_until,
    )


__all__ = ["RECEIVED", "FollowView", "Told", "case_view", "may_reopen", "received_view", "state_words"]
