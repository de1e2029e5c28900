"""Answering and taking comments away, and looking whether it happened: the five errors, never a second answer."""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wechat_scene import AES, ARTICLE, MEMBER, effect, listening, make, serving, until

from connectors._parts import parts_of
from connectors._wechat_api import error_of, retry_at
from connectors._wechat_wire import LIMIT, LONGEST, LONGEST_BYTES, weight
from connectors.wechat import WeChat
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind
from monitor.testing.fake_wechat import FakeWeChat

SEND, REPLY, LIST = "message/custom/send", "comment/reply/add", "comment/list"
COMMENT = "c:12003:2:1"
K = EffectKind


def asyncs(function: Any) -> Any:
    return pytest.mark.asyncio(function)


async def handle_of(fake: FakeWeChat, wechat: WeChat, text: str = "年休假") -> str:
    """Let the member write and return the handle of the post."""
    async with serving(wechat) as service:
        await fake.push(service.url, fake.text(MEMBER, text))
        (post,) = service.intake.posts
    assert post.handle
    return post.handle


# --- messages --------------------------------------------------------------------------------------


@asyncs
async def test_answer_reaches_the_member_who_wrote_unescaped() -> None:
    async with FakeWeChat(AES) as fake:
        handle = await handle_of(fake, make(fake))
        wechat = make(fake)
        assert await wechat.perform(effect(handle), None) == "written:7"
        await wechat.close()
    (sent,) = fake.sent
    assert sent.openid == MEMBER
    assert sent.text == effect(handle).text
    assert b"\\u" not in sent.raw
    assert "已转后勤处".encode() in sent.raw


@asyncs
async def test_author_given_by_the_store_is_enough() -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        await wechat.perform(effect("m:1"), MEMBER)
        with pytest.raises(Rejected):
            await wechat.perform(effect("m:1"), None)
        await wechat.close()
    assert [sent.openid for sent in fake.sent] == [MEMBER]


@asyncs
@pytest.mark.parametrize(("ago", "allowed"), [(0, True), (47 * 3600, True), (49 * 3600, False)])
async def test_window_of_48_hours(ago: float, allowed: bool) -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER, ago)
        wechat = make(fake)
        if allowed:
            await wechat.perform(effect(None), MEMBER)
        else:
            with pytest.raises(Rejected, match="48 hours"):
                await wechat.perform(effect(None), MEMBER)
        await wechat.close()
    assert len(fake.sent) == allowed


@asyncs
async def test_sixth_message_is_refused_in_words() -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        for _turn in range(5):
            await wechat.perform(effect(None), MEMBER)
        with pytest.raises(Rejected, match="until they write again"):
            await wechat.perform(effect(None), MEMBER)
        await wechat.close()


@asyncs
async def test_long_answer_leaves_in_parts_and_too_long_a_one_not_at_all() -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        text = "答复内容。" * 360
        await wechat.perform(effect(None, text=text), MEMBER)
        assert "".join(sent.text for sent in fake.sent) == text
        assert len(fake.sent) == 3
        with pytest.raises(Rejected, match="shorten"):
            await wechat.perform(effect(None, text=text * 2), MEMBER)
        with pytest.raises(Rejected, match="no words"):
            await wechat.perform(effect(None, text=" \n"), MEMBER)
        await wechat.close()
    assert len(fake.sent) == 3


@asyncs
@pytest.mark.parametrize(
    ("fault", "error"), [(-1, Uncertain), (45009, Uncertain), (45047, Rejected), ("drop_after", Uncertain)]
)
async def test_broken_off_answer_is_never_begun_anew(fault: Any, error: type[ConnectorError]) -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        original = wechat._api.call

        async def second_fails(path: str, body: Any) -> Any:
            if len(fake.sent) == 1:
                if fault == "drop_after":
                    fake.faults.drop_after[SEND] = 1
                else:
                    fake.faults.give(SEND, fault)
            return await original(path, body)

        wechat._api.call = second_fails  # type: ignore[method-assign]
        with pytest.raises(error):
            await wechat.perform(effect(None, text="字" * 1000), MEMBER)
        await wechat.close()


