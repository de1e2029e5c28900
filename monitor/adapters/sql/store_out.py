"""What leaves the house: the outbox with its fences, and the ledger that records it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy import case as when

from monitor.adapters.sql.dialect import alone, insert
from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import EFFECT, ENTRY, micros
from monitor.adapters.sql.tables import case, identity, ledger, outbox
from monitor.core.chain import GENESIS, canonical, link_hash
from monitor.core.errors import NotFound
from monitor.core.model import CaseKind, Effect, EffectKind, EffectState, NewEffect
from monitor.core.ports import LedgerEntry

_ENTER = ledger.insert()
_FINAL = (EffectState.SENT.value, EffectState.CANCELLED.value)
_SETTLED = frozenset({EffectState.SENT, EffectState.NEEDS_HUMAN, EffectState.CANCELLED})
_NEW, _SENDING = EffectState.NEW.value, EffectState.SENDING.value
_SAYING = (EffectKind.REPLY.value, EffectKind.NOTICE.value)


class SqlOutbox:
    """Effects over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, effect: NewEffect, now: datetime) -> int:
        """Store an effect; the same key twice returns the first id."""
        names = ("key", "channel", "case_id", "thread", "handle", "post_id", "reply_id", "decision_id")
        row: dict[str, Any] = {
            name: getattr(effect, name) for name in (*names, "text", "mark", "seconds", "author")
        }
        row |= {"kind": effect.kind.value, "state": _NEW, "attempt": 0, "fence": 0}
        row |= {"not_before": micros(effect.not_before), "created_at": micros(now)}
        self._link.run(insert(self._link, outbox).values(row).on_conflict_do_nothing(index_elements=["key"]))
        return int(self._link.value(select(outbox.c.id).where(outbox.c.key == effect.key)))

    def get(self, effect_id: int) -> Effect:
        """Return one effect; raises NotFound."""
        found = self._link.first(select(*EFFECT.columns).where(outbox.c.id == effect_id))
        if found is None:
            raise NotFound("there is no such effect")
        return EFFECT.load(found)

    def lease(
        self,
        n: int,
        now: datetime,
        seconds: float,
        states: Sequence[EffectState],
        without: Sequence[str] = (),
        quiet: Sequence[str] = (),
    ) -> list[Effect]:
        """Take due effects whose lease is free; see :class:`monitor.core.ports.Outbox`."""
        at, c = micros(now), outbox.c
        due = (
            select(c.id)
            .where(
                c.state.in_([state.value for state in states if state.value not in _FINAL]),
                c.not_before <= at,
                or_(c.lease_until.is_(None), c.lease_until <= at),
                c.channel.not_in(list(without)),
                *_loud(quiet),
            )
            .order_by(c.not_before, c.id)
            .limit(n)
            .with_for_update(skip_locked=True)
        )
        fresh = c.state == _NEW
        taken = self._link.all(
            update(outbox)
            .where(c.id.in_(due))
            .values(
                state=when((fresh, _SENDING), else_=c.state),
                attempt=when((fresh, c.attempt + 1), else_=c.attempt),
                fence=c.fence + 1,
                lease_until=at + int(seconds * 1_000_000),
            )
            .returning(*EFFECT.columns)
        )
        return sorted((EFFECT.load(row) for row in taken), key=lambda effect: (effect.not_before, effect.id))

    def settle(
        self,
        effect: Effect,
        state: EffectState,
        now: datetime,
        receipt: str | None = None,
        error: str | None = None,
        not_before: datetime | None = None,
        *,
        untried: bool = False,
    ) -> bool:
        """Write the outcome if ``effect.fence`` is still the current one and nothing final is written yet."""
        row: dict[str, Any] = {"state": state.value, "lease_until": None, "last_error": error}
        row["settled_at"] = micros(now) if state in _SETTLED else None
        if receipt is not None:
            row["receipt"] = receipt
        if not_before is not None:
            row["not_before"] = micros(not_before)
        c = outbox.c
        if untried:
            row["attempt"] = c.attempt - 1
        mine = and_(c.id == effect.id, c.fence == effect.fence, c.state.not_in(_FINAL))
        return self._link.changed(update(outbox).where(mine).values(row)) == 1

    def cancel(self, decision_id: int | None, reply_id: int | None, now: datetime) -> int:
        """Cancel effects of the decision and of the reply that are still NEW; returns how many."""
        c = outbox.c
        whose = [c.decision_id == decision_id] if decision_id is not None else []
        whose += [c.reply_id == reply_id] if reply_id is not None else []
        if not whose:
            return 0
        waiting = and_(or_(*whose), c.state == _NEW)
        return self._link.changed(update(outbox).where(waiting).values(_cancelled(now)))

    def cancel_one(self, effect_id: int, now: datetime, error: str) -> bool:
        """Cancel an effect that is still NEW, with the code of why."""
        waiting = and_(outbox.c.id == effect_id, outbox.c.state == _NEW)
        gone = _cancelled(now) | {"last_error": error}
        return self._link.changed(update(outbox).where(waiting).values(gone)) == 1

    def redirect(self, effect_id: int, post_id: int, handle: str | None) -> bool:
        """Let an effect that is still NEW be about another post."""
        waiting = and_(outbox.c.id == effect_id, outbox.c.state == _NEW)
        return self._link.changed(update(outbox).where(waiting).values(post_id=post_id, handle=handle)) == 1

    def of_case(self, case_id: int) -> list[Effect]:
        """Return the effects of a case, oldest first."""
        return self._effects(select(*EFFECT.columns).where(outbox.c.case_id == case_id).order_by(outbox.c.id))

    def of_decision(self, decision_id: int) -> list[Effect]:
        """Return the effects of a decision, oldest first."""
        mine = outbox.c.decision_id == decision_id
        return self._effects(select(*EFFECT.columns).where(mine).order_by(outbox.c.id))

    def page(self, states: Sequence[EffectState], after: int | None, limit: int) -> list[Effect]:
        """Return effects in these states by ascending id; ``after`` is the last id of the previous page."""
        here = outbox.c.state.in_([state.value for state in states])
        query = select(*EFFECT.columns).where(here, outbox.c.id > (after or 0))
        return self._effects(query.order_by(outbox.c.id).limit(limit))

    def _effects(self, query: Any) -> list[Effect]:
        return [EFFECT.load(row) for row in self._link.all(query)]

    def counts(self) -> dict[str, int]:
        """Return state -> number of effects, every state named."""
        query = select(outbox.c.state, func.count()).group_by(outbox.c.state)
        found = {row[0]: row[1] for row in self._link.all(query)}
        return {state.value: found.get(state.value, 0) for state in EffectState}

    def author(self, effect: Effect) -> bytes | None:
        """Return the sealed native author id for an effect that needs it."""
        named = outbox.join(identity, identity.c.author == outbox.c.author)
        query = select(identity.c.sealed).select_from(named).where(outbox.c.id == effect.id)
        found = self._link.value(query)
        return None if found is None else bytes(found)


