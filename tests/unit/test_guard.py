"""The fence around plug-ins: deadlines, errors of ours only, and not a word of what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.adapters import guard
from monitor.adapters.guard import GuardedClassifier, GuardedConnector
from monitor.core.errors import (
    ClassifierError,
    ConfigError,
    Malformed,
    PluginError,
    RateLimited,
    Rejected,
    Unavailable,
    Uncertain,
)
from monitor.core.model import Effect, EffectKind, EffectState, Health, Reading
from monitor.core.ports import Capability, Incoming, Request, Response, Route
from monitor.testing.builders import START, raw

WORDS = "不想让别人看到的话"
EFFECT = Effect(1, "k", EffectKind.REPLY, "qq", 1, EffectState.SENDING, START, START, text=WORDS)


class Scripted:
    """A connector that does what ``act`` says: return it, raise it, or hang."""

    def __init__(self, act: Any = "receipt") -> None:
        self.name = "qq"
        self.capabilities = frozenset({Capability.REPLY})
        self.act = act
        self.closed = False

    async def _do(self) -> Any:
        if self.act == "hang":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)  # does not stop at once when told to
                raise
        if isinstance(self.act, BaseException):
            raise self.act
        return self.act

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        try:
            yield Incoming((raw("1", WORDS),), "1", self._do)
            yield await self._do()
        finally:
            self.closed = True

    def routes(self) -> Sequence[Route]:
        async def handle(_request: Request) -> Response:
            answer: Response = await self._do()
            return answer

        return [Route("/x", handle=handle, accept=lambda _h, _q: 1 // 0)]

    async def perform(self, effect: Effect, author: str | None) -> Any:
        return await self._do()

    async def read_back(self, effect: Effect) -> Any:
        return await self._do()

    async def check(self) -> Any:
        return await self._do()

    async def close(self) -> None:
        await self._do()


def fenced(act: Any, seconds: float = 0.1) -> GuardedConnector:
    return GuardedConnector(Scripted(act), "onebot", seconds)


UNKNOWN = (KeyError(WORDS), ValueError(WORDS), RuntimeError(WORDS), TimeoutError(WORDS), OSError(WORDS))


@pytest.mark.asyncio
@pytest.mark.parametrize("act", [*UNKNOWN, "hang", 7, None, Malformed("no"), PluginError("no")])
async def test_a_send_of_unknown_outcome_is_uncertain(act: Any) -> None:
    with pytest.raises(Uncertain) as caught:
        await fenced(act).perform(EFFECT, None)
    assert WORDS not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error",
    [Unavailable("a"), Rejected("a"), RateLimited("a", START + timedelta(minutes=1)), Uncertain("a")],
)
async def test_what_a_connector_declares_passes(error: Exception) -> None:
    with pytest.raises(type(error)):
        await fenced(error).perform(EFFECT, None)


@pytest.mark.asyncio
async def test_a_send_that_hangs_ends_at_its_deadline() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Uncertain, match="not answered in time"):
        await fenced("hang", 0.05).perform(EFFECT, None)
    assert asyncio.get_running_loop().time() - begun < 0.5
    await asyncio.sleep(0.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", UNKNOWN[:3])
async def test_unknown_errors_elsewhere_name_the_plugin_and_the_place_only(error: Exception) -> None:
    connector = fenced(error)
    (route,) = connector.routes()
    assert route.handle is not None
    assert route.accept is not None
    calls = [connector.read_back(EFFECT), route.handle(Request("POST", "/x", {}, {}, b""))]
    for call in calls:
        with pytest.raises(
            PluginError, match=rf"`onebot` failed in .*{type(error).__name__} at test_guard"
        ) as caught:
            await call
        assert WORDS not in str(caught.value)
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        route.accept({}, {})


@pytest.mark.asyncio
async def test_a_read_back_without_clear_answer_is_asked_again() -> None:
    for act in (Uncertain("x"), Malformed("x"), "hang"):
        with pytest.raises(Unavailable):
            await fenced(act).read_back(EFFECT)


@pytest.mark.asyncio
async def test_a_check_always_answers() -> None:
    assert not (await fenced(KeyError(WORDS)).check()).ok
    assert not (await fenced(Unavailable("the source is away")).check()).ok
    assert (await fenced(Health(True, "fine")).check()).ok


@pytest.mark.asyncio
async def test_reading_ends_with_our_errors_and_closes_the_stream() -> None:
    for act, expected in (
        (KeyError(WORDS), PluginError),
        (Unavailable("x"), Unavailable),
        (None, PluginError),
    ):
        inner = Scripted(act)
        stream = GuardedConnector(inner, "onebot", 0.1).posts(None)
        await anext(stream)
        with pytest.raises(expected) as caught:
            await anext(stream)
        assert WORDS not in str(caught.value)
        assert inner.closed


@pytest.mark.asyncio
async def test_an_acknowledgement_stands_behind_the_fence_too() -> None:
    stream = fenced(KeyError(WORDS)).posts(None)
    batch = await anext(stream)
    assert batch.ack is not None
    with pytest.raises(PluginError):
        await batch.ack()
    await stream.aclose()


@pytest.mark.asyncio
async def test_closing_never_fails_and_is_told_without_words() -> None:
    with capture_logs() as told:
        await fenced(KeyError(WORDS)).close()
    assert [(one["event"], one["log_level"]) for one in told] == [("close_failed", "warning")]
    assert WORDS not in str(told)


@pytest.mark.asyncio
async def test_cancelling_the_caller_cancels_the_plugin() -> None:
    task = asyncio.create_task(fenced("hang", 30).perform(EFFECT, None))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)


def test_an_object_that_lacks_a_member_is_refused_by_name() -> None:
    class Half:
        name = "half"
        capabilities: frozenset[Capability] = frozenset()

        def posts(self, cursor: str | None) -> None: ...

    with pytest.raises(
        PluginError, match="`half` is no Connector: it lacks routes, perform, read_back, check, close"
    ):
        GuardedConnector(Half(), "half", 1.0)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="is no Classifier: it lacks version"):
        GuardedClassifier(Half(), "half")  # type: ignore[arg-type]


def test_a_factory_may_refuse_its_settings_and_nothing_else() -> None:
    def refuses(_config: object) -> None:
        raise ConfigError("wrong key")

    def breaks(_config: object) -> None:
        raise KeyError(WORDS)

    with pytest.raises(ConfigError, match="wrong key"):
        guard.made("x", refuses, None)
    with pytest.raises(PluginError, match="KeyError at test_guard") as caught:
        guard.made("x", breaks, None)
    assert WORDS not in str(caught.value)


class Reader:
    """A classifier that does what ``act`` says."""

    def __init__(self, act: Any) -> None:
        self.name, self.version, self.labels, self.act = "fast", "1", ("spam",), act

    def classify(self, texts: Sequence[str]) -> Any:
        if isinstance(self.act, BaseException):
            raise self.act
        return self.act


def test_a_classifier_fails_only_in_ways_we_know() -> None:
    good = [Reading((), "fast", {})]
    assert GuardedClassifier(Reader(good), "fast").classify(["a"]) == good
    with pytest.raises(ClassifierError):
        GuardedClassifier(Reader(ClassifierError("x")), "fast").classify(["a"])
    for act in (KeyError(WORDS), [], MemoryError(WORDS)):
        with pytest.raises(PluginError) as caught:
            GuardedClassifier(Reader(act), "fast").classify([WORDS])
        assert WORDS not in str(caught.value)
