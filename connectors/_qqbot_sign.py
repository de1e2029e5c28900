"""Ed25519 of the QQ official bot: is a push really from the platform, and the answer to its address validation.

Source: QQ bot API v2, "event callback": the seed is the secret repeated to 32 bytes. Verifying is the library's, in
constant time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors._signing import header

TOLERANCE: Final = 300.0
"""Seconds by which the platform's clock may differ from ours; the platform names none."""

_SEED: Final = 32
_STAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_\-]{1,128}", re.ASCII)


def key_of(secret: str) -> Ed25519PrivateKey:
    """Return the key pair that the platform makes of a bot's secret."""
    seed = secret.encode()
    while len(seed) < _SEED:
        seed += seed
    return Ed25519PrivateKey.from_private_bytes(seed[:_SEED])


def has_signature(headers: Mapping[str, str]) -> bool:
    """Say whether a push bears a signature, good or bad."""
    return bool(header(headers, "X-Signature-Ed25519"))


def is_signed(key: Ed25519PrivateKey, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Say whether the raw ``body`` was signed with ``key`` not long ago."""
    stamp = header(headers, "X-Signature-Timestamp")
    if not _STAMP.fullmatch(stamp) or abs(now - int(stamp)) > TOLERANCE:
        return False
    try:
        signature = bytes.fromhex(header(headers, "X-Signature-Ed25519"))
    except ValueError:
        return False
    if len(signature) != 64 or signature[63] & 224:
        return False
    try:
        key.public_key().verify(signature, stamp.encode() + body)
    except InvalidSignature:
        return False
    return True


def validation(key: Ed25519PrivateKey, plain_token: object, event_ts: object) -> str | None:
    """Return the signature that proves our address, or None for a question that is none.

    Only digits and a plain word are signed: a question that looked like a push would get us to sign a push.
    """
    if not isinstance(plain_token, str) or not isinstance(event_ts, str):
        return None
    if not _PLAIN.fullmatch(plain_token) or not _STAMP.fullmatch(event_ts):
        return None
    return key.sign((event_ts + plain_token).encode()).hex()
