"""Understanding in a loop: work, rest, sweep, beat; a store that refuses is waited for; several processes read alike."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtime_world import House, house_at

from monitor.core.errors import ClassifierError, StoreError
from monitor.core.model import SYSTEM, CaseKind
from monitor.core.ports import CaseFilter, PartStatus, Store
from monitor.runtime import worker
from monitor.runtime.parts import Pulse
from monitor.runtime.worker import Pool, Worker
from monitor.testing.builders import KeywordClassifier, PrefixGrouping, raw
from monitor.usecases.ingest import ingest


def understanding(house: House) -> House:
    return House(house.config, replace(house.deps, classifier=KeywordClassifier(), grouping=PrefixGrouping()))


def waiting(house: House) -> int:
    with house.deps.uow.read() as store:
        return store.jobs.counts()["waiting"] + store.jobs.counts()["leased"]


def part(house: House, name: str) -> PartStatus | None:
    with house.deps.uow.read() as store:
        return next((one for one in store.operations.parts() if one.name == name), None)


def until(test: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@contextmanager
def working(house: House) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(house, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_posts_become_cases_and_the_screen_sees_the_worker(house: House) -> None:
    house = understanding(house)
    ingest(house.deps, "qq", [raw("1", "加微信领优惠券", channel="qq"), raw("2", "今天真好", channel="qq")])
    with working(house):
        until(lambda: waiting(house) == 0)
        until(lambda: part(house, "worker") is not None)
        ingest(house.deps, "qq", [raw("3", "食堂太贵了", channel="qq")])
        until(lambda: waiting(house) == 0)
        found = part(house, "worker")
        assert found is not None
        assert (found.pid, found.restarts) == (os.getpid(), 0)
    with house.deps.uow.read() as store:
        kinds = {case.kind for case in store.cases.page(CaseFilter(), None, 10)}
    assert kinds == {CaseKind.MODERATION, CaseKind.GRIEVANCE}
    stopped = part(house, "worker")
    assert stopped is not None
    assert stopped.state == "stopped"


class Refusing:
    """Transactions of which the next few are refused."""

    def __init__(self, house: House, times: int) -> None:
        self.inner, self.times = house.deps.uow, times
        self.read, self.close = self.inner.read, self.inner.close

    @contextmanager
    def begin(self, actor: Any = SYSTEM) -> Iterator[Store]:
        if self.times > 0:
            self.times -= 1
            raise StoreError("the database is locked")
        with self.inner.begin(actor) as store:
            yield store


def test_a_store_that_refuses_is_waited_for(house: House) -> None:
    house = understanding(house)
    ingest(house.deps, "qq", [raw("1", "加微信", channel="qq")])
    refusing = Refusing(house, 3)
    house = House(house.config, replace(house.deps, uow=refusing))
    with working(house):
        until(lambda: waiting(house) == 0)
    assert refusing.times == 0


def test_every_sweep_runs_once_a_minute(house: House) -> None:
    class Ticking:
        """A clock whose seconds a test sets."""

        seconds = 0.0
        now = staticmethod(house.deps.clock.now)

        def monotonic(self) -> float:
            return self.seconds

    clock, swept = Ticking(), []  # type: ignore[var-annotated]
    made = Worker(House(house.config, replace(house.deps, clock=clock)), threading.Event())
    made._patiently = lambda step, work: swept.append(step) or 0  # type: ignore[func-returns-value, method-assign]
    for seconds in (0.0, 30.0, 59.0, 60.0, 61.0, 125.0):
        clock.seconds = seconds
        made._sweep()
    assert swept == ["cases.sweep", "effects.sweep", "retention.sweep"] * 3


def test_a_missing_model_is_said_in_the_note_of_the_part(tmp_path: Path) -> None:
    house = house_at(tmp_path, "qq")
    house.notes = ("the model is unusable: add it again",)
    Pulse(house, "worker").beat(now=True)
    found = part(house, "worker")
    assert found is not None
    assert found.note == "the model is unusable: add it again"
    house.close()


def test_beats_are_not_written_more_often_than_needed(house: House) -> None:
    pulse = Pulse(house, "worker")
    pulse.beat()
    first = part(house, "worker")
    pulse.beat()
    assert part(house, "worker") == first
    pulse.beat(now=True)
    assert part(house, "worker") != first


# --- several processes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(KeywordClassifier(), KeywordClassifier, 2)
    yield made
    made.close()


def test_several_processes_read_as_one_does(pool: Pool) -> None:
    texts = [f"第 {n} 条：加微信领优惠券" if n % 3 else f"食堂太贵 {n}" for n in range(31)]
    assert pool.classify(texts) == KeywordClassifier().classify(texts)
    assert pool.classify([]) == []
    assert len(pool.classify(["一条"])) == 1
    assert (pool.name, pool.version, pool.labels) == ("keyword", "1", KeywordClassifier().labels)


def test_a_text_that_breaks_the_model_is_the_models_error(pool: Pool) -> None:
    with pytest.raises(ClassifierError, match="a text broke the model"):
        pool.classify(["一", "☠", "三"])
    assert len(pool.classify(["一", "二", "三"])) == 3


def test_a_process_that_dies_is_an_error_of_the_classifier_and_comes_back(pool: Pool) -> None:
    def until_it_fails() -> None:
        for _try in range(100):
            pool.classify(["一", "二"])
            time.sleep(0.02)

    pool.classify(["一", "二"])
    for pid in list(pool._pool._processes):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(ClassifierError, match="started anew"):
        until_it_fails()
    assert len(pool.classify(["一", "二"])) == 2
