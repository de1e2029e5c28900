"""Pushes: nobody but the counterpart can bring anything in through a route."""

from __future__ import annotations

import dataclasses
import inspect
import random
import sys
from collections.abc import Mapping
from typing import Final, cast

from monitor.core.model import Broken, RawPost
from monitor.core.ports import Request, Response
from monitor.testing.rig import Rig, within

_GARBAGE: Final = (
    b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"\x00" * 64, b"[" * 100_000, b"<xml>", b'{"a":1e999}',
    b'{"id":' + b"9" * 5_000 + b"}", b"a=1&b=2", b"\xef\xbb\xbf{}",
)  # fmt: skip


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
            return cast(Response, await within(rig, route.handle(request)))
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


__all__ = ["PushContract"]
