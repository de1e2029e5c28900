"""Four comment systems, one behaviour: answers, hiding, looking back, following, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from comments_scene import FAKES, Fake, acting, listening, notices, some_looks, told

from connectors._comments_words import is_said
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind, PostKind
from monitor.core.ports import Capability
from monitor.testing.desk import Desk, effect
from monitor.testing.fake_artalk import FakeArtalk
from monitor.testing.fake_twikoo import FakeTwikoo
from monitor.testing.fake_waline import FakeWaline
from monitor.testing.fake_wordpress import FakeWordPress

pytestmark = pytest.mark.asyncio
SAID = "已转后勤处 *加急* <今天> & 公布。\n1. 先修 _水管_\n- 再修电\n编号〔H-2026-7-1〕\nhttps://huiyin.example.org/rate/a_b"
MARK = "〔H-2026-7-1〕"


@pytest_asyncio.fixture(params=sorted(FAKES))
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """One of the four systems, running."""
    async with FAKES[request.param]() as made:
        yield made


@pytest.fixture
def desk() -> Desk:
    """An intake in small."""
    return Desk()


def comment(fake: Fake, text: str, **fields: Any) -> str:
    """Let a guest comment and return the comment's id."""
    if isinstance(fake, FakeTwikoo):
        return fake.comment(f"<p>{text}</p>", **fields).key
    return str(fake.comment(text, **fields).number)


def thread(fake: Fake) -> str:
    return "7" if isinstance(fake, FakeWordPress) else "/p/1.html" if isinstance(fake, FakeArtalk) else "/p/1"


def stored(fake: Fake, key: str) -> Any:
    rows: dict[Any, Any] = fake.comments
    return rows[key if isinstance(fake, FakeTwikoo) else int(key)]


def operation(fake: Fake, kind: str) -> str:
    """Return the fake's name for an operation."""
    names = {"say": "COMMENT_SUBMIT", "hide": "COMMENT_SET_FOR_ADMIN", "list": "COMMENT_GET_FOR_ADMIN"}
    if isinstance(fake, FakeTwikoo):
        return names[kind]
    hides = {FakeWordPress: "hold", FakeWaline: "waiting", FakeArtalk: "hide"}
    return hides[type(fake)] if kind == "hide" else kind


def is_hidden(fake: Fake, key: str) -> bool:
    one = stored(fake, key)
    return (
        bool(getattr(one, "spam", False) or getattr(one, "pending", False))
        or getattr(one, "status", "approved") != "approved"
    )


# --- listening -------------------------------------------------------------------------------------


async def test_a_comment_comes_with_its_page_its_author_and_what_it_answers(fake: Fake, desk: Desk) -> None:
    first = comment(fake, "三食堂又停水了")
    linked = {FakeWordPress: {"parent": int(first) if first.isdigit() else 0}}.get(type(fake))
    if linked is None:
        number: Any = first if isinstance(fake, FakeTwikoo) else int(first)
        linked = {"rid": number} if isinstance(fake, FakeArtalk) else {"pid": number, "rid": number}
    second = comment(fake, "二楼也是", **linked)
    async with listening(fake, desk):
        await desk.until(lambda: len(desk.texts) == 2)
    one, two = (next(post for post in desk.posts if post.external_id == key) for key in (first, second))
    assert (one.text, one.thread, one.reply_to) == ("三食堂又停水了", thread(fake), None)
    assert (two.text, two.thread, two.reply_to) == ("二楼也是", thread(fake), first)
    assert one.author
    assert one.posted_at is not None
    assert one.contact is None
    assert "xz@example.org" not in repr(desk.items)
    assert "guest-key" not in repr(desk.items)


async def test_hidden_shown_edited_and_deleted_over_there_is_followed(fake: Fake, desk: Desk) -> None:
    key = comment(fake, "三食堂又停水了")
    async with listening(fake, desk) as connector:
        await desk.until(lambda: key in desk.texts)
        async with acting(fake) as other:  # a moderator at the site itself
            await other.perform(told(EffectKind.HIDE, key), None)
            await desk.until(lambda: notices(desk, PostKind.REMOVAL, key))
            await other.perform(told(EffectKind.RESTORE, key), None)
            await desk.until(lambda: notices(desk, PostKind.RESTORE, key))
        one = stored(fake, key)
        setattr(one, "comment" if isinstance(fake, FakeTwikoo) else "content", "来水了")
        await desk.until(lambda: notices(desk, PostKind.EDIT, key))
        rows: dict[Any, Any] = fake.comments
        rows.clear()
        await desk.until(lambda: len(notices(desk, PostKind.REMOVAL, key)) == 2)
        await some_looks(desk, connector)
    assert notices(desk, PostKind.EDIT, key)[0].text == "来水了"
    assert [each.by for each in notices(desk, PostKind.REMOVAL, key)] == ["moderator", None]
    assert desk.handed[key] == 1


