"""What QQ's platform sends, as it sends it, and what we make of it; and what we send, byte for byte.

One line in ``events.jsonl`` is one line in ``posts.jsonl``; ``calls.jsonl`` holds our own calls and gateway frames. The
events follow the shapes of the platform's pages of autumn 2026; the words are invented.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import _qqbot_wire as wire
from connectors._limits import decode_json
from connectors.qqbot import connector
from monitor.core.errors import Malformed
from monitor.core.model import Effect, EffectKind, EffectState, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_qqbot import FakeQQBot

HERE = Path(__file__).parent
GROUP = "0F3C00000000000000000000000000A9"
USUAL = {"channel": "bot", "kind": "post", "thread": GROUP}
CONTEXT = wire.Context("bot", frozenset({GROUP}), {"REFIDX_zz90==": "ROBOT1.0_quoted"})


def outcome(line: str) -> dict[str, Any]:
    """Return what one line means: a post's fields that say something, or why there is none."""
    given = decode_json(line)
    try:
        item = wire.read_event(given["event"], CONTEXT)
    except Malformed as error:
        return {"name": given["name"], "broken": error.reason}
    if isinstance(item, RawPost):
        fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
        if item.posted_at is not None:
            fields["posted_at"] = item.posted_at.isoformat()
        return {"name": given["name"], **{k: v for k, v in fields.items() if USUAL.get(k) != v}}
    news = wire.news_of(given["event"])
    return {"name": given["name"], "ignored": item.kind, **({} if news is None else {"news": news.what})}


def test_events_become_the_posts_that_were_read_and_agreed(golden: Callable[[Path, str], None]) -> None:
    lines = (HERE / "events.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


def test_no_id_leads_to_a_member() -> None:
    """Ids are stored in the clear beside the post: a member's openid must not be part of them, nor of the words."""
    for line in (HERE / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            item = wire.read_event(json.loads(line)["event"], CONTEXT)
        except Malformed:
            continue
        if isinstance(item, RawPost):
            kept = " ".join(
                filter(None, (item.external_id, item.handle, item.reply_to, item.text, item.quoted))
            )
            assert "7D21" not in kept
            assert "11AA" not in kept


def effect(kind: EffectKind, **fields: Any) -> Effect:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = Effect(
        7, "reply:7", kind, "bot", 1, EffectState.SENDING, now, now, thread=GROUP, text="已转后勤处"
    )
    return dataclasses.replace(made, **fields)


@pytest.mark.asyncio
async def test_our_calls_have_the_shapes_of_the_platform(golden: Callable[[Path, str], None]) -> None:
    async with FakeQQBot() as fake:
        settings = {"app_id": fake.app_id, "secret": fake.secret, "groups": [GROUP], "api_url": fake.url}
        bot = connector(ChannelConfig("bot", "qqbot", settings | {"retry_seconds": 0.05}))
        stream = bot.posts(None)
        getting = asyncio.ensure_future(anext(stream))
        await getting
        said = await fake.say(GROUP, "7D21" + "0" * 28, "停水了")
        (post,) = (await anext(stream)).items
        assert isinstance(post, RawPost)
        assert post.external_id == said["id"]
        await bot.perform(effect(EffectKind.REPLY, handle=post.handle), None)
        await bot.perform(effect(EffectKind.NOTICE, key="notice:1"), None)
        await bot.perform(effect(EffectKind.REMOVE, handle=post.handle), None)
        await bot.perform(effect(EffectKind.MUTE, seconds=60), "7D21" + "0" * 28)
        await fake.drop(4009)
        waiting = asyncio.ensure_future(anext(stream))
        while not any(frame["op"] == 6 for frame in fake.frames):
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()
        await bot.close()
    rows = [{"call": name, "path": path, "body": body} for name, path, body in fake.bodies]
    for row in rows:
        if row["call"] == "mute":
            row["body"]["members"][0]["mute_expire_at"] = "LATER"
    begun = [frame for frame in fake.frames if frame["op"] in (2, 6)][:2]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in [*rows, *begun]) + "\n"
    golden(HERE / "calls.jsonl", text)
