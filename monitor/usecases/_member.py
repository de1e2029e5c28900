"""What the use cases of members share: who a member is, their further words, and the answers they may read.

A member has no account: whoever holds the receipt or the link speaks for the case, and for nothing else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadInput
from monitor.core.model import Actor, Case, CaseEvent, RawPost, ReplyState, Role
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import to_new_post

MEMBER = Actor("member", frozenset({Role.MEMBER}))
BOX = "box"
"""Where the words of a member are kept whose case did not come through a suggestion box."""

LONGEST_WORDS = 2_000
_PUBLISHED = frozenset({ReplyState.APPROVED, ReplyState.SENT, ReplyState.FAILED})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a member reads it: the words, who signs them, since when they stand."""

    text: str
    signature: str
    at: datetime


def checked_words(text: str, most: int = LONGEST_WORDS) -> str:
    """Return what a member wrote as it may be stored; raises BadInput when it is blank or too long."""
    if len(text) > most:
        raise BadInput(
            f"this is longer than {most} characters; shorten it, or send the rest as a second part"
        )
    words = clean(text).strip()
    if not words:
        raise BadInput("there are no words in it; write what you want to say")
    return words


def add_words(store: Store, deps: Deps, case: Case, words: str) -> int:
    """Store further words of the member as a post of the case, inside the caller's transaction.

    They go through the same cleaning, masking and reading as every post (someone may be in danger), and never
    stand in the history or the ledger. The thread is the reference, so that no answer is sent there.

    Returns: the id of the post.
    """
    first = store.posts.get(store.cases.post_ids(case.id)[0])
    boxed = store.cases.bind_post_receipt(first.id) is not None
    external_id = f"{case.reference}-{secrets.token_hex(8)}"
    raw = RawPost(first.channel if boxed else BOX, external_id, words, thread=case.reference)
    (post_id,) = [stored.post.id for stored in store.posts.add([to_new_post(deps, raw)]) if stored.post]
    store.cases.attach(case.id, [post_id])
    now = deps.clock.now()
    store.events.add(CaseEvent(case.id, "added", MEMBER.login, Role.MEMBER, now, detail={"post": post_id}))
    return post_id


def own_words(case: Case, thread: str | None) -> bool:
    """Say whether a post of ``case`` in ``thread`` is one that :func:`add_words` stored."""
    return thread == case.reference


def answers_of(store: Store, deps: Deps, case: Case) -> tuple[Answer, ...]:
    """Return the answers of ``case`` that are out, oldest first; one that may still be stopped is not."""
    latest = deps.clock.now() - timedelta(seconds=deps.rules.effect_delay)
    return tuple(
        Answer(reply.text, reply.signature, reply.approved_at)
        for reply in store.replies.of(case.id)
        if reply.state in _PUBLISHED and reply.approved_at is not None and reply.approved_at <= latest
    )


__all__ = [
    "BOX",
    "LONGEST_WORDS",
    "MEMBER",
    "Answer",
    "add_words",
    "answers_of",
    "checked_words",
    "own_words",
]
