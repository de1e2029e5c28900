"""A Discuz! X forum of the union: its topics and answers by the interface for mobile programs, or by its feed.

Answers are given openly by the union's account; where that is a moderator, posts can be hidden, shown again and
removed. Only the forums named in the settings are read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from connectors import _discuz_health as health
from connectors._discuz_api import Api, cookies_in
from connectors._discuz_effects import Hand
from connectors._discuz_feed import Feed
from connectors._discuz_topics import Pace, Topics
from connectors._settings import read, refuse, setting
from monitor.core.errors import ConnectorError, Rejected
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route

_READING = frozenset({Capability.LISTEN})
_ANSWERING = frozenset({Capability.REPLY, Capability.READ_BACK})
_MODERATING = frozenset({Capability.HIDE, Capability.RESTORE, Capability.REMOVE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``discuz``."""

    url: str = setting("Address of the forum, without forum.php, e.g. https://bbs.example.edu.cn.")
    forums: tuple[int, ...] = setting("Numbers of the forums to read: the fid in their addresses.")
    username: str = setting(
        "Account of the union in the forum; empty reads as a visitor and answers nothing.", ""
    )
    password: str = setting(
        "Password of the account; or, where signing in asks for an image code, the two cookies of a signed-in browser.",
        "",
    )
    source: Literal["api", "rss"] = setting(
        "How to read: by the mobile interface (api), or by the feed (rss), which shows topics only.", "api"
    )
    poll_seconds: float = setting("Seconds between two looks at the lists of topics.", 300.0)
    rescan_seconds: float = setting("Seconds between two looks for edits and removals.", 3_600.0)
    rescan_days: float = setting(
        "Age in days up to which posts are looked at again for edits and removals.", 7.0
    )
    history_days: float = setting("How many days of earlier posts are fetched at the very beginning.", 30.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 15.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 300.0)


def connector(config: ChannelConfig) -> Discuz:
    """Return the connector of some forums of one site.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.url.startswith(("https://", "http://")):
        raise refuse(config, "url", "begins with https:// (or http:// inside the campus)")
    if not settings.forums:
        raise refuse(
            config, "forums", "names no forum; write the numbers behind fid in their addresses, e.g. [2]"
        )
    if not all(0 < fid < 10**9 for fid in settings.forums):
        raise refuse(config, "forums", "holds numbers above 0")
    if settings.username and not settings.password:
        raise refuse(
            config, "password", "is missing: give the password of the account, or leave username empty"
        )
    for key in (
        "poll_seconds",
        "rescan_seconds",
        "rescan_days",
        "history_days",
        "call_seconds",
        "retry_seconds",
    ):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number above 0")
    return Discuz(config.name, settings)


def _site(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/forum.php").removesuffix("/index.php").rstrip("/")


class Discuz:
    """Some forums of one site (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        site = _site(settings.url)
        by_feed = settings.source == "rss"
        has_account = bool(settings.username.strip() or cookies_in(settings.password)) and not by_feed
        account = (settings.username.strip(), settings.password) if has_account else ("", "")
        self._api = Api(site, *account, settings.call_seconds, 3 * settings.retry_seconds)
        pace = Pace(
            settings.poll_seconds,
            settings.rescan_seconds,
            settings.rescan_days,
            settings.history_days,
            settings.retry_seconds,
        )
        self._topics = Topics(name, site, settings.forums, self._api, pace)
        self._feed = Feed(name, settings.forums, self._api, pace) if by_feed else None
        self._hand = Hand(self._api, self._topics)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the channel can do now: a visitor reads, an account answers, a moderator hides and removes."""
        if self._api.is_visitor:
            return _READING
        moderates = any(self._topics.moderates.values()) or not self._topics.moderates
        return _READING | _ANSWERING | (_MODERATING if moderates else frozenset())

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield posts after ``cursor`` until closed."""
        source = self._feed or self._topics
        async with aclosing(source.posts(cursor)) as batches:
            async for batch in batches:
                yield batch

    def routes(self) -> Sequence[Route]:
        """Return nothing: a forum is asked, it does not call."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        if self._api.is_visitor:
            raise Rejected("the channel only reads, so it has done nothing")
        return await self._hand.read_back(effect)

    async def check(self) -> Health:
        """Sign in, read the first page of every forum, and say what may be done there."""
        try:
            said, is_good = await self._told(), True
        except ConnectorError as error:
            told = health.feed_trouble(error) if self._feed else health.trouble(error)
            said, is_good = told, False
        return Health(is_good, said, frozenset(str(each) for each in self.capabilities))

    async def _told(self) -> str:
        if self._feed is not None:
            await self._feed.try_all()
            return health.feeding(len(self._settings.forums))
        site = await self._api.site()
        names = await self._topics.try_all()
        moderates = any(self._topics.moderates.values())
        return f"{health.reading(site, names)} {health.acting(self._api.is_visitor, moderates)}"

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._topics.close()
        if self._feed is not None:
            self._feed.close()
        await self._api.close()


__all__ = ["Discuz", "Settings", "connector"]
