"""A fake of QQ's platform for official bots: tokens, gateway, signed pushes, messages, recall, mute, quotas, codes.

It speaks the wire protocol of the bot API v2 of autumn 2026 over real sockets on 127.0.0.1, with the faults that the
platform has shown. For tests and for authors of connectors.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["APP_KEY", "FakeQQBot", "Faults", "Group", "Sent", "Session"]

Frame = dict[str, Any]
APP_KEY: Final = "naOC0ocQE3shWLAfffVLB1rhYPG7"
"""The example of the platform's own pages; a test may choose another."""
_ZONE: Final = ZoneInfo("Asia/Shanghai")
_ME: Final = {"id": "11", "username": "工会", "avatar": "http://127.0.0.1/avatar", "union_openid": ""}


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    The counters say, per call (``token``, ``me``, ``gateway``, ``websocket``, ``send``, ``recall``, ``mute``, ``bot_state``),
    how often it happens. ``drop_before``/``silent_before``: the request is lost with the connection, or never answered.
    ``drop_after``/``silent_after``: the same after it was carried out. ``code`` refuses a call with (HTTP status,
    code), beginning with the call of number ``first`` where one is set; ``page`` answers with a page of a proxy; ``huge`` with 50 MiB; ``status`` with a bare HTTP status.
    ``mute`` holds back every frame of the gateway without closing; ``no_ready`` never begins a session.
    """

    drop_before: Counter[str] = field(default_factory=Counter)
    silent_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    silent_after: Counter[str] = field(default_factory=Counter)
    code: dict[str, tuple[int, int]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    code_once: dict[str, tuple[int, int]] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    page: set[str] = field(default_factory=set)
    huge: set[str] = field(default_factory=set)
    retry_after: str | None = None
    mute: bool = False
    no_ready: bool = False
    number_expires: bool = False
    token_code: int = 0


def _written(event: Frame) -> str:
    """Return JSON as the platform writes it: characters as they are, half a surrogate pair as its escape."""
    text = json.dumps(event, ensure_ascii=False)
    return text if text.encode("utf-8", "replace").decode() == text else json.dumps(event)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer typed as the platform types it: without a charset, or its own library reads plain text."""
    body = json.dumps(value).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


