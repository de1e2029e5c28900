"""A fake QQ program that speaks OneBot v11 as NapCat, LLOneBot, Lagrange or a strict implementation does.

For the demo, for tests, and for authors of connectors: forward and reverse WebSocket, HTTP calls, signed HTTP
posts, a bounded message store with history, heartbeats, and faults that real programs have shown.

    python -m monitor.testing.fake_qq --week corpora/demo/week.jsonl --speed 600 \\
        --url ws://127.0.0.1:8780/onebot/v11/qq --token T --state fake.jsonl
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from monitor.testing import _fake_actions as actions
from monitor.testing._fake_actions import Refused
from monitor.testing._fake_groups import Done, Group, Memory, Message, make_id, read_effects

__all__ = ["Done", "FakeQQ", "Faults", "main", "read_effects"]

Frame = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    The counters say, per action, how often it happens. ``drop_before`` and ``silent_before``: the request is
    lost with the connection, or alone. ``drop_after`` and ``silent_after``: the action is carried out and its
    answer is lost with the connection, or alone. ``refuse`` gives an action's retcode without carrying it out,
    ``refuse_after`` the same after it was carried out; ``failed_zero`` names actions that fail with retcode 0.
    ``silent`` holds back every frame without closing; ``page`` answers HTTP calls with a page of a proxy.
    """

    drop_before: Counter[str] = field(default_factory=Counter)
    silent_before: Counter[str] = field(default_factory=Counter)
    drop_after: Counter[str] = field(default_factory=Counter)
    silent_after: Counter[str] = field(default_factory=Counter)
    refuse: dict[str, int] = field(default_factory=dict)
    refuse_after: dict[str, int] = field(default_factory=dict)
    failed_zero: set[str] = field(default_factory=set)
    delay: float = 0.0
    milliseconds: bool = False
    strings: bool = False
    negative: bool = False
    silent: bool = False
    out_of_order: bool = False
    page: bool = False


class _Peer:
    """One open socket: which frames it wants, and how to reach it."""

    def __init__(self, ws: web.WebSocketResponse | aiohttp.ClientWebSocketResponse, role: str) -> None:
        self.ws = ws
        self.events = role in ("universal", "event")
        self.calls = role in ("universal", "api")
        self.held: str | None = None

    async def send(self, frame: Frame | str) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)
        try:
            await self.ws.send_str(text)
        except (aiohttp.ClientError, ConnectionError, RuntimeError):
            return


