"""The gateway of the QQ official bot: hello, identify or resume, heartbeat, and how to go on after every end.

A broken connection resumes its session, and the gateway sends again what was missed. A session that is over is
begun anew; what came in between is lost, and is told as a gap.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from connectors import _qqbot_wire as wire
from connectors._http import patiently
from connectors._limits import MAX_FRAME, MAX_ITEM, decode_json
from connectors._qqbot_api import Api
from connectors._qqbot_inbox import Place
from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain

_log = logging.getLogger("connectors.qqbot")

REST: Final = 600.0
"""Seconds without any attempt after an end that a person has to mend."""
TRIES: Final = 8
"""Resumptions in a row that bring nothing before a session is given up: a frame in it cannot be read at all."""
_OUR_CODE: Final = 4000
"""Our own close code: the usual 1000 could be taken for the end of the session."""
_LARGEST: Final = 64 * 1024 * 1024
_TEXT: Final = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")

Frame = Mapping[str, Any]


class Taker(Protocol):
    """What takes from the gateway: the place reached, events, frames that cannot be read, and gaps."""

    @property
    def place(self) -> Place:
        """Return the session and number up to which everything was taken."""

    async def begun(self, session: str, seq: int) -> None:
        """Note that a session begins anew: what was said since the one before it is lost."""

    def lost(self) -> None:
        """Note that the session is over: the next connection begins another."""

    def alive(self) -> None:
        """Note a sign of life: up to now nothing was missed."""

    async def event(self, frame: Frame, raw: bytes, seq: int) -> None:
        """Take one event."""

    async def unreadable(self, error: Malformed, raw: bytes) -> None:
        """Take a frame that cannot be read."""


@dataclass(slots=True)
class _Talk:
    """One connection: what was heard on it."""

    resumes: bool
    is_ready: bool = False
    lost_session: bool = False
    asked_to_leave: bool = False
    close_code: int | None = None


def is_safe(url: str, schemes: tuple[str, str]) -> bool:
    """Say whether ``url`` is encrypted (the first scheme), or stays on this machine (the second)."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == schemes[0] or (parts.scheme == schemes[1] and host in _LOCAL))


