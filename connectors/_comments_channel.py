"""What the comment systems of web sites have in common: listening, acting, looking back and saying how they are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from connectors import _comments_health as health
from connectors._comments_book import HIDDEN, Book, Page, Row, State
from connectors._comments_watch import Pace, Watch
from connectors._comments_words import is_said
from connectors._limits import clean_text
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable
from monitor.core.model import Effect, EffectKind, Health
from monitor.core.ports import Capability, Incoming, Route

MOST_PAGES: Final = 60
"""Pages read to find one comment again."""
SAYING: Final = frozenset({EffectKind.REPLY, EffectKind.NOTICE})
MARGIN: Final = timedelta(days=1)
"""How far the site's clock may be from ours when a sent answer is looked for."""
ALL: Final = frozenset(
    {
        Capability.LISTEN,
        Capability.REPLY,
        Capability.HIDE,
        Capability.REMOVE,
        Capability.RESTORE,
        Capability.READ_BACK,
    }
)
_AHEAD: Final = timedelta(minutes=15)
_HANDLE = re.compile(r"([A-Za-z0-9_-]{1,64})(?:@([A-Za-z0-9_-]{1,64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is done: a comment, the comment at the head of its conversation, and the page it stands on."""

    key: str
    root: str
    thread: str


def handle_of(key: str, root: str | None) -> str:
    """Return what leads back to a comment and to the head of its conversation."""
    return key if not root or root == key else f"{key}@{root}"


def place_of(effect: Effect) -> Place:
    """Return where an effect belongs.

    Raises: Rejected when it names no comment of this channel.
    """
    found = _HANDLE.fullmatch(effect.handle or "")
    if found is None:
        raise Rejected("the effect names no comment of this site; act in the site's own administration")
    return Place(found[1], found[2] or found[1], effect.thread or "")


class Platform(Protocol):
    """One kind of comment system."""

    capabilities: frozenset[Capability]

    async def page(self, number: int) -> Page:
        """Return a page of all comments, newest first. Raises: Unavailable, RateLimited, Rejected."""

    async def say(self, place: Place, text: str) -> str:
        """Write an answer and return its id. Raises: the four of ``Connector.perform``."""

    async def move(self, place: Place, kind: EffectKind) -> bool:
        """Hide, remove or restore a comment; False when it is not there any more."""

    async def state(self, place: Place) -> State | None:
        """Return how a comment stands now, None when it is not there any more."""

    async def prove(self) -> Sequence[str]:
        """Return, in words, what the credential lacks. Raises: Unavailable, RateLimited, Rejected."""

    async def close(self) -> None:
        """Close every connection."""


class CommentSystem:
    """One web site's comments (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, platform: Platform, book: Book, pace: Pace, system: str) -> None:
        self.name = name
        self.system = system
        self.capabilities = platform.capabilities
        self._platform = platform
        self._watch = Watch(book, platform.page, self._prove, pace)

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield comments, their edits and removals after ``cursor`` until closed."""
        async with aclosing(self._watch.posts(cursor)) as batches:
            async for batch in batches:
                yield batch

    async def _prove(self) -> None:
        """Refuse to believe that comments are gone while the account may not see all of them."""
        if await self._platform.prove():
            raise Rejected(
                "the account may no longer see every comment; what is missing is not taken for removed"
            )

    def routes(self) -> Sequence[Route]:
        """Return none: what these systems push is not signed, so they are looked at instead."""
        return ()

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Carry out one effect (see ``Connector.perform``)."""
        self._need(effect.kind)
        place = place_of(effect)
        if effect.kind in SAYING:
            text = clean_text(effect.text).strip()
            if not text:
                raise Rejected("there are no words to say")
            return f"said:{await self._platform.say(place, text)}"
        ours = self._watch.book.ours
        (ours.discard if effect.kind is EffectKind.RESTORE else ours.add)(place.key)
        try:
            is_there = await self._platform.move(place, effect.kind)
        except (Unavailable, RateLimited, Rejected):
            ours.discard(place.key)
            raise
        if not is_there and effect.kind is EffectKind.RESTORE:
            raise Rejected("the comment is not there any more, so it cannot be brought back")
        return f"{effect.kind.value if is_there else 'gone'}:{place.key}"

    def _need(self, kind: EffectKind) -> None:
        if kind is EffectKind.MUTE:
            raise Rejected(f"{self.system} cannot mute an author through its interface")
        needed = Capability.REPLY if kind in SAYING else Capability(kind.value)
        if needed not in self.capabilities:
            raise Rejected(f"this channel cannot {kind.value}: {self.system} or its settings do not allow it")

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        if Capability.READ_BACK not in self.capabilities or effect.kind is EffectKind.MUTE:
            raise Rejected("this channel has no way to tell; look into the site's own administration")
        place = place_of(effect)
        if effect.kind in SAYING:
            return await self._said(effect)
        state = await self._platform.state(place)
        if state is None:
            if effect.kind is EffectKind.RESTORE:
                raise Rejected("the comment is not there any more")
            return f"gone:{place.key}"
        return f"{effect.kind.value}:{place.key}" if _is_done(effect.kind, state) else None

    async def _said(self, effect: Effect) -> str | None:
        """Look for our own answer among the newest comments, back to a day before it was written."""
        row = await find(self._platform, lambda row: row.mine and is_said(effect, row.text), effect)
        return None if row is None else f"said:{row.key}"

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Sign in, read the newest comments and say what works and what to mend."""
        names = frozenset(str(each) for each in self.capabilities)
        try:
            faults = list(await self._platform.prove())
            page = await self._platform.page(1)
        except ConnectorError as error:
            return Health(False, health.trouble(self.system, error), names, {})
        faults += [health.clock(self.system)] if _is_ahead(page) else []
        told = " ".join(faults) or self._good(page)
        detail = {"looks": str(self._watch.looks), "newest_page": str(len(page.rows))}
        return Health(not faults, told, names, detail)

    def _good(self, page: Page) -> str:
        count = len(page.rows) if page.total is None else page.total
        return health.good(self.system, count, Capability.REPLY in self.capabilities)

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._watch.close()
        await self._platform.close()


def _is_ahead(page: Page) -> bool:
    """Say whether a comment is of the future: one of the clocks is wrong, or the zone of the times is."""
    limit = datetime.now(UTC) + _AHEAD
    return any(
        row.post is not None and row.post.posted_at and row.post.posted_at > limit for row in page.rows
    )


def _is_done(kind: EffectKind, state: State) -> bool:
    if kind is EffectKind.RESTORE:
        return state is State.SHOWN
    return state in HIDDEN if kind is EffectKind.REMOVE else state is not State.SHOWN


async def find(platform: Platform, wanted: Callable[[Row], bool], effect: Effect | None = None) -> Row | None:
    """Return the newest comment that is ``wanted``, or None when none is.

    Args:
        platform: where to look.
        wanted: says whether a comment is the one.
        effect: look no further back than a day before it was decided.

    Raises: Rejected when too much would have to be read.
    """
    for number in range(1, MOST_PAGES + 1):
        page = await platform.page(number)
        for row in page.rows:
            if row.key and wanted(row):
                return row
        times = [row.post.posted_at for row in page.rows if row.post is not None and row.post.posted_at]
        is_before = effect is not None and bool(times) and max(times) < effect.created_at - MARGIN
        if page.last or is_before:
            return None
    raise Rejected("the comment is too far back to be found; look into the site's own administration")


__all__ = ["ALL", "SAYING", "CommentSystem", "Place", "Platform", "find", "handle_of", "place_of"]
