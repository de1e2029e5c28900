"""Taking back and handing on: escalation, undo within its time, and cases for the people who answer them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from grievance_world import feed, newest, staff
from moderation_world import (
    ANGRY,
    decided,
    effects_of,
    events_of,
    ledger_kinds,
    look,
    only,
    opened,
    outbox,
    removed_by_two,
    send_all,
    where_only,
)

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed, NotFound
from monitor.core.model import (
    Action,
    CaseKind,
    CaseState,
    EffectKind,
    EffectState,
    NewCase,
    Role,
)
from monitor.core.ports import Capability
from monitor.testing.builders import (
    ADMIN,
    HANDLER,
    LEADER,
    MEMBER,
    MODERATOR,
    MODERATOR_2,
    OFFICER,
    FixedClock,
    person,
    raw,
)
from monitor.usecases import decide, effects, queue
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest

A = Action


# --- escalating ------------------------------------------------------------------------------------


def test_an_escalated_case_goes_ahead_to_a_colleague(deps: Deps) -> None:
    others = [opened(deps) for _n in range(3)]
    case = opened(deps)
    queue.claim(deps, MODERATOR, case.id)
    made = decided(deps, case, A.ESCALATE, note="拿不准")
    now = look(deps, case)
    assert (now.state, now.urgency, now.lease_by) == (CaseState.PENDING, "high", None)
    assert now.rank < min(other.rank for other in others)
    (event,) = events_of(deps, case, "escalate")
    assert (event.reason, event.detail["decision"]) == ("拿不准", made.id)
    where = queue.CaseFilter(kinds=(CaseKind.MODERATION,))
    mine, theirs = queue.take_next(deps, MODERATOR, where), queue.take_next(deps, MODERATOR_2, where)
    assert mine is not None
    assert theirs is not None
    assert mine.case.id != case.id, "not to the person who handed it on"
    assert theirs.case.id == case.id


def test_an_escalation_never_goes_before_a_person_at_risk(deps: Deps) -> None:
    care, spam = opened(deps, CaseKind.CARE), opened(deps)
    decided(deps, spam, A.ESCALATE)
    decided(deps, care, A.ESCALATE, OFFICER)
    assert look(deps, care).rank < look(deps, spam).rank
    assert look(deps, care).rank == care.rank


def test_an_escalation_can_be_taken_back(deps: Deps) -> None:
    case = opened(deps)
    made = decided(deps, case, A.ESCALATE)
    back = decide.undo(deps, MODERATOR, made.id)
    assert (back.rank, back.urgency, back.state) == (case.rank, case.urgency, CaseState.PENDING)
    assert look(deps, case).version == case.version + 2
    found = queue.take_next(deps, MODERATOR, queue.CaseFilter())
    assert found is not None
    assert found.case.id == case.id
    care = opened(deps, CaseKind.CARE)
    made = decided(deps, care, A.ESCALATE)
    assert decide.undo(deps, MODERATOR, made.id).urgency == "high"


def test_an_escalation_of_what_is_closed_stays(deps: Deps) -> None:
    case = opened(deps)
    made = decided(deps, case, A.ESCALATE)
    decide.reroute(deps, MODERATOR_2, case.id, look(deps, case).version, CaseKind.GRIEVANCE)
    with pytest.raises(BadMove):
        decide.undo(deps, MODERATOR, made.id)


# --- undoing ---------------------------------------------------------------------------------------


def test_an_early_undo_cancels_everything(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps, posts=3)
    made = decided(deps, case)
    clock.advance(seconds=5)
    back = decide.undo(deps, MODERATOR, made.id)
    assert (back.state, back.version) == (CaseState.PENDING, case.version + 2)
    assert look(deps, case) == back
    assert {e.state for e in outbox(deps)} == {EffectState.CANCELLED}
    (event,) = events_of(deps, case, "undo")
    assert event.detail == {
        "decision": made.id,
        "action": "remove",
        "cancelled": 5,
        "restoring": 0,
        "lasting": 0,
        "notices": 0,
    }
    assert not events_of(deps, case, "corrected")
    assert ledger_kinds(deps, case.reference)[-1] == "case.undo"
    assert decided(deps, case, A.KEEP).id, "the item can be decided anew"


def test_a_later_undo_restores_and_corrects(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps, posts=3)
    made = decided(deps, case)
    assert len(send_all(deps, clock)) == 5
    decide.undo(deps, MODERATOR, made.id)
    fresh = outbox(deps, EffectState.NEW)
    assert Counter(e.kind for e in fresh) == {EffectKind.RESTORE: 3, EffectKind.NOTICE: 2}
    notice = next(e for e in fresh if e.kind is EffectKind.NOTICE)
    assert "已撤销" in notice.text
    assert notice.mark in notice.text
    assert notice.mark != effects_of(deps, made, EffectKind.NOTICE)[0].mark
    (event,) = events_of(deps, case, "corrected")
    assert event.detail == {"about": made.id, "notices": 2}
    assert len(send_all(deps, clock)) == 5, "what takes a decision back leaves although the decision is void"


def test_what_cannot_be_restored_is_said(deps: Deps, clock: FixedClock) -> None:
    qq = where_only(deps, *(set(Capability) - {Capability.RESTORE}))
    case = opened(qq)
    made = decided(qq, case)
    send_all(qq, clock)
    decide.undo(qq, MODERATOR, made.id)
    (notice,) = outbox(deps, EffectState.NEW)
    assert "平台不能恢复" in notice.text
    assert events_of(deps, case, "undo")[0].detail["lasting"] == 1


def test_a_muting_ends_by_a_short_one(deps: Deps, clock: FixedClock) -> None:
    qq = where_only(deps, *(set(Capability) - {Capability.RESTORE}))
    case = opened(qq, author="10086001")
    made = decided(qq, case, A.MUTE, mute_seconds=86_400)
    send_all(qq, clock)
    decide.undo(qq, MODERATOR, made.id)
    clock.advance(seconds=20)
    (unmute,) = [one for one in effects.take(qq) if one.effect.kind is EffectKind.MUTE]
    assert (unmute.effect.seconds, unmute.author) == (1, "10086001")


def test_what_is_on_its_way_arrives_before_it_is_taken_back(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    made = decided(deps, case)
    clock.advance(seconds=20)
    taken = {one.effect.kind: one.effect for one in effects.take(deps)}
    decide.undo(deps, MODERATOR, made.id)
    restore = next(e for e in outbox(deps, EffectState.NEW) if e.kind is EffectKind.RESTORE)
    assert restore.not_before == clock.now() + timedelta(seconds=2 * deps.rules.send_timeout)
    assert effects.later(deps, taken[EffectKind.REMOVE], "connector.unavailable")
    with deps.uow.read() as store:
        assert store.outbox.get(taken[EffectKind.REMOVE].id).state is EffectState.CANCELLED


def test_undo_has_its_time_and_its_person(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    made = decided(deps, case)
    for who in (MODERATOR_2, OFFICER, LEADER, ADMIN):
        with pytest.raises(NotAllowed):
            decide.undo(deps, who, made.id)
    clock.advance(seconds=deps.rules.undo_seconds)
    assert decide.may_undo(made, MODERATOR, clock.now())
    clock.advance(seconds=1)
    assert not decide.may_undo(made, MODERATOR, clock.now())
    with pytest.raises(BadMove, match="appeal can still"):
        decide.undo(deps, MODERATOR, made.id)
    assert look(deps, case).state is CaseState.DECIDED


def test_undo_happens_once_and_only_to_the_last_decision(deps: Deps) -> None:
    case = opened(deps)
    first = decided(deps, case, A.ESCALATE)
    second = decided(deps, case, A.KEEP, by=MODERATOR_2)
    with pytest.raises(Conflict, match="decided after it"):
        decide.undo(deps, MODERATOR, first.id)
    decide.undo(deps, MODERATOR_2, second.id)
    with pytest.raises(Conflict, match="already"):
        decide.undo(deps, MODERATOR_2, second.id)
    with pytest.raises(NotFound):
        decide.undo(deps, MODERATOR, 999)


def test_both_of_two_people_may_undo(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    made = removed_by_two(deps, case)
    assert decide.may_undo(made, MODERATOR, deps.clock.now())
    assert decide.undo(deps, MODERATOR, made.id).state is CaseState.PENDING


# --- sending to the right people -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        (CaseKind.MODERATION, CaseKind.GRIEVANCE),
        (CaseKind.MODERATION, CaseKind.CLARIFICATION),
        (CaseKind.CARE, CaseKind.GRIEVANCE),
        (CaseKind.CARE, CaseKind.CLARIFICATION),
        (CaseKind.CLARIFICATION, CaseKind.GRIEVANCE),
    ],
)
def test_a_case_goes_to_the_people_who_answer_it(deps: Deps, kind: CaseKind, to: CaseKind) -> None:
    case = opened(deps, kind)
    queue.claim(deps, MODERATOR, case.id)
    target = decide.reroute(deps, MODERATOR, case.id, case.version, to, " 这是诉求 ")
    closed = look(deps, case)
    assert (closed.state, closed.lease_by) == (CaseState.CLOSED, None)
    assert (target.kind, target.policy, target.opened_by) == (to, "rerouted", "mo")
    assert target.due_at is not None
    assert look(deps, target) == target
    with deps.uow.read() as store:
        assert store.cases.post_ids(target.id) == store.cases.post_ids(case.id)
    (event,) = events_of(deps, case, "reroute")
    assert (event.reason, event.detail) == ("这是诉求", {"kind": to, "to": target.reference})
    assert events_of(deps, target, "opened")[0].detail == {"from": case.reference}
    assert ledger_kinds(deps, case.reference)[-1] == "case.reroute"
    assert ledger_kinds(deps, target.reference) == ["case.opened"]


def test_a_reroute_takes_topic_and_urgency_from_the_reading(deps: Deps) -> None:
    case = opened(deps, text="听说工资要急着改，加微信问")
    clarification = newest(deps, CaseKind.CLARIFICATION)
    assert decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.GRIEVANCE).id != clarification.id
    unread = replace(deps, classifier=None)
    feed(unread, raw("u1", "没有人读过的话"))
    with deps.uow.begin() as store:
        post = store.posts.page(queue.PostFilter(), None, 1)[0]
        new = NewCase(CaseKind.MODERATION, CaseState.PENDING, 1, "qq", (post.id,), "hand")
        by_hand = store.cases.open(new, deps.clock.now())
    target = decide.reroute(deps, MODERATOR, by_hand.id, by_hand.version, CaseKind.GRIEVANCE)
    assert (target.topic, target.urgency) == (None, None)


def test_a_post_without_any_reading_is_rerouted_too(deps: Deps) -> None:
    (result,) = ingest(deps, "qq", [raw("n1", "还没有人读")]).results
    with deps.uow.begin() as store:
        new = NewCase(CaseKind.MODERATION, CaseState.PENDING, 1, "qq", (result.post_id or 0,), "hand")
        case = store.cases.open(new, deps.clock.now())
    assert decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.CLARIFICATION).topic is None


def test_a_reroute_joins_the_case_that_the_post_has(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    grievance = newest(deps, CaseKind.GRIEVANCE)
    target = decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.GRIEVANCE)
    assert target.id == grievance.id
    assert events_of(deps, target, "attached")[-1].detail == {"from": case.reference}


def test_a_reroute_joins_the_open_case_of_the_near_duplicates(deps: Deps) -> None:
    first = opened(deps)
    target = decide.reroute(deps, MODERATOR, first.id, first.version, CaseKind.GRIEVANCE)
    with deps.uow.read() as store:
        (post,) = store.posts.many(store.cases.post_ids(first.id))
    feed(deps, raw("again", post.text, thread="g7"))
    second = newest(deps, CaseKind.MODERATION)
    assert second.id != first.id
    joined = decide.reroute(deps, MODERATOR, second.id, second.version, CaseKind.GRIEVANCE)
    assert (joined.id, joined.post_count) == (target.id, 2)


def test_a_receipt_goes_with_the_case_and_stands_alone(deps: Deps) -> None:
    spam = opened(deps)
    gathering = decide.reroute(deps, MODERATOR, spam.id, spam.version, CaseKind.GRIEVANCE)
    with deps.uow.read() as store:
        (post,) = store.posts.many(store.cases.post_ids(spam.id))
    digest = deps.keys.digest("receipt", "1234567890123456")
    feed(deps, raw("boxed", post.text, channel="box", receipt=digest), channel="box")
    case = newest(deps, CaseKind.MODERATION)
    with deps.uow.read() as store:
        assert store.cases.by_receipt(digest) == case
    target = decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.GRIEVANCE)
    assert target.id != gathering.id
    with deps.uow.read() as store:
        assert store.cases.by_receipt(digest) == target
    feed(deps, raw("third", post.text, thread="g8"))
    third = newest(deps, CaseKind.MODERATION)
    joined = decide.reroute(deps, MODERATOR, third.id, third.version, CaseKind.GRIEVANCE)
    assert joined.id == gathering.id, "nobody joins a case with a receipt"


def test_a_receipt_stays_with_the_grievance_that_it_belongs_to(deps: Deps) -> None:
    digest = deps.keys.digest("receipt", "1234567890123457")
    feed(deps, raw("boxed", ANGRY, channel="box", receipt=digest), channel="box")
    case, grievance = newest(deps, CaseKind.MODERATION), newest(deps, CaseKind.GRIEVANCE)
    target = decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.CLARIFICATION)
    with deps.uow.read() as store:
        bound = store.cases.by_receipt(digest)
    assert bound is not None
    assert (bound.id, target.kind) == (grievance.id, CaseKind.CLARIFICATION)


def test_a_reroute_that_leads_nowhere_is_refused(deps: Deps) -> None:
    case = opened(deps)
    for to in (CaseKind.CARE, CaseKind.APPEAL, CaseKind.MODERATION):
        with pytest.raises(BadMove, match="cannot be sent on"):
            decide.reroute(deps, MODERATOR, case.id, case.version, to)
    with pytest.raises(Conflict):
        decide.reroute(deps, MODERATOR, case.id, case.version + 1, CaseKind.GRIEVANCE)
    with pytest.raises(BadInput, match="at most 500"):
        decide.reroute(deps, MODERATOR, case.id, case.version, CaseKind.GRIEVANCE, "长" * 501)
    for who in (LEADER, HANDLER, ADMIN, MEMBER):
        with pytest.raises(NotAllowed):
            decide.reroute(deps, who, case.id, case.version, CaseKind.GRIEVANCE)
    assert look(deps, case) == case
    grievance = opened(deps, CaseKind.GRIEVANCE)
    with pytest.raises(BadMove, match="cannot be sent on"):
        decide.reroute(deps, OFFICER, grievance.id, grievance.version, CaseKind.CLARIFICATION)


def test_a_hidden_post_and_a_person_of_two_roles(deps: Deps) -> None:
    staff(deps)
    both = person("bo", Role.MODERATOR, Role.OFFICER)
    case = opened(replace(deps, capabilities=only(*Capability)))
    made = decided(deps, case, A.HIDE, both)
    assert (made.role, [e.kind for e in effects_of(deps, made)]) == (
        Role.MODERATOR,
        [EffectKind.HIDE, EffectKind.NOTICE],
    )
