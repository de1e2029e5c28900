"""Carrying out effects on a forum whose posts have numbers, and looking whether they happened (rule E-03).

What Discourse and NodeBB have in common: what may be asked of an account, which posts it took away, and when taking
away or giving back is done already. How a forum is told is the business of its own hand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from monitor.core.errors import RateLimited, Rejected, Unavailable
from monitor.core.model import Effect, EffectKind

SAYING: Final = (EffectKind.REPLY, EffectKind.NOTICE)
TAKING: Final = (EffectKind.REMOVE, EffectKind.HIDE)

Row = dict[str, Any]


class ForumHand(ABC):
    """What acts for an account of a forum.

    Attributes:
        site: the forum's name, for messages.
        restored: first word of the receipt of a post that was given back.
        removed: numbers of the posts that this account took away.
        waiting: how many answers went to the forum's own approval.
    """

    site: str
    restored: str

    def __init__(self, moderates: bool) -> None:
        self._moderates = moderates
        self.removed: set[int] = set()
        self.waiting = 0

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        if effect.kind in SAYING:
            return await self._say(effect)
        if not self._moderates:
            raise Rejected("this channel may only answer: set `moderates` once its account is a moderator")
        if effect.kind is EffectKind.MUTE:
            return await self._silence(effect, author)
        number = self._named(effect)
        row = await self._row(number)
        if effect.kind is EffectKind.RESTORE:
            return await self._restore(number, row)
        return await self._delete(number, row)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened (see ``Connector.read_back``)."""
        if effect.kind in SAYING:
            return await self._said(effect)
        number = self._named(effect)
        row = await self._row(number)
        if effect.kind is EffectKind.MUTE:
            return await self._silenced(effect, row)
        is_gone = row is None or self._is_gone(row)
        if effect.kind in TAKING:
            return f"deleted:{number}" if is_gone else None
        return None if is_gone else f"{self.restored}:{number}"

    def _named(self, effect: Effect) -> int:
        number = self._post_of(effect)
        if number is None:
            raise Rejected(f"the effect names no post of {self.site}")
        return number

    async def _delete(self, number: int, row: Row | None) -> str:
        if row is not None and not self._is_gone(row):
            self.removed.add(number)  # before the forum tells of it itself
            try:
                await self._take_away(number)
            except (Unavailable, RateLimited, Rejected):
                self.removed.discard(number)
                raise
        return f"deleted:{number}"

    async def _restore(self, number: int, row: Row | None) -> str:
        if row is None:
            raise Rejected("the post was removed for good and cannot be brought back")
        if self._is_gone(row):
            await self._give_back(number)
        self.removed.discard(number)
        return f"{self.restored}:{number}"

    # --- how this forum is told ----------------------------------------------------------------------

    @abstractmethod
    def _post_of(self, effect: Effect) -> int | None:
        """Return the number of the post that an effect is about."""

    @abstractmethod
    def _is_gone(self, row: Mapping[str, Any]) -> bool:
        """Say whether the forum shows a post as taken away."""

    @abstractmethod
    async def _row(self, number: int) -> Row | None:
        """Return a post as it stands now, None when it was removed for good."""

    @abstractmethod
    async def _take_away(self, number: int) -> None:
        """Take a post away so that it can come back."""

    @abstractmethod
    async def _give_back(self, number: int) -> None:
        """Bring back a post that was taken away."""

    @abstractmethod
    async def _silence(self, effect: Effect, author: str | None) -> str:
        """Silence a member for the time that the effect names; return the receipt."""

    @abstractmethod
    async def _silenced(self, effect: Effect, row: Row | None) -> str | None:
        """Return the receipt when who wrote a post is silenced."""

    @abstractmethod
    async def _say(self, effect: Effect) -> str:
        """Say words in a topic; return the receipt."""

    @abstractmethod
    async def _said(self, effect: Effect) -> str | None:
        """Return the receipt of words that stand in a topic or wait for approval."""
