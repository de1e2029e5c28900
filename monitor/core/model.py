"""The words of the house: posts, what was understood of them, cases, decisions, replies.

Every type is frozen; times carry a zone (UTC in the store). There is no type for a person beyond the
pseudonym: an author is a keyed digest, and nothing here leads from an author to their posts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# --- what was said ---------------------------------------------------------------------------------


class PostKind(StrEnum):
    """What an incoming item says about a post."""

    POST = "post"
    EDIT = "edit"
    REMOVAL = "removal"
    RESTORE = "restore"


class SourceState(StrEnum):
    """Where the post stands at its source, as far as we know."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class RawPost:
    """One item as a connector hands it over: the only place where a native author id may stand.

    Attributes:
        channel: name of the channel as configured.
        external_id: stable id inside the channel; twice is once.
        text: the author's own words (quoted words stay in ``quoted``), at most 20,000 characters.
        kind: a new post, an edit, or a removal/restore notice about ``external_id`` or ``handle``.
        author: native author id, or None when the channel is anonymous. Becomes a pseudonym on entry.
        posted_at: the source's own time, if it gave a believable one.
        thread: group, article or topic the post stands in.
        reply_to: external id (or handle) of the post that this one answers.
        handle: what the platform wants back to act on the post (a OneBot message_id); defaults to external_id.
        url: where a person can see it.
        quoted: words of others inside the post.
        contact: an address the author left for the answer (suggestion box); sealed on entry.
        unit: the unit the author named, if any.
        receipt: digest of the receipt handed out by the suggestion box.
        by: of a removal, who did it: ``author``, ``moderator`` or ``self`` (our own account).
    """

    channel: str
    external_id: str
    text: str
    kind: PostKind = PostKind.POST
    author: str | None = None
    posted_at: datetime | None = None
    thread: str | None = None
    reply_to: str | None = None
    handle: str | None = None
    url: str | None = None
    lang: str | None = None
    quoted: str | None = None
    contact: str | None = None
    unit: str | None = None
    receipt: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that could not be read: it goes to the quarantine with its reason.

    Attributes:
        channel: name of the channel.
        reason: stable code, e.g. ``json``, ``surrogate``, ``too_deep``, ``signature``.
        message: one sentence safe to show (no member text).
        payload: the bytes as received, cut at 64 KiB; sealed at rest.
        position: line, row or sequence number in the source, if there is one.
    """

    channel: str
    reason: str
    message: str
    payload: bytes = b""
    position: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One revision of one message; never edited: an edit at the source is a new revision.

    ``text`` is masked (phone, e-mail, identity numbers). ``author`` is a keyed pseudonym. ``removed_by`` says of a
    removed one who did it: ``author``, ``moderator``, ``self`` (our own account), or None when nobody told.
    """

    id: int
    channel: str
    external_id: str
    revision: int
    text: str
    author: str
    received_at: datetime
    posted_at: datetime
    thread: str | None = None
    reply_to: str | None = None
    handle: str | None = None
    url: str | None = None
    lang: str | None = None
    quoted: str | None = None
    unit: str | None = None
    source_state: SourceState = SourceState.VISIBLE
    group_id: int | None = None
    removed_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post ready to be stored: masked, pseudonymous, with its keyed digest (see :class:`Post`).

    ``original`` holds the sealed words before masking, when masking took something away; ``by`` is who removed it.
    """

    channel: str
    external_id: str
    text: str
    author: str
    digest: str
    received_at: datetime
    posted_at: datetime
    kind: PostKind = PostKind.POST
    thread: str | None = None
    reply_to: str | None = None
    handle: str | None = None
    url: str | None = None
    lang: str | None = None
    quoted: str | None = None
    unit: str | None = None
    receipt: str | None = None
    identity: bytes | None = None
    contact: bytes | None = None
    original: bytes | None = None
    by: str | None = None


# --- what was understood ---------------------------------------------------------------------------


class Label(StrEnum):
    """The questions answered for every post (guideline: docs, gold-labelling)."""

    SPAM = "spam"
    RUMOUR = "rumour"
    GRIEVANCE = "grievance"
    ABUSE = "abuse"
    RISK = "risk"
    SENTIMENT = "sentiment"
    TOPIC = "topic"
    URGENCY = "urgency"


BINARY_LABELS = (Label.SPAM, Label.RUMOUR, Label.GRIEVANCE, Label.ABUSE, Label.RISK)
SENTIMENTS = ("negative", "neutral", "positive")
URGENCIES = ("high", "normal", "low")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a signal was given; ``start``/``end`` index the original text in code points."""

    start: int
    end: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One answer about one post.

    Attributes:
        label: the question.
        score: calibrated probability in [0, 1] (of the flag, or of ``value`` for labels with values).
        flag: the shipped operating point says yes (binary labels only).
        value: ``negative|neutral|positive``, a topic key or an urgency, for labels with values.
        reasons: spans that carry the answer; present when ``flag`` is true.
    """

    label: Label
    score: float
    flag: bool = False
    value: str | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All signals of one post from one set of models.

    Attributes:
        signals: one per label that was answered; topic and urgency only where they apply.
        tier: ``fast``, ``deep`` or ``none`` (models unavailable: the post goes on without a reading).
        models: label -> model version, e.g. ``{"spam": "spam@2026.11.1"}``.
    """

    signals: tuple[Signal, ...]
    tier: str
    models: Mapping[str, str]

    def signal(self, label: Label) -> Signal | None:
        """Return the signal for ``label``, or None when it was not answered."""
        for signal in self.signals:
            if signal.label is label:
                return signal
        return None

    def flagged(self, label: Label) -> bool:
        """Say whether ``label`` stands at its operating point."""
        found = self.signal(label)
        return found is not None and found.flag

    def score(self, label: Label) -> float:
        """Return the score for ``label``, 0.0 when it was not answered."""
        found = self.signal(label)
        return 0.0 if found is None else found.score

    def value(self, label: Label) -> str | None:
        """Return the value for ``label`` (sentiment, topic, urgency)."""
        found = self.signal(label)
        return None if found is None else found.value


