"""What the answers of the QQ bot API mean, by their code and never by their words.

Source: QQ bot API v2, error codes; a body has ``err_code``, on older paths ``code``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable, Uncertain

MUTED_WAIT: Final = 600.0
BUSY_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 86_400.0

TOKEN: Final = frozenset({11241, 11242, 11243, 11251, 11261})
_NO_RIGHT: Final = frozenset({11253, 11254})
_GONE: Final = frozenset({11255, 40011028, 40034101, 40054003})
_BUSY: Final = frozenset({22009, 40034100, 1100100, 100001})
_EXPIRED: Final = frozenset({304026, 40034024, 304027, 304103, 40034005, 40034128})
_SILENCED: Final = frozenset({40054002, 850018})
_CONTENT: Final = frozenset({40034006, 304025, 1100101})
_LINK: Final = frozenset({304003, 40054010})
_TOO_LONG: Final = frozenset({40054007, 40054018})
_TOO_LATE: Final = frozenset({40064004, 306004})
_AGAIN: Final = frozenset({306003, 306005, 306006, 50055001, 50065001, 11252, 11281})
_AUDIT: Final = frozenset({304023, 304024})
_CREDENTIALS: Final = frozenset({100007, 100016, 10004})
_DUPLICATE: Final = 40054005
_NOT_FIRST: Final = 40034105
_NO_POWER: Final = 40062003


class TokenStale(Unavailable):
    """The platform does not take the token any more: nothing was done."""


class CredentialsRefused(Rejected):
    """The platform does not know this app id or secret, or has banned the bot."""


class WindowOver(Rejected):
    """The message is too old to be answered passively, or was answered five times."""


class AlreadySent(Rejected):
    """The platform has a message with this ``msg_id`` and ``msg_seq``."""


class InAudit(Rejected):
    """The platform has taken the message and looks at it before it is shown: it is sent."""


class NotGranted(Rejected):
    """The bot has not the right to this call."""


class GroupLost(Rejected):
    """The bot is not in the group any more."""


class NoPower(Rejected):
    """The bot is no administrator of the group."""


def code_of(answer: Mapping[str, Any]) -> int | None:
    """Return the code of an answer, given as number or text; 0 and nothing mean success."""
    for key in ("err_code", "code"):
        value = answer.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value != 0:
            return value
    return None


def wait_of(value: str | None) -> float:
    """Return the seconds of a ``Retry-After``, between one second and a day."""
    try:
        seconds = float(value or BUSY_WAIT)
    except ValueError:
        return BUSY_WAIT
    return min(max(seconds, 1.0), _LONGEST_WAIT) if math.isfinite(seconds) else BUSY_WAIT


def _refusal(what: str, code: int) -> ConnectorError | None:
    """Return the error of a code that a person has to look at, or None."""
    told = f"(code {code})"
    if code in _CREDENTIALS:
        return CredentialsRefused(f"QQ does not take the app id or secret, or banned the bot {told}")
    if code in _NO_RIGHT:
        return NotGranted(
            f"QQ has not granted the bot the right to {what} {told}; apply for it in the console"
        )
    if code in _GONE:
        return GroupLost(f"the bot is not in the group any more {told}; add it again")
    if code in _EXPIRED:
        return WindowOver(f"the message cannot be answered directly any more {told}")
    if code == _NOT_FIRST:
        return Rejected(f"the group's owner has not allowed the bot to speak by itself {told}")
    if code == _DUPLICATE:
        return AlreadySent(f"QQ has this answer already {told}")
    if code in _CONTENT:
        return Rejected(f"QQ refused the content {told}; change the words")
    if code in _LINK:
        return Rejected(f"QQ refused a link {told}; register its domain in the console of the bot")
    if code in _TOO_LONG:
        return Rejected(f"QQ finds the message too long {told}")
    if code == _NO_POWER:
        return NoPower(f"the bot is no administrator of the group {told}; make it one in QQ, then try again")
    if code in _TOO_LATE:
        return Rejected(
            f"QQ recalls a message only within two minutes {told}; remove it by hand in the group"
        )
    if code in _AUDIT:
        return InAudit(f"QQ looks at the message before it is shown {told}")
    return None


def error_of(
    what: str, status: int, code: int | None, retry_after: str | None, now: datetime
) -> ConnectorError:
    """Return the error of an answer that is no success.

    Args:
        what: the call in words.
        status: HTTP status.
        code: the platform's own code, if the answer was readable and had one.
        retry_after: the header of this name.
        now: the present moment.
    """
    if code in TOKEN or (status == 401 and code is None):
        return TokenStale(f"QQ does not take the access token (code {code or status})")
    if status == 429 or code in _BUSY:
        until = now + timedelta(seconds=wait_of(retry_after))
        return RateLimited(f"QQ asks to wait before the next attempt to {what}", until)
    if code in _SILENCED:
        until = now + timedelta(seconds=MUTED_WAIT)
        return RateLimited(
            f"the bot or the whole group is muted (code {code}); an administrator can lift it", until
        )
    if code in _AGAIN:
        return Unavailable(f"QQ could not {what} now (code {code})")
    if code is not None and (refused := _refusal(what, code)) is not None:
        return refused
    if 400 <= status < 500 or (status < 300 and code is not None):
        return Rejected(f"QQ refused to {what} (HTTP {status}, code {code or 'none'})")
    return Uncertain(f"QQ did not say whether it could {what} (HTTP {status}, code {code or 'none'})")


__all__ = [
    "TOKEN",
    "AlreadySent",
    "CredentialsRefused",
    "GroupLost",
    "InAudit",
    "NoPower",
    "NotGranted",
    "TokenStale",
    "WindowOver",
    "code_of",
    "error_of",
    "wait_of",
]
