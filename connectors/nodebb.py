"""A NodeBB forum: its newest posts are looked at from time to time through its own interface.

Source: NodeBB 4 (public/openapi) and a real NodeBB 4.15. NodeBB takes a wrong token for a guest and answers public
pages with 200, so every look begins with the one call that a guest cannot make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectors import _nodebb_health as health
from connectors._forum_watch import Pace, Watch
from connectors._nodebb_api import Api, Refused
from connectors._nodebb_effects import Hand
from connectors._nodebb_forum import Forum
from connectors._seen import Seen
from connectors._settings import read, refuse, setting
from monitor.core.errors import ConnectorError
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route

_ANSWERS = frozenset({Capability.LISTEN, Capability.REPLY, Capability.READ_BACK})
_MODERATES = frozenset({Capability.REMOVE, Capability.HIDE, Capability.RESTORE, Capability.MUTE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``nodebb``."""

    url: str = setting("Address of the forum, with its folder when it has one, e.g. https://bbs.example.org.")
    token: str = setting("Token of one user, made in the forum's admin pages; answers appear under its name.")
    categories: tuple[int, ...] = setting(
        "Numbers of the categories that are the union's own; empty takes every public post.", ()
    )
    moderates: bool = setting(
        "Whether the account is a global moderator, so that posts can be removed.", True
    )
    history: int = setting("Posts read back at the very first look.", 200)
    poll_seconds: float = setting("Seconds between two looks at the newest posts.", 60.0)
    whole_seconds: float = setting(
        "Seconds between two looks at all posts of the window, for edits and removals of older ones.", 1_800.0
    )
    window: int = setting("How many of the newest posts are watched for edits and removals.", 500)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 300.0)


def connector(config: ChannelConfig) -> NodeBB:
    """Return the connector of one forum.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.url.startswith(("https://", "http://")):
        raise refuse(config, "url", "begins with https://")
    if not settings.token.strip() or not settings.token.isascii():
        raise refuse(
            config, "token", "is empty or no token: make one in the forum's admin pages (API Access)"
        )
    for key in ("poll_seconds", "whole_seconds", "call_seconds", "retry_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    if not 0 <= settings.history <= 100_000:
        raise refuse(config, "history", "is a number of posts from 0 to 100000")
    if not 50 <= settings.window <= 5_000:
        raise refuse(config, "window", "is a number of posts from 50 to 5000")
    return NodeBB(config.name, settings)


class NodeBB:
    """One forum (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = _ANSWERS | (_MODERATES if settings.moderates else frozenset())
        self._settings = settings
        self._api = Api(settings.url, settings.token.strip(), settings.call_seconds)
        self._hand = Hand(self._api, settings.moderates)
        pace = Pace(settings.poll_seconds, settings.whole_seconds, settings.retry_seconds, settings.history)
        site = settings.url.rstrip("/")
        self._forum = Forum(name, site, self._api, settings.categories, self._hand.removed)
        self._watch = Watch(name, self._forum, Seen(settings.window), pace)

    @property
    def counts(self) -> Counter[str]:
        """What happened since the start."""
        return self._watch.counts

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield posts, edits and removals after ``cursor`` until closed."""
        async with aclosing(self._watch.posts(cursor)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                yield batch

    def routes(self) -> Sequence[Route]:
        """Return nothing: NodeBB does not push."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect, author)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        return await self._hand.read_back(effect)

    async def check(self) -> Health:
        """Sign in with the token, read the newest posts, and try a moderator's page."""
        faults = []
        try:
            me = await self._forum.who()
            await self._api.ask("/api/recent/posts/alltime", [("page", "1")])
            if self._settings.moderates and not await self._may_moderate():
                faults.append(health.no_moderator(str(me.get("username", ""))))
        except ConnectorError as error:
            faults.append(health.trouble(error))
        said = faults or [health.reading(self._watch.looks, len(self._settings.categories))]
        if self._hand.waiting:
            said.append(health.waiting(self._hand.waiting))
        names = frozenset(map(str, self.capabilities))
        detail = {key: str(count) for key, count in sorted(self.counts.items())}
        return Health(not faults, " ".join(said), names, detail)

    async def _may_moderate(self) -> bool:
        try:
            await self._api.ask("/api/flags")
        except Refused:
            return False
        return True

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._watch.close()
        await self._api.close()


__all__ = ["NodeBB", "Settings", "connector"]
