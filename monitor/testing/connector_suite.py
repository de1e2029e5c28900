"""The promises of a connector as tests, for our own connectors and for other people's.

Write a rig (how to start the counterpart of the connector, how somebody says something there) and let
:func:`contract` make the tests of it::

    import pytest
    pytest.register_assert_rewrite("monitor.testing.connector_suite")

    from monitor.testing.connector_suite import Rig, contract

    class ZhihuRig(Rig):
        type = "zhihu"                 # the name of the entry point
        listens = networked = True

        async def start(self): ...     # a fake of the platform, behind self.wire
        def settings(self): ...
        async def say(self, text): ...

    TestZhihu = contract(ZhihuRig)

What a rig declares decides which tests there are, and a test holds the declaration against the connector: a
connector with routes needs a rig that ``pushes``, one that can act a rig that can make effects.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
import logging
import random
import re
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import pytest
import pytest_asyncio

from monitor.core.errors import (
    ConfigError,
    ConnectorError,
    Malformed,
    RateLimited,
    Rejected,
    Unavailable,
    Uncertain,
)
from monitor.core.model import Broken, Effect, EffectKind, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Connector, Incoming, Request, Response
from monitor.testing.desk import Desk, effect
from monitor.testing.faulty_wire import Fault, FaultyWire

GROUP: Final = "huiyin.connectors"
NEEDS: Final[Mapping[EffectKind, Capability]] = {
    EffectKind.REPLY: Capability.REPLY,
    EffectKind.NOTICE: Capability.REPLY,
    EffectKind.REMOVE: Capability.REMOVE,
    EffectKind.HIDE: Capability.HIDE,
    EffectKind.RESTORE: Capability.RESTORE,
    EffectKind.MUTE: Capability.MUTE,
}
FIVE: Final = (Unavailable, RateLimited, Rejected, Malformed, Uncertain)
_SAFE: Final = (Unavailable, RateLimited, Rejected)
"""What says of an effect that it surely did not happen."""

_GARBAGE: Final = (
    b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"\x00" * 64, b"[" * 100_000, b"<xml>", b'{"a":1e999}',
    b'{"id":' + b"9" * 5_000 + b"}", b"a=1&b=2", b"\xef\xbb\xbf{}",
)  # fmt: skip


class Rig:
    """One connector with its counterpart. Subclass it; what is not needed stays as it is.

    Attributes:
        type: name of the entry point.
        listens: ``say`` works: what somebody says at the counterpart reaches the connector.
        keeps: the counterpart keeps what was said while nobody listened, and the connector fetches it.
        ends: the source has an end, and ``posts`` ends with it.
        pushes: the connector opens routes, and ``pushed`` makes a request that it takes.
        networked: the connector reaches its counterpart over ``wire``.
        overlap: how many items may be handed over again after a cursor (0 where the source allows it).
        patience: seconds after which every call must have given up.
        desk: the service and the intake; its port is where pushes go.
        folder: an empty folder of the test.
        wire: the wire to the counterpart, made by ``start`` of a networked rig.
    """

    type: ClassVar[str] = ""
    listens: ClassVar[bool] = False
    keeps: ClassVar[bool] = True
    ends: ClassVar[bool] = False
    pushes: ClassVar[bool] = False
    networked: ClassVar[bool] = False
    overlap: ClassVar[int] = 0
    patience: ClassVar[float] = 5.0
    channel: ClassVar[str] = "rig"

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.folder = folder
        self.desk = desk
        self.wire: FaultyWire | None = None

    # --- the counterpart -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the counterpart."""

    async def stop(self) -> None:
        """Stop it."""

    def settings(self) -> dict[str, Any]:
        """Return settings with which the connector finds its counterpart and does not wait long for anything."""
        return {}

    def factory(self) -> Callable[[ChannelConfig], Connector]:
        """Return the function that makes the connector: what the entry point names."""
        points = {point.name: point for point in entry_points(group=GROUP)}
        assert self.type in points, f"no entry point `{self.type}` is installed; run the set-up command again"
        return cast(Callable[[ChannelConfig], Connector], points[self.type].load())

    def make(self, **settings: Any) -> Connector:
        """Return a new connector of the channel."""
        return self.factory()(ChannelConfig(self.channel, self.type, {**self.settings(), **settings}))

    async def ready(self, connector: Connector) -> None:
        """Wait until connector and counterpart have found each other (for counterparts that do not keep)."""

    async def say(self, text: str) -> None:
        """Let somebody say ``text``: one post with exactly these words."""
        raise NotImplementedError

    async def repeat(self) -> None:
        """Deliver everything again that was said so far."""
        raise NotImplementedError

    async def garble(self) -> bool:
        """Deliver something that cannot be read; False when this source has no way to."""
        return False

    def natives(self) -> Collection[str]:
        """Return native ids of those who speak, and secrets of the settings: none of them may be logged."""
        return ()

    # --- pushes --------------------------------------------------------------------------------------

    def pushed(self, body: bytes | None = None) -> Request:
        """Return a genuine request with this body, or with one that holds a post."""
        raise NotImplementedError

    def proofs(self) -> Collection[str]:
        """Return the names of the headers and query keys by which a request proves where it comes from."""
        return ()

    def forged(self, body: bytes) -> Collection[bytes]:
        """Return other bodies, none of which may be taken with the proof of ``body``."""
        return (body + b" ", body[1:], b"", b"{}")

    # --- effects -------------------------------------------------------------------------------------

    async def effect(self, kind: EffectKind, number: int) -> tuple[Effect, str | None]:
        """Return an effect that the counterpart can carry out, and the native author where it needs one."""
        return effect(kind, self.channel, number), None

    def happened(self, done: Effect) -> int:
        """Return how often the counterpart has carried out an effect."""
        raise NotImplementedError

    def tells(self, kind: EffectKind) -> bool:
        """Say whether reading back can tell that an effect of this kind did not happen."""
        return kind in (EffectKind.REPLY, EffectKind.NOTICE)

    def shows(self, fault: Fault) -> bool:
        """Say whether ``check`` can notice this fault of the wire."""
        return fault is not Fault.DRIP


