"""Reading up a gap, without sockets: whatever the program's habits, nothing after the mark is left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors._inbox import Inbox
from connectors._onebot_catchup import CatchUp
from connectors._onebot_history import BEGINNING, Event, Found, Mark, Reach, catch_up, page_params, pages
from connectors._onebot_wire import external_id
from monitor.core.errors import Rejected, Unavailable
from monitor.testing import _fake_actions as actions
from monitor.testing.fake_qq import FakeQQ

GROUP = 700001
START = 1_767_225_600
PROFILES = st.sampled_from(("napcat", "llonebot", "lagrange", "go-cqhttp"))


def filled(profile: str, times: list[int]) -> FakeQQ:
    """Return a fake in whose group one message was said at each time."""
    fake = FakeQQ(profile)
    for at in times:
        fake._store(GROUP, 1, [{"type": "text", "data": {"text": "x"}}], at, "")
    return fake


def walk(fake: FakeQQ, since: Mark | None, hours: float = 24, limit: int = 2000) -> tuple[Found, int]:
    """Catch up from ``fake`` and return what was found with the number of calls."""
    calls = 0

    async def ask(action: str, params: Any) -> Any:
        nonlocal calls
        calls += 1
        assert action == "get_group_msg_history"
        page = actions.history(fake.profile, fake.memory.group(GROUP), params)
        return {"messages": [fake._event(message) for message in page]}

    reach = Reach(hours, limit, 0.0)
    return asyncio.run(catch_up(ask, fake.profile, str(GROUP), since, reach)), calls


def keys(fake: FakeQQ, events: tuple[Event, ...]) -> list[str | None]:
    return [external_id(event, str(GROUP), fake.profile) for event in events]


def all_keys(fake: FakeQQ) -> list[str | None]:
    return keys(fake, tuple(fake._event(m) for m in fake.memory.group(GROUP).messages.values()))


STEPS = st.lists(st.integers(0, 40) | st.sampled_from((-900, 3000)), min_size=1, max_size=150)


@given(PROFILES, STEPS, st.data())
def test_everything_after_the_mark_is_found_in_order(
    profile: str, steps: list[int], data: st.DataObject
) -> None:
    times, at = [], START
    for step in steps:
        at += step
        times.append(at)
    fake = filled(profile, times)
    place = data.draw(st.integers(0, len(times) - 1))
    known = all_keys(fake)
    mark = Mark(times[place], str(known[place]))
    found, _calls = walk(fake, mark)
    got = keys(fake, found.messages)
    assert found.complete
    assert mark.key not in got
    assert got[len(got) - len(known[place + 1 :]) :] == known[place + 1 :]
    assert got == [key for key in known if key in set(got)]  # the order of the group, nothing twice


@given(PROFILES, st.integers(1, 120), st.data())
def test_mark_that_was_recalled_loses_nothing(profile: str, count: int, data: st.DataObject) -> None:
    fake = filled(profile, [START + n * 30 for n in range(count)])
    known = all_keys(fake)
    place = data.draw(st.integers(0, count - 1))
    group = fake.memory.group(GROUP)
    fake.memory.remove(list(group.messages)[place])
    found, _calls = walk(fake, Mark(START + place * 30, str(known[place])))
    got = keys(fake, found.messages)
    assert set(known[place + 1 :]) <= set(got)


@given(PROFILES, st.integers(0, 90))
def test_beginning_is_reached_at_the_first_message(profile: str, count: int) -> None:
    fake = filled(profile, [START + n for n in range(count)])
    fake.memory.group(GROUP)
    found, _calls = walk(fake, BEGINNING)
    assert (keys(fake, found.messages), found.complete) == (all_keys(fake), True)


@given(PROFILES, st.integers(0, 60))
def test_time_alone_counts_after_the_program_was_exchanged(profile: str, place: int) -> None:
    fake = filled(profile, [START + n * 7 for n in range(61)])
    found, _calls = walk(fake, Mark(START + place * 7, ""))
    assert keys(fake, found.messages) == all_keys(fake)[place:]


def test_nothing_new_costs_few_calls() -> None:
    fake = filled("napcat", [START + n * 60 for n in range(400)])
    found, calls = walk(fake, Mark(START + 399 * 60, str(all_keys(fake)[-1])))
    assert (len(found.messages), calls, found.complete) == (2, 1, True)  # two minutes of overlap


def test_limit_ends_the_walk_incomplete() -> None:
    fake = filled("lagrange", [START + n * 60 for n in range(400)])
    found, _calls = walk(fake, Mark(START, str(all_keys(fake)[0])), limit=100)
    assert not found.complete
    got = keys(fake, found.messages)
    assert got == all_keys(fake)[-len(got) :]
    assert 100 <= len(got) < 120


def test_page_in_reverse_order_is_turned() -> None:
    fake = filled("llonebot", [START + n for n in range(30)])

    async def ask(_action: str, params: Any) -> Any:
        page = actions.history("llonebot", fake.memory.group(GROUP), params)
        return {"messages": [fake._event(message) for message in page[::-1]]}

    found = asyncio.run(catch_up(ask, "llonebot", str(GROUP), None, Reach(24, 2000, 0)))
    assert keys(fake, found.messages) == all_keys(fake)


@pytest.mark.parametrize("data", [None, [], {}, {"messages": None}, {"messages": [1, None, "x"]}, "text"])
def test_answer_of_another_shape_is_an_empty_page(data: Any) -> None:
    async def ask(_action: str, _params: Any) -> Any:
        return data

    async def count() -> int:
        return sum([1 async for _page in pages(ask, "napcat", str(GROUP), 0)])

    assert asyncio.run(count()) == 0


def test_program_that_repeats_itself_ends() -> None:
    same = {"messages": [{"message_id": 1, "time": START}, {"time": START}]}

    async def ask(_action: str, _params: Any) -> Any:
        return same

    async def count() -> int:
        return sum([1 async for _page in pages(ask, "unknown", str(GROUP), 0)])

    assert asyncio.run(count()) == 1


def test_anchor_bears_the_name_that_each_program_knows() -> None:
    oldest = {"message_id": 11, "message_seq": 22}
    assert page_params("napcat", "5", oldest)["message_seq"] == 11
    assert page_params("napcat", "5", oldest)["reverse_order"] is True
    assert page_params("llonebot", "5", oldest)["message_seq"] == 22
    assert "reverse_order" not in page_params("llonebot", "5", oldest)
    assert page_params("lagrange", "5", oldest)["message_id"] == 11
    assert page_params("unknown", "5", {"message_id": 11})["message_seq"] == 11


# --- who is behind ---------------------------------------------------------------------------------


async def _taken(inbox: Inbox) -> str:
    batch = await inbox.next()
    assert batch is not None
    return batch.cursor or ""


@pytest.mark.asyncio
async def test_break_during_the_reading_keeps_the_group_behind() -> None:
    inbox = Inbox()
    behind = CatchUp(frozenset({"1"}), inbox, 0.01)
    reads = 0

    async def read(_group: str) -> None:
        nonlocal reads
        reads += 1
        if reads == 1:
            behind.broken()  # a second break while the first gap is read
            behind.move("1", Mark(START, "a"))
        if reads == 2:
            raise Unavailable("no answer")

    task = asyncio.create_task(behind.run(read))
    behind.possible()
    await asyncio.sleep(0.01)
    assert reads == 1
    assert behind.move("1", Mark(START, "c")) is None
    behind.possible()
    assert '"c"' in await asyncio.wait_for(_taken(inbox), 2)
    assert reads >= 3
    assert behind.move("1", Mark(START, "d")) == Mark(START, "d")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_refusal_of_the_first_page_is_told() -> None:
    async def ask(_action: str, _params: Any) -> Any:
        raise Rejected("no")

    with pytest.raises(Rejected):
        asyncio.run(catch_up(ask, "napcat", str(GROUP), None, Reach(24, 2000, 0)))
