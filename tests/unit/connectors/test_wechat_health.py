"""What a WeChat channel says of itself, and settings that cannot be: always with the way to mend it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from wechat_scene import AES, ARTICLE, MEMBER, make, serving

from connectors import _wechat_health as health
from connectors._settings import sentences
from connectors._wechat_api import Refused, TokenRefused
from connectors.wechat import Settings, connector
from monitor.core.errors import ConfigError, RateLimited, Unavailable
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.fake_wechat import FakeWeChat

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-wechat.md"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


@asyncs
async def test_good_health_names_what_works_and_the_address_to_enter() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        fake.comment(ARTICLE, "好", MEMBER)
        before = await service._wechat.check()
        assert before.ok
        assert "/wechat/gzh" in before.message
        await fake.verify(service.url)
        await fake.push(service.url, fake.text(MEMBER, "好"))
        after = await service._wechat.check()
    assert after.ok
    assert "推送正常" in after.message
    assert after.capabilities == {"listen", "reply", "remove", "hide", "restore", "read_back"}
    assert after.detail["pushed"] == "1"


@asyncs
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("address", "203.0.113.7"),
        ("appid", "AppID 不对"),
        ("secret", "AppSecret 不对"),
        (40001, "AppSecret 不对"),
        (45009, "稍后再调用"),
        (50001, "50001"),
        ("down", "连不上微信接口"),
        ("right", "48001"),
    ],
)
async def test_fault_is_named_with_its_mend(fault: Any, words: str) -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "好", MEMBER)
        wechat = make(fake)
        fake.allowed_address = fault != "address"
        fake.appid += "x" if fault == "appid" else ""
        fake.secret += "x" if fault == "secret" else ""
        fake.verified = fault != "right"
        if isinstance(fault, int):
            fake.faults.give("stable_token", fault)
        if fault == "down":
            await fake.stop()
        found = await wechat.check()
        await wechat.close()
    assert not found.ok
    assert words in found.message
    assert fake.secret not in found.message
    assert (Capability.REMOVE in wechat.capabilities) == (fault != "right")


@asyncs
async def test_a_stranger_at_the_door_is_no_fault() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        fake.comment(ARTICLE, "好", MEMBER)
        assert await fake.post(service.url, {}, b"<xml></xml>") == (403, "")
        assert (await service._wechat.check()).ok
        await fake.verify(service.url, token="wrong")
        assert "Token" in (await service._wechat.check()).message
        await fake.verify(service.url)
        assert (await service._wechat.check()).ok


@asyncs
async def test_check_without_comments_only_asks_for_a_token() -> None:
    async with FakeWeChat(AES) as fake:
        wechat = make(fake, comments=False)
        assert (await wechat.check()).ok
        await wechat.close()
    assert set(fake.calls) == {"stable_token"}


GIVEN = {"appid": "wx0123456789abcdef", "app_secret": "very-secret-one", "token": "very-secret-two"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"appid": " "}, "appid"),
        ({"app_secret": ""}, "app_secret"),
        ({"token": ""}, "token"),
        ({"aes_secret": "very-secret-three"}, "aes_secret"),
        ({"aes_secret": f"{AES} short"}, "aes_secret"),
        ({"articles": ["oops"]}, "articles"),
        ({"articles": "12003_1"}, "articles"),
        ({"api_url": "api.weixin.qq.com"}, "api_url"),
        ({"poll_seconds": 0}, "poll_seconds"),
        ({"slow_seconds": -1}, "slow_seconds"),
        ({"call_seconds": float("nan")}, "call_seconds"),
        ({"clock_seconds": 0}, "clock_seconds"),
        ({"retry_seconds": 0}, "retry_seconds"),
        ({"tokn": "x"}, "token"),
    ],
)
def test_wrong_settings_name_the_key_and_never_the_secret(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as error:
        connector(ChannelConfig("gzh", "wechat", {**GIVEN, **change}))
    assert f"`{word}" in str(error.value)
    assert "very-secret" not in str(error.value)


def test_secrets_are_given_by_reference() -> None:
    from monitor.config import is_secret

    assert {name for name in sentences(Settings) if is_secret(name)} == {"app_secret", "token", "aes_secret"}


def shown(value: object) -> object:
    """Return a default as it stands in the file."""
    if value is dataclasses.MISSING:
        return "required"
    return (
        {True: "true", False: "false", (): "[]"}.get(value, value)
        if isinstance(value, (bool, tuple))
        else value
    )


def test_every_setting_stands_in_the_documentation() -> None:
    page = DOCS.read_text(encoding="utf-8")
    usual = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name, sentence in sentences(Settings).items():
        row = f"| `{name}` | {shown(usual[name])} | {sentence} |"
        assert row in page, f"{name} stands otherwise in {DOCS.name}"


def test_documentation_quotes_what_the_check_says() -> None:
    page = DOCS.read_text(encoding="utf-8")
    kinds = ("signature", "plain", "secret", "cipher", "appid", "stale")
    said = [health.push_trouble(kind) for kind in kinds]
    said += [
        health.pushes(0, "/x"),
        health.pushes(1, "/x").split("，")[0],
        health.watched(1, True).split("；")[1],
    ]
    errors = [TokenRefused("", number) for number in (40164, 40013, 40125)]
    said += [health.trouble(error) for error in (*errors, Refused("", 48001), Unavailable(""))]
    for words in said:
        start = words.split("：")[0].split("，")[0].split("（")[0].split("。")[0]
        assert start in page, f"{DOCS.name} does not explain: {start}"


def test_waiting_is_told_as_waiting() -> None:
    from datetime import UTC, datetime

    words = health.trouble(RateLimited("", datetime(2026, 3, 1, tzinfo=UTC)))
    assert words.split("：")[0] in DOCS.read_text(encoding="utf-8")
