"""What platforms push: stored before it is acknowledged, forged and late ones refused, sockets kept and closed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import web_world
from aiohttp import web
from web_world import Answer, World

from monitor.adapters.guard import GuardedConnector
from monitor.core.errors import PluginError, StoreError, Unavailable
from monitor.core.model import Effect, Health, RawPost
from monitor.core.ports import Capability, Incoming, PostFilter, Request, Response, Route, Socket
from monitor.runtime import service
from monitor.runtime._web import channels
from monitor.runtime._web.sockets import SOCKETS

pytestmark = pytest.mark.asyncio
POSTS = "/v1/channels/site/posts"
NAMED = '[channels.fake]\ntype = "box"\n'


# --- the signed webhook ----------------------------------------------------------------------------


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with web_world.serving(tmp_path, web_world.HOOK, people=False) as served:
        yield served


def signed(
    body: bytes, key: str = web_world.KEY, at: float | None = None, name: str = "msg_1"
) -> dict[str, str]:
    """Return the headers of Standard Webhooks, made here by hand."""
    stamp = str(int(time.time() if at is None else at))
    secret = base64.b64decode(key.removeprefix("whsec_"))
    mac = hmac.new(secret, b".".join((name.encode(), stamp.encode(), body)), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signature}


async def push(world: World, what: Any, **how: Any) -> Answer:
    body = what if isinstance(what, bytes) else json.dumps(what).encode()
    return await world.ask("POST", POSTS, data=body, headers=signed(body, **how))


def stored(world: World) -> list[str]:
    with world.deps.uow.read() as store:
        return [post.text for post in store.posts.page(PostFilter(), None, 1000)]


async def test_a_list_gets_a_result_per_item_after_it_is_stored(world: World) -> None:
    items = [{"id": "a", "text": "一"}, {"id": "b", "text": ""}, {"text": "三"}, {"id": "a", "text": "一"}, 7]
    answer = await push(world, items)
    assert (answer.status, answer.headers["Content-Type"]) == (202, "application/json")
    outcomes = [(item["id"], item["outcome"]) for item in answer.json["results"]]
    assert outcomes[0] == ("a", "new")
    assert outcomes[3] == ("a", "duplicate")
    assert [outcome for _id, outcome in outcomes] == [
        "new",
        "quarantined",
        "quarantined",
        "duplicate",
        "quarantined",
    ]
    assert all(item["reason"] for item in answer.json["results"] if item["outcome"] == "quarantined")
    assert stored(world) == ["一"]


async def test_one_post_alone_and_the_same_again_is_once(world: World) -> None:
    post = {"id": "p1", "author": "a81f", "text": "三食堂又停水了", "posted_at": "2026-01-01T08:00:00+08:00"}
    assert [a["outcome"] for a in (await push(world, post)).json["results"]] == ["new"]
    assert [a["outcome"] for a in (await push(world, post)).json["results"]] == ["duplicate"]
    edited = post | {"text": "三食堂来水了"}
    assert [a["outcome"] for a in (await push(world, edited)).json["results"]] == ["updated"]


async def test_one_bad_post_of_a_hundred_stops_nobody(world: World) -> None:
    items: list[Any] = [{"id": f"p{n}", "text": f"第 {n} 条"} for n in range(100)]
    items[42] = {"id": "p42", "text": {"not": "text"}}
    answer = await push(world, items)
    outcomes = [item["outcome"] for item in answer.json["results"]]
    assert (outcomes.count("new"), outcomes[42]) == (99, "quarantined")
    assert len(stored(world)) == 99


async def test_forged_late_and_early_pushes_are_refused(world: World) -> None:
    body = json.dumps({"id": "x", "text": "假的"}).encode()
    good, now = signed(body), time.time()
    other = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()
    forged = [
        {},
        good | {"webhook-signature": ""},
        good | {"webhook-signature": "v1,AAAA"},
        good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        good | {"webhook-id": "msg_2"},
        good | {"webhook-timestamp": str(int(now) + 1)},
        good | {"webhook-timestamp": "NaN"},
        signed(body + b" "),
        signed(body, key=other),
        signed(body, at=now - 301),
        signed(body, at=now + 301),
        *(
            good
            | {
                "webhook-signature": "v1,"
                + base64.b64encode(hashlib.sha256(str(n).encode()).digest()).decode()
            }
            for n in range(100)
        ),
    ]
    for headers in forged:
        answer = await world.ask("POST", POSTS, data=body, headers=headers)
        assert answer.status == 401, headers
    assert stored(world) == []
    assert (await world.ask("POST", POSTS, data=body, headers=good)).status == 202


BAD = {
    "no json": b"{",
    "surrogate": b'{"id": "s", "text": "\\ud83d"}',
    "nul": b'{"id": "s", "text": "a\\u0000b"}',
    "bytes": b'{"id": "s", "text": "\xff\xfe"}',
    "nan": b'{"id": "s", "text": "x", "posted_at": NaN}',
    "digits": b'{"id": ' + b"9" * 5000 + b', "text": "x"}',
    "2**70": b'{"id": 1180591620717411303424, "text": "x"}',
    "deep": b"[" * 100_000,
    "deep object": b'{"id": "s", "text": "x", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "empty": b"",
    "too many": json.dumps([{"id": str(n), "text": "x"} for n in range(1001)]).encode(),
    "long": json.dumps({"id": "l", "text": "长" * 20_001}).encode(),
    "times": b'{"id": "t", "text": "x", "posted_at": "9999-99-99T00:00:00Z"}',
}


@pytest.mark.parametrize("name", BAD)
async def test_signed_nonsense_never_breaks_anything(world: World, name: str) -> None:
    answer = await push(world, BAD[name])
    assert answer.status in (202, 400, 413), name
    assert (await push(world, {"id": "after", "text": "后面的还在"}, name="msg_2")).status == 202
    assert "后面的还在" in stored(world)


async def test_a_mebibyte_is_the_most(world: World) -> None:
    pad = 1024 * 1024 - len(json.dumps({"id": "m", "text": "x", "pad": ""}))
    body = json.dumps({"id": "m", "text": "x", "pad": "p" * pad}).encode()
    assert (await push(world, body)).status in (202, 413)
    assert (await push(world, body + b" ")).status == 413


async def test_nothing_is_acknowledged_that_is_not_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_given: object) -> None:
        raise StoreError("the disk is full; free space, nothing was stored")

    monkeypatch.setattr(channels, "store_pushed", full)
    answer = await push(world, {"id": "x", "text": "要重发"})
    assert (answer.status, answer.problem) == (503, "store")
    assert int(answer.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert (await push(world, {"id": "x", "text": "要重发"})).json["results"][0]["outcome"] == "new"


async def test_only_declared_channels_are_open(world: World) -> None:
    body = b'{"id": "x", "text": "x"}'
    answer = await world.ask("POST", "/v1/channels/other/posts", data=body, headers=signed(body))
    assert (answer.status, answer.problem) == (404, "request.not_found")
    assert (await world.get(POSTS)).status in (401, 405)


async def test_a_thousand_posts_at_once_are_all_stored_before_their_answers(world: World) -> None:
    async def one(n: int) -> Answer:
        return await push(world, [{"id": f"{n}-{m}", "text": f"{n} 之 {m}"} for m in range(20)], name=f"m{n}")

    answers = await asyncio.gather(*(one(n) for n in range(50)))
    assert {answer.status for answer in answers} == {202}
    assert {item["outcome"] for answer in answers for item in answer.json["results"]} == {"new"}
    assert len(stored(world)) == 1000


# --- any connector ---------------------------------------------------------------------------------


class Fake:
    """A connector whose route does what a test wants."""

    def __init__(self, name: str = "fake", path: str = "/fake/in") -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self.path = path
        self.asked: list[Request] = []
        self.answer: Response | Exception = Response(200, b"ok", {"Content-Type": "text/plain"})
        self.refuse: int | None = None
        self.frames: list[str | None] = []
        self.socket: Socket | None = None
        self.fails = False

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        for batch in ():
            yield batch

    def routes(self) -> Sequence[Route]:
        return (Route(self.path, handle=self._handle, accept=self._accept, socket=self._socket),)

    async def _handle(self, request: Request) -> Response:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _accept(self, headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:
        return self.refuse

    async def _socket(self, socket: Socket) -> None:
        self.socket = socket
        while (frame := await socket.receive()) is not None:
            self.frames.append(frame)
            if self.fails:
                raise KeyError("a secret")
            await socket.send(f"got {frame}")
        self.frames.append(None)

    async def perform(self, effect: Effect, author: str | None) -> str:
        raise Unavailable("no")

    async def read_back(self, effect: Effect) -> str | None:
        raise Unavailable("no")

    async def check(self) -> Health:
        return Health(True, "fine")

    async def close(self) -> None:
        return


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest_asyncio.fixture
async def faked(tmp_path: Path, fake: Fake) -> AsyncIterator[World]:
    app = web_world.new_app(tmp_path, NAMED)
    app._connectors["fake"] = GuardedConnector(fake, "fake", 5.0)
    async with web_world.served(app) as world:
        yield world


async def test_a_connector_sees_the_raw_request(faked: World, fake: Fake) -> None:
    headers = {"X-Signature": "abc", "X-Forwarded-For": "203.0.113.9"}
    answer = await faked.ask("POST", "/fake/in?echostr=1&b=%E9%A3%9F", data=b"\x00\xff raw", headers=headers)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"ok", "text/plain")
    (request,) = fake.asked
    assert (request.method, request.path, request.body) == ("POST", "/fake/in", b"\x00\xff raw")
    assert request.headers["x-signature"] == "abc"
    assert dict(request.query) == {"echostr": "1", "b": "食"}
    assert request.remote == "203.0.113.9"
    assert (await faked.get("/fake/in")).status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable("later"), 503), (KeyError("a secret"), 500), (PluginError("a secret"), 500)],
)
async def test_a_connector_that_fails_is_a_problem(
    faked: World, fake: Fake, error: Exception, status: int
) -> None:
    fake.answer = error
    answer = await faked.ask("POST", "/fake/in", data=b"x")
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b"secret" not in answer.body


async def test_items_are_stored_whatever_the_status(faked: World, fake: Fake) -> None:
    fake.answer = Response(200, b"success", {}, (RawPost("fake", "1", "微信来的"),))
    assert (await faked.ask("POST", "/fake/in", data=b"x")).body == b"success"
    with faked.deps.uow.read() as store:
        assert store.posts.count() == 1


async def test_figures_count_items_by_outcome(faked: World, fake: Fake) -> None:
    post = RawPost("fake", "1", "微信来的")
    fake.answer = Response(202, items=(post, post))
    await faked.ask("POST", "/fake/in", data=b"x")
    lines = (await faked.get("/metrics")).text.splitlines()
    assert 'huiyin_items_total{outcome="new"} 1.0' in lines
    assert 'huiyin_items_total{outcome="duplicate"} 1.0' in lines


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_socket_is_refused_before_the_upgrade(faked: World, fake: Fake, status: int) -> None:
    fake.refuse = status
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await faked.client.ws_connect(f"{faked.url}/fake/in")
    assert caught.value.status == status
    assert fake.socket is None


async def test_frames_go_both_ways_until_the_peer_closes(faked: World, fake: Fake) -> None:
    async with faked.client.ws_connect(f"{faked.url}/fake/in") as ws:
        await ws.send_str("一")
        assert await ws.receive_str() == "got 一"
        await ws.send_bytes("二".encode())
        assert await ws.receive_str() == "got 二"
        assert len(faked.web_app[SOCKETS]) == 1
    for _n in range(50):
        await asyncio.sleep(0.02)
        if not len(faked.web_app[SOCKETS]):
            break
    assert fake.frames == ["一", "二", None]
    assert len(faked.web_app[SOCKETS]) == 0
    assert fake.socket is not None
    with pytest.raises(Unavailable):
        await fake.socket.send("三")


async def test_a_big_frame_is_taken_and_a_connector_that_fails_closes_only_its_socket(
    faked: World, fake: Fake
) -> None:
    async with faked.client.ws_connect(f"{faked.url}/fake/in", max_msg_size=0) as ws:
        await ws.send_str("长" * 2_000_000)
        assert len(await ws.receive_str()) == 2_000_004
        fake.fails = True
        await ws.send_str("x")
        assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert (await faked.get("/healthz")).status == 200


async def test_a_get_without_an_upgrade_is_no_socket(faked: World, fake: Fake) -> None:
    assert (
        await faked.ask("GET", "/fake/in", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    ).status == 200
    broken = await faked.ask("GET", "/fake/in", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert broken.status == 400
    assert fake.socket is None


async def test_a_stop_says_goodbye_to_sockets_and_finishes_requests(tmp_path: Path, fake: Fake) -> None:
    begun = asyncio.Event()

    async def slowly(_request: Request) -> Response:
        begun.set()
        await asyncio.sleep(0.4)
        return Response(200, b"finished")

    fake._handle = slowly  # type: ignore[method-assign]
    app = web_world.new_app(tmp_path, NAMED)
    app._connectors["fake"] = GuardedConnector(fake, "fake", 5.0)
    runner = web.AppRunner(service.create(app), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}/fake/in") as ws:
        await ws.send_str("hier")
        await ws.receive_str()
        asking = asyncio.create_task(client.post(f"{url}/fake/in", data=b"x"))
        await begun.wait()
        started = time.monotonic()
        stopping = asyncio.create_task(runner.cleanup())
        message = await ws.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        async with await asking as answer:
            assert await answer.read() == b"finished"
        await stopping
        assert 0.3 < time.monotonic() - started < 2.0
    app.close()


async def test_the_second_channel_that_wants_a_path_is_told_and_stops_nobody(tmp_path: Path) -> None:
    app = web_world.new_app(tmp_path, NAMED + '[channels.twin]\ntype = "box"\n')
    first, second = Fake("fake", "/same"), Fake("twin", "/same")
    for each in (first, second):
        app._connectors[each.name] = GuardedConnector(each, "fake", 5.0)
    async with web_world.served(app) as world:
        assert (await world.ask("POST", "/same", data=b"x")).status == 200
        with world.deps.uow.read() as store:
            told = {row.name: row.last_error for row in store.channels.status()}
    assert (len(first.asked), len(second.asked)) == (1, 0)
    assert "`fake` has the path /same already" in (told["twin"] or "")


async def test_in_safe_mode_no_channel_is_open_and_the_pages_are(tmp_path: Path, fake: Fake) -> None:
    app = web_world.new_app(tmp_path, NAMED)
    app.safe = True
    app._connectors["fake"] = GuardedConnector(fake, "fake", 5.0)
    async with web_world.served(app) as world:
        assert (await world.ask("POST", "/fake/in", data=b"x")).status == 404
        assert (await world.get("/box")).status == 200
        checks = (await world.get("/readyz")).json["checks"]
    assert "huiyin check" in checks["intake"]
