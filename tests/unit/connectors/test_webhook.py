"""The signed webhook: what the official library signs is taken, nothing else is; every post is accounted for."""

from __future__ import annotations

import base64
import inspect
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as Signer

from connectors import _signing, webhook
from connectors.webhook import MOST, TOLERANCE, Webhook, connector
from monitor.core.errors import ConfigError
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import ChannelConfig, Request, Response

pytestmark = pytest.mark.asyncio

KEY = "whsec_aHVpeWluLXN0YW5kYXJkLXdlYmhvb2tzLTMyYnl0ZXM="
OLD = "whsec_" + base64.b64encode(b"an older secret of thirty-2 bytes").decode()
STRANGER = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
POST = {"id": "p1", "text": "三食堂二楼又停水了", "author": "a81f", "posted_at": "2026-01-01T08:00:00+08:00"}


def hook(*keys: str, at: datetime = NOW) -> Webhook:
    made = connector(ChannelConfig("site", "webhook", {"secrets": list(keys or [KEY])}))
    made._clock = at.timestamp
    return made


def signed(body: bytes, key: str = KEY, at: datetime = NOW, name: str = "msg_1") -> dict[str, str]:
    signature = Signer(key).sign(name, at, body.decode("utf-8", "surrogateescape"))
    return {
        "Webhook-Id": name,
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    }


async def push(made: Webhook, body: bytes, headers: dict[str, str], method: str = "POST") -> Response:
    (route,) = made.routes()
    assert route.handle is not None
    return await route.handle(Request(method, route.path, headers, {}, body))


def body_of(what: Any) -> bytes:
    return json.dumps(what, ensure_ascii=False).encode()


def posts(answer: Response) -> list[RawPost]:
    return [item for item in answer.items if isinstance(item, RawPost)]


# --- signatures ------------------------------------------------------------------------------------


async def test_the_test_vector_and_the_official_library_agree_with_us() -> None:
    body = '{"type":"post.created","text":"停水通知"}'
    wanted = "v1,yMhEoMMzq7lMaxTB5U2S3qLDT+XIQq8em+C/eS+spWI="
    assert Signer(KEY).sign("msg_0001", NOW, body) == wanted
    assert (
        _signing.webhook_signature(_signing.webhook_key(KEY), "msg_0001", "1767225600", body.encode())
        == wanted
    )


async def test_what_is_signed_is_taken() -> None:
    answer = await push(hook(), body_of(POST), signed(body_of(POST)))
    assert (answer.status, answer.body) == (202, b"")
    assert posts(answer) == [RawPost("site", "p1", POST["text"], author="a81f", posted_at=NOW)]


async def test_the_path_is_the_channels_own() -> None:
    assert [route.path for route in hook().routes()] == ["/v1/channels/site/posts"]


@pytest.mark.parametrize("key", [KEY, OLD])
async def test_while_secrets_are_changed_both_are_valid(key: str) -> None:
    made = hook(KEY, OLD)
    assert (await push(made, body_of(POST), signed(body_of(POST), key))).status == 202
    both = signed(body_of(POST), STRANGER)
    both["Webhook-Signature"] += " " + signed(body_of(POST), key)["Webhook-Signature"]
    assert (await push(made, body_of(POST), both)).status == 202
    assert (await push(hook(KEY), body_of(POST), signed(body_of(POST), OLD))).status == 401


@pytest.mark.parametrize("seconds", [-TOLERANCE, -1, 0, 1, TOLERANCE])
async def test_a_clock_may_differ_by_five_minutes(seconds: float) -> None:
    at = NOW + timedelta(seconds=seconds)
    assert (await push(hook(), body_of(POST), signed(body_of(POST), at=at))).status == 202
    later = at + timedelta(seconds=1 if seconds > 0 else -1)
    past = abs((later - NOW).total_seconds()) > TOLERANCE
    assert (await push(hook(), body_of(POST), signed(body_of(POST), at=later))).status == (
        401 if past else 202
    )


def forgeries() -> dict[str, tuple[bytes, dict[str, str]]]:
    body = body_of(POST)
    good = signed(body)
    signature = good["Webhook-Signature"]
    return {
        "nothing": (body, {}),
        "another body": (body + b" ", good),
        "another id": (body, good | {"Webhook-Id": "msg_2"}),
        "no id": (body, signed(body, name="") | {"Webhook-Id": ""}),
        "another second": (body, good | {"Webhook-Timestamp": "1767225601"}),
        "no time": (body, {key: value for key, value in good.items() if key != "Webhook-Timestamp"}),
        "time with a point": (body, good | {"Webhook-Timestamp": "1767225600.0"}),
        "time in other digits": (body, good | {"Webhook-Timestamp": "１７６７２２５６００"}),
        "time without end": (body, good | {"Webhook-Timestamp": "9" * 5000}),
        "a stranger": (body, signed(body, STRANGER)),
        "another version": (body, good | {"Webhook-Signature": signature.replace("v1,", "v1a,")}),
        "no version": (body, good | {"Webhook-Signature": signature.removeprefix("v1,")}),
        "half": (body, good | {"Webhook-Signature": signature[:-8]}),
        "more": (body, good | {"Webhook-Signature": signature + "A"}),
        "odd characters": (body, good | {"Webhook-Signature": "v1,\udcff\udcfe中文"}),
        "too many": (body, good | {"Webhook-Signature": " ".join(["v1,AAAA"] * 1000 + [signature])}),
        "too late": (body, signed(body, at=NOW - timedelta(seconds=301))),
        "too early": (body, signed(body, at=NOW + timedelta(seconds=301))),
    }


