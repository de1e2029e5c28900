"""What stands before every path: errors become documents or pages, every answer carries the same armour.

The access log is off and nothing here logs a path, a query or an address: links and receipts are secrets.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from monitor import logs
from monitor.adapters import guard
from monitor.core.errors import HuiyinError
from monitor.runtime._web import problems
from monitor.runtime._web.metrics import METRICS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Page = Callable[[web.Request, HuiyinError], web.Response]

BODY_LIMIT: Final = 1024 * 1024
_FORWARDED: Final = "X-Forwarded-For"
_log = logs.get("service")

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer carries unless its handler said otherwise."""


async def armour(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of the house (a signal of aiohttp, called before the headers leave)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.headers.get("X-Forwarded-Proto") == "https" and _is_loopback(request.remote or ""):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    response.headers["Server"] = "huiyin"


# --- who asks --------------------------------------------------------------------------------------


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def address_of(request: web.Request) -> str:
    """Return the address that asks; behind a proxy on this machine, the one that the proxy saw.

    Only a peer on the loopback is believed about ``X-Forwarded-For``, and only its last entry: the one that our
    own proxy added.
    """
    peer = request.remote or ""
    forwarded = request.headers.getall(_FORWARDED, [])
    if not forwarded or not _is_loopback(peer):
        return peer
    return forwarded[-1].rpartition(",")[2].strip() or peer


def is_local(request: web.Request) -> bool:
    """Say whether the request comes from this very machine and not through a proxy."""
    return _is_loopback(request.remote or "") and _FORWARDED not in request.headers


def from_own_page(request: web.Request, base_url: str) -> bool:
    """Say whether a form was sent from a page of ours, as far as the browser tells.

    Browsers name the origin of every form they send; what names none is no browser, and has no other person's
    session to abuse. ``Origin: null`` is a page that hides where it comes from.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() in {request.host.lower(), urlsplit(base_url).netloc.lower()}


# --- errors and times ------------------------------------------------------------------------------


def route_name(request: web.Request) -> str:
    """Return the template of the path that answers: never the path itself, which may hold a secret."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical


def watch(page: Page, pages: frozenset[str]) -> Middleware:
    """Return the middleware that turns errors into answers and measures how long each answer took.

    Args:
        page: how an error looks to a person.
        pages: first parts of the paths that are for persons; all others get problem documents.
    """

    def refused(request: web.Request, error: HuiyinError) -> web.Response:
        if request.path.split("/")[1] in pages:
            return page(request, error)
        return problems.from_error(error)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response: web.StreamResponse
        try:
            response = await guard.fenced(handler(request), web.HTTPException, web.RequestPayloadError)
        except web.HTTPException as error:
            response = error if error.status < 400 else refused(request, problems.from_http(error))
        except web.RequestPayloadError:
            refusal = problems.Refusal(
                "request.malformed", "the body does not keep its own encoding or length"
            )
            response = refused(request, refusal)
        except HuiyinError as error:
            if problems.problem_of(error).status >= 500:
                _log.warning("service.failed", route=route_name(request), error=error)
            response = refused(request, error)
        request.app[METRICS].took(
            request.method, route_name(request), response.status, time.perf_counter() - started
        )
        return response

    return middleware


__all__ = [
    "BODY_LIMIT",
    "HEADERS",
    "address_of",
    "armour",
    "from_own_page",
    "is_local",
    "route_name",
    "watch",
]