@asyncs
@pytest.mark.parametrize("kind", [K.REMOVE, K.HIDE, K.RESTORE, K.MUTE])
async def test_private_message_cannot_be_taken_away(kind: EffectKind) -> None:
    async with FakeWeChat() as fake:
        wechat = make(fake)
        with pytest.raises(Rejected):
            await wechat.perform(effect(wechat._members.handle(MEMBER), kind), MEMBER)
        await wechat.close()
    assert not fake.calls


@asyncs
async def test_message_cannot_be_read_back_so_a_person_looks() -> None:
    async with FakeWeChat() as fake:
        wechat = make(fake)
        with pytest.raises(Rejected, match="console"):
            await wechat.read_back(effect(wechat._members.handle(MEMBER)))
        await wechat.close()


# --- errors ----------------------------------------------------------------------------------------

CODES = {
    -1: Unavailable,
    45009: RateLimited,
    45011: RateLimited,
    40003: Rejected,
    43004: Rejected,
    45002: Rejected,
    45015: Rejected,
    45047: Rejected,
    48001: Rejected,
    48004: Rejected,
    50005: Rejected,
    99999: Rejected,
}


@asyncs
@pytest.mark.parametrize("code", CODES)
async def test_codes_become_the_five_errors(code: int) -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        fake.faults.give(SEND, code)
        with pytest.raises(ConnectorError) as error:
            await wechat.perform(effect(None), MEMBER)
        await wechat.close()
    assert isinstance(error.value, CODES[code])
    assert MEMBER not in str(error.value)
    assert not fake.sent


@asyncs
@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_token_is_changed_once_then_it_stops(code: int) -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        fake.faults.give(SEND, code)
        await wechat.perform(effect(None), MEMBER)
        assert (len(fake.sent), fake.calls[SEND], fake.calls["stable_token"]) == (1, 2, 2)
        fake.faults.give(SEND, code, code)
        with pytest.raises(Unavailable):
            await wechat.perform(effect(None), MEMBER)
        assert (len(fake.sent), fake.calls[SEND], fake.calls["stable_token"]) == (1, 4, 3)
        await wechat.close()
    assert fake.force_refreshes == 0


@asyncs
async def test_token_is_asked_for_once_and_kept() -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake)
        for _turn in range(4):
            await wechat.perform(effect(None), MEMBER)
        fake.expire()
        await wechat.perform(effect(None), MEMBER)
        await wechat.close()
    assert fake.calls["stable_token"] == 2


@asyncs
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop_before", Uncertain),
        ("drop_after", Uncertain),
        ("pages", Uncertain),
        (500, Uncertain),
        (503, Uncertain),
        (429, RateLimited),
        (302, Unavailable),
        (403, Unavailable),
        (b"", Uncertain),
        (b"{}", Uncertain),
        (b"[1]", Uncertain),
        (b"\xff\xfe", Uncertain),
        (b" " * 9_000_000, Uncertain),
        ("slow", Uncertain),
    ],
    ids=str,
)
async def test_no_readable_answer_to_a_send_is_uncertain(fault: Any, error: type[ConnectorError]) -> None:
    async with FakeWeChat() as fake:
        fake.open_window(MEMBER)
        wechat = make(fake, call_seconds=0.3)
        await wechat._api.token()
        if isinstance(fault, int):
            fake.faults.statuses[SEND] = deque([fault])
        elif isinstance(fault, bytes):
            fake.faults.raw[SEND] = deque([fault])
        elif fault == "slow":
            fake.faults.delay = 1.0
        else:
            getattr(fake.faults, fault)[SEND] = 1
        with pytest.raises(error) as raised:
            await wechat.perform(effect(None), MEMBER)
        await wechat.close()
    assert "ACCESS" not in str(raised.value)
    assert raised.value.__cause__ is None


@asyncs
async def test_nobody_at_the_address_is_surely_not_done() -> None:
    fake = FakeWeChat()
    await fake.start()
    await fake.stop()
    wechat = make(fake)
    with pytest.raises(Unavailable):
        await wechat.perform(effect(None), MEMBER)
    await wechat.close()
    with pytest.raises(Unavailable, match="closed"):
        await wechat.perform(effect(None), MEMBER)


