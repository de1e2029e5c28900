"""QQ groups: a fake QQ program behind a wire, reached by WebSocket; signed HTTP posts come the other way."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from connectors._signing import sha1_signature
from connectors.onebot import OneBot
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector, Request
from monitor.testing import connector_suite as suite
from monitor.testing.fake_qq import FakeQQ
from monitor.testing.faulty_wire import FaultyWire

GROUP, MEMBER = 700001, 20002000
TOKEN, SECRET = "a-long-token", "s3cret-of-posts"


class Rig(suite.Rig):
    type = "onebot"
    listens = pushes = networked = True
    overlap = 20  # the last two minutes are read again, and the unique key drops what is known
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeQQ("napcat", TOKEN, secret=SECRET)
        self.fake.join(GROUP, MEMBER, "小周")
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "groups": [GROUP],
            "token": TOKEN,
            "secret": SECRET,
            "url": f"ws://127.0.0.1:{self.wire.port}/",
            "history_pause": 0.0,
            "call_seconds": 1.0,
            "silence_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def ready(self, connector: Connector) -> None:
        assert isinstance(connector, OneBot)
        await self.desk.until(connector._talks.links)

    async def say(self, text: str) -> None:
        await self.fake.say(GROUP, MEMBER, text)

    async def repeat(self) -> None:
        for message in list(self.fake.memory.groups[GROUP].messages.values()):
            await self.fake.emit(self.fake._event(message))

    async def garble(self) -> bool:
        await self.fake.raw('{"post_type":"message","message":"半截天机')
        return True

    def natives(self) -> Collection[str]:
        return [str(MEMBER), TOKEN, SECRET]

    def pushed(self, body: bytes | None = None) -> Request:
        event = {
            "time": 1767225600, "self_id": 10001000, "post_type": "message", "message_type": "group",
            "sub_type": "normal", "message_id": 42, "group_id": GROUP, "user_id": MEMBER, "anonymous": None,
            "message": "食堂几点开门", "raw_message": "食堂几点开门", "sender": {"user_id": MEMBER},
        }  # fmt: skip
        body = json.dumps(event).encode() if body is None else body
        headers = {"X-Signature": sha1_signature(SECRET, body), "X-Self-ID": "10001000"}
        return Request("POST", f"/onebot/v11/{self.channel}", headers, {}, body)

    def proofs(self) -> Collection[str]:
        return ["X-Signature"]

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        handle = await self.fake.say(GROUP, MEMBER, f"要处理的 {number}")
        made = suite.effect(kind, self.channel, number, thread=str(GROUP), handle=str(handle))
        return made, str(MEMBER) if kind is EffectKind.MUTE else None

    def happened(self, done: Effect) -> int:
        if done.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return self.fake.sent(done.mark)
        if done.kind is EffectKind.REMOVE:
            return sum(d.action == "delete_msg" and str(d.message_id) == done.handle for d in self.fake.done)
        return sum(d.action == "set_group_ban" for d in self.fake.done)
