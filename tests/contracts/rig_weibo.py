"""The union's account on Weibo: a fake platform behind a wire, with a contract for the commercial interface."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_weibo import FakeWeibo
from monitor.testing.faulty_wire import FaultyWire

MEMBER = 1_234_567_890


class Rig(suite.Rig):
    type = "weibo"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeWeibo()
        self.fake.contract = True
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()
        self._turn = 0

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        address = f"http://127.0.0.1:{self.wire.port}"
        return {
            "access_token": self.fake.token,
            "commercial": True,
            "poll_seconds": 0.02,
            "mention_seconds": 0.03,
            "rescan_seconds": 0.05,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
            "api_url": address,
            "commercial_url": address,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls["comments/to_me"]
        await self.desk.until(lambda: self.fake.calls["comments/to_me"] > asked)

    async def say(self, text: str) -> None:
        self.fake.comment(text, MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls["comments/to_me"]  # looking again reads the newest page anew
        await self.desk.until(lambda: self.fake.calls["comments/to_me"] > asked + 6)

    async def garble(self) -> bool:
        self.fake.comment({"半截": "天机"}, MEMBER)
        return True

    def natives(self) -> Collection[str]:
        return [str(MEMBER), self.fake.token, str(self.fake.uid)]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        """Under somebody else's post for answers; deleting works under the account's own only."""
        post = None if kind is EffectKind.REMOVE else self.fake.write(MEMBER, f"别处 {number}")
        made = self.fake.comment(f"要处理的 {number}", self.fake.uid if post is None else MEMBER, under=post)
        handle = f"c:{made.post}:{made.key}"
        return suite.effect(kind, self.channel, number, thread=str(made.post), handle=handle), None

    def happened(self, done: Effect) -> int:
        if done.kind is EffectKind.REMOVE:
            return self.fake.done[f"destroy {(done.handle or '').rpartition(':')[2]}"]
        return self.fake.said(done.mark)

    def tells(self, kind: EffectKind) -> bool:
        return True
