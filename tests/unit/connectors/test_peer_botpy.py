"""The fake platform against botpy, QQ's own library for official bots (its last release, of 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _peer import LONG, Peer, peer
from onebot_scene import until
from qqbot_scene import GROUP, MEMBER

from monitor.testing.fake_qqbot import FakeQQBot

pytestmark = pytest.mark.asyncio


@contextmanager
def official(fake: FakeQQBot, folder: Path, **change: str) -> Iterator[Peer]:
    """Run a bot of the library against ``fake``."""
    settings = {"url": fake.url, "app_id": fake.app_id, "secret": fake.secret, **change}
    with peer("_peer_botpy.py", settings, folder) as client:
        yield client


async def test_official_library_signs_in_hears_answers_and_comes_back(tmp_path: Path) -> None:
    """Token, own name, gateway, identify, heartbeat, dispatch, answer, refusal, and resumption after a break."""
    async with FakeQQBot() as fake:
        with official(fake, tmp_path) as bot:
            assert (await bot.tells("ready"))[0]["name"] == "工会"
            identify = next(frame for frame in fake.frames if frame["op"] == 2)
            assert identify["d"]["shard"] == [0, 1]
            assert identify["d"]["intents"] == 1 << 25
            await until(lambda: any(frame["op"] == 1 for frame in fake.frames), LONG)

            fake.group(GROUP).hears = "only_mention"  # the library is older than the event for every message
            asked = await fake.say(GROUP, MEMBER, "@工会 三食堂停水了🙂 <&>")
            (heard,) = await bot.tells("message")
            assert (heard["id"], heard["group"], heard["member"]) == (asked["id"], GROUP, MEMBER)
            assert (heard["content"].strip(), heard["at"]) == ("三食堂停水了🙂 <&>", asked["timestamp"])

            said = await bot.ask(action="reply", id=asked["id"], content="已转后勤处", seq=1)
            assert said["result"]["id"] == fake.sent[0].message_id
            assert (fake.sent[0].text, fake.sent[0].msg_id) == ("已转后勤处", asked["id"])
            twice = await bot.ask(action="reply", id=asked["id"], content="已转后勤处", seq=1)
            assert twice["error"] == "ServerError"
            assert twice["words"] == "refused"
            own = await bot.ask(action="send", group=GROUP, content="今天18点恢复供水")
            assert own["result"]["id"] == fake.sent[1].message_id
            assert fake.sent[1].msg_id is None
            stranger = await bot.ask(action="send", group="F" * 32, content="无人")
            assert stranger["error"] == "NotFoundError"
            assert fake.said("已转后勤处") == 1

            for name in ("GROUP_MSG_REJECT", "GROUP_MSG_RECEIVE", "GROUP_DEL_ROBOT", "GROUP_ADD_ROBOT"):
                await fake.news(name, GROUP)
            managed = await bot.tells("managed", 4, group=GROUP, operator="A" * 32)
            assert {line["name"] for line in managed} == {"reject", "receive", "del", "add"}

            await fake.drop()
            missed = await fake.say(GROUP, MEMBER, "@工会 断线时说的")
            await bot.tells("resumed")
            await bot.tells("message", id=missed["id"])
            resume = next(frame for frame in fake.frames if frame["op"] == 6)
            assert resume["d"]["session_id"] in fake.sessions
            assert len(bot.told("message", id=missed["id"])) == 1
        assert fake.remaining == 999  # one session was begun, and the second connection took it up


async def test_official_library_begins_a_new_session_when_the_old_one_is_over(tmp_path: Path) -> None:
    async with FakeQQBot() as fake:
        with official(fake, tmp_path) as bot:
            await bot.tells("ready")
            fake.end_sessions()
            await fake.drop()
            await until(lambda: any(frame["op"] == 6 for frame in fake.frames), LONG)
            await fake.stop()  # the library waits for the end of the connection before it begins anew
            await fake.start()
            await bot.tells("ready", 2)
        assert [session.is_valid for session in fake.sessions.values()] == [False, True]
        assert bot.told("resumed") == []


async def test_official_library_ends_with_a_wrong_secret(tmp_path: Path) -> None:
    async with FakeQQBot() as fake:
        with official(fake, tmp_path, secret="another") as bot:
            await until(lambda: bot._process.poll() is not None, LONG)
        assert "invalid appid or secret" in (tmp_path / "client.log").read_text(encoding="utf-8")
        assert fake.frames == []
