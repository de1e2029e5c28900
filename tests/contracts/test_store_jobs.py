"""Jobs and readings: every post is read by one worker at a time, and none is forgotten."""

from __future__ import annotations

import threading
from datetime import timedelta

from store_world import LATER, at_once, new, reading, stored

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.model import Label, Reading, Reason, Signal
from monitor.core.ports import Store
from monitor.testing.builders import START, FixedClock


def fill(uow: SqlUnitOfWork, n: int) -> list[int]:
    with uow.begin() as store:
        return [post.id for post in stored(store, *(new(str(i), f"第{i}句") for i in range(n)))]


def leased(store: Store, n: int = 9, owner: str = "w") -> list[tuple[int, int]]:
    return [(job.id, job.attempt) for job in store.jobs.lease(n, 60, owner)]


def counts(uow: SqlUnitOfWork) -> tuple[int, int, int]:
    with uow.read() as store:
        found = store.jobs.counts()
    assert set(found) == {"waiting", "leased", "parked"}
    return found["waiting"], found["leased"], found["parked"]


def test_a_lease_hides_a_job_until_it_runs_out(uow: SqlUnitOfWork, clock: FixedClock) -> None:
    a, b, c = fill(uow, 3)
    with uow.begin() as store:
        assert leased(store, 2, "w1") == [(a, 1), (b, 1)]
    assert counts(uow) == (1, 2, 0)
    with uow.begin() as store:
        assert leased(store) == [(c, 1)]
        assert leased(store) == []
        store.jobs.done([b])
    clock.advance(seconds=61)
    assert counts(uow) == (2, 0, 0)
    with uow.begin() as store:
        assert leased(store) == [(a, 2), (c, 2)]
        store.jobs.done([a, c])
        store.jobs.done([])
        assert leased(store) == []


def test_a_job_carries_its_post(uow: SqlUnitOfWork) -> None:
    (a,) = fill(uow, 1)
    with uow.begin() as store:
        (job,) = store.jobs.lease(1, 60, "w")
        assert job.post == store.posts.get(a)


def test_retry_waits_and_parked_jobs_come_back_when_a_person_says_so(
    uow: SqlUnitOfWork, clock: FixedClock
) -> None:
    a, b, c = fill(uow, 3)
    with uow.begin() as store:
        leased(store)
        store.jobs.retry([a], clock.now() + timedelta(seconds=30), "breaks the classifier")
        store.jobs.park([b, c], "breaks the classifier")
    assert counts(uow) == (1, 0, 2)
    clock.advance(seconds=31)
    with uow.begin() as store:
        assert leased(store) == [(a, 2)]
        assert store.jobs.replay() == 2
        assert store.jobs.replay() == 0
        assert leased(store) == [(b, 1), (c, 1)]


def test_many_workers_share_the_jobs_without_taking_one_twice(uow: SqlUnitOfWork) -> None:
    ids = fill(uow, 240)
    taken: list[int] = []
    guard = threading.Lock()

    def work(number: int) -> None:
        while True:
            with uow.begin() as store:
                mine = [job_id for job_id, _attempt in leased(store, 10, f"w{number}")]
                store.jobs.done(mine[:5])
            with guard:
                taken.extend(mine)
            if not mine:
                return

    at_once(6, work)
    assert sorted(taken) == ids
    assert counts(uow) == (0, 120, 0)


# --- readings --------------------------------------------------------------------------------------


def test_a_reading_comes_back_as_it_was(uow: SqlUnitOfWork) -> None:
    (a,) = fill(uow, 1)
    signals = (
        Signal(Label.SPAM, 0.125),
        Signal(
            Label.GRIEVANCE, 0.9375, True, reasons=(Reason(0, 2, "工资", "term"), Reason(3, 4, "\"'", "x"))
        ),
        Signal(Label.RISK, 0.0),
        Signal(Label.SENTIMENT, 0.5, value="negative"),
        Signal(Label.TOPIC, 0.75, value="pay", reasons=(Reason(0, 2, "工资", "term"),)),
        Signal(Label.URGENCY, 1.0, value="high"),
    )
    given = Reading(signals, "fast", {"spam": "spam@1", "grievance": "grievance@2"})
    with uow.begin() as store:
        store.readings.add([(a, given)])
    with uow.read() as store:
        assert store.readings.get(a) == given
        assert store.readings.many([a, 99]) == {a: given}


def test_the_last_reading_is_the_current_one(uow: SqlUnitOfWork) -> None:
    a, b = fill(uow, 2)
    one, two = Reading((Signal(Label.SPAM, 0.25),), "fast", {"spam": "1"}), reading(Label.SPAM)
    none = Reading((), "none", {})
    with uow.begin() as store:
        store.readings.add([(a, none), (b, one)])
        store.readings.add([(a, one), (b, two)])
        store.readings.add([(a, two), (a, one), (b, two)])
        store.readings.add(iter(()))
    with uow.read() as store:
        assert store.readings.many([a, b]) == {a: one, b: two}


def test_readings_of_a_large_batch(uow: SqlUnitOfWork) -> None:
    ids = fill(uow, 700)
    with uow.begin() as store:
        store.readings.add((post_id, reading(score=n / 1024)) for n, post_id in enumerate(ids))
    with uow.read() as store:
        found = store.readings.many(ids)
    assert [found[post_id].score(Label.SPAM) for post_id in ids] == [n / 1024 for n in range(700)]


def test_times_keep_their_microseconds(uow: SqlUnitOfWork) -> None:
    odd = START.replace(microsecond=123_457)
    with uow.begin() as store:
        (post,) = stored(store, new("1", posted_at=odd, received_at=LATER.replace(microsecond=999_999)))
    with uow.read() as store:
        assert store.posts.get(post.id).posted_at == odd
        assert store.posts.get(post.id).received_at.microsecond == 999_999
