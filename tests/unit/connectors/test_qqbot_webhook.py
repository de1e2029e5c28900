"""Listening over signed pushes: the signature, the question about the address, acknowledgement, gaps."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from qqbot_scene import GROUP, MEMBER, Intake, listening, make, served, until

from connectors import qqbot
from connectors._qqbot_sign import is_signed, key_of, validation
from connectors.qqbot import QQBot
from monitor.testing.fake_qqbot import FakeQQBot

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def hooked() -> AsyncIterator[tuple[FakeQQBot, QQBot, Intake]]:
    """Yield a platform that pushes to a served bot."""
    async with FakeQQBot() as fake:
        bot, intake = make(fake, mode="webhook"), Intake()
        async with listening(bot, intake), served(bot, intake) as url:
            fake.hook(url)
            yield fake, bot, intake


# --- signatures, by the vectors of the reference ---------------------------------------------------


async def test_answer_to_the_question_is_that_of_the_vector() -> None:
    wanted = (
        "87befc99c42c651b3aac0278e71ada338433ae26fcb24307bdc5ad38c1adc2d0"
        "1bcfcadc0842edac85e85205028a1132afe09280305f13aa6909ffc2d652c706"
    )
    assert validation(key_of("DG5g3B4j9X2KOErG"), "Arq0D5A61EgUu4OxUvOp", "1725442341") == wanted


async def test_push_of_the_vector_is_signed_and_any_change_is_not() -> None:
    key, stamp, body = key_of("naOC0ocQE3shWLAfffVLB1rhYPG7"), "1767225600", b'{"op":0,"d":{},"t":"X"}'
    signature = (
        "6717d5a7338ba4284ac09f88eb631d25f2d9b3d3d64d1ca65c43ea112ba88cb1"
        "3bd7593e38721ec3e5f5dcac303e1b702e8224020f2b39ad307722657f888808"
    )
    assert list(key.public_key().public_bytes_raw()[:4]) == [215, 195, 98, 254]
    headers = {"x-signature-ed25519": signature, "X-SIGNATURE-TIMESTAMP": stamp}
    assert is_signed(key, headers, body, 1767225600)
    assert is_signed(key, headers, body, 1767225600 + 299)
    assert not is_signed(key, headers, body, 1767225600 + 301)
    assert not is_signed(key, headers, body, 1767225600 - 301)
    assert not is_signed(key, headers, body + b" ", 1767225600)
    assert not is_signed(key_of("another"), headers, body, 1767225600)
    for bad in ("", "zz", signature[:-2], signature + "00", signature[:-2] + "e8", "00" * 64):
        assert not is_signed(key, headers | {"x-signature-ed25519": bad}, body, 1767225600)
    for bad in ("", "1767225601", "-1", "1" * 40, "１７６７２２５６００"):
        assert not is_signed(key, headers | {"X-SIGNATURE-TIMESTAMP": bad}, body, 1767225600)


@pytest.mark.parametrize("length", [1, 8, 16, 28, 32, 40])
async def test_any_length_of_secret_makes_a_key(length: int) -> None:
    secret = "k" * length
    made = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    assert key_of(secret).private_bytes_raw() == made.private_bytes_raw()


@pytest.mark.parametrize(
    ("plain", "stamp"),
    [
        ('{"op":0}', "1725442341"),
        ("ok", '1725442341{"op":0}'),
        ("", "1"),
        ("ok", ""),
        (1, "1"),
        ("ok", 1),
        (None, None),
    ],
)
async def test_nothing_that_could_be_a_push_is_signed(plain: object, stamp: object) -> None:
    assert validation(key_of("DG5g3B4j9X2KOErG"), plain, stamp) is None


# --- pushes ----------------------------------------------------------------------------------------


async def test_pushed_message_is_stored_and_acknowledged() -> None:
    async with hooked() as (fake, bot, intake):
        await fake.say(GROUP, MEMBER, "三食堂又停水了")
        assert fake.statuses == [200]
        assert intake.said() == ["三食堂又停水了"]
        _status, body = await fake.push(b'{"op":0,"t":"FRIEND_ADD","d":{}}')
        assert json.loads(body) == {"op": 12, "d": 0}
        assert bot.counts["pushed"] == 2
        assert fake.frames == []  # nobody connects to the gateway


async def test_push_that_comes_again_is_told_again_for_the_first_may_not_be_stored() -> None:
    async with hooked() as (fake, _bot, intake):
        data = fake.message(GROUP, MEMBER, "一")
        for _time in range(2):
            await fake.emit("GROUP_MESSAGE_CREATE", data)
        assert [post.external_id for post in intake.posts] == [data["id"]] * 2
        assert len(intake.texts) == 1


async def test_unsigned_and_wrongly_signed_pushes_are_refused_and_told() -> None:
    async with hooked() as (fake, bot, intake):
        fake.group(GROUP)
        body = json.dumps(
            {"op": 0, "t": "GROUP_MESSAGE_CREATE", "d": fake.message(GROUP, MEMBER, "假")}
        ).encode()
        for headers in ({}, fake.signed(body + b" "), fake.signed(body, str(int(time.time()) - 400))):
            status, _answer = await fake.push(body, headers)
            assert status == 401
        assert (await fake.push(b"{not json", {}))[0] == 401
        assert intake.items == []
        assert "签名不对" in (await bot.check()).message
        await fake.push(body)
        assert "签名不对" not in (await bot.check()).message
    assert bot.counts["signature_refused"] == 3


async def test_push_for_another_bot_is_refused() -> None:
    async with hooked() as (fake, bot, intake):
        body = b'{"op":0,"t":"FRIEND_ADD","d":{}}'
        assert (await fake.push(body, fake.signed(body) | {"X-Bot-Appid": "102000002"}))[0] == 401
        assert bot.counts["other_bot"] == 1
        assert intake.items == []


async def test_question_about_the_address_is_answered_signed_or_not() -> None:
    async with hooked() as (fake, bot, _intake):
        asked = json.dumps({"op": 13, "d": {"plain_token": "Arq0D5A61EgUu4OxUvOp", "event_ts": "1725442341"}})
        for headers in (None, {}):
            status, answer = await fake.push(asked.encode(), headers)
            assert status == 200
            given = json.loads(answer)
            assert given["plain_token"] == "Arq0D5A61EgUu4OxUvOp"
            key = key_of(fake.secret).public_key()
            key.verify(bytes.fromhex(given["signature"]), b"1725442341Arq0D5A61EgUu4OxUvOp")
        assert (await fake.push(asked.encode(), fake.signed(b"other")))[0] == 401
        status, _answer = await fake.push(
            json.dumps({"op": 13, "d": {"plain_token": "{}", "event_ts": "1"}}).encode()
        )
        assert status == 400
        assert (await fake.push(b'{"op":13}'))[0] == 400
    assert bot.counts["validated"] == 2


async def test_signed_garbage_is_kept_and_acknowledged() -> None:
    async with hooked() as (fake, _bot, intake):
        bodies = (
            b"[" * 100_000,
            b"{not json",
            b'{"a":"\xff"}',
            b'"text"',
            b'{"op":0,"t":"GROUP_MESSAGE_CREATE"}',
        )
        for body in (*bodies, b'{"x":"' + b"y" * 1_100_000 + b'"}'):
            assert (await fake.push(body))[0] == 200
    assert [item.reason for item in intake.broken] == [
        "too_deep", "json", "encoding", "shape", "shape", "too_large"
    ]  # fmt: skip


async def test_only_posting_is_taken_and_only_where_messages_are_pushed() -> None:
    async with FakeQQBot() as fake:
        assert make(fake).routes() == ()
        bot = make(fake, mode="webhook")
        assert [route.path for route in bot.routes()] == ["/qqbot/bot"]
    await bot.close()


# --- gaps ------------------------------------------------------------------------------------------


async def test_time_in_which_nobody_could_be_reached_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeQQBot() as fake:
        intake = Intake()
        now = [time.time()]
        for away in (0.0, 100.0, 1000.0):
            now[0] += away
            bot = make(fake, mode="webhook")
            bot._clock = bot._inbox._now = lambda: now[0]
            async with listening(bot, intake):
                before = intake.cursor
                await until(lambda: intake.cursor != before)  # noqa: B023
    (gap,) = intake.broken
    assert gap.reason == "gap"
    assert gap.position is not None


async def test_notes_go_on_while_nobody_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qqbot, "MARK_SECONDS", 0.02)
    async with hooked() as (_fake, bot, intake):
        await until(lambda: bot._inbox._count > 3)
        assert intake.items == []
