"""What every use case is given: the store, the clock, the keys, the figures of the house and the helpers.

``monitor.bootstrap`` fills it once; a test fills it with fakes. Nothing here opens anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.core.ports import (
    Capability,
    ClaimMatching,
    Classifier,
    Clock,
    Grouping,
    Keys,
    Passwords,
    UnitOfWork,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Figures an administrator may change; times in seconds unless the name says days.

    Attributes:
        effect_delay: how long an outward effect waits, so that undo is real.
        undo_seconds: how long the person who decided may undo.
        lease_seconds: how long a case stays with the person who took it.
        job_lease_seconds: how long a worker may keep a post before another takes it.
        send_timeout: request timeout of a send; an unknown outcome is read back after twice this.
        human_after: an outcome unknown for so long goes to a person.
        appeal_days: how long a decision can be appealed.
        rating_days: how long an answer can be rated.
        public_floor: distinct authors (or cases) below which a public figure is withheld.
        inside_floor: distinct authors below which a figure on a staff screen is withheld.
        base_url: where members reach the public pages.
        union_name: how the union signs.
        two_person_reply: the approver differs from the author of the draft.
        group_window_days: how far back near-duplicates are looked for.
        hide_recalled: whether screens withhold the words of a message that its author took back.
        original_days: how long the sealed words before masking are kept.
        idempotency_days: how long the marks of repeated requests are kept.
        quarantine_days: how long what could not be read is kept.
        session_days: how long a session that nobody uses is kept.
    """

    effect_delay: float = 20.0
    undo_seconds: float = 600.0
    lease_seconds: float = 300.0
    job_lease_seconds: float = 60.0
    send_timeout: float = 15.0
    human_after: float = 600.0
    appeal_days: int = 184
    rating_days: int = 15
    public_floor: int = 10
    inside_floor: int = 5
    base_url: str = "http://127.0.0.1:8780"
    union_name: str = "校工会"
    two_person_reply: bool = True
    group_window_days: int = 14
    hide_recalled: bool = True
    original_days: int = 30
    idempotency_days: int = 7
    quarantine_days: int = 90
    session_days: int = 30


def no_capabilities(_name: str) -> frozenset[Capability]:
    """Say of every channel that it can do nothing (until bootstrap knows better)."""
    return frozenset()


def nothing_lacking(_name: str, _thread: str | None) -> frozenset[Capability]:
    """Say that every thread of a channel can do what the channel can."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a use case may touch.

    ``capabilities(channel)`` says what a channel can do, ``lacking(channel, thread)`` what of it one thread cannot: a
    group in which our account is no administrator; ``classifier``, ``grouping``, ``matching`` and ``passwords`` may
    be missing: posts then go on without a reading, a group or a claim, and local sign-in says that it is off; ``notifiers`` names
    the ways to tell the staff that are declared.
    """

    uow: UnitOfWork
    clock: Clock
    keys: Keys
    rules: Rules
    classifier: Classifier | None = None
    grouping: Grouping | None = None
    matching: ClaimMatching | None = None
    capabilities: Callable[[str], frozenset[Capability]] = no_capabilities
    passwords: Passwords | None = None
    lacking: Callable[[str, str | None], frozenset[Capability]] = nothing_lacking
    notifiers: tuple[str, ...] = ()

    def can(self, channel: str, thread: str | None) -> frozenset[Capability]:
        """Return what can be done in one thread of a channel."""
        return self.capabilities(channel) - self.lacking(channel, thread)
