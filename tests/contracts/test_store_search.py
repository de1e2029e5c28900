"""Search finds exactly the posts whose folded text contains the folded query: nothing less, nothing more."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from store_world import new, stored

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.errors import StoreError
from monitor.core.model import PostKind
from monitor.core.ports import PostFilter, Store
from monitor.core.search import fold
from monitor.testing.builders import START

TEXTS = (
    "食堂太贵了，二食堂的菜又涨价",
    "學校食堂價格",
    "ＯＡ系统打不开，OA又挂了",
    "停车难！！停 车 难",
    "WiFi 每天 22:30 断网",
    "Straße und ½ Liter, e\u0301cole ÉCOLE",
    "𝐎𝐀 数学字母",
    "🍜🍜 好吃",
    "_下划线_和'引号' \"双\" & | ! ( ) : * 100%",
)


def found(store: Store, query: str, **where: str) -> list[str]:
    return sorted(post.text for post in store.posts.page(PostFilter(query=query, **where), None, 99))


def expected(query: str) -> list[str]:
    return sorted(text for text in TEXTS if fold(query.strip()) in fold(text))


HITS = {
    "食堂": 2,
    "  食堂  ": 2,
    "食堂太贵": 1,
    "太贵了，二食堂的菜又涨价": 1,
    "学校": 0,
    "學校": 1,
    "oa": 2,
    "ＯＡ": 2,
    "𝐎𝐀": 2,
    "堂": 2,
    "a": 3,
    "，": 3,
    ",": 3,
    "！！": 1,
    "停车难": 1,
    "停 车": 1,
    "strasse": 1,
    "école": 1,
    "🍜🍜": 1,
    "'引号'": 1,
    '"双" & | !': 1,
    "100%": 1,
    "_": 1,
    "%": 1,
    "22:30": 1,
    "没有这个词": 0,
}
"""Queries and how many of ``TEXTS`` hold them: simplified and traditional characters stay different words."""


def test_words_people_look_for(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.posts.add([new(str(n), text) for n, text in enumerate(TEXTS)])
    with uow.read() as store:
        assert {query: found(store, query) for query in HITS} == {query: expected(query) for query in HITS}
    assert {query: len(expected(query)) for query in HITS} == HITS


_runs = count()
_LETTERS = st.sampled_from("食堂食堂学校aAＡ𝐀bßé́e½.，! '\"%_İK㎏ﬀ\u00a0\u3000")
_WORDS = st.text(_LETTERS, min_size=1, max_size=12)


@pytest.mark.slow
def test_any_text_is_found_by_any_part_of_it_and_by_nothing_else(uow: SqlUnitOfWork) -> None:
    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(_WORDS, min_size=1, max_size=4), _WORDS, st.data())
    @example(["𝐀b"], "ab", None)
    @example(["e\u0301"], "é", None)
    def check(texts: list[str], query: str, data: st.DataObject | None) -> None:
        if data is not None and data.draw(st.booleans()):
            whole = data.draw(st.sampled_from(texts))
            low = data.draw(st.integers(0, len(whole) - 1))
            query = whole[low : data.draw(st.integers(low + 1, len(whole)))]
        if not query.strip():
            return
        unit = f"u{next(_runs)}"
        with uow.begin() as store:
            store.posts.add([new(f"{unit}-{n}", text, unit=unit) for n, text in enumerate(texts)])
            assert found(store, query, unit=unit) == sorted(
                t for t in texts if fold(query.strip()) in fold(t)
            )

    check()


def test_only_the_newest_words_are_found(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        stored(store, new("1", "旧的说法"), new("1", "新的说法", 5, kind=PostKind.EDIT))
    with uow.read() as store:
        assert found(store, "旧的") == []
        assert found(store, "说法") == ["新的说法"]


def test_a_long_query_and_pages_of_finds(uow: SqlUnitOfWork) -> None:
    long = "".join(chr(0x4E00 + n) for n in range(300))
    with uow.begin() as store:
        store.posts.add([new(str(n), f"{long}{n}") for n in range(5)])
        store.posts.add([new("other", long[:299])])
    with uow.read() as store:
        first = store.posts.page(PostFilter(query=long), None, 3)
        rest = store.posts.page(PostFilter(query=long), first[-1].id, 3)
        assert [post.external_id for post in (*first, *rest)] == ["4", "3", "2", "1", "0"]
        assert store.trends.totals(PostFilter(query=long, since=START))["posts"] == 5


@pytest.mark.parametrize("query", ["\ud800", "食\udfff堂", "a\0b"])
def test_what_no_text_can_hold_is_refused_in_words(uow: SqlUnitOfWork, query: str) -> None:
    with uow.read() as store, pytest.raises(StoreError, match="clean it"):
        store.posts.page(PostFilter(query=query), None, 9)
