"""One store suite, two databases: every test gets an empty store of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import SqlUnitOfWork, open_store
from monitor.testing.builders import FixedClock

KEY = b"k" * 32


def _name() -> str:
    return f"huiyin_test_{os.getpid()}_{secrets.token_hex(4)}"


def _admin(server: str, command: str, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(sql.SQL(command).format(*map(sql.Identifier, names)))


def _url(server: str, name: str) -> str:
    address = psycopg.conninfo.conninfo_to_dict(server)
    host, port = address.get("host", "127.0.0.1"), address.get("port", 5432)
    return f"postgresql+psycopg://{address.get('user', 'postgres')}@{host}:{port}/{name}"


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> Iterator[str]:
    """Name of a migrated empty database: copying it is faster than migrating."""
    name = _name()
    _admin(postgres, "CREATE DATABASE {}", name)
    migrations.upgrade(_url(postgres, name))
    yield name
    _admin(postgres, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a migrated empty SQLite database."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    return str(request.param)


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without any table."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server, name = request.getfixturevalue("postgres"), _name()
    _admin(server, "CREATE DATABASE {}", name)
    yield _url(server, name)
    _admin(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of an empty store at the newest revision."""
    if kind == "sqlite":
        path = tmp_path / "huiyin.db"
        path.write_bytes(request.getfixturevalue("sqlite_template"))
        yield f"sqlite:///{path}"
        return
    server, name = request.getfixturevalue("postgres"), _name()
    _admin(server, "CREATE DATABASE {} TEMPLATE {}", name, request.getfixturevalue("postgres_template"))
    yield _url(server, name)
    _admin(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def clock() -> FixedClock:
    """The clock of ``uow``."""
    return FixedClock()


@pytest.fixture
def uow(url: str, clock: FixedClock) -> Iterator[SqlUnitOfWork]:
    """Transactions over an empty store."""
    made = open_store(url, clock.now, KEY)
    yield made
    made.close()
