"""IMAP4rev1 (RFC 3501) with the standard library: one connection in a thread, with a limit of time and size.

Nothing that the server says leaves this module in an error: it may hold names.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import imaplib
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, TypeVar

from monitor.core.errors import Rejected, Unavailable

LARGEST: Final = 5 * 1024 * 1024
"""Largest letter that is fetched whole, in bytes; of a larger one the beginning is read."""
BEGINNING: Final = 512 * 1024
MOST_UIDS: Final = 1_000_000

_SENT_NAMES: Final = (
    "sent",
    "sent messages",
    "sent items",
    "sent mail",
    "已发送",
    "已发送邮件",
    "已发邮件",
    "已发件箱",
)
_LISTED: Final = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (?P<name>.+)', re.IGNORECASE)
_SIZE: Final = re.compile(rb"RFC822\.SIZE (\d{1,15})")
_DATE: Final = re.compile(rb'INTERNALDATE "[^"]{1,40}"')
_UID: Final = re.compile(rb"UID (\d{1,10})")
_FLAGS: Final = re.compile(rb"FLAGS \(([^)]*)\)")
_STARTS: Final = re.compile(rb"\d{1,10} \(")
_MESSAGE_ID: Final = re.compile(rb"message-id\s*:\s*(<[^<>\s]{1,900}>)", re.IGNORECASE)
P = ParamSpec("P")
T = TypeVar("T")


class SignInRefused(Unavailable):
    """The server does not accept user and password, or wants encryption first."""


class NoFolder(Unavailable):
    """There is no such folder."""


class Untrusted(Unavailable):
    """The certificate of the server cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Door:
    """How the server is reached; ``security`` is ``tls``, ``starttls`` or ``none``."""

    host: str
    port: int
    security: str
    user: str
    password: str
    seconds: float
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server says of one letter."""

    uid: int
    size: int
    arrived: datetime | None


class _Wire(imaplib.IMAP4):
    """imaplib that tells its socket before it waits, and refuses endless literals."""

    def __init__(self, door: Door, holder: list[socket.socket]) -> None:
        self._door, self._holder = door, holder
        super().__init__(door.host, door.port, door.seconds)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        door = self._door
        made = socket.create_connection((door.host, door.port), timeout)
        self._holder[:] = [made]
        if door.security != "tls" or door.context is None:
            return made
        wrapped = door.context.wrap_socket(made, server_hostname=door.host, do_handshake_on_connect=False)
        self._holder[:] = [wrapped]
        wrapped.do_handshake()
        return wrapped

    def read(self, size: int) -> bytes:
        if size > LARGEST + 65_536:
            raise self.abort("a literal is too long")
        return super().read(size)


class Session:
    """One signed-in connection; every method blocks."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._holder: list[socket.socket] = []
        self._imap: _Wire | None = None

    def kill(self) -> None:
        """Break the connection from another thread: whatever waits for it ends at once."""
        for each in self._holder:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def open(self) -> None:
        """Connect and sign in. Raises Unavailable, SignInRefused."""
        imap = self._imap = _Wire(self._door, self._holder)
        if self._door.security == "starttls":
            imap.starttls(self._door.context)
            self._holder[:] = [imap.sock]
        try:
            self._sign_in(imap)
        except imap.abort:
            raise
        except imap.error:
            raise SignInRefused("the mail server does not accept user and password") from None
        if "ID" in imap.capabilities:  # some providers refuse to open a folder before it (RFC 2971)
            imap.xatom("ID", '("name" "huiyin")')

    def _sign_in(self, imap: _Wire) -> None:
        user, password = self._door.user, self._door.password
        if (user + password).isascii():
            imap.login(user, password)
        else:
            told = f"\0{user}\0{password}".encode()
            imap.authenticate("PLAIN", lambda _challenge: told)

    @property
    def _open(self) -> _Wire:
        assert self._imap is not None
        return self._imap

    def close(self) -> None:
        """Sign out and close; never fails."""
        if self._imap is not None:
            with contextlib.suppress(imaplib.IMAP4.error, OSError, ValueError):
                self._imap.logout()
            with contextlib.suppress(OSError, ValueError):
                self._imap.shutdown()
            self._imap = None
        for each in self._holder:
            each.close()
        self._holder.clear()

    # --- reading -------------------------------------------------------------------------------------

    def look(self, folder: str, *, write: bool = False) -> tuple[int, int]:
        """Open a folder, for reading only unless told otherwise; returns (UIDVALIDITY, number of letters)."""
        said, data = self._open.select(quoted(folder), readonly=not write)
        if said != "OK":
            raise NoFolder("the mail server has no such folder, or does not open it")
        _name, validity = self._open.response("UIDVALIDITY")
        return _number(validity), _number(data)

    def search(self, *criteria: str) -> list[int]:
        """Return the UIDs that fit, in their order."""
        said, data = self._open.uid("SEARCH", *criteria)
        if said != "OK":
            raise Unavailable("the mail server does not search")
        found = {int(word) for line in data if line for word in line.split() if word.isdigit()}
        return sorted(found)[-MOST_UIDS:]

    def after(self, uid: int) -> list[int]:
        """Return the UIDs above ``uid``: ``n:*`` names the last letter even when it is below n."""
        return [each for each in self.search("UID", f"{uid + 1}:*") if each > uid]

    def since(self, day: datetime) -> list[int]:
        """Return the UIDs of the letters that came on ``day`` or later."""
        return self.search("SINCE", imaplib.Time2Internaldate(day).strip('"').split(" ")[0].strip())

    def described(self, uids: Sequence[int]) -> list[Stored]:
        """Return size and time of arrival of letters, in the order of ``uids``; letters that are gone are left out."""
        found: dict[int, Stored] = {}
        for line, _literal in self._fetch(uids, "(UID RFC822.SIZE INTERNALDATE)"):
            uid, size = _UID.search(line), _SIZE.search(line)
            if uid and size:
                found[int(uid[1])] = Stored(int(uid[1]), int(size[1]), _arrived(line))
        return [found[uid] for uid in uids if uid in found]

    def letter(self, stored: Stored) -> bytes | None:
        """Return a letter, of a large one its beginning; None when it is gone. Does not mark it as seen."""
        part = "" if stored.size <= LARGEST else f"<0.{BEGINNING}>"
        return self._literal(stored.uid, f"BODY.PEEK[]{part}")

    def head(self, uid: int) -> bytes | None:
        """Return the headers of a letter, or None when it is gone."""
        return self._literal(uid, "BODY.PEEK[HEADER]")

    def _literal(self, uid: int, what: str) -> bytes | None:
        said, data = self._open.uid("FETCH", str(uid), f"({what})")
        if said != "OK":
            raise Unavailable("the mail server does not show a letter")
        return next((bytes(row[1]) for row in data if isinstance(row, tuple)), None)

    def message_ids(self, uids: Sequence[int]) -> list[tuple[int, str, frozenset[bytes]]]:
        """Return (UID, Message-ID or "", flags) of letters."""
        what = "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
        return [_identified(told, fields) for told, fields in self._fetch(uids, what) if _UID.search(told)]

    def _fetch(self, uids: Sequence[int], what: str) -> list[tuple[bytes, bytes]]:
        """Return per letter what the server says of it, and the literal it shows (empty when there is none)."""
        if not uids:
            return []
        said, data = self._open.uid("FETCH", ",".join(map(str, uids)), what)
        if said != "OK":
            raise Unavailable("the mail server does not show its letters")
        found: list[tuple[bytes, bytes]] = []
        for row in data:
            if isinstance(row, tuple):
                found.append((bytes(row[0]), bytes(row[1])))
            elif isinstance(row, bytes) and _STARTS.match(row):
                found.append((row, b""))
            elif isinstance(row, bytes) and found:  # the rest of the answer behind a literal
                found[-1] = (found[-1][0] + b" " + row, found[-1][1])
        return found

    # --- the folder of what was sent -----------------------------------------------------------------

    def sent_folder(self) -> str | None:
        """Return the folder for sent letters: the one marked so (RFC 6154), else one that is called so."""
        said, data = self._open.list()
        named: str | None = None
        for row in data if said == "OK" else ():
            line = b" ".join(row) if isinstance(row, tuple) else row or b""
            if not (found := _LISTED.match(line)):
                continue
            name = _unquoted(found["name"].strip())
            if b"\\sent" in found["flags"].lower():
                return name
            if name.rpartition("/")[2].rpartition(".")[2].lower() in _SENT_NAMES:
                named = named or name
        return named

    def create(self, folder: str) -> None:
        """Make a folder."""
        self._open.create(quoted(folder))

    def append(self, folder: str, letter: bytes, flags: str) -> None:
        """Put a letter into a folder. Raises Rejected when the server refuses it."""
        said, _data = self._open.append(
            quoted(folder), flags, imaplib.Time2Internaldate(datetime.now(UTC)), letter
        )
        if said != "OK":
            raise Rejected("the mail server does not keep a copy: check the folder and the space left")

    def copies(self, message_id: str, newest: int) -> list[tuple[int, frozenset[bytes]]]:
        """Return (UID, flags) of the letters in the open folder with this Message-ID.

        The server is asked to search; where that finds nothing the newest letters are looked through, for not every
        server searches headers well.
        """
        rows = self.message_ids(self.search("HEADER", "Message-ID", f'"{message_id}"'))
        found = [(uid, flags) for uid, told, flags in rows if told == message_id]
        if not found:
            rows = self.message_ids(self.search("ALL")[-newest:])
            found = [(uid, flags) for uid, told, flags in rows if told == message_id]
        return found

    def flag(self, uid: int, sign: str, flags: str) -> None:
        """Add (``+``) or take away (``-``) flags of a letter."""
        self._open.uid("STORE", str(uid), f"{sign}FLAGS.SILENT", f"({flags})")

    def erase(self, uid: int) -> None:
        """Erase one letter of the open folder, and only that one where the server can (UIDPLUS)."""
        self.flag(uid, "+", "\\Deleted")
        if "UIDPLUS" in self._open.capabilities:
            self._open.uid("EXPUNGE", str(uid))