@asyncs
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "pages"])
async def test_without_a_token_nothing_was_sent(fault: str) -> None:
    async with FakeWeChat() as fake:
        wechat = make(fake)
        getattr(fake.faults, fault)["stable_token"] = 1
        with pytest.raises(Unavailable):
            await wechat.perform(effect(None), MEMBER)
        await wechat.close()
    assert not fake.calls[SEND]


def test_quota_comes_back_after_midnight_in_china() -> None:
    now = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
    error = error_of("send", 45009, now)
    assert isinstance(error, RateLimited)
    assert error.retry_at == datetime(2026, 3, 1, 16, 1, tzinfo=UTC)


@given(st.none() | st.text(max_size=40) | st.integers().map(str) | st.just("Wed, 01 Jan 2099 00:00:00 GMT"))
def test_wait_is_at_least_a_second_and_at_most_a_day(text: str | None) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert timedelta(seconds=1) <= retry_at(text, now) - now <= timedelta(days=1)


# --- comments --------------------------------------------------------------------------------------


@asyncs
async def test_comment_gets_the_one_answer() -> None:
    async with FakeWeChat() as fake:
        comment = fake.comment(ARTICLE, "食堂涨价了吗", MEMBER)
        wechat = make(fake)
        assert await wechat.read_back(effect(COMMENT)) is None
        assert await wechat.perform(effect(COMMENT), None) == f"replied:{COMMENT}"
        assert comment.reply == effect(COMMENT).text
        assert await wechat.read_back(effect(COMMENT)) == f"replied:{COMMENT}"
        assert await wechat.perform(effect(COMMENT), None) == f"replied:{COMMENT}"  # it stands already
        other = effect(COMMENT, text="别的答复〔H-1-8〕", mark="〔H-1-8〕")
        with pytest.raises(Rejected, match="already"):
            await wechat.perform(other, None)
        with pytest.raises(Rejected, match="another answer"):
            await wechat.read_back(other)
        await wechat.close()
    assert comment.reply == effect(COMMENT).text


@asyncs
async def test_answer_whose_outcome_is_unknown_is_found_and_not_said_twice() -> None:
    async with FakeWeChat() as fake:
        for _number in range(60):
            comment = fake.comment(ARTICLE, "问", MEMBER)
        handle = f"c:12003:2:{comment.number}"
        wechat = make(fake)
        fake.faults.drop_after[REPLY] = 1
        with pytest.raises(Uncertain):
            await wechat.perform(effect(handle), None)
        assert await wechat.read_back(effect(handle)) == f"replied:{handle}"
        fake.faults.drop_after[REPLY] = 1
        with pytest.raises(Uncertain):
            await wechat.perform(effect(handle), None)
        fake.faults.pages[LIST] = 1
        with pytest.raises(Unavailable):
            await wechat.read_back(effect(handle))
        await wechat.close()


@asyncs
async def test_answer_without_a_mark_is_known_by_its_words() -> None:
    async with FakeWeChat() as fake:
        comment = fake.comment(ARTICLE, "问", MEMBER)
        wechat = make(fake)
        comment.reply = "谢谢 关注\n"
        assert await wechat.read_back(effect(COMMENT, text="谢谢关注", mark="")) == f"replied:{COMMENT}"
        with pytest.raises(Rejected):
            await wechat.read_back(effect(COMMENT, text="谢谢", mark=""))
        await wechat.close()


@asyncs
async def test_already_answered_and_not_shown_is_uncertain() -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "问", MEMBER, reply="别的")
        wechat = make(fake)
        fake.faults.pages[LIST] = 1
        with pytest.raises(Uncertain):
            await wechat.perform(effect(COMMENT), None)
        await wechat.close()


