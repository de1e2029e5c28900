"""A NodeBB forum is looked at, answered and moderated: a wrong token is noticed, and nothing happens twice."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiohttp import web
from forum_scene import listening, make_nodebb, more, notices
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors._comments_words import as_markdown
from connectors._nodebb_api import error_of
from connectors._nodebb_forum import Forum, is_federated, is_gone, number_of, read_post
from connectors._rest import Answer
from connectors.nodebb import connector
from monitor.core.errors import ConfigError, Malformed, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind, PostKind
from monitor.core.ports import ChannelConfig
from monitor.testing import desk as desk_of
from monitor.testing.fake_nodebb import FakeNodeBB, FakePost

K = EffectKind
PAGE = "GET /api/recent/posts/alltime"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


def looks(fake: FakeNodeBB) -> Any:
    return lambda: fake.calls["GET /api/self"]


def effect(post: FakePost | None, kind: EffectKind = K.REPLY, **fields: Any) -> Effect:
    handle, thread = (str(post.pid), str(post.tid)) if post else (None, "77")
    return desk_of.effect(kind, "bbs", **{"handle": handle, "thread": thread, **fields})


def ours(fake: FakeNodeBB) -> list[FakePost]:
    return [post for post in fake.posts.values() if post.uid == fake.uid]


# --- looking ---------------------------------------------------------------------------------------


@asyncs
async def test_a_gap_over_many_pages_is_read_to_its_end() -> None:
    async with FakeNodeBB() as fake:
        fake.post("<p>之前</p>")
        async with listening(make_nodebb(fake)) as desk:
            await desk.until(lambda: desk.texts)
        said = ["之前"]
        for n in range(95):
            fake.post(f"<p>断线时 {n}</p>")
            said.append(f"断线时 {n}")
        async with listening(make_nodebb(fake), desk):
            await desk.until(lambda: len(desk.texts) == len(said))
            await more(looks(fake))
        assert desk.said() == said
        assert max(desk.handed.values()) == 1


@asyncs
async def test_edits_and_removals_are_followed() -> None:
    async with FakeNodeBB() as fake:
        post, topic, purged = (
            fake.post("<p>原话</p>"),
            fake.post("<p>主题</p>", tid=5),
            fake.post("<p>清除</p>"),
        )
        async with listening(make_nodebb(fake)) as desk:
            await desk.until(lambda: len(desk.texts) == 3)
            post.content = "<p>改了</p>"
            await desk.until(lambda: notices(desk, PostKind.EDIT))
            post.deleted = True
            await desk.until(lambda: notices(desk, PostKind.REMOVAL))
            post.deleted = False
            await desk.until(lambda: notices(desk, PostKind.RESTORE))
            fake.gone_topics.add(5)
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 2)
            del fake.posts[purged.pid]
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 3)
            await more(looks(fake))
        assert [item.text for item in notices(desk, PostKind.EDIT)] == ["改了"]
        gone = [item.external_id for item in notices(desk, PostKind.REMOVAL)]
        assert gone == [str(each.pid) for each in (post, topic, purged)]


@asyncs
async def test_a_token_that_ends_removes_nothing() -> None:
    """As a guest NodeBB would show fewer posts: that is no removal."""
    async with FakeNodeBB() as fake:
        post = fake.post("<p>一条</p>")
        forum = make_nodebb(fake)
        async with listening(forum) as desk:
            await desk.until(lambda: desk.texts)
            token, fake.token = fake.token, "another"
            fake.posts.clear()
            await more(looks(fake), 5)
            assert "不认这个令牌" in (await forum.check()).message
            fake.token = token
            fake.posts[post.pid] = post
            fake.post("<p>又一条</p>")
            await desk.until(lambda: len(desk.texts) == 2)
        assert not notices(desk, PostKind.REMOVAL)


@asyncs
async def test_posts_of_other_servers_and_of_other_categories_and_our_own_are_left_alone() -> None:
    async with FakeNodeBB() as fake:
        fake.foreign = [{"pid": "https://other.example/post/1", "tid": 1, "content": "<p>外面的</p>"}] * 25
        fake.post("<p>别的版块</p>", cid=9)
        fake.post("<p>我们的</p>", fake.uid)
        fake.post("<p>本会</p>")
        forum = make_nodebb(fake, categories=[2])
        async with listening(forum) as desk:
            await desk.until(lambda: desk.texts)
            await more(looks(fake))
        assert desk.said() == ["本会"]
        assert not desk.broken


@asyncs
async def test_rate_limits_and_pages_of_a_proxy_only_cost_time() -> None:
    async with FakeNodeBB() as fake:
        fake.faults.give(
            PAGE,
            web.Response(status=429, headers={"Retry-After": "1"}),
            web.Response(text="<html>登录", content_type="text/html"),
            web.json_response({"path": "/"}, status=404),
            web.json_response({"posts": []}),
        )
        fake.post("<p>之后</p>")
        async with listening(make_nodebb(fake)) as desk:
            await desk.until(lambda: desk.texts)
        assert not desk.errors


def test_settings_that_cannot_work_are_refused_by_name() -> None:
    good = {"url": "https://bbs.example.org", "token": "t"}
    wrong = (
        ("url", "x"),
        ("token", " "),
        ("token", "令牌"),
        ("poll_seconds", 0),
        ("history", -1),
        ("window", 1),
    )
    for key, value in wrong:
        with pytest.raises(ConfigError, match=key):
            connector(ChannelConfig("bbs", "nodebb", {**good, key: value}))


@asyncs
async def test_check_says_what_is_wrong_and_what_to_mend() -> None:
    async with FakeNodeBB() as fake:
        forum, stranger = make_nodebb(fake), make_nodebb(fake, token="wrong")
        assert (await forum.check()).ok
        assert "不认这个令牌" in (await stranger.check()).message
        fake.is_moderator = False
        told = await forum.check()
        assert not told.ok
        assert "gonghui 不是版主" in told.message
        for status, words in ((403, "看不到帖子"), (404, "没有论坛接口（HTTP 404）"), (500, "连不上论坛")):
            fake.faults.give(PAGE, web.json_response({}, status=status))
            assert words in (await forum.check()).message
        await forum.close()
        await stranger.close()


# --- acting ----------------------------------------------------------------------------------------


@asyncs
async def test_an_answer_stands_below_what_it_answers_word_for_word() -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>停水</p>"), make_nodebb(fake)
        told = effect(post, text="已转 *后勤处* <今天>\n〔H-7〕")
        receipt = await forum.perform(told, None)
        (made,) = ours(fake)
        assert receipt == f"post:{made.pid}"
        assert (made.tid, made.answers) == (77, post.pid)
        assert as_markdown(told.text) in made.content
        await forum.perform(effect(None, K.NOTICE, number=8), None)
        assert ours(fake)[1].answers is None
        await forum.close()


@asyncs
async def test_a_lost_answer_is_uncertain_and_is_found() -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>停水</p>"), make_nodebb(fake)
        for n in range(65):
            fake.post(f"<p>跟帖 {n}</p>")
        operation = f"POST /api/v3/topics/{post.tid}"
        fake.faults.drop_after[operation] = 1
        with pytest.raises(Uncertain):
            await forum.perform(effect(post), None)
        assert await forum.read_back(effect(post)) == f"post:{ours(fake)[0].pid}"
        fake.faults.drop_before[operation] = 1
        with pytest.raises(Uncertain):
            await forum.perform(effect(post, number=8), None)
        assert await forum.read_back(effect(post, number=8)) is None
        await forum.close()


@asyncs
async def test_an_answer_that_waits_for_approval_is_known_again_and_told() -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>停水</p>"), make_nodebb(fake)
        fake.faults.queues = True
        assert await forum.perform(effect(post), None) == "queued:reply-1"
        assert await forum.read_back(effect(post)) == "queued:reply-1"
        assert await forum.read_back(effect(post, number=8)) is None
        assert "等待审核" in (await forum.check()).message
        await forum.close()


@asyncs
@pytest.mark.parametrize("kind", [K.REMOVE, K.HIDE])
async def test_removing_is_done_once_and_can_be_undone(kind: EffectKind) -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>广告</p>"), make_nodebb(fake)
        told, back = effect(post, kind), effect(post, K.RESTORE)
        assert await forum.read_back(told) is None
        for _time in range(2):
            assert await forum.perform(told, None) == f"deleted:{post.pid}"
        assert fake.done[f"delete {post.pid}"] == 1
        assert await forum.read_back(told)
        assert await forum.read_back(back) is None
        for _time in range(2):
            assert await forum.perform(back, None) == f"restored:{post.pid}"
        assert fake.done[f"restore {post.pid}"] == 1
        del fake.posts[post.pid]
        with pytest.raises(Rejected, match="removed for good"):
            await forum.perform(back, None)
        assert await forum.perform(told, None)
        await forum.close()


@asyncs
async def test_muting_takes_a_time_and_never_shortens_a_longer_one() -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>骂人</p>"), make_nodebb(fake)
        told = effect(post, K.MUTE)
        assert await forum.read_back(told) is None
        await forum.perform(told, str(post.uid))
        until = fake.muted[post.uid]
        assert abs(until - time.time() * 1000 - 600_000) < 60_000
        assert await forum.read_back(told)
        fake.muted[post.uid] = until * 2
        await forum.perform(told, str(post.uid))
        assert fake.muted[post.uid] == until * 2
        for author in (None, "0", "x"):
            with pytest.raises(Rejected, match="names no member"):
                await forum.perform(told, author)
        await forum.close()


@asyncs
async def test_without_moderators_rights_nothing_happens() -> None:
    async with FakeNodeBB() as fake:
        post = fake.post("<p>广告</p>")
        fake.is_moderator = False
        forum, modest = make_nodebb(fake), make_nodebb(fake, moderates=False)
        with pytest.raises(Rejected, match="no right"):
            await forum.perform(effect(post, K.REMOVE), None)
        with pytest.raises(Rejected, match="may only answer"):
            await modest.perform(effect(post, K.REMOVE), None)
        for handle in (None, "x", "0", "9" * 30):
            with pytest.raises(Rejected, match="names no post"):
                await forum.perform(effect(None, K.REMOVE, handle=handle), None)
        assert not post.deleted
        await forum.close()
        await modest.close()


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (200, "application/json", None), (202, "application/json", None), (200, "text/html", Uncertain),
        (302, "text/plain", Unavailable), (400, "application/json", Rejected), (403, "text/html", Unavailable),
        (429, "text/html", RateLimited), (500, "application/json", Uncertain),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, kind: str, error: type | None) -> None:
    found = error_of(Answer(status, {"Content-Type": kind}, b"<html>x"))
    assert found is None if error is None else isinstance(found, error)


@asyncs
async def test_a_200_that_does_not_say_so_is_no_success() -> None:
    async with FakeNodeBB() as fake:
        post, forum = fake.post("<p>停水</p>"), make_nodebb(fake)
        operation = f"POST /api/v3/topics/{post.tid}"
        for body in (
            {},
            {"status": {"code": "ok"}, "response": {}},
            {"status": "ok"},
            {"status": {"code": "no"}},
        ):
            fake.faults.give(operation, web.json_response(body))
            with pytest.raises(Uncertain):
                await forum.perform(effect(post), None)
        await forum.close()


# --- whatever comes --------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("tid", "uid", "toPid", "content", "timestamp", "deleted", "topic", "category", "isMainPost", "user")
ROWS = st.fixed_dictionaries({"pid": st.integers() | VALUES}, optional=dict.fromkeys(KEYS, VALUES))


@settings(max_examples=300)
@given(ROWS | VALUES, st.sampled_from(list(PostKind)))
def test_any_row_is_read_or_told_to_be_unreadable(row: Any, kind: PostKind) -> None:
    is_federated(row)
    if number_of(row) is None:
        return
    Forum("bbs", "https://b.example", None, (2,), set()).outside(row)  # type: ignore[arg-type]
    is_gone(row)
    try:
        post = read_post("bbs", "https://b.example", row, kind)
    except Malformed:
        return
    assert kind in (PostKind.REMOVAL, PostKind.RESTORE) or post.text.strip()
