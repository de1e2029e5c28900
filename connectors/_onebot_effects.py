"""Carrying out effects in QQ groups, and looking whether they happened (rule E-03)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors._cq import read_message
from connectors._limits import clean_text, id_of
from connectors._onebot_api import Api, ask
from connectors._onebot_history import Event, pages, second_of
from connectors._onebot_wire import Context, Failed, NoAction, is_own
from connectors._parts import Part, parts
from monitor.core.errors import Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind

LONGEST_MUTE = 30 * 86_400
_LEAST, _MOST = 100, 2000
"""Messages to look at in any case, and at most, when looking for our own."""
_SKEW = 300


@dataclass(frozen=True, slots=True)
class _Said:
    """A message of our own: its folded words and its id."""

    words: str
    receipt: str


class Hand:
    """What acts in the groups: an API, who we are there, and how patiently to walk their history."""

    def __init__(self, api: Api, context: Context, seconds: float, pause: float) -> None:
        self._api = api
        self._groups = context.groups
        self._profile = context.profile
        self._self_id = context.self_id
        self._seconds = seconds
        self._pause = pause

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

    # --- saying --------------------------------------------------------------------------------------

    async def _say(self, effect: Effect, group: str) -> str:
        whole = parts(effect)
        if not whole:
            raise Rejected("there are no words to say")
        said = await self._said(effect, group) if len(whole) > 1 and effect.attempt > 1 else []
        receipts: list[str] = []
        for number, part in enumerate(whole):
            known = _take(said, part)
            receipts.append(known or await self._send(effect, group, part, number))
        return receipts[0]

    async def _send(self, effect: Effect, group: str, part: Part, number: int) -> str:
        begun = number > 0
        message = _message(part.text, None if begun else effect.handle)
        try:
            data = await self._call("send_group_msg", {"group_id": int(group), "message": message})
        except (Failed, Rejected) as error:
            receipt = await self._stands_all_the_same(effect, group, part, error)
            if receipt is not None:
                return receipt
            if begun:
                raise Rejected("QQ took the beginning of a long message and refused the rest") from error
            raise
        except Unavailable as error:
            if begun:
                raise Uncertain("the beginning of a long message was sent and the rest was not") from error
            raise
        return (id_of(data.get("message_id")) if isinstance(data, dict) else None) or "sent"

    async def _stands_all_the_same(
        self, effect: Effect, group: str, part: Part, error: Failed | Rejected
    ) -> str | None:
        """Look whether a message that was called failed stands in the group: NapCat says so when QQ is slow."""
        if isinstance(error, NoAction):
            return None
        try:
            return _take(await self._said(effect, group), part)
        except Rejected:
            if isinstance(error, Failed):
                raise Uncertain("the QQ program called the message failed and keeps no history") from error
            return None
        except Unavailable:
            raise Uncertain("the QQ program called the message failed; look again later") from error

    # --- recalling and muting ------------------------------------------------------------------------

    async def _remove(self, effect: Effect) -> str:
        await self._call(
            "delete_msg", {"message_id": _required(effect.handle, "the effect names no message")}
        )
        return f"recalled:{effect.handle}"

    async def _mute(self, effect: Effect, group: str, author: str | None) -> str:
        user = _required(author, "the effect names no member that QQ could mute")
        if not 0 < effect.seconds <= LONGEST_MUTE:
            raise Rejected("a mute lasts from one second to 30 days; zero would lift it")
        params = {"group_id": int(group), "user_id": user, "duration": effect.seconds}
        await self._call("set_group_ban", params)
        return f"muted:{effect.id}:{effect.seconds}"

    # --- looking back --------------------------------------------------------------------------------

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened: its receipt, or None when it surely did not.

        Raises: Unavailable, or Rejected when there is no way to tell.
        """
        group = self._group(effect)
        if effect.kind is EffectKind.REMOVE:
            await self._need_it_there(effect, group)
            return None  # it stands, so it may be recalled again
        if effect.kind not in (EffectKind.REPLY, EffectKind.NOTICE):
            return None  # muting again does no harm, and QQ does not tell
        said = await self._said(effect, group)
        found = [_take(said, part) for part in parts(effect)]
        return found[0] if found and all(found) else None

    async def _need_it_there(self, effect: Effect, group: str) -> None:
        """Return when the message still stands in the group; raise Rejected when QQ does not know it."""
        handle = _required(effect.handle, "the effect names no message")
        seen = 0
        try:
            async for page in pages(self._ask, self._profile, group, self._pause):
                if any(id_of(event.get("message_id")) == effect.handle for event in page):
                    return
                seen += len(page)
                if seen >= _LEAST:
                    break
        except Rejected:
            pass
        try:
            await self._ask("get_msg", {"message_id": handle})
        except Rejected as error:
            raise Rejected(
                "QQ does not know the message any more: it was recalled or forgotten; look in the group"
            ) from error

    async def _said(self, effect: Effect, group: str) -> list[_Said]:
        """Return our own messages since the effect was written, oldest first.

        Raises: Unavailable, or Rejected when the history does not reach back so far.
        """
        since = int(effect.created_at.timestamp()) - _SKEW
        said: list[_Said] = []
        seen, reaches = 0, False
        async for page in pages(self._ask, self._profile, group, self._pause):
            reaches = reaches or any(_is_before(event, effect) for event in page)
            said[:0] = [
                _Said(_folded(_text(event)), id_of(event.get("message_id")) or "sent")
                for event in page
                if second_of(event) >= since and is_own(event, self._self_id)
            ]
            seen += len(page)
            if 0 < second_of(page[0]) < since and seen >= _LEAST:
                return said
            if seen >= _MOST:
                raise Rejected("too much was said since then to tell whether the answer was sent")
        if seen == 0:
            raise Unavailable("the QQ program shows no history of the group")
        if not reaches:
            raise Rejected("the history does not reach back far enough to tell whether the answer was sent")
        return said


def _message(text: str, handle: str | None) -> list[dict[str, Any]]:
    """Return the segments of an answer; ``handle`` is quoted when it is one of QQ's own."""
    words = {"type": "text", "data": {"text": text}}
    if handle is None or _number(handle) is None:
        return [words]
    return [{"type": "reply", "data": {"id": handle}}, words]


def _is_before(event: Event, effect: Effect) -> bool:
    """Say whether a message is surely older than the effect: by its time, or because it is the one answered."""
    is_older = 0 < second_of(event) <= effect.created_at.timestamp()
    return is_older or (effect.handle is not None and id_of(event.get("message_id")) == effect.handle)


def _text(event: Event) -> str:
    return read_message(event.get("message") or event.get("raw_message")).text


def _folded(text: str) -> str:
    """Return ``text`` without white space: programs trim and re-wrap what they send."""
    return "".join(clean_text(text).split())


def _take(said: list[_Said], part: Part) -> str | None:
    """Take our message out of ``said`` and return its id: the same words, or words that bear the same mark."""
    wanted, mark = _folded(part.text), _folded(part.mark)
    found = next((one for one in said if one.words == wanted), None)
    if found is None and mark and mark in wanted:
        found = next((one for one in said if mark in one.words), None)
    if found is None:
        return None
    said.remove(found)
    return found.receipt


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) < 20 else None


def _required(text: str | None, why: str) -> int:
    number = _number(text) if text is not None else None
    if number is None:
        raise Rejected(why)
    return number
