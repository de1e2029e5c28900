"""The promises of a connector as tests, for our own connectors and for other people's.

Write a rig (how to start the counterpart of the connector, how somebody says something there) and let
:func:`contract` make the tests of it::

    import pytest
    pytest.register_assert_rewrite("monitor.testing")

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
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import pytest_asyncio

from monitor.core.errors import ConfigError, Rejected
from monitor.core.model import EffectKind, Health
from monitor.core.ports import Capability, Connector
from monitor.testing._contract_listening import ListeningContract, SilentContract
from monitor.testing._contract_network import NetworkContract
from monitor.testing._contract_pushes import PushContract
from monitor.testing.desk import Desk, effect
from monitor.testing.faulty_wire import Fault
from monitor.testing.rig import FIVE, GROUP, NEEDS, Rig, within


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
            health = await within(rig, connector.check())
            assert isinstance(health, Health)
            assert health.ok, health.message
            assert len(health.message) > 4
            assert health.capabilities == _names(connector.capabilities)
        await within(rig, connector.check())  # a closed one may say anything, but must say it

    @pytest.mark.parametrize("kind", list(EffectKind))
    async def test_capabilities_are_honest(self, rig: Rig, kind: EffectKind) -> None:
        """What is declared works and can be read back; what is not is refused with words, and never done."""
        connector = rig.make()
        async with rig.desk.at_work(connector):
            await rig.ready(connector)
            told, author = await rig.effect(kind, 1)
            if NEEDS[kind] not in connector.capabilities:
                with pytest.raises(Rejected) as refused:
                    await within(rig, connector.perform(told, author))
                assert len(str(refused.value)) > 10
                assert told.text not in str(refused.value)
                return
            receipt = await within(rig, connector.perform(told, author))
            assert isinstance(receipt, str)
            assert receipt
            assert rig.happened(told) == 1
            if Capability.READ_BACK in connector.capabilities and rig.tells(kind):
                assert await within(rig, connector.read_back(told))

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


def contract(rig: type[Rig]) -> type:
    """Return the class of tests that a rig's connector has to pass; bind it to a name that begins with ``Test``."""
    chosen: list[type] = [ConnectorContract, ListeningContract if rig.listens else SilentContract]
    if rig.pushes:
        chosen.append(PushContract)
    if rig.networked:
        chosen.append(NetworkContract)
    return type(f"Test{rig.__name__}", tuple(chosen), {"rig_type": rig, "__module__": rig.__module__})


__all__ = [
    "GROUP",
    "NEEDS",
    "ConnectorContract",
    "ListeningContract",
    "NetworkContract",
    "PushContract",
    "Rig",
    "SilentContract",
    "contract",
    "effect",
]
