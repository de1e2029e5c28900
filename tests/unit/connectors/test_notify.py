"""Notifiers before fakes that check signatures, bytes and codes: what arrives, and what is said of what did not."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from connectors import notify_dingtalk, notify_feishu
from connectors._notify_http import LONGEST_WAIT, code_in, cut, is_address, wait_until
from connectors._notify_robot import words_of
from monitor import bootstrap
from monitor.adapters.guard import GuardedNotifier
from monitor.core.alerts import StaffMessage
from monitor.core.errors import (
    ConfigError,
    ConnectorError,
    RateLimited,
    Rejected,
    Unavailable,
    Uncertain,
)
from monitor.core.ports import Notifier, NotifierConfig
from monitor.testing.fake_mailbox import PASSWORD, USER, FakeMailbox
from monitor.testing.fake_robots import FakeRobots

ROBOTS = ("wecom", "dingtalk", "feishu")
WHSEC = "whsec_" + base64.b64encode(b"k" * 32).decode()
LINK = "https://huiyin.example.edu.cn/review"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def message(text: str = "新的紧急事项 3 件", key: str = "n1", link: str = LINK) -> StaffMessage:
    return StaffMessage(key, "回音：有紧急事项，请尽快处理", text, link, {"urgent_case": 3}, NOW)


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeRobots]:
    """Every robot, and a receiver of webhooks."""
    made = FakeRobots()
    await made.start()
    yield made
    await made.stop()


def made(kind: str, **settings: Any) -> Notifier:
    factory = bootstrap.plugins(bootstrap.NOTIFIERS)[kind].load()
    notifier: Notifier = factory(NotifierConfig("told", kind, settings))
    return notifier


def robot(fake: FakeRobots, kind: str, **more: Any) -> Notifier:
    if kind == "webhook":
        return made(kind, **{"url": fake.url(kind), "secret": WHSEC, "call_seconds": 5.0, **more})
    signed = {} if kind == "wecom" else {"sign_secret": fake.secret}
    return made(kind, **{"webhook_secret": fake.url(kind), "call_seconds": 5.0, **signed, **more})


# --- signatures ------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_makers() -> None:
    """Vectors computed with other code; the two makers swap key and message."""
    ding = notify_dingtalk.signature("SECabcdef0123456789", "1767225600000")
    assert quote(ding, safe="") == "pzu2fabYICPrvosinDuFllaGdtcID3u51hJfWtlgc%2Bk%3D"
    assert (
        notify_feishu.signature("feishuSecret123", "1767225600")
        == "jy+Px55noQfDvjeAe5X9KD731/eYJptt5OD9HHGJ8jE="
    )
    assert notify_dingtalk.signed_query("") == {}
    assert "sign" not in notify_feishu.signed_body("", "x")


# --- arriving --------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ROBOTS)
async def test_a_robot_says_counts_and_the_link_once(fake: FakeRobots, kind: str) -> None:
    notifier = robot(fake, kind)
    await notifier.send(message())
    await notifier.close()
    await notifier.close()
    assert fake.said == [(kind, f"回音：有紧急事项，请尽快处理\n新的紧急事项 3 件\n{LINK}")]


@pytest.mark.asyncio
async def test_a_webhook_is_signed_as_the_standard_says(fake: FakeRobots) -> None:
    """Checked by the standard's own library too; the same key is the same id and is counted once."""
    notifier = robot(fake, "webhook", secret=f"whsec_{base64.b64encode(b'o' * 32).decode()} {WHSEC}")
    await notifier.send(message())
    await notifier.send(message())
    ((key, body),) = fake.pushed
    assert (key, notifier.is_idempotent, fake.tries["webhook"]) == ("n1", True, 2)
    assert body["type"] == "staff.notified"
    assert body["data"]["counts"] == {"urgent_case": 3}
    assert Webhook(WHSEC).verify(*fake.last) == body


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["dingtalk", "feishu"])
async def test_a_keyword_is_put_there_where_the_robot_wants_one(fake: FakeRobots, kind: str) -> None:
    fake.keyword = "工会"
    with pytest.raises(Rejected):
        await robot(fake, kind).send(message())
    await robot(fake, kind, keyword="工会").send(message())
    assert fake.said[0][1].startswith("工会\n")


@pytest.mark.asyncio
async def test_a_long_text_is_cut_by_bytes_and_keeps_its_link(fake: FakeRobots) -> None:
    await robot(fake, "wecom").send(message("紧急" * 2000))
    ((_kind, text),) = fake.said
    assert len(text.encode()) <= 2048
    assert text.endswith(f"…\n{LINK}")


@given(st.text(max_size=400), st.integers(min_value=3, max_value=600))
def test_cutting_keeps_whole_characters(text: str, limit: int) -> None:
    found = cut(text, limit)
    assert len(found.encode()) <= limit
    whole = text.encode("utf-8", "replace").decode()
    assert found == whole if len(whole.encode()) <= limit else whole.startswith(found[:-1])


