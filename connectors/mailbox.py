"""The union's letter box: letters are read by IMAP, and approved answers leave by SMTP in the thread of the letter.

Letters stay in the box as they are, unread ones unread. Source: RFC 3501, 5321, 5322, 3834.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from connectors import _mailbox_health as health
from connectors import _smtp
from connectors._limits import broken
from connectors._mailbox_effects import Box, Hand, handle_of
from connectors._mailbox_imap import LARGEST, Door, Line, Stored, line_to
from connectors._mailbox_letter import address_in, read_letter
from connectors._settings import read, refuse, setting
from monitor.core.errors import ConnectorError, Malformed
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route

BATCH: Final = 20
"""Letters that are handed over together."""
_DEFAULT_PORTS: Final = {"tls": (993, 465), "starttls": (143, 587), "none": (143, 25)}
Items = tuple[RawPost | Broken, ...]
_LOCAL: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``mailbox``."""

    host: str = setting("Name of the server for reading (IMAP), e.g. imap.exmail.qq.com.")
    user: str = setting("User name for reading; mostly the whole address of the box.")
    password: str = setting("Password for reading; with most Chinese providers an authorisation code.")
    port: int = setting("Port for reading; 0 takes the usual one: 993 with tls, else 143.", 0)
    security: str = setting("How the connection for reading is protected: tls, starttls or none.", "tls")
    folder: str = setting("Folder whose letters are read.", "INBOX")
    address: str = setting("Address of the box, from which answers come; empty takes user.", "")
    name: str = setting("Name that stands beside the address in answers.", "")
    smtp_host: str = setting(
        "Name of the server for sending (SMTP); empty means that nothing is answered.", ""
    )
    smtp_port: int = setting("Port for sending; 0 takes the usual one: 465 with tls, 587 with starttls.", 0)
    smtp_security: str = setting("How the connection for sending is protected: tls, starttls or none.", "tls")
    smtp_user: str = setting("User name for sending; empty takes user.", "")
    smtp_password: str = setting("Password for sending; empty takes password.", "")
    smtp_sign_in: bool = setting(
        "Whether to sign in for sending; a relay inside the campus may want none.", True
    )
    sent_folder: str = setting("Folder of sent letters; empty takes the one that the server marks so.", "")
    keep_sent: bool = setting(
        "Whether to put a copy of each answer there; without one nobody can look whether it left.", True
    )
    first_days: int = setting("Days back from which letters are read on the first connection.", 30)
    poll_seconds: float = setting("Seconds between two looks into the box.", 60.0)
    call_seconds: float = setting("Seconds to wait for an answer of a server.", 10.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 300.0)
    trusted_ca: str = setting(
        "File with the certificate of the university's own authority, if it has one.", ""
    )


def connector(config: ChannelConfig) -> Mailbox:
    """Return the connector of one box.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    for key in ("host", "user", "password", "folder"):
        if not getattr(settings, key).strip():
            raise refuse(config, key, "is empty")
    for key, host in (("security", settings.host), ("smtp_security", settings.smtp_host)):
        value = getattr(settings, key)
        if value not in _smtp.SECURITIES:
            raise refuse(config, key, "is tls, starttls or none")
        if value == "none" and host and host not in _LOCAL:
            raise refuse(config, key, "is none only on this machine: passwords must not travel in the clear")
    for key in ("port", "smtp_port"):
        if not 0 <= getattr(settings, key) <= 65_535:
            raise refuse(config, key, "is a port between 1 and 65535, or 0 for the usual one")
    for key in ("poll_seconds", "call_seconds", "retry_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    if not 0 <= settings.first_days <= 36_500:
        raise refuse(config, "first_days", "is a number of days from 0 to 36500")
    if not address_in(settings.address or settings.user):
        raise refuse(config, "address", "is the whole address of the box, e.g. gonghui@example.edu.cn")
    try:
        context = _smtp.context_of(settings.trusted_ca)
    except (OSError, ssl.SSLError):
        raise refuse(config, "trusted_ca", "names no file with certificates (PEM) that can be read") from None
    return Mailbox(config.name, settings, context)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading stands: everything up to ``uid`` was read, of what came on ``since`` or later."""

    validity: int = 0
    uid: int = 0
    since: str = ""

    def __str__(self) -> str:
        return json.dumps({"v": self.validity, "u": self.uid, "since": self.since})

    @classmethod
    def of(cls, cursor: str | None, first_days: int) -> _Place:
        """Return the place that a cursor names, or the beginning where it names none."""
        begin = (datetime.now(UTC) - timedelta(days=first_days)).date().isoformat()
        try:
            told = json.loads(cursor or "")
            made = cls(
                int(told["v"]), int(told["u"]), datetime.fromisoformat(told["since"]).date().isoformat()
            )
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return cls(since=begin)
        is_good = 0 <= made.validity < 2**32 and 0 <= made.uid < 2**32
        return made if is_good else cls(since=begin)


