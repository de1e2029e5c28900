"""A played file: every line once and in order, at its speed, from where it was left, whatever stands in it."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.replay import BATCH, Replay, connector
from monitor.core.errors import ConfigError, Rejected, Unavailable
from monitor.core.model import Broken, Effect, EffectKind, EffectState, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming

ROOT = Path(__file__).resolve().parents[3]
WEEK = ROOT / "corpora" / "demo" / "week.jsonl"


def make(file: Path, **more: Any) -> Replay:
    return connector(ChannelConfig("load", "replay", {"file": str(file), **more}))


def written(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    path.write_bytes(b"\n".join(lines))
    return path


async def played(replay: Replay, cursor: str | None = None) -> list[Incoming]:
    return [batch async for batch in replay.posts(cursor)]


def items(batches: list[Incoming]) -> list[RawPost | Broken]:
    return [item for batch in batches for item in batch.items]


def post(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"p{number}", "text": f"第{number}条", **more}


# --- what a line means -----------------------------------------------------------------------------


def test_post_of_the_import_format(tmp_path: Path) -> None:
    row = post(
        1,
        channel="elsewhere",
        author=20002000,
        posted_at="2026-03-02T09:00:00+08:00",
        thread="t",
        reply_to="p0",
    )
    file = written(tmp_path / "a.jsonl", [row | {"url": "https://example.org/1", "lang": "zh"}])
    (one,) = items(asyncio.run(played(make(file))))
    assert one == RawPost(
        channel="load",
        external_id="p1",
        text="第1条",
        author="20002000",
        posted_at=datetime(2026, 3, 2, 1, 0, tzinfo=UTC),
        thread="t",
        reply_to="p0",
        url="https://example.org/1",
        lang="zh",
    )


def test_demo_week_is_played_whole() -> None:
    found = items(asyncio.run(played(make(WEEK))))
    rows = [json.loads(line) for line in WEEK.read_text(encoding="utf-8").splitlines()]
    assert len(found) == len(rows)
    for item, row in zip(found, rows, strict=True):
        assert isinstance(item, RawPost)
        if row["event"] == "recall":
            assert (item.kind, item.external_id, item.by) == (PostKind.REMOVAL, row["target"], "author")
            continue
        assert (item.external_id, item.text) == (row["id"], row["text"])
        assert item.author == (str(row["user"]) if row["user"] else None)
        assert item.contact == row.get("contact")


def test_lines_that_cannot_be_read_are_kept_and_the_others_go_on(tmp_path: Path) -> None:
    rows: list[Any] = [
        post(1),
        b"{broken",
        b"",
        [1],
        {"text": "no id"},
        {"via": "qq", "id": "x", "text": "  "},
        b'{"id":"y","text":"' + b"a" * 3_000_000 + b'"}',
        b"[" * 100_000,
        b'{"id":"z","text":"\xff"}',
        {"via": "qq", "event": "recall"},
        {"id": "u", "kind": "unheard of", "text": "t"},
        {"id": True, "text": "t"},
        b'{"id":"s","text":"a\\ud800b\\u0000c"}',
        post(2),
    ]
    found = items(asyncio.run(played(make(written(tmp_path / "a.jsonl", rows)))))
    said = [item.text for item in found if isinstance(item, RawPost)]
    bad = [(item.position, item.reason) for item in found if isinstance(item, Broken)]
    assert said == ["第1条", "a\ufffdbc", "第2条"]
    assert bad == [
        ("2", "json"),
        ("4", "shape"),
        ("5", "no_id"),
        ("6", "empty"),
        ("7", "too_large"),
        ("8", "too_deep"),
        ("9", "encoding"),
        ("10", "no_id"),
        ("11", "kind"),
        ("12", "no_id"),
    ]
    assert all(len(item.payload) <= 65_536 for item in found if isinstance(item, Broken))


# --- where it goes on ------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3 * BATCH), st.integers(1, 3), st.integers(1, 4))
def test_every_line_comes_once_from_any_cursor(
    tmp_path_factory: pytest.TempPathFactory, count: int, times: int, stops: int
) -> None:
    file = written(tmp_path_factory.mktemp("r") / "a.jsonl", [post(n) for n in range(count)])
    whole = items(asyncio.run(played(make(file, times=times))))
    ids = [item.external_id for item in whole if isinstance(item, RawPost)]
    assert len(ids) == len(set(ids)) == count * times

    async def in_pieces() -> list[RawPost | Broken]:
        cursor, got = None, []
        for _stop in range(stops):
            stream = make(file, times=times).posts(cursor)
            async for batch in stream:
                got += batch.items
                cursor = batch.cursor
                break
            await stream.aclose()  # type: ignore[attr-defined]
        return got + items(await played(make(file, times=times), cursor))

    assert asyncio.run(in_pieces()) == whole


@pytest.mark.parametrize("cursor", [None, "", "x", "1", ":", "-1:2", "0:x", "٣:x"])
def test_cursor_of_another_kind_means_the_beginning(tmp_path: Path, cursor: str | None) -> None:
    file = written(tmp_path / "a.jsonl", [post(1), post(2)])
    assert len(items(asyncio.run(played(make(file), cursor)))) == 2


def test_cursor_behind_the_end_ends(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", [post(1), post(2)])
    assert items(asyncio.run(played(make(file), "0:2"))) == []
    assert items(asyncio.run(played(make(file), "7:0"))) == []


def test_a_second_turn_is_made_of_posts_of_their_own(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", [post(1), post(2, reply_to="p1")])
    found = [item for item in items(asyncio.run(played(make(file, times=2)))) if isinstance(item, RawPost)]
    assert [(item.external_id, item.reply_to) for item in found] == [
        ("p1", None),
        ("p2", "p1"),
        ("p1#2", None),
        ("p2#2", "p1#2"),
    ]


# --- how fast --------------------------------------------------------------------------------------


def test_speed_keeps_the_distances_of_the_file(tmp_path: Path) -> None:
    rows = [
        {"via": "qq", "group": 1, "user": 1, "event": "message", **post(n), "at": 1000 + n * 60}
        for n in range(4)
    ]
    replay = make(written(tmp_path / "a.jsonl", rows), speed=600.0)

    async def moments() -> list[float]:
        begun = time.monotonic()
        return [time.monotonic() - begun async for _batch in replay.posts(None)]

    found = asyncio.run(moments())
    assert len(found) == 4
    assert all(abs(at - n * 0.1) < 0.06 for n, at in enumerate(found)), found


def test_closing_ends_a_long_pause(tmp_path: Path) -> None:
    rows = [post(1, posted_at="2026-01-01T00:00:00Z"), post(2, posted_at="2027-01-01T00:00:00Z")]
    replay = make(written(tmp_path / "a.jsonl", rows), speed=1.0)

    async def run() -> list[Incoming]:
        playing = asyncio.create_task(played(replay))
        await asyncio.sleep(0.05)
        await replay.close()
        await replay.close()
        return await asyncio.wait_for(playing, 2)

    assert [item.external_id for item in items(asyncio.run(run())) if isinstance(item, RawPost)] == ["p1"]


# --- what it is not --------------------------------------------------------------------------------


def test_it_only_listens(tmp_path: Path) -> None:
    replay = make(written(tmp_path / "a.jsonl", [post(1)]))
    now = datetime.now(UTC)
    effect = Effect(1, "k", EffectKind.REPLY, "load", 1, EffectState.SENDING, now, now, text="x")
    assert replay.capabilities == {Capability.LISTEN}
    assert list(replay.routes()) == []
    for refused in (replay.perform(effect, None), replay.read_back(effect)):
        with pytest.raises(Rejected, match="only listens"):
            asyncio.run(refused)  # type: ignore[arg-type]


def test_check_says_what_can_be_played(tmp_path: Path) -> None:
    good = asyncio.run(make(written(tmp_path / "a.jsonl", [post(1), b"{", post(2)])).check())
    assert (good.ok, good.message) == (True, "可以播放 2 行，另有 1 行读不懂，会进入隔离区。")
    assert asyncio.run(make(WEEK).check()).message == "可以播放 571 行。"
    assert not asyncio.run(make(written(tmp_path / "b.jsonl", [b"{"])).check()).ok
    missing = make(tmp_path / "missing.jsonl")
    assert "missing.jsonl" in asyncio.run(missing.check()).message
    with pytest.raises(Unavailable):
        asyncio.run(played(missing))


@pytest.mark.parametrize(
    ("given_", "word"),
    [
        ({}, "file"),
        ({"file": ""}, "file"),
        ({"file": "a", "speed": -1}, "speed"),
        ({"file": "a", "speed": float("nan")}, "speed"),
        ({"file": "a", "times": 0}, "times"),
        ({"file": "a", "sped": 1}, "speed"),
    ],
)
def test_wrong_settings_name_the_key(given_: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        connector(ChannelConfig("load", "replay", given_))
