"""What a QQ channel says of itself, and settings that cannot be: always with the way to mend it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from onebot_scene import GROUP, OTHER, TOKEN, Intake, listening, make, serving, until

from connectors._onebot_health import trouble
from connectors._settings import sentences
from connectors.onebot import Settings, connector
from connectors.replay import Settings as ReplaySettings
from monitor.core.errors import ConfigError
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.fake_qq import FakeQQ

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-onebot.md"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


@asyncs
@pytest.mark.parametrize("way", ["reverse", "forward", "pair", "http"])
async def test_good_health_by_every_way(way: str) -> None:
    async with FakeQQ("napcat" if way != "pair" else "lagrange", TOKEN) as fake:
        fake.join(GROUP)
        fake.join(OTHER)
        given = {
            "forward": {"url": fake.ws_url},
            "pair": {"url": fake.ws_url + "event"},
            "http": {"api_url": fake.http_url},
        }
        onebot = make(**given.get(way, {}))
        async with serving(onebot) as (service, _intake):
            if way == "reverse":
                fake.connect(service.ws_url)
                await until(onebot._talks.links)
            health = await onebot.check()
    assert health.ok
    assert ("NapCat.Onebot" in health.message) == (way != "pair")
    assert health.capabilities == {"listen", "reply", "remove", "mute", "read_back"}


@asyncs
async def test_check_connects_for_real_without_anybody_listening() -> None:
    async with FakeQQ("llonebot", TOKEN) as fake:
        fake.join(GROUP)
        fake.join(OTHER)
        onebot = make(url=fake.ws_url)
        assert (await onebot.check()).ok
        await until(lambda: not fake._peers)  # and leaves nothing open
        await fake.stop()
        health = await onebot.check()
        assert not health.ok
        assert "连不上" in health.message
        await onebot.close()


@asyncs
async def test_nothing_connected_names_the_path() -> None:
    onebot = make()
    health = await onebot.check()
    assert not health.ok
    assert "/onebot/v11/qq" in health.message


@asyncs
async def test_only_posted_events_is_told() -> None:
    async with FakeQQ("napcat", TOKEN, secret="s") as fake, serving(make(secret="s")) as (service, _intake):
        onebot = service._onebot
        fake.post_to(service.http_url)
        await fake.say(GROUP, 1, "一")
        health = await onebot.check()
    assert "能听，不能回复" in health.message


@asyncs
async def test_wrong_token_and_wrong_account_are_told_while_nothing_is_connected() -> None:
    async with FakeQQ("napcat", "wrong") as fake, serving(make(self_id=777)) as (service, _intake):
        onebot = service._onebot
        fake.connect(service.ws_url)
        await until(lambda: onebot.counts["token_refused"])
        assert "口令不一致" in (await onebot.check()).message
        fake.token = TOKEN
        await until(lambda: onebot.counts["account_refused"])
        assert "另一个 QQ 账号" in (await onebot.check()).message


@asyncs
async def test_every_fault_is_named_at_once() -> None:
    async with FakeQQ("strict", TOKEN) as fake:
        fake.role = "member"
        fake.join(GROUP)
        fake.online = False
        onebot = make(url=fake.ws_url)
        async with listening(Intake(), onebot):
            await until(onebot._talks.links)
            health = await onebot.check()
    assert not health.ok
    for word in ("已掉线", "不提供历史消息", f"不在群 {OTHER}", f"在群 {GROUP} 里不是管理员"):
        assert word in health.message
    assert Capability.READ_BACK not in onebot.capabilities
    assert "read_back" not in health.capabilities


@asyncs
async def test_program_that_does_not_answer_is_told() -> None:
    onebot = make(call_seconds=0.1)
    async with FakeQQ("napcat", TOKEN) as fake, serving(onebot) as (service, _intake):
        fake.connect(service.ws_url)
        await until(onebot._talks.links)
        fake.faults.silent = True
        health = await onebot.check()
    assert "没有应答" in health.message


@asyncs
async def test_losing_the_account_is_counted_once_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    onebot = make()
    async with FakeQQ("napcat", TOKEN, heartbeat=0.02) as fake, serving(onebot) as (service, _intake):
        fake.connect(service.ws_url)
        await until(onebot._talks.links)
        fake.online = False
        await until(lambda: onebot.counts["ignored.meta_event.heartbeat"] > 5)
        assert "已掉线" in (await onebot.check()).message
        fake.online = True
        await until(lambda: onebot._account._is_online)
        await fake.notice("bot_offline", tag="x", message="被踢下线")
        await until(lambda: onebot.counts["offline"] == 2)
    assert sum("onebot.offline" in record.getMessage() for record in caplog.records) == 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"groups": []}, "groups"),
        ({"groups": [0]}, "groups"),
        ({"groups": "abc"}, "groups"),
        ({"token": ""}, "token"),
        ({"url": "http://x"}, "url"),
        ({"api_url": "ws://x"}, "api_url"),
        ({"profile": "napkat"}, "profile"),
        ({"call_seconds": 0}, "call_seconds"),
        ({"silence_seconds": -1}, "silence_seconds"),
        ({"retry_seconds": float("nan")}, "retry_seconds"),
        ({"tokn": "x"}, "token"),
    ],
)
def test_wrong_settings_name_the_key_and_never_the_secret(change: dict[str, Any], word: str) -> None:
    given = {"groups": [GROUP], "token": "very-secret-token"} | change
    with pytest.raises(ConfigError) as error:
        connector(ChannelConfig("qq", "onebot", given))
    assert f"`{word}`" in str(error.value)
    assert "very-secret" not in str(error.value)


@pytest.mark.parametrize("settings", [Settings, ReplaySettings])
def test_every_setting_stands_in_the_documentation(settings: type) -> None:
    page = DOCS.read_text(encoding="utf-8")
    usual = {field.name: field.default for field in dataclasses.fields(settings)}
    for name, sentence in sentences(settings).items():
        default = "required" if usual[name] is dataclasses.MISSING else usual[name]
        assert f"| `{name}` | {default} | {sentence} |" in page, f"{name} stands otherwise in {DOCS.name}"


def test_documentation_quotes_what_the_check_says() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for kind in ("token", "account", "address", "posted", ""):
        said = trouble(kind, "/onebot/v11/qq").split("：")[0].split("。")[0]
        assert said in page, f"{DOCS.name} does not explain: {said}"
