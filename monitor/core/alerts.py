"""What the staff are told about outside the screens: that something waits, how much of it, and where to look.

A message holds kinds, counts and one link; there is no field for words of a post, for a name or for a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AlertKind(StrEnum):
    """What waits for somebody."""

    URGENT_CASE = "urgent_case"
    CASE_OVERDUE = "case_overdue"
    CASE_DUE = "case_due"
    NEEDS_HUMAN = "needs_human"
    APPEAL_WAITING = "appeal_waiting"
    CHANNEL_DOWN = "channel_down"


AT_ONCE = frozenset({AlertKind.URGENT_CASE})
"""Kinds that do not wait for others to be told together with."""


class DeliveryState(StrEnum):
    """States of one message to one notifier: nothing is sent twice, so what may have arrived is not repeated."""

    NEW = "new"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StaffMessage:
    """One message as a notifier carries it.

    Attributes:
        key: the same whenever this very message is tried again.
        title: one line in words.
        text: the counts in words, a line per kind.
        link: where the staff see what it is about.
        counts: kind -> how many.
        at: when it was put together.
    """

    key: str
    title: str
    text: str
    link: str
    counts: Mapping[str, int]
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one notifier; ``fence`` grows with every lease, as with effects.

    ``fixed``: it may have arrived, and is tried again as it was, where the receiver counts the same key once.
    """

    id: int
    notifier: str
    key: str
    state: DeliveryState
    counts: Mapping[str, int]
    created_at: datetime
    not_before: datetime
    attempt: int = 0
    fence: int = 0
    fixed: bool = False
    lease_until: datetime | None = None
    last_error: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotifierStatus:
    """How a notifier is doing.

    Attributes:
        name: as configured.
        waiting: alerts that are not in a message yet.
        last_sent_at: when a message arrived last.
        last_error: code of why the last attempt failed; None after one that arrived.
        next_try_at: when it is tried again.
        sent, unknown, failed: messages that arrived, that perhaps did, and that were given up.
    """

    name: str
    waiting: int = 0
    last_sent_at: datetime | None = None
    last_error: str | None = None
    next_try_at: datetime | None = None
    sent: int = 0
    unknown: int = 0
    failed: int = 0

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt did not arrive."""
        return self.last_error is not None


__all__ = [
    "AT_ONCE",
    "AlertKind",
    "Delivery",
    "DeliveryState",
    "NotifierStatus",
    "StaffMessage",
]