def _cancelled(now: datetime) -> dict[str, Any]:
    return {"state": EffectState.CANCELLED.value, "settled_at": micros(now), "fence": outbox.c.fence + 1}


def _loud(quiet: Sequence[str]) -> list[Any]:
    """Return the condition that leaves answers and notices of quiet channels where they are, urgent ones excepted."""
    if not quiet:
        return []
    urgent = select(case.c.id).where(or_(case.c.kind == CaseKind.CARE.value, case.c.urgency == "high"))
    c = outbox.c
    return [or_(c.channel.not_in(list(quiet)), c.kind.not_in(_SAYING), c.case_id.in_(urgent))]


class SqlLedger:
    """The hash chain; entries hold digests, never words or names (S-08, S-09)."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def _keyed(self, purpose: str, text: str) -> str:
        message = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._link.key, message, "sha256").hex()

    def append(
        self, kind: str, ref: str, actor: str, content: Mapping[str, object], now: datetime
    ) -> LedgerEntry:
        """Append an entry after the last one; one transaction at a time does so."""
        return self.append_many([(kind, ref, actor, content)], now)[0]

    def append_many(
        self, entries: Sequence[tuple[str, str, str, Mapping[str, object]]], now: datetime
    ) -> list[LedgerEntry]:
        """Append several (kind, ref, actor, content), in order, in few statements."""
        if not entries:
            return []
        alone(self._link, "ledger")
        last = self.head()
        seq, prev = (0, GENESIS) if last is None else (last.seq, last.hash)
        made: list[LedgerEntry] = []
        for kind, ref, actor, content in entries:
            seq += 1
            digest = self._keyed("content", canonical(content))
            who = self._keyed("actor", actor)[:16]
            linked = link_hash(seq, now, kind, ref, who, digest, prev)
            made.append(LedgerEntry(seq, now, kind, ref, who, digest, prev, linked))
            prev = linked
        self._link.many(_ENTER, [ENTRY.dump(entry) for entry in made])
        return made

    def head(self) -> LedgerEntry | None:
        """Return the last entry."""
        found = self._link.first(select(*ENTRY.columns).order_by(ledger.c.seq.desc()).limit(1))
        return None if found is None else ENTRY.load(found)

    def entries(self, after: int, limit: int) -> list[LedgerEntry]:
        """Return entries after number ``after``, in order."""
        query = select(*ENTRY.columns).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(limit)
        return [ENTRY.load(row) for row in self._link.all(query)]

    def get(self, seq: int) -> LedgerEntry | None:
        """Return entry number ``seq``."""
        found = self._link.first(select(*ENTRY.columns).where(ledger.c.seq == seq))
        return None if found is None else ENTRY.load(found)


__all__ = ["SqlLedger", "SqlOutbox"]
