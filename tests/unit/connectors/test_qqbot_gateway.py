"""Listening over the gateway: hello to resume, breaks of every kind, gaps, repeats, and what cannot be read."""

from __future__ import annotations

import asyncio
import json
import logging
import random

import pytest
from qqbot_scene import GROUP, MEMBER, OTHER, Intake, listening, make, on, until

from connectors import _qqbot_gateway, _qqbot_inbox
from monitor.core.errors import RateLimited, Rejected, Unavailable
from monitor.core.model import PostKind
from monitor.testing.fake_qqbot import FakeQQBot

pytestmark = pytest.mark.asyncio


# --- the usual way ---------------------------------------------------------------------------------


async def test_group_messages_become_posts_of_declared_groups_only() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        first = await fake.say(GROUP, MEMBER, "三食堂二楼又停水了")
        await fake.say("F" * 32, MEMBER, "别的群")
        await fake.say(OTHER, "9" * 32, "收到")
        await until(lambda: len(intake.texts) == 2)
        assert list(bot._rights.strangers) == ["F" * 32]
    one = intake.posts[0]
    assert (one.channel, one.thread, one.author, one.kind) == ("bot", GROUP, MEMBER, PostKind.POST)
    assert one.external_id == first["id"]
    assert one.handle is not None
    assert one.handle.startswith(first["id"] + "@")
    assert one.posted_at is not None
    assert one.posted_at.isoformat().endswith("+00:00")


async def test_identify_asks_for_group_messages_with_the_token_and_one_shard() -> None:
    async with FakeQQBot() as fake, on(fake):
        hello = next(frame for frame in fake.frames if frame["op"] == 2)
        beat = next(frame for frame in fake.frames if frame["op"] == 1)
    assert hello["d"] == {
        "token": hello["d"]["token"], "intents": 1 << 25, "shard": [0, 1], "properties": {}
    }  # fmt: skip
    assert hello["d"]["token"].startswith("QQBot token-")
    assert beat == {"op": 1, "d": None}


async def test_mentions_alone_are_heard_where_the_owner_allows_no_more() -> None:
    async with FakeQQBot() as fake, on(fake) as (_bot, intake):
        fake.group(GROUP).hears = "only_mention"
        await fake.say(GROUP, MEMBER, "没有提到机器人")
        await fake.say(GROUP, MEMBER, "@工会 食堂几点开门")
        await until(lambda: intake.said() == ["食堂几点开门"])


async def test_heartbeat_names_the_last_event() -> None:
    async with FakeQQBot(heartbeat=0.05) as fake, on(fake) as (_bot, intake):
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.texts)
        await until(lambda: {"op": 1, "d": 2} in fake.frames)


async def test_quoted_message_is_known_by_its_index() -> None:
    async with FakeQQBot() as fake, on(fake) as (_bot, intake):
        first = await fake.say(GROUP, MEMBER, "停水了吗")
        index = first["message_scene"]["ext"][0].removeprefix("msg_idx=")
        scene = {"source": "default", "ext": ["msg_idx=REFIDX_x==", f"ref_msg_idx={index}"]}
        await fake.say(
            GROUP,
            "8" * 32,
            "停了",
            message_type=103,
            message_scene=scene,
            msg_elements=[{"content": "停水了吗"}],
        )
        await until(lambda: len(intake.texts) == 2)
    answer = intake.posts[1]
    assert (answer.reply_to, answer.quoted, answer.text) == (first["id"], "停水了吗", "停了")


# --- repeats ---------------------------------------------------------------------------------------


async def test_same_message_three_times_and_by_both_events_is_one_post() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        data = fake.message(GROUP, MEMBER, "一")
        for kind in ("GROUP_MESSAGE_CREATE",) * 3 + ("GROUP_AT_MESSAGE_CREATE",):
            await fake.emit(kind, data)
        await fake.say(GROUP, MEMBER, "二")
        await until(lambda: "二" in intake.texts.values())
        assert bot.counts["repeated"] == 3
    assert [post.text for post in intake.posts] == ["一", "二"]
    assert json.loads(intake.cursor or "")["seq"] == 6  # the repeats move the cursor all the same