@asyncs
async def test_hide_and_bring_back() -> None:
    async with FakeWeChat() as fake:
        comment = fake.comment(ARTICLE, "广告", MEMBER, elected=True)
        wechat = make(fake)
        hide, restore = effect(COMMENT, K.HIDE), effect(COMMENT, K.RESTORE)
        assert await wechat.read_back(hide) is None
        assert await wechat.perform(hide, None) == f"unmarkelect:{COMMENT}"
        assert not comment.elected
        assert await wechat.read_back(hide) == f"unmarkelect:{COMMENT}"
        assert await wechat.read_back(restore) is None
        assert await wechat.perform(restore, None) == f"markelect:{COMMENT}"
        assert comment.elected
        assert await wechat.read_back(restore) == f"markelect:{COMMENT}"
        await wechat.close()


@asyncs
async def test_where_every_comment_is_shown_none_can_be_hidden() -> None:
    async with FakeWeChat() as fake:
        comment = fake.comment(ARTICLE, "广告", MEMBER, elected=True)
        wechat = make(fake, only_elected_shown=False)
        assert "hide" not in {str(each) for each in wechat.capabilities}
        for kind in (K.HIDE, K.RESTORE):
            with pytest.raises(Rejected, match="only be deleted"):
                await wechat.perform(effect(COMMENT, kind), None)
        await wechat.close()
    assert comment.elected


@asyncs
async def test_delete_is_told_as_ours_and_cannot_be_undone() -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "广告", MEMBER)
        wechat = make(fake)
        async with listening(wechat) as intake:
            await until(lambda: intake.posts)
            assert await wechat.read_back(effect(COMMENT, K.REMOVE)) is None
            assert await wechat.perform(effect(COMMENT, K.REMOVE), None) == f"deleted:{COMMENT}"
            await until(lambda: intake.removals)
            assert await wechat.read_back(effect(COMMENT, K.REMOVE)) == f"gone:{COMMENT}"
            assert await wechat.perform(effect(COMMENT, K.REMOVE), None) == f"gone:{COMMENT}"
            with pytest.raises(Rejected, match="brought back"):
                await wechat.perform(effect(COMMENT, K.RESTORE), None)
            for kind in (K.REPLY, K.HIDE):
                with pytest.raises(Rejected):
                    await wechat.perform(effect(COMMENT, kind), None)
                with pytest.raises(Rejected):
                    await wechat.read_back(effect(COMMENT, kind))
    (removal,) = intake.removals
    assert removal.by == "self"


@asyncs
async def test_nobody_is_muted() -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "广告", MEMBER)
        wechat = make(fake)
        with pytest.raises(Rejected, match="mute"):
            await wechat.perform(effect(COMMENT, K.MUTE, seconds=60), MEMBER)
        assert await wechat.read_back(effect(COMMENT, K.MUTE, seconds=60)) is None
        await wechat.close()


@asyncs
@pytest.mark.parametrize("code", [88000, 88001, 88002, 88007, 88010])
async def test_refusals_of_comments_are_told_in_words(code: int) -> None:
    async with FakeWeChat() as fake:
        fake.comment(ARTICLE, "问", MEMBER)
        wechat = make(fake)
        fake.faults.give(REPLY, code)
        with pytest.raises(Rejected) as error:
            await wechat.perform(effect(COMMENT), None)
        await wechat.close()
    assert not re.search(r"[\u4e00-\u9fff]", str(error.value))


# --- splitting -------------------------------------------------------------------------------------


def split_message(text: str, mark: str = "") -> list[str]:
    return [part.text for part in parts_of(text, mark, LIMIT, weight)]


LINK = "https://huiyin.example.org/rate/0123456789abcdef"


@given(st.text(st.sampled_from("a年😀👨‍👩‍👧é。\n 🇨🇳"), max_size=1600))
def test_parts_fit_and_say_everything(text: str) -> None:
    parts = split_message(text)
    assert all(len(part) <= LONGEST and len(part.encode()) <= LONGEST_BYTES for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(st.integers(0, 700), st.sampled_from("年😀a"))
def test_link_is_never_broken(before: int, letter: str) -> None:
    parts = split_message(letter * before + " " + LINK + " " + letter * 300)
    assert any(LINK in part for part in parts)


def test_joined_emoji_stays_whole() -> None:
    family = "👨‍👩‍👧"
    parts = split_message(family * 300)
    assert all(part.count("👨") * len(family) == len(part) for part in parts)
