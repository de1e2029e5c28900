"""What forums and feeds send, as they send it, and what we make of it.

``wire.jsonl`` holds rows and pushes in the shapes of Discourse's documentation and of a real NodeBB 4.15, ``feeds`` whole
feeds as WordPress and NodeBB write them; the words are invented.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import _nodebb_forum as nodebb
from connectors._discourse_wire import Scope, is_gone, read_post
from connectors._feed_read import read_feed
from connectors._limits import decode_json
from connectors._signing import sha256_signature
from connectors.discourse import connector
from monitor.core.errors import Malformed
from monitor.core.model import Broken, RawPost
from monitor.core.ports import ChannelConfig, Request

HERE = Path(__file__).parent
SITE = "https://bbs.example.org"
SCOPE = Scope(SITE, "gonghui")
USUAL = {"channel": "bbs", "kind": "post"}


def shown(item: RawPost | Broken) -> dict[str, Any]:
    """Return the fields that say something."""
    if isinstance(item, Broken):
        return {"broken": item.reason}
    fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
    if item.posted_at is not None:
        fields["posted_at"] = item.posted_at.isoformat()
    return {key: value for key, value in fields.items() if USUAL.get(key) != value}


def of_discourse(row: Mapping[str, Any]) -> dict[str, Any]:
    if why := SCOPE.outside(row):
        return {"ignored": why}
    return {"gone": True} if is_gone(row) else shown(read_post("bbs", SCOPE, row))


def of_nodebb(row: Mapping[str, Any]) -> dict[str, Any]:
    if nodebb.is_federated(row):
        return {"ignored": "federated"}
    return {"gone": True} if nodebb.is_gone(row) else shown(nodebb.read_post("bbs", SITE, row))


async def of_push(event: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = {"url": SITE, "api_key": "k", "api_username": "gonghui", "secrets": ["s"]}
    forum = connector(ChannelConfig("bbs", "discourse", given))
    (route,) = forum.routes()
    assert route.handle is not None
    body = json.dumps({"post": row}).encode()
    headers = {"X-Discourse-Event": event, "X-Discourse-Event-Signature": sha256_signature("s", body)}
    answer = await route.handle(Request("POST", route.path, headers, {}, body))
    await forum.close()
    assert answer.status == 200
    return [shown(item) for item in answer.items]


async def outcome(line: str) -> dict[str, Any]:
    given = decode_json(line)
    try:
        if "event" in given:
            return {"name": given["name"], "items": await of_push(given["event"], given["post"])}
        made = of_discourse(given["discourse"]) if "discourse" in given else of_nodebb(given["nodebb"])
    except Malformed as error:
        made = {"broken": error.reason}
    return {"name": given["name"], **made}


@pytest.mark.asyncio
async def test_rows_and_pushes_become_the_posts_that_were_read_and_agreed(
    golden: Callable[[Path, str], None],
) -> None:
    lines = (HERE / "wire.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(await outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


def test_feeds_become_the_posts_that_were_read_and_agreed(golden: Callable[[Path, str], None]) -> None:
    rows = []
    for path in sorted((HERE / "feeds").glob("*.xml")):
        read = read_feed("bbs", "https://gonghui.example.org/feed/", path.read_bytes(), "text/xml")
        rows.append({"feed": path.name, "partial": read.is_partial, "ttl": read.ttl})
        rows += [shown(item) for item in read.items]
    golden(HERE / "feeds.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def test_no_id_leads_to_a_member() -> None:
    """Ids are stored in the clear beside the post: who wrote it must not be part of them."""
    for name in ("posts.jsonl", "feeds.jsonl"):
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if author := row.get("author"):
                kept = [row.get(key) or "" for key in ("external_id", "handle", "reply_to", "thread")]
                assert author not in kept or author.isdigit(), row


def test_kinds_of_pushes_are_all_tried() -> None:
    lines = (HERE / "wire.jsonl").read_text(encoding="utf-8").splitlines()
    events = {json.loads(line).get("event") for line in lines} - {None}
    assert events == {"post_created", "post_edited", "post_destroyed", "post_recovered"}
