"""Carrying out effects as the QQ official bot: direct answers in time, messages of its own after, recall and mute.

What was sent cannot be looked up at the platform, so nothing is ever sent again when its outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors._limits import id_of
from connectors._parts import parts
from connectors._posts import SHANGHAI
from connectors._qqbot_api import Answer, Api, path
from connectors._qqbot_errors import AlreadySent, InAudit, NoPower, WindowOver
from connectors._qqbot_rights import Rights
from connectors._qqbot_turns import ANSWERS, Quota, Turns
from connectors._qqbot_wire import of_handle
from monitor.core.errors import RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import Effect, EffectKind

ANSWER_SECONDS: Final = 300.0
RECALL_SECONDS: Final = 120.0
LONGEST_MUTE: Final = 30 * 86_400
_SPARE: Final = 10.0
"""Seconds before the end of the window after which a direct answer is not begun any more."""

Age = Callable[[str, datetime | None], float | None]


class Hand:
    """What acts in the groups of one bot.

    Args:
        api: the calls.
        rights: what the bot may do.
        quota: messages of its own.
        age: seconds since a message was said, or None when nobody knows.
        part: most characters of one message.
    """

    def __init__(self, api: Api, rights: Rights, quota: Quota, age: Age, part: int) -> None:
        self._api = api
        self._rights = rights
        self._quota = quota
        self._age = age
        self._part = part
        self._turns = Turns()

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out ``effect`` and return its receipt (see ``Connector.perform``)."""
        group = effect.thread
        if group is None or group not in self._rights.groups:
            raise Rejected("the effect names no group that this channel declares")
        if effect.kind in (EffectKind.REPLY, EffectKind.NOTICE):
            return await self._say(effect, group)
        if effect.kind is EffectKind.REMOVE:
            return await self._remove(effect, group)
        if effect.kind is EffectKind.MUTE:
            return await self._mute(effect, group, author)
        if effect.kind is EffectKind.RESTORE:
            raise Rejected(
                "QQ cannot bring a recalled message back; publish a correction in the group instead"
            )
        raise Rejected("QQ cannot hide a message; it can only recall it within two minutes")

    # --- saying --------------------------------------------------------------------------------------

    async def _say(self, effect: Effect, group: str) -> str:
        said = parts(effect, self._part)
        if not said:
            raise Rejected("there are no words to say")
        message_id = self._answerable(effect, len(said))
        if message_id is None:
            self._quota.need(group, len(said))
        receipts: list[str] = []
        for number, part in enumerate(said):
            try:
                receipts.append(await self._send(effect, group, part.text, number, message_id))
            except Rejected as error:
                if receipts:
                    raise Rejected("QQ took the beginning of a long message and refused the rest") from error
                raise
            except (Unavailable, RateLimited) as error:
                if receipts:
                    raise Uncertain(
                        "the beginning of a long message was sent and the rest was not"
                    ) from error
                raise
        return receipts[0]

    def _answerable(self, effect: Effect, count: int) -> str | None:
        """Return the id of the message that can still be answered directly, or None."""
        if not effect.handle or count > ANSWERS:
            return None
        message_id, at = of_handle(effect.handle)
        age = self._age(message_id, at)
        return message_id if age is not None and age < ANSWER_SECONDS - _SPARE else None

    async def _send(self, effect: Effect, group: str, text: str, number: int, message_id: str | None) -> str:
        if message_id is not None:
            receipt = await self._answer(effect, group, text, f"{effect.key}#{number}", message_id)
            if receipt is not None:
                return receipt
        self._quota.need(group, 1)
        self._quota.spend(group)
        return await self._post(group, {"msg_type": 0, "content": text})

    async def _answer(self, effect: Effect, group: str, text: str, key: str, message_id: str) -> str | None:
        """Answer a message directly; None when that cannot be done any more and surely was not."""
        was_tried = self._turns.known(message_id, key)
        while (seq := self._turns.take(message_id, key)) is not None:
            body = {"msg_type": 0, "content": text, "msg_id": message_id, "msg_seq": seq}
            try:
                return await self._post(group, body)
            except WindowOver:
                return None
            except AlreadySent:
                if was_tried:
                    return f"answer:{seq}"
                if effect.attempt > 1:
                    raise Uncertain("QQ has an answer with this number, and it may be this one") from None
                self._turns.give_up(message_id, key)  # used before we were started, by another answer
        return None

    async def _post(self, group: str, body: dict[str, Any]) -> str:
        try:
            answer = await self._api.call(
                "send a message", "POST", path("v2", "groups", group, "messages"), body
            )
        except InAudit:
            return "in-audit"
        return _id_of(answer) or "sent"

    # --- recalling and muting ------------------------------------------------------------------------

    async def _remove(self, effect: Effect, group: str) -> str:
        message_id, at = of_handle(effect.handle or "")
        if not message_id:
            raise Rejected("the effect names no message")
        age = self._age(message_id, at)
        if age is not None and age > RECALL_SECONDS:
            raise Rejected(
                "QQ lets a bot recall a message only within two minutes; "
                "ask the group's owner or an administrator to remove it by hand"
            )
        where = path("v2", "groups", group, "messages", message_id)
        await self._with_power(group, "recall a message", "DELETE", where, None)
        return f"recalled:{effect.id}"

    async def _mute(self, effect: Effect, group: str, author: str | None) -> str:
        if not author:
            raise Rejected("the effect names no member that QQ could mute")
        if not 0 < effect.seconds <= LONGEST_MUTE:
            raise Rejected("a mute lasts from one second to 30 days; zero would lift it")
        until = datetime.now(UTC).astimezone(SHANGHAI) + timedelta(seconds=effect.seconds)
        row = {"op": "add", "member_openid": author, "mute_expire_at": until.isoformat(timespec="seconds")}
        where = path("v2", "groups", group, "restrict_chat_setting")
        await self._with_power(group, "mute a member", "POST", where, {"members": [row]})
        return f"muted:{effect.id}:{effect.seconds}"

    async def _with_power(
        self, group: str, what: str, method: str, where: str, body: dict[str, Any] | None
    ) -> None:
        await self._rights.need_power(self._api, group)
        try:
            await self._api.call(what, method, where, body)
        except NoPower:
            self._rights.note_powerless(group)
            raise


def _id_of(answer: Answer) -> str | None:
    return id_of((answer.body or {}).get("id"))


__all__ = ["Hand"]
