"""Ids for posts that have none: a digest of where, when and what was said, and how often that stood there before."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 200_000


class Occurrences:
    """Numbers equal posts of one file from its top, so that two exports that overlap give them the same ids.

    Who said it is no part of the digest: ids are stored in the clear beside the post, and a digest without a key
    over the number of a member could be tried out against a list of members. Two members who say the same words in
    the same second are told apart by their order.

    Memory is bounded: what has not been seen for 200,000 different posts counts as not seen.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def next_id(self, thread: str | None, when: str, text: str) -> str:
        """Return the id of the next post of this file that stands there, then, and says that."""
        said = "\x1f".join((thread or "", when, text)).encode("utf-8", "replace")
        digest = hashlib.sha256(said).digest()[:16]
        number = self._seen.pop(digest, 0) + 1
        self._seen[digest] = number
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return f"{self._prefix}-{digest.hex()}-{number}"
