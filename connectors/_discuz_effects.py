"""Carrying out effects in a Discuz! forum, and looking whether they happened (rule E-03, section 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from connectors import _discuz_wire as wire
from connectors._discuz_api import Api, Refused, error_of
from connectors._discuz_topics import GONE, Topics
from connectors._discuz_wire import Answer, Place, Row
from connectors._limits import clean_text
from monitor.core.errors import Rejected
from monitor.core.model import Effect, EffectKind
from monitor.words import _

_SAYING = (EffectKind.REPLY, EffectKind.NOTICE)
_CLOCKS = timedelta(hours=1)
"""By how much the forum's clock and ours may differ."""


class Hand:
    """What acts for the account: answers in topics, and what a moderator may do with posts."""

    def __init__(self, api: Api, topics: Topics) -> None:
        self._api = api
        self._topics = topics
        self._keeps_back = False  # the forum was seen to keep our answers until somebody approves them

    async def perform(self, effect: Effect) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        if self._api.is_visitor:
            raise Rejected("the channel only reads: give it an account of the forum (username and password)")
        if effect.kind is EffectKind.MUTE:
            raise Rejected("the forum's interface cannot mute a member; do it in the forum's administration")
        place = wire.place_of(effect.handle)
        if effect.kind in _SAYING:
            return await self._answer(effect, place)
        if place is None:
            raise Rejected("the effect names no post of the forum; do it in the forum itself")
        return await self._moderate(effect.kind, place, effect.mark)

    # --- answering -----------------------------------------------------------------------------------

    async def _answer(self, effect: Effect, place: Place | None) -> str:
        tid = place.tid if place else effect.thread
        if not tid or wire.number_of(tid) is None:
            raise Rejected("the effect names no topic of the forum; answer in the forum itself")
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        await self._api.ready()
        self._refuse_unfit(text)
        query = {"module": "sendreply", "replysubmit": "yes", "tid": tid}
        answer = await self._api.act(query, {"message": _pointing_at(place) + text})
        if answer.message == "post_reply_mod_succeed":
            self._keeps_back = True
            return f"pending:{tid}"
        if answer.message != "post_reply_succeed":
            raise error_of(answer.message, "the answer", datetime.now(UTC))
        pid = wire.number_of(answer.variables.get("pid"))
        return f"said:{tid}:{pid or 0}"

    def _refuse_unfit(self, text: str) -> None:
        if not self._api.is_gbk:
            return
        try:
            text.encode("gbk")
        except UnicodeEncodeError:
            raise Rejected(
                "the forum is kept in GBK and cannot hold a character of the answer; take out emoji"
            ) from None

    # --- moderating ----------------------------------------------------------------------------------

    async def _moderate(self, kind: EffectKind, place: Place, mark: str) -> str:
        """Hide, restore or remove a post; the forum says yes to what is not there, so that is looked at first."""
        row = await self._topics.row_of(place)
        if row is None and kind is EffectKind.RESTORE:
            raise Rejected(
                "a removed post cannot be brought back from here; look into the forum's recycle bin"
            )
        if row is None:
            return f"gone:{place.pid}"
        if kind is not EffectKind.REMOVE and row.hidden is (kind is EffectKind.HIDE):
            return _receipt(kind, place)
        query, form = _step(kind, place, row)
        reason = " ".join([_("依照公布的规则处理"), mark]).strip()
        answer = await self._api.act(query, {**form, "reason": reason})
        if answer.message != "admin_succeed":
            return self._refused(answer, kind, place)
        if kind is not EffectKind.RESTORE:
            self._topics.note_ours(place.pid)
        return _receipt(kind, place)

    def _refused(self, answer: Answer, kind: EffectKind, place: Place) -> str:
        if kind is EffectKind.REMOVE and answer.message in GONE | {"admin_moderate_invalid"}:
            return f"gone:{place.pid}"
        raise error_of(answer.message, f"to {kind}", datetime.now(UTC))

    # --- looking back --------------------------------------------------------------------------------

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened (see ``Connector.read_back``)."""
        place = wire.place_of(effect.handle)
        if effect.kind in _SAYING:
            return await self._said(effect, place)
        if effect.kind is EffectKind.MUTE or place is None:
            return None  # nothing was ever tried
        row = await self._topics.row_of(place)
        if effect.kind is EffectKind.REMOVE:
            return f"gone:{place.pid}" if row is None else None
        if row is None:
            raise Rejected("the post is not there any more")
        return _receipt(effect.kind, place) if row.hidden is (effect.kind is EffectKind.HIDE) else None

    async def _said(self, effect: Effect, place: Place | None) -> str | None:
        """Look for our answer from the end of the topic back to the time at which it was ordered."""
        tid = place.tid if place else effect.thread
        if not tid or self._api.is_visitor:
            return None
        since = (effect.created_at - _CLOCKS).timestamp()
        try:
            rows = await self._topics.rows_back(tid, lambda row: row.at < since)
        except Refused as error:
            if error.name in GONE:
                return None
            raise
        for row in rows:
            if row.post.author == self._api.uid and wire.is_said(effect.mark, effect.text, row):
                return f"said:{tid}:{row.pid}"
        if self._keeps_back:
            raise Rejected(
                "the forum keeps answers until they are approved, where we cannot see them; look there"
            )
        return None


def _pointing_at(place: Place | None) -> str:
    """Return what leads from an answer to the post that it answers; the post's words are not repeated."""
    if place is None or place.first:
        return ""
    link = f"forum.php?mod=redirect&goto=findpost&pid={place.pid}&ptid={place.tid}"
    return f"[quote][url={link}]{_('答复这一楼')}[/url][/quote]\n"


def _step(kind: EffectKind, place: Place, row: Row) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the call that does it; the first post of a topic goes with its topic."""
    query = {"module": "topicadmin", "modsubmit": "yes", "tid": place.tid}
    is_first = place.first or (row.post.handle or "").endswith(":1")
    if kind is EffectKind.REMOVE and is_first:
        return {**query, "action": "moderate", "optgroup": "3"}, {
            "moderate[]": place.tid,
            "operations[]": "delete",
        }
    if kind is EffectKind.REMOVE:
        return {**query, "action": "delpost"}, {"tid": place.tid, "topiclist[]": place.pid}
    banned = "1" if kind is EffectKind.HIDE else "0"
    return {**query, "action": "banpost"}, {"tid": place.tid, "topiclist[]": place.pid, "banned": banned}


def _receipt(kind: EffectKind, place: Place) -> str:
    word = {EffectKind.HIDE: "hidden", EffectKind.RESTORE: "shown", EffectKind.REMOVE: "removed"}[kind]
    return f"{word}:{place.pid}"


__all__ = ["Hand"]