# --- breaks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1012, 4008, 4009, 4242])
async def test_break_resumes_the_session_and_nothing_is_missed(code: int) -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.texts)
        await fake.drop(code)
        await fake.say(GROUP, MEMBER, "二")
        await until(lambda: intake.said() == ["一", "二"])
        await until(lambda: bot.counts["resumed"] == 1)
        resume = next(frame for frame in fake.frames if frame["op"] == 6)
        assert resume["d"]["seq"] == 2
        assert (bot.counts["ready"], len(fake.sessions)) == (1, 1)
    assert intake.broken == []
    assert intake.doubled == 0


async def test_order_to_reconnect_is_followed() -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        await fake.order(7)
        await until(lambda: bot.counts["resumed"] == 1)
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.said() == ["一"])


@pytest.mark.parametrize("way", ["op9", "4006", "4900", "4913"])
async def test_lost_session_begins_anew_and_tells_the_gap(way: str) -> None:
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.texts)
        fake.end_sessions()
        await fake.drop(1012 if way == "op9" else int(way))
        await until(lambda: bot.counts["ready"] == 2)
        await fake.say(GROUP, MEMBER, "三")
        await until(lambda: intake.said() == ["一", "三"])
    (gap,) = intake.broken
    assert (gap.reason, gap.payload) == ("gap", b"")
    assert gap.position is not None
    since, until_ = gap.position.split("/")
    assert since <= until_
    assert bot.counts["resumed"] == 0


async def test_first_session_ever_is_no_gap() -> None:
    async with FakeQQBot() as fake, on(fake) as (_bot, intake):
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.texts)
    assert intake.broken == []


@pytest.mark.parametrize("code", [4001, 4002, 4010, 4014, 4914, 4915])
async def test_end_that_a_person_must_mend_stops_and_tells(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeQQBot() as fake:
        bot, intake = make(fake), Intake()
        task = asyncio.create_task(intake.listen(bot))  # type: ignore[arg-type]
        await until(lambda: bot._gateway.is_ready)
        await fake.drop(code)
        with pytest.raises(Rejected, match=str(code)):
            await asyncio.wait_for(task, 5)
        again = asyncio.create_task(intake.listen(bot))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert fake.calls["gateway"] == 1  # nobody hammers
        health = await bot.check()
        assert not health.ok
        await bot.close()
        await asyncio.wait_for(again, 5)


async def test_half_open_connection_is_noticed_and_resumed() -> None:
    async with FakeQQBot(heartbeat=0.05) as fake, on(fake) as (bot, intake):
        fake.faults.mute = True
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: bot.counts["silent"])
        fake.faults.mute = False
        await until(lambda: intake.said() == ["一"])
        assert bot.counts["ready"] == 1


async def test_session_that_never_begins_is_tried_again() -> None:
    async with FakeQQBot() as fake:
        fake.faults.no_ready = True
        bot = make(fake, call_seconds=0.1)
        async with listening(bot):
            await until(lambda: bot.counts["connect_failed"] >= 2)
            fake.faults.no_ready = False
            await until(lambda: bot._gateway.is_ready)


@pytest.mark.parametrize("fault", ["silent_before", "drop_before"])
async def test_handshake_that_hangs_or_breaks_is_tried_again(fault: str) -> None:
    async with FakeQQBot() as fake:
        getattr(fake.faults, fault)["websocket"] = 2
        bot = make(fake, call_seconds=0.1)
        async with listening(bot):
            await until(lambda: bot._gateway.is_ready)
            assert bot.counts["connect_failed"] >= 1
            assert bot._gateway.trouble == ""


async def test_platform_that_is_away_is_tried_until_it_is_there() -> None:
    fake = FakeQQBot()
    await fake.start()
    await fake.stop()
    bot = make(fake)
    async with listening(bot) as intake:
        await until(lambda: bot.counts["connect_failed"] >= 2)
        await fake.start()
        await until(lambda: bot._gateway.is_ready)
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.said() == ["一"])
    await fake.stop()


async def test_frame_that_breaks_every_resumption_costs_the_session_not_the_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_qqbot_gateway, "_LARGEST", 4096)
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        await fake.say(GROUP, MEMBER, "长" * 5000)
        await until(lambda: bot.counts["ready"] == 2, 20)
        await fake.say(GROUP, MEMBER, "二")
        await until(lambda: intake.said() == ["二"])
    assert [item.reason for item in intake.broken] == ["gap"]


# --- restarts --------------------------------------------------------------------------------------


