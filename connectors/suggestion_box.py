"""The suggestion box: our own pages, where members write, and read their answer by a receipt.

The pages belong to the service; this channel stands for them: an answer has arrived as soon as it can be read there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from connectors._settings import read
from monitor.core.errors import Rejected
from monitor.core.model import Effect, EffectKind, Health
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route
from monitor.words import _

_READABLE = frozenset({EffectKind.REPLY, EffectKind.NOTICE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``box``: there are none of its own."""


def connector(config: ChannelConfig) -> SuggestionBox:
    """Return the connector of the suggestion box. Raises ConfigError for a setting that it does not have."""
    read(Settings, config)
    return SuggestionBox(config.name)


class SuggestionBox:
    """The box behind ``/box`` (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN, Capability.REPLY, Capability.READ_BACK})
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:  # noqa: ARG002
        """Yield nothing until closed: the pages store what is written at once."""
        await self._closed.wait()
        nothing: tuple[Incoming, ...] = ()
        for batch in nothing:
            yield batch

    def routes(self) -> Sequence[Route]:
        """Return no path: the pages are the service's own."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Return the receipt of an answer, which the member reads under theirs; the same effect, the same receipt."""
        if effect.kind not in _READABLE:
            raise Rejected(f"the suggestion box cannot {effect.kind}: only its writer sees what is in it")
        return f"box:{effect.key}"

    async def read_back(self, effect: Effect) -> str | None:
        """Return the receipt: what was approved can be read, whether or not anybody was told so before."""
        return await self.perform(effect, None)

    async def check(self) -> Health:
        """Say where members write."""
        told = _("意见箱在 /box，凭回执在 /box/r 查看。")
        return Health(True, told, frozenset(map(str, self.capabilities)))

    async def close(self) -> None:
        """Stop; may be called twice."""
        self._closed.set()
