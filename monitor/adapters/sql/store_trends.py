"""Counts over time, with distinct authors so that the caller can hide small cells."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, literal, select

from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import moment
from monitor.adapters.sql.store_posts import current_reading, flagged, narrow
from monitor.adapters.sql.tables import post, reading
from monitor.core.errors import StoreError
from monitor.core.model import BINARY_LABELS
from monitor.core.ports import PostFilter, TrendCell

_HOUR = 3_600_000_000
_SHANGHAI = 8 * _HOUR
"""Asia/Shanghai is UTC+8 without summer time since 1991."""

_STEPS = {
    "hour": (_HOUR, _SHANGHAI),
    "day": (24 * _HOUR, _SHANGHAI),
    "week": (168 * _HOUR, _SHANGHAI + 72 * _HOUR),
}
"""Length and shift: 1970-01-01 was a Thursday, so weeks that begin on Monday are shifted by three days."""

_KEYS = {
    "channel": post.c.channel,
    "unit": post.c.unit,
    "topic": reading.c.topic,
    "sentiment": reading.c.sentiment,
}


class SqlTrends:
    """Trends over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def series(self, where: PostFilter, step: str, group: str) -> list[TrendCell]:
        """Count newest revisions per bucket and key by their current reading; posts without a key are left out."""
        if step not in _STEPS or group not in {*_KEYS, "label", "all"}:
            raise StoreError(
                "a trend goes by hour, day or week and by channel, topic, sentiment, unit, label or all"
            )
        if group == "label":
            cells = [
                cell for label in BINARY_LABELS for cell in self._cells(where, step, label.value, label.value)
            ]
            return sorted(cells, key=lambda cell: (cell.at, cell.key))
        return self._cells(where, step, group, None)

    def _cells(self, where: PostFilter, step: str, group: str, label: str | None) -> list[TrendCell]:
        source, conditions = self._scope(where, label is not None or group in ("topic", "sentiment"))
        length, shift = _STEPS[step]
        bucket = ((post.c.posted_at + shift) // length).label("bucket")
        key: Any = literal(group) if label is not None or group == "all" else _KEYS[group]
        if label is not None:
            conditions.append(flagged(label))
        elif group != "all":
            conditions.append(key.is_not(None))
        per_author = (
            select(bucket, key.label("key"), func.count().label("n"))
            .select_from(source)
            .where(*conditions)
            .group_by("bucket", "key", post.c.author)
            .subquery()
        )
        c = per_author.c
        query = select(c.bucket, c.key, func.sum(c.n), func.count()).group_by(c.bucket, c.key)
        rows = self._link.all(query.order_by(c.bucket, c.key))
        return [TrendCell(moment(b * length - shift), str(k), int(n), authors) for b, k, n, authors in rows]

    def _scope(self, where: PostFilter, needs_reading: bool) -> tuple[Any, list[Any]]:
        source, _number, conditions = narrow(self._link, where)
        if needs_reading and not (where.label or where.topic or where.sentiment):
            source = source.join(reading, current_reading())
        return source, conditions

    def totals(self, where: PostFilter) -> dict[str, int]:
        """Return ``posts``, ``authors`` and the number of posts per flag."""
        source, conditions = self._scope(where, False)
        if not (where.label or where.topic or where.sentiment):
            source = source.outerjoin(reading, current_reading())
        flags = [func.count().filter(flagged(label.value)) for label in BINARY_LABELS]
        per_author = (
            select(func.count().label("posts"), *(n.label(f"n_{i}") for i, n in enumerate(flags)))
            .select_from(source)
            .where(*conditions)
            .group_by(post.c.author)
            .subquery()
        )
        c = per_author.c
        sums = [func.coalesce(func.sum(c[f"n_{i}"]), 0) for i in range(len(flags))]
        row = self._link.first(select(func.coalesce(func.sum(c.posts), 0), func.count(), *sums))
        assert row is not None
        names = ("posts", "authors", *(label.value for label in BINARY_LABELS))
        return {name: int(n) for name, n in zip(names, row, strict=True)}


__all__ = ["SqlTrends"]
