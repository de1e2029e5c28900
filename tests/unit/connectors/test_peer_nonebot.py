"""The fake QQ program against NoneBot and its OneBot v11 adapter, an independent client with typed event models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from _peer import LONG, Peer, peer
from onebot_scene import GROUP, TOKEN, until
from test_fake_qq import free_port

from monitor.testing.fake_qq import FakeQQ

pytestmark = pytest.mark.asyncio

PROFILES = ["napcat", "llonebot", "lagrange", "go-cqhttp", "strict"]
SECRET = "s3cret"
FORWARD, OVER_HTTP = 10_002_000, 10_003_000


@dataclass(frozen=True)
class Bot:
    """The running NoneBot and the ports that it was told."""

    client: Peer
    port: int
    forward: int
    api: int

    def reach(self, fake: FakeQQ) -> None:
        fake.connect(f"ws://127.0.0.1:{self.port}/onebot/v11/ws")


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    port, forward, api = free_port(), free_port(), free_port()
    settings = {
        "port": port,
        "onebot_access_token": TOKEN,
        "onebot_secret": SECRET,
        "onebot_ws_urls": [f"ws://127.0.0.1:{forward}/"],
        "onebot_api_roots": {str(OVER_HTTP): f"http://127.0.0.1:{api}/"},
    }
    with peer("_peer_nonebot.py", settings, tmp_path_factory.mktemp("nonebot")) as client:
        yield Bot(client, port, forward, api)


@pytest.mark.parametrize("profile", PROFILES)
async def test_nonebot_hears_quotes_answers_recalls_and_mutes(bot: Bot, profile: str) -> None:
    """Every event of the fake is one of the adapter's own types, and every action answers as the adapter wants."""
    me = 10_001_000 + PROFILES.index(profile)
    async with FakeQQ(profile, TOKEN, self_id=me, heartbeat=0.2, reconnect=0.05) as fake:
        bot.reach(fake)
        name = str(me)
        await bot.client.tells("connected", bot=name)
        await bot.client.tells("event", bot=name, kind="LifecycleMetaEvent", sub_type="connect")
        (beat, *_more) = await bot.client.tells("event", bot=name, kind="HeartbeatMetaEvent")
        assert (beat["status"]["online"], beat["interval"]) == (True, 200)

        asked = await fake.say(GROUP, 20002000, "三食堂停水了? [真的] & 逗号,", name="小周")
        again = await fake.say(GROUP, 20002001, "同问", reply_to=asked, role="admin")
        (first,) = await bot.client.tells("event", bot=name, kind="GroupMessageEvent", message_id=asked)
        (second,) = await bot.client.tells("event", bot=name, kind="GroupMessageEvent", message_id=again)
        assert (first["group_id"], first["user_id"]) == (GROUP, 20002000)
        assert (first["plain"], first["sender"]["nickname"]) == ("三食堂停水了? [真的] & 逗号,", "小周")
        assert (second["quoted"], second["quoted_words"]) == (asked, first["plain"])
        assert (second["plain"], second["sender"]["role"]) == ("同问", "admin")

        async def call(action: str, **params: object) -> dict[str, object]:
            return await bot.client.ask(bot=name, action=action, params=params)

        said = await call("send_group_msg", group_id=GROUP, message="[CQ:reply,id=1]已转后勤处, 今天答复")
        assert (await call("delete_msg", message_id=asked))["result"] is None
        assert (await call("set_group_ban", group_id=GROUP, user_id=20002000, duration=60))["result"] is None
        refused = await call("set_group_ban", group_id=GROUP, user_id=20002001, duration=60)
        assert refused["error"] == "ActionFailed"
        assert refused["code"] in (100, 200, 1200)
        assert (await call("no_such_action"))["error"] == "ActionFailed"
        member = await call("get_group_member_info", group_id=GROUP, user_id=20002000)
        assert member["result"]["nickname"] == "小周"  # type: ignore[index]

        await fake.recall(again)
        kind = "GroupRecallNoticeEvent"
        (ours,) = await bot.client.tells("event", bot=name, kind=kind, message_id=asked)
        (theirs,) = await bot.client.tells("event", bot=name, kind=kind, message_id=again)
        assert (ours["operator_id"], ours["user_id"]) == (me, 20002000)
        assert (theirs["operator_id"], theirs["user_id"]) == (20002001, 20002001)
    assert [(done.action, done.message_id or done.user) for done in fake.done] == [
        ("send_group_msg", said["result"]["message_id"]),  # type: ignore[index]
        ("delete_msg", asked),
        ("set_group_ban", 20002000),
    ]
    assert fake.done[0].text == "已转后勤处, 今天答复"
    assert fake.done[2].seconds == 60


