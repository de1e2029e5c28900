"""Letting effects out, once: the states of E-03, the retries of E-07, and a person where nobody can know.

``new -> sending`` is committed before anything is sent. After a crash or a time-out an effect is ``unknown``: it is
asked about at the platform first and sent again only when it surely did not arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core.errors import BadInput, BadMove, StoreError
from monitor.core.model import (
    SYSTEM,
    Actor,
    CaseEvent,
    Effect,
    EffectState,
    ReplyState,
    Role,
)
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.roles import acting_role, require
from monitor.usecases.deps import Deps

RETRIES: Final = tuple(
    timedelta(seconds=s) for s in (5, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 24 * 3_600)
)
"""Pauses between attempts that surely did not arrive; after the last one a person is told (E-07)."""

LEASE_TIMEOUTS: Final = 4
"""A sender keeps an effect for so many request timeouts; afterwards it is taken for crashed."""

BATCH: Final = 200
OUTCOMES: Final = ("sent", "again", "cancel")
_S = EffectState


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An effect in a sender's hand.

    ``author`` is the native author id for effects that need it; ``ask_first``: read back before anything is sent.
    """

    effect: Effect
    author: str | None
    ask_first: bool


def _event(store: Store, deps: Deps, effect: Effect, kind: str, **detail: object) -> None:
    told: dict[str, object] = {"effect": effect.id, "action": effect.kind, **detail}
    if effect.reply_id is not None:
        told["reply"] = effect.reply_id
    store.events.add(
        CaseEvent(effect.case_id, kind, SYSTEM.login, Role.SYSTEM, deps.clock.now(), detail=told)
    )


def _ledger(store: Store, deps: Deps, effect: Effect, kind: str, actor: str, **content: object) -> None:
    reference = store.cases.get(effect.case_id).reference
    told: dict[str, object] = {"effect": effect.id, "action": effect.kind, **content}
    store.ledger.append(kind, reference, actor, told, deps.clock.now())


# --- taking ----------------------------------------------------------------------------------------


def _outgoing(store: Store, deps: Deps, effect: Effect, *, ask_first: bool) -> Outgoing:
    sealed = store.outbox.author(effect)
    author = None
    if sealed is not None:
        try:
            author = deps.keys.unseal(sealed).decode("utf-8", "replace")
        except StoreError:
            author = None  # the key is another one: the connector refuses, and a person sees it
    return Outgoing(effect, author, ask_first)


def take(deps: Deps, n: int = 20) -> list[Outgoing]:
    """Take up to ``n`` effects that are due, in one committed step: unknown ones first, to be asked about.

    An effect whose sender crashed (its lease ran out while ``sending``) becomes unknown here.
    """
    require(SYSTEM, "effects.dispatch")
    now, seconds = deps.clock.now(), LEASE_TIMEOUTS * deps.rules.send_timeout
    with deps.uow.begin() as store:
        for effect in store.outbox.lease(n, now, seconds, (_S.SENDING,)):
            if store.outbox.settle(effect, _S.UNKNOWN, now, error="crashed", not_before=now):
                _event(store, deps, effect, "effect_unknown", cause="crashed")
        asked = store.outbox.lease(n, now, seconds, (_S.UNKNOWN,))
        fresh = store.outbox.lease(n - len(asked), now, seconds, (_S.NEW,)) if n > len(asked) else []
        return [
            *(_outgoing(store, deps, effect, ask_first=True) for effect in asked),
            *(_outgoing(store, deps, effect, ask_first=False) for effect in fresh),
        ]


# --- outcomes --------------------------------------------------------------------------------------


def _reply_settled(store: Store, deps: Deps, effect: Effect, state: ReplyState) -> None:
    """Follow an answer: sent when one place has it, failed when every place is given up."""
    if effect.reply_id is None:
        return
    reply = store.replies.get(effect.reply_id)
    if reply.state not in (ReplyState.APPROVED, ReplyState.FAILED):
        return
    if state is ReplyState.FAILED:
        own = [e for e in store.outbox.of_case(effect.case_id) if e.reply_id == reply.id]
        if any(e.state not in (_S.NEEDS_HUMAN, _S.CANCELLED) for e in own):
            return
        store.replies.save(replace(reply, state=ReplyState.FAILED), reply.version)
        _event(store, deps, effect, "reply_failed")
        return
    sent = replace(reply, state=ReplyState.SENT, sent_at=deps.clock.now())
    store.replies.save(sent, reply.version)
    _event(store, deps, effect, "reply_sent")


def sent(deps: Deps, effect: Effect, receipt: str) -> bool:
    """Record that an effect arrived, with the platform's receipt; False when another sender has it meanwhile."""
    with deps.uow.begin() as store:
        if not store.outbox.settle(effect, _S.SENT, deps.clock.now(), receipt=receipt):
            return False
        _event(store, deps, effect, "effect_sent")
        _ledger(store, deps, effect, "effect.sent", SYSTEM.login)
        _reply_settled(store, deps, effect, ReplyState.SENT)
    return True


