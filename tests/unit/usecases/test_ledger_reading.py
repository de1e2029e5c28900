"""The ledger as anybody may read it: head, verification, proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from monitor.core.ports import LedgerEntry
from monitor.usecases import ledger
from monitor.usecases.deps import Deps


def _append(deps: Deps, *refs: str) -> None:
    with deps.uow.begin() as store:
        for ref in refs:
            store.ledger.append("case.opened", ref, "system", {"posts": [1]}, deps.clock.now())


def test_an_empty_ledger_is_true(deps: Deps) -> None:
    assert ledger.head(deps) is None
    assert ledger.verify(deps) == ledger.VerifyResult(True, 0)
    assert ledger.prove(deps, "C-1") == []


def test_head_verify_prove(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAGE", 3)
    _append(deps, "C-1", "C-2", "C-1", "C-3", "C-1", "C-4", "C-5")
    found = ledger.head(deps)
    assert found is not None
    assert (found.seq, found.ref) == (7, "C-5")
    assert ledger.verify(deps) == ledger.VerifyResult(True, 7)
    assert [entry.seq for entry in ledger.prove(deps, "C-1")] == [1, 3, 5]


class _Tampered:
    """A read-only view whose ledger was changed behind our back."""

    def __init__(self, entries: list[LedgerEntry]) -> None:
        self._entries = entries

    @contextmanager
    def read(self) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(ledger=self)

    def entries(self, after: int, limit: int) -> list[LedgerEntry]:
        return [entry for entry in self._entries if entry.seq > after][:limit]


def test_the_first_bad_entry_is_named(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAGE", 2)
    _append(deps, *(f"C-{n}" for n in range(6)))
    with deps.uow.read() as store:
        entries = store.ledger.entries(0, 10)
    for index in range(6):
        changed = [*entries]
        changed[index] = replace(entries[index], actor="somebody")
        result = ledger.verify(replace(deps, uow=_Tampered(changed)))  # type: ignore[arg-type]
        assert result == ledger.VerifyResult(False, index + 1, index + 1)
