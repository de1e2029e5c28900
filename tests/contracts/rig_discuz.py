"""A Discuz! forum: a fake one behind a wire, read by its mobile interface."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_discuz import PREFIX, FakeDiscuz
from monitor.testing.faulty_wire import FaultyWire

MEMBER = 77_003_456


class Rig(suite.Rig):
    type = "discuz"
    listens = networked = True
    patience = 12.0

    async def start(self) -> None:
        self.fake = FakeDiscuz(per_page=3)
        old = time.time() - 90 * 86_400
        self.talk = self.fake.topic(2, "食堂", "食堂老帖", MEMBER, old).tid
        self.other = self.fake.topic(9, "别处", "别处的帖", MEMBER, old).tid
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()
        self._turn = 0

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "forums": [2],
            "username": self.fake.username,
            "password": self.fake.password,
            "poll_seconds": 0.02,
            "rescan_seconds": 0.05,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls["forumdisplay"]
        await self.desk.until(lambda: self.fake.calls["forumdisplay"] > asked)

    async def say(self, text: str) -> None:
        self._turn += 1
        if self._turn % 3:
            self.fake.post(self.talk, text, MEMBER)
        else:
            self.fake.topic(2, text, text, MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls["viewthread"]  # every look at a topic shows its posts again
        await self.desk.until(lambda: self.fake.calls["viewthread"] > asked + 4)

    async def garble(self) -> bool:
        self.fake.post(self.talk, None, MEMBER)
        return True

    def natives(self) -> Collection[str]:
        return [str(MEMBER), self.fake.password, f"{PREFIX}auth", str(self.fake.uid)]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        hidden = int(kind is EffectKind.RESTORE)
        made = self.fake.post(self.other, f"要处理的 {number}", MEMBER, status=hidden)
        handle = f"{self.other}:{made.pid}"
        return suite.effect(kind, self.channel, number, thread=str(self.other), handle=handle), None

    def happened(self, done: Effect) -> int:
        pid = (done.handle or "").partition(":")[2]
        steps = {EffectKind.REMOVE: "delpost", EffectKind.HIDE: "banpost=1", EffectKind.RESTORE: "banpost=0"}
        return (
            self.fake.done[f"{steps[done.kind]} {pid}"] if done.kind in steps else self.fake.said(done.mark)
        )

    def tells(self, kind: EffectKind) -> bool:
        return True
