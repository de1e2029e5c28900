"""How often one address may send a form: a few times a minute, some more an hour (S-11).

Addresses stay in memory only, as digests under a key that lives as long as the process.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections import deque
from collections.abc import Callable

MINUTE, HOUR = 60.0, 3600.0
MOST_ADDRESSES = 50_000


def _network(address: str) -> str:
    """Return what one household or machine has: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Limiter:
    """Counts what was let through per address; a refused try does not prolong the waiting.

    Args:
        per_minute: most in any minute.
        per_hour: most in any hour.
        now: a clock that never runs backwards.
        most: addresses kept; when more come within an hour the new ones wait: it fails closed (S-05).
    """

    def __init__(
        self,
        per_minute: int = 5,
        per_hour: int = 30,
        now: Callable[[], float] = time.monotonic,
        most: int = MOST_ADDRESSES,
    ) -> None:
        self._limits = ((MINUTE, per_minute), (HOUR, per_hour))
        self._now = now
        self._most = most
        self._key = secrets.token_bytes(16)
        self._passed: dict[bytes, deque[float]] = {}

    def take(self, address: str) -> int:
        """Let one through and return 0, or return how many whole seconds to wait."""
        now, key = self._now(), self._digest(address)
        passed = self._passed.get(key)
        if passed is None:
            if len(self._passed) >= self._most:
                self._forget(now)
            if len(self._passed) >= self._most:
                return int(MINUTE)
            passed = self._passed[key] = deque()
        while passed and now - passed[0] >= HOUR:
            passed.popleft()
        wait = max(self._wait(passed, now, span, limit) for span, limit in self._limits)
        if wait <= 0:
            passed.append(now)
        return math.ceil(wait)

    def disguised(self, address: str) -> str:
        """Return a name for an address that leads nowhere once the process is gone."""
        return self._digest(address).hex()

    def _digest(self, address: str) -> bytes:
        network = _network(address).encode("utf-8", "replace")
        return hashlib.blake2b(network, key=self._key, digest_size=12).digest()

    @staticmethod
    def _wait(passed: deque[float], now: float, span: float, limit: int) -> float:
        return passed[-limit] + span - now if len(passed) >= limit else 0.0

    def _forget(self, now: float) -> None:
        for key in [key for key, passed in self._passed.items() if not passed or now - passed[-1] >= HOUR]:
            del self._passed[key]


__all__ = ["Limiter"]
