"""Carrying out effects on WeChat, and looking whether they happened (rule E-03)."""

from __future__ import annotations

from connectors._limits import clean_text
from connectors._wechat_api import ANSWERED, NO_COMMENT, Api, Refused
from connectors._wechat_comments import Comments
from connectors._wechat_ids import Comment, Members, comment_of
from connectors._wechat_wire import is_elected, messages, reply_in
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind

MOST_PARTS = 5
"""Messages that WeChat lets the account send after one of a member's."""

_COMMENT = "/cgi-bin/comment/"
_SAYING = (EffectKind.REPLY, EffectKind.NOTICE)


class Hand:
    """What acts for the account: customer-service messages, and what may be done with comments."""

    def __init__(self, api: Api, comments: Comments, members: Members, only_elected_shown: bool) -> None:
        self._api = api
        self._comments = comments
        self._members = members
        self._only_elected_shown = only_elected_shown

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        comment = comment_of(effect.handle)
        if comment is None:
            return await self._write_to(effect, author)
        if effect.kind in _SAYING:
            return await self._answer(effect, comment)
        if effect.kind is EffectKind.REMOVE:
            return await self._delete(comment)
        if effect.kind is EffectKind.MUTE:
            raise Rejected("WeChat cannot mute a reader; block them in the console of the account")
        return await self._choose(comment, effect.kind is EffectKind.RESTORE)

    # --- messages ------------------------------------------------------------------------------------

    async def _write_to(self, effect: Effect, author: str | None) -> str:
        if effect.kind not in _SAYING:
            raise Rejected("a message to the account is seen by nobody else: there is nothing to take away")
        openid = author or self._members.openid(effect.handle)
        if openid is None:
            raise Rejected("the effect names no member that can be written to; answer in the console")
        parts = messages(effect)
        if not parts:
            raise Rejected("there are no words to say")
        if len(parts) > MOST_PARTS:
            raise Rejected(f"the answer needs more than {MOST_PARTS} messages; shorten it")
        for number, part in enumerate(parts):
            await self._send(openid, part.text, begun=number > 0)
        return f"written:{effect.id}"

    async def _send(self, openid: str, text: str, *, begun: bool) -> None:
        body = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        try:
            await self._api.call("/cgi-bin/message/custom/send", body)
        except Rejected as error:
            if begun:
                raise Rejected("WeChat took the beginning of a long answer and refused the rest") from error
            raise
        except (Unavailable, RateLimited) as error:
            if begun:
                raise Uncertain("the beginning of a long answer was sent and the rest was not") from error
            raise

    # --- comments ------------------------------------------------------------------------------------

    async def _answer(self, effect: Effect, comment: Comment) -> str:
        text = clean_text(effect.text).strip()
        if not text:
            raise Rejected("there are no words to say")
        try:
            await self._api.call(f"{_COMMENT}reply/add", {**comment.params(), "content": text})
        except Refused as error:
            if error.number != ANSWERED or not await self._stands(effect, comment):
                raise
        return f"replied:{comment}"

    async def _stands(self, effect: Effect, comment: Comment) -> bool:
        """Say whether the one answer that WeChat allows is this one, sent before."""
        try:
            row = await self._comments.row_of(comment)
        except (Unavailable, RateLimited):
            raise Uncertain("WeChat says the comment has an answer, and does not show whose") from None
        return row is not None and _is_said(effect, reply_in(row))

    async def _delete(self, comment: Comment) -> str:
        try:
            await self._api.call(f"{_COMMENT}delete", comment.params())
        except Refused as error:
            if error.number not in NO_COMMENT:
                raise
            return f"gone:{comment}"
        self._comments.note_deleted(comment)
        return f"deleted:{comment}"

    async def _choose(self, comment: Comment, elected: bool) -> str:
        self._need_choice()
        step = "markelect" if elected else "unmarkelect"
        try:
            await self._api.call(f"{_COMMENT}{step}", comment.params())
        except Refused as error:
            if elected and error.number in NO_COMMENT:
                raise Rejected("a deleted comment cannot be brought back") from error
            raise
        return f"{step}:{comment}"

    def _need_choice(self) -> None:
        if not self._only_elected_shown:
            raise Rejected("this account shows every comment, so none can be hidden; it can only be deleted")

    # --- looking back --------------------------------------------------------------------------------

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether an effect happened (see ``Connector.read_back``)."""
        comment = comment_of(effect.handle)
        if comment is None:
            raise Rejected("WeChat does not show messages that were sent; look into the console")
        row = await self._comments.row_of(comment)
        if effect.kind is EffectKind.REMOVE:
            return f"gone:{comment}" if row is None else None
        if row is None:
            raise Rejected("the comment is not there any more")
        if effect.kind in _SAYING:
            return self._answered(effect, comment, reply_in(row))
        if effect.kind is EffectKind.MUTE:
            return None  # nothing was ever tried
        wanted = effect.kind is EffectKind.RESTORE
        step = "markelect" if wanted else "unmarkelect"
        return f"{step}:{comment}" if is_elected(row) is wanted else None

    def _answered(self, effect: Effect, comment: Comment, reply: str) -> str | None:
        if _is_said(effect, reply):
            return f"replied:{comment}"
        if reply.strip():
            raise Rejected("the comment has another answer of the account; WeChat allows one")
        return None


def _is_said(effect: Effect, reply: str) -> bool:
    if effect.mark:
        return "".join(effect.mark.split()) in "".join(reply.split())
    return bool(reply.strip()) and "".join(reply.split()) == "".join(clean_text(effect.text).split())
