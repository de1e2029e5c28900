"""Listening: stored, then acknowledged; together what waits; one channel never holds up another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runtime_world import House, Source, house_at, running, until

from monitor.core.errors import RateLimited, StoreError, Unavailable
from monitor.core.model import SYSTEM, Broken, Health
from monitor.core.ports import Capability, Incoming, PostFilter, Store
from monitor.runtime import intake
from monitor.runtime.intake import Intake, Listener, store_pushed
from monitor.testing.builders import raw
from monitor.usecases import channels

HERE = Path(__file__).resolve().parent


def ids(house: House) -> list[str]:
    with house.deps.uow.read() as store:
        return [post.external_id for post in reversed(store.posts.page(PostFilter(), None, 10_000))]


def state(house: House, name: str) -> Any:
    return next((row for row in channels.status(house.deps, SYSTEM) if row.name == name), None)


class Counting:
    """Transactions, counted; the first ``refusals`` of them are refused."""

    def __init__(self, house: House, refusals: int = 0, slow: float = 0.0) -> None:
        self.inner = house.deps.uow
        self.refusals, self.slow, self.begun = refusals, slow, 0
        object.__setattr__(house.deps, "uow", self)
        self.read = self.inner.read
        self.close = self.inner.close

    @contextmanager
    def begin(self, actor: Any = SYSTEM) -> Iterator[Store]:
        self.begun += 1
        time.sleep(self.slow)
        with self.inner.begin(actor) as store:
            yield store
            if self.refusals > 0:
                self.refusals -= 1
                raise StoreError("the disk is full")


def batch(
    *names: str, cursor: str | None = None, acked: list[str] | None = None, house: House | None = None
) -> Incoming:
    async def ack() -> None:
        assert acked is not None
        if house is not None:
            assert set(names) <= set(ids(house)), "acknowledged before it was stored"
        acked.extend(names)

    return Incoming(
        tuple(raw(name, f"第 {name} 条", channel="qq") for name in names),
        cursor,
        ack if acked is not None else None,
    )


@pytest.mark.asyncio
async def test_posts_are_stored_before_they_are_acknowledged(house: House) -> None:
    source, acked = house.adopt(Source("qq")), []  # type: list[str]
    for name in "abc":
        source.waiting.put_nowait(batch(name, cursor=f"c-{name}", acked=acked, house=house))
    async with running(Listener(house, "qq").run()):
        await until(lambda: len(acked) == 3)
    assert acked == ["a", "b", "c"]
    assert channels.cursor(house.deps, "qq") == "c-c"


@pytest.mark.asyncio
async def test_what_waits_is_stored_together(house: House) -> None:
    source, acked = house.adopt(Source("qq")), []  # type: list[str]
    counting = Counting(house, slow=0.05)
    for n in range(60):
        source.waiting.put_nowait(batch(f"{n}", cursor=f"{n}", acked=acked))
    async with running(Listener(house, "qq").run()):
        await until(lambda: len(acked) == 60)
    assert counting.begun <= 6
    assert channels.cursor(house.deps, "qq") == "59"


@pytest.mark.asyncio
async def test_a_store_that_refuses_is_never_acknowledged_and_nothing_is_lost(house: House) -> None:
    source, acked = house.adopt(Source("qq")), []  # type: list[str]
    counting = Counting(house, refusals=1)
    source.waiting.put_nowait(batch("a", cursor="1", acked=acked, house=house))
    async with running(Listener(house, "qq").run()):
        await until(lambda: counting.refusals == 0)
        assert acked == []
        assert channels.cursor(house.deps, "qq") is None
        await until(lambda: len(source.cursors) == 2)
        assert source.cursors == [None, None]
        source.waiting.put_nowait(batch("a", "b", cursor="2", acked=acked, house=house))
        await until(lambda: acked == ["a", "b"])
    assert ids(house) == ["a", "b"]


@pytest.mark.asyncio
async def test_a_failing_source_is_seen_and_tried_again_from_the_cursor(house: House) -> None:
    source = house.adopt(Source("qq"))
    source.waiting.put_nowait(batch("a", cursor="1"))
    source.waiting.put_nowait(Unavailable("the QQ program does not answer"))
    async with running(Listener(house, "qq").run()):
        await until(lambda: state(house, "qq") and state(house, "qq").state == "failing")
        assert state(house, "qq").last_error == "the QQ program does not answer"
        assert state(house, "qq").next_retry_at > datetime.now(UTC) - timedelta(seconds=1)
        await until(lambda: source.cursors == [None, "1"])
        source.waiting.put_nowait(batch("b", cursor="2"))
        await until(lambda: state(house, "qq").state == "ok")
    assert ids(house) == ["a", "b"]


@pytest.mark.asyncio
async def test_an_asked_for_wait_is_kept(house: House) -> None:
    source = house.adopt(Source("qq"))
    later = datetime.now(UTC) + timedelta(minutes=10)
    source.waiting.put_nowait(RateLimited("slow down", later))
    async with running(Listener(house, "qq").run()):
        await until(lambda: state(house, "qq") is not None)
        assert abs(state(house, "qq").next_retry_at - later) < timedelta(seconds=5)
        await asyncio.sleep(0.05)
        assert source.cursors == [None]


@pytest.mark.asyncio
async def test_the_end_of_a_source_ends_its_listener(house: House) -> None:
    source = house.adopt(Source("qq"))
    source.waiting.put_nowait(batch("a"))
    source.waiting.put_nowait(None)
    await asyncio.wait_for(Listener(house, "qq").run(), 5)
    assert ids(house) == ["a"]


@pytest.mark.asyncio
async def test_one_channel_never_holds_up_another(house: House) -> None:
    house.adopt(Source("qq")).waiting.put_nowait(Unavailable("away"))
    box = house.adopt(Source("box"))
    async with running(Intake(house, 0.05).run()):
        for n in range(3):
            box.waiting.put_nowait(Incoming((raw(f"{n}", "食堂", channel="box"),)))
            await until(lambda n=n: f"{n}" in ids(house))
        await until(lambda: state(house, "qq").state == "failing")
    assert state(house, "box").state == "ok"


@pytest.mark.asyncio
async def test_a_check_that_went_well_does_not_cover_a_failure_that_came_meanwhile(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, writing, checked = house.adopt(Source("qq")), threading.Event(), channels.checked

    def slowly(*given: Any, **named: Any) -> None:
        writing.set()
        time.sleep(0.2)
        checked(*given, **named)

    monkeypatch.setattr(intake.channels, "checked", slowly)
    async with running(Intake(house, 0.02).run()):
        await until(writing.is_set)
        source.waiting.put_nowait(Unavailable("away"))
        await until(lambda: state(house, "qq") and state(house, "qq").last_error == "away")
        await asyncio.sleep(0.3)
        assert state(house, "qq").state == "failing"


@pytest.mark.asyncio
async def test_a_channel_that_cannot_be_built_says_why(house: House) -> None:
    house.adopt(Source("box"))
    async with running(Intake(house, 0.05).run()):
        await until(lambda: state(house, "qq") and state(house, "qq").last_error)
    assert state(house, "qq").last_error == "channel `qq` cannot be built"
    assert state(house, "box").state in ("ok", "idle")


@pytest.mark.asyncio
async def test_pausing_and_resuming_is_followed_while_running(house: House) -> None:
    source = house.adopt(Source("qq"))
    house.adopt(Source("box"))
    async with running(Intake(house, 0.02).run()):
        source.waiting.put_nowait(batch("a", cursor="1"))
        await until(lambda: ids(house) == ["a"])
        channels.set_paused(house.deps, SYSTEM, "qq", True)
        await until(lambda: "qq" in intake._paused(house))
        await asyncio.sleep(0.05)
        source.waiting.put_nowait(batch("b", cursor="2"))
        with pytest.raises(Unavailable, match="paused"):
            await store_pushed(house, "qq", [raw("c", "推送")])
        await asyncio.sleep(0.1)
        assert ids(house) == ["a"]
        channels.set_paused(house.deps, SYSTEM, "qq", False)
        await until(lambda: ids(house) == ["a", "b"])
    assert source.cursors == [None, "1"]
    assert source.closed == 1


@pytest.mark.asyncio
async def test_a_channel_paused_by_hand_stays_paused_over_a_restart(house: House) -> None:
    for name in ("qq", "box"):
        house.adopt(Source(name))
    async with running(Intake(house, 0.02).run()):
        await until(lambda: state(house, "qq"))
        channels.set_paused(house.deps, SYSTEM, "qq", True)
    async with running(Intake(house, 0.02).run()):
        await asyncio.sleep(0.1)
        assert state(house, "qq").state == "paused"
        assert state(house, "box").state != "paused"


@pytest.mark.asyncio
async def test_pushes_at_the_same_time_share_a_transaction_and_get_their_own_results(house: House) -> None:
    counting = Counting(house, slow=0.03)
    pushes = [[raw(f"{n}-{k}", "推送", channel="qq") for k in range(3)] for n in range(40)]
    pushes[7].append(Broken("qq", "json", "not JSON", b"{"))  # type: ignore[arg-type]
    results = await asyncio.gather(*(store_pushed(house, "qq", items) for items in pushes))
    assert counting.begun <= 4
    for n, result in enumerate(results):
        assert [each.external_id for each in result][:3] == [f"{n}-{k}" for k in range(3)]
    assert [each.outcome for each in results[7]] == ["new", "new", "new", "quarantined"]


@pytest.mark.asyncio
async def test_no_transaction_of_pushes_is_larger_than_agreed(house: House) -> None:
    counting = Counting(house, slow=0.03)
    await asyncio.gather(
        *(
            store_pushed(house, "qq", [raw(f"{n}-{k}", "推", channel="qq") for k in range(200)])
            for n in range(5)
        )
    )
    assert counting.begun == 3
    assert len(ids(house)) == 1000


@pytest.mark.asyncio
async def test_a_refused_push_is_told_to_everyone_who_waits_and_the_next_one_works(house: House) -> None:
    Counting(house, refusals=1)
    outcomes = await asyncio.gather(
        *(store_pushed(house, "qq", [raw(f"{n}", "推送", channel="qq")]) for n in range(3)),
        return_exceptions=True,
    )
    assert all(isinstance(each, StoreError) for each in outcomes)
    assert ids(house) == []
    assert await store_pushed(house, "qq", []) == []
    assert [each.outcome for each in await store_pushed(house, "qq", [raw("x", "推送", channel="qq")])] == [
        "new"
    ]


@pytest.mark.asyncio
async def test_who_gives_up_waiting_leaves_the_others_their_answers(house: House) -> None:
    Counting(house, slow=0.05)
    tasks = [
        asyncio.create_task(store_pushed(house, "qq", [raw(f"{n}", "推送", channel="qq")])) for n in range(3)
    ]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert len(ids(house)) == 3


@pytest.mark.asyncio
async def test_a_check_is_answered_by_the_process_that_holds_the_connection(house: House) -> None:
    source = house.adopt(Source("qq"))
    source.health = Health(False, "the account is offline", detail={"seen": "3"})
    source.capabilities = frozenset({Capability.LISTEN, Capability.REPLY})
    house.adopt(Source("box"))
    assert channels.ask_check(house.deps, SYSTEM, "qq") is None, "nobody serves"
    async with running(Intake(house, 0.02).run()):
        await until(lambda: state(house, "qq") and state(house, "qq").last_error == "the account is offline")
        _serve(house)
        asked = channels.ask_check(house.deps, SYSTEM, "qq")
        assert asked is not None
        await until(lambda: channels.check_answer(house.deps, "qq", asked))
    health = channels.check_answer(house.deps, "qq", asked)
    assert health == Health(False, "the account is offline", frozenset({"listen", "reply"}), {"seen": "3"})
    assert set(state(house, "qq").capabilities) == {"listen", "reply"}


def _serve(house: House) -> None:
    from monitor.runtime.parts import Pulse

    Pulse(house, "service").beat(now=True)


@pytest.mark.asyncio
async def test_what_a_channel_turns_out_not_to_offer_is_written_down(house: House) -> None:
    source = house.adopt(Source("qq"))
    house.adopt(Source("box"))
    async with running(Intake(house, 0.02).run()):
        await until(lambda: state(house, "qq") and "read_back" in state(house, "qq").capabilities)
        source.capabilities -= {Capability.READ_BACK}
        _serve(house)
        channels.ask_check(house.deps, SYSTEM, "qq")
        await until(lambda: "read_back" not in state(house, "qq").capabilities)


@pytest.mark.asyncio
async def test_in_safe_mode_nothing_is_listened_to(tmp_path: Path) -> None:
    house = house_at(tmp_path, "qq")
    house.safe = True
    source = house.adopt(Source("qq"))
    source.waiting.put_nowait(batch("a"))
    async with running(Intake(house, 0.02).run()):
        await asyncio.sleep(0.1)
    assert ids(house) == []
    house.close()


def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    for failures in range(1, 30):
        whole = min(60.0, 2.0**failures / 2)
        assert all(whole / 2 <= intake.pause_after(failures) <= whole for _ in range(20))


# --- killed at random moments ----------------------------------------------------------------------


def _listen_until_killed(folder: Path, acked: Path, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "listening.py"), str(folder), str(acked), str(count)],
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("seed", [3])
def test_a_killed_intake_loses_nothing_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """F-01: everything acknowledged is stored, and after the last start every post is there exactly once."""
    count, kills, acked = 2_000, 8, tmp_path / "acked"
    acked.touch()
    for kill in range(kills):
        process = _listen_until_killed(tmp_path, acked, count)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 + 0.02 * ((seed * kill) % 5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert set(_acked(acked)) <= set(_stored(tmp_path))
    with _listen_until_killed(tmp_path, acked, count) as process:
        assert process.wait(30) == 0
    stored = _stored(tmp_path)
    print(f"seed {seed}: {kills} kills, {len(stored)} stored of {count}, {len(_acked(acked))} acknowledged")
    assert stored == [f"{n}" for n in range(count)]


def _acked(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1]


def _stored(folder: Path) -> Sequence[str]:
    house = house_at(folder, "qq")
    try:
        return ids(house)
    finally:
        house.close()
