"""Reading the ledger: its head, whether the chain holds, and the entries about one thing.

Entries hold no text and no names, so anybody may check them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.core.chain import GENESIS, first_bad
from monitor.core.ports import LedgerEntry, Store
from monitor.usecases.deps import Deps

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Whether the chain holds: ``count`` entries checked, ``first_bad`` the number of the first bad one."""

    ok: bool
    count: int
    first_bad: int | None = None


def _pages(store: Store) -> Iterator[list[LedgerEntry]]:
    after = 0
    while page := store.ledger.entries(after, _PAGE):
        yield page
        after = page[-1].seq


def head(deps: Deps) -> LedgerEntry | None:
    """Return the last entry, or None when there is none."""
    with deps.uow.read() as store:
        return store.ledger.head()


def verify(deps: Deps) -> VerifyResult:
    """Walk the whole chain and say where it breaks first, if it does."""
    seq, prev = 0, GENESIS
    with deps.uow.read() as store:
        for page in _pages(store):
            bad = first_bad(page, seq, prev)
            if bad is not None:
                return VerifyResult(False, bad, bad)
            seq, prev = page[-1].seq, page[-1].hash
    return VerifyResult(True, seq)


def prove(deps: Deps, ref: str) -> list[LedgerEntry]:
    """Return the entries about ``ref`` (a case reference, a decision, a reply), oldest first."""
    with deps.uow.read() as store:
        return [entry for page in _pages(store) for entry in page if entry.ref == ref]
