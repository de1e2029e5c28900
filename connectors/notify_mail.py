"""Telling the staff by mail (SMTP, RFC 5321)."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

from connectors import _smtp
from connectors._mailbox_letter import address_in
from connectors._settings import read, refuse, setting
from monitor.core.alerts import StaffMessage
from monitor.core.ports import NotifierConfig

_PORTS: Final = {"tls": 465, "starttls": 587, "none": 25}
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")
MOST_RECIPIENTS: Final = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a notifier of type ``mail``."""

    host: str = setting("Name of the server for sending (SMTP), e.g. smtp.exmail.qq.com.")
    sender: str = setting("Address from which the letters come.")
    to: tuple[str, ...] = setting("Addresses of the staff who are told.")
    port: int = setting("Port of the server; 0 takes the usual one: 465 with tls, 587 with starttls.", 0)
    security: str = setting("How the connection is protected: tls, starttls or none.", "tls")
    user: str = setting("User name for signing in; empty takes sender.", "")
    password: str = setting("Password or authorisation code; empty when the server wants no sign-in.", "")
    name: str = setting("Name that stands beside the sender's address.", "")
    call_seconds: float = setting("Seconds to wait for an answer of the server.", 30.0)
    trusted_ca: str = setting(
        "File with the certificate of the university's own authority, if it has one.", ""
    )


def notifier(config: NotifierConfig) -> Mail:
    """Return the notifier of one server; raises ConfigError naming the key and its mend."""
    settings = read(Settings, config)
    if not settings.host.strip():
        raise refuse(config, "host", "is empty")
    if settings.security not in _smtp.SECURITIES:
        raise refuse(config, "security", "is tls, starttls or none")
    if settings.security == "none" and settings.host not in _LOCAL:
        raise refuse(
            config, "security", "is none only on this machine: passwords must not travel in the clear"
        )
    if not 0 <= settings.port <= 65_535:
        raise refuse(config, "port", "is a port between 1 and 65535, or 0 for the usual one")
    if not settings.call_seconds > 0:
        raise refuse(config, "call_seconds", "is a number of seconds above 0")
    if not address_in(settings.sender):
        raise refuse(config, "sender", "is a whole address, e.g. huiyin@example.edu.cn")
    if not 0 < len(settings.to) <= MOST_RECIPIENTS or not all(map(address_in, settings.to)):
        raise refuse(config, "to", f"holds 1 to {MOST_RECIPIENTS} whole addresses")
    try:
        context = _smtp.context_of(settings.trusted_ca)
    except (OSError, ssl.SSLError):
        raise refuse(config, "trusted_ca", "names no file with certificates (PEM) that can be read") from None
    return Mail(config.name, settings, context)


class Mail:
    """One list of recipients (see :class:`monitor.core.ports.Notifier`)."""

    is_idempotent = False

    def __init__(self, name: str, settings: Settings, context: ssl.SSLContext) -> None:
        self.name = name
        self._settings = settings
        self._sender = address_in(settings.sender)
        self._to = tuple(dict.fromkeys(map(address_in, settings.to)))
        self._door = _smtp.Door(
            settings.host,
            settings.port or _PORTS[settings.security],
            settings.security,
            (settings.user or self._sender) if settings.password else "",
            settings.password,
            settings.call_seconds,
            context,
            self._sender.rpartition("@")[2],
        )

    async def send(self, message: StaffMessage) -> None:
        """Carry one message to all recipients or to none (see ``Notifier.send``)."""
        digest = hashlib.sha256(message.key.encode()).hexdigest()[:32]
        headers = {
            "From": _smtp.mailbox(self._settings.name, self._sender),
            "To": ",".join(self._to),
            "Subject": message.title,
            "Date": format_datetime(message.at),
            "Message-ID": f"<{digest}.huiyin-notice@{self._sender.rpartition('@')[2]}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        }
        text = "\n\n".join(filter(None, (message.text, message.link))) + "\n"
        await _smtp.deliver(self._door, self._sender, self._to, _smtp.compose(headers, text))

    async def close(self) -> None:
        """Do nothing: no connection stays open."""


__all__ = ["Mail", "Settings", "notifier"]