class FakeQQ:
    """One QQ account behind one program.

    Args:
        profile: napcat, llonebot, lagrange, go-cqhttp or strict.
        token: access token of sockets and calls.
        secret: key of the HTTP post signature.
        self_id: our own account.
        state: file in which messages and effects survive a restart.
        heartbeat: seconds between two heartbeats.
        reconnect: seconds before a reverse connection is tried again.
    """

    def __init__(
        self,
        profile: str = "napcat",
        token: str = "",
        *,
        secret: str = "",
        self_id: int = 10_001_000,
        state: Path | None = None,
        heartbeat: float = 30.0,
        reconnect: float = 0.1,
    ) -> None:
        self.profile = profile
        self.token = token
        self.secret = secret
        self.self_id = self_id
        self.faults = Faults()
        self.role = "admin"
        self.online = True
        self.report_self = False
        self.port = 0
        self.memory = Memory(state)
        self.connected = asyncio.Event()
        self.post_statuses: list[int] = []
        self.refusals: Counter[int] = Counter()
        self._heartbeat = heartbeat
        self._reconnect = reconnect
        self._peers: list[_Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._post_url = ""

    # --- what a test asks ----------------------------------------------------------------------------

    @property
    def done(self) -> list[Done]:
        """Every effect that was carried out, oldest first."""
        return self.memory.done

    def sent(self, words: str) -> int:
        """Return how many messages of our own account hold ``words``: exactly-once tests want 1."""
        return sum(done.action == "send_group_msg" and words in done.text for done in self.done)

    @property
    def ws_url(self) -> str:
        """Address of the forward WebSocket."""
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def http_url(self) -> str:
        """Address of the HTTP calls."""
        return f"http://127.0.0.1:{self.port}"

    # --- life ----------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> None:
        """Open the forward WebSocket and the HTTP calls on 127.0.0.1."""
        app = web.Application()
        for path in ("/", "/api", "/api/", "/event", "/event/"):
            app.router.add_get(path, self._accept)
        app.router.add_route("*", "/{action}", self._http_call)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def connect(self, url: str, role: str = "Universal") -> None:
        """Keep a reverse WebSocket to ``url`` open, as role Universal, API or Event."""
        self._spawn(self._keep_connected(url, role))

    def post_to(self, url: str) -> None:
        """Post every event to ``url`` as well; nothing is tried twice, as with real programs."""
        self._post_url = url

    async def drop(self) -> None:
        """Break every connection; reverse ones come back by themselves."""
        for peer in list(self._peers):
            await peer.ws.close(code=1012)

    async def stop(self) -> None:
        """Close everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.drop()
        if self._client is not None:
            await self._client.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> FakeQQ:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _http(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession()
        return self._client

    # --- what people in the groups do ----------------------------------------------------------------

    def join(self, group: int, user: int = 0, name: str = "", role: str = "member") -> None:
        """Put somebody into a group; without ``user`` only our own account."""
        members = self.memory.group(group).members
        members[self.self_id] = ("工会", self.role)
        if user:
            members[user] = (name or f"成员{user}", role)

    async def say(
        self,
        group: int,
        user: int,
        text: str | list[dict[str, Any]],
        reply_to: int | None = None,
        *,
        name: str = "",
        role: str = "member",
        at: float | None = None,
        key: str = "",
    ) -> int:
        """Let ``user`` say something and tell it to everyone connected; returns the message id."""
        self.join(group, user, name, role)
        segments: list[dict[str, Any]] = (
            [{"type": "reply", "data": {"id": str(reply_to)}}] if reply_to else []
        )
        segments += [{"type": "text", "data": {"text": text}}] if isinstance(text, str) else text
        message = self._store(group, user, segments, at, key)
        await self.emit(self._event(message))
        return message.message_id

    async def recall(self, message_id: int, operator: int | None = None, at: float | None = None) -> None:
        """Recall a message: by its author, or by ``operator``; an unknown id is told all the same."""
        message = self.memory.find(message_id)
        group = message.group if message else next(iter(self.memory.groups), 0)
        user = message.user if message else 0
        self.memory.remove(message_id)
        notice = {"notice_type": "group_recall", "group_id": group, "user_id": user, "message_id": message_id}
        await self.emit(self._base("notice", at) | notice | {"operator_id": operator or user})

    async def notice(self, notice_type: str, **fields: object) -> None:
        """Send any notice, known or not."""
        await self.emit(self._base("notice") | {"notice_type": notice_type} | fields)

    async def raw(self, frame: str) -> None:
        """Send a frame as it stands to every socket that wants events."""
        for peer in [peer for peer in self._peers if peer.events]:
            await peer.send(frame)

    async def emit(self, event: Frame) -> None:
        """Tell an event to everyone connected; nothing is kept for those who are away."""
        if self.faults.silent:
            return
        for peer in [peer for peer in self._peers if peer.events]:
            await peer.send(event)
        if self._post_url:
            await self._post(event)

    async def _post(self, event: Frame) -> None:
        body = json.dumps(event, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Self-ID": str(self.self_id)}
        if self.secret:
            headers["X-Signature"] = "sha1=" + hmac.new(self.secret.encode(), body, hashlib.sha1).hexdigest()
        try:
            async with self._http().post(self._post_url, data=body, headers=headers) as response:
                self.post_statuses.append(response.status)
        except aiohttp.ClientError:
            self.post_statuses.append(0)

    def _store(
        self, group: int, user: int, segments: list[dict[str, Any]], at: float | None, key: str
    ) -> Message:
        home = self.memory.group(group)
        name, role = home.members.get(user, (f"成员{user}", "member"))
        seq = home.last_seq + 1
        message_id = make_id(self.profile, group, seq, self.faults.negative)
        when = int(time.time() if at is None else at)
        message = Message(group, user, name, role, seq, message_id, when, segments, key)
        self.memory.add(message)
        return message

    # --- events as the program writes them -----------------------------------------------------------

    def _base(self, post_type: str, at: float | None = None) -> Frame:
        when = int(time.time() if at is None else at)
        return {"time": self._time(when), "self_id": self.self_id, "post_type": post_type}

    def _time(self, seconds: int) -> int:
        return seconds * 1000 if self.faults.milliseconds else seconds

    def _event(self, message: Message, post_type: str = "message") -> Frame:
        text = actions.to_string(message.segments)
        event = self._base(post_type, message.time) | {
            "message_type": "group",
            "sub_type": "normal",
            "message_id": message.message_id,
            "group_id": message.group,
            "user_id": message.user,
            "anonymous": None,
            "message": text if self.faults.strings or self.profile == "go-cqhttp" else message.segments,
            "raw_message": text,
            "font": 14,
            "sender": self._sender(message),
        }
        if self.profile == "napcat":
            extra = {
                "message_seq": message.message_id,
                "real_id": message.message_id,
                "real_seq": str(message.seq),
            }
            return event | extra | {"message_format": "array"}
        return event if self.profile in ("strict", "lagrange") else event | {"message_seq": message.seq}

    def _sender(self, message: Message) -> Frame:
        names = {"nickname": message.name, "card": "", "role": message.role, "title": ""}
        return {"user_id": message.user} | names

    def _lifecycle(self) -> Frame:
        return self._base("meta_event") | {"meta_event_type": "lifecycle", "sub_type": "connect"}

    def _beat(self) -> Frame:
        status = {"online": self.online, "good": True}
        interval = int(self._heartbeat * 1000)
        return self._base("meta_event") | {
            "meta_event_type": "heartbeat",
            "interval": interval,
            "status": status,
        }

    # --- sockets -------------------------------------------------------------------------------------

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").partition(" ")[2] or request.query.get(
            "access_token", ""
        )
        role = {"/api": "api", "/event": "event"}.get(request.path.rstrip("/"), "universal")
        if given != self.token and self.profile != "napcat":
            return web.Response(status=403 if given else 401)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        if given != self.token:
            # NapCat takes the socket, says so in one frame, and closes.
            wrong = {
                "status": "failed",
                "retcode": 1403,
                "data": None,
                "message": "token验证失败",
                "echo": None,
            }
            await ws.send_str(json.dumps(wrong, ensure_ascii=False))
            await ws.close()
            return ws
        await self._talk(_Peer(ws, role))
        return ws

    async def _keep_connected(self, url: str, role: str) -> None:
        while True:
            headers = {"X-Self-ID": str(self.self_id), "User-Agent": "OneBot/11", "x-client-role": role}
            if self.token or self.profile == "napcat":
                headers["Authorization"] = f"Bearer {self.token}"
            try:
                async with self._http().ws_connect(url, headers=headers) as ws:
                    await self._talk(_Peer(ws, role.lower()))
            except aiohttp.WSServerHandshakeError as error:
                self.refusals[error.status] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(self._reconnect)

    async def _talk(self, peer: _Peer) -> None:
        self._peers.append(peer)
        self.connected.set()
        beating = asyncio.ensure_future(self._beat_on(peer))
        try:
            async for message in peer.ws:
                if message.type is aiohttp.WSMsgType.TEXT and peer.calls:
                    await self._take_call(peer, message.data)
        finally:
            self._peers.remove(peer)
            if not self._peers:
                self.connected.clear()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat_on(self, peer: _Peer) -> None:
        if not peer.events:
            return
        await peer.send(self._lifecycle())
        while True:
            await asyncio.sleep(self._heartbeat)
            if not self.faults.silent:
                await peer.send(self._beat())

    async def _take_call(self, peer: _Peer, text: str) -> None:
        try:
            call = json.loads(text)
            action, params = call["action"], call.get("params") or {}
        except (ValueError, KeyError, TypeError):
            await peer.send(
                {"status": "failed", "retcode": 1400, "data": None, "message": "bad frame", "echo": None}
            )
            return
        if await self._loses(peer, action, self.faults.silent_before, self.faults.drop_before):
            return
        answer = await self._answer(str(action), params, over_http=False)
        if await self._loses(peer, action, self.faults.silent_after, self.faults.drop_after):
            return
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        await self._give(peer, json.dumps(answer | {"echo": call.get("echo")}, ensure_ascii=False))

    async def _loses(self, peer: _Peer, action: str, silent: Counter[str], drop: Counter[str]) -> bool:
        if self.faults.silent or self._spend(silent, action):
            return True
        if self._spend(drop, action):
            await peer.ws.close(code=1012)
            return True
        return False

    @staticmethod
    def _spend(times: Counter[str], action: str) -> bool:
        if times[action] <= 0:
            return False
        times[action] -= 1
        return True

    async def _give(self, peer: _Peer, answer: str) -> None:
        """Send an answer; out of order, one is held back until the next has gone."""
        if self.faults.out_of_order and peer.held is None:
            peer.held = answer
            return
        await peer.send(answer)
        if peer.held is not None:
            held, peer.held = peer.held, None
            await peer.send(held)

    async def _http_call(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").partition(" ")[2] or request.query.get(
            "access_token", ""
        )
        if given != self.token:
            if self.profile == "napcat":
                return web.json_response({"message": "token verify failed!"}, status=403)
            return web.Response(status=403 if given else 401)
        params: dict[str, Any] = dict(request.query)
        if request.content_type == "application/json":
            params |= await request.json()
        elif request.method == "POST":
            params |= dict(await request.post())
        action, faults = request.match_info["action"], self.faults
        await self._lose_http(request, faults.silent_before, faults.drop_before)
        answer = await self._answer(action, params, over_http=True)
        await self._lose_http(request, faults.silent_after, faults.drop_after)
        if faults.page:
            return web.Response(text="<html>please sign in</html>", content_type="text/html")
        unknown = answer["retcode"] == 404 and self.profile != "napcat"
        return web.json_response(answer, status=404 if unknown else 200)

    async def _lose_http(self, request: web.Request, silent: Counter[str], drop: Counter[str]) -> None:
        action = request.match_info["action"]
        if self.faults.silent or self._spend(silent, action):
            await asyncio.sleep(3600)
        if self._spend(drop, action) and request.transport is not None:
            request.transport.abort()
            raise ConnectionResetError

    # --- actions -------------------------------------------------------------------------------------

    async def _answer(self, action: str, params: Mapping[str, Any], over_http: bool) -> Frame:
        refused = self.faults.refuse.get(action)
        if action in self.faults.failed_zero or refused is not None:
            return self._refusal(refused or 0, "refused")
        handler = getattr(self, f"_do_{action}", None)
        try:
            if handler is None:
                raise Refused("unknown", "no such action")
            data = await handler(params)
        except Refused as error:
            return self._refusal(actions.code_of(self.profile, error.kind, over_http), str(error))
        if action in self.faults.refuse_after:
            return self._refusal(self.faults.refuse_after[action], "timeout")
        return {"status": "ok", "retcode": 0, "data": data, "message": "", "wording": ""}

    @staticmethod
    def _refusal(code: int, words: str) -> Frame:
        return {"status": "failed", "retcode": code, "data": None, "message": words, "wording": words}

    def _group(self, params: Mapping[str, Any]) -> Group:
        found = self.memory.groups.get(actions.number(params, "group_id"))
        if found is None:
            raise Refused("failed", "no such group")
        return found

    def _need_admin(self) -> None:
        if self.role == "member":
            raise Refused("failed", "not group admin")

    async def _do_send_group_msg(self, params: Mapping[str, Any]) -> Frame:
        group = self._group(params)
        segments = actions.to_segments(params.get("message"))
        group.members[self.self_id] = ("工会", self.role)
        message = self._store(group.number, self.self_id, segments, None, "")
        self.memory.did(Done("send_group_msg", group.number, message.message_id, text=message.text))
        if self.report_self:
            await self.emit(self._event(message, "message_sent"))
        return {"message_id": message.message_id}

    async def _do_send_msg(self, params: Mapping[str, Any]) -> Frame:
        if params.get("message_type", "group") != "group":
            raise Refused("failed", "only groups are here")
        return await self._do_send_group_msg(params)

    async def _do_delete_msg(self, params: Mapping[str, Any]) -> None:
        message = self.memory.find(actions.number(params, "message_id"))
        if message is None:
            raise Refused("failed", "message does not exist")
        if message.user != self.self_id:
            self._need_admin()
        self.memory.did(Done("delete_msg", message.group, message.message_id))
        await self.recall(message.message_id, self.self_id)

    async def _do_get_msg(self, params: Mapping[str, Any]) -> Frame:
        message = self.memory.find(actions.number(params, "message_id"))
        if message is None:
            raise Refused("failed", "message does not exist")
        return {"real_id": message.seq} | self._event(message)

    async def _do_set_group_ban(self, params: Mapping[str, Any]) -> None:
        group, user = self._group(params), actions.number(params, "user_id")
        if user not in group.members:
            raise Refused("failed", "user not in group")
        if group.members[user][1] != "member":
            raise Refused("failed", "cannot ban owner or admin")
        self._need_admin()
        usual = 0 if self.profile == "napcat" else 1800
        seconds = actions.number({"duration": params.get("duration", usual)}, "duration")
        self.memory.did(Done("set_group_ban", group.number, user=user, seconds=seconds))

    async def _do_get_group_list(self, params: Mapping[str, Any]) -> list[Frame]:  # noqa: ARG002
        return [actions.group_info(group) for group in self.memory.groups.values()]

    async def _do_get_group_info(self, params: Mapping[str, Any]) -> Frame:
        return actions.group_info(self._group(params))

    async def _do_get_group_member_info(self, params: Mapping[str, Any]) -> Frame:
        group = self._group(params)
        group.members[self.self_id] = ("工会", self.role)
        return actions.member_info(group, actions.number(params, "user_id"))

    async def _do_get_login_info(self, params: Mapping[str, Any]) -> Frame:  # noqa: ARG002
        return {"user_id": self.self_id, "nickname": "工会"}

    async def _do_get_status(self, params: Mapping[str, Any]) -> Frame:  # noqa: ARG002
        return {"online": self.online, "good": True}

    async def _do_get_version_info(self, params: Mapping[str, Any]) -> Frame:  # noqa: ARG002
        return actions.version(self.profile)

    async def _do_get_group_msg_history(self, params: Mapping[str, Any]) -> Frame:
        page = actions.history(self.profile, self._group(params), params)
        return {"messages": [self._event(message) for message in page]}


def main(arguments: list[str] | None = None) -> int:
    """Run the fake as a process that plays a week of a campus; see ``--help``."""
    from monitor.testing._fake_week import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
