"""A WeChat official account: a fake one behind a wire for its comments; encrypted messages are pushed to us."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Connector, Request
from monitor.testing import connector_suite as suite
from monitor.testing._fake_wechat_wire import encrypt, message_xml, sealed_xml, sign
from monitor.testing.fake_wechat import FakeWeChat
from monitor.testing.faulty_wire import FaultyWire

MEMBER, AES = "oABC-test_openid", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
WATCHED, OTHER = (12003, 2), (12004, 0)
STEPS: Final = {
    EffectKind.REPLY: "reply/add",
    EffectKind.NOTICE: "reply/add",
    EffectKind.REMOVE: "delete",
    EffectKind.HIDE: "unmarkelect",
    EffectKind.RESTORE: "markelect",
}


class Rig(suite.Rig):
    type = "wechat"
    listens = pushes = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeWeChat(AES)
        self.fake.articles[WATCHED] = {}
        await self.fake.start()
        self.wire = FaultyWire(self.fake.port)
        await self.wire.start()

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert self.wire is not None
        return {
            "appid": self.fake.appid,
            "app_secret": self.fake.secret,
            "token": self.fake.token,
            "aes_secret": AES,
            "articles": ["12003_3"],
            "find_articles": False,
            "poll_seconds": 0.02,
            "slow_seconds": 0.02,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
            "api_url": f"http://127.0.0.1:{self.wire.port}",
        }

    async def ready(self, connector: Connector) -> None:
        asked = self.fake.calls["comment/list"]
        await self.desk.until(lambda: self.fake.calls["comment/list"] > asked)

    async def say(self, text: str) -> None:
        self.fake.comment(WATCHED, text, MEMBER)

    async def repeat(self) -> None:
        asked = self.fake.calls["comment/list"]  # every look shows everything again
        await self.desk.until(lambda: self.fake.calls["comment/list"] > asked + 4)

    async def garble(self) -> bool:
        self.fake.comment(WATCHED, {"半截": "天机"}, MEMBER)
        return True

    def natives(self) -> Collection[str]:
        return [MEMBER, AES, self.fake.secret, self.fake.token, "ACCESS_0"]

    def pushed(self, body: bytes | None = None) -> Request:
        fields = {"FromUserName": MEMBER, "CreateTime": 1767225600, "MsgType": "text", "Content": "停水"}
        xml = message_xml({**fields, "MsgId": 24681012141618202}).encode() if body is None else body
        sealed = encrypt(xml, AES, self.fake.appid, b"0123456789abcdef")
        query = {"timestamp": "1767225601", "nonce": "nonce123", "encrypt_type": "aes"}
        query["msg_signature"] = sign(self.fake.token, "1767225601", "nonce123", sealed)
        envelope = sealed_xml(self.fake.account, sealed).encode()
        return Request("POST", f"/wechat/{self.channel}", {}, query, envelope)

    def proofs(self) -> Collection[str]:
        return ["msg_signature", "timestamp", "nonce"]

    def forged(self, body: bytes) -> Collection[bytes]:
        return (body.replace(b"]]></Encrypt>", b"AAAA]]></Encrypt>"), body[1:], body[:-1], b"", b"{}")

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        comment = self.fake.comment(
            OTHER, f"要处理的 {number}", MEMBER, elected=kind is not EffectKind.RESTORE
        )
        return suite.effect(kind, self.channel, number, handle=f"c:12004:0:{comment.number}"), None

    def happened(self, done: Effect) -> int:
        return self.fake.done[f"{STEPS[done.kind]} {(done.handle or '').removeprefix('c:')}"]

    def tells(self, kind: EffectKind) -> bool:
        return kind is not EffectKind.MUTE