# --- helpers ---------------------------------------------------------------------------------------


async def _within(rig: Rig, work: Any) -> Any:
    """Wait for a call, as long as it may take and a little longer."""
    return await asyncio.wait_for(work, rig.patience + 1.0)


def _names(capabilities: Iterable[object]) -> set[str]:
    return {str(each) for each in capabilities}


@contextmanager
def _nothing_stays() -> Iterator[None]:
    """Refuse threads that were not there before, and what was lost without being closed."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert not [thread for thread in left if not thread.name.startswith("asyncio_")], left


@asynccontextmanager
async def _no_task_stays() -> AsyncIterator[None]:
    """Refuse tasks that were not there before, and complaints of the event loop."""
    loop, complaints = asyncio.get_running_loop(), []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _loop, context: complaints.append(str(context.get("message"))))
    with _nothing_stays():
        yield
        for _time in range(300):
            left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
            if not left:
                break
            await asyncio.sleep(0.01)
    assert not left, [str(task.get_coro()) for task in left]
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert not complaints


def _fresh(words: str = "说") -> str:
    return f"{words} {secrets.token_hex(4)}"


# --- what holds for every connector ----------------------------------------------------------------


class ConnectorContract:
    """What every connector promises, whatever its channel can do."""

    rig_type: ClassVar[type[Rig]]
    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def desk(self) -> AsyncIterator[Desk]:
        """The service and the intake in small."""
        made = Desk()
        await made.start()
        yield made
        await made.stop()

    @pytest_asyncio.fixture
    async def rig(self, tmp_path: Path, desk: Desk) -> AsyncIterator[Rig]:
        """The connector's counterpart, started."""
        made = self.rig_type(tmp_path, desk)
        desk.again = made.ends
        await made.start()
        yield made
        if made.wire is not None:
            await made.wire.become(Fault.NONE)
            await made.wire.stop()
        await made.stop()

    async def test_it_is_a_connector_and_its_rig_tells_the_truth_about_it(self, rig: Rig) -> None:
        """Name, capabilities and routes are what the contract wants, and nothing of them goes untested."""
        connector = rig.make()
        try:
            assert connector.name == rig.channel
            assert connector.capabilities <= frozenset(Capability)
            assert all(isinstance(each, Capability) for each in connector.capabilities)
            paths = [route.path for route in connector.routes()]
            assert bool(paths) == rig.pushes, "a connector with routes needs a rig that pushes"
            assert all(path.startswith("/") and rig.channel in path.split("/") for path in paths)
            assert all(route.handle or (route.accept and route.socket) for route in connector.routes())
            for kind, needed in NEEDS.items():
                if needed in connector.capabilities:
                    told, _author = await rig.effect(kind, 1)
                    assert told.kind is kind, f"the rig cannot make the effect {kind}, which the channel can"
        finally:
            await connector.close()

    async def test_every_setting_has_its_sentence(self, rig: Rig) -> None:
        """Settings are a frozen dataclass beside the factory; each says in a sentence what it does."""
        declared = _settings_of(rig)
        assert cast(Any, declared).__dataclass_params__.frozen
        for field in dataclasses.fields(declared):
            sentence = field.metadata.get("sentence", "")
            assert len(sentence) > 15, f"the setting `{field.name}` has no sentence"
            assert sentence.endswith("."), f"the sentence of `{field.name}` does not end"

    async def test_an_unknown_setting_is_refused_with_the_likeliest_right_one(self, rig: Rig) -> None:
        """A typing error is told, not taken."""
        names = [field.name for field in dataclasses.fields(_settings_of(rig))]
        for name in names:
            wrong = name[:1] + name[2:] if len(name) > 3 else name + "s"
            if wrong not in names:
                with pytest.raises(ConfigError, match=f"`{wrong}`.*did you mean|known are"):
                    rig.make(**{wrong: "x"})
        with pytest.raises(ConfigError, match="unknown setting `no_such_setting`"):
            rig.make(no_such_setting=1)

    async def test_a_setting_of_a_wrong_kind_is_named_and_its_value_is_not(self, rig: Rig) -> None:
        """Whatever stands in the configuration, the factory says ConfigError and repeats no secret."""
        for field in dataclasses.fields(_settings_of(rig)):
            with pytest.raises(ConfigError) as told:
                rig.make(**{field.name: {"a": ["hunter2"]}})
            assert field.name in str(told.value)
            assert "hunter2" not in str(told.value)

    async def test_check_answers_with_words(self, rig: Rig) -> None:
        """A person can read how it is, and what the channel can do."""
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await rig.ready(connector)
            health = await _within(rig, connector.check())
            assert isinstance(health, Health)
            assert health.ok, health.message
            assert len(health.message) > 4
            assert health.capabilities == _names(connector.capabilities)
        await _within(rig, connector.check())  # a closed one may say anything, but must say it

    @pytest.mark.parametrize("kind", list(EffectKind))
    async def test_capabilities_are_honest(self, rig: Rig, kind: EffectKind) -> None:
        """What is declared works and can be read back; what is not is refused with words, and never done."""
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await rig.ready(connector)
            told, author = await rig.effect(kind, 1)
            if NEEDS[kind] not in connector.capabilities:
                with pytest.raises(Rejected) as refused:
                    await _within(rig, connector.perform(told, author))
                assert len(str(refused.value)) > 10
                assert told.text not in str(refused.value)
                return
            receipt = await _within(rig, connector.perform(told, author))
            assert isinstance(receipt, str)
            assert receipt
            assert rig.happened(told) == 1
            if Capability.READ_BACK in connector.capabilities and rig.tells(kind):
                assert await _within(rig, connector.read_back(told))

    async def test_close_leaves_nothing_running_and_may_be_called_twice(self, rig: Rig) -> None:
        """At work, before anything was asked of it, and when it is closed already."""
        async with _no_task_stays():
            idle = rig.make()
            await idle.close()
            await idle.close()
            connector = rig.make()
            async with rig.desk.at_work(connector):
                await rig.ready(connector)
                await connector.check()
                begun = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - begun < 3.0, "closing ends the listening at once"
            await connector.close()
            async for batch in connector.posts(rig.desk.cursor):
                assert not batch.items, "a closed connector has nothing to say"

    async def test_listening_can_be_cancelled_at_any_moment(self, rig: Rig) -> None:
        """A pause, or the end of the service, in the middle of whatever it is doing."""
        async with _no_task_stays():
            for pause in (0.0, 0.001, 0.01, 0.1):
                connector = rig.make()

                async def listen(made: Connector = connector) -> None:
                    async for batch in made.posts(None):
                        rig.desk.take(batch.items)

                task = asyncio.create_task(listen())
                await asyncio.sleep(pause)
                task.cancel()
                done, _pending = await asyncio.wait({task}, timeout=3.0)
                assert done, "it does not let itself be cancelled"
                assert task.cancelled() or task.exception() is None or isinstance(task.exception(), FIVE)
                await connector.close()

    async def test_a_cursor_that_cannot_be_read_is_no_end(self, rig: Rig) -> None:
        """Nonsense in the store costs a second look at the source, not the channel."""
        for cursor in ("", "nonsense", "{", "[]", "7", '{"a": {"b": []}}', "9" * 5_000, "\x00"):
            rig.desk.cursor = cursor
            connector = rig.make()
            async with rig.desk.at_work(connector):
                await asyncio.sleep(0.02)
            assert not rig.desk.errors


