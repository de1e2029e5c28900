"""Rows to core types and back: moments as microseconds, enums as their values, small structures as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Column, Row, Table

from monitor.adapters.sql import tables
from monitor.core.model import (
    Account,
    Action,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Claim,
    ClaimState,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Label,
    Post,
    Reading,
    Reason,
    Reply,
    ReplyState,
    Role,
    RuleCode,
    Signal,
    SourceState,
    Span,
)
from monitor.core.ports import LedgerEntry, PartStatus, QuarantineItem, SignInSession

T = TypeVar("T")
Record: TypeAlias = Row[*tuple[Any, ...]]
"""A row of any columns."""

Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Return a moment as microseconds since 1970 (UTC)."""
    span = at - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def moment(value: int) -> datetime:
    """Return stored microseconds as a moment in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def micros_or_none(at: datetime | None) -> int | None:
    """Return :func:`micros`, or None for None."""
    return None if at is None else micros(at)


def moment_or_none(value: int | None) -> datetime | None:
    """Return :func:`moment`, or None for NULL."""
    return None if value is None else moment(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


def to_json(value: object) -> str:
    """Return compact JSON; moments and other strangers as their text."""
    return _ENCODER.encode(value)


# --- shapes: one per stored type -------------------------------------------------------------------

_TIME: Codec = (moment, micros)
_JSON: Codec = (json.loads, to_json)
_IDS: Codec = (lambda text: tuple(json.loads(text)), lambda ids: to_json(list(ids)))
_BOOL: Codec = (bool, int)
_ROLES: Codec = (
    lambda text: frozenset(Role(name) for name in text.split(",") if name),
    lambda roles: ",".join(sorted(role.value for role in roles)),
)
_SPAN: Codec = (
    lambda text: Span(*json.loads(text)),
    lambda span: to_json([span.post_id, span.start, span.end, span.text]),
)


def _enum(kind: type[StrEnum]) -> Codec:
    return kind, lambda value: kind(value).value


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How a frozen type lies in a table: which columns, and which values change their form on the way."""

    cls: Callable[..., T]
    table: Table
    names: tuple[str, ...]
    codecs: Mapping[str, Codec]
    values: Callable[[object], tuple[Any, ...]]

    @property
    def columns(self) -> list[Column[Any]]:
        """The columns to select, in the order of the fields."""
        return [self.table.c[name] for name in self.names]

    def load(self, row: Record, **given: Any) -> T:
        """Return the value of a row selected with ``columns``."""
        values = dict(zip(self.names, row, strict=False))
        for name, (load, _dump) in self.codecs.items():
            if values[name] is not None:
                values[name] = load(values[name])
        return self.cls(**values, **given)

    def dump(self, value: object, *skip: str) -> dict[str, Any]:
        """Return the columns of ``value`` except ``skip``."""
        row = dict(zip(self.names, self.values(value), strict=True))
        for name, (_load, dump) in self.codecs.items():
            if row[name] is not None:
                row[name] = dump(row[name])
        for name in skip:
            del row[name]
        return row


def _shape(cls: type[T], table: Table, codecs: Mapping[str, Codec], skip: Iterable[str] = ()) -> Shape[T]:
    names = tuple(f.name for f in fields(cls) if f.name not in set(skip))  # type: ignore[arg-type]
    return Shape(cls, table, names, codecs, attrgetter(*names))


def _times(*names: str) -> dict[str, Codec]:
    return dict.fromkeys(names, _TIME)


