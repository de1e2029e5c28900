"""The contract suite itself: a small connector passes it, and each broken promise fails the test that names it."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.core.errors import ConfigError, ConnectorError, Rejected, Unavailable, Uncertain
from monitor.core.model import Broken, Effect, EffectKind, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Connector, Incoming, Request, Response, Route
from monitor.testing import connector_suite as suite
from monitor.testing.desk import Desk

KEY = "k3y-of-the-small-one"


@dataclass
class Source:
    """A place where people say things, and what has gone wrong with the connector to it."""

    fault: str = ""
    rows: list[tuple[str, str | None]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    leaked: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """Settings of the small connector."""

    place: str = field(default="", metadata={"sentence": "Where the small connector listens to people."})


class Small:
    """A connector to a :class:`Source` that breaks one promise, or none."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN, Capability.REPLY, Capability.READ_BACK})
        self._source = source
        self._is = source.fault
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        place = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 9 else 0
        if self._is == "strict cursor" and cursor:
            place = int(cursor)
        if self._is == "forgets":
            place = 0
        if self._is == "skips":
            place = len(self._source.rows)
        while not self._closed.is_set():
            if self._is == "ends" and place:
                return
            while place < len(self._source.rows):
                key, text = self._source.rows[place]
                place += 1
                if (item := self._item(place, key, text)) is not None:
                    yield Incoming((item,), str(place))
            try:
                async with asyncio.timeout(0.01):
                    await self._closed.wait()
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                if self._is != "deaf to cancel":
                    raise
                await asyncio.sleep(4)

    def _item(self, place: int, key: str, text: str | None) -> RawPost | Broken | None:
        if text is None and self._is == "breaks":
            raise KeyError(key)
        if text is None:
            told = (
                "the line 天机不可泄露 cannot be read" if self._is == "quotes" else "the line cannot be read"
            )
            return None if self._is == "drops" else Broken(self.name, "json", told, "天机不可泄露".encode())
        if self._is == "logs":
            logging.getLogger("small").debug("read %s", text)
        return RawPost(self.name, f"{key}-{place}" if self._is == "doubles" else key, text)

    def routes(self) -> Sequence[Route]:
        return (Route(f"/small/{self.name}", handle=self._pushed),)

    async def _pushed(self, request: Request) -> Response:
        given = request.headers.get("X-Proof", "")
        if self._is == "believes":
            good = given.startswith(_proof(request.body)[:8])
        elif self._is == "believes bodies":
            good = hmac.compare_digest(
                given.encode("utf-8", "replace"), _proof(b'{"id": "1", "text": "x"}').encode()
            )
        else:
            good = hmac.compare_digest(given.encode("utf-8", "replace"), _proof(request.body).encode())
        if not good:
            return Response(401)
        try:
            row = json.loads(request.body)
            return Response(202, items=(RawPost(self.name, str(row["id"]), str(row["text"])),))
        except (ValueError, KeyError, TypeError, RecursionError):
            if self._is == "breaks on pushes":
                raise
            return Response(202, items=(Broken(self.name, "json", "the push cannot be read"),))

    async def perform(self, effect: Effect, author: str | None) -> str:
        if effect.kind not in (EffectKind.REPLY, EffectKind.NOTICE) and self._is != "pretends":
            raise Rejected("the small one can only answer")
        if self._is != "lies":
            self._source.done.append(effect.key)
        return effect.key

    async def read_back(self, effect: Effect) -> str | None:
        return effect.key if effect.key in self._source.done else None

    async def check(self) -> Health:
        if self._is == "check raises":
            raise OSError
        able = frozenset() if self._is == "hides" else frozenset(map(str, self.capabilities))
        return Health(True, "" if self._is == "mute" else "everything is well", able)

    async def close(self) -> None:
        if self._is == "leaks" and not self._closed.is_set():
            self._source.leaked.append(asyncio.create_task(asyncio.sleep(5)))
        if self._is == "closes once" and self._closed.is_set():
            raise OSError
        if self._is != "stays open":
            self._closed.set()


def _proof(body: bytes) -> str:
    return hmac.digest(KEY.encode(), body, "sha256").hex()


class Rig(suite.Rig):
    type = "small"
    listens = pushes = True

    def __init__(self, folder: Path, desk: Desk) -> None:
        super().__init__(folder, desk)
        self.source = Source()

    def factory(self) -> Callable[[ChannelConfig], Connector]:
        def connector(config: ChannelConfig) -> Connector:
            for key, value in config.settings.items():
                if key != "place" and self.source.fault != "takes anything":
                    raise ConfigError(f"unknown setting `{key}`; did you mean `place`?")
                if not isinstance(value, str):
                    raise ConfigError(
                        f"`place` is a text, not {value}" if self.source.fault == "shows" else "`place`"
                    )
            return Small(config.name, self.source)

        return connector

    async def say(self, text: str) -> None:
        self.source.rows.append((f"p{len(self.source.rows)}", text))

    async def repeat(self) -> None:
        self.source.rows += list(self.source.rows)

    async def garble(self) -> bool:
        self.source.rows.append(("bad", None))
        return True

    def natives(self) -> Collection[str]:
        return [KEY]

    def pushed(self, body: bytes | None = None) -> Request:
        body = b'{"id": "1", "text": "x"}' if body is None else body
        return Request("POST", f"/small/{self.channel}", {"X-Proof": _proof(body)}, {}, body)

    def proofs(self) -> Collection[str]:
        return ["X-Proof"]

    def happened(self, done: Effect) -> int:
        return self.source.done.count(done.key)