# --- who acts --------------------------------------------------------------------------------------


class Role(StrEnum):
    """Roles are a set: one account may hold several; separation of duty beats convenience."""

    MODERATOR = "moderator"
    LEADER = "leader"
    OFFICER = "officer"
    HANDLER = "handler"
    CUSTODIAN = "custodian"
    ADMIN = "admin"
    MEMBER = "member"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: an account (``login``), a member by receipt, or the system."""

    login: str
    roles: frozenset[Role]
    unit: str | None = None
    name: str = ""
    title: str = ""

    def has(self, role: Role) -> bool:
        """Say whether the actor holds ``role``."""
        return role in self.roles


SYSTEM = Actor("system", frozenset({Role.SYSTEM}), name="Huiyin")


# --- what is done ----------------------------------------------------------------------------------


class CaseKind(StrEnum):
    """Why a person has to look."""

    MODERATION = "moderation"
    GRIEVANCE = "grievance"
    CLARIFICATION = "clarification"
    CARE = "care"
    APPEAL = "appeal"


class CaseState(StrEnum):
    """Where a case stands; allowed moves are the table in ``states.py``."""

    PENDING = "pending"
    DECIDED = "decided"
    REGISTERED = "registered"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    TRANSFERRED = "transferred"
    RETURNED = "returned"
    IN_WORK = "in_work"
    WAITING = "waiting"
    EXTENDED = "extended"
    ANSWERED = "answered"
    RATED = "rated"
    REDO = "redo"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class Action(StrEnum):
    """What a decision does."""

    KEEP = "keep"
    REMOVE = "remove"
    HIDE = "hide"
    MUTE = "mute"
    RESTORE = "restore"
    UPHOLD = "uphold"
    ESCALATE = "escalate"
    DISMISS = "dismiss"


RESTRICTING = frozenset({Action.REMOVE, Action.HIDE, Action.MUTE})


class RuleCode(StrEnum):
    """The closed list of grounds for a restriction (M-01). There is none for criticism or tone."""

    SPAM_AD = "SPAM_AD"
    FRAUD = "FRAUD"
    FLOOD_DUPLICATE = "FLOOD_DUPLICATE"
    DOXXING = "DOXXING"
    INSULT_OR_THREAT = "INSULT_OR_THREAT"
    ILLEGAL = "ILLEGAL"
    CONFIRMED_FALSEHOOD = "CONFIRMED_FALSEHOOD"
    AUTHORITY_ORDER = "AUTHORITY_ORDER"
    COPYRIGHT = "COPYRIGHT"
    AUTHOR_REQUEST = "AUTHOR_REQUEST"


@dataclass(frozen=True, slots=True)
class Case:
    """A unit of work: its posts, its state, who owns it, until when.

    ``rank`` orders the queue: smaller is sooner (urgency first, then age); ``version`` grows with every change.
    ``policy`` names the rows of the triage table that opened it, ``score`` is the strongest one's score.
    """

    id: int
    kind: CaseKind
    state: CaseState
    rank: int
    version: int
    opened_at: datetime
    updated_at: datetime
    channel: str
    thread: str | None = None
    unit: str | None = None
    assignee: str | None = None
    due_at: datetime | None = None
    topic: str | None = None
    urgency: str | None = None
    policy: str = ""
    score: float = 0.0
    post_count: int = 0
    lease_by: str | None = None
    lease_until: datetime | None = None
    about_decision: int | None = None
    opened_by: str = "system"
    redo_count: int = 0
    reference: str = ""


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case to be opened over ``post_ids`` (first is the one shown first)."""

    kind: CaseKind
    state: CaseState
    rank: int
    channel: str
    post_ids: tuple[int, ...]
    policy: str
    score: float = 0.0
    thread: str | None = None
    unit: str | None = None
    due_at: datetime | None = None
    topic: str | None = None
    urgency: str | None = None
    about_decision: int | None = None
    opened_by: str = "system"
    receipt: str | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One line of a case's history; append-only, the state is what the events add up to.

    ``detail`` holds ids, codes and the staff's own words to each other (``note``), never member text.
    """

    case_id: int
    kind: str
    actor: str
    role: str
    at: datetime
    reason: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)
    id: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Words quoted from a post; ``start``/``end`` index ``Post.text`` in code points."""

    post_id: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a case's posts, and why: the statement of reasons (M-03)."""

    id: int
    case_id: int
    action: Action
    actor: str
    role: str
    at: datetime
    post_ids: tuple[int, ...]
    rule: RuleCode | None = None
    quote: Span | None = None
    note: str = ""
    explanation: str = ""
    appeal_until: datetime | None = None
    undo_until: datetime | None = None
    undone_at: datetime | None = None
    second: str | None = None