@pytest.mark.parametrize("name", forgeries())
async def test_a_wrong_signature_is_refused_and_never_stored(name: str) -> None:
    body, headers = forgeries()[name]
    answer = await push(hook(), body, headers)
    assert (answer.status, answer.items) == (401, ())
    assert json.loads(answer.body)["type"] == "urn:huiyin:webhook.signature"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 43), bit=st.integers(0, 7), where=st.sampled_from(["signature", "body"]))
async def test_no_flipped_bit_passes(at: int, bit: int, where: str) -> None:
    body = body_of(POST)
    headers = signed(body)
    if where == "body":
        changed = bytearray(body)
        changed[at] ^= 1 << bit
        body = bytes(changed)
    else:
        raw = bytearray(base64.b64decode(headers["Webhook-Signature"].removeprefix("v1,")))
        raw[at % len(raw)] ^= 1 << bit
        headers["Webhook-Signature"] = "v1," + base64.b64encode(bytes(raw)).decode()
    assert (await push(hook(), body, headers)).status == 401


async def test_every_secret_is_compared_in_constant_time() -> None:
    assert "compare_digest" in inspect.getsource(_signing.same)
    assert "same(" in inspect.getsource(_signing.webhook_signed)
    assert "==" not in inspect.getsource(_signing.webhook_signed)
    assert "webhook_signed" in inspect.getsource(webhook.Webhook)


# --- bodies ----------------------------------------------------------------------------------------


async def test_a_list_is_taken_in_its_order_and_a_bad_one_costs_only_itself() -> None:
    rows = [
        POST,
        7,
        {"id": "p2"},
        {"text": "没有编号"},
        {**POST, "id": "p3", "kind": "edit"},
        {**POST, "kind": "?"},
    ]
    answer = await push(hook(), body_of(rows), signed(body_of(rows)))
    told = [item.reason if isinstance(item, Broken) else item.external_id for item in answer.items]
    assert (answer.status, told) == (202, ["p1", "shape", "no_text", "no_id", "p3", "kind"])
    assert [item.position for item in answer.items if isinstance(item, Broken)] == ["2", "3", "4", "6"]
    assert posts(answer)[1].kind is PostKind.EDIT


async def test_the_same_push_again_is_the_same_post() -> None:
    """The store drops it by its id: a replay of the whole request does no harm."""
    body = body_of(POST)
    first, second = [await push(hook(), body, signed(body)) for _time in range(2)]
    assert first.items == second.items


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("post.created", PostKind.POST), ("post.edited", PostKind.EDIT), ("post.removed", PostKind.REMOVAL)],
)
async def test_the_envelope_of_standard_webhooks_is_opened(kind: str, expected: PostKind) -> None:
    data = {
        "id": "box-118",
        "thread": "box",
        "parent": "box-1",
        "text": "停水",
        "author": {"id": "a81f", "name": "x"},
    }
    body = body_of({"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data})
    (post,) = posts(await push(hook(), body, signed(body)))
    assert (post.external_id, post.kind, post.author, post.reply_to) == ("box-118", expected, "a81f", "box-1")


UNREADABLE = {
    "no json": b"{",
    "empty": b"",
    "deep": b"[" * 100_000,
    "no post at all": b"[]",
    "too many": body_of([{"id": str(n), "text": "x"} for n in range(MOST + 1)]),
    "a number out of range": b'{"id": "x", "text": "x", "posted_at": 1e999}',
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_signed_body_that_cannot_be_read_is_told_and_kept_for_a_person(name: str) -> None:
    body = UNREADABLE[name]
    answer = await push(hook(), body, signed(body))
    assert answer.status == 400
    assert json.loads(answer.body)["detail"]
    (item,) = answer.items
    assert isinstance(item, Broken)
    assert item.payload == body[:65_536]


async def test_bytes_that_are_no_text_are_kept_too() -> None:
    body = b'{"id": "x", "text": "\xff"}'
    mac = _signing.webhook_signature(_signing.webhook_key(KEY), "m", "1767225600", body)
    headers = {"webhook-id": "m", "webhook-timestamp": "1767225600", "webhook-signature": mac}
    answer = await push(hook(), body, headers)
    assert answer.status == 400
    assert [item.reason for item in answer.items if isinstance(item, Broken)] == ["encoding"]


async def test_a_mebibyte_is_the_most() -> None:
    body = body_of(POST) + b" " * 1_048_576
    answer = await push(hook(), body, signed(body))
    assert (answer.status, answer.items) == (413, ())


async def test_other_methods_and_a_closed_channel_are_told() -> None:
    made, body = hook(), body_of(POST)
    answer = await push(made, b"", {}, "GET")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    await made.close()
    assert (await push(made, body, signed(body))).status == 503


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "text", "author", "type", "data", "kind", "posted_at", "url"]), inner
            )
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
)
async def test_any_signed_body_is_answered(body: bytes) -> None:
    mac = _signing.webhook_signature(_signing.webhook_key(KEY), "m", "1767225600", body)
    headers = {"webhook-id": "m", "webhook-timestamp": "1767225600", "webhook-signature": mac}
    answer = await push(hook(), body, headers)
    assert answer.status in (202, 400)
    assert answer.items


# --- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_settings", "words"),
    [
        ({}, "`secrets`"),
        ({"secrets": []}, "`secrets` is empty"),
        ({"secrets": ["password"]}, "whsec_"),
        ({"secrets": ["whsec_AAAA"]}, "24 to 64"),
        ({"secrets": ["whsec_" + "A" * 100 + "!"]}, "base64"),
        ({"secrets": "whsec_x"}, "`secrets`"),
        ({"secrets": [KEY], "secret": KEY}, "did you mean `secrets`"),
    ],
)
async def test_a_wrong_setting_is_named_and_the_secret_is_not(
    given_settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        connector(ChannelConfig("site", "webhook", given_settings))
    assert "password" not in str(told.value)
    assert KEY not in str(told.value)
