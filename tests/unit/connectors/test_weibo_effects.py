"""Answering on Weibo, and deleting where there is a contract: once, and with the truth about what happened."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from weibo_scene import MEMBER, effect, listening, make, until

from connectors._weibo_api import Refused, TokenRefused
from connectors._weibo_wire import length_of
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind, PostKind
from monitor.core.ports import Capability
from monitor.testing.fake_weibo import FakeWeibo

pytestmark = pytest.mark.asyncio


async def test_an_answer_to_a_comment_stands_under_its_post() -> None:
    async with FakeWeibo() as fake:
        asked = fake.comment("哪天修好", MEMBER)
        weibo = make(fake)
        receipt = await weibo.perform(effect(f"c:{fake.post.key}:{asked.key}"), None)
        answer = fake.rows[int(receipt.removeprefix("said:"))]
        assert answer.parent == asked.key
        assert answer.text.startswith("回复@")
        assert effect(None).text in answer.text
        assert await weibo.read_back(effect(f"c:{fake.post.key}:{asked.key}")) == receipt
        await weibo.close()


async def test_an_answer_to_a_mention_is_a_comment_under_it() -> None:
    async with FakeWeibo() as fake:
        post = fake.write(MEMBER, "@工会 班车", mentions=True)
        weibo = make(fake)
        receipt = await weibo.perform(effect(f"m:{post.key}"), None)
        assert fake.rows[int(receipt.removeprefix("said:"))].post == post.key
        await weibo.close()


async def test_a_lost_answer_is_uncertain_and_found_again() -> None:
    async with FakeWeibo() as fake:
        asked = fake.comment("哪天修好", MEMBER)
        told = effect(f"c:{fake.post.key}:{asked.key}")
        weibo = make(fake)
        assert await weibo.read_back(told) is None
        fake.faults.drop_after["comments/reply"] = 1
        with pytest.raises(Uncertain):
            await weibo.perform(told, None)
        assert await weibo.read_back(told)
        assert await weibo.perform(told, None) == await weibo.read_back(told), "Weibo calls it a repetition"
        assert fake.said(told.mark) == 1
        await weibo.close()


async def test_a_repetition_that_is_not_ours_is_refused() -> None:
    async with FakeWeibo() as fake:
        asked = fake.comment("哪天修好", MEMBER)
        fake.faults.give("comments/reply", 20019)
        weibo = make(fake)
        with pytest.raises(Refused, match="same words"):
            await weibo.perform(effect(f"c:{fake.post.key}:{asked.key}"), None)
        await weibo.close()


async def test_the_same_reference_under_another_post_is_another_answer() -> None:
    async with FakeWeibo() as fake:
        one, two = fake.write(MEMBER, "甲", mentions=True), fake.write(MEMBER, "乙", mentions=True)
        weibo = make(fake)
        await weibo.perform(effect(f"m:{one.key}"), None)
        assert await weibo.read_back(effect(f"m:{two.key}")) is None
        await weibo.close()


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (20016, RateLimited, "often"),
        (10023, RateLimited, "quota"),
        (20012, Refused, "140"),
        (20021, Refused, "words"),
        (20031, Refused, "image code"),
        (20201, Refused, "not there"),
        (20206, Refused, "nobody"),
        (21327, TokenRefused, "authorise"),
        (10009, Unavailable, "busy"),
        (10003, Uncertain, "inside"),
        (29999, Refused, "29999"),
    ],
)
async def test_a_refusal_says_what_to_do(code: int, error: type[Exception], words: str) -> None:
    async with FakeWeibo() as fake:
        fake.faults.give("comments/reply", code)
        weibo = make(fake)
        with pytest.raises(error, match=words) as told:
            await weibo.perform(effect("c:1:2"), None)
        if isinstance(told.value, RateLimited):
            assert told.value.retry_at > datetime.now(UTC)
        await weibo.close()


async def test_accepted_but_delayed_is_not_sent_again() -> None:
    async with FakeWeibo() as fake:
        fake.faults.give("comments/reply", 20032)
        weibo = make(fake)
        assert await weibo.perform(effect("c:1:2"), None) == "pending:c:1:2"
        await weibo.close()


async def test_an_answer_that_is_too_long_never_leaves() -> None:
    async with FakeWeibo() as fake:
        weibo = make(fake)
        with pytest.raises(Rejected, match="141 characters"):
            await weibo.perform(effect("c:1:2", text="字" * 141), None)
        assert not fake.calls["comments/reply"]
        await weibo.close()
    assert [length_of(text) for text in ("", "a", "ab", "abc", "字", "字a")] == [0, 1, 1, 2, 1, 2]


async def test_without_a_contract_nothing_is_deleted() -> None:
    async with FakeWeibo() as fake:
        comment = fake.comment("广告", MEMBER)
        weibo = make(fake)
        assert Capability.REMOVE not in weibo.capabilities
        with pytest.raises(Rejected, match="commercial"):
            await weibo.perform(effect(f"c:{fake.post.key}:{comment.key}", EffectKind.REMOVE), None)
        assert not fake.calls["comments/destroy"]
        await weibo.close()


async def test_with_a_contract_comments_under_our_posts_are_deleted() -> None:
    async with FakeWeibo() as fake:
        fake.contract = True
        comment = fake.comment("广告", MEMBER)
        elsewhere = fake.comment("别处的", MEMBER, under=fake.write(MEMBER, "别人的"), mentions=True)
        weibo = make(fake, commercial=True)
        async with listening(weibo) as intake:
            await until(lambda: len(intake.posts) >= 2)
            told = effect(f"c:{fake.post.key}:{comment.key}", EffectKind.REMOVE)
            assert await weibo.read_back(told) is None
            assert await weibo.perform(told, None) == f"deleted:{told.handle}"
            assert await weibo.read_back(told)
            assert await weibo.perform(told, None) == f"gone:{told.handle}"
            with pytest.raises(Refused, match="author"):
                await weibo.perform(effect(f"c:{elsewhere.post}:{elsewhere.key}", EffectKind.REMOVE), None)
            await until(lambda: intake.of(PostKind.REMOVAL))
        (removal,) = intake.of(PostKind.REMOVAL)
        assert removal.by == "self"


@pytest.mark.parametrize("kind", [EffectKind.HIDE, EffectKind.RESTORE, EffectKind.MUTE])
async def test_what_weibo_cannot_do_is_refused(kind: EffectKind) -> None:
    async with FakeWeibo() as fake:
        weibo = make(fake)
        with pytest.raises(Rejected, match="app of Weibo"):
            await weibo.perform(effect("c:1:2", kind), None)
        assert await weibo.read_back(effect("c:1:2", kind)) is None
        await weibo.close()


@pytest.mark.parametrize("handle", [None, "", "c:1", "c:x:2", "m:", "m:1:2", "c:0:1", "5112"])
async def test_a_handle_that_is_none_is_refused(handle: str | None) -> None:
    async with FakeWeibo() as fake:
        weibo = make(fake, commercial=True)
        for kind in (EffectKind.REPLY, EffectKind.REMOVE):
            with pytest.raises(Rejected):
                await weibo.perform(effect(handle, kind), None)
        assert not fake.requests
        await weibo.close()
