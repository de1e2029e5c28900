"""Looking at comments: nothing lost, nothing twice, removals seen, over real sockets and with WeChat's faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wechat_scene import ARTICLE, MEMBER, Intake, listening, make, until

from connectors._posts import SHANGHAI
from connectors._wechat_ids import Article
from connectors._wechat_state import MOST_ARTICLES, Known, Shelf
from monitor.core.model import PostKind
from monitor.core.ports import Capability
from monitor.testing.fake_wechat import FakeWeChat


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


def fill(fake: FakeWeChat, count: int, **fields: Any) -> list[str]:
    """Put comments under the article and return their words."""
    return [fake.comment(ARTICLE, f"留言{n}", MEMBER, **fields).content for n in range(count)]


@asyncs
async def test_comment_becomes_a_post_that_can_be_acted_on() -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "食堂涨价了吗", MEMBER)
        fake.comment(ARTICLE, "支持", elected=True)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 2)
    first, second = intake.posts
    assert (first.external_id, first.handle, first.thread) == ("c:12003:2:1", "c:12003:2:1", "a:12003:2")
    assert first.text == "食堂涨价了吗"
    assert first.author == MEMBER
    assert first.posted_at is not None
    assert first.posted_at.timestamp() == 1_767_225_660
    assert second.author is None


@asyncs
@pytest.mark.parametrize("count", [0, 1, 48, 49, 50, 98, 147])
async def test_every_page_is_read_once(count: int) -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, count)
        fake.articles.setdefault(ARTICLE, {})
        async with listening(make(fake)) as intake:
            await until(lambda: fake.calls["comment/list"] >= 2 * (count // 49 + 1))
            assert intake.said() == said
            fake.comment(ARTICLE, "新的一条")
            await until(lambda: len(intake.posts) == count + 1)
    assert not intake.removals


@asyncs
async def test_total_of_zero_and_a_page_that_repeats_are_not_believed() -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 60)
        fake.faults.zero_total = fake.faults.repeat_page = fake.faults.no_openid = True
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 60)
            del fake.articles[ARTICLE][7]
            await until(lambda: intake.removals)  # such a look is complete all the same
    assert intake.said() == said
    assert {post.author for post in intake.posts} == {None}


@asyncs
async def test_listening_goes_on_after_the_cursor() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 60)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 60)
        fake.comment(ARTICLE, "停机时的留言")
        del fake.articles[ARTICLE][5]
        again = Intake(intake.cursor)
        async with listening(make(fake), again):
            await until(lambda: again.removals)
    assert again.said() == ["停机时的留言"]
    assert [item.external_id for item in again.removals] == ["c:12003:2:5"]


@asyncs
async def test_crash_between_pages_loses_nothing_and_doubles_nothing() -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 120)
        wechat = make(fake)
        stream = wechat.posts(None)
        first = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await wechat.close()
        intake = Intake(first.cursor)
        intake.take(first.items)
        async with listening(make(fake), intake):
            await until(lambda: len(intake.posts) >= 120)
            await until(lambda: fake.calls["comment/list"] > 9)
    assert intake.said() == said


@asyncs
async def test_batch_that_was_not_stored_comes_again() -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 3)
        wechat = make(fake)
        for _turn in range(2):
            stream = wechat.posts(None)
            batch = await anext(stream)
            assert [item.text for item in batch.items if hasattr(item, "text")] == said
            await stream.aclose()  # type: ignore[attr-defined]
        await wechat.close()


@asyncs
async def test_removal_is_told_after_two_looks_and_return_after_one() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 3)
        kept = fake.articles[ARTICLE][2]
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 3)
            looks = fake.calls["comment/list"]
            del fake.articles[ARTICLE][2]
            await until(lambda: intake.removals)
            assert fake.calls["comment/list"] - looks >= 4  # two looks of two pages each
            fake.articles[ARTICLE][2] = kept
            await until(lambda: intake.of(PostKind.RESTORE))
            await asyncio.sleep(0.1)
    (removal,), (restore,) = intake.removals, intake.of(PostKind.RESTORE)
    assert removal.external_id == restore.external_id == "c:12003:2:2"
    assert removal.by is None
    assert len(intake.posts) == 3


@asyncs
async def test_one_empty_answer_removes_nothing() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 3)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 3)
            empty = json.dumps({"errcode": 0, "errmsg": "ok", "total": 3, "comment": []}).encode()
            fake.faults.raw["comment/list"] = deque([empty])
            await asyncio.sleep(0.3)
    assert not intake.removals


@asyncs
async def test_token_that_ends_in_the_middle_of_the_pages_is_changed_once() -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 120)
        fake.faults.expire_after = 2
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) == 120)
    assert intake.said() == said
    assert fake.calls["stable_token"] == 2
    assert fake.force_refreshes == 0


@asyncs
@pytest.mark.parametrize("code", [40001, 40014, 42001, -1, 45011])
async def test_codes_that_pass_cost_nothing(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 60)
        fake.faults.give("comment/list", code)
        wechat = make(fake)
        if code == 45011:
            monkeypatch.setattr(wechat._comments, "_pause_after", lambda error: 0.02)
        async with listening(wechat) as intake:
            await until(lambda: len(intake.posts) == 60)
    assert intake.said() == said


@asyncs
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "pages", "status", "raw", "huge", "slow"])
async def test_faults_of_the_way_cost_nothing(fault: str) -> None:
    async with FakeWeChat() as fake:
        said = fill(fake, 120)
        step = "comment/list"
        if fault in ("drop_before", "drop_after", "pages"):
            getattr(fake.faults, fault)[step] = 2
        elif fault == "status":
            fake.faults.statuses[step] = deque([500, 502, 403, 302])
        elif fault == "slow":
            fake.faults.delay = 0.3
        else:
            spoilt = [b"", b"[]", b"{", b'{"errcode": 0, "comment": 7}', b"\xff"]
            fake.faults.raw[step] = deque(spoilt if fault == "raw" else [b" " * 9_000_000])
        async with listening(make(fake, call_seconds=0.2 if fault == "slow" else 2.0)) as intake:
            if fault == "slow":
                await asyncio.sleep(0.5)
                fake.faults.delay = 0.0
            await until(lambda: len(intake.posts) >= 120)
            await asyncio.sleep(0.1)
    assert intake.said() == said
    assert not intake.removals


@asyncs
async def test_too_many_requests_are_waited_out() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 1)
        fake.faults.statuses["comment/list"] = deque([429])
        fake.faults.headers = {"Retry-After": "1"}
        begun = time.monotonic()
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
    assert time.monotonic() - begun >= 0.9


@asyncs
async def test_rows_that_cannot_be_read_are_told_once_and_their_neighbours_go_on() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 2)
        fake.comment(ARTICLE, None)
        fake.comment(ARTICLE, " \x00 ")
        fake.comment(ARTICLE, "a\ud800b\x00c")
        nameless = fake.comment(ARTICLE, "没有编号")
        nameless.number = "x"  # type: ignore[assignment]
        async with listening(make(fake)) as intake:
            await until(lambda: fake.calls["comment/list"] > 10)
        again = Intake(intake.cursor)
        async with listening(make(fake), again):
            await asyncio.sleep(0.2)
    assert sorted(item.reason for item in intake.broken) == ["empty", "no_id", "no_text"]
    assert intake.said() == ["留言0", "留言1", "a\ufffdbc"]
    assert not again.items
    assert not intake.removals


@asyncs
async def test_article_that_refuses_holds_up_no_other() -> None:
    async with FakeWeChat() as fake:
        fake.comment((1, 0), "第一篇")
        fake.comment((3, 0), "第三篇")
        wechat = make(fake, articles=["1_1", "2_1", "3_1"])
        async with listening(wechat) as intake:
            await until(lambda: len(intake.posts) == 2)
            await until(lambda: wechat._comments.refused)
            health = await wechat.check()
            fake.comment((2, 0), "第二篇")
            await until(lambda: len(intake.posts) == 3)
            await until(lambda: not wechat._comments.refused)
    assert health.ok
    assert "其中 1 篇" in health.message


@asyncs
async def test_answer_that_only_one_article_spoils_holds_up_no_other() -> None:
    async with FakeWeChat() as fake:
        fake.comment((1, 0), "第一篇")
        fake.comment((2, 0), "第二篇")
        fake.faults.pages["comment/list"] = 1
        async with listening(make(fake, articles=["1_1", "2_1"], retry_seconds=0.1)) as intake:
            await until(lambda: len(intake.posts) == 2)
    assert intake.said() == ["第二篇", "第一篇"]


@asyncs
async def test_account_without_the_right_keeps_answering_only_until_it_has_it() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 1)
        fake.verified = False
        wechat = make(fake)
        assert Capability.REMOVE in wechat.capabilities
        async with listening(wechat) as intake:
            await until(lambda: Capability.REMOVE not in wechat.capabilities)
            assert wechat.capabilities == {Capability.LISTEN, Capability.REPLY}
            fake.verified = True
            await until(lambda: intake.posts)
            await until(lambda: Capability.REMOVE in wechat.capabilities)


@asyncs
async def test_articles_are_found_by_what_was_read() -> None:
    async with FakeWeChat() as fake:
        today = datetime.now(SHANGHAI).date()
        fake.read_on[(today - timedelta(days=1)).isoformat()] = ["12003_3", "oops", "12004_1"]
        fake.read_on[(today - timedelta(days=7)).isoformat()] = ["12003_3"]
        fake.comment(ARTICLE, "找到了")
        fake.comment((12004, 0), "也找到了")
        wechat = make(fake, articles=[], find_articles=True)
        assert "2 篇" in (await wechat.check()).message
        async with listening(wechat) as intake:
            await until(lambda: len(intake.posts) == 2)
    assert sorted(intake.said()) == ["也找到了", "找到了"]


@asyncs
async def test_account_that_is_not_told_its_articles_says_so() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 1)
        fake.faults.give("getarticlesummary", 48001)
        wechat = make(fake, find_articles=True)
        async with listening(wechat) as intake:
            await until(lambda: intake.posts)
            health = await wechat.check()
    assert health.ok
    assert "articles" in health.message


@asyncs
async def test_old_article_is_looked_at_slowly() -> None:
    async with FakeWeChat() as fake:
        fill(fake, 1)
        wechat = make(fake, fresh_days=0, slow_seconds=3600.0)
        async with listening(wechat) as intake:
            await until(lambda: intake.posts)
            await asyncio.sleep(0.2)
    assert fake.calls["comment/list"] == 2


@asyncs
async def test_close_ends_waiting_and_a_call_at_once() -> None:
    async with FakeWeChat() as fake:
        fake.articles[ARTICLE] = {}
        async with listening(make(fake, poll_seconds=3600.0)):
            await until(lambda: fake.calls["comment/list"])
        fake.faults.delay = 5.0
        begun = time.monotonic()
        async with listening(make(fake, call_seconds=60.0)):
            await until(lambda: fake.calls["stable_token"] == 2)
        assert time.monotonic() - begun < 3
    assert not [task for task in asyncio.all_tasks() if "Intake.listen" in repr(task)]


@asyncs
async def test_channel_without_comments_rests() -> None:
    async with FakeWeChat() as fake:
        wechat = make(fake, comments=False)
        assert wechat.capabilities == {Capability.LISTEN, Capability.REPLY}
        async with listening(wechat) as intake:
            await asyncio.sleep(0.05)
    assert not intake.items
    assert not fake.calls


# --- what is remembered ----------------------------------------------------------------------------

NUMBERS = st.sets(st.integers(1, 12))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_gone_means_absent_twice_or_deleted_by_us(looks: list[tuple[set[int], set[int]]]) -> None:
    """Against a model that keeps, for every number, how often in a row it was absent."""
    one, absent = Known(Article(1, 0), 0), dict[int, int]()
    for seen, ours in looks:
        one.known |= seen
        one.gone -= seen
        for number in seen:
            absent[number] = 0
        wanted = set()
        for number in [each for each in absent if each not in seen]:
            absent[number] += 1
            if absent[number] >= 2 or number in ours:
                wanted.add(number)
                del absent[number]
        assert one.settle(seen, ours) == wanted
        assert one.known == set(absent)


@given(st.text(max_size=80) | st.just('{"articles":{"x":{},"1:0":{"known":"1-3","since":5}}}'))
def test_any_cursor_is_survived(cursor: str) -> None:
    shelf = Shelf([Article(7, 0)])
    shelf.load(cursor)
    assert Article(7, 0) in [one.article for one in shelf]
    again = Shelf([])
    again.load(shelf.cursor())
    assert again.cursor() == shelf.cursor()


def test_shelf_is_bounded_and_keeps_what_was_declared() -> None:
    shelf = Shelf([Article(1, 0)])
    shelf.add(Article(number, 0) for number in range(2, 500))
    assert len(shelf) == MOST_ARTICLES + 1
    assert Article(1, 0) in [one.article for one in shelf]
