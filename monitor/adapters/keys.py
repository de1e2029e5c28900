"""The keys of one installation: one master secret in a file of its own, everything else derived from it.

Whoever has the file can link pseudonyms and open sealed identities: keep it apart from the backups of the database.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from monitor.core.errors import ConfigError, StoreError

FILE: Final = "master.key"
_SIZE: Final = 32
_NONCE: Final = 12
_FORMAT: Final = b"\x01"


class KeyRing:
    """Pseudonyms, digests and sealing from one master secret (see :class:`monitor.core.ports.Keys`).

    Attributes:
        ledger_key: key of the digests in the ledger.
    """

    def __init__(self, master: bytes) -> None:
        self._pseudonyms = _derived(master, "pseudonym")
        self._digests = _derived(master, "digest")
        self._sealing = AESGCM(_derived(master, "seal"))
        self.ledger_key = _derived(master, "ledger")

    def pseudonym(self, channel: str, native: str) -> str:
        """Return the author's pseudonym in this channel (HMAC-SHA-256, 24 hex digits)."""
        return _mac(self._pseudonyms, channel, native)[:24]

    def digest(self, purpose: str, text: str) -> str:
        """Return a keyed digest of ``text`` for one purpose (HMAC-SHA-256, 64 hex digits)."""
        return _mac(self._digests, purpose, text)

    def seal(self, data: bytes) -> bytes:
        """Encrypt ``data`` with AES-256-GCM under a fresh nonce."""
        nonce = secrets.token_bytes(_NONCE)
        return _FORMAT + nonce + self._sealing.encrypt(nonce, data, _FORMAT)

    def unseal(self, data: bytes) -> bytes:
        """Decrypt what ``seal`` made; raises StoreError when it was changed or the key differs."""
        try:
            if data[:1] != _FORMAT:
                raise InvalidTag
            return self._sealing.decrypt(data[1 : 1 + _NONCE], data[1 + _NONCE :], _FORMAT)
        except (InvalidTag, ValueError):
            raise StoreError(
                "a sealed value cannot be opened: it was changed, or the key file is another; restore the key"
            ) from None


def _derived(master: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, None, f"huiyin/{purpose}/1".encode()).derive(master)


def _mac(key: bytes, *parts: str) -> str:
    """Return a MAC over parts with their lengths, so that no two lists of parts read alike."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
    return hmac.digest(key, framed, "sha256").hex()


def open_keys(folder: Path) -> KeyRing:
    """Open the keys in ``folder``; the first start makes them.

    Raises: ConfigError when others could read the file or it is damaged; the message says the mend.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / FILE
    with contextlib.suppress(FileExistsError):
        _make(path)
    return KeyRing(_read(path))


def _make(path: Path) -> None:
    """Write a fresh secret where none is; two first starts at once agree on one file."""
    if path.exists():
        raise FileExistsError(path)
    fresh = path.with_name(f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_SIZE))
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        fresh.unlink()


def _read(path: Path) -> bytes:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others can read the key file {path}: run `chmod 600 {path}`")
    master = path.read_bytes()
    if len(master) != _SIZE:
        raise ConfigError(
            f"the key file {path} is damaged ({len(master)} bytes): restore it from its own backup"
        )
    return master
