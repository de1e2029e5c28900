"""The contracts between the core and its edges: connectors, classifiers, the store and the clock.

Implementations live elsewhere (``connectors``, ``classifiers``, ``monitor.adapters``) and are held to these
promises by the suites in ``tests/contracts``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from monitor.core.alerts import AlertKind, Delivery, DeliveryState, NotifierStatus, StaffMessage
from monitor.core.model import (
    SYSTEM,
    Account,
    Actor,
    Broken,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Claim,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Health,
    NewCase,
    NewEffect,
    NewPost,
    Post,
    RawPost,
    Reading,
    Reply,
    ReplyState,
    Role,
)

# --- time ------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall clock for records, monotonic clock for timeouts (F-13)."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""


class Keys(Protocol):
    """Keyed pseudonyms, digests and sealing; the keys themselves never leave the implementation."""

    def pseudonym(self, channel: str, native: str) -> str:
        """Return the author's pseudonym in this channel (HMAC-SHA-256, 24 hex digits)."""

    def digest(self, purpose: str, text: str) -> str:
        """Return a keyed digest of ``text`` for one purpose (``post``, ``receipt``, ``token``, ``session``)."""

    def seal(self, data: bytes) -> bytes:
        """Encrypt ``data`` (AES-GCM) for storage."""

    def unseal(self, data: bytes) -> bytes:
        """Decrypt what ``seal`` made; raises StoreError when it was changed or the key differs."""


class Passwords(Protocol):
    """Slow password hashing (Argon2id); the parameters live in the hash."""

    def hash(self, password: str) -> str:
        """Return a salted hash of ``password``."""

    def verify(self, hashed: str, password: str) -> bool:
        """Say whether ``password`` made ``hashed``; False for a damaged hash too."""


# --- connectors ------------------------------------------------------------------------------------


