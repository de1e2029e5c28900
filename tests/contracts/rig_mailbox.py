"""A letter box before the contract: a fake mail server behind two wires, one for reading and one for sending."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any

from monitor.core.model import Effect, EffectKind
from monitor.testing import connector_suite as suite
from monitor.testing.fake_mailbox import PASSWORD, USER, FakeMailbox
from monitor.testing.faulty_wire import Fault, FaultyWire

MEMBER = "zhang.wei@example.edu.cn"


def letter(text: str, number: str, *, sender: str = MEMBER, **headers: str) -> bytes:
    """Return a letter as a mail program writes it; its subject marks an answer, so that only the words are new."""
    given = {
        "From": f"=?utf-8?b?{base64.b64encode('张伟'.encode()).decode()}?= <{sender}>",
        "To": USER,
        "Subject": "Re: =?gb2312?B?vajS6Q==?=",
        "Date": "Wed, 25 Nov 2026 09:30:00 +0800",
        "Message-ID": f"<{number}@example.edu.cn>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=gb2312",
        "Content-Transfer-Encoding": "base64",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    body = base64.encodebytes(text.encode("gb18030")).replace(b"\n", b"\r\n")
    return "".join(f"{name}: {value}\r\n" for name, value in given.items()).encode() + b"\r\n" + body


class TwoWires(FaultyWire):
    """The wire to IMAP, with the one to SMTP beside it: what is wrong is wrong with both."""

    def __init__(self, imap: int, smtp: int) -> None:
        super().__init__(imap)
        self.smtp = FaultyWire(smtp)

    async def start(self) -> None:
        await super().start()
        if not self.smtp.port:
            await self.smtp.start()

    async def stop(self) -> None:
        await self.smtp.stop()
        await super().stop()

    async def become(self, fault: Fault) -> None:
        await self.smtp.become(fault)
        await super().become(fault)


class Rig(suite.Rig):
    type = "mailbox"
    listens = networked = True
    patience = 8.0

    async def start(self) -> None:
        self.fake = FakeMailbox()
        await self.fake.start()
        self.wire = TwoWires(self.fake.imap_port, self.fake.smtp_port)
        await self.wire.start()
        self.said = 0

    async def stop(self) -> None:
        await self.fake.stop()

    def settings(self) -> dict[str, Any]:
        assert isinstance(self.wire, TwoWires)
        return {
            "host": "127.0.0.1",
            "port": self.wire.port,
            "security": "none",
            "user": USER,
            "password": PASSWORD,
            "smtp_host": "127.0.0.1",
            "smtp_port": self.wire.smtp.port,
            "smtp_security": "none",
            "poll_seconds": 0.02,
            "call_seconds": 0.5,
            "retry_seconds": 0.05,
        }

    async def say(self, text: str) -> None:
        self.said += 1
        self.fake.inbox.put(letter(text, f"said-{self.said}"))

    async def repeat(self) -> None:
        self.fake.inbox.rebuild()

    async def garble(self) -> bool:
        self.fake.inbox.put("没有头的天机\r\n".encode("gb18030"))
        return True

    def natives(self) -> Collection[str]:
        return (MEMBER, "zhang.wei", "张伟", PASSWORD, "user@secret")

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        self.said += 1
        inbox = self.fake.inbox
        put = inbox.put(letter(f"要答复的 {number}", f"asked-{number}-{self.said}"))
        return suite.effect(
            kind, self.channel, number, handle=f"{inbox.validity}.{put.uid}.{self._key(put.data)}"
        ), None

    @staticmethod
    def _key(data: bytes) -> str:
        from connectors._mailbox_letter import head_of, parsed

        return head_of(parsed(data), USER).key

    def happened(self, done: Effect) -> int:
        texts = [str(one.get_payload(decode=True), "utf-8") for one in self.fake.answers()]  # type: ignore[arg-type]
        return sum(done.mark in text for text in texts)
