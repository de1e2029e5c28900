"""Alerts and the messages that carry them: noted once per notifier, leased with a fence, settled once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, cast, delete, exists, func, literal, or_, select, update

from monitor.adapters.sql.dialect import alone, put_once
from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import Record, micros, moment, moment_or_none, to_json
from monitor.adapters.sql.tables import alert, case, channel, notification, outbox
from monitor.core.alerts import AlertKind, Delivery, DeliveryState, NotifierStatus
from monitor.core.model import CaseKind, CaseState, EffectState

MOST: Final = 500
"""Most things of one kind that are noted at a time; the rest comes with the next look."""

URGENT_DAYS: Final = timedelta(days=7)
_A, _N, _C, _O, _CH = alert.c, notification.c, case.c, outbox.c, channel.c
_S = DeliveryState


class SqlAlerts:
    """Alerts over one transaction (see :class:`monitor.core.ports.Alerts`)."""

    def __init__(self, link: Link) -> None:
        self._link = link

    # --- what is to be told --------------------------------------------------------------------------

    def fresh(self, notifier: str, kind: AlertKind, now: datetime, patience: timedelta) -> list[str]:
        """Return keys of what is so now and was never noted for this notifier."""
        key, *facts = _facts(kind, micros(now), int(patience.total_seconds() * 1_000_000))
        noted = exists().where(_A.notifier == notifier, _A.key == key)
        return [str(row[0]) for row in self._link.all(select(key).where(*facts, ~noted).limit(MOST))]

    def note(self, notifier: str, kind: AlertKind, keys: Sequence[str], now: datetime) -> int:
        """Note alerts; one that is there stays as it is."""
        if not keys:
            return 0
        before = self._count(notifier)
        row = {"notifier": notifier, "kind": kind.value, "at": micros(now), "notification_id": None}
        put_once(self._link, alert, [{**row, "key": key} for key in keys])
        return self._count(notifier) - before

    def _count(self, notifier: str) -> int:
        return int(self._link.value(select(func.count()).select_from(alert).where(_A.notifier == notifier)))

    def waiting(self, notifier: str) -> dict[AlertKind, tuple[int, datetime]]:
        """Return kind -> (how many wait, since when the oldest does)."""
        query = (
            select(_A.kind, func.count(), func.min(_A.at))
            .where(_A.notifier == notifier, _A.notification_id.is_(None))
            .group_by(_A.kind)
        )
        return {AlertKind(kind): (n, moment(at)) for kind, n, at in self._link.all(query)}

    # --- messages ------------------------------------------------------------------------------------

    def _one(self, *where: ColumnElement[bool]) -> Delivery | None:
        found = self._link.first(select(notification).where(*where).order_by(_N.id).limit(1))
        return None if found is None else _delivery(found)

    def pending(self, notifier: str) -> Delivery | None:
        """Return the message that waits to be tried again, if there is one."""
        return self._one(_N.notifier == notifier, _N.state == _S.NEW.value)

    def expired(self, notifier: str, now: datetime) -> list[Delivery]:
        """Return messages whose lease ran out while they were being sent."""
        query = select(notification).where(
            _N.notifier == notifier, _N.state == _S.SENDING.value, _N.lease_until <= micros(now)
        )
        return [_delivery(row) for row in self._link.all(query)]

    def tried_at(self, notifier: str) -> datetime | None:
        """Return when a message was tried last."""
        return moment_or_none(self._link.value(select(func.max(_N.tried_at)).where(_N.notifier == notifier)))

    def begin(
        self, notifier: str, kinds: Sequence[AlertKind], key: str, now: datetime, until: datetime
    ) -> Delivery | None:
        """Put waiting alerts into the pending message or a new one, and lease it; None when there is nothing to say."""
        alone(self._link, f"notify:{notifier}")
        pending = self.pending(notifier)
        if pending is not None and pending.fixed:
            return self._leased(pending.id, dict(pending.counts), now, until)
        wanted = [kind.value for kind in kinds]
        mine = and_(_A.notifier == notifier, _A.notification_id.is_(None), _A.kind.in_(wanted))
        counts = {
            row[0]: row[1]
            for row in self._link.all(select(_A.kind, func.count()).where(mine).group_by(_A.kind))
        }
        if not counts:
            return None
        number = pending.id if pending is not None else self._made(notifier, key, now)
        self._link.run(update(alert).where(mine).values(notification_id=number))
        return self._leased(number, counts, now, until)

    def _made(self, notifier: str, key: str, now: datetime) -> int:
        row = {
            "notifier": notifier,
            "key": key,
            "state": _S.NEW.value,
            "counts": "{}",
            "attempt": 0,
            "fence": 0,
        }
        row |= {"created_at": micros(now), "not_before": micros(now), "fixed": 0}
        return self._link.id_of(notification.insert().values(row))

    def _leased(self, number: int, counts: dict[str, int], now: datetime, until: datetime) -> Delivery | None:
        self._link.run(
            update(notification)
            .where(_N.id == number)
            .values(
                state=_S.SENDING.value,
                counts=to_json(counts),
                attempt=_N.attempt + 1,
                fence=_N.fence + 1,
                tried_at=micros(now),
                lease_until=micros(until),
            )
        )
        return self._one(_N.id == number)

    def settle(
        self,
        delivery: Delivery,
        state: DeliveryState,
        now: datetime,
        error: str | None = None,
        not_before: datetime | None = None,
        *,
        fixed: bool = False,
    ) -> bool:
        """Write an outcome if nobody took the message over; NEW without ``fixed`` lets its alerts wait again."""
        row: dict[str, Any] = {
            "state": state.value,
            "lease_until": None,
            "last_error": error,
            "fixed": int(fixed),
        }
        row["settled_at"] = None if state in (_S.NEW, _S.SENDING) else micros(now)
        if not_before is not None:
            row["not_before"] = micros(not_before)
        mine = and_(_N.id == delivery.id, _N.fence == delivery.fence, _N.state == _S.SENDING.value)
        if not self._link.changed(update(notification).where(mine).values(row)):
            return False
        if state is _S.NEW and not fixed:
            self._release(_A.notification_id == delivery.id)
        return True

    def _release(self, where: ColumnElement[bool]) -> int:
        return self._link.changed(update(alert).where(where).values(notification_id=None))

    def replay(self, notifier: str) -> int:
        """Let the alerts of given-up messages wait again; returns how many."""
        given_up = select(_N.id).where(_N.notifier == notifier, _N.state == _S.FAILED.value)
        freed = self._release(_A.notification_id.in_(given_up))
        self._link.run(delete(notification).where(_N.notifier == notifier, _N.state == _S.FAILED.value))
        return freed

    # --- how it goes ---------------------------------------------------------------------------------

    def status(self, names: Sequence[str]) -> list[NotifierStatus]:
        """Return how notifiers are doing, in the order of ``names``."""
        return [self._status(name) for name in names]

    def _status(self, name: str) -> NotifierStatus:
        query = (
            select(_N.state, func.count(), func.max(_N.settled_at))
            .where(_N.notifier == name)
            .group_by(_N.state)
        )
        rows = {row[0]: (row[1], row[2]) for row in self._link.all(query)}
        last = self._link.first(
            select(_N.state, _N.last_error, _N.not_before)
            .where(_N.notifier == name, _N.tried_at.is_not(None), _N.state != _S.SENDING.value)
            .order_by(_N.tried_at.desc(), _N.id.desc())
            .limit(1)
        )
        waits = last is not None and last[0] == _S.NEW.value
        wanted = and_(_A.notifier == name, _A.notification_id.is_(None))
        return NotifierStatus(
            name=name,
            waiting=int(self._link.value(select(func.count()).select_from(alert).where(wanted))),
            last_sent_at=moment_or_none(rows.get(_S.SENT.value, (0, None))[1]),
            last_error=None if last is None else last[1],
            next_try_at=moment(last[2]) if last is not None and waits else None,
            sent=rows.get(_S.SENT.value, (0, None))[0],
            unknown=rows.get(_S.UNKNOWN.value, (0, None))[0],
            failed=rows.get(_S.FAILED.value, (0, None))[0],
        )

    def prune(self, before: datetime) -> int:
        """Forget messages settled before a moment, with their alerts; returns how many messages."""
        old = and_(_N.settled_at.is_not(None), _N.settled_at < micros(before), _N.state != _S.FAILED.value)
        self._link.run(delete(alert).where(_A.notification_id.in_(select(_N.id).where(old))))
        return self._link.changed(delete(notification).where(old))


def _facts(kind: AlertKind, now: int, patience: int) -> tuple[Any, ...]:
    """Return the key of what a kind is about, and the conditions under which it is so now."""
    number, due = cast(_C.id, Text), cast(_C.due_at, Text)
    if kind is AlertKind.URGENT_CASE:
        urgent = or_(_C.kind == CaseKind.CARE.value, _C.urgency == "high")
        recent = _C.opened_at > now - int(URGENT_DAYS.total_seconds() * 1_000_000)
        return literal("urgent:") + number, _C.open == 1, urgent, recent
    if kind is AlertKind.CASE_OVERDUE:
        return literal("overdue:") + number + ":" + due, _C.open == 1, _C.due_at <= now
    if kind is AlertKind.CASE_DUE:  # four fifths of the time are over (C-03)
        near = (now - _C.opened_at) * 5 >= (_C.due_at - _C.opened_at) * 4
        return literal("due:") + number + ":" + due, _C.open == 1, _C.due_at > now, near
    if kind is AlertKind.APPEAL_WAITING:
        waits = and_(_C.kind == CaseKind.APPEAL.value, _C.state == CaseState.PENDING.value)
        return literal("appeal:") + number, _C.open == 1, waits
    if kind is AlertKind.NEEDS_HUMAN:
        key = literal("human:") + cast(_O.id, Text) + ":" + cast(_O.fence, Text)
        return key, _O.state == EffectState.NEEDS_HUMAN.value
    since = func.coalesce(_CH.last_ok_at, 0)
    long = or_(
        and_(_CH.last_ok_at.is_not(None), _CH.last_ok_at <= now - patience),
        and_(_CH.last_ok_at.is_(None), _CH.failures_before > 0),  # it has never answered, for over an hour
    )
    return (
        literal("down:") + _CH.name + ":" + cast(since, Text),
        _CH.paused == 0,
        _CH.last_error.is_not(None),
        long,
    )


def _delivery(row: Record) -> Delivery:
    told = row._mapping
    return Delivery(
        id=told["id"],
        notifier=told["notifier"],
        key=told["key"],
        state=DeliveryState(told["state"]),
        counts=json.loads(told["counts"]),
        created_at=moment(told["created_at"]),
        not_before=moment(told["not_before"]),
        attempt=told["attempt"],
        fence=told["fence"],
        fixed=bool(told["fixed"]),
        lease_until=moment_or_none(told["lease_until"]),
        last_error=told["last_error"],
        settled_at=moment_or_none(told["settled_at"]),
    )


__all__ = ["SqlAlerts"]
