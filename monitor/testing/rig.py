"""A rig: how a test starts the counterpart of a connector, and how somebody says something there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Capability, ChannelConfig, Connector, Request
from monitor.testing.desk import Desk, effect
from monitor.testing.faulty_wire import Fault, FaultyWire

GROUP: Final = "huiyin.connectors"
NEEDS: Final[Mapping[EffectKind, Capability]] = {
    EffectKind.REPLY: Capability.REPLY,
    EffectKind.NOTICE: Capability.REPLY,
    EffectKind.REMOVE: Capability.REMOVE,
    EffectKind.HIDE: Capability.HIDE,
    EffectKind.RESTORE: Capability.RESTORE,
    EffectKind.MUTE: Capability.MUTE,
}
FIVE: Final = (Unavailable, RateLimited, Rejected, Malformed, Uncertain)


class Rig:
    """One connector with its counterpart. Subclass it; what is not needed stays as it is.

    Attributes:
        type: name of the entry point.
        listens: ``say`` works: what somebody says at the counterpart reaches the connector.
        keeps: the counterpart keeps what was said while nobody listened, and the connector fetches it.
        ends: the source has an end, and ``posts`` ends with it.
        pushes: the connector opens routes, and ``pushed`` makes a request that it takes.
        networked: the connector reaches its counterpart over ``wire``.
        overlap: how many items may be handed over again after a cursor (0 where the source allows it).
        patience: seconds after which every call must have given up.
        desk: the service and the intake; its port is where pushes go.
        folder: an empty folder of the test.
        wire: the wire to the counterpart, made by ``start`` of a networked rig.
    """

    type: ClassVar[str] = ""
    listens: ClassVar[bool] = False
    keeps: ClassVar[bool] = True
    ends: ClassVar[bool] = False
    pushes: ClassVar[bool] = False
    networked: ClassVar[bool] = False
    overlap: ClassVar[int] = 0
    patience: ClassVar[float] = 5.0
    channel: ClassVar[str] = "rig"

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.folder = folder
        self.desk = desk
        self.wire: FaultyWire | None = None

    # --- the counterpart -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the counterpart."""

    async def stop(self) -> None:
        """Stop it."""

    def settings(self) -> dict[str, Any]:
        """Return settings with which the connector finds its counterpart and does not wait long for anything."""
        return {}

    def factory(self) -> Callable[[ChannelConfig], Connector]:
        """Return the function that makes the connector: what the entry point names."""
        points = {point.name: point for point in entry_points(group=GROUP)}
        assert self.type in points, f"no entry point `{self.type}` is installed; run the set-up command again"
        return cast(Callable[[ChannelConfig], Connector], points[self.type].load())

    def make(self, **settings: Any) -> Connector:
        """Return a new connector of the channel."""
        return self.factory()(ChannelConfig(self.channel, self.type, {**self.settings(), **settings}))

    async def ready(self, connector: Connector) -> None:
        """Wait until connector and counterpart have found each other (for counterparts that do not keep)."""

    async def say(self, text: str) -> None:
        """Let somebody say ``text``: one post with exactly these words."""
        raise NotImplementedError

    async def repeat(self) -> None:
        """Deliver everything again that was said so far."""
        raise NotImplementedError

    async def garble(self) -> bool:
        """Deliver something that cannot be read; False when this source has no way to."""
        return False

    def natives(self) -> Collection[str]:
        """Return native ids of those who speak, and secrets of the settings: none of them may be logged."""
        return ()

    # --- pushes --------------------------------------------------------------------------------------

    def pushed(self, body: bytes | None = None) -> Request:
        """Return a genuine request with this body, or with one that holds a post."""
        raise NotImplementedError

    def proofs(self) -> Collection[str]:
        """Return the names of the headers and query keys by which a request proves where it comes from."""
        return ()

    def forged(self, body: bytes) -> Collection[bytes]:
        """Return other bodies, none of which may be taken with the proof of ``body``."""
        return (body + b" ", body[1:], b"", b"{}")

    # --- effects -------------------------------------------------------------------------------------

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        """Return an effect that the counterpart can carry out, and the native author where it needs one."""
        return effect(kind, self.channel, number), None

    def happened(self, done: Effect) -> int:
        """Return how often the counterpart has carried out an effect."""
        raise NotImplementedError

    def tells(self, kind: EffectKind) -> bool:
        """Say whether reading back can tell that an effect of this kind did not happen."""
        return kind in (EffectKind.REPLY, EffectKind.NOTICE)

    def shows(self, fault: Fault) -> bool:
        """Say whether ``check`` can notice this fault of the wire."""
        return fault is not Fault.DRIP


# --- what every test of a rig needs ----------------------------------------------------------------


async def within(rig: Rig, work: Any) -> Any:
    """Wait for a call, as long as it may take and a little longer."""
    return await asyncio.wait_for(work, rig.patience + 1.0)


def fresh(words: str = "说") -> str:
    return f"{words} {secrets.token_hex(4)}"


@asynccontextmanager
async def listening(rig: Rig) -> AsyncIterator[Connector]:
    connector = rig.make()
    async with rig.desk.at_work(connector):
        await rig.ready(connector)
        yield connector


async def say_all(rig: Rig, *texts: str) -> None:
    for text in texts:
        await rig.say(text)


__all__ = ["FIVE", "GROUP", "NEEDS", "Rig", "fresh", "listening", "say_all", "within"]