async def test_what_we_hide_ourselves_is_told_as_ours(fake: Fake, desk: Desk) -> None:
    key = comment(fake, "加徽信领补贴")
    async with listening(fake, desk) as connector:
        await desk.until(lambda: key in desk.texts)
        await connector.perform(told(EffectKind.HIDE, key), None)
        await desk.until(lambda: notices(desk, PostKind.REMOVAL, key))
    assert notices(desk, PostKind.REMOVAL, key)[0].by == "self"


async def test_comments_that_wait_are_read_or_left_as_the_settings_say(fake: Fake, desk: Desk) -> None:
    waits = {FakeTwikoo: {"spam": True}, FakeArtalk: {"pending": True}, FakeWaline: {"status": "waiting"}}
    key = comment(fake, "等审核的", **waits.get(type(fake), {"status": "hold"}))
    quiet = Desk()
    async with listening(fake, quiet, pending=False) as connector:
        await some_looks(quiet, connector)
    assert not quiet.texts
    async with listening(fake, desk):
        await desk.until(lambda: key in desk.texts)


async def test_two_hundred_and_fifty_comments_come_once_in_their_order_by_pages(
    fake: Fake, desk: Desk
) -> None:
    keys = [comment(fake, f"第 {number} 条") for number in range(250)]
    async with listening(fake, desk) as connector:
        await desk.until(lambda: len(desk.texts) == 250)
        await some_looks(desk, connector)
    assert set(desk.texts) == set(keys)
    assert set(desk.handed.values()) == {1}
    again = Desk()
    again.cursor = desk.cursor
    async with listening(fake, again) as connector:
        await some_looks(again, connector)
    assert not again.items


# --- acting ----------------------------------------------------------------------------------------


async def test_an_answer_stands_word_for_word_under_the_comment_and_is_found_again(fake: Fake) -> None:
    key = comment(fake, "三食堂又停水了")
    wanted = told(EffectKind.REPLY, key, thread(fake), text=SAID, mark=MARK)
    async with acting(fake) as connector:
        assert await connector.read_back(wanted) is None
        receipt = await connector.perform(wanted, None)
        assert await connector.read_back(wanted) == receipt
        (row,) = [row for row in (await connector._platform.page(1)).rows if row.mine]
        lines = [line for line in SAID.split("\n") if line]
        assert [line for line in row.text.split("\n") if line] == lines
        assert receipt == f"said:{row.key}"
        made = stored(fake, row.key)
        assert (
            str(getattr(made, "pid", None) or getattr(made, "rid", None) or getattr(made, "parent", ""))
            == key
        )


async def test_our_answers_are_not_heard_as_a_members(fake: Fake, desk: Desk) -> None:
    key = comment(fake, "三食堂又停水了")
    async with listening(fake, desk) as connector:
        await desk.until(lambda: key in desk.texts)
        await connector.perform(told(EffectKind.REPLY, key, thread(fake)), None)
        await some_looks(desk, connector)
    assert list(desk.texts) == [key]


async def test_an_answer_whose_outcome_was_lost_is_found_and_not_said_twice(fake: Fake) -> None:
    key = comment(fake, "三食堂又停水了")
    wanted = told(EffectKind.REPLY, key, thread(fake), text=SAID, mark=MARK)
    fake.faults.drop_after[operation(fake, "say")] = 1
    async with acting(fake) as connector:
        with pytest.raises(Uncertain):
            await connector.perform(wanted, None)
        assert await connector.read_back(wanted)
    assert fake.done[f"say {key}"] == 1


@pytest.mark.parametrize("kind", [EffectKind.HIDE, EffectKind.RESTORE])
async def test_what_is_gone_is_said_to_be_gone(fake: Fake, kind: EffectKind) -> None:
    """Some of these systems say yes to everything about a comment that they do not have."""
    key = "ffffffffffffffffffffffffffffffff" if isinstance(fake, FakeTwikoo) else "999"
    async with acting(fake) as connector:
        if kind is EffectKind.HIDE:
            assert await connector.perform(told(kind, key), None) == f"gone:{key}"
            assert await connector.read_back(told(kind, key)) == f"gone:{key}"
        else:
            with pytest.raises(Rejected):
                await connector.perform(told(kind, key), None)
            with pytest.raises(Rejected):
                await connector.read_back(told(kind, key))


