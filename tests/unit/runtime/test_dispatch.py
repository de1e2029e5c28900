"""Sending: each effect leaves once; what is unknown is asked about, and what cannot be asked goes to a person."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runtime_world import House, Source, house_at, until

from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import (
    SYSTEM,
    CaseKind,
    CaseState,
    Effect,
    EffectKind,
    EffectState,
    NewCase,
    NewEffect,
)
from monitor.core.ports import Capability, ChannelConfig
from monitor.runtime.dispatch import Dispatcher
from monitor.testing.builders import raw
from monitor.usecases import channels
from monitor.usecases.ingest import ingest

HERE = Path(__file__).resolve().parent
_number = itertools.count(1)


def an_effect(house: House, channel: str = "qq", kind: EffectKind = EffectKind.REPLY, **fields: Any) -> int:
    """Put an effect into the outbox that is due now; returns its id."""
    n, about = next(_number), fields.pop("about", CaseKind.MODERATION)
    (result,) = ingest(house.deps, channel, [raw(f"e{n}", f"请给个说法 {n}", channel=channel)]).results
    now = datetime.now(UTC)
    with house.deps.uow.begin() as store:
        case = store.cases.open(
            NewCase(about, CaseState.PENDING, 1, channel, (result.post_id or 0,), "test"), now
        )
        new = NewEffect(
            f"key-{n}",
            kind,
            channel,
            case.id,
            now,
            "g1",
            f"e{n}",
            text=f"答复 {n}",
            mark=f"〔{n}〕",
            **fields,
        )
        return store.outbox.add(new, now)


def row(house: House, effect_id: int) -> Effect:
    with house.deps.uow.read() as store:
        return store.outbox.get(effect_id)


def due_now(house: House, effect_id: int) -> None:
    """Let the pause of an effect be over."""
    effect = row(house, effect_id)
    with house.deps.uow.begin() as store:
        at = datetime.now(UTC) - timedelta(seconds=1)
        assert store.outbox.settle(effect, effect.state, at, error=effect.last_error, not_before=at)


async def one_round(house: House) -> int:
    return await Dispatcher(house).round()


@pytest.mark.asyncio
async def test_what_is_due_is_sent_once_with_its_receipt(house: House) -> None:
    source, effect = house.adopt(Source("qq")), an_effect(house)
    assert await one_round(house) == 1
    assert (row(house, effect).state, row(house, effect).receipt) == (EffectState.SENT, f"receipt-{effect}")
    assert await one_round(house) == 0
    assert len(source.performed) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("act", "state", "code"),
    [
        (Unavailable("x"), EffectState.NEW, "connector.unavailable"),
        (Rejected("x"), EffectState.NEEDS_HUMAN, "connector.rejected"),
        (Uncertain("x"), EffectState.UNKNOWN, "connector.uncertain"),
        (KeyError("x"), EffectState.UNKNOWN, "connector.uncertain"),
        (Malformed("x"), EffectState.UNKNOWN, "connector.uncertain"),
        (lambda: asyncio.sleep(30), EffectState.UNKNOWN, "connector.uncertain"),
    ],
)
async def test_every_outcome_has_its_state(house: House, act: Any, state: EffectState, code: str) -> None:
    house.adopt(Source("qq")).acts.append(act)
    effect = an_effect(house)
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).last_error) == (state, code)
    assert row(house, effect).lease_until is None


@pytest.mark.asyncio
async def test_an_asked_for_wait_is_kept(house: House) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    house.adopt(Source("qq")).acts.append(RateLimited("slow", later))
    effect = an_effect(house)
    await one_round(house)
    assert row(house, effect).state is EffectState.NEW
    assert row(house, effect).not_before >= later


@pytest.mark.asyncio
async def test_the_unknown_is_read_back_and_not_sent_again(house: House) -> None:
    source = house.adopt(Source("qq"))
    source.acts.append(Uncertain("x"))
    source.found.append("message-7")
    effect = an_effect(house)
    await one_round(house)
    due_now(house, effect)
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).receipt) == (EffectState.SENT, "message-7")
    assert (len(source.performed), len(source.asked)) == (1, 1)


@pytest.mark.asyncio
async def test_what_surely_did_not_arrive_is_sent_again(house: House) -> None:
    source = house.adopt(Source("qq"))
    source.acts.append(Uncertain("x"))
    source.found.append(None)
    effect = an_effect(house)
    await one_round(house)
    due_now(house, effect)
    await one_round(house)
    assert row(house, effect).state is EffectState.NEW
    await one_round(house)
    assert row(house, effect).state is EffectState.SENT
    assert len(source.performed) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("finding", "state"),
    [
        (Unavailable("x"), EffectState.UNKNOWN),
        (RateLimited("x", datetime.now(UTC) + timedelta(minutes=5)), EffectState.UNKNOWN),
        (Uncertain("x"), EffectState.UNKNOWN),
        (Rejected("x"), EffectState.NEEDS_HUMAN),
        (KeyError("x"), EffectState.NEEDS_HUMAN),
    ],
)
async def test_a_read_back_that_tells_nothing_never_leads_to_a_second_send(
    house: House, finding: Any, state: EffectState
) -> None:
    source = house.adopt(Source("qq"))
    source.acts.append(Uncertain("x"))
    source.found.append(finding)
    effect = an_effect(house)
    await one_round(house)
    due_now(house, effect)
    await one_round(house)
    await one_round(house)
    assert row(house, effect).state is state
    assert len(source.performed) == 1


@pytest.mark.asyncio
async def test_what_cannot_be_read_back_goes_to_a_person(house: House) -> None:
    source = house.adopt(Source("qq", capabilities=frozenset({Capability.REPLY})))
    source.acts.append(Uncertain("x"))
    effect = an_effect(house)
    await one_round(house)
    due_now(house, effect)
    await one_round(house)
    assert row(house, effect).state is EffectState.NEEDS_HUMAN
    assert row(house, effect).last_error == "channel.cannot_read_back"
    assert (len(source.performed), len(source.asked)) == (1, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", list(EffectKind))
async def test_what_a_channel_cannot_do_is_said_before_it_is_tried(house: House, kind: EffectKind) -> None:
    source = house.adopt(Source("qq", capabilities=frozenset({Capability.LISTEN})))
    effect = an_effect(house, kind=kind)
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).last_error) == (
        EffectState.NEEDS_HUMAN,
        "channel.cannot",
    )
    assert source.performed == []


@pytest.mark.asyncio
async def test_an_effect_for_a_channel_that_is_gone_goes_to_a_person(house: House) -> None:
    effect = an_effect(house, "box")
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).last_error) == (EffectState.NEEDS_HUMAN, "config")


@pytest.mark.asyncio
async def test_a_silent_channel_is_left_alone_and_the_others_go_on(house: House) -> None:
    source, box = house.adopt(Source("qq")), house.adopt(Source("box"))
    source.acts += [Unavailable("x")] * 9
    waiting = [an_effect(house) for _n in range(3)]
    other = an_effect(house, "box")
    await one_round(house)
    assert len(source.performed) == 1
    assert {row(house, effect).state for effect in waiting} == {EffectState.NEW}
    assert row(house, other).state is EffectState.SENT
    assert len(box.performed) == 1


@pytest.mark.asyncio
async def test_a_paused_channel_sends_nothing(house: House) -> None:
    source, effect = house.adopt(Source("qq")), an_effect(house)
    channels.set_paused(house.deps, SYSTEM, "qq", True)
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).attempt) == (EffectState.NEW, 0)
    assert source.performed == []
    channels.set_paused(house.deps, SYSTEM, "qq", False)
    await one_round(house)
    assert row(house, effect).state is EffectState.SENT


@pytest.mark.asyncio
async def test_who_holds_an_effect_too_long_does_not_send_it(house: House) -> None:
    """F-14: with half of the lease gone somebody else could take it; it is given back instead."""
    source = house.adopt(Source("qq"))

    async def slow() -> str:
        await asyncio.sleep(0.45)
        return "late"

    source.acts += [slow] * 8
    effects = [an_effect(house) for _n in range(6)]
    await one_round(house)
    states = Counter(row(house, effect).state for effect in effects)
    assert states[EffectState.SENT] == len(source.performed) == 4
    assert states[EffectState.NEW] == 2


@pytest.mark.asyncio
async def test_a_crashed_sender_leaves_an_effect_that_is_asked_about(house: House) -> None:
    source, effect = house.adopt(Source("qq")), an_effect(house)
    with house.deps.uow.begin() as store:
        before = datetime.now(UTC) - timedelta(hours=1)
        store.outbox.settle(row(house, effect), EffectState.NEW, before, not_before=before)
        store.outbox.lease(1, before, 60.0, (EffectState.NEW,))
    source.found.append("message-9")
    await one_round(house)
    assert (row(house, effect).state, row(house, effect).receipt) == (EffectState.SENT, "message-9")
    assert source.performed == []


@pytest.mark.asyncio
async def test_the_loop_ends_after_what_it_has_in_hand(house: House) -> None:
    source = house.adopt(Source("qq"))
    begun = asyncio.Event()

    async def slow() -> str:
        begun.set()
        await asyncio.sleep(0.2)
        return "in time"

    source.acts.append(slow)
    effect = an_effect(house)
    dispatcher = Dispatcher(house)
    task = asyncio.create_task(dispatcher.run())
    await begun.wait()
    dispatcher.stop()
    await asyncio.wait_for(task, 2)
    assert row(house, effect).receipt == "in time"


@pytest.mark.asyncio
async def test_two_dispatchers_never_send_the_same(house: House) -> None:
    source = house.adopt(Source("qq"))
    effects = [an_effect(house) for _n in range(24)]
    twins = [Dispatcher(house), Dispatcher(house)]
    tasks = [asyncio.create_task(twin.run()) for twin in twins]
    await until(lambda: len(source.performed) >= 24)
    await until(lambda: all(row(house, effect).state is EffectState.SENT for effect in effects))
    for twin in twins:
        twin.stop()
    await asyncio.gather(*tasks)
    assert max(Counter(effect.id for effect in source.performed).values()) == 1


# --- killed at random moments ----------------------------------------------------------------------


def test_a_killed_sender_doubles_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """F-03 in small: the platform counts what it was told; every answer is there exactly once."""
    house = house_at(tmp_path, "qq")
    house = _with_short_waits(house)
    effects = [an_effect(house) for _n in range(24)]
    platform = tmp_path / "platform"
    platform.touch()
    kills = 0
    for round_ in range(40):
        if all(row(house, effect).state is EffectState.SENT for effect in effects):
            break
        process = subprocess.Popen(
            [sys.executable, str(HERE / "sending.py"), str(tmp_path), str(platform)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(0.08 + 0.05 * (round_ % 4))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
    told = Counter(platform.read_text().split())
    print(
        f"{kills} kills, {len(told)} of 24 answers on the platform, {sum(told.values()) - len(told)} doubled"
    )
    assert set(told) == {f"{effect}" for effect in effects}
    assert max(told.values()) == 1
    house.close()


def _with_short_waits(house: House) -> House:
    return House(house.config, replace(house.deps, rules=replace(house.deps.rules, send_timeout=0.05)))


# --- quiet hours and pace --------------------------------------------------------------------------


def with_channel(house: House, **settings: Any) -> House:
    """Return the same house with other settings of the channel ``qq``."""
    changed = replace(house.config.channels["qq"], **settings)
    made = House(replace(house.config, channels={**house.config.channels, "qq": changed}), house.deps)
    made.adopt(Source("qq"))
    return made


@pytest.mark.asyncio
async def test_answers_wait_for_the_morning_and_urgent_ones_do_not(house: House) -> None:
    night = with_channel(house, quiet_hours="00:00-23:59:59.999999")
    waiting = [an_effect(night), an_effect(night, kind=EffectKind.NOTICE)]
    leaving = [
        an_effect(night, kind=EffectKind.REMOVE),
        an_effect(night),
        an_effect(night, about=CaseKind.CARE),
    ]
    with night.deps.uow.begin() as store:
        case = store.cases.get(store.outbox.get(leaving[1]).case_id)
        store.cases.save(replace(case, urgency="high"), case.version)
    assert await one_round(night) == len(leaving)
    assert [row(night, one).state for one in leaving] == [EffectState.SENT] * 3
    assert [(row(night, one).state, row(night, one).attempt) for one in waiting] == [(EffectState.NEW, 0)] * 2
    day = with_channel(house, quiet_hours="")
    assert await one_round(day) == 2


@pytest.mark.asyncio
async def test_no_more_answers_leave_in_a_minute_than_the_channel_says(house: House) -> None:
    slow = with_channel(house, answers_per_minute=2)
    many = [an_effect(slow) for _n in range(4)]
    removal = an_effect(slow, kind=EffectKind.REMOVE)
    sender = Dispatcher(slow)
    await sender.round()
    states = Counter(row(slow, one).state for one in many)
    assert states == {EffectState.SENT: 2, EffectState.NEW: 2}
    assert row(slow, removal).state is EffectState.SENT, "only what is said is counted"
    put_off = [row(slow, one) for one in many if row(slow, one).state is EffectState.NEW]
    assert {(one.attempt, one.last_error) for one in put_off} == {(0, "channel.pace")}
    assert await sender.round() == 0


@pytest.mark.parametrize(
    ("hours", "quiet", "loud"),
    [
        ("22:00-07:30", ["22:00", "23:59", "00:00", "07:29"], ["07:30", "12:00", "21:59"]),
        ("12:00-13:00", ["12:00", "12:59"], ["11:59", "13:00", "00:00"]),
        ("", [], ["00:00", "12:00"]),
    ],
)
def test_quiet_hours(hours: str, quiet: list[str], loud: list[str]) -> None:
    from datetime import time

    from monitor.config import Channel

    channel = Channel("qq", "box", {}, quiet_hours=hours)
    assert [text for text in (*quiet, *loud) if channel.is_quiet(time.fromisoformat(text))] == quiet


def test_what_one_group_cannot_is_known_in_other_processes(house: House) -> None:
    source = Source("qq")
    source.lacking = {"g2": frozenset({Capability.MUTE})}  # type: ignore[attr-defined]
    house.adopt(source)
    said = house.said_capabilities("qq")
    assert "mute@g2" in said
    channels.declare(house.deps, [(ChannelConfig("qq", "scripted", {}), said)])
    other = House(house.config, house.deps)
    for app in (house, other):
        assert app.lacking("qq", "g2") == {Capability.MUTE}
        assert app.lacking("qq", "g1") == frozenset()
        assert app.capabilities("qq") == frozenset(Capability)
        assert Capability.MUTE not in app.deps.can("qq", "g2")
