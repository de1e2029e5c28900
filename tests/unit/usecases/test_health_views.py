"""Health: everything that waits or could not be read is visible, and only to those who run the house."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.errors import NotAllowed
from monitor.core.model import Broken
from monitor.core.ports import PartStatus
from monitor.testing.builders import ADMIN, MODERATOR, OFFICER, FixedClock, raw
from monitor.usecases.deps import Deps
from monitor.usecases.health import health, probe, quarantine_page, replay_parked
from monitor.usecases.ingest import ingest
from monitor.usecases.understand import TRIES, process


def test_an_empty_house_is_well(deps: Deps) -> None:
    view = health(deps, ADMIN)
    assert (view.posts, view.ledger_seq, view.parts, view.quarantine) == (0, 0, (), [])
    assert view.models["spam"] == "keyword@1"
    assert health(replace(deps, classifier=None), ADMIN).models == {}


def test_what_waits_and_what_could_not_be_read_is_seen(deps: Deps) -> None:
    now = deps.clock.now()
    with deps.uow.begin() as store:
        store.operations.beat(PartStatus("worker", "running", 7, now, now, 0))
    ingest(deps, "qq", [raw("1", "工资没发"), Broken("qq", "json", "this is not JSON", b"{")])
    view = health(deps, OFFICER)
    assert (view.posts, view.jobs["waiting"]) == (1, 1)
    assert [item.reason for item in view.quarantine] == ["json"]
    assert view.quarantine_counts == {("qq", "json"): 1}
    assert [part.name for part in view.parts] == ["worker"]
    process(deps, "w1")
    view = health(deps, OFFICER)
    assert (view.jobs["waiting"], view.ledger_seq) == (0, 1)
    counts = probe(deps)
    assert counts["jobs_waiting"] == 0
    assert {name.split("_")[0] for name in counts} <= {"jobs", "outbox"}


def test_parked_posts_are_replayed_by_the_administrator(deps: Deps, clock: FixedClock) -> None:
    ingest(deps, "qq", [raw("1", "☠")])
    for _again in range(TRIES):
        process(deps, "w1")
        clock.advance(minutes=5)
    assert health(deps, ADMIN).jobs["parked"] == 1
    with pytest.raises(NotAllowed):
        replay_parked(deps, OFFICER)
    assert replay_parked(deps, ADMIN) == 1
    assert replay_parked(deps, ADMIN) == 0
    view = health(deps, ADMIN)
    assert (view.jobs["parked"], view.jobs["waiting"], view.ledger_seq) == (0, 1, 1)


def test_the_quarantine_is_paged_by_key(deps: Deps) -> None:
    ingest(deps, "qq", [Broken("qq", f"r{n}", "broken") for n in range(5)])
    first = quarantine_page(deps, ADMIN, None, 2)
    second = quarantine_page(deps, ADMIN, first[-1].id, 10)
    assert [item.reason for item in [*first, *second]] == ["r4", "r3", "r2", "r1", "r0"]


def test_nobody_else_looks(deps: Deps) -> None:
    with pytest.raises(NotAllowed):
        health(deps, MODERATOR)
    with pytest.raises(NotAllowed):
        quarantine_page(deps, OFFICER, None, 10)
