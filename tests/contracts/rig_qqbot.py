"""The QQ official bot before the contract: by the gateway here, and by signed pushes in its own test file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, ClassVar

from connectors.qqbot import connector
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import ChannelConfig, Connector, Request
from monitor.testing import connector_suite as suite
from monitor.testing.connector_suite import effect
from monitor.testing.fake_qqbot import FakeQQBot
from monitor.testing.faulty_wire import FaultyWire

GROUP, MEMBER = "0F3C" + "0" * 28, "7D21" + "0" * 28


class Base(suite.Rig):
    """What both ways have in common: the fake platform and the effects."""

    type = "qqbot"
    listens = True

    async def start(self) -> None:
        self.fake = FakeQQBot(secret="a-secret-of-the-bot", heartbeat=0.1)
        await self.fake.start()
        self.fake.group(GROUP)
        self.said: list[dict[str, Any]] = []
        self.targets: dict[int, str] = {}

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        port = self.wire.port if self.wire is not None else self.fake.port
        return {
            "app_id": self.fake.app_id,
            "secret": self.fake.secret,
            "groups": [GROUP],
            "api_url": f"http://127.0.0.1:{port}",
            "call_seconds": 0.6,
            "retry_seconds": 0.05,
        }

    def factory(self) -> Callable[[ChannelConfig], Connector]:
        return connector

    async def say(self, text: str) -> None:
        self.said.append(await self.fake.say(GROUP, MEMBER, text))

    async def repeat(self) -> None:
        for data in self.said:
            await self.fake.emit("GROUP_MESSAGE_CREATE", data)

    def natives(self) -> Collection[str]:
        return (MEMBER, self.fake.secret, "token-", "very-secret")

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        member = f"{number:032}"
        data = self.fake.message(GROUP, member, "广告")
        self.targets[number] = data["id"]
        second = int(datetime.fromisoformat(data["timestamp"]).timestamp())
        made = effect(kind, self.channel, number, thread=GROUP, handle=f"{data['id']}@{second}")
        return made, member if kind is EffectKind.MUTE else None

    def happened(self, done: Effect) -> int:
        if done.kind is EffectKind.REMOVE:
            return self.fake.group(GROUP).recalled.count(self.targets[done.id])
        if done.kind is EffectKind.MUTE:
            made = [body for name, _path, body in self.fake.bodies if name == "mute"]
            return sum(row["member_openid"] == f"{done.id:032}" for body in made for row in body["members"])
        return self.fake.said(done.mark)


class Rig(Base):
    """By the gateway, through a faulty wire; the bot was connected once before, so that the platform keeps."""

    networked = True

    async def start(self) -> None:
        await super().start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()
        self.fake.front = self.wire.port
        async with self.desk.at_work(self.make()):
            await self.desk.until(lambda: self.desk.cursor)

    async def garble(self) -> bool:
        await self.fake.raw('{"op":0,"s":9,"t":"GROUP_MESSAGE_CREATE","d":{"content":"读不懂的话"')
        return True

    async def ready(self, connector: Connector) -> None:
        await self.desk.until(lambda: connector._gateway.is_ready)  # type: ignore[attr-defined]


class WebhookRig(Base):
    """By signed pushes; the platform promises no second try."""

    keeps: ClassVar[bool] = False
    pushes: ClassVar[bool] = True

    async def start(self) -> None:
        await super().start()
        self.fake.hook(f"http://127.0.0.1:{self.desk.port}/qqbot/{self.channel}")

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"mode": "webhook"}

    async def garble(self) -> bool:
        await self.fake.push("{读不懂的话".encode())
        return True

    def pushed(self, body: bytes | None = None) -> Request:
        if body is None:
            data = self.fake.message(GROUP, MEMBER, "三食堂停水了", at=1767225600)
            event = {"op": 0, "t": "GROUP_MESSAGE_CREATE", "d": data | {"id": "ROBOT1.0_pushed"}}
            body = json.dumps(event, ensure_ascii=False).encode()
        path = f"/qqbot/{self.channel}"
        return dataclasses.replace(Request("POST", path, {}, {}, body), headers=self.fake.signed(body))

    def proofs(self) -> Collection[str]:
        return ("X-Signature-Ed25519", "X-Signature-Timestamp")
