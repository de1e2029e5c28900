"""The wire of the official bot as pure functions, against anything that could come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import _qqbot_errors as errors
from connectors import _qqbot_wire as wire
from connectors._qqbot_gateway import is_safe
from connectors._qqbot_inbox import Inbox, Place
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import RawPost
from monitor.core.privacy import clean

GROUP = "0F3C" + "0" * 28
CONTEXT = wire.Context("bot", frozenset({GROUP}), {})
NOW = datetime(2026, 1, 1, tzinfo=UTC)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
KEYS = (
    "id", "group_openid", "content", "timestamp", "author", "mentions", "attachments", "message_type",
    "message_scene", "msg_elements", "ark_data",
)  # fmt: skip
DATA = st.fixed_dictionaries(
    {"group_openid": st.just(GROUP) | ANYTHING}, optional=dict.fromkeys(KEYS[2:] + KEYS[:1], ANYTHING)
)


@given(DATA, st.sampled_from(["GROUP_MESSAGE_CREATE", "GROUP_AT_MESSAGE_CREATE"]))
def test_any_event_is_a_post_that_can_be_stored_or_ignored_or_malformed(data: Any, kind: str) -> None:
    try:
        item = wire.read_event({"op": 0, "t": kind, "d": data}, CONTEXT)
    except Malformed:
        return
    if isinstance(item, RawPost):
        assert item.text.strip()
        assert item.text == clean(item.text)
        assert 0 < len(item.external_id) <= 200
        assert item.handle is None or len(item.handle) <= 200
        assert item.thread == GROUP


@given(ANYTHING, ANYTHING)
def test_any_event_at_all_is_survived(data: Any, kind: Any) -> None:
    event = {"t": kind, "d": data}
    assert isinstance(wire.read_event(event, CONTEXT), wire.Ignored) or kind in wire.MESSAGES
    assert wire.kind_of(event).isprintable()
    assert wire.news_of(event) is None or kind in ("GROUP_ADD_ROBOT",)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=200))
def test_handle_gives_back_id_and_second(message_id: str) -> None:
    made = wire.handle_of(message_id, NOW)
    if made is not None:
        assert wire.of_handle(made) == (message_id, NOW)
        assert len(made) <= 200


@pytest.mark.parametrize("handle", ["ROBOT1.0_x", "x@", "@1767225600", "x@12", "x@y", "", "a@b@c"])
def test_handle_without_a_time_is_an_id(handle: str) -> None:
    assert wire.of_handle(handle) == (handle, None)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        *((code, wire.RESUMABLE) for code in (None, 1000, 1006, 4008, 4009, 4004)),
        *((code, wire.ANEW) for code in (4006, 4007, 4900, 4901, 4913)),
        *((code, wire.FATAL) for code in (4001, 4002, 4010, 4011, 4012, 4013, 4014, 4914, 4915)),
    ],
)
def test_close_codes_say_how_to_go_on(code: int | None, how: str) -> None:
    assert wire.after_close(code) == how


@given(st.integers(100, 599), st.none() | st.integers(1, 10**8), st.none() | st.text(max_size=8))
def test_any_answer_is_one_of_the_errors_and_names_its_code_only(
    status: int, code: int | None, retry_after: str | None
) -> None:
    error = errors.error_of("send a message", status, code, retry_after, NOW)
    assert isinstance(error, Unavailable | RateLimited | Rejected | Uncertain)
    assert isinstance(error, ConnectorError)
    if isinstance(error, RateLimited):
        assert 1 <= (error.retry_at - NOW).total_seconds() <= 86_400


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({}, None),
        ({"code": 0}, None),
        ({"err_code": 40034005, "code": 1}, 40034005),
        ({"code": 100016}, 100016),
        ({"code": "100016"}, 100016),
        ({"err_code": 0, "code": 5}, 5),
        ({"err_code": True, "code": None}, None),
        ({"err_code": "no"}, None),
    ],
)
def test_code_is_read_from_new_and_old_bodies(answer: dict[str, Any], code: int | None) -> None:
    assert errors.code_of(answer) == code


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://api.bot.qq.com", True),
        ("http://127.0.0.1:80", True),
        ("http://localhost", True),
        ("http://api.bot.qq.com", False),
        ("http://127.0.0.1.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("https://", False),
        ("https://[", False),
        ("ftp://127.0.0.1", False),
        ("", False),
    ],
)
def test_credentials_go_out_encrypted_or_stay_here(url: str, is_good: bool) -> None:
    assert is_safe(url, ("https", "http")) is is_good


def test_secret_of_a_message_is_cut_out() -> None:
    raw = json.dumps({"ext": ["msg_idx=a", "auth_token=abc.def==", "x=1"]}).encode()
    assert json.loads(wire.without_secrets(raw)) == {"ext": ["msg_idx=a", "auth_token=", "x=1"]}


@pytest.mark.asyncio
@pytest.mark.parametrize("cursor", [None, "", "{", "[]", '{"seq":"x"}', '{"groups":{}}', "17"])
async def test_cursor_that_cannot_be_read_is_the_beginning(cursor: str | None) -> None:
    inbox = Inbox()
    inbox.resume(cursor)
    assert (inbox.place, inbox.heard) == (Place(), 0)


@pytest.mark.asyncio
async def test_cursor_stands_after_what_was_handed_over() -> None:
    inbox = Inbox(lambda: 1767225600.9)
    inbox.resume(None)
    await inbox.put(None, Place("s", 1))
    await inbox.put(None, Place("s", 2))
    batch = await inbox.next()
    assert batch is not None
    assert batch.cursor == '{"session":"s","seq":2,"heard":1767225600}'
    other = Inbox()
    assert other.resume(batch.cursor) is False
    assert (other.place, other.heard) == (Place("s", 2), 1767225600)
    assert inbox.resume(batch.cursor) is False
    again = await inbox.next()  # it was not acknowledged
    assert again is not None
    assert again.cursor == batch.cursor
