"""Post, edits and recall taken in whatever order and however often: the end is always the same (F-10), on both stores."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.model import PostKind, RawPost, SourceState
from monitor.testing.builders import MODERATOR, START, deps_over, raw
from monitor.usecases.ingest import ingest
from monitor.usecases.views import for_eyes

_runs = count()


def said(name: str, kind: PostKind, words: str, second: int, **fields: object) -> RawPost:
    at = START + timedelta(seconds=second)
    return raw(name, words, kind=kind, posted_at=at, thread="g1", **fields)


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[int]]:
    """Draw the order in which four events arrive, some of them twice, in batches."""
    order = draw(st.permutations(range(4)))
    again = draw(st.lists(st.integers(0, 3), max_size=4))
    whole = list(order)
    for number in again:
        whole.insert(draw(st.integers(0, len(whole))), number)
    cuts = sorted(draw(st.sets(st.integers(1, len(whole) - 1), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def test_every_order_ends_alike(uow: SqlUnitOfWork) -> None:
    deps = deps_over(uow)
    deps.clock.advance(hours=1)  # type: ignore[attr-defined]

    @settings(
        max_examples=80,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(arrivals())
    def check(batches: list[list[int]]) -> None:
        name = f"m{next(_runs)}"
        events = [
            said(name, PostKind.POST, "原文，打13812345678", 0),
            said(name, PostKind.EDIT, "第一次修改", 1),
            said(name, PostKind.EDIT, "第二次修改", 2),
            said(name, PostKind.REMOVAL, "", 3, by="author"),
        ]
        for batch in batches:
            ingest(deps, "qq", [events[number] for number in batch])
        with uow.read() as store:
            found = store.posts.find_handle("qq", name, "g1")
            assert found is not None
            revisions = store.posts.many(store.posts.revisions(found))
        assert (found.text, found.source_state, found.removed_by) == (
            "第二次修改",
            SourceState.REMOVED,
            "author",
        )
        assert sorted(one.text for one in revisions) == ["原文，打[电话]", "第一次修改", "第二次修改"]
        assert {(one.source_state, one.removed_by) for one in revisions} == {(SourceState.REMOVED, "author")}
        assert all(one.text not in for_eyes(MODERATOR, one, deps.rules).text for one in revisions)

    check()
