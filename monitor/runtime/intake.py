"""Listening: one task per channel reads, stores in groups, and acknowledges only after the commit.

What waits is stored together, up to 500 posts in one transaction; pushes that come at the same time share one. A
channel that fails is tried again with growing pauses and says so on the health screen; it never holds up another.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from monitor import logs
from monitor.bootstrap import App
from monitor.core.errors import (
    ConfigError,
    ConnectorError,
    HuiyinError,
    PluginError,
    RateLimited,
    StoreError,
    Unavailable,
)
from monitor.core.model import Broken, Health, RawPost
from monitor.core.ports import ChannelConfig, Connector, Incoming
from monitor.usecases import channels
from monitor.usecases.channels import Look
from monitor.usecases.ingest import IngestReport, ItemResult, ingest

Item = RawPost | Broken

MOST: Final = 500
"""Most items of one transaction (a single larger batch of a connector stays whole)."""

WAITING: Final = 20
"""Batches that may wait for the store before the connector is made to wait."""

LONGEST_PAUSE: Final = 60.0
LOOK_SECONDS: Final = 1.0
CHECK_GOOD, CHECK_BAD = 300.0, 20.0
_log = logs.get("intake")


def pause_after(failures: int, longest: float = LONGEST_PAUSE) -> float:
    """Return the pause before the next try: doubling from one second, with jitter."""
    whole = min(longest, 2.0 ** min(failures, 16) / 2)
    return float(whole * (0.5 + random.random() / 2))  # noqa: S311


# --- pushes ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pushes:
    """Pushed items of one channel that wait for the next transaction."""

    app: App
    channel: str
    waiting: deque[tuple[Sequence[Item], asyncio.Future[list[ItemResult]]]] = field(default_factory=deque)
    storing: asyncio.Task[None] | None = None

    async def put(self, items: Sequence[Item]) -> list[ItemResult]:
        """Store items with whatever else waits and return their results."""
        done: asyncio.Future[list[ItemResult]] = asyncio.get_running_loop().create_future()
        self.waiting.append((items, done))
        if self.storing is None or self.storing.done():
            self.storing = asyncio.create_task(self._store())
        return await done

    async def _store(self) -> None:
        while self.waiting:
            group = self._group()
            together = [item for items, _done in group for item in items]
            try:
                report = await _ingest(self.app, self.channel, together, None)
            except HuiyinError as error:
                for _items, done in group:
                    if not done.done():
                        done.set_exception(error)
                continue
            results = iter(report.results)
            for items, done in group:
                mine = [next(results) for _item in items]
                if not done.done():
                    done.set_result(mine)

    def _group(self) -> list[tuple[Sequence[Item], asyncio.Future[list[ItemResult]]]]:
        group = [self.waiting.popleft()]
        size = len(group[0][0])
        while self.waiting and size + len(self.waiting[0][0]) <= MOST:
            group.append(self.waiting.popleft())
            size += len(group[-1][0])
        return group


async def store_pushed(app: App, channel: str, items: Sequence[Item]) -> list[ItemResult]:
    """Store what was pushed to a route and return what became of each item, after the commit.

    Raises: Unavailable when the channel is paused; StoreError when nothing was stored. Then do not acknowledge.
    """
    if channel in _paused(app):
        raise Unavailable("the channel is paused; send it again later")
    if not items:
        return []
    pushes: _Pushes = app.once(("pushes", channel), lambda: _Pushes(app, channel))
    return await pushes.put(items)


def _paused(app: App) -> set[str]:
    """Return the set of paused channels, kept up to date by the intake of this process."""
    return app.once("paused", set)


async def _ingest(app: App, channel: str, items: Sequence[Item], cursor: str | None) -> IngestReport:
    report = await asyncio.to_thread(ingest, app.deps, channel, items, cursor)
    outcomes(app).update(result.outcome.value for result in report.results)
    return report


def outcomes(app: App) -> Counter[str]:
    """Return outcome -> items that this process has taken in, listened to and pushed, for the figures."""
    return app.once("outcomes", Counter)


# --- one channel -----------------------------------------------------------------------------------


class Listener:
    """Listens to one channel until stopped: read, store, acknowledge, and again after a failure."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self.name = name
        self._failures = 0
        self.waits = False
        """The last try to listen failed, and the next one has not begun."""
        self.noting = asyncio.Lock()
        """Held while the channel's state is written: a check that went well never covers a failure that came later."""

    async def run(self) -> None:
        """Listen for ever; a source that has nothing more to give ends it."""
        while True:
            try:
                await self._listen()
                return
            except (ConnectorError, PluginError, ConfigError, StoreError) as error:
                await self._wait_after(error)

    async def _listen(self) -> None:
        connector = self._app.connector(self.name)
        cursor = await asyncio.to_thread(channels.cursor, self._app.deps, self.name)
        queue: asyncio.Queue[Incoming] = asyncio.Queue(WAITING)
        reading = asyncio.create_task(_read(connector, cursor, queue))
        try:
            while batches := await _next_group(queue, reading):
                await self._store(batches)
            await reading
        finally:
            await _stopped([reading])

    async def _store(self, batches: Sequence[Incoming]) -> None:
        items = [item for batch in batches for item in batch.items]
        cursors = [batch.cursor for batch in batches if batch.cursor is not None]
        await _ingest(self._app, self.name, items, cursors[-1] if cursors else None)
        self._failures = 0
        for batch in batches:
            if batch.ack is not None:
                await batch.ack()

    async def _wait_after(self, error: HuiyinError) -> None:
        self._failures += 1
        self.waits = True
        pause = pause_after(self._failures)
        retry_at = error.retry_at if isinstance(error, RateLimited) else None
        now = self._app.deps.clock.now()
        if retry_at is not None:
            pause = max(pause, min(3600.0, (retry_at - now).total_seconds()))
        _log.warning("intake.failed", channel=self.name, code=error.code, pause=round(pause, 1))
        again = now + timedelta(seconds=pause)
        with contextlib.suppress(StoreError):
            async with self.noting:
                await asyncio.to_thread(channels.note_error, self._app.deps, self.name, str(error), again)
        await asyncio.sleep(pause)
        self.waits = False


