"""A served world for the tests of the web service: a real server on a port over a real SQLite store."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from aiohttp import web

from monitor import config as configuration
from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.bootstrap import App
from monitor.core.model import SYSTEM, Role
from monitor.core.ports import Capability, ChannelConfig
from monitor.runtime import service
from monitor.testing.builders import FixedClock, deps_over, raw
from monitor.usecases import accounts, ingest, understand
from monitor.usecases.deps import Deps

PASSWORD = "seven quiet herons cross"
KEY = "whsec_aHVpeWluLXN0YW5kYXJkLXdlYmhvb2tzLTMyYnl0ZXM="
PEOPLE = (
    ("mo", "莫审", "工会审核员", Role.MODERATOR, None),
    ("mona", "莫娜", "工会审核员", Role.MODERATOR, None),
    ("otto", "欧干", "工会干事", Role.OFFICER, None),
    ("lea", "李讲", "宣传委员", Role.LEADER, None),
    ("hana", "韩办", "后勤科长", Role.HANDLER, "后勤处"),
    ("ada", "安管", "系统管理员", Role.ADMIN, None),
)


@cache
def _empty() -> bytes:
    """Return an empty database at the newest revision (copying is faster than migrating)."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrations.upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _peopled() -> tuple[bytes, dict[str, str]]:
    """Return a database with one account per role, a token each, and a channel that can do everything."""
    with TemporaryDirectory() as folder:
        deps = new_deps(Path(folder))
        with deps.uow.begin() as store:
            store.channels.declare(ChannelConfig("qq", "onebot", {}), [str(each) for each in Capability])
        tokens = {}
        for login, name, title, role, unit in PEOPLE:
            accounts.add_account(deps, SYSTEM, login, name, title, frozenset({role}), unit, PASSWORD)
            tokens[login] = accounts.issue_token(deps, SYSTEM, login, "test")
        deps.uow.close()
        return (Path(folder) / "huiyin.db").read_bytes(), tokens


def new_deps(folder: Path, database: bytes | None = None) -> Deps:
    """Return dependencies over a store of their own in ``folder``; the clock stands still."""
    path = folder / "huiyin.db"
    path.write_bytes(database or _empty())
    clock = FixedClock()
    return deps_over(open_store(f"sqlite:///{path}", clock.now, b"k" * 32), clock=clock)


def new_app(folder: Path, channels: str = "", port: int = 8780, database: bytes | None = None) -> App:
    """Return an application over ``database``, or an empty one, with the declared ``channels`` (TOML)."""
    (folder / "key").write_text(KEY, encoding="utf-8")
    (folder / configuration.FILE).write_text(channels, encoding="utf-8")
    config = configuration.load(None, folder, {"HUIYIN_SERVICE_PORT": str(port)})
    return App(config, new_deps(folder, database))


BOX = '[channels.box]\ntype = "box"\n'
HOOK = '[channels.site]\ntype = "webhook"\nsecrets = [{ file = "key" }]\n'


@dataclass
class Answer:
    """What came back, read to the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The type of a problem document, without its prefix."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.body[:300])
        document = self.json
        assert document["status"] == self.status
        return str(document["type"]).removeprefix("urn:huiyin:")


@dataclass
class World:
    """The served application and a client."""

    app: App
    url: str
    client: aiohttp.ClientSession
    web_app: web.Application
    tokens: dict[str, str] = field(default_factory=dict)
    count: int = 0

    @property
    def deps(self) -> Deps:
        return self.app.deps

    @property
    def clock(self) -> FixedClock:
        clock = self.app.deps.clock
        assert isinstance(clock, FixedClock)
        return clock

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        if isinstance(how.get("data"), bytes) and len(how["data"]) > 500_000:
            how["data"] = io.BytesIO(how["data"])
        async with self.client.request(method, self.url + path, allow_redirects=False, **how) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, login: str | None = None, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=self._signed(login) | headers)

    async def change(self, login: str, path: str, body: Any, key: str | None = None) -> Answer:
        self.count += 1
        headers = self._signed(login) | {"Idempotency-Key": key or f"key-{self.count}"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, data=data, headers=headers | {"Content-Type": "application/json"})

    async def form(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
        """Send a form as a browser does from our own page."""
        given = {"Sec-Fetch-Site": "same-origin"} if headers is None else headers
        return await self.ask("POST", path, data=fields, headers=given)

    def _signed(self, login: str | None) -> dict[str, str]:
        return {} if login is None else {"Authorization": f"Bearer {self.tokens[login]}"}

    def hear(self, *texts: str, channel: str = "qq") -> None:
        """Take posts in and understand them."""
        start = sum(1 for _login in self.tokens) + self.count
        self.count += len(texts)
        items = [raw(f"h{start + n}", text, channel=channel) for n, text in enumerate(texts)]
        ingest.ingest(self.deps, channel, items)
        while understand.process(self.deps, "test"):
            pass


@asynccontextmanager
async def serving(folder: Path, channels: str = BOX, people: bool = True) -> AsyncIterator[World]:
    """Serve an application on a free port of the loopback."""
    database, tokens = await asyncio.to_thread(_peopled) if people else (None, {})
    async with served(new_app(folder, channels, database=database)) as world:
        world.tokens.update(tokens)
        yield world


@asynccontextmanager
async def served(app: App) -> AsyncIterator[World]:
    """Serve ``app`` on a free port of the loopback."""
    web_app = service.create(app)
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as client:
            yield World(app, f"http://127.0.0.1:{port}", client, web_app)
    finally:
        await runner.cleanup()
        for connector in app.connectors.values():
            await connector.close()
        app.close()


class Served:
    """A world served in a thread of its own, for clients that block."""

    def __init__(self, folder: Path, channels: str = BOX) -> None:
        self._folder = folder
        self._channels = channels
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self.world: World | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        async with serving(self._folder, self._channels) as world:
            self.world = world
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> World:
        self._thread.start()
        assert self._ready.wait(30)
        assert self.world is not None
        return self.world

    def __exit__(self, *_exc: object) -> None:
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()
