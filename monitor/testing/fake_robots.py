"""Fake robots of WeCom, DingTalk and Feishu, and a receiver of signed webhooks, that judge as the real ones do.

They answer HTTP 200 to refusals too, check signatures and their time, count bytes, and are strict about their pace.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

HOUR: Final = 3_600.0
SECRET: Final = "SEC-of-the-robot"  # noqa: S105


class FakeRobots:
    """One server with a path per maker.

    Attributes:
        said: (maker, text) of what was taken.
        pushed: (webhook-id, body) of what the webhook took, each id once.
        codes: per maker, codes to answer instead of taking the message.
        statuses: per maker, statuses of HTTP to answer instead.
        lose: per maker, how many messages are taken and then break off without an answer.
        last: body and headers of the newest push to the webhook.
        keyword: word that DingTalk and Feishu want in each message.
    """

    def __init__(self, secret: str = SECRET, webhook_key: bytes = b"k" * 32) -> None:
        self.secret, self.webhook_key = secret, webhook_key
        self.said: list[tuple[str, str]] = []
        self.pushed: list[tuple[str, dict[str, Any]]] = []
        self.tries: dict[str, int] = {}
        self.codes: dict[str, deque[int]] = {}
        self.statuses: dict[str, deque[int]] = {}
        self.lose: dict[str, int] = {}
        self.keyword = ""
        self.last: tuple[bytes, dict[str, str]] = (b"", {})
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on 127.0.0.1."""
        app = web.Application()
        app.router.add_post("/cgi-bin/webhook/send", self._wecom)
        app.router.add_post("/robot/send", self._dingtalk)
        app.router.add_post("/open-apis/bot/v2/hook/{id}", self._feishu)
        app.router.add_post("/hook", self._webhook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()

    def url(self, maker: str) -> str:
        """Return the address of a maker's robot, as its console would show it."""
        paths = {
            "wecom": "/cgi-bin/webhook/send?key=K-of-the-robot",
            "dingtalk": "/robot/send?access_token=T-of-the-robot",
            "feishu": "/open-apis/bot/v2/hook/H-of-the-robot",
            "webhook": "/hook",
        }
        return f"http://127.0.0.1:{self.port}{paths[maker]}"

    async def _answer(
        self, maker: str, request: web.Request, code: int, good: Callable[[int], dict[str, Any]], text: str
    ) -> web.Response:
        self.tries[maker] = self.tries.get(maker, 0) + 1
        if self.statuses.get(maker):
            return web.Response(
                status=self.statuses[maker].popleft(),
                headers={"Retry-After": "7", "Location": request.path_qs},
            )
        if self.codes.get(maker):
            code = self.codes[maker].popleft()
        if code == 0:
            self.said.append((maker, text))
        if self.lose.get(maker, 0) > 0:
            self.lose[maker] -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(good(code))

    async def _wecom(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body["text"]["content"] if body.get("msgtype") == "text" else ""
        code = 0 if request.query.get("key") == "K-of-the-robot" else 93000
        code = code or (40058 if len(text.encode()) > 2048 or not text else 0)
        return await self._answer("wecom", request, code, lambda n: {"errcode": n, "errmsg": "x"}, text)

    async def _dingtalk(self, request: web.Request) -> web.Response:
        body, query = await request.json(), request.query
        text = body["text"]["content"] if body.get("msgtype") == "text" else ""
        stamp = query.get("timestamp", "")
        wanted = hmac.new(self.secret.encode(), f"{stamp}\n{self.secret}".encode(), hashlib.sha256).digest()
        right = stamp.isdigit() and abs(time.time() - int(stamp) / 1000) < HOUR
        right = right and query.get("sign") == base64.b64encode(wanted).decode() and self.keyword in text
        code = 0 if query.get("access_token") == "T-of-the-robot" else 300001
        code = code or (0 if right and len(text.encode()) <= 20_000 else 310000)
        return await self._answer("dingtalk", request, code, lambda n: {"errcode": n, "errmsg": "x"}, text)

    async def _feishu(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body["content"]["text"] if body.get("msg_type") == "text" else ""
        stamp = str(body.get("timestamp", ""))
        wanted = hmac.new(f"{stamp}\n{self.secret}".encode(), b"", hashlib.sha256).digest()
        right = stamp.isdigit() and abs(time.time() - int(stamp)) < HOUR
        code = 0 if right and body.get("sign") == base64.b64encode(wanted).decode() else 19021
        code = code or (0 if self.keyword in text else 19024)
        return await self._answer("feishu", request, code, lambda n: {"code": n, "msg": "x"}, text)

    async def _webhook(self, request: web.Request) -> web.Response:
        raw, given = await request.read(), request.headers
        self.last = raw, dict(given)
        signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + raw
        wanted = (
            "v1," + base64.b64encode(hmac.new(self.webhook_key, signed, hashlib.sha256).digest()).decode()
        )
        recent = abs(time.time() - int(given["webhook-timestamp"])) < 300
        if wanted not in given["webhook-signature"].split(" ") or not recent:
            return web.Response(status=401)
        self.tries["webhook"] = self.tries.get("webhook", 0) + 1
        if self.statuses.get("webhook"):
            return web.Response(
                status=self.statuses["webhook"].popleft(),
                headers={"Retry-After": "7", "Location": request.path_qs},
            )
        if given["webhook-id"] not in [key for key, _body in self.pushed]:
            self.pushed.append((given["webhook-id"], json.loads(raw)))
        if self.lose.get("webhook", 0) > 0:
            self.lose["webhook"] -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=202)


__all__ = ["SECRET", "FakeRobots"]
