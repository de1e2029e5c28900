"""Alerts: noted once per notifier, put into messages that leave once, whatever crashes in between."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from store_world import at_once, opened

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.alerts import AlertKind, Delivery, DeliveryState
from monitor.core.model import CaseKind, CaseState, EffectKind, EffectState, NewEffect
from monitor.core.ports import ChannelConfig, Store
from monitor.testing.builders import START

K, S = AlertKind, DeliveryState
HOUR, HALF = timedelta(hours=1), timedelta(minutes=30)


def fresh(store: Store, kind: AlertKind, at: datetime = START, name: str = "robot") -> list[str]:
    return store.alerts.fresh(name, kind, at, HALF)


def begin(store: Store, key: str = "k1", at: datetime = START, *kinds: AlertKind) -> Delivery | None:
    return store.alerts.begin("robot", kinds or tuple(K), key, at, at + timedelta(seconds=60))


def begun(store: Store, key: str = "k1", at: datetime = START, *kinds: AlertKind) -> Delivery:
    found = begin(store, key, at, *kinds)
    assert found is not None
    return found


def test_what_is_so_is_found_until_it_was_noted_for_each_notifier(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        care = opened(store, kind=CaseKind.CARE)
        high = opened(store, kind=CaseKind.GRIEVANCE, state=CaseState.REGISTERED, urgency="high")
        opened(store, urgency="normal")
        assert set(fresh(store, K.URGENT_CASE)) == {f"urgent:{care.id}", f"urgent:{high.id}"}
        assert store.alerts.note("robot", K.URGENT_CASE, fresh(store, K.URGENT_CASE), START) == 2
        assert fresh(store, K.URGENT_CASE) == []
        assert store.alerts.note("robot", K.URGENT_CASE, [f"urgent:{care.id}"], START) == 0
        assert len(fresh(store, K.URGENT_CASE, name="mail")) == 2
        assert fresh(store, K.URGENT_CASE, START + timedelta(days=8), "late") == []
        assert store.alerts.waiting("robot") == {K.URGENT_CASE: (2, START)}
        assert store.alerts.waiting("mail") == {}


def test_dates_that_come_near_and_pass(uow: SqlUnitOfWork) -> None:
    """Told at four fifths of the time, and again when it is over; another date is another matter."""
    with uow.begin() as store:
        case = opened(store, kind=CaseKind.GRIEVANCE, state=CaseState.REGISTERED, due_at=START + 10 * HOUR)
        opened(store, kind=CaseKind.GRIEVANCE, state=CaseState.CLOSED, due_at=START + 10 * HOUR)
        assert fresh(store, K.CASE_DUE, START + 7.9 * HOUR) == []
        (near,) = fresh(store, K.CASE_DUE, START + 8 * HOUR)
        assert near.startswith(f"due:{case.id}:")
        assert fresh(store, K.CASE_OVERDUE, START + 9 * HOUR) == []
        (over,) = fresh(store, K.CASE_OVERDUE, START + 10 * HOUR)
        assert over.startswith(f"overdue:{case.id}:")
        assert fresh(store, K.CASE_DUE, START + 10 * HOUR) == []


def test_appeals_effects_and_channels(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        appeal = opened(store, kind=CaseKind.APPEAL)
        effect = NewEffect("k", EffectKind.REPLY, "qq", appeal.id, START)
        number = store.outbox.add(effect, START)
        assert fresh(store, K.APPEAL_WAITING) == [f"appeal:{appeal.id}"]
        assert fresh(store, K.NEEDS_HUMAN) == []
        (leased,) = store.outbox.lease(1, START, 60, (EffectState.NEW,))
        store.outbox.settle(leased, EffectState.NEEDS_HUMAN, START)
        assert fresh(store, K.NEEDS_HUMAN) == [f"human:{number}:1"]

        for name in ("up", "down", "paused", "new"):
            store.channels.declare(ChannelConfig(name, "qq", {}, None, name == "paused"), [])
            if name != "new":
                store.channels.note_ok(name, START, 0, 0)
        for name in ("down", "paused", "new"):
            store.channels.note_error(name, START + HOUR / 60, "gone", None)
        assert fresh(store, K.CHANNEL_DOWN, START + HALF - HOUR / 60) == []
        (down,) = fresh(store, K.CHANNEL_DOWN, START + HALF)
        assert down.startswith("down:down:")
        store.channels.note_error("new", START + 2 * HOUR, "gone", None)
        store.channels.note_error("new", START + 3 * HOUR, "gone", None)
        assert "down:new:0" in fresh(store, K.CHANNEL_DOWN, START + 3 * HOUR)


def test_a_message_carries_what_waits_and_nothing_else(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert begin(store) is None
        store.alerts.note("robot", K.URGENT_CASE, ["urgent:1", "urgent:2"], START)
        store.alerts.note("robot", K.CASE_DUE, ["due:1:1"], START)
        store.alerts.note("mail", K.CASE_DUE, ["due:1:1"], START)
        first = begun(store, "k1", START, K.URGENT_CASE)
        assert (first.key, first.state, first.attempt, first.fence) == ("k1", S.SENDING, 1, 1)
        assert dict(first.counts) == {"urgent_case": 2}
        assert store.alerts.settle(first, S.SENT, START + HOUR)
        assert not store.alerts.settle(first, S.SENT, START + HOUR), "once is enough"
        assert dict(begun(store, "k2").counts) == {"case_due": 1}
        assert store.alerts.waiting("mail") == {K.CASE_DUE: (1, START)}
        assert store.alerts.tried_at("robot") == START
        assert store.alerts.tried_at("mail") is None


def test_what_surely_did_not_arrive_is_merged_with_what_came_meanwhile(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.alerts.note("robot", K.URGENT_CASE, ["urgent:1"], START)
        first = begun(store)
        assert store.alerts.settle(first, S.NEW, START, "connector.unavailable", START + HOUR)
        pending = store.alerts.pending("robot")
        assert pending is not None
        assert (pending.not_before, pending.last_error) == (START + HOUR, "connector.unavailable")
        store.alerts.note("robot", K.URGENT_CASE, ["urgent:2"], START)
        again = begun(store, "other", START + HOUR)
        assert (again.id, again.key, again.attempt, again.fence) == (first.id, "k1", 2, 2)
        assert dict(again.counts) == {"urgent_case": 2}
        assert not store.alerts.settle(first, S.SENT, START), "the first sender has lost it"
        assert store.alerts.settle(again, S.SENT, START)


def test_what_perhaps_arrived_stays_as_it_was(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.alerts.note("robot", K.URGENT_CASE, ["urgent:1"], START)
        first = begun(store)
        assert store.alerts.expired("robot", START + timedelta(seconds=59)) == []
        (lost,) = store.alerts.expired("robot", START + timedelta(seconds=60))
        assert store.alerts.settle(lost, S.NEW, START, "crashed", START, fixed=True)
        store.alerts.note("robot", K.URGENT_CASE, ["urgent:2"], START)
        again = begun(store, "other")
        assert (again.key, dict(again.counts), again.fixed) == (first.key, {"urgent_case": 1}, True)
        assert store.alerts.settle(again, S.UNKNOWN, START, "connector.uncertain")
        assert dict(begun(store, "k3").counts) == {"urgent_case": 1}


def test_status_replay_and_forgetting(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert [one.name for one in store.alerts.status(["robot", "mail"])] == ["robot", "mail"]
        for n, state in enumerate((S.SENT, S.UNKNOWN, S.FAILED)):
            at = START + n * HOUR
            store.alerts.note("robot", K.CASE_DUE, [f"due:{n}:1"], at)
            assert store.alerts.settle(begun(store, f"k{n}", at), state, at, None if state is S.SENT else "x")
        store.alerts.note("robot", K.CASE_DUE, ["due:9:1"], START)
        (told,) = store.alerts.status(["robot"])
        assert (told.waiting, told.sent, told.unknown, told.failed) == (1, 1, 1, 1)
        assert (told.last_sent_at, told.last_error, told.is_failing, told.next_try_at) == (
            START,
            "x",
            True,
            None,
        )
        assert store.alerts.replay("robot") == 1
        assert store.alerts.replay("robot") == 0
        (told,) = store.alerts.status(["robot"])
        assert (told.waiting, told.failed) == (2, 0)
        assert store.alerts.prune(START) == 0
        assert store.alerts.prune(START + timedelta(days=90)) == 2
        assert store.alerts.note("robot", K.CASE_DUE, ["due:0:1"], START) == 1
        again = begun(store, "again", START)
        store.alerts.settle(again, S.NEW, START, "connector.unavailable", START + HOUR)
        assert store.alerts.status(["robot"])[0].next_try_at == START + HOUR


def test_two_senders_at_once_make_one_message(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.alerts.note("robot", K.CASE_DUE, [f"due:{n}:1" for n in range(20)], START)
    taken: list[Delivery] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        with uow.begin() as store:
            found = begin(store, f"k{number}")
        if found is not None:
            with lock:
                taken.append(found)

    at_once(3, work)
    assert [dict(one.counts) for one in taken] == [{"case_due": 20}]