# --- from async code -------------------------------------------------------------------------------


class Line:
    """A session for async code: each step in a thread, with a limit of time; cancelling breaks the connection."""

    def __init__(self, door: Door) -> None:
        self.session = Session(door)
        self._seconds = door.seconds

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out one step. Raises Unavailable, Rejected."""
        step = asyncio.ensure_future(asyncio.to_thread(_told(work), *args, **kwargs))
        try:
            return await asyncio.wait_for(asyncio.shield(step), 4 * self._seconds)
        except TimeoutError:
            raise Unavailable("the mail server is too slow") from None
        finally:
            if not step.done():
                self.session.kill()
                await asyncio.wait({step})
            if not step.cancelled():
                step.exception()


@asynccontextmanager
async def line_to(door: Door, lines: set[Line] | None = None) -> AsyncIterator[Line]:
    """Open a signed-in line for a block.

    Args:
        door: how the server is reached.
        lines: holds the line as long as it is in use, for somebody who wants to break it.

    Raises: Unavailable, SignInRefused.
    """
    line, used = Line(door), set() if lines is None else lines
    used.add(line)
    ended_well = False
    try:
        await line.do(line.session.open)
        yield line
        ended_well = True
    finally:
        used.discard(line)
        if not ended_well:
            line.session.kill()
        await asyncio.shield(asyncio.to_thread(line.session.close))


def _told(work: Callable[P, T]) -> Callable[P, T]:
    """Return ``work`` with the faults of network and protocol told as our own, without the server's words."""

    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except ssl.SSLCertVerificationError:
            raise Untrusted("the certificate of the mail server cannot be trusted") from None
        except (imaplib.IMAP4.error, OSError):
            raise Unavailable("the mail server does not answer, or ended the connection") from None
        except (ValueError, LookupError):  # what imaplib fails with when the peer is no mail server
            raise Unavailable("the mail server says what no mail server says") from None

    return told


