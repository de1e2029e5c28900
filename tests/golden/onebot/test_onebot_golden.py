"""What QQ programs send, as they send it, and what we make of it: one line in ``events.jsonl``, one in ``posts.jsonl``.

The events follow the shapes of NapCat, LLOneBot, Lagrange.OneBot, go-cqhttp and the standard; the words are invented.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors import _onebot_wire as wire
from connectors._limits import decode_json
from monitor.core.errors import Malformed
from monitor.core.model import PostKind, RawPost

HERE = Path(__file__).parent
SELF = "10001000"
USUAL = {"channel": "qq", "kind": "post", "thread": "700001"}


def outcome(line: str) -> dict[str, Any]:
    """Return what one line means: a post's fields that say something, or why there is none."""
    given = decode_json(line)
    context = wire.Context("qq", frozenset({"700001"}), given["profile"], SELF)
    try:
        item = wire.read_event(given["event"], context)
    except Malformed as error:
        return {"name": given["name"], "broken": error.reason}
    if isinstance(item, RawPost):
        fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
        if item.posted_at is not None:
            fields["posted_at"] = item.posted_at.isoformat()
        if item.kind is not PostKind.POST:
            fields["kind"] = item.kind.value
        said = {key: value for key, value in fields.items() if USUAL.get(key) != value}
        return {"name": given["name"], **said}
    about = wire.about_us(given["event"], SELF) if isinstance(given["event"], dict) else None
    ours = {} if about is None else {"about_us": [about.what, about.group]}
    return {"name": given["name"], "ignored": item.kind, **ours}


def test_events_become_the_posts_that_were_read_and_agreed(golden: Callable[[Path, str], None]) -> None:
    lines = (HERE / "events.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert len(names) == len(set(names)), "every case has its own name"
    rows = [json.dumps(outcome(line), ensure_ascii=False) for line in lines]
    golden(HERE / "posts.jsonl", "\n".join(rows) + "\n")


def test_no_id_leads_to_a_member() -> None:
    """Ids are stored in the clear beside the post: a member's number must not be part of them."""
    for line in (HERE / "posts.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if len(row.get("author", "")) > 5:
            kept = [row.get(key) or "" for key in ("external_id", "handle", "reply_to", "thread", "text")]
            assert not [value for value in kept if row["author"] in value], row["name"]
