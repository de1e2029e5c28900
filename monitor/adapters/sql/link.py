"""One open transaction as the repositories see it, and the one place where database errors become ours.

Parameters hold members' words and sealed identities: no message made here repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Executable, TextClause, UpdateBase
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from monitor.adapters.sql.rows import Record, micros
from monitor.core.errors import Conflict, StoreError

_BAD_VALUE = "a value holds characters or a size that the database cannot keep; clean it before it is stored"
_WORDS = {
    "SQLITE_BUSY": "another process keeps the database busy; try again, and stop the other one if it stays so",
    "SQLITE_FULL": "the disk is full; free space, nothing was stored",
    "SQLITE_CANTOPEN": "the database file cannot be opened; see that its folder is there and is ours",
    "SQLITE_READONLY": "the database may not be written; see who owns its file, and that reading code only reads",
    "SQLITE_CORRUPT": "the database file is damaged; stop the service and restore the last backup",
    "SQLITE_IOERR": "the disk does not answer; look at its health, nothing was stored",
    "OperationalError": "the database cannot be reached; see that it runs and that its address is right",
}
_SAME = {"SQLITE_LOCKED": "SQLITE_BUSY", "SQLITE_NOTADB": "SQLITE_CORRUPT", "TimeoutError": "SQLITE_BUSY"}
_SAME |= {"55P03": "SQLITE_BUSY", "53100": "SQLITE_FULL", "25006": "SQLITE_READONLY"}
_SAME |= {"57P01": "OperationalError", "57P03": "OperationalError", "08006": "OperationalError"}
_RACE = frozenset({"40001", "40P01"})


def _code(error: BaseException) -> str:
    """Return SQLite's error name or PostgreSQL's state: codes, never values."""
    cause = getattr(error, "orig", None) or error
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(name or type(cause).__name__)


def refusal(error: Exception) -> StoreError:
    """Return the error of ours for what the driver raised."""
    code = _code(error)
    if isinstance(error, UnicodeError | OverflowError) or code.startswith(("22", "DataError")):
        return StoreError(_BAD_VALUE)
    if code in _RACE:
        return Conflict("somebody else was faster; look again and repeat")
    if isinstance(error, IntegrityError):
        return Conflict(
            f"this is stored already, must stay as it is, or refers to what is not there ({code})"
        )
    # SQLite's names grow at the end: SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR.
    family = "_".join(code.split("_")[:2])
    words = _WORDS.get(_SAME.get(family, family))
    return StoreError(words or f"the database refused ({code}); `huiyin doctor` says what to mend")


def refuse_nul(_conn: Any, _cursor: Any, _sql: str, parameters: Any, _context: Any, many: bool) -> None:
    """Refuse NUL in a text before SQLite would keep it: PostgreSQL does not, and no member types one."""
    for row in parameters if many else (parameters,):
        for value in row.values() if isinstance(row, dict) else row:
            if type(value) is str and "\0" in value:
                raise StoreError(_BAD_VALUE)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises inside the block into StoreError or Conflict, without its parameters."""
    try:
        yield
    except (SQLAlchemyError, UnicodeError, OverflowError) as error:
        raise refusal(error) from None


PerRow = UpdateBase | TextClause
"""A statement that is executed for many rows."""

Ordered = Callable[[Mapping[str, Any]], Sequence[Any]]


@lru_cache(maxsize=128)
def _prepared(
    statement: PerRow, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, Ordered | None, dict[str, Any]]:
    """Return the text of a statement, the order of its parameters (None when they go by name), and the fixed ones."""
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(names))
    fixed = {name: bind.value for name, bind in compiled.binds.items() if name not in names}
    order = compiled.positiontup
    return compiled.string, None if order is None else _tuple_of(order), fixed


def _tuple_of(names: Sequence[str]) -> Ordered:
    if len(names) == 1:
        only = names[0]
        return lambda row: (row[only],)
    return itemgetter(*names)


@dataclass(frozen=True, slots=True)
class Link:
    """An open transaction.

    Attributes:
        conn: the connection.
        clock: the present moment, for leases over jobs.
        key: the key of the ledger's digests.
    """

    conn: Connection
    clock: Callable[[], datetime]
    key: bytes

    @property
    def postgres(self) -> bool:
        """Whether the database is PostgreSQL (else SQLite)."""
        return self.conn.dialect.name == "postgresql"

    def now(self) -> int:
        """Return the present moment in microseconds."""
        return micros(self.clock())

    def run(
        self, statement: Executable, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement; raises StoreError or Conflict."""
        try:
            return self.conn.execute(statement, rows)
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            raise refusal(error) from None

    def many(self, statement: PerRow, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement once per row; none is fine.

        The statement is compiled once for good, and rows go to the driver as they are: keep the statement in a
        module, do not make it per call.
        """
        if not rows:
            return
        sql, order, fixed = _prepared(statement, self.conn.dialect, tuple(rows[0]))
        full: Sequence[Mapping[str, Any]] = [{**fixed, **row} for row in rows] if fixed else rows
        try:
            if order:
                self.conn.exec_driver_sql(sql, [order(row) for row in full])
            else:
                self.conn.exec_driver_sql(sql, full)
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            raise refusal(error) from None

    def first(self, statement: Executable) -> Record | None:
        """Return the first row."""
        return self.run(statement).first()

    def all(self, statement: Executable) -> Sequence[Record]:
        """Return every row."""
        return self.run(statement).all()

    def value(self, statement: Executable) -> Any:
        """Return the first column of the first row, or None."""
        return self.run(statement).scalar()

    def changed(self, statement: Executable) -> int:
        """Execute a change and return how many rows it touched."""
        return self.run(statement).rowcount

    def id_of(self, statement: Executable) -> int:
        """Execute an insert of one row and return its id."""
        key = self.run(statement).inserted_primary_key
        assert key is not None
        return int(key[0])


__all__ = ["Link", "refusal", "translated"]
