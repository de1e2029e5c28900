"""What a Weibo channel says of itself, and settings that cannot be: always with the way to mend it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from weibo_scene import make

from connectors import _weibo_health as health
from connectors._settings import sentences
from connectors._weibo_api import Token
from connectors.weibo import Settings, connector
from monitor.core.errors import ConfigError
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_weibo import FakeWeibo

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-weibo.md"


@pytest.mark.asyncio
async def test_good_health_says_what_is_left_out_and_how_long_the_token_lasts() -> None:
    async with FakeWeibo() as fake:
        fake.contract = True
        weibo, paying = make(fake), make(fake, commercial=True, mentions=False)
        open_one, whole = await weibo.check(), await paying.check()
        await weibo.close()
        await paying.close()
    assert open_one.ok
    assert "不是全部" in open_one.message
    assert "还有 29 天" in open_one.message or "还有 30 天" in open_one.message
    assert open_one.capabilities == {"listen", "reply", "read_back"}
    assert whole.ok
    assert "评论是全的" in whole.message
    assert whole.capabilities == {"listen", "reply", "read_back", "remove"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (21332, "重新授权"),
        (21315, "21315"),
        (10023, "poll_seconds"),
        (10004, "安全设置"),
        (10014, "申请"),
        (21321, "审核"),
        (10020, "10020"),
        ("token", "重新授权"),
        ("contract", "申请"),
        ("down", "api.weibo.com"),
    ],
)
async def test_fault_is_named_with_its_mend(fault: Any, words: str) -> None:
    async with FakeWeibo() as fake:
        weibo = make(fake, commercial=fault == "contract")
        if isinstance(fault, int):
            fake.faults.give("comments/to_me", fault)
        fake.token += "x" if fault == "token" else ""
        if fault == "down":
            await fake.stop()
        found = await weibo.check()
        await weibo.close()
    assert not found.ok
    assert words in found.message
    assert "2.00fake" not in found.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"expire_in": "90000"}, "只剩 1 天"),
        ({"expires_in": 864_001}, "还有 10 天"),
        ({"expire_in": "soon"}, "没有说"),
    ],
)
def test_the_end_of_a_token_is_told_in_days(answer: dict[str, Any], words: str) -> None:
    assert words in health.lasting(Token({"uid": 1, **answer}))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"access_token": " "}, "access_token"),
        ({"api_url": "api.weibo.com"}, "api_url"),
        ({"poll_seconds": 0}, "poll"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_mend(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key) as told:
        connector(ChannelConfig("wb", "weibo", {"access_token": "hunter2", **change}))
    assert "hunter2" not in str(told.value)


def test_the_page_for_administrators_names_every_setting_and_what_it_was_tested_against() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, sentence in sentences(Settings).items():
        field = next(each for each in dataclasses.fields(Settings) if each.name == name)
        default = "required" if field.default is dataclasses.MISSING else str(field.default)
        default = default.lower() if default in ("True", "False") else default
        assert f"| `{name}` | {default} | {sentence} |" in text
    assert "Tested against" in text
