"""The encryption of pushes against the published vector, and against a second implementation written here."""

from __future__ import annotations

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as Aes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from connectors._wechat_crypto import Cipher, OtherAccount, key_of, signature
from connectors._wechat_ids import MAX_OPENID, Article, Comment, Members, article_of, comment_of
from connectors._wechat_state import numbers_of, ranges_of
from monitor.core.errors import Malformed
from monitor.testing._fake_wechat_wire import encrypt, sign

KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APPID = "wx0123456789abcdef"
TOKEN, STAMP, NONCE = "huiyinToken2026", "1767225601", "nonce123"
XML = (
    "<xml><ToUserName><![CDATA[gh_0a1b2c3d4e5f]]></ToUserName><FromUserName><![CDATA[oABC-test_openid]]>"
    "</FromUserName><CreateTime>1767225600</CreateTime><MsgType><![CDATA[text]]></MsgType><Content>"
    "<![CDATA[年休假工资怎么算？]]></Content><MsgId>24681012141618202</MsgId></xml>"
)
SEALED = (
    "Q3stYC6hdFzMh9T8HCvyDP/Zc0LGKOghFAotQGFQSbATG6nznDrDmhi2AIugakrYPmoIxMeOl3v+AV/lbIAdlVIvsyC75gl+HBtoy91aC+tT"
    "Cfwi0JCA/MTYmuy06PoJhaSdLkyRsiK/jCztEjEM4Uib+iM0kdb6yWqcZbh5ejM8WUcn0lAA4hYI2dcNkoeUfExQag7QOo8HmIa6n7t9qs7T"
    "V1rMqxHxynUOdPAT3noZVxTObqNjRIZdggGgstxZqlE9h4Sa49L10QRkHMnMKwpNrGpIYGScSzFuMaYh6ylgsD7qhMlKIrJxETO43DzvCGfa"
    "ISYLAiadF7ppZeWWmXJhRPIVjmzLvle6BMOwAcQNlsll+XmMxlESaCgN99HelsASh8FAzaziU7QWRmvJMnZk1L9mqXMzUsl1v15tmg4="
)


def cipher(appid: str = APPID, key: str = KEY) -> Cipher:
    found = key_of(key)
    assert found is not None
    return Cipher(found, appid)


def written(plain: bytes, key: bytes) -> str:
    """Encrypt as the documentation says, with nothing but the block cipher: the second implementation."""
    size = 32 - len(plain) % 32
    writer = Aes(AES(key), CBC(key[:16])).encryptor()
    return base64.b64encode(writer.update(plain + bytes([size]) * size) + writer.finalize()).decode()


def laid_out(xml: bytes, appid: str, prefix: bytes) -> bytes:
    return prefix + struct.pack(">I", len(xml)) + xml + appid.encode()


def test_published_vector() -> None:
    assert signature(TOKEN, STAMP, NONCE) == "baf7cfcbefb5750889b71e3800f2c1d5054c27b5"
    assert signature(TOKEN, STAMP, NONCE, SEALED) == "cbdcb75d49d4c7a00f4afcb7fa24e0fbad579336"
    assert len(XML.encode()) == 280
    assert cipher().decrypt(SEALED) == XML.encode()


def test_fake_and_second_implementation_write_the_published_vector() -> None:
    key = base64.b64decode(KEY + "=")
    assert written(laid_out(XML.encode(), APPID, b"0123456789abcdef"), key) == SEALED
    assert encrypt(XML.encode(), KEY, APPID, b"0123456789abcdef") == SEALED
    assert sign(TOKEN, STAMP, NONCE) == hashlib.sha1(b"1767225601huiyinToken2026nonce123").hexdigest()


@given(
    st.binary(max_size=200),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.text(max_size=20),
)
def test_reads_whatever_the_second_implementation_wrote(
    xml: bytes, key: bytes, prefix: bytes, appid: str
) -> None:
    assert Cipher(key, appid).decrypt(written(laid_out(xml, appid, prefix), key)) == xml


