"""What a channel of the official bot says of itself, and settings that cannot be: always with the way to mend it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from qqbot_scene import GROUP, MEMBER, OTHER, listening, make, on, until

from connectors._qqbot_health import no_push, trouble
from connectors._settings import sentences
from connectors.qqbot import Settings, connector
from monitor.core.errors import ConfigError
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_qqbot import FakeQQBot

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-qqbot.md"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


async def health_of(fake: FakeQQBot, **settings: Any) -> Any:
    """Check a new connector of ``fake``."""
    bot = make(fake, **settings)
    try:
        return await bot.check()
    finally:
        await bot.close()


@asyncs
async def test_good_health_names_what_can_be_done_and_opens_no_session() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        fake.group(OTHER)
        health = await health_of(fake)
    assert health.ok
    assert health.message == "已连接 QQ 官方机器人，群内权限正常。"
    assert health.capabilities == {"listen", "reply", "remove", "mute"}
    assert fake.sessions == {}


@asyncs
async def test_what_is_not_possible_is_a_hint_and_not_a_fault() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP).role = "member"
        fake.group(GROUP).may_speak = False
        fake.group(OTHER).role = "member"
        fake.group(OTHER).hears = "only_mention"
        health = await health_of(fake)
    assert health.ok
    for word in (
        f"在群 {GROUP} 里不是管理员",
        f"群 {GROUP} 没有允许机器人主动发言",
        f"群 {OTHER} 只让机器人收到@",
    ):
        assert word in health.message
    assert health.capabilities == {"listen", "reply"}


@asyncs
async def test_group_without_the_bot_is_a_fault() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        fake.group(OTHER).role = None
        health = await health_of(fake)
    assert not health.ok
    assert f"机器人不在群 {OTHER} 里" in health.message
    assert GROUP not in health.message


@asyncs
async def test_platform_that_does_not_tell_rights_is_said() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        fake.faults.code["bot_state"] = (403, 11253)
        health = await health_of(fake, groups=[GROUP])
    assert health.ok
    assert "没有开放" in health.message


@asyncs
@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("secret", "AppSecret 不对"),
        ("busy", "稍后再试"),
        ("page", "没有应答"),
        ("gone", "没有应答"),
        ("odd", "拒绝了查询"),
    ],
)
async def test_every_fault_of_the_connection_is_told(fault: str, word: str) -> None:
    fake = FakeQQBot()
    await fake.start()
    fake.group(GROUP)
    fake.faults.token_code = {"secret": 100016, "busy": 100001}.get(fault, 0)
    if fault == "page":
        fake.faults.page.add("token")
    if fault == "odd":
        fake.faults.code["bot_state"] = (400, 777)
    if fault == "gone":
        await fake.stop()
    health = await health_of(fake)
    await fake.stop()
    assert not health.ok
    assert word in health.message
    assert fake.secret not in health.message


@asyncs
async def test_groups_that_are_not_declared_are_named_so_that_they_can_be() -> None:
    async with FakeQQBot() as fake, on(fake, groups=[]) as (bot, intake):
        health = await bot.check()
        assert not health.ok
        assert "还没有登记群" in health.message
        for number in range(30):
            await fake.say(f"{number:032}", MEMBER, "@工会 在吗")
        await fake.news("GROUP_ADD_ROBOT", GROUP)
        await until(lambda: GROUP in bot._rights.strangers)
        health = await bot.check()
        assert GROUP in health.message
        assert len(bot._rights.strangers) == 20
        assert intake.items == []


@asyncs
async def test_webhook_that_nobody_pushed_to_names_its_path() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        health = await health_of(fake, mode="webhook", groups=[GROUP])
    assert "https://本单位域名/qqbot/bot" in health.message


@asyncs
async def test_gateway_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeQQBot() as fake:
        monkeypatch.setattr("connectors._qqbot_gateway.Gateway._address", lambda self: _nowhere())
        bot = make(fake, groups=[GROUP])
        fake.group(GROUP)
        async with listening(bot):
            await until(lambda: bot.counts["connect_failed"])
            health = await bot.check()
    assert not health.ok
    assert "连不上 QQ 的消息网关" in health.message


async def _nowhere() -> str:
    return "ws://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"app_id": ""}, "app_id"),
        ({"secret": ""}, "secret"),
        ({"secret": "两个字"}, "secret"),
        ({"secret": "a b"}, "secret"),
        ({"groups": ["群 一"]}, "groups"),
        ({"groups": [""]}, "groups"),
        ({"mode": "poll"}, "mode"),
        ({"api_url": "http://api.bot.qq.com"}, "api_url"),
        ({"api_url": ""}, "api_url"),
        ({"token_url": "ftp://x"}, "token_url"),
        ({"per_minute": 0}, "per_minute"),
        ({"part_chars": 10}, "part_chars"),
        ({"call_seconds": 0}, "call_seconds"),
        ({"retry_seconds": float("nan")}, "retry_seconds"),
        ({"secrets": "x"}, "secret"),
    ],
)
def test_wrong_settings_name_the_key_and_never_the_secret(change: dict[str, Any], word: str) -> None:
    given = {"app_id": "102000001", "secret": "very-secret"} | change
    with pytest.raises(ConfigError) as error:
        connector(ChannelConfig("bot", "qqbot", given))
    assert f"`{word}`" in str(error.value)
    assert "very-secret" not in str(error.value)


def test_app_id_may_be_written_as_a_number() -> None:
    made = connector(ChannelConfig("bot", "qqbot", {"app_id": 102000001, "secret": "very-secret"}))
    assert made.name == "bot"


def test_every_setting_stands_in_the_documentation() -> None:
    page = DOCS.read_text(encoding="utf-8")
    usual = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name, sentence in sentences(Settings).items():
        default = {dataclasses.MISSING: "required", (): ""}.get(usual[name], usual[name])
        assert f"| `{name}` | {default} | {sentence} |" in page, f"{name} stands otherwise in {DOCS.name}"


def test_documentation_quotes_what_the_check_says() -> None:
    page = DOCS.read_text(encoding="utf-8")
    kinds = (
        "credentials",
        "busy",
        "silent",
        "gateway",
        "signature",
        "closed.4915",
        "closed.4914",
        "closed.4014",
    )
    for said in (*map(trouble, kinds), trouble("closed.4010"), no_push("/qqbot/bot")):
        start = said.split("：")[0].split("。")[0].split("（")[0]
        assert start
        assert start in page, f"{DOCS.name} does not explain: {start}"
    assert trouble("") == ""
