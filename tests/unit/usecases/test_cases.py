"""Moves of a grievance: who, what must be given, which date follows, and that history, state and ledger agree."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from grievance_world import (
    OFFICER_2,
    PEOPLE,
    STRANGER,
    S,
    answered,
    bring,
    day,
    events_of,
    feed,
    go,
    grievance,
    in_work,
    ledger_kinds,
    look,
    newest,
    staff,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.errors import BadInput, BadMove, Conflict, HuiyinError, NotAllowed, NotFound
from monitor.core.model import SYSTEM, Actor, Case, CaseEvent, CaseKind, CaseState, Role
from monitor.core.roles import PERMISSIONS
from monitor.core.states import LIMITS, MOVES
from monitor.core.workdays import answer_due, shipped
from monitor.testing.builders import ADMIN, HANDLER, LEADER, MODERATOR, OFFICER, FixedClock, raw
from monitor.usecases import box, cases, ratings
from monitor.usecases._member import MEMBER
from monitor.usecases._moves import EXTEND_DAYS, PAUSE_DAYS, Step, advance, later
from monitor.usecases.deps import Deps


@pytest.fixture(autouse=True)
def _staff(deps: Deps) -> None:
    staff(deps)


# --- one move --------------------------------------------------------------------------------------


def test_a_move_is_an_event_a_ledger_entry_and_a_new_version(deps: Deps, clock: FixedClock) -> None:
    case = grievance(deps)
    at = clock.advance(hours=1)
    moved = cases.move(deps, OFFICER, case.id, case.version, "accept", reason="  属于受理范围 ")
    assert (moved.state, moved.version, moved.updated_at) == (S.ACCEPTED, case.version + 1, at)
    (event,) = events_of(deps, case, "accept")
    assert (event.actor, event.role, event.at, event.reason) == ("otto", "officer", at, "属于受理范围")
    assert ledger_kinds(deps, case.reference) == ["case.opened", "case.accept"]
    assert look(deps, case) == moved


def test_a_stale_version_changes_nothing(deps: Deps) -> None:
    case = grievance(deps)
    go(deps, case, "accept")
    with pytest.raises(Conflict, match="look at it again"):
        cases.move(deps, OFFICER_2, case.id, case.version, "start", assignee="hana")
    assert look(deps, case).state is S.ACCEPTED
    with pytest.raises(NotFound):
        cases.move(deps, OFFICER, 999, 1, "accept")


@pytest.mark.parametrize("who", [MODERATOR, LEADER, ADMIN, STRANGER, HANDLER], ids=lambda a: a.login)
def test_others_are_refused(deps: Deps, who: Actor) -> None:
    case = grievance(deps, unit="后勤处")
    with pytest.raises(NotAllowed):
        cases.move(deps, who, case.id, case.version, "accept")
    assert [event.kind for event in events_of(deps, case)] == ["opened"]


@pytest.mark.parametrize(
    ("state", "action", "given", "missing"),
    [
        (S.REGISTERED, "decline", {}, "say why"),
        (S.REGISTERED, "decline", {"reason": " \t"}, "say why"),
        (S.REGISTERED, "transfer", {"reason": "x"}, "name the unit"),
        (S.ACCEPTED, "start", {}, "name the account"),
        (S.IN_WORK, "ask", {}, "say why"),
        (S.IN_WORK, "extend", {}, "say why"),
        (S.IN_WORK, "answer", {"reason": "x"}, "approving a reply"),
        (S.REGISTERED, "decline", {"reason": "长" * 501}, "longer than 500"),
        (S.REGISTERED, "transfer", {"unit": "长" * 101}, "longer than 100"),
        (S.ACCEPTED, "start", {"assignee": "长" * 101}, "longer than 100"),
    ],
)
def test_what_a_move_needs(
    deps: Deps, state: CaseState, action: str, given: dict[str, str], missing: str
) -> None:
    case = bring(deps, grievance(deps), state)
    before = events_of(deps, case)
    with pytest.raises(BadInput, match=missing):
        go(deps, case, action, **given)
    assert look(deps, case) == case
    assert events_of(deps, case) == before


def test_staff_cannot_rate_and_the_words_say_who_can(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    for who in (*PEOPLE, SYSTEM):
        with pytest.raises(NotAllowed):
            go(deps, case, "rate", who)
    with pytest.raises(BadInput, match="only the person who asked"):
        go(deps, case, "rate", MEMBER)


@pytest.mark.parametrize("action", ["decide", "escalate", "reroute", "undo"])
def test_deciding_has_its_own_way(deps: Deps, action: str) -> None:
    feed(deps, raw("1", "听说下周停水"))
    case = newest(deps, CaseKind.CLARIFICATION)
    with pytest.raises(BadInput, match="in the queue"):
        go(deps, case, action)


def test_a_transfer_names_the_unit_and_the_unit_starts(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.TRANSFERRED)
    assert (case.unit, case.assignee) == ("后勤处", None)
    assert events_of(deps, case, "transfer")[0].detail == {"unit": "后勤处"}
    with pytest.raises(NotAllowed):
        go(deps, case, "start", STRANGER)
    started = go(deps, case, "start", HANDLER)
    assert (started.assignee, started.unit) == ("hana", "后勤处")
    assert events_of(deps, case, "start")[0].detail == {"assignee": "hana"}


def test_a_handler_may_give_the_work_to_a_colleague_of_the_unit(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.TRANSFERRED)
    with pytest.raises(BadInput, match="another unit"):
        go(deps, case, "start", HANDLER, assignee="stan")
    assert go(deps, case, "start", HANDLER, assignee="hugo").assignee == "hugo"


def test_only_an_active_handler_or_officer_is_named(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.ACCEPTED)
    with deps.uow.begin() as store:
        store.accounts.set_active("hugo", False)
    for name in ("nobody", "hugo", "lea", "mo"):
        with pytest.raises(BadInput, match="no active handler"):
            go(deps, case, "start", assignee=name)
    assert go(deps, case, "start", assignee="olga").unit is None, "an officer works for every unit"


def test_a_handler_brings_their_unit_to_a_case_without_one(deps: Deps) -> None:
    case = go(deps, bring(deps, grievance(deps), S.ACCEPTED), "start", assignee="stan")
    assert (case.assignee, case.unit) == ("stan", "人事处")
    assert go(deps, case, "ask", STRANGER, reason="哪一年的？").state is S.WAITING


def test_an_officer_may_take_the_work_themselves(deps: Deps) -> None:
    case = go(deps, bring(deps, grievance(deps), S.ACCEPTED), "start", assignee="otto")
    assert case.assignee == "otto"
    with pytest.raises(NotAllowed, match="somebody else"):
        go(deps, case, "extend", OFFICER, reason="更多时间")
    assert go(deps, case, "extend", OFFICER_2, reason="更多时间").state is S.EXTENDED


def test_a_wrong_desk_gives_it_back_and_three_transfers_are_enough(deps: Deps) -> None:
    case = grievance(deps)
    for _time in range(3):
        case = go(deps, case, "transfer", unit="后勤处")
        case = go(deps, case, "return", HANDLER, reason="不归我们管")
    with pytest.raises(BadMove, match="as often as allowed"):
        go(deps, case, "transfer", unit="后勤处")
    assert go(deps, go(deps, case, "accept"), "start", assignee="otto").state is S.IN_WORK


def test_a_repeat_needs_another_handler(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    token = _token(deps, case)
    assert ratings.rate(deps, token, "no", 1).state is S.REDO
    with pytest.raises(BadInput, match="name another person"):
        go(deps, case, "start", assignee="hana")
    again = go(deps, case, "start", assignee="hugo")
    assert (again.assignee, again.redo_count) == ("hugo", 1)


def test_a_repeat_that_the_last_handler_takes_for_themselves_is_refused(deps: Deps) -> None:
    case = answered(deps, in_work(deps, grievance(deps), "otto"))
    ratings.rate(deps, _token(deps, case), "no", 1)
    with pytest.raises(BadInput, match="name another person"):
        go(deps, case, "start", OFFICER, assignee="otto")


def _token(deps: Deps, case: Case) -> str:
    with deps.uow.read() as store:
        effects = store.outbox.of_case(case.id)
    return effects[-1].text.rsplit("/rate/", 1)[1]


def test_a_lease_ends_when_the_union_owes_nothing_more(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    with deps.uow.begin() as store:
        store.cases.lease(case.id, "otto", clock.now(), 300)
    held = go(deps, case, "ask", reason="哪个楼？")
    assert held.lease_by is None
    back = go(deps, held, "resume")
    with deps.uow.begin() as store:
        store.cases.lease(case.id, "otto", clock.now(), 300)
    assert go(deps, back, "extend", reason="等论证").lease_by == "otto"


# --- dates -----------------------------------------------------------------------------------------


def test_the_dates_of_a_case(deps: Deps, clock: FixedClock) -> None:
    """Registered on Monday 2026-03-02: two working days to accept, fifteen to answer, Qingming in between."""
    case = grievance(deps)
    assert day(case.due_at) == "2026-03-04"
    clock.advance(days=1)
    accepted = go(deps, case, "accept")
    assert day(accepted.due_at) == "2026-03-23"
    assert events_of(deps, case, "due_changed")[0].detail == {
        "due": accepted.due_at.isoformat() if accepted.due_at else "",
        "before": case.due_at.isoformat() if case.due_at else "",
        "note": "2026-03-04 → 2026-03-23",
    }
    started = go(deps, accepted, "start", assignee="hana")
    clock.advance(days=2)  # Thursday
    waiting = go(deps, started, "ask", HANDLER, reason="请补充门牌号")
    assert waiting.due_at == accepted.due_at
    clock.advance(days=5)  # Tuesday: three working days were waited
    resumed = go(deps, waiting, "resume", HANDLER)
    assert day(resumed.due_at) == "2026-03-26"
    extended = go(deps, resumed, "extend", reason="需要上会")
    assert day(extended.due_at) == "2026-04-10", "ten working days, without Qingming on 6 April"
    back = go(deps, extended, "resume")
    assert back.due_at == extended.due_at
    done = answered(deps, back)
    assert done.due_at is None
    assert [event.kind for event in events_of(deps, case)].count("due_changed") == 3


def test_a_case_over_the_spring_festival(deps: Deps, clock: FixedClock) -> None:
    clock.advance(days=-21)  # Monday 2026-02-09; 14 February is a make-up working day
    case = go(deps, grievance(deps), "transfer", unit="后勤处")
    assert day(case.due_at) == answer_due_day(case.opened_at)
    assert case.due_at is not None
    assert case.due_at - case.opened_at > timedelta(days=22)


def answer_due_day(at: datetime) -> str:
    return day(answer_due(at, shipped()).at)


def test_asking_twice_stops_the_clock_for_ten_working_days_at_most(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    promised = case.due_at
    assert promised is not None
    for _time in range(2):
        case = go(deps, case, "ask", reason="请补充")
        clock.advance(days=30)
        case = go(deps, case, "resume")
    assert case.due_at == later(promised, 2 * PAUSE_DAYS)
    with pytest.raises(BadMove):
        go(deps, case, "ask", reason="第三次")


def test_resuming_on_the_same_day_moves_no_date(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.WAITING)
    assert go(deps, case, "resume").due_at == case.due_at
    assert len(events_of(deps, case, "due_changed")) == 1


def test_accepting_a_returned_case_keeps_the_promise(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.RETURNED)
    clock.advance(days=3)
    assert go(deps, case, "accept").due_at == case.due_at
    assert len(events_of(deps, case, "due_changed")) == 1


def test_a_repeat_gets_its_own_fifteen_days(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    at = clock.advance(days=3)
    again = ratings.rate(deps, _token(deps, case), "no", 2)
    assert again.due_at == answer_due(at, shipped()).at
    assert events_of(deps, case, "due_changed")[-1].detail["before"] is None


def test_a_case_without_a_date_lives_too(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    with deps.uow.begin() as store:
        case = store.cases.save(replace(case, due_at=None), case.version)
    waiting = cases.move(deps, OFFICER, case.id, case.version, "ask", "为什么？")
    clock.advance(days=3)
    back = cases.move(deps, OFFICER, case.id, waiting.version, "resume")
    assert back.due_at is None
    extended = cases.move(deps, OFFICER, case.id, back.version, "extend", "等")
    assert extended.due_at == later(clock.now(), EXTEND_DAYS)
    assert cases.sweep(deps) == 1, "an extension of nothing runs at once"
    assert look(deps, case).state is S.IN_WORK


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 24 * 365 * 23))
def test_the_figures_keep_the_ceilings_whatever_the_calendar(hours: int) -> None:
    """C-02: 60 days with both pauses, 90 with the extension, and an extension of at most 30."""
    registered = datetime(2004, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    promised = answer_due(registered, shipped()).at
    paused = later(promised, 2 * PAUSE_DAYS)
    extended = later(paused, EXTEND_DAYS)
    assert paused - registered <= timedelta(days=60)
    assert extended - registered <= timedelta(days=90)
    assert extended - paused <= timedelta(days=30)
    assert later(promised, 0) == promised


# --- walks -----------------------------------------------------------------------------------------

TABLE = {(move.source, move.action): move for move in MOVES if move.kind is CaseKind.GRIEVANCE}
ACTIONS = sorted({action for _state, action in TABLE})
ACTORS = (*PEOPLE, MEMBER, SYSTEM)
GIVEN = {
    "decline": {"reason": "不属于工会职责"},
    "return": {"reason": "不归我们管"},
    "ask": {"reason": "请补充"},
    "extend": {"reason": "等论证"},
    "redo": {"reason": "没有解决"},
    "reopen": {"reason": "没有解决"},
    "transfer": {"unit": "后勤处"},
}
DETAIL = {"answer": {"reply": 1}, "rate": {"solved": "no", "stars": 1}}


def _try(deps: Deps, case: Case, action: str, who: Actor, assignee: str) -> Case:
    """Try a move as a use case would make it."""
    step = Step(action, assignee=assignee, detail=DETAIL.get(action, {}), **GIVEN.get(action, {}))
    with deps.uow.begin(who) as store:
        return advance(store, deps, who, store.cases.get(case.id), step)


def _by_the_table(state: CaseState, number: int) -> tuple[str, Actor] | None:
    """Return a listed move from ``state`` and somebody whose role allows it, or None where nothing leads on."""
    rows = [row for (source, _action), row in TABLE.items() if source is state]
    if not rows:
        return None
    row = rows[number % len(rows)]
    able = [who for who in ACTORS if who.roles & row.roles]
    return row.action, able[number % len(able)]


WALK = st.lists(
    st.tuples(
        st.booleans() | st.just(True),
        st.integers(0, 1000),
        st.sampled_from(ACTIONS),
        st.sampled_from(ACTORS),
        st.sampled_from(["hana", "hugo", "olga", "stan"]),
        st.sampled_from([0, 0, 1, 3, 20]),
    ),
    min_size=4,
    max_size=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WALK)
def test_a_walk_leaves_no_trace_but_the_table_s(
    deps: Deps, clock: FixedClock, walk: list[tuple[bool, int, str, Actor, str, int]]
) -> None:
    """C-01: whatever people try, every change is a row of the table, and history, state, date and limits agree."""
    case = grievance(deps)
    for listed, number, action, who, assignee, days in walk:
        before = look(deps, case)
        if listed and (found := _by_the_table(before.state, number)):
            action, who = found
        clock.advance(days=days)
        try:
            after = _try(deps, case, action, who, assignee)
        except (BadMove, NotAllowed, BadInput):
            assert look(deps, case) == before
            continue
        row = TABLE[before.state, action]
        assert after.state is row.target
        assert row.roles & who.roles
        assert after.version == before.version + 1
        assert look(deps, case) == after
        if after.state in (S.IN_WORK, S.WAITING, S.EXTENDED, S.ANSWERED):
            assert after.assignee is not None, "no case without an owner"
        if before.state is S.REDO and action == "start":
            assert after.assignee != before.assignee
        if before.due_at and after.due_at and after.due_at != before.due_at:
            assert events_of(deps, case)[-1].kind == "due_changed"
    history = events_of(deps, case)
    for names, most in LIMITS.items():
        assert sum(event.kind in names for event in history) <= most
    moves = [f"case.{event.kind}" for event in history if event.kind in ACTIONS]
    assert ledger_kinds(deps, case.reference) == ["case.opened", *moves]


@pytest.mark.parametrize("state", [S.REGISTERED, S.TRANSFERRED, S.IN_WORK, S.WAITING, S.ANSWERED])
def test_what_the_table_does_not_list_is_refused(deps: Deps, state: CaseState) -> None:
    case = bring(deps, grievance(deps), state)
    for action, who in product(ACTIONS, (OFFICER_2, HANDLER, LEADER, STRANGER)):
        row = TABLE.get((state, action))
        if row is None or not row.roles & who.roles or who in (LEADER, STRANGER):
            with pytest.raises((BadMove, NotAllowed)):
                go(deps, case, action, who, **GIVEN.get(action, {}))
    assert look(deps, case) == case


# --- what the clock does ---------------------------------------------------------------------------


def levels(deps: Deps, case: Case) -> list[object]:
    return [event.detail["level"] for event in events_of(deps, case, "overdue")]


def test_a_missed_date_is_noted_once_per_working_day(deps: Deps, clock: FixedClock) -> None:
    case = grievance(deps)  # Monday, to be accepted by Wednesday 24:00
    clock.advance(days=2)
    assert cases.sweep(deps) == 0
    clock.advance(hours=15)  # Thursday 00:00 in Shanghai
    assert cases.sweep(deps) == 0, "the limit ends with the day"
    clock.advance(seconds=1)
    assert [cases.sweep(deps), cases.sweep(deps)] == [1, 0]
    clock.advance(days=1)  # Friday
    assert [cases.sweep(deps), cases.sweep(deps)] == [1, 0]
    clock.advance(days=2)  # Sunday
    assert cases.sweep(deps) == 0
    clock.advance(days=1)  # Monday
    cases.sweep(deps)
    assert levels(deps, case) == [1, 2, 3]
    event = events_of(deps, case, "overdue")[0]
    assert (event.actor, event.role) == ("system", "system")
    assert look(deps, case) == case, "a note moves nothing"


def test_a_service_that_stood_still_notes_the_present_level_only(deps: Deps, clock: FixedClock) -> None:
    case = grievance(deps)
    clock.advance(days=30)
    cases.sweep(deps)
    assert len(levels(deps, case)) == 1


def test_a_new_date_begins_again_with_the_first_level(deps: Deps, clock: FixedClock) -> None:
    case = grievance(deps)
    clock.advance(days=4)
    cases.sweep(deps)
    go(deps, case, "accept")
    clock.advance(days=21)
    cases.sweep(deps)
    assert levels(deps, case) == [2, 4]
    assert events_of(deps, case, "overdue")[0].detail["due"] == (
        case.due_at.isoformat() if case.due_at else ""
    )


def test_a_clock_that_leaps_and_is_put_right_leaves_one_note(deps: Deps, clock: FixedClock) -> None:
    case = grievance(deps)
    clock.advance(days=3)
    cases.sweep(deps)
    clock.advance(days=-3)
    assert cases.sweep(deps) == 0
    clock.advance(days=2, hours=16)
    assert cases.sweep(deps) == 0, "this level of this date is noted"
    assert levels(deps, case) == [1]


def test_nobody_waits_for_a_member_for_ever(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.WAITING)
    clock.advance(days=6)  # Sunday: four working days
    assert cases.sweep(deps) == 0
    clock.advance(days=1)
    assert cases.sweep(deps) == 1
    back = look(deps, case)
    assert back.state is S.IN_WORK
    assert back.due_at == (None if case.due_at is None else later(case.due_at, PAUSE_DAYS))
    (event,) = events_of(deps, case, "resume")
    assert (event.role, event.detail) == ("system", {"cause": "no_answer"})


def test_waiting_is_not_overdue(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    clock.advance(days=20)
    go(deps, case, "ask", reason="请补充")
    clock.advance(days=2)  # the old date has passed meanwhile
    cases.sweep(deps)
    assert levels(deps, case) == []


def test_an_extension_runs_when_the_first_date_has_passed(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.EXTENDED)
    clock.advance(days=20)
    assert cases.sweep(deps) == 0
    clock.advance(days=2)
    assert cases.sweep(deps) == 1
    assert look(deps, case).state is S.IN_WORK
    assert look(deps, case).due_at == case.due_at


def test_an_answer_that_nobody_rates_closes_after_two_reminders(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    seen = []
    for _day in range(16):
        clock.advance(days=1)
        cases.sweep(deps)
        assert cases.sweep(deps) == 0
        seen.append(len(events_of(deps, case, "reminded")))
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert look(deps, case).state is S.CLOSED
    (closed,) = events_of(deps, case, "close")
    assert closed.detail == {"unrated": True}
    assert [e.detail for e in events_of(deps, case, "reminded")] == [
        {"of": "rating", "n": 1},
        {"of": "rating", "n": 2},
    ]


def test_no_leap_of_the_clock_closes_a_case_without_reminders(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    clock.advance(days=400)
    assert [cases.sweep(deps), cases.sweep(deps)] == [1, 0]
    clock.advance(days=-400)
    assert cases.sweep(deps) == 0
    assert look(deps, case).state is S.ANSWERED
    clock.advance(days=15)
    assert ratings.rate(deps, _token(deps, case), "yes", 5).state is S.RATED


def test_reminders_before_a_repeat_do_not_count_after_it(deps: Deps, clock: FixedClock) -> None:
    case = bring(deps, grievance(deps), S.ANSWERED)
    clock.advance(days=11)
    cases.sweep(deps)
    clock.advance(days=3)
    ratings.rate(deps, _token(deps, case), "no", 1)
    go(deps, case, "start", assignee="hugo")
    answered(deps, case, "第二次答复：已增加车位。")
    clock.advance(days=5)
    cases.sweep(deps)
    assert [event.detail["n"] for event in events_of(deps, case, "reminded")] == [1, 1]


def test_declined_and_rated_cases_close(deps: Deps) -> None:
    declined, rated = bring(deps, grievance(deps), S.DECLINED), bring(deps, grievance(deps), S.ANSWERED)
    ratings.rate(deps, _token(deps, rated), "partly", 3)
    assert [cases.sweep(deps), cases.sweep(deps)] == [2, 0]
    assert {look(deps, declined).state, look(deps, rated).state} == {S.CLOSED}


def test_the_sweep_sees_every_page(deps: Deps, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "BATCH", 2)
    made = [bring(deps, grievance(deps), S.DECLINED) for _n in range(5)]
    late = [grievance(deps) for _n in range(4)]
    clock.advance(days=7)
    assert cases.sweep(deps) == 9
    assert {look(deps, case).state for case in made} == {S.CLOSED}
    assert [len(levels(deps, case)) for case in late] == [1, 1, 1, 1]


def test_what_changed_since_it_was_listed_is_left_alone(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.DECLINED)
    watch = next(w for w in cases._WATCHES if S.DECLINED in w.states)
    assert cases._perform(deps, case.id, watch)
    assert not cases._perform(deps, case.id, watch)
    late = grievance(deps)
    overdue = next(w for w in cases._WATCHES if w.late)
    assert not cases._perform(deps, late.id, overdue), "not late (any more)"


def test_several_workers_sweep_and_each_thing_is_done_once(deps: Deps, clock: FixedClock) -> None:
    late = [grievance(deps) for _n in range(3)]
    unrated = bring(deps, grievance(deps), S.ANSWERED)
    clock.advance(days=6)
    with ThreadPoolExecutor(4) as workers:
        done = [future.result() for future in [workers.submit(cases.sweep, deps) for _n in range(4)]]
    assert sum(done) == 4
    assert [len(levels(deps, case)) for case in late] == [1, 1, 1]
    assert len(events_of(deps, unrated, "reminded")) == 1


def test_a_date_that_is_gone_is_not_overdue() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    case = Case(1, CaseKind.GRIEVANCE, S.IN_WORK, 1, 1, now, now, "qq")
    assert cases._overdue(case, [], now, None) is None  # type: ignore[arg-type]
    event = CaseEvent(1, "ask", "x", "officer", now)
    assert cases._waited(case, [], now, None) is None  # type: ignore[arg-type]
    assert cases._waited(case, [event], now - timedelta(days=9), None) is None  # type: ignore[arg-type]


def test_only_the_system_sweeps() -> None:
    assert PERMISSIONS["cases.sweep"] == {Role.SYSTEM}


def test_words_of_a_member_stand_in_no_event_and_no_ledger_entry(deps: Deps) -> None:
    """C-05 and S-09 over a whole life: only ids and codes."""
    receipt = box.submit(deps, "box", "食堂太贵，这是秘密甲")
    feed(deps)
    case = newest(deps)
    in_work(deps, case)
    go(deps, case, "ask", reason="哪个食堂？")
    box.add(deps, receipt, "东区食堂，这是秘密乙")
    answered(deps, case)
    box.rate(deps, receipt, "yes", 5, "谢谢，这是秘密丙")
    cases.sweep(deps)
    box.reopen(deps, receipt, "又涨价了，这是秘密丁")
    told = "".join(f"{event.reason}{event.detail}" for event in events_of(deps, case))
    assert "秘密" not in told
    with deps.uow.read() as store:
        assert "秘密" not in "".join(map(str, store.ledger.entries(0, 1000)))
        assert len(store.cases.post_ids(case.id)) == 4


def test_errors_are_ours_and_say_what_to_do(deps: Deps) -> None:
    case = grievance(deps)
    with pytest.raises(HuiyinError) as refused:
        go(deps, case, "answer", OFFICER)
    assert "open it again" in str(refused.value)
