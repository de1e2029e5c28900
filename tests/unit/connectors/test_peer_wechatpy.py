"""The cipher, the signatures and the fake account against wechatpy, an independent library for official accounts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wechat_scene import AES, MEMBER, OTHER_AES, make, serving
from wechatpy import WeChatClient, parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException, WeChatClientException
from wechatpy.replies import TextReply
from wechatpy.utils import WeChatSigner, check_signature

from connectors._wechat_crypto import Cipher, key_of, signature
from connectors._wechat_wire import fields_of
from monitor.testing._fake_wechat_wire import encrypt, message_xml, sealed_xml, sign
from monitor.testing.fake_wechat import FakeWeChat

APPID, TOKEN, STAMP, NONCE = "wx0123456789abcdef", "huiyinToken2026", "1767225601", "nonce123"

keys = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=43, max_size=43)
names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=32)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
in_xml = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=300)


def ours(key: str, appid: str) -> Cipher:
    found = key_of(key)
    assert found is not None
    return Cipher(found, appid)


# --- what the library encrypted and signed, we read ------------------------------------------------


@given(words, keys, names, names, names, st.integers(0, 10**12))
def test_we_read_and_sign_what_the_library_wrote(
    text: str, key: str, appid: str, token: str, nonce: str, stamp: int
) -> None:
    letter = fields_of(WeChatCrypto(token, key, appid).encrypt_message(text, nonce, str(stamp)).encode())
    assert signature(token, str(stamp), nonce, letter["Encrypt"]) == letter["MsgSignature"]
    assert ours(key, appid).decrypt(letter["Encrypt"]) == text.encode()


@pytest.mark.parametrize("size", range(65))
def test_every_length_of_the_padding_is_the_same_on_both_sides(size: int) -> None:
    """65 lengths in a row meet each padding from 1 to 32 twice, also the whole block of padding."""
    text = "x" * size
    letter = fields_of(WeChatCrypto(TOKEN, AES, APPID).encrypt_message(text, NONCE, STAMP).encode())
    assert ours(AES, APPID).decrypt(letter["Encrypt"]) == text.encode()
    assert len(base64.b64decode(letter["Encrypt"])) == len(
        base64.b64decode(encrypt(text.encode(), AES, APPID))
    )
    assert opened(encrypt(text.encode(), AES, APPID)) == text


# --- what our fake encrypted and signed, the library reads -----------------------------------------


def opened(sealed: str, key: str = AES, appid: str = APPID, token: str = TOKEN, nonce: str = NONCE) -> str:
    """Return what the library finds in an encrypted message of the fake, after it has checked its signature."""
    text: str = WeChatCrypto(token, key, appid).decrypt_message(
        sealed_xml("gh_0a1b2c3d4e5f", sealed), sign(token, STAMP, nonce, sealed), STAMP, nonce
    )
    return text


@given(words, keys, names, names, names)
def test_the_library_reads_what_the_fake_wrote(
    text: str, key: str, appid: str, token: str, nonce: str
) -> None:
    assert opened(encrypt(text.encode(), key, appid), key, appid, token, nonce) == text


@given(in_xml, st.integers(1, 2**63))
def test_the_library_parses_the_messages_of_the_fake_as_we_do(text: str, number: int) -> None:
    fields: dict[str, object] = {
        "ToUserName": "gh_0a1b2c3d4e5f",
        "FromUserName": MEMBER,
        "CreateTime": 1767225600,
        "MsgType": "text",
        "Content": text,
        "MsgId": number,
    }
    xml = opened(encrypt(message_xml(fields).encode(), AES, APPID))
    read, said = parse_message(xml), fields_of(xml.encode())
    assert (read.type, read.source, read.target, read.id) == ("text", MEMBER, "gh_0a1b2c3d4e5f", number)
    assert read.create_time.timestamp() == 1767225600
    assert (read.content or "") == said["Content"].strip() == text.strip()  # the library cuts blanks off


KINDS = [
    ({"MsgType": "image", "PicUrl": "http://127.0.0.1/p", "MediaId": "m1"}, "image"),
    ({"MsgType": "voice", "MediaId": "m2", "Format": "amr", "Recognition": "停水了"}, "voice"),
    ({"MsgType": "video", "MediaId": "m3", "ThumbMediaId": "t"}, "video"),
    ({"MsgType": "location", "Location_X": "23.1", "Location_Y": "113.3", "Scale": "16", "Label": "三食堂"}, "location"),
    ({"MsgType": "link", "Title": "通知", "Description": "停水", "Url": "http://127.0.0.1/"}, "link"),
    ({"MsgType": "event", "Event": "subscribe", "EventKey": ""}, "event"),
    ({"MsgType": "event", "Event": "CLICK", "EventKey": "menu"}, "event"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kind"), KINDS)
def test_the_library_knows_every_kind_of_message_that_we_know(fields: dict[str, str], kind: str) -> None:
    head: dict[str, object] = {"ToUserName": "gh", "FromUserName": MEMBER, "CreateTime": 1767225600}
    number: dict[str, object] = {} if kind == "event" else {"MsgId": 7}
    read = parse_message(opened(encrypt(message_xml(head | fields | number).encode(), AES, APPID)))
    assert (read.type, read.source) == (kind, MEMBER)
    assert "Unknown" not in type(read).__name__


# --- signatures ------------------------------------------------------------------------------------


@given(names, st.integers(0, 10**12), names, words)
def test_signatures_are_the_same(token: str, stamp: int, nonce: str, more: str) -> None:
    signer = WeChatSigner()
    signer.add_data(token, str(stamp), nonce, more)
    assert (
        signature(token, str(stamp), nonce, more) == sign(token, str(stamp), nonce, more) == signer.signature
    )
    check_signature(token, signature(token, str(stamp), nonce), str(stamp), nonce)
    with pytest.raises(InvalidSignatureException):
        check_signature(token + "x", signature(token, str(stamp), nonce), str(stamp), nonce)


# --- the route -------------------------------------------------------------------------------------


def letter(text: str, number: int, crypto: WeChatCrypto) -> tuple[dict[str, str], bytes]:
    """Return query and body of a push that nobody but the library has written, encrypted and signed."""
    reply = TextReply(source=MEMBER, target="gh_0a1b2c3d4e5f", content=text)
    xml = reply.render().replace("</xml>", f"<MsgId>{number}</MsgId></xml>")
    body = crypto.encrypt_message(xml, NONCE, STAMP)
    signer = WeChatSigner()
    signer.add_data(TOKEN, STAMP, NONCE)
    query = {"timestamp": STAMP, "nonce": NONCE, "signature": signer.signature, "encrypt_type": "aes"}
    return query | {
        "msg_signature": fields_of(body.encode())["MsgSignature"],
        "openid": MEMBER,
    }, body.encode()


@pytest.mark.asyncio
async def test_route_takes_what_the_library_pushes() -> None:
    texts = ["停水了", "&<>]] \"'", "🙂 第二行\n第三行", "x" * 2000]
    crypto = WeChatCrypto(TOKEN, AES, APPID)
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        assert (fake.token, fake.appid) == (TOKEN, APPID)
        for number, text in enumerate(texts, 1):
            assert await fake.post(service.url, *letter(text, number, crypto)) == (200, "success")
        assert service.intake.said() == texts
        assert [post.external_id for post in service.intake.posts] == ["m:1", "m:2", "m:3", "m:4"]
        assert {post.author for post in service.intake.posts} == {MEMBER}


@pytest.mark.asyncio
async def test_route_and_library_refuse_the_same() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        query, body = letter("停水了", 1, WeChatCrypto(TOKEN, AES, APPID))
        wrong: list[tuple[dict[str, str], bytes]] = [
            (query | {"msg_signature": "0" * 40}, body),
            (query | {"nonce": "another"}, body),
            letter("停水了", 1, WeChatCrypto("anotherToken", AES, APPID)),
        ]
        theirs = WeChatCrypto(TOKEN, AES, APPID)
        for asked, sent in wrong:
            assert (await fake.post(service.url, asked, sent))[0] == 403
            with pytest.raises(InvalidSignatureException):
                theirs.decrypt_message(sent, asked["msg_signature"], asked["timestamp"], asked["nonce"])
        other = letter("停水了", 1, WeChatCrypto(TOKEN, AES, "wx0000000000000000"))
        assert (await fake.post(service.url, *other))[0] == 403
        with pytest.raises(InvalidAppIdException):
            theirs.decrypt_message(other[1], other[0]["msg_signature"], STAMP, NONCE)
        assert service.intake.items == []
        assert service._wechat.counts["refused.signature"] == 3
        assert service._wechat.counts["refused.appid"] == 1


@pytest.mark.asyncio
async def test_route_reads_the_former_key_of_the_library_after_a_change() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake, aes_secret=f"{OTHER_AES} {AES}")) as service:
        for number, key in enumerate((AES, OTHER_AES), 1):
            sent = letter(f"第{number}句", number, WeChatCrypto(TOKEN, key, APPID))
            assert await fake.post(service.url, *sent) == (200, "success")
        assert service.intake.said() == ["第1句", "第2句"]


# --- the interface of the fake ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_library_answers_a_member_through_the_fake() -> None:
    """Words arrive as they are, and a refusal is the code that the library knows how to read."""
    async with FakeWeChat(AES) as fake:
        client = WeChatClient(fake.appid, fake.secret, access_token="ACCESS_0", timeout=60, auto_retry=False)
        client.API_BASE_URL = f"{fake.url}/cgi-bin/"

        async def send(openid: str) -> Any:
            call: Callable[..., Any] = client.message.send_text
            return await asyncio.to_thread(call, openid, "已转后勤处🙂 “今天”答复")

        fake.open_window(MEMBER)
        assert (await send(MEMBER))["errcode"] == 0
        assert [(one.openid, one.text) for one in fake.sent] == [(MEMBER, "已转后勤处🙂 “今天”答复")]
        with pytest.raises(WeChatClientException) as refused:
            await send("a-stranger")
        assert refused.value.errcode == 45015
        fake.expire()
        with pytest.raises(WeChatClientException) as expired:
            await send(MEMBER)
        assert expired.value.errcode == 42001
        client._http.close()
