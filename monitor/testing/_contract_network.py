"""Networks: one that fails in every way costs time, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import pytest

from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, Connector
from monitor.testing.faulty_wire import Fault
from monitor.testing.rig import FIVE, NEEDS, Rig, fresh, listening, within

_SAFE: Final = (Unavailable, RateLimited, Rejected)
"""What says of an effect that it surely did not happen."""

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
            health = await within(rig, connector.check())
        finally:
            await connector.close()
        assert isinstance(health, Health)
        assert len(health.message) > 4
        assert not health.ok or not rig.shows(fault), f"nobody is told: {health.message}"

    @pytest.mark.parametrize("fault", _FAULTS)
    async def test_listening_outlasts_a_fault_and_loses_nothing(self, rig: Rig, fault: Fault) -> None:
        """Before, during and after: every post arrives once; only the five errors come out."""
        assert rig.wire is not None
        said = [fresh("之前")]
        async with listening(rig):
            await rig.say(said[0])
            await rig.desk.until(lambda: said[0] in rig.desk.said())
            await rig.wire.become(fault)
            await asyncio.sleep(0.1)
            if rig.keeps:
                said.append(fresh("断线时"))
                await rig.say(said[-1])
            await asyncio.sleep(0.3)
            await rig.wire.become(Fault.NONE)
            said.append(fresh("之后"))
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
            return cast(str, await within(rig, connector.perform(told, author)))
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
            return cast("str | None", await within(rig, connector.read_back(told)))
        except (Unavailable, RateLimited):
            await asyncio.sleep(0.1)
    raise AssertionError("the effect cannot be read back after the fault")


__all__ = ["NetworkContract"]
