"""Forms of members: read within bounds, from our own pages only, a few a minute per address (S-11)."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from monitor.bootstrap import App
from monitor.runtime._web.limiter import Limiter
from monitor.runtime._web.page import language_of
from monitor.runtime._web.problems import Refusal
from monitor.runtime._web.shield import address_of, from_own_page
from monitor.words import speaking

FORM_LIMIT: Final = 256 * 1024
FIELDS_MOST: Final = 24
LANGUAGE: Final = web.RequestKey("language", str)
RECENT_MOST: Final = 500


class Recent:
    """Receipts of forms that were sent moments ago: the same form sent twice (a double click) is one writing.

    Kept in memory, bounded, by the random number that stands in the form.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[str, asyncio.Future[str]] = OrderedDict()

    async def once(self, number: str, make: Callable[[], Awaitable[str]]) -> str:
        """Return what ``make`` returns, or what it returned for the same number; a failure is not kept."""
        if not number:
            return await make()
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = asyncio.ensure_future(make())
            while len(self._made) > RECENT_MOST:
                self._made.popitem(last=False)
        try:
            return await asyncio.shield(made)
        finally:
            if made.done() and (made.cancelled() or made.exception() is not None):
                self._made.pop(number, None)


@dataclass(slots=True)
class Desk:
    """What the members' pages share: the limits per address and the forms of the last moments."""

    app: App
    forms: Limiter = field(default_factory=Limiter)
    receipts: Limiter = field(default_factory=Limiter)
    recent: Recent = field(default_factory=Recent)


DESK: Final = web.AppKey("desk", Desk)


def new_number() -> str:
    """Return a number for the form that is about to be shown."""
    return secrets.token_urlsafe(12)


async def _fields(request: web.Request) -> dict[str, str]:
    if (request.content_length or 0) > FORM_LIMIT:
        raise Refusal("request.too_large")
    body = await request.read()
    if len(body) > FORM_LIMIT:
        raise Refusal("request.too_large")
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refusal("request.malformed", "a form is expected")
    try:
        pairs = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_MOST)
    except ValueError:
        raise Refusal("request.malformed", "the form has too many fields") from None
    return {name: values[0].replace("\r\n", "\n") for name, values in pairs.items()}


Answer = Callable[[web.Request, Mapping[str, str]], Awaitable[web.Response]]


def spoken(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler that reads the form, if one was posted, and answers in its language."""

    async def handle(request: web.Request) -> web.Response:
        fields = await _fields(request) if request.method == "POST" else {}
        language = language_of(request, fields.get("lang"))
        request[LANGUAGE] = language
        with speaking(language):
            return await answer(request, fields)

    return handle


def admit(request: web.Request, limiter: Limiter) -> str:
    """Let a posted form through and return a name for its sender that is no address.

    Raises: Refusal when it comes from a foreign page, or too often from one address.
    """
    base_url = request.app[DESK].app.deps.rules.base_url
    if not from_own_page(request, base_url):
        raise Refusal("auth.origin", "open the form on its own page and send it from there")
    address = address_of(request)
    wait = limiter.take(address)
    if wait:
        raise Refusal("request.rate_limited", f"wait {wait} seconds", headers={"Retry-After": str(wait)})
    return limiter.disguised(address)


__all__ = ["DESK", "LANGUAGE", "Answer", "Desk", "Recent", "admit", "new_number", "spoken"]
