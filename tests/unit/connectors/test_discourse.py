"""A Discourse forum is looked at and pushes: nothing lost, nothing twice, edits and removals followed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from forum_scene import SLOW, listening, make_discourse, more, notices
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors._discourse_api import Refused, error_of
from connectors._discourse_wire import Scope, pushed, read_post, split_quotes
from connectors._rest import Answer
from connectors._signing import sha256_signature
from connectors.discourse import connector
from monitor.core.errors import ConfigError, Malformed, RateLimited, Unavailable, Uncertain
from monitor.core.model import PostKind, RawPost
from monitor.core.ports import ChannelConfig, Request, Response
from monitor.testing.desk import Desk
from monitor.testing.fake_discourse import FakeDiscourse

PAGE = "GET /posts.json"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


def looks(fake: FakeDiscourse) -> Any:
    return lambda: fake.calls[PAGE]


# --- looking ---------------------------------------------------------------------------------------


@asyncs
async def test_history_is_read_as_far_back_as_was_said_and_never_further() -> None:
    async with FakeDiscourse() as fake:
        said = [fake.post(f"第 {n} 条").raw for n in range(130)]
        async with listening(make_discourse(fake, history=70)) as desk:
            await desk.until(lambda: len(desk.texts) == 70)
            await more(looks(fake), 8)
        assert desk.said() == said[-70:]


@asyncs
async def test_without_history_only_what_is_new_is_taken() -> None:
    async with FakeDiscourse() as fake:
        fake.post("旧的")
        async with listening(make_discourse(fake, history=0)) as desk:
            await more(looks(fake))
            fake.post("新的")
            await desk.until(lambda: desk.texts)
        assert desk.said() == ["新的"]


@asyncs
@pytest.mark.parametrize("windows", [False, True])
async def test_a_long_gap_is_read_to_its_end(windows: bool) -> None:
    """Also where a page is a window of 50 ids (before 2018), with pages that are short or empty."""
    async with FakeDiscourse() as fake:
        fake.faults.windows = windows
        fake.post("之前")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: desk.texts)
        said = ["之前"]
        for n in range(330):
            said.append(fake.post(f"断线时 {n}", listed=n % 160 < 20 or n == 329).raw)
        said = [said[0], *(p.raw for p in list(fake.posts.values())[1:] if p.listed)]
        async with listening(make_discourse(fake), desk):
            await desk.until(lambda: len(desk.texts) == len(said))
        assert desk.said() == said


@asyncs
async def test_a_forum_that_ignores_where_to_begin_does_not_hold_it_for_ever() -> None:
    async with FakeDiscourse() as fake:
        fake.faults.ignores_before = True
        for n in range(60):
            fake.post(f"第 {n} 条")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 50)


@asyncs
async def test_a_late_post_with_a_lower_number_is_not_passed_over() -> None:
    """Numbers are given when a post is begun, and seen when it is stored."""
    async with FakeDiscourse() as fake:
        late = fake.post("晚到的", listed=False)
        fake.post("先到的")
        async with listening(make_discourse(fake, history=10)) as desk:
            await desk.until(lambda: desk.texts)
            late.listed = True
            # the first look began with the lowest that it saw: what is older stays alone, what is younger comes
            fake.post("之后的")
            await desk.until(lambda: "之后的" in desk.said())
            later = fake.post("又晚到的", listed=False)
            fake.post("最后的")
            await desk.until(lambda: "最后的" in desk.said())
            later.listed = True
            await desk.until(lambda: "又晚到的" in desk.said())


@asyncs
async def test_an_edit_is_seen_even_within_the_time_of_grace() -> None:
    async with FakeDiscourse() as fake:
        post, other = fake.post("原来的话"), fake.post("另一条")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            fake.edit(post, "改过的话", in_grace=True)
            await desk.until(lambda: notices(desk, PostKind.EDIT))
            other.updated = post.updated  # somebody liked it
            await more(looks(fake))
        (edit,) = notices(desk, PostKind.EDIT)
        assert (edit.external_id, edit.text) == (str(post.id), "改过的话")
        assert edit.posted_at is not None


@asyncs
async def test_a_removal_is_followed_and_so_is_its_end() -> None:
    async with FakeDiscourse() as fake:
        post, keep = fake.post("会被删的"), fake.post("留着的")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            fake.delete(post)
            await desk.until(lambda: notices(desk, PostKind.REMOVAL))
            fake.recover(post)
            await desk.until(lambda: notices(desk, PostKind.RESTORE))
            fake.delete(keep, by_author=True)
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 2)
            await more(looks(fake))
        first, second = notices(desk, PostKind.REMOVAL)
        assert (first.external_id, first.by) == (str(post.id), "moderator")
        assert (second.external_id, second.by) == (str(keep.id), "author")
        assert not notices(desk, PostKind.EDIT), "an author's removal is no edit"
        assert len(notices(desk, PostKind.RESTORE)) == 1


@asyncs
async def test_a_topic_takes_its_posts_along() -> None:
    async with FakeDiscourse() as fake:
        posts = [fake.post(f"第 {n} 条", topic=5) for n in range(30)]
        stays = fake.post("别的主题", topic=6)
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 31)
            fake.gone_topics.add(5)
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 30)
        assert {item.external_id for item in notices(desk, PostKind.REMOVAL)} == {str(p.id) for p in posts}
        assert str(stays.id) not in {item.external_id for item in notices(desk, PostKind.REMOVAL)}


@asyncs
async def test_a_post_that_only_left_the_list_is_asked_about_once() -> None:
    async with FakeDiscourse() as fake:
        post = fake.post("移到隐藏版块")
        fake.post("别的")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            post.listed = False
            await desk.until(lambda: fake.calls[f"GET /posts/{post.id}.json"])
            await more(looks(fake), 6)
        assert fake.calls[f"GET /posts/{post.id}.json"] == 1
        assert not notices(desk, PostKind.REMOVAL)


@asyncs
async def test_a_purged_post_is_gone_after_two_looks() -> None:
    async with FakeDiscourse() as fake:
        post = fake.post("永久删除")
        fake.post("别的")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            del fake.posts[post.id]
            await desk.until(lambda: notices(desk, PostKind.REMOVAL))
        assert fake.calls[f"GET /posts/{post.id}.json"] == 2


@asyncs
async def test_what_is_none_of_the_channels_business_is_left_alone() -> None:
    async with FakeDiscourse() as fake:
        fake.post("别的版块", category=9)
        fake.post("版主记事", post_type=4)
        fake.post("我们自己的答复", fake.username)
        fake.post("本会版块")
        forum = make_discourse(fake, categories=[5])
        async with listening(forum) as desk:
            await desk.until(lambda: desk.texts)
            await more(looks(fake))
        assert desk.said() == ["本会版块"]
        assert (await forum.check()).detail["ignored.own"] == "1"


@asyncs
async def test_what_is_answered_is_found_by_its_place() -> None:
    async with FakeDiscourse() as fake:
        first = fake.post("问题", topic=8)
        fake.post("回答", topic=8, answers=first.number)
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
        assert desk.posts[1].reply_to == str(first.id)


@asyncs
async def test_rate_limits_of_either_shape_only_cost_time() -> None:
    text = web.Response(status=429, text="Slow down", headers={"Retry-After": "1"})
    extras = {"errors": ["x"], "error_type": "rate_limit", "extras": {"wait_seconds": 1, "time_left": "1 s"}}
    async with FakeDiscourse() as fake:
        fake.faults.give(PAGE, text, web.json_response(extras, status=429))
        fake.post("限流之后")
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: desk.texts)
        assert fake.calls[PAGE] >= 3
        assert not desk.errors


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"Retry-After": "12"}, b"Slow down", 12),
        (429, {}, b'{"extras":{"wait_seconds":34,"time_left":"x"}}', 34),
        (429, {}, b'{"extras":{"wait_seconds":true}}', 60),
        (429, {}, b'{"extras":[]}', 60),
        (429, {}, b"<html>", 60),
        (429, {"Retry-After": "99999999"}, b"", 86_400),
    ],
)
def test_how_long_to_wait_is_read_from_either_shape(
    status: int, headers: dict[str, str], body: bytes, seconds: int
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    error = error_of(Answer(status, headers, body), now)
    assert isinstance(error, RateLimited)
    assert (error.retry_at - now).total_seconds() == seconds


@pytest.mark.parametrize(
    ("status", "kind", "body", "error"),
    [
        (200, "application/json", b"{}", None),
        (200, "text/html", b"<html>sign in", Uncertain),
        (200, "text/html", b" ", None),
        (302, "text/html", b"", Unavailable),
        (403, "application/json", b'{"error_type":"invalid_access"}', Refused),
        (403, "text/html; charset=utf-8", b"<html>Cloudflare", Unavailable),
        (404, "application/json", b"{}", Refused),
        (500, "application/json", b"{}", Uncertain),
        (503, "text/html", b"<html>", Uncertain),
    ],
)
def test_what_an_answer_means(status: int, kind: str, body: bytes, error: type | None) -> None:
    found = error_of(Answer(status, {"Content-Type": kind}, body), datetime.now(UTC))
    assert type(found) is (error or type(None))


@asyncs
async def test_settings_that_cannot_work_are_refused_by_name() -> None:
    good = {"url": "https://bbs.example.org", "api_key": "k", "api_username": "u"}
    for key, value in (
        ("url", "bbs.example.org"), ("api_key", " "), ("api_username", ""), ("secrets", [""]), ("poll_seconds", 0),
        ("history", -1), ("window", 10),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=key):
            connector(ChannelConfig("bbs", "discourse", {**good, key: value}))


# --- saying how it is ------------------------------------------------------------------------------


@asyncs
async def test_check_says_what_is_wrong_and_what_to_mend() -> None:
    async with FakeDiscourse() as fake:
        forum = make_discourse(fake)
        assert (await forum.check()).ok
        fake.is_moderator = False
        told = await forum.check()
        assert not told.ok
        assert "gonghui 设为版主" in told.message
        assert "READ_BACK".lower() in told.capabilities
        answers_only = make_discourse(fake, moderates=False)
        assert (await answers_only.check()).ok
        stranger = make_discourse(fake, api_key="wrong")
        assert "不认这个 API 密钥" in (await stranger.check()).message
        fake.faults.give(PAGE, web.Response(status=403, text="<html>x", content_type="text/html"))
        assert "连不上论坛" in (await forum.check()).message
        fake.faults.give(PAGE, web.json_response({}, status=404))
        assert "没有论坛接口（HTTP 404）" in (await forum.check()).message
        for each in (forum, answers_only, stranger):
            await each.close()


# --- pushes ----------------------------------------------------------------------------------------


async def push(fake: FakeDiscourse, headers: dict[str, str], body: bytes, **settings_: Any) -> Response:
    forum = make_discourse(fake, **settings_)
    (route,) = forum.routes()
    assert route.handle is not None
    answer = await route.handle(Request("POST", route.path, headers, {}, body))
    await forum.close()
    return answer


def test_signature_of_the_reference() -> None:
    """Vector 14.5 of the protocol notes."""
    wanted = "sha256=51afc8e33a2b41b612a30aa4b36f7d85d23c12807eef075c82a142d48aa940ac"
    assert sha256_signature("huiyin-secret", b'{"post":{"id":1}}') == wanted


@asyncs
async def test_the_same_post_under_a_new_delivery_number_is_the_same_post() -> None:
    fake = FakeDiscourse()
    post = fake.post("停水")
    first, second = fake.push_of("post_created", post), fake.push_of("post_created", post)
    assert first[0]["X-Discourse-Event-Id"] != second[0]["X-Discourse-Event-Id"]
    assert (await push(fake, *first)).items == (await push(fake, *second)).items


@asyncs
async def test_an_old_secret_counts_while_it_is_listed_and_none_counts_without() -> None:
    fake = FakeDiscourse()
    headers, body = fake.push_of("post_created", fake.post("停水"))
    assert (await push(fake, headers, body, secrets=["neu", "huiyin-secret"])).status == 200
    assert (await push(fake, headers, body, secrets=["neu"])).status == 403
    assert (await push(fake, headers, body, secrets=[])).status == 403
    unsigned = {k: v for k, v in headers.items() if k != "X-Discourse-Event-Signature"}
    assert (await push(fake, unsigned, body)).status == 403
    assert (await push(fake, unsigned, body, secrets=[])).status == 403


@asyncs
async def test_the_ping_and_other_events_are_answered_and_hold_nothing() -> None:
    fake = FakeDiscourse()
    for event, body in (
        ("ping", b'{"ping":"OK"}'),
        ("topic_destroyed", b'{"topic":{"id":5}}'),
        ("user_created", b"{}"),
    ):
        answer = await push(fake, fake.wrap(event, body), body)
        assert (answer.status, answer.items) == (200, ())
    body = b"x" * 1_100_000
    assert (await push(fake, fake.wrap("post_created", body), body)).status == 413


@asyncs
async def test_a_form_carries_the_same() -> None:
    fake = FakeDiscourse()
    _headers, plain = fake.push_of("post_created", fake.post("停水 & 停电"))
    body = urlencode({"payload": plain.decode()}).encode()
    (item,) = (await push(fake, fake.wrap("post_created", body), body)).items
    assert isinstance(item, RawPost)
    assert item.text == "停水 & 停电"


@asyncs
async def test_a_topic_that_is_removed_is_looked_at_soon() -> None:
    async with FakeDiscourse() as fake:
        fake.post("第一条", topic=5)
        forum = make_discourse(fake, **SLOW)
        async with listening(forum) as desk:
            await desk.until(lambda: desk.texts)
            fake.gone_topics.add(5)
            body = b'{"topic":{"id":5}}'
            (route,) = forum.routes()
            assert route.handle is not None
            headers = fake.wrap("topic_destroyed", body)
            await route.handle(Request("POST", route.path, headers, {}, body))
            await desk.until(lambda: notices(desk, PostKind.REMOVAL))


@asyncs
async def test_check_tells_of_pushes() -> None:
    async with FakeDiscourse() as fake:
        forum = make_discourse(fake)
        assert "还没有收到推送" in (await forum.check()).message
        headers, body = fake.push_of("post_created", fake.post("停水"))
        (route,) = forum.routes()
        assert route.handle is not None
        await route.handle(Request("POST", route.path, {}, {}, b"a stranger"))
        assert (await forum.check()).ok, "whoever signs nothing says nothing of our settings"
        await route.handle(Request("POST", route.path, headers, {}, body + b" "))
        told = await forum.check()
        assert not told.ok
        assert "签名不对" in told.message
        await route.handle(Request("POST", route.path, headers, {}, body))
        told = await forum.check()
        assert told.ok
        assert "收到 1 条" in told.message
        await forum.close()


# --- whatever comes --------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "id", "raw", "cooked", "post_number", "post_type", "reply_to_post_number", "topic_id", "topic_title",
    "category_id", "user_id", "username", "deleted_at", "user_deleted", "post_url", "created_at", "updated_at",
)  # fmt: skip
ROWS = st.fixed_dictionaries({"id": st.integers() | VALUES}, optional=dict.fromkeys(KEYS[1:], VALUES))


@settings(max_examples=300)
@given(ROWS, st.sampled_from(list(PostKind)))
def test_any_row_is_read_or_told_to_be_unreadable(row: dict[str, Any], kind: PostKind) -> None:
    scope = Scope("https://bbs.example.org", "gonghui", (5,))
    try:
        scope.outside(row)
        post = read_post("bbs", scope, row, kind)
    except Malformed:
        return
    assert post.external_id
    assert kind in (PostKind.REMOVAL, PostKind.RESTORE) or post.text.strip()


@given(st.text(alphabet=st.sampled_from('[]/quote="a\n> !()|x'), max_size=200))
def test_any_markdown_is_split(raw: str) -> None:
    own, quoted = split_quotes(raw)
    assert quoted is None or quoted
    assert len(own) <= len(raw) * 6


@given(st.binary(max_size=300), st.sampled_from(["post_created", "ping", "", "post_edited"]))
def test_any_body_is_read_or_told_to_be_unreadable(body: bytes, event: str) -> None:
    try:
        found, row = pushed({"X-Discourse-Event": event}, body)
    except Malformed:
        return
    assert found == event
    assert isinstance(row, dict)


@asyncs
async def test_rows_of_any_kind_stop_nothing() -> None:
    odd: list[Any] = [None, 7, "x", [], {}, {"id": True}, {"id": -1}, {"id": 2**70}, {"id": 1.5}]
    async with FakeDiscourse() as fake:
        fake.post("之前")
        rows = [*odd, *(post.row() for post in fake.posts.values())]
        for _time in range(3):
            fake.faults.give(
                PAGE, web.Response(text=json.dumps({"latest_posts": rows}), content_type="application/json")
            )
        async with listening(make_discourse(fake)) as desk:
            await desk.until(lambda: desk.texts)
            await more(looks(fake), 5)
        assert desk.said() == ["之前"]
        assert {item.reason for item in desk.broken} == {"no_id"}
        assert len(desk.broken) == len(odd), "each is told once"


@asyncs
async def test_a_cursor_stays_small() -> None:
    async with FakeDiscourse() as fake:
        for n in range(700):
            fake.post(f"第 {n} 条")
        async with listening(make_discourse(fake, history=700, window=100)) as desk:
            await desk.until(lambda: len(desk.texts) == 700)
            await more(looks(fake), 6)
        assert desk.cursor is not None
        assert len(desk.cursor) < 5_000
        desk2 = Desk()
        desk2.cursor = desk.cursor
        async with listening(make_discourse(fake, window=100), desk2):
            await more(looks(fake), 6)
        assert not desk2.items
