"""History catch-up over OneBot's ``get_group_msg_history``, which is not in the standard and differs everywhere.

All four implementations include the anchor in the page and can be walked towards older messages; only the name
and the meaning of the anchor differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors._limits import id_of
from connectors._onebot_wire import GOCQ, LAGRANGE, LLONEBOT, NAPCAT, UNKNOWN, external_id, posted_at
from monitor.core.errors import Rejected

ACTION = "get_group_msg_history"
PAGE = 20
LARGE_PAGES = {NAPCAT: 100, LLONEBOT: 100}
"""What the others call a page is 20, whatever is asked for."""
OVERLAP = 120
"""Seconds before the newest stored message that are read again; the unique key drops what is known."""
LOOK_BACK = 3600
"""Seconds before the newest stored message where the search for it ends: it was recalled."""

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest message of a group that was handed over: its Unix second and external id.

    The place of the message is what counts, for clocks jump; its second helps when it was recalled. Without a
    key the second alone counts; ``BEGINNING`` stands before the first message of the group.
    """

    second: int
    key: str


BEGINNING = Mark(0, "")


@dataclass(frozen=True, slots=True)
class Found:
    """Messages oldest first; ``complete`` is False when older ones could not be reached."""

    messages: tuple[Event, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back to go: hours when nothing is stored yet, messages at most, seconds between two calls."""

    hours: float
    limit: int
    pause: float


def second_of(event: Event) -> int:
    """Return the Unix second of a message, 0 when it has no believable time."""
    at = posted_at(event)
    return 0 if at is None else int(at.timestamp())


def _sequence(event: Event, profile: str) -> int:
    """Return the group sequence where the profile tells it, else 0."""
    name = {NAPCAT: "real_seq", LLONEBOT: "message_seq", GOCQ: "message_seq"}.get(profile, "")
    seq = id_of(event.get(name))
    return int(seq) if seq is not None and seq.isdecimal() else 0


def page_params(profile: str, group: str, oldest: Event | None) -> dict[str, Any]:
    """Return the parameters for the newest page, or for the page that ends with ``oldest``."""
    params: dict[str, Any] = {"group_id": int(group), "count": LARGE_PAGES.get(profile, PAGE)}
    if oldest is None:
        return params
    if profile == LAGRANGE:
        return params | {"message_id": oldest.get("message_id")}
    if profile in (NAPCAT, UNKNOWN):
        params |= {"reverse_order": True, "reverseOrder": True}
    if profile == NAPCAT:
        return params | {"message_seq": oldest.get("message_id")}
    return params | {"message_seq": oldest.get("message_seq", oldest.get("message_id"))}


def _events(data: object) -> list[Event]:
    found = data.get("messages") if isinstance(data, dict) else None
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def _oldest_first(events: list[Event], profile: str) -> list[Event]:
    """Return a page in the order of the group: by sequence where it is told, never by a clock that may jump."""
    if events and all(_sequence(event, profile) for event in events):
        return sorted(events, key=lambda event: _sequence(event, profile))
    return events[::-1] if len(events) > 1 and _is_reversed(events[0], events[-1], profile) else events


def _is_reversed(first: Event, last: Event, profile: str) -> bool:
    if profile == LAGRANGE:  # its ids hold the lower half of the sequence in their upper half
        return ((_message_id(last) >> 16) - (_message_id(first) >> 16)) & 0xFFFF >= 0x8000
    return profile not in (NAPCAT, GOCQ) and second_of(first) > second_of(last) > 0


def _message_id(event: Event) -> int:
    number = id_of(event.get("message_id")) or "0"
    return int(number) if number.removeprefix("-").isdecimal() else 0


def _identity(event: Event) -> tuple[str | None, str | None, int]:
    return (
        id_of(event.get("message_id")),
        id_of(event.get("real_seq")) or id_of(event.get("message_seq")),
        second_of(event),
    )


async def pages(ask: Ask, profile: str, group: str, pause: float) -> AsyncIterator[list[Event]]:
    """Yield pages towards older messages, each oldest first, until a page brings nothing new."""
    oldest: Event | None = None
    seen: set[tuple[str | None, str | None, int]] = set()
    while True:
        events = _events(await ask(ACTION, page_params(profile, group, oldest)))
        fresh = [event for event in _oldest_first(events, profile) if _identity(event) not in seen]
        if not fresh:
            return
        seen.update(map(_identity, fresh))
        yield fresh
        oldest = fresh[0]
        await asyncio.sleep(pause)


def _place(events: Sequence[Event], group: str, profile: str, key: str) -> int | None:
    """Return where the message ``key`` stands."""
    return next((n for n, event in enumerate(events) if external_id(event, group, profile) == key), None)


@dataclass(slots=True)
class _Walk:
    """What a walk towards older messages has found, oldest first."""

    group: str
    profile: str
    since: Mark | None
    hours: float
    found: list[Event] = field(default_factory=list)
    place: int | None = None

    def add(self, page: list[Event]) -> bool:
        """Take one page; return True when what was wanted is reached."""
        self.found[:0] = page
        oldest = second_of(page[0])
        if self.since is None:
            return 0 < oldest < self._floor()
        if self.place is not None:
            self.place += len(page)
        elif self.since.key:
            self.place = _place(page, self.group, self.profile, self.since.key)
        else:
            return 0 < oldest < self.since.second
        if self.place is None:
            return 0 < oldest < self.since.second - LOOK_BACK
        return self.place >= PAGE or 0 < oldest < self._floor()

    def _floor(self) -> float:
        if self.since is None:
            return second_of(self.found[-1]) - self.hours * 3600 if self.found else 0
        return self.since.second - (OVERLAP if self.since.key else 0)

    def wanted(self) -> tuple[Event, ...]:
        """Return what stands after the mark, and what overlaps it; everything when its place was not found."""
        if self.since is not None and self.since.key and self.place is None:
            return tuple(self.found)
        after, floor = len(self.found) if self.place is None else self.place, self._floor()
        return tuple(
            event
            for n, event in enumerate(self.found)
            if n > after or (n < after and not 0 < second_of(event) < floor)
        )


async def catch_up(ask: Ask, profile: str, group: str, since: Mark | None, reach: Reach) -> Found:
    """Return what a group said since ``since``, or in the last hours when nothing is stored yet.

    Raises: what ``ask`` raises; Rejected only for the first page, a later one ends the walk incomplete.
    """
    walk = _Walk(group, profile, since, reach.hours)
    is_reached = False
    try:
        async for page in pages(ask, profile, group, reach.pause):
            is_reached = walk.add(page)
            if is_reached or len(walk.found) >= reach.limit:
                break
        else:
            is_reached = since == BEGINNING
    except Rejected:
        if not walk.found:
            raise
    return Found(walk.wanted(), is_reached or since is None or walk.place is not None)
