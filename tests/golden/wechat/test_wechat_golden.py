"""What WeChat sends, as it sends it, and what we make of it; and the requests that we send, byte for byte.

``wire.jsonl`` holds pushed XML and rows of the comment list in the shapes of the platform's pages; the words are
invented. ``requests.jsonl`` is what the fake account received for every kind of effect.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import _wechat_wire as wire
from connectors._limits import decode_json
from connectors._wechat_ids import Article, Members
from connectors.wechat import WeChat, connector
from monitor.core.errors import Malformed
from monitor.core.model import Effect, EffectKind, EffectState, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_wechat import FakeWeChat

HERE = Path(__file__).parent
MEMBERS = Members("golden", "gzh")
USUAL = {"channel": "gzh", "kind": "post"}


def outcome(line: str) -> dict[str, Any]:
    """Return what one line means: a post's fields that say something, or why there is none."""
    given = decode_json(line)
    try:
        if "xml" in given:
            item = wire.read_message("gzh", given["xml"].encode(), MEMBERS)
        else:
            item = wire.read_comment("gzh", Article(12003, 2), given["comment"])
    except Malformed as error:
        return {"name": given["name"], "broken": error.reason}
    if isinstance(item, wire.Ignored):
        return {"name": given["name"], "ignored": item.kind}
    fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
    if item.posted_at is not None:
        fields["posted_at"] = item.posted_at.isoformat()
    return {"name": given["name"], **{k: v for k, v in fields.items() if USUAL.get(k) != v}}


def test_pushes_and_rows_become_the_posts_that_were_read_and_agreed(
    golden: Callable[[Path, str], None],
) -> None:
    lines = (HERE / "wire.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


def test_no_id_leads_to_a_member() -> None:
    """Ids are stored in the clear beside the post: an openid must not be part of them."""
    for line in (HERE / "posts.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if author := row.get("author"):
            kept = [row.get(key) or "" for key in ("external_id", "handle", "reply_to", "thread")]
            assert not [value for value in kept if author in value], row["name"]


def effect(kind: EffectKind, handle: str) -> Effect:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    said = "已转后勤处，“今天”18点前答复。😀\n编号〔H-1-7〕"
    return Effect(
        7, "k", kind, "gzh", 1, EffectState.SENDING, at, at, handle=handle, text=said, mark="〔H-1-7〕"
    )


async def exercise(fake: FakeWeChat, wechat: WeChat) -> None:
    """Let the connector do everything that it can do once."""
    fake.comment((12003, 2), "广告", "oABC-x", elected=True)
    fake.open_window("oABC-test_openid")
    stream = wechat.posts(None)
    batch = await anext(stream)
    assert isinstance(batch.items[0], RawPost)
    await stream.aclose()  # type: ignore[attr-defined]
    handle = wechat._members.handle("oABC-test_openid")
    await wechat.perform(effect(EffectKind.REPLY, handle), None)
    for kind in (EffectKind.REPLY, EffectKind.HIDE, EffectKind.RESTORE, EffectKind.REMOVE):
        await wechat.perform(effect(kind, "c:12003:2:1"), None)
        await wechat.read_back(effect(kind, "c:12003:2:1"))


@pytest.mark.asyncio
async def test_requests_are_the_ones_of_the_platform(golden: Callable[[Path, str], None]) -> None:
    async with FakeWeChat() as fake:
        given = {"appid": fake.appid, "app_secret": fake.secret, "token": fake.token, "api_url": fake.url}
        more = {"articles": ["12003_3"], "find_articles": False}
        wechat = connector(ChannelConfig("gzh", "wechat", {**given, **more}))
        await exercise(fake, wechat)
        await wechat.close()
    rows = [
        json.dumps({"path": path, "body": raw.decode()}, ensure_ascii=False) for path, raw in fake.requests
    ]
    golden(HERE / "requests.jsonl", "\n".join(rows) + "\n")
