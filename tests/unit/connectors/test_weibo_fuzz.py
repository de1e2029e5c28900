"""Whatever Weibo sends: its readers answer, or say Malformed; they never break."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import _weibo_wire as wire
from connectors._weibo_api import Token, number_of
from connectors._weibo_lists import _Cursor
from monitor.core.errors import Malformed

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
NUMBERS = st.integers(-5, 10**20) | st.integers(0, 10**20).map(str) | SCALARS
PERSON = st.fixed_dictionaries({}, optional={"id": NUMBERS, "idstr": NUMBERS}) | SCALARS
TIMES = (
    st.text(alphabet="ThuJan 01:+-2026/", max_size=40) | st.just("Thu Jan 01 08:00:00 +0800 2026") | SCALARS
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "id": NUMBERS,
        "idstr": NUMBERS,
        "mid": NUMBERS,
        "text": SCALARS | ANYTHING,
        "created_at": TIMES,
        "user": PERSON,
        "status": PERSON | st.fixed_dictionaries({"idstr": NUMBERS}, optional={"user": PERSON}),
        "reply_comment": PERSON
        | st.fixed_dictionaries({"idstr": NUMBERS, "text": SCALARS}, optional={"user": PERSON}),
        "retweeted_status": PERSON | st.fixed_dictionaries({"text": SCALARS}),
    },
)


@given(row=ROW | ANYTHING)
@settings(deadline=None, max_examples=400)
def test_rows(row: Any) -> None:
    for read in (wire.read_comment, wire.read_mention):
        try:
            post = read("wb", row)
        except Malformed:
            continue
        assert 0 < len(post.text) <= 20_000
        target = wire.target_of(post.handle)
        assert target is not None
        assert post.thread == target.post
    if isinstance(row, dict):
        assert wire.is_for(row, "1") in (True, False)


@given(value=TIMES)
@settings(deadline=None, max_examples=300)
def test_times(value: Any) -> None:
    at = wire.time_of(value)
    assert at is None or at.tzinfo is not None


def test_a_time_is_read_whatever_the_language_of_the_machine() -> None:
    at = wire.time_of("Thu Jan 01 08:00:00 +0800 2026")
    assert at is not None
    assert at.isoformat() == "2026-01-01T00:00:00+00:00"
    assert wire.time_of("Thu Foo 01 08:00:00 +0800 2026") is None
    assert wire.time_of("Thu Feb 30 08:00:00 +0800 2026") is None
    assert wire.time_of("Thu Jan 01 08:00:00 +9900 2026") is None


@given(
    answer=ANYTHING
    | st.fixed_dictionaries({}, optional={"error_code": NUMBERS, "expire_in": NUMBERS, "uid": NUMBERS})
)
@settings(deadline=None, max_examples=300)
def test_answers(answer: Any) -> None:
    assert number_of(answer) >= 0
    if isinstance(answer, dict):
        days = Token(answer).days
        assert days is None or days >= 0


@given(handle=st.text(alphabet="cm:0123456789", max_size=50))
@settings(deadline=None)
def test_handles(handle: str) -> None:
    target = wire.target_of(handle)
    assert target is None or str(target) == handle


@given(cursor=ANYTHING.map(json.dumps))
@settings(deadline=None, max_examples=200)
def test_cursors(cursor: str) -> None:
    import msgspec

    try:
        state = msgspec.json.decode(cursor, type=_Cursor)
    except msgspec.DecodeError:
        return
    assert msgspec.json.decode(msgspec.json.encode(state), type=_Cursor) == state
