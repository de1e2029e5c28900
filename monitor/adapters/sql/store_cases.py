"""Cases, their history, decisions, replies and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Table, and_, func, or_, select, tuple_, update

from monitor.adapters.sql.dialect import among, put, put_once, take_ids
from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import (
    CASE,
    CLAIM,
    DECISION,
    EVENT,
    REPLY,
    Shape,
    T,
    case_id_of,
    micros,
    micros_or_none,
    reference,
    to_case,
)
from monitor.adapters.sql.tables import (
    case,
    case_event,
    case_post,
    claim,
    decision,
    link_token,
    post_receipt,
    receipt,
    reply,
)
from monitor.core.errors import Conflict, NotFound
from monitor.core.model import (
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Claim,
    Decision,
    NewCase,
    Reply,
    ReplyState,
)
from monitor.core.ports import CaseFilter
from monitor.core.states import OPEN, WAITING_FOR_STAFF

_OPEN, _GATHER, _NOTE = case.insert(), case_post.insert(), case_event.insert()
_STALE = "somebody changed this meanwhile; look at it again and repeat"


def _standing(state: CaseState) -> dict[str, int]:
    return {"open": int(state in OPEN), "waiting": int(state in WAITING_FOR_STAFF)}


def _conditions(where: CaseFilter) -> list[Any]:
    equal = {
        case.c.channel: where.channel,
        case.c.unit: where.unit,
        case.c.assignee: where.assignee,
        case.c.topic: where.topic,
    }
    conditions: list[Any] = [column == value for column, value in equal.items() if value is not None]
    if where.kinds:
        conditions.append(case.c.kind.in_([kind.value for kind in where.kinds]))
    if where.states:
        conditions.append(case.c.state.in_([state.value for state in where.states]))
    if where.states and set(where.states) <= WAITING_FOR_STAFF:
        conditions.append(case.c.waiting == 1)
    if where.overdue_at is not None:
        conditions.append(case.c.due_at < micros(where.overdue_at))
    if where.older_than is not None:
        conditions.append(case.c.opened_at < micros(where.older_than))
    return conditions


def _takeable(where: CaseFilter, skip: Sequence[int]) -> list[Any]:
    conditions = _conditions(where)
    if not where.states:
        conditions.append(case.c.waiting == 1)
    if skip:
        conditions.append(case.c.id.not_in(list(skip)))
    return conditions


class SqlCases:
    """Cases over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def open(self, new: NewCase, now: datetime) -> Case:
        """Open a case over its posts."""
        return self.open_many([new], now)[0]

    def open_many(self, news: Sequence[NewCase], now: datetime) -> list[Case]:
        """Open several cases in few statements; the answer is in the order of ``news``."""
        if not news:
            return []
        ids = take_ids(self._link, "cases", len(news))
        pairs = [(_opened(case_id, new, now), new) for case_id, new in zip(ids, news, strict=True)]
        self._link.many(
            _OPEN,
            [CASE.dump(opened) | {"group_id": new.group_id, **_standing(new.state)} for opened, new in pairs],
        )
        self._link.many(
            _GATHER,
            [
                {"case_id": opened.id, "post_id": one, "position": place}
                for opened, new in pairs
                for place, one in enumerate(dict.fromkeys(new.post_ids))
            ],
        )
        for opened, new in pairs:
            if new.receipt is not None:
                self.bind_receipt(new.receipt, opened.id)
        return [opened for opened, _new in pairs]

    def get(self, case_id: int) -> Case:
        """Return one case; raises NotFound."""
        found = self._link.first(select(*CASE.columns).where(case.c.id == case_id))
        if found is None:
            raise NotFound("there is no such case")
        return to_case(found)

    def hold(self, case_id: int) -> Case:
        """Return a case that no other transaction changes until this one ends; raises NotFound."""
        _lock(self._link, case_id)
        return self.get(case_id)

    def by_reference(self, reference: str) -> Case:
        """Return the case of a reference such as ``HY-000123``; raises NotFound."""
        case_id = case_id_of(reference)
        if case_id is None:
            raise NotFound("there is no case of this reference; one looks like HY-000123")
        return self.get(case_id)

    def save(self, case: Case, seen_version: int) -> Case:
        """Write what a move may change, with ``version = seen_version + 1``; raises Conflict when stale."""
        fixed = ("id", "kind", "opened_at", "opened_by", "post_count", "version")
        row = CASE.dump(case, *fixed) | _standing(case.state) | {"version": seen_version + 1}
        _saved(self._link, CASE.table, case.id, row, seen_version)
        return self.get(case.id)

    def attach(self, case_id: int, post_ids: Sequence[int]) -> None:
        """Add posts; those that are in stay where they are. The version stays: a campaign must not block a decision."""
        lock = select(func.coalesce(func.max(case_post.c.position), -1)).where(case_post.c.case_id == case_id)
        _lock(self._link, case_id)
        last = int(self._link.value(lock))
        rows = [
            {"case_id": case_id, "post_id": one, "position": last + place}
            for place, one in enumerate(dict.fromkeys(post_ids), 1)
        ]
        put_once(self._link, case_post, rows)
        n = select(func.count()).where(case_post.c.case_id == case_id).scalar_subquery()
        self._link.run(update(case).where(case.c.id == case_id).values(post_count=n))

    def post_ids(self, case_id: int) -> list[int]:
        """Return the posts of a case, the one shown first at the head."""
        query = (
            select(case_post.c.post_id).where(case_post.c.case_id == case_id).order_by(case_post.c.position)
        )
        return [row[0] for row in self._link.all(query)]

    def open_of_groups(self, kind: CaseKind, groups: Sequence[int]) -> dict[int, int]:
        """Return group id -> id of the open case of this kind that gathers the group."""
        query = (
            select(case.c.group_id, func.max(case.c.id))
            .where(among(self._link, case.c.group_id, groups), case.c.kind == kind.value, case.c.open == 1)
            .group_by(case.c.group_id)
        )
        return {row[0]: row[1] for row in self._link.all(query)} if groups else {}

    def of_post(self, post_id: int) -> list[Case]:
        """Return the cases that a post stands in, oldest first."""
        mine = select(case_post.c.case_id).where(case_post.c.post_id == post_id)
        return self._cases(select(*CASE.columns).where(case.c.id.in_(mine)).order_by(case.c.id))

    def of_posts(self, post_ids: Sequence[int]) -> dict[int, list[Case]]:
        """Return post id -> the cases it stands in, for those that stand in one."""
        if not post_ids:
            return {}
        query = (
            select(*CASE.columns, case_post.c.post_id)
            .select_from(case_post.join(case, case.c.id == case_post.c.case_id))
            .where(among(self._link, case_post.c.post_id, post_ids))
            .order_by(case.c.id)
        )
        found: dict[int, list[Case]] = {}
        for row in self._link.all(query):
            found.setdefault(row.post_id, []).append(to_case(row))
        return found

    def _cases(self, query: Any) -> list[Case]:
        return [to_case(row) for row in self._link.all(query)]

    def page(self, where: CaseFilter, after: tuple[int, int] | None, limit: int) -> list[Case]:
        """Return cases by (rank, id) ascending; ``after`` is the last (rank, id) of the previous page."""
        query = select(*CASE.columns).where(*_conditions(where))
        if after is not None:
            query = query.where(tuple_(case.c.rank, case.c.id) > after)
        return self._cases(query.order_by(case.c.rank, case.c.id).limit(limit))

    # leases

    def take(
        self, where: CaseFilter, login: str, now: datetime, seconds: float, skip: Sequence[int] = ()
    ) -> Case | None:
        """Lease the first free case in rank order to ``login`` (their own leased one first).

        Without states in the filter only cases that wait for staff are looked at.
        """
        at = micros(now)
        until = at + int(seconds * 1_000_000)
        mine = select(case.c.id).where(case.c.lease_by == login, case.c.lease_until > at)
        # Asked for by themselves: in one query with the order of the queue they would be looked for along all of it.
        held = [row[0] for row in self._link.all(mine)]
        own = (
            self._lease_first([*_takeable(where, skip), case.c.id.in_(held)], login, until) if held else None
        )
        if own is not None:
            return own
        free = or_(case.c.lease_until.is_(None), case.c.lease_until <= at)
        for one in self._by_kind(where, skip, free):
            taken = self._lease_first([*_takeable(one, skip), free], login, until)
            if taken is not None:
                return taken
        return None

    def _by_kind(self, where: CaseFilter, skip: Sequence[int], free: Any) -> list[CaseFilter]:
        """Return the filter once per kind, the kind whose first case is first at the head.

        One kind is a walk along an index; several at once would be a sort of the whole queue.
        """
        if len(where.kinds) < 2:
            return [where]
        heads: list[tuple[int, int, CaseFilter]] = []
        for kind in dict.fromkeys(where.kinds):
            one = replace(where, kinds=(kind,))
            query = select(case.c.rank, case.c.id).where(*_takeable(one, skip), free)
            first = self._link.first(query.order_by(case.c.rank, case.c.id).limit(1))
            if first is not None:
                heads.append((first[0], first[1], one))
        return [one for _rank, _id, one in sorted(heads, key=lambda head: head[:2])]

    def _lease_first(self, conditions: Sequence[Any], login: str, until: int) -> Case | None:
        first = (
            select(case.c.id)
            .where(*conditions)
            .order_by(case.c.rank, case.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        found = self._link.all(
            update(case)
            .where(case.c.id == first.scalar_subquery())
            .values(lease_by=login, lease_until=until)
            .returning(*CASE.columns)
        )
        return to_case(found[0]) if found else None

    def lease(self, case_id: int, login: str, now: datetime, seconds: float) -> Case:
        """Lease or renew one case; raises Conflict naming the holder when somebody else has it."""
        at = micros(now)
        free = or_(case.c.lease_by == login, case.c.lease_until.is_(None), case.c.lease_until <= at)
        found = self._link.all(
            update(case)
            .where(case.c.id == case_id, free)
            .values(lease_by=login, lease_until=at + int(seconds * 1_000_000))
            .returning(*CASE.columns)
        )
        if found:
            return to_case(found[0])
        held = self.get(case_id)
        raise Conflict(f"{held.lease_by} is working on this case; take another one or wait")

    def release(self, case_id: int, login: str) -> None:
        """Give a case back; nothing happens when somebody else holds it."""
        mine = and_(case.c.id == case_id, case.c.lease_by == login)
        self._link.run(update(case).where(mine).values(lease_by=None, lease_until=None))

    def held(self, login: str, now: datetime) -> int:
        """Return how many cases this person holds a live lease of."""
        mine = and_(case.c.lease_by == login, case.c.lease_until > micros(now))
        return int(self._link.value(select(func.count()).where(mine)) or 0)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (kind, state) -> number of cases."""
        query = select(case.c.kind, case.c.state, func.count()).group_by(case.c.kind, case.c.state)
        return {(row[0], row[1]): row[2] for row in self._link.all(query)}

    def due(self, now: datetime, limit: int) -> list[Case]:
        """Return open cases whose due time has passed, the longest overdue first."""
        late = and_(case.c.open == 1, case.c.due_at <= micros(now))
        return self._cases(select(*CASE.columns).where(late).order_by(case.c.due_at, case.c.id).limit(limit))

    # receipts and links

    def bind_receipt(self, digest: str, case_id: int) -> None:
        """Let a receipt lead to a case; the last binding counts."""
        put(self._link, receipt, {"digest": digest, "case_id": case_id})

    def by_receipt(self, digest: str) -> Case | None:
        """Return the case of a receipt."""
        case_id = self._link.value(select(receipt.c.case_id).where(receipt.c.digest == digest))
        return None if case_id is None else self.get(case_id)

    def bind_post_receipt(self, post_id: int) -> str | None:
        """Return the receipt digest that came with a post."""
        return self.receipts([post_id]).get(post_id)

    def receipts(self, post_ids: Sequence[int]) -> dict[int, str]:
        """Return post id -> receipt digest for those of the posts that came with one."""
        r = post_receipt.c
        query = select(r.post_id, r.digest).where(among(self._link, r.post_id, post_ids))
        return {row[0]: row[1] for row in self._link.all(query)} if post_ids else {}

    def add_token(self, digest: str, purpose: str, target: int, until: datetime | None) -> None:
        """Store the digest of a one-purpose link token."""
        row = {"digest": digest, "purpose": purpose, "target": target, "until": micros_or_none(until)}
        put(self._link, link_token, row)

    def token(self, digest: str, purpose: str, now: datetime) -> int | None:
        """Return what a token leads to, or None when it is unknown or past its time."""
        t = link_token.c
        valid = or_(t.until.is_(None), t.until > micros(now))
        found = self._link.value(select(t.target).where(t.digest == digest, t.purpose == purpose, valid))
        return None if found is None else int(found)


def _opened(case_id: int, new: NewCase, now: datetime) -> Case:
    return Case(
        id=case_id,
        kind=new.kind,
        state=new.state,
        rank=new.rank,
        version=1,
        opened_at=now,
        updated_at=now,
        channel=new.channel,
        thread=new.thread,
        unit=new.unit,
        due_at=new.due_at,
        topic=new.topic,
        urgency=new.urgency,
        policy=new.policy,
        score=new.score,
        post_count=len(set(new.post_ids)),
        about_decision=new.about_decision,
        opened_by=new.opened_by,
        reference=reference(case_id),
    )


def _lock(link: Link, case_id: int) -> None:
    """Hold the case's row, so that numbering inside it is nobody else's meanwhile; raises NotFound."""
    if link.value(select(case.c.id).where(case.c.id == case_id).with_for_update()) is None:
        raise NotFound("there is no such case")


def _saved(link: Link, table: Table, row_id: int, row: dict[str, Any], seen_version: int) -> None:
    """Write a row of a version that was seen; raises Conflict or NotFound."""
    seen = and_(table.c.id == row_id, table.c.version == seen_version)
    if link.changed(update(table).where(seen).values(row)):
        return
    if link.value(select(table.c.id).where(table.c.id == row_id)) is None:
        raise NotFound("this is not stored; it may have been removed")
    raise Conflict(_STALE)


def _event_row(event: CaseEvent) -> dict[str, Any]:
    return EVENT.dump(event, "id") | {
        "role": str(event.role),
        "detail": EVENT.codecs["detail"][1](event.detail),
    }


# --- history ---------------------------------------------------------------------------------------


class SqlEvents:
    """Append-only history of cases."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, event: CaseEvent) -> CaseEvent:
        """Append an event; returns it with its id and its number in the case."""
        c = case_event.c
        _lock(self._link, event.case_id)
        last = self._link.value(select(func.coalesce(func.max(c.seq), 0)).where(c.case_id == event.case_id))
        numbered = replace(event, seq=int(last) + 1)
        return replace(numbered, id=self._link.id_of(case_event.insert().values(_event_row(numbered))))

    def add_many(self, events: Sequence[CaseEvent]) -> None:
        """Append events of several cases, in order, in few statements."""
        c = case_event.c
        ids = sorted({event.case_id for event in events})
        if not ids:
            return
        held = self._link.all(
            select(case.c.id).where(among(self._link, case.c.id, ids)).order_by(case.c.id).with_for_update()
        )
        if len(held) != len(ids):
            raise NotFound("there is no such case")
        query = (
            select(c.case_id, func.max(c.seq)).where(among(self._link, c.case_id, ids)).group_by(c.case_id)
        )
        last = {row[0]: row[1] for row in self._link.all(query)}
        rows = []
        for event in events:
            last[event.case_id] = last.get(event.case_id, 0) + 1
            rows.append(_event_row(event) | {"seq": last[event.case_id]})
        self._link.many(_NOTE, rows)

    def of(self, case_id: int) -> list[CaseEvent]:
        """Return the history of a case, oldest first."""
        c = case_event.c
        return _loaded(self._link, EVENT, select(*EVENT.columns).where(c.case_id == case_id).order_by(c.seq))

    def by_actor(self, login: str, limit: int) -> list[CaseEvent]:
        """Return an account's own latest events, newest first."""
        c = case_event.c
        query = select(*EVENT.columns).where(c.actor == login).order_by(c.id.desc()).limit(limit)
        return _loaded(self._link, EVENT, query)

    def page(self, kinds: Sequence[str], after: int | None, limit: int) -> list[CaseEvent]:
        """Return events of these kinds over all cases by ascending id."""
        c = case_event.c
        query = select(*EVENT.columns).where(c.kind.in_(list(kinds)), c.id > (after or 0)).order_by(c.id)
        return _loaded(self._link, EVENT, query.limit(limit))


def _loaded(link: Link, shape: Shape[T], query: Any) -> list[T]:
    return [shape.load(row) for row in link.all(query)]


def _one(link: Link, shape: Shape[T], row_id: int, what: str) -> T:
    found = link.first(select(*shape.columns).where(shape.table.c.id == row_id))
    if found is None:
        raise NotFound(f"there is no such {what}")
    return shape.load(found)


# --- decisions, replies, claims --------------------------------------------------------------------


class SqlDecisions:
    """Decisions over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, decision: Decision) -> Decision:
        """Store a decision; returns it with its id."""
        row = DECISION.dump(decision, "id") | {"role": str(decision.role)}
        return replace(decision, id=self._link.id_of(DECISION.table.insert().values(row)))

    def get(self, decision_id: int) -> Decision:
        """Return one decision; raises NotFound."""
        return _one(self._link, DECISION, decision_id, "decision")

    def of(self, case_id: int) -> list[Decision]:
        """Return the decisions of a case, oldest first."""
        c = decision.c
        return _loaded(
            self._link, DECISION, select(*DECISION.columns).where(c.case_id == case_id).order_by(c.id)
        )

    def mark_undone(self, decision_id: int, at: datetime) -> bool:
        """Return False when it was undone already."""
        stands = and_(decision.c.id == decision_id, decision.c.undone_at.is_(None))
        return self._link.changed(update(decision).where(stands).values(undone_at=micros(at))) == 1

    def by_actor(self, login: str, limit: int) -> list[Decision]:
        """Return an account's own latest decisions, newest first."""
        c = decision.c
        query = select(*DECISION.columns).where(c.actor == login).order_by(c.id.desc()).limit(limit)
        return _loaded(self._link, DECISION, query)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (action, rule or "") -> number of decisions that were not undone."""
        rule = func.coalesce(decision.c.rule, "")
        query = select(decision.c.action, rule, func.count()).where(decision.c.undone_at.is_(None))
        return {(row[0], row[1]): row[2] for row in self._link.all(query.group_by(decision.c.action, rule))}


class SqlReplies:
    """Replies over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, reply: Reply) -> Reply:
        """Store a reply; returns it with its id."""
        row = REPLY.dump(reply, "id") | {"role": str(reply.role)}
        return replace(reply, id=self._link.id_of(REPLY.table.insert().values(row)))

    def get(self, reply_id: int) -> Reply:
        """Return one reply; raises NotFound."""
        return _one(self._link, REPLY, reply_id, "reply")

    def save(self, reply: Reply, seen_version: int) -> Reply:
        """Write ``reply`` with ``version = seen_version + 1``; raises Conflict when stale."""
        saved = replace(reply, version=seen_version + 1)
        row = REPLY.dump(saved, "id", "case_id", "created_at") | {"role": str(reply.role)}
        _saved(self._link, REPLY.table, reply.id, row, seen_version)
        return saved

    def of(self, case_id: int) -> list[Reply]:
        """Return the replies of a case, oldest first."""
        c = reply.c
        return _loaded(self._link, REPLY, select(*REPLY.columns).where(c.case_id == case_id).order_by(c.id))

    def page(self, states: Sequence[ReplyState], after: int | None, limit: int) -> list[Reply]:
        """Return replies in these states, newest first; ``after`` is the last id of the previous page."""
        c = reply.c
        query = select(*REPLY.columns).where(c.state.in_([state.value for state in states]))
        if after is not None:
            query = query.where(c.id < after)
        return _loaded(self._link, REPLY, query.order_by(c.id.desc()).limit(limit))


class SqlClaims:
    """Claims over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, claim: Claim) -> Claim:
        """Store a claim; returns it with its id."""
        return replace(claim, id=self._link.id_of(CLAIM.table.insert().values(CLAIM.dump(claim, "id"))))

    def get(self, claim_id: int) -> Claim:
        """Return one claim; raises NotFound."""
        return _one(self._link, CLAIM, claim_id, "claim")

    def of(self, case_id: int) -> Claim | None:
        """Return the newest claim of a case."""
        c = claim.c
        query = select(*CLAIM.columns).where(c.case_id == case_id).order_by(c.id.desc()).limit(1)
        found = self._link.first(query)
        return None if found is None else CLAIM.load(found)

    def save(self, claim: Claim, seen_version: int) -> Claim:
        """Write ``claim`` with ``version = seen_version + 1``; raises Conflict when stale."""
        saved = replace(claim, version=seen_version + 1)
        row = CLAIM.dump(saved, "id", "case_id", "created_at")
        _saved(self._link, CLAIM.table, claim.id, row, seen_version)
        return saved

    def page(self, after: int | None, limit: int) -> list[Claim]:
        """Return claims, newest first; ``after`` is the last id of the previous page."""
        c = claim.c
        query = select(*CLAIM.columns).order_by(c.id.desc()).limit(limit)
        return _loaded(self._link, CLAIM, query if after is None else query.where(c.id < after))


__all__ = ["SqlCases", "SqlClaims", "SqlDecisions", "SqlEvents", "SqlReplies"]
