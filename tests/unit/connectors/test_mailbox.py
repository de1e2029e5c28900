"""A letter box at work before a fake mail server: what real ones do, and answers that leave once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from connectors._mailbox_imap import BEGINNING, LARGEST
from connectors._mailbox_letter import head_of, parsed
from connectors.mailbox import Mailbox, connector
from monitor.core.errors import ConfigError, ConnectorError, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.desk import Desk, effect
from monitor.testing.fake_mailbox import PASSWORD, USER, FakeMailbox, Letter

pytestmark = pytest.mark.asyncio
MEMBER = "zhang@example.edu.cn"


def letter(text: str = "三食堂停水", **headers: str) -> bytes:
    given = {
        "From": f"Zhang <{MEMBER}>",
        "Subject": "Re:",
        "Message-ID": f"<{abs(hash(text))}@example.edu.cn>",
        "Content-Type": "text/plain; charset=utf-8",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return "".join(f"{k}: {v}\r\n" for k, v in given.items() if v).encode() + b"\r\n" + text.encode()


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeMailbox]:
    """A mail server with an empty box."""
    made = FakeMailbox()
    await made.start()
    yield made
    await made.stop()


def settings_for(fake: FakeMailbox, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": fake.imap_port,
        "security": "none",
        "user": USER,
        "password": PASSWORD,
        "name": "校工会信箱",
        "smtp_host": "127.0.0.1",
        "smtp_port": fake.smtp_port,
        "smtp_security": "none",
        "poll_seconds": 0.02,
        "call_seconds": 3.0,
        "retry_seconds": 0.05,
        **more,
    }


def made(fake: FakeMailbox, **more: Any) -> Mailbox:
    return connector(ChannelConfig("box", "mailbox", settings_for(fake, **more)))


def answer_to(fake: FakeMailbox, put: Letter, kind: EffectKind = EffectKind.REPLY, **fields: Any) -> Effect:
    key = head_of(parsed(put.data), USER, put.data.partition(b"\r\n\r\n")[2].strip()).key
    return effect(kind, "box", handle=f"{fake.inbox.validity}.{put.uid}.{key}", **fields)


async def heard(box: Mailbox, desk: Desk, count: int) -> None:
    async with desk.at_work(box):
        await desk.until(lambda: len(desk.texts) >= count and desk.cursor)


# --- reading ---------------------------------------------------------------------------------------


async def test_the_last_letter_is_not_read_again_though_the_server_names_it(fake: FakeMailbox) -> None:
    """``UID n:*`` names the last letter even below n."""
    fake.inbox.put(letter())
    desk = Desk()
    async with desk.at_work(made(fake)):
        await desk.until(lambda: fake.commands["UID SEARCH"] >= 4)
    assert sum(desk.handed.values()) == 1


async def test_letters_stay_unseen_and_the_folder_is_opened_for_reading_only(fake: FakeMailbox) -> None:
    put = fake.inbox.put(letter())
    await heard(made(fake), Desk(), 1)
    assert not put.flags
    assert not fake.commands["SELECT"]


async def test_a_new_count_of_the_server_doubles_nothing(fake: FakeMailbox) -> None:
    """UIDVALIDITY changed: every letter is read again, under the id it had."""
    for n in range(3):
        fake.inbox.put(letter(f"第 {n} 封"))
    desk = Desk()
    await heard(made(fake), desk, 3)
    before = dict(desk.texts)
    fake.inbox.rebuild()
    fake.inbox.put(letter("第 4 封"))
    await heard(made(fake), desk, 4)
    assert len(desk.texts) == 4
    assert before.items() <= desk.texts.items()


async def test_what_is_older_than_the_first_days_is_left_alone(fake: FakeMailbox) -> None:
    """And what comes later is read, whatever its date."""
    fake.inbox.put(letter("去年的信"), datetime.now(UTC) - timedelta(days=300))
    desk = Desk()
    async with desk.at_work(made(fake)):
        await desk.until(lambda: desk.cursor)
        fake.inbox.put(letter("今年的信"))
        await desk.until(lambda: desk.texts)
    assert desk.said() == ["今年的信"]


async def test_a_connection_that_ends_in_the_middle_costs_nothing(fake: FakeMailbox) -> None:
    """BYE while letters are being fetched: they are fetched again, and handed over once."""
    for n in range(30):
        fake.inbox.put(letter(f"第 {n} 封"))
    desk = Desk()
    async with desk.at_work(made(fake)):
        for cut in (3, 9, 15):
            fake.faults.bye_after = cut
            await desk.until(lambda: fake.faults.bye_after == 0)
            fake.faults.bye_after = -1
        await desk.until(lambda: len(desk.texts) == 30)
    assert max(desk.handed.values()) == 1


async def test_a_huge_letter_is_read_as_far_as_its_words(fake: FakeMailbox) -> None:
    """Thirty megabytes of photographs behind a paragraph: only the beginning is fetched."""
    head = letter("请看照片", Content_Type="multipart/mixed; boundary=b", Subject="停水").partition(
        b"\r\n\r\n"
    )[0]
    body = b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + "三食堂停水".encode()
    photo = (
        b"\r\n--b\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"AAAA" * 7_500_000
    )
    fake.inbox.put(head + body + photo + b"\r\n--b--\r\n")
    fake.inbox.put(head.replace(b"Message-ID: <", b"Message-ID: <2") + b"\r\n\r\n--b" + photo)
    desk = Desk()
    async with desk.at_work(made(fake)):
        await desk.until(lambda: desk.texts and len(desk.items) == 2)
    assert desk.said() == ["停水\n三食堂停水"] or desk.said()[0] == "停水\n三食堂停水"
    assert LARGEST > BEGINNING


async def test_a_huge_letter_without_words_is_put_aside(fake: FakeMailbox) -> None:
    head = letter("", Content_Type="multipart/mixed; boundary=b", Subject="").partition(b"\r\n\r\n")[0]
    fake.inbox.put(head + b"\r\n\r\n" + b"x" * (LARGEST + 1))
    desk = Desk()
    async with desk.at_work(made(fake)):
        await desk.until(lambda: desk.broken)
    assert desk.broken[0].reason == "too_large"
    assert desk.broken[0].position == "UID 1"


async def test_machines_are_left_out_or_put_aside_and_health_says_so(fake: FakeMailbox) -> None:
    fake.inbox.put(letter("我在休假", Auto_Submitted="auto-replied"))
    fake.inbox.put(letter("无法投递", Return_Path="<>", Message_ID="<b@mx>"))
    fake.inbox.put(letter("真的信"))
    desk, box = Desk(), made(fake)
    async with desk.at_work(box):
        await desk.until(lambda: desk.texts)
        health = await box.check()
    assert desk.said() == ["真的信"]
    assert [item.reason for item in desk.broken] == ["bounce"]
    assert health.ok
    assert "1 封自动回复" in health.message
    assert "1 封退信" in health.message


async def test_letters_without_an_id_are_told_apart(fake: FakeMailbox) -> None:
    for words in ("甲", "乙", "甲"):
        fake.inbox.put(letter(words, Message_ID=""))
    desk = Desk()
    async with desk.at_work(made(fake)):
        await desk.until(lambda: sum(desk.handed.values()) == 3)
    assert sorted(desk.said()) == ["乙", "甲"]


# --- answering -------------------------------------------------------------------------------------


async def test_an_answer_stands_in_the_thread_and_leaves_once(fake: FakeMailbox) -> None:
    """The same effect again finds its copy in the folder of sent letters and sends nothing."""
    put = fake.inbox.put(
        letter(References="<0@a> <1@a>", Subject="=?utf-8?B?5YGc5rC0?=", Message_ID=f"<{'9' * 150}@b>")
    )
    box, told = made(fake), answer_to(fake, put)
    receipts = {await box.perform(told, None) for _time in range(3)}
    (answer,) = fake.answers()
    assert fake.sent[0][0] == [MEMBER]
    assert answer["In-Reply-To"] == f"<{'9' * 150}@b>"
    assert answer["References"].split() == ["<0@a>", "<1@a>", f"<{'9' * 150}@b>"]
    assert str(answer.get_payload(decode=True), "utf-8").strip().replace("\r\n", "\n") == told.text
    assert head_of(answer, USER).subject == "Re: 停水"
    assert answer["Auto-Submitted"] is None
    (copy,) = fake.folders["Sent"].letters
    assert copy.flags == {"\\Seen"}
    assert len(receipts) == 1
    assert await box.read_back(told) in receipts
    await box.close()


async def test_a_notice_says_that_a_machine_wrote_it(fake: FakeMailbox) -> None:
    await made(fake).perform(answer_to(fake, fake.inbox.put(letter()), EffectKind.NOTICE), None)
    assert fake.answers()[0]["Auto-Submitted"] == "auto-generated"


async def test_nobody_knows_whether_a_letter_arrived_whose_answer_was_lost(fake: FakeMailbox) -> None:
    """The copy stays a draft: reading back hands it to a person, and nothing is sent twice by itself."""
    put = fake.inbox.put(letter())
    box, told = made(fake), answer_to(fake, put)
    assert await box.read_back(told) is None, "nothing was tried yet"
    fake.faults.lose_answer = 1
    with pytest.raises(Uncertain):
        await box.perform(told, None)
    with pytest.raises(Rejected, match="nobody knows"):
        await box.read_back(told)
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    ("verb", "code", "error"),
    [("RCPT", 450, Unavailable), ("RCPT", 550, Rejected), ("MAIL", 421, Unavailable), ("BODY", 452, Unavailable),
     ("BODY", 554, Rejected), ("AUTH", 535, Unavailable), ("EHLO", 500, Unavailable)],
)  # fmt: skip
async def test_what_the_server_refuses_was_surely_not_sent(
    fake: FakeMailbox, verb: str, code: int, error: type[ConnectorError]
) -> None:
    """4xx may pass later, 5xx will not; its words are not repeated, and no copy stays behind."""
    box, told = made(fake), answer_to(fake, fake.inbox.put(letter()))
    fake.faults.codes = {verb: [code, code, code], "HELO": [code]}
    with pytest.raises(error) as refused:
        await box.perform(told, None)
    assert "user@secret" not in str(refused.value)
    assert not fake.sent
    assert await box.read_back(told) is None
    fake.faults.codes = {}
    await box.perform(told, None)
    assert len(fake.sent) == 1


async def test_the_letter_is_found_again_after_a_new_count(fake: FakeMailbox) -> None:
    fake.inbox.put(letter("别的"))
    put = fake.inbox.put(letter())
    told = answer_to(fake, put)
    del fake.inbox.letters[0]
    fake.inbox.rebuild()
    await made(fake).perform(told, None)
    assert fake.answers()[0]["In-Reply-To"] == parsed(put.data)["Message-ID"]


async def test_a_copy_is_found_where_the_server_does_not_search_headers(fake: FakeMailbox) -> None:
    fake.faults.deaf_search = True
    box, told = made(fake), answer_to(fake, fake.inbox.put(letter()))
    assert await box.perform(told, None) == await box.perform(told, None) == await box.read_back(told)
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Precedence": "list"},
        {"Auto_Submitted": "auto-replied"},
        {"From": "nobody"},
        {"From": USER},
        {"Return_Path": "<>"},
    ],
)
async def test_machines_and_strange_addresses_are_never_answered(
    fake: FakeMailbox, headers: dict[str, str]
) -> None:
    with pytest.raises(Rejected):
        await made(fake).perform(answer_to(fake, fake.inbox.put(letter(**headers))), None)
    assert not fake.sent


@pytest.mark.parametrize("handle", [None, "", "nonsense", "1.2", "1.99.abc", "9" * 50 + ".1.x", "1.1.h00"])
async def test_an_effect_that_leads_nowhere_is_refused(fake: FakeMailbox, handle: str | None) -> None:
    fake.inbox.put(letter())
    with pytest.raises(Rejected):
        await made(fake).perform(effect(EffectKind.REPLY, "box", handle=handle), None)


async def test_headers_cannot_be_put_into_an_answer(fake: FakeMailbox) -> None:
    evil = letter(Subject="=?utf-8?Q?x=0D=0ABcc:_evil@example.org?=", References="<a@b>\r\n <c\x0b@d> <ok@e>")
    await made(fake, name="工会\nX: y").perform(answer_to(fake, fake.inbox.put(evil)), None)
    (answer,) = fake.answers()
    assert answer["Bcc"] is None
    assert answer["X"] is None
    assert fake.sent[0][0] == [MEMBER]


async def test_without_copies_nothing_is_claimed(fake: FakeMailbox) -> None:
    """Where the provider keeps copies itself, only one that is there says something."""
    put = fake.inbox.put(letter())
    box, told = made(fake, keep_sent=False), answer_to(fake, put)
    await box.perform(told, None)
    with pytest.raises(Rejected, match="no copy"):
        await box.read_back(told)
    fake.folders["Sent"].put(fake.sent[0][1], flags="\\Seen")
    assert await box.read_back(told)


async def test_a_server_without_drafts_is_told(fake: FakeMailbox) -> None:
    fake.faults.no_drafts = True
    with pytest.raises(Rejected, match="keep_sent"):
        await made(fake).perform(answer_to(fake, fake.inbox.put(letter())), None)
    assert not fake.sent


async def test_the_folder_of_sent_letters_is_found_or_made(fake: FakeMailbox) -> None:
    del fake.folders["Sent"]
    fake.folders["&XfJT0ZAB-"] = type(fake.inbox)()
    await made(fake).perform(answer_to(fake, fake.inbox.put(letter())), None)
    assert len(fake.folders["&XfJT0ZAB-"].letters) == 1
    del fake.folders["&XfJT0ZAB-"]
    await made(fake).perform(answer_to(fake, fake.inbox.put(letter("又"))), None)
    assert len(fake.folders["Sent"].letters) == 1


# --- settings and health ---------------------------------------------------------------------------


async def test_a_box_without_a_server_for_sending_only_listens(fake: FakeMailbox) -> None:
    box = made(fake, smtp_host="")
    assert box.capabilities == {Capability.LISTEN}
    with pytest.raises(Rejected, match="smtp_host"):
        await box.perform(answer_to(fake, fake.inbox.put(letter())), None)
    assert (await box.check()).ok


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"password": "wrong-one"}, "授权码"),
        ({"folder": "不存在"}, "folder"),
        ({"smtp_password": "wrong-one"}, "smtp_password"),
        ({"port": 1}, "host"),
        ({"smtp_port": 1}, "smtp_host"),
    ],
)
async def test_health_names_the_mend(fake: FakeMailbox, more: dict[str, Any], words: str) -> None:
    health = await made(fake, **more).check()
    assert not health.ok
    assert words in health.message
    assert "wrong-one" not in health.message


async def test_what_is_no_mail_server_is_told(fake: FakeMailbox) -> None:
    fake.faults.page = True
    health = await made(fake).check()
    assert not health.ok


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("security", "ssl"),
        ("security", "none"),
        ("smtp_security", "none"),
        ("port", 70_000),
        ("address", "gonghui"),
        ("poll_seconds", 0),
        ("first_days", -1),
        ("host", " "),
        ("trusted_ca", "/no/such/file"),
    ],
)
async def test_settings_that_cannot_be_used_are_named(key: str, value: Any) -> None:
    given = {"host": "imap.example.edu.cn", "user": USER, "password": "x", "smtp_host": "smtp.example.edu.cn"}
    connector(ChannelConfig("box", "mailbox", given))
    with pytest.raises(ConfigError, match=key):
        connector(ChannelConfig("box", "mailbox", {**given, key: value}))


async def test_the_cursor_is_small_and_holds_no_words(fake: FakeMailbox) -> None:
    fake.inbox.put(letter())
    desk = Desk()
    await heard(made(fake), desk, 1)
    told = json.loads(desk.cursor or "")
    assert told["v"] == fake.inbox.validity
    assert told["u"] == 1
    assert set(told) == {"v", "u", "since"}


async def test_closing_ends_a_call_that_waits(fake: FakeMailbox) -> None:
    """A server that never answers: closing does not wait for it."""
    hung = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    desk, box = Desk(), made(fake, port=port, call_seconds=600.0)
    begun = asyncio.get_running_loop().time()
    async with desk.at_work(box):
        await asyncio.sleep(0.2)
    assert asyncio.get_running_loop().time() - begun < 60
    hung.set()
    silent.close()
