"""A Waline server: a fake one behind a wire, read and moderated as its administrator."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_waline import FakeWaline
from monitor.testing.faulty_wire import FaultyWire

MEMBER = "三食堂的小周"
STEPS: Final = {EffectKind.REMOVE: "spam", EffectKind.HIDE: "waiting", EffectKind.RESTORE: "approved"}


class Rig(suite.Rig):
    type = "waline"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeWaline()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "email": self.fake.email,
            "password": self.fake.password,
            "site_url": "https://union.example.org/",
            "poll_seconds": 0.02,
            "rescan_seconds": 0.1,
            "call_seconds": 0.5,
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls["list"]
        await self.desk.until(lambda: self.fake.calls["list"] > asked)

    async def say(self, text: str) -> None:
        self.fake.comment(text, nick=MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls["list"]  # every look shows everything again
        await self.desk.until(lambda: self.fake.calls["list"] > asked + 4)

    async def garble(self) -> bool:
        self.fake.comment({"半截": "天机"}, nick=MEMBER)
        return True

    def natives(self) -> Collection[str]:
        return [MEMBER, self.fake.password, self.fake.token, self.fake.email, "xz@example.org", "203.0.113.9"]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        status = "waiting" if kind is EffectKind.RESTORE else "approved"
        made = self.fake.comment(f"要处理的 {number}", url="/p/2", nick=MEMBER, status=status)
        return suite.effect(kind, self.channel, number, thread="/p/2", handle=str(made.number)), None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return self.fake.done[f"say {done.handle}"]
        return self.fake.done[f"{STEPS[done.kind]} {done.handle}"]

    def tells(self, kind: EffectKind) -> bool:
        return kind is not EffectKind.MUTE
