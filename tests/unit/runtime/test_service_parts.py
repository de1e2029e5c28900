"""The small parts of the web service, without a server: limits per address, markup, reading, keys."""

from __future__ import annotations

import contextlib
import html
import json
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.errors import (
    BadInput,
    BadMove,
    ClassifierError,
    ConfigError,
    Conflict,
    HuiyinError,
    NotAllowed,
    NotFound,
    PluginError,
    StoreError,
    Unavailable,
)
from monitor.runtime._web import asks, problems
from monitor.runtime._web.limiter import Limiter
from monitor.runtime._web.markup import safe, tag
from monitor.runtime._web.problems import Refusal
from monitor.runtime._web.reading import DEEPEST, body_of


class Ticks:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


# --- how often one address may send ----------------------------------------------------------------


def test_five_a_minute_then_wait_until_the_first_is_a_minute_old() -> None:
    ticks = Ticks()
    limiter = Limiter(now=ticks)
    for _n in range(5):
        assert limiter.take("192.0.2.1") == 0
        ticks.at += 1
    assert limiter.take("192.0.2.1") == 55
    assert limiter.take("192.0.2.2") == 0, "another address is not held up"
    ticks.at += 54
    assert limiter.take("192.0.2.1") == 1
    ticks.at += 1
    assert limiter.take("192.0.2.1") == 0


def test_thirty_an_hour_and_never_blocked_for_longer_than_an_hour() -> None:
    ticks = Ticks()
    limiter = Limiter(now=ticks)
    for _n in range(30):
        assert limiter.take("192.0.2.1") == 0
        ticks.at += 13
    wait = limiter.take("192.0.2.1")
    assert 60 < wait <= 3600
    for _n in range(1000):
        assert limiter.take("192.0.2.1") == wait, "a refused try does not prolong the waiting"
    ticks.at += wait
    assert limiter.take("192.0.2.1") == 0


@given(st.lists(st.floats(min_value=0, max_value=400), max_size=120))
@settings(max_examples=100, deadline=None)
def test_no_minute_lets_more_than_five_through_and_no_hour_more_than_thirty(pauses: list[float]) -> None:
    ticks = Ticks()
    limiter = Limiter(now=ticks)
    passed = []
    for pause in pauses:
        ticks.at += pause
        if limiter.take("192.0.2.1") == 0:
            passed.append(ticks.at)
    for span, most in ((60.0, 5), (3600.0, 30)):
        for first, last in zip(passed, passed[most:], strict=False):
            assert last - first >= span - 1e-6


def test_a_household_is_one_address_in_ipv6_and_mapped_ipv4_is_ipv4() -> None:
    limiter = Limiter(per_minute=1, now=Ticks())
    assert limiter.take("2001:db8:1:2::1") == 0
    assert limiter.take("2001:db8:1:2:ffff::9") > 0
    assert limiter.take("2001:db8:1:3::1") == 0
    assert limiter.take("192.0.2.7") == 0
    assert limiter.take("::ffff:192.0.2.7") > 0


def test_it_fails_closed_when_there_are_too_many_addresses_and_recovers() -> None:
    ticks = Ticks()
    limiter = Limiter(now=ticks, most=3)
    for n in range(3):
        assert limiter.take(f"192.0.2.{n}") == 0
    assert limiter.take("192.0.2.9") == 60
    ticks.at += 3600
    assert limiter.take("192.0.2.9") == 0


def test_a_disguised_address_is_no_address_and_differs_between_processes() -> None:
    one, other = Limiter(), Limiter()
    assert one.disguised("192.0.2.1") == one.disguised("192.0.2.1")
    assert one.disguised("192.0.2.1") != other.disguised("192.0.2.1")
    assert len(one.disguised("192.0.2.1")) == 24


