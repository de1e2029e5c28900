"""Transactions: all or nothing, readers see what is committed, and what the database refuses becomes plain words."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_world import at_once, new, opened, raw_sql, stored

from monitor.adapters.sql.uow import SqlUnitOfWork, open_store
from monitor.core.errors import ConfigError, Conflict, HuiyinError, StoreError
from monitor.core.model import Case, CaseEvent
from monitor.core.ports import PostFilter, Store
from monitor.testing.builders import START, FixedClock


def texts(store: Store) -> list[str]:
    return [post.text for post in store.posts.page(PostFilter(), None, 99)]


class _Stop(Exception):
    pass


def _stop_after(_done: None, stop: type[BaseException]) -> None:
    raise stop


def _change_everything(store: Store, case: Case) -> None:
    stored(store, new("1"))
    store.cases.save(replace(case, assignee="x"), 1)
    store.events.add(CaseEvent(case.id, "noted", "mo", "moderator", START))
    store.ledger.append("noted", case.reference, "mo", {}, START)
    store.channels.set_cursor("qq", "7")


@pytest.mark.parametrize("stop", [_Stop, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_error_leaves_nothing(uow: SqlUnitOfWork, stop: type[BaseException]) -> None:
    with uow.begin() as store:
        case = opened(store)
        before = texts(store)
    with pytest.raises(stop), uow.begin() as store:
        _stop_after(_change_everything(store, case), stop)
    with uow.read() as store:
        assert texts(store) == before
        assert store.cases.get(case.id) == case
        assert store.events.of(case.id) == []
        assert store.ledger.head() is None
        assert store.channels.cursor("qq") is None
        assert store.posts.page(PostFilter(query="一句话"), None, 9)[0].external_id.startswith("of-case")
    with uow.begin() as store:
        assert [p.text for p in stored(store, new("1"))] == ["一句话"], "the next transaction is sound"


def test_a_refused_statement_spoils_the_whole_transaction(uow: SqlUnitOfWork) -> None:
    with pytest.raises(StoreError), uow.begin() as store:
        stored(store, new("1"), new("2", "坏\ud800的"))
    with uow.read() as store:
        assert texts(store) == []
        assert store.jobs.counts()["waiting"] == 0


def test_a_reader_sees_one_committed_state(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        stored(store, new("1", "先来"))
    with uow.read() as reader:
        assert texts(reader) == ["先来"]
        with uow.begin() as writer:
            stored(writer, new("2", "后到"))
            with uow.read() as other:
                assert texts(other) == ["先来"], "what is not committed is nobody's business"
        assert texts(reader) == ["先来"], "the view stands still"
    with uow.read() as reader:
        assert texts(reader) == ["后到", "先来"]


def test_a_reader_cannot_write(uow: SqlUnitOfWork) -> None:
    with pytest.raises(StoreError, match="may not be written"), uow.read() as store:
        store.channels.set_cursor("qq", "7")
    with uow.begin() as store:
        assert store.channels.cursor("qq") is None
        store.channels.set_cursor("qq", "8")
    with uow.read() as store:
        assert store.channels.cursor("qq") == "8"


def test_many_threads_write_and_read_at_once(uow: SqlUnitOfWork) -> None:
    def work(number: int) -> None:
        for n in range(12):
            with uow.begin() as store:
                stored(store, new(f"{number}-{n}", f"第{number}人第{n}句"))
            with uow.read() as store:
                assert store.posts.count() == store.jobs.counts()["waiting"]

    at_once(8, work)
    with uow.read() as store:
        assert store.posts.count() == 96
        assert len({post.id for post in store.posts.page(PostFilter(), None, 99)}) == 96


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_two_stores_over_one_file_take_turns(url: str, uow: SqlUnitOfWork, clock: FixedClock) -> None:
    other = open_store(url, clock.now, b"k" * 32)
    stores = (uow, other)

    def work(number: int) -> None:
        for _n in range(20):
            with stores[number].begin() as store:
                last = int(store.operations.setting("n") or 0)
                time.sleep(0.001)
                store.operations.set_setting("n", str(last + 1))

    at_once(2, work)
    with other.read() as store:
        assert store.operations.setting("n") == "40"
    other.close()


# --- what a database cannot keep -------------------------------------------------------------------

BAD = ["\ud800", "a\udfff", "a\0b"]


@pytest.mark.parametrize("bad", BAD)
def test_what_no_text_can_hold_is_refused_wherever_it_stands(uow: SqlUnitOfWork, bad: str) -> None:
    def tries(store: Store, case_id: int) -> dict[str, Any]:
        return {
            "text": lambda: stored(store, new("1", bad, digest="d")),
            "id": lambda: stored(store, new(bad)),
            "unit": lambda: stored(store, new("1", unit=bad)),
            "event": lambda: store.events.add(CaseEvent(case_id, "noted", "mo", "r", START, reason=bad)),
            "draft": lambda: store.accounts.set_draft("mo", "k", bad, START),
            "setting": lambda: store.operations.set_setting(bad, "1"),
            "cursor": lambda: store.channels.set_cursor("qq", bad),
            "handle": lambda: store.posts.find_handle("qq", bad),
            "receipt": lambda: store.cases.by_receipt(bad),
        }

    with uow.begin() as store:
        case_id = opened(store).id
        names = list(tries(store, case_id))
    for name in names:
        with pytest.raises(StoreError, match="clean it") as caught, uow.begin() as store:
            tries(store, case_id)[name]()
        assert not isinstance(caught.value, Conflict), name


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_numbers_that_are_too_large(uow: SqlUnitOfWork, number: int) -> None:
    with pytest.raises(StoreError, match="clean it"), uow.begin() as store:
        opened(store, rank=number)
    with pytest.raises(StoreError, match="clean it"), uow.read() as store:
        store.posts.get(number)


def test_the_largest_numbers_that_fit(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert opened(store, rank=2**63 - 1).rank == 2**63 - 1
        assert store.cases.get(opened(store, rank=-(2**63)).id).rank == -(2**63)


def test_errors_never_repeat_what_was_to_be_stored(uow: SqlUnitOfWork) -> None:
    secret = "张三的秘密"
    with pytest.raises(HuiyinError) as caught, uow.begin() as store:
        stored(store, new("1", f"{secret}\ud800", author=secret))
    with pytest.raises(Conflict) as twice, uow.begin() as store:
        opened(store, 999, policy=secret)
    for error in (caught.value, twice.value):
        assert secret not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


# --- opening ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("url_of_no_use", ["mysql://x", "sqlite://", "postgresql://x/y", "", "huiyin.db"])
def test_an_address_that_is_none(url_of_no_use: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///PATH"):
        open_store(url_of_no_use, lambda: START, b"k")


def test_a_server_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(StoreError, match="cannot be reached"):
        open_store("postgresql+psycopg://postgres@127.0.0.1:9/x", lambda: START, b"k")


def test_an_empty_database_names_the_mend(empty_url: str) -> None:
    with pytest.raises(StoreError, match="huiyin db upgrade"):
        open_store(empty_url, lambda: START, b"k")


def test_a_database_at_another_revision_names_the_mend(url: str) -> None:
    raw_sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"revision 9999.*huiyin db upgrade"):
        open_store(url, lambda: START, b"k")


# --- SQLite alone ----------------------------------------------------------------------------------

only_sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)


@only_sqlite
def test_sqlite_is_told_to_be_durable(uow: SqlUnitOfWork) -> None:
    with uow._engine.connect() as link:
        found = {
            name: link.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 20_000,
    }


@only_sqlite
def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is not a database at all, " * 200)
    with pytest.raises(StoreError, match="damaged"):
        open_store(f"sqlite:///{path}", lambda: START, b"k")
    with pytest.raises(StoreError, match="folder"):
        open_store(f"sqlite:///{tmp_path}/none/x.db", lambda: START, b"k")


@only_sqlite
def test_a_database_that_another_process_holds_is_waited_for(url: str, uow: SqlUnitOfWork) -> None:
    other = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    begun = time.monotonic()
    with uow.begin() as store:
        stored(store, new("1"))
    assert time.monotonic() - begun > 0.2
    timer.join()
    other.close()


@only_sqlite
def test_a_database_that_stays_busy_is_said_plainly(
    url: str, uow: SqlUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.adapters.sql.uow._PATIENCE", 0.2)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="busy"), uow.begin() as store:
        stored(store, new("1"))
    with uow.read() as store:
        assert store.posts.count() == 0, "readers never wait"
    other.execute("ROLLBACK")
    with uow.begin() as store:
        stored(store, new("1"))
    other.close()


@only_sqlite
def test_deleted_words_are_gone_from_the_file(url: str, uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.accounts.set_draft("lea", "k", "不该留下的字 canary-7731", START)
    with uow.begin() as store:
        store.accounts.set_draft("lea", "k", "", START)
    with uow._engine.connect() as link:
        link.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    files = Path(url.removeprefix("sqlite:///")).parent.glob("huiyin.db*")
    assert not [file.name for file in files if b"canary-7731" in file.read_bytes()]


@only_sqlite
def test_a_new_database_is_for_its_owner_alone(empty_url: str) -> None:
    from monitor.adapters.sql import migrations

    migrations.upgrade(empty_url)
    path = Path(empty_url.removeprefix("sqlite:///"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
