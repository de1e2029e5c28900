"""The gate before every screen: no session, no page, no socket, no asset of value.

A pure ASGI middleware that sees HTTP and WebSocket scopes. It owns the identity headers that the screens read:
whatever a client sends under their names is thrown away first.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "huiyin_sid"
LANG_COOKIE = "huiyin_lang"
KEYS_COOKIE = "huiyin_keys"
REVOKED = 4401

Who = Callable[[str], str | None]
Home = Callable[[str], str | None]

_OPEN = ("/login", "/lang", "/healthz", "/_stcore/health", "/favicon.ico", "/favicon.png")
_OPEN_FOLDERS = ("/static/",)
_AGENT = "/_stcore/agent"
_POLICY = (
    "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


def cookies(scope: Scope) -> dict[str, str]:
    """Return the cookies of a request; a broken header means none."""
    found: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        if name != b"cookie":
            continue
        try:
            found.update({k: m.value for k, m in SimpleCookie(value.decode("latin-1")).items()})
        except CookieError:
            continue
    return found


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this (lower-case) name."""
    return next((v.decode("latin-1") for k, v in scope.get("headers", ()) if k == name), None)


def same_origin(scope: Scope) -> bool:
    """Say whether the request comes from our own pages: ``Origin`` must name the host that was asked."""
    origin, host = header(scope, b"origin"), header(scope, b"host")
    if not origin or not host:
        return False
    return urlsplit(origin).netloc.lower() == host.lower()


def safe_next(target: str | None, base: str = "") -> str:
    """Return where to go after signing in: a path of ours, never another host.

    Args:
        target: what the ``next`` field holds, from outside.
        base: path under which the screens are served, ``""`` for the root.
    """
    home = f"{base}/"
    if not target or not target.startswith(home) or target.startswith("//"):
        return home
    if "\\" in target or any(ord(c) < 32 for c in target) or urlsplit(target).netloc:
        return home
    return target


def fingerprint(sid: str) -> str:
    """Return what may be kept of a session id in memory maps."""
    return hashlib.sha256(sid.encode()).hexdigest()


@dataclass(slots=True)
class Gate:
    """ASGI middleware that lets signed-in people through.

    Args:
        app: the screens.
        who: looks up the login of a session id (blocking; None when it is over), without prolonging it.
        base: path under which the screens are served.
        watch: seconds between two looks at the session behind an open socket.
        fresh: seconds for which one look-up is remembered for HTTP requests.
        home: name of the page a session begins with: its address is the root, under its own name Streamlit has none.
    """

    app: ASGIApp
    who: Who
    base: str = ""
    watch: float = 5.0
    fresh: float = 1.0
    home: Home = lambda _sid: None
    _seen: dict[str, tuple[float, str | None]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            await self._http(scope, receive, _armoured(send))
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _path(self, scope: Scope) -> str:
        path: str = scope["path"]
        inside = self.base and (path == self.base or path.startswith(self.base + "/"))
        return path[len(self.base) :] or "/" if inside else path

    async def _login(self, sid: str | None) -> str | None:
        if not sid:
            return None
        key, now = fingerprint(sid), time.monotonic()
        found = self._seen.get(key)
        if found is None or now - found[0] > self.fresh:
            if len(self._seen) > 4096:
                self._seen.clear()
            found = (now, await asyncio.to_thread(self.who, sid))
            self._seen[key] = found
        return found[1]

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._path(scope)
        jar = cookies(scope)
        answer: ASGIApp
        if path.startswith(_AGENT):
            answer = PlainTextResponse("not found", 404)
        elif path in _OPEN or path.startswith(_OPEN_FOLDERS):
            answer, scope = self.app, _marked(scope, None, jar)
        else:
            login = await self._login(jar.get(COOKIE))
            answer = self._refusal(scope, path) if login is None else await self._page(scope, path, jar)
            scope = _marked(scope, login, jar)
        await answer(scope, receive, send)

    async def _page(self, scope: Scope, path: str, jar: dict[str, str]) -> ASGIApp:
        """Return the screens, or the way to the root for the page that a person begins with."""
        if not _asks_page(scope) or path.count("/") != 1 or path == "/":
            return self.app
        if path[1:] != await asyncio.to_thread(self.home, jar[COOKIE]):
            return self.app
        query = scope.get("query_string", b"").decode("latin-1")
        return RedirectResponse(f"{self.base}/{f'?{query}' if query else ''}", 303)

    def _refusal(self, scope: Scope, path: str) -> ASGIApp:
        if not _asks_page(scope) or path.startswith("/_stcore") or path == "/session":
            return PlainTextResponse("sign in first", 401)
        query = scope.get("query_string", b"").decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{self.base}/login?next={quote(target, safe='/')}", 303)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        jar = cookies(scope)
        sid = jar.get(COOKIE)
        login = await asyncio.to_thread(self.who, sid) if sid else None
        if sid is None or login is None or not same_origin(scope):
            await receive()
            await send({"type": "websocket.close", "code": REVOKED})
            return
        await self._watched(_marked(scope, login, jar), receive, send, sid)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, sid: str) -> None:
        over = asyncio.Event()

        async def watcher() -> None:
            while await asyncio.to_thread(self.who, sid) is not None:
                await asyncio.sleep(self.watch)
            over.set()

        async def until_over() -> Message:
            return await _first(receive, over)

        watching = asyncio.create_task(watcher())
        try:
            await self.app(scope, until_over, _quiet_after(send, over))
        finally:
            watching.cancel()
        if over.is_set():
            await send({"type": "websocket.close", "code": REVOKED})


def _asks_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and "text/html" in (header(scope, b"accept") or "")


async def _first(receive: Receive, over: asyncio.Event) -> Message:
    """Wait for the next message of the client, or for the end of the session: then the client is gone for us."""
    gone: Message = {"type": "websocket.disconnect", "code": REVOKED}
    if over.is_set():
        return gone
    message = asyncio.ensure_future(receive())
    ended = asyncio.ensure_future(over.wait())
    try:
        done, _ = await asyncio.wait({message, ended}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        message.cancel()
        ended.cancel()
        raise
    ended.cancel()
    if message in done:
        return message.result()
    message.cancel()
    return gone


def _quiet_after(send: Send, over: asyncio.Event) -> Send:
    async def quiet(message: Message) -> None:
        if not over.is_set():
            await send(message)

    return quiet


def _armoured(send: Send) -> Send:
    async def armoured(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message.get("headers", ())}
            extra = [pair for pair in HEADERS if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return armoured


def _marked(scope: Scope, login: str | None, jar: dict[str, str]) -> dict[str, Any]:
    """Return the scope with our identity headers and nobody else's."""
    kept = [(k, v) for k, v in scope.get("headers", ()) if not k.startswith(b"x-huiyin-")]
    if login is not None:
        lang = "en" if jar.get(LANG_COOKIE) == "en" else "zh"
        keys = "off" if jar.get(KEYS_COOKIE) == "off" else "on"
        kept += [
            (b"x-huiyin-login", quote(login).encode()),
            (b"x-huiyin-sid", jar[COOKIE].encode("latin-1")),
            (b"x-huiyin-lang", lang.encode()),
            (b"x-huiyin-keys", keys.encode()),
        ]
    return {**scope, "headers": kept}
