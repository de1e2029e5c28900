"""Whatever a forum sends: its readers answer, or say Malformed; they never break and never hang."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import _discuz_wire as wire
from connectors._discuz_state import Shelf
from connectors._discuz_topics import before
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
HTML = st.text(alphabet="<>&;#\"'=/ divblockquoteabrp12水amp\n[]", max_size=200)
NUMBERS = st.integers(-5, 10**20).map(str) | SCALARS
ROW = st.fixed_dictionaries(
    {},
    optional={
        "pid": NUMBERS,
        "first": NUMBERS,
        "authorid": NUMBERS,
        "anonymous": NUMBERS,
        "dbdateline": NUMBERS,
        "message": HTML | SCALARS | st.lists(SCALARS, max_size=3),
        "position": NUMBERS,
        "number": NUMBERS,
        "status": NUMBERS,
        "attachment": NUMBERS,
    },
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)


@given(row=ROW | ANYTHING, subject=st.text(max_size=30))
@settings(deadline=None, max_examples=300)
def test_rows(row: Any, subject: str) -> None:
    assert wire.is_hole(row) in (True, False)
    try:
        found = wire.read_row("bbs", "http://x", "88", subject, row)
    except Malformed:
        return
    assert 0 < len(found.post.text) <= 20_000
    assert wire.place_of(found.post.handle) is not None
    assert found.post.external_id.isdigit()


@given(body=st.binary(max_size=300) | ANYTHING.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None, max_examples=300)
def test_answers(body: bytes) -> None:
    try:
        answer = wire.read_answer(body)
    except Malformed:
        return
    assert len(answer.message) <= 60
    for row in wire.rows_of(answer.variables):
        wire.pid_of(row)
    wire.topics_of(answer.variables)
    wire.subject_of(answer.variables)


@given(
    rows=st.lists(ROW | ANYTHING, max_size=5),
    variables=st.dictionaries(st.sampled_from(["ppp", "thread", "x"]), ANYTHING),
    page=st.integers(1, 99_999),
)
@settings(deadline=None)
def test_going_back_always_ends(rows: list[Any], variables: dict[str, Any], page: int) -> None:
    assert before(variables, rows, page) < page


@given(value=ANYTHING)
@settings(deadline=None)
def test_an_answer_with_a_hole_keeps_the_rest(value: Any) -> None:
    text = json.dumps(
        {"Variables": {"a": value, "message": "@@", "b": ["@@", "@@"]}, "Message": {"messageval": "x"}}
    )
    answer = wire.read_answer(text.replace('"@@"', "").encode())
    assert answer.message == "x"
    assert answer.variables["message"] is None


@given(
    body=st.binary(max_size=400)
    | st.builds(
        lambda t: f'<?xml version="1.0"?><rss><channel>{t}</channel></rss>'.encode(),
        st.text(alphabet="<>item/linktitle&;!?[]CDATA =1", max_size=200),
    )
)
@settings(deadline=None, max_examples=300)
def test_feeds(body: bytes) -> None:
    try:
        items = wire.read_feed("bbs", body)
    except Malformed:
        return
    assert all(isinstance(item, RawPost | Malformed) for item in items)


@given(cursor=st.text(max_size=80) | ANYTHING.map(json.dumps))
@settings(deadline=None, max_examples=300)
def test_cursors(cursor: str) -> None:
    shelf = Shelf()
    shelf.load(cursor, 7)
    again = Shelf()
    again.load(shelf.cursor(), 0)
    assert again.cursor() == shelf.cursor()
