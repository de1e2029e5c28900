"""Answering letters by SMTP inside their thread, and looking into the folder of sent letters (rule E-03).

When the server has taken sender and recipient, and before the letter itself, a copy is put into that folder as a
draft; when the server has taken the letter, the copy stops being one. So a copy tells: none, surely not sent; a draft, nobody knows; no draft, sent.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from connectors import _smtp
from connectors._limits import clean_text
from connectors._mailbox_imap import Door, Line, NoFolder, line_to
from connectors._mailbox_letter import AUTOMATIC, OWN_ID, Head, bare_subject, head_of, key_of, parsed
from monitor.core.errors import Malformed, Rejected, Unavailable
from monitor.core.model import Effect, EffectKind

DRAFT: Final = b"\\draft"
NEWEST: Final = 500
"""How many of the newest sent letters are looked through where searching finds nothing."""
MOST_LOOKED_THROUGH: Final = 20_000
_STEP: Final = 500
_SAYING: Final = (EffectKind.REPLY, EffectKind.NOTICE)
SENT: Final = "Sent"


@dataclass(frozen=True, slots=True)
class Box:
    """Which box answers: its address and name, its folders, and whether we keep the copies ourselves."""

    address: str
    name: str
    folder: str
    sent_folder: str
    keep_sent: bool


def handle_of(validity: int, uid: int, key: str) -> str:
    """Return what leads back to a letter: where it lies, and what it is known by if it is moved about."""
    return f"{validity}.{uid}.{key}"


def _place(handle: str | None) -> tuple[int, int, str] | None:
    parts = (handle or "").split(".")
    if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit() and parts[2]):
        return None
    return (int(parts[0]), int(parts[1]), parts[2]) if len(parts[0] + parts[1]) < 40 else None


class Hand:
    """What writes for the box."""

    def __init__(self, box: Box, imap: Door, smtp: _smtp.Door | None) -> None:
        self._box = box
        self._imap = imap
        self._smtp = smtp

    def message_id(self, effect: Effect) -> str:
        """Return the Message-ID of the letter for an effect: the same whenever it is asked for."""
        digest = hashlib.sha256(effect.key.encode()).hexdigest()[:32]
        return f"<{digest}{OWN_ID}{self._box.address.rpartition('@')[2]}>"

    async def perform(self, effect: Effect) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        if effect.kind not in _SAYING:
            raise Rejected("a letter to the box is seen by nobody else: there is nothing to take away")
        if self._smtp is None:
            raise Rejected(
                "the channel has no server for sending: set smtp_host, or answer in the box itself"
            )
        async with line_to(self._imap) as line:
            head = await self._answered(line, effect)
            letter = self.letter(effect, head)
            return await self._send(line, effect, head, letter, self._smtp)

    async def _send(self, line: Line, effect: Effect, head: Head, letter: bytes, smtp: _smtp.Door) -> str:
        message_id = self.message_id(effect)
        receipt = f"mail:{message_id[1:33]}"
        copies: list[int] = []
        if not self._box.keep_sent:
            await _smtp.deliver(smtp, self._box.address, [head.answer_to], letter)
            return receipt
        folder = await self._open_sent(line)
        if any(DRAFT not in flags for _uid, flags in await self._copies(line, message_id)):
            return receipt

        async def draft() -> None:
            copies.append(await self._draft(line, folder, message_id, letter))

        try:
            await _smtp.deliver(smtp, self._box.address, [head.answer_to], letter, draft)
        except (Unavailable, Rejected):  # not Uncertain: then the draft stays, and says that nobody knows
            await self._forget(line, copies)
            raise
        await self._mark_sent(line, copies[0])
        return receipt

    # --- the letter that is answered -----------------------------------------------------------------

    async def _answered(self, line: Line, effect: Effect) -> Head:
        place = _place(effect.handle)
        if place is None:
            raise Rejected("the effect names no letter; answer in the box itself")
        found = await self._find(line, *place)
        if found is None:
            raise Rejected("the letter does not lie in the box any more; answer in the mail program")
        if found.kind in AUTOMATIC:
            raise Rejected(AUTOMATIC[found.kind])
        if not found.answer_to:
            raise Rejected("the letter names no address that can be answered")
        if found.answer_to == self._box.address:
            raise Rejected(AUTOMATIC["own"])
        return found

    async def _find(self, line: Line, validity: int, uid: int, key: str) -> Head | None:
        now, _count = await line.do(line.session.look, self._box.folder)
        if now == validity and (head := await self._head(line, uid)) and key in (head.key, _unnamed(key)):
            return head
        if _unnamed(key):
            return None
        uids = (await line.do(line.session.search, "ALL"))[-MOST_LOOKED_THROUGH:]
        for end in range(len(uids), 0, -_STEP):
            rows = await line.do(line.session.message_ids, uids[max(0, end - _STEP) : end])
            for found, message_id, _flags in rows:
                if message_id and key_of(message_id) == key:
                    return await self._head(line, found)
        return None

    async def _head(self, line: Line, uid: int) -> Head | None:
        data = await line.do(line.session.head, uid)
        if data is None:
            return None
        try:
            return head_of(parsed(data), self._box.address)
        except Malformed:
            return None

    # --- the answer ----------------------------------------------------------------------------------

    def letter(self, effect: Effect, head: Head) -> bytes:
        """Return the answer as it leaves (RFC 5322 3.6.4: threading)."""
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        answers = head.message_id
        headers = {
            "From": _smtp.mailbox(self._box.name, self._box.address),
            "To": head.answer_to,
            "Subject": f"Re: {bare_subject(head.subject)}".strip(),
            "Date": format_datetime(datetime.now(UTC)),
            "Message-ID": self.message_id(effect),
            "In-Reply-To": answers,
            "References": " ".join((*head.references, answers)) if answers else "",
            "Auto-Submitted": "auto-generated" if effect.kind is EffectKind.NOTICE else "",
            "X-Auto-Response-Suppress": "All",
        }
        return _smtp.compose(headers, text + "\n")

    # --- the folder of what was sent -----------------------------------------------------------------

    async def _open_sent(self, line: Line) -> str:
        """Open the folder of sent letters, made where there is none, and return its name."""
        found = None if self._box.sent_folder else await line.do(line.session.sent_folder)
        folder = self._box.sent_folder or found or SENT
        try:
            await line.do(line.session.look, folder, write=True)
        except NoFolder:
            await line.do(line.session.create, folder)
            await line.do(line.session.look, folder, write=True)
        return folder

    async def _copies(self, line: Line, message_id: str) -> list[tuple[int, frozenset[bytes]]]:
        return await line.do(line.session.copies, message_id, NEWEST)

    async def _draft(self, line: Line, folder: str, message_id: str, letter: bytes) -> int:
        """Put the copy there as a draft, or take the one that an earlier attempt left."""
        drafts = await self._copies(line, message_id)
        if not drafts:
            await line.do(line.session.append, folder, letter, "(\\Seen \\Draft)")
            drafts = await self._copies(line, message_id)
        elif any(b"\\deleted" in flags for _uid, flags in drafts):
            await line.do(line.session.flag, drafts[-1][0], "-", "\\Deleted")
        if not any(DRAFT in flags for _uid, flags in drafts):
            raise Rejected(
                "the mail server keeps no drafts in the folder of sent letters: set keep_sent = false"
            )
        return drafts[-1][0]

    async def _forget(self, line: Line, copies: Sequence[int]) -> None:
        """Take back the copy of a letter that was not sent; one that stays is taken by the next attempt."""
        with contextlib.suppress(Unavailable, Rejected):
            for copy in copies:
                await line.do(line.session.erase, copy)

    async def _mark_sent(self, line: Line, copy: int) -> None:
        """Say of the copy that it was sent; where that fails, reading back leaves it to a person."""
        with contextlib.suppress(Unavailable, Rejected):
            await line.do(line.session.flag, copy, "-", "\\Draft")

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened (see ``Connector.read_back``)."""
        if effect.kind not in _SAYING or self._smtp is None:
            return None  # nothing was ever tried
        message_id = self.message_id(effect)
        async with line_to(self._imap) as line:
            await self._open_sent(line)
            copies = await self._copies(line, message_id)
        if any(DRAFT not in flags for _uid, flags in copies):
            return f"mail:{message_id[1:33]}"
        if copies:
            raise Rejected(
                "the answer was being sent when the connection broke, and nobody knows whether it arrived: ask the"
                " mail provider, or the member"
            )
        if not self._box.keep_sent:
            raise Rejected(
                "there is no copy in the folder of sent letters: look whether the provider keeps any"
            )
        return None


def _unnamed(key: str) -> str:
    """Return the key when it is that of a letter without a Message-ID: its headers alone do not give it again."""
    return key if key.startswith("h") else ""


__all__ = ["Box", "Hand", "handle_of"]
