"""Bringing a database to the revision that this version of the program works with (Alembic, shipped and run by us)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monitor.adapters.sql.link import translated
from monitor.adapters.sql.tables import HEAD
from monitor.adapters.sql.uow import engine_of

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).resolve().parent


def _config(url: str) -> Config:
    # Alembic takes most of a second to import; only these two commands pay for it.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest revision; a new one is made.

    Raises: ConfigError, StoreError with the mend.
    """
    from alembic import command

    engine = engine_of(url)
    config = _config(url)
    try:
        with translated(), engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


def status(url: str) -> tuple[str | None, str]:
    """Return the revision of the database (None when it is empty) and the newest one."""
    from alembic.runtime.migration import MigrationContext

    engine = engine_of(url)
    try:
        with translated(), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), HEAD
    finally:
        engine.dispose()
