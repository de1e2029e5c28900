"""Carrying out effects on NodeBB, and looking whether they happened (rule E-03)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from connectors._comments_words import as_markdown, is_said
from connectors._forum_hand import ForumHand
from connectors._html import words_in
from connectors._limits import clean_text, id_of
from connectors._nodebb_api import Api, Refused
from connectors._nodebb_forum import is_gone, number_of
from monitor.core.errors import Rejected, Uncertain
from monitor.core.model import Effect
from monitor.words import _

PAGES: Final = 10
"""Last pages of a topic in which an answer is looked for."""
_LEEWAY_MS: Final = 300_000


class Hand(ForumHand):
    """What acts for an account of NodeBB."""

    site = "NodeBB"
    restored = "restored"

    def __init__(self, api: Api, moderates: bool) -> None:
        super().__init__(moderates)
        self._api = api

    def _post_of(self, effect: Effect) -> int | None:
        return number_of({"pid": effect.handle}) if effect.handle else None

    def _is_gone(self, row: Mapping[str, Any]) -> bool:
        return is_gone(row)

    async def _row(self, number: int) -> dict[str, Any] | None:
        """Return a post as it stands now, None when it was purged."""
        try:
            return await self._api.object(f"/api/v3/posts/{number}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _take_away(self, number: int) -> None:
        await self._api.act("DELETE", f"/api/v3/posts/{number}/state")

    async def _give_back(self, number: int) -> None:
        await self._api.act("PUT", f"/api/v3/posts/{number}/state")

    # --- muting --------------------------------------------------------------------------------------

    async def _silence(self, effect: Effect, author: str | None) -> str:
        if author is None or not author.isascii() or not author.isdigit() or author == "0":
            raise Rejected("the effect names no member who could be muted")
        until = int(time.time() * 1000) + effect.seconds * 1000
        if not await self._is_muted(author, until):  # a second muting would shorten a longer one
            reason = clean_text(effect.text).strip()[:200] or _("依照公布的规则处理")
            await self._api.act("PUT", f"/api/v3/users/{author}/mute", {"until": until, "reason": reason})
        return f"muted:{effect.id}"

    async def _is_muted(self, author: str, until: int) -> bool:
        told = (await self._api.object(f"/api/user/uid/{author}")).get("mutedUntil")
        return isinstance(told, int | float) and not isinstance(told, bool) and told >= until

    # --- saying --------------------------------------------------------------------------------------

    async def _say(self, effect: Effect) -> str:
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        topic, parent = await self._where(effect)
        body: dict[str, Any] = {"content": as_markdown(text)}
        if parent is not None:
            body["toPid"] = parent
        told = await self._api.act("POST", f"/api/v3/topics/{topic}", body)
        number = number_of(told)
        if number is not None:
            return f"post:{number}"
        if told.get("queued") is True:
            self.waiting += 1
            return f"queued:{(id_of(told.get('id')) or 'post')[:80]}"
        raise Uncertain("NodeBB's answer does not say whether the words were posted")

    async def _where(self, effect: Effect) -> tuple[str, int | None]:
        """Return topic and post of what is answered; a post may have moved since it was read."""
        number = self._post_of(effect)
        row = None if number is None else await self._row(number)
        topic = id_of((row or {}).get("tid")) or effect.thread or ""
        if not (topic.isascii() and topic.isdigit()):
            raise Rejected("the effect names no topic to answer in")
        return topic, None if row is None or is_gone(row) else number

    # --- looking back --------------------------------------------------------------------------------

    async def _said(self, effect: Effect) -> str | None:
        topic, _parent = await self._where(effect)
        return await self._find(effect, topic)

    async def _silenced(self, effect: Effect, row: dict[str, Any] | None) -> str | None:
        author = id_of((row or {}).get("uid"))
        if author is None:
            raise Rejected("the post is not there any more, and with it goes who wrote it")
        until = int(effect.created_at.timestamp() * 1000) + effect.seconds * 1000 - _LEEWAY_MS
        return f"muted:{effect.id}" if await self._is_muted(author, until) else None

    async def _find(self, effect: Effect, topic: str) -> str | None:
        """Return the receipt of words of ours that stand in a topic or wait for approval."""
        uid = id_of((await self._api.object("/api/self")).get("uid"))
        try:
            page = await self._page(topic, 1)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        count = page.get("pagination", {}).get("pageCount") if isinstance(page.get("pagination"), dict) else 1
        last = count if isinstance(count, int) else 1
        for number in [*range(last, max(1, last - PAGES), -1), 1]:
            rows = (page if number == 1 else await self._page(topic, number)).get("posts")
            for row in rows if isinstance(rows, list) else []:
                is_ours = isinstance(row, dict) and id_of(row.get("uid")) == uid
                if is_ours and is_said(effect, words_in(str(row.get("content", "")))[0]):
                    return f"post:{number_of(row)}"
        return await self._queued(effect)

    async def _page(self, topic: str, number: int) -> dict[str, Any]:
        return await self._api.object(f"/api/topic/{topic}", [("page", str(number))])

    async def _queued(self, effect: Effect) -> str | None:
        """Look among what waits for a moderator's approval."""
        try:
            rows = (await self._api.object("/api/post-queue")).get("posts")
        except Refused:
            return None
        for row in rows if isinstance(rows, list) else []:
            data = row.get("data") if isinstance(row, dict) else None
            said = data.get("rawContent", data.get("content")) if isinstance(data, dict) else None
            if isinstance(said, str) and (is_said(effect, said) or said == as_markdown(effect.text)):
                return f"queued:{(id_of(row.get('id')) or 'post')[:80]}"
        return None


__all__ = ["Hand"]
