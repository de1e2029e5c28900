"""Feeds: conditional requests, ids that stay, edits, gaps, moves; bombs that do not go off."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import feedparser
import pytest
from aiohttp import web
from forum_scene import listening, make_feed, more, notices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors._feed_health import remarks
from connectors._feed_read import decode, read_feed
from connectors._feed_watch import KNOWN, Source, compare, cursor_of, load
from connectors.feed import connector
from monitor.core.errors import ConfigError, Malformed, Rejected
from monitor.core.model import Broken, EffectKind, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.desk import effect
from monitor.testing.fake_feed import FakeFeed, bomb

ADDRESS = "https://gonghui.example.org/feed/"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


def asked(fake: FakeFeed) -> Any:
    return lambda: len(fake.statuses)


def page(text: str, **more_: Any) -> web.Response:
    return web.Response(text=text, content_type="text/html", **more_)


# --- fetching --------------------------------------------------------------------------------------


@asyncs
@pytest.mark.parametrize("kind", ["rss", "atom"])
@pytest.mark.parametrize("coding", ["utf-8", "gbk", "gb2312", "utf-16"])
async def test_comments_arrive_once_whatever_the_coding(kind: str, coding: str) -> None:
    async with FakeFeed(kind, coding) as fake:
        for n in range(4):
            fake.say(f"<p>第 {n} 条，三食堂</p>", "李老师")
        async with listening(make_feed(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 4)
            await more(asked(fake))
        assert desk.said() == [f"第 {n} 条，三食堂" for n in range(4)]
        post = desk.posts[1]
        assert post.external_id == "https://gonghui.example.org/?p=7#comment-2"
        assert (post.author, post.thread) == ("李老师", "https://gonghui.example.org/?p=7")
        assert post.posted_at is not None
        assert post.posted_at.isoformat() == "2026-03-02T01:02:00+00:00"
        assert max(desk.handed.values()) == 1
        assert not desk.broken


@asyncs
async def test_what_did_not_change_is_not_sent_again() -> None:
    async with FakeFeed() as fake:
        fake.say("<p>一条</p>")
        async with listening(make_feed(fake)) as desk:
            await desk.until(lambda: desk.texts)
            await more(asked(fake))
        assert fake.statuses[0] == 200
        assert set(fake.statuses[1:]) == {304}
        assert fake.asked[1]["If-None-Match"].startswith('"')
        assert fake.asked[1]["If-Modified-Since"].endswith("GMT")
        again = len(fake.statuses)
        async with listening(make_feed(fake), desk):
            await more(asked(fake))
        assert fake.statuses[again] == 304, "the tags outlast a restart"


@asyncs
async def test_an_edit_is_a_new_revision_and_a_second_look_at_it_is_not() -> None:
    async with FakeFeed() as fake:
        entry = fake.say("<p>原话</p>")
        fake.conditional = False
        async with listening(make_feed(fake)) as desk:
            await desk.until(lambda: desk.texts)
            entry.html = "<p>改过</p>"
            await desk.until(lambda: notices(desk, PostKind.EDIT))
            await more(asked(fake))
        assert [item.text for item in notices(desk, PostKind.EDIT)] == ["改过"]


@asyncs
async def test_a_gap_is_recorded_and_told() -> None:
    async with FakeFeed() as fake:
        fake.say("<p>之前</p>")
        channel = make_feed(fake)
        async with listening(channel) as desk:
            await desk.until(lambda: desk.texts)
            assert "漏" not in (await channel.check()).message
            for n in range(15):
                fake.say(f"<p>一下子 {n}</p>")
            await desk.until(lambda: len(desk.texts) == 11)
            told = await channel.check()
        assert told.ok
        assert "可能漏了帖子" in told.message
        again = make_feed(fake)
        async with listening(again, desk):
            await more(asked(fake))
            assert "可能漏了帖子" in (await again.check()).message, "it is told after a restart too"
    source = again._sources[0]
    source.row.gap_at = "2026-01-01T00:00:00+00:00"
    assert not remarks([source]), "and not for ever"


@asyncs
async def test_ttl_and_retry_after_are_honoured() -> None:
    async with FakeFeed() as slow, FakeFeed() as busy, FakeFeed() as quick:
        slow.ttl = 60
        slow.say("<p>慢</p>")
        busy.answers.append(web.Response(status=503, headers={"Retry-After": "3600"}))
        quick.say("<p>快</p>", guid="q1")
        async with listening(make_feed(slow, busy, quick)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            await more(asked(quick), 6)
        assert (len(slow.statuses), len(busy.statuses)) == (1, 1)


@asyncs
async def test_a_move_within_the_host_is_followed_and_told_and_one_to_another_host_is_not() -> None:
    async with FakeFeed() as fake, FakeFeed() as other:
        other.say("<p>别人的</p>")
        fake.say("<p>搬家后</p>")
        channel = make_feed(fake)
        for _time in range(2):
            fake.answers.append(web.Response(status=301, headers={"Location": "/new/feed/"}))
            async with listening(channel if _time == 0 else make_feed(fake)) as desk:
                await desk.until(lambda: desk.texts)
        assert desk.said() == ["搬家后"]
        away = make_feed(fake)
        place = f"http://localhost:{other.port}/feed/"
        fake.answers.extend(web.Response(status=301, headers={"Location": place}) for _n in range(2))
        told = await away.check()
        assert not told.ok
        assert "转到了另一台主机" in told.message
        assert not other.statuses
        fake.answers.clear()
        fake.answers.extend(web.Response(status=302, headers={"Location": "/x"}) for _n in range(9))
        assert "连不上" in (await away.check()).message
        await away.close()


@asyncs
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 410}, "已永久关闭（410）"),
        ({"status": 404}, "不存在（404）"),
        ({"status": 403}, "不让读取（403）"),
        ({"status": 429}, "要求稍后再来"),
        ({"status": 500}, "连不上或没有及时应答"),
        ({"text": "<html>登录", "content_type": "text/html"}, "不是 RSS 或 Atom"),
        ({"body": bomb()}, "含有实体声明"),
        ({"body": b"<rss>" + b" " * 3_000_000}, "超过 2 MiB"),
    ],
)
async def test_check_says_what_is_wrong_and_what_to_mend(answer: dict[str, Any], words: str) -> None:
    async with FakeFeed() as fake:
        channel = make_feed(fake)
        assert (await channel.check()).ok
        fake.answers.append(web.Response(**answer))
        told = await channel.check()
        assert not told.ok
        assert words in told.message
        assert "/comments/" not in told.message, "the rest of an address may hold a secret"
        await channel.close()


@asyncs
async def test_one_feed_that_fails_holds_up_no_other() -> None:
    async with FakeFeed() as gone, FakeFeed() as good:
        gone.answers.extend(web.Response(status=410) for _n in range(50))
        async with listening(make_feed(gone, good)) as desk:
            good.say("<p>好的</p>")
            await desk.until(lambda: desk.texts)
            await more(asked(good))
        assert len(gone.statuses) == 1, "a feed that was closed for good is left alone"


@asyncs
async def test_a_feed_that_breaks_off_gives_what_it_has_and_is_asked_again() -> None:
    async with FakeFeed() as fake:
        for n in range(3):
            fake.say(f"<p>第 {n} 条</p>")
        whole = fake.written()
        fake.body = whole[: whole.rindex(b"<item>") + 30]
        channel = make_feed(fake)
        async with listening(channel) as desk:
            await desk.until(lambda: len(desk.texts) >= 2)
            assert "只读到一部分" in (await channel.check()).message
            fake.body = None
            await desk.until(lambda: "第 0 条" in desk.said())
        assert sorted(desk.said()) == ["第 0 条", "第 1 条", "第 2 条"]
        assert not notices(desk, PostKind.EDIT)


@asyncs
async def test_it_only_listens_and_says_so() -> None:
    async with FakeFeed() as fake:
        channel = make_feed(fake)
        assert channel.capabilities == {Capability.LISTEN}
        assert not channel.routes()
        for kind in EffectKind:
            with pytest.raises(Rejected, match="only listened to"):
                await channel.perform(effect(kind, "pinglun"), "x")
            with pytest.raises(Rejected, match="only listened to"):
                await channel.read_back(effect(kind, "pinglun"))
        assert "看不到原站的删除" in (await channel.check()).message
        await channel.close()


def test_settings_that_cannot_work_are_refused_by_name() -> None:
    for settings_ in (
        {"urls": []}, {"urls": ["/etc/passwd"]}, {"urls": ["file:///etc/passwd"]}, {"urls": [ADDRESS, ADDRESS]},
        {"urls": [f"https://a.example/{n}" for n in range(51)]}, {"urls": [ADDRESS], "poll_seconds": 0},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"poll_seconds|urls"):
            connector(ChannelConfig("pinglun", "feed", settings_))


# --- reading ---------------------------------------------------------------------------------------


def rss(*items: str, head: str = "") -> bytes:
    return f'<?xml version="1.0"?>{head}<rss version="2.0"><channel>{"".join(items)}</channel></rss>'.encode()


def posts_of(body: bytes, **more_: Any) -> list[RawPost]:
    return [item for item in read_feed("pinglun", ADDRESS, body, **more_).items if isinstance(item, RawPost)]


def test_an_entry_is_known_by_its_id_else_its_link_else_its_words() -> None:
    (first,) = posts_of(
        rss("<item><guid>g1</guid><link>https://a.example/1</link><description>话</description></item>")
    )
    (second,) = posts_of(rss("<item><link>https://a.example/1</link><description>话</description></item>"))
    (third,) = posts_of(rss("<item><title>t</title><description>话</description></item>"))
    (fourth,) = posts_of(rss(f"<item><guid>{'x' * 300}</guid><description>话</description></item>"))
    assert (first.external_id, second.external_id) == ("g1", "https://a.example/1")
    assert third.external_id.startswith("x:")
    assert fourth.external_id.startswith("h:")
    assert len(fourth.external_id) < 60


def test_titles_count_where_they_are_wanted_and_where_there_is_nothing_else() -> None:
    body = rss("<item><guid>1</guid><title>停水</title><description>两天了</description></item>")
    assert posts_of(body)[0].text == "两天了"
    assert posts_of(body, titles=True)[0].text == "停水\n两天了"
    assert posts_of(rss("<item><guid>1</guid><title>只有标题</title></item>"))[0].text == "只有标题"


def test_a_secret_in_the_address_of_a_feed_is_not_kept() -> None:
    body = rss("<item><guid>1</guid><description>话</description></item>")
    (item,) = read_feed("pinglun", f"{ADDRESS}?token=geheim", body).items
    assert isinstance(item, RawPost)
    assert item.thread == ADDRESS
    assert "geheim" not in Source(f"{ADDRESS}?token=geheim").key


@pytest.mark.parametrize("coding", ["utf-8", "utf-16", "gbk"])
@pytest.mark.parametrize("levels", [2, 9, 13])
def test_a_bomb_is_refused_before_it_is_read(coding: str, levels: int) -> None:
    with pytest.raises(Malformed) as told:
        read_feed("pinglun", ADDRESS, bomb(levels, coding))
    assert told.value.reason == "xml_entity"


def test_an_outside_entity_is_never_looked_up(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("天机", encoding="utf-8")
    for declared in (
        f'<!ENTITY x SYSTEM "{secret.as_uri()}">',
        f'<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x;',
    ):
        body = rss(
            "<item><guid>1</guid><description>&x;</description></item>", head=f"<!DOCTYPE rss [{declared}]>"
        )
        with pytest.raises(Malformed):
            read_feed("pinglun", ADDRESS, body)


def test_a_name_of_a_file_is_no_feed(tmp_path: Path) -> None:
    """Feedparser opens files and addresses when it is given bytes or text that name them."""
    there = tmp_path / "feed.xml"
    there.write_bytes(rss("<item><guid>1</guid><description>天机</description></item>"))
    assert feedparser.parse(str(there)).entries, "that is what it does"
    for body in (str(there).encode(), there.as_uri().encode()):
        with pytest.raises(Malformed):
            read_feed("pinglun", ADDRESS, body)
    assert feedparser.parse(io.BytesIO(str(there).encode())).entries == []


def test_a_document_type_without_entities_is_read() -> None:
    head = (
        '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/x.dtd">'
    )
    assert posts_of(rss("<item><guid>1</guid><description>话</description></item>", head=head))


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("停水".encode(), "text/xml; charset=iso-8859-1", "停水"),
        (
            '<?xml version="1.0" encoding="gb2312"?>停水镕'.encode("gb18030"),
            "",
            '<?xml version="1.0" encoding="gb2312"?>停水镕',
        ),
        ("停水镕".encode("gb18030"), "text/xml; charset=gb2312", "停水镕"),
        ("三食堂二楼停水".encode("gb18030"), "", "三食堂二楼停水"),
        ("停水".encode("utf-16"), "", "停水"),
        ("停水".encode("utf-8-sig"), "text/xml; charset=gbk", "停水"),
        ("停電".encode("big5"), "text/xml; charset=big5", "停電"),
        ("<rss>é</rss>".encode("latin-1"), "text/xml; charset=iso-8859-1", "<rss>é</rss>"),
        ("<rss>停水".encode("utf-16-le"), "", "<rss>停水"),
        (b"\xff<rss/>", "text/xml; charset=utf-7", "ÿ<rss/>"),
        ("三食堂二楼停水".encode()[:-1], "", "三食堂二楼停"),
        (
            "三食堂二楼停水，没人管".encode().replace(b"\xe6\xb0\xb4", b"\xe6\xb0"),
            "",
            "三食堂二楼停\ufffd，没人管",
        ),
    ],
)
def test_coding(body: bytes, kind: str, text: str) -> None:
    assert decode(body, kind) == text


def test_a_cursor_stays_small_and_one_that_cannot_be_read_is_none() -> None:
    source = Source(ADDRESS)
    for begin in range(0, 3_000, 500):
        items = [
            f"<item><guid>{n}</guid><description>话 {n}</description></item>"
            for n in range(begin, begin + 500)
        ]
        compare(source, read_feed("pinglun", ADDRESS, rss(*items)))
    assert len(source.row.known) == KNOWN
    assert len(cursor_of([source])) < 40_000
    for cursor in ("", "{", "[]", '{"x": 7}', "null"):
        load(cursor, [source])
        assert not source.row.known


def test_two_entries_under_one_id_are_no_endless_edit() -> None:
    body = rss(*(f"<item><guid>1</guid><description>话 {n}</description></item>" for n in range(3)))
    source = Source(ADDRESS)
    assert len(compare(source, read_feed("pinglun", ADDRESS, body))) == 1
    assert compare(source, read_feed("pinglun", ADDRESS, body)) == ()


# --- whatever comes --------------------------------------------------------------------------------

PARTS = st.sampled_from(
    [
        "<item>", "</item>", "<entry>", "</entry>", "<guid>", "</guid>", "<id>", "</id>", "<title>", "<description>",
        "<content type='html'>", "<content type='base64'>", "<link href='", "'/>", "<pubDate>", "<updated>", "2026-99-99",
        "Thu, 99 Foo 2026", "<![CDATA[", "]]>", "<!DOCTYPE x [", "]>", "<!ENTITY a 'b'>", "&a;", "&#xD800;", "&#0;",
        "<author>", "<dc:creator>", "<ttl>", "九十", "-1", "\x00", "\ud800", "<rss version='2.0'><channel>", "<rdf:RDF>",
        "<feed xmlns='http://www.w3.org/2005/Atom'>", "停水", "<georss:point>1 x</georss:point>", "<media:content url='['/>",
        "http://[", "<link>http://[</link>", "<base href='http://['>", "xml:base='http://['",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PARTS, max_size=30), st.sampled_from(["", "text/xml; charset=gbk", "x" * 50]))
def test_any_feed_is_read_or_told_to_be_unreadable(parts: list[str], kind: str) -> None:
    body = "".join(parts).encode("utf-8", "surrogatepass")
    try:
        read = read_feed("pinglun", ADDRESS, body, kind)
    except Malformed:
        return
    for item in read.items:
        assert isinstance(item, Broken) or (item.text.strip() and 0 < len(item.external_id) <= 200)
        assert isinstance(item, Broken) or item.posted_at is None or item.posted_at.tzinfo
    source = Source(ADDRESS)
    compare(source, read)
    assert compare(source, read) == ()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_told_to_be_unreadable(body: bytes) -> None:
    try:
        read_feed("pinglun", ADDRESS, body, "application/rss+xml")
    except Malformed:
        return
