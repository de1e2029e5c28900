"""A fake mail server that speaks IMAP4rev1 (RFC 3501) and SMTP (RFC 5321) for one box.

For tests and for authors of connectors: it has the faults that real ones have (``UID n:*`` names the last letter,
UIDVALIDITY changes, BYE in the middle, an answer that is lost after the letter was taken).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from typing import Final

USER, PASSWORD = "gonghui@example.edu.cn", "very-secret-code"
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905
_LONGEST_LINE: Final = 1_000_000


@dataclass(slots=True)
class Letter:
    """One letter of a folder."""

    uid: int
    data: bytes
    arrived: datetime
    flags: set[str] = field(default_factory=set)

    def described(self) -> str:
        """Return when it came, as INTERNALDATE says it."""
        at = self.arrived
        return f'"{at.day:2}-{_MONTHS[at.month - 1]}-{at.year} {at:%H:%M:%S} +0000"'


@dataclass(slots=True)
class Folder:
    """One folder."""

    validity: int = 1_700_000_000
    next_uid: int = 1
    letters: list[Letter] = field(default_factory=list)
    marks: str = ""

    def put(self, data: bytes, arrived: datetime | None = None, flags: str = "") -> Letter:
        """Put a letter there."""
        made = Letter(self.next_uid, data, arrived or datetime.now(UTC), set(flags.split()))
        self.next_uid += 1
        self.letters.append(made)
        return made

    def rebuild(self) -> None:
        """Count all letters anew, as a server does after a repair: UIDVALIDITY changes."""
        self.validity += 1
        self.next_uid = 1
        for letter in self.letters:
            letter.uid, self.next_uid = self.next_uid, self.next_uid + 1


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    ``bye_after`` ends IMAP connections after so many further commands; ``deaf_search`` finds nothing by header;
    ``codes`` are answered per SMTP verb instead of carrying it out; ``lose_answer`` takes a letter and breaks off;
    ``no_drafts`` keeps no \\Draft; ``page`` greets as a web server does.
    """

    bye_after: int = -1
    deaf_search: bool = False
    codes: dict[str, list[int]] = field(default_factory=dict)
    lose_answer: int = 0
    no_drafts: bool = False
    page: bool = False


