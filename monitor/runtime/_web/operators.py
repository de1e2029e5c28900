"""Paths for those who run the service: alive, ready, figures, documents."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Final

import msgspec
from aiohttp import web

from monitor.bootstrap import App
from monitor.core.errors import StoreError
from monitor.core.roles import require
from monitor.runtime._web import figures, openapi, wire
from monitor.runtime._web.api import actor_of
from monitor.runtime._web.metrics import CONTENT_TYPE, METRICS
from monitor.runtime._web.shield import is_local
from monitor.runtime.parts import BEAT_SECONDS

FINE: Final = "ok"
PART: Final = "service"
MISSED_BEATS: Final = 6


def _store(app: App) -> str:
    with app.deps.uow.read() as store:
        store.operations.setting("ready")
    return FINE


def _migrations(app: App) -> str:
    """Compare the schema with the one that this program was made for; a good answer stays good."""
    known: list[str] = app.once("schema_at_head", list)
    if known:
        return FINE
    from monitor.adapters.sql import migrations

    current, head = migrations.status(app.config.store_url)
    if current != head:
        return "the database has another schema; run `huiyin db upgrade`"
    known.append(head)
    return FINE


def _intake(app: App) -> str:
    """Say whether the loops of this very process give signs of life."""
    if app.safe:
        return "the configuration has faults; channels are off, see `huiyin check`"
    oldest = app.deps.clock.now() - timedelta(seconds=MISSED_BEATS * BEAT_SECONDS)
    with app.deps.uow.read() as store:
        beats = [part for part in store.operations.parts() if part.name == PART and part.pid == os.getpid()]
    if any(part.state == "running" and part.beat_at >= oldest for part in beats):
        return FINE
    return "the intake is not running"


def readiness(app: App) -> wire.Readiness:
    """Return whether the store answers, its schema fits and the intake runs."""
    checks: dict[str, str] = {}
    for name, look in (("store", _store), ("migrations", _migrations), ("intake", _intake)):
        try:
            checks[name] = look(app)
        except StoreError as error:
            checks[name] = str(error)
    return wire.Readiness(all(said == FINE for said in checks.values()), checks)


def _json(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def add_routes(web_app: web.Application, app: App) -> None:
    """Open the operators' paths."""
    document = msgspec.json.encode(openapi.document())

    async def healthz(_request: web.Request) -> web.Response:
        return _json(wire.Alive(FINE))

    async def readyz(_request: web.Request) -> web.Response:
        found = await asyncio.to_thread(readiness, app)
        return _json(found, 200 if found.ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        if not is_local(request):
            actor = await actor_of(app, request)
            require(actor, "health.health")
        text = await asyncio.to_thread(request.app[METRICS].text)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def described(_request: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    async def open_json(_request: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(figures.of, app))

    for path, handler in (
        ("/healthz", healthz),
        ("/readyz", readyz),
        ("/metrics", metrics),
        ("/openapi.json", described),
        ("/open.json", open_json),
    ):
        web_app.router.add_get(path, handler)


__all__ = ["add_routes", "readiness"]