def _settings_of(rig: Rig) -> type:
    module = sys.modules[rig.factory().__module__]
    declared = getattr(module, "Settings", None)
    assert declared is not None, f"{module.__name__} declares no dataclass `Settings`"
    assert dataclasses.is_dataclass(declared)
    return cast(type, declared)


class SilentContract:
    """What holds for a channel to which nobody speaks through the connector."""

    async def test_it_says_nothing_until_closed(self, rig: Rig) -> None:
        """Its posts come in another way: by its routes, or by pages of the service."""
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await asyncio.sleep(0.1)
            assert not rig.desk.items


# --- listening -------------------------------------------------------------------------------------


class ListeningContract:
    """Nothing is lost and nothing is doubled, whatever happens between the source and the store."""

    async def test_what_is_said_arrives_once_in_its_order(self, rig: Rig) -> None:
        """Each post has its own id, the channel's name and a time with a zone."""
        words = [_fresh(f"第 {n} 条") for n in range(5)]
        async with _listening(rig):
            await _say(rig, *words)
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
                said.append(_fresh(f"不在时 {turn}"))
                await rig.say(said[-1])
            async with _listening(rig):
                said.append(_fresh(f"在时 {turn}"))
                await rig.say(said[-1])
                await rig.desk.until(lambda: len(rig.desk.texts) == len(said))
        async with _listening(rig):
            await asyncio.sleep(0.2)
        assert sorted(rig.desk.said()) == sorted(said)
        _refuse_doubles(rig)
        assert not rig.desk.broken

    async def test_what_was_not_committed_is_handed_over_again(self, rig: Rig) -> None:
        """The store broke after it was given something: the old cursor still leads there."""
        if not rig.keeps:
            return
        first, second = _fresh("已入库"), _fresh("没入库")
        async with _listening(rig):
            await rig.say(first)
            await rig.desk.until(lambda: first in rig.desk.said())
        cursor = rig.desk.cursor
        rig.desk.acks = False
        async with _listening(rig):
            await rig.say(second)
            await rig.desk.until(lambda: second in rig.desk.said())
        rig.desk.cursor, rig.desk.acks = cursor, True
        rig.desk.texts.clear()
        async with _listening(rig):
            await rig.desk.until(lambda: second in rig.desk.said())

    async def test_twice_is_once(self, rig: Rig) -> None:
        """The source delivers everything again: the same ids, the same words."""
        words = [_fresh(f"第 {n} 条") for n in range(3)]
        async with _listening(rig):
            await _say(rig, *words)
            await rig.desk.until(lambda: len(rig.desk.texts) == len(words))
            before = dict(rig.desk.texts)
            await rig.repeat()
            await rig.say(last := _fresh("最后"))
            await rig.desk.until(lambda: last in rig.desk.said())
        assert {key: text for key, text in rig.desk.texts.items() if text != last} == before

    async def test_what_cannot_be_read_is_put_aside_and_the_stream_goes_on(self, rig: Rig) -> None:
        """With a reason, and with nothing of it in the words that are shown."""
        async with _listening(rig):
            await rig.say(first := _fresh("之前"))
            if not await rig.garble():
                return
            await rig.say(last := _fresh("之后"))
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
            await rig.say(words := _fresh("天机不可泄露"))
            await rig.desk.until(lambda: words in rig.desk.said())
            await rig.garble()
            health = await connector.check()
            for kind in EffectKind:
                told, author = await rig.effect(kind, 3)
                try:
                    await _within(rig, connector.perform(told, author))
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


