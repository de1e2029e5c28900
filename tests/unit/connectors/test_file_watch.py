"""A watched folder: nothing lost, nothing read half-written, one bad file holds up nobody, stored files put away."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from file_scene import workbook

from connectors import file
from connectors.file import Files, connector
from monitor.core.errors import ConfigError, Unavailable
from monitor.core.model import Broken, RawPost
from monitor.core.ports import ChannelConfig

QUICK = {"poll_seconds": 0.01, "settle_seconds": 0}


def make(folder: Path, **settings: Any) -> Files:
    return connector(ChannelConfig("desk", "file", {"folder": str(folder), **QUICK, **settings}))


def lines(*ids: str) -> str:
    return "".join(
        json.dumps({"id": each, "text": f"第 {each} 条"}, ensure_ascii=False) + "\n" for each in ids
    )


class Intake:
    """Keeps what it was given and the cursor after it; acknowledges unless told not to."""

    def __init__(self, cursor: str | None = None, acks: bool = True) -> None:
        self.cursor, self.acks = cursor, acks
        self.items: list[RawPost | Broken] = []
        self.batches = 0

    async def listen(self, files: Files) -> None:
        async for batch in files.posts(self.cursor):
            self.items += batch.items
            self.batches += 1
            self.cursor = batch.cursor or self.cursor
            if batch.ack is not None and self.acks:
                await batch.ack()

    @property
    def ids(self) -> list[str]:
        return [item.external_id for item in self.items if isinstance(item, RawPost)]

    @property
    def reasons(self) -> list[str]:
        return [item.reason for item in self.items if isinstance(item, Broken)]


@asynccontextmanager
async def watching(files: Files, intake: Intake) -> AsyncIterator[Intake]:
    task = asyncio.create_task(intake.listen(files))
    try:
        yield intake
    finally:
        await files.close()
        await files.close()
        await asyncio.wait_for(task, 5)


async def until(fact: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.005)


async def settled(intake: Intake) -> None:
    """Wait until nothing new has come for some looks."""
    seen = -1
    while seen != intake.batches:
        seen = intake.batches
        await asyncio.sleep(0.1)


@pytest.mark.asyncio
async def test_files_that_come_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(lines("3"), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(lines("1", "2"), encoding="utf-8")
    async with watching(make(tmp_path), Intake()) as intake:
        await until(lambda: intake.ids == ["1", "2", "3"])
        (tmp_path / "c.csv").write_text("id,text\n4,四\n", encoding="utf-8")
        await until(lambda: intake.ids == ["1", "2", "3", "4"])
    assert intake.reasons == []


@pytest.mark.asyncio
async def test_it_goes_on_exactly_after_the_cursor(tmp_path: Path) -> None:
    """A stop after any batch: what follows is handed over once, what was before is not read again."""
    ids = [str(n) for n in range(1_700)]
    (tmp_path / "a.jsonl").write_text(lines(*ids), encoding="utf-8")
    cursor, got = None, []
    for _stop in range(8):
        stream = make(tmp_path).posts(cursor)
        batch = await anext(stream)
        await stream.aclose()
        got += [item.external_id for item in batch.items if isinstance(item, RawPost)]
        cursor = batch.cursor
        if not batch.items:
            break
    assert got == ids
    async with watching(make(tmp_path), Intake(cursor)) as intake:
        await settled(intake)
    assert intake.items == []


@pytest.mark.asyncio
async def test_a_file_that_grows_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines("1", "2", "3"), encoding="utf-8")
    async with watching(make(tmp_path), Intake()) as intake:
        await until(lambda: intake.ids == ["1", "2", "3"])
        with path.open("a", encoding="utf-8") as out:
            out.write(lines("4"))
        await until(lambda: "4" in intake.ids)
        await settled(intake)
    assert intake.ids == ["1", "2", "3", "3", "4"]


@pytest.mark.asyncio
async def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines("1", "2"), encoding="utf-8")
    async with watching(make(tmp_path), Intake()) as intake:
        await until(lambda: intake.ids == ["1", "2"])
        path.write_text(lines("9", "2"), encoding="utf-8")
        await until(lambda: intake.ids == ["1", "2", "9", "2"])


@pytest.mark.asyncio
async def test_a_file_is_not_read_while_it_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    async with watching(make(tmp_path, settle_seconds=0.3), Intake()) as intake:
        for each in "123456":
            with path.open("a", encoding="utf-8") as out:
                out.write(lines(each)[:10])
            await asyncio.sleep(0.08)
            with path.open("a", encoding="utf-8") as out:
                out.write(lines(each)[10:])
            assert intake.items == []
        await until(lambda: intake.ids == list("123456"))
    assert intake.reasons == []


@pytest.mark.asyncio
async def test_a_damaged_file_is_put_aside_and_the_next_one_read(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    (tmp_path / "b.jsonl").write_text("{\n" + lines("1"), encoding="utf-8")
    (tmp_path / "c.xlsx").write_bytes(workbook([["编号", "内容"], ["2", "二"]]))
    async with watching(make(tmp_path), Intake()) as intake:
        await until(lambda: intake.ids == ["1", "2"])
        await settled(intake)
    assert intake.reasons == ["xlsx", "json"]
    assert [item.position for item in intake.items if isinstance(item, Broken)] == ["a.xlsx", "1"]


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_holds_up_nobody_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(lines("2"), encoding="utf-8")
    locked = {"a.jsonl"}
    real = file.look_at

    def look_at(path: Path, *rest: Any) -> Any:
        if path.name in locked:
            raise Unavailable("no rights")
        return real(path, *rest)

    monkeypatch.setattr(file, "look_at", look_at)
    files = make(tmp_path)
    async with watching(files, Intake()) as intake:
        await until(lambda: intake.ids == ["2"])
        health = await files.check()
        assert not health.ok
        assert "a.jsonl" in health.message
        locked.clear()
        await until(lambda: intake.ids == ["2", "1"])
        await settled(intake)
        assert (await files.check()).ok


@pytest.mark.asyncio
@pytest.mark.parametrize("after", ["move", "delete"])
async def test_a_stored_file_is_put_away_and_not_before(tmp_path: Path, after: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    files = make(tmp_path, after=after)
    async with watching(files, Intake(acks=False)) as intake:
        await until(lambda: intake.ids == ["1"])
        await settled(intake)
        assert (tmp_path / "a.jsonl").exists(), "what was not acknowledged stays"
    async with watching(make(tmp_path, after=after), Intake()) as intake:
        await until(lambda: not (tmp_path / "a.jsonl").exists())
        (tmp_path / "a.jsonl").write_text(lines("2"), encoding="utf-8")
        await until(lambda: intake.ids == ["1", "2"])
        await until(lambda: not (tmp_path / "a.jsonl").exists())
        await settled(intake)
    moved = sorted(path.name for path in tmp_path.rglob("*.jsonl"))
    assert moved == (["a-2.jsonl", "a.jsonl"] if after == "move" else [])
    assert json.loads(intake.cursor or "{}").keys() <= {"a.jsonl"}


@pytest.mark.asyncio
async def test_a_file_stored_before_a_restart_is_put_away_after_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    async with watching(make(tmp_path), Intake()) as first:
        await until(lambda: first.ids == ["1"])
        await settled(first)
    async with watching(make(tmp_path, after="move"), Intake(first.cursor)) as second:
        await until(lambda: (tmp_path / "done" / "a.jsonl").exists())
    assert second.items == []


@pytest.mark.asyncio
async def test_what_cannot_be_moved_stays_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "done").write_text("in the way", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    files = make(tmp_path, after="move", pattern="*.jsonl")
    async with watching(files, Intake()) as intake:
        await until(lambda: intake.ids == ["1"])
        for _look in range(100):
            if not (health := await files.check()).ok:
                break
            await asyncio.sleep(0.02)
    assert "a.jsonl" in health.message
    assert intake.ids == ["1"]


@pytest.mark.asyncio
async def test_hidden_linked_and_other_files_do_not_count(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.jsonl").write_text(lines("secret"), encoding="utf-8")
    (inside / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (inside / ".hidden.jsonl").write_text(lines("hidden"), encoding="utf-8")
    (inside / "notes.md").write_text("other", encoding="utf-8")
    (inside / "folder.jsonl").mkdir()
    os.mkfifo(inside / "pipe.jsonl")
    (inside / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    async with watching(make(inside, pattern="*.jsonl"), Intake()) as intake:
        await until(lambda: intake.ids == ["1"])
        await settled(intake)
    assert (intake.ids, intake.reasons) == (["1"], [])


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    files = make(tmp_path / "nowhere")
    health = await files.check()
    assert not health.ok
    assert "nowhere" in health.message
    with pytest.raises(Unavailable):
        await anext(files.posts(None))


@pytest.mark.asyncio
async def test_without_a_folder_it_waits_until_closed() -> None:
    files = connector(ChannelConfig("desk", "file", {}))
    assert (await files.check()).ok
    async with watching(files, Intake()) as intake:
        await asyncio.sleep(0.05)
    assert intake.batches == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "[]", '{"a.jsonl": 7}', '{"a.jsonl": ["x", "y", "z", 1]}', "7"]
)
async def test_a_cursor_that_cannot_be_read_means_the_beginning(tmp_path: Path, cursor: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines("1"), encoding="utf-8")
    async with watching(make(tmp_path), Intake(cursor)) as intake:
        await until(lambda: intake.ids == ["1"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"format": "pdf"}, "`format`"),
        ({"after": "burn"}, "`after`"),
        ({"poll_seconds": 0}, "`poll_seconds`"),
        ({"poll_seconds": float("inf")}, "`poll_seconds`"),
        ({"settle_seconds": -1}, "`settle_seconds`"),
        ({"foldr": "x"}, "did you mean `folder`"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        connector(ChannelConfig("desk", "file", settings))