# --- names and numbers -----------------------------------------------------------------------------


def quoted(folder: str) -> str:
    """Return a folder as IMAP wants it: modified UTF-7 (RFC 3501 5.1.3), in quotation marks."""
    made: list[str] = []
    waiting = ""
    for letter in folder + "\0":
        if " " <= letter <= "~" or letter == "\0":
            if waiting:
                coded = binascii.b2a_base64(waiting.encode("utf-16-be"), newline=False)
                made.append(f"&{coded.decode().rstrip('=').replace('/', ',')}-")
                waiting = ""
            made.append("" if letter == "\0" else "&-" if letter == "&" else letter)
        else:
            waiting += letter
    told = "".join(made).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{told}"'


def _unquoted(name: bytes) -> str:
    text = name.decode("ascii", "replace")
    if text.startswith('"') and text.endswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])

    def opened(found: re.Match[str]) -> str:
        coded = found[1].replace(",", "/")
        if not coded:
            return "&"
        try:
            raw = binascii.a2b_base64(coded + "=" * (-len(coded) % 4))
            return raw.decode("utf-16-be")
        except (binascii.Error, UnicodeDecodeError):
            return found[0]

    return re.sub(r"&([A-Za-z0-9+,]*)-", opened, text)


def _number(data: Any) -> int:
    value = data[-1] if data else None
    if isinstance(value, bytes) and value.isdigit():
        return int(value)
    raise Unavailable("the mail server names no number where one has to stand")


def _arrived(line: bytes) -> datetime | None:
    found = _DATE.search(line)
    at = imaplib.Internaldate2tuple(found[0]) if found else None
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(time.mktime(at), UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _identified(told: bytes, fields: bytes) -> tuple[int, str, frozenset[bytes]]:
    uid, flags, named = _UID.search(told), _FLAGS.search(told), _MESSAGE_ID.search(fields)
    assert uid is not None
    marks = frozenset(flags[1].lower().split()) if flags else frozenset()
    return int(uid[1]), named[1].decode("ascii", "replace") if named else "", marks


__all__ = [
    "BEGINNING",
    "LARGEST",
    "Door",
    "Line",
    "NoFolder",
    "Session",
    "SignInRefused",
    "Stored",
    "Untrusted",
    "line_to",
    "quoted",
]
