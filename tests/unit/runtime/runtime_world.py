"""An application over a real SQLite file, with connectors that do what a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monitor import bootstrap, config
from monitor.adapters.guard import GuardedConnector
from monitor.bootstrap import App
from monitor.config import Channel
from monitor.core.errors import ConfigError
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, Incoming, Route

EVERYTHING = frozenset(Capability)


@dataclass
class Source:
    """A connector fed by a test: batches to give, errors to raise, effects to carry out."""

    name: str
    capabilities: frozenset[Capability] = EVERYTHING
    waiting: asyncio.Queue[Incoming | Exception | None] = field(default_factory=asyncio.Queue)
    cursors: list[str | None] = field(default_factory=list)
    performed: list[Effect] = field(default_factory=list)
    asked: list[Effect] = field(default_factory=list)
    acts: list[Any] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    health: Health = field(default_factory=lambda: Health(True, "fine"))
    closed: int = 0

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Give what waits; None ends the source."""
        self.cursors.append(cursor)
        while (given := await self.waiting.get()) is not None:
            if isinstance(given, Exception):
                raise given
            yield given

    def routes(self) -> Sequence[Route]:
        """Open nothing."""
        return []

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Do the next act: return a receipt, raise, or call."""
        self.performed.append(effect)
        return await _played(self.acts, f"receipt-{effect.id}")

    async def read_back(self, effect: Effect) -> str | None:
        """Give the next finding."""
        self.asked.append(effect)
        return await _played(self.found, None)

    async def check(self) -> Health:
        """Return what the test set."""
        return self.health

    async def close(self) -> None:
        """Count."""
        self.closed += 1


async def _played(script: list[Any], default: Any) -> Any:
    act = script.pop(0) if script else default
    if callable(act):
        act = await act()
    if isinstance(act, BaseException):
        raise act
    return act


class House(App):
    """An application whose connectors are given by the test."""

    def adopt(self, source: Source) -> Source:
        """Take a test's connector for a declared channel."""
        self._connectors[source.name] = GuardedConnector(source, "scripted", 0.5)
        return source

    def connector(self, name: str) -> GuardedConnector:
        """Return the adopted one."""
        if name not in self._connectors:
            raise ConfigError(f"channel `{name}` cannot be built")
        return self._connectors[name]


def house_at(folder: Path, *names: str, models: bool = False) -> House:
    """Return an application with declared channels over the store in ``folder``."""
    found = config.load(None, folder, {})
    channels = {name: Channel(name, "scripted", {}) for name in names}
    rules = replace(found.rules, effect_delay=0.0, send_timeout=0.5)
    built = bootstrap.build(replace(found, channels=channels, rules=rules), models=models)
    return House(built.config, built.deps)


async def until(test: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until ``test`` holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not test():
        assert loop.time() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a loop beside the test and end it; what it failed with is raised."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