async def test_nonebot_reads_segments_and_notices_as_it_reads_real_ones(bot: Bot) -> None:
    me = 10_004_000
    async with FakeQQ("napcat", TOKEN, self_id=me, reconnect=0.05) as fake:
        bot.reach(fake)
        await bot.client.tells("connected", bot=str(me))
        parts = [
            {"type": "at", "data": {"qq": "20002001"}},
            {"type": "text", "data": {"text": " 看图"}},
            {"type": "image", "data": {"file": "a,b.png", "url": "http://127.0.0.1/a"}},
            {"type": "face", "data": {"id": "14"}},
        ]
        shown = await fake.say(GROUP, 20002000, parts)
        await fake.notice(
            "group_ban", sub_type="ban", group_id=GROUP, operator_id=me, user_id=20002000, duration=60
        )
        await fake.notice("never_heard_of", group_id=GROUP)
        await fake.say(GROUP, 20002000, "还在")
        (first,) = await bot.client.tells("event", bot=str(me), kind="GroupMessageEvent", message_id=shown)
        await bot.client.tells("event", bot=str(me), kind="GroupMessageEvent", plain="还在")
        (ban,) = await bot.client.tells("event", bot=str(me), kind="GroupBanNoticeEvent")
    assert [part["type"] for part in first["message"]] == ["at", "text", "image", "face"]
    assert first["message"][2]["data"]["file"] == "a,b.png"
    assert (ban["user_id"], ban["duration"]) == (20002000, 60)


async def test_nonebot_refuses_another_token_and_comes_to_itself_with_the_right_one(bot: Bot) -> None:
    me = 10_005_000
    async with FakeQQ("strict", "another token", self_id=me, reconnect=0.05) as fake:
        bot.reach(fake)
        await until(lambda: fake.refusals[403] >= 1, LONG)
        assert bot.client.told("connected", bot=str(me)) == []
        fake.token = TOKEN
        await bot.client.tells("connected", bot=str(me))
        await fake.drop()
        await bot.client.tells("disconnected", bot=str(me))
        await bot.client.tells("connected", 2, bot=str(me))
        await fake.say(GROUP, 20002000, "回来了")
        await bot.client.tells("event", bot=str(me), kind="GroupMessageEvent", plain="回来了")


@pytest.mark.parametrize("profile", ["napcat", "strict"])
async def test_nonebot_connects_to_the_forward_socket(bot: Bot, profile: str) -> None:
    me = FORWARD + ["napcat", "strict"].index(profile)
    fake = FakeQQ(profile, TOKEN, self_id=me)
    await fake.start(bot.forward)
    try:
        await bot.client.tells("connected", bot=str(me))
        asked = await fake.say(GROUP, 20002000, "从正向来的")
        await bot.client.tells("event", bot=str(me), kind="GroupMessageEvent", message_id=asked)
        command = {"bot": str(me), "action": "send_group_msg"}
        said = await bot.client.ask(**command, params={"group_id": GROUP, "message": "收到"})
        assert fake.done[0].message_id == said["result"]["message_id"]
    finally:
        await fake.stop()


async def test_nonebot_takes_signed_posts_and_calls_over_http(bot: Bot) -> None:
    fake = FakeQQ("napcat", TOKEN, secret=SECRET, self_id=OVER_HTTP)
    await fake.start(bot.api)
    try:
        fake.post_to(f"http://127.0.0.1:{bot.port}/onebot/v11/http")
        asked = await fake.say(GROUP, 20002000, "有人吗")
        end = time.monotonic() + LONG
        while fake.post_statuses[-1] == 0 and time.monotonic() < end:  # it does not listen yet
            await asyncio.sleep(0.1)
            asked = await fake.say(GROUP, 20002000, "有人吗")
        assert fake.post_statuses[-1] == 204
        await bot.client.tells("event", bot=str(OVER_HTTP), kind="GroupMessageEvent", message_id=asked)
        command = {"bot": str(OVER_HTTP), "action": "delete_msg"}
        assert (await bot.client.ask(**command, params={"message_id": asked}))["result"] is None
        assert (await bot.client.ask(**command, params={"message_id": 5}))["error"] == "ActionFailed"
        fake.secret = "another"
        await fake.say(GROUP, 20002000, "伪造的")
        fake.secret = ""
        await fake.say(GROUP, 20002000, "没有签名的")
        assert fake.post_statuses[-2:] == [403, 401]
    finally:
        await fake.stop()
    assert [done.action for done in fake.done] == ["delete_msg"]
