"""Use cases over a real SQLite store, a clock that stands still, and the stand-ins of the builders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.testing.builders import FixedClock, deps_over
from monitor.usecases.deps import Deps


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an empty SQLite database at the newest revision (copying is faster than migrating)."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def clock() -> FixedClock:
    """The clock of ``deps``."""
    return FixedClock()


@pytest.fixture
def deps(tmp_path: Path, empty_database: bytes, clock: FixedClock) -> Iterator[Deps]:
    """Dependencies over an empty store of their own."""
    path = tmp_path / "huiyin.db"
    path.write_bytes(empty_database)
    made = deps_over(open_store(f"sqlite:///{path}", clock.now, b"k" * 32), clock=clock)
    yield made
    made.uow.close()