class FakeMailbox:
    """One user's folders, and what was sent through the server.

    Attributes:
        folders: name as IMAP writes it -> folder.
        sent: (recipients, letter) as they were taken by SMTP.
        commands: how often each IMAP command was given.
    """

    def __init__(self, user: str = USER, password: str = PASSWORD) -> None:
        self.user, self.password = user, password
        self.folders = {"INBOX": Folder(), "Sent": Folder(marks="\\Sent")}
        self.sent: list[tuple[list[str], bytes]] = []
        self.faults = Faults()
        self.commands: Counter[str] = Counter()
        self.imap_port = self.smtp_port = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on 127.0.0.1."""
        for serve in (self._imap, self._smtp):
            self._servers.append(await asyncio.start_server(serve, "127.0.0.1", 0, limit=_LONGEST_LINE))
        self.imap_port, self.smtp_port = (each.sockets[0].getsockname()[1] for each in self._servers)

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def inbox(self) -> Folder:
        """Return the folder of new letters."""
        return self.folders["INBOX"]

    def answers(self) -> list[Message]:
        """Return what was sent, taken apart."""
        return [message_from_bytes(data) for _to, data in self.sent]

    def break_all(self) -> None:
        """Break every connection that is open now."""
        for task in list(self._tasks):
            task.cancel()

    # --- IMAP ----------------------------------------------------------------------------------------

    async def _imap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(_Imap(self, reader, writer).run, writer)

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(_Smtp(self, reader, writer).run, writer)

    async def _serve(self, run: object, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert callable(run)
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await run()
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _Imap:
    """One IMAP connection."""

    def __init__(self, box: FakeMailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._box, self._reader, self._writer = box, reader, writer
        self._folder: Folder | None = None
        self._signed_in = False

    def _say(self, line: str | bytes) -> None:
        self._writer.write((line if isinstance(line, bytes) else line.encode("latin-1")) + b"\r\n")

    async def run(self) -> None:
        """Serve until the client goes."""
        if self._box.faults.page:
            self._say("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n")
            return
        self._say("* OK [CAPABILITY IMAP4rev1 ID UIDPLUS AUTH=PLAIN] ready")
        while True:
            await self._writer.drain()
            line = (await self._reader.readuntil(b"\r\n")).decode("latin-1").rstrip("\r\n")
            tag, _, rest = line.partition(" ")
            if self._box.faults.bye_after == 0:
                self._say("* BYE the server is going down")
                return
            self._box.faults.bye_after -= 1
            if not await self._command(tag, rest):
                return

    async def _command(self, tag: str, rest: str) -> bool:
        name, _, told = rest.partition(" ")
        name = name.upper()
        if name == "UID":
            sub, _, told = told.partition(" ")
            name = f"UID {sub.upper()}"
        self._box.commands[name] += 1
        if name == "LOGOUT":
            self._say("* BYE see you")
            self._say(f"{tag} OK bye")
            return False
        handler = getattr(self, "_do_" + name.lower().replace(" ", "_"), None)
        if handler is None:
            self._say(f"{tag} BAD unknown command")
        elif not self._signed_in and name not in ("LOGIN", "CAPABILITY", "NOOP"):
            self._say(f"{tag} BAD sign in first")
        else:
            answer = handler(told)
            said = await answer if asyncio.iscoroutine(answer) else answer
            self._say(f"{tag} {said}")
        return True

    def _do_capability(self, _told: str) -> str:
        self._say("* CAPABILITY IMAP4rev1 ID UIDPLUS AUTH=PLAIN")
        return "OK done"

    def _do_noop(self, _told: str) -> str:
        return "OK done"

    def _do_id(self, _told: str) -> str:
        self._say('* ID ("name" "fake")')
        return "OK done"

    def _do_login(self, told: str) -> str:
        words = _strings(told)
        right = (
            len(words) == 2
            and words[0] == self._box.user
            and hmac.compare_digest(words[1], self._box.password)
        )
        self._signed_in = right
        return (
            "OK signed in"
            if right
            else "NO [AUTHENTICATIONFAILED] LOGIN Login error user@secret or password error"
        )

    def _do_list(self, _told: str) -> str:
        for name, folder in self._box.folders.items():
            self._say(f'* LIST (\\HasNoChildren {folder.marks}) "/" "{name}"')
        return "OK done"

    def _do_create(self, told: str) -> str:
        self._box.folders[_strings(told)[0]] = Folder()
        return "OK made"

    def _do_select(self, told: str, mode: str = "READ-WRITE") -> str:
        folder = self._box.folders.get(_strings(told)[0])
        if folder is None:
            return "NO [NONEXISTENT] no such folder"
        self._folder = folder
        self._say(f"* {len(folder.letters)} EXISTS")
        self._say("* FLAGS (\\Seen \\Draft \\Deleted)")
        self._say(f"* OK [UIDVALIDITY {folder.validity}] valid")
        self._say(f"* OK [UIDNEXT {folder.next_uid}] next")
        return f"OK [{mode}] open"

    def _do_examine(self, told: str) -> str:
        return self._do_select(told, "READ-ONLY")

    def _do_uid_search(self, told: str) -> str:
        assert self._folder is not None
        found = [letter.uid for letter in self._folder.letters if self._fits(letter, told)]
        self._say(" ".join(["* SEARCH", *map(str, found)]))
        return "OK done"

    def _fits(self, letter: Letter, told: str) -> bool:
        name, _, rest = told.partition(" ")
        if name == "UID":
            return letter.uid in self._uids(rest)
        if name == "SINCE":
            day, month, year = rest.strip('"').split("-")
            return letter.arrived >= datetime(int(year), _MONTHS.index(month) + 1, int(day), tzinfo=UTC)
        if name == "HEADER":
            field_name, wanted = _strings(rest)
            given = str(message_from_bytes(letter.data).get(field_name, ""))
            return not self._box.faults.deaf_search and wanted.lower() in given.lower()
        return name == "ALL"

    def _uids(self, told: str) -> set[int]:
        """Return what a sequence set names; ``n:*`` is ``*:n`` too, so the last letter is always in it."""
        assert self._folder is not None
        last = self._folder.letters[-1].uid if self._folder.letters else 0
        found: set[int] = set()
        for piece in told.split(","):
            low, _, high = piece.partition(":")
            one, other = (last if each == "*" else int(each) for each in (low, high or low))
            found |= set(range(min(one, other), max(one, other) + 1)) if max(one, other) < 10**7 else {one}
        return found

    def _do_uid_fetch(self, told: str) -> str:
        assert self._folder is not None
        wanted, _, what = told.partition(" ")
        uids = self._uids(wanted)
        for number, letter in enumerate(self._folder.letters, 1):
            if letter.uid in uids:
                self._say(f"* {number} FETCH (".encode() + _shown(letter, what.upper()) + b")")
        return "OK done"

    async def _do_append(self, told: str) -> str:
        found = re.fullmatch(r'"((?:[^"\\]|\\.)*)" (?:\(([^)]*)\) )?(?:"[^"]*" )?\{(\d+)\}', told)
        assert found is not None
        self._say("+ go on")
        await self._writer.drain()
        data = await self._reader.readexactly(int(found[3]))
        await self._reader.readuntil(b"\r\n")
        if found[1] not in self._box.folders:
            return "NO [TRYCREATE] no such folder"
        flags = (found[2] or "").replace("\\Draft", "" if self._box.faults.no_drafts else "\\Draft")
        self._box.folders[found[1]].put(data, flags=flags)
        return "OK kept"

    def _do_uid_store(self, told: str) -> str:
        assert self._folder is not None
        uid, sign, flags = told.split(" ", 2)
        for letter in self._folder.letters:
            if str(letter.uid) == uid:
                named = set(flags.strip("()").split())
                letter.flags = letter.flags | named if sign[0] == "+" else letter.flags - named
        return "OK done"

    def _do_uid_expunge(self, told: str) -> str:
        assert self._folder is not None
        uids = self._uids(told)
        self._folder.letters[:] = [
            each for each in self._folder.letters if not (each.uid in uids and "\\Deleted" in each.flags)
        ]
        return "OK gone"


def _shown(letter: Letter, what: str) -> bytes:
    told = [f"UID {letter.uid}".encode()]
    if "FLAGS" in what:
        told.append(f"FLAGS ({' '.join(sorted(letter.flags))})".encode())
    if "RFC822.SIZE" in what:
        told.append(f"RFC822.SIZE {len(letter.data)}".encode())
    if "INTERNALDATE" in what:
        told.append(f"INTERNALDATE {letter.described()}".encode())
    head = re.split(rb"\r?\n\r?\n", letter.data, maxsplit=1)[0] + b"\r\n\r\n"
    if "HEADER.FIELDS" in what:
        given = message_from_bytes(letter.data).get("Message-ID")
        body = (f"Message-ID: {given}\r\n\r\n" if given else "\r\n").encode()
        told.append(b"BODY[HEADER.FIELDS (MESSAGE-ID)] {%d}\r\n%b" % (len(body), body))
    elif "BODY.PEEK[HEADER]" in what:
        told.append(b"BODY[HEADER] {%d}\r\n%b" % (len(head), head))
    elif found := re.search(r"BODY\.PEEK\[\](?:<0\.(\d+)>)?", what):
        data = letter.data[: int(found[1])] if found[1] else letter.data
        told.append(b"BODY[]%b {%d}\r\n%b" % (b"<0>" if found[1] else b"", len(data), data))
    return b" ".join(told)


def _strings(told: str) -> list[str]:
    """Return the words of a command, those in quotation marks without them."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', told)
    return [re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for quoted, bare in found]


