"""The webhook channel: a program that signs with the official library and pushes over a real socket."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import aiohttp
from standardwebhooks import Webhook as Signer

from connectors._signing import webhook_key, webhook_signature
from monitor.core.ports import Request
from monitor.testing import connector_suite as suite

KEY = "whsec_aHVpeWluLXN0YW5kYXJkLXdlYmhvb2tzLTMyYnl0ZXM="
AUTHOR = "20002000"


class Rig(suite.Rig):
    type = "webhook"
    listens = pushes = True
    keeps = False

    async def start(self) -> None:
        self._said: list[dict[str, Any]] = []

    def settings(self) -> dict[str, Any]:
        return {"secrets": [KEY]}

    async def _send(self, body: bytes) -> int:
        now = datetime.now(UTC)
        headers = {
            "webhook-id": f"msg_{len(self._said)}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Signer(KEY).sign(f"msg_{len(self._said)}", now, body.decode()),
        }
        url = f"http://127.0.0.1:{self.desk.port}/v1/channels/{self.channel}/posts"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            return answer.status

    async def say(self, text: str) -> None:
        self._said.append({"id": f"p{len(self._said)}", "text": text, "author": AUTHOR})
        assert await self._send(json.dumps(self._said[-1]).encode()) == 202

    async def repeat(self) -> None:
        assert await self._send(json.dumps(self._said).encode()) == 202

    async def garble(self) -> bool:
        assert await self._send('{"id": "p", "text": "天机'.encode()) == 400
        return True

    def natives(self) -> Collection[str]:
        return [AUTHOR, KEY]

    def pushed(self, body: bytes | None = None) -> Request:
        body = json.dumps({"id": "p", "text": "停水"}).encode() if body is None else body
        stamp = str(int(datetime.now(UTC).timestamp()))
        signature = webhook_signature(webhook_key(KEY), "msg_1", stamp, body)
        headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature}
        return Request("POST", f"/v1/channels/{self.channel}/posts", headers, {}, body)

    def proofs(self) -> Collection[str]:
        return ["webhook-id", "webhook-timestamp", "webhook-signature"]
