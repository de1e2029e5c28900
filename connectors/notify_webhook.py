"""Telling a program of the union by a signed push (Standard Webhooks); it counts the same id once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from connectors._notify_http import Post, encoded, is_address, judged
from connectors._settings import read, refuse, setting
from connectors._signing import webhook_key, webhook_signature
from monitor.core.alerts import StaffMessage
from monitor.core.errors import ConfigError, Rejected
from monitor.core.ports import NotifierConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a notifier of type ``webhook``."""

    url: str = setting("Address that takes the messages; it begins with https://.")
    secret: str = setting(
        "Secret of the signature: whsec_ and the base64 of 24 to 64 random bytes; during a change two, behind a space."
    )
    call_seconds: float = setting("Seconds to wait for an answer.", 15.0)


def notifier(config: NotifierConfig) -> Webhook:
    """Return the notifier of one address; raises ConfigError naming the key and its mend."""
    settings = read(Settings, config)
    if not is_address(settings.url):
        raise refuse(config, "url", "is an address that begins with https:// (http:// only on this machine)")
    if not settings.call_seconds > 0:
        raise refuse(config, "call_seconds", "is a number of seconds above 0")
    try:
        keys = [webhook_key(each) for each in settings.secret.split()]
    except ConfigError:
        keys = []
    if not keys:
        raise refuse(config, "secret", "is whsec_ followed by the base64 of 24 to 64 random bytes")
    return Webhook(config.name, keys, Post(settings.url, settings.call_seconds))


class Webhook:
    """One receiver (see :class:`monitor.core.ports.Notifier`)."""

    is_idempotent = True

    def __init__(
        self, name: str, keys: list[bytes], post: Post, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._keys = keys
        self._post = post
        self._clock = clock

    async def send(self, message: StaffMessage) -> None:
        """Carry one message (see ``Notifier.send``); the same key goes out as the same ``webhook-id``."""
        data = {
            "title": message.title,
            "text": message.text,
            "link": message.link,
            "counts": dict(message.counts),
        }
        body = encoded({"type": "staff.notified", "timestamp": message.at.isoformat(), "data": data})
        stamp = str(int(self._clock()))
        signed = " ".join(webhook_signature(key, message.key, stamp, body) for key in self._keys)
        headers = {"webhook-id": message.key, "webhook-timestamp": stamp, "webhook-signature": signed}
        status, _answer, told = await self._post.send(body, headers)
        if status == 410:
            raise Rejected(
                "the receiver wants no more messages (410): take the notifier out, or mend the address"
            )
        judged(status, told)

    async def close(self) -> None:
        """Do nothing: no connection stays open."""


__all__ = ["Settings", "Webhook", "notifier"]
