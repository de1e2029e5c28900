"""Calling OneBot v11 actions: over a WebSocket with answers matched by echo, or over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from connectors._http import read_bounded
from connectors._limits import MAX_FRAME, decode_json
from connectors._onebot_wire import NoAction, error_of, is_ok
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable, Uncertain
from monitor.core.ports import Socket


class Api(Protocol):
    """Something that carries out actions."""

    async def call(self, action: str, params: Mapping[str, Any], seconds: float) -> Any:
        """Return the ``data`` of the answer.

        Raises: Unavailable (surely not done), Rejected, Uncertain (sent, no answer in ``seconds``).
        """


def _data(action: str, answer: Mapping[str, Any]) -> Any:
    if is_ok(answer):
        return answer.get("data")
    if answer.get("status") == "async":
        raise Uncertain(f"{action} was queued by the QQ program; its outcome is unknown")
    raise error_of(action, answer)


class Link:
    """Actions over one WebSocket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._count = 0
        self._lost = False

    async def call(self, action: str, params: Mapping[str, Any], seconds: float) -> Any:
        """Send one action and wait for its answer (see :class:`Api`)."""
        if self._lost:
            raise Unavailable("the connection is gone")
        self._count += 1
        echo = f"h{self._count}"
        waiting = self._waiting[echo] = asyncio.get_running_loop().create_future()
        frame = json.dumps({"action": action, "params": params, "echo": echo})
        try:
            async with asyncio.timeout(seconds):
                await self._socket.send(frame)
                answer = await waiting
        except TimeoutError:
            raise Uncertain(f"{action} was sent and not answered within {seconds:g} s") from None
        except Unavailable:  # the frame may have left before the socket was found broken
            raise Uncertain(f"the connection broke while {action} was sent") from None
        finally:
            self._waiting.pop(echo, None)
        return _data(action, answer)

    def answer(self, frame: Mapping[str, Any]) -> bool:
        """Take an answer; False when nobody waits for it."""
        echo = frame.get("echo")
        waiting = self._waiting.get(echo) if isinstance(echo, str) else None
        if waiting is None or waiting.done():
            return False
        waiting.set_result(frame)
        return True

    def lost(self) -> None:
        """Tell everyone who waits that the socket is gone."""
        self._lost = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Uncertain("the connection broke before the answer"))


class HttpApi:
    """Actions over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, action: str, params: Mapping[str, Any], seconds: float) -> Any:
        """Post one action (see :class:`Api`)."""
        try:
            async with self._session.post(
                f"{self._url}/{action}",
                json=params,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                return self._read(action, response.status, await read_bounded(response))
        except aiohttp.ClientConnectorError:
            raise Unavailable("the QQ program's HTTP address does not answer") from None
        except (aiohttp.ClientError, TimeoutError, Malformed):
            raise Uncertain(f"{action} was sent and not answered readably within {seconds:g} s") from None

    def _read(self, action: str, status: int, body: bytes) -> Any:
        """Judge by the code in the body; NapCat answers 200 for everything, and a proxy answers pages."""
        if status in (401, 403):
            raise error_of(action, {"retcode": status})
        try:
            answer = decode_json(body, MAX_FRAME)
        except Malformed:
            answer = None
        if not isinstance(answer, dict) or "status" not in answer:
            if status == 404:
                raise NoAction(f"the QQ program does not know the action {action}")
            raise Uncertain(f"{action} was answered with something that is no OneBot answer (HTTP {status})")
        return _data(action, answer)


async def ask(api: Api, action: str, params: Mapping[str, Any], seconds: float) -> Any:
    """Call an action that changes nothing: no answer means Unavailable, never Uncertain."""
    try:
        return await api.call(action, params, seconds)
    except Uncertain as error:
        raise Unavailable(str(error)) from None


async def attempt(api: Api, action: str, params: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Call like :func:`ask` and return an object, an empty one when the call fails or answers otherwise."""
    try:
        data = await ask(api, action, params, seconds)
    except (Unavailable, Rejected):
        return {}
    return data if isinstance(data, dict) else {}


__all__ = ["Api", "ConnectorError", "HttpApi", "Link", "ask", "attempt"]
