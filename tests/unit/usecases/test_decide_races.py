"""Two people at once, on both databases: exactly one wins, the other is told, and nothing is done twice (R-05)."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from moderation_world import (
    ANGRY,
    decided,
    effects_of,
    events_of,
    notice_token,
    opened,
    outbox,
    removed_by_two,
    request,
)
from psycopg import sql

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.core.errors import BadMove, Conflict, HuiyinError
from monitor.core.model import Case, EffectState
from monitor.testing.builders import MODERATOR, MODERATOR_2, OFFICER, FixedClock, deps_over
from monitor.usecases import appeals, decide, effects
from monitor.usecases.deps import Deps

RACES = 30


def _database(server: str, command: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(sql.SQL(command).format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock) -> Iterator[Deps]:
    """Dependencies over an empty store of either kind."""
    server, name = "", f"huiyin_test_{os.getpid()}_{secrets.token_hex(4)}"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'races.db'}"
    else:
        server = request.getfixturevalue("postgres")
        _database(server, "CREATE DATABASE {}", name)
        address = psycopg.conninfo.conninfo_to_dict(server)
        host, port = address.get("host", "127.0.0.1"), address.get("port", 5432)
        url = f"postgresql+psycopg://{address.get('user', 'postgres')}@{host}:{port}/{name}"
    migrations.upgrade(url)
    made = deps_over(open_store(url, clock.now, b"k" * 32), clock=clock)
    yield made
    made.uow.close()
    if server:
        _database(server, "DROP DATABASE {} WITH (FORCE)", name)


def race(*acts: Callable[[], object]) -> list[object]:
    """Do several things at the same moment; returns what each gave or raised."""
    gate, results = threading.Barrier(len(acts)), list[object]()

    def run(act: Callable[[], object]) -> None:
        gate.wait()
        try:
            results.append(act())
        except HuiyinError as error:
            results.append(error)

    rivals = [threading.Thread(target=run, args=(act,)) for act in acts]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    return results


def test_of_two_deciders_exactly_one_wins(world: Deps) -> None:
    outcomes: Counter[str] = Counter()
    for _race in range(RACES):
        case = opened(world)
        asked = request(world, case)
        results = race(
            lambda asked=asked: decide.decide(world, MODERATOR, asked),
            lambda asked=asked: decide.decide(world, MODERATOR_2, asked),
        )
        lost = [one for one in results if isinstance(one, Conflict)]
        outcomes["won"] += 2 - len(lost)
        outcomes["named"] += sum("already by m" in str(one) for one in lost)
        outcomes["lost"] += len(lost)
        with world.uow.read() as store:
            assert len(store.decisions.of(case.id)) == 1
        assert len(events_of(world, case, "decide")) == 1
    print(f"{RACES} races: {dict(outcomes)}")
    assert (outcomes["won"], outcomes["lost"]) == (RACES, RACES)
    assert len(outbox(world)) == 2 * RACES


def test_a_second_person_and_a_third_complete_a_proposal_once(world: Deps) -> None:
    for _race in range(RACES // 3):
        case = opened(world, text=ANGRY)
        decided(world, case)
        asked = request(world, case)
        results = race(
            lambda asked=asked: decide.decide(world, MODERATOR_2, asked),
            lambda asked=asked: decide.decide(world, MODERATOR, asked),
        )
        refused = [one for one in results if isinstance(one, Conflict | BadMove)]
        assert len(refused) == 1
        with world.uow.read() as store:
            (made,) = store.decisions.of(case.id)
        assert (made.actor, made.second) == ("mona", "mo")


def test_an_undo_by_both_happens_once(world: Deps) -> None:
    for _race in range(RACES // 3):
        case = opened(world, text=ANGRY)
        made = removed_by_two(world, case)
        results = race(
            lambda made=made: decide.undo(world, MODERATOR, made.id),
            lambda made=made: decide.undo(world, MODERATOR_2, made.id),
        )
        assert sum(isinstance(one, Conflict) for one in results) == 1
        assert len(events_of(world, case, "undo")) == 1
        assert {e.state for e in effects_of(world, made)} == {EffectState.CANCELLED}


def test_an_undo_races_with_the_sender(world: Deps, clock: FixedClock) -> None:
    """Either the effect was taken before the undo, and is taken back, or it is never taken."""
    for _race in range(RACES // 3):
        made = decided(world, opened(world))
        clock.advance(seconds=20)
        race(lambda: effects.take(world), lambda made=made: decide.undo(world, MODERATOR, made.id))
        states = {e.state for e in effects_of(world, made)}
        assert states <= {EffectState.SENDING, EffectState.CANCELLED}
        back = [e for e in outbox(world, EffectState.NEW) if e.case_id == made.case_id]
        assert bool(back) is (EffectState.SENDING in states)


def test_an_effect_is_taken_and_settled_by_one(world: Deps, clock: FixedClock) -> None:
    for _n in range(RACES // 3):
        decided(world, opened(world))
    clock.advance(seconds=20)
    first, second = race(lambda: effects.take(world, 100), lambda: effects.take(world, 100))
    assert isinstance(first, list)
    assert isinstance(second, list)
    ids = [one.effect.id for one in (*first, *second)]
    assert len(ids) == len(set(ids)) == 2 * (RACES // 3)
    for one in (*first, *second):
        assert effects.refused(world, one.effect, "connector.rejected")
        results = race(
            lambda one=one: effects.resolve(world, OFFICER, one.effect.id, "sent", "看过"),
            lambda one=one: effects.resolve(world, MODERATOR, one.effect.id, "cancel", "看过"),
        )
        assert sum(isinstance(result, BadMove) for result in results) == 1


def test_an_appeal_pressed_twice_is_one_appeal(world: Deps) -> None:
    for _race in range(RACES // 3):
        made = decided(world, opened(world))
        token = notice_token(world, made)
        first, second = race(
            lambda token=token: appeals.submit(world, token, "这不是广告"),
            lambda token=token: appeals.submit(world, token, "这不是广告"),
        )
        assert isinstance(first, Case)
        assert isinstance(second, Case)
        assert first.id == second.id
