"""The paths that connectors open for platforms: what is pushed is stored before it is acknowledged (E-02)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from monitor import logs
from monitor.bootstrap import App
from monitor.core.errors import ConfigError, ConnectorError, PluginError, StoreError
from monitor.core.ports import Request, Response, Route
from monitor.runtime._web import problems, sockets, wire
from monitor.runtime._web.problems import Problem, Refusal
from monitor.runtime._web.shield import address_of
from monitor.runtime._web.sockets import SOCKETS, ServerSocket
from monitor.runtime.intake import store_pushed
from monitor.usecases.channels import note_error
from monitor.usecases.ingest import ItemResult

ACCEPTED: Final = 202
_log = logs.get("service")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def results(items: Sequence[ItemResult]) -> bytes:
    """Return the body that says what became of each item, in order."""
    rows = [wire.ItemOut(item.external_id, item.outcome, item.reason) for item in items]
    return msgspec.json.encode(wire.PushedOut(rows))


async def _pushed(app: App, channel: str, route: Route, request: web.Request) -> web.Response:
    if route.handle is None:
        raise Refusal("request.not_found", "this path takes WebSockets only")
    body = await request.read()
    asked = Request(request.method, request.path, request.headers, request.query, body, address_of(request))
    answer: Response = await route.handle(asked)
    stored = await store_pushed(app, channel, answer.items) if answer.items else []
    headers = dict(answer.headers)
    if answer.status == ACCEPTED and not answer.body:
        headers["Content-Type"] = "application/json"
        return web.Response(status=ACCEPTED, body=results(stored), headers=headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _refused(status: int) -> web.Response:
    kind = problems.PREFIX + ("auth.required" if status == 401 else "connector.rejected")
    return problems.response(Problem(kind, "The channel refused the connection", status))


async def _connected(route: Route, request: web.Request) -> web.StreamResponse:
    if route.accept is None or route.socket is None:
        raise Refusal("request.not_found", "this path takes no WebSocket")
    refused = route.accept(request.headers, request.query)
    if refused is not None:
        return _refused(refused)
    ws = sockets.new()
    await ws.prepare(request)
    socket = ServerSocket(ws, request.headers)
    every = request.app[SOCKETS]
    every.add(socket)
    try:
        await route.socket(socket)
    except (ConnectorError, PluginError) as error:
        _log.warning("service.socket_failed", error=error)
    finally:
        every.discard(socket)
        await socket.close()
    return ws


def _handler(app: App, channel: str, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _connected(route, request)
        return await _pushed(app, channel, route, request)

    return handle


def _routes(app: App) -> list[tuple[str, Route]]:
    """Return (channel, route) of every declared channel that can be built."""
    found: list[tuple[str, Route]] = []
    for name in app.config.channels if not app.safe else ():
        try:
            found += [(name, route) for route in app.connector(name).routes()]
        except (ConfigError, PluginError) as error:
            _log.warning("service.no_routes", channel=name, error=error)
    return found


def add_routes(web_app: web.Application, app: App) -> None:
    """Open the paths of every declared channel; one that cannot be built, or wants a taken path, opens none."""
    taken: dict[str, str] = {}
    for channel, route in _routes(app):
        if taken.setdefault(route.path, channel) != channel:
            said = (
                f"the channel `{taken[route.path]}` has the path {route.path} already; rename one of the two"
            )
            with contextlib.suppress(StoreError):
                note_error(app.deps, channel, said, None)
            _log.error("service.path_taken", channel=channel, by=taken[route.path])
            continue
        for method in ("GET", "POST"):
            web_app.router.add_route(method, route.path, _handler(app, channel, route))


__all__ = ["add_routes", "results"]
