"""The actions of the fake QQ program: OneBot v11 and the extension for history, with each program's habits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.testing._fake_groups import APP_NAMES, Group, Message

_CODE = re.compile(r"\[CQ:(\w+)((?:,\w+=[^,\[\]]*)*)\]")


class Refused(Exception):
    """An action that the program refuses; ``kind`` is schema, unknown or failed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


_CODES = {
    "napcat": {"schema": (1400, 400), "unknown": (1404, 200), "failed": (1200, 200)},
    "llonebot": {"schema": (1400, 400), "unknown": (1404, 404), "failed": (1200, 200)},
    "lagrange": {"schema": (200, 200), "unknown": (404, 404), "failed": (200, 200)},
    "go-cqhttp": {"schema": (100, 100), "unknown": (404, 404), "failed": (100, 100)},
    "strict": {"schema": (1400, 400), "unknown": (1404, 404), "failed": (100, 100)},
}


def code_of(profile: str, kind: str, over_http: bool) -> int:
    """Return the retcode that the program of ``profile`` gives for a kind of refusal."""
    return _CODES[profile][kind][1 if over_http else 0]


def to_segments(message: object) -> list[dict[str, Any]]:
    """Return a message in array form; a string is read with its CQ codes."""
    if isinstance(message, list):
        return [part for part in message if isinstance(part, dict) and "type" in part]
    if isinstance(message, dict):
        return [message]
    if not isinstance(message, str) or not message:
        raise Refused("schema", "message is missing")
    found: list[dict[str, Any]] = []
    last = 0
    for code in _CODE.finditer(message):
        found += _text(message[last : code.start()])
        pairs = (pair.split("=", 1) for pair in code[2].split(",") if pair)
        found.append({"type": code[1], "data": {key: _plain(value) for key, value in pairs}})
        last = code.end()
    return found + _text(message[last:])


def _plain(text: str) -> str:
    return text.replace("&#91;", "[").replace("&#93;", "]").replace("&#44;", ",").replace("&amp;", "&")


def _coded(text: str) -> str:
    return text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")


def _text(part: str) -> list[dict[str, Any]]:
    return [{"type": "text", "data": {"text": _plain(part)}}] if part else []


def to_string(segments: list[dict[str, Any]]) -> str:
    """Return segments in string form."""
    out = ""
    for part in segments:
        data = part.get("data") or {}
        if part["type"] == "text":
            out += _coded(str(data.get("text", "")))
        else:
            pairs = "".join(
                f",{key}={_coded(str(value)).replace(',', '&#44;')}" for key, value in data.items()
            )
            out += f"[CQ:{part['type']}{pairs}]"
    return out


def number(params: Mapping[str, Any], name: str) -> int:
    """Return a number from the parameters, given as number or text.

    Raises: Refused when it is neither.
    """
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Refused("schema", f"{name} is missing")
    try:
        return int(value)
    except ValueError:
        raise Refused("schema", f"{name} is no number") from None


@dataclass(frozen=True, slots=True)
class Anchor:
    """How a program names the message at which a page of history begins."""

    name: str
    by_seq: bool


_ANCHORS = {
    "napcat": Anchor("message_seq", False),
    "llonebot": Anchor("message_seq", True),
    "lagrange": Anchor("message_id", False),
    "go-cqhttp": Anchor("message_seq", True),
}


def history(profile: str, group: Group, params: Mapping[str, Any]) -> list[Message]:
    """Return one page as the program of ``profile`` does: the anchor is included, oldest first.

    Raises: Refused for an anchor that NapCat does not know, or when the program keeps no history.
    """
    if profile not in _ANCHORS:
        raise Refused("unknown", "no such action")
    anchor = _ANCHORS[profile]
    count = min(max(number({"count": params.get("count", 20)}, "count"), 1), 100)
    messages = list(group.messages.values())
    given = params.get(anchor.name)
    if given in (None, "", 0, "0"):
        return messages[-count:]
    wanted = number({"anchor": given}, "anchor")
    position = _position(messages, wanted, anchor.by_seq)
    if position is None:
        raise Refused("failed", "the anchor is not known")
    backwards = bool(params.get("reverse_order", params.get("reverseOrder", False)))
    if profile == "napcat" and not backwards:
        return messages[position : position + count]
    page = messages[max(0, position + 1 - count) : position + 1]
    return page[::-1] if profile == "llonebot" and backwards else page


def _position(messages: list[Message], wanted: int, by_seq: bool) -> int | None:
    key: Callable[[Message], int] = (lambda m: m.seq) if by_seq else (lambda m: m.message_id)
    return next((place for place, message in enumerate(messages) if key(message) == wanted), None)


def version(profile: str) -> dict[str, Any]:
    """Return the answer of ``get_version_info``."""
    name, number_ = APP_NAMES[profile]
    return {"app_name": name, "app_version": number_, "protocol_version": "v11"}


def group_info(group: Group) -> dict[str, Any]:
    """Return one row of ``get_group_list``."""
    return {
        "group_id": group.number,
        "group_name": group.name,
        "member_count": len(group.members),
        "max_member_count": 2000,
    }


def member_info(group: Group, user: int) -> dict[str, Any]:
    """Return the answer of ``get_group_member_info``.

    Raises: Refused for somebody who is not in the group.
    """
    if user not in group.members:
        raise Refused("failed", "no such member")
    name, role = group.members[user]
    return {
        "group_id": group.number,
        "user_id": user,
        "nickname": name,
        "card": "",
        "role": role,
        "title": "",
    }
