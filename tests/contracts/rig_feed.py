"""A feed of comments: a fake site behind a wire."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from monitor.core.model import Effect
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_feed import FakeFeed
from monitor.testing.faulty_wire import FaultyWire

MEMBER = "xiaozhou_20002000"


class Rig(suite.Rig):
    type = "feed"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeFeed()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "urls": [f"http://127.0.0.1:{self.wire.port}/comments/feed/?token=geheim"],
            "poll_seconds": 0.02,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def ready(self, connector: Connector) -> None:
        asked = len(self.fake.statuses)
        await self.desk.until(lambda: len(self.fake.statuses) > asked)

    async def say(self, text: str) -> None:
        self.fake.say(f"<p>{text}</p>", MEMBER)

    async def repeat(self) -> None:
        self.fake.conditional = False  # every look shows everything again
        asked = len(self.fake.statuses)
        await self.desk.until(lambda: len(self.fake.statuses) > asked + 4)

    async def garble(self) -> bool:
        self.fake.say("", raw="<item><guid>天机</guid><category>天机</category></item>")
        return True

    def natives(self) -> Collection[str]:
        return [MEMBER, "geheim"]

    def happened(self, done: Effect) -> int:
        return 0
