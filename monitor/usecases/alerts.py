"""Telling the staff that something waits: noted from what stands in the store, put together, and sent once.

Noting looks at cases, effects and channels and never at words of members; a message is kinds, counts and one link. A
message that perhaps arrived is not sent again, unless its receiver counts the same key once; one that surely did not
arrive gives its alerts back, and the next attempt carries them together with whatever came meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core.alerts import AT_ONCE, AlertKind, Delivery, DeliveryState, NotifierStatus, StaffMessage
from monitor.core.ports import Store
from monitor.usecases.deps import Deps
from monitor.words import _

RETRIES: Final = tuple(
    timedelta(seconds=s) for s in (5, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 24 * 3_600)
)
"""Pauses between attempts that surely did not arrive (E-07); after the last one the message is given up."""

REFUSED_FROM: Final = 3
"""Place in the schedule at which a refusal begins: a wrong key is not mended in five seconds."""

PACE: Final = timedelta(seconds=3)
"""Least time between two messages of one notifier: robots allow 20 a minute."""

LEASE: Final = timedelta(seconds=120)
KEPT: Final = timedelta(days=90)
_S = DeliveryState


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one notifier is to tell, at this moment.

    Attributes:
        name: as configured.
        kinds: what it tells at all.
        allowed: what of it may leave now; the rest waits for the end of the quiet hours.
        gather: how long what is not urgent waits for company.
        patience: how long a channel may be down before it is told.
        link: where the staff look.
        is_idempotent: its receiver counts the same key once.
    """

    name: str
    kinds: frozenset[AlertKind] = frozenset(AlertKind)
    allowed: frozenset[AlertKind] = frozenset(AlertKind)
    gather: timedelta = timedelta(seconds=60)
    patience: timedelta = timedelta(minutes=30)
    link: str = ""
    is_idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A message in a sender's hand."""

    delivery: Delivery
    message: StaffMessage = field(repr=False)


def look(deps: Deps, wanted: Wanted) -> int:
    """Note what is so now and was not told through this notifier before; returns how much."""
    now, found = deps.clock.now(), 0
    with deps.uow.read() as store:
        fresh = {
            kind: store.alerts.fresh(wanted.name, kind, now, wanted.patience) for kind in sorted(wanted.kinds)
        }
    if not any(fresh.values()):
        return 0
    with deps.uow.begin() as store:
        for kind, keys in fresh.items():
            found += store.alerts.note(wanted.name, kind, keys, now)
    return found


def take(deps: Deps, wanted: Wanted) -> Due | None:
    """Take the next message of a notifier, in one committed step; None when nothing is due.

    A message whose sender crashed perhaps arrived: it is sent again only where that does no harm.
    """
    now = deps.clock.now()
    with deps.uow.read() as store:
        if not _is_due(store, wanted, now):
            return None
    with deps.uow.begin() as store:
        for lost in store.alerts.expired(wanted.name, now):
            _perhaps(store, wanted, lost, "crashed", now)
        if not _is_due(store, wanted, now):
            return None
        kinds, key = sorted(wanted.allowed & wanted.kinds), f"n{secrets.token_hex(12)}"
        taken = store.alerts.begin(wanted.name, kinds, key, now, now + LEASE)
    return None if taken is None else Due(taken, message_of(taken, wanted.link))


def _is_due(store: Store, wanted: Wanted, now: datetime) -> bool:
    tried = store.alerts.tried_at(wanted.name)
    if tried is not None and tried <= now < tried + PACE:
        return False
    if store.alerts.expired(wanted.name, now):
        return True
    pending = store.alerts.pending(wanted.name)
    if pending is not None:
        return pending.not_before <= now
    waiting = {
        k: at
        for k, (_n, at) in store.alerts.waiting(wanted.name).items()
        if k in wanted.allowed & wanted.kinds
    }
    return any(kind in AT_ONCE or now - at >= wanted.gather for kind, at in waiting.items())


# --- outcomes --------------------------------------------------------------------------------------


def sent(deps: Deps, due: Due) -> bool:
    """Record that a message arrived; False when somebody else took it over meanwhile, as for every outcome."""
    with deps.uow.begin() as store:
        return store.alerts.settle(due.delivery, _S.SENT, deps.clock.now())


def perhaps(deps: Deps, wanted: Wanted, due: Due, code: str) -> bool:
    """Record that nobody knows whether a message arrived."""
    with deps.uow.begin() as store:
        return _perhaps(store, wanted, due.delivery, code, deps.clock.now())


