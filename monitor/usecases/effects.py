"""Letting effects out, once: the states of E-03, the retries of E-07, and a person where nobody can know.

``new -> sending`` is committed before anything is sent. After a crash or a time-out an effect is ``unknown``: it is
asked about at the platform first and sent again only when it surely did not arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core.errors import BadInput, BadMove, StoreError
from monitor.core.model import SYSTEM, Actor, CaseEvent, Effect, EffectState, ReplyState, Role
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.roles import acting_role, may, require
from monitor.core.workdays import first_due, shipped
from monitor.usecases._moves import last_event
from monitor.usecases._restraint import stands
from monitor.usecases.deps import Deps
from monitor.usecases.views import without_links

RETRIES: Final = tuple(
    timedelta(seconds=s) for s in (5, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 24 * 3_600)
)
"""Pauses between attempts that surely did not arrive; after the last one a person is told (E-07)."""

LEASE_TIMEOUTS: Final = 4
"""A sender keeps an effect for so many request timeouts; afterwards it is taken for crashed."""

NOT_TRIED: Final = frozenset({"sender.busy", "channel.pace"})
"""Codes of a wait in which nobody tried to send: it lasts as long as was asked, counts as no attempt, and never ends
with a person."""

BATCH: Final = 200
LONGEST_NOTE: Final = 500
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


def take(deps: Deps, n: int = 20, without: Sequence[str] = (), quiet: Sequence[str] = ()) -> list[Outgoing]:
    """Take up to ``n`` effects that are due, in one committed step: unknown ones, to be asked about, then new ones.

    An effect whose sender crashed (its lease ran out while ``sending``) becomes unknown here. Half of the places are
    kept for new ones, so that a platform that cannot be asked does not hold up the others. Effects of the channels
    ``without`` stay where they are; of those in ``quiet``, only answers and notices that are not urgent do.
    """
    require(SYSTEM, "effects.dispatch")
    now, seconds = deps.clock.now(), LEASE_TIMEOUTS * deps.rules.send_timeout
    with deps.uow.begin() as store:
        for effect in store.outbox.lease(n, now, seconds, (_S.SENDING,), without):
            store.outbox.settle(effect, _S.UNKNOWN, now, error="crashed", not_before=now)
            _event(store, deps, effect, "effect_unknown", cause="crashed")
        asked = store.outbox.lease((n + 1) // 2, now, seconds, (_S.UNKNOWN,), without)
        fresh = store.outbox.lease(n - len(asked), now, seconds, (_S.NEW,), without, quiet)
        return [
            *(_outgoing(store, deps, effect, ask_first=True) for effect in asked),
            *(_outgoing(store, deps, effect, ask_first=False) for effect in fresh),
        ]


# --- outcomes --------------------------------------------------------------------------------------


def _settle(
    store: Store,
    deps: Deps,
    effect: Effect,
    state: EffectState,
    code: str,
    not_before: datetime | None = None,
    *,
    untried: bool = False,
) -> bool:
    """Write an outcome if the effect still stands as it was taken: nobody took or settled it meanwhile."""
    stored = store.outbox.get(effect.id)
    held = (stored.fence, stored.state) == (effect.fence, effect.state)
    now = deps.clock.now()
    return held and store.outbox.settle(
        effect, state, now, error=code, not_before=not_before, untried=untried
    )


def _reply_arrived(store: Store, deps: Deps, effect: Effect) -> None:
    """Follow an answer: it is sent when one place has it."""
    reply = None if effect.reply_id is None else store.replies.get(effect.reply_id)
    if reply is not None and reply.state in (ReplyState.APPROVED, ReplyState.FAILED):
        sent = replace(reply, state=ReplyState.SENT, sent_at=deps.clock.now())
        store.replies.save(sent, reply.version)
        _event(store, deps, effect, "reply_sent")


def _reply_given_up(store: Store, deps: Deps, effect: Effect) -> None:
    """Follow an answer: it has failed when every place is given up."""
    reply = None if effect.reply_id is None else store.replies.get(effect.reply_id)
    if reply is None or reply.state is not ReplyState.APPROVED:
        return
    own = [e for e in store.outbox.of_case(effect.case_id) if e.reply_id == reply.id]
    if all(e.state in (_S.NEEDS_HUMAN, _S.CANCELLED) for e in own):
        store.replies.save(replace(reply, state=ReplyState.FAILED), reply.version)
        _event(store, deps, effect, "reply_failed")


def _reply_again(store: Store, _deps: Deps, effect: Effect) -> None:
    """Follow an answer: it is on its way again."""
    reply = None if effect.reply_id is None else store.replies.get(effect.reply_id)
    if reply is not None and reply.state is ReplyState.FAILED:
        store.replies.save(replace(reply, state=ReplyState.APPROVED), reply.version)


def sent(deps: Deps, effect: Effect, receipt: str) -> bool:
    """Record that an effect arrived, with the platform's receipt; False when another sender has it meanwhile."""
    with deps.uow.begin() as store:
        if not store.outbox.settle(effect, _S.SENT, deps.clock.now(), receipt=receipt):
            return False
        _event(store, deps, effect, "effect_sent")
        _ledger(store, deps, effect, "effect.sent", SYSTEM.login)
        _reply_arrived(store, deps, effect)
    return True


