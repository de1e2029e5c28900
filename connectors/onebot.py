"""QQ groups over OneBot v11: reverse and forward WebSocket, HTTP post with signature, HTTP calls.

OneBot drives an ordinary QQ account, which the platform does not officially permit: the account may be blocked.
Source: OneBot v11 and the observed habits of NapCat, LLOneBot, Lagrange.OneBot and go-cqhttp.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from connectors import _onebot_wire as wire
from connectors._http import patiently
from connectors._inbox import Inbox
from connectors._limits import MAX_FRAME, MAX_ITEM, broken, decode_json, id_of
from connectors._onebot_api import Api, HttpApi, Link, ask, attempt
from connectors._onebot_effects import Hand
from connectors._onebot_health import examine
from connectors._onebot_history import Mark, Reach, catch_up, second_of
from connectors._settings import read, refuse, setting
from connectors._signing import bearer, header, same, sha1_signature
from connectors._sockets import dial
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, EffectKind, Health, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route, Socket

_log = logging.getLogger(__name__)
_REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``onebot``."""

    groups: tuple[int, ...] = setting("Numbers of the union's own QQ groups; every other group is ignored.")
    token: str = setting("Access token shared with the QQ program, for sockets and calls.", "")
    url: str = setting("Address of the QQ program's WebSocket (ws://...), when we connect to it.", "")
    api_url: str = setting("Address of the QQ program's HTTP calls, when no WebSocket can be had.", "")
    secret: str = setting("Secret of the HTTP post signature; without it posted events are refused.", "")
    self_id: int = setting("QQ number of our own account; 0 takes it from the connection.", 0)
    profile: str = setting(f"Which QQ program speaks: auto, {', '.join(wire.PROFILES)}.", "auto")
    catch_up_hours: float = setting("Hours of history read at the first connection; 0 reads none.", 24.0)
    catch_up_limit: int = setting("Most messages read per group after a gap.", 2000)
    history_pause: float = setting("Seconds between two calls for history.", 0.5)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    silence_seconds: float = setting("Seconds without any frame after which the connection is probed.", 90.0)
    retry_seconds: float = setting("Longest wait between two attempts to connect.", 60.0)
    poll_seconds: float = setting("Seconds between two looks at the history when only HTTP is set.", 300.0)


