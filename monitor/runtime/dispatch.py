"""Sending: takes effects from the outbox and lets each leave once (E-03).

``new -> sending`` is committed by :func:`effects.take` before anything is sent. What is not surely undone becomes
unknown; an unknown effect is read back at the platform and never blindly sent again; where a platform cannot be
read back, a person looks. A crash at any point leaves a lease that runs out and an effect that is asked about first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from monitor import logs
from monitor.bootstrap import App
from monitor.core.errors import (
    ConfigError,
    ConnectorError,
    Malformed,
    PluginError,
    RateLimited,
    Rejected,
    StoreError,
    Unavailable,
    Uncertain,
)
from monitor.core.model import Effect, EffectKind
from monitor.core.ports import Capability, Connector
from monitor.core.workdays import SHANGHAI
from monitor.runtime.intake import pause_after
from monitor.usecases import effects
from monitor.usecases.effects import Outgoing

NEEDED: Final[Mapping[EffectKind, Capability]] = {
    EffectKind.REPLY: Capability.REPLY,
    EffectKind.NOTICE: Capability.REPLY,
    EffectKind.REMOVE: Capability.REMOVE,
    EffectKind.HIDE: Capability.HIDE,
    EffectKind.RESTORE: Capability.RESTORE,
    EffectKind.MUTE: Capability.MUTE,
}
"""What a channel must be able to do for an effect to leave through it."""

AT_ONCE: Final = 8
_SAYING: Final = frozenset({EffectKind.REPLY, EffectKind.NOTICE})
IDLE_SECONDS: Final = 1.0
_DOWN: Final = (Unavailable, RateLimited, Uncertain)
"""After these the channel is left alone for this round: the next effect would only wait for the same silence."""

_log = logs.get("dispatch")


class Pace:
    """How many answers and notices leave through one channel in a minute; a restart begins to count anew."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Return the seconds until the next one may leave; 0 when it may now."""
        while self._sent and self._sent[0] <= now - 60:
            self._sent.popleft()
        return self._sent[0] + 60 - now if len(self._sent) >= self._most else 0.0

    def spend(self, now: float) -> None:
        """Count one that leaves."""
        self._sent.append(now)


class Dispatcher:
    """Sends what is due, channel beside channel, one effect after the other within a channel."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopping = asyncio.Event()
        self._pace = {name: Pace(one.answers_per_minute) for name, one in app.config.channels.items()}
        self.sent = 0

    def stop(self) -> None:
        """Let :meth:`run` end after what it has in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until told to stop."""
        failures = 0
        while not self._stopping.is_set():
            try:
                taken = await self.round()
                failures = 0
            except StoreError as error:
                failures += 1
                _log.warning("dispatch.store", code=error.code)
                await self._rest(pause_after(failures))
                continue
            if not taken:
                await self._rest(IDLE_SECONDS)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def round(self) -> int:
        """Take what is due and carry it out; returns how many effects were taken. Raises StoreError."""
        begun = asyncio.get_running_loop().time()
        paused = await asyncio.to_thread(self._paused)
        quiet = self._quiet()
        taken = await asyncio.to_thread(effects.take, self._app.deps, AT_ONCE, paused, quiet)
        lanes: dict[str, list[Outgoing]] = defaultdict(list)
        for one in taken:
            lanes[one.effect.channel].append(one)
        now = self._app.deps.clock.now()
        work = (self._lane(lane, begun, now) for lane in lanes.values())
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return len(taken)

    async def _lane(self, lane: Sequence[Outgoing], begun: float, now: datetime) -> None:
        """Carry out the effects of one channel until it is done or falls silent."""
        down = ""
        for one in lane:
            if down:
                await self._settle(effects.later, one.effect, down)
            elif self._lease_left(one.effect, begun, now) > self._app.deps.rules.send_timeout:
                down = await self._one(one)
            else:
                await self._settle(effects.later, one.effect, "sender.busy")

    def _quiet(self) -> list[str]:
        """Return the channels whose answers and notices wait: it is night there, or enough were sent this minute."""
        time_of_day = self._app.deps.clock.now().astimezone(SHANGHAI).time()
        now = self._app.deps.clock.monotonic()
        return [
            name
            for name, channel in self._app.config.channels.items()
            if channel.is_quiet(time_of_day) or self._pace[name].wait(now)
        ]

    def _paused(self) -> list[str]:
        """Return the channels whose effects stay in the outbox until somebody resumes them."""
        declared = [name for name, channel in self._app.config.channels.items() if channel.paused]
        with self._app.deps.uow.read() as store:
            return [*declared, *(row.name for row in store.channels.status() if row.state == "paused")]

    def _lease_left(self, effect: Effect, begun: float, now: datetime) -> float:
        """Return the seconds until somebody else may take the effect, by the monotonic clock (F-13)."""
        if effect.lease_until is None:
            return float("inf")
        return (effect.lease_until - now).total_seconds() - (asyncio.get_running_loop().time() - begun)

    async def _one(self, one: Outgoing) -> str:
        """Carry out one effect and write its outcome; returns the error's code when the channel fell silent."""
        try:
            connector = self._app.connector(one.effect.channel)
        except (ConfigError, PluginError) as error:
            await self._settle(effects.refused, one.effect, error.code)
            return ""
        return await (self._ask(one.effect, connector) if one.ask_first else self._send(one, connector))

    async def _send(self, one: Outgoing, connector: Connector) -> str:
        effect = one.effect
        if NEEDED[effect.kind] not in connector.capabilities:
            await self._settle(effects.refused, effect, "channel.cannot")
            return ""
        pace, now = self._pace.get(effect.channel), self._app.deps.clock.monotonic()
        if pace is not None and effect.kind in _SAYING:
            if wait := pace.wait(now):
                at = self._app.deps.clock.now() + timedelta(seconds=wait)
                await self._settle(effects.later, effect, "channel.pace", at)
                return ""
            pace.spend(now)
        try:
            receipt = await connector.perform(effect, one.author)
        except RateLimited as error:
            await self._settle(effects.later, effect, error.code, error.retry_at)
            return error.code
        except Unavailable as error:
            await self._settle(effects.later, effect, error.code)
            return error.code
        except Rejected as error:
            await self._settle(effects.refused, effect, error.code)
            return ""
        except ConnectorError as error:
            await self._settle(effects.unknown, effect, error.code)
            return error.code
        self.sent += 1
        await self._settle(effects.sent, effect, receipt)
        return ""

    async def _ask(self, effect: Effect, connector: Connector) -> str:
        """Read back an effect whose outcome nobody knows."""
        if Capability.READ_BACK not in connector.capabilities:
            await self._settle(effects.refused, effect, "channel.cannot_read_back")
            return ""
        try:
            receipt = await connector.read_back(effect)
        except (Unavailable, RateLimited) as error:
            at = error.retry_at if isinstance(error, RateLimited) else None
            await self._settle(effects.later, effect, error.code, at)
            return error.code
        except (Rejected, Malformed, Uncertain, PluginError) as error:
            await self._settle(effects.refused, effect, error.code)
            return ""
        await (
            self._settle(effects.not_done, effect)
            if receipt is None
            else self._settle(effects.sent, effect, receipt)
        )
        return ""

    async def _settle(self, write: Callable[..., bool], effect: Effect, *values: object) -> None:
        """Write an outcome; when the store refuses, the lease runs out and the effect is asked about first."""
        kept = await asyncio.to_thread(write, self._app.deps, effect, *values)
        _log.info(
            "dispatch.settled", effect=effect.id, kind=effect.kind.value, outcome=write.__name__, kept=kept
        )


__all__ = ["Dispatcher"]