class Mailbox:
    """One letter box (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings, context: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._address = address_in(settings.address or settings.user)
        self._imap, self._smtp = _doors(settings, context, self._address)
        box = Box(self._address, settings.name, settings.folder, settings.sent_folder, settings.keep_sent)
        self._hand = Hand(box, self._imap, self._smtp)
        answers = frozenset({Capability.REPLY, Capability.READ_BACK})
        self.capabilities = frozenset({Capability.LISTEN}) | (answers if self._smtp else frozenset())
        self._closed = asyncio.Event()
        self._lines: set[Line] = set()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield letters after ``cursor`` until closed; reconnects with growing pauses."""
        place, failures = _Place.of(cursor, self._settings.first_days), 0
        while not self._closed.is_set():
            try:
                async with line_to(self._imap, self._lines) as line:
                    while not self._closed.is_set():
                        async with aclosing(self._new(line, place)) as batches:
                            async for items, after in batches:
                                place = after
                                yield Incoming(items, str(place))
                        failures = 0
                        await self._wait(self._settings.poll_seconds)
            except ConnectorError:
                failures += 1
                await self._wait(min(self._settings.retry_seconds, 2.0 ** min(failures, 16) / 2))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)

    async def _new(self, line: Line, place: _Place) -> AsyncGenerator[tuple[Items, _Place], None]:
        """Yield what is new after ``place``, with the place after it.

        Where the server counts anew (UIDVALIDITY changed) the letters are read again: they are known by their
        Message-ID, and twice is once. Raises Unavailable.
        """
        validity, _count = await line.do(line.session.look, self._settings.folder)
        is_same = place.validity == validity
        if is_same:
            uids = await line.do(line.session.after, place.uid)
        else:
            begin = datetime.fromisoformat(place.since).replace(tzinfo=UTC)
            uids = await line.do(line.session.since, begin)
        for start in range(0, len(uids), BATCH):
            group = uids[start : start + BATCH]
            stored = await line.do(line.session.described, group)
            items = [item for each in stored if (item := await self._item(line, validity, each)) is not None]
            yield tuple(items), replace(place, validity=validity, uid=group[-1])
        if not is_same and not uids:
            last = await line.do(line.session.search, "ALL")
            yield (), replace(place, validity=validity, uid=last[-1] if last else 0)

    async def _item(self, line: Line, validity: int, stored: Stored) -> RawPost | Broken | None:
        data = await line.do(line.session.letter, stored)
        if data is None:
            return None
        try:
            head, post = await asyncio.to_thread(read_letter, self.name, data, self._address, stored.arrived)
        except Malformed as error:
            told = _cut_short(error) if stored.size > LARGEST else error
            self.counts[f"broken.{told.reason}"] += 1
            return broken(self.name, told, data, f"UID {stored.uid}")
        if post is None:
            self.counts[f"ignored.{head.kind}"] += 1
            return None
        self.counts["read"] += 1
        return replace(post, handle=handle_of(validity, stored.uid, head.key))

    def routes(self) -> Sequence[Route]:
        """Return nothing: letters are fetched."""
        return ()

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Answer a letter (see ``Connector.perform``); its address stands in the letter itself."""
        return await self._hand.perform(effect)

    async def read_back(self, effect: Effect) -> str | None:
        """Look into the folder of sent letters (see ``Connector.read_back``)."""
        return await self._hand.read_back(effect)

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Sign in to both servers, open the folder, and say what works."""
        (reads, one), (sends, other) = await asyncio.gather(self._try_reading(), self._try_sending())
        told = " ".join(filter(None, (one, other, health.left_out(self.counts))))
        names = frozenset(str(each) for each in self.capabilities)
        detail = {key: str(count) for key, count in sorted(self.counts.items())}
        return Health(reads and sends, told, names, detail)

    async def _try_reading(self) -> tuple[bool, str]:
        try:
            async with line_to(self._imap) as line:
                _validity, count = await line.do(line.session.look, self._settings.folder)
            return True, health.reading(count)
        except ConnectorError as error:
            return False, health.reading_trouble(error)

    async def _try_sending(self) -> tuple[bool, str]:
        if self._smtp is None:
            return True, health.no_sending()
        try:
            async with _smtp.signed_in(self._smtp):
                return True, health.sending()
        except ConnectorError as error:
            return False, health.sending_trouble(error)

    async def close(self) -> None:
        """Stop looking and break the connection; may be called twice."""
        self._closed.set()
        for line in list(self._lines):
            line.session.kill()


def _doors(
    settings: Settings, context: ssl.SSLContext | None, address: str
) -> tuple[Door, _smtp.Door | None]:
    reading, sending = _DEFAULT_PORTS[settings.security][0], _DEFAULT_PORTS[settings.smtp_security][1]
    imap = Door(
        settings.host,
        settings.port or reading,
        settings.security,
        settings.user,
        settings.password,
        settings.call_seconds,
        context,
    )
    if not settings.smtp_host:
        return imap, None
    smtp = _smtp.Door(
        settings.smtp_host,
        settings.smtp_port or sending,
        settings.smtp_security,
        (settings.smtp_user or settings.user) if settings.smtp_sign_in else "",
        settings.smtp_password or settings.password,
        settings.call_seconds,
        context,
        address.rpartition("@")[2],
    )
    return imap, smtp


def _cut_short(error: Malformed) -> Malformed:
    """Return why a letter of which only the beginning was read cannot be used."""
    if error.reason != "empty":
        return error
    return Malformed(f"the letter is larger than {LARGEST} bytes and begins with no words", "too_large")


__all__ = ["Mailbox", "Settings", "connector"]
