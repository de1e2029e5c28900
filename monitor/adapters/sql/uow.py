"""Transactions over SQLite or PostgreSQL: one writer at a time on SQLite, durable commits, readers that never wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from monitor.adapters.sql import store
from monitor.adapters.sql.link import Link, translated
from monitor.adapters.sql.tables import HEAD
from monitor.core.errors import ConfigError, StoreError
from monitor.core.model import SYSTEM, Actor
from monitor.core.ports import Store
from monitor.core.search import fold

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA busy_timeout=20000",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
)


def engine_of(url: str) -> Engine:
    """Return an engine for the address of a database.

    Raises: ConfigError when the address is none that Huiyin knows.
    """
    if url.startswith("sqlite:///"):
        return _lite(url)
    if url.startswith("postgresql+psycopg://"):
        return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)
    raise ConfigError("a database is sqlite:///PATH or postgresql+psycopg://USER@HOST:PORT/NAME")


def _lite(url: str) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=16,
        connect_args={"check_same_thread": False, "timeout": 20, "cached_statements": 512},
    )

    @event.listens_for(engine, "connect")
    def opened(link: sqlite3.Connection, _record: Any) -> None:
        # The driver's own BEGIN is deferred and would let two writers fail each other; ours is explicit.
        link.isolation_level = None
        for pragma in _PRAGMAS:
            link.execute(pragma)
        link.create_function("fold", 1, fold, deterministic=True)

    return engine


class SqlUnitOfWork:
    """Transactions of one database (see :class:`monitor.core.ports.UnitOfWork`); safe to use from many threads."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime], key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._lite = engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[Store]:  # noqa: ARG002
        """Open a write transaction: commits at the end of the block, rolls back on any error."""
        with self._connected() as connection:
            begun = connection.begin()
            with translated():
                if self._lite:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield store.over(Link(connection, self._clock, self._key))
            except BaseException:
                self._undo(connection, begun)
                raise
            with translated():
                self._commit(connection, begun)

    def _commit(self, connection: Connection, begun: Any) -> None:
        if self._lite:
            connection.exec_driver_sql("COMMIT")
        begun.commit()

    def _undo(self, connection: Connection, begun: Any) -> None:
        try:
            if self._lite and connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                connection.exec_driver_sql("ROLLBACK")
            begun.rollback()
        except SQLAlchemyError:
            connection.invalidate()

    @contextmanager
    def read(self) -> Iterator[Store]:
        """Open a read-only view of what is committed."""
        with self._connected() as connection:
            begun = connection.begin()
            with translated():
                connection.exec_driver_sql("BEGIN" if self._lite else "SET TRANSACTION READ ONLY")
            try:
                yield store.over(Link(connection, self._clock, self._key))
            finally:
                self._undo(connection, begun)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with translated():
            connection = self._engine.connect()
        try:
            yield connection
        finally:
            connection.close()

    def revision(self) -> str | None:
        """Return the revision of the database, or None when it is empty."""
        with self._connected() as connection:
            try:
                return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            except SQLAlchemyError:
                return None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_store(url: str, clock: Callable[[], datetime], key: bytes) -> SqlUnitOfWork:
    """Open a database that is at the revision of this program.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql+psycopg://...``.
        clock: the present moment in UTC.
        key: the key of the ledger's digests.

    Raises: ConfigError, StoreError that names the mend.
    """
    uow = SqlUnitOfWork(engine_of(url), clock, key)
    found = uow.revision()
    if found != HEAD:
        uow.close()
        raise StoreError(
            f"the database is at revision {found or 'none'}, this program needs {HEAD}: run `huiyin db upgrade`"
        )
    return uow