async def test_new_process_resumes_after_the_committed_cursor() -> None:
    intake = Intake()
    async with FakeQQBot() as fake:
        async with listening(make(fake), intake):
            await until(fake.connected.is_set)
            await fake.say(GROUP, MEMBER, "一")
            await until(lambda: intake.said() == ["一"])
        await fake.say(GROUP, MEMBER, "二")
        second = make(fake)
        async with listening(second, intake):
            await until(lambda: intake.said() == ["一", "二"])
        assert second.counts["ready"] == 0
    assert intake.broken == []


async def test_new_process_whose_session_is_over_tells_the_gap_once() -> None:
    intake = Intake()
    async with FakeQQBot() as fake:
        async with listening(make(fake), intake):
            await until(fake.connected.is_set)
            await fake.say(GROUP, MEMBER, "一")
            await until(lambda: intake.said() == ["一"])
        fake.end_sessions()
        for _life in range(2):
            fake.connected.clear()
            async with listening(make(fake), intake):
                await until(fake.connected.is_set)
                await fake.say(GROUP, MEMBER, "后来")
                await until(lambda: "后来" in intake.texts.values())
    assert [item.reason for item in intake.broken] == ["gap"]


async def test_what_was_not_acknowledged_comes_again() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake)
        stream = bot.posts(None)
        seen: list[str] = []
        getting = asyncio.ensure_future(anext(stream))
        await until(fake.connected.is_set)
        for batch in [await getting]:
            assert batch.items == ()  # the session begins
        await fake.say(GROUP, MEMBER, "一")
        batch = await anext(stream)
        await stream.aclose()  # the store failed: no acknowledgement
        async with asyncio.timeout(5):
            async for again in bot.posts(None):
                seen += [item.text for item in again.items]  # type: ignore[union-attr]
                if seen:
                    break
        assert seen == ["一"]
        await bot.close()