class Capability(StrEnum):
    """What a channel can do; a missing one is a clear message, never a silent failure."""

    LISTEN = "listen"
    REPLY = "reply"
    REMOVE = "remove"
    HIDE = "hide"
    RESTORE = "restore"
    MUTE = "mute"
    READ_BACK = "read_back"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A batch of items in the order of the source, with the cursor after them.

    ``ack`` is awaited by the intake after the commit that stored the items and the cursor, never before.
    """

    items: tuple[RawPost | Broken, ...]
    cursor: str | None = None
    ack: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as a connector's route sees it; ``body`` is the raw bytes (verify before parsing)."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What a connector's route answers; ``items`` are stored and committed before it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    items: tuple[RawPost | Broken, ...] = ()


class Socket(Protocol):
    """A WebSocket accepted by the service for a connector (reverse connections)."""

    headers: Mapping[str, str]

    async def receive(self) -> str | None:
        """Return the next text frame, or None when the peer closed."""

    async def send(self, text: str) -> None:
        """Send one text frame; raises Unavailable when the socket is gone."""

    async def close(self, code: int = 1000) -> None:
        """Close the socket."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path that the service opens for a connector: HTTP (``handle``), WebSocket (``socket``) or both.

    ``handle(request)`` is pure of storage: it returns a Response whose ``items`` the service stores first.
    ``accept(headers, query)`` returns an HTTP status to refuse a WebSocket before the upgrade, or None to accept.
    """

    path: str
    handle: Callable[[Request], Awaitable[Response]] | None = None
    accept: Callable[[Mapping[str, str], Mapping[str, str]], int | None] | None = None
    socket: Callable[[Socket], Awaitable[None]] | None = None


class Connector(Protocol):
    """One channel.

    Promises: resumes exactly after the cursor; stable external ids, so twice is once; malformed input becomes
    a Broken item and the stream goes on; signatures are compared in constant time; only the five connector
    errors leave it; native identities only inside RawPost and effects, never in a log; ``close`` leaves nothing
    running and may be called twice.

    A connector whose rights differ from thread to thread may have ``lacking``, a mapping of thread to those of its
    capabilities that it has not there: what cannot be done is then not offered there either (M-13).
    """

    name: str
    capabilities: frozenset[Capability]

    def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches from just after ``cursor`` until closed; reconnects by itself with backoff."""

    def routes(self) -> Sequence[Route]:
        """Return the paths that the service must open for pushes."""

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect and return the platform's receipt (an id).

        ``author`` is the native author id for effects that need it (MUTE), else None.

        Raises: Unavailable (surely not done), RateLimited, Rejected, Uncertain (may have been done).
        """

    async def read_back(self, effect: Effect) -> str | None:
        """Look at the source whether ``effect`` happened: its receipt, or None when it surely did not.

        Raises: Unavailable when the source cannot be asked now; Rejected when it has no way to tell.
        """

    async def check(self) -> Health:
        """Connect for real and say in words what works and what to mend."""

    async def close(self) -> None:
        """Stop listening and free every resource."""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """One declared channel: ``name``, connector ``type`` and its own ``settings`` (secrets already resolved)."""

    name: str
    type: str
    settings: Mapping[str, Any]
    unit: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class NotifierConfig:
    """One declared way to tell the staff: ``name``, notifier ``type`` and its own ``settings`` (secrets resolved)."""

    name: str
    type: str
    settings: Mapping[str, Any]


class Notifier(Protocol):
    """One way to tell the staff that something waits.

    Promises: sends what it is given and nothing else; says truly whether it arrived; only the connector errors leave
    it, without secrets or the other side's words; ``close`` may be called twice. ``is_idempotent`` says that the
    receiver counts messages with the same key once, so that one that perhaps arrived may be sent again.
    """

    name: str
    is_idempotent: bool

    async def send(self, message: StaffMessage) -> None:
        """Carry one message.

        Raises: Unavailable (surely not arrived), RateLimited, Rejected, Uncertain (may have arrived).
        """

    async def close(self) -> None:
        """Free every resource."""


# --- classifiers -----------------------------------------------------------------------------------


class Classifier(Protocol):
    """Answers the questions of ``labels`` about texts.

    Promises: same length and order; the answer for a text does not depend on its neighbours; same input, same
    output; inputs untouched; every flagged signal has reasons; no network, no clock.
    """

    name: str
    version: str
    labels: tuple[str, ...]

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Near-duplicate group of a post: the id of the group's first post, and the similarity to it in [0, 1]."""

    group: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """A claim that a text seems to tell: ``same`` may carry the claim's clarification along, ``suggest`` is for a person."""

    claim: int
    score: float
    same: bool


class ClaimMatching(Protocol):
    """Finds which known claim a text tells; a text's answer does not depend on its neighbours."""

    def match(self, texts: Sequence[str], claims: Sequence[tuple[int, str]]) -> list[Likeness | None]:
        """Return the likeliest of ``claims`` (id, statement) for each text, or None when none fits."""


class Grouping(Protocol):
    """Streaming near-duplicate grouping; called by one worker at a time."""

    def add(self, ids: Sequence[int], texts: Sequence[str]) -> list[Grouped]:
        """Group each text with what came before it (its own id when it stands alone)."""


# --- the store -------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What became of an incoming item."""

    NEW = "new"
    DUPLICATE = "duplicate"
    UPDATED = "updated"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Stored:
    """Result for one incoming post; ``post`` is None for a removal of something not seen yet."""

    outcome: Outcome
    post: Post | None


@dataclass(frozen=True, slots=True)
class Job:
    """One post waiting to be classified and triaged."""

    id: int
    post: Post
    attempt: int


