"""Carrying out effects on Discourse, and looking whether they happened (rule E-03)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors import _discourse_wire as wire
from connectors._comments_words import as_markdown, is_said
from connectors._discourse_api import Api, Refused
from connectors._forum_hand import ForumHand
from connectors._html import words_in
from connectors._limits import clean_text, from_text, id_of
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect
from monitor.words import _

LOOKED_THROUGH: Final = 200
"""Newest posts of a topic in which an answer is looked for."""
_AT_ONCE: Final = 50
_LEEWAY: Final = timedelta(minutes=5)


class Hand(ForumHand):
    """What acts for an account of Discourse."""

    site = "Discourse"
    restored = "recovered"

    def __init__(self, api: Api, scope: wire.Scope, moderates: bool) -> None:
        super().__init__(moderates)
        self._api = api
        self._scope = scope

    def _post_of(self, effect: Effect) -> int | None:
        handle = effect.handle or ""
        return int(handle) if handle.isascii() and handle.isdigit() and len(handle) < 19 else None

    def _is_gone(self, row: Mapping[str, Any]) -> bool:
        return wire.is_gone(row)

    async def _row(self, number: int) -> dict[str, Any] | None:
        """Return a post as it stands now, None when it was removed for good."""
        try:
            return await self._api.ask(f"/posts/{number}.json")
        except Refused as error:
            if error.status in (404, 410):
                return None
            raise

    async def _take_away(self, number: int) -> None:
        await self._api.act("DELETE", f"/posts/{number}.json")

    async def _give_back(self, number: int) -> None:
        await self._api.act("PUT", f"/posts/{number}/recover.json")

    # --- silencing -----------------------------------------------------------------------------------

    async def _silence(self, effect: Effect, author: str | None) -> str:
        if author is None or not author.isascii() or not author.isdigit():
            raise Rejected("the effect names no member who could be silenced")
        until = datetime.now(UTC) + timedelta(seconds=effect.seconds)
        body = {
            "silenced_till": until.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "reason": clean_text(effect.text).strip()[:200] or _("依照公布的规则处理"),
        }
        try:
            await self._api.act("PUT", f"/admin/users/{author}/silence.json", body)
        except Refused as error:
            if error.status != 409:
                raise
            if not await self._is_silent(author, until - _LEEWAY):
                raise Rejected(
                    "the member is silenced already, for a shorter time; look into the forum"
                ) from error
        return f"silenced:{effect.id}"

    async def _is_silent(self, author: str, until: datetime) -> bool:
        """Say whether a member is silenced at least until then. Raises: Rejected when Discourse does not tell."""
        told = await self._api.ask(f"/admin/users/{author}.json")
        if "silenced_till" not in told:
            raise Rejected("Discourse does not say whether the member is silenced")
        till = from_text(told["silenced_till"], UTC)
        is_later = told["silenced_till"] is not None and till is None  # 1000 years from now cannot be read
        return is_later or (till is not None and till >= until)

    # --- saying --------------------------------------------------------------------------------------

    async def _say(self, effect: Effect) -> str:
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        topic, place = await self._where(effect)
        body: dict[str, Any] = {"raw": as_markdown(text), "topic_id": topic}
        if place is not None:
            body["reply_to_post_number"] = place
        try:
            told = await self._api.act("POST", "/posts.json", body)
        except Refused as error:
            if error.status != 422:
                raise
            found = await self._found_after(effect, topic)
            if found is None:
                raise
            return found
        return self._receipt(told)

    def _receipt(self, told: dict[str, Any]) -> str:
        number = wire.number_of(told) or wire.number_of(told.get("post"))
        if number is not None:
            return f"post:{number}"
        if told.get("action") == "enqueued":
            self.waiting += 1
            return "enqueued"
        raise Uncertain("Discourse's answer does not say whether the words were posted")

    async def _where(self, effect: Effect) -> tuple[int, int | None]:
        """Return topic and place of what is answered; a post may have moved since it was read."""
        number = self._post_of(effect)
        row = None if number is None else await self._row(number)
        topic = id_of((row or {}).get("topic_id")) or effect.thread or ""
        if not (topic.isascii() and topic.isdigit()):
            raise Rejected("the effect names no topic to answer in")
        place = None if row is None or wire.is_gone(row) else row.get("post_number")
        return int(topic), place if isinstance(place, int) else None

    async def _found_after(self, effect: Effect, topic: int) -> str | None:
        """Look for words that Discourse refused as said before; where it does not show, nobody knows."""
        try:
            return await self._find(effect, topic)
        except (Unavailable, RateLimited):
            raise Uncertain(
                "Discourse refused the words, and does not show whether they stand there"
            ) from None

    # --- looking back --------------------------------------------------------------------------------

    async def _said(self, effect: Effect) -> str | None:
        topic, _place = await self._where(effect)
        return await self._find(effect, topic)

    async def _silenced(self, effect: Effect, row: dict[str, Any] | None) -> str | None:
        author = id_of((row or {}).get("user_id"))
        if author is None:
            raise Rejected("the post is not there any more, and with it goes who wrote it")
        until = effect.created_at + timedelta(seconds=effect.seconds) - _LEEWAY
        return f"silenced:{effect.id}" if await self._is_silent(author, until) else None

    async def _find(self, effect: Effect, topic: int) -> str | None:
        """Return the receipt of words of ours that stand in a topic or wait for approval."""
        try:
            stream = (await self._api.ask(f"/t/{topic}.json")).get("post_stream", {}).get("stream", [])
        except Refused as error:
            if error.status in (404, 410):
                return None
            raise
        except AttributeError:
            raise Unavailable("Discourse shows the topic in an unknown shape") from None
        numbers = (
            [n for n in stream if isinstance(n, int)][-LOOKED_THROUGH:] if isinstance(stream, list) else []
        )
        for begin in range(0, len(numbers), _AT_ONCE):
            for row in await self._rows(topic, numbers[begin : begin + _AT_ONCE]):
                if self._scope.is_own(row) and _is_said(effect, row):
                    return f"post:{wire.number_of(row)}"
        return await self._queued(effect) if self._moderates else None

    async def _rows(self, topic: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
        query = [("post_ids[]", str(number)) for number in numbers] + [("include_raw", "true")]
        stream = (await self._api.ask(f"/t/{topic}/posts.json", query)).get("post_stream")
        rows = stream.get("posts") if isinstance(stream, dict) else None
        if not isinstance(rows, list):
            raise Unavailable("Discourse shows the topic in an unknown shape")
        return [row for row in rows if isinstance(row, dict)]

    async def _queued(self, effect: Effect) -> str | None:
        """Look among what waits for a moderator's approval."""
        query = [("status", "pending"), ("type", "ReviewableQueuedPost")]
        try:
            rows = (await self._api.ask("/review.json", query)).get("reviewables")
        except Refused:
            return None
        for row in rows if isinstance(rows, list) else []:
            payload = row.get("payload") if isinstance(row, dict) else None
            if isinstance(payload, dict) and _is_said(effect, payload):
                return "enqueued"
        return None


def _is_said(effect: Effect, row: dict[str, Any]) -> bool:
    """Say whether a row holds the words of an effect, as they are shown or as they were written."""
    raw, cooked = row.get("raw"), row.get("cooked")
    if isinstance(cooked, str) and is_said(effect, words_in(cooked)[0]):
        return True
    return isinstance(raw, str) and (is_said(effect, raw) or raw.strip() == as_markdown(effect.text).strip())


__all__ = ["Hand"]