def _after_twice(deps: Deps) -> datetime:
    return deps.clock.now() + timedelta(seconds=2 * deps.rules.send_timeout)


def unknown(deps: Deps, effect: Effect, code: str) -> bool:
    """Record that nobody knows whether an effect arrived; it is read back after twice the request timeout.

    Returns: False when another sender or a person has settled it meanwhile, as for every outcome below.
    """
    with deps.uow.begin() as store:
        if not _settle(store, deps, effect, _S.UNKNOWN, code, _after_twice(deps)):
            return False
        _event(store, deps, effect, "effect_unknown", cause=code)
    return True


def _needs_human(store: Store, deps: Deps, effect: Effect, code: str) -> bool:
    if not _settle(store, deps, effect, _S.NEEDS_HUMAN, code):
        return False
    _event(store, deps, effect, "needs_human", cause=code)
    _ledger(store, deps, effect, "effect.needs_human", SYSTEM.login, cause=code)
    _reply_given_up(store, deps, effect)
    return True


def _void(store: Store, effect: Effect) -> bool:
    """Say whether an effect belongs to a decision that was taken back while it was on its way."""
    return effect.decision_id is not None and not stands(store, store.decisions.get(effect.decision_id))


def _late(store: Store, effect: Effect, now: datetime) -> bool:
    """Say whether an answer has missed the date that its case was promised (E-07).

    An answered case has no date any more; the last one stands in its history.
    """
    if effect.reply_id is None:
        return False
    case = store.cases.get(effect.case_id)
    if case.due_at is not None:
        return case.due_at < now
    changed = last_event(store.events.of(case.id), "due_changed")
    if changed is not None:
        return datetime.fromisoformat(str(changed.detail["due"])) < now
    first = first_due(case.kind, case.opened_at, shipped())
    return first is not None and first.at < now


def _again(store: Store, deps: Deps, effect: Effect, code: str, at: datetime) -> bool:
    """Let an effect that surely did not arrive wait for its next attempt, unless its decision no longer stands."""
    if not _void(store, effect):
        return _settle(store, deps, effect, _S.NEW, code, at, untried=code in NOT_TRIED)
    if not _settle(store, deps, effect, _S.CANCELLED, code):
        return False
    _event(store, deps, effect, "effect_cancelled", cause="taken_back")
    return True


def later(deps: Deps, effect: Effect, code: str, at: datetime | None = None) -> bool:
    """Put an effect off that surely was not sent now; one that was being asked about stays unknown.

    After the last pause of the schedule a person is told, and at once when an answer has missed its date.

    Args:
        deps: what every use case is given.
        effect: as it was taken.
        code: why, a stable code.
        at: when the source may be asked again, if it said so; not before the pause of the schedule otherwise.
    """
    now = deps.clock.now()
    with deps.uow.begin() as store:
        if effect.state is _S.UNKNOWN:
            pause = _after_twice(deps)
            return _settle(store, deps, effect, _S.UNKNOWN, code, max(pause, at or pause))
        if code in NOT_TRIED:
            return _again(store, deps, effect, code, at or now + RETRIES[0])
        if effect.attempt > len(RETRIES) or _late(store, effect, now):
            return _needs_human(store, deps, effect, code)
        pause = now + RETRIES[effect.attempt - 1]
        return _again(store, deps, effect, code, max(pause, at or pause))


def refused(deps: Deps, effect: Effect, code: str) -> bool:
    """Hand an effect to a person: the platform said no for good, or cannot be asked."""
    with deps.uow.begin() as store:
        return _needs_human(store, deps, effect, code)


def not_done(deps: Deps, effect: Effect) -> bool:
    """Record that the platform surely does not have an effect; it is sent again, or a person is told after many times."""
    with deps.uow.begin() as store:
        if effect.attempt > len(RETRIES):
            return _needs_human(store, deps, effect, "not_there")
        return _again(store, deps, effect, "not_there", deps.clock.now())


