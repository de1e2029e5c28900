"""The fence around plug-ins: deadlines, and unknown errors become ours with the plug-in named.

This is one of two places that catch everything. What a plug-in said is never repeated: an error message may quote
a post, so only the type of an unknown error and the place where it was raised are kept.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from monitor import logs
from monitor.core.alerts import StaffMessage
from monitor.core.errors import (
    ClassifierError,
    ConfigError,
    ConnectorError,
    HuiyinError,
    Malformed,
    PluginError,
    Unavailable,
    Uncertain,
)
from monitor.core.model import Effect, Health, Reading
from monitor.core.ports import (
    Capability,
    Classifier,
    Connector,
    Incoming,
    Notifier,
    Request,
    Response,
    Route,
    Socket,
)

CHECK_SECONDS = 60.0
CLOSE_SECONDS = 5.0
HANDLE_SECONDS = 30.0
NOTIFY_SECONDS = 60.0
T = TypeVar("T")
_log = logs.get("guard")


def members(protocol: type) -> list[str]:
    """Return the names that an object must have to keep ``protocol``."""
    methods = [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]
    return [*vars(protocol).get("__annotations__", {}), *methods]


def require_members(plugin: str, made: object, protocol: type) -> None:
    """Refuse an object that lacks a member of ``protocol``; raises PluginError naming the plug-in."""
    missing = [name for name in members(protocol) if not hasattr(made, name)]
    if missing:
        raise PluginError(f"the plug-in `{plugin}` is no {protocol.__name__}: it lacks {', '.join(missing)}")


def place(error: BaseException) -> str:
    """Return the type of an error and where it was raised, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"


def _failed(plugin: str, step: str, error: BaseException) -> PluginError:
    return PluginError(f"the plug-in `{plugin}` failed in {step} ({place(error)}); tell its author")


def made(plugin: str, make: Callable[..., object], *given: Any) -> Any:
    """Call the factory of a plug-in; raises ConfigError, ClassifierError or PluginError."""
    try:
        return make(*given)
    except (ConfigError, ClassifierError, PluginError):
        raise
    except Exception as error:
        raise _failed(plugin, "its factory", error) from None


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """Wait for ``work``, at most ``seconds``; what does not stop when cancelled is left behind.

    Raises: TimeoutError.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _pending = await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not done:
        raise TimeoutError
    return task.result()


async def _closed(plugin: str, work: Awaitable[None]) -> None:
    """Wait for a plug-in to close; a failure stops nobody, and is logged by its kind and place."""
    try:
        await _within(CLOSE_SECONDS, work)
    except Exception as error:
        _log.warning("close_failed", plugin=plugin, error=place(error))


def _forget(task: asyncio.Future[Any]) -> None:
    """Look at the outcome of a task that nobody waits for, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()


