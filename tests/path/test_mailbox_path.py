"""From a member's letter to the answer in their mailbox, and to the robot that tells the staff: the whole service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.core.model import CaseKind, CaseState, Effect, EffectKind, EffectState, NewCase, NewEffect, Post
from monitor.core.ports import PostFilter
from monitor.runtime import serving
from monitor.testing.fake_mailbox import PASSWORD, USER, FakeMailbox
from monitor.testing.fake_robots import FakeRobots

pytestmark = pytest.mark.asyncio
MEMBER = "zhang.wei@example.edu.cn"
T = TypeVar("T")


def letter(words: str) -> bytes:
    head = (
        f"From: {MEMBER}\r\nTo: {USER}\r\nSubject: =?utf-8?B?5YGc5rC0?=\r\nMessage-ID: <zhang.wei.1@x.cn>\r\n"
    )
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{words}\r\n".encode()


@dataclass
class Place:
    """A data directory with a letter box and a robot."""

    folder: Path
    mail: FakeMailbox
    robots: FakeRobots

    def write(self) -> None:
        """Write the configuration with its secrets beside it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for name, secret in (("mail", PASSWORD), ("robot", self.robots.url("wecom"))):
            (self.folder / name).write_text(secret, encoding="utf-8")
        (self.folder / "huiyin.toml").write_text(
            f"""
[service]
port = {port}

[rules]
send_timeout = 5.0
human_after = 60.0

[channels.box]
type = "mailbox"
host = "127.0.0.1"
port = {self.mail.imap_port}
security = "none"
user = "{USER}"
password = {{ file = "mail" }}
smtp_host = "127.0.0.1"
smtp_port = {self.mail.smtp_port}
smtp_security = "none"
poll_seconds = 0.1
call_seconds = 5.0
retry_seconds = 0.2

[notifiers.office]
type = "wecom"
webhook_secret = {{ file = "robot" }}
quiet_hours = ""
gather_seconds = 0.0
link = "https://huiyin.example.edu.cn/review"
""",
            encoding="utf-8",
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[App]:
        """Run the service in this process until the block ends."""
        app = bootstrap.build(config.load(self.folder / "huiyin.toml", self.folder), models=False)
        stop = asyncio.Event()
        running = asyncio.create_task(serving.serve(app, stop))
        try:
            yield app
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)
            app.close()


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """The configuration and its counterparts."""
    mail, robots = FakeMailbox(), FakeRobots()
    await mail.start()
    await robots.start()
    made = Place(tmp_path, mail, robots)
    made.write()
    yield made
    await robots.stop()
    await mail.stop()


async def until(look: Callable[[], T], seconds: float = 40.0) -> T:
    async with asyncio.timeout(seconds):
        while not (found := await asyncio.to_thread(look)):
            await asyncio.sleep(0.05)
    return found


def stored(app: App) -> list[Post]:
    with app.deps.uow.read() as store:
        return store.posts.page(PostFilter(channel="box"), None, 100)


def write_answer(app: App, post: Post) -> int:
    """Put an answer to ``post`` into the outbox, as an approved reply does."""
    now = app.deps.clock.now()
    new = NewCase(CaseKind.GRIEVANCE, CaseState.REGISTERED, 1, "box", (post.id,), "test", thread=post.thread)
    with app.deps.uow.begin() as store:
        case = store.cases.open(new, now)
        effect = NewEffect(
            key=f"reply:1:{post.id}",
            kind=EffectKind.REPLY,
            channel="box",
            case_id=case.id,
            not_before=now - timedelta(seconds=1),
            thread=post.thread,
            handle=post.handle,
            post_id=post.id,
            text="已转后勤处。编号〔H-1-1〕",
            mark="〔H-1-1〕",
        )
        return store.outbox.add(effect, now)


def settled(app: App, effect_id: int) -> Effect | None:
    with app.deps.uow.read() as store:
        found = store.outbox.get(effect_id)
    return found if found.state in (EffectState.SENT, EffectState.NEEDS_HUMAN) else None


async def test_a_letter_is_answered_once_in_its_thread_over_restarts(place: Place) -> None:
    place.mail.inbox.put(letter("二楼从昨天起没有水。\n\n-- \n张伟"))
    number = 0
    for _life in range(2):
        async with place.serving() as running:
            (post,) = await until(partial(stored, running))
            assert post.text == "停水\n二楼从昨天起没有水。"
            assert "zhang" not in f"{post}"
            number = number or await asyncio.to_thread(write_answer, running, post)
            effect = await until(partial(settled, running, number))
            assert effect is not None
            assert effect.state is EffectState.SENT
    ((to, _data),) = place.mail.sent
    (answer,) = place.mail.answers()
    assert to == [MEMBER]
    assert answer["In-Reply-To"] == "<zhang.wei.1@x.cn>"
    assert not place.robots.said


async def test_an_answer_that_perhaps_left_waits_for_a_person_and_the_staff_are_told(place: Place) -> None:
    place.mail.inbox.put(letter("没有水"))
    place.mail.faults.lose_answer = 1
    async with place.serving() as app:
        (post,) = await until(lambda: stored(app))
        number = await asyncio.to_thread(write_answer, app, post)
        effect = await until(lambda: settled(app, number))
        assert effect is not None
        assert effect.state is EffectState.NEEDS_HUMAN
        await until(lambda: place.robots.said)
    assert len(place.mail.sent) == 1
    ((_maker, text),) = place.robots.said
    assert text.split("\n")[1:] == [
        "没能送出、需要人处理的答复或操作 1 件",
        "https://huiyin.example.edu.cn/review",
    ]
