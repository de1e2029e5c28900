"""OneBot v11 on the wire, as pure functions: events to posts, stable ids, answers to errors.

Source: OneBot v11 (event, api, communication chapters) and the observed habits of NapCat, LLOneBot,
Lagrange.OneBot and go-cqhttp. A profile says which of these speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors._cq import read_message
from connectors._limits import from_unix, id_of
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable
from monitor.core.model import PostKind, RawPost

NAPCAT, LLONEBOT, LAGRANGE, GOCQ, STRICT, UNKNOWN = (
    "napcat",
    "llonebot",
    "lagrange",
    "go-cqhttp",
    "strict",
    "unknown",
)
PROFILES = (NAPCAT, LLONEBOT, LAGRANGE, GOCQ, STRICT, UNKNOWN)
_NAMES = {
    "napcat": NAPCAT,
    "llonebot": LLONEBOT,
    "lucky": LLONEBOT,
    "lagrange": LAGRANGE,
    "go-cqhttp": GOCQ,
}


def profile_of(app_name: object) -> str:
    """Return the profile of an implementation by the beginning of its ``app_name``, whatever its case."""
    name = app_name.lower() if isinstance(app_name, str) else ""
    return next((profile for start, profile in _NAMES.items() if name.startswith(start)), UNKNOWN)


@dataclass(frozen=True, slots=True)
class Context:
    """What is needed to read an event: the channel, its declared groups, who speaks the protocol, who we are."""

    channel: str
    groups: frozenset[str]
    profile: str = UNKNOWN
    self_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is no post: ``kind`` is a stable word for the counters."""

    kind: str


def external_id(event: Mapping[str, Any], group: str, profile: str) -> str | None:
    """Return the id that stays the same for a message in this profile, or None when it cannot be made.

    It never holds a member's number: ids are stored beside the post, and nothing there may lead to a person.
    """
    message_id = id_of(event.get("message_id"))
    told = {NAPCAT: "real_seq", LLONEBOT: "message_seq", GOCQ: "message_seq"}.get(profile, "")
    seq = id_of(event.get(told))
    if seq not in (None, "0"):
        return f"{group}:{seq}"
    if message_id is None:
        return None
    return f"{group}:{message_id}:{_seconds(event)}"


def _seconds(event: Mapping[str, Any]) -> str:
    at = from_unix(event.get("time"))
    return "" if at is None else str(int(at.timestamp()))


def author_of(event: Mapping[str, Any]) -> str | None:
    """Return the native id of who wrote a message; an anonymous one has its own id."""
    anonymous = event.get("anonymous")
    if isinstance(anonymous, dict) and (hidden := id_of(anonymous.get("id"))):
        return f"anonymous:{hidden}"
    sender = event.get("sender")
    inner = sender.get("user_id") if isinstance(sender, dict) else None
    return id_of(event.get("user_id")) or id_of(inner)


def posted_at(event: Mapping[str, Any]) -> datetime | None:
    """Return when the message was written, or None for an impossible time."""
    return from_unix(event.get("time"))


def _kind(event: Mapping[str, Any]) -> str:
    parts = [
        event.get(key)
        for key in ("post_type", "message_type", "notice_type", "request_type", "meta_event_type")
    ]
    words = [part for part in parts if isinstance(part, str) and part.isascii() and part.isprintable()]
    return ".".join(word[:40] for word in words) or "unknown"


def is_own(event: Mapping[str, Any], self_id: str | None) -> bool:
    """Say whether the bot itself wrote the message."""
    own = self_id or id_of(event.get("self_id"))
    return event.get("post_type") == "message_sent" or (own is not None and author_of(event) == own)


def read_group_message(event: Mapping[str, Any], context: Context, group: str) -> RawPost | Ignored:
    """Return the post that a group message is, live or from the history.

    Raises: Malformed when it has no id.
    """
    if is_own(event, context.self_id):
        return Ignored("own")
    if event.get("sub_type") == "notice":
        return Ignored("system_words")
    key = external_id(event, group, context.profile)
    if key is None:
        raise Malformed("the message has no id", "no_id")
    message = event.get("message")
    words = read_message(message if message else event.get("raw_message"))
    if not words.text:
        return Ignored("empty")
    return RawPost(
        channel=context.channel,
        external_id=key,
        text=words.text,
        author=author_of(event),
        posted_at=posted_at(event),
        thread=group,
        reply_to=words.reply_to,
        handle=id_of(event.get("message_id")),
        quoted=words.quoted,
    )


