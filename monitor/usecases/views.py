"""What screens and programs get to see: frozen, ready to print, and never more than the reader may know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from monitor.core.model import (
    Actor,
    Case,
    CaseEvent,
    Claim,
    Decision,
    Effect,
    Post,
    Reading,
    Reply,
    SourceState,
)
from monitor.core.roles import may
from monitor.usecases.deps import Rules
from monitor.words import _


@dataclass(frozen=True, slots=True)
class PostView:
    """A post with what was understood of it; ``reading`` is None until the worker has been there."""

    post: Post
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as one screen shows it.

    ``allowed`` names what this actor may do now; ``holder`` is the login that holds the lease, if somebody does;
    ``thread`` are the neighbours of the first post, oldest first, the post itself included.
    """

    case: Case
    posts: tuple[PostView, ...]
    events: tuple[CaseEvent, ...]
    decisions: tuple[Decision, ...]
    replies: tuple[Reply, ...]
    effects: tuple[Effect, ...]
    claim: Claim | None
    allowed: tuple[str, ...]
    holder: str | None
    thread: tuple[Post, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as one line of a list; ``scores`` are those of its first post, by label."""

    case: Case
    first_text: str
    scores: Mapping[str, float]
    holder: str | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One of the actor's own decisions, and whether they may still undo it."""

    decision: Decision
    case: Case
    can_undo: bool


_OURS = ("moderator", "self")


def is_withheld(rules: Rules, post: Post) -> bool:
    """Say whether the words of ``post`` are no longer shown: its author took them back at the source (F-10).

    What we or an administrator of the group removed stays readable: somebody may have to hear an appeal about it.
    """
    gone = post.source_state is SourceState.REMOVED and post.removed_by not in _OURS
    return rules.hide_recalled and gone


def for_eyes(actor: Actor, post: Post, rules: Rules) -> Post:
    """Return ``post`` as ``actor`` may see it: the pseudonym only where their role needs it, no recalled words."""
    if is_withheld(rules, post):
        post = replace(post, text=_("〔作者已撤回，内容不再显示〕"), quoted=None)
    return post if may(actor, "posts.pseudonym") else replace(post, author="")


def post_view(actor: Actor, post: Post, reading: Reading | None, rules: Rules) -> PostView:
    """Return ``post`` with its reading as ``actor`` may see it; reasons quote the words and go with them."""
    if reading is not None and is_withheld(rules, post):
        signals = tuple(replace(signal, reasons=()) for signal in reading.signals)
        reading = replace(reading, signals=signals)
    return PostView(for_eyes(actor, post, rules), reading)


_LINK = re.compile(r"/(appeal|rate)/[\w-]+")


def without_links(effect: Effect) -> Effect:
    """Return an effect without the token of its link: whoever holds one speaks for the member (C-05, M-06)."""
    return replace(effect, text=_LINK.sub(r"/\1/…", effect.text))
