"""What programs send: msgspec structs with limits; unknown fields are refused, and a wrong one is named."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from monitor.core.model import Action, CaseKind, CaseState, Label, RuleCode
from monitor.runtime._web.reading import LARGEST

Id = Annotated[int, Meta(ge=1, le=LARGEST)]
Version = Annotated[int, Meta(ge=0, le=LARGEST, description="the version seen; another one now means 409")]
Place = Annotated[int, Meta(ge=0, le=20_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Note = Annotated[str, Meta(max_length=2_000)]
Limit = Annotated[int, Meta(ge=1, le=100, description="most items of a page")]
Moment = Annotated[datetime, Meta(tz=True)]
Cursor = Annotated[
    str, Meta(pattern=r"^-?[0-9]{1,18}\.[0-9]{1,16}$", description="`next` of the page before")
]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything a program sends: unknown fields are refused."""


class QueueQuery(Asked, frozen=True):
    """Which cases of the queue."""

    kind: tuple[CaseKind, ...] = ()
    state: tuple[CaseState, ...] = ()
    channel: Name | UnsetType = UNSET
    unit: Name | UnsetType = UNSET
    topic: Name | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    limit: Limit = 50


class PageQuery(Asked, frozen=True):
    """Which page of a list."""

    after: Annotated[int, Meta(ge=1, le=LARGEST, description="`next` of the page before")] | UnsetType = UNSET
    limit: Limit = 50


class TrendQuery(Asked, frozen=True):
    """Which posts to count, and how."""

    by: Annotated[str, Meta(pattern="^(hour|day|week)$")] = "day"
    group: Annotated[str, Meta(pattern="^(all|channel|topic|sentiment|unit|label)$")] = "all"
    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    channel: Name | UnsetType = UNSET
    unit: Name | UnsetType = UNSET
    topic: Name | UnsetType = UNSET
    label: Label | UnsetType = UNSET


class Seen(Asked, frozen=True):
    """A change that needs nothing but the version of the case that was seen."""

    version: Version


class QuoteBody(Asked, frozen=True):
    """Words quoted from a post, in code points of its text."""

    post_id: Id
    start: Place
    end: Place


class DecisionBody(Asked, frozen=True):
    """A decision about the posts of a case; a restriction needs ``rule`` and ``quote``."""

    version: Version
    action: Action
    rule: RuleCode | None = None
    quote: QuoteBody | None = None
    note: Note = ""
    explanation: Note = ""
    mute_seconds: Annotated[int, Meta(ge=0, le=2_592_000)] = 0


class UndoBody(Asked, frozen=True):
    """Which decision of the case to take back."""

    version: Version
    decision_id: Id


class MoveBody(Asked, frozen=True):
    """One step in the life of a case."""

    version: Version
    action: Annotated[str, Meta(min_length=1, max_length=40)]
    reason: Note = ""
    unit: Name | None = None
    assignee: Name | None = None


class ReplyBody(Asked, frozen=True):
    """Words of an answer: a new draft, or other words for the draft ``reply_id`` as seen in ``reply_version``."""

    version: Version
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]
    reply_id: Id | None = None
    reply_version: Version | None = None
