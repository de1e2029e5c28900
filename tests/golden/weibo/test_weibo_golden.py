"""What Weibo sends, in the shapes of its pages, and what we make of it; and the requests that we send.

``wire.jsonl`` holds invented words in the shapes of the open platform's pages; ``requests.jsonl`` is what the fake
platform received for everything that the channel does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import _weibo_wire as wire
from connectors._weibo_api import error_of, number_of
from connectors.weibo import connector
from monitor.core.errors import Malformed
from monitor.core.model import Effect, EffectKind, EffectState
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_weibo import FakeWeibo

HERE = Path(__file__).parent
USUAL = {"channel": "wb", "kind": "post"}


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    """Return what one line means: a post's fields that say something, or why there is none."""
    if given["kind"] == "answer":
        number = number_of(given["body"])
        said = type(error_of(number, "it", datetime.now(UTC))).__name__ if number else None
        return {"name": given["name"], "code": number, "error": said}
    read = wire.read_comment if given["kind"] == "comment" else wire.read_mention
    try:
        post = read("wb", given["row"])
    except Malformed as error:
        return {"name": given["name"], "broken": error.reason}
    fields = {key: value for key, value in dataclasses.asdict(post).items() if value is not None}
    if post.posted_at is not None:
        fields["posted_at"] = post.posted_at.isoformat()
    return {"name": given["name"], **{k: v for k, v in fields.items() if USUAL.get(k) != v}}


def test_rows_become_the_posts_that_were_read_and_agreed(golden: Callable[[Path, str], None]) -> None:
    lines = [json.loads(line) for line in (HERE / "wire.jsonl").read_text(encoding="utf-8").splitlines()]
    names = [line["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


@pytest.mark.asyncio
async def test_requests_are_those_that_were_agreed(golden: Callable[[Path, str], None]) -> None:
    async with FakeWeibo() as fake:
        fake.contract = True
        comment = fake.comment("广告", 1_987_000_002)
        mention = fake.write(1_987_000_002, "@工会", mentions=True)
        where = {"api_url": fake.url, "commercial_url": fake.url, "access_token": fake.token}
        weibo = connector(ChannelConfig("wb", "weibo", {**where, "commercial": True}))
        assert (await weibo.check()).ok
        async for _batch in weibo.posts(None):
            break
        at = datetime.now(UTC)
        for kind, handle in (
            (EffectKind.REPLY, f"c:{fake.post.key}:{comment.key}"),
            (EffectKind.REPLY, f"m:{mention.key}"),
            (EffectKind.REMOVE, f"c:{fake.post.key}:{comment.key}"),
        ):
            told = Effect(
                7,
                "k",
                kind,
                "wb",
                1,
                EffectState.SENDING,
                at,
                at,
                handle=handle,
                text="好 & 谢谢〔H-1〕",
                mark="〔H-1〕",
            )
            await weibo.perform(told, None)
            assert await weibo.read_back(told)
        await weibo.close()
    rows = [json.dumps(request, ensure_ascii=False) for request in fake.requests]
    golden(HERE / "requests.jsonl", "\n".join(rows).replace(fake.token, "TOKEN") + "\n")
