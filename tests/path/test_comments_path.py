"""From four web sites to the store and back: comments, answers, hiding and removals through the whole service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.core.model import (
    CaseKind,
    CaseState,
    Effect,
    EffectKind,
    EffectState,
    NewCase,
    NewEffect,
    Post,
    SourceState,
)
from monitor.core.ports import PostFilter
from monitor.runtime import serving
from monitor.testing.fake_artalk import FakeArtalk
from monitor.testing.fake_twikoo import FakeTwikoo
from monitor.testing.fake_waline import FakeWaline
from monitor.testing.fake_wordpress import FakeWordPress

pytestmark = pytest.mark.asyncio
MARK = "〔H-1-1〕"
ACCOUNTS: Mapping[str, str] = {
    "wordpress": 'user = "{fake.user}"',
    "waline": 'email = "{fake.email}"',
    "twikoo": 'nick = "工会"',
    "artalk": 'email = "{fake.email}"\nsite = "{fake.site}"',
}
SAYING: Mapping[str, str] = {"twikoo": "COMMENT_SUBMIT"}
Fakes = dict[str, Any]


@asynccontextmanager
async def sites() -> AsyncIterator[Fakes]:
    """Run the four systems, each with one comment of a guest."""
    kinds = {"wordpress": FakeWordPress, "waline": FakeWaline, "twikoo": FakeTwikoo, "artalk": FakeArtalk}
    async with AsyncExitStack() as stack:
        running: Fakes = {name: await stack.enter_async_context(kind()) for name, kind in kinds.items()}
        for name, fake in running.items():
            fake.comment(f"三食堂又停水了，{name}")
        yield running


@dataclass
class Place:
    """Where one service lives."""

    folder: Path
    port: int

    def write(self, fakes: Fakes) -> None:
        text = f"[service]\nport = {self.port}\n[rules]\neffect_delay = 0.05\nsend_timeout = 1.0\n"
        for name, fake in fakes.items():
            (self.folder / name).write_text(fake.password, encoding="utf-8")
            (self.folder / name).chmod(0o600)
            key = "app_password" if name == "wordpress" else "password"
            text += f'[channels.{name}]\ntype = "{name}"\nurl = "{fake.url}"\n{key} = {{ file = "{name}" }}\n'
            text += f"poll_seconds = 0.1\nrescan_seconds = 0.3\ncall_seconds = 2.0\n{ACCOUNTS[name].format(fake=fake)}\n"
        file = self.folder / "huiyin.toml"
        file.write_text(text, encoding="utf-8")
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
    """An empty folder and a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Place(tmp_path, probe.getsockname()[1])


def stored(app: App, channel: str) -> list[Post]:
    with app.deps.uow.read() as store:
        return store.posts.page(PostFilter(channel=channel), None, 100)


def write_effect(app: App, post: Post, kind: EffectKind) -> int:
    """Put an effect about ``post`` into the outbox, as a decision or an approved reply does."""
    now = app.deps.clock.now()
    new = NewCase(
        CaseKind.GRIEVANCE, CaseState.REGISTERED, 1, post.channel, (post.id,), "test", thread=post.thread
    )
    with app.deps.uow.begin() as store:
        case = store.cases.open(new, now)
        effect = NewEffect(
            key=f"{kind}:{post.id}",
            kind=kind,
            channel=post.channel,
            case_id=case.id,
            not_before=now - timedelta(seconds=1),
            thread=post.thread,
            handle=post.handle,
            post_id=post.id,
            text=f"已转后勤处，18 点前答复。编号{MARK}" if kind is EffectKind.REPLY else "",
            mark=MARK if kind is EffectKind.REPLY else "",
        )
        return store.outbox.add(effect, now)


async def settled(app: App, effect_id: int) -> Effect:
    """Wait until an effect is sent or needs a person."""

    def look() -> Effect:
        with app.deps.uow.read() as store:
            return store.outbox.get(effect_id)

    async with asyncio.timeout(60):
        while (found := await asyncio.to_thread(look)).state not in (
            EffectState.SENT,
            EffectState.NEEDS_HUMAN,
        ):
            await asyncio.sleep(0.1)
    return found


async def until(app: App, channel: str, state: SourceState) -> Post:
    """Wait until the first comment of a channel stands so."""
    async with asyncio.timeout(60):
        while (
            not (posts := await asyncio.to_thread(stored, app, channel))
            or posts[-1].source_state is not state
        ):
            await asyncio.sleep(0.05)
    return posts[-1]


def answers(fake: Any) -> int:
    """Return how often the answer stands at a site."""
    words = [each.content if hasattr(each, "content") else each.comment for each in fake.comments.values()]
    return sum("已转后勤处" in each for each in words)


@pytest.mark.slow
async def test_comments_are_answered_once_hidden_and_followed_through_the_whole_service(place: Place) -> None:
    async with sites() as fakes:
        place.write(fakes)
        async with place.serving() as app:
            posts = {name: await until(app, name, SourceState.VISIBLE) for name in fakes}
            for name, fake in fakes.items():
                fake.faults.drop_after[SAYING.get(name, "say")] = 1  # said, and the answer to it lost
            said = [write_effect(app, post, EffectKind.REPLY) for post in posts.values()]
            for number in said:
                assert (await settled(app, number)).state is EffectState.SENT
            hidden = [write_effect(app, post, EffectKind.HIDE) for post in posts.values()]
            for number in hidden:
                assert (await settled(app, number)).state is EffectState.SENT
            for name in fakes:
                await until(app, name, SourceState.REMOVED)
            restored = [write_effect(app, post, EffectKind.RESTORE) for post in posts.values()]
            for number in restored:
                assert (await settled(app, number)).state is EffectState.SENT
            for name in fakes:
                await until(app, name, SourceState.VISIBLE)
        async with place.serving() as app:  # and after a restart nothing has doubled
            for name, fake in fakes.items():
                fake.comment(f"重启之后，{name}")
                async with asyncio.timeout(60):
                    while len(found := await asyncio.to_thread(stored, app, name)) < 2:
                        await asyncio.sleep(0.05)
                assert [post.revision for post in found] == [1, 1]
                assert answers(fake) == 1
            with app.deps.uow.read() as store:
                assert store.quarantine.counts() == {}
