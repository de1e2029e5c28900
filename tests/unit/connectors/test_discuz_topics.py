"""Reading a Discuz! forum: nothing is lost between pages, and edits, hidden and removed posts show."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import Any

import pytest
from discuz_scene import MEMBER, Intake, listening, looked, make, until

from connectors._discuz_state import Known
from connectors._discuz_topics import Look, before
from monitor.core.model import PostKind
from monitor.testing.fake_discuz import FakeDiscuz

pytestmark = pytest.mark.asyncio
DAY = 86_400


async def test_topic_and_answers_arrive_in_order_with_all_that_is_known_of_them() -> None:
    async with FakeDiscuz(per_page=3) as fake:
        topic = fake.topic(2, "三食堂停水", "二楼 & 三楼都停了\n<急>", MEMBER)
        for n in range(7):
            fake.post(topic.tid, f"第 {n} 层", MEMBER + n)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 8)
        first, second = intake.posts[0], intake.posts[1]
        assert intake.said() == ["三食堂停水\n二楼 & 三楼都停了\n<急>", *(f"第 {n} 层" for n in range(7))]
        assert first.handle == f"{topic.tid}:5001:1"
        assert second.handle == f"{topic.tid}:5002"
        assert first.external_id == "5001"
        assert first.thread == str(topic.tid)
        assert first.author == str(MEMBER)
        assert first.url == f"{fake.url}/forum.php?mod=redirect&goto=findpost&ptid={topic.tid}&pid=5001"


async def test_a_subject_that_the_words_repeat_is_said_once() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(2, "食堂几点开门", "食堂几点开门？周末呢", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
    assert intake.said() == ["食堂几点开门？周末呢"]


async def test_quoted_words_stand_apart_and_name_the_post() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "班车", "班车太少", MEMBER)
        link = f"forum.php?mod=redirect&goto=findpost&pid=5001&ptid={topic.tid}"
        fake.post(topic.tid, f"[quote][url={link}]小周 发表于 2026-1-1[/url]\n班车太少[/quote]\n同意", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
    answer = intake.posts[1]
    assert answer.text == "同意"
    assert "班车太少" in (answer.quoted or "")
    assert answer.reply_to == "5001"


async def test_anonymous_posts_have_no_author() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "建议", "建议公开账目", MEMBER)
        fake.post(topic.tid, "支持楼主", MEMBER, anonymous=True)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
    assert intake.posts[1].author is None


async def test_only_the_named_forums_are_read() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(9, "别人的版块", "不该看", MEMBER)
        moved = fake.topic(2, "工会的", "该看的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
            moved.fid = 9  # a moderator moved it away
            fake.post(moved.tid, "搬走以后说的", MEMBER)
            await looked(fake, 4)
    assert intake.said() == ["工会的\n该看的"]
    assert not intake.of(PostKind.REMOVAL), "a topic that moved away is not removed"


async def test_our_own_answers_are_not_taken_for_posts() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "停水", "停水了", MEMBER)
        fake.post(topic.tid, "工会已转后勤处", fake.uid)
        fake.post(topic.tid, "谢谢", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            await looked(fake)
    assert intake.said() == ["停水了", "谢谢"]


async def test_removed_posts_before_the_cursor_hide_no_new_one() -> None:
    """Pages are counted over what stands: seven posts, three of them removed, and the new one is on another page."""
    async with FakeDiscuz(per_page=3) as fake:
        topic = fake.topic(2, "老楼", "老楼的话", MEMBER)
        for n in range(6):
            fake.post(topic.tid, f"第 {n} 句", MEMBER)
        intake = Intake()
        async with listening(make(fake), intake):
            await until(lambda: len(intake.posts) >= 7)
            await looked(fake)
        for post in topic.posts[1:4]:
            post.gone = True
        fake.post(topic.tid, "补一句", MEMBER)
        async with listening(make(fake, rescan_seconds=3600), intake):
            await until(lambda: "补一句" in intake.said())
    assert len(intake.posts) == 8, "and nothing is said twice"


@pytest.mark.parametrize("by_place", [False, True])
async def test_a_removed_post_is_told_after_two_whole_looks(by_place: bool) -> None:
    async with FakeDiscuz(per_page=3) as fake:
        fake.faults.by_place = by_place
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        victim = fake.post(topic.tid, "会被删的", MEMBER)
        for n in range(4):
            fake.post(topic.tid, f"第 {n} 句", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 6)
            victim.gone = True
            await until(lambda: intake.of(PostKind.REMOVAL))
            await looked(fake)
            (removal,) = intake.of(PostKind.REMOVAL)
            assert (removal.external_id, removal.text, removal.by) == (str(victim.pid), "", None)
            victim.gone = False
            await until(lambda: intake.of(PostKind.RESTORE))
            assert [each.external_id for each in intake.of(PostKind.RESTORE)] == [str(victim.pid)]
    assert len(intake.posts) == 6


async def test_absent_from_one_look_only_is_not_gone() -> None:
    """A page that was cut while it was read must not look like a removal."""
    async with FakeDiscuz() as fake:
        topics = make(fake)._topics
        topics._shelf.load(None, 0)
        known = Known(posts={"5001": (int(time.time()), "abcdef01")})
        whole = Look("81", None, is_whole=True)
        assert topics._compare(whole, known) == []
        known.missing.clear()  # it was there again
        assert topics._compare(whole, known) == []
        assert [each.external_id for each in topics._compare(whole, known)] == ["5001"]
        assert topics._compare(whole, known) == [], "and it is told once"


async def test_a_pinned_answer_on_top_of_a_page_does_not_lead_astray() -> None:
    rows = [{"number": "3"}, {"number": "41"}, {"number": "42"}]
    assert before({"ppp": "10"}, rows, 99_999) == 4
    assert before({"ppp": "10"}, [{"number": "3"}, {"number": "31"}], 4) == 3
    assert before({"ppp": "10", "thread": {"replies": "41"}}, [], 99_999) == 4


async def test_a_removed_topic_takes_its_posts_along() -> None:
    async with FakeDiscuz(per_page=3) as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        fake.post(topic.tid, "一句", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            topic.gone = True
            await until(lambda: len(intake.of(PostKind.REMOVAL)) >= 2)
            await looked(fake)
    assert {each.external_id for each in intake.of(PostKind.REMOVAL)} == {"5001", "5002"}


async def test_an_edit_shows_as_one_edit() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        post = fake.post(topic.tid, "三点停水", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            post.words = "四点停水"
            await until(lambda: intake.of(PostKind.EDIT))
            await looked(fake)
    (edit,) = intake.of(PostKind.EDIT)
    assert (edit.external_id, edit.text) == (str(post.pid), "四点停水")


async def test_a_post_hidden_and_shown_by_a_moderator_is_followed() -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        post, silent = (
            fake.post(topic.tid, "被屏蔽的", MEMBER),
            fake.post(topic.tid, "早被屏蔽的", MEMBER, status=1),
        )
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            post.status = 1
            await until(lambda: intake.of(PostKind.REMOVAL))
            post.status = silent.status = 0
            await until(lambda: intake.of(PostKind.RESTORE) and len(intake.posts) >= 3)
    (removal,) = intake.of(PostKind.REMOVAL)
    assert (removal.external_id, removal.by) == (str(post.pid), "moderator")
    assert intake.said()[-1] == "早被屏蔽的", "what was hidden before we came is a post once it is shown"
    assert not intake.of(PostKind.EDIT), "a visitor's notice of a hidden post is no edit"


async def test_a_post_that_waited_for_approval_arrives_late_and_once() -> None:
    async with FakeDiscuz(per_page=3) as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        waiting = fake.post(topic.tid, "审核中的", MEMBER, gone=True)
        fake.post(topic.tid, "后面的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            waiting.gone = False
            await until(lambda: "审核中的" in intake.said())
            await looked(fake)
    assert len(intake.posts) == 3


async def test_history_begins_where_the_settings_say() -> None:
    async with FakeDiscuz(per_page=2) as fake:
        now = time.time()
        topic = fake.topic(2, "老楼", "去年的话", MEMBER, now - 300 * DAY)
        for n in range(5):
            fake.post(topic.tid, f"上月 {n}", MEMBER, now - 40 * DAY + n)
        fake.post(topic.tid, "上周", MEMBER, now - 5 * DAY)
        fake.topic(2, "沉底的", "沉底的话", MEMBER, now - 200 * DAY)
        async with listening(make(fake, history_days=10)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
    assert intake.said() == ["上周"]


async def test_pinned_topics_on_top_do_not_hide_the_others() -> None:
    async with FakeDiscuz(per_list=2) as fake:
        old = time.time() - 300 * DAY
        for n in range(3):
            fake.topic(2, f"公告 {n}", "公告", MEMBER, old, pinned=True)
        topics = [fake.topic(2, f"主题 {n}", f"主题 {n} 的话", MEMBER) for n in range(5)]
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 5)
            fake.post(topics[0].tid, "新话", MEMBER)
            await until(lambda: "新话" in intake.said())
    assert len(intake.posts) == 6


async def test_two_posts_in_one_second_are_both_heard() -> None:
    async with FakeDiscuz() as fake:
        at = time.time()
        topic = fake.topic(2, "楼", "楼的话", MEMBER, at)
        async with listening(make(fake, rescan_seconds=3600)) as intake:
            await until(lambda: intake.posts)
            fake.post(topic.tid, "同一秒的话", MEMBER, at)  # the time of the last answer stays the same
            await until(lambda: "同一秒的话" in intake.said())


async def test_words_that_the_forum_cannot_convert_cost_that_post_only() -> None:
    """It leaves a hole in the JSON of the whole page."""
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        spoilt = fake.post(topic.tid, None, MEMBER)
        fake.post(topic.tid, "后面的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: len(intake.posts) >= 2)
            await looked(fake, 4)
    assert [(item.reason, item.position) for item in intake.broken] == [
        ("no_text", f"{topic.tid}:{spoilt.pid}")
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"pid": None},
        {"pid": "not a number"},
        {"message": {"a": 1}},
        {"message": 7},
        {"dbdateline": "x", "position": None, "number": "?", "status": [], "authorid": {}},
    ],
)
async def test_strange_rows_stop_nothing(row: dict[str, Any]) -> None:
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        fake.post(topic.tid, "怪", MEMBER, row=row)
        fake.post(topic.tid, "后面的", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: {"楼的话", "后面的"} <= set(intake.said()))
            await looked(fake, 4)
    assert len(intake.broken) <= 1


async def test_a_session_that_lapses_is_opened_again() -> None:
    """The forum says nothing of it: it goes on answering, to a visitor."""
    async with FakeDiscuz() as fake:
        topic = fake.topic(2, "楼", "楼的话", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
            fake.lapse()
            fake.post(topic.tid, "之后的话", MEMBER)
            await until(lambda: "之后的话" in intake.said())
    assert fake.calls["login"] == 2


async def test_a_refused_password_is_not_tried_again_and_again() -> None:
    """Five wrong tries lock the account for fifteen minutes."""
    async with FakeDiscuz() as fake:
        async with listening(make(fake, password="wrong", retry_seconds=0.05)) as intake:
            await asyncio.sleep(0.4)
        assert not intake.items
        assert fake.calls["login"] <= 4, "only after three waits it asks again"


async def test_a_topic_that_we_may_not_read_holds_up_nothing() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(2, "甲", "甲的话", MEMBER, time.time() - 100)
        fake.faults.give("viewthread", "thread_nopermission")
        fake.topic(2, "乙", "乙的话", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: "乙的话" in intake.said())


async def test_a_page_that_is_no_data_is_told_once_and_holds_up_nothing() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(2, "甲", "甲的话", MEMBER, time.time() - 100)
        fake.faults.raw["viewthread"] = deque([b'{"Variables":'] * 3)
        async with listening(make(fake, rescan_seconds=3600)) as intake:
            await until(lambda: intake.broken)
            topic = fake.topic(2, "乙", "乙的话", MEMBER)
            await until(lambda: "乙的话" in intake.said())
            fake.post(81, "甲又说了", MEMBER)
            await until(lambda: {"甲的话", "甲又说了"} <= set(intake.said()))
    assert topic.tid == 82
    assert [item.reason for item in intake.broken] == ["json"]


async def test_the_cursor_names_nobody() -> None:
    async with FakeDiscuz() as fake:
        fake.topic(2, "楼", "楼的话", MEMBER)
        async with listening(make(fake)) as intake:
            await until(lambda: intake.posts)
            await looked(fake)
    assert str(MEMBER) not in (intake.cursor or "")
    assert "楼" not in json.dumps(intake.cursor, ensure_ascii=False)
