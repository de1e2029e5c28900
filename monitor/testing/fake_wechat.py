"""A fake WeChat that speaks the interface of official accounts: stable token, customer messages, comments, pushes.

For tests and for authors of connectors: it judges as WeChat does (windows of 48 hours and five messages, one reply
per comment, fewer than 50 rows a page, answers with HTTP 200 and a code inside) and has the faults of a real one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from monitor.testing._fake_wechat_wire import encrypt, message_xml, sealed_xml, sign

__all__ = ["FakeComment", "FakeWeChat", "Faults", "Sent"]

WINDOW = 48 * 3600
MOST_MESSAGES = 5
LONGEST_REPLY = 600
Body = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    ``codes`` are given, per operation, instead of carrying it out; ``drop_before`` and ``drop_after`` cut the
    connection before or after an operation is carried out; ``pages`` answers with a page of a proxy, ``statuses``
    with an HTTP status, ``raw`` with these very bytes. ``expire_after`` ends the access token after so many calls.
    ``repeat_page`` gives the last page for ever; ``zero_total`` and ``no_openid`` concern the comment list.
    """

    codes: dict[str, deque[int]] = field(default_factory=dict)
    drop_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, deque[int]] = field(default_factory=dict)
    raw: dict[str, deque[bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    expire_after: int = 0
    repeat_page: bool = False
    zero_total: bool = False
    no_openid: bool = False

    def give(self, operation: str, *codes: int) -> None:
        """Let the next calls of ``operation`` fail with ``codes``."""
        self.codes.setdefault(operation, deque()).extend(codes)


@dataclass(slots=True)
class FakeComment:
    """One comment under an article."""

    number: int
    content: Any
    openid: str = ""
    elected: bool = False
    created: int = 1_767_225_660
    reply: str = ""

    def row(self, with_openid: bool) -> Body:
        row: Body = {
            "user_comment_id": self.number,
            "create_time": self.created,
            "content": self.content,
            "comment_type": int(self.elected),
        }
        if self.openid and with_openid:
            row["openid"] = self.openid
        if self.reply:
            row["reply"] = {"content": self.reply, "create_time": self.created + 60}
        return row


@dataclass(frozen=True, slots=True)
class Sent:
    """A customer-service message that arrived; ``raw`` is the request as it came."""

    openid: str
    text: str
    raw: bytes


class FakeWeChat:
    """One official account.

    Args:
        aes_key: EncodingAESKey; empty speaks in plain mode.
        compatible: send the readable twin beside the encrypted message.
    """

    def __init__(self, aes_key: str = "", *, compatible: bool = False) -> None:
        self.appid = "wx0123456789abcdef"
        self.secret = "fake-app-secret-0123456789abcdef"  # noqa: S105 - invented
        self.token = "huiyinToken2026"  # noqa: S105 - invented
        self.account = "gh_0a1b2c3d4e5f"
        self.aes_key = aes_key
        self.compatible = compatible
        self.faults = Faults()
        self.port = 0
        self.verified = True
        self.allowed_address = True
        self.sent: list[Sent] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, bytes]] = []
        self.force_refreshes = 0
        self.done: Counter[str] = Counter()
        self.articles: dict[tuple[int, int], dict[int, FakeComment]] = {}
        self.read_on: dict[str, list[str]] = {}
        self._windows: dict[str, tuple[float, int]] = {}
        self._access = "ACCESS_0"
        self._uses = 0
        self._message_ids = 24_681_012_141_618_200
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Address of the interface."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeWeChat:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the interface on a free port, or on the former one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        self._client = aiohttp.ClientSession()

    async def stop(self) -> None:
        """Close everything."""
        if self._client is not None:
            await self._client.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what a test prepares ------------------------------------------------------------------------

    def expire(self) -> None:
        """End the access token."""
        self._access = f"ACCESS_{int(self._access.partition('_')[2]) + 1}"
        self._uses = 0

    def comment(self, article: tuple[int, int], content: Any, openid: str = "", **fields: Any) -> FakeComment:
        """Put a comment under an article (msg_data_id, index from 0)."""
        rows = self.articles.setdefault(article, {})
        number = max(rows, default=0) + 1
        rows[number] = FakeComment(number, content, openid, **fields)
        return rows[number]

    def open_window(self, openid: str, ago: float = 0.0) -> None:
        """Let a member have written ``ago`` seconds ago."""
        self._windows[openid] = (time.time() - ago, 0)

    # --- pushes --------------------------------------------------------------------------------------

    def text(self, openid: str, content: str, **fields: Any) -> Body:
        """Return the fields of a text message that is new."""
        self._message_ids += 2
        return {
            "ToUserName": self.account,
            "FromUserName": openid,
            "CreateTime": int(time.time()),
            "MsgType": "text",
            "Content": content,
            "MsgId": self._message_ids,
            **fields,
        }

    def wrap(self, xml: str | bytes, **change: str) -> tuple[dict[str, str], bytes]:
        """Return the query and the body with which ``xml`` is pushed; ``change`` replaces parts of the query."""
        body = xml if isinstance(xml, bytes) else xml.encode()
        stamp, nonce = change.pop("timestamp", str(int(time.time()))), "nonce123"
        query = {"signature": sign(self.token, stamp, nonce), "timestamp": stamp, "nonce": nonce}
        if self.aes_key:
            sealed = encrypt(body, self.aes_key, self.appid)
            query |= {"encrypt_type": "aes", "msg_signature": sign(self.token, stamp, nonce, sealed)}
            twin = body.decode("utf-8", "replace") if self.compatible else ""
            body = sealed_xml(self.account, sealed, twin).encode()
        return {**query, **change}, body

    async def push(
        self, url: str, fields: Mapping[str, object], seconds: float = 5.0
    ) -> tuple[int, str, int]:
        """Push a message as WeChat does, three times at most; returns status, body and how often it was pushed."""
        openid = str(fields.get("FromUserName", ""))
        if openid and fields.get("MsgType") != "event":
            self.open_window(openid)
        for turn in (1, 2, 3):
            query, body = self.wrap(message_xml(fields))
            try:
                status, text = await self.post(url, query | {"openid": openid}, body, seconds)
            except (TimeoutError, aiohttp.ClientError):
                continue
            if status == 200 and text in ("", "success"):
                return status, text, turn
        return 0, "", 3

    async def post(
        self, url: str, query: Mapping[str, str], body: bytes, seconds: float = 5.0
    ) -> tuple[int, str]:
        """Post one push and return status and body."""
        assert self._client is not None
        timeout = aiohttp.ClientTimeout(total=seconds)
        headers = {"Content-Type": "text/xml"}
        async with self._client.post(
            url, params=query, data=body, headers=headers, timeout=timeout
        ) as response:
            return response.status, await response.text()

    async def verify(self, url: str, token: str = "", echo: str = "5837397576500011341") -> tuple[int, str]:
        """Verify the server address with GET and return status and body."""
        assert self._client is not None
        stamp, nonce = str(int(time.time())), "nonce456"
        signature = sign(token or self.token, stamp, nonce)
        query = {"signature": signature, "timestamp": stamp, "nonce": nonce, "echostr": echo}
        async with self._client.get(url, params=query) as response:
            return response.status, await response.text()

    # --- the interface -------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        operation = request.path.removeprefix("/cgi-bin/").removeprefix("/datacube/").lstrip("/")
        self.calls[operation] += 1
        raw = await request.read()
        self.requests.append((request.path, raw))
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        if self._take(self.faults.drop_before, operation):
            return self._cut(request)
        if (spoilt := self._spoilt(operation)) is not None:
            return spoilt
        answer = await self._judge(operation, request, raw)
        if self._take(self.faults.drop_after, operation):
            return self._cut(request)
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace")
        return web.Response(body=body, content_type="text/plain")

    def _take(self, counter: Counter[str], operation: str) -> bool:
        counter[operation] -= 1
        return counter[operation] >= 0

    def _cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _spoilt(self, operation: str) -> web.Response | None:
        if self._take(self.faults.pages, operation):
            return web.Response(text="<html><body>登录上网</body></html>", content_type="text/html")
        if statuses := self.faults.statuses.get(operation):
            return web.Response(
                status=statuses.popleft(), headers=self.faults.headers, text='{"errcode":0,"errmsg":"busy"}'
            )
        if raw := self.faults.raw.get(operation):
            return web.Response(body=raw.popleft(), content_type="application/json")
        return None

    async def _judge(self, operation: str, request: web.Request, raw: bytes) -> Body:
        if request.method != "POST":
            return _code(43002, "require POST method")
        try:
            body = json.loads(raw)
        except ValueError:
            return _code(47001, "data format error")
        if operation == "stable_token":
            return self._stable_token(body)
        if request.query.get("access_token") != self._access:
            return _code(42001, "access_token expired")
        self._uses += 1
        if self.faults.expire_after and self._uses >= self.faults.expire_after:
            self.faults.expire_after = 0
            self.expire()
        if codes := self.faults.codes.get(operation):
            return _code(codes.popleft(), "fault")
        if operation == "message/custom/send":
            return self._send(body, raw)
        if operation == "getarticlesummary":
            return {"list": [{"msgid": name} for name in self.read_on.get(body["begin_date"], [])]}
        return self._comment(operation.removeprefix("comment/"), body)

    def _stable_token(self, body: Body) -> Body:
        self.force_refreshes += body.get("force_refresh") is True
        if codes := self.faults.codes.get("stable_token"):
            return _code(codes.popleft(), "fault")
        if body.get("appid") != self.appid:
            return _code(40013, "invalid appid")
        if body.get("secret") != self.secret:
            return _code(40125, "invalid appsecret")
        if not self.allowed_address:
            return _code(40164, "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist")
        return {"access_token": self._access, "expires_in": 7200}

    def _send(self, body: Body, raw: bytes) -> Body:
        if not self.verified:
            return _code(48001, "api unauthorized")
        openid, text = body["touser"], body["text"]["content"]
        if len(text.encode()) > 2048:
            return _code(45002, "content size out of limit")
        since, count = self._windows.get(openid, (0.0, 0))
        if time.time() - since > WINDOW:
            return _code(45015, "response out of time limit or subscription is canceled")
        if count >= MOST_MESSAGES:
            return _code(45047, "out of response count limit")
        self._windows[openid] = (since, count + 1)
        self.sent.append(Sent(openid, text, raw))
        return _code(0, "ok")

    # --- comments ------------------------------------------------------------------------------------

    def _comment(self, step: str, body: Body) -> Body:
        if not self.verified:
            return _code(48001, "api unauthorized")
        rows = self.articles.get((body["msg_data_id"], body.get("index", 0)))
        if rows is None:
            return _code(88001, "article not exist")
        if step == "list":
            return self._list(rows, body)
        found = rows.get(body["user_comment_id"])
        steps: Mapping[str, Callable[[dict[int, FakeComment], FakeComment, Body], Body]] = {
            "markelect": self._elect,
            "unmarkelect": self._unelect,
            "delete": self._delete,
            "reply/add": self._reply,
            "reply/delete": self._unreply,
        }
        if found is None:
            return _code(88008, "comment not exist")
        answer = steps[step](rows, found, body)
        self.done[f"{step} {body['msg_data_id']}:{body['index']}:{found.number}"] += answer["errcode"] == 0
        return answer

    def _list(self, rows: dict[int, FakeComment], body: Body) -> Body:
        begin, count = body["begin"], body["count"]
        if not 0 < count < 50:
            return _code(88010, "count out of range")
        wanted = {1: False, 2: True}.get(body.get("type", 0))
        every = [row for row in rows.values() if wanted is None or row.elected is wanted]
        if self.faults.repeat_page and begin >= len(every):
            begin = max(0, len(every) - count)
        page = [row.row(not self.faults.no_openid) for row in every[begin : begin + count]]
        return {**_code(0, "ok"), "total": 0 if self.faults.zero_total else len(every), "comment": page}

    def _elect(self, _rows: dict[int, FakeComment], found: FakeComment, _body: Body) -> Body:
        found.elected = True
        return _code(0, "ok")

    def _unelect(self, _rows: dict[int, FakeComment], found: FakeComment, _body: Body) -> Body:
        found.elected = False
        return _code(0, "ok")

    def _delete(self, rows: dict[int, FakeComment], found: FakeComment, _body: Body) -> Body:
        del rows[found.number]
        return _code(0, "ok")

    def _reply(self, _rows: dict[int, FakeComment], found: FakeComment, body: Body) -> Body:
        if found.reply:
            return _code(88005, "already reply")
        if not 0 < len(body["content"]) <= LONGEST_REPLY:
            return _code(88007, "reply content is empty or too long")
        found.reply = body["content"]
        return _code(0, "ok")

    def _unreply(self, _rows: dict[int, FakeComment], found: FakeComment, _body: Body) -> Body:
        if not found.reply:
            return _code(88009, "reply not exist")
        found.reply = ""
        return _code(0, "ok")


def _code(number: int, words: str) -> Body:
    return {"errcode": number, "errmsg": words}
