"""How often the bot may speak: the five direct answers to a message, and the quota of messages of its own."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.core.errors import RateLimited, Rejected

ANSWERS: Final = 5
"""Direct answers to one message."""
GROUP_MINUTE: Final = 20
GROUP_DAY: Final = 1_000
_REMEMBERED: Final = 2_000


class Turns:
    """Which ``msg_seq`` each answer to a message has: the same answer the same number, so twice is refused."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, dict[str, int]] = OrderedDict()

    def known(self, message_id: str, key: str) -> bool:
        """Say whether this answer was tried before in this process."""
        return key in self._taken.get(message_id, {})

    def take(self, message_id: str, key: str) -> int | None:
        """Return the number of an answer, a new one at its first try; None when all five are used up."""
        taken = self._taken.setdefault(message_id, {})
        self._taken.move_to_end(message_id)
        while len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        if key not in taken:
            if len(taken) >= ANSWERS:
                return None
            taken[key] = len(taken) + 1
        return taken[key]

    def give_up(self, message_id: str, key: str) -> None:
        """Leave a number to somebody else, who has used it before we were started."""
        taken = self._taken[message_id]
        number = taken.pop(key)
        taken[f"\x00{number}"] = number


@dataclass(slots=True)
class _Window:
    seconds: float
    most: int
    sent: deque[float]

    def wait(self, now: float, count: int) -> float:
        while self.sent and self.sent[0] <= now - self.seconds:
            self.sent.popleft()
        over = len(self.sent) + count - self.most
        return 0.0 if over <= 0 else self.sent[over - 1] + self.seconds - now


class Quota:
    """Messages without a question, which the platform counts per bot and group.

    Args:
        per_minute: of the whole bot.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bot = _Window(60, per_minute, deque())
        self._groups: dict[str, tuple[_Window, _Window]] = {}

    def need(self, group: str, count: int) -> None:
        """Return when ``count`` messages may leave now.

        Raises: RateLimited until when they may; Rejected when so many never may.
        """
        windows = self._windows(group)
        if count > min(window.most for window in windows):
            raise Rejected("the text is too long: QQ allows not so many messages in a minute; shorten it")
        wait = max(window.wait(self._clock(), count) for window in windows)
        if wait > 0:
            until = datetime.now(UTC) + timedelta(seconds=wait)
            raise RateLimited("the quota of messages without a question is used up for now", until)

    def spend(self, group: str) -> None:
        """Count one message that leaves."""
        for window in self._windows(group):
            window.sent.append(self._clock())

    def _windows(self, group: str) -> tuple[_Window, _Window, _Window]:
        if group not in self._groups:
            self._groups[group] = (
                _Window(60, GROUP_MINUTE, deque()),
                _Window(86_400, GROUP_DAY, deque()),
            )
        return (self._bot, *self._groups[group])


__all__ = ["ANSWERS", "GROUP_DAY", "GROUP_MINUTE", "Quota", "Turns"]