class ReplyState(StrEnum):
    """Life of an answer."""

    DRAFT = "draft"
    APPROVED = "approved"
    SENT = "sent"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Reply:
    """Words to the public or to one member, openly signed with the answerer's role."""

    id: int
    case_id: int
    channel: str
    text: str
    author: str
    role: str
    state: ReplyState
    created_at: datetime
    thread: str | None = None
    to_post: int | None = None
    signature: str = ""
    approved_by: str | None = None
    approved_at: datetime | None = None
    sent_at: datetime | None = None
    version: int = 1


class ClaimState(StrEnum):
    """Verdict about a checkable statement."""

    UNVERIFIED = "unverified"
    TRUE = "true"
    FALSE = "false"
    PARTLY = "partly"
    OPINION = "opinion"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Claim:
    """A checkable statement, its clarification, sources, owner and validity."""

    id: int
    case_id: int
    statement: str
    state: ClaimState
    created_at: datetime
    clarification: str = ""
    sources: str = ""
    owner: str | None = None
    valid_until: datetime | None = None
    version: int = 1


# --- what leaves -----------------------------------------------------------------------------------


class EffectKind(StrEnum):
    """What the outside world is asked to do."""

    REPLY = "reply"
    NOTICE = "notice"
    REMOVE = "remove"
    HIDE = "hide"
    RESTORE = "restore"
    MUTE = "mute"


class EffectState(StrEnum):
    """States of an outbox row (E-03)."""

    NEW = "new"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    NEEDS_HUMAN = "needs_human"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Effect:
    """One outbox row: written with the decision, carried out by the dispatcher.

    ``key`` is the idempotency key; ``fence`` grows with every lease, so a paused sender cannot finish later.
    ``thread``/``handle`` say where in the channel; ``text`` what to say; ``mark`` is what read-back looks for.
    """

    id: int
    key: str
    kind: EffectKind
    channel: str
    case_id: int
    state: EffectState
    not_before: datetime
    created_at: datetime
    thread: str | None = None
    handle: str | None = None
    post_id: int | None = None
    reply_id: int | None = None
    decision_id: int | None = None
    text: str = ""
    mark: str = ""
    seconds: int = 0
    attempt: int = 0
    fence: int = 0
    lease_until: datetime | None = None
    receipt: str | None = None
    last_error: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewEffect:
    """An effect to be written to the outbox (see :class:`Effect`)."""

    key: str
    kind: EffectKind
    channel: str
    case_id: int
    not_before: datetime
    thread: str | None = None
    handle: str | None = None
    post_id: int | None = None
    reply_id: int | None = None
    decision_id: int | None = None
    text: str = ""
    mark: str = ""
    seconds: int = 0
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a connector can say of its own state, in words a person can act on."""

    ok: bool
    message: str
    capabilities: frozenset[str] = frozenset()
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """A staff account; the password hash stays in the store."""

    login: str
    name: str
    title: str
    roles: frozenset[Role]
    unit: str | None
    active: bool
    created_at: datetime

    def actor(self) -> Actor:
        """Return the actor that this account acts as."""
        return Actor(self.login, self.roles, self.unit, self.name, self.title)
