"""The arithmetic of the ledger: any change of any field is found, at the right entry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.core.chain import GENESIS, canonical, entry_hash, first_bad, link_hash
from monitor.core.ports import LedgerEntry

NOW = datetime(2026, 3, 2, 1, 2, 3, 456789, tzinfo=UTC)


def chain(length: int) -> list[LedgerEntry]:
    entries, prev = [], GENESIS
    for seq in range(1, length + 1):
        at = NOW + timedelta(seconds=seq)
        head = link_hash(seq, at, "case.opened", f"C-{seq}", "system", "d" * 64, prev)
        entries.append(LedgerEntry(seq, at, "case.opened", f"C-{seq}", "system", "d" * 64, prev, head))
        prev = head
    return entries


def test_an_honest_chain_holds() -> None:
    assert first_bad([]) is None
    entries = chain(5)
    assert first_bad(entries) is None
    assert first_bad(entries[2:], 2, entries[1].hash) is None
    assert entry_hash(entries[3]) == entries[3].hash


CHANGES = [
    {"at": NOW},
    {"kind": "case.closed"},
    {"ref": "C-9"},
    {"actor": "somebody"},
    {"digest": "e" * 64},
    {"prev": GENESIS},
    {"hash": "f" * 64},
    {"seq": 9},
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found_where_it_was_made(change: dict[str, object]) -> None:
    entries = chain(5)
    entries[2] = replace(entries[2], **change)  # type: ignore[arg-type]
    assert first_bad(entries) == 3


def test_cutting_swapping_and_inserting_are_found() -> None:
    entries = chain(5)
    assert first_bad([*entries[:2], *entries[3:]]) == 3
    assert first_bad([entries[1], entries[0]]) == 1
    assert first_bad([*entries[:2], entries[1], *entries[2:]]) == 3


def test_a_rewritten_entry_breaks_the_next_link() -> None:
    entries = chain(4)
    forged = replace(entries[1], actor="nobody")
    entries[1] = replace(forged, hash=entry_hash(forged))
    assert first_bad(entries) == 3


def test_the_same_moment_hashes_the_same_in_every_zone() -> None:
    shanghai = NOW.astimezone(timezone(timedelta(hours=8)))
    assert link_hash(1, NOW, "k", "r", "a", "d", "p") == link_hash(1, shanghai, "k", "r", "a", "d", "p")


def test_content_is_written_in_one_way() -> None:
    assert canonical({"b": 1, "a": [NOW, "薪"]}) == '{"a":["2026-03-02 01:02:03.456789+00:00","薪"],"b":1}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
