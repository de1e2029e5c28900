"""Sending a letter by SMTP (RFC 5321): what surely left, what surely did not, and what nobody knows.

Nothing that the server says leaves this module in an error: it may hold names.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from pathlib import Path
from typing import Final

import aiosmtplib

from monitor.core.errors import Rejected, Unavailable, Uncertain

SECURITIES: Final = ("tls", "starttls", "none")


class SignInRefused(Unavailable):
    """The server does not accept user and password."""


class Untrusted(Unavailable):
    """The certificate of the server cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Door:
    """How the server is reached; ``security`` is ``tls``, ``starttls`` or ``none``; no user means no sign-in."""

    host: str
    port: int
    security: str
    user: str
    password: str
    seconds: float
    context: ssl.SSLContext | None = None
    greeting: str = "localhost"


def context_of(trusted_ca: str) -> ssl.SSLContext:
    """Return the rules by which certificates are trusted: the system's, or those of one file.

    Raises: OSError, ssl.SSLError when the file cannot be read.
    """
    return ssl.create_default_context(cafile=str(Path(trusted_ca)) if trusted_ca else None)


@asynccontextmanager
async def signed_in(door: Door) -> AsyncIterator[aiosmtplib.SMTP]:
    """Connect and sign in for a block; nothing was sent when this raises Unavailable, SignInRefused, Untrusted."""
    smtp = aiosmtplib.SMTP(
        hostname=door.host,
        port=door.port,
        timeout=door.seconds,
        use_tls=door.security == "tls",
        start_tls=door.security == "starttls",
        tls_context=door.context if door.security != "none" else None,
        local_hostname=door.greeting,
    )
    try:
        await _connect(smtp, door)
        yield smtp
    finally:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            if smtp.is_connected:
                await smtp.quit(timeout=min(door.seconds, 2.0))
        smtp.close()


async def _connect(smtp: aiosmtplib.SMTP, door: Door) -> None:
    try:
        await smtp.connect()
        if door.user:
            await smtp.login(door.user, door.password)
    except aiosmtplib.SMTPAuthenticationError:
        raise SignInRefused("the mail server does not accept user and password") from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        if _is_distrust(error):
            raise Untrusted("the certificate of the mail server cannot be trusted") from None
        raise Unavailable("the mail server for sending does not answer") from None


def _is_distrust(error: BaseException) -> bool:
    seen: BaseException | None = error
    for _depth in range(5):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen and (seen.__cause__ or seen.__context__)
    return False


async def deliver(
    door: Door,
    sender: str,
    recipients: Sequence[str],
    letter: bytes,
    ready: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Hand one letter to the server for all recipients or for none.

    Args:
        door: how the server is reached.
        sender: address of the envelope.
        recipients: addresses that get it.
        letter: as it leaves.
        ready: called when the server has taken sender and recipients, just before the letter itself.

    Raises: Unavailable (surely not taken; try again), Rejected (surely not taken; trying again will not help),
        Uncertain (the letter went out and the answer to it did not come).
    """
    async with signed_in(door) as smtp:
        await _envelope(smtp, sender, recipients)
        if ready is not None:
            await ready()
        try:
            await smtp.data(letter)
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error.code) from None
        except (aiosmtplib.SMTPException, OSError):
            raise Uncertain("the letter was sent and the mail server did not say that it took it") from None


async def _envelope(smtp: aiosmtplib.SMTP, sender: str, recipients: Sequence[str]) -> None:
    try:
        await smtp.mail(sender)
        for each in recipients:
            await smtp.rcpt(each)
    except aiosmtplib.SMTPResponseException as error:
        raise _refused(error.code) from None
    except (aiosmtplib.SMTPException, OSError, ValueError):
        raise Unavailable("the mail server for sending broke off before the letter") from None


def _refused(code: int) -> Unavailable | Rejected:
    """Return what a code means: 4xx may pass later (RFC 5321 4.2.1), 5xx will not."""
    if 500 <= code < 600:
        return Rejected(
            f"the mail server refused the letter ({code}): check the address and the server's rules"
        )
    return Unavailable(f"the mail server does not take the letter now ({code})")


def mailbox(name: str, address: str) -> str:
    """Return a name and an address as a header holds them."""
    return formataddr((" ".join(name.split()), address))


def compose(headers: Mapping[str, str], text: str) -> bytes:
    """Return a letter of plain words.

    Args:
        headers: name -> value; ``Subject`` is in words, ``References`` is folded between its ids and never inside one,
            for what is encoded there threads no more. Everything else is ASCII on one line.
        text: the body.
    """
    lines = [f"{name}: {_folded(name, value)}" for name, value in headers.items() if value]
    lines += [
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
    ]
    body = base64.encodebytes(text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace"))
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n\r\n" + body.replace(b"\n", b"\r\n")


def _folded(name: str, value: str) -> str:
    flat = " ".join(value.split())
    if name == "Subject":
        return Header(flat, header_name=name, maxlinelen=75).encode(linesep="\r\n")
    return flat.replace(" ", "\r\n ") if name == "References" else flat


__all__ = [
    "SECURITIES",
    "Door",
    "SignInRefused",
    "Untrusted",
    "compose",
    "context_of",
    "deliver",
    "mailbox",
    "signed_in",
]
