"""An Artalk server: a fake one behind a wire, read and moderated as its administrator."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector
from monitor.testing import connector_suite as suite
from monitor.testing.fake_artalk import FakeArtalk
from monitor.testing.faulty_wire import FaultyWire

MEMBER = "三食堂的小周"
STEPS: Final = {EffectKind.HIDE: "hide", EffectKind.RESTORE: "show"}


class Rig(suite.Rig):
    type = "artalk"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeArtalk()
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "url": f"http://127.0.0.1:{self.wire.port}",
            "site": self.fake.site,
            "email": self.fake.email,
            "password": self.fake.password,
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
        return [MEMBER, self.fake.password, self.fake.token, self.fake.email, "0" * 64]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        made = self.fake.comment(
            f"要处理的 {number}", page="/p/2.html", nick=MEMBER, pending=kind is EffectKind.RESTORE
        )
        return suite.effect(kind, self.channel, number, thread="/p/2.html", handle=str(made.number)), None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return self.fake.done[f"say {done.handle}"]
        return self.fake.done[f"{STEPS[done.kind]} {done.handle}"]

    def tells(self, kind: EffectKind) -> bool:
        return kind is not EffectKind.MUTE
