"""The union's account on Weibo: comments that it receives, and posts and comments that mention it.

Only what is addressed to the account is read. Answers are comments in its name. Weibo's open interface leaves comments
out, and the channel says so; the commercial one shows all of them and can delete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectors import _weibo_health as health
from connectors._settings import read, refuse, setting
from connectors._weibo_api import Api
from connectors._weibo_effects import Hand
from connectors._weibo_lists import Lists, Pace
from monitor.core.errors import ConnectorError
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route

_OPEN = frozenset({Capability.LISTEN, Capability.REPLY, Capability.READ_BACK})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``weibo``."""

    access_token: str = setting("Access token with which the union's account has authorised the app.")
    mentions: bool = setting("Whether to read posts and comments that mention the account.", True)
    commercial: bool = setting(
        "Whether there is a contract for the commercial interface, which shows all comments and can delete.",
        False,
    )
    poll_seconds: float = setting("Seconds between two looks at the comments received.", 1_800.0)
    mention_seconds: float = setting("Seconds between two looks at the mentions.", 7_200.0)
    rescan_seconds: float = setting("Seconds between two looks for removed comments.", 43_200.0)
    rescan_days: float = setting("Age in days up to which comments are looked at again.", 7.0)
    history_days: float = setting(
        "How many days of earlier comments are fetched at the very beginning.", 30.0
    )
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 1_800.0)
    api_url: str = setting("Address of Weibo's open interface.", "https://api.weibo.com")
    commercial_url: str = setting("Address of Weibo's commercial interface.", "https://c.api.weibo.com")


def connector(config: ChannelConfig) -> Weibo:
    """Return the connector of one account.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.access_token.strip():
        raise refuse(config, "access_token", "is empty: authorise the app with the union's account")
    for key in ("api_url", "commercial_url"):
        if not getattr(settings, key).startswith(("https://", "http://")):
            raise refuse(config, key, "begins with https://")
    for key in (
        "poll_seconds",
        "mention_seconds",
        "rescan_seconds",
        "rescan_days",
        "history_days",
        "call_seconds",
        "retry_seconds",
    ):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number above 0")
    return Weibo(config.name, settings)


class Weibo:
    """One account (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        commercial = settings.commercial_url if settings.commercial else ""
        self._api = Api(settings.api_url, commercial, settings.access_token.strip(), settings.call_seconds)
        pace = Pace(
            settings.poll_seconds,
            settings.mention_seconds,
            settings.rescan_seconds,
            settings.rescan_days,
            settings.history_days,
            settings.retry_seconds,
        )
        self._lists = Lists(name, self._api, settings.mentions, pace)
        self._hand = Hand(self._api, self._lists)
        self.capabilities = _OPEN | ({Capability.REMOVE} if settings.commercial else frozenset())

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield posts after ``cursor`` until closed."""
        async with aclosing(self._lists.posts(cursor)) as batches:
            async for batch in batches:
                yield batch

    def routes(self) -> Sequence[Route]:
        """Return nothing: Weibo is asked, it does not call."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        return await self._hand.read_back(effect)

    async def check(self) -> Health:
        """Ask whose access token it is and for one comment, and say what Weibo leaves out."""
        names = frozenset(str(each) for each in self.capabilities)
        self._api.forget_owner()
        try:
            token = await self._api.owner()
            await self._lists.try_one()
        except ConnectorError as error:
            return Health(False, health.trouble(error), names)
        told = health.listening(self._settings.mentions, self._settings.commercial)
        return Health(True, f"{told} {health.lasting(token)}", names)

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._lists.close()
        await self._api.close()


__all__ = ["Settings", "Weibo", "connector"]