@dataclass(frozen=True, slots=True)
class PostFilter:
    """Which posts: every field narrows; times are half-open [since, until)."""

    since: datetime | None = None
    until: datetime | None = None
    channel: str | None = None
    unit: str | None = None
    label: str | None = None
    topic: str | None = None
    sentiment: str | None = None
    query: str | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases: empty tuples mean any."""

    kinds: tuple[CaseKind, ...] = ()
    states: tuple[CaseState, ...] = ()
    channel: str | None = None
    unit: str | None = None
    assignee: str | None = None
    topic: str | None = None
    overdue_at: datetime | None = None
    older_than: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrendCell:
    """One cell of a trend: ``n`` posts by ``authors`` distinct authors; ``hidden`` when under the floor."""

    at: datetime
    key: str
    n: int
    authors: int
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One link of the hash chain: ids, kind, time and a keyed digest, never text or names."""

    seq: int
    at: datetime
    kind: str
    ref: str
    actor: str
    digest: str
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """A parked item as the health screen shows it (no payload)."""

    id: int
    channel: str
    at: datetime
    reason: str
    message: str
    position: str | None
    size: int


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How a channel is doing.

    ``lag`` is how long its last post was on its way; ``tries`` and ``failures`` count what was stored, checked and
    connected within this hour and the one before it.
    """

    name: str
    type: str
    state: str
    last_post_at: datetime | None
    last_ok_at: datetime | None
    last_error: str | None
    next_retry_at: datetime | None
    received: int
    quarantined: int
    capabilities: tuple[str, ...] = ()
    lag: timedelta | None = None
    tries: int = 0
    failures: int = 0

    @property
    def error_rate(self) -> float | None:
        """Return the share of tries that failed, or None when nothing was tried."""
        return self.failures / self.tries if self.tries else None


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How a part of the service is doing (service, worker, dispatcher, ui)."""

    name: str
    state: str
    pid: int
    started_at: datetime
    beat_at: datetime
    restarts: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class SignInSession:
    """A server-side session; only the SHA-256 of its id is stored."""

    sid_hash: str
    login: str
    created_at: datetime
    seen_at: datetime


class Posts(Protocol):
    """Posts, their revisions and the jobs that wait for them."""

    def add(self, posts: Sequence[NewPost]) -> list[Stored]:
        """Store a batch in order: new, duplicate (same digest) or updated (new revision); removals and restores
        change ``source_state`` and may come before their post. New and updated posts get a job and search terms."""

    def get(self, post_id: int) -> Post: ...
    def many(self, ids: Sequence[int]) -> list[Post]: ...
    def find_handle(self, channel: str, handle: str, thread: str | None = None) -> Post | None:
        """Return the newest post with this handle (or external id)."""

    def current(self, post: Post) -> Post:
        """Return the newest revision of the same message."""

    def revisions(self, post: Post) -> list[int]:
        """Return the ids of all revisions of the same message, oldest first, ``post.id`` included."""

    def thread(self, post: Post, before: int, after: int) -> list[Post]:
        """Return neighbours of ``post`` in its thread, oldest first, ``post`` included."""

    def page(self, where: PostFilter, after: int | None, limit: int) -> list[Post]:
        """Return posts newest first; ``after`` is the last id of the previous page."""

    def set_groups(self, groups: Mapping[int, int]) -> None:
        """Write post id -> group id."""

    def recent_texts(self, since: datetime, limit: int) -> list[tuple[int, str]]:
        """Return (group id, text) of recent posts, oldest first, to rebuild the grouping window."""

    def count(self) -> int: ...

    def identity(self, author: str) -> bytes | None:
        """Return the sealed native id behind a pseudonym, for an effect that needs it."""

    def contact(self, post_id: int) -> bytes | None:
        """Return the sealed contact left with a post."""

    def original(self, post_id: int) -> bytes | None:
        """Return the sealed words of a post before masking; None when nothing was masked or the time is over."""


