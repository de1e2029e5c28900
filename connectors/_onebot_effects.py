"""Carrying out effects in QQ groups, and looking whether they happened (rule E-03)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors._cq import read_message, split_text
from connectors._limits import clean_text, id_of
from connectors._onebot_api import Api, ask
from connectors._onebot_history import Event, pages, second_of
from connectors._onebot_wire import is_own
from monitor.core.errors import Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind

LONGEST_MUTE = 30 * 86_400
_LEAST, _MOST = 100, 1000
"""Messages to look at in any case, and at most, when looking for our own."""
_SKEW = 300


class Hand:
    """What acts in the groups: an API, the groups it may touch, and how to walk their history."""

    def __init__(
        self, api: Api, groups: frozenset[str], profile: str, self_id: str | None, seconds: float
    ) -> None:
        self._api = api
        self._groups = groups
        self._profile = profile
        self._self_id = self_id
        self._seconds = seconds
        self.pause = 0.0

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        group = self._group(effect)
        if effect.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return await self._say(effect, group)
        if effect.kind is EffectKind.REMOVE:
            return await self._remove(effect)
        if effect.kind is EffectKind.MUTE:
            return await self._mute(effect, group, author)
        if effect.kind is EffectKind.RESTORE:
            raise Rejected(
                "QQ cannot bring a recalled message back; publish a correction in the group instead"
            )
        raise Rejected("QQ cannot hide a message; it can only recall it")

    def _group(self, effect: Effect) -> str:
        if effect.thread is None or effect.thread not in self._groups:
            raise Rejected("the effect names no group that this channel declares")
        return effect.thread

    async def _call(self, action: str, params: Mapping[str, Any]) -> Any:
        return await self._api.call(action, params, self._seconds)

    async def _ask(self, action: str, params: Mapping[str, Any]) -> Any:
        return await ask(self._api, action, params, self._seconds)

    async def _say(self, effect: Effect, group: str) -> str:
        parts = split_text(effect.text)
        said = await self._said(effect, group) if len(parts) > 1 and effect.attempt > 1 else {}
        receipts: list[str] = []
        for number, part in enumerate(parts):
            known = said.get(_folded(part))
            handle = effect.handle if number == 0 else None
            receipts.append(known or await self._send(group, part, handle, bool(receipts)))
        return receipts[0]

    async def _send(self, group: str, text: str, handle: str | None, begun: bool) -> str:
        message: list[dict[str, Any]] = [{"type": "text", "data": {"text": text}}]
        if handle is not None and _number(handle) is not None:
            message.insert(0, {"type": "reply", "data": {"id": handle}})
        try:
            data = await self._call("send_group_msg", {"group_id": int(group), "message": message})
        except (Unavailable, Rejected) as error:
            if begun:
                raise Uncertain(
                    "the first part of a long message was sent and the next one was not"
                ) from error
            raise
        return (id_of(data.get("message_id")) if isinstance(data, dict) else None) or "sent"

    async def _remove(self, effect: Effect) -> str:
        await self._call(
            "delete_msg", {"message_id": _required(effect.handle, "the effect names no message")}
        )
        return f"recalled:{effect.handle}"

    async def _mute(self, effect: Effect, group: str, author: str | None) -> str:
        user = _required(author, "the effect names no member")
        if not 0 < effect.seconds <= LONGEST_MUTE:
            raise Rejected("a mute lasts from one second to 30 days; zero would lift it")
        params = {"group_id": int(group), "user_id": user, "duration": effect.seconds}
        await self._call("set_group_ban", params)
        return f"muted:{effect.id}:{effect.seconds}"

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an answer stands in the group: its receipt, or None.

        Raises: Unavailable, or Rejected when the QQ program keeps no history.
        """
        group = self._group(effect)
        if effect.kind not in (EffectKind.REPLY, EffectKind.NOTICE):
            return None  # recalling or muting again does no harm, and QQ does not tell
        parts = split_text(effect.text)
        said = await self._said(effect, group)
        if len(parts) > 1:
            found = [said.get(_folded(part)) for part in parts]
            return found[0] if all(found) else None
        mark = _folded(effect.mark or effect.text)
        return next((receipt for text, receipt in said.items() if mark in text), None)

    async def _said(self, effect: Effect, group: str) -> dict[str, str]:
        """Return our own messages since the effect was written: folded text -> message id."""
        since = int(effect.created_at.timestamp()) - _SKEW
        said: dict[str, str] = {}
        seen = 0
        async for page in pages(self._ask, self._profile, group, self.pause):
            for event in page:
                if is_own(event, self._self_id):
                    said[_folded(_text(event))] = id_of(event.get("message_id")) or "sent"
            seen += len(page)
            if second_of(page[0]) < since and seen >= _LEAST:
                return said
            if seen >= _MOST:
                raise Rejected("too much was said since then to tell whether the answer was sent")
        if seen == 0:
            raise Unavailable("the QQ program shows no history of the group")
        return said


def _text(event: Event) -> str:
    return read_message(event.get("message") or event.get("raw_message")).text


def _folded(text: str) -> str:
    """Return ``text`` without white space: programs trim and re-wrap what they send."""
    return "".join(clean_text(text).split())


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) < 20 else None


def _required(text: str | None, why: str) -> int:
    number = _number(text) if text is not None else None
    if number is None:
        raise Rejected(why)
    return number