# --- people ----------------------------------------------------------------------------------------


def _unknown_too_long(store: Store, deps: Deps, effect: Effect) -> bool:
    now = deps.clock.now()
    if effect.lease_until is not None and effect.lease_until > now:
        return False
    events = store.events.of(effect.case_id)
    own = [e.at for e in events if e.kind == "effect_unknown" and e.detail.get("effect") == effect.id]
    since = own[-1] if own else effect.created_at
    return now - since > timedelta(seconds=deps.rules.human_after)


def sweep(deps: Deps) -> int:
    """Hand effects to a person whose outcome has been unknown for too long; returns how many.

    One that a sender is asking about right now is left to that sender.
    """
    require(SYSTEM, "effects.dispatch")
    late: list[Effect] = []
    after: int | None = None
    with deps.uow.read() as store:
        while waiting := store.outbox.page((_S.UNKNOWN,), after, BATCH):
            after = waiting[-1].id
            late += [effect for effect in waiting if _unknown_too_long(store, deps, effect)]
    return sum(refused(deps, effect, effect.last_error or "unknown") for effect in late)


_BY_HAND = {
    "sent": (_S.SENT, "effect_sent"),
    "again": (_S.NEW, "noted"),
    "cancel": (_S.CANCELLED, "effect_cancelled"),
}


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An effect that waits for a person, with the reference of its case; links in its text are hidden."""

    effect: Effect
    reference: str


def unsettled(deps: Deps, actor: Actor, limit: int = 50) -> list[Unsettled]:
    """Return the effects that nobody could settle and that this actor may, oldest first. Raises NotAllowed."""
    require(actor, "effects.resolve")
    with deps.uow.read() as store:
        waiting = store.outbox.page((_S.NEEDS_HUMAN,), None, max(1, min(limit, BATCH)))
        cases = {effect.case_id: store.cases.get(effect.case_id) for effect in waiting}
        return [
            Unsettled(without_links(effect), cases[effect.case_id].reference)
            for effect in waiting
            if actor.has(Role.ADMIN) or may(actor, "effects.resolve", case=cases[effect.case_id])
        ]


def resolve(deps: Deps, actor: Actor, effect_id: int, outcome: str, note: str) -> None:
    """Let a person settle an effect that nobody could: they looked at the platform themselves.

    Args:
        deps: what every use case is given.
        actor: who looked.
        effect_id: which effect; it waits for a person.
        outcome: ``sent`` (it is there), ``again`` (it is not; send it) or ``cancel`` (let it be).
        note: what they saw, for colleagues.

    Raises: NotFound, NotAllowed, BadInput, BadMove (it does not wait for a person, or its decision was taken back).
    """
    words = clean(note).strip()
    if outcome not in _BY_HAND or not words or len(words) > LONGEST_NOTE:
        raise BadInput(
            f"say what you saw in up to {LONGEST_NOTE} characters, and one of {', '.join(_BY_HAND)}"
        )
    state, kind = _BY_HAND[outcome]
    with deps.uow.begin(actor) as store:
        effect, now = store.outbox.get(effect_id), deps.clock.now()
        case = store.cases.get(effect.case_id)
        role = acting_role(actor, "effects.resolve", case=None if actor.has(Role.ADMIN) else case)
        if outcome == "again" and _void(store, effect):
            raise BadMove("the decision behind this effect was taken back; settle it as sent or cancelled")
        receipt = "by hand" if outcome == "sent" else None
        waits = effect.state is _S.NEEDS_HUMAN
        if not (waits and store.outbox.settle(effect, state, now, receipt=receipt, not_before=now)):
            raise BadMove(
                f"this effect is {effect.state}; only one that waits for a person is settled by hand"
            )
        detail: dict[str, object] = {"effect": effect.id, "action": effect.kind, "by_hand": outcome}
        store.events.add(CaseEvent(case.id, kind, actor.login, role, now, words, detail))
        _ledger(store, deps, effect, f"effect.{outcome}_by_hand", actor.login, reason=words)
        follow = {"sent": _reply_arrived, "again": _reply_again, "cancel": _reply_given_up}[outcome]
        follow(store, deps, effect)


__all__ = [
    "Outgoing",
    "Unsettled",
    "later",
    "not_done",
    "refused",
    "resolve",
    "sent",
    "sweep",
    "take",
    "unknown",
    "unsettled",
]
