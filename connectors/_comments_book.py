"""What is known of a site's comments, and its form inside the cursor.

Comment systems push nothing that can be trusted: new, edited, hidden, removed and returned comments show by comparing
what the site lists, newest first, with what was handed over before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from monitor.core.model import Broken, PostKind, RawPost

Item = RawPost | Broken
FAULTS: Final = 50
_NEVER: Final = -1


class State(StrEnum):
    """How a comment stands at its site."""

    SHOWN = "shown"
    WAITING = "waiting"
    SPAM = "spam"
    TRASH = "trash"


HIDDEN: Final = frozenset({State.SPAM, State.TRASH})


@dataclass(frozen=True, slots=True)
class Row:
    """One comment as the site lists it now.

    Attributes:
        key: its id there; empty when it cannot be read.
        order: its place in the site's order, growing with time.
        state: how it stands.
        post: what it says; None for what is no member's word (our own answers, links from other sites).
        fault: why it cannot be read.
        mine: it was written with the account that Huiyin uses.
        text: its words, of our own answers too.
    """

    key: str
    order: int
    state: State = State.SHOWN
    post: RawPost | None = None
    fault: Broken | None = None
    mine: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list, newest first; ``total`` counts all comments, where the site tells."""

    rows: tuple[Row, ...]
    last: bool
    total: int | None = None


class Mark(StrEnum):
    """What was handed over of a comment."""

    TOLD = "v"
    WAITS = "w"
    GONE = "g"
    SILENT = "n"
    BROKEN = "x"


@dataclass(slots=True)
class _Known:
    order: int
    digest: str
    mark: Mark
    missing: bool = False


class _Cursor(msgspec.Struct, omit_defaults=True):
    floor: int = _NEVER
    edge: int = _NEVER
    top: int = _NEVER
    walk: int = 0
    since: int = 0
    rows: dict[str, tuple[int, str, Mark, bool]] = {}
    faults: list[str] = []


