"""What was done stays done: events and ledger are append-only, decisions, replies and claims come back as written."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from store_world import at_once, opened, raw_sql, unguarded

from monitor.adapters.sql.uow import SqlUnitOfWork, engine_of, writing
from monitor.core.chain import GENESIS, first_bad
from monitor.core.errors import Conflict, NotFound, StoreError
from monitor.core.model import (
    Action,
    CaseEvent,
    Claim,
    ClaimState,
    Decision,
    Reply,
    ReplyState,
    RuleCode,
    Span,
)
from monitor.core.ports import LedgerEntry
from monitor.testing.builders import START

LATER = START + timedelta(minutes=5, microseconds=7)


def event(case_id: int, kind: str = "noted", actor: str = "mo", **fields: object) -> CaseEvent:
    return CaseEvent(case_id, kind, actor, "moderator", LATER, **fields)  # type: ignore[arg-type]


# --- events ----------------------------------------------------------------------------------------


def test_events_are_numbered_within_their_case(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        a, b = opened(store).id, opened(store).id
        first = store.events.add(
            event(a, reason="第一", detail={"posts": [1, 2], "note": "好 'x'", "n": None})
        )
        store.events.add_many([event(b), event(a, "released"), event(b, "claimed"), event(a)])
        store.events.add_many([])
        last = store.events.add(event(a))
    with uow.read() as store:
        of_a = store.events.of(a)
        assert [one.seq for one in of_a] == [1, 2, 3, 4]
        assert (of_a[0], of_a[3]) == (first, last)
        assert (first.reason, first.detail["posts"], first.detail["note"]) == ("第一", [1, 2], "好 'x'")
        assert [(one.seq, one.kind) for one in store.events.of(b)] == [(1, "noted"), (2, "claimed")]


def test_an_event_needs_its_case(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store)
        with pytest.raises(NotFound):
            store.events.add(event(999))
        with pytest.raises(NotFound):
            store.events.add_many([event(case.id), event(999)])
        assert store.events.of(case.id) == []


def test_events_by_actor_and_by_kind(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        made = [
            store.events.add(event(case, kind, actor)) for kind in ("noted", "claimed") for actor in "xyx"
        ]
        mine = store.events.by_actor("x", 3)
        assert [one.id for one in mine] == [made[5].id, made[3].id, made[2].id]
        first = store.events.page(["claimed", "released"], None, 2)
        assert first == made[3:5]
        assert store.events.page(["claimed"], first[-1].id, 2) == made[5:]
        assert store.events.page([], None, 2) == []


@pytest.mark.parametrize("table", ["case_event", "ledger"])
@pytest.mark.parametrize("change", ["UPDATE {} SET kind = 'x'", "DELETE FROM {}"])
def test_nobody_rewrites_history(url: str, uow: SqlUnitOfWork, table: str, change: str) -> None:
    with uow.begin() as store:
        store.events.add(event(opened(store).id))
        store.ledger.append("case.opened", "HY-000001", "mo", {}, START)
    engine = engine_of(url)
    with pytest.raises(Exception, match="append-only"), writing(engine).begin() as link:
        link.execute(text(change.format(table)))
    engine.dispose()
    with uow.read() as store:
        assert len(store.ledger.entries(0, 9)) == len(store.events.page(["noted"], None, 9)) == 1


# --- decisions, replies, claims --------------------------------------------------------------------


def decision(case_id: int, **fields: object) -> Decision:
    given: dict[str, object] = {"action": Action.KEEP, "actor": "mo", "role": "moderator", "post_ids": (1,)}
    return Decision(id=0, case_id=case_id, at=LATER, **{**given, **fields})  # type: ignore[arg-type]


def test_decisions_come_back_as_written(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        full = store.decisions.add(
            decision(
                case,
                action=Action.REMOVE,
                post_ids=(3, 1, 2),
                rule=RuleCode.SPAM_AD,
                quote=Span(3, 0, 2, "加微"),
                note="备注",
                explanation="说明",
                appeal_until=LATER + timedelta(days=184),
                undo_until=LATER + timedelta(minutes=10),
                second="mona",
            )
        )
        plain = store.decisions.add(decision(case, actor="mona"))
        assert full.id < plain.id
    with uow.begin() as store:
        assert store.decisions.get(full.id) == full
        assert store.decisions.of(case) == [full, plain]
        assert store.decisions.by_actor("mona", 9) == [plain]
        assert store.decisions.counts() == {("remove", "SPAM_AD"): 1, ("keep", ""): 1}
        assert store.decisions.mark_undone(full.id, LATER)
        assert not store.decisions.mark_undone(full.id, LATER)
        assert store.decisions.get(full.id) == replace(full, undone_at=LATER)
        assert store.decisions.counts() == {("keep", ""): 1}
        with pytest.raises(NotFound):
            store.decisions.get(999)


def reply(case_id: int, **fields: object) -> Reply:
    given: dict[str, object] = {"channel": "qq", "text": "好的", "author": "lea", "role": "leader"}
    state = {"state": ReplyState.DRAFT}
    return Reply(id=0, case_id=case_id, created_at=LATER, **{**given, **state, **fields})  # type: ignore[arg-type]


def test_replies_come_back_and_a_stale_look_never_wins(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        a = store.replies.add(reply(case, thread="g1", to_post=1, signature="李老师（工会）"))
        b = store.replies.add(reply(case))
        approved = replace(a, state=ReplyState.APPROVED, approved_by="otto", approved_at=LATER, text="改好了")
        saved = store.replies.save(approved, 1)
        assert saved == replace(approved, version=2)
        with pytest.raises(Conflict):
            store.replies.save(approved, 1)
    with uow.read() as store:
        assert store.replies.get(a.id) == saved
        assert store.replies.of(case) == [saved, b]
        assert store.replies.page([ReplyState.DRAFT], None, 9) == [b]
        both = [ReplyState.DRAFT, ReplyState.APPROVED]
        assert store.replies.page(both, None, 1) == [b]
        assert store.replies.page(both, b.id, 9) == [saved]
        with pytest.raises(NotFound):
            store.replies.get(999)


def test_claims_come_back_and_the_newest_of_a_case_counts(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        case = opened(store).id
        assert store.claims.of(case) is None
        a = store.claims.add(Claim(0, case, "要涨停车费", ClaimState.UNVERIFIED, LATER))
        b = store.claims.add(
            Claim(
                0,
                case,
                "要关食堂",
                ClaimState.FALSE,
                LATER,
                "不关",
                "通知",
                "lea",
                LATER + timedelta(days=30),
            )
        )
        assert store.claims.of(case) == b
        saved = store.claims.save(replace(a, state=ClaimState.TRUE, clarification="是的"), 1)
        with pytest.raises(Conflict):
            store.claims.save(a, 1)
    with uow.read() as store:
        assert (
            store.claims.get(a.id)
            == saved
            == replace(a, state=ClaimState.TRUE, clarification="是的", version=2)
        )
        assert store.claims.page(None, 1) == [b]
        assert store.claims.page(b.id, 9) == [saved]
        with pytest.raises(NotFound):
            store.claims.get(999)


# --- the ledger ------------------------------------------------------------------------------------


def entries(uow: SqlUnitOfWork) -> list[LedgerEntry]:
    with uow.read() as store:
        return store.ledger.entries(0, 10_000)


def test_the_chain_holds_over_single_and_many(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert store.ledger.head() is None
        one = store.ledger.append("case.opened", "HY-000001", "mo", {"b": 1, "a": "甲"}, LATER)
        assert (one.seq, one.prev) == (1, GENESIS)
        more = [("decided", f"HY-{n:06d}", "mona", {"n": n}) for n in range(5)]
        made = store.ledger.append_many(more, LATER)
        assert store.ledger.append_many([], LATER) == []
    with uow.read() as store:
        assert store.ledger.entries(0, 99) == [one, *made]
        assert store.ledger.entries(4, 1) == [made[3]]
        assert store.ledger.head() == made[-1]
        assert store.ledger.get(1) == one
        assert store.ledger.get(99) is None
    assert first_bad([one, *made]) is None


def test_entries_hold_digests_and_neither_names_nor_words(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        a = store.ledger.append("noted", "HY-000001", "mo", {"x": 1, "y": 2}, START)
        b = store.ledger.append("noted", "HY-000001", "mo", {"y": 2, "x": 1}, START)
        c = store.ledger.append("noted", "HY-000001", "mona", {"x": 2}, START)
    assert a.digest == b.digest != c.digest
    assert a.actor == b.actor != c.actor
    assert (len(a.digest), len(a.actor)) == (64, 16)
    assert "mo" not in a.actor


def test_many_writers_make_one_chain(uow: SqlUnitOfWork) -> None:
    def work(number: int) -> None:
        for n in range(8):
            with uow.begin() as store:
                store.ledger.append("noted", f"HY-{number:06d}", f"w{number}", {"n": n}, LATER)

    at_once(6, work)
    found = entries(uow)
    assert len(found) == 48
    assert first_bad(found) is None


def test_two_hundred_tampers_are_found(url: str, uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        content = [("noted", f"HY-{n:06d}", f"w{n % 3}", {"n": n}) for n in range(60)]
        store.ledger.append_many(content, LATER)
    clean = entries(uow)
    raw_sql(url, *unguarded(url, "ledger"))
    chance = random.Random(20_261_101)
    engine = engine_of(url)
    missed = []
    for _n in range(200):
        what = _tamper(chance, len(clean))
        with writing(engine).connect() as link:
            begun = link.begin()
            for statement in what:
                link.execute(text(statement))
            found = uow._over(link).ledger.entries(0, 999)
            begun.rollback()
        # A cut tail leaves a valid chain: it is found by the number of entries that somebody else holds.
        if found != clean and first_bad(found) is None and len(found) == len(clean):
            missed.append(what)
        assert found != clean, what
    engine.dispose()
    assert missed == []
    assert entries(uow) == clean


def _tamper(chance: random.Random, size: int) -> list[str]:
    seq, other = chance.sample(range(1, size), 2)
    column = chance.choice(["at", "kind", "ref", "actor", "digest", "prev", "hash"])
    value = "at + 1" if column == "at" else f"'{'0' * 63}{chance.randint(1, 9)}'"
    return chance.choice(
        [
            [f"UPDATE ledger SET {column} = {value} WHERE seq = {seq}"],
            [f"DELETE FROM ledger WHERE seq = {seq}"],
            [f"DELETE FROM ledger WHERE seq = {seq}", f"UPDATE ledger SET seq = {seq} WHERE seq = {size}"],
            [
                f"UPDATE ledger SET seq = -1 WHERE seq = {seq}",
                f"UPDATE ledger SET seq = {seq} WHERE seq = {other}",
                f"UPDATE ledger SET seq = {other} WHERE seq = -1",
            ],
            [
                "INSERT INTO ledger (seq, at, kind, ref, actor, digest, prev, hash)"
                f" SELECT {size} + 1, at, kind, ref, actor, digest, 'x', hash FROM ledger WHERE seq = {seq}"
            ],
            [
                f"UPDATE ledger SET digest = (SELECT digest FROM ledger WHERE seq = {other}) WHERE seq = {seq}",
            ],
        ]
    )


def test_a_ledger_that_was_cut_in_the_middle_takes_no_further_entry_unnoticed(
    url: str, uow: SqlUnitOfWork
) -> None:
    with uow.begin() as store:
        store.ledger.append_many([("noted", "HY-000001", "mo", {"n": n}) for n in range(5)], LATER)
    raw_sql(url, *unguarded(url, "ledger"), "DELETE FROM ledger WHERE seq = 3")
    with uow.begin() as store:
        store.ledger.append("noted", "HY-000001", "mo", {}, LATER)
    assert first_bad(entries(uow)) == 3


def test_a_fork_is_refused_by_the_database(url: str, uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.ledger.append("noted", "HY-000001", "mo", {}, LATER)
    fork = f"INSERT INTO ledger VALUES (2, 0, 'x', 'x', 'x', 'x', '{GENESIS}', 'x')"
    with pytest.raises(Exception, match=r"(?i)unique"):
        raw_sql(url, fork)


def test_content_with_what_no_text_can_hold(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        entry = store.ledger.append("noted", "HY-000001", "\ud800", {"note": "\udfff\0"}, LATER)
    assert first_bad([entry]) is None
    with pytest.raises(StoreError), uow.begin() as store:
        store.ledger.append("noted", "\ud800", "mo", {}, LATER)
    assert len(entries(uow)) == 1
