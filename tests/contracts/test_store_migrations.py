"""Migrations: a migrated database is the schema of the code, and a failed one leaves what was there."""

from __future__ import annotations

import threading
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from store_world import new, raw_sql, stored

from monitor.adapters.sql import migrations, tables
from monitor.adapters.sql.uow import engine_of, open_store, writing
from monitor.core.errors import StoreError
from monitor.testing.builders import START


@pytest.fixture
def engine(url: str) -> Engine:
    """A plain engine over a migrated database."""
    return engine_of(url)


def test_a_migrated_database_is_the_schema_of_the_code(engine: Engine) -> None:
    with engine.connect() as link:
        context = MigrationContext.configure(link, opts={"compare_type": True, "include_object": _ours})
        assert compare_metadata(context, tables.metadata) == []
        found = inspect(link)
        for table in tables.metadata.sorted_tables:
            keys = {key["name"] for key in found.get_unique_constraints(table.name)}
            keys |= {key["name"] for key in found.get_check_constraints(table.name)}
            keys |= {key["name"] for key in found.get_foreign_keys(table.name)}
            wanted = {c.name for c in table.constraints} - {table.primary_key.name}
            assert keys == wanted, table.name
            nullable = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert nullable == {column.name: column.nullable for column in table.columns}, table.name
    engine.dispose()


def _ours(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
    """Leave out what only raw DDL can say: the search index with its shadow tables."""
    return not (kind == "table" and str(name).startswith("post_terms"))


def test_rowids_are_never_given_twice_where_it_matters(engine: Engine, kind: str) -> None:
    if kind == "sqlite":
        with engine.connect() as link:
            found = link.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
            once = {row.name for row in found if row.sql and "AUTOINCREMENT" in row.sql}
        assert once == {
            table.name
            for table in tables.metadata.tables.values()
            if table.kwargs.get("sqlite_autoincrement")
        }
    engine.dispose()


def test_upgrade_and_status(empty_url: str) -> None:
    assert migrations.status(empty_url) == (None, tables.HEAD)
    migrations.upgrade(empty_url)
    assert migrations.status(empty_url) == (tables.HEAD, tables.HEAD)
    uow = open_store(empty_url, lambda: START, b"k")
    with uow.begin() as store:
        stored(store, new("1"))
    migrations.upgrade(empty_url)
    with uow.read() as store:
        assert store.posts.count() == 1, "upgrading again changes nothing"
    uow.close()


def test_what_an_older_version_stored_is_kept(empty_url: str) -> None:
    from alembic import command

    engine = engine_of(empty_url)
    with writing(engine).begin() as connection:
        command.upgrade(migrations._config(connection), "0001")
    engine.dispose()
    raw_sql(
        empty_url,
        "INSERT INTO channel (name, type, capabilities, paused, cursor, received, quarantined)"
        " VALUES ('qq', 'onebot', 'listen', 0, 'c7', 3, 1)",
        "INSERT INTO post (channel, external_id, revision, newest, edit, text, author, digest, received_at, posted_at,"
        " source_state) VALUES ('qq', '1', 1, 1, 0, '旧帖', 'a', 'd', 0, 0, 'removed')",
        "INSERT INTO tombstone (channel, key, thread, state, at) VALUES ('qq', '2', '', 'removed', 1)",
    )
    migrations.upgrade(empty_url)
    uow = open_store(empty_url, lambda: START, b"k")
    with uow.begin() as store:
        (status,) = store.channels.status()
        assert (status.received, status.lag, status.tries, store.channels.cursor("qq")) == (3, None, 0, "c7")
        old = store.posts.find_handle("qq", "1")
        assert old is not None
        assert (old.text, old.removed_by) == ("旧帖", None)
        (late,) = stored(store, new("2"))
        assert late.source_state == "removed"
    uow.close()


def test_two_first_starts_at_once_make_one_database(empty_url: str) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            migrations.upgrade(empty_url)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert migrations.status(empty_url)[0] == tables.HEAD


def test_a_migration_that_fails_leaves_nothing(empty_url: str) -> None:
    raw_sql(empty_url, "CREATE TABLE reply (id integer)")
    with pytest.raises(StoreError):
        migrations.upgrade(empty_url)
    engine = engine_of(empty_url)
    with engine.connect() as link:
        assert inspect(link).get_table_names() == ["reply"]
    engine.dispose()


def test_a_database_of_a_newer_program_is_left_alone(url: str) -> None:
    raw_sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer"):
        migrations.upgrade(url)
    assert migrations.status(url) == ("9999", tables.HEAD)


def test_the_newest_script_is_the_revision_of_the_code() -> None:
    scripts = ScriptDirectory(str(migrations.FOLDER))
    assert scripts.get_heads() == [tables.HEAD]


def test_migrations_lie_inside_the_package() -> None:
    folder = Path(str(files("monitor.adapters.sql.migrations")))
    assert folder == migrations.FOLDER
    assert (folder / "env.py").is_file()
    assert (folder / "script.py.mako").is_file()
    scripts = sorted(path.name for path in (folder / "versions").glob("0*.py"))
    assert scripts[0] == "0001_first.py"
    assert scripts[-1].startswith(tables.HEAD)
