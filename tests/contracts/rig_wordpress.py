"""A WordPress site: a fake one behind a wire, read and moderated over its REST interface."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_wordpress import FakeWordPress
from monitor.testing.faulty_wire import FaultyWire

MEMBER = "三食堂的小周"
STEPS: Final = {EffectKind.REMOVE: "delete", EffectKind.HIDE: "hold", EffectKind.RESTORE: "approved"}


class Rig(suite.Rig):
    type = "wordpress"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeWordPress()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "user": self.fake.user,
            "app_password": self.fake.password,
            "poll_seconds": 0.02,
            "rescan_seconds": 0.1,
            "call_seconds": 0.5,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls["list"]
        await self.desk.until(lambda: self.fake.calls["list"] > asked)

    async def say(self, text: str) -> None:
        self.fake.comment(text, name=MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls["list"]  # every look shows everything again
        await self.desk.until(lambda: self.fake.calls["list"] > asked + 4)

    async def garble(self) -> bool:
        self.fake.comment({"半截": "天机"}, name=MEMBER)
        return True

    def natives(self) -> Collection[str]:
        return [MEMBER, self.fake.password, self.fake.password.replace(" ", "")]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        status = "hold" if kind is EffectKind.RESTORE else "approved"
        comment = self.fake.comment(f"要处理的 {number}", page=8, name=MEMBER, status=status)
        return suite.effect(kind, self.channel, number, thread="8", handle=str(comment.number)), None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return self.fake.done[f"say {done.handle}"]
        return self.fake.done[f"{STEPS[done.kind]} {done.handle}"]

    def tells(self, kind: EffectKind) -> bool:
        return kind is not EffectKind.MUTE
