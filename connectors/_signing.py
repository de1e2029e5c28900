"""Signatures of what is pushed to us: computed over the raw bytes, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from monitor.core.errors import ConfigError


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header whatever its case, or an empty string."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def same(left: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def bearer(headers: Mapping[str, str]) -> str:
    """Return the token of ``Authorization: Bearer T``, or an empty string."""
    scheme, _, token = header(headers, "Authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def sha1_signature(secret: str, body: bytes) -> str:
    """Return OneBot's ``X-Signature`` for ``body`` (OneBot v11, communication by HTTP POST)."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def webhook_key(secret: str) -> bytes:
    """Return the key bytes of a Standard Webhooks secret (``whsec_`` + base64 of 24 to 64 bytes).

    Raises: ConfigError when it is not one.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError("a webhook secret is `whsec_` followed by the base64 of 24 to 64 random bytes")
    return key


def webhook_signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the ``v1`` signature of Standard Webhooks over ``id.timestamp.body``."""
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def webhook_signed(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes) -> bool:
    """Say whether any ``v1`` entry was made with any of ``keys``; all are compared, so time tells nothing."""
    message_id, timestamp = header(headers, "webhook-id"), header(headers, "webhook-timestamp")
    given = [
        entry for entry in header(headers, "webhook-signature").split(" ")[:16] if entry.startswith("v1,")
    ]
    wanted = [webhook_signature(key, message_id, timestamp, body) for key in keys]
    answers = [same(one, other) for one in given for other in wanted]
    return any(answers)


def sha256_signature(secret: str, body: bytes) -> str:
    """Return Discourse's ``X-Discourse-Event-Signature`` for ``body``: ``sha256=`` and the HMAC in hex digits."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sha256_signed(secrets: Sequence[str], given: str, body: bytes) -> bool:
    """Say whether ``given`` was made over ``body`` with any of ``secrets``; all are compared, so time tells nothing."""
    answers = [same(given, sha256_signature(secret, body)) for secret in secrets]
    return any(answers)
