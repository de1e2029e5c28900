"""Carrying out effects on Weibo, and looking whether they happened (rule E-03)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from connectors import _weibo_wire as wire
from connectors._limits import clean_text
from connectors._weibo_api import DELAYED, NO_COMMENT, REPEATED, Api, Refused
from connectors._weibo_lists import Lists
from connectors._weibo_wire import LONGEST, Target
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind

_SAYING = (EffectKind.REPLY, EffectKind.NOTICE)
_CLOCKS = timedelta(hours=1)
_PAGES = 4
"""Pages of our own comments that are looked through for an answer."""


class Hand:
    """What acts for the account: answers as comments, and deleting where there is a contract for it."""

    def __init__(self, api: Api, lists: Lists) -> None:
        self._api = api
        self._lists = lists

    async def perform(self, effect: Effect) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        target = wire.target_of(effect.handle)
        if effect.kind in _SAYING:
            return await self._answer(effect, target)
        if effect.kind is EffectKind.REMOVE:
            return await self._delete(target)
        raise Rejected(f"Weibo's interface cannot {effect.kind}; do it in the app of Weibo")

    # --- answering -----------------------------------------------------------------------------------

    async def _answer(self, effect: Effect, target: Target | None) -> str:
        if target is None:
            raise Rejected("the effect names no comment or post of Weibo; answer in the app of Weibo")
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        if (length := wire.length_of(text)) > LONGEST:
            raise Rejected(f"the answer is {length} characters long and Weibo takes {LONGEST}; shorten it")
        try:
            row = await self._say(target, text)
        except Refused as error:
            if error.number == DELAYED:
                return f"pending:{target}"
            if error.number not in REPEATED:
                raise
            return await self._before(effect, target, error)
        return f"said:{wire.key_of(row) or target}"

    async def _say(self, target: Target, text: str) -> Mapping[str, Any]:
        form = {"id": target.post, "comment": text, "comment_ori": "0"}
        if target.comment:
            return await self._api.call(
                "comments/reply", {**form, "cid": target.comment, "without_mention": "0"}
            )
        return await self._api.call("comments/create", form)

    async def _before(self, effect: Effect, target: Target, error: Refused) -> str:
        """Return the receipt of an answer that Weibo calls a repetition, when it is this one."""
        try:
            found = await self._said(effect, target)
        except (Unavailable, RateLimited):
            raise Uncertain("Weibo says the words were sent already, and does not show where") from None
        if found is None:
            raise error
        return found

    # --- deleting ------------------------------------------------------------------------------------

    async def _delete(self, target: Target | None) -> str:
        if not self._api.is_commercial:
            raise Rejected(
                "Weibo lets only its commercial interface delete comments; do it in the app of Weibo"
            )
        if target is None or not target.comment:
            raise Rejected("Weibo lets nobody delete somebody else's post; report it in the app of Weibo")
        try:
            await self._api.call("comments/destroy", {"cid": target.comment}, commercial=True)
        except Refused as error:
            if error.number != NO_COMMENT:
                raise
            return f"gone:{target}"
        self._lists.note_deleted(target.comment)
        return f"deleted:{target}"

    # --- looking back --------------------------------------------------------------------------------

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened (see ``Connector.read_back``)."""
        target = wire.target_of(effect.handle)
        if target is None:
            return None  # nothing was ever tried
        if effect.kind in _SAYING:
            return await self._said(effect, target)
        if effect.kind is EffectKind.REMOVE and target.comment:
            stands = await self._lists.ask_for([target.comment])
            return None if stands else f"gone:{target}"
        return None

    async def _said(self, effect: Effect, target: Target) -> str | None:
        """Look for our answer among our own comments, back to the time at which it was ordered."""
        since = effect.created_at - _CLOCKS
        for page in range(1, _PAGES + 1):
            answer = await self._api.ask(
                "comments/by_me", {"count": "50", "page": str(page)}, commercial=False
            )
            rows = answer.get("comments") if isinstance(answer, dict) else None
            if not isinstance(rows, list):
                raise Unavailable("Weibo's list cannot be read")
            for row in rows:
                if wire.key_of(row.get("status")) == target.post and _is_said(effect, row):
                    return f"said:{wire.key_of(row) or target}"
            times = [at for row in rows if (at := wire.time_of(row.get("created_at")))]
            if not rows or (times and min(times) < since):
                return None
        return None


def _is_said(effect: Effect, row: Mapping[str, Any]) -> bool:
    said = "".join(str(row.get("text", "")).split())
    return "".join((effect.mark or clean_text(effect.text)).split()) in said


__all__ = ["Hand"]
