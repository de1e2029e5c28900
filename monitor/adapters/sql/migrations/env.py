"""How Alembic runs our migrations: inside the transaction that ``upgrade`` opened, all or nothing."""

from __future__ import annotations

from alembic import context

from monitor.adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
