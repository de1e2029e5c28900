"""Taking posts in: clean, mask, give a pseudonym, store with the cursor in one transaction.

Read equals new plus duplicate plus updated plus quarantined; what cannot be read is kept for a person, and its
neighbours go on. The caller acknowledges to the source only after :func:`ingest` has returned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from monitor.core.errors import Malformed
from monitor.core.model import Broken, EffectKind, EffectState, NewPost, PostKind, RawPost
from monitor.core.ports import Outcome, Store, Stored
from monitor.core.privacy import clean, mask
from monitor.usecases.deps import Deps
from monitor.usecases.triage import withdraw_recalled

EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)
AHEAD = timedelta(minutes=10)
"""A post dated before EARLIEST, or further in the future than AHEAD, gets the time of its arrival (X-16)."""

PAYLOAD_LIMIT = 65_536
_LIMITS = {"external_id": 200, "thread": 200, "reply_to": 200, "handle": 200, "lang": 35, "unit": 100}
_LIMITS |= {"author": 500, "url": 2_000, "contact": 500, "receipt": 128}
_LEFT = frozenset({EffectState.SENDING, EffectState.UNKNOWN, EffectState.SENT, EffectState.NEEDS_HUMAN})
_REMOVERS = frozenset({"author", "moderator", "self"})
_WITH_TEXT = frozenset({PostKind.POST, PostKind.EDIT})


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item; ``reason`` is the stable code of the quarantine."""

    outcome: Outcome
    external_id: str | None
    post_id: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a batch; ``results`` are in the order of the items."""

    read: int
    new: int
    duplicate: int
    updated: int
    quarantined: int
    results: tuple[ItemResult, ...] = ()


def _short(raw: RawPost, name: str) -> str | None:
    value: str | None = getattr(raw, name)
    if not value:
        return None
    if len(value) > _LIMITS[name]:
        raise Malformed(f"{name} is longer than {_LIMITS[name]} characters", "too_long")
    return value if value.isascii() and value.isprintable() else clean(value)


def _believable(posted_at: datetime | None, now: datetime) -> datetime:
    if posted_at is None or posted_at.tzinfo is None or not EARLIEST <= posted_at <= now + AHEAD:
        return now
    return posted_at.astimezone(UTC)


def _checked_text(raw: RawPost) -> str:
    text = clean(raw.text)
    if raw.kind in _WITH_TEXT and not text.strip():
        raise Malformed("there are no words in it", "empty")
    return text


def to_new_post(deps: Deps, raw: RawPost, now: datetime | None = None) -> NewPost:
    """Return ``raw`` as it may be stored: cleaned, masked, the author replaced by a pseudonym.

    Args:
        deps: for the keys and the clock.
        raw: the post as the connector gave it.
        now: moment of arrival; the clock's when missing.

    Raises: Malformed when an id is missing, a field is too long or there is no text.
    """
    now = now or deps.clock.now()
    external_id, handle = _short(raw, "external_id"), _short(raw, "handle")
    if external_id is None and (raw.kind in _WITH_TEXT or handle is None):
        raise Malformed("there is no id by which to know the post again", "no_id")
    text = _checked_text(raw)
    quoted = clean(raw.quoted) if raw.quoted else None
    author, contact = _short(raw, "author"), _short(raw, "contact")
    keys, name = deps.keys, external_id or handle or ""
    return NewPost(
        channel=raw.channel,
        external_id=external_id or "",
        text=mask(text),
        author=keys.pseudonym(raw.channel, author or f"\x00{name}"),
        digest=keys.digest("post", text if quoted is None else f"{text}\x00{quoted}"),
        received_at=now,
        posted_at=_believable(raw.posted_at, now),
        kind=raw.kind,
        thread=_short(raw, "thread"),
        reply_to=_short(raw, "reply_to"),
        handle=handle or external_id,
        url=_short(raw, "url"),
        lang=_short(raw, "lang"),
        quoted=None if quoted is None else mask(quoted),
        unit=_short(raw, "unit"),
        receipt=_short(raw, "receipt"),
        identity=None if author is None else keys.seal(author.encode()),
        contact=None if contact is None else keys.seal(contact.encode()),
        original=_original(deps, text, quoted),
        by=raw.by if raw.by in _REMOVERS else None,
    )


def _original(deps: Deps, text: str, quoted: str | None) -> bytes | None:
    """Return the sealed words before masking, when masking takes something away and the settings keep any."""
    masks = mask(text) != text or (quoted is not None and mask(quoted) != quoted)
    if not masks or not deps.rules.original_days:
        return None
    return deps.keys.seal(json.dumps({"text": text, "quoted": quoted}, ensure_ascii=False).encode())


def opened(deps: Deps, sealed: bytes) -> str:
    """Return the text of sealed words before masking; raises StoreError when the key differs."""
    text: str = json.loads(deps.keys.unseal(sealed))["text"]
    return text


def _as_broken(raw: RawPost, error: Malformed) -> Broken:
    """Return what the quarantine keeps of a post that breaks a limit."""
    fields = {
        "id": raw.external_id,
        "kind": raw.kind,
        "author": raw.author,
        "text": raw.text,
        "thread": raw.thread,
    }
    payload = json.dumps(fields).encode()[:PAYLOAD_LIMIT]
    return Broken(raw.channel, error.reason, str(error), payload, clean(raw.external_id, 64) or None)


def _prepare(deps: Deps, item: RawPost | Broken, now: datetime) -> NewPost | Broken:
    if isinstance(item, Broken):
        return item
    try:
        return to_new_post(deps, item, now)
    except Malformed as error:
        return _as_broken(item, error)


def _park(store: Store, deps: Deps, item: Broken, now: datetime) -> ItemResult:
    store.quarantine.add(item, deps.keys.seal(item.payload[:PAYLOAD_LIMIT]), now)
    return ItemResult(Outcome.QUARANTINED, None, None, item.reason)


def _result(post: NewPost, stored: Stored) -> ItemResult:
    return ItemResult(stored.outcome, post.external_id, None if stored.post is None else stored.post.id)


def _follow_recalls(store: Store, deps: Deps, posts: Sequence[NewPost], stored: Sequence[Stored]) -> None:
    for post, result in zip(posts, stored, strict=True):
        if post.kind is PostKind.REMOVAL and result.outcome is Outcome.UPDATED and result.post is not None:
            withdraw_recalled(store, deps, result.post)


def _report(results: Sequence[ItemResult]) -> IngestReport:
    counts = Counter(result.outcome for result in results)
    return IngestReport(
        len(results),
        counts[Outcome.NEW],
        counts[Outcome.DUPLICATE],
        counts[Outcome.UPDATED],
        counts[Outcome.QUARANTINED],
        tuple(results),
    )


def _lag(posts: Sequence[NewPost], now: datetime) -> timedelta | None:
    """Return how long the last post was on its way; None when no source told a time (arrival is then its time)."""
    told = [post.posted_at for post in posts if post.kind in _WITH_TEXT and post.posted_at != now]
    return max(timedelta(0), now - max(told)) if told else None


def _told_by(store: Store, post: NewPost) -> NewPost:
    """Return a removal of which nobody told who did it; our own one when we had asked for it."""
    if post.kind is not PostKind.REMOVAL or post.by is not None:
        return post
    found = store.posts.find_handle(post.channel, post.handle or post.external_id, post.thread)
    if found is None:
        return post
    revisions = set(store.posts.revisions(found))
    cases = store.cases.of_posts(sorted(revisions))
    asked = {case.id for group in cases.values() for case in group}
    effects = [effect for case_id in asked for effect in store.outbox.of_case(case_id)]
    ours = any(e.kind is EffectKind.REMOVE and e.post_id in revisions and e.state in _LEFT for e in effects)
    return replace(post, by="self") if ours else post


def ingest(
    deps: Deps, channel: str, items: Sequence[RawPost | Broken], cursor: str | None = None
) -> IngestReport:
    """Store a batch of one channel with its cursor and the channel's counters in one transaction.

    Args:
        deps: what every use case is given.
        channel: name of the channel as configured.
        items: posts and unreadable items in the order of the source.
        cursor: where the source stands after them; None leaves the stored one.
    """
    now = deps.clock.now()
    prepared = [_prepare(deps, item, now) for item in items]
    posts = [item for item in prepared if isinstance(item, NewPost)]
    with deps.uow.begin() as store:
        posts = [_told_by(store, post) for post in posts]
        stored = store.posts.add(posts) if posts else []
        pairs = iter(zip(posts, stored, strict=True))
        results = [
            _park(store, deps, item, now) if isinstance(item, Broken) else _result(*next(pairs))
            for item in prepared
        ]
        _follow_recalls(store, deps, posts, stored)
        if cursor is not None:
            store.channels.set_cursor(channel, cursor)
        report = _report(results)
        lag = _lag(posts, now)
        store.channels.note_ok(channel, now, report.new + report.updated, report.quarantined, lag)
    return report