class Jobs(Protocol):
    """Leases over the table of posts that wait for their reading."""

    def lease(self, n: int, seconds: float, owner: str) -> list[Job]: ...
    def done(self, ids: Sequence[int]) -> None: ...
    def retry(self, ids: Sequence[int], at: datetime, error: str) -> None: ...
    def park(self, ids: Sequence[int], reason: str) -> None:
        """Give up for now: visible on the health screen, replayable."""

    def replay(self) -> int:
        """Put all parked jobs back; returns how many."""

    def counts(self) -> dict[str, int]:
        """Return ``waiting``, ``leased``, ``parked``."""


class Readings(Protocol):
    """What was understood, per post and model version."""

    def add(self, rows: Iterable[tuple[int, Reading]]) -> None:
        """Store readings; the last one of a post is its current one."""

    def get(self, post_id: int) -> Reading | None: ...
    def many(self, ids: Sequence[int]) -> dict[int, Reading]: ...


class Cases(Protocol):
    """Cases, their posts and their leases."""

    def open(self, new: NewCase, now: datetime) -> Case: ...
    def open_many(self, news: Sequence[NewCase], now: datetime) -> list[Case]:
        """Open several cases in few statements; the answer is in the order of ``news``."""

    def get(self, case_id: int) -> Case: ...
    def hold(self, case_id: int) -> Case:
        """Return a case that no other transaction changes, nor its history, until this one ends."""

    def by_reference(self, reference: str) -> Case: ...
    def save(self, case: Case, seen_version: int) -> Case:
        """Write ``case`` with ``version = seen_version + 1``; raises Conflict when the stored version differs."""

    def attach(self, case_id: int, post_ids: Sequence[int]) -> None: ...
    def post_ids(self, case_id: int) -> list[int]: ...
    def open_of_groups(self, kind: CaseKind, groups: Sequence[int]) -> dict[int, int]:
        """Return group id -> id of the open case of this kind that gathers the group."""

    def of_post(self, post_id: int) -> list[Case]: ...
    def of_posts(self, post_ids: Sequence[int]) -> dict[int, list[Case]]:
        """Return post id -> the cases it stands in, for those that stand in one."""

    def page(self, where: CaseFilter, after: tuple[int, int] | None, limit: int) -> list[Case]:
        """Return cases by (rank, id) ascending; ``after`` is the last (rank, id) of the previous page."""

    def take(
        self, where: CaseFilter, login: str, now: datetime, seconds: float, skip: Sequence[int] = ()
    ) -> Case | None:
        """Lease the first free case in rank order to ``login`` (their own leased one first)."""

    def lease(self, case_id: int, login: str, now: datetime, seconds: float) -> Case:
        """Lease or renew one case; raises Conflict naming the holder when somebody else has it."""

    def release(self, case_id: int, login: str) -> None: ...
    def held(self, login: str, now: datetime) -> int:
        """Return how many cases this person holds a live lease of (for their own screen only)."""

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (kind, state) -> number of cases."""

    def due(self, now: datetime, limit: int) -> list[Case]:
        """Return open cases whose due time has passed."""

    def bind_receipt(self, digest: str, case_id: int) -> None: ...
    def by_receipt(self, digest: str) -> Case | None: ...
    def bind_post_receipt(self, post_id: int) -> str | None:
        """Return the receipt digest that came with a post."""

    def receipts(self, post_ids: Sequence[int]) -> dict[int, str]:
        """Return post id -> receipt digest for those of the posts that came with one."""

    def add_token(self, digest: str, purpose: str, target: int, until: datetime | None) -> None:
        """Store the digest of a one-purpose link token (``appeal`` -> decision id, ``rate`` -> case id)."""

    def token(self, digest: str, purpose: str, now: datetime) -> int | None: ...


class Events(Protocol):
    """Append-only history of cases."""

    def add(self, event: CaseEvent) -> CaseEvent: ...
    def add_many(self, events: Sequence[CaseEvent]) -> None:
        """Append events of several cases, in order, in few statements."""

    def of(self, case_id: int) -> list[CaseEvent]: ...
    def by_actor(self, login: str, limit: int) -> list[CaseEvent]:
        """Return an account's own latest events, newest first (for their own screen only)."""

    def page(self, kinds: Sequence[str], after: int | None, limit: int) -> list[CaseEvent]:
        """Return events of these kinds over all cases by ascending id, for public figures; ``after`` is the last id."""