def unknown(deps: Deps, effect: Effect, code: str) -> bool:
    """Record that nobody knows whether an effect arrived; it is read back after twice the request timeout."""
    now = deps.clock.now()
    at = now + timedelta(seconds=2 * deps.rules.send_timeout)
    with deps.uow.begin() as store:
        if not store.outbox.settle(effect, _S.UNKNOWN, now, error=code, not_before=at):
            return False
        _event(store, deps, effect, "effect_unknown", cause=code)
    return True


def _needs_human(store: Store, deps: Deps, effect: Effect, code: str) -> bool:
    if not store.outbox.settle(effect, _S.NEEDS_HUMAN, deps.clock.now(), error=code):
        return False
    _event(store, deps, effect, "needs_human", cause=code)
    _ledger(store, deps, effect, "effect.needs_human", SYSTEM.login, cause=code)
    _reply_settled(store, deps, effect, ReplyState.FAILED)
    return True


def later(deps: Deps, effect: Effect, code: str, at: datetime | None = None) -> bool:
    """Put an effect off that surely was not sent now; one that was being asked about stays unknown.

    Args:
        deps: what every use case is given.
        effect: as it was taken.
        code: why, a stable code.
        at: when the source may be asked again, if it said so; not before the pause of the schedule otherwise.
    """
    now = deps.clock.now()
    with deps.uow.begin() as store:
        if effect.state is _S.UNKNOWN:
            pause = now + timedelta(seconds=2 * deps.rules.send_timeout)
            return store.outbox.settle(
                effect, _S.UNKNOWN, now, error=code, not_before=max(pause, at or pause)
            )
        if effect.attempt > len(RETRIES):
            return _needs_human(store, deps, effect, code)
        pause = now + RETRIES[max(1, effect.attempt) - 1]
        return store.outbox.settle(effect, _S.NEW, now, error=code, not_before=max(pause, at or pause))


def refused(deps: Deps, effect: Effect, code: str) -> bool:
    """Hand an effect to a person: the platform said no for good, or cannot be asked."""
    with deps.uow.begin() as store:
        return _needs_human(store, deps, effect, code)


def not_done(deps: Deps, effect: Effect) -> bool:
    """Record that the platform surely does not have an effect; it is sent again."""
    now = deps.clock.now()
    with deps.uow.begin() as store:
        return store.outbox.settle(effect, _S.NEW, now, error="not_there", not_before=now)


# --- people ----------------------------------------------------------------------------------------


def _unknown_since(store: Store, effect: Effect) -> datetime:
    events = store.events.of(effect.case_id)
    own = [e.at for e in events if e.kind == "effect_unknown" and e.detail.get("effect") == effect.id]
    return own[-1] if own else effect.created_at


def sweep(deps: Deps) -> int:
    """Hand effects to a person whose outcome has been unknown for too long; returns how many."""
    require(SYSTEM, "effects.dispatch")
    limit = deps.clock.now() - timedelta(seconds=deps.rules.human_after)
    with deps.uow.begin() as store:
        waiting = store.outbox.page((_S.UNKNOWN,), None, BATCH)
        late = [effect for effect in waiting if _unknown_since(store, effect) < limit]
        return sum(_needs_human(store, deps, effect, effect.last_error or "unknown") for effect in late)


def resolve(deps: Deps, actor: Actor, effect_id: int, outcome: str, note: str) -> None:
    """Let a person settle an effect that nobody could: they looked at the platform themselves.

    Args:
        deps: what every use case is given.
        actor: who looked.
        effect_id: which effect; it waits for a person.
        outcome: ``sent`` (it is there), ``again`` (it is not; send it) or ``cancel`` (let it be).
        note: what they saw, for colleagues.

    Raises: NotFound, NotAllowed, BadInput, BadMove (it does not wait for a person).
    """
    words = clean(note).strip()
    if outcome not in OUTCOMES or not words or len(words) > 500:
        raise BadInput(f"say what you saw in up to 500 characters, and one of {', '.join(OUTCOMES)}")
    with deps.uow.begin(actor) as store:
        effect = store.outbox.get(effect_id)
        case = store.cases.get(effect.case_id)
        role = acting_role(actor, "effects.resolve", case=case)
        if effect.state is not _S.NEEDS_HUMAN:
            raise BadMove(
                f"this effect is {effect.state}; only one that waits for a person is settled by hand"
            )
        now = deps.clock.now()
        state = {"sent": _S.SENT, "again": _S.NEW, "cancel": _S.CANCELLED}[outcome]
        store.outbox.settle(
            effect, state, now, receipt="by hand" if outcome == "sent" else None, not_before=now
        )
        kind = {"sent": "effect_sent", "again": "noted", "cancel": "effect_cancelled"}[outcome]
        detail: dict[str, object] = {
            "effect": effect.id,
            "action": effect.kind,
            "note": words,
            "by_hand": True,
        }
        store.events.add(CaseEvent(case.id, kind, actor.login, role, now, detail=detail))
        _ledger(store, deps, effect, f"effect.{outcome}_by_hand", actor.login)
        if outcome == "sent":
            _reply_settled(store, deps, effect, ReplyState.SENT)


__all__ = [
    "Outgoing",
    "later",
    "not_done",
    "refused",
    "resolve",
    "sent",
    "sweep",
    "take",
    "unknown",
]