@asynccontextmanager
async def _listening(rig: Rig) -> AsyncIterator[Connector]:
    connector = rig.make()
    async with rig.desk.at_work(connector):
        await rig.ready(connector)
        yield connector


async def _say(rig: Rig, *texts: str) -> None:
    for text in texts:
        await rig.say(text)


# --- pushes ----------------------------------------------------------------------------------------


class PushContract:
    """Nobody but the counterpart can bring anything in through a route."""

    async def test_a_genuine_push_is_taken(self, rig: Rig) -> None:
        """Its items come with the answer, so that they are stored before it is sent."""
        answer = await self._push(rig, rig.pushed())
        assert 200 <= answer.status < 300
        assert [item for item in answer.items if isinstance(item, RawPost)]
        assert all(item.channel == rig.channel for item in answer.items)
        again = await self._push(rig, rig.pushed())
        assert again.items == answer.items, "the same push is the same post"

    async def test_no_forged_push_is_taken(self, rig: Rig) -> None:
        """Every proof left out, emptied, cut, changed by a bit, filled with nonsense; the body changed."""
        good = rig.pushed()
        assert rig.proofs(), "the rig names no header by which a request proves where it comes from"
        for name in rig.proofs():
            for value in _spoiled(_proof(good, name)):
                answer = await self._push(rig, _with_proof(good, name, value))
                assert answer.status >= 400, f"{name}={value!r:.60} was taken"
                assert not answer.items
        for body in rig.forged(good.body):
            answer = await self._push(rig, dataclasses.replace(good, body=body))
            assert answer.status >= 400, "another body was taken under the same proof"
            assert not answer.items
        bare = Request(good.method, good.path, {}, {}, good.body)
        assert (await self._push(rig, bare)).status >= 400

    async def test_a_genuine_push_that_cannot_be_read_is_put_aside(self, rig: Rig) -> None:
        """Whatever its body: an answer, and nothing lost without a word."""
        chance = random.Random(20260301)  # noqa: S311 - the same bodies every time
        good = rig.pushed().body
        bodies = [*_GARBAGE, *(_changed(good, chance) for _time in range(150))]
        for body in bodies:
            answer = await self._push(rig, rig.pushed(body))
            assert 200 <= answer.status < 500
            for item in answer.items:
                assert isinstance(item, RawPost | Broken)
                assert item.channel == rig.channel

    async def test_a_socket_that_proves_nothing_is_refused_before_the_upgrade(self, rig: Rig) -> None:
        """With and without nonsense in its headers."""
        connector = rig.make()
        for route in connector.routes():
            if route.accept is None:
                continue
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer \udcff中"}):
                status = route.accept(headers, {})
                assert status is not None
                assert 400 <= status < 600
        await connector.close()

    async def test_secrets_are_compared_in_constant_time(self, rig: Rig) -> None:
        """``hmac.compare_digest`` is what says yes or no, in the connector or in a helper that it calls."""
        module = sys.modules[rig.factory().__module__]
        near = {module.__name__} | {
            getattr(value, "__module__", "") for value in vars(module).values() if callable(value)
        }
        package = module.__name__.partition(".")[0]
        sources = [inspect.getsource(sys.modules[name]) for name in near if name.partition(".")[0] == package]
        assert any("compare_digest" in source for source in sources)

    @staticmethod
    async def _push(rig: Rig, request: Request) -> Response:
        connector = rig.make()
        try:
            route = next(route for route in connector.routes() if route.path == request.path)
            assert route.handle is not None
            return cast(Response, await _within(rig, route.handle(request)))
        finally:
            await connector.close()