@given(st.text(max_size=200), st.text(alphabet="https:/x", max_size=300))
def test_a_text_never_grows_over_its_limit(text: str, link: str) -> None:
    assert len(words_of(message(text, link=link), 256).encode()) <= 256


# --- refused, lost, hurried ------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("wecom", 45009, RateLimited),
        ("wecom", 93000, Rejected),
        ("wecom", 40058, Rejected),
        ("dingtalk", 130101, RateLimited),
        ("dingtalk", 90030, RateLimited),
        ("dingtalk", 310000, Rejected),
        ("feishu", 11232, RateLimited),
        ("feishu", 19021, Rejected),
        ("feishu", 19022, Rejected),
        ("feishu", 9499, Rejected),
        ("feishu", 77777, Rejected),
    ],
)
async def test_an_answer_200_with_a_code_is_no_success(
    fake: FakeRobots, kind: str, code: int, error: type[ConnectorError]
) -> None:
    fake.codes[kind] = deque([code])
    with pytest.raises(error) as told:
        await robot(fake, kind).send(message())
    assert str(code) in str(told.value)
    assert "-of-the-robot" not in str(told.value)
    assert not fake.said
    if error is RateLimited:
        assert told.value.retry_at > datetime.now(UTC)  # type: ignore[attr-defined]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [*ROBOTS, "webhook"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, RateLimited),
        (503, Unavailable),
        (500, Uncertain),
        (502, Uncertain),
        (404, Rejected),
        (307, Rejected),
    ],
)
async def test_a_status_says_whether_it_arrived(
    fake: FakeRobots, kind: str, status: int, error: type[ConnectorError]
) -> None:
    fake.statuses[kind] = deque([status])
    with pytest.raises(error) as told:
        await robot(fake, kind).send(message())
    assert type(told.value) is error
    assert not fake.said, "nothing is carried on to another address"
    assert not fake.pushed


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [*ROBOTS, "webhook"])
async def test_an_answer_that_is_lost_leaves_it_open(fake: FakeRobots, kind: str) -> None:
    fake.lose[kind] = 1
    with pytest.raises(Uncertain):
        await robot(fake, kind).send(message())
    assert fake.said or fake.pushed


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [*ROBOTS, "webhook"])
async def test_nobody_at_the_address_is_surely_not_arrived(fake: FakeRobots, kind: str) -> None:
    where = (
        {"url": "http://127.0.0.1:9"}
        if kind == "webhook"
        else {"webhook_secret": "http://127.0.0.1:9/x?key=K"}
    )
    with pytest.raises(Unavailable) as told:
        await robot(fake, kind, **where).send(message())
    assert "key" not in str(told.value)


@pytest.mark.asyncio
async def test_a_wrong_secret_is_refused_and_named(fake: FakeRobots) -> None:
    with pytest.raises(Rejected, match="19021"):
        await robot(fake, "feishu", sign_secret="another").send(message())
    with pytest.raises(Rejected, match="310000"):
        await robot(fake, "dingtalk", sign_secret="another").send(message())
    with pytest.raises(Rejected, match="401"):
        await robot(fake, "webhook", secret="whsec_" + base64.b64encode(b"z" * 32).decode()).send(message())
    assert not fake.said
    assert not fake.pushed


@pytest.mark.asyncio
async def test_a_receiver_that_is_gone_is_told(fake: FakeRobots) -> None:
    fake.statuses["webhook"] = deque([410])
    with pytest.raises(Rejected, match="410"):
        await robot(fake, "webhook").send(message())


@pytest.mark.asyncio
async def test_a_page_of_a_proxy_is_no_success() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<p>Sign in</p>"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Uncertain):
        await made("wecom", webhook_secret=f"http://127.0.0.1:{port}/x").send(message())
    server.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"errcode":0}', 0),
        (b'{"StatusCode":0,"code":7}', 7),
        (b'{"StatusCode":0}', 0),
        (b'{"errcode":"0"}', None),
        (b'{"errcode":true}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_codes_in_answers(answer: bytes, code: int | None) -> None:
    assert code_in(answer, "errcode", "code", "StatusCode") == code


@given(st.binary(max_size=100))
def test_any_answer_is_read_or_is_none(answer: bytes) -> None:
    found = code_in(answer, "errcode")
    assert found is None or isinstance(found, int)


@given(
    st.one_of(
        st.text(max_size=30), st.sampled_from(["7", "0", "99999999", "Wed, 25 Nov 2026 12:00:00 GMT", "-1"])
    )
)
def test_retry_after_is_bounded(value: str) -> None:
    now = datetime.now(UTC)
    assert now < wait_until(value) <= now + timedelta(seconds=LONGEST_WAIT + 60)


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://127.0.0.1", "", "https://", "//x", "http://[x", "x"]
)
def test_only_encrypted_addresses_are_taken(url: str) -> None:
    assert not is_address(url)
    assert is_address("https://example.org/x")
    assert is_address("http://127.0.0.1:1/x")


