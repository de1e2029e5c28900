"""The queue: who holds what, in which order it comes, and what each person sees and may do."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from grievance_world import feed, grievance, in_work, newest, staff
from grievance_world import look as look_grievance
from moderation_world import (
    ANGRY,
    MODERATOR_3,
    decided,
    events_of,
    ledger_kinds,
    look,
    notice_token,
    opened,
    removed_by_two,
    send_all,
    where_only,
)

from monitor.core.errors import BadMove, Conflict, NotAllowed, NotFound
from monitor.core.model import SYSTEM, Action, Actor, CaseKind, CaseState, Label, Role
from monitor.core.ports import Capability, CaseFilter
from monitor.testing.builders import (
    ADMIN,
    CUSTODIAN,
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
from monitor.usecases import appeals, cases, decide, queue, replies
from monitor.usecases.deps import Deps
from monitor.usecases.views import CaseView

MODERATION = CaseFilter(kinds=(CaseKind.MODERATION,))
ANY = CaseFilter()


def taken(view: CaseView | None) -> int:
    """Return the id of the case in a view that must be there."""
    assert view is not None
    return view.case.id


# --- taking ----------------------------------------------------------------------------------------


def test_urgent_first_then_the_oldest(deps: Deps, clock: FixedClock) -> None:
    spam = opened(deps)
    clock.advance(minutes=1)
    abuse = opened(deps, text="你是傻子")
    clock.advance(minutes=1)
    younger = opened(deps)
    clock.advance(minutes=1)
    care = opened(deps, CaseKind.CARE)
    order = []
    while view := queue.take_next(deps, MODERATOR, ANY, order):
        order.append(view.case.id)
    assert order == [care.id, abuse.id, spam.id, younger.id]


def test_the_own_leased_case_comes_again_and_nobody_else_gets_it(deps: Deps, clock: FixedClock) -> None:
    first, second = opened(deps), opened(deps)
    view = queue.take_next(deps, MODERATOR, MODERATION)
    assert view is not None
    assert (view.case.id, view.holder) == (first.id, "mo")
    assert taken(queue.take_next(deps, MODERATOR, MODERATION)) == first.id
    assert taken(queue.take_next(deps, MODERATOR_2, MODERATION)) == second.id
    assert queue.take_next(deps, MODERATOR_3, MODERATION) is None
    clock.advance(seconds=deps.rules.lease_seconds)
    assert taken(queue.take_next(deps, MODERATOR_3, MODERATION)) == first.id


def test_skipped_cases_are_left_to_others(deps: Deps) -> None:
    first, second = opened(deps), opened(deps)
    assert taken(queue.take_next(deps, MODERATOR, MODERATION, [first.id])) == second.id
    assert queue.take_next(deps, MODERATOR, MODERATION, [first.id, second.id]) is None
    assert taken(queue.take_next(deps, MODERATOR_2, MODERATION)) == first.id


def test_nothing_is_taken_twice_by_many_at_once(deps: Deps) -> None:
    wanted = {opened(deps).id for _n in range(24)}
    people = [person(f"m{n}", Role.MODERATOR) for n in range(4)]
    got: list[int] = []
    gate = threading.Barrier(len(people))

    def work(who: Actor) -> None:
        gate.wait()
        while view := queue.take_next(deps, who, MODERATION):
            decide.decide(deps, who, decide.DecisionRequest(view.case.id, view.case.version, Action.KEEP))
            got.append(view.case.id)

    workers = [threading.Thread(target=work, args=(who,)) for who in people]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(got) == sorted(wanted)


def test_a_person_gets_only_kinds_they_see(deps: Deps) -> None:
    spam = opened(deps)
    rumour = opened(deps, CaseKind.CLARIFICATION)
    assert queue.take_next(deps, LEADER, MODERATION) is None
    assert taken(queue.take_next(deps, LEADER, ANY)) == rumour.id
    assert taken(queue.take_next(deps, OFFICER, CaseFilter(kinds=(CaseKind.MODERATION,)))) == spam.id
    for who in (HANDLER, CUSTODIAN, ADMIN, MEMBER, SYSTEM):
        with pytest.raises(NotAllowed):
            queue.take_next(deps, who, ANY)


def test_a_proposal_goes_to_a_colleague(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    decided(deps, case)
    assert queue.take_next(deps, MODERATOR, MODERATION) is None
    assert taken(queue.take_next(deps, MODERATOR_2, MODERATION)) == case.id


def test_a_case_that_was_taken_back_is_offered_again(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    made = removed_by_two(deps, case)
    decide.undo(deps, MODERATOR, made.id)
    assert taken(queue.take_next(deps, MODERATOR, MODERATION)) == case.id


def test_an_appeal_is_not_offered_to_those_it_is_about(deps: Deps, clock: FixedClock) -> None:
    made = decided(deps, opened(deps))
    send_all(deps, clock)
    appeal = appeals.submit(deps, notice_token(deps, made), "这不是广告")
    where = CaseFilter(kinds=(CaseKind.APPEAL,))
    assert queue.take_next(deps, MODERATOR, where) is None
    assert look(deps, appeal).lease_by is None
    assert taken(queue.take_next(deps, MODERATOR_2, where)) == appeal.id


# --- holding ---------------------------------------------------------------------------------------


def test_a_claim_is_recorded_once_and_names_the_holder(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    view = queue.claim(deps, MODERATOR, case.id)
    assert (view.holder, view.case.version) == ("mo", case.version)
    queue.claim(deps, MODERATOR, case.id)
    (event,) = events_of(deps, case, "claimed")
    assert (event.actor, event.role) == ("mo", Role.MODERATOR)
    assert ledger_kinds(deps, case.reference) == ["case.opened", "case.claimed"]
    with pytest.raises(Conflict, match="mo is working"):
        queue.claim(deps, MODERATOR_2, case.id)
    clock.advance(seconds=deps.rules.lease_seconds)
    assert queue.view(deps, MODERATOR, case.id).holder is None, "the lease is over"
    assert queue.claim(deps, MODERATOR_2, case.id).holder == "mona"
    assert look(deps, case).version == case.version


def test_a_lease_lives_while_it_is_renewed(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    queue.claim(deps, MODERATOR, case.id)
    for _beat in range(3):
        clock.advance(seconds=deps.rules.lease_seconds - 1)
        queue.renew(deps, MODERATOR, case.id)
    with pytest.raises(Conflict, match="mo is working"):
        queue.renew(deps, MODERATOR_2, case.id)
    queue.release(deps, MODERATOR_2, case.id)
    assert queue.view(deps, MODERATOR, case.id).holder == "mo", "nobody gives back what another holds"
    queue.release(deps, MODERATOR, case.id)
    assert queue.view(deps, MODERATOR, case.id).holder is None


def test_nothing_is_claimed_that_needs_nobody(deps: Deps) -> None:
    case = opened(deps)
    decided(deps, case, Action.KEEP)
    with pytest.raises(BadMove, match="decided; nobody"):
        queue.claim(deps, MODERATOR, case.id)


@pytest.mark.parametrize("act", [queue.view, queue.claim, queue.renew, queue.release])
def test_one_case_is_for_those_who_see_its_kind(deps: Deps, act: object) -> None:
    assert callable(act)
    case, complaint = opened(deps), opened(deps, CaseKind.GRIEVANCE)
    for who in (LEADER, HANDLER, CUSTODIAN, ADMIN, MEMBER, SYSTEM):
        with pytest.raises(NotAllowed):
            act(deps, who, case.id)
    with pytest.raises(NotAllowed):
        act(deps, MODERATOR, complaint.id)
    with pytest.raises(NotFound):
        act(deps, MODERATOR, 999)
    act(deps, MODERATOR, case.id)
    act(deps, OFFICER, complaint.id)


# --- one case --------------------------------------------------------------------------------------


def test_a_view_shows_posts_with_readings_and_three_neighbours_on_each_side(
    deps: Deps, clock: FixedClock
) -> None:
    for n in range(10):
        at = clock.now() + timedelta(seconds=n)
        text = "加微信领教职工福利" if n == 5 else f"第{n:06d}棵银杏黄了"
        feed(deps, raw(f"t{n}", text, posted_at=at, thread="garden"))
    feed(deps, raw("elsewhere", "别的群", posted_at=clock.now() + timedelta(seconds=5), thread="other"))
    case = newest(deps, CaseKind.MODERATION)
    view = queue.view(deps, MODERATOR, case.id)
    assert [post.external_id for post in view.thread] == ["t2", "t3", "t4", "t5", "t6", "t7", "t8"]
    (shown,) = view.posts
    assert shown.reading is not None
    assert shown.reading.flagged(Label.SPAM)
    assert (view.case, view.claim, view.replies, view.effects) == (case, None, (), ())
    assert [event.kind for event in view.events] == ["opened"]


def test_pseudonyms_are_for_moderators(deps: Deps) -> None:
    case = opened(deps, CaseKind.CLARIFICATION)
    mine, theirs = queue.view(deps, MODERATOR, case.id), queue.view(deps, OFFICER, case.id)
    assert all(v.post.author for v in mine.posts)
    assert all(post.author for post in mine.thread)
    assert not any(v.post.author for v in theirs.posts)
    assert not any(post.author for post in theirs.thread)


def test_no_screen_shows_the_link_that_speaks_for_the_member(deps: Deps) -> None:
    case = opened(deps)
    token = notice_token(deps, decided(deps, case))
    shown = [effect.text for effect in queue.view(deps, MODERATOR, case.id).effects if effect.text]
    assert shown
    assert all("/appeal/…" in text and token not in text for text in shown)


_PLAIN = {"keep", "dismiss", "escalate"}
_FORCE = {"remove", "hide", "mute"}


@pytest.mark.parametrize(
    ("kind", "who", "names"),
    [
        (CaseKind.MODERATION, MODERATOR, _PLAIN | _FORCE | {"grievance", "clarify"}),
        (CaseKind.MODERATION, OFFICER, _PLAIN | {"grievance", "clarify"}),
        (CaseKind.CARE, MODERATOR, _PLAIN | {"grievance", "clarify"}),
        (CaseKind.CARE, OFFICER, _PLAIN | {"grievance", "clarify"}),
        (CaseKind.CARE, CUSTODIAN, set()),
        (CaseKind.CLARIFICATION, MODERATOR, _PLAIN | {"grievance"}),
        (CaseKind.CLARIFICATION, OFFICER, _PLAIN | {"grievance", "reply", "claim_verdict"}),
        (CaseKind.CLARIFICATION, LEADER, {"reply", "claim_verdict"}),
        (CaseKind.GRIEVANCE, OFFICER, {"reply", "move:accept", "move:decline", "move:transfer"}),
        (CaseKind.GRIEVANCE, LEADER, {"reply"}),
    ],
)
def test_what_each_person_may_do(deps: Deps, kind: CaseKind, who: Actor, names: set[str]) -> None:
    case = opened(deps, kind)
    assert set(queue.view(deps, who, case.id).allowed) == names


def test_a_restriction_is_offered_only_where_the_channel_can(deps: Deps) -> None:
    case = opened(deps)
    qq = where_only(deps, Capability.LISTEN, Capability.REMOVE, Capability.MUTE)
    assert set(queue.view(qq, MODERATOR, case.id).allowed) & _FORCE == {"remove", "mute"}
    assert not set(queue.view(where_only(deps), MODERATOR, case.id).allowed) & _FORCE


def test_nothing_is_offered_on_what_is_settled(deps: Deps) -> None:
    case = opened(deps)
    decided(deps, case, Action.KEEP)
    assert queue.view(deps, MODERATOR, case.id).allowed == ()


def test_the_moves_follow_the_table(deps: Deps) -> None:
    staff(deps)
    case = in_work(deps, grievance(deps, unit="后勤处"))
    allowed = queue.view(deps, HANDLER, case.id).allowed
    assert set(allowed) == {"reply", "move:ask"}
    held = replies.draft(deps, LEADER, case.id, "已经增加班车。")
    replies.approve(deps, OFFICER, held.id, held.version)
    view = queue.view(deps, OFFICER, case.id)
    assert (view.allowed, [r.text for r in view.replies]) == ((), ["已经增加班车。"])
    assert "/rate/…" in view.effects[0].text


# --- lists -----------------------------------------------------------------------------------------


def test_a_page_runs_in_the_order_of_the_queue(deps: Deps) -> None:
    ids = [opened(deps).id for _n in range(5)]
    queue.claim(deps, MODERATOR, ids[1])
    first = queue.page(deps, MODERATOR, MODERATION, None, 3)
    last = first[-1].case
    rest = queue.page(deps, MODERATOR, MODERATION, (last.rank, last.id), 3)
    assert [row.case.id for row in (*first, *rest)] == ids
    assert [row.holder for row in first] == [None, "mo", None]
    assert "加微信" in first[0].first_text
    assert first[0].scores["spam"] > 0.9
    assert set(first[0].scores) == {"spam", "rumour", "grievance", "abuse", "risk"}
    assert len(queue.page(deps, MODERATOR, MODERATION, None, 0)) == 1, "at least one"
    assert len(queue.page(deps, MODERATOR, MODERATION, None, 10**9)) == 5


def test_a_post_without_a_reading_has_no_scores(deps: Deps) -> None:
    unread = replace(deps, classifier=None)
    feed(unread, raw("b1", "没有模型也要有人看", channel="box", receipt="d" * 64), channel="box")
    (row,) = queue.page(deps, OFFICER, CaseFilter(kinds=(CaseKind.GRIEVANCE,)), None, 10)
    assert set(row.scores.values()) == {0.0}


def test_lists_are_narrowed_to_what_a_person_sees(deps: Deps) -> None:
    opened(deps)
    here, there = grievance(deps, unit="后勤处"), grievance(deps, unit="人事处")
    rumour = opened(deps, CaseKind.CLARIFICATION)
    listed = {
        who.login: {r.case.id for r in queue.page(deps, who, ANY, None, 50)} for who in (LEADER, HANDLER)
    }
    assert listed == {"lea": {here.id, there.id, rumour.id}, "hana": {here.id}}
    assert queue.page(deps, LEADER, MODERATION, None, 50) == []
    assert queue.page(deps, HANDLER, CaseFilter(unit="人事处"), None, 50) == []
    assert [r.case.id for r in queue.page(deps, HANDLER, CaseFilter(unit="后勤处"), None, 50)] == [here.id]
    assert queue.page(deps, person("x", Role.HANDLER), ANY, None, 50) == []
    for who in (ADMIN, MEMBER):
        with pytest.raises(NotAllowed):
            queue.page(deps, who, ANY, None, 50)


def test_counts_are_of_what_waits(deps: Deps) -> None:
    spam, other = opened(deps), opened(deps)
    opened(deps, CaseKind.CARE)
    opened(deps, CaseKind.GRIEVANCE)
    decided(deps, other, Action.KEEP)
    queue.claim(deps, MODERATOR, spam.id)
    assert queue.counts(deps, MODERATOR) == {
        "appeal": 0,
        "care": 1,
        "clarification": 0,
        "moderation": 1,
        "mine": 1,
    }
    assert queue.counts(deps, OFFICER)["grievance"] == 1
    with pytest.raises(NotAllowed):
        queue.counts(deps, ADMIN)


def test_mine_are_the_own_decisions_and_what_can_still_be_undone(deps: Deps, clock: FixedClock) -> None:
    old = decided(deps, opened(deps), Action.KEEP)
    clock.advance(seconds=deps.rules.undo_seconds + 1)
    decided(deps, opened(deps), Action.KEEP, by=MODERATOR_2)
    new = decided(deps, opened(deps))
    undone = decided(deps, opened(deps), Action.KEEP)
    decide.undo(deps, MODERATOR, undone.id)
    rows = queue.mine(deps, MODERATOR, 10)
    assert [(r.decision.id, r.can_undo) for r in rows] == [
        (undone.id, False),
        (new.id, True),
        (old.id, False),
    ]
    assert rows[1].case.state is CaseState.DECIDED
    assert len(queue.mine(deps, MODERATOR, 1)) == 1
    with pytest.raises(NotAllowed):
        queue.mine(deps, HANDLER, 10)


def test_search_finds_words_and_never_by_author(deps: Deps) -> None:
    for n in range(3):
        feed(deps, raw(f"s{n}", f"第{n:06d}次说东区停车难", author="20002000"))
    found = queue.search(deps, OFFICER, " 停车难 ", None, 2)
    assert [v.post.external_id for v in found] == ["s2", "s1"]
    assert not found[0].post.author
    assert found[0].reading is not None
    rest = queue.search(deps, MODERATOR, "停车难", found[-1].post.id, 2)
    assert [v.post.external_id for v in rest] == ["s0"]
    assert rest[0].post.author
    assert queue.search(deps, MODERATOR, "20002000", None, 10) == []
    assert queue.search(deps, MODERATOR, rest[0].post.author, None, 10) == []
    assert queue.search(deps, MODERATOR, "  ", None, 10) == []
    for who in (LEADER, HANDLER, ADMIN, MEMBER):
        with pytest.raises(NotAllowed):
            queue.search(deps, who, "停车难", None, 10)


def test_a_move_of_a_grievance_changes_what_is_allowed(deps: Deps) -> None:
    staff(deps)
    case = grievance(deps)
    cases.move(deps, OFFICER, case.id, case.version, "accept")
    assert "move:start" in queue.view(deps, OFFICER, case.id).allowed
    assert look_grievance(deps, case).state is CaseState.ACCEPTED