def _proof(request: Request, name: str) -> str:
    found = {**request.query, **request.headers}
    assert name in found, f"the genuine request has no `{name}`"
    return found[name]


def _with_proof(request: Request, name: str, value: str | None) -> Request:
    def changed(given: Mapping[str, str]) -> dict[str, str]:
        rest = {key: each for key, each in given.items() if key != name or value is not None}
        return {key: (value or "") if key == name else each for key, each in rest.items()}

    return dataclasses.replace(request, headers=changed(request.headers), query=changed(request.query))


def _spoiled(value: str) -> list[str | None]:
    middle = len(value) // 2
    turned = chr(ord(value[middle]) ^ 1)
    return [
        None,
        "",
        value[:-1],
        value + "A",
        value[:middle] + turned + value[middle + 1 :],
        value[::-1],
        "\udcff\udcfe",
        "中文",
        "0" * 5_000,
        "\x00",
    ]


def _changed(body: bytes, chance: random.Random) -> bytes:
    data = bytearray(body)
    for _time in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.randint(0, 9)] = chance.choice(
            [
                b"",
                b"\x00",
                b"\xff",
                b'"',
                b"{",
                b"]",
                b"null",
                b"1e999",
                b"\\ud800",
                bytes(data[at : at + 9]) * 2,
            ]
        )
    return bytes(data)


# --- networks --------------------------------------------------------------------------------------

_FAULTS: Final = [fault for fault in Fault if fault is not Fault.NONE]


