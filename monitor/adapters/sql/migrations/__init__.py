"""Bringing a database to the revision that this version of the program works with (Alembic, shipped and run by us)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from monitor.adapters.sql.link import translated
from monitor.adapters.sql.tables import HEAD
from monitor.adapters.sql.uow import engine_of, writing
from monitor.core.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

FOLDER = Path(__file__).resolve().parent
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('huiyin migrations', 0))")


def _config(connection: Connection) -> Config:
    # Alembic takes most of a second to import; only these two commands pay for it.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest revision; a new one is made. All or nothing.

    Raises: ConfigError, StoreError with the mend.
    """
    from alembic import command
    from alembic.util import CommandError

    engine = engine_of(url)
    _make_private(engine)
    try:
        with translated(), writing(engine).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(_LOCK)
            command.upgrade(_config(connection), "head")
    except CommandError:
        raise StoreError(
            "the database is at a revision that this program does not know: a newer version made it; install that one"
        ) from None
    finally:
        engine.dispose()


def _make_private(engine: Engine) -> None:
    """Make the file of a new SQLite database for its owner alone; its companions take over who may read it."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        # What cannot be made here cannot be opened either, and opening says it in words.
        with suppress(OSError):
            os.close(os.open(engine.url.database, os.O_CREAT | os.O_EXCL, 0o600))


def status(url: str) -> tuple[str | None, str]:
    """Return the revision of the database (None when it is empty) and the newest one."""
    from alembic.runtime.migration import MigrationContext

    engine = engine_of(url)
    try:
        with translated(), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), HEAD
    finally:
        engine.dispose()