def _perhaps(store: Store, wanted: Wanted, delivery: Delivery, code: str, now: datetime) -> bool:
    if not wanted.is_idempotent:
        return store.alerts.settle(delivery, _S.UNKNOWN, now, code)
    if delivery.attempt > len(RETRIES):
        return store.alerts.settle(delivery, _S.FAILED, now, code)
    at = now + RETRIES[delivery.attempt - 1]
    return store.alerts.settle(delivery, _S.NEW, now, code, at, fixed=True)


def later(
    deps: Deps, wanted: Wanted, due: Due, code: str, at: datetime | None = None, *, refused: bool = False
) -> bool:
    """Record that a message surely did not arrive this time; its alerts wait for the next attempt.

    Args:
        deps: what every use case is given.
        wanted: what the notifier is to tell.
        due: as it was taken.
        code: why, a stable code.
        at: when the other side may be asked again, if it said so.
        refused: the other side said no: trying again soon will not help.
    """
    now, delivery = deps.clock.now(), due.delivery
    with deps.uow.begin() as store:
        if delivery.fixed:  # an earlier attempt perhaps arrived: what is said stays as it was
            return _perhaps(store, wanted, delivery, code, now)
        place = delivery.attempt - 1 + (REFUSED_FROM if refused else 0)
        if delivery.attempt > len(RETRIES):
            return store.alerts.settle(delivery, _S.FAILED, now, code)
        pause = now + RETRIES[min(place, len(RETRIES) - 1)]
        return store.alerts.settle(delivery, _S.NEW, now, code, max(pause, at or pause))


def replay(deps: Deps, name: str) -> int:
    """Let what was given up wait again, now that the notifier works; returns how many alerts."""
    with deps.uow.begin() as store:
        return store.alerts.replay(name)


def note_trouble(deps: Deps, name: str, code: str) -> None:
    """Write that a notifier cannot even be made, or with an empty ``code`` that it can."""
    with deps.uow.read() as store:
        known = store.operations.setting(_trouble(name)) or ""
    if known != code:
        with deps.uow.begin() as store:
            store.operations.set_setting(_trouble(name), code)


def _trouble(name: str) -> str:
    return f"notifier_trouble:{name}"


def statuses(store: Store, names: Sequence[str]) -> list[NotifierStatus]:
    """Return how notifiers are doing, inside the caller's transaction: counts and times only."""
    found = store.alerts.status(names)
    troubles = [store.operations.setting(_trouble(name)) for name in names]
    return [
        replace(one, last_error=trouble) if trouble else one
        for one, trouble in zip(found, troubles, strict=True)
    ]


def status(deps: Deps, names: Sequence[str]) -> list[NotifierStatus]:
    """Return how notifiers are doing."""
    with deps.uow.read() as store:
        return statuses(store, names)


def prune(deps: Deps) -> int:
    """Forget messages that were settled long ago; returns how many."""
    with deps.uow.begin() as store:
        return store.alerts.prune(deps.clock.now() - KEPT)


# --- words -----------------------------------------------------------------------------------------


def _lines(counts: Mapping[str, int]) -> list[str]:
    words = {
        AlertKind.URGENT_CASE: _("新的紧急事项 {n} 件"),
        AlertKind.CASE_OVERDUE: _("已经超期的事项 {n} 件"),
        AlertKind.CASE_DUE: _("即将到期的事项 {n} 件"),
        AlertKind.NEEDS_HUMAN: _("没能送出、需要人处理的答复或操作 {n} 件"),
        AlertKind.APPEAL_WAITING: _("等待复核的申诉 {n} 件"),
        AlertKind.CHANNEL_DOWN: _("长时间收不到消息的渠道 {n} 个"),
    }
    return [words[kind].format(n=counts[kind]) for kind in AlertKind if counts.get(kind)]


def message_of(delivery: Delivery, link: str) -> StaffMessage:
    """Return a message in words: how much of what waits, and where to look."""
    lines = _lines(delivery.counts)
    urgent = delivery.counts.get(AlertKind.URGENT_CASE, 0)
    title = _("回音：有紧急事项，请尽快处理") if urgent else _("回音：有事项等待处理")
    return StaffMessage(
        delivery.key, title, "\n".join(lines), link, dict(delivery.counts), delivery.created_at
    )


def trial(link: str, now: datetime) -> StaffMessage:
    """Return a message by which an administrator sees that a notifier works."""
    text = _("这是一条测试提醒。收到它，说明提醒可以送到这里。")
    return StaffMessage(f"t{secrets.token_hex(12)}", _("回音：测试提醒"), text, link, {}, now)


__all__ = [
    "PACE",
    "RETRIES",
    "Due",
    "Wanted",
    "later",
    "look",
    "message_of",
    "note_trouble",
    "perhaps",
    "prune",
    "replay",
    "sent",
    "status",
    "statuses",
    "take",
    "trial",
]
