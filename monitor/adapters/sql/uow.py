"""Transactions over SQLite or PostgreSQL: one writer at a time on SQLite, durable commits, readers that never wait."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from monitor.adapters.sql import store
from monitor.adapters.sql.link import Link, refuse_nul, translated
from monitor.adapters.sql.tables import HEAD
from monitor.core.errors import ConfigError, StoreError
from monitor.core.model import SYSTEM, Actor
from monitor.core.ports import Store
from monitor.core.search import fold

_PATIENCE: Final = 20
"""Seconds that a transaction waits for another one."""

_POLL: Final = 0.001
_BEGIN: Final = "BEGIN IMMEDIATE"
_PRAGMAS: Final = (
    f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",
)
_SESSION: Final = f"-c lock_timeout={_PATIENCE}s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
"""PostgreSQL: nobody waits for ever, and a stopped process does not hold its rows for long."""

_WRITES: Final = "huiyin_writes"
"""Execution option of an engine whose transactions take SQLite's write lock at once."""


def engine_of(url: str) -> Engine:
    """Return an engine for the address of a database.

    Raises: ConfigError when the address is none that Huiyin knows.
    """
    if url.startswith("sqlite:///"):
        return _lite(url)
    if url.startswith("postgresql+psycopg://"):
        return create_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": _SESSION},
        )
    raise ConfigError("a database is sqlite:///PATH or postgresql+psycopg://USER@HOST:PORT/NAME")


def writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write."""
    return engine.execution_options(**{_WRITES: True})


def _reading(engine: Engine) -> Engine:
    """Return the engine for transactions that see one committed state and cannot write."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _lite(url: str) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=16,
        connect_args={"check_same_thread": False, "timeout": _PATIENCE, "cached_statements": 512},
    )
    event.listen(engine, "connect", _opened)
    event.listen(engine, "begin", _begun)
    event.listen(engine, "before_cursor_execute", refuse_nul)
    return engine


def _opened(link: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN is deferred and would let two writers fail each other; ours is explicit.
    link.isolation_level = None
    for pragma in _PRAGMAS:
        link.execute(pragma)
    link.create_function("fold", 1, fold, deterministic=True)


def _begun(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql("PRAGMA query_only=OFF")
        _take_lock(connection)
    else:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.exec_driver_sql("BEGIN")


def _take_lock(connection: Connection) -> None:
    """Begin as the one writer. SQLite's own waiting sleeps up to 100 ms at a time; two busy processes need less."""
    link: Any = connection.connection.driver_connection
    until = time.monotonic() + _PATIENCE
    link.execute("PRAGMA busy_timeout=0")
    try:
        while _is_busy(link) and time.monotonic() < until:
            time.sleep(_POLL)
        if not link.in_transaction:
            connection.exec_driver_sql(_BEGIN)
    finally:
        link.execute(f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}")


def _is_busy(link: sqlite3.Connection) -> bool:
    """Try to begin; says whether another one holds the lock. What else is wrong shows when it is tried again."""
    try:
        link.execute(_BEGIN)
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False


class SqlUnitOfWork:
    """Transactions of one database (see :class:`monitor.core.ports.UnitOfWork`); safe to use from many threads."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime], key: bytes) -> None:
        self._engine = engine
        self._writing, self._reading = writing(engine), _reading(engine)
        self._clock = clock
        self._key = key

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[Store]:  # noqa: ARG002 - the port names who writes
        """Open a write transaction: commits at the end of the block, rolls back on any error."""
        with self._transaction(self._writing) as (connection, begun):
            yield self._over(connection)
            with translated():
                begun.commit()

    @contextmanager
    def read(self) -> Iterator[Store]:
        """Open a read-only view of what is committed."""
        with self._transaction(self._reading) as (connection, _begun):
            yield self._over(connection)

    def _over(self, connection: Connection) -> Store:
        return store.over(Link(connection, self._clock, self._key))

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[tuple[Connection, RootTransaction]]:
        """Open a transaction that is undone at the end of the block unless it was committed."""
        with translated():
            connection = engine.connect()
        try:
            with translated():
                begun = connection.begin()
            try:
                yield connection, begun
            finally:
                _undo(connection, begun)
        finally:
            connection.close()

    def revision(self) -> str | None:
        """Return the revision of the database, or None when it is empty."""
        with translated(), self._reading.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _undo(connection: Connection, begun: RootTransaction) -> None:
    """Roll back what was not committed; a connection that cannot even do that is thrown away."""
    try:
        if begun.is_active:
            begun.rollback()
    except SQLAlchemyError:
        connection.invalidate()


def open_store(url: str, clock: Callable[[], datetime], key: bytes) -> SqlUnitOfWork:
    """Open a database that is at the revision of this program.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql+psycopg://...``.
        clock: the present moment in UTC.
        key: the key of the ledger's digests.

    Raises: ConfigError, StoreError that names the mend.
    """
    uow = SqlUnitOfWork(engine_of(url), clock, key)
    try:
        found = uow.revision()
        if found != HEAD:
            raise StoreError(
                f"the database is at revision {found or 'none'}, this program needs {HEAD}: run `huiyin db upgrade`"
            )
    except StoreError:
        uow.close()
        raise
    return uow
