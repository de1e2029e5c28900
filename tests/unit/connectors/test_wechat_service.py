"""From the account to the store and back: the real service, intake and dispatcher over SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from wechat_scene import AES, ARTICLE, MEMBER, make, until

from monitor import bootstrap, config
from monitor.adapters.guard import GuardedConnector
from monitor.bootstrap import App
from monitor.config import Channel
from monitor.core.model import (
    CaseKind,
    CaseState,
    EffectKind,
    EffectState,
    NewCase,
    NewEffect,
    Post,
    SourceState,
)
from monitor.core.ports import PostFilter
from monitor.runtime import service
from monitor.runtime.dispatch import Dispatcher
from monitor.runtime.intake import Intake
from monitor.testing.fake_wechat import FakeWeChat

pytestmark = pytest.mark.asyncio


class House(App):
    """An application that has the one channel of the test."""

    wechat: GuardedConnector

    def connector(self, name: str) -> GuardedConnector:
        return self.wechat


@asynccontextmanager
async def open_house(folder: Path, fake: FakeWeChat) -> AsyncIterator[tuple[House, str]]:
    """Serve the channel and listen to it; yields the application and the address of the path."""
    found = config.load(None, folder, {})
    rules = replace(found.rules, effect_delay=0.0, send_timeout=2.0)
    channels = {"gzh": Channel("gzh", "wechat", {})}
    built = bootstrap.build(replace(found, channels=channels, rules=rules), models=False)
    house = House(built.config, built.deps)
    house.wechat = GuardedConnector(make(fake), "wechat", 2.0)
    runner = web.AppRunner(service.create(house), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listening = asyncio.create_task(Intake(house, look_seconds=0.05).run())
    try:
        yield house, f"http://127.0.0.1:{runner.addresses[0][1]}/wechat/gzh"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await house.wechat.close()
        await runner.cleanup()
        house.close()


def posts(house: House) -> list[Post]:
    with house.deps.uow.read() as store:
        return list(store.posts.page(PostFilter(), None, 100))


def write_effect(house: House, post: Post, kind: EffectKind) -> None:
    now = house.deps.clock.now()
    with house.deps.uow.begin() as store:
        new = NewCase(CaseKind.GRIEVANCE, CaseState.PENDING, 1, "gzh", (post.id,), "test")
        case = store.cases.open(new, now)
        store.outbox.add(
            NewEffect(
                f"{kind}:{post.id}",
                kind,
                "gzh",
                case.id,
                now - timedelta(seconds=1),
                post.thread,
                post.handle,
                post.id,
                text="已转后勤处〔H-1-7〕",
                mark="〔H-1-7〕",
            ),
            now,
        )


def states(house: House) -> list[EffectState]:
    with house.deps.uow.read() as store:
        return [one.state for one in store.outbox.page(tuple(EffectState), None, 50)]


def is_declared(house: House) -> bool:
    with house.deps.uow.read() as store:
        return "gzh" in [row.name for row in store.channels.status()]


async def test_message_and_comment_are_stored_answered_and_removed(tmp_path: Path) -> None:
    async with FakeWeChat(AES) as fake:
        comment = fake.comment(ARTICLE, "食堂涨价了吗", MEMBER, elected=True)
        async with open_house(tmp_path, fake) as (house, url):
            assert await fake.verify(url) == (200, "5837397576500011341")
            fields = fake.text(MEMBER, "年休假工资怎么算？")
            for _turn in range(2):
                assert await fake.push(url, fields) == (200, "success", 1)
            await until(lambda: len(posts(house)) == 2)
            message, under_article = sorted(posts(house), key=lambda post: post.text != fields["Content"])
            assert message.author == under_article.author  # one member, one pseudonym
            write_effect(house, message, EffectKind.REPLY)
            write_effect(house, under_article, EffectKind.REPLY)
            write_effect(house, under_article, EffectKind.HIDE)
            await Dispatcher(house).round()
            assert states(house) == [EffectState.SENT] * 3
            assert [(sent.openid, sent.text) for sent in fake.sent] == [(MEMBER, "已转后勤处〔H-1-7〕")]
            assert (comment.reply, comment.elected) == ("已转后勤处〔H-1-7〕", False)
            write_effect(house, under_article, EffectKind.REMOVE)
            await Dispatcher(house).round()
            await until(lambda: SourceState.REMOVED in [post.source_state for post in posts(house)])
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert MEMBER.encode() not in file.read_bytes(), f"an openid stands in {file.name}"


async def test_message_whose_answer_was_lost_waits_for_a_person(tmp_path: Path) -> None:
    async with FakeWeChat(AES) as fake, open_house(tmp_path, fake) as (house, url):
        await fake.push(url, fake.text(MEMBER, "年休假"))
        (post,) = posts(house)
        write_effect(house, post, EffectKind.REPLY)
        fake.faults.drop_after["message/custom/send"] = 1
        await Dispatcher(house).round()
        assert states(house) == [EffectState.UNKNOWN]
        with house.deps.uow.begin() as store:
            (effect,) = store.outbox.page((EffectState.UNKNOWN,), None, 5)
            store.outbox.settle(
                effect, EffectState.UNKNOWN, house.deps.clock.now(), not_before=effect.created_at
            )
        await Dispatcher(house).round()
        assert states(house) == [EffectState.NEEDS_HUMAN]
    assert len(fake.sent) == 1


async def test_push_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    async with FakeWeChat(AES) as fake, open_house(tmp_path, fake) as (house, url):
        await until(lambda: is_declared(house))
        with house.deps.uow.begin() as store:
            store.channels.set_paused("gzh", True)
        await until(lambda: "gzh" in house.once("paused", set))
        assert (await fake.push(url, fake.text(MEMBER, "暂停时")))[0] == 0
        assert not posts(house)
