"""What programs get: msgspec structs, from which the OpenAPI document is made.

Answers are picked field by field from the views of the use cases. A pseudonym is in none of them, and the answer
to a change holds no words of a member: it is kept for a while under its Idempotency-Key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from monitor.core.model import (
    Action,
    CaseKind,
    CaseState,
    ClaimState,
    EffectKind,
    EffectState,
    Label,
    ReplyState,
    RuleCode,
    SourceState,
)
from monitor.core.ports import Outcome


class CaseOut(Struct, frozen=True):
    """A case without the words of its posts."""

    id: int
    reference: str
    kind: CaseKind
    state: CaseState
    version: int
    channel: str
    opened_at: datetime
    updated_at: datetime
    thread: str | None
    unit: str | None
    assignee: str | None
    due_at: datetime | None
    topic: str | None
    urgency: str | None
    policy: str
    score: float
    post_count: int
    about_decision: int | None
    redo_count: int


class QueueRow(Struct, frozen=True):
    """A case as one line of the queue; ``scores`` are those of its first post, by label."""

    case: CaseOut
    first_text: str
    scores: dict[str, float]
    holder: str | None


class QueuePage(Struct, frozen=True):
    """A page of the queue; ``next`` is null at the end."""

    items: list[QueueRow]
    next: str | None


class PostOut(Struct, frozen=True):
    """A post; its author is not named, not even by pseudonym."""

    id: int
    channel: str
    external_id: str
    revision: int
    text: str
    received_at: datetime
    posted_at: datetime
    thread: str | None
    reply_to: str | None
    url: str | None
    lang: str | None
    quoted: str | None
    unit: str | None
    source_state: SourceState
    group_id: int | None


class ReasonOut(Struct, frozen=True):
    """Why a signal was given; ``start`` and ``end`` index the post's text in code points."""

    start: int
    end: int
    text: str
    why: str


class SignalOut(Struct, frozen=True):
    """One answer of the classifiers about one post."""

    label: Label
    score: float
    flag: bool
    value: str | None
    reasons: list[ReasonOut]


class ReadingOut(Struct, frozen=True):
    """What was understood of a post."""

    tier: str
    models: dict[str, str]
    signals: list[SignalOut]


class ReadPost(Struct, frozen=True):
    """A post with its reading; null until the worker has been there."""

    post: PostOut
    reading: ReadingOut | None


class EventOut(Struct, frozen=True):
    """One line of a case's history."""

    id: int
    kind: str
    actor: str
    role: str
    at: datetime
    reason: str
    detail: dict[str, Any]


class SpanOut(Struct, frozen=True):
    """Words quoted from a post."""

    post_id: int
    start: int
    end: int
    text: str


class DecisionOut(Struct, frozen=True):
    """A decision with its statement of reasons."""

    id: int
    case_id: int
    action: Action
    actor: str
    role: str
    at: datetime
    post_ids: list[int]
    rule: RuleCode | None
    quote: SpanOut | None
    note: str
    explanation: str
    appeal_until: datetime | None
    undo_until: datetime | None
    undone_at: datetime | None
    second: str | None


class DecisionMade(Struct, frozen=True):
    """The outcome of deciding; ``proposed`` means that another person has to decide the same, and ``id`` is null."""

    id: int | None
    proposed: bool
    case_id: int
    action: Action
    actor: str
    role: str
    at: datetime
    rule: RuleCode | None
    appeal_until: datetime | None
    undo_until: datetime | None


class ReplyOut(Struct, frozen=True):
    """An answer with its words."""

    id: int
    case_id: int
    channel: str
    text: str
    author: str
    role: str
    state: ReplyState
    created_at: datetime
    signature: str
    approved_by: str | None
    approved_at: datetime | None
    sent_at: datetime | None
    version: int


class ReplyMade(Struct, frozen=True):
    """The outcome of writing or approving an answer."""

    id: int
    case_id: int
    state: ReplyState
    version: int
    author: str
    approved_by: str | None
    approved_at: datetime | None


class EffectOut(Struct, frozen=True):
    """What leaves for the outside world, and how far it has come."""

    id: int
    kind: EffectKind
    channel: str
    state: EffectState
    not_before: datetime
    attempt: int
    last_error: str | None
    settled_at: datetime | None


class ClaimOut(Struct, frozen=True):
    """A checkable statement with its clarification."""

    id: int
    case_id: int
    statement: str
    state: ClaimState
    clarification: str
    sources: str
    owner: str | None
    valid_until: datetime | None
    created_at: datetime
    version: int


class CaseFull(Struct, frozen=True):
    """Everything about a case; ``allowed`` names what this account may do now, ``thread`` are the neighbours."""

    case: CaseOut
    posts: list[ReadPost]
    thread: list[PostOut]
    events: list[EventOut]
    decisions: list[DecisionOut]
    replies: list[ReplyOut]
    effects: list[EffectOut]
    claim: ClaimOut | None
    allowed: list[str]
    holder: str | None


class ClaimedCase(Struct, frozen=True):
    """A case that is held by this account now."""

    case: CaseOut
    allowed: list[str]
    holder: str | None


class Released(Struct, frozen=True):
    """A case that is free again."""

    case_id: int
    released: bool


class ClaimPage(Struct, frozen=True):
    """A page of claims; ``next`` is null at the end."""

    items: list[ClaimOut]
    next: int | None


class TrendCellOut(Struct, frozen=True):
    """One figure; ``hidden`` when too few people wrote, and then it says nothing."""

    at: datetime
    key: str
    n: int
    authors: int
    hidden: bool


class TrendsOut(Struct, frozen=True):
    """A trend with the totals of its period; ``totals`` is ``{"hidden": 1}`` when too few people wrote."""

    by: str
    group: str
    cells: list[TrendCellOut]
    totals: dict[str, int]


class RateOut(Struct, frozen=True):
    """``part`` of ``whole``; null is withheld because too few people stand behind it."""

    part: int | None
    whole: int | None


class ReportOut(Struct, frozen=True):
    """The public figures; null is withheld."""

    at: datetime
    floor: int
    posts: int | None
    cases: dict[str, dict[str, int | None]]
    responded: RateOut
    solved: RateOut
    satisfied: RateOut
    unrated: int | None
    removals: dict[str, int | None]
    appeals: dict[str, int | None]


class LedgerEntryOut(Struct, frozen=True):
    """One link of the hash chain: no text, no names."""

    seq: int
    at: datetime
    kind: str
    ref: str
    actor: str
    digest: str
    prev: str
    hash: str


class LedgerHead(Struct, frozen=True):
    """The last entry, or null for an empty ledger."""

    head: LedgerEntryOut | None


class LedgerVerified(Struct, frozen=True):
    """Whether the chain holds; ``first_bad`` is the number of the first entry that does not."""

    ok: bool
    count: int
    first_bad: int | None


class LedgerProof(Struct, frozen=True):
    """The entries about one thing, oldest first, and the head of the chain that they are part of."""

    ref: str
    entries: list[LedgerEntryOut]
    head: LedgerEntryOut | None


class ItemOut(Struct, frozen=True):
    """What became of one pushed item; ``reason`` is the code of the quarantine."""

    id: str | None
    outcome: Outcome
    reason: str | None


class PushedOut(Struct, frozen=True):
    """What became of pushed items, in their order."""

    results: list[ItemOut]


class Alive(Struct, frozen=True):
    """The process is alive."""

    status: str


class Readiness(Struct, frozen=True):
    """Whether the service can do its work; each part is ``ok`` or says what is wrong."""

    ready: bool
    checks: dict[str, str]
