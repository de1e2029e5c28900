"""QQ groups over OneBot v11: reverse and forward WebSocket, HTTP post with signature, HTTP calls.

OneBot drives an ordinary QQ account, which the platform does not officially permit: the account may be blocked.
Source: OneBot v11 and the observed habits of NapCat, LLOneBot, Lagrange.OneBot and go-cqhttp.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from connectors import _onebot_health as health
from connectors import _onebot_wire as wire
from connectors._http import patiently
from connectors._inbox import Inbox
from connectors._limits import MAX_FRAME, MAX_ITEM, broken, decode_json, id_of
from connectors._onebot_api import Api, HttpApi, Link, ask, attempt
from connectors._onebot_catchup import CatchUp
from connectors._onebot_effects import Hand
from connectors._onebot_history import BEGINNING, Mark, Reach, catch_up, second_of
from connectors._settings import read, refuse, setting
from connectors._signing import header, same, sha1_signature
from connectors._sockets import dial
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, EffectKind, Health, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route, Socket

_log = logging.getLogger(__name__)
_REMEMBERED = 5_000
_CAPABILITIES = frozenset(
    {Capability.LISTEN, Capability.REPLY, Capability.REMOVE, Capability.MUTE, Capability.READ_BACK}
)
_ADMINS_ONLY = {EffectKind.REMOVE: Capability.REMOVE, EffectKind.MUTE: Capability.MUTE}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``onebot``."""

    groups: tuple[int, ...] = setting("Numbers of the union's own QQ groups; every other group is ignored.")
    token: str = setting("Access token shared with the QQ program, for sockets and calls.", "")
    url: str = setting(
        "Address of the QQ program's WebSocket (ws://...), when we connect to it; one ending in /event brings /api along.",
        "",
    )
    api_url: str = setting("Address of the QQ program's HTTP calls, when no WebSocket can be had.", "")
    secret: str = setting("Secret of the HTTP post signature; without it posted events are refused.", "")
    self_id: int = setting("QQ number of our own account; 0 takes it from the connection.", 0)
    profile: str = setting(f"Which QQ program speaks: auto, {', '.join(wire.PROFILES)}.", "auto")
    catch_up_hours: float = setting(
        "Hours of history, back from the newest message, read at the first connection; 0 reads none.", 24.0
    )
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
    if not settings.groups or min(settings.groups) <= 0:
        raise refuse(config, "groups", "names the union's own groups by their numbers, e.g. [700001]")
    if not settings.token:
        raise refuse(config, "token", "is missing: set the same long random token here and in the QQ program")
    if settings.profile not in ("auto", *wire.PROFILES):
        raise refuse(config, "profile", f"is none of auto, {', '.join(wire.PROFILES)}")
    for key, schemes in (("url", ("ws://", "wss://")), ("api_url", ("http://", "https://"))):
        if (value := getattr(settings, key)) and not value.startswith(schemes):
            raise refuse(config, key, f"begins with {' or '.join(schemes)}")
    for key in ("call_seconds", "silence_seconds", "retry_seconds", "poll_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    return OneBot(config.name, settings)


class OneBot:
    """One channel of QQ groups (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = _CAPABILITIES
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._groups = frozenset(map(str, settings.groups))
        self._profile = "" if settings.profile == "auto" else settings.profile
        self._self_id = str(settings.self_id) if settings.self_id else None
        self._inbox = Inbox()
        self._behind = CatchUp(self._groups, self._inbox, settings.retry_seconds)
        self._talks: list[_Talk] = []
        self._linked = asyncio.Event()
        self._greeting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._roles: dict[str, str] = {}
        self._has_history = True
        self._recalled: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._trouble = ""
        self._closed = False

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches after ``cursor``; connects by itself where an address is set."""
        unsettled = self._inbox.resume(cursor)
        self._behind.broken()
        background = [self._spawn(work) for work in self._work()]
        try:
            for batch in unsettled:
                yield batch
            while (following := await self._inbox.next()) is not None:
                yield following
        finally:
            await _stop(background)

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs as long as somebody listens."""
        work: list[Coroutine[Any, Any, None]] = [self._behind.run(self._catch_up)]
        url = self._settings.url
        if url.rstrip("/").endswith("/event"):
            api = url.rstrip("/").removesuffix("event") + "api"
            work += [self._keep_dialling(url, "event"), self._keep_dialling(api, "api")]
        elif url:
            work.append(self._keep_dialling(url, "universal"))
        elif self._settings.api_url:
            work.append(self._keep_polling())
        if self._links():
            self._behind.possible()
        return work

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

    async def _keep_dialling(self, url: str, role: str) -> None:
        while not self._closed:
            async for tried in patiently(self._settings.retry_seconds):
                with tried:
                    await self._dial_once(url, role)
            await asyncio.sleep(min(0.5, self._settings.retry_seconds))

    async def _dial_once(self, url: str, role: str) -> None:
        try:
            async with dial(self._session(), url, self._settings.token) as socket:
                self._trouble = ""
                useful = await self._serve(socket, role)
        except Unavailable as error:
            self._trouble = "token" if isinstance(error, wire.TokenRefused) else "address"
            self.counts["connect_failed"] += 1
            raise
        if not useful:
            self._trouble = self._trouble or "address"
            self.counts["connect_failed"] += 1
            raise Unavailable("the QQ program closed the connection before it said anything")

    async def _keep_polling(self) -> None:
        """Look at the history from time to time: posted events are never sent twice, and some get lost."""
        while not self._closed:
            if not self._talks:
                await self._greet(self._api())
                self._behind.broken()
                self._behind.possible()
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
        if self._closed:
            return 503
        token, account = _token(headers), header(headers, "X-Self-ID")
        if not same(token, self._settings.token):
            self._trouble = "token"
            self.counts["token_refused"] += 1
            return 403 if token else 401
        ours = str(self._settings.self_id or "") or (self._self_id if self._talks else None)
        if account and ours and account != ours:
            self._trouble = "account"
            self.counts["account_refused"] += 1
            return 403
        return None

    async def _connected(self, socket: Socket) -> None:
        role = header(socket.headers, "X-Client-Role").lower()
        self._note_account(header(socket.headers, "X-Self-ID"))
        self._trouble = ""
        await self._serve(socket, role if role in ("api", "event") else "universal")

    def _note_account(self, account: object) -> None:
        if not self._settings.self_id:
            self._self_id = id_of(account) or self._self_id

    def _links(self) -> list[Link]:
        return [talk.link for talk in self._talks if talk.role != "event"]

    async def _serve(self, socket: Socket, role: str) -> bool:
        """Read a socket until it ends; return whether the other side ever said something useful."""
        talk = _Talk(socket, role)
        self._talks.append(talk)
        if role != "api":
            self._behind.broken()  # before its first event: what came between two sockets may be missing
        if role != "event":
            self._linked.set()
        helpers = [self._spawn(self._open_talk(talk)), self._spawn(self._watch(talk))]
        try:
            while not self._closed and (frame := await socket.receive()) is not None:
                talk.heard = asyncio.get_running_loop().time()
                await self._take_frame(frame, talk)
        finally:
            await self._end(talk, helpers)
        return talk.useful

    async def _end(self, talk: _Talk, helpers: list[asyncio.Task[None]]) -> None:
        self._talks.remove(talk)
        if not self._links():
            self._linked.clear()
        talk.link.lost()
        await _stop(helpers)
        await self._let_go(talk)

    async def _let_go(self, talk: _Talk) -> None:
        """Take the events that were held until we knew who speaks; from then on they are taken at once."""
        while talk.held:
            await self._take_event(talk.held[0])
            talk.held.pop(0)
        talk.held = None

    async def _watch(self, talk: _Talk) -> None:
        """Close a socket that has fallen silent, so that a new one can take its place."""
        loop, silence = asyncio.get_running_loop(), self._settings.silence_seconds
        talk.heard = loop.time()
        while True:
            await asyncio.sleep(silence / 3)
            if loop.time() - talk.heard < silence or self._inbox.is_full or await self._is_alive(talk):
                continue
            self.counts["silent"] += 1
            _log.warning("onebot.silent channel=%s", self.name)
            await talk.socket.close(1001)
            return

    async def _is_alive(self, talk: _Talk) -> bool:
        """Ask over the socket itself; an Event socket without heartbeats is as alive as its API twin."""
        if talk.role == "event" and talk.beats:
            return False
        link = talk.link if talk.role != "event" else next(iter(self._links()), None)
        if link is None:
            return False
        try:
            await ask(link, "get_status", {}, self._settings.call_seconds)
        except (Rejected, wire.Failed):
            return True  # even a refusal is a sign of life
        except Unavailable:
            return False
        return True

    async def _open_talk(self, talk: _Talk) -> None:
        """Learn who speaks, let the held events go, then catch up and learn what we may do."""
        api = await self._api_soon(talk)
        if api is not None:
            await self._greet(api)
        await self._let_go(talk)
        if api is not None:
            self._behind.possible()
            await self._learn_roles(api)

    async def _api_soon(self, talk: _Talk) -> Api | None:
        """Return the API of this socket; an Event socket waits a moment for its API twin."""
        if talk.role != "event":
            return talk.link
        try:
            async with asyncio.timeout(self._settings.call_seconds):
                await self._linked.wait()
            return self._api()
        except (TimeoutError, Unavailable):
            return self._api() if self._settings.api_url else None

    async def _greet(self, api: Api) -> None:
        """Learn which program speaks and for whom."""
        version = await attempt(api, "get_version_info", {}, self._settings.call_seconds)
        before = self._inbox.profile
        if self._settings.profile == "auto" and version:
            self._profile = wire.profile_of(version.get("app_name"))
        self._profile = self._profile or before or wire.UNKNOWN
        if before not in ("", self._profile):
            self._inbox.forget_keys()  # another program makes other ids
        self._inbox.profile = self._profile
        login = await attempt(api, "get_login_info", {}, self._settings.call_seconds)
        self._note_account(login.get("user_id"))
        _log.info("onebot.connected channel=%s profile=%s", self.name, self._profile)

    async def _learn_roles(self, api: Api) -> None:
        found = await health.roles_of(api, sorted(self._groups), self._self_id, self._settings.call_seconds)
        self._roles.update(found)
        self._weigh()

    def _weigh(self) -> None:
        """Say what the channel can do as far as is known: rights by our role, reading back by the program."""
        gone: set[Capability] = set()
        if all(self._roles.get(group) in ("member", "gone") for group in self._groups):
            gone |= {Capability.REMOVE, Capability.MUTE}
        if not self._has_history:
            gone |= {Capability.READ_BACK}
        self.capabilities = _CAPABILITIES - gone

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
        talk.beats |= value.get("meta_event_type") == "heartbeat"
        if talk.held is not None:
            talk.held.append(value)
            return
        await self._take_event(value)

    def _take_answer(self, answer: Mapping[str, Any], talk: _Talk) -> None:
        if talk.link.answer(answer):
            talk.useful = talk.useful or wire.is_ok(answer)
        elif answer.get("retcode") == 1403:
            self._trouble = "token"
            self.counts["token_refused"] += 1
            _log.warning("onebot.token_refused channel=%s", self.name)
        else:
            self.counts["late_answer"] += 1

    async def _take_event(self, event: Mapping[str, Any]) -> None:
        item = self._read(event)
        if item is None:
            return
        if isinstance(item, Broken) or item.kind is not PostKind.POST:
            await self._inbox.put(item)
            return
        group = item.thread or ""
        await self._inbox.put(
            item, group, self._behind.move(group, _mark(second_of(event), item.external_id))
        )

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
            self._note_about_us(event)
            return None
        if item.kind is PostKind.REMOVAL and item.thread and item.handle:
            self._remember_recall(item.thread, item.handle)
        return item

    def _note_about_us(self, event: Mapping[str, Any]) -> None:
        """Follow what becomes of our own account: logged out, made or unmade an administrator, put out."""
        news = wire.about_us(event, self._self_id)
        if news is None:
            return
        if news.group is None:
            if news.what == "offline":
                _log.warning("onebot.offline channel=%s", self.name)
            self.counts[news.what] += 1
        elif news.group in self._groups:
            _log.warning("onebot.rights channel=%s now=%s", self.name, news.what)
            self._roles[news.group] = news.what
            self._weigh()

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
            self.counts["signature_refused"] += 1
            return Response(403)
        self.counts["posted"] += 1
        try:
            event = decode_json(request.body)
            if not isinstance(event, dict):
                raise Malformed("the event is not an object", "shape")
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            return Response(204, items=(broken(self.name, error, request.body),))
        async with self._greeting:
            if not self._profile and self._settings.api_url:
                await self._greet(self._api())
        item = self._read(event)
        return Response(204, items=() if item is None else (item,))

    # --- catching up ---------------------------------------------------------------------------------

    async def _catch_up(self, group: str) -> None:
        """Read what a group may have missed; raises Unavailable."""
        api = self._api()
        since = self._inbox.mark(group)
        try:
            await self._read_history(api, group, since)
        except Rejected as error:
            self.counts["no_history"] += 1
            if isinstance(error, wire.NoAction):
                self._has_history = False
                self._weigh()
            if since is not None and (isinstance(error, wire.NoAction) or since != BEGINNING):
                await self._note_gap(group)
            await self._inbox.put(None, group, since or BEGINNING)

    async def _read_history(self, api: Api, group: str, since: Mark | None) -> None:
        async def call(action: str, params: Mapping[str, Any]) -> Any:
            return await ask(api, action, params, self._settings.call_seconds)

        settings = self._settings
        reach = Reach(settings.catch_up_hours, settings.catch_up_limit, settings.history_pause)
        found = await catch_up(call, self._context().profile, group, since, reach)
        if not found.complete:
            await self._note_gap(group)
        mark = since or BEGINNING
        is_wanted = since is not None or settings.catch_up_hours > 0
        for event in found.messages:
            whole = dict(event) | {"group_id": group, "post_type": "message", "message_type": "group"}
            item = self._read(whole)
            mark = self._place_of(whole, group) or mark
            if item is not None and is_wanted:
                await self._inbox.put(item, group, mark)
        await self._inbox.put(None, group, mark)

    def _place_of(self, event: Mapping[str, Any], group: str) -> Mark | None:
        """Return how far a message of the history moves the cursor, whoever wrote it."""
        key = wire.external_id(event, group, self._context().profile)
        return None if key is None else _mark(second_of(event), key)

    async def _note_gap(self, group: str) -> None:
        self.counts["gap"] += 1
        error = Malformed("messages were missed and the QQ program does not show them any more", "gap")
        await self._inbox.put(broken(self.name, error, b"", group))

    # --- acting --------------------------------------------------------------------------------------

    def _api(self) -> Api:
        links = self._links()
        if links:
            return links[-1]
        if self._settings.api_url and not self._closed:
            return HttpApi(self._session(), self._settings.api_url, self._settings.token)
        raise Unavailable("the QQ program is not connected")

    def _hand(self) -> Hand:
        settings = self._settings
        profile = self._context().profile
        return Hand(
            self._api(), self._groups, profile, self._self_id, settings.call_seconds, settings.history_pause
        )

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        receipt = self._known_recall(effect)
        if receipt is not None:
            return receipt
        await self._need_rights(effect)
        return await self._hand().perform(effect, author)

    async def _need_rights(self, effect: Effect) -> None:
        """Refuse what only an administrator may do where we were none; looks again first."""
        group = effect.thread or ""
        if effect.kind not in _ADMINS_ONLY or self._roles.get(group) not in ("member", "gone"):
            return
        await self._learn_roles(self._api())
        if self._roles.get(group) in ("member", "gone"):
            raise Rejected(
                "our QQ account is no administrator of the group; make it one in QQ, then try again"
            )

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        receipt = self._known_recall(effect)
        return receipt or await self._hand().read_back(effect)

    def _known_recall(self, effect: Effect) -> str | None:
        if effect.kind is not EffectKind.REMOVE or not effect.thread or not effect.handle:
            return None
        return self._recalled.get((effect.thread, effect.handle))

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Connect for real, ask the QQ program who and whether online, and what we may do in each group."""
        if not self._links() and self._settings.url and not self._closed:
            return await self._check_by_dialling()
        try:
            return await self._examine(self._api())
        except Unavailable:
            kind = "posted" if not self._trouble and self.counts["posted"] else self._trouble
            return self._health(False, health.trouble(kind, f"/onebot/v11/{self.name}"))

    async def _check_by_dialling(self) -> Health:
        """Open a socket of our own for the questions; its events are not taken."""
        url = self._settings.url.rstrip("/")
        url = url.removesuffix("event") + "api" if url.endswith("/event") else self._settings.url
        try:
            async with dial(self._session(), url, self._settings.token) as socket:
                talk = _Talk(socket, "api")
                reading = self._spawn(self._read_answers(talk))
                found = await self._examine(talk.link)
                await _stop([reading])
        except Unavailable as error:
            kind = "token" if isinstance(error, wire.TokenRefused) else "address"
            return self._health(False, health.trouble(kind, ""))
        return self._health(False, health.trouble("token", "")) if talk.refused else found

    async def _read_answers(self, talk: _Talk) -> None:
        while (frame := await talk.socket.receive()) is not None:
            try:
                value = decode_json(frame, MAX_FRAME)
            except Malformed:
                continue
            if isinstance(value, dict) and "post_type" not in value:
                talk.refused |= value.get("retcode") == 1403
                talk.link.answer(value)
        talk.link.lost()

    async def _examine(self, api: Api) -> Health:
        found = await health.examine(api, sorted(self._groups), self._settings.call_seconds)
        self._roles.update(found.roles)
        self._has_history = self._has_history and found.has_history
        self._weigh()
        return self._health(not found.faults, found.words())

    def _health(self, ok: bool, words: str) -> Health:
        names = frozenset(str(each) for each in self.capabilities)
        return Health(ok, words, names, {key: str(count) for key, count in sorted(self.counts.items())})

    async def close(self) -> None:
        """Close every socket and task; may be called twice."""
        self._closed = True
        await self._inbox.close()
        for talk in list(self._talks):
            await talk.socket.close(1001)
        await _stop(list(self._tasks))
        if self._http is not None:
            await self._http.close()
            self._http = None


class _Talk:
    """What is known of one socket: its calls, its role, events held until we know who speaks."""

    def __init__(self, socket: Socket, role: str) -> None:
        self.socket = socket
        self.link = Link(socket)
        self.role = role
        self.held: list[Mapping[str, Any]] | None = []
        self.heard = 0.0
        self.useful = False
        self.beats = False
        self.refused = False


def _token(headers: Mapping[str, str]) -> str:
    """Return the token of a reverse connection; go-cqhttp calls the scheme ``Token``."""
    scheme, _space, token = header(headers, "Authorization").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def _mark(second: int, key: str) -> Mark | None:
    """Return how far a message moves the cursor: never into the future, for clocks jump."""
    return Mark(min(second, int(time.time())), key) if second else None


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