# --- mail ------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def post_office() -> AsyncIterator[FakeMailbox]:
    """A mail server."""
    made_ = FakeMailbox()
    await made_.start()
    yield made_
    await made_.stop()


def mail(server: FakeMailbox, **more: Any) -> Notifier:
    given = {
        "host": "127.0.0.1",
        "port": server.smtp_port,
        "security": "none",
        "sender": USER,
        "password": PASSWORD,
        "name": "回音",
        "to": ["li@example.edu.cn", "Wang <wang@example.edu.cn>", "li@example.edu.cn"],
        "call_seconds": 5.0,
    }
    return made("mail", **{**given, **more})


@pytest.mark.asyncio
async def test_one_letter_goes_to_everybody(post_office: FakeMailbox) -> None:
    from connectors._mailbox_letter import head_of

    await mail(post_office).send(message())
    ((to, _data),) = post_office.sent
    (letter,) = post_office.answers()
    assert to == ["li@example.edu.cn", "wang@example.edu.cn"]
    assert head_of(letter, "x@y.cn").subject == "回音：有紧急事项，请尽快处理"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert str(letter.get_payload(decode=True), "utf-8").split() == ["新的紧急事项", "3", "件", LINK]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verb", "code", "error"),
    [
        ("RCPT", 450, Unavailable),
        ("RCPT", 550, Rejected),
        ("BODY", 451, Unavailable),
        ("AUTH", 535, Unavailable),
    ],
)
async def test_what_the_mail_server_says_is_told_without_its_words(
    post_office: FakeMailbox, verb: str, code: int, error: type[ConnectorError]
) -> None:
    post_office.faults.codes = {verb: [code, code]}
    with pytest.raises(error) as told:
        await mail(post_office).send(message())
    assert "user@secret" not in str(told.value)
    assert not post_office.sent


@pytest.mark.asyncio
async def test_a_letter_whose_answer_was_lost_is_left_open(post_office: FakeMailbox) -> None:
    post_office.faults.lose_answer = 1
    with pytest.raises(Uncertain):
        await mail(post_office).send(message())


# --- every kind ------------------------------------------------------------------------------------

GOOD: dict[str, dict[str, Any]] = {
    "wecom": {"webhook_secret": "https://qyapi.weixin.qq.com/x?key=hunter2"},
    "dingtalk": {
        "webhook_secret": "https://oapi.dingtalk.com/x?access_token=hunter2",
        "sign_secret": "hunter2",
    },
    "feishu": {"webhook_secret": "https://open.feishu.cn/hunter2"},
    "mail": {
        "host": "smtp.example.edu.cn",
        "sender": USER,
        "to": ["li@example.edu.cn"],
        "password": "hunter2",
    },
    "webhook": {"url": "https://example.edu.cn/x", "secret": WHSEC},
}


def test_every_installed_kind_is_tried_here() -> None:
    assert set(bootstrap.plugins(bootstrap.NOTIFIERS)) == set(GOOD)


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_keeps_the_contract_and_says_what_its_settings_do(kind: str) -> None:
    assert GuardedNotifier(made(kind, **GOOD[kind]), kind).name == "told"
    for field in bootstrap.settings_of(kind, bootstrap.NOTIFIERS):
        assert field.metadata["sentence"].endswith(".")
        with pytest.raises(ConfigError) as told:
            made(kind, **{**GOOD[kind], field.name: {"a": ["hunter2"]}})
        assert field.name in str(told.value)
        assert "hunter2" not in str(told.value)
    with pytest.raises(ConfigError, match=r"notifier `told`: unknown setting `tokn`"):
        made(kind, **GOOD[kind], tokn="x")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("wecom", "webhook_secret", "http://example.org/hunter2"),
        ("dingtalk", "webhook_secret", "hunter2"),
        ("feishu", "webhook_secret", ""),
        ("wecom", "call_seconds", 0),
        ("feishu", "call_seconds", -1),
        ("dingtalk", "call_seconds", 0),
        ("webhook", "call_seconds", 0),
        ("webhook", "url", "http://example.org"),
        ("webhook", "secret", "whsec_hunter2"),
        ("webhook", "secret", " "),
        ("mail", "to", []),
        ("mail", "to", ["li"]),
        ("mail", "sender", "li"),
        ("mail", "host", " "),
        ("mail", "security", "ssl"),
        ("mail", "security", "none"),
        ("mail", "port", -1),
        ("mail", "call_seconds", 0),
        ("mail", "trusted_ca", "/no/such/file"),
    ],
)
def test_settings_that_cannot_be_used_are_named_and_not_repeated(kind: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`") as told:
        made(kind, **{**GOOD[kind], key: value})
    assert "hunter2" not in str(told.value)