@dataclass(slots=True)
class Group:
    """One group: the bot's role there, what the owner allows, who said what when."""

    role: str | None = "admin"
    may_speak: bool = True
    hears: str = "all"
    messages: dict[str, tuple[str, float]] = field(default_factory=dict)
    recalled: list[str] = field(default_factory=list)
    muted: dict[str, str] = field(default_factory=dict)
    spoken: deque[float] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of the bot that stands in a group."""

    group: str
    text: str
    message_id: str
    msg_id: str | None
    msg_seq: int | None


@dataclass(slots=True)
class Session:
    """One session of the gateway: what it dispatched, and the socket it speaks over."""

    name: str
    seq: int = 0
    log: list[tuple[int, str]] = field(default_factory=list)
    ws: web.WebSocketResponse | None = None
    is_valid: bool = True


class _Refused(Exception):
    def __init__(self, status: int, code: int) -> None:
        super().__init__(str(code))
        self.status, self.code = status, code


class FakeQQBot:
    """One bot at the platform.

    Args:
        app_id: its id.
        secret: its secret, for tokens and for signing pushes.
        heartbeat: seconds between two heartbeats that the gateway asks for.
        life: seconds that a new token lives.
        per_minute: messages without a question that the platform takes in a minute.
    """

    def __init__(
        self,
        app_id: str = "102000001",
        secret: str = APP_KEY,
        *,
        heartbeat: float = 45.0,
        life: int = 7200,
        per_minute: int = 60,
    ) -> None:
        self.app_id, self.secret = app_id, secret
        self.life = life
        self.per_minute = per_minute
        self.faults = Faults()
        self.groups: dict[str, Group] = {}
        self.sent: list[Sent] = []
        self.calls: Counter[str] = Counter()
        self.kept_open: Counter[str] = Counter()
        """Calls whose connection the caller wants to use again."""
        self.bodies: list[tuple[str, str, Any]] = []
        self.frames: list[Frame] = []
        self.sessions: dict[str, Session] = {}
        self.statuses: list[int] = []
        self.remaining = 1000
        self.clock_ahead = 0.0
        self.connected = asyncio.Event()
        self.port = 0
        self.front = 0
        """Port of the gateway that is told, where something stands before it; 0 is our own."""
        self._heartbeat = heartbeat
        self._tokens: dict[str, float] = {}
        self._token = ""
        self._used: set[tuple[str, int]] = set()
        self._count = 0
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._hook = ""

    # --- life ----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base address of the API."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Open the API and the gateway on 127.0.0.1."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        add = app.router.add_route
        add("POST", "/app/getAppAccessToken", self._give_token)
        add("GET", "/users/@me", self._call("me", self._do_me))
        add("GET", "/gateway/bot", self._call("gateway", self._do_gateway))
        add("GET", "/websocket", self._gateway)
        add("POST", "/v2/groups/{group}/messages", self._call("send", self._do_send))
        add("DELETE", "/v2/groups/{group}/messages/{message}", self._call("recall", self._do_recall))
        add("POST", "/v2/groups/{group}/restrict_chat_setting", self._call("mute", self._do_mute))
        add("GET", "/v2/groups/{group}/restrict_chat_setting", self._call("muted", self._do_muted))
        add("GET", "/v2/groups/{group}/bot_state", self._call("bot_state", self._do_bot_state))
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port or self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything; sessions and messages stay for another start."""
        await self.drop()
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> FakeQQBot:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def group(self, name: str) -> Group:
        """Return a group, made when it is new."""
        return self.groups.setdefault(name, Group())

    def said(self, words: str) -> int:
        """Return how many messages of the bot hold ``words``: exactly-once tests want at most 1."""
        return sum(words in one.text for one in self.sent)

    def now(self) -> float:
        """Return the platform's present moment."""
        return time.time() + self.clock_ahead

    def _stamp(self, at: float) -> str:
        return datetime.fromtimestamp(at, _ZONE).isoformat(timespec="seconds")

    def _next(self) -> int:
        self._count += 1
        return self._count

    # --- what people in the groups do ----------------------------------------------------------------

    def message(self, group: str, member: str, text: str, **fields: Any) -> Frame:
        """Return the ``d`` of a new message of a group, as the platform writes it."""
        number = self._next()
        home, at = self.group(group), fields.pop("at", self.now())
        data: Frame = {
            "id": f"ROBOT1.0_{number:06}/Zk3+=",
            "group_openid": group,
            "content": text,
            "timestamp": self._stamp(at),
            "message_type": 0,
            "author": {
                "id": member,
                "member_openid": member,
                "member_role": "member",
                "username": "小周",
                "bot": False,
                "union_openid": "",
            },
            "message_scene": {
                "source": "default",
                "ext": [f"msg_idx=REFIDX_{number}==", "auth_token=very-secret"],
            },
        }
        home.messages[data["id"]] = (member, at)
        return data | fields

    async def say(self, group: str, member: str, text: str, **fields: Any) -> Frame:
        """Let a member say something; the bot hears it as the owner allows. Returns its ``d``."""
        data = self.message(group, member, text, **fields)
        if self.group(group).hears == "all":
            await self.emit("GROUP_MESSAGE_CREATE", data)
        elif text.startswith("@"):
            spoken = data | {"content": " " + text.partition(" ")[2]}
            await self.emit("GROUP_AT_MESSAGE_CREATE", spoken)
        return data

    async def news(self, kind: str, group: str) -> None:
        """Tell that the bot was added, put out, allowed or forbidden to speak."""
        data = {"group_openid": group, "op_member_openid": "A" * 32, "timestamp": int(self.now())}
        await self.emit(kind, data)

    async def emit(self, kind: str, data: Any) -> None:
        """Dispatch an event to every session, heard or not, and push it to the webhook."""
        event = {"id": f"{kind}:{self._next()}", "op": 0, "t": kind, "d": data}
        for session in [one for one in self.sessions.values() if one.is_valid]:
            session.seq += 1
            text = _written(event | {"s": session.seq})
            session.log.append((session.seq, text))
            await self._tell(session.ws, text)
        if self._hook:
            await self.push(_written(event | {"s": 0}).encode())

    async def raw(self, text: str) -> None:
        """Send a frame as it stands over every socket; it is not kept for a resumption."""
        for session in self.sessions.values():
            await self._tell(session.ws, text)

    async def _tell(self, ws: web.WebSocketResponse | None, text: str) -> None:
        if ws is None or ws.closed or self.faults.mute:
            return
        try:
            await ws.send_str(text)
        except (ConnectionError, RuntimeError):
            return

    # --- webhook -------------------------------------------------------------------------------------

    def hook(self, url: str) -> None:
        """Push every event to ``url`` as well."""
        self._hook = url

    def signed(self, body: bytes, stamp: str | None = None) -> dict[str, str]:
        """Return the headers of a push."""
        stamp = stamp or str(int(self.now()))
        seed = self.secret.encode()
        while len(seed) < 32:
            seed *= 2
        signature = Ed25519PrivateKey.from_private_bytes(seed[:32]).sign(stamp.encode() + body)
        return {
            "Content-Type": "application/json",
            "User-Agent": "QQBot-Callback",
            "X-Bot-Appid": self.app_id,
            "X-Signature-Ed25519": signature.hex(),
            "X-Signature-Timestamp": stamp,
            "X-Signature-Method": "Ed25519",
        }

    async def push(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Push a body; returns status and answer, and keeps the status."""
        if self._client is None:
            self._client = aiohttp.ClientSession()
        given = self.signed(body) if headers is None else headers
        async with self._client.post(self._hook, data=io.BytesIO(body), headers=given) as response:
            self.statuses.append(response.status)
            return response.status, await response.read()

    async def validate(self, url: str, plain_token: str, event_ts: str) -> tuple[int, bytes]:
        """Ask the question that is asked when an address is saved."""
        self._hook = url
        asked = {"d": {"plain_token": plain_token, "event_ts": event_ts}, "op": 13}
        return await self.push(json.dumps(asked).encode())

    # --- gateway -------------------------------------------------------------------------------------

    async def drop(self, code: int = 1012) -> None:
        """Close every socket of the gateway with ``code``."""
        for session in self.sessions.values():
            if session.ws is not None:
                await session.ws.close(code=code)
                session.ws = None
        self.connected.clear()

    def end_sessions(self) -> None:
        """Forget every session: a resumption gets "invalid session"."""
        for session in self.sessions.values():
            session.is_valid = False

    async def order(self, op: int) -> None:
        """Send an opcode alone, such as 7 (reconnect)."""
        await self.raw(json.dumps({"op": op}))

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        await self._lose(request, "websocket", self.faults.silent_before, self.faults.drop_before)
        ws = web.WebSocketResponse(timeout=0.2, max_msg_size=1024 * 1024)
        await ws.prepare(request)
        await self._tell(ws, json.dumps({"op": 10, "d": {"heartbeat_interval": int(self._heartbeat * 1000)}}))
        async for message in ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = json.loads(message.data)
            self.frames.append(frame)
            if frame["op"] == 1:
                await self._tell(ws, json.dumps({"op": 11}))
            elif frame["op"] in (2, 6):
                await self._begin(ws, frame)
        return ws

    async def _begin(self, ws: web.WebSocketResponse, frame: Frame) -> None:
        given = frame["d"]
        if not self._is_token(str(given.get("token"))):
            await ws.close(code=4004)
            return
        if self.faults.no_ready:
            return
        if frame["op"] == 2:
            await self._identify(ws)
            return
        session = self.sessions.get(str(given.get("session_id")))
        if session is None or not session.is_valid:
            await self._tell(ws, json.dumps({"op": 9, "d": False}))
            return
        told = int(given["seq"])
        while missed := [one for one in session.log if one[0] > told]:
            for told, text in missed:  # noqa: B007
                await self._tell(ws, text)
        session.ws = ws
        session.seq += 1
        await self._tell(ws, json.dumps({"op": 0, "s": session.seq, "t": "RESUMED", "d": ""}))
        self.connected.set()

    async def _identify(self, ws: web.WebSocketResponse) -> None:
        self.remaining -= 1
        session = Session(f"session-{self._next()}", 1, ws=ws)
        self.sessions[session.name] = session
        user = {"id": _ME["id"], "username": _ME["username"], "bot": True}
        ready = {"version": 1, "session_id": session.name, "user": user, "shard": [0, 1]}
        await self._tell(ws, json.dumps({"op": 0, "s": 1, "t": "READY", "d": ready}))
        self.connected.set()

    # --- tokens --------------------------------------------------------------------------------------

    def expire_tokens(self) -> None:
        """Let every token given so far be refused."""
        self._tokens.clear()
        self._token = ""

    def _is_token(self, header: str) -> bool:
        scheme, _space, token = header.partition(" ")
        return scheme == "QQBot" and self._tokens.get(token, 0.0) > self.now()

    async def _give_token(self, request: web.Request) -> web.StreamResponse:
        self.calls["token"] += 1
        await self._lose(request, "token", self.faults.silent_before, self.faults.drop_before)
        if (spoilt := self._spoilt("token")) is not None:
            return spoilt
        given = await request.json()
        is_ours = (given.get("appId"), given.get("clientSecret")) == (self.app_id, self.secret)
        code = self.faults.token_code or (0 if is_ours else 100016)
        if code:
            return _json({"code": code, "message": "invalid appid or secret"})
        left = self._tokens.get(self._token, 0.0) - self.now()
        if left <= 60:
            self._token, left = f"token-{self._next()}", float(self.life)
            self._tokens[self._token] = self.now() + left
        seconds: int | str = int(left) if self.faults.number_expires else str(int(left))
        return _json({"access_token": self._token, "expires_in": seconds})

    # --- calls ---------------------------------------------------------------------------------------

    def _call(self, name: str, work: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls[name] += 1
            self.kept_open[name] += request.keep_alive
            faults = self.faults
            await self._lose(request, name, faults.silent_before, faults.drop_before)
            if (spoilt := self._spoilt(name)) is not None:
                return spoilt
            try:
                if not self._is_token(request.headers.get("Authorization", "")):
                    raise _Refused(401, 11243)
                refused = faults.code_once.pop(name, None) or faults.code.get(name)
                if refused is not None and self.calls[name] >= faults.first.get(name, 0):
                    raise _Refused(*refused)
                body = await request.json() if request.can_read_body else None
                self.bodies.append((name, request.path, body))
                answer = work(request.match_info, body)
            except _Refused as error:
                return self._refusal(error)
            await self._lose(request, name, faults.silent_after, faults.drop_after)
            return web.Response() if answer is None else _json(answer)

        return handle

    def _refusal(self, error: _Refused) -> web.Response:
        headers = {"X-Tps-trace-ID": f"trace-{self._count}"}
        if self.faults.retry_after is not None:
            headers["Retry-After"] = self.faults.retry_after
        body = {"err_code": error.code, "message": "refused", "trace_id": "trace"}
        return _json(body, status=error.status, headers=headers)

    def _spoilt(self, name: str) -> web.StreamResponse | None:
        if name in self.faults.page:
            return web.Response(text="<html>please sign in</html>", content_type="text/html")
        if name in self.faults.huge:
            return web.Response(body=b" " * (50 * 1024 * 1024))
        if name in self.faults.status:
            headers = {} if self.faults.retry_after is None else {"Retry-After": self.faults.retry_after}
            return web.Response(status=self.faults.status[name], headers=headers)
        return None

    async def _lose(self, request: web.Request, name: str, silent: Counter[str], drop: Counter[str]) -> None:
        if silent[name] > 0:
            silent[name] -= 1
            await asyncio.sleep(3600)
        if drop[name] > 0 and request.transport is not None:
            drop[name] -= 1
            request.transport.abort()
            raise ConnectionResetError

    def _do_me(self, _where: Mapping[str, str], _body: Any) -> Frame:
        return dict(_ME)

    def _do_gateway(self, _where: Mapping[str, str], _body: Any) -> Frame:
        limit = {"total": 1000, "remaining": self.remaining, "reset_after": 3_600_000, "max_concurrency": 1}
        return {
            "url": f"ws://127.0.0.1:{self.front or self.port}/websocket",
            "shards": 1,
            "session_start_limit": limit,
        }

    def _home(self, where: Mapping[str, str]) -> Group:
        found = self.groups.get(where["group"])
        if found is None:
            raise _Refused(404, 11255)
        if found.role is None:
            raise _Refused(400, 40054003)
        return found

    def _do_send(self, where: Mapping[str, str], body: Any) -> Frame:
        home = self._home(where)
        if body.get("msg_type") != 0 or not str(body.get("content", "")).strip():
            raise _Refused(400, 40034006)
        if body.get("msg_id") is not None:
            self._need_window(home, str(body["msg_id"]), int(body.get("msg_seq", 1)))
        else:
            self._need_quota(home)
        message_id, at = f"ROBOT1.0_own{self._next()}", self.now()
        home.messages[message_id] = ("", at)
        one = Sent(where["group"], body["content"], message_id, body.get("msg_id"), body.get("msg_seq"))
        self.sent.append(one)
        ext = {"ref_idx": f"REFIDX_{self._count}=="}
        return {"id": message_id, "timestamp": self._stamp(at), "ext_info": ext}

    def _need_window(self, home: Group, message_id: str, seq: int) -> None:
        found = home.messages.get(message_id)
        if found is None:
            raise _Refused(400, 304026)
        if (message_id, seq) in self._used:
            raise _Refused(400, 40054005)
        answers = sum(used == message_id for used, _seq in self._used)
        if self.now() - found[1] > 300 or answers >= 5:
            raise _Refused(400, 40034128)
        self._used.add((message_id, seq))

    def _need_quota(self, home: Group) -> None:
        if not home.may_speak:
            raise _Refused(400, 40034105)
        now = self.now()
        for group in self.groups.values():
            while group.spoken and group.spoken[0] <= now - 60:
                group.spoken.popleft()
        total = sum(len(group.spoken) for group in self.groups.values())
        if len(home.spoken) >= 20 or total >= self.per_minute:
            raise _Refused(429, 22009)
        home.spoken.append(now)

    def _do_recall(self, where: Mapping[str, str], _body: Any) -> None:
        home, message_id = self._home(where), where["message"]
        author, at = home.messages.get(message_id, ("?", 0.0))
        if author and home.role not in ("admin", "owner"):
            raise _Refused(403, 40062003)
        if self.now() - at > 120:
            raise _Refused(400, 40064004)
        home.recalled.append(message_id)

    def _do_mute(self, where: Mapping[str, str], body: Any) -> Frame:
        home = self._home(where)
        if home.role not in ("admin", "owner"):
            raise _Refused(403, 40062003)
        for row in body["members"][:10]:
            home.muted[row["member_openid"]] = row["mute_expire_at"]
        return {}

    def _do_muted(self, where: Mapping[str, str], _body: Any) -> Frame:
        rows = [{"member_openid": m, "mute_expire_at": at} for m, at in self._home(where).muted.items()]
        return {"global_rule": {"mode": "none"}, "members": rows}

    def _do_bot_state(self, where: Mapping[str, str], _body: Any) -> Frame:
        home = self._home(where)
        return {
            "member_openid": "B" * 32,
            "joined_at": self._stamp(self.now()),
            "allow_proactive_msg": home.may_speak,
            "recv_msg_setting": home.hears,
            "member_role": home.role,
        }
