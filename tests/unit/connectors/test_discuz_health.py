"""What a Discuz! channel says of itself, its feed, and settings that cannot be: always with the way to mend it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from discuz_scene import MEMBER, Intake, listening, make, until

from connectors._settings import sentences
from connectors.discuz import Settings, connector
from monitor.core.errors import ConfigError
from monitor.core.model import PostKind
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.fake_discuz import FakeDiscuz

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-discuz.md"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


@asyncs
async def test_good_health_names_version_forums_and_rights() -> None:
    async with FakeDiscuz() as fake:
        discuz = make(fake)
        found = await discuz.check()
        await discuz.close()
    assert found.ok
    for words in ("X3.5", "工会之家", "版主"):
        assert words in found.message
    assert found.capabilities == {"listen", "reply", "read_back", "hide", "restore", "remove"}


@asyncs
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("code", "验证码"),
        ("login_strike", "15 分钟"),
        ("login_question_empty", "安全提问"),
        ("login_invalid", "账号或密码不对"),
        ("something_new", "something_new"),
        ("mobile_is_closed", "手机版"),
        ("module_not_exists", "掌上论坛"),
        ("wall", "/api/mobile/index.php"),
        ("forum", "fid"),
        ("busy", "稍后再来"),
        ("down", "连不上论坛"),
        ("page", "连不上论坛"),
        ("moved", "https"),
    ],
)
async def test_fault_is_named_with_its_mend(fault: str, words: str) -> None:
    async with FakeDiscuz() as fake:
        discuz = make(fake)
        fake.faults.image_code = fault == "code"
        if fault.startswith("login_") or fault == "something_new":
            fake.faults.give("login", fault)
        fake.faults.closed = fault if fault in ("mobile_is_closed", "module_not_exists") else ""
        for name, status in (("wall", 403), ("busy", 429), ("page", 200), ("moved", 301)):
            if fault == name:
                fake.faults.statuses["check"] = deque([status])
        if fault == "forum":
            fake.forums.pop(2)
        if fault == "down":
            await fake.stop()
        found = await discuz.check()
        await discuz.close()
    assert not found.ok
    assert words in found.message
    assert fake.password not in found.message


@asyncs
async def test_the_cookies_of_a_browser_let_in_where_signing_in_asks_for_a_code() -> None:
    async with FakeDiscuz() as fake:
        fake.faults.image_code = True
        fake.topic(2, "楼", "楼的话", MEMBER)
        discuz = make(fake, username="", password=fake.cookies())
        assert Capability.REPLY in discuz.capabilities
        assert (await discuz.check()).ok
        async with listening(discuz) as intake:
            await until(lambda: intake.posts)
        assert not fake.calls["login"]
        stale = make(fake, username="", password="AbCd_2132_auth=old; AbCd_2132_saltkey=k3y")
        assert "Cookie 已经失效" in (await stale.check()).message
        await stale.close()


# --- the feed --------------------------------------------------------------------------------------


@asyncs
@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
async def test_the_feed_shows_new_topics_once(charset: str) -> None:
    async with FakeDiscuz(charset) as fake:
        fake.faults.closed = "mobile_is_closed"
        fake.faults.empty_feed = 1  # a stale cache: the first answer has no topics
        fake.topic(2, "停水", "二楼停水了 & 三楼也停", MEMBER)
        intake = Intake()
        async with listening(make(fake, source="rss"), intake):
            await until(lambda: intake.posts)
            fake.topic(2, "班车", "加一班", MEMBER)
            await until(lambda: len(intake.posts) >= 2)
        asked = fake.calls["feed"]
        async with listening(make(fake, source="rss"), intake):
            await until(lambda: fake.calls["feed"] > asked + 2)
    assert intake.said() == ["停水\n二楼停水了 & 三楼也停", "班车\n加一班"]
    assert not fake.calls["login"]
    assert not intake.of(PostKind.REMOVAL)


@asyncs
async def test_the_feed_only_listens_and_says_so() -> None:
    async with FakeDiscuz() as fake:
        discuz = make(fake, source="rss")
        assert discuz.capabilities == {Capability.LISTEN}
        good = await discuz.check()
        fake.faults.no_feed = True
        off = await discuz.check()
        await fake.stop()
        down = await discuz.check()
        await discuz.close()
    assert good.ok
    assert "看不到回复" in good.message
    assert not off.ok
    assert "开启 RSS" in off.message
    assert "url" in down.message


@asyncs
async def test_a_feed_that_cannot_be_read_is_asked_again() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(2, "停水", "停水了", MEMBER)
        fake.faults.statuses["feed"] = deque([503, 302])
        fake.faults.raw["feed"] = deque([b"<rss", b"\xff\xfe", b""])
        async with listening(make(fake, source="rss")) as intake:
            await until(lambda: intake.posts)
            await asyncio.sleep(0)


# --- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"url": "bbs.example.edu.cn"}, "url"),
        ({"forums": []}, "forums"),
        ({"forums": [0]}, "forums"),
        ({"password": ""}, "password"),
        ({"source": "html"}, "source"),
        ({"poll_seconds": 0}, "poll_seconds"),
        ({"rescan_days": -1}, "rescan_days"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_mend(change: dict[str, Any], key: str) -> None:
    given = {"url": "https://bbs.example.edu.cn", "forums": [2], "username": "gonghui", "password": "hunter2"}
    with pytest.raises(ConfigError, match=key) as told:
        connector(ChannelConfig("bbs", "discuz", {**given, **change}))
    assert "hunter2" not in str(told.value)


def test_the_page_for_administrators_names_every_setting_and_what_it_was_tested_against() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, sentence in sentences(Settings).items():
        field = next(each for each in dataclasses.fields(Settings) if each.name == name)
        default = "required" if field.default is dataclasses.MISSING else field.default
        assert f"| `{name}` | {default} | {sentence} |" in text
    assert "Tested against" in text
