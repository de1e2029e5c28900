"""From a QQ group to the store and back: the whole service over SQLite and real sockets, with a fake QQ program."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.core.model import (
    CaseKind,
    CaseState,
    Effect,
    EffectKind,
    EffectState,
    NewCase,
    NewEffect,
    Post,
    SourceState,
)
from monitor.core.ports import PostFilter
from monitor.runtime import serving
from monitor.testing.fake_qq import FakeQQ

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).resolve().parents[2]
GROUP, TOKEN = 700001, "a-long-token-for-the-test"


@dataclass
class Place:
    """Where one service lives: its folder and its port."""

    folder: Path
    port: int

    @property
    def qq(self) -> str:
        return f"ws://127.0.0.1:{self.port}/onebot/v11/qq"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[App]:
        """Run the service in this process until the block ends."""
        app = bootstrap.build(config.load(self.folder / "huiyin.toml", self.folder), models=False)
        stop = asyncio.Event()
        running = asyncio.create_task(serving.serve(app, stop))
        try:
            yield app
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)
            app.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "huiyin.toml").write_text(
        f"""
[service]
port = {port}

[rules]
effect_delay = 0.05
send_timeout = 1.0
human_after = 60.0

[channels.qq]
type = "onebot"
groups = [{GROUP}]
token = {{ file = "token" }}
history_pause = 0.0
call_seconds = 0.5
retry_seconds = 0.2

[channels.box]
type = "box"
""",
        encoding="utf-8",
    )
    (tmp_path / "huiyin.toml").chmod(0o600)
    return Place(tmp_path, port)


def stored(app: App, channel: str = "qq") -> list[Post]:
    with app.deps.uow.read() as store:
        return store.posts.page(PostFilter(channel=channel), None, 5000)


async def until_stored(app: App, count: int, seconds: float = 20.0) -> list[Post]:
    async with asyncio.timeout(seconds):
        while len(await asyncio.to_thread(stored, app)) < count:
            await asyncio.sleep(0.05)
    return stored(app)


async def test_group_is_stored_once_over_breaks_and_restarts(place: Place) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, said = random.Random(seed), []
    async with FakeQQ("napcat", TOKEN, reconnect=0.05) as fake:
        fake.join(GROUP)
        fake.connect(place.qq)
        for life in range(3):
            async with place.serving() as app:
                await asyncio.wait_for(fake.connected.wait(), 10)
                for number in range(60):
                    said.append(f"第{life}世第{number:02}句，食堂的豆浆又凉了")
                    await fake.say(GROUP, chance.randrange(1, 9), said[-1])
                    if chance.random() < 0.05:
                        await fake.drop()
                    if chance.random() < 0.2:
                        await asyncio.sleep(0.01)
            for between in range(3):
                said.append(f"第{life}世之后第{between}句")
                await fake.say(GROUP, 1, said[-1])
        async with place.serving() as app:
            posts = await until_stored(app, len(said))
    assert Counter(post.text for post in posts) == Counter(said)
    assert len({post.external_id for post in posts}) == len(said)
    assert all(post.revision == 1 for post in posts)


async def test_recalls_reach_the_post_even_when_they_come_first(place: Place) -> None:
    async with FakeQQ("napcat", TOKEN, reconnect=0.05) as fake, place.serving() as app:
        fake.connect(place.qq)
        await asyncio.wait_for(fake.connected.wait(), 10)
        kept = await fake.say(GROUP, 1, "留下的话")
        gone = await fake.say(GROUP, 2, "后来撤回的话")
        early = fake._store(GROUP, 3, [{"type": "text", "data": {"text": "先撤回的话"}}], None, "")
        await until_stored(app, 2)
        await fake.recall(gone)
        await fake.recall(early.message_id)
        await fake.emit(fake._event(early))
        await until_stored(app, 3)

        def states() -> dict[str | None, SourceState]:
            return {post.handle: post.source_state for post in stored(app)}

        async with asyncio.timeout(10):
            while states()[str(gone)] is SourceState.VISIBLE:
                await asyncio.sleep(0.05)
        assert states() == {
            str(kept): SourceState.VISIBLE,
            str(gone): SourceState.REMOVED,
            str(early.message_id): SourceState.REMOVED,
        }


def write_answer(app: App, post: Post, number: int) -> int:
    """Put an answer to ``post`` into the outbox, as an approved reply does."""
    now = app.deps.clock.now()
    mark = f"〔H-{number}-1〕"
    with app.deps.uow.begin() as store:
        case = store.cases.open(
            NewCase(
                CaseKind.GRIEVANCE, CaseState.REGISTERED, 1, "qq", (post.id,), "test", thread=post.thread
            ),
            now,
        )
        return store.outbox.add(
            NewEffect(
                key=f"reply:{number}:{post.id}",
                kind=EffectKind.REPLY,
                channel="qq",
                case_id=case.id,
                not_before=now - timedelta(seconds=1),
                thread=post.thread,
                handle=post.handle,
                post_id=post.id,
                text=f"第{number}个答复：已转后勤处。\n编号{mark}",
                mark=mark,
            ),
            now,
        )


async def settled(app: App, effect_id: int, seconds: float = 30.0) -> Effect:
    def look() -> Effect:
        with app.deps.uow.read() as store:
            return store.outbox.get(effect_id)

    async with asyncio.timeout(seconds):
        while (effect := await asyncio.to_thread(look)).state not in (
            EffectState.SENT,
            EffectState.NEEDS_HUMAN,
        ):
            await asyncio.sleep(0.1)
    return effect


@pytest.mark.parametrize("fault", ["", "silent_after", "drop_after", "refuse_after"])
async def test_answer_leaves_once_whatever_becomes_of_its_answer(place: Place, fault: str) -> None:
    async with FakeQQ("napcat", TOKEN, reconnect=0.05) as fake, place.serving() as app:
        fake.connect(place.qq)
        await asyncio.wait_for(fake.connected.wait(), 10)
        await fake.say(GROUP, 1, "三食堂停水了")
        (post,) = await until_stored(app, 1)
        if fault == "refuse_after":
            fake.faults.refuse_after["send_group_msg"] = 1200
        elif fault:
            getattr(fake.faults, fault)["send_group_msg"] = 1
        effect = await settled(app, await asyncio.to_thread(write_answer, app, post, 1))
        assert effect.state is EffectState.SENT
        assert fake.sent("〔H-1-1〕") == 1
        assert effect.receipt == str(fake.done[0].message_id)


async def test_player_fills_group_and_box_of_a_real_service(place: Place) -> None:
    rows = [
        json.loads(line)
        for line in (ROOT / "corpora/demo/week.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    box = [row for row in rows if row["via"] == "box"][:2]
    group = [row for row in rows if row.get("group") == GROUP and row["event"] == "message"][:20]
    script = sorted(box + group, key=lambda row: row["at"])
    week = place.folder / "week.jsonl"
    week.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in script), encoding="utf-8")
    command = [sys.executable, "-m", "monitor.testing.fake_qq", "--week", str(week), "--speed", "0", "--exit"]
    command += ["--url", place.qq, "--token", TOKEN, "--box", f"http://127.0.0.1:{place.port}/box"]
    async with place.serving() as app:
        player = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        assert await asyncio.wait_for(player.wait(), 30) == 0
        posts = await until_stored(app, len(group))
        letters = await asyncio.to_thread(stored, app, "box")
    assert len(posts) == len(group)
    assert {letter.text for letter in letters} == {row["text"] for row in box}
