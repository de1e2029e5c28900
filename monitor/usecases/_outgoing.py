"""How an approved answer leaves: which places it goes to, what exactly is said there, and how often (M-15, M-16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadInput
from monitor.core.model import SYSTEM, Case, EffectKind, NewEffect, Post, Reply, Role, SourceState
from monitor.core.ports import Store
from monitor.core.workdays import SHANGHAI
from monitor.usecases._member import own_words
from monitor.usecases.deps import Deps

MARKS: Mapping[Role, str] = {
    Role.LEADER: "【工会网络意见领袖】",
    Role.OFFICER: "【工会答复】",
    Role.HANDLER: "【工会答复】",
}
"""The role mark of every answer: fixed, in the language of the channels, and not to be left out (M-15)."""

TIMES_A_DAY = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A thread of a channel in which posts of a case stand; ``private`` when only the asker reads it.

    ``post`` is the first one there that is still at its source: the one that is answered.
    """

    channel: str
    thread: str | None
    post: Post
    private: bool


def places_of(store: Store, case: Case) -> list[Place]:
    """Return where the answer to ``case`` goes: once per channel and thread, nowhere where every post is gone."""
    firsts: dict[tuple[str, str | None], Post] = {}
    for post in store.posts.many(store.cases.post_ids(case.id)):
        if post.source_state is not SourceState.REMOVED and not own_words(case, post.thread):
            firsts.setdefault((post.channel, post.thread), post)
    receipts = store.cases.receipts([post.id for post in firsts.values()])
    return [Place(post.channel, post.thread, post, post.id in receipts) for post in firsts.values()]


def mark(case: Case, reply: Reply) -> str:
    """Return the visible reference of one answer: what the member quotes and what read-back looks for.

    The number of the answer makes it another one than that of an earlier answer to the same case.
    """
    return f"〔{case.reference}-{reply.id}〕"


def public_text(case: Case, reply: Reply, link: str | None) -> str:
    """Return the whole text as it is sent."""
    lines = [reply.text, "", reply.signature, f"编号{mark(case, reply)}"]
    if link is not None:
        lines.append(f"评价本次答复：{link}")
    return "\n".join(lines)


# --- no campaigns: the same words once per thread and three times a day -----------------------------


def _digest(deps: Deps, *parts: str) -> str:
    return deps.keys.digest("said", "\0".join("".join(part.split()) for part in parts))


def _unsaid(store: Store, deps: Deps, reply: Reply, places: Sequence[Place]) -> dict[str, Place]:
    """Return, by what is remembered of them, the threads in which these words do not stand yet."""
    keys = {f"said:{_digest(deps, p.channel, p.thread or '', reply.text)}": p for p in places}
    return {k: p for k, p in keys.items() if store.operations.remembered(k, SYSTEM.login) is None}


def _once_more_today(store: Store, deps: Deps, reply: Reply, now: datetime) -> str:
    day = f"said:{now.astimezone(SHANGHAI).date()}:{_digest(deps, reply.text)}"
    for turn in range(TIMES_A_DAY):
        if store.operations.remembered(f"{day}:{turn}", SYSTEM.login) is None:
            return f"{day}:{turn}"
    raise BadInput("these very words left three times today; write the next answer for its own case")


def _restrained(
    store: Store, deps: Deps, reply: Reply, places: Sequence[Place], now: datetime
) -> list[Place]:
    """Return the places of ``places`` where the words may be said, and remember that they were.

    An answer that only the asker reads may be the same for everybody who asked the same.
    """
    private, public = [p for p in places if p.private], [p for p in places if not p.private]
    if not public:
        return private
    fresh = _unsaid(store, deps, reply, public)
    if not fresh:
        raise BadInput("the same words stand in every thread of this case; write an answer of its own")
    for key in (*fresh, _once_more_today(store, deps, reply, now)):
        store.operations.remember(key, SYSTEM.login, str(reply.id), now)
    return [*private, *fresh.values()]


def send(store: Store, deps: Deps, case: Case, reply: Reply, link: str | None) -> int:
    """Write one effect per place for an approved answer, inside the caller's transaction; returns how many.

    Raises: BadInput when the same words were said too often.
    """
    now = deps.clock.now()
    places = _restrained(store, deps, reply, places_of(store, case), now)
    for place in places:
        current = store.posts.current(place.post)
        effect = NewEffect(
            key=f"reply:{reply.id}:{place.post.id}",
            kind=EffectKind.REPLY,
            channel=place.channel,
            case_id=case.id,
            not_before=now + timedelta(seconds=deps.rules.effect_delay),
            thread=place.thread,
            handle=current.handle,
            post_id=current.id,
            reply_id=reply.id,
            text=public_text(case, reply, link),
            mark=mark(case, reply),
        )
        store.outbox.add(effect, now)
    return len(places)


__all__ = ["MARKS", "Place", "mark", "places_of", "public_text", "send"]
