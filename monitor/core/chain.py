"""The arithmetic of the ledger: what an entry hashes to, so that the store and an outsider compute the same.

An entry holds ids, kinds, times and a digest of its content, never text or names (S-09): erasing personal data
leaves the chain valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from monitor.core.ports import LedgerEntry

GENESIS = "0" * 64
"""``prev`` of the first entry."""


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def canonical(content: Mapping[str, object]) -> str:
    """Return ``content`` as JSON with sorted keys and no blanks: the same content is the same text."""
    return _CANONICAL.encode(content)


def link_hash(
    seq: int, at: datetime, kind: str, ref: str, actor: str, digest: str, prev: str
) -> str:  # the seven fields of an entry, in order
    """Return the SHA-256 (64 hex digits) of an entry over its fields and the hash before it."""
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = _COMPACT.encode([seq, stamp, kind, ref, actor, digest, prev])
    return hashlib.sha256(fields.encode("utf-8", "surrogatepass")).hexdigest()


def entry_hash(entry: LedgerEntry) -> str:
    """Return what ``entry.hash`` must be."""
    return link_hash(entry.seq, entry.at, entry.kind, entry.ref, entry.actor, entry.digest, entry.prev)


def first_bad(entries: Iterable[LedgerEntry], seq: int = 0, prev: str = GENESIS) -> int | None:
    """Return the number of the first entry that does not continue the chain, or None.

    Args:
        entries: in order.
        seq: number of the entry before the first one given (0 at the start).
        prev: its hash.
    """
    for entry in entries:
        seq += 1
        if entry.seq != seq or entry.prev != prev or entry.hash != entry_hash(entry):
            return seq
        prev = entry.hash
    return None
