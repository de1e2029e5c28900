"""The life of a case: every cell of the table, the limits, the walks of hypothesis, and the fold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.errors import BadMove, NotAllowed
from monitor.core.model import Actor, Case, CaseEvent, CaseKind, CaseState, Role
from monitor.core.states import (
    ENDED,
    EVENT_KINDS,
    INITIAL,
    LIMITS,
    MOVES,
    NOTES,
    OPEN,
    WAITING_FOR_STAFF,
    allowed,
    find_move,
    fold,
    is_open,
    next_state,
    step,
    used_up,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
UNIT = "后勤处"
S, G = CaseState, CaseKind.GRIEVANCE


def actor(*roles: Role, login: str = "x", unit: str | None = UNIT) -> Actor:
    return Actor(login, frozenset(roles), unit)


def case(kind: CaseKind = G, state: CaseState = S.REGISTERED, **fields: object) -> Case:
    return Case(1, kind, state, 1, 1, NOW, NOW, "qq", unit=UNIT, **fields)  # type: ignore[arg-type]


def event(kind: str) -> CaseEvent:
    return CaseEvent(1, kind, "x", "officer", NOW)


EVERYBODY = actor(*Role)
ACTIONS = sorted({move.action for move in MOVES})

LIFE = [
    # from, action, to, who: section C of the reference, one line per row
    (S.REGISTERED, "accept", S.ACCEPTED, {Role.OFFICER}),
    (S.REGISTERED, "decline", S.DECLINED, {Role.OFFICER}),
    (S.REGISTERED, "transfer", S.TRANSFERRED, {Role.OFFICER}),
    (S.TRANSFERRED, "start", S.IN_WORK, {Role.HANDLER, Role.OFFICER}),
    (S.TRANSFERRED, "return", S.RETURNED, {Role.HANDLER}),
    (S.RETURNED, "accept", S.ACCEPTED, {Role.OFFICER}),
    (S.RETURNED, "transfer", S.TRANSFERRED, {Role.OFFICER}),
    (S.ACCEPTED, "start", S.IN_WORK, {Role.OFFICER}),
    (S.IN_WORK, "ask", S.WAITING, {Role.OFFICER, Role.HANDLER}),
    (S.WAITING, "resume", S.IN_WORK, {Role.OFFICER, Role.HANDLER, Role.MEMBER, Role.SYSTEM}),
    (S.IN_WORK, "extend", S.EXTENDED, {Role.OFFICER}),
    (S.EXTENDED, "resume", S.IN_WORK, {Role.OFFICER, Role.HANDLER, Role.SYSTEM}),
    (S.IN_WORK, "answer", S.ANSWERED, {Role.OFFICER, Role.LEADER}),
    (S.ANSWERED, "rate", S.RATED, {Role.MEMBER}),
    (S.RATED, "redo", S.REDO, {Role.MEMBER, Role.SYSTEM}),
    (S.REDO, "start", S.IN_WORK, {Role.OFFICER}),
    (S.ANSWERED, "close", S.CLOSED, {Role.SYSTEM}),
    (S.RATED, "close", S.CLOSED, {Role.SYSTEM}),
    (S.DECLINED, "close", S.CLOSED, {Role.SYSTEM}),
    (S.CLOSED, "reopen", S.REDO, {Role.MEMBER}),
    *(
        (state, "withdraw", S.WITHDRAWN, {Role.MEMBER})
        for state in (
            S.REGISTERED,
            S.ACCEPTED,
            S.TRANSFERRED,
            S.RETURNED,
            S.IN_WORK,
            S.WAITING,
            S.EXTENDED,
            S.ANSWERED,
            S.REDO,
        )
    ),
]


def test_the_grievance_table_is_the_one_that_was_agreed() -> None:
    table = {(m.source, m.action, m.target, m.roles) for m in MOVES if m.kind is G}
    assert table == {(source, action, target, frozenset(who)) for source, action, target, who in LIFE}
    assert sum(m.kind is G for m in MOVES) == len(LIFE)


@pytest.mark.parametrize(("state", "action"), list(product(CaseState, ACTIONS)))
def test_every_cell_of_the_grievance_table(state: CaseState, action: str) -> None:
    row = next((r for r in LIFE if (r[0], r[1]) == (state, action)), None)
    if row is None:
        with pytest.raises(BadMove):
            next_state(G, state, action, EVERYBODY)
        return
    for role in Role:
        if role in row[3]:
            assert next_state(G, state, action, actor(role)) is row[2]
        else:
            with pytest.raises(NotAllowed):
                next_state(G, state, action, actor(role))


@pytest.mark.parametrize("kind", [k for k in CaseKind if k is not G])
def test_the_life_of_what_is_reviewed(kind: CaseKind) -> None:
    history = ["opened", "escalate", "decide", "undo", "claimed", "decide", "close"]
    assert fold(kind, map(event, history)) is S.CLOSED
    assert fold(kind, map(event, [*history[:4]])) is S.PENDING
    assert fold(kind, [event("reroute")]) is S.CLOSED
    assert next_state(kind, S.PENDING, "withdrawn_at_source", actor(Role.SYSTEM)) is S.CLOSED
    with pytest.raises(NotAllowed):
        next_state(kind, S.PENDING, "decide", actor(Role.HANDLER, Role.LEADER, Role.ADMIN, Role.SYSTEM))
    with pytest.raises(BadMove):
        fold(kind, [event("accept")])


def test_moderators_decide_moderation_and_officers_what_was_escalated_to_them() -> None:
    for role in Role:
        can = "decide" in allowed(case(CaseKind.MODERATION, S.PENDING), actor(role))
        assert can is (role in (Role.MODERATOR, Role.OFFICER))


def test_a_clarification_is_settled_by_an_answer() -> None:
    assert next_state(CaseKind.CLARIFICATION, S.PENDING, "answer", actor(Role.LEADER)) is S.DECIDED


def test_limits() -> None:
    assert {
        frozenset({"transfer"}): 3,
        frozenset({"ask"}): 2,
        frozenset({"extend"}): 1,
        frozenset({"redo", "reopen"}): 2,
    } == LIMITS
    officer, thrice = actor(Role.OFFICER), [event("transfer")] * 3
    assert step(case(), "transfer", officer, thrice[:2]) is S.TRANSFERRED
    with pytest.raises(BadMove, match="as often as allowed"):
        step(case(), "transfer", officer, thrice)
    assert "transfer" not in allowed(case(), officer, thrice)
    assert "accept" in allowed(case(), officer, thrice)
    assert used_up("reopen", [event("redo"), event("reopen")])
    assert not used_up("accept", [event("accept")] * 9)


def test_more_time_is_approved_by_somebody_else() -> None:
    officer = actor(Role.OFFICER, login="otto")
    own = case(state=S.IN_WORK, assignee="otto")
    with pytest.raises(NotAllowed, match="somebody else"):
        step(own, "extend", officer)
    assert "extend" not in allowed(own, officer)
    assert step(replace(own, assignee="hana"), "extend", officer) is S.EXTENDED


def test_another_unit_s_handler_is_refused() -> None:
    stranger = actor(Role.HANDLER, unit="人事处")
    with pytest.raises(NotAllowed, match="another unit"):
        step(case(state=S.TRANSFERRED), "start", stranger)
    assert allowed(case(state=S.TRANSFERRED), stranger) == ()
    assert allowed(case(state=S.TRANSFERRED), actor(Role.HANDLER)) == ("start", "return")


def test_staff_neither_rate_nor_withdraw() -> None:
    """C-05: only the person who asked says how it went."""
    for move in MOVES:
        if move.action in {"rate", "withdraw", "reopen"}:
            assert move.roles == {Role.MEMBER}


def test_the_sets_of_states_and_events() -> None:
    assert set(INITIAL) == set(CaseKind)
    assert is_open(S.REGISTERED)
    assert not is_open(S.CLOSED)
    assert not ENDED & (OPEN | WAITING_FOR_STAFF)
    assert NOTES | set(ACTIONS) == EVENT_KINDS
    assert not NOTES & set(ACTIONS), "a note and a move would be one word for two things"
    assert {move.target for move in MOVES} | set(INITIAL.values()) == set(CaseState)
    for kind in CaseKind:
        ends = {m.target for m in MOVES if m.kind is kind} - {m.source for m in MOVES if m.kind is kind}
        assert ends <= ENDED, "nobody is left waiting for ever"


def test_needs_are_known_words() -> None:
    assert {need for move in MOVES for need in move.needs} == {
        "reason",
        "unit",
        "assignee",
        "reply",
        "rating",
    }
    assert find_move(G, S.REGISTERED, "decline").needs == ("reason",)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(CaseKind),
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(Role)), max_size=40),
)
def test_a_walk_never_leaves_the_table(kind: CaseKind, tries: list[tuple[str, Role]]) -> None:
    """Whatever people try, the stored state is the fold of the events, and the limits hold."""
    now, events = case(kind, INITIAL[kind]), [event("opened")]
    for action, role in tries:
        who = actor(role)
        possible = allowed(now, who, events)
        try:
            target = step(now, action, who, events)
        except (BadMove, NotAllowed):
            assert action not in possible
            continue
        assert action in possible
        events.append(event(action))
        now = replace(now, state=target)
        assert fold(kind, events) is now.state
    for names, most in LIMITS.items():
        assert sum(e.kind in names for e in events) <= most


def test_every_state_of_a_grievance_can_be_reached_and_left() -> None:
    reached = {INITIAL[G]}
    for _round in CaseState:
        reached |= {m.target for m in MOVES if m.kind is G and m.source in reached}
    assert reached == {m.target for m in MOVES if m.kind is G} | {S.REGISTERED}
    stuck = reached - {m.source for m in MOVES if m.kind is G}
    assert stuck == {S.WITHDRAWN}