def connector(config: ChannelConfig) -> OneBot:
    """Return the connector of one channel of QQ groups.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.groups:
        raise refuse(config, "groups", "is empty: name the union's own groups, e.g. [700001]")
    if not settings.token:
        raise refuse(config, "token", "is missing: set the same long random token here and in the QQ program")
    if settings.profile not in ("auto", *wire.PROFILES):
        raise refuse(config, "profile", f"is none of auto, {', '.join(wire.PROFILES)}")
    for key, schemes in (("url", ("ws://", "wss://")), ("api_url", ("http://", "https://"))):
        if (value := getattr(settings, key)) and not value.startswith(schemes):
            raise refuse(config, key, f"begins with {' or '.join(schemes)}")
    return OneBot(config.name, settings)


class OneBot:
    """One channel of QQ groups (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = frozenset(
            {Capability.LISTEN, Capability.REPLY, Capability.REMOVE, Capability.MUTE, Capability.READ_BACK}
        )
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._groups = frozenset(map(str, settings.groups))
        self._profile = "" if settings.profile == "auto" else settings.profile
        self._self_id = str(settings.self_id) if settings.self_id else None
        self._inbox = Inbox()
        self._links: list[Link] = []
        self._linked = asyncio.Event()
        self._sockets: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._behind = set(self._groups)
        self._latest: dict[str, Mark] = {}
        self._recalled: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._closed = False

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches after ``cursor``; connects by itself where an address is set."""
        unsettled = self._inbox.resume(cursor)
        self._behind = set(self._groups)
        background = self._start()
        try:
            for batch in unsettled:
                yield batch
            while (following := await self._inbox.next()) is not None:
                yield following
        finally:
            await _stop(background)

    def _start(self) -> list[asyncio.Task[None]]:
        work: list[Coroutine[Any, Any, None]] = []
        if self._settings.url:
            work.append(self._keep_dialling())
        elif self._settings.api_url:
            work.append(self._keep_polling())
        if self._links:
            work.append(self._catch_up_all(self._links[-1]))
        return [self._spawn(each) for each in work]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectorError as error:
            self.counts[error.code] += 1
            _log.warning("onebot.failed channel=%s code=%s", self.name, error.code)

    async def _keep_dialling(self) -> None:
        while not self._closed:
            async for tried in patiently(self._settings.retry_seconds):
                with tried:
                    await self._dial_once()

    async def _dial_once(self) -> None:
        async with dial(self._session(), self._settings.url, self._settings.token) as socket:
            if not await self._serve(socket, "universal"):
                self.counts["connect_failed"] += 1
                raise Unavailable("the QQ program closed the connection before it said anything")

    async def _keep_polling(self) -> None:
        while not self._closed:
            async for tried in patiently(self._settings.retry_seconds):
                with tried:
                    api = self._api()
                    await self._greet(api)
                    await self._catch_up_all(api)
            await asyncio.sleep(self._settings.poll_seconds)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        return self._http

    def routes(self) -> Sequence[Route]:
        """Return the one path for reverse WebSockets and posted events."""
        path = f"/onebot/v11/{self.name}"
        return (Route(path, handle=self._posted, accept=self._accept, socket=self._connected),)

    def _accept(self, headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:  # noqa: ARG002
        token = bearer(headers)
        if not token:
            return 401
        account = header(headers, "X-Self-ID")
        right_account = self._self_id in (None, account) or not account
        return None if same(token, self._settings.token) and right_account and not self._closed else 403

    async def _connected(self, socket: Socket) -> None:
        role = header(socket.headers, "X-Client-Role").lower() or "universal"
        self._self_id = self._self_id or id_of(header(socket.headers, "X-Self-ID"))
        await self._serve(socket, role)

    async def _serve(self, socket: Socket, role: str) -> bool:
        """Read a socket until it ends; return whether the other side ever said something useful."""
        talk = _Talk(Link(socket), role)
        self._sockets.add(socket)
        if role != "event":
            self._links.append(talk.link)
            self._linked.set()
        helpers = [self._spawn(self._open_talk(talk)), self._spawn(self._watch(socket, talk))]
        try:
            while not self._closed and (frame := await socket.receive()) is not None:
                talk.heard = asyncio.get_running_loop().time()
                await self._take_frame(frame, talk)
        finally:
            await self._end(socket, talk, helpers)
        return talk.useful

    async def _end(self, socket: Socket, talk: _Talk, helpers: list[asyncio.Task[None]]) -> None:
        if talk.link in self._links:
            self._links.remove(talk.link)
        if not self._links:
            self._linked.clear()
        self._sockets.discard(socket)
        if not self._sockets:
            self._behind |= self._groups
        talk.link.lost()
        await _stop(helpers)
        for event in talk.held or ():
            await self._take_event(event)

    async def _watch(self, socket: Socket, talk: _Talk) -> None:
        loop = asyncio.get_running_loop()
        talk.heard = loop.time()
        while True:
            await asyncio.sleep(self._settings.silence_seconds / 3)
            if loop.time() - talk.heard < self._settings.silence_seconds:
                continue
            if talk.role == "event" or not await attempt(
                talk.link, "get_status", {}, self._settings.call_seconds
            ):
                self.counts["silent"] += 1
                _log.warning("onebot.silent channel=%s", self.name)
                await socket.close(1001)
                return

    async def _open_talk(self, talk: _Talk) -> None:
        """Learn who speaks, then let the held events go, then catch up."""
        api = await self._api_soon(talk)
        if api is not None:
            await self._greet(api)
        while talk.held:
            await self._take_event(talk.held.pop(0))
        talk.held = None
        if api is not None:
            await self._catch_up_all(api)

    async def _api_soon(self, talk: _Talk) -> Api | None:
        """Return the API of this socket; an Event socket waits a moment for its API twin."""
        if talk.role != "event":
            return talk.link
        try:
            await asyncio.wait_for(self._linked.wait(), self._settings.call_seconds)
            return self._api()
        except (TimeoutError, Unavailable):
            return self._api() if self._settings.api_url else None

    async def _greet(self, api: Api) -> None:
        version = await attempt(api, "get_version_info", {}, self._settings.call_seconds)
        if self._settings.profile == "auto" and version:
            self._profile = wire.profile_of(version.get("app_name"))
        login = await attempt(api, "get_login_info", {}, self._settings.call_seconds)
        self._self_id = self._self_id or id_of(login.get("user_id"))
        self._profile = self._inbox.profile = self._profile or self._inbox.profile or wire.UNKNOWN
        _log.info("onebot.connected channel=%s profile=%s", self.name, self._profile)

    # --- frames and events ---------------------------------------------------------------------------

    async def _take_frame(self, frame: str, talk: _Talk) -> None:
        raw = frame.encode("utf-8", "replace")
        try:
            value = decode_json(raw, MAX_FRAME)
            if not isinstance(value, dict):
                raise Malformed("the frame is not an object", "shape")
            if "post_type" in value and len(raw) > MAX_ITEM:
                raise Malformed(f"the event is longer than {MAX_ITEM} bytes", "too_large")
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            await self._inbox.put(broken(self.name, error, raw))
            return
        if "post_type" not in value:
            self._take_answer(value, talk)
            return
        talk.useful = True
        if talk.held is not None:
            talk.held.append(value)
            return
        await self._take_event(value)

    def _take_answer(self, answer: Mapping[str, Any], talk: _Talk) -> None:
        if talk.link.answer(answer):
            talk.useful = talk.useful or wire.is_ok(answer)
        elif answer.get("retcode") == 1403:
            self.counts["token_refused"] += 1
            _log.warning("onebot.token_refused channel=%s", self.name)
        else:
            self.counts["late_answer"] += 1

    async def _take_event(self, event: Mapping[str, Any]) -> None:
        item = self._read(event)
        if item is None:
            return
        mark = self._mark(event, item)
        group = item.thread or "" if isinstance(item, RawPost) else ""
        if mark is not None and group in self._behind:
            self._latest[group], mark = mark, None
        await self._inbox.put(item, group, mark)

    def _mark(self, event: Mapping[str, Any], item: RawPost | Broken) -> Mark | None:
        if not isinstance(item, RawPost) or item.kind is not PostKind.POST or item.posted_at is None:
            return None
        return Mark(second_of(event), item.external_id)

    def _context(self) -> wire.Context:
        profile = self._profile or self._inbox.profile or wire.UNKNOWN
        return wire.Context(self.name, self._groups, profile, self._self_id)

    def _read(self, event: Mapping[str, Any]) -> RawPost | Broken | None:
        try:
            item = wire.read_event(event, self._context())
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            return broken(self.name, error, repr(event), id_of(event.get("message_id")))
        if isinstance(item, wire.Ignored):
            self.counts[f"ignored.{item.kind}"] += 1
            return None
        if item.kind is PostKind.REMOVAL and item.thread and item.handle:
            self._remember_recall(item.thread, item.handle)
        return item

    def _remember_recall(self, group: str, handle: str) -> None:
        self._recalled[group, handle] = f"recalled:{handle}"
        while len(self._recalled) > _REMEMBERED:
            self._recalled.popitem(last=False)

    async def _posted(self, request: Request) -> Response:
        given = header(request.headers, "X-Signature")
        if not given:
            return Response(401)
        wanted = sha1_signature(self._settings.secret, request.body)
        if not self._settings.secret or not same(given, wanted):
            return Response(403)
        try:
            event = decode_json(request.body)
            if not isinstance(event, dict):
                raise Malformed("the event is not an object", "shape")
        except Malformed as error:
            return Response(204, items=(broken(self.name, error, request.body),))
        if not self._profile and self._settings.api_url:
            await self._greet(self._api())
        item = self._read(event)
        return Response(204, items=() if item is None else (item,))

    # --- catching up ---------------------------------------------------------------------------------

    async def _catch_up_all(self, api: Api) -> None:
        for group in sorted(self._groups):
            await self._catch_up(api, group)

    async def _catch_up(self, api: Api, group: str) -> None:
        """Read what was missed; the cursor of the group stands still until that is done."""
        since = self._inbox.mark(group)
        wanted = since is not None or self._settings.catch_up_hours > 0
        try:
            if wanted:
                await self._read_history(api, group, since)
        except Rejected as error:
            self.counts["no_history"] += 1
            if isinstance(error, wire.NoAction):
                self.capabilities -= {Capability.READ_BACK}
            if since is not None:
                await self._note_gap(group)
        self._behind.discard(group)
        latest = self._latest.pop(group, None)
        if latest is not None:
            await self._inbox.put(None, group, latest)

    async def _read_history(self, api: Api, group: str, since: Mark | None) -> None:
        async def call(action: str, params: Mapping[str, Any]) -> Any:
            return await ask(api, action, params, self._settings.call_seconds)

        settings = self._settings
        reach = Reach(settings.catch_up_hours, settings.catch_up_limit, settings.history_pause)
        found = await catch_up(call, self._context().profile, group, since, reach)
        if not found.complete:
            await self._note_gap(group)
        for event in found.messages:
            item = self._read(
                {"group_id": int(group)} | dict(event) | {"post_type": "message", "message_type": "group"}
            )
            if item is not None:
                await self._inbox.put(item, group, self._mark(event, item))

    async def _note_gap(self, group: str) -> None:
        self.counts["gap"] += 1
        error = Malformed("messages were missed and the QQ program does not show them any more", "gap")
        await self._inbox.put(broken(self.name, error, b"", group))

    # --- acting --------------------------------------------------------------------------------------

    def _api(self) -> Api:
        if self._links:
            return self._links[-1]
        if self._settings.api_url and not self._closed:
            return HttpApi(self._session(), self._settings.api_url, self._settings.token)
        raise Unavailable("the QQ program is not connected")

    def _hand(self) -> Hand:
        profile = self._context().profile
        return Hand(self._api(), self._groups, profile, self._self_id, self._settings.call_seconds)

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        receipt = self._known_recall(effect)
        return receipt or await self._hand().perform(effect, author)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        receipt = self._known_recall(effect)
        return receipt or await self._hand().read_back(effect)

    def _known_recall(self, effect: Effect) -> str | None:
        if effect.kind is not EffectKind.REMOVE or not effect.thread or not effect.handle:
            return None
        return self._recalled.get((effect.thread, effect.handle))

    async def check(self) -> Health:
        """Ask the QQ program who it is, whether it is online, and what we may do in each group."""
        try:
            api = self._api()
        except Unavailable:
            api = None
        return await examine(api, self, sorted(self._groups), self._settings)

    async def close(self) -> None:
        """Close every socket and task; may be called twice."""
        self._closed = True
        self._inbox.close()
        for socket in list(self._sockets):
            await socket.close(1001)
        await _stop(list(self._tasks))
        if self._http is not None:
            await self._http.close()
            self._http = None


class _Talk:
    """What is known of one socket: its calls, its role, events held until we know who speaks."""

    def __init__(self, link: Link, role: str) -> None:
        self.link = link
        self.role = role
        self.held: list[Mapping[str, Any]] | None = []
        self.heard = 0.0
        self.useful = False


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
