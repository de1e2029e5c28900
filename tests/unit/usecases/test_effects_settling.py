"""The outbox by examples: taking, outcomes, the schedule of retries, and what a person settles (E-03, E-07)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from grievance_world import bring, grievance, staff
from moderation_world import decided, effects_of, events_of, ledger_kinds, opened, outbox

from monitor.core.errors import BadInput, BadMove, NotAllowed, NotFound
from monitor.core.model import (
    Action,
    CaseKind,
    CaseState,
    Effect,
    EffectKind,
    EffectState,
    NewEffect,
    Reply,
    ReplyState,
    Role,
)
from monitor.core.workdays import first_due, shipped
from monitor.testing.builders import (
    ADMIN,
    CUSTODIAN,
    HANDLER,
    LEADER,
    MEMBER,
    MODERATOR,
    OFFICER,
    FakeKeys,
    FixedClock,
)
from monitor.usecases import decide, effects, replies
from monitor.usecases.deps import Deps

S = EffectState


def removal(deps: Deps, **given: object) -> Effect:
    """Decide about a case of its own and return the effect that removes the post."""
    made = decided(deps, opened(deps), **given)  # type: ignore[arg-type]
    with deps.uow.begin() as store:  # the notice is not what these tests are about
        for effect in store.outbox.of_decision(made.id):
            if effect.kind is EffectKind.NOTICE:
                store.outbox.settle(effect, S.CANCELLED, deps.clock.now())
    (effect,) = effects_of(deps, made, EffectKind.REMOVE, EffectKind.MUTE)
    return effect


def answer(
    deps: Deps, kind: CaseKind = CaseKind.CLARIFICATION, places: int = 1
) -> tuple[Reply, list[Effect]]:
    """Approve an answer and return it with its effects."""
    if kind is CaseKind.GRIEVANCE:
        staff(deps)
        case = bring(deps, grievance(deps), CaseState.IN_WORK)
    else:
        case = opened(deps, kind, posts=places)
    held = replies.draft(deps, LEADER, case.id, f"经核实：以公告为准（{case.reference}）。")
    made = replies.approve(deps, OFFICER, held.id, held.version)
    with deps.uow.read() as store:
        return made, [e for e in store.outbox.of_case(case.id) if e.reply_id == made.id]


def take(deps: Deps, clock: FixedClock, **span: float) -> effects.Outgoing:
    """Advance and take the one effect that is due."""
    clock.advance(**span)
    (one,) = effects.take(deps)
    return one


def row(deps: Deps, effect: Effect) -> Effect:
    with deps.uow.read() as store:
        return store.outbox.get(effect.id)


def reply_state(deps: Deps, reply: Reply) -> ReplyState:
    with deps.uow.read() as store:
        return store.replies.get(reply.id).state


def told(deps: Deps, effect: Effect) -> list[str]:
    """Return the kinds of event about an effect."""
    with deps.uow.read() as store:
        return [e.kind for e in store.events.of(effect.case_id) if e.detail.get("effect") == effect.id]


def needs_human(deps: Deps, clock: FixedClock) -> Effect:
    """Return an effect that waits for a person."""
    one = take(deps, clock, seconds=20)
    assert effects.refused(deps, one.effect, "connector.rejected")
    return row(deps, one.effect)


# --- taking ----------------------------------------------------------------------------------------


def test_nothing_is_taken_before_its_time(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    clock.advance(seconds=19)
    assert effects.take(deps) == []
    one = take(deps, clock, seconds=1)
    assert (one.effect.id, one.ask_first, one.author) == (effect.id, False, None)
    assert one.effect.attempt == 1
    assert row(deps, effect).state is S.SENDING, "committed before anything is sent"
    assert one.effect.lease_until == clock.now() + timedelta(seconds=4 * deps.rules.send_timeout)
    assert effects.take(deps) == []


def test_a_crashed_sender_leaves_an_unknown_effect_that_is_asked_about_first(
    deps: Deps, clock: FixedClock
) -> None:
    effect = removal(deps)
    first = take(deps, clock, seconds=20)
    clock.advance(seconds=59)
    assert effects.take(deps) == []
    again = take(deps, clock, seconds=1)
    assert (again.ask_first, again.effect.state, again.effect.attempt) == (True, S.UNKNOWN, 1)
    assert row(deps, effect).last_error == "crashed"
    assert told(deps, effect) == ["effect_unknown"]
    for write in (
        lambda old: effects.sent(deps, old, "late"),
        lambda old: effects.unknown(deps, old, "x"),
        lambda old: effects.later(deps, old, "x"),
        lambda old: effects.refused(deps, old, "x"),
        lambda old: effects.not_done(deps, old),
    ):
        assert not write(first.effect), "the fence is past"
    assert told(deps, effect) == ["effect_unknown"]
    assert effects.sent(deps, again.effect, "found")
    assert row(deps, effect).receipt == "found"


def test_half_of_the_places_are_kept_for_new_ones(deps: Deps, clock: FixedClock) -> None:
    for _n in range(4):
        removal(deps)
    clock.advance(seconds=20)
    for one in effects.take(deps):
        effects.unknown(deps, one.effect, "connector.uncertain")
    for _n in range(4):
        removal(deps)
    clock.advance(seconds=30)
    assert [one.ask_first for one in effects.take(deps, 4)] == [True, True, False, False]
    assert [one.ask_first for one in effects.take(deps, 1)] == [True]
    assert [one.ask_first for one in effects.take(deps, 4)] == [True, False, False]


def test_effects_of_a_paused_channel_are_left_where_they_are(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    clock.advance(seconds=20)
    assert effects.take(deps, without=("qq",)) == []
    assert (row(deps, effect).state, row(deps, effect).attempt) == (S.NEW, 0)
    assert len(effects.take(deps, without=("box",))) == 1
    clock.advance(seconds=60)
    assert effects.take(deps, without=("qq",)) == []
    assert row(deps, effect).state is S.SENDING
    assert take(deps, clock).ask_first


def test_a_native_id_that_cannot_be_unsealed_is_left_out(deps: Deps, clock: FixedClock) -> None:
    removal(deps, action=Action.MUTE)

    class OtherKeys(FakeKeys):
        def unseal(self, data: bytes) -> bytes:
            return super().unseal(b"another key:" + data)

    clock.advance(seconds=20)
    (one,) = effects.take(replace(deps, keys=OtherKeys()))
    assert (one.effect.kind, one.author) == (EffectKind.MUTE, None)


# --- outcomes --------------------------------------------------------------------------------------


def test_what_arrived_is_in_history_and_ledger_by_ids_only(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    one = take(deps, clock, seconds=20)
    assert effects.sent(deps, one.effect, "message-7")
    now = row(deps, effect)
    assert (now.state, now.receipt, now.settled_at, now.lease_until) == (
        S.SENT,
        "message-7",
        clock.now(),
        None,
    )
    with deps.uow.read() as store:
        case = store.cases.get(effect.case_id)
        (event,) = [e for e in store.events.of(case.id) if e.kind == "effect_sent"]
    assert event.detail == {"effect": effect.id, "action": "remove"}
    assert (event.actor, event.role) == ("system", Role.SYSTEM)
    assert ledger_kinds(deps, case.reference)[-1] == "effect.sent"
    assert not effects.sent(deps, one.effect, "again")
    assert told(deps, effect) == ["effect_sent"]


def test_an_answer_is_sent_when_one_place_has_it(deps: Deps, clock: FixedClock) -> None:
    reply, written = answer(deps, places=2)
    assert len(written) == 2
    clock.advance(seconds=20)
    first, second = effects.take(deps)
    assert effects.sent(deps, first.effect, "1")
    with deps.uow.read() as store:
        now = store.replies.get(reply.id)
    assert (now.state, now.sent_at) == (ReplyState.SENT, clock.now())
    assert effects.sent(deps, second.effect, "2")
    assert effects.refused(deps, second.effect, "x") is False
    assert told(deps, first.effect) == ["effect_sent", "reply_sent"]
    assert told(deps, second.effect) == ["effect_sent"], "one answer, one reply_sent"


def test_an_answer_has_failed_when_every_place_is_given_up(deps: Deps, clock: FixedClock) -> None:
    reply, written = answer(deps, places=2)
    clock.advance(seconds=20)
    for n, one in enumerate(effects.take(deps)):
        assert reply_state(deps, reply) is ReplyState.APPROVED
        assert effects.refused(deps, one.effect, "connector.rejected")
        assert (told(deps, one.effect)[-1] == "reply_failed") is (n == 1)
    assert reply_state(deps, reply) is ReplyState.FAILED
    effects.resolve(deps, OFFICER, written[0].id, "again", "群主已恢复发言")
    assert reply_state(deps, reply) is ReplyState.APPROVED, "it is on its way again"
    one = take(deps, clock)
    assert effects.sent(deps, one.effect, "3")
    assert reply_state(deps, reply) is ReplyState.SENT
    effects.resolve(deps, OFFICER, written[1].id, "cancel", "群已解散")
    assert reply_state(deps, reply) is ReplyState.SENT


def test_a_late_truth_counts_even_after_it_was_given_up(deps: Deps, clock: FixedClock) -> None:
    reply, (effect,) = answer(deps)
    one = take(deps, clock, seconds=20)
    assert effects.refused(deps, one.effect, "x")
    assert reply_state(deps, reply) is ReplyState.FAILED
    assert effects.sent(deps, one.effect, "it did arrive")
    assert (row(deps, effect).state, reply_state(deps, reply)) == (S.SENT, ReplyState.SENT)


def test_the_unknown_is_asked_about_after_twice_the_timeout_and_never_sent(
    deps: Deps, clock: FixedClock
) -> None:
    effect = removal(deps)
    one = take(deps, clock, seconds=20)
    assert effects.unknown(deps, one.effect, "connector.uncertain")
    assert not effects.unknown(deps, one.effect, "connector.uncertain"), "settled once"
    clock.advance(seconds=29)
    assert effects.take(deps) == []
    asked = take(deps, clock, seconds=1)
    assert asked.ask_first
    assert effects.later(deps, asked.effect, "connector.unavailable")
    assert (row(deps, effect).state, row(deps, effect).attempt) == (S.UNKNOWN, 1)
    asked = take(deps, clock, seconds=30)
    assert effects.later(deps, asked.effect, "connector.rate_limited", clock.now() + timedelta(minutes=3))
    clock.advance(seconds=179)
    assert effects.take(deps) == []
    asked = take(deps, clock, seconds=1)
    assert effects.not_done(deps, asked.effect)
    again = take(deps, clock)
    assert (again.ask_first, again.effect.attempt) == (False, 2)


def test_retries_follow_the_schedule_and_then_a_person_is_told(deps: Deps, clock: FixedClock) -> None:
    """E-07: 5 s, 1, 5, 15, 60 min, 4 h, 12 h, 24 h."""
    effect = removal(deps)
    clock.advance(seconds=20)
    waits = []
    for _attempt in range(8):
        one = take(deps, clock)
        assert effects.later(deps, one.effect, "connector.unavailable")
        waits.append((row(deps, effect).not_before - clock.now()).total_seconds())
        clock.advance(seconds=waits[-1] - 1)
        assert effects.take(deps) == []
        clock.advance(seconds=1)
    assert waits == [5, 60, 300, 900, 3_600, 14_400, 43_200, 86_400]
    one = take(deps, clock)
    assert effects.later(deps, one.effect, "connector.unavailable")
    assert (row(deps, effect).state, row(deps, effect).last_error) == (S.NEEDS_HUMAN, "connector.unavailable")
    assert told(deps, effect) == ["needs_human"]
    clock.advance(days=30)
    assert effects.take(deps) == []


def test_a_platform_that_never_takes_it_ends_with_a_person(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    clock.advance(seconds=20)
    for attempt in range(1, 10):
        one = take(deps, clock)
        assert one.effect.attempt == attempt
        assert effects.unknown(deps, one.effect, "connector.uncertain")
        asked = take(deps, clock, seconds=30)
        assert effects.not_done(deps, asked.effect)
    assert (row(deps, effect).state, row(deps, effect).last_error) == (S.NEEDS_HUMAN, "not_there")


def test_a_source_that_asks_for_more_time_gets_it(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    one = take(deps, clock, seconds=20)
    at = clock.now() + timedelta(hours=2)
    assert effects.later(deps, one.effect, "connector.rate_limited", at)
    assert row(deps, effect).not_before == at
    one = take(deps, clock, hours=2)
    assert effects.later(deps, one.effect, "connector.rate_limited", clock.now())
    assert row(deps, effect).not_before == clock.now() + timedelta(minutes=1), "not before the schedule"


@pytest.mark.parametrize("code", sorted(effects.NOT_TRIED))
def test_waiting_without_trying_lasts_as_asked_and_never_ends_with_a_person(
    deps: Deps, clock: FixedClock, code: str
) -> None:
    _reply, (effect,) = answer(deps)
    clock.advance(seconds=20)
    for _n in range(12):
        one = take(deps, clock)
        assert effects.later(deps, one.effect, code, clock.now() + timedelta(days=1))
        clock.advance(days=1)
    one = take(deps, clock)
    assert effects.later(deps, one.effect, code)
    assert row(deps, effect).not_before == clock.now() + timedelta(seconds=5)
    assert told(deps, effect) == []


@pytest.mark.parametrize("kind", [CaseKind.CLARIFICATION, CaseKind.GRIEVANCE])
def test_an_answer_that_misses_its_date_is_raised_at_once(
    deps: Deps, clock: FixedClock, kind: CaseKind
) -> None:
    reply, (effect,) = answer(deps, kind)
    with deps.uow.read() as store:
        case = store.cases.get(reply.case_id)
        dates = [e.detail["due"] for e in store.events.of(case.id) if e.kind == "due_changed"]
    first = first_due(kind, case.opened_at, shipped())
    assert case.due_at is None
    assert first is not None
    due = first.at if kind is CaseKind.CLARIFICATION else type(first.at).fromisoformat(str(dates[-1]))
    clock.advance(seconds=(due - clock.now()).total_seconds())
    one = take(deps, clock)
    assert effects.later(deps, one.effect, "connector.unavailable")
    assert row(deps, effect).state is S.NEW, "in time"
    one = take(deps, clock, seconds=5)
    assert effects.later(deps, one.effect, "connector.unavailable")
    assert row(deps, effect).state is S.NEEDS_HUMAN
    assert reply_state(deps, reply) is ReplyState.FAILED


def test_the_date_of_a_case_that_runs_again_counts(deps: Deps, clock: FixedClock) -> None:
    reply, (effect,) = answer(deps, CaseKind.GRIEVANCE)
    one = take(deps, clock, seconds=20)
    with deps.uow.begin() as store:
        case = store.cases.get(reply.case_id)
        store.cases.save(replace(case, due_at=clock.now() - timedelta(seconds=1)), case.version)
    assert effects.later(deps, one.effect, "connector.unavailable")
    assert row(deps, effect).state is S.NEEDS_HUMAN


def test_an_answer_without_a_date_is_never_late(deps: Deps, clock: FixedClock) -> None:
    """A reply in a case of a kind that is promised no answer: only the schedule counts."""
    reply, (effect,) = answer(deps)
    case = opened(deps)
    with deps.uow.begin() as store:
        row_ = store.outbox.get(effect.id)
        other = store.outbox.add(
            NewEffect("of another kind", EffectKind.REPLY, "qq", case.id, clock.now(), reply_id=reply.id),
            clock.now(),
        )
        store.outbox.settle(row_, S.CANCELLED, clock.now())
    one = take(deps, clock, days=400)
    assert one.effect.id == other
    assert effects.later(deps, one.effect, "connector.unavailable")
    assert row(deps, one.effect).state is S.NEW


# --- decisions that no longer stand ----------------------------------------------------------------


def test_what_was_taken_back_while_it_was_on_its_way_is_not_tried_again(
    deps: Deps, clock: FixedClock
) -> None:
    made = decided(deps, opened(deps))
    clock.advance(seconds=20)
    removal_, notice = sorted((one.effect for one in effects.take(deps)), key=lambda e: e.kind, reverse=True)
    assert effects.unknown(deps, notice, "connector.uncertain")
    decide.undo(deps, MODERATOR, made.id)
    assert effects.later(deps, removal_, "connector.unavailable")
    assert row(deps, removal_).state is S.CANCELLED
    assert told(deps, removal_) == ["effect_cancelled"]
    assert not effects.later(deps, removal_, "connector.unavailable")
    clock.advance(seconds=30)
    asked = next(one for one in effects.take(deps) if one.effect.id == notice.id)
    assert asked.ask_first
    assert effects.not_done(deps, asked.effect)
    assert row(deps, notice).state is S.CANCELLED
    assert not effects.not_done(deps, asked.effect)


def test_nobody_repeats_by_hand_what_was_taken_back(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    waiting = needs_human(deps, clock)
    decide.undo(deps, MODERATOR, effect.decision_id or 0)
    with pytest.raises(BadMove, match="taken back"):
        effects.resolve(deps, MODERATOR, waiting.id, "again", "再试一次")
    effects.resolve(deps, MODERATOR, waiting.id, "cancel", "已撤销")
    assert row(deps, effect).state is S.CANCELLED


# --- people ----------------------------------------------------------------------------------------


def test_the_unknown_goes_to_a_person_after_ten_minutes(deps: Deps, clock: FixedClock) -> None:
    first, second = removal(deps), removal(deps)
    clock.advance(seconds=20)
    one, two = effects.take(deps)
    assert effects.unknown(deps, one.effect, "connector.uncertain")
    clock.advance(seconds=30)
    assert effects.unknown(deps, two.effect, "connector.uncertain")
    clock.advance(seconds=570)
    assert effects.sweep(deps) == 0
    clock.advance(seconds=1)
    assert effects.sweep(deps) == 1
    assert (row(deps, first).state, row(deps, second).state) == (S.NEEDS_HUMAN, S.UNKNOWN)
    assert told(deps, first) == ["effect_unknown", "needs_human"]
    assert effects.sweep(deps) == 0
    clock.advance(seconds=30)
    assert effects.sweep(deps) == 1


def test_what_is_being_asked_about_is_left_to_the_one_who_asks(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    one = take(deps, clock, seconds=20)
    assert effects.unknown(deps, one.effect, "connector.uncertain")
    asked = take(deps, clock, seconds=700)
    assert effects.sweep(deps) == 0
    assert effects.later(deps, asked.effect, "connector.unavailable")
    assert effects.sweep(deps) == 1
    assert not effects.later(deps, asked.effect, "connector.unavailable"), "a person has it now"
    assert not effects.not_done(deps, asked.effect)
    assert row(deps, effect).state is S.NEEDS_HUMAN


def test_an_unknown_without_a_record_counts_from_its_beginning(deps: Deps, clock: FixedClock) -> None:
    effect = removal(deps)
    one = take(deps, clock, seconds=601)
    with deps.uow.begin() as store:
        assert store.outbox.settle(one.effect, S.UNKNOWN, clock.now(), not_before=clock.now())
    assert effects.sweep(deps) == 1
    assert row(deps, effect).last_error == "unknown"


def test_sweeping_sees_every_page(deps: Deps, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "BATCH", 2)
    for _n in range(5):
        removal(deps)
    clock.advance(seconds=20)
    for one in effects.take(deps):
        effects.unknown(deps, one.effect, "connector.uncertain")
    clock.advance(seconds=601)
    assert effects.sweep(deps) == 5


@pytest.mark.parametrize(
    ("outcome", "state", "kind", "entry"),
    [
        ("sent", S.SENT, "effect_sent", "effect.sent_by_hand"),
        ("again", S.NEW, "noted", "effect.again_by_hand"),
        ("cancel", S.CANCELLED, "effect_cancelled", "effect.cancel_by_hand"),
    ],
)
def test_a_person_settles_what_nobody_could(
    deps: Deps, clock: FixedClock, outcome: str, state: EffectState, kind: str, entry: str
) -> None:
    effect = removal(deps)
    waiting = needs_human(deps, clock)
    effects.resolve(deps, MODERATOR, waiting.id, outcome, "  在群里看过 ")
    assert row(deps, effect).state is state
    with deps.uow.read() as store:
        case = store.cases.get(effect.case_id)
    (event,) = [e for e in events_of(deps, case, kind) if e.actor == "mo"]
    assert (event.reason, event.detail["by_hand"]) == ("在群里看过", outcome)
    assert ledger_kinds(deps, case.reference)[-1] == entry
    with pytest.raises(BadMove, match="only one that waits"):
        effects.resolve(deps, MODERATOR, waiting.id, outcome, "再来一次")
    if outcome == "again":
        assert take(deps, clock).effect.attempt == 2


def test_an_answer_that_a_person_found_is_sent(deps: Deps, clock: FixedClock) -> None:
    reply, (effect,) = answer(deps)
    waiting = needs_human(deps, clock)
    effects.resolve(deps, OFFICER, waiting.id, "sent", "群里能看到")
    assert (reply_state(deps, reply), row(deps, effect).receipt) == (ReplyState.SENT, "by hand")


def test_who_may_settle_by_hand(deps: Deps, clock: FixedClock) -> None:
    removal(deps)
    waiting = needs_human(deps, clock)
    for who in (LEADER, HANDLER, CUSTODIAN, MEMBER):
        with pytest.raises(NotAllowed):
            effects.resolve(deps, who, waiting.id, "sent", "看过")
    effects.resolve(deps, ADMIN, waiting.id, "sent", "看过")
    assert row(deps, waiting).state is S.SENT
    answer(deps, CaseKind.GRIEVANCE)
    waiting = needs_human(deps, clock)
    with pytest.raises(NotAllowed, match="on this case"):
        effects.resolve(deps, MODERATOR, waiting.id, "sent", "看过")
    effects.resolve(deps, OFFICER, waiting.id, "sent", "看过")


@pytest.mark.parametrize(("outcome", "note"), [("done", "x"), ("sent", " "), ("sent", "长" * 501)])
def test_a_settlement_says_what_was_seen(deps: Deps, clock: FixedClock, outcome: str, note: str) -> None:
    removal(deps)
    waiting = needs_human(deps, clock)
    with pytest.raises(BadInput, match="say what you saw"):
        effects.resolve(deps, MODERATOR, waiting.id, outcome, note)
    with pytest.raises(NotFound):
        effects.resolve(deps, MODERATOR, 999, "sent", "看过")
    assert [e.state for e in outbox(deps, S.NEEDS_HUMAN)] == [S.NEEDS_HUMAN]
