"""Acting as the official bot: answers in and after their window, quotas, recall, mute, and every refusal in words."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from qqbot_scene import GROUP, MEMBER, OTHER, effect, handle, listening, make, on, until

from connectors._qqbot_turns import GROUP_MINUTE, Quota, Turns
from connectors.qqbot import QQBot
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind
from monitor.core.ports import Capability
from monitor.testing.fake_qqbot import FakeQQBot

pytestmark = pytest.mark.asyncio


async def hear(fake: FakeQQBot, bot: QQBot, text: str = "三食堂停水了?", **fields: Any) -> dict[str, Any]:
    """Let a member say something that ``bot`` hears."""
    data = await fake.say(GROUP, MEMBER, text, **fields)
    await until(lambda: data["id"] in bot._heard)
    return data


# --- answers in time -------------------------------------------------------------------------------


async def test_answer_in_time_names_the_message_and_its_number() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        asked = await hear(fake, bot)
        receipt = await bot.perform(effect(handle=handle(asked)), None)
        await bot.perform(effect(id=8, key="reply:8", text="第二个答复", handle=handle(asked)), None)
    first, second = fake.sent
    assert receipt == first.message_id
    assert (first.msg_id, first.msg_seq) == (asked["id"], 1)
    assert (second.msg_id, second.msg_seq) == (asked["id"], 2)
    assert first.text == "已转后勤处,今天18点前答复。编号〔H-1-7〕"


async def test_same_answer_has_the_same_number_so_twice_is_once() -> None:
    async with FakeQQBot() as fake, on(fake, call_seconds=0.3) as (bot, _intake):
        one = effect(handle=handle(await hear(fake, bot)))
        fake.faults.silent_after["send"] = 1
        with pytest.raises(Uncertain):
            await bot.perform(one, None)
        with pytest.raises(Rejected, match="no history"):
            await bot.read_back(one)
        assert Capability.READ_BACK not in bot.capabilities
        # A person looked, and had it sent again all the same: the platform refuses the same number.
        assert await bot.perform(replace(one, attempt=2), None) == "answer:1"
    assert fake.said("〔H-1-7〕") == 1


async def test_number_used_before_a_restart_is_left_to_its_answer() -> None:
    async with FakeQQBot() as fake:
        async with on(fake) as (bot, _intake):
            asked = await hear(fake, bot)
            await bot.perform(effect(handle=handle(asked)), None)
        for attempt in (2, 1):
            again = make(fake)
            other = effect(id=8, key="reply:8", text="第二个", handle=handle(asked), attempt=attempt)
            if attempt == 2:  # tried before the restart: what stands there may be this one
                with pytest.raises(Uncertain):
                    await again.perform(other, None)
            else:
                await again.perform(other, None)
            await again.close()
    assert [(one.text[:3], one.msg_seq) for one in fake.sent] == [("已转后", 1), ("第二个", 2)]


async def test_sixth_answer_leaves_as_a_message_of_its_own() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        asked = handle(await hear(fake, bot))
        for number in range(6):
            await bot.perform(effect(id=number, key=f"reply:{number}", handle=asked), None)
    assert [one.msg_seq for one in fake.sent] == [1, 2, 3, 4, 5, None]


# --- answers after their window --------------------------------------------------------------------


@pytest.mark.parametrize("code", [304026, 40034024, 304027, 304103, 40034005, 40034128])
async def test_window_that_is_over_by_the_platform_turns_into_a_message_of_its_own(code: int) -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        asked = await hear(fake, bot)
        fake.faults.code_once["send"] = (400, code)
        await bot.perform(effect(handle=handle(asked)), None)
    (one,) = fake.sent
    assert one.msg_id is None
    assert fake.calls["send"] == 2


async def test_late_answer_and_notice_are_messages_of_their_own_at_once() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)  # heard nothing: the handle alone tells the time
        asked = fake.message(GROUP, MEMBER, "停水了", at=fake.now() - 295)
        await bot.perform(effect(handle=handle(asked)), None)
        await bot.perform(effect(EffectKind.NOTICE, key="notice:1", handle=None, text="通知"), None)
        await bot.perform(effect(key="reply:9", handle="ROBOT1.0_unknown", text="没有时间的"), None)
        fresh = fake.message(GROUP, MEMBER, "停水了")
        await bot.perform(effect(key="reply:10", handle=handle(fresh), text="及时的"), None)
        await bot.close()
    assert [one.msg_id for one in fake.sent] == [None, None, None, fresh["id"]]


async def test_clock_that_is_ten_minutes_wrong_costs_no_answer() -> None:
    for ahead in (-600.0, 600.0):
        async with FakeQQBot() as fake, on(fake) as (bot, _intake):
            fake.clock_ahead = ahead
            fake.expire_tokens()
            asked = await hear(fake, bot)
            await bot.perform(effect(handle=handle(asked)), None)
            await bot.perform(effect(EffectKind.REMOVE, handle=handle(asked)), None)
        assert fake.sent[0].msg_id == asked["id"]
        assert fake.group(GROUP).recalled == [asked["id"]]


async def test_quota_of_the_group_is_kept_without_asking_the_platform() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        fake.group(OTHER)
        bot = make(fake, per_minute=25)
        for number in range(GROUP_MINUTE):
            await bot.perform(effect(key=f"reply:{number}"), None)
        with pytest.raises(RateLimited) as limited:
            await bot.perform(effect(key="reply:x"), None)
        assert 50 < (limited.value.retry_at - datetime.now(UTC)).total_seconds() <= 60
        for number in range(5):
            await bot.perform(effect(key=f"other:{number}", thread=OTHER), None)
        with pytest.raises(RateLimited):  # the quota of the whole bot
            await bot.perform(effect(key="other:x", thread=OTHER), None)
        await bot.close()
    assert fake.calls["send"] == 25


async def test_platform_that_asks_to_wait_is_obeyed() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        fake.faults.code["send"], fake.faults.retry_after = (429, 22009), "120"
        with pytest.raises(RateLimited) as limited:
            await bot.perform(effect(), None)
        assert 115 < (limited.value.retry_at - datetime.now(UTC)).total_seconds() <= 120
        fake.faults.retry_after = "soon"
        fake.faults.code["send"] = (400, 40054002)  # muted
        with pytest.raises(RateLimited) as limited:
            await bot.perform(effect(), None)
        assert 595 < (limited.value.retry_at - datetime.now(UTC)).total_seconds() <= 600
        await bot.close()
    assert fake.sent == []


# --- long answers ----------------------------------------------------------------------------------


async def test_long_answer_goes_out_in_whole_parts() -> None:
    link = "https://union.example.edu.cn/rate/" + "a" * 60
    text = "第一句很长。" * 300 + "x" * 150 + link + "👩‍👩‍👧" * 400
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        receipt = await bot.perform(effect(text=text, handle=handle(await hear(fake, bot))), None)
    parts = [one.text for one in fake.sent]
    assert receipt == fake.sent[0].message_id
    assert "".join(parts) == text
    assert len(parts) > 1
    assert all(len(part) <= 2000 for part in parts)
    assert sum(link in part for part in parts) == 1
    assert [one.msg_seq for one in fake.sent] == list(range(1, len(parts) + 1))


async def test_very_long_answer_is_a_message_of_its_own_altogether() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        await bot.perform(effect(text="一句话。" * 3000, handle=handle(await hear(fake, bot))), None)
    assert len(fake.sent) > 5
    assert {one.msg_id for one in fake.sent} == {None}


@pytest.mark.parametrize(
    ("fault", "error"),
    [((400, 40034006), Rejected), ((429, 22009), Uncertain), ((400, 50055001), Uncertain)],
)
async def test_long_answer_that_breaks_off_is_never_begun_again(
    fault: tuple[int, int], error: type[ConnectorError]
) -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        fake.faults.code["send"], fake.faults.first["send"] = fault, 2
        with pytest.raises(error):
            await bot.perform(effect(text="一句话。" * 1200), None)
        await bot.close()
    assert (len(fake.sent), fake.calls["send"]) == (1, 2)


# --- what became of a call -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "stands"),
    [
        ("silent_before", Uncertain, 0),
        ("silent_after", Uncertain, 1),
        ("drop_before", Uncertain, 0),
        ("drop_after", Uncertain, 1),
        ("page", Uncertain, 0),
        ("huge", Uncertain, 0),
        (500, Uncertain, 0),
        (502, Uncertain, 0),
        (302, Uncertain, 0),
        (403, Rejected, 0),
        (429, RateLimited, 0),
    ],
)
async def test_every_end_of_a_send_is_one_of_our_errors(
    fault: str | int, error: type[ConnectorError], stands: int
) -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake, call_seconds=0.3)
        if isinstance(fault, int):
            fake.faults.status["send"] = fault
        elif fault in ("page", "huge"):
            getattr(fake.faults, fault).add("send")
        else:
            getattr(fake.faults, fault)["send"] = 1
        with pytest.raises(error) as raised:
            await bot.perform(effect(), None)
        assert type(raised.value) is error
        await bot.close()
    assert len(fake.sent) == stands


async def test_platform_that_is_not_there_surely_got_nothing() -> None:
    fake = FakeQQBot()
    await fake.start()
    await fake.stop()
    bot = make(fake)
    with pytest.raises(Unavailable):
        await bot.perform(effect(), None)
    await bot.close()
    with pytest.raises(Unavailable):
        await bot.perform(effect(), None)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (40034105, "owner has not allowed"),
        (40034006, "content"),
        (304003, "register its domain"),
        (40054010, "register its domain"),
        (40054007, "too long"),
        (11253, "not granted"),
        (11255, "not in the group"),
        (40034101, "not in the group"),
        (99999999, "code 99999999"),
    ],
)
async def test_refusals_are_told_in_words(code: int, word: str) -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        fake.faults.code["send"] = (400, code)
        with pytest.raises(Rejected, match=word):
            await bot.perform(effect(), None)
        await bot.close()


@pytest.mark.parametrize("status", [201, 202])
async def test_message_in_audit_is_sent(status: int) -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        fake.faults.code["send"] = (status, 304023)
        assert await bot.perform(effect(), None) == "in-audit"
        await bot.close()


@pytest.mark.parametrize("fields", [{"text": " \n "}, {"thread": "F" * 32}, {"thread": None}])
async def test_answer_that_cannot_be_said_is_rejected(fields: dict[str, Any]) -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        with pytest.raises(Rejected):
            await bot.perform(effect(**fields), None)
        await bot.close()
    assert fake.calls["send"] == 0


# --- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [False, True])
async def test_token_is_renewed_before_its_end_and_once_for_many(number: bool) -> None:
    async with FakeQQBot(life=7200) as fake:
        fake.group(GROUP)
        fake.faults.number_expires = number
        bot = make(fake)
        await asyncio.gather(*(bot.perform(effect(key=f"reply:{n}"), None) for n in range(5)))
        assert fake.calls["token"] == 1
        bot._api._good_until -= 7200 - 90
        await bot.perform(effect(key="reply:x"), None)
        assert fake.calls["token"] == 2
        left = bot._api._good_until - asyncio.get_running_loop().time()
        assert 7000 < left <= 7200 - 90
        await bot.close()


async def test_token_that_expires_in_the_middle_is_renewed_once_and_the_call_made() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        await bot.perform(effect(), None)
        fake.expire_tokens()
        await bot.perform(effect(key="reply:8"), None)
        assert (fake.calls["send"], fake.calls["token"], len(fake.sent)) == (3, 2, 2)
        fake.faults.code["send"] = (401, 11243)
        with pytest.raises(Rejected, match="no access token"):
            await bot.perform(effect(key="reply:9"), None)
        assert (fake.calls["send"], fake.calls["token"]) == (5, 3)
        await bot.close()


async def test_every_call_has_its_own_connection_for_one_closed_meanwhile_would_be_uncertain() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        for number in range(2):
            await bot.perform(effect(key=f"reply:{number}"), None)
        await bot.close()
    assert (fake.calls["send"], fake.kept_open["send"]) == (2, 0)


@pytest.mark.parametrize("life", [0, 30, 80])
async def test_short_lived_token_is_not_asked_for_with_every_call(life: int) -> None:
    async with FakeQQBot(life=life or 7200) as fake:
        fake.group(GROUP)
        bot = make(fake)
        for number in range(4):
            await bot.perform(effect(key=f"reply:{number}"), None)
        assert fake.calls["token"] == 1
        await bot.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [(100016, Rejected), (100007, Rejected), (10004, Rejected), (100001, RateLimited), (55, Rejected)],
)
async def test_refused_token_is_judged_by_its_code_for_the_status_is_200(
    code: int, error: type[ConnectorError]
) -> None:
    async with FakeQQBot() as fake:
        fake.faults.token_code = code
        bot = make(fake)
        with pytest.raises(error) as raised:
            await bot.perform(effect(), None)
        assert fake.secret not in str(raised.value)
        await bot.close()
    assert fake.calls["send"] == 0


@pytest.mark.parametrize("fault", ["page", "huge", "drop_after", "silent_before"])
async def test_token_that_does_not_come_means_surely_not_done(fault: str) -> None:
    async with FakeQQBot() as fake:
        bot = make(fake, call_seconds=0.3)
        if fault in ("page", "huge"):
            getattr(fake.faults, fault).add("token")
        else:
            fake.faults.drop_before["token"] = fault == "drop_after"
            fake.faults.silent_before["token"] = fault == "silent_before"
        with pytest.raises(Unavailable):
            await bot.perform(effect(), None)
        await bot.close()


# --- recall and mute -------------------------------------------------------------------------------


async def test_recall_in_time_as_administrator() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, _intake):
        asked = await hear(fake, bot, "广告")
        receipt = await bot.perform(effect(EffectKind.REMOVE, handle=handle(asked)), None)
        assert fake.group(GROUP).recalled == [asked["id"]]  # an id that is base64 arrives as it is
    assert receipt == "recalled:7"


async def test_recall_whose_answer_is_lost_is_not_made_again() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        asked = fake.message(GROUP, MEMBER, "广告")
        fake.faults.drop_after["recall"] = 1
        with pytest.raises(Uncertain):
            await bot.perform(effect(EffectKind.REMOVE, handle=handle(asked)), None)
        await bot.close()
    assert fake.group(GROUP).recalled == [asked["id"]]


async def test_late_recall_is_refused_in_words_without_a_call() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        late = fake.message(GROUP, MEMBER, "广告", at=fake.now() - 121)
        with pytest.raises(Rejected, match="within two minutes"):
            await bot.perform(effect(EffectKind.REMOVE, handle=handle(late)), None)
        assert fake.calls["recall"] == 0
        # Without a time the platform decides.
        with pytest.raises(Rejected, match="within two minutes"):
            await bot.perform(effect(EffectKind.REMOVE, handle=late["id"]), None)
        with pytest.raises(Rejected, match="names no message"):
            await bot.perform(effect(EffectKind.REMOVE, handle=None), None)
        await bot.close()


async def test_bot_that_is_no_administrator_says_so_and_looks_again() -> None:
    async with FakeQQBot() as fake:
        fake.group(OTHER).role = "member"
        fake.group(GROUP).role = "member"
        bot = make(fake)
        assert Capability.REMOVE in bot.capabilities  # nothing known yet
        asked = fake.message(GROUP, MEMBER, "广告")
        remove = effect(EffectKind.REMOVE, handle=handle(asked))
        with pytest.raises(Rejected, match="no administrator"):
            await bot.perform(remove, None)
        await bot.check()
        assert (
            not {Capability.REMOVE, Capability.MUTE, Capability.HIDE, Capability.RESTORE} & bot.capabilities
        )
        assert {Capability.LISTEN, Capability.REPLY} == bot.capabilities
        fake.group(GROUP).role = "admin"
        assert await bot.perform(remove, None) == "recalled:7"
        assert Capability.REMOVE in bot.capabilities
        fake.group(GROUP).role = "member"  # unmade since we looked
        with pytest.raises(Rejected, match="no administrator"):
            await bot.perform(remove, None)
        assert Capability.REMOVE not in bot.capabilities
        await bot.close()


async def test_platform_that_does_not_tell_rights_is_simply_tried() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        fake.faults.code["bot_state"] = (403, 11253)
        asked = fake.message(GROUP, MEMBER, "广告")
        for _time in range(2):
            await bot.perform(effect(EffectKind.REMOVE, handle=handle(asked)), None)
        assert fake.calls["bot_state"] == 1
        await bot.close()


async def test_mute_names_member_and_end_in_chinese_time() -> None:
    async with FakeQQBot() as fake:
        fake.group(GROUP)
        bot = make(fake)
        assert await bot.perform(effect(EffectKind.MUTE, seconds=600), MEMBER) == "muted:7:600"
        until_ = fake.group(GROUP).muted[MEMBER]
        assert until_.endswith("+08:00")
        left = datetime.fromisoformat(until_) - datetime.now(UTC)
        assert timedelta(seconds=590) < left <= timedelta(seconds=600)
        for seconds, author in ((0, MEMBER), (30 * 86_400 + 1, MEMBER), (600, None), (600, "")):
            with pytest.raises(Rejected):
                await bot.perform(effect(EffectKind.MUTE, seconds=seconds), author)
        assert fake.calls["mute"] == 1
        await bot.close()


@pytest.mark.parametrize("kind", [EffectKind.HIDE, EffectKind.RESTORE])
async def test_what_qq_cannot_do_is_refused(kind: EffectKind) -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        with pytest.raises(Rejected, match="cannot"):
            await bot.perform(effect(kind, handle="x"), MEMBER)
        await bot.close()
    assert sum(fake.calls.values()) == 0


async def test_bot_put_out_of_a_group_knows_it() -> None:
    async with FakeQQBot() as fake, on(fake, groups=[GROUP]) as (bot, _intake):
        fake.group(GROUP).role = None
        await fake.news("GROUP_DEL_ROBOT", GROUP)
        await until(lambda: Capability.REMOVE not in bot.capabilities)
        await fake.news("GROUP_ADD_ROBOT", GROUP)
        fake.group(GROUP).role = "admin"
        await until(lambda: Capability.REMOVE in bot.capabilities)


# --- numbers and quotas alone ----------------------------------------------------------------------


async def test_numbers_are_never_given_twice() -> None:
    turns = Turns()
    assert [turns.take("m", key) for key in "aabc"] == [1, 1, 2, 3]
    turns.give_up("m", "a")
    assert [turns.take("m", "a"), turns.take("m", "d"), turns.take("m", "e")] == [4, 5, None]
    assert turns.take("other", "a") == 1
    assert turns.known("m", "b")
    assert not turns.known("m", "e")


async def test_quota_moves_with_time() -> None:
    now = [0.0]
    quota = Quota(3, lambda: now[0])
    for _message in range(3):
        quota.need("g", 1)
        quota.spend("g")
        now[0] += 10
    with pytest.raises(RateLimited):
        quota.need("g", 1)
    now[0] = 60.0
    quota.need("g", 1)
    with pytest.raises(RateLimited):
        quota.need("g", 2)
    with pytest.raises(Rejected, match="too long"):
        quota.need("g", 4)


async def test_nothing_native_stands_in_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with FakeQQBot() as fake:
        bot = make(fake)
        secrets = (MEMBER, GROUP, fake.secret, "token-", "秘密", "ROBOT1.0")
        asked = fake.message(GROUP, MEMBER, "x")
        for code in (40034006, 11255, 12345, 40062003):
            fake.faults.code = dict.fromkeys(("send", "recall", "mute"), (400, code))
            for kind in (EffectKind.REPLY, EffectKind.REMOVE, EffectKind.MUTE):
                with pytest.raises(Rejected) as refused:
                    await bot.perform(effect(kind, text="秘密", handle=handle(asked), seconds=60), MEMBER)
                assert not [secret for secret in secrets if secret in str(refused.value)]
        await bot.close()
    told = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("connectors"))
    assert "trace=trace-" in told
    assert not [secret for secret in secrets if secret in told]


async def test_listening_and_acting_share_one_token() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        async with listening(bot):
            await until(fake.connected.is_set)
            fake.group(GROUP)
            begun = time.monotonic()
            await bot.perform(effect(), None)
            assert time.monotonic() - begun < 1
            assert fake.calls["token"] == 1