@dataclass(slots=True)
class Book:
    """What is known of the newest ``size`` comments.

    Attributes:
        channel: name of the channel.
        secret: key of the digests of what comments say.
        pending: whether comments that wait for approval are handed over.
        size: how many comments are kept.
        floor: everything above this place was read.
        edge: everything up to this place was forgotten to keep the book small.
        walk: next page of a reading that was begun and not finished, 0 when there is none.
        top: place of the newest comment when that reading began.
        since: comments older than this (Unix time) are not read.
        fresh: nothing was ever read.
    """

    channel: str
    secret: str
    pending: bool
    size: int
    floor: int = _NEVER
    edge: int = _NEVER
    walk: int = 0
    top: int = _NEVER
    since: int = 0
    fresh: bool = True
    ours: set[str] = field(default_factory=set)
    _known: dict[str, _Known] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    # --- the cursor ----------------------------------------------------------------------------------

    def load(self, cursor: str | None) -> None:
        """Stand exactly after ``cursor``; one that cannot be read is like none."""
        try:
            stored = msgspec.json.decode(cursor or "", type=_Cursor)
        except (msgspec.DecodeError, ValueError):
            stored = _Cursor()
        self.fresh = stored.since == 0
        self.floor, self.edge, self.top = stored.floor, stored.edge, stored.top
        self.walk, self.since = max(0, min(stored.walk, 10**9)), stored.since
        self._known = {key: _Known(*row) for key, row in stored.rows.items()}
        self._faults = stored.faults[:FAULTS]

    def cursor(self) -> str:
        """Return everything that is known as a cursor."""
        rows = {key: (one.order, one.digest, one.mark, one.missing) for key, one in self._known.items()}
        stored = _Cursor(self.floor, self.edge, self.top, self.walk, self.since, rows, self._faults)
        return msgspec.json.encode(stored).decode()

    @property
    def lowest(self) -> int:
        """Return the place of the oldest comment in the book, or a place that no comment reaches."""
        return min((one.order for one in self._known.values()), default=2**62)

    # --- one comment ---------------------------------------------------------------------------------

    def take(self, row: Row) -> list[Item]:
        """Return what a row says that was not said before."""
        if not row.key:
            return self._without_key(row)
        known = self._known.get(row.key)
        if row.post is None and row.fault is None:
            return []
        if known is None:
            return self._first(row) if self._is_new(row) else []
        known.missing, known.order = False, row.order
        return self._again(known, row)

    def _is_new(self, row: Row) -> bool:
        at = None if row.post is None else row.post.posted_at
        if at is not None and at.timestamp() < self.since:
            return False
        return row.order > min(self.edge, self.floor)

    def _without_key(self, row: Row) -> list[Item]:
        if row.fault is None:
            return []
        digest = self._digest(row)
        if digest in self._faults:
            return []
        self._faults.append(digest)
        del self._faults[:-FAULTS]
        return [row.fault]

    def _first(self, row: Row) -> list[Item]:
        self._known[row.key] = known = _Known(row.order, self._digest(row), Mark.SILENT)
        if row.fault is not None:
            known.mark = Mark.BROKEN
            return [row.fault]
        return self._tell(known, row)

    def _tell(self, known: _Known, row: Row) -> list[Item]:
        """Hand a comment over for the first time, unless it is hidden."""
        if row.state in HIDDEN or (row.state is State.WAITING and not self.pending) or row.post is None:
            return []
        known.mark = Mark.TOLD if row.state is State.SHOWN else Mark.WAITS
        known.digest = self._digest(row)
        return [row.post]

    def _again(self, known: _Known, row: Row) -> list[Item]:
        """Compare a comment with what was handed over of it."""
        digest = self._digest(row)
        if known.mark in (Mark.SILENT, Mark.BROKEN) and row.fault is None:
            return self._tell(known, row)
        if row.state is not State.SHOWN and (known.mark is Mark.GONE or self._is_hidden(known, row)):
            return self._gone(known, row)
        changed, known.digest = known.digest != digest, digest
        if row.fault is not None:
            return [row.fault] if changed else []
        assert row.post is not None
        edit: list[Item] = [replace(row.post, kind=PostKind.EDIT)] if changed else []
        was_gone = known.mark is Mark.GONE
        if row.state is State.SHOWN:
            known.mark = Mark.TOLD
        return [self._notice(row.post, PostKind.RESTORE, ""), *edit] if was_gone else edit

    @staticmethod
    def _is_hidden(known: _Known, row: Row) -> bool:
        return row.state in HIDDEN or known.mark is Mark.TOLD

    def _gone(self, known: _Known, row: Row) -> list[Item]:
        """Tell once that a comment is hidden; what it said last is kept, to see an edit when it comes back."""
        if known.mark is Mark.GONE or row.post is None:
            return []
        known.mark = Mark.GONE
        return [self._notice(row.post, PostKind.REMOVAL, self._by(row.key))]

    def _by(self, key: str) -> str:
        is_ours = key in self.ours
        self.ours.discard(key)
        return "self" if is_ours else "moderator"

    def _notice(self, post: RawPost, kind: PostKind, by: str) -> RawPost:
        return RawPost(
            self.channel,
            post.external_id,
            "",
            kind,
            posted_at=datetime.now(UTC),
            thread=post.thread,
            handle=post.handle,
            by=by or None,
        )

    def _digest(self, row: Row) -> str:
        """Return a keyed digest of what a row says: short, since it only has to tell one edit from the last."""
        if row.fault is not None:
            said = row.fault.payload
        elif row.post is not None:
            said = f"{row.post.text}\0{row.post.quoted or ''}".encode("utf-8", "replace")
        else:
            said = b""
        key = hashlib.sha256(self.secret.encode("utf-8", "replace")).digest()
        return hashlib.blake2b(said, digest_size=4, key=key).hexdigest()

    # --- a whole look --------------------------------------------------------------------------------

    def is_missing_again(self, seen: Collection[str], above: int) -> bool:
        """Say whether :meth:`settle` would tell a removal."""
        told = (Mark.TOLD, Mark.WAITS)
        return any(
            key not in seen
            and known.order > above
            and known.mark in told
            and (known.missing or key in self.ours)
            for key, known in self._known.items()
        )

    def settle(self, seen: Collection[str], above: int) -> list[Item]:
        """Return what is gone of the comments above a place: absent from two looks in a row, or removed by us."""
        gone: list[Item] = []
        for key, known in list(self._known.items()):
            if known.order <= above or key in seen or known.mark is Mark.GONE:
                continue
            if known.mark in (Mark.SILENT, Mark.BROKEN):
                del self._known[key]
            elif known.missing or key in self.ours:
                known.mark, known.missing = Mark.GONE, False
                by = "self" if self._by(key) == "self" else ""
                gone.append(self._notice(RawPost(self.channel, key, "", handle=key), PostKind.REMOVAL, by))
            else:
                known.missing = True
        return gone

    def trim(self) -> None:
        """Forget the oldest comments beyond the size of the book."""
        spare = len(self._known) - self.size
        if spare > 0:
            oldest = sorted(self._known, key=lambda key: self._known[key].order)[:spare]
            self.edge = max(self.edge, *(self._known.pop(key).order for key in oldest))


def items_in_order(book: Book, rows: Sequence[Row]) -> list[Item]:
    """Return what a page (newest first) says that is new, oldest first; those of one moment stay in their order."""
    oldest_first = list(rows)[::-1]
    oldest_first.sort(key=lambda row: row.order)
    return [item for row in oldest_first for item in book.take(row)]


__all__ = ["HIDDEN", "Book", "Item", "Mark", "Page", "Row", "State", "items_in_order"]
