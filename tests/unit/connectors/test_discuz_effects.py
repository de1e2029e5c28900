"""Answering and moderating in a Discuz! forum: once, openly, and with the truth about what happened."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import pytest
from discuz_scene import MEMBER, effect, listening, looked, make, until

from connectors._discuz_api import Refused
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind, PostKind
from monitor.core.ports import Capability
from monitor.testing.fake_discuz import FakeDiscuz

pytestmark = pytest.mark.asyncio


async def test_an_answer_stands_in_the_topic_and_points_at_its_post() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        asked = fake.post(topic.tid, "哪天修好", MEMBER)
        discuz = make(fake)
        receipt = await discuz.perform(effect(f"{topic.tid}:{asked.pid}"), None)
        answer = topic.posts[-1]
        assert receipt == f"said:{topic.tid}:{answer.pid}"
        assert answer.uid == fake.uid
        assert answer.words is not None
        assert answer.words.endswith("已转后勤处，今天18点前答复。\n编号〔H-1-7〕")
        assert f"pid={asked.pid}&ptid={topic.tid}" in answer.words
        assert "哪天修好" not in answer.words, "the member's words are not repeated"
        await discuz.close()


async def test_an_answer_to_the_topic_itself_points_at_nothing() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        await discuz.perform(effect(f"{topic.tid}:{topic.posts[0].pid}:1"), None)
        await discuz.perform(effect(None, thread=str(topic.tid), text="再补充一句，明天修好"), None)
        assert [post.words for post in topic.posts[1:]] == [effect(None).text, "再补充一句，明天修好"]
        await discuz.close()


async def test_a_form_hash_that_has_grown_old_is_fetched_anew() -> None:
    """The forum answers it with a page and status 503, like a server that is down; nothing was done then."""
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        await discuz.perform(effect(None, thread=str(topic.tid)), None)
        discuz._api._hash = "00000000"
        await discuz.perform(
            effect(None, thread=str(topic.tid), mark="〔H-2-8〕", text="第二个答复〔H-2-8〕"), None
        )
        assert fake.refused_hashes == 1
        assert fake.said("〔H-2-8〕") == 1
        await discuz.close()


async def test_a_session_that_lapsed_before_an_answer_is_opened_again() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        await discuz.check()
        fake.lapse()
        await discuz.perform(effect(None, thread=str(topic.tid)), None)
        assert fake.said("〔H-1-7〕") == 1
        await discuz.close()


async def test_a_lost_answer_is_uncertain_and_found_again() -> None:
    async with FakeDiscuz(per_page=2) as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        told = effect(None, thread=str(topic.tid))
        assert await discuz.read_back(told) is None
        fake.faults.drop_after["sendreply"] = 1
        with pytest.raises(Uncertain):
            await discuz.perform(told, None)
        for n in range(5):
            fake.post(topic.tid, f"后来的第 {n} 句", MEMBER)
        fake.post(topic.tid, f"有人抄了编号 {told.mark}", MEMBER)
        assert await discuz.read_back(told) == f"said:{topic.tid}:{topic.posts[1].pid}"
        assert fake.said(told.mark) == 1
        await discuz.close()


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        ("post_flood_ctrl", RateLimited, "wait"),
        ("post_flood_ctrl_posts_per_hour", RateLimited, "wait"),
        ("thread_nonexistence", Refused, "not there"),
        ("post_thread_closed", Refused, "closed"),
        ("no_privilege_newbiespan", Refused, "too new"),
        ("some_new_message", Refused, "some_new_message"),
    ],
)
async def test_a_refusal_says_what_to_do(message: str, error: type[Exception], words: str) -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        fake.faults.give("sendreply", message)
        discuz = make(fake)
        with pytest.raises(error, match=words) as told:
            await discuz.perform(effect(None, thread=str(topic.tid)), None)
        if isinstance(told.value, RateLimited):
            assert told.value.retry_at > datetime.now(UTC)
        await discuz.close()


async def test_an_answer_that_waits_for_approval_is_not_sent_again() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        fake.faults.give("sendreply", "post_reply_mod_succeed")
        discuz = make(fake)
        told = effect(None, thread=str(topic.tid))
        assert await discuz.read_back(told) is None
        assert await discuz.perform(told, None) == f"pending:{topic.tid}"
        with pytest.raises(Rejected, match="approved"):
            await discuz.read_back(told)  # nobody can tell, so a person looks
        await discuz.close()


async def test_hide_show_and_remove_and_what_listening_says_of_them() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        post = fake.post(topic.tid, "加微信领奖", MEMBER)
        handle = f"{topic.tid}:{post.pid}"
        discuz = make(fake)
        async with listening(discuz) as intake:
            await until(lambda: len(intake.posts) >= 2)
            for kind in (EffectKind.HIDE, EffectKind.RESTORE, EffectKind.REMOVE):
                told = effect(handle, kind)
                assert await discuz.read_back(told) is None
                receipt = await discuz.perform(told, None)
                assert await discuz.read_back(told)
                assert str(post.pid) in receipt
                await looked(fake)
            await until(lambda: len(intake.of(PostKind.REMOVAL)) >= 2)
        assert [each.by for each in intake.of(PostKind.REMOVAL)] == ["self", "self"]
        assert fake.done == {f"banpost=1 {post.pid}": 1, f"banpost=0 {post.pid}": 1, f"delpost {post.pid}": 1}


async def test_the_first_post_goes_with_its_topic() -> None:
    """Asked to remove it alone, the forum answers with a page and does nothing."""
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "加微信领奖", "加微信领奖", MEMBER)
        discuz = make(fake)
        told = effect(
            f"{topic.tid}:{topic.posts[0].pid}", EffectKind.REMOVE
        )  # that it is the first is not said
        await discuz.perform(told, None)
        assert topic.gone
        assert await discuz.read_back(told)
        await discuz.close()


async def test_what_is_not_there_is_no_success() -> None:
    """The forum says admin_succeed to everything."""
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        handle = f"{topic.tid}:99999"
        assert await discuz.perform(effect(handle, EffectKind.REMOVE), None) == "gone:99999"
        with pytest.raises(Rejected, match="recycle bin"):
            await discuz.perform(effect(handle, EffectKind.RESTORE), None)
        assert not fake.done
        await discuz.close()


async def test_twice_hidden_is_once() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        told = effect(f"{topic.tid}:{topic.posts[0].pid}:1", EffectKind.HIDE)
        assert await discuz.perform(told, None) == await discuz.perform(told, None)
        assert fake.done.total() == 1
        await discuz.close()


async def test_an_account_that_is_no_moderator_only_answers() -> None:
    async with FakeDiscuz() as fake:
        fake.moderated.clear()
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        health = await discuz.check()
        assert health.ok
        assert "不是版主" in health.message
        assert discuz.capabilities == {Capability.LISTEN, Capability.REPLY, Capability.READ_BACK}
        with pytest.raises(Rejected, match="moderator"):
            await discuz.perform(effect(f"{topic.tid}:{topic.posts[0].pid}", EffectKind.HIDE), None)
        await discuz.close()


async def test_a_visitor_reads_and_does_nothing() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake, username="", password="")
        assert discuz.capabilities == {Capability.LISTEN}
        with pytest.raises(Rejected, match="account"):
            await discuz.perform(effect(None, thread=str(topic.tid)), None)
        async with listening(discuz) as intake:
            await until(lambda: intake.posts)
        assert not fake.calls["login"]


async def test_a_forum_in_gbk_is_told_the_coding_and_gets_nothing_that_it_cannot_hold() -> None:
    async with FakeDiscuz("gbk") as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        await discuz.perform(effect(None, thread=str(topic.tid)), None)
        assert topic.posts[-1].words == effect(None).text
        with pytest.raises(Rejected, match="GBK"):
            await discuz.perform(effect(None, thread=str(topic.tid), text="修好了😀〔H-1-7〕"), None)
        async with listening(discuz) as intake:
            await until(lambda: intake.posts)
        assert intake.said() == ["停水了"]


@pytest.mark.parametrize("handle", [None, "", "x", "1", "5:", ":5", "1:2:3", "1:2:1:1", "9" * 30 + ":1"])
async def test_a_handle_that_is_none_is_refused(handle: str | None) -> None:
    async with FakeDiscuz() as fake:
        discuz = make(fake)
        for kind in (EffectKind.REPLY, EffectKind.HIDE, EffectKind.REMOVE):
            with pytest.raises(Rejected):
                await discuz.perform(effect(handle, kind), None)
        assert not fake.calls["sendreply"]
        assert not fake.calls["topicadmin"]
        await discuz.close()


async def test_an_unreadable_answer_to_a_write_is_uncertain_and_to_a_read_unavailable() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        discuz = make(fake)
        await discuz.check()
        fake.faults.raw["sendreply"] = deque([b"{", b"<html>", b"[]"])
        for _turn in range(3):
            with pytest.raises(Uncertain):
                await discuz.perform(effect(None, thread=str(topic.tid)), None)
        fake.faults.raw["viewthread"] = deque([b"{"])
        with pytest.raises(Unavailable):
            await discuz.read_back(effect(None, thread=str(topic.tid)))
        await discuz.close()