async def test_older_cursor_on_the_same_connector_is_resumed_from_the_platform() -> None:
    async with FakeQQBot() as fake:
        bot, intake = make(fake), Intake()
        task = asyncio.create_task(intake.listen(bot))  # type: ignore[arg-type]
        await until(lambda: intake.cursor)
        before = intake.cursor
        await fake.say(GROUP, MEMBER, "一")
        await until(lambda: intake.said() == ["一"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        again = Intake(before)
        async with listening(bot, again):
            await until(lambda: again.said() == ["一"])


async def test_nothing_is_lost_or_doubled_over_random_breaks_and_restarts() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, said, intake = random.Random(seed), [], Intake()
    async with FakeQQBot() as fake:
        for life in range(3):
            fake.connected.clear()
            async with listening(make(fake), intake):
                await until(fake.connected.is_set)
                for number in range(60):
                    said.append(f"{life}-{number:02}")
                    await fake.say(GROUP, MEMBER, said[-1])
                    if chance.random() < 0.1:
                        await fake.drop(chance.choice([1006, 1012, 4009]))
                    if chance.random() < 0.2:
                        await asyncio.sleep(0.01)
                    if chance.random() < 0.05:
                        fake.expire_tokens()
            said.append(f"{life}-between")
            await fake.say(GROUP, MEMBER, said[-1])
        async with listening(make(fake), intake):
            await until(lambda: len(intake.texts) == len(said))
    assert intake.said() == sorted(said)
    assert intake.broken == []


async def test_full_queue_makes_the_gateway_wait_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_qqbot_inbox, "SIZE", 3)
    async with FakeQQBot() as fake:
        bot, intake = make(fake), Intake()
        stream = bot.posts(None)
        getting = asyncio.ensure_future(anext(stream))
        await until(fake.connected.is_set)
        first = await getting
        for number in range(20):
            await fake.say(GROUP, MEMBER, f"{number:02}")
        await asyncio.sleep(0.1)
        await stream.aclose()
        assert first.ack is not None
        async with listening(bot, intake):
            await until(lambda: len(intake.texts) == 20)
        assert intake.said() == [f"{number:02}" for number in range(20)]


# --- what cannot be read ---------------------------------------------------------------------------


async def test_unreadable_frames_are_kept_and_the_stream_goes_on() -> None:
    deep = '{"op":0,"s":9,"t":"GROUP_MESSAGE_CREATE","d":' + "[" * 5000 + "]" * 5000 + "}"
    huge = json.dumps({"op": 0, "s": 9, "t": "GROUP_MESSAGE_CREATE", "d": {"content": "x" * 1_100_000}})
    async with FakeQQBot() as fake, on(fake) as (bot, intake):
        for frame in ("{not json", '"text"', deep, huge):
            await fake.raw(frame)
        await fake.emit("GROUP_MESSAGE_CREATE", {"group_openid": GROUP, "content": "没有编号"})
        await fake.emit("GROUP_MESSAGE_CREATE", {"id": "x", "content": "没有群"})
        await fake.emit("GROUP_MESSAGE_CREATE", ["x"])
        await fake.say(GROUP, MEMBER, "好的\x00一\ud800")
        await until(lambda: intake.texts)
        assert bot.counts["ready"] == 1
    reasons = [item.reason for item in intake.broken]
    assert reasons == ["json", "shape", "too_deep", "too_large", "no_id", "shape", "shape"]
    assert all(len(item.payload) <= 65_536 for item in intake.broken)
    (text,) = intake.texts.values()
    assert text.startswith("好的")
    assert "\x00" not in text
    assert "\ud800" not in text


async def test_secret_of_a_message_is_not_kept() -> None:
    async with FakeQQBot() as fake, on(fake) as (_bot, intake):
        data = fake.message(GROUP, MEMBER, "一")
        del data["id"]
        await fake.emit("GROUP_MESSAGE_CREATE", data)
        await until(lambda: intake.broken)
    assert b"auth_token" in intake.broken[0].payload
    assert b"very-secret" not in intake.broken[0].payload


# --- tokens and limits -----------------------------------------------------------------------------


async def test_wrong_secret_stops_and_tells() -> None:
    async with FakeQQBot() as fake:
        bot = make(fake, secret="another-secret")
        with pytest.raises(Rejected, match="app id or secret"):
            await asyncio.wait_for(anext(bot.posts(None)), 5)
        await bot.close()


async def test_no_session_left_waits_as_long_as_the_platform_says() -> None:
    async with FakeQQBot() as fake:
        fake.remaining = 0
        bot = make(fake)
        with pytest.raises(RateLimited) as limited:
            await asyncio.wait_for(anext(bot.posts(None)), 5)
        assert 3500 < limited.value.retry_at.timestamp() - fake.now() < 3700
        await bot.close()


@pytest.mark.parametrize("spoil", ["page", "status", "huge"])
async def test_spoilt_answers_of_the_platform_are_tried_again(spoil: str) -> None:
    async with FakeQQBot() as fake:
        if spoil == "status":
            fake.faults.status["gateway"] = 502
        else:
            getattr(fake.faults, spoil).add("gateway")
        bot = make(fake)
        async with listening(bot):
            await until(lambda: bot.counts["connect_failed"] >= 2)
            fake.faults.status.clear()
            fake.faults.page.clear()
            fake.faults.huge.clear()
            await until(lambda: bot._gateway.is_ready)


@pytest.mark.parametrize(
    "url", ["ws://gateway.example.org/", "https://127.0.0.1/", "ws://127.0.0.1@x.example/", 7]
)
async def test_gateway_elsewhere_and_unencrypted_is_refused(
    url: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[str] = []

    async def dial(_gateway: object, where: str) -> None:
        dialled.append(where)
        raise Unavailable("not here")

    monkeypatch.setattr(_qqbot_gateway.Gateway, "_dial", dial)
    fake = FakeQQBot()
    monkeypatch.setattr(fake, "_do_gateway", lambda *_: {"url": url})
    async with fake:
        bot = make(fake)
        async with listening(bot):
            await until(lambda: bot.counts["connect_failed"] >= 2)
    assert dialled == []


async def test_close_leaves_nothing_running_and_nothing_native_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    before = asyncio.all_tasks()
    async with FakeQQBot() as fake:
        async with on(fake) as (bot, intake):
            await fake.say(GROUP, MEMBER, "秘密的话")
            await until(lambda: intake.texts)
            await fake.drop(1012)
            await until(lambda: bot.counts["resumed"])
        assert bot._api._http is None
    await until(lambda: asyncio.all_tasks() <= before)
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("connectors"))
    assert "qqbot.resumed channel=bot" in told
    for secret in (MEMBER, GROUP, "秘密", fake.secret, "token-", "ROBOT1.0", "very-secret"):
        assert secret not in told