class GuardedConnector:
    """A connector behind the fence (see :class:`monitor.core.ports.Connector`).

    Args:
        inner: the plug-in's object.
        plugin: name of the plug-in, for messages.
        seconds: deadline of one send; a read-back, which walks through history, has twice that.
    """

    def __init__(self, inner: Connector, plugin: str, seconds: float) -> None:
        require_members(plugin, inner, Connector)
        self.name = inner.name
        self.plugin = plugin
        self._inner = inner
        self._seconds = seconds

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the channel can do now; it may lose what the source turns out not to offer."""
        return frozenset(self._inner.capabilities)

    @capabilities.setter
    def capabilities(self, value: frozenset[Capability]) -> None:
        self._inner.capabilities = value

    @property
    def lacking(self) -> Mapping[str, frozenset[Capability]]:
        """Return thread -> what of the capabilities cannot be done there; a connector need not have it."""
        return dict(getattr(self._inner, "lacking", {}))

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches; raises ConnectorError or PluginError."""
        stream = self._inner.posts(cursor)
        try:
            while True:
                try:
                    batch = await anext(stream)
                except StopAsyncIteration:
                    return
                if not isinstance(batch, Incoming):
                    raise PluginError(f"the plug-in `{self.plugin}` yielded something that is no Incoming")
                yield replace(batch, ack=batch.ack and self._fenced_ack(batch.ack))
        except (ConnectorError, PluginError):
            raise
        except Exception as error:
            raise _failed(self.plugin, "posts", error) from None
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    def _fenced_ack(self, ack: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def fenced() -> None:
            await self._run("ack", self._seconds, ack())

        return fenced

    def routes(self) -> Sequence[Route]:
        """Return the plug-in's routes, each behind the fence."""
        try:
            return [self._fenced(route) for route in self._inner.routes()]
        except Exception as error:
            raise _failed(self.plugin, "routes", error) from None

    def _fenced(self, route: Route) -> Route:
        async def handle(request: Request) -> Response:
            assert route.handle is not None
            return await self._run("a request", HANDLE_SECONDS, route.handle(request))

        def accept(headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:
            assert route.accept is not None
            try:
                return route.accept(headers, query)
            except Exception as error:
                raise _failed(self.plugin, "accept", error) from None

        async def socket(peer: Socket) -> None:
            assert route.socket is not None
            await self._run("a socket", None, route.socket(peer))

        return replace(
            route,
            handle=route.handle and handle,
            accept=route.accept and accept,
            socket=route.socket and socket,
        )

    async def _run(self, step: str, seconds: float | None, work: Awaitable[T]) -> T:
        try:
            return await (work if seconds is None else _within(seconds, work))
        except (ConnectorError, PluginError):
            raise
        except TimeoutError:
            raise Unavailable(f"the plug-in `{self.plugin}` did not finish {step} in time") from None
        except Exception as error:
            raise _failed(self.plugin, step, error) from None

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect; what is not surely undone is Uncertain (E-03).

        Raises: Unavailable, RateLimited, Rejected, Uncertain.
        """
        try:
            receipt = await _within(self._seconds, self._inner.perform(effect, author))
        except Malformed:
            raise Uncertain(f"the answer to a send through `{self.plugin}` could not be read") from None
        except ConnectorError:
            raise
        except TimeoutError:
            raise Uncertain(f"a send through `{self.plugin}` was not answered in time") from None
        except Exception as error:
            raise Uncertain(str(_failed(self.plugin, "perform", error))) from None
        if not isinstance(receipt, str):
            raise Uncertain(f"the plug-in `{self.plugin}` returned no receipt")
        return receipt

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened.

        Raises: Unavailable, RateLimited or Rejected; PluginError.
        """
        try:
            return await self._run("read_back", 2 * self._seconds, self._inner.read_back(effect))
        except (Malformed, Uncertain):
            raise Unavailable(f"the source behind `{self.plugin}` gave no clear answer") from None

    async def check(self) -> Health:
        """Return the health of the channel, whatever happens."""
        try:
            return await self._run("check", CHECK_SECONDS, self._inner.check())
        except (ConnectorError, PluginError) as error:
            return Health(False, str(error), frozenset(map(str, self.capabilities)))

    async def close(self) -> None:
        """Close the plug-in; a failure is not the caller's concern."""
        await _closed(self.plugin, self._inner.close())


class GuardedNotifier:
    """A notifier behind the fence (see :class:`monitor.core.ports.Notifier`).

    Args:
        inner: the plug-in's object.
        plugin: name of the plug-in, for messages.
        seconds: deadline of one message.
    """

    def __init__(self, inner: Notifier, plugin: str, seconds: float = NOTIFY_SECONDS) -> None:
        require_members(plugin, inner, Notifier)
        self.name = inner.name
        self.plugin = plugin
        self.is_idempotent = bool(inner.is_idempotent)
        self._inner = inner
        self._seconds = seconds

    async def send(self, message: StaffMessage) -> None:
        """Carry one message; what is not surely undone is Uncertain.

        Raises: Unavailable, RateLimited, Rejected, Uncertain.
        """
        try:
            await _within(self._seconds, self._inner.send(message))
        except Malformed:
            raise Uncertain(f"the answer to a message through `{self.plugin}` could not be read") from None
        except ConnectorError:
            raise
        except TimeoutError:
            raise Uncertain(f"a message through `{self.plugin}` was not answered in time") from None
        except Exception as error:
            raise Uncertain(str(_failed(self.plugin, "send", error))) from None

    async def close(self) -> None:
        """Close the plug-in; a failure is not the caller's concern."""
        await _closed(self.plugin, self._inner.close())


class GuardedClassifier:
    """A classifier behind the fence (see :class:`monitor.core.ports.Classifier`)."""

    def __init__(self, inner: Classifier, plugin: str) -> None:
        require_members(plugin, inner, Classifier)
        self.name = inner.name
        self.version = inner.version
        self.labels = tuple(inner.labels)
        self.plugin = plugin
        self._inner = inner

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text; raises ClassifierError or PluginError."""
        try:
            readings = self._inner.classify(texts)
        except ClassifierError:
            raise
        except Exception as error:
            raise _failed(self.plugin, "classify", error) from None
        if len(readings) != len(texts):
            raise PluginError(f"the plug-in `{self.plugin}` returned another number of readings than texts")
        return readings


async def fenced(work: Awaitable[T], *passing: type[Exception]) -> T:
    """Wait for a request of our own; what nobody expected becomes a PluginError without its message.

    Args:
        work: the request.
        passing: errors besides ours that the caller knows how to answer.

    Raises: HuiyinError, or one of ``passing``.
    """
    known: tuple[type[Exception], ...] = (HuiyinError, *passing)
    try:
        return await work
    except known:
        raise
    except Exception as error:
        raise PluginError(f"a request failed in a way that nobody expected ({place(error)})") from None


__all__ = [
    "GuardedClassifier",
    "GuardedConnector",
    "GuardedNotifier",
    "fenced",
    "made",
    "members",
    "place",
    "require_members",
]
