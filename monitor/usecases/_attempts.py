"""Counting tries at passwords and receipts: wrong ones slow the next down, and nobody is locked out for good (S-05).

Only what was evaluated counts, so that waiting always helps. Tries that a leaping clock has left in the future do
not count either.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.core.ports import Store

PER_ADDRESS = 10
"""Wrong tries from one address in a minute."""

PER_HOUR = 100
"""Tries that are evaluated per account in an hour, whatever the waiting."""

FREE = 5
"""Wrong tries before the waiting begins."""

LONGEST_WAIT = 60.0
_SOON = timedelta(seconds=1)


def recent(store: Store, key: str, now: datetime, seconds: float) -> int:
    """Return the wrong tries of the last ``seconds``."""
    since = now - timedelta(seconds=seconds)
    return store.accounts.failures(key, since) - store.accounts.failures(key, now + _SOON)


def wait_after(wrong: int) -> float:
    """Return how many seconds must pass since the last try after ``wrong`` of them: 1, doubling to 60."""
    return 0.0 if wrong < FREE else min(LONGEST_WAIT, 2.0 ** min(wrong - FREE, 10))


def must_wait(store: Store, account: str, now: datetime) -> bool:
    """Say whether the try that was just noted for the account behind the key comes too soon after the others."""
    wrong = recent(store, account, now, 3_600) - 1
    wait = wait_after(wrong)
    return wrong >= PER_HOUR or (wait > 0 and recent(store, account, now, wait) > 1)


def too_many_from(store: Store, address: str, now: datetime) -> bool:
    """Say whether too many wrong tries came from the address behind the key in the last minute."""
    return recent(store, address, now, 60) >= PER_ADDRESS


__all__ = [
    "FREE",
    "LONGEST_WAIT",
    "PER_ADDRESS",
    "PER_HOUR",
    "must_wait",
    "recent",
    "too_many_from",
    "wait_after",
]