async def _read(connector: Connector, cursor: str | None, queue: asyncio.Queue[Incoming]) -> None:
    async with contextlib.aclosing(connector.posts(cursor)) as stream:  # type: ignore[type-var]
        async for batch in stream:
            await queue.put(batch)


async def _next_group(queue: asyncio.Queue[Incoming], reading: asyncio.Task[None]) -> list[Incoming]:
    """Wait for a batch and take what waits behind it, up to MOST items; nothing when the reading ended."""
    getting = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({getting, reading}, return_when=asyncio.FIRST_COMPLETED)
        group = [getting.result()] if getting.done() else []
    finally:
        getting.cancel()
    size = sum(len(batch.items) for batch in group)
    while size < MOST and not queue.empty():
        group.append(queue.get_nowait())
        size += len(group[-1].items)
    return group


async def _stopped(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; what they failed with is known already or no longer matters."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- all channels ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Watched:
    """What the intake knows of one channel besides its listener."""

    listener: Listener | None = None
    task: asyncio.Task[None] | None = None
    checking: asyncio.Task[None] | None = None
    next_check: float = 0.0
    capabilities: frozenset[str] = frozenset()
    answered: str = ""
    broke: int = 0
    over: bool = False


class Intake:
    """Runs a listener for every declared channel that is not paused; looks at the store every second (``look_seconds``)."""

    def __init__(self, app: App, look_seconds: float = LOOK_SECONDS) -> None:
        self._app = app
        self._look_seconds = look_seconds
        self._watched = {} if app.safe else {name: _Watched() for name in app.config.channels}

    async def run(self) -> None:
        """Listen until cancelled; then close every connector."""
        try:
            await self._declare()
            while True:
                await self._look()
                await asyncio.sleep(self._look_seconds)
        finally:
            every = [task for one in self._watched.values() for task in (one.task, one.checking) if task]
            await _stopped(every)
            await asyncio.gather(*(one.close() for one in self._app.connectors.values()))

    async def _declare(self) -> None:
        for name, watched in self._watched.items():
            with contextlib.suppress(HuiyinError):
                self._app.connector(name)
            watched.capabilities = self._app.said_capabilities(name)
        await self._patiently(self._write_channels)

    async def _patiently(self, work: Callable[[], None]) -> None:
        """Do ``work`` in a thread; a store that refuses is asked again with the next look."""
        try:
            await asyncio.to_thread(work)
        except StoreError as error:
            _log.warning("intake.store", code=error.code)

    def _write_channels(self) -> None:
        declared = self._app.config.channels
        rows = [
            (
                ChannelConfig(name, declared[name].type, {}, declared[name].unit, declared[name].paused),
                one.capabilities,
            )
            for name, one in self._watched.items()
        ]
        channels.declare(self._app.deps, rows)

    async def _look(self) -> None:
        try:
            look = await asyncio.to_thread(channels.look, self._app.deps, list(self._watched))
        except StoreError as error:
            _log.warning("intake.store", code=error.code)
            return
        paused = _paused(self._app)
        paused.clear()
        paused.update(look.paused)
        for name, watched in self._watched.items():
            await self._keep(name, watched, name in look.paused)
            self._keep_checked(name, watched, look)

    async def _keep(self, name: str, watched: _Watched, paused: bool) -> None:
        """Start, stop or restart the listener of one channel."""
        if watched.task is not None and watched.task.done():
            self._ended(name, watched)
        if paused and watched.task is not None:
            await _stopped([watched.task])
            watched.task = None
            _log.info("intake.paused", channel=name)
        elif not paused and watched.task is None and not watched.over:
            watched.listener = Listener(self._app, name)
            watched.task = asyncio.create_task(watched.listener.run())

    def _ended(self, name: str, watched: _Watched) -> None:
        """Look at a listener that ended: at its source's end it stays ended, after a fault of ours it starts anew."""
        assert watched.task is not None
        error = None if watched.task.cancelled() else watched.task.exception()
        watched.task = None
        watched.over = error is None
        if error is not None:
            watched.broke += 1
            _log.error("intake.broke", channel=name, error=error, times=watched.broke)

    # --- checks --------------------------------------------------------------------------------------

    def _keep_checked(self, name: str, watched: _Watched, look: Look) -> None:
        """Check a channel when its time has come or somebody asked for it."""
        if watched.checking is not None and not watched.checking.done():
            return
        wanted = look.wanted.get(name, "")
        asked = bool(wanted) and wanted != watched.answered
        due = self._app.deps.clock.monotonic() >= watched.next_check and name not in look.paused
        if asked or due:
            watched.answered = wanted
            watched.checking = asyncio.create_task(self._check(name, watched, wanted if asked else ""))

    async def _check(self, name: str, watched: _Watched, asked: str) -> None:
        health = await check(self._app, name)
        said = self._app.said_capabilities(name)
        changed = said != watched.capabilities
        watched.capabilities = said
        if changed:
            await self._patiently(self._write_channels)
        listener = watched.listener
        async with listener.noting if listener else contextlib.nullcontext():
            clears = listener is None or not listener.waits
            wait = CHECK_GOOD if health.ok and clears else CHECK_BAD
            watched.next_check = self._app.deps.clock.monotonic() + wait
            again = timedelta(seconds=wait)
            await self._patiently(
                lambda: channels.checked(self._app.deps, name, asked, health, again, clears=clears)
            )


async def check(app: App, name: str) -> Health:
    """Connect a channel for real and say what works; a channel that cannot be built is a fault with its mend."""
    try:
        connector = app.connector(name)
    except HuiyinError as error:
        return Health(False, str(error))
    health = await connector.check()
    return replace(health, capabilities=frozenset(map(str, connector.capabilities)))


__all__ = ["Intake", "Listener", "check", "pause_after", "store_pushed"]
