"""Everything in which SQLite and PostgreSQL differ, in one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import to_json
from monitor.adapters.sql.tables import post, post_terms
from monitor.core.search import bigrams, fold

Insert = sqlite.Insert | postgresql.Insert

# --- insert or leave, insert or update ----------------------------------------------------------------


def insert(link: Link, table: Table) -> Insert:
    """Return an insert that knows ON CONFLICT, which both databases spell alike."""
    return postgresql.insert(table) if link.postgres else sqlite.insert(table)


def put_once(link: Link, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows and leave those that are there as they are."""
    link.many(_once(link.postgres, table), rows)


@lru_cache(maxsize=32)
def _once(postgres: bool, table: Table) -> Insert:
    made = postgresql.insert(table) if postgres else sqlite.insert(table)
    return made.on_conflict_do_nothing()


def put(link: Link, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row or replace what stands under its primary key."""
    keys = [c.name for c in table.primary_key]
    values = {name: value for name, value in row.items() if name not in keys}
    link.run(insert(link, table).values(row).on_conflict_do_update(index_elements=keys, set_=values))


# --- one of many ---------------------------------------------------------------------------------------


def among(link: Link, column: ColumnElement[Any], values: Collection[int] | Collection[str]) -> Any:
    """Return the condition that ``column`` is one of ``values``, however many: they travel as one parameter.

    A parameter each would make another statement of every length of the list, and SQLite counts them.
    """
    if link.postgres:
        kind = postgresql.ARRAY(Text if isinstance(column.type, Text) else BigInteger)
        return column == any_(cast(literal(list(values), kind), kind))
    listed = func.json_each(to_json(list(values))).table_valued("value")
    return column.in_(select(listed.c.value))


# --- ids and locks ---------------------------------------------------------------------------------


def take_ids(link: Link, name: str, n: int) -> list[int]:
    """Return ``n`` fresh ids of a table, never used before; on SQLite the write lock is held already."""
    if link.postgres:
        return [row[0] for row in link.all(_PG_IDS.bindparams(name=name, n=n))]
    last = int(link.value(_LITE_LAST.bindparams(name=name)) or 0)
    return list(range(last + 1, last + n + 1))


_PG_IDS = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :n)")
_LITE_LAST = text("SELECT seq FROM sqlite_sequence WHERE name = :name")


def alone(link: Link, what: str) -> None:
    """Let one transaction at a time do ``what`` until it ends (SQLite has one writer anyway)."""
    if link.postgres:
        link.run(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


# --- search ----------------------------------------------------------------------------------------

MOST_TERMS = 64
"""Terms of a query that the index is asked for; the text itself is compared anyway."""


def add_terms(link: Link, texts: Sequence[tuple[int, str]]) -> None:
    """Index the texts of posts (id, text)."""
    if not link.postgres:
        link.many(_LITE_ADD, [{"id": i, "terms": " ".join(bigrams(words))} for i, words in texts])
        return
    link.many(_PG_ADD, [{"id": i, "terms": bigrams(words), "folded": fold(words)} for i, words in texts])


_LITE_ADD = text("INSERT INTO post_terms (rowid, terms) VALUES (:id, :terms)")
_PG_ADD = text(
    "INSERT INTO post_terms (post_id, folded, terms)"
    " VALUES (:id, :folded, array_to_tsvector(CAST(:terms AS text[])))"
)


def searched(link: Link, query: str) -> Searched:
    """Return what to select from, the column to order by and the condition for posts that contain ``query``.

    Letters are compared folded (case, full width). The index narrows, the text decides: nothing is missed and
    nothing is found too much.
    """
    terms, folded = bigrams(query)[:MOST_TERMS], fold(query)
    return _pg_searched(terms, folded) if link.postgres else _lite_searched(terms, folded)


Searched = tuple[FromClause, ColumnElement[int], ColumnElement[bool]]


def _pg_searched(terms: Sequence[str], folded: str) -> Searched:
    joined = post_terms.join(post, post.c.id == post_terms.c.post_id)
    holds = func.strpos(post_terms.c.folded, folded) > 0
    if not terms:
        return joined, post_terms.c.post_id, holds
    wanted = cast(" & ".join(f"'{term}'" for term in terms), postgresql.TSQUERY)
    return joined, post_terms.c.post_id, and_(post_terms.c.terms.op("@@")(wanted), holds)


def _lite_searched(terms: Sequence[str], folded: str) -> Searched:
    # The letter that every find must hold is compared plainly: folding each text in turn costs a call to Python.
    first = or_(*(func.instr(post.c.text, one) > 0 for one in spellings(folded[0])))
    holds = first if len(folded) == 1 else and_(first, func.instr(func.fold(post.c.text), folded) > 0)
    if not terms:
        return post, post.c.id, holds
    wanted = " ".join(f'"{term}"' for term in terms)
    joined = post_terms.join(post, post.c.id == post_terms.c.rowid)
    return joined, post_terms.c.rowid, and_(literal_column("post_terms").op("MATCH")(literal(wanted)), holds)


def spellings(letter: str) -> list[str]:
    """Return the characters whose folded form holds ``letter``, itself first."""
    return [letter, *(other for other in _spellings().get(letter, ()) if other != letter)]


@lru_cache(maxsize=1)
def _spellings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code in (*range(0xD800), *range(0xE000, 0x30000)):
        folded = fold(chr(code))
        if folded != chr(code):
            for letter in set(folded):
                found.setdefault(letter, []).append(chr(code))
    return found


__all__ = [
    "add_terms",
    "alone",
    "among",
    "insert",
    "put",
    "put_once",
    "searched",
    "spellings",
    "take_ids",
]