async def test_hiding_twice_is_hiding_once_and_a_lost_answer_can_be_looked_up(fake: Fake) -> None:
    key = comment(fake, "加徽信领补贴")
    wanted = told(EffectKind.HIDE, key)
    async with acting(fake) as connector:
        assert await connector.read_back(wanted) is None
        fake.faults.drop_after[operation(fake, "hide")] = 1
        with pytest.raises(Uncertain):
            await connector.perform(wanted, None)
        assert is_hidden(fake, key)
        assert await connector.read_back(wanted)
        assert await connector.perform(wanted, None)
        assert await connector.perform(told(EffectKind.RESTORE, key), None)
    assert not is_hidden(fake, key)


async def test_nothing_is_ever_deleted_for_good(fake: Fake) -> None:
    key = comment(fake, "加徽信领补贴")
    comment(fake, "答这一条", **({"parent": int(key)} if isinstance(fake, FakeWordPress) else {}))
    async with acting(fake) as connector:
        for kind in (EffectKind.HIDE, EffectKind.REMOVE):
            if Capability(kind.value) in connector.capabilities:
                await connector.perform(told(kind, key), None)
    assert stored(fake, key)
    assert len(fake.comments) == 2


@pytest.mark.parametrize("handle", [None, "", "../users/1", "7/../8", "7 8", "7@", "@7", "x" * 65, "七"])
async def test_a_handle_that_is_none_reaches_no_address(fake: Fake, handle: str | None) -> None:
    async with acting(fake) as connector:
        for kind in (EffectKind.REPLY, EffectKind.HIDE):
            with pytest.raises(Rejected):
                await connector.perform(effect(kind, "site", 1, thread="/p/1", handle=handle), None)
    assert not fake.calls


async def test_nobody_can_be_muted(fake: Fake) -> None:
    async with acting(fake) as connector:
        for work in (
            connector.perform(told(EffectKind.MUTE, 7), "x"),
            connector.read_back(told(EffectKind.MUTE, 7)),
        ):
            with pytest.raises(Rejected):
                await work


async def test_an_answer_without_words_is_refused(fake: Fake) -> None:
    async with acting(fake) as connector:
        with pytest.raises(Rejected):
            await connector.perform(told(EffectKind.REPLY, 7, text=" \n "), None)
    assert not fake.calls


# --- what goes wrong over there --------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 403, 404, 302])
async def test_statuses_of_a_proxy_are_no_words_of_the_system(fake: Fake, status: int) -> None:
    key = comment(fake, "三食堂又停水了")
    async with acting(fake) as connector:
        await connector.check()
        fake.faults.statuses[operation(fake, "hide")] = _deque(status)
        with pytest.raises((RateLimited, Unavailable, Uncertain)) as error:
            await connector.perform(told(EffectKind.HIDE, key), None)
        assert isinstance(error.value, RateLimited) is (status == 429)
        assert isinstance(error.value, Uncertain) is (status >= 500)
        fake.faults.statuses[operation(fake, "list")] = _deque(status)
        with pytest.raises((RateLimited, Unavailable)):
            await connector._platform.page(1)


RAW = [
    b"",
    b"null",
    b"7",
    b'"yes"',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"code":"x"}',
    b"<p>hi",
    b"\xff\xfe",
    b"[" * 200,
]
RAW += [
    b'{"errno":null,"data":[]}',
    b'{"code":true}',
    b'{"data":{"data":[]}}',
    b'{"comments":{},"count":"1"}',
]


@pytest.mark.parametrize("raw", RAW)
async def test_answers_that_are_none_never_look_like_success(fake: Fake, raw: bytes) -> None:
    key = comment(fake, "三食堂又停水了")
    async with acting(fake) as connector:
        await connector.check()
        fake.faults.raw[operation(fake, "say")] = _deque(raw)
        with pytest.raises((Uncertain, Unavailable, Rejected)) as error:
            await connector.perform(told(EffectKind.REPLY, key, thread(fake)), None)
        assert isinstance(error.value, Uncertain)
        fake.faults.raw[operation(fake, "list")] = _deque(raw)
        if raw in (b"[]", b"[[]]") and isinstance(fake, FakeWordPress):
            rows = (await connector._platform.page(1)).rows  # a list, so it is read as one
            assert [row.fault is not None for row in rows] == [True] * (raw == b"[[]]")
        else:
            with pytest.raises((Unavailable, Rejected)):
                await connector._platform.page(1)


def _deque(*values: Any) -> Any:
    from collections import deque

    return deque(values)


async def test_a_mark_is_known_however_the_system_spaces_it() -> None:
    wanted = told(EffectKind.REPLY, 7, text=SAID, mark=MARK)
    assert is_said(wanted, f"编号 {MARK[:4]} {MARK[4:]}\n")
    assert not is_said(wanted, "编号〔H-2026-7-11〕")
    plain = told(EffectKind.REPLY, 7, text="已转", mark="")
    assert is_said(plain, " 已 转\n")
    assert not is_said(plain, "")