class Decisions(Protocol):
    """Decisions with their statements of reasons."""

    def add(self, decision: Decision) -> Decision: ...
    def get(self, decision_id: int) -> Decision: ...
    def of(self, case_id: int) -> list[Decision]: ...
    def mark_undone(self, decision_id: int, at: datetime) -> bool:
        """Return False when it was undone already."""

    def by_actor(self, login: str, limit: int) -> list[Decision]: ...
    def counts(self) -> dict[tuple[str, str], int]:
        """Return (action, rule or "") -> number of decisions that were not undone."""


class Replies(Protocol):
    """Answers and their life."""

    def add(self, reply: Reply) -> Reply: ...
    def get(self, reply_id: int) -> Reply: ...
    def save(self, reply: Reply, seen_version: int) -> Reply: ...
    def of(self, case_id: int) -> list[Reply]: ...
    def page(self, states: Sequence[ReplyState], after: int | None, limit: int) -> list[Reply]: ...


class Claims(Protocol):
    """Checkable statements."""

    def add(self, claim: Claim) -> Claim: ...
    def get(self, claim_id: int) -> Claim: ...
    def of(self, case_id: int) -> Claim | None: ...
    def save(self, claim: Claim, seen_version: int) -> Claim: ...
    def page(self, after: int | None, limit: int) -> list[Claim]: ...


class Outbox(Protocol):
    """Effects on the outside world, with the states of E-03."""

    def add(self, effect: NewEffect, now: datetime) -> int:
        """Store an effect; the same key twice returns the first id."""

    def get(self, effect_id: int) -> Effect: ...
    def lease(
        self,
        n: int,
        now: datetime,
        seconds: float,
        states: Sequence[EffectState],
        without: Sequence[str] = (),
        quiet: Sequence[str] = (),
    ) -> list[Effect]:
        """Take due effects (``not_before`` passed, lease free): NEW become SENDING with attempt + 1 and fence + 1;
        UNKNOWN and SENDING with an expired lease keep their state and get a new fence. One committed step. Those of
        the channels ``without`` stay where they are, and so do answers and notices of the ``quiet`` ones, unless
        their case is one of care or urgent."""

    def settle(
        self,
        effect: Effect,
        state: EffectState,
        now: datetime,
        receipt: str | None = None,
        error: str | None = None,
        not_before: datetime | None = None,
        *,
        untried: bool = False,
    ) -> bool:
        """Write the outcome if ``effect.fence`` is still the current one; False when it is not. ``untried`` takes the
        attempt back that the lease counted: nobody tried to send."""

    def cancel(self, decision_id: int | None, reply_id: int | None, now: datetime) -> int:
        """Cancel effects still NEW; returns how many."""

    def cancel_one(self, effect_id: int, now: datetime, error: str) -> bool:
        """Cancel an effect that is still NEW, with the code of why; False when it is on its way already."""

    def redirect(self, effect_id: int, post_id: int, handle: str | None) -> bool:
        """Let an effect that is still NEW be about another post; False when it is on its way already."""

    def of_case(self, case_id: int) -> list[Effect]: ...
    def of_decision(self, decision_id: int) -> list[Effect]: ...
    def page(self, states: Sequence[EffectState], after: int | None, limit: int) -> list[Effect]: ...
    def counts(self) -> dict[str, int]: ...
    def author(self, effect: Effect) -> bytes | None:
        """Return the sealed native author id for an effect that needs it."""