TestSmall = suite.contract(Rig)

BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("doubles", "test_twice_is_once", {}),
    ("forgets", "test_it_goes_on_exactly_after_the_cursor", {}),
    ("skips", "test_it_goes_on_exactly_after_the_cursor", {}),
    ("skips", "test_what_was_not_committed_is_handed_over_again", {}),
    ("strict cursor", "test_a_cursor_that_cannot_be_read_is_no_end", {}),
    ("breaks", "test_what_cannot_be_read_is_put_aside_and_the_stream_goes_on", {}),
    ("drops", "test_what_cannot_be_read_is_put_aside_and_the_stream_goes_on", {}),
    ("quotes", "test_what_cannot_be_read_is_put_aside_and_the_stream_goes_on", {}),
    ("ends", "test_it_goes_on_exactly_after_the_cursor", {}),
    ("logs", "test_no_word_and_no_native_id_is_logged", {}),
    ("believes", "test_no_forged_push_is_taken", {}),
    ("believes bodies", "test_no_forged_push_is_taken", {}),
    ("breaks on pushes", "test_a_genuine_push_that_cannot_be_read_is_put_aside", {}),
    ("pretends", "test_capabilities_are_honest", {"kind": EffectKind.REMOVE}),
    ("lies", "test_capabilities_are_honest", {"kind": EffectKind.REPLY}),
    ("check raises", "test_check_answers_with_words", {}),
    ("mute", "test_check_answers_with_words", {}),
    ("hides", "test_check_answers_with_words", {}),
    ("leaks", "test_close_leaves_nothing_running_and_may_be_called_twice", {}),
    ("closes once", "test_close_leaves_nothing_running_and_may_be_called_twice", {}),
    ("stays open", "test_close_leaves_nothing_running_and_may_be_called_twice", {}),
    ("deaf to cancel", "test_listening_can_be_cancelled_at_any_moment", {}),
    ("takes anything", "test_an_unknown_setting_is_refused_with_the_likeliest_right_one", {}),
    ("shows", "test_a_setting_of_a_wrong_kind_is_named_and_its_value_is_not", {}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "name", "given"), BROKEN, ids=[f"{fault}: {name}" for fault, name, _ in BROKEN]
)
async def test_a_broken_promise_fails_its_test(
    tmp_path: Path,
    fault: str,
    name: str,
    given: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = getattr(TestSmall(), name)
    wanted = {"caplog": caplog, "capfd": capfd}
    fixtures = {key: value for key, value in wanted.items() if key in inspect.signature(test).parameters}
    monkeypatch.setattr(Desk.until, "__defaults__", (0.5,))
    monkeypatch.setattr(Desk, "CLOSE_SECONDS", 0.5)
    desk = Desk()
    await desk.start()
    rig = Rig(tmp_path, desk)
    rig.source.fault = fault
    try:
        with pytest.raises(
            (AssertionError, TimeoutError, OSError, KeyError, ValueError, TypeError, pytest.fail.Exception)
        ):
            await test(rig, **given, **fixtures)
    finally:
        for task in [
            *rig.source.leaked,
            *(t for t in asyncio.all_tasks() if t is not asyncio.current_task()),
        ]:
            task.cancel()
        await desk.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "times", "holds"),
    [
        ("receipt", 1, True),
        ("receipt", 0, False),
        ("receipt", 2, False),
        (Unavailable("x"), 0, True),
        (Unavailable("x"), 1, False),
        (Rejected("x"), 1, False),
        (Uncertain("x"), 1, True),
        (Uncertain("x"), 0, True),
        (Uncertain("x"), 2, False),
    ],
)
async def test_what_is_said_of_an_effect_is_held_against_the_counterpart(
    tmp_path: Path, answer: str | ConnectorError, times: int, holds: bool
) -> None:
    rig = Rig(tmp_path, Desk())
    told = suite.effect(EffectKind.REPLY, "rig")
    rig.source.done += [told.key] * times
    judged = suite.NetworkContract._hold_to_it(rig, Small("rig", rig.source), told, answer)
    if holds:
        await judged
    else:
        with pytest.raises(AssertionError):
            await judged


def test_a_rig_that_says_less_than_its_connector_can_is_told(tmp_path: Path) -> None:
    """A connector with routes whose rig pushes nothing would go untested."""

    class Lazy(Rig):
        pushes = False

    made = suite.contract(Lazy)
    assert not issubclass(made, suite.PushContract)
    test = made().test_it_is_a_connector_and_its_rig_tells_the_truth_about_it
    with pytest.raises(AssertionError, match="a rig that pushes"):
        asyncio.run(test(Lazy(tmp_path, Desk())))