@given(st.binary(max_size=200))
def test_every_padding_from_1_to_32_is_right_and_a_wrong_one_is_refused(xml: bytes) -> None:
    key = base64.b64decode(KEY + "=")
    plain = laid_out(xml, APPID, b"p" * 16)
    size = 32 - len(plain) % 32
    writer = Aes(AES(key), CBC(key[:16])).encryptor()
    wrong = writer.update(plain + bytes([size]) * (size - 1) + bytes([33])) + writer.finalize()
    with pytest.raises(Malformed) as error:
        cipher().decrypt(base64.b64encode(wrong).decode())
    assert error.value.reason == "cipher"


def test_every_byte_of_the_padding_counts() -> None:
    key = base64.b64decode(KEY + "=")
    plain = laid_out(b"x" * 9, "", b"p" * 16)
    for spoilt in range(2):  # 29 bytes and 3 of padding
        padding = bytearray(b"\x03\x03\x03")
        padding[spoilt] = 4
        writer = Aes(AES(key), CBC(key[:16])).encryptor()
        sealed = writer.update(plain + bytes(padding)) + writer.finalize()
        with pytest.raises(Malformed):
            cipher("").decrypt(base64.b64encode(sealed).decode())


@given(st.binary(max_size=400))
def test_anything_else_is_malformed_and_never_another_error(data: bytes) -> None:
    with pytest.raises(Malformed):
        cipher().decrypt(base64.b64encode(data).decode())
    with pytest.raises(Malformed):
        cipher().decrypt(data.decode("latin-1") + "!")


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32 - 1])
def test_impossible_lengths_inside_are_refused(size: int) -> None:
    key = base64.b64decode(KEY + "=")
    plain = b"p" * 16 + struct.pack(">I", size) + b"short" + APPID.encode()
    with pytest.raises(Malformed):
        cipher().decrypt(written(plain, key))


@pytest.mark.parametrize("appid", ["wx0000000000000000", APPID + "x", ""])
def test_message_for_another_account_is_refused(appid: str) -> None:
    with pytest.raises(OtherAccount):
        cipher().decrypt(encrypt(b"<xml></xml>", KEY, appid))


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 44, "a" * 42 + "-", "年" * 43, "a" * 42 + "\n"])
def test_what_is_no_encoding_key(text: str) -> None:
    assert key_of(text) is None


# --- ids -------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=MAX_OPENID).filter(lambda text: text.isprintable() and text.isascii()))
def test_handle_leads_back_to_the_member_and_shows_nothing(openid: str) -> None:
    members = Members("secret", "gzh")
    handle = members.handle(openid)
    assert members.openid(handle) == openid
    assert len(handle) <= 200
    assert handle == members.handle(openid)
    if len(openid) > 8:
        assert openid not in handle
        assert openid not in members.thread(openid)


def test_handle_opens_nowhere_else() -> None:
    handle = Members("secret", "gzh").handle("oABC")
    assert Members("secret", "other").openid(handle) is None
    assert Members("new secret", "gzh").openid(handle) is None
    assert Members("secret", "gzh").openid(handle[:-1] + ("A" if handle[-1] != "A" else "B")) is None
    assert Members("secret", "gzh").thread("oABC") != Members("other", "gzh").thread("oABC")


@given(st.text(max_size=40))
def test_any_text_is_no_handle(text: str) -> None:
    assert Members("secret", "gzh").openid(text) is None
    assert Members("secret", "gzh").openid("w:" + text) is None


def test_articles_are_numbered_from_one_and_asked_for_from_zero() -> None:
    assert article_of("12003_3") == Article(12003, 2)
    assert article_of("12003") == Article(12003, 0)
    for text in ("", "x", "12003_0", "12003_", "-1_1", "１２", "12003_3 ", None, 12003):
        assert article_of(text) is None
    comment = Comment(Article(12003, 2), 7)
    assert comment_of(str(comment)) == comment
    for handle in (None, "", "m:24681012141618202", "c:1:2", "c:1:2:3:4", "c:a:2:3"):
        assert comment_of(handle) is None


@given(st.sets(st.integers(0, 10**17), max_size=60) | st.sets(st.integers(0, 80)))
def test_ranges_say_the_same_numbers(numbers: set[int]) -> None:
    assert numbers_of(ranges_of(numbers)) == numbers


@given(st.text(max_size=60) | st.just("1-99999999999999999,3"))
def test_spoilt_ranges_do_no_harm(text: str) -> None:
    assert len(numbers_of(text)) <= 100_000
