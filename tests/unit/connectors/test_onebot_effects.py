"""Acting in QQ groups: answers, recalls, mutes, what is refused, and that nothing is ever said twice (E-03)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from onebot_scene import GROUP, TOKEN, Intake, effect, listening, make, serving, until

from connectors.onebot import OneBot
from monitor.core.errors import ConnectorError, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Capability
from monitor.testing._fake_groups import Message
from monitor.testing.fake_qq import FakeQQ

pytestmark = pytest.mark.asyncio
HISTORIANS = ["napcat", "llonebot", "lagrange", "go-cqhttp"]
NOW = datetime.now(UTC)


@asynccontextmanager
async def linked(
    profile: str = "napcat", way: str = "reverse", **settings: Any
) -> AsyncIterator[tuple[FakeQQ, OneBot]]:
    """Yield a fake and a connector that talk to each other, by socket or by HTTP; one question stands in the group."""
    async with FakeQQ(profile, TOKEN, reconnect=0.01) as fake:
        asked = await fake.say(GROUP, 20002000, "三食堂停水了?")
        fake.asked = asked  # type: ignore[attr-defined]
        if way == "http":
            onebot = make(api_url=fake.http_url, poll_seconds=3600, **settings)
            async with listening(Intake(), onebot):
                await until(lambda: onebot.counts["onebot.none"] == 0 and onebot._account.profile)
                yield fake, onebot
        else:
            onebot = make(**settings)
            async with serving(onebot) as (service, intake):
                fake.connect(service.ws_url)
                await until(lambda: onebot._account.profile and (intake.texts or profile == "strict"))
                await until(lambda: onebot._account.roles)
                yield fake, onebot


def stands(fake: FakeQQ) -> list[Message]:
    """Return our own messages that stand in the group."""
    return [m for m in fake.memory.group(GROUP).messages.values() if m.user == fake.self_id]


# --- answering -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["reverse", "http"])
@pytest.mark.parametrize("profile", [*HISTORIANS, "strict"])
async def test_answer_quotes_the_question_and_returns_its_id(profile: str, way: str) -> None:
    async with linked(profile, way) as (fake, onebot):
        receipt = await onebot.perform(effect(handle=str(fake.asked)), None)
        (said,) = stands(fake)
    assert receipt == str(said.message_id)
    assert said.segments[0] == {"type": "reply", "data": {"id": str(fake.asked)}}
    assert said.text == "已转后勤处,今天18点前答复。编号〔H-1-7〕"


async def test_answer_without_a_handle_of_qq_quotes_nothing() -> None:
    async with linked() as (fake, onebot):
        await onebot.perform(effect(handle="700001:17"), None)
        await onebot.perform(effect(EffectKind.NOTICE, handle=None, text="通知"), None)
        assert [len(message.segments) for message in stands(fake)] == [1, 1]


async def test_codes_in_an_answer_stay_words() -> None:
    async with linked() as (fake, onebot):
        await onebot.perform(effect(text="[CQ:at,qq=all] &amp; 1<2 \ud800"), None)
        (said,) = stands(fake)
    assert said.text == "[CQ:at,qq=all] &amp; 1<2 \ufffd"
    assert [part["type"] for part in said.segments] == ["text"]


async def test_long_answer_is_split_and_only_the_first_part_quotes() -> None:
    text = "第一句很长。" * 800 + "编号〔H-1-7〕"
    async with linked() as (fake, onebot):
        receipt = await onebot.perform(effect(handle=str(fake.asked), text=text), None)
        parts = stands(fake)
        assert await onebot.read_back(effect(text=text)) == receipt
    assert receipt == str(parts[0].message_id)
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= 2000 and part.text.endswith(("。", "〕")) for part in parts)
    assert [part.segments[0]["type"] for part in parts] == ["reply", "text", "text"]


async def test_long_answer_that_broke_off_is_completed_not_repeated() -> None:
    text = "一样的一句话。" * 700 + "编号〔H-1-7〕"
    async with linked() as (fake, onebot):
        keep = fake._do_send_group_msg

        async def once(params: dict[str, Any]) -> dict[str, Any]:
            fake.faults.drop_before["send_group_msg"] = 1  # the second part is lost with the connection
            fake._do_send_group_msg = keep  # type: ignore[method-assign]
            return await keep(params)

        fake._do_send_group_msg = once  # type: ignore[method-assign]
        with pytest.raises(Uncertain):
            await onebot.perform(effect(text=text), None)
        await until(lambda: onebot._talks.links())
        assert await onebot.read_back(effect(text=text)) is None
        await onebot.perform(effect(text=text, attempt=2), None)
        assert "".join(part.text for part in stands(fake)) == text


@pytest.mark.parametrize("fields", [{"text": " \n "}, {"thread": "900009"}, {"thread": None}])
async def test_answer_that_cannot_be_said_is_rejected(fields: dict[str, Any]) -> None:
    async with linked() as (fake, onebot):
        with pytest.raises(Rejected):
            await onebot.perform(effect(**fields), None)
        assert fake.done == []


# --- recalling and muting --------------------------------------------------------------------------


async def test_recall_and_its_notice() -> None:
    async with linked() as (fake, onebot):
        asked = str(fake.asked)
        remove = effect(EffectKind.REMOVE, handle=asked)
        assert await onebot.perform(remove, None) == f"recalled:{asked}"
        await until(lambda: onebot._recalled)
        assert await onebot.perform(remove, None) == f"recalled:{asked}"  # nothing is asked twice
        assert await onebot.read_back(remove) == f"recalled:{asked}"
        assert [done.action for done in fake.done] == ["delete_msg"]


async def test_message_that_its_author_recalled_needs_no_recall() -> None:
    async with linked() as (fake, onebot):
        await fake.recall(fake.asked)
        await until(lambda: onebot._recalled)
        assert await onebot.perform(effect(EffectKind.REMOVE, handle=str(fake.asked)), None)
        assert fake.done == []


@pytest.mark.parametrize("handle", [None, "", "700001:12", "x"])
async def test_recall_needs_a_message_of_qq(handle: str | None) -> None:
    async with linked() as (_fake, onebot):
        with pytest.raises(Rejected, match="names no message"):
            await onebot.perform(effect(EffectKind.REMOVE, handle=handle), None)


async def test_recall_whose_outcome_is_unknown_is_looked_up() -> None:
    async with linked(call_seconds=0.3) as (fake, onebot):
        remove = effect(EffectKind.REMOVE, handle=str(fake.asked))
        fake.faults.silent_before["delete_msg"] = 1
        with pytest.raises(Uncertain):
            await onebot.perform(remove, None)
        assert await onebot.read_back(remove) is None  # it stands: do it again
        await onebot.perform(replace(remove, attempt=2), None)
    async with linked(call_seconds=0.3) as (fake, onebot):
        remove = effect(EffectKind.REMOVE, handle=str(fake.asked))
        fake.memory.remove(fake.asked)  # gone, and nobody told us
        with pytest.raises(Rejected, match="recalled or forgotten"):
            await onebot.read_back(remove)


async def test_mute_names_its_seconds() -> None:
    async with linked() as (fake, onebot):
        receipt = await onebot.perform(effect(EffectKind.MUTE, seconds=600), "20002000")
        assert receipt == "muted:7:600"
        assert [(done.user, done.seconds) for done in fake.done] == [(20002000, 600)]
        assert await onebot.read_back(effect(EffectKind.MUTE, seconds=600)) is None


@pytest.mark.parametrize(
    ("seconds", "author"), [(0, "20002000"), (31 * 86_400, "20002000"), (60, None), (60, "anonymous:9")]
)
async def test_mute_that_would_do_something_else_is_rejected(seconds: int, author: str | None) -> None:
    async with linked() as (fake, onebot):
        with pytest.raises(Rejected):
            await onebot.perform(effect(EffectKind.MUTE, seconds=seconds), author)
        assert fake.done == []


@pytest.mark.parametrize(
    ("kind", "word"), [(EffectKind.RESTORE, "correction"), (EffectKind.HIDE, "recall it")]
)
async def test_what_qq_cannot_do_is_refused_clearly(kind: EffectKind, word: str) -> None:
    async with linked() as (fake, onebot):
        with pytest.raises(Rejected, match=word):
            await onebot.perform(effect(kind, handle=str(fake.asked)), None)
        assert Capability.RESTORE not in onebot.capabilities
        assert Capability.HIDE not in onebot.capabilities


# --- rights ----------------------------------------------------------------------------------------


async def test_capabilities_follow_our_role() -> None:
    async with FakeQQ("napcat", TOKEN) as fake:
        fake.role = "member"
        fake.join(GROUP)
        fake.join(700002)
        onebot = make()
        async with serving(onebot) as (service, _intake):
            fake.connect(service.ws_url)
            await until(lambda: Capability.REMOVE not in onebot.capabilities)
            assert onebot.capabilities == {Capability.LISTEN, Capability.REPLY, Capability.READ_BACK}
            asked = await fake.say(GROUP, 1, "广告")
            with pytest.raises(Rejected, match="administrator"):
                await onebot.perform(effect(EffectKind.REMOVE, handle=str(asked)), None)
            fake.role = "admin"
            await fake.notice("group_admin", sub_type="set", group_id=GROUP, user_id=fake.self_id)
            await until(lambda: Capability.REMOVE in onebot.capabilities)
            await onebot.perform(effect(EffectKind.REMOVE, handle=str(asked)), None)
            await fake.notice("group_admin", sub_type="unset", group_id=GROUP, user_id=fake.self_id)
            await fake.notice("group_admin", sub_type="set", group_id=700002, user_id=1)  # somebody else
            await until(lambda: Capability.MUTE not in onebot.capabilities)
            # the notice was wrong, or outdated: before refusing, the role is asked anew
            assert await onebot.perform(effect(EffectKind.MUTE, seconds=60), "1")
            await fake.notice("group_decrease", sub_type="kick_me", group_id=GROUP, user_id=fake.self_id)
            await until(lambda: onebot._account.roles[str(GROUP)] == "gone")


async def test_each_group_has_its_own_rights() -> None:
    async with FakeQQ("napcat", TOKEN) as fake:
        fake.role = "admin"
        fake.join(GROUP)
        fake.join(700002)
        onebot = make(groups=(GROUP, 700002))
        async with serving(onebot) as (service, _intake):
            fake.connect(service.ws_url)
            await until(lambda: onebot._account.roles.get("700002") == "admin")
            assert onebot.lacking == {}
            await fake.notice("group_admin", sub_type="unset", group_id=700002, user_id=fake.self_id)
            powers = {Capability.REMOVE, Capability.MUTE}
            await until(lambda: onebot.lacking == {"700002": powers})
            assert powers <= onebot.capabilities, "the other group still has them"


async def test_program_without_history_cannot_read_back() -> None:
    async with linked("strict") as (_fake, onebot):
        await until(lambda: Capability.READ_BACK not in onebot.capabilities)
        with pytest.raises(Rejected):
            await onebot.read_back(effect())


# --- what the answers mean -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (100, Rejected), (1400, Rejected), (400, Rejected), (1200, Rejected), (200, Rejected), (120101005, Rejected),
        (404, Rejected), (1404, Rejected),
        (401, Unavailable), (403, Unavailable), (1401, Unavailable), (1403, Unavailable),
        (-1, Unavailable), (500, Unavailable), (9000, Unavailable),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["reverse", "http"])
async def test_refusals_by_their_code(code: int, error: type[ConnectorError], way: str) -> None:
    async with linked("napcat", way) as (fake, onebot):
        fake.faults.refuse["send_group_msg"] = code
        with pytest.raises(error) as raised:
            await onebot.perform(effect(), None)
        assert type(raised.value) is not Uncertain
        assert fake.sent("H-1-7") == 0


async def test_failure_with_retcode_zero_is_a_failure() -> None:
    async with linked("lagrange") as (fake, onebot):
        fake.faults.failed_zero.add("set_group_ban")
        with pytest.raises(Rejected):
            await onebot.perform(effect(EffectKind.MUTE, seconds=60), "20002000")


@pytest.mark.parametrize("code", [1200, 200, 9000])
@pytest.mark.parametrize("way", ["reverse", "http"])
async def test_message_that_was_called_failed_and_stands_all_the_same_is_sent(code: int, way: str) -> None:
    """NapCat answers 1200 when QQ is slow, and the message arrives."""
    async with linked("napcat", way) as (fake, onebot):
        fake.faults.refuse_after["send_group_msg"] = code
        receipt = await onebot.perform(effect(), None)
        assert receipt == str(stands(fake)[0].message_id)
        fake.faults.refuse_after["send_group_msg"] = code
        fake.faults.refuse["get_group_msg_history"] = 500
        with pytest.raises(Uncertain):
            await onebot.perform(effect(mark="〔H-1-8〕", text="另一个答复〔H-1-8〕"), None)


async def test_page_of_a_proxy_is_no_answer() -> None:
    async with linked("napcat", "http") as (fake, onebot):
        fake.faults.page = True
        with pytest.raises(Uncertain):
            await onebot.perform(effect(), None)


async def test_nothing_connected_is_surely_not_done() -> None:
    onebot = make()
    with pytest.raises(Unavailable):
        await onebot.perform(effect(), None)
    await onebot.close()
    onebot = make(api_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        await onebot.perform(effect(), None)
    await onebot.close()


async def test_answers_are_matched_by_echo_not_by_order() -> None:
    async with linked() as (fake, onebot):
        fake.faults.out_of_order = True
        first, second = await asyncio.gather(
            onebot.perform(effect(text="甲"), None), onebot.perform(effect(text="乙"), None)
        )
        by_text = {message.text: str(message.message_id) for message in stands(fake)}
    assert (first, second) == (by_text["甲"], by_text["乙"])


# --- once (E-03) -----------------------------------------------------------------------------------


async def test_read_back_finds_the_mark_among_our_own_words_only() -> None:
    async with linked() as (fake, onebot):
        await fake.say(GROUP, 20002000, "编号〔H-1-7〕是什么意思?")
        assert await onebot.read_back(effect()) is None
        receipt = await onebot.perform(effect(), None)
        assert await onebot.read_back(effect()) == receipt
        assert await onebot.read_back(effect(text="换行\n会变。 编号〔H-1-7〕")) == receipt
        assert await onebot.read_back(effect(text="另一个 〔H-1-8〕", mark="〔H-1-8〕")) is None


async def test_read_back_looks_no_further_back_than_the_effect() -> None:
    async with linked() as (fake, onebot):
        message = fake._store(
            GROUP,
            fake.self_id,
            [{"type": "text", "data": {"text": effect().text}}],
            NOW.timestamp() - 4000,
            "",
        )
        assert message.text
        assert await onebot.read_back(effect()) is None


async def test_read_back_says_so_when_history_does_not_reach_back() -> None:
    async with FakeQQ("napcat", TOKEN) as fake:
        onebot = make()
        async with serving(onebot) as (service, _intake):
            fake.connect(service.ws_url)
            await until(lambda: onebot._talks.links())
            fake.join(GROUP)
            with pytest.raises(Unavailable):
                await onebot.read_back(effect())
            await fake.say(GROUP, 1, "刚刚才有的话")
            early = effect(created_at=NOW - timedelta(hours=1))
            with pytest.raises(Rejected, match="reach back"):
                await onebot.read_back(early)


FAULTS = (
    "drop_before",
    "silent_before",
    "drop_after",
    "silent_after",
    "refuse_after",
    "crash",
    "restart",
    "",
)


class Sender:
    """The dispatcher's rule in small: unknown is read back, and only what is surely undone is sent again."""

    def __init__(self, fake: FakeQQ, url_of: Any, chance: random.Random) -> None:
        self.fake, self.url_of, self.chance = fake, url_of, chance
        self.onebot = self._new()

    def _new(self) -> OneBot:
        return make(url=self.url_of(), call_seconds=0.15, retry_seconds=0.02)

    async def restart(self) -> None:
        await self.onebot.close()
        self.onebot = self._new()

    async def send(self, one: Effect, fault: str) -> str:
        unknown = False
        for _round in range(40):
            task = asyncio.create_task(Intake().listen(self.onebot))
            try:
                await asyncio.sleep(0.03)
                if unknown:
                    receipt = await self.onebot.read_back(one)
                    if receipt is not None:
                        return receipt
                    unknown = False
                one = replace(one, attempt=one.attempt + 1)
                work = asyncio.create_task(self.onebot.perform(one, None))
                if fault == "crash":
                    await asyncio.sleep(self.chance.random() * 0.003)
                    await self.fake.drop()
                if fault == "restart":
                    await asyncio.sleep(self.chance.random() * 0.003)
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
                    unknown = True  # whoever was sending is gone: nobody knows
                    await self.restart()
                    fault = ""
                    continue
                fault = ""
                return await work
            except Uncertain:
                unknown = True
            except Unavailable:
                continue
            finally:
                self.fake.faults.refuse_after.clear()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        raise AssertionError("it never came to an end")


@pytest.mark.parametrize("profile", HISTORIANS)
async def test_nothing_is_said_twice_whatever_breaks(profile: str, tmp_path: Path) -> None:
    chance = random.Random(f"once {profile}")
    async with FakeQQ(profile, TOKEN, state=tmp_path / "fake.jsonl") as fake:
        await fake.say(GROUP, 20002000, "有人吗")
        sender = Sender(fake, lambda: fake.ws_url, chance)
        for number in range(16):
            fault = FAULTS[number % len(FAULTS)]
            mark = f"〔H-{number}-1〕"
            if fault.endswith(("before", "after")) and fault != "refuse_after":
                getattr(fake.faults, fault)["send_group_msg"] = 1
            elif fault == "refuse_after":
                fake.faults.refuse_after["send_group_msg"] = 1200
            one = effect(id=number, text=f"第{number}个答复 {mark}", mark=mark, attempt=0)
            await sender.send(one, fault)
            assert fake.sent(mark) == 1, (number, fault)
        await sender.onebot.close()
