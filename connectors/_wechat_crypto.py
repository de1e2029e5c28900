"""Signatures and encryption of what WeChat pushes (message push of official accounts, secure mode).

AES-256-CBC, iv = first 16 bytes of the key, padding to blocks of 32; inside are 16 random bytes, the length as four
bytes big-endian, the XML and the AppID.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher as _Aes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from monitor.core.errors import Malformed

KEY_LENGTH = 43
_BLOCK = 16
_PADDING = 32
_HEAD = 20


def signature(*parts: str) -> str:
    """Return WeChat's signature of token, timestamp, nonce and, in secure mode, the encrypted text."""
    joined = "".join(sorted(parts)).encode("utf-8", "replace")
    return hashlib.sha1(joined).hexdigest()  # noqa: S324 - the platform prescribes it


def key_of(text: str) -> bytes | None:
    """Return the key bytes of an EncodingAESKey (43 letters and digits), or None when it is none."""
    if len(text) != KEY_LENGTH or not (text.isascii() and text.isalnum()):
        return None
    return base64.b64decode(text + "=")


class OtherAccount(Malformed):
    """The message was encrypted for another AppID."""


class Cipher:
    """Reads what was encrypted with one EncodingAESKey for one account."""

    def __init__(self, key: bytes, appid: str) -> None:
        self._aes = _Aes(AES256(key), CBC(key[:_BLOCK]))
        self._appid = appid.encode()

    def decrypt(self, text: str) -> bytes:
        """Return the XML inside ``text`` (base64); check its signature first.

        Raises: Malformed with reason ``cipher``; OtherAccount.
        """
        plain = _unpadded(self._decrypted(text))
        size = int.from_bytes(plain[_HEAD - 4 : _HEAD], "big")
        if len(plain) < _HEAD or size > len(plain) - _HEAD:
            raise Malformed("the encrypted message has an impossible length inside", "cipher")
        if not hmac.compare_digest(plain[_HEAD + size :], self._appid):
            raise OtherAccount("the message was encrypted for another account", "appid")
        return plain[_HEAD : _HEAD + size]

    def _decrypted(self, text: str) -> bytes:
        try:
            data = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            raise Malformed("the encrypted message is not base64", "cipher") from None
        if not data or len(data) % _BLOCK:
            raise Malformed("the encrypted message has no whole number of blocks", "cipher")
        reader = self._aes.decryptor()
        return reader.update(data) + reader.finalize()


def _unpadded(plain: bytes) -> bytes:
    size = plain[-1]
    if not 1 <= size <= _PADDING or plain[-size:] != bytes([size]) * size:
        raise Malformed("the message was encrypted with another EncodingAESKey", "cipher")
    return plain[:-size]
