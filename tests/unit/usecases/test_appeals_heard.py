"""Appeals: the statement of reasons behind the link, another person's look, and what follows outside."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from grievance_world import feed
from moderation_world import (
    ANGRY,
    MODERATOR_3,
    decided,
    effects_of,
    events_of,
    ledger_kinds,
    look,
    notice_token,
    opened,
    outbox,
    removed_by_two,
    request,
    send_all,
    token_in,
    where_only,
)

from monitor.core.errors import BadInput, BadMove, Conflict, HuiyinError, NotAllowed, NotFound
from monitor.core.model import (
    Action,
    Actor,
    Case,
    CaseKind,
    CaseState,
    Decision,
    EffectKind,
    EffectState,
    NewCase,
    Role,
    RuleCode,
)
from monitor.core.ports import Capability
from monitor.testing.builders import LEADER, MODERATOR, MODERATOR_2, OFFICER, FixedClock, person
from monitor.usecases import appeals, decide, queue
from monitor.usecases._restraint import appeal_link
from monitor.usecases.deps import Deps

WORDS = "这不是广告，是工会自己发的通知，请打 13800138000"


def appealed(deps: Deps, made: Decision) -> Case:
    """Appeal against a decision by the link of its notice."""
    return appeals.submit(deps, notice_token(deps, made), WORDS)


# --- the page --------------------------------------------------------------------------------------


def test_the_link_opens_the_statement_of_reasons(deps: Deps) -> None:
    case = opened(deps)
    made = decided(deps, case, explanation="群里不发广告。")
    view = appeals.view(deps, notice_token(deps, made))
    assert made.quote is not None
    assert view == appeals.AppealView(
        reference=case.reference,
        action=Action.REMOVE,
        rule=RuleCode.SPAM_AD,
        quote=made.quote.text,
        explanation="群里不发广告。",
        decided_at=made.at,
        role=Role.MODERATOR,
        machine=True,
        appeal_until=made.appeal_until,
        undone=False,
    )


def test_an_unknown_link_or_one_of_another_purpose_opens_nothing(deps: Deps) -> None:
    made = decided(deps, opened(deps))
    with deps.uow.begin() as store:
        store.cases.add_token(deps.keys.digest("token", "a-rating-token"), "rate", made.case_id, None)
        store.cases.add_token(deps.keys.digest("receipt", "of-another-key"), "appeal", made.id, None)
    for token in ("", "no-such-token", "a-rating-token", "of-another-key", notice_token(deps, made)[:-1]):
        with pytest.raises(NotFound, match="unknown"):
            appeals.view(deps, token)
        with pytest.raises(NotFound, match="unknown"):
            appeals.submit(deps, token, WORDS)


def test_a_link_ends_with_the_time_to_appeal(deps: Deps, clock: FixedClock) -> None:
    made = decided(deps, opened(deps))
    token = notice_token(deps, made)
    clock.advance(days=deps.rules.appeal_days)
    with pytest.raises(NotFound, match="its time is over"):
        appeals.submit(deps, token, WORDS)
    with pytest.raises(NotFound):
        appeals.view(deps, token)


# --- appealing -------------------------------------------------------------------------------------


def test_an_appeal_is_a_case_with_the_posts_and_the_masked_words(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps, posts=2)
    made = decided(deps, case)
    send_all(deps, clock)
    appeal = appealed(deps, made)
    assert (appeal.kind, appeal.state, appeal.about_decision) == (
        CaseKind.APPEAL,
        CaseState.PENDING,
        made.id,
    )
    assert appeal.due_at is not None
    assert look(deps, appeal) == appeal
    with deps.uow.read() as store:
        posts = store.posts.many(store.cases.post_ids(appeal.id))
    assert tuple(post.id for post in posts[:2]) == made.post_ids
    assert posts[2].text == WORDS.replace("13800138000", "[电话]")
    assert [e.detail.get("appeal") for e in events_of(deps, case, "appealed")] == [appeal.id]
    assert [e.kind for e in events_of(deps, appeal)] == ["opened", "added"]
    assert ledger_kinds(deps, appeal.reference) == ["case.opened"]
    assert ledger_kinds(deps, case.reference)[-1] == "case.appealed"
    view = appeals.view(deps, notice_token(deps, made))
    assert (view.appeal, view.outcome) == (appeal.reference, None)


def test_more_words_join_the_open_appeal(deps: Deps) -> None:
    made = decided(deps, opened(deps))
    appeal = appealed(deps, made)
    again = appeals.submit(deps, notice_token(deps, made), "补充：通知编号 2026-3")
    assert (again.id, again.post_count) == (appeal.id, 3)
    assert len(events_of(deps, again, "added")) == 2


@pytest.mark.parametrize("text", ["", " \n\t", "长" * 2_001])
def test_an_appeal_needs_words(deps: Deps, text: str) -> None:
    made = decided(deps, opened(deps))
    with pytest.raises(BadInput):
        appeals.submit(deps, notice_token(deps, made), text)
    assert not events_of(deps, opened(deps), "appealed")


def test_what_was_taken_back_needs_no_appeal(deps: Deps) -> None:
    made = decided(deps, opened(deps))
    token = notice_token(deps, made)
    decide.undo(deps, MODERATOR, made.id)
    assert appeals.view(deps, token).undone
    with pytest.raises(BadMove, match="taken back already"):
        appeals.submit(deps, token, WORDS)


def test_a_decision_about_no_post_cannot_be_appealed(deps: Deps) -> None:
    case = opened(deps)
    with deps.uow.begin() as store:
        bare = Decision(0, case.id, Action.HIDE, "mo", Role.MODERATOR, deps.clock.now(), ())
        link = appeal_link(store, deps, store.decisions.add(bare), None)
    view = appeals.view(deps, token_in(link))
    assert (view.rule, view.quote) == (None, "")
    with pytest.raises(BadInput, match="no post"):
        appeals.submit(deps, token_in(link), WORDS)


def test_words_of_the_appeal_are_read_like_every_post(deps: Deps) -> None:
    """Someone may be in danger: the words go through the same reading."""
    made = decided(deps, opened(deps))
    appeals.submit(deps, notice_token(deps, made), "你们再删我就不想活了")
    feed(deps)
    with deps.uow.read() as store:
        found = store.cases.page(queue.CaseFilter(kinds=(CaseKind.CARE,)), None, 10)
    assert len(found) == 1


# --- who hears it (M-06) ---------------------------------------------------------------------------


def test_the_decider_does_not_hear_the_appeal(deps: Deps) -> None:
    made = decided(deps, opened(deps))
    appeal = appealed(deps, made)
    for action in (Action.RESTORE, Action.UPHOLD):
        with pytest.raises(NotAllowed, match="another person"):
            decided(deps, appeal, action)
    assert queue.view(deps, MODERATOR, appeal.id).allowed == ()
    assert queue.view(deps, MODERATOR_2, appeal.id).allowed == ("restore", "uphold")
    with pytest.raises(NotAllowed):
        decided(deps, appeal, Action.UPHOLD, LEADER)
    assert look(deps, appeal).version == appeal.version


def test_nobody_who_touched_the_case_hears_the_appeal(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    decided(deps, case, Action.ESCALATE, MODERATOR_3)
    fourth = person("mick", Role.MODERATOR)
    assert decided(deps, case, Action.HIDE, fourth).id == 0, "only a proposal, and of another kind"
    made = removed_by_two(deps, case)
    appeal = appealed(deps, made)
    for who in (MODERATOR, MODERATOR_2, MODERATOR_3, fourth):
        with pytest.raises(NotAllowed, match="another person"):
            decided(deps, appeal, Action.UPHOLD, who)
    assert decided(deps, appeal, Action.UPHOLD, OFFICER).role == Role.OFFICER


def test_an_appeal_is_answered_with_a_reason_and_by_nothing_else(deps: Deps) -> None:
    appeal = appealed(deps, decided(deps, opened(deps)))
    with pytest.raises(BadInput, match="with a reason"):
        decided(deps, appeal, Action.RESTORE, MODERATOR_2, explanation=" ")
    for action in (Action.KEEP, Action.DISMISS, Action.ESCALATE, Action.REMOVE):
        with pytest.raises((BadMove, NotAllowed)):
            decided(deps, appeal, action, MODERATOR_2)
    for action in (Action.RESTORE, Action.UPHOLD):
        with pytest.raises(BadMove, match="cannot be settled"):
            decided(deps, opened(deps), action, MODERATOR_2)
    assert look(deps, appeal).state is CaseState.PENDING


ASSIGNMENTS = 60


def test_however_appeals_are_assigned_no_reviewer_judges_themselves(deps: Deps) -> None:
    """M-06, over five people who propose, remove, undo and review as they like."""
    chance = random.Random(6)
    people = [person(f"m{n}", Role.MODERATOR) for n in range(5)]
    tried: Counter[str] = Counter()
    while tried.total() < ASSIGNMENTS:
        case = opened(deps, text=chance.choice((ANGRY, None)))
        touched = _random_removal(deps, case, people, chance)
        with deps.uow.read() as store:
            made = [d for d in store.decisions.of(case.id) if d.undone_at is None]
        if not made:
            continue
        asked = request(deps, appealed(deps, made[-1]), chance.choice((Action.RESTORE, Action.UPHOLD)))
        for who in chance.sample(people, k=len(people)):
            try:
                decide.decide(deps, who, asked)
            except NotAllowed:
                tried["refused"] += 1
                assert who.login in touched
            else:
                tried["heard"] += 1
                assert who.login not in touched
                break
    print(dict(tried))
    assert min(tried["heard"], tried["refused"]) > ASSIGNMENTS // 5


def _random_removal(deps: Deps, case: Case, people: list[Actor], chance: random.Random) -> set[str]:
    """Let people decide until the case is settled; returns who had a hand in it."""
    touched: set[str] = set()
    for _try in range(6):
        who = chance.choice(people)
        try:
            made = decided(deps, case, by=who)
        except HuiyinError:
            continue
        touched.add(who.login)
        if made.id and chance.random() < 0.3:
            decide.undo(deps, who, made.id)
        elif made.id:
            return touched
    return touched


# --- what follows ----------------------------------------------------------------------------------


def test_an_appeal_that_succeeds_restores_the_posts_and_says_so(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps, posts=3)
    made = decided(deps, case)
    send_all(deps, clock)
    appeal = appealed(deps, made)
    queue.claim(deps, MODERATOR_2, appeal.id)
    answer = decided(deps, appeal, Action.RESTORE, MODERATOR_2, explanation="确属工会通知。")
    settled = look(deps, appeal)
    assert (settled.state, settled.lease_by) == (CaseState.DECIDED, None)
    fresh = effects_of(deps, answer)
    assert Counter(e.kind for e in fresh) == {EffectKind.RESTORE: 3, EffectKind.NOTICE: 2}
    assert {e.post_id for e in fresh if e.kind is EffectKind.RESTORE} == set(made.post_ids)
    notice = next(e for e in fresh if e.kind is EffectKind.NOTICE)
    for part in ("【校工会通知】", "申诉成立", "确属工会通知。", appeal.reference):
        assert part in notice.text
    assert [e.kind for e in events_of(deps, case)][-2:] == ["corrected", "overturned"]
    (event,) = events_of(deps, appeal, "decide")
    assert (event.reason, event.detail["restoring"], event.detail["notices"]) == ("确属工会通知。", 3, 2)
    assert ledger_kinds(deps, case.reference)[-1] == "case.overturned"
    assert ledger_kinds(deps, appeal.reference)[-1] == "case.decide"
    assert len(send_all(deps, clock)) == 5, "M-05: on its way long before ten minutes"
    view = appeals.view(deps, notice_token(deps, made))
    assert (view.outcome, view.reason) == (Action.RESTORE, "确属工会通知。")


def test_an_appeal_that_fails_is_told_with_a_link_to_the_reason(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    made = decided(deps, case)
    send_all(deps, clock)
    appeal = appealed(deps, made)
    answer = decided(deps, appeal, Action.UPHOLD, OFFICER, explanation="仍是广告。")
    (notice,) = effects_of(deps, answer)
    assert (notice.kind, notice.thread) == (EffectKind.NOTICE, "g0")
    assert "维持原处置" in notice.text
    assert "仍是广告" not in notice.text, "the reason is the author's to read"
    view = appeals.view(deps, token_in(notice.text))
    assert (view.outcome, view.reason) == (Action.UPHOLD, "仍是广告。")
    assert events_of(deps, case, "upheld")[0].detail == {"decision": answer.id, "about": made.id}
    assert events_of(deps, appeal, "decide")[0].detail["notices"] == 1
    with pytest.raises(BadMove, match="has been answered"):
        appeals.submit(deps, token_in(notice.text), WORDS)


def test_where_nobody_was_told_the_answer_is_recorded(deps: Deps, clock: FixedClock) -> None:
    made = decided(deps, opened(deps))
    token = notice_token(deps, made)
    silent = where_only(deps, Capability.LISTEN, Capability.REMOVE, Capability.RESTORE)
    other = opened(silent)
    quiet = decided(silent, other)
    with deps.uow.begin() as store:
        link = appeal_link(store, deps, quiet, None)
    send_all(deps, clock)
    for text, action, about in ((token, Action.UPHOLD, made), (token_in(link), Action.UPHOLD, quiet)):
        appeal = appeals.submit(silent, text, WORDS)
        decided(silent, appeal, action, OFFICER)
        assert events_of(deps, appeal, "decide")[0].detail["notices"] == 0
        assert events_of(deps, appeal, "decide")[0].detail["about"] == about.id
    assert outbox(deps, EffectState.NEW) == []


def test_the_answer_can_be_read_after_the_time_to_appeal(deps: Deps, clock: FixedClock) -> None:
    made = decided(deps, opened(deps))
    token = notice_token(deps, made)
    clock.advance(days=deps.rules.appeal_days, seconds=-1)
    appeal = appealed(deps, made)
    clock.advance(days=5)
    decided(deps, appeal, Action.UPHOLD, OFFICER)
    assert appeals.view(deps, token).outcome is Action.UPHOLD


def test_an_appeal_answered_is_final_and_what_it_overturned_cannot_be_undone(
    deps: Deps, clock: FixedClock
) -> None:
    made = decided(deps, opened(deps))
    send_all(deps, clock)
    answer = decided(deps, appealed(deps, made), Action.RESTORE, MODERATOR_2)
    assert not decide.may_undo(answer, MODERATOR_2, clock.now())
    with pytest.raises(BadMove, match="it stands"):
        decide.undo(deps, MODERATOR_2, answer.id)
    with pytest.raises(Conflict, match="taken back already"):
        decide.undo(deps, MODERATOR, made.id)
    assert len([e for e in outbox(deps) if e.kind is EffectKind.RESTORE]) == 1


def test_an_undo_before_the_hearing_leaves_nothing_to_restore(deps: Deps, clock: FixedClock) -> None:
    made = decided(deps, opened(deps))
    send_all(deps, clock)
    appeal = appealed(deps, made)
    decide.undo(deps, MODERATOR, made.id)
    answer = decided(deps, appeal, Action.RESTORE, MODERATOR_2)
    assert effects_of(deps, answer) == []
    assert len([e for e in outbox(deps) if e.kind is EffectKind.RESTORE]) == 1


def test_a_removal_from_the_case_of_another_opener_says_so(deps: Deps) -> None:
    case = opened(deps)
    with deps.uow.begin() as store:
        post_ids = tuple(store.cases.post_ids(case.id))
        new = NewCase(CaseKind.MODERATION, CaseState.PENDING, 1, "qq", post_ids, "hand", opened_by="mo")
        by_hand = store.cases.open(new, deps.clock.now())
    made = decided(deps, by_hand)
    assert not appeals.view(deps, notice_token(deps, made)).machine
