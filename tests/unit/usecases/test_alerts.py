"""Telling the staff: counts and a link, together, in time, and never twice what perhaps arrived."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.alerts import AlertKind, StaffMessage
from monitor.core.model import CaseKind, CaseState, NewCase
from monitor.testing.builders import ADMIN, FixedClock, raw
from monitor.usecases import alerts
from monitor.usecases.alerts import RETRIES, Due, Wanted
from monitor.usecases.deps import Deps
from monitor.usecases.health import health
from monitor.usecases.ingest import ingest

K = AlertKind
ROBOT = Wanted("robot", link="https://huiyin.example/review")
MONTH = 31


def waits(deps: Deps, number: int, *, care: bool = True) -> None:
    """Let something urgent wait, or an appeal."""
    ingest(deps, "qq", [raw(f"p{number}", f"张三说不想活了 {number}", author="20002000")])
    with deps.uow.begin() as store:
        post = store.posts.count()
        kind = CaseKind.CARE if care else CaseKind.APPEAL
        store.cases.open(NewCase(kind, CaseState.PENDING, 1, "qq", (post,), "x"), deps.clock.now())


def told(deps: Deps, wanted: Wanted = ROBOT) -> StaffMessage | None:
    """Look, take what is due and say that it arrived."""
    alerts.look(deps, wanted)
    due = alerts.take(deps, wanted)
    if due is None:
        return None
    assert alerts.sent(deps, due)
    return due.message


def taken(deps: Deps, wanted: Wanted = ROBOT) -> Due:
    alerts.look(deps, wanted)
    due = alerts.take(deps, wanted)
    assert due is not None
    return due


def test_what_is_urgent_leaves_at_once_and_only_once(deps: Deps, clock: FixedClock) -> None:
    assert told(deps) is None
    for number in range(3):
        waits(deps, number)
    message = told(deps)
    assert message is not None
    assert (message.counts, message.text, message.link) == (
        {"urgent_case": 3},
        "新的紧急事项 3 件",
        ROBOT.link,
    )
    for _day in range(MONTH):
        clock.advance(minutes=1)
        assert told(deps, replace(ROBOT, kinds=frozenset({K.URGENT_CASE}))) is None


def test_a_message_has_neither_words_nor_names_nor_references(deps: Deps) -> None:
    for number in range(3):
        waits(deps, number, care=number > 0)
    message = told(deps)
    assert message is not None
    shown = f"{message}"
    for secret in ("张三", "不想活", "20002000", "qq", "H-", "p0"):
        assert secret not in shown


def test_what_is_not_urgent_waits_for_company(deps: Deps, clock: FixedClock) -> None:
    waits(deps, 1, care=False)
    assert told(deps) is None
    clock.advance(seconds=30)
    waits(deps, 2, care=False)
    assert told(deps) is None
    clock.advance(seconds=30)
    message = told(deps)
    assert message is not None
    assert message.counts == {"appeal_waiting": 2}


def test_one_message_in_three_seconds_and_the_rest_together(deps: Deps, clock: FixedClock) -> None:
    waits(deps, 1)
    assert told(deps) is not None
    for number in range(2, 9):
        waits(deps, number)
    clock.advance(seconds=2)
    assert told(deps) is None
    clock.advance(seconds=1)
    message = told(deps)
    assert message is not None
    assert message.counts == {"urgent_case": 7}


def test_at_night_only_what_may_leave_does(deps: Deps, clock: FixedClock) -> None:
    night = replace(ROBOT, allowed=frozenset({K.URGENT_CASE}))
    waits(deps, 1, care=False)
    clock.advance(minutes=5)
    assert told(deps, night) is None
    waits(deps, 2)
    message = told(deps, night)
    assert message is not None
    assert message.counts == {"urgent_case": 1}
    clock.advance(minutes=5)
    message = told(deps)
    assert message is not None
    assert message.counts == {"appeal_waiting": 1}


def test_what_a_notifier_does_not_tell_is_not_noted(deps: Deps) -> None:
    waits(deps, 1)
    only = replace(ROBOT, kinds=frozenset({K.CHANNEL_DOWN}))
    assert alerts.look(deps, only) == 0
    assert alerts.take(deps, only) is None


def test_surely_not_arrived_is_tried_again_with_what_came_meanwhile(deps: Deps, clock: FixedClock) -> None:
    waits(deps, 1)
    assert alerts.later(deps, ROBOT, taken(deps), "connector.unavailable")
    waits(deps, 2)
    assert told(deps) is None
    (status,) = alerts.status(deps, ["robot"])
    assert (status.is_failing, status.last_error, status.waiting) == (True, "connector.unavailable", 2)
    clock.advance(seconds=5)
    message = told(deps)
    assert message is not None
    assert message.counts == {"urgent_case": 2}
    (status,) = alerts.status(deps, ["robot"])
    assert (status.is_failing, status.sent, status.waiting) == (False, 1, 0)


def test_a_wait_that_was_asked_for_is_kept_and_a_refusal_is_not_repeated_at_once(
    deps: Deps, clock: FixedClock
) -> None:
    waits(deps, 1)
    alerts.later(deps, ROBOT, taken(deps), "connector.rate_limited", clock.now() + timedelta(minutes=10))
    clock.advance(minutes=9)
    assert alerts.take(deps, ROBOT) is None
    clock.advance(minutes=1)
    alerts.later(deps, ROBOT, taken(deps), "connector.rejected", refused=True)
    clock.advance(minutes=59)
    assert alerts.take(deps, ROBOT) is None
    clock.advance(minutes=1)
    assert alerts.take(deps, ROBOT) is not None


def test_after_the_last_pause_it_is_given_up_visibly_and_can_be_put_back(
    deps: Deps, clock: FixedClock
) -> None:
    waits(deps, 1)
    for _attempt in range(len(RETRIES) + 1):
        assert alerts.later(deps, ROBOT, taken(deps), "connector.unavailable")
        clock.advance(days=2)
    assert alerts.take(deps, ROBOT) is None
    (status,) = alerts.status(deps, ["robot"])
    assert (status.failed, status.is_failing) == (1, True)
    assert alerts.replay(deps, "robot") == 1
    message = told(deps)
    assert message is not None
    assert message.counts["urgent_case"] == 1


def test_what_perhaps_arrived_is_not_sent_again(deps: Deps, clock: FixedClock) -> None:
    waits(deps, 1)
    assert alerts.perhaps(deps, ROBOT, taken(deps), "connector.uncertain")
    clock.advance(minutes=30)
    assert alerts.take(deps, ROBOT) is None
    (status,) = alerts.status(deps, ["robot"])
    assert (status.unknown, status.is_failing) == (1, True)


def test_a_receiver_that_counts_once_gets_the_same_message_again(deps: Deps, clock: FixedClock) -> None:
    hook = replace(ROBOT, is_idempotent=True)
    waits(deps, 1)
    first = taken(deps, hook)
    assert alerts.perhaps(deps, hook, first, "connector.uncertain")
    waits(deps, 2)
    clock.advance(seconds=5)
    again = taken(deps, hook)
    assert (again.message.key, again.message.counts) == (first.message.key, {"urgent_case": 1})
    assert alerts.later(deps, hook, again, "connector.unavailable"), "an earlier attempt may have arrived"
    clock.advance(minutes=1)
    last = taken(deps, hook)
    assert last.message.counts == {"urgent_case": 1}
    assert alerts.sent(deps, last)
    clock.advance(seconds=3)
    message = told(deps, hook)
    assert message is not None
    assert message.counts == {"urgent_case": 1}
    assert message.key != first.message.key


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_sender_that_crashed_leaves_it_open(deps: Deps, clock: FixedClock, idempotent: bool) -> None:
    wanted = replace(ROBOT, is_idempotent=idempotent)
    waits(deps, 1)
    lost = taken(deps, wanted)
    clock.advance(seconds=119)
    assert alerts.take(deps, wanted) is None
    clock.advance(seconds=1)
    assert alerts.take(deps, wanted) is None
    assert not alerts.sent(deps, lost), "the slow sender finds that it was given up"
    clock.advance(seconds=5)
    again = alerts.take(deps, wanted)
    assert (again is not None) is idempotent
    (status,) = alerts.status(deps, ["robot"])
    assert status.unknown == (0 if idempotent else 1)


def test_health_names_who_fails(deps: Deps) -> None:
    declared = replace(deps, notifiers=("robot", "mail"))
    waits(declared, 1)
    alerts.later(declared, ROBOT, taken(declared), "connector.unavailable")
    assert [(one.name, one.is_failing) for one in health(declared, ADMIN).notifiers] == [
        ("robot", True),
        ("mail", False),
    ]
    alerts.note_trouble(declared, "mail", "config")
    assert health(declared, ADMIN).notifiers[1].last_error == "config"
    alerts.note_trouble(declared, "mail", "")
    assert not health(declared, ADMIN).notifiers[1].is_failing


def test_old_messages_are_forgotten(deps: Deps, clock: FixedClock) -> None:
    waits(deps, 1)
    assert told(deps) is not None
    assert alerts.prune(deps) == 0
    clock.advance(days=91)
    assert alerts.prune(deps) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(min_value=0), st.booleans())
def test_whatever_happens_nothing_is_lost_and_nothing_is_told_twice(
    deps: Deps, clock: FixedClock, seed: int, idempotent: bool
) -> None:
    """Crashes, refusals and lost answers in any order: each alert arrives once, or stands as open or given up."""
    chance = random.Random(seed)
    wanted = replace(ROBOT, name=f"r{seed}", is_idempotent=idempotent, kinds=frozenset({K.APPEAL_WAITING}))
    arrived: dict[str, int] = {}
    noted = 0

    def step(*, calm: bool) -> None:
        nonlocal noted
        keys = [] if calm else [f"appeal:{seed}:{noted + n}" for n in range(chance.randrange(3))]
        with deps.uow.begin() as store:
            noted += store.alerts.note(wanted.name, K.APPEAL_WAITING, keys, clock.now())
        due = alerts.take(deps, wanted)
        if due is not None:
            outcome = (
                "sent"
                if calm
                else chance.choice(["sent", "later", "refused", "perhaps+", "perhaps-", "crash+", "crash-"])
            )
            if outcome in ("sent", "perhaps+", "crash+"):
                arrived.setdefault(due.message.key, due.message.counts["appeal_waiting"])
                assert arrived[due.message.key] == due.message.counts["appeal_waiting"], (
                    "the same key, the same words"
                )
            if outcome == "sent":
                alerts.sent(deps, due)
            elif outcome in ("later", "refused"):
                alerts.later(deps, wanted, due, "x", refused=outcome == "refused")
            elif outcome.startswith("perhaps"):
                alerts.perhaps(deps, wanted, due, "x")
        clock.advance(hours=25)

    for _turn in range(len(RETRIES)):
        step(calm=False)
    for _turn in range(6):
        step(calm=True)
    (status,) = alerts.status(deps, [wanted.name])
    assert status.waiting == 0
    with deps.uow.read() as store:
        open_ = [one for one in (store.alerts.pending(wanted.name),) if one is not None]
    assert not open_
    if idempotent:
        assert sum(arrived.values()) == noted, "each once, as its receiver counts"
    else:
        assert sum(arrived.values()) <= noted, "never twice"
        assert sum(arrived.values()) + status.unknown >= min(noted, 1)
    assert status.failed == 0
