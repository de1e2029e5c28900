"""Robots of group chats: one text, and an answer whose code counts, whatever HTTP says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors._notify_http import Post, code_in, cut, encoded, judged, wait_until
from monitor.core.alerts import StaffMessage
from monitor.core.errors import RateLimited, Rejected, Uncertain


@dataclass(frozen=True, slots=True)
class Kind:
    """What one maker's robots have in common.

    Attributes:
        codes: fields of the answer that hold the code, the newest name first; 0 means taken.
        hurried: codes that ask to wait, and for how many seconds.
        refused: code -> what to mend.
        longest: most bytes of a text.
    """

    codes: tuple[str, ...]
    hurried: Mapping[int, float]
    refused: Mapping[int, str]
    longest: int


class Robot:
    """One robot (see :class:`monitor.core.ports.Notifier`); it has no way to tell a repetition."""

    is_idempotent = False

    def __init__(
        self,
        name: str,
        kind: Kind,
        post: Post,
        body: Callable[[str], Mapping[str, Any]],
        query: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.name = name
        self._kind = kind
        self._post = post
        self._body = body
        self._query = query

    async def send(self, message: StaffMessage) -> None:
        """Carry one message (see ``Notifier.send``)."""
        body = encoded(self._body(words_of(message, self._kind.longest)))
        status, answer, headers = await self._post.send(body, query=self._query())
        judged(status, headers)
        code = code_in(answer, *self._kind.codes)
        if code is None:
            raise Uncertain("the answer is none of a robot: is there a proxy in between?")
        if code in self._kind.hurried:
            raise RateLimited(f"the robot asks to wait ({code})", wait_until("", self._kind.hurried[code]))
        if code != 0:
            mend = self._kind.refused.get(code, "see its maker's list of codes")
            raise Rejected(f"the robot refused the message ({code}): {mend}")

    async def close(self) -> None:
        """Do nothing: no connection stays open."""


def words_of(message: StaffMessage, limit: int) -> str:
    """Return a message as one text of at most ``limit`` bytes; the link at its end is kept whole."""
    tail = f"\n{message.link}" if message.link else ""
    room = limit - len(tail.encode())
    said = "\n".join(filter(None, (message.title, message.text)))
    return cut(said, room) + tail if room > 40 else cut(said, limit)


__all__ = ["Kind", "Robot", "words_of"]