class _Smtp:
    """One SMTP connection."""

    def __init__(self, box: FakeMailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._box, self._reader, self._writer = box, reader, writer
        self._to: list[str] = []
        self._signed_in = False

    async def _say(self, code: int, *words: str) -> None:
        for n, each in enumerate(words or ("ok",), 1):
            self._writer.write(f"{code}{' ' if n == max(1, len(words)) else '-'}{each}\r\n".encode())
        await self._writer.drain()

    async def run(self) -> None:
        """Serve until the client goes."""
        await self._say(220, "fake ESMTP")
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode("latin-1").strip()
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            codes = self._box.faults.codes.get(verb, [])
            if codes:
                await self._say(codes.pop(0), "no, user@secret")
                continue
            if not await self._verb(verb, rest):
                return

    async def _verb(self, verb: str, rest: str) -> bool:
        if verb == "EHLO":
            await self._say(250, "fake", "AUTH PLAIN LOGIN", "8BITMIME")
        elif verb == "AUTH":
            await self._auth(rest)
        elif verb == "MAIL" and not self._signed_in:
            await self._say(530, "sign in first")
        elif verb == "RCPT":
            self._to.append(rest.partition("<")[2].partition(">")[0])
            await self._say(250)
        elif verb == "DATA":
            return await self._data()
        elif verb == "QUIT":
            await self._say(221, "bye")
            return False
        else:
            self._to = [] if verb == "MAIL" else self._to
            await self._say(250 if verb in ("MAIL", "RSET", "NOOP", "HELO") else 502)
        return True

    async def _auth(self, rest: str) -> None:
        kind, _, first = rest.partition(" ")
        if kind.upper() == "PLAIN":
            told = base64.b64decode(first).split(b"\0")
            self._signed_in = told[1:] == [self._box.user.encode(), self._box.password.encode()]
        elif kind.upper() == "LOGIN":
            given = [base64.b64decode(first)] if first else []
            while len(given) < 2:
                await self._say(334, base64.b64encode(b"Username:" if not given else b"Password:").decode())
                given.append(base64.b64decode(await self._reader.readuntil(b"\r\n")))
            self._signed_in = given == [self._box.user.encode(), self._box.password.encode()]
        await (self._say(235) if self._signed_in else self._say(535, "no such user@secret"))

    async def _data(self) -> bool:
        await self._say(354, "go on")
        lines: list[bytes] = []
        while (line := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        codes = self._box.faults.codes.get("BODY", [])
        if codes:
            await self._say(codes.pop(0), "no, user@secret")
            return True
        self._box.sent.append((self._to, b"".join(lines)))
        self._to = []
        if self._box.faults.lose_answer > 0:
            self._box.faults.lose_answer -= 1
            return False
        await self._say(250, "taken")
        return True


__all__ = ["PASSWORD", "USER", "FakeMailbox", "Faults", "Folder", "Letter"]
