"""One Idempotency-Key, one change: whatever crashes, races or repeats."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import web_world
from psycopg import sql

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.core.errors import Conflict, NotFound
from monitor.core.model import SYSTEM
from monitor.runtime._web.once import fingerprint, once
from monitor.runtime._web.problems import Refusal
from monitor.testing.builders import MODERATOR, MODERATOR_2, FixedClock, deps_over
from monitor.usecases.deps import Deps

ASKED = fingerprint("POST", "/v1/x", b"{}")


@pytest.fixture(scope="module")
def postgres_url(postgres: str) -> Iterator[str]:
    """A database of our own on the PostgreSQL server."""
    name = f"huiyin_once_{secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as link:
        link.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = urlsplit(postgres)
    url = urlunsplit(("postgresql+psycopg", parts.netloc, f"/{name}", "", ""))
    migrations.upgrade(url)
    yield url
    with psycopg.connect(postgres, autocommit=True) as link:
        link.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def deps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deps]:
    """Dependencies over both databases; on PostgreSQL what earlier tests left is taken away."""
    if request.param == "sqlite":
        made = web_world.new_deps(tmp_path)
    else:
        url = request.getfixturevalue("postgres_url")
        clock = FixedClock()
        made = deps_over(open_store(url, clock.now, b"k" * 32), clock=clock)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as link:
            link.execute("TRUNCATE remembered, setting")
    yield made
    made.uow.close()


def count(deps: Deps) -> int:
    with deps.uow.read() as store:
        return int(store.operations.setting("count") or "0")


def counting(deps: Deps) -> bytes:
    with deps.uow.begin() as store:
        n = int(store.operations.setting("count") or "0") + 1
        store.operations.set_setting("count", str(n))
    return str(n).encode()


def test_the_same_key_gives_the_same_answer_and_changes_nothing(deps: Deps) -> None:
    assert [once(deps, MODERATOR, "k1", ASKED, counting) for _n in range(3)] == [b"1"] * 3
    assert once(deps, MODERATOR, "k2", ASKED, counting) == b"2"
    assert count(deps) == 2


def test_a_key_belongs_to_one_account(deps: Deps) -> None:
    assert once(deps, MODERATOR, "k", ASKED, counting) == b"1"
    assert once(deps, MODERATOR_2, "k", ASKED, counting) == b"2"


@pytest.mark.parametrize(
    "other", [("POST", "/v1/x", b"{ }"), ("POST", "/v1/y", b"{}"), ("GET", "/v1/x", b"{}")]
)
def test_a_key_used_for_another_request_is_refused(deps: Deps, other: tuple[str, str, bytes]) -> None:
    once(deps, MODERATOR, "k", ASKED, counting)
    with pytest.raises(Refusal) as caught:
        once(deps, MODERATOR, "k", fingerprint(*other), counting)
    assert caught.value.code == "idempotency.reused"
    assert count(deps) == 1


def test_what_fails_is_not_remembered(deps: Deps) -> None:
    def fails(given: Deps) -> bytes:
        with given.uow.begin() as store:
            store.operations.set_setting("count", "9")
            raise Conflict("somebody else was faster")

    with pytest.raises(Conflict):
        once(deps, MODERATOR, "k", ASKED, fails)
    assert once(deps, MODERATOR, "k", ASKED, counting) == b"1"


def test_a_failed_check_changes_nothing(deps: Deps) -> None:
    def check(_store: object) -> None:
        raise NotFound("no such case")

    with pytest.raises(NotFound):
        once(deps, MODERATOR, "k", ASKED, counting, check)
    assert count(deps) == 0


def test_a_crash_between_the_change_and_its_answer_never_doubles_it(deps: Deps) -> None:
    class Crash(BaseException):
        pass

    def crashes(given: Deps) -> bytes:
        counting(given)
        raise Crash

    with pytest.raises(Crash):
        once(deps, MODERATOR, "k", ASKED, crashes)
    for _n in range(2):
        with pytest.raises(Refusal) as caught:
            once(deps, MODERATOR, "k", ASKED, counting)
        assert caught.value.code == "idempotency.answer_lost"
        assert caught.value.headers == {"Retry-After": "1"}
    assert count(deps) == 1


def test_twenty_at_once_make_one_change(deps: Deps) -> None:
    """Every thread gets the one answer, or is told to ask again in a moment."""
    answers: list[bytes | str] = []
    start = threading.Barrier(20)

    def ask() -> None:
        start.wait()
        try:
            answers.append(once(deps, MODERATOR, "k", ASKED, counting))
        except Refusal as error:
            answers.append(error.code)

    threads = [threading.Thread(target=ask) for _n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(deps) == 1
    assert set(answers) <= {b"1", "idempotency.answer_lost"}
    assert b"1" in answers
    assert len(answers) == 20


def test_a_use_case_with_two_transactions_is_one_change(deps: Deps) -> None:
    def twice(given: Deps) -> bytes:
        counting(given)
        return counting(given)

    assert once(deps, MODERATOR, "k", ASKED, twice) == b"2"
    assert once(deps, MODERATOR, "k", ASKED, twice) == b"2"


def test_the_inner_store_stays_open(deps: Deps) -> None:
    def closing(given: Deps) -> bytes:
        answer = counting(given)
        given.uow.close()
        return answer

    once(deps, SYSTEM, "k", ASKED, closing)
    assert count(deps) == 1
