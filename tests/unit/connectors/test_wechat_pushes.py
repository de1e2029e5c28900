"""What WeChat pushes to our one path: verified, decrypted, read, refused or put into the quarantine."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from wechat_scene import AES, MEMBER, OTHER_AES, Service, make, serving

from monitor.core.model import RawPost
from monitor.core.ports import Request, Response
from monitor.testing._fake_wechat_wire import encrypt, message_xml, sealed_xml, sign
from monitor.testing.fake_wechat import FakeWeChat


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


MODES = pytest.mark.parametrize(
    ("aes", "compatible"), [("", False), (AES, True), (AES, False)], ids=["plain", "compatible", "secure"]
)


@asyncs
@MODES
async def test_address_is_verified_with_the_right_token_only(aes: str, compatible: bool) -> None:
    async with FakeWeChat(aes, compatible=compatible) as fake, serving(make(fake)) as service:
        assert await fake.verify(service.url) == (200, "5837397576500011341")
        assert await fake.verify(service.url, echo="<script>&") == (200, "<script>&")
        status, body = await fake.verify(service.url, token="another")
        assert (status, body) == (403, "")


@asyncs
async def test_echo_is_never_a_page() -> None:
    async with FakeWeChat() as fake, serving(make(fake)) as service:
        (route,) = service._wechat.routes()
        assert route.handle is not None
        query = {"timestamp": "1", "nonce": "2", "signature": sign(fake.token, "1", "2"), "echostr": "<b>"}
        answer = await route.handle(Request("GET", route.path, {}, query, b""))
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert (await route.handle(Request("PUT", route.path, {}, query, b""))).status == 405


@asyncs
@MODES
async def test_message_comes_through_in_every_mode(aes: str, compatible: bool) -> None:
    async with FakeWeChat(aes, compatible=compatible) as fake, serving(make(fake)) as service:
        fields = fake.text(MEMBER, "年休假工资怎么算？", CreateTime=1767225600)
        if not aes:
            fields["CreateTime"] = int(time.time())
        assert await fake.push(service.url, fields) == (200, "success", 1)
        (post,) = service.intake.posts
    assert post.text == "年休假工资怎么算？"
    assert post.external_id == f"m:{fields['MsgId']}"
    assert post.author == MEMBER
    assert post.posted_at is not None
    assert post.posted_at.timestamp() == fields["CreateTime"]
    for name in (post.external_id, post.thread, post.handle):
        assert name
        assert MEMBER not in name


@asyncs
async def test_what_was_not_stored_is_pushed_again_and_is_one_post() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        service.refusals = 2
        assert await fake.push(service.url, fake.text(MEMBER, "停水了")) == (200, "success", 3)
        assert service.intake.said() == ["停水了"]


@asyncs
async def test_store_that_is_too_slow_gets_the_same_message_three_times_under_one_id() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        service.slowness = 0.3
        assert (await fake.push(service.url, fake.text(MEMBER, "停水了"), seconds=0.1))[0] == 0
        assert len(service.intake.posts) == 3
        assert len({post.external_id for post in service.intake.posts}) == 1


@asyncs
@pytest.mark.parametrize("has_id", [True, False])
async def test_second_push_of_a_message_has_the_same_id(has_id: bool) -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        fields = fake.text(MEMBER, "停水了")
        other = {**fields, "FromUserName": MEMBER + "2", "MsgId": 5}
        if not has_id:
            del fields["MsgId"], other["MsgId"]
        for each in (fields, fields, other):
            await fake.push(service.url, each)
        first, second, third = service.intake.posts
        assert first == second
        assert third.external_id != first.external_id
        assert first.thread != third.thread
        assert MEMBER not in first.external_id


@asyncs
async def test_events_are_counted_and_nothing_else() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        for event in ("subscribe", "unsubscribe", "CLICK", "MASSSENDJOBFINISH", "../<>"):
            fields = {"ToUserName": "gh", "FromUserName": MEMBER, "CreateTime": int(time.time())}
            pushed = await fake.push(service.url, {**fields, "MsgType": "event", "Event": event})
            assert pushed == (200, "success", 1)
        assert service.intake.items == []
        counts = service._wechat.counts
        assert counts["ignored.event.subscribe"] == counts["ignored.event.unsubscribe"] == 1
        assert counts["pushed"] == 5


# --- what is refused -------------------------------------------------------------------------------


async def pushed(service: Service, fake: FakeWeChat, xml: str | bytes, **change: str) -> tuple[int, str]:
    query, body = fake.wrap(xml, **change)
    return await fake.post(service.url, query, body)


@asyncs
@MODES
async def test_wrong_signature_is_refused_and_never_stored(aes: str, compatible: bool) -> None:
    async with FakeWeChat(aes, compatible=compatible) as fake, serving(make(fake)) as service:
        xml = message_xml(fake.text(MEMBER, "伪造"))
        key = "msg_signature" if aes else "signature"
        for change in ({key: "0" * 40}, {key: ""}, {"nonce": "other"}, {key: "年"}):
            assert await pushed(service, fake, xml, **change) == (403, "")
        query, body = fake.wrap(xml)
        forged = body.replace(b"]]></Encrypt>", b"AAAA]]></Encrypt>")
        assert (await fake.post(service.url, {}, body))[0] == 403
        if aes:
            assert (await fake.post(service.url, query, forged))[0] == 403
        assert service.intake.items == []


@asyncs
async def test_unencrypted_push_does_not_pass_where_a_key_is_set() -> None:
    async with FakeWeChat() as fake, serving(make(fake, aes_secret=AES)) as service:
        assert await pushed(service, fake, message_xml(fake.text(MEMBER, "明文"))) == (403, "")
        assert service.intake.items == []
        assert "安全模式" in (await service._wechat.check()).message


@asyncs
async def test_encrypted_push_without_a_key_names_the_mend() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake, aes_secret="")) as service:
        assert await pushed(service, fake, message_xml(fake.text(MEMBER, "密文"))) == (403, "")
        assert "aes_secret" in (await service._wechat.check()).message


@asyncs
async def test_compatible_mode_believes_the_encrypted_twin_only() -> None:
    async with FakeWeChat(AES, compatible=True) as fake, serving(make(fake)) as service:
        xml = message_xml(fake.text(MEMBER, "真的"))
        sealed = encrypt(xml.encode(), AES, fake.appid)
        body = sealed_xml(fake.account, sealed, xml.replace("真的", "假的")).encode()
        query = {"timestamp": "1767225601", "nonce": "n", "encrypt_type": "aes"}
        query["msg_signature"] = sign(fake.token, query["timestamp"], "n", sealed)
        assert await fake.post(service.url, query, body) == (200, "success")
        assert service.intake.said() == ["真的"]


@asyncs
async def test_former_key_is_good_for_a_while_and_a_foreign_one_never() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake, aes_secret=f"{OTHER_AES} {AES}")) as service:
        await fake.push(service.url, fake.text(MEMBER, "旧密钥"))
        fake.aes_key = OTHER_AES
        await fake.push(service.url, fake.text(MEMBER, "新密钥"))
        assert service.intake.said() == ["旧密钥", "新密钥"]
        fake.aes_key = "B" * 43
        await fake.push(service.url, fake.text(MEMBER, "读不了"))
        (broken,) = service.intake.broken
        assert broken.reason == "cipher"
        assert "EncodingAESKey" in (await service._wechat.check()).message


@asyncs
async def test_message_for_another_account_is_refused() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        appid, fake.appid = fake.appid, "wx_somebody_else"
        assert await pushed(service, fake, message_xml(fake.text(MEMBER, "走错了"))) == (403, "")
        fake.appid = appid
        assert service.intake.items == []
        assert "另一个公众号" in (await service._wechat.check()).message


@asyncs
async def test_old_unencrypted_push_is_refused_and_an_old_encrypted_one_is_only_known_already() -> None:
    async with FakeWeChat() as fake, serving(make(fake)) as service:
        for stamp in (str(int(time.time()) - 301), str(int(time.time()) + 301), "x", "9" * 30):
            assert (await pushed(service, fake, message_xml(fake.text(MEMBER, "旧")), timestamp=stamp))[
                0
            ] == 403
        assert service.intake.items == []
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        xml = message_xml(fake.text(MEMBER, "旧"))
        assert await pushed(service, fake, xml, timestamp="1767225601") == (200, "success")
        assert service.intake.said() == ["旧"]


@asyncs
async def test_nothing_is_taken_after_close() -> None:
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        await service._wechat.close()
        assert (await pushed(service, fake, message_xml(fake.text(MEMBER, "晚了"))))[0] == 503


# --- what cannot be read ---------------------------------------------------------------------------

BOMB = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(1, 20)
)
SPOILT: dict[str, tuple[bytes, str]] = {
    "entities": (f"{BOMB}]><xml><Content>&u;</Content></xml>".encode(), "dtd"),
    "file": (
        b"<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><xml><Content>&f;</Content></xml>",
        "dtd",
    ),
    "address": (b"<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'><xml><MsgType>text</MsgType></xml>", "dtd"),
    "nul": (b"<xml><MsgType>text</MsgType><Content>a\x00b</Content></xml>", "xml"),
    "surrogate reference": (b"<xml><MsgType>text</MsgType><Content>&#xD800;</Content></xml>", "xml"),
    "surrogate bytes": (b"<xml><Content>\xed\xa0\x80</Content></xml>", "encoding"),
    "gbk": ("<xml><Content>食堂</Content></xml>".encode("gbk"), "encoding"),
    "no xml": (b'{"MsgType": "text"}', "xml"),
    "nothing": (b"", "xml"),
    "unfinished": (b"<xml><MsgType>text</MsgType><Content>", "xml"),
    "another document": (b"<html><MsgType>text</MsgType></html>", "shape"),
    "no kind": (b"<xml><Content>x</Content></xml>", "shape"),
    "deep": (b"<xml>" + b"<a>" * 150_000, "shape"),
    "huge": (b"<xml><Content>" + b"x" * (1024 * 1024) + b"</Content></xml>", "too_large"),
    "no sender": (b"<xml><MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId></xml>", "author"),
    "endless sender": (
        b"<xml><MsgType>text</MsgType><FromUserName>" + b"o" * 101 + b"</FromUserName><MsgId>1</MsgId></xml>",
        "author",
    ),
    "no id": (
        b"<xml><MsgType>text</MsgType><FromUserName>o</FromUserName><Content>x</Content></xml>",
        "no_id",
    ),
    "no words": (
        b"<xml><MsgType>text</MsgType><FromUserName>o</FromUserName><Content> </Content><MsgId>1</MsgId></xml>",
        "empty",
    ),
}


@asyncs
@pytest.mark.parametrize("aes", ["", AES], ids=["plain", "secure"])
@pytest.mark.parametrize("name", SPOILT)
async def test_what_cannot_be_read_is_kept_for_a_person_quickly(name: str, aes: str) -> None:
    body, reason = SPOILT[name]
    fake = FakeWeChat(aes)
    wechat = make(fake)
    (route,) = wechat.routes()
    assert route.handle is not None
    query, wrapped = fake.wrap(body)
    if aes and name == "huge":
        body = b"<xml><Content>" + b"x" * 700_000  # what is longer does not fit into an envelope either
        query, wrapped = fake.wrap(body)
        reason = "xml"
    asked = Request("POST", route.path, {}, query, wrapped)
    begun = time.perf_counter()
    answer: Response = await route.handle(asked)
    seconds = time.perf_counter() - begun
    assert (answer.status, answer.body) == (200, b"success")
    (item,) = answer.items
    assert not isinstance(item, RawPost)
    assert item.reason == reason
    assert len(item.payload) <= 65_536
    if reason == "dtd":
        assert seconds <= 0.05
    assert seconds <= 0.5
    await wechat.close()


@asyncs
async def test_envelope_that_cannot_be_read_proves_nothing() -> None:
    fake = FakeWeChat(AES)
    wechat = make(fake)
    (route,) = wechat.routes()
    assert route.handle is not None
    for body, _reason in SPOILT.values():
        query, _envelope = fake.wrap(body)
        answer = await route.handle(Request("POST", route.path, {}, query, body))
        assert (answer.status, answer.items) == (403, ())
    await wechat.close()


@asyncs
async def test_unsigned_rubbish_is_not_even_kept() -> None:
    for aes in ("", AES):
        fake = FakeWeChat(aes)
        wechat = make(fake)
        (route,) = wechat.routes()
        assert route.handle is not None
        for body, _reason in SPOILT.values():
            for query in ({}, {"msg_signature": "x", "timestamp": "1", "nonce": "2"}, {"signature": "年"}):
                answer = await route.handle(Request("POST", route.path, {}, query, body))
                assert answer.status == 403
                assert answer.items == ()
        await wechat.close()


@asyncs
async def test_external_references_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("TOP", encoding="utf-8")
    fake = FakeWeChat(AES)
    wechat = make(fake)
    (route,) = wechat.routes()
    assert route.handle is not None
    xml = f"<!DOCTYPE x [<!ENTITY f SYSTEM '{secret.as_uri()}'>]><xml><MsgType>text</MsgType><Content>&f;</Content></xml>"
    query, body = fake.wrap(xml)
    answer = await route.handle(Request("POST", route.path, {}, query, body))
    assert "TOP" not in repr(answer.items)
    await wechat.close()


@asyncs
async def test_nothing_of_a_member_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeWeChat(AES) as fake, serving(make(fake)) as service:
        await fake.push(service.url, fake.text(MEMBER, "只给工会看"))
        await pushed(service, fake, b"<xml>")
    connectors = [
        record.getMessage() for record in caplog.records if record.name.startswith(("connectors", "huiyin"))
    ]
    assert not [line for line in connectors if MEMBER in line or "只给工会看" in line]