POST = _shape(Post, tables.post, {**_times("received_at", "posted_at"), "source_state": _enum(SourceState)})
CASE = _shape(
    Case,
    tables.case,
    {
        **_times("opened_at", "updated_at", "due_at", "lease_until"),
        "kind": _enum(CaseKind),
        "state": _enum(CaseState),
    },
    skip=["reference"],
)
EVENT = _shape(CaseEvent, tables.case_event, {**_times("at"), "detail": _JSON})
DECISION = _shape(
    Decision,
    tables.decision,
    {
        **_times("at", "appeal_until", "undo_until", "undone_at"),
        "action": _enum(Action),
        "rule": _enum(RuleCode),
        "post_ids": _IDS,
        "quote": _SPAN,
    },
)
REPLY = _shape(
    Reply, tables.reply, {**_times("created_at", "approved_at", "sent_at"), "state": _enum(ReplyState)}
)
CLAIM = _shape(Claim, tables.claim, {**_times("created_at", "valid_until"), "state": _enum(ClaimState)})
EFFECT = _shape(
    Effect,
    tables.outbox,
    {
        **_times("not_before", "created_at", "lease_until", "settled_at"),
        "kind": _enum(EffectKind),
        "state": _enum(EffectState),
    },
)
ENTRY = _shape(LedgerEntry, tables.ledger, _times("at"))
PARKED = _shape(QuarantineItem, tables.quarantine, _times("at"))
ACCOUNT = _shape(Account, tables.account, {**_times("created_at"), "roles": _ROLES, "active": _BOOL})
SESSION = _shape(SignInSession, tables.session, _times("created_at", "seen_at"))
PART = _shape(PartStatus, tables.part, _times("started_at", "beat_at"))


def dump_roles(roles: frozenset[Role]) -> str:
    """Return roles as a sorted list with commas."""
    return str(_ROLES[1](roles))


def to_post(row: Record) -> Post:
    """Return a post from a row of ``POST.columns``; the hot path, so without the loop of :class:`Shape`."""
    values = list(row)
    values[6], values[7] = moment(values[6]), moment(values[7])
    values[15] = SourceState(values[15])
    return Post(*values)


# --- cases have a reference that people can read aloud ------------------------------------------------


def reference(case_id: int) -> str:
    """Return the reference of a case, such as ``HY-000123``."""
    return f"HY-{case_id:06d}"


def case_id_of(text: str) -> int | None:
    """Return the id behind a reference, or None when it is not one."""
    number = text.strip().upper().removeprefix("HY-")
    if not (number.isascii() and number.isdigit() and 6 <= len(number) <= 15):
        return None
    case_id = int(number)
    return case_id if reference(case_id) == f"HY-{number}" else None


def to_case(row: Record) -> Case:
    """Return a case from a row of ``CASE.columns``."""
    return CASE.load(row, reference=reference(row[0]))


# --- readings: one compact row ----------------------------------------------------------------------

BITS = {label: 1 << place for place, label in enumerate(Label)}
VALUED = (Label.SENTIMENT, Label.TOPIC, Label.URGENCY)


_COLUMN = {
    label: (label.value, f"{label.value}_score" if label in VALUED else label.value) for label in Label
}
"""Label -> the columns of its value and of its score; for binary labels there is only the score."""

_UNREAD: Mapping[str, Any] = dict.fromkeys(name for names in _COLUMN.values() for name in names)


def reading_row(post_id: int, set_id: int, reading: Reading) -> dict[str, Any]:
    """Return the row of a reading: a score per binary label, value and score of the others, flags as bits."""
    row: dict[str, Any] = {
        "post_id": post_id,
        "set_id": set_id,
        "current": 1,
        "tier": reading.tier,
        **_UNREAD,
    }
    flags, reasons = 0, {}
    for signal in reading.signals:
        value, score = _COLUMN[signal.label]
        row[value] = signal.value
        row[score] = signal.score
        if signal.flag:
            flags |= BITS[signal.label]
        if signal.reasons:
            reasons[value] = [[r.start, r.end, r.text, r.why] for r in signal.reasons]
    row["flags"] = flags
    row["reasons"] = to_json(reasons) if reasons else None
    return row


def to_reading(row: Record) -> Reading:
    """Return a reading from a row of ``reading`` joined with ``model_set.models``; signals in the order of Label."""
    values = row._mapping
    reasons: Mapping[str, Sequence[Sequence[Any]]] = (
        json.loads(values["reasons"]) if values["reasons"] else {}
    )
    signals = tuple(
        Signal(
            label,
            values[score],
            bool(values["flags"] & BITS[label]),
            values[value] if value != score else None,
            tuple(Reason(*reason) for reason in reasons.get(value, ())),
        )
        for label, (value, score) in _COLUMN.items()
        if values[score] is not None
    )
    return Reading(signals, values["tier"], json.loads(values["models"]))
