"""History catch-up over OneBot's ``get_group_msg_history``, which is not in the standard and differs everywhere.

All four implementations include the anchor in the page and can be walked towards older messages; only the name
and the meaning of the anchor differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors._limits import id_of
from connectors._onebot_wire import GOCQ, LAGRANGE, LLONEBOT, NAPCAT, external_id, posted_at

ACTION = "get_group_msg_history"
PAGE = 20
OVERLAP = 120
"""Seconds before the newest stored message that are read again; the unique key drops what is known."""

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest message of a group that was handed over: its Unix second and external id."""

    second: int
    key: str


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
    """Return the group sequence where the profile tells it, else 0: the page's own order then stands."""
    name = {NAPCAT: "real_seq", LLONEBOT: "message_seq", GOCQ: "message_seq"}.get(profile, "")
    seq = id_of(event.get(name))
    return int(seq) if seq is not None and seq.isdecimal() else 0


def page_params(profile: str, group: str, oldest: Event | None) -> dict[str, Any]:
    """Return the parameters for the newest page, or for the page that ends with ``oldest``."""
    params: dict[str, Any] = {"group_id": int(group), "count": PAGE}
    if oldest is None:
        return params
    if profile == LAGRANGE:
        return params | {"message_id": oldest.get("message_id")}
    if profile == NAPCAT:
        both = {"reverse_order": True, "reverseOrder": True}
        return params | both | {"message_seq": oldest.get("message_id")}
    return params | {"message_seq": oldest.get("message_seq")}


def _events(data: object) -> list[Event]:
    found = data.get("messages") if isinstance(data, dict) else None
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def _identity(event: Event) -> tuple[str | None, str | None, int]:
    return id_of(event.get("message_id")), id_of(event.get("message_seq")), second_of(event)


async def pages(ask: Ask, profile: str, group: str, pause: float) -> AsyncIterator[list[Event]]:
    """Yield pages towards older messages, each oldest first, until a page brings nothing new."""
    oldest: Event | None = None
    seen: set[tuple[str | None, str | None, int]] = set()
    while True:
        events = _events(await ask(ACTION, page_params(profile, group, oldest)))
        fresh = [event for event in events if _identity(event) not in seen]
        if not fresh:
            return
        seen.update(map(_identity, fresh))
        fresh.sort(key=lambda event: (second_of(event), _sequence(event, profile)))
        yield fresh
        oldest = fresh[0]
        await asyncio.sleep(pause)


def _is_reached(page: list[Event], group: str, profile: str, since: Mark) -> bool:
    known = any(external_id(event, group, profile) == since.key for event in page)
    return known or 0 < second_of(page[0]) < since.second


async def catch_up(ask: Ask, profile: str, group: str, since: Mark | None, reach: Reach) -> Found:
    """Return what a group said since ``since``, or in the last hours when nothing is stored yet.

    Raises: what ``ask`` raises.
    """
    found: list[Event] = []
    complete = since is None
    async for page in pages(ask, profile, group, reach.pause):
        found = page + found
        if since is not None and _is_reached(page, group, profile, since):
            complete = True
            break
        too_old = second_of(found[-1]) - reach.hours * 3600
        if (since is None and second_of(page[0]) < too_old) or len(found) >= reach.limit:
            break
    floor = (
        since.second - OVERLAP
        if since is not None
        else second_of(found[-1]) - reach.hours * 3600
        if found
        else 0
    )
    return Found(tuple(event for event in found if second_of(event) >= floor), complete)
