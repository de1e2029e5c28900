"""From a QQ group to the store and back by the official bot: the whole service over SQLite and real sockets."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.core.model import CaseKind, CaseState, Effect, EffectKind, EffectState, NewCase, NewEffect, Post
from monitor.core.ports import PostFilter
from monitor.runtime import serving
from monitor.testing.fake_qqbot import FakeQQBot

pytestmark = pytest.mark.asyncio
GROUP, MEMBER = "0F3C" + "0" * 28, "7D21" + "0" * 28


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the channel type also where the project was installed before it had it."""
    group, usual = "huiyin.connectors", bootstrap.plugins
    mine = EntryPoint("qqbot", "connectors.qqbot:connector", group)

    def plugins(name: str) -> Mapping[str, EntryPoint]:
        return {**usual(name), "qqbot": mine} if name == group else usual(name)

    monkeypatch.setattr(bootstrap, "plugins", plugins)


@dataclass
class Place:
    """Where one service lives: its folder and its port."""

    folder: Path
    port: int

    def write(self, fake: FakeQQBot, mode: str) -> None:
        (self.folder / "secret").write_text(fake.secret, encoding="utf-8")
        (self.folder / "secret").chmod(0o600)
        file = self.folder / "huiyin.toml"
        file.write_text(
            f"""
[service]
port = {self.port}

[rules]
effect_delay = 0.05
send_timeout = 1.0
human_after = 60.0

[channels.bot]
type = "qqbot"
app_id = "{fake.app_id}"
secret = {{ file = "secret" }}
groups = ["{GROUP}"]
mode = "{mode}"
api_url = "{fake.url}"
call_seconds = 0.5
retry_seconds = 0.2
""",
            encoding="utf-8",
        )
        file.chmod(0o600)

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
            await asyncio.wait_for(running, 20)
            app.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Place(tmp_path, probe.getsockname()[1])


def stored(app: App) -> list[Post]:
    with app.deps.uow.read() as store:
        return store.posts.page(PostFilter(channel="bot"), None, 5000)


async def until_stored(app: App, count: int, seconds: float = 20.0) -> list[Post]:
    async with asyncio.timeout(seconds):
        while len(await asyncio.to_thread(stored, app)) < count:
            await asyncio.sleep(0.05)
    return stored(app)


async def until_begun(app: App, seconds: float = 10.0) -> None:
    """Wait until the place in a first session is committed."""

    def cursor() -> str | None:
        with app.deps.uow.read() as store:
            return store.channels.cursor("bot")

    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(cursor):
            await asyncio.sleep(0.02)


async def test_group_is_stored_once_over_breaks_repeats_and_restarts(place: Place) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, said = random.Random(seed), []
    async with FakeQQBot() as fake:
        place.write(fake, "gateway")
        for life in range(3):
            fake.connected.clear()
            async with place.serving() as app:
                await asyncio.wait_for(fake.connected.wait(), 10)
                await until_begun(app)  # what is said before a first cursor stands is lost with the process
                for number in range(40):
                    said.append(f"第{life}世第{number:02}句，食堂的豆浆又凉了")
                    data = await fake.say(GROUP, MEMBER, said[-1])
                    if chance.random() < 0.2:
                        await fake.emit("GROUP_MESSAGE_CREATE", data)
                    if chance.random() < 0.05:
                        await fake.drop(4009)
            said.append(f"第{life}世之后")
            await fake.say(GROUP, MEMBER, said[-1])
        async with place.serving() as app:
            posts = await until_stored(app, len(said))
            with app.deps.uow.read() as store:
                assert store.quarantine.counts() == {}
    assert Counter(post.text for post in posts) == Counter(said)
    assert all(post.revision == 1 for post in posts)


async def test_push_is_stored_before_it_is_acknowledged(place: Place) -> None:
    async with FakeQQBot() as fake:
        place.write(fake, "webhook")
        async with place.serving() as app:
            url = f"http://127.0.0.1:{place.port}/qqbot/bot"
            async with asyncio.timeout(10):
                while True:
                    try:
                        status, _body = await fake.validate(url, "Arq0D5A61EgUu4OxUvOp", "1725442341")
                        break
                    except OSError:
                        await asyncio.sleep(0.05)
            assert status == 200
            for _time in range(2):
                await fake.emit("GROUP_MESSAGE_CREATE", fake.message(GROUP, MEMBER, "三食堂停水了"))
            assert fake.statuses == [200, 200, 200]
            assert len(stored(app)) == 2
            fake.secret = "another"
            await fake.say(GROUP, MEMBER, "假的")
            assert fake.statuses[-1] == 401
            assert len(stored(app)) == 2


def write_answer(app: App, post: Post) -> int:
    """Put an answer to ``post`` into the outbox, as an approved reply does."""
    now = app.deps.clock.now()
    new = NewCase(CaseKind.GRIEVANCE, CaseState.REGISTERED, 1, "bot", (post.id,), "test", thread=post.thread)
    with app.deps.uow.begin() as store:
        case = store.cases.open(new, now)
        effect = NewEffect(
            key=f"reply:1:{post.id}",
            kind=EffectKind.REPLY,
            channel="bot",
            case_id=case.id,
            not_before=now - timedelta(seconds=1),
            thread=post.thread,
            handle=post.handle,
            post_id=post.id,
            text="已转后勤处。编号〔H-1-1〕",
            mark="〔H-1-1〕",
        )
        return store.outbox.add(effect, now)


async def settled(app: App, effect_id: int, seconds: float = 30.0) -> Effect:
    def look() -> Effect:
        with app.deps.uow.read() as store:
            return store.outbox.get(effect_id)

    async with asyncio.timeout(seconds):
        while (effect := await asyncio.to_thread(look)).state not in (
            EffectState.SENT,
            EffectState.NEEDS_HUMAN,
        ):
            await asyncio.sleep(0.1)
    return effect


@pytest.mark.parametrize(
    ("fault", "state", "sent"),
    [
        ("", EffectState.SENT, 1),
        ("silent_after", EffectState.NEEDS_HUMAN, 1),
        ("drop_after", EffectState.NEEDS_HUMAN, 1),
        ("drop_before", EffectState.NEEDS_HUMAN, 0),
    ],
)
async def test_answer_is_never_sent_again_by_itself(
    place: Place, fault: str, state: EffectState, sent: int
) -> None:
    async with FakeQQBot() as fake:
        place.write(fake, "gateway")
        async with place.serving() as app:
            await asyncio.wait_for(fake.connected.wait(), 10)
            said = await fake.say(GROUP, MEMBER, "三食堂停水了")
            (post,) = await until_stored(app, 1)
            if fault:
                getattr(fake.faults, fault)["send"] = 1
            effect = await settled(app, await asyncio.to_thread(write_answer, app, post))
            await asyncio.sleep(0.5)
    assert effect.state is state
    assert fake.calls["send"] == 1
    assert fake.said("〔H-1-1〕") == sent
    if sent:
        assert fake.sent[0].msg_id == said["id"]
