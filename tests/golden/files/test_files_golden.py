"""Files as people export them, and what we make of them: one expected file of posts beside each.

The shapes follow the old QQ client, qq-chat-exporter, Excel in China and our own import format; the words are invented.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.file import read
from monitor.core.model import Broken, PostKind, RawPost

HERE = Path(__file__).parent
FILES = sorted(
    path
    for path in [*HERE.iterdir(), HERE / "qce-chunks" / "manifest.json"]
    if path.suffix in (".csv", ".json", ".jsonl", ".txt", ".xlsx") and not path.name.endswith(".posts.jsonl")
)


def row(item: RawPost | Broken) -> dict[str, Any]:
    """Return the fields of an item that say something."""
    if isinstance(item, Broken):
        return {"broken": item.reason, "position": item.position}
    fields = {key: value for key, value in dataclasses.asdict(item).items() if value is not None}
    fields.pop("channel")
    if item.posted_at is not None:
        fields["posted_at"] = item.posted_at.isoformat()
    if item.kind is PostKind.POST:
        fields.pop("kind")
    return fields


def name_of(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_becomes_the_posts_that_were_read_and_agreed(
    path: Path, golden: Callable[[Path, str], None]
) -> None:
    rows = [json.dumps(row(item), ensure_ascii=False) for item in read(path, "auto", "import")]
    golden(path.with_name(path.name + ".posts.jsonl"), "\n".join(rows) + "\n")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_twice_is_once_and_no_id_holds_a_members_number(path: Path) -> None:
    posts = [item for item in read(path, "auto", "import") if isinstance(item, RawPost)]
    again = [item for item in read(path, "auto", "import") if isinstance(item, RawPost)]
    assert posts == again
    for post in posts:
        kept = (post.external_id, post.thread or "", post.handle or "", post.reply_to or "")
        assert len(post.author or "") < 5 or not [
            each for each in kept if post.author and post.author in each
        ]


def test_the_same_log_in_two_encodings_is_the_same_log() -> None:
    first, second = (list(read(HERE / f"qq-{name}.txt", "auto", "c")) for name in ("gb18030", "utf16"))
    assert first == second
