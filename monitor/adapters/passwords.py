"""Slow password hashing with Argon2id; the parameters stand in every hash, so they can be raised later."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Passwords:
    """Argon2id (RFC 9106), 64 MiB and three passes unless told otherwise (S-04).

    Args:
        memory_kib: memory of one hash in KiB.
        passes: passes over the memory.
    """

    def __init__(self, memory_kib: int = 65_536, passes: int = 3) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)

    def hash(self, password: str) -> str:
        """Return a salted hash of ``password``."""
        return self._hasher.hash(_bytes(password))

    def verify(self, hashed: str, password: str) -> bool:
        """Say whether ``password`` made ``hashed``; False for a damaged hash too."""
        try:
            return self._hasher.verify(hashed, _bytes(password))
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def _bytes(password: str) -> bytes:
    # A program may send half a character; it is a password like any other.
    return password.encode("utf-8", "surrogatepass")