class Ledger(Protocol):
    """The hash chain."""

    def append(
        self, kind: str, ref: str, actor: str, content: Mapping[str, object], now: datetime
    ) -> LedgerEntry: ...
    def append_many(
        self, entries: Sequence[tuple[str, str, str, Mapping[str, object]]], now: datetime
    ) -> list[LedgerEntry]:
        """Append several (kind, ref, actor, content), in order, in few statements."""

    def head(self) -> LedgerEntry | None: ...
    def entries(self, after: int, limit: int) -> list[LedgerEntry]: ...
    def get(self, seq: int) -> LedgerEntry | None: ...


class Channels(Protocol):
    """Cursors and the life of channels."""

    def cursor(self, channel: str) -> str | None: ...
    def set_cursor(self, channel: str, value: str | None) -> None:
        """Write where the source stands; None forgets it, so that everything the source still shows is read again."""

    def declare(self, config: ChannelConfig, capabilities: Sequence[str]) -> None:
        """Write what is configured and what it can do; ``remove@700001`` says that one thread cannot ``remove``."""

    def remove(self, name: str) -> None: ...
    def set_paused(self, name: str, paused: bool) -> None: ...
    def note_ok(
        self, name: str, now: datetime, posts: int, quarantined: int, lag: timedelta | None = None
    ) -> None:
        """Write that the source answered, what came, and how long the last post was on its way."""

    def note_error(self, name: str, now: datetime, error: str, retry_at: datetime | None) -> None: ...
    def status(self) -> list[ChannelStatus]: ...


class Quarantine(Protocol):
    """What could not be read, kept for a person."""

    def add(self, item: Broken, sealed: bytes, now: datetime) -> int: ...
    def page(self, after: int | None, limit: int) -> list[QuarantineItem]: ...
    def payload(self, item_id: int) -> bytes: ...
    def counts(self) -> dict[tuple[str, str], int]:
        """Return (channel, reason) -> number."""


class Accounts(Protocol):
    """Staff accounts and their sessions."""

    def add(self, account: Account, password_hash: str) -> None: ...
    def get(self, login: str) -> Account: ...
    def all(self) -> list[Account]: ...
    def password_hash(self, login: str) -> str | None: ...
    def set_password(self, login: str, password_hash: str) -> None: ...
    def set_roles(self, login: str, roles: frozenset[Role]) -> None: ...
    def set_active(self, login: str, active: bool) -> None: ...
    def add_session(self, session: SignInSession) -> None: ...
    def session(self, sid_hash: str) -> SignInSession | None: ...
    def touch_session(self, sid_hash: str, now: datetime) -> None: ...
    def end_session(self, sid_hash: str) -> None: ...
    def end_sessions(self, login: str) -> None: ...
    def add_api_token(self, digest: str, login: str, name: str, now: datetime) -> None: ...
    def api_token(self, digest: str) -> str | None:
        """Return the login that a program's token acts as."""

    def note_failure(self, key: str, now: datetime) -> None: ...
    def failures(self, key: str, since: datetime) -> int: ...
    def clear_failures(self, key: str) -> None: ...
    def draft(self, login: str, key: str) -> str: ...
    def set_draft(self, login: str, key: str, text: str, now: datetime) -> None: ...


class Trends(Protocol):
    """Counts only, with distinct authors so that small cells can be hidden."""

    def series(self, where: PostFilter, step: str, group: str) -> list[TrendCell]:
        """Count posts per ``step`` (hour, day, week; Asia/Shanghai) and ``group`` (channel, topic, sentiment, unit, label, all)."""

    def totals(self, where: PostFilter) -> dict[str, int]:
        """Return posts, authors and flags in the period."""


class Operations(Protocol):
    """Parts' heartbeats, idempotency keys and counters."""

    def beat(self, part: PartStatus) -> None: ...
    def parts(self) -> list[PartStatus]: ...
    def remembered(self, key: str, login: str) -> str | None:
        """Return the stored answer for an Idempotency-Key of this login."""

    def remember(self, key: str, login: str, answer: str, now: datetime) -> None: ...
    def setting(self, key: str) -> str | None: ...
    def set_setting(self, key: str, value: str) -> None: ...
    def expire(self, what: str, before: datetime, *, dry_run: bool) -> int:
        """Delete what is older than ``before`` of one kind and return how much it was (would be, in a dry run):
        ``originals``, ``idempotency``, ``quarantine``, ``sessions`` or ``failures``."""


