"""A signed webhook: programs of the union push posts to us (Standard Webhooks 1.0).

``POST /v1/channels/NAME/posts`` takes one post or a list; nothing is acknowledged before it is stored. A body whose
signature is not right is never stored; one that is signed and cannot be read goes to the quarantine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors._limits import MAX_ITEM, broken, decode_json
from connectors._posts import read_post
from connectors._settings import read, refuse, setting
from connectors._signing import header, webhook_key, webhook_signed
from monitor.core.errors import ConfigError, Malformed, Rejected
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route
from monitor.words import _

TOLERANCE: Final = 300.0
"""Seconds by which the sender's clock may differ from ours (Standard Webhooks, verifying timestamps)."""

MOST: Final = 1_000
"""Most posts of one request."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``webhook``."""

    secrets: tuple[str, ...] = setting(
        "Signing secrets (whsec_...), the newest first; several are valid at once while they are changed.",
        made="whsec",
    )


def connector(config: ChannelConfig) -> Webhook:
    """Return the connector of one pushed channel.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.secrets:
        raise refuse(
            config, "secrets", "is empty: make one secret of 32 random bytes and give it to the sender"
        )
    try:
        keys = [webhook_key(secret) for secret in settings.secrets]
    except ConfigError as error:
        raise refuse(config, "secrets", f"holds something else: {error}") from None
    return Webhook(config.name, keys)


class Webhook:
    """One pushed channel (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self._keys = tuple(keys)
        self._clock = clock
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:  # noqa: ARG002
        """Yield nothing until closed: posts come through the route."""
        await self._closed.wait()
        nothing: tuple[Incoming, ...] = ()
        for batch in nothing:
            yield batch

    def routes(self) -> Sequence[Route]:
        """Return the one path that senders push to."""
        return (Route(f"/v1/channels/{self.name}/posts", handle=self._pushed),)

    async def _pushed(self, request: Request) -> Response:
        if request.method != "POST":
            return _problem("method", "push posts with POST", Allow="POST")
        if self._closed.is_set():
            return _problem("closed", "send it again in a moment")
        if not self._is_signed(request):
            told = (
                "sign `id.timestamp.body` as Standard Webhooks says, with a clock that is right to 5 minutes"
            )
            return _problem("signature", told)
        if len(request.body) > MAX_ITEM:
            return _problem("too_large", f"a request has at most {MAX_ITEM} bytes; send several")
        try:
            rows = _rows(request.body)
        except Malformed as error:
            return replace(_problem("body", str(error)), items=(broken(self.name, error, request.body),))
        return Response(202, items=tuple(self._item(row, place) for place, row in enumerate(rows, 1)))

    def _is_signed(self, request: Request) -> bool:
        stamp = header(request.headers, "webhook-timestamp")
        in_time = stamp.isascii() and stamp.isdigit() and len(stamp) <= 12
        in_time = in_time and abs(self._clock() - int(stamp)) <= TOLERANCE
        signed = webhook_signed(self._keys, request.headers, request.body)
        return signed and in_time and bool(header(request.headers, "webhook-id"))

    def _item(self, row: Any, place: int) -> RawPost | Broken:
        try:
            return read_post(self.name, row)
        except Malformed as error:
            return broken(self.name, error, json.dumps(row, ensure_ascii=False, default=str), str(place))

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Refuse: a webhook has no way back."""
        raise Rejected("a webhook channel only listens: it has no way to answer")

    async def read_back(self, effect: Effect) -> str | None:  # noqa: ARG002
        """Refuse, as :meth:`perform` does."""
        raise Rejected("a webhook channel only listens: nothing is ever sent there")

    async def check(self) -> Health:
        """Say what the sender has to know."""
        words = _("等待推送：POST /v1/channels/{name}/posts，签名密钥 {n} 个有效。")
        told = words.format(name=self.name, n=len(self._keys))
        return Health(True, told, frozenset(map(str, self.capabilities)))

    async def close(self) -> None:
        """Stop; may be called twice."""
        self._closed.set()


def _rows(body: bytes) -> list[Any]:
    value = decode_json(body)
    rows = value if isinstance(value, list) else [value]
    if not rows or len(rows) > MOST:
        raise Malformed(f"a request holds 1 to {MOST} posts", "count")
    return rows


_PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "method": (405, "This path does not take this method"),
    "closed": (503, "The channel is closing"),
    "signature": (401, "The signature, its time or its id is missing or wrong"),
    "too_large": (413, "The body is too large"),
    "body": (400, "The body is signed and cannot be read; it was put aside for a person to look at"),
}


def _problem(code: str, detail: str, **headers: str) -> Response:
    """Return a problem document (RFC 9457) with a stable type."""
    status, title = _PROBLEMS[code]
    told = {"type": f"urn:huiyin:webhook.{code}", "title": title, "status": status, "detail": detail}
    return Response(
        status, json.dumps(told).encode(), {"Content-Type": "application/problem+json", **headers}
    )
