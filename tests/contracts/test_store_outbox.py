"""The outbox: what leaves is leased with a fence, and a sender that slept cannot finish what another took over."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from store_world import at_once, new, opened, stored

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.errors import NotFound
from monitor.core.model import Effect, EffectKind, EffectState, NewEffect
from monitor.core.ports import Store
from monitor.testing.builders import START

NEW, SENDING, UNKNOWN = EffectState.NEW, EffectState.SENDING, EffectState.UNKNOWN
SENT, HUMAN, CANCELLED = EffectState.SENT, EffectState.NEEDS_HUMAN, EffectState.CANCELLED
LONG = START + timedelta(hours=1)


def add(store: Store, key: str = "k", at: datetime = START, **fields: object) -> int:
    case_id = fields.pop("case_id", None) or opened(store).id
    given: dict[str, object] = {"key": key, "kind": EffectKind.REPLY, "channel": "qq", "text": "好的"}
    effect = NewEffect(case_id=case_id, not_before=at, **{**given, **fields})  # type: ignore[arg-type]
    return store.outbox.add(effect, START)


def lease(store: Store, *states: EffectState, n: int = 9, at: datetime = START) -> list[Effect]:
    return store.outbox.lease(n, at, 30, states or (NEW,))


def test_every_field_comes_back_and_the_same_key_is_one_effect(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        fields = {"thread": "g1", "handle": "-7", "post_id": 3, "reply_id": 4, "decision_id": 5}
        one = add(store, "key", LONG, case_id=case, mark="HY-000001", seconds=2**33, **fields)
        assert add(store, "key", START, case_id=case, text="别的") == one
        effect = store.outbox.get(one)
        assert (effect.key, effect.kind, effect.channel, effect.case_id) == (
            "key",
            EffectKind.REPLY,
            "qq",
            case,
        )
        assert {name: getattr(effect, name) for name in fields} == fields
        assert (effect.text, effect.mark, effect.seconds) == ("好的", "HY-000001", 2**33)
        assert (effect.state, effect.not_before, effect.created_at) == (NEW, LONG, START)
        assert (effect.attempt, effect.fence, effect.lease_until, effect.receipt) == (0, 0, None, None)
        assert store.outbox.of_case(case) == store.outbox.of_decision(5) == [effect]
        assert store.outbox.of_decision(6) == []
        with pytest.raises(NotFound):
            store.outbox.get(999)


def test_leasing_takes_what_is_due_oldest_first(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        c, a, b = add(store, "c", START), add(store, "a", START - timedelta(hours=2)), add(store, "b", LONG)
        taken = lease(store, n=1)
        assert [(e.id, e.state, e.attempt, e.fence) for e in taken] == [(a, SENDING, 1, 1)]
        assert [e.id for e in lease(store)] == [c]
        assert lease(store) == []
        assert [e.id for e in lease(store, at=LONG)] == [b]


def test_a_lease_that_ran_out_keeps_its_state_and_gets_a_new_fence(uow: SqlUnitOfWork) -> None:
    late = START + timedelta(seconds=30)
    with uow.begin() as store:
        add(store)
        (first,) = lease(store)
        assert lease(store, SENDING, UNKNOWN) == []
        (second,) = lease(store, SENDING, UNKNOWN, at=late)
        assert (second.state, second.attempt, second.fence) == (SENDING, 1, 2)
        assert not store.outbox.settle(first, SENT, late, receipt="stale"), "the fence has moved on"
        assert store.outbox.settle(second, UNKNOWN, late, error="timeout", not_before=LONG)
        unknown = store.outbox.get(first.id)
        assert (unknown.state, unknown.last_error, unknown.not_before) == (UNKNOWN, "timeout", LONG)
        assert unknown.lease_until is None
        assert lease(store, UNKNOWN, at=late) == []
        (third,) = lease(store, UNKNOWN, at=LONG)
        assert (third.state, third.attempt, third.fence) == (UNKNOWN, 1, 3)


def test_what_is_settled_stays_settled(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        add(store)
        (effect,) = lease(store)
        assert store.outbox.settle(effect, SENT, LONG, receipt="msg-1")
        assert not store.outbox.settle(effect, UNKNOWN, LONG, error="late")
        sent = store.outbox.get(effect.id)
        assert (sent.state, sent.receipt, sent.settled_at, sent.last_error) == (SENT, "msg-1", LONG, None)
        assert lease(store, *EffectState, at=LONG + timedelta(days=9)) == [], "nothing final is taken again"


def test_a_person_can_settle_what_waited_for_one(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        add(store)
        (effect,) = lease(store)
        assert store.outbox.settle(effect, HUMAN, LONG, error="unknown")
        waiting = store.outbox.get(effect.id)
        assert (waiting.state, waiting.settled_at) == (HUMAN, LONG)
        assert store.outbox.settle(waiting, NEW, LONG)
        again = store.outbox.get(effect.id)
        assert (again.state, again.settled_at, again.attempt) == (NEW, None, 1)
        assert [e.attempt for e in lease(store)] == [2]


def test_only_what_has_not_left_is_cancelled(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        add(store, "a", decision_id=1)
        (leaving,) = lease(store)
        held, other = add(store, "b", decision_id=1), add(store, "c", reply_id=1)
        assert store.outbox.cancel(None, None, LONG) == 0
        stale = store.outbox.get(held)
        assert store.outbox.cancel(1, None, LONG) == 1
        gone = store.outbox.get(held)
        assert (gone.state, gone.settled_at) == (CANCELLED, LONG)
        assert not store.outbox.settle(stale, SENT, LONG)
        assert store.outbox.get(leaving.id).state is SENDING
        assert store.outbox.get(other).state is NEW
        assert store.outbox.cancel(None, 1, LONG) == 1
        counts = store.outbox.counts()
    assert counts == {state.value: 0 for state in EffectState} | {"sending": 1, "cancelled": 2}


def test_pages_by_state(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        ids = [add(store, key) for key in "abc"]
        (first,) = lease(store, n=1)
        assert [e.id for e in store.outbox.page([NEW], None, 9)] == [i for i in ids if i != first.id]
        assert [e.id for e in store.outbox.page([NEW, SENDING], ids[0], 1)] == [ids[1]]


def test_the_native_id_is_reached_only_through_the_effect(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        stored(store, new("1", author="b" * 24, identity=b"sealed"))
        named, nameless = add(store, "a", author="b" * 24), add(store, "b")
        assert store.outbox.author(store.outbox.get(named)) == b"sealed"
        assert store.outbox.author(store.outbox.get(nameless)) is None
        assert "b" * 24 not in repr(store.outbox.get(named))


def test_many_senders_never_take_the_same_effect(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        ids = [add(store, f"k{n}", case_id=case) for n in range(80)]
    taken: list[int] = []
    guard = threading.Lock()

    def work(_number: int) -> None:
        while True:
            with uow.begin() as store:
                mine = lease(store, n=3)
            if not mine:
                return
            for effect in mine:
                with uow.begin() as store:
                    assert store.outbox.settle(effect, SENT, START, receipt=f"r{effect.id}")
            with guard:
                taken.extend(effect.id for effect in mine)

    at_once(6, work)
    assert sorted(taken) == ids
    with uow.read() as store:
        assert store.outbox.counts()["sent"] == 80
