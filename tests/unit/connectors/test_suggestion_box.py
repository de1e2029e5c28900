"""The channel of the suggestion box: an answer can be read under its receipt, and nothing else is done."""

from __future__ import annotations

import asyncio

import pytest
from onebot_scene import effect

from connectors.suggestion_box import connector
from monitor.core.errors import ConfigError, Rejected
from monitor.core.model import EffectKind
from monitor.core.ports import Capability, ChannelConfig

pytestmark = pytest.mark.asyncio
CONFIG = ChannelConfig("box", "box", {})


@pytest.mark.parametrize("kind", [EffectKind.REPLY, EffectKind.NOTICE])
async def test_an_answer_is_there_once_however_often_it_is_sent(kind: EffectKind) -> None:
    answer = effect(kind, key="reply:7", channel="box")
    first, second = connector(CONFIG), connector(CONFIG)
    receipt = await first.perform(answer, None)
    assert receipt == await first.perform(answer, None) == await second.perform(answer, None)
    assert receipt == await second.read_back(answer)
    assert receipt != await first.perform(effect(kind, key="reply:8"), None)


@pytest.mark.parametrize("kind", sorted(set(EffectKind) - {EffectKind.REPLY, EffectKind.NOTICE}))
async def test_nothing_is_removed_from_a_box(kind: EffectKind) -> None:
    made = connector(CONFIG)
    assert str(kind) not in set(map(str, made.capabilities))
    for act in (made.perform(effect(kind), "author"), made.read_back(effect(kind))):
        with pytest.raises(Rejected, match="suggestion box"):
            await act


async def test_it_says_where_members_write_and_opens_no_path_of_its_own() -> None:
    made = connector(CONFIG)
    health = await made.check()
    assert health.ok
    assert "/box" in health.message
    assert made.routes() == ()
    assert made.capabilities == {Capability.LISTEN, Capability.REPLY, Capability.READ_BACK}


async def test_it_waits_until_closed() -> None:
    made = connector(CONFIG)
    task = asyncio.create_task(anext(made.posts(None), None))  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    assert not task.done()
    await made.close()
    await made.close()
    assert await asyncio.wait_for(task, 2) is None


async def test_it_has_no_settings() -> None:
    with pytest.raises(ConfigError, match="unknown setting `folder`"):
        connector(ChannelConfig("box", "box", {"folder": "x"}))
