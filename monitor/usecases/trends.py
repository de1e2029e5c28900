"""Trends for officers: counts only, small groups hidden, and a drill-down that refuses to expose a few people."""

from __future__ import annotations

from dataclasses import replace

from monitor.core.errors import BadInput, NotAllowed
from monitor.core.model import Actor
from monitor.core.ports import PostFilter, Store, TrendCell
from monitor.core.roles import require
from monitor.usecases.deps import Deps
from monitor.usecases.views import PostView, post_view

STEPS = ("hour", "day", "week")
GROUPS = ("all", "channel", "topic", "sentiment", "unit", "label")
MOST = 200


def _floored(cell: TrendCell, floor: int) -> TrendCell:
    return cell if cell.authors >= floor else replace(cell, n=0, authors=0, hidden=True)


def series(deps: Deps, actor: Actor, where: PostFilter, step: str, group: str) -> list[TrendCell]:
    """Return posts per step and group; a cell of fewer than ``inside_floor`` authors is hidden and says nothing.

    Args:
        deps: what every use case is given.
        actor: who looks.
        where: which posts.
        step: ``hour``, ``day`` or ``week`` (Asia/Shanghai).
        group: ``all``, ``channel``, ``topic``, ``sentiment``, ``unit`` or ``label``.

    Raises: NotAllowed, BadInput.
    """
    require(actor, "trends.series")
    if step not in STEPS or group not in GROUPS:
        raise BadInput(f"a trend goes by {', '.join(STEPS)} and is grouped by {', '.join(GROUPS)}")
    with deps.uow.read() as store:
        cells = store.trends.series(where, step, group)
    return [_floored(cell, deps.rules.inside_floor) for cell in cells]


def _enough(store: Store, where: PostFilter, floor: int) -> dict[str, int] | None:
    counts = store.trends.totals(where)
    return counts if counts.get("authors", 0) >= floor else None


def totals(deps: Deps, actor: Actor, where: PostFilter) -> dict[str, int]:
    """Return posts, authors and flags of the period; ``{"hidden": 1}`` when fewer than ``inside_floor`` wrote."""
    require(actor, "trends.totals")
    with deps.uow.read() as store:
        return _enough(store, where, deps.rules.inside_floor) or {"hidden": 1}


def drill(deps: Deps, actor: Actor, where: PostFilter, after: int | None, limit: int) -> list[PostView]:
    """Return the posts behind a number, newest first, without pseudonyms where the role needs none.

    Args:
        deps: what every use case is given.
        actor: who looks.
        where: which posts.
        after: last id of the previous page, or None.
        limit: most posts to return, at most 200.

    Raises: NotAllowed, also when fewer than ``inside_floor`` authors stand behind the number.
    """
    require(actor, "trends.drill")
    floor = deps.rules.inside_floor
    with deps.uow.read() as store:
        if _enough(store, where, floor) is None:
            raise NotAllowed(f"fewer than {floor} people wrote these posts; widen the period or the filter")
        posts = store.posts.page(where, after, max(1, min(limit, MOST)))
        readings = store.readings.many([post.id for post in posts])
    return [post_view(actor, post, readings.get(post.id), deps.rules) for post in posts]