# --- markup ----------------------------------------------------------------------------------------


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert all(not name.startswith("on") for name, _value in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(max_size=200), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_put_in_stays_text(inside: str, attribute: str) -> None:
    seen = Seen()
    seen.feed(tag("p", inside, title=attribute) + "<end>")
    seen.close()
    assert seen.tags == ["p", "end"]
    assert seen.text == html.unescape(safe(inside))


def test_hidden_characters_are_shown_as_marks() -> None:
    assert safe("a\u202eb\u200bc\x00d\ud800") == "a⟨202E⟩b⟨200B⟩c\ufffdd\ufffd"


def test_attributes_can_be_bare_or_left_out() -> None:
    assert tag("input", required=True, checked=False, value=None, for_="x") == '<input required for="x">'


# --- reading ---------------------------------------------------------------------------------------

GOOD = {"version": 1, "action": "keep"}


def refusal(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        body_of(raw, asks.DecisionBody)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "request.malformed"),
        (b"{", "request.malformed"),
        (b"\xff\xfe", "request.malformed"),
        (b'{"version": 1, "action": "keep", "note": "\xff"}', "request.malformed"),
        (b'{"version": 1, "action": "keep", "note": "\\ud800"}', "request.malformed"),
        (b'{"version": NaN, "action": "keep"}', "request.malformed"),
        (b"[" * 100_000, "request.malformed"),
        (b'{"note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "request.malformed"),
        (b'{"a":' * 100_000, "request.malformed"),
        (b'{"version": ' + b"9" * 5000 + b', "action": "keep"}', "request.invalid"),
        (b"null", "request.invalid"),
        (b'"keep"', "request.invalid"),
        (b'{"version": 1, "action": "keep", "extra": 1}', "request.invalid"),
        (b'{"version": 1, "action": "praise"}', "request.invalid"),
        (b'{"version": true, "action": "keep"}', "request.invalid"),
        (b'{"version": 1.5, "action": "keep"}', "request.invalid"),
        (b'{"version": 9007199254740992, "action": "keep"}', "request.invalid"),
    ],
)
def test_bad_bodies_are_refused_by_name(raw: bytes, code: str) -> None:
    assert refusal(raw).code == code


def test_a_wrong_field_is_named_by_its_path() -> None:
    body = GOOD | {"quote": {"post_id": 1, "start": -1, "end": 2}}
    errors = refusal(json.dumps(body).encode()).errors
    assert [error.path for error in errors] == ["body.quote.start"]


def nested(depth: int) -> bytes:
    return b'{"version": 1, "action": "keep", "note": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert refusal(nested(DEEPEST)).code == "request.invalid"
    assert refusal(nested(DEEPEST + 1)).code == "request.malformed"
    for note in ("[" * 500, '\\"' * 40 + "[{" * 100, "\\" * 7 + "{" * 99):
        read = body_of(json.dumps(GOOD | {"note": note}).encode(), asks.DecisionBody)
        assert read.note == note


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda j: st.lists(j, max_size=4) | st.dictionaries(st.text(max_size=9), j, max_size=4),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(Refusal):
        body_of(json.dumps(value).encode(), asks.MoveBody)


# --- problems --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAllowed("no"), 403, "policy.not_allowed"),
        (BadMove("no"), 409, "policy.bad_move"),
        (BadInput("no"), 422, "policy.bad_input"),
        (Conflict("no"), 409, "store.conflict"),
        (NotFound("no"), 404, "store.not_found"),
        (StoreError("no"), 503, "store"),
        (Unavailable("no"), 503, "connector"),
        (ConfigError("a secret place"), 500, "config"),
        (PluginError("a secret place"), 500, "plugin"),
        (ClassifierError("a secret place"), 500, "classifier"),
        (HuiyinError("a secret place"), 500, "internal"),
    ],
)
def test_every_error_has_its_type_and_status(error: HuiyinError, status: int, code: str) -> None:
    response = problems.from_error(error)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    document = json.loads(bytes(response.body))  # type: ignore[arg-type]
    assert document["type"] == problems.PREFIX + code
    assert document["status"] == status
    assert document.get("detail") == (None if status == 500 else "no")
    assert ("Retry-After" in response.headers) == (status == 503)


def test_every_code_of_the_error_tree_has_a_problem_of_its_own_or_of_its_parent() -> None:
    def tree(kind: type[HuiyinError]) -> list[type[HuiyinError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]

    for kind in tree(HuiyinError):
        if kind not in (HuiyinError, Refusal):
            assert problems.kind_of(kind.code) != "internal", kind


def test_answers_to_changes_hold_no_words_of_members() -> None:
    """They are kept under the Idempotency-Key, where neither masking nor erasure looks for them."""
    from monitor.runtime._web.api import OPERATIONS

    words = {"text", "first_text", "quote", "quoted", "note", "explanation", "posts", "reason", "statement"}
    for operation in OPERATIONS:
        if operation.body is None:
            continue
        _refs, components = msgspec.json.schema_components((operation.answer,))
        for schema in components.values():
            assert not words & set(schema.get("properties", {})), operation.path


def test_no_answer_names_an_author() -> None:
    from monitor.runtime._web.openapi import document

    schemas = document()["components"]["schemas"]
    naming = {name for name, schema in schemas.items() if "author" in schema.get("properties", {})}
    assert naming == {"ReplyOut", "ReplyMade"}, "only who wrote an answer is named: a member of staff"
