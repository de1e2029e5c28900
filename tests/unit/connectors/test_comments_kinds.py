"""What each comment system has of its own: passwords that look right and are not, and quirks seen in the real ones."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from comments_scene import FAKES, acting, listening, notices, some_looks, told

from connectors._comments_site import NeedsPerson, SignInRefused
from monitor.core.errors import Rejected, Uncertain
from monitor.core.model import EffectKind, PostKind
from monitor.core.ports import Capability
from monitor.testing.desk import Desk
from monitor.testing.fake_artalk import FakeArtalk
from monitor.testing.fake_twikoo import FakeTwikoo
from monitor.testing.fake_waline import FakeWaline
from monitor.testing.fake_wordpress import FakeWordPress

pytestmark = pytest.mark.asyncio


# --- the check -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FAKES))
async def test_the_check_is_good_where_all_is_well(name: str) -> None:
    async with FAKES[name]() as fake, acting(fake) as connector:
        found = await connector.check()
    assert found.ok
    assert "连接正常" in found.message
    assert {"listen", "reply", "hide", "restore", "read_back"} <= found.capabilities


@pytest.mark.parametrize("name", sorted(FAKES))
async def test_a_wrong_password_is_found_out_although_the_site_answers(name: str) -> None:
    key = "app_password" if name == "wordpress" else "password"
    async with FAKES[name]() as fake, acting(fake, **{key: "hunter2"}) as connector:
        found = await connector.check()
        with pytest.raises(SignInRefused):
            await connector._platform.page(1)
    assert not found.ok
    assert "不接受这里填写的账号或密码" in found.message
    assert "hunter2" not in found.message


@pytest.mark.parametrize("name", sorted(FAKES))
@pytest.mark.parametrize(
    ("fault", "words"),
    [("away", "连不上"), ("page", "没有正常应答"), (429, "稍后再访问"), (302, "不是"), (404, "不是")],
)
async def test_what_stands_between_is_told(name: str, fault: Any, words: str) -> None:
    async with FAKES[name]() as fake, acting(fake) as connector:
        first = {"wordpress": "me", "twikoo": "LOGIN"}.get(name, "token")
        if fault == "away":
            await fake.stop()
        elif fault == "page":
            fake.faults.pages[first] = 1
        else:
            fake.faults.statuses[first] = deque([fault])
        found = await connector.check()
    assert not found.ok
    assert words in found.message


@pytest.mark.parametrize("name", ["wordpress", "waline", "artalk"])
async def test_an_account_without_the_right_is_told(name: str) -> None:
    async with FAKES[name]() as fake, acting(fake) as connector:
        setattr(
            fake,
            {"wordpress": "moderates", "waline": "kind", "artalk": "is_admin"}[name],
            "" if name == "waline" else False,
        )
        found = await connector.check()
    assert not found.ok
    assert "没有管理评论的权限" in found.message or "检查账号的权限" in found.message


async def test_a_clock_that_is_hours_off_is_told() -> None:
    async with FakeArtalk() as fake, acting(fake, timezone="America/New_York") as connector:
        fake.comment("好")
        found = await connector.check()
    assert not found.ok
    assert "时区" in found.message


# --- WordPress -------------------------------------------------------------------------------------


async def test_without_an_account_public_comments_are_read_and_nothing_can_be_done() -> None:
    desk = Desk()
    async with FakeWordPress() as fake:
        key = fake.comment("公开的").number
        fake.comment("等审核的", status="hold")
        async with listening(fake, desk, user="", app_password="") as connector:
            await desk.until(lambda: desk.texts)
            await some_looks(desk, connector)
            found = await connector.check()
            with pytest.raises(Rejected):
                await connector.perform(told(EffectKind.REPLY, key, "7"), None)
    assert list(desk.texts.values()) == ["公开的"]
    assert connector.capabilities == {Capability.LISTEN}
    assert found.ok
    assert "只读取公开评论" in found.message


async def test_a_password_that_ends_while_we_listen_removes_nothing() -> None:
    """WordPress shows a stranger only what is public, so a lost password must not look like removals."""
    desk = Desk()
    async with FakeWordPress() as fake:
        keys = [fake.comment(f"第 {n} 条", status="hold" if n % 2 else "approved").number for n in range(6)]
        async with listening(fake, desk):
            await desk.until(lambda: len(desk.texts) == len(keys))
            right, fake.password = fake.password, "another one"
            await desk.until(lambda: len(desk.errors) >= 3)
            fake.password = right
            last = fake.comment("回来了")
            await desk.until(lambda: str(last.number) in desk.texts)
    assert not notices(desk, PostKind.REMOVAL)
    assert all(isinstance(error, SignInRefused) for error in desk.errors)


async def test_an_account_that_may_not_moderate_any_more_removes_nothing() -> None:
    """WordPress then leaves out what waits, row by row, and says nothing of it."""
    desk = Desk()
    async with FakeWordPress() as fake:
        waiting = fake.comment("等审核的", status="hold")
        fake.comment("公开的")
        async with listening(fake, desk):
            await desk.until(lambda: len(desk.texts) == 2)
            fake.moderates = False
            await desk.until(lambda: len(desk.errors) >= 2)
            fake.moderates = True
            del fake.comments[waiting.number]
            await desk.until(lambda: notices(desk, PostKind.REMOVAL))
    assert all(isinstance(error, Rejected) for error in desk.errors)


@pytest.mark.parametrize("hides_counts", [False, True])
async def test_pages_end_with_or_without_the_counts_of_the_headers(hides_counts: bool) -> None:
    desk = Desk()
    async with FakeWordPress() as fake:
        fake.hides_counts = hides_counts
        for number in range(201):
            fake.comment(f"第 {number} 条")
        async with listening(fake, desk):
            await desk.until(lambda: len(desk.texts) == 201)
    assert not desk.errors


async def test_answers_of_wordpress_that_a_person_must_read() -> None:
    async with FakeWordPress() as fake, acting(fake) as connector:
        one = fake.comment("三食堂又停水了")
        fake.closed.add(7)
        with pytest.raises(Rejected, match="comments are closed"):
            await connector.perform(told(EffectKind.REPLY, one.number, "7"), None)
        with pytest.raises(Rejected, match="not there any more"):
            await connector.perform(told(EffectKind.REPLY, one.number, "99"), None)
        fake.has_trash = False
        with pytest.raises(Rejected, match="trash is switched off"):
            await connector.perform(told(EffectKind.REMOVE, one.number, "7"), None)
        assert one.status == "approved"


async def test_the_same_answer_twice_is_looked_for_and_not_forced() -> None:
    async with FakeWordPress() as fake, acting(fake) as connector:
        one = fake.comment("三食堂又停水了")
        wanted = told(EffectKind.REPLY, one.number, "7")
        await connector.perform(wanted, None)
        with pytest.raises(Uncertain):
            await connector.perform(wanted, None)
        assert await connector.read_back(wanted)
    assert len(fake.answers(wanted.mark)) == 1


async def test_removed_means_in_the_trash_and_can_come_back() -> None:
    async with FakeWordPress() as fake, acting(fake) as connector:
        one = fake.comment("加徽信领补贴")
        await connector.perform(told(EffectKind.REMOVE, one.number, "7"), None)
        assert one.status == "trash"
        assert await connector.read_back(told(EffectKind.REMOVE, one.number, "7"))
        assert await connector.perform(told(EffectKind.REMOVE, one.number, "7"), None) == f"gone:{one.number}"
        await connector.perform(told(EffectKind.RESTORE, one.number, "7"), None)
        assert one.status == "approved"


async def test_times_of_the_site_are_read_as_utc_and_links_from_other_sites_are_left() -> None:
    desk = Desk()
    async with FakeWordPress() as fake:
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        fake.comment("别的网站提到了这里", kind="pingback")
        fake.comment("三食堂又停水了", at=at)
        async with listening(fake, desk):
            await desk.until(lambda: desk.texts)
    (post,) = desk.posts
    assert post.posted_at == at
    assert post.url is not None
    assert post.url.endswith(f"#comment-{post.external_id}")


# --- Waline ----------------------------------------------------------------------------------------


async def test_a_token_that_ended_is_renewed_without_losing_anything() -> None:
    desk = Desk()
    async with FakeWaline() as fake, listening(fake, desk) as connector:
        first = fake.comment("之前")
        await desk.until(lambda: str(first.number) in desk.texts)
        fake.expire()
        second = fake.comment("之后")
        await desk.until(lambda: str(second.number) in desk.texts)
        fake.expire()
        await connector.perform(told(EffectKind.HIDE, second.number), None)
    assert second.status == "waiting"
    assert not desk.errors


async def test_an_answer_to_an_answer_stays_in_its_conversation() -> None:
    desk = Desk()
    async with FakeWaline() as fake:
        head = fake.comment("三食堂又停水了")
        child = fake.comment("二楼也是", pid=head.number, rid=head.number)
        async with listening(fake, desk) as connector:
            await desk.until(lambda: len(desk.texts) == 2)
            post = next(post for post in desk.posts if post.external_id == str(child.number))
            assert post.handle == f"{child.number}@{head.number}"
            await connector.perform(told(EffectKind.REPLY, post.handle, post.thread or ""), None)
    (ours,) = [each for each in fake.comments.values() if each.user == 1]
    assert (ours.pid, ours.rid) == (child.number, head.number)


async def test_a_page_with_a_very_long_address_is_answered_there() -> None:
    desk = Desk()
    async with FakeWaline() as fake:
        page = "/2026/" + "%E4%B8%89%E9%A3%9F%E5%A0%82" * 30
        fake.comment("三食堂又停水了", url=page)
        async with listening(fake, desk, site_url="https://union.example.org") as connector:
            await desk.until(lambda: desk.posts)
            (post,) = desk.posts
            assert post.thread is not None
            assert len(post.thread) <= 200
            assert post.url == f"https://union.example.org{page}#{post.external_id}"
            await connector.perform(told(EffectKind.REPLY, post.handle, post.thread), None)
    (ours,) = [each for each in fake.comments.values() if each.user == 1]
    assert ours.url == page


async def test_links_never_lead_to_another_site() -> None:
    desk = Desk()
    async with FakeWaline() as fake:
        fake.comment("好", url="//evil.example/p")
        fake.comment("好", url="https://evil.example/p")
        fake.comment("好", url="javascript:alert(1)")
        async with listening(fake, desk, site_url="https://union.example.org/"):
            await desk.until(lambda: len(desk.posts) == 3)
    assert [post.url for post in desk.posts] == [None] * 3


async def test_replies_that_vanish_with_their_head_are_followed() -> None:
    desk = Desk()
    async with FakeWaline() as fake:
        fake.whole_seconds = True
        head = fake.comment("三食堂又停水了")
        child = fake.comment("二楼也是", pid=head.number, rid=head.number)
        async with listening(fake, desk):
            await desk.until(lambda: len(desk.texts) == 2)
            fake.comments.clear()  # somebody deleted the head, and Waline took the rest along
            await desk.until(lambda: len(notices(desk, PostKind.REMOVAL)) == 2)
    assert {each.external_id for each in notices(desk, PostKind.REMOVAL)} == {
        str(head.number),
        str(child.number),
    }


# --- Twikoo ----------------------------------------------------------------------------------------


async def test_too_many_requests_hide_behind_status_200() -> None:
    async with FakeTwikoo() as fake, acting(fake) as connector:
        fake.most = 0
        found = await connector.check()
    assert not found.ok
    assert "稍后再访问" in found.message


async def test_a_twikoo_without_a_password_is_told() -> None:
    async with FakeTwikoo() as fake, acting(fake) as connector:
        fake.has_password = False
        found = await connector.check()
    assert not found.ok


async def test_the_password_itself_never_travels_and_links_are_links() -> None:
    async with FakeTwikoo() as fake, acting(fake) as connector:
        one = fake.comment("<p>三食堂又停水了</p>")
        wanted = told(EffectKind.REPLY, one.key, text="见 https://a.example/x?a=1&b=2 。〔H-1〕")
        await connector.perform(wanted, None)
        assert await connector.read_back(wanted)
    (ours,) = [each for each in fake.comments.values() if each.uid == fake.token]
    assert 'href="https://a.example/x?a=1&amp;b=2"' in ours.comment
    assert ours.nick == "工会"


# --- Artalk ----------------------------------------------------------------------------------------


async def test_an_empty_list_of_a_token_that_ended_is_no_removal() -> None:
    desk = Desk()
    async with FakeArtalk() as fake:
        keys = [str(fake.comment(f"第 {n} 条").number) for n in range(4)]
        async with listening(fake, desk) as connector:
            await desk.until(lambda: len(desk.texts) == len(keys))
            fake.expire()
            await some_looks(desk, connector, 4)
            last = fake.comment("之后")
            await desk.until(lambda: str(last.number) in desk.texts)
            fake.expire()
            await connector.perform(told(EffectKind.HIDE, last.number), None)
    assert last.pending
    assert not notices(desk, PostKind.REMOVAL, keys[0])
    assert not desk.errors


@pytest.mark.parametrize("signed_out", [True, False])
async def test_an_account_that_is_no_administrator_any_more_removes_nothing(signed_out: bool) -> None:
    desk = Desk()
    async with FakeArtalk() as fake:
        fake.comment("三食堂又停水了")
        async with listening(fake, desk):
            await desk.until(lambda: desk.texts)
            fake.is_admin = False
            if signed_out:
                fake.expire()
            await desk.until(lambda: len(desk.errors) >= 3)
    assert not notices(desk, PostKind.REMOVAL)
    assert all(isinstance(error, Rejected) for error in desk.errors)


async def test_an_old_comment_shown_beside_its_newest_answer_ends_no_reading() -> None:
    """In flat mode it stands again on the first page, out of its order."""
    desk = Desk()
    async with FakeArtalk() as fake:
        old = fake.comment("很早的一条", at=datetime.now(UTC) - timedelta(days=20))
        fake.comment("昨天的一条", at=datetime.now(UTC) - timedelta(days=1))
        async with listening(fake, desk, rescan_seconds=900.0) as connector:
            await desk.until(lambda: len(desk.texts) == 2)
            await some_looks(desk, connector)
            for number in range(150):
                fake.comment(f"第 {number} 条")
            fake.comment("答很早的那条", rid=old.number)
            await desk.until(lambda: len(desk.texts) == 153)
            await some_looks(desk, connector)
    assert set(desk.handed.values()) == {1}
    assert not notices(desk, PostKind.REMOVAL)


async def test_hiding_changes_one_mark_and_keeps_the_rest() -> None:
    async with FakeArtalk() as fake, acting(fake) as connector:
        one = fake.comment("三食堂又停水了 *原文*", collapsed=True)
        await connector.perform(told(EffectKind.HIDE, one.number), None)
    assert (one.content, one.collapsed, one.pending, one.user) == ("三食堂又停水了 *原文*", True, True, 7)


async def test_a_comment_that_waits_cannot_be_answered_and_says_why() -> None:
    async with FakeArtalk() as fake, acting(fake) as connector:
        one = fake.comment("等审核的", pending=True)
        with pytest.raises(Rejected, match="restore it first"):
            await connector.perform(told(EffectKind.REPLY, one.number), None)


async def test_a_captcha_and_a_choice_of_names_are_told() -> None:
    async with FakeArtalk() as fake:
        async with acting(fake) as connector:
            fake.wants_captcha = True
            found = await connector.check()
            assert "验证码" in found.message
            with pytest.raises(NeedsPerson):
                await connector._platform.page(1)
            fake.wants_captcha, fake.names = False, ["工会", "admin"]
            assert not (await connector.check()).ok
        async with acting(fake, name="工会") as connector:
            assert (await connector.check()).ok
