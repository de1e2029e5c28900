"""Listening: nothing is lost and nothing is doubled, whatever happens between the source and the store."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from monitor.core.errors import ConnectorError
from monitor.core.model import EffectKind
from monitor.testing.rig import Rig, fresh, listening, say_all, within


class SilentContract:
    """What holds for a channel to which nobody speaks through the connector."""

    async def test_it_says_nothing_until_closed(self, rig: Rig) -> None:
        """Its posts come in another way: by its routes, or by pages of the service."""
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await asyncio.sleep(0.1)
            assert not rig.desk.items


class ListeningContract:
    """Nothing is lost and nothing is doubled, whatever happens between the source and the store."""

    async def test_what_is_said_arrives_once_in_its_order(self, rig: Rig) -> None:
        """Each post has its own id, the channel's name and a time with a zone."""
        words = [fresh(f"第 {n} 条") for n in range(5)]
        async with listening(rig):
            await say_all(rig, *words)
            await rig.desk.until(lambda: len(rig.desk.texts) == len(words))
        assert rig.desk.said() == words
        assert not rig.desk.broken
        for post in rig.desk.posts:
            assert post.channel == rig.channel
            assert 0 < len(post.external_id) <= 200
            assert post.posted_at is None or post.posted_at.tzinfo is not None
        _refuse_doubles(rig)

    async def test_it_goes_on_exactly_after_the_cursor(self, rig: Rig) -> None:
        """Over several restarts; what was said meanwhile is fetched where the source keeps it."""
        said: list[str] = []
        for turn in range(3):
            if rig.keeps:
                said.append(fresh(f"不在时 {turn}"))
                await rig.say(said[-1])
            async with listening(rig):
                said.append(fresh(f"在时 {turn}"))
                await rig.say(said[-1])
                await rig.desk.until(lambda: len(rig.desk.texts) == len(said))
        async with listening(rig):
            await asyncio.sleep(0.2)
        assert sorted(rig.desk.said()) == sorted(said)
        _refuse_doubles(rig)
        assert not rig.desk.broken

    async def test_what_was_not_committed_is_handed_over_again(self, rig: Rig) -> None:
        """The store broke after it was given something: the old cursor still leads there."""
        if not rig.keeps:
            return
        first, second = fresh("已入库"), fresh("没入库")
        async with listening(rig):
            await rig.say(first)
            await rig.desk.until(lambda: first in rig.desk.said())
        cursor = rig.desk.cursor
        rig.desk.acks = False
        async with listening(rig):
            await rig.say(second)
            await rig.desk.until(lambda: second in rig.desk.said())
        rig.desk.cursor, rig.desk.acks = cursor, True
        rig.desk.texts.clear()
        async with listening(rig):
            await rig.desk.until(lambda: second in rig.desk.said())

    async def test_twice_is_once(self, rig: Rig) -> None:
        """The source delivers everything again: the same ids, the same words."""
        words = [fresh(f"第 {n} 条") for n in range(3)]
        async with listening(rig):
            await say_all(rig, *words)
            await rig.desk.until(lambda: len(rig.desk.texts) == len(words))
            before = dict(rig.desk.texts)
            await rig.repeat()
            await rig.say(last := fresh("最后"))
            await rig.desk.until(lambda: last in rig.desk.said())
        assert {key: text for key, text in rig.desk.texts.items() if text != last} == before

    async def test_what_cannot_be_read_is_put_aside_and_the_stream_goes_on(self, rig: Rig) -> None:
        """With a reason, and with nothing of it in the words that are shown."""
        async with listening(rig):
            await rig.say(first := fresh("之前"))
            if not await rig.garble():
                return
            await rig.say(last := fresh("之后"))
            await rig.desk.until(lambda: {first, last} <= set(rig.desk.said()))
            await rig.desk.until(lambda: rig.desk.broken)
        assert set(rig.desk.said()) == {first, last}
        for item in rig.desk.broken:
            assert item.channel == rig.channel
            assert item.reason.replace("_", "").isalnum()
            assert len(item.payload) <= 65_536
            words = re.findall(r"[\u4e00-\u9fff]{2,}", item.payload.decode("utf-8", "replace"))
            assert not [each for each in words if each in item.message]

    async def test_no_word_and_no_native_id_is_logged(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Neither in logs at their most talkative, nor on the terminal, nor in errors."""
        caplog.set_level(logging.DEBUG)
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await rig.ready(connector)
            await rig.say(words := fresh("天机不可泄露"))
            await rig.desk.until(lambda: words in rig.desk.said())
            await rig.garble()
            health = await connector.check()
            for kind in EffectKind:
                told, author = await rig.effect(kind, 3)
                try:
                    await within(rig, connector.perform(told, author))
                except ConnectorError as error:
                    rig.desk.errors.append(error)
            await asyncio.sleep(0.05)
        terminal = capfd.readouterr()
        logged = [f"{r.getMessage()} {r.args} {r.exc_text or ''}" for r in caplog.records if _is_ours(r)]
        shown = [str(error) for error in rig.desk.errors] + [item.message for item in rig.desk.broken]
        everything = "\n".join(
            [*logged, *shown, health.message, str(health.detail), terminal.out, terminal.err]
        )
        for secret in (words, "天机", "18 点前答复", *rig.natives()):
            assert secret not in everything


def _refuse_doubles(rig: Rig) -> None:
    again = sum(times - 1 for times in rig.desk.handed.values())
    assert again <= rig.overlap, f"{again} items were handed over again"


def _is_ours(record: logging.LogRecord) -> bool:
    """Say whether a record is the connector's doing: the fake and its server may log what they like."""
    return not record.name.startswith(("monitor.testing", "aiohttp.access", "asyncio"))


__all__ = ["ListeningContract", "SilentContract"]
