"""The sockets between us and a QQ program, whoever opened them: reading, greeting, watching, dialling again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from connectors import _onebot_wire as wire
from connectors._http import patiently
from connectors._inbox import Inbox
from connectors._limits import MAX_FRAME, MAX_ITEM, broken, decode_json
from connectors._onebot_account import Account
from connectors._onebot_api import Api, HttpApi, Link, ask
from connectors._onebot_catchup import CatchUp
from connectors._sockets import dial
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable
from monitor.core.ports import Socket

_log = logging.getLogger("connectors.onebot")

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """How to reach the QQ program: addresses, token and patience in seconds."""

    name: str
    url: str
    api_url: str
    token: str
    call: float
    silence: float
    retry: float


class Talk:
    """What is known of one socket: its calls, its role, events held until we know who speaks."""

    def __init__(self, socket: Socket, role: str) -> None:
        self.socket = socket
        self.link = Link(socket)
        self.role = role
        self.held: list[Event] = []
        self.is_greeted = False
        self.free = asyncio.Event()
        self.heard = 0.0
        self.useful = False
        self.beats = False
        self.refused = False


class Talks:
    """Every open socket of one channel.

    Args:
        line: how to reach the QQ program.
        account: what is known of it.
        inbox: where unreadable frames go.
        behind: is told when something may have been missed.
        take_event: takes one event.
    """

    def __init__(
        self,
        line: Line,
        account: Account,
        inbox: Inbox,
        behind: CatchUp,
        take_event: Callable[[Event], Awaitable[None]],
    ) -> None:
        self.counts: Counter[str] = account.counts
        self._line = line
        self._account = account
        self._inbox = inbox
        self._behind = behind
        self._take_event = take_event
        self._open: list[Talk] = []
        self._linked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    # --- reaching the other side ---------------------------------------------------------------------

    def links(self) -> list[Link]:
        """Return the sockets over which actions can be called."""
        return [talk.link for talk in self._open if talk.role != "event"]

    def api(self) -> Api:
        """Return the best way to call actions; raises Unavailable when there is none."""
        links = self.links()
        if links:
            return links[-1]
        if self._line.api_url and not self._closed:
            return HttpApi(self._session(), self._line.api_url, self._line.token)
        raise Unavailable("the QQ program is not connected")

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        return self._http

    def dialling(self) -> list[Coroutine[Any, Any, None]]:
        """Return what keeps the configured address connected: one socket, or the pair /event and /api."""
        url = self._line.url
        if not url:
            return []
        if self._api_address() == url:
            return [self._keep_dialling(url, "universal")]
        return [self._keep_dialling(url, "event"), self._keep_dialling(self._api_address(), "api")]

    def _api_address(self) -> str:
        bare = self._line.url.rstrip("/")
        return bare.removesuffix("event") + "api" if bare.endswith("/event") else self._line.url

    async def _keep_dialling(self, url: str, role: str) -> None:
        while not self._closed:
            async for tried in patiently(self._line.retry):
                with tried:
                    await self._dial_once(url, role)
            await asyncio.sleep(min(0.5, self._line.retry))

    async def _dial_once(self, url: str, role: str) -> None:
        try:
            async with dial(self._session(), url, self._line.token, self._line.call) as socket:
                self._account.trouble = ""
                if not await self.serve(socket, role):
                    raise Unavailable("the QQ program closed the connection before it said anything")
        except Unavailable as error:
            usual = "token" if isinstance(error, wire.TokenRefused) else "address"
            self._account.trouble = self._account.trouble or usual
            self.counts["connect_failed"] += 1
            raise

    async def look(self, examine: Callable[[Api], Awaitable[None]]) -> None:
        """Open a socket of our own for some questions; its events are not taken.

        Raises: Unavailable, TokenRefused.
        """
        async with dial(self._session(), self._api_address(), self._line.token, self._line.call) as socket:
            talk = Talk(socket, "api")
            reading = self.spawn(self._read_answers(talk))
            await examine(talk.link)
            await stop([reading])
        if talk.refused:
            raise wire.TokenRefused("the QQ program refused the token; set the same token on both sides")

    async def _read_answers(self, talk: Talk) -> None:
        while (frame := await talk.socket.receive()) is not None:
            try:
                value = decode_json(frame, MAX_FRAME)
            except Malformed:
                continue
            if isinstance(value, dict) and "post_type" not in value:
                talk.refused |= value.get("retcode") == 1403
                talk.link.answer(value)
        talk.link.lost()

    # --- one socket ----------------------------------------------------------------------------------

    async def serve(self, socket: Socket, role: str) -> bool:
        """Read a socket until it ends; return whether the other side ever said something useful."""
        talk = Talk(socket, role)
        self._open.append(talk)
        if role != "api":
            self._behind.broken()  # before its first event: what came between two sockets may be missing
        if role != "event":
            self._linked.set()
        helpers = [self.spawn(self._begin(talk)), self.spawn(self._watch(talk))]
        try:
            while not self._closed and (frame := await socket.receive()) is not None:
                talk.heard = asyncio.get_running_loop().time()
                await self._take_frame(frame, talk)
        finally:
            await self._end(talk, helpers)
        return talk.useful

    async def _end(self, talk: Talk, helpers: Sequence[asyncio.Task[None]]) -> None:
        self._open.remove(talk)
        if not self.links():
            self._linked.clear()
        talk.link.lost()
        await stop(helpers)
        await self._let_go(talk)

    async def _begin(self, talk: Talk) -> None:
        """Learn who speaks, let the held events go, then let the gap be read and learn what we may do."""
        api = await self._api_soon(talk)
        if api is not None:
            await self._account.greet(api, self._line.call)
        await self._let_go(talk)
        if api is not None:
            self._behind.possible()
            await self._account.learn_roles(api, self._line.call)

    async def _api_soon(self, talk: Talk) -> Api | None:
        """Return the API of this socket; an Event socket waits a moment for its API twin."""
        if talk.role != "event":
            return talk.link
        try:
            async with asyncio.timeout(self._line.call):
                await self._linked.wait()
            return self.api()
        except (TimeoutError, Unavailable):
            return self.api() if self._line.api_url else None

    async def _let_go(self, talk: Talk) -> None:
        """Take the events that were held until we knew who speaks; until that is done the reader waits."""
        talk.is_greeted = True
        while talk.held:
            await self._take_event(talk.held[0])
            talk.held.pop(0)
        talk.free.set()

    async def _watch(self, talk: Talk) -> None:
        """Close a socket that has fallen silent, so that a new one can take its place, or that nobody reads."""
        loop, silence = asyncio.get_running_loop(), self._line.silence
        talk.heard = loop.time()
        while True:
            await asyncio.sleep(silence / 3)
            if not self._inbox.is_stuck:
                is_quiet = loop.time() - talk.heard >= silence and not self._inbox.is_full
                if not is_quiet or await self._is_alive(talk):
                    continue
                self.counts["silent"] += 1
                _log.warning("onebot.silent channel=%s", self._line.name)
            await talk.socket.close(1001)
            return

    async def _is_alive(self, talk: Talk) -> bool:
        """Ask over the socket itself; an Event socket without heartbeats is as alive as its API twin."""
        if talk.role == "event" and talk.beats:
            return False
        link = talk.link if talk.role != "event" else next(iter(self.links()), None)
        if link is None:
            return False
        try:
            await ask(link, "get_status", {}, self._line.call)
        except (Rejected, wire.Failed):
            return True  # even a refusal is a sign of life
        except Unavailable:
            return False
        return True

    # --- frames --------------------------------------------------------------------------------------

    async def _take_frame(self, frame: str, talk: Talk) -> None:
        raw = frame.encode("utf-8", "replace")
        try:
            value = decode_json(raw, MAX_FRAME)
            if not isinstance(value, dict):
                raise Malformed("the frame is not an object", "shape")
            if "post_type" in value and len(raw) > MAX_ITEM:
                raise Malformed(f"the event is longer than {MAX_ITEM} bytes", "too_large")
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            await self._inbox.put(broken(self._line.name, error, raw))
            return
        if "post_type" not in value:
            self._take_answer(value, talk)
            return
        talk.useful = True
        talk.beats |= value.get("meta_event_type") == "heartbeat"
        if not talk.is_greeted:
            talk.held.append(value)
            return
        await talk.free.wait()
        await self._take_event(value)

    def _take_answer(self, answer: Event, talk: Talk) -> None:
        if talk.link.answer(answer):
            talk.useful = talk.useful or wire.is_ok(answer)
        elif answer.get("retcode") == 1403:
            self._account.trouble = "token"
            self.counts["token_refused"] += 1
            _log.warning("onebot.token_refused channel=%s", self._line.name)
        else:
            self.counts["late_answer"] += 1

    # --- work in the background ----------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside; a connector error ends it and is counted."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _task: work.close())  # for one that was cancelled before it began
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectorError as error:
            self.counts[error.code] += 1
            _log.warning("onebot.failed channel=%s code=%s", self._line.name, error.code)

    async def close(self) -> None:
        """Close every socket and end every task."""
        self._closed = True
        for talk in list(self._open):
            await talk.socket.close(1001)
        await stop(list(self._tasks))
        if self._http is not None:
            await self._http.close()
            self._http = None

    @property
    def is_closed(self) -> bool:
        """Say whether :meth:`close` was called."""
        return self._closed


async def stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


__all__ = ["Line", "Talk", "Talks", "stop"]
