"""How Alembic runs our migrations: on the connection that ``upgrade`` opened, one transaction per run."""

from __future__ import annotations

from alembic import context

from monitor.adapters.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
if connection.dialect.name == "sqlite":
    connection.exec_driver_sql("BEGIN IMMEDIATE")
with context.begin_transaction():
    context.run_migrations()
if connection.dialect.name == "sqlite" and connection.connection.dbapi_connection.in_transaction:
    connection.exec_driver_sql("COMMIT")