def _read_recall(event: Mapping[str, Any], context: Context, group: str) -> RawPost | Ignored:
    handle = id_of(event.get("message_id"))
    if handle is None:
        raise Malformed("the recall names no message", "no_id")
    author, operator = id_of(event.get("user_id")), id_of(event.get("operator_id"))
    own = context.self_id or id_of(event.get("self_id"))
    if author is not None and author == own:
        return Ignored("own_recall")
    return RawPost(
        channel=context.channel,
        external_id="",
        text="",
        kind=PostKind.REMOVAL,
        author=author,
        posted_at=posted_at(event),
        thread=group,
        handle=handle,
        by=_remover(author, operator, own),
    )


def _remover(author: str | None, operator: str | None, self_id: str | None) -> str | None:
    if operator is None:
        return None
    if operator == self_id:
        return "self"
    return "author" if operator == author else "moderator"


def read_event(event: object, context: Context) -> RawPost | Ignored:
    """Return what an event means to us: a post, a removal, or something to count and leave.

    Raises: Malformed for an object that is no event or lacks its ids.
    """
    if not isinstance(event, dict):
        raise Malformed("the event is not an object", "shape")
    is_message = (
        event.get("post_type") in ("message", "message_sent") and event.get("message_type") == "group"
    )
    is_recall = event.get("post_type") == "notice" and event.get("notice_type") == "group_recall"
    if not is_message and not is_recall:
        return Ignored(_kind(event))
    group = id_of(event.get("group_id"))
    if group is None:
        raise Malformed("the event names no group", "shape")
    if group not in context.groups:
        return Ignored("other_group")
    return read_group_message(event, context, group) if is_message else _read_recall(event, context, group)


# --- answers ---------------------------------------------------------------------------------------

_SCHEMA = {100, 400, 1400}
_TOKEN = {401, 403, 1401, 1403}
_NO_ACTION = {404, 1404}
_BUSY = {-1, 500, 502, 503, 1500, 9000}


class NoAction(Rejected):
    """The implementation does not know the action."""


class TokenRefused(Unavailable):
    """The other side refused our token."""


class Failed(Unavailable):
    """The implementation answered that it could not; with some of them the message stands all the same."""


def is_ok(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer is a success: ``ok`` with 0; Lagrange has failures with retcode 0."""
    return answer.get("status") == "ok" and answer.get("retcode") == 0


def error_of(action: str, answer: Mapping[str, Any]) -> ConnectorError:
    """Return the error of a failed answer by its code; its text may hold names and is never repeated."""
    code = answer.get("retcode")
    code = code if isinstance(code, int) else "none"
    if code in _NO_ACTION:
        return NoAction(f"the QQ program does not know the action {action}")
    if code in _TOKEN:
        return TokenRefused(
            f"the QQ program refused the token (code {code}); set the same token on both sides"
        )
    if code in _BUSY:
        return Failed(f"the QQ program could not carry out {action} now (code {code})")
    if code in _SCHEMA:
        return Rejected(f"the QQ program refused {action} (code {code})")
    return Rejected(f"QQ refused {action} (code {code}): rights, age of the message, or the group's settings")


# --- what a notice says of ourselves ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AboutUs:
    """What happened to our own account: ``online``, ``offline``, or in a group ``admin``, ``member``, ``gone``."""

    what: str
    group: str | None = None


def about_us(event: Mapping[str, Any], self_id: str | None) -> AboutUs | None:
    """Return what an event says of our own account, or None."""
    if event.get("meta_event_type") == "heartbeat":
        status = event.get("status")
        online = status.get("online") if isinstance(status, dict) else None
        return AboutUs("online" if online else "offline") if isinstance(online, bool) else None
    kind, sub_type = event.get("notice_type"), event.get("sub_type")
    if kind in ("bot_offline", "bot_online"):
        return AboutUs("offline" if kind == "bot_offline" else "online")
    group, own = id_of(event.get("group_id")), self_id or id_of(event.get("self_id"))
    is_us = own is not None and id_of(event.get("user_id")) == own
    left = kind == "group_decrease" and (is_us or sub_type in ("kick_me", "disband"))
    if left or kind == "group_dismiss":
        return AboutUs("gone", group)
    if kind == "group_admin" and is_us:
        return AboutUs("admin" if sub_type == "set" else "member", group)
    return None
