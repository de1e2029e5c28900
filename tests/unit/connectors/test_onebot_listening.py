"""Listening to QQ groups over real sockets: every way in, breaks, gaps, silence, and what cannot be read."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from onebot_scene import GROUP, OTHER, TOKEN, Intake, Service, listening, make, serving, until

from connectors import _inbox
from connectors._onebot_history import Mark
from connectors._signing import sha1_signature
from connectors.onebot import OneBot
from monitor.testing.fake_qq import FakeQQ

pytestmark = pytest.mark.asyncio
PROFILES = ["napcat", "llonebot", "lagrange", "go-cqhttp", "strict"]


# --- the ways in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_reverse_socket_brings_posts_of_declared_groups(profile: str) -> None:
    async with FakeQQ(profile, TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        first = await fake.say(GROUP, 20002000, "三食堂二楼又停水了", name="小周")
        await fake.say(900009, 1, "别的群")
        await fake.say(OTHER, 20002001, "收到", reply_to=first)
        await until(lambda: len(intake.texts) == 2)
    found = {post.text: post for post in intake.posts}
    one, two = found["三食堂二楼又停水了"], found["收到"]
    assert (one.channel, one.thread, one.author, one.text) == (
        "qq",
        "700001",
        "20002000",
        "三食堂二楼又停水了",
    )
    assert (two.thread, two.reply_to) == ("700002", str(first))
    assert one.handle == str(first)


@pytest.mark.parametrize("pair", [False, True])
async def test_forward_socket_universal_or_event_and_api(pair: bool) -> None:
    async with FakeQQ("strict" if pair else "napcat", TOKEN) as fake:
        intake, onebot = Intake(), make(url=fake.ws_url + "event" if pair else fake.ws_url)
        async with listening(intake, onebot):
            await until(fake.connected.is_set)
            await fake.say(GROUP, 1, "一")
            await until(lambda: intake.said() == ["一"])
            health = await onebot.check()
    assert "群" in health.message


async def test_event_and_api_sockets_of_a_reverse_connection() -> None:
    async with FakeQQ("llonebot", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url, "Event")
        fake.connect(service.ws_url, "API")
        await fake.connected.wait()
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])
    assert intake.posts[0].external_id == f"{GROUP}:1"  # who speaks was asked over the other socket


async def test_posted_events_need_their_signature() -> None:
    fake = FakeQQ("napcat", TOKEN, secret="s3cret")
    async with fake, serving(make(secret="s3cret")) as (service, intake):
        fake.post_to(service.http_url)
        await fake.say(GROUP, 1, "一")
        fake.secret = "another"
        await fake.say(GROUP, 1, "二")
        fake.secret = ""
        await fake.say(GROUP, 1, "三")
        assert fake.post_statuses == [204, 403, 401]
        assert [post.text for post in intake.posts] == ["一"]


async def test_posted_events_are_refused_without_a_secret() -> None:
    body = b'{"post_type":"message","message_type":"group","group_id":700001,"message_id":1,"message":"x"}'
    async with serving(make()) as (service, intake), aiohttp.ClientSession() as http:
        for secret in ("guessed", ""):
            headers = {"X-Signature": sha1_signature(secret, body)}
            async with http.post(service.http_url, data=body, headers=headers) as response:
                assert response.status == 403
        assert intake.items == []


async def test_posted_garbage_is_kept_and_acknowledged() -> None:
    async with serving(make(secret="s")) as (service, intake), aiohttp.ClientSession() as http:
        for body in (b"[" * 100_000, b"{not json", b'{"a":"\xff"}', b'"text"', b'{"post_type":"message"}'):
            headers = {"X-Signature": sha1_signature("s", body)}
            async with http.post(service.http_url, data=body, headers=headers) as response:
                assert response.status == 204
    assert [item.reason for item in intake.broken] == ["too_deep", "json", "encoding", "shape"]


async def test_history_is_looked_at_from_time_to_time_where_only_http_is_set() -> None:
    async with FakeQQ("napcat", TOKEN) as fake:
        fake.join(GROUP)
        fake.join(OTHER)
        await fake.say(GROUP, 1, "一")
        intake = Intake()
        async with listening(intake, make(api_url=fake.http_url, poll_seconds=0.1)):
            await until(lambda: intake.said() == ["一"])
            await fake.say(GROUP, 1, "二")
            await until(lambda: intake.said() == ["一", "二"])


# --- who may come in -------------------------------------------------------------------------------


async def test_reverse_socket_needs_the_token() -> None:
    async with FakeQQ("napcat", "wrong", reconnect=0.02) as fake, serving(make()) as (service, _intake):
        fake.connect(service.ws_url)
        await until(lambda: fake.refusals[403] >= 2)
        fake.token = TOKEN
        await until(fake.connected.is_set)
    async with aiohttp.ClientSession() as http, serving(make()) as (service, _intake):
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Basic eA=="}, 401),
            ({"Authorization": "Token x"}, 403),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(service.ws_url, headers=headers)
            assert refused.value.status == status


async def test_go_cqhttp_says_token_where_others_say_bearer() -> None:
    async with aiohttp.ClientSession() as http, serving(make()) as (service, _intake):
        ws = await http.ws_connect(service.ws_url, headers={"Authorization": f"Token {TOKEN}"})
        assert not ws.closed
        await ws.close()


async def test_another_account_is_refused_while_ours_is_there_and_may_replace_it_afterwards() -> None:
    ours, theirs = FakeQQ("napcat", TOKEN), FakeQQ("napcat", TOKEN, self_id=555)
    async with ours, theirs, serving(make()) as (service, intake):
        ours.connect(service.ws_url)
        await until(ours.connected.is_set)
        theirs.connect(service.ws_url)
        await until(lambda: theirs.refusals[403] > 0)
        await ours.stop()
        await until(theirs.connected.is_set)
        await theirs.say(GROUP, 555, "我们自己的话")  # the new account's own words are no input
        await theirs.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])


async def test_configured_account_alone_may_connect() -> None:
    async with FakeQQ("napcat", TOKEN, self_id=555) as fake, serving(make(self_id=777)) as (service, _intake):
        fake.connect(service.ws_url)
        await until(lambda: fake.refusals[403] > 0)


@pytest.mark.parametrize(("profile", "code"), [("napcat", "token_refused"), ("strict", "connect_failed")])
async def test_forward_socket_with_a_wrong_token_says_so(profile: str, code: str) -> None:
    async with FakeQQ(profile, "other") as fake:
        onebot = make(url=fake.ws_url)
        async with listening(Intake(), onebot):
            await until(lambda: onebot.counts[code] >= 2)
            health = await onebot.check()
    assert not health.ok
    assert "口令不一致" in health.message


# --- breaks and gaps -------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["napcat", "llonebot", "lagrange", "go-cqhttp"])
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_doubled_over_random_breaks(profile: str, seed: int) -> None:
    chance = random.Random(f"{profile} {seed}")
    print("seed", profile, seed)
    fake, intake, said = FakeQQ(profile, TOKEN, reconnect=0.01), Intake(), []
    fake.faults.milliseconds = chance.random() < 0.3
    fake.faults.strings = chance.random() < 0.3
    fake.faults.negative = chance.random() < 0.3
    async with fake, serving(make(), intake) as (service, _):
        fake.connect(service.ws_url)
        for number in range(250):
            said.append(f"第{number:03}条")
            await fake.say(chance.choice((GROUP, OTHER)), chance.randrange(1, 20), said[-1])
            if chance.random() < 0.04:
                await (fake.drop() if chance.random() < 0.5 else service.break_all())
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() * 0.02)
        await until(lambda: intake.said() == said)
    assert len(set(intake.texts)) == len(said)
    assert not [item for item in intake.broken if item.reason == "gap"]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_when_the_service_restarts_from_its_cursor(seed: int) -> None:
    chance = random.Random(seed)
    fake, said, intake = FakeQQ("napcat", TOKEN, reconnect=0.01), [], Intake()
    async with fake:
        fake.join(GROUP)
        fake.join(OTHER)
        for life in range(4):
            async with serving(make(), intake) as (service, _):
                fake.connect(service.ws_url)
                for number in range(chance.randrange(60)):
                    said.append(f"第{life}世第{number:03}条")
                    await fake.say(GROUP, 1, said[-1])
                    if chance.random() < 0.05:
                        await asyncio.sleep(0.01)
            for task in list(fake._tasks):
                task.cancel()
            await asyncio.gather(*fake._tasks, return_exceptions=True)
            said.append(f"第{life}世之后")
            await fake.say(GROUP, 1, said[-1])
        async with serving(make(), intake) as (service, _):
            fake.connect(service.ws_url)
            await until(lambda: intake.said() == sorted(said))


async def test_cursor_stands_still_while_a_group_is_behind() -> None:
    async with (
        FakeQQ("napcat", TOKEN, reconnect=0.01) as fake,
        serving(make(call_seconds=0.3)) as (service, intake),
    ):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.cursor is not None and f"{GROUP}:1" in intake.cursor)
        fake.faults.silent_before["get_group_msg_history"] = 1000
        await fake.drop()
        await fake.say(GROUP, 1, "二")  # nobody hears it
        await until(fake.connected.is_set)
        await asyncio.sleep(0.1)
        await fake.say(GROUP, 1, "三")
        await until(lambda: "三" in intake.said())
        assert intake.cursor is not None
        assert f"{GROUP}:3" not in intake.cursor  # a crash now would lose 二
        fake.faults.silent_before.clear()
        await until(lambda: intake.said() == ["一", "三", "二"])
        await until(lambda: f"{GROUP}:3" in (intake.cursor or ""))


async def test_event_socket_that_breaks_alone_is_caught_up_too() -> None:
    async with FakeQQ("llonebot", TOKEN, reconnect=0.3) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url, "API")
        fake.connect(service.ws_url, "Event")
        await until(lambda: len(fake._peers) == 2)
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])
        (peer,) = (peer for peer in fake._peers if peer.events)
        await peer.ws.close(code=1012)
        await fake.say(GROUP, 1, "二")
        await until(lambda: intake.said() == ["一", "二"])


async def test_socket_that_is_half_dead_does_not_hide_a_gap() -> None:
    """Behind a NAT the old socket may look open while a new one already brings events."""
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "一")
        await until(lambda: f"{GROUP}:1" in (intake.cursor or ""))
        (dead,) = fake._peers
        dead.events = False
        await fake.say(GROUP, 1, "二")
        fake.faults.delay = 0.05
        fake.connect(service.ws_url)
        await until(lambda: len(fake._peers) == 2)
        await fake.say(GROUP, 1, "三")
        await until(lambda: intake.said() == ["一", "三", "二"])


async def test_gap_that_cannot_be_read_is_told() -> None:
    async with FakeQQ("strict", TOKEN, reconnect=0.01) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])
        await until(lambda: intake.cursor)
        await fake.drop()
        await until(lambda: any(item.reason == "gap" for item in intake.broken))


async def test_gap_longer_than_the_limit_is_told_and_the_newest_are_read() -> None:
    fake = FakeQQ("go-cqhttp", TOKEN, reconnect=0.01)
    async with fake, serving(make(catch_up_limit=40)) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "first")
        await until(lambda: f"{GROUP}:1" in (intake.cursor or ""))
        await service.break_all()
        for number in range(100):
            fake._store(GROUP, 1, [{"type": "text", "data": {"text": str(number)}}], None, "")
        await until(lambda: "99" in intake.said())
        await until(lambda: any(item.reason == "gap" for item in intake.broken))
    assert 40 <= len(intake.texts) - 1 < 80


async def test_history_that_ends_in_the_middle_keeps_what_was_read() -> None:
    """NapCat forgets anchors; what was read before that is not thrown away."""
    async with FakeQQ("lagrange", TOKEN, reconnect=0.01) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "first")
        await until(lambda: f"{GROUP}:" in (intake.cursor or ""))
        await service.break_all()
        for number in range(50):
            fake._store(GROUP, 1, [{"type": "text", "data": {"text": str(number)}}], None, "")
        keep = fake._do_get_group_msg_history

        async def forgetful(params: dict[str, object]) -> dict[str, object]:
            if params.get("message_id"):
                from monitor.testing._fake_actions import Refused

                raise Refused("failed", "the anchor is not known")
            return await keep(params)

        fake._do_get_group_msg_history = forgetful  # type: ignore[method-assign]
        await until(lambda: "49" in intake.said() and "30" in intake.said())
        await until(lambda: any(item.reason == "gap" for item in intake.broken))


async def test_first_connection_reads_the_last_hours() -> None:
    now = time.time()
    async with FakeQQ("napcat", TOKEN) as fake:
        for hours in (30, 20, 10, 1):
            await fake.say(GROUP, 1, f"{hours} h", at=now - hours * 3600)
        async with serving(make()) as (service, intake):
            fake.connect(service.ws_url)
            await until(lambda: intake.said() == ["1 h", "10 h", "20 h"])


async def test_first_connection_may_read_nothing_and_still_misses_nothing_later() -> None:
    async with FakeQQ("napcat", TOKEN, reconnect=0.01) as fake:
        await fake.say(GROUP, 1, "before", at=time.time() - 600)
        async with serving(make(catch_up_hours=0)) as (service, intake):
            fake.connect(service.ws_url)
            await until(lambda: f"{GROUP}:1" in (intake.cursor or ""))
            await service.break_all()
            fake.connected.clear()
            fake._store(GROUP, 1, [{"type": "text", "data": {"text": "in the gap"}}], None, "")
            await until(lambda: intake.said() == ["in the gap"])


async def test_clock_of_the_source_may_jump() -> None:
    now = time.time()
    async with FakeQQ("napcat", TOKEN, reconnect=0.01) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        jumps = (0, 40 * 365 * 86_400, 5, -1800, -900, 6)
        for number, jump in enumerate(jumps):
            await fake.say(GROUP, 1, f"{number}", at=now + jump)
            await until(lambda number=number: f"{number}" in intake.said())
            await until(lambda number=number: f":{number * 2 + 1}" in (intake.cursor or ""))
            await service.break_all()
            fake.connected.clear()
            fake._store(GROUP, 1, [{"type": "text", "data": {"text": f"gap {number}"}}], now + jump + 1, "")
            await until(lambda number=number: f"gap {number}" in intake.said())
            await until(fake.connected.is_set)
            await until(lambda number=number: f":{number * 2 + 2}" in (intake.cursor or ""))
    assert not intake.broken


async def test_mark_of_the_far_future_that_was_recalled_hides_no_gap() -> None:
    async with FakeQQ("napcat", TOKEN, reconnect=0.01) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        late = await fake.say(GROUP, 1, "x", at=time.time() + 40 * 365 * 86_400)
        await until(lambda: f"{GROUP}:1" in (intake.cursor or ""))
        fake.memory.remove(late)
        await service.break_all()
        for number in range(250):
            fake._store(GROUP, 1, [{"type": "text", "data": {"text": f"{number:03}"}}], None, "")
        await until(lambda: len(intake.texts) == 251)


async def test_a_program_that_is_exchanged_keeps_the_place_by_time() -> None:
    now = time.time()
    intake = Intake()
    async with FakeQQ("llonebot", TOKEN) as old, serving(make(), intake) as (service, _):
        old.connect(service.ws_url)
        await old.connected.wait()
        for number in range(5):
            await old.say(GROUP, 1, f"{number}", at=now - 100 + number * 10)
        await until(lambda: f"{GROUP}:5" in (intake.cursor or ""))
    before = len(intake.posts)
    async with FakeQQ("napcat", TOKEN) as new:
        for number in range(7):
            await new.say(GROUP, 1, f"{number}", at=now - 100 + number * 10)
        async with serving(make(), intake) as (service, _):
            new.connect(service.ws_url)
            await until(lambda: "6" in intake.said())
            await until(lambda: "napcat" in (intake.cursor or ""))
    assert [post.text for post in intake.posts[before:]] == ["4", "5", "6"]


async def test_silence_leads_to_a_new_connection() -> None:
    onebot = make(silence_seconds=0.15, call_seconds=0.1)
    async with (
        FakeQQ("napcat", TOKEN, heartbeat=0.05, reconnect=0.01) as fake,
        serving(onebot) as (service, intake),
    ):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])
        fake.faults.silent = True
        await until(lambda: onebot.counts["silent"] > 0)
        fake.faults.silent = False
        await until(lambda: fake.connected.is_set() and onebot._talks.links())
        await fake.say(GROUP, 1, "二")
        await until(lambda: intake.said() == ["一", "二"])


async def test_quiet_night_without_heartbeats_breaks_nothing() -> None:
    onebot = make(silence_seconds=0.06, call_seconds=0.5)
    async with FakeQQ("lagrange", TOKEN, heartbeat=3600) as fake, serving(onebot) as (service, _intake):
        fake.connect(service.ws_url, "Event")
        fake.connect(service.ws_url, "API")
        await until(lambda: len(fake._peers) == 2)
        await asyncio.sleep(0.4)
        assert onebot.counts["silent"] == 0
        assert len(fake._peers) == 2


# --- what comes ------------------------------------------------------------------------------------


async def test_recall_by_author_admin_and_ourselves() -> None:
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        ids = [await fake.say(GROUP, 20 + n, f"{n}") for n in range(3)]
        await fake.recall(ids[0])
        await fake.recall(ids[1], operator=30003000)
        await fake.recall(ids[2], operator=fake.self_id)
        await fake.recall(424242, operator=9)  # of a message that nobody saw
        await until(lambda: len(intake.removals) == 4)
    assert [item.by for item in intake.removals] == ["author", "moderator", "self", "moderator"]
    assert [item.handle for item in intake.removals] == [*map(str, ids), "424242"]
    assert {item.thread for item in intake.removals} == {str(GROUP)}


async def test_recall_before_its_message_keeps_the_order_of_arrival() -> None:
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        message = fake._store(GROUP, 1, [{"type": "text", "data": {"text": "late"}}], None, "")
        await fake.recall(message.message_id)
        await fake.emit(fake._event(message))
        await until(lambda: intake.said() == ["late"])
    assert [item.handle for item in intake.items] == [str(message.message_id)] * 2


async def test_the_same_event_twice_and_the_same_id_with_other_words() -> None:
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        message = fake._store(GROUP, 1, [{"type": "text", "data": {"text": "一"}}], None, "")
        event = fake._event(message)
        await fake.emit(event)
        await fake.emit(event)
        # a 31-bit message_id may belong to two messages: the sequence tells them apart
        await fake.emit(event | {"real_seq": "2", "message": "二", "raw_message": "二"})
        await until(lambda: intake.said() == ["一", "二"])
        await until(lambda: len(intake.posts) >= 3)
    assert set(intake.texts) == {f"{GROUP}:1", f"{GROUP}:2"}
    assert {post.handle for post in intake.posts} == {str(message.message_id)}


async def test_what_cannot_be_read_is_kept_and_the_stream_goes_on() -> None:
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        good = fake._event(fake._store(GROUP, 1, [{"type": "text", "data": {"text": "x"}}], None, ""))
        frames = {
            "json": "{broken",
            "too_deep": "[" * 100_000 + "]" * 100_000,
            "shape": "[1,2]",
            "too_large": json.dumps(good | {"message": "长" * 600_000}, ensure_ascii=False),
            "no_id": json.dumps({k: v for k, v in good.items() if k not in ("message_id", "real_seq")}),
        }
        for frame in frames.values():
            await fake.raw(frame)
        await fake.raw(json.dumps(good | {"real_seq": "77", "message": "还在"}))
        await until(lambda: "还在" in intake.said())
    assert [item.reason for item in intake.broken] == list(frames)
    assert all(len(item.payload) <= 65_536 for item in intake.broken)


async def test_odd_characters_cost_no_post() -> None:
    async with FakeQQ("napcat", TOKEN) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        odd = "a\x00b\ud800c<script>alert(1)</script>\u202e\r\nd"
        event = fake._event(fake._store(GROUP, 1, [], None, ""))
        sender = {"user_id": 1, "nickname": "<img src=x onerror=alert(1)>", "card": "\x00"}
        for seq, text in ((5, odd), (6, "好" * 1_000_000)):
            frame = event | {"real_seq": str(seq), "message": [{"type": "text", "data": {"text": text}}]}
            if seq == 5:
                await fake.raw(json.dumps(frame | {"sender": sender}))
            else:
                frame["message"] = "好" * 300_000
                frame["raw_message"] = ""
                await fake.raw(json.dumps(frame, ensure_ascii=False))
        await until(lambda: len(intake.texts) == 2)
    assert intake.texts[f"{GROUP}:5"] == "ab\ufffdc<script>alert(1)</script>\u202e\nd"
    assert len(intake.texts[f"{GROUP}:6"]) == 20_000


async def test_unknown_and_foreign_events_are_counted_and_left() -> None:
    onebot = make()
    async with FakeQQ("napcat", TOKEN) as fake, serving(onebot) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        for number in range(15):
            await fake.notice(f"unheard_of_{number}", group_id=GROUP)
        await fake.emit(fake._base("request") | {"request_type": "group", "comment": "请加我", "flag": "f"})
        await fake.emit(
            fake._base("message") | {"message_type": "private", "message": "私聊", "message_id": 4}
        )
        fake.report_self = True
        fake.join(GROUP)
        await fake._do_send_group_msg({"group_id": GROUP, "message": "我们自己的话"})
        await fake.say(GROUP, 1, "一")
        await until(lambda: intake.said() == ["一"])
    assert len(intake.texts) == 1
    assert onebot.counts["ignored.own"] >= 1
    assert sum(n for key, n in onebot.counts.items() if "unheard_of" in key) == 15


async def test_words_of_members_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with FakeQQ("napcat", TOKEN, reconnect=0.01) as fake, serving(make()) as (service, intake):
        fake.connect(service.ws_url)
        await fake.connected.wait()
        await fake.say(GROUP, 20002000, "机密的话", name="小周")
        await fake.raw('{"post_type":"message","message":"半截机密')
        await until(lambda: intake.broken and intake.posts)
        await fake.drop()
        await until(fake.connected.is_set)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("connectors"))
    assert "onebot.connected" in ours
    assert not [word for word in ("机密", "小周", "20002000", TOKEN) if word in ours]


# --- the queue in between --------------------------------------------------------------------------


@asynccontextmanager
async def nobody_listening(fake: FakeQQ, onebot: OneBot) -> AsyncIterator[Service]:
    """Serve ``onebot`` while the intake is away."""
    service = Service(onebot, Intake())
    await service.start()
    fake.connect(service.ws_url)
    await fake.connected.wait()
    try:
        yield service
    finally:
        await onebot.close()
        await service.stop()


async def test_slow_intake_makes_the_source_wait_and_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inbox, "SIZE", 100)
    onebot, intake = make(silence_seconds=0.1, call_seconds=0.05), Intake()
    async with FakeQQ("napcat", TOKEN) as fake, nobody_listening(fake, onebot):
        await fake.say(GROUP, 1, "000")
        stream = onebot.posts(None)
        intake.take((await anext(stream)).items)
        for number in range(1, 301):
            await fake.say(GROUP, 1, f"{number:03}")
            await asyncio.sleep(0)
        await until(lambda: onebot._inbox.is_full)
        await asyncio.sleep(0.4)  # we are the ones who do not read: that is no silence of the other side
        assert onebot.counts["silent"] == 0
        assert len(fake._peers) == 1
        assert len(onebot._inbox._entries) == 100
        async for batch in stream:
            intake.take(batch.items)
            if len(intake.texts) == 301:
                break
        await stream.aclose()


async def test_channel_that_is_paused_for_long_lets_the_source_go_and_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_inbox, "SIZE", 100)
    onebot, intake = make(silence_seconds=0.1), Intake()
    async with FakeQQ("napcat", TOKEN, reconnect=0.02) as fake, nobody_listening(fake, onebot):
        for number in range(300):
            await fake.say(GROUP, 1, f"{number:03}")
        await until(
            lambda: fake.refusals[503] > 0
        )  # a source that nobody reads would keep everything in memory
        assert len(onebot._inbox._entries) == 100
        await fake.say(GROUP, 1, "300")
        async with listening(intake, onebot):
            await until(lambda: len(intake.texts) == 301)


async def test_batch_that_was_not_acknowledged_comes_again() -> None:
    onebot = make()
    async with FakeQQ("strict", TOKEN) as fake, nobody_listening(fake, onebot):
        await fake.say(GROUP, 1, "一")
        stream = onebot.posts(None)
        first = await anext(stream)
        await stream.aclose()
        stream = onebot.posts(None)
        again = await anext(stream)
        assert again.items == first.items
        assert again.ack is not None
        await again.ack()
        await stream.aclose()
        stream = onebot.posts(None)
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        assert not following.done() or following.result().items == ()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_program_that_was_known_before_the_cursor_keeps_its_ids() -> None:
    """The socket may come before the intake: a cursor of another program then counts by time alone."""
    onebot = make()
    async with FakeQQ("napcat", TOKEN) as fake, nobody_listening(fake, onebot):
        await until(lambda: onebot._account.profile == "napcat")
        onebot._inbox.resume('{"profile":"llonebot","groups":{"700001":[1767225600,"700001:9"]}}')
        assert onebot._inbox.mark("700001") == Mark(1_767_225_600, "")
        onebot._inbox.resume('{"profile":"napcat","groups":{"700001":[1767225600,"700001:9"]}}')
        assert onebot._inbox.mark("700001") == Mark(1_767_225_600, "700001:9")
        onebot._inbox.resume("no cursor of ours")
        assert onebot._inbox.mark("700001") is None