class Gateway:
    """Keeps one session with the gateway (one shard) while :meth:`run` runs.

    Args:
        channel: name of the channel, for the log.
        api: tells the address and gives the token.
        taker: takes what comes.
        counts: counters of the channel.
        seconds: patience for the address, the hello and the begin of a session.
        retry: longest wait between two attempts.
    """

    def __init__(
        self, channel: str, api: Api, taker: Taker, counts: Counter[str], seconds: float, retry: float
    ) -> None:
        self.is_ready = False
        self.trouble = ""
        self._channel = channel
        self._api = api
        self._taker = taker
        self._counts = counts
        self._seconds = seconds
        self._retry = retry
        self._in_vain = 0
        self._not_before = 0.0

    async def run(self) -> None:
        """Stay connected; raises RateLimited or Rejected when there is no use in going on by itself."""
        await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))
        try:
            while True:
                async for tried in patiently(self._retry):
                    with tried:
                        await self._counted()
                await asyncio.sleep(min(0.5, self._retry))
        except Rejected:
            self._not_before = asyncio.get_running_loop().time() + REST
            raise
        finally:
            self.is_ready = False

    async def _counted(self) -> None:
        try:
            await self._once()
        except Unavailable:
            self._counts["connect_failed"] += 1
            self.trouble = self.trouble or "gateway"
            raise
        finally:
            self.is_ready = False

    # --- one connection ------------------------------------------------------------------------------

    async def _once(self) -> None:
        """Connect and read until the end; raises Unavailable unless the session stood for a while."""
        token = await self._api.token()
        url = await self._address()
        talk = _Talk(resumes=bool(self._taker.place.session))
        ws = await self._dial(url)
        try:
            await self._talk(ws, token, talk)
        finally:
            await ws.close(code=_OUR_CODE)
            self.is_ready = False
        talk.close_code = ws.close_code
        await self._ended(talk, token)

    async def _dial(self, url: str) -> aiohttp.ClientWebSocketResponse:
        closing = aiohttp.ClientWSTimeout(ws_close=2.0)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._api.session().ws_connect(url, max_msg_size=_LARGEST, timeout=closing)
        except (aiohttp.ClientError, OSError, TimeoutError, Uncertain):
            raise Unavailable("QQ's gateway does not answer") from None

    async def _address(self) -> str:
        answer = await self._api.ask("find the gateway", "/gateway/bot")
        url, limit = answer.get("url"), answer.get("session_start_limit")
        if not isinstance(url, str) or not is_safe(url, ("wss", "ws")):
            raise Unavailable("QQ told no usable address of its gateway")
        if not self._taker.place.session and isinstance(limit, dict) and limit.get("remaining") == 0:
            wait = limit.get("reset_after")
            seconds = wait / 1000 if isinstance(wait, int) and 0 < wait < 10**9 else REST
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            raise RateLimited(
                "QQ allows the bot no more sessions today; somebody else uses the same bot?", until
            )
        return url

    async def _talk(self, ws: aiohttp.ClientWebSocketResponse, token: str, talk: _Talk) -> None:
        hello = await self._next(ws, self._seconds)
        if hello is None or hello[0].get("op") != wire.HELLO:
            raise Unavailable("QQ's gateway did not say hello")
        interval = _interval(hello[0])
        await self._greet(ws, token)
        beating = asyncio.create_task(self._beat(ws, interval))
        try:
            while not (talk.asked_to_leave or talk.lost_session):
                patience = 2 * interval + 1 if talk.is_ready else self._seconds
                found = await self._next(ws, patience)
                if found is None:
                    return
                await self._take(*found, talk)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _next(self, ws: aiohttp.ClientWebSocketResponse, seconds: float) -> tuple[Frame, bytes] | None:
        """Return the next frame that can be read, or None at the end; the gateway is never silent for long."""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    message = await ws.receive()
            except TimeoutError:
                self._counts["silent"] += 1
                _log.warning("qqbot.silent channel=%s", self._channel)
                return None
            if message.type not in _TEXT:
                return None
            raw = message.data.encode("utf-8", "replace") if isinstance(message.data, str) else message.data
            try:
                return _frame(raw), raw
            except Malformed as error:
                await self._taker.unreadable(error, raw)

    async def _greet(self, ws: aiohttp.ClientWebSocketResponse, token: str) -> None:
        place, bearer = self._taker.place, f"QQBot {token}"
        if place.session:
            told: dict[str, Any] = {"token": bearer, "session_id": place.session, "seq": place.seq}
            await _send(ws, {"op": wire.RESUME, "d": told})
            return
        told = {"token": bearer, "intents": wire.GROUP_AND_C2C, "shard": [0, 1], "properties": {}}
        await _send(ws, {"op": wire.IDENTIFY, "d": told})

    async def _beat(self, ws: aiohttp.ClientWebSocketResponse, interval: float) -> None:
        try:
            while True:
                await _send(ws, {"op": wire.HEARTBEAT, "d": self._taker.place.seq or None})
                await asyncio.sleep(interval)
        except Unavailable:
            return  # the reader sees the end as well

    # --- frames --------------------------------------------------------------------------------------

    async def _take(self, frame: Frame, raw: bytes, talk: _Talk) -> None:
        op = frame.get("op")
        if op == wire.RECONNECT:
            talk.asked_to_leave = True
        elif op == wire.INVALID_SESSION:
            talk.lost_session = True
        elif op == wire.DISPATCH:
            await self._dispatch(frame, raw, talk)
        if talk.is_ready:
            self._taker.alive()

    async def _dispatch(self, frame: Frame, raw: bytes, talk: _Talk) -> None:
        kind, seq = wire.kind_of(frame), _number(frame.get("s"))
        if kind == "READY":
            data = frame.get("d")
            session = data.get("session_id") if isinstance(data, dict) else None
            if not isinstance(session, str) or not 0 < len(session) <= 500:
                raise Unavailable("QQ's gateway began a session without a name")
            await self._taker.begun(session, seq or 0)
        elif kind != "RESUMED":
            await self._taker.event(frame, raw, seq or self._taker.place.seq)
        self._in_vain = 0
        if kind in ("READY", "RESUMED"):
            talk.is_ready = self.is_ready = True
            self.trouble = ""
            self._counts[kind.lower()] += 1
            _log.info("qqbot.%s channel=%s", kind.lower(), self._channel)

    # --- the end -------------------------------------------------------------------------------------

    async def _ended(self, talk: _Talk, token: str) -> None:
        code = talk.close_code
        how = wire.after_close(code)
        self._counts[f"closed.{code or 'none'}"] += 1
        if how == wire.FATAL:
            self.trouble = f"closed.{code}"
            _log.error("qqbot.stopped channel=%s close=%s", self._channel, code)
            raise Rejected(_words_of_end(code))
        if not talk.is_ready:
            self._api.forget(token)
        self._in_vain += talk.resumes and not talk.is_ready
        if talk.lost_session or how == wire.ANEW or self._in_vain >= TRIES:
            self._in_vain = 0
            self._taker.lost()
        if not talk.is_ready:
            raise Unavailable("QQ's gateway closed the connection before the session stood")


def _words_of_end(code: int | None) -> str:
    if code == 4915:
        return "QQ has banned the bot (close code 4915); see the console of the bot"
    if code == 4914:
        return (
            "QQ has taken the bot down (close code 4914): only the sandbox works; publish it in the console"
        )
    if code == 4014:
        return "the bot has no right to group messages (close code 4014); apply for it in the console"
    return f"QQ's gateway refuses this bot (close code {code}); check its rights in the console"


def _frame(raw: bytes) -> Frame:
    value = decode_json(raw, MAX_FRAME)
    if not isinstance(value, dict):
        raise Malformed("the frame is not an object", "shape")
    if len(raw) > MAX_ITEM:
        raise Malformed(f"the event is longer than {MAX_ITEM} bytes", "too_large")
    return value


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _interval(hello: Frame) -> float:
    """Return the seconds between two heartbeats, within reason whatever the gateway says."""
    data = hello.get("d")
    told = data.get("heartbeat_interval") if isinstance(data, dict) else None
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    return min(max(told / 1000, 0.02), 300.0) if is_number else 45.0  # type: ignore[operator]


async def _send(ws: aiohttp.ClientWebSocketResponse, frame: Frame) -> None:
    try:
        await ws.send_str(json.dumps(frame))
    except (aiohttp.ClientError, ConnectionError, RuntimeError):
        raise Unavailable("the connection to QQ's gateway is gone") from None


__all__ = ["Gateway", "Taker", "is_safe"]
