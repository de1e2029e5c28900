"""What a fake WeChat writes on the wire: XML messages, their encryption and their signatures."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

__all__ = ["encrypt", "message_xml", "sealed_xml", "sign"]


def sign(*parts: str) -> str:
    """Return the SHA-1 of the sorted, joined parts."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324 - the platform prescribes it


def encrypt(xml: bytes, aes_key: str, appid: str, prefix: bytes = b"") -> str:
    """Return ``xml`` as the platform encrypts it: prefix of 16, length, XML, AppID, padding to 32, base64."""
    key = base64.b64decode(aes_key + "=")
    plain = (prefix or os.urandom(16)) + len(xml).to_bytes(4, "big") + xml + appid.encode()
    padder = padding.PKCS7(256).padder()
    padded = padder.update(plain) + padder.finalize()
    writer = Cipher(AES256(key), CBC(key[:16])).encryptor()
    return base64.b64encode(writer.update(padded) + writer.finalize()).decode()


def message_xml(fields: Mapping[str, object]) -> str:
    """Return a message: numbers bare, texts as CDATA."""
    parts = []
    for name, value in fields.items():
        text = str(value).replace("]]>", "]]]]><![CDATA[>")
        parts.append(f"<{name}>{value if isinstance(value, int) else f'<![CDATA[{text}]]>'}</{name}>")
    return f"<xml>{''.join(parts)}</xml>"


def sealed_xml(account: str, sealed: str, plain: str = "") -> str:
    """Return the envelope of an encrypted message; ``plain`` is its readable twin in compatible mode."""
    inside = plain.removeprefix("<xml>").removesuffix("</xml>")
    head = "" if inside else f"<ToUserName><![CDATA[{account}]]></ToUserName>"
    return f"<xml>{head}{inside}<Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
