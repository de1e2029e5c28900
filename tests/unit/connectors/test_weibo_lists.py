"""Reading Weibo's lists: pages, gaps, tokens that end in the middle, and comments that go."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytest
from weibo_scene import MEMBER, Intake, listening, looked, make, until

from monitor.core.model import PostKind
from monitor.testing.fake_weibo import FakeWeibo

pytestmark = pytest.mark.asyncio
DAY = 86_400
SLOW = {"rescan_seconds": 3600, "mention_seconds": 3600}


async def test_a_comment_arrives_with_all_that_is_known_of_it() -> None:
    async with FakeWeibo() as fake:
        first = fake.comment("停水了", MEMBER)
        second = fake.comment("同问", MEMBER + 1, parent=first.key)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
    one, two = intake.posts
    assert (one.text, two.text) == ("停水了", "同问")
    assert one.external_id == f"c{first.key}"
    assert one.handle == f"c:{fake.post.key}:{first.key}"
    assert one.thread == str(fake.post.key)
    assert one.author == str(MEMBER)
    assert one.posted_at is not None
    assert abs(one.posted_at.timestamp() - first.at) < 2
    assert two.reply_to == one.external_id
    assert two.quoted == "停水了"
    assert second.key > 2**52


async def test_mentions_in_posts_and_comments_arrive_too() -> None:
    async with FakeWeibo() as fake:
        post = fake.write(MEMBER, "@工会 班车能不能加一班", mentions=True)
        fake.comment("@工会 看看这里", MEMBER, under=fake.write(MEMBER, "别人的微博"), mentions=True)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            await looked(fake)
    assert {each.text for each in intake.posts} == {"@工会 班车能不能加一班", "@工会 看看这里"}
    mention = next(each for each in intake.posts if each.external_id.startswith("m"))
    assert mention.handle == f"m:{post.key}"


async def test_what_is_neither_ours_nor_addressed_to_us_is_not_read() -> None:
    """Own channels only: other people's posts, our own comments, and mentions where they are not wanted."""
    async with FakeWeibo() as fake:
        other = fake.write(MEMBER, "别人的微博")
        fake.comment("和工会无关", MEMBER, under=other)
        ours = fake.comment("工会答复：已转后勤", fake.uid, under=other)
        fake.comment("谢谢工会", MEMBER, under=other, parent=ours.key)
        fake.write(MEMBER, "@工会 看看", mentions=True)
        async with listening(make(fake, mentions=False)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
    assert intake.said() == ["谢谢工会"]
    assert not fake.calls["statuses/mentions"]


async def test_many_pages_are_read_whole_and_in_their_order() -> None:
    async with FakeWeibo() as fake:
        fake.most = 4
        words = [f"第 {n} 条" for n in range(17)]
        for each in words:
            fake.comment(each, MEMBER)
        intake = Intake()
        async with listening(make(fake, **SLOW), intake):
            await until(lambda: len(intake.posts) >= 17)
            await looked(fake)
        assert intake.said() == words
        fake.comment("之后的", MEMBER)
        async with listening(make(fake, **SLOW), intake):
            await until(lambda: "之后的" in intake.said())
            await looked(fake)
    assert len(intake.posts) == 18, "and nothing is said twice"


async def test_a_backlog_is_handed_over_in_pieces_that_can_be_resumed() -> None:
    """A hundred calls a day: what was read must not be read again, even if the service stops in between."""
    async with FakeWeibo() as fake:
        fake.most = 2
        for n in range(20):
            fake.comment(f"第 {n} 条", MEMBER)
        cursor, heard = None, list[str]()
        while len(heard) < 20:
            weibo = make(fake, **SLOW)
            async for batch in weibo.posts(cursor):
                heard += [getattr(item, "text", "") for item in batch.items]
                cursor = batch.cursor
                break  # the service stops after every batch
            await weibo.close()
            fake.comment(f"插话 {len(heard)}", MEMBER) if len(heard) == 10 else None
        async with listening(make(fake, **SLOW), Intake(cursor)) as intake:
            await until(lambda: intake.posts)
    assert sorted(heard) == sorted(f"第 {n} 条" for n in range(20))
    assert intake.said() == ["插话 10"]


async def test_a_token_that_ends_between_two_pages_loses_nothing() -> None:
    async with FakeWeibo() as fake:
        fake.most = 2
        for n in range(7):
            fake.comment(f"第 {n} 条", MEMBER)
        fake.faults.expire_after = 3  # whose token it is, two pages, and no more
        async with listening(make(fake, **SLOW)) as intake:
            await until(lambda: len(intake.posts) >= 4)
            await looked(fake)
            assert len(intake.posts) == 4
            fake.faults.expire_after = 0
            await until(lambda: len(intake.posts) >= 7)
            await looked(fake)
    assert sorted(intake.said()) == [f"第 {n} 条" for n in range(7)]


async def test_rows_left_out_up_to_a_whole_page_do_not_end_the_list() -> None:
    """The open interface leaves out who has not authorised the app, and counts them all the same."""
    async with FakeWeibo() as fake:
        fake.most = 3
        fake.comment("最早的", MEMBER)
        for n in range(7):
            fake.comment(f"看不到 {n}", MEMBER, shown=False)
        fake.comment("最新的", MEMBER)
        async with listening(make(fake, **SLOW)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            await looked(fake)
    assert intake.said() == ["最早的", "最新的"]


async def test_a_count_that_leads_to_nothing_is_followed_once() -> None:
    """Looking for rows that Weibo does not show must not use up the quota."""
    async with FakeWeibo() as fake:
        for n in range(3):
            fake.comment(f"看不到 {n}", MEMBER, shown=False)
        async with listening(make(fake, mentions=False, **SLOW | {"mention_seconds": 1})):
            await looked(fake, 10)
            pages = [params["page"] for _way, path, params in fake.requests if path.endswith("to_me.json")]
    assert pages[:6] == ["1", "2", "3", "4", "5", "1"]
    assert set(pages[5:]) == {"1"}


async def test_a_list_is_asked_for_from_where_it_was_left() -> None:
    async with FakeWeibo() as fake:
        newest = fake.comment("停水了", MEMBER)
        async with listening(make(fake, mentions=False, rescan_seconds=3600)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
        asked = [params for _way, path, params in fake.requests if path.endswith("to_me.json")]
    assert "since_id" not in asked[0]
    assert {params["since_id"] for params in asked[1:]} == {str(newest.key)}


async def test_one_new_comment_costs_one_call() -> None:
    async with FakeWeibo() as fake:
        fake.comment("停水了", MEMBER)
        async with listening(make(fake, mentions=False, poll_seconds=60, rescan_seconds=60)) as intake:
            await until(lambda: intake.posts)
        assert fake.calls["comments/to_me"] == 1


async def test_history_begins_where_the_settings_say() -> None:
    async with FakeWeibo() as fake:
        fake.comment("去年的", MEMBER, at=time.time() - 300 * DAY)
        fake.comment("上周的", MEMBER, at=time.time() - 6 * DAY)
        async with listening(make(fake, history_days=10)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
    assert intake.said() == ["上周的"]


async def test_a_removed_comment_is_told_after_two_looks_and_a_returned_one_too() -> None:
    async with FakeWeibo() as fake:
        victim = fake.comment("会被删的", MEMBER)
        fake.comment("留着的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            fake.remove(victim)
            await until(lambda: intake.of(PostKind.REMOVAL))
            await looked(fake)
            (removal,) = intake.of(PostKind.REMOVAL)
            assert (removal.external_id, removal.by, removal.thread) == (
                f"c{victim.key}",
                None,
                str(fake.post.key),
            )
            fake.rows[victim.key] = victim
            await until(lambda: intake.of(PostKind.RESTORE))
            await looked(fake)
    assert len(intake.of(PostKind.REMOVAL)) == len(intake.of(PostKind.RESTORE)) == 1
    assert len(intake.posts) == 2


async def test_a_comment_that_is_only_left_out_of_the_list_is_not_gone() -> None:
    """It is asked for by its number before anything is said."""
    async with FakeWeibo() as fake:
        fake.comment("甲", MEMBER)
        quiet = fake.comment("乙", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            quiet.shown = False
            asked = fake.calls["comments/show_batch"]
            await until(lambda: fake.calls["comments/show_batch"] >= asked + 4)
    assert not intake.of(PostKind.REMOVAL)


async def test_a_comment_that_was_let_through_late_is_heard() -> None:
    async with FakeWeibo() as fake:
        late = fake.comment("审核中的", MEMBER, shown=False)
        fake.comment("后面的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
            late.shown = True
            await until(lambda: "审核中的" in intake.said())
            await looked(fake)
    assert intake.said() == ["后面的", "审核中的"]


@pytest.mark.parametrize("code", [10022, 10023, 10024])
async def test_a_quota_that_is_used_up_makes_it_wait(code: int) -> None:
    async with FakeWeibo() as fake:
        fake.comment("停水了", MEMBER)
        fake.faults.give("comments/to_me", code)
        async with listening(make(fake, **SLOW)) as intake:
            await until(lambda: fake.calls["comments/to_me"])
            assert not intake.items
        assert fake.calls["comments/to_me"] == 1


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("code", [10001, 10002, 10009, 10010])
async def test_a_platform_in_trouble_costs_time_only(code: int, as_text: bool) -> None:
    async with FakeWeibo() as fake:
        fake.faults.as_text = as_text
        fake.comment("停水了", MEMBER)
        fake.faults.give("comments/to_me", code, code)
        fake.faults.give("oauth2/get_token_info", code)
        fake.faults.raw["statuses/mentions"] = deque([b"[]", b"{", b'{"statuses": 7}'])
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
    assert intake.said() == ["停水了"]


@pytest.mark.parametrize(
    "more",
    [
        {"idstr": None, "id": None, "mid": None},
        {"text": None},
        {"text": {"a": 1}},
        {"status": None},
        {"status": {"idstr": "x"}},
        {"user": None, "created_at": "yesterday", "source": 7, "reply_comment": "x"},
    ],
)
async def test_strange_rows_stop_nothing(more: dict[str, Any]) -> None:
    async with FakeWeibo() as fake:
        fake.comment("之前", MEMBER)
        fake.comment("怪", MEMBER, more=more)
        fake.comment("之后", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: {"之前", "之后"} <= set(intake.said()))
            await looked(fake)
    assert len(intake.broken) == (0 if "user" in more else 1)


async def test_the_cursor_names_nobody() -> None:
    async with FakeWeibo() as fake:
        fake.comment("停水了", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
    assert str(MEMBER) not in (intake.cursor or "")
    assert fake.token not in (intake.cursor or "")