class Alerts(Protocol):
    """What the staff are told, per notifier: alerts that wait, and messages on their way."""

    def fresh(self, notifier: str, kind: AlertKind, now: datetime, patience: timedelta) -> list[str]:
        """Return keys of what is so now and was never noted for this notifier; ``patience``: how long a channel may
        be down before it counts."""

    def note(self, notifier: str, kind: AlertKind, keys: Sequence[str], now: datetime) -> int:
        """Note alerts; one that is there stays as it is. Returns how many are new."""

    def waiting(self, notifier: str) -> dict[AlertKind, tuple[int, datetime]]:
        """Return kind -> (how many wait, since when the oldest does)."""

    def pending(self, notifier: str) -> Delivery | None:
        """Return the message that waits to be tried again, if there is one."""

    def expired(self, notifier: str, now: datetime) -> list[Delivery]:
        """Return messages whose sender is gone: their lease ran out while they were being sent."""

    def tried_at(self, notifier: str) -> datetime | None:
        """Return when a message was tried last."""

    def begin(
        self, notifier: str, kinds: Sequence[AlertKind], key: str, now: datetime, until: datetime
    ) -> Delivery | None:
        """Put all waiting alerts of ``kinds`` into the pending message, or into a new one called ``key``, and lease it;
        a fixed one stays as it is. None when there is nothing to say."""

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

    def replay(self, notifier: str) -> int:
        """Let the alerts of given-up messages wait again; returns how many."""

    def status(self, names: Sequence[str]) -> list[NotifierStatus]:
        """Return how notifiers are doing, in the order of ``names``."""

    def prune(self, before: datetime) -> int:
        """Forget messages settled before a moment, with their alerts; returns how many messages."""


class Store(Protocol):
    """Everything that one transaction can touch."""

    posts: Posts
    jobs: Jobs
    readings: Readings
    cases: Cases
    events: Events
    decisions: Decisions
    replies: Replies
    claims: Claims
    outbox: Outbox
    ledger: Ledger
    channels: Channels
    quarantine: Quarantine
    accounts: Accounts
    trends: Trends
    operations: Operations
    alerts: Alerts


class UnitOfWork(Protocol):
    """Transactions: commits at the end of the block, rolls back on any error."""

    def begin(self, actor: Actor = SYSTEM) -> AbstractContextManager[Store]:
        """Open a write transaction (SQLite: BEGIN IMMEDIATE)."""

    def read(self) -> AbstractContextManager[Store]:
        """Open a read-only view."""

    def close(self) -> None:
        """Close every connection."""


__all__ = [
    "Accounts",
    "Alerts",
    "Capability",
    "CaseFilter",
    "Cases",
    "ChannelConfig",
    "ChannelStatus",
    "Channels",
    "Claims",
    "Classifier",
    "Clock",
    "Connector",
    "Decisions",
    "EffectKind",
    "EffectState",
    "Events",
    "Grouped",
    "Grouping",
    "Health",
    "Incoming",
    "Job",
    "Jobs",
    "Keys",
    "Ledger",
    "LedgerEntry",
    "Notifier",
    "NotifierConfig",
    "Operations",
    "Outbox",
    "Outcome",
    "PartStatus",
    "Passwords",
    "PostFilter",
    "Posts",
    "Quarantine",
    "QuarantineItem",
    "Readings",
    "Replies",
    "Request",
    "Response",
    "Route",
    "SignInSession",
    "Socket",
    "Store",
    "Stored",
    "TrendCell",
    "Trends",
    "UnitOfWork",
]
