"""The fake QQ program: an independent OneBot library talks to it, and its player keeps the demo alive."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiocqhttp import CQHttp, Event, Message
from aiocqhttp.exceptions import ActionFailed
from aiohttp import web
from onebot_scene import GROUP, TOKEN, until

from monitor.testing import _fake_week as week
from monitor.testing.fake_qq import FakeQQ, main, read_effects

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# --- an independent library ------------------------------------------------------------------------


@asynccontextmanager
async def library(**options: Any) -> AsyncIterator[tuple[CQHttp, int, list[Event]]]:
    """Run a bot of the library ``aiocqhttp`` that keeps every group message it hears."""
    bot = CQHttp(access_token=TOKEN, message_class=Message, **options)
    port, heard, stop = free_port(), [], asyncio.Event()
    bot.on_message("group")(heard.append)
    running = asyncio.create_task(bot.run_task(host="127.0.0.1", port=port, shutdown_trigger=stop.wait))
    try:
        yield bot, port, heard
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)


@pytest.mark.parametrize("profile", ["napcat", "llonebot", "lagrange", "go-cqhttp", "strict"])
async def test_library_hears_answers_and_recalls_over_a_reverse_socket(profile: str) -> None:
    async with library() as (bot, port, heard), FakeQQ(profile, TOKEN, reconnect=0.02) as fake:
        fake.connect(f"ws://127.0.0.1:{port}/ws/")
        await until(fake.connected.is_set)
        asked = await fake.say(GROUP, 20002000, "三食堂停水了? [真的]", name="小周")
        await until(lambda: heard)
        assert (heard[0].group_id, heard[0].user_id, heard[0].message_id) == (GROUP, 20002000, asked)
        assert str(heard[0].message) == "三食堂停水了? &#91;真的&#93;"
        assert heard[0].sender["nickname"] == "小周"
        answer = await bot.send(heard[0], "[CQ:reply,id=1]已转后勤处, 今天答复", self_id=fake.self_id)
        await bot.delete_msg(message_id=asked, self_id=fake.self_id)
        history = await bot.get_group_list(self_id=fake.self_id)
    assert [(done.action, done.message_id) for done in fake.done] == [
        ("send_group_msg", answer["message_id"]),
        ("delete_msg", asked),
    ]
    assert fake.done[0].text == "已转后勤处, 今天答复"
    assert history[0]["group_id"] == GROUP


async def test_library_hears_and_answers_over_http() -> None:
    api = free_port()
    async with library(api_root=f"http://127.0.0.1:{api}", secret="s3cret") as (bot, port, heard):
        fake = FakeQQ("napcat", TOKEN, secret="s3cret")
        await fake.start(api)
        fake.post_to(f"http://127.0.0.1:{port}/")
        while not heard:
            await fake.say(GROUP, 1, "有人吗")
            await asyncio.sleep(0.02)
        assert fake.post_statuses[-1] in (200, 204)
        said = await bot.send_group_msg(group_id=GROUP, message="在")
        await bot.delete_msg(message_id=said["message_id"])
        with pytest.raises(ActionFailed):
            await bot.delete_msg(message_id=12345)
        fake.secret = "another"
        await fake.say(GROUP, 1, "伪造的")
        assert fake.post_statuses[-1] == 403
        await fake.stop()
    assert [done.action for done in fake.done] == ["send_group_msg", "delete_msg"]


# --- what it remembers -----------------------------------------------------------------------------


async def test_messages_and_effects_outlive_the_fake(tmp_path: Path) -> None:
    state = tmp_path / "fake.jsonl"
    async with FakeQQ("napcat", TOKEN, state=state) as fake:
        first = await fake.say(GROUP, 1, "一", key="w1")
        second = await fake.say(GROUP, 2, "二", key="w2")
        await fake.recall(first)
        await fake._do_send_group_msg({"group_id": GROUP, "message": "答"})
        fake.memory.mark_played("w1")
    with state.open("a", encoding="utf-8") as file:
        file.write('{"kind": "message", "gro')  # killed while it wrote
    again = FakeQQ("napcat", TOKEN, state=state)
    assert [message.text for message in again.memory.group(GROUP).messages.values()] == ["二", "答"]
    assert again.memory.by_key("w2") == fake.memory.by_key("w2")
    assert again.memory.find(second) is not None
    assert again.memory.played == {"w1"}
    assert [done.text for done in read_effects(state)] == ["答"]
    assert again.memory.group(GROUP).last_seq == 3


async def test_old_messages_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.testing import _fake_groups

    monkeypatch.setattr(_fake_groups, "STORED", 10)
    fake = FakeQQ("napcat", TOKEN)
    first = await fake.say(GROUP, 1, "0")
    for number in range(1, 15):
        await fake.say(GROUP, 1, str(number))
    assert fake.memory.find(first) is None
    assert len(fake.memory.group(GROUP).messages) == 10


# --- the player ------------------------------------------------------------------------------------


@dataclass
class Stub:
    """A tiny service: takes the reverse socket, answers one message with a recall and a reply, keeps box forms."""

    events: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    box_refusals: int = 1
    ws: web.WebSocketResponse | None = None
    runner: web.AppRunner | None = None
    port: int = 0

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/onebot/v11/qq", self._socket)
        app.router.add_post("/box", self._box)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.ws is not None:
            await self.ws.close()
        if self.runner is not None:
            await self.runner.cleanup()

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=403)
        ws = web.WebSocketResponse(timeout=0.2)
        await ws.prepare(request)
        self.ws = ws
        async for frame in ws:
            value = json.loads(frame.data)
            (self.events if "post_type" in value else self.answers).append(value)
        return ws

    async def _box(self, request: web.Request) -> web.Response:
        fields = {key: str(value) for key, value in (await request.post()).items()}
        self.numbers.append(fields["once"])
        if self.box_refusals:
            self.box_refusals -= 1
            return web.Response(status=503)
        assert request.content_type == "application/x-www-form-urlencoded"
        self.origins.append(request.headers["Origin"])
        self.forms.append(fields)
        return web.Response(status=303, headers={"Location": "/box/r"})

    def messages(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["post_type"] == "message"]

    async def ask(self, action: str, **params: Any) -> dict[str, Any]:
        assert self.ws is not None
        echo = f"{action}{len(self.answers)}"
        await self.ws.send_json({"action": action, "params": params, "echo": echo})
        await until(lambda: any(answer.get("echo") == echo for answer in self.answers))
        return next(answer for answer in self.answers if answer.get("echo") == echo)


ROWS: list[dict[str, Any]] = [
    {"id": "a1", "at": 100, "via": "qq", "group": GROUP, "user": 11, "name": "甲", "role": "member", "event": "message", "text": "第一句", "reply_to": None},
    {"id": "a2", "at": 110, "via": "box", "group": None, "user": 0, "name": "", "role": "member", "event": "message", "text": "箱中一信", "reply_to": None, "contact": "a@example.org"},
    {"id": "a3", "at": 120, "via": "qq", "group": GROUP, "user": 12, "name": "乙", "role": "member", "event": "message", "text": "同问", "reply_to": "a1"},
    {"id": "a4", "at": 130, "via": "qq", "group": GROUP, "user": 11, "name": "甲", "role": "member", "event": "recall", "text": "", "reply_to": None, "target": "a1"},
    {"id": "a5", "at": 140, "via": "qq", "group": GROUP, "user": 12, "name": "乙", "role": "member", "event": "message", "text": "第三句", "reply_to": None},
]  # fmt: skip


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "week.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    return path


@contextmanager
def player(port: int, script: Path, *more: str, token: str = TOKEN) -> Iterator[subprocess.Popen[str]]:
    """Run the player as its own process, as ``make run`` does."""
    base = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "monitor.testing.fake_qq", "--week", str(script), "--token", token]
    command += ["--url", f"ws://{base}/onebot/v11/qq", "--box", f"http://{base}/box", *more]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def test_player_plays_the_script_and_stays_to_do_what_is_asked(script: Path, tmp_path: Path) -> None:
    stub, state = Stub(), tmp_path / "fake.jsonl"
    await stub.start()
    with player(stub.port, script, "--speed", "200", "--state", str(state)) as process:
        await until(lambda: len(stub.messages()) == 3, 15)
        one, two, three = stub.messages()
        assert [event["raw_message"] for event in (one, three)] == ["第一句", "第三句"]
        assert two["message"][0] == {"type": "reply", "data": {"id": str(one["message_id"])}}
        assert [
            event["message_id"] for event in stub.events if event.get("notice_type") == "group_recall"
        ] == [one["message_id"]]
        (form,) = stub.forms
        assert form.pop("once") == stub.numbers[0]  # sent again after the refusal, under the same number
        assert form == {"text": "箱中一信", "contact": "a@example.org", "unit": ""}
        assert stub.origins == [f"http://127.0.0.1:{stub.port}"]
        # the script has ended: what was played can still be answered and recalled
        await asyncio.sleep(0.3)
        assert process.poll() is None
        sent = await stub.ask(
            "send_group_msg", group_id=GROUP, message=[{"type": "text", "data": {"text": "答复机密"}}]
        )
        assert (sent["status"], sent["retcode"]) == ("ok", 0)
        assert (await stub.ask("delete_msg", message_id=three["message_id"]))["retcode"] == 0
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 5) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert "played 5 of 5; answers 1, recalls 1, mutes 0" in told
    assert "答复机密" not in told
    assert [done.action for done in read_effects(state)] == ["send_group_msg", "delete_msg"]
    await stub.stop()


async def test_player_outlives_the_service_and_goes_on_where_it_was(script: Path, tmp_path: Path) -> None:
    stub, port = Stub(box_refusals=0), free_port()
    with player(port, script, "--speed", "20", "--state", str(tmp_path / "s.jsonl")) as process:
        await asyncio.sleep(0.3)  # nobody is there yet
        await stub.start(port)
        await until(stub.messages, 30)  # a busy machine may let the next one through before we look
        await stub.stop()
        await asyncio.sleep(0.3)
        assert process.poll() is None
        await stub.start(port)
        await until(lambda: len(stub.messages()) >= 3, 30)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 5) == 0
    assert [event["raw_message"] for event in stub.messages()][-1] == "第三句"
    with player(port, script, "--speed", "0", "--state", str(tmp_path / "s.jsonl"), "--exit") as process:
        assert await asyncio.to_thread(process.wait, 15) == 0  # all was played before: nothing comes twice
    assert len(stub.messages()) == 3
    await stub.stop()


async def test_player_says_when_it_is_refused(script: Path) -> None:
    stub = Stub()
    await stub.start()
    with player(stub.port, script, token="wrong") as process:
        assert process.stderr is not None
        while "refused with HTTP 403" not in await asyncio.to_thread(process.stderr.readline):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 5) == 0
    await stub.stop()


async def test_player_ends_when_its_script_is_broken(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "x", "at": 0, "via": "qq", "group": "no number"}', encoding="utf-8")
    with player(free_port(), bad) as process:
        assert await asyncio.to_thread(process.wait, 10) != 0


async def test_player_names_a_missing_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--week", "/nowhere.jsonl", "--url", "ws://127.0.0.1:9/", "--token", "t"]) == 2
    assert "/nowhere.jsonl" in capsys.readouterr().err


async def test_row_that_was_said_and_not_marked_is_not_said_again(script: Path, tmp_path: Path) -> None:
    state = tmp_path / "s.jsonl"
    async with FakeQQ("napcat", TOKEN, state=state) as fake:
        await fake.say(GROUP, 11, "第一句", key="a1")  # and killed before it was marked
    fake = FakeQQ("napcat", TOKEN, state=state)
    fake.connected.set()
    begun = time.monotonic()
    await week.play(fake, week.Plan(week.read_week(script), 0.0))
    assert time.monotonic() - begun < 2
    said = [message.text for message in fake.memory.group(GROUP).messages.values()]
    assert said == ["同问", "第三句"]
    assert fake.memory.played == {"a2", "a3", "a4", "a5"}


async def test_http_calls_need_the_token() -> None:
    async with FakeQQ("strict", TOKEN) as fake, aiohttp.ClientSession() as http:
        for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 403)):
            async with http.post(f"{fake.http_url}/get_status", headers=headers) as response:
                assert response.status == status
        async with http.get(f"{fake.http_url}/get_status", params={"access_token": TOKEN}) as response:
            assert (await response.json())["data"] == {"online": True, "good": True}