class NetworkContract:
    """A network that fails in every way costs time, and nothing else."""

    @pytest.mark.parametrize("fault", _FAULTS)
    async def test_check_tells_a_fault_in_words_and_in_time(self, rig: Rig, fault: Fault) -> None:
        """It answers; it does not raise, and it does not hang."""
        assert rig.wire is not None
        await rig.wire.become(fault)
        connector = rig.make()
        try:
            health = await _within(rig, connector.check())
        finally:
            await connector.close()
        assert isinstance(health, Health)
        assert len(health.message) > 4
        assert not health.ok or not rig.shows(fault), f"nobody is told: {health.message}"

    @pytest.mark.parametrize("fault", _FAULTS)
    async def test_listening_outlasts_a_fault_and_loses_nothing(self, rig: Rig, fault: Fault) -> None:
        """Before, during and after: every post arrives once; only the five errors come out."""
        assert rig.wire is not None
        said = [_fresh("之前")]
        async with _listening(rig):
            await rig.say(said[0])
            await rig.desk.until(lambda: said[0] in rig.desk.said())
            await rig.wire.become(fault)
            await asyncio.sleep(0.1)
            if rig.keeps:
                said.append(_fresh("断线时"))
                await rig.say(said[-1])
            await asyncio.sleep(0.3)
            await rig.wire.become(Fault.NONE)
            said.append(_fresh("之后"))
            await rig.say(said[-1])
            await rig.desk.until(lambda: set(said) <= set(rig.desk.said()), 20.0)
        assert sorted(rig.desk.said()) == sorted(said)
        assert all(isinstance(error, FIVE) for error in rig.desk.errors)

    @pytest.mark.parametrize("fault", _FAULTS)
    async def test_an_effect_under_a_fault_says_what_is_known_of_it(self, rig: Rig, fault: Fault) -> None:
        """Not done means not done, done means done, and everything else is Uncertain and can be read back."""
        assert rig.wire is not None
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await rig.ready(connector)
            kinds = [kind for kind, needed in NEEDS.items() if needed in connector.capabilities]
            prepared = [(await rig.effect(kind, number)) for number, kind in enumerate(kinds, 1)]
            await rig.wire.become(fault)
            answers = [await self._perform(rig, connector, told, author) for told, author in prepared]
            await rig.wire.become(Fault.NONE)
            await rig.ready(connector)
            for (told, _author), answer in zip(prepared, answers, strict=True):
                await self._hold_to_it(rig, connector, told, answer)

    @staticmethod
    async def _perform(
        rig: Rig, connector: Connector, told: Effect, author: str | None
    ) -> str | ConnectorError:
        try:
            return cast(str, await _within(rig, connector.perform(told, author)))
        except FIVE as error:
            return error

    @staticmethod
    async def _hold_to_it(rig: Rig, connector: Connector, told: Effect, answer: str | ConnectorError) -> None:
        times = rig.happened(told)
        assert times <= 1, f"{told.kind} was carried out {times} times"
        if isinstance(answer, str):
            assert times == 1, f"{told.kind} gave a receipt and was not carried out"
        elif isinstance(answer, _SAFE):
            assert times == 0, f"{told.kind} was carried out, and {type(answer).__name__} says it was not"
        elif Capability.READ_BACK in connector.capabilities and rig.tells(told.kind):
            found = await _read_back(rig, connector, told)
            assert bool(found) == bool(times), f"{told.kind}: read back {found!r}, carried out {times} times"


async def _read_back(rig: Rig, connector: Connector, told: Effect) -> str | None:
    """Look back until the source can be asked again."""
    for _time in range(20):
        try:
            return cast("str | None", await _within(rig, connector.read_back(told)))
        except (Unavailable, RateLimited):
            await asyncio.sleep(0.1)
    raise AssertionError("the effect cannot be read back after the fault")


# --- choosing --------------------------------------------------------------------------------------


def contract(rig: type[Rig]) -> type:
    """Return the class of tests that a rig's connector has to pass; bind it to a name that begins with ``Test``."""
    chosen: list[type] = [ConnectorContract, ListeningContract if rig.listens else SilentContract]
    if rig.pushes:
        chosen.append(PushContract)
    if rig.networked:
        chosen.append(NetworkContract)
    return type(f"Test{rig.__name__}", tuple(chosen), {"rig_type": rig, "__module__": rig.__module__})


__all__ = [
    "ConnectorContract",
    "Incoming",
    "ListeningContract",
    "NetworkContract",
    "PushContract",
    "Rig",
    "SilentContract",
    "contract",
    "effect",
]
