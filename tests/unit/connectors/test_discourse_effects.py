"""Answering, removing, restoring, silencing at Discourse, and looking whether it happened: once, and never twice."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from forum_scene import listening, make_discourse, notices

from connectors._comments_words import as_markdown
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind, PostKind
from monitor.testing import desk as desk_of
from monitor.testing.fake_discourse import FakeDiscourse, FakePost

K = EffectKind
POST = "POST /posts.json"


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


def effect(post: FakePost | None, kind: EffectKind = K.REPLY, **fields: Any) -> Effect:
    handle, thread = (str(post.id), str(post.topic)) if post else (None, "77")
    return desk_of.effect(kind, "bbs", **{"handle": handle, "thread": thread, **fields})


def ours(fake: FakeDiscourse) -> list[FakePost]:
    return [post for post in fake.posts.values() if post.username == fake.username]


@asyncs
async def test_an_answer_stands_below_what_it_answers_word_for_word() -> None:
    async with FakeDiscourse() as fake:
        post = fake.post("停水两天了")
        forum = make_discourse(fake)
        told = effect(post, text="已转 *后勤处* <今天> #1\n1. 修\n〔H-7〕 https://x.example/a_b")
        receipt = await forum.perform(told, None)
        (made,) = ours(fake)
        assert receipt == f"post:{made.id}"
        assert (made.topic, made.answers) == (post.topic, post.number)
        assert made.raw == as_markdown(told.text)
        assert r"\*后勤处\*" in made.raw
        assert "https://x.example/a_b" in made.raw
        assert await forum.read_back(told) == receipt
        await forum.close()


@asyncs
async def test_an_answer_follows_a_post_that_was_moved_and_stands_in_the_topic_when_it_is_gone() -> None:
    async with FakeDiscourse() as fake:
        moved, gone = fake.post("移走的", topic=5), fake.post("删掉的", topic=6)
        fake.post("还在的", topic=6)
        moved.topic = 9
        fake.delete(gone)
        forum = make_discourse(fake)
        await forum.perform(effect(moved, thread="5"), None)
        await forum.perform(effect(gone, number=8), None)
        await forum.perform(effect(None, K.NOTICE, number=9, thread="6"), None)
        assert [(p.topic, p.answers) for p in ours(fake)] == [(9, moved.number), (6, None), (6, None)]
        await forum.close()


@asyncs
async def test_a_lost_answer_is_uncertain_and_is_found() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        fake.faults.drop_after[POST] = 1
        with pytest.raises(Uncertain):
            await forum.perform(effect(post), None)
        assert await forum.read_back(effect(post)) == f"post:{ours(fake)[0].id}"
        fake.faults.drop_before[POST] = 1
        with pytest.raises(Uncertain):
            await forum.perform(effect(post, number=8), None)
        assert await forum.read_back(effect(post, number=8)) is None
        assert len(ours(fake)) == 1
        await forum.close()


@asyncs
async def test_sending_again_within_two_minutes_is_the_same_post() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        assert await forum.perform(effect(post), None) == await forum.perform(effect(post), None)
        assert len(ours(fake)) == 1
        fake._memory.clear()  # later Discourse refuses them as said before: they stand there
        assert await forum.perform(effect(post), None) == f"post:{ours(fake)[0].id}"
        assert len(ours(fake)) == 1
        await forum.close()


@asyncs
async def test_words_that_are_refused_are_not_said() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        for text, why in (("短", "too short"), ("  ", "no words")):
            with pytest.raises(Rejected, match=why):
                await forum.perform(effect(post, text=text, mark=""), None)
        with pytest.raises(Rejected, match="names no topic"):
            await forum.perform(effect(None, thread="主题"), None)
        assert not ours(fake)
        await forum.close()


@asyncs
async def test_an_answer_that_waits_for_approval_is_known_again_and_told() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        fake.faults.enqueue = True
        assert await forum.perform(effect(post), None) == "enqueued"
        assert await forum.read_back(effect(post)) == "enqueued"
        assert await forum.read_back(effect(post, number=8, mark="〔H-8〕")) is None
        assert "等待审核" in (await forum.check()).message
        await forum.close()


@asyncs
async def test_somebody_elses_words_with_our_mark_are_not_ours() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        told = effect(post)
        fake.post(f"他们说{told.mark}", "laowang")
        assert await forum.read_back(told) is None
        await forum.close()


@asyncs
async def test_an_old_answer_in_a_long_topic_is_found() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        await forum.perform(effect(post), None)
        for n in range(150):
            fake.post(f"跟帖 {n}")
        assert await forum.read_back(effect(post))
        await forum.close()


@asyncs
@pytest.mark.parametrize("kind", [K.REMOVE, K.HIDE])
async def test_removing_is_done_once_and_can_be_undone(kind: EffectKind) -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("广告"), make_discourse(fake)
        told, back = effect(post, kind), effect(post, K.RESTORE)
        assert await forum.read_back(told) is None
        assert await forum.read_back(back)
        for _time in range(2):
            assert await forum.perform(told, None) == f"deleted:{post.id}"
        assert post.deleted
        assert fake.done[f"delete {post.id}"] == 1
        assert await forum.read_back(told)
        assert await forum.read_back(back) is None
        for _time in range(2):
            assert await forum.perform(back, None) == f"recovered:{post.id}"
        assert not post.deleted
        assert fake.done[f"recover {post.id}"] == 1
        await forum.close()


@asyncs
async def test_our_own_removal_is_known_as_ours() -> None:
    async with FakeDiscourse() as fake:
        post, other = fake.post("广告"), fake.post("别人删的")
        forum = make_discourse(fake)
        async with listening(forum) as desk:
            await desk.until(lambda: len(desk.texts) == 2)
            await forum.perform(effect(post, K.REMOVE), None)
            fake.delete(other)
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 2)
        by = {item.external_id: item.by for item in notices(desk, PostKind.REMOVAL)}
        assert by == {str(post.id): "self", str(other.id): "moderator"}


@asyncs
async def test_what_was_purged_cannot_come_back_and_need_not_be_removed() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("广告"), make_discourse(fake)
        del fake.posts[post.id]
        assert await forum.perform(effect(post, K.REMOVE), None)
        with pytest.raises(Rejected, match="for good"):
            await forum.perform(effect(post, K.RESTORE), None)
        with pytest.raises(Rejected, match="names no post"):
            await forum.perform(effect(post, K.REMOVE, handle="x7"), None)
        await forum.close()


@asyncs
async def test_silencing_takes_a_time_and_a_second_one_is_no_fault() -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("骂人"), make_discourse(fake)
        told = effect(post, K.MUTE)
        assert await forum.read_back(told) is None
        assert await forum.perform(told, str(post.user_id)) == "silenced:7"
        assert fake.silenced[post.user_id].endswith("Z")
        assert await forum.read_back(told)
        assert await forum.perform(told, str(post.user_id)) == "silenced:7"
        with pytest.raises(Rejected, match="shorter time"):
            await forum.perform(effect(post, K.MUTE, seconds=86_400), str(post.user_id))
        with pytest.raises(Rejected, match="names no member"):
            await forum.perform(told, None)
        with pytest.raises(Rejected, match="not there any more"):
            await forum.perform(told, "4711")
        fake.silenced[post.user_id] = "3026-01-01T00:00:00.000Z"  # for ever, as Discourse writes it
        assert await forum.read_back(told)
        await forum.close()


@asyncs
async def test_without_moderators_rights_nothing_is_tried() -> None:
    async with FakeDiscourse() as fake:
        post = fake.post("广告")
        fake.is_moderator = False
        forum, modest = make_discourse(fake), make_discourse(fake, moderates=False)
        with pytest.raises(Rejected, match="no right"):
            await forum.perform(effect(post, K.REMOVE), None)
        with pytest.raises(Rejected, match="may only answer"):
            await modest.perform(effect(post, K.REMOVE), None)
        assert fake.calls[f"DELETE /posts/{post.id}.json"] == 1
        await forum.close()
        await modest.close()


@asyncs
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.Response(status=429, headers={"Retry-After": "7"}, text="Slow down"), RateLimited),
        (web.Response(status=403, text="<html>Cloudflare", content_type="text/html"), Unavailable),
        (web.Response(status=502, text="<html>Bad gateway", content_type="text/html"), Uncertain),
        (web.Response(text="<html>sign in", content_type="text/html"), Uncertain),
        (web.json_response({"success": True}), Uncertain),
        (web.Response(text="[]", content_type="application/json"), Uncertain),
        (web.json_response({"errors": ["x"]}, status=403), Rejected),
        (web.Response(status=302, headers={"Location": "https://other.example/"}), Unavailable),
    ],
)
async def test_what_an_answer_to_an_answer_means(answer: web.Response, error: type) -> None:
    async with FakeDiscourse() as fake:
        post, forum = fake.post("停水"), make_discourse(fake)
        fake.faults.give(POST, answer)
        with pytest.raises(error) as told:
            await forum.perform(effect(post), None)
        assert effect(post).text not in str(told.value)
        assert not ours(fake)
        await forum.close()
