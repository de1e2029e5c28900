"""What a Discuz! forum sends, as it sends it, and what we make of it; and the requests that we send.

The first lines of ``wire.jsonl`` were recorded from an X3.5 that was installed for it (members and words invented),
the others are made in the shapes of its source. ``requests.jsonl`` is what the fake forum received.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from connectors import _discuz_wire as wire
from connectors.discuz import connector
from monitor.core.errors import Malformed
from monitor.core.model import Effect, EffectKind, EffectState, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.fake_discuz import FakeDiscuz

HERE = Path(__file__).parent
SITE = "http://bbs.example.edu.cn"
USUAL = {"channel": "bbs", "kind": "post"}


def post_of(item: RawPost | Malformed) -> dict[str, Any]:
    if isinstance(item, Malformed):
        return {"broken": item.reason}
    fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
    if item.posted_at is not None:
        fields["posted_at"] = item.posted_at.isoformat()
    return {k: v for k, v in fields.items() if USUAL.get(k) != v}


def rows_in(answer: wire.Answer) -> list[Any]:
    found: list[Any] = []
    for row in wire.rows_of(answer.variables):
        if wire.is_hole(row):
            found.append("hole")
            continue
        try:
            read = wire.read_row("bbs", SITE, "88", wire.subject_of(answer.variables), row)
        except Malformed as error:
            found.append({"broken": error.reason})
        else:
            found.append({**post_of(read.post), "position": read.position, "hidden": read.hidden})
    return found


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    """Return what one body means."""
    body = given["gbk"].encode("gbk") if "gbk" in given else given["body"].encode()
    try:
        if given["kind"] == "feed":
            return {"name": given["name"], "posts": [post_of(each) for each in wire.read_feed("bbs", body)]}
        answer = wire.read_answer(body)
    except Malformed as error:
        return {"name": given["name"], "broken": error.reason}
    told: dict[str, Any] = {"name": given["name"], "uid": answer.uid}
    told |= {"message": answer.message} if answer.message else {}
    told |= {"error": answer.error} if answer.error else {}
    topics = [dataclasses.asdict(topic) for topic in wire.topics_of(answer.variables)]
    told |= {"topics": topics} if topics else {}
    rows = rows_in(answer)
    return told | ({"rows": rows} if rows else {})


def test_answers_become_the_posts_that_were_read_and_agreed(golden: Callable[[Path, str], None]) -> None:
    lines = [json.loads(line) for line in (HERE / "wire.jsonl").read_text(encoding="utf-8").splitlines()]
    names = [line["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


def effect(kind: EffectKind, handle: str) -> Effect:
    at = datetime.now(UTC)
    said = "已转后勤处，“今天”18点前答复 & 公布。\n编号〔H-1-7〕"
    return Effect(
        7, "k", kind, "bbs", 1, EffectState.SENDING, at, at, handle=handle, text=said, mark="〔H-1-7〕"
    )


@pytest.mark.asyncio
async def test_requests_are_those_that_were_agreed(golden: Callable[[Path, str], None]) -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", 12, time.time())
        post = fake.post(topic.tid, "加微信领奖", 12)
        settings = {"url": fake.url, "forums": [2], "username": fake.username, "password": fake.password}
        discuz = connector(ChannelConfig("bbs", "discuz", settings))
        assert (await discuz.check()).ok
        for kind in (EffectKind.REPLY, EffectKind.HIDE, EffectKind.RESTORE, EffectKind.REMOVE):
            told = effect(kind, f"{topic.tid}:{post.pid}")
            await discuz.perform(told, None)
            assert await discuz.read_back(told)
        await discuz.perform(effect(EffectKind.REMOVE, f"{topic.tid}:{topic.posts[0].pid}:1"), None)
        await discuz.close()
        sent = [(query, parse_qsl(raw.decode(), True)) for _module, query, raw in fake.requests]
    rows = [json.dumps({"query": query, "form": form}, ensure_ascii=False) for query, form in sent]
    golden(HERE / "requests.jsonl", "\n".join(rows).replace(fake.password, "PASSWORD") + "\n")
