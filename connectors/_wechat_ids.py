"""Ids of a WeChat channel: articles, comments, and members whose openid must not stand anywhere in the clear."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_OPENID = 100
_MSGID = re.compile(r"([0-9]{1,18})(?:_([1-9][0-9]?))?", re.ASCII)
_COMMENT = re.compile(r"c:([0-9]{1,18}):([0-9]{1,2}):([0-9]{1,18})", re.ASCII)
_ARTICLE = re.compile(r"([0-9]{1,18}):([0-9]{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Article:
    """One article: the push it went out with, and its place there, counted from 0 as the comment API does."""

    msg_data_id: int
    index: int

    @property
    def key(self) -> str:
        """Return the article's key inside the cursor."""
        return f"{self.msg_data_id}:{self.index}"

    @property
    def thread(self) -> str:
        """Return the thread that its comments stand in."""
        return f"a:{self.key}"

    def params(self) -> dict[str, int]:
        """Return the article as the comment API wants it."""
        return {"msg_data_id": self.msg_data_id, "index": self.index}


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment: its article and its number there."""

    article: Article
    number: int

    def __str__(self) -> str:
        return f"c:{self.article.key}:{self.number}"

    def params(self) -> dict[str, int]:
        """Return the comment as the comment API wants it."""
        return {**self.article.params(), "user_comment_id": self.number}


def article_of(msgid: object) -> Article | None:
    """Return the article of WeChat's ``12003_3`` (counted from 1; without ``_3`` the first), or None."""
    found = _MSGID.fullmatch(msgid) if isinstance(msgid, str) else None
    return Article(int(found[1]), int(found[2] or 1) - 1) if found else None


def article_at(key: str) -> Article | None:
    """Return the article of a key inside the cursor, or None."""
    found = _ARTICLE.fullmatch(key)
    return Article(int(found[1]), int(found[2])) if found else None


def comment_of(handle: str | None) -> Comment | None:
    """Return the comment that a handle means, or None when it means a message."""
    found = _COMMENT.fullmatch(handle or "")
    return Comment(Article(int(found[1]), int(found[2])), int(found[3])) if found else None


class Members:
    """Turns openids into names that tell nothing, and handles that only this channel can open again.

    The key comes from the AppSecret: after a new one, older handles cannot be opened and a person has to answer.
    """

    def __init__(self, secret: str, channel: str) -> None:
        made = HKDF(SHA256(), 64, None, b"huiyin wechat members").derive(secret.encode())
        self._mac = made[:32]
        self._seal = AESSIV(made[32:])
        self._channel = channel.encode()

    def digest(self, *parts: str) -> str:
        """Return a keyed digest of ``parts`` (24 hex digits)."""
        text = "\0".join(parts).encode("utf-8", "replace")
        return hmac.new(self._mac, text, "sha256").hexdigest()[:24]

    def thread(self, openid: str) -> str:
        """Return the thread of one member's conversation with the account."""
        return f"u:{self.digest('thread', openid)}"

    def handle(self, openid: str) -> str:
        """Return what leads back to the member, for us only."""
        sealed = self._seal.encrypt(openid.encode(), [self._channel])
        return "w:" + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def openid(self, handle: str | None) -> str | None:
        """Return the openid inside a handle, or None when it is none of ours."""
        if not handle or not handle.startswith("w:"):
            return None
        text = handle[2:]
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return self._seal.decrypt(sealed, [self._channel]).decode()
        except (binascii.Error, ValueError, InvalidTag):
            return None
